/*
 * pcapx/audit.h: one line of the audit log, as docs/AUDIT.md says: found in a
 * syslog daemon's line or a file's, and taken apart into what the chain needs.
 * Whether the code in it is right is for the caller, who has the key.
 */

#ifndef PCAPX_AUDIT_H
#define PCAPX_AUDIT_H

#include <stddef.h>
#include <stdint.h>


/* HMAC-SHA256 in lower-case hexadecimal digits */
#define PCAPX_AUDIT_MAC_LEN   64

/* Of a line, its newline included; see module/audit.h for the sum. */
#define PCAPX_AUDIT_MAX_LINE  20480

/* Shorter keys than the digest are weaker than it (RFC 2104 3). */
#define PCAPX_AUDIT_MIN_KEY   32
#define PCAPX_AUDIT_MAX_KEY   4096

/* A state file begins so, that people give beside the log by mistake. */
#define PCAPX_AUDIT_STATE     "PCAPAUD1"


typedef struct {
    uint64_t     seq;          /* from 1 */
    const char  *body;         /* what the code is over */
    size_t       body_len;
    const char  *prev;         /* PCAPX_AUDIT_MAC_LEN digits each */
    const char  *mac;
} pcapx_audit_line_t;


/*
 * Takes line[0..len) apart, without its newline: what a syslog daemon has put
 * in front, then {"seq":N,...,"prev":"...","mac":"..."}. PCAPX_OK with out
 * filled, whose pointers alias line; PCAPX_EINVAL: it is no such line.
 */
int pcapx_audit_parse(const char *line, size_t len, pcapx_audit_line_t *out);

/*
 * "SEQ:MAC", as the metrics show it and people copy it. PCAPX_OK with mac
 * aliasing s, or PCAPX_EINVAL.
 */
int pcapx_audit_parse_head(const char *s, size_t len, uint64_t *seq,
    const char **mac);


#endif /* PCAPX_AUDIT_H */
