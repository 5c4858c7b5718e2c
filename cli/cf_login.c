/*
 * cli/cf_login.c: the token: from the cf CLI while it is there, else from its
 * config file, refreshed at the UAA that the Cloud Controller's root document
 * names. A refresh token is used by one process at a time: UAA may hand out
 * another one with each answer, and the file is how the others learn of it.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "cf.h"
#include "oauth.h"
#include "token.h"
#include "wipe.h"


#define LOGIN_HINT       "log in with `cf login`"

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


static int
login_usable(const char *token)
{
    return token != NULL && conf_token_ok(token, strlen(token));
}


static cli_exit_t
login_set(cf_t *c, const char *token)
{
    if (conf_set_token(&c->cc, token) != 0
        || (c->api.url != NULL && conf_set_token(&c->api, token) != 0))
    {
        msg_error(c->msg, "out of memory");
        return CLI_FAILED;
    }

    return CLI_OK;
}


static cli_exit_t
login_not_logged_in(const cf_t *c)
{
    msg_error(c->msg, "not logged in at %.100s: " LOGIN_HINT, c->cc.host);

    return CLI_DENIED;
}


/* --- by the cf CLI -------------------------------------------------------- */

/* One call; what an error means is the caller's. */
static int
rpc_text(cf_t *c, const char *method, const char *path, char **text,
    char *err)
{
    int            rc;
    cf_rpc_want_t  want = { path, text, NULL };

    login_wipe(text);
    rc = cf_rpc_call(c->rpc, c->wait, method, NULL, &want, 1, err);

    if (rc == 0 && *text != NULL && **text == '\0') {
        login_wipe(text);
    }

    return rc;
}


/* The access token, without its type, into c->login. As cf_rpc_call(). */
static int
rpc_token(cf_t *c, char *err)
{
    int    rc;
    char  *whole;

    whole = NULL;
    rc = rpc_text(c, "AccessToken", "", &whole, err);

    if (rc == 0) {
        login_wipe(&c->login.access);
        c->login.access = whole != NULL ? strdup(cf_conf_token(whole)) : NULL;
    }

    wipe_free(whole);

    return rc;
}


cli_exit_t
cf_login_by_rpc(cf_t *c)
{
    int            rc, insecure;
    char           err[PCAPX_ERR_LEN];
    cf_conf_t     *l;
    cf_rpc_want_t  ssl = { "", NULL, &insecure };
    cf_rpc_want_t  space[] = {
        { "SpaceFields.Guid", &c->login.space_guid, NULL },
        { "SpaceFields.Name", &c->login.space, NULL }
    };

    l = &c->login;
    insecure = 0;

    rc = rpc_text(c, "ApiEndpoint", "", &l->target, err);

    if (rc == 0) {
        rc = cf_rpc_call(c->rpc, NULL, "IsSSLDisabled", NULL, &ssl, 1, err);
    }

    if (rc == 0) {
        rc = cf_rpc_call(c->rpc, NULL, "GetCurrentSpace", NULL, space, 2,
                         err);
    }

    if (rc == 0) {
        rc = rpc_text(c, "GetCurrentOrg", "OrganizationFields.Name", &l->org,
                      err);
    }

    if (rc == 0) {
        rc = rpc_text(c, "Username", "", &c->user, err);
    }

    l->ssl_disabled = insecure != 0;

    /* Without an endpoint there is no token either: told by the caller. */
    if (rc == 0 && !c->fixed && l->target != NULL) {
        rc = rpc_token(c, err);

        if (rc == 1) {
            msg_error(c->msg, "the cf CLI has no token (%.150s): "
                      LOGIN_HINT, err);
            return CLI_DENIED;
        }
    }

    if (rc != 0) {
        msg_error(c->msg, "%.250s", err);
        return CLI_FAILED;
    }

    return CLI_OK;
}


/* It is not asked again: from now on the file is looked after here. */
static cli_exit_t
rpc_leave(cf_t *c)
{
    cf_rpc_close(c->rpc);
    c->rpc = NULL;

    return CLI_AGAIN;
}


/*
 * A fresh token from the cf CLI. CLI_AGAIN: by the file. It is gone (Ctrl-C
 * ends it at once), or has nothing but the token that was refused: it only
 * asks the UAA when that is about to end.
 */
static cli_exit_t
rpc_again(cf_t *c)
{
    int   rc, same;
    char  err[PCAPX_ERR_LEN];

    rc = rpc_token(c, err);

    if (rc == -1) {
        return rpc_leave(c);
    }

    same = rc == 0 && login_usable(c->login.access) && c->cc.token != NULL
           && strcmp(c->cc.token, c->login.access) == 0;

    if (same && cf_read_config(c, err) == 1
        && (c->login.refresh != NULL || c->login.as_client))
    {
        return rpc_leave(c);
    }

    if (rc == 1 || same || !login_usable(c->login.access)) {
        msg_error(c->msg, "the token is refused, and the cf CLI has no other:"
                  " " LOGIN_HINT);
        return CLI_DENIED;
    }

    c->fresh_ms = capture_now();

    return login_set(c, c->login.access);
}


/* --- by the config file --------------------------------------------------- */

/*
 * The file was read again: only what tokens are got with may change. A token
 * never goes to another Cloud Foundry than its own, and another space has
 * another app of that name.
 */
static int
login_take(cf_conf_t *dst, cf_conf_t *src)
{
    size_t  i;
    char   *old;
    char  **pairs[][2] = {
        { &dst->access, &src->access }, { &dst->refresh, &src->refresh },
        { &dst->client, &src->client }, { &dst->secret, &src->secret }
    };

    if (src->target == NULL || strcmp(src->target, dst->target) != 0) {
        return -1;
    }

    for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        old = *pairs[i][0];
        *pairs[i][0] = *pairs[i][1];
        *pairs[i][1] = old;
    }

    dst->as_client = src->as_client;

    return 0;
}


int
cf_read_config(cf_t *c, char *err)
{
    int         rc;
    char        why[PCAPX_ERR_LEN];
    cf_conf_t   login;

    rc = store_read(&c->store, c->config_path, err);

    if (rc != 1) {
        return rc;
    }

    if (cf_conf_read(&login, c->store.text, c->store.len, why) != 0) {
        snprintf(err, PCAPX_ERR_LEN, "%.100s: %.100s", c->config_path, why);
        cf_conf_free(&login);
        return -1;
    }

    if (c->login.target == NULL) {
        c->login = login;
        return 1;
    }

    rc = login_take(&c->login, &login);

    if (rc == -1) {
        snprintf(err, PCAPX_ERR_LEN, "the cf CLI is logged in elsewhere by"
                 " now");
    }

    cf_conf_free(&login);

    return rc == 0 ? 1 : -1;
}


/* links.uaa or links.login of GET /, which needs no token. Allocated. */
static cli_exit_t
login_find_uaa(cf_t *c, char **uaa)
{
    conf_t          conf;
    json_t         *doc, *links;
    cli_exit_t      code;
    const char     *s;
    api_t           api = { &conf, c->msg };
    api_request_t   q = { 0 };

    /* An alias of all but the token. */
    conf = c->cc;
    conf.token = NULL;
    *uaa = NULL;

    code = api_ask(&q, &api, c->wait, "Cloud Controller", "GET", "/");

    if (code == CLI_OK) {
        doc = q.reply.body != NULL
              ? json_loadb(q.reply.body, q.reply.body_len, 0, NULL) : NULL;
        links = json_object_get(doc, "links");

        s = json_string_value(json_object_get(json_object_get(links, "uaa"),
                                              "href"));
        if (s == NULL) {
            s = json_string_value(json_object_get(json_object_get(links,
                                                      "login"), "href"));
        }

        *uaa = s != NULL && q.reply.status == 200 ? strdup(s) : NULL;
        json_decref(doc);

        if (*uaa == NULL) {
            msg_error(c->msg, "%.100s does not answer as a Cloud Controller"
                      " does (GET /: HTTP %ld)", c->cc.host, q.reply.status);
            code = CLI_FAILED;
        }
    }

    api_request_free(&q);

    return code;
}


static cli_exit_t
login_ask_uaa(cf_t *c, oauth_grant_t *grant)
{
    char          err[PCAPX_ERR_LEN];
    char         *uaa;
    conf_t        conf;
    cli_exit_t    code;
    oauth_ask_t   ask = { c->login.client, c->login.secret,
                          c->login.as_client ? NULL : c->login.refresh,
                          LOGIN_HINT };

    code = login_find_uaa(c, &uaa);
    if (code != CLI_OK) {
        return code;
    }

    if (conf_init(&conf, c->opt, uaa, "the UAA", err) != 0) {
        msg_error(c->msg, "%s", err);
        code = CLI_FAILED;

    } else {
        conf.timeout_ms = c->cc.timeout_ms;
        conf.ca_cert = c->cc.ca_cert;
        conf.insecure = c->cc.insecure;
        code = oauth_token(&conf, c->msg, c->wait, &ask, grant);
    }

    conf_free(&conf);
    free(uaa);

    return code;
}


static int
login_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}


/* Is the file that was read still of the login that the UAA was asked with?
 * 1, 0, or -1 with err filled. */
static int
login_is_kept(const cf_t *c, char *err)
{
    int         rc;
    cf_conf_t   now;

    rc = cf_conf_read(&now, c->store.text, c->store.len, err);

    if (rc == 0) {
        rc = login_same(now.target, c->login.target)
             && login_same(now.refresh, c->used != NULL ? c->used
                                                        : c->login.refresh)
             && login_same(now.client, c->login.client)
             && now.as_client == c->login.as_client;
    }

    cf_conf_free(&now);

    return rc;
}


/* The file with the new tokens. 1; 0: it is another login's; -1 with err. */
static int
login_write(cf_t *c, const oauth_grant_t *grant, char *err)
{
    int      rc;
    char    *text;
    size_t   len;

    rc = store_read(&c->store, c->config_path, err);

    if (rc != 1) {
        if (rc == 0) {
            snprintf(err, PCAPX_ERR_LEN, "it is not there any more");
        }

        return -1;
    }

    rc = login_is_kept(c, err);
    if (rc != 1) {
        return rc;
    }

    text = cf_conf_update(c->store.text, c->store.len, grant->access,
                          grant->refresh, &len, err);
    if (text == NULL) {
        return -1;
    }

    rc = store_write(&c->store, text, len, err);
    wipe(text, len);
    free(text);

    return rc == 0 ? 1 : -1;
}


/*
 * Puts the new tokens into the file, unless someone has logged in or out
 * while the servers were asked: neither CLI knows our lock. What is not kept
 * there is good for this process.
 */
static void
login_save(cf_t *c, oauth_grant_t *grant)
{
    int   rc;
    char  err[PCAPX_ERR_LEN];

    rc = login_write(c, grant, err);

    if (rc == 1) {
        login_wipe(&c->used);
        return;
    }

    if (rc == 0) {
        msg_debug(c->msg, "the refreshed token is not kept in %.100s: its"
                  " login has changed meanwhile", c->config_path);

    } else {
        msg_error(c->msg, "the refreshed token is not kept in %.100s: %s",
                  c->config_path, err);
    }

    if (c->used == NULL && c->login.refresh != NULL) {
        c->used = strdup(c->login.refresh);
    }

    if (grant->refresh != NULL) {
        login_wipe(&c->login.refresh);
        c->login.refresh = grant->refresh;
        grant->refresh = NULL;
    }
}


/* Has another process refreshed it since? CLI_AGAIN: no. */
static cli_exit_t
login_reread(cf_t *c)
{
    int         rc, kept;
    char        err[PCAPX_ERR_LEN];
    char       *mine;

    mine = c->login.refresh != NULL ? strdup(c->login.refresh) : NULL;
    rc = cf_read_config(c, err);

    if (rc == -1) {
        wipe_free(mine);
        msg_error(c->msg, "%s", err);
        return CLI_FAILED;
    }

    kept = rc == 1 && c->used != NULL && c->login.refresh != NULL
           && strcmp(c->used, c->login.refresh) == 0;

    if (kept && mine != NULL) {
        /* Nobody has changed it: what is known here is newer. */
        login_wipe(&c->login.refresh);
        c->login.refresh = mine;
        return CLI_AGAIN;
    }

    wipe_free(mine);

    if (rc == 1) {
        login_wipe(&c->used);
    }

    if (rc == 0 || !login_usable(c->login.access)
        || (c->cc.token != NULL && strcmp(c->cc.token, c->login.access) == 0)
        || token_ends_within(c->login.access, LOGIN_MARGIN_S))
    {
        return CLI_AGAIN;
    }

    c->fresh_ms = capture_now();

    return login_set(c, c->login.access);
}


/* CLI_OK with a fresh token, whoever asked for it. */
static cli_exit_t
login_refresh(cf_t *c)
{
    int             lock;
    char            err[PCAPX_ERR_LEN];
    cli_exit_t      code;
    oauth_grant_t   grant = { NULL, NULL };

    if (c->login.refresh == NULL && !c->login.as_client) {
        return login_not_logged_in(c);
    }

    lock = store_lock(&c->store, c->wait, c->msg, err);

    if (lock == -1) {
        /* A refresh token that changes and is not kept would be lost. */
        msg_error(c->msg, "the token has expired, and a new one could not be"
                  " kept: %s", err);
        return CLI_FAILED;
    }

    code = login_reread(c);
    if (code != CLI_AGAIN) {
        goto out;
    }

    if (c->login.refresh == NULL && !c->login.as_client) {
        code = login_not_logged_in(c);
        goto out;
    }

    code = login_ask_uaa(c, &grant);

    if (code == CLI_OK) {
        login_save(c, &grant);
        code = login_set(c, grant.access);
        c->fresh_ms = capture_now();
    }

out:

    store_unlock(lock);
    oauth_wipe(&grant);

    return code;
}


/* Without the cf CLI: from now on as `pcap-cli cf`. */
static cli_exit_t
login_from_file(cf_t *c)
{
    int   rc;
    char  err[PCAPX_ERR_LEN];

    /* For the first time: this process was a plugin. Or it was of no use. */
    if (c->store.path == NULL
        || (c->login.refresh == NULL && !c->login.as_client))
    {
        snprintf(err, sizeof(err), "%.150s is not there", c->config_path);

        rc = cf_read_config(c, err);
        if (rc != 1) {
            msg_error(c->msg, "the token has expired: %s", err);
            return CLI_FAILED;
        }
    }

    return login_refresh(c);
}


cli_exit_t
cf_login(cf_t *c)
{
    cli_exit_t  code;

    if (c->fixed) {
        return CLI_OK;
    }

    if (!login_usable(c->login.access)) {
        return c->rpc != NULL ? login_not_logged_in(c) : login_refresh(c);
    }

    /* Set in any case: login_reread() compares with it. */
    code = login_set(c, c->login.access);

    /* The cf CLI has looked at its end already. */
    if (code == CLI_OK && c->rpc == NULL
        && token_ends_within(c->login.access, LOGIN_MARGIN_S))
    {
        code = login_refresh(c);
    }

    return code;
}


int
cf_login_is_fresh(const cf_t *c)
{
    return c->fixed || (c->fresh_ms != 0
                        && capture_now() - c->fresh_ms < LOGIN_FRESH_MS);
}


cli_exit_t
cf_login_again(cf_t *c)
{
    cli_exit_t  code;

    if (cf_login_is_fresh(c)) {
        msg_error(c->msg, "the token is refused%s", c->fixed
                  ? "" : ", though it is fresh");
        return CLI_DENIED;
    }

    code = CLI_AGAIN;

    if (c->rpc != NULL) {
        code = rpc_again(c);
    }

    return code == CLI_AGAIN ? login_from_file(c) : code;
}
