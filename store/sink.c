/*
 * store/sink.c: see sink.h. Bytes gather in a buffer until there is enough to
 * write; what is behind the last whole block stays there. The hash runs over
 * what is written, once. When a write fails the file goes back to where it
 * was whole.
 */

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcapx/cut.h"
#include "sink.h"


/* More than the longest block, so that there is always something whole. */
#define SINK_BUFFER    1048576

#define SINK_ID_LEN    32

struct sink_s {
    int           dir;
    int           fd;
    char          id[SINK_ID_LEN + 1];
    EVP_MD_CTX   *md;
    cut_t         cut;
    uint64_t      written;
    uint64_t      lost;              /* taken, and not kept */
    int           failed;            /* nothing more is taken; */
    char          why[SINK_ERR_LEN]; /* because of this */
    size_t        len;               /* bytes in buf */
    uint8_t       buf[SINK_BUFFER];
};


static sink_t *sink_new(const char *dir, const char *id, const char *suffix,
    int flags, char err[SINK_ERR_LEN]);
static sink_t *sink_left(const char *dir, const char *id, int *named,
    char err[SINK_ERR_LEN]);
static void sink_free(sink_t *s);
static int sink_is_id(const char *id);
static void sink_spoilt(sink_t *s, size_t len, const char *why);
static int sink_put(sink_t *s, const uint8_t *p, size_t len);
static int sink_reread(sink_t *s, char err[SINK_ERR_LEN]);
static int sink_tell(sink_t *s, sink_result_t *result,
    char err[SINK_ERR_LEN]);
static int sink_name(sink_t *s, const sink_result_t *result,
    char err[SINK_ERR_LEN]);


sink_t *
sink_open(const char *dir, const char *id, char err[SINK_ERR_LEN])
{
    return sink_new(dir, id, ".part", O_WRONLY | O_CREAT | O_EXCL, err);
}


/* errno is 0 when it is not about the file. */

static sink_t *
sink_new(const char *dir, const char *id, const char *suffix, int flags,
    char err[SINK_ERR_LEN])
{
    int      saved;
    char     name[SINK_ID_LEN + 16];
    sink_t  *s;

    errno = 0;

    if (!sink_is_id(id)) {
        snprintf(err, SINK_ERR_LEN, "an id has 32 hex digits");
        return NULL;
    }

    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        snprintf(err, SINK_ERR_LEN, "out of memory");
        return NULL;
    }

    s->fd = -1;
    s->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->md = EVP_MD_CTX_new();
    cut_init(&s->cut);
    memcpy(s->id, id, SINK_ID_LEN);
    snprintf(name, sizeof(name), "%s%s", s->id, suffix);

    if (s->dir != -1) {
        s->fd = openat(s->dir, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    }

    if (s->fd == -1) {
        saved = errno;
        snprintf(err, SINK_ERR_LEN, "%s/%s: %s", dir, name, strerror(saved));
        sink_free(s);
        errno = saved;
        return NULL;
    }

    if (s->md == NULL || EVP_DigestInit_ex(s->md, EVP_sha256(), NULL) != 1) {
        snprintf(err, SINK_ERR_LEN, "out of memory");
        sink_free(s);
        return NULL;
    }

    return s;
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
        n = sizeof(s->buf) - s->len;
        n = n < len ? n : len;
        memcpy(s->buf + s->len, p, n);

        if (cut_feed(&s->cut, s->buf + s->len, n) != 0) {
            snprintf(err, SINK_ERR_LEN, "no capture: %s", s->cut.err);
            sink_spoilt(s, len, err);
            return -1;
        }

        s->len += n;
        p += n;
        len -= n;

        if (s->len == sizeof(s->buf) && sink_flush(s, err) != 0) {
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

    whole = (size_t) (s->cut.whole - s->written);
    s->lost += s->len + len - whole;
    s->len = whole;

    (void) sink_flush(s, ignored);
    s->failed = 1;
    snprintf(s->why, sizeof(s->why), "%s", why);
}


int
sink_sync(sink_t *s, char err[SINK_ERR_LEN])
{
    if (s->failed) {
        snprintf(err, SINK_ERR_LEN, "%s", s->why);
        return -1;
    }

    if (sink_flush(s, err) != 0) {
        return -1;
    }

    if (fdatasync(s->fd) != 0) {
        snprintf(err, SINK_ERR_LEN, "%s.part: %s", s->id, strerror(errno));
        return -1;
    }

    return 0;
}


uint64_t
sink_bytes(const sink_t *s)
{
    return s->failed ? s->written : s->cut.whole;
}


uint64_t
sink_written(const sink_t *s)
{
    return s->written;
}


/* What is whole goes into the file; the rest moves to the front. */

int
sink_flush(sink_t *s, char err[SINK_ERR_LEN])
{
    size_t  n;

    n = (size_t) (s->cut.whole - s->written);

    if (sink_put(s, s->buf, n) != 0) {
        snprintf(err, SINK_ERR_LEN, "%s.part: %s", s->id, strerror(errno));
        snprintf(s->why, sizeof(s->why), "%s", err);
        s->failed = 1;
        return -1;
    }

    s->len -= n;
    memmove(s->buf, s->buf + n, s->len);

    return 0;
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
    sink_t  *s;

    *named = 0;
    s = sink_new(dir, id, ".part", O_RDWR, err);

    if (s != NULL || errno != ENOENT) {
        return s;
    }

    *named = 1;
    s = sink_new(dir, id, ".pcapng", O_RDONLY, other);

    return s != NULL ? s : sink_new(dir, id, ".pcap", O_RDONLY, other);
}


/* Goes over the file as it is: how much of it is whole, and its hash. */

static int
sink_reread(sink_t *s, char err[SINK_ERR_LEN])
{
    ssize_t   n;
    uint64_t  left, total;

    for ( ;; ) {
        n = read(s->fd, s->buf, sizeof(s->buf));

        if (n <= 0 || cut_feed(&s->cut, s->buf, (size_t) n) != 0) {
            break;
        }
    }

    total = (uint64_t) lseek(s->fd, 0, SEEK_END);

    if (n < 0 || lseek(s->fd, 0, SEEK_SET) == -1) {
        snprintf(err, SINK_ERR_LEN, "%s.part: %s", s->id, strerror(errno));
        return -1;
    }

    s->lost = total - s->cut.whole;

    for (left = s->cut.whole; left; left -= (uint64_t) n) {
        n = read(s->fd, s->buf, left < sizeof(s->buf) ? (size_t) left
                                                      : sizeof(s->buf));

        if (n <= 0 || EVP_DigestUpdate(s->md, s->buf, (size_t) n) != 1) {
            snprintf(err, SINK_ERR_LEN, "%s.part: cannot be read again",
                     s->id);
            return -1;
        }
    }

    s->written = s->cut.whole;

    return 0;
}


/* What there is. */

static int
sink_tell(sink_t *s, sink_result_t *result, char err[SINK_ERR_LEN])
{
    uint8_t   sum[EVP_MAX_MD_SIZE];
    unsigned  i, len;

    memset(result, 0, sizeof(*result));
    snprintf(result->name, sizeof(result->name), "%s%s", s->id,
             s->cut.kind == CUT_PCAP ? ".pcap" : ".pcapng");
    snprintf(result->why, sizeof(result->why), "%s", s->why);

    if (EVP_DigestFinal_ex(s->md, sum, &len) != 1) {
        snprintf(err, SINK_ERR_LEN, "out of memory");
        return -1;
    }

    for (i = 0; i < len; i++) {
        snprintf(result->sha256 + 2 * i, 3, "%02x", sum[i]);
    }

    result->bytes = s->written;
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
