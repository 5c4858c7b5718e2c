/*
 * module/kube_rooms.h: what one room of Kubernetes does for the others, as
 * module/rooms.h does for all rooms. Included by ngx_pcap_api_module.h.
 */

#ifndef NGX_PCAP_API_KUBE_ROOMS_H
#define NGX_PCAP_API_KUBE_ROOMS_H


/* module/kube.c: questions to an API server */

/* What a subrequest asks an API server for, or NULL. */
ngx_pcap_api_kube_ctx_t *ngx_pcap_api_kube_of(ngx_http_request_t *r);
/* The token for sr, such a question; NULL: none, or not for that peer. */
ngx_str_t *ngx_pcap_api_kube_bearer(ngx_http_request_t *sr);
/*
 * Asks for the path that fmt makes (as ngx_sprintf; encoded), with body, which
 * is given up, or NULL; an answer of max bytes at most. NGX_AGAIN, NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_kube_ask(ngx_pcap_api_ctx_t *ctx, const char *method,
    json_t *body, size_t max, const char *fmt, ...);
/*
 * NGX_OK for a 200 or 201: *doc is an object, the caller's. NGX_DECLINED for
 * 404 and 409, and for a 400, 401 or 403 to the caller's own token. Else a
 * refusal.
 */
ngx_int_t ngx_pcap_api_kube_answer(ngx_pcap_api_ctx_t *ctx, json_t **doc);
/* It is at fault: 503. */
ngx_int_t ngx_pcap_api_kube_failed(ngx_pcap_api_ctx_t *ctx, const char *why);
ngx_int_t ngx_pcap_api_kube_garbage(ngx_pcap_api_ctx_t *ctx);
/* As platform_run, for a phase: its time begins with the first call. */
ngx_int_t ngx_pcap_api_kube_run(ngx_pcap_api_ctx_t *ctx,
    const ngx_pcap_api_question_t *questions);
/* The request ends: gives back what is on the heap; idempotent. */
void ngx_pcap_api_kube_end(ngx_pcap_api_ctx_t *ctx);
/* 1: a name as Kubernetes has them, of max bytes at most. */
ngx_uint_t ngx_pcap_api_kube_name_fits(const u_char *p, size_t len,
    size_t max);

/* module/kube_conf.c: directives */

char *ngx_pcap_api_kube(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pcap_api_kube_authentication(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_pcap_api_kube_audience(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_pcap_api_kube_oidc(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_pcap_api_kube_agents(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_pcap_api_kube_node(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
extern ngx_conf_num_bounds_t  ngx_pcap_api_kube_downloads_range;
void ngx_pcap_api_kube_create(ngx_pcap_api_kube_conf_t *conf);
/* Before the token check of the location is merged. */
void ngx_pcap_api_kube_merge(ngx_pcap_api_loc_conf_t *conf,
    ngx_pcap_api_loc_conf_t *prev);
/* For an enabled location. */
char *ngx_pcap_api_kube_check(ngx_conf_t *cf, ngx_pcap_api_loc_conf_t *conf);

/* module/kube_auth.c: the token check */

/* What a phase returns; NGX_OK: ctx->kube.user and the identity are set. */
ngx_int_t ngx_pcap_api_kube_auth_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);

/* module/kube_cert.c: by a client certificate */

/*
 * Of a request without a token: NGX_OK: its certificate stands for one;
 * NGX_DECLINED: there is none; or a refusal.
 */
ngx_int_t ngx_pcap_api_kube_take_cert(ngx_pcap_api_ctx_t *ctx);
/* NGX_OK: ctx->kube.user is the one whose certificate it is; or a refusal. */
ngx_int_t ngx_pcap_api_kube_cert_caller(ngx_pcap_api_ctx_t *ctx);

/* module/kube_user.c: who asks */

/*
 * user, which is taken over, is who asks. NGX_OK; NGX_DECLINED: it is no
 * UserInfo; NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_kube_set_user(ngx_pcap_api_ctx_t *ctx, json_t *user);
/* The same by the claims of a token. NGX_OK without a user: it does not fit. */
ngx_int_t ngx_pcap_api_kube_claims(ngx_pcap_api_ctx_t *ctx, json_t *claims);

/* module/kube_forwarder.c: on behalf of somebody else */

/*
 * NGX_OK: ctx->kube.user is whom the headers name, if ctx->kube.forwarder has
 * the right to ctx->kube.claims; NGX_DECLINED: there are none; or a refusal.
 */
ngx_int_t ngx_pcap_api_kube_forwarder(ngx_pcap_api_ctx_t *ctx);
/* Whose token it is, when he asks for somebody else; else empty. */
void ngx_pcap_api_kube_forwarder_name(ngx_pcap_api_ctx_t *ctx,
    ngx_str_t *name);

/* module/kube_access.c: rights */

/* Asks whether user may do what attributes say, which are taken over. */
ngx_int_t ngx_pcap_api_kube_ask_access(ngx_pcap_api_ctx_t *ctx, json_t *user,
    json_t *attributes);
/* NGX_OK: he may; NGX_DECLINED: he may not; or a refusal. */
ngx_int_t ngx_pcap_api_kube_take_access(ngx_pcap_api_ctx_t *ctx);
/* X-CLUSTER-ID as ctx->kube.cluster, empty: home. NGX_OK or a refusal. */
ngx_int_t ngx_pcap_api_kube_read_cluster(ngx_pcap_api_ctx_t *ctx);
/* As a phase: which cluster it is about. */
ngx_int_t ngx_pcap_api_kube_cluster_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* As a phase: the right to the files of ctx->kube.ns and name. */
ngx_int_t ngx_pcap_api_kube_right_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);

/* module/kube_share.c */

/*
 * As a phase: one more download or removal of this user, of those that he has
 * at once. It gives way with share_end(), which is idempotent.
 */
ngx_int_t ngx_pcap_api_kube_share_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
void ngx_pcap_api_kube_share_end(ngx_pcap_api_ctx_t *ctx);

/* module/kube_capture.c: PacketCaptures */

/* As a phase: ctx->kube.object, nodes and missing. */
ngx_int_t ngx_pcap_api_kube_capture_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/*
 * A node, or a file of it (else NULL), that cannot be had; why is kept. NGX_OK,
 * NGX_ERROR or a refusal.
 */
ngx_int_t ngx_pcap_api_kube_misses(ngx_pcap_api_ctx_t *ctx, ngx_str_t *node,
    ngx_str_t *file, const char *why);

/* module/kube_nodes.c: agents of nodes */

/* That of ctx->kube.nodes, or NULL. */
ngx_pcap_api_kube_node_t *ngx_pcap_api_kube_node_of(ngx_pcap_api_ctx_t *ctx,
    const u_char *name, size_t len);
/* "&NAME=VALUE", encoded; empty for an empty value. */
ngx_int_t ngx_pcap_api_kube_arg(ngx_pcap_api_ctx_t *ctx, const char *name,
    ngx_str_t *value, ngx_str_t *arg);
/*
 * Reads each item of a list. As take(): NGX_DECLINED when there is more, which
 * ctx->kube.more asks for; a list of 100 parts does not end.
 */
ngx_int_t ngx_pcap_api_kube_read_list(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_int_t (*read)(ngx_pcap_api_ctx_t *ctx, json_t *item));

/* As a phase: each node has a target, which may be unavailable. */
ngx_int_t ngx_pcap_api_kube_nodes_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);

/* module/kube_remove.c: removes files */

/* As pull_drop and pull_free of the file that is being removed. */
void ngx_pcap_api_kube_remove_drop(ngx_pcap_api_ctx_t *ctx);
void ngx_pcap_api_kube_remove_free(ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_kube_remove_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* As a phase: no names in the status; 200. */
ngx_int_t ngx_pcap_api_kube_empty_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);

/* module/kube_merged.c: all files as one */

/* Before the phases. */
ngx_int_t ngx_pcap_api_kube_merged_begin(ngx_pcap_api_ctx_t *ctx);
/* As a phase: the nodes become agents; 204 when there are none. */
ngx_int_t ngx_pcap_api_kube_merged_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* Sets ctx->agent_uri. */
ngx_int_t ngx_pcap_api_kube_merged_uri(ngx_pcap_api_ctx_t *ctx,
    ngx_msec_t heartbeat);

/* module/kube_files.c: paths */

/* 1: a path that is ours, of the right shape or not. */
ngx_uint_t ngx_pcap_api_kube_is_files(ngx_str_t *path);
/* As route(): the phases begin, or it is refused. */
ngx_int_t ngx_pcap_api_kube_route(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx, ngx_str_t *path);


#endif /* NGX_PCAP_API_KUBE_ROOMS_H */
