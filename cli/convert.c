/*
 * cli/convert.c: headers and records of classic pcap. The snaplen in the
 * header is the largest there is: readers only use it as a bound.
 */

#include <stdio.h>
#include <string.h>

#include "convert.h"
#include "pcapx/write.h"


#define CONVERT_NSEC  1000000000u


int
convert_linktype(const stats_t *st, uint16_t *linktype, char *err,
    size_t err_len)
{
    uint32_t  i;

    if (st->nifaces == 0) {
        snprintf(err, err_len, "the stream names no interface");
        return -1;
    }

    for (i = 1; i < st->nifaces; i++) {
        if (st->ifaces[i].linktype != st->ifaces[0].linktype) {
            snprintf(err, err_len, "%s has link type %u, %s has %u; pcap"
                     " holds only one, use --format pcapng",
                     st->ifaces[0].name, st->ifaces[0].linktype,
                     st->ifaces[i].name, st->ifaces[i].linktype);
            return -1;
        }
    }

    *linktype = st->ifaces[0].linktype;

    return 0;
}


size_t
convert_header(uint8_t *dst, uint16_t linktype)
{
    pcapx_pcap_header(dst, PCAPX_MAX_SNAPLEN, linktype);

    return PCAPX_PCAP_HEADER_LEN;
}


size_t
convert_packet(uint8_t *dst, size_t max, const pcapx_block_t *b)
{
    if (max < PCAPX_PCAP_RECORD_LEN || max - PCAPX_PCAP_RECORD_LEN < b->caplen
        || b->ts_ns / CONVERT_NSEC > UINT32_MAX)
    {
        return 0;
    }

    pcapx_pcap_record(dst, b->ts_ns, b->caplen, b->origlen);
    memcpy(dst + PCAPX_PCAP_RECORD_LEN, b->data, b->caplen);

    return PCAPX_PCAP_RECORD_LEN + b->caplen;
}
