/*
 * module/tls_send.c: what goes to a client with TLS, without nginx's copy.
 *
 * nginx gathers a chain in a buffer of its own, one TLS record long, before
 * it encrypts: right for many small buffers, needless for large ones. Here
 * whole records of a large buffer are encrypted where they lie, and nginx
 * gathers what is left: heads of chunks and odd ends.
 */

#include "ngx_pcap_api_module.h"


#if (NGX_HTTP_SSL)

#define NGX_PCAP_API_TLS_RECORD  16384

/* An ssl_buffer_size below that asks for smaller records. */
#define NGX_PCAP_API_TLS_BUFFER  16000


/*
 * A write that has to be repeated must be repeated as it was: so this may not
 * depend on anything that changes while the client blocks.
 */
static ngx_inline ngx_uint_t
ngx_pcap_api_tls_direct(ngx_connection_t *c, ngx_chain_t *in, off_t left)
{
    return in != NULL
           && !(c->buffered & NGX_SSL_BUFFERED)
           && ngx_buf_in_memory_only(in->buf)
           && in->buf->last - in->buf->pos >= NGX_PCAP_API_TLS_RECORD
           && left >= NGX_PCAP_API_TLS_RECORD;
}


/* As much as fills nginx's buffer once. */
static off_t
ngx_pcap_api_tls_room(ngx_connection_t *c, off_t left)
{
    off_t       room;
    ngx_buf_t  *b;

    b = c->ssl->buf;
    room = (b != NULL && b->pos != b->last) ? b->end - b->pos
                                            : (off_t) c->ssl->buffer_size;

    return ngx_min(room, left);
}


/* A send_chain as nginx has them: returns what was not sent. */
static ngx_chain_t *
ngx_pcap_api_tls_send_chain(ngx_connection_t *c, ngx_chain_t *in, off_t limit)
{
    off_t       end, sent;
    ssize_t     n;
    ngx_uint_t  flush;

    if (limit == 0 || limit > NGX_MAX_INT32_VALUE) {
        limit = NGX_MAX_INT32_VALUE;
    }

    end = c->sent + limit;
    flush = 0;

    do {
        if (ngx_pcap_api_tls_direct(c, in, end - c->sent)) {
            sent = c->sent;
            n = ngx_ssl_write(c, in->buf->pos, NGX_PCAP_API_TLS_RECORD);

            if (n == NGX_ERROR) {
                return NGX_CHAIN_ERROR;
            }

            if (n == NGX_AGAIN) {
                return in;
            }

            in->buf->pos += n;
            flush |= in->buf->flush;

            if (in->buf->pos == in->buf->last) {
                in = in->next;
            }

            continue;
        }

        sent = c->sent;
        in = ngx_ssl_send_chain(c, in, ngx_pcap_api_tls_room(c, end - sent));

        if (in == NGX_CHAIN_ERROR) {
            return in;
        }

    } while (in != NULL && c->sent != sent && c->sent < end);

    if (in == NULL && flush && (c->buffered & NGX_SSL_BUFFERED)) {
        return ngx_ssl_send_chain(c, NULL, 0);
    }

    return in;
}


void
ngx_pcap_api_tls_send(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    /* streams of HTTP/2 have a connection of their own, which has no socket */

    if (r->http_version < NGX_HTTP_VERSION_20 && c->ssl != NULL
        && c->ssl->buffer && c->ssl->buffer_size >= NGX_PCAP_API_TLS_BUFFER
        && c->send_chain == ngx_ssl_send_chain)
    {
        c->send_chain = ngx_pcap_api_tls_send_chain;
    }
}


void
ngx_pcap_api_tls_send_end(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    if (c->send_chain == ngx_pcap_api_tls_send_chain) {
        c->send_chain = ngx_ssl_send_chain;
    }
}

#else

void
ngx_pcap_api_tls_send(ngx_http_request_t *r)
{
}


void
ngx_pcap_api_tls_send_end(ngx_http_request_t *r)
{
}

#endif
