/*
 * cli/out.c: files, pipes and devices. A regular file is written with one
 * write() per run of whole blocks and cut back when the disk is full. A pipe
 * is written in pieces that poll() promised to take, so that a slow reader
 * never blocks the loop; O_NONBLOCK is not set, because the open file of
 * standard output is shared with other programs.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "out.h"
#include "text.h"


/*
 * What is buffered for a pipe: the high water mark, and on top of it one
 * piece of the network's (CURL_MAX_READ_SIZE is 512 KiB) with a carried
 * block.
 */
#define OUT_MAX_BUF  ((size_t) 2 * 1024 * 1024)


static out_result_t
out_fail(out_t *o, const char *what, const char *why)
{
    char  name[160];

    if (o->path != NULL) {
        text_clean(name, sizeof(name), o->path, strlen(o->path));

    } else {
        snprintf(name, sizeof(name), "standard output");
    }

    snprintf(o->err, sizeof(o->err), "%s %s: %s", what, name, why);

    return OUT_FAILED;
}


/* fd is open: what is it? */
static out_result_t
out_classify(out_t *o)
{
    struct stat  st;

    if (fstat(o->fd, &st) == -1) {
        return out_fail(o, "cannot write", strerror(errno));
    }

    if (S_ISREG(st.st_mode)) {
        o->kind = OUT_FILE;
        return OUT_OK;
    }

    if (isatty(o->fd)) {
        return out_fail(o, "refused to write",
                        "packets do not go to a terminal; use -o FILE or a"
                        " pipe");
    }

    if (S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode)) {
        return out_fail(o, "refused to write",
                        "it is a disk or a directory");
    }

    o->kind = OUT_PIPE;
    o->buf = malloc(OUT_MAX_BUF);

    return o->buf != NULL ? OUT_OK
                          : out_fail(o, "cannot write", "out of memory");
}


static out_result_t
out_create(out_t *o)
{
    o->fd = open(o->path, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW, 0600);

    if (o->fd == -1) {
        return out_fail(o, "cannot create", errno == EEXIST
                        ? "it exists; -F replaces it" : strerror(errno));
    }

    o->created = 1;
    o->kind = OUT_FILE;

    return OUT_OK;
}


/* A new file in the folder of path, called ".NAME.XXXXXX". */
static out_result_t
out_create_beside(out_t *o)
{
    int          n;
    size_t       len, dir;
    const char  *slash;

    slash = strrchr(o->path, '/');
    dir = slash ? (size_t) (slash - o->path) + 1 : 0;
    len = strlen(o->path) + sizeof("..XXXXXX");

    o->temp = malloc(len);
    if (o->temp == NULL) {
        return out_fail(o, "cannot create", "out of memory");
    }

    n = snprintf(o->temp, len, "%.*s.%s.XXXXXX", (int) dir, o->path,
                 o->path + dir);
    if (n < 0 || (size_t) n >= len) {
        return out_fail(o, "cannot create", "the name is too long");
    }

    o->fd = mkostemp(o->temp, O_CLOEXEC);
    if (o->fd == -1) {
        free(o->temp);
        o->temp = NULL;
        return out_fail(o, "cannot create", strerror(errno));
    }

    o->created = 1;
    o->kind = OUT_FILE;

    return OUT_OK;
}


static out_result_t
out_open_path(out_t *o, out_mode_t mode)
{
    struct stat  st;

    /* Whatever is not a file has no content that could be lost. */
    if (stat(o->path, &st) == 0 && !S_ISREG(st.st_mode)) {
        o->fd = open(o->path, O_WRONLY|O_CLOEXEC|O_NOCTTY);
        if (o->fd == -1) {
            return out_fail(o, "cannot write", strerror(errno));
        }

        return out_classify(o);
    }

    if (mode == OUT_NEW || lstat(o->path, &st) == -1) {
        return out_create(o);
    }

    /*
     * Replacing a link's target would let whoever may make links choose the
     * file, and /dev/fd/1 is such a link.
     */
    if (!S_ISREG(st.st_mode)) {
        return out_fail(o, "refused to replace",
                        "it is a symbolic link; name the file itself");
    }

    return out_create_beside(o);
}


out_result_t
out_open(out_t *o, const char *path, out_mode_t mode)
{
    memset(o, 0, sizeof(out_t));
    o->fd = -1;

    if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0) {
        o->fd = STDOUT_FILENO;
        return out_classify(o);
    }

    o->path = strdup(path);
    if (o->path == NULL) {
        return out_fail(o, "cannot create", "out of memory");
    }

    return out_open_path(o, mode);
}


int
out_exists(const char *path)
{
    struct stat  st;

    return lstat(path, &st) == 0;
}


/* Takes back the part of a run that a full disk still took. */
static void
out_roll_back(out_t *o, size_t written)
{
    off_t        pos;
    struct stat  st;

    if (written == 0) {
        return;
    }

    pos = lseek(o->fd, 0, SEEK_CUR);

    /* Only where our bytes are the last ones of the file. */
    if (pos == -1 || fstat(o->fd, &st) == -1 || st.st_size != pos
        || pos < (off_t) written)
    {
        return;
    }

    pos -= (off_t) written;

    if (ftruncate(o->fd, pos) == 0) {
        (void) lseek(o->fd, pos, SEEK_SET);
    }
}


static out_result_t
out_put_file(out_t *o, const uint8_t *p, size_t len)
{
    int      err;
    size_t   done;
    ssize_t  n;

    for (done = 0; done < len; /* void */ ) {
        n = write(o->fd, p + done, len - done);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            err = n == 0 ? ENOSPC : errno;
            out_roll_back(o, done);
            return out_fail(o, "cannot write", strerror(err));
        }

        done += (size_t) n;
    }

    o->bytes += len;

    if (o->temp != NULL) {
        if (rename(o->temp, o->path) == -1) {
            return out_fail(o, "cannot replace", strerror(errno));
        }

        free(o->temp);
        o->temp = NULL;
    }

    return OUT_OK;
}


out_result_t
out_put(out_t *o, const uint8_t *p, size_t len)
{
    if (o->kind == OUT_FILE) {
        return out_put_file(o, p, len);
    }

    if (o->pos > 0 && len > OUT_MAX_BUF - o->end) {
        memmove(o->buf, o->buf + o->pos, o->end - o->pos);
        o->end -= o->pos;
        o->pos = 0;
    }

    if (len > OUT_MAX_BUF - o->end) {
        return out_fail(o, "cannot write", "its reader is too slow");
    }

    memcpy(o->buf + o->end, p, len);
    o->end += len;
    o->bytes += len;

    return out_flush(o);
}


out_result_t
out_flush(out_t *o)
{
    size_t         len;
    ssize_t        n;
    struct pollfd  pfd;

    while (o->pos < o->end) {
        pfd.fd = o->fd;
        pfd.events = POLLOUT;
        pfd.revents = 0;

        if (poll(&pfd, 1, 0) <= 0) {
            return OUT_AGAIN;
        }

        if (!(pfd.revents & POLLOUT) && pfd.revents & (POLLERR|POLLHUP)) {
            return OUT_CLOSED;
        }

        /* pipe(7): writable means that PIPE_BUF bytes do not block. */
        len = o->end - o->pos;
        if (len > PIPE_BUF) {
            len = PIPE_BUF;
        }

        n = write(o->fd, o->buf + o->pos, len);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                return OUT_AGAIN;
            }

            return errno == EPIPE ? OUT_CLOSED
                                  : out_fail(o, "cannot write",
                                             strerror(errno));
        }

        o->pos += (size_t) n;
    }

    o->pos = 0;
    o->end = 0;

    return OUT_OK;
}


size_t
out_pending(const out_t *o)
{
    return o->end - o->pos;
}


int
out_reader_gone(const out_t *o)
{
    struct pollfd  pfd;

    if (o->kind != OUT_PIPE || o->fd == -1) {
        return 0;
    }

    pfd.fd = o->fd;
    pfd.events = 0;
    pfd.revents = 0;

    return poll(&pfd, 1, 0) == 1 && pfd.revents & (POLLERR|POLLHUP);
}


void
out_drop(out_t *o)
{
    o->pos = 0;
    o->end = 0;
}


static out_result_t
out_finish_file(out_t *o)
{
    out_result_t  rc;

    rc = OUT_OK;

    /* EINVAL: a file system that knows no fsync. */
    if (o->kind == OUT_FILE && o->bytes > 0 && fsync(o->fd) == -1
        && errno != EINVAL && errno != ENOSYS && errno != EROFS)
    {
        rc = out_fail(o, "cannot write", strerror(errno));
    }

    /* Network file systems tell only here that the disk was full. */
    if (o->path != NULL && close(o->fd) == -1 && errno != EINTR
        && rc == OUT_OK)
    {
        rc = out_fail(o, "cannot write", strerror(errno));
    }

    o->fd = -1;

    return rc;
}


out_result_t
out_close(out_t *o)
{
    out_result_t  rc;

    rc = o->fd != -1 ? out_finish_file(o) : OUT_OK;

    if (o->created && (o->bytes == 0 || o->temp != NULL)) {
        (void) unlink(o->temp != NULL ? o->temp : o->path);
    }

    free(o->path);
    free(o->temp);
    free(o->buf);
    o->path = NULL;
    o->temp = NULL;
    o->buf = NULL;
    o->created = 0;

    return rc;
}
