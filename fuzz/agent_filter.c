/*
 * fuzz/agent_filter.c: any bytes as two filter programs, a packet and what is
 * to be excluded. The joined program must say what the two say one after the
 * other (libpcap's interpreter is the judge), and every exclusion must be a
 * text that libpcap takes. The user's text itself is no matter of this
 * process: libpcap parses it in a child without rights (agent/filter.h).
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include "agent/filter.h"
#include "fuzz/require.h"


#define MAX_INSNS     24
#define MAX_EXCLUDED  6
#define PACKET_LEN    512              /* more than a program can name */

/* As the random bytes come, zeros when there are no more. */
typedef struct {
    const uint8_t  *p;
    const uint8_t  *end;
} input_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/*
 * No loads from scratch memory: the second program must not see the first.
 * BPF_LD, BPF_W and BPF_IMM are 0.
 */
static const uint16_t  codes[] = {
    BPF_LD | BPF_ABS, BPF_LD | BPF_H | BPF_ABS,
    BPF_LD | BPF_B | BPF_ABS, BPF_LD | BPF_IND,
    BPF_LD | BPF_H | BPF_IND, BPF_LD | BPF_B | BPF_IND,
    BPF_LD | BPF_LEN, BPF_IMM, BPF_LDX | BPF_IMM,
    BPF_LDX | BPF_B | BPF_MSH, BPF_LDX | BPF_LEN,
    BPF_ST, BPF_STX,
    BPF_ALU | BPF_ADD | BPF_X, BPF_ALU | BPF_SUB | BPF_K,
    BPF_ALU | BPF_MUL | BPF_K, BPF_ALU | BPF_AND | BPF_K,
    BPF_ALU | BPF_OR | BPF_X, BPF_ALU | BPF_NEG,
    BPF_ALU | BPF_RSH | BPF_K, BPF_ALU | BPF_DIV | BPF_K,
    BPF_JMP | BPF_JA, BPF_JMP | BPF_JEQ | BPF_K,
    BPF_JMP | BPF_JGT | BPF_X, BPF_JMP | BPF_JGE | BPF_K,
    BPF_JMP | BPF_JSET | BPF_K, BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA,
    BPF_RET | BPF_K
};


static uint8_t
byte(input_t *in)
{
    return in->p < in->end ? *in->p++ : 0;
}


/* A program that bpf_validate() takes: jumps stay inside, it returns. */
static void
make_program(input_t *in, struct bpf_insn *code, struct bpf_program *prog)
{
    u_int             i, n;
    struct bpf_insn  *insn;

    n = 1 + byte(in) % MAX_INSNS;

    for (i = 0; i < n; i++) {
        insn = &code[i];
        insn->code = codes[byte(in) % (sizeof(codes) / sizeof(codes[0]))];
        insn->k = byte(in);
        insn->jt = 0;
        insn->jf = 0;

        if (i == n - 1) {
            insn->code = BPF_RET | BPF_K;
        }

        if (BPF_CLASS(insn->code) == BPF_ST
            || BPF_CLASS(insn->code) == BPF_STX)
        {
            insn->k %= BPF_MEMWORDS;

        } else if (insn->code == (BPF_ALU | BPF_DIV | BPF_K)) {
            insn->k |= 1;

        } else if (insn->code == (BPF_ALU | BPF_RSH | BPF_K)) {
            insn->k %= 32;

        } else if (insn->code == (BPF_JMP | BPF_JA)) {
            insn->k %= n - 1 - i;

        } else if (BPF_CLASS(insn->code) == BPF_JMP) {
            insn->jt = (u_char) (byte(in) % (n - 1 - i));
            insn->jf = (u_char) (byte(in) % (n - 1 - i));
        }
    }

    prog->bf_len = n;
    prog->bf_insns = code;
    require(bpf_validate(code, (int) n));
}


/* What libpcap may have to do with it is no more than to look at it. */
static void
try_cook(const struct bpf_insn *code, unsigned n)
{
    size_t           i;
    struct bpf_insn  copy[FILTER_MAX_INSNS];

    static const int  links[] = { DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2,
                                  DLT_RAW };

    for (i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        memcpy(copy, code, n * sizeof(*code));

        if (filter_cook(copy, n, links[i]) == 0
            && !filter_link(links[i])->cooked)
        {
            require(memcmp(copy, code, n * sizeof(*code)) == 0);
        }
    }
}


/*
 * A load from behind the packet ends any program with "no": in the first one
 * of two that is the end of both. So it reads from where there is something.
 */
static void
stay_inside(struct bpf_program *prog)
{
    u_int             i;
    struct bpf_insn  *insn;

    for (i = 0; i < prog->bf_len; i++) {
        insn = &prog->bf_insns[i];

        if (BPF_CLASS(insn->code) == BPF_LD
            && BPF_MODE(insn->code) == BPF_IND)
        {
            insn->code = (u_short) (BPF_LD | BPF_ABS | BPF_SIZE(insn->code));
        }
    }
}


static void
try_join(input_t *in)
{
    int                 n;
    u_int               one, two, three, both;
    size_t              len;
    uint8_t             packet[PACKET_LEN];
    struct bpf_insn     a[MAX_INSNS], b[MAX_INSNS], c[MAX_INSNS];
    struct bpf_program  first, second, must;

    static struct bpf_insn  joined[FILTER_MAX_INSNS];

    make_program(in, a, &first);
    make_program(in, b, &second);
    make_program(in, c, &must);
    stay_inside(&first);
    stay_inside(&must);

    n = filter_join(joined, 0, &first, &second);
    require(n >= (int) (first.bf_len + second.bf_len));
    require(bpf_validate(joined, n));

    len = (size_t) (in->end - in->p);
    memset(packet, 0, sizeof(packet));
    memcpy(packet, in->p, len < sizeof(packet) ? len : sizeof(packet));

    one = bpf_filter(a, packet, sizeof(packet), sizeof(packet));
    two = bpf_filter(b, packet, sizeof(packet), sizeof(packet));
    both = bpf_filter(joined, packet, sizeof(packet), sizeof(packet));
    require(both == (one ? 0 : two));

    /* as filter_build(): with what is never captured in between */

    n = filter_drop(joined, 0, &first);
    require(n > 0);
    n = filter_join(joined, (unsigned) n, &must, &second);
    require(n > 0 && bpf_validate(joined, n));

    three = bpf_filter(c, packet, sizeof(packet), sizeof(packet));
    both = bpf_filter(joined, packet, sizeof(packet), sizeof(packet));
    require(both == (one || three ? 0 : two));

    n = filter_join(joined, 0, &first, &second);
    try_cook(joined, (unsigned) n);

    /* no room: refused, not cut off */

    require(filter_join(joined, FILTER_MAX_INSNS - (unsigned) n + 1, &first,
                        &second) == -1);
}


static void
make_endpoint(input_t *in, endpoint_t *ep)
{
    unsigned  i;

    memset(ep, 0, sizeof(*ep));
    ep->addr_len = byte(in) % 2 ? 4 : 16;
    ep->port = (uint16_t) (byte(in) << 8 | byte(in));

    for (i = 0; i < ep->addr_len; i++) {
        ep->addr[i] = byte(in);
    }
}


static void
try_text(const char *text, int len, size_t max, int dlt)
{
    pcap_t              *p;
    struct bpf_program   prog;

    /* nothing to exclude: nothing was written either */

    if (len == 0) {
        return;
    }

    require((size_t) len < max && text[len] == '\0'
            && strlen(text) == (size_t) len);

    p = pcap_open_dead(dlt, 65535);
    require(p != NULL);
    require(pcap_compile(p, &prog, text, 1, PCAP_NETMASK_UNKNOWN) == 0);
    pcap_freecode(&prog);
    pcap_close(p);
}


static void
try_exclusion(input_t *in)
{
    int               len, dlt;
    char             *text;
    size_t            max;
    unsigned          i, tags;
    endpoint_t        excludes[MAX_EXCLUDED], peers[MAX_EXCLUDED];
    filter_exclude_t  ex;

    static const int  links[] = { DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2,
                                  DLT_RAW };

    memset(&ex, 0, sizeof(ex));
    dlt = links[byte(in) % 4];
    tags = byte(in) % 3;
    ex.nown = byte(in) % MAX_EXCLUDED;
    ex.nexcludes = byte(in) % MAX_EXCLUDED;
    ex.npeers = byte(in) % MAX_EXCLUDED;
    ex.excludes = excludes;
    ex.peers = peers;

    for (i = 0; i < ex.nown; i++) {
        make_endpoint(in, &ex.own[i]);
    }

    for (i = 0; i < ex.nexcludes; i++) {
        make_endpoint(in, &excludes[i]);
    }

    for (i = 0; i < ex.npeers; i++) {
        make_endpoint(in, &peers[i]);
    }

    /* sometimes too small: then nothing is taken, and nothing overrun */

    max = byte(in) % 8 ? FILTER_MAX_TEXT : 1u + byte(in);
    text = malloc(max);
    require(text != NULL);

    len = filter_exclusion(&ex, dlt, tags, text, max);

    if (len >= 0) {
        try_text(text, len, max, dlt);

    } else {
        require(max < FILTER_MAX_TEXT);
    }

    ex.mandatory = byte(in) % 2 ? "udp port 5353" : NULL;
    filter_text(&ex, "tcp port 80", text, max);
    require(memchr(text, '\0', max) != NULL);

    if (max == FILTER_MAX_TEXT) {
        try_text(text, (int) strlen(text), max, DLT_EN10MB);
    }

    free(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input_t  in;

    if (size == 0 || size > 4096) {
        return 0;
    }

    in.p = data + 1;
    in.end = data + size;

    if (data[0] % 4) {
        try_join(&in);

    } else {
        try_exclusion(&in);
    }

    return 0;
}
