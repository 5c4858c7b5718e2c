/*
 * module/limits_conf.c: the directives of limits: their values, what a
 * location inherits, and the defaults that docs/DIRECTIVES.md states. All of
 * them take "off", but what would be nonsense without. Nothing here runs
 * behind the start.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_MAX_RATE       100000
#define NGX_PCAP_API_MAX_BURST      1000000

#define NGX_PCAP_API_DAY            86400000    /* ms */
#define NGX_PCAP_API_MAX_COUNT      ((uint64_t) 1 << 53)


const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_count = {
    NGX_PCAP_API_UNIT_NUMBER, 1, 100000, 0, "1 to 100000"
};

const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_cost = {
    NGX_PCAP_API_UNIT_NUMBER, 1, 1000, 1, "1 to 1000"
};

const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_packets = {
    NGX_PCAP_API_UNIT_NUMBER, 1, NGX_PCAP_API_MAX_COUNT, 0, "1 to 2^53"
};

const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_bytes = {
    NGX_PCAP_API_UNIT_SIZE, 1, NGX_PCAP_API_MAX_COUNT, 0, "1 to 2^53 bytes"
};

/* 100 Gbit/s are more than one worker will see; sums fit 63 bits. */

const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_bandwidth = {
    NGX_PCAP_API_UNIT_SIZE, 4096, (uint64_t) 100 << 30, 0,
    "4k to 100g bytes per second"
};

const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_duration = {
    NGX_PCAP_API_UNIT_TIME, 100, 30 * (uint64_t) NGX_PCAP_API_DAY, 0,
    "100ms to 30d"
};


/* What ends a file, and so has no "off". */
const ngx_pcap_api_limit_kind_t  ngx_pcap_api_kind_retention = {
    NGX_PCAP_API_UNIT_TIME, 1000, 30 * (uint64_t) NGX_PCAP_API_DAY, 1,
    "1s to 30d"
};


static ngx_uint_t
ngx_pcap_api_is(const ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word)
           && ngx_memcmp(s->data, word, s->len) == 0;
}


static char *
ngx_pcap_api_limit_wrong(ngx_conf_t *cf, ngx_str_t *what,
    const char *allowed)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" of \"%V\", allowed is %s",
                       what, &value[0], allowed);

    return NGX_CONF_ERROR;
}


char *
ngx_pcap_api_limit_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    off_t                             n;
    uint64_t                         *field;
    ngx_str_t                        *value;
    const ngx_pcap_api_limit_kind_t  *kind;

    field = (uint64_t *) ((char *) conf + cmd->offset);
    kind = cmd->post;
    value = cf->args->elts;

    if (*field != NGX_PCAP_API_LIMIT_UNSET) {
        return "is duplicate";
    }

    if (!kind->on && ngx_pcap_api_is(&value[1], "off")) {
        *field = 0;
        return NGX_CONF_OK;
    }

    switch (kind->unit) {

    case NGX_PCAP_API_UNIT_SIZE:
        n = ngx_parse_offset(&value[1]);
        break;

    case NGX_PCAP_API_UNIT_TIME:
        n = ngx_parse_time(&value[1], 0);
        break;

    default:
        n = ngx_atoof(value[1].data, value[1].len);
        break;
    }

    if (n == NGX_ERROR || (uint64_t) n < kind->min
        || (uint64_t) n > kind->max)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"%V\", allowed is %s%s",
                           &value[1], &value[0], kind->allowed,
                           kind->on ? "" : ", or \"off\"");
        return NGX_CONF_ERROR;
    }

    *field = (uint64_t) n;

    return NGX_CONF_OK;
}


char *
ngx_pcap_api_rate_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t             n;
    ngx_str_t            *value;
    ngx_pcap_api_rate_t  *rate;

    rate = (ngx_pcap_api_rate_t *) ((char *) conf + cmd->offset);
    value = cf->args->elts;

    if (rate->rate != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    if (cf->args->nelts == 2 && ngx_pcap_api_is(&value[1], "off")) {
        rate->rate = 0;
        rate->burst = 0;
        return NGX_CONF_OK;
    }

    n = ngx_atoi(value[1].data, value[1].len);
    if (n < 1 || n > NGX_PCAP_API_MAX_RATE) {
        return ngx_pcap_api_limit_wrong(cf, &value[1], "1 to 100000 requests "
                                        "per second, or \"off\"");
    }

    rate->rate = n;
    rate->burst = 2 * n;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    n = NGX_ERROR;

    if (value[2].len > 6 && ngx_memcmp(value[2].data, "burst=", 6) == 0) {
        n = ngx_atoi(value[2].data + 6, value[2].len - 6);
    }

    if (n < 1 || n > NGX_PCAP_API_MAX_BURST) {
        return ngx_pcap_api_limit_wrong(cf, &value[2],
                                        "burst=1 to burst=1000000");
    }

    rate->burst = n;

    return NGX_CONF_OK;
}


char *
ngx_pcap_api_worker_cpu(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    uint64_t   *field;
    ngx_int_t   n;
    ngx_str_t  *value;

    field = (uint64_t *) ((char *) conf + cmd->offset);
    value = cf->args->elts;

    if (*field != NGX_PCAP_API_LIMIT_UNSET) {
        return "is duplicate";
    }

    if (ngx_pcap_api_is(&value[1], "off")) {
        *field = 0;
        return NGX_CONF_OK;
    }

    n = NGX_ERROR;

    if (value[1].len > 1 && value[1].data[value[1].len - 1] == '%') {
        n = ngx_atoi(value[1].data, value[1].len - 1);
    }

    if (n < 5 || n > 100) {
        return ngx_pcap_api_limit_wrong(cf, &value[1],
                                        "5% to 100%, or \"off\"");
    }

    *field = n;

    return NGX_CONF_OK;
}


/* Numbers of resolvers by their names, from argument i on, as bits. */
static char *
ngx_pcap_api_resolver_bits(ngx_conf_t *cf, ngx_uint_t i, ngx_uint_t *bits)
{
    ngx_str_t                      *value;
    const ngx_pcap_api_resolver_t  *resolver;

    value = cf->args->elts;
    *bits = 0;

    for ( /* void */ ; i < cf->args->nelts; i++) {
        resolver = ngx_pcap_api_resolver_named(&value[i]);

        if (resolver == NULL) {
            return ngx_pcap_api_limit_wrong(cf, &value[i],
                                            "static, bosh, cf, k8s");
        }

        *bits |= (ngx_uint_t) 1 << resolver->number;
    }

    return NGX_CONF_OK;
}


char *
ngx_pcap_api_max_snaplen(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    off_t                     n;
    ngx_str_t                *value;
    ngx_uint_t                i, bits;
    ngx_pcap_api_limits_t    *limits;
    ngx_pcap_api_loc_conf_t  *plcf = conf;

    limits = &plcf->limits;
    value = cf->args->elts;
    n = 0;

    if (!ngx_pcap_api_is(&value[1], "off")) {
        n = ngx_atoof(value[1].data, value[1].len);

        if (n < 1 || n > PCAPX_MAX_SNAPLEN) {
            return ngx_pcap_api_limit_wrong(cf, &value[1],
                                            "1 to 262144, or \"off\"");
        }
    }

    if (cf->args->nelts == 2) {
        if (limits->max_snaplen != NGX_PCAP_API_LIMIT_UNSET) {
            return "is duplicate";
        }

        limits->max_snaplen = n;
        return NGX_CONF_OK;
    }

    if (ngx_pcap_api_resolver_bits(cf, 2, &bits) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < NGX_PCAP_API_RESOLVERS; i++) {
        if (bits & ((ngx_uint_t) 1 << i)) {
            if (limits->snaplens[i] != NGX_PCAP_API_LIMIT_UNSET) {
                return "is duplicate";
            }

            limits->snaplens[i] = n;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_pcap_api_require_reason(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                *value;
    ngx_pcap_api_loc_conf_t  *plcf = conf;

    if (plcf->limits.reason != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_pcap_api_is(&value[1], "off")) {
        plcf->limits.reason = 0;
        return NGX_CONF_OK;
    }

    if (cf->args->nelts == 2 && ngx_pcap_api_is(&value[1], "on")) {
        plcf->limits.reason = ((ngx_uint_t) 1 << NGX_PCAP_API_RESOLVERS) - 1;
        return NGX_CONF_OK;
    }

    if (ngx_pcap_api_resolver_bits(cf, 1, &plcf->limits.reason)
        != NGX_CONF_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"pcap_api_require_reason\""
                           " takes \"on\", \"off\" or names of resolvers");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* A name of a deployment or a group, "*" included. */
static ngx_uint_t
ngx_pcap_api_pattern_fits(const ngx_str_t *s)
{
    size_t  i;
    u_char  ch;

    for (i = 0; i < s->len; i++) {
        ch = s->data[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9') || ch == '.' || ch == '_'
              || ch == '+' || ch == '-' || ch == '*'))
        {
            return 0;
        }
    }

    return s->len > 0 && s->len <= 255;
}


static ngx_int_t
ngx_pcap_api_exclude_add(ngx_array_t *list, ngx_str_t *pattern)
{
    u_char                  *slash;
    ngx_pcap_api_exclude_t  *e;

    e = ngx_array_push(list);
    if (e == NULL) {
        return NGX_ERROR;
    }

    e->deployment = *pattern;
    ngx_str_null(&e->group);

    slash = ngx_strlchr(pattern->data, pattern->data + pattern->len, '/');

    if (slash != NULL) {
        e->deployment.len = slash - pattern->data;
        e->group.data = slash + 1;
        e->group.len = pattern->data + pattern->len - e->group.data;

        if (!ngx_pcap_api_pattern_fits(&e->group)) {
            return NGX_DECLINED;
        }
    }

    return ngx_pcap_api_pattern_fits(&e->deployment) ? NGX_OK : NGX_DECLINED;
}


/*
 * What is never captured unless "off" says so: who holds a Director, a UAA or
 * a CredHub has everything, and their own traffic is full of secrets.
 */
static ngx_array_t *
ngx_pcap_api_exclude_create(ngx_conf_t *cf, ngx_uint_t empty)
{
    ngx_uint_t    i;
    ngx_array_t  *list;

    static ngx_str_t  builtin[] = {
        ngx_string("*/*director*"),
        ngx_string("*/*uaa*"),
        ngx_string("*/*credhub*")
    };

    list = ngx_array_create(cf->pool, 4, sizeof(ngx_pcap_api_exclude_t));

    for (i = 0; list != NULL && !empty && i < 3; i++) {
        if (ngx_pcap_api_exclude_add(list, &builtin[i]) != NGX_OK) {
            return NULL;
        }
    }

    return list;
}


char *
ngx_pcap_api_bosh_exclude(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t                 rc;
    ngx_str_t                *value;
    ngx_uint_t                i, off;
    ngx_array_t             **list;
    ngx_pcap_api_loc_conf_t  *plcf = conf;

    list = &plcf->limits.bosh_exclude;
    value = cf->args->elts;
    off = ngx_pcap_api_is(&value[1], "off");

    if (off && *list != NGX_CONF_UNSET_PTR) {
        return "takes \"off\" in its first line only";
    }

    if (*list == NGX_CONF_UNSET_PTR) {
        *list = ngx_pcap_api_exclude_create(cf, off);
        if (*list == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    for (i = 1 + off; i < cf->args->nelts; i++) {
        rc = ngx_pcap_api_exclude_add(*list, &value[i]);

        if (rc == NGX_DECLINED) {
            return ngx_pcap_api_limit_wrong(cf, &value[i],
                       "DEPLOYMENT or DEPLOYMENT/GROUP, with \"*\" for any "
                       "text");
        }

        if (rc == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_pcap_api_limits_main_create(ngx_conf_t *cf,
    ngx_pcap_api_limits_main_t *limits)
{
    limits->captures = NGX_PCAP_API_LIMIT_UNSET;
    limits->bandwidth = NGX_PCAP_API_LIMIT_UNSET;
    limits->cpu = NGX_PCAP_API_LIMIT_UNSET;

    limits->worker = ngx_pcalloc(cf->pool, sizeof(ngx_pcap_api_share_t));
    if (limits->worker == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&limits->worker->captures);

    return NGX_OK;
}


void
ngx_pcap_api_limits_create(ngx_pcap_api_limits_t *limits)
{
    ngx_uint_t  i;

    limits->per_user = NGX_PCAP_API_LIMIT_UNSET;
    limits->max_duration = NGX_PCAP_API_LIMIT_UNSET;
    limits->max_bytes = NGX_PCAP_API_LIMIT_UNSET;
    limits->max_packets = NGX_PCAP_API_LIMIT_UNSET;
    limits->bandwidth = NGX_PCAP_API_LIMIT_UNSET;
    limits->idle_timeout = NGX_PCAP_API_LIMIT_UNSET;
    limits->failed_cost = NGX_PCAP_API_LIMIT_UNSET;
    limits->introspection_rate.rate = NGX_CONF_UNSET_UINT;
    limits->address_rate.rate = NGX_CONF_UNSET_UINT;
    limits->user_rate.rate = NGX_CONF_UNSET_UINT;
    limits->max_snaplen = NGX_PCAP_API_LIMIT_UNSET;
    limits->reason = NGX_CONF_UNSET_UINT;
    limits->bosh_exclude = NGX_CONF_UNSET_PTR;

    for (i = 0; i < NGX_PCAP_API_RESOLVERS; i++) {
        limits->snaplens[i] = NGX_PCAP_API_LIMIT_UNSET;
    }
}


static void
ngx_pcap_api_limit_merge(uint64_t *conf, uint64_t prev, uint64_t otherwise)
{
    if (*conf == NGX_PCAP_API_LIMIT_UNSET) {
        *conf = (prev == NGX_PCAP_API_LIMIT_UNSET) ? otherwise : prev;
    }
}


static void
ngx_pcap_api_rate_merge(ngx_pcap_api_rate_t *conf, ngx_pcap_api_rate_t *prev,
    ngx_uint_t rate, ngx_uint_t burst)
{
    if (conf->rate == NGX_CONF_UNSET_UINT) {
        *conf = *prev;
    }

    if (conf->rate == NGX_CONF_UNSET_UINT) {
        conf->rate = rate;
        conf->burst = burst;
    }
}


/* A level with such a line inherits none: "all" there means all. */
static void
ngx_pcap_api_snaplen_merge(ngx_pcap_api_limits_t *conf,
    ngx_pcap_api_limits_t *prev)
{
    ngx_uint_t  i, set;

    set = (conf->max_snaplen != NGX_PCAP_API_LIMIT_UNSET);

    for (i = 0; i < NGX_PCAP_API_RESOLVERS; i++) {
        set |= (conf->snaplens[i] != NGX_PCAP_API_LIMIT_UNSET);
    }

    if (!set) {
        conf->max_snaplen = prev->max_snaplen;
        ngx_memcpy(conf->snaplens, prev->snaplens, sizeof(conf->snaplens));
    }

    ngx_pcap_api_limit_merge(&conf->max_snaplen, NGX_PCAP_API_LIMIT_UNSET, 0);

    for (i = 0; i < NGX_PCAP_API_RESOLVERS; i++) {
        ngx_pcap_api_limit_merge(&conf->snaplens[i], conf->max_snaplen, 0);
    }
}


char *
ngx_pcap_api_limits_merge(ngx_conf_t *cf, ngx_pcap_api_limits_t *conf,
    ngx_pcap_api_limits_t *prev)
{
    ngx_pcap_api_limits_main_t  *all;
    ngx_pcap_api_main_conf_t    *pmcf;

    /* idempotent: the main level has been read as a whole */

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_pcap_api_module);
    all = &pmcf->limits;

    ngx_pcap_api_limit_merge(&all->captures, NGX_PCAP_API_LIMIT_UNSET, 200);
    ngx_pcap_api_limit_merge(&all->bandwidth, NGX_PCAP_API_LIMIT_UNSET, 0);
    ngx_pcap_api_limit_merge(&all->cpu, NGX_PCAP_API_LIMIT_UNSET, 80);

    ngx_pcap_api_limit_merge(&conf->per_user, prev->per_user, 10);
    ngx_pcap_api_limit_merge(&conf->max_duration, prev->max_duration,
                             NGX_PCAP_API_DAY);
    ngx_pcap_api_limit_merge(&conf->max_bytes, prev->max_bytes, 0);
    ngx_pcap_api_limit_merge(&conf->max_packets, prev->max_packets, 0);
    ngx_pcap_api_limit_merge(&conf->bandwidth, prev->bandwidth,
                             (uint64_t) 100 << 20);
    ngx_pcap_api_limit_merge(&conf->idle_timeout, prev->idle_timeout, 0);
    ngx_pcap_api_limit_merge(&conf->failed_cost, prev->failed_cost, 10);
    ngx_pcap_api_rate_merge(&conf->introspection_rate,
                            &prev->introspection_rate, 10, 20);
    ngx_pcap_api_rate_merge(&conf->address_rate, &prev->address_rate, 50,
                            200);
    ngx_pcap_api_rate_merge(&conf->user_rate, &prev->user_rate, 10, 100);
    ngx_pcap_api_snaplen_merge(conf, prev);
    ngx_conf_merge_uint_value(conf->reason, prev->reason, 0);

    if (conf->bosh_exclude == NGX_CONF_UNSET_PTR) {
        conf->bosh_exclude = prev->bosh_exclude;
    }

    if (conf->bosh_exclude == NGX_CONF_UNSET_PTR) {
        conf->bosh_exclude = ngx_pcap_api_exclude_create(cf, 0);
    }

    return conf->bosh_exclude ? NGX_CONF_OK : NGX_CONF_ERROR;
}
