/*
 * ngx_pcap_api_module.c: the directive table, simple setters and filter
 * registration, nothing else. What a request does is in module/.
 *
 * The module is a content handler, a header filter and a body filter in one:
 * the filters see the answers to our own subrequests and keep them out of
 * the response, everything else passes through untouched.
 */

#include "ngx_pcap_api_module.h"


static ngx_int_t ngx_pcap_api_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_pcap_api_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static char *ngx_pcap_api_enable(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_pcap_api_problem(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_pcap_api_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_pcap_api_static(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_pcap_api_scopes(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_pcap_api_check_msec(ngx_conf_t *cf, void *post, void *data);
static char *ngx_pcap_api_check_num(ngx_conf_t *cf, void *post, void *data);
static char *ngx_pcap_api_check_every(ngx_conf_t *cf, void *post, void *data);
static ngx_int_t ngx_pcap_api_init(ngx_conf_t *cf);
static ngx_int_t ngx_pcap_api_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_pcap_api_init_process(ngx_cycle_t *cycle);
static void ngx_pcap_api_exit_process(ngx_cycle_t *cycle);


/* Allowed ranges; the post handler gets the address of one of these. */

typedef struct {
    ngx_conf_post_handler_pt   handler;
    ngx_uint_t                 min;
    ngx_uint_t                 max;
    const char                *allowed;
} ngx_pcap_api_range_t;

static ngx_pcap_api_range_t  ngx_pcap_api_cache_range =
    { ngx_pcap_api_check_msec, 0, 10000, "0 to 10s" };

static ngx_pcap_api_range_t  ngx_pcap_api_valid_range =
    { ngx_pcap_api_check_msec, 1000, 86400000, "1s to 1d" };

static ngx_conf_post_t  ngx_pcap_api_uri_post = { ngx_pcap_api_check_uri };

static ngx_pcap_api_range_t  ngx_pcap_api_heartbeat_range =
    { ngx_pcap_api_check_msec, 5, 1000, "5ms to 1s" };

static ngx_pcap_api_range_t  ngx_pcap_api_timeout_range =
    { ngx_pcap_api_check_msec, 1, 86400000, "1ms to 1d" };

static ngx_pcap_api_range_t  ngx_pcap_api_skew_range =
    { ngx_pcap_api_check_msec, 0, 86400000, "0 (no check) to 1d" };

static ngx_pcap_api_range_t  ngx_pcap_api_targets_range =
    { ngx_pcap_api_check_num, 1, 10000, "1 to 10000" };

static ngx_pcap_api_range_t  ngx_pcap_api_count_range =
    { ngx_pcap_api_check_num, 1, 1024, "1 to 1024" };


static ngx_pcap_api_range_t  ngx_pcap_api_every_range =
    { ngx_pcap_api_check_every, 1000, 86400000, "0 (never), or 1s to 1d" };

static ngx_pcap_api_range_t  ngx_pcap_api_second_range =
    { ngx_pcap_api_check_msec, 1000, 86400000, "1s to 1d" };


#define NGX_PCAP_API_ANY_CONF                                                 \
    (NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF)

#define ngx_pcap_api_row(name, type, set, field, post)                        \
    { ngx_string(name),                                                       \
      NGX_PCAP_API_ANY_CONF|type,                                             \
      set,                                                                    \
      NGX_HTTP_LOC_CONF_OFFSET,                                               \
      offsetof(ngx_pcap_api_loc_conf_t, field),                               \
      (void *) post }


#define ngx_pcap_api_main_row(name, set, field, post)                         \
    { ngx_string(name),                                                       \
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,                                      \
      set,                                                                    \
      NGX_HTTP_MAIN_CONF_OFFSET,                                              \
      offsetof(ngx_pcap_api_main_conf_t, field),                              \
      (void *) post }


static ngx_command_t  ngx_pcap_api_commands[] = {

    { ngx_string("pcap_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_pcap_api_enable,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pcap_api_loc_conf_t, enable),
      NULL },

    { ngx_string("pcap_api_problem"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_pcap_api_problem,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pcap_api_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_pcap_api_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pcap_api_loc_conf_t, metrics),
      NULL },

    { ngx_string("pcap_api_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_pcap_api_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pcap_api_audit"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_pcap_api_audit_directive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pcap_api_static"),
      NGX_PCAP_API_ANY_CONF|NGX_CONF_TAKE3|NGX_CONF_TAKE4,
      ngx_pcap_api_static,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pcap_api_node"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_pcap_api_node,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    ngx_pcap_api_row("pcap_api_peers", NGX_CONF_TAKE1,
        ngx_conf_set_str_slot, peers.uri, &ngx_pcap_api_uri_post),
    ngx_pcap_api_row("pcap_api_peer", NGX_CONF_TAKE23,
        ngx_pcap_api_peer, peers, NULL),
    ngx_pcap_api_row("pcap_api_environment", NGX_CONF_TAKE1,
        ngx_pcap_api_environment, peers, NULL),

    { ngx_string("pcap_api_forwarded"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_pcap_api_loc_conf_t, peers.forwarded),
      NULL },

    ngx_pcap_api_row("pcap_api_introspection", NGX_CONF_TAKE1,
        ngx_conf_set_str_slot, introspection, NULL),
    ngx_pcap_api_row("pcap_api_client_token", NGX_CONF_TAKE1,
        ngx_conf_set_str_slot, client_uri, &ngx_pcap_api_uri_post),
    ngx_pcap_api_row("pcap_api_token_keys", NGX_CONF_TAKE1,
        ngx_conf_set_str_slot, token_keys, &ngx_pcap_api_uri_post),
    ngx_pcap_api_row("pcap_api_token_keys_valid", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, keys_valid, &ngx_pcap_api_valid_range),
    ngx_pcap_api_row("pcap_api_agents", NGX_CONF_TAKE1,
        ngx_conf_set_str_slot, agents, NULL),
    ngx_pcap_api_row("pcap_api_static_scope", NGX_CONF_1MORE,
        ngx_pcap_api_scopes, scopes, NULL),
    ngx_pcap_api_row("pcap_api_bosh",
        NGX_CONF_TAKE1|NGX_CONF_TAKE2|NGX_CONF_TAKE3,
        ngx_pcap_api_bosh, bosh, NULL),
    ngx_pcap_api_row("pcap_api_bosh_scope", NGX_CONF_1MORE,
        ngx_pcap_api_scopes, bosh_scopes, NULL),
    ngx_pcap_api_row("pcap_api_cf",
        NGX_CONF_TAKE1|NGX_CONF_TAKE2|NGX_CONF_TAKE3,
        ngx_pcap_api_cf, cf, NULL),
    ngx_pcap_api_row("pcap_api_cf_scope", NGX_CONF_1MORE,
        ngx_pcap_api_scopes, cf_scopes, NULL),
    ngx_pcap_api_row("pcap_api_cf_opt_in", NGX_CONF_TAKE12,
        ngx_pcap_api_cf_opt_in, cf_opt_in, NULL),
    ngx_pcap_api_row("pcap_api_cf_exclude", NGX_CONF_1MORE,
        ngx_pcap_api_cf_exclude, cf_exclude, NULL),
    ngx_pcap_api_row("pcap_api_admin_scope", NGX_CONF_TAKE1,
        ngx_conf_set_str_slot, admin_scope, NULL),
    ngx_pcap_api_row("pcap_api_issuer", NGX_CONF_TAKE1,
        ngx_conf_set_str_slot, issuer, NULL),
    ngx_pcap_api_row("pcap_api_audience", NGX_CONF_TAKE1,
        ngx_conf_set_str_slot, audience, NULL),
    ngx_pcap_api_row("pcap_api_token_cache", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, token_cache, &ngx_pcap_api_cache_range),
    ngx_pcap_api_row("pcap_api_introspection_rate", NGX_CONF_TAKE12,
        ngx_pcap_api_rate_slot, limits.introspection_rate, NULL),
    ngx_pcap_api_row("pcap_api_introspection_inflight", NGX_CONF_TAKE1,
        ngx_conf_set_num_slot, inflight, &ngx_pcap_api_count_range),
    ngx_pcap_api_row("pcap_api_agent_ranges", NGX_CONF_1MORE,
        ngx_pcap_api_cidrs, ranges, NULL),
    ngx_pcap_api_row("pcap_api_trusted_routers", NGX_CONF_1MORE,
        ngx_pcap_api_cidrs, routers, NULL),
    ngx_pcap_api_row("pcap_api_max_targets", NGX_CONF_TAKE1,
        ngx_conf_set_num_slot, max_targets, &ngx_pcap_api_targets_range),
    ngx_pcap_api_row("pcap_api_start_parallel", NGX_CONF_TAKE1,
        ngx_conf_set_num_slot, start_parallel, &ngx_pcap_api_count_range),
    ngx_pcap_api_row("pcap_api_start_timeout", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, start_timeout, &ngx_pcap_api_timeout_range),
    ngx_pcap_api_row("pcap_api_heartbeat", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, heartbeat, &ngx_pcap_api_heartbeat_range),
    ngx_pcap_api_row("pcap_api_heartbeat_timeout", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, heartbeat_timeout,
        &ngx_pcap_api_timeout_range),
    ngx_pcap_api_row("pcap_api_reorder_window", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, reorder_window, &ngx_pcap_api_timeout_range),
    ngx_pcap_api_row("pcap_api_client_stall", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, client_stall, &ngx_pcap_api_timeout_range),
    ngx_pcap_api_row("pcap_api_kube_zip", NGX_CONF_TAKE1,
        ngx_conf_set_enum_slot, zip, ngx_pcap_api_zip_methods),
    ngx_pcap_api_row("pcap_api_stop_timeout", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, stop_timeout, &ngx_pcap_api_timeout_range),
    ngx_pcap_api_row("pcap_api_max_clock_skew", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, max_clock_skew, &ngx_pcap_api_skew_range),
    ngx_pcap_api_row("pcap_api_reauth", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, rights.every, &ngx_pcap_api_every_range),
    ngx_pcap_api_row("pcap_api_reauth_max_age", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, rights.max_age, &ngx_pcap_api_second_range),

    { ngx_string("pcap_api_drain_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_pcap_api_main_conf_t, drain.timeout),
      &ngx_pcap_api_second_range },

    /* Kubernetes, module/kube_conf.c */

    ngx_pcap_api_row("pcap_api_kube", NGX_CONF_1MORE,
        ngx_pcap_api_kube, kube.api, NULL),
    ngx_pcap_api_row("pcap_api_kube_authentication", NGX_CONF_TAKE1,
        ngx_pcap_api_kube_authentication, kube.review, NULL),
    ngx_pcap_api_row("pcap_api_kube_audience", NGX_CONF_1MORE,
        ngx_pcap_api_kube_audience, kube.audiences, NULL),
    ngx_pcap_api_row("pcap_api_kube_client_cert", NGX_CONF_FLAG,
        ngx_conf_set_flag_slot, kube.client_cert, NULL),
    ngx_pcap_api_row("pcap_api_kube_oidc", NGX_CONF_1MORE,
        ngx_pcap_api_kube_oidc, kube.oidc, NULL),
    ngx_pcap_api_row("pcap_api_kube_agents", NGX_CONF_1MORE,
        ngx_pcap_api_kube_agents, kube.api, NULL),
    ngx_pcap_api_row("pcap_api_kube_node", NGX_CONF_TAKE2|NGX_CONF_TAKE3,
        ngx_pcap_api_kube_node, kube.agents, NULL),
    ngx_pcap_api_row("pcap_api_kube_files", NGX_CONF_FLAG,
        ngx_conf_set_flag_slot, kube.files, NULL),
    ngx_pcap_api_row("pcap_api_kube_downloads", NGX_CONF_TAKE1,
        ngx_conf_set_num_slot, kube.downloads,
        &ngx_pcap_api_kube_downloads_range),

    /* the store, module/store_conf.c */

    ngx_pcap_api_row("pcap_api_store", NGX_CONF_2MORE,
        ngx_pcap_api_store, store, NULL),
    ngx_pcap_api_row("pcap_api_store_retention", NGX_CONF_TAKE1,
        ngx_pcap_api_limit_slot, store.retention,
        &ngx_pcap_api_kind_retention),
    ngx_pcap_api_row("pcap_api_store_max_retention", NGX_CONF_TAKE1,
        ngx_pcap_api_limit_slot, store.max_retention,
        &ngx_pcap_api_kind_retention),
    ngx_pcap_api_row("pcap_api_store_unattended", NGX_CONF_TAKE1,
        ngx_conf_set_msec_slot, store.unattended,
        &ngx_pcap_api_second_range),
    ngx_pcap_api_row("pcap_api_store_reader_scope", NGX_CONF_TAKE1,
        ngx_conf_set_str_slot, store.reader_scope, NULL),

    /* limits, module/limits_conf.c */

    ngx_pcap_api_main_row("pcap_api_max_captures",
        ngx_pcap_api_limit_slot, limits.captures, &ngx_pcap_api_kind_count),
    ngx_pcap_api_main_row("pcap_api_worker_bandwidth",
        ngx_pcap_api_limit_slot, limits.bandwidth,
        &ngx_pcap_api_kind_bandwidth),
    ngx_pcap_api_main_row("pcap_api_worker_cpu",
        ngx_pcap_api_worker_cpu, limits.cpu, NULL),
    ngx_pcap_api_row("pcap_api_max_captures_per_user", NGX_CONF_TAKE1,
        ngx_pcap_api_limit_slot, limits.per_user,
        &ngx_pcap_api_kind_count),
    ngx_pcap_api_row("pcap_api_max_duration", NGX_CONF_TAKE1,
        ngx_pcap_api_limit_slot, limits.max_duration,
        &ngx_pcap_api_kind_duration),
    ngx_pcap_api_row("pcap_api_max_bytes", NGX_CONF_TAKE1,
        ngx_pcap_api_limit_slot, limits.max_bytes,
        &ngx_pcap_api_kind_bytes),
    ngx_pcap_api_row("pcap_api_max_packets", NGX_CONF_TAKE1,
        ngx_pcap_api_limit_slot, limits.max_packets,
        &ngx_pcap_api_kind_packets),
    ngx_pcap_api_row("pcap_api_bandwidth", NGX_CONF_TAKE1,
        ngx_pcap_api_limit_slot, limits.bandwidth,
        &ngx_pcap_api_kind_bandwidth),
    ngx_pcap_api_row("pcap_api_idle_timeout", NGX_CONF_TAKE1,
        ngx_pcap_api_limit_slot, limits.idle_timeout,
        &ngx_pcap_api_kind_duration),
    ngx_pcap_api_row("pcap_api_request_rate", NGX_CONF_TAKE12,
        ngx_pcap_api_rate_slot, limits.address_rate, NULL),
    ngx_pcap_api_row("pcap_api_user_rate", NGX_CONF_TAKE12,
        ngx_pcap_api_rate_slot, limits.user_rate, NULL),
    ngx_pcap_api_row("pcap_api_failed_token_cost", NGX_CONF_TAKE1,
        ngx_pcap_api_limit_slot, limits.failed_cost,
        &ngx_pcap_api_kind_cost),
    ngx_pcap_api_row("pcap_api_max_snaplen", NGX_CONF_1MORE,
        ngx_pcap_api_max_snaplen, limits.max_snaplen, NULL),
    ngx_pcap_api_row("pcap_api_require_reason", NGX_CONF_1MORE,
        ngx_pcap_api_require_reason, limits.reason, NULL),
    ngx_pcap_api_row("pcap_api_bosh_exclude", NGX_CONF_1MORE,
        ngx_pcap_api_bosh_exclude, limits.bosh_exclude, NULL),

      ngx_null_command
};


static ngx_http_module_t  ngx_pcap_api_module_ctx = {
    ngx_pcap_api_add_variables,            /* preconfiguration */
    ngx_pcap_api_init,                     /* postconfiguration */

    ngx_pcap_api_create_main_conf,         /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_pcap_api_create_loc_conf,          /* create location configuration */
    ngx_pcap_api_merge_loc_conf            /* merge location configuration */
};


ngx_module_t  ngx_pcap_api_module = {
    NGX_MODULE_V1,
    &ngx_pcap_api_module_ctx,              /* module context */
    ngx_pcap_api_commands,                 /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_pcap_api_init_module,              /* init module */
    ngx_pcap_api_init_process,             /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_pcap_api_exit_process,             /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_pcap_api_agent_t *
ngx_pcap_api_agent_of(ngx_http_request_t *r)
{
    if (r != r->main && r->post_subrequest
        && r->post_subrequest->handler == ngx_pcap_api_agent_done)
    {
        return r->post_subrequest->data;
    }

    return NULL;
}


static ngx_int_t
ngx_pcap_api_header_filter(ngx_http_request_t *r)
{
    ngx_pcap_api_pull_t   *p;
    ngx_pcap_api_agent_t  *a;
    ngx_pcap_api_fetch_t  *f;

    a = ngx_pcap_api_agent_of(r);

    if (a != NULL) {
        r->header_sent = 1;
        return ngx_pcap_api_agent_header(r, a);
    }

    f = ngx_pcap_api_fetch_of(r);

    if (f != NULL) {
        r->header_sent = 1;
        return ngx_pcap_api_fetch_header(r, f);
    }

    p = ngx_pcap_api_pull_of(r);

    if (p != NULL) {
        r->header_sent = 1;
        return ngx_pcap_api_pull_header(r, p);
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_pcap_api_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_pcap_api_pull_t   *p;
    ngx_pcap_api_agent_t  *a;
    ngx_pcap_api_fetch_t  *f;

    a = ngx_pcap_api_agent_of(r);

    if (a != NULL) {
        return ngx_pcap_api_agent_body(r, a, in);
    }

    f = ngx_pcap_api_fetch_of(r);

    if (f != NULL) {
        return ngx_pcap_api_fetch_body(f, in);
    }

    p = ngx_pcap_api_pull_of(r);

    if (p != NULL) {
        return ngx_pcap_api_pull_body(r, p, in);
    }

    return ngx_http_next_body_filter(r, in);
}


ngx_int_t
ngx_pcap_api_next_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    return ngx_http_next_body_filter(r, in);
}


static char *
ngx_pcap_api_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->name.len == 0 || clcf->name.data[0] != '/'
        || clcf->name.data[clcf->name.len - 1] != '/')
    {
        return "is allowed in a prefix location that ends with \"/\" only";
    }

    clcf->handler = ngx_pcap_api_handler;

    return ngx_conf_set_flag_slot(cf, cmd, conf);
}


static char *
ngx_pcap_api_problem(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_pcap_api_problem_handler;

    return NGX_CONF_OK;
}


static char *
ngx_pcap_api_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ssize_t                    size;
    ngx_str_t                 *value;
    ngx_pcap_api_main_conf_t  *pmcf = conf;

    if (pmcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR || size < (ssize_t) (64 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" of zone \"%V\", at least "
                           "%uz bytes are needed",
                           &value[2], &value[1], 64 * ngx_pagesize);
        return NGX_CONF_ERROR;
    }

    pmcf->zone = ngx_shared_memory_add(cf, &value[1], size,
                                       &ngx_pcap_api_module);
    if (pmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (pmcf->zone->data) {
        return "names a zone that is used otherwise";
    }

    pmcf->zone->init = ngx_pcap_api_zone_init;
    pmcf->zone->data = pmcf;

    return NGX_CONF_OK;
}


static char *
ngx_pcap_api_static(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                      err[PCAPX_ERR_LEN];
    uint16_t                   port;
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_pcap_api_target_t     *t, *other;
    ngx_pcap_api_loc_conf_t   *plcf = conf;

    value = cf->args->elts;

    if (plcf->targets == NGX_CONF_UNSET_PTR) {
        plcf->targets = ngx_array_create(cf->pool, 8,
                                         sizeof(ngx_pcap_api_target_t));
        if (plcf->targets == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    other = plcf->targets->elts;

    for (i = 0; i < plcf->targets->nelts; i++) {
        if (other[i].group.len == value[1].len
            && ngx_strncmp(other[i].group.data, value[1].data, value[1].len)
               == 0
            && other[i].instance.len == value[2].len
            && ngx_strncmp(other[i].instance.data, value[2].data,
                           value[2].len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "instance \"%V\" of group \"%V\" is duplicate",
                               &value[2], &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    t = ngx_array_push(plcf->targets);
    if (t == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(t, sizeof(ngx_pcap_api_target_t));

    t->group = value[1];
    t->instance = value[2];
    t->addr = value[3];
    ngx_str_set(&t->tls_name, "pcap-agent");

    if (cf->args->nelts == 5) {
        if (ngx_strncmp(value[4].data, "tls_name=", 9) != 0
            || value[4].len == 9)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", \"tls_name=NAME\" "
                               "is allowed", &value[4]);
            return NGX_CONF_ERROR;
        }

        t->tls_name.data = value[4].data + 9;
        t->tls_name.len = value[4].len - 9;
    }

    if (pcapx_valid_instance((char *) t->group.data, t->group.len, err)
        != PCAPX_OK
        || ngx_strlchr(t->group.data, t->group.data + t->group.len, '/'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid group \"%V\", "
                           "letters, digits, \".\", \"_\", \"-\" are allowed",
                           &t->group);
        return NGX_CONF_ERROR;
    }

    if (pcapx_valid_instance((char *) t->instance.data, t->instance.len, err)
        != PCAPX_OK
        || pcapx_parse_endpoint((char *) t->addr.data, t->addr.len, t->ip,
                                &t->ip_len, &port, err)
           != PCAPX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", err);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_pcap_api_scopes(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t    *value, *s;
    ngx_uint_t    i;
    ngx_array_t  *scopes, **field;

    field = (ngx_array_t **) ((char *) conf + cmd->offset);

    if (*field != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    scopes = ngx_array_create(cf->pool, cf->args->nelts, sizeof(ngx_str_t));
    if (scopes == NULL) {
        return NGX_CONF_ERROR;
    }

    *field = scopes;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        if (value[i].len == 0
            || ngx_strlchr(value[i].data, value[i].data + value[i].len, ' '))
        {
            return "takes scope names without spaces, or \"off\"";
        }

        s = ngx_array_push(scopes);
        *s = value[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_pcap_api_check_range(ngx_conf_t *cf, ngx_pcap_api_range_t *range,
    ngx_uint_t n)
{
    ngx_str_t  *value;

    if (n >= range->min && n <= range->max) {
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" of \"%V\", allowed is %s",
                       &value[1], &value[0], range->allowed);

    return NGX_CONF_ERROR;
}


static char *
ngx_pcap_api_check_msec(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *msec = data;

    return ngx_pcap_api_check_range(cf, post, *msec);
}


static char *
ngx_pcap_api_check_every(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *msec = data;

    return *msec ? ngx_pcap_api_check_range(cf, post, *msec) : NGX_CONF_OK;
}


static char *
ngx_pcap_api_check_num(ngx_conf_t *cf, void *post, void *data)
{
    ngx_uint_t  *num = data;

    return ngx_pcap_api_check_range(cf, post, *num);
}


static ngx_int_t
ngx_pcap_api_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_pcap_api_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_pcap_api_body_filter;

    return ngx_pcap_api_audit_open(cf) == NGX_CONF_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_pcap_api_init_module(ngx_cycle_t *cycle)
{
    if (ngx_pcap_api_audit_reach(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_pcap_api_drain_module(cycle);
}


static ngx_int_t
ngx_pcap_api_init_process(ngx_cycle_t *cycle)
{
    ngx_pcap_api_drain_worker(cycle);

    return ngx_pcap_api_sweep_init(cycle);
}


static void
ngx_pcap_api_exit_process(ngx_cycle_t *cycle)
{
    ngx_pcap_api_drain_exit(cycle);
    ngx_pcap_api_sweep_exit(cycle);
}
