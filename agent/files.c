/*
 * agent/files.c: see files.h. Questions and answers are records of fixed
 * size over a SOCK_SEQPACKET pair, a descriptor goes beside its answer. The
 * child believes nothing that it is asked: names are checked once more, and
 * the kernel itself keeps every open below the folder.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "files_name.h"
#include "privs.h"
#include "sandbox.h"


#define FILES_MEMORY   (16u << 20)

#define FILES_RESOLVE  (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS                \
                        | RESOLVE_NO_MAGICLINKS)

/* In the child. */
#define FILES_SOCKET   0

enum {
    FILES_FOLDER = 1,
    FILES_LOOK,
    FILES_OPEN,
    FILES_REMOVE
};

typedef struct {
    uint32_t      what;
    char          ns[FILES_NAME_LEN + 1];
    char          name[FILES_FILE_LEN + 1];
} files_question_t;

typedef struct {
    int32_t       err;          /* errno, 0: done */
    files_info_t  info;
} files_answer_t;

typedef struct {
    int           base;         /* files_folder, -1: see err */
    int           err;
    int           folder;       /* -1: not asked for yet */
} files_child_t;


static void files_child(int fd, const conf_t *conf);
static int files_answer(files_child_t *c, const files_question_t *q,
    files_answer_t *a);
static int files_do_folder(files_child_t *c, const files_question_t *q);
static int files_do_look(const files_child_t *c, const files_question_t *q,
    files_info_t *info);
static int files_do_open(const files_child_t *c, const files_question_t *q,
    files_info_t *info);
static int files_do_remove(const files_child_t *c,
    const files_question_t *q);
static int files_openat2(int dir, const char *path, int flags);
static void files_info(files_info_t *info, const struct stat *st);
static int files_send(int fd, files_answer_t *a, int passed);
static int files_ask(files_t *f, uint32_t what, const char *ns,
    const char *name, files_info_t *info);
static int files_passed(struct msghdr *msg);


int
files_possible(void)
{
    int  fd;

    fd = files_openat2(AT_FDCWD, ".", O_PATH);

    if (fd != -1) {
        close(fd);
    }

    return fd != -1 || errno != ENOSYS;
}


int
files_start(files_t *f, const conf_t *conf)
{
    int  fd[2];

    f->fd = -1;
    f->pid = -1;

    if (conf->files_folder == NULL) {
        return 0;
    }

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0) {
        return -1;
    }

    f->pid = fork();

    if (f->pid == 0) {
        files_child(fd[1], conf);
        _exit(0);
    }

    close(fd[1]);

    if (f->pid == -1) {
        close(fd[0]);
        return -1;
    }

    f->fd = fd[0];

    return 0;
}


void
files_stop(files_t *f)
{
    if (f->fd == -1) {
        return;
    }

    close(f->fd);
    f->fd = -1;
    (void) kill(f->pid, SIGKILL);

    while (waitpid(f->pid, NULL, 0) == -1 && errno == EINTR) {
        /* again */
    }
}


static void
files_child(int fd, const conf_t *conf)
{
    int               passed;
    ssize_t           n;
    files_child_t     c;
    files_answer_t    a;
    files_question_t  q;

    (void) prctl(PR_SET_NAME, "pcap-files", 0, 0, 0);

    /* It needs nothing but this: neither the connection nor the parent. */

    if (dup2(fd, FILES_SOCKET) != FILES_SOCKET) {
        return;
    }

    closefrom(FILES_SOCKET + 1);

    if (privs_keep(PRIVS_FILES) != 0 || privs_raise(PRIVS_READ) != 0) {
        return;
    }

    /* The folder itself is the operator's: links are his, too. */

    c.base = open(conf->files_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    c.err = errno;
    c.folder = -1;
    privs_lower();

    if (sandbox_limits(FILES_MEMORY, SANDBOX_MAX_FDS) != 0
        || sandbox_enter(SANDBOX_FILES, SANDBOX_MACHINE) != 0)
    {
        return;
    }

    for ( ;; ) {
        n = recv(FILES_SOCKET, &q, sizeof(q), MSG_TRUNC);

        if (n != (ssize_t) sizeof(q)) {
            return;
        }

        memset(&a, 0, sizeof(a));
        passed = files_answer(&c, &q, &a);
        n = files_send(FILES_SOCKET, &a, passed);

        if (passed != -1 && passed != c.folder) {
            close(passed);
        }

        if (n != 0) {
            return;
        }
    }
}


/* Fills *a. Returns a descriptor that goes with it, or -1. */

static int
files_answer(files_child_t *c, const files_question_t *q, files_answer_t *a)
{
    int  rc;

    errno = EINVAL;
    rc = -1;

    if (memchr(q->ns, '\0', sizeof(q->ns)) == NULL
        || memchr(q->name, '\0', sizeof(q->name)) == NULL
        || files_wrong(q->name, strlen(q->name), FILES_FILE_LEN))
    {
        a->err = EINVAL;
        return -1;
    }

    switch (q->what) {

    case FILES_FOLDER:
        rc = files_do_folder(c, q);
        break;

    case FILES_LOOK:
        rc = files_do_look(c, q, &a->info);
        break;

    case FILES_OPEN:
        rc = files_do_open(c, q, &a->info);
        break;

    case FILES_REMOVE:
        rc = files_do_remove(c, q);
        break;

    default:
        break;
    }

    a->err = rc == -1 ? errno : 0;

    return q->what == FILES_FOLDER || q->what == FILES_OPEN ? rc : -1;
}


static int
files_do_folder(files_child_t *c, const files_question_t *q)
{
    char  path[sizeof(q->ns) + sizeof(q->name)];

    if (c->folder != -1 || files_wrong(q->ns, strlen(q->ns), FILES_NAME_LEN))
    {
        errno = EINVAL;
        return -1;
    }

    if (c->base == -1) {
        errno = c->err;
        return -1;
    }

    snprintf(path, sizeof(path), "%s/%s", q->ns, q->name);

    (void) privs_raise(PRIVS_READ);
    c->folder = files_openat2(c->base, path, O_RDONLY | O_DIRECTORY);
    privs_lower();

    return c->folder;
}


static int
files_do_look(const files_child_t *c, const files_question_t *q,
    files_info_t *info)
{
    int          rc;
    struct stat  st;

    (void) privs_raise(PRIVS_READ);
    rc = fstatat(c->folder, q->name, &st, AT_SYMLINK_NOFOLLOW);
    privs_lower();

    if (rc == 0 && !S_ISREG(st.st_mode)) {
        rc = -1;
        errno = EISDIR;
    }

    if (rc == 0) {
        files_info(info, &st);
    }

    return rc;
}


/* Looked at first, since opening a device may do something already. */

static int
files_do_open(const files_child_t *c, const files_question_t *q,
    files_info_t *info)
{
    int          fd;
    struct stat  st;

    if (files_do_look(c, q, info) != 0) {
        return -1;
    }

    (void) privs_raise(PRIVS_READ);
    fd = files_openat2(c->folder, q->name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    privs_lower();

    if (fd == -1) {
        return -1;
    }

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        errno = EISDIR;
        return -1;
    }

    files_info(info, &st);

    return fd;
}


/* What is exchanged in between is a name and no folder: no more can go. */

static int
files_do_remove(const files_child_t *c, const files_question_t *q)
{
    int           rc;
    files_info_t  info;

    if (files_do_look(c, q, &info) != 0) {
        return -1;
    }

    (void) privs_raise(PRIVS_FILES);
    rc = unlinkat(c->folder, q->name, 0);
    privs_lower();

    return rc;
}


static int
files_openat2(int dir, const char *path, int flags)
{
    struct open_how  how;

    memset(&how, 0, sizeof(how));
    how.flags = (uint64_t) (flags | O_CLOEXEC | O_NOFOLLOW);
    how.resolve = FILES_RESOLVE;

    return (int) syscall(SYS_openat2, dir, path, &how, sizeof(how));
}


static void
files_info(files_info_t *info, const struct stat *st)
{
    info->bytes = (uint64_t) st->st_size;
    info->mtime_s = st->st_mtime;
    info->dev = st->st_dev;
    info->ino = st->st_ino;
}


static int
files_send(int fd, files_answer_t *a, int passed)
{
    struct iovec     iov;
    struct msghdr    msg;
    struct cmsghdr  *cmsg;

    union {
        struct cmsghdr  head;
        char            bytes[CMSG_SPACE(sizeof(int))];
    } control;

    memset(&msg, 0, sizeof(msg));
    memset(&control, 0, sizeof(control));
    iov.iov_base = a;
    iov.iov_len = sizeof(*a);
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;

    if (passed != -1) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &passed, sizeof(int));
    }

    return sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t) sizeof(*a) ? 0 : -1;
}


int
files_folder(files_t *f, const char *ns, const char *name)
{
    files_info_t  info;

    return files_ask(f, FILES_FOLDER, ns, name, &info);
}


int
files_look(files_t *f, const char *file, files_info_t *info)
{
    return files_ask(f, FILES_LOOK, "", file, info);
}


int
files_open(files_t *f, const char *file, files_info_t *info)
{
    return files_ask(f, FILES_OPEN, "", file, info);
}


int
files_remove(files_t *f, const char *file)
{
    files_info_t  info;

    return files_ask(f, FILES_REMOVE, "", file, &info);
}


/* Returns the descriptor that came, 0 when none should, or -1 with errno. */

static int
files_ask(files_t *f, uint32_t what, const char *ns, const char *name,
    files_info_t *info)
{
    int               fd;
    ssize_t           n;
    struct iovec      iov;
    struct msghdr     msg;
    files_answer_t    a;
    files_question_t  q;

    union {
        struct cmsghdr  head;
        char            bytes[CMSG_SPACE(sizeof(int))];
    } control;

    memset(&q, 0, sizeof(q));
    memset(&a, 0, sizeof(a));
    memset(&control, 0, sizeof(control));
    q.what = what;
    snprintf(q.ns, sizeof(q.ns), "%s", ns);
    snprintf(q.name, sizeof(q.name), "%s", name);

    memset(&msg, 0, sizeof(msg));
    iov.iov_base = &a;
    iov.iov_len = sizeof(a);
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.bytes;
    msg.msg_controllen = sizeof(control.bytes);

    n = f->fd == -1 ? -1 : send(f->fd, &q, sizeof(q), MSG_NOSIGNAL);

    if (n == (ssize_t) sizeof(q)) {
        do {
            n = recvmsg(f->fd, &msg, MSG_CMSG_CLOEXEC);
        } while (n == -1 && errno == EINTR);
    }

    fd = n > 0 ? files_passed(&msg) : -1;

    if (n != (ssize_t) sizeof(a)
        || (a.err == 0 && fd == -1
            && (what == FILES_FOLDER || what == FILES_OPEN)))
    {
        errno = EIO;
        return -1;
    }

    if (a.err) {
        errno = a.err;
        return -1;
    }

    *info = a.info;

    return fd == -1 ? 0 : fd;
}


static int
files_passed(struct msghdr *msg)
{
    int              fd;
    struct cmsghdr  *cmsg;

    cmsg = CMSG_FIRSTHDR(msg);

    if (cmsg == NULL || cmsg->cmsg_level != SOL_SOCKET
        || cmsg->cmsg_type != SCM_RIGHTS
        || cmsg->cmsg_len != CMSG_LEN(sizeof(int)))
    {
        return -1;
    }

    memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));

    return fd;
}
