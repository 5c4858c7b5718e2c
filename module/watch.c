/*
 * module/watch.c: everything of a running capture that has a deadline:
 * silent agents, the duration, the stop from another worker, and the
 * statistics that are due.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_ISB_SHORT    1000     /* ms between statistics */
#define NGX_PCAP_API_ISB_LONG     10000
#define NGX_PCAP_API_ISB_FEW      64       /* interfaces, for the short one */
#define NGX_PCAP_API_CONGESTED_MS 1000
#define NGX_PCAP_API_SYNC_MS      250      /* ms between rows' updates */


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
    ngx_msec_int_t  idle, lag, stood, waited, window, patience;

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

    if (ctx->blocked || ctx->discarding || ctx->pace.throttled
        || a->state != NGX_PCAP_API_AGENT_READY)
    {
        return;
    }

    /* time that it could not use counts for nothing */

    waited = ngx_min((ngx_msec_int_t) (ngx_current_msec - ctx->unblocked),
                     (ngx_msec_int_t) (ngx_current_msec - a->resumed));
    idle = ngx_min((ngx_msec_int_t) (ngx_current_msec - a->heard), waited);
    stood = ngx_min((ngx_msec_int_t) (ngx_current_msec - a->advanced),
                    waited);
    lag = ngx_min(ngx_pcap_api_agent_lag(a), waited);
    window = (ngx_msec_int_t) ctx->conf->reorder_window;
    patience = ngx_max(window,
                       (ngx_msec_int_t) ctx->conf->heartbeat_timeout);

    /*
     * Silent, talking without getting on, or ever further behind: the others
     * wait for it no longer, until it has caught up.
     */

    if (a->released && stood < window && lag < window) {
        a->released = 0;
        ngx_pcap_api_agent_settle(a);
        return;
    }

    if (!ngx_pcap_api_agent_silent(a)) {
        return;
    }

    if (idle >= (ngx_msec_int_t) ctx->conf->heartbeat_timeout) {
        ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_INSTANCE_UNAVAILABLE,
                                "no sign of life for %M ms",
                                ctx->conf->heartbeat_timeout);

    } else if (!a->released && (stood >= window || lag >= patience)) {
        a->released = 1;
        ngx_pcap_api_agent_settle(a);
    }
}


/* Everything with a deadline, at most once a tick. */
void
ngx_pcap_api_watch(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i;
    ngx_msec_t  every;

    if (ctx->blocked || ctx->pace.throttled) {
        ctx->unblocked = ngx_current_msec;
    }

    if (ctx->duration_end
        && (ngx_msec_int_t) (ngx_current_msec - ctx->duration_end) >= 0)
    {
        ctx->duration_end = 0;
        ngx_pcap_api_stop(ctx, NGX_PCAP_API_END_DURATION, NULL);
    }

    if (ctx->stopping
        && (ngx_msec_int_t) (ngx_current_msec - ctx->stop_deadline) >= 0)
    {
        ngx_pcap_api_discard_begin(ctx);
    }

    ngx_pcap_api_discard_watch(ctx);

    if (ngx_current_msec - ctx->watched < NGX_PCAP_API_TICK / 2) {
        return;
    }

    ctx->watched = ngx_current_msec;

    if (ctx->row->stop) {
        ngx_pcap_api_stop(ctx, ctx->row->stop, NULL);
    }

    if (ngx_pcap_api_idle(ctx)) {
        ngx_pcap_api_stop(ctx, NGX_PCAP_API_END_IDLE, NULL);
    }

    ngx_pcap_api_pace_tell(ctx);
    ngx_pcap_api_rights_watch(ctx);

    if (ngx_current_msec - ctx->synced >= NGX_PCAP_API_SYNC_MS) {
        ngx_pcap_api_row_sync(ctx);
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
}
