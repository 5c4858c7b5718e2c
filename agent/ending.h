/*
 * agent/ending.h: why a capture ends, once for all: for the log, for the
 * metrics, and for the API, which reads it in the last statistics blocks
 * (docs/PROTOCOL.md).
 */

#ifndef AGENT_ENDING_H
#define AGENT_ENDING_H

#include "pcapx/scan.h"


typedef enum {
    ENDING_NONE = 0,
    ENDING_FINISHED,          /* the peer half-closed */
    ENDING_PEER,              /* the peer is gone, or sends too much */
    ENDING_STALLED,           /* the peer takes nothing at the end */
    ENDING_DRAINED,           /* SIGTERM */
    ENDING_PARENT,            /* the parent is gone */
    ENDING_OFF,               /* off_file */
    ENDING_CONTAINER,
    ENDING_INTERFACE,
    ENDING_FEEDBACK,
    ENDING_BANDWIDTH,
    ENDING_BANDWIDTH_TOTAL,
    ENDING_CPU,
    ENDING_KILLED,            /* the parent or a crash ended the process */
    ENDING_COUNT
} ending_t;

typedef struct {
    const char      *label;   /* of the metric */
    const char      *words;   /* for the log */
    pcapx_end_e      said;    /* in band */
} ending_text_t;


/* What is to be said of an ending; never NULL, whatever the number. */
const ending_text_t *ending_text(unsigned ending);


#endif /* AGENT_ENDING_H */
