/*
 * store/log.h: one line per event on stderr. The level and a tag (the
 * capture's id) travel in the log_t that is passed down; nothing here is
 * global. No grant and nothing that was captured ever reaches a line, and
 * whatever is not printable is escaped.
 */

#ifndef STORE_LOG_H
#define STORE_LOG_H


typedef enum {
    STORE_LOG_ERROR = 0,     /* the operator must act */
    STORE_LOG_WARN,          /* something was refused or went wrong */
    STORE_LOG_INFO,          /* starts and ends */
    STORE_LOG_DEBUG
} log_level_t;

typedef struct {
    log_level_t   level;     /* lines above it are not written */
    char          tag[40];   /* what the line is about, "" for none */
} log_t;


/* Level of "error", "warn", "info" or "debug"; -1 for anything else. */
int log_level(const char *name);

/* *log about that; a longer tag is cut. */
log_t log_about(const log_t *log, const char *tag);

/*
 * Writes one line to stderr with time, process number, level and tag. A line
 * is at most 1 KiB and goes out with one write(), so lines of several
 * processes do not mix. Never fails; errno is kept.
 */
void log_line(const log_t *log, log_level_t level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(log, ...)  log_line(log, STORE_LOG_ERROR, __VA_ARGS__)
#define log_warn(log, ...)   log_line(log, STORE_LOG_WARN, __VA_ARGS__)
#define log_info(log, ...)   log_line(log, STORE_LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...)  log_line(log, STORE_LOG_DEBUG, __VA_ARGS__)


#endif /* STORE_LOG_H */
