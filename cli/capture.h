/*
 * cli/capture.h: one capture from request to verdict. capture.c is the loop,
 * leg.c one connection, relay.c goes on when it is cut, fresh.c renews the
 * token, sink.c takes what the stream brings, ask.c talks to the person,
 * report.c tells how it went.
 * Shared state is one struct; nothing else includes this but those and main.c.
 */

#ifndef CLI_CAPTURE_H
#define CLI_CAPTURE_H

#include <jansson.h>

#include "api.h"
#include "out.h"
#include "rejoin.h"
#include "stream.h"
#include "term.h"
#include "verdict.h"


typedef struct capture_s  capture_t;

/* One request for a stream: there are several when streams are cut. */

typedef struct {
    capture_t       *capture;
    unsigned         place;          /* among capture.legs, and in rejoin */
    api_request_t    request;
    api_request_t    stop_request;   /* its DELETE, on its own connection */
    api_request_t    put_request;    /* a fresh token, on another one */
    CURLcode         rc;             /* once transferred */
    rejoin_limits_t  limits;
    uint64_t         began_ms;       /* the body began, 0: not yet */
    uint64_t         heard_ms;       /* something came */
    uint64_t         stop_by_ms;     /* of one that leaves */
    unsigned         paused:1;       /* nothing is taken from it now */
    unsigned         transferred:1;
    unsigned         want_delete:1;
    unsigned         deleting:1;
    unsigned         leaving:1;      /* its successor takes over */
    unsigned         renewed:1;      /* the token, for the DELETE */
} leg_t;

/* How a capture goes on when its stream is cut: see relay.c. */

typedef struct {
    char            *path;           /* of the first request */
    char            *form;
    uint64_t         duration_ms;    /* limits over all; 0: none */
    uint64_t         max_packets;
    uint64_t         max_bytes;
    uint64_t         timeout_ms;     /* without success */
    uint64_t         scale;          /* divides the times, for tests */
    uint64_t         life_ms;        /* of a stream, 0: not known */
    uint64_t         wait_until_ms;  /* next try */
    uint64_t         failing_ms;     /* since when, 0: it is not */
    unsigned         tries;
    unsigned         on:1;
    unsigned         down:1;         /* capture.leg has ended */
    unsigned         limit_told:1;
    unsigned         renewed:1;      /* the token, for this try */
    unsigned         unnamed:1;      /* the API knows no predecessor */
} relay_t;

struct capture_s {
    const opt_t     *opt;
    const conf_t    *conf;
    msg_t           *msg;
    api_t            api;

    CURLM           *multi;
    leg_t            legs[REJOIN_PARTS];
    leg_t           *leg;            /* the one that is written */
    leg_t           *next;           /* its successor or NULL */
    relay_t          relay;
    rejoin_t        *rejoin;         /* NULL: there is only one leg */

    stream_t         stream;         /* of the file */
    out_t            out;
    char            *path;           /* of the file, NULL: standard output */
    uint8_t         *records;        /* --format pcap: not yet written */
    size_t           records_len;
    uint64_t         written_packets;

    term_t           term;
    int              sig_fd;
    stop_t           stop;
    uint64_t         began_ms;       /* the first body began */
    uint64_t         ended_ms;
    uint64_t         deadline_ms;    /* of a stop, 0: none */
    uint64_t         fresh_at_ms;    /* no fresh token before */

    json_t          *messages;
    char             stopped_by[160];  /* what the API said of its stop */
    uint64_t         told_ms;        /* window of the message limiter */
    unsigned         told;
    unsigned         untold;

    unsigned         convert:1;      /* --format pcap */
    unsigned         sink_off:1;     /* nothing is written any more */
    unsigned         asking:1;       /* the question waits for its answer */
    unsigned         transferred:1;  /* nothing more will come */
    unsigned         ended:1;        /* last chunk came, whole blocks */
    unsigned         silent:1;       /* the API said nothing for too long */
    unsigned         want_delete:1;
    unsigned         late_stop:1;
    unsigned         unknown:1;      /* the API asked to stop knows it not */
    unsigned         quit:1;
    unsigned         fresh_off:1;    /* no use in renewing the token */
    unsigned         fresh_taken:1;
};


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

/* A run of whole blocks for the file; ctx is the capture. */
void capture_put(void *ctx, const uint8_t *p, size_t len);

/* As conf_renew(); the streams go on meanwhile. Not inside of callbacks. */
int capture_renew(capture_t *c);

/* Nothing more will come. */
void capture_finish(capture_t *c);

/*
 * leg.c: a connection. leg_open() takes form over; 0 or -1. leg_close() is
 * not for curl's callbacks. leg_delete() asks the API to end it; 0, or -1
 * when that cannot be asked. leg_resume() takes from it again, if it may.
 */
int leg_open(capture_t *c, leg_t *leg, const char *path, char *form);
void leg_close(leg_t *leg);
int leg_delete(leg_t *leg);
void leg_resume(leg_t *leg);

/*
 * relay.c: what follows when a leg begins, ends, or time passes.
 * relay_init() takes form over and copies path; 0 or -1, told.
 */
int relay_init(capture_t *c, const char *path, char *form);
void relay_free(capture_t *c);
int relay_start(capture_t *c);
void relay_began(leg_t *leg);                    /* in curl's callback */
void relay_ended(leg_t *leg, CURLcode rc);
void relay_stop(capture_t *c);                   /* by the user and so on */
void relay_tend(capture_t *c, uint64_t now);

/*
 * fresh.c: renews the token in time and hands it to the API; not inside of
 * callbacks. fresh_done(): the API has answered.
 */
void fresh_tend(capture_t *c, uint64_t now);
void fresh_done(leg_t *leg, CURLcode rc);

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
