/*
 * module/ledger.c: what has become of every packet that passed the filter:
 *
 *     seen = delivered + filtered + in flight + dropped at a named place
 *
 * of each agent and of the capture. "kernel" and "agent" are what the agent
 * reports; "stop" and "limit" what came here and was not written: after the
 * time to drain, behind an exact limit. While a stream runs, and for one that
 * ended without its last report, what is nowhere else is in flight; of the
 * latter it is not known what it saw since.
 *
 * Nothing is counted here: it is computed from the reports and from what
 * module/record.c and module/discard.c count.
 */

#include "module/shm.h"


#define NGX_PCAP_API_LEDGER_NEEDS                                             \
    (PCAPX_HAS_FILTERACCEPT|PCAPX_HAS_OSDROP|PCAPX_HAS_USRDELIV)


uint64_t
ngx_pcap_api_ledger_seen(ngx_pcap_api_iface_t *f)
{
    /* its last report may be older than its last packet */

    return ngx_max(f->stats.filteraccept,
                   f->stats.osdrop + f->packets + f->discarded);
}


ngx_uint_t
ngx_pcap_api_ledger_fits(ngx_pcap_api_agent_t *a)
{
    ngx_uint_t      i;
    pcapx_stats_t  *st;

    for (i = 0; i < a->nifaces; i++) {
        st = &a->ifaces[i].stats;

        if ((st->present & NGX_PCAP_API_LEDGER_NEEDS)
            != NGX_PCAP_API_LEDGER_NEEDS
            || st->usrdeliv != a->ifaces[i].packets + a->ifaces[i].discarded
            || st->filteraccept < st->osdrop + st->usrdeliv)
        {
            return 0;
        }
    }

    return 1;
}


void
ngx_pcap_api_ledger(ngx_pcap_api_agent_t *a, ngx_pcap_api_ledger_t *l)
{
    uint64_t               seen, rest;
    ngx_uint_t             i, whole;
    ngx_pcap_api_iface_t  *f;

    ngx_memzero(l, sizeof(ngx_pcap_api_ledger_t));

    if (!a->in_file) {
        return;
    }

    whole = (a->state == NGX_PCAP_API_AGENT_CLOSED && !a->cut
             && !a->uncounted);

    for (i = 0; i < a->nifaces; i++) {
        f = &a->ifaces[i];

        seen = ngx_pcap_api_ledger_seen(f);
        rest = seen - f->stats.osdrop - f->packets - f->discarded;

        l->seen += seen;
        l->delivered += f->packets;
        l->drop_kernel += f->stats.osdrop;

        if (whole) {
            l->drop_agent += rest;

        } else {
            l->in_flight += rest;
        }

        if (a->ctx->limit_hit) {
            l->drop_limit += f->discarded;

        } else {
            l->drop_stop += f->discarded;
        }
    }

    /* a capture that is over while its agents were not: nobody knows */

    if (!whole && (a->state != NGX_PCAP_API_AGENT_READY || a->ctx->done)) {
        l->unknown_since = ngx_max(a->watermark, 1);   /* 0: all is known */
    }
}


void
ngx_pcap_api_ledger_add(ngx_pcap_api_ledger_t *sum, ngx_pcap_api_ledger_t *l)
{
    sum->seen += l->seen;
    sum->delivered += l->delivered;
    sum->filtered += l->filtered;
    sum->in_flight += l->in_flight;
    sum->drop_kernel += l->drop_kernel;
    sum->drop_agent += l->drop_agent;
    sum->drop_stop += l->drop_stop;
    sum->drop_limit += l->drop_limit;

    if (l->unknown_since
        && (sum->unknown_since == 0
            || l->unknown_since < sum->unknown_since))
    {
        sum->unknown_since = l->unknown_since;
    }
}


void
ngx_pcap_api_ledger_sum(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ledger_t *sum)
{
    ngx_uint_t             i;
    ngx_pcap_api_ledger_t  l;

    ngx_memzero(sum, sizeof(ngx_pcap_api_ledger_t));

    for (i = 0; i < ctx->nagents; i++) {
        ngx_pcap_api_ledger(&ctx->agents[i], &l);
        ngx_pcap_api_ledger_add(sum, &l);
    }
}


uint64_t
ngx_pcap_api_ledger_dropped(ngx_pcap_api_ledger_t *l)
{
    return l->drop_kernel + l->drop_agent + l->drop_stop;
}


uint64_t
ngx_pcap_api_dropped(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_ledger_t  sum;

    ngx_pcap_api_ledger_sum(ctx, &sum);

    return ngx_pcap_api_ledger_dropped(&sum);
}


void
ngx_pcap_api_ledger_sync(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t                 i;
    ngx_slab_pool_t           *shpool;
    ngx_pcap_api_row_t        *row;
    ngx_pcap_api_ledger_t      sum;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    shpool = ngx_pcap_api_shpool(pmcf->zone);
    row = ctx->row;
    ngx_memzero(&sum, sizeof(ngx_pcap_api_ledger_t));

    /* with the lock, unlike the rest of a row: whoever reads adds it up */

    ngx_shmtx_lock(&shpool->mutex);

    for (i = 0; i < row->ntargets; i++) {
        ngx_pcap_api_ledger(&ctx->agents[i], &row->targets[i].ledger);
        ngx_pcap_api_ledger_add(&sum, &row->targets[i].ledger);
    }

    row->ledger = sum;
    row->dropped = ngx_pcap_api_ledger_dropped(&sum);

    ngx_shmtx_unlock(&shpool->mutex);
}


size_t
ngx_pcap_api_time(u_char *dst, size_t max, uint64_t ns)
{
    ngx_tm_t  tm;

    ngx_gmtime((time_t) (ns / 1000000000), &tm);

    return ngx_slprintf(dst, dst + max, "%4d-%02d-%02dT%02d:%02d:%02d.%03uLZ",
                        tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                        tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                        ns / 1000000 % 1000)
           - dst;
}


u_char *
ngx_pcap_api_ledger_text(ngx_pcap_api_ledger_t *l, char sep, u_char *p,
    u_char *last)
{
    size_t  n;
    u_char  time[32];

    p = ngx_slprintf(p, last, "kernel=%uL%cagent=%uL%cstop=%uL%climit=%uL",
                     l->drop_kernel, sep, l->drop_agent, sep, l->drop_stop,
                     sep, l->drop_limit);

    if (l->unknown_since) {
        n = ngx_pcap_api_time(time, sizeof(time), l->unknown_since);
        p = ngx_slprintf(p, last, "%cin_flight=%uL%cunknown_since=%*s", sep,
                         l->in_flight, sep, n, time);
    }

    return p;
}
