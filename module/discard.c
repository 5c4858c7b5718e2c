/*
 * module/discard.c: the end of a capture whose records nobody takes any
 * more: the time to drain after a stop is over, or an exact limit is reached.
 * Agents are still read, up to their last reports, so that all that was seen
 * is accounted for; their records are counted and thrown away.
 *
 * A client that stalls may hold their upstreams' buffers and carries: these
 * are left to it (to the request's pool, and to the output's chain) and the
 * upstreams get fresh ones.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_DISCARD_LIMIT   1000      /* ms, behind a limit */
#define NGX_PCAP_API_DISCARD_SILENT  400       /* ms without a block */


/* The client keeps what it has; the agent may go on. */
static void
ngx_pcap_api_discard_buffer(ngx_pcap_api_agent_t *a)
{
    size_t      size;
    u_char     *p;
    ngx_buf_t  *b;

    a->carry_busy = 0;

    if (a->outstanding == 0 || a->sr == NULL || a->sr->upstream == NULL) {
        return;
    }

    b = &a->sr->upstream->buffer;
    size = b->end - b->start;

    p = ngx_palloc(a->ctx->request->pool, size);
    if (p == NULL) {
        return;                            /* its time will be over */
    }

    b->start = p;
    b->pos = p;
    b->last = p;
    b->end = p + size;
    a->outstanding = 0;
}


void
ngx_pcap_api_discard_begin(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t             i;
    ngx_pcap_api_agent_t  *a;

    if (ctx->discarding) {
        return;
    }

    ctx->discarding = 1;
    ctx->discard_began = ngx_current_msec;
    ctx->discard_end = ngx_current_msec
                       + (ctx->limit_hit ? NGX_PCAP_API_DISCARD_LIMIT
                                         : ctx->conf->stop_timeout);

    ngx_pcap_api_detach(ctx);

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (a->state == NGX_PCAP_API_AGENT_READY) {
            ngx_pcap_api_discard_buffer(a);
            ngx_pcap_api_agent_half_close(a);
            ngx_pcap_api_agent_mark(a);
        }
    }
}


/* Its last report has not come: what it still had is not known. */
static void
ngx_pcap_api_discard_cut(ngx_pcap_api_agent_t *a)
{
    ngx_pcap_api_ctx_t  *ctx;

    ctx = a->ctx;

    ngx_pcap_api_agent_abort(a);
    ngx_pcap_api_agent_discard(a);

    if (a->state != NGX_PCAP_API_AGENT_READY) {
        return;                            /* it was garbage after all */
    }

    a->cut = 1;
    a->state = NGX_PCAP_API_AGENT_CLOSED;
    ctx->nalive--;
    pcapx_merge_end(&ctx->merge, a->index);

    if (!ctx->limit_hit) {
        ngx_pcap_api_message(ctx, a, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
                             "its last report did not come within %M ms of "
                             "the stop, the rest is not known",
                             2 * ctx->conf->stop_timeout);
    }
}


void
ngx_pcap_api_discard_watch(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t             i, over;
    ngx_msec_int_t         silent;
    ngx_pcap_api_agent_t  *a;

    if (!ctx->discarding) {
        return;
    }

    over = (ngx_msec_int_t) (ngx_current_msec - ctx->discard_end) >= 0;

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (a->state != NGX_PCAP_API_AGENT_READY) {
            continue;
        }

        silent = ngx_min((ngx_msec_int_t) (ngx_current_msec - a->heard),
                         (ngx_msec_int_t) (ngx_current_msec
                                           - ctx->discard_began));

        if (over || silent >= NGX_PCAP_API_DISCARD_SILENT) {
            ngx_pcap_api_discard_cut(a);
        }
    }
}


void
ngx_pcap_api_discard_tell(ngx_pcap_api_agent_t *a)
{
    uint64_t    n;
    ngx_uint_t  i;

    if (a->ctx->limit_hit) {
        return;
    }

    for (i = 0, n = 0; i < a->nifaces; i++) {
        n += a->ifaces[i].discarded;
    }

    if (n) {
        ngx_pcap_api_message(a->ctx, a, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
                             "not drained within %M ms, the rest is dropped: "
                             "%uL packets",
                             a->ctx->conf->stop_timeout, n);
    }
}
