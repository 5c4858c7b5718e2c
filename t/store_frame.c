/*
 * t/store_frame.c: a compressed capture in a file: frames that libzstd's own
 * decoder reads, each of whole blocks; what a kill, a full disk or somebody
 * else has made of it is cut behind the last frame that is whole, wherever
 * that was: each length of a small file is tried.
 */

#include <fcntl.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "pcapx/pcapx.h"
#include "store/frame.h"
#include "store/sink.h"
#include "t/tap.h"


#define ID      "0123456789abcdef0123456789abcdef"
#define BLOCKS  6000
#define LEN     (BLOCKS * 1000)
#define MAX     (LEN + 65536)        /* of a file */
#define FRAMES  5                    /* of the small file */

static char     dir[] = "/tmp/store_frame.XXXXXX";
static uint8_t  stream[LEN];
static uint8_t  file[MAX];
static uint8_t  back[LEN + 1];


/* Blocks of a thousand bytes, half of which are noise. */

static void
make_stream(void)
{
    size_t    i;
    uint32_t  type, len, noise;

    noise = 1;

    for (i = 0; i < LEN; i++) {
        noise = noise * 1664525 + 1013904223;
        stream[i] = i % 1000 < 500 ? (uint8_t) (noise >> 24) : 'x';
    }

    for (i = 0; i < BLOCKS; i++) {
        type = i == 0 ? PCAPX_BT_SHB : 6;
        len = 1000;
        memcpy(stream + i * 1000, &type, 4);
        memcpy(stream + i * 1000 + 4, &len, 4);
        memcpy(stream + i * 1000 + 996, &len, 4);
    }
}


static const char *
path_of(const char *name)
{
    static char  path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);

    return path;
}


static size_t
slurp(const char *name)
{
    FILE    *f;
    size_t   n;

    f = fopen(path_of(name), "r");
    n = f != NULL ? fread(file, 1, sizeof(file), f) : 0;

    if (f != NULL) {
        fclose(f);
    }

    return n;
}


static void
spew(const char *name, const uint8_t *p, size_t len)
{
    int  fd, whole;

    fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    whole = fd != -1 && write(fd, p, len) == (ssize_t) len;

    if (!whole) {
        printf("Bail out! %s cannot be written\n", name);
        exit(1);
    }

    close(fd);
}


/* As any program would; bytes in back, or -1: it is not whole. */

static ssize_t
decoded(const uint8_t *p, size_t len)
{
    size_t           rc;
    ZSTD_DStream    *z;
    ZSTD_inBuffer    in;
    ZSTD_outBuffer   out;

    in = (ZSTD_inBuffer) { p, len, 0 };
    out = (ZSTD_outBuffer) { back, sizeof(back), 0 };
    z = ZSTD_createDStream();
    rc = 0;

    while (z != NULL && in.pos < in.size && out.pos < out.size) {
        rc = ZSTD_decompressStream(z, &out, &in);

        if (ZSTD_isError(rc)) {
            break;
        }
    }

    ZSTD_freeDStream(z);

    return z != NULL && rc == 0 && in.pos == in.size ? (ssize_t) out.pos : -1;
}


/* 1: the file is what *r says, and the first raw bytes of the stream. */

static int
is(const sink_result_t *r, size_t raw, uint64_t lost)
{
    char       hex[65];
    size_t     i, len;
    uint8_t    sum[32];

    len = slurp(r->name);
    SHA256(file, len, sum);

    for (i = 0; i < sizeof(sum); i++) {
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    }

    return r->bytes == len && r->raw == raw && r->lost == lost
           && strcmp(r->sha256, hex) == 0
           && decoded(file, len) == (ssize_t) raw
           && memcmp(back, stream, raw) == 0
           && access(path_of(ID ".part"), F_OK) == -1;
}


static void
holds(const sink_result_t *r, size_t raw, uint64_t lost, const char *what)
{
    ok(is(r, raw, lost) && (raw == 0
                            || strcmp(r->name, ID ".pcapng.zst") == 0),
       "%s: %llu bytes of %zu, %llu lost", what,
       (unsigned long long) r->bytes, raw, (unsigned long long) r->lost);
    unlink(path_of(r->name));
}


static sink_t *
begin(unsigned level)
{
    char     err[SINK_ERR_LEN];
    sink_t  *s;

    s = sink_open(dir, ID, level, err);

    if (s == NULL) {
        printf("Bail out! %s\n", err);
        exit(1);
    }

    return s;
}


static void
ends(unsigned level, size_t len, size_t step)
{
    int             rc;
    char            err[SINK_ERR_LEN];
    size_t          at, n, whole;
    sink_t         *s;
    sink_result_t   r;

    s = begin(level);

    for (at = 0, rc = 0; at < len && rc == 0; at += n) {
        n = step < len - at ? step : len - at;
        rc = sink_write(s, stream + at, n, err);
    }

    whole = len - len % 1000;
    ok(rc == 0 && sink_bytes(s) == whole && sink_written(s) < whole * 6 / 10,
       "level %u, calls of %zu bytes", level, step);
    n = sink_most(s);
    ok(sink_close(s, &r, err) == 0 && r.bytes <= n, "closed, within %zu", n);
    holds(&r, whole, len % 1000, "ended");
}


/* Classic pcap; and what cannot be made smaller, a block at a time. */

static void
kinds(void)
{
    char            err[SINK_ERR_LEN];
    size_t          i, raw;
    sink_t         *s;
    uint32_t        head[6] = { 0xa1b23c4d, 0x40002, 0, 0, 65535, 1 };
    uint32_t        noise;
    sink_result_t   r;
    uint8_t         rec[16 + 64];

    s = begin(3);
    ok(sink_write(s, (uint8_t *) head, sizeof(head), err) == 0
       && sink_flush(s, err) == 0, "classic pcap");
    noise = 7;

    for (i = 0; i < sizeof(rec); i++) {
        noise = noise * 1664525 + 1013904223;
        rec[i] = (uint8_t) (noise >> 24);
    }

    memset(rec + 8, 0, 8);
    rec[8] = rec[12] = 64;

    for (i = 0; i < 100; i++) {
        raw = (size_t) sink_most(s);

        if (sink_write(s, rec, sizeof(rec), err) != 0
            || sink_flush(s, err) != 0
            || sink_written(s) > raw + sizeof(rec))
        {
            break;
        }
    }

    ok(i == 100 && sink_written(s) > sink_bytes(s),
       "frames of noise are longer, and within what was asked for");
    ok(sink_close(s, &r, err) == 0 && strcmp(r.name, ID ".pcap.zst") == 0
       && r.raw == 24 + 8000 && slurp(r.name) == r.bytes
       && decoded(file, (size_t) r.bytes) == 8024, "all of it is there");
    unlink(path_of(r.name));
}


static void
garbage(void)
{
    char            err[SINK_ERR_LEN];
    sink_t         *s;
    sink_result_t   r;
    static uint8_t  copy[10000];

    memcpy(copy, stream, sizeof(copy));
    memset(copy + 5004, 0xff, 4);
    s = begin(3);
    ok(sink_write(s, copy, 3500, err) == 0 && sink_sync(s, err) == 0
       && sink_write(s, copy + 3500, 6500, err) == -1
       && strstr(err, "at byte 5000 has a length of 4294967295") != NULL,
       "garbage: %s", err);
    ok(sink_close(s, &r, err) == 0 && strncmp(r.why, "no capture", 10) == 0,
       "closed, and why");
    holds(&r, 5000, 5000, "garbage");
}


static void
full(void)
{
    int             rc;
    char            err[SINK_ERR_LEN];
    size_t          at, raw;
    sink_t         *s;
    sink_result_t   r;
    struct rlimit   was, now;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    now = was;
    now.rlim_cur = 1500500;
    setrlimit(RLIMIT_FSIZE, &now);

    s = begin(3);

    for (at = 0, rc = 0; at < LEN && rc == 0; at += 100000) {
        rc = sink_write(s, stream + at, 100000, err);
    }

    setrlimit(RLIMIT_FSIZE, &was);
    ok(rc == -1 && strstr(err, "File too large") != NULL, "full: %s", err);
    raw = (size_t) sink_bytes(s);
    ok(raw >= 1000000 && raw % 1000 == 0 && sink_written(s) < 1500500,
       "what is in it is whole: %zu", raw);
    ok(sink_flush(s, err) == -1 && sink_sync(s, err) == -1, "that is all");
    ok(sink_close(s, &r, err) == 0 && strstr(r.why, "File too large") != NULL,
       "closed, and why");
    holds(&r, raw, at - raw, "full");
}


/* A small file: 1, 2, ... blocks in a frame. Lengths of file and capture. */

static size_t
small(size_t at[FRAMES + 1], size_t raw[FRAMES + 1])
{
    char            err[SINK_ERR_LEN];
    size_t          i;
    sink_t         *s;
    sink_result_t   r;

    s = begin(3);
    at[0] = raw[0] = 0;

    for (i = 1; i <= FRAMES; i++) {
        raw[i] = raw[i - 1] + i * 1000;

        if (sink_write(s, stream + raw[i - 1], i * 1000, err) != 0
            || sink_sync(s, err) != 0)
        {
            printf("Bail out! %s\n", err);
            exit(1);
        }

        at[i] = (size_t) sink_written(s);
    }

    ok(sink_close(s, &r, err) == 0 && is(&r, raw[FRAMES], 0), "a small file");
    unlink(path_of(r.name));

    return at[FRAMES];
}


/* Bytes of a head up to which nobody can tell what the frame would have. */
#define HEAD  7

static void
each_length(void)
{
    char            err[SINK_ERR_LEN];
    size_t          at[FRAMES + 1], raw[FRAMES + 1], i, len, n, bad, torn;
    uint64_t        lost;
    sink_result_t   r;
    static uint8_t  copy[MAX];

    len = small(at, raw);
    memcpy(copy, file, len);
    bad = 0;

    for (n = 0; n <= len; n++) {
        for (i = 0; i < FRAMES && at[i + 1] <= n; i++) { /* void */ }

        torn = n - at[i];
        lost = torn < HEAD ? torn : (i + 1) * 1000;
        spew(ID ".part", copy, n);

        if (sink_recover(dir, ID, &r, err) != 0 || !is(&r, raw[i], lost)) {
            printf("# at %zu: %s; %llu of %zu, lost %llu of %llu\n", n,
                   r.name, (unsigned long long) r.raw, raw[i],
                   (unsigned long long) r.lost, (unsigned long long) lost);
            bad++;
        }

        /* again: somebody did not note it; but what is empty has no sign */

        if (i != 0 && (sink_recover(dir, ID, &r, err) != 0
                       || !is(&r, raw[i], 0)))
        {
            bad++;
        }

        unlink(path_of(r.name));
    }

    ok(bad == 0, "cut at each of %zu lengths", len + 1);
    bad = 0;

    /* a byte that is not what it was: what is before stays, if not more */

    for (n = 0; n < len; n++) {
        for (i = 0; i < FRAMES && at[i + 1] <= n; i++) { /* void */ }

        copy[n] ^= 0x55;
        spew(ID ".part", copy, len);
        copy[n] ^= 0x55;

        if (sink_recover(dir, ID, &r, err) != 0
            || (n >= 4 ? !is(&r, raw[i], r.lost) || r.lost == 0
                       : r.bytes != 0))
        {
            printf("# byte %zu: %s, %llu of %zu\n", n, r.name,
                   (unsigned long long) r.raw, raw[i]);
            bad++;
        }

        unlink(path_of(r.name));
    }

    ok(bad == 0, "with each of %zu bytes broken", len);
}


/* A frame that this store would not have made, behind one that it has. */

static void
stranger(const char *what, const uint8_t *p, size_t len, uint64_t lost)
{
    char             err[SINK_ERR_LEN];
    size_t           n;
    uint8_t         *all;
    sink_result_t    r;
    const uint8_t   *frame;
    frame_packer_t  *packer;

    packer = frame_packer_new(3);
    all = malloc(len + 65536);
    n = packer != NULL && all != NULL
        ? frame_pack(packer, stream, 3000, &frame) : 0;

    if (n == 0) {
        printf("Bail out! no memory\n");
        exit(1);
    }

    memcpy(all, frame, n);
    memcpy(all + n, p, len);
    spew(ID ".part", all, n + len);
    ok(sink_recover(dir, ID, &r, err) == 0, "%s", what);
    holds(&r, 3000, lost, what);

    free(all);
    frame_packer_free(packer);
}


static size_t
packed(uint8_t *dst, const uint8_t *p, size_t len, int checksum, int size)
{
    size_t      n;
    ZSTD_CCtx  *z;

    z = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, checksum);
    ZSTD_CCtx_setParameter(z, ZSTD_c_contentSizeFlag, size);
    n = ZSTD_compress2(z, dst, MAX, p, len);
    ZSTD_freeCCtx(z);

    return ZSTD_isError(n) ? 0 : n;
}


static void
strangers(void)
{
    size_t          i, n;
    static uint8_t  dst[MAX], zeros[4 << 20];

    n = packed(dst, stream + 3000, 1000, 0, 1);
    stranger("without a checksum", dst, n, n);
    n = packed(dst, stream + 3000, 1000, 1, 0);
    stranger("without its length", dst, n, n);
    n = packed(dst, stream + 3000, 1500, 1, 1);
    stranger("ends within a block", dst, n, 1500);
    n = packed(dst, zeros, 1000, 1, 1);
    stranger("no blocks", dst, n, 1000);
    n = packed(dst, zeros, sizeof(zeros), 1, 1);
    stranger("longer than ours", dst, n, n);
    n = packed(dst, zeros, 0, 1, 1);
    stranger("empty", dst, n, n);

    /* RFC 8878 3.1.2 */

    stranger("to be skipped", (const uint8_t *) "\x50\x2a\x4d\x18\4\0\0\0four",
             12, 12);
    stranger("plain blocks", stream, 2000, 2000);
    stranger("zeros, as after a power cut", zeros, sizeof(zeros),
             sizeof(zeros));

    /* a head that promises, and blocks that never end */

    n = packed(dst, stream, FRAME_MAX_RAW, 1, 1);

    for (i = n / 2; i < MAX; i++) {
        dst[i] = 0;
    }

    stranger("half of a long one", dst, n / 2, FRAME_MAX_RAW);
    stranger("the other half are zeros", dst, sizeof(dst), FRAME_MAX_RAW);

    /* the first is broken: what follows is counted, and not kept */

    n = packed(dst, stream + 3000, 1000, 1, 1);
    dst[n - 1] ^= 1;

    for (i = 0; i < 3; i++) {
        n += packed(dst + n, stream + 4000 + i * 1000, 1000, 1, 1);
    }

    stranger("a broken one, and good ones behind", dst, n, 4000);
}


static void
refusals(void)
{
    frame_t         f;
    uint8_t         head[24];
    const uint8_t  *p;
    frame_opener_t *o;
    frame_packer_t *packer;
    size_t          n;

    o = frame_opener_new();
    packer = frame_packer_new(FRAME_MAX_LEVEL);
    n = frame_pack(packer, stream, FRAME_MAX_RAW, &p);
    ok(n != 0 && frame_look(p, n, &f) == FRAME_WHOLE && f.len == n
       && f.raw == FRAME_MAX_RAW, "the longest");
    ok(frame_look(p, n - 1, &f) == FRAME_TORN && f.raw == FRAME_MAX_RAW,
       "without its end");
    ok(frame_peek(o, p, 300000, head, sizeof(head)) == sizeof(head)
       && memcmp(head, stream, sizeof(head)) == 0, "its head");
    ok(frame_peek(o, p, 5, head, sizeof(head)) == 0
       && frame_peek(o, stream, 1000, head, sizeof(head)) == 0,
       "where there is none");
    ok(!frame_is(p, 3) && frame_is(p, 4) && !frame_is(stream, 1000)
       && frame_look(p, 0, &f) == FRAME_TORN
       && frame_look(stream, 1000, &f) == FRAME_BAD, "what is one");
    frame_opener_free(o);
    frame_packer_free(packer);
    frame_opener_free(NULL);
    frame_packer_free(NULL);
}


int
main(void)
{
    if (mkdtemp(dir) == NULL) {
        return 1;
    }

    make_stream();

    ends(1, LEN, 65536);
    ends(3, LEN, LEN);
    ends(3, 10999, 1);
    ends(19, 3000999, 4096);
    kinds();
    garbage();
    full();
    each_length();
    strangers();
    refusals();

    ok(rmdir(dir) == 0, "nothing is left");

    return tap_done();
}
