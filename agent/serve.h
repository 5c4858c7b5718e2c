/*
 * agent/serve.h: answers requests for files: the names in a folder, one
 * file, its removal; merged.c has all files as one stream. It holds no
 * capability and opens nothing itself (files.h does).
 */

#ifndef AGENT_SERVE_H
#define AGENT_SERVE_H

#include <signal.h>

#include "conf.h"
#include "files.h"
#include "log.h"
#include "request.h"
#include "stats.h"
#include "tls.h"


typedef struct {
    tls_t                     *tls;
    files_t                   *files;
    const request_t           *req;
    const conf_t              *conf;
    const log_t               *log;
    stats_slot_t              *stats;
    int                        control;   /* the parent; -1: gone */
    volatile sig_atomic_t     *stop;      /* set by SIGTERM */
    const sigset_t            *wait_mask;
    uint64_t                   until;     /* it has to be over then */
    int                        finished;  /* the peer sends no more */
} serve_t;


/*
 * Serves sv->req, whose files_folder is configured. Returns 0, -1 when the
 * connection is to be cut (logged), or 1 when nothing was sent and *why is to
 * be told.
 */
int serve_request(serve_t *sv, problem_t *why);

/* For merged.c as well. */

/*
 * Waits until the connection is ready for events, something comes, or
 * deadline (monotonic) has passed; what came is looked at. Returns 0, or -1
 * when it is over: the peer is gone, or the agent has no more time.
 */
int serve_wait(serve_t *sv, short events, uint64_t deadline);

/* Fills *why for an errno of files.h; file may be NULL. Always returns 1. */
int serve_error(const serve_t *sv, const char *file, problem_t *why);


#endif /* AGENT_SERVE_H */
