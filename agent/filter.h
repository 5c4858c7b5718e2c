/*
 * agent/filter.h: the user's filter, the exclusion of capture traffic, and
 * what the machine's owner never lets out (exclude_filter). All are compiled
 * on their own and joined as programs, the exclusions first: a packet that
 * one of them matches is dropped, every other goes on to the user's program.
 * So no text of a user can reach out of its part, and `vlan` or `mpls` in it
 * moves no offset of ours.
 *
 * What the exclusion sees: TCP over IPv4 and IPv6 without fragments, bare or
 * below one or two VLAN tags, on Ethernet, cooked (`any`) and raw links.
 * What it does not see: later fragments, IPv6 extension headers, and capture
 * traffic inside of a tunnel (GRE, VXLAN, IPsec, PPPoE, MPLS); for that there
 * is guard.h.
 */

#ifndef AGENT_FILTER_H
#define AGENT_FILTER_H

#include <pcap/pcap.h>

#include "log.h"
#include "net.h"
#include "request.h"


/* The detail when the child that compiles was ended by its sandbox. */
#define FILTER_SANDBOX    "filter: the process that compiles it did what its " \
                          "sandbox forbids"

#define FILTER_MAX_TEXT   262144
#define FILTER_MAX_INSNS  4096         /* BPF_MAXINSNS of the kernel */

typedef struct {
    endpoint_t   own[NET_MAX_LOCAL + 1];   /* listening addresses */
    unsigned     nown;
    const endpoint_t  *excludes;           /* exclude= */
    unsigned     nexcludes;
    const endpoint_t  *peers;              /* exclude_peer= */
    unsigned     npeers;
    const char  *mandatory;                /* exclude_filter; NULL: none */
} filter_exclude_t;

/* The child that compiles. */
typedef struct {
    pid_t        pid;
    int          fd;                       /* ours to close; -1: asked */
} filter_checker_t;


/*
 * Where a link type keeps its protocol field and how long its header is;
 * len 0: only plain expressions are known.
 */
typedef struct {
    int         dlt;
    unsigned    proto;
    unsigned    len;
    unsigned    cooked;
} filter_link_t;


/*
 * Turns off every lookup of host, network and Ethernet names in this process
 * (libpcap would ask DNS) and ties port and protocol names to the files of
 * this machine. Once, at the start.
 */
void filter_init(void);

/*
 * Forks the throw-away child that compiles one user's filter: no capability,
 * no socket but the one to us, no shared memory, 1 s CPU, 64 MiB. Before a
 * byte of the peer is read, as fork() is on no list of the sandbox. It waits
 * to be asked, and ends when that socket is closed. Returns 0, or -1 with
 * errno.
 */
int filter_start(filter_checker_t *checker);

/* Ends the child: there is no filter to look at. */
void filter_stop(filter_checker_t *checker);

/*
 * Has that child compile the user's filter for the link type of each handle
 * (1 to PCAPX_MAX_INTERFACES); once. Returns 0, or -1 with *why (400 and
 * libpcap's words, or 500).
 */
int filter_check(filter_checker_t *checker, pcap_t *const *pcaps, unsigned n,
    const char *user, problem_t *why);

/*
 * Compiles both halves for this handle, joins them and installs them in the
 * kernel. Returns 0, or -1 with *why.
 *
 * Not by pcap_setfilter(): what the kernel does not take, that would filter
 * in this process, and it drops the outgoing copy of loopback packets there,
 * both after the kernel has counted them. The ledger would never be right.
 */
int filter_install(pcap_t *pcap, const filter_exclude_t *ex,
    const char *user, const log_t *log, problem_t *why);

/*
 * Was it the only fault of the filter that failed to compile last that it
 * matches nothing on this link type? 1 or 0.
 */
int filter_matches_nothing(pcap_t *pcap);

/*
 * Lets nothing pass any more (the socket stays open). Returns 0 or -1 with
 * errno.
 */
int filter_block(int fd);

/*
 * The effective filter as text, "(not (...)) and (USER)" with the mandatory
 * exclusion between them, for people: at most max bytes with NUL; where that
 * is too short, "(not (...))" with these very dots for the first of them.
 */
void filter_text(const filter_exclude_t *ex, const char *user, char *dst,
    size_t max);

/*
 * Appends to the n instructions at dst (room for FILTER_MAX_INSNS): what
 * first matches is dropped, everything else goes through second. first may
 * be empty. Returns the new number of instructions, or -1 when it is too
 * long.
 */
int filter_join(struct bpf_insn *dst, unsigned n,
    const struct bpf_program *first, const struct bpf_program *second);

/*
 * The first half of that: drops what prog matches; everything else goes on
 * behind it. The same result, and -1 when n is -1.
 */
int filter_drop(struct bpf_insn *dst, int n, const struct bpf_program *prog);

/*
 * Turns a program for cooked packets into one for what the kernel runs it
 * on: there the packet begins behind the cooked header, whose fields are
 * ancillary data. Other link types are left as they are. Returns 0, or -1
 * when the program reads a field that the kernel does not have.
 */
int filter_cook(struct bpf_insn *code, unsigned n, int dlt);

/*
 * Writes the exclusion for a link type in pcap-filter syntax. tags: how many
 * VLAN tags inside of the packet are looked below (0 to 2). Returns its
 * length, 0 when there is nothing to exclude, -1 when it does not fit.
 */
int filter_exclusion(const filter_exclude_t *ex, int dlt, unsigned tags,
    char *dst, size_t max);

/* What is known about a link type; never NULL. */
const filter_link_t *filter_link(int dlt);


#endif /* AGENT_FILTER_H */
