/*
 * cli/kubeconfig.h: kubectl's config files as texts: several are put together
 * by kubectl's rule (the first one to name a value or an entry has it), and
 * what a context says of namespace, user and cluster is taken out. The files
 * are not trusted. Reads no file and runs nothing. Source: kubernetes
 * client-go, tools/clientcmd.
 */

#ifndef CLI_KUBECONFIG_H
#define CLI_KUBECONFIG_H

#include <stddef.h>


/* KUBECONFIG names a few. */
#define KUBE_MAX_FILES  64

typedef struct kube_file_s  kube_file_t;

/* Several files. Start it zeroed. */

typedef struct {
    kube_file_t  *first;
    kube_file_t  *last;
    unsigned      nfiles;
} kube_files_t;

typedef enum {
    KUBE_IF_AVAILABLE = 0,     /* v1beta1 where nothing is said */
    KUBE_NEVER,
    KUBE_ALWAYS
} kube_mode_t;

/* A credential plugin; command is NULL where there is none. */

typedef struct {
    char         *version;     /* "client.authentication.k8s.io/v1" */
    char         *command;     /* without a slash: to be found on PATH */
    char        **args;        /* ends with NULL; NULL: none */
    char        **env;         /* "NAME=value"; the same */
    char         *hint;        /* how to install it, or NULL */
    kube_mode_t   mode;
    unsigned      cluster_info:1;
} kube_exec_t;

/* What a plugin may be told. Paths and data as kube_user_t's. */

typedef struct {
    char     *server;          /* NULL: the cluster is not known */
    char     *tls_name;
    char     *ca_file;
    char     *ca_data;
    char     *proxy;
    char     *config;          /* JSON text */
    unsigned  insecure:1;
} kube_cluster_t;

/*
 * All owned, NULL where absent. Files have a path that begins with their
 * kubeconfig's folder, unless they are absolute; data is base64.
 */

typedef struct {
    char         *token;
    char         *token_file;
    char         *cert_file;
    char         *cert_data;
    char         *key_file;
    char         *key_data;
    kube_exec_t   exec;
    unsigned      has_provider:1;      /* auth-provider */
    unsigned      has_password:1;      /* username, password */
    unsigned      has_as:1;            /* acts as somebody else */
} kube_user_t;

typedef struct {
    char           *context;           /* its name */
    char           *cluster_name;
    char           *user_name;
    char           *namespace;         /* NULL: none is named */
    kube_cluster_t  cluster;
    kube_user_t     user;
} kube_choice_t;


/*
 * Adds a file behind those that are there: len bytes of text, which was read
 * at path (for the folder). Copies what it needs. 0, or -1 with err
 * (PCAPX_ERR_LEN bytes): not YAML, no kubeconfig, too long.
 */
int kube_add(kube_files_t *k, const char *path, const char *text, size_t len,
    char *err);

void kube_files_free(kube_files_t *k);

/* Does none of the files name a context, a cluster or a user? */
int kube_is_empty(const kube_files_t *k);

/*
 * Fills c's names by the context of that name, NULL: by the current one. 0, or
 * -1 with err: there is none, or something of it is no text. Call
 * kube_choice_free() in both cases.
 */
int kube_choose(kube_choice_t *c, const kube_files_t *k, const char *context,
    char *err);

/*
 * Fills user and, where a plugin asks for it, cluster of a choice. 0, or -1
 * with err: the user is not there, or something is not of the kind that it has
 * to be.
 */
int kube_choose_user(kube_choice_t *c, const kube_files_t *k, char *err);

void kube_choice_free(kube_choice_t *c);


#endif /* CLI_KUBECONFIG_H */
