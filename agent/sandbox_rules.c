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

    if1(write, C, 0, ALL, SANDBOX_CONNECTION),
    if1(write, C, 0, ALL, STDERR_FILENO),
    on(write, R | F),
    fails(write, C, EPERM),
    on(read, R | C | F),
    on(ppoll, R | C),
#ifdef SYS_poll
    on(poll, R | C),
#endif
    on(getsockopt, R | C),
    on(recvfrom, R | C),
    on(sendto, R),
    on(shutdown, R | C),
    on(getsockname, R | C),
    on(close, R | C | F),
    if2(setsockopt, R | C, 1, IPPROTO_TCP, 2, TCP_CORK),
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
    on(recvmsg, R),
    on(writev, R | F),
    if1(writev, C, 0, ALL, STDERR_FILENO),
    if1(fcntl, R, 1, ALL, F_GETFL),
    if1(fcntl, R, 1, ALL, F_SETFL),

    /* memory, time, and who one is */

    on(brk, R | C | F),
    if1(mmap, R | C | F, 2, PROT_EXEC, 0),
    on(munmap, R | C | F),
    on(mremap, R | C | F),
    on(madvise, R | C | F),
    if1(mprotect, R | C | F, 2, PROT_EXEC, 0),
    on(futex, R | C | F),
    on(clock_gettime, R | C | F),
#ifdef SYS_time
    on(time, R | C | F),
#endif
    on(gettimeofday, R | C | F),
    on(getrandom, R | C | F),
    on(getpid, R | C | F),
    on(gettid, R | C | F),
    on(uname, R | C | F),
    on(sysinfo, R | F),
    on(restart_syscall, R | C | F),
    on(rt_sigreturn, R | C | F),
    on(rt_sigprocmask, R | C | F),
    own2(tgkill, R | C | F, 2, SIGABRT),
    on(exit, R | C | F),
    on(exit_group, R | C | F),

    /* files: to read, and only until the capture runs */

    if1(openat, R | F, 2, WRITES, O_RDONLY),
#ifdef SYS_newfstatat
    on(newfstatat, R | F),
#endif
    on(fstat, R | F),
    on(lseek, R | F),
    on(getdents64, R),

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
    on(capget, R),
    on(capset, R),

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

    on(openat, R | C | F),
#ifdef SYS_open
    on(open, R | C | F),
    on(stat, R | C | F),
    on(lstat, R | C | F),
    on(access, R | C | F),
    on(getdents, R | C | F),
#endif
#ifdef SYS_readlink
    on(readlink, R | C | F),
#endif
    on(readlinkat, R | C | F),
#ifdef SYS_newfstatat
    on(newfstatat, C),
#endif
    on(fstat, C),
    on(lseek, C),
    on(getdents64, C | F),
    on(mmap, R | C | F),
    on(mprotect, R | C | F),
    on(clone, R | C | F),
    on(ptrace, R | C | F),
    on(wait4, C | F),
    on(kill, R | C | F),
    on(tgkill, R | C | F),
    on(prctl, R | C | F),
    on(prlimit64, R | C | F),
    on(getppid, R | C | F),
    on(sigaltstack, R | C | F),
    on(rt_sigaction, R | C | F),
    on(sched_yield, R | C | F),
    on(sched_getaffinity, R | C | F),
    on(process_vm_readv, R | C | F),
    on(fcntl, R | C | F),
    on(ioctl, R | C | F),
    on(set_robust_list, R | C | F),
    on(clock_nanosleep, R | C | F),

#endif

    { NULL, 0, 0, 0, 0, { NO, NO } }
};
