/*
 * module/kube_user.c: who asks, in the words of Kubernetes: a UserInfo with
 * username, uid, groups and extra, as a review says it or the claims of an
 * OpenID token do.
 */

#include "ngx_pcap_api_module.h"

#include <openssl/evp.h>


#define NGX_PCAP_API_KUBE_GROUPS  512
#define NGX_PCAP_API_KUBE_EXTRAS  64


static ngx_uint_t
ngx_pcap_api_kube_are_strings(json_t *list, size_t max)
{
    size_t  i;

    if (!json_is_array(list) || json_array_size(list) > max) {
        return 0;
    }

    for (i = 0; i < json_array_size(list); i++) {
        if (!json_is_string(json_array_get(list, i))) {
            return 0;
        }
    }

    return 1;
}


/* 1: this can be a UserInfo; what is not there may be missing. */
static ngx_uint_t
ngx_pcap_api_kube_user_fits(json_t *user)
{
    json_t      *v, *extra;
    const char  *key;

    if (json_string_length(json_object_get(user, "username")) == 0) {
        return 0;
    }

    v = json_object_get(user, "uid");
    if (v != NULL && !json_is_string(v)) {
        return 0;
    }

    v = json_object_get(user, "groups");
    if (v != NULL
        && !ngx_pcap_api_kube_are_strings(v, NGX_PCAP_API_KUBE_GROUPS))
    {
        return 0;
    }

    extra = json_object_get(user, "extra");
    if (extra == NULL) {
        return 1;
    }

    if (!json_is_object(extra)
        || json_object_size(extra) > NGX_PCAP_API_KUBE_EXTRAS)
    {
        return 0;
    }

    json_object_foreach(extra, key, v) {
        if (!ngx_pcap_api_kube_are_strings(v, NGX_PCAP_API_KUBE_EXTRAS)) {
            return 0;
        }
    }

    return 1;
}


/* Whose captures these are: the name, or what stands for a long one. */
static ngx_int_t
ngx_pcap_api_kube_identity(ngx_pcap_api_ctx_t *ctx, const char *name,
    size_t len)
{
    time_t                     exp;
    u_char                    *p, hash[32];
    ngx_pcap_api_identity_t   *id;

    id = &ctx->identity;
    exp = id->exp;
    ngx_memzero(id, sizeof(ngx_pcap_api_identity_t));
    id->exp = exp;                         /* of the token, whoever it is for */

    p = ngx_pnalloc(ctx->request->pool, 2 * NGX_PCAP_API_USER_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    id->name.data = p;
    id->name.len = ngx_pcap_api_clean_text(p, NGX_PCAP_API_USER_LEN,
                                           (u_char *) name, len);
    id->id.data = p + NGX_PCAP_API_USER_LEN;

    if (len <= NGX_PCAP_API_USER_LEN) {
        ngx_memcpy(id->id.data, name, len);
        id->id.len = len;

    } else {
        if (!EVP_Digest(name, len, hash, NULL, EVP_sha256(), NULL)) {
            return NGX_ERROR;
        }

        id->id.len = ngx_hex_dump(ngx_cpymem(id->id.data, "sha256:", 7), hash,
                                  sizeof(hash))
                     - id->id.data;
    }

    id->active = 1;

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_kube_set_user(ngx_pcap_api_ctx_t *ctx, json_t *user)
{
    json_t  *name;

    name = json_object_get(user, "username");

    if (!ngx_pcap_api_kube_user_fits(user)) {
        json_decref(user);
        return NGX_DECLINED;
    }

    json_decref(ctx->kube.user);
    ctx->kube.user = user;

    return ngx_pcap_api_kube_identity(ctx, json_string_value(name),
                                      json_string_length(name));
}


/* --- OpenID --- */

static ngx_int_t
ngx_pcap_api_kube_claim_wrong(ngx_pcap_api_ctx_t *ctx, ngx_str_t *claim,
    const char *what)
{
    return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                               "claim \"%V\" of the token is not %s", claim,
                               what);
}


/* prefix and s as one JSON string, or NULL. */
static json_t *
ngx_pcap_api_kube_prefixed(ngx_str_t *prefix, json_t *s)
{
    return json_sprintf("%.*s%s", (int) prefix->len,
                        prefix->len ? (char *) prefix->data : "",
                        json_string_value(s));
}


/* Names that Kubernetes keeps to itself nobody gets by an issuer's word. */
static ngx_uint_t
ngx_pcap_api_kube_is_system(json_t *name)
{
    return json_string_length(name) >= 7
           && ngx_strncmp(json_string_value(name), "system:", 7) == 0;
}


/* NGX_OK, or a refusal. */
static ngx_int_t
ngx_pcap_api_kube_claim_groups(ngx_pcap_api_ctx_t *ctx, json_t *claims,
    json_t *groups)
{
    size_t                     i;
    json_t                    *list, *group;
    ngx_pcap_api_kube_oidc_t  *oidc;

    oidc = &ctx->conf->kube.oidc;

    list = oidc->groups_claim.len
           ? json_object_getn(claims, (char *) oidc->groups_claim.data,
                              oidc->groups_claim.len)
           : NULL;

    if (list == NULL) {
        return NGX_OK;
    }

    if (!ngx_pcap_api_kube_are_strings(list, NGX_PCAP_API_KUBE_GROUPS - 1)) {
        return ngx_pcap_api_kube_claim_wrong(ctx, &oidc->groups_claim,
                                             "a list of up to 511 texts");
    }

    for (i = 0; i < json_array_size(list); i++) {
        group = ngx_pcap_api_kube_prefixed(&oidc->groups_prefix,
                                           json_array_get(list, i));

        if (ngx_pcap_api_kube_is_system(group)) {
            json_decref(group);
            return ngx_pcap_api_unauthorized(ctx, "a group of the token "
                       "begins with \"system:\", which is for Kubernetes "
                       "alone");
        }

        if (json_array_append_new(groups, group) != 0) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_kube_claims_user(ngx_pcap_api_ctx_t *ctx, json_t *claims,
    json_t *user)
{
    ngx_int_t                  rc;
    json_t                    *name, *groups, *sub, *verified;
    ngx_pcap_api_kube_oidc_t  *oidc;

    oidc = &ctx->conf->kube.oidc;

    name = json_object_getn(claims, (char *) oidc->user_claim.data,
                            oidc->user_claim.len);

    verified = json_object_get(claims, "email_verified");

    if (verified != NULL && !json_is_true(verified)
        && oidc->user_claim.len == 5
        && ngx_strncmp(oidc->user_claim.data, "email", 5) == 0)
    {
        return ngx_pcap_api_unauthorized(ctx, "the email address of the "
                                         "token is not verified");
    }

    if (json_string_length(name) == 0) {
        return ngx_pcap_api_unauthorized(ctx, "the claim of the token that "
                                         "names its user is no text");
    }

    name = ngx_pcap_api_kube_prefixed(&oidc->user_prefix, name);

    if (ngx_pcap_api_kube_is_system(name)) {
        json_decref(name);
        return ngx_pcap_api_unauthorized(ctx, "the user of the token begins "
                   "with \"system:\", which is for Kubernetes alone");
    }

    groups = json_array();

    if (json_object_set_new(user, "username", name) != 0
        || json_object_set_new(user, "groups", groups) != 0)
    {
        return NGX_ERROR;
    }

    rc = ngx_pcap_api_kube_claim_groups(ctx, claims, groups);
    if (rc != NGX_OK) {
        return rc;
    }

    sub = json_object_get(claims, "sub");

    return json_array_append_new(groups, json_string("system:authenticated"))
           == 0
           && json_object_set_new(user, "extra", json_pack("{s:[O], s:[O]}",
                  "iss", json_object_get(claims, "iss"), "sub", sub))
              == 0
           ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_pcap_api_kube_claims(ngx_pcap_api_ctx_t *ctx, json_t *claims)
{
    json_t     *user;
    ngx_int_t   rc;

    ngx_memzero(&ctx->identity, sizeof(ngx_pcap_api_identity_t));

    if (!ngx_pcap_api_claims_fit(ctx->conf, claims, &ctx->identity)
        || !json_is_string(json_object_get(claims, "sub")))
    {
        return NGX_OK;                     /* not active: no identity */
    }

    user = json_object();
    rc = user ? ngx_pcap_api_kube_claims_user(ctx, claims, user) : NGX_ERROR;

    if (rc != NGX_OK) {
        json_decref(user);
        return rc;
    }

    return ngx_pcap_api_kube_set_user(ctx, user);
}
