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


/* How far a transfer is. */

typedef struct {
    const char  *name;        /* of the file */
    uint64_t     done;        /* bytes, of them in this run... */
    uint64_t     came;
    uint64_t     total;       /* 0: not known */
    uint64_t     shown;       /* term.c: of came at the last redraw */
    uint64_t     rate;        /* term.c: bytes per second, smoothed */
} term_load_t;

/* Draws one row for it when it is due, in the place of the last one. */
void term_load(term_t *t, term_load_t *l, uint64_t now_ms);

/*
 * That row without line end into dst, at most width characters: name,
 * percent, bytes, rate and the time that is left.
 */
void term_load_row(char *dst, size_t max, size_t width,
    const term_load_t *l);


#endif /* CLI_TERM_H */
