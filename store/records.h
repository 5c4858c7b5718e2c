/*
 * store/records.h: what the store knows of its captures, in an SQLite file:
 * one row for each, also for a while after its file has gone, and the parts of
 * an upload that is under way. One process writes it.
 *
 * A row says what decisions need (whose, how large, until when); what a user
 * is shown beside that is a JSON text that nobody here looks into.
 */

#ifndef STORE_RECORDS_H
#define STORE_RECORDS_H

#include <stddef.h>
#include <stdint.h>


#define RECORD_ID_LEN      32        /* of a capture, hex */
#define RECORD_OWNER_MAX   256       /* bytes of a user's id */
#define RECORD_SHA256_LEN  64        /* hex */
#define RECORD_STATUS_MAX  16        /* "complete", as in X-Pcap-Status */
#define RECORD_DETAIL_MAX  512       /* bytes of why it ended */
#define RECORD_FILE_MAX    63        /* of a name in the folder */
#define RECORD_UPLOAD_MAX  1024      /* bytes of an upload's id */
#define RECORD_OBJECT_MAX  640       /* bytes of an object's key */
#define RECORD_ETAG_MAX    128
#define RECORDS_ERR_LEN    256

typedef enum {
    RECORD_WAITING = 0,              /* admitted, not yet begun */
    RECORD_RUNNING,
    RECORD_STORED,                   /* ended; the file is there */
    RECORD_INTERRUPTED,              /* so, but the store was killed */
    RECORD_FAILED,                   /* there is no file */
    RECORD_GONE                      /* there was one, at gone it went */
} record_state_t;

typedef enum {
    RECORD_LOCAL = 0,                /* in the folder */
    RECORD_S3                        /* a whole object; not in the folder */
} record_place_t;

typedef struct {
    char             id[RECORD_ID_LEN + 1];
    char             owner[RECORD_OWNER_MAX + 1];
    record_state_t   state;
    int64_t          created;        /* seconds since 1970; as all times */
    int64_t          ended;          /* 0: not yet */
    int64_t          retention;      /* seconds, from the end on */
    int64_t          expires;        /* the file goes then; 0: not ended */
    int64_t          gone;           /* 0: not yet */
    uint64_t         bytes;          /* in the file so far */
    uint64_t         raw;            /* of the capture in it; the same, if it
                                      * is not compressed */
    uint64_t         lost;           /* of the capture: taken, not in it */
    uint64_t         packets;
    uint64_t         dropped;
    int              answer;         /* of the API: 200, and these are its
                                      * verdict; a refusal; 0: cut, or none */
    char             sha256[RECORD_SHA256_LEN + 1];   /* or empty */
    char             status[RECORD_STATUS_MAX + 1];   /* or empty */
    char             detail[RECORD_DETAIL_MAX + 1];   /* or empty */
    char             file[RECORD_FILE_MAX + 1];       /* or empty */
    char             upload[RECORD_UPLOAD_MAX + 1];   /* or empty */
    char             object[RECORD_OBJECT_MAX + 1];   /* or empty: nothing
                                      * of it was ever sent to S3 */
    record_place_t   place;          /* of what is whole */
    int              sweep;          /* object and upload are to be deleted */
    char            *about;          /* JSON; see record_free() */
} record_t;

typedef struct records_s  records_t;

/*
 * Called with each row found; what it points to is gone afterwards. It must
 * not write: note what is to be done, and do it behind the call.
 */
typedef void (*record_fn)(void *data, const record_t *rec);


/*
 * Opens the file or makes it, for its owner alone and for this process alone
 * as long as it is open; one of the version before becomes one of this.
 * Returns NULL with a text in err: no memory, no such folder, no right, in
 * use, a file that is no database or one of another version of this program.
 */
records_t *records_open(const char *path, char err[RECORDS_ERR_LEN]);

void records_close(records_t *r);

/* The error of the last call that returned -1; the store's until the next. */
const char *records_error(const records_t *r);

/* Adds a row with all that rec says. 0, or -1: error, or the id is known. */
int records_add(records_t *r, const record_t *rec);

/*
 * Writes all but id, owner, created, retention, upload, object and about of
 * rec's row. 0, or -1: error, or there is no such row.
 */
int records_update(records_t *r, const record_t *rec);

/*
 * 1 with *rec filled, whose about is the caller's to free by record_free();
 * 0: there is no such row; -1: error.
 */
int records_get(records_t *r, const char *id, record_t *rec);

void record_free(record_t *rec);

/*
 * Rows of this owner (NULL: of all), the newest first, at most max. 0 or -1.
 */
int records_list(records_t *r, const char *owner, unsigned max, record_fn fn,
    void *data);

/* Rows that have a file and whose retention is over at now. 0 or -1. */
int records_due(records_t *r, int64_t now, record_fn fn, void *data);

/*
 * When the next of those is due, INT64_MAX if none will be. 0 or -1.
 */
int records_next(records_t *r, int64_t *when);

/*
 * What captures take that are not written any more: those of this owner,
 * wherever they are; with NULL those of all in the folder, for that is the
 * disk. 0 or -1.
 */
int records_usage(records_t *r, const char *owner, uint64_t *bytes);

/* How many rows have a file. 0 or -1. */
int records_files(records_t *r, unsigned *n);

/*
 * Rows that wait or run. At the start of the store these are the ones that
 * the end of an earlier one has interrupted. 0 or -1.
 */
int records_active(records_t *r, record_fn fn, void *data);

/* Rows that have ended and whose files are in the folder. 0 or -1. */
int records_local(records_t *r, record_fn fn, void *data);

/*
 * Rows of which something is to be deleted in S3: so many, any of them, so
 * that some that cannot be do not keep the others from it. 0 or -1.
 */
int records_sweep(records_t *r, unsigned max, record_fn fn, void *data);

/*
 * Forgets rows that have been gone or failed since before that, and have left
 * nothing in S3. 0 or -1.
 */
int records_forget(records_t *r, int64_t before);

/*
 * Forgets what this owner has more than so many of, gone or failed, the oldest
 * first: records take room, too. 0 or -1.
 */
int records_trim(records_t *r, const char *owner, unsigned keep);

/*
 * What is written between a call with begin and one without comes to the disk
 * at once, or, when the second one fails, not. 0 or -1.
 */
int records_together(records_t *r, int begin);

/*
 * Notes the key of an object and its upload, if one has begun ("" if not);
 * parts of an earlier one go. 0 or -1.
 */
int records_upload(records_t *r, const char *id, const char *object,
    const char *upload);

/*
 * Notes a part of an upload, n from 1; again: replaces it. raw: as of a
 * record. 0 or -1.
 */
int records_part(records_t *r, const char *id, unsigned n, uint64_t bytes,
    uint64_t raw, const char *etag);

/* All parts of an upload. */
typedef struct {
    unsigned   n;
    uint64_t   bytes;
    uint64_t   raw;
} record_parts_t;

/*
 * Calls fn, unless that is NULL, for each part in ascending order. 0 or -1;
 * what they are together in *sum.
 */
int records_parts(records_t *r, const char *id,
    void (*fn)(void *data, unsigned n, const char *etag), void *data,
    record_parts_t *sum);


#endif /* STORE_RECORDS_H */
