/*
 * pcapx/scan.h: the incremental scanner. It looks at a window of bytes that
 * begins at a block boundary and says which block stands there. It copies
 * no block, keeps no pointer into a window between calls and trusts no
 * length that it has not checked.
 */

#ifndef PCAPX_SCAN_H
#define PCAPX_SCAN_H

#include "pcapx.h"


typedef enum {
    PCAPX_PROFILE_ANY = 0,    /* pcap and pcapng, both byte orders */
    PCAPX_PROFILE_AGENT       /* design.md section 4, nothing else */
} pcapx_profile_t;


/* What an IDB (or a pcap header) said. */

typedef struct {
    uint32_t        snaplen;       /* 0: no limit was given */
    uint16_t        linktype;
    uint8_t         tsresol;       /* the option's byte; 6 when absent */
    int64_t         tsoffset_s;    /* if_tsoffset, seconds */
} pcapx_iface_t;


/* Which counters an ISB carried: bits of pcapx_stats_t.present. */

#define PCAPX_HAS_STARTTIME      0x01
#define PCAPX_HAS_ENDTIME        0x02
#define PCAPX_HAS_IFRECV         0x04
#define PCAPX_HAS_IFDROP         0x08
#define PCAPX_HAS_FILTERACCEPT   0x10
#define PCAPX_HAS_OSDROP         0x20
#define PCAPX_HAS_USRDELIV       0x40

typedef struct {
    unsigned        present;       /* PCAPX_HAS_* */
    uint64_t        starttime_ns;
    uint64_t        endtime_ns;
    uint64_t        ifrecv;
    uint64_t        ifdrop;
    uint64_t        filteraccept;
    uint64_t        osdrop;
    uint64_t        usrdeliv;
} pcapx_stats_t;


/*
 * Why an agent has ended a capture by itself, when it says so: one of a few
 * fixed texts, the comment of its last ISBs (docs/PROTOCOL.md).
 */

#define PCAPX_CONTAINER_GONE     "container gone"

typedef enum {
    PCAPX_END_UNSAID = 0,
    PCAPX_END_CONTAINER,           /* PCAPX_CONTAINER_GONE */
    PCAPX_END_BANDWIDTH,           /* "limit: max_bandwidth" */
    PCAPX_END_BANDWIDTH_TOTAL,     /* "limit: max_bandwidth_total" */
    PCAPX_END_CPU,                 /* "limit: max_cpu_percent" */
    PCAPX_END_FEEDBACK,            /* "limit: feedback" */
    PCAPX_END_OFF,                 /* "switched off" */
    PCAPX_END_FILES,               /* "files: not all could be read" */
    PCAPX_NENDS
} pcapx_end_e;

/* One block; the pointers alias the window given to pcapx_scan_next(). */

typedef struct {
    uint32_t        type;          /* PCAPX_BT_* or an unknown type */
    uint32_t        len;           /* whole block in bytes: advance by it */
    uint32_t        iface;         /* EPB, OPB, SPB (0), ISB, record (0);
                                      IDB: the number it got */
    uint32_t        caplen;        /* packets: bytes at data */
    uint32_t        origlen;       /* packets: bytes on the wire */
    uint64_t        ts_ns;         /* packets and ISB, since the epoch */
    const uint8_t  *data;          /* packets, else NULL */
    const uint8_t  *opts;          /* option area, NULL where there is none */
    uint32_t        opts_len;      /* bytes at opts, opt_endofopt included */
} pcapx_block_t;


typedef struct {
    pcapx_iface_t   *ifaces;       /* the caller's array */
    uint32_t         max_ifaces;
    uint32_t         nifaces;      /* filled so far in this section */
    uint32_t         max_block;    /* bytes; a longer block is EFORMAT */
    size_t           need;         /* after AGAIN: window length to try with */
    uint64_t         offset;       /* bytes of the stream before the window */
    uint64_t         head_end;     /* offset behind the SHB and the IDBs that
                                      follow it directly */
    pcapx_profile_t  profile;
    unsigned         started:1;    /* SHB or pcap header was seen */
    unsigned         swapped:1;    /* other byte order than the host's */
    unsigned         classic:1;    /* pcap, not pcapng */
    unsigned         nsec:1;       /* pcap with nanoseconds */
    unsigned         records:1;    /* profile AGENT: an EPB may come */
    pcapx_end_e      end;          /* profile AGENT: what its last ISBs say */
    char             err[160];     /* after an error: what was wrong where */
} pcapx_scan_t;


/* The text of an ending, NULL for PCAPX_END_UNSAID and beyond the last. */
const char *pcapx_end_text(unsigned end);

/* The least max_block: room for the fixed part of every block we know. */
#define PCAPX_MIN_MAX_BLOCK   64

/*
 * Prepares a scanner for a new stream.
 *   ifaces, max_ifaces  the caller's array for interface descriptions; kept
 *                       and written until the scanner is dropped; an IDB
 *                       beyond it is PCAPX_ELIMIT
 *   profile             what is accepted
 *   max_block           longest acceptable block in bytes, 0 for the default
 *                       (PCAPX_MAX_EPB_LEN + 64 KiB); less than
 *                       PCAPX_MIN_MAX_BLOCK is taken as that
 * Nothing has to be released.
 */
void pcapx_scan_init(pcapx_scan_t *s, pcapx_iface_t *ifaces,
    uint32_t max_ifaces, pcapx_profile_t profile, uint32_t max_block);

/*
 * Looks at the block at p, of which len bytes are there.
 * Returns
 *   PCAPX_OK        *b is filled; the next block begins at p + b->len
 *   PCAPX_AGAIN     the block is not complete; s->need says how many bytes
 *                   the window must hold before another call can do more
 *                   (at least len + 1). State is unchanged: call again with
 *                   the same first byte
 *   PCAPX_EFORMAT, PCAPX_EPROFILE, PCAPX_ELIMIT
 *                   s->err tells what was found and what is allowed; the
 *                   stream cannot be continued
 * A second SHB starts a new section and forgets the interfaces (profile ANY;
 * in profile AGENT it is EPROFILE). Unknown blocks are reported with their
 * type and no data in profile ANY; the caller skips them. b aliases p.
 * In profile ANY a captured length above the snapshot length or above the
 * original length is passed on (such files exist); it never exceeds the
 * block. Of an SPB, caplen is the least of origlen, snaplen and the room in
 * the block; its time stamp is 0. The time stamps of a block are converted
 * by the description of its interface.
 * In profile AGENT: host byte order; SHB version 1.0 first, with at most
 * shb_hardware, shb_os and shb_userappl; then 1 to max_ifaces IDBs with
 * if_tsresol 9, at most if_name, if_description, if_filter and if_os beside
 * it, and a snaplen of 1 to PCAPX_MAX_SNAPLEN; after the first ISB or EPB no
 * further IDB; EPBs without options, caplen <= snaplen of their interface
 * and caplen <= origlen; ISBs with the options of pcapx_stats_t only; every
 * option at most once; nothing else. The comments of pcapx_end_e alone are
 * allowed in an ISB: nothing but ISBs with the same one may follow.
 * Time stamps that do not fit 64-bit nanoseconds are EFORMAT.
 */
int pcapx_scan_next(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b);

/*
 * The counters of an ISB that pcapx_scan_next() returned; unknown options
 * are skipped, of a repeated one the last counts. Call it before the next
 * pcapx_scan_next() (a new section forgets the interface). st is filled;
 * counters that are not present are 0. Returns PCAPX_OK, or PCAPX_EFORMAT
 * for an option of wrong size, a broken option list or a time that does not
 * fit; b that is no ISB is PCAPX_EINVAL.
 */
int pcapx_scan_stats(const pcapx_scan_t *s, const pcapx_block_t *b,
    pcapx_stats_t *st);


/*
 * Walks the options of a block; never reads outside of b->opts. Options of
 * an NRB are not found (opts is NULL there).
 */

typedef struct {
    const uint8_t  *pos;
    const uint8_t  *end;
    unsigned        swapped:1;
} pcapx_opt_iter_t;

typedef struct {
    uint16_t        code;
    uint16_t        len;           /* bytes at value, padding not included */
    const uint8_t  *value;         /* aliases the window, no NUL at the end */
} pcapx_opt_t;

void pcapx_opt_begin(pcapx_opt_iter_t *it, const pcapx_scan_t *s,
    const pcapx_block_t *b);

/*
 * The next option. Returns PCAPX_OK, PCAPX_END after the last one or
 * PCAPX_EFORMAT.
 */
int pcapx_opt_next(pcapx_opt_iter_t *it, pcapx_opt_t *opt);


#endif /* PCAPX_SCAN_H */
