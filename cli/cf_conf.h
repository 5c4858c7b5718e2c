/*
 * cli/cf_conf.h: the cf CLI's config file as text: what a capture needs of
 * it, and the text anew with other tokens, everything else kept in its order.
 * Knows nothing of files. Source: cloudfoundry/cli util/configv3/
 * json_config.go.
 */

#ifndef CLI_CF_CONF_H
#define CLI_CF_CONF_H

#include <stddef.h>


/* All owned; NULL where absent, empty or no text. */

typedef struct {
    char      *access;         /* without the "bearer " before it */
    char      *refresh;
    char      *target;         /* URL of the Cloud Controller */
    char      *client;         /* UAA client, "cf" where none is named */
    char      *secret;
    char      *space_guid;
    char      *space;
    char      *org;
    unsigned   as_client:1;    /* UAAGrantType is client_credentials */
    unsigned   ssl_disabled:1;
} cf_conf_t;


/*
 * Reads len bytes of JSON. Returns 0 with c filled, or -1 with err
 * (PCAPX_ERR_LEN bytes): not JSON, or too long. Call cf_conf_free() in both
 * cases.
 */
int cf_conf_read(cf_conf_t *c, const char *text, size_t len, char *err);

void cf_conf_free(cf_conf_t *c);

/*
 * The text with other tokens; refresh may be NULL: the old one stays. Layout
 * is that of the cf CLI (two blanks). Returns an allocated text of *out_len
 * bytes, which the caller wipes and frees, or NULL with err filled.
 */
char *cf_conf_update(const char *text, size_t len, const char *access,
    const char *refresh, size_t *out_len, char *err);

/* The token behind "bearer ", in any case; s itself where that is absent. */
const char *cf_conf_token(const char *s);


#endif /* CLI_CF_CONF_H */
