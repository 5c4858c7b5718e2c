/*
 * cli/gob_put.c: the encoder. What is sent is small and our own; a failure
 * is remembered, so that only the end needs to look.
 */

#include <stdlib.h>
#include <string.h>

#include "gob.h"
#include "wipe.h"


void
gob_out_free(gob_out_t *o)
{
    if (o->data != NULL) {
        wipe(o->data, o->len);
        free(o->data);
    }

    memset(o, 0, sizeof(gob_out_t));
}


/* Room for n bytes more; 0 or -1. */
static int
gob_room(gob_out_t *o, size_t n)
{
    size_t    size;
    uint8_t  *data;

    if (o->failed || n > GOB_MAX_MESSAGE - o->len) {
        o->failed = 1;
        return -1;
    }

    if (n <= o->size - o->len) {
        return 0;
    }

    size = 2 * (o->len + n);

    data = malloc(size);
    if (data == NULL) {
        o->failed = 1;
        return -1;
    }

    if (o->data != NULL) {
        memcpy(data, o->data, o->len);
        wipe(o->data, o->len);
        free(o->data);
    }

    o->data = data;
    o->size = size;

    return 0;
}


static void
gob_put_bytes(gob_out_t *o, const void *p, size_t len)
{
    if (len > 0 && gob_room(o, len) == 0) {
        memcpy(o->data + o->len, p, len);
        o->len += len;
    }
}


/* u as it stands on the wire into dst; its length. */
static size_t
gob_uint(uint8_t dst[GOB_MAX_HEAD], uint64_t u)
{
    size_t    i, n;
    uint64_t  rest;

    if (u < 128) {
        dst[0] = (uint8_t) u;
        return 1;
    }

    n = 0;
    for (rest = u; rest != 0; rest >>= 8) {
        n++;
    }

    dst[0] = (uint8_t) (256 - n);

    for (i = n; i > 0; i--) {
        dst[i] = (uint8_t) (u & 0xff);
        u >>= 8;
    }

    return n + 1;
}


void
gob_put_uint(gob_out_t *o, uint64_t u)
{
    uint8_t  wire[GOB_MAX_HEAD];

    gob_put_bytes(o, wire, gob_uint(wire, u));
}


void
gob_put_int(gob_out_t *o, int64_t i)
{
    gob_put_uint(o, i < 0 ? (uint64_t) ~i << 1 | 1 : (uint64_t) i << 1);
}


void
gob_put_text(gob_out_t *o, const char *s)
{
    size_t  len;

    len = strlen(s);
    gob_put_uint(o, len);
    gob_put_bytes(o, s, len);
}


void
gob_put_raw(gob_out_t *o, const gob_out_t *from)
{
    o->failed |= from->failed;
    gob_put_bytes(o, from->data, from->len);
}


void
gob_put_field(gob_out_t *o, int *last, int field)
{
    gob_put_uint(o, (uint64_t) (field - *last));
    *last = field;
}


void
gob_begin(gob_out_t *o, int64_t id, gob_kind_t kind)
{
    o->begun = o->len;
    gob_put_int(o, id);

    if (id > 0 && kind != GOB_STRUCT) {
        gob_put_uint(o, 0);
    }
}


/* Only now the length is known that stands before it. */
void
gob_end(gob_out_t *o)
{
    size_t   head, body;
    uint8_t  wire[GOB_MAX_HEAD];

    body = o->len - o->begun;
    head = gob_uint(wire, body);

    if (gob_room(o, head) == 0) {
        memmove(o->data + o->begun + head, o->data + o->begun, body);
        memcpy(o->data + o->begun, wire, head);
        o->len += head;
    }
}


/* Name and id, each left out when it is zero: CommonType, fieldType. */
static void
gob_put_named(gob_out_t *o, const char *name, int64_t id)
{
    int  last;

    last = -1;

    if (*name != '\0') {
        gob_put_field(o, &last, 0);
        gob_put_text(o, name);
    }

    gob_put_field(o, &last, 1);
    gob_put_int(o, id);
    gob_put_uint(o, 0);
}


void
gob_put_type(gob_out_t *o, const gob_type_t *t)
{
    int     last, kind;
    size_t  i;

    gob_begin(o, -t->id, t->kind);

    kind = -1;
    gob_put_field(o, &kind, (int) t->kind);

    last = -1;
    gob_put_field(o, &last, 0);
    gob_put_named(o, t->name, t->id);
    gob_put_field(o, &last, 1);

    if (t->kind == GOB_STRUCT) {
        gob_put_uint(o, t->nfields);

        for (i = 0; i < t->nfields; i++) {
            gob_put_named(o, t->fields[i].name, t->fields[i].id);
        }

    } else if (t->kind == GOB_MAP) {
        gob_put_int(o, t->key);
        gob_put_field(o, &last, 2);
        gob_put_int(o, t->elem);

    } else {
        gob_put_int(o, t->elem);
    }

    gob_put_uint(o, 0);
    gob_put_uint(o, 0);
    gob_end(o);
}
