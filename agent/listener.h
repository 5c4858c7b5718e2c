/*
 * agent/listener.h: the parent. It accepts, forks, reaps, counts and answers
 * its children; it never reads a byte that came from the network.
 */

#ifndef AGENT_LISTENER_H
#define AGENT_LISTENER_H

#include <signal.h>

#include "conf.h"
#include "log.h"


/* Set by the signal handlers, read by parent and children. */

typedef struct {
    volatile sig_atomic_t   stop;
    volatile sig_atomic_t   reload;
    volatile sig_atomic_t   child;
} listener_signals_t;


/*
 * Runs the agent until it is drained: binds, gives up privileges, serves.
 * Returns the exit status of the process (in a child: of that child).
 */
int listener_run(const conf_t *conf, const log_t *log,
    listener_signals_t *signals);


#endif /* AGENT_LISTENER_H */
