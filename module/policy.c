/*
 * module/policy.c: what an agent says of its machine's own policy. The filter
 * that is really in force (its if_filter) goes into the file, and what is
 * left out of what was asked for is said in words.
 *
 * An agent may be hostile: its text is cleaned and cut before it is kept, and
 * nothing is ever decided by it. It is taken once per interface description,
 * never per record.
 */

#include "ngx_pcap_api_module.h"
#include "module/policy.h"


#define NGX_PCAP_API_POLICY_LEN  160       /* exclude_filter in a message */


/* Is s[at..] this word? Takes nothing on trust but s itself. */
static ngx_uint_t
ngx_pcap_api_policy_at(ngx_str_t *s, size_t at, const char *word, size_t len)
{
    return at <= s->len && s->len - at >= len
           && ngx_memcmp(s->data + at, word, len) == 0;
}


/* Takes " and (FILTER)" off the end, as it was asked for. */
static ngx_int_t
ngx_pcap_api_policy_unasked(ngx_str_t *s, ngx_str_t *filter)
{
    size_t  n, at;

    if (filter->len == 0) {
        return NGX_OK;
    }

    n = sizeof(" and ()") - 1 + filter->len;

    if (s->len < n) {
        return NGX_DECLINED;
    }

    at = s->len - n;

    if (!ngx_pcap_api_policy_at(s, at, " and (", 6)
        || !ngx_pcap_api_policy_at(s, at + 6, (char *) filter->data,
                                   filter->len)
        || s->data[s->len - 1] != ')')
    {
        return NGX_DECLINED;
    }

    s->len = at;

    return NGX_OK;
}


/* Where the first "(...)" of s ends, or 0 when it does not begin with one. */
static size_t
ngx_pcap_api_policy_term(ngx_str_t *s)
{
    size_t  i, depth;

    depth = 0;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] == '(') {
            depth++;

        } else if (depth == 0) {
            return 0;

        } else if (s->data[i] == ')' && --depth == 0) {
            return i + 1;
        }
    }

    return 0;
}


/*
 * "(not (capture traffic)) and (not (exclude_filter)) and (filter)": s becomes
 * the part in the middle, empty when there is none (docs/PROTOCOL.md).
 */
static void
ngx_pcap_api_policy_middle(ngx_pcap_api_ctx_t *ctx, ngx_str_t *s)
{
    size_t  at, head;

    head = sizeof(" and (not (") - 1;

    if (ngx_pcap_api_policy_unasked(s, &ctx->opts.filter) != NGX_OK
        || !ngx_pcap_api_policy_at(s, 0, "(not (", 6))
    {
        s->len = 0;
        return;
    }

    at = ngx_pcap_api_policy_term(s);

    if (at == 0 || !ngx_pcap_api_policy_at(s, at, " and (not (", head)
        || s->len - at < head + 3
        || !ngx_pcap_api_policy_at(s, s->len - 2, "))", 2))
    {
        s->len = 0;
        return;
    }

    s->data += at + head;
    s->len -= at + head + 2;
}


/*
 * Cleans text into memory of its own, behind `before` bytes of 0; a longer
 * one than max is cut, and ends with dots.
 */
static ngx_int_t
ngx_pcap_api_policy_keep(ngx_pcap_api_agent_t *a, ngx_str_t *dst,
    ngx_str_t *text, size_t max, size_t before)
{
    size_t   n;
    u_char  *p;

    n = ngx_min(text->len, max);

    p = ngx_pnalloc(a->ctx->request->pool, before + n);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(p, before);
    dst->data = p;
    p += before;

    if (text->len > max) {
        p += ngx_pcap_api_clean_text(p, n - 3, text->data, text->len);
        p = ngx_cpymem(p, "...", 3);

    } else {
        p += ngx_pcap_api_clean_text(p, n, text->data, text->len);
    }

    dst->len = p - dst->data;

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_policy_filter(ngx_pcap_api_agent_t *a, ngx_pcap_api_iface_t *f,
    const pcapx_opt_t *opt)
{
    ngx_str_t  text, policy;

    /* 0: a filter as text (draft-ietf-opsawg-pcapng, 4.2) */

    if (!a->ctx->opts.pcapng || opt->len < 2 || opt->value[0] != 0) {
        return NGX_OK;
    }

    text.data = (u_char *) opt->value + 1;
    text.len = opt->len - 1;

    if (ngx_pcap_api_policy_keep(a, &f->filter, &text,
                                 NGX_PCAP_API_MAX_IF_FILTER, 1)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    policy = text;
    ngx_pcap_api_policy_middle(a->ctx, &policy);

    if (a->policy.len || policy.len == 0) {
        return NGX_OK;                     /* one for all its interfaces */
    }

    return ngx_pcap_api_policy_keep(a, &a->policy, &policy,
                                    NGX_PCAP_API_POLICY_LEN, 0);
}


void
ngx_pcap_api_policy_tell(ngx_pcap_api_ctx_t *ctx)
{
    u_char                 cut[64];
    size_t                 n;
    uint32_t               snaplen;
    ngx_uint_t             i, k;
    ngx_pcap_api_agent_t  *a;

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (!a->in_file) {
            continue;
        }

        snaplen = ctx->opts.snaplen;

        for (k = 0; k < a->nifaces; k++) {
            snaplen = ngx_min(snaplen, a->ifaces[k].snaplen);
        }

        n = 0;

        if (snaplen < ctx->opts.snaplen) {
            n = ngx_snprintf(cut, sizeof(cut), "cuts packets to %uD bytes",
                             snaplen)
                - cut;
        }

        if (a->policy.len == 0 && n == 0) {
            continue;
        }

        ngx_pcap_api_message(ctx, a, NGX_PCAP_API_MSG_POLICY,
                             "this machine's policy %s%V%s%*s",
                             a->policy.len ? "leaves out packets: (" : "",
                             &a->policy,
                             !a->policy.len ? "" : n ? ") and " : ")",
                             n, cut);
    }
}
