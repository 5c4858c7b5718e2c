/*
 * module/resolve_k8s.c: the resolver of Kubernetes: the running pods of a
 * namespace that a label selector names. Who may create packetcaptures there
 * and get their files may capture them; which pods there are the API server is
 * asked with the caller's own token. Who has shown a certificate has none: then
 * the service account asks, when he may list pods himself.
 *
 * A pod with the network of its node is never captured: that is the traffic of
 * everybody there.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_K8S_PODS_MAX  (8 * 1024 * 1024)
#define NGX_PCAP_API_K8S_PODS      200       /* of one answer */


/* A pod, in ask->data's list. */

typedef struct {
    ngx_str_t                  node;
    ngx_pcap_api_target_t      target;
} ngx_pcap_api_k8s_pod_t;

typedef struct {
    ngx_array_t                pods;         /* ngx_pcap_api_k8s_pod_t */
    ngx_uint_t                 nhost;        /* with their node's network */
} ngx_pcap_api_k8s_ctx_t;


static ngx_int_t ngx_pcap_api_k8s_ask_create(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_k8s_take_create(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_k8s_ask_files(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_k8s_take_files(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_k8s_ask_list(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_k8s_take_list(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_k8s_ask_pods(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_k8s_take_pods(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);


static const ngx_pcap_api_question_t  ngx_pcap_api_k8s_questions[] = {
    { ngx_pcap_api_k8s_ask_create, ngx_pcap_api_k8s_take_create },
    { ngx_pcap_api_k8s_ask_files, ngx_pcap_api_k8s_take_files },
    { ngx_pcap_api_k8s_ask_pods, ngx_pcap_api_k8s_take_pods },
    { NULL, NULL }
};

static const ngx_pcap_api_question_t  ngx_pcap_api_k8s_cert_questions[] = {
    { ngx_pcap_api_k8s_ask_create, ngx_pcap_api_k8s_take_create },
    { ngx_pcap_api_k8s_ask_files, ngx_pcap_api_k8s_take_files },
    { ngx_pcap_api_k8s_ask_list, ngx_pcap_api_k8s_take_list },
    { ngx_pcap_api_k8s_ask_pods, ngx_pcap_api_k8s_take_pods },
    { NULL, NULL }
};

static const ngx_pcap_api_question_t  ngx_pcap_api_k8s_rights[] = {
    { ngx_pcap_api_k8s_ask_create, ngx_pcap_api_k8s_take_create },
    { ngx_pcap_api_k8s_ask_files, ngx_pcap_api_k8s_take_files },
    { NULL, NULL }
};


/* --- rights --- */

static ngx_int_t
ngx_pcap_api_k8s_ask_right(ngx_pcap_api_ctx_t *ctx, const char *verb,
    const char *sub)
{
    return ngx_pcap_api_kube_ask_access(ctx, ctx->kube.user,
               json_pack("{s:s, s:s, s:s*, s:s, s:s%}",
                         "group", "projectcalico.org",
                         "resource", "packetcaptures", "subresource", sub,
                         "verb", verb, "namespace", ctx->group.data,
                         ctx->group.len));
}


static ngx_int_t
ngx_pcap_api_k8s_take_right(ngx_pcap_api_ctx_t *ctx, const char *what)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_kube_take_access(ctx);

    return rc != NGX_DECLINED ? rc
           : ngx_pcap_api_forbidden(ctx, "\"%V\" is not authorized to %s in "
                                    "namespace \"%V\"", &ctx->identity.name,
                                    what, &ctx->group);
}


static ngx_int_t
ngx_pcap_api_k8s_ask_create(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_k8s_ask_right(ctx, "create", NULL);
}


static ngx_int_t
ngx_pcap_api_k8s_take_create(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_k8s_take_right(ctx, "create packetcaptures");
}


static ngx_int_t
ngx_pcap_api_k8s_ask_files(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_k8s_ask_right(ctx, "get", "files");
}


static ngx_int_t
ngx_pcap_api_k8s_take_files(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_k8s_take_right(ctx, "get packetcaptures/files");
}


static ngx_int_t
ngx_pcap_api_k8s_ask_list(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_kube_ask_access(ctx, ctx->kube.user,
               json_pack("{s:s, s:s, s:s, s:s%}", "group", "",
                         "resource", "pods", "verb", "list",
                         "namespace", ctx->group.data, ctx->group.len));
}


static ngx_int_t
ngx_pcap_api_k8s_take_list(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_k8s_take_right(ctx, "list pods");
}


/* --- pods --- */

static ngx_int_t
ngx_pcap_api_k8s_ask_pods(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_str_t  selector, more;

    if (ngx_pcap_api_kube_arg(ctx, "labelSelector", &ctx->opts.selector,
                              &selector)
        != NGX_OK
        || ngx_pcap_api_kube_arg(ctx, "continue", &ctx->kube.more, &more)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ask->bearer = !ctx->kube.cert;

    return ngx_pcap_api_kube_ask(ctx, "GET", NULL, NGX_PCAP_API_K8S_PODS_MAX,
               "/api/v1/namespaces/%V/pods?limit=%d%V%V", &ctx->group,
               NGX_PCAP_API_K8S_PODS, &selector, &more);
}


/* instance= is the name of a pod. */
static ngx_uint_t
ngx_pcap_api_k8s_is_asked(ngx_pcap_api_ctx_t *ctx, const char *name)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    s = ctx->opts.instances.elts;

    for (i = 0; i < ctx->opts.instances.nelts; i++) {
        if (ngx_strlen(name) == s[i].len
            && ngx_memcmp(name, s[i].data, s[i].len) == 0)
        {
            return 1;
        }
    }

    return i == 0;
}


/* Copies: what was answered does not stay. */
static ngx_int_t
ngx_pcap_api_k8s_add(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_k8s_ctx_t *k8s,
    const char *name, const char *uid, const char *node, ngx_uint_t host)
{
    u_char                  *p;
    size_t                   n, u, l;
    ngx_pcap_api_k8s_pod_t  *pod;

    n = ngx_strlen(name);
    u = ngx_strlen(uid);
    l = ngx_strlen(node);

    pod = ngx_array_push(&k8s->pods);
    p = ngx_pnalloc(ctx->request->pool, 2 * n + u + 2 * l + ctx->group.len
                                        + 48);
    if (pod == NULL || p == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(pod, sizeof(ngx_pcap_api_k8s_pod_t));

    if (host) {
        k8s->nhost++;
        pod->target.unavailable = "it has the network of its node";
    }

    pod->target.group = ctx->group;
    pod->target.instance.data = p;
    pod->target.instance.len = n;
    p = ngx_cpymem(p, name, n);

    pod->target.args.data = p;
    p = ngx_sprintf(p, "&pod=%s&namespace=%V&name=%s", uid, &ctx->group,
                    name);
    pod->target.args.len = p - pod->target.args.data;

    pod->node.data = p;
    pod->node.len = l;
    p = ngx_cpymem(p, node, l);

    pod->target.detail.data = p;
    p = ngx_sprintf(p, " node=%s", node);
    pod->target.detail.len = p - pod->target.detail.data;

    return NGX_OK;
}


/* The address of the pod that was added last, for names of packets. */
static void
ngx_pcap_api_k8s_set_ip(ngx_pcap_api_k8s_ctx_t *k8s, json_t *ip)
{
    u_char                   text[NGX_SOCKADDR_STRLEN];
    ngx_str_t                s;
    ngx_pcap_api_target_t   *t;
    ngx_pcap_api_k8s_pod_t  *pod;

    pod = k8s->pods.elts;
    t = &pod[k8s->pods.nelts - 1].target;
    s.data = text;

    if (json_is_string(ip) && t->unavailable == NULL
        && !ngx_pcap_api_platform_address(json_string_value(ip),
                                          json_string_length(ip), 1, &s,
                                          t->ip, &t->ip_len))
    {
        t->ip_len = 0;
    }
}


/* One of those that the selector finds. */
static ngx_int_t
ngx_pcap_api_k8s_read_pod(ngx_pcap_api_ctx_t *ctx, json_t *doc)
{
    char                     err[PCAPX_ERR_LEN];
    json_t                  *meta, *spec, *status;
    const char              *name, *uid, *node, *phase;
    ngx_pcap_api_k8s_ctx_t  *k8s;

    k8s = ctx->asks[ngx_pcap_api_k8s_resolver.number].data;
    meta = json_object_get(doc, "metadata");
    spec = json_object_get(doc, "spec");
    status = json_object_get(doc, "status");
    name = json_string_value(json_object_get(meta, "name"));
    uid = json_string_value(json_object_get(meta, "uid"));
    node = json_string_value(json_object_get(spec, "nodeName"));
    phase = json_string_value(json_object_get(status, "phase"));

    if (name == NULL || uid == NULL || phase == NULL
        || !ngx_pcap_api_kube_name_fits((u_char *) name, ngx_strlen(name),
                                        NGX_PCAP_API_KUBE_NAME)
        || pcapx_valid_guid(uid, ngx_strlen(uid), err) != PCAPX_OK)
    {
        return ngx_pcap_api_kube_garbage(ctx);
    }

    if (!ngx_pcap_api_k8s_is_asked(ctx, name)
        || ngx_strcmp(phase, "Running") != 0 || node == NULL)
    {
        return NGX_OK;
    }

    if (!ngx_pcap_api_kube_name_fits((u_char *) node, ngx_strlen(node),
                                     NGX_PCAP_API_KUBE_NAME))
    {
        return ngx_pcap_api_kube_garbage(ctx);
    }

    if (ngx_pcap_api_k8s_add(ctx, k8s, name, uid, node,
            json_is_true(json_object_get(spec, "hostNetwork")))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_pcap_api_k8s_set_ip(k8s, json_object_get(status, "podIP"));

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_k8s_take_pods(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    json_t     *doc;
    ngx_int_t   rc;

    rc = ngx_pcap_api_kube_answer(ctx, &doc);

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_kube_read_list(ctx, doc, ngx_pcap_api_k8s_read_pod);

    } else if (rc == NGX_DECLINED) {
        rc = ask->fetch.status == NGX_HTTP_UNAUTHORIZED
             ? ngx_pcap_api_platform_no_token(ctx,
                                              &ctx->conf->kube.api->platform)
             : ask->fetch.status == NGX_HTTP_FORBIDDEN
             ? ngx_pcap_api_forbidden(ctx, "the token may not list pods in "
                                      "namespace \"%V\"", &ctx->group)
             : ask->fetch.status == NGX_HTTP_BAD_REQUEST
             ? ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "option \"selector\": the API server takes it for no label "
                   "selector")
             : ngx_pcap_api_kube_garbage(ctx);
    }

    json_decref(doc);

    return rc;
}


/* --- agents --- */

/* Their nodes, each once, in ctx->kube.nodes. */
static ngx_int_t
ngx_pcap_api_k8s_nodes(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_k8s_ctx_t *k8s)
{
    ngx_uint_t                 i;
    ngx_pcap_api_k8s_pod_t    *pod;
    ngx_pcap_api_kube_node_t  *node;

    pod = k8s->pods.elts;

    for (i = 0; i < k8s->pods.nelts; i++) {
        if (ngx_pcap_api_kube_node_of(ctx, pod[i].node.data,
                                      pod[i].node.len)
            != NULL)
        {
            continue;
        }

        node = ngx_array_push(&ctx->kube.nodes);
        if (node == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(node, sizeof(ngx_pcap_api_kube_node_t));
        node->node = pod[i].node;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_k8s_none(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_k8s_ctx_t *k8s)
{
    if (k8s->nhost) {
        return ngx_pcap_api_forbidden(ctx, "pods with the network of their "
                   "node (hostNetwork) are not captured, and namespace "
                   "\"%V\" has no other that is asked for", &ctx->group);
    }

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND, "no pod that is asked "
                               "for runs in namespace \"%V\"", &ctx->group);
}


static ngx_int_t
ngx_pcap_api_k8s_targets(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_k8s_ctx_t *k8s)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_pcap_api_target_t     *t;
    ngx_pcap_api_k8s_pod_t    *pod;
    ngx_pcap_api_kube_node_t  *node;

    rc = ngx_pcap_api_agents_room(ctx, k8s->pods.nelts);
    if (rc != NGX_OK) {
        return rc;
    }

    pod = k8s->pods.elts;

    for (i = 0; i < k8s->pods.nelts; i++) {
        t = &pod[i].target;
        node = ngx_pcap_api_kube_node_of(ctx, pod[i].node.data,
                                         pod[i].node.len);

        if (t->unavailable == NULL) {
            t->addr = node->target.addr;
            t->tls_name = node->target.tls_name;
            t->unavailable = node->target.unavailable;
        }

        ngx_pcap_api_agent_add(ctx, t);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_k8s_begin(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t                rc;
    ngx_pcap_api_k8s_ctx_t  *k8s;

    if (!ngx_pcap_api_kube_name_fits(ctx->group.data, ctx->group.len,
                                     NGX_PCAP_API_KUBE_NAMESPACE))
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "this can be no name of a namespace");
    }

    rc = ngx_pcap_api_kube_read_cluster(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->kube.cluster.len || ctx->kube.forwarder != NULL) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST, "pods are "
                   "captured of this cluster, and with a token of one's own: "
                   "no X-CLUSTER-ID, no Impersonate-...");
    }

    k8s = ngx_pcalloc(ctx->request->pool, sizeof(ngx_pcap_api_k8s_ctx_t));
    ask->data = k8s;

    return k8s != NULL
           && ngx_array_init(&k8s->pods, ctx->request->pool, 8,
                             sizeof(ngx_pcap_api_k8s_pod_t))
              == NGX_OK
           && ngx_array_init(&ctx->kube.nodes, ctx->request->pool, 8,
                             sizeof(ngx_pcap_api_kube_node_t))
              == NGX_OK
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_pcap_api_k8s_resolve(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t                rc;
    ngx_pcap_api_k8s_ctx_t  *k8s;

    if (ask->data == NULL) {
        rc = ngx_pcap_api_k8s_begin(ctx, ask);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    k8s = ask->data;

    if (ask->step == 0) {
        rc = ngx_pcap_api_kube_run(ctx, ctx->kube.cert
                                        ? ngx_pcap_api_k8s_cert_questions
                                        : ngx_pcap_api_k8s_questions);
        if (rc != NGX_OK) {
            return rc;
        }

        if (k8s->pods.nelts == k8s->nhost) {
            return ngx_pcap_api_k8s_none(ctx, k8s);
        }

        if (ngx_pcap_api_k8s_nodes(ctx, k8s) != NGX_OK) {
            return NGX_ERROR;
        }

        ask->step = 1;
    }

    rc = ngx_pcap_api_kube_nodes_phase(ctx->request, ctx);

    return rc == NGX_OK ? ngx_pcap_api_k8s_targets(ctx, k8s) : rc;
}


static ngx_int_t
ngx_pcap_api_k8s_right(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_kube_run(ctx, ngx_pcap_api_k8s_rights);
}


static ngx_uint_t
ngx_pcap_api_k8s_configured(ngx_pcap_api_loc_conf_t *conf)
{
    return conf->kube.api != NULL
           && (conf->kube.api->pods.len || conf->kube.agents != NULL);
}


const ngx_pcap_api_resolver_t  ngx_pcap_api_k8s_resolver = {
    ngx_string("k8s"),
    3,
    NGX_PCAP_API_TAKES_INSTANCE|NGX_PCAP_API_TAKES_SELECTOR,
    ngx_pcap_api_k8s_configured,
    ngx_pcap_api_k8s_resolve,
    NULL,
    NULL,
    ngx_pcap_api_k8s_right
};
