/*
 * agent/listener_int.h: what listener.c (the loop, what it decides) and
 * listener_accept.c (new connections) share: the table of children, and
 * nobody else's business.
 */

#ifndef AGENT_LISTENER_INT_H
#define AGENT_LISTENER_INT_H

#include <poll.h>
#include <signal.h>
#include <sys/types.h>

#include "conf.h"
#include "limits.h"
#include "listener.h"
#include "log.h"
#include "stats.h"
#include "tls.h"


#define LISTENER_STATUS_ROWS   16

/* As many requests for files at once, where they are configured. */
#define LISTENER_FILES_ROWS    16

/* Connections that wait for others to finish their handshake and request, in
 * all and of one address: an API asks for many pods of a node at once. */
#define LISTENER_WAITING           128
#define LISTENER_WAITING_OF_ONE    64
#define LISTENER_WAITING_NS        (UINT64_C(10) * 1000000000)

typedef enum {
    CHILD_NONE = 0,
    CHILD_UNKNOWN,
    CHILD_STATUS,
    CHILD_CAPTURE,
    CHILD_FILES
} child_state_t;

typedef struct {
    child_state_t    state;
    pid_t            pid;
    int              control;
    uint64_t         ring_bytes;
    uint64_t         started_ns;
    uint64_t         bytes;          /* sent, when last looked */
    uint64_t         told_ns;        /* to end; 0: not told */
    ending_t         told;           /* why */
    endpoint_t       peer;
} child_t;

/* Nothing of it was read, no process has been made for it. */

typedef struct {
    int              fd;
    uint64_t         since_ns;
    endpoint_t       peer;
} waiting_t;

typedef struct {
    const conf_t          *conf;
    const log_t           *log;
    listener_signals_t    *signals;
    SSL_CTX               *ctx;
    int                    fd;
    child_t               *children;
    size_t                 nchildren;      /* rows */
    struct pollfd         *pfds;           /* one more than rows */
    waiting_t              waiting[LISTENER_WAITING];      /* oldest first */
    size_t                 nwaiting;
    sigset_t               wait_mask;
    uint64_t               drain_until;    /* 0: not draining */
    uint64_t               tick_ns;        /* the last look at the limits */
    limits_bucket_t        total;          /* max_bandwidth_total */
    stats_t                stats;
    int                    off;            /* by off_file */
    uint64_t               refused;        /* since the last line about it */
    uint64_t               refused_ns;
} listener_t;


/*
 * Takes the next connection, or lets it wait. Returns -1 in the parent, the
 * exit status in a child.
 */
int listener_accept(listener_t *l);

/*
 * Begins with those that waited and that there is room for now; ends the ones
 * that waited too long. Returns as listener_accept() does.
 */
int listener_admit_waiting(listener_t *l);


#endif /* AGENT_LISTENER_INT_H */
