/*
 * store/sink.c: see sink.h. Bytes gather in a buffer until there is enough to
 * write; what is behind the last whole block stays there. The hash runs over
 * what is written, once. When a write fails the file goes back to where it
 * was whole.
 *
 * There are two counts: of the capture (what the cut knows, kept, lost) and of
 * the file (written). They differ where it is compressed.
 */

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "pcapx/cut.h"
#include "sink.h"
#include "text.h"


/*
 * More than the longest block, so that there is always something whole. A
 * capture that is compressed has FRAME_MAX_RAW.
 */
#define SINK_BUFFER    1048576

#define SINK_ID_LEN    32

struct sink_s {
    int              dir;
    int              fd;
    char             id[SINK_ID_LEN + 1];
    EVP_MD_CTX      *md;
    pcapx_cut_t      cut;
    int              zstd;           /* the file is of frames */
    uint64_t         kept;           /* of the capture, and in the file */
    uint64_t         written;        /* bytes of the file */
    uint64_t         lost;           /* taken, and not kept */
    int              unsure;         /* the disk has failed */
    int              failed;         /* nothing more is taken; */
    char             why[SINK_ERR_LEN];    /* because of this */
    size_t           len;            /* bytes in buf, behind those kept */
    size_t           size;           /* of buf */
    uint8_t         *buf;
    frame_packer_t  *packer;         /* or NULL */
    frame_opener_t  *opener;         /* so */
};


static sink_t *sink_new(size_t size, unsigned level);
static int sink_file(sink_t *s, const char *dir, const char *id,
    const char *suffix, int flags, char err[SINK_ERR_LEN]);
static sink_t *sink_left(const char *dir, const char *id, int *named,
    char err[SINK_ERR_LEN]);
static void sink_free(sink_t *s);
static int sink_is_id(const char *id);
static void sink_spoilt(sink_t *s, size_t len, const char *why);
static int sink_keep(sink_t *s, size_t len);
static int sink_put(sink_t *s, const uint8_t *p, size_t len);
static int sink_reread(sink_t *s, char err[SINK_ERR_LEN]);
static int sink_reread_plain(sink_t *s, uint64_t total,
    char err[SINK_ERR_LEN]);
static int sink_reread_frames(sink_t *s, uint64_t total,
    char err[SINK_ERR_LEN]);
static int sink_frame(sink_t *s, const uint8_t *p, const frame_t *f,
    int *good);
static ssize_t sink_read(sink_t *s, uint8_t *p, size_t len);
static int sink_tell(sink_t *s, sink_result_t *result,
    char err[SINK_ERR_LEN]);
static int sink_name(sink_t *s, const sink_result_t *result,
    char err[SINK_ERR_LEN]);


sink_t *
sink_open(const char *dir, const char *id, unsigned level,
    char err[SINK_ERR_LEN])
{
    sink_t  *s;

    s = sink_new(level ? FRAME_MAX_RAW : SINK_BUFFER, level);

    if (s == NULL) {
        snprintf(err, SINK_ERR_LEN, "out of memory");
        return NULL;
    }

    if (sink_file(s, dir, id, text_suffixes[0], O_WRONLY | O_CREAT | O_EXCL,
                  err)
        != 0)
    {
        sink_free(s);
        return NULL;
    }

    return s;
}


static sink_t *
sink_new(size_t size, unsigned level)
{
    sink_t  *s;

    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }

    s->fd = -1;
    s->dir = -1;
    s->md = EVP_MD_CTX_new();
    s->size = size;
    s->buf = malloc(size);
    s->zstd = level != 0;
    s->packer = level ? frame_packer_new(level) : NULL;
    pcapx_cut_init(&s->cut);

    if (s->md == NULL || EVP_DigestInit_ex(s->md, EVP_sha256(), NULL) != 1
        || s->buf == NULL || (level && s->packer == NULL))
    {
        sink_free(s);
        return NULL;
    }

    return s;
}


/* errno is 0 when it is not about the file. */

static int
sink_file(sink_t *s, const char *dir, const char *id, const char *suffix,
    int flags, char err[SINK_ERR_LEN])
{
    int   saved;
    char  name[SINK_ID_LEN + 16];

    errno = 0;

    if (!sink_is_id(id)) {
        snprintf(err, SINK_ERR_LEN, "an id has 32 hex digits");
        return -1;
    }

    memcpy(s->id, id, SINK_ID_LEN);
    snprintf(name, sizeof(name), "%s%s", s->id, suffix);

    if (s->dir == -1) {
        s->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }

    if (s->dir != -1) {
        s->fd = openat(s->dir, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    }

    if (s->fd == -1) {
        saved = errno;
        snprintf(err, SINK_ERR_LEN, "%s/%s: %s", dir, name, strerror(saved));
        errno = saved;
        return -1;
    }

    return 0;
}


static void
sink_free(sink_t *s)
{
    if (s->fd != -1) {
        close(s->fd);
    }

    if (s->dir != -1) {
        close(s->dir);
    }

    EVP_MD_CTX_free(s->md);
    frame_packer_free(s->packer);
    frame_opener_free(s->opener);
    free(s->buf);
    free(s);
}


static int
sink_is_id(const char *id)
{
    return strlen(id) == SINK_ID_LEN
           && strspn(id, "0123456789abcdef") == SINK_ID_LEN;
}


int
sink_write(sink_t *s, const uint8_t *p, size_t len, char err[SINK_ERR_LEN])
{
    size_t  n;

    if (s->failed) {
        snprintf(err, SINK_ERR_LEN, "%s", s->why);
        s->lost += len;
        return -1;
    }

    while (len) {
        n = s->size - s->len;
        n = n < len ? n : len;
        memcpy(s->buf + s->len, p, n);

        if (pcapx_cut_feed(&s->cut, s->buf + s->len, n) != 0) {
            snprintf(err, SINK_ERR_LEN, "no capture: %s", s->cut.err);
            sink_spoilt(s, len, err);
            return -1;
        }

        s->len += n;
        p += n;
        len -= n;

        if (s->len == s->size && sink_flush(s, err) != 0) {
            s->lost += len;
            return -1;
        }
    }

    return 0;
}


/* The last len bytes are no capture; what was whole before them stays. */

static void
sink_spoilt(sink_t *s, size_t len, const char *why)
{
    char    ignored[SINK_ERR_LEN];
    size_t  whole;

    whole = (size_t) (s->cut.whole - s->kept);
    s->lost += s->len + len - whole;
    s->len = whole;

    (void) sink_flush(s, ignored);
    s->failed = 1;
    snprintf(s->why, sizeof(s->why), "%s", why);
}


/* What is whole goes into the file; the rest moves to the front. */

int
sink_flush(sink_t *s, char err[SINK_ERR_LEN])
{
    size_t  n;

    if (s->failed) {
        snprintf(err, SINK_ERR_LEN, "%s", s->why);
        return -1;
    }

    n = (size_t) (s->cut.whole - s->kept);

    if (n == 0) {
        return 0;
    }

    if (sink_keep(s, n) != 0) {
        snprintf(err, SINK_ERR_LEN, "%s.part: %s", s->id, strerror(errno));
        snprintf(s->why, sizeof(s->why), "%s", err);
        s->failed = 1;
        return -1;
    }

    s->kept += n;
    s->len -= n;
    memmove(s->buf, s->buf + n, s->len);

    return 0;
}


int
sink_sync(sink_t *s, char err[SINK_ERR_LEN])
{
    if (sink_flush(s, err) != 0) {
        return -1;
    }

    /* that is said once: a later call may succeed all the same */

    if (fdatasync(s->fd) != 0) {
        snprintf(err, SINK_ERR_LEN, "%s.part: %s", s->id, strerror(errno));
        snprintf(s->why, sizeof(s->why), "%s", err);
        s->failed = 1;
        s->unsure = 1;
        return -1;
    }

    return 0;
}


uint64_t
sink_bytes(const sink_t *s)
{
    return s->failed ? s->kept : s->cut.whole;
}


uint64_t
sink_written(const sink_t *s)
{
    return s->written;
}


uint64_t
sink_most(const sink_t *s)
{
    return s->written + s->len + (s->zstd ? FRAME_MAX_MORE : 0);
}


/* The first bytes of buf, as they are or as a frame. */

static int
sink_keep(sink_t *s, size_t len)
{
    size_t          n;
    const uint8_t  *frame;

    if (s->packer == NULL) {
        return sink_put(s, s->buf, len);
    }

    n = frame_pack(s->packer, s->buf, len, &frame);

    if (n == 0) {
        errno = ENOMEM;
        return -1;
    }

    return sink_put(s, frame, n);
}


/* All or nothing. */

static int
sink_put(sink_t *s, const uint8_t *p, size_t len)
{
    int      saved;
    size_t   done;
    ssize_t  n;

    for (done = 0; done < len; done += (size_t) n) {
        n = write(s->fd, p + done, len - done);

        if (n == -1 && errno == EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            saved = n == 0 ? ENOSPC : errno;

            if (ftruncate(s->fd, (off_t) s->written) != 0
                || lseek(s->fd, (off_t) s->written, SEEK_SET) == -1)
            {
                saved = errno;
            }

            errno = saved;
            return -1;
        }
    }

    if (EVP_DigestUpdate(s->md, p, len) != 1) {
        errno = ENOMEM;
        return -1;
    }

    s->written += len;

    return 0;
}


int
sink_close(sink_t *s, sink_result_t *result, char err[SINK_ERR_LEN])
{
    int  rc;

    if (!s->failed) {
        (void) sink_flush(s, err);         /* s->why tells when it fails */
    }

    s->lost += s->len;
    rc = sink_tell(s, result, err);

    if (rc == 0) {
        rc = sink_name(s, result, err);
    }

    sink_free(s);

    return rc;
}


int
sink_recover(const char *dir, const char *id, sink_result_t *result,
    char err[SINK_ERR_LEN])
{
    int      rc, named;
    sink_t  *s;

    s = sink_left(dir, id, &named, err);
    if (s == NULL) {
        return -1;
    }

    rc = sink_reread(s, err);

    if (rc == 0) {
        rc = sink_tell(s, result, err);
    }

    if (rc == 0 && !named) {
        rc = sink_name(s, result, err);
    }

    sink_free(s);

    return rc;
}


/* ID.part, or what it was renamed to before somebody could note that. */

static sink_t *
sink_left(const char *dir, const char *id, int *named,
    char err[SINK_ERR_LEN])
{
    char     other[SINK_ERR_LEN];
    size_t   i;
    sink_t  *s;

    *named = 0;
    s = sink_new(FRAME_MAX, 0);

    if (s == NULL) {
        snprintf(err, SINK_ERR_LEN, "out of memory");
        return NULL;
    }

    if (sink_file(s, dir, id, text_suffixes[0], O_RDWR, err) == 0) {
        return s;
    }

    *named = 1;

    for (i = 1; errno == ENOENT && text_suffixes[i]; i++) {
        if (sink_file(s, dir, id, text_suffixes[i], O_RDONLY, other) == 0) {
            return s;
        }
    }

    sink_free(s);

    return NULL;
}


/*
 * Goes over the file as it is: how much of it is whole, and its hash. What it
 * is its own begin tells: since then the configuration may have changed.
 */

static int
sink_reread(sink_t *s, char err[SINK_ERR_LEN])
{
    off_t    total;
    ssize_t  n;

    total = lseek(s->fd, 0, SEEK_END);
    n = pread(s->fd, s->buf, PCAPX_CUT_HEAD_LEN, 0);

    if (total == -1 || n == -1 || lseek(s->fd, 0, SEEK_SET) == -1) {
        snprintf(err, SINK_ERR_LEN, "%s.part: %s", s->id, strerror(errno));
        return -1;
    }

    s->zstd = frame_is(s->buf, (size_t) n);

    return s->zstd ? sink_reread_frames(s, (uint64_t) total, err)
                   : sink_reread_plain(s, (uint64_t) total, err);
}


static int
sink_reread_plain(sink_t *s, uint64_t total, char err[SINK_ERR_LEN])
{
    ssize_t   n;
    uint64_t  left;

    for ( ;; ) {
        n = sink_read(s, s->buf, s->size);

        if (n <= 0 || pcapx_cut_feed(&s->cut, s->buf, (size_t) n) != 0) {
            break;
        }
    }

    if (n < 0 || lseek(s->fd, 0, SEEK_SET) == -1) {
        snprintf(err, SINK_ERR_LEN, "%s.part: %s", s->id, strerror(errno));
        return -1;
    }

    s->lost = total - s->cut.whole;

    for (left = s->cut.whole; left; left -= (uint64_t) n) {
        n = sink_read(s, s->buf, left < s->size ? (size_t) left : s->size);

        if (n <= 0 || EVP_DigestUpdate(s->md, s->buf, (size_t) n) != 1) {
            snprintf(err, SINK_ERR_LEN, "%s.part: cannot be read again",
                     s->id);
            return -1;
        }
    }

    s->kept = s->cut.whole;
    s->written = s->cut.whole;

    return 0;
}


/*
 * What is lost is bytes of the capture, as heads of frames tell; where none
 * can be read it is those of the file.
 */

static int
sink_reread_frames(sink_t *s, uint64_t total, char err[SINK_ERR_LEN])
{
    int            good;
    size_t         at, have;
    ssize_t        n;
    frame_t        f;
    uint64_t       seen;
    frame_state_t  state;

    s->opener = frame_opener_new();

    if (s->opener == NULL) {
        snprintf(err, SINK_ERR_LEN, "out of memory");
        return -1;
    }

    good = 1;
    n = 1;
    seen = 0;

    for (at = 0, have = 0; ; ) {
        state = frame_look(s->buf + at, have - at, &f);

        if (state == FRAME_TORN && n > 0) {
            have -= at;
            memmove(s->buf, s->buf + at, have);
            at = 0;
            n = sink_read(s, s->buf + have, s->size - have);
            have += n > 0 ? (size_t) n : 0;
            continue;
        }

        if (state != FRAME_WHOLE) {
            break;
        }

        if (sink_frame(s, s->buf + at, &f, &good) != 0) {
            n = -1;
            errno = ENOMEM;
            break;
        }

        at += f.len;
        seen += f.len;
    }

    if (n < 0) {
        snprintf(err, SINK_ERR_LEN, "%s.part: %s", s->id, strerror(errno));
        return -1;
    }

    s->lost += f.raw ? f.raw : total - seen;

    return 0;
}


/*
 * One that is whole by its lengths. It must be so by its checksum, too, and
 * end at a block; behind one that is not, nothing is kept.
 */

static int
sink_frame(sink_t *s, const uint8_t *p, const frame_t *f, int *good)
{
    const uint8_t  *raw;

    if (!*good || frame_open(s->opener, p, f, &raw) != 0
        || pcapx_cut_feed(&s->cut, raw, f->raw) != 0
        || s->cut.whole != s->cut.offset)
    {
        *good = 0;
        s->lost += f->raw;
        return 0;
    }

    if (EVP_DigestUpdate(s->md, p, f->len) != 1) {
        return -1;
    }

    s->kept += f->raw;
    s->written += f->len;

    return 0;
}


static ssize_t
sink_read(sink_t *s, uint8_t *p, size_t len)
{
    ssize_t  n;

    do {
        n = read(s->fd, p, len);
    } while (n == -1 && errno == EINTR);

    return n;
}


/* What there is. */

static int
sink_tell(sink_t *s, sink_result_t *result, char err[SINK_ERR_LEN])
{
    uint8_t   sum[EVP_MAX_MD_SIZE];
    unsigned  i, len;

    memset(result, 0, sizeof(*result));
    snprintf(result->name, sizeof(result->name), "%s%s%s", s->id,
             s->cut.kind == PCAPX_CUT_PCAP ? ".pcap" : ".pcapng",
             s->zstd ? ".zst" : "");
    snprintf(result->why, sizeof(result->why), "%s", s->why);

    if (EVP_DigestFinal_ex(s->md, sum, &len) != 1) {
        snprintf(err, SINK_ERR_LEN, "out of memory");
        return -1;
    }

    for (i = 0; i < len; i++) {
        snprintf(result->sha256 + 2 * i, 3, "%02x", sum[i]);
    }

    result->bytes = s->written;
    result->unsure = s->unsure;
    result->raw = s->kept;
    result->lost = s->lost;

    return 0;
}


/* The file goes to the disk before its name tells that it is there. */

static int
sink_name(sink_t *s, const sink_result_t *result, char err[SINK_ERR_LEN])
{
    char  part[SINK_ID_LEN + 16];

    snprintf(part, sizeof(part), "%s.part", s->id);

    if (ftruncate(s->fd, (off_t) s->written) != 0 || fsync(s->fd) != 0
        || renameat2(s->dir, part, s->dir, result->name, RENAME_NOREPLACE)
           != 0
        || fsync(s->dir) != 0)
    {
        snprintf(err, SINK_ERR_LEN, "%s: %s", part, strerror(errno));
        return -1;
    }

    return 0;
}
