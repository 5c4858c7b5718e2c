/*
 * store/conf.h: the configuration of pcap-store, from a JSON file and from
 * flags that have the same names. Read once at the start; nothing in it
 * comes from the network.
 */

#ifndef STORE_CONF_H
#define STORE_CONF_H

#include <stdint.h>
#include <sys/types.h>

#include "s3.h"


#define CONF_ERR_LEN       512
#define CONF_MAX_FILE      65536
#define CONF_MAX_CAPTURES  1024

/* Where captures go that have a better place than this disk. */

typedef struct {
    char      *endpoint;
    char      *public_endpoint;          /* NULL: endpoint */
    char      *region;
    char      *bucket;
    char      *prefix;                   /* of keys */
    char      *access_key;
    char      *secret_key;               /* also when it was in a file */
    char      *secret_key_file;
    char      *session_token;            /* NULL: none */
    char      *style;
    char      *ca_file;                  /* NULL: the system's */
    uint64_t   stall;                    /* milliseconds */
    uint64_t   retry;
    uint64_t   lifecycle_days;           /* 0: no rule is written */
    uint64_t   allow_http;
    unsigned   wanted:1;                 /* there is such an object */
} conf_s3_t;

typedef struct {
    char      *listen;                   /* unix socket that nginx asks */
    char      *listen_mode;              /* its mode, octal */
    char      *peer_user;                /* NULL: the one we are */
    char      *api;                      /* unix socket of nginx */
    char      *folder;                   /* where the files are */
    char      *user;                     /* NULL: stay who we are */
    char      *log_level;
    uint64_t   max_bytes;                /* of all files */
    uint64_t   max_bytes_per_user;
    uint64_t   max_captures;             /* waiting or running */
    uint64_t   max_captures_per_user;
    uint64_t   keep_records;             /* milliseconds */
    mode_t     mode;                     /* listen_mode, parsed */
    uid_t      uid;                      /* who we are to be; never root */
    gid_t      gid;
    uid_t      peer_uid;                 /* peer_user, found */
    int        level;                    /* log_level, parsed */
    char      *compress;
    uint64_t   zstd_level;
    unsigned   zstd;                     /* the level; 0: no compress */
    conf_s3_t  s3;
    unsigned   check:1;                  /* --check was given */
    unsigned   help:1;
    unsigned   version:1;
} conf_t;


/*
 * Fills *conf from the arguments of the program and the file that they name
 * with --config; flags win over the file, defaults stand for the rest. With
 * --help or --version nothing else is looked at. Returns 0, or -1 with a
 * sentence in err that names the key and what is allowed. conf_free() is due
 * in either case.
 */
int conf_load(conf_t *conf, int argc, char **argv, char *err);

/*
 * Whether the folder is one: there, the user's, and nobody else may write
 * into it. 0, or -1 with a sentence in err.
 */
int conf_folder(const conf_t *conf, char *err);

/* How S3 is asked: what points into *conf, and lives no longer. */
s3_conf_t conf_s3(const conf_t *conf);

/* Wipes the keys to S3 from this process, which has no need of them. */
void conf_forget(const conf_t *conf);

/* Prints the usage, made of the same table as the parser. */
void conf_help(void);

void conf_free(conf_t *conf);


#endif /* STORE_CONF_H */
