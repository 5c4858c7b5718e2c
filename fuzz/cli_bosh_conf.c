/*
 * fuzz/cli_bosh_conf.c: any bytes as the bosh CLI's config, and as a token
 * that may have ended. The first byte tells how many of the next ones are the
 * environment's name. What is found must be texts, and what is written anew
 * must be read again with the new tokens, in the same environment.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bosh_conf.h"
#include "cli/token.h"
#include "pcapx/valid.h"
#include "fuzz/require.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
try_update(const char *text, size_t len, const char *name)
{
    char         err[PCAPX_ERR_LEN];
    char        *made;
    size_t       n;
    bosh_env_t   env;

    made = bosh_conf_update(text, len, name, "ACCESS", "REFRESH", &n, err);
    if (made == NULL) {
        return;
    }

    if (n <= STORE_MAX_BYTES) {
        require(bosh_conf_find(&env, made, n, name, err) == 1);
        require(strcmp(env.access_token, "ACCESS") == 0);
        require(strcmp(env.refresh_token, "REFRESH") == 0);
        bosh_env_free(&env);
    }

    free(made);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char         err[PCAPX_ERR_LEN], names[100];
    char        *name, *text;
    size_t       n, len;
    bosh_env_t   env;

    if (size == 0) {
        return 0;
    }

    n = data[0] % 16;
    n = n < size ? n : size - 1;
    len = size - 1 - n;

    /* Both in memory of exactly their size. */
    name = strndup((const char *) data + 1, n);
    text = malloc(len + 1);
    require(name != NULL && text != NULL);
    memcpy(text, data + 1 + n, len);
    text[len] = '\0';

    (void) token_ends_within(text, 30);

    bosh_conf_names(names, sizeof(names), text, len);
    require(strlen(names) < sizeof(names));

    if (bosh_conf_find(&env, text, len, name, err) == 1) {
        require(env.url != NULL || env.alias != NULL);
        try_update(text, len, name);
    }

    bosh_env_free(&env);
    free(name);
    free(text);

    return 0;
}
