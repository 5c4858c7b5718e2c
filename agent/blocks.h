/*
 * agent/blocks.h: what stands in a stream beside packets: response header,
 * section header, interface descriptions, statistics. In the profile of
 * docs/PROTOCOL.md, nothing else.
 */

#ifndef AGENT_BLOCKS_H
#define AGENT_BLOCKS_H

#include "capture.h"
#include "filter.h"
#include "pcapx/write.h"


/* The effective filter in an if_filter: twice 5000 bytes, and dots. */
#define BLOCKS_FILTER_LEN   10240


/* The head of a 200 answer; returns its length. max is 512 or more. */
int blocks_header(const capture_t *c, char *dst, size_t max);

/*
 * Appends what opens the stream: SHB, IDBs and first ISBs, or the header of
 * a pcap file. Returns PCAPX_OK or a PCAPX_E*.
 */
int blocks_first(const capture_t *c, const filter_exclude_t *ex,
    const char *filter, pcapx_out_t *out);

/* Appends the section header of any stream of ours. */
int blocks_section(pcapx_out_t *out);

/*
 * Appends one ISB per interface, all with the promise ts_ns. written: records
 * sent so far, one number for each interface. comment: stands in each, NULL
 * for none. Returns PCAPX_OK or a PCAPX_E*.
 */
int blocks_isbs(const capture_t *c, const uint64_t *written, uint64_t ts_ns,
    const char *comment, pcapx_out_t *out);


#endif /* AGENT_BLOCKS_H */
