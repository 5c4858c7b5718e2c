/*
 * store/sweep.c: see sweep.h. The process gets copies of a few rows by being
 * forked, and knows nothing else.
 */

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "store.h"
#include "sweep.h"
#include "text.h"


#define SWEEP_ROWS      64           /* for one process */
#define SWEEP_AGAIN_MS  1000         /* after a failure; then doubled */
#define SWEEP_LONGEST   6            /* times, to about a minute */

typedef struct {
    char       id[RECORD_ID_LEN + 1];
    char       object[RECORD_OBJECT_MAX + 1];
    char       upload[RECORD_UPLOAD_MAX + 1];
} sweep_row_t;

typedef struct {
    unsigned      n;
    sweep_row_t   rows[SWEEP_ROWS];
} sweep_rows_t;


static void sweep_note(void *data, const record_t *rec);
static int sweep_fork(store_t *s, const sweep_rows_t *rows);
static int sweep_run(const store_t *s, const sweep_rows_t *rows, int report);
static int sweep_row(s3_t *s3, const sweep_row_t *row, s3_error_t *e);
static void sweep_gone(store_t *s, const char *id);
static void sweep_later(store_t *s);


void
sweep_tick(store_t *s)
{
    unsigned       i;
    sweep_rows_t  *rows;

    if (s->nuploads == 0 || s->stopping || s->sweeper.pid > 0
        || !s->sweeper.due || store_ms() < s->sweeper.again_ms)
    {
        return;
    }

    /* who is about to be ended could still send something */

    for (i = 0; i < s->nuploads; i++) {
        if (s->uploads[i].done && s->uploads[i].pid > 0) {
            return;
        }
    }

    rows = calloc(1, sizeof(*rows));

    if (rows == NULL
        || records_sweep(s->records, SWEEP_ROWS, sweep_note, rows) != 0)
    {
        log_error(s->log, "what must be deleted in S3 is not known: %s",
                  rows ? records_error(s->records) : "out of memory");
        sweep_later(s);

    } else if (rows->n == 0) {
        s->sweeper.due = 0;

    } else if (sweep_fork(s, rows) != 0) {
        log_error(s->log, "fork: %s", strerror(errno));
        sweep_later(s);
    }

    free(rows);
}


static void
sweep_note(void *data, const record_t *rec)
{
    sweep_row_t   *row;
    sweep_rows_t  *rows;

    rows = data;

    if (rows->n < SWEEP_ROWS) {
        row = &rows->rows[rows->n++];
        memcpy(row->id, rec->id, sizeof(row->id));
        memcpy(row->object, rec->object, sizeof(row->object));
        memcpy(row->upload, rec->upload, sizeof(row->upload));
    }
}


static int
sweep_fork(store_t *s, const sweep_rows_t *rows)
{
    int    fds[2], folder;
    pid_t  pid, parent;

    if (pipe2(fds, O_CLOEXEC) != 0) {
        return -1;
    }

    parent = getpid();
    pid = fork();

    if (pid == 0) {
        folder = s->folder;
        child_begin(parent, 0, &folder, &fds[1]);
        close(folder);
        _exit(sweep_run(s, rows, fds[1]));
    }

    close(fds[1]);

    if (pid == -1) {
        close(fds[0]);
        return -1;
    }

    (void) fcntl(fds[0], F_SETFL, O_NONBLOCK);
    s->sweeper.pid = pid;
    s->sweeper.fd = fds[0];

    return 0;
}


/* In the child. All are tried; the status says whether all are deleted. */

static int
sweep_run(const store_t *s, const sweep_rows_t *rows, int report)
{
    int          rc;
    char         err[S3_ERR_LEN];
    s3_t        *s3;
    log_t        log;
    unsigned     i;
    s3_conf_t    conf;
    s3_error_t   e;

    conf = conf_s3(s->conf);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    s3 = s3_open(&conf, err);

    if (s3 == NULL) {
        log_error(s->log, "s3: %s", err);
        return 1;
    }

    rc = 0;

    for (i = 0; i < rows->n; i++) {
        log = log_about(s->log, rows->rows[i].id);

        if (sweep_row(s3, &rows->rows[i], &e) != 0) {
            log_line(&log, e.status >= 400 && e.status < 500
                     ? STORE_LOG_ERROR : STORE_LOG_WARN, "cannot be deleted "
                     "in S3 yet: %s", e.text);
            rc = 2;

            if (e.status == 0) {
                break;                       /* nobody answers */
            }

            continue;
        }

        if (write(report, rows->rows[i].id, RECORD_ID_LEN)
            != RECORD_ID_LEN)
        {
            return 1;
        }

        log_info(&log, "deleted in S3");
    }

    s3_close(s3);

    return rc;
}


static int
sweep_row(s3_t *s3, const sweep_row_t *row, s3_error_t *e)
{
    if (row->upload[0] && s3_abort(s3, row->object, row->upload, e) != 0) {
        return -1;
    }

    return s3_delete(s3, row->object, e);
}


void
sweep_listen(store_t *s)
{
    char     id[RECORD_ID_LEN + 1];
    ssize_t  n;

    while (s->sweeper.fd != -1) {
        n = read(s->sweeper.fd, id, RECORD_ID_LEN);

        if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }

        id[RECORD_ID_LEN] = '\0';

        if (n == RECORD_ID_LEN && text_is_hex(id, RECORD_ID_LEN)) {
            sweep_gone(s, id);
            continue;
        }

        close(s->sweeper.fd);
        s->sweeper.fd = -1;
    }
}


/* If it cannot be written it is deleted once more, which is no error. */

static void
sweep_gone(store_t *s, const char *id)
{
    record_t  rec;

    if (records_get(s->records, id, &rec) != 1) {
        return;
    }

    rec.sweep = 0;

    if (records_update(s->records, &rec) != 0
        || records_upload(s->records, id, "", "") != 0)
    {
        log_error(s->log, "records: %s", records_error(s->records));
    }

    record_free(&rec);
}


void
sweep_reap(store_t *s)
{
    int  status;

    if (s->sweeper.pid <= 0
        || waitpid(s->sweeper.pid, &status, WNOHANG) != s->sweeper.pid)
    {
        return;
    }

    s->sweeper.pid = 0;
    sweep_listen(s);

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        s->sweeper.fails = 0;
        return;                              /* there may be more */
    }

    sweep_later(s);
}


static void
sweep_later(store_t *s)
{
    s->sweeper.again_ms = store_ms() + (SWEEP_AGAIN_MS << s->sweeper.fails);
    s->sweeper.fails += s->sweeper.fails < SWEEP_LONGEST;
}


int
sweep_timeout(const store_t *s)
{
    int64_t  left;

    if (s->nuploads == 0 || !s->sweeper.due || s->sweeper.pid > 0) {
        return -1;
    }

    left = s->sweeper.again_ms - store_ms();

    return left < 200 ? 200 : (int) left;
}


void
sweep_close(store_t *s)
{
    if (s->sweeper.pid > 0) {
        kill(s->sweeper.pid, SIGKILL);
        (void) waitpid(s->sweeper.pid, NULL, 0);
        s->sweeper.pid = 0;
    }
}
