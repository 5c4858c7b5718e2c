/*
 * t/agent_guard.c: the feedback guard against simulated links: a loop is
 * found, and bursts, steady streams and periodic traffic are not.
 */

#include "agent/guard.h"
#include "t/tap.h"


#define MS  UINT64_C(1000000)

typedef uint64_t (*link_fn)(uint64_t now_ms, int held, uint64_t *state);


/* Bytes per 10 ms of an idle link whose capture sees its own output. */

static uint64_t
loop(uint64_t now_ms, int held, uint64_t *state)
{
    if (now_ms < 1000) {
        *state = 10;
    }

    /* What is under way dies out; what was held back comes at once. */

    if (held) {
        *state = *state / 2 + 1;

    } else if (*state < 100000) {
        *state = *state * 2 + 100;
    }

    return *state;
}


/*
 * Records leave ten times a second, and each time a heartbeat and the
 * framing of one more packet come back with them.
 */

static uint64_t
slow_loop(uint64_t now_ms, int held, uint64_t *state)
{
    if (now_ms % 100 == 0) {
        *state += 300;
    }

    return held ? 30 : *state / 10;
}


static uint64_t
steady(uint64_t now_ms, int held, uint64_t *state)
{
    (void) held;
    (void) state;

    return now_ms < 1000 ? 10 : 1000000;
}


static uint64_t
burst(uint64_t now_ms, int held, uint64_t *state)
{
    (void) held;
    (void) state;

    return now_ms % 5000 < 600 ? 500000 : 0;
}


/* On and off, the on times by chance about as long as a hold. */

static uint64_t
periodic(uint64_t now_ms, int held, uint64_t *state)
{
    (void) held;
    (void) state;

    return now_ms / 270 % 2 ? 500000 : 0;
}


/* Doubles every 200 ms and does not care for us. */

static uint64_t
growing(uint64_t now_ms, int held, uint64_t *state)
{
    uint64_t  n;

    (void) held;
    (void) state;

    n = now_ms / 200;

    return UINT64_C(100) << (n < 20 ? n : 20);
}


/* Returns the ms at which feedback was found, or 0; *held_ms in all. */

static uint64_t
simulate(link_fn bytes, uint64_t seed, uint64_t for_ms, uint64_t *held_ms)
{
    int              held;
    guard_t          g;
    uint64_t         ms, total, state;
    guard_verdict_t  v;

    guard_init(&g, 1000 * MS, seed);

    held = 0;
    total = 0;
    state = 0;
    *held_ms = 0;

    for (ms = 0; ms < for_ms; ms += 10) {
        total += bytes(ms, held, &state);
        v = guard_tick(&g, (1000 + ms) * MS, total, 0);

        if (v == GUARD_FEEDBACK) {
            return ms;
        }

        held = v == GUARD_HOLD;
        *held_ms += held ? 10 : 0;
    }

    return 0;
}


int
main(void)
{
    int       wrong;
    guard_t   g;
    uint64_t  at, held, seed, slowest;

    for (seed = 1, wrong = 0, slowest = 0; seed <= 100; seed++) {
        at = simulate(loop, seed * 7919, 20000, &held);
        wrong += at == 0;
        slowest = at > slowest ? at : slowest;
    }

    ok(wrong == 0, "a loop is always found");
    ok(slowest < 6000, "within 5 s (%llu ms)",
       (unsigned long long) slowest - 1000);

    for (seed = 1, wrong = 0, slowest = 0; seed <= 100; seed++) {
        at = simulate(slow_loop, seed * 7919, 30000, &held);
        wrong += at == 0;
        slowest = at > slowest ? at : slowest;
    }

    ok(wrong == 0 && slowest < 12000, "one that grows slowly, too (%llu ms)",
       (unsigned long long) slowest);

    ok(simulate(steady, 1, 60000, &held) == 0, "a steady stream is none");
    ok(held <= 400, "and is held back once (%llu ms)",
       (unsigned long long) held);

    for (seed = 1, wrong = 0; seed <= 100; seed++) {
        wrong += simulate(burst, seed * 7919, 60000, &held) != 0;
    }

    ok(wrong == 0, "bursts are none");

    for (seed = 1, wrong = 0; seed <= 100; seed++) {
        wrong += simulate(periodic, seed * 7919, 60000, &held) != 0;
    }

    ok(wrong == 0, "periodic traffic is none (%d of 100)", wrong);

    for (seed = 1, wrong = 0; seed <= 100; seed++) {
        wrong += simulate(growing, seed * 7919, 20000, &held) != 0;
    }

    ok(wrong == 0, "a growing stream is none");

    /* Memory that fills ends a hold at once. */

    guard_init(&g, 0, 1);
    (void) guard_tick(&g, 250 * MS, 1000, 0);
    ok(guard_tick(&g, 500 * MS, 10000000, 0) == GUARD_HOLD, "suspicion");
    ok(guard_tick(&g, 510 * MS, 20000000, 1) == GUARD_GO,
       "pressure ends it");
    ok(guard_tick(&g, 760 * MS, 30000000, 0) == GUARD_GO,
       "and it does not come back at the same rate");

    return tap_done();
}
