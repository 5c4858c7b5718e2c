/*
 * module/subrequest.c: how subrequests of ours begin and how they are ended
 * early. All run in the background: the main request stays the connection's
 * active one, and our own filters take their answers.
 */

#include "ngx_pcap_api_module.h"


/*
 * Nothing of the client's request goes along: no header (the token!), no
 * body, whatever the configuration of the location says.
 */
ngx_int_t
ngx_pcap_api_subrequest(ngx_pcap_api_ctx_t *ctx, ngx_str_t *uri,
    ngx_http_post_subrequest_pt handler, void *data, ngx_http_request_t **psr)
{
    ngx_str_t                    server;
    ngx_http_request_t          *r, *sr;
    ngx_http_post_subrequest_t  *ps;

    r = ctx->request;

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->handler = handler;
    ps->data = data;

    if (ngx_http_subrequest(r, uri, NULL, &sr, ps,
                            NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    *psr = sr;

    server = sr->headers_in.server;
    ngx_memzero(&sr->headers_in, sizeof(ngx_http_headers_in_t));
    sr->headers_in.server = server;
    sr->headers_in.content_length_n = -1;
    sr->headers_in.keep_alive_n = -1;

    sr->request_body = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));

    if (sr->request_body == NULL
        || ngx_list_init(&sr->headers_in.headers, r->pool, 1,
                         sizeof(ngx_table_elt_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* A subrequest that was dropped before it ran gives back its count. */
static void
ngx_pcap_api_dropped_handler(ngx_http_request_t *sr)
{
    sr->write_event_handler = ngx_http_request_empty_handler;
    ngx_http_finalize_request(sr, NGX_DONE);
}


void
ngx_pcap_api_drop_subrequest(ngx_http_request_t *sr)
{
    if (sr->upstream == NULL) {            /* it is posted, but has not run */
        sr->write_event_handler = ngx_pcap_api_dropped_handler;
        return;
    }

    if (sr->upstream->cleanup == NULL) {   /* it was redirected */
        sr->write_event_handler = ngx_pcap_api_dropped_handler;
        (void) ngx_http_post_request(sr, NULL);
        return;
    }

    sr->write_event_handler = ngx_http_request_empty_handler;
    (*sr->upstream->cleanup)(sr);
}
