/*
 * cli/msg.c: formats, cleans and writes one line to standard error. Nothing
 * here knows tokens or packets; callers never hand them in.
 */

#include <stdarg.h>
#include <string.h>

#include "msg.h"
#include "text.h"


void
msg_wipe(msg_t *m)
{
    /* Cursor up, then clear to the end of the screen (ECMA-48 CUU, ED). */
    if (m->rows > 0) {
        fprintf(m->f, "\r\033[%uA\033[J", m->rows);
        m->rows = 0;
    }
}


static void __attribute__((format(printf, 3, 0)))
msg_write(msg_t *m, const char *prefix, const char *fmt, va_list ap)
{
    int     n;
    char    raw[MSG_MAX_LEN], line[MSG_MAX_LEN];
    size_t  len;

    n = vsnprintf(raw, sizeof(raw), fmt, ap);
    if (n < 0) {
        return;
    }

    len = (size_t) n < sizeof(raw) ? (size_t) n : sizeof(raw) - 1;
    text_clean(line, sizeof(line), raw, len);

    msg_wipe(m);
    fprintf(m->f, "%s%s\n", prefix, line);
    fflush(m->f);
}


void
msg_note(msg_t *m, const char *fmt, ...)
{
    va_list  ap;

    if (m->level == MSG_QUIET) {
        return;
    }

    va_start(ap, fmt);
    msg_write(m, "", fmt, ap);
    va_end(ap);
}


void
msg_error(msg_t *m, const char *fmt, ...)
{
    va_list  ap;

    va_start(ap, fmt);
    msg_write(m, "pcap-cli: ", fmt, ap);
    va_end(ap);
}


void
msg_tell(msg_t *m, const char *fmt, ...)
{
    va_list  ap;

    va_start(ap, fmt);
    msg_write(m, "", fmt, ap);
    va_end(ap);
}


void
msg_debug(msg_t *m, const char *fmt, ...)
{
    va_list  ap;

    if (m->level != MSG_VERBOSE) {
        return;
    }

    va_start(ap, fmt);
    msg_write(m, "", fmt, ap);
    va_end(ap);
}
