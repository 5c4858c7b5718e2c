/*
 * module/file.c: the file of a stored capture: downloaded, from the store's
 * folder or from S3, and removed.
 *
 * To read a file is a right of its own: its owner has it, and who holds
 * pcap_api_store_reader_scope; an admin may list and remove, but not read.
 */

#include "module/stored.h"


/* It has one: NGX_OK; or why it has none. */
static ngx_int_t
ngx_pcap_api_file_there(ngx_pcap_api_ctx_t *ctx, json_t *rec)
{
    u_char    when[64];
    size_t    len;
    uint64_t  gone;

    if (ngx_pcap_api_record_is(rec, "waiting")
        || ngx_pcap_api_record_is(rec, "running"))
    {
        ctx->retry_after = 5;

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_CONFLICT,
                                   "capture %*s is still being written",
                                   (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id);
    }

    if (ngx_pcap_api_record_is(rec, "gone")) {
        gone = ngx_pcap_api_record_number(rec, "gone");
        len = ngx_pcap_api_time(when, sizeof(when), gone * 1000000000);

        return ngx_pcap_api_refuse(ctx, NGX_PCAP_API_GONE,
                                   "the file of capture %*s was removed at "
                                   "%*s", (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id, len, when);
    }

    if (ngx_pcap_api_record_is(rec, "failed")
        || *ngx_pcap_api_record_text(rec, "file") == '\0')
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "capture %*s has no file: %s",
                                   (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id,
                                   ngx_pcap_api_record_text(rec, "detail"));
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_file_header(ngx_pcap_api_ctx_t *ctx, const char *name,
    const char *fmt, const char *text)
{
    size_t      len;
    ngx_str_t   value;

    len = ngx_strlen(fmt) + ngx_strlen(text);

    value.data = ngx_pnalloc(ctx->request->pool, len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_snprintf(value.data, len, fmt, text) - value.data;

    return ngx_pcap_api_add_header(ctx->request, name, &value);
}


/* What is in it, what it was before it was compressed, and what is missing. */
static ngx_int_t
ngx_pcap_api_file_content(ngx_pcap_api_ctx_t *ctx, json_t *rec)
{
    char         raw[NGX_INT64_LEN + 1], lost[NGX_INT64_LEN + 1];
    const char  *digest;

    (void) ngx_snprintf((u_char *) lost, sizeof(lost), "%uL%Z",
                        ngx_pcap_api_record_number(rec, "lost"));

    if ((ngx_pcap_api_record_number(rec, "lost")
         || ngx_pcap_api_record_is(rec, "interrupted"))
        && ngx_pcap_api_file_header(ctx, "X-Pcap-Lost", "%s", lost) != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) ngx_snprintf((u_char *) raw, sizeof(raw), "%uL%Z",
                        ngx_pcap_api_record_number(rec, "raw"));

    if (ngx_pcap_api_record_is_zstd(rec)
        && ngx_pcap_api_file_header(ctx, "X-Pcap-Uncompressed-Bytes", "%s",
                                    raw)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    digest = ngx_pcap_api_record_text(rec, "sha256");

    return *digest == '\0' ? NGX_OK
           : ngx_pcap_api_file_header(ctx, "X-Pcap-Sha256", "%s", digest);
}


/* Of any file, whoever sends it. */
static ngx_int_t
ngx_pcap_api_file_general(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    json_t *rec)
{
    if (ngx_pcap_api_add_header(r, "X-Vcap-Request-Id", &ctx->request_id)
        != NGX_OK
        || ngx_pcap_api_file_header(ctx, "Cache-Control", "%s",
                                    "private, no-store")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pcap_api_file_content(ctx, rec);
}


/* What nginx's own handler of files does not know. */
static ngx_int_t
ngx_pcap_api_file_headers(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    json_t *rec)
{
    const char  *file, *dot;

    file = ngx_pcap_api_record_text(rec, "file");
    dot = file + NGX_PCAP_API_ID_LEN;

    if (ngx_pcap_api_record_is_zstd(rec)) {
        ngx_str_set(&r->headers_out.content_type, "application/zstd");

    } else if (ngx_strcmp(dot, ".pcapng") == 0) {
        ngx_str_set(&r->headers_out.content_type, "application/x-pcapng");

    } else {
        ngx_str_set(&r->headers_out.content_type,
                    "application/vnd.tcpdump.pcap");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;

    if (ngx_pcap_api_file_header(ctx, "Content-Disposition",
                                 "attachment; filename=\"%s\"", file)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pcap_api_file_general(r, ctx, rec);
}


static ngx_int_t
ngx_pcap_api_file_local(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    json_t *rec)
{
    u_char      *p;
    ngx_str_t    uri, *files;
    const char  *file;

    files = &ctx->conf->store.files;
    file = ngx_pcap_api_record_text(rec, "file");

    uri.len = files->len + ngx_strlen(file);
    uri.data = ngx_pnalloc(r->pool, uri.len);

    if (uri.data == NULL
        || ngx_pcap_api_file_headers(r, ctx, rec) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = ngx_cpymem(uri.data, files->data, files->len);
    ngx_memcpy(p, file, ngx_strlen(file));

    return ngx_pcap_api_redirect(ctx, &uri, NULL);
}


/* A presigned URL is one for GET alone: what HEAD asks for we know. */
static ngx_int_t
ngx_pcap_api_file_head(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    json_t *rec)
{
    if (ngx_pcap_api_file_headers(r, ctx, rec) != NGX_OK
        || ngx_pcap_api_file_header(ctx, "Accept-Ranges", "%s", "bytes")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n =
                               (off_t) ngx_pcap_api_record_number(rec, "bytes");
    r->header_only = 1;

    ngx_pcap_api_finalize(ctx, ngx_http_send_header(r));

    return NGX_DONE;
}


/*
 * The path and the query of a URL that the store has signed. Path segments of
 * ours need no encoding; nginx would decode one.
 */
static ngx_int_t
ngx_pcap_api_file_url(ngx_str_t *url, ngx_str_t *path, ngx_str_t *args)
{
    u_char  *p, *last;

    last = url->data + url->len;
    p = ngx_strnstr(url->data, "://", url->len);
    p = p ? ngx_strlchr(p + 3, last, '/') : NULL;

    if (p == NULL) {
        return NGX_ERROR;
    }

    path->data = p;
    p = ngx_strlchr(p, last, '?');

    if (p == NULL) {
        return NGX_ERROR;
    }

    path->len = p - path->data;
    args->data = p + 1;
    args->len = last - args->data;

    return ngx_strlchr(path->data, p, '%') == NULL
           && ngx_strnstr(path->data, "..", path->len) == NULL
           ? NGX_OK : NGX_ERROR;
}


/* Through us: the location of objects asks S3 for what is signed. */
static ngx_int_t
ngx_pcap_api_file_proxy(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_str_t *url)
{
    u_char     *p;
    ngx_str_t   path, args, uri, *objects;

    objects = &ctx->conf->store.objects;

    if (objects->len == 0) {
        return ngx_pcap_api_store_failed(ctx, "the file is in S3, and "
                   "\"pcap_api_store\" has no objects=URI");
    }

    if (ngx_pcap_api_file_url(url, &path, &args) != NGX_OK) {
        return ngx_pcap_api_store_failed(ctx, "the URL of the object is none");
    }

    if (ngx_pcap_api_file_general(r, ctx, ctx->stored.record) != NGX_OK) {
        return NGX_ERROR;
    }

    uri.len = objects->len + path.len - 1;
    uri.data = ngx_pnalloc(r->pool, uri.len);
    if (uri.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(uri.data, objects->data, objects->len);
    ngx_memcpy(p, path.data + 1, path.len - 1);

    return ngx_pcap_api_redirect(ctx, &uri, &args);
}


/* To S3 itself, with what is needed there. */
static ngx_int_t
ngx_pcap_api_file_redirect(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_str_t *url)
{
    if (ngx_pcap_api_add_header(r, "Location", url) != NGX_OK
        || ngx_pcap_api_file_content(ctx, ctx->stored.record) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pcap_api_answer(ctx, NGX_HTTP_MOVED_TEMPORARILY,
                               json_incref(ctx->stored.url));
}


static ngx_int_t
ngx_pcap_api_file_object(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t  url;
    json_t    *text;

    text = json_object_get(ctx->stored.url, "url");
    url.len = json_string_length(text);
    url.data = ngx_pnalloc(r->pool, url.len);

    if (url.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(url.data, json_string_value(text), url.len);

    return ctx->conf->store.redirect
           ? ngx_pcap_api_file_redirect(r, ctx, &url)
           : ngx_pcap_api_file_proxy(r, ctx, &url);
}


/* That node looks at the token itself, and its answer comes as it is. */
static ngx_int_t
ngx_pcap_api_file_of_peer(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_peer_t *peer)
{
    ngx_str_t                  path;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    path.len = r->uri.len - clcf->name.len;
    path.data = r->uri.data + clcf->name.len;

    return ngx_pcap_api_peers_pass(ctx, peer, &path);
}


ngx_int_t
ngx_pcap_api_file_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t               *rec;
    ngx_int_t             rc;
    ngx_uint_t            object;
    ngx_pcap_api_peer_t  *peer;

    peer = ngx_pcap_api_peer_of(ctx, ctx->stop_id);

    if (peer != NULL) {
        return ngx_pcap_api_file_of_peer(r, ctx, peer);
    }

    rc = ngx_pcap_api_record_get(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    rec = ctx->stored.record;

    if (!ngx_pcap_api_record_for(ctx, rec, &ctx->conf->store.reader_scope)) {
        return ngx_pcap_api_record_none(ctx);
    }

    rc = ngx_pcap_api_file_there(ctx, rec);
    if (rc != NGX_OK) {
        return rc;
    }

    object = ngx_pcap_api_record_is_object(rec);

    if (object && (r->method & NGX_HTTP_HEAD)) {
        return ngx_pcap_api_file_head(r, ctx, rec);
    }

    if (object) {
        rc = ngx_pcap_api_record_url(ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (!(r->method & NGX_HTTP_HEAD)
        && ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_DOWNLOAD) != NGX_OK)
    {
        return ngx_pcap_api_unaudited(ctx, "downloaded");
    }

    return object ? ngx_pcap_api_file_object(r, ctx)
                  : ngx_pcap_api_file_local(r, ctx, rec);
}


/* The second question: the store has removed it, or not. */
static ngx_int_t
ngx_pcap_api_remove_done(ngx_pcap_api_ctx_t *ctx)
{
    json_t      *doc;
    ngx_uint_t   status;
    const char  *why;

    if (ngx_pcap_api_store_wait(ctx) != NGX_OK) {
        return NGX_AGAIN;
    }

    doc = ngx_pcap_api_store_answer(ctx, &why);
    json_decref(doc);
    status = ctx->stored.ask.fetch.status;

    if (why != NULL) {
        return ngx_pcap_api_store_failed(ctx, why);
    }

    switch (status) {

    case NGX_HTTP_OK:
        return ngx_pcap_api_answer(ctx, NGX_HTTP_NO_CONTENT, NULL);

    case NGX_HTTP_NOT_FOUND:
        return ngx_pcap_api_record_none(ctx);

    case NGX_HTTP_CONFLICT:
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_CONFLICT,
                                   "capture %*s is still being written: "
                                   "stop it first",
                                   (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id);

    default:
        return ngx_pcap_api_store_failed(ctx, "it does not remove the file");
    }
}


ngx_int_t
ngx_pcap_api_remove_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->stored.removing) {
        return ngx_pcap_api_remove_done(ctx);
    }

    rc = ngx_pcap_api_record_get(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_pcap_api_record_for(ctx, ctx->stored.record,
                                 &ctx->conf->admin_scope))
    {
        return ngx_pcap_api_record_none(ctx);
    }

    if (ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_REMOVE) != NGX_OK) {
        return ngx_pcap_api_unaudited(ctx, "removed");
    }

    ctx->stored.removing = 1;

    return ngx_pcap_api_record_ask(ctx, "DELETE", "");
}
