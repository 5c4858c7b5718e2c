/*
 * cli/tick.h: waiting that Ctrl-C ends at once: for commands that take long
 * and leave something behind that the user has to be told of.
 */

#ifndef CLI_TICK_H
#define CLI_TICK_H

#include "conf.h"


typedef struct {
    int        sig_fd;       /* -1: not open */
    pid_t      parent;       /* see conf_t */
    unsigned   stopped:1;    /* a signal came, or the parent is gone */
} tick_t;


/* Takes signals from now on. 0, or -1. Call tick_close() in both cases. */
int tick_open(tick_t *t, const conf_t *conf);

/* Back to the defaults. */
void tick_close(tick_t *t);

/* Has a signal come, now or before? */
int tick_stopped(tick_t *t);

/* Sleeps. 0, or -1: stopped, maybe long before. */
int tick_sleep(tick_t *t, uint64_t ms);

/* A conf_wait_t's turn; ctx is the tick_t. */
int tick_turn(void *ctx);


#endif /* CLI_TICK_H */
