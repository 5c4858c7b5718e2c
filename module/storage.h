/*
 * module/storage.h: what the rooms of captures to storage do for the others; as
 * rooms.h, behind which it is included.
 */

#ifndef NGX_PCAP_API_STORAGE_H
#define NGX_PCAP_API_STORAGE_H


/* module/store_conf.c: the directives of the store */

char *ngx_pcap_api_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
void ngx_pcap_api_store_create(ngx_pcap_api_store_conf_t *conf);
char *ngx_pcap_api_store_merge(ngx_conf_t *cf,
    ngx_pcap_api_store_conf_t *conf, ngx_pcap_api_store_conf_t *prev);

/* module/store.c: captures to storage, and the way to the store */

/* JSON of a POST: NGX_OK or the refusal's status. */
ngx_int_t ngx_pcap_api_read_store(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* Behind the options of a live one: is it to be stored as well? */
ngx_int_t ngx_pcap_api_read_tee(ngx_pcap_api_ctx_t *ctx);
/* As phases, behind resolve: the store has it; its user knows, 202. */
ngx_int_t ngx_pcap_api_store_ask_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_store_tell_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* What a subrequest asks the store for, or NULL. */
ngx_pcap_api_store_ask_t *ngx_pcap_api_store_ask_of(ngx_http_request_t *r);
/* Who asks, as the store knows him. */
void ngx_pcap_api_store_owner(ngx_pcap_api_ctx_t *ctx,
    u_char hex[NGX_PCAP_API_OWNER_LEN]);
/* Asks it, one question at a time: NGX_OK or NGX_ERROR. body may be NULL. */
ngx_int_t ngx_pcap_api_store_ask(ngx_pcap_api_ctx_t *ctx, const char *method,
    const char *uri, ngx_str_t *body);
/* NGX_AGAIN while an answer may still come, else NGX_OK. */
ngx_int_t ngx_pcap_api_store_wait(ngx_pcap_api_ctx_t *ctx);
/* The JSON object that it has answered with, the caller's; or *why not. */
json_t *ngx_pcap_api_store_answer(ngx_pcap_api_ctx_t *ctx,
    const char **why);
/* As refuse, with 503. */
ngx_int_t ngx_pcap_api_store_failed(ngx_pcap_api_ctx_t *ctx,
    const char *why);
/* The path of a capture of this location, and tail behind it. */
ngx_int_t ngx_pcap_api_capture_path(ngx_pcap_api_ctx_t *ctx, u_char *id,
    const char *tail, ngx_str_t *path);

/* module/grant.c: one-time grants for the store */

/* 1: whoever is on the other side may have one. */
ngx_uint_t ngx_pcap_api_grant_peer(ngx_http_request_t *r,
    ngx_pcap_api_loc_conf_t *conf);
/* What is behind "grants/": NGX_OK, or NGX_DECLINED: it is none. */
ngx_int_t ngx_pcap_api_grant_read(ngx_pcap_api_ctx_t *ctx, ngx_str_t *hex);
/* As a phase: ctx is as behind resolve, of who was granted it. */
ngx_int_t ngx_pcap_api_grant_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* Grants ctx, which has its targets: NGX_OK with hex, or a refusal. */
ngx_int_t ngx_pcap_api_grant_put(ngx_pcap_api_ctx_t *ctx,
    u_char hex[2 * NGX_PCAP_API_GRANT_LEN]);
/* Takes the grant of ctx->stored.key back, if it is still there. */
void ngx_pcap_api_grant_drop(ngx_pcap_api_ctx_t *ctx);
/* As drop; when the store has taken it already its capture is stopped. */
void ngx_pcap_api_grant_revoke(ngx_pcap_api_ctx_t *ctx);
/*
 * Takes that of the capture ctx->stop_id back: NGX_OK; NGX_DECLINED: there is
 * none, or it is not the caller's (who may be an admin).
 */
ngx_int_t ngx_pcap_api_grant_stop(ngx_pcap_api_ctx_t *ctx);
/* The token has run out: it is of no more use. */
void ngx_pcap_api_grant_wipe(ngx_pcap_api_ctx_t *ctx);

/* module/stored.c: what the store has */

/* Of a record of the store, the JSON for users; NULL: it is none. */
json_t *ngx_pcap_api_stored_json(ngx_pcap_api_ctx_t *ctx, json_t *rec);
/*
 * For ctx->stop_id: *doc, or when there is one its member "stored". NGX_OK,
 * NGX_AGAIN, or a refusal: 404, 503.
 */
ngx_int_t ngx_pcap_api_stored_show(ngx_pcap_api_ctx_t *ctx, json_t **doc);
/* For the list: asks once, NGX_OK or NGX_ERROR; store_wait() follows. */
ngx_int_t ngx_pcap_api_stored_list_ask(ngx_pcap_api_ctx_t *ctx);
/*
 * Adds what it has to captures; *more is set when it has more. NULL, or what
 * is wrong with the store, as a clause.
 */
const char *ngx_pcap_api_stored_list(ngx_pcap_api_ctx_t *ctx,
    json_t *captures, ngx_uint_t *more);
/* module/follow.c: as a phase, behind store_ask; its end, idempotent. */
ngx_int_t ngx_pcap_api_follow_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
void ngx_pcap_api_follow_end(ngx_pcap_api_ctx_t *ctx);
/* 1: its header has gone out. */
ngx_uint_t ngx_pcap_api_follow_runs(ngx_pcap_api_ctx_t *ctx);
/* How it ended for its client: as $pcap_status. */
void ngx_pcap_api_follow_status(ngx_pcap_api_ctx_t *ctx, ngx_str_t *s);
/* module/file.c; as phases, behind forward: it goes out, or goes for good. */
ngx_int_t ngx_pcap_api_file_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_remove_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);


#endif /* NGX_PCAP_API_STORAGE_H */
