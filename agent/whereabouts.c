/*
 * agent/whereabouts.c: where is the container's network namespace? CNI leaves
 * it mounted below a path of its own; without CNI it is that of the
 * container's first process, which runc or containerd know. A number of a
 * process proves nothing, it may be somebody else's by now: the process is
 * held by its folder in /proc, and what is read through that is this one
 * process's or an error.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "container_int.h"
#include "privs.h"


/* Where an inotify watch on a folder that is open can be put. */
#define WHERE_FD_PATH   "/proc/self/fd/%d"

typedef enum {
    WHERE_HERE = 0,
    WHERE_NOT_HERE,
    WHERE_ERROR                   /* *why is filled */
} where_t;


static where_t where_bound(container_t *ct, const char *pattern,
    problem_t *why);
static where_t where_state(container_t *ct, const char *pattern,
    problem_t *why);
static cstate_t where_parse(const container_t *ct, const char *pattern,
    int fd, cstate_init_t *init);
static where_t where_process(container_t *ct, problem_t *why);
static int where_is_init(const container_t *ct, int proc, uint64_t *start);
static char *where_proc_read(int proc, const char *name, size_t *len);
static where_t where_open(const container_t *ct, const char *pattern,
    place_t *pl, int *fd, problem_t *why);
static where_t where_failed(const container_t *ct, const char *what,
    problem_t *why);
static void where_watch_process(container_t *ct);
static where_t where_accept(container_t *ct, problem_t *why);
static void where_forget(container_t *ct);


int
container_whereabouts(container_t *ct, problem_t *why)
{
    size_t    i;
    where_t   rc;

    rc = WHERE_NOT_HERE;

    for (i = 0; i < ct->conf->container_netns_paths.n
                && rc == WHERE_NOT_HERE; i++)
    {
        rc = where_bound(ct, ct->conf->container_netns_paths.text[i], why);
    }

    for (i = 0; i < ct->conf->container_state_paths.n
                && rc == WHERE_NOT_HERE; i++)
    {
        rc = where_state(ct, ct->conf->container_state_paths.text[i], why);

        if (rc == WHERE_NOT_HERE) {
            where_forget(ct);
        }
    }

    if (rc == WHERE_NOT_HERE) {
        log_warn(ct->log, "container %s: %sneither container_netns_paths nor "
                 "container_state_paths lead to it", ct->handle,
                 ct->conf->container_metadata
                 ? "it is in the container metadata, but " : "");
        return container_unknown(ct, why);
    }

    return rc == WHERE_HERE ? 0 : -1;
}


static where_t
where_bound(container_t *ct, const char *pattern, problem_t *why)
{
    where_t  rc;
    place_t  pl;

    rc = where_open(ct, pattern, &pl, &ct->ns, why);

    if (rc != WHERE_HERE) {
        return rc;
    }

    if (netns_unmounted(ct->ns)) {
        place_close(&pl);
        where_forget(ct);
        return WHERE_NOT_HERE;
    }

    container_watch_folder(ct, &pl);
    place_close(&pl);

    return where_accept(ct, why);
}


/* What a state that was out of date has led to. */

static void
where_forget(container_t *ct)
{
    if (ct->ns != -1) {
        close(ct->ns);
        ct->ns = -1;
    }

    if (ct->watch != -1) {
        close(ct->watch);
        ct->watch = -1;
    }

    memset(&ct->init, 0, sizeof(ct->init));
    memset(&ct->id, 0, sizeof(ct->id));
}


/* Is ct->ns what it should be? */

static where_t
where_accept(container_t *ct, problem_t *why)
{
    const char  *wrong;

    wrong = netns_wrong(ct->ns, &ct->home_id, &ct->id);

    if (wrong == NULL) {
        return WHERE_HERE;
    }

    close(ct->ns);
    ct->ns = -1;
    problem_set(why, 500, "container: %s: what stands for its network "
                "namespace %s", ct->handle, wrong);

    return WHERE_ERROR;
}


static where_t
where_state(container_t *ct, const char *pattern, problem_t *why)
{
    int       fd;
    where_t   rc;
    place_t   pl;
    cstate_t  found;

    rc = where_open(ct, pattern, &pl, &fd, why);

    if (rc != WHERE_HERE) {
        return rc;
    }

    place_close(&pl);
    found = where_parse(ct, pattern, fd, &ct->init);
    close(fd);

    if (found == CSTATE_NONE) {
        return WHERE_NOT_HERE;
    }

    if (found == CSTATE_BAD) {
        problem_set(why, 500, "container: %s: its state is not what it "
                    "should be", ct->handle);
        return WHERE_ERROR;
    }

    return where_process(ct, why);
}


/* A file *.json is runc's, any other has a number in it. */

static cstate_t
where_parse(const container_t *ct, const char *pattern, int fd,
    cstate_init_t *init)
{
    char      *text;
    size_t     n, len;
    cstate_t   rc;

    text = place_read(fd, CSTATE_MAX_STATE, &len);

    if (text == NULL) {
        return CSTATE_BAD;
    }

    n = strlen(pattern);

    if (n > 5 && strcmp(pattern + n - 5, ".json") == 0) {
        rc = cstate_runc(text, len, ct->handle, init);

    } else {
        rc = cstate_pid(text, len, init);
    }

    free(text);

    return rc;
}


static where_t
where_process(container_t *ct, problem_t *why)
{
    int       proc, is_init;
    char      path[32];
    where_t   rc;
    uint64_t  start;

    snprintf(path, sizeof(path), "/proc/%d", (int) ct->init.pid);
    proc = privs_open(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (proc == -1) {
        return WHERE_NOT_HERE;
    }

    rc = WHERE_NOT_HERE;
    is_init = where_is_init(ct, proc, &start);

    if (is_init != 1) {
        goto out;
    }

    ct->init.start = start;

    where_watch_process(ct);
    ct->ns = privs_open(proc, "ns/net", O_RDONLY | O_CLOEXEC);

    if (ct->ns == -1) {
        rc = where_failed(ct, "its process", why);
        goto out;
    }

    rc = where_accept(ct, why);

    /*
     * The process still lives, so its number was nobody else's in between:
     * the watch is on it, too.
     */
    if (rc == WHERE_HERE && where_is_init(ct, proc, &start) != 1) {
        rc = WHERE_NOT_HERE;
    }

out:

    close(proc);

    return rc;
}


static void
where_watch_process(container_t *ct)
{
    ct->watched[0] = '\0';
    ct->watch = (int) syscall(SYS_pidfd_open, ct->init.pid, 0);

    if (ct->watch == -1) {
        log_warn(ct->log, "container %s: pidfd_open: %s; its end will be "
                 "noticed by its interfaces alone", ct->handle,
                 strerror(errno));
    }
}


/*
 * Is it the container's first process? By its start time or, where that is
 * not known, by the control group that it was put into.
 */

static int
where_is_init(const container_t *ct, int proc, uint64_t *start)
{
    char      *text;
    size_t     len;
    cstate_t   rc;

    text = where_proc_read(proc, "stat", &len);

    if (text == NULL) {
        return 0;
    }

    rc = cstate_started(text, len, start);
    free(text);

    if (rc != CSTATE_OK) {
        return 0;
    }

    if (ct->init.start) {
        return ct->init.start == *start;
    }

    text = where_proc_read(proc, "cgroup", &len);

    if (text == NULL) {
        return 0;
    }

    rc = cstate_in_cgroup(text, len, ct->handle);
    free(text);

    if (rc != CSTATE_OK) {
        log_warn(ct->log, "container %s: process %d is in no control group "
                 "of that name", ct->handle, (int) ct->init.pid);
    }

    return rc == CSTATE_OK;
}


static char *
where_proc_read(int proc, const char *name, size_t *len)
{
    int    fd;
    char  *text;

    fd = privs_open(proc, name, O_RDONLY | O_CLOEXEC);

    if (fd == -1) {
        return NULL;
    }

    text = place_read(fd, CSTATE_MAX_PROC, len);
    close(fd);

    return text;
}


/* On WHERE_HERE the caller closes both; else neither is open. */

static where_t
where_open(const container_t *ct, const char *pattern, place_t *pl, int *fd,
    problem_t *why)
{
    int  failed;

    *fd = -1;

    if (privs_raise(PRIVS_FIND) != 0) {
        return where_failed(ct, "capset", why);
    }

    if (place_find(pl, pattern, ct->handle) == 0) {
        *fd = place_open(pl);
    }

    failed = errno;
    privs_lower();

    if (*fd != -1) {
        return WHERE_HERE;
    }

    place_close(pl);

    if (failed == ENOENT) {
        return WHERE_NOT_HERE;
    }

    errno = failed;

    return where_failed(ct, pattern, why);
}


/* Paths of the machine go to the log, not to the API. */

static where_t
where_failed(const container_t *ct, const char *what, problem_t *why)
{
    int  failed;

    failed = errno;

    log_warn(ct->log, "container %s: %s: %s", ct->handle, what,
             strerror(failed));
    problem_set(why, 500, "container: %s: it cannot be looked up: %s",
                ct->handle, strerror(failed));

    return WHERE_ERROR;
}


/*
 * When garden takes a container down it removes the mount and its file
 * (cf-networking-release garden-external-networker/bindmount); so do
 * containerd and CRI-O when they stop a pod's sandbox.
 */

void
container_watch_folder(container_t *ct, const place_t *pl)
{
    int   rc;
    char  path[sizeof(WHERE_FD_PATH) + 16];

    ct->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (ct->watch == -1) {
        log_warn(ct->log, "inotify: %s", strerror(errno));
        return;
    }

    snprintf(path, sizeof(path), WHERE_FD_PATH, pl->base);
    snprintf(ct->watched, sizeof(ct->watched), "%.*s",
             (int) place_component(pl), pl->name);

    rc = -1;

    if (privs_raise(PRIVS_FIND) == 0) {
        rc = inotify_add_watch(ct->watch, path, IN_DELETE | IN_MOVED_FROM
                               | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
        privs_lower();
    }

    if (rc == -1) {
        log_warn(ct->log, "%s %s: inotify: %s", ct->kind, ct->handle,
                 strerror(errno));
        close(ct->watch);
        ct->watch = -1;
    }
}
