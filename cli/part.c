/*
 * cli/part.c: the file is locked while it is written, and the lock only
 * counts when the name still means the file that was locked: whoever held it
 * before may have renamed it. The tag is written before the first byte, so
 * that a part with bytes in it and without a tag is somebody else's.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "part.h"
#include "text.h"


#define PART_ID_LEN   32

/* The id, a space, the ETag, a line end, and a NUL. */
#define PART_MAX_TAG  (PART_ID_LEN + 1 + PART_MAX_ETAG + 2)


static int
part_fail(part_t *p, const char *what, const char *path, const char *why)
{
    char  name[200];

    text_clean(name, sizeof(name), path, strlen(path));
    snprintf(p->err, sizeof(p->err), "%s %s: %s", what, name, why);

    return -1;
}


/* Locks what is open, if it is ours and still has its name. */
static int
part_lock(part_t *p)
{
    struct stat  st, now;

    if (fstat(p->fd, &st) == -1) {
        return part_fail(p, "cannot write", p->path, strerror(errno));
    }

    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink > 1
        || st.st_mode & (S_IWGRP|S_IWOTH))
    {
        return part_fail(p, "refused to go on with", p->path, "it is no file"
                         " that an earlier try has left; remove it");
    }

    /* There are file systems without locks. */
    if ((flock(p->fd, LOCK_EX|LOCK_NB) == -1 && errno == EWOULDBLOCK)
        || lstat(p->path, &now) == -1 || now.st_ino != st.st_ino
        || now.st_dev != st.st_dev)
    {
        return part_fail(p, "cannot write", p->path,
                         "another process is at it");
    }

    p->len = (uint64_t) st.st_size;

    return 0;
}


/* It goes into a header: nothing but what may stand in one. */
static int
part_take_etag(part_t *p, const char *s, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (s[i] <= ' ' || s[i] > '~') {
            return -1;
        }
    }

    if (len >= sizeof(p->etag)) {
        return -1;
    }

    memcpy(p->etag, s, len);
    p->etag[len] = '\0';

    return 0;
}


/* What is there is a part of: 0 when of this capture. */
static int
part_read_tag(part_t *p)
{
    int      fd;
    char     line[PART_MAX_TAG];
    size_t   len;
    ssize_t  n;

    fd = open(p->tag, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);
    n = fd != -1 ? read(fd, line, sizeof(line) - 1) : -1;

    if (fd != -1) {
        close(fd);
    }

    len = n > 0 ? (size_t) n : 0;

    if (len < PART_ID_LEN + 2 || line[PART_ID_LEN] != ' '
        || line[len - 1] != '\n'
        || part_take_etag(p, line + PART_ID_LEN + 1,
                          len - PART_ID_LEN - 2) != 0)
    {
        return part_fail(p, "refused to go on with", p->path, "no earlier try"
                         " has left it (there is no .etag beside it that says"
                         " so); remove it");
    }

    if (memcmp(line, p->id, PART_ID_LEN) != 0) {
        return part_fail(p, "refused to go on with", p->path,
                         "it is a part of another capture; remove it, or"
                         " choose another -o");
    }

    return 0;
}


int
part_open(part_t *p, const char *file, const char *id)
{
    size_t  len;

    memset(p, 0, sizeof(part_t));
    p->fd = -1;
    p->id = id;

    len = strlen(file) + sizeof(".part.etag");
    p->path = malloc(len);
    p->tag = malloc(len);

    if (p->path == NULL || p->tag == NULL) {
        snprintf(p->err, sizeof(p->err), "out of memory");
        return -1;
    }

    snprintf(p->path, len, "%s.part", file);
    snprintf(p->tag, len, "%s.part.etag", file);

    p->fd = open(p->path, O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (p->fd == -1) {
        return errno == ENOENT ? 0 : part_fail(p, "cannot write", p->path,
            errno == ELOOP ? "it is a symbolic link" : strerror(errno));
    }

    if (part_lock(p) != 0) {
        /* Not ours: part_close() must leave it alone. */
        close(p->fd);
        p->fd = -1;
        return -1;
    }

    return p->len > 0 ? part_read_tag(p) : 0;
}


static int
part_write_tag(part_t *p, const char *etag)
{
    int   fd, n, rc;
    char  line[PART_MAX_TAG];

    snprintf(p->etag, sizeof(p->etag), "%s", etag);
    n = snprintf(line, sizeof(line), "%.32s %s\n", p->id, p->etag);

    if (unlink(p->tag) == -1 && errno != ENOENT) {
        return part_fail(p, "cannot replace", p->tag, strerror(errno));
    }

    fd = open(p->tag, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600);
    if (fd == -1) {
        return part_fail(p, "cannot create", p->tag, strerror(errno));
    }

    rc = write(fd, line, (size_t) n) == n
         ? 0 : part_fail(p, "cannot write", p->tag, strerror(errno));
    close(fd);

    return rc;
}


int
part_begin(part_t *p, const char *etag)
{
    if (p->fd == -1) {
        p->fd = open(p->path, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC,
                     0600);
        if (p->fd == -1) {
            return part_fail(p, "cannot create", p->path, strerror(errno));
        }

        if (part_lock(p) != 0) {
            return -1;
        }

    } else if (ftruncate(p->fd, 0) == -1) {
        return part_fail(p, "cannot write", p->path, strerror(errno));
    }

    p->len = 0;

    return part_write_tag(p, etag);
}


int
part_put(part_t *p, const void *data, size_t len)
{
    int          err;
    size_t       done;
    ssize_t      n;
    const char  *s = data;

    for (done = 0; done < len; done += (size_t) n) {
        n = pwrite(p->fd, s + done, len - done, (off_t) (p->len + done));

        if (n == -1 && errno == EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            err = n == 0 ? ENOSPC : errno;
            (void) !ftruncate(p->fd, (off_t) p->len);
            return part_fail(p, "cannot write", p->path, strerror(err));
        }
    }

    p->len += len;

    return 0;
}


int
part_read(part_t *p, void *data, size_t size, uint64_t offset)
{
    ssize_t  n;

    do {
        n = pread(p->fd, data, size, (off_t) offset);
    } while (n == -1 && errno == EINTR);

    return n == -1 ? part_fail(p, "cannot read", p->path, strerror(errno))
                   : (int) n;
}


/* rename() would replace what came under that name meanwhile. */
static int
part_rename(part_t *p, const char *file, part_mode_t mode)
{
    struct stat  st;

    if (mode == PART_NEW) {
        if (link(p->path, file) == 0) {
            return unlink(p->path);
        }

        /* There are file systems without links. */
        if (errno == EEXIST || lstat(file, &st) == 0) {
            errno = EEXIST;
            return -1;
        }
    }

    return rename(p->path, file);
}


int
part_finish(part_t *p, const char *file, part_mode_t mode)
{
    if (fsync(p->fd) == -1 && errno != EINVAL && errno != ENOSYS) {
        return part_fail(p, "cannot write", p->path, strerror(errno));
    }

    if (part_rename(p, file, mode) == -1) {
        return part_fail(p, "cannot create", file, errno == EEXIST
                         ? "it exists; -F replaces it" : strerror(errno));
    }

    (void) unlink(p->tag);

    /* Network file systems tell only here that the disk was full. */
    if (close(p->fd) == -1 && errno != EINTR) {
        p->fd = -1;
        return part_fail(p, "cannot write", file, strerror(errno));
    }

    p->fd = -1;

    return 0;
}


void
part_remove(part_t *p)
{
    if (p->fd != -1) {
        (void) unlink(p->path);
        (void) unlink(p->tag);
    }
}


void
part_close(part_t *p)
{
    if (p->fd != -1) {
        if (p->len == 0) {
            part_remove(p);
        }

        close(p->fd);
        p->fd = -1;
    }

    free(p->path);
    free(p->tag);
    p->path = NULL;
    p->tag = NULL;
}
