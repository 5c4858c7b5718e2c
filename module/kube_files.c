/*
 * module/kube_files.c: which files a path asks for:
 *
 *     [packet-capture/]download/NS/NAME/files.zip
 *     [packet-capture/]download/NS/NAME/files.pcapng
 *     [packet-capture/]files/NS/NAME               (DELETE)
 *
 * and how they are come by. A path of any other shape is refused before
 * anybody is asked who it is.
 */

#include "ngx_pcap_api_module.h"


static const ngx_pcap_api_phase_t  ngx_pcap_api_kube_zip_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "looking for the cluster", ngx_pcap_api_kube_cluster_phase },
    { "checking the right", ngx_pcap_api_kube_right_phase },
    { "checking the user's share", ngx_pcap_api_kube_share_phase },
    { "looking for the capture", ngx_pcap_api_kube_capture_phase },
    { "looking for nodes", ngx_pcap_api_kube_nodes_phase },
    { "sending files", ngx_pcap_api_zip_phase },
    { NULL, NULL }
};

static const ngx_pcap_api_phase_t  ngx_pcap_api_kube_delete_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "looking for the cluster", ngx_pcap_api_kube_cluster_phase },
    { "checking the right", ngx_pcap_api_kube_right_phase },
    { "checking the user's share", ngx_pcap_api_kube_share_phase },
    { "looking for the capture", ngx_pcap_api_kube_capture_phase },
    { "looking for nodes", ngx_pcap_api_kube_nodes_phase },
    { "removing files", ngx_pcap_api_kube_remove_phase },
    { "writing the status", ngx_pcap_api_kube_empty_phase },
    { NULL, NULL }
};


static const ngx_pcap_api_phase_t  ngx_pcap_api_kube_merged_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "looking for the cluster", ngx_pcap_api_kube_cluster_phase },
    { "checking the right", ngx_pcap_api_kube_right_phase },
    { "checking the user's share", ngx_pcap_api_kube_share_phase },
    { "checking limits", ngx_pcap_api_limits_phase },
    { "looking for the capture", ngx_pcap_api_kube_capture_phase },
    { "looking for nodes", ngx_pcap_api_kube_nodes_phase },
    { "registering", ngx_pcap_api_row_phase },
    { "choosing agents", ngx_pcap_api_kube_merged_phase },
    { "registering targets", ngx_pcap_api_row_targets_phase },
    { "opening agents", ngx_pcap_api_open_phase },
    { "streaming the files", ngx_pcap_api_stream_phase },
    { NULL, NULL }
};


static ngx_uint_t
ngx_pcap_api_kube_skip(ngx_str_t *path, const char *text)
{
    size_t  len;

    len = ngx_strlen(text);

    if (path->len < len || ngx_memcmp(path->data, text, len) != 0) {
        return 0;
    }

    path->data += len;
    path->len -= len;

    return 1;
}


/* The next segment: the last one has no "/" behind it, any other has. */
static ngx_uint_t
ngx_pcap_api_kube_segment(ngx_str_t *path, ngx_uint_t last, ngx_str_t *s)
{
    u_char  *slash;

    s->data = path->data;
    slash = ngx_strlchr(path->data, path->data + path->len, '/');
    s->len = slash ? (size_t) (slash - path->data) : path->len;

    path->data += s->len + (slash != NULL);
    path->len -= s->len + (slash != NULL);

    return last == (slash == NULL);
}


ngx_uint_t
ngx_pcap_api_kube_is_files(ngx_str_t *path)
{
    ngx_str_t  rest;

    rest = *path;

    return ngx_pcap_api_kube_skip(&rest, "packet-capture/")
           || ngx_pcap_api_kube_skip(&rest, "download/")
           || ngx_pcap_api_kube_skip(&rest, "files/");
}


/* What is asked for and of what; NGX_DECLINED: the path has another shape. */
static ngx_int_t
ngx_pcap_api_kube_read_path(ngx_pcap_api_kube_ctx_t *kube, ngx_str_t path)
{
    ngx_str_t   file;
    ngx_uint_t  download;

    (void) ngx_pcap_api_kube_skip(&path, "packet-capture/");
    download = ngx_pcap_api_kube_skip(&path, "download/");

    if ((!download && !ngx_pcap_api_kube_skip(&path, "files/"))
        || !ngx_pcap_api_kube_segment(&path, 0, &kube->ns)
        || !ngx_pcap_api_kube_segment(&path, !download, &kube->name)
        || !ngx_pcap_api_kube_name_fits(kube->ns.data, kube->ns.len,
                                        NGX_PCAP_API_KUBE_NAMESPACE)
        || !ngx_pcap_api_kube_name_fits(kube->name.data, kube->name.len,
                                        NGX_PCAP_API_KUBE_NAME))
    {
        return NGX_DECLINED;
    }

    if (!download) {
        kube->what = NGX_PCAP_API_KUBE_DELETE;
        return NGX_OK;
    }

    if (!ngx_pcap_api_kube_segment(&path, 1, &file)) {
        return NGX_DECLINED;
    }

    if (file.len == 9 && ngx_memcmp(file.data, "files.zip", 9) == 0) {
        kube->what = NGX_PCAP_API_KUBE_ZIP;
        return NGX_OK;
    }

    if (file.len == 12 && ngx_memcmp(file.data, "files.pcapng", 12) == 0) {
        kube->what = NGX_PCAP_API_KUBE_MERGED;
        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* A name has no "/", however it is written. */
static ngx_uint_t
ngx_pcap_api_kube_hides_slash(ngx_str_t *uri)
{
    return ngx_strlcasestrn(uri->data, uri->data + uri->len,
                            (u_char *) "%2f", 2)
           != NULL;
}


ngx_int_t
ngx_pcap_api_kube_route(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_str_t *path)
{
    ngx_uint_t  removes;

    if (ngx_pcap_api_kube_read_path(&ctx->kube, *path) != NGX_OK
        || ngx_pcap_api_kube_hides_slash(&r->unparsed_uri) || r->args.len)
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                   "request URL is malformed");
    }

    removes = ctx->kube.what == NGX_PCAP_API_KUBE_DELETE;

    if (!(r->method & (removes ? NGX_HTTP_DELETE : NGX_HTTP_GET))) {
        return ngx_pcap_api_allow(r, ctx, removes ? "DELETE" : "GET");
    }

    switch (ctx->kube.what) {

    case NGX_PCAP_API_KUBE_MERGED:
        if (ngx_pcap_api_kube_merged_begin(ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ctx->phase = ngx_pcap_api_kube_merged_phases;
        break;

    case NGX_PCAP_API_KUBE_DELETE:
        ctx->phase = ngx_pcap_api_kube_delete_phases;
        break;

    default: /* NGX_PCAP_API_KUBE_ZIP */
        ctx->phase = ngx_pcap_api_kube_zip_phases;
    }

    return ngx_pcap_api_start(r, ctx);
}
