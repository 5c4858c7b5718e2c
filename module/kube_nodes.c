/*
 * module/kube_nodes.c: the agents of nodes: those that the configuration
 * names, then those whose pods the API server knows.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_KUBE_PODS_MAX  (4 * 1024 * 1024)
#define NGX_PCAP_API_KUBE_PODS      100      /* of one answer */
#define NGX_PCAP_API_KUBE_PAGES     100


static ngx_int_t ngx_pcap_api_kube_ask_pods(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_take_pods(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);


static const ngx_pcap_api_question_t  ngx_pcap_api_kube_pods[] = {
    { ngx_pcap_api_kube_ask_pods, ngx_pcap_api_kube_take_pods },
    { NULL, NULL }
};


ngx_pcap_api_kube_node_t *
ngx_pcap_api_kube_node_of(ngx_pcap_api_ctx_t *ctx, const u_char *name,
    size_t len)
{
    ngx_uint_t                 i;
    ngx_pcap_api_kube_node_t  *node;

    node = ctx->kube.nodes.elts;

    for (i = 0; i < ctx->kube.nodes.nelts; i++) {
        if (node[i].node.len == len
            && ngx_memcmp(node[i].node.data, name, len) == 0)
        {
            return &node[i];
        }
    }

    return NULL;
}


/* Of the first node without an agent, or NULL. */
static ngx_pcap_api_kube_node_t *
ngx_pcap_api_kube_lost_node(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t                 i;
    ngx_pcap_api_kube_node_t  *node;

    node = ctx->kube.nodes.elts;

    for (i = 0; i < ctx->kube.nodes.nelts; i++) {
        if (node[i].target.addr.len == 0
            && node[i].target.unavailable == NULL)
        {
            return &node[i];
        }
    }

    return NULL;
}


static void
ngx_pcap_api_kube_by_map(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t                  i;
    ngx_array_t                *agents;
    ngx_pcap_api_kube_node_t   *node;
    ngx_pcap_api_kube_agent_t  *a;

    agents = ctx->conf->kube.agents;

    /* another cluster's node of that name is another node */

    if (agents == NULL || ctx->kube.away) {
        return;
    }

    a = agents->elts;

    for (i = 0; i < agents->nelts; i++) {
        node = ngx_pcap_api_kube_node_of(ctx, a[i].node.data,
                                         a[i].node.len);
        if (node != NULL) {
            node->target = a[i].target;
        }
    }
}


ngx_int_t
ngx_pcap_api_kube_arg(ngx_pcap_api_ctx_t *ctx, const char *name,
    ngx_str_t *value, ngx_str_t *arg)
{
    u_char  *p;

    ngx_str_null(arg);

    if (value->len == 0) {
        return NGX_OK;
    }

    arg->data = ngx_pnalloc(ctx->request->pool, ngx_strlen(name) + 2
                                                + 3 * value->len);
    if (arg->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(arg->data, "&%s=", name);
    p += pcapx_form_encode((char *) p, 3 * value->len, (char *) value->data,
                           value->len);
    arg->len = p - arg->data;

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_kube_ask_pods(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_str_t                 more;
    ngx_pcap_api_kube_api_t  *api;

    api = ctx->conf->kube.api;

    if (ngx_pcap_api_kube_lost_node(ctx) == NULL || api->pods.len == 0) {
        return NGX_OK;
    }

    if (ngx_pcap_api_kube_arg(ctx, "continue", &ctx->kube.more, &more)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pcap_api_kube_ask(ctx, "GET", NULL, NGX_PCAP_API_KUBE_PODS_MAX,
               "/api/v1/namespaces/%V/pods?labelSelector=%V&limit=%d%V",
               &api->pods, &api->selector, NGX_PCAP_API_KUBE_PODS, &more);
}


/*
 * What its certificate has to say. Another cluster tells us addresses: with the
 * name of the cluster it tells none but those of its own agents.
 */
static ngx_int_t
ngx_pcap_api_kube_tls_name(ngx_pcap_api_ctx_t *ctx, ngx_str_t *name)
{
    ngx_str_t  *base;

    base = &ctx->conf->kube.api->platform.tls_name;

    if (!ctx->kube.away) {
        *name = *base;
        return NGX_OK;
    }

    name->data = ngx_pnalloc(ctx->request->pool,
                             ctx->kube.cluster.len + base->len + 1);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    name->len = ngx_sprintf(name->data, "%V.%V", &ctx->kube.cluster, base)
                - name->data;

    return NGX_OK;
}


/* The pod of an agent: its node has one then, if it needs one. */
static ngx_int_t
ngx_pcap_api_kube_read_pod(ngx_pcap_api_ctx_t *ctx, json_t *pod)
{
    json_t                    *name, *ip, *phase;
    u_char                     addr[16], addr_len, *text;
    ngx_pcap_api_target_t     *t;
    ngx_pcap_api_kube_api_t   *api;
    ngx_pcap_api_kube_node_t  *node;

    api = ctx->conf->kube.api;
    name = json_object_get(json_object_get(pod, "spec"), "nodeName");
    ip = json_object_get(json_object_get(pod, "status"), "podIP");
    phase = json_object_get(json_object_get(pod, "status"), "phase");

    node = json_is_string(name)
           ? ngx_pcap_api_kube_node_of(ctx,
                 (u_char *) json_string_value(name), json_string_length(name))
           : NULL;

    if (node == NULL || node->target.addr.len || !json_is_string(ip)
        || !json_is_string(phase)
        || ngx_strcmp(json_string_value(phase), "Running") != 0
        || json_is_string(json_object_get(json_object_get(pod, "metadata"),
                                          "deletionTimestamp")))
    {
        return NGX_OK;
    }

    text = ngx_pnalloc(ctx->request->pool, NGX_SOCKADDR_STRLEN);
    if (text == NULL) {
        return NGX_ERROR;
    }

    t = &node->target;
    t->addr.data = text;

    if (!ngx_pcap_api_platform_address(json_string_value(ip),
                                       json_string_length(ip),
                                       api->platform.port, &t->addr, addr,
                                       &addr_len))
    {
        t->addr.len = 0;
        return NGX_OK;                     /* it has none yet */
    }

    if (ngx_pcap_api_kube_tls_name(ctx, &t->tls_name) != NGX_OK) {
        return NGX_ERROR;
    }

    t->unavailable = ngx_pcap_api_platform_in(ctx->conf->ranges->elts,
                         ctx->conf->ranges->nelts, addr, addr_len)
                     ? NULL
                     : "the address of its agent is outside of "
                       "pcap_api_agent_ranges";

    return NGX_OK;
}


/*
 * The text that asks for the next part of a list as ctx->kube.more, empty at
 * its end.
 */
static ngx_int_t
ngx_pcap_api_kube_read_more(ngx_pcap_api_ctx_t *ctx, json_t *doc)
{
    size_t   len;
    json_t  *v;

    v = json_object_get(json_object_get(doc, "metadata"), "continue");
    len = json_string_length(v);
    ctx->kube.more.len = 0;

    if (len == 0) {
        return NGX_OK;
    }

    if (len > 2048 || ++ctx->kube.tries == NGX_PCAP_API_KUBE_PAGES) {
        return ngx_pcap_api_kube_failed(ctx, "its list of pods does not "
                                        "end");
    }

    ctx->kube.more.data = ngx_pnalloc(ctx->request->pool, len);
    if (ctx->kube.more.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ctx->kube.more.data, json_string_value(v), len);
    ctx->kube.more.len = len;

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_kube_read_list(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_int_t (*read)(ngx_pcap_api_ctx_t *ctx, json_t *item))
{
    size_t      i;
    json_t     *items;
    ngx_int_t   rc;

    items = json_object_get(doc, "items");

    if (!json_is_array(items)) {
        return ngx_pcap_api_kube_garbage(ctx);
    }

    for (i = 0; i < json_array_size(items); i++) {
        rc = read(ctx, json_array_get(items, i));
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_pcap_api_kube_read_more(ctx, doc);

    return rc == NGX_OK && ctx->kube.more.len ? NGX_DECLINED : rc;
}


static ngx_int_t
ngx_pcap_api_kube_take_pods(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    json_t     *doc;
    ngx_int_t   rc;

    rc = ngx_pcap_api_kube_answer(ctx, &doc);

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_kube_read_list(ctx, doc,
                                         ngx_pcap_api_kube_read_pod);

    } else if (rc == NGX_DECLINED) {
        rc = ngx_pcap_api_kube_garbage(ctx);
    }

    json_decref(doc);

    return rc;
}


ngx_int_t
ngx_pcap_api_kube_nodes_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_pcap_api_kube_node_t  *node;

    if (!ctx->kube.asked) {
        ngx_pcap_api_kube_by_map(ctx);
    }

    rc = ngx_pcap_api_kube_run(ctx, ngx_pcap_api_kube_pods);
    if (rc != NGX_OK) {
        return rc;
    }

    for (node = ngx_pcap_api_kube_lost_node(ctx); node != NULL;
         node = ngx_pcap_api_kube_lost_node(ctx))
    {
        node->target.unavailable = "no agent is known that runs on it";
    }

    return NGX_OK;
}
