/*
 * module/kube_remove.c: removes the files of a PacketCapture: each by the agent
 * of its node, one at a time, then their names from its status. A file that is
 * not there any more is removed; with one that cannot be, all names stay.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_KUBE_REMOVE_MS   5000       /* for a file */
#define NGX_PCAP_API_KUBE_CONFLICTS   4

/* The agent has the folder, and no such file (any more). */
#define NGX_PCAP_API_KUBE_GONE        410


static ngx_int_t ngx_pcap_api_kube_ask_empty(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_take_empty(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);


static const ngx_pcap_api_question_t  ngx_pcap_api_kube_empties[] = {
    { ngx_pcap_api_kube_ask_empty, ngx_pcap_api_kube_take_empty },
    { NULL, NULL }
};


static ngx_int_t
ngx_pcap_api_kube_not_removed(ngx_pcap_api_ctx_t *ctx, ngx_str_t *node,
    const char *why)
{
    return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_GATEWAY, "files on node "
               "\"%V\" are not removed: %s", node, why);
}


/* NGX_AGAIN, or why the next file is not removed. */
static ngx_int_t
ngx_pcap_api_kube_remove(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_kube_node_t *node, ngx_str_t *file)
{
    static ngx_str_t  method = ngx_string("DELETE");

    if (node->target.unavailable != NULL) {
        return ngx_pcap_api_kube_not_removed(ctx, &node->node,
                                             node->target.unavailable);
    }

    ctx->deadline = ngx_current_msec + NGX_PCAP_API_KUBE_REMOVE_MS;

    if (ngx_pcap_api_pull_file(ctx, &node->target, file, ctx->kube.removal)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->kube.removal->sr->method = NGX_HTTP_DELETE;
    ctx->kube.removal->sr->method_name = method;

    return NGX_AGAIN;
}


/* What the agent said to it: NGX_OK, NGX_AGAIN or a refusal. */
static ngx_int_t
ngx_pcap_api_kube_removed(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_kube_node_t *node)
{
    const char           *why;
    ngx_pcap_api_pull_t  *p;

    p = ctx->kube.removal;

    if (p->sr != NULL && p->status == 0
        && (ngx_msec_int_t) (ngx_current_msec - ctx->deadline) < 0)
    {
        return NGX_AGAIN;
    }

    if (ngx_pcap_api_pull_again(p, &ctx->kube.retry)) {
        ngx_pcap_api_pull_drop(p);
        return NGX_AGAIN;
    }

    if (p->status == NGX_HTTP_TOO_MANY_REQUESTS && p->unfit == NULL) {
        ngx_pcap_api_pull_drop(p);
        ctx->retry_after = 1;

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "files on node \"%V\" are not removed: "
                                   "its agent has too much to do",
                                   &node->node);
    }

    why = p->status == 0
          ? p->sr != NULL || p->timed_out
            ? "it does not answer"
            : "no connection to it, or its certificate is not the one expected"
          : p->unfit ? p->unfit
          : p->status != NGX_HTTP_NO_CONTENT
            && p->status != NGX_PCAP_API_KUBE_GONE
          ? "its agent refuses it" : NULL;

    ngx_pcap_api_count(NGX_PCAP_API_C_FILES_REMOVED,
                       why == NULL && p->status == NGX_HTTP_NO_CONTENT);
    ngx_pcap_api_pull_drop(p);

    return why ? ngx_pcap_api_kube_not_removed(ctx, &node->node, why) : NGX_OK;
}


ngx_int_t
ngx_pcap_api_kube_remove_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_pcap_api_kube_ctx_t      *kube;
    ngx_pcap_api_kube_node_t     *node;
    ngx_pcap_api_kube_missing_t  *missing;

    kube = &ctx->kube;

    if (kube->removal == NULL) {
        kube->removal = ngx_pcalloc(r->pool, sizeof(ngx_pcap_api_pull_t));
        if (kube->removal == NULL) {
            return NGX_ERROR;
        }
    }

    if (!kube->told) {
        kube->told = 1;

        if (ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_REMOVE) != NGX_OK) {
            return ngx_pcap_api_unaudited(ctx, "removed");
        }
    }

    if (kube->missing.nelts) {
        missing = kube->missing.elts;
        return ngx_pcap_api_kube_not_removed(ctx, &missing->node,
                                             missing->why);
    }

    for ( ;; ) {
        if (kube->node == kube->nodes.nelts) {
            return NGX_OK;
        }

        node = (ngx_pcap_api_kube_node_t *) kube->nodes.elts + kube->node;

        if (kube->removal->pool != NULL) {
            rc = ngx_pcap_api_kube_removed(ctx, node);
            if (rc != NGX_OK) {
                return rc;
            }

            kube->index++;
        }

        if (kube->index == node->nfiles) {
            kube->index = 0;
            kube->node++;
            continue;
        }

        if (ngx_pcap_api_retry_waits(&kube->retry)) {
            return NGX_AGAIN;
        }

        return ngx_pcap_api_kube_remove(ctx, node, &node->files[kube->index]);
    }
}


void
ngx_pcap_api_kube_remove_drop(ngx_pcap_api_ctx_t *ctx)
{
    if (ctx->kube.removal != NULL) {
        ngx_pcap_api_pull_drop(ctx->kube.removal);
    }
}


void
ngx_pcap_api_kube_remove_free(ngx_pcap_api_ctx_t *ctx)
{
    if (ctx->kube.removal != NULL) {
        ngx_pcap_api_pull_free(ctx->kube.removal);
    }
}


/* --- the status --- */

static ngx_int_t
ngx_pcap_api_kube_ask_empty(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    size_t   i;
    json_t  *files, *body;

    static const char  path[] =
        "/apis/projectcalico.org/v3/namespaces/%V/packetcaptures/%V%s";

    if (ctx->kube.object == NULL) {        /* somebody else has changed it */
        return ngx_pcap_api_kube_ask(ctx, "GET", NULL,
                                     NGX_PCAP_API_KUBE_CAPTURE_MAX, path,
                                     &ctx->kube.ns, &ctx->kube.name, "");
    }

    files = json_object_get(json_object_get(ctx->kube.object, "status"),
                            "files");

    if (ctx->kube.removed == NULL) {
        ctx->kube.removed = json_deep_copy(files);

    } else if (!json_equal(files, ctx->kube.removed)) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_CONFLICT, "the files are "
                   "removed, their names are not: the capture has other "
                   "files now");
    }

    for (i = 0; i < json_array_size(files); i++) {
        if (json_object_set_new(json_array_get(files, i), "fileNames",
                                json_array())
            != 0)
        {
            return NGX_ERROR;
        }
    }

    body = ctx->kube.object;
    ctx->kube.object = NULL;

    return ngx_pcap_api_kube_ask(ctx, "PUT", body,
                                 NGX_PCAP_API_KUBE_CAPTURE_MAX, path,
                                 &ctx->kube.ns, &ctx->kube.name, "/status");
}


static ngx_int_t
ngx_pcap_api_kube_take_empty(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    json_t      *doc;
    ngx_int_t    rc;
    ngx_uint_t   put;

    put = ctx->kube.method.data[0] == 'P';
    rc = ngx_pcap_api_kube_answer(ctx, &doc);

    if (rc == NGX_OK && !put) {
        ctx->kube.object = doc;
        return NGX_DECLINED;               /* now it is written */
    }

    json_decref(doc);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ask->fetch.status == NGX_HTTP_NOT_FOUND) {
        return NGX_OK;                     /* it has gone with its files */
    }

    if (!put || ask->fetch.status != NGX_HTTP_CONFLICT) {
        return ngx_pcap_api_kube_garbage(ctx);
    }

    return ++ctx->kube.tries < NGX_PCAP_API_KUBE_CONFLICTS ? NGX_DECLINED
           : ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                 "the files are removed, their names are not: somebody else "
                 "writes to the capture all the time");
}


ngx_int_t
ngx_pcap_api_kube_empty_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_kube_run(ctx, ngx_pcap_api_kube_empties);

    return rc == NGX_OK ? ngx_pcap_api_answer(ctx, NGX_HTTP_OK, json_object())
                        : rc;
}
