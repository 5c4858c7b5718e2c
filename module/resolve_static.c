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
ngx_pcap_api_check_right(ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    if (ctx->conf->scopes->nelts == 0
        || ngx_pcap_api_has_scope(&ctx->identity, &ctx->conf->admin_scope))
    {
        return NGX_OK;
    }

    s = ctx->conf->scopes->elts;

    for (i = 0; i < ctx->conf->scopes->nelts; i++) {
        if (ngx_pcap_api_has_scope(&ctx->identity, &s[i])) {
            return NGX_OK;
        }
    }

    ctx->bearer_error = "Bearer error=\"insufficient_scope\"";

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                               "the token lacks the scope \"%V\"", &s[0]);
}


ngx_int_t
ngx_pcap_api_resolve_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    u_char                   name[PCAPX_ERR_LEN];
    size_t                   len;
    ngx_int_t                rc;
    ngx_uint_t               i, n;
    ngx_array_t             *targets;
    ngx_pcap_api_agent_t    *a;
    ngx_pcap_api_target_t   *t;

    rc = ngx_pcap_api_check_right(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    targets = ctx->conf->targets;
    t = targets ? targets->elts : NULL;
    n = 0;

    for (i = 0; targets && i < targets->nelts; i++) {
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

    if (n > ctx->conf->max_targets) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                   "%ui targets are asked for, at most %ui are allowed",
                   n, ctx->conf->max_targets);
    }

    ctx->agents = ngx_pcalloc(r->pool, n * sizeof(ngx_pcap_api_agent_t));
    if (ctx->agents == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < targets->nelts; i++) {

        if (!ngx_pcap_api_is_selected(ctx, &t[i])) {
            continue;
        }

        a = &ctx->agents[ctx->nagents];
        a->ctx = ctx;
        a->index = ctx->nagents++;
        a->target = &t[i];
        a->last_in = &a->in;
        a->last_scanned = &a->scanned;
    }

    return NGX_OK;
}
