/*
 * cli/bosh.c: by the bosh CLI's login: who the Director is, which certificates
 * are trusted, where the API is, and the order of it all. Options win over the
 * environment, which wins over the config file, as in the bosh CLI.
 */

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bosh.h"
#include "probe.h"
#include "text.h"
#include "trust.h"
#include "wipe.h"


#define BOSH_DEFAULT_CONFIG   "~/.bosh/config"
#define BOSH_DIRECTOR_PORT    "25555"
#define BOSH_API_PORT         "9495"


/* An option, else a variable that is not empty, else NULL. */
static const char *
bosh_setting(const opt_t *o, opt_id_t id, const char *variable)
{
    const char  *s;

    s = opt_value(o, id);

    if (s == NULL) {
        s = getenv(variable);
    }

    return s != NULL && *s != '\0' ? s : NULL;
}


/* "~/x" in the user's home; allocated, NULL without memory or home. */
static char *
bosh_expand(const char *path)
{
    char        *s;
    size_t       len;
    const char  *home;

    if (strncmp(path, "~/", 2) != 0) {
        return strdup(path);
    }

    home = getenv("HOME");
    if (home == NULL) {
        return NULL;
    }

    len = strlen(home) + strlen(path);

    s = malloc(len);
    if (s != NULL) {
        snprintf(s, len, "%s%s", home, path + 1);
    }

    return s;
}


/* Reads the config file; without one, names are URLs. */
static cli_exit_t
bosh_read_config(bosh_t *b)
{
    int           rc;
    char          err[PCAPX_ERR_LEN];
    bosh_env_t    env;
    const char   *path;
    store_t       store = { NULL, NULL, 0 };

    path = bosh_setting(b->opt, OPT_CONFIG, "BOSH_CONFIG");

    b->config_path = bosh_expand(path != NULL ? path : BOSH_DEFAULT_CONFIG);
    if (b->config_path == NULL) {
        msg_error(b->msg, "where is the config file? Set HOME or BOSH_CONFIG");
        return CLI_USAGE;
    }

    rc = store_read(&store, b->config_path, err);
    b->store = store;

    if (rc == 1) {
        rc = bosh_conf_find(&env, store.text, store.len, b->name, err);
        b->env = env;

        if (rc == -1) {
            msg_error(b->msg, "the config file %.100s cannot be used: %s",
                      b->config_path, err);
            return CLI_USAGE;
        }

        return CLI_OK;
    }

    if (rc == -1) {
        msg_error(b->msg, "%s", err);
        return CLI_USAGE;
    }

    return CLI_OK;
}


/*
 * The Director's URL: https and port 25555 where nothing else is said, as in
 * the bosh CLI. Allocated (curl's), or NULL: conf_url() will say why.
 */
static char *
bosh_director_url(const char *s)
{
    char   *port, *url;
    CURLU  *u;

    url = port = NULL;
    u = curl_url();

    if (u != NULL
        && curl_url_set(u, CURLUPART_URL, s, CURLU_DEFAULT_SCHEME)
           == CURLUE_OK
        && (curl_url_get(u, CURLUPART_PORT, &port, 0) == CURLUE_OK
            || curl_url_set(u, CURLUPART_PORT, BOSH_DIRECTOR_PORT, 0)
               == CURLUE_OK))
    {
        (void) curl_url_get(u, CURLUPART_URL, &url, 0);
    }

    curl_free(port);
    curl_url_cleanup(u);

    return url;
}


/* --ca-cert and BOSH_CA_CERT: certificates themselves, or a file of them. */
static cli_exit_t
bosh_read_ca(bosh_t *b)
{
    int            rc;
    char           err[PCAPX_ERR_LEN];
    char          *path;
    const char    *s;
    store_t        file = { NULL, NULL, 0 };

    s = bosh_setting(b->opt, OPT_CA_CERT, "BOSH_CA_CERT");

    if (s == NULL || strstr(s, "-----BEGIN") != NULL) {
        s = s != NULL ? s : b->env.ca_cert;
        b->director.ca_pem = s != NULL ? strdup(s) : NULL;
        return CLI_OK;
    }

    path = bosh_expand(s);
    rc = path != NULL ? store_read(&file, path, err) : 0;

    if (rc == 1) {
        b->director.ca_pem = strndup(file.text, file.len);

    } else {
        msg_error(b->msg, "cannot read the CA's certificates: %.200s",
                  rc == -1 ? err : s);
    }

    store_free(&file);
    free(path);

    return rc == 1 ? CLI_OK : CLI_USAGE;
}


/* BOSH_ALL_PROXY: what the bosh CLI calls socks5 lets the proxy look names
 * up, which libcurl calls socks5h. */
static cli_exit_t
bosh_read_proxy(bosh_t *b)
{
    size_t       len;
    const char  *s;

    s = getenv("BOSH_ALL_PROXY");

    if (s == NULL || *s == '\0') {
        return CLI_OK;
    }

    if (strncasecmp(s, "ssh+socks5://", 13) == 0) {
        msg_error(b->msg, "BOSH_ALL_PROXY: ssh+socks5 is not spoken here;"
                  " open the tunnel with `ssh -N -D 1080 USER@JUMPBOX` and"
                  " set BOSH_ALL_PROXY=socks5://127.0.0.1:1080");
        return CLI_USAGE;
    }

    if (strncasecmp(s, "socks5://", 9) != 0) {
        msg_error(b->msg, "BOSH_ALL_PROXY: socks5://HOST:PORT is expected");
        return CLI_USAGE;
    }

    len = strlen(s) + 2;

    b->director.proxy = malloc(len);
    if (b->director.proxy == NULL) {
        msg_error(b->msg, "out of memory");
        return CLI_FAILED;
    }

    snprintf(b->director.proxy, len, "socks5h%s", s + 6);

    return CLI_OK;
}


/* A stored username is a UAA client, too (bosh-cli 7, cmd/session.go). */
static void
bosh_read_client(bosh_t *b)
{
    const char  *client, *secret;

    client = bosh_setting(b->opt, OPT_CLIENT, "BOSH_CLIENT");
    secret = bosh_setting(b->opt, OPT_CLIENT_SECRET, "BOSH_CLIENT_SECRET");

    if (client == NULL) {
        client = b->env.username;
        secret = secret != NULL ? secret : b->env.password;
    }

    b->client = client != NULL ? strdup(client) : NULL;
    b->secret = secret != NULL ? strdup(secret) : NULL;
}


/* Who is asked for what. */
static cli_exit_t
bosh_settings(bosh_t *b)
{
    char         err[PCAPX_ERR_LEN];
    char        *url;
    cli_exit_t   code;
    const char  *s;

    b->name = bosh_setting(b->opt, OPT_ENVIRONMENT, "BOSH_ENVIRONMENT");
    b->deployment = bosh_setting(b->opt, OPT_DEPLOYMENT, "BOSH_DEPLOYMENT");

    if (b->name == NULL) {
        msg_error(b->msg, "which Director? Set BOSH_ENVIRONMENT or give -e"
                  " NAME");
        return CLI_USAGE;
    }

    if (b->deployment == NULL && b->opt->cmd == OPT_CMD_BOSH) {
        msg_error(b->msg, "which deployment? Set BOSH_DEPLOYMENT or give -d"
                  " NAME");
        return CLI_USAGE;
    }

    if (b->deployment != NULL
        && opt_table[OPT_DEPLOYMENT].check(&opt_table[OPT_DEPLOYMENT],
                                        b->deployment, strlen(b->deployment),
                                        err) != PCAPX_OK)
    {
        msg_error(b->msg, "BOSH_DEPLOYMENT: %s", err);
        return CLI_USAGE;
    }

    code = bosh_read_config(b);
    if (code != CLI_OK) {
        return code;
    }

    s = b->env.url != NULL ? b->env.url : b->name;
    url = bosh_director_url(s);

    if (conf_init(&b->director, b->opt, url != NULL ? url : s, "the Director",
                  err) != 0)
    {
        curl_free(url);
        msg_error(b->msg, "%s", err);
        return CLI_USAGE;
    }

    curl_free(url);

    if (b->director.timeout_ms > BOSH_TIMEOUT_MS) {
        b->director.timeout_ms = BOSH_TIMEOUT_MS;
    }

    bosh_read_client(b);
    code = bosh_read_ca(b);

    return code == CLI_OK ? bosh_read_proxy(b) : code;
}


/* A name that is in no config was taken for a URL: say so when it fails. */
static void
bosh_hint_names(const bosh_t *b)
{
    char  names[200];

    if (b->env.url != NULL || strchr(b->name, '.') != NULL
        || strchr(b->name, ':') != NULL)
    {
        return;
    }

    if (b->store.text == NULL) {
        msg_error(b->msg, "there is no %.100s that would say where %.60s is",
                  b->config_path, b->name);
        return;
    }

    names[0] = '\0';
    bosh_conf_names(names, sizeof(names), b->store.text, b->store.len);

    msg_error(b->msg, "no environment is called %.60s in %.100s%s%s",
              b->name, b->config_path, *names ? "; there are: " : "", names);
}


static int
bosh_renew(void *ctx, const conf_wait_t *wait)
{
    bosh_t      *b = ctx;
    cli_exit_t   code;

    b->wait = wait;
    code = bosh_login_again(b);
    b->wait = NULL;

    return code == CLI_OK ? 0 : code == CLI_DENIED ? -1 : 1;
}


/* https://DIRECTOR:9495, where the API is when it runs beside the Director. */
static char *
bosh_rule_url(const bosh_t *b)
{
    char    *url;
    size_t   len;

    len = strlen(b->director.host) + sizeof("https://:" BOSH_API_PORT);

    url = malloc(len);
    if (url != NULL) {
        snprintf(url, len, "https://%s:" BOSH_API_PORT, b->director.host);
    }

    return url;
}


/* Where the API is, and whom it is trusted by. */
static cli_exit_t
bosh_find_api(bosh_t *b)
{
    int          rc;
    char         err[PCAPX_ERR_LEN];
    char        *rule;
    const char  *s;

    rule = NULL;
    s = bosh_setting(b->opt, OPT_URL, "PCAP_API");

    if (s == NULL) {
        s = b->api_url;
    }

    if (s == NULL) {
        rule = bosh_rule_url(b);
        s = rule != NULL ? rule : "";
        b->by_rule = 1;
    }

    rc = conf_init(&b->api, b->opt, s, "the API", err);
    free(rule);

    if (rc != 0) {
        msg_error(b->msg, "%s%s", s == b->api_url
                  ? "what the Director says of the pcap API: " : "", err);
        return s == b->api_url ? CLI_FAILED : CLI_USAGE;
    }

    b->api.insecure = opt_count(b->opt, OPT_INSECURE) > 0;

    s = getenv("PCAP_CA");
    b->api.ca_cert = s != NULL && *s != '\0' ? s : NULL;

    /*
     * Beside the Director it has a certificate of the Director's CA; behind
     * a router one that the system may know.
     */
    if (b->director.ca_pem != NULL) {
        b->api.ca_pem = trust_with_system(b->director.ca_pem);
        b->api.system_too = 1;

        if (b->api.ca_pem == NULL) {
            msg_error(b->msg, "out of memory");
            return CLI_FAILED;
        }
    }

    if (b->director.proxy != NULL) {
        b->api.proxy = strdup(b->director.proxy);
    }

    b->api.asked = 1;

    if (!b->fixed) {
        b->api.renew = bosh_renew;
        b->api.renew_ctx = b;
    }

    return CLI_OK;
}


/* A 401 of the API may mean that the token ended just now: once more. */
static cli_exit_t
bosh_command(bosh_t *b)
{
    opt_t        opt;
    cli_exit_t   code;

    opt = *b->opt;

    if (opt.cmd == OPT_CMD_BOSH) {
        opt.target = b->deployment;
    }

    b->api.again = !bosh_login_is_fresh(b);
    code = b->command(&opt, &b->api, b->msg);

    if (code != CLI_AGAIN) {
        return code;
    }

    code = bosh_login_again(b);

    if (code == CLI_OK) {
        b->api.again = 0;
        code = b->command(&opt, &b->api, b->msg);
    }

    return code;
}


static cli_exit_t
bosh_go(bosh_t *b, int *no_api)
{
    char         err[PCAPX_ERR_LEN];
    conf_t       given = { 0 };
    cli_exit_t   code;

    code = bosh_settings(b);

    if (code == CLI_OK && conf_given_token(&given, b->opt, err) != 0) {
        msg_error(b->msg, "%s", err);
        code = CLI_USAGE;
    }

    conf_hide_token(b->opt);

    if (code != CLI_OK) {
        goto out;
    }

    b->fixed = given.token != NULL;
    code = bosh_login_info(b);

    if (code != CLI_OK) {
        bosh_hint_names(b);
        goto out;
    }

    code = bosh_find_api(b);

    if (code == CLI_OK && b->by_rule
        && !probe_api(&b->api, b->msg, "beside the Director"))
    {
        *no_api = 1;
        code = CLI_FAILED;
    }

    if (code != CLI_OK) {
        goto out;
    }

    if (b->api.insecure) {
        msg_error(b->msg, "WARNING: the API's certificate is not verified"
                  " (-k): whoever sits on the way can read the token and the"
                  " packets");
    }

    if (b->fixed && (conf_set_token(&b->director, given.token) != 0
                     || conf_set_token(&b->api, given.token) != 0))
    {
        msg_error(b->msg, "out of memory");
        code = CLI_FAILED;
        goto out;
    }

    code = bosh_login(b);

    if (code == CLI_OK && b->opt->cmd == OPT_CMD_BOSH) {
        code = bosh_targets(b);
    }

    if (code == CLI_OK) {
        code = bosh_command(b);
    }

out:

    conf_free(&given);

    return code;
}


cli_exit_t
bosh_run(const opt_t *opt, msg_t *msg, conf_command_t command, int *no_api)
{
    bosh_t       b;
    cli_exit_t   code;

    memset(&b, 0, sizeof(b));
    b.opt = opt;
    b.msg = msg;
    b.command = command;
    *no_api = 0;

    if (opt_count(opt, OPT_SSH)) {
        msg_error(msg, "--ssh belongs behind the command: pcap-cli bosh"
                  " --ssh ...");
        return CLI_USAGE;
    }

    code = bosh_go(&b, no_api);

    wipe_free(b.secret);

    wipe_free(b.used);

    free(b.client);
    free(b.uaa);
    free(b.api_url);
    free(b.config_path);
    bosh_env_free(&b.env);
    store_free(&b.store);
    conf_free(&b.api);
    conf_free(&b.director);

    return code;
}
