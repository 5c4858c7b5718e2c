/*
 * module/zip_off.c: in the place of zip.c where the module is built without
 * libarchive: nothing is downloaded as an archive.
 */

#include "ngx_pcap_api_module.h"


ngx_conf_enum_t  ngx_pcap_api_zip_methods[] = {
    { ngx_null_string, 0 }
};


ngx_int_t
ngx_pcap_api_zip_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    (void) r;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_IMPLEMENTED,
                               "this server was built without archives");
}


void
ngx_pcap_api_zip_drop(ngx_pcap_api_ctx_t *ctx)
{
    (void) ctx;
}


void
ngx_pcap_api_zip_end(ngx_pcap_api_ctx_t *ctx)
{
    (void) ctx;
}


void
ngx_pcap_api_zip_free(ngx_pcap_api_ctx_t *ctx)
{
    (void) ctx;
}


ngx_int_t
ngx_pcap_api_zip_sums(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_sums_t *sums)
{
    (void) ctx;
    (void) sums;

    return NGX_DECLINED;
}
