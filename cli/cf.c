/*
 * cli/cf.c: by the cf CLI's login: where the Cloud Controller is, which
 * certificates are trusted, where the API is, and the order of it all. As a
 * plugin all of that comes from the cf CLI before anything is captured: Ctrl-C
 * ends the CLI at once, and this program goes on alone.
 */

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cf.h"
#include "probe.h"
#include "wipe.h"


#define CF_CONFIG   "/.cf/config.json"
#define CF_API      "pcap"


/* $CF_HOME or $HOME (cloudfoundry/cli util/configv3/home_dir_unix.go). */
static char *
cf_config_path(void)
{
    char        *path;
    size_t       len;
    const char  *home;

    home = getenv("CF_HOME");
    if (home == NULL || *home == '\0') {
        home = getenv("HOME");
    }

    if (home == NULL || *home == '\0') {
        return NULL;
    }

    len = strlen(home) + sizeof(CF_CONFIG);

    path = malloc(len);
    if (path != NULL) {
        snprintf(path, len, "%s" CF_CONFIG, home);
    }

    return path;
}


/* Who is logged in where, without the cf CLI. */
static cli_exit_t
cf_settings_by_file(cf_t *c)
{
    int   rc;
    char  err[PCAPX_ERR_LEN];

    if (c->config_path == NULL) {
        msg_error(c->msg, "where is the cf CLI's config? Set HOME or"
                  " CF_HOME");
        return CLI_USAGE;
    }

    rc = cf_read_config(c, err);

    if (rc == -1) {
        msg_error(c->msg, "%s", err);
        return CLI_USAGE;
    }

    if (rc == 0) {
        msg_error(c->msg, "there is no %.150s: log in with `cf login`",
                  c->config_path);
        return CLI_USAGE;
    }

    return CLI_OK;
}


/* The certificates that a server is trusted by alone, or NULL. */
static const char *
cf_ca_cert(const cf_t *c, const char *variable)
{
    const char  *s;

    s = opt_value(c->opt, OPT_CA_CERT);

    if (s == NULL && variable != NULL) {
        s = getenv(variable);
    }

    /* What the cf CLI takes in place of the system's file (Go, crypto/x509
     * root_unix.go), before what curl would: where that works, this does. */
    if (s == NULL || *s == '\0') {
        s = getenv("SSL_CERT_FILE");
    }

    return s != NULL && *s != '\0' ? s : NULL;
}


static cli_exit_t
cf_set_cc(cf_t *c)
{
    char  err[PCAPX_ERR_LEN];

    if (c->login.target == NULL) {
        msg_error(c->msg, "which Cloud Foundry? Use `cf api URL` and"
                  " `cf login`");
        return CLI_USAGE;
    }

    if (conf_init(&c->cc, c->opt, c->login.target, "the Cloud Controller",
                  err) != 0)
    {
        msg_error(c->msg, "%s", err);
        return CLI_USAGE;
    }

    if (c->cc.timeout_ms > CF_TIMEOUT_MS) {
        c->cc.timeout_ms = CF_TIMEOUT_MS;
    }

    c->cc.ca_cert = cf_ca_cert(c, NULL);
    c->cc.insecure = c->login.ssl_disabled;

    return CLI_OK;
}


/*
 * https://pcap.SYSTEM_DOMAIN, where the Cloud Controller is api.SYSTEM_DOMAIN
 * (and at the same port: both are routes of one router). Allocated (curl's),
 * or NULL where the host has no domain.
 */
static char *
cf_rule_url(const char *target)
{
    char        *host, *url;
    char         name[300];
    CURLU       *u;
    const char  *dot;

    host = url = NULL;
    u = curl_url();

    if (u == NULL || curl_url_set(u, CURLUPART_URL, target, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
    {
        goto out;
    }

    dot = strchr(host, '.');

    /* An address is no name: "1.2.3.4", "[::1]". */
    if (dot == NULL || dot[1] == '\0' || host[0] == '['
        || strspn(host, "0123456789.") == strlen(host)
        || strlen(dot) > sizeof(name) - sizeof(CF_API))
    {
        goto out;
    }

    snprintf(name, sizeof(name), CF_API "%s", dot);

    if (curl_url_set(u, CURLUPART_HOST, name, 0) == CURLUE_OK
        && curl_url_set(u, CURLUPART_PATH, NULL, 0) == CURLUE_OK)
    {
        (void) curl_url_get(u, CURLUPART_URL, &url, 0);
    }

out:

    curl_free(host);
    curl_url_cleanup(u);

    return url;
}


static int
cf_renew(void *ctx, const conf_wait_t *wait)
{
    cf_t        *c = ctx;
    cli_exit_t   code;

    c->wait = wait;
    code = cf_login_again(c);
    c->wait = NULL;

    return code == CLI_OK ? 0 : code == CLI_DENIED ? -1 : 1;
}


/* Where the API is, and whom it is trusted by. */
static cli_exit_t
cf_find_api(cf_t *c)
{
    int          rc;
    char         err[PCAPX_ERR_LEN];
    char        *rule;
    const char  *s;

    rule = NULL;
    s = opt_value(c->opt, OPT_URL);

    if (s == NULL) {
        s = getenv("PCAP_API");
    }

    if (s == NULL || *s == '\0') {
        rule = cf_rule_url(c->cc.url);
        s = rule;
        c->by_rule = 1;
    }

    if (s == NULL) {
        msg_error(c->msg, "which API? %.100s tells no system domain; set"
                  " PCAP_API or give -u URL", c->cc.host);
        return CLI_USAGE;
    }

    rc = conf_init(&c->api, c->opt, s, "the API", err);
    curl_free(rule);

    if (rc != 0) {
        msg_error(c->msg, "%s", err);
        return CLI_USAGE;
    }

    c->api.ca_cert = cf_ca_cert(c, "PCAP_CA");
    c->api.insecure = c->login.ssl_disabled
                      || opt_count(c->opt, OPT_INSECURE) > 0;
    c->api.parent = c->parent;

    if (!c->fixed) {
        c->api.renew = cf_renew;
        c->api.renew_ctx = c;
    }

    return CLI_OK;
}


static void
cf_warn(const cf_t *c)
{
    if (c->cc.insecure) {
        msg_error(c->msg, "WARNING: no certificate is verified, because the"
                  " cf CLI was told so (--skip-ssl-validation): whoever sits"
                  " on the way can read the token and the packets");

    } else if (c->api.insecure) {
        msg_error(c->msg, "WARNING: the API's certificate is not verified"
                  " (-k): whoever sits on the way can read the token and the"
                  " packets");
    }
}


/* Whoever ended the cf CLI meanwhile wants no capture that nobody ends. */
static cli_exit_t
cf_command_once(cf_t *c, const opt_t *opt)
{
    if (c->parent != 0 && getppid() != c->parent) {
        msg_error(c->msg, "the cf CLI is gone: nothing is captured");
        return CLI_FAILED;
    }

    return c->command(opt, &c->api, c->msg);
}


static void
cf_say_app(const cf_t *c)
{
    const char  *org, *space;

    org = c->login.org != NULL ? c->login.org : "?";
    space = c->login.space != NULL ? c->login.space : "?";

    msg_note(c->msg, "app %.200s, space %.100s, org %.100s, at %.100s%s%.100s",
             c->opt->target, space, org, c->cc.host,
             c->user != NULL ? " as " : "", c->user != NULL ? c->user : "");
}


/* A 401 of the API may mean that the token ended just now: once more. */
static cli_exit_t
cf_command(cf_t *c)
{
    opt_t        opt;
    cli_exit_t   code;

    opt = *c->opt;

    if (opt.cmd == OPT_CMD_CF) {
        cf_say_app(c);
        opt.title = opt.target;
        opt.target = c->app_guid;
    }

    c->api.again = !cf_login_is_fresh(c);
    code = cf_command_once(c, &opt);

    if (code != CLI_AGAIN) {
        return code;
    }

    code = cf_login_again(c);

    if (code == CLI_OK) {
        c->api.again = 0;
        code = cf_command_once(c, &opt);
    }

    return code;
}


static cli_exit_t
cf_set_given(cf_t *c, const conf_t *given)
{
    if (c->fixed && (conf_set_token(&c->cc, given->token) != 0
                     || conf_set_token(&c->api, given->token) != 0))
    {
        msg_error(c->msg, "out of memory");
        return CLI_FAILED;
    }

    return CLI_OK;
}


static cli_exit_t
cf_go(cf_t *c)
{
    char         err[PCAPX_ERR_LEN];
    conf_t       given = { 0 };
    cli_exit_t   code;

    code = CLI_OK;

    if (conf_given_token(&given, c->opt, err) != 0) {
        msg_error(c->msg, "%s", err);
        code = CLI_USAGE;
    }

    conf_hide_token(c->opt);
    c->fixed = given.token != NULL;

    if (code == CLI_OK) {
        code = c->rpc != NULL ? cf_login_by_rpc(c) : cf_settings_by_file(c);
    }

    if (code == CLI_OK) {
        code = cf_set_cc(c);
    }

    if (code == CLI_OK) {
        code = cf_find_api(c);
    }

    if (code == CLI_OK) {
        cf_warn(c);

        if (c->by_rule && !probe_api(&c->api, c->msg, "in this Cloud"
                                     " Foundry"))
        {
            code = CLI_FAILED;
        }
    }

    if (code == CLI_OK) {
        code = cf_set_given(c, &given);
    }

    if (code == CLI_OK) {
        code = cf_login(c);
    }

    if (code == CLI_OK && c->opt->cmd == OPT_CMD_CF) {
        code = cf_app(c);
    }

    if (code == CLI_OK) {
        code = cf_command(c);
    }

    conf_free(&given);

    return code;
}


cli_exit_t
cf_run(const opt_t *opt, msg_t *msg, conf_command_t command, unsigned port)
{
    cf_t        c;
    char        err[PCAPX_ERR_LEN];
    cli_exit_t  code;

    memset(&c, 0, sizeof(c));
    c.opt = opt;
    c.msg = msg;
    c.command = command;
    c.config_path = cf_config_path();

    if (port != 0) {
        /* Before it is asked anything: one that is gone does not answer. */
        c.parent = getppid();
        c.rpc = cf_rpc_open(port, err);

        if (c.rpc == NULL) {
            msg_error(msg, "%s", err);
            free(c.config_path);
            return CLI_FAILED;
        }
    }

    code = cf_go(&c);

    cf_rpc_close(c.rpc);
    wipe_free(c.used);
    free(c.user);
    free(c.app_guid);
    free(c.config_path);
    cf_conf_free(&c.login);
    store_free(&c.store);
    conf_free(&c.api);
    conf_free(&c.cc);

    return code;
}
