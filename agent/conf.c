/*
 * agent/conf.c: one table says which keys there are; the JSON file and the
 * flags both go through it, so they cannot differ. An unknown key is an
 * error: a misspelt limit must not silently be no limit.
 */

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "files.h"
#include "log.h"
#include "pcapx/pcapx.h"
#include "pcapx/valid.h"
#include "policy.h"


typedef enum {
    CONF_TEXT = 0,
    CONF_NAMES,
    CONF_NUMBER,
    CONF_SIZE,
    CONF_TIME,
    CONF_SWITCH
} conf_type_t;

/* Not set yet: no number may be that large. */
#define CONF_UNSET  UINT64_MAX

typedef struct {
    const char   *key;
    conf_type_t   type;
    size_t        offset;
    uint64_t      min;
    uint64_t      max;
    uint64_t      dflt;
    const char   *text;      /* default of a text */
    const char   *help;
} conf_key_t;


static int conf_flags(conf_t *conf, int argc, char **argv, int files,
    char *err);
static int conf_switch(conf_t *conf, const char *arg);
static const char *conf_split(const char *arg, char *name, char *err);
static int conf_flag(conf_t *conf, const char *name, const char *value,
    char *err);
static int conf_file(conf_t *conf, const char *path, char *err);
static int conf_keys_of(conf_t *conf, json_t *root, const char *path,
    char *err);
static int conf_group(conf_t *conf, const char *group, json_t *root,
    const char *path, char *err);
static int conf_json(conf_t *conf, const conf_key_t *k, const json_t *value,
    char *err);
static int conf_set(conf_t *conf, const conf_key_t *k, const char *value,
    char *err);
static int conf_number(conf_t *conf, const conf_key_t *k, uint64_t value,
    char *err);
static int conf_list(conf_t *conf, const conf_key_t *k, const json_t *value,
    char *err);
static int conf_item(conf_t *conf, const conf_key_t *k, const char *value,
    char *err);
static int conf_defaults(conf_t *conf, char *err);
static int conf_check(conf_t *conf, char *err);
static int conf_policy(conf_t *conf, char *err);
static const conf_key_t *conf_find(const char *key);

#define conf_field(type, conf, k)                                            \
    ((type *) (void *) ((char *) (conf) + (k)->offset))

#define MIB  (UINT64_C(1) << 20)

#define CONF_FLAG_LEN  48

/* Its keys may be given as one object. */
#define CONF_GROUP     "cri"


static const conf_key_t  conf_keys[] = {

    { "listen", CONF_TEXT, offsetof(conf_t, listen), 0, 0, 0,
      "0.0.0.0:9494", "literal address and port, [IPv6]:port too" },

    { "tls_cert", CONF_TEXT, offsetof(conf_t, tls_cert), 0, 0, 0, NULL,
      "certificate chain of this agent, PEM" },

    { "tls_key", CONF_TEXT, offsetof(conf_t, tls_key), 0, 0, 0, NULL,
      "its private key, PEM" },

    { "tls_ca", CONF_TEXT, offsetof(conf_t, tls_ca), 0, 0, 0, NULL,
      "CAs whose client certificates are accepted, PEM" },

    { "allowed_names", CONF_NAMES, offsetof(conf_t, allowed_names), 0, 0, 0,
      NULL, "DNS or common name of a client, repeatable" },

    { "metrics_names", CONF_NAMES, offsetof(conf_t, metrics_names), 0, 0, 0,
      NULL, "the same for /v1/status and /v1/metrics alone" },

    { "user", CONF_TEXT, offsetof(conf_t, user), 0, 0, 0, NULL,
      "become this user, keep CAP_NET_RAW only" },

    { "buffer_bytes", CONF_SIZE, offsetof(conf_t, buffer_bytes), MIB,
      256 * MIB, 8 * MIB, NULL, "kernel ring of one captured interface" },

    { "buffer_bytes_total", CONF_SIZE, offsetof(conf_t, buffer_bytes_total),
      MIB, 65536 * MIB, 128 * MIB, NULL, "all rings of all captures" },

    { "max_captures", CONF_NUMBER, offsetof(conf_t, max_captures), 1, 1024,
      16, NULL, "captures at once" },

    { "max_unauthenticated", CONF_NUMBER,
      offsetof(conf_t, max_unauthenticated), 1, 1024, 16, NULL,
      "connections without a finished handshake and request" },

    { "max_unauthenticated_per_address", CONF_NUMBER,
      offsetof(conf_t, max_unauthenticated_per_address), 1, 1024, 4, NULL,
      "the same from one address (IPv6: one /64)" },

    { "retire_ms", CONF_NUMBER, offsetof(conf_t, retire_ms), 1, 1000, 20,
      NULL, "the kernel hands out a block after this time" },

    { "drain_timeout", CONF_TIME, offsetof(conf_t, drain_timeout), 1000,
      600000, 15000, NULL, "captures end within this time after SIGTERM" },

    { "max_bandwidth", CONF_SIZE, offsetof(conf_t, max_bandwidth), 0,
      65536 * MIB, 128 * MIB, NULL, "bytes/s of one capture, 0: no limit" },

    { "max_bandwidth_total", CONF_SIZE, offsetof(conf_t, max_bandwidth_total),
      0, 65536 * MIB, 256 * MIB, NULL, "of all captures, 0: no limit" },

    { "max_cpu_percent", CONF_NUMBER, offsetof(conf_t, max_cpu_percent), 0,
      100, 80, NULL, "of a core for one capture, 0: no limit" },

    { "enabled", CONF_SWITCH, offsetof(conf_t, enabled), 0, 1, 1, NULL,
      "false: no captures at all" },

    { "off_file", CONF_TEXT, offsetof(conf_t, off_file), 0, 0, 0, NULL,
      "no captures while this file exists" },

    { "interfaces", CONF_NAMES, offsetof(conf_t, interfaces), 0, 0, 0, NULL,
      "that may be captured, * and ? allowed, repeatable" },

    { "max_snaplen", CONF_NUMBER, offsetof(conf_t, max_snaplen), 1,
      PCAPX_MAX_SNAPLEN, PCAPX_MAX_SNAPLEN, NULL,
      "a larger snaplen is cut to this" },

    { "exclude_filter", CONF_TEXT, offsetof(conf_t, exclude_filter), 0, 0, 0,
      NULL, "pcap-filter of what is never captured" },

    { "interface_default", CONF_TEXT, offsetof(conf_t, interface_default), 0,
      0, 0, NULL, "instead of the interface the agent was reached on" },

    { "container_mode", CONF_TEXT, offsetof(conf_t, container_mode), 0, 0, 0,
      "off", "off, netns (inside) or veth (host side of the pair)" },

    { "container_interface", CONF_TEXT, offsetof(conf_t, container_interface),
      0, 0, 0, "eth0", "of a container, where a request names none" },

    { "container_metadata", CONF_TEXT, offsetof(conf_t, container_metadata),
      0, 0, 0, CONF_METADATA, "says whose a container is; or none" },

    { "container_netns_paths", CONF_NAMES,
      offsetof(conf_t, container_netns_paths), 0, 0, 0, NULL,
      "name space of the container HANDLE, repeatable" },

    { "container_state_paths", CONF_NAMES,
      offsetof(conf_t, container_state_paths), 0, 0, 0, NULL,
      "state.json or init.pid of HANDLE, repeatable" },

    { "files_folder", CONF_TEXT, offsetof(conf_t, files_folder), 0, 0, 0,
      NULL, "files captured before, NAMESPACE/NAME/FILE below it" },

    { "cri_runtime", CONF_TEXT, offsetof(conf_t, cri_runtime), 0, 0, 0,
      "off", "of a Kubernetes node: off, containerd or cri-o" },

    { "cri_state_folder", CONF_TEXT, offsetof(conf_t, cri_state_folder), 0,
      0, 0, NULL, "where it keeps its sandboxes" },

    { "cri_netns_folder", CONF_TEXT, offsetof(conf_t, cri_netns_folder), 0,
      0, 0, NULL, "where it mounts their name spaces" },

    { "log_level", CONF_TEXT, offsetof(conf_t, log_level), 0, 0, 0, "info",
      "error, warn, info or debug" },

    { NULL, CONF_TEXT, 0, 0, 0, 0, NULL, NULL }
};


int
conf_load(conf_t *conf, int argc, char **argv, char *err)
{
    const conf_key_t  *k;

    memset(conf, 0, sizeof(*conf));

    for (k = conf_keys; k->key; k++) {
        if (k->type != CONF_TEXT && k->type != CONF_NAMES) {
            *conf_field(uint64_t, conf, k) = CONF_UNSET;
        }
    }

    /* Flags win: they are applied first, the file fills what is unset. */

    if (conf_flags(conf, argc, argv, 0, err) != 0) {
        return -1;
    }

    if (conf->help || conf->version || conf->syscalls) {
        return 0;
    }

    if (conf_flags(conf, argc, argv, 1, err) != 0
        || conf_defaults(conf, err) != 0)
    {
        return -1;
    }

    return conf_check(conf, err);
}


/* Reads either the flags (files 0) or the file that --config names (1). */

static int
conf_flags(conf_t *conf, int argc, char **argv, int files, char *err)
{
    int          i, rc;
    char         name[CONF_FLAG_LEN];
    const char  *value;

    for (i = 1; i < argc; i++) {
        if (conf_switch(conf, argv[i])) {
            continue;
        }

        value = conf_split(argv[i], name, err);

        if (value == NULL) {
            return -1;
        }

        if (strcmp(name, "config") != 0 && conf_find(name) == NULL) {
            snprintf(err, CONF_ERR_LEN, "--%s: unknown flag (see --help)",
                     name);
            return -1;
        }

        if (*value == '\0' && strchr(argv[i], '=') == NULL) {
            value = argv[++i];
        }

        if (value == NULL) {
            snprintf(err, CONF_ERR_LEN, "--%s: a value is missing", name);
            return -1;
        }

        rc = 0;

        if (strcmp(name, "config") != 0) {
            rc = files ? 0 : conf_flag(conf, name, value, err);

        } else if (files) {
            rc = conf_file(conf, value, err);
        }

        if (rc != 0) {
            return -1;
        }
    }

    return 0;
}


/* The flags without a value. */

static int
conf_switch(conf_t *conf, const char *arg)
{
    if (strcmp(arg, "--check") == 0) {
        conf->check = 1;
        return 1;
    }

    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
        conf->help = 1;
        return 1;
    }

    if (strcmp(arg, "--syscalls") == 0) {
        conf->syscalls = 1;
        return 1;
    }

    if (strcmp(arg, "--version") == 0) {
        conf->version = 1;
        return 1;
    }

    return 0;
}


/* "--log-level=debug": name becomes log_level; returns what is behind "=". */

static const char *
conf_split(const char *arg, char *name, char *err)
{
    char    *p;
    size_t   len;

    if (strncmp(arg, "--", 2) != 0) {
        snprintf(err, CONF_ERR_LEN, "%.100s: not a flag (see --help)", arg);
        return NULL;
    }

    arg += 2;
    len = strcspn(arg, "=");
    snprintf(name, CONF_FLAG_LEN, "%.*s", (int) len, arg);

    for (p = name; *p; p++) {
        if (*p == '-') {
            *p = '_';
        }
    }

    return arg[len] ? arg + len + 1 : arg + len;
}


static int
conf_flag(conf_t *conf, const char *name, const char *value, char *err)
{
    return conf_set(conf, conf_find(name), value, err);
}


static int
conf_file(conf_t *conf, const char *path, char *err)
{
    int            rc, fd;
    char          *text;
    json_t        *root;
    ssize_t        n;
    json_error_t   jerr;

    rc = -1;
    root = NULL;
    fd = -1;

    text = malloc(CONF_MAX_FILE + 1);
    if (text == NULL) {
        snprintf(err, CONF_ERR_LEN, "%.200s: out of memory", path);
        goto out;
    }

    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd == -1 ? -1 : read(fd, text, CONF_MAX_FILE + 1);

    if (n == -1) {
        snprintf(err, CONF_ERR_LEN, "%.200s: %s", path, strerror(errno));
        goto out;
    }

    if (n > CONF_MAX_FILE) {
        snprintf(err, CONF_ERR_LEN, "%.200s: longer than %d bytes", path,
                 CONF_MAX_FILE);
        goto out;
    }

    root = json_loadb(text, (size_t) n, JSON_REJECT_DUPLICATES, &jerr);

    if (root == NULL || !json_is_object(root)) {
        snprintf(err, CONF_ERR_LEN, "%.200s: line %d: %.160s", path,
                 root ? 1 : jerr.line, root ? "not an object" : jerr.text);
        goto out;
    }

    rc = conf_keys_of(conf, root, path, err);

out:

    json_decref(root);

    if (fd != -1) {
        close(fd);
    }

    free(text);

    return rc;
}


static int
conf_keys_of(conf_t *conf, json_t *root, const char *path, char *err)
{
    json_t            *value;
    const char        *key;
    const conf_key_t  *k;

    json_object_foreach(root, key, value) {
        if (strcmp(key, CONF_GROUP) == 0) {
            if (conf_group(conf, key, root, path, err) != 0) {
                return -1;
            }

            continue;
        }

        k = conf_find(key);

        if (k == NULL) {
            snprintf(err, CONF_ERR_LEN, "%.200s: unknown key \"%.60s\"", path,
                     key);
            return -1;
        }

        if (conf_json(conf, k, value, err) != 0) {
            return -1;
        }
    }

    return 0;
}


/* "cri": {"runtime": ...} is "cri_runtime": ... */

static int
conf_group(conf_t *conf, const char *group, json_t *root, const char *path,
    char *err)
{
    char               name[CONF_FLAG_LEN];
    json_t            *value, *values;
    const char        *key;
    const conf_key_t  *k;

    values = json_object_get(root, group);

    if (!json_is_object(values)) {
        snprintf(err, CONF_ERR_LEN, "%s: must be an object", group);
        return -1;
    }

    json_object_foreach(values, key, value) {
        snprintf(name, sizeof(name), "%s_%s", group, key);
        k = conf_find(name);

        if (k == NULL) {
            snprintf(err, CONF_ERR_LEN, "%.200s: unknown key \"%s.%.60s\"",
                     path, group, key);
            return -1;
        }

        if (json_object_get(root, name)) {
            snprintf(err, CONF_ERR_LEN, "%.200s: \"%s.%.60s\" and \"%s\" are "
                     "one key: give it once", path, group, key, name);
            return -1;
        }

        if (conf_json(conf, k, value, err) != 0) {
            return -1;
        }
    }

    return 0;
}


/* A value of the file; what a flag has set already stays. */

static int
conf_json(conf_t *conf, const conf_key_t *k, const json_t *value, char *err)
{
    if (k->type == CONF_NAMES) {
        return conf_list(conf, k, value, err);
    }

    if (k->type == CONF_TEXT
        ? *conf_field(char *, conf, k) != NULL
        : *conf_field(uint64_t, conf, k) != CONF_UNSET)
    {
        return 0;
    }

    if (json_is_string(value) && k->type != CONF_NUMBER
        && k->type != CONF_SWITCH)
    {
        return conf_set(conf, k, json_string_value(value), err);
    }

    if (json_is_boolean(value) && k->type == CONF_SWITCH) {
        return conf_number(conf, k, json_is_true(value), err);
    }

    if (json_is_integer(value) && json_integer_value(value) >= 0
        && k->type != CONF_TEXT && k->type != CONF_SWITCH)
    {
        return conf_number(conf, k, (uint64_t) json_integer_value(value)
                                    * (k->type == CONF_TIME ? 1000u : 1u),
                           err);
    }

    snprintf(err, CONF_ERR_LEN, "%s: must be %s", k->key,
             k->type == CONF_TEXT ? "a text"
             : k->type == CONF_SWITCH ? "true or false" : "a number");

    return -1;
}


static int
conf_set(conf_t *conf, const conf_key_t *k, const char *value, char *err)
{
    int        rc, flag;
    char     **text, why[PCAPX_ERR_LEN];
    size_t     len;
    uint64_t   n;

    len = strlen(value);

    switch (k->type) {

    case CONF_NAMES:
        return conf_item(conf, k, value, err);

    case CONF_TEXT:
        if (value[0] == '\0') {
            snprintf(err, CONF_ERR_LEN, "%s: must not be empty", k->key);
            return -1;
        }

        text = conf_field(char *, conf, k);
        free(*text);
        *text = strdup(value);

        if (*text == NULL) {
            snprintf(err, CONF_ERR_LEN, "%s: out of memory", k->key);
            return -1;
        }

        return 0;

    case CONF_SIZE:

        /* The grammar of sizes begins at 1. */

        n = 0;
        rc = k->min == 0 && strcmp(value, "0") == 0
             ? PCAPX_OK : pcapx_parse_size(value, len, &n, why);
        break;

    case CONF_TIME:
        rc = pcapx_parse_duration(value, len, &n, why);
        break;

    case CONF_SWITCH:
        flag = 0;
        rc = pcapx_parse_flag(k->key, value, len, &flag, why);
        n = (uint64_t) flag;
        break;

    default:
        rc = pcapx_parse_number(k->key, value, len, k->min, k->max, &n, why);
    }

    if (rc != PCAPX_OK) {
        snprintf(err, CONF_ERR_LEN, "%s: %s", k->key, why);
        return -1;
    }

    return conf_number(conf, k, n, err);
}


static int
conf_number(conf_t *conf, const conf_key_t *k, uint64_t value, char *err)
{
    uint64_t  unit;

    unit = k->type == CONF_TIME ? 1000 : 1;

    if (value < k->min || value > k->max) {
        snprintf(err, CONF_ERR_LEN, "%s: must be %llu to %llu%s", k->key,
                 (unsigned long long) (k->min / unit),
                 (unsigned long long) (k->max / unit),
                 k->type == CONF_TIME ? " seconds" : "");
        return -1;
    }

    *conf_field(uint64_t, conf, k) = value;

    return 0;
}


static int
conf_list(conf_t *conf, const conf_key_t *k, const json_t *value, char *err)
{
    size_t         i;
    const json_t  *item;

    if (!json_is_array(value)) {
        snprintf(err, CONF_ERR_LEN, "%s: must be an array of texts", k->key);
        return -1;
    }

    if (conf_field(conf_list_t, conf, k)->n) {
        return 0;
    }

    json_array_foreach(value, i, item) {
        if (!json_is_string(item)) {
            snprintf(err, CONF_ERR_LEN, "%s: must be an array of texts",
                     k->key);
            return -1;
        }

        if (conf_item(conf, k, json_string_value(item), err) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
conf_item(conf_t *conf, const conf_key_t *k, const char *value, char *err)
{
    conf_list_t  *list;

    list = conf_field(conf_list_t, conf, k);

    if (list->n == CONF_MAX_NAMES) {
        snprintf(err, CONF_ERR_LEN, "%s: at most %d of them", k->key,
                 CONF_MAX_NAMES);
        return -1;
    }

    /* 253: the longest DNS name (RFC 1035 2.3.4); enough for a path. */

    if (value[0] == '\0' || strlen(value) > 253) {
        snprintf(err, CONF_ERR_LEN, "%s: each has 1 to 253 characters",
                 k->key);
        return -1;
    }

    list->text[list->n] = strdup(value);

    if (list->text[list->n] == NULL) {
        snprintf(err, CONF_ERR_LEN, "%s: out of memory", k->key);
        return -1;
    }

    list->n++;

    return 0;
}


static int
conf_defaults(conf_t *conf, char *err)
{
    const conf_key_t  *k;

    for (k = conf_keys; k->key; k++) {
        if (k->type == CONF_TEXT) {
            if (*conf_field(char *, conf, k) == NULL && k->text
                && conf_set(conf, k, k->text, err) != 0)
            {
                return -1;
            }

        } else if (k->type != CONF_NAMES
                   && *conf_field(uint64_t, conf, k) == CONF_UNSET)
        {
            *conf_field(uint64_t, conf, k) = k->dflt;
        }
    }

    return 0;
}


/* What must be there, and what only makes sense together. */

static int
conf_check(conf_t *conf, char *err)
{
    char  why[PCAPX_ERR_LEN];

    if (conf->tls_cert == NULL || conf->tls_key == NULL
        || conf->tls_ca == NULL)
    {
        snprintf(err, CONF_ERR_LEN, "tls_cert, tls_key and tls_ca are needed: "
                 "an agent without mutual TLS does not start");
        return -1;
    }

    if (conf->allowed_names.n == 0) {
        snprintf(err, CONF_ERR_LEN, "allowed_names: at least one name is "
                 "needed");
        return -1;
    }

    if (pcapx_parse_endpoint(conf->listen, strlen(conf->listen),
                             conf->endpoint.addr, &conf->endpoint.addr_len,
                             &conf->endpoint.port, why)
        != PCAPX_OK)
    {
        snprintf(err, CONF_ERR_LEN, "listen: %s", why);
        return -1;
    }

    if (conf->interface_default
        && pcapx_valid_interface(conf->interface_default,
                                 strlen(conf->interface_default), why)
           != PCAPX_OK)
    {
        snprintf(err, CONF_ERR_LEN, "interface_default: %s", why);
        return -1;
    }

    conf->level = log_level(conf->log_level);

    if (conf->level == -1) {
        snprintf(err, CONF_ERR_LEN, "log_level: must be error, warn, info or "
                 "debug");
        return -1;
    }

    if (conf->buffer_bytes_total < conf->buffer_bytes) {
        snprintf(err, CONF_ERR_LEN, "buffer_bytes_total: must not be below "
                 "buffer_bytes");
        return -1;
    }

    if (conf_policy(conf, err) != 0 || conf_containers(conf, err) != 0) {
        return -1;
    }

    return conf_cri(conf, err);
}


static int
conf_policy(conf_t *conf, char *err)
{
    size_t  i;

    for (i = 0; i < conf->interfaces.n; i++) {
        if (!policy_pattern(conf->interfaces.text[i])) {
            snprintf(err, CONF_ERR_LEN, "interfaces: \"%.60s\" must be a name "
                     "of up to 15 characters, with * and ? for any",
                     conf->interfaces.text[i]);
            return -1;
        }
    }

    if (conf->off_file && conf->off_file[0] != '/') {
        snprintf(err, CONF_ERR_LEN, "off_file: must be an absolute path");
        return -1;
    }

    if (conf->files_folder && conf->files_folder[0] != '/') {
        snprintf(err, CONF_ERR_LEN, "files_folder: must be an absolute path");
        return -1;
    }

    if (conf->files_folder && !files_possible()) {
        snprintf(err, CONF_ERR_LEN, "files_folder: this kernel has no "
                 "openat2(2) (Linux 5.6), and without it files are not "
                 "served");
        return -1;
    }

    return 0;
}


static const conf_key_t *
conf_find(const char *key)
{
    const conf_key_t  *k;

    for (k = conf_keys; k->key; k++) {
        if (strcmp(k->key, key) == 0) {
            return k;
        }
    }

    return NULL;
}


void
conf_help(void)
{
    const conf_key_t  *k;

    printf("usage: pcap-agent --config FILE [--check] [--KEY VALUE]...\n\n"
           "Keys of the JSON file, each also a flag:\n\n");

    for (k = conf_keys; k->key; k++) {
        printf("  %-32s %s", k->key, k->help);

        if (k->text) {
            printf(" (%s)", k->text);

        } else if (k->type == CONF_TIME) {
            printf(" (%llus)", (unsigned long long) (k->dflt / 1000));

        } else if (k->type == CONF_SWITCH) {
            printf(" (%s)", k->dflt ? "true" : "false");

        } else if (k->dflt) {
            printf(" (%llu)", (unsigned long long) k->dflt);
        }

        printf("\n");
    }

    printf("\n  --check                          say what is wrong, and end\n"
           "  --syscalls                       print the sandbox's lists\n"
           "  --version                        print the version\n");
}


void
conf_free(conf_t *conf)
{
    conf_list_t       *list;
    const conf_key_t  *k;

    for (k = conf_keys; k->key; k++) {
        if (k->type == CONF_TEXT) {
            free(*conf_field(char *, conf, k));

        } else if (k->type == CONF_NAMES) {
            list = conf_field(conf_list_t, conf, k);

            while (list->n) {
                free(list->text[--list->n]);
            }
        }
    }

    memset(conf, 0, sizeof(*conf));
}
