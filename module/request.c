/*
 * module/request.c: how a request runs. It drives the table of phases that
 * route.c has found, and is the one place that decides how a request that
 * cannot go on ends: as a problem document before the response header, as a
 * cut connection behind it.
 *
 * Nothing here knows what a phase does.
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>
#include <openssl/rand.h>


#define NGX_PCAP_API_AUTH_TIMEOUT  10000     /* ms, introspection and body */

#define ngx_pcap_api_event_ctx(ev, field)                                     \
    (ngx_pcap_api_ctx_t *) ((u_char *) (ev)                                   \
                            - offsetof(ngx_pcap_api_ctx_t, field))


static void ngx_pcap_api_form(ngx_http_request_t *r);
static void ngx_pcap_api_step(ngx_http_request_t *r);
static void ngx_pcap_api_tick(ngx_event_t *ev);
static void ngx_pcap_api_yield(ngx_event_t *ev);
static void ngx_pcap_api_cleanup(void *data);
static void ngx_pcap_api_free(void *data);
static void ngx_pcap_api_fail(ngx_pcap_api_ctx_t *ctx, ngx_int_t rc);


static ngx_pcap_api_ctx_t *
ngx_pcap_api_create_ctx(ngx_http_request_t *r)
{
    u_char                     bytes[NGX_PCAP_API_ID_LEN / 2];
    ngx_pcap_api_ctx_t        *ctx;
    ngx_pool_cleanup_t        *pcln;
    ngx_http_cleanup_t        *cln;
    ngx_pcap_api_main_conf_t  *pmcf;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_pcap_api_ctx_t));
    cln = ngx_http_cleanup_add(r, 0);
    pcln = ngx_pool_cleanup_add(r->pool, 0);

    if (ctx == NULL || cln == NULL || pcln == NULL
        || RAND_bytes(bytes, sizeof(bytes)) != 1)
    {
        return NULL;
    }

    /* so that any node knows which one has it */

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);
    bytes[0] = (u_char) (pmcf->node >> 8);
    bytes[1] = (u_char) pmcf->node;
    ngx_hex_dump(ctx->id, bytes, sizeof(bytes));

    ctx->request = r;
    ctx->conf = ngx_http_get_module_loc_conf(r, ngx_pcap_api_module);
    ctx->max_ifaces = PCAPX_MAX_INTERFACES;
    ctx->max_clock_skew = ctx->conf->max_clock_skew;
    ctx->last_out = &ctx->out;
    ctx->last_busy = &ctx->busy;
    ngx_queue_init(&ctx->dirty);

    ctx->timer.handler = ngx_pcap_api_tick;
    ctx->timer.data = r->connection;       /* for the debug log's ident */
    ctx->timer.log = r->connection->log;

    ctx->yield.handler = ngx_pcap_api_yield;
    ctx->yield.data = r->connection;
    ctx->yield.log = r->connection->log;

    if (ngx_pcap_api_set_request_id(r, &ctx->request_id) != NGX_OK) {
        return NULL;
    }

    cln->handler = ngx_pcap_api_cleanup;
    cln->data = ctx;
    pcln->handler = ngx_pcap_api_free;
    pcln->data = ctx;

    ngx_http_set_ctx(r, ctx, ngx_pcap_api_module);

    return ctx;
}


/* Paths that are none, and the status, are of no interest. */
static void
ngx_pcap_api_refused(ngx_pcap_api_ctx_t *ctx, ngx_int_t status)
{
    if (ctx->phase != ngx_pcap_api_status_phases
        && (ctx->phase != NULL || status != NGX_HTTP_NOT_FOUND))
    {
        (void) ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_REFUSAL);
    }
}


ngx_int_t
ngx_pcap_api_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_str_t                  path;
    ngx_http_core_loc_conf_t  *clcf;

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;         /* not by way of SSI and the like */
    }

    if (ngx_pcap_api_create_ctx(r) == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    path.data = r->uri.data + clcf->name.len;
    path.len = r->uri.len - clcf->name.len;

    ngx_pcap_api_count_request(r, &path);

    rc = ngx_pcap_api_route(r, &path);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_pcap_api_ctx_t  *ctx = ngx_pcap_api_ctx(r);

        (void) ngx_http_discard_request_body(r);
        ngx_pcap_api_refused(ctx, rc);
        ctx->done = 1;

        return ngx_pcap_api_send_problem(r, ctx, rc, &ctx->fail_detail);
    }

    return rc;
}


/*
 * Takes the request over: its life from here on is the phase table. The token
 * and the options are parsed before anything is reserved.
 */
ngx_int_t
ngx_pcap_api_start(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ngx_exiting) {
        ctx->retry_after = 1;
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "this server is draining");
    }

    rc = ngx_pcap_api_address_rate(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_pcap_api_take_token(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_pcap_api_default_options(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (r->method & NGX_HTTP_POST) {

        if (r->headers_in.content_length_n > NGX_PCAP_API_MAX_FORM) {
            return ngx_pcap_api_refuse(ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                       "the form is longer than %d bytes",
                                       NGX_PCAP_API_MAX_FORM);
        }

        r->request_body_in_single_buf = 1;
        rc = ngx_http_read_client_request_body(r, ngx_pcap_api_form);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            return ngx_pcap_api_refuse(ctx, rc,
                                       "the form could not be read");
        }

        return NGX_DONE;
    }

    return ngx_pcap_api_take_over(r, ctx);
}


/* The body, if there is one, is of no interest; the phases begin. */
ngx_int_t
ngx_pcap_api_take_over(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc >= NGX_HTTP_SPECIAL_RESPONSE
               ? ngx_pcap_api_refuse(ctx, rc, "the body could not be read")
               : rc;
    }

    r->main->count++;
    ngx_pcap_api_form(r);

    return NGX_DONE;
}


/*
 * The body is here, or there is none; this holds one count of the request.
 * Only now the timer may run: while the body is read nginx itself may end
 * the request, and its error_page would take the context away.
 */
static void
ngx_pcap_api_form(ngx_http_request_t *r)
{
    ngx_int_t            rc;
    ngx_pcap_api_ctx_t  *ctx;

    ctx = ngx_pcap_api_ctx(r);

    ctx->deadline = ngx_current_msec
                    + (ctx->phase == ngx_pcap_api_status_phases
                       ? NGX_PCAP_API_STATUS_TIMEOUT
                       : NGX_PCAP_API_AUTH_TIMEOUT);
    ngx_add_timer(&ctx->timer, NGX_PCAP_API_TICK);

    ctx->phase_began = ngx_current_msec;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_pcap_api_step;

    rc = ctx->phase == ngx_pcap_api_capture_phases
         ? ngx_pcap_api_read_options(r, ctx)
         : ctx->phase == ngx_pcap_api_store_phases
         ? ngx_pcap_api_read_store(r, ctx) : NGX_OK;

    if (rc == NGX_OK && ctx->phase == ngx_pcap_api_capture_phases) {
        rc = ngx_pcap_api_read_tee(ctx);
    }

    if (rc != NGX_OK) {
        ngx_pcap_api_fail(ctx, rc);
        return;
    }

    ngx_pcap_api_step(r);
}


void
ngx_pcap_api_post(ngx_pcap_api_ctx_t *ctx)
{
    /* a running step sees every change before it ends */

    if (ctx->is_posted || ctx->running || ctx->done) {
        return;
    }

    ctx->is_posted = 1;
    (void) ngx_http_post_request(ctx->request, &ctx->posted);
}


ngx_int_t
ngx_pcap_api_turn(ngx_pcap_api_ctx_t *ctx)
{
    if (++ctx->turns <= NGX_PCAP_API_TURNS) {
        return NGX_OK;
    }

    ngx_post_event(&ctx->yield, &ngx_posted_next_events);

    return NGX_AGAIN;
}


/* Runs whenever something changed; each phase either advances or waits. */
static void
ngx_pcap_api_step(ngx_http_request_t *r)
{
    ngx_int_t            rc;
    ngx_event_t         *rev;
    ngx_pcap_api_ctx_t  *ctx;

    ctx = ngx_pcap_api_ctx(r);
    ctx->is_posted = 0;

    if (ctx->done || ctx->yield.posted) {
        return;
    }

    if (ngx_pcap_api_turn(ctx) != NGX_OK) {
        return;
    }

    /*
     * The client's FIN may have come before our read handler stood there;
     * its event will not come again.
     */

    rev = r->connection->read;

    if (rev->pending_eof && !rev->eof) {
        ngx_http_test_reading(r);
        return;
    }

    /*
     * nginx's upstream code arms the client's write timer with the send
     * timeout of the agents' location; pcap_api_client_stall rules instead.
     */

    r->connection->write->timedout = 0;

    ctx->running = 1;

    do {
        r->connection->log->action = (char *) ctx->phase->action;
        rc = ctx->phase->run(r, ctx);

        if (rc == NGX_OK) {
            ngx_pcap_api_count_phase(ctx);
        }
    } while (rc == NGX_OK && (++ctx->phase)->run != NULL);

    if (rc == NGX_DONE) {                  /* ctx may be gone */
        return;
    }

    ctx->running = 0;

    if (rc != NGX_AGAIN) {
        ngx_pcap_api_fail(ctx, rc);
        return;
    }

    if (ctx->again) {
        ctx->again = 0;
        ngx_pcap_api_post(ctx);
    }
}


static void
ngx_pcap_api_tick(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_pcap_api_ctx_t  *ctx;

    ctx = ngx_pcap_api_event_ctx(ev, timer);
    c = ctx->request->connection;

    ngx_http_set_log_request(c->log, ctx->request);

    ngx_add_timer(&ctx->timer, NGX_PCAP_API_TICK);
    ngx_pcap_api_post(ctx);

    ngx_http_run_posted_requests(c);
}


static void
ngx_pcap_api_yield(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_pcap_api_ctx_t  *ctx;

    ctx = ngx_pcap_api_event_ctx(ev, yield);
    c = ctx->request->connection;

    ngx_http_set_log_request(c->log, ctx->request);

    ctx->turns = 0;
    ngx_pcap_api_post(ctx);

    ngx_http_run_posted_requests(c);
}


void
ngx_pcap_api_give_slot(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    if (ctx->slot) {
        ctx->slot = 0;
        pmcf = ngx_http_get_module_main_conf(ctx->request,
                                             ngx_pcap_api_module);
        ngx_pcap_api_slot_free(pmcf->zone);
    }
}


/* The subrequests have to go before the request is finalized. */
static void
ngx_pcap_api_abort_all(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i;

    for (i = 0; i < ctx->nagents; i++) {
        ngx_pcap_api_agent_abort(&ctx->agents[i]);
    }

    while (ctx->fetches != NULL) {
        ngx_pcap_api_fetch_drop(ctx->fetches);
    }

    ngx_pcap_api_zip_drop(ctx);
    ngx_pcap_api_kube_remove_drop(ctx);
    ngx_pcap_api_rights_release(ctx);
    ngx_pcap_api_client_release(ctx);
    ngx_pcap_api_keys_release(ctx);
    ngx_pcap_api_give_slot(ctx);
}


static void
ngx_pcap_api_stop_events(ngx_pcap_api_ctx_t *ctx)
{
    ctx->done = 1;

    if (ctx->timer.timer_set) {
        ngx_del_timer(&ctx->timer);
    }

    if (ctx->yield.posted) {
        ngx_delete_posted_event(&ctx->yield);
    }
}


void
ngx_pcap_api_finalize(ngx_pcap_api_ctx_t *ctx, ngx_int_t rc)
{
    ngx_pcap_api_abort_all(ctx);
    ngx_pcap_api_stop_events(ctx);
    ngx_http_finalize_request(ctx->request, rc);
}


/* nginx forgets what a request has of us when it is redirected. */
ngx_pcap_api_ctx_t *
ngx_pcap_api_redirected(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_pcap_api_free) {
            return cln->data;
        }
    }

    return NULL;
}


ngx_int_t
ngx_pcap_api_redirect(ngx_pcap_api_ctx_t *ctx, ngx_str_t *uri,
    ngx_str_t *args)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_pcap_api_abort_all(ctx);
    ngx_pcap_api_stop_events(ctx);

    (void) ngx_http_internal_redirect(r, uri, args);
    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


/* The one place that decides how a request that cannot go on ends. */
static void
ngx_pcap_api_fail(ngx_pcap_api_ctx_t *ctx, ngx_int_t rc)
{
    ngx_uint_t           status;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->header_sent || r->header_sent) {
        ctx->failed = !r->connection->error;   /* else its client has gone */
        ngx_pcap_api_finalize(ctx, NGX_ERROR);
        return;
    }

    status = (rc >= 300) ? (ngx_uint_t) rc : NGX_HTTP_INTERNAL_SERVER_ERROR;

    if (status != ctx->fail_status) {
        (void) ngx_pcap_api_refuse(ctx, status, "internal error");
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "pcap request refused with %ui: %V", status,
                  &ctx->fail_detail);
    ngx_pcap_api_refused(ctx, (ngx_int_t) status);

    ngx_pcap_api_abort_all(ctx);

    if (r->headers_in.content_length_n > 0 && r->request_body == NULL) {
        (void) ngx_http_discard_request_body(r);
    }

    rc = ngx_pcap_api_send_problem(r, ctx, status, &ctx->fail_detail);
    ngx_pcap_api_finalize(ctx, rc);
}


static void
ngx_pcap_api_log_end(ngx_pcap_api_ctx_t *ctx)
{
    u_char                 *p, text[256];
    ngx_pcap_api_ledger_t   sum;

    ngx_pcap_api_ledger_sum(ctx, &sum);
    p = ngx_pcap_api_ledger_text(&sum, ' ', text, text + sizeof(text));

    ngx_log_error(NGX_LOG_NOTICE, ctx->request->connection->log, 0,
                  "pcap capture %*s of %V ended: %s, reason:\"%s\" "
                  "packets:%uL dropped:%uL%s%V sent:%O %*s",
                  (size_t) NGX_PCAP_API_ID_LEN, ctx->id, &ctx->group,
                  ctx->finished ? ngx_pcap_api_status_names[ctx->status]
                                : "cut",
                  ngx_pcap_api_ends[ngx_pcap_api_end_of(ctx)].name,
                  ctx->packets, ngx_pcap_api_ledger_dropped(&sum),
                  ctx->opts.continues.len ? " continues:" : "",
                  &ctx->opts.continues, ctx->sent,
                  (size_t) (p - text), text);
}


/*
 * Runs when the request ends, however it does: done handlers of subrequests
 * do not run when nginx terminates it. Idempotent.
 */
static void
ngx_pcap_api_cleanup(void *data)
{
    ngx_pcap_api_ctx_t  *ctx = data;

    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);

    ngx_pcap_api_stop_events(ctx);
    ngx_pcap_api_rights_release(ctx);
    ngx_pcap_api_client_release(ctx);
    ngx_pcap_api_keys_release(ctx);
    ngx_pcap_api_give_slot(ctx);
    ngx_pcap_api_pace_leave(ctx);
    ngx_pcap_api_tls_send_end(ctx->request);

    (void) ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_END);

    if (ctx->row != NULL) {
        ngx_pcap_api_row_remove(pmcf->zone, ctx);
    }

    ngx_pcap_api_follow_end(ctx);
    ngx_pcap_api_zip_end(ctx);
    ngx_pcap_api_kube_share_end(ctx);

    if (ctx->stored.promised) {            /* its user does not know it */
        ctx->stored.promised = 0;
        ngx_pcap_api_grant_revoke(ctx);
    }

    ngx_pcap_api_kube_end(ctx);
    json_decref(ctx->stored.record);
    json_decref(ctx->stored.url);
    ctx->stored.record = NULL;
    ctx->stored.url = NULL;

    if (ctx->header_sent) {
        ngx_pcap_api_log_end(ctx);
    }
}


/*
 * Frees what is on the heap, not before the pool goes: HTTP/2 may still send
 * a frame of a request that is terminated already.
 */
static void
ngx_pcap_api_free(void *data)
{
    ngx_pcap_api_ctx_t  *ctx = data;

    ngx_uint_t  i;

    for (i = 0; i < ctx->nagents; i++) {
        if (ctx->agents[i].carry != NULL) {
            ngx_free(ctx->agents[i].carry);
        }
    }

    ngx_pcap_api_output_free(ctx);
    ngx_pcap_api_zip_free(ctx);
    ngx_pcap_api_kube_remove_free(ctx);

    if (ctx->held != NULL) {
        ngx_free(ctx->held);
    }
}
