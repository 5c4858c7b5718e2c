/*
 * cli/msg.h: everything that goes to standard error. Each text is cleaned
 * and written whole; live rows that stand on the terminal are wiped before
 * and drawn anew by term.c afterwards.
 */

#ifndef CLI_MSG_H
#define CLI_MSG_H

#include <stddef.h>
#include <stdio.h>


typedef enum {
    MSG_NORMAL = 0,
    MSG_QUIET,
    MSG_VERBOSE
} msg_level_t;

typedef struct {
    FILE         *f;
    msg_level_t   level;
    unsigned      rows;         /* live rows on the terminal now */
} msg_t;


#define MSG_MAX_LEN   2048

/* A line of progress or outcome; not shown when quiet. */
void msg_note(msg_t *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Something went wrong: always shown, behind "pcap-cli: ". */
void msg_error(msg_t *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Somebody else's word, whose it is stands in it: always shown, as it is. */
void msg_tell(msg_t *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Only shown when verbose. */
void msg_debug(msg_t *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Wipes the live rows. */
void msg_wipe(msg_t *m);


#endif /* CLI_MSG_H */
