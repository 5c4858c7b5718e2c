/*
 * cli/kubeconfig.c: looks for entries by their names in YAML documents. What
 * is there but of a wrong kind is an error that names it: a token that is
 * silently passed over would make the user somebody else.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kubeconfig.h"
#include "pcapx/valid.h"
#include "text.h"
#include "wipe.h"
#include "yamldoc.h"


/* By aliases, few bytes may name many. */
#define KUBE_MAX_ENTRIES   10000

/* Linux takes 128 kB for one argument; here it is for all of them. */
#define KUBE_MAX_ARGS      1000
#define KUBE_MAX_ARG_BYTES 131072

/* In an extension of a cluster's entry (client-go, clientcmd/api/types.go). */
#define KUBE_EXEC_CONFIG   "client.authentication.k8s.io/exec"

#define KUBE_MAX_NAMES     120


struct kube_file_s {
    kube_file_t  *next;
    char         *folder;      /* with its slash, "" for none */
    ydoc_t        yaml;
};

/* A mapping that texts are taken out of. */

typedef struct {
    kube_file_t  *file;        /* NULL: there is no such entry */
    yaml_node_t  *map;         /* NULL: it is empty */
    const char   *kind;        /* "user" */
    const char   *name;        /* of the entry */
    char         *err;
} kube_entry_t;

static const char *const  kube_lists[] = { "contexts", "clusters", "users" };

#define KUBE_LISTS  (sizeof(kube_lists) / sizeof(kube_lists[0]))


static yaml_node_t *
kube_root(const kube_file_t *f)
{
    return f->yaml.has_doc
           ? yaml_document_get_root_node((yaml_document_t *) &f->yaml.doc)
           : NULL;
}


static yaml_node_t *
kube_at(const kube_file_t *f, yaml_node_t *map, const char *key)
{
    return ydoc_member((yaml_document_t *) &f->yaml.doc, map, key);
}


/* Is the whole shaped as it should be? */
static int
kube_check(const kube_file_t *f, char *err)
{
    size_t        i;
    yaml_node_t  *root, *n;
    const char   *kind;

    root = kube_root(f);

    if (ydoc_is_null(root)) {
        return 0;
    }

    if (root->type != YAML_MAPPING_NODE) {
        snprintf(err, PCAPX_ERR_LEN, "it is no kubeconfig: keys and values"
                 " are expected");
        return -1;
    }

    kind = ydoc_text(kube_at(f, root, "kind"));

    if (kind != NULL && strcmp(kind, "Config") != 0) {
        snprintf(err, PCAPX_ERR_LEN, "it is no kubeconfig: its kind is"
                 " \"%.60s\", \"Config\" is expected", kind);
        return -1;
    }

    for (i = 0; i < KUBE_LISTS; i++) {
        n = kube_at(f, root, kube_lists[i]);

        if (ydoc_is_null(n)) {
            continue;
        }

        if (n->type != YAML_SEQUENCE_NODE
            || n->data.sequence.items.top - n->data.sequence.items.start
               > KUBE_MAX_ENTRIES)
        {
            snprintf(err, PCAPX_ERR_LEN, "\"%s\" is no list of at most %d"
                     " entries", kube_lists[i], KUBE_MAX_ENTRIES);
            return -1;
        }
    }

    return 0;
}


int
kube_add(kube_files_t *k, const char *path, const char *text, size_t len,
    char *err)
{
    int           rc;
    const char   *slash;
    kube_file_t  *f;

    if (k->nfiles == KUBE_MAX_FILES) {
        snprintf(err, PCAPX_ERR_LEN, "at most %d files are taken",
                 KUBE_MAX_FILES);
        return -1;
    }

    f = calloc(1, sizeof(kube_file_t));
    slash = strrchr(path, '/');

    if (f != NULL) {
        f->folder = strndup(path, slash != NULL
                                  ? (size_t) (slash - path) + 1 : 0);
    }

    if (f == NULL || f->folder == NULL) {
        free(f);
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
        return -1;
    }

    if (k->last != NULL) {
        k->last->next = f;

    } else {
        k->first = f;
    }

    k->last = f;
    k->nfiles++;

    rc = ydoc_load(&f->yaml, text, len, err);
    ydoc_detach(&f->yaml);

    return rc == 0 ? kube_check(f, err) : -1;
}


void
kube_files_free(kube_files_t *k)
{
    kube_file_t  *f, *next;

    for (f = k->first; f != NULL; f = next) {
        next = f->next;
        ydoc_free(&f->yaml);
        free(f->folder);
        free(f);
    }

    memset(k, 0, sizeof(kube_files_t));
}


/* The items of one of the lists, equal when there are none. */
static void
kube_items(const kube_file_t *f, const char *list, yaml_node_item_t **item,
    yaml_node_item_t **top)
{
    yaml_node_t  *n;

    *item = *top = NULL;
    n = kube_at(f, kube_root(f), list);

    if (n != NULL && n->type == YAML_SEQUENCE_NODE) {
        *item = n->data.sequence.items.start;
        *top = n->data.sequence.items.top;
    }
}


int
kube_is_empty(const kube_files_t *k)
{
    size_t             i;
    kube_file_t       *f;
    yaml_node_item_t  *item, *top;

    for (f = k->first; f != NULL; f = f->next) {
        if (!ydoc_is_null(kube_at(f, kube_root(f), "current-context"))) {
            return 0;
        }

        for (i = 0; i < KUBE_LISTS; i++) {
            kube_items(f, kube_lists[i], &item, &top);

            if (item < top) {
                return 0;
            }
        }
    }

    return 1;
}


static yaml_node_t *
kube_item(const kube_file_t *f, yaml_node_item_t item)
{
    return yaml_document_get_node((yaml_document_t *) &f->yaml.doc, item);
}


/*
 * The entry of that name in the first file that has one: e->file stays NULL
 * where none has. kind is the list's name without its s, and the name of the
 * member with the values. 0, or -1 with err: it is there twice, or is no
 * mapping.
 */
static int
kube_find(kube_entry_t *e, const kube_files_t *k, const char *list,
    const char *kind, const char *name, char *err)
{
    const char        *s;
    yaml_node_t       *found;
    kube_file_t       *f;
    yaml_node_item_t  *item, *top;

    memset(e, 0, sizeof(kube_entry_t));
    e->kind = kind;
    e->name = name;
    e->err = err;
    err[0] = '\0';
    found = NULL;

    for (f = k->first; f != NULL && found == NULL; f = f->next) {
        kube_items(f, list, &item, &top);

        for ( /* void */ ; item < top; item++) {
            s = ydoc_text(kube_at(f, kube_item(f, *item), "name"));

            if (s == NULL || strcmp(s, name) != 0) {
                continue;
            }

            if (found != NULL) {
                snprintf(err, PCAPX_ERR_LEN, "one file has the %s \"%.80s\""
                         " twice", kind, name);
                return -1;
            }

            found = kube_item(f, *item);
            e->file = f;
        }
    }

    if (found == NULL) {
        return 0;
    }

    e->map = kube_at(e->file, found, kind);

    if (ydoc_is_null(e->map)) {
        e->map = NULL;

    } else if (e->map->type != YAML_MAPPING_NODE) {
        snprintf(err, PCAPX_ERR_LEN, "the %s \"%.80s\" is no mapping of keys"
                 " to values", kind, name);
        return -1;
    }

    return 0;
}


static int
kube_wrong(const kube_entry_t *e, const char *key, const char *expected)
{
    snprintf(e->err, PCAPX_ERR_LEN, "%s of the %s \"%.80s\": %s", key,
             e->kind, e->name, expected);

    return -1;
}


/* A copy of map's text in *dst, NULL where there is none. 0 or -1. */
static int
kube_text_at(const kube_entry_t *e, yaml_node_t *map, const char *key,
    char **dst)
{
    const char   *s;
    yaml_node_t  *n;

    *dst = NULL;
    n = kube_at(e->file, map, key);

    if (ydoc_is_null(n)) {
        return 0;
    }

    s = ydoc_text(n);
    if (s == NULL) {
        return kube_wrong(e, key, "a text is expected");
    }

    *dst = strdup(s);

    return *dst != NULL ? 0 : kube_wrong(e, key, "out of memory");
}


static int
kube_text(const kube_entry_t *e, const char *key, char **dst)
{
    return kube_text_at(e, e->map, key, dst);
}


/* A file's name, relative to the folder of its kubeconfig. */
static int
kube_path(const kube_entry_t *e, const char *key, char **dst)
{
    char    *path;
    size_t   len;

    if (kube_text(e, key, dst) != 0 || *dst == NULL || **dst == '/') {
        return e->err[0] != '\0' ? -1 : 0;
    }

    len = strlen(e->file->folder) + strlen(*dst) + 1;

    path = malloc(len);
    if (path == NULL) {
        return kube_wrong(e, key, "out of memory");
    }

    snprintf(path, len, "%s%s", e->file->folder, *dst);
    free(*dst);
    *dst = path;

    return 0;
}


/* "true" or "false"; *bit is 0 where nothing is said. */
static int
kube_flag(const kube_entry_t *e, yaml_node_t *map, const char *key,
    unsigned *bit)
{
    const char   *s;
    yaml_node_t  *n;

    *bit = 0;
    n = kube_at(e->file, map, key);

    if (ydoc_is_null(n)) {
        return 0;
    }

    s = ydoc_text(n);

    if (s == NULL || (strcmp(s, "true") != 0 && strcmp(s, "false") != 0)) {
        return kube_wrong(e, key, "true or false is expected");
    }

    *bit = *s == 't';

    return 0;
}


/* Is one of two members there at all? */
static unsigned
kube_has(const kube_entry_t *e, const char *one, const char *other)
{
    return !ydoc_is_null(kube_at(e->file, e->map, one))
           || !ydoc_is_null(kube_at(e->file, e->map, other));
}


/* A new array for the items of exec's list key, with room for a NULL. */
static int
kube_array(const kube_entry_t *e, yaml_node_t *exec, const char *key,
    yaml_node_t **list, char ***dst)
{
    ptrdiff_t  n;

    *dst = NULL;
    *list = kube_at(e->file, exec, key);

    if (ydoc_is_null(*list)) {
        *list = NULL;
        return 0;
    }

    n = (*list)->type == YAML_SEQUENCE_NODE
        ? (*list)->data.sequence.items.top - (*list)->data.sequence.items.start
        : -1;

    if (n < 0 || n > KUBE_MAX_ARGS) {
        return kube_wrong(e, key, "a list of at most 1000 is expected");
    }

    *dst = calloc((size_t) n + 1, sizeof(char *));

    return *dst != NULL ? 0 : kube_wrong(e, key, "out of memory");
}


static int
kube_args(const kube_entry_t *e, yaml_node_t *exec, kube_exec_t *x,
    size_t *bytes)
{
    size_t             i;
    const char        *s;
    yaml_node_t       *list, *n;
    yaml_node_item_t  *item;

    if (kube_array(e, exec, "args", &list, &x->args) != 0 || list == NULL) {
        return list == NULL ? 0 : -1;
    }

    i = 0;

    for (item = list->data.sequence.items.start;
         item < list->data.sequence.items.top; item++)
    {
        n = kube_item(e->file, *item);
        s = n->type == YAML_SCALAR_NODE
            ? (const char *) n->data.scalar.value : NULL;

        /* An empty one is one, too. */
        if (s == NULL || strlen(s) != n->data.scalar.length) {
            return kube_wrong(e, "args", "texts are expected");
        }

        if (strlen(s) + 1 > *bytes) {
            return kube_wrong(e, "args", "they are too long");
        }

        *bytes -= strlen(s) + 1;
        x->args[i] = strdup(s);

        if (x->args[i++] == NULL) {
            return kube_wrong(e, "args", "out of memory");
        }
    }

    return 0;
}


/* "NAME=value" of an item of env; NULL: it is none, or too long. */
static char *
kube_variable(const kube_entry_t *e, yaml_node_t *item, size_t *bytes)
{
    char         *s;
    size_t        len;
    const char   *name, *value;
    yaml_node_t  *n;

    name = ydoc_text(kube_at(e->file, item, "name"));
    n = kube_at(e->file, item, "value");
    value = n == NULL ? "" : n->type == YAML_SCALAR_NODE
            ? (const char *) n->data.scalar.value : NULL;

    if (name == NULL || value == NULL || strchr(name, '=') != NULL
        || (n != NULL && strlen(value) != n->data.scalar.length))
    {
        return NULL;
    }

    len = strlen(name) + strlen(value) + 2;
    s = len <= *bytes ? malloc(len) : NULL;

    if (s != NULL) {
        *bytes -= len;
        snprintf(s, len, "%s=%s", name, value);
    }

    return s;
}


static int
kube_env(const kube_entry_t *e, yaml_node_t *exec, kube_exec_t *x,
    size_t *bytes)
{
    size_t             i;
    yaml_node_t       *list;
    yaml_node_item_t  *item;

    if (kube_array(e, exec, "env", &list, &x->env) != 0 || list == NULL) {
        return list == NULL ? 0 : -1;
    }

    i = 0;

    for (item = list->data.sequence.items.start;
         item < list->data.sequence.items.top; item++)
    {
        x->env[i] = kube_variable(e, kube_item(e->file, *item), bytes);

        if (x->env[i++] == NULL) {
            return kube_wrong(e, "env", "items with name and value are"
                              " expected, not too long");
        }
    }

    return 0;
}


/* interactiveMode, which v1 asks for (client-go, clientcmd/validation.go). */
static int
kube_mode(const kube_entry_t *e, yaml_node_t *exec, kube_exec_t *x)
{
    int          i;
    const char  *s;

    static const char *const  modes[] = { "IfAvailable", "Never", "Always" };

    s = ydoc_text(kube_at(e->file, exec, "interactiveMode"));

    for (i = 0; s != NULL && i < 3; i++) {
        if (strcmp(s, modes[i]) == 0) {
            x->mode = (kube_mode_t) i;
            return 0;
        }
    }

    if (s == NULL && strstr(x->version, "/v1beta1") != NULL) {
        x->mode = KUBE_IF_AVAILABLE;
        return 0;
    }

    return kube_wrong(e, "interactiveMode", "Never, IfAvailable or Always is"
                      " expected");
}


static int
kube_exec(const kube_entry_t *e, kube_exec_t *x)
{
    char         *path;
    size_t        bytes;
    unsigned      bit;
    yaml_node_t  *exec;

    exec = kube_at(e->file, e->map, "exec");

    if (ydoc_is_null(exec)) {
        return 0;
    }

    if (exec->type != YAML_MAPPING_NODE) {
        return kube_wrong(e, "exec", "keys and values are expected");
    }

    if (kube_text_at(e, exec, "apiVersion", &x->version) != 0
        || kube_text_at(e, exec, "command", &x->command) != 0
        || kube_text_at(e, exec, "installHint", &x->hint) != 0
        || kube_flag(e, exec, "provideClusterInfo", &bit) != 0)
    {
        return -1;
    }

    x->cluster_info = bit;

    if (x->command == NULL) {
        return kube_wrong(e, "exec", "it names no command");
    }

    if (x->version == NULL
        || (strcmp(x->version, "client.authentication.k8s.io/v1") != 0
            && strcmp(x->version, "client.authentication.k8s.io/v1beta1")
               != 0))
    {
        return kube_wrong(e, "exec", "apiVersion client.authentication.k8s.io"
                          "/v1 or .../v1beta1 is expected");
    }

    /* One on PATH is left alone. */
    if (strchr(x->command, '/') != NULL && x->command[0] != '/') {
        bytes = strlen(e->file->folder) + strlen(x->command) + 1;

        path = malloc(bytes);
        if (path == NULL) {
            return kube_wrong(e, "exec", "out of memory");
        }

        snprintf(path, bytes, "%s%s", e->file->folder, x->command);
        free(x->command);
        x->command = path;
    }

    bytes = KUBE_MAX_ARG_BYTES;

    return kube_mode(e, exec, x) != 0 || kube_args(e, exec, x, &bytes) != 0
           || kube_env(e, exec, x, &bytes) != 0 ? -1 : 0;
}


static int
kube_user(kube_choice_t *c, const kube_files_t *k, char *err)
{
    kube_user_t   *u;
    kube_entry_t   e;

    u = &c->user;

    if (c->user_name == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "the context \"%.80s\" names no user",
                 c->context);
        return -1;
    }

    if (kube_find(&e, k, "users", "user", c->user_name, err) != 0) {
        return -1;
    }

    if (e.file == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "the context \"%.80s\" is of the user"
                 " \"%.80s\", who is not there", c->context, c->user_name);
        return -1;
    }

    u->has_provider = kube_has(&e, "auth-provider", "auth-provider");
    u->has_password = kube_has(&e, "username", "password");
    u->has_as = kube_has(&e, "as", "as-uid")
                || kube_has(&e, "as-groups", "as-user-extra");

    return kube_text(&e, "token", &u->token) != 0
           || kube_path(&e, "tokenFile", &u->token_file) != 0
           || kube_path(&e, "client-certificate", &u->cert_file) != 0
           || kube_text(&e, "client-certificate-data", &u->cert_data) != 0
           || kube_path(&e, "client-key", &u->key_file) != 0
           || kube_text(&e, "client-key-data", &u->key_data) != 0
           || kube_exec(&e, &u->exec) != 0 ? -1 : 0;
}


/* What the cluster's entry keeps for credential plugins, as JSON. */
static int
kube_config(const kube_entry_t *e, char **dst)
{
    json_t            *doc;
    const char        *s;
    yaml_node_t       *list, *item;
    yaml_node_item_t  *i;

    list = kube_at(e->file, e->map, "extensions");

    if (ydoc_is_null(list)) {
        return 0;
    }

    if (list->type != YAML_SEQUENCE_NODE) {
        return kube_wrong(e, "extensions", "a list is expected");
    }

    for (i = list->data.sequence.items.start;
         i < list->data.sequence.items.top; i++)
    {
        item = kube_item(e->file, *i);
        s = ydoc_text(kube_at(e->file, item, "name"));

        if (s == NULL || strcmp(s, KUBE_EXEC_CONFIG) != 0 || *dst != NULL) {
            continue;
        }

        item = kube_at(e->file, item, "extension");
        doc = item != NULL ? ydoc_json(&e->file->yaml.doc, item) : NULL;
        *dst = doc != NULL
               ? json_dumps(doc, JSON_COMPACT|JSON_ENCODE_ANY) : NULL;
        json_decref(doc);

        if (*dst == NULL) {
            return kube_wrong(e, "extensions", "what is there for credential"
                              " plugins cannot be made JSON");
        }
    }

    return 0;
}


/* Only plugins ask for it: one that is not there is an error then. */
static int
kube_cluster(kube_choice_t *c, const kube_files_t *k, char *err)
{
    unsigned         bit;
    kube_entry_t     e;
    kube_cluster_t  *cl;

    cl = &c->cluster;

    if (!c->user.exec.cluster_info || c->cluster_name == NULL) {
        return 0;
    }

    if (kube_find(&e, k, "clusters", "cluster", c->cluster_name, err) != 0) {
        return -1;
    }

    if (e.file == NULL) {
        return 0;
    }

    if (kube_text(&e, "server", &cl->server) != 0
        || kube_text(&e, "tls-server-name", &cl->tls_name) != 0
        || kube_path(&e, "certificate-authority", &cl->ca_file) != 0
        || kube_text(&e, "certificate-authority-data", &cl->ca_data) != 0
        || kube_text(&e, "proxy-url", &cl->proxy) != 0
        || kube_flag(&e, e.map, "insecure-skip-tls-verify", &bit) != 0
        || kube_config(&e, &cl->config) != 0)
    {
        return -1;
    }

    cl->insecure = bit;

    return 0;
}


/* "; there are: a, b": contexts, cut to KUBE_MAX_NAMES bytes. */
static void
kube_names(char *dst, const kube_files_t *k)
{
    int                n;
    char               clean[64];
    size_t             used;
    const char        *s;
    kube_file_t       *f;
    yaml_node_item_t  *item, *top;

    used = 0;
    dst[0] = '\0';

    for (f = k->first; f != NULL; f = f->next) {
        kube_items(f, "contexts", &item, &top);

        for ( /* void */ ; item < top; item++) {
            s = ydoc_text(kube_at(f, kube_item(f, *item), "name"));
            if (s == NULL) {
                continue;
            }

            text_clean(clean, sizeof(clean), s, strlen(s));
            n = snprintf(dst + used, KUBE_MAX_NAMES - used, "%s%s",
                         used ? ", " : "; there are: ", clean);

            if (n < 0 || (size_t) n >= KUBE_MAX_NAMES - used) {
                return;
            }

            used += (size_t) n;
        }
    }
}


/* The first file that names one has it. */
static const char *
kube_current(const kube_files_t *k)
{
    const char   *s;
    kube_file_t  *f;

    for (f = k->first; f != NULL; f = f->next) {
        s = ydoc_text(kube_at(f, kube_root(f), "current-context"));

        if (s != NULL) {
            return s;
        }
    }

    return NULL;
}


int
kube_choose(kube_choice_t *c, const kube_files_t *k, const char *context,
    char *err)
{
    char           names[KUBE_MAX_NAMES];
    kube_entry_t   e;

    memset(c, 0, sizeof(kube_choice_t));
    context = context != NULL ? context : kube_current(k);

    if (context == NULL) {
        kube_names(names, k);
        snprintf(err, PCAPX_ERR_LEN, "no context is the current one: give"
                 " --context NAME%s", names);
        return -1;
    }

    if (kube_find(&e, k, "contexts", "context", context, err) != 0) {
        return -1;
    }

    if (e.file == NULL) {
        kube_names(names, k);
        snprintf(err, PCAPX_ERR_LEN, "there is no context \"%.80s\"%s",
                 context, names);
        return -1;
    }

    c->context = strdup(context);

    if (c->context == NULL) {
        return kube_wrong(&e, "name", "out of memory");
    }

    return kube_text(&e, "namespace", &c->namespace) != 0
           || kube_text(&e, "cluster", &c->cluster_name) != 0
           || kube_text(&e, "user", &c->user_name) != 0 ? -1 : 0;
}


int
kube_choose_user(kube_choice_t *c, const kube_files_t *k, char *err)
{
    return kube_user(c, k, err) != 0 ? -1 : kube_cluster(c, k, err);
}


static void
kube_list_free(char **list)
{
    size_t  i;

    for (i = 0; list != NULL && list[i] != NULL; i++) {
        wipe_free(list[i]);
    }

    free(list);
}


void
kube_choice_free(kube_choice_t *c)
{
    kube_user_t     *u;
    kube_cluster_t  *cl;

    u = &c->user;
    cl = &c->cluster;

    free(c->context);
    free(c->cluster_name);
    free(c->user_name);
    free(c->namespace);

    free(cl->server);
    free(cl->tls_name);
    free(cl->ca_file);
    free(cl->ca_data);
    free(cl->proxy);
    free(cl->config);

    wipe_free(u->token);
    wipe_free(u->key_data);
    free(u->token_file);
    free(u->cert_file);
    free(u->cert_data);
    free(u->key_file);

    free(u->exec.version);
    free(u->exec.command);
    free(u->exec.hint);
    kube_list_free(u->exec.args);
    kube_list_free(u->exec.env);

    memset(c, 0, sizeof(kube_choice_t));
}
