/*
 * cli/bosh_login.c: asks the Director who its UAA is, and the UAA for tokens
 * (UAA's POST /oauth/token; bosh-cli 7: uaa/uaa.go, uaa/client_request.go).
 * A refresh token is used by one process at a time: UAA may hand out another
 * one with each answer, and the config file is how the others learn of it.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bosh.h"
#include "capture.h"
#include "oauth.h"
#include "pcapx/valid.h"
#include "token.h"
#include "wipe.h"


/* The bosh CLI's own client; it has no secret (bosh-cli 7, cmd/session.go). */
#define LOGIN_CLIENT     "bosh_cli"

/* A capture asks three servers one after the other. */
#define LOGIN_MARGIN_S   30

/* A token that was got within this time is not asked for again. */
#define LOGIN_FRESH_MS   60000


static void
login_wipe(char **s)
{
    wipe_free(*s);
    *s = NULL;
}


/* A text member that is not empty, or NULL. */
static const char *
login_text(const json_t *doc, const char *key)
{
    const char  *s;

    s = json_string_value(json_object_get(doc, key));

    return s != NULL && *s != '\0' ? s : NULL;
}


/* The UAA's address out of user_authentication, or NULL. */
static const char *
login_uaa_url(const json_t *info)
{
    const char    *s;
    const json_t  *options;

    options = json_object_get(json_object_get(info, "user_authentication"),
                              "options");

    s = login_text(options, "url");
    if (s == NULL) {
        s = json_string_value(json_array_get(json_object_get(options,
                                                             "urls"), 0));
    }

    return s;
}


/* features.pcap.extras.url; features are {status, extras}. */
static const char *
login_api_url(const json_t *info)
{
    const json_t  *feature;

    feature = json_object_get(json_object_get(info, "features"), "pcap");

    if (json_is_false(json_object_get(feature, "status"))) {
        return NULL;
    }

    return login_text(json_object_get(feature, "extras"), "url");
}


cli_exit_t
bosh_login_info(bosh_t *b)
{
    json_t         *info;
    cli_exit_t      code;
    const char     *url;
    api_t           api = { &b->director, b->msg };
    api_request_t   q = { 0 };

    info = NULL;

    code = api_ask(&q, &api, b->wait, "Director", "GET", "/info");
    if (code != CLI_OK) {
        goto out;
    }

    if (q.reply.body != NULL) {
        info = json_loadb(q.reply.body, q.reply.body_len,
                          JSON_REJECT_DUPLICATES, NULL);
    }

    if (q.reply.status != 200 || !json_is_object(info)) {
        msg_error(b->msg, "%.100s does not answer as a Director does (GET"
                  " /info: HTTP %ld)", b->director.host, q.reply.status);
        code = CLI_FAILED;
        goto out;
    }

    url = login_uaa_url(info);
    b->uaa = url != NULL ? strdup(url) : NULL;

    url = login_api_url(info);
    b->api_url = url != NULL ? strdup(url) : NULL;

out:

    json_decref(info);
    api_request_free(&q);

    return code;
}


static int
login_set(bosh_t *b, const char *token)
{
    if (conf_set_token(&b->director, token) != 0
        || (b->api.url != NULL && conf_set_token(&b->api, token) != 0))
    {
        msg_error(b->msg, "out of memory");
        return CLI_FAILED;
    }

    return CLI_OK;
}


/* refresh is NULL for a client's grant. Fills grant, which was zeroed. */
static cli_exit_t
login_ask_uaa(bosh_t *b, const char *refresh, oauth_grant_t *grant)
{
    char          err[PCAPX_ERR_LEN], hint[150];
    conf_t        conf;
    cli_exit_t    code;
    oauth_ask_t   ask = { LOGIN_CLIENT, NULL, refresh, hint };

    if (b->uaa == NULL) {
        msg_error(b->msg, "the Director at %.100s names no UAA, and only a"
                  " UAA's tokens are good for a capture", b->director.host);
        return CLI_FAILED;
    }

    if (conf_init(&conf, b->opt, b->uaa, "the UAA", err) != 0) {
        msg_error(b->msg, "%s", err);
        conf_free(&conf);
        return CLI_FAILED;
    }

    conf.timeout_ms = b->director.timeout_ms;
    conf.ca_cert = b->director.ca_cert;
    conf.ca_pem = b->director.ca_pem;
    conf.proxy = b->director.proxy;

    if (refresh == NULL) {
        ask.client = b->client;
        ask.secret = b->secret;
        snprintf(hint, sizeof(hint), "check --client and --client-secret");

    } else {
        snprintf(hint, sizeof(hint), "log in with `bosh -e %.100s login`",
                 b->name);
    }

    code = oauth_token(&conf, b->msg, b->wait, &ask, grant);

    /* These are the Director's. */
    conf.ca_pem = NULL;
    conf.proxy = NULL;
    conf_free(&conf);

    return code;
}


/* What could not be kept in the file is good for this process. */
static void
login_keep(bosh_t *b, oauth_grant_t *grant)
{
    if (b->used == NULL) {
        b->used = strdup(b->env.refresh_token);
    }

    if (grant->refresh != NULL) {
        login_wipe(&b->env.refresh_token);
        b->env.refresh_token = grant->refresh;
        grant->refresh = NULL;
    }
}


static int
login_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}


/* Is the file that was read still of the login that the UAA was asked with?
 * 1, 0, or -1 with err filled. */
static int
login_is_kept(const bosh_t *b, char *err)
{
    int          rc;
    bosh_env_t   now;

    rc = bosh_conf_find(&now, b->store.text, b->store.len, b->name, err);

    if (rc == 1) {
        rc = login_same(now.url, b->env.url)
             && login_same(now.refresh_token, b->used != NULL
                           ? b->used : b->env.refresh_token);
    }

    bosh_env_free(&now);

    return rc;
}


/* The file with the new tokens. 1; 0: it is another login's; -1 with err. */
static int
login_write(bosh_t *b, const oauth_grant_t *grant, char *err)
{
    int      rc;
    char    *text;
    size_t   len;

    rc = store_read(&b->store, b->config_path, err);

    if (rc != 1) {
        if (rc == 0) {
            snprintf(err, PCAPX_ERR_LEN, "it is not there any more");
        }

        return -1;
    }

    rc = login_is_kept(b, err);
    if (rc != 1) {
        return rc;
    }

    text = bosh_conf_update(b->store.text, b->store.len, b->name,
                            grant->access, grant->refresh, &len, err);
    if (text == NULL) {
        return -1;
    }

    rc = store_write(&b->store, text, len, err);
    wipe(text, len);
    free(text);

    return rc == 0 ? 1 : -1;
}


/*
 * Puts the new tokens into the file, unless someone has logged in or out
 * while the UAA was asked: the bosh CLI does not know our lock.
 */
static void
login_save(bosh_t *b, oauth_grant_t *grant)
{
    int   rc;
    char  err[PCAPX_ERR_LEN];

    rc = login_write(b, grant, err);

    if (rc == 1) {
        login_wipe(&b->used);
        return;
    }

    if (rc == 0) {
        msg_debug(b->msg, "the refreshed token is not kept in %.100s: its"
                  " login has changed meanwhile", b->config_path);

    } else {
        msg_error(b->msg, "the refreshed token is not kept in %.100s: %s",
                  b->config_path, err);
    }

    login_keep(b, grant);
}


/* Has another process refreshed it since? The file is read anew. */
static cli_exit_t
login_reread(bosh_t *b)
{
    int          rc;
    char         err[PCAPX_ERR_LEN];
    bosh_env_t   env;
    const char  *old;

    rc = store_read(&b->store, b->config_path, err);

    if (rc == 1) {
        rc = bosh_conf_find(&env, b->store.text, b->store.len, b->name, err);

        if (rc == 1 && b->used != NULL && env.refresh_token != NULL
            && strcmp(b->used, env.refresh_token) == 0)
        {
            /* Nobody has changed it: what is known here is newer. */
            bosh_env_free(&env);
            return CLI_AGAIN;
        }

        if (rc == 1 && !login_same(env.url, b->env.url)) {
            /* A token never goes to another Director's UAA. */
            snprintf(err, sizeof(err), "the environment is another Director's"
                     " by now");
            rc = -1;
        }

        if (rc == 1) {
            login_wipe(&b->used);
            bosh_env_free(&b->env);
            b->env = env;

        } else {
            bosh_env_free(&env);
        }
    }

    if (rc == -1) {
        msg_error(b->msg, "%.100s: %s", b->config_path, err);
        return CLI_FAILED;
    }

    old = b->director.token;

    if (rc == 0 || b->env.access_token == NULL
        || !conf_token_ok(b->env.access_token, strlen(b->env.access_token))
        || (old != NULL && strcmp(old, b->env.access_token) == 0)
        || token_ends_within(b->env.access_token, LOGIN_MARGIN_S))
    {
        return CLI_AGAIN;
    }

    b->fresh_ms = capture_now();

    return login_set(b, b->env.access_token);
}


static cli_exit_t
login_not_logged_in(const bosh_t *b)
{
    msg_error(b->msg, "not logged in at %.100s: use `bosh -e %.100s login`,"
              " or --client and --client-secret", b->director.host, b->name);

    return CLI_DENIED;
}


/* CLI_OK with a fresh token, whoever asked for it. */
static cli_exit_t
login_refresh(bosh_t *b)
{
    int             lock;
    char            err[PCAPX_ERR_LEN];
    cli_exit_t      code;
    oauth_grant_t   grant = { NULL, NULL };

    if (b->env.refresh_token == NULL) {
        return login_not_logged_in(b);
    }

    lock = store_lock(&b->store, b->wait, b->msg, err);

    if (lock == -1) {
        /* A refresh token that changes and is not kept would be lost. */
        msg_error(b->msg, "the token has expired, and a new one could not be"
                  " kept: %s", err);
        return CLI_FAILED;
    }

    code = login_reread(b);
    if (code != CLI_AGAIN) {
        goto out;
    }

    if (b->env.refresh_token == NULL) {
        code = login_not_logged_in(b);
        goto out;
    }

    code = login_ask_uaa(b, b->env.refresh_token, &grant);

    if (code == CLI_OK) {
        login_save(b, &grant);
        code = login_set(b, grant.access);
        b->fresh_ms = capture_now();
    }

out:

    store_unlock(lock);
    oauth_wipe(&grant);

    return code;
}


static cli_exit_t
login_as_client(bosh_t *b)
{
    cli_exit_t     code;
    oauth_grant_t  grant = { NULL, NULL };

    code = login_ask_uaa(b, NULL, &grant);

    if (code == CLI_OK) {
        code = login_set(b, grant.access);
        b->fresh_ms = capture_now();
    }

    oauth_wipe(&grant);

    return code;
}


cli_exit_t
bosh_login(bosh_t *b)
{
    char        *token;
    cli_exit_t   code;

    if (b->fixed) {
        return CLI_OK;
    }

    if (b->client != NULL) {
        return login_as_client(b);
    }

    token = b->env.access_token;

    if (token == NULL || !conf_token_ok(token, strlen(token))) {
        return login_refresh(b);
    }

    /* Set in any case: login_reread() compares with it. */
    code = login_set(b, token);

    if (code == CLI_OK && token_ends_within(token, LOGIN_MARGIN_S)) {
        code = login_refresh(b);
    }

    return code;
}


int
bosh_login_is_fresh(const bosh_t *b)
{
    return b->fixed || (b->fresh_ms != 0
                        && capture_now() - b->fresh_ms < LOGIN_FRESH_MS);
}


cli_exit_t
bosh_login_again(bosh_t *b)
{
    if (bosh_login_is_fresh(b)) {
        msg_error(b->msg, "the token is refused%s", b->fixed
                  ? "" : ", though it is fresh");
        return CLI_DENIED;
    }

    return b->client != NULL ? login_as_client(b) : login_refresh(b);
}
