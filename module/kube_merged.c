/*
 * module/kube_merged.c: all files of a PacketCapture as one file in the order
 * of time. The agent of each node merges its own, as if it captured; the rest
 * is a capture like any other, but for clocks, which say nothing here, and for
 * names and number of interfaces.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_KUBE_IFACES      256    /* of a node, */
#define NGX_PCAP_API_KUBE_ALL_IFACES  32768  /* and of all: some 7 MB */


static ngx_int_t ngx_pcap_api_files_right(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_uint_t ngx_pcap_api_files_configured(
    ngx_pcap_api_loc_conf_t *conf);


/* For lists, audit, metrics and the right; no path leads to it. */

const ngx_pcap_api_resolver_t  ngx_pcap_api_files_resolver = {
    ngx_string("files"),
    4,
    0,
    ngx_pcap_api_files_configured,
    NULL,
    NULL,
    NULL,
    ngx_pcap_api_files_right
};


static ngx_uint_t
ngx_pcap_api_files_configured(ngx_pcap_api_loc_conf_t *conf)
{
    return 0;
}


/* Of the same files, in the same cluster. */
static ngx_int_t
ngx_pcap_api_files_right(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_pcap_api_kube_ctx_t  *of;

    of = &ctx->capture->kube;
    ctx->kube.ns = of->ns;
    ctx->kube.name = of->name;
    ctx->kube.cluster = of->cluster;
    ctx->kube.away = of->away;
    ctx->kube.what = of->what;

    return ngx_pcap_api_kube_right_phase(ctx->request, ctx);
}


ngx_int_t
ngx_pcap_api_kube_merged_begin(ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t                *group;
    ngx_pcap_api_kube_ctx_t  *kube;

    kube = &ctx->kube;
    group = &ctx->group;

    group->data = ngx_pnalloc(ctx->request->pool,
                              kube->ns.len + kube->name.len + 1);
    if (group->data == NULL) {
        return NGX_ERROR;
    }

    group->len = ngx_sprintf(group->data, "%V/%V", &kube->ns, &kube->name)
                 - group->data;
    ctx->label = kube->name;
    ctx->resolver = &ngx_pcap_api_files_resolver;
    ctx->max_clock_skew = 0;

    return NGX_OK;
}


/* A node whose name can be none; a file is its agent's business. */
static ngx_uint_t
ngx_pcap_api_kube_is_lost(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_kube_missing_t *m)
{
    return m->file.len == 0
           && ngx_pcap_api_kube_node_of(ctx, m->node.data, m->node.len)
              == NULL;
}


/* Of these nothing comes, and the file says so. */
static ngx_int_t
ngx_pcap_api_kube_merged_lost(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t                    i;
    ngx_pcap_api_target_t        *t;
    ngx_pcap_api_kube_missing_t  *m;

    m = ctx->kube.missing.elts;

    for (i = 0; i < ctx->kube.missing.nelts; i++) {
        if (!ngx_pcap_api_kube_is_lost(ctx, &m[i])) {
            continue;
        }

        t = ngx_pcalloc(ctx->request->pool, sizeof(ngx_pcap_api_target_t));
        if (t == NULL) {
            return NGX_ERROR;
        }

        t->group = ctx->group;
        t->instance = m[i].node;
        t->unavailable = m[i].why;
        ngx_pcap_api_agent_add(ctx, t);
    }

    return NGX_OK;
}


/* Its agent tells when it has fewer files than the capture names. */
static ngx_int_t
ngx_pcap_api_kube_merged_node(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_kube_node_t *node)
{
    ngx_str_t  *args;

    args = &node->target.args;
    args->data = ngx_pnalloc(ctx->request->pool,
                             sizeof("&files=") + NGX_INT_T_LEN);
    if (args->data == NULL) {
        return NGX_ERROR;
    }

    args->len = ngx_sprintf(args->data, "&files=%ui", node->named)
                - args->data;
    node->target.group = ctx->group;
    node->target.instance = node->node;
    ngx_pcap_api_agent_add(ctx, &node->target);

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_kube_merged_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i, n;
    ngx_pcap_api_kube_node_t     *node;
    ngx_pcap_api_kube_missing_t  *m;

    node = ctx->kube.nodes.elts;

    n = ctx->kube.nodes.nelts;
    m = ctx->kube.missing.elts;

    for (i = 0; i < ctx->kube.missing.nelts; i++) {
        n += ngx_pcap_api_kube_is_lost(ctx, &m[i]);
    }

    if (n == 0) {
        return ngx_pcap_api_answer(ctx, NGX_HTTP_NO_CONTENT, NULL);
    }

    ctx->max_ifaces = ngx_min(NGX_PCAP_API_KUBE_IFACES,
                              NGX_PCAP_API_KUBE_ALL_IFACES / n);

    rc = ngx_pcap_api_agents_room(ctx, n);
    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < ctx->kube.nodes.nelts; i++) {
        if (ngx_pcap_api_kube_merged_node(ctx, &node[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_pcap_api_kube_merged_lost(ctx);
}


ngx_int_t
ngx_pcap_api_kube_merged_uri(ngx_pcap_api_ctx_t *ctx, ngx_msec_t heartbeat)
{
    ngx_str_t                *uri;
    ngx_pcap_api_kube_ctx_t  *kube;

    kube = &ctx->kube;
    uri = &ctx->agent_uri;

    uri->data = ngx_pnalloc(ctx->request->pool,
                            kube->ns.len + kube->name.len + 128);
    if (uri->data == NULL) {
        return NGX_ERROR;
    }

    uri->len = ngx_sprintf(uri->data, "/v1/files/%V/%V?format=pcapng"
                           "&heartbeat_ms=%M&id=%*s", &kube->ns, &kube->name,
                           heartbeat, (size_t) NGX_PCAP_API_ID_LEN, ctx->id)
               - uri->data;

    return NGX_OK;
}
