/*
 * module/slots.c: how many token checks may be under way, and how many a client
 * address may cause per second.
 */

#include "module/shm.h"


/* Takes one request out of the bucket of addr; under the lock. */
static ngx_uint_t
ngx_pcap_api_bucket_take(ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_loc_conf_t *conf, uint32_t key)
{
    ngx_uint_t              i;
    ngx_msec_int_t          ms;
    ngx_pcap_api_bucket_t  *set, *b;

    set = sh->buckets[key % NGX_PCAP_API_BUCKET_SETS];
    b = NULL;

    for (i = 0; i < NGX_PCAP_API_BUCKET_WAYS; i++) {
        if (set[i].key == key) {
            b = &set[i];
            break;
        }
    }

    if (b == NULL) {
        b = set;

        for (i = 1; i < NGX_PCAP_API_BUCKET_WAYS; i++) {
            if (set[i].key == 0
                || (b->key != 0
                    && (ngx_msec_int_t) (set[i].last - b->last) < 0))
            {
                b = &set[i];
            }
        }

        b->key = key;
        b->excess = 0;
        b->last = ngx_current_msec;
    }

    ms = (ngx_msec_int_t) (ngx_current_msec - b->last);

    if (ms > 0) {
        i = ngx_min((ngx_uint_t) ms, 3600000) * conf->rate;
        b->excess = (b->excess > i) ? b->excess - i : 0;
        b->last = ngx_current_msec;
    }

    if (b->excess + 1000 > conf->burst * 1000) {
        return 0;
    }

    b->excess += 1000;

    return 1;
}


/* An IPv6 client owns its whole /64. */
static uint32_t
ngx_pcap_api_client_key(struct sockaddr *sa)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;

    if (sa->sa_family == AF_INET6) {
        sin6 = (struct sockaddr_in6 *) sa;

        return IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)
               ? ngx_crc32_short(&sin6->sin6_addr.s6_addr[12], 4) | 1
               : ngx_crc32_short(sin6->sin6_addr.s6_addr, 8) | 1;
    }
#endif

    if (sa->sa_family != AF_INET) {
        return 1;                          /* all of a unix socket */
    }

    sin = (struct sockaddr_in *) sa;

    return ngx_crc32_short((u_char *) &sin->sin_addr, 4) | 1;
}


ngx_int_t
ngx_pcap_api_slot_take(ngx_shm_zone_t *zone, ngx_pcap_api_loc_conf_t *conf,
    struct sockaddr *sa)
{
    uint32_t             key;
    ngx_int_t            rc;
    ngx_uint_t           i, used, place;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);
    key = sa ? ngx_pcap_api_client_key(sa) : 0;

    used = 0;
    place = NGX_PCAP_API_MAX_INFLIGHT;
    rc = NGX_OK;

    ngx_shmtx_lock(&shpool->mutex);

    if (sa != NULL && !ngx_pcap_api_bucket_take(sh, conf, key)) {
        rc = NGX_BUSY;
        goto done;
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
