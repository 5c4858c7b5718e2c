/*
 * t/agent_filter.c: the exclusion's text, the joining of two programs and the
 * translation for cooked links, run by libpcap's own interpreter on crafted
 * packets; and the throw-away child that checks filters.
 */

#include <linux/filter.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/filter.h"
#include "agent/privs.h"
#include "t/tap.h"


static const uint8_t  v4[] = {
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
    0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2,
    0x01, 0xbb, 0x30, 0x39, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0
};


static endpoint_t
ep(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
    return (endpoint_t) { .addr = { a, b, c, d }, .addr_len = 4,
                          .port = port };
}


/* Does the packet pass "not excluded, and user"? -1: something broke. */

static int
passes(const filter_exclude_t *ex, unsigned tags, const char *user,
    const uint8_t *p, u_int len)
{
    int                  n, rc;
    char                *text;
    pcap_t              *dead;
    struct bpf_insn     *code;
    struct bpf_program   first, second;

    rc = -1;
    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    text = malloc(FILTER_MAX_TEXT);
    code = calloc(FILTER_MAX_INSNS, sizeof(*code));
    dead = pcap_open_dead(DLT_EN10MB, 65535);

    n = filter_exclusion(ex, DLT_EN10MB, tags, text, FILTER_MAX_TEXT);

    if (n < 0
        || (n && pcap_compile(dead, &first, text, 1, PCAP_NETMASK_UNKNOWN))
        || pcap_compile(dead, &second, user, 1, PCAP_NETMASK_UNKNOWN))
    {
        goto out;
    }

    n = filter_join(code, 0, &first, &second);

    if (n > 0) {
        rc = bpf_filter(code, p, len, len) != 0;
    }

out:

    pcap_freecode(&first);
    pcap_freecode(&second);
    pcap_close(dead);
    free(code);
    free(text);

    return rc;
}


static void
joined(void)
{
    uint8_t            tagged[sizeof(v4) + 4];
    endpoint_t         list[2];
    filter_exclude_t   ex;

    memset(&ex, 0, sizeof(ex));
    ok(passes(&ex, 2, "", v4, sizeof(v4)) == 1, "nothing excluded");
    ok(passes(&ex, 2, "udp", v4, sizeof(v4)) == 0, "the user's half");

    list[0] = ep(192, 0, 2, 1, 443);
    ex.excludes = list;
    ex.nexcludes = 1;
    ok(passes(&ex, 2, "", v4, sizeof(v4)) == 0, "source end");

    list[0] = ep(198, 51, 100, 2, 12345);
    ok(passes(&ex, 2, "tcp", v4, sizeof(v4)) == 0, "destination end");

    list[0] = ep(198, 51, 100, 2, 443);
    ok(passes(&ex, 2, "tcp", v4, sizeof(v4)) == 1, "port of the other end");
    ok(passes(&ex, 2, "udp", v4, sizeof(v4)) == 0, "and the user's half");

    ex.nexcludes = 0;
    ex.peers = list;
    ex.npeers = 1;
    ok(passes(&ex, 2, "", v4, sizeof(v4)) == 0, "exclude_peer");

    list[0] = ep(198, 51, 100, 2, 12345);
    ok(passes(&ex, 2, "", v4, sizeof(v4)) == 1, "not its own port");

    ex.npeers = 0;
    ex.nown = 2;
    ex.own[0] = ep(203, 0, 113, 1, 443);
    ex.own[1] = ep(192, 0, 2, 1, 443);
    ok(passes(&ex, 2, "", v4, sizeof(v4)) == 0, "own addresses");
    ok(passes(&ex, 2, "tcp or vlan or mpls", v4, sizeof(v4)) == 0,
       "offsets moved by the user do not matter");

    memcpy(tagged, v4, 12);
    memcpy(tagged + 12, "\x81\x00\x00\x07", 4);
    memcpy(tagged + 16, v4 + 12, sizeof(v4) - 12);
    ok(passes(&ex, 2, "", tagged, sizeof(tagged)) == 0, "below a tag");
    ok(passes(&ex, 0, "", tagged, sizeof(tagged)) == 1,
       "not looked for below a tag");
}


static void
texts(void)
{
    int                i, n;
    char               small[64], *text;
    endpoint_t         many[PCAPX_MAX_EXCLUDES];
    filter_exclude_t   ex;

    text = malloc(FILTER_MAX_TEXT);
    memset(&ex, 0, sizeof(ex));

    ok(filter_exclusion(&ex, DLT_EN10MB, 2, text, FILTER_MAX_TEXT) == 0,
       "no text for nothing");

    filter_text(&ex, "tcp", text, FILTER_MAX_TEXT);
    ok(strcmp(text, "tcp") == 0, "the user's filter alone");

    ex.own[ex.nown++] = ep(192, 0, 2, 1, 9494);
    filter_text(&ex, "tcp", text, FILTER_MAX_TEXT);
    ok(strncmp(text, "(not (", 6) == 0 && strstr(text, ")) and (tcp)"),
       "both: %s", text);

    filter_text(&ex, "", text, FILTER_MAX_TEXT);
    ok(strncmp(text, "not (", 5) == 0, "the exclusion alone");

    filter_text(&ex, "tcp", small, sizeof(small));
    ok(strcmp(small, "(not (...)) and (tcp)") == 0,
       "too long for its place: said that something is missing");

    ex.mandatory = "udp port 53";
    filter_text(&ex, "tcp", small, sizeof(small));
    ok(strcmp(small, "(not (...)) and (not (udp port 53)) and (tcp)") == 0,
       "but never what the machine leaves out: %s", small);
    ex.mandatory = NULL;

    ok(filter_exclusion(&ex, DLT_EN10MB, 2, small, sizeof(small)) == -1,
       "a text that does not fit is refused");

    /* The most there can be, in the longest form. */

    for (i = 0; i < PCAPX_MAX_EXCLUDES; i++) {
        memset(&many[i], 0xff, sizeof(many[i]));
        many[i].addr_len = 16;
        many[i].port = 65535;
    }

    for (i = 0; i < NET_MAX_LOCAL + 1; i++) {
        ex.own[i] = many[0];
    }

    ex.nown = NET_MAX_LOCAL + 1;
    ex.excludes = ex.peers = many;
    ex.nexcludes = ex.npeers = PCAPX_MAX_EXCLUDES;
    n = filter_exclusion(&ex, DLT_LINUX_SLL2, 2, text, FILTER_MAX_TEXT);
    ok(n > 0, "the longest text has %d of %d bytes", n, FILTER_MAX_TEXT);

    free(text);
}


static void
cooked(void)
{
    struct bpf_insn  code[4];

    code[0] = (struct bpf_insn) BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0);
    code[1] = (struct bpf_insn) BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 29);
    code[2] = (struct bpf_insn) BPF_STMT(BPF_LD | BPF_H | BPF_IND, 0);
    code[3] = (struct bpf_insn) BPF_STMT(BPF_RET | BPF_K, 96);

    ok(filter_cook(code, 4, DLT_LINUX_SLL2) == 0, "cooked");
    ok((int) code[0].k == SKF_AD_OFF + SKF_AD_PROTOCOL, "protocol field");
    ok(code[1].k == 9, "the packet begins behind the header");
    ok((int) code[2].k == -20, "computed offsets too");
    ok(code[3].k == 96, "the rest stays");

    code[0].k = 5;
    ok(filter_cook(code, 1, DLT_LINUX_SLL2) == -1, "no such field");

    code[0].k = 5;
    ok(filter_cook(code, 1, DLT_EN10MB) == 0 && code[0].k == 5,
       "other links stay");

    code[0].k = (u_int) (SKF_AD_OFF + SKF_AD_VLAN_TAG);
    ok(filter_cook(code, 1, DLT_LINUX_SLL) == 0
       && (int) code[0].k == SKF_AD_OFF + SKF_AD_VLAN_TAG,
       "ancillary data stays");
}


static void
too_long(void)
{
    struct bpf_insn      *code;
    struct bpf_program    first, second;

    code = calloc(FILTER_MAX_INSNS, sizeof(*code));
    memset(&first, 0, sizeof(first));
    second.bf_len = FILTER_MAX_INSNS - 2;
    second.bf_insns = calloc(FILTER_MAX_INSNS, sizeof(*code));

    ok(filter_join(code, 0, &first, &second) == FILTER_MAX_INSNS,
       "the longest program");
    ok(filter_join(code, 1, &first, &second) == -1, "one more is refused");

    free(second.bf_insns);
    free(code);
}


static int
check(pcap_t *const *pcaps, unsigned n, const char *user, problem_t *why)
{
    filter_checker_t  checker;

    memset(why, 0, sizeof(*why));

    if (filter_start(&checker) != 0) {
        return -2;
    }

    return filter_check(&checker, pcaps, n, user, why);
}


static void
child(void)
{
    int                status;
    char               longest[PCAPX_MAX_FILTER_LEN + 2];
    pcap_t            *dead[2];
    problem_t          why;
    filter_checker_t   checker;

    dead[0] = pcap_open_dead(DLT_EN10MB, 65535);
    dead[1] = pcap_open_dead(DLT_RAW, 65535);

    ok(check(dead, 1, "tcp port http", &why) == 0, "check: port name");
    ok(check(dead, 1, "", &why) == 0, "check: empty");
    ok(check(dead, 1, "tcp port", &why) == -1 && why.status == 400
       && strstr(why.detail, "syntax error"), "check: %s", why.detail);
    ok(check(dead, 1, "host localhost", &why) == -1
       && why.status == 400 && strstr(why.detail, "not looked up"),
       "check: %s", why.detail);
    ok(check(dead, 1, "tcp) or (udp", &why) == -1
       && why.status == 400, "check: unbalanced");
    ok(check(dead, 1, "ip6 host 2001:db8::1", &why) == 0,
       "check: IPv6 address");
    ok(check(dead, 1, "ether proto 0x1234", &why) == 0
       && check(dead, 2, "ether proto 0x1234", &why) == -1
       && why.status == 400, "check: each link type: %s", why.detail);

    memset(longest, ' ', sizeof(longest));
    memcpy(longest, "tcp", 3);
    longest[PCAPX_MAX_FILTER_LEN] = '\0';
    ok(check(dead, 1, longest, &why) == 0, "check: the longest");
    longest[PCAPX_MAX_FILTER_LEN] = ' ';
    longest[PCAPX_MAX_FILTER_LEN + 1] = '\0';
    ok(check(dead, 1, longest, &why) == -1 && why.status == 500,
       "check: one byte longer");

    ok(filter_start(&checker) == 0
       && filter_check(&checker, dead, 1, "tcp", &why) == 0
       && filter_check(&checker, dead, 1, "tcp", &why) == -1
       && why.status == 500, "it answers once");

    ok(filter_start(&checker) == 0 && close(checker.fd) == 0
       && waitpid(checker.pid, &status, 0) == checker.pid && status == 0,
       "who is asked nothing ends");

    pcap_close(dead[0]);
    pcap_close(dead[1]);
}


/* Nothing of shared memory is there in a child: reading it is its end. */

static void
withheld(void)
{
    int             status;
    pid_t           pid;
    volatile char  *page;

    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    page[0] = 1;

    ok(privs_withhold() == 0 && page[0] == 1, "shared memory stays here");

    pid = fork();

    if (pid == 0) {
        (void) signal(SIGSEGV, SIG_DFL);
        _exit(page[0]);
    }

    ok(pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status)
       && WTERMSIG(status) == SIGSEGV, "and does not reach a child");
}


int
main(void)
{
    filter_init();

    joined();
    texts();
    cooked();
    too_long();
    child();
    withheld();

    return tap_done();
}
