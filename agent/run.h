/*
 * agent/run.h: one capture from its first chunk to its last. Here the
 * rings, the staging buffer, the stream, the heartbeat and the guard meet in
 * one poll loop.
 */

#ifndef AGENT_RUN_H
#define AGENT_RUN_H

#include <signal.h>

#include "capture.h"
#include "container.h"
#include "filter.h"
#include "log.h"
#include "request.h"
#include "stats.h"
#include "tls.h"


typedef struct {
    capture_t                 *capture;
    tls_t                     *tls;
    const request_t           *req;
    const filter_exclude_t    *exclude;
    container_t               *container; /* NULL: of this machine */
    const conf_t              *conf;
    const log_t               *log;
    stats_slot_t              *stats;
    int                        control;   /* the parent */
    volatile sig_atomic_t     *stop;      /* set by SIGTERM */
    const sigset_t            *wait_mask; /* signals let in while waiting */
} run_t;


/*
 * Sends the response header and streams until the peer finishes sending or
 * goes away, the parent ends it, a limit is reached, or the interface or the
 * container is gone.
 * Returns 0 when the stream ended with its last chunk, -1 when it was cut
 * (logged).
 */
int run_capture(run_t *run);


#endif /* AGENT_RUN_H */
