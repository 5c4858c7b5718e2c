/*
 * agent/netns.c: see netns.h.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "netns.h"
#include "privs.h"


#define NETNS_OWN  "/proc/self/ns/net"


int
netns_same(const netns_id_t *a, const netns_id_t *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}


int
netns_open_own(netns_id_t *id)
{
    int          fd;
    struct stat  st;

    fd = open(NETNS_OWN, O_RDONLY | O_CLOEXEC);

    if (fd != -1 && fstat(fd, &st) != 0) {
        close(fd);
        return -1;
    }

    if (fd != -1) {
        id->dev = st.st_dev;
        id->ino = st.st_ino;
    }

    return fd;
}


int
netns_unmounted(int fd)
{
    struct stat    st;
    struct statfs  fs;

    return fstatfs(fd, &fs) == 0 && fs.f_type != NSFS_MAGIC
           && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}


const char *
netns_wrong(int fd, const netns_id_t *home, netns_id_t *id)
{
    struct stat    st;
    struct statfs  fs;

    if (fstatfs(fd, &fs) != 0 || fs.f_type != NSFS_MAGIC
        || fstat(fd, &st) != 0)
    {
        return "is no namespace";
    }

    if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
        return "is no network namespace";
    }

    id->dev = st.st_dev;
    id->ino = st.st_ino;

    if (netns_same(id, home)) {
        return "is the namespace of this machine";
    }

    return NULL;
}


int
netns_enter(int fd, const netns_id_t *id)
{
    int         rc;
    netns_id_t  now;

    if (privs_raise(PRIVS_ENTER) != 0) {
        return -1;
    }

    rc = setns(fd, CLONE_NEWNET);
    privs_lower();

    if (rc != 0) {
        return -1;
    }

    fd = netns_open_own(&now);

    if (fd == -1) {
        return -1;
    }

    close(fd);

    if (!netns_same(&now, id)) {
        errno = ESTALE;
        return -1;
    }

    return 0;
}


int
netns_try(void)
{
    int         fd, rc, failed;
    netns_id_t  own;

    fd = netns_open_own(&own);

    if (fd == -1) {
        return -1;
    }

    rc = netns_enter(fd, &own);
    failed = errno;
    close(fd);
    errno = failed;

    return rc;
}
