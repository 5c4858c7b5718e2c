/*
 * agent/owner.c: whose container is it? The network store of the cell knows:
 * silk's CNI plugin writes it as root from what the Cloud Controller said
 * when the container was made. Nothing that a tenant can change afterwards
 * (his environment, his files) is asked.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "container_int.h"
#include "privs.h"


/*
 * The store is rewritten in place below an exclusive flock() of the file
 * beside it, for a few milliseconds (silk-release lib/datastore/datastore.go;
 * before it had that file, the lock was on the store itself).
 */
#define OWNER_LOCK       "_lock"
#define OWNER_LOCK_NS    UINT64_C(2000000000)
#define OWNER_RETRY_NS   5000000

#define OWNER_FLAGS      (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)


static char *owner_store(const container_t *ct, size_t *len,
    problem_t *why);
static char *owner_read(const char *path, size_t *len);
static int owner_lock(int fd);


int
container_owner(container_t *ct, problem_t *why)
{
    char      *text;
    size_t     len;
    cstate_t   rc;

    if (ct->conf->container_metadata == NULL) {
        return 0;
    }

    text = owner_store(ct, &len, why);
    if (text == NULL) {
        return -1;
    }

    rc = cstate_owner(text, len, ct->handle, &ct->owner);
    free(text);

    if (rc == CSTATE_BAD) {
        return problem_set(why, 500, "container: %s: the container metadata "
                           "is not what it should be", ct->handle);
    }

    if (rc == CSTATE_NONE) {
        return container_unknown(ct, why);
    }

    if (strcmp(ct->owner.app, ct->app) != 0) {
        log_warn(ct->log, "container %s belongs to app %s, not to %s",
                 ct->handle, ct->owner.app, ct->app);
        return container_unknown(ct, why);
    }

    return 0;
}


/* The text of the store, to be freed, or NULL with *why. */

static char *
owner_store(const container_t *ct, size_t *len, problem_t *why)
{
    int          failed;
    char        *text;
    const char  *path;

    path = ct->conf->container_metadata;
    text = owner_read(path, len);

    if (text) {
        return text;
    }

    failed = errno;
    log_warn(ct->log, "container_metadata %s: %s", path, strerror(failed));

    if (failed == ENOENT) {

        /* No container was ever made here. */

        container_unknown(ct, why);

    } else {
        problem_set(why, 500, "container: the container metadata: %s",
                    strerror(failed));
    }

    return NULL;
}


/* The lock first: what is opened before it may be replaced below it. */

static char *
owner_read(const char *path, size_t *len)
{
    int    fd, lock, failed;
    char   beside[PLACE_MAX_PATTERN + sizeof(OWNER_LOCK)], *text;

    snprintf(beside, sizeof(beside), "%s" OWNER_LOCK, path);

    text = NULL;
    fd = -1;
    lock = privs_open(AT_FDCWD, beside, OWNER_FLAGS);

    if ((lock == -1 && errno != ENOENT)
        || (lock != -1 && owner_lock(lock) != 0))
    {
        goto out;
    }

    fd = privs_open(AT_FDCWD, path, OWNER_FLAGS);

    if (fd == -1 || (lock == -1 && owner_lock(fd) != 0)) {
        goto out;
    }

    text = place_read(fd, CSTATE_MAX_STORE, len);

out:

    failed = errno;

    if (fd != -1) {
        close(fd);
    }

    if (lock != -1) {
        close(lock);
    }

    errno = failed;

    return text;
}


/* Shared, and never for long: silk waits for us, too. */

static int
owner_lock(int fd)
{
    uint64_t         deadline;
    struct timespec  ts;

    deadline = net_monotonic() + OWNER_LOCK_NS;

    while (flock(fd, LOCK_SH | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return -1;
        }

        if (net_monotonic() >= deadline) {
            errno = EBUSY;
            return -1;
        }

        ts.tv_sec = 0;
        ts.tv_nsec = OWNER_RETRY_NS;
        nanosleep(&ts, NULL);
    }

    return 0;
}
