/*
 * store/server.h: the store's loop: the unix socket that nginx asks, its
 * connections, the words of the jobs, signals and timers. One thread, and
 * nothing in it waits for a peer.
 */

#ifndef STORE_SERVER_H
#define STORE_SERVER_H

#include <signal.h>

#include "store.h"


/* Set by signal handlers, which are blocked but while the loop waits. */
typedef struct {
    volatile sig_atomic_t   stop;
    volatile sig_atomic_t   child;
} server_signals_t;


/*
 * The socket as the configuration wants it. One that nobody listens on any
 * more is replaced. Its descriptor, or -1 with a sentence in err.
 */
int server_listen(const conf_t *conf, char *err);

/*
 * Serves until a signal says stop; ends the captures then, for at most 10 s.
 * Takes the descriptor over. Returns the exit status of the program.
 */
int server_run(store_t *s, int listener, server_signals_t *flags);


#endif /* STORE_SERVER_H */
