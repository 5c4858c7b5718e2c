/*
 * agent/session.c: see session.h. Up to the parent's leave everything here
 * is done without an effective capability, under the list SANDBOX_REQUEST;
 * once the capture stands behind its filter, under SANDBOX_CAPTURE and
 * without any capability at all.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "capture.h"
#include "control.h"
#include "policy.h"
#include "privs.h"
#include "reply.h"
#include "request.h"
#include "run.h"
#include "sandbox.h"
#include "serve.h"
#include "session.h"
#include "tls.h"


/* Handshake and request together. */
#define SESSION_REQUEST_NS   (UINT64_C(10) * 1000000000)
#define SESSION_LINGER_NS    (UINT64_C(1) * 1000000000)
#define SESSION_PARENT_MS    5000

#define SESSION_CONTROL      (SANDBOX_CONNECTION + 1)

/*
 * Unsent bytes that the kernel takes: more only delays back-pressure, and
 * the ring is the better place to wait.
 */
#define SESSION_LOWAT        (512 * 1024)

#define SESSION_MEMORY       (128u << 20)

/* Longer than the API's patience with a client (60 s by default). */
#define SESSION_USER_TIMEOUT_MS  180000


static int session_fds(session_t *s);
static int session_confine(session_t *s);
static int session_socket(session_t *s);
static int session_serve(session_t *s, tls_t *tls);
static int session_receive(session_t *s, tls_t *tls, request_t *req,
    problem_t *why, uint64_t deadline);
static int session_status(session_t *s, tls_t *tls, const request_t *req);
static int session_capture(session_t *s, tls_t *tls, request_t *req,
    problem_t *why);
static int session_files(session_t *s, tls_t *tls, request_t *req,
    problem_t *why);
static int session_serve_files(session_t *s, tls_t *tls,
    const request_t *req, problem_t *why);
static int session_files_leave(session_t *s, problem_t *why);
static void session_announce(const session_t *s, const tls_t *tls,
    const request_t *req, const capture_t *c);
static int session_allowed(const tls_t *tls, problem_t *why);
static int session_interface(session_t *s, request_t *req, problem_t *why);
static int session_leave(session_t *s, const request_t *req, problem_t *why);
static void session_exclude(session_t *s, const request_t *req,
    filter_exclude_t *ex);
static int session_refuse(session_t *s, tls_t *tls, const problem_t *why,
    const container_t *ct);
static void session_count(session_t *s, const problem_t *why);
static size_t session_shown(const session_t *s,
    char (*names)[NET_IFNAME_LEN], size_t n);
static int session_local(const session_t *s, endpoint_t *ep);


int
session_run(session_t *s)
{
    int    rc;
    tls_t  tls;

    memset(&tls, 0, sizeof(tls));
    (void) prctl(PR_SET_NAME, "pcap-session", 0, 0, 0);

    rc = session_fds(s);

    if (rc == 0) {
        rc = session_confine(s);
    }

    if (rc == 0) {
        rc = session_socket(s);
    }

    if (rc == 0) {
        rc = session_serve(s, &tls);
    }

    tls_free(&tls);
    close(s->fd);
    close(s->control);

    return rc == 0 ? 0 : 1;
}


/*
 * The connection is where the lists know it, the parent behind it, and
 * nothing else that was open in the parent is open here.
 */

static int
session_fds(session_t *s)
{
    int  fd, control;

    /* Out of the way first: either may be where the other one goes. */

    fd = fcntl(s->fd, F_DUPFD_CLOEXEC, SESSION_CONTROL + 1);
    control = fcntl(s->control, F_DUPFD_CLOEXEC, SESSION_CONTROL + 1);

    if (fd == -1 || control == -1 || dup2(fd, SANDBOX_CONNECTION) == -1
        || dup2(control, SESSION_CONTROL) == -1)
    {
        log_error(&s->log, "dup2: %s", strerror(errno));
        return -1;
    }

    s->fd = SANDBOX_CONNECTION;
    s->control = SESSION_CONTROL;
    closefrom(SESSION_CONTROL + 1);

    return 0;
}


/*
 * The staging buffer is 4 MiB, TLS and a request need less than 1; the rest
 * is for the filter, whose child may not have more than we, or for files.
 * The children come first: nobody forks under a list.
 */

static int
session_confine(session_t *s)
{
    size_t           max;
    unsigned         fds;
    sandbox_scope_t  scope;

    max = SESSION_MEMORY + PCAPX_MAX_INTERFACES * s->conf->buffer_bytes;
    fds = s->conf->files_folder ? FILES_MAX_FDS : SANDBOX_MAX_FDS;
    scope = conf_enters(s->conf) ? SANDBOX_NETNS
            : s->conf->containers == CONF_CONTAINERS_VETH ? SANDBOX_CELL
            : SANDBOX_MACHINE;

    if (files_start(&s->files, s->conf) != 0
        || privs_session(s->conf) != 0
        || sandbox_limits(max, fds) != 0
        || filter_start(&s->checker) != 0
        || sandbox_enter(SANDBOX_REQUEST, scope) != 0)
    {
        log_error(&s->log, "sandbox: %s", strerror(errno));
        return -1;
    }

    return 0;
}


static int
session_socket(session_t *s)
{
    int  on, lowat, timeout;

    on = 1;
    lowat = SESSION_LOWAT;
    timeout = SESSION_USER_TIMEOUT_MS;

    if (fcntl(s->fd, F_SETFL, O_NONBLOCK) != 0
        || setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0
        || setsockopt(s->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) != 0
        || setsockopt(s->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat,
                      sizeof(lowat)) != 0
        || setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout,
                      sizeof(timeout)) != 0)
    {
        log_info(&s->log, "connection: %s", strerror(errno));
        return -1;
    }

    return 0;
}


static int
session_serve(session_t *s, tls_t *tls)
{
    int         rc;
    uint64_t    deadline;
    request_t  *req;
    problem_t   why;

    deadline = net_monotonic() + SESSION_REQUEST_NS;

    if (tls_accept(tls, s->ctx, s->fd, s->conf, deadline, &s->log) != 0) {
        stats_set(&s->stats->handshake_failed, 1);
        return -1;
    }

    req = calloc(1, sizeof(*req));
    if (req == NULL) {
        log_error(&s->log, "out of memory");
        return -1;
    }

    rc = session_receive(s, tls, req, &why, deadline);

    if (rc < 0) {
        rc = -1;

    } else if (rc > 0) {
        rc = session_refuse(s, tls, &why, NULL);

    } else if (req->kind >= REQUEST_FILES) {
        rc = session_files(s, tls, req, &why);

    } else if (req->kind != REQUEST_CAPTURE) {
        rc = session_status(s, tls, req);

    } else {
        files_stop(&s->files);
        rc = session_capture(s, tls, req, &why);
    }

    free(req);

    return rc;
}


/* Returns 0, 1 when *why is to be told, -1 when nobody is there to hear. */

static int
session_receive(session_t *s, tls_t *tls, request_t *req, problem_t *why,
    uint64_t deadline)
{
    int     n, head, rc;
    char   *buf;
    size_t  len;

    rc = -1;
    len = 0;

    buf = malloc(REQUEST_MAX_LEN + 1);
    if (buf == NULL) {
        log_error(&s->log, "out of memory");
        return -1;
    }

    for ( ;; ) {
        head = request_head(buf, len, why);

        if (head != 0) {
            rc = head < 0 || request_parse(buf, (size_t) head, req, why) != 0;
            break;
        }

        n = tls_read(tls, buf + len, REQUEST_MAX_LEN - len);

        if (n > 0) {
            len += (size_t) n;
            continue;
        }

        if (n != TLS_AGAIN) {
            log_info(&s->log, "the peer closed before its request");
            break;
        }

        if (tls_wait(tls, tls->want_read, deadline) != 0) {
            problem_set(why, 408, "the request took too long");
            rc = 1;
            break;
        }
    }

    free(buf);

    return rc;
}


static int
session_status(session_t *s, tls_t *tls, const request_t *req)
{
    int            rc;
    control_msg_t  msg;

    memset(&msg, 0, sizeof(msg));
    msg.type = CONTROL_ASK_STATUS;

    if (control_ask(s->control, &msg, SESSION_PARENT_MS) != 0) {
        return -1;
    }

    rc = req->kind == REQUEST_METRICS
         ? reply_metrics(tls, &msg)
         : reply_status(tls, &msg, s->conf);

    if (rc != 0) {
        return -1;
    }

    tls_finish(tls, net_monotonic() + SESSION_LINGER_NS);

    return 0;
}


static int
session_capture(session_t *s, tls_t *tls, request_t *req, problem_t *why)
{
    int                rc;
    run_t              run;
    capture_t         *c;
    container_t        ct;
    filter_exclude_t  *ex;

    container_init(&ct, s->conf, req, &s->log);
    c = calloc(1, sizeof(*c));
    ex = calloc(1, sizeof(*ex));

    if (c == NULL || ex == NULL) {
        problem_set(why, 500, "out of memory");
        rc = session_refuse(s, tls, why, NULL);
        goto out;
    }

    if (req->id[0]) {
        snprintf(s->log.tag, sizeof(s->log.tag), "%s", req->id);
    }

    session_exclude(s, req, ex);

    if (session_allowed(tls, why) != 0
        || session_interface(s, req, why) != 0
        || policy_request(s->conf, req, why) != 0
        || session_leave(s, req, why) != 0
        || capture_open(c, s->conf, req, request_inside(req) ? &ct : NULL,
                        &s->log, why)
           != 0
        || capture_start(c, &s->checker, ex, req, why) != 0)
    {
        rc = session_refuse(s, tls, why, &ct);
        goto out;
    }

    (void) prctl(PR_SET_NAME, "pcap-capture", 0, 0, 0);
    session_announce(s, tls, req, c);

    if (sandbox_enter(SANDBOX_CAPTURE, SANDBOX_MACHINE) != 0) {
        problem_set(why, 500, "sandbox: %s", strerror(errno));
        rc = session_refuse(s, tls, why, &ct);
        goto out;
    }

    run = (run_t) { .capture = c, .tls = tls, .req = req, .exclude = ex,
                    .container = request_inside(req) ? &ct : NULL,
                    .log = &s->log, .stats = s->stats, .conf = s->conf,
                    .control = s->control, .stop = s->stop,
                    .wait_mask = s->wait_mask };
    rc = run_capture(&run);

out:

    if (c) {
        capture_close(c);
    }

    container_close(&ct);
    free(c);
    free(ex);

    return rc;
}


static int
session_files(session_t *s, tls_t *tls, request_t *req, problem_t *why)
{
    int  rc;

    filter_stop(&s->checker);

    if (req->id[0]) {
        snprintf(s->log.tag, sizeof(s->log.tag), "%s", req->id);
    }

    rc = 1;

    if (session_allowed(tls, why) == 0 && session_files_leave(s, why) == 0) {
        rc = session_serve_files(s, tls, req, why);
    }

    return rc == 1 ? session_refuse(s, tls, why, NULL) : rc;
}


static int
session_files_leave(session_t *s, problem_t *why)
{
    control_msg_t  msg;

    if (s->conf->files_folder == NULL) {
        return problem_set(why, 404, "files: none are served by this agent "
                           "(files_folder)");
    }

    memset(&msg, 0, sizeof(msg));
    msg.type = CONTROL_ASK_FILES;

    if (control_ask(s->control, &msg, SESSION_PARENT_MS) != 0) {
        return problem_set(why, 503, "the agent is going away");
    }

    switch (msg.verdict) {

    case CONTROL_GRANTED:
        return 0;

    case CONTROL_FULL:
        return problem_set(why, 429, "files: %u of %u requests are served",
                           msg.files_running, msg.files_max);

    case CONTROL_OFF:
        return problem_set(why, 403, "files are switched off by this "
                           "machine's policy (off_file)");

    default:
        return problem_set(why, 503, "the agent is draining");
    }
}


/* As serve_request(). */

static int
session_serve_files(session_t *s, tls_t *tls, const request_t *req,
    problem_t *why)
{
    int      none;
    serve_t  sv;

    (void) prctl(PR_SET_NAME, "pcap-serve", 0, 0, 0);

    /*
     * In a merge of several agents one waits for the times of the others, for
     * as long as its peer lives: no window for minutes is nothing wrong.
     */
    none = 0;

    if (req->kind == REQUEST_MERGED) {
        (void) setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &none,
                          sizeof(none));
    }

    if (privs_drop() != 0
        || sandbox_enter(SANDBOX_SERVE, SANDBOX_MACHINE) != 0)
    {
        (void) problem_set(why, 500, "sandbox: %s", strerror(errno));
        return 1;
    }

    sv = (serve_t) { .tls = tls, .files = &s->files, .req = req,
                     .conf = s->conf, .log = &s->log, .stats = s->stats,
                     .control = s->control, .stop = s->stop,
                     .wait_mask = s->wait_mask };

    return serve_request(&sv, why);
}


static void
session_announce(const session_t *s, const tls_t *tls, const request_t *req,
    const capture_t *c)
{
    log_info(&s->log, "capture starts: client %s, %s%s%s%s%s%s%sinterface "
             "%s%s, filter \"%s\"", tls->peer,
             req->container[0] ? "container " : "", req->container,
             req->container[0] ? " of app " : "", req->app,
             req->pod[0] ? "pod " : "", req->pod,
             request_inside(req) ? ", " : "", c->ifs[0].name,
             c->nifs > 1 ? " and others" : "", req->filter);
}


static int
session_allowed(const tls_t *tls, problem_t *why)
{
    if (tls->metrics_only) {
        return problem_set(why, 403, "\"%s\" may read status and metrics "
                           "alone (metrics_names)", tls->peer);
    }

    return 0;
}


/*
 * Without an interface in the request: the configured or reached one, and in
 * a container that for containers.
 */

static int
session_interface(session_t *s, request_t *req, problem_t *why)
{
    char        text[NET_ENDPOINT_TEXT];
    endpoint_t  ep;

    if (req->container[0] && s->conf->containers == CONF_CONTAINERS_OFF) {
        return problem_set(why, 400, "container: container captures are not "
                           "configured on this agent");
    }

    if (req->pod[0] && s->conf->cri == CONF_CRI_OFF) {
        return problem_set(why, 400, "pod: captures in pods are not "
                           "configured on this agent (cri_runtime)");
    }

    if (req->nifnames) {
        return 0;
    }

    if (request_inside(req)) {
        snprintf(req->ifnames[0], NET_IFNAME_LEN, "%s",
                 s->conf->container_interface);

    } else if (s->conf->interface_default) {
        snprintf(req->ifnames[0], NET_IFNAME_LEN, "%s",
                 s->conf->interface_default);

    } else if (session_local(s, &ep) != 0
               || net_interface_of(&ep, req->ifnames[0]) != 0)
    {
        return problem_set(why, 400, "interface: no interface holds %s; name "
                           "one", net_addr_text(&ep, text));
    }

    req->nifnames = 1;

    return 0;
}


/* Asks the parent for a slot and the memory of the rings. */

static int
session_leave(session_t *s, const request_t *req, problem_t *why)
{
    control_msg_t  msg;

    memset(&msg, 0, sizeof(msg));
    msg.type = CONTROL_ASK_CAPTURE;
    msg.ring_bytes = req->nifnames * s->conf->buffer_bytes;

    if (control_ask(s->control, &msg, SESSION_PARENT_MS) != 0) {
        return problem_set(why, 503, "the agent is going away");
    }

    switch (msg.verdict) {

    case CONTROL_GRANTED:
        return 0;

    case CONTROL_FULL:
        return problem_set(why, 429, "max_captures: %u of %u captures are "
                           "running",
                           msg.captures_running, msg.captures_max);

    case CONTROL_NO_MEMORY:
        return problem_set(why, 429, "buffer_bytes_total: the rings of all "
                           "captures would be larger than that");

    case CONTROL_OFF:
        return problem_set(why, 403, "captures are switched off by this "
                           "machine's policy (off_file)");

    default:
        return problem_set(why, 503, "the agent is draining");
    }
}


/*
 * Own traffic: every address this agent can be reached on. Behind an address
 * translation the one this connection came in on is among them too.
 */

static void
session_exclude(session_t *s, const request_t *req, filter_exclude_t *ex)
{
    unsigned    i;
    endpoint_t  local;

    ex->excludes = req->excludes;
    ex->nexcludes = req->nexcludes;
    ex->peers = req->peers;
    ex->npeers = req->npeers;
    ex->mandatory = s->conf->exclude_filter;

    if (net_is_wildcard(&s->conf->endpoint)) {
        ex->nown = (unsigned) net_local_endpoints(ex->own, NET_MAX_LOCAL,
                                                  s->conf->endpoint.port);
    } else {
        ex->own[ex->nown++] = s->conf->endpoint;
    }

    if (session_local(s, &local) != 0) {
        return;
    }

    for (i = 0; i < ex->nown; i++) {
        if (net_same_addr(&ex->own[i], &local)) {
            return;
        }
    }

    ex->own[ex->nown++] = local;
}


static int
session_refuse(session_t *s, tls_t *tls, const problem_t *why,
    const container_t *ct)
{
    int     rc;
    char    (*own)[NET_IFNAME_LEN];
    char    (*names)[NET_IFNAME_LEN];
    size_t  n;

    log_warn(&s->log, "refused with %d: %s (client %s)", why->status,
             why->detail, tls->peer);
    session_count(s, why);

    own = NULL;
    names = ct ? ct->names : NULL;
    n = ct ? ct->nnames : 0;

    /* This machine's interfaces are no business of a container's owner. */

    if (why->status == 404 && (ct == NULL || ct->home == -1)
        && strncmp(why->detail, "interface:", 10) == 0)
    {
        own = calloc(NET_MAX_IFNAMES, sizeof(*own));
        n = own ? capture_interfaces(own, NET_MAX_IFNAMES) : 0;
        names = own;
    }

    n = session_shown(s, names, n);

    rc = reply_problem(tls, why, (const char (*)[NET_IFNAME_LEN]) names, n);
    free(own);

    if (rc == 0) {
        tls_finish(tls, net_monotonic() + SESSION_LINGER_NS);
    }

    return rc;
}


static void
session_count(session_t *s, const problem_t *why)
{
    stats_refused(s->stats, why);

    if (strncmp(why->detail, "filter:", 7) == 0) {
        stats_set(&s->stats->filter_refused, 1);
    }

    if (strcmp(why->detail, FILTER_SANDBOX) == 0) {
        stats_set(&s->stats->filter_killed, 1);
    }
}


/* What may not be captured is not offered. Returns how many are left. */

static size_t
session_shown(const session_t *s, char (*names)[NET_IFNAME_LEN], size_t n)
{
    size_t  i, left;

    for (i = 0, left = 0; i < n; i++) {
        if (policy_interface(s->conf, names[i])) {
            memmove(names[left++], names[i], NET_IFNAME_LEN);
        }
    }

    return left;
}


static int
session_local(const session_t *s, endpoint_t *ep)
{
    socklen_t                 len;
    struct sockaddr_storage   ss;

    len = sizeof(ss);
    memset(ep, 0, sizeof(*ep));
    memset(&ss, 0, sizeof(ss));
    ep->addr_len = 4;

    if (getsockname(s->fd, (struct sockaddr *) &ss, &len) != 0) {
        return -1;
    }

    return net_endpoint((struct sockaddr *) &ss, ep);
}
