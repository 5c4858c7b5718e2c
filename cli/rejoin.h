/*
 * cli/rejoin.h: one capture that had to be asked for several times, put back
 * together: the parts' streams go in, one section comes out, as if nothing
 * had happened, or with a message where packets are missing. Knows blocks
 * and time stamps; knows nothing of connections, clocks and files.
 *
 * At most two parts are there at a time: the one that is written, and its
 * successor, which was opened while the first still runs. Records are told
 * apart by their time stamps alone: both come from the same agents, which
 * stamp a packet the same for both, and both are in time order.
 */

#ifndef CLI_REJOIN_H
#define CLI_REJOIN_H

#include "message.h"
#include "pcapx/pcapx.h"
#include "verdict.h"


#define REJOIN_PARTS      2

/* The longest piece that rejoin_feed() takes: CURL_MAX_READ_SIZE. */
#define REJOIN_MAX_PIECE  524288

typedef struct {
    uint64_t    overlap_ns;      /* first time stamp to the switch */
    uint64_t    max_packets;     /* over all parts; 0: none */
    uint64_t    max_bytes;       /* captured; 0: none */

    /* Runs of whole blocks for the file. */
    void      (*put)(void *ctx, const uint8_t *p, size_t len);
    void       *ctx;
} rejoin_conf_t;

typedef struct {
    uint64_t    packets;         /* written, over all parts */
    uint64_t    bytes;           /* captured bytes of them */
    unsigned    parts;
    unsigned    gaps;
    unsigned    limits;          /* LIMIT_* that were reached here */
} rejoin_totals_t;

/* Whose limits are exact: the API's, or those of rejoin_conf_t. */

typedef enum {
    REJOIN_API_LIMITS = 0,       /* the part ends itself at the limit */
    REJOIN_OWN_LIMITS            /* it counts duplicates, too */
} rejoin_limits_t;

typedef enum {
    REJOIN_DONE = 0,             /* with its last chunk */
    REJOIN_CUT
} rejoin_end_t;

typedef struct rejoin_s  rejoin_t;


/* NULL without memory. conf is copied. All memory is taken here and by
 * interface names, none per record. */
rejoin_t *rejoin_create(const rejoin_conf_t *conf);

void rejoin_free(rejoin_t *r);

/* Another overlap for the successors that begin from now on. */
void rejoin_set_overlap(rejoin_t *r, uint64_t overlap_ns);

/*
 * A part begins in place n (0 or 1), which is free; id is its capture id.
 * While the other part lives it is the successor; else it goes on where the
 * last one was cut, behind a gap.
 */
void rejoin_begin(rejoin_t *r, unsigned n, const char *id,
    rejoin_limits_t limits);

/*
 * The next len bytes of part n, at most REJOIN_MAX_PIECE, cut anywhere; not
 * while it is held. Returns 0, or -1 when they are malformed (rejoin_error()
 * says why).
 */
int rejoin_feed(rejoin_t *r, unsigned n, const uint8_t *p, size_t len);

/*
 * Is part n the successor and ahead of the other? It is not to be fed then;
 * it would have to be kept in memory.
 */
int rejoin_held(const rejoin_t *r, unsigned n);

/* Goes on with a held part as far as the other allows. As rejoin_feed(). */
int rejoin_advance(rejoin_t *r, unsigned n);

/* Has the written part delivered all that it is needed for? Stop it then. */
int rejoin_passed(const rejoin_t *r);

/* Did part n end at a block's end? */
int rejoin_whole(const rejoin_t *r, unsigned n);

/* The API's verdict on part n, STATUS_NONE when it did not come (yet). */
status_t rejoin_verdict(const rejoin_t *r, unsigned n);

/*
 * The written part has ended. The successor takes over, if it has begun to
 * deliver; call rejoin_advance() for it then. Without one there is a gap, to
 * which the next part belongs. Not for the end of the whole capture.
 */
void rejoin_end(rejoin_t *r, unsigned n, rejoin_end_t how);

/* The successor is of no use; n is free. */
void rejoin_drop(rejoin_t *r, unsigned n);

/* There will be no further part: a gap that is open is said to be the end. */
void rejoin_give_up(rejoin_t *r);

/*
 * What the trailers of part n, the last one, come to over all parts: their
 * counts agree with the file's when they agreed with the part's.
 */
void rejoin_trailers(const rejoin_t *r, unsigned n, trailers_t *t);

rejoin_totals_t rejoin_totals(const rejoin_t *r);

/*
 * May there be another part? Not where the first one has the byte order of
 * another machine: what is rewritten would have to be in it, too.
 */
int rejoin_possible(const rejoin_t *r);

/* Why rejoin_feed() failed. */
const char *rejoin_error(const rejoin_t *r);


#endif /* CLI_REJOIN_H */
