/*
 * module/kube_access.c: may somebody do that? A SubjectAccessReview by the
 * cluster that it is about; and which cluster that is.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_KUBE_ACCESS_MAX   65536     /* bytes of an answer */
#define NGX_PCAP_API_KUBE_CLUSTER_MAX  1048576


static ngx_int_t ngx_pcap_api_kube_ask_cluster(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_take_cluster(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_ask_right(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_take_right(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);


static const ngx_pcap_api_question_t  ngx_pcap_api_kube_clusters[] = {
    { ngx_pcap_api_kube_ask_cluster, ngx_pcap_api_kube_take_cluster },
    { NULL, NULL }
};

static const ngx_pcap_api_question_t  ngx_pcap_api_kube_rights[] = {
    { ngx_pcap_api_kube_ask_right, ngx_pcap_api_kube_take_right },
    { NULL, NULL }
};


ngx_int_t
ngx_pcap_api_kube_ask_access(ngx_pcap_api_ctx_t *ctx, json_t *user,
    json_t *attributes)
{
    json_t  *spec, *v;

    spec = json_pack("{s:o, s:O}", "resourceAttributes", attributes, "user",
                     json_object_get(user, "username"));
    if (spec == NULL) {
        return NGX_ERROR;
    }

    v = json_object_get(user, "groups");
    if (v != NULL) {
        json_object_set(spec, "groups", v);
    }

    v = json_object_get(user, "extra");
    if (v != NULL) {
        json_object_set(spec, "extra", v);
    }

    v = json_object_get(user, "uid");
    if (v != NULL) {
        json_object_set(spec, "uid", v);
    }

    return ngx_pcap_api_kube_ask(ctx, "POST",
               json_pack("{s:s, s:s, s:o}",
                         "apiVersion", "authorization.k8s.io/v1",
                         "kind", "SubjectAccessReview", "spec", spec),
               NGX_PCAP_API_KUBE_ACCESS_MAX,
               "/apis/authorization.k8s.io/v1/subjectaccessreviews");
}


ngx_int_t
ngx_pcap_api_kube_take_access(ngx_pcap_api_ctx_t *ctx)
{
    json_t     *doc, *status, *allowed;
    ngx_int_t   rc;

    rc = ngx_pcap_api_kube_answer(ctx, &doc);

    if (rc == NGX_DECLINED) {
        rc = ngx_pcap_api_kube_garbage(ctx);

    } else if (rc == NGX_OK) {
        status = json_object_get(doc, "status");
        allowed = json_object_get(status, "allowed");

        rc = !json_is_boolean(allowed) ? ngx_pcap_api_kube_garbage(ctx)
             : json_is_true(allowed)
               && !json_is_true(json_object_get(status, "denied"))
             ? NGX_OK : NGX_DECLINED;
    }

    json_decref(doc);

    return rc;
}


/* --- which cluster --- */

ngx_int_t
ngx_pcap_api_kube_read_cluster(ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t        *value;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static ngx_str_t  name = ngx_string("x-cluster-id");
    static ngx_str_t  home = ngx_string("cluster");

    value = &ctx->kube.cluster;

    for (part = &ctx->request->headers_in.headers.part; part;
         part = part->next)
    {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash == 0 || h[i].key.len != name.len
                || ngx_strncasecmp(h[i].key.data, name.data, name.len) != 0)
            {
                continue;
            }

            if (value->data != NULL) {
                return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                           "multiple X-CLUSTER-ID headers");
            }

            *value = h[i].value;
        }
    }

    if (value->data == NULL) {
        return NGX_OK;
    }

    if (!ngx_pcap_api_kube_name_fits(value->data, value->len,
                                     NGX_PCAP_API_KUBE_NAME))
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                   "X-CLUSTER-ID is no name of a cluster");
    }

    if (value->len == home.len
        && ngx_memcmp(value->data, home.data, home.len) == 0)
    {
        value->len = 0;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_kube_ask_cluster(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_kube_ask(ctx, "GET", NULL,
               NGX_PCAP_API_KUBE_CLUSTER_MAX,
               "/apis/projectcalico.org/v3/managedclusters/%V",
               &ctx->kube.cluster);
}


/* 1: its tunnel is known to be down. */
static ngx_uint_t
ngx_pcap_api_kube_is_cut(json_t *doc)
{
    size_t       i;
    json_t      *list, *c;
    const char  *type, *status;

    list = json_object_get(json_object_get(doc, "status"), "conditions");

    for (i = 0; i < json_array_size(list); i++) {
        c = json_array_get(list, i);
        type = json_string_value(json_object_get(c, "type"));
        status = json_string_value(json_object_get(c, "status"));

        if (type != NULL && status != NULL
            && ngx_strcmp(type, "ManagedClusterConnected") == 0
            && ngx_strcmp(status, "False") == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_pcap_api_kube_take_cluster(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    json_t     *doc;
    ngx_int_t   rc;

    rc = ngx_pcap_api_kube_answer(ctx, &doc);

    if (rc == NGX_DECLINED && ask->fetch.status == NGX_HTTP_NOT_FOUND) {
        rc = ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                 "there is no cluster \"%V\"",
                                 &ctx->kube.cluster);

    } else if (rc == NGX_DECLINED) {
        rc = ngx_pcap_api_kube_garbage(ctx);

    } else if (rc == NGX_OK && ngx_pcap_api_kube_is_cut(doc)) {
        rc = ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "cluster \"%V\" is not connected",
                                 &ctx->kube.cluster);
    }

    json_decref(doc);

    return rc;
}


ngx_int_t
ngx_pcap_api_kube_cluster_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (!ctx->kube.asked) {
        rc = ngx_pcap_api_kube_read_cluster(ctx);
        if (rc != NGX_OK) {
            return rc;
        }

        if (ctx->kube.cluster.len == 0) {
            return NGX_OK;
        }

        if (ctx->conf->kube.api->forward.len == 0) {
            return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                       "this API knows of no other clusters");
        }
    }

    rc = ngx_pcap_api_kube_run(ctx, ngx_pcap_api_kube_clusters);

    if (rc == NGX_OK) {
        ctx->kube.away = 1;
    }

    return rc;
}


/* --- the right to files --- */

static const char *
ngx_pcap_api_kube_verb(ngx_pcap_api_ctx_t *ctx)
{
    return ctx->kube.what == NGX_PCAP_API_KUBE_DELETE ? "delete" : "get";
}


static ngx_int_t
ngx_pcap_api_kube_ask_right(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_kube_ask_access(ctx, ctx->kube.user,
               json_pack("{s:s, s:s, s:s, s:s, s:s%, s:s%}",
                         "group", "projectcalico.org",
                         "resource", "packetcaptures",
                         "subresource", "files",
                         "verb", ngx_pcap_api_kube_verb(ctx),
                         "namespace", ctx->kube.ns.data, ctx->kube.ns.len,
                         "name", ctx->kube.name.data, ctx->kube.name.len));
}


static ngx_int_t
ngx_pcap_api_kube_take_right(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_kube_take_access(ctx);

    return rc != NGX_DECLINED ? rc
           : ngx_pcap_api_forbidden(ctx, "\"%V\" is not authorized to %s "
                 "packetcaptures/files \"%V\" in namespace \"%V\"",
                 &ctx->identity.name, ngx_pcap_api_kube_verb(ctx),
                 &ctx->kube.name, &ctx->kube.ns);
}


ngx_int_t
ngx_pcap_api_kube_right_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_kube_run(ctx, ngx_pcap_api_kube_rights);
}
