/*
 * t/pcapx_split.c: a capture means the same wherever the windows are cut.
 * Each stream holds every block type of its kind; every block is shown with
 * a window that grows byte by byte, each stream is cut in two at every byte,
 * and once fed with exactly what the scanner asks for.
 */

#include "tap.h"
#include "pcapx_craft.h"


#define MAX_IFACES   4
#define MAX_BLOCKS   32

typedef struct {
    const char       *name;
    pcapx_profile_t   profile;
    craft_t          *c;
    size_t            n;
    seen_t            seen[MAX_BLOCKS];
} stream_t;


static guard_t  guard;


static void
reference(stream_t *st)
{
    int            rc;
    pcapx_scan_t   s;
    pcapx_iface_t  ifaces[MAX_IFACES];

    pcapx_scan_init(&s, ifaces, MAX_IFACES, st->profile, 0);
    rc = craft_scan(&s, &guard, st->c, st->seen, MAX_BLOCKS, &st->n);

    ok(rc == PCAPX_END && st->n <= MAX_BLOCKS, "%s: %zu blocks, %zu bytes",
       st->name, st->n, st->c->len);
}


/*
 * Shows n bytes of block i. The state may not change but for `need`, and
 * that must be more than there is and no more than the block.
 */
static int
incomplete(stream_t *st, size_t i, size_t n, const pcapx_scan_t *before)
{
    int             rc;
    uint8_t        *p;
    pcapx_scan_t    s;
    pcapx_block_t   b;
    pcapx_iface_t   ifaces[MAX_IFACES];

    memcpy(ifaces, before->ifaces, sizeof(ifaces));
    memcpy(&s, before, sizeof(s));
    p = guard_window(&guard, st->c->buf + st->seen[i].at, n);
    rc = pcapx_scan_next(&s, p, n, &b);

    if (rc != PCAPX_AGAIN || s.need <= n || s.need > st->seen[i].b.len) {
        printf("# block %zu with %zu bytes: rc %d, need %zu, %s\n", i, n, rc,
               s.need, s.err);
        return 0;
    }

    s.need = before->need;

    /* Both began as copies, so the bytes between members are equal, too. */

    if (memcmp((void *) &s, (const void *) before, sizeof(s)) != 0
        || memcmp((void *) ifaces, (void *) before->ifaces, sizeof(ifaces))
           != 0)
    {
        printf("# block %zu with %zu bytes: state changed\n", i, n);
        return 0;
    }

    return 1;
}


/* Shows the whole of block i and `extra` bytes of what follows. */
static int
complete(stream_t *st, size_t i, size_t extra, pcapx_scan_t *s)
{
    int             rc;
    size_t          n;
    seen_t          v;
    uint8_t        *p;
    pcapx_block_t   b;

    n = st->seen[i].b.len + extra;

    if (st->seen[i].at + n > st->c->len) {
        return 1;
    }

    p = guard_window(&guard, st->c->buf + st->seen[i].at, n);
    rc = pcapx_scan_next(s, p, n, &b);

    if (rc != PCAPX_OK) {
        printf("# block %zu and %zu more: rc %d, %s\n", i, extra, rc, s->err);
        return 0;
    }

    seen_set(&v, &b, p, st->seen[i].at);

    return seen_equal(&v, &st->seen[i]);
}


/* Every block with a window from nothing up to more than the block. */
static void
test_grow(stream_t *st)
{
    int            good;
    size_t         i, n;
    pcapx_scan_t   s, copy;
    pcapx_iface_t  ifaces[MAX_IFACES];

    memset(ifaces, 0, sizeof(ifaces));
    pcapx_scan_init(&s, ifaces, MAX_IFACES, st->profile, 0);
    good = 1;

    for (i = 0; i < st->n; i++) {

        for (n = 0; n < st->seen[i].b.len; n++) {
            good &= incomplete(st, i, n, &s);
        }

        for (n = 1; n < 16; n++) {
            copy = s;
            good &= complete(st, i, n, &copy);
        }

        good &= complete(st, i, 0, &s);
    }

    ok(good && s.offset == st->c->len,
       "%s: each block at each length of the window", st->name);
}


/*
 * Scans what lies in [from, to) of the stream as long as blocks are whole;
 * returns how far it got, or SIZE_MAX where it differs from the reference.
 */
static size_t
scan_part(stream_t *st, pcapx_scan_t *s, size_t from, size_t to, size_t *i)
{
    int             rc;
    seen_t          v;
    uint8_t        *p;
    pcapx_block_t   b;

    p = guard_window(&guard, st->c->buf + from, to - from);
    rc = PCAPX_OK;

    while (from < to) {
        rc = pcapx_scan_next(s, p, to - from, &b);

        if (rc != PCAPX_OK) {
            break;
        }

        seen_set(&v, &b, p, from);

        if (*i >= st->n || !seen_equal(&v, &st->seen[(*i)++])) {
            return SIZE_MAX;
        }

        p += b.len;
        from += b.len;
    }

    return rc < 0 ? SIZE_MAX : from;
}


/* The stream in two windows; the second begins with what was left over. */
static void
test_cut(stream_t *st)
{
    int            good;
    size_t         cut, i, carry;
    pcapx_scan_t   s;
    pcapx_iface_t  ifaces[MAX_IFACES];

    good = 1;

    for (cut = 0; cut <= st->c->len; cut++) {
        pcapx_scan_init(&s, ifaces, MAX_IFACES, st->profile, 0);

        i = 0;
        carry = scan_part(st, &s, 0, cut, &i);

        if (carry != SIZE_MAX) {
            carry = scan_part(st, &s, carry, st->c->len, &i);
        }

        if (carry != st->c->len || i != st->n) {
            printf("# cut at %zu\n", cut);
            good = 0;
        }
    }

    ok(good, "%s: cut in two at each of %zu bytes", st->name, st->c->len);
}


/* A reader that has exactly what is asked for, never more. */
static void
test_need(stream_t *st)
{
    int             rc, calls, most;
    size_t          at, n, blocks;
    uint8_t        *p;
    pcapx_scan_t    s;
    pcapx_block_t   b;
    pcapx_iface_t   ifaces[MAX_IFACES];

    pcapx_scan_init(&s, ifaces, MAX_IFACES, st->profile, 0);

    blocks = 0;
    most = 0;
    calls = 0;
    n = 0;
    at = 0;
    rc = PCAPX_OK;

    while (at < st->c->len && at + n <= st->c->len) {
        p = guard_window(&guard, st->c->buf + at, n);
        rc = pcapx_scan_next(&s, p, n, &b);
        calls++;

        if (rc == PCAPX_AGAIN && s.need > n) {
            n = s.need;
            continue;
        }

        if (rc != PCAPX_OK) {
            break;
        }

        most = calls > most ? calls : most;
        calls = 0;
        blocks++;
        at += b.len;
        n = 0;
    }

    ok(rc == PCAPX_OK && blocks == st->n && most <= 4,
       "%s: fed with what is needed, at most %d calls a block", st->name,
       most);
}


/* A block of exactly max_block is asked for, one of 4 bytes more refused. */
static void
test_max_block(pcapx_profile_t profile)
{
    int             rc;
    uint32_t        max;
    pcapx_scan_t    s;
    pcapx_block_t   b;
    pcapx_iface_t   ifaces[1];
    static craft_t  c;

    c.len = 0;
    craft_shb(&c);
    craft_idb(&c, 262144);
    craft_epb(&c, 0, 1, 400, 400);

    for (max = 432; max >= 428; max -= 4) {
        pcapx_scan_init(&s, ifaces, 1, profile, max);

        rc = pcapx_scan_next(&s, c.buf, c.len, &b);
        ok(rc == PCAPX_OK, "max_block %u: the SHB is fine", max);
        rc = pcapx_scan_next(&s, c.buf + 28, c.len - 28, &b);
        ok(rc == PCAPX_OK, "max_block %u: the IDB is fine", max);
        rc = pcapx_scan_next(&s, c.buf + 68, 8, &b);

        ok(max == 432 ? rc == PCAPX_AGAIN && s.need == 432
                      : rc == PCAPX_EFORMAT,
           "max_block %u: a block of 432 by its first 8 bytes", max);
    }
}


static void
test_max_record(void)
{
    int             rc;
    pcapx_scan_t    s;
    pcapx_block_t   b;
    pcapx_iface_t   ifaces[1];
    static craft_t  c;

    craft_pcap(&c, PCAPX_PCAP_MAGIC_USEC, 100, 1);
    craft_record(&c, 1, 1, 84, 84);
    craft_record(&c, 1, 1, 85, 85);

    pcapx_scan_init(&s, ifaces, 1, PCAPX_PROFILE_ANY, 100);
    rc = pcapx_scan_next(&s, c.buf, c.len, &b);
    ok(rc == PCAPX_OK, "max_block 100: the pcap header is fine");
    rc = pcapx_scan_next(&s, c.buf + 24, 99, &b);
    ok(rc == PCAPX_AGAIN && s.need == 100, "max_block 100: asks for 100");
    rc = pcapx_scan_next(&s, c.buf + 24, c.len - 24, &b);
    ok(rc == PCAPX_OK, "max_block 100: a record of 100");
    rc = pcapx_scan_next(&s, c.buf + 124, 16, &b);
    ok(rc == PCAPX_EFORMAT, "max_block 100: a record of 101 by its header");

    pcapx_scan_init(&s, ifaces, 1, PCAPX_PROFILE_ANY, 1);
    ok(s.max_block == PCAPX_MIN_MAX_BLOCK, "max_block 1 is 64");
    pcapx_scan_init(&s, ifaces, 1, PCAPX_PROFILE_ANY, 0);
    ok(s.max_block == PCAPX_MAX_EPB_LEN + 65536, "max_block 0: the default");
}


int
main(void)
{
    size_t           i;
    static craft_t   c[7];
    static stream_t  streams[] = {
        { .name = "agent", .profile = PCAPX_PROFILE_AGENT, .c = &c[0] },
        { .name = "pcapng", .c = &c[1] },
        { .name = "pcapng, foreign order", .c = &c[2] },
        { .name = "pcap", .c = &c[3] },
        { .name = "pcap, foreign order", .c = &c[4] },
        { .name = "pcap of ns", .c = &c[5] },
        { .name = "pcap of ns, foreign order", .c = &c[6] },
        { .name = "agent as pcapng", .c = &c[0] }
    };

    guard_init(&guard);

    craft_agent_stream(&c[0]);
    craft_any_stream(&c[1], 0);
    craft_any_stream(&c[2], 1);
    craft_pcap_stream(&c[3], PCAPX_PCAP_MAGIC_USEC, 0);
    craft_pcap_stream(&c[4], PCAPX_PCAP_MAGIC_USEC, 1);
    craft_pcap_stream(&c[5], PCAPX_PCAP_MAGIC_NSEC, 0);
    craft_pcap_stream(&c[6], PCAPX_PCAP_MAGIC_NSEC, 1);

    for (i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        reference(&streams[i]);
        test_grow(&streams[i]);
        test_cut(&streams[i]);
        test_need(&streams[i]);
    }

    test_max_block(PCAPX_PROFILE_ANY);
    test_max_block(PCAPX_PROFILE_AGENT);
    test_max_record();

    return tap_done();
}
