/*
 * cli/bosh_conf.c: finds an entry in a YAML document, and makes the text anew.
 * Only three levels are ever looked at: the root, environments, one entry.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bosh_conf.h"
#include "pcapx/valid.h"
#include "text.h"
#include "wipe.h"
#include "yamldoc.h"


/* By aliases, few bytes may name many entries with many keys each. */
#define CONF_MAX_ENTRIES  1000


typedef struct {
    char    *data;
    size_t   len;
    size_t   size;
} conf_buf_t;


/* Is entry the environment that name means? */
static int
conf_is_named(yaml_document_t *doc, yaml_node_t *entry, const char *name)
{
    const char  *s;

    s = ydoc_text(ydoc_member(doc, entry, "url"));
    if (s != NULL && strcmp(s, name) == 0) {
        return 1;
    }

    s = ydoc_text(ydoc_member(doc, entry, "alias"));

    return s != NULL && strcmp(s, name) == 0;
}


/* The entries' numbers in *first and *top, equal when there are none. */
static void
conf_entries(yaml_document_t *doc, yaml_node_item_t **first,
    yaml_node_item_t **top)
{
    yaml_node_t  *list;

    *first = *top = NULL;

    list = ydoc_member(doc, yaml_document_get_root_node(doc),
                       "environments");

    if (list == NULL || list->type != YAML_SEQUENCE_NODE) {
        return;
    }

    *first = list->data.sequence.items.start;
    *top = list->data.sequence.items.top;

    if (*top - *first > CONF_MAX_ENTRIES) {
        *top = *first + CONF_MAX_ENTRIES;
    }
}


/* The number of the entry's node, 0 when there is none. */
static int
conf_find(yaml_document_t *doc, const char *name)
{
    yaml_node_item_t  *i, *top;

    for (conf_entries(doc, &i, &top); i < top; i++) {
        if (conf_is_named(doc, yaml_document_get_node(doc, *i), name)) {
            return *i;
        }
    }

    return 0;
}


static int
conf_copy(char **dst, yaml_document_t *doc, yaml_node_t *entry,
    const char *key)
{
    const char  *s;

    s = ydoc_text(ydoc_member(doc, entry, key));
    *dst = s != NULL ? strdup(s) : NULL;

    return s == NULL || *dst != NULL ? 0 : -1;
}


int
bosh_conf_find(bosh_env_t *env, const char *text, size_t len,
    const char *name, char *err)
{
    int           rc, n;
    ydoc_t        d;
    yaml_node_t  *e;

    memset(env, 0, sizeof(bosh_env_t));
    rc = ydoc_load(&d, text, len, err);

    if (rc != 0) {
        goto out;
    }

    n = conf_find(&d.doc, name);
    if (n == 0) {
        goto out;
    }

    e = yaml_document_get_node(&d.doc, n);
    rc = 1;

    if (conf_copy(&env->url, &d.doc, e, "url") != 0
        || conf_copy(&env->alias, &d.doc, e, "alias") != 0
        || conf_copy(&env->ca_cert, &d.doc, e, "ca_cert") != 0
        || conf_copy(&env->username, &d.doc, e, "username") != 0
        || conf_copy(&env->password, &d.doc, e, "password") != 0
        || conf_copy(&env->access_token, &d.doc, e, "access_token") != 0
        || conf_copy(&env->refresh_token, &d.doc, e, "refresh_token") != 0)
    {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
        rc = -1;
    }

out:

    ydoc_free(&d);

    return rc;
}


void
bosh_env_free(bosh_env_t *env)
{
    size_t  i;
    char   *secrets[] = { env->password, env->access_token,
                          env->refresh_token };

    for (i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        wipe_free(secrets[i]);
    }

    free(env->url);
    free(env->alias);
    free(env->ca_cert);
    free(env->username);
    memset(env, 0, sizeof(bosh_env_t));
}


/* Quoted, so that no reader takes a token for a number or a null. */
static int
conf_new_scalar(yaml_document_t *doc, const char *s)
{
    return yaml_document_add_scalar(doc, NULL, (const yaml_char_t *) s,
                                    (int) strlen(s),
                                    YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}


/*
 * A new node for the value: the old one may be another entry's, too, by an
 * alias. Adding moves the nodes: entry is a number. 0 or -1.
 */
static int
conf_set(yaml_document_t *doc, int entry, const char *key, const char *value)
{
    int                k, v;
    yaml_node_t       *e;
    yaml_node_pair_t  *p;

    v = conf_new_scalar(doc, value);
    k = yaml_document_add_scalar(doc, NULL, (const yaml_char_t *) key,
                                 (int) strlen(key), YAML_PLAIN_SCALAR_STYLE);
    if (v == 0 || k == 0) {
        return -1;
    }

    e = yaml_document_get_node(doc, entry);
    p = ydoc_pair(doc, e, key);

    if (p != NULL) {
        p->value = v;
        return 0;
    }

    return yaml_document_append_mapping_pair(doc, entry, k, v) ? 0 : -1;
}


/* libyaml's write handler: 1 is good. */
static int
conf_on_write(void *ctx, unsigned char *data, size_t len)
{
    char        *more;
    size_t       size;
    conf_buf_t  *b = ctx;

    /* What is read is smaller, and quoting at most doubles it, and a bit. */
    if (len > 4 * STORE_MAX_BYTES - b->len) {
        return 0;
    }

    /* There is always room for a NUL. */
    if (b->len + len >= b->size) {
        size = 2 * (b->len + len) + 1;

        more = malloc(size);
        if (more == NULL) {
            return 0;
        }

        /* realloc() would leave tokens behind. */
        if (b->data != NULL) {
            memcpy(more, b->data, b->len);
            wipe(b->data, b->len);
            free(b->data);
        }

        b->data = more;
        b->size = size;
    }

    memcpy(b->data + b->len, data, len);
    b->len += len;

    return 1;
}


/* Takes d's document, also on failure. */
static int
conf_emit(ydoc_t *d, conf_buf_t *b)
{
    int             ok;
    yaml_emitter_t  emitter;

    if (!yaml_emitter_initialize(&emitter)) {
        return -1;
    }

    yaml_emitter_set_output(&emitter, conf_on_write, b);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);

    ok = yaml_emitter_open(&emitter);

    if (ok) {
        ok = yaml_emitter_dump(&emitter, &d->doc);
        d->has_doc = 0;
    }

    ok = ok && yaml_emitter_close(&emitter) && yaml_emitter_flush(&emitter);
    yaml_emitter_delete(&emitter);

    return ok ? 0 : -1;
}


/* Is there nothing behind the first document that would get lost? */
static int
conf_is_last(ydoc_t *d)
{
    int              last;
    yaml_document_t  next;

    if (!yaml_parser_load(&d->parser, &next)) {
        return 0;
    }

    last = yaml_document_get_root_node(&next) == NULL;
    yaml_document_delete(&next);

    return last;
}


char *
bosh_conf_update(const char *text, size_t len, const char *name,
    const char *access, const char *refresh, size_t *out_len, char *err)
{
    int         n, rc;
    ydoc_t      d;
    conf_buf_t  b;

    memset(&b, 0, sizeof(b));

    rc = ydoc_load(&d, text, len, err);
    if (rc != 0) {
        goto out;
    }

    rc = -1;
    n = conf_find(&d.doc, name);

    if (n == 0) {
        snprintf(err, PCAPX_ERR_LEN, "the environment is not in it any more");
        goto out;
    }

    if (!conf_is_last(&d)) {
        snprintf(err, PCAPX_ERR_LEN, "it holds more than one document");
        goto out;
    }

    snprintf(err, PCAPX_ERR_LEN, "it cannot be made anew");

    if (conf_set(&d.doc, n, "access_token", access) != 0
        || conf_set(&d.doc, n, "access_token_type", "bearer") != 0
        || (refresh != NULL
            && conf_set(&d.doc, n, "refresh_token", refresh) != 0))
    {
        goto out;
    }

    rc = conf_emit(&d, &b);

    if (rc == 0 && b.data != NULL) {
        b.data[b.len] = '\0';
    }

out:

    ydoc_free(&d);

    if (rc != 0 && b.data != NULL) {
        wipe(b.data, b.len);
        free(b.data);
        b.data = NULL;
    }

    *out_len = b.len;

    return b.data;
}


void
bosh_conf_names(char *dst, size_t max, const char *text, size_t len)
{
    int                n;
    char               err[PCAPX_ERR_LEN], clean[64];
    size_t             used;
    ydoc_t             d;
    const char        *s;
    yaml_node_item_t  *i, *top;

    used = 0;
    dst[0] = '\0';

    if (ydoc_load(&d, text, len, err) != 0) {
        ydoc_free(&d);
        return;
    }

    for (conf_entries(&d.doc, &i, &top); i < top; i++) {
        s = ydoc_text(ydoc_member(&d.doc,
                                  yaml_document_get_node(&d.doc, *i),
                                  "alias"));
        if (s == NULL) {
            continue;
        }

        text_clean(clean, sizeof(clean), s, strlen(s));
        n = snprintf(dst + used, max - used, "%s%s", used ? ", " : "", clean);

        if (n < 0 || (size_t) n >= max - used) {
            break;
        }

        used += (size_t) n;
    }

    ydoc_free(&d);
}
