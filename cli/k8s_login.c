/*
 * cli/k8s_login.c: the user's credentials in the order that kubectl tries
 * them: token file, token, credential plugin, certificate. What kubectl has
 * and the pcap API cannot take (passwords, the old auth-provider, acting as
 * somebody else) is refused with a word on what to do instead.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture.h"
#include "k8s.h"
#include "run.h"
#include "store.h"
#include "text.h"
#include "wipe.h"


/* A plugin that asks its user by a browser, and one that asks nobody. */
#define LOGIN_ASK_MS       300000
#define LOGIN_RUN_MS       60000

/* While a capture runs: Ctrl-C waits for it. */
#define LOGIN_BESIDE_MS    20000

/* However PCAP_CLI_TIME_SCALE divides these: a busy machine starts slowly. */
#define LOGIN_LEAST_MS     2000

/* A token that was got within this time is not asked for again. */
#define LOGIN_FRESH_MS     60000

#define LOGIN_INFO         "KUBERNETES_EXEC_INFO"

#define LOGIN_CREATE       "kubectl create token SERVICEACCOUNT"

extern char  **environ;


static uint64_t
login_scaled(uint64_t ms)
{
    return ms / conf_time_scale();
}


/* How long a plugin may run. */
static uint64_t
login_timeout(const k8s_t *k, unsigned interactive)
{
    uint64_t  ms;

    ms = login_scaled(k->wait != NULL ? LOGIN_BESIDE_MS
                      : interactive ? LOGIN_ASK_MS : LOGIN_RUN_MS);

    return ms > LOGIN_LEAST_MS ? ms : LOGIN_LEAST_MS;
}


static cli_exit_t
login_set(k8s_t *k, const char *token, int64_t ends_s)
{
    if (conf_set_token(&k->api, token) != 0) {
        msg_error(k->msg, "out of memory");
        return CLI_FAILED;
    }

    k->api.token_ends_s = ends_s;
    k->fresh_ms = capture_now();

    return CLI_OK;
}


/* --- a file --------------------------------------------------------------- */

/* Its token, blanks around it cut, in *token: aliases file. 0 or -1. */
static int
login_read_file(const char *path, store_t *file, char **token, char *err)
{
    int     rc;
    char   *s;
    size_t  len;

    rc = store_read(file, path, err);

    if (rc == 0) {
        snprintf(err, PCAPX_ERR_LEN, "there is no token file %.150s", path);
    }

    if (rc != 1) {
        return -1;
    }

    s = file->text;
    len = file->len <= STORE_MAX_BYTES ? file->len : 0;

    while (len > 0 && strchr(" \t\r\n", s[len - 1]) != NULL) {
        len--;
    }

    while (len > 0 && strchr(" \t\r\n", *s) != NULL) {
        s++;
        len--;
    }

    if (!conf_token_ok(s, len)) {
        snprintf(err, PCAPX_ERR_LEN, "the file %.80s holds no token: 1 to %d"
                 " printable characters without blanks are expected", path,
                 CLI_MAX_TOKEN_BYTES);
        return -1;
    }

    /* There is room: the text is shorter than its memory. */
    s[len] = '\0';
    *token = s;

    return 0;
}


/* CLI_AGAIN: it holds the token that is known already. */
static cli_exit_t
login_by_file(k8s_t *k, char *err)
{
    char        *token;
    store_t      file = { NULL, NULL, 0 };
    cli_exit_t   code;

    if (login_read_file(k->token_file, &file, &token, err) != 0) {
        code = CLI_FAILED;

    } else if (k->api.token != NULL && strcmp(k->api.token, token) == 0) {
        code = CLI_AGAIN;

    } else {
        code = login_set(k, token, 0);
        err[0] = '\0';
    }

    store_free(&file);

    return code;
}


/* --- a plugin ------------------------------------------------------------- */

/* Does one of list's "NAME=value" have the name of s? */
static int
login_has(char *const *list, const char *s)
{
    size_t  i, len;

    len = strcspn(s, "=") + 1;

    for (i = 0; list != NULL && list[i] != NULL; i++) {
        if (strncmp(list[i], s, len) == 0) {
            return 1;
        }
    }

    return 0;
}


/* Our environment with the plugin's variables in place of ours. Its texts are
 * not owned. */
static char **
login_environment(char *const *theirs, char *info)
{
    char    **all;
    size_t    i, n, len;

    n = 0;

    for (i = 0; environ[i] != NULL; i++) {
        n++;
    }

    for (i = 0; theirs != NULL && theirs[i] != NULL; i++) {
        n++;
    }

    all = calloc(n + 2, sizeof(char *));
    if (all == NULL) {
        return NULL;
    }

    n = 0;
    len = sizeof(LOGIN_INFO "=") - 1;

    for (i = 0; environ[i] != NULL; i++) {
        if (!login_has(theirs, environ[i])
            && strncmp(environ[i], LOGIN_INFO "=", len) != 0)
        {
            all[n++] = environ[i];
        }
    }

    for (i = 0; theirs != NULL && theirs[i] != NULL; i++) {
        if (strncmp(theirs[i], LOGIN_INFO "=", len) != 0
            && !login_has(theirs + i + 1, theirs[i]))
        {
            all[n++] = theirs[i];
        }
    }

    all[n] = info;

    return all;
}


/* The command's words; texts are not owned. */
static char **
login_words(const kube_exec_t *x)
{
    char    **words;
    size_t    i, n;

    for (n = 0; x->args != NULL && x->args[n] != NULL; n++) {
        /* void */
    }

    words = calloc(n + 2, sizeof(char *));

    if (words != NULL) {
        words[0] = x->command;

        for (i = 0; i < n; i++) {
            words[i + 1] = x->args[i];
        }
    }

    return words;
}


/* KUBERNETES_EXEC_INFO=..., allocated, NULL with err. */
static char *
login_info(const k8s_t *k, unsigned interactive, char *err)
{
    char    *text, *info;
    size_t   len;

    text = k8s_cred_ask(&k->choice, interactive, err);
    if (text == NULL) {
        return NULL;
    }

    len = strlen(text) + sizeof(LOGIN_INFO "=");

    info = malloc(len);
    if (info != NULL) {
        snprintf(info, len, LOGIN_INFO "=%s", text);

    } else {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
    }

    free(text);

    return info;
}


/*
 * Is the terminal the plugin's? While a capture runs it is not. *interactive
 * is set; 0, or -1 with err.
 */
static int
login_mode(const k8s_t *k, unsigned *interactive, char *err)
{
    *interactive = k->choice.user.exec.mode != KUBE_NEVER && k->wait == NULL
                   && isatty(STDIN_FILENO);

    if (k->choice.user.exec.mode == KUBE_ALWAYS && !*interactive) {
        snprintf(err, PCAPX_ERR_LEN, "asks its user (interactiveMode Always),"
                 " but %s", k->wait != NULL ? "a capture runs"
                 : "standard input is no terminal");
        return -1;
    }

    return 0;
}


/* Runs it; o is what it printed. 0, or -1 with err. */
static int
login_run(const k8s_t *k, const char *path, run_out_t *o, char *err)
{
    int                 rc;
    char               *info;
    run_t               r;
    unsigned            interactive;
    const kube_exec_t  *x;

    x = &k->choice.user.exec;

    if (login_mode(k, &interactive, err) != 0) {
        return -1;
    }

    info = login_info(k, interactive, err);
    if (info == NULL) {
        return -1;
    }

    memset(&r, 0, sizeof(r));
    r.path = path;
    r.argv = login_words(x);
    r.envp = login_environment(x->env, info);
    r.wait = k->wait;
    r.terminal = interactive;
    r.timeout_ms = login_timeout(k, interactive);

    if (r.argv == NULL || r.envp == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
        rc = -1;

    } else {
        rc = run_program(&r, o, err);
    }

    free(r.argv);
    free(r.envp);
    free(info);

    return rc;
}


/* What it handed out becomes ours. */
static cli_exit_t
login_take(k8s_t *k, k8s_cred_t *cred)
{
    if (opt_count(k->opt, OPT_CLIENT_CERT) && cred->cert != NULL) {
        free(k->api.cert_pem);
        wipe_free(k->api.key_pem);
        k->api.cert_pem = cred->cert;
        k->api.key_pem = cred->key;
        cred->cert = cred->key = NULL;
        k->fresh_ms = capture_now();

        if (cred->token == NULL) {
            return CLI_OK;
        }
    }

    if (cred->token == NULL) {
        msg_error(k->msg, "the credential plugin %.100s hands out a"
                  " certificate, no token: give --client-cert, where the API"
                  " takes those of the cluster's CA, or a token of"
                  " `" LOGIN_CREATE "` by --token-file",
                  k->choice.user.exec.command);
        return CLI_DENIED;
    }

    return login_set(k, cred->token, cred->ends_s);
}


static cli_exit_t
login_not_found(const k8s_t *k, int error)
{
    const kube_exec_t  *x;

    x = &k->choice.user.exec;

    msg_error(k->msg, "the credential plugin %.150s of the user %.80s cannot"
              " be run: %s", x->command, k->choice.user_name,
              error == ENOENT && strchr(x->command, '/') == NULL
              ? "it is not on PATH" : strerror(error));

    if (x->hint != NULL) {
        msg_error(k->msg, "  %.1000s", x->hint);
    }

    return CLI_FAILED;
}


static cli_exit_t
login_by_plugin(k8s_t *k)
{
    char         err[PCAPX_ERR_LEN];
    char        *path;
    run_out_t    o;
    cli_exit_t   code;
    k8s_cred_t   cred = { NULL, NULL, NULL, 0 };

    path = run_find(k->choice.user.exec.command);
    if (path == NULL) {
        return login_not_found(k, errno);
    }

    msg_debug(k->msg, "* running the credential plugin %.300s", path);
    memset(&o, 0, sizeof(o));

    if (login_run(k, path, &o, err) != 0) {
        msg_error(k->msg, "the credential plugin %.100s %s",
                  k->choice.user.exec.command, err);

        if (o.said[0] != '\0') {
            msg_error(k->msg, "  it says: %s", o.said);
        }

        code = CLI_FAILED;

    } else if (k8s_cred_read(&cred, o.out, o.len,
                             k->choice.user.exec.version, err) != 0)
    {
        msg_error(k->msg, "the credential plugin %.100s is of no use: %s",
                  k->choice.user.exec.command, err);
        code = CLI_FAILED;

    } else {
        code = login_take(k, &cred);
    }

    k8s_cred_free(&cred);
    run_free(&o);
    free(path);

    return code;
}


/* --- a certificate -------------------------------------------------------- */

/* PEM out of base64 data, else out of a file. NULL with err. */
static char *
login_pem(const char *data, const char *path, const char *what, char *err)
{
    int      rc;
    char    *pem;
    store_t  file = { NULL, NULL, 0 };

    if (data != NULL) {
        pem = k8s_cred_decode(data);

        if (pem == NULL) {
            snprintf(err, PCAPX_ERR_LEN, "%s-data is no base64 of a text",
                     what);
        }

        return pem;
    }

    if (path == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "there is no %s", what);
        return NULL;
    }

    pem = NULL;
    rc = store_read(&file, path, err);

    if (rc == 1) {
        pem = strndup(file.text, file.len);
    }

    if (pem == NULL && rc != -1) {
        snprintf(err, PCAPX_ERR_LEN, "there is no %.150s", path);
    }

    store_free(&file);

    return pem;
}


/* The user's own, where it is asked for. CLI_OK, also when there is none. */
static cli_exit_t
login_cert(k8s_t *k)
{
    char                err[PCAPX_ERR_LEN];
    const kube_user_t  *u;

    u = &k->choice.user;

    if (!opt_count(k->opt, OPT_CLIENT_CERT)
        || (u->cert_data == NULL && u->cert_file == NULL))
    {
        return CLI_OK;
    }

    k->api.cert_pem = login_pem(u->cert_data, u->cert_file,
                                "client-certificate", err);

    if (k->api.cert_pem != NULL) {
        k->api.key_pem = login_pem(u->key_data, u->key_file, "client-key",
                                   err);
    }

    if (k->api.key_pem == NULL) {
        msg_error(k->msg, "the user %.80s: %s", k->choice.user_name, err);
        return CLI_USAGE;
    }

    return CLI_OK;
}


/* There is no token: says what can be done. */
static cli_exit_t
login_nothing(const k8s_t *k)
{
    const char         *why;
    const kube_user_t  *u;

    u = &k->choice.user;

    if (u->cert_data != NULL || u->cert_file != NULL) {
        msg_error(k->msg, "the user %.80s has only a client certificate: give"
                  " --client-cert, where the API takes those of the"
                  " cluster's CA, or a token of `" LOGIN_CREATE "` by"
                  " --token-file", k->choice.user_name);
        return CLI_DENIED;
    }

    why = u->has_provider ? "logs in by an auth-provider, which kubectl has"
                            " given up, too"
          : u->has_password ? "has a password, which the API does not take"
                            : "has no credentials in the kubeconfig";

    msg_error(k->msg, "the user %.80s %s: get a token by `" LOGIN_CREATE "`"
              " and give it by --token-file or PCAP_TOKEN",
              k->choice.user_name, why);

    return CLI_DENIED;
}


/* --- the user's ----------------------------------------------------------- */

static cli_exit_t
login_written(k8s_t *k)
{
    const char  *token;

    token = k->choice.user.token;
    k->source = K8S_WRITTEN;

    if (!conf_token_ok(token, strlen(token))) {
        msg_error(k->msg, "the token of the user %.80s is none: 1 to %d"
                  " printable characters without blanks are expected",
                  k->choice.user_name, CLI_MAX_TOKEN_BYTES);
        return CLI_USAGE;
    }

    return login_set(k, token, 0);
}


static cli_exit_t
login_by_file_first(k8s_t *k)
{
    char         err[PCAPX_ERR_LEN];
    cli_exit_t   code;

    k->source = K8S_FILE;
    code = login_by_file(k, err);

    /* The last one that could be read wins over the token beside it. */
    if (code == CLI_FAILED && k->choice.user.token != NULL) {
        msg_debug(k->msg, "* %s; the token beside it is taken", err);
        return login_written(k);
    }

    if (code == CLI_FAILED && err[0] != '\0') {
        msg_error(k->msg, "%s", err);
    }

    return code;
}


static cli_exit_t
login_token(k8s_t *k)
{
    const kube_user_t  *u;

    u = &k->choice.user;

    if (k->source == K8S_GIVEN) {
        return CLI_OK;
    }

    if (u->has_as) {
        msg_error(k->msg, "the user %.80s acts as somebody else (as), which"
                  " the API does not take: get a token of the one who is"
                  " meant by `" LOGIN_CREATE "`", k->choice.user_name);
        return CLI_DENIED;
    }

    if (k->token_file == NULL) {
        k->token_file = u->token_file;
    }

    if (k->token_file != NULL) {
        return login_by_file_first(k);
    }

    if (u->token != NULL) {
        return login_written(k);
    }

    if (u->exec.command != NULL) {
        k->source = K8S_PLUGIN;
        return login_by_plugin(k);
    }

    return k->api.key_pem != NULL ? CLI_OK : login_nothing(k);
}


cli_exit_t
k8s_login(k8s_t *k)
{
    cli_exit_t  code;

    code = login_cert(k);

    if (code == CLI_OK) {
        code = login_token(k);
    }

    if (code == CLI_OK && opt_count(k->opt, OPT_CLIENT_CERT)
        && k->api.key_pem == NULL)
    {
        msg_error(k->msg, "--client-cert: there is no client certificate in"
                  " the kubeconfig%s", k->source == K8S_PLUGIN
                  ? ", and its plugin hands out none" : "");
        code = CLI_USAGE;
    }

    return code;
}


cli_exit_t
k8s_login_again(k8s_t *k)
{
    char         err[PCAPX_ERR_LEN];
    cli_exit_t   code;

    if (capture_now() - k->fresh_ms < login_scaled(LOGIN_FRESH_MS)) {
        msg_error(k->msg, "the token is refused, though it is fresh");
        return CLI_DENIED;
    }

    if (k->source == K8S_PLUGIN) {
        return login_by_plugin(k);
    }

    code = login_by_file(k, err);

    if (code == CLI_AGAIN) {
        msg_debug(k->msg, "* %.200s holds the same token still",
                  k->token_file);
        return CLI_FAILED;
    }

    if (code == CLI_FAILED && err[0] != '\0') {
        msg_error(k->msg, "%s", err);
    }

    return code;
}
