/*
 * store/conf.c: see conf.h. One table says which keys there are; the JSON
 * file and the flags both go through it, so they cannot differ. An unknown
 * key is an error: a misspelt quota must not silently be none.
 */

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf.h"
#include "conf_int.h"
#include "frame.h"
#include "log.h"
#include "pcapx/pcapx.h"
#include "pcapx/valid.h"


#define CONF_FLAG_LEN  48


static int conf_flags(conf_t *conf, int argc, char **argv, char *err);
static int conf_switch(conf_t *conf, const char *arg);
static const char *conf_split(const char *arg, char *name, char *err);
static int conf_file(conf_t *conf, const char *path, char *err);
static int conf_keys_of(conf_t *conf, json_t *root, const char *path,
    char *err);
static int conf_set(conf_t *conf, const conf_key_t *k, const char *value,
    char *err);
static int conf_text(conf_t *conf, const conf_key_t *k, const char *value,
    char *err);
static int conf_number(conf_t *conf, const conf_key_t *k, uint64_t value,
    char *err);
static int conf_check(conf_t *conf, char *err);
static int conf_paths(const conf_t *conf, char *err);
static int conf_mode(conf_t *conf, char *err);
static int conf_users(conf_t *conf, char *err);
static int conf_compress(conf_t *conf, char *err);
static void conf_wipe(void *p) __attribute__((noinline));


static const conf_key_t  conf_keys[] = {

    { "listen", CONF_TEXT, offsetof(conf_t, listen), 0, 0, NULL,
      "unix socket that nginx asks (SCGI)" },

    { "listen_mode", CONF_TEXT, offsetof(conf_t, listen_mode), 0, 0, "0600",
      "its mode, octal" },

    { "peer_user", CONF_TEXT, offsetof(conf_t, peer_user), 0, 0, NULL,
      "that may connect beside root; none: our own" },

    { "api", CONF_TEXT, offsetof(conf_t, api), 0, 0, NULL,
      "unix socket of nginx, where captures come from" },

    { "folder", CONF_TEXT, offsetof(conf_t, folder), 0, 0, NULL,
      "of the files and of records.db" },

    { "user", CONF_TEXT, offsetof(conf_t, user), 0, 0, NULL,
      "become this user; needed as root" },

    { "compress", CONF_TEXT, offsetof(conf_t, compress), 0, 0, "none",
      "files: none or zstd" },

    { "zstd_level", CONF_NUMBER, offsetof(conf_t, zstd_level),
      FRAME_MIN_LEVEL, FRAME_MAX_LEVEL, "3", "1: fast, to 19: small" },

    { "max_bytes", CONF_SIZE, offsetof(conf_t, max_bytes), 1, CONF_SIZE_MAX,
      "20g", "all files together" },

    { "max_bytes_per_user", CONF_SIZE, offsetof(conf_t, max_bytes_per_user),
      1, CONF_SIZE_MAX, "5g", "those of one owner" },

    { "max_captures", CONF_NUMBER, offsetof(conf_t, max_captures), 1,
      CONF_MAX_CAPTURES, "50", "waiting or running at once" },

    { "max_captures_per_user", CONF_NUMBER,
      offsetof(conf_t, max_captures_per_user), 1, CONF_MAX_CAPTURES, "5",
      "the same of one owner" },

    { "keep_records", CONF_TIME, offsetof(conf_t, keep_records), 1000,
      CONF_TIME_MAX, "30d", "records outlive their file by this" },

    { "log_level", CONF_TEXT, offsetof(conf_t, log_level), 0, 0, "info",
      "error, warn, info or debug" },

    { NULL, CONF_TEXT, 0, 0, 0, NULL, NULL }
};


int
conf_load(conf_t *conf, int argc, char **argv, char *err)
{
    memset(conf, 0, sizeof(*conf));
    conf_clear(conf, conf_keys);
    conf_clear(conf, conf_s3_keys);

    if (conf_flags(conf, argc, argv, err) != 0) {
        return -1;
    }

    if (conf->help || conf->version) {
        return 0;
    }

    return conf_defaults(conf, conf_keys, err) == 0
           ? conf_check(conf, err) : -1;
}


void
conf_clear(conf_t *conf, const conf_key_t *keys)
{
    const conf_key_t  *k;

    for (k = keys; k->key; k++) {
        if (k->type != CONF_TEXT) {
            *conf_field(uint64_t, conf, k) = CONF_UNSET;
        }
    }
}


int
conf_defaults(conf_t *conf, const conf_key_t *keys, char *err)
{
    const conf_key_t  *k;

    for (k = keys; k->key; k++) {
        if (k->dflt && conf_unset(conf, k)
            && conf_set(conf, k, k->dflt, err) != 0)
        {
            return -1;
        }
    }

    return 0;
}


void
conf_drop(conf_t *conf, const conf_key_t *keys)
{
    char              **text;
    const conf_key_t   *k;

    for (k = keys; k->key; k++) {
        if (k->type == CONF_TEXT) {
            text = conf_field(char *, conf, k);
            conf_wipe(*text);
            *text = NULL;
        }
    }
}


/* Flags win: the file, wherever it is named, fills what is unset. */

static int
conf_flags(conf_t *conf, int argc, char **argv, char *err)
{
    int                i;
    char               name[CONF_FLAG_LEN];
    const char        *value, *file;
    const conf_key_t  *k;

    file = NULL;

    for (i = 1; i < argc; i++) {
        if (conf_switch(conf, argv[i])) {
            continue;
        }

        value = conf_split(argv[i], name, err);
        if (value == NULL) {
            return -1;
        }

        k = conf_find(conf_keys, name);

        if (k == NULL && strcmp(name, "config") != 0) {
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

        if (k == NULL) {
            file = value;

        } else if (conf_set(conf, k, value, err) != 0) {
            return -1;
        }
    }

    return file && !conf->help && !conf->version
           ? conf_file(conf, file, err) : 0;
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
conf_file(conf_t *conf, const char *path, char *err)
{
    int            rc;
    FILE          *f;
    char          *text;
    size_t         n;
    json_t        *root;
    json_error_t   jerr;

    rc = -1;
    root = NULL;
    json_set_alloc_funcs(malloc, conf_wipe);       /* a secret may be in it */
    text = calloc(1, CONF_MAX_FILE + 1);
    f = fopen(path, "re");

    if (f == NULL || text == NULL) {
        snprintf(err, CONF_ERR_LEN, "%.200s: %s", path, strerror(errno));
        goto out;
    }

    (void) setvbuf(f, NULL, _IONBF, 0);            /* no copy of it */
    n = fread(text, 1, CONF_MAX_FILE + 1, f);

    if (ferror(f) || n > CONF_MAX_FILE) {
        snprintf(err, CONF_ERR_LEN, "%.200s: cannot be read, or is longer "
                 "than %d bytes", path, CONF_MAX_FILE);
        goto out;
    }

    root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &jerr);

    if (root == NULL || !json_is_object(root)) {
        snprintf(err, CONF_ERR_LEN, "%.200s: line %d: %.160s", path,
                 root ? 1 : jerr.line, root ? "not an object" : jerr.text);
        goto out;
    }

    rc = conf_keys_of(conf, root, path, err);

out:

    json_decref(root);
    json_set_alloc_funcs(malloc, free);

    if (f != NULL) {
        fclose(f);
    }

    conf_wipe(text);

    return rc;
}


/* Leaves nothing behind. Inlined, its size would be known, and checked. */

static void
conf_wipe(void *p)
{
    if (p != NULL) {
        explicit_bzero(p, malloc_usable_size(p));
        free(p);
    }
}


static int
conf_keys_of(conf_t *conf, json_t *root, const char *path, char *err)
{
    json_t            *value;
    const char        *key;
    const conf_key_t  *k;

    json_object_foreach(root, key, value) {
        if (strcmp(key, "s3") == 0) {
            if (conf_s3_object(conf, value, err) != 0) {
                return -1;
            }

            continue;
        }

        k = conf_find(conf_keys, key);

        if (k == NULL) {
            snprintf(err, CONF_ERR_LEN, "%.200s: unknown key \"%.60s\"", path,
                     key);
            return -1;
        }

        if (conf_unset(conf, k) && conf_json(conf, k, value, err) != 0) {
            return -1;
        }
    }

    return 0;
}


int
conf_json(conf_t *conf, const conf_key_t *k, const json_t *value, char *err)
{
    uint64_t  n;

    if (k->type == CONF_YES) {
        if (json_is_boolean(value)) {
            return conf_number(conf, k, json_is_true(value), err);
        }

        snprintf(err, CONF_ERR_LEN, "%s: must be true or false", k->key);
        return -1;
    }

    if (json_is_string(value) && k->type != CONF_NUMBER) {
        return conf_set(conf, k, json_string_value(value), err);
    }

    if (json_is_integer(value) && json_integer_value(value) >= 0
        && k->type != CONF_TEXT)
    {
        n = (uint64_t) json_integer_value(value);

        /* what is too much in seconds must not become little by the unit */

        if (k->type == CONF_TIME) {
            n = n > CONF_TIME_MAX / 1000 ? CONF_TIME_MAX + 1 : n * 1000;
        }

        return conf_number(conf, k, n, err);
    }

    snprintf(err, CONF_ERR_LEN, "%s: must be %s", k->key,
             k->type == CONF_TEXT ? "a text"
             : k->type == CONF_NUMBER ? "a number"
             : k->type == CONF_SIZE ? "a size: a number of bytes, or a text "
                                      "as \"20g\""
             : "a time: a number of seconds, or a text as \"30d\"");

    return -1;
}


int
conf_unset(conf_t *conf, const conf_key_t *k)
{
    return k->type == CONF_TEXT
           ? *conf_field(char *, conf, k) == NULL
           : *conf_field(uint64_t, conf, k) == CONF_UNSET;
}


static int
conf_set(conf_t *conf, const conf_key_t *k, const char *value, char *err)
{
    int       rc;
    char      why[PCAPX_ERR_LEN];
    size_t    len;
    uint64_t  n;

    len = strlen(value);
    n = 0;

    switch (k->type) {

    case CONF_TEXT:
        return conf_text(conf, k, value, err);

    case CONF_SIZE:
        rc = pcapx_parse_size(value, len, &n, why);
        break;

    case CONF_TIME:
        rc = pcapx_parse_duration(value, len, &n, why);
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
conf_text(conf_t *conf, const conf_key_t *k, const char *value, char *err)
{
    char  **text;

    if (value[0] == '\0') {
        snprintf(err, CONF_ERR_LEN, "%s: must not be empty", k->key);
        return -1;
    }

    text = conf_field(char *, conf, k);
    conf_wipe(*text);
    *text = strdup(value);

    if (*text == NULL) {
        snprintf(err, CONF_ERR_LEN, "%s: out of memory", k->key);
        return -1;
    }

    return 0;
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
                 k->type == CONF_TIME ? " seconds"
                 : k->type == CONF_SIZE ? " bytes" : "");
        return -1;
    }

    *conf_field(uint64_t, conf, k) = value;

    return 0;
}


/* What must be there, and what only makes sense together. */

static int
conf_check(conf_t *conf, char *err)
{
    if (conf_paths(conf, err) != 0 || conf_mode(conf, err) != 0
        || conf_users(conf, err) != 0 || conf_compress(conf, err) != 0
        || (conf->s3.wanted && conf_s3_check(conf, err) != 0))
    {
        return -1;
    }

    conf->level = log_level(conf->log_level);

    if (conf->level == -1) {
        snprintf(err, CONF_ERR_LEN, "log_level: must be error, warn, info or "
                 "debug");
        return -1;
    }

    return 0;
}


static int
conf_paths(const conf_t *conf, char *err)
{
    size_t       i, max;
    const char  *path;

    static const char  *const names[] = { "listen", "api", "folder" };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        path = *conf_field(char *const, conf, conf_find(conf_keys,
                                                        names[i]));

        /* unix(7): a longer path of a socket would be cut */

        max = i < 2 ? sizeof(((struct sockaddr_un *) 0)->sun_path) - 1 : 1024;

        if (path == NULL) {
            snprintf(err, CONF_ERR_LEN, "%s: is needed", names[i]);
            return -1;
        }

        if (path[0] != '/' || strlen(path) > max) {
            snprintf(err, CONF_ERR_LEN, "%s: must be an absolute path of at "
                     "most %zu bytes", names[i], max);
            return -1;
        }
    }

    return 0;
}


static int
conf_mode(conf_t *conf, char *err)
{
    char           *end;
    unsigned long   mode;

    mode = strtoul(conf->listen_mode, &end, 8);

    if (*end != '\0' || conf->listen_mode[0] < '0'
        || conf->listen_mode[0] > '7' || mode > 0777)
    {
        snprintf(err, CONF_ERR_LEN, "listen_mode: must be octal, 0 to 0777");
        return -1;
    }

    conf->mode = (mode_t) mode;

    return 0;
}


/* Who we shall be: never root, files of captures have no need of it. */

static int
conf_users(conf_t *conf, char *err)
{
    struct passwd  *pw;

    conf->uid = geteuid();
    conf->gid = getegid();

    if (conf->uid == 0) {
        pw = conf->user ? getpwnam(conf->user) : NULL;

        if (pw == NULL || pw->pw_uid == 0) {
            snprintf(err, CONF_ERR_LEN, "user: as root, it must name another "
                     "user, that of nginx's workers");
            return -1;
        }

        conf->uid = pw->pw_uid;
        conf->gid = pw->pw_gid;
    }

    conf->peer_uid = conf->uid;

    if (conf->peer_user) {
        pw = getpwnam(conf->peer_user);

        if (pw == NULL) {
            snprintf(err, CONF_ERR_LEN, "peer_user: there is no user "
                     "\"%.60s\" on this machine", conf->peer_user);
            return -1;
        }

        conf->peer_uid = pw->pw_uid;
    }

    return 0;
}


static int
conf_compress(conf_t *conf, char *err)
{
    if (strcmp(conf->compress, "zstd") == 0) {
        conf->zstd = (unsigned) conf->zstd_level;
        return 0;
    }

    if (strcmp(conf->compress, "none") == 0) {
        return 0;
    }

    snprintf(err, CONF_ERR_LEN, "compress: must be none or zstd");

    return -1;
}


int
conf_folder(const conf_t *conf, char *err)
{
    struct stat  st;

    if (stat(conf->folder, &st) != 0) {
        snprintf(err, CONF_ERR_LEN, "folder: %.200s: %s", conf->folder,
                 strerror(errno));
        return -1;
    }

    if (!S_ISDIR(st.st_mode) || st.st_uid != conf->uid
        || (st.st_mode & (S_IWGRP | S_IWOTH)))
    {
        snprintf(err, CONF_ERR_LEN, "folder: %.200s must be a folder that is "
                 "of user %u and that nobody else may write into",
                 conf->folder, (unsigned) conf->uid);
        return -1;
    }

    return 0;
}


const conf_key_t *
conf_find(const conf_key_t *keys, const char *key)
{
    const conf_key_t  *k;

    for (k = keys; k->key; k++) {
        if (strcmp(k->key, key) == 0) {
            return k;
        }
    }

    return NULL;
}


void
conf_help(void)
{
    printf("usage: pcap-store --config FILE [--check] [--KEY VALUE]...\n\n"
           "Keys of the JSON file, each also a flag:\n\n");

    conf_print(conf_keys);
    printf("\nKeys of the object \"s3\" in that file, no flags:\n\n");
    conf_print(conf_s3_keys);
    printf("\n  --check                  say what is wrong, and end\n"
           "  --version                print the version\n");
}


void
conf_print(const conf_key_t *keys)
{
    const conf_key_t  *k;

    for (k = keys; k->key; k++) {
        printf("  %-24s %s%s%s%s\n", k->key, k->help, k->dflt ? " (" : "",
               k->dflt ? k->dflt : "", k->dflt ? ")" : "");
    }
}


void
conf_free(conf_t *conf)
{
    conf_drop(conf, conf_keys);
    conf_drop(conf, conf_s3_keys);
    memset(conf, 0, sizeof(*conf));
}
