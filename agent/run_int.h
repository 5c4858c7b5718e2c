/*
 * agent/run_int.h: what run.c (a capture goes on) and run_end.c (it ends)
 * share: the state of one capture, and nobody else's business.
 */

#ifndef AGENT_RUN_INT_H
#define AGENT_RUN_INT_H

#include "guard.h"
#include "limits.h"
#include "run.h"
#include "stream.h"


#define MS  UINT64_C(1000000)

#define RUN_MIN_SLEEP_MS   4

typedef enum {
    RUN_ON = 0,
    RUN_DRAINING,          /* intake is off, rings are emptied */
    RUN_FLUSHING,          /* rings are empty, the rest goes out */
    RUN_CLOSING,           /* the last chunk was made */
    RUN_OVER,
    RUN_CUT
} run_phase_t;

/* What changes while a capture runs. */

typedef struct {
    run_t         *run;
    stream_t       stream;
    guard_t        guard;
    run_phase_t    phase;
    uint64_t       now;             /* monotonic, once per turn */
    uint64_t       next_beat;
    uint64_t       deadline;        /* of the phase, once it is ending */
    uint64_t       last_ts;         /* newest time stamp sent */
    uint64_t       written[PCAPX_MAX_INTERFACES];
    uint64_t       input;           /* bytes after the request */
    uint64_t       promised;        /* T of the last heartbeat */
    uint64_t       progress;        /* bytes sent when last looked */
    uint64_t       progress_at;
    unsigned       sleep_ms;        /* at least, between two outputs */
    uint64_t       read;            /* records read, when last looked */
    uint64_t       turned;          /* and when that was */
    uint64_t       gather_from;     /* all that was due had left then */
    unsigned       gathers:1;       /* records stay in this turn */
    unsigned       busy:1;          /* many records: by the clock alone */
    unsigned       ended:1;         /* the last ISBs were made */
    unsigned       half_closed:1;   /* nothing more will be read */
    unsigned       held:1;          /* by the guard */
    unsigned       orphaned:1;      /* the parent is gone */
    ending_t       ending;          /* the first reason to end */
    uint64_t       give_up;         /* what is left then is not sent */
    uint64_t       cut_at;          /* and who still takes nothing is cut */
    uint64_t       next_account;
    limits_t       limits;
} run_state_t;


/* Sets how long records gather, behind a turn that sent so many bytes. */
void run_pace(run_state_t *st, uint64_t sent);

/* 1 when few records leave with heartbeats: those are rare. */
int run_may_gather(const run_state_t *st);

/* 1 when records stay for now, until run_gathered_at() at the latest. */
int run_gathers(const run_state_t *st);

/* Monotonic time. */
uint64_t run_gathered_at(const run_state_t *st);

/* Behind a turn that sent all that was due: they may gather again. */
void run_gather(run_state_t *st);

/*
 * Begins the orderly end; the first reason is the one that is told. A later
 * one only hastens what is under way.
 */
void run_end(run_state_t *st, ending_t ending);

/* Ends it without another word to the peer. */
void run_cut(run_state_t *st, ending_t ending);

/* An interface cannot be read any more. */
void run_broken(run_state_t *st);

/* Each turn: a capture that ends must not hang on a peer that is slow. */
void run_stalled(run_state_t *st);

/*
 * Once the time to give up has come: what still waits is not sent. It is in
 * no count of what was, so the last ISBs say how much it is
 * (docs/PROTOCOL.md).
 */
void run_discard(run_state_t *st);

/* The last lines of the log. */
void run_report(const run_state_t *st);


#endif /* AGENT_RUN_INT_H */
