/*
 * agent/guard.c: see guard.h. Watching: windows of 250 ms against a slow
 * average. Suspicion: a window of 128 KiB or more that is four times the
 * average. Hold: 200 to 400 ms; only its second half counts, because what
 * was written before is still on its way in the first. Proof: in that half
 * less than an eighth of the former rate, and within 500 ms after the hold
 * at least half of it again. Traffic that goes on during a hold clears the
 * capture and becomes the new average.
 */

#include "guard.h"


#define MS              UINT64_C(1000000)

#define GUARD_WINDOW    (250 * MS)
#define GUARD_MIN_HOLD  (200 * MS)
#define GUARD_HOLD_VAR  (200 * MS)
#define GUARD_RETURN    (500 * MS)
#define GUARD_MIN_RATE  (128 * 1024)    /* bytes per window */
#define GUARD_GROWTH    4

enum {
    GUARD_WATCH = 0,
    GUARD_HOLD_FIRST,       /* what is under way still comes in */
    GUARD_HOLD_SECOND,      /* this half is measured */
    GUARD_AFTER             /* does it come back? */
};


static guard_verdict_t guard_watch(guard_t *g, uint64_t now_ns,
    uint64_t bytes_in);
static guard_verdict_t guard_held(guard_t *g, uint64_t now_ns,
    uint64_t bytes_in);
static guard_verdict_t guard_after(guard_t *g, uint64_t now_ns,
    uint64_t bytes_in);
static void guard_hold(guard_t *g, uint64_t now_ns, uint64_t bytes_in);
static void guard_clear(guard_t *g, uint64_t now_ns, uint64_t bytes_in);
static uint64_t guard_random(guard_t *g, uint64_t max);


void
guard_init(guard_t *g, uint64_t now_ns, uint64_t seed)
{
    *g = (guard_t) { .state = GUARD_WATCH, .window_ns = now_ns,
                     .seed = seed | 1 };
}


guard_verdict_t
guard_tick(guard_t *g, uint64_t now_ns, uint64_t bytes_in, int pressed)
{
    switch (g->state) {

    case GUARD_HOLD_FIRST:
    case GUARD_HOLD_SECOND:
        if (pressed) {

            /* It goes on without our output: a busy link, no feedback. */

            guard_clear(g, now_ns, bytes_in);
            return GUARD_GO;
        }

        return guard_held(g, now_ns, bytes_in);

    case GUARD_AFTER:
        return guard_after(g, now_ns, bytes_in);

    default:
        return guard_watch(g, now_ns, bytes_in);
    }
}


static guard_verdict_t
guard_watch(guard_t *g, uint64_t now_ns, uint64_t bytes_in)
{
    uint64_t  rate, elapsed;

    elapsed = now_ns - g->window_ns;

    if (elapsed < GUARD_WINDOW) {
        return GUARD_GO;
    }

    /* A late call makes a long window: bring it to the usual length. */

    rate = (bytes_in - g->bytes) * (GUARD_WINDOW / MS) / (elapsed / MS);

    if (rate >= GUARD_MIN_RATE && rate / GUARD_GROWTH >= g->average) {
        g->before = rate;
        guard_hold(g, now_ns, bytes_in);
        return GUARD_HOLD;
    }

    g->average = g->average - g->average / 16 + rate / 16;
    g->window_ns = now_ns;
    g->bytes = bytes_in;

    return GUARD_GO;
}


static guard_verdict_t
guard_held(guard_t *g, uint64_t now_ns, uint64_t bytes_in)
{
    uint64_t  rate, elapsed;

    elapsed = now_ns - g->window_ns;

    if (g->state == GUARD_HOLD_FIRST) {
        if (elapsed >= g->length_ns / 2) {
            g->state = GUARD_HOLD_SECOND;
            g->window_ns = now_ns;
            g->bytes = bytes_in;
        }

        return GUARD_HOLD;
    }

    if (elapsed < g->length_ns / 2) {
        return GUARD_HOLD;
    }

    rate = (bytes_in - g->bytes) * (GUARD_WINDOW / MS) / (elapsed / MS);

    if (rate > g->before / 8) {
        guard_clear(g, now_ns, bytes_in);
        return GUARD_GO;
    }

    g->state = GUARD_AFTER;
    g->window_ns = now_ns;
    g->bytes = bytes_in;

    return GUARD_GO;
}


static guard_verdict_t
guard_after(guard_t *g, uint64_t now_ns, uint64_t bytes_in)
{
    if (bytes_in - g->bytes >= g->before / 2) {
        if (++g->proofs == GUARD_PROOFS) {
            return GUARD_FEEDBACK;
        }

        guard_hold(g, now_ns, bytes_in);
        return GUARD_HOLD;
    }

    if (now_ns - g->window_ns >= GUARD_RETURN) {

        /* A burst that was over: nothing is proven. */

        guard_clear(g, now_ns, bytes_in);
    }

    return GUARD_GO;
}


static void
guard_hold(guard_t *g, uint64_t now_ns, uint64_t bytes_in)
{
    g->state = GUARD_HOLD_FIRST;
    g->window_ns = now_ns;
    g->bytes = bytes_in;
    g->length_ns = GUARD_MIN_HOLD + guard_random(g, GUARD_HOLD_VAR);
}


static void
guard_clear(guard_t *g, uint64_t now_ns, uint64_t bytes_in)
{
    g->state = GUARD_WATCH;
    g->proofs = 0;
    g->window_ns = now_ns;
    g->bytes = bytes_in;
    g->average = g->before;
}


/* xorshift64 (Marsaglia 2003); only has to be hard to fall in step with. */

static uint64_t
guard_random(guard_t *g, uint64_t max)
{
    g->seed ^= g->seed << 13;
    g->seed ^= g->seed >> 7;
    g->seed ^= g->seed << 17;

    return g->seed % max;
}
