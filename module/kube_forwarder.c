/*
 * module/kube_forwarder.c: who asks on behalf of somebody else, by the
 * Impersonate-* headers of Kubernetes. Everything that they say needs the
 * right to say it: a review each, of the one whose token it is.
 *
 * Source: kubernetes/apiserver, endpoints/filters/impersonation.go
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_KUBE_CLAIMS  64

static ngx_str_t  ngx_pcap_api_kube_prefix = ngx_string("impersonate-");

#define ngx_pcap_api_kube_is(s, text)                                         \
    ((s)->len == sizeof(text) - 1                                             \
     && ngx_strncasecmp((s)->data, (u_char *) text, sizeof(text) - 1) == 0)


static ngx_int_t
ngx_pcap_api_kube_bad_header(ngx_pcap_api_ctx_t *ctx, const char *why)
{
    return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST, "%s", why);
}


/* One more thing to be asked for; takes attributes over. */
static ngx_int_t
ngx_pcap_api_kube_claim(ngx_pcap_api_ctx_t *ctx, json_t *attributes)
{
    json_t  **slot;

    if (attributes == NULL
        || json_object_set_new(attributes, "verb", json_string("impersonate"))
           != 0)
    {
        json_decref(attributes);
        return ngx_pcap_api_kube_bad_header(ctx, "an impersonation header is "
                                            "empty or no UTF-8");
    }

    if (ctx->kube.claims.nelts >= NGX_PCAP_API_KUBE_CLAIMS) {
        json_decref(attributes);
        return ngx_pcap_api_kube_bad_header(ctx, "there are more than 64 "
                                            "impersonation headers");
    }

    slot = ngx_array_push(&ctx->kube.claims);
    if (slot == NULL) {
        json_decref(attributes);
        return NGX_ERROR;
    }

    *slot = attributes;

    return NGX_OK;
}


/* "system:serviceaccount:NS:NAME" is not asked for as a user. */
static ngx_int_t
ngx_pcap_api_kube_claim_user(ngx_pcap_api_ctx_t *ctx, ngx_str_t *name)
{
    u_char  *p, *colon, *last;

    static ngx_str_t  account = ngx_string("system:serviceaccount:");

    last = name->data + name->len;
    colon = NULL;
    p = name->data + account.len;

    if (name->len > account.len
        && ngx_strncmp(name->data, account.data, account.len) == 0)
    {
        colon = ngx_strlchr(p, last, ':');
    }

    if (colon == NULL) {
        return ngx_pcap_api_kube_claim(ctx, json_pack("{s:s, s:s%}",
                   "resource", "users", "name", name->data, name->len));
    }

    return ngx_pcap_api_kube_claim(ctx, json_pack("{s:s, s:s%, s:s%}",
               "resource", "serviceaccounts",
               "namespace", p, (size_t) (colon - p),
               "name", colon + 1, (size_t) (last - colon - 1)));
}


/* A key of extra: percent-encoded in the header's name, and of no case. */
static json_t *
ngx_pcap_api_kube_extra_key(ngx_pool_t *pool, u_char *p, size_t len)
{
    u_char  *dst, *d, *s;

    d = ngx_pnalloc(pool, len);
    if (d == NULL) {
        return NULL;
    }

    dst = d;
    s = p;
    ngx_unescape_uri(&d, &s, len, 0);
    ngx_strlow(dst, dst, d - dst);

    return d == dst || ngx_strlchr(dst, d, '\0') != NULL
           ? NULL : json_stringn((char *) dst, d - dst);
}


static ngx_int_t
ngx_pcap_api_kube_take_extra(ngx_pcap_api_ctx_t *ctx, json_t *user,
    ngx_str_t *name, ngx_str_t *value)
{
    json_t     *key, *extra, *list, *text;
    ngx_int_t   rc;

    text = json_stringn((char *) value->data, value->len);
    key = ngx_pcap_api_kube_extra_key(ctx->request->pool, name->data + 6,
                                      name->len - 6);
    extra = json_object_get(user, "extra");

    if (extra == NULL && json_object_set_new(user, "extra", json_object())
        == 0)
    {
        extra = json_object_get(user, "extra");
    }

    list = json_object_get(extra, json_string_value(key));

    if (key != NULL && list == NULL
        && json_object_set_new(extra, json_string_value(key), json_array())
           == 0)
    {
        list = json_object_get(extra, json_string_value(key));
    }

    rc = ngx_pcap_api_kube_claim(ctx, key == NULL || text == NULL ? NULL
             : json_pack("{s:s, s:s, s:O, s:O}", "group",
                         "authentication.k8s.io", "resource", "userextras",
                         "subresource", key, "name", text));

    if (rc == NGX_OK && json_array_append(list, text) != 0) {
        rc = NGX_ERROR;
    }

    json_decref(key);
    json_decref(text);

    return rc;
}


/* One header; name is what follows "impersonate-". */
static ngx_int_t
ngx_pcap_api_kube_take_header(ngx_pcap_api_ctx_t *ctx, json_t *user,
    ngx_str_t *name, ngx_str_t *value)
{
    json_t     *text, *groups;
    ngx_int_t   rc;

    if (name->len > 6
        && ngx_strncasecmp(name->data, (u_char *) "extra-", 6) == 0)
    {
        return ngx_pcap_api_kube_take_extra(ctx, user, name, value);
    }

    text = value->len ? json_stringn((char *) value->data, value->len) : NULL;

    if (text == NULL) {
        return ngx_pcap_api_kube_claim(ctx, NULL);
    }

    if (ngx_pcap_api_kube_is(name, "user")) {
        rc = json_object_get(user, "username")
             ? ngx_pcap_api_kube_bad_header(ctx, "there are two headers "
                                            "Impersonate-User")
             : ngx_pcap_api_kube_claim_user(ctx, value);

        if (rc == NGX_OK
            && json_object_set(user, "username", text) != 0)
        {
            rc = NGX_ERROR;
        }

    } else if (ngx_pcap_api_kube_is(name, "group")) {
        groups = json_object_get(user, "groups");
        rc = ngx_pcap_api_kube_claim(ctx, json_pack("{s:s, s:O}", "resource",
                                                    "groups", "name", text));

        if (rc == NGX_OK && json_array_append(groups, text) != 0) {
            rc = NGX_ERROR;
        }

    } else if (ngx_pcap_api_kube_is(name, "uid")) {
        rc = ngx_pcap_api_kube_claim(ctx, json_pack("{s:s, s:s, s:O}",
                 "group", "authentication.k8s.io", "resource", "uids", "name",
                 text));

        if (rc == NGX_OK && json_object_set(user, "uid", text) != 0) {
            rc = NGX_ERROR;
        }

    } else {
        rc = ngx_pcap_api_kube_bad_header(ctx, "of headers Impersonate-... "
                 "there are User, Group, Uid and Extra-KEY");
    }

    json_decref(text);

    return rc;
}


/* What every such user is in, and need not be said. */
static ngx_int_t
ngx_pcap_api_kube_own_groups(json_t *user)
{
    size_t       i;
    json_t      *groups;
    const char  *name, *colon;

    static const char  account[] = "system:serviceaccount:";
    static const char  all[] = "system:authenticated";

    groups = json_object_get(user, "groups");
    name = json_string_value(json_object_get(user, "username"));

    if (json_array_size(groups) == 0
        && ngx_strncmp(name, account, sizeof(account) - 1) == 0)
    {
        name += sizeof(account) - 1;
        colon = ngx_strchr(name, ':');

        if (colon != NULL
            && (json_array_append_new(groups,
                    json_string("system:serviceaccounts")) != 0
                || json_array_append_new(groups,
                       json_sprintf("system:serviceaccounts:%.*s",
                                    (int) (colon - name), name)) != 0))
        {
            return NGX_ERROR;
        }
    }

    if (ngx_strcmp(name, "system:anonymous") == 0) {
        return NGX_OK;
    }

    for (i = 0; i < json_array_size(groups); i++) {
        if (ngx_strcmp(json_string_value(json_array_get(groups, i)), all)
            == 0)
        {
            return NGX_OK;
        }
    }

    return json_array_append_new(groups, json_string(all)) == 0
           ? NGX_OK : NGX_ERROR;
}


/* NGX_OK: user is who they name; NGX_DECLINED: there are none. */
static ngx_int_t
ngx_pcap_api_kube_read_headers(ngx_pcap_api_ctx_t *ctx, json_t *user)
{
    ngx_int_t            rc, found;
    ngx_str_t            name;
    ngx_uint_t           i;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    found = NGX_DECLINED;
    r = ctx->capture ? ctx->capture->request : ctx->request;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash == 0
                || h[i].key.len <= ngx_pcap_api_kube_prefix.len
                || ngx_strncasecmp(h[i].key.data,
                                   ngx_pcap_api_kube_prefix.data,
                                   ngx_pcap_api_kube_prefix.len)
                   != 0)
            {
                continue;
            }

            name.data = h[i].key.data + ngx_pcap_api_kube_prefix.len;
            name.len = h[i].key.len - ngx_pcap_api_kube_prefix.len;

            rc = ngx_pcap_api_kube_take_header(ctx, user, &name, &h[i].value);
            if (rc != NGX_OK) {
                return rc;
            }

            found = NGX_OK;
        }
    }

    if (found == NGX_OK && json_object_get(user, "username") == NULL) {
        return ngx_pcap_api_kube_bad_header(ctx,
                                            "missing impersonation headers");
    }

    return found;
}


static void
ngx_pcap_api_kube_drop_claims(void *data)
{
    ngx_array_t *claims = data;

    json_t      **attributes;
    ngx_uint_t    i;

    attributes = claims->elts;

    for (i = 0; i < claims->nelts; i++) {
        json_decref(attributes[i]);
    }

    claims->nelts = 0;
}


ngx_int_t
ngx_pcap_api_kube_forwarder(ngx_pcap_api_ctx_t *ctx)
{
    json_t              *user;
    ngx_int_t            rc;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(ctx->request->pool, 0);

    if (cln == NULL
        || ngx_array_init(&ctx->kube.claims, ctx->request->pool, 4,
                          sizeof(json_t *))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    cln->handler = ngx_pcap_api_kube_drop_claims;
    cln->data = &ctx->kube.claims;

    user = json_pack("{s:[]}", "groups");
    rc = user ? ngx_pcap_api_kube_read_headers(ctx, user) : NGX_ERROR;

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_kube_own_groups(user);
    }

    if (rc != NGX_OK) {
        json_decref(user);
        return rc;
    }

    /* they are his words until all of them have been granted */

    ctx->kube.forwarder = ctx->kube.user;
    ctx->kube.user = user;

    return NGX_OK;
}


void
ngx_pcap_api_kube_forwarder_name(ngx_pcap_api_ctx_t *ctx, ngx_str_t *name)
{
    json_t  *text;

    text = json_object_get(ctx->kube.forwarder, "username");
    name->data = (u_char *) json_string_value(text);
    name->len = json_string_length(text);
}
