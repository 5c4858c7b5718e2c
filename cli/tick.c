/*
 * cli/tick.c: poll() on the pipe of sig.c. The parent (the cf CLI) is looked
 * after because it takes the terminal with it when it ends.
 */

#include <poll.h>
#include <unistd.h>

#include "sig.h"
#include "tick.h"


#define TICK_TURN_MS   10

/* Nothing wakes us when the parent ends. */
#define TICK_SLICE_MS  500


int
tick_open(tick_t *t, const conf_t *conf)
{
    t->parent = conf->parent;
    t->stopped = 0;
    t->sig_fd = sig_open();

    return t->sig_fd == -1 ? -1 : 0;
}


void
tick_close(tick_t *t)
{
    if (t->sig_fd != -1) {
        sig_close(t->sig_fd);
        t->sig_fd = -1;
    }
}


int
tick_stopped(tick_t *t)
{
    if (sig_read(t->sig_fd) > 0
        || (t->parent != 0 && getppid() != t->parent))
    {
        t->stopped = 1;
    }

    return t->stopped;
}


int
tick_sleep(tick_t *t, uint64_t ms)
{
    uint64_t       slice;
    struct pollfd  pfd;

    while (!tick_stopped(t)) {
        if (ms == 0) {
            return 0;
        }

        slice = ms < TICK_SLICE_MS ? ms : TICK_SLICE_MS;
        pfd.fd = t->sig_fd;
        pfd.events = POLLIN;
        (void) poll(&pfd, 1, (int) slice);
        ms -= slice;
    }

    return -1;
}


int
tick_turn(void *ctx)
{
    return tick_sleep(ctx, TICK_TURN_MS);
}
