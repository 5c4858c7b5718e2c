/*
 * agent/sandbox_rules.c: the lists of sandbox.h. Where a call is on a list
 * for one purpose only, its arguments say so. The calls that come most often
 * stand first. Every line has its reason in docs/PRIVSEP.md, under the name
 * of the call; a test compares the two.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox_int.h"


#define R    SANDBOX_REQUEST
#define C    SANDBOX_CAPTURE
#define F    SANDBOX_FILTER
#define S    SANDBOX_SERVE
#define O    SANDBOX_FILES

#define ALL  0xffffffffu
#define NO   { SANDBOX_ANY, 0, 0, 0 }

/* on(call, lists): whatever its arguments are */
#define on(call, lists)                                                      \
    { #call, SYS_##call, lists, 0, 0, { NO, NO } }

/* if1, if2: with one or two conditions (argument, mask, value) */
#define if1(call, lists, a, m, v)                                            \
    { #call, SYS_##call, lists, 0, 0,                                        \
      { { a, (uint32_t) (m), (uint32_t) (v), 0 }, NO } }

#define if2(call, lists, a, v, b, w)                                         \
    { #call, SYS_##call, lists, 0, 0,                                        \
      { { a, ALL, (uint32_t) (v), 0 }, { b, ALL, (uint32_t) (w), 0 } } }

/* own2: the first argument is one's own process id */
#define own2(call, lists, b, w)                                              \
    { #call, SYS_##call, lists, 0, 0,                                        \
      { { 0, ALL, 0, 1 }, { b, ALL, (uint32_t) (w), 0 } } }

/* fails(call, lists, e): it fails with e, and goes on */
#define fails(call, lists, e)                                                \
    { #call, SYS_##call, lists, 0, e, { NO, NO } }

/* refused(...): it fails with EACCES when an argument has this value */
#define refused(call, lists, a, v)                                           \
    { #call, SYS_##call, lists, 0, EACCES, { { a, ALL, v, 0 }, NO } }

/* inside(...): only where container_mode is not off */
#define inside(call, lists)                                                  \
    { #call, SYS_##call, lists, SANDBOX_CELL, 0, { NO, NO } }

#define inside1(call, lists, a, m, v)                                        \
    { #call, SYS_##call, lists, SANDBOX_CELL, 0,                             \
      { { a, (uint32_t) (m), (uint32_t) (v), 0 }, NO } }

/* A file that is opened may be read, and nothing is made on the way. */
#define WRITES  (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND                    \
                 | (O_TMPFILE & ~O_DIRECTORY))

/* Of a process id: a group, or all. */
#define NEGATIVE  0x80000000u


const sandbox_rule_t  sandbox_rules[] = {

    /* the connection, the parent, the log */

    if1(write, C | S, 0, ALL, SANDBOX_CONNECTION),
    if1(write, C | S, 0, ALL, STDERR_FILENO),
    on(write, R | F),
    fails(write, C | S, EPERM),
    on(read, R | C | F | S),
    on(ppoll, R | C | S),
#ifdef SYS_poll
    on(poll, R | C | S),
#endif
    on(getsockopt, R | C | S),
    on(recvfrom, R | C | S | O),
    on(sendto, R | S),
    on(shutdown, R | C | S),
    on(getsockname, R | C),
    on(close, R | C | F | S | O),
    if2(setsockopt, R | C | S, 1, IPPROTO_TCP, 2, TCP_CORK),
    if2(setsockopt, R | C, 1, SOL_SOCKET, 2, SO_ATTACH_FILTER),
    if2(setsockopt, R | C, 1, SOL_PACKET, 2, PACKET_RX_RING),
    if2(setsockopt, R, 1, IPPROTO_TCP, 2, TCP_NODELAY),
    if2(setsockopt, R, 1, IPPROTO_TCP, 2, TCP_NOTSENT_LOWAT),
    if2(setsockopt, R, 1, IPPROTO_TCP, 2, TCP_USER_TIMEOUT),
    if2(setsockopt, R, 1, SOL_SOCKET, 2, SO_KEEPALIVE),
    if2(setsockopt, R, 1, SOL_SOCKET, 2, SO_TIMESTAMPNS_OLD),
    if2(setsockopt, R, 1, SOL_PACKET, 2, PACKET_ADD_MEMBERSHIP),
    if2(setsockopt, R, 1, SOL_PACKET, 2, PACKET_AUXDATA),
    if2(setsockopt, R, 1, SOL_PACKET, 2, PACKET_RESERVE),
    if2(setsockopt, R, 1, SOL_PACKET, 2, PACKET_TIMESTAMP),
    if2(setsockopt, R, 1, SOL_PACKET, 2, PACKET_VERSION),
    on(recvmsg, R | S),
    on(sendmsg, O),
    on(writev, R | F),
    if1(writev, C | S | O, 0, ALL, STDERR_FILENO),
    if1(fcntl, R, 1, ALL, F_GETFL),
    if1(fcntl, R, 1, ALL, F_SETFL),

    /* memory, time, and who one is */

    on(brk, R | C | F | S | O),
    if1(mmap, R | C | F | S | O, 2, PROT_EXEC, 0),
    on(munmap, R | C | F | S | O),
    on(mremap, R | C | F | S | O),
    on(madvise, R | C | F | S | O),
    if1(mprotect, R | C | F | S | O, 2, PROT_EXEC, 0),
    on(futex, R | C | F | S | O),
    on(clock_gettime, R | C | F | S | O),
#ifdef SYS_time
    on(time, R | C | F | S | O),
#endif
    on(gettimeofday, R | C | F | S | O),
    on(getrandom, R | C | F | S | O),
    on(getpid, R | C | F | S | O),
    on(gettid, R | C | F | S | O),
    on(uname, R | C | F | S),
    on(sysinfo, R | F | S),
    on(restart_syscall, R | C | F | S | O),
    on(rt_sigreturn, R | C | F | S | O),
    on(rt_sigprocmask, R | C | F | S | O),
    own2(tgkill, R | C | F | S | O, 2, SIGABRT),
    on(exit, R | C | F | S | O),
    on(exit_group, R | C | F | S | O),

    /* files: to read, and only until the capture runs */

    if1(openat, R | F, 2, WRITES, O_RDONLY),
#ifdef SYS_newfstatat
    on(newfstatat, R | F | O),
#endif
    on(fstat, R | F | O),
    on(lseek, R | F | S),
    on(getdents64, R | S),
    on(openat2, O),
    on(unlinkat, O),

    /* interfaces and packet sockets */

    if1(socket, R, 0, ALL, AF_PACKET),
    if2(socket, R, 0, AF_NETLINK, 2, NETLINK_ROUTE),
    if2(socket, R, 0, AF_NETLINK, 2, NETLINK_GENERIC),
    if2(socket, R, 0, AF_UNIX, 1, SOCK_DGRAM | SOCK_CLOEXEC),
    refused(socket, R, 0, AF_UNIX),
    refused(socket, R, 0, AF_INET),
    refused(socket, R, 0, AF_INET6),
    fails(socket, F, EACCES),
    if1(bind, R, 2, ALL, sizeof(struct sockaddr_ll)),
    if1(bind, R, 2, ALL, sizeof(struct sockaddr_nl)),
    if1(ioctl, R | C, 1, ALL, SIOCGIFFLAGS),
    if1(ioctl, R, 1, ALL, SIOCGIFINDEX),
    if1(ioctl, R, 1, ALL, SIOCGIFNAME),
    if1(ioctl, R, 1, ALL, SIOCGIFHWADDR),
    if1(ioctl, R, 1, ALL, SIOCGIFMTU),
    if1(ioctl, R, 1, ALL, SIOCETHTOOL),
    on(eventfd2, R),
    on(capget, R | O),
    on(capset, R | O),

    /* the end of the child that compiles filters, and the next list */

    on(wait4, R),
    { "kill", SYS_kill, R, 0, 0,
      { { 0, NEGATIVE, 0, 0 }, { 1, ALL, SIGKILL, 0 } } },
    if1(prctl, R, 0, ALL, PR_SET_NAME),
    if1(prctl, R, 0, ALL, PR_SET_NO_NEW_PRIVS),
    if1(prctl, R, 0, ALL, PR_SET_SECCOMP),

    /* containers */

    { "setns", SYS_setns, R, SANDBOX_NETNS, 0,
      { { 1, ALL, CLONE_NEWNET, 0 }, NO } },
    inside(pidfd_open, R),
    inside(inotify_init1, R),
    inside(inotify_add_watch, R),
    inside(flock, R),
    inside(fstatfs, R),
    inside(clock_nanosleep, R),
    inside1(ioctl, R, 1, ALL, NS_GET_NSTYPE),

#if SANDBOX_SANITIZED

    /* What address and leak sanitizers need, none of it in a release. */

    on(openat, R | C | F | S | O),
#ifdef SYS_open
    on(open, R | C | F | S | O),
    on(stat, R | C | F | S | O),
    on(lstat, R | C | F | S | O),
    on(access, R | C | F | S | O),
    on(getdents, R | C | F | S | O),
#endif
#ifdef SYS_readlink
    on(readlink, R | C | F | S | O),
#endif
    on(readlinkat, R | C | F | S | O),
#ifdef SYS_newfstatat
    on(newfstatat, C | S),
#endif
    on(fstat, C | S),
    on(lseek, C | O),
    on(getdents64, C | F | O),
    on(mmap, R | C | F | S | O),
    on(mprotect, R | C | F | S | O),
    on(clone, R | C | F | S | O),
    on(ptrace, R | C | F | S | O),
    on(wait4, C | F | S | O),
    on(kill, R | C | F | S | O),
    on(tgkill, R | C | F | S | O),
    on(prctl, R | C | F | S | O),
    on(prlimit64, R | C | F | S | O),
    on(getppid, R | C | F | S | O),
    on(sigaltstack, R | C | F | S | O),
    on(rt_sigaction, R | C | F | S | O),
    on(sched_yield, R | C | F | S | O),
    on(sched_getaffinity, R | C | F | S | O),
    on(process_vm_readv, R | C | F | S | O),
    on(fcntl, R | C | F | S | O),
    on(ioctl, R | C | F | S | O),
    on(set_robust_list, R | C | F | S | O),
    on(clock_nanosleep, R | C | F | S | O),

#endif

    { NULL, 0, 0, 0, 0, { NO, NO } }
};
