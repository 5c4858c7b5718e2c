/*
 * cli/run.c: fork, execve, and a loop over pipes. libcurl may have threads:
 * between the two the child makes system calls only. Nothing of ours but the
 * three standard descriptors is left to it. A program without a terminal is in
 * a group of its own, so that it can be ended with all that it has started.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture.h"
#include "run.h"
#include "sig.h"
#include "wipe.h"


#define RUN_DEFAULT_PATH  "/usr/local/bin:/usr/bin:/bin"

/* Its end wakes nobody up. */
#define RUN_TICK_MS       10

/* From SIGTERM to SIGKILL, and then until it is given up. */
#define RUN_KILL_MS       500
#define RUN_GIVE_UP_MS    5000

/* Of what the child closes; whoever has more open gets no harm by it. */
#define RUN_MAX_FDS       4096

/* What is read in one go. */
#define RUN_PIECE         4096


typedef struct {
    const run_t  *run;
    run_out_t    *o;
    pid_t         pid;
    int           fds[3];      /* its output, its words, why it did not start;
                                  -1: closed */
    int           status;
    int           why;         /* errno of execve(), 0: it runs */
    int           sig_fd;      /* -1: somebody else looks after signals */
    size_t        said;        /* in o->said */
    unsigned      gone:1;
    unsigned      too_much:1;
} run_child_t;

static const char *const  run_nothing = "/dev/null";


static int
run_is_file(const char *path)
{
    struct stat  st;

    if (stat(path, &st) == -1) {
        return 0;
    }

    if (!S_ISREG(st.st_mode)) {
        errno = EACCES;
        return 0;
    }

    return access(path, X_OK) == 0;
}


char *
run_find(const char *command)
{
    int          error;
    char        *path;
    size_t       len, size;
    const char  *dir, *all;

    if (strchr(command, '/') != NULL) {
        return run_is_file(command) ? strdup(command) : NULL;
    }

    all = getenv("PATH");
    if (all == NULL || *all == '\0') {
        all = RUN_DEFAULT_PATH;
    }

    error = ENOENT;

    for (dir = all; *dir != '\0'; dir += len + (dir[len] == ':')) {
        len = strcspn(dir, ":");

        /* Nothing out of the folder where one happens to be (as Go). */
        if (len == 0 || *dir != '/') {
            continue;
        }

        size = len + strlen(command) + 2;
        path = malloc(size);

        if (path == NULL) {
            return NULL;
        }

        snprintf(path, size, "%.*s/%s", (int) len, dir, command);

        if (run_is_file(path)) {
            return path;
        }

        error = errno == EACCES ? EACCES : error;
        free(path);
    }

    errno = error;

    return NULL;
}


/* In the child. Does not come back. */
static void
run_exec(const run_t *r, int *out, int *words, int why)
{
    int               fd, error;
    sigset_t          none;
    struct sigaction  sa;

    if (!r->terminal) {
        (void) setpgid(0, 0);

        fd = open(run_nothing, O_RDONLY);
        (void) dup2(fd, STDIN_FILENO);
        (void) dup2(words[1], STDERR_FILENO);
    }

    (void) dup2(out[1], STDOUT_FILENO);

    for (fd = STDERR_FILENO + 1; fd < RUN_MAX_FDS; fd++) {
        if (fd != why) {
            (void) close(fd);
        }
    }

    /* What is ignored stays so over execve(). */
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = SIG_DFL;
    (void) sigaction(SIGPIPE, &sa, NULL);
    (void) sigaction(SIGXFSZ, &sa, NULL);
    sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);

    (void) execve(r->path, r->argv, r->envp);

    error = errno;
    (void) !write(why, &error, sizeof(error));
    _exit(127);
}


/* Both ends are closed by whatever is run. */
static int
run_pipe(int *fds)
{
    if (pipe(fds) == -1) {
        fds[0] = fds[1] = -1;
        return -1;
    }

    (void) fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    (void) fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    (void) fcntl(fds[0], F_SETFL, O_NONBLOCK);

    return 0;
}


static void
run_close(int *fd)
{
    if (*fd != -1) {
        close(*fd);
        *fd = -1;
    }
}


/* 0, or -1 with errno. The reading ends are c's. */
static int
run_start(run_child_t *c)
{
    int  i, error;
    int  pipes[3][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };

    error = 0;

    for (i = 0; i < 3 && error == 0; i++) {
        error = run_pipe(pipes[i]) == -1 ? errno : 0;
    }

    if (error == 0) {
        c->pid = fork();

        if (c->pid == 0) {
            run_exec(c->run, pipes[0], pipes[1], pipes[2][1]);
        }

        error = c->pid == -1 ? errno : 0;
    }

    /* Here as well: either may be the first. */
    if (error == 0 && !c->run->terminal) {
        (void) setpgid(c->pid, c->pid);
    }

    for (i = 0; i < 3; i++) {
        run_close(&pipes[i][1]);
        c->fds[i] = pipes[i][0];
    }

    errno = error;

    return error == 0 ? 0 : -1;
}


/* The output; one byte more than is allowed tells that it is too much. */
static ssize_t
run_read_out(run_child_t *c)
{
    ssize_t  n;

    n = read(c->fds[0], c->o->out + c->o->len, RUN_MAX_BYTES + 1 - c->o->len);

    if (n > 0) {
        c->o->len += (size_t) n;
        c->too_much = c->o->len > RUN_MAX_BYTES;
    }

    return c->too_much ? 0 : n;
}


/* The end of what it says is kept: that is where a reason stands. */
static ssize_t
run_read_words(run_child_t *c)
{
    char     piece[RUN_PIECE];
    size_t   len, drop, max;
    ssize_t  n;

    n = read(c->fds[1], piece, sizeof(piece));

    if (n > 0) {
        max = sizeof(c->o->said) - 1;
        len = (size_t) n < max ? (size_t) n : max;
        drop = c->said + len > max ? c->said + len - max : 0;

        memmove(c->o->said, c->o->said + drop, c->said - drop);
        memcpy(c->o->said + c->said - drop, piece + n - len, len);
        c->said += len - drop;
        c->o->said[c->said] = '\0';
    }

    return n;
}


static ssize_t
run_read_why(run_child_t *c)
{
    int      error;
    ssize_t  n;

    n = read(c->fds[2], &error, sizeof(error));

    if (n == (ssize_t) sizeof(error)) {
        c->why = error;
    }

    return n;
}


/* Takes all that is there now. */
static void
run_read(run_child_t *c)
{
    int      i;
    ssize_t  n;

    static ssize_t (*const readers[])(run_child_t *) = {
        run_read_out, run_read_words, run_read_why
    };

    for (i = 0; i < 3; i++) {
        if (c->fds[i] == -1) {
            continue;
        }

        /* As much as a pipe may hold, so that it cannot keep us here. */
        n = readers[i](c);

        if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
            run_close(&c->fds[i]);
        }
    }
}


static void
run_look(run_child_t *c)
{
    pid_t  pid;

    if (c->gone) {
        return;
    }

    pid = waitpid(c->pid, &c->status, WNOHANG);

    /* Somebody who ignores SIGCHLD has started us: it cannot be known. */
    if (pid == -1 && errno == ECHILD) {
        c->status = 0;
    }

    c->gone = pid == c->pid || (pid == -1 && errno == ECHILD);
}


static void
run_signal(const run_child_t *c, int signo)
{
    if (c->run->terminal || kill(-c->pid, signo) == -1) {
        (void) kill(c->pid, signo);
    }
}


/* Ends it, first politely. */
static void
run_kill(run_child_t *c)
{
    uint64_t         now, began;
    unsigned         killed;
    struct timespec  tick = { 0, RUN_TICK_MS * 1000000L };

    if (c->gone) {
        return;
    }

    killed = 0;
    began = capture_now();
    run_signal(c, SIGTERM);

    for ( ;; ) {
        run_look(c);
        now = capture_now();

        if (c->gone || now - began > RUN_GIVE_UP_MS) {
            break;
        }

        if (!killed && now - began > RUN_KILL_MS) {
            killed = 1;
            run_signal(c, SIGKILL);
        }

        (void) nanosleep(&tick, NULL);
    }

    /* The rest of its group may not have listened. */
    if (!c->run->terminal) {
        (void) kill(-c->pid, SIGKILL);
    }
}


/* Waits until something is there, or a tick; -1: we are to end. */
static int
run_wait(const run_child_t *c)
{
    int            i;
    nfds_t         n;
    struct pollfd  pfds[4];

    if (c->run->wait != NULL) {
        return c->run->wait->turn(c->run->wait->ctx);
    }

    n = 0;

    for (i = 0; i < 4; i++) {
        pfds[n].fd = i < 3 ? c->fds[i] : c->sig_fd;
        pfds[n].events = POLLIN;
        n += pfds[n].fd != -1;
    }

    (void) poll(pfds, n, RUN_TICK_MS);

    return c->sig_fd != -1 && sig_read(c->sig_fd) > 0 ? -1 : 0;
}


/* 0: it has ended by itself; else -1 with err. */
static int
run_attend(run_child_t *c, char *err)
{
    uint64_t  until;

    until = capture_now() + c->run->timeout_ms;

    for ( ;; ) {
        /* In this order: what it wrote before its end is there by then. */
        run_look(c);
        run_read(c);

        if (c->too_much) {
            snprintf(err, PCAPX_ERR_LEN, "prints more than %d bytes",
                     RUN_MAX_BYTES);
            return -1;
        }

        if (c->gone) {
            return 0;
        }

        if (capture_now() >= until) {
            snprintf(err, PCAPX_ERR_LEN, "has not ended within %u s and was"
                     " ended", (unsigned) (c->run->timeout_ms / 1000));
            return -1;
        }

        if (run_wait(c) != 0) {
            snprintf(err, PCAPX_ERR_LEN, "was interrupted");
            return -1;
        }
    }
}


/* What is left in the pipe of one that has ended. */
static void
run_drain(run_child_t *c)
{
    size_t  before;

    do {
        before = c->o->len;
        run_read(c);
    } while (c->fds[0] != -1 && c->o->len > before);
}


static int
run_judge(run_child_t *c, char *err)
{
    if (c->why != 0) {
        snprintf(err, PCAPX_ERR_LEN, "cannot be run: %s", strerror(c->why));
        return -1;
    }

    if (c->too_much) {
        snprintf(err, PCAPX_ERR_LEN, "prints more than %d bytes",
                 RUN_MAX_BYTES);
        return -1;
    }

    if (WIFSIGNALED(c->status)) {
        snprintf(err, PCAPX_ERR_LEN, "was ended by signal %d",
                 WTERMSIG(c->status));
        return -1;
    }

    if (WEXITSTATUS(c->status) != 0) {
        snprintf(err, PCAPX_ERR_LEN, "has failed with exit code %d",
                 WEXITSTATUS(c->status));
        return -1;
    }

    c->o->out[c->o->len] = '\0';

    return 0;
}


int
run_program(const run_t *r, run_out_t *o, char *err)
{
    int          i, rc;
    run_child_t  c;

    memset(o, 0, sizeof(run_out_t));
    memset(&c, 0, sizeof(c));
    c.run = r;
    c.o = o;
    c.sig_fd = -1;
    c.fds[0] = c.fds[1] = c.fds[2] = -1;

    /* Room for the byte too many, and for a NUL. */
    o->out = malloc(RUN_MAX_BYTES + 2);

    if (o->out == NULL || run_start(&c) != 0) {
        snprintf(err, PCAPX_ERR_LEN, "cannot be run: %s", strerror(errno));
        rc = -1;
        goto out;
    }

    /* At a terminal Ctrl-C is for both; elsewhere it must not be left. */
    if (r->wait == NULL && !r->terminal) {
        c.sig_fd = sig_open();
    }

    rc = run_attend(&c, err);

    if (rc == 0) {
        run_drain(&c);
        rc = run_judge(&c, err);

    } else {
        run_kill(&c);
    }

    if (c.sig_fd != -1) {
        sig_close(c.sig_fd);
    }

out:

    for (i = 0; i < 3; i++) {
        run_close(&c.fds[i]);
    }

    return rc;
}


void
run_free(run_out_t *o)
{
    if (o->out != NULL) {
        wipe(o->out, RUN_MAX_BYTES + 2);
        free(o->out);
    }

    wipe(o->said, sizeof(o->said));
    o->out = NULL;
    o->len = 0;
}
