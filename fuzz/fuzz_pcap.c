/*
 * fuzz/fuzz_pcap.c: any bytes as a classic pcap. The first byte chooses one of
 * the magic numbers, so that each run is in the reader and not at its door;
 * the rest is what follows. What is read is put into a pcap of our own and
 * read again: both must say the same of each packet.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pcapx/scan.h"
#include "pcapx/write.h"
#include "fuzz/require.h"


#define MAGIC_LEN    4
#define MAX_RECORDS  2000


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* The record as we would write it, scanned again. */
static void
again(const pcapx_block_t *b, uint16_t linktype)
{
    size_t          len;
    uint8_t        *p;
    pcapx_scan_t    s;
    pcapx_iface_t   iface;
    pcapx_block_t   copy;

    len = PCAPX_PCAP_RECORD_LEN + b->caplen;
    p = malloc(PCAPX_PCAP_HEADER_LEN + len);
    require(p != NULL);

    pcapx_pcap_header(p, PCAPX_MAX_SNAPLEN, linktype);
    pcapx_pcap_record(p + PCAPX_PCAP_HEADER_LEN, b->ts_ns, b->caplen,
                      b->origlen);

    if (b->caplen) {
        memcpy(p + PCAPX_PCAP_HEADER_LEN + PCAPX_PCAP_RECORD_LEN, b->data,
               b->caplen);
    }

    pcapx_scan_init(&s, &iface, 1, PCAPX_PROFILE_ANY, 0);
    require(pcapx_scan_next(&s, p, PCAPX_PCAP_HEADER_LEN + len, &copy)
            == PCAPX_OK);
    require(copy.len == PCAPX_PCAP_HEADER_LEN && copy.data == NULL);
    require(pcapx_scan_next(&s, p + copy.len, len, &copy) == PCAPX_OK);
    require(copy.ts_ns == b->ts_ns && copy.caplen == b->caplen
            && copy.origlen == b->origlen);
    require(iface.linktype == linktype);

    free(p);
}


static void
read_all(const uint8_t *p, size_t len)
{
    int             rc;
    uint32_t        n;
    pcapx_scan_t    s;
    pcapx_iface_t   iface;
    pcapx_block_t   b;

    pcapx_scan_init(&s, &iface, 1, PCAPX_PROFILE_ANY, 0);

    for (n = 0; len && n < MAX_RECORDS; n++) {
        rc = pcapx_scan_next(&s, p, len, &b);

        if (rc != PCAPX_OK) {
            require(rc < 0 ? s.err[0] != '\0' : s.need > len);
            break;
        }

        require(b.len > 0 && b.len <= len);

        if (b.data) {
            require(b.iface == 0 && s.nifaces == 1);
            require(b.data >= p && b.data + b.caplen <= p + b.len);

            if (b.caplen <= PCAPX_MAX_SNAPLEN
                && b.ts_ns / 1000000000 <= UINT32_MAX)
            {
                again(&b, iface.linktype);
            }
        }

        p += b.len;
        len -= b.len;
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t  *file;

    static const uint8_t  magic[][MAGIC_LEN] = {
        { 0xd4, 0xc3, 0xb2, 0xa1 },
        { 0xa1, 0xb2, 0xc3, 0xd4 },
        { 0x4d, 0x3c, 0xb2, 0xa1 },
        { 0xa1, 0xb2, 0x3c, 0x4d }
    };

    if (size == 0 || size > 65536) {
        return 0;
    }

    /* of exactly the right size, so that a sanitizer sees all */

    file = malloc(MAGIC_LEN + size - 1);
    require(file != NULL);
    memcpy(file, magic[data[0] % 4], MAGIC_LEN);
    memcpy(file + MAGIC_LEN, data + 1, size - 1);

    read_all(file, MAGIC_LEN + size - 1);
    free(file);

    return 0;
}
