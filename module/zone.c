/*
 * module/zone.c: the shared memory of the workers, as a whole: it is made here,
 * and what gives way when it is full is decided here. What a worker that is
 * gone left in it is taken away in sweep.c.
 */

#include "module/shm.h"


ngx_int_t
ngx_pcap_api_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_shm_t  *sh;

    ngx_pcap_api_main_conf_t  *pmcf = zone->data;

    shpool = ngx_pcap_api_shpool(zone);

    /* here, since worker_shutdown_timeout may stand behind us */

    if (ngx_pcap_api_drain_check(&pmcf->drain) != NGX_OK) {
        return NGX_ERROR;
    }

    if (data || zone->shm.exists) {
        return NGX_OK;                     /* a reload keeps what is there */
    }

    sh = ngx_slab_calloc(shpool, sizeof(ngx_pcap_api_shm_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&sh->rows);
    ngx_queue_init(&sh->ended);
    ngx_queue_init(&sh->verdict_queue);
    ngx_rbtree_init(&sh->verdicts, &sh->sentinel,
                    ngx_pcap_api_verdict_insert);

    shpool->data = sh;
    shpool->log_nomem = 0;

    return NGX_OK;
}


void *
ngx_pcap_api_shm_alloc(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    size_t size)
{
    void         *p;
    ngx_queue_t  *q;

    for ( ;; ) {
        p = ngx_slab_calloc_locked(shpool, size);

        if (p != NULL) {
            return p;
        }

        if (ngx_pcap_api_verdicts_expire(shpool, sh)) {
            continue;
        }

        if (sh->nended) {
            ngx_pcap_api_row_forget(shpool, sh);
            continue;
        }

        if (ngx_queue_empty(&sh->verdict_queue)) {
            return NULL;
        }

        q = ngx_queue_last(&sh->verdict_queue);
        ngx_pcap_api_verdict_delete(shpool, sh,
                          ngx_queue_data(q, ngx_pcap_api_verdict_t, queue));
    }
}


ngx_shm_zone_t *
ngx_pcap_api_cycle_zone(ngx_cycle_t *cycle)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_pcap_api_module);

    return pmcf ? pmcf->zone : NULL;
}
