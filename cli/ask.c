/*
 * cli/ask.c: shows whom the capture looks at, and asks when they are many.
 * The targets are only known from the stream's beginning, so the capture has
 * begun by then; "n" ends it.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capture.h"


#define ASK_ABOVE         5
#define ASK_MAX_ROWS      50
#define ASK_MAX_IFACES    200     /* characters */


/* "eth0, eth1": the last parts of the names of an instance's interfaces. */
static void
ask_ifaces(const stats_t *st, uint32_t instance, char *dst, size_t max)
{
    int          n;
    size_t       len;
    uint32_t     i, left;
    const char  *name, *slash;

    len = 0;
    dst[0] = '\0';
    left = st->instances[instance].ninterfaces;

    for (i = st->instances[instance].first; i < st->nifaces && left; i++) {
        if (st->ifaces[i].instance != instance) {
            continue;
        }

        name = st->ifaces[i].name;
        slash = strrchr(name, '/');

        n = snprintf(dst + len, max - len, "%s%s", len ? ", " : "",
                     slash != NULL ? slash + 1 : name);
        if (n < 0 || (size_t) n >= max - len) {
            return;
        }

        len += (size_t) n;
        left--;
    }
}


void
ask_targets(capture_t *c)
{
    char            ifaces[ASK_MAX_IFACES];
    uint32_t        i;
    const stats_t  *st;

    st = &c->stream.stats;

    msg_note(c->msg, "capturing %u instance%s, id %s", st->ninstances,
             st->ninstances == 1 ? "" : "s", c->leg->request.reply.capture_id);

    if (c->conf->asked && st->ninstances > ASK_ABOVE) {
        return;
    }

    for (i = 0; i < st->ninstances && i < ASK_MAX_ROWS; i++) {
        ask_ifaces(st, i, ifaces, sizeof(ifaces));
        msg_note(c->msg, "  %s  %s", st->instances[i].name, ifaces);
    }

    if (i < st->ninstances) {
        msg_note(c->msg, "  ... and %u more", st->ninstances - i);
    }

    if (st->ninstances <= ASK_ABOVE || !c->term.can_ask
        || c->conf->asked || opt_count(c->opt, OPT_YES)
        || c->stop != STOP_NONE)
    {
        return;
    }

    fprintf(c->msg->f, "The capture of %u instances has begun. Go on? [y/N] ",
            st->ninstances);
    fflush(c->msg->f);
    c->asking = 1;
}


void
ask_answer(capture_t *c)
{
    char     line[64];
    ssize_t  n;

    n = read(STDIN_FILENO, line, sizeof(line));
    c->asking = 0;

    if (n > 0 && (line[0] == 'y' || line[0] == 'Y')) {
        return;
    }

    if (n <= 0) {
        fprintf(c->msg->f, "\n");
    }

    msg_note(c->msg, "stopping");
    capture_stop(c, STOP_USER);
}
