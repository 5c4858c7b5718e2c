/*
 * module/record.c: one record on its way out: the limits, the client's
 * format, the comments that wait for a packet, and the one record that is
 * held back for the verdict. Only the record's header is written to; the
 * packet's bytes are not looked at.
 */

#include "ngx_pcap_api_module.h"


/* Where the head record stands: ours to write to. */
static u_char *
ngx_pcap_api_head(ngx_pcap_api_agent_t *a)
{
    return a->head_carry ? a->carry : a->pos;
}


static uint32_t
ngx_pcap_api_get32(u_char *p)
{
    uint32_t  n;

    ngx_memcpy(&n, p, sizeof(uint32_t));

    return n;
}


/*
 * The EPB at p again, with the comments that are waiting; it is rare, so the
 * packet is copied. NGX_AGAIN when there is no room now.
 */
static ngx_int_t
ngx_pcap_api_annotated(ngx_pcap_api_ctx_t *ctx, u_char *p)
{
    int           rc;
    size_t        len;
    u_char       *dst;
    uint64_t      ts;
    uint32_t      caplen, origlen;
    ngx_uint_t    i;
    pcapx_opt_t   opts[NGX_PCAP_API_COMMENTS];
    pcapx_out_t   o;

    ts = (uint64_t) ngx_pcap_api_get32(p + 12) << 32
         | ngx_pcap_api_get32(p + 16);
    caplen = ngx_pcap_api_get32(p + 20);
    origlen = ngx_pcap_api_get32(p + 24);

    for (i = 0; i < ctx->ncomments; i++) {
        opts[i].code = PCAPX_OPT_COMMENT;
        opts[i].len = (uint16_t) ctx->comments[i].len;
        opts[i].value = ctx->comments[i].data;
    }

    len = pcapx_epb_len(caplen, pcapx_opts_len(opts, ctx->ncomments));

    if (len <= NGX_PCAP_API_STAGE_SIZE) {
        dst = ngx_pcap_api_reserve(ctx, len);
        if (dst == NULL) {
            return NGX_AGAIN;
        }

    } else {
        dst = ngx_alloc(len, ctx->request->connection->log);
        if (dst == NULL) {
            return NGX_ERROR;
        }
    }

    o.pos = dst;
    o.end = dst + len;

    rc = pcapx_put_epb(&o, ngx_pcap_api_get32(p + 8), ts,
                       p + PCAPX_EPB_HEAD_LEN, caplen, origlen, opts,
                       ctx->ncomments);

    ctx->ncomments = 0;

    if (rc != PCAPX_OK) {                  /* the length was computed above */
        return NGX_ERROR;
    }

    return (len <= NGX_PCAP_API_STAGE_SIZE)
           ? ngx_pcap_api_commit(ctx, dst, len)
           : ngx_pcap_api_give(ctx, dst, len);
}


static ngx_int_t
ngx_pcap_api_copied(ngx_pcap_api_ctx_t *ctx, u_char *p, size_t len)
{
    u_char  *dst;

    dst = ngx_pcap_api_append(ctx, len);

    if (dst != NULL) {
        ngx_memcpy(dst, p, len);
        return NGX_OK;
    }

    dst = ngx_pcap_api_reserve(ctx, len);
    if (dst == NULL) {
        return NGX_AGAIN;
    }

    ngx_memcpy(dst, p, len);

    return ngx_pcap_api_commit(ctx, dst, len);
}


/* The record that was held back goes out. */
ngx_int_t
ngx_pcap_api_unhold(ngx_pcap_api_ctx_t *ctx)
{
    u_char     *p;
    size_t      len;
    ngx_int_t   rc;

    if (ctx->held_len == 0) {
        return NGX_OK;
    }

    if (ctx->ncomments) {
        rc = ngx_pcap_api_annotated(ctx, ctx->held);

    } else if (ctx->held_len <= NGX_PCAP_API_STAGE_SIZE) {
        rc = ngx_pcap_api_copied(ctx, ctx->held, ctx->held_len);

    } else {
        p = ctx->held;
        len = ctx->held_len;
        ctx->held = NULL;
        ctx->held_size = 0;
        rc = ngx_pcap_api_give(ctx, p, len);
    }

    if (rc == NGX_OK) {
        ctx->held_len = 0;
    }

    return rc;
}


/*
 * While the end is near, one record is always held back: the last one takes
 * the verdict along.
 */
static ngx_int_t
ngx_pcap_api_hold(ngx_pcap_api_ctx_t *ctx, u_char *p, size_t len)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_unhold(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (len > ctx->held_size) {
        if (ctx->held != NULL) {
            ngx_free(ctx->held);
        }

        ctx->held_size = ngx_max(len, 4096);
        ctx->held = ngx_alloc(ctx->held_size, ctx->request->connection->log);

        if (ctx->held == NULL) {
            ctx->held_size = 0;
            return NGX_ERROR;
        }
    }

    ngx_memcpy(ctx->held, p, len);
    ctx->held_len = len;

    return NGX_OK;
}


/* Puts the head record of a into the chain, in the client's format. */
static ngx_int_t
ngx_pcap_api_put_record(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a)
{
    u_char         *p;
    size_t          len;
    pcapx_block_t  *b;

    b = &a->head;
    p = ngx_pcap_api_head(a);
    len = b->len;

    if (ctx->opts.pcapng) {
        ngx_memcpy(p + 8, &a->ifaces[b->iface].out, sizeof(uint32_t));

        if (ctx->hold) {
            return ngx_pcap_api_hold(ctx, p, len);
        }

        if (ctx->ncomments) {
            return ngx_pcap_api_annotated(ctx, p);
        }

    } else {
        /* the record's header fits into what was the block's */

        p += PCAPX_EPB_HEAD_LEN - PCAPX_PCAP_RECORD_LEN;
        len = PCAPX_PCAP_RECORD_LEN + b->caplen;
        pcapx_pcap_record(p, b->ts_ns, b->caplen, b->origlen);
    }

    return (len <= NGX_PCAP_API_COPY_MAX && !a->long_run)
           ? ngx_pcap_api_copied(ctx, p, len)
           : ngx_pcap_api_span(ctx, a, p, len);
}


/* NGX_OK, NGX_AGAIN (no room), NGX_DONE (it would exceed a limit). */
ngx_int_t
ngx_pcap_api_emit(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a,
    ngx_uint_t first)
{
    int                   late;
    ngx_int_t             rc;
    pcapx_block_t        *b;
    ngx_pcap_api_opts_t  *opts;

    b = &a->head;
    opts = &ctx->opts;

    if (opts->max_bytes && ctx->bytes + b->caplen > opts->max_bytes) {
        ngx_pcap_api_limit(ctx, NGX_PCAP_API_END_BYTES);
        return NGX_DONE;
    }

    /* it is the last one, or the last one that certainly fits */

    if ((opts->max_packets && ctx->packets + 1 == opts->max_packets)
        || (opts->max_bytes
            && ctx->bytes + b->caplen + opts->snaplen > opts->max_bytes))
    {
        ctx->hold = opts->pcapng;
    }

    rc = ngx_pcap_api_put_record(ctx, a);
    if (rc != NGX_OK) {
        return rc;
    }

    late = first ? pcapx_merge_take(&ctx->merge, (uint32_t) a->index)
                 : pcapx_merge_take_next(&ctx->merge, b->ts_ns);

    if (late) {
        a->late++;
        a->congested = 1;
        ctx->late++;
    }

    a->ifaces[b->iface].packets++;
    a->packets++;
    a->bytes += b->caplen;
    ctx->packets++;
    ctx->bytes += b->caplen;

    if (ctx->packets == opts->max_packets) {
        ngx_pcap_api_limit(ctx, NGX_PCAP_API_END_PACKETS);

    } else if (opts->max_bytes && ctx->bytes == opts->max_bytes) {
        ngx_pcap_api_limit(ctx, NGX_PCAP_API_END_BYTES);
    }

    return NGX_OK;
}
