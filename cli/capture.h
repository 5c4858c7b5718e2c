/*
 * cli/capture.h: one capture from request to verdict. capture.c is the loop,
 * sink.c takes what the stream brings, ask.c talks to the person, report.c
 * tells how it went. Shared state is one struct; nothing else includes this
 * but those and main.c.
 */

#ifndef CLI_CAPTURE_H
#define CLI_CAPTURE_H

#include <jansson.h>

#include "api.h"
#include "out.h"
#include "stream.h"
#include "term.h"
#include "verdict.h"


typedef struct {
    const opt_t     *opt;
    const conf_t    *conf;
    msg_t           *msg;
    api_t            api;

    CURLM           *multi;
    api_request_t    request;        /* the capture */
    api_request_t    stop_request;   /* its DELETE, on its own connection */
    CURLcode         rc;             /* of the capture, once transferred */

    stream_t         stream;
    out_t            out;
    char            *path;           /* of the file, NULL: standard output */
    uint8_t         *records;        /* --format pcap: not yet written */
    size_t           records_len;
    uint64_t         written_packets;

    term_t           term;
    int              sig_fd;
    stop_t           stop;
    uint64_t         began_ms;       /* the answer's head came */
    uint64_t         ended_ms;
    uint64_t         heard_ms;       /* something came from the API */
    uint64_t         deadline_ms;    /* of a stop, 0: none */

    json_t          *messages;
    uint64_t         told_ms;        /* window of the message limiter */
    unsigned         told;
    unsigned         untold;

    unsigned         convert:1;      /* --format pcap */
    unsigned         sink_off:1;     /* nothing is written any more */
    unsigned         paused:1;       /* the output's reader is slow */
    unsigned         asking:1;       /* the question waits for its answer */
    unsigned         transferred:1;
    unsigned         ended:1;        /* last chunk came, whole blocks */
    unsigned         silent:1;       /* the API said nothing for too long */
    unsigned         want_delete:1;
    unsigned         deleting:1;
    unsigned         late_stop:1;
    unsigned         quit:1;
} capture_t;


/*
 * Runs `pcap-cli static GROUP` and the like. Returns the exit code, or
 * CLI_AGAIN with nothing told and no file left (see conf_t.again).
 */
cli_exit_t capture_run(const opt_t *opt, const conf_t *conf, msg_t *msg);


/* Between the files of this room. */

/* Milliseconds of a monotonic clock. */
uint64_t capture_now(void);

/*
 * Ends the capture because of why; the first reason counts. Safe inside of
 * curl's callbacks: the DELETE goes out from the loop.
 */
void capture_stop(capture_t *c, stop_t why);

/* What the stream calls; ctx is the capture. */
extern const stream_handlers_t  sink_handlers;

/* Opens the output (before anything is asked of the API). 0 or -1, told. */
int sink_open(capture_t *c);

/* Looks after the output: writes on, sees a reader that left. */
void sink_tend(capture_t *c);

/* Nothing is left to be written. */
int sink_idle(const capture_t *c);

/* Closes the output; a failure becomes a reason to stop. */
void sink_close(capture_t *c);

/* Shows the targets; asks when they are many. */
void ask_targets(capture_t *c);

/* Reads the answer, which is there. */
void ask_answer(capture_t *c);

/* After the output is closed: verdict, summary, JSON. The exit code. */
cli_exit_t report_print(capture_t *c);


#endif /* CLI_CAPTURE_H */
