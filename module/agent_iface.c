/*
 * module/agent_iface.c: the interfaces that an agent says it captures: it has
 * to be one that was asked for, under a name that can be one.
 */

#include "ngx_pcap_api_module.h"
#include "module/policy.h"


static ngx_uint_t
ngx_pcap_api_agent_same(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0;
}


/* Those the client named, or the one that the agent takes by itself. */
static ngx_uint_t
ngx_pcap_api_agent_asked(ngx_pcap_api_agent_t *a, ngx_str_t *name)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    if (a->ctx->kube.what == NGX_PCAP_API_KUBE_MERGED) {
        return 1;                          /* whatever there are files of */
    }

    s = a->ctx->opts.interfaces.elts;

    if (a->ctx->opts.interfaces.nelts == 0) {
        return a->nifaces == 0;
    }

    for (i = 0; i < a->nifaces; i++) {
        if (ngx_pcap_api_agent_same(name, &a->ifaces[i].name)) {
            return 0;                      /* twice */
        }
    }

    for (i = 0; i < a->ctx->opts.interfaces.nelts; i++) {
        if (ngx_pcap_api_agent_same(name, &s[i])) {
            return a->nifaces < a->ctx->opts.interfaces.nelts;
        }
    }

    return 0;
}


/* NGX_OK: f has its name; NGX_DECLINED: it can be none. */
static ngx_int_t
ngx_pcap_api_agent_name(ngx_pcap_api_agent_t *a, ngx_pcap_api_iface_t *f,
    pcapx_opt_t *opt, char *err)
{
    if (a->ctx->kube.what != NGX_PCAP_API_KUBE_MERGED
        && pcapx_valid_interface((char *) opt->value, opt->len, err)
           != PCAPX_OK)
    {
        return NGX_DECLINED;
    }

    if (opt->len > NGX_PCAP_API_KUBE_FILE) {
        (void) ngx_snprintf((u_char *) err, PCAPX_ERR_LEN,
                            "a name of over 255 bytes%Z");
        return NGX_DECLINED;
    }

    f->name.data = ngx_pnalloc(a->ctx->request->pool, opt->len + 1);
    if (f->name.data == NULL) {
        return NGX_ERROR;
    }

    f->name.len = ngx_pcap_api_clean_text(f->name.data, opt->len,
                                          (u_char *) opt->value, opt->len);

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_agent_idb(ngx_pcap_api_agent_t *a, pcapx_block_t *b)
{
    char                   err[PCAPX_ERR_LEN];
    ngx_int_t              rc;
    pcapx_opt_t            opt;
    pcapx_opt_iter_t       it;
    ngx_pcap_api_iface_t  *f;

    f = &a->ifaces[a->nifaces];
    f->linktype = a->scan_ifaces[b->iface].linktype;
    f->snaplen = a->scan_ifaces[b->iface].snaplen;
    ngx_str_null(&f->name);
    ngx_str_null(&f->filter);

    if (f->snaplen > a->ctx->opts.snaplen) {
        ngx_pcap_api_agent_garbage(a, "a longer snaplen than was asked for");
        return NGX_ERROR;
    }

    pcapx_opt_begin(&it, &a->scan, b);

    while (pcapx_opt_next(&it, &opt) == PCAPX_OK) {

        if (opt.code == PCAPX_IF_FILTER
            && ngx_pcap_api_policy_filter(a, f, &opt) != NGX_OK)
        {
            ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_UNKNOWN, "no memory");
            return NGX_ERROR;
        }

        if (opt.code != PCAPX_IF_NAME) {
            continue;
        }

        rc = ngx_pcap_api_agent_name(a, f, &opt, err);

        if (rc == NGX_DECLINED) {
            ngx_pcap_api_agent_garbage(a, err);
            return NGX_ERROR;
        }

        if (rc != NGX_OK) {
            ngx_pcap_api_agent_fail(a, NGX_PCAP_API_MSG_UNKNOWN, "no memory");
            return NGX_ERROR;
        }
    }

    if (f->name.len == 0) {
        ngx_pcap_api_agent_garbage(a, "an interface has no name");
        return NGX_ERROR;
    }

    if (!ngx_pcap_api_agent_asked(a, &f->name)) {
        ngx_pcap_api_agent_garbage(a, "an interface that was not asked for");
        return NGX_ERROR;
    }

    a->nifaces++;

    return NGX_OK;
}
