/*
 * t/cli_unpack.c: what comes in zstd frames, in pieces of any length: whole,
 * cut, broken, of somebody who means harm.
 */

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "cli/unpack.h"
#include "tap.h"


#define LEN    600000
#define MAX    (4 * LEN)

static char    text[LEN];
static char    packed[MAX];
static size_t  packed_len;
static char    back[2 * LEN];
static size_t  back_len;
static size_t  refuses;              /* put does, from here on; 0: never */


static int
put(void *ctx, const char *p, size_t len)
{
    if (ctx != back || len > sizeof(back) - back_len
        || (refuses != 0 && back_len + len > refuses))
    {
        return -1;
    }

    memcpy(back + back_len, p, len);
    back_len += len;

    return 0;
}


/* Frames of so many bytes each; windows as zstd wants them, or of log. */

static void
pack(size_t frame, int log)
{
    size_t          at, n;
    ZSTD_CCtx      *z;
    ZSTD_inBuffer   in;
    ZSTD_outBuffer  out;

    z = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);

    if (log != 0) {
        ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, log);
    }

    out = (ZSTD_outBuffer) { packed, sizeof(packed), 0 };

    for (at = 0; at < LEN; at += n) {
        n = frame < LEN - at ? frame : LEN - at;

        /* without its length in front, as of a pipe */

        in = (ZSTD_inBuffer) { text + at, n, 0 };
        (void) ZSTD_compressStream2(z, &out, &in, ZSTD_e_continue);
        (void) ZSTD_compressStream2(z, &out, &in, ZSTD_e_end);
    }

    packed_len = out.pos;
    ZSTD_freeCCtx(z);
}


/* In pieces of step bytes. 0, or -1 with *u there for its error. */

static int
unpack(unpack_t **u, size_t len, size_t step, uint64_t total)
{
    int     rc;
    size_t  at, n;

    back_len = 0;
    *u = unpack_new(put, back);

    if (total != UINT64_MAX) {
        unpack_expect(*u, total);
    }

    for (at = 0, rc = 0; at < len && rc == 0; at += n) {
        n = step < len - at ? step : len - at;
        rc = unpack_feed(*u, packed + at, n);
    }

    return rc == 0 ? unpack_end(*u) : rc;
}


static void
whole(size_t frame, size_t step, uint64_t total)
{
    int        rc;
    unpack_t  *u;

    pack(frame, 0);
    rc = unpack(&u, packed_len, step, total);
    ok(rc == 0 && back_len == LEN && memcmp(back, text, LEN) == 0
       && unpack_bytes(u) == LEN, "frames of %zu, pieces of %zu", frame, step);
    unpack_free(u);
}


static void
refused(const char *what, size_t len, uint64_t total, const char *why)
{
    int        rc;
    unpack_t  *u;

    rc = unpack(&u, len, 1000, total);
    ok(rc == -1 && strstr(unpack_error(u), why) != NULL
       && (total == UINT64_MAX || back_len <= total), "%s: %s", what,
       unpack_error(u));
    unpack_free(u);
}


int
main(void)
{
    int        rc;
    size_t     i;
    unpack_t  *u;

    for (i = 0; i < LEN; i++) {
        text[i] = (char) (i * i / 7 % 251);
    }

    ok(unpack_is_name("a.pcapng.zst") && !unpack_is_name("a.pcapng")
       && !unpack_is_name(".zst") && !unpack_is_name(""), "names");

    whole(LEN, LEN, LEN);
    whole(131072, 65536, UINT64_MAX);
    whole(1000, 1, LEN);
    whole(7, 4096, LEN);

    /* exactly what the buffer takes is no begin of a further frame */

    whole(131072, 131072, LEN);

    pack(100000, 0);
    refused("cut", packed_len - 1, LEN, "ends within a frame");
    refused("nothing", 0, 0, "ends within a frame");
    refused("more than is said", packed_len, LEN - 1,
            "more than the 599999 bytes that the API says");
    refused("a bomb", packed_len, 0, "more than the 0 bytes");
    refused("less than is said", packed_len, LEN + 1,
            "it has 600000 bytes, the API says 600001");

    packed[packed_len - 1] ^= 1;
    refused("a wrong checksum", packed_len, LEN, "cannot be decompressed");
    packed[0] = 0;
    refused("no frame", packed_len, LEN, "cannot be decompressed");

    pack(LEN, 25);
    refused("a window of 32 MiB", packed_len, LEN, "too much memory");
    pack(LEN, 23);
    rc = unpack(&u, packed_len, 5000, LEN);
    ok(rc == 0 && back_len == LEN, "one of 8 MiB");
    unpack_free(u);

    refuses = 200000;
    rc = unpack(&u, packed_len, 5000, LEN);
    ok(rc == -1 && unpack_error(u)[0] == '\0' && back_len <= refuses,
       "its taker wants no more");
    unpack_free(u);
    unpack_free(NULL);

    return tap_done();
}
