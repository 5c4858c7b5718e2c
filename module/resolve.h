/*
 * module/resolve.h: from what was asked for to agents: the resolvers, and the
 * platforms that they ask. A resolver is one file, module/resolve_NAME.c, and
 * one row in module/resolve.c.
 */

#ifndef NGX_PCAP_API_RESOLVE_H
#define NGX_PCAP_API_RESOLVE_H

#include <jansson.h>


/* module/resolve.c: what resolvers share */

/* That of the table, configured or not, or NULL. */
const ngx_pcap_api_resolver_t *ngx_pcap_api_resolver_named(ngx_str_t *name);

ngx_int_t ngx_pcap_api_resolve_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);

/* "static", also where no location has it; empty for no such number. */
ngx_str_t ngx_pcap_api_resolver_name(ngx_uint_t number);

/* The first configured resolver with that number or a higher one, or NULL. */
const ngx_pcap_api_resolver_t *ngx_pcap_api_resolver(
    ngx_pcap_api_loc_conf_t *conf, ngx_uint_t i);
/* "static, bosh", those that are configured, from p on; its end. */
u_char *ngx_pcap_api_resolver_names(ngx_pcap_api_loc_conf_t *conf, u_char *p,
    u_char *last);
/* That of "capture/NAME/REST", or NULL; path becomes REST, which has bytes. */
const ngx_pcap_api_resolver_t *ngx_pcap_api_resolver_of(
    ngx_pcap_api_loc_conf_t *conf, ngx_str_t *path);
/* What a subrequest asks a platform for, or NULL. */
ngx_pcap_api_ask_t *ngx_pcap_api_ask_of(ngx_http_request_t *r);
/* As refuse, with 403 and insufficient_scope. */
ngx_int_t ngx_pcap_api_forbidden(ngx_pcap_api_ctx_t *ctx, const char *fmt,
    ...);
/* NGX_OK if the token has one of these (NULL, none: always), else a 403. */
ngx_int_t ngx_pcap_api_need_scope(ngx_pcap_api_ctx_t *ctx,
    ngx_array_t *scopes);
/* Room for n agents: NGX_OK, NGX_ERROR, or 413 when these are too many. */
ngx_int_t ngx_pcap_api_agents_room(ngx_pcap_api_ctx_t *ctx, ngx_uint_t n);
/* The next agent, in target order; t is kept, not copied. */
void ngx_pcap_api_agent_add(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_target_t *t);

/* module/platform.c: what resolvers share that ask a platform */

/*
 * It is at fault: 503 that says so, and which one. It does not work now,
 * unless it has answered well, but nonsense about what the user asks for.
 */
ngx_int_t ngx_pcap_api_platform_failed(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask, const char *why);
/* As failed: this is not what such a platform says. */
ngx_int_t ngx_pcap_api_platform_garbage(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask);
/* The answer's JSON, the caller's; NULL: none, or it has too many values. */
json_t *ngx_pcap_api_platform_json(ngx_pcap_api_fetch_t *f);
/*
 * NGX_OK for a whole 200 of a verified peer, NGX_DECLINED for any other
 * status of one (the resolver knows what it means), else a refusal.
 */
ngx_int_t ngx_pcap_api_platform_answer(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask);
/* As failed, for a status that means nothing. */
ngx_int_t ngx_pcap_api_platform_status(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask);
/* A 401 of ours for one of the platform. */
ngx_int_t ngx_pcap_api_platform_no_token(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p);
/* Asks for ask->uri, an answer of max bytes at most: NGX_AGAIN, NGX_ERROR. */
ngx_int_t ngx_pcap_api_platform_ask(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask, size_t max);
/* The time for all questions begins; ask->data has size bytes. NULL: none. */
void *ngx_pcap_api_platform_begin(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask, size_t size);
/* Asks them in turn, up to the one without ask(); as a phase. */
ngx_int_t ngx_pcap_api_platform_run(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask,
    const ngx_pcap_api_question_t *questions);
/* The probe of a resolver by one question. */
ngx_int_t ngx_pcap_api_platform_probe(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask,
    const ngx_pcap_api_question_t *q);
/*
 * 1 for a literal address: text, whose data has NGX_SOCKADDR_STRLEN bytes,
 * becomes "ip:port", addr[16] the address in network order.
 */
ngx_uint_t ngx_pcap_api_platform_address(const char *ip, size_t len,
    ngx_uint_t port, ngx_str_t *text, u_char *addr, u_char *addr_len);
/* 1 if the address lies in one of the n ranges. */
ngx_uint_t ngx_pcap_api_platform_in(ngx_cidr_t *ranges, ngx_uint_t n,
    u_char *addr, u_char addr_len);
/* For setters: "URI [tls_name=NAME] [port=PORT]" into p; as a setter. */
char *ngx_pcap_api_platform_conf(ngx_conf_t *cf, ngx_pcap_api_platform_t *p);

/* module/resolve_static.c: targets from the configuration */

extern const ngx_pcap_api_resolver_t  ngx_pcap_api_static_resolver;

/* module/resolve_bosh.c: the instances of a BOSH deployment */

extern const ngx_pcap_api_resolver_t  ngx_pcap_api_bosh_resolver;

/* module/bosh_instances.c: what a Director says about instances */

/*
 * Reads its list into all, which only this room looks into. NGX_OK,
 * NGX_DECLINED (this is not what a Director says), NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_bosh_read(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_array_t *all);
/* Those that were asked for become agents: NGX_OK, NGX_ERROR, 404 or 413. */
ngx_int_t ngx_pcap_api_bosh_targets(ngx_pcap_api_ctx_t *ctx,
    ngx_array_t *all);

/* module/resolve_k8s.c: the pods of a Kubernetes namespace */

extern const ngx_pcap_api_resolver_t  ngx_pcap_api_k8s_resolver;

/* module/kube_merged.c: files that were captured before */

extern const ngx_pcap_api_resolver_t  ngx_pcap_api_files_resolver;

/* module/resolve_cf.c: the instances of a Cloud Foundry app */

extern const ngx_pcap_api_resolver_t  ngx_pcap_api_cf_resolver;

/* module/cf_instances.c: what a Cloud Controller says about an app */

/* All that is known of it; for the two rooms of Cloud Foundry only. */

typedef struct {
    ngx_str_t                  guid;         /* as it spells it */
    ngx_str_t                  name;         /* harmless */
    ngx_array_t                processes;    /* ngx_str_t: guids */
    ngx_uint_t                 process;      /* whose stats are next */
    ngx_array_t                instances;    /* ngx_pcap_api_cf_inst_t */
    unsigned                   stopped:1;
    unsigned                   again:1;      /* asked for what has moved */
} ngx_pcap_api_cf_app_t;

typedef struct {
    ngx_uint_t                 process;      /* place among app's */
    ngx_uint_t                 index;
    ngx_pcap_api_target_t      target;
} ngx_pcap_api_cf_inst_t;

/* All: NGX_OK, NGX_DECLINED (no Cloud Controller says that), NGX_ERROR. */

ngx_int_t ngx_pcap_api_cf_read_app(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_pcap_api_cf_app_t *app);
/* Those of the type that is asked for; 404: there is none. */
ngx_int_t ngx_pcap_api_cf_read_processes(ngx_pcap_api_ctx_t *ctx,
    json_t *doc, ngx_pcap_api_cf_app_t *app);
/* Of app->process, added to app->instances. */
ngx_int_t ngx_pcap_api_cf_read_stats(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_pcap_api_cf_app_t *app);
/* The app's space and organization, which doc includes; doc's. */
ngx_int_t ngx_pcap_api_cf_owners(json_t *doc, json_t **space, json_t **org);

/* 1: doc's annotation is "true". */
ngx_uint_t ngx_pcap_api_cf_opted_in(json_t *doc, ngx_str_t *name);
/* 0: it has that annotation, and it is not "true". */
ngx_uint_t ngx_pcap_api_cf_allows(json_t *owner, ngx_str_t *name);
/* Those that were asked for become agents: NGX_OK, NGX_ERROR or 4xx. */
ngx_int_t ngx_pcap_api_cf_targets(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_cf_app_t *app);
/* Agents that moved get their new targets out of app->instances: NGX_OK. */
ngx_int_t ngx_pcap_api_cf_follow(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_cf_app_t *app);


#endif /* NGX_PCAP_API_RESOLVE_H */
