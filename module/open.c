/*
 * module/open.c: the subrequests to the agents. They are started a few at a
 * time, all within one start timeout; what they answer is recorded here by
 * their filters and handlers, which never do more than that: only the phase,
 * run from the main request, decides.
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>
#include <sys/socket.h>


#define NGX_PCAP_API_NOT_ACCEPTABLE  406    /* RFC 9110 15.5.7 */

/* An agent holds a place for the start timeout by this. */
#define NGX_PCAP_API_START_SLICES  16


static ngx_int_t ngx_pcap_api_open_init(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
static ngx_int_t ngx_pcap_api_agent_open(ngx_pcap_api_agent_t *a);
static void ngx_pcap_api_agent_wake(ngx_http_request_t *sr);
static ngx_int_t ngx_pcap_api_open_result(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);


static ngx_int_t
ngx_pcap_api_open_init(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    void                      *mem;
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_pcap_api_agent_t      *a;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!ctx->opts.pcapng
        && (r->http_version < NGX_HTTP_VERSION_11
            || (r->http_version < NGX_HTTP_VERSION_20
                && !clcf->chunked_transfer_encoding)))
    {
        return ngx_pcap_api_refuse(ctx, NGX_PCAP_API_NOT_ACCEPTABLE,
                   "format \"pcap\" needs HTTP/1.1 or later, because its "
                   "verdict is sent in trailers; \"pcapng\" does not");
    }

    ctx->wall_ns = ngx_pcap_api_wall_base();

    rc = ngx_pcap_api_agent_uri(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    mem = ngx_palloc(r->pool, pcapx_merge_size(ctx->nagents));
    if (mem == NULL) {
        return NGX_ERROR;
    }

    pcapx_merge_init(&ctx->merge, mem, ctx->nagents);

    ctx->nalive = ctx->nagents;
    ctx->deadline = ngx_current_msec + ctx->conf->start_timeout;

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];
        pcapx_scan_init(&a->scan, a->scan_ifaces, ctx->max_ifaces,
                        PCAPX_PROFILE_AGENT, 0);

        if (a->target->unavailable != NULL) {
            ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_INSTANCE_UNAVAILABLE,
                                    "%s", a->target->unavailable);
        }
    }

    return NGX_OK;
}


/*
 * Opens what may be opened now. A place among those in connect or handshake
 * is for those who get on: who has not answered after a while still has the
 * start timeout, but a row of dead agents must not keep the others out.
 */
static ngx_int_t
ngx_pcap_api_open_more(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t             i;
    ngx_msec_t             slice;
    ngx_pcap_api_agent_t  *a;

    slice = ctx->conf->start_timeout / NGX_PCAP_API_START_SLICES;

    for (i = 0; i < ctx->nagents && ctx->nopening; i++) {
        a = &ctx->agents[i];

        if (a->opening && ngx_current_msec - a->opened >= slice) {
            a->opening = 0;
            ctx->nopening--;
        }
    }

    while (ctx->nopened < ctx->nagents
           && ctx->nopening < ctx->conf->start_parallel)
    {
        a = &ctx->agents[ctx->nopened++];

        if (a->state == NGX_PCAP_API_AGENT_NEW
            && ngx_pcap_api_agent_open(a) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Its agent says that the container is not there, or is another one's. */
static void
ngx_pcap_api_agent_lost(ngx_pcap_api_agent_t *a)
{
    ngx_uint_t  pod;

    pod = a->ctx->resolver == &ngx_pcap_api_k8s_resolver;

    ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_INSTANCE_UNAVAILABLE,
                            "the agent of its %s does not know its %s: the "
                            "%s has moved or ended", pod ? "node" : "cell",
                            pod ? "pod" : "container",
                            pod ? "pod" : "instance");
}


/* Somewhere else now: opens anew in its turn. */
static void
ngx_pcap_api_agent_reopen(ngx_pcap_api_agent_t *a)
{
    a->status = 0;
    a->body_len = 0;
    a->timed_out = 0;

    a->ctx->nopened = 0;                   /* others are new no more */
    a->ctx->hold = 0;                      /* there will be records */
}


/* While others are on their way their instances may turn out to have moved. */
static ngx_uint_t
ngx_pcap_api_open_settled(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i;

    if ((ngx_msec_int_t) (ctx->deadline - ngx_current_msec)
        < (ngx_msec_int_t) ctx->conf->start_timeout / 2)
    {
        return 1;
    }

    for (i = 0; i < ctx->nagents; i++) {
        if (ctx->agents[i].state <= NGX_PCAP_API_AGENT_OPENING
            && !ctx->agents[i].moved)
        {
            return 0;
        }
    }

    return 1;
}


/* Once per capture: where are those now that their agents do not know? */
static ngx_int_t
ngx_pcap_api_open_moved(ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_pcap_api_agent_t   *a;
    ngx_pcap_api_target_t  *t;

    if (ctx->nmoved == 0
        || (!ctx->moved_asked && !ngx_pcap_api_open_settled(ctx)))
    {
        return NGX_OK;
    }

    ctx->moved_asked = 1;

    rc = ctx->resolver->moved(ctx, &ctx->asks[ctx->resolver->number]);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx->nmoved = 0;

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];
        t = a->target;

        if (!a->moved) {
            continue;
        }

        if (!a->elsewhere) {
            ngx_pcap_api_agent_lost(a);

        } else if (t->unavailable != NULL) {
            ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_INSTANCE_UNAVAILABLE,
                                    "%s", t->unavailable);

        } else {
            ngx_pcap_api_agent_reopen(a);
        }

        a->moved = 0;
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_open_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_uint_t             i, waiting;
    ngx_pcap_api_agent_t  *a;

    if (ctx->agent_uri.len == 0) {
        rc = ngx_pcap_api_open_init(r, ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_pcap_api_feed_dirty(ctx);

    if (ngx_pcap_api_open_moved(ctx) == NGX_ERROR
        || ngx_pcap_api_open_more(ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    waiting = 0;

    for (i = 0; i < ctx->nagents; i++) {
        waiting += ctx->agents[i].state <= NGX_PCAP_API_AGENT_OPENING;
    }

    if (waiting && (ngx_msec_int_t) (ngx_current_msec - ctx->deadline) < 0) {
        return NGX_AGAIN;
    }

    for (i = 0; waiting && i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (a->moved) {
            ngx_pcap_api_agent_lost(a);

        } else if (a->state <= NGX_PCAP_API_AGENT_OPENING) {
            a->timed_out = 1;
            ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_INSTANCE_UNAVAILABLE,
                                    "did not start within %M ms",
                                    ctx->conf->start_timeout);
        }
    }

    return ngx_pcap_api_open_result(r, ctx);
}


/* The first one that was asked at all speaks for the others. */
static ngx_pcap_api_agent_t *
ngx_pcap_api_first_asked(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i;

    for (i = 0; i < ctx->nagents; i++) {
        if (ctx->agents[i].target->unavailable == NULL) {
            return &ctx->agents[i];
        }
    }

    return &ctx->agents[0];
}


/* All have answered or failed: may the stream begin, or what do we say? */
static ngx_int_t
ngx_pcap_api_open_result(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t              linktype;
    ngx_uint_t             i, k, started, same, timed_out;
    ngx_pcap_api_agent_t  *a, *first;

    started = 0;
    same = 1;
    timed_out = 1;
    first = ngx_pcap_api_first_asked(ctx);
    linktype = -1;

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (a->state == NGX_PCAP_API_AGENT_FAILED) {
            same &= a->status == first->status
                    || a->target->unavailable != NULL;
            timed_out &= a->timed_out;
            continue;
        }

        started++;

        for (k = 0; k < a->nifaces && !ctx->opts.pcapng; k++) {

            if (linktype != -1 && linktype != a->ifaces[k].linktype) {
                return ngx_pcap_api_refuse(ctx, NGX_HTTP_CONFLICT,
                    "the interfaces have different link types (%i and %i at "
                    "\"%V\"): format \"pcap\" holds only one, take \"pcapng\"",
                    linktype, (ngx_int_t) a->ifaces[k].linktype,
                    &a->target->instance);
            }

            linktype = a->ifaces[k].linktype;
        }
    }

    if (started) {
        return NGX_OK;
    }

    /* all for the same reason of the request's own: then it is the client's */

    if (same && first->fail_type == NGX_PCAP_API_MSG_INVALID_REQUEST) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST, "%V",
                                   &first->fail_text);
    }

    /* what the owners of the machines do not allow */

    if (same && first->status == NGX_HTTP_FORBIDDEN) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN, "%V",
                                   &first->fail_text);
    }

    if (same && first->status == NGX_HTTP_TOO_MANY_REQUESTS) {
        ctx->retry_after = 10;
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_TOO_MANY_REQUESTS, "%V",
                                   &first->fail_text);
    }

    return ngx_pcap_api_refuse(ctx, timed_out ? NGX_HTTP_GATEWAY_TIME_OUT
                                              : NGX_HTTP_BAD_GATEWAY,
                               "no instance could start the capture: %V",
                               &first->fail_text);
}


static ngx_int_t
ngx_pcap_api_agent_open(ngx_pcap_api_agent_t *a)
{
    a->state = NGX_PCAP_API_AGENT_OPENING;
    a->opened = ngx_current_msec;
    a->heard = ngx_current_msec;
    a->advanced = ngx_current_msec;
    a->resumed = ngx_current_msec;
    a->opening = 1;
    a->ctx->nopening++;
    ngx_pcap_api_count(NGX_PCAP_API_C_AGENTS, 1);

    return ngx_pcap_api_subrequest(a->ctx, &a->ctx->conf->agents,
                                   ngx_pcap_api_agent_done, a, &a->sr);
}


static void
ngx_pcap_api_agent_answered(ngx_pcap_api_agent_t *a)
{
    if (a->opening) {
        a->opening = 0;
        a->ctx->nopening--;
        ngx_pcap_api_post(a->ctx);         /* the next one may be opened */
    }
}


/*
 * When every agent has said all it will say, one of the records that are
 * still here is the last one of all.
 */
static void
ngx_pcap_api_last_agents(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i;

    if (ctx->nopened < ctx->nagents) {
        return;
    }

    for (i = 0; i < ctx->nagents; i++) {
        if (ctx->agents[i].sr != NULL) {
            return;
        }
    }

    ctx->hold = ctx->opts.pcapng;
}


ngx_int_t
ngx_pcap_api_agent_header(ngx_http_request_t *sr, ngx_pcap_api_agent_t *a)
{
    a->status = sr->headers_out.status;

    /* without chunks a cut stream could not be told from a finished one */

    if (a->status == NGX_HTTP_OK
        && (sr->upstream == NULL || !sr->upstream->headers_in.chunked
            || sr->upstream->buffering))
    {
        a->status = NGX_HTTP_BAD_GATEWAY;
        a->unfit = 1;
    }

#if (NGX_HTTP_SSL)

    if (sr->upstream == NULL || !sr->upstream->ssl
        || !sr->upstream->conf->ssl_verify)
    {
        ngx_log_error(NGX_LOG_ERR, sr->connection->log, 0,
                      "https or \"proxy_ssl_verify on\" is missing in "
                      "\"%V\": nobody knows who the agent %V is",
                      &a->ctx->conf->agents, &a->target->instance);
        a->status = NGX_HTTP_BAD_GATEWAY;
        a->unverified = 1;
    }

#endif

    ngx_pcap_api_agent_answered(a);

    if (a->unfit || a->unverified) {       /* it may never end */
        ngx_pcap_api_agent_mark(a);
    }

    return NGX_OK;
}


/* Whatever a failed or unfit agent still says is thrown away. */
static void
ngx_pcap_api_swallow(ngx_chain_t *in)
{
    for ( /* void */ ; in; in = in->next) {
        in->buf->pos = in->buf->last;
        in->buf->file_pos = in->buf->file_last;
    }
}


static ngx_int_t
ngx_pcap_api_agent_error_body(ngx_pcap_api_agent_t *a, ngx_chain_t *in)
{
    size_t        n;
    ngx_chain_t  *cl;

    if (a->body == NULL) {
        a->body = ngx_palloc(a->ctx->request->pool, NGX_PCAP_API_MAX_ERROR);
        if (a->body == NULL) {
            return NGX_ERROR;
        }
    }

    for (cl = in; cl; cl = cl->next) {
        if (ngx_buf_in_memory(cl->buf)) {
            n = ngx_min((size_t) (cl->buf->last - cl->buf->pos),
                        NGX_PCAP_API_MAX_ERROR - a->body_len);
            ngx_memcpy(a->body + a->body_len, cl->buf->pos, n);
            a->body_len += n;
        }
    }

    ngx_pcap_api_swallow(in);

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_agent_body(ngx_http_request_t *sr, ngx_pcap_api_agent_t *a,
    ngx_chain_t *in)
{
    ngx_chain_t  *cl, *ln;

    if (a->state == NGX_PCAP_API_AGENT_FAILED || a->sr == NULL) {
        ngx_pcap_api_swallow(in);
        return NGX_OK;
    }

    if (a->status != NGX_HTTP_OK) {
        return ngx_pcap_api_agent_error_body(a, in);
    }

    if (a->wake == NULL) {
        a->wake = sr->write_event_handler;
        sr->write_event_handler = ngx_pcap_api_agent_wake;
    }

    for (cl = in; cl; cl = cl->next) {

        if (cl->buf->last_in_chain || cl->buf->last_buf) {
            a->clean = 1;
        }

        if (cl->buf->last == cl->buf->pos || !ngx_buf_in_memory(cl->buf)) {
            continue;
        }

        /* links belong to the copy filter: only the buffer may be kept */

        ln = ngx_alloc_chain_link(a->ctx->request->pool);
        if (ln == NULL) {
            return NGX_ERROR;
        }

        ln->buf = cl->buf;
        ln->next = NULL;

        if (a->in == NULL) {
            a->pos = ln->buf->pos;
        }

        if (a->nlinks++ == 0) {
            a->filled = ngx_current_msec;
        }

        *a->last_in = ln;
        a->last_in = &ln->next;
    }

    if (a->arrived_ns == 0) {
        a->arrived_ns = ngx_pcap_api_now_ns(a->ctx);
    }

    if (in != NULL) {
        ngx_pcap_api_agent_mark(a);
    }

    return NGX_OK;
}


static void
ngx_pcap_api_agent_wake(ngx_http_request_t *sr)
{
    ngx_pcap_api_agent_t  *a;

    a = sr->post_subrequest->data;
    a->is_posted = 0;
    a->ctx->nposted--;
    a->wake(sr);
}


void
ngx_pcap_api_agent_post(ngx_pcap_api_agent_t *a)
{
    if (a->sr == NULL || a->wake == NULL || a->is_posted || a->ctx->done) {
        return;
    }

    a->is_posted = 1;
    a->ctx->nposted++;
    (void) ngx_http_post_request(a->sr, &a->posted);
}


/* Always NGX_OK: anything else would end the main request. */
ngx_int_t
ngx_pcap_api_agent_done(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    ngx_pcap_api_agent_t *a = data;

    sr->write_event_handler = ngx_http_request_empty_handler;

    if (a->sr == NULL) {
        return NGX_OK;
    }

    a->sr = NULL;
    a->ctx->nposted -= a->is_posted;       /* its wake() will not run */
    ngx_pcap_api_last_agents(a->ctx);

    a->timed_out = (a->status == 0 && rc == NGX_HTTP_GATEWAY_TIME_OUT);

    ngx_pcap_api_agent_answered(a);
    ngx_pcap_api_agent_mark(a);

    return NGX_OK;
}


void
ngx_pcap_api_agent_abort(ngx_pcap_api_agent_t *a)
{
    ngx_http_request_t  *sr;

    sr = a->sr;

    if (sr == NULL) {
        return;
    }

    a->sr = NULL;
    a->ctx->nposted -= a->is_posted;       /* its wake() will not run */
    ngx_pcap_api_agent_answered(a);
    ngx_pcap_api_drop_subrequest(sr);
}


void
ngx_pcap_api_agent_fail(ngx_pcap_api_agent_t *a, ngx_pcap_api_msg_e type,
    const char *fmt, ...)
{
    u_char   *p, buf[NGX_PCAP_API_TEXT_LEN];
    va_list   args;

    if (a->state >= NGX_PCAP_API_AGENT_CLOSED) {
        return;
    }

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + sizeof(buf), fmt, args);
    va_end(args);

    a->fail_type = type;
    a->fail_text.data = a->text;
    a->fail_text.len = ngx_pcap_api_clean_text(a->text, sizeof(a->text), buf,
                                               p - buf);

    a->state = NGX_PCAP_API_AGENT_FAILED;
    a->ctx->nalive--;

    ngx_pcap_api_count(NGX_PCAP_API_C_AGENT_FAILS + type, 1);

    if (!a->ctx->limit_hit) {              /* else it is late for that */
        a->ctx->failed_some = 1;
    }

    ngx_pcap_api_agent_abort(a);
    pcapx_merge_end(&a->ctx->merge, a->index);
    a->has_head = 0;
    ngx_pcap_api_agent_drop_carry(a);
    ngx_pcap_api_last_agents(a->ctx);

    ngx_log_error(NGX_LOG_WARN, a->ctx->request->connection->log, 0,
                  "pcap agent %V at %V: %s: %V", &a->target->instance,
                  &a->target->addr, ngx_pcap_api_msg_names[type],
                  &a->fail_text);

    if (a->ctx->header_sent) {
        ngx_pcap_api_message(a->ctx, a, type, "%V", &a->fail_text);
    }

    ngx_pcap_api_post(a->ctx);
}


/* A 404 for the container; one for an interface says which there are. */
static ngx_uint_t
ngx_pcap_api_agent_moved(ngx_pcap_api_agent_t *a, json_t *interfaces)
{
    ngx_pcap_api_ctx_t  *ctx;

    ctx = a->ctx;

    if (a->status != NGX_HTTP_NOT_FOUND || a->target->args.len == 0
        || interfaces != NULL || ctx->kube.what == NGX_PCAP_API_KUBE_MERGED)
    {
        return 0;
    }

    if (ctx->moved_asked || ctx->header_sent
        || ctx->resolver->moved == NULL || ctx->stored.granted)
    {
        ngx_pcap_api_agent_lost(a);
        return 1;
    }

    a->state = NGX_PCAP_API_AGENT_NEW;
    a->moved = 1;
    ctx->nmoved++;
    ngx_pcap_api_post(ctx);

    return 1;
}


static ngx_pcap_api_msg_e
ngx_pcap_api_agent_fail_type(ngx_pcap_api_agent_t *a, const char *detail)
{
    /* of files the client has said nothing but which capture */

    if (a->ctx->kube.what == NGX_PCAP_API_KUBE_MERGED) {
        return NGX_PCAP_API_MSG_START_CAPTURE_FAILED;
    }

    switch (a->status) {

    case NGX_HTTP_BAD_REQUEST:

        /* which container is nothing that the client has said */

        if (a->target->args.len && detail != NULL
            && (ngx_strncmp(detail, "container:", 10) == 0
                || ngx_strncmp(detail, "app:", 4) == 0
                || ngx_strncmp(detail, "pod:", 4) == 0))
        {
            return NGX_PCAP_API_MSG_START_CAPTURE_FAILED;
        }

        /* fall through */

    case NGX_HTTP_NOT_FOUND:
        return NGX_PCAP_API_MSG_INVALID_REQUEST;

    case NGX_HTTP_TOO_MANY_REQUESTS:
        return NGX_PCAP_API_MSG_LIMIT_REACHED;

    default:
        return NGX_PCAP_API_MSG_START_CAPTURE_FAILED;
    }
}


/* What an agent that never streamed has said: libpcap's own words. */
void
ngx_pcap_api_agent_refused(ngx_pcap_api_agent_t *a)
{
    size_t               i;
    json_t              *doc, *list;
    u_char              *p, *last, names[160];
    const char          *detail, *name;
    json_error_t         error;
    ngx_pcap_api_msg_e   type;

    if (a->status == 0) {
        ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_INSTANCE_UNAVAILABLE,
            a->timed_out
            ? "the agent does not answer"
            : "no connection to the agent, or its certificate is not "
              "the one expected");
        return;
    }

    if (a->unverified) {
        ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_CONNECTION_ERROR,
                                "this API does not verify its agents: "
                                "\"proxy_ssl_verify on\" is missing");
        return;
    }

    if (a->unfit) {
        ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_CONNECTION_ERROR,
                                "the agent's answer is no chunked stream");
        return;
    }

    doc = json_loadb((char *) a->body, a->body_len, 0, &error);
    detail = json_string_value(json_object_get(doc, "detail"));
    list = json_object_get(doc, "interfaces");

    if (ngx_pcap_api_agent_moved(a, list)) {
        json_decref(doc);
        return;
    }

    type = ngx_pcap_api_agent_fail_type(a, detail);
    last = names + sizeof(names) - 1;

    for (p = names, i = 0; i < json_array_size(list); i++) {
        name = json_string_value(json_array_get(list, i));
        p = ngx_slprintf(p, last, "%s%s", i ? ", " : "; there are: ",
                         name ? name : "?");
    }

    *p = '\0';

    if (detail != NULL) {
        ngx_pcap_api_agent_fail(a, type, "%s%s", detail, names);

    } else {
        ngx_pcap_api_agent_fail(a, type, "the agent answered with status %ui",
                                a->status);
    }

    json_decref(doc);
}


void
ngx_pcap_api_agent_half_close(ngx_pcap_api_agent_t *a)
{
    ngx_connection_t  *c;

    if (a->sr == NULL || a->half_closed || a->sr->upstream == NULL
        || a->sr->upstream->peer.connection == NULL)
    {
        return;
    }

    a->half_closed = 1;
    c = a->sr->upstream->peer.connection;

    if (shutdown(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        ngx_log_error(NGX_LOG_INFO, c->log, ngx_socket_errno,
                      "half-close of a pcap agent failed");
    }

    /* a close_notify could not be sent any more: let nginx not try */

    c->error = 1;
}
