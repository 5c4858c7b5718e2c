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
 * Records leave ten times a second, or as soon as they are no longer held
 * back, and each time a heartbeat and the framing of one more packet come back
 * with them. The lowest bit of the state: they are held back.
 */

static uint64_t
slow_loop(uint64_t now_ms, int held, uint64_t *state)
{
    int  released;

    released = (*state & 1) && !held;

    if (now_ms % 100 != 0 && !released) {
        return 0;
    }

    *state = ((*state + 300) & ~UINT64_C(1)) | (held != 0);

    return held ? 350 : *state;
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


/* A poll of 40 KB three or four times a second. */

static uint64_t
polls(uint64_t now_ms, int held, uint64_t *state)
{
    (void) held;
    (void) state;

    return now_ms % 300 == 0 ? 40000 : 0;
}


/* Bursts of 100 KB at random, three a second on the average. */

static uint64_t
random_bursts(uint64_t now_ms, int held, uint64_t *state)
{
    (void) now_ms;
    (void) held;

    *state = *state * 6364136223846793005u + 1442695040888963407u;

    return (*state >> 33) % 100 < 3 ? 100000 : 0;
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
simulate(link_fn bytes, uint64_t rate, uint64_t seed, uint64_t for_ms,
    uint64_t *held_ms)
{
    int              held;
    guard_t          g;
    uint64_t         ms, total, state;
    guard_verdict_t  v;

    guard_init(&g, 1000 * MS, seed, rate);

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


/* A hundred captures of ten minutes, by the more suspicious guard. */

static void
guard_fair(link_fn bytes, const char *what)
{
    int       wrong;
    uint64_t  seed, held, most;

    for (seed = 1, wrong = 0, most = 0; seed <= 100; seed++) {
        wrong += simulate(bytes, GUARD_SLOW_RATE, seed * 7919, 600000, &held)
                 != 0;
        most = held > most ? held : most;
    }

    ok(wrong == 0, "%s are none (%d of 100)", what, wrong);
    ok(most <= 4000, "and are held back for %llu ms of 600000 at most",
       (unsigned long long) most);
}


int
main(void)
{
    int       wrong;
    guard_t   g;
    uint64_t  at, held, seed, slowest;

    for (seed = 1, wrong = 0, slowest = 0; seed <= 100; seed++) {
        at = simulate(loop, GUARD_RATE, seed * 7919, 20000, &held);
        wrong += at == 0;
        slowest = at > slowest ? at : slowest;
    }

    ok(wrong == 0, "a loop is always found");
    ok(slowest < 10000, "within 9 s (%llu ms)",
       (unsigned long long) slowest - 1000);

    for (seed = 1, wrong = 0, slowest = 0; seed <= 100; seed++) {
        at = simulate(slow_loop, GUARD_SLOW_RATE, seed * 7919, 30000, &held);
        wrong += at == 0;
        slowest = at > slowest ? at : slowest;
    }

    ok(wrong == 0 && slowest < 13000, "one that grows slowly, too (%llu ms)",
       (unsigned long long) slowest);

    ok(simulate(steady, GUARD_RATE, 1, 60000, &held) == 0,
       "a steady stream is none");
    ok(held <= 400, "and is held back once (%llu ms)",
       (unsigned long long) held);

    for (seed = 1, wrong = 0; seed <= 100; seed++) {
        wrong += simulate(burst, GUARD_RATE, seed * 7919, 60000, &held) != 0;
    }

    ok(wrong == 0, "bursts are none");

    guard_fair(polls, "polls");
    guard_fair(random_bursts, "random bursts");

    for (seed = 1, wrong = 0; seed <= 100; seed++) {
        wrong += simulate(periodic, GUARD_RATE, seed * 7919, 60000, &held)
                 != 0;
    }

    ok(wrong == 0, "periodic traffic is none (%d of 100)", wrong);

    for (seed = 1, wrong = 0; seed <= 100; seed++) {
        wrong += simulate(growing, GUARD_RATE, seed * 7919, 20000, &held)
                 != 0;
    }

    ok(wrong == 0, "a growing stream is none");

    /* Memory that fills ends a hold at once. */

    guard_init(&g, 0, 1, GUARD_RATE);
    (void) guard_tick(&g, 250 * MS, 1000, 0);
    ok(guard_tick(&g, 500 * MS, 10000000, 0) == GUARD_HOLD, "suspicion");
    ok(guard_tick(&g, 510 * MS, 20000000, 1) == GUARD_GO,
       "pressure ends it");
    ok(guard_tick(&g, 760 * MS, 30000000, 0) == GUARD_GO,
       "and it does not come back at the same rate");

    return tap_done();
}
