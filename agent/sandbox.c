/*
 * agent/sandbox.c: see sandbox.h. From rules to a program for the kernel
 * (seccomp(2)), by hand: a list of numbers needs no library, and it must
 * build where a stemcell's compiler is all there is.
 *
 * The program: of another architecture, or with the numbers of x32: killed.
 * Then one comparison after the other; the kernel remembers calls that are
 * allowed whatever their arguments are (5.11, seccomp_cache_check_allow()).
 */

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sandbox_int.h"


#if defined(__x86_64__)
#define SANDBOX_ARCH  AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SANDBOX_ARCH  AUDIT_ARCH_AARCH64
#else
#error "name the AUDIT_ARCH of this machine"
#endif

/* x32: the same calls by other numbers (Linux, asm/unistd.h). */
#define SANDBOX_X32   0x40000000

/* Where an argument's lower half lies: both machines are little-endian. */
#define SANDBOX_ARG(i)                                                       \
    (offsetof(struct seccomp_data, args) + (size_t) (i) * sizeof(uint64_t))

typedef struct {
    struct sock_filter  code[SANDBOX_MAX_INSNS];
    unsigned            n;
} sandbox_prog_t;


static void sandbox_head(sandbox_prog_t *p);
static int sandbox_add(sandbox_prog_t *p, const sandbox_rule_t *r);
static void sandbox_put(sandbox_prog_t *p, struct sock_filter insn);
static unsigned sandbox_conditions(const sandbox_rule_t *r);
static int sandbox_limit(int what, rlim_t value);
static int sandbox_memory(size_t max_bytes);
static void sandbox_print_rule(const char *list, const sandbox_rule_t *r);


int
sandbox_enter(sandbox_list_t list, sandbox_scope_t scope)
{
    int                     rc;
    unsigned                i;
    sandbox_prog_t         *p;
    struct sock_fprog       prog;
    const sandbox_rule_t   *r;

    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return -1;
    }

    sandbox_head(p);
    rc = 0;

    for (i = 0; rc == 0 && (r = sandbox_rule(list, scope, i)); i++) {
        rc = sandbox_add(p, r);
    }

    if (rc != 0) {
        free(p);
        errno = E2BIG;
        return -1;
    }

    sandbox_put(p, (struct sock_filter)
                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));

    prog.len = (unsigned short) p->n;
    prog.filter = p->code;

    rc = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

    if (rc == 0) {
        rc = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
    }

    free(p);

    return rc;
}


static void
sandbox_head(sandbox_prog_t *p)
{
    size_t  i;

    static const struct sock_filter  head[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SANDBOX_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SANDBOX_X32, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
    };

    for (i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
        sandbox_put(p, head[i]);
    }
}


/* Before and behind a rule the accumulator holds the call's number. */

static int
sandbox_add(sandbox_prog_t *p, const sandbox_rule_t *r)
{
    uint32_t                     verdict;
    unsigned                     i, left, body;
    const sandbox_condition_t   *c;

    left = sandbox_conditions(r);
    body = left ? 3 * left + 2 : 1;

    if (p->n + 1 + body + 1 > SANDBOX_MAX_INSNS) {
        return -1;
    }

    verdict = r->error ? SECCOMP_RET_ERRNO | (uint32_t) r->error
                       : SECCOMP_RET_ALLOW;

    sandbox_put(p, (struct sock_filter)
                   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) r->nr, 0,
                            (uint8_t) body));

    for (i = 0; i < SANDBOX_CONDITIONS; i++) {
        c = &r->when[i];

        if (c->arg == SANDBOX_ANY) {
            continue;
        }

        left--;
        sandbox_put(p, (struct sock_filter)
                       BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                (uint32_t) SANDBOX_ARG(c->arg)));
        sandbox_put(p, (struct sock_filter)
                       BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c->mask));

        /* Not this: over the other conditions and the verdict. */
        sandbox_put(p, (struct sock_filter)
                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                c->own ? (uint32_t) getpid() : c->value, 0,
                                (uint8_t) (3 * left + 1)));
    }

    sandbox_put(p, (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, verdict));

    if (body > 1) {
        sandbox_put(p, (struct sock_filter)
                       BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                offsetof(struct seccomp_data, nr)));
    }

    return 0;
}


static void
sandbox_put(sandbox_prog_t *p, struct sock_filter insn)
{
    p->code[p->n++] = insn;
}


static unsigned
sandbox_conditions(const sandbox_rule_t *r)
{
    unsigned  i, n;

    for (i = 0, n = 0; i < SANDBOX_CONDITIONS; i++) {
        n += r->when[i].arg != SANDBOX_ANY;
    }

    return n;
}


const sandbox_rule_t *
sandbox_rule(sandbox_list_t list, sandbox_scope_t scope, unsigned i)
{
    const sandbox_rule_t  *r;

    for (r = sandbox_rules; r->name; r++) {
        if ((r->lists & (unsigned) list) && r->scope <= (unsigned) scope
            && i-- == 0)
        {
            return r;
        }
    }

    return NULL;
}


int
sandbox_possible(void)
{
    /* EFAULT: it would have read the program (kernel/seccomp.c). */

    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) == -1
           && errno == EFAULT;
}


int
sandbox_limits(size_t max_bytes, unsigned max_fds)
{
    if (sandbox_limit(RLIMIT_CORE, 0) != 0
        || sandbox_limit(RLIMIT_NOFILE, max_fds) != 0)
    {
        return -1;
    }

    return sandbox_memory(max_bytes);
}


static int
sandbox_limit(int what, rlim_t value)
{
    struct rlimit  rl;

    if (getrlimit(what, &rl) != 0) {
        return -1;
    }

    /* Whoever started us may have been stricter. */

    if (value < rl.rlim_max) {
        rl.rlim_max = value;
    }

    rl.rlim_cur = rl.rlim_max;

    return setrlimit(what, &rl);
}


static int
sandbox_memory(size_t max_bytes)
{
    FILE           *f;
    char            text[64];
    unsigned long   pages;

    if (SANDBOX_SANITIZED) {
        return 0;
    }

    /* proc(5): the first number is the mapped size in pages. */

    f = fopen("/proc/self/statm", "re");
    if (f == NULL) {
        return -1;
    }

    pages = fgets(text, sizeof(text), f) ? strtoul(text, NULL, 10) : 0;
    fclose(f);

    if (pages == 0) {
        errno = EIO;
        return -1;
    }

    return sandbox_limit(RLIMIT_AS, (rlim_t) pages
                                    * (rlim_t) sysconf(_SC_PAGESIZE)
                                    + max_bytes);
}


void
sandbox_print(void)
{
    size_t                  l;
    unsigned                i;
    const sandbox_rule_t   *r;

    static const struct {
        sandbox_list_t   list;
        const char      *name;
    } lists[] = {
        { SANDBOX_REQUEST, "request" },
        { SANDBOX_CAPTURE, "capture" },
        { SANDBOX_FILTER,  "filter" },
        { SANDBOX_SERVE,   "serve" },
        { SANDBOX_FILES,   "files" }
    };

    for (l = 0; l < sizeof(lists) / sizeof(lists[0]); l++) {
        for (i = 0; (r = sandbox_rule(lists[l].list, SANDBOX_NETNS, i)); i++)
        {
            sandbox_print_rule(lists[l].name, r);
        }
    }
}


static void
sandbox_print_rule(const char *list, const sandbox_rule_t *r)
{
    unsigned                     i;
    const sandbox_condition_t   *c;

    static const char  *const scopes[] = { "", " (containers)", " (netns)" };

    printf("%-8s %s", list, r->name);

    for (i = 0; i < SANDBOX_CONDITIONS; i++) {
        c = &r->when[i];

        if (c->arg == SANDBOX_ANY) {
            continue;
        }

        if (c->own) {
            printf(" arg%d=self", c->arg);

        } else {
            printf(" arg%d&0x%x=0x%x", c->arg, c->mask, c->value);
        }
    }

    if (r->error) {
        printf(" fails: %s", strerror(r->error));
    }

    printf("%s\n", scopes[r->scope]);
}
