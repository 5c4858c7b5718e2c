/*
 * module/output.c: the chain to the client. A large record goes out as a
 * shadow of the upstream's buffer, where it lies; small records and our own
 * blocks are gathered in stages, because one buffer for each would cost more
 * than the copy. Everything is recycled: nothing is allocated per record.
 *
 * When the client takes nothing, stages run out and nothing more is built:
 * that is the back-pressure.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_MIN_SEND  2048        /* over postpone_output's 1460 */


ngx_int_t
ngx_pcap_api_output_init(ngx_pcap_api_ctx_t *ctx)
{
    u_char      *p;
    ngx_uint_t   i;

    p = ngx_palloc(ctx->request->pool,
                   NGX_PCAP_API_STAGES * NGX_PCAP_API_STAGE_SIZE);
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_PCAP_API_STAGES; i++) {
        ctx->stages[i].start = p + i * NGX_PCAP_API_STAGE_SIZE;
        ctx->stages[i].pos = ctx->stages[i].start;
    }

    return NGX_OK;
}


u_char *
ngx_pcap_api_reserve(ngx_pcap_api_ctx_t *ctx, size_t len)
{
    ngx_uint_t             i;
    ngx_pcap_api_stage_t  *st;

    for (i = 0; i < NGX_PCAP_API_STAGES; i++) {
        st = &ctx->stages[(ctx->stage + i) % NGX_PCAP_API_STAGES];

        if (st->refs == 0) {
            st->pos = st->start;
        }

        /* only the current stage is appended to: order is kept in any case */

        if ((i == 0 || st->refs == 0)
            && (size_t) (st->start + NGX_PCAP_API_STAGE_SIZE - st->pos)
               >= len)
        {
            ctx->stage = st - ctx->stages;
            return st->pos;
        }
    }

    return NULL;
}


/* An empty buffer at the end of the chain. */
static ngx_pcap_api_obuf_t *
ngx_pcap_api_add(ngx_pcap_api_ctx_t *ctx, u_char *p, size_t len)
{
    ngx_pool_t           *pool;
    ngx_chain_t          *ln;
    ngx_pcap_api_obuf_t  *o;

    pool = ctx->request->pool;

    if (ctx->free != NULL) {
        ln = ctx->free;
        ctx->free = ln->next;
        o = (ngx_pcap_api_obuf_t *) ln->buf;

    } else {
        ln = ngx_alloc_chain_link(pool);
        o = ngx_palloc(pool, sizeof(ngx_pcap_api_obuf_t));

        if (ln == NULL || o == NULL) {
            return NULL;
        }

        ln->buf = &o->buf;
    }

    ngx_memzero(o, sizeof(ngx_pcap_api_obuf_t));

    o->buf.start = p;
    o->buf.pos = p;
    o->buf.last = p + len;
    o->buf.end = p + len;
    o->buf.memory = 1;
    o->buf.tag = (ngx_buf_tag_t) &ngx_pcap_api_module;

    ln->next = NULL;
    *ctx->last_out = ln;
    ctx->last_out = &ln->next;
    ctx->out_links++;
    ctx->out_bytes += len;
    ctx->tail = o;

    return o;
}


ngx_int_t
ngx_pcap_api_commit(ngx_pcap_api_ctx_t *ctx, u_char *p, size_t len)
{
    ngx_pcap_api_obuf_t   *o;
    ngx_pcap_api_stage_t  *st;

    st = &ctx->stages[ctx->stage];
    st->pos = p + len;

    o = ctx->tail;

    if (o != NULL && o->stage == st && o->buf.last == p) {
        o->buf.last = p + len;
        o->buf.end = p + len;
        ctx->out_bytes += len;
        return NGX_OK;
    }

    o = ngx_pcap_api_add(ctx, p, len);
    if (o == NULL) {
        return NGX_ERROR;
    }

    o->stage = st;
    st->refs++;

    return NGX_OK;
}


u_char *
ngx_pcap_api_append(ngx_pcap_api_ctx_t *ctx, size_t len)
{
    u_char                *p;
    ngx_pcap_api_obuf_t   *o;
    ngx_pcap_api_stage_t  *st;

    o = ctx->tail;
    st = &ctx->stages[ctx->stage];

    if (o == NULL || o->stage != st || o->buf.last != st->pos
        || (size_t) (st->start + NGX_PCAP_API_STAGE_SIZE - st->pos) < len)
    {
        return NULL;
    }

    p = st->pos;
    st->pos = p + len;
    o->buf.last = st->pos;
    o->buf.end = st->pos;
    ctx->out_bytes += len;

    return p;
}


ngx_int_t
ngx_pcap_api_span(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a, u_char *p,
    size_t len)
{
    ngx_pcap_api_obuf_t  *o;

    o = ctx->tail;

    if (o != NULL && o->agent == a && o->buf.last == p
        && o->carry == a->head_carry)
    {
        o->buf.last = p + len;
        o->buf.end = p + len;
        ctx->out_bytes += len;
        return NGX_OK;
    }

    o = ngx_pcap_api_add(ctx, p, len);
    if (o == NULL) {
        return NGX_ERROR;
    }

    o->agent = a;
    o->carry = a->head_carry;

    if (o->carry) {
        a->carry_busy = 1;

    } else {
        a->outstanding++;
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_give(ngx_pcap_api_ctx_t *ctx, u_char *memory, size_t len)
{
    ngx_pcap_api_obuf_t  *o;

    o = ngx_pcap_api_add(ctx, memory, len);
    if (o == NULL) {
        ngx_free(memory);
        return NGX_ERROR;
    }

    o->memory = memory;

    return NGX_OK;
}


void
ngx_pcap_api_reap(ngx_pcap_api_ctx_t *ctx)
{
    ngx_chain_t           *ln;
    ngx_pcap_api_obuf_t   *o;
    ngx_pcap_api_agent_t  *a;

    while (ctx->busy != NULL) {
        ln = ctx->busy;
        o = (ngx_pcap_api_obuf_t *) ln->buf;

        if (o->buf.pos != o->buf.last) {
            return;
        }

        ctx->busy = ln->next;
        ctx->took = ngx_current_msec;

        a = o->agent;

        if (a != NULL) {
            if (o->carry) {
                ngx_pcap_api_agent_carry_free(a);
                ngx_pcap_api_agent_mark(a);

            } else if (--a->outstanding == 0) {
                ngx_pcap_api_agent_mark(a);
            }

        } else if (o->stage != NULL) {
            o->stage->refs--;

        } else if (o->memory != NULL) {
            ngx_free(o->memory);
            o->memory = NULL;
        }

        ln->next = ctx->free;
        ctx->free = ln;
    }

    ctx->last_busy = &ctx->busy;
}


static void
ngx_pcap_api_chain_detach(ngx_chain_t *ln)
{
    ngx_pcap_api_obuf_t   *o;
    ngx_pcap_api_agent_t  *a;

    for ( /* void */ ; ln; ln = ln->next) {
        o = (ngx_pcap_api_obuf_t *) ln->buf;
        a = o->agent;

        if (a == NULL) {
            continue;
        }

        if (o->carry && a->carry != NULL) {
            o->memory = a->carry;
            a->carry = NULL;
            a->carry_size = 0;
            a->carry_len = 0;
        }

        o->agent = NULL;
        o->carry = 0;
    }
}


void
ngx_pcap_api_detach(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_chain_detach(ctx->out);
    ngx_pcap_api_chain_detach(ctx->busy);
}


/*
 * What TLS gathers for a full record does not count as held up, as long as
 * the socket takes bytes and nobody asked for a flush.
 */
static ngx_uint_t
ngx_pcap_api_all_taken(ngx_pcap_api_ctx_t *ctx, ngx_uint_t flush)
{
    ngx_connection_t  *c;

    c = ctx->request->connection;

    return ctx->busy == NULL
           && (!c->buffered || (!flush && c->write->ready));
}


ngx_int_t
ngx_pcap_api_send(ngx_pcap_api_ctx_t *ctx, ngx_uint_t flush)
{
    ngx_int_t                  rc;
    ngx_chain_t               *out;
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = ctx->request;
    c = r->connection;
    out = ctx->out;

    /* below postpone_output nginx would keep it, HTTP/2 has no such buffer */

    flush |= (ctx->out_bytes < NGX_PCAP_API_MIN_SEND
              || r->http_version >= NGX_HTTP_VERSION_20);

    if (out != NULL) {
        ctx->tail->buf.flush = flush;
        ngx_pcap_api_pace_take(ctx, ctx->out_bytes);

        *ctx->last_busy = out;
        ctx->last_busy = ctx->last_out;
        ctx->out = NULL;
        ctx->last_out = &ctx->out;
        ctx->tail = NULL;
        ctx->out_links = 0;
        ctx->out_bytes = 0;

    } else if (ngx_pcap_api_all_taken(ctx, flush)) {
        return NGX_OK;
    }

    rc = ngx_pcap_api_next_body(r, out);

    if (rc == NGX_ERROR || c->error) {
        return NGX_ERROR;
    }

    ngx_pcap_api_reap(ctx);

    if (c->sent != ctx->sent) {
        ctx->sent = c->sent;
        ctx->took = ngx_current_msec;
    }

    if (ngx_pcap_api_all_taken(ctx, flush)) {
        return NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!c->write->delayed
        && ngx_handle_write_event(c->write, clcf->send_lowat) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


static void
ngx_pcap_api_chain_free(ngx_chain_t *ln)
{
    ngx_pcap_api_obuf_t  *o;

    for ( /* void */ ; ln; ln = ln->next) {
        o = (ngx_pcap_api_obuf_t *) ln->buf;

        if (o->memory != NULL) {
            ngx_free(o->memory);
            o->memory = NULL;
        }
    }
}


void
ngx_pcap_api_output_free(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_chain_free(ctx->out);
    ngx_pcap_api_chain_free(ctx->busy);
}
