/*
 * module/keys.c: the token check by the authorization server's own keys. They
 * are fetched from one configured location and nowhere else, kept by each
 * worker for each location, and asked for again when they are old or when a
 * token names one that is not there.
 *
 * One fetch is under way per worker and location. A request that cannot do
 * without it looks again with every tick, until its own deadline; all others
 * use the keys that are there. Old keys are better than no service, but not
 * for ever.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_KEYS_SIZE     131072   /* 32 of UAA's of 8192 bits */
#define NGX_PCAP_API_KEYS_KEPT     3600000  /* ms past their validity */
#define NGX_PCAP_API_KEYS_UNKNOWN  60000    /* ms between fetches for a kid */
#define NGX_PCAP_API_KEYS_RETRY    1000     /* ms, when there are none */
#define NGX_PCAP_API_KEYS_LATER    10000    /* ms, when there are old ones */
#define NGX_PCAP_API_KEYS_PATIENT  5000     /* ms for an answer */
#define NGX_PCAP_API_KEYS_HASTY    2000     /* ms, when old ones would do */
#define NGX_PCAP_API_KEYS_ETAG     128


struct ngx_pcap_api_keys_s {
    pcap_jwt_keys_t           *set;          /* NULL: none yet */
    ngx_pcap_api_ctx_t        *fetching;     /* whose fetch is under way */
    const char                *failed;       /* the last fetch, and why */
    ngx_msec_t                 checked;      /* the set was found right */
    ngx_msec_t                 tried;        /* the last fetch ended */
    ngx_msec_t                 unknown;      /* one for a kid began */
    ngx_str_t                  etag;         /* of the set */
    u_char                     etag_data[NGX_PCAP_API_KEYS_ETAG];
    ngx_uint_t                 unknown_set;  /* unsigned  unknown_set:1 */
};


static ngx_int_t
ngx_pcap_api_keys_unavailable(ngx_pcap_api_ctx_t *ctx, const char *why)
{
    ctx->retry_after = 1;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "no token keys from the token endpoint "
                               "(%V): %s", &ctx->conf->token_keys, why);
}


static ngx_int_t
ngx_pcap_api_keys_usable(ngx_pcap_api_loc_conf_t *conf)
{
    return conf->keys->set != NULL
           && ngx_current_msec - conf->keys->checked
              < conf->keys_valid + NGX_PCAP_API_KEYS_KEPT;
}


/* The keys are past their validity, and the last try is some time ago. */
static ngx_int_t
ngx_pcap_api_keys_due(ngx_pcap_api_loc_conf_t *conf)
{
    ngx_pcap_api_keys_t  *keys;

    keys = conf->keys;

    return ngx_current_msec - keys->checked >= conf->keys_valid
           && (keys->failed == NULL
               || ngx_current_msec - keys->tried >= NGX_PCAP_API_KEYS_LATER);
}


/* Waits for the fetch of another request. */
static ngx_int_t
ngx_pcap_api_keys_queue(ngx_pcap_api_ctx_t *ctx)
{
    if ((ngx_msec_int_t) (ngx_current_msec - ctx->deadline) < 0) {
        return NGX_AGAIN;
    }

    return ngx_pcap_api_keys_unavailable(ctx, "it does not answer");
}


/* NGX_AGAIN when it has begun; else nothing has. */
static ngx_int_t
ngx_pcap_api_keys_fetch(ngx_pcap_api_ctx_t *ctx, ngx_uint_t conditional)
{
    ngx_int_t             rc;
    ngx_pcap_api_keys_t  *keys;

    keys = ctx->conf->keys;

    rc = ngx_pcap_api_take_slot(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx->keys_asked = 1;
    ctx->keys_conditional = conditional && keys->etag.len;
    ctx->keys_deadline = ngx_current_msec
                         + (ngx_pcap_api_keys_usable(ctx->conf)
                            ? NGX_PCAP_API_KEYS_HASTY
                            : NGX_PCAP_API_KEYS_PATIENT);
    keys->fetching = ctx;
    ngx_pcap_api_count(NGX_PCAP_API_C_KEYS_FETCHES, 1);

    rc = ngx_pcap_api_fetch(ctx, &ctx->conf->token_keys,
                            NGX_PCAP_API_KEYS_SIZE, &ctx->keys_fetch);

    return (rc == NGX_OK) ? NGX_AGAIN : rc;
}


/* Only what can stand in a header line is sent back. */
static void
ngx_pcap_api_keys_set_etag(ngx_pcap_api_keys_t *keys, ngx_str_t *etag)
{
    size_t  i;

    keys->etag.len = 0;

    if (etag->len == 0 || etag->len > sizeof(keys->etag_data)) {
        return;
    }

    for (i = 0; i < etag->len; i++) {
        if (etag->data[i] <= ' ' || etag->data[i] > '~') {
            return;
        }
    }

    ngx_memcpy(keys->etag_data, etag->data, etag->len);
    keys->etag.data = keys->etag_data;
    keys->etag.len = etag->len;
}


/* NULL when there are right keys now, else why not. */
static const char *
ngx_pcap_api_keys_take(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_fetch_t *f)
{
    const char           *why;
    pcap_jwt_keys_t      *set;
    ngx_pcap_api_keys_t  *keys;

    keys = ctx->conf->keys;

    if (f->done && f->answered && f->status == NGX_HTTP_NOT_MODIFIED
        && !f->unverified && ctx->keys_conditional)
    {
        keys->checked = ngx_current_msec;
        return NULL;
    }

    why = ngx_pcap_api_fetch_failed(f);
    if (why != NULL) {
        return why;
    }

    if (pcap_jwt_keys_parse((char *) f->data, f->len, &set, &why)
        != PCAP_JWT_OK)
    {
        return why;
    }

    pcap_jwt_keys_free(keys->set);
    keys->set = set;
    keys->checked = ngx_current_msec;
    ngx_pcap_api_keys_set_etag(keys, &f->etag);

    return NULL;
}


/* The fetch of this request: NGX_AGAIN while it is under way. */
static ngx_int_t
ngx_pcap_api_keys_wait(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t                usable;
    ngx_pcap_api_keys_t      *keys;
    ngx_pcap_api_fetch_t     *f;
    ngx_pcap_api_loc_conf_t  *conf;

    f = &ctx->keys_fetch;
    conf = ctx->conf;
    keys = conf->keys;

    if (!f->done
        && (ngx_msec_int_t) (ngx_current_msec - ctx->keys_deadline) < 0)
    {
        return NGX_AGAIN;
    }

    keys->failed = ngx_pcap_api_keys_take(ctx, f);
    keys->tried = ngx_current_msec;
    keys->fetching = NULL;

    if (keys->failed != NULL) {
        usable = ngx_pcap_api_keys_usable(conf);
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "token keys of %V: status %i, %s%s",
                      &conf->token_keys, f->status, keys->failed,
                      usable ? "; the ones that are known go on being used"
                             : "");
    }

    ngx_pcap_api_fetch_drop(f);
    ngx_pcap_api_give_slot(ctx);

    return NGX_OK;
}


/* No key can be used, be it that there is none or that it is too old. */
static ngx_int_t
ngx_pcap_api_keys_none(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_keys_t  *keys;

    keys = ctx->conf->keys;

    if (keys->fetching != NULL) {
        return ngx_pcap_api_keys_queue(ctx);
    }

    /* a request has one fetch: its memory may still be in use */

    if (ctx->keys_asked
        || (keys->failed != NULL
            && ngx_current_msec - keys->tried < NGX_PCAP_API_KEYS_RETRY))
    {
        return ngx_pcap_api_keys_unavailable(ctx, keys->failed ? keys->failed
                                                  : "it does not answer");
    }

    return ngx_pcap_api_keys_fetch(ctx, 0);
}


/*
 * No key has the token's kid: it may be a new one. The endpoint is asked for
 * all of them, as its ETag need not tell (UAA's is the time of the zone), but
 * not by everybody who makes up a kid.
 */
static ngx_int_t
ngx_pcap_api_keys_unknown(ngx_pcap_api_ctx_t *ctx, const char *why)
{
    ngx_int_t             rc;
    ngx_pcap_api_keys_t  *keys;

    keys = ctx->conf->keys;

    if (keys->fetching != NULL) {
        return ngx_pcap_api_keys_queue(ctx);
    }

    if (ctx->keys_asked
        || (keys->unknown_set
            && ngx_current_msec - keys->unknown < NGX_PCAP_API_KEYS_UNKNOWN))
    {
        if (keys->failed != NULL) {
            return ngx_pcap_api_keys_unavailable(ctx, keys->failed);
        }

        return ngx_pcap_api_unauthorized(ctx, why);
    }

    rc = ngx_pcap_api_keys_fetch(ctx, 0);

    if (rc == NGX_AGAIN) {
        keys->unknown = ngx_current_msec;
        keys->unknown_set = 1;
    }

    return rc;
}


static ngx_int_t
ngx_pcap_api_keys_verdict(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    int                    rc;
    json_t                *claims;
    ngx_int_t              verdict;
    const char            *why;
    const pcap_jwt_key_t  *key;

    claims = NULL;
    rc = pcap_jwt_key_find(ctx->conf->keys->set, ctx->jwt, &key, &why);

    if (rc == PCAP_JWT_ENOKEY) {
        return ngx_pcap_api_keys_unknown(ctx, why);
    }

    if (rc == PCAP_JWT_OK) {
        rc = pcap_jwt_verify(ctx->jwt, key, &claims, &why);
    }

    if (rc == PCAP_JWT_ENOMEM) {
        return NGX_ERROR;
    }

    if (rc != PCAP_JWT_OK) {
        return ngx_pcap_api_unauthorized(ctx, why);
    }

    verdict = ctx->conf->kube.api ? ngx_pcap_api_kube_claims(ctx, claims)
                                  : ngx_pcap_api_take_claims(r, ctx, claims);
    json_decref(claims);

    return verdict;
}


ngx_int_t
ngx_pcap_api_keys_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    int          rc;
    ngx_int_t    begun;
    const char  *why;

    if (ctx->jwt == NULL) {
        ctx->jwt = ngx_palloc(r->pool, sizeof(pcap_jwt_t));
        if (ctx->jwt == NULL) {
            return NGX_ERROR;
        }

        rc = pcap_jwt_parse(ctx->jwt, (char *) ctx->token.data,
                            ctx->token.len, &why);

        if (rc != PCAP_JWT_OK) {
            return rc == PCAP_JWT_ENOMEM
                   ? NGX_ERROR : ngx_pcap_api_unauthorized(ctx, why);
        }
    }

    if (ctx->conf->keys->fetching == ctx
        && ngx_pcap_api_keys_wait(r, ctx) == NGX_AGAIN)
    {
        return NGX_AGAIN;
    }

    if (!ngx_pcap_api_keys_usable(ctx->conf)) {
        return ngx_pcap_api_keys_none(ctx);
    }

    if (!ctx->keys_asked && ctx->conf->keys->fetching == NULL
        && ngx_pcap_api_keys_due(ctx->conf))
    {
        begun = ngx_pcap_api_keys_fetch(ctx, 1);

        if (begun == NGX_AGAIN || begun == NGX_ERROR) {
            return begun;
        }

        /* too many are asking: the old ones will do once more */

        ctx->retry_after = 0;
    }

    return ngx_pcap_api_keys_verdict(r, ctx);
}


void
ngx_pcap_api_keys_release(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_keys_t  *keys;

    keys = ctx->conf->keys;

    if (keys != NULL && keys->fetching == ctx) {
        keys->fetching = NULL;
    }
}


ngx_str_t *
ngx_pcap_api_keys_etag(ngx_pcap_api_ctx_t *ctx, ngx_http_request_t *sr)
{
    if (ngx_pcap_api_fetch_of(sr) != &ctx->keys_fetch
        || !ctx->keys_conditional)
    {
        return NULL;
    }

    return &ctx->conf->keys->etag;
}


static void
ngx_pcap_api_keys_cleanup(void *data)
{
    ngx_pcap_api_keys_t *keys = data;

    pcap_jwt_keys_free(keys->set);
    keys->set = NULL;
}


ngx_pcap_api_keys_t *
ngx_pcap_api_keys_create(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t   *cln;
    ngx_pcap_api_keys_t  *keys;

    keys = ngx_pcalloc(cf->pool, sizeof(ngx_pcap_api_keys_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (keys == NULL || cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_pcap_api_keys_cleanup;
    cln->data = keys;

    return keys;
}
