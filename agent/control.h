/*
 * agent/control.h: the messages between the parent and its children, fixed
 * records over a SOCK_SEQPACKET pair. The child asks once, the parent
 * answers once; afterwards the parent may only say "end". A message of
 * another size or type is not from us and ends the child that sent it.
 */

#ifndef AGENT_CONTROL_H
#define AGENT_CONTROL_H

#include <stdint.h>

#include "stats.h"


typedef enum {
    CONTROL_ASK_STATUS = 1,     /* child: verified, wants the status */
    CONTROL_ASK_CAPTURE,        /* child: verified, wants a capture slot */
    CONTROL_ASK_FILES,          /* child: verified, wants to serve files */
    CONTROL_ANSWER,             /* parent: what it thinks of it */
    CONTROL_END                 /* parent: end well, now, because of ending */
} control_type_t;

typedef enum {
    CONTROL_GRANTED = 0,
    CONTROL_FULL,               /* no slot */
    CONTROL_NO_MEMORY,          /* rings would exceed buffer_bytes_total */
    CONTROL_DRAINING,
    CONTROL_OFF                 /* off_file is there */
} control_verdict_t;

typedef struct {
    uint32_t    type;
    uint32_t    verdict;
    uint32_t    captures_running;
    uint32_t    captures_max;
    uint32_t    files_running;
    uint32_t    files_max;
    uint64_t    ring_bytes;     /* ask: all rings of this capture */
    uint64_t    ending;         /* end: ending_t */
    stats_totals_t  totals;     /* answer to a question for the status */
} control_msg_t;


/* A pair, both ends non-blocking: fd[0] parent, fd[1] child. 0 or -1. */
int control_pair(int fd[2]);

/* Sends one message. Returns 0, or -1 with errno. */
int control_send(int fd, const control_msg_t *msg);

/*
 * Receives one message. Returns 1, 0 when nothing is there, -1 when the
 * other side is gone or talks nonsense.
 */
int control_recv(int fd, control_msg_t *msg);

/* Sends msg and waits at most timeout_ms for the answer. 0 or -1. */
int control_ask(int fd, control_msg_t *msg, int timeout_ms);


#endif /* AGENT_CONTROL_H */
