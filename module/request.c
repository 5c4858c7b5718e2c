/*
 * module/request.c: how a request runs. It finds out what is asked, drives
 * the table of phases, and is the one place that decides how a request that
 * cannot go on ends: as a problem document (RFC 9457) before the response
 * header, as a cut connection behind it.
 *
 * Nothing here knows what a phase does.
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>
#include <openssl/rand.h>


#define NGX_PCAP_API_AUTH_TIMEOUT  10000     /* ms, introspection and body */
#define NGX_PCAP_API_MAX_FORM      65536

#define ngx_pcap_api_event_ctx(ev, field)                                     \
    (ngx_pcap_api_ctx_t *) ((u_char *) (ev)                                   \
                            - offsetof(ngx_pcap_api_ctx_t, field))


static ngx_int_t ngx_pcap_api_set_request_id(ngx_http_request_t *r,
    ngx_str_t *id);
static ngx_int_t ngx_pcap_api_route(ngx_http_request_t *r, ngx_str_t *path);
static ngx_int_t ngx_pcap_api_start(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
static void ngx_pcap_api_form(ngx_http_request_t *r);
static void ngx_pcap_api_step(ngx_http_request_t *r);
static void ngx_pcap_api_tick(ngx_event_t *ev);
static void ngx_pcap_api_yield(ngx_event_t *ev);
static void ngx_pcap_api_cleanup(void *data);
static void ngx_pcap_api_free(void *data);
static void ngx_pcap_api_fail(ngx_pcap_api_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_pcap_api_stop_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);


static const ngx_pcap_api_phase_t  ngx_pcap_api_capture_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "resolving targets", ngx_pcap_api_resolve_phase },
    { "opening agents", ngx_pcap_api_open_phase },
    { "streaming the capture", ngx_pcap_api_stream_phase },
    { NULL, NULL }
};

static const ngx_pcap_api_phase_t  ngx_pcap_api_stop_phases[] = {
    { "checking the token", ngx_pcap_api_auth_phase },
    { "stopping a capture", ngx_pcap_api_stop_phase },
    { NULL, NULL }
};


/* Titles of problem documents: the reason phrases of RFC 9110 and 6585. */

static const struct {
    ngx_uint_t   status;
    const char  *title;
} ngx_pcap_api_titles[] = {
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 411, "Length Required" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 421, "Misdirected Request" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
    { 0, NULL }
};


static const char *
ngx_pcap_api_title(ngx_uint_t status)
{
    ngx_uint_t  i;

    for (i = 0; ngx_pcap_api_titles[i].title; i++) {
        if (ngx_pcap_api_titles[i].status == status) {
            return ngx_pcap_api_titles[i].title;
        }
    }

    return "Error";
}


size_t
ngx_pcap_api_clean_text(u_char *dst, size_t max, const u_char *src,
    size_t len)
{
    u_char    *d, *p, *start, *last;
    uint32_t   ch;

    d = dst;
    p = (u_char *) src;
    last = p + len;

    while (p < last) {
        start = p;
        ch = *p;

        if (ch < 0x80) {
            p++;

        } else {
            ch = ngx_utf8_decode(&p, last - p);
        }

        if (ch > 0x10ffff || ch < 0x20 || (ch >= 0x7f && ch < 0xa0)
            || (ch >= 0xd800 && ch <= 0xdfff) || ch == 0x2028 || ch == 0x2029)
        {
            if (ch > 0x10ffff) {
                p = start + 1;             /* the decoder stops anywhere */
            }

            if (d == dst + max) {
                break;
            }

            *d++ = (ch == '\n' || ch == '\t') ? ' ' : '?';
            continue;
        }

        if ((size_t) (p - start) > (size_t) (dst + max - d)) {
            break;
        }

        d = ngx_cpymem(d, start, p - start);
    }

    return d - dst;
}


ngx_int_t
ngx_pcap_api_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value = *value;
    ngx_pcap_api_header_end(h);

    return NGX_OK;
}


/* Answers with a whole JSON body; json is given up. */
static ngx_int_t
ngx_pcap_api_reply(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, json_t *json)
{
    char         *text;
    ngx_int_t     rc;
    ngx_str_t     s;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);

    if (text == NULL) {
        return NGX_ERROR;
    }

    s.len = ngx_strlen(text);
    b = ngx_create_temp_buf(r->pool, s.len + 1);

    if (b != NULL) {
        b->last = ngx_cpymem(b->last, text, s.len);
        *b->last++ = LF;
    }

    free(text);

    if (b == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.status = status;
    r->headers_out.content_length_n = b->last - b->pos;
    r->headers_out.content_type.data = (u_char *) type;
    r->headers_out.content_type.len = ngx_strlen(type);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;
    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static json_t *
ngx_pcap_api_json_text(u_char *data, size_t len)
{
    u_char  text[1024];

    return json_stringn((char *) text,
                        ngx_pcap_api_clean_text(text, sizeof(text), data,
                                                len));
}


/* The targets that failed, for the problem document. */
static json_t *
ngx_pcap_api_problem_targets(ngx_pcap_api_ctx_t *ctx)
{
    json_t                *list, *t;
    ngx_uint_t             i;
    ngx_pcap_api_agent_t  *a;

    list = json_array();

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (a->state != NGX_PCAP_API_AGENT_FAILED) {
            continue;
        }

        t = json_object();
        json_object_set_new(t, "name",
                            ngx_pcap_api_json_text(a->target->instance.data,
                                                   a->target->instance.len));
        json_object_set_new(t, "type",
                           json_string(ngx_pcap_api_msg_names[a->fail_type]));
        json_object_set_new(t, "detail",
                            ngx_pcap_api_json_text(a->fail_text.data,
                                                   a->fail_text.len));
        json_array_append_new(list, t);
    }

    if (json_array_size(list) == 0) {
        json_decref(list);
        return NULL;
    }

    return list;
}


static ngx_int_t
ngx_pcap_api_send_problem(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_uint_t status, ngx_str_t *detail)
{
    json_t     *doc, *targets;
    ngx_str_t   value, id;

    if (ctx != NULL) {
        id = ctx->request_id;

    } else if (ngx_pcap_api_set_request_id(r, &id) != NGX_OK) {
        return NGX_ERROR;
    }

    doc = json_object();

    json_object_set_new(doc, "type", json_string("about:blank"));
    json_object_set_new(doc, "title", json_string(ngx_pcap_api_title(status)));
    json_object_set_new(doc, "status", json_integer((json_int_t) status));
    json_object_set_new(doc, "detail",
                        ngx_pcap_api_json_text(detail->data, detail->len));

    json_object_set_new(doc, "request_id",
                        ngx_pcap_api_json_text(id.data, id.len));

    (void) ngx_pcap_api_add_header(r, "X-Vcap-Request-Id", &id);

    if (ctx != NULL) {
        targets = ngx_pcap_api_problem_targets(ctx);

        if (targets != NULL) {
            json_object_set_new(doc, "targets", targets);
        }

        if (ctx->retry_after) {
            value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
            if (value.data != NULL) {
                value.len = ngx_sprintf(value.data, "%ui", ctx->retry_after)
                            - value.data;
                (void) ngx_pcap_api_add_header(r, "Retry-After", &value);
            }
        }

        if (ctx->bearer_error != NULL) {
            value.data = (u_char *) ctx->bearer_error;
            value.len = ngx_strlen(value.data);
            (void) ngx_pcap_api_add_header(r, "WWW-Authenticate", &value);
        }
    }

    ngx_str_set(&value, "no-store");
    (void) ngx_pcap_api_add_header(r, "Cache-Control", &value);

    return ngx_pcap_api_reply(r, status, "application/problem+json", doc);
}


/* The target of error_page: nginx's own refusals as problem documents. */
ngx_int_t
ngx_pcap_api_problem_handler(ngx_http_request_t *r)
{
    ngx_uint_t  status;
    ngx_str_t   detail;

    status = r->err_status ? r->err_status : NGX_HTTP_NOT_FOUND;

    switch (status) {

    case 494:                              /* nginx: header too large */
        status = 431;
        break;

    case 495:                              /* nginx: certificate error */
    case 496:                              /* nginx: no certificate */
    case 497:                              /* nginx: plain HTTP to HTTPS */
        status = NGX_HTTP_BAD_REQUEST;
        break;
    }

    if (status < 400 || status > 599) {
        status = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->err_status) {
        r->err_status = status;
    }

    (void) ngx_http_discard_request_body(r);

    detail.data = (u_char *) ngx_pcap_api_title(status);
    detail.len = ngx_strlen(detail.data);

    return ngx_pcap_api_send_problem(r, NULL, status, &detail);
}


ngx_int_t
ngx_pcap_api_refuse(ngx_pcap_api_ctx_t *ctx, ngx_uint_t status,
    const char *fmt, ...)
{
    u_char   *p;
    va_list   args;
    u_char    buf[NGX_MAX_ERROR_STR];

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + 1024, fmt, args);
    va_end(args);

    ctx->fail_status = status;
    ctx->fail_detail.data = ngx_pnalloc(ctx->request->pool, p - buf);

    if (ctx->fail_detail.data != NULL) {
        ngx_memcpy(ctx->fail_detail.data, buf, p - buf);
        ctx->fail_detail.len = p - buf;
    }

    return (ngx_int_t) status;
}


/* Up to 64 hex digits and dashes: safe in a log and in a header. */
static ngx_uint_t
ngx_pcap_api_request_id_fits(ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] == '\0'
            || !ngx_strchr("0123456789abcdefABCDEF-", s->data[i]))
        {
            return 0;
        }
    }

    return s->len > 0 && s->len <= 64;
}


ngx_table_elt_t *
ngx_pcap_api_request_header(ngx_http_request_t *r, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *found;

    len = ngx_strlen(name);
    found = NULL;
    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            part = part->next;
            if (part == NULL) {
                return found;
            }

            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len
            && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
        {
            found = &h[i];
        }
    }
}


/* The request id: the router's, if we trust it, else our own. */
static ngx_int_t
ngx_pcap_api_set_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    u_char                    bytes[16], *p;
    ngx_table_elt_t          *h;
    ngx_pcap_api_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_pcap_api_module);

    if (conf->routers != NULL
        && ngx_cidr_match(r->connection->sockaddr, conf->routers) == NGX_OK)
    {
        h = ngx_pcap_api_request_header(r, "x-vcap-request-id");

        if (h != NULL && ngx_pcap_api_request_id_fits(&h->value)) {
            *id = h->value;
            return NGX_OK;
        }
    }

    p = ngx_pnalloc(r->pool, 36);

    if (p == NULL || RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return NGX_ERROR;
    }

    id->data = p;
    id->len = 36;

    p = ngx_hex_dump(p, bytes, 4);
    *p++ = '-';
    p = ngx_hex_dump(p, bytes + 4, 2);
    *p++ = '-';
    p = ngx_hex_dump(p, bytes + 6, 2);
    *p++ = '-';
    p = ngx_hex_dump(p, bytes + 8, 2);
    *p++ = '-';
    ngx_hex_dump(p, bytes + 10, 6);

    return NGX_OK;
}


static ngx_pcap_api_ctx_t *
ngx_pcap_api_create_ctx(ngx_http_request_t *r)
{
    u_char                bytes[NGX_PCAP_API_ID_LEN / 2];
    ngx_pcap_api_ctx_t   *ctx;
    ngx_pool_cleanup_t   *pcln;
    ngx_http_cleanup_t   *cln;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_pcap_api_ctx_t));
    cln = ngx_http_cleanup_add(r, 0);
    pcln = ngx_pool_cleanup_add(r->pool, 0);

    if (ctx == NULL || cln == NULL || pcln == NULL
        || RAND_bytes(bytes, sizeof(bytes)) != 1)
    {
        return NULL;
    }

    ngx_hex_dump(ctx->id, bytes, sizeof(bytes));

    ctx->request = r;
    ctx->conf = ngx_http_get_module_loc_conf(r, ngx_pcap_api_module);
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

    rc = ngx_pcap_api_route(r, &path);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_pcap_api_ctx_t  *ctx = ngx_pcap_api_ctx(r);

        (void) ngx_http_discard_request_body(r);
        ctx->done = 1;

        return ngx_pcap_api_send_problem(r, ctx, rc, &ctx->fail_detail);
    }

    return rc;
}


static ngx_int_t
ngx_pcap_api_allow(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    const char *methods)
{
    ngx_str_t  value;

    value.data = (u_char *) methods;
    value.len = ngx_strlen(methods);
    (void) ngx_pcap_api_add_header(r, "Allow", &value);

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_ALLOWED,
                               "method %V is not allowed here, %s is",
                               &r->method_name, methods);
}


static ngx_int_t
ngx_pcap_api_status(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t      *doc, *list;
    ngx_int_t    rc;
    ngx_uint_t   works;

    if (!(r->method & NGX_HTTP_GET)) {
        return ngx_pcap_api_allow(r, ctx, "GET");
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx->done = 1;
    works = ctx->conf->targets != NULL && !ngx_exiting;

    doc = json_object();
    list = json_array();

    if (ctx->conf->targets != NULL) {
        json_array_append_new(list, json_string("static"));
    }

    json_object_set_new(doc, "healthy", json_boolean(works));
    json_object_set_new(doc, "version", json_string(PCAP_VERSION));
    json_object_set_new(doc, "compatibility_level", json_integer(1));
    json_object_set_new(doc, "message",
                        json_string(ngx_exiting ? "draining"
                                    : works ? "ok"
                                    : "no resolver is configured"));
    json_object_set_new(doc, "resolvers", list);

    return ngx_pcap_api_reply(r, works ? NGX_HTTP_OK
                                       : NGX_HTTP_SERVICE_UNAVAILABLE,
                              "application/json", doc);
}


static ngx_int_t
ngx_pcap_api_route(ngx_http_request_t *r, ngx_str_t *path)
{
    char                 err[PCAPX_ERR_LEN];
    ngx_pcap_api_ctx_t  *ctx;

    static ngx_str_t  capture = ngx_string("capture/static/");
    static ngx_str_t  captures = ngx_string("captures/");

    ctx = ngx_pcap_api_ctx(r);

    if (path->len == 6 && ngx_strncmp(path->data, "status", 6) == 0) {
        return ngx_pcap_api_status(r, ctx);
    }

    if (path->len > capture.len
        && ngx_strncmp(path->data, capture.data, capture.len) == 0)
    {
        if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_POST))) {
            return ngx_pcap_api_allow(r, ctx, "GET, POST");
        }

        ctx->group.data = path->data + capture.len;
        ctx->group.len = path->len - capture.len;
        ctx->phase = ngx_pcap_api_capture_phases;

        return ngx_pcap_api_start(r, ctx);
    }

    if (path->len == captures.len + NGX_PCAP_API_ID_LEN
        && ngx_strncmp(path->data, captures.data, captures.len) == 0
        && pcapx_valid_capture_id((char *) path->data + captures.len,
                                  NGX_PCAP_API_ID_LEN, err)
           == PCAPX_OK)
    {
        if (!(r->method & NGX_HTTP_DELETE)) {
            return ngx_pcap_api_allow(r, ctx, "DELETE");
        }

        ngx_memcpy(ctx->stop_id, path->data + captures.len,
                   NGX_PCAP_API_ID_LEN);
        ctx->phase = ngx_pcap_api_stop_phases;

        return ngx_pcap_api_start(r, ctx);
    }

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                               "there is no \"%V\" here", &r->uri);
}


/*
 * Takes the request over: its life from here on is the phase table. The token
 * and the options are parsed before anything is reserved.
 */
static ngx_int_t
ngx_pcap_api_start(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ngx_exiting) {
        ctx->retry_after = 1;
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "this server is draining");
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


/* The body as one piece of memory; an empty one has no data. */
static ngx_int_t
ngx_pcap_api_body_text(ngx_http_request_t *r, ngx_str_t *text)
{
    ssize_t       n;
    ngx_chain_t  *cl;

    ngx_str_null(text);

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        text->len += ngx_buf_size(cl->buf);
    }

    if (text->len > NGX_PCAP_API_MAX_FORM) {
        return NGX_DECLINED;
    }

    text->data = ngx_pnalloc(r->pool, text->len + 1);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    text->len = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {

        if (ngx_buf_in_memory(cl->buf)) {
            n = cl->buf->last - cl->buf->pos;
            ngx_memcpy(text->data + text->len, cl->buf->pos, n);

        } else {
            n = ngx_read_file(cl->buf->file, text->data + text->len,
                              (size_t) (cl->buf->file_last
                                        - cl->buf->file_pos),
                              cl->buf->file_pos);
            if (n == NGX_ERROR) {
                return NGX_ERROR;
            }
        }

        text->len += n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_read_options(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   text, *type;

    static ngx_str_t  form =
        ngx_string("application/x-www-form-urlencoded");

    if (r->args.len) {
        /* decoding is done in place, the log wants r->args as it came */
        p = ngx_pnalloc(r->pool, r->args.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(p, r->args.data, r->args.len);

        rc = ngx_pcap_api_parse_options(ctx, p, r->args.len);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (!(r->method & NGX_HTTP_POST)) {
        return NGX_OK;
    }

    rc = ngx_pcap_api_body_text(r, &text);

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                   "the form is longer than %d bytes",
                                   NGX_PCAP_API_MAX_FORM);
    }

    if (rc != NGX_OK || text.len == 0) {
        return rc;
    }

    type = r->headers_in.content_type ? &r->headers_in.content_type->value
                                      : NULL;

    if (type == NULL || type->len < form.len
        || ngx_strncasecmp(type->data, form.data, form.len) != 0
        || (type->len > form.len && type->data[form.len] != ';'
            && type->data[form.len] != ' '))
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                   "options are taken as %V only", &form);
    }

    return ngx_pcap_api_parse_options(ctx, text.data, text.len);
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

    ctx->deadline = ngx_current_msec + NGX_PCAP_API_AUTH_TIMEOUT;
    ngx_add_timer(&ctx->timer, NGX_PCAP_API_TICK);

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_pcap_api_step;

    if (ctx->phase == ngx_pcap_api_capture_phases) {
        rc = ngx_pcap_api_read_options(r, ctx);

        if (rc != NGX_OK) {
            ngx_pcap_api_fail(ctx, rc);
            return;
        }
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
    } while (rc == NGX_OK && (++ctx->phase)->run != NULL);

    if (rc == NGX_DONE) {                  /* ctx may be gone */
        return;
    }

    ctx->running = 0;

    if (rc != NGX_AGAIN) {
        ngx_pcap_api_fail(ctx, rc);
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


/*
 * Nothing of the client's request goes along: no header (the token!), no
 * body, whatever the configuration of the location says.
 */
ngx_int_t
ngx_pcap_api_subrequest(ngx_pcap_api_ctx_t *ctx, ngx_str_t *uri,
    ngx_http_post_subrequest_pt handler, void *data, ngx_http_request_t **psr)
{
    ngx_str_t                    server;
    ngx_http_request_t          *r, *sr;
    ngx_http_post_subrequest_t  *ps;

    r = ctx->request;

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->handler = handler;
    ps->data = data;

    if (ngx_http_subrequest(r, uri, NULL, &sr, ps,
                            NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    *psr = sr;

    server = sr->headers_in.server;
    ngx_memzero(&sr->headers_in, sizeof(ngx_http_headers_in_t));
    sr->headers_in.server = server;
    sr->headers_in.content_length_n = -1;
    sr->headers_in.keep_alive_n = -1;

    sr->request_body = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));

    if (sr->request_body == NULL
        || ngx_list_init(&sr->headers_in.headers, r->pool, 1,
                         sizeof(ngx_table_elt_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* A subrequest that was dropped before it ran gives back its count. */
static void
ngx_pcap_api_dropped_handler(ngx_http_request_t *sr)
{
    sr->write_event_handler = ngx_http_request_empty_handler;
    ngx_http_finalize_request(sr, NGX_DONE);
}


void
ngx_pcap_api_drop_subrequest(ngx_http_request_t *sr)
{
    if (sr->upstream == NULL) {            /* it is posted, but has not run */
        sr->write_event_handler = ngx_pcap_api_dropped_handler;
        return;
    }

    if (sr->upstream->cleanup == NULL) {   /* it was redirected */
        sr->write_event_handler = ngx_pcap_api_dropped_handler;
        (void) ngx_http_post_request(sr, NULL);
        return;
    }

    sr->write_event_handler = ngx_http_request_empty_handler;
    (*sr->upstream->cleanup)(sr);
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
    ngx_uint_t           i;
    ngx_http_request_t  *sr;

    for (i = 0; i < ctx->nagents; i++) {
        ngx_pcap_api_agent_abort(&ctx->agents[i]);
    }

    sr = ctx->introspection;

    if (sr != NULL) {
        ctx->introspection = NULL;
        ngx_pcap_api_drop_subrequest(sr);
        ngx_pcap_api_give_slot(ctx);
    }
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


/* The one place that decides how a request that cannot go on ends. */
static void
ngx_pcap_api_fail(ngx_pcap_api_ctx_t *ctx, ngx_int_t rc)
{
    ngx_uint_t           status;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->header_sent || r->header_sent) {
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

    ngx_pcap_api_abort_all(ctx);

    if (r->headers_in.content_length_n > 0 && r->request_body == NULL) {
        (void) ngx_http_discard_request_body(r);
    }

    rc = ngx_pcap_api_send_problem(r, ctx, status, &ctx->fail_detail);
    ngx_pcap_api_finalize(ctx, rc);
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
    ngx_pcap_api_give_slot(ctx);

    if (ctx->row != NULL) {
        ngx_pcap_api_row_remove(pmcf->zone, ctx->row);
        ctx->row = NULL;

        ngx_log_error(NGX_LOG_NOTICE, ctx->request->connection->log, 0,
                      "pcap capture %*s of %V ended: %s, "
                      "packets:%uL dropped:%uL",
                      (size_t) NGX_PCAP_API_ID_LEN, ctx->id, &ctx->group,
                      ctx->finished ? ngx_pcap_api_status_names[ctx->status]
                                    : "cut",
                      ctx->packets, ngx_pcap_api_dropped(ctx));
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

    if (ctx->held != NULL) {
        ngx_free(ctx->held);
    }
}


static ngx_int_t
ngx_pcap_api_stop_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t                    *doc;
    u_char                     hash[32];
    ngx_int_t                  rc;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);
    ngx_pcap_api_user_hash(&ctx->identity, hash);

    rc = ngx_pcap_api_row_stop(pmcf->zone, ctx->stop_id, hash,
                               ngx_pcap_api_has_scope(&ctx->identity,
                                                  &ctx->conf->admin_scope));
    if (rc != NGX_OK) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is no running capture %*s",
                                   (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id);
    }

    doc = json_object();
    json_object_set_new(doc, "id", json_stringn((char *) ctx->stop_id,
                                                NGX_PCAP_API_ID_LEN));
    json_object_set_new(doc, "state", json_string("stopping"));

    rc = ngx_pcap_api_reply(r, NGX_HTTP_ACCEPTED, "application/json", doc);
    ngx_pcap_api_finalize(ctx, rc);

    return NGX_DONE;
}
