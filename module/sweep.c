/*
 * module/sweep.c: what a worker that is gone left in the zone is taken away:
 * its captures have ended, its places are free again.
 *
 * A worker is known by its place among nginx's processes (a new one in that
 * place owns nothing of before), by its pid, and by its start time, since
 * pids come again. Every worker looks when it begins, and all of them once a
 * second: nobody takes the place of an old worker that a reload has left
 * behind. Nothing here logs, or asks /proc, with the lock held.
 */

#include "module/shm.h"


#define NGX_PCAP_API_SWEEP_MS  1000

/* All texts of a row: see row_phase. */
#define NGX_PCAP_API_ROW_TEXT  16384


/* The start time of a process in ticks since boot, 0: not known. */
static uint64_t
ngx_pcap_api_born(ngx_pid_t pid)
{
    int         n;
    char       *p;
    char        path[64], text[1024];
    ssize_t     len;
    ngx_fd_t    fd;

    (void) ngx_snprintf((u_char *) path, sizeof(path), "/proc/%P/stat%Z",
                        pid);

    fd = open(path, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return 0;
    }

    len = read(fd, text, sizeof(text) - 1);
    (void) close(fd);

    if (len <= 0) {
        return 0;
    }

    text[len] = '\0';

    /* proc(5): field 22; a name in field 2 may hold blanks and brackets */

    p = strrchr(text, ')');

    for (n = 2; p != NULL && n < 22; n++) {
        p = strchr(p + 1, ' ');
    }

    return p ? strtoull(p, NULL, 10) : 0;
}


static ngx_uint_t
ngx_pcap_api_worker_alive(ngx_pcap_api_worker_t *w)
{
    uint64_t  born;

    if (kill(w->pid, 0) == -1 && ngx_errno == NGX_ESRCH) {
        return 0;
    }

    born = ngx_pcap_api_born(w->pid);

    return born == 0 || w->born == 0 || born == w->born;
}


/* What is known of it is what it wrote last. */
static void
ngx_pcap_api_row_unknown(ngx_pcap_api_row_t *row)
{
    uint64_t                    since;
    ngx_uint_t                  i;
    ngx_pcap_api_row_target_t  *t;

    since = row->synced_ns ? row->synced_ns
                           : (uint64_t) row->started * 1000000000;
    row->ledger.unknown_since = since;

    if (row->targets == NULL) {
        row->ntargets = 0;
    }

    for (i = 0; i < row->ntargets; i++) {
        t = &row->targets[i];

        if (t->state < NGX_PCAP_API_AGENT_CLOSED
            && t->ledger.unknown_since == 0)
        {
            t->ledger.unknown_since = since;
        }
    }
}


/* The first row of that worker has ended; copy is it. 0: there is none. */
static ngx_uint_t
ngx_pcap_api_sweep_row(ngx_shm_zone_t *zone, ngx_uint_t slot,
    ngx_pcap_api_worker_t *w, ngx_pcap_api_row_t *copy, u_char *text)
{
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
         q != ngx_queue_sentinel(&sh->rows);
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (row->slot == slot && row->pid == w->pid
            && row->born == w->born
            && row->text_len <= NGX_PCAP_API_ROW_TEXT)
        {
            row->status = NGX_PCAP_API_ERROR;
            row->end = NGX_PCAP_API_END_WORKER;
            ngx_pcap_api_row_unknown(row);

            if (row->state > NGX_PCAP_API_ROW_STARTING) {
                ngx_pcap_api_count_end(row);
            }

            ngx_pcap_api_row_copy(copy, text, row);
            copy->state = NGX_PCAP_API_ROW_ENDED;
            copy->ended = ngx_time();
            ngx_pcap_api_row_end(shpool, sh, row);
            found = 1;
            break;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return found;
}


/*
 * A capture that nobody else will report: row is a copy without targets. The
 * lock is not held.
 */
static void
ngx_pcap_api_row_swept(ngx_pcap_api_row_t *row, ngx_log_t *log)
{
    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "pcap capture %*s of %V ended: %s, "
                  "packets:%uL dropped:%uL",
                  (size_t) NGX_PCAP_API_ID_LEN, row->id, &row->group,
                  ngx_pcap_api_ends[row->end].name, row->packets,
                  row->dropped);

    ngx_pcap_api_audit_row(row, NGX_PCAP_API_AUDIT_END);
}


/* All that the worker w in place slot has left. */
static void
ngx_pcap_api_sweep_worker(ngx_shm_zone_t *zone, ngx_uint_t slot,
    ngx_pcap_api_worker_t *w, ngx_log_t *log)
{
    u_char                 *text;
    ngx_uint_t              i;
    ngx_slab_pool_t        *shpool;
    ngx_pcap_api_row_t      row;
    ngx_pcap_api_shm_t     *sh;
    ngx_pcap_api_worker_t  *owner;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);
    owner = &sh->workers[slot];

    text = ngx_alloc(NGX_PCAP_API_ROW_TEXT, log);
    if (text == NULL) {
        return;                            /* the next one may */
    }

    while (ngx_pcap_api_sweep_row(zone, slot, w, &row, text)) {
        ngx_pcap_api_row_swept(&row, log);
    }

    ngx_free(text);

    ngx_shmtx_lock(&shpool->mutex);

    if (owner->pid == w->pid && owner->born == w->born) {
        owner->pid = 0;

        for (i = 0; i < NGX_PCAP_API_MAX_INFLIGHT; i++) {
            if (sh->inflight[i] == w->pid) {
                sh->inflight[i] = 0;
            }
        }

        for (i = 0; i < NGX_PCAP_API_MAX_SHARES; i++) {
            if (sh->shares[i].pid == w->pid) {
                sh->shares[i].pid = 0;
            }
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


/* Workers that are gone; with fresh set also who was in our place. */
static void
ngx_pcap_api_sweep(ngx_shm_zone_t *zone, ngx_uint_t fresh, ngx_log_t *log)
{
    ngx_uint_t              i;
    ngx_slab_pool_t        *shpool;
    ngx_pcap_api_shm_t     *sh;
    ngx_pcap_api_worker_t  *all, *w;

    all = ngx_alloc(sizeof(sh->workers), log);
    if (all == NULL) {
        return;
    }

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_shmtx_lock(&shpool->mutex);
    ngx_memcpy(all, sh->workers, sizeof(sh->workers));
    sh->swept = ngx_current_msec;
    ngx_shmtx_unlock(&shpool->mutex);

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        w = &all[i];

        if (w->pid == 0) {
            continue;
        }

        if (fresh && (i == (ngx_uint_t) ngx_process_slot
                      || w->pid == ngx_pid))
        {
            ngx_pcap_api_sweep_worker(zone, i, w, log);

        } else if (w->pid != ngx_pid && !ngx_pcap_api_worker_alive(w)) {
            ngx_pcap_api_sweep_worker(zone, i, w, log);
        }
    }

    ngx_free(all);
}


/* Whoever comes first in a second looks for all. */
static void
ngx_pcap_api_sweep_handler(ngx_event_t *ev)
{
    ngx_uint_t           due;
    ngx_shm_zone_t      *zone;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_shm_t  *sh;

    zone = ngx_pcap_api_cycle_zone((ngx_cycle_t *) ngx_cycle);
    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_shmtx_lock(&shpool->mutex);
    due = (ngx_msec_int_t) (ngx_current_msec - sh->swept)
          >= NGX_PCAP_API_SWEEP_MS;

    if (due) {
        ngx_pcap_api_places_overdue(sh);
        ngx_pcap_api_grants_expire(shpool, sh);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    if (due) {
        ngx_pcap_api_sweep(zone, 0, ev->log);
    }

    ngx_add_timer(ev, NGX_PCAP_API_SWEEP_MS);
}


ngx_int_t
ngx_pcap_api_sweep_init(ngx_cycle_t *cycle)
{
    ngx_event_t               *ev;
    ngx_shm_zone_t            *zone;
    ngx_slab_pool_t           *shpool;
    ngx_pcap_api_worker_t      me, *w;
    ngx_pcap_api_main_conf_t  *pmcf;

    zone = ngx_pcap_api_cycle_zone(cycle);
    if (zone == NULL) {
        return NGX_OK;
    }

    ngx_pcap_api_sweep(zone, 1, cycle->log);

    shpool = ngx_pcap_api_shpool(zone);
    w = &ngx_pcap_api_shm(zone)->workers[ngx_process_slot];
    me.pid = ngx_pid;
    me.born = ngx_pcap_api_born(ngx_pid);

    ngx_shmtx_lock(&shpool->mutex);
    *w = me;
    ngx_shmtx_unlock(&shpool->mutex);

    /* it must not keep a worker that is to end */

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_pcap_api_module);
    pmcf->sweep_ident.fd = (ngx_socket_t) -1;

    ev = &pmcf->sweep;
    ev->handler = ngx_pcap_api_sweep_handler;
    ev->data = &pmcf->sweep_ident;
    ev->log = cycle->log;
    ev->cancelable = 1;
    ngx_add_timer(ev, NGX_PCAP_API_SWEEP_MS);

    return NGX_OK;
}


void
ngx_pcap_api_sweep_exit(ngx_cycle_t *cycle)
{
    ngx_shm_zone_t         *zone;
    ngx_pcap_api_worker_t   me;

    zone = ngx_pcap_api_cycle_zone(cycle);
    if (zone == NULL) {
        return;
    }

    me = ngx_pcap_api_shm(zone)->workers[ngx_process_slot];

    if (me.pid == ngx_pid) {
        ngx_pcap_api_sweep_worker(zone, ngx_process_slot, &me, cycle->log);
    }
}
