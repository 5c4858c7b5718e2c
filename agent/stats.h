/*
 * agent/stats.h: what is counted. Each child writes into a page of its own,
 * shared with the parent, and cannot reach any other: plain numbers, which
 * the parent takes for what they are, numbers that somebody else wrote. The
 * parent keeps the totals; none of them ever goes down.
 */

#ifndef AGENT_STATS_H
#define AGENT_STATS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "ending.h"
#include "request.h"


/* Why a request was refused; the labels are in stats.c. */

typedef enum {
    STATS_REQUEST = 0,        /* malformed, unknown option or path */
    STATS_FILTER,
    STATS_INTERFACE,
    STATS_CONTAINER,
    STATS_FILES,
    STATS_POLICY,
    STATS_OFF,
    STATS_TIMEOUT,
    STATS_MAX_CAPTURES,
    STATS_BUFFERS,
    STATS_DRAINING,
    STATS_INTERNAL,
    STATS_NREFUSALS
} stats_refusal_t;

/* The page of a child. */

typedef struct {
    uint64_t    seen;             /* passed the filter, drops included */
    uint64_t    written;
    uint64_t    dropped;          /* by the kernel */
    uint64_t    bytes;            /* accepted by TLS */
    uint64_t    cpu_ns;
    uint64_t    started;          /* 1: the capture runs */
    uint64_t    ending;           /* ending_t */
    uint64_t    refused;          /* 1 + stats_refusal_t */
    uint64_t    handshake_failed;
    uint64_t    filter_refused;   /* by the child that compiles */
    uint64_t    filter_killed;    /* that child, by its sandbox */
} stats_slot_t;

typedef struct {
    uint64_t    seen;
    uint64_t    written;
    uint64_t    dropped;
    uint64_t    bytes;
    uint64_t    cpu_ns;
    uint64_t    started;
    uint64_t    ended[ENDING_COUNT];
    uint64_t    refused[STATS_NREFUSALS];
    uint64_t    handshake_failed;
    uint64_t    filter_refused;
    uint64_t    sandbox_kills;
    uint64_t    turned_away;      /* connections, before a handshake */
    uint64_t    files_served;
    uint64_t    files_running;
    uint64_t    running;
    uint64_t    max_captures;
    uint64_t    draining;
    uint64_t    off;
} stats_totals_t;

typedef struct {
    char            *pages;
    size_t           page_len;
    size_t           n;
    stats_slot_t    *last;        /* copies: counters only go up */
    stats_totals_t   totals;
} stats_t;


/* A page for each of n children. Returns 0 or -1. stats_free() in any case. */
int stats_init(stats_t *s, size_t n);
void stats_free(stats_t *s);

/* Parent, before the fork: an empty page for child i. */
void stats_begin(stats_t *s, size_t i);

/*
 * Child i, after the fork: its page, and none of the others is there any
 * more. NULL when that cannot be: the child must not go on.
 */
stats_slot_t *stats_child(stats_t *s, size_t i);

/*
 * Parent: child i has ended; capture: it had a slot for one. status and usage
 * are wait4()'s.
 */
void stats_end(stats_t *s, size_t i, int capture, int status,
    const struct rusage *usage);

/* Parent: bytes that child i has sent so far. */
uint64_t stats_bytes(stats_t *s, size_t i);

/* Parent: totals with those that run, into *now. */
void stats_now(stats_t *s, stats_totals_t *now);

/* Child: a request was refused. */
void stats_refused(stats_slot_t *slot, const problem_t *why);

/* Child: sets a number that the parent may read at any time. */
void stats_set(uint64_t *field, uint64_t value);

/*
 * The totals as Prometheus text (exposition format 0.0.4): memory to be
 * freed, or NULL.
 */
char *stats_text(const stats_totals_t *t);


#endif /* AGENT_STATS_H */
