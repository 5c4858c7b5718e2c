/*
 * agent/container.h: from a handle and an app to a network namespace, or to
 * the host's side of the container's pair. It trusts nobody: not the API
 * (the app is compared with what the machine itself knows), not what lies
 * in place of a file, and not that a container is still the same a moment
 * later (everything is asked twice, the second time with the sockets open).
 */

#ifndef AGENT_CONTAINER_H
#define AGENT_CONTAINER_H

#include "conf.h"
#include "cstate.h"
#include "log.h"
#include "netns.h"
#include "place.h"
#include "request.h"
#include "veth.h"


typedef struct {
    const conf_t     *conf;
    const log_t      *log;
    const char       *kind;          /* "container" or "pod" */
    const char       *handle;        /* of a pod its uid */
    const char       *app;
    const char       *space;         /* of a pod, "" for any: its namespace */
    const char       *name;          /* and its name */
    int               inside;        /* captured in its namespace */
    int               home;          /* the machine's namespace; -1 */
    int               ns;            /* the container's, inside only; -1 */
    int               watch;         /* readable: see container_gone(); -1 */
    netns_id_t        home_id;
    netns_id_t        id;
    cstate_owner_t    owner;
    cstate_init_t     init;          /* where the state was asked; else 0 */
    veth_t            veth;          /* veth only */
    char              watched[CSTATE_MAX_HANDLE + PLACE_MAX_PATTERN];
                                     /* entry of a folder; "": a process */
    char            (*names)[NET_IFNAME_LEN];  /* interfaces, for a 404 */
    size_t            nnames;
} container_t;


/* An empty one for a request with container= and app=, or with pod=; both
 * must outlive it. */
void container_init(container_t *ct, const conf_t *conf,
    const request_t *req, const log_t *log);

/*
 * Finds the container; raises capabilities for single calls and lowers them
 * again. Returns 0, or -1 with *why: 404 in the same words when there is no
 * such container and when it belongs to another app; 403 for a pod that is in
 * the node's namespace, 409 for one that has none (yet); 500 when it cannot
 * be told.
 */
int container_find(container_t *ct, problem_t *why);

/*
 * Asks everything again. Returns 0 when the container is still the one that
 * container_find() found, else -1 with *why.
 */
int container_confirm(const container_t *ct, problem_t *why);

/*
 * Goes inside. The descriptor of the container's namespace is closed, as it
 * keeps the mount busy. Returns 0 or -1 with *why.
 */
int container_enter(container_t *ct, problem_t *why);

/*
 * Comes back. A process that is not back for certain ends here: what it would
 * do next it would do in somebody's container.
 */
void container_leave(container_t *ct);

/*
 * Call it when ct->watch is readable. Returns 1 when the container has ended,
 * else 0. Needs no privilege.
 */
int container_gone(container_t *ct);

/* Closes and frees everything; safe on an empty one. */
void container_close(container_t *ct);


#endif /* AGENT_CONTAINER_H */
