/*
 * cli/sig.c: the only mutable global of the program: the descriptor that the
 * signal handler writes to. write() is safe in a handler (signal-safety(7)).
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "sig.h"


static volatile sig_atomic_t  sig_write_fd = -1;

static const int  sig_caught[] = { SIGINT, SIGTERM, SIGHUP };

#define SIG_CAUGHT  (sizeof(sig_caught) / sizeof(sig_caught[0]))


static void
sig_handler(int signo)
{
    int      err;
    ssize_t  n;

    (void) signo;

    err = errno;

    /* A full pipe has told already. */
    n = write(sig_write_fd, "s", 1);
    (void) n;

    errno = err;
}


static void
sig_set(int signo, void (*handler)(int))
{
    struct sigaction  sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = handler;

    /* No SA_RESTART: opening a pipe that nobody reads must be left. */
    sigemptyset(&sa.sa_mask);
    sigaction(signo, &sa, NULL);
}


/* Neither end may block, nor be left to a program that is run. */
static int
sig_pipe(int *fds)
{
    int  i;

    if (pipe(fds) == -1) {
        return -1;
    }

    for (i = 0; i < 2; i++) {
        if (fcntl(fds[i], F_SETFL, O_NONBLOCK) == -1
            || fcntl(fds[i], F_SETFD, FD_CLOEXEC) == -1)
        {
            close(fds[0]);
            close(fds[1]);
            return -1;
        }
    }

    return 0;
}


int
sig_open(void)
{
    int               fds[2];
    size_t            i;
    struct sigaction  old;

    if (sig_pipe(fds) == -1) {
        return -1;
    }

    sig_write_fd = fds[1];

    for (i = 0; i < SIG_CAUGHT; i++) {
        /* nohup(1) and a shell's "&" mean it. */
        if (sigaction(sig_caught[i], NULL, &old) == 0
            && old.sa_handler == SIG_IGN)
        {
            continue;
        }

        sig_set(sig_caught[i], sig_handler);
    }

    sig_set(SIGPIPE, SIG_IGN);
    sig_set(SIGXFSZ, SIG_IGN);

    return fds[0];
}


unsigned
sig_read(int fd)
{
    char     buf[64];
    ssize_t  n;

    n = read(fd, buf, sizeof(buf));

    return n > 0 ? (unsigned) n : 0;
}


void
sig_close(int fd)
{
    int               other;
    size_t            i;
    struct sigaction  now;

    for (i = 0; i < SIG_CAUGHT; i++) {
        /* What was ignored stays so. */
        if (sigaction(sig_caught[i], NULL, &now) == 0
            && now.sa_handler == sig_handler)
        {
            sig_set(sig_caught[i], SIG_DFL);
        }
    }

    other = sig_write_fd;
    sig_write_fd = -1;

    close(other);
    close(fd);
}
