/*
 * module/stream.c: the merged stream, from the response header to the last
 * chunk. It takes the oldest record that no agent can still undercut, lets it
 * out, and brings the capture to its end.
 *
 * It never looks at a packet's bytes and never waits: every call does what
 * can be done now.
 */

#include "ngx_pcap_api_module.h"
#include "module/policy.h"


static ngx_int_t ngx_pcap_api_start_stream(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
static ngx_int_t ngx_pcap_api_batch(ngx_pcap_api_ctx_t *ctx);
static ngx_int_t ngx_pcap_api_finish(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);


ngx_int_t
ngx_pcap_api_push(ngx_pcap_api_ctx_t *ctx, ngx_uint_t flush)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_send(ctx, flush);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_AGAIN && !ctx->blocked) {
        ctx->took = ngx_current_msec;
    }

    ctx->blocked = (rc == NGX_AGAIN);

    if (ctx->blocked
        && ngx_current_msec - ctx->took > ctx->conf->client_stall)
    {
        ngx_log_error(NGX_LOG_INFO, ctx->request->connection->log, 0,
                      "pcap client took nothing for %M ms",
                      ctx->conf->client_stall);
        ctx->end = NGX_PCAP_API_END_STALL;
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_stream_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_uint_t  idle;

    if (!ctx->header_sent) {
        rc = ngx_pcap_api_start_stream(r, ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_pcap_api_reap(ctx);

    if (ngx_pcap_api_drain(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    for ( ;; ) {
        ngx_pcap_api_feed_dirty(ctx);

        ngx_pcap_api_watch(ctx);

        if (ctx->nalive == 0) {
            return ngx_pcap_api_finish(r, ctx);
        }

        rc = ctx->discarding ? NGX_DECLINED : NGX_OK;
        ngx_pcap_api_pace(ctx);

        if (!ctx->blocked && !ctx->discarding) {
            rc = ngx_pcap_api_write_messages(ctx);

            if (rc == NGX_OK) {
                rc = ngx_pcap_api_batch(ctx);
            }

            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }
        }

        /* agents that are about to be read may fill the TLS record */

        idle = (rc == NGX_DECLINED && ngx_queue_empty(&ctx->dirty)
                && (ctx->nmessages == 0 || ctx->discarding));

        if (ngx_pcap_api_push(ctx, idle && ctx->nposted == 0) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ctx->limit_hit) {
            ngx_pcap_api_discard_begin(ctx);
        }

        if (ctx->nalive == 0) {
            continue;
        }

        if (ctx->blocked || ngx_pcap_api_turn(ctx) != NGX_OK) {
            return NGX_AGAIN;
        }

        if (idle && ngx_queue_empty(&ctx->dirty)) {
            ctx->again = (ctx->nposted != 0 && r->connection->buffered);
            return NGX_AGAIN;
        }
    }
}


/* What is known of the agents, some of which may have ended already. */
static void
ngx_pcap_api_tell_agents(ngx_pcap_api_ctx_t *ctx)
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

        if (a->state == NGX_PCAP_API_AGENT_CLOSED) {
            ngx_pcap_api_agent_tell(a);
        }
    }
}


static ngx_int_t
ngx_pcap_api_start_stream(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_audit_start(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_pcap_api_send_header(r, ctx) != NGX_OK
        || ngx_pcap_api_write_start(ctx) != NGX_OK)
    {
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

    ngx_pcap_api_tell_agents(ctx);
    ngx_pcap_api_policy_tell(ctx);
    ngx_pcap_api_row_run(ctx);
    ngx_pcap_api_pace_join(ctx);
    ngx_pcap_api_rights_begin(ctx);

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "pcap capture %*s of %V started by \"%V\", targets:%ui%s%V",
                  (size_t) NGX_PCAP_API_ID_LEN, ctx->id, &ctx->group,
                  &ctx->identity.name, ctx->nagents,
                  ctx->opts.continues.len ? " continues:" : "",
                  &ctx->opts.continues);

    return NGX_OK;
}


/* Records of one agent that follow directly, up to the size of a batch. */
static ngx_int_t
ngx_pcap_api_run(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a)
{
    size_t      begin;
    ngx_int_t   rc;
    ngx_uint_t  first;

    begin = ctx->out_bytes;
    first = 1;

    do {
        rc = ngx_pcap_api_emit(ctx, a, first);
        if (rc != NGX_OK) {
            return rc;
        }

        first = 0;
        rc = ngx_pcap_api_agent_next(a);

        if (ctx->limit_hit) {
            return NGX_OK;                 /* what follows is nobody's */
        }

    } while (rc == NGX_OK
             && ctx->out_bytes < ctx->pace.allowance
             && ctx->out_links < NGX_PCAP_API_BATCH_LINKS
             && pcapx_merge_follows(&ctx->merge, (uint32_t) a->index,
                                    a->head.ts_ns));

    a->long_run = (ctx->out_bytes - begin >= NGX_PCAP_API_LONG_RUN);

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

    if (ctx->pace.throttled) {
        return NGX_DECLINED;
    }

    while (ctx->out_bytes < ctx->pace.allowance
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
ngx_pcap_api_stop(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_end_e end,
    const char *detail)
{
    ngx_uint_t                 i;
    const ngx_pcap_api_end_t  *e;

    /* behind the end nothing is left to stop, and the verdict stands */

    if (ctx->stopping || ctx->limit_hit || ctx->ended) {
        return;
    }

    end = ngx_pcap_api_limit_end(ctx, end);
    e = &ngx_pcap_api_ends[end];
    detail = detail ? detail : ngx_pcap_api_limit_detail(ctx, end);
    ctx->stopping = 1;
    ctx->end = end;
    ctx->status = e->status;
    ctx->hold = ctx->opts.pcapng;
    ctx->stop_deadline = ngx_current_msec + ctx->conf->stop_timeout;

    ngx_pcap_api_message(ctx, NULL, e->type, "%s%s%s", e->text,
                         detail ? ": " : "", detail ? detail : "");

    for (i = 0; i < ctx->nagents; i++) {
        if (ctx->agents[i].state == NGX_PCAP_API_AGENT_READY) {
            ngx_pcap_api_agent_half_close(&ctx->agents[i]);
        }
    }
}


/* A limit to the record: what comes behind it is nobody's. */
void
ngx_pcap_api_limit(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_end_e end)
{
    const char  *detail;

    end = ngx_pcap_api_limit_end(ctx, end);
    detail = ngx_pcap_api_limit_detail(ctx, end);

    ctx->limit_hit = 1;
    ctx->end = end;
    ctx->status = NGX_PCAP_API_LIMIT;
    ngx_pcap_api_message(ctx, NULL, NGX_PCAP_API_MSG_LIMIT_REACHED,
                         "%s%s%s", ngx_pcap_api_ends[end].text,
                         detail ? ": " : "", detail ? detail : "");
}


static void
ngx_pcap_api_decide(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i, left;

    ctx->ended = 1;
    ctx->stats_agent = 0;
    ctx->stats_iface = 0;

    for (i = 0, left = 0; i < ctx->nagents; i++) {
        left += ctx->agents[i].left;
    }

    for (i = 0; i < ctx->nagents; i++) {
        if (ctx->agents[i].state != NGX_PCAP_API_AGENT_FAILED) {
            break;
        }
    }

    if (i == ctx->nagents && !ctx->limit_hit) {
        ctx->status = NGX_PCAP_API_ERROR;

    } else if (ctx->failed_some
               || (left && (ctx->status != NGX_PCAP_API_COMPLETE
                            || (ctx->opts.duration_ms
                                && !(ctx->limited.set
                                     & NGX_PCAP_API_SET_DURATION)))))
    {
        ctx->status = NGX_PCAP_API_PARTIAL;  /* not all were there all along */
    }
}


/* Last record, last statistics, verdict: as far as there is room. */
static ngx_int_t
ngx_pcap_api_write_last(ngx_pcap_api_ctx_t *ctx)
{
    u_char     text[NGX_PCAP_API_TEXT_LEN + 128];
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
ngx_pcap_api_finish(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

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

        if (ngx_pcap_api_push(ctx, 1) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ctx->finished || ctx->blocked) {
            break;
        }
    }

    /* nginx would wait for the client by send_timeout, which is too long */

    if (!ctx->finished
        || (ctx->blocked && (ctx->status == NGX_PCAP_API_ERROR
                             || ngx_exiting)))
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
