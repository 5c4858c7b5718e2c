/*
 * module/rooms.h: what one room of the module does for the others, by room. A
 * room's own helpers are static in its file. Included by
 * ngx_pcap_api_module.h, behind the types.
 *
 * Functions that return ngx_int_t say NGX_OK or NGX_ERROR unless something
 * else is written here.
 */

#ifndef NGX_PCAP_API_ROOMS_H
#define NGX_PCAP_API_ROOMS_H

#include <jansson.h>


/* module/route.c: what a request is about */

extern const ngx_pcap_api_phase_t  ngx_pcap_api_capture_phases[];
extern const ngx_pcap_api_phase_t  ngx_pcap_api_store_phases[];
extern const ngx_pcap_api_phase_t  ngx_pcap_api_tee_phases[];
extern const ngx_pcap_api_phase_t  ngx_pcap_api_status_phases[];

/*
 * path is what is below the location: the phases begin, as start() or
 * take_over() say, or it is refused.
 */
ngx_int_t ngx_pcap_api_route(ngx_http_request_t *r, ngx_str_t *path);
/* 405: these are the methods. */
ngx_int_t ngx_pcap_api_allow(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    const char *methods);

/* module/request.c: how it runs */

ngx_int_t ngx_pcap_api_handler(ngx_http_request_t *r);
/*
 * Begins ctx->phase: behind a look at rate and token, and with the body, or at
 * once. NGX_DONE, or the refusal's status.
 */
ngx_int_t ngx_pcap_api_start(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_take_over(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* Runs main soon, from the posted requests; safe from any handler. */
void ngx_pcap_api_post(ngx_pcap_api_ctx_t *ctx);

/*
 * Takes a turn of work (a step, a batch). NGX_AGAIN: the worker's other
 * connections come first, main will run again behind them. A fast agent and
 * a fast client could keep the posted requests running for ever otherwise.
 */
ngx_int_t ngx_pcap_api_turn(ngx_pcap_api_ctx_t *ctx);

/* Gives the place among the introspections in flight back; idempotent. */
void ngx_pcap_api_give_slot(ngx_pcap_api_ctx_t *ctx);

/* Ends the request: nothing of ctx may be touched after it. */
void ngx_pcap_api_finalize(ngx_pcap_api_ctx_t *ctx, ngx_int_t rc);
/*
 * As finalize: the internal location uri answers it (args may be NULL), with
 * the headers that were added. A phase ends with
 * `return ngx_pcap_api_redirect(...)`.
 */
ngx_int_t ngx_pcap_api_redirect(ngx_pcap_api_ctx_t *ctx, ngx_str_t *uri,
    ngx_str_t *args);
/* What it was before, or NULL: never one of ours. */
ngx_pcap_api_ctx_t *ngx_pcap_api_redirected(ngx_http_request_t *r);

/* module/reply.c: JSON and problem documents */

ngx_int_t ngx_pcap_api_problem_handler(ngx_http_request_t *r);
/*
 * Sets what the refusal will say and returns status, so that a phase can end
 * with `return ngx_pcap_api_refuse(...)`. It is copied to the pool, and cleaned
 * as foreign text.
 */
ngx_int_t ngx_pcap_api_refuse(ngx_pcap_api_ctx_t *ctx, ngx_uint_t status,
    const char *fmt, ...);

/* Sends a refusal; ctx may be NULL. */
ngx_int_t ngx_pcap_api_send_problem(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx, ngx_uint_t status, ngx_str_t *detail);

/* Answers with a whole JSON body; json (which may be NULL) is given up. */
ngx_int_t ngx_pcap_api_reply(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, json_t *json);

/*
 * The same, that nobody keeps, to a user; NULL with 204. A phase ends with
 * `return ngx_pcap_api_answer(...)`.
 */
ngx_int_t ngx_pcap_api_answer(ngx_pcap_api_ctx_t *ctx, ngx_uint_t status,
    json_t *json);

/* The router's request id, if we trust the router, else one of our own. */
ngx_int_t ngx_pcap_api_set_request_id(ngx_http_request_t *r, ngx_str_t *id);

/* The last request header of that name, or NULL. */
ngx_table_elt_t *ngx_pcap_api_request_header(ngx_http_request_t *r,
    const char *name);

/* Adds a response header; value is kept, not copied. */
ngx_int_t ngx_pcap_api_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/* Copies foreign text: control bytes and broken UTF-8 become "?". */
size_t ngx_pcap_api_clean_text(u_char *dst, size_t max, const u_char *src,
    size_t len);

/* module/subrequest.c: subrequests of ours */

/*
 * Starts a background subrequest to the internal location uri; its filters
 * and handler find data by post_subrequest. NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_subrequest(ngx_pcap_api_ctx_t *ctx, ngx_str_t *uri,
    ngx_http_post_subrequest_pt handler, void *data,
    ngx_http_request_t **psr);

/*
 * Ends a subrequest whose answer is not wanted: its connection is closed and
 * its done handler will not run. Never from within that subrequest's own
 * filters or handlers.
 */
void ngx_pcap_api_drop_subrequest(ngx_http_request_t *sr);

/* module/fetch.c: one whole answer of an internal location */

/*
 * Starts fetching uri, which has to live as long as the request, as f, which
 * is the caller's; its body may have up to max bytes. main runs again when
 * f->done is set: then there is an answer, or there will be none. NGX_OK or
 * NGX_ERROR. The deadline is the caller's.
 */
ngx_int_t ngx_pcap_api_fetch(ngx_pcap_api_ctx_t *ctx, ngx_str_t *uri,
    size_t max, ngx_pcap_api_fetch_t *f);

/*
 * Gives data back and, when it is still under way, ends it; for an answer
 * that was read or is no longer wanted. Idempotent, also for one that was
 * never begun. Never from within a filter or handler of the subrequest.
 */
void ngx_pcap_api_fetch_drop(ngx_pcap_api_fetch_t *f);

/*
 * NULL for a whole answer with status 200, else why it is none, as a clause
 * for a problem's detail ("its answer is cut").
 */
const char *ngx_pcap_api_fetch_failed(ngx_pcap_api_fetch_t *f);

/* The fetch that a subrequest belongs to, or NULL. */
ngx_pcap_api_fetch_t *ngx_pcap_api_fetch_of(ngx_http_request_t *r);
/* For the filters. */
ngx_int_t ngx_pcap_api_fetch_header(ngx_http_request_t *sr,
    ngx_pcap_api_fetch_t *f);
ngx_int_t ngx_pcap_api_fetch_body(ngx_pcap_api_fetch_t *f, ngx_chain_t *in);

/* module/options.c: the query string or the form */

ngx_int_t ngx_pcap_api_default_options(ngx_pcap_api_ctx_t *ctx);
/* One pair, which is kept, not copied: NGX_OK or the refusal's status. */
ngx_int_t ngx_pcap_api_take_option(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair);
/*
 * The body as one piece of memory; an empty one has no data. NGX_OK,
 * NGX_DECLINED (it is too long), NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_body_text(ngx_http_request_t *r, ngx_str_t *text);
/* Query and, when it was POSTed, form: NGX_OK or the refusal's status. */
ngx_int_t ngx_pcap_api_read_options(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);

/* module/auth.c: who asks */

ngx_int_t ngx_pcap_api_take_token(ngx_pcap_api_ctx_t *ctx);
/*
 * As take_token, for a token that is known; its bytes are kept, not copied.
 * NGX_OK or what a phase says.
 */
ngx_int_t ngx_pcap_api_set_token(ngx_pcap_api_ctx_t *ctx, ngx_str_t *token);
ngx_int_t ngx_pcap_api_auth_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* As refuse, with 401 and invalid_token. why is copied. */
ngx_int_t ngx_pcap_api_unauthorized(ngx_pcap_api_ctx_t *ctx, const char *why);
/*
 * A place among the token checks under way: NGX_OK, or a prepared refusal
 * (429: rate of the address, 503: all are taken).
 */
ngx_int_t ngx_pcap_api_take_slot(ngx_pcap_api_ctx_t *ctx);
/*
 * Makes claims (NULL: there are none) the verdict of the request and of the
 * cache. NGX_OK, also for "no", which leaves ctx->identity.active 0; or
 * NGX_ERROR. claims stays the caller's.
 */
ngx_int_t ngx_pcap_api_take_claims(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx, json_t *claims);
/* NULL, or why this can be no bearer token (RFC 6750 2.1). */
const char *ngx_pcap_api_token_wrong(ngx_str_t *token);
/* 1 if the identity holds that scope */
ngx_uint_t ngx_pcap_api_has_scope(ngx_pcap_api_identity_t *id,
    ngx_str_t *scope);

/* module/setters.c: directives */

char *ngx_pcap_api_cidrs(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pcap_api_bosh(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pcap_api_cf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pcap_api_cf_opt_in(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_pcap_api_cf_exclude(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_pcap_api_check_uri(ngx_conf_t *cf, void *post, void *data);
/* A level that says one of the two ways inherits neither. */
void ngx_pcap_api_merge_token_check(ngx_pcap_api_loc_conf_t *conf,
    ngx_pcap_api_loc_conf_t *prev);
/*
 * For an enabled location: exactly one of the two ways, with all it needs.
 * Sets conf->env, the digest of where its users come from.
 */
char *ngx_pcap_api_check_token_check(ngx_conf_t *cf,
    ngx_pcap_api_loc_conf_t *conf);

/* module/claims.c: claims to an identity */

/* NGX_OK with id->active, NGX_DECLINED for no identity, NGX_ERROR. */
ngx_int_t ngx_pcap_api_read_identity(ngx_http_request_t *r, json_t *doc,
    ngx_pcap_api_loc_conf_t *conf, ngx_pcap_api_identity_t *id);

/* Is it meant for us, and valid now? Sets id->exp. */
ngx_uint_t ngx_pcap_api_claims_fit(ngx_pcap_api_loc_conf_t *conf, json_t *doc,
    ngx_pcap_api_identity_t *id);

/* module/client_token.c: the token by which this API introspects */

/* That of a location, none yet; NULL when memory is out. */
ngx_pcap_api_client_token_t *ngx_pcap_api_client_create(ngx_conf_t *cf);
/* What a phase returns; NGX_OK: there is one, or none is configured. */
ngx_int_t ngx_pcap_api_client_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* The endpoint has refused it; 1: worth asking once more, from the phase on. */
ngx_uint_t ngx_pcap_api_client_refused(ngx_pcap_api_ctx_t *ctx);
/* The request ends: its fetch is no longer the one that others wait for. */
void ngx_pcap_api_client_release(ngx_pcap_api_ctx_t *ctx);
/* The token for sr, the introspection of ctx; NULL: there is none. */
ngx_str_t *ngx_pcap_api_client_bearer(ngx_pcap_api_ctx_t *ctx,
    ngx_http_request_t *sr);

/* module/keys.c: the token check by published keys */

/* The keys of a location, none yet; NULL when memory is out. */
ngx_pcap_api_keys_t *ngx_pcap_api_keys_create(ngx_conf_t *cf);
/* What a phase returns; NGX_OK: ctx->identity is the verdict. */
ngx_int_t ngx_pcap_api_keys_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* The request ends: its fetch is no longer the one that others wait for. */
void ngx_pcap_api_keys_release(ngx_pcap_api_ctx_t *ctx);
/* What the fetch sr of ctx is to send as If-None-Match, or NULL. */
ngx_str_t *ngx_pcap_api_keys_etag(ngx_pcap_api_ctx_t *ctx,
    ngx_http_request_t *sr);

/* module/conf.c: the configuration */

void *ngx_pcap_api_create_main_conf(ngx_conf_t *cf);
void *ngx_pcap_api_create_loc_conf(ngx_conf_t *cf);
char *ngx_pcap_api_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);

/* module/zone.c: shared memory */

ngx_int_t ngx_pcap_api_zone_init(ngx_shm_zone_t *zone, void *data);

/* module/sweep.c: what workers leave that are gone */

/* A worker begins: sweeps, takes its place, will sweep again. */
ngx_int_t ngx_pcap_api_sweep_init(ngx_cycle_t *cycle);
/* It ends. */
void ngx_pcap_api_sweep_exit(ngx_cycle_t *cycle);

/* module/cache.c: verdicts on tokens */

/* NGX_OK: *id is filled from the cache (pool memory); NGX_DECLINED: not */
ngx_int_t ngx_pcap_api_cache_get(ngx_shm_zone_t *zone, ngx_pool_t *pool,
    u_char hash[32], ngx_pcap_api_identity_t *id);
void ngx_pcap_api_cache_put(ngx_shm_zone_t *zone, u_char hash[32],
    ngx_pcap_api_identity_t *id, ngx_msec_t ttl);

/* module/slots.c: token checks under way */

/*
 * How many may be taken when ctx takes one: by the check of a capture that runs
 * all that pcap_api_introspection_inflight allows, by a request fewer.
 */
ngx_uint_t ngx_pcap_api_slots(ngx_pcap_api_ctx_t *ctx);
/* NGX_OK: a slot is taken; NGX_BUSY: rate of the address; NGX_DECLINED: all */
ngx_int_t ngx_pcap_api_slot_take(ngx_shm_zone_t *zone,
    ngx_pcap_api_ctx_t *ctx, struct sockaddr *sa);
void ngx_pcap_api_slot_free(ngx_shm_zone_t *zone);

/* module/registry.c: the captures of all workers */

/* As a phase, behind the token check: the capture has a row (starting). */
ngx_int_t ngx_pcap_api_row_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* As a phase, behind resolve: its targets are in the row. */
ngx_int_t ngx_pcap_api_row_targets_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/*
 * What a row of ctx would say if it had one, for reading only: its texts are
 * those of ctx. NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_row_preview(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_row_t *row);
/* The stream has begun. */
void ngx_pcap_api_row_run(ngx_pcap_api_ctx_t *ctx);
/* Writes the capture's numbers into its row; by its own worker. */
void ngx_pcap_api_row_sync(ngx_pcap_api_ctx_t *ctx);
/*
 * The capture has ended as ctx->end and ctx->status say; its row stays for a
 * while, but is ours no more. One that never ran is taken away.
 */
void ngx_pcap_api_row_remove(ngx_shm_zone_t *zone, ngx_pcap_api_ctx_t *ctx);
/* Is a copy of a row the caller's own? */
ngx_uint_t ngx_pcap_api_row_is_own(ngx_pcap_api_row_t *row,
    ngx_pcap_api_ctx_t *ctx);
/*
 * NGX_OK: id runs or ended lately, is the caller's, and of what he asks for
 * now; NGX_ABORT: it is of something else; NGX_DECLINED: it is not there.
 */
ngx_int_t ngx_pcap_api_row_known(ngx_shm_zone_t *zone,
    ngx_pcap_api_ctx_t *ctx, u_char *id);
/*
 * Stops ctx->stop_id. NGX_OK; NGX_DONE: that was asked for before;
 * NGX_DECLINED: not there, of another environment or, for who is no admin, of
 * another user.
 */
ngx_int_t ngx_pcap_api_row_stop(ngx_shm_zone_t *zone,
    ngx_pcap_api_ctx_t *ctx);

/* module/snapshot.c: copies of rows, for those who read at leisure */

/*
 * A copy of the row ctx->stop_id, with its targets, in pool memory. NGX_OK;
 * NGX_DECLINED: not there, or not for the caller's eyes; NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_snapshot_one(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_row_t *row);
/*
 * Copies of all rows that the caller may see, those that run first, without
 * targets (targets is NULL, ntargets right); more is set when there are more
 * than are copied. NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_snapshot_all(ngx_pcap_api_ctx_t *ctx,
    ngx_array_t *rows, ngx_uint_t *more);

/* module/capture_json.c: a row as JSON */

/* Of the copy row; with its targets, if it has them. NULL: no memory. */
json_t *ngx_pcap_api_capture_json(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_row_t *row);

/* RFC 3339 as a member; digits: of the second's fraction, 0 or 3. */
void ngx_pcap_api_json_time(json_t *doc, const char *name, uint64_t ms,
    ngx_uint_t digits);

/* module/captures.c: lists, shows and stops captures */

ngx_int_t ngx_pcap_api_list_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_show_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_stop_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);

/* module/peers.c: the other nodes of this API */

char *ngx_pcap_api_node(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pcap_api_peer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pcap_api_environment(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_pcap_api_peers_create(ngx_pcap_api_peers_conf_t *conf);
void ngx_pcap_api_peers_merge(ngx_pcap_api_peers_conf_t *conf,
    ngx_pcap_api_peers_conf_t *prev);
/* For an enabled location, behind the merge of its server. */
char *ngx_pcap_api_peers_check(ngx_conf_t *cf,
    ngx_pcap_api_loc_conf_t *conf);
/* The node of a capture id: its first four digits. */
ngx_uint_t ngx_pcap_api_node_of(u_char *id);
/* The peer that a capture is of, or NULL: ours, or nobody's. */
ngx_pcap_api_peer_t *ngx_pcap_api_peer_of(ngx_pcap_api_ctx_t *ctx,
    u_char *id);
/* What a subrequest, or one that is passed on, asks a peer for, or NULL. */
ngx_pcap_api_peer_ask_t *ngx_pcap_api_peer_ask_of(ngx_http_request_t *r);
/*
 * Asks one peer, or all of them (NULL), as the method of the request says or
 * GET, for what stands below our location as path; answers of at most max
 * bytes, within ms. NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_peers_ask(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_peer_t *peer, ngx_str_t *path, size_t max, ngx_msec_t ms);
/*
 * What one peer says to the same request, as it comes: a phase ends with
 * `return ngx_pcap_api_peers_pass(...)`.
 */
ngx_int_t ngx_pcap_api_peers_pass(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_peer_t *peer, ngx_str_t *path);
/* NGX_AGAIN while an answer may still come, else NGX_OK. */
ngx_int_t ngx_pcap_api_peers_wait(ngx_pcap_api_ctx_t *ctx);
/*
 * The JSON object that a peer has answered with, the caller's; 204 has none.
 * *why: NULL, or what is wrong with the peer, as a clause.
 */
json_t *ngx_pcap_api_peer_answer(ngx_pcap_api_peer_ask_t *ask,
    const char **why);

/* module/forward.c: requests about captures of other nodes */

/*
 * As a phase, behind the token check: NGX_OK when ctx->stop_id is of this
 * node, or of none there is; else the node that has it is asked the same, and
 * the request is answered with what it says.
 */
ngx_int_t ngx_pcap_api_forward_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* As a phase: the predecessor is known, here or to its own node. */
ngx_int_t ngx_pcap_api_continue_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* module/limits.c: what requests and users may use up */

/*
 * Whose requests are counted together: the peer, or the client that a router
 * of pcap_api_trusted_routers has seen. It proves nothing.
 */
struct sockaddr *ngx_pcap_api_counted(ngx_pcap_api_ctx_t *ctx);
/*
 * A request of this address: NGX_OK, or a 429; before the token is looked at.
 * That its token was no good costs it more.
 */
ngx_int_t ngx_pcap_api_address_rate(ngx_pcap_api_ctx_t *ctx);
void ngx_pcap_api_address_failed(ngx_pcap_api_ctx_t *ctx);
/* What stands for the user in tables of the zone, never 0. */
ngx_int_t ngx_pcap_api_user_key(ngx_pcap_api_ctx_t *ctx, uint64_t *key);
/* As a phase, behind the token check: one more request of this user. */
ngx_int_t ngx_pcap_api_user_rate_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* As a phase, behind that: the options of a capture against the limits. */
ngx_int_t ngx_pcap_api_limits_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* The refusal that ngx_pcap_api_admit() wanted; not under the lock. */
ngx_int_t ngx_pcap_api_not_admitted(ngx_pcap_api_ctx_t *ctx);
/* Whose limit it is that ends it: the user's, or one of this server. */
ngx_pcap_api_end_e ngx_pcap_api_limit_end(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_end_e end);
/* The value of a limit of this server, for the message, or NULL. */
const char *ngx_pcap_api_limit_detail(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_end_e end);
/* 1: no packet has come for pcap_api_idle_timeout. */
ngx_uint_t ngx_pcap_api_idle(ngx_pcap_api_ctx_t *ctx);
/* What this server limits, as text; empty: nothing. Made once. */
ngx_str_t *ngx_pcap_api_limits_text(ngx_pcap_api_ctx_t *ctx);

/* module/exclude.c: what is never captured */

/*
 * 1: that group (NULL: any of the deployment's) may never be captured. Case
 * does not matter: a Director's database may not look at it.
 */
ngx_uint_t ngx_pcap_api_bosh_excluded(ngx_pcap_api_ctx_t *ctx,
    ngx_str_t *group);

/* module/limits_conf.c: the directives of limits */

extern const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_count;
extern const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_duration;
extern const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_retention;
extern const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_bytes;
extern const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_packets;
extern const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_bandwidth;
extern const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_cost;

/* The setter of every uint64_t; cmd->post is its kind. */
char *ngx_pcap_api_limit_slot(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
/* The setter of every ngx_pcap_api_rate_t. */
char *ngx_pcap_api_rate_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pcap_api_worker_cpu(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_pcap_api_max_snaplen(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_pcap_api_require_reason(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_pcap_api_bosh_exclude(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
/* NGX_OK or NGX_ERROR */
ngx_int_t ngx_pcap_api_limits_main_create(ngx_conf_t *cf,
    ngx_pcap_api_limits_main_t *limits);
void ngx_pcap_api_limits_create(ngx_pcap_api_limits_t *limits);
char *ngx_pcap_api_limits_merge(ngx_conf_t *cf, ngx_pcap_api_limits_t *conf,
    ngx_pcap_api_limits_t *prev);

/* module/pace.c: how fast captures may go on */

/* The capture takes part, from its header on; to its end (idempotent). */
void ngx_pcap_api_pace_join(ngx_pcap_api_ctx_t *ctx);
void ngx_pcap_api_pace_leave(ngx_pcap_api_ctx_t *ctx);
/*
 * Once, before they are asked: counts the agents of the capture in, up to
 * pace_leave(). Returns those of all captures of this worker, with them.
 */
ngx_uint_t ngx_pcap_api_pace_agents(ngx_pcap_api_ctx_t *ctx);
/* Before each batch: sets ctx->pace.allowance and throttled. */
void ngx_pcap_api_pace(ngx_pcap_api_ctx_t *ctx);
/* So many bytes have been handed to the client's connection. */
void ngx_pcap_api_pace_take(ngx_pcap_api_ctx_t *ctx, size_t len);
/* Says that it is held back, when it is. */
void ngx_pcap_api_pace_tell(ngx_pcap_api_ctx_t *ctx);
/* module/beside.c: requests of our own beside a capture */

/*
 * Makes one that will run phases for the capture, whose connection, group and
 * options it uses: it has to be freed before the capture's request goes.
 * NULL: no memory.
 */
ngx_pcap_api_ctx_t *ngx_pcap_api_beside_create(ngx_pcap_api_ctx_t *capture,
    const ngx_pcap_api_phase_t *phases);
/*
 * Goes on; to be called with every tick. NGX_AGAIN, or what the last phase
 * said: NGX_OK, NGX_ERROR, or a refusal with fail_detail.
 */
ngx_int_t ngx_pcap_api_beside_run(ngx_pcap_api_ctx_t *ctx);
/* Ends it at any time, but not from within its phases. */
void ngx_pcap_api_beside_free(ngx_pcap_api_ctx_t *ctx);

/*
 * module/rights.c: the right of a capture that runs, or of an archive that goes
 * out: that one has ctx->end and ctx->stopping set, and ends itself.
 */

/* The stream begins. */
void ngx_pcap_api_rights_begin(ngx_pcap_api_ctx_t *ctx);
/* With every tick of it: checks, and ends it. */
void ngx_pcap_api_rights_watch(ngx_pcap_api_ctx_t *ctx);
/* The capture ends; idempotent. */
void ngx_pcap_api_rights_release(ngx_pcap_api_ctx_t *ctx);

/* module/token_slot.c: a fresh token for a capture that runs */

/* As a phase, behind the token check: for ctx->stop_id; 204. */
ngx_int_t ngx_pcap_api_token_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/*
 * That of the capture's row, from the heap and the caller's from now on, and
 * its exp; nothing of it is left in the row. NGX_DECLINED: there is none.
 */
ngx_int_t ngx_pcap_api_token_take(ngx_pcap_api_ctx_t *ctx, ngx_str_t *token,
    time_t *exp);

/* module/drain.c: the end of a worker */

void ngx_pcap_api_drain_create(ngx_conf_t *cf, ngx_pcap_api_drain_conf_t *d);
/* When all directives are read: NGX_OK, or NGX_ERROR, which is logged. */
ngx_int_t ngx_pcap_api_drain_check(ngx_pcap_api_drain_conf_t *d);
/* A new configuration; in the master. */
ngx_int_t ngx_pcap_api_drain_module(ngx_cycle_t *cycle);
/* A worker begins. */
void ngx_pcap_api_drain_worker(ngx_cycle_t *cycle);
/* A worker exits. */
void ngx_pcap_api_drain_exit(ngx_cycle_t *cycle);
/*
 * With every step of a stream: ends it when this worker has to go. NGX_OK, or
 * NGX_ERROR: there is no more time for anything.
 */
ngx_int_t ngx_pcap_api_drain(ngx_pcap_api_ctx_t *ctx);
/* The same of one that only follows: it is cut; its capture is not ours. */
ngx_int_t ngx_pcap_api_drain_follower(ngx_pcap_api_ctx_t *ctx);

/* module/status.c: what works */

ngx_int_t ngx_pcap_api_status_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* A use or a probe has shown it. */
void ngx_pcap_api_health_set(ngx_pcap_api_health_t *h, ngx_uint_t works);
/*
 * NGX_OK, NGX_DECLINED (it does not work), NGX_AGAIN (the caller has to find
 * out and to set it), NGX_BUSY (somebody is finding out).
 */
ngx_int_t ngx_pcap_api_health_get(ngx_pcap_api_health_t *h);

/* module/agent_uri.c: what agents are asked */

/* Sets ctx->agent_uri: NGX_OK, NGX_ERROR, or 400 when it is too long. */
ngx_int_t ngx_pcap_api_agent_uri(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/*
 * The last address of X-Forwarded-For, what a router itself has seen: NGX_OK;
 * else there is none. Of use if the peer is a router that we trust.
 */
ngx_int_t ngx_pcap_api_forwarded_for(ngx_http_request_t *r,
    ngx_addr_t *addr);

/* 1: the connection is one of TLS. */
ngx_uint_t ngx_pcap_api_is_tls(ngx_http_request_t *r);
/*
 * 1: it comes by a trusted router or another node, whose word on the client's
 * address and the request id is taken.
 */
ngx_uint_t ngx_pcap_api_is_router(ngx_http_request_t *r,
    ngx_pcap_api_loc_conf_t *conf);
/*
 * The client's address: of a trusted router's client the one that the router
 * reports. Of the connection or of the pool.
 */
void ngx_pcap_api_client_addr(ngx_http_request_t *r,
    ngx_pcap_api_loc_conf_t *conf, ngx_str_t *text);

/* module/open.c: the subrequests to agents */

ngx_int_t ngx_pcap_api_open_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_agent_done(ngx_http_request_t *sr, void *data,
    ngx_int_t rc);
ngx_int_t ngx_pcap_api_agent_header(ngx_http_request_t *sr,
    ngx_pcap_api_agent_t *a);
ngx_int_t ngx_pcap_api_agent_body(ngx_http_request_t *sr,
    ngx_pcap_api_agent_t *a, ngx_chain_t *in);
/* Cuts an agent: its connection is closed, what is here stays usable. */
void ngx_pcap_api_agent_abort(ngx_pcap_api_agent_t *a);
/* As abort, with the reason; counts it as failed and tells the client. */
void ngx_pcap_api_agent_fail(ngx_pcap_api_agent_t *a, ngx_pcap_api_msg_e type,
    const char *fmt, ...);
/* Asks the agent to end: shuts down our sending side, nothing else. */
void ngx_pcap_api_agent_half_close(ngx_pcap_api_agent_t *a);
/* Lets nginx read from the agent again. */
void ngx_pcap_api_agent_post(ngx_pcap_api_agent_t *a);

/* Fails an agent whose subrequest ended before it streamed. */
void ngx_pcap_api_agent_refused(ngx_pcap_api_agent_t *a);

/* module/agent.c: scanning what came from one agent */

/* Something of this agent has changed: it is fed when main runs next. */
void ngx_pcap_api_agent_mark(ngx_pcap_api_agent_t *a);
/* Feeds every marked agent: their heads and watermarks are in the merge. */
void ngx_pcap_api_feed_dirty(ngx_pcap_api_ctx_t *ctx);
/*
 * Moves behind the head record, which has been taken, and looks at what
 * follows: NGX_OK with head set, or NGX_AGAIN (feed it later).
 */
ngx_int_t ngx_pcap_api_agent_next(ngx_pcap_api_agent_t *a);
/* Tells the merge, gives buffers back, notices the end; after a change. */
void ngx_pcap_api_agent_settle(ngx_pcap_api_agent_t *a);
/* Puts into the file how one ended that has ended well. */
void ngx_pcap_api_agent_tell(ngx_pcap_api_agent_t *a);
/* The client has taken the carry, or it was copied. */
void ngx_pcap_api_agent_carry_free(ngx_pcap_api_agent_t *a);
/* Takes the reports out of what is here and throws the records away. */
void ngx_pcap_api_agent_discard(ngx_pcap_api_agent_t *a);
/*
 * How long the agent's watermark is behind what its own best days promise,
 * in ms; 0 or less when it keeps up.
 */
ngx_msec_int_t ngx_pcap_api_agent_lag(ngx_pcap_api_agent_t *a);
/* Our wall clock, which no step of CLOCK_REALTIME moves during a capture. */
uint64_t ngx_pcap_api_now_ns(ngx_pcap_api_ctx_t *ctx);
uint64_t ngx_pcap_api_wall_base(void);
/* Frees the carry, unless the client still has it. */
void ngx_pcap_api_agent_drop_carry(ngx_pcap_api_agent_t *a);

/* It says what no agent says: it is cut. */
void ngx_pcap_api_agent_garbage(ngx_pcap_api_agent_t *a, const char *what);

/* module/agent_iface.c: the interfaces of an agent */

/* One more; an agent that fails for it has been told so. */
ngx_int_t ngx_pcap_api_agent_idb(ngx_pcap_api_agent_t *a, pcapx_block_t *b);

/* module/stream.c: the merged stream */

ngx_int_t ngx_pcap_api_stream_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/*
 * Sends, and notes whether the client blocks. A stall counts from when it
 * began to, not from the last byte of a quiet capture. NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_push(ngx_pcap_api_ctx_t *ctx, ngx_uint_t flush);
/*
 * Begins the end: intake off at all agents. What end means for the status and
 * the message is in one table, module/ends.c; detail (NULL: none) goes behind
 * its text. The first end counts.
 */
void ngx_pcap_api_stop(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_end_e end,
    const char *detail);
/* Ends at once: a limit that is exact to the record is reached. */
void ngx_pcap_api_limit(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_end_e end);

/* module/discard.c: when records are no longer taken */

/*
 * The time to drain is over, or a limit is reached: agents are asked to end,
 * what still comes of them is counted and dropped. Idempotent. Not from
 * within emit().
 */
void ngx_pcap_api_discard_begin(ngx_pcap_api_ctx_t *ctx);
/* Cuts agents that do not come to their end. */
void ngx_pcap_api_discard_watch(ngx_pcap_api_ctx_t *ctx);
/* The agent has ended: says how much was dropped. */
void ngx_pcap_api_discard_tell(ngx_pcap_api_agent_t *a);

/* module/ledger.c: what has become of every packet */

/* What an agent's interface has seen, at least. */
uint64_t ngx_pcap_api_ledger_seen(ngx_pcap_api_iface_t *f);
/* 1: its last reports agree with the records that came. */
ngx_uint_t ngx_pcap_api_ledger_fits(ngx_pcap_api_agent_t *a);
/* That of one agent, as far as it is known now. */
void ngx_pcap_api_ledger(ngx_pcap_api_agent_t *a, ngx_pcap_api_ledger_t *l);
/* That of the capture. */
void ngx_pcap_api_ledger_sum(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ledger_t *sum);
void ngx_pcap_api_ledger_add(ngx_pcap_api_ledger_t *sum,
    ngx_pcap_api_ledger_t *l);
/* What was lost of what was asked for: kernel, agent, stop. */
uint64_t ngx_pcap_api_ledger_dropped(ngx_pcap_api_ledger_t *l);
uint64_t ngx_pcap_api_dropped(ngx_pcap_api_ctx_t *ctx);
/* Into the capture's row and its targets. */
void ngx_pcap_api_ledger_sync(ngx_pcap_api_ctx_t *ctx);
/*
 * "kernel=1 agent=0 ...", with sep between, and when it is not all known how
 * much was in flight and since when; returns the end.
 */
u_char *ngx_pcap_api_ledger_text(ngx_pcap_api_ledger_t *l, char sep,
    u_char *p, u_char *last);
/* RFC 3339 in UTC with milliseconds, 24 bytes; the length. */
size_t ngx_pcap_api_time(u_char *dst, size_t max, uint64_t ns);

/* module/ends.c: why captures end */

extern const ngx_pcap_api_end_t  ngx_pcap_api_ends[];

/* Why ctx, which is over, has ended: what has no end has lost its client. */
ngx_pcap_api_end_e ngx_pcap_api_end_of(ngx_pcap_api_ctx_t *ctx);

/* module/watch.c: deadlines */

void ngx_pcap_api_watch(ngx_pcap_api_ctx_t *ctx);

/* module/record.c: one record on its way out */

/*
 * The head record of a goes out; first: it is the first of a run. NGX_OK,
 * NGX_AGAIN (no room now), NGX_DONE (it would exceed a limit), NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_emit(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a,
    ngx_uint_t first);
/* The record that was held back goes out; as above. */
ngx_int_t ngx_pcap_api_unhold(ngx_pcap_api_ctx_t *ctx);

/* module/response.c: header and trailers of a capture */

/* Sends the header of a 200 and gets the output ready. NGX_OK or NGX_ERROR. */
ngx_int_t ngx_pcap_api_send_header(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* The same of what is no capture: its fields are set. */
ngx_int_t ngx_pcap_api_begin_response(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_set_trailers(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* One by one; value stays where it is. */
ngx_int_t ngx_pcap_api_trailer(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);
ngx_int_t ngx_pcap_api_trailer_number(ngx_http_request_t *r,
    const char *name, uint64_t n);
ngx_int_t ngx_pcap_api_trailer_ledger(ngx_http_request_t *r,
    ngx_pcap_api_ledger_t *sum);

/* module/output.c: the chain to the client */

/* Room for len bytes in a stage, or NULL until the client has taken some. */
u_char *ngx_pcap_api_reserve(ngx_pcap_api_ctx_t *ctx, size_t len);
/* The reserved bytes [p, p + len) go out. */
ngx_int_t ngx_pcap_api_commit(ngx_pcap_api_ctx_t *ctx, u_char *p, size_t len);
/* Both in one, right behind the last bytes; NULL: it takes the two. */
u_char *ngx_pcap_api_append(ngx_pcap_api_ctx_t *ctx, size_t len);
/* A span of the agent's head record goes out where it lies. */
ngx_int_t ngx_pcap_api_span(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a,
    u_char *p, size_t len);
/* Memory of ngx_alloc() goes out and is freed by this room, in any case. */
ngx_int_t ngx_pcap_api_give(ngx_pcap_api_ctx_t *ctx, u_char *memory,
    size_t len);
/* The stages' memory; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_pcap_api_output_init(ngx_pcap_api_ctx_t *ctx);
/* Frees what the client will never take; for the cleanup. */
void ngx_pcap_api_output_free(ngx_pcap_api_ctx_t *ctx);
/*
 * Sends the chain. Without flush TLS may keep what does not fill a record.
 * NGX_OK, NGX_AGAIN (client blocks), NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_send(ngx_pcap_api_ctx_t *ctx, ngx_uint_t flush);
/* Takes back what the client has taken. */
void ngx_pcap_api_reap(ngx_pcap_api_ctx_t *ctx);
/*
 * What the client still has of the agents' memory is no longer theirs: their
 * carries become the chain's, upstream buffers stay until the request ends.
 */
void ngx_pcap_api_detach(ngx_pcap_api_ctx_t *ctx);

/* module/tls_send.c: large buffers go to a client with TLS uncopied. */
void ngx_pcap_api_tls_send(ngx_http_request_t *r);
/* The next request of the connection goes nginx's way again (idempotent). */
void ngx_pcap_api_tls_send_end(ngx_http_request_t *r);

/* module/blocks.c: what we write ourselves */

ngx_int_t ngx_pcap_api_write_start(ngx_pcap_api_ctx_t *ctx);
/* Queues a message: an ISB now or when there is room, then a comment. */
void ngx_pcap_api_message(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a,
    ngx_pcap_api_msg_e type, const char *fmt, ...);
/* Writes what is queued as far as there is room. */
ngx_int_t ngx_pcap_api_write_messages(ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_write_stats(ngx_pcap_api_ctx_t *ctx);
/* The last ISBs of all interfaces and the verdict. */
ngx_int_t ngx_pcap_api_write_end(ngx_pcap_api_ctx_t *ctx);
/* The comments of the next packet: one more. */
void ngx_pcap_api_attach(ngx_pcap_api_ctx_t *ctx, u_char *text, size_t len);
size_t ngx_pcap_api_verdict(ngx_pcap_api_ctx_t *ctx, u_char *dst, size_t max);
extern const char *const ngx_pcap_api_status_names[];
extern const char *const ngx_pcap_api_msg_names[];

/* module/audit.c: who did what, see docs/AUDIT.md */

/*
 * Writes the event's line, of what ctx says. NGX_OK; NGX_ERROR: the log cannot
 * be written and is not allowed to be left out. END is written once, and only
 * for what START was.
 */
ngx_int_t ngx_pcap_api_audit(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_audit_e event);
/* As a phase would: START, or a refusal, for there is no capture without. */
ngx_int_t ngx_pcap_api_audit_start(ngx_pcap_api_ctx_t *ctx);
/* As refuse: without a line nothing is what ("captured"). */
ngx_int_t ngx_pcap_api_unaudited(ngx_pcap_api_ctx_t *ctx, const char *what);
/*
 * The line of a capture whose worker died; row is a copy, with its texts. Not
 * with the zone's lock held.
 */
void ngx_pcap_api_audit_row(ngx_pcap_api_row_t *row,
    ngx_pcap_api_audit_e event);
/* module/audit_log.c: NGX_OK; NGX_DECLINED: there is no audit; NGX_ERROR */
ngx_int_t ngx_pcap_api_audit_head(ngx_pcap_api_main_conf_t *pmcf,
    ngx_pcap_api_audit_head_t *head);
/* module/audit_conf.c: pcap_api_audit */
char *ngx_pcap_api_audit_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
/* Behind the configuration: finds out where the chain goes on. */
char *ngx_pcap_api_audit_open(ngx_conf_t *cf);
/* Init module: NGX_ERROR, at a start only: workers cannot reopen the log. */
ngx_int_t ngx_pcap_api_audit_reach(ngx_cycle_t *cycle);

/* module/variables.c: $pcap_* */

ngx_int_t ngx_pcap_api_add_variables(ngx_conf_t *cf);

/* ngx_pcap_api_module.c: the rest of the filter chain */

/* The agent a subrequest goes to, or NULL. */
ngx_pcap_api_agent_t *ngx_pcap_api_agent_of(ngx_http_request_t *r);
ngx_int_t ngx_pcap_api_next_body(ngx_http_request_t *r, ngx_chain_t *in);


#endif /* NGX_PCAP_API_ROOMS_H */
