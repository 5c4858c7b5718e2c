/*
 * module/stream.c: the merged stream. It takes the oldest record that no
 * agent can still undercut, hands it to the output, and watches everything
 * that has a deadline: silent agents, a stalled client, limits, the stop.
 *
 * It never looks at a packet's bytes and never waits: every call does what
 * can be done now.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_ISB_SHORT    1000     /* ms between statistics */
#define NGX_PCAP_API_ISB_LONG     10000
#define NGX_PCAP_API_ISB_FEW      64       /* interfaces, for the short one */
#define NGX_PCAP_API_CONGESTED_MS 1000


static ngx_int_t ngx_pcap_api_start_stream(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
static ngx_int_t ngx_pcap_api_batch(ngx_pcap_api_ctx_t *ctx);
static ngx_int_t ngx_pcap_api_watch(ngx_pcap_api_ctx_t *ctx);
static ngx_int_t ngx_pcap_api_finish(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);


/* A stall counts from here, not from the last byte of a quiet capture. */
static void
ngx_pcap_api_set_blocked(ngx_pcap_api_ctx_t *ctx, ngx_int_t sent)
{
    if (sent == NGX_AGAIN && !ctx->blocked) {
        ctx->took = ngx_current_msec;
    }

    ctx->blocked = (sent == NGX_AGAIN);
}


ngx_int_t
ngx_pcap_api_stream_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc, sent;

    if (!ctx->header_sent) {
        rc = ngx_pcap_api_start_stream(r, ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_pcap_api_reap(ctx);

    for ( ;; ) {
        ngx_pcap_api_feed_dirty(ctx);

        if (ngx_pcap_api_watch(ctx) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ctx->nalive == 0 || ctx->limit_hit) {
            return ngx_pcap_api_finish(r, ctx);
        }

        rc = NGX_OK;

        if (!ctx->blocked) {
            rc = ngx_pcap_api_write_messages(ctx);

            if (rc == NGX_OK) {
                rc = ngx_pcap_api_batch(ctx);
            }

            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }
        }

        sent = ngx_pcap_api_send(ctx);

        if (sent == NGX_ERROR) {
            return NGX_ERROR;
        }

        ngx_pcap_api_set_blocked(ctx, sent);

        if (ctx->limit_hit || ctx->nalive == 0) {
            continue;
        }

        if (ctx->blocked
            || ngx_pcap_api_turn(ctx) != NGX_OK
            || (rc == NGX_DECLINED && ngx_queue_empty(&ctx->dirty)
                && ctx->nmessages == 0))
        {
            return NGX_AGAIN;
        }
    }
}


static ngx_int_t
ngx_pcap_api_trailer(ngx_http_request_t *r, const char *name, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.trailers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value = *value;
    ngx_pcap_api_header_end(h);

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_set_headers(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    u_char     *p;
    ngx_tm_t    tm;
    ngx_str_t   value;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = -1;

    if (ctx->opts.pcapng) {
        ngx_str_set(&r->headers_out.content_type, "application/x-pcapng");

    } else {
        ngx_str_set(&r->headers_out.content_type,
                    "application/vnd.tcpdump.pcap");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;

    p = ngx_pnalloc(r->pool, ctx->group.len + 80);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_gmtime(ngx_time(), &tm);

    value.data = p;
    value.len = ngx_sprintf(p, "attachment; filename=\"%V-%4d%02d%02dT%02d"
                            "%02d%02dZ.%s\"",
                            &ctx->group, tm.ngx_tm_year, tm.ngx_tm_mon,
                            tm.ngx_tm_mday, tm.ngx_tm_hour, tm.ngx_tm_min,
                            tm.ngx_tm_sec,
                            ctx->opts.pcapng ? "pcapng" : "pcap")
                - p;

    if (ngx_pcap_api_add_header(r, "Content-Disposition", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    value.data = ctx->id;
    value.len = NGX_PCAP_API_ID_LEN;

    if (ngx_pcap_api_add_header(r, "X-Pcap-Capture-Id", &value) != NGX_OK
        || ngx_pcap_api_add_header(r, "X-Vcap-Request-Id", &ctx->request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "X-Pcap-Status, X-Pcap-Packets, X-Pcap-Dropped");

    if (ngx_pcap_api_add_header(r, "Trailer", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "no-store");

    if (ngx_pcap_api_add_header(r, "Cache-Control", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    /* an nginx in front must not gather a live stream */

    ngx_str_set(&value, "no");

    if (ngx_pcap_api_add_header(r, "X-Accel-Buffering", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    r->expect_trailers = 1;

    return NGX_OK;
}


static void
ngx_pcap_api_tell_skew(ngx_pcap_api_ctx_t *ctx)
{
    int64_t                off;
    ngx_uint_t             i;
    ngx_pcap_api_agent_t  *a;

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (a->state == NGX_PCAP_API_AGENT_FAILED) {
            continue;
        }

        a->in_file = 1;
        off = a->offset_ns / 1000000;

        if (off > NGX_PCAP_API_SKEW_TOLD || off < -NGX_PCAP_API_SKEW_TOLD) {
            ngx_pcap_api_message(ctx, a, NGX_PCAP_API_MSG_CLOCK_SKEW,
                                 "its clock is %L ms off", off);
        }
    }
}


static ngx_int_t
ngx_pcap_api_start_stream(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);

    if (ngx_pcap_api_row_add(pmcf->zone, ctx) != NGX_OK) {
        ctx->retry_after = 10;
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "no room for another capture: "
                                   "\"pcap_api_zone\" is full");
    }

    if (ngx_pcap_api_output_init(ctx) != NGX_OK
        || ngx_pcap_api_set_headers(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* an agent's event would delete the timer that limit_rate waits for */

    r->limit_rate = 0;
    r->limit_rate_set = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_pcap_api_write_start(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->header_sent = 1;
    ctx->took = ngx_current_msec;
    ctx->isb_at = ngx_current_msec;
    ctx->unblocked = ngx_current_msec;

    if (ctx->opts.duration_ms) {
        ctx->duration_end = ngx_current_msec
                            + (ngx_msec_t) ctx->opts.duration_ms;
    }

    ngx_pcap_api_tell_skew(ctx);

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "pcap capture %*s of %V started by \"%V\", targets:%ui",
                  (size_t) NGX_PCAP_API_ID_LEN, ctx->id, &ctx->group,
                  &ctx->identity.name, ctx->nagents);

    return NGX_OK;
}


/* Where the head record stands: ours to write to. */
static u_char *
ngx_pcap_api_head(ngx_pcap_api_agent_t *a)
{
    return a->head_carry ? a->carry : a->pos;
}


static uint32_t
ngx_pcap_api_get32(u_char *p)
{
    uint32_t  n;

    ngx_memcpy(&n, p, sizeof(uint32_t));

    return n;
}


/*
 * The EPB at p again, with the comments that are waiting; it is rare, so the
 * packet is copied. NGX_AGAIN when there is no room now.
 */
static ngx_int_t
ngx_pcap_api_annotated(ngx_pcap_api_ctx_t *ctx, u_char *p)
{
    int           rc;
    size_t        len;
    u_char       *dst;
    uint64_t      ts;
    uint32_t      caplen, origlen;
    ngx_uint_t    i;
    pcapx_opt_t   opts[NGX_PCAP_API_COMMENTS];
    pcapx_out_t   o;

    ts = (uint64_t) ngx_pcap_api_get32(p + 12) << 32
         | ngx_pcap_api_get32(p + 16);
    caplen = ngx_pcap_api_get32(p + 20);
    origlen = ngx_pcap_api_get32(p + 24);

    for (i = 0; i < ctx->ncomments; i++) {
        opts[i].code = PCAPX_OPT_COMMENT;
        opts[i].len = (uint16_t) ctx->comments[i].len;
        opts[i].value = ctx->comments[i].data;
    }

    len = pcapx_epb_len(caplen, pcapx_opts_len(opts, ctx->ncomments));

    if (len <= NGX_PCAP_API_STAGE_SIZE) {
        dst = ngx_pcap_api_reserve(ctx, len);
        if (dst == NULL) {
            return NGX_AGAIN;
        }

    } else {
        dst = ngx_alloc(len, ctx->request->connection->log);
        if (dst == NULL) {
            return NGX_ERROR;
        }
    }

    o.pos = dst;
    o.end = dst + len;

    rc = pcapx_put_epb(&o, ngx_pcap_api_get32(p + 8), ts,
                       p + PCAPX_EPB_HEAD_LEN, caplen, origlen, opts,
                       ctx->ncomments);

    ctx->ncomments = 0;

    if (rc != PCAPX_OK) {                  /* the length was computed above */
        return NGX_ERROR;
    }

    return (len <= NGX_PCAP_API_STAGE_SIZE)
           ? ngx_pcap_api_commit(ctx, dst, len)
           : ngx_pcap_api_give(ctx, dst, len);
}


static ngx_int_t
ngx_pcap_api_copied(ngx_pcap_api_ctx_t *ctx, u_char *p, size_t len)
{
    u_char  *dst;

    dst = ngx_pcap_api_reserve(ctx, len);
    if (dst == NULL) {
        return NGX_AGAIN;
    }

    ngx_memcpy(dst, p, len);

    return ngx_pcap_api_commit(ctx, dst, len);
}


/* The record that was held back goes out. */
static ngx_int_t
ngx_pcap_api_unhold(ngx_pcap_api_ctx_t *ctx)
{
    u_char     *p;
    size_t      len;
    ngx_int_t   rc;

    if (ctx->held_len == 0) {
        return NGX_OK;
    }

    if (ctx->ncomments) {
        rc = ngx_pcap_api_annotated(ctx, ctx->held);

    } else if (ctx->held_len <= NGX_PCAP_API_STAGE_SIZE) {
        rc = ngx_pcap_api_copied(ctx, ctx->held, ctx->held_len);

    } else {
        p = ctx->held;
        len = ctx->held_len;
        ctx->held = NULL;
        ctx->held_size = 0;
        rc = ngx_pcap_api_give(ctx, p, len);
    }

    if (rc == NGX_OK) {
        ctx->held_len = 0;
    }

    return rc;
}


/*
 * While the end is near, one record is always held back: the last one takes
 * the verdict along.
 */
static ngx_int_t
ngx_pcap_api_hold(ngx_pcap_api_ctx_t *ctx, u_char *p, size_t len)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_unhold(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (len > ctx->held_size) {
        if (ctx->held != NULL) {
            ngx_free(ctx->held);
        }

        ctx->held_size = ngx_max(len, 4096);
        ctx->held = ngx_alloc(ctx->held_size, ctx->request->connection->log);

        if (ctx->held == NULL) {
            ctx->held_size = 0;
            return NGX_ERROR;
        }
    }

    ngx_memcpy(ctx->held, p, len);
    ctx->held_len = len;

    return NGX_OK;
}


/* Puts the head record of a into the chain, in the client's format. */
static ngx_int_t
ngx_pcap_api_put_record(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a)
{
    u_char         *p;
    size_t          len;
    pcapx_block_t  *b;

    b = &a->head;
    p = ngx_pcap_api_head(a);
    len = b->len;

    if (ctx->opts.pcapng) {
        ngx_memcpy(p + 8, &a->ifaces[b->iface].out, sizeof(uint32_t));

        if (ctx->hold) {
            return ngx_pcap_api_hold(ctx, p, len);
        }

        if (ctx->ncomments) {
            return ngx_pcap_api_annotated(ctx, p);
        }

    } else {
        /* the record's header fits into what was the block's */

        p += PCAPX_EPB_HEAD_LEN - PCAPX_PCAP_RECORD_LEN;
        len = PCAPX_PCAP_RECORD_LEN + b->caplen;
        pcapx_pcap_record(p, b->ts_ns, b->caplen, b->origlen);
    }

    return (len <= NGX_PCAP_API_COPY_MAX) ? ngx_pcap_api_copied(ctx, p, len)
                                          : ngx_pcap_api_span(ctx, a, p, len);
}


/* NGX_OK, NGX_AGAIN (no room), NGX_DONE (it would exceed a limit). */
static ngx_int_t
ngx_pcap_api_emit(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a,
    ngx_uint_t first)
{
    int                   late;
    ngx_int_t             rc;
    pcapx_block_t        *b;
    ngx_pcap_api_opts_t  *opts;

    b = &a->head;
    opts = &ctx->opts;

    if (opts->max_bytes && ctx->bytes + b->caplen > opts->max_bytes) {
        ngx_pcap_api_limit(ctx, "max_bytes");
        return NGX_DONE;
    }

    /* it is the last one, or the last one that certainly fits */

    if ((opts->max_packets && ctx->packets + 1 == opts->max_packets)
        || (opts->max_bytes
            && ctx->bytes + b->caplen + opts->snaplen > opts->max_bytes))
    {
        ctx->hold = opts->pcapng;
    }

    rc = ngx_pcap_api_put_record(ctx, a);
    if (rc != NGX_OK) {
        return rc;
    }

    late = first ? pcapx_merge_take(&ctx->merge, (uint32_t) a->index)
                 : pcapx_merge_take_next(&ctx->merge, b->ts_ns);

    if (late) {
        a->late++;
        a->congested = 1;
        ctx->late++;
    }

    a->ifaces[b->iface].packets++;
    a->packets++;
    a->bytes += b->caplen;
    ctx->packets++;
    ctx->bytes += b->caplen;

    if (ctx->packets == opts->max_packets) {
        ngx_pcap_api_limit(ctx, "max_packets");

    } else if (ctx->bytes == opts->max_bytes) {
        ngx_pcap_api_limit(ctx, "max_bytes");
    }

    return NGX_OK;
}


/* Records of one agent that follow directly, up to the size of a batch. */
static ngx_int_t
ngx_pcap_api_run(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a)
{
    ngx_int_t   rc;
    ngx_uint_t  first;

    first = 1;

    do {
        rc = ngx_pcap_api_emit(ctx, a, first);
        if (rc != NGX_OK) {
            return rc;
        }

        if (ctx->limit_hit) {
            return NGX_OK;                 /* what follows is nobody's */
        }

        first = 0;
        rc = ngx_pcap_api_agent_next(a);

    } while (rc == NGX_OK
             && ctx->out_bytes < NGX_PCAP_API_BATCH_BYTES
             && ctx->out_links < NGX_PCAP_API_BATCH_LINKS
             && pcapx_merge_follows(&ctx->merge, (uint32_t) a->index,
                                    a->head.ts_ns));

    return NGX_OK;
}


/*
 * Builds one batch. NGX_OK: there may be more; NGX_AGAIN: no room until the
 * client takes some; NGX_DECLINED: nothing may go out now; NGX_ERROR.
 */
static ngx_int_t
ngx_pcap_api_batch(ngx_pcap_api_ctx_t *ctx)
{
    uint32_t               i;
    ngx_int_t              rc;
    ngx_pcap_api_agent_t  *a;

    while (ctx->out_bytes < NGX_PCAP_API_BATCH_BYTES
           && ctx->out_links < NGX_PCAP_API_BATCH_LINKS)
    {
        if (pcapx_merge_top(&ctx->merge, &i) != PCAPX_OK) {
            return NGX_DECLINED;
        }

        a = &ctx->agents[i];

        rc = ngx_pcap_api_run(ctx, a);
        ngx_pcap_api_agent_settle(a);

        if (rc != NGX_OK || ctx->limit_hit) {
            return rc;
        }
    }

    return NGX_OK;
}


void
ngx_pcap_api_stop(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_status_e status,
    ngx_pcap_api_msg_e type, const char *why)
{
    ngx_uint_t  i;

    if (ctx->stopping || ctx->limit_hit) {
        return;
    }

    ctx->stopping = 1;
    ctx->status = status;
    ctx->hold = ctx->opts.pcapng;
    ctx->stop_deadline = ngx_current_msec + ctx->conf->stop_timeout;

    ngx_pcap_api_message(ctx, NULL, type, "%s", why);

    for (i = 0; i < ctx->nagents; i++) {
        if (ctx->agents[i].state == NGX_PCAP_API_AGENT_READY) {
            ngx_pcap_api_agent_half_close(&ctx->agents[i]);
        }
    }
}


/* A limit to the record: what comes behind it is nobody's. */
void
ngx_pcap_api_limit(ngx_pcap_api_ctx_t *ctx, const char *name)
{
    ctx->limit_hit = 1;
    ctx->status = NGX_PCAP_API_LIMIT;
    ngx_pcap_api_message(ctx, NULL, NGX_PCAP_API_MSG_LIMIT_REACHED,
                         "%s is reached", name);
}


/* The time to drain is over: what is still out there counts as dropped. */
static void
ngx_pcap_api_cut_rest(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t             i;
    ngx_pcap_api_agent_t  *a;

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (a->state != NGX_PCAP_API_AGENT_READY) {
            continue;
        }

        ngx_pcap_api_agent_abort(a);
        ngx_pcap_api_agent_discard(a);

        if (a->state != NGX_PCAP_API_AGENT_READY) {
            continue;                      /* it was garbage after all */
        }

        a->cut = 1;
        a->state = NGX_PCAP_API_AGENT_CLOSED;
        ctx->nalive--;
        pcapx_merge_end(&ctx->merge, a->index);

        ngx_pcap_api_message(ctx, a, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
                             "not drained within %M ms, the rest is dropped",
                             ctx->conf->stop_timeout);
    }
}


/* Is it we who wait for the agent, and not the agent for us? */
static ngx_uint_t
ngx_pcap_api_agent_silent(ngx_pcap_api_agent_t *a)
{
    ngx_connection_t  *c;

    if (a->state != NGX_PCAP_API_AGENT_READY || a->sr == NULL || a->has_head
        || a->in != NULL || a->outstanding || a->carry_busy)
    {
        return 0;
    }

    if (a->sr->upstream == NULL) {
        return 0;
    }

    c = a->sr->upstream->peer.connection;

    return c != NULL && !c->read->ready;
}


static void
ngx_pcap_api_watch_agent(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a)
{
    ngx_msec_int_t  idle, lag, waited, window;

    if (a->congested
        && ngx_current_msec - a->told >= NGX_PCAP_API_CONGESTED_MS)
    {
        ngx_pcap_api_message(ctx, a, NGX_PCAP_API_MSG_CONGESTED,
                             "%uL packets dropped by the kernel, %uL in all; "
                             "%uL records late, %uL in all",
                             a->osdrop - a->osdrop_told, a->osdrop,
                             a->late - a->late_told, a->late);
        a->congested = 0;
        a->osdrop_told = a->osdrop;
        a->late_told = a->late;
        a->told = ngx_current_msec;
    }

    if (ctx->blocked || !ngx_pcap_api_agent_silent(a)) {
        return;
    }

    /* time that it could not use counts for nothing */

    waited = ngx_min((ngx_msec_int_t) (ngx_current_msec - ctx->unblocked),
                     (ngx_msec_int_t) (ngx_current_msec - a->resumed));
    idle = ngx_min((ngx_msec_int_t) (ngx_current_msec - a->heard), waited);
    lag = ngx_min(ngx_pcap_api_agent_lag(a), waited);

    if (idle >= (ngx_msec_int_t) ctx->conf->heartbeat_timeout) {
        ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_INSTANCE_UNAVAILABLE,
                                "no sign of life for %M ms",
                                ctx->conf->heartbeat_timeout);
        return;
    }

    /*
     * Silent, or talking without getting on: either way the others wait for
     * it no longer, until it has caught up.
     */

    window = (ngx_msec_int_t) ctx->conf->reorder_window;

    if ((idle >= window || lag >= window) != a->released) {
        a->released = !a->released;
        ngx_pcap_api_agent_settle(a);
    }
}


/* Everything with a deadline, at most once a tick. */
static ngx_int_t
ngx_pcap_api_watch(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i;
    ngx_msec_t  every;

    if (ctx->blocked) {
        ctx->unblocked = ngx_current_msec;

        if (ngx_current_msec - ctx->took > ctx->conf->client_stall) {
            ngx_log_error(NGX_LOG_INFO, ctx->request->connection->log, 0,
                          "pcap client took nothing for %M ms",
                          ctx->conf->client_stall);
            return NGX_ERROR;
        }
    }

    if (ctx->duration_end
        && (ngx_msec_int_t) (ngx_current_msec - ctx->duration_end) >= 0)
    {
        ctx->duration_end = 0;
        ngx_pcap_api_stop(ctx, NGX_PCAP_API_LIMIT,
                          NGX_PCAP_API_MSG_LIMIT_REACHED,
                          "duration is reached");
    }

    if (ctx->stopping
        && (ngx_msec_int_t) (ngx_current_msec - ctx->stop_deadline) >= 0)
    {
        ngx_pcap_api_cut_rest(ctx);
    }

    if (ngx_current_msec - ctx->watched < NGX_PCAP_API_TICK / 2) {
        return NGX_OK;
    }

    ctx->watched = ngx_current_msec;

    if (ctx->row->stop) {
        ngx_pcap_api_stop(ctx, NGX_PCAP_API_STOPPED,
                          NGX_PCAP_API_MSG_CAPTURE_STOPPED,
                          "stopped by request");
    }

    for (i = 0; i < ctx->nagents; i++) {
        ngx_pcap_api_watch_agent(ctx, &ctx->agents[i]);
    }

    every = ctx->nifaces > NGX_PCAP_API_ISB_FEW ? NGX_PCAP_API_ISB_LONG
                                                : NGX_PCAP_API_ISB_SHORT;

    if (ctx->opts.pcapng && !ctx->blocked
        && ngx_current_msec - ctx->isb_at >= every)
    {
        if (ngx_pcap_api_write_stats(ctx) == NGX_OK) {
            ctx->isb_at = ngx_current_msec;
            ctx->stats_agent = 0;
        }
    }

    return NGX_OK;
}


static void
ngx_pcap_api_decide(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i;

    ctx->ended = 1;
    ctx->stats_agent = 0;
    ctx->stats_iface = 0;

    for (i = 0; i < ctx->nagents; i++) {
        if (ctx->agents[i].state != NGX_PCAP_API_AGENT_FAILED) {
            break;
        }
    }

    if (i == ctx->nagents && !ctx->limit_hit) {
        ctx->status = NGX_PCAP_API_ERROR;

    } else if (ctx->failed_some) {
        ctx->status = NGX_PCAP_API_PARTIAL;
    }
}


/* Last record, last statistics, verdict: as far as there is room. */
static ngx_int_t
ngx_pcap_api_write_last(ngx_pcap_api_ctx_t *ctx)
{
    u_char     text[256];
    ngx_int_t  rc;

    if (!ctx->opts.pcapng) {
        return NGX_OK;
    }

    rc = ngx_pcap_api_write_messages(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->held_len && !ctx->judged) {
        ctx->judged = 1;

        if (ctx->ncomments == NGX_PCAP_API_COMMENTS) {
            ctx->ncomments--;              /* the verdict matters more */
        }

        ngx_pcap_api_attach(ctx, text,
                            ngx_pcap_api_verdict(ctx, text, sizeof(text)));
    }

    rc = ngx_pcap_api_unhold(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_pcap_api_write_end(ctx);
}


static ngx_int_t
ngx_pcap_api_set_trailers(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    u_char     *p;
    ngx_str_t   status, packets, dropped;

    p = ngx_pnalloc(r->pool, 2 * NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    status.data = (u_char *) ngx_pcap_api_status_names[ctx->status];
    status.len = ngx_strlen(status.data);

    packets.data = p;
    packets.len = ngx_sprintf(p, "%uL", ctx->packets) - p;

    p += NGX_INT64_LEN;
    dropped.data = p;
    dropped.len = ngx_sprintf(p, "%uL", ngx_pcap_api_dropped(ctx)) - p;

    if (ngx_pcap_api_trailer(r, "X-Pcap-Status", &status) != NGX_OK
        || ngx_pcap_api_trailer(r, "X-Pcap-Packets", &packets) != NGX_OK
        || ngx_pcap_api_trailer(r, "X-Pcap-Dropped", &dropped) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_finish(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc, sent;

    if (!ctx->ended) {
        ngx_pcap_api_decide(ctx);
    }

    for ( ;; ) {
        rc = ctx->finished ? NGX_OK : ngx_pcap_api_write_last(ctx);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            ctx->finished = 1;
        }

        sent = ngx_pcap_api_send(ctx);

        if (sent == NGX_ERROR) {
            return NGX_ERROR;
        }

        ngx_pcap_api_set_blocked(ctx, sent);

        if (ctx->finished || ctx->blocked) {
            break;
        }
    }

    if (!ctx->finished
        || (ctx->status == NGX_PCAP_API_ERROR && ctx->blocked))
    {
        return NGX_AGAIN;
    }

    if (ctx->status == NGX_PCAP_API_ERROR) {
        /* everything is at the client: now the missing end tells the rest */
        ngx_pcap_api_finalize(ctx, NGX_ERROR);
        return NGX_DONE;
    }

    if (ngx_pcap_api_set_trailers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_send_special(r, NGX_HTTP_LAST);
    ngx_pcap_api_finalize(ctx, rc);

    return NGX_DONE;
}
