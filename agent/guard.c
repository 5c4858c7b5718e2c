/*
 * agent/guard.c: see guard.h. Watching: windows of 250 ms against the usual
 * rate, the highest that was found to be none of ours; it sinks where there is
 * less for seconds. Suspicion: a window of the least rate or more that is four
 * times the usual. Hold: 300 to 400 ms; only its second half counts, because
 * what was written before is still on its way in the first. Proof: in that
 * half less than an eighth of the former rate, and in the 300 to 700 ms after
 * the hold three quarters of it again, on the whole (traffic that goes on and
 * off by itself does not keep that up, whatever its period). Traffic that goes
 * on during a hold clears the capture and becomes the usual.
 */

#include "guard.h"


#define MS              UINT64_C(1000000)

#define GUARD_WINDOW    (250 * MS)
#define GUARD_MIN_HOLD  (300 * MS)
#define GUARD_HOLD_VAR  (100 * MS)
#define GUARD_MIN_BACK  (300 * MS)
#define GUARD_BACK_VAR  (400 * MS)
#define GUARD_WINDOWS   16              /* before the usual rate sinks */
#define GUARD_GROWTH    4

/*
 * Proofs that are asked for, in a row: polls that come by chance when nothing
 * is held are rarely so for eight times. One that shows growth, which they
 * do not, counts for three.
 */
#define GUARD_PROOFS    8
#define GUARD_GROWN     3

enum {
    GUARD_WATCH = 0,
    GUARD_HOLD_FIRST,       /* what is under way still comes in */
    GUARD_HOLD_SECOND,      /* this half is measured */
    GUARD_AFTER             /* does it come back? */
};


static guard_verdict_t guard_watch(guard_t *g, uint64_t now_ns,
    uint64_t bytes_in);
static void guard_sink(guard_t *g, uint64_t rate);
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
guard_init(guard_t *g, uint64_t now_ns, uint64_t seed, uint64_t min_rate)
{
    *g = (guard_t) { .state = GUARD_WATCH, .window_ns = now_ns,
                     .seed = seed | 1, .min_rate = min_rate };
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

    if (rate >= g->min_rate && rate / GUARD_GROWTH >= g->usual) {
        g->before = rate;
        guard_hold(g, now_ns, bytes_in);
        return GUARD_HOLD;
    }

    guard_sink(g, rate);
    g->window_ns = now_ns;
    g->bytes = bytes_in;

    return GUARD_GO;
}


/*
 * The usual rate does not rise by itself, because a loop may grow slowly, and
 * sinks half-way to the highest one of some seconds: pauses between bursts
 * are as usual as the bursts.
 */

static void
guard_sink(guard_t *g, uint64_t rate)
{
    if (rate > g->peak) {
        g->peak = rate;
    }

    if (++g->windows < GUARD_WINDOWS) {
        return;
    }

    if (g->peak < g->usual) {
        g->usual -= (g->usual - g->peak) / 2;
    }

    g->peak = 0;
    g->windows = 0;
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
    uint64_t  rate;

    if (now_ns - g->window_ns < g->length_ns) {
        return GUARD_GO;
    }

    rate = guard_rate(g, now_ns, bytes_in);

    if (rate < g->before / 4 * 3) {

        /* A burst that was over: nothing is proven. */

        return guard_clear(g, now_ns, bytes_in);
    }

    g->proofs += rate / GUARD_GROWTH >= g->before ? GUARD_GROWN : 1;

    if (g->proofs >= GUARD_PROOFS) {
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
    g->peak = 0;
    g->windows = 0;
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
