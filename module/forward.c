/*
 * module/forward.c: requests about captures of other nodes: show, stop, a
 * fresh token, and continues= of one. The id says which node has it; that one
 * is asked the same, once, with the user's token, and decides.
 *
 * What it answers is read whole and said again in our own words: status and
 * detail of a refusal, the document of anything else. A file is passed on as
 * it comes, see peers_pass().
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_FORWARD_MS   5000
#define NGX_PCAP_API_FORWARD_MAX  (8 * 1024 * 1024)  /* 10000 targets */


static ngx_int_t
ngx_pcap_api_peer_failed(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_peer_ask_t *ask, const char *why)
{
    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "pcap node %ui at %V, asked by \"%V\": %s",
                  ask->peer->node, &ask->peer->addr, &ctx->conf->peers.uri,
                  why);

    ctx->retry_after = 5;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "node %ui, which the capture is of, failed "
                               "(\"%V\"): %s", ask->peer->node,
                               &ctx->conf->peers.uri, why);
}


/* Our own refusal, with its status and words. */
static ngx_int_t
ngx_pcap_api_forward_refused(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_peer_ask_t *ask, json_t *doc)
{
    const char  *detail;
    ngx_uint_t   status;

    status = ask->fetch.status;
    detail = json_string_value(json_object_get(doc, "detail"));

    if (status > 599 || detail == NULL
        || json_integer_value(json_object_get(doc, "status"))
           != (json_int_t) status)
    {
        return ngx_pcap_api_peer_failed(ctx, ask,
                                        "its answer is not what a node says");
    }

    if (ask->fetch.retry_after > 0 && ask->fetch.retry_after <= 3600) {
        ctx->retry_after = ask->fetch.retry_after;
    }

    if (status == NGX_HTTP_UNAUTHORIZED) {
        return ngx_pcap_api_unauthorized(ctx, detail);
    }

    if (status == NGX_HTTP_FORBIDDEN) {
        return ngx_pcap_api_forbidden(ctx, "%s", detail);
    }

    return ngx_pcap_api_refuse(ctx, status, "%s", detail);
}


/* 1: the document is about that capture. */
static ngx_uint_t
ngx_pcap_api_forward_of(json_t *doc, u_char *id)
{
    json_t  *value;

    value = json_object_get(doc, "id");

    return json_string_length(value) == NGX_PCAP_API_ID_LEN
           && ngx_memcmp(json_string_value(value), id, NGX_PCAP_API_ID_LEN)
              == 0;
}


static ngx_int_t
ngx_pcap_api_forward_answer(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t                   *doc;
    ngx_int_t                 rc;
    ngx_uint_t                status;
    const char               *why;
    ngx_pcap_api_peer_ask_t  *ask;

    ask = &ctx->peer_asks[0];
    doc = ngx_pcap_api_peer_answer(ask, &why);
    status = ask->fetch.status;

    if (why == NULL && status >= 400) {
        rc = ngx_pcap_api_forward_refused(ctx, ask, doc);
        json_decref(doc);

        return rc;
    }

    if (why == NULL
        && ((status != NGX_HTTP_OK && status != NGX_HTTP_ACCEPTED
             && status != NGX_HTTP_NO_CONTENT)
            || (doc != NULL && !ngx_pcap_api_forward_of(doc, ctx->stop_id))))
    {
        why = "its answer is not what a node says";
    }

    if (why != NULL) {
        json_decref(doc);
        return ngx_pcap_api_peer_failed(ctx, ask, why);
    }

    return ngx_pcap_api_answer(ctx, status, doc);
}


ngx_int_t
ngx_pcap_api_forward_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t                  path;
    ngx_pcap_api_peer_t       *peer;
    ngx_http_core_loc_conf_t  *clcf;

    if (ctx->peer_asks == NULL) {
        peer = ngx_pcap_api_peer_of(ctx, ctx->stop_id);
        if (peer == NULL) {
            return NGX_OK;
        }

        /* what the route has found below the location, to the byte */

        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
        path.len = r->uri.len - clcf->name.len;
        path.data = r->uri.data + clcf->name.len;

        if (ngx_pcap_api_peers_ask(ctx, peer, &path,
                                   NGX_PCAP_API_FORWARD_MAX,
                                   NGX_PCAP_API_FORWARD_MS)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_pcap_api_peers_wait(ctx) == NGX_OK
           ? ngx_pcap_api_forward_answer(r, ctx) : NGX_AGAIN;
}


static ngx_int_t
ngx_pcap_api_continue_conflict(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_refuse(ctx, NGX_HTTP_CONFLICT,
                               "option \"continues\": capture %V is of "
                               "other targets than \"%V\"",
                               &ctx->opts.continues, &ctx->group);
}


static ngx_int_t
ngx_pcap_api_continue_unknown(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                               "option \"continues\": there is no capture "
                               "%V, running or ended within 10 minutes",
                               &ctx->opts.continues);
}


/* 1: member name of doc is that text. */
static ngx_uint_t
ngx_pcap_api_json_is(json_t *doc, const char *name, const ngx_str_t *s)
{
    json_t  *value;

    value = json_object_get(doc, name);

    return json_is_string(value) && json_string_length(value) == s->len
           && ngx_memcmp(json_string_value(value), s->data, s->len) == 0;
}


/*
 * What its node says. A node that cannot be asked knows it not: its captures
 * may be lost with it, and a client has to be able to go on without them.
 */
static ngx_int_t
ngx_pcap_api_continue_answer(ngx_pcap_api_ctx_t *ctx)
{
    json_t                   *doc;
    ngx_int_t                 rc;
    const char               *why;
    ngx_pcap_api_peer_ask_t  *ask;

    ask = &ctx->peer_asks[0];
    doc = ngx_pcap_api_peer_answer(ask, &why);

    if (why != NULL) {
        (void) ngx_pcap_api_peer_failed(ctx, ask, why);
        ctx->retry_after = 0;

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                   "option \"continues\": node %ui, which capture %V is of, "
                   "cannot be asked: %s", ask->peer->node,
                   &ctx->opts.continues, why);
    }

    /* an admin may see those of others, but not continue them */

    if (ask->fetch.status != NGX_HTTP_OK
        || !ngx_pcap_api_forward_of(doc, ctx->opts.continues.data)
        || !json_is_true(json_object_get(doc, "own")))
    {
        rc = ngx_pcap_api_continue_unknown(ctx);

    } else if (!ngx_pcap_api_json_is(doc, "resolver", &ctx->resolver->name)
               || !ngx_pcap_api_json_is(doc, "target", &ctx->group))
    {
        rc = ngx_pcap_api_continue_conflict(ctx);

    } else {
        rc = NGX_OK;
    }

    json_decref(doc);
    ngx_pcap_api_fetch_drop(&ask->fetch);

    return rc;
}


/* Asks the peer that has the predecessor for it. */
static ngx_int_t
ngx_pcap_api_continue_ask(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_peer_t *peer)
{
    u_char     text[sizeof("captures/") - 1 + NGX_PCAP_API_ID_LEN];
    ngx_str_t  path;

    path.data = text;
    path.len = sizeof(text);
    (void) ngx_snprintf(text, sizeof(text), "captures/%V",
                        &ctx->opts.continues);

    return ngx_pcap_api_peers_ask(ctx, peer, &path, NGX_PCAP_API_FORWARD_MAX,
                                  NGX_PCAP_API_FORWARD_MS);
}


/*
 * The predecessor has to be the caller's own; somebody else's is as unknown
 * as one that never was. Nothing is done to it.
 */
ngx_int_t
ngx_pcap_api_continue_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_pcap_api_peer_t       *peer;
    ngx_pcap_api_main_conf_t  *pmcf;

    if (ctx->opts.continues.len == 0) {
        return NGX_OK;
    }

    peer = ngx_pcap_api_peer_of(ctx, ctx->opts.continues.data);

    if (peer != NULL) {
        if (ctx->peer_asks == NULL
            && ngx_pcap_api_continue_ask(ctx, peer) != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_pcap_api_peers_wait(ctx) == NGX_OK
               ? ngx_pcap_api_continue_answer(ctx) : NGX_AGAIN;
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);

    rc = ngx_pcap_api_row_known(pmcf->zone, ctx, ctx->opts.continues.data);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    return rc == NGX_ABORT ? ngx_pcap_api_continue_conflict(ctx)
                           : ngx_pcap_api_continue_unknown(ctx);
}
