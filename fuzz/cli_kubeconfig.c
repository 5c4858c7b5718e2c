/*
 * fuzz/cli_kubeconfig.c: any bytes as kubectl's config, in one file or two
 * (a line of "%%%" divides them), and as what a credential plugin prints.
 * What is chosen must be texts with all that a plugin needs; what a plugin is
 * told must be JSON; what is taken from one must be of use.
 */

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/k8s.h"
#include "pcapx/valid.h"
#include "fuzz/require.h"


#define DIVIDER  "%%%\n"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
try_plugin(const kube_choice_t *c)
{
    char    *text;
    char     err[PCAPX_ERR_LEN] = "";
    json_t  *doc;
    size_t   i;

    const kube_exec_t  *x;

    x = &c->user.exec;

    if (x->command == NULL) {
        return;
    }

    require(*x->command != '\0' && x->version != NULL);
    require(x->mode <= KUBE_ALWAYS);

    for (i = 0; x->env != NULL && x->env[i] != NULL; i++) {
        require(strchr(x->env[i], '=') > x->env[i]);
    }

    /* No file of ours is read. */
    if (c->cluster.ca_file != NULL && c->cluster.ca_data == NULL) {
        return;
    }

    text = k8s_cred_ask(c, 1, err);
    require(text != NULL || *err != '\0');

    if (text != NULL) {
        doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        require(json_is_object(json_object_get(doc, "spec")));
        json_decref(doc);
        free(text);
    }
}


static void
try_choice(const kube_files_t *k, const char *context)
{
    int            rc;
    char           err[PCAPX_ERR_LEN] = "";
    kube_choice_t  c;

    rc = kube_choose(&c, k, context, err);

    if (rc == 0) {
        require(c.context != NULL);
        rc = kube_choose_user(&c, k, err);
    }

    if (rc == 0) {
        require(c.user_name != NULL);
        try_plugin(&c);

    } else {
        require(*err != '\0' && strlen(err) < PCAPX_ERR_LEN);
    }

    kube_choice_free(&c);
}


static void
try_answer(const char *text, size_t len)
{
    char        err[PCAPX_ERR_LEN] = "";
    char       *made;
    k8s_cred_t  c;

    if (k8s_cred_read(&c, text, len, "client.authentication.k8s.io/v1", err)
        == 0)
    {
        require(c.token != NULL || c.cert != NULL);
        require((c.cert == NULL) == (c.key == NULL));
        require(c.token == NULL || conf_token_ok(c.token, strlen(c.token)));
        require(c.ends_s >= 0);

    } else {
        require(*err != '\0');
    }

    k8s_cred_free(&c);

    made = k8s_cred_decode(text);
    require(made == NULL || strlen(made) <= len);
    free(made);

    (void) k8s_cred_time(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char          err[PCAPX_ERR_LEN] = "";
    char         *text;
    size_t        first;
    kube_files_t  k = { NULL, NULL, 0 };
    const char   *behind;

    /* In memory of exactly its size, but for a NUL. */
    text = malloc(size + 1);
    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';

    behind = strstr(text, DIVIDER);
    first = behind != NULL ? (size_t) (behind - text) : size;

    if (kube_add(&k, "a/config", text, first, err) == 0
        && (behind == NULL
            || kube_add(&k, "/b/config", behind + sizeof(DIVIDER) - 1,
                        size - first - (sizeof(DIVIDER) - 1), err) == 0))
    {
        (void) kube_is_empty(&k);
        try_choice(&k, NULL);
        try_choice(&k, "a");

    } else {
        require(*err != '\0');
    }

    kube_files_free(&k);
    try_answer(text, size);
    free(text);

    return 0;
}
