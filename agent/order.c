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
static order_entry_t *order_insert(order_list_t *l, uint64_t ts_ns);
static int order_next(const order_t *o, uint64_t limit_ns, uint64_t *until);
static unsigned order_run(order_list_t *l, uint64_t until,
    order_span_t *spans, unsigned n, unsigned max, uint32_t max_bytes,
    uint32_t *bytes);

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
    uint32_t        off;
    order_list_t   *l;
    order_entry_t  *e;

    l = &o->lists[list];

    if (order_len(l) > l->mask || order_segment(o, len) != 0) {
        return NULL;
    }

    off = o->current * ORDER_SEGMENT_LEN + o->pos[o->current];
    o->pos[o->current] += len;
    o->live[o->current]++;
    o->waiting += len;

    if (order_len(l) == 0) {

        /* Starting over at the front keeps few pages in use. */

        l->head = 0;
        l->tail = 0;
    }

    e = order_insert(l, ts_ns);
    e->ts_ns = ts_ns;
    e->off = off;
    e->len = len;

    return o->mem + off;
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


/* Makes room behind all that are not younger. */

static order_entry_t *
order_insert(order_list_t *l, uint64_t ts_ns)
{
    uint32_t  i;

    for (i = l->tail; i != l->head; i--) {
        if (order_at(l, i - 1)->ts_ns <= ts_ns) {
            break;
        }

        *order_at(l, i) = *order_at(l, i - 1);
    }

    l->tail++;

    return order_at(l, i);
}


uint64_t
order_oldest(const order_t *o)
{
    int       i;
    uint64_t  until;

    i = order_next(o, UINT64_MAX, &until);

    return i < 0 ? UINT64_MAX
                 : order_at(&o->lists[i], o->lists[i].head)->ts_ns;
}


/*
 * The list with the oldest record not above the limit, -1 for none; of equal
 * ones the first. *until is how far it may go before another one is asked.
 */

static int
order_next(const order_t *o, uint64_t limit_ns, uint64_t *until)
{
    int                   best;
    unsigned              i;
    uint64_t              ts, second;
    const order_list_t   *l;

    best = -1;
    second = limit_ns;

    for (i = 0; i < o->nlists; i++) {
        l = &o->lists[i];

        if (order_len(l) == 0) {
            continue;
        }

        ts = order_at(l, l->head)->ts_ns;

        if (best == -1 ? ts <= limit_ns : ts < limit_ns) {

            /* Those before it are asked again when they are as old. */

            second = best == -1 ? second : limit_ns - 1;
            best = (int) i;
            limit_ns = ts;

        } else if (best != -1 && ts < second) {
            second = ts;
        }
    }

    *until = second;

    return best;
}


unsigned
order_take(order_t *o, uint64_t limit_ns, order_span_t *spans, unsigned max,
    uint32_t max_bytes, uint64_t *counts, uint64_t *last_ns)
{
    int        i;
    unsigned   n;
    uint32_t   bytes, before;
    uint64_t   until;

    n = 0;
    bytes = 0;

    while (bytes < max_bytes) {
        i = order_next(o, limit_ns, &until);

        if (i < 0) {
            break;
        }

        before = o->lists[i].head;
        n = order_run(&o->lists[i], until, spans, n, max, max_bytes, &bytes);

        if (o->lists[i].head == before) {
            break;
        }

        counts[i] += o->lists[i].head - before;
        until = order_at(&o->lists[i], o->lists[i].head - 1)->ts_ns;

        if (until > *last_ns) {
            *last_ns = until;
        }
    }

    o->waiting -= bytes;

    return n;
}


/*
 * Takes records of one list up to a time stamp. Returns how many spans there
 * are now; stops when they are all used, or the bytes.
 */

static unsigned
order_run(order_list_t *l, uint64_t until, order_span_t *spans, unsigned n,
    unsigned max, uint32_t max_bytes, uint32_t *bytes)
{
    order_span_t         *s;
    const order_entry_t  *e;

    s = n ? &spans[n - 1] : NULL;

    for ( /* void */ ; l->head != l->tail && *bytes < max_bytes; l->head++) {
        e = order_at(l, l->head);

        if (e->ts_ns > until) {
            break;
        }

        /* Side by side, and not across the border of two segments. */

        if (s && s->off + s->len == e->off && e->off % ORDER_SEGMENT_LEN) {
            s->len += e->len;
            s->nrecords++;

        } else if (n < max) {
            s = &spans[n++];
            s->off = e->off;
            s->len = e->len;
            s->nrecords = 1;

        } else {
            break;
        }

        *bytes += e->len;
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
