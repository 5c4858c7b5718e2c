/*
 * module/auth.c: who asks. The bearer token is taken from the request, its
 * verdict from the cache, by RFC 7662 introspection in a subrequest, or by
 * the keys of module/keys.c.
 *
 * The token itself goes nowhere but into that subrequest's body; the cache
 * knows its SHA-256 only. What is said of it is read in module/claims.c.
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>
#include <openssl/evp.h>


#define NGX_PCAP_API_INVALID_TOKEN  "Bearer error=\"invalid_token\""


static ngx_int_t ngx_pcap_api_introspection_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
static ngx_int_t ngx_pcap_api_verdict_of_reply(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);


ngx_int_t
ngx_pcap_api_unauthorized(ngx_pcap_api_ctx_t *ctx, const char *why)
{
    ctx->bearer_error = NGX_PCAP_API_INVALID_TOKEN;

    /* what is asked beside a capture is no guess of its client */

    if (ctx->capture == NULL) {
        ngx_pcap_api_address_failed(ctx);
    }

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_UNAUTHORIZED, "%s", why);
}


/* b64token of RFC 6750 2.1 */
static ngx_uint_t
ngx_pcap_api_token_char(u_char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
           || (ch >= '0' && ch <= '9') || ch == '-' || ch == '.' || ch == '_'
           || ch == '~' || ch == '+' || ch == '/' || ch == '=';
}


/*
 * The cache's key: the token, and the location of this configuration: what
 * another one's endpoint says of a token, under whatever name, means nothing
 * here.
 */
static ngx_int_t
ngx_pcap_api_hash_token(ngx_pcap_api_ctx_t *ctx)
{
    int                        ok;
    EVP_MD_CTX                *md;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);

    md = EVP_MD_CTX_new();
    if (md == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ok = EVP_DigestInit_ex(md, EVP_sha256(), NULL)
         && EVP_DigestUpdate(md, pmcf->salt, sizeof(pmcf->salt))
         && EVP_DigestUpdate(md, &ctx->conf->number, sizeof(ngx_uint_t))
         && EVP_DigestUpdate(md, ctx->token.data, ctx->token.len);

    ok = ok && EVP_DigestFinal_ex(md, ctx->token_hash, NULL);

    EVP_MD_CTX_free(md);

    return ok ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


const char *
ngx_pcap_api_token_wrong(ngx_str_t *token)
{
    size_t  i;

    if (token->len == 0 || token->len > NGX_PCAP_API_MAX_TOKEN) {
        return "the token is empty or over 16384 bytes";
    }

    for (i = 0; i < token->len; i++) {
        if (!ngx_pcap_api_token_char(token->data[i])) {
            return "the token holds a character that no token has";
        }
    }

    return NULL;
}


ngx_int_t
ngx_pcap_api_set_token(ngx_pcap_api_ctx_t *ctx, ngx_str_t *token)
{
    size_t       n;
    const char  *why;

    ctx->token = *token;

    why = ngx_pcap_api_token_wrong(&ctx->token);
    if (why != NULL) {
        return ngx_pcap_api_unauthorized(ctx, why);
    }

    n = 3 * ctx->token.len;

    ctx->token_encoded.data = ngx_pnalloc(ctx->request->pool, n);
    if (ctx->token_encoded.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->token_encoded.len = pcapx_form_encode(
                                 (char *) ctx->token_encoded.data, n,
                                 (char *) ctx->token.data, ctx->token.len);

    return ngx_pcap_api_hash_token(ctx);
}


ngx_int_t
ngx_pcap_api_take_token(ngx_pcap_api_ctx_t *ctx)
{
    size_t               i;
    ngx_int_t            rc;
    ngx_str_t            s;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (r->headers_in.authorization == NULL) {
        rc = ngx_pcap_api_kube_take_cert(ctx);

        return rc != NGX_DECLINED ? rc : ngx_pcap_api_unauthorized(ctx,
                   "a token is needed: \"Authorization: bearer TOKEN\"");
    }

    s = r->headers_in.authorization->value;

    if (s.len < 7 || ngx_strncasecmp(s.data, (u_char *) "bearer ", 7) != 0) {
        return ngx_pcap_api_unauthorized(ctx,
                   "only \"Authorization: bearer TOKEN\" is taken");
    }

    for (i = 7; i < s.len && s.data[i] == ' '; i++) { /* void */ }

    s.data += i;
    s.len -= i;

    return ngx_pcap_api_set_token(ctx, &s);
}


ngx_uint_t
ngx_pcap_api_has_scope(ngx_pcap_api_identity_t *id, ngx_str_t *scope)
{
    u_char  *p, *last, *end;

    if (scope->len == 0) {
        return 0;
    }

    last = id->scopes.data + id->scopes.len;

    for (p = id->scopes.data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, ' ');
        if (end == NULL) {
            end = last;
        }

        if ((size_t) (end - p) == scope->len
            && ngx_memcmp(p, scope->data, scope->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* Once per request, before anything is asked. */
static ngx_int_t
ngx_pcap_api_cached_verdict(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    if (ctx->cache_asked || !ctx->conf->token_cache) {
        return NGX_DECLINED;
    }

    ctx->cache_asked = 1;
    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);

    return ngx_pcap_api_cache_get(pmcf->zone, r->pool, ctx->token_hash,
                                  &ctx->identity);
}


ngx_int_t
ngx_pcap_api_auth_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->conf->kube.api != NULL) {
        return ngx_pcap_api_kube_auth_phase(r, ctx);
    }

    rc = ngx_pcap_api_cached_verdict(r, ctx);

    if (rc == NGX_OK) {
        ngx_pcap_api_count(NGX_PCAP_API_C_CACHE_HITS, 1);
    }

    if (rc == NGX_DECLINED) {
        rc = ctx->conf->token_keys.len
             ? ngx_pcap_api_keys_phase(r, ctx)
             : ngx_pcap_api_introspection_phase(r, ctx);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (!ctx->identity.active) {
        return ngx_pcap_api_unauthorized(ctx, "the token is not valid");
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_take_slot(ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);

    /* what we ask ourselves, beside a capture, is no request of its client */

    rc = ngx_pcap_api_slot_take(pmcf->zone, ctx,
                                ctx->capture ? NULL
                                             : ngx_pcap_api_counted(ctx));

    if (rc == NGX_OK) {
        ctx->slot = 1;
        return NGX_OK;
    }

    ctx->retry_after = 1;

    if (rc == NGX_BUSY) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_TOO_MANY_REQUESTS,
                   "more than %ui new tokens per second from this address",
                   ctx->conf->limits.introspection_rate.rate);
    }

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
               "%ui token checks are under way already",
               ngx_pcap_api_slots(ctx));
}


static ngx_int_t
ngx_pcap_api_introspection_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_pcap_api_fetch_t  *f;

    f = &ctx->introspection;

    if (f->done && f->status == NGX_HTTP_UNAUTHORIZED
        && ngx_pcap_api_client_refused(ctx))
    {
        ngx_pcap_api_fetch_drop(f);
        ngx_memzero(f, sizeof(ngx_pcap_api_fetch_t));
    }

    if (f->done) {
        ngx_pcap_api_give_slot(ctx);
        return ngx_pcap_api_verdict_of_reply(r, ctx);
    }

    if (f->ctx != NULL) {

        if ((ngx_msec_int_t) (ngx_current_msec - ctx->deadline) < 0) {
            return NGX_AGAIN;
        }

        ngx_pcap_api_count(NGX_PCAP_API_C_INTROSPECTIONS_FAILED, 1);

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "the token endpoint does not answer");
    }

    if (!ctx->slot) {
        rc = ngx_pcap_api_take_slot(ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_pcap_api_client_phase(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_pcap_api_count(NGX_PCAP_API_C_INTROSPECTIONS, 1);

    rc = ngx_pcap_api_fetch(ctx, &ctx->conf->introspection,
                            NGX_PCAP_API_MAX_REPLY, f);

    return (rc == NGX_OK) ? NGX_AGAIN : rc;
}


ngx_int_t
ngx_pcap_api_take_claims(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    json_t *claims)
{
    time_t                     left;
    ngx_int_t                  rc;
    ngx_msec_t                 ttl;
    ngx_pcap_api_identity_t   *id;
    ngx_pcap_api_main_conf_t  *pmcf;

    id = &ctx->identity;
    rc = claims ? ngx_pcap_api_read_identity(r, claims, ctx->conf, id)
                : NGX_DECLINED;

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        ngx_memzero(id, sizeof(ngx_pcap_api_identity_t));
    }

    ttl = ctx->conf->token_cache;

    if (id->active && id->exp) {
        left = id->exp - ngx_time();
        ttl = ngx_min(ttl, (ngx_msec_t) ngx_min(left, 3600) * 1000);
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);
    ngx_pcap_api_cache_put(pmcf->zone, ctx->token_hash, id, ttl);

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_endpoint_failed(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    const char *why)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "token endpoint %V: status %i, %s",
                  &ctx->conf->introspection, ctx->introspection.status, why);
    ngx_pcap_api_count(NGX_PCAP_API_C_INTROSPECTIONS_FAILED, 1);

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "the token endpoint failed: %s", why);
}


static ngx_int_t
ngx_pcap_api_verdict_of_reply(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t                *doc;
    ngx_int_t              rc;
    const char            *why;
    json_error_t           error;
    ngx_pcap_api_fetch_t  *f;

    f = &ctx->introspection;

    if (f->status == NGX_HTTP_UNAUTHORIZED
        || f->status == NGX_HTTP_FORBIDDEN)
    {
        return ngx_pcap_api_endpoint_failed(r, ctx,
                                   "it refuses the credentials of this API");
    }

    why = ngx_pcap_api_fetch_failed(f);
    if (why != NULL) {
        return ngx_pcap_api_endpoint_failed(r, ctx, why);
    }

    doc = json_loadb((char *) f->data, f->len, JSON_REJECT_DUPLICATES,
                     &error);

    if (!json_is_object(doc)
        || !json_is_boolean(json_object_get(doc, "active")))
    {
        json_decref(doc);
        return ngx_pcap_api_endpoint_failed(r, ctx,
                                   "its answer is no introspection of JSON");
    }

    rc = ngx_pcap_api_take_claims(r, ctx,
             json_is_true(json_object_get(doc, "active")) ? doc : NULL);
    json_decref(doc);

    return rc;
}
