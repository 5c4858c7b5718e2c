/*
 * module/pull.c: one large answer of an agent, which is taken piece by piece
 * where it lies: what nobody takes fills the buffer of the subrequest, and
 * then the agent is not read.
 *
 * A request may pull thousands of them, one behind the other, and nginx frees
 * nothing of a subrequest (the buffer alone has 64 KB) before the request
 * ends. So each has a pool of its own, which goes when it has ended; and
 * variables of its own, whose values lie in there.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_PULL_POOL   4096
#define NGX_PCAP_API_PULL_LINKS  4096      /* pieces of one buffer */

/* "/v1/files/NS/NAME/FILE", of 63, 253 and 255 bytes, the last one encoded. */
#define NGX_PCAP_API_PULL_URI    2048

#define NGX_PCAP_API_PULL_RETRY  200       /* ms */

/* A node that is down costs each archive so much time. */
#define NGX_PCAP_API_PULL_CONNECT  1000


static ngx_int_t ngx_pcap_api_pull_done(ngx_http_request_t *sr, void *data,
    ngx_int_t rc);


ngx_pcap_api_pull_t *
ngx_pcap_api_pull_of(ngx_http_request_t *r)
{
    if (r != r->main && r->post_subrequest
        && r->post_subrequest->handler == ngx_pcap_api_pull_done)
    {
        return r->post_subrequest->data;
    }

    return NULL;
}


/* What is made of the main request lies in its pool: that is another now. */
static ngx_int_t
ngx_pcap_api_pull_start(ngx_pcap_api_pull_t *p)
{
    ngx_int_t                   rc;
    ngx_pool_t                 *pool;
    ngx_http_request_t         *r;
    ngx_http_core_main_conf_t  *cmcf;

    r = p->ctx->request;
    pool = r->pool;
    r->pool = p->pool;

    rc = ngx_pcap_api_subrequest(p->ctx, &p->ctx->conf->agents,
                                 ngx_pcap_api_pull_done, p, &p->sr);
    r->pool = pool;
    p->request = p->sr;

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    p->sr->variables = ngx_pcalloc(p->pool, cmcf->variables.nelts
                                   * sizeof(ngx_http_variable_value_t));

    return p->sr->variables ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_pcap_api_pull(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_target_t *target,
    ngx_str_t *path, ngx_pcap_api_pull_t *p)
{
    ngx_memzero(p, sizeof(ngx_pcap_api_pull_t));

    p->ctx = ctx;
    p->target = target;
    p->last_in = &p->in;

    p->pool = ngx_create_pool(NGX_PCAP_API_PULL_POOL,
                              ctx->request->connection->log);
    if (p->pool == NULL) {
        return NGX_ERROR;
    }

    p->uri.len = path->len;
    p->uri.data = ngx_pstrdup(p->pool, path);

    if (p->uri.data == NULL) {
        return NGX_ERROR;
    }

    return ngx_pcap_api_pull_start(p);
}


ngx_int_t
ngx_pcap_api_pull_file(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_target_t *target,
    ngx_str_t *file, ngx_pcap_api_pull_t *p)
{
    u_char     *end, uri[NGX_PCAP_API_PULL_URI];
    ngx_str_t   path;

    if (ctx->kube.ns.len + ctx->kube.name.len + 3 * file->len
        > sizeof(uri) - sizeof("/v1/files///"))
    {
        return NGX_ERROR;                  /* a phase before has checked */
    }

    end = ngx_sprintf(uri, "/v1/files/%V/%V/", &ctx->kube.ns,
                      &ctx->kube.name);
    path.data = uri;
    path.len = end - uri + file->len
               + 2 * ngx_escape_uri(NULL, file->data, file->len,
                                    NGX_ESCAPE_URI_COMPONENT);
    (void) ngx_escape_uri(end, file->data, file->len,
                          NGX_ESCAPE_URI_COMPONENT);

    return ngx_pcap_api_pull(ctx, target, &path, p);
}


ngx_uint_t
ngx_pcap_api_pull_again(ngx_pcap_api_pull_t *p, ngx_pcap_api_retry_t *retry)
{
    if (p->timed_out || p->unfit || (p->status == 0 && p->sr != NULL)
        || (p->status != 0 && p->status != NGX_HTTP_TOO_MANY_REQUESTS))
    {
        retry->on = 0;
        return 0;
    }

    if (!retry->on) {
        retry->since = ngx_current_msec;
        retry->busy = 0;
    }

    retry->busy |= p->status != 0;
    retry->at = ngx_current_msec + NGX_PCAP_API_PULL_RETRY;
    retry->on = retry->at - retry->since
                < (retry->busy ? p->ctx->conf->start_timeout
                               : NGX_PCAP_API_PULL_CONNECT);

    return retry->on;
}


ngx_uint_t
ngx_pcap_api_retry_waits(ngx_pcap_api_retry_t *retry)
{
    return retry->on && (ngx_msec_int_t) (retry->at - ngx_current_msec) > 0;
}


/* Nothing that is still to run may be of what is freed, or used again. */
static void
ngx_pcap_api_pull_unpost(ngx_pcap_api_pull_t *p, ngx_uint_t ended)
{
    ngx_http_posted_request_t  **pr;

    pr = &p->ctx->request->posted_requests;

    while (*pr) {
        if (*pr == &p->posted || (ended && (*pr)->request == p->request)) {
            *pr = (*pr)->next;

        } else {
            pr = &(*pr)->next;
        }
    }
}


static void
ngx_pcap_api_pull_later(void *data)
{
    ngx_destroy_pool(data);
}


void
ngx_pcap_api_pull_drop(ngx_pcap_api_pull_t *p)
{
    ngx_uint_t           ended;
    ngx_http_request_t  *sr;
    ngx_pool_cleanup_t  *cln;

    if (p->pool == NULL) {
        return;
    }

    sr = p->sr;
    ended = 1;

    if (sr != NULL) {
        p->sr = NULL;
        ended = sr->upstream != NULL && sr->upstream->cleanup != NULL;
        ngx_pcap_api_drop_subrequest(sr);
    }

    ngx_pcap_api_pull_unpost(p, ended);

    if (ended) {
        ngx_destroy_pool(p->pool);

    } else {

        /* it is still to run, and gives its count back then */

        cln = ngx_pool_cleanup_add(p->ctx->request->pool, 0);

        if (cln != NULL) {
            cln->handler = ngx_pcap_api_pull_later;
            cln->data = p->pool;
        }
    }

    p->pool = NULL;
    p->in = NULL;
}


void
ngx_pcap_api_pull_free(ngx_pcap_api_pull_t *p)
{
    if (p->pool != NULL) {
        ngx_destroy_pool(p->pool);
        p->pool = NULL;
    }
}


static void
ngx_pcap_api_pull_wake(ngx_http_request_t *sr)
{
    ngx_pcap_api_pull_t  *p;

    p = sr->post_subrequest->data;
    p->is_posted = 0;
    p->wake(sr);
}


ngx_int_t
ngx_pcap_api_pull_next(ngx_pcap_api_pull_t *p, u_char **data, size_t *len)
{
    if (p->in == NULL) {
        return p->sr ? NGX_AGAIN : NGX_DONE;
    }

    *data = p->in->buf->pos;
    *len = p->in->buf->last - p->in->buf->pos;

    return NGX_OK;
}


void
ngx_pcap_api_pull_take(ngx_pcap_api_pull_t *p, size_t len)
{
    ngx_chain_t  *ln;

    ln = p->in;
    ln->buf->pos += len;

    if (ln->buf->pos != ln->buf->last) {
        return;
    }

    p->in = ln->next;
    p->nlinks--;
    ngx_free_chain(p->pool, ln);

    if (p->in != NULL) {
        return;
    }

    p->last_in = &p->in;

    /* nginx reads on once all of its buffer is taken */

    if (p->sr != NULL && p->wake != NULL && !p->is_posted) {
        p->is_posted = 1;
        (void) ngx_http_post_request(p->sr, &p->posted);
    }
}


/* NULL, or why nothing that it says is of use. */
static const char *
ngx_pcap_api_pull_unverified(ngx_http_request_t *sr)
{
#if (NGX_HTTP_SSL)

    if (sr->upstream == NULL || !sr->upstream->ssl
        || !sr->upstream->conf->ssl_verify)
    {
        return "this API does not verify its agents: \"proxy_ssl_verify on\" "
               "is missing";
    }

#endif

    return NULL;
}


/* NULL, or why it is nothing that can be pulled. */
static const char *
ngx_pcap_api_pull_unfit(ngx_http_request_t *sr)
{
    ngx_http_upstream_t  *u;

    u = sr->upstream;

    if (u == NULL || u->buffering) {
        return "this API buffers its agents: \"proxy_buffering off\" is "
               "missing";
    }

    if (u->headers_in.chunked || u->headers_in.content_length_n < 0) {
        return "the agent does not say how long it is";
    }

    return NULL;
}


ngx_int_t
ngx_pcap_api_pull_header(ngx_http_request_t *sr, ngx_pcap_api_pull_t *p)
{
    p->status = sr->headers_out.status;
    p->mtime = ngx_time();
    p->unfit = ngx_pcap_api_pull_unverified(sr);

    if (p->status == NGX_HTTP_OK && p->unfit == NULL) {
        p->unfit = ngx_pcap_api_pull_unfit(sr);
    }

    if (p->status == NGX_HTTP_OK && p->unfit == NULL) {
        p->size = sr->upstream->headers_in.content_length_n;

        if (sr->upstream->headers_in.last_modified_time > 0) {
            p->mtime = sr->upstream->headers_in.last_modified_time;
        }
    }

    ngx_pcap_api_post(p->ctx);

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_pull_body(ngx_http_request_t *sr, ngx_pcap_api_pull_t *p,
    ngx_chain_t *in)
{
    ngx_chain_t  *cl, *ln;

    if (p->wake == NULL && sr->upstream != NULL) {
        p->wake = sr->write_event_handler;
        sr->write_event_handler = ngx_pcap_api_pull_wake;
    }

    for (cl = in; cl; cl = cl->next) {

        if (p->sr != sr || p->status != NGX_HTTP_OK || p->unfit
            || !ngx_buf_in_memory(cl->buf))
        {
            cl->buf->pos = cl->buf->last;  /* nobody wants it */
            cl->buf->file_pos = cl->buf->file_last;
            continue;
        }

        if (cl->buf->last == cl->buf->pos) {
            continue;
        }

        if (p->nlinks == NGX_PCAP_API_PULL_LINKS) {
            p->unfit = "the agent sends it in too small pieces";
            break;
        }

        /* links belong to the copy filter: only the buffer may be kept */

        ln = ngx_alloc_chain_link(p->pool);
        if (ln == NULL) {
            return NGX_ERROR;
        }

        ln->buf = cl->buf;
        ln->next = NULL;
        *p->last_in = ln;
        p->last_in = &ln->next;
        p->nlinks++;
    }

    ngx_pcap_api_post(p->ctx);

    return NGX_OK;
}


/* Records and posts; always NGX_OK, anything else would end the request. */
static ngx_int_t
ngx_pcap_api_pull_done(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    ngx_pcap_api_pull_t *p = data;

    sr->write_event_handler = ngx_http_request_empty_handler;

    if (p->sr != sr) {
        return NGX_OK;
    }

    p->sr = NULL;
    p->timed_out = (p->status == 0 && rc == NGX_HTTP_GATEWAY_TIME_OUT);
    ngx_pcap_api_post(p->ctx);

    return NGX_OK;
}
