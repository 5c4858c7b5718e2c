/*
 * module/exclude.c: deployments and groups that are never captured, whatever
 * the right: pcap_api_bosh_exclude. Names are compared and nothing else; its
 * patterns are read in module/limits_conf.c.
 */

#include "ngx_pcap_api_module.h"


/* "*" is any text; by going back to the last star only: no deep recursion. */
static ngx_uint_t
ngx_pcap_api_matches(const ngx_str_t *pattern, const ngx_str_t *text)
{
    size_t  p, t, star, from;

    p = 0;
    t = 0;
    star = pattern->len;
    from = 0;

    while (t < text->len) {
        if (p < pattern->len && pattern->data[p] == '*') {
            star = p++;
            from = t;

        } else if (p < pattern->len
                   && ngx_tolower(pattern->data[p])
                      == ngx_tolower(text->data[t]))
        {
            p++;
            t++;

        } else if (star < pattern->len) {
            p = star + 1;
            t = ++from;

        } else {
            return 0;
        }
    }

    while (p < pattern->len && pattern->data[p] == '*') {
        p++;
    }

    return p == pattern->len;
}


ngx_uint_t
ngx_pcap_api_bosh_excluded(ngx_pcap_api_ctx_t *ctx, ngx_str_t *group)
{
    ngx_uint_t               i;
    ngx_array_t             *list;
    ngx_pcap_api_exclude_t  *e;

    list = ctx->conf->limits.bosh_exclude;
    e = list->elts;

    for (i = 0; i < list->nelts; i++) {

        if (!ngx_pcap_api_matches(&e[i].deployment, &ctx->group)) {
            continue;
        }

        if (e[i].group.len == 0
            || (group != NULL && ngx_pcap_api_matches(&e[i].group, group)))
        {
            return 1;
        }
    }

    return 0;
}
