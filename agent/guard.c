/*
 * agent/guard.c: see guard.h. Watching: windows of 250 ms against the usual
 * rate, the highest that was found to be none of ours; it sinks slowly where
 * there is less. Suspicion: a window of 32 KiB or more that is four times the
 * usual. Hold: 200 to 400 ms; only its second half counts, because what was
 * written before is still on its way in the first. Proof: in that half less
 * than an eighth of the former rate, and in the 500 to 1000 ms after the hold
 * three quarters of it again, on the whole (traffic that goes on and off by
 * itself does not keep that up, whatever its period). Traffic that goes on
 * during a hold clears the capture and becomes the usual.
 */

#include "guard.h"


#define MS              UINT64_C(1000000)

#define GUARD_WINDOW    (250 * MS)
#define GUARD_MIN_HOLD  (200 * MS)
#define GUARD_HOLD_VAR  (200 * MS)
#define GUARD_MIN_BACK  (500 * MS)
#define GUARD_BACK_VAR  (500 * MS)
#define GUARD_MIN_RATE  32768           /* bytes per window */
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
static guard_verdict_t guard_clear(guard_t *g, uint64_t now_ns,
    uint64_t bytes_in);
static uint64_t guard_rate(const guard_t *g, uint64_t now_ns,
    uint64_t bytes_in);
static void guard_phase(guard_t *g, int state, uint64_t now_ns,
    uint64_t bytes_in);
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

            return guard_clear(g, now_ns, bytes_in);
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
    uint64_t  rate;

    if (now_ns - g->window_ns < GUARD_WINDOW) {
        return GUARD_GO;
    }

    rate = guard_rate(g, now_ns, bytes_in);

    if (rate >= GUARD_MIN_RATE && rate / GUARD_GROWTH >= g->usual) {
        g->before = rate;
        guard_hold(g, now_ns, bytes_in);
        return GUARD_HOLD;
    }

    /* It does not rise by itself: a loop may grow slowly. */

    if (rate < g->usual) {
        g->usual -= (g->usual - rate) / 16;
    }

    g->window_ns = now_ns;
    g->bytes = bytes_in;

    return GUARD_GO;
}


static guard_verdict_t
guard_held(guard_t *g, uint64_t now_ns, uint64_t bytes_in)
{
    if (now_ns - g->window_ns < g->length_ns) {
        return GUARD_HOLD;
    }

    if (g->state == GUARD_HOLD_FIRST) {
        guard_phase(g, GUARD_HOLD_SECOND, now_ns, bytes_in);
        return GUARD_HOLD;
    }

    if (guard_rate(g, now_ns, bytes_in) > g->before / 8) {
        return guard_clear(g, now_ns, bytes_in);
    }

    guard_phase(g, GUARD_AFTER, now_ns, bytes_in);
    g->length_ns = GUARD_MIN_BACK + guard_random(g, GUARD_BACK_VAR);

    return GUARD_GO;
}


static guard_verdict_t
guard_after(guard_t *g, uint64_t now_ns, uint64_t bytes_in)
{
    if (now_ns - g->window_ns < g->length_ns) {
        return GUARD_GO;
    }

    if (guard_rate(g, now_ns, bytes_in) < g->before / 4 * 3) {

        /* A burst that was over: nothing is proven. */

        return guard_clear(g, now_ns, bytes_in);
    }

    if (++g->proofs == GUARD_PROOFS) {
        return GUARD_FEEDBACK;
    }

    guard_hold(g, now_ns, bytes_in);

    return GUARD_HOLD;
}


/* Bytes since the phase began, brought to the length of a window. */

static uint64_t
guard_rate(const guard_t *g, uint64_t now_ns, uint64_t bytes_in)
{
    uint64_t  ms;

    ms = (now_ns - g->window_ns) / MS;

    return (bytes_in - g->bytes) * (GUARD_WINDOW / MS) / (ms ? ms : 1);
}


static void
guard_phase(guard_t *g, int state, uint64_t now_ns, uint64_t bytes_in)
{
    g->state = state;
    g->window_ns = now_ns;
    g->bytes = bytes_in;
}


static void
guard_hold(guard_t *g, uint64_t now_ns, uint64_t bytes_in)
{
    guard_phase(g, GUARD_HOLD_FIRST, now_ns, bytes_in);
    g->length_ns = (GUARD_MIN_HOLD + guard_random(g, GUARD_HOLD_VAR)) / 2;
}


/* No feedback: the highest rate that was seen is the usual one from now. */

static guard_verdict_t
guard_clear(guard_t *g, uint64_t now_ns, uint64_t bytes_in)
{
    uint64_t  rate;

    rate = guard_rate(g, now_ns, bytes_in);
    g->usual = rate > g->before ? rate : g->before;
    g->proofs = 0;
    guard_phase(g, GUARD_WATCH, now_ns, bytes_in);

    return GUARD_GO;
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
