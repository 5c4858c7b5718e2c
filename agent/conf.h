/*
 * agent/conf.h: the configuration, from a JSON file and from flags that
 * have the same names. Read once at the start; nothing in it comes from the
 * network.
 */

#ifndef AGENT_CONF_H
#define AGENT_CONF_H

#include "net.h"


#define CONF_MAX_NAMES     32
#define CONF_ERR_LEN       512
#define CONF_MAX_FILE      65536

/*
 * Where a Diego cell keeps what is needed to know of its containers: whose
 * each is (silk-release, silk-cni's lib/datastore), and its name space
 * (cf-networking-release, garden-external-networker's bind mounts; runc
 * --root of containerd's task service in namespace garden, then runc alone).
 */
#define CONF_METADATA      "/var/vcap/data/container-metadata/store.json"

/* Where the network namespaces of pods are mounted (containerd
 * internal/cri/server/sandbox_run.go, CRI-O's namespaces_dir). */
#define CONF_NETNS_FOLDER  "/run/netns"

/* How captures in containers are done, if at all. */

typedef enum {
    CONF_CONTAINERS_OFF = 0,
    CONF_CONTAINERS_NETNS,               /* inside of its network namespace */
    CONF_CONTAINERS_VETH                 /* host side of its pair */
} conf_containers_t;

/* The container runtime of a Kubernetes node, for captures in pods. */

typedef enum {
    CONF_CRI_OFF = 0,
    CONF_CRI_CONTAINERD,
    CONF_CRI_CRIO
} conf_cri_t;

typedef struct {
    char       *text[CONF_MAX_NAMES];
    size_t      n;
} conf_list_t;

typedef struct {
    char       *listen;                  /* as written */
    char       *tls_cert;
    char       *tls_key;
    char       *tls_ca;
    char       *user;                    /* NULL: stay who we are */
    char       *interface_default;       /* NULL: the one reached */
    char       *log_level;
    char       *container_mode;
    char       *container_interface;     /* for requests that name none */
    char       *container_metadata;      /* NULL: none, the API is believed */
    char       *cri_runtime;
    char       *cri_state_folder;        /* NULL: no captures in pods */
    char       *cri_netns_folder;
    char       *exclude_filter;          /* NULL: none */
    char       *off_file;                /* NULL: none */
    char       *files_folder;            /* NULL: none are served */
    conf_list_t  allowed_names;
    conf_list_t  metrics_names;          /* for status and metrics alone */
    conf_list_t  interfaces;             /* patterns; none: all */
    conf_list_t  container_netns_paths;  /* with HANDLE in them */
    conf_list_t  container_state_paths;
    conf_containers_t  containers;       /* container_mode, parsed */
    conf_cri_t  cri;                     /* cri_runtime, parsed */
    uint64_t    buffer_bytes;            /* ring of one interface */
    uint64_t    buffer_bytes_total;      /* all rings of all captures */
    uint64_t    max_captures;
    uint64_t    max_unauthenticated;
    uint64_t    max_unauthenticated_per_address;
    uint64_t    retire_ms;
    uint64_t    enabled;                 /* 0 or 1 */
    uint64_t    max_snaplen;
    uint64_t    max_bandwidth;           /* bytes per second; 0: no limit */
    uint64_t    max_bandwidth_total;
    uint64_t    max_cpu_percent;         /* of a core; 0: no limit */
    uint64_t    drain_timeout;           /* milliseconds */
    endpoint_t  endpoint;                /* listen, parsed */
    int         level;                   /* log_level, parsed */
    unsigned    check:1;                 /* --check was given */
    unsigned    help:1;
    unsigned    syscalls:1;              /* --syscalls */
    unsigned    version:1;
} conf_t;


/*
 * Fills *conf from the arguments of the program and the file that they name
 * with --config; flags win over the file, defaults stand for the rest.
 * err (CONF_ERR_LEN bytes) names the key and says what is allowed. Returns 0
 * or -1. Call conf_free() in either case.
 */
int conf_load(conf_t *conf, int argc, char **argv, char *err);

/*
 * Checks the keys for containers and fills in the paths of a Diego cell
 * where none are named. Part of conf_load().
 */
int conf_containers(conf_t *conf, char *err);

/* The name of a mode, as container_mode has it. */
const char *conf_containers_name(conf_containers_t mode);

/*
 * Checks the keys for pods and fills in the folders of the runtime where none
 * are named. Part of conf_load().
 */
int conf_cri(conf_t *conf, char *err);

/* The name of a runtime, as cri_runtime has it. */
const char *conf_cri_name(conf_cri_t cri);

/* Are there captures for which a network namespace is entered? 1 or 0. */
int conf_enters(const conf_t *conf);

/* The lines of --help on stdout. */
void conf_help(void);

/* Frees the texts. */
void conf_free(conf_t *conf);


#endif /* AGENT_CONF_H */
