/*
 * agent/run.c: see run.h. The way of a turn: take what the rings hold, put
 * what is due into a chunk, write what the connection takes, sleep until
 * something happens or is due. While the connection takes nothing the
 * staging buffer fills, then the ring, then the kernel drops and counts.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "blocks.h"
#include "control.h"
#include "pcapx/scan.h"
#include "run_int.h"


/* Eight IDBs with BLOCKS_FILTER_LEN each, and the rest. */
#define RUN_START_LEN      131072

#define RUN_START_NS       (10000 * MS)   /* for the first chunk to go out */
#define RUN_LINGER_NS      (1000 * MS)

/* Counts are published and limits looked at so often. */
#define RUN_ACCOUNT_NS     (100 * MS)

/* What a peer may send after its request before it is cut off. */
#define RUN_MAX_INPUT      16384

#define RUN_POLLED         (3 + PCAPX_MAX_INTERFACES)


static int run_start(run_state_t *st);
static void run_turn(run_state_t *st);
static void run_intake(run_state_t *st);
static void run_guard(run_state_t *st);
static void run_account(run_state_t *st);
static void run_output(run_state_t *st);
static int run_next_chunk(run_state_t *st);
static uint64_t run_limit(run_state_t *st);
static void run_beat(run_state_t *st, int last);
static uint64_t run_next_beat(const run_state_t *st);
static void run_sleep(run_state_t *st);
static nfds_t run_polled(const run_state_t *st, struct pollfd *pfd);
static int run_timeout(const run_state_t *st);
static void run_input(run_state_t *st, short revents);
static void run_control(run_state_t *st);


int
run_capture(run_t *run)
{
    int           rc;
    uint64_t      seed;
    run_state_t  *st;

    st = calloc(1, sizeof(*st));
    if (st == NULL) {
        log_error(run->log, "out of memory");
        return -1;
    }

    st->run = run;
    st->now = net_monotonic();
    st->sleep_ms = RUN_MIN_SLEEP_MS;
    st->give_up = UINT64_MAX;
    st->cut_at = UINT64_MAX;
    stream_init(&st->stream, run->tls);

    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed)) {
        seed = net_realtime();
    }

    guard_init(&st->guard, st->now, seed,
               run_may_gather(st) ? GUARD_SLOW_RATE : GUARD_RATE);
    stats_set(&run->stats->started, 1);
    limits_init(&st->limits, run->conf->max_bandwidth,
                run->conf->max_cpu_percent, st->now, net_cpu());

    if (run_start(st) != 0) {
        log_warn(run->log, "the peer does not take the first chunk");
        run_cut(st, ENDING_PEER);
    }

    while (st->phase < RUN_OVER) {
        run_turn(st);
    }

    run_account(st);
    run_report(st);
    rc = st->phase == RUN_OVER ? 0 : -1;

    if (rc == 0) {
        tls_finish(run->tls, net_monotonic() + RUN_LINGER_NS);
    }

    free(st);

    return rc;
}


/* The header and the first chunk, in one go. */

static int
run_start(run_state_t *st)
{
    int           n, rc;
    char          head[20];
    uint8_t      *buf, *body;
    pcapx_out_t   out;
    const run_t  *run;

    run = st->run;
    rc = -1;

    buf = malloc(RUN_START_LEN);
    if (buf == NULL) {
        goto out;
    }

    n = blocks_header(run->capture, (char *) buf, RUN_START_LEN);
    rc = tls_write_all(run->tls, buf, (size_t) n, st->now + RUN_START_NS);

    if (rc != 0) {
        goto out;
    }

    /* Room for the chunk's length before the body, for CRLF behind it. */

    body = buf + sizeof(head);
    out.pos = body;
    out.end = buf + RUN_START_LEN - 2;

    if (blocks_first(run->capture, run->exclude, run->req->filter, &out)
        != PCAPX_OK)
    {
        rc = -1;
        goto out;
    }

    n = snprintf(head, sizeof(head), "%zx\r\n", (size_t) (out.pos - body));
    memcpy(body - n, head, (size_t) n);
    memcpy(out.pos, "\r\n", 2);

    rc = tls_write_all(run->tls, body - n,
                       (size_t) (out.pos + 2 - body) + (size_t) n,
                       st->now + RUN_START_NS);

    st->next_beat = run_next_beat(st);

out:

    free(buf);

    return rc;
}


static void
run_turn(run_state_t *st)
{
    uint64_t  sent;

    st->now = net_monotonic();

    if (*st->run->stop) {
        run_end(st, ENDING_DRAINED);
    }

    run_intake(st);
    run_guard(st);

    /* The TLS records of a turn fill segments together. */

    sent = st->stream.bytes;
    net_cork(st->run->tls->fd, 1);
    run_output(st);
    net_cork(st->run->tls->fd, 0);

    run_pace(st, st->stream.bytes - sent);
    run_stalled(st);

    if (st->now >= st->next_account) {
        run_account(st);
    }

    if (st->phase < RUN_OVER) {
        run_sleep(st);
    }
}


/* Tells the parent, and looks at the limits of this capture. */

static void
run_account(run_state_t *st)
{
    unsigned              i;
    uint64_t              seen, written, dropped, cpu;
    ending_t              ending;
    const capture_t      *c;

    c = st->run->capture;
    st->next_account = st->now + RUN_ACCOUNT_NS;

    for (i = 0, seen = 0, written = 0, dropped = 0; i < c->nifs; i++) {
        seen += c->ifs[i].accepted;
        written += st->written[i];
        dropped += c->ifs[i].dropped;
    }

    cpu = net_cpu();
    stats_set(&st->run->stats->seen, seen);
    stats_set(&st->run->stats->written, written);
    stats_set(&st->run->stats->dropped, dropped);
    stats_set(&st->run->stats->bytes, st->stream.bytes);
    stats_set(&st->run->stats->cpu_ns, cpu);

    ending = limits_check(&st->limits, st->now, st->stream.bytes, cpu);

    if (ending != ENDING_NONE) {
        run_end(st, ending);
    }
}


static void
run_intake(run_state_t *st)
{
    capture_t  *c;

    c = st->run->capture;

    if (st->phase > RUN_DRAINING) {
        return;
    }

    if (capture_read(c) != 0) {
        run_broken(st);
        st->phase = RUN_FLUSHING;
        return;
    }

    if (st->phase == RUN_DRAINING) {
        if (capture_drained(c)) {
            st->phase = RUN_FLUSHING;

        } else if (st->now >= st->deadline && order_oldest(&c->order)
                                              == UINT64_MAX)
        {
            log_warn(st->run->log, "the ring does not empty: counts may "
                     "differ from the packets");
            st->phase = RUN_FLUSHING;
        }
    }
}


static void
run_guard(run_state_t *st)
{
    unsigned   i;
    uint64_t   bytes;
    capture_t  *c;

    c = st->run->capture;

    if (st->phase != RUN_ON) {
        st->held = 0;
        return;
    }

    for (i = 0, bytes = 0; i < c->nifs; i++) {
        bytes += c->ifs[i].bytes;
    }

    switch (guard_tick(&st->guard, st->now, bytes, order_pressed(&c->order)))
    {
    case GUARD_FEEDBACK:
        run_end(st, ENDING_FEEDBACK);
        break;

    case GUARD_HOLD:
        st->held = 1;
        return;

    default:
        break;
    }

    st->held = 0;
}


static void
run_output(run_state_t *st)
{
    int  rc;

    st->gathers = run_gathers(st);

    for ( ;; ) {
        rc = stream_write(&st->stream);

        if (rc < 0) {
            run_cut(st, ENDING_PEER);
            return;
        }

        if (rc == 0) {
            return;
        }

        order_release(&st->run->capture->order, st->stream.spans,
                      st->stream.nspans);
        st->stream.nspans = 0;

        if (st->phase == RUN_CLOSING) {
            st->phase = RUN_OVER;
            return;
        }

        run_discard(st);

        if (!run_next_chunk(st)) {
            run_gather(st);
            return;
        }

        /*
         * What was taken out makes room: when that is scarce, look at the
         * rings in between. Else large chunks are better.
         */
        if (st->phase == RUN_ON && order_pressed(&st->run->capture->order)) {
            st->now = net_monotonic();
            run_intake(st);
        }
    }
}


/*
 * Makes a chunk of what is due. Returns 0 when nothing is. At the end: the
 * last records and ISBs, then the empty chunk.
 */

static int
run_next_chunk(run_state_t *st)
{
    int         last;
    stream_t   *s;
    capture_t  *c;

    s = &st->stream;
    c = st->run->capture;
    s->extra_len = 0;

    s->nspans = order_take(&c->order, run_limit(st), s->spans,
                           STREAM_MAX_SPANS, STREAM_CHUNK_BYTES, st->written,
                           &st->last_ts);

    last = st->phase == RUN_FLUSHING
           && order_oldest(&c->order) == UINT64_MAX;

    if ((last && !st->ended) || (!last && st->now >= st->next_beat)) {
        run_beat(st, last);
        st->ended = last & 1;
    }

    if (s->nspans == 0 && s->extra_len == 0) {
        if (!last) {
            return 0;
        }

        st->phase = RUN_CLOSING;
    }

    stream_chunk(s, c->order.mem);

    return 1;
}


/* How far records may leave now. */

static uint64_t
run_limit(run_state_t *st)
{
    unsigned          i;
    uint64_t          limit;
    const capture_t  *c;

    c = st->run->capture;

    if (st->phase == RUN_FLUSHING) {
        return UINT64_MAX;
    }

    if (st->held || st->gathers) {
        return 0;
    }

    limit = capture_limit(c);

    /*
     * More came in within the slack than memory holds: order what is here
     * and go on, rather than stand still.
     */
    for (i = 0; i < c->nifs; i++) {
        if (!order_room(&c->order, i) && order_oldest(&c->order) > limit) {
            return UINT64_MAX;
        }
    }

    return limit;
}


/*
 * The heartbeat. T is never above a record that is still to be sent: the
 * promise is about the stream, not about the ring.
 */

static void
run_beat(run_state_t *st, int last)
{
    uint64_t      ts_ns, oldest;
    capture_t    *c;
    pcapx_out_t   out;

    c = st->run->capture;
    st->next_beat = run_next_beat(st);

    if (capture_stats(c) != 0) {
        run_broken(st);
    }

    if (!c->pcapng) {
        return;
    }

    ts_ns = c->watermark_ns;
    oldest = order_oldest(&c->order);

    if (st->phase == RUN_FLUSHING && st->last_ts > ts_ns) {
        ts_ns = st->last_ts;
    }

    if (oldest < ts_ns) {
        ts_ns = oldest;
    }

    if (ts_ns < st->promised) {
        ts_ns = st->promised;
    }

    st->promised = ts_ns;

    out.pos = st->stream.extra;
    out.end = st->stream.extra + sizeof(st->stream.extra);

    if (blocks_isbs(c, st->written, ts_ns,
                    last ? pcapx_end_text(ending_text(st->ending)->said)
                         : NULL, &out)
        != PCAPX_OK)
    {
        log_error(st->run->log, "a heartbeat does not fit its buffer");
    }

    st->stream.extra_len = (size_t) (out.pos - st->stream.extra);
}


/*
 * At full multiples of the interval by the clock that all machines share:
 * what waits for the heartbeats of several agents waits for one moment, and
 * the API wakes up once for all of them.
 */

static uint64_t
run_next_beat(const run_state_t *st)
{
    uint64_t  interval;

    interval = st->run->req->heartbeat_ms * MS;

    return net_monotonic() + interval - net_realtime() % interval;
}


static void
run_sleep(run_state_t *st)
{
    int               timeout;
    nfds_t            n;
    struct pollfd     pfd[RUN_POLLED];
    struct timespec   ts;

    n = run_polled(st, pfd);
    timeout = run_timeout(st);
    ts.tv_sec = timeout / 1000;
    ts.tv_nsec = timeout % 1000 * 1000000L;

    if (ppoll(pfd, n, &ts, st->run->wait_mask) <= 0) {
        return;
    }

    st->now = net_monotonic();

    if (pfd[0].revents & ~POLLOUT) {
        run_input(st, pfd[0].revents);
    }

    if (pfd[1].revents) {
        run_control(st);
    }

    if (pfd[2].revents && st->phase == RUN_ON
        && container_gone(st->run->container))
    {
        run_end(st, ENDING_CONTAINER);
    }
}


/* What is waited for: the peer, the parent, the container, the rings. */

static nfds_t
run_polled(const run_state_t *st, struct pollfd *pfd)
{
    nfds_t         n;
    unsigned       i;
    const run_t   *run;

    run = st->run;
    memset(pfd, 0, RUN_POLLED * sizeof(*pfd));

    /* After a half-close readiness to read is permanent. */

    pfd[0].fd = run->tls->fd;
    pfd[0].events = st->half_closed ? 0 : POLLIN;

    if (!stream_idle(&st->stream)) {
        pfd[0].events = (short) (pfd[0].events | run->tls->want_write);
    }

    pfd[1].fd = st->orphaned ? -1 : run->control;
    pfd[1].events = POLLIN;

    pfd[2].fd = st->phase == RUN_ON && run->container
                ? run->container->watch : -1;
    pfd[2].events = POLLIN;
    n = 3;

    if (st->busy && st->phase == RUN_ON) {
        return n;
    }

    for (i = 0; i < run->capture->nifs && st->phase <= RUN_DRAINING; i++) {
        if (capture_wants(run->capture, i)) {
            pfd[n].fd = run->capture->ifs[i].fd;
            pfd[n++].events = POLLIN;
        }
    }

    return n;
}


/* Milliseconds until something is due by the clock. */

static int
run_timeout(const run_state_t *st)
{
    uint64_t          due, oldest, now_real, ms;
    const capture_t  *c;

    c = st->run->capture;

    if (st->phase != RUN_ON) {
        return RUN_MIN_SLEEP_MS;
    }

    /* When the connection is blocked, it is what we wait for. */

    ms = st->next_beat > st->now ? (st->next_beat - st->now) / MS + 1 : 0;

    if (st->busy) {
        return ms && ms < st->sleep_ms ? (int) ms : (int) st->sleep_ms;
    }

    if (!stream_idle(&st->stream)) {
        return ms > 50 || ms == 0 ? 50 : (int) ms;
    }

    oldest = order_oldest(&c->order);

    if (oldest != UINT64_MAX && run_gathers(st)) {
        due = (run_gathered_at(st) - st->now) / MS + 1;
        ms = due < ms ? due : ms;

    } else if (oldest != UINT64_MAX) {
        now_real = net_realtime();
        due = oldest + c->hold_ns;
        due = due > now_real ? (due - now_real) / MS + 1 : 0;
        due = due < st->sleep_ms ? st->sleep_ms : due;
        ms = due < ms ? due : ms;
    }

    return (int) ms;
}


/*
 * The peer sends nothing after its request: what comes is the end of its
 * sending side, with or without close_notify, or a reset.
 */

static void
run_input(run_state_t *st, short revents)
{
    int   rc;
    char  buf[4096];

    if (revents & (POLLERR | POLLNVAL)
        || (st->half_closed && (revents & POLLHUP)))
    {
        run_cut(st, ENDING_PEER);
        return;
    }

    if (st->half_closed) {
        return;
    }

    rc = tls_read(st->run->tls, buf, sizeof(buf));

    if (rc == TLS_EOF) {
        st->half_closed = 1;
        run_end(st, ENDING_FINISHED);
        return;
    }

    if (rc > 0) {
        st->input += (uint64_t) rc;
    }

    if (rc == TLS_GONE || st->input > RUN_MAX_INPUT) {
        run_cut(st, ENDING_PEER);
    }
}


static void
run_control(run_state_t *st)
{
    int            rc;
    control_msg_t  msg;

    rc = control_recv(st->run->control, &msg);

    if (rc < 0) {
        st->orphaned = 1;
        run_end(st, ENDING_PARENT);

    } else if (rc == 1 && msg.type == CONTROL_END) {
        run_end(st, msg.ending < ENDING_COUNT ? (ending_t) msg.ending
                                              : ENDING_DRAINED);
    }
}
