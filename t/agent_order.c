/*
 * t/agent_order.c: the staging buffer and order lists of the agent against a
 * plain sort of the same records: random disorder, several interfaces, every
 * record exactly once with its bytes, memory that is full and comes back.
 */

#include <stdlib.h>
#include <string.h>

#include "agent/order.h"
#include "t/tap.h"


#define MAX_RECORD  4096
#define RECORDS     200000
#define SPANS       64


typedef struct {
    order_t    order;
    uint64_t   counts[PCAPX_MAX_INTERFACES];
    uint64_t   last_ns;
    uint64_t   seen;
    uint64_t   back;           /* steps back in what came out */
    uint64_t   bad;            /* records with wrong bytes */
    uint64_t   newest;
    uint8_t   *once;           /* one for each record number */
    uint64_t   seed;
} run_t;


static uint64_t
next(run_t *r, uint64_t max)
{
    r->seed ^= r->seed << 13;
    r->seed ^= r->seed >> 7;
    r->seed ^= r->seed << 17;

    return r->seed % max;
}


/* A record: its length, number and time stamp, then a pattern. */

static int
put(run_t *r, unsigned list, uint64_t ts, uint32_t number)
{
    uint8_t   *p;
    uint32_t   len;

    len = 16 + (uint32_t) next(r, 300);
    p = order_put(&r->order, list, ts, len);

    if (p == NULL) {
        return -1;
    }

    memcpy(p, &len, 4);
    memcpy(p + 4, &number, 4);
    memcpy(p + 8, &ts, 8);
    memset(p + 16, (int) (number & 0xff), len - 16);

    return 0;
}


static void
check(run_t *r, const order_span_t *span)
{
    uint32_t         n, len, number, i;
    uint64_t         ts;
    const uint8_t   *p, *end;

    p = r->order.mem + span->off;
    end = p + span->len;

    for (n = 0; p < end; n++, p += len) {
        memcpy(&len, p, 4);
        memcpy(&number, p + 4, 4);
        memcpy(&ts, p + 8, 8);

        if (number >= RECORDS || r->once[number]++ || len > (size_t) (end - p))
        {
            r->bad++;
            return;
        }

        for (i = 16; i < len; i++) {
            r->bad += p[i] != (number & 0xff);
        }

        r->back += ts < r->newest;
        r->newest = ts > r->newest ? ts : r->newest;
        r->seen++;
    }

    r->bad += n != span->nrecords;
}


/* Takes what is due; some spans are released late, as a stream does it. */

static unsigned
take(run_t *r, uint64_t limit)
{
    unsigned      i, n;
    order_span_t  spans[SPANS];

    n = order_take(&r->order, limit, spans, SPANS, 65536, r->counts,
                   &r->last_ns);

    for (i = 0; i < n; i++) {
        check(r, &spans[i]);
    }

    order_release(&r->order, spans, n);

    return n;
}


static void
sorted(unsigned nlists, uint64_t disorder)
{
    run_t      r;
    unsigned   list;
    uint32_t   i;
    uint64_t   ts, newest;

    memset(&r, 0, sizeof(r));
    r.seed = 88172645463325252u;
    r.once = calloc(RECORDS, 1);

    ok(order_init(&r.order, nlists, MAX_RECORD) == 0, "init of %u lists",
       nlists);

    for (i = 0, newest = 1000000; i < RECORDS; i++) {
        newest += next(&r, 100);
        ts = newest - next(&r, disorder + 1);
        list = (unsigned) next(&r, nlists);

        while (!order_room(&r.order, list) || put(&r, list, ts, i) != 0) {
            if (take(&r, newest - disorder - 1) == 0) {
                break;
            }
        }

        if (next(&r, 1000) == 0) {
            take(&r, newest - disorder - 1);
        }
    }

    while (take(&r, UINT64_MAX)) {
        /* the rest */
    }

    ok(r.seen == RECORDS, "%u lists, disorder %llu: every record (%llu)",
       nlists, (unsigned long long) disorder, (unsigned long long) r.seen);
    ok(r.back == 0, "in order");
    ok(r.bad == 0, "with its bytes, once");
    ok(order_oldest(&r.order) == UINT64_MAX, "and nothing is left");
    ok(r.order.nfree == ORDER_SEGMENTS - 1, "all memory is free again");

    order_free(&r.order);
    free(r.once);
}


static void
full(void)
{
    run_t     r;
    uint32_t  n, longest;

    memset(&r, 0, sizeof(r));
    longest = PCAPX_MAX_EPB_LEN;

    ok(order_init(&r.order, 1, longest) == 0, "init for the longest record");
    ok(!order_pressed(&r.order), "no pressure at first");

    for (n = 0; order_room(&r.order, 0); n++) {
        if (order_put(&r.order, 0, n, longest) == NULL) {
            break;
        }
    }

    ok(n == ORDER_SEGMENTS && !order_room(&r.order, 0),
       "one of the longest per segment, then no room (%u)", n);
    ok(order_pressed(&r.order), "pressure");
    ok(order_put(&r.order, 0, n, longest) == NULL, "and no record goes in");

    order_free(&r.order);
    ok(order_init(&r.order, 1, ORDER_SEGMENT_LEN + 1) != 0,
       "a record longer than a segment is refused");
    ok(order_init(&r.order, 0, 64) != 0, "no list is refused");
    ok(order_init(&r.order, PCAPX_MAX_INTERFACES + 1, 64) != 0,
       "too many lists are refused");

    /* The list may be full before the memory is. */

    ok(order_init(&r.order, 8, 64) == 0, "init of eight lists");

    for (n = 0; order_room(&r.order, 3); n++) {
        (void) order_put(&r.order, 3, n, 16);
    }

    ok(n == ORDER_ENTRIES / 8, "a full list (%u)", n);
    ok(order_room(&r.order, 4), "leaves the others room");

    order_free(&r.order);
}


static void
spans(void)
{
    order_t        o;
    uint64_t       counts[PCAPX_MAX_INTERFACES], last;
    order_span_t   s[4];

    memset(counts, 0, sizeof(counts));
    last = 0;

    ok(order_init(&o, 2, 64) == 0, "init");

    (void) order_put(&o, 0, 10, 32);
    (void) order_put(&o, 0, 20, 32);
    (void) order_put(&o, 1, 15, 32);
    (void) order_put(&o, 0, 30, 32);

    ok(order_oldest(&o) == 10, "the oldest");
    ok(order_take(&o, 9, s, 4, 4096, counts, &last) == 0, "nothing is due");
    ok(order_take(&o, 10, s, 4, 4096, counts, &last) == 1 && s[0].len == 32,
       "the limit is included");
    order_release(&o, s, 1);

    ok(order_take(&o, 100, s, 4, 4096, counts, &last) == 3, "three spans: "
       "the second interface lies in between");
    ok(s[0].off == 64 && s[1].off == 32 && s[2].off == 96, "in time order");
    order_release(&o, s, 3);
    ok(counts[0] == 3 && counts[1] == 1 && last == 30, "counted");

    (void) order_put(&o, 0, 40, 32);
    (void) order_put(&o, 0, 50, 32);
    (void) order_put(&o, 0, 45, 32);
    (void) order_put(&o, 1, 40, 32);
    ok(order_take(&o, 100, s, 2, 4096, counts, &last) == 2,
       "no more spans than there is room for");
    ok(s[0].off == 0, "equal times: lower interface first");
    order_release(&o, s, 2);

    ok(order_take(&o, 100, s, 4, 1, counts, &last) == 1 && s[0].nrecords == 1,
       "no more bytes than wanted, but one record");
    order_release(&o, s, 1);

    order_free(&o);
}


/* Of equal time stamps the first interface is asked first, all the way. */
static void
ties(void)
{
    unsigned       n, i;
    order_t        o;
    uint64_t       counts[PCAPX_MAX_INTERFACES], last;
    order_span_t   s[8];

    static const struct {
        unsigned   list;
        uint64_t   ts_ns;
    } records[] = { { 2, 10 }, { 0, 10 }, { 1, 10 }, { 0, 11 }, { 0, 10 },
                    { 1, 9 } };

    static const uint32_t  want[] = { 160, 32, 128, 64, 0, 96 };

    memset(counts, 0, sizeof(counts));
    last = 0;

    ok(order_init(&o, 3, 64) == 0, "init");

    for (i = 0; i < 6; i++) {
        (void) order_put(&o, records[i].list, records[i].ts_ns, 32);
    }

    n = order_take(&o, 11, s, 8, 4096, counts, &last);
    ok(n == 6, "six spans");

    for (i = 0; i < n && s[i].off == want[i]; i++) {
        /* as they should come */
    }

    ok(i == 6, "in the order of time, then of interfaces");
    ok(counts[0] == 3 && counts[1] == 2 && counts[2] == 1 && last == 11,
       "counted");

    order_free(&o);
}


int
main(void)
{
    sorted(1, 0);
    sorted(1, 3000);
    sorted(3, 3000);
    sorted(8, 200000);
    full();
    spans();
    ties();

    return tap_done();
}
