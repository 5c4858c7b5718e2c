/*
 * cli/opt_table.c: the commands and options there are, and how each value is
 * checked: by the same functions as the API and the agents use, so that all
 * three say the same.
 */

#include <string.h>

#include "opt.h"


#define ON(cmd)     (1u << OPT_CMD_##cmd)
#define ON_ALL      (ON_CAPTURE | ON_ABOUT | ON(STATUS))
#define ON_CAPTURE  (ON(BOSH) | ON(CF) | ON(K8S) | ON(STATIC))
#define ON_ABOUT    (ON(GET) | ON(LIST) | ON(RM) | ON(SHOW) | ON(STOP))
#define ON_KUBE     (ON(K8S) | ON_ABOUT)


#define OPT_MAX_NAMESPACE  63
#define OPT_MAX_SELECTOR   4096


static int opt_check_interface(const opt_def_t *def, const char *s,
    size_t len, char *err);
static int opt_check_instance(const opt_def_t *def, const char *s,
    size_t len, char *err);
static int opt_check_filter(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_snaplen(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_format(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_duration(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_size(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_count(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_reason(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_nonempty(const opt_def_t *def, const char *s,
    size_t len, char *err);
static int opt_check_group(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_deployment(const opt_def_t *def, const char *s,
    size_t len, char *err);
static int opt_check_any(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_app(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_index(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_process(const opt_def_t *def, const char *s, size_t len,
    char *err);
static int opt_check_namespace(const opt_def_t *def, const char *s,
    size_t len, char *err);
static int opt_check_selector(const opt_def_t *def, const char *s,
    size_t len, char *err);
static int opt_check_id(const opt_def_t *def, const char *s, size_t len,
    char *err);


/* The interface list holds 8, the instance list 256, as the API does. */

const opt_def_t  opt_table[OPT_END] = {

    { "ca-cert", '\0', OPT_SINGLE, ON_ALL, 0, NULL, opt_check_nonempty,
      "FILE", "trust only these certificates, in place of the system's"
              " (PCAP_CA; of bosh: BOSH_CA_CERT, see bosh-pcap(1))" },

    { "cf", '\0', OPT_FLAG, ON_ABOUT, 0, NULL, NULL, NULL,
      "as who is logged in with the cf CLI" },

    { "client", '\0', OPT_SINGLE, ON(BOSH) | ON_ABOUT, 0, NULL,
      opt_check_nonempty, "NAME",
      "UAA client, in place of the user who is logged in (BOSH_CLIENT)" },

    { "client-cert", '\0', OPT_FLAG, ON_KUBE, 0, NULL, NULL, NULL,
      "show the kubeconfig's client certificate to the API, where it takes"
      " those of the cluster's CA" },

    { "client-secret", '\0', OPT_SINGLE, ON(BOSH) | ON_ABOUT, 0, NULL,
      opt_check_any, "SECRET", "its secret; prefer BOSH_CLIENT_SECRET" },

    { "config", 'c', OPT_SINGLE, ON(BOSH) | ON_ABOUT, 0, NULL,
      opt_check_nonempty, "FILE",
      "the bosh CLI's (BOSH_CONFIG, default ~/.bosh/config)" },

    { "context", '\0', OPT_SINGLE, ON_KUBE, 0, NULL, opt_check_nonempty,
      "NAME", "the kubeconfig's context, in place of the current one" },

    { "deployment", 'd', OPT_SINGLE, ON(BOSH), 0, NULL,
      opt_check_deployment, "NAME", "the deployment (BOSH_DEPLOYMENT)" },

    { "duration", '\0', OPT_SINGLE, ON_CAPTURE, 0, "duration",
      opt_check_duration, "TIME", "end after this time: 30s, 5m, 2h" },

    { "environment", 'e', OPT_SINGLE, ON(BOSH) | ON_ABOUT, 0, NULL,
      opt_check_nonempty, "NAME",
      "the Director, by alias or URL (BOSH_ENVIRONMENT); as who is logged in"
      " there with the bosh CLI" },

    { "filter", 'f', OPT_SINGLE, ON_CAPTURE, 0, "filter", opt_check_filter,
      "EXPR", "capture only what matches (pcap-filter(7))" },

    { "force", 'F', OPT_FLAG, ON_CAPTURE | ON(GET), 0, NULL, NULL, NULL,
      "replace FILE when it exists" },

    { "format", '\0', OPT_SINGLE, ON_CAPTURE, 0, NULL, opt_check_format,
      "FORMAT", "pcapng (default) or pcap" },

    { "gw-disable", '\0', OPT_FLAG, ON(BOSH), 0, NULL, NULL, NULL,
      "no effect: no SSH gateway is ever used" },

    { "help", 'h', OPT_FLAG, ON_ALL, 0, NULL, NULL, NULL, "show this" },

    { "index", '\0', OPT_LIST, ON(CF), 256, "index", opt_check_index, "N",
      "only the instance with this index (repeatable)" },

    { "insecure", 'k', OPT_FLAG, ON_ALL, 0, NULL, NULL, NULL,
      "do not verify the API's certificate: anyone on the way can read"
      " token and packets" },

    { "instance", '\0', OPT_LIST, ON(BOSH) | ON(K8S) | ON(STATIC), 256,
      "instance", opt_check_instance, "NAME",
      "only this instance (repeatable)" },

    { "interface", 'i', OPT_LIST, ON_CAPTURE, PCAPX_MAX_INTERFACES,
      "interface", opt_check_interface, "NAME",
      "interface on the instances, or any (repeatable)" },

    { "json", '\0', OPT_FLAG, ON_ALL, 0, NULL, NULL, NULL,
      "print the outcome as one JSON object" },

    { "k8s", '\0', OPT_FLAG, ON_ABOUT, 0, NULL, NULL, NULL,
      "as who the kubeconfig's current context is of" },

    { "kubeconfig", '\0', OPT_SINGLE, ON_KUBE, 0, NULL, opt_check_nonempty,
      "FILE", "kubectl's config (KUBECONFIG, which may list several; default"
              " ~/.kube/config; in a pod its service account)" },

    { "max-bytes", '\0', OPT_SINGLE, ON_CAPTURE, 0, "max_bytes",
      opt_check_size, "SIZE", "end after so many packet bytes: 100m, 2g" },

    { "max-packets", '\0', OPT_SINGLE, ON_CAPTURE, 0, "max_packets",
      opt_check_count, "N", "end after so many packets" },

    { "namespace", '\0', OPT_SINGLE, ON(K8S), 0, NULL, opt_check_namespace,
      "NS", "the namespace (default: the context's, or \"default\")" },

    { "no-color", '\0', OPT_FLAG, ON(BOSH), 0, NULL, NULL, NULL,
      "no effect: there are no colours" },

    { "no-reconnect", '\0', OPT_FLAG, ON_CAPTURE, 0, NULL, NULL, NULL,
      "end when the stream is cut, do not go on in the same file" },

    { "output", 'o', OPT_SINGLE, ON_CAPTURE | ON(GET), 0, NULL,
      opt_check_nonempty, "FILE",
      "write here, - is standard output (default: a new file named after"
      " target and time; of what was stored, after its id)" },

    { "parallel", '\0', OPT_SINGLE, ON(BOSH), 0, NULL, opt_check_count,
      "N", "no effect: the API starts all at once" },

    { "process", '\0', OPT_SINGLE, ON(CF), 0, "process", opt_check_process,
      "TYPE", "the instances of this process (default web)" },

    { "promiscuous", '\0', OPT_FLAG, ON_CAPTURE, 0, "promiscuous", NULL,
      NULL, "also frames that are not for the instance" },

    { "quiet", 'q', OPT_FLAG, ON_ALL, 0, NULL, NULL, NULL,
      "no targets, live lines and summary; only what went wrong" },

    { "reason", '\0', OPT_SINGLE, ON_CAPTURE, 0, "reason", opt_check_reason,
      "TEXT", "why, kept in the file" },

    { "reconnect-timeout", '\0', OPT_SINGLE, ON_CAPTURE, 0, NULL,
      opt_check_duration, "TIME",
      "give up when a cut stream cannot be continued for so long (default"
      " 60s)" },

    { "retention", '\0', OPT_SINGLE, ON_CAPTURE, 0, "retention",
      opt_check_duration, "TIME",
      "with --store and --tee: keep the file for so long: 48h (default and"
      " maximum are the API's)" },

    { "selector", '\0', OPT_SINGLE, ON(K8S), 0, "selector",
      opt_check_selector, "LABELS",
      "only pods with these labels: app=web,tier!=db (default: all)" },

    { "sha2", '\0', OPT_FLAG, ON(BOSH), 0, NULL, NULL, NULL,
      "no effect: there are no checksums" },

    { "snaplen", 's', OPT_SINGLE, ON_CAPTURE, 0, "snaplen",
      opt_check_snaplen, "BYTES", "bytes per packet (default 262144)" },

    { "ssh", '\0', OPT_FLAG, ON(BOSH), 0, NULL, NULL, NULL,
      "hand over to the bosh CLI's own pcap, which uses SSH" },

    { "store", '\0', OPT_FLAG, ON_CAPTURE, 0, NULL, NULL, NULL,
      "capture to the API's storage, print the id and end; needs a limit"
      " (--duration, --max-bytes, --max-packets)" },

    { "tee", '\0', OPT_FLAG, ON_CAPTURE, 0, "store", NULL, NULL,
      "live, and to the API's storage as well: nothing is lost when this end is"
      " slow or gone; needs a limit as --store does" },

    { "timeout", '\0', OPT_SINGLE, ON_ALL, 0, NULL, opt_check_duration,
      "TIME", "give up when the API is silent for so long (default 60s)" },

    { "token", '\0', OPT_SINGLE, ON_ALL, 0, NULL, opt_check_nonempty,
      "TOKEN", "access token; others may see it in the process list: prefer"
               " PCAP_TOKEN or --token-file" },

    { "token-file", '\0', OPT_SINGLE, ON_ALL, 0, NULL, opt_check_nonempty,
      "FILE", "read the access token from FILE" },

    { "url", 'u', OPT_SINGLE, ON_ALL, 0, NULL, opt_check_nonempty,
      "URL", "the API (PCAP_API)" },

    { "verbose", 'v', OPT_FLAG, ON_ALL, 0, NULL, NULL, NULL,
      "show requests and answers, without token and packets" },

    { "version", '\0', OPT_FLAG, ON_ALL, 0, NULL, NULL, NULL,
      "show the version" },

    { "wait", '\0', OPT_FLAG, ON_CAPTURE, 0, NULL, NULL, NULL,
      "with --store: wait for its end and fetch the file" },

    { "yes", 'y', OPT_FLAG, ON_CAPTURE | ON(RM), 0, NULL, NULL, NULL,
      "do not ask, however many targets there are" },
};


const opt_cmd_def_t  opt_cmds[OPT_CMD_END] = {

    { "bosh", "[GROUP[/ID]]...", NULL, OPT_INSTANCE, 0,
      "capture VMs of a BOSH deployment" },

    { "cf", "APP", opt_check_app, OPT_END, 0,
      "capture containers of a Cloud Foundry app" },

    { "get", "ID", opt_check_id, OPT_END, 0,
      "fetch the file of the stored capture ID" },

    { "k8s", "[POD]...", NULL, OPT_INSTANCE, 0,
      "capture pods of a Kubernetes namespace" },

    { "list", NULL, NULL, OPT_END, 0,
      "your captures that run, ended lately or are stored" },

    { "rm", "ID", opt_check_id, OPT_END, 1,
      "remove the files of the stored captures ID" },

    { "show", "ID", opt_check_id, OPT_END, 0,
      "the capture ID and its instances" },

    { "static", "GROUP", opt_check_group, OPT_END, 0,
      "capture the instances that the API lists under GROUP" },

    { "status", NULL, NULL, OPT_END, 0,
      "is the API well, and what can it capture" },

    { "stop", "ID", opt_check_id, OPT_END, 1,
      "end the running captures ID" },
};


static int
opt_check_interface(const opt_def_t *def, const char *s, size_t len,
    char *err)
{
    (void) def;

    return pcapx_valid_interface(s, len, err);
}


static int
opt_check_instance(const opt_def_t *def, const char *s, size_t len, char *err)
{
    (void) def;

    return pcapx_valid_instance(s, len, err);
}


static int
opt_check_filter(const opt_def_t *def, const char *s, size_t len, char *err)
{
    (void) def;

    return pcapx_valid_filter(s, len, err);
}


static int
opt_check_snaplen(const opt_def_t *def, const char *s, size_t len, char *err)
{
    uint32_t  v;

    (void) def;

    return pcapx_parse_snaplen(s, len, &v, err);
}


static int
opt_check_format(const opt_def_t *def, const char *s, size_t len, char *err)
{
    int  v;

    (void) def;

    return pcapx_parse_format(s, len, &v, err);
}


static int
opt_check_duration(const opt_def_t *def, const char *s, size_t len, char *err)
{
    uint64_t  v;

    (void) def;

    return pcapx_parse_duration(s, len, &v, err);
}


static int
opt_check_size(const opt_def_t *def, const char *s, size_t len, char *err)
{
    uint64_t  v;

    (void) def;

    return pcapx_parse_size(s, len, &v, err);
}


static int
opt_check_count(const opt_def_t *def, const char *s, size_t len, char *err)
{
    uint64_t  v;

    return pcapx_parse_number(def->name, s, len, 1,
                              UINT64_C(1) << 53, &v, err);
}


static int
opt_check_reason(const opt_def_t *def, const char *s, size_t len, char *err)
{
    return pcapx_valid_text(def->name, s, len, 1000, err);
}


static int
opt_check_nonempty(const opt_def_t *def, const char *s, size_t len, char *err)
{
    (void) def;
    (void) s;

    if (len == 0) {
        snprintf(err, PCAPX_ERR_LEN, "the value is empty");
        return PCAPX_EINVAL;
    }

    return PCAPX_OK;
}


/* A static group is one part, so that it stays one segment of the path. */
static int
opt_check_group(const opt_def_t *def, const char *s, size_t len, char *err)
{
    (void) def;

    if (memchr(s, '/', len) != NULL) {
        snprintf(err, PCAPX_ERR_LEN, "a group holds no \"/\"; name an"
                 " instance with --instance");
        return PCAPX_EINVAL;
    }

    return pcapx_valid_instance(s, len, err);
}


static int
opt_check_id(const opt_def_t *def, const char *s, size_t len, char *err)
{
    (void) def;

    return pcapx_valid_capture_id(s, len, err);
}


static int
opt_check_deployment(const opt_def_t *def, const char *s, size_t len,
    char *err)
{
    (void) def;

    return pcapx_valid_deployment(s, len, err);
}


/* Any name that the Cloud Controller takes (255 characters). */
static int
opt_check_app(const opt_def_t *def, const char *s, size_t len, char *err)
{
    (void) def;

    if (len == 0) {
        snprintf(err, PCAPX_ERR_LEN, "the name is empty");
        return PCAPX_EINVAL;
    }

    return pcapx_valid_text("APP", s, len, 1000, err);
}


static int
opt_check_index(const opt_def_t *def, const char *s, size_t len, char *err)
{
    uint64_t  v;

    return pcapx_parse_number(def->name, s, len, 0, PCAPX_MAX_INDEX,
                              &v, err);
}


static int
opt_check_process(const opt_def_t *def, const char *s, size_t len, char *err)
{
    (void) def;

    return pcapx_valid_process(s, len, err);
}


/* RFC 1123's label, as Kubernetes has it (apimachinery, util/validation). */
static int
opt_check_namespace(const opt_def_t *def, const char *s, size_t len,
    char *err)
{
    size_t  i;

    (void) def;

    for (i = 0; i < len; i++) {
        if ((s[i] < 'a' || s[i] > 'z') && (s[i] < '0' || s[i] > '9')
            && (s[i] != '-' || i == 0 || i == len - 1))
        {
            break;
        }
    }

    if (len == 0 || len > OPT_MAX_NAMESPACE || i < len) {
        snprintf(err, PCAPX_ERR_LEN, "a namespace is 1 to %d characters of"
                 " a-z, 0-9 and inner \"-\"", OPT_MAX_NAMESPACE);
        return PCAPX_EINVAL;
    }

    return PCAPX_OK;
}


/* What it means is the cluster's to say. */
static int
opt_check_selector(const opt_def_t *def, const char *s, size_t len, char *err)
{
    return pcapx_valid_text(def->name, s, len, OPT_MAX_SELECTOR, err);
}


static int
opt_check_any(const opt_def_t *def, const char *s, size_t len, char *err)
{
    (void) def;
    (void) s;
    (void) len;
    (void) err;

    return PCAPX_OK;
}
