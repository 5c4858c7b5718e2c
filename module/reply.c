/*
 * module/reply.c: answers that are not a capture: JSON and problem documents
 * (RFC 9457), the request id, and the cleaning of foreign text that goes into
 * them. A problem document is all a refused client ever sees.
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>
#include <openssl/rand.h>


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
    { 410, "Gone" },
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
    { 507, "Insufficient Storage" },
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


/* The request id: the router's, if we trust it, else our own. */
ngx_int_t
ngx_pcap_api_set_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    u_char                    bytes[16], *p;
    ngx_table_elt_t          *h;
    ngx_pcap_api_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_pcap_api_module);

    if (ngx_pcap_api_is_router(r, conf)) {
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


static json_t *
ngx_pcap_api_json_text(u_char *data, size_t len)
{
    u_char  text[1024];

    return json_stringn((char *) text,
                        ngx_pcap_api_clean_text(text, sizeof(text), data,
                                                len));
}


/* Answers with a whole JSON body; json is given up. */
ngx_int_t
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


ngx_int_t
ngx_pcap_api_answer(ngx_pcap_api_ctx_t *ctx, ngx_uint_t status, json_t *json)
{
    ngx_int_t            rc;
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_str_set(&value, "no-store");
    (void) ngx_pcap_api_add_header(r, "Cache-Control", &value);
    (void) ngx_pcap_api_add_header(r, "X-Vcap-Request-Id",
                                   &ctx->request_id);

    if (status == NGX_HTTP_NO_CONTENT) {
        r->headers_out.status = status;
        r->header_only = 1;
        rc = ngx_http_send_header(r);

    } else {
        rc = ngx_pcap_api_reply(r, status, "application/json", json);
    }

    ngx_pcap_api_finalize(ctx, rc);

    return NGX_DONE;
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


ngx_int_t
ngx_pcap_api_send_problem(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_uint_t status, ngx_str_t *detail)
{
    json_t     *doc, *targets;
    ngx_str_t   value, id;

    ngx_pcap_api_count_refusal(status);

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
        ctx->fail_detail.len = ngx_pcap_api_clean_text(ctx->fail_detail.data,
                                                       p - buf, buf, p - buf);
    }

    return (ngx_int_t) status;
}


/* What we had said of a file that turns out not to be there. */
static void
ngx_pcap_api_forget_headers(ngx_http_request_t *r)
{
    ngx_uint_t        i, k;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static const ngx_str_t  names[] = {
        ngx_string("X-Vcap-Request-Id"), ngx_string("Cache-Control"),
        ngx_string("Content-Disposition"), ngx_string("X-Pcap-Sha256")
    };

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            for (k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
                if (h[i].key.len == names[k].len
                    && ngx_strncasecmp(h[i].key.data, names[k].data,
                                       names[k].len)
                       == 0)
                {
                    h[i].hash = 0;         /* it is not sent */
                }
            }
        }
    }
}


/* The target of error_page: nginx's own refusals as problem documents. */
ngx_int_t
ngx_pcap_api_problem_handler(ngx_http_request_t *r)
{
    ngx_str_t    detail;
    ngx_uint_t   status;
    const char  *why;

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

    ngx_pcap_api_forget_headers(r);

    if (r->err_status) {
        r->err_status = status;
    }

    (void) ngx_http_discard_request_body(r);

    why = ngx_pcap_api_title(status);

#if (NGX_HTTP_SSL)
    if (status == NGX_HTTP_BAD_REQUEST && r->http_connection->ssl
        && !ngx_pcap_api_is_tls(r))
    {
        why = "this port speaks HTTPS";
    }
#endif

    detail.data = (u_char *) why;
    detail.len = ngx_strlen(detail.data);

    return ngx_pcap_api_send_problem(r, NULL, status, &detail);
}
