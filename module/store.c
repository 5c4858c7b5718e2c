/*
 * module/store.c: POST /v1/captures, a capture that goes to storage: what it
 * asks for, as JSON, and the way to the store. That one gets a grant (grant.c)
 * and a description, never the token; it comes back for the capture itself.
 */

#include "ngx_pcap_api_module.h"

#include <openssl/evp.h>


ngx_pcap_api_store_ask_t *
ngx_pcap_api_store_ask_of(ngx_http_request_t *r)
{
    ngx_pcap_api_fetch_t  *f;

    f = ngx_pcap_api_fetch_of(r);

    return f != NULL && f == &f->ctx->stored.ask.fetch
           ? &f->ctx->stored.ask : NULL;
}


void
ngx_pcap_api_store_owner(ngx_pcap_api_ctx_t *ctx,
    u_char hex[NGX_PCAP_API_OWNER_LEN])
{
    u_char       hash[32];
    EVP_MD_CTX  *md;

    ngx_memzero(hash, sizeof(hash));
    md = EVP_MD_CTX_new();

    if (md == NULL || !EVP_DigestInit_ex(md, EVP_sha256(), NULL)
        || !EVP_DigestUpdate(md, ctx->conf->env, sizeof(ctx->conf->env))
        || !EVP_DigestUpdate(md, ctx->identity.id.data, ctx->identity.id.len)
        || !EVP_DigestFinal_ex(md, hash, NULL))
    {
        ngx_memcpy(hash, ctx->id, sizeof(hash));   /* nobody */
    }

    EVP_MD_CTX_free(md);
    (void) ngx_hex_dump(hex, hash, sizeof(hash));
}


ngx_int_t
ngx_pcap_api_store_ask(ngx_pcap_api_ctx_t *ctx, const char *method,
    const char *uri, ngx_str_t *body)
{
    size_t                     len;
    ngx_pcap_api_store_ask_t  *ask;

    ask = &ctx->stored.ask;
    ngx_pcap_api_fetch_drop(&ask->fetch);

    len = ngx_strlen(uri);
    ask->uri.data = ngx_pnalloc(ctx->request->pool, len);
    if (ask->uri.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ask->uri.data, uri, len);
    ask->uri.len = len;
    ask->method.data = (u_char *) method;
    ask->method.len = ngx_strlen(method);

    if (body != NULL) {
        ask->body = *body;
    } else {
        ngx_str_null(&ask->body);
    }

    ctx->stored.asked = 1;
    ask->deadline = ngx_current_msec + NGX_PCAP_API_STORE_MS;

    return ngx_pcap_api_fetch(ctx, &ctx->conf->store.uri,
                              NGX_PCAP_API_STORE_MAX, &ask->fetch);
}


ngx_int_t
ngx_pcap_api_store_wait(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_store_ask_t  *ask;

    ask = &ctx->stored.ask;

    return ask->fetch.done
           || (ngx_msec_int_t) (ngx_current_msec - ask->deadline) >= 0
           ? NGX_OK : NGX_AGAIN;
}


json_t *
ngx_pcap_api_store_answer(ngx_pcap_api_ctx_t *ctx, const char **why)
{
    json_t                *doc;
    ngx_pcap_api_fetch_t  *f;

    f = &ctx->stored.ask.fetch;
    doc = NULL;
    *why = NULL;

    if (!f->done || !f->answered) {
        *why = "it does not answer";

    } else if (f->too_long) {
        *why = "its answer is too long";

    } else if (!f->whole) {
        *why = "its answer is cut";

    } else {
        doc = json_loadb(f->len ? (char *) f->data : "", f->len,
                         JSON_REJECT_DUPLICATES, NULL);

        if (!json_is_object(doc)) {
            json_decref(doc);
            doc = NULL;
            *why = "its answer is not what a store says";
        }
    }

    if (*why != NULL) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "the store, asked by \"%V\": %s", &ctx->conf->store.uri,
                      *why);
    }

    return doc;
}


ngx_int_t
ngx_pcap_api_store_failed(ngx_pcap_api_ctx_t *ctx, const char *why)
{
    ctx->retry_after = 5;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "the store failed (\"%V\"): %s",
                               &ctx->conf->store.uri, why);
}


/* --- what is asked for, as JSON --- */

/* One value of an option; a number or a flag is taken as its text. */
static ngx_int_t
ngx_pcap_api_store_value(ngx_pcap_api_ctx_t *ctx, const char *name,
    json_t *value)
{
    u_char        *p;
    ngx_str_t      s;
    pcapx_pair_t   pair;

    u_char  number[NGX_INT64_LEN];

    if (json_is_string(value)) {
        s.data = (u_char *) json_string_value(value);
        s.len = json_string_length(value);

    } else if (json_is_integer(value) || json_is_boolean(value)) {
        s.data = number;
        s.len = ngx_sprintf(number, "%L", json_is_integer(value)
                            ? (int64_t) json_integer_value(value)
                            : (int64_t) json_is_true(value)) - number;

    } else {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "option \"%s\": a string, a number, true, false, or a "
                   "list of these is allowed", name);
    }

    /* behind it the parsers of options may write a NUL */

    p = ngx_pnalloc(ctx->request->pool, s.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, s.data, s.len);
    p[s.len] = '\0';

    pair.name = (char *) name;
    pair.name_len = ngx_strlen(name);
    pair.value = (char *) p;
    pair.value_len = s.len;

    return ngx_pcap_api_take_option(ctx, &pair);
}


static ngx_int_t
ngx_pcap_api_store_options(ngx_pcap_api_ctx_t *ctx, json_t *options)
{
    size_t       i;
    json_t      *value;
    ngx_int_t    rc;
    const char  *name;

    if (options == NULL) {
        return NGX_OK;
    }

    if (!json_is_object(options)) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                   "\"options\" has to be an object");
    }

    json_object_foreach(options, name, value) {

        if (!json_is_array(value)) {
            rc = ngx_pcap_api_store_value(ctx, name, value);
            if (rc != NGX_OK) {
                return rc;
            }

            continue;
        }

        for (i = 0; i < json_array_size(value); i++) {
            rc = ngx_pcap_api_store_value(ctx, name, json_array_get(value,
                                                                    i));
            if (rc != NGX_OK) {
                return rc;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_store_retention(ngx_pcap_api_ctx_t *ctx, uint64_t ms)
{
    ngx_pcap_api_store_conf_t  *conf;

    conf = &ctx->conf->store;

    if (ms < 1000) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "\"retention\" has to be a time of 1 s to 30 d, as "
                   "\"48h\", or a number of seconds");
    }

    if (ms > conf->max_retention) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "\"retention\": %uLs is more than "
                   "\"pcap_api_store_max_retention\" of this server, %uLs",
                   ms / 1000, conf->max_retention / 1000);
    }

    ctx->stored.retention = ms;

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_store_retention_json(ngx_pcap_api_ctx_t *ctx, json_t *value)
{
    char        err[PCAPX_ERR_LEN];
    u_char      number[NGX_INT64_LEN];
    uint64_t    ms;
    ngx_str_t   s;

    ctx->stored.retention = ctx->conf->store.retention;

    if (value == NULL) {
        return NGX_OK;
    }

    if (json_is_integer(value)) {
        s.data = number;
        s.len = ngx_sprintf(number, "%L", (int64_t) json_integer_value(value))
                - number;

    } else {
        s.data = (u_char *) json_string_value(value);
        s.len = json_string_length(value);
    }

    if (s.data == NULL
        || pcapx_parse_duration((char *) s.data, s.len, &ms, err) != PCAPX_OK)
    {
        ms = 0;
    }

    return ngx_pcap_api_store_retention(ctx, ms);
}


/* Which resolver, and what it is to find. */
static ngx_int_t
ngx_pcap_api_store_target(ngx_pcap_api_ctx_t *ctx, json_t *doc)
{
    u_char                         *p, names[64];
    ngx_str_t                       s;
    const ngx_pcap_api_resolver_t  *resolver;

    s.data = (u_char *) json_string_value(json_object_get(doc, "resolver"));
    s.len = json_string_length(json_object_get(doc, "resolver"));
    resolver = s.data ? ngx_pcap_api_resolver_named(&s) : NULL;

    if (resolver == NULL || !resolver->configured(ctx->conf)) {
        p = ngx_pcap_api_resolver_names(ctx->conf, names,
                                        names + sizeof(names));

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                   "\"resolver\" has to be one of: %*s",
                                   (size_t) (p - names), names);
    }

    s.data = (u_char *) json_string_value(json_object_get(doc, "target"));
    s.len = json_string_length(json_object_get(doc, "target"));

    if (s.len == 0 || s.len > NGX_PCAP_API_MAX_GROUP) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "\"target\" has to be the group, deployment or app, 1 to "
                   "%d bytes", NGX_PCAP_API_MAX_GROUP);
    }

    ctx->group.data = ngx_pstrdup(ctx->request->pool, &s);
    if (ctx->group.data == NULL) {
        return NGX_ERROR;
    }

    ctx->group.len = s.len;
    ctx->resolver = resolver;

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_store_members(ngx_pcap_api_ctx_t *ctx, json_t *doc)
{
    json_t      *value;
    ngx_int_t    rc;
    const char  *name;

    json_object_foreach(doc, name, value) {

        if (ngx_strcmp(name, "resolver") != 0
            && ngx_strcmp(name, "target") != 0
            && ngx_strcmp(name, "options") != 0
            && ngx_strcmp(name, "retention") != 0)
        {
            return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                       "unknown member \"%s\", allowed are resolver, target, "
                       "options, retention", name);
        }
    }

    rc = ngx_pcap_api_store_target(ctx, doc);

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_store_options(ctx, json_object_get(doc, "options"));
    }

    return rc == NGX_OK
           ? ngx_pcap_api_store_retention_json(ctx,
                                               json_object_get(doc,
                                                               "retention"))
           : rc;
}


/* Nobody is there to end it: it has to end by itself. */
static ngx_int_t
ngx_pcap_api_store_bounded(ngx_pcap_api_ctx_t *ctx)
{
    if (ctx->kube.cert) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST, "a capture to "
                   "storage needs a token, a certificate cannot be "
                   "handed on");
    }

    if (ctx->opts.continues.len) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "option \"continues\": a capture to storage continues "
                   "none");
    }

    if (ctx->opts.duration_ms == 0 && ctx->opts.max_bytes == 0
        && ctx->opts.max_packets == 0)
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "a capture to storage needs a limit: option \"duration\", "
                   "\"max_bytes\" or \"max_packets\"");
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_read_store(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t            *doc;
    ngx_int_t          rc;
    ngx_str_t          text, *type;
    json_error_t       err;

    static ngx_str_t  json = ngx_string("application/json");

    if (r->args.len) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                   "options are taken from the body only");
    }

    type = r->headers_in.content_type ? &r->headers_in.content_type->value
                                      : NULL;

    if (type == NULL || type->len < json.len
        || ngx_strncasecmp(type->data, json.data, json.len) != 0
        || (type->len > json.len && type->data[json.len] != ';'
            && type->data[json.len] != ' '))
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                   "a capture to storage is asked for as "
                                   "%V", &json);
    }

    rc = ngx_pcap_api_body_text(r, &text);

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                   "the body is longer than %d bytes",
                                   NGX_PCAP_API_MAX_FORM);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    doc = json_loadb(text.len ? (char *) text.data : "", text.len,
                     JSON_REJECT_DUPLICATES, &err);

    if (doc == NULL) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                   "the body has to be a JSON object: %s",
                                   err.text);
    }

    rc = json_is_object(doc)
         ? ngx_pcap_api_store_members(ctx, doc)
         : ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                               "the body has to be a JSON object");
    json_decref(doc);

    return rc == NGX_OK ? ngx_pcap_api_store_bounded(ctx) : rc;
}


ngx_int_t
ngx_pcap_api_read_tee(ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (!ctx->opts.store) {
        return ctx->opts.retention_ms == 0 ? NGX_OK
               : ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                     "option \"retention\" goes with "
                                     "\"store=1\"");
    }

    ctx->phase = ngx_pcap_api_tee_phases;
    ctx->stored.retention = ctx->conf->store.retention;

    rc = ctx->opts.retention_ms == 0 ? NGX_OK
         : ngx_pcap_api_store_retention(ctx, ctx->opts.retention_ms);

    return rc == NGX_OK ? ngx_pcap_api_store_bounded(ctx) : rc;
}


/* --- to the store, and back to the user --- */

ngx_int_t
ngx_pcap_api_capture_path(ngx_pcap_api_ctx_t *ctx, u_char *id,
    const char *tail, ngx_str_t *path)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(ctx->request, ngx_http_core_module);

    path->len = clcf->name.len + sizeof("captures/") - 1
                + NGX_PCAP_API_ID_LEN + ngx_strlen(tail);

    path->data = ngx_pnalloc(ctx->request->pool, path->len);
    if (path->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_snprintf(path->data, path->len, "%Vcaptures/%*s%s",
                        &clcf->name, (size_t) NGX_PCAP_API_ID_LEN, id, tail);

    return NGX_OK;
}


/* All that is known of the capture and does not change. */
static json_t *
ngx_pcap_api_store_about(ngx_pcap_api_ctx_t *ctx)
{
    u_char              env[64];
    json_t             *doc;
    ngx_uint_t          i;
    ngx_pcap_api_row_t  row;

    static const char *const  gone[] = {
        "id", "node", "state", "own", "packets", "bytes", "sent_bytes",
        "dropped", "late", "ledger"
    };

    if (ngx_pcap_api_row_preview(ctx, &row) != NGX_OK) {
        return NULL;
    }

    doc = ngx_pcap_api_capture_json(ctx, &row);

    for (i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
        (void) json_object_del(doc, gone[i]);
    }

    (void) ngx_hex_dump(env, ctx->conf->env, 32);
    json_object_set_new(doc, "env", json_stringn((char *) env, 64));
    json_object_set_new(doc, "format",
                        json_string(ctx->opts.pcapng ? "pcapng" : "pcap"));

    return doc;
}


/*
 * The name by which this server is found on the unix socket: its own, if it is
 * one that a URL can have.
 */
static json_t *
ngx_pcap_api_store_host(ngx_pcap_api_ctx_t *ctx)
{
    u_char                    *p;
    ngx_str_t                  name;
    ngx_http_core_srv_conf_t  *cscf;

    cscf = ngx_http_get_module_srv_conf(ctx->request, ngx_http_core_module);
    name = cscf->server_name;

    for (p = name.data; p < name.data + name.len; p++) {
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
              || (*p >= '0' && *p <= '9') || *p == '-' || *p == '.'))
        {
            return json_string("localhost");
        }
    }

    return name.len ? json_stringn((char *) name.data, name.len)
                    : json_string("localhost");
}


static ngx_int_t
ngx_pcap_api_store_body(ngx_pcap_api_ctx_t *ctx,
    u_char grant[2 * NGX_PCAP_API_GRANT_LEN], ngx_str_t *body)
{
    char                      *text;
    json_t                    *doc, *about;
    u_char                     owner[NGX_PCAP_API_OWNER_LEN];
    ngx_http_core_loc_conf_t  *clcf;

    about = ngx_pcap_api_store_about(ctx);
    if (about == NULL) {
        return NGX_ERROR;
    }

    clcf = ngx_http_get_module_loc_conf(ctx->request, ngx_http_core_module);
    ngx_pcap_api_store_owner(ctx, owner);

    doc = json_object();
    json_object_set_new(doc, "id", json_stringn((char *) ctx->id,
                                                NGX_PCAP_API_ID_LEN));
    json_object_set_new(doc, "grant",
                        json_stringn((char *) grant,
                                     2 * NGX_PCAP_API_GRANT_LEN));
    json_object_set_new(doc, "path",
                        json_sprintf("%.*sgrants/", (int) clcf->name.len,
                                     clcf->name.data));
    json_object_set_new(doc, "host", ngx_pcap_api_store_host(ctx));
    json_object_set_new(doc, "owner", json_stringn((char *) owner,
                                                   sizeof(owner)));
    json_object_set_new(doc, "retention",
                        json_integer((json_int_t) (ctx->stored.retention
                                                   / 1000)));
    json_object_set_new(doc, "about", about);

    if (ctx->opts.store) {
        json_object_set_new(doc, "live", json_true());
    }

    text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);

    if (text == NULL) {
        return NGX_ERROR;
    }

    body->len = ngx_strlen(text);
    body->data = ngx_pnalloc(ctx->request->pool, body->len);

    if (body->data != NULL) {
        ngx_memcpy(body->data, text, body->len);
    }

    free(text);

    return body->data ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_pcap_api_store_begin(ngx_pcap_api_ctx_t *ctx)
{
    u_char     grant[2 * NGX_PCAP_API_GRANT_LEN];
    ngx_int_t  rc;
    ngx_str_t  body;

    ngx_pcap_api_client_addr(ctx->request, ctx->conf, &ctx->client);

    rc = ngx_pcap_api_grant_put(ctx, grant);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx->stored.promised = 1;

    return ngx_pcap_api_store_body(ctx, grant, &body) == NGX_OK
           && ngx_pcap_api_store_ask(ctx, "POST", "/captures", &body)
              == NGX_OK
           ? NGX_AGAIN : NGX_ERROR;
}


/* The store does not take it: what it says is for the user. */
static ngx_int_t
ngx_pcap_api_store_refused(ngx_pcap_api_ctx_t *ctx, json_t *doc)
{
    ngx_int_t    rc;
    ngx_uint_t   status;
    const char  *detail;

    status = ctx->stored.ask.fetch.status;
    detail = json_string_value(json_object_get(doc, "detail"));

    if (detail == NULL
        || (status != NGX_HTTP_TOO_MANY_REQUESTS
            && status != NGX_HTTP_SERVICE_UNAVAILABLE
            && status != NGX_HTTP_INSUFFICIENT_STORAGE))
    {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "the store, asked by \"%V\", does not take a capture: "
                      "%ui, %s", &ctx->conf->store.uri, status,
                      detail ? detail : "without a word");

        return ngx_pcap_api_store_failed(ctx, "it does not take the capture");
    }

    rc = ngx_pcap_api_refuse(ctx, status, "%s", detail);

    /* a quota does not go by waiting */

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        ctx->retry_after = 60;
    }

    return rc;
}


ngx_int_t
ngx_pcap_api_store_ask_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t      *doc;
    ngx_int_t    rc;
    const char  *why;

    if (!ctx->stored.asked) {
        return ngx_pcap_api_store_begin(ctx);
    }

    if (ngx_pcap_api_store_wait(ctx) != NGX_OK) {
        return NGX_AGAIN;
    }

    doc = ngx_pcap_api_store_answer(ctx, &why);

    if (why != NULL || ctx->stored.ask.fetch.status != NGX_HTTP_CREATED) {
        rc = why ? ngx_pcap_api_store_failed(ctx, why)
                 : ngx_pcap_api_store_refused(ctx, doc);
        json_decref(doc);

        return rc;
    }

    ctx->stored.record = doc;

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_store_tell_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t     *doc;
    ngx_str_t   location;

    doc = ngx_pcap_api_stored_json(ctx, ctx->stored.record);

    if (doc == NULL) {
        return ngx_pcap_api_store_failed(ctx, "its answer is not what a "
                                         "store says");
    }

    ctx->stored.promised = 0;

    if (ngx_pcap_api_capture_path(ctx, ctx->id, "", &location) == NGX_OK) {
        (void) ngx_pcap_api_add_header(r, "Location", &location);
    }

    return ngx_pcap_api_answer(ctx, NGX_HTTP_ACCEPTED, doc);
}
