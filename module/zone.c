/*
 * module/zone.c: the shared memory of the workers, as a whole: it is made here,
 * and what a worker that is gone left in it is taken away here. A crashed
 * worker's things carry its pid.
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


/*
 * Removes what a worker left: pid, or for 0 every worker that is gone.
 */
void
ngx_pcap_api_zone_sweep(ngx_shm_zone_t *zone, ngx_pid_t pid)
{
    ngx_uint_t           i;
    ngx_queue_t         *q, *next;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t  *row;
    ngx_pcap_api_shm_t  *sh;

#define ngx_pcap_api_gone(p)                                                  \
    (pid ? (p) == pid : ((p) != ngx_pid && kill(p, 0) == -1                   \
                         && ngx_errno == NGX_ESRCH))

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_shmtx_lock(&shpool->mutex);

    for (q = ngx_queue_head(&sh->rows);
         q != ngx_queue_sentinel(&sh->rows);
         q = next)
    {
        next = ngx_queue_next(q);
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (ngx_pcap_api_gone(row->pid)) {
            row->status = NGX_PCAP_API_ERROR;
            row->end = NGX_PCAP_API_END_WORKER;
            ngx_pcap_api_row_end(shpool, sh, row);
        }
    }

    for (i = 0; i < NGX_PCAP_API_MAX_INFLIGHT; i++) {
        if (sh->inflight[i] && ngx_pcap_api_gone(sh->inflight[i])) {
            sh->inflight[i] = 0;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);
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
