/*
 * t/cli_rejoin.c: several streams of the same packets, cut anywhere and
 * overlapping anyhow, become one: no packet twice, none missing but in gaps
 * that are told, in order, with counters that go on. Nothing is allocated per
 * record: the linker sends what this file and its rooms ask for through the
 * counter below.
 */
/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup */

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/rejoin.h"
#include "cli/stream.h"
#include "pcapx/write.h"
#include "tap.h"


#define TS          UINT64_C(1700000000000000000)
#define PACKETS     300
#define IFACES      5
#define OVERLAP     40              /* ns, as the packets' distances */
#define MAX_STREAM  (1 << 17)
#define ROUNDS      3000
#define FILTER      1001            /* bytes of an if_filter */


static unsigned long  allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);


void *
__wrap_malloc(size_t n)
{
    allocations++;

    return __real_malloc(n);
}


void *
__wrap_calloc(size_t n, size_t m)
{
    allocations++;

    return __real_calloc(n, m);
}


void *
__wrap_realloc(void *p, size_t n)
{
    allocations++;

    return __real_realloc(p, n);
}


char *
__wrap_strdup(const char *s)
{
    allocations++;

    return __real_strdup(s);
}


/* What all agents see. */

typedef struct {
    uint64_t  ts;
    unsigned  iface;
} packet_t;

typedef struct {
    packet_t  all[PACKETS];
    unsigned  from;                 /* first one that is captured at all */
} world_t;

/* A part's stream; at[i] is where packet i of the world stands in it. */

typedef struct {
    uint8_t   data[MAX_STREAM];
    size_t    len;
    size_t    pos;                  /* fed so far */
    size_t    end;                  /* where it is cut */
    unsigned  first;                /* its packets */
    unsigned  last;
    unsigned  order[IFACES];        /* world's number of its interfaces */
    uint64_t  first_ns;
} flow_t;

/* What came out. */

typedef struct {
    stream_t  stream;
    unsigned  n;
    uint64_t  last;
    unsigned  back;
    unsigned  seen[PACKETS];
    unsigned  gaps;
    unsigned  filters;              /* of interfaces */
    unsigned  wrong;                /* not on the interface it belongs to */
    world_t  *world;
} sink_t;


static uint32_t
draw(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525 + 1013904223;

    return (*seed >> 8) % n;
}


/* filter: bytes of an if_filter beside the name, or 0. */
static void
idb(pcapx_out_t *o, const char *name, uint16_t linktype, uint16_t filter)
{
    char         text[FILTER];
    pcapx_opt_t  opts[2];

    memset(text, 'f', sizeof(text));
    text[0] = '\0';

    opts[0].code = PCAPX_IF_NAME;
    opts[0].len = (uint16_t) strlen(name);
    opts[0].value = (const uint8_t *) name;
    opts[1].code = PCAPX_IF_FILTER;
    opts[1].len = filter;
    opts[1].value = (const uint8_t *) text;

    pcapx_put_idb(o, linktype, 65535, opts, filter ? 2 : 1);
}


static void
on_packet(void *ctx, const pcapx_block_t *b)
{
    char      name[32];
    sink_t   *s = ctx;
    uint32_t  id;

    memcpy(&id, b->data, sizeof(id));
    s->n++;
    s->back += b->ts_ns < s->last;
    s->last = b->ts_ns;

    if (id >= PACKETS || s->world->all[id].ts != b->ts_ns) {
        s->wrong++;
        return;
    }

    s->seen[id]++;
    snprintf(name, sizeof(name), "web/%u/eth0", s->world->all[id].iface);
    s->wrong += strcmp(s->stream.stats.ifaces[b->iface].name, name) != 0;
}


static void
on_message(void *ctx, const message_t *m)
{
    sink_t  *s = ctx;

    s->gaps += m->type == MESSAGE_GAP;
}


static const stream_handlers_t  handlers = {
    .packet = on_packet, .message = on_message
};


static void
put(void *ctx, const uint8_t *p, size_t len)
{
    char            filter[FILTER];
    sink_t         *s = ctx;
    const uint8_t  *at;

    memset(filter, 'f', sizeof(filter));
    filter[0] = '\0';

    for (at = p;
         (at = memmem(at, len - (size_t) (at - p), filter, FILTER)) != NULL;
         at += FILTER)
    {
        s->filters++;
    }

    if (stream_feed(&s->stream, p, len) != 0) {
        s->wrong++;
    }
}


static void
make_world(world_t *w, uint32_t *seed)
{
    unsigned  i;
    uint64_t  ts;

    for (i = 0, ts = TS; i < PACKETS; i++) {
        ts += draw(seed, 4);               /* equal ones, too */
        w->all[i].ts = ts;
        w->all[i].iface = draw(seed, IFACES);
    }

    /* Equal time stamps keep target order. */
    for (i = 1; i < PACKETS; i++) {
        if (w->all[i].ts == w->all[i - 1].ts
            && w->all[i].iface < w->all[i - 1].iface)
        {
            w->all[i].iface = w->all[i - 1].iface;
        }
    }

    w->from = 0;
}


static void
add_stats(pcapx_out_t *o, const unsigned *counts, uint64_t ts,
    const char *text)
{
    unsigned       i;
    pcapx_opt_t    opt = { PCAPX_OPT_COMMENT, 0, NULL };
    pcapx_stats_t  st;

    for (i = 0; i < IFACES; i++) {
        memset(&st, 0, sizeof(st));
        st.present = PCAPX_HAS_FILTERACCEPT|PCAPX_HAS_OSDROP
                     |PCAPX_HAS_USRDELIV;
        st.filteraccept = counts[i];
        st.usrdeliv = counts[i];

        if (text != NULL && i == 0) {
            opt.len = (uint16_t) strlen(text);
            opt.value = (const uint8_t *) text;
        }

        pcapx_put_isb(o, i, ts, &st, &opt, text != NULL && i == 0);
    }
}


/* A stream with the packets [first, last) of w, statistics in between. */
static void
make_flow(flow_t *f, const world_t *w, unsigned first, unsigned last,
    uint32_t *seed, const char *status)
{
    char         name[32], text[128];
    unsigned     i, k, n, place[IFACES], counts[IFACES] = { 0 };
    uint8_t      data[24];
    pcapx_out_t  o = { f->data, f->data + MAX_STREAM };

    pcapx_put_shb(&o, NULL, 0);

    for (i = 0; i < IFACES; i++) {
        f->order[i] = i;
    }

    for (i = IFACES - 1; i > 0; i--) {
        k = draw(seed, i + 1);
        n = f->order[i];
        f->order[i] = f->order[k];
        f->order[k] = n;
    }

    for (i = 0; i < IFACES; i++) {
        place[f->order[i]] = i;
        snprintf(name, sizeof(name), "web/%u/eth0", f->order[i]);
        idb(&o, name, 1, 0);
    }

    f->first = first;
    f->last = last;
    f->first_ns = first < PACKETS ? w->all[first].ts : 0;
    memset(data, 'x', sizeof(data));

    for (i = first, n = 0; i < last; i++, n++) {
        k = place[w->all[i].iface];
        memcpy(data, &i, sizeof(uint32_t));
        pcapx_put_epb(&o, k, w->all[i].ts, data,
                      4 + draw(seed, sizeof(data) - 4), sizeof(data), NULL,
                      0);
        counts[k]++;

        if (draw(seed, 5) == 0) {
            add_stats(&o, counts, w->all[i].ts, NULL);
        }
    }

    if (status != NULL) {
        snprintf(text, sizeof(text), "pcap-api STATUS api: status=%s"
                 " packets=%u dropped=0 late=0 kernel=0 agent=0 stop=2"
                 " limit=1", status, n);
        add_stats(&o, counts, last > first ? w->all[last - 1].ts : TS, NULL);
        add_stats(&o, counts, last > first ? w->all[last - 1].ts : TS, text);
    }

    f->len = (size_t) (o.pos - f->data);
    f->end = f->len;
    f->pos = 0;
}


/* Feeds a piece; 0 when there is nothing left or it is held. */
static int
feed(rejoin_t *r, unsigned n, flow_t *f, uint32_t *seed, sink_t *s)
{
    size_t  len;

    if (rejoin_held(r, n)) {
        s->wrong += rejoin_advance(r, n) != 0;

        if (rejoin_held(r, n)) {
            return 0;
        }
    }

    len = f->end - f->pos;
    if (len == 0) {
        return 0;
    }

    if (len > 400) {
        len = 1 + draw(seed, 400);
    }

    s->wrong += rejoin_feed(r, n, f->data + f->pos, len) != 0;
    f->pos += len;

    return 1;
}


static void
feed_all(rejoin_t *r, unsigned n, flow_t *f, uint32_t *seed, sink_t *s)
{
    while (feed(r, n, f, seed, s)) { /* void */ }
}


static rejoin_t *
begin(sink_t *s, world_t *w, uint64_t max_packets, uint64_t max_bytes)
{
    rejoin_conf_t  conf = { .overlap_ns = OVERLAP, .put = put, .ctx = s,
                            .max_packets = max_packets,
                            .max_bytes = max_bytes };

    memset(s, 0, sizeof(sink_t));
    s->world = w;
    stream_init(&s->stream, &handlers, s);

    return rejoin_create(&conf);
}


/* The counters of the last statistics are the packets of the file. */
static int
sums_ok(const sink_t *s)
{
    uint32_t        i;
    const stats_t  *st;

    st = &s->stream.stats;

    for (i = 0; i < st->nifaces; i++) {
        if (st->ifaces[i].last.filteraccept != st->ifaces[i].packets) {
            return 0;
        }
    }

    return st->verdict.packets == s->n && st->nifaces == IFACES
           && st->verdict.places[PLACE_STOP] == 2
           && st->verdict.places[PLACE_LIMIT] == 1;
}


/*
 * A chain of parts. Each one but the last is followed by one that was opened
 * while it ran, and is stopped when it has passed the switch, or cut before
 * at any byte; how tells which.
 */
static int
chain(uint32_t seed, int cuts)
{
    int              bad;
    sink_t           s;
    flow_t          *old, *next, *t;
    rejoin_t        *r;
    world_t          w;
    unsigned         i, n, open;
    uint32_t         first;
    static flow_t    flows[2];
    rejoin_totals_t  totals;

    make_world(&w, &seed);
    r = begin(&s, &w, 0, 0);
    old = &flows[0];
    next = &flows[1];
    n = 0;

    first = draw(&seed, 20);
    make_flow(old, &w, first, PACKETS, &seed, "complete");
    rejoin_begin(r, n, "00000000000000000000000000000001",
                 REJOIN_API_LIMITS);

    for (i = 0; i < 3; i++) {

        /* The old one runs for a while, then the next is opened. */
        while (s.n < (i + 1) * 60 && feed(r, n, old, &seed, &s)) { /* void */ }

        open = first + s.n + 10 + draw(&seed, 10);
        if (open >= PACKETS) {
            break;
        }

        make_flow(next, &w, open, PACKETS, &seed, "complete");
        rejoin_begin(r, !n, "00000000000000000000000000000002",
                     REJOIN_OWN_LIMITS);

        if (cuts && draw(&seed, 2)) {
            old->end = old->pos + draw(&seed, (uint32_t) (old->len
                                              - old->pos) / 2 + 1);
        }

        /* Any of both may be ahead. */
        while (!rejoin_passed(r)) {
            (void) feed(r, !n, next, &seed, &s);

            if (draw(&seed, 3) != 0 && !feed(r, n, old, &seed, &s)) {
                break;
            }
        }

        /* What is still on its way of one that was stopped. */
        if (rejoin_passed(r)) {
            (void) feed(r, n, old, &seed, &s);
            (void) feed(r, n, old, &seed, &s);
        }

        rejoin_end(r, n, REJOIN_CUT);
        s.wrong += rejoin_advance(r, !n) != 0;

        t = old;
        old = next;
        next = t;
        n = !n;
    }

    feed_all(r, n, old, &seed, &s);
    totals = rejoin_totals(r);

    bad = s.wrong || s.back || s.n != totals.packets
          || s.gaps != totals.gaps;

    for (i = first; i < PACKETS; i++) {
        bad |= s.seen[i] > 1 || (s.seen[i] == 0 && totals.gaps == 0);
    }

    bad |= !sums_ok(&s) || (!cuts && totals.gaps != 0);

    rejoin_free(r);
    stream_free(&s.stream);

    return bad;
}


/* Without a gap told the result is the whole, however it was cut. */
static void
test_chains(void)
{
    unsigned  i, bad, bad_cut;

    for (i = 0, bad = 0, bad_cut = 0; i < ROUNDS; i++) {
        bad += chain(i * 7919 + 1, 0) != 0;
        bad_cut += chain(i * 104729 + 3, 1) != 0;
    }

    ok(bad == 0, "%u chains of overlapping streams (%u are wrong)", i, bad);
    ok(bad_cut == 0, "%u chains cut anywhere (%u are wrong)", i, bad_cut);
}


/* Hard cuts: what is missing is between the parts, and is told. */
static void
test_gaps(void)
{
    sink_t           s;
    world_t          w;
    rejoin_t        *r;
    unsigned         i, k, bad, wrong;
    uint32_t         seed;
    static flow_t    f;

    for (k = 0, bad = 0; k < ROUNDS / 3; k++) {
        seed = k * 31 + 7;
        make_world(&w, &seed);
        r = begin(&s, &w, 0, 0);
        wrong = 0;

        for (i = 0; i < 3; i++) {
            make_flow(&f, &w, i * 100 + draw(&seed, 20), PACKETS, &seed,
                      "complete");

            /* The third is whole, the others end within their packets. */
            while (i < 2 && f.end > f.len / 4) {
                f.end = 300 + draw(&seed, 3000);
            }

            rejoin_begin(r, i & 1, "00000000000000000000000000000003",
                         REJOIN_API_LIMITS);
            feed_all(r, i & 1, &f, &seed, &s);

            if (i < 2) {
                rejoin_end(r, i & 1, REJOIN_CUT);
            }
        }

        for (i = 0; i < PACKETS; i++) {
            wrong += s.seen[i] > 1;
        }

        /* All of the third. */
        for (i = f.first; i < PACKETS; i++) {
            wrong += s.seen[i] != 1;
        }

        /* One part may have ended before its first packet. */
        bad += wrong || s.wrong || s.back || s.gaps < 1 || s.gaps > 2
               || rejoin_totals(r).gaps != s.gaps
               || s.stream.stats.verdict.packets != s.n
               || s.stream.stats.verdict.status != STATUS_PARTIAL;

        rejoin_free(r);
        stream_free(&s.stream);
    }

    ok(bad == 0, "%u captures with two gaps (%u are wrong)", k, bad);
}


/* Limits over overlapping parts, to the packet. */
static void
test_limits(void)
{
    sink_t           s;
    world_t          w;
    rejoin_t        *r;
    unsigned         k, bad;
    uint32_t         seed;
    uint64_t         max;
    static flow_t    a, b;

    for (k = 0, bad = 0; k < 200; k++) {
        seed = k + 11;
        make_world(&w, &seed);
        max = 150 + draw(&seed, 100);
        r = begin(&s, &w, k & 1 ? max : 0, k & 1 ? 0 : max * 10);

        make_flow(&a, &w, 0, PACKETS, &seed, "complete");
        make_flow(&b, &w, 40, PACKETS, &seed, "stopped");
        rejoin_begin(r, 0, "0", REJOIN_API_LIMITS);

        while (s.n < 30) {
            (void) feed(r, 0, &a, &seed, &s);
        }

        rejoin_begin(r, 1, "1", REJOIN_OWN_LIMITS);

        while (!rejoin_passed(r)) {
            (void) feed(r, 1, &b, &seed, &s);
            (void) feed(r, 0, &a, &seed, &s);
        }

        rejoin_end(r, 0, REJOIN_DONE);
        s.wrong += rejoin_advance(r, 1) != 0;
        feed_all(r, 1, &b, &seed, &s);

        bad += s.wrong || s.back
               || s.stream.stats.verdict.status != STATUS_LIMIT
               || s.stream.stats.verdict.packets != s.n;

        if (k & 1) {
            bad += s.n != max
                   || rejoin_totals(r).limits != LIMIT_MAX_PACKETS;

        } else {
            bad += s.stream.stats.bytes > max * 10
                   || s.stream.stats.bytes + 24 <= max * 10
                   || rejoin_totals(r).limits != LIMIT_MAX_BYTES;
        }

        rejoin_free(r);
        stream_free(&s.stream);
    }

    ok(bad == 0, "%u limits are exact (%u are wrong)", k, bad);
}


/* Interfaces by name and link type; messages of a section that is dropped. */
static void
test_interfaces(void)
{
    int           rc;
    sink_t        s;
    world_t       w = { .from = 0 };
    rejoin_t     *r;
    uint8_t       buf[8192];
    pcapx_opt_t   opt;
    pcapx_out_t   o;
    const stats_t  *st;

    static const char  text[] = "pcap-api START_CAPTURE_FAILED web/9: no";

    r = begin(&s, &w, 0, 0);
    st = &s.stream.stats;

    o.pos = buf;
    o.end = buf + sizeof(buf);
    pcapx_put_shb(&o, NULL, 0);
    idb(&o, "web/0/eth0", 1, FILTER);
    idb(&o, "web/0/eth0", 1, FILTER);
    idb(&o, "web/1/eth0", 1, FILTER);
    rejoin_begin(r, 0, "0", REJOIN_API_LIMITS);
    rc = rejoin_feed(r, 0, buf, (size_t) (o.pos - buf));
    rejoin_end(r, 0, REJOIN_CUT);

    ok(rc == 0 && st->nifaces == 3, "two interfaces of one name are two");

    opt.code = PCAPX_OPT_COMMENT;
    opt.len = sizeof(text) - 1;
    opt.value = (const uint8_t *) text;
    o.pos = buf;
    pcapx_put_shb(&o, &opt, 1);
    idb(&o, "web/1/eth0", 1, FILTER);
    idb(&o, "web/0/eth0", 276, FILTER);
    idb(&o, "web/0/eth0", 1, FILTER);
    idb(&o, "web/7/eth0", 1, FILTER);
    pcapx_put_epb(&o, 0, TS, (const uint8_t *) "abcd", 4, 4, NULL, 0);
    pcapx_put_epb(&o, 1, TS + 1, (const uint8_t *) "abcd", 4, 4, NULL, 0);
    pcapx_put_epb(&o, 2, TS + 2, (const uint8_t *) "abcd", 4, 4, NULL, 0);
    pcapx_put_epb(&o, 3, TS + 3, (const uint8_t *) "abcd", 4, 4, NULL, 0);
    rejoin_begin(r, 1, "1", REJOIN_API_LIMITS);
    rc = rejoin_feed(r, 1, buf, (size_t) (o.pos - buf));

    ok(rc == 0 && st->nifaces == 5, "only new ones are added");
    ok(st->ifaces[2].packets == 1 && st->ifaces[0].packets == 1
       && st->ifaces[3].packets == 1 && st->ifaces[4].packets == 1,
       "records are at the interface of their name");
    ok(st->ifaces[3].linktype == 276, "another link type is another one");
    ok(s.gaps == 1 && st->packets == 4, "behind one gap");
    ok(s.filters == 5, "each interface of the file has its filter");

    rejoin_give_up(r);
    ok(s.gaps == 1, "nothing to give up");
    rejoin_end(r, 1, REJOIN_CUT);
    rejoin_give_up(r);
    ok(s.gaps == 2 && rejoin_totals(r).gaps == 2, "the last gap is told");

    rejoin_free(r);
    stream_free(&s.stream);
}


/* A successor that needs one interface more than the file can hold. */
static void
test_full_table(void)
{
    int             rc;
    char            name[32];
    sink_t          s;
    world_t         w = { .from = 0 };
    rejoin_t       *r;
    unsigned        i;
    pcapx_out_t     o;
    static uint8_t  buf[CLI_MAX_IFACES * 64];

    r = begin(&s, &w, 0, 0);
    o.pos = buf;
    o.end = buf + sizeof(buf);
    pcapx_put_shb(&o, NULL, 0);

    for (i = 0; i < CLI_MAX_IFACES; i++) {
        snprintf(name, sizeof(name), "web/%u/eth0", i);
        idb(&o, name, 1, 0);
    }

    rejoin_begin(r, 0, "0", REJOIN_API_LIMITS);
    rc = rejoin_feed(r, 0, buf, (size_t) (o.pos - buf));
    rejoin_end(r, 0, REJOIN_CUT);

    ok(rc == 0 && s.stream.stats.nifaces == CLI_MAX_IFACES,
       "as many interfaces as there may be");

    o.pos = buf;
    pcapx_put_shb(&o, NULL, 0);
    idb(&o, "db/0/eth0", 1, 0);
    rejoin_begin(r, 1, "1", REJOIN_API_LIMITS);
    rc = rejoin_feed(r, 1, buf, (size_t) (o.pos - buf));
    rejoin_end(r, 1, REJOIN_CUT);

    ok(rc != 0 && s.wrong == 0, "one more is refused");

    rejoin_free(r);
    stream_free(&s.stream);
}


/* A hostile successor ends with a reason, and the file stays whole. */
static void
test_malformed(void)
{
    sink_t         s;
    world_t        w;
    rejoin_t      *r;
    uint32_t       seed;
    unsigned       k, crashed, n;
    static flow_t  a, b;

    for (k = 0, crashed = 0, n = 0; k < 2000; k++) {
        seed = k + 5;
        make_world(&w, &seed);
        r = begin(&s, &w, 0, 0);
        make_flow(&a, &w, 0, PACKETS, &seed, "complete");
        make_flow(&b, &w, 30, PACKETS, &seed, "complete");
        b.data[draw(&seed, (uint32_t) b.len)] ^= (uint8_t) (1 + draw(&seed,
                                                                    255));

        rejoin_begin(r, 0, "0", REJOIN_API_LIMITS);
        while (s.n < 20) {
            (void) feed(r, 0, &a, &seed, &s);
        }

        rejoin_begin(r, 1, "1", REJOIN_OWN_LIMITS);

        if (rejoin_feed(r, 1, b.data, b.len) != 0) {
            rejoin_drop(r, 1);
            n++;

        } else {
            rejoin_end(r, 0, REJOIN_CUT);
            n += rejoin_advance(r, 1) != 0;
        }

        crashed += s.stream.broken;
        rejoin_free(r);
        stream_free(&s.stream);
    }

    ok(crashed == 0 && n > 100, "%u broken successors, %u of them refused,"
       " %u spoilt the file", k, n, crashed);
}


/* Both parts known, everything behind their heads costs no allocation. */
static void
test_allocations(void)
{
    sink_t         s;
    world_t        w;
    rejoin_t      *r;
    uint32_t       seed;
    unsigned long  before, during;
    static flow_t  a, b;

    seed = 99;
    before = allocations;
    make_world(&w, &seed);
    r = begin(&s, &w, 0, 0);
    make_flow(&a, &w, 0, PACKETS, &seed, "complete");
    make_flow(&b, &w, 40, PACKETS, &seed, "complete");

    rejoin_begin(r, 0, "0", REJOIN_API_LIMITS);
    while (s.n < 30) {
        (void) feed(r, 0, &a, &seed, &s);
    }

    ok(allocations > before, "allocations are counted");
    before = allocations;

    rejoin_begin(r, 1, "1", REJOIN_OWN_LIMITS);

    while (!rejoin_passed(r)) {
        (void) feed(r, 1, &b, &seed, &s);
        (void) feed(r, 0, &a, &seed, &s);
    }

    rejoin_end(r, 0, REJOIN_DONE);
    s.wrong += rejoin_advance(r, 1) != 0;
    feed_all(r, 1, &b, &seed, &s);
    during = allocations - before;

    ok(during == 0 && s.n == PACKETS && s.wrong == 0,
       "none for %u records (%lu)", s.n, during);

    rejoin_free(r);
    stream_free(&s.stream);
}


int
main(void)
{
    test_chains();
    test_gaps();
    test_limits();
    test_interfaces();
    test_full_table();
    test_malformed();
    test_allocations();

    return tap_done();
}
