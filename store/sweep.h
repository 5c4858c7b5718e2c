/*
 * store/sweep.h: what must go in S3: objects and uploads of records that have
 * gone. A process that lives for a moment deletes them and says which; what
 * is noted to be deleted is tried again until it is, also by the next store.
 */

#ifndef STORE_SWEEP_H
#define STORE_SWEEP_H

#include <stdint.h>
#include <sys/types.h>


struct store_s;

typedef struct {
    pid_t     pid;                   /* 0: there is none */
    int       fd;                    /* ids of what is deleted, or -1 */
    int       due;                   /* there may be something to delete */
    unsigned  fails;
    int64_t   again_ms;              /* not before that */
} sweep_t;


/* For the loop: something may have been said. */
void sweep_listen(struct store_s *s);

/* For the loop: children have ended. */
void sweep_reap(struct store_s *s);

/* For the loop: begins the process if it is due. */
void sweep_tick(struct store_s *s);

/* Milliseconds until it is due; -1: it is not. */
int sweep_timeout(const struct store_s *s);

/* Ends the process; the next store does the rest. */
void sweep_close(struct store_s *s);


#endif /* STORE_SWEEP_H */
