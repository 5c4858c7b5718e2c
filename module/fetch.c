/*
 * module/fetch.c: one whole answer of an internal location: a background
 * subrequest whose body is gathered here, up to a ceiling. Handlers and
 * filters record and post; the phase that began it decides.
 *
 * Nothing here reads what came: that is the caller's, and hostile.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_FETCH_FIRST  8192     /* more than a pool's own block */


static ngx_int_t ngx_pcap_api_fetch_done(ngx_http_request_t *sr, void *data,
    ngx_int_t rc);


ngx_pcap_api_fetch_t *
ngx_pcap_api_fetch_of(ngx_http_request_t *r)
{
    if (r != r->main && r->post_subrequest
        && r->post_subrequest->handler == ngx_pcap_api_fetch_done)
    {
        return r->post_subrequest->data;
    }

    return NULL;
}


ngx_int_t
ngx_pcap_api_fetch(ngx_pcap_api_ctx_t *ctx, ngx_str_t *uri, size_t max,
    ngx_pcap_api_fetch_t *f)
{
    ngx_memzero(f, sizeof(ngx_pcap_api_fetch_t));

    f->ctx = ctx;
    f->max = max;

    f->next = ctx->fetches;
    ctx->fetches = f;

    return ngx_pcap_api_subrequest(ctx, uri, ngx_pcap_api_fetch_done, f,
                                   &f->sr);
}


/* Variables are shared with the main request, which writes the access log. */
static void
ngx_pcap_api_fetch_forget(ngx_http_request_t *r)
{
    ngx_uint_t                  i;
    ngx_pcap_api_main_conf_t   *pmcf;
    ngx_http_variable_value_t  *v;

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);

    for (i = 0; i < NGX_PCAP_API_SECRETS; i++) {
        v = &r->variables[pmcf->secrets[i]];
        v->valid = 0;
        v->not_found = 0;
    }
}


static void
ngx_pcap_api_fetch_unlink(ngx_pcap_api_fetch_t *f)
{
    ngx_pcap_api_fetch_t  **p;

    for (p = &f->ctx->fetches; *p; p = &(*p)->next) {
        if (*p == f) {
            *p = f->next;
            return;
        }
    }
}


void
ngx_pcap_api_fetch_drop(ngx_pcap_api_fetch_t *f)
{
    ngx_http_request_t  *sr;

    if (f->ctx == NULL) {
        return;
    }

    if (f->data != NULL) {
        (void) ngx_pfree(f->ctx->request->pool, f->data);
        f->data = NULL;
        f->len = 0;
        f->size = 0;
        f->whole = 0;
    }

    ngx_pcap_api_fetch_unlink(f);

    f->done = 1;
    sr = f->sr;

    if (sr != NULL) {
        f->sr = NULL;
        ngx_pcap_api_fetch_forget(f->ctx->request);
        ngx_pcap_api_drop_subrequest(sr);
    }
}


const char *
ngx_pcap_api_fetch_failed(ngx_pcap_api_fetch_t *f)
{
    if (!f->done) {
        return "it does not answer";
    }

    if (!f->answered) {
        return f->status == NGX_HTTP_GATEWAY_TIME_OUT
               ? "it does not answer"
               : "no connection to it, or its certificate is not the one "
                 "expected";
    }

    if (f->unverified) {                   /* it may be anybody */
        return "this API does not verify it, \"proxy_ssl_verify on\" is "
               "needed";
    }

    if (f->status != NGX_HTTP_OK) {
        return "it did not answer with 200";
    }

    if (f->too_long) {
        return "its answer is too long";
    }

    if (!f->whole) {
        return "its answer is cut";
    }

    return NULL;
}


/* The number in Retry-After, or NGX_ERROR: none, or a date. */
static time_t
ngx_pcap_api_fetch_retry(ngx_http_request_t *sr)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &sr->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash && h[i].key.len == 11
                && ngx_strncasecmp(h[i].key.data, (u_char *) "retry-after",
                                   11)
                   == 0)
            {
                return ngx_atotm(h[i].value.data, h[i].value.len);
            }
        }
    }

    return NGX_ERROR;
}


ngx_int_t
ngx_pcap_api_fetch_header(ngx_http_request_t *sr, ngx_pcap_api_fetch_t *f)
{
    sr->filter_need_in_memory = 1;

    f->answered = 1;
    f->status = sr->headers_out.status;

#if (NGX_HTTP_SSL)

    f->verified = sr->upstream != NULL && sr->upstream->ssl
                  && sr->upstream->conf->ssl_verify;
    f->unverified = sr->upstream != NULL && sr->upstream->ssl
                    && !f->verified;

#endif

    f->retry_after = ngx_pcap_api_fetch_retry(sr);

    if (sr->headers_out.etag != NULL) {
        f->etag = sr->headers_out.etag->value;
    }

    return NGX_OK;
}


/* Makes room for n more bytes; the ceiling has been looked at. */
static ngx_int_t
ngx_pcap_api_fetch_grow(ngx_pcap_api_fetch_t *f, size_t n)
{
    size_t       size;
    u_char      *data;
    ngx_pool_t  *pool;

    if (n <= f->size - f->len) {
        return NGX_OK;
    }

    pool = f->ctx->request->pool;
    size = f->size ? f->size : NGX_PCAP_API_FETCH_FIRST;

    while (size - f->len < n) {
        size *= 2;
    }

    size = ngx_min(size, f->max);

    data = ngx_palloc(pool, size);
    if (data == NULL) {
        return NGX_ERROR;
    }

    if (f->data != NULL) {
        ngx_memcpy(data, f->data, f->len);
        (void) ngx_pfree(pool, f->data);
    }

    f->data = data;
    f->size = size;

    return NGX_OK;
}


/* What nobody will read is not waited for: the phase drops the rest. */
static void
ngx_pcap_api_fetch_full(ngx_pcap_api_fetch_t *f)
{
    f->too_long = 1;
    f->done = 1;

    ngx_pcap_api_post(f->ctx);
}


ngx_int_t
ngx_pcap_api_fetch_body(ngx_pcap_api_fetch_t *f, ngx_chain_t *in)
{
    size_t        n;
    u_char       *p;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    for (cl = in; cl; cl = cl->next) {
        b = cl->buf;

        /* nginx marks the end of a whole answer only, not of a cut one */

        if (b->last_in_chain || b->last_buf) {
            f->whole = 1;
        }

        if (b->in_file && !ngx_buf_in_memory(b)) {
            b->file_pos = b->file_last;
            ngx_pcap_api_fetch_full(f);
            continue;
        }

        p = b->pos;
        n = b->last - b->pos;
        b->pos = b->last;

        if (n == 0 || f->sr == NULL || f->too_long) {
            continue;
        }

        if (n > f->max - f->len) {
            ngx_pcap_api_fetch_full(f);
            continue;
        }

        if (ngx_pcap_api_fetch_grow(f, n) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_memcpy(f->data + f->len, p, n);
        f->len += n;
    }

    return NGX_OK;
}


/* Records and posts; always NGX_OK, anything else would end the request. */
static ngx_int_t
ngx_pcap_api_fetch_done(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    ngx_pcap_api_fetch_t *f = data;

    sr->write_event_handler = ngx_http_request_empty_handler;

    if (f->sr != sr) {
        return NGX_OK;
    }

    ngx_pcap_api_fetch_unlink(f);
    ngx_pcap_api_fetch_forget(sr);

    f->sr = NULL;
    f->done = 1;

    if (!f->answered) {
        f->status = rc;
    } else if (rc < 0 || rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        f->whole = 0;                      /* it failed behind the header */
    }

    ngx_pcap_api_post(f->ctx);

    return NGX_OK;
}
