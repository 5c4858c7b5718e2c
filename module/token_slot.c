/*
 * module/token_slot.c: PUT /v1/captures/ID/token: a fresh token for a capture
 * that runs. It is checked where it arrives and handed to the worker that has
 * the capture in the row, that is in shared memory; there it is wiped when it
 * is read, replaced, or when the row ends, however it does.
 *
 * Of whom the capture is not, he learns nothing: 404.
 */

#include "module/shm.h"


void
ngx_pcap_api_token_wipe(ngx_slab_pool_t *shpool, ngx_pcap_api_row_t *row)
{
    ngx_pcap_api_token_slot_t  *slot;

    slot = &row->fresh;

    if (slot->data != NULL) {
        ngx_explicit_memzero(slot->data, slot->len);
        ngx_slab_free_locked(shpool, slot->data);
        slot->data = NULL;
    }
}


/*
 * The caller's own, running, of a platform that this location has, too. One
 * for other nodes has none: of the same environment is what can be said there.
 */
static ngx_uint_t
ngx_pcap_api_token_fits_row(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_row_t *row,
    u_char hash[32])
{
    const ngx_pcap_api_resolver_t  *res;

    if (row == NULL || row->state >= NGX_PCAP_API_ROW_STOPPING
        || !ngx_pcap_api_row_of_user(row, ctx, hash))
    {
        return 0;
    }

    if (ctx->conf->peers.forwarded) {
        return 1;
    }

    res = ngx_pcap_api_resolver(ctx->conf, row->resolver);

    return res != NULL && res->number == row->resolver;
}


/* NGX_OK; NGX_DECLINED: no such capture; NGX_ERROR: no room. */
static ngx_int_t
ngx_pcap_api_token_put(ngx_pcap_api_ctx_t *ctx)
{
    u_char                     *p, hash[32];
    ngx_int_t                   rc;
    ngx_shm_zone_t             *zone;
    ngx_slab_pool_t            *shpool;
    ngx_pcap_api_shm_t         *sh;
    ngx_pcap_api_row_t         *row;
    ngx_pcap_api_main_conf_t   *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    zone = pmcf->zone;
    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);
    rc = NGX_DECLINED;

    ngx_pcap_api_user_hash(&ctx->identity, hash);

    ngx_shmtx_lock(&shpool->mutex);

    row = ngx_pcap_api_row_find(sh, ctx->stop_id);

    if (ngx_pcap_api_token_fits_row(ctx, row, hash)) {
        p = ngx_pcap_api_shm_alloc(shpool, sh, ctx->token.len);
        rc = NGX_ERROR;

        if (p != NULL) {
            ngx_memcpy(p, ctx->token.data, ctx->token.len);
            ngx_pcap_api_token_wipe(shpool, row);
            row->fresh.len = ctx->token.len;
            row->fresh.exp = ctx->identity.exp;
            row->fresh.data = p;
            rc = NGX_OK;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return rc;
}


ngx_int_t
ngx_pcap_api_token_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->kube.cert) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST, "a fresh token "
                   "is needed: \"Authorization: bearer TOKEN\", a certificate "
                   "is none");
    }

    rc = ngx_pcap_api_token_put(ctx);

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is no running capture %*s",
                                   (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id);
    }

    if (rc == NGX_ERROR) {
        ctx->retry_after = 10;

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "no room for the token: "
                                   "\"pcap_api_zone\" is full");
    }

    (void) ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_TOKEN);

    return ngx_pcap_api_answer(ctx, NGX_HTTP_NO_CONTENT, NULL);
}


ngx_int_t
ngx_pcap_api_token_take(ngx_pcap_api_ctx_t *ctx, ngx_str_t *token,
    time_t *exp)
{
    ngx_slab_pool_t            *shpool;
    ngx_pcap_api_main_conf_t   *pmcf;
    ngx_pcap_api_token_slot_t  *slot;

    slot = &ctx->row->fresh;

    if (slot->data == NULL) {              /* once more under the lock */
        return NGX_DECLINED;
    }

    token->data = ngx_alloc(NGX_PCAP_API_MAX_TOKEN, ngx_cycle->log);
    if (token->data == NULL) {
        return NGX_DECLINED;
    }

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    shpool = ngx_pcap_api_shpool(pmcf->zone);

    ngx_shmtx_lock(&shpool->mutex);

    token->len = 0;

    if (slot->data != NULL) {
        token->len = slot->len;
        ngx_memcpy(token->data, slot->data, slot->len);
        *exp = slot->exp;
        ngx_pcap_api_token_wipe(shpool, ctx->row);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    if (token->len == 0) {
        ngx_free(token->data);
        return NGX_DECLINED;
    }

    return NGX_OK;
}
