/*
 * cli/term.h: live rows and the question on a terminal. One row per
 * instance, redrawn in place; nothing at all where standard error is not a
 * terminal.
 */

#ifndef CLI_TERM_H
#define CLI_TERM_H

#include <stdint.h>

#include "msg.h"
#include "stats.h"


#define TERM_REDRAW_MS  500

typedef struct {
    msg_t     *msg;
    uint64_t   drawn_ms;      /* 0: not yet */
    unsigned   live:1;        /* rows are drawn */
    unsigned   can_ask:1;     /* a person sits there */
} term_t;


/* Looks at the descriptors: standard error for rows, input for questions. */
void term_init(term_t *t, msg_t *msg);

/* Draws the rows when they are due; now_ms is a monotonic clock. */
void term_draw(term_t *t, stats_t *st, uint64_t now_ms);

/*
 * One row without line end into dst, at most width characters. rate is in
 * bytes per second.
 */
void term_row(char *dst, size_t max, size_t width,
    const stats_instance_t *in, size_t name_width, uint64_t rate);


#endif /* CLI_TERM_H */
