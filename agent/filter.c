/*
 * agent/filter.c: see filter.h. Texts are only ever built from endpoints that
 * were parsed to numbers; the user's text goes to pcap_compile() alone and
 * untouched.
 */

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <nss.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filter.h"
#include "privs.h"


#define FILTER_CPU_S       1
#define FILTER_MEMORY      (64u << 20)
#define FILTER_TIMEOUT_NS  (UINT64_C(3) * 1000000000)

/* Instructions between two joined programs. */
#define FILTER_CLEAN_LEN   2

/* What the child sends: one byte, then libpcap's words. */

#define FILTER_GOOD   'g'
#define FILTER_BAD    'b'
#define FILTER_BROKE  'x'


/* What it is asked: one message, as long as its text. */

typedef struct {
    uint32_t  nlinks;
    int32_t   dlt[PCAPX_MAX_INTERFACES];
    int32_t   snaplen;
    char      text[PCAPX_MAX_FILTER_LEN + 1];
} filter_question_t;

#define FILTER_QUESTION_HEAD  offsetof(filter_question_t, text)


static void filter_child(int fd);
static char filter_try(const filter_question_t *q, char *words, size_t max);
static int filter_verdict(int fd, pid_t pid, problem_t *why);
static int filter_words(char verdict, const char *text, problem_t *why);
static int filter_compile_exclusion(pcap_t *pcap, const filter_exclude_t *ex,
    unsigned tags, struct bpf_program *prog, problem_t *why);
static int filter_compile_mandatory(pcap_t *pcap, const filter_exclude_t *ex,
    struct bpf_program *prog, problem_t *why);
static int filter_build(pcap_t *pcap, const filter_exclude_t *ex,
    const struct bpf_program *must, const struct bpf_program *second,
    struct bpf_insn *code, const log_t *log, problem_t *why);
static int filter_attach(pcap_t *pcap, struct bpf_insn *code, unsigned n,
    problem_t *why);
static unsigned filter_loopback(struct bpf_insn *dst);
static int filter_cook_offset(bpf_u_int32 *k, const filter_link_t *link);


void
filter_init(void)
{
#ifdef __GLIBC__
    /*
     * A source that does not exist: lookups fail at once. Addresses are
     * parsed without it.
     */
    __nss_configure_lookup("hosts", "none");
    __nss_configure_lookup("networks", "none");
    __nss_configure_lookup("ethers", "none");
    __nss_configure_lookup("services", "files");
    __nss_configure_lookup("protocols", "files");
#endif
}


int
filter_start(filter_checker_t *checker)
{
    int  fd[2];

    checker->fd = -1;

    if (privs_withhold() != 0
        || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd) != 0)
    {
        return -1;
    }

    checker->pid = fork();

    if (checker->pid == 0) {
        filter_child(fd[1]);
        _exit(0);
    }

    close(fd[1]);

    if (checker->pid == -1) {
        close(fd[0]);
        return -1;
    }

    checker->fd = fd[0];

    return 0;
}


void
filter_stop(filter_checker_t *checker)
{
    if (checker->fd == -1) {
        return;
    }

    close(checker->fd);
    checker->fd = -1;
    (void) kill(checker->pid, SIGKILL);

    while (waitpid(checker->pid, NULL, 0) == -1 && errno == EINTR) {
        /* again */
    }
}


int
filter_check(filter_checker_t *checker, pcap_t *const *pcaps, unsigned n,
    const char *user, problem_t *why)
{
    int                 fd;
    size_t              len;
    ssize_t             rc;
    unsigned            i;
    filter_question_t   q;

    len = strlen(user) + 1;
    fd = checker->fd;
    checker->fd = -1;

    if (fd == -1 || n == 0 || n > PCAPX_MAX_INTERFACES
        || len > sizeof(q.text))
    {
        return problem_set(why, 500, "the filter could not be checked");
    }

    memset(&q, 0, FILTER_QUESTION_HEAD);
    memcpy(q.text, user, len);
    q.nlinks = n;
    q.snaplen = pcap_snapshot(pcaps[0]);

    for (i = 0; i < n; i++) {
        q.dlt[i] = pcap_datalink(pcaps[i]);
    }

    /* Should it be gone already, filter_verdict() finds out how. */

    rc = write(fd, &q, FILTER_QUESTION_HEAD + len);
    (void) rc;

    return filter_verdict(fd, checker->pid, why);
}


static void
filter_child(int fd)
{
    int                 broken;
    char                answer[1 + PCAP_ERRBUF_SIZE];
    ssize_t             n;
    filter_question_t   q;

    (void) prctl(PR_SET_NAME, "pcap-filter", 0, 0, 0);

    /* It needs nothing but this: not the connection, nor the parent. */

    if (dup2(fd, 0) != 0) {
        return;
    }

    closefrom(1);

    broken = privs_confine(FILTER_CPU_S, FILTER_MEMORY) == 0 ? 0 : errno;
    n = read(0, &q, sizeof(q));

    /* None: no capture was asked for. */

    if (n <= (ssize_t) FILTER_QUESTION_HEAD || n > (ssize_t) sizeof(q)
        || ((char *) &q)[n - 1] != '\0' || q.nlinks > PCAPX_MAX_INTERFACES)
    {
        return;
    }

    if (broken) {
        answer[0] = FILTER_BROKE;
        snprintf(answer + 1, sizeof(answer) - 1, "%s", strerror(broken));

    } else {
        answer[0] = filter_try(&q, answer + 1, sizeof(answer) - 1);
    }

    n = write(0, answer, 1 + strlen(answer + 1));
    (void) n;
}


/*
 * On handles that are open on nothing: for the compiler they are what their
 * link type is, and filter_install() compiles once more for the true ones.
 */

static char
filter_try(const filter_question_t *q, char *words, size_t max)
{
    pcap_t              *pcap;
    uint32_t             i;
    struct bpf_program   prog;

    words[0] = '\0';

    for (i = 0; i < q->nlinks; i++) {
        pcap = pcap_open_dead(q->dlt[i], q->snaplen);

        if (pcap == NULL) {
            snprintf(words, max, "out of memory");
            return FILTER_BROKE;
        }

        if (pcap_compile(pcap, &prog, q->text, 1, PCAP_NETMASK_UNKNOWN) != 0)
        {
            snprintf(words, max, "%s", pcap_geterr(pcap));
            return FILTER_BAD;
        }

        if (prog.bf_len > FILTER_MAX_INSNS) {
            snprintf(words, max, "the filter needs %u instructions, %u are "
                     "allowed", prog.bf_len, FILTER_MAX_INSNS);
            return FILTER_BAD;
        }
    }

    return FILTER_GOOD;
}


static int
filter_verdict(int fd, pid_t pid, problem_t *why)
{
    int            rc, status;
    char           answer[2 + PCAP_ERRBUF_SIZE];
    size_t         len;
    ssize_t        n;
    uint64_t       now, deadline;
    struct pollfd  pfd;

    deadline = net_monotonic() + FILTER_TIMEOUT_NS;
    len = 0;

    for ( ;; ) {
        now = net_monotonic();
        pfd.fd = fd;
        pfd.events = POLLIN;

        if (now >= deadline || len == sizeof(answer) - 1) {
            break;
        }

        rc = poll(&pfd, 1, (int) ((deadline - now) / 1000000) + 1);

        if (rc <= 0) {
            continue;
        }

        n = read(fd, answer + len, sizeof(answer) - 1 - len);

        if (n <= 0) {
            break;
        }

        len += (size_t) n;
    }

    close(fd);

    /* A child that has answered is gone anyway. */

    kill(pid, SIGKILL);

    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {
        /* again */
    }

    answer[len] = '\0';

    if (len == 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        return problem_set(why, 500, FILTER_SANDBOX);
    }

    return filter_words(answer[0], len ? answer + 1 : "", why);
}


static int
filter_words(char verdict, const char *text, problem_t *why)
{
    if (verdict == FILTER_GOOD) {
        return 0;
    }

    if (verdict == FILTER_BROKE) {
        return problem_set(why, 500, "the filter could not be checked: %s",
                           text);
    }

    if (verdict != FILTER_BAD) {
        return problem_set(why, 400, "filter: it takes more than %d s or "
                           "%u MiB to compile", FILTER_CPU_S,
                           FILTER_MEMORY >> 20);
    }

    if (strncmp(text, "unknown host", 12) == 0
        || strncmp(text, "unknown network", 15) == 0
        || strncmp(text, "unknown ether host", 18) == 0)
    {
        return problem_set(why, 400, "filter: %s (names are not looked up, "
                           "write the address)", text);
    }

    return problem_set(why, 400, "filter: %s", text);
}


int
filter_install(pcap_t *pcap, const filter_exclude_t *ex, const char *user,
    const log_t *log, problem_t *why)
{
    int                 n;
    struct bpf_insn    *code;
    struct bpf_program  must, second;

    n = -1;
    memset(&must, 0, sizeof(must));
    memset(&second, 0, sizeof(second));

    code = calloc(FILTER_MAX_INSNS, sizeof(*code));
    if (code == NULL) {
        problem_set(why, 500, "out of memory");
        goto out;
    }

    if (pcap_compile(pcap, &second, user, 1, PCAP_NETMASK_UNKNOWN) != 0) {
        filter_words(FILTER_BAD, pcap_geterr(pcap), why);
        goto out;
    }

    if (filter_compile_mandatory(pcap, ex, &must, why) != 0) {
        goto out;
    }

    n = filter_build(pcap, ex, &must, &second, code, log, why);

    if (n >= 0) {
        n = filter_attach(pcap, code, (unsigned) n, why);
    }

out:

    pcap_freecode(&must);
    pcap_freecode(&second);
    free(code);

    return n;
}


/* Loopback, capture traffic, what is never captured, and then the user's. */

static int
filter_build(pcap_t *pcap, const filter_exclude_t *ex,
    const struct bpf_program *must, const struct bpf_program *second,
    struct bpf_insn *code, const log_t *log, problem_t *why)
{
    int                 n;
    unsigned            tags;
    struct bpf_program  first;

    n = -1;
    memset(&first, 0, sizeof(first));

    /* A long filter of the user's leaves less room below VLAN tags. */

    for (tags = 3; tags-- > 0 && n < 0; /* void */ ) {
        pcap_freecode(&first);
        memset(&first, 0, sizeof(first));

        if (filter_compile_exclusion(pcap, ex, tags, &first, why) != 0) {
            goto out;
        }

        n = filter_drop(code, (int) filter_loopback(code), &first);
        n = n < 0 ? -1 : filter_join(code, (unsigned) n, must, second);

        if (n < 0) {
            log_warn(log, "capture traffic below %u VLAN tags cannot be "
                     "excluded: the filter is too long", tags);
        }
    }

    if (n < 0) {
        problem_set(why, 400, "filter: too long beside the exclusion of "
                    "capture traffic");
    }

out:

    pcap_freecode(&first);

    return n;
}


/* What cannot be excluded is not captured. */

static int
filter_compile_mandatory(pcap_t *pcap, const filter_exclude_t *ex,
    struct bpf_program *prog, problem_t *why)
{
    if (ex->mandatory == NULL
        || pcap_compile(pcap, prog, ex->mandatory, 1, PCAP_NETMASK_UNKNOWN)
           == 0)
    {
        return 0;
    }

    memset(prog, 0, sizeof(*prog));

    if (filter_matches_nothing(pcap)) {
        return 0;
    }

    return problem_set(why, 403, "what is never captured on this machine "
                       "(exclude_filter) cannot be told on this link type: "
                       "%s", pcap_geterr(pcap));
}


int
filter_matches_nothing(pcap_t *pcap)
{
    return strstr(pcap_geterr(pcap), "rejects all packets") != NULL;
}


static int
filter_compile_exclusion(pcap_t *pcap, const filter_exclude_t *ex,
    unsigned tags, struct bpf_program *prog, problem_t *why)
{
    int    rc;
    char  *text;

    text = malloc(FILTER_MAX_TEXT);
    if (text == NULL) {
        return problem_set(why, 500, "out of memory");
    }

    rc = filter_exclusion(ex, pcap_datalink(pcap), tags, text,
                          FILTER_MAX_TEXT);

    if (rc < 0) {
        rc = problem_set(why, 400, "exclude: too many addresses");

    } else if (rc > 0) {
        rc = pcap_compile(pcap, prog, text, 1, PCAP_NETMASK_UNKNOWN);

        if (rc != 0 && filter_matches_nothing(pcap)) {

            /* No TCP on such a link: nothing to exclude. */

            rc = 0;

        } else if (rc != 0) {
            rc = problem_set(why, 500, "capture traffic cannot be excluded: "
                             "%s", pcap_geterr(pcap));
        }
    }

    free(text);

    return rc;
}


static int
filter_attach(pcap_t *pcap, struct bpf_insn *code, unsigned n,
    problem_t *why)
{
    struct sock_fprog  prog;

    /* The same instruction under two names (linux/filter.h, pcap/bpf.h). */

    _Static_assert(sizeof(struct sock_filter) == sizeof(struct bpf_insn),
                   "BPF instructions");

    if (filter_cook(code, n, pcap_datalink(pcap)) != 0) {
        return problem_set(why, 400, "filter: it reads a field of the link "
                           "header that is not there on \"any\"");
    }

    prog.len = (unsigned short) n;
    prog.filter = (struct sock_filter *) (void *) code;

    if (setsockopt(pcap_fileno(pcap), SOL_SOCKET, SO_ATTACH_FILTER, &prog,
                   sizeof(prog))
        != 0)
    {
        return problem_set(why, 400, "filter: the kernel does not take it: "
                           "%s", strerror(errno));
    }

    return 0;
}


/*
 * A packet sent over the loopback interface passes a packet socket twice. As
 * libpcap does, only the incoming one is taken. Returns how many
 * instructions were written.
 */

static unsigned
filter_loopback(struct bpf_insn *dst)
{
    size_t  i;

    static const struct bpf_insn  code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS,
                 (u_int) SKF_AD_OFF + SKF_AD_PKTTYPE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 (u_int) SKF_AD_OFF + SKF_AD_IFINDEX),

        /* LOOPBACK_IFINDEX (net/net_namespace.h): 1 in every namespace. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0)
    };

    for (i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
        dst[i] = code[i];
    }

    return (unsigned) i;
}


int
filter_cook(struct bpf_insn *code, unsigned n, int dlt)
{
    int                   rc;
    unsigned              i;
    const filter_link_t  *link;

    link = filter_link(dlt);

    if (!link->cooked) {
        return 0;
    }

    for (i = 0, rc = 0; i < n && rc == 0; i++) {
        if (BPF_CLASS(code[i].code) != BPF_LD
            && BPF_CLASS(code[i].code) != BPF_LDX)
        {
            continue;
        }

        switch (BPF_MODE(code[i].code)) {
        case BPF_ABS:
        case BPF_MSH:
            rc = filter_cook_offset(&code[i].k, link);
            break;

        case BPF_IND:

            /*
             * The offset is X + k, and libpcap puts most of it in X: the sum
             * is what must not be negative (net/core/filter.c).
             */
            code[i].k -= link->len;
            break;

        default:
            break;
        }
    }

    return rc;
}


/* The fields of the cooked headers (tcpdump.org/linktypes, 113 and 276). */

static int
filter_cook_offset(bpf_u_int32 *k, const filter_link_t *link)
{
    size_t  i;

    static const struct {
        int          dlt;
        bpf_u_int32  off;
        bpf_u_int32  ad;
    } fields[] = {
        { DLT_LINUX_SLL, 0, SKF_AD_PKTTYPE },
        { DLT_LINUX_SLL, 14, SKF_AD_PROTOCOL },
        { DLT_LINUX_SLL2, 0, SKF_AD_PROTOCOL },
        { DLT_LINUX_SLL2, 4, SKF_AD_IFINDEX },
        { DLT_LINUX_SLL2, 8, SKF_AD_HATYPE },
        { DLT_LINUX_SLL2, 10, SKF_AD_PKTTYPE }
    };

    if (*k >= (bpf_u_int32) SKF_AD_OFF) {
        return 0;
    }

    if (*k >= link->len) {
        *k -= link->len;
        return 0;
    }

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].dlt == link->dlt && fields[i].off == *k) {
            *k = (bpf_u_int32) SKF_AD_OFF + fields[i].ad;
            return 0;
        }
    }

    return -1;
}


int
filter_block(int fd)
{
    struct sock_fprog   prog;
    struct sock_filter  code;

    code = (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, 0);
    prog.len = 1;
    prog.filter = &code;

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}


int
filter_join(struct bpf_insn *dst, unsigned n,
    const struct bpf_program *first, const struct bpf_program *second)
{
    int  at;

    at = filter_drop(dst, (int) n, first);

    if (at < 0 || second->bf_len > FILTER_MAX_INSNS
        || (unsigned) at + second->bf_len > FILTER_MAX_INSNS)
    {
        return -1;
    }

    memcpy(dst + at, second->bf_insns,
           second->bf_len * sizeof(struct bpf_insn));

    return at + (int) second->bf_len;
}


int
filter_drop(struct bpf_insn *dst, int n, const struct bpf_program *prog)
{
    u_int             i;
    struct bpf_insn  *in;

    if (n < 0 || prog->bf_len > FILTER_MAX_INSNS
        || (unsigned) n + prog->bf_len + FILTER_CLEAN_LEN > FILTER_MAX_INSNS)
    {
        return -1;
    }

    for (i = 0; i < prog->bf_len; i++) {
        in = &dst[(unsigned) n + i];
        *in = prog->bf_insns[i];

        if (BPF_CLASS(in->code) != BPF_RET) {
            continue;
        }

        /* Matched: drop. Not matched: on to what follows. */

        if (in->k != 0) {
            in->k = 0;

        } else {
            in->code = BPF_JMP | BPF_JA;
            in->k = prog->bf_len - 1 - i;
        }
    }

    n += (int) prog->bf_len;

    /* A program may rely on a clean start. */

    dst[n++] = (struct bpf_insn) BPF_STMT(BPF_LD | BPF_IMM, 0);
    dst[n++] = (struct bpf_insn) BPF_STMT(BPF_MISC | BPF_TAX, 0);

    return n;
}
