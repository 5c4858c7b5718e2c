/*
 * store/job.h: captures that are under way, each a process of its own. The
 * process takes the capture from the API (fetch.h) and says over a pipe how
 * far it is; the store writes that into the records. What a capture contains
 * is seen by its process alone.
 */

#ifndef STORE_JOB_H
#define STORE_JOB_H

#include <sys/types.h>

#include "records.h"


#define JOB_GRANT_LEN  64            /* hex */
#define JOB_HOST_MAX   255
#define JOB_PATH_MAX   255

struct store_s;

typedef enum {
    JOB_FREE = 0,
    JOB_FETCH,                       /* takes it from the API */
    JOB_RECOVER,                     /* ends what was left of it */
    JOB_ENDED                        /* its record must be written yet */
} job_kind_t;

/* What a process says, at once: less than PIPE_BUF, so it comes whole. */
typedef struct {
    record_state_t  state;           /* RUNNING: not the last word */
    uint64_t        bytes;
    uint64_t        raw;
    uint64_t        lost;
    uint64_t        packets;
    uint64_t        dropped;
    int             answer;          /* as in a record */
    int64_t         ended;           /* s; 0: now */
    char            status[RECORD_STATUS_MAX + 1];
    char            detail[RECORD_DETAIL_MAX + 1];
    char            sha256[RECORD_SHA256_LEN + 1];
    char            file[RECORD_FILE_MAX + 1];
} job_report_t;

typedef struct {
    job_kind_t     kind;
    record_t       rec;              /* as it is; the row may be behind */
    uint64_t       owner;            /* his number in the quotas */
    pid_t          pid;              /* 0: no process (any more) */
    int            fd;               /* its word, or -1 */
    int            slot;             /* of the quotas */
    int            live;             /* as in its order */
    int            final;            /* it has said its last word: */
    job_report_t   last;
    int            dirty;            /* the row is behind */
    int64_t        written_ms;       /* when the row was written */
    int64_t        again_ms;         /* JOB_RECOVER: not before that */
    unsigned       fails;            /* of recoveries */
} job_t;

/* Where the capture comes from, and how it is stored. */
typedef struct {
    unsigned       level;            /* of zstd; 0: not compressed */
    char           grant[JOB_GRANT_LEN + 1];
    char           host[JOB_HOST_MAX + 1];
    char           path[JOB_PATH_MAX + 1];
    int            live;             /* somebody reads the file meanwhile */
} job_order_t;


/*
 * Begins a capture whose row is *rec, which is taken over, about and all. 0,
 * or -1 (logged): no place, no process; then *rec is still the caller's.
 */
int job_start(struct store_s *s, record_t *rec, const job_order_t *order);

/*
 * Ends a capture that was interrupted; why stands in rec->detail. As
 * job_start().
 */
int job_recover(struct store_s *s, record_t *rec);

/*
 * Removes the file of a job that has no process: its row cannot be written, or
 * what was left of it cannot be ended. 0, or -1: it is still written.
 */
int job_drop(struct store_s *s, job_t *job);

/* The job of this capture, or NULL. */
job_t *job_find(const struct store_s *s, const char *id);

/* How many jobs there are of this owner (NULL: of all). */
unsigned job_count(const struct store_s *s, const char *owner);

/* For the loop: something can be read from job->fd. */
void job_listen(struct store_s *s, job_t *job);

/* For the loop: children have ended. */
void job_reap(struct store_s *s);

/* For the loop: rows are written, once a second each. */
void job_tick(struct store_s *s);

/* Asks all to end, or makes them (SIGTERM, SIGKILL). */
void job_signal(const struct store_s *s, int signo);


#endif /* STORE_JOB_H */
