/*
 * cli/yamldoc.c: reads YAML with libyaml's documents: an alias is a number of
 * a node there, so that a bomb of aliases costs nothing. It is parsed twice:
 * first only counted, for libyaml has no ceilings of its own.
 */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcapx/valid.h"
#include "store.h"
#include "yamldoc.h"


/*
 * libyaml (0.2.5) has no ceiling for depth, and looks at every open level
 * for each token, at every anchor for each alias: 200 000 brackets took two
 * minutes. A config has a few levels and no anchors.
 */
#define YDOC_MAX_DEPTH    64
#define YDOC_MAX_ANCHORS  1000

/* What a cluster's entry has for a credential plugin is a few lines. */
#define YDOC_JSON_NODES   10000
#define YDOC_JSON_BYTES   262144


typedef struct {
    yaml_document_t  *doc;
    unsigned          nodes;       /* left */
    size_t            bytes;
} ydoc_json_t;

static json_t *ydoc_json_node(ydoc_json_t *j, yaml_node_t *n, unsigned depth);


void
ydoc_detach(ydoc_t *d)
{
    if (d->has_parser) {
        yaml_parser_delete(&d->parser);
    }

    d->has_parser = 0;
}


void
ydoc_free(ydoc_t *d)
{
    if (d->has_doc) {
        yaml_document_delete(&d->doc);
    }

    d->has_doc = 0;
    ydoc_detach(d);
}


/* Counts what the event begins or ends. */
static void
ydoc_count(const yaml_event_t *e, int *depth, int *anchors)
{
    const yaml_char_t  *anchor;

    anchor = NULL;

    switch (e->type) {

    case YAML_SEQUENCE_START_EVENT:
        anchor = e->data.sequence_start.anchor;
        (*depth)++;
        break;

    case YAML_MAPPING_START_EVENT:
        anchor = e->data.mapping_start.anchor;
        (*depth)++;
        break;

    case YAML_SCALAR_EVENT:
        anchor = e->data.scalar.anchor;
        break;

    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        (*depth)--;
        break;

    default:
        break;
    }

    *anchors += anchor != NULL;
}


/*
 * Is it simple enough to be loaded? Mistakes are left to the loading, which
 * stops at the same place.
 */
static int
ydoc_is_simple(const char *text, size_t len)
{
    int            depth, anchors, end;
    yaml_event_t   e;
    yaml_parser_t  p;

    if (!yaml_parser_initialize(&p)) {
        return 0;
    }

    yaml_parser_set_input_string(&p, (const unsigned char *) text, len);

    depth = 0;
    anchors = 0;
    end = 0;

    while (!end && depth <= YDOC_MAX_DEPTH && anchors <= YDOC_MAX_ANCHORS
           && yaml_parser_parse(&p, &e))
    {
        ydoc_count(&e, &depth, &anchors);
        end = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }

    yaml_parser_delete(&p);

    return depth <= YDOC_MAX_DEPTH && anchors <= YDOC_MAX_ANCHORS;
}


int
ydoc_load(ydoc_t *d, const char *text, size_t len, char *err)
{
    memset(d, 0, sizeof(ydoc_t));

    if (len > STORE_MAX_BYTES) {
        snprintf(err, PCAPX_ERR_LEN, "it is longer than %d bytes",
                 STORE_MAX_BYTES);
        return -1;
    }

    if (!ydoc_is_simple(text, len)) {
        snprintf(err, PCAPX_ERR_LEN, "it is deeper than %d levels or has more"
                 " than %d anchors", YDOC_MAX_DEPTH, YDOC_MAX_ANCHORS);
        return -1;
    }

    if (!yaml_parser_initialize(&d->parser)) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
        return -1;
    }

    d->has_parser = 1;
    yaml_parser_set_input_string(&d->parser, (const unsigned char *) text,
                                 len);

    if (!yaml_parser_load(&d->parser, &d->doc)) {
        /* libyaml's own words; they never hold what stood in the file. */
        snprintf(err, PCAPX_ERR_LEN, "line %zu: %.100s",
                 d->parser.problem_mark.line + 1, d->parser.problem
                 ? d->parser.problem : "it cannot be read");
        return -1;
    }

    d->has_doc = 1;

    return 0;
}


int
ydoc_is_null(const yaml_node_t *n)
{
    const char  *s;

    if (n == NULL) {
        return 1;
    }

    if (n->type != YAML_SCALAR_NODE) {
        return 0;
    }

    s = (const char *) n->data.scalar.value;

    return n->data.scalar.length == 0
           || (n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
               && (strcmp(s, "~") == 0 || strcmp(s, "null") == 0));
}


const char *
ydoc_text(const yaml_node_t *n)
{
    const char  *s;

    if (ydoc_is_null(n) || n->type != YAML_SCALAR_NODE) {
        return NULL;
    }

    s = (const char *) n->data.scalar.value;

    return strlen(s) == n->data.scalar.length ? s : NULL;
}


yaml_node_pair_t *
ydoc_pair(yaml_document_t *doc, yaml_node_t *map, const char *key)
{
    const char        *s;
    yaml_node_pair_t  *p, *top, *found;

    found = NULL;

    if (map == NULL || map->type != YAML_MAPPING_NODE) {
        return NULL;
    }

    p = map->data.mapping.pairs.start;
    top = map->data.mapping.pairs.top;

    if (top - p > YDOC_MAX_KEYS) {
        top = p + YDOC_MAX_KEYS;
    }

    for ( /* void */ ; p < top; p++) {
        s = ydoc_text(yaml_document_get_node(doc, p->key));

        if (s != NULL && strcmp(s, key) == 0) {
            found = p;
        }
    }

    return found;
}


yaml_node_t *
ydoc_member(yaml_document_t *doc, yaml_node_t *map, const char *key)
{
    yaml_node_pair_t  *p;

    p = ydoc_pair(doc, map, key);

    return p != NULL ? yaml_document_get_node(doc, p->value) : NULL;
}


/* A plain scalar that is no text in YAML's JSON schema; NULL: it is one. */
static json_t *
ydoc_json_plain(const char *s)
{
    char       *end;
    double      real;
    long long   whole;

    if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0) {
        return json_boolean(*s == 't');
    }

    if (s[strspn(s, "+-0123456789.eE")] != '\0') {
        return NULL;
    }

    errno = 0;
    whole = strtoll(s, &end, 10);

    if (*end == '\0' && end != s && errno == 0) {
        return json_integer(whole);
    }

    real = strtod(s, &end);

    return *end == '\0' && end != s && isfinite(real) ? json_real(real)
                                                      : NULL;
}


static json_t *
ydoc_json_scalar(ydoc_json_t *j, const yaml_node_t *n)
{
    json_t      *plain;
    const char  *s;

    if (ydoc_is_null(n)
        && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
    {
        return json_null();
    }

    s = (const char *) n->data.scalar.value;

    if (n->data.scalar.length > j->bytes) {
        return NULL;
    }

    j->bytes -= n->data.scalar.length;

    plain = n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
            ? ydoc_json_plain(s) : NULL;

    return plain != NULL ? plain : json_stringn(s, n->data.scalar.length);
}


static json_t *
ydoc_json_map(ydoc_json_t *j, yaml_node_t *n, unsigned depth)
{
    json_t            *map;
    yaml_node_t       *key;
    yaml_node_pair_t  *p;

    map = json_object();

    for (p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        key = yaml_document_get_node(j->doc, p->key);

        if (key->type != YAML_SCALAR_NODE
            || key->data.scalar.length > j->bytes
            || strlen((const char *) key->data.scalar.value)
               != key->data.scalar.length
            || json_object_set_new(map, (const char *) key->data.scalar.value,
                                   ydoc_json_node(j, yaml_document_get_node(
                                   j->doc, p->value), depth))
               != 0)
        {
            json_decref(map);
            return NULL;
        }

        j->bytes -= key->data.scalar.length < j->bytes
                    ? key->data.scalar.length : j->bytes;
    }

    return map;
}


static json_t *
ydoc_json_list(ydoc_json_t *j, yaml_node_t *n, unsigned depth)
{
    json_t            *list;
    yaml_node_item_t  *i;

    list = json_array();

    for (i = n->data.sequence.items.start; i < n->data.sequence.items.top;
         i++)
    {
        if (json_array_append_new(list, ydoc_json_node(j,
                                  yaml_document_get_node(j->doc, *i), depth))
            != 0)
        {
            json_decref(list);
            return NULL;
        }
    }

    return list;
}


/* json_*_new() take NULL for a failure. */
static json_t *
ydoc_json_node(ydoc_json_t *j, yaml_node_t *n, unsigned depth)
{
    if (n == NULL || depth == 0 || j->nodes == 0) {
        return NULL;
    }

    j->nodes--;

    switch (n->type) {

    case YAML_SCALAR_NODE:
        return ydoc_json_scalar(j, n);

    case YAML_MAPPING_NODE:
        return ydoc_json_map(j, n, depth - 1);

    case YAML_SEQUENCE_NODE:
        return ydoc_json_list(j, n, depth - 1);

    default:
        return NULL;
    }
}


json_t *
ydoc_json(yaml_document_t *doc, yaml_node_t *n)
{
    ydoc_json_t  j = { doc, YDOC_JSON_NODES, YDOC_JSON_BYTES };

    return ydoc_json_node(&j, n, YDOC_MAX_DEPTH);
}
