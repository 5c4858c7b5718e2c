/*
 * cli/convert.h: pcapng to classic pcap, for --format pcap: nanosecond
 * magic, one link type. Knows nothing of files.
 */

#ifndef CLI_CONVERT_H
#define CLI_CONVERT_H

#include "pcapx/scan.h"
#include "stats.h"


/*
 * Do all interfaces have one link type? Returns 0 with it in *linktype, or
 * -1 with a sentence in err (err_len bytes) that names two that differ, or
 * that there is none.
 */
int convert_linktype(const stats_t *st, uint16_t *linktype, char *err,
    size_t err_len);

/* The file header: PCAPX_PCAP_HEADER_LEN bytes at dst. */
size_t convert_header(uint8_t *dst, uint16_t linktype);

/*
 * One packet as a record at dst (max bytes). Returns its length, or 0 when
 * there is no room or its time stamp does not fit (32 bits of seconds).
 */
size_t convert_packet(uint8_t *dst, size_t max, const pcapx_block_t *b);


#endif /* CLI_CONVERT_H */
