/*
 * module/zone.c: the shared memory of the workers, as a whole: it is made here,
 * and what a worker that is gone left in it is taken away here. A crashed
 * worker's things carry its pid.
 */

#include "module/shm.h"


#define NGX_PCAP_API_SWEEP_TEXT  65536     /* of a row, an eighth for each */


ngx_int_t
ngx_pcap_api_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);

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


#define ngx_pcap_api_gone(p)                                                  \
    (pid ? (p) == pid : ((p) != ngx_pid && kill(p, 0) == -1                   \
                         && ngx_errno == NGX_ESRCH))


/* The first row of such a worker has ended; copy is it. 0: there is none. */
static ngx_uint_t
ngx_pcap_api_sweep_row(ngx_shm_zone_t *zone, ngx_pid_t pid,
    ngx_pcap_api_row_t *copy, u_char *text)
{
    u_char              *p;
    ngx_uint_t           found;
    ngx_queue_t         *q;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t  *row;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);
    found = 0;

    ngx_shmtx_lock(&shpool->mutex);

    for (q = ngx_queue_head(&sh->rows);
         q != ngx_queue_sentinel(&sh->rows) && !found;
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (!ngx_pcap_api_gone(row->pid)) {
            continue;
        }

        row->status = NGX_PCAP_API_ERROR;
        row->end = NGX_PCAP_API_END_WORKER;
        *copy = *row;

#define ngx_pcap_api_sweep_text(field)                                        \
        copy->field.data = p;                                                 \
        p = ngx_cpymem(p, row->field.data,                                    \
                       ngx_min(row->field.len, NGX_PCAP_API_SWEEP_TEXT / 8)); \
        copy->field.len = p - copy->field.data

        p = text;
        ngx_pcap_api_sweep_text(user);
        ngx_pcap_api_sweep_text(client);
        ngx_pcap_api_sweep_text(request_id);
        ngx_pcap_api_sweep_text(group);
        ngx_pcap_api_sweep_text(interfaces);
        ngx_pcap_api_sweep_text(filter);
        ngx_pcap_api_sweep_text(reason);

        ngx_pcap_api_row_end(shpool, sh, row);
        found = 1;
        break;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return found;
}


/*
 * Removes what a worker left: pid, or for 0 every worker that is gone.
 */
void
ngx_pcap_api_zone_sweep(ngx_shm_zone_t *zone, ngx_pid_t pid)
{
    u_char              *text;
    ngx_uint_t           i;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t   copy;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    text = ngx_alloc(NGX_PCAP_API_SWEEP_TEXT, ngx_cycle->log);
    if (text == NULL) {
        return;                            /* the next one may */
    }

    while (ngx_pcap_api_sweep_row(zone, pid, &copy, text)) {
        ngx_pcap_api_audit_row(&copy, NGX_PCAP_API_AUDIT_END);
    }

    ngx_free(text);

    ngx_shmtx_lock(&shpool->mutex);

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
