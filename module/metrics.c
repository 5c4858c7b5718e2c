/*
 * module/metrics.c: counting. What is counted lies in the zone, see
 * module/metrics.h; how it is shown is module/metrics_text.c's.
 *
 * Nothing here is called per record: captures count what they have come on
 * by when their rows are brought up to date.
 */

#include "module/shm.h"


/* Upper bounds of the buckets of times, in ms. */

const ngx_msec_t  ngx_pcap_api_buckets[NGX_PCAP_API_BUCKETS] = {
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000
};

/* Statuses of refusals that are told apart; the last one is any other. */

const ngx_uint_t  ngx_pcap_api_refusals[NGX_PCAP_API_NREFUSALS] = {
    400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 414, 429, 431, 500, 502,
    503, 504, 507, 0
};


_Static_assert(NGX_PCAP_API_NSYNCED == NGX_PCAP_API_RC_LATE
                                       - NGX_PCAP_API_RC_PACKETS + 1,
               "what count_capture() brings up to date");


static ngx_pcap_api_counters_t *
ngx_pcap_api_counters(void)
{
    ngx_shm_zone_t  *zone;

    zone = ngx_pcap_api_cycle_zone((ngx_cycle_t *) ngx_cycle);

    return zone ? &ngx_pcap_api_shm(zone)->counters : NULL;
}


void
ngx_pcap_api_count(ngx_uint_t counter, uint64_t n)
{
    ngx_pcap_api_counters_t  *all;

    all = ngx_pcap_api_counters();

    if (all != NULL && n) {
        (void) ngx_atomic_fetch_add(&all->all[counter], n);
    }
}


void
ngx_pcap_api_count_of(ngx_uint_t resolver, ngx_uint_t counter, uint64_t n)
{
    ngx_pcap_api_counters_t  *all;

    all = ngx_pcap_api_counters();

    if (all != NULL && n) {
        (void) ngx_atomic_fetch_add(&all->of[resolver][counter], n);
    }
}


void
ngx_pcap_api_observe(ngx_pcap_api_histogram_e h, ngx_uint_t resolver,
    ngx_msec_t ms)
{
    ngx_uint_t                 i;
    ngx_pcap_api_counters_t   *all;
    ngx_pcap_api_histogram_t  *t;

    all = ngx_pcap_api_counters();

    if (all == NULL) {
        return;
    }

    t = &all->times[h][resolver];

    for (i = 0; i < NGX_PCAP_API_BUCKETS; i++) {
        if (ms <= ngx_pcap_api_buckets[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&t->buckets[i], 1);
    (void) ngx_atomic_fetch_add(&t->sum_ms, ms);
}


/* By its path alone, so that requests that are refused count alike. */
void
ngx_pcap_api_count_request(ngx_http_request_t *r, ngx_str_t *path)
{
    ngx_uint_t            route;

    static ngx_str_t      capture = ngx_string("capture/");
    static ngx_str_t      captures = ngx_string("captures");
    static ngx_str_t      token = ngx_string("/token");

    route = ngx_pcap_api_kube_is_files(path) ? NGX_PCAP_API_ROUTE_FILES
                                             : NGX_PCAP_API_ROUTE_OTHER;

    if (path->len == 6 && ngx_strncmp(path->data, "status", 6) == 0) {
        route = NGX_PCAP_API_ROUTE_STATUS;

    } else if (path->len > capture.len
               && ngx_strncmp(path->data, capture.data, capture.len) == 0)
    {
        route = NGX_PCAP_API_ROUTE_CAPTURE;

    } else if (path->len >= captures.len
               && ngx_strncmp(path->data, captures.data, captures.len) == 0)
    {
        route = r->method == NGX_HTTP_DELETE ? NGX_PCAP_API_ROUTE_STOP
                : (path->len > captures.len + token.len
                   && ngx_strncmp(path->data + path->len - token.len,
                                  token.data, token.len) == 0)
                ? NGX_PCAP_API_ROUTE_TOKEN : NGX_PCAP_API_ROUTE_CAPTURES;
    }

    ngx_pcap_api_count(NGX_PCAP_API_C_REQUESTS + route, 1);
}


void
ngx_pcap_api_count_refusal(ngx_uint_t status)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_PCAP_API_NREFUSALS - 1; i++) {
        if (ngx_pcap_api_refusals[i] == status) {
            break;
        }
    }

    ngx_pcap_api_count(NGX_PCAP_API_C_REFUSALS + i, 1);
}


void
ngx_pcap_api_count_phase(ngx_pcap_api_ctx_t *ctx)
{
    ngx_msec_t  ms, since;

    since = ctx->phase_began;
    ctx->phase_began = ngx_current_msec;
    ms = ngx_current_msec - since;

    if (ctx->phase->run == ngx_pcap_api_auth_phase) {
        ngx_pcap_api_observe(NGX_PCAP_API_H_AUTH, 0, ms);

    } else if (ctx->phase->run == ngx_pcap_api_resolve_phase) {
        ngx_pcap_api_observe(NGX_PCAP_API_H_RESOLVE, ctx->resolver->number,
                             ms);

    } else if (ctx->phase->run == ngx_pcap_api_open_phase) {
        ngx_pcap_api_observe(NGX_PCAP_API_H_OPEN, ctx->resolver->number, ms);
    }
}


/*
 * How far the merged stream is behind: by the agent that all others wait
 * for. Not while the client blocks: that is not the merge.
 */
static void
ngx_pcap_api_count_lag(ngx_pcap_api_ctx_t *ctx)
{
    int64_t                lag, most;
    uint64_t               now;
    ngx_uint_t             i, n;
    ngx_pcap_api_agent_t  *a;

    if (ctx->blocked || ctx->pace.throttled || ctx->discarding
        || ctx->stopping
        || ctx->max_clock_skew == 0)
    {
        return;
    }

    now = ngx_pcap_api_now_ns(ctx);
    most = 0;

    for (i = 0, n = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (a->state != NGX_PCAP_API_AGENT_READY || a->released) {
            continue;
        }

        n++;
        lag = (int64_t) (now + (uint64_t) a->offset_ns - a->watermark);
        most = ngx_max(most, lag);
    }

    if (n) {
        ngx_pcap_api_observe(NGX_PCAP_API_H_LAG, ctx->resolver->number,
                             (ngx_msec_t) (most / 1000000));
    }
}


/* now is what it is in all; *counted what of it has been counted. */
static void
ngx_pcap_api_count_more(ngx_uint_t resolver, ngx_uint_t counter,
    uint64_t *counted, uint64_t now)
{
    if (now > *counted) {
        ngx_pcap_api_count_of(resolver, counter, now - *counted);
        *counted = now;
    }
}


void
ngx_pcap_api_count_capture(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t           i, n;
    ngx_msec_t           ms;
    ngx_pcap_api_row_t  *row;

    row = ctx->row;
    n = row->resolver;

    const uint64_t  now[] = {
        row->packets, row->bytes, row->sent, row->ledger.seen,
        row->ledger.drop_kernel, row->ledger.drop_agent,
        row->ledger.drop_stop, row->ledger.drop_limit, row->late
    };

    for (i = 0; i < NGX_PCAP_API_NSYNCED; i++) {
        ngx_pcap_api_count_more(n, NGX_PCAP_API_RC_PACKETS + i,
                                &ctx->counted[i], now[i]);
    }

    ms = ctx->counted_at ? ngx_current_msec - ctx->counted_at : 0;
    ctx->counted_at = ngx_current_msec;

    if (ctx->blocked) {
        ngx_pcap_api_count(NGX_PCAP_API_C_BLOCKED_MS, ms);
    }

    if (ctx->pace.throttled) {
        ngx_pcap_api_count(NGX_PCAP_API_C_THROTTLED_MS, ms);
    }

    if (!ctx->done) {
        ngx_pcap_api_count_lag(ctx);
    }
}


void
ngx_pcap_api_count_end(ngx_pcap_api_row_t *row)
{
    ngx_uint_t  i, unknown;

    for (i = 0, unknown = 0; i < row->ntargets; i++) {
        unknown += row->targets[i].ledger.unknown_since != 0;
    }

    ngx_pcap_api_count_of(row->resolver, NGX_PCAP_API_RC_UNKNOWN, unknown);
    ngx_pcap_api_count_of(row->resolver,
                          NGX_PCAP_API_RC_ENDED + row->status, 1);
    ngx_pcap_api_count(NGX_PCAP_API_C_ENDS + row->end, 1);
}
