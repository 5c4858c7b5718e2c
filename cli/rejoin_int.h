/*
 * cli/rejoin_int.h: what rejoin.c (which record is taken from which part) and
 * rejoin_put.c (how it is written) share. Nothing else includes it.
 */

#ifndef CLI_REJOIN_INT_H
#define CLI_REJOIN_INT_H

#include "cli.h"
#include "pcapx/scan.h"
#include "rejoin.h"


/* The longest block that is taken: as in stream.c. */
#define REJOIN_MAX_BLOCK  (PCAPX_MAX_EPB_LEN + 65536)

/* Copied blocks are gathered; the longest one fits with a comment more. */
#define REJOIN_OUT        524288

#define REJOIN_TEXT       512
#define REJOIN_TEXTS      8        /* rewritten comments of one block */
#define REJOIN_OPTS       64       /* options of a block that is rebuilt */
#define REJOIN_NAME       255

/* An interface of a part, and what the part said about it so far. */

typedef struct {
    uint32_t    file;              /* its number in the file */
    uint64_t    isb_ns;            /* its latest promise */
    uint64_t    written;
    uint64_t    discarded;         /* duplicates of the other part's */
    uint64_t    received;
    uint64_t    osdrop;
    uint64_t    ifrecv;
    uint64_t    ifdrop;
    uint64_t    skipped;           /* osdrop before it was written */
    unsigned    frozen:1;          /* osdrop is that at the switch */
} rejoin_if_t;

/* An interface of the file; sums are those of the parts that are over. */

typedef struct {
    char       *name;              /* if_name as it came, owned */
    size_t      len;
    size_t      instance_len;      /* up to its last "/" */
    uint16_t    linktype;
    uint8_t     tsresol;
    int64_t     tsoffset_s;
    uint64_t    written;
    uint64_t    received;
    uint64_t    osdrop;
    uint64_t    ifrecv;
    uint64_t    ifdrop;
    uint64_t    late;              /* of its instance, at its first one */
    unsigned    mark;              /* the part that has it */
} rejoin_file_if_t;

typedef struct {
    pcapx_scan_t    scan;
    pcapx_iface_t  *scan_ifaces;
    rejoin_if_t    *ifs;
    uint8_t        *buf;           /* not yet judged: a part of a block, or
                                      what stands behind a held head */
    size_t          len;
    pcapx_block_t   head;          /* of a held record, at buf */
    uint64_t        first_ns;      /* first time stamp, 0: none yet */
    uint64_t        from_ns;       /* older ones are not taken */
    uint64_t        skip;          /* of those at from_ns so many */
    uint64_t        isb_min_ns;    /* all interfaces have promised it */
    uint64_t        seen;          /* packets that came */
    unsigned        mark;          /* of the file's interfaces it uses */
    message_status_t  verdict;     /* the API's own, as it came */
    rejoin_limits_t limits;
    char            id[33];
    unsigned        used:1;
    unsigned        has_head:1;
    unsigned        leaving:1;     /* delivered all it is needed for */
    unsigned        added:1;       /* interfaces that the file had not */
} rejoin_part_t;

struct rejoin_s {
    rejoin_conf_t      conf;
    rejoin_part_t      parts[REJOIN_PARTS];
    rejoin_part_t     *cur;        /* is written; NULL: a gap, or no part */
    rejoin_part_t     *next;       /* its successor or NULL */
    rejoin_file_if_t  *ifaces;
    uint32_t           nifaces;
    uint64_t           switch_ns;  /* 0: not known */
    uint64_t           last_ns;    /* latest record in the file */
    uint64_t           eq;         /* records in the file at last_ns */
    uint64_t           cut_ns;     /* an open gap began here */
    uint64_t           late;       /* of the parts that are over */
    rejoin_totals_t    totals;
    uint8_t           *out;
    size_t             out_len;
    char               texts[REJOIN_TEXTS][REJOIN_TEXT];
    char               gap_text[REJOIN_TEXT];   /* for the next packet */
    size_t             gap_len;
    unsigned           started:1;  /* the file has its section header */
    unsigned           plain:1;    /* one part only: nothing is changed */
    unsigned           foreign:1;  /* of another byte order */
    unsigned           gap_open:1;
    unsigned           passed:1;
    unsigned           partial:1;  /* some part lost an instance */
    char               err[256];
};


/* rejoin_put.c */

/* Hands on what is gathered. */
void rejoin_flush(rejoin_t *r);

/* A block as it is; of an EPB or ISB with the file's interface number. */
void rejoin_put_raw(rejoin_t *r, const uint8_t *p, size_t len,
    const pcapx_block_t *b, uint32_t file);

/* A record, with its comments brought up to date. */
void rejoin_put_record(rejoin_t *r, rejoin_part_t *part,
    const pcapx_block_t *b, const uint8_t *p);

/* Statistics, counting on over all parts. */
void rejoin_put_stats(rejoin_t *r, rejoin_part_t *part,
    const pcapx_block_t *b, const uint8_t *p, const pcapx_stats_t *st);

/* An ISB that has nothing but a comment. */
void rejoin_put_text(rejoin_t *r, uint32_t file, uint64_t ts, const char *s,
    size_t len);

/*
 * Counts a gap of origin and says so, at the file's interface number file.
 * to_ns 0, id NULL: it could not be continued.
 */
void rejoin_put_gap(rejoin_t *r, uint32_t file, const message_t *origin,
    uint64_t from_ns, uint64_t to_ns, const char *id);

/* "pcap-cli LIMIT_REACHED api: NAME is reached". */
void rejoin_put_limit(rejoin_t *r, const char *name, uint64_t ts);

/*
 * Looks at the comments of a block that is not written, for what has to be
 * known or told all the same: verdicts, instances that are lost.
 */
void rejoin_hear(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b);

/* The interface numbered b->iface of the part: known or new. 0, -1, err. */
int rejoin_map(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b);

/* Its counts become those of the file. how tells what is known of them. */
void rejoin_settle(rejoin_t *r, rejoin_part_t *part, rejoin_end_t how);


#endif /* CLI_REJOIN_INT_H */
