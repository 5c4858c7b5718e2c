/*
 * cli/term.c: draws the live rows. The cursor always rests below them, so
 * that a kill leaves the terminal as any program would.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "term.h"
#include "text.h"


#define TERM_ROW_MAX      512
#define TERM_NAME_MAX     40
#define TERM_COLUMNS      80
#define TERM_LINES        24
#define TERM_MAX_LEFT     (100 * 3600 - 1)   /* seconds */


void
term_init(term_t *t, msg_t *msg)
{
    int          tty;
    const char  *name;

    memset(t, 0, sizeof(term_t));
    t->msg = msg;

    tty = isatty(STDERR_FILENO);
    name = getenv("TERM");

    t->live = tty && msg->level == MSG_NORMAL && name != NULL
              && *name != '\0' && strcmp(name, "dumb") != 0;

    /* A background job would be stopped by reading (SIGTTIN). */
    t->can_ask = tty && isatty(STDIN_FILENO)
                 && tcgetpgrp(STDIN_FILENO) == getpgrp();
}


void
term_row(char *dst, size_t max, size_t width, const stats_instance_t *in,
    size_t name_width, uint64_t rate)
{
    int     pad;
    char    name[STATS_MAX_NAME + 1], bytes[16], speed[16];
    size_t  n;

    (void) text_clean(name, sizeof(name), in->name, strlen(in->name));
    n = text_cut(name, name_width);
    pad = (int) (name_width - n);

    text_bytes(bytes, in->bytes);
    text_bytes(speed, rate);

    snprintf(dst, max, "%s%*s %10" PRIu64 " packets %9s %9s/s %8" PRIu64
             " dropped", name, pad, "", in->packets, bytes, speed,
             stats_instance_dropped(in));

    text_cut(dst, width);
}


static void
term_size(size_t *columns, size_t *lines)
{
    struct winsize  ws;

    *columns = TERM_COLUMNS;
    *lines = TERM_LINES;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0
        && ws.ws_row > 0)
    {
        *columns = ws.ws_col;
        *lines = ws.ws_row;
    }
}


static size_t
term_name_width(const stats_t *st, uint32_t rows)
{
    size_t    len, width;
    uint32_t  i;

    width = 0;

    for (i = 0; i < rows; i++) {
        len = strlen(st->instances[i].name);
        if (len > width) {
            width = len;
        }
    }

    return width < TERM_NAME_MAX ? width : TERM_NAME_MAX;
}


void
term_draw(term_t *t, stats_t *st, uint64_t now_ms)
{
    char               row[TERM_ROW_MAX];
    size_t             columns, lines, name_width;
    uint32_t           i, rows;
    uint64_t           passed, rate;
    stats_instance_t  *in;

    passed = now_ms - t->drawn_ms;

    if (!t->live || st->ninstances == 0
        || (t->drawn_ms != 0 && passed < TERM_REDRAW_MS))
    {
        return;
    }

    term_size(&columns, &lines);

    /* Two lines stay free: "and more", and the one the cursor rests on. */
    rows = st->ninstances;
    if (rows + 2 > lines) {
        rows = lines > 3 ? (uint32_t) lines - 2 : 1;
    }

    name_width = term_name_width(st, rows);
    msg_wipe(t->msg);

    for (i = 0; i < st->ninstances; i++) {
        in = &st->instances[i];

        rate = t->drawn_ms != 0
               ? (in->bytes - in->shown_bytes) * 1000 / passed : 0;
        in->shown_bytes = in->bytes;

        if (i < rows) {
            term_row(row, sizeof(row), columns - 1, in, name_width, rate);
            fprintf(t->msg->f, "%s\n", row);
        }
    }

    t->msg->rows = rows;

    if (rows < st->ninstances) {
        fprintf(t->msg->f, "... and %u more\n", st->ninstances - rows);
        t->msg->rows++;
    }

    fflush(t->msg->f);
    t->drawn_ms = now_ms;
}


void
term_load_row(char *dst, size_t max, size_t width, const term_load_t *l)
{
    char      name[STATS_MAX_NAME + 1], done[16], total[16], rate[16];
    char      left[32], of[64];
    uint64_t  s;

    (void) text_clean(name, sizeof(name), l->name, strlen(l->name));
    (void) text_cut(name, TERM_NAME_MAX);
    text_bytes(done, l->done);
    text_bytes(total, l->total);
    text_bytes(rate, l->rate);

    left[0] = '\0';
    of[0] = '\0';

    if (l->total > 0 && l->done <= l->total) {
        /* No integers: the product might not fit. */
        snprintf(of, sizeof(of), " of %s %3u %%", total,
                 (unsigned) ((double) l->done * 100 / (double) l->total));
    }

    if (*of != '\0' && l->rate > 0) {
        s = (l->total - l->done) / l->rate;
        s = s < TERM_MAX_LEFT ? s : TERM_MAX_LEFT;
        snprintf(left, sizeof(left), "  %u:%02u:%02u left",
                 (unsigned) (s / 3600), (unsigned) (s / 60 % 60),
                 (unsigned) (s % 60));
    }

    snprintf(dst, max, "%s  %s%s %9s/s%s", name, done, of, rate, left);
    text_cut(dst, width);
}


void
term_load(term_t *t, term_load_t *l, uint64_t now_ms)
{
    char      row[TERM_ROW_MAX];
    size_t    columns, lines;
    uint64_t  passed, rate;

    passed = now_ms - t->drawn_ms;

    if (!t->live || (t->drawn_ms != 0 && passed < TERM_REDRAW_MS)) {
        return;
    }

    if (t->drawn_ms != 0) {
        rate = (l->came - l->shown) * 1000 / passed;
        l->rate = l->rate > 0 ? (l->rate * 3 + rate) / 4 : rate;
    }

    l->shown = l->came;

    term_size(&columns, &lines);
    term_load_row(row, sizeof(row), columns - 1, l);

    msg_wipe(t->msg);
    fprintf(t->msg->f, "%s\n", row);
    fflush(t->msg->f);
    t->msg->rows = 1;
    t->drawn_ms = now_ms;
}
