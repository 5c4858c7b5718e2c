/*
 * fuzz/ngx_options.c: any bytes as the options of a capture: a query string,
 * a NUL, a form that comes in two pieces. The first byte says which resolver
 * it is for and where the form is cut. Options that are taken keep to their
 * limits; a refusal is a 4xx with one line of clean text.
 */

#include "fuzz/ngx/core.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* Memory of exactly its size, so that a sanitizer sees each byte beyond. */
static ngx_str_t
piece(fuzz_ngx_t *f, const uint8_t *p, size_t len)
{
    ngx_str_t  s;

    s.len = len;
    s.data = ngx_pnalloc(f->request.pool, len ? len : 1);
    fuzz_require(s.data != NULL);

    if (len) {
        ngx_memcpy(s.data, p, len);
    }

    return s;
}


static ngx_chain_t *
link_of(fuzz_ngx_t *f, const uint8_t *p, size_t len)
{
    ngx_str_t     s;
    ngx_chain_t  *cl;

    cl = ngx_pcalloc(f->request.pool, sizeof(ngx_chain_t));
    fuzz_require(cl != NULL);

    cl->buf = ngx_pcalloc(f->request.pool, sizeof(ngx_buf_t));
    fuzz_require(cl->buf != NULL);

    s = piece(f, p, len);
    cl->buf->start = cl->buf->pos = s.data;
    cl->buf->last = cl->buf->end = s.data + len;
    cl->buf->temporary = 1;

    return cl;
}


/* A POST with this form, cut where cut says. */
static void
post(fuzz_ngx_t *f, const uint8_t *p, size_t len, size_t cut,
    ngx_http_request_body_t *body, ngx_table_elt_t *type)
{
    ngx_memzero(body, sizeof(*body));
    ngx_memzero(type, sizeof(*type));

    cut = cut < len ? cut : len;
    body->bufs = link_of(f, p, cut);
    body->bufs->next = link_of(f, p + cut, len - cut);

    ngx_str_set(&type->value, "application/x-www-form-urlencoded");
    f->request.method = NGX_HTTP_POST;
    f->request.request_body = body;
    f->request.headers_in.content_type = type;
}


static void
judge(const ngx_pcap_api_opts_t *opts)
{
    ngx_uint_t   i;
    ngx_str_t   *s;

    fuzz_require(opts->snaplen >= 1 && opts->snaplen <= PCAPX_MAX_SNAPLEN);
    fuzz_require(opts->pcapng <= 1 && opts->promiscuous <= 1);
    fuzz_require(opts->interfaces.nelts <= PCAPX_MAX_INTERFACES);
    fuzz_require(opts->instances.nelts <= NGX_PCAP_API_MAX_INSTANCES);
    fuzz_require(opts->indexes.nelts <= NGX_PCAP_API_MAX_INSTANCES);
    fuzz_require(opts->filter.len <= PCAPX_MAX_FILTER_LEN);
    fuzz_require(opts->max_bytes <= (uint64_t) 1 << 53);
    fuzz_require(opts->max_packets <= (uint64_t) 1 << 53);
    fuzz_require(opts->duration_ms <= 30ull * 24 * 3600 * 1000);
    fuzz_require(opts->continues.len == 0 || opts->continues.len == 32);
    fuzz_require_clean(&opts->reason, NGX_PCAP_API_MAX_REASON);

    s = opts->interfaces.elts;

    for (i = 0; i < opts->interfaces.nelts; i++) {
        fuzz_require(s[i].len >= 1 && s[i].len <= PCAPX_MAX_IFNAME_LEN);
        fuzz_require(memchr(s[i].data, '/', s[i].len) == NULL);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                    n;
    ngx_int_t                 rc;
    const uint8_t            *nul;
    static fuzz_ngx_t         f;
    ngx_table_elt_t           type;
    ngx_http_request_body_t   body;
    ngx_pcap_api_resolver_t   resolver;

    if (size == 0 || size > 2 * NGX_PCAP_API_MAX_FORM) {
        return 0;
    }

    fuzz_ngx_begin(&f);
    ngx_memzero(&resolver, sizeof(resolver));
    resolver.options = data[0] % 4;
    f.ctx.resolver = &resolver;

    nul = memchr(data + 1, '\0', size - 1);
    n = nul ? (size_t) (nul - data - 1) : size - 1;
    f.request.args = piece(&f, data + 1, n);

    if (nul) {
        post(&f, nul + 1, size - n - 2, data[0] / 4, &body, &type);
    }

    rc = ngx_pcap_api_default_options(&f.ctx);
    fuzz_require(rc == NGX_OK);

    rc = ngx_pcap_api_read_options(&f.request, &f.ctx);

    if (rc == NGX_OK) {
        judge(&f.ctx.opts);

    } else {
        fuzz_require(rc >= 400 && rc < 500);
        fuzz_require(f.ctx.fail_detail.len > 0);
        fuzz_require_clean(&f.ctx.fail_detail, 1024);
    }

    fuzz_ngx_end(&f);

    return 0;
}
