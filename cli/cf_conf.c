/*
 * cli/cf_conf.c: ~/.cf/config.json. jansson keeps the order of keys; numbers
 * keep their value. The document in memory is not wiped (jansson owns it),
 * what is taken out of it is.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cf_conf.h"
#include "pcapx/valid.h"
#include "store.h"
#include "wipe.h"


#define CF_BEARER       "bearer "
#define CF_BEARER_LEN   (sizeof(CF_BEARER) - 1)

/* The cf CLI's own client (util/configv3/json_config.go, defaults.go). */
#define CF_CLIENT       "cf"


static json_t *
cf_conf_parse(const char *text, size_t len, char *err)
{
    json_t       *doc;
    json_error_t  e;

    if (len > STORE_MAX_BYTES) {
        snprintf(err, PCAPX_ERR_LEN, "it is longer than %d bytes",
                 STORE_MAX_BYTES);
        return NULL;
    }

    doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);

    if (doc == NULL) {
        /* jansson quotes what it did not expect: a token, it may be. */
        snprintf(err, PCAPX_ERR_LEN, "it is not JSON (line %d)", e.line);
        return NULL;
    }

    if (!json_is_object(doc)) {
        snprintf(err, PCAPX_ERR_LEN, "it is not a JSON object");
        json_decref(doc);
        return NULL;
    }

    return doc;
}


/* A copy of a text member that is not empty, or NULL. */
static char *
cf_conf_text(const json_t *doc, const char *key)
{
    const char  *s;

    s = json_string_value(json_object_get(doc, key));

    return s != NULL && *s != '\0' ? strdup(s) : NULL;
}


const char *
cf_conf_token(const char *s)
{
    return strncasecmp(s, CF_BEARER, CF_BEARER_LEN) == 0
           ? s + CF_BEARER_LEN : s;
}


int
cf_conf_read(cf_conf_t *c, const char *text, size_t len, char *err)
{
    json_t      *doc, *space;
    const char  *s;

    memset(c, 0, sizeof(cf_conf_t));

    doc = cf_conf_parse(text, len, err);
    if (doc == NULL) {
        return -1;
    }

    s = json_string_value(json_object_get(doc, "AccessToken"));
    s = s != NULL ? cf_conf_token(s) : "";
    c->access = *s != '\0' ? strdup(s) : NULL;

    c->refresh = cf_conf_text(doc, "RefreshToken");
    c->target = cf_conf_text(doc, "Target");
    c->client = cf_conf_text(doc, "UAAOAuthClient");
    c->secret = cf_conf_text(doc, "UAAOAuthClientSecret");

    if (c->client == NULL) {
        c->client = strdup(CF_CLIENT);
    }

    space = json_object_get(doc, "SpaceFields");
    c->space_guid = cf_conf_text(space, "GUID");
    c->space = cf_conf_text(space, "Name");
    c->org = cf_conf_text(json_object_get(doc, "OrganizationFields"), "Name");

    s = json_string_value(json_object_get(doc, "UAAGrantType"));
    c->as_client = s != NULL && strcmp(s, "client_credentials") == 0;
    c->ssl_disabled = json_is_true(json_object_get(doc, "SSLDisabled"));

    json_decref(doc);

    return 0;
}


void
cf_conf_free(cf_conf_t *c)
{
    wipe_free(c->access);
    wipe_free(c->refresh);
    wipe_free(c->secret);
    free(c->target);
    free(c->client);
    free(c->space_guid);
    free(c->space);
    free(c->org);
    memset(c, 0, sizeof(cf_conf_t));
}


/* "bearer TOKEN", as the cf CLI writes it. */
static int
cf_conf_set_access(json_t *doc, const char *access)
{
    int     rc;
    char   *s;
    size_t  len;

    len = strlen(access) + CF_BEARER_LEN + 1;

    s = malloc(len);
    if (s == NULL) {
        return -1;
    }

    snprintf(s, len, CF_BEARER "%s", access);
    rc = json_object_set_new(doc, "AccessToken", json_string(s));
    wipe_free(s);

    return rc;
}


char *
cf_conf_update(const char *text, size_t len, const char *access,
    const char *refresh, size_t *out_len, char *err)
{
    char    *out;
    json_t  *doc;

    out = NULL;

    doc = cf_conf_parse(text, len, err);
    if (doc == NULL) {
        return NULL;
    }

    if (cf_conf_set_access(doc, access) == 0
        && (refresh == NULL
            || json_object_set_new(doc, "RefreshToken", json_string(refresh))
               == 0))
    {
        out = json_dumps(doc, JSON_INDENT(2));
    }

    if (out == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory, or a token that is no"
                 " text");

    } else {
        *out_len = strlen(out);
    }

    json_decref(doc);

    return out;
}
