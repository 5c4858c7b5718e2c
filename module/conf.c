/*
 * module/conf.c: the configuration: defaults, what a location inherits, and
 * what has to fit together.
 */

#include "ngx_pcap_api_module.h"

#include <openssl/rand.h>


void *
ngx_pcap_api_create_main_conf(ngx_conf_t *cf)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_pcap_api_main_conf_t));

    if (pmcf == NULL || RAND_bytes(pmcf->salt, sizeof(pmcf->salt)) != 1
        || ngx_pcap_api_limits_main_create(cf, &pmcf->limits) != NGX_OK)
    {
        return NULL;
    }

    ngx_pcap_api_drain_create(cf, &pmcf->drain);

    return pmcf;
}


void *
ngx_pcap_api_create_loc_conf(ngx_conf_t *cf)
{
    ngx_pcap_api_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_pcap_api_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->metrics = NGX_CONF_UNSET;
    conf->enable = NGX_CONF_UNSET;
    conf->targets = NGX_CONF_UNSET_PTR;
    conf->scopes = NGX_CONF_UNSET_PTR;
    conf->bosh = NGX_CONF_UNSET_PTR;
    conf->bosh_scopes = NGX_CONF_UNSET_PTR;
    conf->cf = NGX_CONF_UNSET_PTR;
    conf->cf_scopes = NGX_CONF_UNSET_PTR;
    conf->cf_exclude = NGX_CONF_UNSET_PTR;
    conf->cf_opt_in = NGX_CONF_UNSET_UINT;
    conf->ranges = NGX_CONF_UNSET_PTR;
    conf->routers = NGX_CONF_UNSET_PTR;
    conf->keys_valid = NGX_CONF_UNSET_MSEC;
    conf->token_cache = NGX_CONF_UNSET_MSEC;
    conf->inflight = NGX_CONF_UNSET_UINT;
    conf->max_targets = NGX_CONF_UNSET_UINT;
    conf->start_parallel = NGX_CONF_UNSET_UINT;
    conf->start_timeout = NGX_CONF_UNSET_MSEC;
    conf->heartbeat = NGX_CONF_UNSET_MSEC;
    conf->heartbeat_timeout = NGX_CONF_UNSET_MSEC;
    conf->reorder_window = NGX_CONF_UNSET_MSEC;
    conf->client_stall = NGX_CONF_UNSET_MSEC;
    conf->stop_timeout = NGX_CONF_UNSET_MSEC;
    conf->zip = NGX_CONF_UNSET_UINT;
    conf->max_clock_skew = NGX_CONF_UNSET_MSEC;
    ngx_pcap_api_peers_create(&conf->peers);
    ngx_pcap_api_limits_create(&conf->limits);
    conf->rights.every = NGX_CONF_UNSET_MSEC;
    conf->rights.max_age = NGX_CONF_UNSET_MSEC;
    ngx_pcap_api_store_create(&conf->store);
    ngx_pcap_api_kube_create(&conf->kube);

    return conf;
}


/* The default of pcap_api_static_scope. */
static ngx_array_t *
ngx_pcap_api_default_scopes(ngx_conf_t *cf)
{
    ngx_str_t    *s;
    ngx_array_t  *scopes;

    scopes = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
    if (scopes == NULL) {
        return NULL;
    }

    s = ngx_array_push(scopes);
    ngx_str_set(s, "pcap.capture");

    return scopes;
}


/* Every address of a target has to lie in one of the ranges. */
static char *
ngx_pcap_api_check_targets(ngx_conf_t *cf, ngx_pcap_api_loc_conf_t *conf)
{
    ngx_addr_t              addr;
    ngx_uint_t              i;
    ngx_pcap_api_target_t  *t;

    if (conf->targets == NULL || conf->ranges == NULL) {
        return NGX_CONF_OK;
    }

    t = conf->targets->elts;

    for (i = 0; i < conf->targets->nelts; i++) {
        if (ngx_parse_addr_port(cf->pool, &addr, t[i].addr.data,
                                t[i].addr.len)
            != NGX_OK
            || ngx_cidr_match(addr.sockaddr, conf->ranges) != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                "address \"%V\" of \"pcap_api_static %V %V\" is outside "
                "of \"pcap_api_agent_ranges\"",
                &t[i].addr, &t[i].group, &t[i].instance);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static void
ngx_pcap_api_merge_cf(ngx_pcap_api_loc_conf_t *conf,
    ngx_pcap_api_loc_conf_t *prev)
{
    ngx_conf_merge_ptr_value(conf->cf, prev->cf, NULL);
    ngx_conf_merge_ptr_value(conf->cf_scopes, prev->cf_scopes, NULL);
    ngx_conf_merge_ptr_value(conf->cf_exclude, prev->cf_exclude, NULL);

    if (conf->cf_opt_in == NGX_CONF_UNSET_UINT) {
        conf->cf_annotation = prev->cf_annotation;
    }

    ngx_conf_merge_uint_value(conf->cf_opt_in, prev->cf_opt_in,
                              NGX_PCAP_API_CF_SSH);
}


char *
ngx_pcap_api_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_pcap_api_loc_conf_t   *prev = parent;
    ngx_pcap_api_loc_conf_t   *conf = child;
    ngx_pcap_api_main_conf_t  *pmcf;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_pcap_api_kube_merge(conf, prev);
    ngx_pcap_api_merge_token_check(conf, prev);
    ngx_conf_merge_str_value(conf->agents, prev->agents, "/_pcap_agent");
    ngx_conf_merge_ptr_value(conf->targets, prev->targets, NULL);
    ngx_conf_merge_ptr_value(conf->bosh, prev->bosh, NULL);
    ngx_conf_merge_ptr_value(conf->bosh_scopes, prev->bosh_scopes, NULL);
    ngx_pcap_api_merge_cf(conf, prev);
    ngx_conf_merge_str_value(conf->admin_scope, prev->admin_scope,
                             "pcap.admin");
    ngx_conf_merge_str_value(conf->issuer, prev->issuer, "");
    ngx_conf_merge_str_value(conf->audience, prev->audience, "");
    ngx_conf_merge_ptr_value(conf->ranges, prev->ranges, NULL);
    ngx_conf_merge_ptr_value(conf->routers, prev->routers, NULL);
    ngx_conf_merge_msec_value(conf->keys_valid, prev->keys_valid, 600000);
    ngx_conf_merge_msec_value(conf->token_cache, prev->token_cache, 10000);
    ngx_conf_merge_uint_value(conf->inflight, prev->inflight, 32);
    ngx_conf_merge_uint_value(conf->max_targets, prev->max_targets, 1000);
    ngx_conf_merge_uint_value(conf->start_parallel, prev->start_parallel, 16);
    ngx_conf_merge_msec_value(conf->start_timeout, prev->start_timeout, 5000);
    ngx_conf_merge_msec_value(conf->heartbeat, prev->heartbeat, 0);
    ngx_conf_merge_msec_value(conf->heartbeat_timeout,
                              prev->heartbeat_timeout, 3000);
    ngx_conf_merge_msec_value(conf->reorder_window, prev->reorder_window,
                              1000);
    ngx_conf_merge_msec_value(conf->client_stall, prev->client_stall, 60000);
    ngx_conf_merge_msec_value(conf->stop_timeout, prev->stop_timeout, 2000);
    ngx_conf_merge_uint_value(conf->zip, prev->zip, 0);
    ngx_conf_merge_msec_value(conf->max_clock_skew, prev->max_clock_skew,
                              5000);
    ngx_pcap_api_peers_merge(&conf->peers, &prev->peers);

    ngx_conf_merge_msec_value(conf->rights.every, prev->rights.every, 300000);
    ngx_conf_merge_msec_value(conf->rights.max_age, prev->rights.max_age,
                              3600000);

    if (conf->scopes == NGX_CONF_UNSET_PTR) {
        conf->scopes = prev->scopes;
    }

    if (conf->scopes == NGX_CONF_UNSET_PTR) {
        conf->scopes = ngx_pcap_api_default_scopes(cf);
        if (conf->scopes == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_pcap_api_module);

    if (conf->metrics == 1 && pmcf->zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pcap_api_metrics on\" needs \"pcap_api_zone\"");
        return NGX_CONF_ERROR;
    }

    if (ngx_pcap_api_limits_merge(cf, &conf->limits, &prev->limits)
        != NGX_CONF_OK
        || ngx_pcap_api_store_merge(cf, &conf->store, &prev->store)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (!conf->enable) {
        return NGX_CONF_OK;
    }

    conf->number = ++pmcf->nlocations;

    if (pmcf->zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pcap_api on\" needs \"pcap_api_zone\"");
        return NGX_CONF_ERROR;
    }

    if (ngx_pcap_api_check_token_check(cf, conf) != NGX_CONF_OK
        || ngx_pcap_api_peers_check(cf, conf) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if ((conf->bosh != NULL || conf->cf != NULL) && conf->ranges == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%s\" needs "
                           "\"pcap_api_agent_ranges\"",
                           conf->bosh ? "pcap_api_bosh" : "pcap_api_cf");
        return NGX_CONF_ERROR;
    }

    return ngx_pcap_api_check_targets(cf, conf);
}
