/*
 * module/beside.c: a request of our own beside a capture that streams, for
 * phases that have to ask somebody: it has its own context, memory, variables
 * and posted requests, on a connection without a socket, as the streams of
 * HTTP/2 have one. So nothing of it is seen by the capture's request, and all
 * its memory goes with it: a capture may run for days.
 *
 * It has no timer: who made it calls run() from a tick. It is freed from
 * outside only, never from within its own events.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_BESIDE_POOL     4096
#define NGX_PCAP_API_BESIDE_TIMEOUT  10000   /* ms, of the token check */


typedef struct {
    ngx_pcap_api_ctx_t         ctx;          /* first: it is cast */
    ngx_http_request_t         request;
    ngx_connection_t           connection;
    ngx_event_t                read;
    ngx_event_t                write;
    ngx_log_t                  log;
    ngx_http_log_ctx_t         log_ctx;
} ngx_pcap_api_beside_t;


/* Runs whenever an answer has come. */
static void
ngx_pcap_api_beside_step(ngx_http_request_t *r)
{
    ngx_int_t            rc;
    ngx_pcap_api_ctx_t  *ctx;

    ctx = ngx_pcap_api_ctx(r);
    ctx->is_posted = 0;

    if (ctx->done) {
        return;
    }

    ctx->running = 1;

    do {
        r->connection->log->action = (char *) ctx->phase->action;
        rc = ctx->phase->run(r, ctx);
    } while (rc == NGX_OK && (++ctx->phase)->run != NULL);

    ctx->running = 0;

    if (rc != NGX_AGAIN) {
        ctx->done = 1;
        ctx->verdict = rc;
    }
}


static void
ngx_pcap_api_beside_event(ngx_event_t *ev)
{
    /* a connection without a socket has no events */
}


/*
 * Both events are active, so that nginx's upstream code does not add them to
 * epoll: there is no descriptor to be added. One can always write: else that
 * code would wait for it, with a timer.
 */
static void
ngx_pcap_api_beside_connection(ngx_pcap_api_beside_t *b,
    ngx_connection_t *parent)
{
    ngx_connection_t  *c;

    c = &b->connection;

    c->data = &b->request;
    c->fd = (ngx_socket_t) -1;
    c->read = &b->read;
    c->write = &b->write;
    c->log = &b->log;
    c->type = parent->type;
    c->listening = parent->listening;
    c->sockaddr = parent->sockaddr;
    c->socklen = parent->socklen;
    c->addr_text = parent->addr_text;
    c->local_sockaddr = parent->local_sockaddr;
    c->local_socklen = parent->local_socklen;
    c->number = parent->number;
    c->start_time = ngx_current_msec;
    c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
    c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;

    b->read.data = c;
    b->read.handler = ngx_pcap_api_beside_event;
    b->read.log = c->log;
    b->read.active = 1;

    b->write.data = c;
    b->write.handler = ngx_pcap_api_beside_event;
    b->write.log = c->log;
    b->write.active = 1;
    b->write.ready = 1;
    b->write.write = 1;

    b->log = *parent->log;
    b->log.data = &b->log_ctx;
    b->log.action = NULL;

    b->log_ctx.connection = c;
    b->log_ctx.request = &b->request;
    b->log_ctx.current_request = &b->request;
}


static ngx_int_t
ngx_pcap_api_beside_request(ngx_pcap_api_beside_t *b,
    ngx_http_request_t *parent)
{
    ngx_time_t                 *tp;
    ngx_pool_t                 *pool;
    ngx_http_request_t         *r;
    ngx_http_core_main_conf_t  *cmcf;

    r = &b->request;
    pool = b->connection.pool;
    cmcf = ngx_http_get_module_main_conf(parent, ngx_http_core_module);

    r->signature = NGX_HTTP_MODULE;
    r->connection = &b->connection;
    r->http_connection = parent->http_connection;
    r->pool = pool;
    r->main = r;
    r->count = 1;                          /* ours: it never becomes 0 */

    r->main_conf = parent->main_conf;
    r->srv_conf = parent->srv_conf;
    r->loc_conf = parent->loc_conf;

    r->ctx = ngx_pcalloc(pool, sizeof(void *) * ngx_http_max_module);
    r->variables = ngx_pcalloc(pool, cmcf->variables.nelts
                                     * sizeof(ngx_http_variable_value_t));

    if (r->ctx == NULL || r->variables == NULL
        || ngx_list_init(&r->headers_in.headers, pool, 1,
                         sizeof(ngx_table_elt_t)) != NGX_OK
        || ngx_list_init(&r->headers_out.headers, pool, 1,
                         sizeof(ngx_table_elt_t)) != NGX_OK
        || ngx_list_init(&r->headers_out.trailers, pool, 1,
                         sizeof(ngx_table_elt_t)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_in.server = parent->headers_in.server;
    r->headers_in.content_length_n = -1;
    r->headers_in.keep_alive_n = -1;
    r->headers_out.content_length_n = -1;

    r->method = NGX_HTTP_GET;
    ngx_str_set(&r->method_name, "GET");
    r->http_version = NGX_HTTP_VERSION_11;
    ngx_str_set(&r->http_protocol, "HTTP/1.1");
    r->request_line = parent->request_line;
    r->uri = parent->uri;
    r->unparsed_uri = parent->unparsed_uri;
    r->schema = parent->schema;

    r->uri_changes = NGX_HTTP_MAX_URI_CHANGES + 1;
    r->subrequests = NGX_HTTP_MAX_SUBREQUESTS + 1;
    r->internal = 1;

    tp = ngx_timeofday();
    r->start_sec = tp->sec;
    r->start_msec = tp->msec;

    r->read_event_handler = ngx_http_request_empty_handler;
    r->write_event_handler = ngx_pcap_api_beside_step;
    r->log_handler = parent->log_handler;

    ngx_http_set_ctx(r, &b->ctx, ngx_pcap_api_module);

    return NGX_OK;
}


ngx_pcap_api_ctx_t *
ngx_pcap_api_beside_create(ngx_pcap_api_ctx_t *capture,
    const ngx_pcap_api_phase_t *phases)
{
    ngx_pool_t             *pool;
    ngx_pcap_api_ctx_t     *ctx;
    ngx_pcap_api_beside_t  *b;

    pool = ngx_create_pool(NGX_PCAP_API_BESIDE_POOL, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    b = ngx_pcalloc(pool, sizeof(ngx_pcap_api_beside_t));

    if (b == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    ngx_pcap_api_beside_connection(b, capture->request->connection);
    b->connection.pool = pool;

    if (ngx_pcap_api_beside_request(b, capture->request) != NGX_OK) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    ctx = &b->ctx;

    ctx->request = &b->request;
    ctx->capture = capture;
    ctx->conf = capture->conf;
    ctx->phase = phases;
    ctx->deadline = ngx_current_msec + NGX_PCAP_API_BESIDE_TIMEOUT;
    ctx->request_id = capture->request_id;
    ctx->resolver = capture->resolver;
    ctx->group = capture->group;
    ctx->opts = capture->opts;
    ctx->last_out = &ctx->out;
    ctx->last_busy = &ctx->busy;
    ngx_queue_init(&ctx->dirty);
    ngx_memcpy(ctx->id, capture->id, NGX_PCAP_API_ID_LEN);

    return ctx;
}


ngx_int_t
ngx_pcap_api_beside_run(ngx_pcap_api_ctx_t *ctx)
{
    if (!ctx->done) {
        ngx_pcap_api_beside_step(ctx->request);
        ngx_http_run_posted_requests(ctx->request->connection);
    }

    return ctx->done ? ctx->verdict : NGX_AGAIN;
}


void
ngx_pcap_api_beside_free(ngx_pcap_api_ctx_t *ctx)
{
    ngx_connection_t    *c;
    ngx_http_cleanup_t  *cln;

    c = ctx->request->connection;
    ctx->done = 1;

    while (ctx->fetches != NULL) {
        ngx_pcap_api_fetch_drop(ctx->fetches);
    }

    ngx_pcap_api_client_release(ctx);
    ngx_pcap_api_keys_release(ctx);
    ngx_pcap_api_give_slot(ctx);
    ngx_pcap_api_kube_end(ctx);

    for (cln = ctx->request->cleanup; cln; cln = cln->next) {
        if (cln->handler) {
            cln->handler(cln->data);
        }
    }

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->destroyed = 1;

    ngx_destroy_pool(c->pool);
}
