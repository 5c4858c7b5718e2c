/*
 * module/kube_auth.c: the token check of Kubernetes. A token of the issuer that
 * is configured is checked by its keys; any other by a TokenReview, or, with
 * the token itself, by an AuthenticationReview. What reviews say is kept for
 * no other request.
 *
 * All of it is asked of the home cluster, whatever cluster the request is
 * about: that is where callers are known.
 */

#include "ngx_pcap_api_module.h"
#include "module/jwt.h"


#define NGX_PCAP_API_KUBE_REVIEW_MAX  262144     /* bytes of an answer */


static ngx_int_t ngx_pcap_api_kube_ask_token(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_take_token(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_ask_caller(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_take_caller(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_ask_claim(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_take_claim(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);


static const ngx_pcap_api_question_t  ngx_pcap_api_kube_token_review[] = {
    { ngx_pcap_api_kube_ask_token, ngx_pcap_api_kube_take_token },
    { NULL, NULL }
};

static const ngx_pcap_api_question_t  ngx_pcap_api_kube_auth_review[] = {
    { ngx_pcap_api_kube_ask_caller, ngx_pcap_api_kube_take_caller },
    { NULL, NULL }
};

static const ngx_pcap_api_question_t  ngx_pcap_api_kube_claim_reviews[] = {
    { ngx_pcap_api_kube_ask_claim, ngx_pcap_api_kube_take_claim },
    { NULL, NULL }
};


/* A token of our issuer, by its own word: then its keys have the last one. */
static ngx_uint_t
ngx_pcap_api_kube_is_oidc(ngx_pcap_api_ctx_t *ctx)
{
    json_t      *claims;
    pcap_jwt_t   jwt;
    ngx_str_t   *issuer;
    ngx_uint_t   is;
    const char  *why, *iss;

    if (!ctx->conf->kube.oidc.on
        || pcap_jwt_parse(&jwt, (char *) ctx->token.data, ctx->token.len,
                          &why)
           != PCAP_JWT_OK
        || pcap_jwt_claims(jwt.payload, jwt.payload_len, &claims, &why)
           != PCAP_JWT_OK)
    {
        return 0;
    }

    issuer = &ctx->conf->issuer;
    iss = json_string_value(json_object_get(claims, "iss"));
    is = iss != NULL && ngx_strlen(iss) == issuer->len
         && ngx_memcmp(iss, issuer->data, issuer->len) == 0;
    json_decref(claims);

    return is;
}


static ngx_int_t
ngx_pcap_api_kube_ask_token(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    json_t      *spec, *list;
    ngx_str_t   *audience;
    ngx_uint_t   i;

    spec = json_pack("{s:s%}", "token", ctx->token.data, ctx->token.len);

    if (spec != NULL && ctx->conf->kube.audiences != NULL) {
        list = json_array();
        audience = ctx->conf->kube.audiences->elts;

        for (i = 0; i < ctx->conf->kube.audiences->nelts; i++) {
            json_array_append_new(list,
                                  json_stringn((char *) audience[i].data,
                                               audience[i].len));
        }

        json_object_set_new(spec, "audiences", list);
    }

    return ngx_pcap_api_kube_ask(ctx, "POST",
               json_pack("{s:s, s:s, s:o}",
                         "apiVersion", "authentication.k8s.io/v1",
                         "kind", "TokenReview", "spec", spec),
               NGX_PCAP_API_KUBE_REVIEW_MAX,
               "/apis/authentication.k8s.io/v1/tokenreviews");
}


/* Is it for one of those that we asked for? */
static ngx_uint_t
ngx_pcap_api_kube_for_us(ngx_pcap_api_ctx_t *ctx, json_t *audiences)
{
    size_t       i;
    json_t      *v;
    ngx_str_t   *ours;
    ngx_uint_t   k;

    if (ctx->conf->kube.audiences == NULL) {
        return 1;
    }

    ours = ctx->conf->kube.audiences->elts;

    for (i = 0; i < json_array_size(audiences); i++) {
        v = json_array_get(audiences, i);

        for (k = 0; k < ctx->conf->kube.audiences->nelts; k++) {
            if (json_string_length(v) == ours[k].len
                && ngx_memcmp(json_string_value(v), ours[k].data,
                              ours[k].len)
                   == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_int_t
ngx_pcap_api_kube_is_user(ngx_pcap_api_ctx_t *ctx, json_t *user)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_kube_set_user(ctx, json_incref(user));

    return rc == NGX_DECLINED ? ngx_pcap_api_kube_garbage(ctx) : rc;
}


static ngx_int_t
ngx_pcap_api_kube_take_token(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    json_t     *doc, *status;
    ngx_int_t   rc;

    rc = ngx_pcap_api_kube_answer(ctx, &doc);

    if (rc == NGX_OK) {
        status = json_object_get(doc, "status");

        if (!json_is_object(status)) {
            rc = ngx_pcap_api_kube_garbage(ctx);

        } else if (!json_is_true(json_object_get(status, "authenticated"))) {
            rc = ngx_pcap_api_unauthorized(ctx, "the token is not valid");

        } else if (!ngx_pcap_api_kube_for_us(ctx,
                       json_object_get(status, "audiences")))
        {
            rc = ngx_pcap_api_unauthorized(ctx, "the token is not for this "
                                           "audience");
        } else {
            rc = ngx_pcap_api_kube_is_user(ctx,
                                           json_object_get(status, "user"));
        }
    }

    json_decref(doc);

    return rc == NGX_DECLINED ? ngx_pcap_api_kube_garbage(ctx) : rc;
}


static ngx_int_t
ngx_pcap_api_kube_ask_caller(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ask->bearer = 1;

    return ngx_pcap_api_kube_ask(ctx, "POST",
               json_pack("{s:s, s:s}",
                         "apiVersion", "projectcalico.org/v3",
                         "kind", "AuthenticationReview"),
               NGX_PCAP_API_KUBE_REVIEW_MAX,
               "/apis/projectcalico.org/v3/authenticationreviews");
}


/* What it calls name is the username of others. */
static ngx_int_t
ngx_pcap_api_kube_caller(ngx_pcap_api_ctx_t *ctx, json_t *status)
{
    json_t     *user;
    ngx_int_t   rc;

    user = json_copy(status);

    if (user == NULL
        || json_object_set(user, "username", json_object_get(user, "name"))
           != 0)
    {
        json_decref(user);
        return ngx_pcap_api_kube_garbage(ctx);
    }

    (void) json_object_del(user, "name");
    rc = ngx_pcap_api_kube_is_user(ctx, user);
    json_decref(user);

    return rc;
}


static ngx_int_t
ngx_pcap_api_kube_take_caller(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    json_t     *doc;
    ngx_int_t   rc;

    rc = ngx_pcap_api_kube_answer(ctx, &doc);

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_kube_caller(ctx, json_object_get(doc, "status"));

    } else if (rc == NGX_DECLINED) {
        rc = ask->fetch.status == NGX_HTTP_UNAUTHORIZED
             ? ngx_pcap_api_unauthorized(ctx, "the token is not valid")
             : ask->fetch.status == NGX_HTTP_FORBIDDEN
             ? ngx_pcap_api_forbidden(ctx, "the token may not create "
                   "authenticationreviews of projectcalico.org")
             : ngx_pcap_api_platform_status(ctx,
                   &ctx->conf->kube.api->platform, ask);
    }

    json_decref(doc);

    return rc;
}


static ngx_int_t
ngx_pcap_api_kube_ask_claim(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    json_t  **claim;

    claim = ctx->kube.claims.elts;

    return ctx->kube.next == ctx->kube.claims.nelts
           ? NGX_OK
           : ngx_pcap_api_kube_ask_access(ctx, ctx->kube.forwarder,
                                          json_incref(claim[ctx->kube.next]));
}


static ngx_int_t
ngx_pcap_api_kube_take_claim(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    json_t     **claim;
    ngx_int_t    rc;

    claim = ctx->kube.claims.elts;

    rc = ngx_pcap_api_kube_take_access(ctx);

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_forbidden(ctx, "\"%V\" may not impersonate %s "
                   "\"%s\"", &ctx->identity.name,
                   json_string_value(json_object_get(claim[ctx->kube.next],
                                                     "resource")),
                   json_string_value(json_object_get(claim[ctx->kube.next],
                                                     "name")));
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return ++ctx->kube.next == ctx->kube.claims.nelts ? NGX_OK
                                                      : NGX_DECLINED;
}


/* Whose token it is: NGX_OK with ctx->kube.user, or what a phase says. */
static ngx_int_t
ngx_pcap_api_kube_caller_of(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->kube.cert) {
        return ngx_pcap_api_kube_cert_caller(ctx);
    }

    if (ctx->jwt != NULL || ngx_pcap_api_kube_is_oidc(ctx)) {
        rc = ngx_pcap_api_keys_phase(r, ctx);

        return rc == NGX_OK && ctx->kube.user == NULL
               ? ngx_pcap_api_unauthorized(ctx, "the token is not valid")
               : rc;
    }

    if (ctx->conf->kube.review == NGX_PCAP_API_KUBE_NO_REVIEW) {
        return ngx_pcap_api_unauthorized(ctx, "the token is none of the "
                                         "issuer of this API");
    }

    if (!ctx->slot) {
        rc = ngx_pcap_api_take_slot(ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_pcap_api_kube_run(ctx,
             ctx->conf->kube.review == NGX_PCAP_API_KUBE_AUTH_REVIEW
             ? ngx_pcap_api_kube_auth_review
             : ngx_pcap_api_kube_token_review);

    if (rc != NGX_AGAIN) {
        ngx_pcap_api_give_slot(ctx);
    }

    return rc;
}


ngx_int_t
ngx_pcap_api_kube_auth_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t     *user;
    ngx_int_t   rc;

    if (!ctx->kube.reviewed) {
        rc = ngx_pcap_api_kube_caller_of(r, ctx);
        if (rc != NGX_OK) {
            return rc;
        }

        ctx->kube.reviewed = 1;
        rc = ngx_pcap_api_kube_forwarder(ctx);

        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? NGX_OK : rc;
        }
    }

    if (ctx->kube.forwarder == NULL) {
        return NGX_OK;
    }

    rc = ngx_pcap_api_kube_run(ctx, ngx_pcap_api_kube_claim_reviews);
    if (rc != NGX_OK) {
        return rc;
    }

    user = ctx->kube.user;
    ctx->kube.user = NULL;

    return ngx_pcap_api_kube_set_user(ctx, user);
}
