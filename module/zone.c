/*
 * module/zone.c: the shared memory of the workers, as a whole: it is made here,
 * and what gives way when it is full is decided here. What a worker that is
 * gone left in it is taken away in sweep.c.
 *
 * First the ended captures of the user who has most give way, then verdicts,
 * then all other ended captures, each time the oldest before others; a capture
 * that runs never does. nginx's slab gives what is longer than half a page as
 * whole pages, all else as pieces of pages, of a power of two bytes: what does
 * not help the one that asks is let alone.
 */

#include "module/shm.h"


/* No page of this rank ever gives way. */
#define NGX_PCAP_API_PINNED  0xffff


/*
 * A zone is taken over at a reload by its name, size and owner. When another
 * one stands in its place, old workers go on with the old one, by themselves.
 */
static void
ngx_pcap_api_zone_compare(ngx_shm_zone_t *zone)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *old;
    ngx_list_part_t  *part;

    /* the old cycle is still the current one; at a start it has no zones */

    part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;

    for ( ; part != NULL; part = part->next) {
        old = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (old[i].tag != zone->tag
                && (old[i].shm.name.len != zone->shm.name.len
                    || ngx_strncmp(old[i].shm.name.data, zone->shm.name.data,
                                   zone->shm.name.len)
                       != 0))
            {
                continue;
            }

            ngx_log_error(NGX_LOG_WARN, zone->shm.log, 0,
                          "\"pcap_api_zone\" %V of %uz bytes is new: what was "
                          "in %V of %uz bytes is lost, and captures that run "
                          "go on in their old workers, where they can be "
                          "neither listed nor stopped and count among no "
                          "limit",
                          &zone->shm.name, zone->shm.size, &old[i].shm.name,
                          old[i].shm.size);
            return;
        }
    }
}


static ngx_uint_t
ngx_pcap_api_pages(ngx_slab_pool_t *shpool)
{
    return shpool->last - shpool->pages;
}


ngx_int_t
ngx_pcap_api_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_uint_t           i;
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

    ngx_pcap_api_zone_compare(zone);

    sh = ngx_slab_calloc(shpool, sizeof(ngx_pcap_api_shm_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    sh->ranks = ngx_slab_calloc(shpool, ngx_pcap_api_pages(shpool)
                                        * sizeof(uint16_t));
    if (sh->ranks == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&sh->rows);
    ngx_queue_init(&sh->grants);
    ngx_queue_init(&sh->ended);
    ngx_queue_init(&sh->verdict_queue);
    ngx_rbtree_init(&sh->verdicts, &sh->sentinel,
                    ngx_pcap_api_verdict_insert);

    for (i = 0; i < NGX_PCAP_API_KINS; i++) {
        ngx_queue_init(&sh->kins[i].rows);
    }

    shpool->data = sh;
    shpool->log_nomem = 0;

    return NGX_OK;
}


static ngx_pcap_api_kin_t *
ngx_pcap_api_kin(ngx_pcap_api_shm_t *sh, ngx_pcap_api_row_t *row)
{
    return &sh->kins[(row->user_hash[0] ^ row->env[0]) % NGX_PCAP_API_KINS];
}


/* Without its targets. */
static size_t
ngx_pcap_api_row_size(ngx_pcap_api_row_t *row)
{
    return sizeof(ngx_pcap_api_row_t) + row->text_len;
}


static size_t
ngx_pcap_api_row_held(ngx_pcap_api_row_t *row)
{
    return ngx_pcap_api_row_size(row) + (row->targets ? row->targets_len : 0);
}


void
ngx_pcap_api_kin_add(ngx_pcap_api_shm_t *sh, ngx_pcap_api_row_t *row)
{
    ngx_pcap_api_kin_t  *kin;

    kin = ngx_pcap_api_kin(sh, row);

    ngx_queue_insert_tail(&kin->rows, &row->kin);
    kin->held[NGX_PCAP_API_KIN_ROWS]++;
    kin->held[NGX_PCAP_API_KIN_BYTES] += ngx_pcap_api_row_held(row);
}


void
ngx_pcap_api_kin_remove(ngx_pcap_api_shm_t *sh, ngx_pcap_api_row_t *row)
{
    ngx_pcap_api_kin_t  *kin;

    kin = ngx_pcap_api_kin(sh, row);

    ngx_queue_remove(&row->kin);
    kin->held[NGX_PCAP_API_KIN_ROWS]--;
    kin->held[NGX_PCAP_API_KIN_BYTES] -= ngx_pcap_api_row_held(row);
}


static ngx_pcap_api_row_t *
ngx_pcap_api_kin_head(ngx_pcap_api_kin_t *kin)
{
    return ngx_queue_data(ngx_queue_head(&kin->rows), ngx_pcap_api_row_t,
                          kin);
}


ngx_pcap_api_row_t *
ngx_pcap_api_kin_oldest(ngx_pcap_api_shm_t *sh, ngx_pcap_api_kin_e what)
{
    ngx_uint_t           i;
    ngx_pcap_api_kin_t  *kin;
    ngx_pcap_api_row_t  *row, *oldest;

    size_t  most = 0;

    oldest = NULL;

    for (i = 0; i < NGX_PCAP_API_KINS; i++) {
        kin = &sh->kins[i];

        if (ngx_queue_empty(&kin->rows) || kin->held[what] < most) {
            continue;
        }

        row = ngx_pcap_api_kin_head(kin);

        if (kin->held[what] > most || row->ended < oldest->ended) {
            most = kin->held[what];
            oldest = row;
        }
    }

    return oldest;
}


/* The pages that have some of these bytes are of that rank, or a higher one. */
static void
ngx_pcap_api_rank(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh, void *data,
    size_t len, ngx_uint_t rank)
{
    size_t   from;
    u_char  *p = data;

    ngx_uint_t  i, last;

    if (p == NULL) {
        return;
    }

    from = p - shpool->start;
    last = (from + len - 1) / ngx_pagesize;

    for (i = from / ngx_pagesize; i <= last; i++) {
        if (sh->ranks[i] < rank) {
            sh->ranks[i] = (uint16_t) rank;
        }
    }
}


static void
ngx_pcap_api_rank_row(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_row_t *row, ngx_uint_t rank)
{
    ngx_pcap_api_rank(shpool, sh, row, ngx_pcap_api_row_size(row), rank);
    ngx_pcap_api_rank(shpool, sh, row->targets, row->targets_len, rank);
    ngx_pcap_api_rank(shpool, sh, row->fresh.data, row->fresh.len, rank);
}


static size_t
ngx_pcap_api_verdict_size(ngx_pcap_api_verdict_t *v)
{
    return offsetof(ngx_pcap_api_verdict_t, data) + v->id_len + v->name_len
           + v->scopes_len + 1;
}


/* Nothing of these ever gives way. */
static void
ngx_pcap_api_rank_pinned(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh)
{
    ngx_queue_t         *q;
    ngx_pcap_api_row_t  *row;

    ngx_pcap_api_rank(shpool, sh, sh, sizeof(ngx_pcap_api_shm_t),
                      NGX_PCAP_API_PINNED);
    ngx_pcap_api_rank(shpool, sh, sh->ranks, ngx_pcap_api_pages(shpool)
                                             * sizeof(uint16_t),
                      NGX_PCAP_API_PINNED);

    for (q = ngx_queue_head(&sh->rows);
         q != ngx_queue_sentinel(&sh->rows);
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);
        ngx_pcap_api_rank_row(shpool, sh, row, NGX_PCAP_API_PINNED);
    }
}


/*
 * In which order pages give way: free ones are 0, then come the rows of the
 * user who has most one by one, all verdicts at once, and all other rows one
 * by one; a page that has several things gives way with the last of them.
 * Returns the highest of all ranks but PINNED.
 */
static ngx_uint_t
ngx_pcap_api_rank_all(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh)
{
    ngx_uint_t               rank, verdicts;
    ngx_queue_t             *q;
    ngx_pcap_api_kin_t      *most;
    ngx_pcap_api_row_t      *row;
    ngx_pcap_api_verdict_t  *v;

    ngx_memzero(sh->ranks, ngx_pcap_api_pages(shpool) * sizeof(uint16_t));
    ngx_pcap_api_rank_pinned(shpool, sh);

    row = ngx_pcap_api_kin_oldest(sh, NGX_PCAP_API_KIN_BYTES);
    most = row ? ngx_pcap_api_kin(sh, row) : NULL;
    verdicts = sh->nended + 1;
    rank = 0;

    for (q = ngx_queue_head(&sh->ended);
         q != ngx_queue_sentinel(&sh->ended);
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);
        rank++;

        ngx_pcap_api_rank_row(shpool, sh, row,
                              ngx_pcap_api_kin(sh, row) == most
                              ? rank : verdicts + rank);
    }

    for (q = ngx_queue_head(&sh->verdict_queue);
         q != ngx_queue_sentinel(&sh->verdict_queue);
         q = ngx_queue_next(q))
    {
        v = ngx_queue_data(q, ngx_pcap_api_verdict_t, queue);
        ngx_pcap_api_rank(shpool, sh, v, ngx_pcap_api_verdict_size(v),
                          verdicts);
    }

    return verdicts + rank;
}


/* The first of n pages in a row whose ranks are all up to most; or NULL. */
static u_char *
ngx_pcap_api_run_of_pages(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    ngx_uint_t n, ngx_uint_t most)
{
    ngx_uint_t  i, len, pages;

    pages = ngx_pcap_api_pages(shpool);

    for (i = 0, len = 0; i < pages; i++) {
        len = sh->ranks[i] <= most ? len + 1 : 0;

        if (len == n) {
            return shpool->start + (i + 1 - n) * ngx_pagesize;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_pcap_api_lies_in(void *data, size_t len, u_char *start, u_char *end)
{
    u_char  *p = data;

    return p != NULL && p < end && p + len > start;
}


/* Whatever has some bytes in there gives way. */
static void
ngx_pcap_api_clear(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    u_char *start, u_char *end)
{
    ngx_queue_t             *q, *next;
    ngx_pcap_api_row_t      *row;
    ngx_pcap_api_verdict_t  *v;

    for (q = ngx_queue_head(&sh->ended);
         q != ngx_queue_sentinel(&sh->ended);
         q = next)
    {
        next = ngx_queue_next(q);
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (ngx_pcap_api_lies_in(row, ngx_pcap_api_row_size(row), start, end)
            || ngx_pcap_api_lies_in(row->targets, row->targets_len, start,
                                    end))
        {
            ngx_pcap_api_row_forget(shpool, sh, row);
        }
    }

    for (q = ngx_queue_head(&sh->verdict_queue);
         q != ngx_queue_sentinel(&sh->verdict_queue);
         q = next)
    {
        next = ngx_queue_next(q);
        v = ngx_queue_data(q, ngx_pcap_api_verdict_t, queue);

        if (ngx_pcap_api_lies_in(v, ngx_pcap_api_verdict_size(v), start,
                                 end))
        {
            ngx_pcap_api_verdict_delete(shpool, sh, v);
        }
    }
}


/*
 * Frees n pages in a row, those that take the least of what is to be kept
 * longest. NGX_DECLINED: there are none, and nothing was freed.
 */
static ngx_int_t
ngx_pcap_api_free_pages(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    ngx_uint_t n)
{
    u_char      *start;
    ngx_uint_t   low, high, mid;

    if (n > ngx_pcap_api_pages(shpool)) {
        return NGX_DECLINED;
    }

    high = ngx_pcap_api_rank_all(shpool, sh);

    if (ngx_pcap_api_run_of_pages(shpool, sh, n, high) == NULL) {
        return NGX_DECLINED;
    }

    for (low = 0; low < high; ) {
        mid = (low + high) / 2;

        if (ngx_pcap_api_run_of_pages(shpool, sh, n, mid) != NULL) {
            high = mid;

        } else {
            low = mid + 1;
        }
    }

    start = ngx_pcap_api_run_of_pages(shpool, sh, n, high);
    ngx_pcap_api_clear(shpool, sh, start, start + n * ngx_pagesize);

    return NGX_OK;
}


/* The size of the pieces among which the slab has it; 0: it has pages. */
static size_t
ngx_pcap_api_piece(size_t size)
{
    size_t  piece;

    if (size > ngx_pagesize / 2) {
        return 0;
    }

    for (piece = 8; piece < size; piece <<= 1) { /* void */ }

    return piece;
}


/* Would a piece of that size be free without this row? */
static ngx_uint_t
ngx_pcap_api_row_has_piece(ngx_pcap_api_row_t *row, size_t piece)
{
    return ngx_pcap_api_piece(ngx_pcap_api_row_size(row)) == piece
           || (row->targets != NULL
               && ngx_pcap_api_piece(row->targets_len) == piece);
}


/* Frees a piece of that size; NGX_DECLINED: nothing that gives way is one. */
static ngx_int_t
ngx_pcap_api_free_piece(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    size_t piece)
{
    ngx_queue_t             *q;
    ngx_pcap_api_row_t      *row;
    ngx_pcap_api_verdict_t  *v;

    row = ngx_pcap_api_kin_oldest(sh, NGX_PCAP_API_KIN_BYTES);

    if (row != NULL && ngx_pcap_api_row_has_piece(row, piece)) {
        ngx_pcap_api_row_forget(shpool, sh, row);
        return NGX_OK;
    }

    for (q = ngx_queue_last(&sh->verdict_queue);
         q != ngx_queue_sentinel(&sh->verdict_queue);
         q = ngx_queue_prev(q))
    {
        v = ngx_queue_data(q, ngx_pcap_api_verdict_t, queue);

        if (ngx_pcap_api_piece(ngx_pcap_api_verdict_size(v)) == piece) {
            ngx_pcap_api_verdict_delete(shpool, sh, v);
            return NGX_OK;
        }
    }

    for (q = ngx_queue_head(&sh->ended);
         q != ngx_queue_sentinel(&sh->ended);
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (ngx_pcap_api_row_has_piece(row, piece)) {
            ngx_pcap_api_row_forget(shpool, sh, row);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void *
ngx_pcap_api_shm_alloc(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    size_t size)
{
    void       *p;
    size_t      piece;
    ngx_int_t   rc;

    p = ngx_slab_calloc_locked(shpool, size);

    if (p == NULL && ngx_pcap_api_verdicts_expire(shpool, sh)) {
        p = ngx_slab_calloc_locked(shpool, size);
    }

    if (p != NULL) {
        return p;
    }

    piece = ngx_pcap_api_piece(size);

    if (piece) {
        rc = ngx_pcap_api_free_piece(shpool, sh, piece);

        if (rc != NGX_OK) {
            rc = ngx_pcap_api_free_pages(shpool, sh, 1);
        }

    } else {
        rc = ngx_pcap_api_free_pages(shpool, sh,
                             (size + ngx_pagesize - 1) / ngx_pagesize);
    }

    return rc == NGX_OK ? ngx_slab_calloc_locked(shpool, size) : NULL;
}


ngx_shm_zone_t *
ngx_pcap_api_cycle_zone(ngx_cycle_t *cycle)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_pcap_api_module);

    return pmcf ? pmcf->zone : NULL;
}
