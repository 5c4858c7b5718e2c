/*
 * agent/limits.h: how much a capture may take of the machine: bytes on the
 * wire and time on a core. Token buckets that hold LIMITS_BURST_S seconds'
 * worth: what is above the limit for long is ended, a burst is not.
 *
 * Pure logic: time and totals come in, a decision goes out.
 */

#ifndef AGENT_LIMITS_H
#define AGENT_LIMITS_H

#include <stdint.h>

#include "ending.h"


/* A bucket begins full: nothing is ended before so many seconds at twice
 * the limit. */
#define LIMITS_BURST_S  10

typedef struct {
    uint64_t    rate;        /* units per second; 0: no limit */
    int64_t     tokens;
    uint64_t    at_ns;       /* filled up to here */
} limits_bucket_t;

typedef struct {
    limits_bucket_t   bytes;
    limits_bucket_t   cpu;          /* nanoseconds of CPU time */
    uint64_t          last_bytes;
    uint64_t          last_cpu_ns;
} limits_t;


/* A full bucket; rate in units per second. */
void limits_bucket(limits_bucket_t *b, uint64_t rate, uint64_t now_ns);

/*
 * Takes n units out. Returns 1 when more was taken than came in, else 0
 * (always, when there is no limit). now_ns is monotonic and never goes back.
 */
int limits_take(limits_bucket_t *b, uint64_t n, uint64_t now_ns);

/* Starts with these totals; 0 is no limit. cpu_percent is of one core. */
void limits_init(limits_t *l, uint64_t bytes_per_s, uint64_t cpu_percent,
    uint64_t now_ns, uint64_t cpu_ns);

/*
 * Tells the totals so far. Returns the limit that is reached, or
 * ENDING_NONE.
 */
ending_t limits_check(limits_t *l, uint64_t now_ns, uint64_t bytes,
    uint64_t cpu_ns);


#endif /* AGENT_LIMITS_H */
