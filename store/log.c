/*
 * store/log.c: see log.h. Lines look like those of pcap-agent:
 *
 *     2026-11-20T10:00:00.123Z pcap-store[4711] info: 5f0c...: text
 *
 * Text from a peer is printed as it is only where it is printable ASCII;
 * everything else becomes \xNN, so that no peer can forge a line.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"


#define LOG_MAX_LINE  1024


static size_t log_escape(char *dst, size_t max, const char *src);

static const char  *const log_names[] = { "error", "warn", "info", "debug" };


int
log_level(const char *name)
{
    int  i;

    for (i = STORE_LOG_ERROR; i <= STORE_LOG_DEBUG; i++) {
        if (strcmp(name, log_names[i]) == 0) {
            return i;
        }
    }

    return -1;
}


log_t
log_about(const log_t *log, const char *tag)
{
    log_t  about;

    about.level = log->level;
    snprintf(about.tag, sizeof(about.tag), "%s", tag);

    return about;
}


void
log_line(const log_t *log, log_level_t level, const char *fmt, ...)
{
    int              err, n;
    char             text[LOG_MAX_LINE], line[LOG_MAX_LINE];
    size_t           len;
    va_list          ap;
    ssize_t          rc;
    struct tm        tm;
    struct timespec  ts;

    if (level > log->level) {
        return;
    }

    err = errno;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);

    n = snprintf(line, sizeof(line),
                 "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ pcap-store[%d] %s: "
                 "%s%s", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                 tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int) (ts.tv_nsec / 1000000), (int) getpid(),
                 log_names[level], log->tag, log->tag[0] ? ": " : "");

    len = (size_t) n;
    len += log_escape(line + len, sizeof(line) - len - 1, text);
    line[len++] = '\n';

    /* Nowhere to report a failure of the log itself. */

    rc = write(STDERR_FILENO, line, len);
    (void) rc;

    errno = err;
}


static size_t
log_escape(char *dst, size_t max, const char *src)
{
    size_t         n;
    unsigned char  c;

    static const char  hex[] = "0123456789abcdef";

    for (n = 0; *src && n + 4 <= max; src++) {
        c = (unsigned char) *src;

        if (c >= 0x20 && c < 0x7f) {
            dst[n++] = (char) c;
            continue;
        }

        dst[n++] = '\\';
        dst[n++] = 'x';
        dst[n++] = hex[c >> 4];
        dst[n++] = hex[c & 15];
    }

    return n;
}
