/*
 * module/client_token.c: the access token of this API itself, by which it
 * introspects (RFC 6749 4.4, client_credentials). Each worker keeps one for
 * each location, asks for the next one before it expires, and for another
 * when the token endpoint takes it no more.
 *
 * As with keys, one fetch is under way per worker and location; who cannot
 * do without it looks again with every tick, until its own deadline.
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>


#define NGX_PCAP_API_CLIENT_REPLY    32768
#define NGX_PCAP_API_CLIENT_RETRY    1000    /* ms, when there is none */
#define NGX_PCAP_API_CLIENT_LATER    10000   /* ms, when there is an old one */
#define NGX_PCAP_API_CLIENT_YOUNG    3000    /* ms: a new one is no better */
#define NGX_PCAP_API_CLIENT_PATIENT  5000    /* ms for an answer */
#define NGX_PCAP_API_CLIENT_HASTY    2000    /* ms, when the old one would do */
#define NGX_PCAP_API_CLIENT_MAX_AGE  86400   /* s, whatever the answer says */


struct ngx_pcap_api_client_token_s {
    ngx_str_t                  token;        /* from the heap; len 0: none */
    ngx_pcap_api_ctx_t        *fetching;     /* whose fetch is under way */
    const char                *failed;       /* the last fetch, and why */
    ngx_msec_t                 tried;        /* the last fetch ended */
    ngx_msec_t                 asked;        /* the last fetch began */
    ngx_msec_t                 lifetime;     /* of token, since it was asked */
    ngx_msec_t                 since;        /* token was asked for */
};


static ngx_int_t
ngx_pcap_api_client_unavailable(ngx_pcap_api_ctx_t *ctx, const char *why)
{
    ctx->retry_after = 1;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "no token for this API itself from the token "
                               "endpoint (%V): %s", &ctx->conf->client_uri,
                               why);
}


static void
ngx_pcap_api_client_forget(ngx_pcap_api_client_token_t *t)
{
    if (t->token.data != NULL) {
        ngx_explicit_memzero(t->token.data, t->token.len);
        ngx_free(t->token.data);
        ngx_str_null(&t->token);
    }
}


/* The tenth at the end is for the way to the endpoint and its clock. */
static ngx_uint_t
ngx_pcap_api_client_usable(ngx_pcap_api_client_token_t *t)
{
    return t->token.len != 0
           && ngx_current_msec - t->since < t->lifetime - t->lifetime / 10;
}


static ngx_uint_t
ngx_pcap_api_client_due(ngx_pcap_api_client_token_t *t)
{
    return ngx_current_msec - t->since >= t->lifetime - t->lifetime / 4
           && (t->failed == NULL || ngx_current_msec - t->tried
                                    >= NGX_PCAP_API_CLIENT_LATER);
}


static ngx_int_t
ngx_pcap_api_client_fetch(ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_pcap_api_client_token_t  *t;

    t = ctx->conf->client_token;

    ctx->client_asked = 1;
    ctx->client_deadline = ngx_current_msec
                           + (ngx_pcap_api_client_usable(t)
                              ? NGX_PCAP_API_CLIENT_HASTY
                              : NGX_PCAP_API_CLIENT_PATIENT);
    t->fetching = ctx;
    t->asked = ngx_current_msec;

    rc = ngx_pcap_api_fetch(ctx, &ctx->conf->client_uri,
                            NGX_PCAP_API_CLIENT_REPLY, &ctx->client_fetch);

    return (rc == NGX_OK) ? NGX_AGAIN : rc;
}


/* NULL, or why this is no token for a header line. */
static const char *
ngx_pcap_api_client_read(ngx_pcap_api_client_token_t *t, json_t *doc)
{
    json_t       *token, *type, *expires;
    ngx_str_t     s;
    json_int_t    seconds;

    token = json_object_get(doc, "access_token");
    type = json_object_get(doc, "token_type");
    expires = json_object_get(doc, "expires_in");

    if (!json_is_string(token) || !json_is_string(type)
        || ngx_strcasecmp((u_char *) json_string_value(type),
                          (u_char *) "bearer") != 0)
    {
        return "its answer holds no bearer token";
    }

    seconds = json_integer_value(expires);

    if (!json_is_integer(expires) || seconds <= 0) {
        return "its answer does not say how long the token is good "
               "(expires_in)";
    }

    s.data = (u_char *) json_string_value(token);
    s.len = json_string_length(token);

    if (ngx_pcap_api_token_wrong(&s) != NULL) {
        return "its token is no bearer token";
    }

    ngx_pcap_api_client_forget(t);

    t->token.data = ngx_alloc(s.len, ngx_cycle->log);
    if (t->token.data == NULL) {
        return "memory is out";
    }

    ngx_memcpy(t->token.data, s.data, s.len);
    t->token.len = s.len;
    t->since = t->asked;
    t->lifetime = 1000 * (ngx_msec_t) ngx_min(seconds,
                                              NGX_PCAP_API_CLIENT_MAX_AGE);

    return NULL;
}


/* NULL when there is a new token now, else why not. */
static const char *
ngx_pcap_api_client_take(ngx_pcap_api_client_token_t *t,
    ngx_pcap_api_fetch_t *f)
{
    json_t        *doc;
    const char    *why;
    json_error_t   error;

    if (f->done && f->answered && (f->status == NGX_HTTP_UNAUTHORIZED
                                   || f->status == NGX_HTTP_BAD_REQUEST))
    {
        return "it refuses the credentials of this API";
    }

    why = ngx_pcap_api_fetch_failed(f);
    if (why != NULL) {
        return why;
    }

    doc = json_loadb((char *) f->data, f->len, JSON_REJECT_DUPLICATES,
                     &error);
    why = ngx_pcap_api_client_read(t, doc);
    json_decref(doc);

    return why;
}


/* The fetch of this request: NGX_AGAIN while it is under way. */
static ngx_int_t
ngx_pcap_api_client_wait(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_fetch_t         *f;
    ngx_pcap_api_client_token_t  *t;

    f = &ctx->client_fetch;
    t = ctx->conf->client_token;

    if (!f->done
        && (ngx_msec_int_t) (ngx_current_msec - ctx->client_deadline) < 0)
    {
        return NGX_AGAIN;
    }

    t->failed = ngx_pcap_api_client_take(t, f);
    t->tried = ngx_current_msec;
    t->fetching = NULL;

    if (t->failed != NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "client token of %V: status %i, %s%s",
                      &ctx->conf->client_uri, f->status, t->failed,
                      ngx_pcap_api_client_usable(t)
                      ? "; the one that is known goes on being used" : "");
    }

    if (f->data != NULL) {
        ngx_explicit_memzero(f->data, f->len);
    }

    ngx_pcap_api_fetch_drop(f);

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_client_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_client_token_t  *t;

    t = ctx->conf->client_token;

    if (t == NULL) {
        return NGX_OK;
    }

    if (t->fetching == ctx && ngx_pcap_api_client_wait(r, ctx) == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (ngx_pcap_api_client_usable(t)) {
        if (t->fetching == NULL && !ctx->client_asked
            && ngx_pcap_api_client_due(t))
        {
            return ngx_pcap_api_client_fetch(ctx);
        }

        ctx->client_used = t->since;

        return NGX_OK;
    }

    if (t->fetching != NULL) {
        return (ngx_msec_int_t) (ngx_current_msec - ctx->deadline) < 0
               ? NGX_AGAIN
               : ngx_pcap_api_client_unavailable(ctx, "it does not answer");
    }

    /* a request has one fetch: its memory may still be in use */

    if (ctx->client_asked
        || (t->failed != NULL
            && ngx_current_msec - t->tried < NGX_PCAP_API_CLIENT_RETRY))
    {
        return ngx_pcap_api_client_unavailable(ctx, t->failed ? t->failed
                                                    : "it does not answer");
    }

    return ngx_pcap_api_client_fetch(ctx);
}


ngx_uint_t
ngx_pcap_api_client_refused(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_client_token_t  *t;

    t = ctx->conf->client_token;

    if (t == NULL || ctx->client_again) {
        return 0;
    }

    if (t->token.len != 0 && t->since == ctx->client_used) {

        if (ctx->client_asked
            || ngx_current_msec - t->since < NGX_PCAP_API_CLIENT_YOUNG)
        {
            return 0;
        }

        ngx_pcap_api_client_forget(t);
    }

    ctx->client_again = 1;

    return 1;
}


void
ngx_pcap_api_client_release(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_client_token_t  *t;

    t = ctx->conf->client_token;

    if (t != NULL && t->fetching == ctx) {
        t->fetching = NULL;
    }
}


ngx_str_t *
ngx_pcap_api_client_bearer(ngx_pcap_api_ctx_t *ctx, ngx_http_request_t *sr)
{
    if (ctx->conf->client_token == NULL
        || ngx_pcap_api_fetch_of(sr) != &ctx->introspection)
    {
        return NULL;
    }

    return &ctx->conf->client_token->token;
}


static void
ngx_pcap_api_client_cleanup(void *data)
{
    ngx_pcap_api_client_forget(data);
}


ngx_pcap_api_client_token_t *
ngx_pcap_api_client_create(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t           *cln;
    ngx_pcap_api_client_token_t  *t;

    t = ngx_pcalloc(cf->pool, sizeof(ngx_pcap_api_client_token_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (t == NULL || cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_pcap_api_client_cleanup;
    cln->data = t;

    return t;
}
