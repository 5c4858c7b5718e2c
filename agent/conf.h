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

typedef struct {
    char       *listen;                  /* as written */
    char       *tls_cert;
    char       *tls_key;
    char       *tls_ca;
    char       *user;                    /* NULL: stay who we are */
    char       *interface_default;       /* NULL: the one reached */
    char       *log_level;
    char       *allowed_names[CONF_MAX_NAMES];
    size_t      nallowed_names;
    uint64_t    buffer_bytes;            /* ring of one interface */
    uint64_t    buffer_bytes_total;      /* all rings of all captures */
    uint64_t    max_captures;
    uint64_t    max_unauthenticated;
    uint64_t    max_unauthenticated_per_address;
    uint64_t    retire_ms;
    endpoint_t  endpoint;                /* listen, parsed */
    int         level;                   /* log_level, parsed */
    unsigned    check:1;                 /* --check was given */
    unsigned    help:1;
    unsigned    version:1;
} conf_t;


/*
 * Fills *conf from the arguments of the program and the file that they name
 * with --config; flags win over the file, defaults stand for the rest.
 * err (CONF_ERR_LEN bytes) names the key and says what is allowed. Returns 0
 * or -1. Call conf_free() in either case.
 */
int conf_load(conf_t *conf, int argc, char **argv, char *err);

/* The lines of --help on stdout. */
void conf_help(void);

/* Frees the texts. */
void conf_free(conf_t *conf);


#endif /* AGENT_CONF_H */
