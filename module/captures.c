/*
 * module/captures.c: GET /v1/captures, GET and DELETE /v1/captures/{id}. What
 * there is comes from the registry, by copies, and for the list from all other
 * nodes: those that do not answer as they should are named in it.
 *
 * Somebody else's capture is not there, for whoever is no admin of its
 * environment.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_LIST_MS   2000        /* for all peers */
#define NGX_PCAP_API_LIST_MAX  (4 * 1024 * 1024)   /* bytes of each */


/*
 * A row is shown with what the store has of it, or the store's alone; that a
 * row is known is said also when the store is not there.
 */
ngx_int_t
ngx_pcap_api_show_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t              *doc;
    ngx_int_t            rc, stored;
    ngx_pcap_api_row_t   row;

    rc = ngx_pcap_api_snapshot_one(ctx, &row);
    if (rc == NGX_ERROR) {
        return rc;
    }

    doc = rc == NGX_OK ? ngx_pcap_api_capture_json(ctx, &row) : NULL;

    if (ctx->conf->store.uri.len && (doc == NULL || row.stored)) {
        stored = ngx_pcap_api_stored_show(ctx, &doc);

        if (stored == NGX_AGAIN) {
            json_decref(doc);
            return NGX_AGAIN;
        }

        if (doc == NULL && stored != NGX_OK
            && stored != NGX_HTTP_NOT_FOUND)
        {
            return stored;
        }
    }

    if (doc == NULL) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is no capture %*s, running, "
                                   "stored, or ended within 10 minutes",
                                   (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id);
    }

    return ngx_pcap_api_answer(ctx, NGX_HTTP_OK, doc);
}


/* Is that a list of captures of that node? */
static ngx_uint_t
ngx_pcap_api_list_fits(json_t *list, ngx_uint_t node)
{
    char         err[PCAPX_ERR_LEN];
    size_t       i;
    json_t      *id;
    const char  *s;

    if (!json_is_array(list)) {
        return 0;
    }

    for (i = 0; i < json_array_size(list); i++) {
        id = json_object_get(json_array_get(list, i), "id");
        s = json_string_value(id);

        if (s == NULL
            || pcapx_valid_capture_id(s, json_string_length(id), err)
               != PCAPX_OK
            || ngx_pcap_api_node_of((u_char *) s) != node)
        {
            return 0;
        }
    }

    return 1;
}


static void
ngx_pcap_api_list_unreachable(ngx_pcap_api_ctx_t *ctx, json_t *list,
    ngx_pcap_api_peer_ask_t *ask, const char *why)
{
    json_t  *doc;

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "pcap node %ui at %V, asked by \"%V\": %s",
                  ask->peer->node, &ask->peer->addr, &ctx->conf->peers.uri,
                  why);

    doc = json_object();
    json_object_set_new(doc, "node",
                        json_integer((json_int_t) ask->peer->node));
    json_object_set_new(doc, "detail", json_string(why));
    json_array_append_new(list, doc);
}


/* It is this node's: what it has is missing, as of a node that is. */
static void
ngx_pcap_api_list_no_store(ngx_pcap_api_ctx_t *ctx, json_t *list,
    const char *why)
{
    u_char   text[256];
    u_char  *p;
    json_t  *doc;

    p = ngx_snprintf(text, sizeof(text), "its store failed: %s", why);

    doc = json_object();
    json_object_set_new(doc, "node", json_integer((json_int_t)
                                         ngx_pcap_api_node_of(ctx->id)));
    json_object_set_new(doc, "detail", json_stringn((char *) text, p - text));
    json_array_append_new(list, doc);
}


/* 1: the peer itself had more than it said. */
static ngx_uint_t
ngx_pcap_api_list_take(ngx_pcap_api_ctx_t *ctx, json_t *captures,
    json_t *unreachable, ngx_pcap_api_peer_ask_t *ask)
{
    json_t      *doc, *list;
    ngx_uint_t   more;
    const char  *why;

    doc = ngx_pcap_api_peer_answer(ask, &why);
    list = json_object_get(doc, "captures");
    more = 0;

    if (why != NULL) {
        /* it says so itself */

    } else if (ask->fetch.status == NGX_HTTP_UNAUTHORIZED
               || ask->fetch.status == NGX_HTTP_FORBIDDEN)
    {
        why = "it does not take the token";

    } else if (ask->fetch.status != NGX_HTTP_OK) {
        why = "it did not answer with 200";

    } else if (!ngx_pcap_api_list_fits(list, ask->peer->node)) {
        why = "its answer is not what a node says";
    }

    if (why == NULL) {
        json_array_extend(captures, list);
        more = json_is_true(json_object_get(doc, "truncated"));

    } else {
        ngx_pcap_api_list_unreachable(ctx, unreachable, ask, why);
    }

    json_decref(doc);
    ngx_pcap_api_fetch_drop(&ask->fetch);

    return more;
}


ngx_int_t
ngx_pcap_api_list_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t              *doc, *captures, *unreachable;
    ngx_uint_t           i, more;
    const char          *why;
    ngx_array_t          rows;
    ngx_pcap_api_row_t  *row;

    static ngx_str_t  path = ngx_string("captures");

    if (ctx->peer_asks == NULL
        && ngx_pcap_api_peers_ask(ctx, NULL, &path, NGX_PCAP_API_LIST_MAX,
                                  NGX_PCAP_API_LIST_MS)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_pcap_api_stored_list_ask(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_pcap_api_peers_wait(ctx) != NGX_OK
        || (ctx->stored.asked && ngx_pcap_api_store_wait(ctx) != NGX_OK))
    {
        return NGX_AGAIN;
    }

    if (ngx_pcap_api_snapshot_all(ctx, &rows, &more) != NGX_OK) {
        return NGX_ERROR;
    }

    captures = json_array();
    unreachable = json_array();
    row = rows.elts;

    for (i = 0; i < rows.nelts; i++) {
        json_array_append_new(captures,
                              ngx_pcap_api_capture_json(ctx, &row[i]));
    }

    why = ngx_pcap_api_stored_list(ctx, captures, &more);

    if (why != NULL) {
        ngx_pcap_api_list_no_store(ctx, unreachable, why);
    }

    for (i = 0; i < ctx->npeer_asks; i++) {
        more |= ngx_pcap_api_list_take(ctx, captures, unreachable,
                                       &ctx->peer_asks[i]);
    }

    doc = json_object();
    json_object_set_new(doc, "captures", captures);
    json_object_set_new(doc, "unreachable", unreachable);

    if (more) {
        json_object_set_new(doc, "truncated", json_true());
    }

    return ngx_pcap_api_answer(ctx, NGX_HTTP_OK, doc);
}


ngx_int_t
ngx_pcap_api_stop_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t                    *doc;
    ngx_int_t                  rc;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);

    rc = ngx_pcap_api_row_stop(pmcf->zone, ctx);

    if (rc == NGX_DECLINED) {
        rc = ngx_pcap_api_grant_stop(ctx); /* not yet begun */
    }

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is no running capture %*s",
                                   (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id);
    }

    if (rc == NGX_OK) {
        (void) ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_STOP);
    }

    doc = json_object();
    json_object_set_new(doc, "id", json_stringn((char *) ctx->stop_id,
                                                NGX_PCAP_API_ID_LEN));
    json_object_set_new(doc, "state", json_string("stopping"));

    return ngx_pcap_api_answer(ctx, NGX_HTTP_ACCEPTED, doc);
}
