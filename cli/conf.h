/*
 * cli/conf.h: who to talk to and as whom: the API's address, trust and token
 * out of options and environment. The token lives in one buffer that is
 * wiped; nothing prints it.
 */

#ifndef CLI_CONF_H
#define CLI_CONF_H

#include <stdint.h>
#include <sys/types.h>

#include "cli.h"
#include "msg.h"
#include "opt.h"


/* What goes on while a server is waited for. */

typedef struct {
    /* Does what is due, and waits for more, some 10 ms at most. Returns 0, or
     * -1: there is nothing left to wait for. */
    int         (*turn)(void *ctx);
    void         *ctx;
} conf_wait_t;

typedef struct {
    char         *url;          /* base without trailing slash, owned */
    char         *host;         /* for messages, owned */
    const char   *ca_cert;      /* a file, trusted alone; NULL; aliases */
    char         *ca_pem;       /* certificates, owned; without ca_cert */
    char         *proxy;        /* owned; NULL: as the environment says */
    char         *token;        /* owned, wiped; NULL: none */
    int64_t       token_ends_s; /* as its issuer says, Unix time; 0: it does
                                   not, but the token itself may */
    char         *cert_pem;     /* shown to the API alone, owned; NULL: none */
    char         *key_pem;      /* of cert_pem; owned, wiped */
    uint64_t      timeout_ms;
    /* See conf_renew(); NULL: cannot. */
    int         (*renew)(void *ctx, const conf_wait_t *wait);
    void         *renew_ctx;
    pid_t         parent;       /* it ends with this one, whose terminal is a
                                   shell's after Ctrl-C; 0: on its own */
    unsigned      insecure:1;
    unsigned      system_too:1; /* ca_pem has the system's, its folder too */
    unsigned      asked:1;      /* the targets were shown before */
    unsigned      again:1;      /* a 401 is answered with CLI_AGAIN */
} conf_t;


/* What is done when all of this is known: a capture, a list. The exit code. */
typedef cli_exit_t (*conf_command_t)(const opt_t *opt, const conf_t *conf,
    msg_t *msg);


/*
 * Fills conf from o and the environment (PCAP_API, PCAP_CA, PCAP_TOKEN);
 * options win. Returns 0, or -1 with err (PCAPX_ERR_LEN bytes) filled. Call
 * conf_free() in both cases.
 */
int conf_load(conf_t *conf, const opt_t *o, char *err);

void conf_free(conf_t *conf);

/*
 * Address, trust and timeout without any token; s is the URL, whose ("the
 * API") stands in messages. As conf_load().
 */
int conf_init(conf_t *conf, const opt_t *o, const char *s, const char *whose,
    char *err);

/*
 * The token that --token, --token-file or PCAP_TOKEN gives, into conf->token
 * (NULL when there is none). 0, or -1 with err filled.
 */
int conf_given_token(conf_t *conf, const opt_t *o, char *err);

/*
 * Replaces conf->token; the old one is wiped, and nobody says when the new one
 * ends. 0, or -1 without memory.
 */
int conf_set_token(conf_t *conf, const char *token);

/*
 * Gets a fresh token into conf->token when its owner can (it asks a server
 * once, and writes a file). Returns when that is done; meanwhile wait's turns
 * are taken. 0; -1: there is none to be had; 1: the server did not answer as it
 * should, a later try may help. What is not 0 was told already, unless nobody
 * can get one.
 */
int conf_renew(const conf_t *conf, const conf_wait_t *wait);

/* Is it known that conf's token (there is one) ends within seconds from now? */
int conf_token_ends_within(const conf_t *conf, int seconds);

/*
 * Is this a token that may stand in a header: 1 to CLI_MAX_TOKEN_BYTES
 * printable ASCII characters without blanks? (RFC 6750 2.1 allows fewer, but
 * what else a server issued is its matter.)
 */
int conf_token_ok(const char *s, size_t len);

/*
 * Normalises a base URL: https only, no user, query or fragment. whose ("the
 * API") stands in messages. Returns an allocated text without trailing slash,
 * and the host in *host (allocated), or NULL with err filled.
 */
char *conf_url(const char *s, const char *whose, char **host, char *err);

/*
 * What the times between tries are divided by, for tests alone: 1, or what
 * PCAP_CLI_TIME_SCALE says, see the manual page.
 */
uint64_t conf_time_scale(void);

/*
 * Overwrites the values of --token and --client-secret in argv, so that they
 * do not stay in the process list. Both must have been copied.
 */
void conf_hide_token(const opt_t *o);


#endif /* CLI_CONF_H */
