/*
 * t/agent_sandbox.c: the agent's own sandbox object, under which children of
 * this program do what is forbidden: every system call that is on no list,
 * one after the other, and those that are there with other arguments. Each
 * must die of SIGSYS, and of nothing else. What is allowed must go on.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/sandbox.h"
#include "t/tap.h"


/* The kernel of today knows fewer; what it does not know must die as well. */
#define MAX_CALL   600

/* What a child returns when it was neither killed nor as expected. */
#define WENT_ON    77

typedef int (*act_t)(void);

typedef struct {
    const char       *name;
    sandbox_list_t    list;
    sandbox_scope_t   scope;
    act_t             act;
    int               wide;     /* a sanitizer needs it */
} forbidden_t;


/* Who opens files is under no other list. */

static int
is_first(sandbox_list_t list)
{
    return list == SANDBOX_REQUEST || list == SANDBOX_FILES;
}


/* Goes down the way of a capture: the first list, then this one. */

static void
enter(sandbox_list_t list, sandbox_scope_t scope)
{
    if ((list != SANDBOX_FILES && sandbox_enter(SANDBOX_REQUEST, scope) != 0)
        || (list != SANDBOX_REQUEST && sandbox_enter(list, scope) != 0))
    {
        _exit(WENT_ON + 1);
    }
}


/* Waits for a child. Returns its status, or -1. */

static int
ended(pid_t pid)
{
    int  status;

    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}


static int
killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}


/* Is a number on a list, whatever its arguments? */

static int
listed(sandbox_list_t list, sandbox_scope_t scope, int nr)
{
    unsigned                i;
    const sandbox_rule_t   *r;

    for (i = 0; (r = sandbox_rule(list, scope, i)); i++) {
        if (r->nr == nr) {
            return 1;
        }
    }

    return 0;
}


/*
 * uretprobe and uprobe of x86-64: recent kernels let them pass by every
 * filter (seen on Linux 6.18: one got SIGILL, the other went on); they do
 * something only where a tracer has put its probes.
 */

static int
passes_all(int nr)
{
#ifdef __x86_64__
    return nr == 335 || nr == 336;
#else
    return nr < 0;
#endif
}


/* A number is allowed when it is on all lists that were entered. */

static int
allowed(sandbox_list_t list, sandbox_scope_t scope, int nr)
{
    return (is_first(list) || listed(SANDBOX_REQUEST, scope, nr))
           && listed(list, scope, nr);
}


/* All calls that are on no list, each in a child of its own. */

static void
test_all(sandbox_list_t list, sandbox_scope_t scope, const char *name)
{
    int    nr, bad, tried, status;
    pid_t  pid;

    for (nr = 0, bad = 0, tried = 0; nr < MAX_CALL; nr++) {
        if (allowed(list, scope, nr) || passes_all(nr)) {
            continue;
        }

        pid = fork();

        if (pid == 0) {
            enter(list, scope);
            syscall(nr, -1, -1, -1, -1, -1, -1);
            syscall(SYS_exit_group, WENT_ON);
        }

        status = ended(pid);
        tried++;

        if (!killed(status)) {
            bad++;
            printf("# %s: system call %d: status 0x%x\n", name, nr, status);
        }
    }

    ok(bad == 0, "%s: each of the %d calls that are not listed is killed",
       name, tried);
    ok(tried > 400, "%s: that are many", name);
}


/* The 32-bit entry, where 20 is getpid and 20 of ours is writev. */

#ifdef __x86_64__
static int
act_other_arch(void)
{
    long  rc;

    __asm__ volatile ("int $0x80" : "=a" (rc) : "a" (20L) : "memory");

    return (int) rc;
}
#endif

/* By its number alone a call of x32 would be another one of ours. */

static int
act_x32(void)
{
    return (int) syscall(0x40000000 | SYS_getpid);
}

static int
act_exec(void)
{
    char  *args[] = { NULL };

    return execve("/bin/true", args, args);
}

static int
act_write_file(void)
{
    return open("/dev/null", O_WRONLY);
}

static int
act_make_file(void)
{
    return open("/tmp", O_TMPFILE | O_RDWR, 0600);
}

static int
act_read_file(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static int
act_odd_socket(void)
{
    return socket(AF_ALG, SOCK_SEQPACKET, 0);
}

static int
act_packet_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static int
act_connect(void)
{
    return connect(0, NULL, 0);
}

static int
act_run_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int
act_make_runnable(void)
{
    return mprotect(NULL, 4096, PROT_READ | PROT_EXEC);
}

static int
act_namespace(void)
{
    return (int) syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
}

static int
act_thread(void)
{
    return (int) syscall(SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND,
                         0, 0, 0, 0);
}

static int
act_fork(void)
{
    return fork() == 0 ? (_exit(0), 0) : 0;
}

/* A sanitizer's libc takes clone, which is on its list. */

static int
act_clone3(void)
{
    return (int) syscall(SYS_clone3, NULL, 0);
}

static int
act_vfork(void)
{
#ifdef SYS_vfork
    return (int) syscall(SYS_vfork) == 0 ? (_exit(0), 0) : 0;
#else
    return act_clone3();
#endif
}

static int
act_enter_net(void)
{
    return setns(-1, CLONE_NEWNET);
}

static int
act_enter_mount(void)
{
    return setns(-1, CLONE_NEWNS);
}

static int
act_terminate(void)
{
    return kill(getpid(), SIGTERM);
}

/* A capture may abort itself, and nobody else. */

static int
act_abort_parent(void)
{
    long         parent;
    const char  *told;

    /* getppid() is on no list, so main() has told */

    told = getenv("TEST_PARENT");
    if (told == NULL) {
        return -1;
    }

    parent = strtol(told, NULL, 10);

    return (int) syscall(SYS_tgkill, parent, parent, SIGABRT);
}

static int
act_writev(void)
{
    char          x = 'x';
    struct iovec  v = { &x, 1 };

    return (int) writev(SANDBOX_CONNECTION, &v, 1);
}

static int
act_dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int
act_type(void)
{
    return ioctl(0, TIOCSTI, "x");
}

static int
act_ask_interface(void)
{
    return ioctl(0, SIOCGIFHWADDR, NULL);
}

static int
act_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
}

static int
act_send_ring(void)
{
    return setsockopt(0, SOL_PACKET, PACKET_TX_RING, NULL, 0);
}

static int
act_tcp_option(void)
{
    return setsockopt(0, IPPROTO_TCP, TCP_REPAIR, NULL, 0);
}

static int
act_bind_name(void)
{
    struct sockaddr_un  sun;

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;
    memcpy(sun.sun_path, "/tmp/agent_sandbox_test", 24);

    return bind(0, (struct sockaddr *) &sun, sizeof(sun));
}

static int
act_kill_group(void)
{
    return kill(-INT32_MAX, SIGKILL);
}

static int
act_limit_other(void)
{
    struct rlimit  rl;

    return prlimit(INT32_MAX, RLIMIT_CORE, NULL, &rl);
}

static int
act_device(void)
{
    return setsockopt(0, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
}

static int
act_capset(void)
{
    return (int) syscall(SYS_capset, NULL, NULL);
}

static int
act_owner(void)
{
    return fcntl(0, F_SETOWN, 1);
}

static int
act_openat2(void)
{
    return (int) syscall(SYS_openat2, AT_FDCWD, ".", NULL, 0);
}

static int
act_unlink(void)
{
    return unlinkat(AT_FDCWD, "/nonexistent/x", 0);
}

static int
act_rename(void)
{
    return rename("/nonexistent/x", "/nonexistent/y");
}

static int
act_make_folder(void)
{
    return mkdirat(AT_FDCWD, "/nonexistent/x", 0700);
}

static int
act_link(void)
{
    return symlinkat("x", AT_FDCWD, "/nonexistent/x");
}


#define R  SANDBOX_REQUEST
#define C  SANDBOX_CAPTURE
#define F  SANDBOX_FILTER
#define M  SANDBOX_MACHINE
#define S  SANDBOX_SERVE
#define O  SANDBOX_FILES

static const forbidden_t  forbidden[] = {
    { "execve",                      R, SANDBOX_NETNS, act_exec, 0 },
    { "execve",                      C, M, act_exec, 0 },
    { "execve",                      F, M, act_exec, 0 },
#ifdef __x86_64__
    { "a call of x32",               R, M, act_x32, 0 },
    { "a call of x32",               C, M, act_x32, 0 },
    { "a call of 32 bits",           R, M, act_other_arch, 0 },
    { "a call of 32 bits",           C, M, act_other_arch, 0 },
    { "a call of 32 bits",           F, M, act_other_arch, 0 },
#endif
    { "connect",                     R, SANDBOX_NETNS, act_connect, 0 },
    { "connect",                     C, M, act_connect, 0 },
    { "a socket of the crypto API",  R, M, act_odd_socket, 0 },
    { "a packet socket",             C, M, act_packet_socket, 0 },
    { "a socket option of another kind", R, M, act_device, 0 },
    { "a socket option of another kind", C, M, act_device, 0 },
    { "netlink of another kind",     R, M, act_netlink, 0 },
    { "a ring to send",              R, M, act_send_ring, 0 },
    { "a ring to send",              C, M, act_send_ring, 0 },
    { "another option of TCP",       R, M, act_tcp_option, 0 },
    { "a long name of a socket",     R, M, act_bind_name, 0 },
    { "setns, no containers",        R, M, act_enter_net, 0 },
    { "setns, from outside alone",   R, SANDBOX_CELL, act_enter_net, 0 },
    { "setns, another kind",         R, SANDBOX_NETNS, act_enter_mount, 0 },
    { "capset",                      C, M, act_capset, 0 },
    { "a file to write",             R, M, act_write_file, 1 },
    { "a file to write",             F, M, act_write_file, 1 },
    { "a new file",                  R, M, act_make_file, 1 },
    { "a file to read",              C, M, act_read_file, 1 },
    { "memory to run",               R, M, act_run_memory, 1 },
    { "memory to run",               C, M, act_run_memory, 1 },
    { "memory to run",               F, M, act_run_memory, 1 },
    { "memory made runnable",        C, M, act_make_runnable, 1 },
    { "a new namespace",             R, M, act_namespace, 1 },
    { "a thread",                    R, M, act_thread, 1 },
    { "fork",                        R, M, act_fork, 1 },
    { "fork",                        R, SANDBOX_NETNS, act_fork, 1 },
    { "clone3",                      R, SANDBOX_NETNS, act_clone3, 0 },
    { "vfork",                       R, SANDBOX_NETNS, act_vfork, 0 },
    { "fork",                        C, M, act_fork, 1 },
    { "fork",                        F, M, act_fork, 1 },
    { "a signal to somebody",        R, M, act_terminate, 1 },
    { "a signal to somebody",        C, M, act_terminate, 1 },
    { "writev, not to stderr",       C, M, act_writev, 0 },
    { "the end of the parent",       R, M, act_abort_parent, 1 },
    { "the end of the parent",       C, M, act_abort_parent, 1 },
    { "the end of the parent",       F, M, act_abort_parent, 1 },
    { "a signal to a group",         R, M, act_kill_group, 1 },
    { "the limits of others",        R, M, act_limit_other, 1 },
    { "dumpable again",              R, M, act_dumpable, 1 },
    { "typing on a terminal",        R, M, act_type, 1 },
    { "asking for an interface",     C, M, act_ask_interface, 1 },
    { "an owner of a descriptor",    R, M, act_owner, 1 },
    { "openat2",                     R, M, act_openat2, 0 },
    { "openat2",                     S, M, act_openat2, 0 },
    { "the end of a file",           R, M, act_unlink, 0 },
    { "the end of a file",           S, M, act_unlink, 0 },
    { "a file to read",              S, M, act_read_file, 1 },
    { "a packet socket",             S, M, act_packet_socket, 0 },
    { "capset",                      S, M, act_capset, 0 },
    { "execve",                      S, M, act_exec, 0 },
    { "connect",                     S, M, act_connect, 0 },
    { "fork",                        S, M, act_fork, 1 },
    { "memory to run",               S, M, act_run_memory, 1 },
    { "writev, not to stderr",       S, M, act_writev, 0 },
    { "a signal to somebody",        S, M, act_terminate, 1 },
    { "execve",                      O, M, act_exec, 0 },
    { "connect",                     O, M, act_connect, 0 },
    { "a packet socket",             O, M, act_packet_socket, 0 },
    { "a file to write",             O, M, act_write_file, 1 },
    { "a file by openat",            O, M, act_read_file, 1 },
    { "another name of a file",      O, M, act_rename, 0 },
    { "a new folder",                O, M, act_make_folder, 0 },
    { "a new link",                  O, M, act_link, 0 },
    { "fork",                        O, M, act_fork, 1 },
    { "memory to run",               O, M, act_run_memory, 1 },
    { "a signal to somebody",        O, M, act_terminate, 1 },
    { NULL, R, M, NULL, 0 }
};


static void
test_forbidden(void)
{
    int                  status;
    pid_t                pid;
    const forbidden_t   *f;

    for (f = forbidden; f->name; f++) {
        if (f->wide && SANDBOX_SANITIZED) {
            continue;
        }

        pid = fork();

        if (pid == 0) {
            enter(f->list, f->scope);
            (void) f->act();
            syscall(SYS_exit_group, WENT_ON);
        }

        status = ended(pid);
        ok(killed(status), "killed, list %d, scope %d: %s (0x%x)",
           (int) f->list, (int) f->scope, f->name, (unsigned) status);
    }
}


/* What a list is for still works: else everything above would pass. */

static int
works(sandbox_list_t list)
{
    char           *p;
    unsigned char   seed[32];

    p = malloc(1 << 20);

    if (p == NULL || getpid() < 1
        || (list != SANDBOX_FILES && read(-1, p, 1) != -1))
    {
        return 1;
    }

    memset(p, 1, 1 << 20);
    free(p);

    if (list == SANDBOX_FILES) {
        return syscall(SYS_openat2, AT_FDCWD, ".", NULL, 0) != -1
               || errno != EINVAL || unlinkat(-1, "x", 0) != -1
               || errno != EBADF;
    }

    if (list == SANDBOX_SERVE) {
        return lseek(-1, 0, SEEK_SET) != -1 || errno != EBADF
               || getdents64(-1, &seed, sizeof(seed)) != -1
               || errno != EBADF || recvmsg(-1, NULL, 0) != -1;
    }

    if (list == SANDBOX_FILTER) {
        return socket(AF_INET, SOCK_STREAM, 0) != -1 || errno != EACCES
               || open("/etc/passwd", O_RDONLY) == -1;
    }

    if (list == SANDBOX_REQUEST) {
        return open("/etc/passwd", O_RDONLY) == -1
               || socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) == -1
               || socket(AF_INET, SOCK_STREAM, 0) != -1 || errno != EACCES
               || socket(AF_UNIX, SOCK_STREAM, 0) != -1 || errno != EACCES;
    }

    /* OpenSSL seeds itself anew after some minutes. */

    if (EVP_RAND_reseed(RAND_get0_primary(NULL), 0, NULL, 0, NULL, 0) != 1
        || RAND_bytes(seed, sizeof(seed)) != 1)
    {
        return 1;
    }

    return ioctl(-1, SIOCGIFFLAGS, NULL) != -1 || errno != EBADF
           || setsockopt(-1, SOL_SOCKET, SO_ATTACH_FILTER, NULL, 0) != -1
           || errno != EBADF;
}


static void
test_allowed(void)
{
    int     status;
    size_t  i;
    pid_t   pid;

    static const sandbox_list_t  lists[] = { R, C, F, S, O };

    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        pid = fork();

        if (pid == 0) {
            (void) RAND_status();
            enter(lists[i], M);
            _exit(works(lists[i]));
        }

        status = ended(pid);
        ok(status == 0, "list %d lets its own work go on (0x%x)",
           (int) lists[i], (unsigned) status);
    }
}


/* A packet socket cannot send: only to the connection is written. */

static int
writes(void)
{
    char  c;

    c = 0;

    return write(SANDBOX_CONNECTION, &c, 1) != 1
           || write(SANDBOX_CONNECTION + 1, &c, 1) != -1 || errno != EPERM
           || write(SANDBOX_CONNECTION - 3, &c, 1) != -1 || errno != EPERM;
}


static void
test_writes(sandbox_list_t list)
{
    int    fd[2], status;
    pid_t  pid;

    pid = socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0 ? fork() : -1;

    if (pid == 0) {

        /* Both are out of the way before anything is put there. */

        fd[0] = fcntl(fd[0], F_DUPFD, 10);

        if (dup2(fd[0], SANDBOX_CONNECTION) == -1
            || dup2(fd[0], SANDBOX_CONNECTION + 1) == -1
            || dup2(fd[0], SANDBOX_CONNECTION - 3) == -1)
        {
            _exit(1);
        }

        enter(list, M);
        _exit(writes());
    }

    close(fd[0]);
    status = ended(pid);
    close(fd[1]);
    ok(status == 0, "list %d: it writes to its connection alone (0x%x)",
       (int) list, (unsigned) status);
}


/* A crash is told from a kill: abort() is a SIGABRT in every list. */

static void
test_abort(void)
{
    int    status;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        (void) sandbox_limits(1 << 26, SANDBOX_MAX_FDS);
        enter(C, M);
        abort();
    }

    status = ended(pid);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
       "abort() stays what it is (0x%x)", (unsigned) status);
    ok(!WCOREDUMP(status), "and leaves no core");
}


/* The second list only takes away. */

static void
test_second(sandbox_list_t list)
{
    unsigned  i;

    for (i = 0; sandbox_rule(list, M, i); i++) {
        if (!listed(R, M, sandbox_rule(list, M, i)->nr)) {
            break;
        }
    }

    ok(sandbox_rule(list, M, i) == NULL && i < 100,
       "the %u rules of the list %d are on the first, too", i, (int) list);
}


int
main(void)
{
    char  self[16];

    snprintf(self, sizeof(self), "%d", (int) getpid());
    (void) setenv("TEST_PARENT", self, 1);

    ok(sandbox_possible(), "this kernel has seccomp filters");

    test_all(R, M, "request");
    test_all(R, SANDBOX_CELL, "request, containers from outside");
    test_all(R, SANDBOX_NETNS, "request, containers");
    test_all(C, M, "capture");
    test_all(F, M, "filter");
    test_all(S, M, "serve");
    test_all(O, M, "files");
    test_forbidden();
    test_allowed();
    test_writes(C);
    test_writes(S);
    test_abort();

    test_second(C);
    test_second(S);

    return tap_done();
}
