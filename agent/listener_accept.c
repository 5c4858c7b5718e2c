/*
 * agent/listener_accept.c: from a new connection to the process that serves
 * it: is there a row for it, perhaps in a moment, and then a fork.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "listener_int.h"
#include "net.h"
#include "session.h"


static child_t *listener_admit(listener_t *l, const endpoint_t *peer);
static int listener_wait_for_row(listener_t *l, int fd,
    const endpoint_t *peer);
static int listener_unwait(listener_t *l, size_t i);
static int listener_same_net(const endpoint_t *a, const endpoint_t *b);
static int listener_fork(listener_t *l, child_t *ch, int fd,
    const endpoint_t *peer);
static int listener_child(listener_t *l, size_t row, int fd, int control,
    const endpoint_t *peer);


int
listener_accept(listener_t *l)
{
    int                       fd;
    child_t                  *ch;
    socklen_t                 len;
    endpoint_t                peer;
    struct sockaddr_storage   ss;

    len = sizeof(ss);
    fd = accept4(l->fd, (struct sockaddr *) &ss, &len, SOCK_CLOEXEC);

    if (fd == -1) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {

            /* Out of descriptors or memory: do not spin on it. */

            log_error(l->log, "accept: %s", strerror(errno));
            (void) poll(NULL, 0, 100);
        }

        return -1;
    }

    if (net_endpoint((struct sockaddr *) &ss, &peer) != 0) {
        close(fd);
        return -1;
    }

    ch = listener_admit(l, &peer);

    if (ch == NULL) {
        return listener_wait_for_row(l, fd, &peer);
    }

    return listener_fork(l, ch, fd, &peer);
}


int
listener_admit_waiting(listener_t *l)
{
    int          fd, rc;
    size_t       i;
    child_t     *ch;
    uint64_t     now;
    endpoint_t   peer;

    now = net_monotonic();

    for (i = 0; i < l->nwaiting; ) {
        peer = l->waiting[i].peer;
        ch = listener_admit(l, &peer);

        if (ch == NULL && now - l->waiting[i].since_ns < LISTENER_WAITING_NS)
        {
            i++;
            continue;
        }

        fd = listener_unwait(l, i);

        if (ch == NULL) {
            l->refused++;
            l->stats.totals.turned_away++;
            close(fd);
            continue;
        }

        rc = listener_fork(l, ch, fd, &peer);

        if (rc >= 0) {
            return rc;
        }
    }

    return -1;
}


/* One that waits no longer; its descriptor is the caller's. */

static int
listener_unwait(listener_t *l, size_t i)
{
    int  fd;

    fd = l->waiting[i].fd;
    l->nwaiting--;
    memmove(&l->waiting[i], &l->waiting[i + 1],
            (l->nwaiting - i) * sizeof(waiting_t));

    return fd;
}


/* One address does not take all places to wait from the others. */

static int
listener_wait_for_row(listener_t *l, int fd, const endpoint_t *peer)
{
    size_t      i, same;
    waiting_t  *w;

    for (i = 0, same = 0; i < l->nwaiting; i++) {
        same += (size_t) listener_same_net(&l->waiting[i].peer, peer);
    }

    if (l->nwaiting == LISTENER_WAITING || same >= LISTENER_WAITING_OF_ONE) {
        l->refused++;
        l->stats.totals.turned_away++;
        close(fd);
        return -1;
    }

    w = &l->waiting[l->nwaiting++];
    w->fd = fd;
    w->since_ns = net_monotonic();
    w->peer = *peer;

    return -1;
}


/* A free row, or NULL when a limit is reached. */

static child_t *
listener_admit(listener_t *l, const endpoint_t *peer)
{
    size_t    i;
    child_t  *ch, *row;
    uint64_t  all, same, status;

    row = NULL;
    all = 0;
    status = 0;
    same = 0;

    for (i = 0; i < l->nchildren; i++) {
        ch = &l->children[i];

        if (ch->state == CHILD_NONE) {
            row = ch;

        } else if (ch->state == CHILD_UNKNOWN) {
            all++;
            same += (uint64_t) listener_same_net(&ch->peer, peer);

        } else if (ch->state == CHILD_STATUS) {
            status++;
        }
    }

    /* Whoever may read the status alone does not take captures' rows. */

    if (all >= l->conf->max_unauthenticated
        || all + status >= l->conf->max_unauthenticated + LISTENER_STATUS_ROWS
        || same >= l->conf->max_unauthenticated_per_address)
    {
        return NULL;
    }

    return row;
}


/* An IPv6 host has a whole /64 to call from. */

static int
listener_same_net(const endpoint_t *a, const endpoint_t *b)
{
    return a->addr_len == b->addr_len
           && memcmp(a->addr, b->addr, a->addr_len == 4 ? 4 : 8) == 0;
}


/* Takes over fd. Returns -1 in the parent, the exit status in the child. */

static int
listener_fork(listener_t *l, child_t *ch, int fd, const endpoint_t *peer)
{
    int     pair[2];
    pid_t   pid;
    size_t  row;

    row = (size_t) (ch - l->children);

    if (control_pair(pair) != 0) {
        log_error(l->log, "socketpair: %s", strerror(errno));
        close(fd);
        return -1;
    }

    stats_begin(&l->stats, row);
    pid = fork();

    if (pid == 0) {
        (void) setpgid(0, 0);
        close(pair[0]);
        return listener_child(l, row, fd, pair[1], peer);
    }

    close(pair[1]);
    close(fd);

    if (pid == -1) {
        log_error(l->log, "fork: %s", strerror(errno));
        close(pair[0]);
        return -1;
    }

    /* Whoever comes first; it cannot do so itself once it is confined. */

    (void) setpgid(pid, pid);

    memset(ch, 0, sizeof(*ch));
    ch->state = CHILD_UNKNOWN;
    ch->pid = pid;
    ch->control = pair[0];
    ch->started_ns = net_monotonic();
    ch->peer = *peer;

    return -1;
}


static int
listener_child(listener_t *l, size_t row, int fd, int control,
    const endpoint_t *peer)
{
    char        text[NET_ENDPOINT_TEXT];
    size_t      i;
    session_t   s;

    /* Nothing of the other connections stays open here. */

    for (i = 0; i < l->nchildren; i++) {
        if (l->children[i].control != -1) {
            close(l->children[i].control);
        }
    }

    for (i = 0; i < l->nwaiting; i++) {
        close(l->waiting[i].fd);
    }

    close(l->fd);
    l->fd = -1;

    memset(&s, 0, sizeof(s));
    s.conf = l->conf;
    s.ctx = l->ctx;
    s.log = *l->log;
    s.stats = stats_child(&l->stats, row);
    s.fd = fd;
    s.control = control;
    s.stop = &l->signals->stop;
    s.wait_mask = &l->wait_mask;

    net_addr_text(peer, text);
    snprintf(s.log.tag, sizeof(s.log.tag), "%.39s", text);

    if (s.stats == NULL) {
        log_error(&s.log, "munmap: %s", strerror(errno));
        return 1;
    }

    return session_run(&s);
}
