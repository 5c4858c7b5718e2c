/*
 * module/response.c: the header and the trailers of a capture's response.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_LEDGER_LEN  384


ngx_int_t
ngx_pcap_api_trailer(ngx_http_request_t *r, const char *name, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.trailers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value = *value;
    ngx_pcap_api_header_end(h);

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_set_headers(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    u_char     *p;
    ngx_tm_t    tm;
    ngx_str_t   value, *name;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = -1;

    if (ctx->opts.pcapng) {
        ngx_str_set(&r->headers_out.content_type, "application/x-pcapng");

    } else {
        ngx_str_set(&r->headers_out.content_type,
                    "application/vnd.tcpdump.pcap");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;

    name = ctx->label.len ? &ctx->label : &ctx->group;

    p = ngx_pnalloc(r->pool, name->len + 80);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_gmtime(ngx_time(), &tm);

    value.data = p;
    value.len = ngx_sprintf(p, "attachment; filename=\"%V-%4d%02d%02dT%02d"
                            "%02d%02dZ.%s\"",
                            name, tm.ngx_tm_year, tm.ngx_tm_mon,
                            tm.ngx_tm_mday, tm.ngx_tm_hour, tm.ngx_tm_min,
                            tm.ngx_tm_sec,
                            ctx->opts.pcapng ? "pcapng" : "pcap")
                - p;

    if (ngx_pcap_api_add_header(r, "Content-Disposition", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    value.data = ctx->id;
    value.len = NGX_PCAP_API_ID_LEN;

    if (ngx_pcap_api_add_header(r, "X-Pcap-Capture-Id", &value) != NGX_OK
        || ngx_pcap_api_add_header(r, "X-Vcap-Request-Id", &ctx->request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    value = *ngx_pcap_api_limits_text(ctx);

    if (value.len
        && ngx_pcap_api_add_header(r, "X-Pcap-Limits", &value) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "X-Pcap-Status, X-Pcap-Packets, X-Pcap-Dropped, "
                        "X-Pcap-Ledger");

    if (ngx_pcap_api_add_header(r, "Trailer", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "no-store");

    if (ngx_pcap_api_add_header(r, "Cache-Control", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    /* an nginx in front must not gather a live stream */

    ngx_str_set(&value, "no");

    if (ngx_pcap_api_add_header(r, "X-Accel-Buffering", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    r->expect_trailers = 1;

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_send_header(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    if (ngx_pcap_api_set_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_pcap_api_begin_response(r, ctx);
}


ngx_int_t
ngx_pcap_api_begin_response(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ngx_pcap_api_output_init(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    /* an agent's event would delete the timer that limit_rate waits for */

    r->limit_rate = 0;
    r->limit_rate_set = 1;

    ngx_pcap_api_tls_send(r);

    rc = ngx_http_send_header(r);

    return (rc == NGX_ERROR || rc > NGX_OK) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_pcap_api_trailer_number(ngx_http_request_t *r, const char *name,
    uint64_t n)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%uL", n) - value.data;

    return ngx_pcap_api_trailer(r, name, &value);
}


ngx_int_t
ngx_pcap_api_trailer_ledger(ngx_http_request_t *r, ngx_pcap_api_ledger_t *sum)
{
    u_char     *p, *last;
    ngx_str_t   value;

    p = ngx_pnalloc(r->pool, NGX_PCAP_API_LEDGER_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    last = p + NGX_PCAP_API_LEDGER_LEN;
    p = ngx_slprintf(p, last, "seen=%uL,delivered=%uL,filtered=%uL,",
                     sum->seen, sum->delivered, sum->filtered);
    value.len = ngx_pcap_api_ledger_text(sum, ',', p, last) - value.data;

    return ngx_pcap_api_trailer(r, "X-Pcap-Ledger", &value);
}


ngx_int_t
ngx_pcap_api_set_trailers(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t              status;
    ngx_pcap_api_ledger_t  sum;

    ngx_pcap_api_ledger_sum(ctx, &sum);

    status.data = (u_char *) ngx_pcap_api_status_names[ctx->status];
    status.len = ngx_strlen(status.data);

    if (ngx_pcap_api_trailer(r, "X-Pcap-Status", &status) != NGX_OK
        || ngx_pcap_api_trailer_number(r, "X-Pcap-Packets", ctx->packets)
           != NGX_OK
        || ngx_pcap_api_trailer_number(r, "X-Pcap-Dropped",
                                       ngx_pcap_api_ledger_dropped(&sum))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pcap_api_trailer_ledger(r, &sum);
}
