/*
 * agent/stream.h: HTTP chunks over TLS, without blocking. A chunk is a list
 * of parts that lie where they were made: long parts go to SSL_write() from
 * there, short ones are gathered first, so that TLS records and system calls
 * stay few.
 */

#ifndef AGENT_STREAM_H
#define AGENT_STREAM_H

#include "order.h"
#include "tls.h"


#define STREAM_MAX_SPANS    256
#define STREAM_CHUNK_BYTES  262144         /* a chunk ends soon after */
#define STREAM_EXTRA_LEN    2048           /* eight ISBs have 1100 bytes */

/* The most that one TLS record carries (RFC 8446 5.1). */
#define STREAM_GATHER_LEN   16384

typedef struct {
    const uint8_t   *data;
    size_t           len;
} stream_part_t;

typedef struct {
    tls_t           *tls;
    uint64_t         bytes;          /* accepted by TLS so far */
    unsigned         nparts;
    unsigned         part;           /* first one that is not gathered */
    size_t           part_off;
    size_t           gathered;       /* bytes in gather */
    size_t           sent;           /* of these, accepted by TLS */
    unsigned         nspans;
    order_span_t     spans[STREAM_MAX_SPANS];
    stream_part_t    parts[STREAM_MAX_SPANS + 4];
    size_t           extra_len;
    uint8_t          extra[STREAM_EXTRA_LEN];
    char             head[20];
    uint8_t          gather[STREAM_GATHER_LEN];
} stream_t;


/* Prepares an empty stream over a connection that outlives it. */
void stream_init(stream_t *s, tls_t *tls);

/* 1 when the last chunk is written and another one may be made. */
int stream_idle(const stream_t *s);

/*
 * Makes the next chunk of the nspans spans at s->spans, which lie in mem, and
 * then the extra_len bytes at s->extra. Only when idle; the bytes must stay
 * until it is idle again. Without any byte it makes the last chunk, which
 * ends the body.
 */
void stream_chunk(stream_t *s, const uint8_t *mem);

/*
 * Writes as much as the connection takes. Returns 1 when idle, 0 when it
 * would block (tls->want_write), -1 when the peer is gone.
 */
int stream_write(stream_t *s);


#endif /* AGENT_STREAM_H */
