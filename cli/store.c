/*
 * cli/store.c: reads, locks and replaces the config file. What is read
 * holds tokens: memory is wiped before it is given back.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "capture.h"
#include "pcapx/valid.h"
#include "store.h"
#include "text.h"
#include "wipe.h"


/* Whoever holds the lock waits for a server, with a deadline. */
#define STORE_LOCK_MS   60000
#define STORE_TICK_MS   20


static int
store_fail(char *err, const char *what, const char *path, int error)
{
    char  name[100];

    text_clean(name, sizeof(name), path, strlen(path));
    snprintf(err, PCAPX_ERR_LEN, "cannot %s %s: %.100s", what, name,
             strerror(error));

    return -1;
}


static void
store_forget(store_t *s)
{
    if (s->text != NULL) {
        wipe(s->text, s->len);
        free(s->text);
    }

    s->text = NULL;
    s->len = 0;
}


void
store_free(store_t *s)
{
    store_forget(s);
    free(s->path);
    s->path = NULL;
}


static int
store_read_fd(store_t *s, int fd)
{
    ssize_t  n;

    /* One byte more than may be there, so that too long is seen. */
    s->text = malloc(STORE_MAX_BYTES + 1);
    if (s->text == NULL) {
        return ENOMEM;
    }

    while (s->len < STORE_MAX_BYTES + 1) {
        n = read(fd, s->text + s->len, STORE_MAX_BYTES + 1 - s->len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            return errno;
        }

        if (n == 0) {
            break;
        }

        s->len += (size_t) n;
    }

    return 0;
}


int
store_read(store_t *s, const char *path, char *err)
{
    int          fd, error;
    char        *real;
    struct stat  st;

    store_forget(s);

    /* Where it was is kept when it is gone: its lock is still there. */
    real = realpath(path, NULL);
    if (real == NULL) {
        return errno == ENOENT ? 0 : store_fail(err, "read", path, errno);
    }

    free(s->path);
    s->path = real;

    /* A FIFO would block, and could not be replaced. */
    fd = open(s->path, O_RDONLY|O_CLOEXEC|O_NOCTTY|O_NONBLOCK);
    if (fd == -1) {
        return store_fail(err, "read", path, errno);
    }

    error = 0;

    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
        error = EINVAL;
    }

    if (error == 0) {
        error = store_read_fd(s, fd);
    }

    close(fd);

    return error == 0 ? 1 : store_fail(err, "read", path, error);
}


int
store_read_stream(store_t *s, const char *path, char *err)
{
    int  fd, error;

    store_forget(s);

    fd = open(path, O_RDONLY|O_CLOEXEC|O_NOCTTY);
    if (fd == -1) {
        return errno == ENOENT ? 0 : store_fail(err, "read", path, errno);
    }

    error = store_read_fd(s, fd);
    close(fd);

    return error == 0 ? 1 : store_fail(err, "read", path, error);
}


/* flock() knows no deadline but a signal's, so it is asked again. */
static int
store_wait(int fd, const conf_wait_t *wait, msg_t *msg)
{
    int              told;
    uint64_t         end;
    struct timespec  tick = { 0, STORE_TICK_MS * 1000000L };

    told = 0;
    end = capture_now() + STORE_LOCK_MS;

    while (flock(fd, LOCK_EX|LOCK_NB) == -1) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return errno;
        }

        if (!told) {
            told = 1;
            msg_debug(msg, "* another one refreshes the token: waiting");
        }

        if (capture_now() >= end) {
            return ETIMEDOUT;
        }

        if (wait == NULL) {
            (void) nanosleep(&tick, NULL);

        } else if (wait->turn(wait->ctx) != 0) {
            return EINTR;
        }
    }

    return 0;
}


int
store_lock(const store_t *s, const conf_wait_t *wait, msg_t *msg, char *err)
{
    int     fd, error;
    char   *path;
    size_t  len;

    if (s->path == NULL) {
        return store_fail(err, "lock", "the config file", ENOENT);
    }

    len = strlen(s->path) + sizeof(".lock");

    path = malloc(len);
    if (path == NULL) {
        return store_fail(err, "lock", s->path, ENOMEM);
    }

    snprintf(path, len, "%s.lock", s->path);
    fd = open(path, O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW|O_NOCTTY, 0600);
    error = fd == -1 ? errno : store_wait(fd, wait, msg);

    if (error != 0) {
        (void) store_fail(err, "lock", path, error);

        if (fd != -1) {
            close(fd);
            fd = -1;
        }
    }

    free(path);

    return fd;
}


void
store_unlock(int fd)
{
    if (fd != -1) {
        close(fd);
    }
}


static int
store_put(int fd, const char *p, size_t len)
{
    ssize_t  n;

    while (len > 0) {
        n = write(fd, p, len);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            return n == 0 ? EIO : errno;
        }

        p += n;
        len -= (size_t) n;
    }

    return fsync(fd) == -1 && errno != EINVAL && errno != EROFS ? errno : 0;
}


/* root, by sudo, must not take a user's file away from him. */
static void
store_keep_owner(int fd, const char *path)
{
    struct stat  st;

    if (stat(path, &st) == 0 && st.st_uid != geteuid()
        && fchown(fd, st.st_uid, st.st_gid) == -1)
    {
        /* Not root: it stays ours, as the CLI could not write it. */
        return;
    }
}


/* The rename lasts once the folder is on the disk; no harm where it fails. */
static void
store_sync_folder(const char *path)
{
    int          fd;
    char        *folder;
    const char  *slash;

    slash = strrchr(path, '/');
    folder = slash != NULL ? strndup(path, (size_t) (slash - path) + 1)
                           : NULL;

    fd = folder != NULL ? open(folder, O_RDONLY|O_DIRECTORY|O_CLOEXEC) : -1;

    if (fd != -1) {
        (void) fsync(fd);
        close(fd);
    }

    free(folder);
}


int
store_write(const store_t *s, const char *text, size_t len,
    char *err)
{
    int     fd, error;
    char   *temp;
    size_t  size;

    size = strlen(s->path) + sizeof(".XXXXXX");

    temp = malloc(size);
    if (temp == NULL) {
        return store_fail(err, "write", s->path, ENOMEM);
    }

    snprintf(temp, size, "%s.XXXXXX", s->path);

    /* mkstemp() makes it 0600. */
    fd = mkstemp(temp);
    error = fd == -1 ? errno : 0;

    if (fd != -1) {
        store_keep_owner(fd, s->path);
        error = store_put(fd, text, len);

        if (close(fd) == -1 && errno != EINTR && error == 0) {
            error = errno;
        }

        if (error == 0 && rename(temp, s->path) == -1) {
            error = errno;
        }

        if (error != 0) {
            (void) unlink(temp);

        } else {
            store_sync_folder(s->path);
        }
    }

    free(temp);

    return error == 0 ? 0 : store_fail(err, "write", s->path, error);
}
