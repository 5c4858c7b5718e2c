/*
 * pcapx/scan_pcap.c: classic pcap, micro- and nanoseconds, both byte orders
 * (draft-ietf-opsawg-pcap, sections 4 and 5). Read only in profile ANY; an
 * agent never speaks it towards the API.
 */

#include "scan_int.h"


#define PCAPX_NS_PER_S   1000000000u
#define PCAPX_NS_PER_US  1000u


static int pcapx_scan_pcap_magic(uint32_t magic, unsigned *swapped,
    unsigned *nsec);


int
pcapx_scan_pcap_header(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b)
{
    unsigned  swapped, nsec, major, minor;

    if (pcapx_scan_pcap_magic(pcapx_host32(p), &swapped, &nsec)
        != PCAPX_OK)
    {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "0x%08x begins neither pcapng nor pcap",
                               pcapx_host32(p));
    }

    if (s->profile == PCAPX_PROFILE_AGENT) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE, "pcap instead of pcapng");
    }

    if (len < 24) {
        s->need = 24;
        return PCAPX_AGAIN;
    }

    major = pcapx_load16(swapped, p + 4);
    minor = pcapx_load16(swapped, p + 6);

    if (major != 2 || minor != 4) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "pcap: version %u.%u, only 2.4 is known",
                               major, minor);
    }

    if (s->max_ifaces == 0) {
        return pcapx_scan_fail(s, PCAPX_ELIMIT, "more than 0 interfaces");
    }

    /* The upper half of the last word is FCS length and reserved bits. */

    s->ifaces[0].linktype = (uint16_t) pcapx_load32(swapped, p + 20);
    s->ifaces[0].snaplen = pcapx_load32(swapped, p + 16);
    s->ifaces[0].tsresol = nsec ? 9 : 6;
    s->ifaces[0].tsoffset_s = 0;

    s->nifaces = 1;
    s->started = 1;
    s->classic = 1;
    s->swapped = swapped & 1;
    s->nsec = nsec & 1;

    memset(b, 0, sizeof(*b));
    b->type = PCAPX_BT_PCAP_HEADER;
    b->len = 24;
    s->head_end = 24;

    return PCAPX_OK;
}


static int
pcapx_scan_pcap_magic(uint32_t magic, unsigned *swapped, unsigned *nsec)
{
    *swapped = magic != PCAPX_PCAP_MAGIC_USEC
               && magic != PCAPX_PCAP_MAGIC_NSEC;

    if (*swapped) {
        magic = __builtin_bswap32(magic);
    }

    *nsec = magic == PCAPX_PCAP_MAGIC_NSEC;

    return *nsec || magic == PCAPX_PCAP_MAGIC_USEC ? PCAPX_OK
                                                   : PCAPX_EFORMAT;
}


int
pcapx_scan_pcap_record(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b)
{
    uint32_t  caplen, unit;

    if (len < 16) {
        s->need = 16;
        return PCAPX_AGAIN;
    }

    caplen = pcapx_load32(s->swapped, p + 8);

    if (caplen > s->max_block - 16) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "pcap: captured length %u is over the limit "
                               "of %u", caplen, s->max_block - 16);
    }

    if (len < 16 + (size_t) caplen) {
        s->need = 16 + (size_t) caplen;
        return PCAPX_AGAIN;
    }

    /* Two 32-bit words cannot exceed 64 bits, whatever is in the second. */

    unit = s->nsec ? 1 : PCAPX_NS_PER_US;

    b->type = PCAPX_BT_PCAP_RECORD;
    b->len = 16 + caplen;
    b->iface = 0;
    b->caplen = caplen;
    b->origlen = pcapx_load32(s->swapped, p + 12);
    b->ts_ns = (uint64_t) pcapx_load32(s->swapped, p) * PCAPX_NS_PER_S
               + (uint64_t) pcapx_load32(s->swapped, p + 4) * unit;
    b->data = p + 16;
    b->opts = NULL;
    b->opts_len = 0;

    return PCAPX_OK;
}
