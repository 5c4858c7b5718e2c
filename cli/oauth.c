/*
 * cli/oauth.c: UAA's POST /oauth/token as bosh and cf CLI ask it: the client
 * by Basic, the rest as a form (bosh-cli 7: uaa/uaa.go; cf CLI 8:
 * api/uaa/refresh_token.go). The form and the answer are wiped.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oauth.h"
#include "text.h"
#include "wipe.h"


/* "name=value" encoded behind dst's text; the caller made room. */
static void
oauth_form_add(char *dst, const char *name, const char *value)
{
    size_t  n;

    n = strlen(dst);
    n += (size_t) snprintf(dst + n, 64, "%s%s=", n ? "&" : "", name);
    n += pcapx_form_encode(dst + n, 3 * strlen(value), value, strlen(value));
    dst[n] = '\0';
}


/* The form of a grant: with a refresh token, or as a client. */
static char *
oauth_form(const char *refresh)
{
    char  *form;

    form = calloc(1, 256 + (refresh != NULL ? 3 * strlen(refresh) : 0));

    if (form != NULL && refresh != NULL) {
        oauth_form_add(form, "grant_type", "refresh_token");
        oauth_form_add(form, "refresh_token", refresh);

    } else if (form != NULL) {
        oauth_form_add(form, "grant_type", "client_credentials");
    }

    return form;
}


/* A text member that is not empty, or NULL. */
static const char *
oauth_text(const json_t *doc, const char *key)
{
    const char  *s;

    s = json_string_value(json_object_get(doc, key));

    return s != NULL && *s != '\0' ? s : NULL;
}


/* Copies a token out of the answer when it can stand in a request. */
static char *
oauth_take(const json_t *doc, const char *key)
{
    const char  *s;

    s = oauth_text(doc, key);

    return s != NULL && conf_token_ok(s, strlen(s)) ? strdup(s) : NULL;
}


/*
 * The UAA refuses. Its error_description may hold the refresh token itself
 * ("Invalid refresh token (expired): eyJ..."), so only the short code is
 * shown.
 */
static cli_exit_t
oauth_refused(const api_request_t *q, const oauth_ask_t *ask,
    const json_t *doc)
{
    char         code[48];
    msg_t       *msg;
    const char  *s, *host;

    msg = q->api->msg;
    host = q->api->conf->host;
    s = oauth_text(doc, "error");
    text_clean(code, sizeof(code), s != NULL ? s : "no reason",
               s != NULL ? strlen(s) : 9);

    /* RFC 6749 5.2: 400 and 401 are about the grant. */
    if (q->reply.status != 400 && q->reply.status != 401) {
        msg_error(msg, "the UAA at %.100s answers HTTP %ld", host,
                  q->reply.status);
        return CLI_FAILED;
    }

    if (ask->refresh == NULL) {
        msg_error(msg, "the UAA at %.100s refuses the client %.60s (%s): %s",
                  host, ask->client, code, ask->hint);

    } else {
        msg_error(msg, "the UAA at %.100s does not refresh the token (%s):"
                  " %s", host, code, ask->hint);
    }

    return CLI_DENIED;
}


static cli_exit_t
oauth_parse(const api_request_t *q, const oauth_ask_t *ask,
    oauth_grant_t *grant)
{
    json_t      *doc;
    cli_exit_t   code;
    const char  *type;

    doc = q->reply.body != NULL
          ? json_loadb(q->reply.body, q->reply.body_len,
                       JSON_REJECT_DUPLICATES, NULL)
          : NULL;

    if (q->reply.status != 200) {
        code = oauth_refused(q, ask, doc);
        json_decref(doc);
        return code;
    }

    type = oauth_text(doc, "token_type");

    if (type == NULL || strcasecmp(type, "bearer") == 0) {
        grant->access = oauth_take(doc, "access_token");
        grant->refresh = oauth_take(doc, "refresh_token");
    }

    json_decref(doc);

    if (grant->access == NULL) {
        msg_error(q->api->msg, "the UAA at %.100s answers without a token",
                  q->api->conf->host);
        return CLI_FAILED;
    }

    return CLI_OK;
}


/* Prepares the request; the form is set by hand, so that -v shows none. */
static int
oauth_request(api_request_t *q, const api_t *api, const oauth_ask_t *ask)
{
    if (api_request_init(q, api, "POST", "/oauth/token", NULL) != 0) {
        return -1;
    }

    q->form = oauth_form(ask->refresh);
    if (q->form == NULL) {
        return -1;
    }

    curl_easy_setopt(q->easy, CURLOPT_POSTFIELDSIZE, (long) strlen(q->form));
    curl_easy_setopt(q->easy, CURLOPT_POSTFIELDS, q->form);
    curl_easy_setopt(q->easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
    curl_easy_setopt(q->easy, CURLOPT_USERNAME, ask->client);
    curl_easy_setopt(q->easy, CURLOPT_PASSWORD,
                     ask->secret != NULL ? ask->secret : "");

    return 0;
}


cli_exit_t
oauth_token(const conf_t *conf, msg_t *msg, const conf_wait_t *wait,
    const oauth_ask_t *ask, oauth_grant_t *grant)
{
    cli_exit_t      code;
    api_t           api = { conf, msg };
    api_request_t   q = { 0 };

    if (oauth_request(&q, &api, ask) != 0) {
        msg_error(msg, "out of memory");
        code = CLI_FAILED;

    } else {
        code = api_ask(&q, &api, wait, "UAA", "POST", "/oauth/token");
    }

    if (code == CLI_OK) {
        code = oauth_parse(&q, ask, grant);
    }

    if (q.form != NULL) {
        wipe(q.form, strlen(q.form));
    }

    if (q.reply.body != NULL) {
        wipe(q.reply.body, q.reply.body_len);
    }

    api_request_free(&q);

    return code;
}


void
oauth_wipe(oauth_grant_t *grant)
{
    wipe_free(grant->access);
    wipe_free(grant->refresh);
    grant->access = NULL;
    grant->refresh = NULL;
}
