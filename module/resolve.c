/*
 * module/resolve.c: from what was asked for to agents. Finds the resolver
 * that a path names and holds what all resolvers share. A platform is one
 * file, module/resolve_NAME.c, and one row here.
 */

#include "ngx_pcap_api_module.h"


static const ngx_pcap_api_resolver_t  *const ngx_pcap_api_resolvers[] = {
    &ngx_pcap_api_static_resolver,
    &ngx_pcap_api_bosh_resolver,
    &ngx_pcap_api_cf_resolver,
    &ngx_pcap_api_k8s_resolver,
    &ngx_pcap_api_files_resolver,
    NULL
};


ngx_str_t
ngx_pcap_api_resolver_name(ngx_uint_t number)
{
    ngx_uint_t  i;

    static const ngx_str_t  none = ngx_null_string;

    for (i = 0; ngx_pcap_api_resolvers[i] != NULL; i++) {
        if (ngx_pcap_api_resolvers[i]->number == number) {
            return ngx_pcap_api_resolvers[i]->name;
        }
    }

    return none;
}


u_char *
ngx_pcap_api_resolver_names(ngx_pcap_api_loc_conf_t *conf, u_char *p,
    u_char *last)
{
    u_char                         *start;
    const ngx_pcap_api_resolver_t  *resolver;

    start = p;

    for (resolver = ngx_pcap_api_resolver(conf, 0);
         resolver != NULL;
         resolver = ngx_pcap_api_resolver(conf, resolver->number + 1))
    {
        p = ngx_slprintf(p, last, "%s%V", p == start ? "" : ", ",
                         &resolver->name);
    }

    return p;
}


const ngx_pcap_api_resolver_t *
ngx_pcap_api_resolver(ngx_pcap_api_loc_conf_t *conf, ngx_uint_t i)
{
    for ( /* void */ ; i < NGX_PCAP_API_RESOLVERS; i++) {
        if (ngx_pcap_api_resolvers[i] == NULL) {
            break;
        }

        if (ngx_pcap_api_resolvers[i]->number == i
            && ngx_pcap_api_resolvers[i]->configured(conf))
        {
            return ngx_pcap_api_resolvers[i];
        }
    }

    return NULL;
}


const ngx_pcap_api_resolver_t *
ngx_pcap_api_resolver_named(ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; ngx_pcap_api_resolvers[i] != NULL; i++) {
        if (ngx_pcap_api_resolvers[i]->name.len == name->len
            && ngx_memcmp(ngx_pcap_api_resolvers[i]->name.data, name->data,
                          name->len)
               == 0)
        {
            return ngx_pcap_api_resolvers[i];
        }
    }

    return NULL;
}


const ngx_pcap_api_resolver_t *
ngx_pcap_api_resolver_of(ngx_pcap_api_loc_conf_t *conf, ngx_str_t *path)
{
    u_char                         *p;
    const ngx_str_t                *name;
    const ngx_pcap_api_resolver_t  *res;

    static const ngx_str_t  prefix = ngx_string("capture/");

    if (path->len <= prefix.len
        || ngx_memcmp(path->data, prefix.data, prefix.len) != 0)
    {
        return NULL;
    }

    for (res = ngx_pcap_api_resolver(conf, 0);
         res != NULL;
         res = ngx_pcap_api_resolver(conf, res->number + 1))
    {
        name = &res->name;
        p = path->data + prefix.len;

        if (path->len > prefix.len + name->len + 1
            && ngx_memcmp(p, name->data, name->len) == 0
            && p[name->len] == '/')
        {
            path->data += prefix.len + name->len + 1;
            path->len -= prefix.len + name->len + 1;
            return res;
        }
    }

    return NULL;
}


ngx_int_t
ngx_pcap_api_resolve_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    return ctx->resolver->resolve(ctx, &ctx->asks[ctx->resolver->number]);
}


ngx_pcap_api_ask_t *
ngx_pcap_api_ask_of(ngx_http_request_t *r)
{
    ngx_uint_t             i;
    ngx_pcap_api_fetch_t  *f;

    f = ngx_pcap_api_fetch_of(r);

    for (i = 0; f != NULL && i < NGX_PCAP_API_RESOLVERS; i++) {
        if (f == &f->ctx->asks[i].fetch) {
            return &f->ctx->asks[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_pcap_api_forbidden(ngx_pcap_api_ctx_t *ctx, const char *fmt, ...)
{
    u_char   *p, text[NGX_PCAP_API_TEXT_LEN];
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(text, text + sizeof(text), fmt, args);
    va_end(args);

    ctx->bearer_error = "Bearer error=\"insufficient_scope\"";

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN, "%*s",
                               (size_t) (p - text), text);
}


ngx_int_t
ngx_pcap_api_need_scope(ngx_pcap_api_ctx_t *ctx, ngx_array_t *scopes)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    if (scopes == NULL || scopes->nelts == 0) {
        return NGX_OK;
    }

    s = scopes->elts;

    for (i = 0; i < scopes->nelts; i++) {
        if (ngx_pcap_api_has_scope(&ctx->identity, &s[i])) {
            return NGX_OK;
        }
    }

    return ngx_pcap_api_forbidden(ctx, "the token lacks the scope \"%V\"",
                                  &s[0]);
}


ngx_int_t
ngx_pcap_api_agents_room(ngx_pcap_api_ctx_t *ctx, ngx_uint_t n)
{
    ngx_uint_t             i, m;
    ngx_pool_t            *pool;
    pcapx_iface_t         *scan;
    ngx_pcap_api_iface_t  *ifaces;

    if (n > ctx->conf->max_targets) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                   "%ui targets are asked for, \"pcap_api_max_targets\" "
                   "allows %ui",
                   n, ctx->conf->max_targets);
    }

    pool = ctx->request->pool;
    m = n * ctx->max_ifaces;

    ctx->agents = ngx_pcalloc(pool, n * sizeof(ngx_pcap_api_agent_t));
    ifaces = ngx_pcalloc(pool, m * sizeof(ngx_pcap_api_iface_t));
    scan = ngx_palloc(pool, m * sizeof(pcapx_iface_t));

    if (ctx->agents == NULL || ifaces == NULL || scan == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        ctx->agents[i].ifaces = ifaces + i * ctx->max_ifaces;
        ctx->agents[i].scan_ifaces = scan + i * ctx->max_ifaces;
    }

    return NGX_OK;
}


void
ngx_pcap_api_agent_add(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_target_t *t)
{
    ngx_pcap_api_agent_t  *a;

    a = &ctx->agents[ctx->nagents];
    a->ctx = ctx;
    a->isb_round = 1;
    a->index = ctx->nagents++;
    a->target = t;
    a->last_in = &a->in;
    a->last_scanned = &a->scanned;
}
