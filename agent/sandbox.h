/*
 * agent/sandbox.h: the system calls that a process may make from a point of
 * its life on. An allow-list each for the handshake and the request, for the
 * running capture, for the child that compiles filters, for who sends files
 * and for the child that opens them; whatever is not
 * on it ends the process (SECCOMP_RET_KILL_PROCESS). Lists add up, so that
 * each next one only takes away. docs/PRIVSEP.md says why a call is there.
 *
 * It needs libc alone, so that a test can link it as it is.
 */

#ifndef AGENT_SANDBOX_H
#define AGENT_SANDBOX_H

#include <stddef.h>
#include <stdint.h>


/* Sanitizers read /proc, stop threads and map more: a wider list then. */

#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_SANITIZED  1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_SANITIZED  1
#endif
#endif

#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED  0
#endif

typedef enum {
    SANDBOX_REQUEST = 1,    /* handshake, request, opening of the capture */
    SANDBOX_CAPTURE = 2,    /* the capture runs */
    SANDBOX_FILTER = 4,     /* a filter is compiled */
    SANDBOX_SERVE = 8,      /* files are sent */
    SANDBOX_FILES = 16      /* and opened: this one alone, no other before */
} sandbox_list_t;

/*
 * Where the connection has to be once a capture runs: nothing is written
 * elsewhere but to stderr, so packet sockets cannot send.
 */
#define SANDBOX_CONNECTION  3

/* What is captured? What only containers need is on no list without them. */

typedef enum {
    SANDBOX_MACHINE = 0,
    SANDBOX_CELL,           /* containers as well, from outside */
    SANDBOX_NETNS           /* and from inside, or pods */
} sandbox_scope_t;

/*
 * A call, and what its arguments must be: (argument & mask) == value for
 * each condition whose arg is not SANDBOX_ANY; with own the value is the
 * process id of who enters the list. A call may have several rules; the
 * first one that fits decides.
 */

#define SANDBOX_ANY         -1
#define SANDBOX_CONDITIONS  2

typedef struct {
    int         arg;
    uint32_t    mask;
    uint32_t    value;
    int         own;
} sandbox_condition_t;

typedef struct {
    const char           *name;
    int                   nr;
    unsigned              lists;        /* SANDBOX_REQUEST ... */
    unsigned              scope;        /* the least, sandbox_scope_t */
    int                   error;        /* 0: allowed, else it fails so */
    sandbox_condition_t   when[SANDBOX_CONDITIONS];
} sandbox_rule_t;

/* sock_fprog's limit is 4096 (BPF_MAXINSNS), the longest list has 400. */
#define SANDBOX_MAX_INSNS   1024


/*
 * Confines this process to a list for good. Needs no privilege; sets
 * no_new_privs. Returns 0, or -1 with errno (EINVAL: this kernel has no
 * seccomp filters): the caller must not go on then.
 */
int sandbox_enter(sandbox_list_t list, sandbox_scope_t scope);

/*
 * Limits that a serving process never needs to exceed: no core file, max_fds
 * descriptors, and max_bytes of memory beyond what is mapped now (not with
 * sanitizers). Returns 0, or -1 with errno.
 */
int sandbox_limits(size_t max_bytes, unsigned max_fds);

/* Enough for all but who sends files. */
#define SANDBOX_MAX_FDS  64

/* Can this kernel do it? Returns 1 or 0. */
int sandbox_possible(void);

/*
 * The rule number i of a list, in the order in which they are asked; NULL
 * behind the last.
 */
const sandbox_rule_t *sandbox_rule(sandbox_list_t list,
    sandbox_scope_t scope, unsigned i);

/* Prints the lists for people and tests: list, call and conditions. */
void sandbox_print(void);


#endif /* AGENT_SANDBOX_H */
