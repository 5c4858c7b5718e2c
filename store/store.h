/*
 * store/store.h: what the rooms of pcap-store share, its start and its end,
 * and what time brings: files whose retention is over go, records that have
 * outlived them are forgotten.
 */

#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "conf.h"
#include "job.h"
#include "log.h"
#include "quota.h"
#include "records.h"
#include "sweep.h"
#include "upload.h"


#define STORE_ERR_LEN  512

typedef struct store_s {
    const conf_t   *conf;
    const log_t    *log;
    records_t      *records;
    quota_t        *quota;
    int             folder;          /* locked while we or a child live */
    job_t          *jobs;
    unsigned        njobs;           /* places, not all taken */
    upload_t       *uploads;
    unsigned        nuploads;        /* places; 0: there is no S3 */
    int             scan;            /* something may want a free place */
    sweep_t         sweeper;
    pid_t           bucket;          /* looks at it; 0: no more */
    uint64_t        owners;          /* number that was given out last */
    int64_t         next_due;        /* s: a retention is over */
    int64_t         next_forget;
    int             stopping;
} store_t;


/*
 * Opens folder, records and memory, and begins to end what an earlier store
 * was interrupted in. Waits for its last children, for at most 10 s. 0, or -1
 * with a sentence in err[STORE_ERR_LEN]; store_close() is due in either case.
 */
int store_open(store_t *s, const conf_t *conf, const log_t *log,
    char *err);

/* Every job is gone by then, or its process was killed. */
void store_close(store_t *s);

/* What is due by now: for each turn of the loop. */
void store_tick(store_t *s);

/* Milliseconds up to the next thing that is due; at most a minute. */
int store_timeout(const store_t *s);

/*
 * A file goes: *rec, whose row it is, becomes gone. What is in S3 is deleted
 * later (sweep.h). 0, or -1 (logged): it is as it was.
 */
int store_remove(store_t *s, record_t *rec);

/* Whatever there is of that capture in the folder goes. 0, or -1 (logged). */
int store_unlink(store_t *s, const char *id);

/* The sums of what rests are counted anew; owner: whose have changed. */
void store_count(store_t *s, const char *owner);

/*
 * What captures take, those that are written included: of an owner wherever
 * they are, of all in the folder. 0 or -1.
 */
int store_bytes(const store_t *s, const char *owner, uint64_t *bytes);

/* Seconds since 1970; milliseconds of a clock that nobody sets. */
int64_t store_now(void);
int64_t store_ms(void);


#endif /* STORE_STORE_H */
