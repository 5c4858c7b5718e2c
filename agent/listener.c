/*
 * agent/listener.c: see listener.h. One row of a fixed table for each child.
 * A child is unknown until it asks over its control socket, which it does
 * only with a verified certificate and a parsed request in hand; unknown
 * ones are limited in number, per address and in time; who comes meanwhile
 * waits a moment, without a process. Rows beyond those for captures and
 * unknown ones stay for the status.
 */

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "control.h"
#include "listener_int.h"
#include "net.h"
#include "policy.h"
#include "privs.h"
#include "sandbox.h"


#define LISTENER_BACKLOG       128

/* A child ends itself after 10 s; one that does not is killed. */
#define LISTENER_UNKNOWN_NS    (UINT64_C(20) * 1000000000)
#define LISTENER_TICK_MS       1000
#define LISTENER_TICK_NS       (UINT64_C(1) * 1000000000)

/* What a capture's end gives back of max_bandwidth_total: time to see
 * whether it was enough. */
#define LISTENER_RELIEF_S      3


static int listener_start(listener_t *l);
static int listener_bind(listener_t *l);
static int listener_loop(listener_t *l);
static void listener_signals(listener_t *l);
static void listener_reload(listener_t *l);
static void listener_drain(listener_t *l);
static void listener_tell(listener_t *l, child_t *ch, ending_t ending);
static void listener_tell_all(listener_t *l, ending_t ending);
static void listener_tick(listener_t *l);
static void listener_total(listener_t *l, uint64_t now);
static void listener_end(listener_t *l);
static void listener_reap(listener_t *l);
static void listener_ended(listener_t *l, child_t *ch, int status,
    const struct rusage *usage);
static void listener_kill(const child_t *ch);
static void listener_overdue(listener_t *l);
static void listener_wait(listener_t *l);
static void listener_answer(listener_t *l, child_t *ch);
static void listener_decide(listener_t *l, child_t *ch, control_msg_t *msg);
static unsigned listener_count(const listener_t *l, child_state_t state);


int
listener_run(const conf_t *conf, const log_t *log,
    listener_signals_t *signals)
{
    int         rc;
    listener_t  l;

    memset(&l, 0, sizeof(l));
    l.conf = conf;
    l.log = log;
    l.signals = signals;
    l.fd = -1;

    rc = listener_start(&l);

    if (rc == 0) {
        rc = listener_loop(&l);

    } else {
        rc = 1;
    }

    if (l.fd != -1) {
        close(l.fd);
    }

    SSL_CTX_free(l.ctx);
    stats_free(&l.stats);
    free(l.children);
    free(l.pfds);

    return rc;
}


static int
listener_start(listener_t *l)
{
    char      err[CONF_ERR_LEN], text[NET_ENDPOINT_TEXT];
    size_t    i;
    sigset_t  block;

    /* Signals come in while waiting only: a flag is never seen too late. */

    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGHUP);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &l->wait_mask);

    sigdelset(&l->wait_mask, SIGTERM);
    sigdelset(&l->wait_mask, SIGINT);
    sigdelset(&l->wait_mask, SIGHUP);
    sigdelset(&l->wait_mask, SIGCHLD);

    l->nchildren = (size_t) (l->conf->max_captures
                             + l->conf->max_unauthenticated
                             + LISTENER_STATUS_ROWS
                             + (l->conf->files_folder
                                ? LISTENER_FILES_ROWS : 0));
    l->children = calloc(l->nchildren, sizeof(child_t));
    l->pfds = calloc(l->nchildren + 1, sizeof(struct pollfd));

    if (l->children == NULL || l->pfds == NULL
        || stats_init(&l->stats, l->nchildren) != 0)
    {
        log_error(l->log, "out of memory");
        return -1;
    }

    for (i = 0; i < l->nchildren; i++) {
        l->children[i].control = -1;
    }

    l->tick_ns = net_monotonic();
    limits_bucket(&l->total, l->conf->max_bandwidth_total, l->tick_ns);

    l->ctx = tls_context(l->conf, err);

    if (l->ctx == NULL) {
        log_error(l->log, "%s", err);
        return -1;
    }

    if (!sandbox_possible()) {
        log_error(l->log, "this kernel has no seccomp filters, and without "
                  "a sandbox the agent does not start");
        return -1;
    }

    if (listener_bind(l) != 0
        || privs_start(l->log, l->conf) != 0)
    {
        return -1;
    }

    log_info(l->log, "listening on %s",
             net_endpoint_text(&l->conf->endpoint, text));
    check_tell(l->conf, l->log);

    return 0;
}


static int
listener_bind(listener_t *l)
{
    int                       on;
    socklen_t                 len;
    struct sockaddr_storage   ss;

    on = 1;
    len = net_sockaddr(&l->conf->endpoint, &ss);

    l->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                   0);

    if (l->fd == -1
        || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0
        || bind(l->fd, (struct sockaddr *) &ss, len) != 0
        || listen(l->fd, LISTENER_BACKLOG) != 0)
    {
        log_error(l->log, "listen %s: %s", l->conf->listen, strerror(errno));
        return -1;
    }

    return 0;
}


/* Returns the exit status, of a child as well. */

static int
listener_loop(listener_t *l)
{
    int  rc;

    for ( ;; ) {
        listener_signals(l);
        listener_reap(l);
        listener_overdue(l);
        listener_tick(l);

        if (l->drain_until && listener_count(l, CHILD_CAPTURE) == 0
            && listener_count(l, CHILD_FILES) == 0)
        {
            listener_end(l);
            return 0;
        }

        listener_wait(l);
        rc = listener_admit_waiting(l);

        if (rc == -1 && l->pfds[0].revents) {
            rc = listener_accept(l);
        }

        if (rc >= 0) {
            return rc;
        }
    }
}


static void
listener_signals(listener_t *l)
{
    if (l->signals->reload) {
        l->signals->reload = 0;
        listener_reload(l);
    }

    if (l->signals->stop && l->drain_until == 0) {
        listener_drain(l);
    }
}


/* Running captures keep what they began with. */

static void
listener_reload(listener_t *l)
{
    char      err[CONF_ERR_LEN];
    SSL_CTX  *ctx;

    ctx = tls_context(l->conf, err);

    if (ctx == NULL) {
        log_error(l->log, "reload: %s; the old certificates stay", err);
        return;
    }

    SSL_CTX_free(l->ctx);
    l->ctx = ctx;
    log_info(l->log, "certificates reloaded");
}


/* Captures end well; new requests are told so until the last has ended. */

static void
listener_drain(listener_t *l)
{
    log_info(l->log, "draining %u captures", listener_count(l,
                                                            CHILD_CAPTURE));
    l->drain_until = net_monotonic() + l->conf->drain_timeout * 1000000;
    listener_tell_all(l, ENDING_DRAINED);
}


static void
listener_tell_all(listener_t *l, ending_t ending)
{
    size_t  i;

    for (i = 0; i < l->nchildren; i++) {
        if (l->children[i].state >= CHILD_CAPTURE) {
            listener_tell(l, &l->children[i], ending);
        }
    }
}


static void
listener_tell(listener_t *l, child_t *ch, ending_t ending)
{
    control_msg_t  msg;

    /* Once; that captures are switched off hastens what ends already. */

    if (ch->told && (ending != ENDING_OFF || ch->told == ENDING_OFF)) {
        return;
    }

    /* Whoever cannot hear it is killed all the same when its time is over. */

    if (ch->told_ns == 0) {
        ch->told_ns = net_monotonic();
    }

    if (ch->control == -1) {
        return;
    }

    memset(&msg, 0, sizeof(msg));
    msg.type = CONTROL_END;
    msg.ending = ending;

    if (control_send(ch->control, &msg) != 0) {
        log_warn(l->log, "process %d cannot be told to end: %s",
                 (int) ch->pid, strerror(errno));
        return;
    }

    ch->told = ending;
}


/* Once a second: is the switch off, and do all together send too much? */

static void
listener_tick(listener_t *l)
{
    int       off;
    uint64_t  now;

    now = net_monotonic();

    if (now - l->tick_ns < LISTENER_TICK_NS) {
        return;
    }

    l->tick_ns = now;
    off = policy_off(l->conf);

    if (off != l->off) {
        l->off = off;
        log_warn(l->log, "off_file: captures are %s",
                 off == POLICY_UNSEEN ? "switched off: it cannot be looked for"
                 : off ? "switched off" : "possible again");
    }

    if (off) {
        listener_tell_all(l, ENDING_OFF);
    }

    listener_total(l, now);
}


/* The one that sent most since the last look is the first to end. */

static void
listener_total(listener_t *l, uint64_t now)
{
    size_t     i;
    child_t   *ch, *greedy;
    uint64_t   bytes, delta, sum, most;

    greedy = NULL;
    most = 0;
    sum = 0;

    for (i = 0; i < l->nchildren; i++) {
        ch = &l->children[i];

        if (ch->state != CHILD_CAPTURE) {
            continue;
        }

        bytes = stats_bytes(&l->stats, i);
        delta = bytes - ch->bytes;
        ch->bytes = bytes;
        sum += delta;

        if (delta > most && ch->told_ns == 0) {
            most = delta;
            greedy = ch;
        }
    }

    if (limits_take(&l->total, sum, now) && greedy) {
        log_warn(l->log, "LIMIT_REACHED max_bandwidth_total: process %d sent "
                 "most", (int) greedy->pid);
        listener_tell(l, greedy, ENDING_BANDWIDTH_TOTAL);
        l->total.tokens = (int64_t) (l->total.rate * LISTENER_RELIEF_S);
    }
}


/* Whoever has not asked yet would ask in vain. */

static void
listener_end(listener_t *l)
{
    size_t  i;

    for (i = 0; i < l->nchildren; i++) {
        if (l->children[i].state != CHILD_NONE) {
            listener_kill(&l->children[i]);
        }
    }

    log_info(l->log, "drained");
}


/* With all that it has forked: they are a group of processes. */

static void
listener_kill(const child_t *ch)
{
    (void) kill(-ch->pid, SIGKILL);
    (void) kill(ch->pid, SIGKILL);
}


static void
listener_reap(listener_t *l)
{
    int             status;
    pid_t           pid;
    size_t          i;
    siginfo_t       info;
    struct rusage   usage;

    if (!l->signals->child) {
        return;
    }

    l->signals->child = 0;

    for ( ;; ) {
        memset(&info, 0, sizeof(info));

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0
            || info.si_pid == 0)
        {
            return;
        }

        /* While it is not reaped its number is nobody else's. */

        (void) kill(-info.si_pid, SIGKILL);
        pid = wait4(info.si_pid, &status, WNOHANG, &usage);

        for (i = 0; i < l->nchildren; i++) {
            if (l->children[i].state != CHILD_NONE
                && l->children[i].pid == pid)
            {
                listener_ended(l, &l->children[i], status, &usage);
            }
        }
    }
}


static void
listener_ended(listener_t *l, child_t *ch, int status,
    const struct rusage *usage)
{
    if (WIFSIGNALED(status)) {
        log_error(l->log, "process %d was ended by signal %d%s",
                  (int) ch->pid, WTERMSIG(status),
                  WTERMSIG(status) == SIGSYS
                  ? ": its sandbox does not allow what it did" : "");
    }

    stats_end(&l->stats, (size_t) (ch - l->children),
              ch->state == CHILD_CAPTURE, status, usage);

    if (ch->control != -1) {
        close(ch->control);
    }

    memset(ch, 0, sizeof(*ch));
    ch->control = -1;
}


static void
listener_overdue(listener_t *l)
{
    int        drained;
    size_t     i;
    child_t   *ch;
    uint64_t   now, drain_ns;

    now = net_monotonic();
    drain_ns = l->conf->drain_timeout * 1000000;
    drained = l->drain_until == 0 || now <= l->drain_until;

    for (i = 0; i < l->nchildren; i++) {
        ch = &l->children[i];

        if ((ch->state == CHILD_UNKNOWN || ch->state == CHILD_STATUS)
            && now - ch->started_ns > LISTENER_UNKNOWN_NS)
        {
            log_warn(l->log, "process %d is overdue: killed", (int) ch->pid);
            ch->started_ns = now;
            listener_kill(ch);
        }

        if (ch->state >= CHILD_CAPTURE
            && (!drained || (ch->told_ns && now - ch->told_ns > drain_ns)))
        {
            log_warn(l->log, "%s of process %d does not drain: killed",
                     ch->state == CHILD_FILES ? "request for files"
                                              : "capture", (int) ch->pid);
            ch->told_ns = now;
            listener_kill(ch);
        }
    }

    if (!drained) {
        l->drain_until = now + drain_ns;
    }

    if (l->refused && now - l->refused_ns > UINT64_C(1000000000)) {
        log_warn(l->log, "%llu connections closed: too many without a "
                 "finished handshake and request",
                 (unsigned long long) l->refused);
        l->refused = 0;
        l->refused_ns = now;
    }
}


static void
listener_wait(listener_t *l)
{
    size_t            i;
    struct timespec   ts;

    l->pfds[0].fd = l->fd;
    l->pfds[0].events = POLLIN;

    for (i = 0; i < l->nchildren; i++) {
        l->pfds[i + 1].fd = l->children[i].control;
        l->pfds[i + 1].events = POLLIN;
        l->pfds[i + 1].revents = 0;
    }

    ts.tv_sec = LISTENER_TICK_MS / 1000;
    ts.tv_nsec = LISTENER_TICK_MS % 1000 * 1000000L;

    if (ppoll(l->pfds, l->nchildren + 1, &ts, &l->wait_mask) <= 0) {
        l->pfds[0].revents = 0;
        return;
    }

    for (i = 0; i < l->nchildren; i++) {
        if (l->pfds[i + 1].revents) {
            listener_answer(l, &l->children[i]);
        }
    }
}


static void
listener_answer(listener_t *l, child_t *ch)
{
    int            rc;
    control_msg_t  msg;

    rc = control_recv(ch->control, &msg);

    if (rc == 0) {
        return;
    }

    if (rc < 0) {

        /* It is ending; its row is freed when it is reaped. */

        close(ch->control);
        ch->control = -1;
        return;
    }

    if (ch->state != CHILD_UNKNOWN
        || (msg.type != CONTROL_ASK_STATUS && msg.type != CONTROL_ASK_CAPTURE
            && msg.type != CONTROL_ASK_FILES))
    {
        /* A child asks once, and nothing else. */

        log_error(l->log, "process %d broke the protocol: killed",
                  (int) ch->pid);
        listener_kill(ch);
        return;
    }

    listener_decide(l, ch, &msg);
    (void) control_send(ch->control, &msg);
}


static void
listener_decide(listener_t *l, child_t *ch, control_msg_t *msg)
{
    size_t    i;
    uint64_t  rings;

    for (i = 0, rings = 0; i < l->nchildren; i++) {
        rings += l->children[i].ring_bytes;
    }

    msg->captures_running = listener_count(l, CHILD_CAPTURE);
    msg->captures_max = (uint32_t) l->conf->max_captures;
    msg->files_running = listener_count(l, CHILD_FILES);
    msg->files_max = LISTENER_FILES_ROWS;
    l->off = policy_off(l->conf);

    stats_now(&l->stats, &msg->totals);
    msg->totals.running = msg->captures_running;
    msg->totals.max_captures = msg->captures_max;
    msg->totals.draining = l->drain_until != 0;
    msg->totals.off = l->off || !l->conf->enabled;
    msg->totals.files_running = msg->files_running;

    msg->verdict = CONTROL_GRANTED;

    if (l->drain_until) {
        msg->verdict = CONTROL_DRAINING;

    } else if (msg->type == CONTROL_ASK_FILES) {
        msg->verdict = l->off ? CONTROL_OFF
                       : msg->files_running >= msg->files_max
                         ? CONTROL_FULL : CONTROL_GRANTED;

    } else if (msg->type == CONTROL_ASK_CAPTURE) {

        if (l->off) {
            msg->verdict = CONTROL_OFF;

        } else if (msg->captures_running >= msg->captures_max) {
            msg->verdict = CONTROL_FULL;

        } else if (msg->ring_bytes > l->conf->buffer_bytes_total
                   || rings > l->conf->buffer_bytes_total - msg->ring_bytes)
        {
            msg->verdict = CONTROL_NO_MEMORY;
        }
    }

    /* Refused ones only have to send their answer, like a status. */

    ch->state = CHILD_STATUS;

    if (msg->type == CONTROL_ASK_CAPTURE && msg->verdict == CONTROL_GRANTED) {
        ch->state = CHILD_CAPTURE;
        ch->ring_bytes = msg->ring_bytes;
    }

    if (msg->type == CONTROL_ASK_FILES && msg->verdict == CONTROL_GRANTED) {
        ch->state = CHILD_FILES;
        l->stats.totals.files_served++;
    }

    msg->type = CONTROL_ANSWER;
}


static unsigned
listener_count(const listener_t *l, child_state_t state)
{
    size_t    i;
    unsigned  n;

    for (i = 0, n = 0; i < l->nchildren; i++) {
        n += l->children[i].state == state;
    }

    return n;
}
