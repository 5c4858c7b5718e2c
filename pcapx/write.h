/*
 * pcapx/write.h: makes blocks and pcap records in host byte order, in memory
 * of the caller. It never writes a part of a block: what does not fit is
 * PCAPX_ENOSPC and leaves the buffer as it was.
 */

#ifndef PCAPX_WRITE_H
#define PCAPX_WRITE_H

#include "pcapx.h"
#include "scan.h"


/* A buffer that is appended to: [start, pos) is filled, [pos, end) free. */

typedef struct {
    uint8_t        *pos;
    uint8_t        *end;
} pcapx_out_t;


/*
 * Each pcapx_put_* appends one whole block and returns PCAPX_OK or
 * PCAPX_ENOSPC (nothing written), PCAPX_EINVAL for an argument that the
 * format cannot hold. Options are written in the order given; padding and
 * opt_endofopt are added. Values are copied, nothing is retained.
 */

int pcapx_put_shb(pcapx_out_t *o, const pcapx_opt_t *opts, size_t nopts);

/* if_tsresol 9 is always written first; do not list it in opts. */
int pcapx_put_idb(pcapx_out_t *o, uint16_t linktype, uint32_t snaplen,
    const pcapx_opt_t *opts, size_t nopts);

/*
 * An ISB of interface iface at ts_ns with the counters that st->present
 * names, then opts (comments). st may be NULL.
 */
int pcapx_put_isb(pcapx_out_t *o, uint32_t iface, uint64_t ts_ns,
    const pcapx_stats_t *st, const pcapx_opt_t *opts, size_t nopts);

/* A whole EPB with data copied and options. */
int pcapx_put_epb(pcapx_out_t *o, uint32_t iface, uint64_t ts_ns,
    const uint8_t *data, uint32_t caplen, uint32_t origlen,
    const pcapx_opt_t *opts, size_t nopts);

/* One name record of an NRB. */
typedef struct {
    uint8_t         addr[16];      /* network byte order, 4 or 16 used */
    uint8_t         addr_len;      /* 4 or 16 */
    const char     *name;
    size_t          name_len;      /* 1..65000, no NUL inside */
} pcapx_name_t;

int pcapx_put_nrb(pcapx_out_t *o, const pcapx_name_t *names, size_t n);


/* Bytes that pcapx_put_epb() needs; opts_len as pcapx_opts_len() gives it. */
size_t pcapx_epb_len(uint32_t caplen, size_t opts_len);

/* Bytes of an option area with these options; 0 for none. */
size_t pcapx_opts_len(const pcapx_opt_t *opts, size_t nopts);


/*
 * The parts of an EPB whose packet stays where it is: a 28-byte head, then
 * the caller's caplen bytes, then a tail of padding, options and the closing
 * length.
 */

#define PCAPX_EPB_HEAD_LEN   28

void pcapx_epb_head(uint8_t head[PCAPX_EPB_HEAD_LEN], uint32_t iface,
    uint64_t ts_ns, uint32_t caplen, uint32_t origlen, size_t opts_len);

/* Appends padding, options and closing length of an EPB of caplen bytes. */
int pcapx_put_epb_tail(pcapx_out_t *o, uint32_t caplen,
    const pcapx_opt_t *opts, size_t nopts);

/*
 * A whole EPB without options, nothing checked: block has room for
 * pcapx_epb_len(caplen, 0) bytes, caplen is below 2^32 - 64. For those who
 * write millions of them.
 */
void pcapx_epb_plain(uint8_t *block, uint32_t iface, uint64_t ts_ns,
    const uint8_t *data, uint32_t caplen, uint32_t origlen);


/* Classic pcap, always with the nanosecond magic. */

#define PCAPX_PCAP_HEADER_LEN   24
#define PCAPX_PCAP_RECORD_LEN   16

void pcapx_pcap_header(uint8_t dst[PCAPX_PCAP_HEADER_LEN],
    uint32_t snaplen, uint16_t linktype);

void pcapx_pcap_record(uint8_t dst[PCAPX_PCAP_RECORD_LEN], uint64_t ts_ns,
    uint32_t caplen, uint32_t origlen);


#endif /* PCAPX_WRITE_H */
