/*
 * module/slots.c: how many token checks may be under way, and how many a client
 * address may cause per second.
 */

#include "module/shm.h"


ngx_int_t
ngx_pcap_api_slot_take(ngx_shm_zone_t *zone, ngx_pcap_api_loc_conf_t *conf,
    struct sockaddr *sa)
{
    ngx_int_t             rc;
    ngx_uint_t            i, used, place;
    ngx_slab_pool_t      *shpool;
    ngx_pcap_api_shm_t   *sh;
    ngx_pcap_api_rate_t  *rate;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);
    rate = &conf->limits.introspection_rate;

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

    if (used >= conf->inflight || place == NGX_PCAP_API_MAX_INFLIGHT) {
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
