/*
 * module/pace.c: how fast captures may go on. Each has a bucket of its own
 * (pcap_api_bandwidth), and a share of what its worker is good for. While one
 * of them is empty nothing is handed to the client, as if that one took
 * nothing: the agents are not read, their kernels drop and count.
 *
 * The worker's share is max-min fair: what is there is filled up from below,
 * so whoever wants less than the level gets all he wants, and only those who
 * want most are held back. What is there is pcap_api_worker_bandwidth, or
 * less when the process takes more than pcap_api_worker_cpu of a core.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_MEASURE_MS     100
#define NGX_PCAP_API_OWN_DEPTH_MS   1000     /* of bandwidth, at once */
#define NGX_PCAP_API_SHARE_DEPTH_MS 100
#define NGX_PCAP_API_RESUME_MS      20       /* held back for at least that */
#define NGX_PCAP_API_TELL_MS        10000
#define NGX_PCAP_API_LEAST          65536    /* bytes/s that one always has */
#define NGX_PCAP_API_ANY            ((uint64_t) 1 << 50)
#define NGX_PCAP_API_FULL           ((int64_t) 1 << 60)


static uint64_t
ngx_pcap_api_clock(clockid_t id)
{
    struct timespec  ts;

    (void) clock_gettime(id, &ts);

    return (uint64_t) ts.tv_sec * 1000000000ULL + (uint64_t) ts.tv_nsec;
}


static ngx_pcap_api_limits_main_t *
ngx_pcap_api_shared(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);

    return &pmcf->limits;
}


void
ngx_pcap_api_pace_join(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_pace_t    *p;
    ngx_pcap_api_share_t   *w;

    p = &ctx->pace;
    w = ngx_pcap_api_shared(ctx)->worker;

    p->worker = w;
    p->at = ngx_current_msec;
    p->bandwidth = ctx->conf->limits.bandwidth;
    p->own = (int64_t) p->bandwidth * NGX_PCAP_API_OWN_DEPTH_MS;
    p->share = NGX_PCAP_API_FULL;

    ngx_queue_insert_tail(&w->captures, &p->queue);
    w->ncaptures++;
}


ngx_uint_t
ngx_pcap_api_pace_agents(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_share_t  *w;

    w = ngx_pcap_api_shared(ctx)->worker;
    w->nagents += ctx->nagents;
    ctx->pace.nagents = ctx->nagents;

    return w->nagents;
}


void
ngx_pcap_api_pace_leave(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_pace_t  *p;

    p = &ctx->pace;

    ngx_pcap_api_shared(ctx)->worker->nagents -= p->nagents;
    p->nagents = 0;

    if (p->worker != NULL) {
        ngx_queue_remove(&p->queue);
        p->worker->ncaptures--;
        p->worker = NULL;
    }
}


/* What the capture would take if nobody else were there, in bytes/s. */
static uint64_t
ngx_pcap_api_wanted(ngx_pcap_api_pace_t *p)
{
    uint64_t  most;

    most = p->bandwidth ? p->bandwidth : NGX_PCAP_API_ANY;

    return (p->held_own || p->held_share) ? most : ngx_min(p->rate, most);
}


/*
 * The level that fills capacity: min(wanted, level) of all add up to it. Each
 * round settles at least one capture below the level, or ends.
 */
static uint64_t
ngx_pcap_api_level(ngx_pcap_api_share_t *w, uint64_t capacity)
{
    uint64_t      below, level, next, wanted;
    ngx_uint_t    above;
    ngx_queue_t  *q;

    level = capacity / ngx_max(w->ncaptures, 1);

    for ( ;; ) {
        below = 0;
        above = 0;

        for (q = ngx_queue_head(&w->captures);
             q != ngx_queue_sentinel(&w->captures);
             q = ngx_queue_next(q))
        {
            wanted = ngx_pcap_api_wanted(
                         ngx_queue_data(q, ngx_pcap_api_pace_t, queue));

            if (wanted > level) {
                above++;

            } else {
                below += wanted;
            }
        }

        if (above == 0) {
            return ngx_max(capacity - ngx_min(below, capacity), level);
        }

        next = (capacity - ngx_min(below, capacity)) / above;

        if (next <= level) {
            return level;
        }

        level = next;
    }
}


/* What was sent since the last measure, in bytes/s of all. */
static uint64_t
ngx_pcap_api_rates(ngx_pcap_api_share_t *w, ngx_msec_t ms)
{
    uint64_t              sum, rate;
    ngx_queue_t          *q;
    ngx_pcap_api_pace_t  *p;

    sum = 0;

    for (q = ngx_queue_head(&w->captures);
         q != ngx_queue_sentinel(&w->captures);
         q = ngx_queue_next(q))
    {
        p = ngx_queue_data(q, ngx_pcap_api_pace_t, queue);

        rate = p->used * 1000 / ms;
        p->used = 0;
        p->rate = ngx_max(rate, (3 * p->rate + rate) / 4);
        sum += rate;
    }

    return sum;
}


/*
 * The CPU time of this process against the wall: its own work for everybody,
 * TLS to the agents included; what other processes take from it is not seen.
 * One capture alone harms nobody and is never held back by it.
 */
static void
ngx_pcap_api_measure_cpu(ngx_pcap_api_share_t *w, ngx_uint_t max,
    uint64_t sum)
{
    uint64_t    cpu, wall, least;
    ngx_uint_t  load;

    cpu = ngx_pcap_api_clock(CLOCK_PROCESS_CPUTIME_ID);
    wall = ngx_pcap_api_clock(CLOCK_MONOTONIC);

    if (w->wall_ns && wall > w->wall_ns) {
        load = (ngx_uint_t) ((cpu - w->cpu_ns) * 1000 / (wall - w->wall_ns));
        w->load = (w->load + load) / 2;
    }

    w->cpu_ns = cpu;
    w->wall_ns = wall;

    if (max == 0 || w->ncaptures < 2) {
        w->capacity = 0;
        return;
    }

    if (w->load > max) {
        least = (uint64_t) NGX_PCAP_API_LEAST * w->ncaptures;

        if (w->capacity) {
            sum = ngx_min(sum, w->capacity);
        }

        w->capacity = ngx_max(sum * max / w->load, least);
        return;
    }

    if (w->capacity) {
        w->capacity += w->capacity / (w->load > max * 9 / 10 ? 32 : 8);

        if (w->capacity > NGX_PCAP_API_ANY
            || (w->load < max / 2 && w->capacity > 4 * sum))
        {
            w->capacity = 0;               /* nobody needs it any more */
        }
    }
}


/* Every 100 ms, by whichever capture comes first. */
static void
ngx_pcap_api_measure(ngx_pcap_api_limits_main_t *shared)
{
    uint64_t                sum, capacity;
    ngx_msec_t              ms;
    ngx_queue_t            *q;
    ngx_pcap_api_pace_t    *p;
    ngx_pcap_api_share_t   *w;

    w = shared->worker;
    ms = ngx_current_msec - w->at;

    if (ms < NGX_PCAP_API_MEASURE_MS) {
        return;
    }

    w->at = ngx_current_msec;
    sum = ngx_pcap_api_rates(w, ms);
    ngx_pcap_api_measure_cpu(w, shared->cpu * 10, sum);

    capacity = shared->bandwidth;

    if (w->capacity && (capacity == 0 || w->capacity < capacity)) {
        capacity = w->capacity;
    }

    w->level = capacity ? ngx_pcap_api_level(w, capacity) : 0;

    for (q = ngx_queue_head(&w->captures);
         q != ngx_queue_sentinel(&w->captures);
         q = ngx_queue_next(q))
    {
        p = ngx_queue_data(q, ngx_pcap_api_pace_t, queue);
        p->held_own = p->throttled && p->by_own;
        p->held_share = p->throttled && !p->by_own;
    }
}


/* 1/1000 bytes; rate in bytes/s is the same per ms. */
static int64_t
ngx_pcap_api_fill(int64_t left, uint64_t rate, ngx_msec_t ms,
    ngx_msec_t depth)
{
    left += (int64_t) (rate * ngx_min(ms, depth));

    return ngx_min(left, (int64_t) (rate * depth));
}


/* Once held back, so many bytes at least are waited for: no crumbs. */
static int64_t
ngx_pcap_api_quantum(uint64_t rate)
{
    return ngx_min((int64_t) (rate * NGX_PCAP_API_RESUME_MS),
                   (int64_t) NGX_PCAP_API_BATCH_BYTES * 1000);
}


static void
ngx_pcap_api_hold_back(ngx_pcap_api_ctx_t *ctx, ngx_uint_t own)
{
    ngx_pcap_api_pace_t  *p;

    p = &ctx->pace;

    p->throttled = 1;
    p->by_own = own;
    p->held_own |= own;
    p->held_share |= !own;
    p->tell = 1;
    p->to = own ? p->bandwidth : p->worker->level;
    p->allowance = 0;

    /* the tick is too far away */

    if (ctx->timer.timer_set
        && (ngx_msec_int_t) (ctx->timer.timer.key - ngx_current_msec)
           > NGX_PCAP_API_RESUME_MS)
    {
        ngx_del_timer(&ctx->timer);
        ngx_add_timer(&ctx->timer, NGX_PCAP_API_RESUME_MS);
    }
}


void
ngx_pcap_api_pace(ngx_pcap_api_ctx_t *ctx)
{
    int64_t                 left;
    ngx_msec_t              ms;
    ngx_uint_t              own;
    ngx_pcap_api_pace_t    *p;
    ngx_pcap_api_share_t   *w;

    p = &ctx->pace;
    w = p->worker;

    ngx_pcap_api_measure(ngx_pcap_api_shared(ctx));

    ms = ngx_current_msec - p->at;
    p->at = ngx_current_msec;

    left = (int64_t) NGX_PCAP_API_BATCH_BYTES * 1000;
    own = 0;

    if (p->bandwidth) {
        p->own = ngx_pcap_api_fill(p->own, p->bandwidth, ms,
                                   NGX_PCAP_API_OWN_DEPTH_MS);
        own = p->own < (p->throttled ? ngx_pcap_api_quantum(p->bandwidth)
                                     : 1);
        left = ngx_min(left, p->own);
    }

    if (w->level) {
        p->share = ngx_pcap_api_fill(p->share, w->level, ms,
                                     NGX_PCAP_API_SHARE_DEPTH_MS);
        left = ngx_min(left, p->share);

    } else {
        p->share = NGX_PCAP_API_FULL;      /* no debts from better days */
    }

    if (own || (w->level
                && p->share < (p->throttled ? ngx_pcap_api_quantum(w->level)
                                            : 1)))
    {
        ngx_pcap_api_hold_back(ctx, own);
        return;
    }

    p->throttled = 0;
    p->allowance = ngx_max((size_t) (left / 1000), 1);
}


void
ngx_pcap_api_pace_take(ngx_pcap_api_ctx_t *ctx, size_t len)
{
    ngx_pcap_api_pace_t  *p;

    p = &ctx->pace;

    p->own -= (int64_t) len * 1000;
    p->share -= (int64_t) len * 1000;
    p->used += len;
}


void
ngx_pcap_api_pace_tell(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_pace_t  *p;

    p = &ctx->pace;

    if (!p->tell || (p->has_told
                     && ngx_current_msec - p->told < NGX_PCAP_API_TELL_MS))
    {
        return;
    }

    p->tell = 0;
    p->has_told = 1;
    p->told = ngx_current_msec;

    if (p->by_own) {
        ngx_pcap_api_message(ctx, NULL, NGX_PCAP_API_MSG_CONGESTED,
                             "held back to %uL bytes/s by "
                             "pcap_api_bandwidth of this server", p->to);
        return;
    }

    ngx_pcap_api_message(ctx, NULL, NGX_PCAP_API_MSG_CONGESTED,
                         "held back to %uL bytes/s, its share of what this "
                         "server is good for now", p->to);
}
