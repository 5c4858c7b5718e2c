/*
 * store/server.c: see server.h. A connection is one request: read, answer,
 * and what the peer still sends is thrown away until it has gone, since
 * closing before that could take our answer from it (unix(7): unread data
 * makes the peer's next read fail).
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api.h"
#include "bucket.h"
#include "server.h"


#define SERVER_MAX_CONNS  64
#define SERVER_FIRST      4096       /* bytes a connection begins with */
#define SERVER_CONN_MS    5000       /* for each of its stages */
#define SERVER_STOP_MS    10000

typedef enum {
    CONN_FREE = 0,
    CONN_READ,
    CONN_WRITE,
    CONN_LINGER
} conn_stage_t;

typedef struct {
    conn_stage_t   stage;
    int            fd;
    int64_t        until_ms;
    char          *buf;              /* the request, then the answer */
    size_t         size;
    size_t         len;
    size_t         sent;
} conn_t;

typedef struct {
    store_t            *store;
    server_signals_t   *flags;
    int                 listener;    /* -1: no more are taken */
    int64_t             stop_ms;     /* by then all must have ended */
    conn_t              conns[SERVER_MAX_CONNS];
    unsigned            nfds;
    struct pollfd       fds[2 + SERVER_MAX_CONNS + 2 * CONF_MAX_CAPTURES];
} server_t;


static int server_stale(const struct sockaddr_un *sun, char *err);
static int server_turn(server_t *v);
static void server_watch(server_t *v, int fd, short events);
static unsigned server_gather(server_t *v);
static int server_timeout(const server_t *v);
static short server_events(const server_t *v, int fd);
static void server_stop(server_t *v);
static void server_accept(server_t *v);
static int server_peer(const server_t *v, int fd);
static void conn_serve(server_t *v, conn_t *c, short events);
static void conn_read(server_t *v, conn_t *c);
static int conn_grow(conn_t *c);
static void conn_answer(conn_t *c, char *answer, size_t len);
static void conn_write(conn_t *c);
static void conn_linger(conn_t *c);
static void conn_close(conn_t *c);


int
server_listen(const conf_t *conf, char *err)
{
    int                 fd;
    struct sockaddr_un  sun;

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", conf->listen);

    if (server_stale(&sun, err) != 0) {
        return -1;
    }

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    /* made under our umask, for us alone, and only then for others */

    if (fd == -1 || bind(fd, (struct sockaddr *) &sun, sizeof(sun)) != 0
        || chmod(conf->listen, conf->mode) != 0
        || listen(fd, SERVER_MAX_CONNS) != 0)
    {
        snprintf(err, STORE_ERR_LEN, "listen: %s: %s", conf->listen,
                 strerror(errno));

        if (fd != -1) {
            close(fd);
        }

        return -1;
    }

    return fd;
}


/* Only a socket goes, and only if nobody is behind it. */

static int
server_stale(const struct sockaddr_un *sun, char *err)
{
    int          fd, rc;
    struct stat  st;

    if (lstat(sun->sun_path, &st) != 0 && errno == ENOENT) {
        return 0;
    }

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    rc = connect(fd, (const struct sockaddr *) sun, sizeof(*sun));
    rc = rc == 0 ? 0 : errno;

    if (fd != -1) {
        close(fd);
    }

    if (rc == ECONNREFUSED && S_ISSOCK(st.st_mode)
        && unlink(sun->sun_path) == 0)
    {
        return 0;
    }

    snprintf(err, STORE_ERR_LEN, "listen: %s: %s", sun->sun_path,
             rc == 0 || rc == EAGAIN ? "somebody else answers there"
             : rc == ECONNREFUSED ? "cannot be replaced" : strerror(rc));

    return -1;
}


int
server_run(store_t *s, int listener, server_signals_t *flags)
{
    int        rc;
    unsigned   i;
    server_t  *v;

    v = calloc(1, sizeof(*v));
    if (v == NULL) {
        close(listener);
        return 1;
    }

    v->store = s;
    v->flags = flags;
    v->listener = listener;

    do {
        rc = server_turn(v);
    } while (rc == 0 && !(s->stopping && job_count(s, NULL) == 0
                          && upload_count(s) == 0)
             && !(s->stopping && store_ms() >= v->stop_ms));

    job_signal(s, SIGKILL);

    for (i = 0; i < SERVER_MAX_CONNS; i++) {
        conn_close(&v->conns[i]);
    }

    if (v->listener != -1) {
        close(v->listener);
    }

    free(v);

    return rc == 0 ? 0 : 1;
}


static int
server_turn(server_t *v)
{
    int              i, n, timeout;
    unsigned         conns;
    sigset_t         none;
    struct timespec  ts;

    conns = server_gather(v);
    timeout = server_timeout(v);
    ts.tv_sec = timeout / 1000;
    ts.tv_nsec = (timeout % 1000) * 1000000L;
    sigemptyset(&none);

    n = ppoll(v->fds, v->nfds, &ts, &none);

    if (n == -1 && errno != EINTR) {
        log_error(v->store->log, "ppoll: %s", strerror(errno));
        return -1;
    }

    if (n == -1) {
        v->nfds = 0;
    }

    for (i = 0; i < SERVER_MAX_CONNS && conns; i++) {
        conn_serve(v, &v->conns[i], server_events(v, v->conns[i].fd));
    }

    for (i = 0; i < (int) v->store->njobs; i++) {
        if (v->store->jobs[i].kind != JOB_FREE) {
            job_listen(v->store, &v->store->jobs[i]);
        }
    }

    upload_listen(v->store);
    sweep_listen(v->store);

    if (v->flags->child) {
        v->flags->child = 0;
        job_reap(v->store);
        upload_reap(v->store);
        sweep_reap(v->store);
        bucket_reap(v->store);
    }

    store_tick(v->store);

    if (v->flags->stop && !v->store->stopping) {
        server_stop(v);
    }

    if (v->listener != -1) {
        server_accept(v);
    }

    return 0;
}


/* Fills the array of descriptors; how many of them are connections. */

static unsigned
server_gather(server_t *v)
{
    job_t     *job;
    unsigned   i, n;

    n = 0;
    v->nfds = 0;

    for (i = 0; i < SERVER_MAX_CONNS; i++) {
        if (v->conns[i].stage != CONN_FREE) {
            server_watch(v, v->conns[i].fd, v->conns[i].stage == CONN_WRITE
                                            ? POLLOUT : POLLIN);
            n++;
        }
    }

    /* if there is no place, it waits in the kernel */

    if (v->listener != -1 && n < SERVER_MAX_CONNS) {
        server_watch(v, v->listener, POLLIN);
    }

    for (i = 0; i < v->store->njobs; i++) {
        job = &v->store->jobs[i];

        if (job->kind != JOB_FREE && job->fd != -1) {
            server_watch(v, job->fd, POLLIN);
        }
    }

    for (i = 0; i < v->store->nuploads; i++) {
        if (v->store->uploads[i].fd != -1 && !v->store->uploads[i].held) {
            server_watch(v, v->store->uploads[i].fd, POLLIN);
        }
    }

    if (v->store->sweeper.fd != -1) {
        server_watch(v, v->store->sweeper.fd, POLLIN);
    }

    return n;
}


static void
server_watch(server_t *v, int fd, short events)
{
    if (v->nfds < sizeof(v->fds) / sizeof(v->fds[0])) {
        v->fds[v->nfds].fd = fd;
        v->fds[v->nfds].events = events;
        v->fds[v->nfds].revents = 0;
        v->nfds++;
    }
}


static int
server_timeout(const server_t *v)
{
    int       i;
    int64_t   now, left, timeout;

    now = store_ms();
    timeout = store_timeout(v->store);

    for (i = 0; i < SERVER_MAX_CONNS; i++) {
        if (v->conns[i].stage != CONN_FREE) {
            left = v->conns[i].until_ms - now;
            timeout = left < timeout ? left : timeout;
        }
    }

    if (v->store->stopping && v->stop_ms - now < timeout) {
        timeout = v->stop_ms - now;
    }

    return timeout < 0 ? 0 : (int) timeout;
}


static short
server_events(const server_t *v, int fd)
{
    unsigned  i;

    for (i = 0; i < v->nfds; i++) {
        if (v->fds[i].fd == fd) {
            return v->fds[i].revents;
        }
    }

    return 0;
}


/* No new ones; those that run end their files. */

static void
server_stop(server_t *v)
{
    log_info(v->store->log, "stopping: %u captures end",
             job_count(v->store, NULL));

    v->store->stopping = 1;
    v->stop_ms = store_ms() + SERVER_STOP_MS;
    unlink(v->store->conf->listen);
    close(v->listener);
    v->listener = -1;
    job_signal(v->store, SIGTERM);
    upload_hurry(v->store);
}


static void
server_accept(server_t *v)
{
    int       fd, i;
    conn_t   *c;

    for (i = 0; i < SERVER_MAX_CONNS; i++) {
        c = &v->conns[i];

        if (c->stage != CONN_FREE) {
            continue;
        }

        fd = accept4(v->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd == -1) {
            return;
        }

        if (!server_peer(v, fd)) {
            close(fd);
            continue;
        }

        c->stage = CONN_READ;
        c->fd = fd;
        c->until_ms = store_ms() + SERVER_CONN_MS;
    }
}


/* Who is it? The mode of the socket is the first answer, this the second. */

static int
server_peer(const server_t *v, int fd)
{
    socklen_t     len;
    struct ucred  cred;

    len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
        return 0;
    }

    if (cred.uid == 0 || cred.uid == v->store->conf->peer_uid) {
        return 1;
    }

    log_warn(v->store->log, "user %u may not connect (peer_user)",
             (unsigned) cred.uid);

    return 0;
}


static void
conn_serve(server_t *v, conn_t *c, short events)
{
    if (c->stage == CONN_FREE) {
        return;
    }

    if (events) {
        switch (c->stage) {
        case CONN_READ:
            conn_read(v, c);
            break;
        case CONN_WRITE:
            conn_write(c);
            break;
        default:
            conn_linger(c);
        }
    }

    if (c->stage != CONN_FREE && store_ms() >= c->until_ms) {

        if (c->stage == CONN_READ) {
            log_warn(v->store->log, "a request did not come within %d s",
                     SERVER_CONN_MS / 1000);
        }

        conn_close(c);
    }
}


static void
conn_read(server_t *v, conn_t *c)
{
    int       rc;
    char     *answer;
    size_t    len;
    scgi_t    req;
    ssize_t   n;

    if (c->len == c->size && conn_grow(c) != 0) {
        conn_close(c);
        return;
    }

    n = recv(c->fd, c->buf + c->len, c->size - c->len, 0);

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            conn_close(c);
        }

        return;
    }

    c->len += (size_t) n;
    rc = scgi_parse(&req, c->buf, c->len);

    if (rc == 0) {
        return;
    }

    len = 0;

    if (rc == 1) {
        answer = api_answer(v->store, &req, &len);

    } else {
        log_warn(v->store->log, "no request: %s", req.err);
        answer = api_refusal(req.status, req.err, &len);
    }

    conn_answer(c, answer, len);
}


/* There is never more than a request, and one byte that shows there is. */

static int
conn_grow(conn_t *c)
{
    char    *buf;
    size_t   size;

    size = c->size ? 4 * c->size : SERVER_FIRST;
    size = size < SCGI_MAX + 1 ? size : SCGI_MAX + 1;
    buf = c->len < size ? malloc(size) : NULL;

    if (buf == NULL) {
        return -1;
    }

    /* no realloc(): a grant may be in what it would leave behind */

    if (c->buf != NULL) {
        memcpy(buf, c->buf, c->len);
        explicit_bzero(c->buf, c->size);
        free(c->buf);
    }

    c->buf = buf;
    c->size = size;

    return 0;
}


static void
conn_answer(conn_t *c, char *answer, size_t len)
{
    if (answer == NULL) {
        conn_close(c);
        return;
    }

    explicit_bzero(c->buf, c->size);
    free(c->buf);

    c->buf = answer;
    c->size = len;
    c->len = len;
    c->sent = 0;
    c->stage = CONN_WRITE;
    c->until_ms = store_ms() + SERVER_CONN_MS;

    conn_write(c);
}


static void
conn_write(conn_t *c)
{
    ssize_t  n;

    while (c->sent < c->len) {
        n = send(c->fd, c->buf + c->sent, c->len - c->sent, MSG_NOSIGNAL);

        if (n == -1) {
            if (errno != EAGAIN && errno != EINTR) {
                conn_close(c);
            }

            return;
        }

        c->sent += (size_t) n;
    }

    (void) shutdown(c->fd, SHUT_WR);
    c->stage = CONN_LINGER;
    conn_linger(c);
}


static void
conn_linger(conn_t *c)
{
    char     ignored[4096];
    ssize_t  n;

    n = recv(c->fd, ignored, sizeof(ignored), 0);

    if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
        conn_close(c);
    }
}


static void
conn_close(conn_t *c)
{
    if (c->stage == CONN_FREE) {
        return;
    }

    if (c->buf != NULL) {
        explicit_bzero(c->buf, c->size);
        free(c->buf);
    }

    close(c->fd);
    memset(c, 0, sizeof(*c));
}
