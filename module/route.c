/*
 * module/route.c: what a request is about: its method and path are one of the
 * tables of phases below, or a refusal. How these run is in request.c.
 */

#include "ngx_pcap_api_module.h"


const ngx_pcap_api_phase_t  ngx_pcap_api_capture_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "checking limits", ngx_pcap_api_limits_phase },
    { "looking for the predecessor", ngx_pcap_api_continue_phase },
    { "registering", ngx_pcap_api_row_phase },
    { "resolving targets", ngx_pcap_api_resolve_phase },
    { "registering targets", ngx_pcap_api_row_targets_phase },
    { "opening agents", ngx_pcap_api_open_phase },
    { "streaming the capture", ngx_pcap_api_stream_phase },
    { NULL, NULL }
};

const ngx_pcap_api_phase_t  ngx_pcap_api_store_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "checking limits", ngx_pcap_api_limits_phase },
    { "resolving targets", ngx_pcap_api_resolve_phase },
    { "asking the store", ngx_pcap_api_store_ask_phase },
    { "telling about it", ngx_pcap_api_store_tell_phase },
    { NULL, NULL }
};

/* Live as well: what goes out is the store's file, as it grows. */

const ngx_pcap_api_phase_t  ngx_pcap_api_tee_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "checking limits", ngx_pcap_api_limits_phase },
    { "resolving targets", ngx_pcap_api_resolve_phase },
    { "asking the store", ngx_pcap_api_store_ask_phase },
    { "following the store", ngx_pcap_api_follow_phase },
    { NULL, NULL }
};

/* The store's, for what another request has found. */

static const ngx_pcap_api_phase_t  ngx_pcap_api_grant_phases[] = {
    { "taking a grant", ngx_pcap_api_grant_phase },
    { "registering", ngx_pcap_api_row_phase },
    { "registering targets", ngx_pcap_api_row_targets_phase },
    { "opening agents", ngx_pcap_api_open_phase },
    { "streaming the capture", ngx_pcap_api_stream_phase },
    { NULL, NULL }
};

static const ngx_pcap_api_phase_t  ngx_pcap_api_file_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "asking the store", ngx_pcap_api_file_phase },
    { NULL, NULL }
};

static const ngx_pcap_api_phase_t  ngx_pcap_api_remove_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "asking another node", ngx_pcap_api_forward_phase },
    { "removing a file", ngx_pcap_api_remove_phase },
    { NULL, NULL }
};

const ngx_pcap_api_phase_t  ngx_pcap_api_status_phases[] = {
    { "probing resolvers", ngx_pcap_api_status_phase },
    { NULL, NULL }
};

static const ngx_pcap_api_phase_t  ngx_pcap_api_list_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "listing captures", ngx_pcap_api_list_phase },
    { NULL, NULL }
};

static const ngx_pcap_api_phase_t  ngx_pcap_api_show_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "asking another node", ngx_pcap_api_forward_phase },
    { "showing a capture", ngx_pcap_api_show_phase },
    { NULL, NULL }
};

static const ngx_pcap_api_phase_t  ngx_pcap_api_stop_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "asking another node", ngx_pcap_api_forward_phase },
    { "stopping a capture", ngx_pcap_api_stop_phase },
    { NULL, NULL }
};

static const ngx_pcap_api_phase_t  ngx_pcap_api_token_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "checking the user's rate", ngx_pcap_api_user_rate_phase },
    { "asking another node", ngx_pcap_api_forward_phase },
    { "taking a fresh token", ngx_pcap_api_token_phase },
    { NULL, NULL }
};


ngx_int_t
ngx_pcap_api_allow(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    const char *methods)
{
    ngx_str_t  value;

    value.data = (u_char *) methods;
    value.len = ngx_strlen(methods);
    (void) ngx_pcap_api_add_header(r, "Allow", &value);

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_ALLOWED,
                               "method %V is not allowed here, but %s",
                               &r->method_name, methods);
}


/* The status, the list of captures, or one more for the store. */
static ngx_int_t
ngx_pcap_api_route_read(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_uint_t list)
{
    if (list && (r->method & NGX_HTTP_POST) && ctx->conf->store.uri.len
        && !ctx->conf->peers.forwarded)
    {
        ctx->phase = ngx_pcap_api_store_phases;

        return ngx_pcap_api_start(r, ctx);
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_pcap_api_allow(r, ctx, list && ctx->conf->store.uri.len
                                          ? "GET, HEAD, POST" : "GET, HEAD");
    }

    if (!list) {
        ctx->phase = ngx_pcap_api_status_phases;

        return ngx_pcap_api_take_over(r, ctx);
    }

    if (r->args.len) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                   "the list takes no options");
    }

    ctx->phase = ngx_pcap_api_list_phases;

    return ngx_pcap_api_start(r, ctx);
}


static ngx_uint_t
ngx_pcap_api_ends_with(ngx_str_t *s, ngx_str_t *end)
{
    return s->len > end->len
           && ngx_memcmp(s->data + s->len - end->len, end->data, end->len)
              == 0;
}


/* The file of the capture ctx->stop_id. */
static ngx_int_t
ngx_pcap_api_route_file(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_DELETE))) {
        return ngx_pcap_api_allow(r, ctx, "GET, HEAD, DELETE");
    }

    ctx->phase = r->method & NGX_HTTP_DELETE ? ngx_pcap_api_remove_phases
                                             : ngx_pcap_api_file_phases;

    return ngx_pcap_api_start(r, ctx);
}


/* What was granted needs no token; hex is what follows "grants/". */
static ngx_int_t
ngx_pcap_api_route_grant(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_str_t *hex)
{
    if (!ngx_pcap_api_grant_peer(r, ctx->conf)
        || ngx_pcap_api_grant_read(ctx, hex) != NGX_OK)
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is nothing here");
    }

    if (r->method != NGX_HTTP_GET) {
        return ngx_pcap_api_allow(r, ctx, "GET");
    }

    if (ngx_exiting) {
        ngx_pcap_api_grant_drop(ctx);      /* it stands in a log now */
        ctx->retry_after = 1;
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "this server is draining");
    }

    if (ngx_pcap_api_default_options(ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->phase = ngx_pcap_api_grant_phases;

    return ngx_pcap_api_take_over(r, ctx);
}


/* What is about one capture; rest is what follows "captures/". */
static ngx_int_t
ngx_pcap_api_route_one(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_str_t *rest)
{
    char        err[PCAPX_ERR_LEN];
    size_t      len;
    ngx_str_t  *of;

    static ngx_str_t  token = ngx_string("/token");
    static ngx_str_t  file = ngx_string("/file");

    of = ngx_pcap_api_ends_with(rest, &token) ? &token
         : ngx_pcap_api_ends_with(rest, &file) ? &file : NULL;

    len = rest->len - (of ? of->len : 0);

    if (pcapx_valid_capture_id((char *) rest->data, len, err) != PCAPX_OK) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is no \"%V\" here: %s", &r->uri,
                                   err);
    }

    ngx_memcpy(ctx->stop_id, rest->data, NGX_PCAP_API_ID_LEN);

    if (of == &file) {
        return ngx_pcap_api_route_file(r, ctx);
    }

    if (of == &token) {
        if (!(r->method & NGX_HTTP_PUT)) {
            return ngx_pcap_api_allow(r, ctx, "PUT");
        }

        ctx->phase = ngx_pcap_api_token_phases;

        return ngx_pcap_api_start(r, ctx);
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_DELETE))) {
        return ngx_pcap_api_allow(r, ctx, "GET, HEAD, DELETE");
    }

    ctx->phase = r->method & NGX_HTTP_DELETE ? ngx_pcap_api_stop_phases
                                             : ngx_pcap_api_show_phases;

    return ngx_pcap_api_start(r, ctx);
}


ngx_int_t
ngx_pcap_api_route(ngx_http_request_t *r, ngx_str_t *path)
{
    u_char              *p;
    u_char               names[64];
    ngx_str_t            rest;
    ngx_pcap_api_ctx_t  *ctx;

    static ngx_str_t  capture = ngx_string("capture/");
    static ngx_str_t  captures = ngx_string("captures/");
    static ngx_str_t  grants = ngx_string("grants/");

    ctx = ngx_pcap_api_ctx(r);

    /* "ssl_verify_client" says nothing on a port without "ssl" */

    if (ctx->conf->peers.forwarded && !ngx_pcap_api_is_tls(r)) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                                   "this is for other nodes of the API, "
                                   "over TLS with their certificates");
    }

    if ((path->len == 6 && ngx_strncmp(path->data, "status", 6) == 0)
        || (path->len == 8 && ngx_strncmp(path->data, "captures", 8) == 0))
    {
        return ngx_pcap_api_route_read(r, ctx, path->len == 8);
    }

    if (ctx->conf->kube.files && ngx_pcap_api_kube_is_files(path)) {
        return ngx_pcap_api_kube_route(r, ctx, path);
    }

    /* a peer asks about captures, it begins none */

    ctx->resolver = ctx->conf->peers.forwarded
                    ? NULL : ngx_pcap_api_resolver_of(ctx->conf, path);

    if (ctx->resolver != NULL) {
        if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_POST))) {
            return ngx_pcap_api_allow(r, ctx, "GET, POST");
        }

        ctx->group = *path;
        ctx->phase = ngx_pcap_api_capture_phases;

        return ngx_pcap_api_start(r, ctx);
    }

    if (path->len >= captures.len
        && ngx_strncmp(path->data, captures.data, captures.len) == 0)
    {
        rest.data = path->data + captures.len;
        rest.len = path->len - captures.len;

        return ngx_pcap_api_route_one(r, ctx, &rest);
    }

    if (path->len >= grants.len
        && ngx_strncmp(path->data, grants.data, grants.len) == 0)
    {
        rest.data = path->data + grants.len;
        rest.len = path->len - grants.len;

        return ngx_pcap_api_route_grant(r, ctx, &rest);
    }

    p = ngx_pcap_api_resolver_names(ctx->conf, names, names + sizeof(names));

    if (path->len < capture.len || p == names || ctx->conf->peers.forwarded
        || ngx_strncmp(path->data, capture.data, capture.len) != 0)
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is no \"%V\" here", &r->uri);
    }

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                               "there is no \"%V\" here: this API captures "
                               "by %*s", &r->uri, (size_t) (p - names), names);
}
