/*
 * agent/privs.c: capabilities by the bare system calls (capabilities(7)),
 * so that libcap is not needed. The system call lists (seccomp) are a room
 * of their own, sandbox.c.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netns.h"
#include "privs.h"
#include "sandbox.h"


static int privs_become(const log_t *log, const char *user);
static int privs_set(unsigned permitted, unsigned effective);
static int privs_get(struct __user_cap_data_struct *data);
static unsigned privs_wanted(const conf_t *conf);
static void privs_bound(void);
static int privs_limit(int what, rlim_t value);


int
privs_start(const log_t *log, const conf_t *conf)
{
    unsigned                       keep;
    struct __user_cap_data_struct  data[2];

    if (privs_get(data) != 0 || !(data[0].permitted & PRIVS_PACKET)) {
        log_error(log, "CAP_NET_RAW is missing: start as root, or with "
                  "AmbientCapabilities=CAP_NET_RAW");
        return -1;
    }

    keep = privs_wanted(conf);
    keep |= conf->files_folder ? PRIVS_FILES : 0;
    keep &= data[0].permitted;
    privs_bound();

    if (conf->user && geteuid() == 0) {
        if (privs_become(log, conf->user) != 0) {
            return -1;
        }

    } else if (geteuid() == 0) {
        log_warn(log, "RUNNING AS ROOT: set \"user\", so that a flaw in the "
                 "agent does not give away the machine");

    } else if (conf->user) {
        log_info(log, "not root: staying user %d", (int) geteuid());
    }

    if (conf->files_folder && geteuid() != 0
        && (keep & PRIVS_FILES) != PRIVS_FILES)
    {
        log_warn(log, "files_folder: without CAP_DAC_READ_SEARCH and "
                 "CAP_DAC_OVERRIDE only what user %d may read is served, and "
                 "removed only what he may remove", (int) geteuid());
    }

    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);

    if (privs_set(keep, 0) != 0) {
        log_error(log, "capset: %s", strerror(errno));
        return -1;
    }

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
        || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    {
        log_error(log, "prctl: %s", strerror(errno));
        return -1;
    }

    if (conf->containers == CONF_CONTAINERS_NETNS && netns_try() != 0) {
        log_error(log, "container_mode netns: setns: %s; it needs "
                  "CAP_SYS_ADMIN, and bpm does not allow it (container_mode "
                  "veth needs neither)", strerror(errno));
        return -1;
    }

    if (conf->cri != CONF_CRI_OFF && netns_try() != 0) {
        log_error(log, "cri_runtime %s: setns: %s; it needs CAP_SYS_ADMIN",
                  conf->cri_runtime, strerror(errno));
        return -1;
    }

    return 0;
}


static unsigned
privs_wanted(const conf_t *conf)
{
    if (conf_enters(conf)) {
        return PRIVS_PACKET | PRIVS_FIND | PRIVS_ENTER;
    }

    return conf->containers == CONF_CONTAINERS_VETH
           ? PRIVS_PACKET | PRIVS_CAP(CAP_DAC_READ_SEARCH) : PRIVS_PACKET;
}


static int
privs_become(const log_t *log, const char *user)
{
    struct passwd  *pw;

    errno = 0;
    pw = getpwnam(user);

    if (pw == NULL) {
        log_error(log, "user %s: %s", user,
                  errno ? strerror(errno) : "there is no such user");
        return -1;
    }

    if (pw->pw_uid == 0) {
        log_error(log, "user %s is root: name another one", user);
        return -1;
    }

    /* KEEPCAPS: permitted survives the change of user, effective does not. */

    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0
        || setgroups(0, NULL) != 0
        || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0
        || setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0
        || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0)
    {
        log_error(log, "becoming user %s: %s", user, strerror(errno));
        return -1;
    }

    return 0;
}


/*
 * Nothing is ever executed that could gain them, so none stays. Needs
 * CAP_SETPCAP; without it no_new_privs alone has to do.
 */

static void
privs_bound(void)
{
    int  cap;

    for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    }
}


static int
privs_set(unsigned permitted, unsigned effective)
{
    struct __user_cap_data_struct    data[2];
    struct __user_cap_header_struct  head;

    memset(data, 0, sizeof(data));
    head.version = _LINUX_CAPABILITY_VERSION_3;
    head.pid = 0;
    data[0].permitted = permitted;
    data[0].effective = effective;

    return (int) syscall(SYS_capset, &head, data);
}


static int
privs_get(struct __user_cap_data_struct *data)
{
    struct __user_cap_header_struct  head;

    head.version = _LINUX_CAPABILITY_VERSION_3;
    head.pid = 0;

    return (int) syscall(SYS_capget, &head, data);
}


int
privs_raise(unsigned caps)
{
    struct __user_cap_data_struct  data[2];

    if (privs_get(data) != 0) {
        return -1;
    }

    return privs_set(data[0].permitted, data[0].permitted & caps);
}


void
privs_lower(void)
{
    int                            failed;
    struct __user_cap_data_struct  data[2];

    failed = errno;

    if (privs_get(data) != 0 || privs_set(data[0].permitted, 0) != 0) {
        _exit(1);
    }

    errno = failed;
}


int
privs_open(int dir, const char *path, int flags)
{
    int  fd;

    if (privs_raise(PRIVS_FIND) != 0) {
        return -1;
    }

    fd = openat(dir, path, flags);
    privs_lower();

    return fd;
}


int
privs_session(const conf_t *conf)
{
    return conf->files_folder ? privs_keep(privs_wanted(conf))
                              : 0;
}


int
privs_keep(unsigned caps)
{
    struct __user_cap_data_struct  data[2];

    if (privs_get(data) != 0) {
        return -1;
    }

    return privs_set(data[0].permitted & caps, 0);
}


int
privs_drop(void)
{
    return privs_set(0, 0);
}


int
privs_withhold(void)
{
    int      rc;
    FILE    *f;
    char    *line, kind;
    void    *from, *to;
    size_t   len;

    f = fopen("/proc/self/maps", "re");
    if (f == NULL) {
        return -1;
    }

    line = NULL;
    len = 0;
    rc = 0;

    /* proc(5): address range, then rwx, then s for shared. */

    while (rc == 0 && getline(&line, &len, f) > 0) {
        if (sscanf(line, "%p-%p %*3c%c", &from, &to, &kind) == 3
            && kind == 's')
        {
            rc = madvise(from, (size_t) ((char *) to - (char *) from),
                         MADV_DONTFORK);
        }
    }

    free(line);
    fclose(f);

    return rc;
}


int
privs_confine(unsigned cpu_s, size_t max_bytes)
{
    if (privs_drop() != 0
        || privs_limit(RLIMIT_CPU, cpu_s) != 0
        || privs_limit(RLIMIT_FSIZE, 0) != 0
        || sandbox_limits(max_bytes, SANDBOX_MAX_FDS) != 0)
    {
        return -1;
    }

    if (sandbox_enter(SANDBOX_REQUEST, SANDBOX_MACHINE) != 0) {
        return -1;
    }

    return sandbox_enter(SANDBOX_FILTER, SANDBOX_MACHINE);
}


static int
privs_limit(int what, rlim_t value)
{
    struct rlimit  rl;

    rl.rlim_cur = value;
    rl.rlim_max = value;

    return setrlimit(what, &rl);
}
