/*
 * agent/pod.c: where is a pod's network namespace? The container runtime has
 * a folder for each sandbox that it has made, and a mount for its network
 * namespace. No socket of the runtime is spoken to, who can do that is root
 * on the node. No number of a process is believed, a mount stays what it is.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "container_int.h"
#include "cri.h"
#include "privs.h"


/* A full node (250 pods, some containers each) has some 1500 entries. */
#define POD_MAX_ENTRIES    8192

/* Of all of them together: 20 KiB each is usual. A user may write 4 MiB into
 * each of his containers with CRI-O, and shall not hide others by that. */
#define POD_MAX_BYTES      (UINT64_C(2) << 30)

/* Of one pod. kubelet has at most one that is dead beside the one that lives
 * (pkg/kubelet/kuberuntime/kuberuntime_gc.go); the newest are looked at. */
#define POD_MAX_SANDBOXES  8

/* identifiers.Validate() of containerd; CRI makes 64 hexadecimal digits. */
#define POD_MAX_ID         76

#define POD_OF_NODE        "/proc/1/ns/net"

typedef struct {
    struct timespec  made;                      /* its config.json */
    char             id[POD_MAX_ID + 1];
    char             netns[CRI_MAX_NETNS + 1];  /* "": the node's */
} pod_sandbox_t;

/* What was found in the state folder. */

typedef struct {
    pod_sandbox_t    list[POD_MAX_SANDBOXES];   /* newest first */
    unsigned         n;
    unsigned         entries;
    unsigned         broken;                    /* could be its own */
    uint64_t         bytes;
} pod_found_t;

typedef enum {
    POD_HERE = 0,
    POD_NOT_HERE,
    POD_REFUSED                                 /* *why is filled */
} pod_where_t;


static int pod_scan(const container_t *ct, pod_found_t *found,
    problem_t *why);
static int pod_entry(const container_t *ct, int dir, const char *id,
    pod_found_t *found, problem_t *why);
static void pod_add(pod_found_t *found, const pod_sandbox_t *sb);
static pod_where_t pod_open(container_t *ct, const pod_sandbox_t *sb,
    problem_t *why);
static pod_where_t pod_accept(container_t *ct, problem_t *why);
static int pod_is_node(const container_t *ct);
static int pod_node(const container_t *ct, problem_t *why);
static int pod_failed(const container_t *ct, const char *what, int failed,
    problem_t *why);
static DIR *pod_open_state(const container_t *ct);
static int pod_open_at(const place_t *pl);


int
container_pod(container_t *ct, problem_t *why)
{
    unsigned      i;
    pod_where_t   rc;
    pod_found_t   found;

    memset(&found, 0, sizeof(found));

    if (pod_scan(ct, &found, why) != 0) {
        return -1;
    }

    for (i = 0; i < found.n; i++) {
        if (found.list[i].netns[0] == '\0') {
            return pod_node(ct, why);
        }

        rc = pod_open(ct, &found.list[i], why);

        if (rc != POD_NOT_HERE) {
            return rc == POD_HERE ? 0 : -1;
        }
    }

    if (found.n) {
        return problem_set(why, 409, "pod: %s is not ready: its sandbox has "
                           "no network namespace (yet, or any more)",
                           ct->handle);
    }

    if (found.broken) {
        return problem_set(why, 500, "pod: %s: its state is not what it "
                           "should be", ct->handle);
    }

    return container_unknown(ct, why);
}


/* All sandboxes of the pod that the runtime has not forgotten. */

static int
pod_scan(const container_t *ct, pod_found_t *found, problem_t *why)
{
    int             rc;
    DIR            *dir;
    struct dirent  *e;

    dir = pod_open_state(ct);

    if (dir == NULL) {
        log_warn(ct->log, "pod %s: %s: %s", ct->handle,
                 ct->conf->cri_state_folder, strerror(errno));
        return problem_set(why, 500, "pod: %s: it cannot be looked up: "
                           "cri_state_folder of this node's agent: %s (is "
                           "cri_runtime that of this node?)", ct->handle,
                           strerror(errno));
    }

    for (rc = 0; rc == 0; ) {
        errno = 0;
        e = readdir(dir);

        if (e == NULL) {
            rc = errno ? pod_failed(ct, "cri_state_folder", errno, why) : 0;
            break;
        }

        /* What is being removed by containerd begins with a dot. */

        if (e->d_name[0] == '.' || strlen(e->d_name) > POD_MAX_ID) {
            continue;
        }

        if (++found->entries > POD_MAX_ENTRIES) {
            rc = pod_failed(ct, "too many entries in cri_state_folder", EFBIG,
                            why);
            break;
        }

        rc = pod_entry(ct, dirfd(dir), e->d_name, found, why);
    }

    closedir(dir);

    return rc;
}


/* What is not there is gone by now; what is too long is no sandbox. */

static int
pod_entry(const container_t *ct, int dir, const char *id, pod_found_t *found,
    problem_t *why)
{
    int             fd;
    char           *text;
    size_t          len;
    place_t         pl;
    cstate_t        rc;
    cri_pod_t       pod;
    struct stat     st;
    pod_sandbox_t   sb;

    pl.base = dir;
    snprintf(pl.name, sizeof(pl.name), "%s%s", id, cri_config(ct->conf->cri));
    fd = pod_open_at(&pl);

    if (fd == -1) {
        if (errno != ENOENT && errno != ENOTDIR) {
            log_debug(ct->log, "pod %s: %s: %s", ct->handle, pl.name,
                      strerror(errno));
        }

        return 0;
    }

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)
        || (uint64_t) st.st_size > cri_max_state(ct->conf->cri))
    {
        close(fd);
        return 0;
    }

    text = place_read(fd, cri_max_state(ct->conf->cri), &len);

    if (text == NULL) {
        log_warn(ct->log, "pod %s: %s: %s", ct->handle, pl.name,
                 strerror(errno));
        found->broken++;
        close(fd);
        return 0;
    }

    close(fd);
    found->bytes += len;

    pod = (cri_pod_t) { .uid = ct->handle, .space = ct->space,
                        .name = ct->name };
    rc = cri_sandbox(ct->conf->cri, text, len, &pod, sb.netns);
    free(text);

    if (rc == CSTATE_OK) {
        sb.made = st.st_mtim;
        snprintf(sb.id, sizeof(sb.id), "%.*s", POD_MAX_ID, id);
        pod_add(found, &sb);

    } else if (rc == CSTATE_BAD) {
        log_warn(ct->log, "pod %s: %s is not what it should be", ct->handle,
                 pl.name);
        found->broken++;
    }

    if (found->bytes > POD_MAX_BYTES) {
        return pod_failed(ct, "too much in cri_state_folder", EFBIG, why);
    }

    return 0;
}


static void
pod_add(pod_found_t *found, const pod_sandbox_t *sb)
{
    unsigned                 i;
    const struct timespec   *a, *b;

    for (i = 0; i < found->n; i++) {
        a = &sb->made;
        b = &found->list[i].made;

        if (a->tv_sec > b->tv_sec
            || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec))
        {
            break;
        }
    }

    if (i == POD_MAX_SANDBOXES) {
        return;
    }

    if (found->n < POD_MAX_SANDBOXES) {
        found->n++;
    }

    memmove(&found->list[i + 1], &found->list[i],
            (found->n - i - 1) * sizeof(*sb));
    found->list[i] = *sb;
}


/* A sandbox lives as long as its namespace is mounted. */

static pod_where_t
pod_open(container_t *ct, const pod_sandbox_t *sb, problem_t *why)
{
    int      failed;
    place_t  pl;

    pl.base = privs_open(AT_FDCWD, ct->conf->cri_netns_folder,
                         O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (pl.base == -1) {
        pod_failed(ct, ct->conf->cri_netns_folder, errno, why);
        return POD_REFUSED;
    }

    snprintf(pl.name, sizeof(pl.name), "%s", sb->netns);
    ct->ns = pod_open_at(&pl);
    failed = errno;

    if (ct->ns == -1 && failed != ENOENT) {
        place_close(&pl);
        pod_failed(ct, sb->netns, failed, why);
        return POD_REFUSED;
    }

    if (ct->ns == -1 || netns_unmounted(ct->ns)) {
        log_info(ct->log, "pod %s: sandbox %s has no network namespace",
                 ct->handle, sb->id);
        place_close(&pl);

        if (ct->ns != -1) {
            close(ct->ns);
            ct->ns = -1;
        }

        return POD_NOT_HERE;
    }

    container_watch_folder(ct, &pl);
    place_close(&pl);

    return pod_accept(ct, why);
}


/* A network namespace, and nobody's but the pod's. */

static pod_where_t
pod_accept(container_t *ct, problem_t *why)
{
    const char  *wrong;

    wrong = netns_wrong(ct->ns, &ct->home_id, &ct->id);

    if (wrong == NULL && !pod_is_node(ct)) {
        return POD_HERE;
    }

    close(ct->ns);
    ct->ns = -1;

    if (wrong == NULL || netns_same(&ct->id, &ct->home_id)) {
        pod_node(ct, why);

    } else {
        problem_set(why, 500, "pod: %s: what stands for its network "
                    "namespace %s", ct->handle, wrong);
    }

    return POD_REFUSED;
}


/*
 * The agent's own namespace is the node's where it has hostNetwork; that of
 * process 1 is where it has hostPID and CAP_SYS_PTRACE.
 */

static int
pod_is_node(const container_t *ct)
{
    int          fd, rc;
    struct stat  st;

    fd = privs_open(AT_FDCWD, POD_OF_NODE, O_RDONLY | O_CLOEXEC);

    if (fd == -1) {
        return 0;
    }

    rc = fstat(fd, &st) != 0
         || (st.st_dev == ct->id.dev && st.st_ino == ct->id.ino);
    close(fd);

    return rc;
}


static int
pod_node(const container_t *ct, problem_t *why)
{
    return problem_set(why, 403, "pod: %s is in the node's own network "
                       "namespace (hostNetwork), which is not captured for a "
                       "pod", ct->handle);
}


/* Paths of the node go to the log, not to the API. */

static int
pod_failed(const container_t *ct, const char *what, int failed,
    problem_t *why)
{
    log_warn(ct->log, "pod %s: %s: %s", ct->handle, what, strerror(failed));

    return problem_set(why, 500, "pod: %s: it cannot be looked up: %s",
                       ct->handle, strerror(failed));
}


/* The operator's folders: they may lead over symbolic links. (fdopendir()
 * asks for more than the list of system calls has.) */

static DIR *
pod_open_state(const container_t *ct)
{
    DIR  *dir;

    if (privs_raise(PRIVS_FIND) != 0) {
        return NULL;
    }

    dir = opendir(ct->conf->cri_state_folder);
    privs_lower();

    return dir;
}


/* Below them no link is followed. */

static int
pod_open_at(const place_t *pl)
{
    int  fd;

    if (privs_raise(PRIVS_FIND) != 0) {
        return -1;
    }

    fd = place_open(pl);
    privs_lower();

    return fd;
}
