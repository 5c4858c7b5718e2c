/*
 * cli/conf.h: who to talk to and as whom: the API's address, trust and token
 * out of options and environment. The token lives in one buffer that is
 * wiped; nothing prints it.
 */

#ifndef CLI_CONF_H
#define CLI_CONF_H

#include <stdint.h>

#include "opt.h"


typedef struct {
    char         *url;          /* base without trailing slash, owned */
    char         *host;         /* for messages, owned */
    const char   *ca_cert;      /* NULL: the system's; aliases */
    char         *token;        /* owned, wiped; NULL: none */
    uint64_t      timeout_ms;
    unsigned      insecure:1;
} conf_t;


/*
 * Fills conf from o and the environment (PCAP_API, PCAP_CA, PCAP_TOKEN);
 * options win. Returns 0, or -1 with err (PCAPX_ERR_LEN bytes) filled. Call
 * conf_free() in both cases.
 */
int conf_load(conf_t *conf, const opt_t *o, char *err);

void conf_free(conf_t *conf);

/*
 * Is this a token that may stand in a header: 1 to CLI_MAX_TOKEN_BYTES
 * printable ASCII characters without blanks? (RFC 6750 2.1 allows fewer, but
 * what else a server issued is its matter.)
 */
int conf_token_ok(const char *s, size_t len);

/*
 * Normalises a base URL: https only, no user, query or fragment. Returns an
 * allocated text without trailing slash, and the host in *host (allocated),
 * or NULL with err filled.
 */
char *conf_url(const char *s, char **host, char *err);

/*
 * Overwrites the value of --token in argv, so that it does not stay in the
 * process list. conf_load() must have copied it.
 */
void conf_hide_token(const opt_t *o);


#endif /* CLI_CONF_H */
