/*
 * store/conf.h: the configuration of pcap-store, from a JSON file and from
 * flags that have the same names. Read once at the start; nothing in it
 * comes from the network.
 */

#ifndef STORE_CONF_H
#define STORE_CONF_H

#include <stdint.h>
#include <sys/types.h>


#define CONF_ERR_LEN       512
#define CONF_MAX_FILE      65536
#define CONF_MAX_CAPTURES  1024

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

/* Prints the usage, made of the same table as the parser. */
void conf_help(void);

void conf_free(conf_t *conf);


#endif /* STORE_CONF_H */
