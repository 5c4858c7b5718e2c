/*
 * store/upload.h: captures on their way into S3: a process for each
 * (uploader.h), begun when its capture runs or, if there was no place then,
 * when it has ended. Here is the store's side: places, processes, and what is
 * noted of their words before they go on.
 *
 * Nothing here ends a capture: as long as S3 is away its file rests in the
 * folder, and can be fetched from there.
 */

#ifndef STORE_UPLOAD_H
#define STORE_UPLOAD_H

#include <sys/types.h>

#include "job.h"
#include "s3.h"


typedef enum {
    UPLOAD_BEGUN = 1,                /* key; upload, or empty: one PUT */
    UPLOAD_PART,                     /* n, bytes, raw, etag */
    UPLOAD_DONE,                     /* key, bytes: the object is whole */
    UPLOAD_FAILS,                    /* text: it waits, and tries again */
    UPLOAD_WELL                      /* no more */
} upload_word_t;

/* What its process says, one packet each. */
typedef struct {
    upload_word_t  word;
    unsigned       n;
    uint64_t       bytes;
    uint64_t       raw;              /* of a part: of the capture in it */
    char           key[RECORD_OBJECT_MAX + 1];
    char           upload[RECORD_UPLOAD_MAX + 1];
    char           etag[S3_ETAG_MAX + 1];
    char           text[S3_ERR_LEN];
} upload_report_t;

/* And what it is told: that its word is noted, that the capture has ended. */
typedef enum {
    UPLOAD_NOTED = 1,
    UPLOAD_ENDED
} upload_answer_t;

typedef struct {
    upload_answer_t  answer;
    uint64_t         bytes;          /* in the file, at last */
} upload_order_t;

typedef struct {
    char             id[RECORD_ID_LEN + 1];   /* empty: the place is free */
    pid_t            pid;            /* 0: no process (any more) */
    int              fd;             /* its words, or -1 */
    int              slot;           /* of the quotas, while it runs */
    int              ended;          /* the capture has; it has so many */
    uint64_t         bytes;
    int              done;           /* in S3, or removed: no further one */
    int              live;           /* its file stays for a moment more */
    unsigned         fails;          /* processes that ended so */
    int64_t          again_ms;       /* not before that */
    int              held;           /* what could not be noted yet: */
    upload_report_t  report;
    char             why[S3_ERR_LEN];   /* it is not there; or empty */
} upload_t;


/* Makes places, if S3 is configured. 0, or -1: no memory. */
int upload_open(struct store_s *s);

/* Ends what there is of them. */
void upload_close(struct store_s *s);

/* A capture runs: its job. */
void upload_begin(struct store_s *s, const job_t *job);

/*
 * A capture ends as *rec says: what is in S3 already may be more than what is
 * left here. Before its row is written.
 */
void upload_settle(struct store_s *s, record_t *rec);

/* Its row is written. */
void upload_end(struct store_s *s, const record_t *rec);

/*
 * Its record goes: no more is uploaded, and *rec says what must be deleted.
 */
void upload_drop(struct store_s *s, record_t *rec);

/* Why it is not in S3 (yet), or NULL: nothing is known against it. */
const char *upload_why(const struct store_s *s, const char *id);

/* For the loop: something may have been said. */
void upload_listen(struct store_s *s);

/* For the loop: children have ended. */
void upload_reap(struct store_s *s);

/* For the loop: what is due. */
void upload_tick(struct store_s *s);

/* Milliseconds until something is due; -1: nothing. */
int upload_timeout(const struct store_s *s);

/* How many processes there are that have not failed last. */
unsigned upload_count(const struct store_s *s);

/* Ends those that only wait for S3 to come back. */
void upload_hurry(const struct store_s *s);


#endif /* STORE_UPLOAD_H */
