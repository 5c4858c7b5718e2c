/*
 * module/kube_share.c: how many downloads and removals of files a user has at
 * once, of all workers together: a node's agent serves few, and no user takes
 * them all.
 */

#include "module/shm.h"


ngx_int_t
ngx_pcap_api_kube_share_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    uint64_t                    key;
    ngx_int_t                   n;
    ngx_uint_t                  i, place;
    ngx_slab_pool_t            *shpool;
    ngx_pcap_api_kube_share_t       *shares;
    ngx_pcap_api_main_conf_t   *pmcf;

    if (ngx_pcap_api_user_key(ctx, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);
    shpool = ngx_pcap_api_shpool(pmcf->zone);
    shares = ngx_pcap_api_shm(pmcf->zone)->shares;
    place = NGX_PCAP_API_MAX_SHARES;
    n = 0;

    ngx_shmtx_lock(&shpool->mutex);

    for (i = 0; i < NGX_PCAP_API_MAX_SHARES; i++) {
        if (shares[i].pid == 0) {
            place = i;

        } else if (shares[i].user == key) {
            n++;
        }
    }

    if (n < ctx->conf->kube.downloads && place != NGX_PCAP_API_MAX_SHARES) {
        shares[place].pid = ngx_pid;
        shares[place].user = key;
        ctx->kube.share = place + 1;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    if (ctx->kube.share) {
        return NGX_OK;
    }

    ctx->retry_after = 1;

    if (n < ctx->conf->kube.downloads) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "too many downloads at once");
    }

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_TOO_MANY_REQUESTS,
               "too many downloads of yours at once: "
               "\"pcap_api_kube_downloads\" allows %i",
               ctx->conf->kube.downloads);
}


void
ngx_pcap_api_kube_share_end(ngx_pcap_api_ctx_t *ctx)
{
    ngx_slab_pool_t           *shpool;
    ngx_pcap_api_main_conf_t  *pmcf;

    if (ctx->kube.share == 0) {
        return;
    }

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    shpool = ngx_pcap_api_shpool(pmcf->zone);

    ngx_shmtx_lock(&shpool->mutex);
    ngx_pcap_api_shm(pmcf->zone)->shares[ctx->kube.share - 1].pid = 0;
    ngx_shmtx_unlock(&shpool->mutex);

    ctx->kube.share = 0;
}
