/*
 * store/upload.c: see upload.h. A word is answered when it is noted and not
 * before; one that cannot be noted is tried again. A process that was killed
 * is followed by another, which goes on behind the last part that is noted.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "store.h"
#include "sweep.h"
#include "text.h"
#include "upload.h"
#include "uploader.h"


#define UPLOAD_AGAIN_MS  1000        /* after a process died; then doubled */
#define UPLOAD_LIVE_MS   3000        /* who follows the file opens it by then */
#define UPLOAD_LONGEST   6           /* times, to about a minute */

typedef struct {
    s3_part_t   *parts;
    unsigned     n;
    int          failed;             /* they are not 1, 2, ... */
} upload_parts_t;


static upload_t *upload_find(const store_t *s, const char *id);
static upload_t *upload_place(store_t *s, const char *id);
static int upload_fork(store_t *s, upload_t *up);
static void upload_child(const store_t *s, const upload_t *up,
    const record_t *rec, const upload_parts_t *parts, uint64_t sent,
    int report, pid_t parent) __attribute__((noreturn));
static int upload_parts(store_t *s, const char *id, upload_parts_t *parts,
    uint64_t *sent);
static void upload_torn(record_t *rec, uint64_t bytes, uint64_t raw);
static void upload_note_part(void *data, unsigned n, const char *etag);
static void upload_hear(store_t *s, upload_t *up);
static int upload_valid(const upload_report_t *r);
static void upload_take(store_t *s, upload_t *up);
static int upload_note(store_t *s, upload_t *up);
static int upload_done(store_t *s, upload_t *up);
static void upload_unlink(const store_t *s, const char *id);
static void upload_answer(const upload_t *up, upload_answer_t answer);
static void upload_ended(store_t *s, upload_t *up, int status);
static void upload_free(store_t *s, upload_t *up);
static void upload_scan(store_t *s);
static void upload_found(void *data, const record_t *rec);


int
upload_open(store_t *s)
{
    unsigned  i;

    s->sweeper.fd = -1;

    if (!s->conf->s3.wanted) {
        return 0;
    }

    s->uploads = calloc(s->njobs, sizeof(*s->uploads));
    if (s->uploads == NULL) {
        return -1;
    }

    s->nuploads = s->njobs;
    s->scan = 1;
    s->sweeper.due = 1;

    for (i = 0; i < s->nuploads; i++) {
        s->uploads[i].fd = -1;
    }

    return 0;
}


void
upload_close(store_t *s)
{
    unsigned  i;

    for (i = 0; i < s->nuploads; i++) {
        if (s->uploads[i].pid > 0) {
            kill(s->uploads[i].pid, SIGKILL);
            (void) waitpid(s->uploads[i].pid, NULL, 0);
        }
    }

    free(s->uploads);
}


static upload_t *
upload_find(const store_t *s, const char *id)
{
    unsigned  i;

    for (i = 0; i < s->nuploads; i++) {
        if (strcmp(s->uploads[i].id, id) == 0) {
            return &s->uploads[i];
        }
    }

    return NULL;
}


static upload_t *
upload_place(store_t *s, const char *id)
{
    upload_t  *up;

    up = upload_find(s, "");

    if (up != NULL) {
        memset(up, 0, sizeof(*up));
        up->fd = -1;
        up->slot = -1;
        snprintf(up->id, sizeof(up->id), "%s", id);
    }

    return up;
}


void
upload_begin(store_t *s, const job_t *job)
{
    upload_t  *up;

    if (s->nuploads == 0 || upload_find(s, job->rec.id) != NULL) {
        return;
    }

    up = upload_place(s, job->rec.id);

    if (up != NULL) {
        up->slot = job->slot;
        up->live = job->live;
        (void) upload_fork(s, up);
    }
}


/* 0, or -1 (logged): it is tried again. */

static int
upload_fork(store_t *s, upload_t *up)
{
    int              rc, fds[2];
    pid_t            pid, parent;
    record_t         rec;
    uint64_t         sent;
    upload_parts_t   parts;

    up->again_ms = store_ms() + UPLOAD_AGAIN_MS;

    if (records_get(s->records, up->id, &rec) != 1) {
        log_error(s->log, "records: %s", records_error(s->records));
        return -1;
    }

    memset(&parts, 0, sizeof(parts));
    rc = -1;

    if (upload_parts(s, up->id, &parts, &sent) != 0
        || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    {
        log_error(s->log, "an upload cannot be begun: %s", strerror(errno));
        goto out;
    }

    parent = getpid();
    pid = fork();

    if (pid == 0) {
        upload_child(s, up, &rec, &parts, sent, fds[1], parent);
    }

    close(fds[1]);

    if (pid == -1) {
        log_error(s->log, "fork: %s", strerror(errno));
        close(fds[0]);
        goto out;
    }

    (void) fcntl(fds[0], F_SETFL, O_NONBLOCK);
    up->pid = pid;
    up->fd = fds[0];
    rc = 0;

out:

    free(parts.parts);
    record_free(&rec);

    return rc;
}


/* SIGTERM ends it at once: all that counts is noted. */

static void
upload_child(const store_t *s, const upload_t *up, const record_t *rec,
    const upload_parts_t *parts, uint64_t sent, int report, pid_t parent)
{
    uploader_t  u;

    memset(&u, 0, sizeof(u));
    u.folder = s->folder;
    child_begin(parent, 0, &u.folder, &report);

    u.conf = s->conf;
    u.log = log_about(s->log, rec->id);
    u.quota = s->quota;
    u.slot = up->ended ? -1 : up->slot;
    u.bytes = up->bytes;
    u.report = report;
    u.id = rec->id;
    u.about = rec->about;
    u.key = rec->object;
    u.upload = rec->upload;
    u.parts = parts->parts;
    u.nparts = parts->n;
    u.sent = sent;

    _exit(uploader_run(&u));
}


/* What is noted. With a gap, which must not be, it is nothing. */

static int
upload_parts(store_t *s, const char *id, upload_parts_t *parts,
    uint64_t *sent)
{
    record_parts_t  sum;

    parts->parts = calloc(S3_MAX_PARTS, sizeof(*parts->parts));

    if (parts->parts == NULL
        || records_parts(s->records, id, upload_note_part, parts, &sum) != 0)
    {
        return -1;
    }

    *sent = sum.bytes;

    if (parts->failed) {
        parts->n = 0;
        *sent = 0;
    }

    return 0;
}


static void
upload_note_part(void *data, unsigned n, const char *etag)
{
    upload_parts_t  *parts;

    parts = data;

    if (n != parts->n + 1 || n > S3_MAX_PARTS) {
        parts->failed = 1;
        return;
    }

    parts->parts[parts->n].n = n;
    snprintf(parts->parts[parts->n].etag, S3_ETAG_MAX + 1, "%s", etag);
    parts->n++;
}


void
upload_settle(store_t *s, record_t *rec)
{
    record_t         was;
    uint64_t         taken;
    const char      *base;
    record_parts_t   sum;

    if (s->nuploads == 0 || records_get(s->records, rec->id, &was) != 1) {
        return;
    }

    record_free(&was);

    if (was.object[0] == '\0'
        || records_parts(s->records, rec->id, NULL, NULL, &sum) != 0)
    {
        return;
    }

    if (sum.bytes <= rec->bytes) {
        rec->sweep = rec->state == RECORD_FAILED;
        return;
    }

    /* what was taken, as far as the row or the job knows */

    taken = rec->raw + rec->lost;
    taken = was.raw > taken ? was.raw : taken;
    rec->lost = taken > sum.raw ? taken - sum.raw : 0;
    upload_torn(rec, sum.bytes, sum.raw);
    rec->expires = rec->ended + rec->retention;
    base = strrchr(was.object, '/');
    snprintf(rec->file, sizeof(rec->file), "%.*s", RECORD_FILE_MAX,
             base ? base + 1 : was.object);
}


static void
upload_torn(record_t *rec, uint64_t bytes, uint64_t raw)
{
    rec->state = RECORD_INTERRUPTED;
    rec->bytes = bytes;
    rec->raw = raw;
    rec->sha256[0] = '\0';
    snprintf(rec->detail, sizeof(rec->detail), "its local file is gone; what "
             "was in S3 by then is there");
}


void
upload_end(store_t *s, const record_t *rec)
{
    upload_t  *up;

    if (s->nuploads == 0) {
        return;
    }

    s->sweeper.due |= rec->sweep;
    up = upload_find(s, rec->id);

    if (up == NULL) {
        s->scan = 1;
        return;
    }

    up->ended = 1;
    up->bytes = rec->bytes;

    if (rec->state == RECORD_FAILED) {
        up->done = 1;

        if (up->pid > 0) {
            kill(up->pid, SIGKILL);

        } else {
            upload_free(s, up);
        }

        return;
    }

    upload_answer(up, UPLOAD_ENDED);
}


void
upload_drop(store_t *s, record_t *rec)
{
    record_t   now;
    upload_t  *up;

    /* what the caller has may be older than what was noted last */

    if (records_get(s->records, rec->id, &now) == 1) {
        rec->sweep = now.object[0] != '\0';
        s->sweeper.due |= rec->sweep;
        record_free(&now);
    }

    up = s->nuploads ? upload_find(s, rec->id) : NULL;

    if (up == NULL) {
        return;
    }

    up->done = 1;

    if (up->pid > 0) {
        kill(up->pid, SIGKILL);

    } else {
        upload_free(s, up);
    }
}


const char *
upload_why(const store_t *s, const char *id)
{
    upload_t  *up;

    up = s->nuploads ? upload_find(s, id) : NULL;

    return up != NULL && !up->done && up->why[0] ? up->why : NULL;
}


void
upload_listen(store_t *s)
{
    unsigned  i;

    for (i = 0; i < s->nuploads; i++) {
        if (s->uploads[i].fd != -1) {
            upload_hear(s, &s->uploads[i]);
        }
    }
}


static void
upload_hear(store_t *s, upload_t *up)
{
    log_t    log;
    ssize_t  n;

    while (up->fd != -1 && !up->held) {
        n = recv(up->fd, &up->report, sizeof(up->report), 0);

        if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }

        if (n == sizeof(up->report) && upload_valid(&up->report)) {
            upload_take(s, up);
            continue;
        }

        if (n > 0) {
            log = log_about(s->log, up->id);
            log_error(&log, "its upload says what makes no sense");
        }

        close(up->fd);
        up->fd = -1;
    }
}


/* It is ours, but it has listened to a server. */

static int
upload_valid(const upload_report_t *r)
{
    return r->word >= UPLOAD_BEGUN && r->word <= UPLOAD_WELL
           && r->n <= S3_MAX_PARTS && r->bytes <= INT64_MAX
           && r->raw <= INT64_MAX
           && memchr(r->key, '\0', sizeof(r->key)) != NULL
           && memchr(r->upload, '\0', sizeof(r->upload)) != NULL
           && memchr(r->etag, '\0', sizeof(r->etag)) != NULL
           && memchr(r->text, '\0', sizeof(r->text)) != NULL;
}


static void
upload_take(store_t *s, upload_t *up)
{
    log_t  log;

    if (up->done) {
        return;                              /* it is being ended */
    }

    if (upload_note(s, up) != 0) {
        log = log_about(s->log, up->id);

        if (!up->held) {
            log_error(&log, "its upload cannot be noted, and waits: %s",
                      records_error(s->records));
        }

        up->held = 1;
        up->again_ms = store_ms() + UPLOAD_AGAIN_MS;
        return;
    }

    up->held = 0;
    up->fails = 0;
    upload_answer(up, UPLOAD_NOTED);
}


static int
upload_note(store_t *s, upload_t *up)
{
    const upload_report_t  *r;

    r = &up->report;

    switch (r->word) {

    case UPLOAD_BEGUN:
        return records_upload(s->records, up->id, r->key, r->upload);

    case UPLOAD_PART:
        return records_part(s->records, up->id, r->n, r->bytes, r->raw,
                            r->etag);

    case UPLOAD_DONE:
        return upload_done(s, up);

    default:
        text_clean(up->why, sizeof(up->why), r->text);
        return 0;
    }
}


/* The row first: until it says so, the file is what there is. */

static int
upload_done(store_t *s, upload_t *up)
{
    int                     rc;
    log_t                   log;
    record_t                rec;
    record_parts_t          sum;
    const upload_report_t  *r;

    r = &up->report;

    if (records_parts(s->records, up->id, NULL, NULL, &sum) != 0) {
        return -1;
    }

    if (records_get(s->records, up->id, &rec) != 1) {
        return -1;
    }

    if (r->bytes != rec.bytes) {
        rec.lost += rec.raw > sum.raw ? rec.raw - sum.raw : 0;
        upload_torn(&rec, r->bytes, sum.raw);
    }

    rec.place = RECORD_S3;
    rc = records_update(s->records, &rec);

    if (rc == 0) {
        rc = records_upload(s->records, up->id, r->key, "");
    }

    if (rc == 0) {
        up->done = 1;

        if (!up->live) {
            upload_unlink(s, up->id);
        }

        log = log_about(s->log, up->id);
        log_info(&log, "in S3, %llu bytes", (unsigned long long) r->bytes);
        store_count(s, rec.owner);
    }

    record_free(&rec);

    return rc;
}


static void
upload_unlink(const store_t *s, const char *id)
{
    char    name[RECORD_FILE_MAX + 1];
    log_t   log;
    size_t  i;

    for (i = 1; text_suffixes[i]; i++) {
        snprintf(name, sizeof(name), "%s%s", id, text_suffixes[i]);

        if (unlinkat(s->folder, name, 0) != 0 && errno != ENOENT) {
            log = log_about(s->log, id);
            log_error(&log, "%s cannot be removed: %s", name,
                      strerror(errno));
        }
    }
}


/* It reads what it is told before it says more: there is always room. */

static void
upload_answer(const upload_t *up, upload_answer_t answer)
{
    upload_order_t  order;

    if (up->fd == -1) {
        return;
    }

    memset(&order, 0, sizeof(order));
    order.answer = answer;
    order.bytes = up->bytes;
    (void) send(up->fd, &order, sizeof(order), MSG_NOSIGNAL | MSG_DONTWAIT);
}


void
upload_reap(store_t *s)
{
    int        status;
    unsigned   i;
    upload_t  *up;

    for (i = 0; i < s->nuploads; i++) {
        up = &s->uploads[i];

        if (up->pid > 0 && waitpid(up->pid, &status, WNOHANG) == up->pid) {
            up->pid = 0;
            upload_hear(s, up);
            upload_ended(s, up, status);
        }
    }
}


static void
upload_ended(store_t *s, upload_t *up, int status)
{
    log_t  log;

    if (up->fd != -1) {
        close(up->fd);
        up->fd = -1;
    }

    up->held = 0;

    if (up->done && up->live && !s->stopping) {
        up->live = 0;
        up->again_ms = store_ms() + UPLOAD_LIVE_MS;
        return;
    }

    if (up->done || s->stopping) {
        upload_free(s, up);
        return;
    }

    log = log_about(s->log, up->id);
    log_error(&log, "its upload ended, %s %d; another goes on",
              WIFSIGNALED(status) ? "by signal" : "with status",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    up->again_ms = store_ms() + (UPLOAD_AGAIN_MS << up->fails);
    up->fails += up->fails < UPLOAD_LONGEST;
}


static void
upload_free(store_t *s, upload_t *up)
{
    if (up->fd != -1) {
        close(up->fd);
    }

    memset(up, 0, sizeof(*up));
    up->fd = -1;
    s->scan = 1;
}


void
upload_tick(store_t *s)
{
    int64_t    now;
    unsigned   i;
    upload_t  *up;

    if (s->nuploads == 0 || s->stopping) {
        return;
    }

    if (s->scan) {
        upload_scan(s);
    }

    now = store_ms();

    for (i = 0; i < s->nuploads; i++) {
        up = &s->uploads[i];

        if (up->id[0] == '\0' || now < up->again_ms) {
            continue;
        }

        if (up->held) {
            upload_take(s, up);
            upload_hear(s, up);

        } else if (up->pid == 0 && up->done) {
            upload_unlink(s, up->id);
            upload_free(s, up);

        } else if (up->pid == 0) {
            (void) upload_fork(s, up);
        }
    }
}


/* What has ended and had no place gets the ones that are free. */

static void
upload_scan(store_t *s)
{
    if (upload_find(s, "") == NULL) {
        return;
    }

    s->scan = 0;

    if (records_local(s->records, upload_found, s) != 0) {
        log_error(s->log, "records: %s", records_error(s->records));
    }
}


static void
upload_found(void *data, const record_t *rec)
{
    store_t   *s;
    upload_t  *up;

    s = data;

    if (upload_find(s, rec->id) != NULL || job_find(s, rec->id) != NULL) {
        return;
    }

    up = upload_place(s, rec->id);

    if (up != NULL) {
        up->ended = 1;
        up->bytes = rec->bytes;
    }
}


int
upload_timeout(const store_t *s)
{
    int64_t          left, least;
    unsigned         i;
    const upload_t  *up;

    least = -1;

    for (i = 0; i < s->nuploads; i++) {
        up = &s->uploads[i];

        if (up->id[0] && (up->held || up->pid == 0)) {
            left = up->again_ms - store_ms();
            left = left < 0 ? 0 : left;
            least = least == -1 || left < least ? left : least;
        }
    }

    return (int) least;
}


unsigned
upload_count(const store_t *s)
{
    unsigned  i, n;

    n = 0;

    for (i = 0; i < s->nuploads; i++) {
        n += s->uploads[i].pid > 0 && s->uploads[i].why[0] == '\0';
    }

    return n;
}


void
upload_hurry(const store_t *s)
{
    unsigned  i;

    for (i = 0; i < s->nuploads; i++) {
        if (s->uploads[i].pid > 0 && s->uploads[i].why[0]) {
            kill(s->uploads[i].pid, SIGTERM);
        }
    }
}
