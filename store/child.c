/*
 * store/child.c: see child.h. Connections, the listener and the records go.
 * Of SQLite only descriptors are closed: its handle is never touched in a
 * child, and POSIX locks are the parent's alone.
 */

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "child.h"


static void child_signals(int waits);
static void child_fds(int *folder, int *report);


void
child_begin(pid_t parent, int waits, int *folder, int *report)
{
    if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) != 0
        || getppid() != parent)
    {
        _exit(1);
    }

    child_signals(waits);
    child_fds(folder, report);
}


static void
child_signals(int waits)
{
    sigset_t           set;
    struct sigaction   sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = SIG_IGN;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    sa.sa_handler = SIG_DFL;
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGCHLD, &sa, NULL);

    sigemptyset(&set);

    if (waits) {
        sigaddset(&set, waits);
    }

    sigprocmask(SIG_SETMASK, &set, NULL);
}


/* The folder stays open: its lock says that somebody still writes there. */

static void
child_fds(int *folder, int *report)
{
    int  high[2];

    high[0] = fcntl(*folder, F_DUPFD_CLOEXEC, 16);
    high[1] = fcntl(*report, F_DUPFD_CLOEXEC, 16);

    *folder = dup3(high[0], STDERR_FILENO + 1, O_CLOEXEC);
    *report = dup3(high[1], STDERR_FILENO + 2, O_CLOEXEC);

    if (*folder == -1 || *report == -1) {
        _exit(1);
    }

    closefrom(STDERR_FILENO + 3);
}
