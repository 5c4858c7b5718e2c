/*
 * module/rights.c: the right of a capture that runs, and of an archive that
 * goes out. It is asked for again from time to time, past the cache, beside
 * the stream (module/beside.c), which is ended when it is found missing.
 *
 * That its token runs out ends no capture, nor does a platform that does not
 * answer: both only when it lasts. A fresh token (module/token_slot.c) takes
 * the place of the one before, which is wiped. It proves nothing: whoever lost
 * the right may still get tokens. So what lasts is measured from the end of
 * the last token by which the right was found, never from one that just came.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_RIGHTS_RETRY  30000     /* ms, when nobody could tell */
#define NGX_PCAP_API_RIGHTS_SKEW   5         /* s, of the endpoint's clock */
#define NGX_PCAP_API_RIGHTS_LONGEST  86400   /* s, until a check is due */


static ngx_int_t ngx_pcap_api_rights_user_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
static ngx_int_t ngx_pcap_api_rights_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);


static const ngx_pcap_api_phase_t  ngx_pcap_api_rights_phases[] = {
    { "checking the token again", ngx_pcap_api_auth_phase },
    { "checking the user again", ngx_pcap_api_rights_user_phase },
    { "checking the right again", ngx_pcap_api_rights_phase },
    { NULL, NULL }
};


/* Captures that began together do not ask together; never later than that. */
static ngx_msec_t
ngx_pcap_api_rights_next(ngx_msec_t every)
{
    return ngx_current_msec + every
           - (ngx_msec_t) ngx_random() % (every / 5 + 1);
}


static ngx_msec_t
ngx_pcap_api_rights_retry(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_rights_next(ngx_min(ctx->conf->rights.every,
                                            NGX_PCAP_API_RIGHTS_RETRY));
}


/* The right was found, by a token that runs out then. */
static void
ngx_pcap_api_rights_found(ngx_pcap_api_ctx_t *ctx, time_t exp)
{
    ngx_pcap_api_rights_t  *rt;

    rt = &ctx->rights;

    rt->exp = exp;
    rt->until = exp;
    rt->is_failing = 0;
    rt->due = ngx_pcap_api_rights_next(ctx->conf->rights.every);
}


void
ngx_pcap_api_rights_begin(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_rights_found(ctx, ctx->identity.exp);
}


static void
ngx_pcap_api_rights_drop_check(ngx_pcap_api_rights_t *rt)
{
    if (rt->check != NULL) {
        ngx_pcap_api_beside_free(rt->check);
        rt->check = NULL;
    }
}


static void
ngx_pcap_api_rights_wipe(ngx_str_t *token)
{
    if (token->data != NULL) {
        ngx_explicit_memzero(token->data, token->len);
        ngx_free(token->data);
        ngx_str_null(token);
    }
}


void
ngx_pcap_api_rights_release(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_rights_drop_check(&ctx->rights);
    ngx_pcap_api_rights_wipe(&ctx->rights.token);
}


/* The same token cannot come to be somebody else's, a lying endpoint's can. */
static ngx_int_t
ngx_pcap_api_rights_user_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t  *id;

    id = &ctx->capture->identity.id;

    if (ctx->identity.id.len != id->len
        || ngx_memcmp(ctx->identity.id.data, id->data, id->len) != 0)
    {
        return ngx_pcap_api_unauthorized(ctx, "the token is of another user");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_rights_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    const ngx_pcap_api_resolver_t  *resolver;

    /* an archive has none: nothing is resolved for it */

    resolver = ctx->resolver ? ctx->resolver : &ngx_pcap_api_files_resolver;

    return resolver->right(ctx, &ctx->asks[resolver->number]);
}


static void
ngx_pcap_api_rights_log(ngx_pcap_api_ctx_t *ctx, ngx_uint_t level,
    const char *what, ngx_str_t *detail)
{
    ngx_log_t  *log;

    log = ctx->request->connection->log;

    if (ctx->zip != NULL) {
        ngx_log_error(level, log, 0, "pcap download of %V/%V: %s: %V",
                      &ctx->kube.ns, &ctx->kube.name, what, detail);
        return;
    }

    ngx_log_error(level, log, 0, "pcap capture %*s: %s: %V",
                  (size_t) NGX_PCAP_API_ID_LEN, ctx->id, what, detail);
}


static void
ngx_pcap_api_rights_stop(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_end_e end,
    const char *detail)
{
    if (ctx->zip == NULL) {
        ngx_pcap_api_stop(ctx, end, detail);
        return;
    }

    ctx->end = end;
    ctx->stopping = 1;
}


static void
ngx_pcap_api_rights_check(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_ctx_t     *check;
    ngx_pcap_api_rights_t  *rt;

    rt = &ctx->rights;
    check = ngx_pcap_api_beside_create(ctx, ngx_pcap_api_rights_phases);

    if (check == NULL) {
        rt->due = ngx_pcap_api_rights_retry(ctx);
        return;
    }

    check->kube.cert = ctx->kube.cert && rt->token.len == 0;
    check->cache_asked = 1;                /* what it says is what may change */

    if (ngx_pcap_api_set_token(check, rt->token.len ? &rt->token : &ctx->token)
        != NGX_OK)
    {
        ngx_pcap_api_beside_free(check);
        rt->due = ngx_pcap_api_rights_retry(ctx);
        return;
    }

    rt->check = check;
}


/*
 * Has the right not been found for too long, whatever the tokens are? Nobody
 * brings new ones for a capture to storage.
 */
static ngx_uint_t
ngx_pcap_api_rights_over(ngx_pcap_api_ctx_t *ctx)
{
    time_t      until;
    ngx_msec_t  max;

    until = ctx->rights.until;
    max = ctx->stored.granted ? ctx->conf->store.unattended
                              : ctx->conf->rights.max_age;

    return until && ngx_time() - until >= (time_t) (max / 1000);
}


/* That it is over for lack of a token ends it. */
static void
ngx_pcap_api_rights_end(ngx_pcap_api_ctx_t *ctx, const char *detail)
{
    ngx_pcap_api_rights_stop(ctx, ctx->stored.granted
                                  ? NGX_PCAP_API_END_UNATTENDED
                                  : NGX_PCAP_API_END_TOKEN,
                             detail);
}


/* Has the token run out by itself, by our clock or by one that is ahead? */
static ngx_uint_t
ngx_pcap_api_rights_expired(ngx_pcap_api_rights_t *rt, time_t skew)
{
    return rt->exp && rt->exp <= ngx_time() + skew;
}


static void
ngx_pcap_api_rights_missing(ngx_pcap_api_ctx_t *ctx, ngx_str_t *detail)
{
    u_char  why[NGX_PCAP_API_TEXT_LEN];

    (void) ngx_snprintf(why, sizeof(why) - 1, "%V%Z", detail);
    why[sizeof(why) - 1] = '\0';

    ngx_pcap_api_rights_log(ctx, NGX_LOG_NOTICE, "its right is missing now",
                            detail);
    ngx_pcap_api_rights_stop(ctx, NGX_PCAP_API_END_RIGHT, (char *) why);
}


/* Nobody could tell: the capture goes on, but not for ever. */
static void
ngx_pcap_api_rights_unknown(ngx_pcap_api_ctx_t *ctx, ngx_str_t *detail)
{
    ngx_pcap_api_rights_t  *rt;

    rt = &ctx->rights;

    ngx_pcap_api_rights_log(ctx, NGX_LOG_WARN,
                            "its right could not be checked", detail);

    if (!rt->is_failing) {
        rt->is_failing = 1;
        rt->failing = ngx_current_msec;
    }

    if (ngx_current_msec - rt->failing >= ctx->conf->rights.max_age
        || ngx_pcap_api_rights_over(ctx))
    {
        ngx_pcap_api_rights_end(ctx, "the right could not be checked");
        return;
    }

    rt->due = ngx_pcap_api_rights_retry(ctx);
}


static void
ngx_pcap_api_rights_judge(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ctx_t *check, ngx_int_t rc)
{
    ngx_pcap_api_rights_t  *rt;

    rt = &ctx->rights;

    if (rc == NGX_OK) {
        ngx_pcap_api_rights_found(ctx, check->identity.exp);

    } else if (rc == NGX_HTTP_UNAUTHORIZED
               && ngx_pcap_api_rights_expired(rt, NGX_PCAP_API_RIGHTS_SKEW))
    {
        if (ngx_pcap_api_rights_over(ctx)) {
            ngx_pcap_api_rights_end(ctx, NULL);
            return;
        }

        rt->due = ngx_pcap_api_rights_retry(ctx);

    } else if (rc == NGX_HTTP_UNAUTHORIZED || rc == NGX_HTTP_FORBIDDEN
               || rc == NGX_HTTP_NOT_FOUND)
    {
        ngx_pcap_api_rights_missing(ctx, &check->fail_detail);

    } else {
        ngx_pcap_api_rights_unknown(ctx, &check->fail_detail);
    }
}


/*
 * A fresh token is asked with at once when the ones before are of no more use,
 * else before the time of the one by which the right was found is over: tokens
 * may live shorter than pcap_api_reauth. Not just before: many captures may
 * have begun with the same token.
 */
static void
ngx_pcap_api_rights_hasten(ngx_pcap_api_rights_t *rt)
{
    time_t          left;
    ngx_msec_int_t  wait;

    left = NGX_PCAP_API_RIGHTS_LONGEST;

    if (rt->is_failing) {
        left = 0;

    } else if (rt->until) {
        left = ngx_min(left,
                       rt->until - NGX_PCAP_API_RIGHTS_SKEW - ngx_time());
    }

    wait = (ngx_msec_int_t) ngx_max(left, 0) * 1000;

    if ((ngx_msec_int_t) (rt->due - ngx_current_msec) > wait) {
        rt->due = ngx_current_msec;

        if (wait) {
            rt->due += (ngx_msec_t) ngx_random() % (ngx_msec_t) wait;
        }
    }
}


/*
 * Not during a check: what that one finds counts, however many tokens come. The
 * right is taken to be good for no longer than this token, too: else one that
 * runs out before it is asked with would keep all checks away while the one
 * before could still have been asked with.
 */
static void
ngx_pcap_api_rights_renew(ngx_pcap_api_ctx_t *ctx)
{
    time_t                  exp;
    ngx_str_t               token;
    ngx_pcap_api_rights_t  *rt;

    rt = &ctx->rights;

    if (ctx->row == NULL                   /* nobody can bring it one */
        || ngx_pcap_api_token_take(ctx, &token, &exp) != NGX_OK)
    {
        return;
    }

    ngx_pcap_api_rights_wipe(&rt->token);
    rt->token = token;
    rt->exp = exp;

    if (exp && (rt->until == 0 || exp < rt->until)) {
        rt->until = exp;
    }

    ngx_pcap_api_rights_hasten(rt);
}


void
ngx_pcap_api_rights_watch(ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_pcap_api_rights_t       *rt;
    ngx_pcap_api_rights_conf_t  *conf;

    rt = &ctx->rights;
    conf = &ctx->conf->rights;

    if (ctx->stopping || ctx->limit_hit) {
        return;
    }

    if (rt->check != NULL) {
        rc = ngx_pcap_api_beside_run(rt->check);

        if (rc != NGX_AGAIN) {
            ngx_pcap_api_rights_judge(ctx, rt->check, rc);
            ngx_pcap_api_rights_drop_check(rt);
        }

        return;
    }

    ngx_pcap_api_rights_renew(ctx);

    if (conf->every == 0 && !ctx->stored.granted) {
        return;
    }

    /* who has no valid token can ask nobody */

    if (ngx_pcap_api_rights_expired(rt, 0)) {
        if (ctx->stored.granted) {
            ngx_pcap_api_grant_wipe(ctx);
            ngx_pcap_api_rights_wipe(&rt->token);
        }

        if (ngx_pcap_api_rights_over(ctx)) {
            ngx_pcap_api_rights_end(ctx, NULL);
        }

        return;
    }

    if (conf->every && (ngx_msec_int_t) (ngx_current_msec - rt->due) >= 0) {
        ngx_pcap_api_rights_check(ctx);
    }
}
