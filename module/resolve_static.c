/*
 * module/resolve_static.c: targets that the configuration lists. Fills
 * ctx->agents in the order of the configuration; a caller without one of the
 * scopes is refused before he learns which groups exist.
 */

#include "ngx_pcap_api_module.h"


/* "web/0" selects that instance, "web" all of "web/...". */
static ngx_uint_t
ngx_pcap_api_selects(ngx_str_t *selector, ngx_str_t *instance)
{
    if (instance->len < selector->len
        || ngx_memcmp(instance->data, selector->data, selector->len) != 0)
    {
        return 0;
    }

    return instance->len == selector->len
           || instance->data[selector->len] == '/';
}


static ngx_uint_t
ngx_pcap_api_in_group(ngx_pcap_api_target_t *t, ngx_str_t *group)
{
    return t->group.len == group->len
           && ngx_memcmp(t->group.data, group->data, group->len) == 0;
}


static ngx_uint_t
ngx_pcap_api_is_selected(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_target_t *t)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    if (!ngx_pcap_api_in_group(t, &ctx->group)) {
        return 0;
    }

    s = ctx->opts.instances.elts;

    for (i = 0; i < ctx->opts.instances.nelts; i++) {
        if (ngx_pcap_api_selects(&s[i], &t->instance)) {
            return 1;
        }
    }

    return ctx->opts.instances.nelts == 0;
}


/* Every instance= has to name something that is there. */
static ngx_int_t
ngx_pcap_api_check_selection(ngx_pcap_api_ctx_t *ctx, ngx_array_t *targets)
{
    ngx_str_t              *s;
    ngx_uint_t              i, k;
    ngx_pcap_api_target_t  *t;

    s = ctx->opts.instances.elts;
    t = targets->elts;

    for (i = 0; i < ctx->opts.instances.nelts; i++) {

        for (k = 0; k < targets->nelts; k++) {
            if (ngx_pcap_api_in_group(&t[k], &ctx->group)
                && ngx_pcap_api_selects(&s[i], &t[k].instance))
            {
                break;
            }
        }

        if (k == targets->nelts) {
            return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                       "group \"%V\" has no instance \"%V\"",
                                       &ctx->group, &s[i]);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_static_right(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_has_scope(&ctx->identity, &ctx->conf->admin_scope)
           ? NGX_OK
           : ngx_pcap_api_need_scope(ctx, ctx->conf->scopes);
}


static ngx_int_t
ngx_pcap_api_static_resolve(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    u_char                  name[PCAPX_ERR_LEN];
    size_t                  len;
    ngx_int_t               rc;
    ngx_uint_t              i, n;
    ngx_array_t            *targets;
    ngx_pcap_api_target_t  *t;

    rc = ngx_pcap_api_static_right(ctx, ask);
    if (rc != NGX_OK) {
        return rc;
    }

    targets = ctx->conf->targets;
    t = targets->elts;

    for (i = 0, n = 0; i < targets->nelts; i++) {
        n += ngx_pcap_api_in_group(&t[i], &ctx->group);
    }

    if (n == 0) {
        len = ngx_pcap_api_clean_text(name, 128, ctx->group.data,
                                      ctx->group.len);
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is no static group \"%*s\"",
                                   len, name);
    }

    rc = ngx_pcap_api_check_selection(ctx, targets);
    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0, n = 0; i < targets->nelts; i++) {
        n += ngx_pcap_api_is_selected(ctx, &t[i]);
    }

    rc = ngx_pcap_api_agents_room(ctx, n);
    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < targets->nelts; i++) {
        if (ngx_pcap_api_is_selected(ctx, &t[i])) {
            ngx_pcap_api_agent_add(ctx, &t[i]);
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_pcap_api_static_configured(ngx_pcap_api_loc_conf_t *conf)
{
    return conf->targets != NULL;
}


const ngx_pcap_api_resolver_t  ngx_pcap_api_static_resolver = {
    ngx_string("static"),
    0,
    NGX_PCAP_API_TAKES_INSTANCE,
    ngx_pcap_api_static_configured,
    ngx_pcap_api_static_resolve,
    NULL,
    NULL,
    ngx_pcap_api_static_right
};
