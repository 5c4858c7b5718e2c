/*
 * module/options.c: the capture options of a query string or a form. Every
 * option is checked here, before anything is looked up or reserved; an
 * unknown, a repeated or a wrong one is a 400 that names it.
 */

#include "ngx_pcap_api_module.h"


typedef struct {
    ngx_str_t    name;
    ngx_int_t  (*set)(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair, char *err);
    ngx_uint_t   repeatable;  /* unsigned  repeatable:1 */
    ngx_uint_t   of;          /* NGX_PCAP_API_TAKES_..., 0: of all */
} ngx_pcap_api_option_t;


static ngx_int_t ngx_pcap_api_opt_continues(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_duration(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_filter(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_format(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_index(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_instance(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_interface(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_max_bytes(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_max_packets(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_process(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_promiscuous(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_reason(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_retention(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_selector(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_snaplen(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);
static ngx_int_t ngx_pcap_api_opt_store(ngx_pcap_api_ctx_t *ctx,
    pcapx_pair_t *pair, char *err);


static const ngx_pcap_api_option_t  ngx_pcap_api_options[] = {
    { ngx_string("continues"), ngx_pcap_api_opt_continues, 0, 0 },
    { ngx_string("duration"), ngx_pcap_api_opt_duration, 0, 0 },
    { ngx_string("filter"), ngx_pcap_api_opt_filter, 0, 0 },
    { ngx_string("format"), ngx_pcap_api_opt_format, 0, 0 },
    { ngx_string("index"), ngx_pcap_api_opt_index, 1,
      NGX_PCAP_API_TAKES_PROCESS },
    { ngx_string("instance"), ngx_pcap_api_opt_instance, 1,
      NGX_PCAP_API_TAKES_INSTANCE },
    { ngx_string("interface"), ngx_pcap_api_opt_interface, 1, 0 },
    { ngx_string("max_bytes"), ngx_pcap_api_opt_max_bytes, 0, 0 },
    { ngx_string("max_packets"), ngx_pcap_api_opt_max_packets, 0, 0 },
    { ngx_string("process"), ngx_pcap_api_opt_process, 0,
      NGX_PCAP_API_TAKES_PROCESS },
    { ngx_string("promiscuous"), ngx_pcap_api_opt_promiscuous, 0, 0 },
    { ngx_string("reason"), ngx_pcap_api_opt_reason, 0, 0 },
    { ngx_string("retention"), ngx_pcap_api_opt_retention, 0,
      NGX_PCAP_API_TAKES_STORE },
    { ngx_string("selector"), ngx_pcap_api_opt_selector, 0,
      NGX_PCAP_API_TAKES_SELECTOR },
    { ngx_string("snaplen"), ngx_pcap_api_opt_snaplen, 0, 0 },
    { ngx_string("store"), ngx_pcap_api_opt_store, 0,
      NGX_PCAP_API_TAKES_STORE }
};

#define NGX_PCAP_API_NOPTIONS                                                 \
    (sizeof(ngx_pcap_api_options) / sizeof(ngx_pcap_api_options[0]))


ngx_int_t
ngx_pcap_api_default_options(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pool_t           *pool;
    ngx_pcap_api_opts_t  *opts;

    pool = ctx->request->pool;
    opts = &ctx->opts;

    opts->snaplen = PCAPX_MAX_SNAPLEN;
    opts->pcapng = 1;

    if (ngx_array_init(&opts->interfaces, pool, PCAPX_MAX_INTERFACES,
                       sizeof(ngx_str_t))
        != NGX_OK
        || ngx_array_init(&opts->instances, pool, 8, sizeof(ngx_str_t))
           != NGX_OK
        || ngx_array_init(&opts->indexes, pool, 8, sizeof(ngx_uint_t))
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_pcap_api_opt_taken(ngx_pcap_api_ctx_t *ctx,
    const ngx_pcap_api_option_t *opt)
{
    if (opt->of == NGX_PCAP_API_TAKES_STORE) {
        return ctx->phase == ngx_pcap_api_capture_phases
               && ctx->conf->store.folder.len;
    }

    return opt->of == 0 || (ctx->resolver->options & opt->of);
}


static ngx_int_t
ngx_pcap_api_opt_unknown(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair)
{
    u_char                       *p, *last, name[64], list[160];
    size_t                        n;
    ngx_uint_t                    i;
    const ngx_pcap_api_option_t  *opt;

    n = ngx_pcap_api_clean_text(name, sizeof(name), (u_char *) pair->name,
                                pair->name_len);
    p = list;
    last = list + sizeof(list);

    for (i = 0; i < NGX_PCAP_API_NOPTIONS; i++) {
        opt = &ngx_pcap_api_options[i];

        if (ngx_pcap_api_opt_taken(ctx, opt)) {
            p = ngx_slprintf(p, last, "%s%V", p == list ? "" : ", ",
                             &opt->name);
        }
    }

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                               "unknown option \"%*s\", allowed are %*s",
                               n, name, (size_t) (p - list), list);
}


ngx_int_t
ngx_pcap_api_take_option(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair)
{
    char                          err[PCAPX_ERR_LEN];
    ngx_uint_t                    i;
    const ngx_pcap_api_option_t  *opt;

    opt = NULL;

    for (i = 0; i < NGX_PCAP_API_NOPTIONS; i++) {
        opt = &ngx_pcap_api_options[i];

        if (pair->name_len == opt->name.len
            && ngx_memcmp(pair->name, opt->name.data, pair->name_len) == 0
            && ngx_pcap_api_opt_taken(ctx, opt))
        {
            break;
        }
    }

    if (i == NGX_PCAP_API_NOPTIONS) {
        return ngx_pcap_api_opt_unknown(ctx, pair);
    }

    if (!opt->repeatable) {
        if (ctx->opts.seen & (1u << i)) {
            return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                       "option \"%V\" is given twice",
                                       &opt->name);
        }

        ctx->opts.seen |= 1u << i;
    }

    if (opt->set(ctx, pair, err) != NGX_OK) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                   "option \"%V\": %s", &opt->name, err);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_parse_options(ngx_pcap_api_ctx_t *ctx, u_char *text, size_t len)
{
    int            rc;
    char          *pos, err[PCAPX_ERR_LEN];
    ngx_int_t      taken;
    pcapx_pair_t   pair;

    pos = (char *) text;

    for ( ;; ) {
        rc = pcapx_form_next(&pos, (char *) text + len, &pair, err);

        if (rc == PCAPX_END) {
            return NGX_OK;
        }

        if (rc != PCAPX_OK) {
            return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST, "%s", err);
        }

        taken = ngx_pcap_api_take_option(ctx, &pair);
        if (taken != NGX_OK) {
            return taken;
        }
    }
}


static ngx_int_t
ngx_pcap_api_opt_push(ngx_array_t *list, pcapx_pair_t *pair, ngx_uint_t max,
    char *err)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    s = list->elts;

    for (i = 0; i < list->nelts; i++) {
        if (s[i].len == pair->value_len
            && ngx_memcmp(s[i].data, pair->value, pair->value_len) == 0)
        {
            return NGX_OK;                 /* the same one again */
        }
    }

    if (list->nelts == max) {
        (void) ngx_snprintf((u_char *) err, PCAPX_ERR_LEN,
                            "more than %ui are given%Z", max);
        return NGX_ERROR;
    }

    s = ngx_array_push(list);
    if (s == NULL) {
        (void) ngx_snprintf((u_char *) err, PCAPX_ERR_LEN, "no memory%Z");
        return NGX_ERROR;
    }

    s->data = (u_char *) pair->value;
    s->len = pair->value_len;

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_opt_continues(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    ctx->opts.continues.data = (u_char *) pair->value;
    ctx->opts.continues.len = pair->value_len;

    return pcapx_valid_capture_id(pair->value, pair->value_len, err);
}


static ngx_int_t
ngx_pcap_api_opt_duration(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    return pcapx_parse_duration(pair->value, pair->value_len,
                                &ctx->opts.duration_ms, err);
}


static ngx_int_t
ngx_pcap_api_opt_filter(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    ctx->opts.filter.data = (u_char *) pair->value;
    ctx->opts.filter.len = pair->value_len;

    return pcapx_valid_filter(pair->value, pair->value_len, err);
}


static ngx_int_t
ngx_pcap_api_opt_format(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    int  pcapng;

    if (pcapx_parse_format(pair->value, pair->value_len, &pcapng, err)
        != PCAPX_OK)
    {
        return NGX_ERROR;
    }

    ctx->opts.pcapng = pcapng;

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_opt_index(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    uint64_t     n;
    ngx_uint_t  *index, i;

    if (pcapx_parse_number("index", pair->value, pair->value_len, 0,
                           PCAPX_MAX_INDEX, &n, err)
        != PCAPX_OK)
    {
        return NGX_ERROR;
    }

    index = ctx->opts.indexes.elts;

    for (i = 0; i < ctx->opts.indexes.nelts; i++) {
        if (index[i] == n) {
            return NGX_OK;                 /* the same one again */
        }
    }

    if (i == NGX_PCAP_API_MAX_INSTANCES) {
        (void) ngx_snprintf((u_char *) err, PCAPX_ERR_LEN,
                            "more than %ui are given%Z", i);
        return NGX_ERROR;
    }

    index = ngx_array_push(&ctx->opts.indexes);
    if (index == NULL) {
        (void) ngx_snprintf((u_char *) err, PCAPX_ERR_LEN, "no memory%Z");
        return NGX_ERROR;
    }

    *index = n;

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_opt_instance(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    if (pcapx_valid_instance(pair->value, pair->value_len, err) != PCAPX_OK) {
        return NGX_ERROR;
    }

    return ngx_pcap_api_opt_push(&ctx->opts.instances, pair,
                                 NGX_PCAP_API_MAX_INSTANCES, err);
}


static ngx_int_t
ngx_pcap_api_opt_interface(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    if (pcapx_valid_interface(pair->value, pair->value_len, err) != PCAPX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pcap_api_opt_push(&ctx->opts.interfaces, pair,
                                 PCAPX_MAX_INTERFACES, err);
}


static ngx_int_t
ngx_pcap_api_opt_max_bytes(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    return pcapx_parse_size(pair->value, pair->value_len,
                            &ctx->opts.max_bytes, err);
}


static ngx_int_t
ngx_pcap_api_opt_max_packets(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    return pcapx_parse_number("max_packets", pair->value, pair->value_len, 1,
                              (uint64_t) 1 << 53, &ctx->opts.max_packets,
                              err);
}


static ngx_int_t
ngx_pcap_api_opt_process(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    ctx->opts.process.data = (u_char *) pair->value;
    ctx->opts.process.len = pair->value_len;

    return pcapx_valid_process(pair->value, pair->value_len, err) == PCAPX_OK
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_pcap_api_opt_promiscuous(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    int  on;

    if (pcapx_parse_flag("promiscuous", pair->value, pair->value_len, &on,
                         err)
        != PCAPX_OK)
    {
        return NGX_ERROR;
    }

    ctx->opts.promiscuous = on;

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_opt_reason(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    ctx->opts.reason.data = (u_char *) pair->value;
    ctx->opts.reason.len = pair->value_len;

    return pcapx_valid_text("reason", pair->value, pair->value_len,
                            NGX_PCAP_API_MAX_REASON, err);
}


/* What it means is for the API server to say. */
static ngx_int_t
ngx_pcap_api_opt_selector(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    if (pair->value_len > NGX_PCAP_API_MAX_SELECTOR) {
        (void) ngx_snprintf((u_char *) err, PCAPX_ERR_LEN,
                            "is longer than %d bytes%Z",
                            NGX_PCAP_API_MAX_SELECTOR);
        return NGX_ERROR;
    }

    ctx->opts.selector.data = (u_char *) pair->value;
    ctx->opts.selector.len = pair->value_len;

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_opt_snaplen(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    ngx_int_t  rc;

    rc = pcapx_parse_snaplen(pair->value, pair->value_len, &ctx->opts.snaplen,
                             err);
    ctx->opts.snaplen_set = (rc == PCAPX_OK);

    return rc;
}


static ngx_int_t
ngx_pcap_api_opt_retention(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    return pcapx_parse_duration(pair->value, pair->value_len,
                                &ctx->opts.retention_ms, err);
}


static ngx_int_t
ngx_pcap_api_opt_store(ngx_pcap_api_ctx_t *ctx, pcapx_pair_t *pair,
    char *err)
{
    int  on;

    if (pcapx_parse_flag("store", pair->value, pair->value_len, &on, err)
        != PCAPX_OK)
    {
        return NGX_ERROR;
    }

    ctx->opts.store = on;

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_body_text(ngx_http_request_t *r, ngx_str_t *text)
{
    ssize_t       n;
    ngx_chain_t  *cl;

    ngx_str_null(text);

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        text->len += ngx_buf_size(cl->buf);
    }

    if (text->len > NGX_PCAP_API_MAX_FORM) {
        return NGX_DECLINED;
    }

    text->data = ngx_pnalloc(r->pool, text->len + 1);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    text->len = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {

        if (ngx_buf_in_memory(cl->buf)) {
            n = cl->buf->last - cl->buf->pos;
            ngx_memcpy(text->data + text->len, cl->buf->pos, n);

        } else if (!cl->buf->in_file) {
            n = 0;                         /* the end of "Content-Length: 0" */

        } else {
            n = ngx_read_file(cl->buf->file, text->data + text->len,
                              (size_t) (cl->buf->file_last
                                        - cl->buf->file_pos),
                              cl->buf->file_pos);
            if (n == NGX_ERROR) {
                return NGX_ERROR;
            }
        }

        text->len += n;
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_read_options(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   text, *type;

    static ngx_str_t  form =
        ngx_string("application/x-www-form-urlencoded");

    if (r->args.len) {
        /* decoding is done in place, the log wants r->args as it came */
        p = ngx_pnalloc(r->pool, r->args.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(p, r->args.data, r->args.len);

        rc = ngx_pcap_api_parse_options(ctx, p, r->args.len);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (!(r->method & NGX_HTTP_POST)) {
        return NGX_OK;
    }

    rc = ngx_pcap_api_body_text(r, &text);

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                   "the form is longer than %d bytes",
                                   NGX_PCAP_API_MAX_FORM);
    }

    if (rc != NGX_OK || text.len == 0) {
        return rc;
    }

    type = r->headers_in.content_type ? &r->headers_in.content_type->value
                                      : NULL;

    if (type == NULL || type->len < form.len
        || ngx_strncasecmp(type->data, form.data, form.len) != 0
        || (type->len > form.len && type->data[form.len] != ';'
            && type->data[form.len] != ' '))
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                   "options are taken as %V only", &form);
    }

    return ngx_pcap_api_parse_options(ctx, text.data, text.len);
}
