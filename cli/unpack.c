/*
 * cli/unpack.c: see unpack.h. libzstd's own decoder, which checks the checksum
 * of each frame; what it says is wrong is no text for users, but tells those
 * who know more.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "unpack.h"


/* RFC 8878 3.1.1.1.2: what every decoder should support, and no more. */
#define UNPACK_WINDOW_LOG  23

#define UNPACK_BUF         131072

struct unpack_s {
    ZSTD_DCtx     *z;
    unpack_put_t   put;
    void          *ctx;
    uint64_t       total;             /* UINT64_MAX: nobody has said */
    uint64_t       bytes;
    unsigned       within:1;          /* a frame has begun */
    unsigned       some:1;            /* and there was one */
    char           err[UNPACK_ERR_LEN];
    char           buf[UNPACK_BUF];
};


int
unpack_is_name(const char *name)
{
    size_t  len;

    len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".zst") == 0;
}


unpack_t *
unpack_new(unpack_put_t put, void *ctx)
{
    unpack_t  *u;

    u = calloc(1, sizeof(unpack_t));
    if (u == NULL) {
        return NULL;
    }

    u->z = ZSTD_createDCtx();
    u->put = put;
    u->ctx = ctx;
    u->total = UINT64_MAX;

    if (u->z == NULL
        || ZSTD_isError(ZSTD_DCtx_setParameter(u->z, ZSTD_d_windowLogMax,
                                               UNPACK_WINDOW_LOG)))
    {
        unpack_free(u);
        return NULL;
    }

    return u;
}


void
unpack_free(unpack_t *u)
{
    if (u != NULL) {
        ZSTD_freeDCtx(u->z);
        free(u);
    }
}


void
unpack_expect(unpack_t *u, uint64_t total)
{
    u->total = total;
}


static int
unpack_fail(unpack_t *u, const char *why)
{
    snprintf(u->err, sizeof(u->err), "it cannot be decompressed: %s", why);

    return -1;
}


/* More than that is not even looked at. */
static int
unpack_put(unpack_t *u, size_t len)
{
    char  why[80];

    if (len > u->total - u->bytes) {
        snprintf(why, sizeof(why), "it has more than the %" PRIu64 " bytes"
                 " that the API says", u->total);
        return unpack_fail(u, why);
    }

    u->bytes += len;

    return u->put(u->ctx, u->buf, len);
}


int
unpack_feed(unpack_t *u, const char *p, size_t len)
{
    size_t          rc;
    ZSTD_inBuffer   in;
    ZSTD_outBuffer  out;

    in = (ZSTD_inBuffer) { p, len, 0 };

    do {
        out = (ZSTD_outBuffer) { u->buf, sizeof(u->buf), 0 };
        rc = ZSTD_decompressStream(u->z, &out, &in);

        if (ZSTD_isError(rc)) {
            return unpack_fail(u, ZSTD_getErrorName(rc));
        }

        u->within = rc != 0;
        u->some = 1;

        if (out.pos != 0 && unpack_put(u, out.pos) != 0) {
            return -1;
        }

        /* A full buffer may not be all that is ready. */

    } while (in.pos < in.size || (rc != 0 && out.pos == out.size));

    return 0;
}


int
unpack_end(unpack_t *u)
{
    char  why[80];

    if (u->within || !u->some) {
        return unpack_fail(u, "it ends within a frame");
    }

    if (u->total != UINT64_MAX && u->bytes != u->total) {
        snprintf(why, sizeof(why), "it has %" PRIu64 " bytes, the API says %"
                 PRIu64, u->bytes, u->total);
        return unpack_fail(u, why);
    }

    return 0;
}


uint64_t
unpack_bytes(const unpack_t *u)
{
    return u->bytes;
}


const char *
unpack_error(const unpack_t *u)
{
    return u->err;
}
