/*
 * t/cut.c: where a stored capture may be cut: behind each block and
 * record, however the stream is cut into calls, and nowhere in what is none.
 */

#include <stdlib.h>
#include <string.h>

#include "pcapx/pcapx.h"
#include "pcapx/cut.h"
#include "t/tap.h"


#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))

typedef struct {
    uint8_t   bytes[4096];
    size_t    len;
    size_t    ends[16];      /* where it may be cut */
    size_t    nends;
} stream_t;


static void
put32(stream_t *s, uint32_t n)
{
    memcpy(s->bytes + s->len, &n, sizeof(n));
    s->len += sizeof(n);
}


static void
put_end(stream_t *s)
{
    s->ends[s->nends++] = s->len;
}


/* A block of this type and length; its content is of no interest. */

static void
put_block(stream_t *s, uint32_t type, uint32_t total)
{
    put32(s, type);
    put32(s, total);
    memset(s->bytes + s->len, 0xff, total - 12);
    s->len += total - 12;
    put32(s, total);
    put_end(s);
}


static void
put_record(stream_t *s, uint32_t caplen)
{
    put32(s, 1);
    put32(s, 2);
    put32(s, caplen);
    put32(s, caplen);
    memset(s->bytes + s->len, 0xff, caplen);
    s->len += caplen;
    put_end(s);
}


/* The last place up to there where it may be cut. */

static size_t
whole_at(const stream_t *s, size_t at)
{
    size_t  i, whole;

    for (i = 0, whole = 0; i < s->nends && s->ends[i] <= at; i++) {
        whole = s->ends[i];
    }

    return whole;
}


static void
follows(const stream_t *s, const char *what)
{
    pcapx_cut_t     c;
    size_t    step, at, n, wrong;
    uint8_t  *copy;

    for (step = 1, wrong = 0; step <= s->len; step++) {
        pcapx_cut_init(&c);

        for (at = 0; at < s->len; at += n) {
            n = step < s->len - at ? step : s->len - at;

            /* of exactly that size, so that a sanitizer sees all */

            copy = malloc(n);
            memcpy(copy, s->bytes + at, n);
            wrong += pcapx_cut_feed(&c, copy, n) != 0 || c.offset != at + n
                     || c.whole != whole_at(s, at + n);
            free(copy);
        }
    }

    ok(wrong == 0, "%s: in calls of 1 to %zu bytes", what, s->len);
}


static void
refuses(const uint32_t *words, size_t n, size_t whole, const char *err)
{
    pcapx_cut_t  c;

    pcapx_cut_init(&c);
    ok(pcapx_cut_feed(&c, (const uint8_t *) words, n * sizeof(words[0])) == -1
       && strcmp(c.err, err) == 0 && c.whole == whole, "%s", err);

    if (strcmp(c.err, err) != 0) {
        printf("# \"%s\"\n", c.err);
    }
}


int
main(void)
{
    stream_t  s;

    static const uint32_t  nothing[] = { 0x04034b50, 0 };
    static const uint32_t  swapped[] = { 0xd4c3b2a1, 0 };
    static const uint32_t  tiny[] = { PCAPX_BT_SHB, 8 };
    static const uint32_t  odd[] = { PCAPX_BT_SHB, 12, 12, 6, 14 };
    static const uint32_t  huge[] = { PCAPX_BT_SHB, 12, 12, 6, 0x10000000 };
    static const uint32_t  record[] = {
        0xa1b23c4d, 0, 0, 0, 262144, 1, 0, 0, 262145, 262145
    };

    memset(&s, 0, sizeof(s));
    put_block(&s, PCAPX_BT_SHB, 28);
    put_block(&s, 1, 32);
    put_block(&s, 6, 12);
    put_block(&s, 6, 100);
    put_block(&s, 5, 64);
    put_block(&s, 0x0bad, 16);
    follows(&s, "pcapng");

    memset(&s, 0, sizeof(s));
    put32(&s, 0xa1b23c4d);
    s.len = 24;
    put_end(&s);
    put_record(&s, 60);
    put_record(&s, 0);
    put_record(&s, 1);
    put_record(&s, 100);
    follows(&s, "pcap");

    refuses(nothing, COUNT(nothing), 0, "it begins with 0x04034b50, which is "
            "neither pcapng nor pcap with nanoseconds");
    refuses(swapped, COUNT(swapped), 0, "it begins with 0xd4c3b2a1, which is "
            "neither pcapng nor pcap with nanoseconds");
    refuses(tiny, COUNT(tiny), 0,
            "a block of type 0x0a0d0d0a at byte 0 has a length of 8");
    refuses(odd, COUNT(odd), 12,
            "a block of type 0x00000006 at byte 12 has a length of 14");
    refuses(huge, COUNT(huge), 12,
            "a block of type 0x00000006 at byte 12 has a length of 268435456");
    refuses(record, COUNT(record), 24,
            "a record at byte 24 has 262145 bytes");

    return tap_done();
}
