/*
 * agent/container.c: see container.h. Whose the container is stands in
 * owner.c, where its namespace is in whereabouts.c, and in pod.c that of a
 * pod; here they are put together, compared, and left again.
 */

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "container.h"
#include "container_int.h"


static int container_end_in(container_t *ct, const char *buf, ssize_t n);


void
container_init(container_t *ct, const conf_t *conf, const request_t *req,
    const log_t *log)
{
    memset(ct, 0, sizeof(*ct));
    ct->conf = conf;
    ct->log = log;
    ct->kind = req->pod[0] ? "pod" : "container";
    ct->handle = req->pod[0] ? req->pod : req->container;
    ct->app = req->app;
    ct->space = req->pod_namespace;
    ct->name = req->pod_name;
    ct->inside = req->pod[0] || conf->containers == CONF_CONTAINERS_NETNS;
    ct->home = -1;
    ct->ns = -1;
    ct->watch = -1;
}


int
container_unknown(const container_t *ct, problem_t *why)
{
    return problem_set(why, 404, "%s: there is no %s on this machine", ct->kind,
                       ct->handle);
}


int
container_find(container_t *ct, problem_t *why)
{
    const char  *what;

    ct->home = netns_open_own(&ct->home_id);

    if (ct->home == -1) {
        return problem_set(why, 500, "%s: this machine's namespace: %s",
                           ct->kind, strerror(errno));
    }

    if (ct->kind[0] == 'p') {
        return container_pod(ct, why);
    }

    if (container_owner(ct, why) != 0) {
        return -1;
    }

    if (ct->inside) {
        return container_whereabouts(ct, why);
    }

    what = veth_find(&ct->owner.ip, &ct->veth);

    if (what) {
        return problem_set(why, 500, "container: %s: %s", ct->handle, what);
    }

    return 0;
}


int
container_confirm(const container_t *ct, problem_t *why)
{
    int          rc;
    container_t  again;

    again = *ct;
    again.home = -1;
    again.ns = -1;
    again.watch = -1;
    again.names = NULL;
    memset(&again.id, 0, sizeof(again.id));
    memset(&again.init, 0, sizeof(again.init));
    memset(&again.veth, 0, sizeof(again.veth));

    rc = container_find(&again, why);

    if (rc == 0
        && (!netns_same(&again.home_id, &ct->home_id)
            || !netns_same(&again.id, &ct->id)
            || again.init.pid != ct->init.pid
            || again.init.start != ct->init.start
            || again.veth.index != ct->veth.index
            || !net_same_addr(&again.owner.ip, &ct->owner.ip)))
    {
        log_warn(ct->log, "%s %s was replaced while its sockets were opened",
                 ct->kind, ct->handle);
        rc = container_unknown(ct, why);
    }

    container_close(&again);

    return rc;
}


int
container_enter(container_t *ct, problem_t *why)
{
    int  rc;

    rc = netns_enter(ct->ns, &ct->id);

    if (rc != 0) {
        problem_set(why, 500, "%s: %s: setns: %s", ct->kind, ct->handle,
                    strerror(errno));

        /* Perhaps it is inside all the same. */

        container_leave(ct);
    }

    close(ct->ns);
    ct->ns = -1;

    return rc;
}


void
container_leave(container_t *ct)
{
    if (netns_enter(ct->home, &ct->home_id) == 0) {
        return;
    }

    log_error(ct->log, "%s %s: there is no way back to this machine's "
              "namespace: %s", ct->kind, ct->handle, strerror(errno));
    _exit(1);
}


int
container_gone(container_t *ct)
{
    char     buf[4096]
                 __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t  n;

    /* A process (pidfd_open(2)) is readable for ever once it has ended. */

    if (ct->watched[0] == '\0') {
        return 1;
    }

    for ( ;; ) {
        n = read(ct->watch, buf, sizeof(buf));

        if (n <= 0) {
            return 0;
        }

        if (container_end_in(ct, buf, n)) {
            return 1;
        }
    }
}


/*
 * The folder lies in the machine's own namespaces: other containers end there
 * as well.
 */

static int
container_end_in(container_t *ct, const char *buf, ssize_t n)
{
    ssize_t                      at;
    const struct inotify_event  *e;

    for (at = 0; at < n; at += (ssize_t) (sizeof(*e) + e->len)) {
        e = (const struct inotify_event *) (const void *) (buf + at);

        /* IN_IGNORED: the folder itself is gone. */

        if ((e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))
            || ((e->mask & (IN_DELETE | IN_MOVED_FROM)) && e->len
                && strcmp(e->name, ct->watched) == 0))
        {
            return 1;
        }
    }

    return 0;
}


void
container_close(container_t *ct)
{
    int       *fds[3];
    unsigned   i;

    fds[0] = &ct->home;
    fds[1] = &ct->ns;
    fds[2] = &ct->watch;

    for (i = 0; i < 3; i++) {
        if (*fds[i] != -1) {
            close(*fds[i]);
            *fds[i] = -1;
        }
    }

    free(ct->names);
    ct->names = NULL;
    ct->nnames = 0;
}
