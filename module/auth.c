/*
 * module/auth.c: who asks. The bearer token is taken from the request, its
 * verdict from the cache or by RFC 7662 introspection in a subrequest.
 *
 * The token itself goes nowhere but into that subrequest's body; the cache
 * knows its SHA-256 only. Whatever the endpoint answers is checked field by
 * field: an unexpected type means no identity.
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>
#include <openssl/evp.h>


#define NGX_PCAP_API_INVALID_TOKEN  "Bearer error=\"invalid_token\""


static ngx_int_t ngx_pcap_api_introspect(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
static ngx_int_t ngx_pcap_api_verdict_of_reply(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);


static ngx_int_t
ngx_pcap_api_unauthorized(ngx_pcap_api_ctx_t *ctx, const char *why)
{
    ctx->bearer_error = NGX_PCAP_API_INVALID_TOKEN;

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
 * The cache's key: the token, and what this location demands of it, because
 * another location's verdict says nothing here.
 */
static ngx_int_t
ngx_pcap_api_hash_token(ngx_pcap_api_ctx_t *ctx)
{
    int          ok;
    ngx_str_t    hash;
    ngx_uint_t   i;
    EVP_MD_CTX  *md;

    ngx_str_t  *parts[] = {
        &ctx->conf->introspection, &ctx->conf->issuer, &ctx->conf->audience,
        &hash
    };

    hash.data = ctx->token_hash;
    hash.len = sizeof(ctx->token_hash);

    md = EVP_MD_CTX_new();
    if (md == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ok = EVP_Digest(ctx->token.data, ctx->token.len, ctx->token_hash, NULL,
                    EVP_sha256(), NULL)
         && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

    for (i = 0; ok && i < sizeof(parts) / sizeof(parts[0]); i++) {
        ok = EVP_DigestUpdate(md, &parts[i]->len, sizeof(size_t))
             && EVP_DigestUpdate(md, parts[i]->data, parts[i]->len);
    }

    ok = ok && EVP_DigestFinal_ex(md, ctx->token_hash, NULL);

    EVP_MD_CTX_free(md);

    return ok ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


ngx_int_t
ngx_pcap_api_take_token(ngx_pcap_api_ctx_t *ctx)
{
    size_t               i, n;
    ngx_str_t            s;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (r->headers_in.authorization == NULL) {
        return ngx_pcap_api_unauthorized(ctx,
                   "a token is needed: \"Authorization: bearer TOKEN\"");
    }

    s = r->headers_in.authorization->value;

    if (s.len < 7 || ngx_strncasecmp(s.data, (u_char *) "bearer ", 7) != 0) {
        return ngx_pcap_api_unauthorized(ctx,
                   "only \"Authorization: bearer TOKEN\" is taken");
    }

    for (i = 7; i < s.len && s.data[i] == ' '; i++) { /* void */ }

    ctx->token.data = s.data + i;
    ctx->token.len = s.len - i;

    if (ctx->token.len == 0 || ctx->token.len > NGX_PCAP_API_MAX_TOKEN) {
        return ngx_pcap_api_unauthorized(ctx,
                                    "the token is empty or over 16384 bytes");
    }

    for (i = 0; i < ctx->token.len; i++) {
        if (!ngx_pcap_api_token_char(ctx->token.data[i])) {
            return ngx_pcap_api_unauthorized(ctx,
                       "the token holds a character that no token has");
        }
    }

    n = 3 * ctx->token.len;

    ctx->token_encoded.data = ngx_pnalloc(r->pool, n);
    if (ctx->token_encoded.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->token_encoded.len = pcapx_form_encode(
                                 (char *) ctx->token_encoded.data, n,
                                 (char *) ctx->token.data, ctx->token.len);

    return ngx_pcap_api_hash_token(ctx);
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


ngx_int_t
ngx_pcap_api_auth_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_pcap_api_main_conf_t  *pmcf;

    if (ctx->introspection.done) {
        ngx_pcap_api_give_slot(ctx);
        rc = ngx_pcap_api_verdict_of_reply(r, ctx);

    } else if (ctx->introspection.ctx != NULL) {

        if ((ngx_msec_int_t) (ngx_current_msec - ctx->deadline) < 0) {
            return NGX_AGAIN;
        }

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "the token endpoint does not answer");

    } else {
        pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);

        rc = ctx->conf->token_cache
             ? ngx_pcap_api_cache_get(pmcf->zone, r->pool, ctx->token_hash,
                                      &ctx->identity)
             : NGX_DECLINED;

        if (rc == NGX_DECLINED) {
            return ngx_pcap_api_introspect(r, ctx);
        }
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (!ctx->identity.active) {
        return ngx_pcap_api_unauthorized(ctx, "the token is not valid");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_introspect(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);

    rc = ngx_pcap_api_slot_take(pmcf->zone, ctx->conf,
                                r->connection->sockaddr);

    if (rc == NGX_BUSY) {
        ctx->retry_after = 1;
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_TOO_MANY_REQUESTS,
                   "more than %ui new tokens per second from this address",
                   ctx->conf->rate);
    }

    if (rc != NGX_OK) {
        ctx->retry_after = 1;
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                   "%ui token checks are under way already",
                   ctx->conf->inflight);
    }

    ctx->slot = 1;

    rc = ngx_pcap_api_fetch(ctx, &ctx->conf->introspection,
                            NGX_PCAP_API_MAX_REPLY, &ctx->introspection);

    return (rc == NGX_OK) ? NGX_AGAIN : rc;
}


/* A text of the answer, cleaned, in the pool; empty when it is not there. */
static ngx_int_t
ngx_pcap_api_claim(ngx_pool_t *pool, json_t *doc, const char *name,
    size_t max, ngx_str_t *out)
{
    json_t  *v;

    v = json_object_get(doc, name);

    ngx_str_null(out);

    if (v == NULL || json_is_null(v)) {
        return NGX_OK;
    }

    if (!json_is_string(v) || json_string_length(v) > max) {
        return NGX_DECLINED;
    }

    out->data = ngx_pnalloc(pool, max);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    out->len = ngx_pcap_api_clean_text(out->data, max,
                                       (u_char *) json_string_value(v),
                                       json_string_length(v));
    return NGX_OK;
}


/* The first of the claims that is there. */
static ngx_int_t
ngx_pcap_api_first_claim(ngx_pool_t *pool, json_t *doc,
    const char *const *names, ngx_str_t *out)
{
    ngx_int_t  rc;

    for ( /* void */ ; *names; names++) {
        rc = ngx_pcap_api_claim(pool, doc, *names, NGX_PCAP_API_USER_LEN,
                                out);

        if (rc != NGX_OK || out->len) {
            return rc;
        }
    }

    return NGX_DECLINED;
}


/* UAA answers with an array of scopes, RFC 7662 says a string. */
static ngx_int_t
ngx_pcap_api_scopes_claim(ngx_pool_t *pool, json_t *doc, ngx_str_t *out)
{
    size_t       i, k, len;
    u_char      *p, *last;
    json_t      *list, *v;
    const char  *s;

    list = json_object_get(doc, "scope");

    ngx_str_null(out);

    if (list == NULL || json_is_null(list)) {
        return NGX_OK;
    }

    if (json_is_string(list)) {
        return ngx_pcap_api_claim(pool, doc, "scope",
                                  NGX_PCAP_API_MAX_SCOPES, out);
    }

    if (!json_is_array(list)) {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(pool, NGX_PCAP_API_MAX_SCOPES);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;
    last = p + NGX_PCAP_API_MAX_SCOPES;

    for (i = 0; i < json_array_size(list); i++) {
        v = json_array_get(list, i);
        s = json_string_value(v);

        if (s == NULL) {
            return NGX_DECLINED;
        }

        len = json_string_length(v);

        for (k = 0; k < len; k++) {
            if ((u_char) s[k] <= ' ') {
                return NGX_DECLINED;
            }
        }

        if (len + 1 > (size_t) (last - p)) {
            return NGX_DECLINED;
        }

        if (p != out->data) {
            *p++ = ' ';
        }

        p = ngx_cpymem(p, s, len);
    }

    out->len = p - out->data;

    return NGX_OK;
}


static ngx_uint_t
ngx_pcap_api_is_string(json_t *v, ngx_str_t *s)
{
    return json_is_string(v)
           && json_string_length(v) == s->len
           && ngx_memcmp(json_string_value(v), s->data, s->len) == 0;
}


/* Is the token meant for us, from the issuer we know, and no refresh token? */
static ngx_uint_t
ngx_pcap_api_token_fits(ngx_pcap_api_loc_conf_t *conf, json_t *doc)
{
    size_t       i, len;
    json_t      *v;
    const char  *jti;

    v = json_object_get(doc, "jti");

    if (v != NULL && !json_is_null(v)) {
        jti = json_string_value(v);

        if (jti == NULL) {
            return 0;
        }

        /* UAA marks refresh tokens so, the Director checks the same */
        len = json_string_length(v);

        if (len >= 2 && ngx_memcmp(jti + len - 2, "-r", 2) == 0) {
            return 0;
        }
    }

    if (conf->issuer.len
        && !ngx_pcap_api_is_string(json_object_get(doc, "iss"),
                                   &conf->issuer))
    {
        return 0;
    }

    if (conf->audience.len == 0) {
        return 1;
    }

    v = json_object_get(doc, "aud");

    if (!json_is_array(v)) {
        return ngx_pcap_api_is_string(v, &conf->audience);
    }

    for (i = 0; i < json_array_size(v); i++) {
        if (ngx_pcap_api_is_string(json_array_get(v, i), &conf->audience)) {
            return 1;
        }
    }

    return 0;
}


/* NGX_OK with id->active, NGX_DECLINED for no identity, NGX_ERROR. */
static ngx_int_t
ngx_pcap_api_read_identity(ngx_http_request_t *r, json_t *doc,
    ngx_pcap_api_loc_conf_t *conf, ngx_pcap_api_identity_t *id)
{
    json_t     *v;
    ngx_int_t   rc;

    static const char *const  ids[] = {
        "user_id", "sub", "client_id", "cid", NULL
    };
    static const char *const  names[] = {
        "user_name", "username", "client_id", "cid", "sub", NULL
    };

    if (!json_is_true(json_object_get(doc, "active"))
        || !ngx_pcap_api_token_fits(conf, doc))
    {
        return NGX_DECLINED;
    }

    v = json_object_get(doc, "exp");

    if (v != NULL && !json_is_null(v)) {
        if (!json_is_integer(v) || json_integer_value(v) <= ngx_time()) {
            return NGX_DECLINED;
        }

        id->exp = (time_t) json_integer_value(v);
    }

    v = json_object_get(doc, "nbf");

    if (v != NULL && !json_is_null(v)
        && (!json_is_integer(v) || json_integer_value(v) > ngx_time() + 60))
    {
        return NGX_DECLINED;
    }

    rc = ngx_pcap_api_first_claim(r->pool, doc, ids, &id->id);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_pcap_api_first_claim(r->pool, doc, names, &id->name);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_pcap_api_scopes_claim(r->pool, doc, &id->scopes);
    if (rc != NGX_OK) {
        return rc;
    }

    id->active = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_endpoint_failed(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    const char *why)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "token endpoint %V: status %i, %s",
                  &ctx->conf->introspection, ctx->introspection.status, why);

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "the token endpoint failed: %s", why);
}


static ngx_int_t
ngx_pcap_api_verdict_of_reply(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t                    *doc;
    time_t                     left;
    ngx_int_t                  rc;
    ngx_msec_t                 ttl;
    const char                *why;
    json_error_t               error;
    ngx_pcap_api_fetch_t      *f;
    ngx_pcap_api_identity_t   *id;
    ngx_pcap_api_main_conf_t  *pmcf;

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

    id = &ctx->identity;
    rc = ngx_pcap_api_read_identity(r, doc, ctx->conf, id);
    json_decref(doc);

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
