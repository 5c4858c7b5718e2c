/*
 * module/registry.c: the captures of all workers, those that run and for a
 * while those that have ended.
 *
 * A row is added when its user is known, gets its targets when they are, and
 * is its worker's: that one alone writes its numbers, without the lock, by
 * plain aligned stores; whoever reads holds the lock, so that it stays.
 */

#include "module/shm.h"

#include <openssl/evp.h>


#define NGX_PCAP_API_ROW_TEXTS  8


void
ngx_pcap_api_user_hash(ngx_pcap_api_identity_t *id, u_char hash[32])
{
    ngx_memzero(hash, 32);
    (void) EVP_Digest(id->id.data, id->id.len, hash, NULL, EVP_sha256(),
                      NULL);
}


/* What is captured: a group, a deployment; not which instances of it. */
static void
ngx_pcap_api_what_hash(ngx_pcap_api_ctx_t *ctx, u_char hash[32])
{
    ngx_memzero(hash, 32);
    (void) EVP_Digest(ctx->group.data, ctx->group.len, hash, NULL,
                      EVP_sha256(), NULL);
    hash[0] ^= (u_char) ctx->resolver->number;
}


/* A user is one of an environment: another one may use the same ids. */
ngx_uint_t
ngx_pcap_api_row_of_user(ngx_pcap_api_row_t *row, ngx_pcap_api_ctx_t *ctx,
    u_char user_hash[32])
{
    return ngx_memcmp(row->env, ctx->conf->env, 32) == 0
           && ngx_memcmp(row->user_hash, user_hash, 32) == 0;
}


ngx_uint_t
ngx_pcap_api_row_is_own(ngx_pcap_api_row_t *row, ngx_pcap_api_ctx_t *ctx)
{
    u_char  hash[32];

    ngx_pcap_api_user_hash(&ctx->identity, hash);

    return ngx_pcap_api_row_of_user(row, ctx, hash);
}


ngx_uint_t
ngx_pcap_api_row_visible(ngx_pcap_api_row_t *row, ngx_pcap_api_ctx_t *ctx,
    u_char user_hash[32], ngx_uint_t admin)
{
    return admin ? ngx_memcmp(row->env, ctx->conf->env, 32) == 0
                 : ngx_pcap_api_row_of_user(row, ctx, user_hash);
}


/* Frees a row that is in no queue; under the lock. */
static void
ngx_pcap_api_row_free(ngx_slab_pool_t *shpool, ngx_pcap_api_row_t *row)
{
    ngx_pcap_api_token_wipe(shpool, row);

    if (row->targets != NULL) {
        ngx_slab_free_locked(shpool, row->targets);
    }

    ngx_slab_free_locked(shpool, row);     /* and its texts */
}


void
ngx_pcap_api_row_forget(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_row_t *row)
{
    ngx_queue_remove(&row->queue);
    sh->nended--;
    ngx_pcap_api_kin_remove(sh, row);
    ngx_pcap_api_row_free(shpool, row);
}


void
ngx_pcap_api_row_end(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_row_t *row)
{
    ngx_queue_remove(&row->queue);
    ngx_pcap_api_place_give_back(sh, row);
    ngx_pcap_api_token_wipe(shpool, row);

    row->ended = ngx_time();
    row->state = NGX_PCAP_API_ROW_ENDED;
    ngx_queue_insert_tail(&sh->ended, &row->queue);
    ngx_pcap_api_kin_add(sh, row);

    if (++sh->nended > NGX_PCAP_API_MAX_ENDED) {
        ngx_pcap_api_row_forget(shpool, sh,
                     ngx_pcap_api_kin_oldest(sh, NGX_PCAP_API_KIN_ROWS));
    }
}


/* Copies src to p, which it then is; what comes behind is returned. */
static u_char *
ngx_pcap_api_row_text(u_char *p, ngx_str_t *dst, const ngx_str_t *src)
{
    dst->data = p;
    dst->len = src->len;

    return src->len ? ngx_cpymem(p, src->data, src->len) : p;
}


/* The names of all interfaces, separated by commas. */
static ngx_int_t
ngx_pcap_api_row_interfaces(ngx_pcap_api_ctx_t *ctx, ngx_str_t *text)
{
    size_t       len;
    u_char      *p;
    ngx_str_t   *name;
    ngx_uint_t   i;

    ngx_str_null(text);

    if (ctx->opts.interfaces.nelts == 0) {
        return NGX_OK;
    }

    name = ctx->opts.interfaces.elts;
    len = 0;

    for (i = 0; i < ctx->opts.interfaces.nelts; i++) {
        len += name[i].len + 1;
    }

    p = ngx_pnalloc(ctx->request->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    for (i = 0; i < ctx->opts.interfaces.nelts; i++) {
        p = ngx_cpymem(p, name[i].data, name[i].len);
        *p++ = ',';
    }

    text->len = len - 1;

    return NGX_OK;
}


static void
ngx_pcap_api_row_numbers(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_row_t *row)
{
    row->started = ngx_time();
    row->resolver = ctx->resolver->number;
    row->snaplen = ctx->opts.snaplen;
    row->duration_ms = ctx->opts.duration_ms;
    row->max_bytes = ctx->opts.max_bytes;
    row->max_packets = ctx->opts.max_packets;
    row->stored = ctx->stored.granted;

    ngx_memcpy(row->id, ctx->id, NGX_PCAP_API_ID_LEN);
    ngx_memcpy(row->env, ctx->conf->env, 32);
}


/* What does not change while it runs. */
static void
ngx_pcap_api_row_fill(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_row_t *row,
    ngx_pcap_api_worker_t *worker, ngx_str_t texts[])
{
    u_char  *p;

    row->slot = ngx_process_slot;
    row->pid = worker->pid;
    row->born = worker->born;
    ngx_pcap_api_row_numbers(ctx, row);

    p = ngx_pcap_api_row_text(row->text, &row->user, &texts[0]);
    p = ngx_pcap_api_row_text(p, &row->client, &texts[1]);
    p = ngx_pcap_api_row_text(p, &row->request_id, &texts[2]);
    p = ngx_pcap_api_row_text(p, &row->group, &texts[3]);
    p = ngx_pcap_api_row_text(p, &row->interfaces, &texts[4]);
    p = ngx_pcap_api_row_text(p, &row->filter, &texts[5]);
    p = ngx_pcap_api_row_text(p, &row->reason, &texts[6]);
    (void) ngx_pcap_api_row_text(p, &row->user_id, &texts[7]);
}


/* In the order in which they stand in a row. */
static ngx_int_t
ngx_pcap_api_row_texts(ngx_pcap_api_ctx_t *ctx,
    ngx_str_t texts[NGX_PCAP_API_ROW_TEXTS])
{
    texts[0] = ctx->identity.name;
    ngx_pcap_api_client_addr(ctx->request, ctx->conf, &texts[1]);
    texts[2] = ctx->request_id;
    texts[3] = ctx->group;
    texts[5] = ctx->opts.filter;
    texts[6] = ctx->opts.reason;
    texts[7] = ctx->identity.id;

    /* a longer one is nobody's: the resolver will refuse it */

    texts[3].len = ngx_min(texts[3].len, NGX_PCAP_API_MAX_GROUP);

    return ngx_pcap_api_row_interfaces(ctx, &texts[4]);
}


/* There is none before its targets are resolved. */
static void
ngx_pcap_api_row_label(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_row_t *row)
{
    if (ctx->label.len) {
        row->label_len = ngx_min(ctx->label.len, NGX_PCAP_API_LABEL_LEN);
        ngx_memcpy(row->label, ctx->label.data, row->label_len);
    }
}


ngx_int_t
ngx_pcap_api_row_preview(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_row_t *row)
{
    ngx_str_t  texts[NGX_PCAP_API_ROW_TEXTS];

    if (ngx_pcap_api_row_texts(ctx, texts) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(row, sizeof(ngx_pcap_api_row_t));
    ngx_pcap_api_row_numbers(ctx, row);

    row->ntargets = ctx->nagents;
    row->user = texts[0];
    row->client = texts[1];
    row->request_id = texts[2];
    row->group = texts[3];
    row->interfaces = texts[4];
    row->filter = texts[5];
    row->reason = texts[6];
    row->user_id = texts[7];
    ngx_pcap_api_row_label(ctx, row);

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_row_full(ngx_pcap_api_ctx_t *ctx)
{
    ctx->retry_after = 10;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "no room for another capture: "
                               "\"pcap_api_zone\" is full");
}


ngx_int_t
ngx_pcap_api_row_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    size_t                     len;
    u_char                     hash[32], what[32];
    ngx_str_t                  texts[NGX_PCAP_API_ROW_TEXTS];
    ngx_uint_t                 i;
    ngx_slab_pool_t           *shpool;
    ngx_pcap_api_row_t        *row, *before;
    ngx_pcap_api_shm_t        *sh;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);
    shpool = ngx_pcap_api_shpool(pmcf->zone);
    sh = ngx_pcap_api_shm(pmcf->zone);

    if (ngx_pcap_api_row_texts(ctx, texts) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_pcap_api_user_hash(&ctx->identity, hash);
    ngx_pcap_api_what_hash(ctx, what);

    for (i = 0, len = 0; i < NGX_PCAP_API_ROW_TEXTS; i++) {
        len += texts[i].len;
    }

    ngx_shmtx_lock(&shpool->mutex);

    if (ngx_pcap_api_admit(sh, ctx, hash, &before) != NGX_OK) {
        ngx_shmtx_unlock(&shpool->mutex);
        return ngx_pcap_api_not_admitted(ctx);
    }

    row = ngx_pcap_api_shm_alloc(shpool, sh, sizeof(ngx_pcap_api_row_t)
                                             + len);

    if (row != NULL) {
        row->text_len = len;
        row->text = (u_char *) (row + 1);
        ngx_memcpy(row->user_hash, hash, 32);
        ngx_memcpy(row->what, what, 32);
        ngx_pcap_api_row_fill(ctx, row, &sh->workers[ngx_process_slot],
                              texts);
        ngx_queue_insert_tail(&sh->rows, &row->queue);

        if (before != NULL) {
            ngx_pcap_api_place_hand(before, row);
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    ctx->row = row;

    return row ? NGX_OK : ngx_pcap_api_row_full(ctx);
}


/* Behind the targets: room for the words of those that fail first. */
static u_char *
ngx_pcap_api_row_errors(ngx_pcap_api_row_target_t *t, ngx_uint_t n)
{
    return (u_char *) (t + n);
}


ngx_int_t
ngx_pcap_api_row_targets_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx)
{
    size_t                      len;
    u_char                     *p;
    ngx_uint_t                  i;
    ngx_slab_pool_t            *shpool;
    ngx_pcap_api_row_t         *row;
    ngx_pcap_api_main_conf_t   *pmcf;
    ngx_pcap_api_row_target_t  *t;

    row = ctx->row;
    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);
    shpool = ngx_pcap_api_shpool(pmcf->zone);
    len = ctx->nagents * sizeof(ngx_pcap_api_row_target_t)
          + ngx_min(ctx->nagents, NGX_PCAP_API_ROW_ERRORS)
            * NGX_PCAP_API_TEXT_LEN;

    for (i = 0; i < ctx->nagents; i++) {
        len += ctx->agents[i].target->instance.len
               + ctx->agents[i].target->addr.len;
    }

    ngx_shmtx_lock(&shpool->mutex);

    ngx_pcap_api_row_label(ctx, row);

    t = ngx_pcap_api_shm_alloc(shpool, ngx_pcap_api_shm(pmcf->zone), len);

    if (t != NULL) {
        p = ngx_pcap_api_row_errors(t, ctx->nagents)
            + ngx_min(ctx->nagents, NGX_PCAP_API_ROW_ERRORS)
              * NGX_PCAP_API_TEXT_LEN;

        for (i = 0; i < ctx->nagents; i++) {
            p = ngx_pcap_api_row_text(p, &t[i].name,
                                      &ctx->agents[i].target->instance);
            p = ngx_pcap_api_row_text(p, &t[i].addr,
                                      &ctx->agents[i].target->addr);
        }

        /* their number comes last: a worker may die anywhere */

        row->states[NGX_PCAP_API_AGENT_NEW] = (uint32_t) ctx->nagents;
        row->targets_len = len;
        row->targets = t;
        ngx_memory_barrier();
        row->ntargets = ctx->nagents;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return t ? NGX_OK : ngx_pcap_api_row_full(ctx);
}


/* A predecessor has its time from when its successor runs. */
static void
ngx_pcap_api_row_took_over(ngx_pcap_api_ctx_t *ctx)
{
    ngx_slab_pool_t           *shpool;
    ngx_pcap_api_row_t        *before;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    shpool = ngx_pcap_api_shpool(pmcf->zone);

    ngx_shmtx_lock(&shpool->mutex);

    before = ngx_pcap_api_place_owner(ngx_pcap_api_shm(pmcf->zone), ctx->row);

    if (before != NULL) {
        before->handed = NGX_PCAP_API_SUCCEEDED;
        before->succeeded = ngx_current_msec;
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


void
ngx_pcap_api_row_run(ngx_pcap_api_ctx_t *ctx)
{
    if (ctx->row->borrowed) {
        ngx_pcap_api_row_took_over(ctx);
    }

    ctx->row->state = NGX_PCAP_API_ROW_RUNNING;
    ngx_pcap_api_count_of(ctx->row->resolver, NGX_PCAP_API_RC_STARTED, 1);
    ngx_pcap_api_row_sync(ctx);
}


/* Its length comes last: a reader sees nothing or all of it. */
static void
ngx_pcap_api_row_error(ngx_pcap_api_row_t *row, ngx_pcap_api_row_target_t *t,
    ngx_str_t *text)
{
    u_char  *p;

    if (row->nerrors == ngx_min(row->ntargets, NGX_PCAP_API_ROW_ERRORS)) {
        return;
    }

    p = ngx_pcap_api_row_errors(row->targets, row->ntargets)
        + row->nerrors++ * NGX_PCAP_API_TEXT_LEN;

    ngx_memcpy(p, text->data, ngx_min(text->len, NGX_PCAP_API_TEXT_LEN));
    t->error.data = p;
    ngx_memory_barrier();
    t->error.len = ngx_min(text->len, NGX_PCAP_API_TEXT_LEN);
}


void
ngx_pcap_api_row_sync(ngx_pcap_api_ctx_t *ctx)
{
    uint32_t                    states[NGX_PCAP_API_AGENT_FAILED + 1];
    ngx_time_t                 *tp;
    ngx_uint_t                  i;
    ngx_pcap_api_row_t         *row;
    ngx_pcap_api_agent_t       *a;
    ngx_pcap_api_row_target_t  *t;

    row = ctx->row;
    ngx_memzero(states, sizeof(states));
    ctx->synced = ngx_current_msec;

    row->packets = ctx->packets;
    row->bytes = ctx->bytes;
    row->late = ctx->late;
    row->sent = (uint64_t) ctx->sent;

    tp = ngx_timeofday();
    row->synced_ns = (uint64_t) tp->sec * 1000000000
                     + (uint64_t) tp->msec * 1000000;

    if (ctx->stopping || ctx->limit_hit) {
        row->state = NGX_PCAP_API_ROW_STOPPING;
    }

    for (i = 0; i < row->ntargets; i++) {
        a = &ctx->agents[i];
        t = &row->targets[i];

        if (a->state == NGX_PCAP_API_AGENT_FAILED && t->state != a->state) {
            ngx_pcap_api_row_error(row, t, &a->fail_text);
        }

        t->state = a->state;
        t->packets = a->packets;
        t->bytes = a->bytes;
        t->late = a->late;
        states[a->state]++;
    }

    ngx_memcpy(row->states, states, sizeof(states));
    ngx_pcap_api_ledger_sync(ctx);
    ngx_pcap_api_count_capture(ctx);
}


static ngx_pcap_api_row_t *
ngx_pcap_api_row_in(ngx_queue_t *rows, u_char *id)
{
    ngx_queue_t         *q;
    ngx_pcap_api_row_t  *row;

    for (q = ngx_queue_head(rows);
         q != ngx_queue_sentinel(rows);
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (ngx_memcmp(row->id, id, NGX_PCAP_API_ID_LEN) == 0) {
            return row;
        }
    }

    return NULL;
}


void
ngx_pcap_api_row_remove(ngx_shm_zone_t *zone, ngx_pcap_api_ctx_t *ctx)
{
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t  *row;

    shpool = ngx_pcap_api_shpool(zone);
    row = ctx->row;

    if (ctx->header_sent) {
        ngx_pcap_api_row_sync(ctx);
        row->status = ctx->finished ? ctx->status : NGX_PCAP_API_ERROR;
        row->end = ngx_pcap_api_end_of(ctx);

        ngx_pcap_api_count_end(row);
    }

    ngx_shmtx_lock(&shpool->mutex);

    if (ctx->header_sent) {
        ngx_pcap_api_row_end(shpool, ngx_pcap_api_shm(zone), row);

    } else {
        ngx_queue_remove(&row->queue);
        ngx_pcap_api_place_give_back(ngx_pcap_api_shm(zone), row);
        ngx_pcap_api_row_free(shpool, row);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    ctx->row = NULL;
}


ngx_pcap_api_row_t *
ngx_pcap_api_row_find(ngx_pcap_api_shm_t *sh, u_char *id)
{
    ngx_pcap_api_row_t  *row;

    row = ngx_pcap_api_row_in(&sh->rows, id);

    return row ? row : ngx_pcap_api_row_in(&sh->ended, id);
}


void
ngx_pcap_api_rows_expire(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh)
{
    ngx_queue_t         *q;
    ngx_pcap_api_row_t  *row;

    while (!ngx_queue_empty(&sh->ended)) {
        q = ngx_queue_head(&sh->ended);
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (ngx_time() - row->ended <= NGX_PCAP_API_ENDED_KEPT) {
            break;
        }

        ngx_pcap_api_row_forget(shpool, sh, row);
    }
}


ngx_int_t
ngx_pcap_api_row_known(ngx_shm_zone_t *zone, ngx_pcap_api_ctx_t *ctx,
    u_char *id)
{
    u_char               hash[32], what[32];
    ngx_int_t            rc;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t  *row;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_pcap_api_user_hash(&ctx->identity, hash);
    ngx_pcap_api_what_hash(ctx, what);
    rc = NGX_DECLINED;

    ngx_shmtx_lock(&shpool->mutex);

    ngx_pcap_api_rows_expire(shpool, sh);
    row = ngx_pcap_api_row_find(sh, id);

    if (row != NULL && ngx_pcap_api_row_of_user(row, ctx, hash)) {
        rc = ngx_memcmp(row->what, what, 32) == 0 ? NGX_OK : NGX_ABORT;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return rc;
}


ngx_int_t
ngx_pcap_api_row_stop(ngx_shm_zone_t *zone, ngx_pcap_api_ctx_t *ctx)
{
    u_char               hash[32];
    ngx_int_t            rc;
    ngx_uint_t           owner, allowed;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t  *row;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_pcap_api_user_hash(&ctx->identity, hash);
    allowed = ngx_pcap_api_has_scope(&ctx->identity, &ctx->conf->admin_scope);
    rc = NGX_DECLINED;

    ngx_shmtx_lock(&shpool->mutex);

    row = ngx_pcap_api_row_in(&sh->rows, ctx->stop_id);

    if (row != NULL) {
        owner = ngx_pcap_api_row_of_user(row, ctx, hash);
        allowed = owner
                  || (allowed && ngx_memcmp(row->env, ctx->conf->env, 32) == 0);

        if (allowed) {
            rc = row->stop ? NGX_DONE : NGX_OK;
        }

        if (rc == NGX_OK) {
            row->stop = owner ? NGX_PCAP_API_END_USER
                              : NGX_PCAP_API_END_ADMIN;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return rc;
}
