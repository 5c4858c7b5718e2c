/*
 * module/agent.c: what came from one agent. It walks the upstream's buffers
 * block by block, in place, and keeps the agent's head record for the merge.
 * Only a block that straddles two buffers is copied, into the carry.
 *
 * An agent may be hostile: every block goes through the strict profile of
 * the scanner, every time stamp and counter is checked against what it
 * promised before. Whatever is wrong cuts this agent and no other.
 */

#include "ngx_pcap_api_module.h"
#include "module/policy.h"


#define NGX_PCAP_API_CARRY_KEEP  (64 * 1024)   /* larger ones are freed */
#define NGX_PCAP_API_PREFETCH    4096
#define NGX_PCAP_API_CACHE_LINE  64
#define NGX_PCAP_API_MAX_COUNT   (1ULL << 53)  /* so that sums are right */

/* Buffers of one agent: 64 KiB in chunks of 32 bytes; ours are 16 KiB. */
#define NGX_PCAP_API_MAX_LINKS   2048

/* Clocks may drift apart by so much (NTP slews by 500 ppm at most). */
#define NGX_PCAP_API_DRIFT       2000          /* one in */



static ngx_int_t ngx_pcap_api_agent_scan_on(ngx_pcap_api_agent_t *a,
    pcapx_block_t *b);
static ngx_int_t ngx_pcap_api_agent_other(ngx_pcap_api_agent_t *a,
    pcapx_block_t *b);
static void ngx_pcap_api_agent_end(ngx_pcap_api_agent_t *a);
static void ngx_pcap_api_agent_said(ngx_pcap_api_agent_t *a);


void
ngx_pcap_api_agent_mark(ngx_pcap_api_agent_t *a)
{
    if (!a->queued) {
        a->queued = 1;
        ngx_queue_insert_tail(&a->ctx->dirty, &a->queue);
    }

    ngx_pcap_api_post(a->ctx);
}


static uint64_t
ngx_pcap_api_clock_ns(clockid_t id)
{
    struct timespec  ts;

    (void) clock_gettime(id, &ts);

    return (uint64_t) ts.tv_sec * 1000000000ULL + (uint64_t) ts.tv_nsec;
}


uint64_t
ngx_pcap_api_wall_base(void)
{
    return ngx_pcap_api_clock_ns(CLOCK_REALTIME)
           - ngx_pcap_api_clock_ns(CLOCK_MONOTONIC);
}


uint64_t
ngx_pcap_api_now_ns(ngx_pcap_api_ctx_t *ctx)
{
    return ctx->wall_ns + ngx_pcap_api_clock_ns(CLOCK_MONOTONIC);
}


void
ngx_pcap_api_agent_garbage(ngx_pcap_api_agent_t *a, const char *what)
{
    ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_INSTANCE_UNAVAILABLE,
                            "cut, it sent a malformed stream: %s", what);
}


/* Steps from finished buffers to the one with unscanned bytes. */
static ngx_inline size_t
ngx_pcap_api_agent_window(ngx_pcap_api_agent_t *a)
{
    ngx_chain_t  *ln;

    while (a->in != NULL && a->pos == a->in->buf->last) {
        ln = a->in;
        a->in = ln->next;
        ln->next = NULL;

        *a->last_scanned = ln;
        a->last_scanned = &ln->next;

        if (a->in == NULL) {
            a->last_in = &a->in;

        } else {
            a->pos = a->in->buf->pos;
        }
    }

    return a->in ? (size_t) (a->in->buf->last - a->pos) : 0;
}


/* Makes the carry large enough; what is in it stays. */
static ngx_int_t
ngx_pcap_api_agent_carry_grow(ngx_pcap_api_agent_t *a, size_t need)
{
    u_char  *p;
    size_t   size;

    if (need <= a->carry_size) {
        return NGX_OK;
    }

    for (size = 2048; size < need; size *= 2) { /* void */ }

    p = ngx_alloc(size, a->ctx->request->connection->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (a->carry != NULL) {
        ngx_memcpy(p, a->carry, a->carry_len);
        ngx_free(a->carry);
    }

    a->carry = p;
    a->carry_size = size;

    return NGX_OK;
}


void
ngx_pcap_api_agent_carry_free(ngx_pcap_api_agent_t *a)
{
    a->carry_len = 0;
    a->carry_busy = 0;

    if (a->carry_size > NGX_PCAP_API_CARRY_KEEP) {
        ngx_pcap_api_agent_drop_carry(a);
    }
}


void
ngx_pcap_api_agent_drop_carry(ngx_pcap_api_agent_t *a)
{
    if (a->carry != NULL && !a->carry_busy) {
        ngx_free(a->carry);
        a->carry = NULL;
        a->carry_size = 0;
        a->carry_len = 0;
    }
}


/*
 * The next block, in place or in the carry (a->head_carry). NGX_OK,
 * NGX_AGAIN, or NGX_ERROR when the agent was failed.
 *
 * Nearly every block lies in place as a whole. Otherwise it is looked at once
 * more: the scanner has changed nothing.
 */
static ngx_inline ngx_int_t
ngx_pcap_api_agent_scan(ngx_pcap_api_agent_t *a, pcapx_block_t *b)
{
    if (a->in != NULL && a->pos != a->in->buf->last
        && (a->carry_len == 0 || a->carry_busy)
        && pcapx_scan_next(&a->scan, a->pos, a->in->buf->last - a->pos, b)
           == PCAPX_OK)
    {
        a->head_carry = 0;
        return NGX_OK;
    }

    return ngx_pcap_api_agent_scan_on(a, b);
}


static ngx_int_t
ngx_pcap_api_agent_scan_on(ngx_pcap_api_agent_t *a, pcapx_block_t *b)
{
    int      rc;
    size_t   n, have, room;
    u_char  *p;

    for ( ;; ) {
        have = ngx_pcap_api_agent_window(a);

        if (a->carry_len && !a->carry_busy) {
            p = a->carry;
            rc = pcapx_scan_next(&a->scan, p, a->carry_len, b);

        } else if (have) {
            p = a->pos;
            rc = pcapx_scan_next(&a->scan, p, have, b);

        } else {
            return NGX_AGAIN;
        }

        if (rc == PCAPX_OK) {
            a->head_carry = (p == a->carry);
            return NGX_OK;
        }

        if (rc != PCAPX_AGAIN) {
            ngx_pcap_api_agent_garbage(a, a->scan.err);
            return NGX_ERROR;
        }

        if (have == 0 || a->carry_busy) {
            return NGX_AGAIN;
        }

        /*
         * What is missing of the block, as far as it is here; a length that
         * is only claimed gets no memory.
         */

        n = ngx_min(a->scan.need - a->carry_len, have);
        room = ngx_max(2048, 2 * (a->carry_len + n));

        if (ngx_pcap_api_agent_carry_grow(a, ngx_min(a->scan.need, room))
            != NGX_OK)
        {
            ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_UNKNOWN, "no memory");
            return NGX_ERROR;
        }

        ngx_memcpy(a->carry + a->carry_len, a->pos, n);
        a->carry_len += n;
        a->pos += n;
    }
}


static void
ngx_pcap_api_agent_skip(ngx_pcap_api_agent_t *a, size_t len)
{
    if (!a->head_carry) {
        a->pos += len;
        return;
    }

    a->head_carry = 0;

    if (!a->carry_busy) {
        ngx_pcap_api_agent_carry_free(a);
    }
}


/* The first block behind the IDBs: link types and clock are known now. */
static ngx_int_t
ngx_pcap_api_agent_ready(ngx_pcap_api_agent_t *a, pcapx_block_t *b)
{
    uint64_t       theirs;
    int64_t        skew;
    pcapx_stats_t  st;

    theirs = b->ts_ns;

    if (b->type == PCAPX_BT_ISB
        && pcapx_scan_stats(&a->scan, b, &st) == PCAPX_OK
        && (st.present & PCAPX_HAS_ENDTIME))
    {
        theirs = st.endtime_ns;
    }

    a->offset_ns = (int64_t) (theirs - a->arrived_ns);
    a->lead_ns = (int64_t) (b->ts_ns - a->arrived_ns);
    a->lead_at = ngx_current_msec;
    skew = (int64_t) a->ctx->max_clock_skew * 1000000;

    if (skew && a->ctx->nagents > 1
        && (a->offset_ns > skew || a->offset_ns < -skew))
    {
        ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_CLOCK_SKEW,
            "its clock is %L ms off, at most %M ms are allowed",
            a->offset_ns / 1000000, a->ctx->max_clock_skew);
        return NGX_ERROR;
    }

    if (skew) {
        a->max_ts = theirs + (uint64_t) skew;
    }

    a->state = NGX_PCAP_API_AGENT_READY;
    ngx_pcap_api_count(NGX_PCAP_API_C_AGENTS_READY, 1);

    return NGX_OK;
}


static ngx_inline void
ngx_pcap_api_agent_advance(ngx_pcap_api_agent_t *a, uint64_t ts_ns)
{
    if (ts_ns > a->watermark) {
        a->watermark = ts_ns;
        a->advanced = ngx_current_msec;
    }
}


/* Running totals never go back. */
static ngx_int_t
ngx_pcap_api_agent_isb(ngx_pcap_api_agent_t *a, pcapx_block_t *b)
{
    int64_t                lead;
    pcapx_stats_t          st;
    ngx_pcap_api_iface_t  *f;

    f = &a->ifaces[b->iface];

    if (pcapx_scan_stats(&a->scan, b, &st) != PCAPX_OK) {
        ngx_pcap_api_agent_garbage(a, "a counter of wrong size");
        return NGX_ERROR;
    }

    if (st.filteraccept > NGX_PCAP_API_MAX_COUNT
        || st.osdrop > NGX_PCAP_API_MAX_COUNT
        || st.usrdeliv > NGX_PCAP_API_MAX_COUNT)
    {
        ngx_pcap_api_agent_garbage(a, "a counter that cannot be");
        return NGX_ERROR;
    }

    if ((f->stats.present & ~st.present)
        || st.filteraccept < f->stats.filteraccept
        || st.osdrop < f->stats.osdrop
        || st.usrdeliv < f->stats.usrdeliv
        || st.ifrecv < f->stats.ifrecv
        || st.ifdrop < f->stats.ifdrop)
    {
        ngx_pcap_api_agent_garbage(a, "a counter that goes back");
        return NGX_ERROR;
    }

    a->osdrop += st.osdrop - f->stats.osdrop;
    f->stats = st;
    f->stats_ts = b->ts_ns;

    if (f->isb_round != a->isb_round) {
        f->isb_round = a->isb_round;
        a->isb_seen++;
    }

    if (a->osdrop != a->osdrop_told) {
        a->congested = 1;
    }

    ngx_pcap_api_agent_advance(a, b->ts_ns);

    lead = (int64_t) (a->watermark - ngx_pcap_api_now_ns(a->ctx));

    if (lead > a->lead_ns) {
        a->lead_ns = lead;
        a->lead_at = ngx_current_msec;
    }

    return NGX_OK;
}


ngx_msec_int_t
ngx_pcap_api_agent_lag(ngx_pcap_api_agent_t *a)
{
    int64_t  lead;

    if (a->ctx->max_clock_skew == 0) {
        return 0;                          /* a replay: no clock is true */
    }

    lead = (int64_t) (a->watermark - ngx_pcap_api_now_ns(a->ctx));

    return (ngx_msec_int_t) ((int64_t) ((uint64_t) a->lead_ns
                                        - (uint64_t) lead) / 1000000)
           - (ngx_msec_int_t) (ngx_current_msec - a->lead_at)
             / NGX_PCAP_API_DRIFT;
}


/* A record: what was reported before it is no last report. */
static ngx_inline void
ngx_pcap_api_agent_isbs_over(ngx_pcap_api_agent_t *a)
{
    if (a->isb_seen) {
        a->isb_seen = 0;
        a->isb_round++;
    }
}


/*
 * NGX_OK for a record, which stays; NGX_DONE for anything else, done with.
 * Of a record whose agent runs there is little to ask.
 */
static ngx_inline ngx_int_t
ngx_pcap_api_agent_block(ngx_pcap_api_agent_t *a, pcapx_block_t *b)
{
    if (b->type == PCAPX_BT_EPB && a->state != NGX_PCAP_API_AGENT_OPENING
        && (a->max_ts == 0 || b->ts_ns <= a->max_ts))
    {
        ngx_pcap_api_agent_isbs_over(a);
        return NGX_OK;
    }

    return ngx_pcap_api_agent_other(a, b);
}


static ngx_int_t
ngx_pcap_api_agent_other(ngx_pcap_api_agent_t *a, pcapx_block_t *b)
{
    if (b->type == PCAPX_BT_EPB || b->type == PCAPX_BT_ISB) {

        if (a->state == NGX_PCAP_API_AGENT_OPENING
            && ngx_pcap_api_agent_ready(a, b) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (a->max_ts && b->ts_ns > a->max_ts) {
            ngx_pcap_api_agent_garbage(a, "a time in the far future");
            return NGX_ERROR;
        }
    }

    switch (b->type) {

    case PCAPX_BT_EPB:
        ngx_pcap_api_agent_isbs_over(a);
        return NGX_OK;

    case PCAPX_BT_ISB:
        if (ngx_pcap_api_agent_isb(a, b) != NGX_OK) {
            return NGX_ERROR;
        }

        break;

    case PCAPX_BT_IDB:
        if (ngx_pcap_api_agent_idb(a, b) != NGX_OK) {
            return NGX_ERROR;
        }

        break;
    }

    return NGX_DONE;
}


/*
 * Sixteen upstream buffers are more than a core's own cache: by the time the
 * record is taken its bytes shall be there.
 */
static void
ngx_pcap_api_agent_prefetch(ngx_pcap_api_agent_t *a)
{
    u_char  *p, *end;

    if (a->head_carry) {
        return;
    }

    p = a->pos;
    end = p + ngx_min((size_t) (a->in->buf->last - p),
                      ngx_min(a->head.len, NGX_PCAP_API_PREFETCH)
                      + NGX_PCAP_API_CACHE_LINE);

    for (p += NGX_PCAP_API_CACHE_LINE;
         p < end;
         p += NGX_PCAP_API_CACHE_LINE)
    {
        __builtin_prefetch(p);
    }
}


/* Scans to the next record. NGX_OK with head set, else NGX_AGAIN. */
static ngx_inline ngx_int_t
ngx_pcap_api_agent_to_head(ngx_pcap_api_agent_t *a)
{
    ngx_int_t  rc;

    do {
        if (ngx_pcap_api_agent_scan(a, &a->head) != NGX_OK) {
            return NGX_AGAIN;
        }

        rc = ngx_pcap_api_agent_block(a, &a->head);

        if (rc == NGX_ERROR) {
            return NGX_AGAIN;
        }

        a->heard = ngx_current_msec;

        if (rc == NGX_DONE) {
            ngx_pcap_api_agent_skip(a, a->head.len);
        }

    } while (rc == NGX_DONE);

    a->has_head = 1;
    ngx_pcap_api_agent_prefetch(a);

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_agent_next(ngx_pcap_api_agent_t *a)
{
    ngx_pcap_api_agent_advance(a, a->head.ts_ns);  /* they are in order */
    a->has_head = 0;
    ngx_pcap_api_agent_skip(a, a->head.len);

    return ngx_pcap_api_agent_to_head(a);
}


/*
 * nginx rewinds the upstream's buffer only when all of it is consumed, so it
 * is given back as a whole: when everything is scanned and sent.
 */
static void
ngx_pcap_api_agent_release(ngx_pcap_api_agent_t *a)
{
    ngx_chain_t  *ln;

    if (a->in != NULL || a->outstanding || a->scanned == NULL) {
        return;
    }

    while (a->scanned != NULL) {
        ln = a->scanned;
        a->scanned = ln->next;
        ln->buf->pos = ln->buf->last;
        ngx_free_chain(a->ctx->request->pool, ln);
    }

    a->last_scanned = &a->scanned;
    a->nlinks = 0;

    if (ngx_current_msec - a->filled >= NGX_PCAP_API_TICK) {
        a->resumed = ngx_current_msec;     /* we had let it wait */
    }

    ngx_pcap_api_agent_post(a);
}


void
ngx_pcap_api_agent_settle(ngx_pcap_api_agent_t *a)
{
    (void) ngx_pcap_api_agent_window(a);
    ngx_pcap_api_agent_release(a);

    if (a->state >= NGX_PCAP_API_AGENT_CLOSED) {
        return;
    }

    if (a->has_head) {
        pcapx_merge_head(&a->ctx->merge, a->index, a->head.ts_ns);
        return;
    }

    if ((a->sr == NULL || a->unfit || a->unverified) && a->in == NULL
        && !a->carry_busy)
    {
        ngx_pcap_api_agent_end(a);
        return;
    }

    if (a->ctx->discarding) {
        return;
    }

    if (a->released) {
        pcapx_merge_release(&a->ctx->merge, a->index);

    } else {
        pcapx_merge_wait(&a->ctx->merge, a->index, a->watermark);
    }
}


/* It ended well: does its last report count what it sent? */
static void
ngx_pcap_api_agent_audit(ngx_pcap_api_agent_t *a)
{
    if (a->ctx->discarding) {
        ngx_pcap_api_discard_tell(a);
    }

    if (ngx_pcap_api_ledger_fits(a)) {
        return;
    }

    a->uncounted = 1;
    ngx_log_error(NGX_LOG_WARN, a->ctx->request->connection->log, 0,
                  "pcap agent %V at %V: its last report does not fit what it "
                  "sent", &a->target->instance, &a->target->addr);
}


/* The connection has ended and all that came is scanned: how did it end? */
static void
ngx_pcap_api_agent_end(ngx_pcap_api_agent_t *a)
{
    if (a->status != NGX_HTTP_OK) {
        ngx_pcap_api_agent_refused(a);
        return;
    }

    if (a->state == NGX_PCAP_API_AGENT_OPENING) {
        ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_START_CAPTURE_FAILED,
                                "it ended before it said what it captures");
        return;
    }

    if (!a->clean || a->carry_len
        || a->isb_seen != a->nifaces)
    {
        ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_INSTANCE_UNAVAILABLE,
                                "the connection was cut, what it lost since "
                                "its last report is unknown");
        return;
    }

    a->state = NGX_PCAP_API_AGENT_CLOSED;
    a->ctx->nalive--;
    pcapx_merge_end(&a->ctx->merge, a->index);
    ngx_pcap_api_agent_audit(a);

    a->left = !a->ctx->stopping && !a->ctx->limit_hit;

    if (a->left && a->scan.end == PCAPX_END_FILES) {
        a->ctx->failed_some = 1;
    }

    if (a->ctx->header_sent) {
        ngx_pcap_api_agent_tell(a);
    }

    ngx_pcap_api_post(a->ctx);
}


void
ngx_pcap_api_agent_tell(ngx_pcap_api_agent_t *a)
{
    if (a->uncounted) {
        ngx_pcap_api_message(a->ctx, a, NGX_PCAP_API_MSG_UNKNOWN,
                             "its last report does not fit what it sent");
    }

    if (a->left) {
        ngx_pcap_api_agent_said(a);
    }
}


/* What the agent's last ISBs say of its end (docs/PROTOCOL.md). */
static void
ngx_pcap_api_agent_said(ngx_pcap_api_agent_t *a)
{
    const char  *limit;

    limit = pcapx_end_text(a->scan.end);

    switch (a->scan.end) {

    case PCAPX_END_UNSAID:
        ngx_pcap_api_message(a->ctx, a, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
                             "the agent has ended the capture");
        break;

    case PCAPX_END_CONTAINER:
        ngx_pcap_api_message(a->ctx, a, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
                             "the container is gone");
        break;

    case PCAPX_END_OFF:
        ngx_pcap_api_message(a->ctx, a, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
                             "captures were switched off at the agent");
        break;

    case PCAPX_END_FILES:
        ngx_pcap_api_message(a->ctx, a, NGX_PCAP_API_MSG_UNKNOWN,
                             "not all files could be read, the agent's log "
                             "names them");
        break;

    default:
        ngx_pcap_api_message(a->ctx, a, NGX_PCAP_API_MSG_LIMIT_REACHED,
                             "the agent has ended the capture (%s)", limit);
    }
}


void
ngx_pcap_api_agent_discard(ngx_pcap_api_agent_t *a)
{
    ngx_int_t      rc;
    pcapx_block_t  b;

    if (a->has_head) {
        a->has_head = 0;
        a->ifaces[a->head.iface].discarded++;
        ngx_pcap_api_agent_advance(a, a->head.ts_ns);
        ngx_pcap_api_agent_skip(a, a->head.len);
    }

    while (ngx_pcap_api_agent_scan(a, &b) == NGX_OK) {
        rc = ngx_pcap_api_agent_block(a, &b);

        if (rc == NGX_ERROR) {
            return;
        }

        a->heard = ngx_current_msec;

        if (rc == NGX_OK) {
            a->ifaces[b.iface].discarded++;
            ngx_pcap_api_agent_advance(a, b.ts_ns);
        }

        ngx_pcap_api_agent_skip(a, b.len);
    }
}


static void
ngx_pcap_api_agent_feed(ngx_pcap_api_agent_t *a, uint64_t now)
{
    uint64_t  skew;

    if (a->state != NGX_PCAP_API_AGENT_OPENING
        && a->state != NGX_PCAP_API_AGENT_READY)
    {
        return;
    }

    skew = (uint64_t) a->ctx->max_clock_skew * 1000000;

    if (skew && a->state == NGX_PCAP_API_AGENT_READY) {
        a->max_ts = now + (uint64_t) a->offset_ns + skew;
    }

    if (a->nlinks > NGX_PCAP_API_MAX_LINKS) {
        ngx_pcap_api_agent_garbage(a, "too many small chunks");
        return;
    }

    if (a->ctx->discarding) {
        ngx_pcap_api_agent_discard(a);

    } else if (!a->has_head && a->status == NGX_HTTP_OK) {
        (void) ngx_pcap_api_agent_to_head(a);
    }

    ngx_pcap_api_agent_settle(a);
}


void
ngx_pcap_api_feed_dirty(ngx_pcap_api_ctx_t *ctx)
{
    uint64_t               now;
    ngx_queue_t           *q;
    ngx_pcap_api_agent_t  *a;

    if (ngx_queue_empty(&ctx->dirty)) {
        return;
    }

    now = ngx_pcap_api_now_ns(ctx);

    while (!ngx_queue_empty(&ctx->dirty)) {
        q = ngx_queue_head(&ctx->dirty);
        ngx_queue_remove(q);

        a = ngx_queue_data(q, ngx_pcap_api_agent_t, queue);
        a->queued = 0;

        ngx_pcap_api_agent_feed(a, now);
    }
}
