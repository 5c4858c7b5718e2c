/*
 * cli/k8s.h: `pcap-cli k8s`: takes over where kubectl is logged in. k8s.c
 * settles what is asked of whom, k8s_login.c has a token and keeps it fresh,
 * k8s_cred.c is what credential plugins are told and say. Tokens and keys
 * never leave these rooms but towards the pcap API; the cluster itself is
 * never asked.
 */

#ifndef CLI_K8S_H
#define CLI_K8S_H

#include "cli.h"
#include "conf.h"
#include "kubeconfig.h"


/* Where the token is from. */

typedef enum {
    K8S_NOWHERE = 0,       /* only a certificate */
    K8S_GIVEN,             /* --token and the like */
    K8S_WRITTEN,           /* in the kubeconfig itself */
    K8S_FILE,              /* read again when it ends */
    K8S_PLUGIN
} k8s_source_t;

typedef struct {
    const opt_t        *opt;
    msg_t              *msg;
    conf_command_t      command;
    char               *namespace;     /* owned */
    kube_choice_t       choice;        /* zeroed in a pod */
    k8s_source_t        source;
    const char         *token_file;    /* of K8S_FILE; aliases */
    conf_t              api;
    const conf_wait_t  *wait;          /* a capture runs, NULL: none */
    uint64_t            fresh_ms;      /* when the token was got */
    unsigned            in_pod:1;
} k8s_t;

/* What a plugin hands out; owned, NULL where it is not there. */

typedef struct {
    char     *token;
    char     *cert;        /* PEM */
    char     *key;
    int64_t   ends_s;      /* Unix time, 0: not told */
} k8s_cred_t;


/*
 * Runs a command with the token of a kubeconfig: a capture, for `pcap-cli
 * k8s`, or one about captures. Returns the exit code.
 */
cli_exit_t k8s_run(const opt_t *opt, msg_t *msg, conf_command_t command);


/* Between the files of this room. */

/*
 * A token into k->api, unless one was given, where it is from into k->source,
 * and a certificate, if that is asked for. CLI_OK, or an exit code (told).
 */
cli_exit_t k8s_login(k8s_t *k);

/*
 * The token (of a file or a plugin) was refused, or ends: another one, if it
 * was not got just now. CLI_OK; CLI_DENIED: there is none; else a later try
 * may help (told).
 */
cli_exit_t k8s_login_again(k8s_t *k);

/*
 * KUBERNETES_EXEC_INFO for the plugin of c, allocated; NULL with err
 * (PCAPX_ERR_LEN bytes): the cluster it has to be told of is not there.
 * interactive is 0 or 1.
 */
char *k8s_cred_ask(const kube_choice_t *c, unsigned interactive, char *err);

/*
 * Reads what a plugin printed, len bytes; version is the one that was asked
 * for. 0, or -1 with err: nothing of it stands there. Call k8s_cred_free() in
 * both cases.
 */
int k8s_cred_read(k8s_cred_t *cred, const char *text, size_t len,
    const char *version, char *err);

void k8s_cred_free(k8s_cred_t *cred);

/* "2026-11-22T19:05:00Z" (RFC 3339) as Unix time; -1: it is none. */
int64_t k8s_cred_time(const char *s);

/*
 * The bytes that base64 text stands for, with a NUL behind them, allocated;
 * NULL: it is no base64, or holds a NUL.
 */
char *k8s_cred_decode(const char *s);


#endif /* CLI_K8S_H */
