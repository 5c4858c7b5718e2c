/*
 * fuzz/fuzz_scan.c: any bytes as a capture, in both profiles. Each window is
 * memory of exactly its size. The stream is scanned whole, then cut at
 * random places (a generator seeded by the bytes themselves), and both must
 * say the same. Every length that the scanner reports is checked here again.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pcapx/scan.h"
#include "fuzz/require.h"


#define MAX_IFACES   3
#define MAX_BLOCKS   4096

typedef struct {
    int             rc;
    uint32_t        n;
    uint64_t        sum;            /* of all fields of all blocks */
    char            err[160];
} outcome_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static uint64_t
mix(uint64_t sum, uint64_t v)
{
    sum = (sum ^ v) * 0x9e3779b97f4a7c15;

    return sum ^ (sum >> 29);
}


/* A window of its own size, so that the sanitizer sees each byte beyond. */
static uint8_t *
window(const uint8_t *p, size_t len)
{
    uint8_t  *w;

    w = malloc(len ? len : 1);
    require(w != NULL);

    if (len) {
        memcpy(w, p, len);
    }

    return w;
}


static uint64_t
walk_options(const pcapx_scan_t *s, const pcapx_block_t *b, uint64_t sum)
{
    int               rc;
    size_t            i, used;
    pcapx_opt_t       opt;
    pcapx_stats_t     st;
    pcapx_opt_iter_t  it;

    used = 0;
    pcapx_opt_begin(&it, s, b);

    while ((rc = pcapx_opt_next(&it, &opt)) == PCAPX_OK) {
        require(opt.code != PCAPX_OPT_END);
        require(opt.value >= b->opts
                && opt.value + opt.len <= b->opts + b->opts_len);

        used += 4 + opt.len;
        sum = mix(sum, opt.code);

        for (i = 0; i < opt.len; i++) {
            sum = mix(sum, opt.value[i]);
        }
    }

    require(used <= b->opts_len);
    require(rc == PCAPX_END || rc == PCAPX_EFORMAT);
    sum = mix(sum, (uint64_t) rc);

    rc = pcapx_scan_stats(s, b, &st);

    if (rc == PCAPX_OK) {
        sum = mix(sum, st.present ^ st.endtime_ns ^ st.osdrop);
    }

    if (s->profile == PCAPX_PROFILE_AGENT && b->type == PCAPX_BT_ISB) {
        require(rc == PCAPX_OK);
    }

    return mix(sum, (uint64_t) rc);
}


static void
check_block(const pcapx_scan_t *s, const pcapx_block_t *b, const uint8_t *p,
    size_t len)
{
    require(b->len >= 12 && b->len <= len && b->len <= s->max_block);
    require(s->classic || b->len % 4 == 0);

    if (b->data) {
        require(b->data > p && b->data + b->caplen <= p + b->len);
        require(b->iface < s->nifaces);

    } else {
        require(b->caplen == 0);
    }

    require((b->opts == NULL) == (b->opts_len == 0));

    if (b->opts) {
        require(b->opts > p && b->opts + b->opts_len + 4 == p + b->len);
        require(b->data == NULL || b->opts >= b->data + b->caplen);
    }

    if (s->profile == PCAPX_PROFILE_AGENT && b->type == PCAPX_BT_EPB) {
        require(b->opts == NULL && b->caplen <= b->origlen
                && b->caplen <= s->ifaces[b->iface].snaplen
                && b->len == 32 + (b->caplen + 3) / 4 * 4);
    }
}


/* Scans data[*at, end) from a window; *at moves behind the last block. */
static int
scan_window(pcapx_scan_t *s, const uint8_t *data, size_t *at, size_t end,
    outcome_t *o)
{
    int             rc;
    uint8_t        *w, *p;
    size_t          i, len;
    pcapx_block_t   b;

    len = end - *at;
    w = window(data + *at, len);
    p = w;
    rc = PCAPX_OK;

    while (len != 0 && o->n < MAX_BLOCKS) {
        rc = pcapx_scan_next(s, p, len, &b);

        if (rc != PCAPX_OK) {
            require(rc != PCAPX_AGAIN
                    || (s->need > len && s->need <= s->max_block));
            require(rc != PCAPX_END && rc != PCAPX_EINVAL);
            break;
        }

        check_block(s, &b, p, len);

        o->n++;
        o->sum = mix(o->sum, b.type);
        o->sum = mix(o->sum, (uint64_t) b.len << 32 | b.iface);
        o->sum = mix(o->sum, (uint64_t) b.caplen << 32 | b.origlen);
        o->sum = mix(o->sum, b.ts_ns);

        for (i = 0; i < b.caplen; i++) {
            o->sum = mix(o->sum, b.data[i]);
        }

        o->sum = walk_options(s, &b, o->sum);

        p += b.len;
        len -= b.len;
        *at += b.len;
    }

    free(w);

    return rc;
}


static void
finish(const pcapx_scan_t *s, int rc, outcome_t *o)
{
    o->rc = rc;
    require(memchr(s->err, '\0', sizeof(s->err)) != NULL);
    require(rc >= 0 || s->err[0] != '\0');
    memcpy(o->err, s->err, sizeof(o->err));
}


static void
scan_whole(const uint8_t *data, size_t size, pcapx_profile_t profile,
    uint32_t max_block, outcome_t *o)
{
    int            rc;
    size_t         at;
    pcapx_scan_t   s;
    pcapx_iface_t  ifaces[MAX_IFACES];

    memset(o, 0, sizeof(*o));
    at = 0;

    pcapx_scan_init(&s, ifaces, MAX_IFACES, profile, max_block);
    rc = scan_window(&s, data, &at, size, o);
    require(s.offset == at && s.nifaces <= MAX_IFACES);
    finish(&s, rc, o);
}


/* The same in windows that end at random places, each with its carry. */
static void
scan_cut(const uint8_t *data, size_t size, pcapx_profile_t profile,
    uint32_t max_block, uint64_t seed, outcome_t *o)
{
    int            rc;
    size_t         at, end;
    pcapx_scan_t   s;
    pcapx_iface_t  ifaces[MAX_IFACES];

    memset(o, 0, sizeof(*o));
    at = 0;
    end = 0;
    rc = PCAPX_OK;

    pcapx_scan_init(&s, ifaces, MAX_IFACES, profile, max_block);

    while (end < size && rc >= 0) {
        seed = mix(seed, end);
        end += 1 + (size_t) (seed % (seed & 0x40000000 ? 7 : 300));
        end = end < size ? end : size;
        rc = scan_window(&s, data, &at, end, o);
    }

    finish(&s, rc, o);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t     i;
    uint64_t   seed;
    outcome_t  whole, cut;

    static const struct {
        pcapx_profile_t  profile;
        uint32_t         max_block;
    } ways[] = {
        { PCAPX_PROFILE_ANY, 0 },
        { PCAPX_PROFILE_AGENT, 0 },
        { PCAPX_PROFILE_ANY, 100 },
        { PCAPX_PROFILE_AGENT, 100 }
    };

    if (size > 65536) {
        return 0;
    }

    seed = size;

    for (i = 0; i < size; i++) {
        seed = mix(seed, data[i]);
    }

    for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        scan_whole(data, size, ways[i].profile, ways[i].max_block, &whole);
        scan_cut(data, size, ways[i].profile, ways[i].max_block, seed, &cut);

        require(whole.rc == cut.rc && whole.n == cut.n
                && whole.sum == cut.sum
                && memcmp(whole.err, cut.err, sizeof(cut.err)) == 0);
    }

    return 0;
}
