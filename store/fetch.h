/*
 * store/fetch.h: what the process of one capture does. It knows the API's
 * socket, one file, its slot of the quotas and the pipe to the store, and
 * nothing else: no records, no listener, no other capture.
 */

#ifndef STORE_FETCH_H
#define STORE_FETCH_H

#include "conf.h"
#include "job.h"
#include "log.h"
#include "quota.h"


typedef struct {
    const conf_t        *conf;
    log_t                log;        /* about this capture */
    quota_t             *quota;
    int                  slot;
    int                  folder;
    int                  report;     /* the pipe */
    const char          *id;
    const char          *detail;     /* why it is recovered */
    const job_order_t   *order;
} fetch_t;


/*
 * Takes the capture into its file, says how it goes and at last how it went.
 * SIGTERM, which must be blocked, ends it in good order. Returns the exit
 * status of the process: 0 if the last word was said.
 */
int fetch_run(const fetch_t *f);

/* The same for a file that was left by a process that was killed. */
int fetch_recover(const fetch_t *f);


#endif /* STORE_FETCH_H */
