/*
 * store/job.c: see job.h. Here is the store's side: places, processes, their
 * words, and rows. A row that cannot be written stays in its job and is tried
 * again: what is in memory is what is true.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "fetch.h"
#include "store.h"
#include "text.h"


#define JOB_WRITE_MS  1000
#define JOB_AGAIN_MS  1000           /* doubled each time, up to */
#define JOB_LONGEST   6              /* so many times: a minute */

_Static_assert(sizeof(job_report_t) < 4096, "PIPE_BUF: it must come whole");


static job_t *job_place(store_t *s, record_t *rec);
static int job_fork(store_t *s, job_t *job, const job_order_t *order);
static void job_child(const store_t *s, const job_t *job,
    const job_order_t *order, int report, pid_t parent)
    __attribute__((noreturn));
static int job_valid(const job_t *job, const job_report_t *r);
static void job_take(store_t *s, job_t *job, const job_report_t *r);
static void job_ended(store_t *s, job_t *job, int status);
static void job_end(store_t *s, job_t *job, const job_report_t *r);
static void job_again(job_t *job);
static int job_overdue(const job_t *job);
static void job_progress(store_t *s, int64_t now);
static void job_write(store_t *s, job_t *job);
static void job_free(store_t *s, job_t *job);


int
job_start(store_t *s, record_t *rec, const job_order_t *order)
{
    job_t  *job;

    job = job_place(s, rec);
    if (job == NULL) {
        return -1;
    }

    job->kind = JOB_FETCH;
    job->live = order->live;

    if (job_fork(s, job, order) != 0) {
        job->rec.about = NULL;
        job_free(s, job);
        return -1;
    }

    rec->about = NULL;

    return 0;
}


int
job_recover(store_t *s, record_t *rec)
{
    job_t  *job;

    job = job_place(s, rec);
    if (job == NULL) {
        return -1;
    }

    /* if there is no process to be had: job_tick() tries again */

    job->kind = JOB_RECOVER;
    (void) job_fork(s, job, NULL);
    rec->about = NULL;

    return 0;
}


static job_t *
job_place(store_t *s, record_t *rec)
{
    job_t     *job, *other;
    unsigned   i;

    job = NULL;
    other = NULL;

    for (i = 0; i < s->njobs; i++) {
        if (s->jobs[i].kind == JOB_FREE) {
            job = job ? job : &s->jobs[i];

        } else if (strcmp(s->jobs[i].rec.owner, rec->owner) == 0) {
            other = &s->jobs[i];
        }
    }

    if (job == NULL) {
        return NULL;
    }

    memset(job, 0, sizeof(*job));
    job->fd = -1;
    job->owner = other ? other->owner : ++s->owners;
    job->slot = quota_take(s->quota, job->owner, rec->bytes);

    if (job->slot == -1) {
        return NULL;
    }

    job->rec = *rec;
    job->kind = JOB_ENDED;
    store_count(s, rec->owner);

    return job;
}


static int
job_fork(store_t *s, job_t *job, const job_order_t *order)
{
    int    fds[2];
    pid_t  pid, parent;
    log_t  log;

    log = log_about(s->log, job->rec.id);

    if (pipe2(fds, O_CLOEXEC) != 0) {
        log_error(&log, "pipe2: %s", strerror(errno));
        return -1;
    }

    parent = getpid();
    pid = fork();

    if (pid == 0) {
        job_child(s, job, order, fds[1], parent);
    }

    close(fds[1]);

    if (pid == -1) {
        log_error(&log, "fork: %s", strerror(errno));
        close(fds[0]);
        return -1;
    }

    (void) fcntl(fds[0], F_SETFL, O_NONBLOCK);
    job->pid = pid;
    job->fd = fds[0];
    job->final = 0;

    return 0;
}


/* SIGTERM is waited for by a capture, and ends what can be begun anew. */

static void
job_child(const store_t *s, const job_t *job, const job_order_t *order,
    int report, pid_t parent)
{
    int      folder;
    fetch_t  f;

    folder = s->folder;
    child_begin(parent, job->kind == JOB_FETCH ? SIGTERM : 0, &folder,
                &report);
    conf_forget(s->conf);

    memset(&f, 0, sizeof(f));
    f.conf = s->conf;
    f.log = log_about(s->log, job->rec.id);
    f.quota = s->quota;
    f.slot = job->slot;
    f.folder = folder;
    f.report = report;
    f.id = job->rec.id;
    f.detail = job->rec.detail;
    f.order = order;

    _exit(job->kind == JOB_RECOVER ? fetch_recover(&f) : fetch_run(&f));
}


job_t *
job_find(const store_t *s, const char *id)
{
    unsigned  i;

    for (i = 0; i < s->njobs; i++) {
        if (s->jobs[i].kind != JOB_FREE
            && strcmp(s->jobs[i].rec.id, id) == 0)
        {
            return &s->jobs[i];
        }
    }

    return NULL;
}


unsigned
job_count(const store_t *s, const char *owner)
{
    unsigned  i, n;

    n = 0;

    for (i = 0; i < s->njobs; i++) {
        n += s->jobs[i].kind != JOB_FREE
             && (owner == NULL || strcmp(s->jobs[i].rec.owner, owner) == 0);
    }

    return n;
}


void
job_listen(store_t *s, job_t *job)
{
    log_t         log;
    ssize_t       n;
    job_report_t  r;

    while (job->fd != -1) {
        n = read(job->fd, &r, sizeof(r));

        if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }

        if (n == sizeof(r) && !job->final && job_valid(job, &r)) {
            job_take(s, job, &r);
            continue;
        }

        if (n != 0) {
            log = log_about(s->log, job->rec.id);
            log_error(&log, "its process says what makes no sense");
        }

        close(job->fd);
        job->fd = -1;
    }
}


/* It is ours, but it has read a capture. */

static int
job_valid(const job_t *job, const job_report_t *r)
{
    return (r->state == RECORD_RUNNING || r->state == RECORD_STORED
            || r->state == RECORD_INTERRUPTED || r->state == RECORD_FAILED)
           && memchr(r->status, '\0', sizeof(r->status)) != NULL
           && memchr(r->detail, '\0', sizeof(r->detail)) != NULL
           && memchr(r->sha256, '\0', sizeof(r->sha256)) != NULL
           && memchr(r->file, '\0', sizeof(r->file)) != NULL
           && r->bytes <= INT64_MAX && r->raw <= INT64_MAX
           && r->lost <= INT64_MAX
           && r->packets <= INT64_MAX && r->dropped <= INT64_MAX
           && r->answer >= 0 && r->answer <= 999
           && (r->file[0] == '\0'
               || (text_is_file(r->file, NULL)
                   && strncmp(r->file, job->rec.id, RECORD_ID_LEN) == 0));
}


/* The last word counts when the process has ended: all of it at once. */

static void
job_take(store_t *s, job_t *job, const job_report_t *r)
{
    if (r->state != RECORD_RUNNING) {
        job->final = 1;
        job->last = *r;
        return;
    }

    if (job->rec.state != RECORD_RUNNING) {
        job->written_ms = 0;
        upload_begin(s, job);
    }

    job->rec.state = RECORD_RUNNING;
    job->rec.bytes = r->bytes;
    job->rec.raw = r->raw;
    job->dirty = 1;
}


void
job_reap(store_t *s)
{
    int        status;
    job_t     *job;
    unsigned   i;

    for (i = 0; i < s->njobs; i++) {
        job = &s->jobs[i];

        if (job->kind != JOB_FREE && job->pid > 0
            && waitpid(job->pid, &status, WNOHANG) == job->pid)
        {
            job->pid = 0;
            job_listen(s, job);
            job_ended(s, job, status);
        }
    }
}


static void
job_ended(store_t *s, job_t *job, int status)
{
    log_t  log;

    if (job->fd != -1) {
        close(job->fd);
        job->fd = -1;
    }

    if (job->final && !s->stopping && job->last.file[0] == '\0'
        && job->last.state == RECORD_INTERRUPTED)
    {
        job->kind = JOB_RECOVER;
        job_again(job);
        return;
    }

    if (job->final) {
        job_end(s, job, &job->last);
        job_write(s, job);
        return;
    }

    /* the next store does that: the row still says that it runs */

    if (s->stopping) {
        job_free(s, job);
        return;
    }

    log = log_about(s->log, job->rec.id);
    log_error(&log, "its process ended without a word, %s %d",
              WIFSIGNALED(status) ? "by signal" : "with status",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));

    if (job->kind == JOB_RECOVER) {
        job_again(job);
        return;
    }

    snprintf(job->rec.detail, sizeof(job->rec.detail), "its process was ended "
             "%s %d", WIFSIGNALED(status) ? "by signal" : "with status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    job->kind = JOB_RECOVER;
    (void) job_fork(s, job, NULL);
}


/*
 * What is left cannot be ended now: its row says that it runs, so that the
 * next store tries, too; users see that it is interrupted.
 */

static void
job_again(job_t *job)
{
    job->rec.state = RECORD_INTERRUPTED;
    snprintf(job->rec.detail, sizeof(job->rec.detail), "what was left of it "
             "could not be ended yet%s%.300s", job->final ? ": " : "",
             job->final ? job->last.detail : "");
    job->final = 0;
    job->dirty = 0;
    job->again_ms = store_ms() + (JOB_AGAIN_MS << job->fails);
    job->fails += job->fails < JOB_LONGEST;
}


int
job_drop(store_t *s, job_t *job)
{
    if (job->pid > 0
        || (job->kind != JOB_ENDED && job->kind != JOB_RECOVER)
        || store_unlink(s, job->rec.id) != 0)
    {
        return -1;
    }

    upload_drop(s, &job->rec);
    quota_set(s->quota, job->slot, 0);
    job->kind = JOB_ENDED;
    job->rec.state = RECORD_GONE;
    job->rec.gone = store_now();
    job->rec.ended = job->rec.ended ? job->rec.ended : job->rec.gone;
    job->rec.file[0] = '\0';
    job->dirty = 1;
    job_write(s, job);

    return 0;
}


/* Its time is over, and it cannot go the usual way. */

static int
job_overdue(const job_t *job)
{
    int64_t  end;

    end = job->rec.ended ? job->rec.ended : job->rec.created;

    return job->pid == 0 && job->rec.state != RECORD_GONE
           && job->rec.state != RECORD_FAILED
           && ((job->kind == JOB_ENDED && job->dirty)
               || (job->kind == JOB_RECOVER && job->fails))
           && store_now() >= end + job->rec.retention;
}


/* Retention counts from the end, however long a capture ran. */

static void
job_end(store_t *s, job_t *job, const job_report_t *r)
{
    record_t  *rec;
    uint64_t   taken;

    rec = &job->rec;
    taken = rec->raw;
    job->kind = JOB_ENDED;

    rec->state = r->state;
    rec->bytes = r->bytes;
    rec->raw = r->raw;
    rec->lost = r->lost;

    /* what a process had told before it was killed may not be in its file */

    if (taken > rec->raw && taken - rec->raw > rec->lost) {
        rec->lost = taken - rec->raw;
    }

    rec->answer = r->answer;
    rec->packets = r->packets;
    rec->dropped = r->dropped;
    text_clean(rec->status, sizeof(rec->status), r->status);
    text_clean(rec->detail, sizeof(rec->detail), r->detail);
    text_clean(rec->sha256, sizeof(rec->sha256), r->sha256);
    text_clean(rec->file, sizeof(rec->file), r->file);

    rec->ended = r->ended ? r->ended : store_now();
    rec->expires = r->state == RECORD_FAILED ? 0
                   : rec->ended + rec->retention;
    upload_settle(s, rec);
}


static void
job_write(store_t *s, job_t *job)
{
    log_t  log;

    log = log_about(s->log, job->rec.id);
    job->written_ms = store_ms();

    if (records_update(s->records, &job->rec) != 0) {
        log_error(&log, "its record cannot be written, and will be tried "
                  "again: %s", records_error(s->records));
        job->dirty = 1;
        return;
    }

    job->dirty = 0;

    if (job->kind != JOB_ENDED) {
        return;
    }

    log_info(&log, "ended: %s, %llu bytes%s%s", job->rec.state
             == RECORD_FAILED ? "failed" : job->rec.state == RECORD_GONE
             ? "gone" : "stored",
             (unsigned long long) job->rec.bytes,
             job->rec.detail[0] ? ": " : "", job->rec.detail);

    if (job->rec.expires && job->rec.expires < s->next_due) {
        s->next_due = job->rec.expires;
    }

    if (job->rec.state != RECORD_GONE) {
        upload_end(s, &job->rec);
    }

    job_free(s, job);
}


static void
job_free(store_t *s, job_t *job)
{
    char  owner[sizeof(job->rec.owner)];

    snprintf(owner, sizeof(owner), "%s", job->rec.owner);
    quota_give(s->quota, job->slot);
    record_free(&job->rec);
    memset(job, 0, sizeof(*job));
    job->fd = -1;
    store_count(s, owner);
}


void
job_tick(store_t *s)
{
    job_t     *job;
    int64_t    now;
    unsigned   i;

    now = store_ms();
    job_progress(s, now);

    for (i = 0; i < s->njobs; i++) {
        job = &s->jobs[i];

        if (job->kind == JOB_RECOVER && job->pid == 0 && !s->stopping
            && now >= job->again_ms && job_fork(s, job, NULL) != 0)
        {
            job_again(job);
        }

        if (job_overdue(job)) {
            (void) job_drop(s, job);

        } else if (job->kind == JOB_ENDED && job->dirty
                   && now - job->written_ms >= JOB_WRITE_MS)
        {
            job_write(s, job);
        }
    }
}


/* How far those that run are: all in one go, which is one wait for the disk. */

static void
job_progress(store_t *s, int64_t now)
{
    int        begun;
    job_t     *job;
    unsigned   i;

    begun = 0;

    for (i = 0; i < s->njobs; i++) {
        job = &s->jobs[i];

        if (job->kind == JOB_FETCH && job->dirty
            && now - job->written_ms >= JOB_WRITE_MS)
        {
            begun = begun || records_together(s->records, 1) == 0;
            job_write(s, job);
        }
    }

    if (begun && records_together(s->records, 0) != 0) {
        log_error(s->log, "records: %s", records_error(s->records));
    }
}


void
job_signal(const store_t *s, int signo)
{
    unsigned  i;

    for (i = 0; i < s->njobs; i++) {
        if (s->jobs[i].kind != JOB_FREE && s->jobs[i].pid > 0) {
            kill(s->jobs[i].pid, signo);
        }
    }
}
