/*
 * store/frame.c: see frame.h. What is opened may have been written by a
 * process that was killed, or by somebody else: a length is held to our own
 * bounds before libzstd is asked to follow it.
 */

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "frame.h"


#define FRAME_MAGIC_LEN   4
#define FRAME_DESCRIPTOR  4          /* a byte; RFC 8878 3.1.1.1.1 */
#define FRAME_CHECKSUM    0x04       /* of it: there is one at the end */
#define FRAME_WINDOW_LOG  21         /* no window is larger than a frame */

struct frame_packer_s {
    ZSTD_CCtx  *ctx;
    uint8_t     buf[FRAME_MAX];
};

struct frame_opener_s {
    ZSTD_DCtx  *ctx;
    uint8_t     buf[FRAME_MAX_RAW];
};

_Static_assert(1 << FRAME_WINDOW_LOG == FRAME_MAX_RAW,
               "what is packed at once needs no more");
_Static_assert(FRAME_MAX >= ZSTD_COMPRESSBOUND(FRAME_MAX_RAW),
               "packing needs so much room");


frame_packer_t *
frame_packer_new(unsigned level)
{
    frame_packer_t  *p;

    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }

    p->ctx = ZSTD_createCCtx();

    if (p->ctx == NULL
        || ZSTD_isError(ZSTD_CCtx_setParameter(p->ctx,
                            ZSTD_c_compressionLevel, (int) level))
        || ZSTD_isError(ZSTD_CCtx_setParameter(p->ctx, ZSTD_c_checksumFlag,
                                               1)))
    {
        frame_packer_free(p);
        return NULL;
    }

    return p;
}


void
frame_packer_free(frame_packer_t *p)
{
    if (p != NULL) {
        ZSTD_freeCCtx(p->ctx);
        free(p);
    }
}


size_t
frame_pack(frame_packer_t *p, const uint8_t *raw, size_t len,
    const uint8_t **frame)
{
    size_t  n;

    n = ZSTD_compress2(p->ctx, p->buf, sizeof(p->buf), raw, len);
    *frame = p->buf;

    return ZSTD_isError(n) ? 0 : n;
}


int
frame_is(const uint8_t *p, size_t len)
{
    uint32_t  magic;

    if (len < FRAME_MAGIC_LEN) {
        return 0;
    }

    magic = (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16
            | (uint32_t) p[3] << 24;

    return magic == ZSTD_MAGICNUMBER;
}


frame_state_t
frame_look(const uint8_t *p, size_t len, frame_t *frame)
{
    size_t              n;
    unsigned long long  raw;

    memset(frame, 0, sizeof(*frame));

    if (len < FRAME_MAGIC_LEN) {
        return FRAME_TORN;
    }

    if (!frame_is(p, len)
        || (len > FRAME_DESCRIPTOR
            && !(p[FRAME_DESCRIPTOR] & FRAME_CHECKSUM)))
    {
        return FRAME_BAD;
    }

    raw = ZSTD_getFrameContentSize(p, len);

    if (raw == ZSTD_CONTENTSIZE_ERROR) {
        return FRAME_TORN;                 /* not even its head is whole */
    }

    if (raw == ZSTD_CONTENTSIZE_UNKNOWN || raw == 0 || raw > FRAME_MAX_RAW) {
        return FRAME_BAD;
    }

    frame->raw = (size_t) raw;
    n = ZSTD_findFrameCompressedSize(p, len < FRAME_MAX ? len : FRAME_MAX);

    if (!ZSTD_isError(n)) {
        frame->len = n;
        return FRAME_WHOLE;
    }

    return len < FRAME_MAX ? FRAME_TORN : FRAME_BAD;
}


frame_opener_t *
frame_opener_new(void)
{
    frame_opener_t  *o;

    o = calloc(1, sizeof(*o));
    if (o == NULL) {
        return NULL;
    }

    o->ctx = ZSTD_createDCtx();

    if (o->ctx == NULL) {
        free(o);
        return NULL;
    }

    return o;
}


void
frame_opener_free(frame_opener_t *o)
{
    if (o != NULL) {
        ZSTD_freeDCtx(o->ctx);
        free(o);
    }
}


int
frame_open(frame_opener_t *o, const uint8_t *p, const frame_t *frame,
    const uint8_t **raw)
{
    *raw = o->buf;

    return ZSTD_decompressDCtx(o->ctx, o->buf, sizeof(o->buf), p, frame->len)
           == frame->raw ? 0 : -1;
}


size_t
frame_peek(frame_opener_t *o, const uint8_t *p, size_t len, uint8_t *head,
    size_t size)
{
    size_t          rc;
    ZSTD_inBuffer   in;
    ZSTD_outBuffer  out;

    in = (ZSTD_inBuffer) { p, len, 0 };
    out = (ZSTD_outBuffer) { head, size, 0 };

    if (ZSTD_isError(ZSTD_DCtx_reset(o->ctx, ZSTD_reset_session_only))
        || ZSTD_isError(ZSTD_DCtx_setParameter(o->ctx, ZSTD_d_windowLogMax,
                                               FRAME_WINDOW_LOG)))
    {
        return 0;
    }

    do {
        rc = ZSTD_decompressStream(o->ctx, &out, &in);
    } while (!ZSTD_isError(rc) && rc != 0 && in.pos < in.size
             && out.pos < out.size);

    return out.pos;
}
