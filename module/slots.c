/*
 * module/slots.c: how many token checks may be under way, and how many a client
 * address may cause per second. The last places are for captures that run: they
 * have to ask again, and must not be kept from it by those who guess tokens.
 */

#include "module/shm.h"


#define NGX_PCAP_API_SLOTS_KEPT  8           /* one of so many, at least one */


ngx_uint_t
ngx_pcap_api_slots(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  all;

    all = ctx->conf->inflight;

    if (ctx->capture != NULL || all == 1) {
        return all;
    }

    return all - ngx_max(all / NGX_PCAP_API_SLOTS_KEPT, 1);
}


ngx_int_t
ngx_pcap_api_slot_take(ngx_shm_zone_t *zone, ngx_pcap_api_ctx_t *ctx,
    struct sockaddr *sa)
{
    ngx_int_t             rc;
    ngx_uint_t            i, max, used, place;
    ngx_slab_pool_t      *shpool;
    ngx_pcap_api_shm_t   *sh;
    ngx_pcap_api_rate_t  *rate;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);
    rate = &ctx->conf->limits.introspection_rate;

    max = ngx_pcap_api_slots(ctx);
    used = 0;
    place = NGX_PCAP_API_MAX_INFLIGHT;
    rc = NGX_OK;

    ngx_shmtx_lock(&shpool->mutex);

    if (sa != NULL && rate->rate != 0) {
        rc = ngx_pcap_api_meter_charge(&sh->introspections,
                                       ngx_pcap_api_address_key(sa), rate);
        if (rc != NGX_OK) {
            goto done;
        }
    }

    for (i = 0; i < NGX_PCAP_API_MAX_INFLIGHT; i++) {
        if (sh->inflight[i]) {
            used++;

        } else if (place == NGX_PCAP_API_MAX_INFLIGHT) {
            place = i;
        }
    }

    if (used >= max || place == NGX_PCAP_API_MAX_INFLIGHT) {
        rc = NGX_DECLINED;
        goto done;
    }

    sh->inflight[place] = ngx_pid;

done:

    ngx_shmtx_unlock(&shpool->mutex);

    return rc;
}


void
ngx_pcap_api_slot_free(ngx_shm_zone_t *zone)
{
    ngx_uint_t           i;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_shmtx_lock(&shpool->mutex);

    for (i = 0; i < NGX_PCAP_API_MAX_INFLIGHT; i++) {
        if (sh->inflight[i] == ngx_pid) {
            sh->inflight[i] = 0;
            break;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);
}
