/*
 * agent/control.c: see control.h. The parent never blocks on a child: its
 * end is non-blocking, and a child that does not read loses its messages.
 */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "control.h"


int
control_pair(int fd[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
                      0, fd);
}


int
control_send(int fd, const control_msg_t *msg)
{
    ssize_t  n;

    n = send(fd, msg, sizeof(*msg), MSG_NOSIGNAL);

    return n == (ssize_t) sizeof(*msg) ? 0 : -1;
}


int
control_recv(int fd, control_msg_t *msg)
{
    ssize_t  n;

    /* MSG_TRUNC: the true length, so that a longer message is noticed. */

    n = recv(fd, msg, sizeof(*msg), MSG_TRUNC);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }

    return n == (ssize_t) sizeof(*msg) ? 1 : -1;
}


int
control_ask(int fd, control_msg_t *msg, int timeout_ms)
{
    int            rc;
    struct pollfd  pfd;

    if (control_send(fd, msg) != 0) {
        return -1;
    }

    for ( ;; ) {
        pfd.fd = fd;
        pfd.events = POLLIN;

        if (poll(&pfd, 1, timeout_ms) <= 0) {
            return -1;
        }

        rc = control_recv(fd, msg);

        if (rc < 0) {
            return -1;
        }

        if (rc == 1 && msg->type == CONTROL_ANSWER) {
            return 0;
        }

        /*
         * "end" may come first; the answer that follows says so too. The
         * parent sends it once, so this does not go on for ever.
         */
    }
}
