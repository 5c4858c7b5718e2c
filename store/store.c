/*
 * store/store.c: see store.h. The folder is locked by flock(2), which belongs
 * to the open file and so to every child too: a store that was killed may
 * have children that are still closing their files, and the next one waits
 * for them before it takes a file for a left one.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "bucket.h"
#include "store.h"
#include "text.h"


#define STORE_LOCK_MS       10000
#define STORE_FORGET_S      3600
#define STORE_AGAIN_S       60       /* a file that could not be removed */
#define STORE_TURN_MS       60000    /* clocks are set */

/* Rows that must be written behind the call that finds them. */
typedef struct {
    record_t   *recs;
    size_t      n;
    size_t      max;
    int         failed;
} store_rows_t;


static int store_lock(store_t *s, char *err);
static int store_recover(store_t *s, char *err);
static int store_due(const store_t *s);
static void store_expire(store_t *s, int64_t now);
static void store_strangers(const store_t *s);
static void store_doubled(const store_t *s, const record_t *rec,
    const char *name);
static void store_note(void *data, const record_t *rec);
static void store_rows_free(store_rows_t *rows);


int
store_open(store_t *s, const conf_t *conf, const log_t *log, char *err)
{
    char  path[PATH_MAX], why[RECORDS_ERR_LEN];

    memset(s, 0, sizeof(*s));
    s->conf = conf;
    s->log = log;

    if (conf_folder(conf, err) != 0) {
        s->folder = -1;
        return -1;
    }

    s->folder = open(conf->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (s->folder == -1) {
        snprintf(err, STORE_ERR_LEN, "folder: %.200s: %s", conf->folder,
                 strerror(errno));
        return -1;
    }

    if (store_lock(s, err) != 0) {
        return -1;
    }

    snprintf(path, sizeof(path), "%s/records.db", conf->folder);
    s->records = records_open(path, why);

    if (s->records == NULL) {
        snprintf(err, STORE_ERR_LEN, "%s", why);
        return -1;
    }

    s->next_due = 0;
    store_strangers(s);

    return store_recover(s, err);
}


static int
store_lock(store_t *s, char *err)
{
    int64_t          end;
    struct timespec  ts;

    end = store_ms() + STORE_LOCK_MS;

    while (flock(s->folder, LOCK_EX | LOCK_NB) != 0) {

        if (errno != EWOULDBLOCK || store_ms() >= end) {
            snprintf(err, STORE_ERR_LEN, "folder: %.200s: %s",
                     s->conf->folder, errno == EWOULDBLOCK
                     ? "another pcap-store uses it" : strerror(errno));
            return -1;
        }

        ts.tv_sec = 0;
        ts.tv_nsec = 20 * 1000000;
        nanosleep(&ts, NULL);
    }

    return 0;
}


/* What waited or ran when the last store went: each has its file ended. */

static int
store_recover(store_t *s, char *err)
{
    size_t        i;
    unsigned      n;
    store_rows_t  rows;

    memset(&rows, 0, sizeof(rows));

    if (records_active(s->records, store_note, &rows) != 0 || rows.failed) {
        snprintf(err, STORE_ERR_LEN, "records: %s",
                 rows.failed ? "out of memory" : records_error(s->records));
        store_rows_free(&rows);
        return -1;
    }

    /* max_captures may have been more in former times */

    n = (unsigned) s->conf->max_captures;
    n = rows.n > n ? (unsigned) rows.n : n;

    s->jobs = calloc(n, sizeof(*s->jobs));
    s->quota = quota_new(n, s->conf->max_bytes, s->conf->max_bytes_per_user);

    s->njobs = s->jobs ? n : 0;

    if (s->jobs == NULL || s->quota == NULL || upload_open(s) != 0) {
        snprintf(err, STORE_ERR_LEN, "out of memory");
        store_rows_free(&rows);
        return -1;
    }

    for (i = 0; i < rows.n; i++) {
        snprintf(rows.recs[i].detail, sizeof(rows.recs[i].detail),
                 "the store was killed");
        (void) job_recover(s, &rows.recs[i]);
    }

    if (rows.n) {
        log_warn(s->log, "%zu captures were interrupted by the end of an "
                 "earlier store", rows.n);
    }

    store_rows_free(&rows);
    bucket_begin(s);

    return 0;
}


void
store_close(store_t *s)
{
    unsigned  i;

    for (i = 0; i < s->njobs; i++) {
        record_free(&s->jobs[i].rec);
    }

    free(s->jobs);
    upload_close(s);
    sweep_close(s);
    bucket_close(s);
    quota_free(s->quota);
    records_close(s->records);

    if (s->folder != -1) {
        close(s->folder);
    }
}


void
store_tick(store_t *s)
{
    int64_t  now;

    now = store_now();
    job_tick(s);
    upload_tick(s);
    sweep_tick(s);

    if (now >= s->next_due) {
        store_expire(s, now);
    }

    if (now >= s->next_forget) {
        s->next_forget = now + STORE_FORGET_S;

        if (records_forget(s->records, now
                           - (int64_t) (s->conf->keep_records / 1000)) != 0)
        {
            log_error(s->log, "records: %s", records_error(s->records));
        }
    }
}


/* To the second: the clock's next second, not a second from now. */

int
store_timeout(const store_t *s)
{
    int  least, other;

    least = store_due(s);
    other = upload_timeout(s);
    least = other != -1 && other < least ? other : least;
    other = sweep_timeout(s);

    return other != -1 && other < least ? other : least;
}


static int
store_due(const store_t *s)
{
    int64_t          left;
    unsigned         i;
    struct timespec  ts;

    for (i = 0; i < s->njobs; i++) {
        if (s->jobs[i].kind != JOB_FREE
            && (s->jobs[i].dirty || s->jobs[i].pid == 0))
        {
            return 200;
        }
    }

    clock_gettime(CLOCK_REALTIME, &ts);

    if (s->next_due - ts.tv_sec > STORE_TURN_MS / 1000) {
        return STORE_TURN_MS;
    }

    left = (s->next_due - ts.tv_sec) * 1000 - ts.tv_nsec / 1000000;

    return left < 0 ? 0 : (int) left;
}


static void
store_expire(store_t *s, int64_t now)
{
    int           failed;
    size_t        i;
    store_rows_t  rows;

    failed = 0;
    memset(&rows, 0, sizeof(rows));

    if (records_due(s->records, now, store_note, &rows) != 0) {
        log_error(s->log, "records: %s", records_error(s->records));
        failed = 1;
    }

    for (i = 0; i < rows.n; i++) {
        if (store_remove(s, &rows.recs[i]) != 0) {
            failed = 1;
        }
    }

    store_rows_free(&rows);

    if (records_next(s->records, &s->next_due) != 0 || failed) {
        s->next_due = now + STORE_AGAIN_S;
    }
}


/*
 * The file first: if it stays, it is still known. A row that cannot be
 * written is due again, and a file that has gone already is no error.
 */

int
store_remove(store_t *s, record_t *rec)
{
    log_t  log;

    log = log_about(s->log, rec->id);

    if (store_unlink(s, rec->id) != 0) {
        return -1;
    }

    upload_drop(s, rec);
    rec->state = RECORD_GONE;
    rec->gone = store_now();
    rec->file[0] = '\0';

    if (records_update(s->records, rec) != 0) {
        log_error(&log, "its record cannot be written: %s",
                  records_error(s->records));
        return -1;
    }

    log_info(&log, "gone");
    store_count(s, rec->owner);

    return 0;
}


int
store_unlink(store_t *s, const char *id)
{
    char     name[RECORD_ID_LEN + 16];
    log_t    log;
    size_t   i;

    for (i = 0; text_suffixes[i]; i++) {
        snprintf(name, sizeof(name), "%s%s", id, text_suffixes[i]);

        if (unlinkat(s->folder, name, 0) != 0 && errno != ENOENT) {
            log = log_about(s->log, id);
            log_error(&log, "%s cannot be removed: %s", name,
                      strerror(errno));
            return -1;
        }
    }

    return 0;
}


void
store_count(store_t *s, const char *owner)
{
    uint64_t  bytes;
    unsigned  i;

    if (records_usage(s->records, NULL, &bytes) == 0) {
        quota_rest(s->quota, bytes);
    }

    for (i = 0; i < s->njobs; i++) {
        if (s->jobs[i].kind != JOB_FREE
            && strcmp(s->jobs[i].rec.owner, owner) == 0)
        {
            if (records_usage(s->records, owner, &bytes) == 0) {
                quota_rest_owner(s->quota, s->jobs[i].owner, bytes);
            }

            return;
        }
    }
}


int
store_bytes(const store_t *s, const char *owner, uint64_t *bytes)
{
    uint64_t  number;
    unsigned  i;

    if (records_usage(s->records, owner, bytes) != 0) {
        return -1;
    }

    number = 0;

    for (i = 0; i < s->njobs && owner != NULL; i++) {
        if (s->jobs[i].kind != JOB_FREE
            && strcmp(s->jobs[i].rec.owner, owner) == 0)
        {
            number = s->jobs[i].owner;
        }
    }

    if (owner == NULL || number != 0) {
        *bytes += quota_running(s->quota, number);
    }

    return 0;
}


/* Files that look like ours and that no record knows: somebody must look. */

static void
store_strangers(const store_t *s)
{
    int             fd;
    DIR            *dir;
    char            id[RECORD_ID_LEN + 1];
    record_t        rec;
    struct dirent  *entry;

    fd = openat(s->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir = fd == -1 ? NULL : fdopendir(fd);

    if (dir == NULL) {
        return;
    }

    while ((entry = readdir(dir)) != NULL) {

        if (!text_is_file(entry->d_name, id)) {
            continue;
        }

        switch (records_get(s->records, id, &rec)) {
        case 0:
            log_warn(s->log, "%s has no record, and is left alone",
                     entry->d_name);
            break;
        case 1:
            store_doubled(s, &rec, entry->d_name);
            record_free(&rec);
        }
    }

    closedir(dir);
}


/* A store was killed between the note that it is in S3 and its removal. */

static void
store_doubled(const store_t *s, const record_t *rec, const char *name)
{
    if (rec->place == RECORD_S3 && unlinkat(s->folder, name, 0) != 0) {
        log_error(s->log, "%s cannot be removed: %s", name, strerror(errno));
    }
}


static void
store_note(void *data, const record_t *rec)
{
    record_t      *recs;
    store_rows_t  *rows;

    rows = data;

    if (rows->n == rows->max) {
        recs = realloc(rows->recs, (2 * rows->max + 16) * sizeof(*recs));

        if (recs == NULL) {
            rows->failed = 1;
            return;
        }

        rows->recs = recs;
        rows->max = 2 * rows->max + 16;
    }

    recs = &rows->recs[rows->n];
    *recs = *rec;
    recs->about = strdup(rec->about);

    if (recs->about == NULL) {
        rows->failed = 1;
        return;
    }

    rows->n++;
}


static void
store_rows_free(store_rows_t *rows)
{
    while (rows->n) {
        record_free(&rows->recs[--rows->n]);
    }

    free(rows->recs);
}


int64_t
store_now(void)
{
    struct timespec  ts;

    /* time() may still be in the last second when a timer has waited for
     * this one: it is the kernel's last tick */

    clock_gettime(CLOCK_REALTIME, &ts);

    return ts.tv_sec;
}


int64_t
store_ms(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
