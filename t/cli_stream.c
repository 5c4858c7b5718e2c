/*
 * t/cli_stream.c: the stream cut at every position gives the same blocks,
 * messages and counts; hostile streams end at a whole block with a reason.
 */

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/convert.h"
#include "cli/stream.h"
#include "pcapx/write.h"
#include "tap.h"


#define SEC   1000000000ull
#define TS    (1700000000ull * SEC)

static const char  status_api[] =
    "pcap-api STATUS api: status=complete packets=3 dropped=2 late=1";


/* What the handlers saw. */

typedef struct {
    uint8_t   out[1 << 16];
    size_t    len;
    unsigned  packets;
    unsigned  messages;
    unsigned  targets;
    unsigned  late;
    char      last[64];
} seen_t;


static void
on_blocks(void *ctx, const uint8_t *p, size_t len)
{
    seen_t  *seen = ctx;

    if (seen->len <= sizeof(seen->out)
        && len <= sizeof(seen->out) - seen->len)
    {
        memcpy(seen->out + seen->len, p, len);
    }

    seen->len += len;
}


static void
on_packet(void *ctx, const pcapx_block_t *b)
{
    seen_t  *seen = ctx;

    (void) b;
    seen->packets++;
}


static void
on_message(void *ctx, const message_t *m)
{
    seen_t  *seen = ctx;

    seen->messages++;
    snprintf(seen->last, sizeof(seen->last), "%.*s", (int) m->text_len,
             m->text);
}


static void
on_targets(void *ctx)
{
    seen_t  *seen = ctx;

    seen->targets++;
}


static void
on_late(void *ctx)
{
    seen_t  *seen = ctx;

    seen->late++;
}


static const stream_handlers_t  handlers = {
    on_blocks, on_packet, on_message, on_targets, on_late
};


static pcapx_opt_t
comment(const char *text)
{
    pcapx_opt_t  opt = { PCAPX_OPT_COMMENT, (uint16_t) strlen(text),
                         (const uint8_t *) text };

    return opt;
}


static void
put_idb(pcapx_out_t *o, const char *name, uint16_t linktype)
{
    pcapx_opt_t  opt = { PCAPX_IF_NAME, (uint16_t) strlen(name),
                         (const uint8_t *) name };

    pcapx_put_idb(o, linktype, PCAPX_MAX_SNAPLEN, &opt, 1);
}


/* Two instances, three packets, messages and verdicts. */
static size_t
craft(uint8_t *buf, size_t max)
{
    pcapx_out_t    o = { buf, buf + max };
    pcapx_opt_t    opt[2];
    pcapx_stats_t  st = { .present = PCAPX_HAS_FILTERACCEPT
                                     | PCAPX_HAS_OSDROP,
                          .filteraccept = 5, .osdrop = 2 };

    opt[0] = comment("pcap-api START_CAPTURE_FAILED web/9: refused");
    opt[1] = comment("just a comment");
    pcapx_put_shb(&o, opt, 2);
    put_idb(&o, "web/0/eth0", 1);
    put_idb(&o, "web/0/eth1", 1);
    put_idb(&o, "web/1/eth0", 1);
    pcapx_put_epb(&o, 0, TS, (const uint8_t *) "abc", 3, 60, NULL, 0);

    opt[0] = comment("pcap-api CONGESTED web/1: 2 packets");
    pcapx_put_isb(&o, 2, TS + 1, &st, opt, 1);

    /* Repeated where Wireshark shows it: not a second message. */
    pcapx_put_epb(&o, 2, TS + 2, (const uint8_t *) "defg", 4, 4, opt, 1);

    opt[0] = comment(status_api);
    pcapx_put_epb(&o, 1, TS + 3, (const uint8_t *) "hijkl", 5, 5, opt, 1);

    opt[0] = comment("pcap-api STATUS web/0: status=complete received=2"
                     " dropped=0 packets=2 late=0");
    pcapx_put_isb(&o, 0, TS + SEC, NULL, opt, 1);
    pcapx_put_isb(&o, 1, TS + SEC, NULL, NULL, 0);
    opt[0] = comment("pcap-api STATUS web/1: status=partial received=3"
                     " dropped=2 packets=1 late=1");
    opt[1] = comment(status_api);
    pcapx_put_isb(&o, 2, TS + SEC, NULL, opt, 2);

    return (size_t) (o.pos - buf);
}


/* Feeds piece by piece, each in memory of its exact size. */
static int
feed_exact(stream_t *s, const uint8_t *p, size_t len)
{
    int       rc;
    uint8_t  *tight;

    tight = malloc(len ? len : 1);
    memcpy(tight, p, len);
    rc = stream_feed(s, tight, len);
    free(tight);

    return rc;
}


static int
same(const stream_t *s, const seen_t *seen, const uint8_t *buf, size_t len)
{
    const stats_t  *st;

    st = &s->stats;

    return seen->len == len && memcmp(seen->out, buf, len) == 0
           && seen->packets == 3 && seen->messages == 2 && seen->targets == 1
           && seen->late == 0 && st->packets == 3 && st->bytes == 12
           && st->nifaces == 3 && st->ninstances == 2
           && st->instances[0].packets == 2 && st->instances[1].packets == 1
           && strcmp(st->instances[1].name, "web/1") == 0
           && st->instances[1].received == 5 && st->instances[1].dropped == 2
           && st->instances[1].verdict.status == STATUS_PARTIAL
           && st->instances[0].verdict.received == 2
           && st->verdict.status == STATUS_COMPLETE
           && st->verdict.packets == 3 && stats_dropped(st) == 2
           && stats_late(st) == 1 && st->last_ns == TS + SEC
           && strcmp(seen->last, "2 packets") == 0;
}


static void
test_splits(void)
{
    int       bad;
    size_t    len, i, k, n;
    seen_t   *seen;
    uint8_t   buf[4096];
    stream_t  s;

    len = craft(buf, sizeof(buf));
    seen = malloc(sizeof(seen_t));
    bad = 0;

    for (i = 0; i <= len; i++) {
        memset(seen, 0, sizeof(seen_t));
        stream_init(&s, &handlers, seen);

        bad |= feed_exact(&s, buf, i) != 0
               || feed_exact(&s, buf + i, len - i) != 0
               || stream_end(&s) != 0 || !same(&s, seen, buf, len);
        stream_free(&s);
    }

    ok(!bad, "cut once, at each of %zu positions", len);

    for (k = 1; k <= 67; k++) {
        memset(seen, 0, sizeof(seen_t));
        stream_init(&s, &handlers, seen);

        for (i = 0; i < len; i += n) {
            n = len - i < k ? len - i : k;
            bad |= feed_exact(&s, buf + i, n) != 0;
        }

        bad |= stream_end(&s) != 0 || !same(&s, seen, buf, len);
        stream_free(&s);
    }

    ok(!bad, "in pieces of 1 to 67 bytes");

    /* The stream ends anywhere: never a half block, an error inside of one. */
    for (i = 1; i < len; i++) {
        memset(seen, 0, sizeof(seen_t));
        stream_init(&s, &handlers, seen);

        bad |= feed_exact(&s, buf, i) != 0;
        bad |= memcmp(seen->out, buf, seen->len) != 0;
        bad |= (stream_end(&s) == 0) != (seen->len == i);
        stream_free(&s);
    }

    ok(!bad, "ended at each position");

    free(seen);
}


/* Feeds a stream that must be refused; how many bytes were handed on? */
static size_t
refused(const uint8_t *p, size_t len, const char *why, char *what)
{
    int       rc;
    seen_t   *seen;
    size_t    out;
    stream_t  s;

    seen = calloc(1, sizeof(seen_t));
    stream_init(&s, &handlers, seen);

    rc = feed_exact(&s, p, len);
    ok(rc == -1 && strstr(s.err, why) != NULL, "%s: %s", what, s.err);

    out = seen->len;
    ok(stream_feed(&s, p, len) == -1 && seen->len == out
       && stream_end(&s) == -1, "%s: nothing comes after it", what);

    stream_free(&s);
    free(seen);

    return out;
}


static void
set32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}


static void
test_hostile(void)
{
    size_t        head;
    uint8_t      *buf, *at, *data;
    pcapx_out_t   o;
    pcapx_opt_t   opt;

    buf = calloc(1, 1 << 20);
    data = calloc(1, PCAPX_MAX_SNAPLEN + 4);

    o.pos = buf;
    o.end = buf + (1 << 20);
    pcapx_put_shb(&o, NULL, 0);
    put_idb(&o, "a/b", 1);
    head = (size_t) (o.pos - buf);
    at = o.pos;

    pcapx_put_shb(&o, NULL, 0);
    ok(refused(buf, (size_t) (o.pos - buf), "second section",
               "second section") == head, "the first one is kept");

    o.pos = at;
    pcapx_put_epb(&o, 1, TS, data, 4, 4, NULL, 0);
    ok(refused(buf, (size_t) (o.pos - buf), "", "unknown interface") == head,
       "what came before is kept");

    o.pos = at;
    pcapx_put_isb(&o, 0xffffffff, TS, NULL, NULL, 0);
    refused(buf, (size_t) (o.pos - buf), "", "statistics of nobody");

    o.pos = at;
    pcapx_put_epb(&o, 0, TS, data, PCAPX_MAX_SNAPLEN + 4,
                  PCAPX_MAX_SNAPLEN + 4, NULL, 0);
    refused(buf, (size_t) (o.pos - buf), "", "packet above the snaplen");

    /* A block that says it is a gigabyte is refused at once. */
    set32(at, PCAPX_BT_EPB);
    set32(at + 4, 1u << 30);
    refused(buf, head + 8, "", "gigabyte");

    /* An option that reaches beyond its block. */
    o.pos = at;
    opt = comment("pcap-api CONGESTED a: b");
    pcapx_put_isb(&o, 0, TS, NULL, &opt, 1);
    at[8 + 12 + 2] = 0xff;
    at[8 + 12 + 3] = 0xff;
    refused(buf, (size_t) (o.pos - buf), "", "option too long");

    pcapx_pcap_header(buf, 65535, 1);
    refused(buf, PCAPX_PCAP_HEADER_LEN, "pcapng was asked for", "pcap");

    memset(buf, 'x', 4096);
    ok(refused(buf, 4096, "", "garbage") == 0, "nothing of garbage is kept");

    free(data);
    free(buf);
}


static void
test_floods(void)
{
    int           rc;
    char          name[32];
    size_t        i, one;
    seen_t       *seen;
    uint8_t       buf[512];
    stream_t      s;
    pcapx_out_t   o = { buf, buf + sizeof(buf) };
    pcapx_opt_t   opt;

    seen = calloc(1, sizeof(seen_t));
    stream_init(&s, &handlers, seen);

    pcapx_put_shb(&o, NULL, 0);
    rc = feed_exact(&s, buf, (size_t) (o.pos - buf));

    for (i = 0; rc == 0 && i < (size_t) 2 * CLI_MAX_IFACES; i++) {
        o.pos = buf;
        snprintf(name, sizeof(name), "i%zu/eth0", i);
        put_idb(&o, name, 1);
        rc = feed_exact(&s, buf, (size_t) (o.pos - buf));
    }

    ok(rc == -1 && i == CLI_MAX_IFACES + 1, "%zu interfaces: %s", i, s.err);
    ok(s.stats.nifaces == CLI_MAX_IFACES
       && s.stats.ninstances == CLI_MAX_IFACES, "the table is full");
    stream_free(&s);

    /* Messages are handed on, but nothing of them is kept. */
    stream_init(&s, &handlers, seen);
    seen->messages = 0;
    o.pos = buf;
    pcapx_put_shb(&o, NULL, 0);
    put_idb(&o, "a/b", 1);
    one = (size_t) (o.pos - buf);
    opt = comment("pcap-api CONGESTED a: \033[2J");
    pcapx_put_isb(&o, 0, TS, NULL, &opt, 1);
    rc = feed_exact(&s, buf, (size_t) (o.pos - buf));

    for (i = 0; i < 9999; i++) {
        rc |= feed_exact(&s, buf + one, (size_t) (o.pos - buf) - one);
    }

    ok(rc == 0 && seen->messages == 10000 && s.carry_len == 0,
       "flood of messages");

    o.pos = buf;
    put_idb(&o, "c/d\033[31m", 1);
    rc = feed_exact(&s, buf, (size_t) (o.pos - buf));
    ok(rc == 0 && seen->late == 1
       && strcmp(s.stats.ifaces[1].name, "c/d?[31m") == 0,
       "an interface that comes late, its name cleaned");
    stream_free(&s);

    free(seen);
}


static void
test_convert(void)
{
    char           err[256];
    stats_t        st;
    uint8_t        dst[64];
    uint16_t       linktype;
    pcapx_block_t  b;

    stats_init(&st);
    ok(convert_linktype(&st, &linktype, err, sizeof(err)) == -1,
       "no interface: %s", err);

    stats_add_iface(&st, "a/eth0", 6, 113);
    ok(convert_linktype(&st, &linktype, err, sizeof(err)) == 0
       && linktype == 113, "one link type");

    stats_add_iface(&st, "b/eth0", 6, 1);
    ok(convert_linktype(&st, &linktype, err, sizeof(err)) == -1
       && strstr(err, "a/eth0") != NULL && strstr(err, "b/eth0") != NULL,
       "two: %s", err);
    stats_free(&st);

    memset(&b, 0, sizeof(b));
    b.data = (const uint8_t *) "abcd";
    b.caplen = 4;
    b.origlen = 9;
    b.ts_ns = 0xffffffffull * SEC + 999999999;

    ok(convert_packet(dst, 20, &b) == 20, "a record");
    ok(memcmp(dst + 16, "abcd", 4) == 0, "its bytes");
    ok(convert_packet(dst, 19, &b) == 0, "no room");
    ok(convert_packet(dst, 15, &b) == 0, "no room at all");
    b.ts_ns++;
    ok(convert_packet(dst, 64, &b) == 0, "a time stamp beyond 2106");
}


int
main(void)
{
    test_splits();
    test_hostile();
    test_floods();
    test_convert();

    return tap_done();
}
