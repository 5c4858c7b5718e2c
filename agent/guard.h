/*
 * agent/guard.h: finds a capture that captures its own output (through a
 * tunnel or an address translation, where no filter sees it). A rate proves
 * nothing, every capture puts out what it takes in. So when the input has
 * grown a lot, the output is held back for a moment: an input that ceases
 * with it, and comes back with it, several times in a row and for times of
 * random length, is our own.
 *
 * Pure logic: time and counts come in, a decision goes out.
 */

#ifndef AGENT_GUARD_H
#define AGENT_GUARD_H

#include <stdint.h>


/*
 * Input from which on a loop is possible, bytes in 250 ms; the lower one
 * where records leave so seldom that a loop grows slowly.
 */
#define GUARD_RATE       131072
#define GUARD_SLOW_RATE  32768

typedef enum {
    GUARD_GO = 0,            /* write */
    GUARD_HOLD,              /* hold records back; heartbeats go on */
    GUARD_FEEDBACK           /* end the capture */
} guard_verdict_t;

typedef struct {
    int         state;
    unsigned    proofs;
    uint64_t    window_ns;   /* begin of the current window or phase */
    uint64_t    length_ns;   /* length of the current phase */
    uint64_t    bytes;       /* input total at that time */
    uint64_t    min_rate;    /* bytes per window that may be a loop */
    uint64_t    usual;       /* the same, known to be of others */
    uint64_t    peak;        /* the most in one of these windows */
    unsigned    windows;     /* so many */
    uint64_t    before;      /* bytes per window before the hold */
    uint64_t    seed;
} guard_t;


/*
 * Starts at this monotonic time; seed makes the hold times unpredictable,
 * min_rate is one of those above.
 */
void guard_init(guard_t *g, uint64_t now_ns, uint64_t seed,
    uint64_t min_rate);

/*
 * Tells the guard how many bytes came in so far; pressed: held records are
 * about to fill the memory. Call it at least every 50 ms while traffic
 * flows. Returns what to do until the next call.
 */
guard_verdict_t guard_tick(guard_t *g, uint64_t now_ns, uint64_t bytes_in,
    int pressed);


#endif /* AGENT_GUARD_H */
