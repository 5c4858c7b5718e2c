/*
 * agent/session.h: the life of one connection in its own process: handshake,
 * request, the parent's leave, then a status, a capture or files.
 */

#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include <openssl/ssl.h>
#include <signal.h>

#include "conf.h"
#include "files.h"
#include "filter.h"
#include "log.h"
#include "stats.h"


typedef struct {
    const conf_t              *conf;
    SSL_CTX                   *ctx;
    log_t                      log;       /* our own copy, gets a tag */
    stats_slot_t              *stats;     /* our page of it */
    int                        fd;        /* the connection, ours to close */
    int                        control;   /* the parent, ours to close */
    filter_checker_t           checker;
    files_t                    files;
    volatile sig_atomic_t     *stop;
    const sigset_t            *wait_mask;
} session_t;


/*
 * Serves the connection. Returns 0, or 1 when it went wrong: the exit status
 * of the process.
 */
int session_run(session_t *s);


#endif /* AGENT_SESSION_H */
