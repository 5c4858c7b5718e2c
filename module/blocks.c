/*
 * module/blocks.c: what we write ourselves: the file's head, messages,
 * statistics, the verdict. The texts follow docs/PROTOCOL.md, which the
 * command line reads; foreign text in them is cleaned before it gets here.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_COMMENT_LEN  (NGX_PCAP_API_TEXT_LEN + 256)
#define NGX_PCAP_API_ISB_ROOM     (NGX_PCAP_API_COMMENT_LEN + 160)
#define NGX_PCAP_API_START_FAILS  64       /* named in the SHB */
#define NGX_PCAP_API_NRB_NAMES    256      /* per block */
#define NGX_PCAP_API_IDB_NAME     520      /* a node, "/", an endpoint */


const char *const  ngx_pcap_api_status_names[] = {
    "complete", "stopped", "limit", "partial", "error"
};

const char *const  ngx_pcap_api_msg_names[] = {
    "UNKNOWN",
    "INSTANCE_UNAVAILABLE",
    "START_CAPTURE_FAILED",
    "INVALID_REQUEST",
    "CONGESTED",
    "LIMIT_REACHED",
    "CAPTURE_STOPPED",
    "CONNECTION_ERROR",
    "CLOCK_SKEW",
    "POLICY",
    "STATUS"
};


static void
ngx_pcap_api_opt(pcapx_opt_t *opt, uint16_t code, u_char *data, size_t len)
{
    opt->code = code;
    opt->len = (uint16_t) ngx_min(len, 65535);
    opt->value = data;
}


/* "pcap-api TYPE ORIGIN: TEXT" */
static size_t
ngx_pcap_api_comment(u_char *dst, size_t max, ngx_pcap_api_agent_t *a,
    ngx_pcap_api_msg_e type, u_char *text, size_t len)
{
    static ngx_str_t  api = ngx_string("api");

    return ngx_slprintf(dst, dst + max, "pcap-api %s %V: %*s",
                        ngx_pcap_api_msg_names[type],
                        a ? &a->target->instance : &api, len, text)
           - dst;
}


/* The section header: who, what, why, and what could not start. */
static int
ngx_pcap_api_put_shb(ngx_pcap_api_ctx_t *ctx, pcapx_out_t *o)
{
    size_t                 n;
    u_char                *p, *last;
    ngx_uint_t             i, fails, nopts;
    pcapx_opt_t            opts[NGX_PCAP_API_START_FAILS + 8];
    ngx_pcap_api_agent_t  *a;

    static u_char  product[] = "pcap-api " PCAP_VERSION;

    n = (NGX_PCAP_API_START_FAILS + 1) * NGX_PCAP_API_COMMENT_LEN
        + PCAPX_MAX_FILTER_LEN + NGX_PCAP_API_MAX_REASON + 1024;

    p = ngx_pnalloc(ctx->request->pool, n);
    if (p == NULL) {
        return PCAPX_ENOSPC;
    }

    last = p + n;
    nopts = 0;
    fails = 0;

    ngx_pcap_api_opt(&opts[nopts++], PCAPX_SHB_USERAPPL, product,
                     sizeof(product) - 1);

#define ngx_pcap_api_add_comment(expr)                                        \
    n = (expr);                                                               \
    ngx_pcap_api_opt(&opts[nopts++], PCAPX_OPT_COMMENT, p, n);                \
    p += n

    ngx_pcap_api_add_comment(ngx_slprintf(p, last, "capture-id: %*s",
                         (size_t) NGX_PCAP_API_ID_LEN, ctx->id) - p);

    if (ctx->opts.continues.len) {
        ngx_pcap_api_add_comment(ngx_slprintf(p, last, "continues: %V",
                         &ctx->opts.continues) - p);
    }

    ngx_pcap_api_add_comment(ngx_slprintf(p, last, "user: %V",
                         &ctx->identity.name) - p);

    if (ctx->opts.reason.len) {
        ngx_pcap_api_add_comment(ngx_slprintf(p, last, "reason: %V",
                         &ctx->opts.reason) - p);
    }

    if (ctx->opts.filter.len) {
        ngx_pcap_api_add_comment(ngx_slprintf(p, last,
                         "filter: not the capture's own traffic and (%V)",
                         &ctx->opts.filter) - p);

    } else {
        ngx_pcap_api_add_comment(ngx_slprintf(p, last,
                         "filter: not the capture's own traffic") - p);
    }

    if (ngx_pcap_api_limits_text(ctx)->len) {
        ngx_pcap_api_add_comment(ngx_slprintf(p, last, "limits: %V",
                         ngx_pcap_api_limits_text(ctx)) - p);
    }

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (a->state != NGX_PCAP_API_AGENT_FAILED) {
            continue;
        }

        if (fails++ < NGX_PCAP_API_START_FAILS) {
            ngx_pcap_api_add_comment(ngx_pcap_api_comment(p, last - p, a,
                a->fail_type, a->fail_text.data, a->fail_text.len));
        }
    }

    if (fails > NGX_PCAP_API_START_FAILS) {
        ngx_pcap_api_add_comment(ngx_slprintf(p, last,
            "pcap-api START_CAPTURE_FAILED api: %ui instances more could "
            "not start", fails - NGX_PCAP_API_START_FAILS) - p);
    }

    return pcapx_put_shb(o, opts, nopts);
}


static int
ngx_pcap_api_put_idbs(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a,
    pcapx_out_t *o)
{
    int                    rc;
    size_t                 n, d;
    int64_t                off;
    u_char                 name[NGX_PCAP_API_IDB_NAME], desc[320];
    ngx_uint_t             k, nopts;
    pcapx_opt_t            opts[3];
    ngx_pcap_api_iface_t  *f;

    off = a->offset_ns / 1000;

    d = ngx_snprintf(desc, sizeof(desc),
                     "address=%V index=%ui clock_offset_ms=%s%L.%03L%V",
                     &a->target->addr, a->index, off < 0 ? "-" : "+",
                     (off < 0 ? -off : off) / 1000,
                     (off < 0 ? -off : off) % 1000, &a->target->detail)
        - desc;

    for (k = 0; k < a->nifaces; k++) {
        f = &a->ifaces[k];
        f->out = ctx->nifaces++;

        n = ngx_snprintf(name, sizeof(name), "%V/%V", &a->target->instance,
                         &f->name)
            - name;

        nopts = 0;
        ngx_pcap_api_opt(&opts[nopts++], PCAPX_IF_NAME, name, n);
        ngx_pcap_api_opt(&opts[nopts++], PCAPX_IF_DESCRIPTION, desc, d);

        if (f->filter.len) {
            ngx_pcap_api_opt(&opts[nopts++], PCAPX_IF_FILTER, f->filter.data,
                             f->filter.len);
        }

        rc = pcapx_put_idb(o, f->linktype, f->snaplen, opts, nopts);
        if (rc != PCAPX_OK) {
            return rc;
        }
    }

    return PCAPX_OK;
}


/* Each instance's address gets its name. */
static int
ngx_pcap_api_put_names(ngx_pcap_api_ctx_t *ctx, pcapx_out_t *o)
{
    int                    rc;
    ngx_uint_t             i, n;
    pcapx_name_t          *names;
    ngx_pcap_api_agent_t  *a;

    names = ngx_palloc(ctx->request->pool,
                       NGX_PCAP_API_NRB_NAMES * sizeof(pcapx_name_t));
    if (names == NULL) {
        return PCAPX_ENOSPC;
    }

    for (i = 0, n = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (a->state != NGX_PCAP_API_AGENT_FAILED && a->target->ip_len) {
            ngx_memcpy(names[n].addr, a->target->ip, 16);
            names[n].addr_len = a->target->ip_len;
            names[n].name = (char *) a->target->instance.data;
            names[n].name_len = a->target->instance.len;
            n++;
        }

        if (n == NGX_PCAP_API_NRB_NAMES || (n && i == ctx->nagents - 1)) {
            rc = pcapx_put_nrb(o, names, n);
            if (rc != PCAPX_OK) {
                return rc;
            }

            n = 0;
        }
    }

    ngx_pfree(ctx->request->pool, names);

    return PCAPX_OK;
}


/* An upper bound of the bytes that the head takes. */
static size_t
ngx_pcap_api_start_size(ngx_pcap_api_ctx_t *ctx)
{
    size_t                 n;
    ngx_uint_t             i, k;
    ngx_pcap_api_agent_t  *a;

    n = (NGX_PCAP_API_START_FAILS + 1) * (NGX_PCAP_API_COMMENT_LEN + 8)
        + PCAPX_MAX_FILTER_LEN + NGX_PCAP_API_MAX_REASON + 4096;

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];
        n += a->nifaces * 560 + 200;

        for (k = 0; k < a->nifaces; k++) {
            n += a->ifaces[k].filter.len + a->ifaces[k].name.len
                 + a->target->instance.len + 8;
        }
    }

    return n;
}


ngx_int_t
ngx_pcap_api_write_start(ngx_pcap_api_ctx_t *ctx)
{
    int           rc;
    size_t        size;
    u_char       *p;
    ngx_uint_t    i;
    pcapx_out_t   o;

    size = ngx_pcap_api_start_size(ctx);

    p = ngx_alloc(size, ctx->request->connection->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (!ctx->opts.pcapng) {
        for (i = 0;
             ctx->agents[i].state == NGX_PCAP_API_AGENT_FAILED;
             i++)
        {
            /* at least one has started */
        }

        pcapx_pcap_header(p, ctx->opts.snaplen,
                          ctx->agents[i].ifaces[0].linktype);

        return ngx_pcap_api_give(ctx, p, PCAPX_PCAP_HEADER_LEN);
    }

    o.pos = p;
    o.end = p + size;

    rc = ngx_pcap_api_put_shb(ctx, &o);

    for (i = 0; rc == PCAPX_OK && i < ctx->nagents; i++) {
        if (ctx->agents[i].state != NGX_PCAP_API_AGENT_FAILED) {
            rc = ngx_pcap_api_put_idbs(ctx, &ctx->agents[i], &o);
        }
    }

    if (rc == PCAPX_OK) {
        rc = ngx_pcap_api_put_names(ctx, &o);
    }

    if (rc != PCAPX_OK) {
        ngx_free(p);
        ngx_log_error(NGX_LOG_ALERT, ctx->request->connection->log, 0,
                      "pcap: head of %uz bytes: %s", size,
                      pcapx_strerror(rc));
        return NGX_ERROR;
    }

    return ngx_pcap_api_give(ctx, p, o.pos - p);
}


void
ngx_pcap_api_message(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a,
    ngx_pcap_api_msg_e type, const char *fmt, ...)
{
    u_char                  *p;
    va_list                  args;
    ngx_uint_t               most;
    ngx_pcap_api_message_t  *m;

    if (!ctx->opts.pcapng || ctx->ended) {
        return;
    }

    /* all agents may say something at once: of their clock, of their policy */

    most = 2 * ctx->nagents + NGX_PCAP_API_MESSAGES;

    if (ctx->messages == NULL) {
        ctx->messages = ngx_palloc(ctx->request->pool,
                                   most * sizeof(ngx_pcap_api_message_t));
    }

    if (ctx->messages != NULL && ctx->message) {
        ctx->nmessages -= ctx->message;
        ngx_memmove(ctx->messages, ctx->messages + ctx->message,
                    ctx->nmessages * sizeof(ngx_pcap_api_message_t));
        ctx->message = 0;
    }

    if (ctx->messages == NULL || ctx->nmessages == most) {
        ctx->messages_lost++;
        return;
    }

    m = &ctx->messages[ctx->nmessages++];
    m->agent = a;
    m->type = type;

    va_start(args, fmt);
    p = ngx_vslprintf(m->text, m->text + sizeof(m->text), fmt, args);
    va_end(args);

    m->len = p - m->text;
}


/* The next packet carries it too: there Wireshark shows it. */
void
ngx_pcap_api_attach(ngx_pcap_api_ctx_t *ctx, u_char *text, size_t len)
{
    ngx_str_t  *s;

    if (ctx->comment_text == NULL) {
        ctx->comment_text = ngx_pnalloc(ctx->request->pool,
                               NGX_PCAP_API_COMMENTS
                               * NGX_PCAP_API_COMMENT_LEN);
    }

    if (ctx->comment_text == NULL
        || ctx->ncomments == NGX_PCAP_API_COMMENTS)
    {
        return;
    }

    s = &ctx->comments[ctx->ncomments];
    s->data = ctx->comment_text
              + ctx->ncomments * NGX_PCAP_API_COMMENT_LEN;
    s->len = len;
    ngx_memcpy(s->data, text, len);
    ctx->ncomments++;
}


/* An ISB with a comment, ts 0 for now; NGX_AGAIN when there is no room now. */
static ngx_int_t
ngx_pcap_api_put_stats(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_iface_t *f,
    uint64_t ts, u_char *text, size_t len)
{
    int            rc;
    u_char        *p;
    pcapx_opt_t    opt;
    pcapx_out_t    o;
    pcapx_stats_t  st;

    p = ngx_pcap_api_reserve(ctx, NGX_PCAP_API_ISB_ROOM);
    if (p == NULL) {
        return NGX_AGAIN;
    }

    st = f->stats;
    st.present &= PCAPX_HAS_IFRECV|PCAPX_HAS_IFDROP|PCAPX_HAS_FILTERACCEPT
                  |PCAPX_HAS_OSDROP;
    st.present |= PCAPX_HAS_USRDELIV;
    st.usrdeliv = f->packets;

    st.filteraccept = ngx_pcap_api_ledger_seen(f);

    o.pos = p;
    o.end = p + NGX_PCAP_API_ISB_ROOM;

    ngx_pcap_api_opt(&opt, PCAPX_OPT_COMMENT, text, len);

    if (ts == 0) {                         /* no report of it has come yet */
        ts = ngx_pcap_api_now_ns(ctx);
    }

    rc = pcapx_put_isb(&o, f->out, ts, &st, &opt, len ? 1 : 0);
    if (rc != PCAPX_OK) {
        return NGX_ERROR;
    }

    return ngx_pcap_api_commit(ctx, p, o.pos - p);
}


static ngx_pcap_api_iface_t *
ngx_pcap_api_first_iface(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i;

    for (i = 0; i < ctx->nagents; i++) {
        if (ctx->agents[i].in_file) {
            return &ctx->agents[i].ifaces[0];
        }
    }

    return NULL;
}


ngx_int_t
ngx_pcap_api_write_messages(ngx_pcap_api_ctx_t *ctx)
{
    size_t                   len;
    u_char                   text[NGX_PCAP_API_COMMENT_LEN];
    ngx_int_t                rc;
    ngx_pcap_api_iface_t    *f;
    ngx_pcap_api_message_t  *m;

    while (ctx->message < ctx->nmessages) {
        m = &ctx->messages[ctx->message];
        f = (m->agent && m->agent->in_file) ? &m->agent->ifaces[0]
                                            : ngx_pcap_api_first_iface(ctx);

        len = ngx_pcap_api_comment(text, sizeof(text), m->agent, m->type,
                                   m->text, m->len);

        if (f == NULL) {                   /* no capture without one */
            return NGX_ERROR;
        }

        rc = ngx_pcap_api_put_stats(ctx, f, 0, text, len);
        if (rc != NGX_OK) {
            return rc;
        }

        ngx_pcap_api_attach(ctx, text, len);

        ctx->message++;
    }

    ctx->message = 0;
    ctx->nmessages = 0;

    f = ngx_pcap_api_first_iface(ctx);

    if (ctx->messages_lost == 0 || f == NULL) {
        return NGX_OK;
    }

    len = ngx_slprintf(text, text + sizeof(text), "pcap-api UNKNOWN api: %ui "
                       "messages more could not be written",
                       ctx->messages_lost)
          - text;

    rc = ngx_pcap_api_put_stats(ctx, f, 0, text, len);

    if (rc == NGX_OK) {
        ctx->messages_lost = 0;
    }

    return rc;
}


ngx_int_t
ngx_pcap_api_write_stats(ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_pcap_api_agent_t  *a;

    for ( /* void */ ; ctx->stats_agent < ctx->nagents; ctx->stats_agent++) {
        a = &ctx->agents[ctx->stats_agent];

        while (a->in_file && ctx->stats_iface < a->nifaces) {
            rc = ngx_pcap_api_put_stats(ctx, &a->ifaces[ctx->stats_iface],
                                        a->ifaces[ctx->stats_iface].stats_ts,
                                        NULL, 0);
            if (rc != NGX_OK) {
                return rc;
            }

            ctx->stats_iface++;
        }

        ctx->stats_iface = 0;
    }

    return NGX_OK;
}


size_t
ngx_pcap_api_verdict(ngx_pcap_api_ctx_t *ctx, u_char *dst, size_t max)
{
    u_char                 *p;
    ngx_pcap_api_ledger_t   sum;

    ngx_pcap_api_ledger_sum(ctx, &sum);

    p = ngx_slprintf(dst, dst + max, "pcap-api STATUS api: status=%s "
                     "packets=%uL dropped=%uL late=%uL ",
                     ngx_pcap_api_status_names[ctx->status], ctx->packets,
                     ngx_pcap_api_ledger_dropped(&sum), ctx->late);

    return ngx_pcap_api_ledger_text(&sum, ' ', p, dst + max) - dst;
}


static size_t
ngx_pcap_api_agent_verdict(ngx_pcap_api_agent_t *a, u_char *dst, size_t max)
{
    u_char                 *p;
    const char             *status;
    ngx_pcap_api_ledger_t   l;

    ngx_pcap_api_ledger(a, &l);

    status = (a->state == NGX_PCAP_API_AGENT_FAILED) ? "error"
             : (a->ctx->status == NGX_PCAP_API_PARTIAL) ? "complete"
             : ngx_pcap_api_status_names[a->ctx->status];

    p = ngx_slprintf(dst, dst + max, "pcap-api STATUS %V: status=%s "
                     "received=%uL dropped=%uL packets=%uL late=%uL ",
                     &a->target->instance, status, l.seen,
                     ngx_pcap_api_ledger_dropped(&l), a->packets, a->late);

    return ngx_pcap_api_ledger_text(&l, ' ', p, dst + max) - dst;
}


ngx_int_t
ngx_pcap_api_write_end(ngx_pcap_api_ctx_t *ctx)
{
    size_t                 n;
    u_char                 text[NGX_PCAP_API_COMMENT_LEN];
    ngx_int_t              rc;
    ngx_pcap_api_agent_t  *a;
    ngx_pcap_api_iface_t  *f;

    for ( /* void */ ; ctx->stats_agent < ctx->nagents; ctx->stats_agent++) {
        a = &ctx->agents[ctx->stats_agent];

        while (a->in_file && ctx->stats_iface < a->nifaces) {
            n = 0;

            if (ctx->stats_iface == 0) {
                n = ngx_pcap_api_agent_verdict(a, text, sizeof(text));
            }

            rc = ngx_pcap_api_put_stats(ctx, &a->ifaces[ctx->stats_iface],
                                        a->ifaces[ctx->stats_iface].stats_ts,
                                        text, n);
            if (rc != NGX_OK) {
                return rc;
            }

            ctx->stats_iface++;
        }

        ctx->stats_iface = 0;
    }

    n = ngx_pcap_api_verdict(ctx, text, sizeof(text));
    f = ngx_pcap_api_first_iface(ctx);

    return f ? ngx_pcap_api_put_stats(ctx, f, 0, text, n) : NGX_ERROR;
}
