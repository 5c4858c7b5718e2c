/*
 * cli/reply.h: an HTTP answer as it comes in: status, the few headers that
 * matter, trailers, and a bounded body where it is a document. Knows nothing
 * of curl; every value is checked before it is kept.
 */

#ifndef CLI_REPLY_H
#define CLI_REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "name.h"
#include "verdict.h"


#define REPLY_SHA256_LEN  64     /* in hex */

typedef struct {
    long         status;           /* 0: no answer yet */
    char         type[64];         /* media type, lower case, no parameters */
    char         capture_id[33];   /* "" or 32 hex digits */
    char         request_id[65];   /* "" or [0-9A-Fa-f-] */
    char         location[200];    /* clean text, for a message only */
    char        *redirect;         /* the same as it came, owned, wiped: it
                                      may hold a signature; NULL: none */
    char         etag[128];        /* a strong one with its quotes, or "" */
    char         sha256[REPLY_SHA256_LEN + 1]; /* X-Pcap-Sha256, or "" */
    char         file[NAME_MAX_GIVEN]; /* of Content-Disposition, or "" */
    uint64_t     length;           /* Content-Length, when has_length */
    uint64_t     raw;              /* X-Pcap-Uncompressed-Bytes, when has_raw */
    uint64_t     lost;             /* X-Pcap-Lost, when has_lost */
    uint64_t     range_first;      /* Content-Range, when has_range */
    uint64_t     range_total;
    uint64_t     retry_after_s;    /* as it came, when has_retry_after */
    trailers_t   trailers;
    char        *body;             /* owned */
    size_t       body_len;
    unsigned     in_head:1;
    unsigned     got_head:1;       /* the final answer's head is complete */
    unsigned     has_retry_after:1;
    unsigned     has_length:1;
    unsigned     has_raw:1;
    unsigned     has_lost:1;
    unsigned     has_range:1;      /* with first and total */
} reply_t;


void reply_init(reply_t *r);

void reply_free(reply_t *r);

/*
 * One header line as it came, line end included. A status line begins anew
 * (1xx answers come before the final one); lines after the head's empty line
 * are trailers, and only there X-Pcap-Status and its like count.
 */
void reply_header(reply_t *r, const char *line, size_t len);

/*
 * Keeps a piece of a document. Returns 0, or -1 when it is longer than
 * CLI_MAX_REPLY_BYTES or memory is out.
 */
int reply_body(reply_t *r, const char *p, size_t len);

/* s as a SHA-256 in lower case hex, "" when it is none. */
void reply_sha256(char dst[REPLY_SHA256_LEN + 1], const char *s,
    size_t len);

int reply_is(const reply_t *r, const char *media_type);


#endif /* CLI_REPLY_H */
