/*
 * pcapx/scan_int.h: what the files of the scanner share with each other and
 * nobody else includes: unaligned loads in the section's byte order, and the
 * functions that each take one kind of block.
 *
 * Each of them is called with the whole block in the window and its length
 * checked against the window, except where it says otherwise.
 */

#ifndef PCAPX_SCAN_INT_H
#define PCAPX_SCAN_INT_H

#include <string.h>

#include "scan.h"


#define pcapx_likely(x)    __builtin_expect(!!(x), 1)
#define pcapx_unlikely(x)  __builtin_expect(!!(x), 0)

#define pcapx_pad4(n)      (((n) + 3u) & ~3u)

/* Fixed parts: the header up to the options, closing length included. */

#define PCAPX_BLOCK_MIN    12
#define PCAPX_SHB_MIN      28
#define PCAPX_IDB_MIN      20
#define PCAPX_EPB_MIN      32
#define PCAPX_OPB_MIN      32
#define PCAPX_SPB_MIN      16
#define PCAPX_ISB_MIN      24


static inline uint16_t
pcapx_host16(const uint8_t *p)
{
    uint16_t  v;

    memcpy(&v, p, sizeof(v));

    return v;
}


static inline uint32_t
pcapx_host32(const uint8_t *p)
{
    uint32_t  v;

    memcpy(&v, p, sizeof(v));

    return v;
}


static inline uint64_t
pcapx_host64(const uint8_t *p)
{
    uint64_t  v;

    memcpy(&v, p, sizeof(v));

    return v;
}


static inline uint16_t
pcapx_load16(unsigned swapped, const uint8_t *p)
{
    uint16_t  v = pcapx_host16(p);

    return swapped ? __builtin_bswap16(v) : v;
}


static inline uint32_t
pcapx_load32(unsigned swapped, const uint8_t *p)
{
    uint32_t  v = pcapx_host32(p);

    return swapped ? __builtin_bswap32(v) : v;
}


static inline uint64_t
pcapx_load64(unsigned swapped, const uint8_t *p)
{
    uint64_t  v = pcapx_host64(p);

    return swapped ? __builtin_bswap64(v) : v;
}


/* A pcapng time stamp: two words, the upper one first in both orders. */
static inline uint64_t
pcapx_load_ts(unsigned swapped, const uint8_t *p)
{
    return (uint64_t) pcapx_load32(swapped, p) << 32
           | pcapx_load32(swapped, p + 4);
}


/* Writes s->err ("at byte N: ...") and returns rc. */
int pcapx_scan_fail(pcapx_scan_t *s, int rc, const char *fmt, ...)
    __attribute__((cold, format(printf, 3, 4)));

/*
 * Units of an interface's clock to nanoseconds since the epoch; PCAPX_OK or
 * PCAPX_EFORMAT where the result is negative or above 64 bits.
 */
int pcapx_scan_time(const pcapx_iface_t *iface, uint64_t units,
    uint64_t *ns);

/* An SHB, of which len bytes (8 or more) are here; may return AGAIN. */
int pcapx_scan_shb(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b);

int pcapx_scan_idb(pcapx_scan_t *s, const uint8_t *p, uint32_t total,
    pcapx_block_t *b);

/* An EPB or an OPB in profile ANY. */
int pcapx_scan_packet(pcapx_scan_t *s, const uint8_t *p, uint32_t total,
    pcapx_block_t *b);

int pcapx_scan_spb(pcapx_scan_t *s, const uint8_t *p, uint32_t total,
    pcapx_block_t *b);

int pcapx_scan_isb(pcapx_scan_t *s, const uint8_t *p, uint32_t total,
    pcapx_block_t *b);

/*
 * The header and one record of classic pcap, of which len bytes (4 or more,
 * 8 or more) are here; both may return AGAIN.
 */
int pcapx_scan_pcap_header(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b);

int pcapx_scan_pcap_record(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b);


#endif /* PCAPX_SCAN_INT_H */
