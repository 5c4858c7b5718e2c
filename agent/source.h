/*
 * agent/source.h: the packets of one file, one after the other, pcap of both
 * byte orders, micro- and nanoseconds, or pcapng. It reads through a window
 * that is as long as the longest record so far, and nothing behind the size
 * that the file had when it was opened.
 */

#ifndef AGENT_SOURCE_H
#define AGENT_SOURCE_H

#include "pcapx/scan.h"


#define SOURCE_MAX_IFACES  8
#define SOURCE_WHY_LEN     200

typedef struct {
    int              fd;
    uint8_t         *buf;
    size_t           size;
    size_t           pos;        /* of the next block */
    size_t           len;
    uint64_t         left;       /* bytes of the file that are not read */
    pcapx_block_t    head;       /* the packet */
    pcapx_scan_t     scan;
    pcapx_iface_t    ifaces[SOURCE_MAX_IFACES];
    char             why[SOURCE_WHY_LEN];
} source_t;


/*
 * Begins at the first byte of an open file of so many bytes; fd stays the
 * caller's. Returns 0, or -1 without memory. source_close() in either case.
 */
int source_open(source_t *s, int fd, uint64_t bytes);

/*
 * The next packet into s->head, which is good until the next call: time stamp
 * up to INT64_MAX, at most PCAPX_MAX_SNAPLEN captured bytes, of which the
 * original length is no less. Returns 1, 0 at the end (a last record that is
 * cut is the end, too), or -1 when what follows is no capture: s->why says
 * what is wrong.
 */
int source_next(source_t *s);

/* The link type of the packet in s->head. */
uint16_t source_linktype(const source_t *s);

void source_close(source_t *s);


#endif /* AGENT_SOURCE_H */
