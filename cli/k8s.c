/*
 * cli/k8s.c: by kubectl's config: which files, which context, which namespace,
 * and the order of it all (client-go, tools/clientcmd/loader.go). Files are
 * only read. Where none says anything and a service account is there, this
 * runs in a pod, and is that account. The pcap API's own address is not in a
 * kubeconfig.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "k8s.h"
#include "store.h"
#include "wipe.h"


#define K8S_CONFIG     "/.kube/config"

/* Mounted into each pod that has one (kubernetes, plugin/pkg/admission/
 * serviceaccount). */
#define K8S_ACCOUNT    "/var/run/secrets/kubernetes.io/serviceaccount"
#define K8S_POD_TOKEN  K8S_ACCOUNT "/token"
#define K8S_POD_NS     K8S_ACCOUNT "/namespace"

#define K8S_DEFAULT_NS "default"


/* A variable that is not empty, else NULL. */
static const char *
k8s_variable(const char *name)
{
    const char  *s;

    s = getenv(name);

    return s != NULL && *s != '\0' ? s : NULL;
}


/* Adds the file at path; one that is not there is passed over. */
static cli_exit_t
k8s_add(k8s_t *k, kube_files_t *files, const char *path, int *found)
{
    int      rc;
    char     err[PCAPX_ERR_LEN];
    store_t  file = { NULL, NULL, 0 };

    rc = store_read_stream(&file, path, err);
    *found = rc == 1;

    if (rc == -1) {
        msg_error(k->msg, "%s", err);

    } else if (rc == 1) {
        rc = kube_add(files, path, file.text, file.len, err);

        if (rc == -1) {
            msg_error(k->msg, "the kubeconfig %.100s cannot be used: %s",
                      path, err);
        }
    }

    store_free(&file);

    return rc == -1 ? CLI_USAGE : CLI_OK;
}


/* The files of KUBECONFIG, each of them once. */
static cli_exit_t
k8s_add_list(k8s_t *k, kube_files_t *files, const char *list)
{
    int          found;
    char        *path;
    size_t       len;
    cli_exit_t   code;
    const char  *s, *before;

    code = CLI_OK;

    for (s = list; *s != '\0' && code == CLI_OK; s += len + (s[len] == ':')) {
        len = strcspn(s, ":");

        for (before = list; before < s; before += strcspn(before, ":") + 1) {
            if (strcspn(before, ":") == len
                && strncmp(before, s, len) == 0)
            {
                break;
            }
        }

        if (len == 0 || before < s) {
            continue;
        }

        path = strndup(s, len);

        if (path == NULL) {
            msg_error(k->msg, "out of memory");
            return CLI_FAILED;
        }

        code = k8s_add(k, files, path, &found);
        free(path);
    }

    return code;
}


static cli_exit_t
k8s_read_files(k8s_t *k, kube_files_t *files)
{
    int          found;
    char        *path;
    size_t       len;
    cli_exit_t   code;
    const char  *s;

    s = opt_value(k->opt, OPT_KUBECONFIG);

    if (s != NULL) {
        code = k8s_add(k, files, s, &found);

        if (code == CLI_OK && !found) {
            msg_error(k->msg, "there is no kubeconfig %.150s", s);
            code = CLI_USAGE;
        }

        return code;
    }

    s = k8s_variable("KUBECONFIG");
    if (s != NULL) {
        return k8s_add_list(k, files, s);
    }

    s = k8s_variable("HOME");
    if (s == NULL) {
        return CLI_OK;
    }

    len = strlen(s) + sizeof(K8S_CONFIG);
    path = malloc(len);

    if (path == NULL) {
        msg_error(k->msg, "out of memory");
        return CLI_FAILED;
    }

    snprintf(path, len, "%s" K8S_CONFIG, s);
    code = k8s_add(k, files, path, &found);
    free(path);

    return code;
}


/* As client-go's rest.InClusterConfig() finds out. */
static int
k8s_is_pod(void)
{
    return k8s_variable("KUBERNETES_SERVICE_HOST") != NULL
           && k8s_variable("KUBERNETES_SERVICE_PORT") != NULL
           && access(K8S_POD_TOKEN, F_OK) == 0;
}


/* The pod's own namespace, allocated, or NULL. */
static char *
k8s_pod_namespace(void)
{
    char        *ns;
    char         err[PCAPX_ERR_LEN];
    size_t       len;
    store_t      file = { NULL, NULL, 0 };
    const char  *s;

    s = k8s_variable("POD_NAMESPACE");
    if (s != NULL) {
        return strdup(s);
    }

    ns = NULL;

    if (store_read(&file, K8S_POD_NS, err) == 1) {
        len = file.len;

        while (len > 0 && strchr(" \t\r\n", file.text[len - 1]) != NULL) {
            len--;
        }

        ns = len > 0 ? strndup(file.text, len) : NULL;
    }

    store_free(&file);

    return ns;
}


/* -n, else the context's, else the pod's, else "default". */
static cli_exit_t
k8s_set_namespace(k8s_t *k)
{
    char              err[PCAPX_ERR_LEN];
    const char       *s;
    const opt_def_t  *def;

    s = opt_value(k->opt, OPT_NAMESPACE);
    s = s != NULL ? s : k->choice.namespace;
    k->namespace = s != NULL ? strdup(s) : k8s_is_pod() ? k8s_pod_namespace()
                                                        : NULL;
    if (k->namespace == NULL) {
        k->namespace = strdup(K8S_DEFAULT_NS);
    }

    if (k->namespace == NULL) {
        msg_error(k->msg, "out of memory");
        return CLI_FAILED;
    }

    def = &opt_table[OPT_NAMESPACE];

    if (def->check(def, k->namespace, strlen(k->namespace), err) != PCAPX_OK) {
        msg_error(k->msg, "the namespace \"%.80s\" of the %s: %s",
                  k->namespace, k->in_pod ? "pod" : "context", err);
        return CLI_USAGE;
    }

    return CLI_OK;
}


static cli_exit_t
k8s_no_config(const k8s_t *k)
{
    const char  *s;

    s = opt_value(k->opt, OPT_KUBECONFIG);
    s = s != NULL ? s : k8s_variable("KUBECONFIG");

    if (s != NULL) {
        msg_error(k->msg, "there is no kubeconfig %.150s, or nothing in it",
                  s);

    } else {
        msg_error(k->msg, "there is no kubeconfig: set KUBECONFIG, give"
                  " --kubeconfig FILE, or a token by --token-file or"
                  " PCAP_TOKEN");
    }

    return CLI_USAGE;
}


/* Context and user; with a token given, only what namespace it is. */
static cli_exit_t
k8s_choose(k8s_t *k)
{
    int           rc;
    char          err[PCAPX_ERR_LEN];
    cli_exit_t    code;
    kube_files_t  files = { NULL, NULL, 0 };

    code = k8s_read_files(k, &files);
    if (code != CLI_OK) {
        goto out;
    }

    if (opt_value(k->opt, OPT_CONTEXT) == NULL && kube_is_empty(&files)) {

        if (k->source == K8S_GIVEN && !opt_count(k->opt, OPT_CLIENT_CERT)) {
            goto out;
        }

        if (opt_value(k->opt, OPT_KUBECONFIG) != NULL || !k8s_is_pod()) {
            code = k8s_no_config(k);
            goto out;
        }

        k->in_pod = 1;
        k->token_file = K8S_POD_TOKEN;
        goto out;
    }

    rc = kube_choose(&k->choice, &files, opt_value(k->opt, OPT_CONTEXT), err);

    if (rc == 0 && (k->source != K8S_GIVEN
                    || opt_count(k->opt, OPT_CLIENT_CERT)))
    {
        rc = kube_choose_user(&k->choice, &files, err);
    }

    if (rc != 0) {
        msg_error(k->msg, "kubeconfig: %s", err);
        code = CLI_USAGE;
    }

out:

    kube_files_free(&files);

    return code;
}


static cli_exit_t
k8s_set_api(k8s_t *k)
{
    char         err[PCAPX_ERR_LEN];
    const char  *s;

    s = opt_value(k->opt, OPT_URL);
    s = s != NULL ? s : k8s_variable("PCAP_API");

    if (s == NULL) {
        msg_error(k->msg, "which API? Set PCAP_API or give -u URL: a"
                  " kubeconfig does not say where it is");
        return CLI_USAGE;
    }

    if (conf_init(&k->api, k->opt, s, "the API", err) != 0
        || conf_given_token(&k->api, k->opt, err) != 0)
    {
        msg_error(k->msg, "%s", err);
        return CLI_USAGE;
    }

    s = opt_value(k->opt, OPT_CA_CERT);
    k->api.ca_cert = s != NULL ? s : k8s_variable("PCAP_CA");
    k->api.insecure = opt_count(k->opt, OPT_INSECURE) > 0;

    if (k->api.insecure) {
        msg_error(k->msg, "WARNING: the API's certificate is not verified"
                  " (-k): whoever sits on the way can read the token and the"
                  " packets");
    }

    return CLI_OK;
}


static int
k8s_renew(void *ctx, const conf_wait_t *wait)
{
    k8s_t       *k = ctx;
    cli_exit_t   code;

    k->wait = wait;
    code = k8s_login_again(k);
    k->wait = NULL;

    return code == CLI_OK ? 0 : code == CLI_DENIED ? -1 : 1;
}


static void
k8s_say(const k8s_t *k)
{
    if (k->in_pod) {
        msg_note(k->msg, "namespace %s, as the pod's service account",
                 k->namespace);

    } else if (k->source == K8S_GIVEN) {
        msg_note(k->msg, "namespace %s, by the token that was given",
                 k->namespace);

    } else {
        msg_note(k->msg, "namespace %s, context %.200s, as %.200s",
                 k->namespace, k->choice.context, k->choice.user_name);
    }
}


/* The token was got just now: a 401 at once is no reason to get another. */
static cli_exit_t
k8s_command(k8s_t *k)
{
    opt_t  opt;

    opt = *k->opt;

    if (opt.cmd == OPT_CMD_K8S) {
        k8s_say(k);
        opt.target = k->namespace;
    }

    if (k->source == K8S_FILE || k->source == K8S_PLUGIN) {
        k->api.renew = k8s_renew;
        k->api.renew_ctx = k;
    }

    return k->command(&opt, &k->api, k->msg);
}


static cli_exit_t
k8s_go(k8s_t *k)
{
    cli_exit_t  code;

    code = k8s_set_api(k);
    conf_hide_token(k->opt);

    if (code != CLI_OK) {
        return code;
    }

    if (k->api.token != NULL) {
        k->source = K8S_GIVEN;
    }

    /* Who names token and namespace needs no kubeconfig. */
    if (k->source != K8S_GIVEN || opt_count(k->opt, OPT_CLIENT_CERT)
        || (k->opt->cmd == OPT_CMD_K8S
            && opt_value(k->opt, OPT_NAMESPACE) == NULL))
    {
        code = k8s_choose(k);
    }

    if (code == CLI_OK && k->opt->cmd == OPT_CMD_K8S) {
        code = k8s_set_namespace(k);
    }

    if (code == CLI_OK) {
        code = k8s_login(k);
    }

    return code == CLI_OK ? k8s_command(k) : code;
}


cli_exit_t
k8s_run(const opt_t *opt, msg_t *msg, conf_command_t command)
{
    k8s_t       k;
    cli_exit_t  code;

    memset(&k, 0, sizeof(k));
    k.opt = opt;
    k.msg = msg;
    k.command = command;

    code = k8s_go(&k);

    free(k.namespace);
    kube_choice_free(&k.choice);
    conf_free(&k.api);

    return code;
}
