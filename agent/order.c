/*
 * agent/order.c: see order.h. A list is kept sorted by insertion from its
 * newest end: the ring steps back by fractions of a millisecond where packets
 * came in on several CPUs, so an insertion moves a few entries, if any. A
 * clock that is set back moves more, but never more than the list has, and
 * only until the old time is reached again.
 */

#include <stdlib.h>
#include <string.h>

#include "order.h"


static int order_segment(order_t *o, uint32_t len);
static void order_insert(order_list_t *l, const order_entry_t *e);
static int order_next(const order_t *o, uint64_t limit_ns);

#define order_at(l, i)  (&(l)->entries[(i) & (l)->mask])
#define order_len(l)    ((l)->tail - (l)->head)


int
order_init(order_t *o, unsigned nlists, uint32_t max_record)
{
    unsigned  i;
    uint32_t  each;

    memset(o, 0, sizeof(*o));

    if (nlists == 0 || nlists > PCAPX_MAX_INTERFACES
        || max_record > ORDER_SEGMENT_LEN)
    {
        return -1;
    }

    o->mem = malloc((size_t) ORDER_SEGMENTS * ORDER_SEGMENT_LEN);
    o->entries = malloc(ORDER_ENTRIES * sizeof(order_entry_t));

    if (o->mem == NULL || o->entries == NULL) {
        order_free(o);
        return -1;
    }

    for (each = ORDER_ENTRIES; each * nlists > ORDER_ENTRIES; each /= 2) {
        /* the largest power of two that fits */
    }

    for (i = 0; i < nlists; i++) {
        o->lists[i].entries = o->entries + (size_t) i * each;
        o->lists[i].mask = each - 1;
    }

    o->nlists = nlists;
    o->max_record = max_record;
    o->nfree = ORDER_SEGMENTS - 1;

    return 0;
}


void
order_free(order_t *o)
{
    free(o->mem);
    free(o->entries);
    memset(o, 0, sizeof(*o));
}


int
order_room(const order_t *o, unsigned list)
{
    if (order_len(&o->lists[list]) > o->lists[list].mask) {
        return 0;
    }

    return o->nfree > 0
           || ORDER_SEGMENT_LEN - o->pos[o->current] >= o->max_record;
}


int
order_pressed(const order_t *o)
{
    unsigned  i;

    if (o->nfree < ORDER_SEGMENTS / 2) {
        return 1;
    }

    for (i = 0; i < o->nlists; i++) {
        if (order_len(&o->lists[i]) > o->lists[i].mask / 2) {
            return 1;
        }
    }

    return 0;
}


uint8_t *
order_put(order_t *o, unsigned list, uint64_t ts_ns, uint32_t len)
{
    order_list_t   *l;
    order_entry_t   e;

    l = &o->lists[list];

    if (order_len(l) > l->mask || order_segment(o, len) != 0) {
        return NULL;
    }

    e.ts_ns = ts_ns;
    e.off = o->current * ORDER_SEGMENT_LEN + o->pos[o->current];
    e.len = len;

    o->pos[o->current] += len;
    o->live[o->current]++;

    if (order_len(l) == 0) {

        /* Starting over at the front keeps few pages in use. */

        l->head = 0;
        l->tail = 0;
    }

    order_insert(l, &e);

    return o->mem + e.off;
}


/* Makes sure that the current segment has len bytes left. */

static int
order_segment(order_t *o, uint32_t len)
{
    unsigned  i;

    if (ORDER_SEGMENT_LEN - o->pos[o->current] >= len) {
        return 0;
    }

    if (len > ORDER_SEGMENT_LEN) {
        return -1;
    }

    for (i = 0; i < ORDER_SEGMENTS; i++) {
        if (i != o->current && o->live[i] == 0) {
            o->current = i;
            o->pos[i] = 0;
            o->nfree--;
            return 0;
        }
    }

    return -1;
}


static void
order_insert(order_list_t *l, const order_entry_t *e)
{
    uint32_t  i;

    for (i = l->tail; i != l->head; i--) {
        if (order_at(l, i - 1)->ts_ns <= e->ts_ns) {
            break;
        }

        *order_at(l, i) = *order_at(l, i - 1);
    }

    *order_at(l, i) = *e;
    l->tail++;
}


uint64_t
order_oldest(const order_t *o)
{
    int  i;

    i = order_next(o, UINT64_MAX);

    return i < 0 ? UINT64_MAX
                 : order_at(&o->lists[i], o->lists[i].head)->ts_ns;
}


/* The list with the oldest record not above the limit, -1 for none. */

static int
order_next(const order_t *o, uint64_t limit_ns)
{
    int                   best;
    unsigned              i;
    uint64_t              ts;
    const order_list_t   *l;

    best = -1;

    for (i = 0; i < o->nlists; i++) {
        l = &o->lists[i];

        if (order_len(l) == 0) {
            continue;
        }

        ts = order_at(l, l->head)->ts_ns;

        if (best == -1 ? ts <= limit_ns : ts < limit_ns) {
            best = (int) i;
            limit_ns = ts;
        }
    }

    return best;
}


unsigned
order_take(order_t *o, uint64_t limit_ns, order_span_t *spans, unsigned max,
    uint32_t max_bytes, uint64_t *counts, uint64_t *last_ns)
{
    int             i;
    unsigned        n;
    uint32_t        bytes;
    order_span_t   *s;
    order_list_t   *l;
    order_entry_t  *e;

    n = 0;
    bytes = 0;

    while (bytes < max_bytes) {
        i = order_next(o, limit_ns);

        if (i < 0) {
            break;
        }

        l = &o->lists[i];
        e = order_at(l, l->head);
        s = n ? &spans[n - 1] : NULL;

        /* Side by side, and not across the border of two segments. */

        if (s && s->off + s->len == e->off && e->off % ORDER_SEGMENT_LEN) {
            s->len += e->len;
            s->nrecords++;

        } else if (n < max) {
            spans[n].off = e->off;
            spans[n].len = e->len;
            spans[n].nrecords = 1;
            n++;

        } else {
            break;
        }

        bytes += e->len;
        counts[i]++;
        l->head++;

        if (e->ts_ns > *last_ns) {
            *last_ns = e->ts_ns;
        }
    }

    return n;
}


void
order_release(order_t *o, const order_span_t *spans, unsigned n)
{
    unsigned  i, seg;

    for (i = 0; i < n; i++) {
        seg = spans[i].off / ORDER_SEGMENT_LEN;
        o->live[seg] -= spans[i].nrecords;

        if (o->live[seg]) {
            continue;
        }

        if (seg == o->current) {
            o->pos[seg] = 0;

        } else {
            o->nfree++;
        }
    }
}
