/*
 * agent/run_end.c: see run_int.h. How a capture ends: whatever the reason,
 * intake stops, the rings are emptied, what waits goes out, and then the last
 * counts and the last chunk. None of it may take for ever: a peer that takes
 * next to nothing does not keep a slot and a ring.
 */

#include <poll.h>
#include <string.h>

#include "run_int.h"


#define RUN_DRAIN_NS       (1000 * MS)    /* for the rings to empty */
#define RUN_END_NS         (10000 * MS)   /* without a byte, at the end */
#define RUN_REMOVED_NS     (500 * MS)     /* for an interface to be so */

/* A peer that has finished wants what is left, but not for ever. */
#define RUN_FINISH_NS      (60000 * MS)

/* Switched off is off: twice this, if the peer is slow. */
#define RUN_OFF_NS         (1000 * MS)

/* Before drain_timeout is over what nobody takes is given up: there has to be
 * time for the last ISBs, and to linger. */
#define RUN_GIVE_UP_NS     (2000 * MS)


static void run_hurry(run_state_t *st, ending_t ending);
static int run_is_gone(const run_t *run);


void
run_end(run_state_t *st, ending_t ending)
{
    if (st->phase == RUN_ON) {
        st->ending = ending;
        stats_set(&st->run->stats->ending, ending);
        log_line(st->run->log, ending_text(ending)->level, "capture ends: %s",
                 ending == ENDING_INTERFACE ? st->run->capture->reason
                                            : ending_text(ending)->words);

        capture_block(st->run->capture);
        st->phase = RUN_DRAINING;
        st->deadline = st->now + RUN_DRAIN_NS;
    }

    run_hurry(st, ending);
}


/* Each reason has its own patience with a slow peer: the least one holds. */

static void
run_hurry(run_state_t *st, ending_t ending)
{
    uint64_t  drain, give_up, cut_at;

    drain = st->run->conf->drain_timeout * MS;

    switch (ending) {

    case ENDING_FINISHED:
        give_up = st->now + RUN_FINISH_NS;
        cut_at = give_up + RUN_END_NS;
        break;

    case ENDING_OFF:
        give_up = st->now + RUN_OFF_NS;
        cut_at = give_up + RUN_OFF_NS;
        break;

    default:
        give_up = st->now + (drain > 2 * RUN_GIVE_UP_NS
                             ? drain - RUN_GIVE_UP_NS : drain / 2);
        cut_at = give_up + RUN_END_NS;
    }

    st->give_up = give_up < st->give_up ? give_up : st->give_up;
    st->cut_at = cut_at < st->cut_at ? cut_at : st->cut_at;
}


void
run_cut(run_state_t *st, ending_t ending)
{
    if (st->ending == ENDING_NONE) {
        st->ending = ending;
        stats_set(&st->run->stats->ending, ending);
    }

    log_info(st->run->log, "capture ends: %s", ending_text(ending)->words);
    st->phase = RUN_CUT;
}


/*
 * A container's interface is removed with it, and before all else of it
 * (garden-external-networker, then the mount), so that is the first to be
 * seen of its end.
 */

void
run_broken(run_state_t *st)
{
    if (st->phase == RUN_ON && st->run->container && run_is_gone(st->run)) {
        run_end(st, ENDING_CONTAINER);

    } else {
        run_end(st, ENDING_INTERFACE);
    }
}


/*
 * libpcap misses an interface some milliseconds before its socket is told
 * that it is removed (unregister_netdevice_many() in net/core/dev.c).
 */

static int
run_is_gone(const run_t *run)
{
    uint64_t       deadline;
    struct pollfd  pfd;

    deadline = net_monotonic() + RUN_REMOVED_NS;
    pfd.fd = run->container->watch;
    pfd.events = POLLIN;

    do {
        if (capture_lost(run->capture)
            || (poll(&pfd, 1, RUN_MIN_SLEEP_MS) > 0
                && container_gone(run->container)))
        {
            return 1;
        }

    } while (net_monotonic() < deadline);

    return 0;
}


void
run_stalled(run_state_t *st)
{
    if (st->phase == RUN_ON || st->stream.bytes != st->progress) {
        st->progress = st->stream.bytes;
        st->progress_at = st->now;
    }

    if (st->phase < RUN_OVER && st->phase != RUN_ON
        && (st->now - st->progress_at > RUN_END_NS || st->now > st->cut_at))
    {
        run_cut(st, ENDING_STALLED);
    }
}


void
run_discard(run_state_t *st)
{
    uint64_t    none[PCAPX_MAX_INTERFACES], ts_ns;
    stream_t   *s;
    capture_t  *c;

    if (st->phase == RUN_ON || st->phase > RUN_FLUSHING
        || st->now < st->give_up)
    {
        return;
    }

    s = &st->stream;
    c = st->run->capture;
    memset(none, 0, sizeof(none));
    ts_ns = 0;

    if (order_oldest(&c->order) != UINT64_MAX) {
        log_warn(st->run->log, "the peer is too slow: what waits for it is "
                 "dropped");
    }

    do {
        s->nspans = order_take(&c->order, UINT64_MAX, s->spans,
                               STREAM_MAX_SPANS, UINT32_MAX, none, &ts_ns);
        order_release(&c->order, s->spans, s->nspans);

    } while (s->nspans);

    st->phase = RUN_FLUSHING;
}


void
run_report(const run_state_t *st)
{
    unsigned              i;
    const capture_t      *c;
    const capture_if_t   *ci;

    c = st->run->capture;

    for (i = 0; i < c->nifs; i++) {
        ci = &c->ifs[i];
        log_info(st->run->log, "%s: accepted %llu, dropped %llu, sent %llu",
                 ci->name, (unsigned long long) ci->accepted,
                 (unsigned long long) ci->dropped,
                 (unsigned long long) st->written[i]);
    }

    log_info(st->run->log, "capture %s, %llu bytes sent, %llu records below "
             "the watermark", st->phase == RUN_OVER ? "complete" : "cut",
             (unsigned long long) st->stream.bytes,
             (unsigned long long) c->late);
}
