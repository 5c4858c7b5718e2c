/*
 * cli/rejoin.c: decides, block by block, from which part a record is taken.
 * The parts are not trusted more than any stream: lengths and interface
 * numbers are checked by the scanner, and here again where they index.
 *
 * The switch: T is the successor's first time stamp and the overlap. Records
 * before T are the old part's, all others the new one's. Until the old one
 * has delivered T the new one is read no further than the old one, so that
 * it can take over at any record, should the old one be cut before T.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcapx/write.h"
#include "rejoin_int.h"


typedef enum {
    REJOIN_KEEP = 0,         /* it is written as it is */
    REJOIN_SKIP,             /* done with */
    REJOIN_HOLD,             /* it has to wait */
    REJOIN_BAD               /* r->err says why */
} rejoin_judgement_t;


rejoin_t *
rejoin_create(const rejoin_conf_t *conf)
{
    unsigned        n;
    rejoin_t       *r;
    rejoin_part_t  *part;

    r = calloc(1, sizeof(rejoin_t));
    if (r == NULL) {
        return NULL;
    }

    r->conf = *conf;
    r->plain = 1;
    r->out = malloc(REJOIN_OUT);
    r->ifaces = calloc(CLI_MAX_IFACES, sizeof(rejoin_file_if_t));

    if (r->out == NULL || r->ifaces == NULL) {
        rejoin_free(r);
        return NULL;
    }

    for (n = 0; n < REJOIN_PARTS; n++) {
        part = &r->parts[n];

        part->buf = malloc(REJOIN_MAX_BLOCK + REJOIN_MAX_PIECE);
        part->scan_ifaces = calloc(CLI_MAX_IFACES, sizeof(pcapx_iface_t));
        part->ifs = calloc(CLI_MAX_IFACES, sizeof(rejoin_if_t));

        if (part->buf == NULL || part->scan_ifaces == NULL
            || part->ifs == NULL)
        {
            rejoin_free(r);
            return NULL;
        }
    }

    return r;
}


void
rejoin_free(rejoin_t *r)
{
    uint32_t  i;
    unsigned  n;

    if (r == NULL) {
        return;
    }

    for (n = 0; n < REJOIN_PARTS; n++) {
        free(r->parts[n].buf);
        free(r->parts[n].scan_ifaces);
        free(r->parts[n].ifs);
    }

    for (i = 0; r->ifaces != NULL && i < r->nifaces; i++) {
        free(r->ifaces[i].name);
    }

    free(r->ifaces);
    free(r->out);
    free(r);
}


void
rejoin_set_overlap(rejoin_t *r, uint64_t overlap_ns)
{
    r->conf.overlap_ns = overlap_ns;
}


static void
rejoin_reset(rejoin_part_t *part)
{
    uint8_t        *buf;
    rejoin_if_t    *ifs;
    pcapx_iface_t  *scan_ifaces;

    buf = part->buf;
    ifs = part->ifs;
    scan_ifaces = part->scan_ifaces;

    memset(part, 0, sizeof(rejoin_part_t));

    part->buf = buf;
    part->ifs = ifs;
    part->scan_ifaces = scan_ifaces;
}


void
rejoin_begin(rejoin_t *r, unsigned n, const char *id, rejoin_limits_t limits)
{
    rejoin_part_t  *part;

    part = &r->parts[n];
    rejoin_reset(part);
    memset(part->ifs, 0, CLI_MAX_IFACES * sizeof(rejoin_if_t));

    part->used = 1;
    part->limits = limits;
    snprintf(part->id, sizeof(part->id), "%s", id);

    pcapx_scan_init(&part->scan, part->scan_ifaces, CLI_MAX_IFACES,
                    PCAPX_PROFILE_ANY, REJOIN_MAX_BLOCK);

    if (r->totals.parts++ > 0) {
        r->plain = 0;
    }

    part->mark = r->totals.parts;

    if (r->cur != NULL) {
        r->next = part;
        return;
    }

    /* What was written last is not taken again. */
    part->from_ns = r->last_ns;
    r->cur = part;
}


static rejoin_judgement_t
rejoin_fail(rejoin_t *r, const char *why)
{
    snprintf(r->err, sizeof(r->err), "%s", why);

    return REJOIN_BAD;
}


/* The first time stamp of a part. */
static void
rejoin_first(rejoin_t *r, rejoin_part_t *part, uint64_t ts)
{
    if (part->first_ns != 0) {
        return;
    }

    part->first_ns = ts ? ts : 1;

    if (part == r->next) {
        r->switch_ns = part->first_ns + r->conf.overlap_ns;
        return;
    }

    if (r->gap_open) {
        r->gap_open = 0;
        rejoin_put_gap(r, 0, NULL, r->cut_ns, part->first_ns, part->id);
    }
}


/* No record of the written part that is older will come. */
static uint64_t
rejoin_progress(const rejoin_t *r)
{
    return r->cur->isb_min_ns > r->last_ns ? r->cur->isb_min_ns : r->last_ns;
}


static void
rejoin_leave(rejoin_t *r, rejoin_part_t *part)
{
    r->passed = 1;
    part->leaving = 1;
}


static void
rejoin_limit(rejoin_t *r, unsigned bit, const char *name, uint64_t ts)
{
    r->totals.limits |= bit;
    rejoin_put_limit(r, name, ts);
}


/* Where the limits are kept here: may this record be written? */
static int
rejoin_fits(rejoin_t *r, const rejoin_part_t *part, const pcapx_block_t *b)
{
    if (part->limits == REJOIN_API_LIMITS) {
        return 1;
    }

    if (r->totals.limits != 0) {
        return 0;
    }

    if (r->conf.max_bytes != 0
        && r->totals.bytes + b->caplen > r->conf.max_bytes)
    {
        rejoin_limit(r, LIMIT_MAX_BYTES, "max_bytes", b->ts_ns);
        return 0;
    }

    return 1;
}


static void
rejoin_count(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b)
{
    rejoin_if_t  *f;

    f = &part->ifs[b->iface];
    f->written++;
    r->ifaces[f->file].written++;
    r->totals.packets++;
    r->totals.bytes += b->caplen;

    if (b->ts_ns > r->last_ns) {
        r->last_ns = b->ts_ns;
        r->eq = 0;
    }

    r->eq += b->ts_ns == r->last_ns;
}


static void
rejoin_check_limits(rejoin_t *r, const rejoin_part_t *part, uint64_t ts)
{
    if (part->limits == REJOIN_API_LIMITS || r->totals.limits != 0) {
        return;
    }

    if (r->conf.max_packets != 0
        && r->totals.packets >= r->conf.max_packets)
    {
        rejoin_limit(r, LIMIT_MAX_PACKETS, "max_packets", ts);

    } else if (r->conf.max_bytes != 0
               && r->totals.bytes >= r->conf.max_bytes)
    {
        rejoin_limit(r, LIMIT_MAX_BYTES, "max_bytes", ts);
    }
}


/* A record of the part that is written. */
static rejoin_judgement_t
rejoin_record(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b,
    const uint8_t *p)
{
    int  take;

    part->seen++;
    take = b->ts_ns >= part->from_ns;

    if (take && b->ts_ns == part->from_ns && part->skip > 0) {
        part->skip--;
        take = 0;
    }

    if (take && r->switch_ns != 0 && b->ts_ns >= r->switch_ns) {
        rejoin_leave(r, part);
        take = 0;
    }

    if (!take || !rejoin_fits(r, part, b)) {
        part->ifs[b->iface].discarded++;
        rejoin_hear(r, part, b);
        return REJOIN_SKIP;
    }

    rejoin_count(r, part, b);

    if (r->plain) {
        rejoin_hear(r, part, b);
        return REJOIN_KEEP;
    }

    rejoin_put_record(r, part, b, p);
    rejoin_check_limits(r, part, b->ts_ns);

    return REJOIN_SKIP;
}


/* A record of the successor: a duplicate, as far as the other has come. */
static rejoin_judgement_t
rejoin_next_record(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b)
{
    if (b->ts_ns >= r->switch_ns || b->ts_ns >= rejoin_progress(r)) {
        return REJOIN_HOLD;
    }

    part->seen++;
    part->ifs[b->iface].discarded++;
    rejoin_hear(r, part, b);

    return REJOIN_SKIP;
}


static rejoin_judgement_t
rejoin_packet(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b,
    const uint8_t *p)
{
    if (b->iface >= part->scan.nifaces) {
        return rejoin_fail(r, "packet of an unknown interface");
    }

    /* stream.c refuses it where it would be written. */
    if (b->type != PCAPX_BT_EPB && !r->plain) {
        return rejoin_fail(r, "a packet block that the API does not write");
    }

    rejoin_first(r, part, b->ts_ns);

    return part == r->next ? rejoin_next_record(r, part, b)
                           : rejoin_record(r, part, b, p);
}


/* Does it promise a time, or only carry a message? */
static int
rejoin_is_promise(const rejoin_part_t *part, const pcapx_block_t *b)
{
    pcapx_opt_t       opt;
    pcapx_opt_iter_t  it;

    pcapx_opt_begin(&it, &part->scan, b);

    while (pcapx_opt_next(&it, &opt) == PCAPX_OK) {
        if (opt.code == PCAPX_OPT_COMMENT) {
            return 0;
        }
    }

    return 1;
}


/* What the statistics promise: how far the part has come. */
static void
rejoin_promise(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b)
{
    uint32_t  i;
    uint64_t  min;

    if (b->ts_ns > part->ifs[b->iface].isb_ns) {
        part->ifs[b->iface].isb_ns = b->ts_ns;
    }

    /* They come in rounds: once a round is enough. */
    if (b->iface == part->scan.nifaces - 1) {
        min = part->ifs[0].isb_ns;

        for (i = 1; i < part->scan.nifaces; i++) {
            if (part->ifs[i].isb_ns < min) {
                min = part->ifs[i].isb_ns;
            }
        }

        part->isb_min_ns = min;
    }

    if (part != r->cur || r->switch_ns == 0) {
        return;
    }

    /*
     * An instance that is gone promises nothing any more: far behind the
     * switch the others are not waited for.
     */
    if (part->isb_min_ns >= r->switch_ns
        || b->ts_ns >= r->switch_ns + r->conf.overlap_ns)
    {
        rejoin_leave(r, part);
    }
}


static void
rejoin_raise(uint64_t *total, uint64_t now)
{
    if (now > *total) {
        *total = now;
    }
}


static void
rejoin_counters(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b,
    const pcapx_stats_t *st, int promise)
{
    rejoin_if_t  *f;

    f = &part->ifs[b->iface];

    rejoin_raise(&f->received, st->filteraccept);
    rejoin_raise(&f->ifrecv, st->ifrecv);
    rejoin_raise(&f->ifdrop, st->ifdrop);

    if (!f->frozen) {
        rejoin_raise(&f->osdrop, st->osdrop);
    }

    if (!promise || r->switch_ns == 0) {
        return;
    }

    /* What one part loses where the other is written is no loss. */

    if (part == r->next && b->ts_ns < r->switch_ns) {
        f->skipped = f->osdrop;

    } else if (part == r->cur && b->ts_ns >= r->switch_ns) {
        f->frozen = 1;
    }
}


static rejoin_judgement_t
rejoin_stats(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b,
    const uint8_t *p)
{
    int            promise;
    pcapx_stats_t  st;

    if (b->iface >= part->scan.nifaces) {
        return rejoin_fail(r, "statistics of an unknown interface");
    }

    if (pcapx_scan_stats(&part->scan, b, &st) != PCAPX_OK) {
        return rejoin_fail(r, "malformed interface statistics");
    }

    promise = rejoin_is_promise(part, b);

    if (promise) {
        rejoin_first(r, part, b->ts_ns);
    }

    rejoin_counters(r, part, b, &st, promise);

    if (promise) {
        rejoin_promise(r, part, b);
    }

    if (part == r->next) {
        rejoin_hear(r, part, b);
        return REJOIN_SKIP;
    }

    if (r->plain) {
        rejoin_hear(r, part, b);
        return REJOIN_KEEP;
    }

    rejoin_put_stats(r, part, b, p, &st);

    return REJOIN_SKIP;
}


static rejoin_judgement_t
rejoin_section(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b)
{
    if (!r->started) {
        r->started = 1;
        r->foreign = part->scan.swapped;
        return REJOIN_KEEP;
    }

    if (r->plain) {
        return rejoin_fail(r, "a second section");
    }

    /* Blocks are rebuilt in this machine's order. */
    if (part->scan.swapped) {
        return rejoin_fail(r, "the API changed its byte order");
    }

    rejoin_hear(r, part, b);

    return REJOIN_SKIP;
}


static rejoin_judgement_t
rejoin_interface(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b)
{
    uint32_t  before;

    before = r->nifaces;

    if (b->iface >= CLI_MAX_IFACES || rejoin_map(r, part, b) != 0) {
        return rejoin_fail(r, "too many interfaces");
    }

    return r->nifaces > before ? REJOIN_KEEP : REJOIN_SKIP;
}


static rejoin_judgement_t
rejoin_judge(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b,
    const uint8_t *p)
{
    switch (b->type) {

    case PCAPX_BT_SHB:
        return rejoin_section(r, part, b);

    case PCAPX_BT_IDB:
        return rejoin_interface(r, part, b);

    case PCAPX_BT_EPB:
    case PCAPX_BT_OPB:
    case PCAPX_BT_SPB:
        return rejoin_packet(r, part, b, p);

    case PCAPX_BT_ISB:
        return rejoin_stats(r, part, b, p);

    case PCAPX_BT_PCAP_HEADER:
    case PCAPX_BT_PCAP_RECORD:
        return rejoin_fail(r, "pcap, where pcapng was asked for");

    default:
        /* Names of instances that the file knows stand in it already. */
        return r->plain || part->added ? REJOIN_KEEP : REJOIN_SKIP;
    }
}


/* The block at p: the held one again, or the next. PCAPX_* of the scanner. */
static int
rejoin_look(rejoin_t *r, rejoin_part_t *part, const uint8_t *p, size_t len,
    pcapx_block_t *b)
{
    int  rc;

    if (part->has_head) {
        *b = part->head;
        b->data = p + PCAPX_EPB_HEAD_LEN;
        b->opts = b->opts_len ? p + b->len - 4 - b->opts_len : NULL;
        part->has_head = 0;
        return PCAPX_OK;
    }

    rc = pcapx_scan_next(&part->scan, p, len, b);

    if (rc < 0) {
        rejoin_fail(r, part->scan.err);
    }

    return rc;
}


/* Judges what stands at p; *used is what is done with. 0 or -1. */
static int
rejoin_walk(rejoin_t *r, rejoin_part_t *part, const uint8_t *p, size_t len,
    size_t *used)
{
    int                 rc;
    size_t              run, at;
    pcapx_block_t       b;
    rejoin_judgement_t  what;

    rc = PCAPX_OK;
    what = REJOIN_KEEP;

    for (run = at = 0; at < len; at += b.len) {
        rc = rejoin_look(r, part, p + at, len - at, &b);
        if (rc != PCAPX_OK) {
            break;
        }

        what = rejoin_judge(r, part, &b, p + at);

        /* Whole runs go on as they are, everything else in its order. */
        if (what == REJOIN_KEEP && r->plain) {
            continue;
        }

        if (at > run) {
            r->conf.put(r->conf.ctx, p + run, at - run);
        }

        run = at;

        if (what == REJOIN_HOLD || what == REJOIN_BAD) {
            break;
        }

        if (what == REJOIN_KEEP) {
            rejoin_put_raw(r, p + at, b.len, &b, 0);
        }

        run = at + b.len;
    }

    if (at > run) {
        r->conf.put(r->conf.ctx, p + run, at - run);
    }

    rejoin_flush(r);
    *used = at;

    if (what == REJOIN_HOLD) {
        part->head = b;
        part->has_head = 1;
    }

    return rc < 0 || what == REJOIN_BAD ? -1 : 0;
}


int
rejoin_feed(rejoin_t *r, unsigned n, const uint8_t *p, size_t len)
{
    int             rc;
    size_t          used;
    rejoin_part_t  *part;

    part = &r->parts[n];

    if (len > REJOIN_MAX_PIECE || part->len > REJOIN_MAX_BLOCK) {
        rejoin_fail(r, "block too long");
        return -1;
    }

    if (part->len > 0) {
        memcpy(part->buf + part->len, p, len);
        part->len += len;

        return rejoin_advance(r, n);
    }

    rc = rejoin_walk(r, part, p, len, &used);

    part->len = len - used;
    memcpy(part->buf, p + used, part->len);

    return rc;
}


int
rejoin_advance(rejoin_t *r, unsigned n)
{
    int             rc;
    size_t          used;
    rejoin_part_t  *part;

    part = &r->parts[n];

    if (!part->used || part->len == 0) {
        return 0;
    }

    rc = rejoin_walk(r, part, part->buf, part->len, &used);

    part->len -= used;
    memmove(part->buf, part->buf + used, part->len);

    return rc;
}


int
rejoin_held(const rejoin_t *r, unsigned n)
{
    return r->parts[n].has_head;
}


int
rejoin_passed(const rejoin_t *r)
{
    return r->passed;
}


int
rejoin_whole(const rejoin_t *r, unsigned n)
{
    return r->parts[n].len == 0;
}


status_t
rejoin_verdict(const rejoin_t *r, unsigned n)
{
    return r->parts[n].verdict.status;
}


/* The successor is written from here on. */
static void
rejoin_take_over(rejoin_t *r, const rejoin_part_t *old)
{
    uint64_t        sure;
    rejoin_part_t  *part;

    part = r->next;

    if (old->leaving) {
        part->from_ns = r->switch_ns;

    } else {
        part->from_ns = r->last_ns;
        part->skip = r->eq;

        /* Before that not all of its instances may have been open. */
        sure = part->first_ns + r->conf.overlap_ns / 2;

        if (rejoin_progress(r) < sure) {
            rejoin_put_gap(r, 0, NULL, rejoin_progress(r), sure, part->id);
            rejoin_flush(r);
        }
    }
}


void
rejoin_end(rejoin_t *r, unsigned n, rejoin_end_t how)
{
    int             clean;
    rejoin_part_t  *old;

    old = &r->parts[n];

    if (old != r->cur) {
        rejoin_drop(r, n);
        return;
    }

    clean = r->next != NULL && r->next->first_ns != 0;

    if (clean) {
        rejoin_take_over(r, old);

    } else {
        /* Behind the switch it was not written any more. */
        r->cut_ns = old->leaving ? r->last_ns : rejoin_progress(r);
        r->gap_open = 1;
    }

    rejoin_settle(r, old, clean ? REJOIN_DONE : how);

    if (r->next != NULL && !clean) {
        r->next->from_ns = r->last_ns;
        r->next->skip = r->eq;
    }

    r->cur = r->next;
    r->next = NULL;
    r->switch_ns = 0;
    r->passed = 0;
    rejoin_reset(old);
}


void
rejoin_drop(rejoin_t *r, unsigned n)
{
    if (&r->parts[n] == r->next) {
        r->next = NULL;
        r->switch_ns = 0;
        r->passed = 0;
    }

    rejoin_reset(&r->parts[n]);
}


void
rejoin_give_up(rejoin_t *r)
{
    if (r->gap_open) {
        r->gap_open = 0;
        rejoin_put_gap(r, 0, NULL, r->cut_ns, 0, NULL);
        rejoin_flush(r);
    }
}


rejoin_totals_t
rejoin_totals(const rejoin_t *r)
{
    return r->totals;
}


int
rejoin_possible(const rejoin_t *r)
{
    return !r->foreign;
}


const char *
rejoin_error(const rejoin_t *r)
{
    return r->err;
}
