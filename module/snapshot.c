/*
 * module/snapshot.c: copies of rows, so that JSON is made of them at leisure.
 * A row may go whenever the lock is not held: sizes are taken first, memory
 * is had without the lock, and every time it is held again the row is looked
 * for again.
 *
 * A capture may have thousands of targets: they are copied in portions, and
 * the other workers get at the zone in between. Numbers that are a moment
 * apart do no harm, their owner writes them without the lock anyway.
 */

#include "module/shm.h"


#define NGX_PCAP_API_PORTION    65536      /* bytes copied at once */
#define NGX_PCAP_API_LIST_ROWS  2048       /* and at most, in a list */
#define NGX_PCAP_API_LIST_TEXT  (4 * 1024 * 1024)


#define ngx_pcap_api_move(s, from, to)                                        \
    (s)->data = (u_char *) (to) + ((s)->data - (u_char *) (from))


void
ngx_pcap_api_row_copy(ngx_pcap_api_row_t *dst, u_char *text,
    ngx_pcap_api_row_t *row)
{
    *dst = *row;
    dst->text = text;
    dst->targets = NULL;

    ngx_memcpy(text, row->text, row->text_len);

    ngx_pcap_api_move(&dst->user, row->text, text);
    ngx_pcap_api_move(&dst->client, row->text, text);
    ngx_pcap_api_move(&dst->request_id, row->text, text);
    ngx_pcap_api_move(&dst->group, row->text, text);
    ngx_pcap_api_move(&dst->interfaces, row->text, text);
    ngx_pcap_api_move(&dst->filter, row->text, text);
    ngx_pcap_api_move(&dst->reason, row->text, text);
    ngx_pcap_api_move(&dst->user_id, row->text, text);
}


/* Who asks, once for all rows. */

typedef struct {
    ngx_pcap_api_ctx_t        *ctx;
    ngx_slab_pool_t           *shpool;
    ngx_pcap_api_shm_t        *sh;
    ngx_uint_t                 admin;      /* unsigned  admin:1 */
    u_char                     hash[32];
} ngx_pcap_api_reader_t;


static void
ngx_pcap_api_reader(ngx_pcap_api_reader_t *rd, ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);

    rd->ctx = ctx;
    rd->shpool = ngx_pcap_api_shpool(pmcf->zone);
    rd->sh = ngx_pcap_api_shm(pmcf->zone);
    rd->admin = ngx_pcap_api_has_scope(&ctx->identity,
                                       &ctx->conf->admin_scope);
    ngx_pcap_api_user_hash(&ctx->identity, rd->hash);
}


/* The row that is asked for, or NULL; under the lock. */
static ngx_pcap_api_row_t *
ngx_pcap_api_reader_row(ngx_pcap_api_reader_t *rd)
{
    ngx_pcap_api_row_t  *row;

    row = ngx_pcap_api_row_find(rd->sh, rd->ctx->stop_id);

    return row != NULL
           && ngx_pcap_api_row_visible(row, rd->ctx, rd->hash, rd->admin)
           ? row : NULL;
}


static void
ngx_pcap_api_row_move_targets(ngx_pcap_api_row_t *row, u_char *from)
{
    ngx_uint_t                  i;
    ngx_pcap_api_row_target_t  *t;

    for (i = 0; i < row->ntargets; i++) {
        t = &row->targets[i];

        ngx_pcap_api_move(&t->name, from, row->targets);
        ngx_pcap_api_move(&t->addr, from, row->targets);

        if (t->error.len) {
            ngx_pcap_api_move(&t->error, from, row->targets);
        }
    }
}


/* The targets of row, which is a copy without; as snapshot_one. */
static ngx_int_t
ngx_pcap_api_snapshot_targets(ngx_pcap_api_reader_t *rd,
    ngx_pcap_api_row_t *row)
{
    size_t               n, done;
    u_char              *data, *from;
    ngx_pcap_api_row_t  *src;

    if (row->ntargets == 0) {
        return NGX_OK;
    }

    data = ngx_palloc(rd->ctx->request->pool, row->targets_len);
    if (data == NULL) {
        return NGX_ERROR;
    }

    from = NULL;

    for (done = 0; done < row->targets_len; done += n) {
        n = ngx_min(row->targets_len - done, NGX_PCAP_API_PORTION);

        ngx_shmtx_lock(&rd->shpool->mutex);

        src = ngx_pcap_api_reader_row(rd);

        if (src != NULL && src->targets != NULL) {
            from = (u_char *) src->targets;
            ngx_memcpy(data + done, from + done, n);
        }

        ngx_shmtx_unlock(&rd->shpool->mutex);

        if (from == NULL || src == NULL) {
            return NGX_DECLINED;           /* forgotten just now */
        }
    }

    row->targets = (ngx_pcap_api_row_target_t *) data;
    ngx_pcap_api_row_move_targets(row, from);

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_snapshot_one(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_row_t *row)
{
    size_t                  len;
    u_char                 *text;
    ngx_pcap_api_row_t     *src;
    ngx_pcap_api_reader_t   rd;

    ngx_pcap_api_reader(&rd, ctx);

    ngx_shmtx_lock(&rd.shpool->mutex);
    ngx_pcap_api_rows_expire(rd.shpool, rd.sh);
    src = ngx_pcap_api_reader_row(&rd);
    len = src ? src->text_len : 0;
    ngx_shmtx_unlock(&rd.shpool->mutex);

    if (src == NULL) {
        return NGX_DECLINED;
    }

    text = ngx_pnalloc(ctx->request->pool, len + 1);
    if (text == NULL) {
        return NGX_ERROR;
    }

    ngx_shmtx_lock(&rd.shpool->mutex);

    src = ngx_pcap_api_reader_row(&rd);

    if (src != NULL) {
        ngx_pcap_api_row_copy(row, text, src);
    }

    ngx_shmtx_unlock(&rd.shpool->mutex);

    return src ? ngx_pcap_api_snapshot_targets(&rd, row) : NGX_DECLINED;
}


/* What a walk over a queue does with each row that may be seen. */

typedef struct {
    ngx_uint_t                 n;
    size_t                     text_len;
    ngx_array_t               *rows;       /* NULL: counts only */
    u_char                    *text;
    u_char                    *last;
} ngx_pcap_api_list_t;


static void
ngx_pcap_api_list_walk(ngx_pcap_api_reader_t *rd, ngx_queue_t *rows,
    ngx_pcap_api_list_t *list)
{
    ngx_queue_t         *q;
    ngx_pcap_api_row_t  *row;

    for (q = ngx_queue_head(rows);
         q != ngx_queue_sentinel(rows);
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (!ngx_pcap_api_row_visible(row, rd->ctx, rd->hash, rd->admin)) {
            continue;
        }

        list->n++;
        list->text_len += row->text_len;

        if (list->rows == NULL
            || list->rows->nelts == list->rows->nalloc
            || row->text_len > (size_t) (list->last - list->text))
        {
            continue;
        }

        /* there is room: no allocation here */

        ngx_pcap_api_row_copy(ngx_array_push(list->rows), list->text, row);
        list->text += row->text_len;
    }
}


ngx_int_t
ngx_pcap_api_snapshot_all(ngx_pcap_api_ctx_t *ctx, ngx_array_t *rows,
    ngx_uint_t *more)
{
    size_t                  len;
    ngx_uint_t              n;
    ngx_pool_t             *pool;
    ngx_pcap_api_list_t     list;
    ngx_pcap_api_reader_t   rd;

    pool = ctx->request->pool;
    ngx_pcap_api_reader(&rd, ctx);
    ngx_memzero(&list, sizeof(ngx_pcap_api_list_t));

    ngx_shmtx_lock(&rd.shpool->mutex);
    ngx_pcap_api_rows_expire(rd.shpool, rd.sh);
    ngx_pcap_api_list_walk(&rd, &rd.sh->rows, &list);
    ngx_pcap_api_list_walk(&rd, &rd.sh->ended, &list);
    ngx_shmtx_unlock(&rd.shpool->mutex);

    /* with some room for those that begin just now */

    n = ngx_min(list.n + 8, NGX_PCAP_API_LIST_ROWS);
    len = ngx_min(list.text_len + 8192, NGX_PCAP_API_LIST_TEXT);

    ngx_memzero(&list, sizeof(ngx_pcap_api_list_t));
    list.rows = rows;
    list.text = ngx_pnalloc(pool, len);

    if (list.text == NULL
        || ngx_array_init(rows, pool, n, sizeof(ngx_pcap_api_row_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    list.last = list.text + len;

    ngx_shmtx_lock(&rd.shpool->mutex);
    ngx_pcap_api_list_walk(&rd, &rd.sh->rows, &list);
    ngx_pcap_api_list_walk(&rd, &rd.sh->ended, &list);
    ngx_shmtx_unlock(&rd.shpool->mutex);

    *more = list.n > rows->nelts;

    return NGX_OK;
}
