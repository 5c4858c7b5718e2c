/*
 * cli/verdict.h: how the capture went, in one word, one sentence and one
 * exit code. Pure: facts in, verdict out.
 */

#ifndef CLI_VERDICT_H
#define CLI_VERDICT_H

#include "cli.h"
#include "message.h"


/* Why this program ended the capture itself; the first one counts. */

typedef enum {
    STOP_NONE = 0,
    STOP_USER,               /* a signal, or "n" at the question */
    STOP_READER_GONE,        /* EPIPE */
    STOP_WRITE_FAILED,       /* no space, I/O error */
    STOP_MIXED_LINKS,        /* --format pcap cannot hold them */
    STOP_BAD_STREAM          /* malformed: the connection was cut */
} stop_t;

/* What X-Pcap-Status, -Packets and -Dropped said. */

typedef struct {
    status_t   status;
    unsigned   present;      /* STATUS_HAS_PACKETS, STATUS_HAS_DROPPED */
    uint64_t   packets;
    uint64_t   dropped;
} trailers_t;

typedef struct {
    stop_t                   stop;
    trailers_t               trailers;
    const message_status_t  *inband;      /* the API's STATUS in the stream */
    uint64_t                 packets;     /* seen in the stream */
    unsigned                 limits;      /* LIMIT_* that were reached */
    unsigned                 user_limits; /* LIMIT_* that the user set */
    unsigned                 gaps;        /* between parts of the stream */
    const char              *stopped_by;  /* CAPTURE_STOPPED of api, or NULL */
    unsigned                 ended:1;     /* last chunk came, whole blocks */
    unsigned                 late_stop:1; /* no end within the deadline */
    unsigned                 unknown:1;   /* not to the API asked to stop */
    unsigned                 quit:1;      /* second signal */
} facts_t;

typedef struct {
    cli_exit_t  code;
    status_t    status;      /* NONE when the stream was cut without one */
    char        text[320];
} verdict_t;


void verdict_judge(verdict_t *v, const facts_t *f);

/* Exit code for an HTTP status that is not the expected one. */
cli_exit_t verdict_http(long status);


#endif /* CLI_VERDICT_H */
