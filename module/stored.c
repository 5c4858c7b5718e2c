/*
 * module/stored.c: captures that the store has, or had: in the list, shown,
 * downloaded and removed. What the store says of one is a record; who may do
 * what with it is decided here.
 *
 * To read a file is a right of its own: its owner has it, and who holds
 * pcap_api_store_reader_scope; an admin may list and remove, but not read.
 * For everybody else it is not there.
 */

#include "ngx_pcap_api_module.h"


/* Nothing else than what the store calls its files. */
static ngx_uint_t
ngx_pcap_api_record_file_fits(json_t *file, const char *id)
{
    size_t       len;
    const char  *s;

    s = json_string_value(file);
    len = json_string_length(file);

    return len == 0
           || (len > NGX_PCAP_API_ID_LEN
               && ngx_memcmp(s, id, NGX_PCAP_API_ID_LEN) == 0
               && (ngx_strcmp(s + NGX_PCAP_API_ID_LEN, ".pcapng") == 0
                   || ngx_strcmp(s + NGX_PCAP_API_ID_LEN, ".pcap") == 0));
}


/* 1: it is a record, with all that is read below. */
static ngx_uint_t
ngx_pcap_api_record_fits(json_t *rec)
{
    char         err[PCAPX_ERR_LEN];
    ngx_uint_t   i;
    const char  *id;

    static const char *const  texts[] = {
        "owner", "state", "status", "detail", "sha256", "file"
    };
    static const char *const  numbers[] = {
        "created", "ended", "expires", "gone", "bytes", "lost", "packets",
        "dropped"
    };

    id = json_string_value(json_object_get(rec, "id"));

    if (id == NULL
        || pcapx_valid_capture_id(id, ngx_strlen(id), err) != PCAPX_OK
        || json_string_length(json_object_get(json_object_get(rec, "about"),
                                              "env"))
           != 64)
    {
        return 0;
    }

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!json_is_string(json_object_get(rec, texts[i]))) {
            return 0;
        }
    }

    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (json_integer_value(json_object_get(rec, numbers[i])) < 0
            || !json_is_integer(json_object_get(rec, numbers[i])))
        {
            return 0;
        }
    }

    return ngx_pcap_api_record_file_fits(json_object_get(rec, "file"), id);
}


static const char *
ngx_pcap_api_record_text(json_t *rec, const char *name)
{
    return json_string_value(json_object_get(rec, name));
}


static uint64_t
ngx_pcap_api_record_number(json_t *rec, const char *name)
{
    return (uint64_t) json_integer_value(json_object_get(rec, name));
}


static ngx_uint_t
ngx_pcap_api_record_is(json_t *rec, const char *state)
{
    return ngx_strcmp(ngx_pcap_api_record_text(rec, "state"), state) == 0;
}


/* Of the caller's environment. */
static ngx_uint_t
ngx_pcap_api_record_of_env(ngx_pcap_api_ctx_t *ctx, json_t *rec)
{
    u_char  env[64];

    (void) ngx_hex_dump(env, ctx->conf->env, 32);

    return ngx_memcmp(ngx_pcap_api_record_text(json_object_get(rec, "about"),
                                               "env"),
                      env, sizeof(env))
           == 0;
}


static ngx_uint_t
ngx_pcap_api_record_is_own(ngx_pcap_api_ctx_t *ctx, json_t *rec)
{
    json_t  *owner;
    u_char   hex[NGX_PCAP_API_OWNER_LEN];

    ngx_pcap_api_store_owner(ctx, hex);
    owner = json_object_get(rec, "owner");

    return json_string_length(owner) == sizeof(hex)
           && ngx_memcmp(json_string_value(owner), hex, sizeof(hex)) == 0;
}


/* His own, or of his environment and he holds that scope. */
static ngx_uint_t
ngx_pcap_api_record_for(ngx_pcap_api_ctx_t *ctx, json_t *rec,
    ngx_str_t *scope)
{
    return ngx_pcap_api_record_of_env(ctx, rec)
           && (ngx_pcap_api_record_is_own(ctx, rec)
               || ngx_pcap_api_has_scope(&ctx->identity, scope));
}


static ngx_uint_t
ngx_pcap_api_record_visible(ngx_pcap_api_ctx_t *ctx, json_t *rec)
{
    return ngx_pcap_api_record_for(ctx, rec, &ctx->conf->admin_scope)
           || ngx_pcap_api_record_for(ctx, rec,
                                      &ctx->conf->store.reader_scope);
}


static void
ngx_pcap_api_stored_time(json_t *doc, json_t *rec, const char *name)
{
    uint64_t  s;

    s = ngx_pcap_api_record_number(rec, name);

    if (s) {
        ngx_pcap_api_json_time(doc, name, s * 1000, 0);
    }
}


static void
ngx_pcap_api_stored_text(json_t *doc, json_t *rec, const char *name)
{
    if (*ngx_pcap_api_record_text(rec, name) != '\0') {
        json_object_set(doc, name, json_object_get(rec, name));
    }
}


/* What is in the store; of a record that fits. */
static json_t *
ngx_pcap_api_stored_part(ngx_pcap_api_ctx_t *ctx, json_t *rec)
{
    json_t     *doc;
    ngx_str_t   url;

    doc = json_object();

    json_object_set(doc, "state", json_object_get(rec, "state"));
    json_object_set(doc, "bytes", json_object_get(rec, "bytes"));

    if (ngx_pcap_api_record_number(rec, "lost")) {
        json_object_set(doc, "lost", json_object_get(rec, "lost"));
    }

    ngx_pcap_api_stored_text(doc, rec, "detail");
    ngx_pcap_api_stored_text(doc, rec, "sha256");
    ngx_pcap_api_stored_time(doc, rec, "expires");
    ngx_pcap_api_stored_time(doc, rec, "gone");

    if (!ngx_pcap_api_record_is(rec, "failed")
        && !ngx_pcap_api_record_is(rec, "gone")
        && ngx_pcap_api_capture_path(ctx,
               (u_char *) ngx_pcap_api_record_text(rec, "id"), "/file", &url)
           == NGX_OK)
    {
        json_object_set_new(doc, "file_url",
                            json_stringn((char *) url.data, url.len));
    }

    return doc;
}


/* As capture_json() shows a row: what the store was told, and what it knows. */
json_t *
ngx_pcap_api_stored_json(ngx_pcap_api_ctx_t *ctx, json_t *rec)
{
    json_t       *doc;
    const char   *id, *state;

    if (!ngx_pcap_api_record_fits(rec)) {
        return NULL;
    }

    doc = json_deep_copy(json_object_get(rec, "about"));
    (void) json_object_del(doc, "env");

    id = ngx_pcap_api_record_text(rec, "id");
    state = ngx_pcap_api_record_is(rec, "waiting") ? "starting"
            : ngx_pcap_api_record_is(rec, "running") ? "running" : "ended";

    json_object_set_new(doc, "id", json_string(id));
    json_object_set_new(doc, "node",
              json_integer((json_int_t) ngx_pcap_api_node_of((u_char *) id)));
    json_object_set_new(doc, "state", json_string(state));
    json_object_set_new(doc, "own",
                    json_boolean(ngx_pcap_api_record_is_own(ctx, rec)));
    json_object_set(doc, "packets", json_object_get(rec, "packets"));
    json_object_set(doc, "dropped", json_object_get(rec, "dropped"));
    ngx_pcap_api_stored_time(doc, rec, "ended");
    ngx_pcap_api_stored_text(doc, rec, "status");
    json_object_set_new(doc, "stored", ngx_pcap_api_stored_part(ctx, rec));

    return doc;
}


/* --- one --- */

static ngx_int_t
ngx_pcap_api_record_none(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                               "there is no stored capture %*s",
                               (size_t) NGX_PCAP_API_ID_LEN, ctx->stop_id);
}


static ngx_int_t
ngx_pcap_api_record_ask(ngx_pcap_api_ctx_t *ctx, const char *method)
{
    char  uri[sizeof("/captures/") + NGX_PCAP_API_ID_LEN];

    (void) ngx_snprintf((u_char *) uri, sizeof(uri), "/captures/%*s%Z",
                        (size_t) NGX_PCAP_API_ID_LEN, ctx->stop_id);

    return ngx_pcap_api_store_ask(ctx, method, uri, NULL) == NGX_OK
           ? NGX_AGAIN : NGX_ERROR;
}


/*
 * That of ctx->stop_id into ctx->stored.record: NGX_OK, NGX_AGAIN, or a
 * refusal: 404, 503.
 */
static ngx_int_t
ngx_pcap_api_record_get(ngx_pcap_api_ctx_t *ctx)
{
    json_t      *rec;
    const char  *why;

    if (ctx->stored.record != NULL) {
        return NGX_OK;
    }

    if (ctx->conf->store.uri.len == 0) {
        return ngx_pcap_api_record_none(ctx);
    }

    if (!ctx->stored.asked) {
        return ngx_pcap_api_record_ask(ctx, "GET");
    }

    if (ngx_pcap_api_store_wait(ctx) != NGX_OK) {
        return NGX_AGAIN;
    }

    rec = ngx_pcap_api_store_answer(ctx, &why);

    if (why == NULL && ctx->stored.ask.fetch.status == NGX_HTTP_NOT_FOUND) {
        json_decref(rec);
        return ngx_pcap_api_record_none(ctx);
    }

    if (why == NULL
        && (ctx->stored.ask.fetch.status != NGX_HTTP_OK
            || !ngx_pcap_api_record_fits(rec)
            || ngx_memcmp(ngx_pcap_api_record_text(rec, "id"), ctx->stop_id,
                          NGX_PCAP_API_ID_LEN)
               != 0))
    {
        why = "its answer is not what a store says";
    }

    if (why != NULL) {
        json_decref(rec);
        return ngx_pcap_api_store_failed(ctx, why);
    }

    ctx->stored.record = rec;

    return ngx_pcap_api_record_visible(ctx, rec)
           ? NGX_OK : ngx_pcap_api_record_none(ctx);
}


ngx_int_t
ngx_pcap_api_stored_show(ngx_pcap_api_ctx_t *ctx, json_t **doc)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_record_get(ctx);

    if (rc == NGX_OK && *doc == NULL) {
        *doc = ngx_pcap_api_stored_json(ctx, ctx->stored.record);

    } else if (rc == NGX_OK) {
        json_object_set_new(*doc, "stored",
                  ngx_pcap_api_stored_part(ctx, ctx->stored.record));
    }

    return rc;
}


/* --- the list --- */

ngx_int_t
ngx_pcap_api_stored_list_ask(ngx_pcap_api_ctx_t *ctx)
{
    u_char  owner[NGX_PCAP_API_OWNER_LEN];
    char    uri[sizeof("/captures?owner=") + NGX_PCAP_API_OWNER_LEN];

    if (ctx->conf->store.uri.len == 0 || ctx->stored.asked) {
        return NGX_OK;
    }

    if (ngx_pcap_api_has_scope(&ctx->identity, &ctx->conf->admin_scope)
        || ngx_pcap_api_has_scope(&ctx->identity,
                                  &ctx->conf->store.reader_scope))
    {
        return ngx_pcap_api_store_ask(ctx, "GET", "/captures", NULL);
    }

    ngx_pcap_api_store_owner(ctx, owner);
    (void) ngx_snprintf((u_char *) uri, sizeof(uri), "/captures?owner=%*s%Z",
                        sizeof(owner), owner);

    return ngx_pcap_api_store_ask(ctx, "GET", uri, NULL);
}


/* Those that are in the list already, by their ids: borrowed. */
static json_t *
ngx_pcap_api_stored_known(json_t *captures)
{
    size_t   i;
    json_t  *known, *doc;

    known = json_object();

    for (i = 0; i < json_array_size(captures); i++) {
        doc = json_array_get(captures, i);
        json_object_set(known, ngx_pcap_api_record_text(doc, "id"), doc);
    }

    return known;
}


const char *
ngx_pcap_api_stored_list(ngx_pcap_api_ctx_t *ctx, json_t *captures,
    ngx_uint_t *more)
{
    size_t       i;
    json_t      *doc, *list, *rec, *known, *row;
    const char  *why;

    if (ctx->conf->store.uri.len == 0) {
        return NULL;
    }

    doc = ngx_pcap_api_store_answer(ctx, &why);
    list = json_object_get(doc, "captures");

    if (why == NULL && (ctx->stored.ask.fetch.status != NGX_HTTP_OK
                        || !json_is_array(list)))
    {
        why = "its answer is not what a store says";
    }

    known = ngx_pcap_api_stored_known(captures);

    for (i = 0; why == NULL && i < json_array_size(list); i++) {
        rec = json_array_get(list, i);

        if (!ngx_pcap_api_record_fits(rec)
            || !ngx_pcap_api_record_visible(ctx, rec))
        {
            continue;
        }

        row = json_object_get(known, ngx_pcap_api_record_text(rec, "id"));

        if (row != NULL) {
            json_object_set_new(row, "stored",
                                ngx_pcap_api_stored_part(ctx, rec));
        } else {
            json_array_append_new(captures,
                                  ngx_pcap_api_stored_json(ctx, rec));
        }
    }

    *more |= json_is_true(json_object_get(doc, "truncated"));
    json_decref(known);
    json_decref(doc);
    ngx_pcap_api_fetch_drop(&ctx->stored.ask.fetch);

    return why;
}


/* --- its file --- */

/* It has one: NGX_OK; or why it has none. */
static ngx_int_t
ngx_pcap_api_file_there(ngx_pcap_api_ctx_t *ctx, json_t *rec)
{
    u_char    when[64];
    size_t    len;
    uint64_t  gone;

    if (ngx_pcap_api_record_is(rec, "waiting")
        || ngx_pcap_api_record_is(rec, "running"))
    {
        ctx->retry_after = 5;

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_CONFLICT,
                                   "capture %*s is still being written",
                                   (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id);
    }

    if (ngx_pcap_api_record_is(rec, "gone")) {
        gone = ngx_pcap_api_record_number(rec, "gone");
        len = ngx_pcap_api_time(when, sizeof(when), gone * 1000000000);

        return ngx_pcap_api_refuse(ctx, NGX_PCAP_API_GONE,
                                   "the file of capture %*s was removed at "
                                   "%*s", (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id, len, when);
    }

    if (ngx_pcap_api_record_is(rec, "failed")
        || *ngx_pcap_api_record_text(rec, "file") == '\0')
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "capture %*s has no file: %s",
                                   (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id,
                                   ngx_pcap_api_record_text(rec, "detail"));
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_file_header(ngx_pcap_api_ctx_t *ctx, const char *name,
    const char *fmt, const char *text)
{
    size_t      len;
    ngx_str_t   value;

    len = ngx_strlen(fmt) + ngx_strlen(text);

    value.data = ngx_pnalloc(ctx->request->pool, len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_snprintf(value.data, len, fmt, text) - value.data;

    return ngx_pcap_api_add_header(ctx->request, name, &value);
}


/* What nginx's own handler of files does not know. */
static ngx_int_t
ngx_pcap_api_file_headers(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    json_t *rec)
{
    const char  *file, *dot;

    file = ngx_pcap_api_record_text(rec, "file");
    dot = file + NGX_PCAP_API_ID_LEN;

    if (ngx_strcmp(dot, ".pcapng") == 0) {
        ngx_str_set(&r->headers_out.content_type, "application/x-pcapng");

    } else {
        ngx_str_set(&r->headers_out.content_type,
                    "application/vnd.tcpdump.pcap");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;

    if (ngx_pcap_api_add_header(r, "X-Vcap-Request-Id", &ctx->request_id)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_pcap_api_file_header(ctx, "Content-Disposition",
                                 "attachment; filename=\"%s\"", file)
        != NGX_OK
        || ngx_pcap_api_file_header(ctx, "Cache-Control", "%s",
                                    "private, no-store")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pcap_api_file_header(ctx, "X-Pcap-Sha256", "%s",
                                ngx_pcap_api_record_text(rec, "sha256"));
}


ngx_int_t
ngx_pcap_api_file_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    u_char      *p;
    json_t      *rec;
    ngx_int_t    rc;
    ngx_str_t    uri, *files;
    const char  *file;

    if (ngx_pcap_api_peer_of(ctx, ctx->stop_id) != NULL) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_IMPLEMENTED,
                                   "capture %*s is of node %ui: its file can "
                                   "be had there only",
                                   (size_t) NGX_PCAP_API_ID_LEN, ctx->stop_id,
                                   ngx_pcap_api_node_of(ctx->stop_id));
    }

    rc = ngx_pcap_api_record_get(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    rec = ctx->stored.record;

    if (!ngx_pcap_api_record_for(ctx, rec, &ctx->conf->store.reader_scope)) {
        return ngx_pcap_api_record_none(ctx);
    }

    rc = ngx_pcap_api_file_there(ctx, rec);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_DOWNLOAD) != NGX_OK) {
        return ngx_pcap_api_unaudited(ctx, "downloaded");
    }

    files = &ctx->conf->store.files;
    file = ngx_pcap_api_record_text(rec, "file");

    uri.len = files->len + ngx_strlen(file);
    uri.data = ngx_pnalloc(r->pool, uri.len);

    if (uri.data == NULL
        || ngx_pcap_api_file_headers(r, ctx, rec) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = ngx_cpymem(uri.data, files->data, files->len);
    ngx_memcpy(p, file, ngx_strlen(file));

    return ngx_pcap_api_redirect(ctx, &uri);
}


/* The second question: the store has removed it, or not. */
static ngx_int_t
ngx_pcap_api_remove_done(ngx_pcap_api_ctx_t *ctx)
{
    json_t      *doc;
    ngx_uint_t   status;
    const char  *why;

    if (ngx_pcap_api_store_wait(ctx) != NGX_OK) {
        return NGX_AGAIN;
    }

    doc = ngx_pcap_api_store_answer(ctx, &why);
    json_decref(doc);
    status = ctx->stored.ask.fetch.status;

    if (why != NULL) {
        return ngx_pcap_api_store_failed(ctx, why);
    }

    switch (status) {

    case NGX_HTTP_OK:
        return ngx_pcap_api_answer(ctx, NGX_HTTP_NO_CONTENT, NULL);

    case NGX_HTTP_NOT_FOUND:
        return ngx_pcap_api_record_none(ctx);

    case NGX_HTTP_CONFLICT:
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_CONFLICT,
                                   "capture %*s is still being written: "
                                   "stop it first",
                                   (size_t) NGX_PCAP_API_ID_LEN,
                                   ctx->stop_id);

    default:
        return ngx_pcap_api_store_failed(ctx, "it does not remove the file");
    }
}


ngx_int_t
ngx_pcap_api_remove_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->stored.removing) {
        return ngx_pcap_api_remove_done(ctx);
    }

    rc = ngx_pcap_api_record_get(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_pcap_api_record_for(ctx, ctx->stored.record,
                                 &ctx->conf->admin_scope))
    {
        return ngx_pcap_api_record_none(ctx);
    }

    if (ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_REMOVE) != NGX_OK) {
        return ngx_pcap_api_unaudited(ctx, "removed");
    }

    ctx->stored.removing = 1;

    return ngx_pcap_api_record_ask(ctx, "DELETE");
}
