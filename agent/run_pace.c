/*
 * agent/run_pace.c: see run_int.h. When records leave: how long those of a
 * few milliseconds gather, because a turn costs two switches of context and
 * some system calls, and when few of them wait for a heartbeat. It must not
 * let the ring overflow, nor a record wait longer than the next heartbeat.
 */

#include "run_int.h"


/*
 * The pause doubles while turns are small and halves when what gathered no
 * longer fits the cache. Where records are many it may last a heartbeat, and
 * blocks of the ring wake nobody up.
 */
#define RUN_MAX_SLEEP_MS   20
#define RUN_SMALL_TURN     131072
#define RUN_LARGE_TURN     524288
#define RUN_BUSY           5              /* records in a millisecond */

/* libpcap 1.10 makes blocks of 256 KiB: a quarter of a MiB's are as many. */
#define RUN_RING_UNIT      1048576

/*
 * Bytes in a millisecond that fill three quarters of the ring in the longest
 * pause: as many as a core takes out of it and sends (bench/README.md).
 */
#define RUN_LINE           853333

/*
 * Who asks for few heartbeats has many agents and waits for all of them: few
 * bytes leave with the heartbeat.
 */
#define RUN_GATHER_BEAT_MS 50
#define RUN_GATHER_NS      (100 * MS)
#define RUN_GATHER_BYTES   32768


static uint64_t run_longest(const run_state_t *st);
static uint64_t run_ring(const run_state_t *st);


void
run_pace(run_state_t *st, uint64_t sent)
{
    unsigned          i;
    uint64_t          most, read;
    const capture_t  *c;

    c = st->run->capture;

    for (i = 0, read = 0; i < c->nifs; i++) {
        read += c->ifs[i].read;
    }

    /* Over less than that a single block of the ring would be many. */

    if (st->now - st->turned >= c->retire_ms * MS) {
        st->busy = run_ring(st) >= RUN_MIN_SLEEP_MS
                   && (read - st->read) * MS
                      >= RUN_BUSY * (st->now - st->turned);
        st->read = read;
        st->turned = st->now;
    }

    if (sent > RUN_LARGE_TURN) {
        st->sleep_ms /= 2;

    } else if (sent && sent < RUN_SMALL_TURN) {
        st->sleep_ms *= 2;
    }

    most = run_longest(st);

    if (st->sleep_ms > most) {
        st->sleep_ms = (unsigned) most;
    }

    if (st->sleep_ms < RUN_MIN_SLEEP_MS) {
        st->sleep_ms = RUN_MIN_SLEEP_MS;
    }
}


/* A fifth of a heartbeat; where records are many a whole one. */

static uint64_t
run_longest(const run_state_t *st)
{
    uint64_t  most;

    most = st->run->req->heartbeat_ms;

    if (!st->busy) {
        most /= 5;

    } else if (run_ring(st) < most) {
        most = run_ring(st);
    }

    return most < RUN_MAX_SLEEP_MS ? most : RUN_MAX_SLEEP_MS;
}


/*
 * For how many milliseconds the ring may be left alone: a quarter of its
 * blocks where records are few, because one is handed out after the retire
 * time at the latest, and all of it with RUN_LINE where they are many.
 */

static uint64_t
run_ring(const run_state_t *st)
{
    uint64_t      few, many;
    const run_t  *run;

    run = st->run;
    few = run->capture->retire_ms * (run->conf->buffer_bytes / RUN_RING_UNIT);
    many = run->conf->buffer_bytes / RUN_LINE;

    return few < many ? few : many;
}


int
run_may_gather(const run_state_t *st)
{
    return st->run->req->heartbeat_ms >= RUN_GATHER_BEAT_MS;
}


int
run_gathers(const run_state_t *st)
{
    const order_t  *o;

    o = &st->run->capture->order;

    return st->phase == RUN_ON && !st->busy && !st->held
           && run_may_gather(st)
           && st->now < run_gathered_at(st)
           && o->waiting < RUN_GATHER_BYTES && !order_pressed(o);
}


uint64_t
run_gathered_at(const run_state_t *st)
{
    uint64_t  at;

    at = st->gather_from + RUN_GATHER_NS;

    return st->next_beat < at ? st->next_beat : at;
}


/* All that was due has left. */

void
run_gather(run_state_t *st)
{
    if (!st->gathers && !st->held) {
        st->gather_from = st->now;
    }
}
