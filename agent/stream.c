/*
 * agent/stream.c: see stream.h. One invariant: a write that would block is
 * repeated with the same bytes (SSL_write(3)), so nothing is gathered while
 * gather has unsent bytes, and a direct write is computed anew from the same
 * state.
 */

#include <stdio.h>
#include <string.h>

#include "stream.h"


static void stream_add(stream_t *s, const void *data, size_t len);
static void stream_gather(stream_t *s);
static size_t stream_direct(const stream_t *s);
static void stream_skip(stream_t *s, size_t len);


void
stream_init(stream_t *s, tls_t *tls)
{
    memset(s, 0, sizeof(*s));
    s->tls = tls;
}


int
stream_idle(const stream_t *s)
{
    return s->part == s->nparts && s->gathered == 0;
}


void
stream_chunk(stream_t *s, const uint8_t *mem)
{
    int       n;
    size_t    len;
    unsigned  i;

    s->nparts = 0;
    s->part = 0;
    s->part_off = 0;

    len = s->extra_len;

    for (i = 0; i < s->nspans; i++) {
        len += s->spans[i].len;
    }

    n = snprintf(s->head, sizeof(s->head), "%zx\r\n", len);
    stream_add(s, s->head, (size_t) n);

    for (i = 0; i < s->nspans; i++) {
        stream_add(s, mem + s->spans[i].off, s->spans[i].len);
    }

    if (s->extra_len) {
        stream_add(s, s->extra, s->extra_len);
    }

    stream_add(s, "\r\n", 2);
}


static void
stream_add(stream_t *s, const void *data, size_t len)
{
    s->parts[s->nparts].data = data;
    s->parts[s->nparts].len = len;
    s->nparts++;
}


int
stream_write(stream_t *s)
{
    int             rc;
    size_t          len;
    const uint8_t  *data;

    while (!stream_idle(s)) {

        if (s->gathered == 0) {
            stream_gather(s);
        }

        if (s->gathered) {
            data = s->gather + s->sent;
            len = s->gathered - s->sent;

        } else {
            data = s->parts[s->part].data + s->part_off;
            len = stream_direct(s);
        }

        rc = tls_write(s->tls, data, len);

        if (rc < 0) {
            return rc == TLS_AGAIN ? 0 : -1;
        }

        s->bytes += (size_t) rc;

        if (s->gathered == 0) {
            stream_skip(s, (size_t) rc);
            continue;
        }

        s->sent += (size_t) rc;

        if (s->sent == s->gathered) {
            s->gathered = 0;
            s->sent = 0;
        }
    }

    return 1;
}


/* Bytes of the next part that are worth a write of their own, or 0. */

static size_t
stream_direct(const stream_t *s)
{
    size_t  left;

    left = s->parts[s->part].len - s->part_off;

    return left - left % STREAM_GATHER_LEN;
}


/*
 * Fills the gather buffer up to a full TLS record, but leaves it empty when
 * the next part alone fills one.
 */

static void
stream_gather(stream_t *s)
{
    size_t                n;
    const stream_part_t  *p;

    if (stream_direct(s)) {
        return;
    }

    while (s->part < s->nparts && s->gathered < STREAM_GATHER_LEN) {
        p = &s->parts[s->part];
        n = p->len - s->part_off;

        if (n > STREAM_GATHER_LEN - s->gathered) {
            n = STREAM_GATHER_LEN - s->gathered;
        }

        memcpy(s->gather + s->gathered, p->data + s->part_off, n);
        s->gathered += n;
        stream_skip(s, n);
    }
}


static void
stream_skip(stream_t *s, size_t len)
{
    s->part_off += len;

    if (s->part_off == s->parts[s->part].len) {
        s->part++;
        s->part_off = 0;
    }
}
