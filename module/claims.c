/*
 * module/claims.c: what is said of a token to an identity, no matter whether
 * introspection said it or the token itself, whose signature was checked
 * before. Each claim is checked for its type: an unexpected one means no
 * identity.
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>


/* A text claim, cleaned, in the pool; empty when it is not there. */
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


/* From when until when? What has no end is for introspection only. */
static ngx_uint_t
ngx_pcap_api_token_is_current(ngx_pcap_api_loc_conf_t *conf, json_t *doc,
    ngx_pcap_api_identity_t *id)
{
    json_t  *v;

    v = json_object_get(doc, "exp");

    if (v != NULL && !json_is_null(v)) {
        if (!json_is_integer(v) || json_integer_value(v) <= ngx_time()) {
            return 0;
        }

        id->exp = (time_t) json_integer_value(v);

    } else if (conf->token_keys.len) {
        return 0;
    }

    v = json_object_get(doc, "nbf");

    return v == NULL || json_is_null(v)
           || (json_is_integer(v) && json_integer_value(v) <= ngx_time() + 60);
}


ngx_uint_t
ngx_pcap_api_claims_fit(ngx_pcap_api_loc_conf_t *conf, json_t *doc,
    ngx_pcap_api_identity_t *id)
{
    return ngx_pcap_api_token_fits(conf, doc)
           && ngx_pcap_api_token_is_current(conf, doc, id);
}


ngx_int_t
ngx_pcap_api_read_identity(ngx_http_request_t *r, json_t *doc,
    ngx_pcap_api_loc_conf_t *conf, ngx_pcap_api_identity_t *id)
{
    ngx_int_t  rc;

    static const char *const  ids[] = {
        "user_id", "sub", "client_id", "cid", NULL
    };
    static const char *const  names[] = {
        "user_name", "username", "client_id", "cid", "sub", NULL
    };

    if (!ngx_pcap_api_claims_fit(conf, doc, id)) {
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
