/*
 * module/kube.c: questions to a Kubernetes API server, by way of an internal
 * location: one at a time, with the token of this API's service account, or
 * with the caller's own; to the home cluster, or by the forwarding location to
 * the cluster that the request names. platform.c has what platforms share.
 *
 * The token of the service account goes to nobody whose certificate is not
 * verified.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_KUBE_TOKEN_MS  60000    /* then it is read again */
#define NGX_PCAP_API_KUBE_URI       20480    /* a selector encoded, and more */


ngx_pcap_api_kube_ctx_t *
ngx_pcap_api_kube_of(ngx_http_request_t *r)
{
    ngx_pcap_api_fetch_t  *f;

    f = ngx_pcap_api_fetch_of(r);

    return f != NULL && f == &f->ctx->kube.ask.fetch ? &f->ctx->kube : NULL;
}


/* It must be one line that a header can hold. */
static ngx_int_t
ngx_pcap_api_kube_read_token(ngx_pcap_api_kube_api_t *api, ngx_log_t *log)
{
    size_t       len;
    u_char       data[NGX_PCAP_API_KUBE_TOKEN + 2];
    ssize_t      n;
    ngx_fd_t     fd;
    ngx_str_t    token;
    const char  *why;

    fd = ngx_open_file(api->token_file.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno, "token of API server \"%V\"",
                      &api->token_file);
        return NGX_ERROR;
    }

    for (len = 0; len < sizeof(data); len += n) {
        n = read(fd, data + len, sizeof(data) - len);

        if (n <= 0) {
            break;
        }
    }

    (void) ngx_close_file(fd);

    while (len && (data[len - 1] == '\n' || data[len - 1] == '\r')) {
        len--;
    }

    token.data = data;
    token.len = len;

    why = ngx_pcap_api_token_wrong(&token);
    if (why != NULL) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "token of API server \"%V\": %s",
                      &api->token_file, why);
        return NGX_ERROR;
    }

    ngx_memcpy(api->token.data, data, len);
    api->token.len = len;
    api->token_at = ngx_current_msec;

    return NGX_OK;
}


/* That of our service account: an old one is better than none. */
static ngx_str_t *
ngx_pcap_api_kube_token(ngx_pcap_api_kube_api_t *api, ngx_log_t *log)
{
    if (api->token.len == 0
        || ngx_current_msec - api->token_at >= NGX_PCAP_API_KUBE_TOKEN_MS)
    {
        (void) ngx_pcap_api_kube_read_token(api, log);
    }

    return api->token.len ? &api->token : NULL;
}


ngx_str_t *
ngx_pcap_api_kube_bearer(ngx_http_request_t *sr)
{
    ngx_pcap_api_ctx_t       *ctx;
    ngx_pcap_api_kube_ctx_t  *kube;

    kube = ngx_pcap_api_kube_of(sr);
    if (kube == NULL) {
        return NULL;
    }

#if (NGX_HTTP_SSL)
    /* nginx asks when it knows whom it connects to */

    if (sr->upstream == NULL || !sr->upstream->ssl
        || !sr->upstream->conf->ssl_verify)
    {
        return NULL;
    }
#else
    return NULL;
#endif

    ctx = kube->ask.fetch.ctx;

    if (kube->ask.bearer) {
        return kube->cert ? NULL : &ctx->token;
    }

    return ngx_pcap_api_kube_token(ctx->conf->kube.api, sr->connection->log);
}


ngx_int_t
ngx_pcap_api_kube_ask(ngx_pcap_api_ctx_t *ctx, const char *method,
    json_t *body, size_t max, const char *fmt, ...)
{
    char                     *text;
    u_char                   *p;
    va_list                   args;
    ngx_int_t                 rc;
    ngx_str_t                *uri;
    ngx_pcap_api_kube_ctx_t  *kube;

    kube = &ctx->kube;

    p = ngx_pnalloc(ctx->request->pool, NGX_PCAP_API_KUBE_URI);
    text = body ? json_dumps(body, JSON_COMPACT) : NULL;

    if (p == NULL || (body != NULL && text == NULL)) {
        free(text);
        json_decref(body);
        return NGX_ERROR;
    }

    json_decref(body);

    kube->ask.uri.data = p;
    va_start(args, fmt);
    kube->ask.uri.len = ngx_vslprintf(p, p + NGX_PCAP_API_KUBE_URI, fmt, args)
                        - p;
    va_end(args);

    if (kube->ask.uri.len == NGX_PCAP_API_KUBE_URI) {
        free(text);
        return NGX_ERROR;
    }

    kube->method.data = (u_char *) method;
    kube->method.len = ngx_strlen(method);

    ngx_str_null(&kube->body);
    rc = NGX_OK;

    if (text != NULL) {
        kube->body.len = ngx_strlen(text);
        kube->body.data = ngx_pnalloc(ctx->request->pool, kube->body.len + 1);

        if (kube->body.data == NULL) {
            rc = NGX_ERROR;
        } else {
            ngx_memcpy(kube->body.data, text, kube->body.len);
        }

        free(text);
    }

    uri = kube->away ? &ctx->conf->kube.api->forward
                     : &ctx->conf->kube.api->platform.uri;

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_fetch(ctx, uri, max, &kube->ask.fetch);
    }

    return rc == NGX_OK ? NGX_AGAIN : NGX_ERROR;
}


ngx_int_t
ngx_pcap_api_kube_failed(ngx_pcap_api_ctx_t *ctx, const char *why)
{
    return ngx_pcap_api_platform_failed(ctx, &ctx->conf->kube.api->platform,
                                        &ctx->kube.ask, why);
}


ngx_int_t
ngx_pcap_api_kube_garbage(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_platform_garbage(ctx,
               &ctx->conf->kube.api->platform, &ctx->kube.ask);
}


/* It does not do what this API may have done for everybody. */
static ngx_int_t
ngx_pcap_api_kube_refused(ngx_pcap_api_ctx_t *ctx)
{
    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "API server of %V refuses \"%V %V\"",
                  &ctx->conf->kube.api->platform.uri, &ctx->kube.method,
                  &ctx->kube.ask.uri);

    return ngx_pcap_api_kube_failed(ctx,
               ctx->kube.ask.fetch.status == NGX_HTTP_UNAUTHORIZED
               ? "it does not take the token of this API's service account"
               : "the service account of this API has not all rights that it "
                 "needs");
}


ngx_int_t
ngx_pcap_api_kube_answer(ngx_pcap_api_ctx_t *ctx, json_t **doc)
{
    ngx_int_t                 rc;
    ngx_uint_t                created;
    ngx_pcap_api_fetch_t     *f;
    ngx_pcap_api_platform_t  *p;

    *doc = NULL;
    f = &ctx->kube.ask.fetch;
    p = &ctx->conf->kube.api->platform;
    created = f->status == NGX_HTTP_CREATED;

    if (f->answered && created) {
        f->status = NGX_HTTP_OK;           /* as good, and judged as such */
    }

    rc = ngx_pcap_api_platform_answer(ctx, p, &ctx->kube.ask);

    if (rc == NGX_OK) {
        ngx_pcap_api_health_set(&p->health, 1);
        *doc = ngx_pcap_api_platform_json(f);

        return json_is_object(*doc) ? NGX_OK : ngx_pcap_api_kube_garbage(ctx);
    }

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (!ctx->kube.ask.bearer && (f->status == NGX_HTTP_UNAUTHORIZED
                                  || f->status == NGX_HTTP_FORBIDDEN))
    {
        return ngx_pcap_api_kube_refused(ctx);
    }

    switch (f->status) {

    case NGX_HTTP_BAD_REQUEST:
        if (!ctx->kube.ask.bearer) {
            return ngx_pcap_api_platform_status(ctx, p, &ctx->kube.ask);
        }

        /* fall through */

    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_FORBIDDEN:
    case NGX_HTTP_NOT_FOUND:
    case NGX_HTTP_CONFLICT:
        ngx_pcap_api_health_set(&p->health, 1);
        return NGX_DECLINED;

    default:
        return ngx_pcap_api_platform_status(ctx, p, &ctx->kube.ask);
    }
}


ngx_int_t
ngx_pcap_api_kube_run(ngx_pcap_api_ctx_t *ctx,
    const ngx_pcap_api_question_t *questions)
{
    ngx_int_t                 rc;
    ngx_pcap_api_kube_ctx_t  *kube;

    kube = &ctx->kube;

    if (!kube->asked) {
        kube->asked = 1;
        kube->next = 0;
        kube->tries = 0;
        kube->ask.step = 0;
        kube->ask.bearer = 0;
        ctx->deadline = ngx_current_msec + NGX_PCAP_API_KUBE_MS;
    }

    rc = ngx_pcap_api_platform_run(ctx, &ctx->conf->kube.api->platform,
                                   &kube->ask, questions);

    if (rc == NGX_OK) {
        kube->asked = 0;
    }

    return rc;
}


void
ngx_pcap_api_kube_end(ngx_pcap_api_ctx_t *ctx)
{
    json_decref(ctx->kube.user);
    json_decref(ctx->kube.forwarder);
    json_decref(ctx->kube.object);
    json_decref(ctx->kube.removed);
    ctx->kube.removed = NULL;
    ctx->kube.user = NULL;
    ctx->kube.forwarder = NULL;
    ctx->kube.object = NULL;
}


ngx_uint_t
ngx_pcap_api_kube_name_fits(const u_char *p, size_t len, size_t max)
{
    size_t  i;

    if (len == 0 || len > max) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9')
              || (i > 0 && i < len - 1 && (p[i] == '-' || p[i] == '.'))))
        {
            return 0;
        }
    }

    return 1;
}
