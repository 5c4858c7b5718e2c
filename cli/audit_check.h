/*
 * cli/audit_check.h: checks the chain of an audit log (docs/AUDIT.md): every
 * line's code, its number, and that it follows from the one before. Reads
 * once, in constant memory per file; nothing of a line is ever shown.
 */

#ifndef CLI_AUDIT_CHECK_H
#define CLI_AUDIT_CHECK_H

#include <stdint.h>
#include <stdio.h>

#include "pcapx/audit.h"


#define AUDIT_MAX_FILES  512

/* A syslog daemon's words stand in front of ours. */
#define AUDIT_BUFFER     (2 * PCAPX_AUDIT_MAX_LINE)


typedef struct {
    uint64_t  seq;             /* 0: none */
    char      mac[PCAPX_AUDIT_MAC_LEN + 1];
} audit_mark_t;

typedef struct {
    const unsigned char  *key; /* NULL: codes are not checked, links are */
    size_t                key_len;
    audit_mark_t          first;
    audit_mark_t          head;

    /* One finding, a clean line of text without newline. */
    void                (*found)(void *data, const char *text);
    void                 *data;
} audit_rules_t;

/* What a file's first bytes say that it is. */

typedef enum {
    AUDIT_LOG = 0,
    AUDIT_STATE,               /* the state beside a log: left out */
    AUDIT_GZIP                 /* nothing can be said of it */
} audit_kind_t;

/* One file, from its beginning; the rest is the checker's. */

typedef struct {
    const char   *name;        /* for findings */
    FILE         *f;           /* the caller's */

    audit_kind_t  kind;
    char         *buf;
    size_t        start;       /* of what is not yet looked at */
    size_t        end;
    uint64_t      line;        /* number of the latest */
    uint64_t      changed;     /* bad ones since the latest good one */
    uint64_t      seq;
    char          prev[PCAPX_AUDIT_MAC_LEN + 1];
    char          mac[PCAPX_AUDIT_MAC_LEN + 1];
    int           has;         /* seq, prev, mac are of the latest */
} audit_source_t;

typedef struct {
    uint64_t      lines;       /* good ones */
    uint64_t      foreign;     /* whole ones by another key, or changed */
    uint64_t      findings;
    uint64_t      first_seq;
    char          first_prev[PCAPX_AUDIT_MAC_LEN + 1];
    audit_mark_t  last;
} audit_result_t;


/*
 * Checks n files together: each may hold any part of the chain, in its order,
 * and they may be given in any order. 0: res is filled, and the chain is
 * whole if there are no findings; -1 with errno: a file cannot be read (EBADMSG
 * with a kind AUDIT_GZIP), or memory is out. Every kind is known before the
 * first finding.
 */
int audit_check(audit_source_t *files, size_t n, const audit_rules_t *rules,
    audit_result_t *res);


#endif /* CLI_AUDIT_CHECK_H */
