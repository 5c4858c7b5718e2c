/*
 * cli/gob.c: the decoder. Every count is held against the bytes that are
 * left (each element takes one at least), nesting against GOB_MAX_DEPTH, so
 * that the work is bounded by the length of the message. Ids are looked up,
 * never assumed: newer Go versions begin elsewhere.
 */

#include <stdlib.h>
#include <string.h>

#include "gob.h"


typedef struct {
    const uint8_t  *p;
    const uint8_t  *end;
} gob_in_t;

typedef struct {
    char        name[GOB_MAX_NAME + 1];
    int64_t     id;
} gob_member_t;

typedef struct {
    int64_t     id;
    gob_kind_t  kind;
    int64_t     elem;
    int64_t     key;
    size_t      first;       /* among gob_s.fields */
    size_t      nfields;
} gob_def_t;

struct gob_s {
    gob_def_t      types[GOB_MAX_TYPES];
    gob_member_t   fields[GOB_MAX_FIELDS];
    size_t         ntypes;
    size_t         nfields;
    char           path[GOB_MAX_PATH];
    size_t         path_len;
    gob_visit_t    visit;
    void          *ctx;
    const char    *err;
};


static int gob_value(gob_t *g, gob_in_t *in, int64_t id, unsigned depth);


gob_t *
gob_new(void)
{
    return calloc(1, sizeof(gob_t));
}


void
gob_free(gob_t *g)
{
    free(g);
}


const char *
gob_error(const gob_t *g)
{
    return g->err != NULL ? g->err : "no error";
}


static int
gob_fail(gob_t *g, const char *why)
{
    g->err = why;

    return -1;
}


/* Below 128 a byte of its own, else the negated count of those that follow,
 * big-endian. 0 or -1. */
static int
gob_get_uint(gob_in_t *in, uint64_t *u)
{
    unsigned  n;

    if (in->p == in->end) {
        return -1;
    }

    *u = *in->p++;

    if (*u < 128) {
        return 0;
    }

    n = 256 - (unsigned) *u;

    if (n > 8 || (size_t) (in->end - in->p) < n) {
        return -1;
    }

    for (*u = 0; n > 0; n--) {
        *u = *u << 8 | *in->p++;
    }

    return 0;
}


/* The lowest bit says that the others are complemented. */
static int
gob_get_int(gob_in_t *in, int64_t *i)
{
    uint64_t  u;

    if (gob_get_uint(in, &u) != 0) {
        return -1;
    }

    *i = (int64_t) (u >> 1);

    if (u & 1) {
        *i = ~*i;
    }

    return 0;
}


/* A length and so many bytes. */
static int
gob_get_bytes(gob_in_t *in, const uint8_t **p, size_t *len)
{
    uint64_t  n;

    if (gob_get_uint(in, &n) != 0 || n > (size_t) (in->end - in->p)) {
        return -1;
    }

    *p = in->p;
    *len = (size_t) n;
    in->p += n;

    return 0;
}


/* A count of elements that take each bytes at least. */
static int
gob_get_count(gob_in_t *in, size_t each, size_t *count)
{
    uint64_t  n;

    if (gob_get_uint(in, &n) != 0 || n > (size_t) (in->end - in->p) / each) {
        return -1;
    }

    *count = (size_t) n;

    return 0;
}


/* The struct's next field into *field (-1 at first), which is below n.
 * Returns 1, 0 at its end, or -1. */
static int
gob_get_field(gob_in_t *in, int *field, size_t n)
{
    uint64_t  delta;

    if (gob_get_uint(in, &delta) != 0
        || delta > (uint64_t) ((int) n - 1 - *field))
    {
        return -1;
    }

    *field += (int) delta;

    return delta != 0;
}


int
gob_frame(const uint8_t *p, size_t len, size_t *head, size_t *body)
{
    size_t    need;
    uint64_t  n;
    gob_in_t  in = { p, p + len };

    if (len == 0) {
        return 0;
    }

    need = *p < 128 ? 1 : 257 - (size_t) *p;

    if (need > GOB_MAX_HEAD) {
        return -1;
    }

    if (len < need) {
        return 0;
    }

    if (gob_get_uint(&in, &n) != 0 || n == 0 || n > GOB_MAX_MESSAGE) {
        return -1;
    }

    *head = need;
    *body = (size_t) n;

    return len - need >= n;
}


static const gob_def_t *
gob_find(const gob_t *g, int64_t id)
{
    size_t  i;

    for (i = 0; i < g->ntypes; i++) {
        if (g->types[i].id == id) {
            return &g->types[i];
        }
    }

    return NULL;
}


/* A Go identifier: a path must not be forged by a name. */
static int
gob_take_name(gob_t *g, gob_in_t *in, char *dst)
{
    size_t          i, len;
    const uint8_t  *p;

    if (gob_get_bytes(in, &p, &len) != 0 || len == 0 || len > GOB_MAX_NAME) {
        return gob_fail(g, "a field's name is too long or cut");
    }

    for (i = 0; i < len; i++) {
        if (p[i] < 128 && p[i] != '_' && !(p[i] >= '0' && p[i] <= '9')
            && !((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'z'))
        {
            return gob_fail(g, "a field's name is none of Go's");
        }
    }

    memcpy(dst, p, len);
    dst[len] = '\0';

    return 0;
}


/* fieldType {Name string; Id int}. */
static int
gob_define_field(gob_t *g, gob_in_t *in, gob_def_t *t)
{
    int            rc, field;
    gob_member_t  *m;

    if (g->nfields == GOB_MAX_FIELDS) {
        return gob_fail(g, "too many fields");
    }

    m = &g->fields[g->nfields];
    memset(m, 0, sizeof(gob_member_t));
    field = -1;

    while ((rc = gob_get_field(in, &field, 2)) == 1) {
        if (field == 0) {
            if (gob_take_name(g, in, m->name) != 0) {
                return -1;
            }

            continue;
        }

        if (gob_get_int(in, &m->id) != 0) {
            return gob_fail(g, "a field's definition is cut");
        }
    }

    if (rc != 0 || m->name[0] == '\0') {
        return gob_fail(g, "a field without a name");
    }

    g->nfields++;
    t->nfields++;

    return 0;
}


static int
gob_define_fields(gob_t *g, gob_in_t *in, gob_def_t *t)
{
    size_t  n;

    if (gob_get_count(in, 1, &n) != 0) {
        return gob_fail(g, "more fields than bytes");
    }

    for ( ; n > 0; n--) {
        if (gob_define_field(g, in, t) != 0) {
            return -1;
        }
    }

    return 0;
}


/* CommonType {Name string; Id int}: neither is of use. */
static int
gob_skip_common(gob_in_t *in)
{
    int             rc, field;
    size_t          len;
    int64_t         id;
    const uint8_t  *p;

    field = -1;

    while ((rc = gob_get_field(in, &field, 2)) == 1) {
        if (field == 0 ? gob_get_bytes(in, &p, &len) != 0
                       : gob_get_int(in, &id) != 0)
        {
            return -1;
        }
    }

    return rc;
}


/* arrayType {Common, Elem, Len}, sliceType {Common, Elem}, structType
 * {Common, Field}, mapType {Common, Key, Elem}, gobEncoderType {Common}. */
static int
gob_define_kind(gob_t *g, gob_in_t *in, gob_def_t *t)
{
    int       rc, field;
    int64_t   len, *id;

    static const size_t  members[GOB_KINDS] = { 3, 2, 2, 3, 1, 1, 1 };

    field = -1;

    while ((rc = gob_get_field(in, &field, members[t->kind])) == 1) {
        if (field == 0) {
            if (gob_skip_common(in) != 0) {
                return gob_fail(g, "a type's definition is cut");
            }

            continue;
        }

        if (t->kind == GOB_STRUCT) {
            if (gob_define_fields(g, in, t) != 0) {
                return -1;
            }

            continue;
        }

        id = t->kind == GOB_MAP ? (field == 1 ? &t->key : &t->elem)
                                : (field == 1 ? &t->elem : &len);

        if (gob_get_int(in, id) != 0) {
            return gob_fail(g, "a type's definition is cut");
        }
    }

    return rc == 0 ? 0 : gob_fail(g, "a type's definition is malformed");
}


/* wireType: exactly one of its fields says what kind it is. */
static int
gob_define(gob_t *g, gob_in_t *in, int64_t id)
{
    int         kind;
    gob_def_t   t;

    if (id < GOB_FIRST_USER_ID || gob_find(g, id) != NULL) {
        return gob_fail(g, "a type that is there already");
    }

    if (g->ntypes == GOB_MAX_TYPES) {
        return gob_fail(g, "too many types");
    }

    memset(&t, 0, sizeof(t));
    t.id = id;
    t.first = g->nfields;
    kind = -1;

    if (gob_get_field(in, &kind, GOB_KINDS) != 1) {
        return gob_fail(g, "a type of no kind");
    }

    t.kind = (gob_kind_t) kind;

    if (gob_define_kind(g, in, &t) != 0) {
        return -1;
    }

    if (gob_get_field(in, &kind, GOB_KINDS) != 0 || in->p != in->end) {
        return gob_fail(g, "bytes behind a type's definition");
    }

    g->types[g->ntypes++] = t;

    return 0;
}


/* Returns the length of the path before, or -1. */
static int
gob_push(gob_t *g, const char *between, const char *name)
{
    size_t  a, b, before;

    before = g->path_len;
    a = before > 0 ? strlen(between) : 0;
    b = strlen(name);

    if (a + b >= GOB_MAX_PATH - before) {
        return gob_fail(g, "nested too deep");
    }

    memcpy(g->path + before, between, a);
    memcpy(g->path + before + a, name, b + 1);
    g->path_len += a + b;

    return (int) before;
}


static void
gob_pop(gob_t *g, int before)
{
    g->path_len = (size_t) before;
    g->path[before] = '\0';
}


static int
gob_struct(gob_t *g, gob_in_t *in, const gob_def_t *t, unsigned depth)
{
    int                  rc, field, before;
    const gob_member_t  *m;

    field = -1;

    while ((rc = gob_get_field(in, &field, t->nfields)) == 1) {
        m = &g->fields[t->first + (size_t) field];

        before = gob_push(g, ".", m->name);
        if (before == -1 || gob_value(g, in, m->id, depth) != 0) {
            return -1;
        }

        gob_pop(g, before);
    }

    return rc == 0 ? 0 : gob_fail(g, "a field that the type does not have");
}


/* Elements of arrays and slices, keys and values of maps. */
static int
gob_elements(gob_t *g, gob_in_t *in, const gob_def_t *t, unsigned depth)
{
    int     before;
    size_t  n;

    if (gob_get_count(in, t->kind == GOB_MAP ? 2 : 1, &n) != 0) {
        return gob_fail(g, "more elements than bytes");
    }

    before = gob_push(g, "", t->kind == GOB_MAP ? "{}" : "[]");
    if (before == -1) {
        return -1;
    }

    for ( ; n > 0; n--) {
        if ((t->kind == GOB_MAP && gob_value(g, in, t->key, depth) != 0)
            || gob_value(g, in, t->elem, depth) != 0)
        {
            return -1;
        }
    }

    gob_pop(g, before);

    return 0;
}


/*
 * An interface: the name of its type, empty for nil; then the type's id, and
 * how long the rest is. A definition inside of it is legal, but nothing that
 * is asked for here holds one.
 */
static int
gob_interface(gob_t *g, gob_in_t *in)
{
    size_t          len;
    int64_t         id;
    const uint8_t  *p;

    if (gob_get_bytes(in, &p, &len) != 0) {
        return gob_fail(g, "an interface is cut");
    }

    if (len == 0) {
        return 0;
    }

    if (gob_get_int(in, &id) != 0 || id < 0
        || gob_get_bytes(in, &p, &len) != 0)
    {
        return gob_fail(g, "an interface is cut, or defines types");
    }

    return 0;
}


static int
gob_scalar(gob_t *g, gob_in_t *in, int64_t id)
{
    int           rc;
    gob_scalar_t  v = { (gob_id_t) id, 0, 0, NULL, 0 };

    switch (id) {

    case GOB_BOOL:
    case GOB_UINT:
    case GOB_FLOAT:
        rc = gob_get_uint(in, &v.u);
        break;

    case GOB_INT:
        rc = gob_get_int(in, &v.i);
        break;

    case GOB_BYTES:
    case GOB_STRING:
        rc = gob_get_bytes(in, &v.p, &v.len);
        break;

    case GOB_COMPLEX:
        rc = gob_get_uint(in, &v.u);

        if (rc == 0) {
            rc = gob_get_uint(in, &v.u);
        }

        return rc == 0 ? 0 : gob_fail(g, "a value is cut");

    case GOB_INTERFACE:
        return gob_interface(g, in);

    default:
        return gob_fail(g, "a value of an unknown type");
    }

    if (rc != 0) {
        return gob_fail(g, "a value is cut");
    }

    if (g->visit != NULL) {
        g->visit(g->ctx, g->path, &v);
    }

    return 0;
}


static int
gob_value(gob_t *g, gob_in_t *in, int64_t id, unsigned depth)
{
    const gob_def_t  *t;

    if (id < GOB_FIRST_USER_ID) {
        return gob_scalar(g, in, id);
    }

    t = gob_find(g, id);
    if (t == NULL) {
        return gob_fail(g, "a value of an unknown type");
    }

    if (depth == GOB_MAX_DEPTH) {
        return gob_fail(g, "nested too deep");
    }

    switch (t->kind) {

    case GOB_STRUCT:
        return gob_struct(g, in, t, depth + 1);

    case GOB_ARRAY:
    case GOB_SLICE:
    case GOB_MAP:
        return gob_elements(g, in, t, depth + 1);

    default:
        return gob_scalar(g, in, GOB_BYTES);
    }
}


int
gob_message(gob_t *g, const uint8_t *body, size_t len, gob_visit_t visit,
    void *ctx)
{
    int64_t           id;
    uint64_t          marker;
    gob_in_t          in = { body, body + len };
    const gob_def_t  *t;

    if (g->err != NULL) {
        return -1;
    }

    if (gob_get_int(&in, &id) != 0) {
        return gob_fail(g, "a message without a type");
    }

    if (id < 0) {
        /* INT64_MIN has no counterpart. */
        return id == INT64_MIN ? gob_fail(g, "a type of no id")
                               : gob_define(g, &in, -id);
    }

    t = gob_find(g, id);
    marker = 0;

    if ((t == NULL || t->kind != GOB_STRUCT)
        && (gob_get_uint(&in, &marker) != 0 || marker != 0))
    {
        return gob_fail(g, "a value of an unknown type");
    }

    g->visit = visit;
    g->ctx = ctx;
    gob_pop(g, 0);

    if (gob_value(g, &in, id, 0) != 0) {
        return -1;
    }

    return in.p == in.end ? 1 : gob_fail(g, "bytes behind a value");
}
