/*
 * module/stored.c: captures that the store has, or had: in the list, and shown.
 * What the store says of one is a record; who may see it is decided here. For
 * everybody else it is not there.
 */

#include "module/stored.h"


/* Of its numbers: bytes, packets, and seconds, which become nanoseconds. */
#define NGX_PCAP_API_RECORD_MAX  (INT64_C(1) << 53)
#define NGX_PCAP_API_RECORD_TIME  INT64_C(9000000000)


/* Nothing else than what the store calls its files. */
static ngx_uint_t
ngx_pcap_api_record_file_fits(json_t *file, const char *id)
{
    size_t       len;
    ngx_uint_t   i;
    const char  *s;

    static const char *const  suffixes[] = {
        ".pcapng", ".pcap", ".pcapng.zst", ".pcap.zst"
    };

    s = json_string_value(file);
    len = json_string_length(file);

    if (len == 0) {
        return 1;
    }

    if (len <= NGX_PCAP_API_ID_LEN
        || ngx_memcmp(s, id, NGX_PCAP_API_ID_LEN) != 0)
    {
        return 0;
    }

    for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (ngx_strcmp(s + NGX_PCAP_API_ID_LEN, suffixes[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


/* It becomes a header. */
static ngx_uint_t
ngx_pcap_api_record_digest_fits(json_t *digest)
{
    return json_string_length(digest) == 0
           || (json_string_length(digest) == 64
               && strspn(json_string_value(digest), "0123456789abcdef")
                  == 64);
}


/* A trailer. */
static ngx_uint_t
ngx_pcap_api_record_status_fits(json_t *status)
{
    ngx_uint_t  i;

    for (i = 0; i <= NGX_PCAP_API_ERROR; i++) {
        if (ngx_strcmp(json_string_value(status),
                       ngx_pcap_api_status_names[i])
            == 0)
        {
            return 1;
        }
    }

    return json_string_length(status) == 0;
}


/* As a header: nothing but what a URL may hold. */
static ngx_uint_t
ngx_pcap_api_record_url_fits(json_t *url)
{
    size_t       i, len;
    const char  *s;

    s = json_string_value(url);
    len = json_string_length(url);

    for (i = 0; i < len; i++) {
        if (s[i] <= ' ' || s[i] > '~') {
            return 0;
        }
    }

    return len > 8 && ngx_strncmp(s, "http", 4) == 0;
}


static ngx_uint_t
ngx_pcap_api_record_number_fits(json_t *n, json_int_t max)
{
    return json_is_integer(n) && json_integer_value(n) >= 0
           && json_integer_value(n) <= max;
}


/* 1: it is a record, with all that is read below. */
static ngx_uint_t
ngx_pcap_api_record_fits(json_t *rec)
{
    char         err[PCAPX_ERR_LEN];
    json_t      *n;
    ngx_uint_t   i;
    const char  *id;

    static const char *const  texts[] = {
        "owner", "state", "status", "detail", "sha256", "file"
    };
    static const char *const  numbers[] = {
        "created", "ended", "expires", "gone",      /* times */
        "bytes", "lost", "packets", "dropped"
    };
    static const char *const  newer[] = {           /* older stores have none */
        "raw", "answer"
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
        n = json_object_get(rec, numbers[i]);

        if (!ngx_pcap_api_record_number_fits(n,
                i < 4 ? NGX_PCAP_API_RECORD_TIME : NGX_PCAP_API_RECORD_MAX))
        {
            return 0;
        }
    }

    for (i = 0; i < sizeof(newer) / sizeof(newer[0]); i++) {
        n = json_object_get(rec, newer[i]);

        if (n != NULL
            && !ngx_pcap_api_record_number_fits(n, NGX_PCAP_API_RECORD_MAX))
        {
            return 0;
        }
    }

    return ngx_pcap_api_record_file_fits(json_object_get(rec, "file"), id)
           && ngx_pcap_api_record_digest_fits(json_object_get(rec, "sha256"))
           && ngx_pcap_api_record_status_fits(json_object_get(rec, "status"));
}


const char *
ngx_pcap_api_record_text(json_t *rec, const char *name)
{
    return json_string_value(json_object_get(rec, name));
}


uint64_t
ngx_pcap_api_record_number(json_t *rec, const char *name)
{
    return (uint64_t) json_integer_value(json_object_get(rec, name));
}


ngx_uint_t
ngx_pcap_api_record_is_zstd(json_t *rec)
{
    size_t       len;
    const char  *file;

    file = ngx_pcap_api_record_text(rec, "file");
    len = ngx_strlen(file);

    return len > 4 && ngx_strcmp(file + len - 4, ".zst") == 0;
}


ngx_uint_t
ngx_pcap_api_record_is(json_t *rec, const char *state)
{
    return ngx_strcmp(ngx_pcap_api_record_text(rec, "state"), state) == 0;
}


/* Where the store ends one it has a status of its own, and no numbers. */
ngx_uint_t
ngx_pcap_api_record_counted(json_t *rec)
{
    return ngx_pcap_api_record_number(rec, "answer") == NGX_HTTP_OK;
}


ngx_uint_t
ngx_pcap_api_record_is_object(json_t *rec)
{
    const char  *place;

    place = ngx_pcap_api_record_text(rec, "place");

    return place != NULL && ngx_strcmp(place, "s3") == 0;
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


ngx_uint_t
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

    if (ngx_pcap_api_record_is_zstd(rec)) {
        json_object_set_new(doc, "compression", json_string("zstd"));
        json_object_set(doc, "uncompressed_bytes",
                        json_object_get(rec, "raw"));
    }

    ngx_pcap_api_stored_text(doc, rec, "detail");
    ngx_pcap_api_stored_text(doc, rec, "sha256");
    ngx_pcap_api_stored_time(doc, rec, "expires");
    ngx_pcap_api_stored_time(doc, rec, "gone");

    if (ctx->stored.url != NULL) {
        json_object_set(doc, "download_url",
                        json_object_get(ctx->stored.url, "url"));
        ngx_pcap_api_json_time(doc, "download_expires",
             ngx_pcap_api_record_number(ctx->stored.url, "expires") * 1000,
             0);
    }

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

    if (ngx_pcap_api_record_counted(rec)) {
        json_object_set(doc, "packets", json_object_get(rec, "packets"));
        json_object_set(doc, "dropped", json_object_get(rec, "dropped"));
    }

    ngx_pcap_api_stored_time(doc, rec, "ended");
    ngx_pcap_api_stored_text(doc, rec, "status");
    json_object_set_new(doc, "stored", ngx_pcap_api_stored_part(ctx, rec));

    return doc;
}


/* --- one --- */

ngx_int_t
ngx_pcap_api_record_none(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                               "there is no stored capture %*s",
                               (size_t) NGX_PCAP_API_ID_LEN, ctx->stop_id);
}


ngx_int_t
ngx_pcap_api_record_ask(ngx_pcap_api_ctx_t *ctx, const char *method,
    const char *tail)
{
    char  uri[sizeof("/captures//url") + NGX_PCAP_API_ID_LEN];

    (void) ngx_snprintf((u_char *) uri, sizeof(uri), "/captures/%*s%s%Z",
                        (size_t) NGX_PCAP_API_ID_LEN, ctx->stop_id, tail);

    return ngx_pcap_api_store_ask(ctx, method, uri, NULL) == NGX_OK
           ? NGX_AGAIN : NGX_ERROR;
}


ngx_int_t
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
        return ngx_pcap_api_record_ask(ctx, "GET", "");
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
ngx_pcap_api_record_url(ngx_pcap_api_ctx_t *ctx)
{
    json_t      *doc;
    const char  *why;

    if (ctx->stored.url != NULL) {
        return NGX_OK;
    }

    if (!ctx->stored.url_asked) {
        ctx->stored.url_asked = 1;
        return ngx_pcap_api_record_ask(ctx, "GET", "/url");
    }

    if (ngx_pcap_api_store_wait(ctx) != NGX_OK) {
        return NGX_AGAIN;
    }

    doc = ngx_pcap_api_store_answer(ctx, &why);

    if (why == NULL
        && (ctx->stored.ask.fetch.status != NGX_HTTP_OK
            || !ngx_pcap_api_record_url_fits(json_object_get(doc, "url"))
            || json_integer_value(json_object_get(doc, "expires")) <= 0))
    {
        why = "it has no URL of the object";
    }

    if (why != NULL) {
        json_decref(doc);
        return ngx_pcap_api_store_failed(ctx, why);
    }

    ctx->stored.url = doc;

    return NGX_OK;
}


/* Where the file may be had without us, for those who may read it. */
static ngx_int_t
ngx_pcap_api_stored_url(ngx_pcap_api_ctx_t *ctx)
{
    json_t                     *rec;
    ngx_pcap_api_store_conf_t  *conf;

    rec = ctx->stored.record;
    conf = &ctx->conf->store;

    if (!conf->redirect || !ngx_pcap_api_record_is_object(rec)
        || ngx_pcap_api_record_is(rec, "gone")
        || !ngx_pcap_api_record_for(ctx, rec, &conf->reader_scope))
    {
        return NGX_OK;
    }

    return ngx_pcap_api_record_url(ctx) == NGX_AGAIN ? NGX_AGAIN : NGX_OK;
}


ngx_int_t
ngx_pcap_api_stored_show(ngx_pcap_api_ctx_t *ctx, json_t **doc)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_record_get(ctx);

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_stored_url(ctx);
    }

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
