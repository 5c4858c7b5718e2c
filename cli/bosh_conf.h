/*
 * cli/bosh_conf.h: the bosh CLI's config file as text: finds an environment
 * in it, and makes the text anew with other tokens, everything else kept
 * (but for comments and layout, which the bosh CLI drops, too). The file is
 * not trusted: nothing here follows an alias more than once. Knows nothing
 * of files; bosh-cli 7, cmd/config/fs_config.go.
 */

#ifndef CLI_BOSH_CONF_H
#define CLI_BOSH_CONF_H

#include "store.h"


/* One environment; all owned, NULL where absent or no text. */

typedef struct {
    char  *url;
    char  *alias;
    char  *ca_cert;
    char  *username;
    char  *password;
    char  *access_token;
    char  *refresh_token;
} bosh_env_t;


/*
 * Looks for the environment whose url or alias is name (the first, as the
 * bosh CLI does) in len bytes of YAML. Returns 1 with env filled, 0 when
 * there is none, or -1 with err (PCAPX_ERR_LEN bytes): not YAML, or too
 * long. Call bosh_env_free() in each case.
 */
int bosh_conf_find(bosh_env_t *env, const char *text, size_t len,
    const char *name, char *err);

void bosh_env_free(bosh_env_t *env);

/*
 * The text with other tokens in environment name; refresh may be NULL: it
 * keeps the old one. Returns an allocated text with a NUL behind its *out_len
 * bytes, which the caller wipes and frees, or NULL with err filled.
 */
char *bosh_conf_update(const char *text, size_t len, const char *name,
    const char *access, const char *refresh, size_t *out_len, char *err);

/* "prod, staging": aliases that are there, cut to max; "" for none. */
void bosh_conf_names(char *dst, size_t max, const char *text, size_t len);


#endif /* CLI_BOSH_CONF_H */
