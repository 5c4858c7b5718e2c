/*
 * t/pcapx_craft.h: makes captures byte by byte, well-formed or not, in
 * either byte order, without the library's own writer; and shows them to the
 * scanner in a window that ends at an unreadable page, so that one byte read
 * too far is a crash in every build.
 */

#ifndef PCAPX_CRAFT_H
#define PCAPX_CRAFT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pcapx/scan.h"


#define CRAFT_MAX   65536

typedef struct {
    size_t    len;
    size_t    block;                /* where the open block begins */
    unsigned  swap;                 /* foreign byte order */
    uint8_t   buf[CRAFT_MAX];
} craft_t;


static inline void
craft_bytes(craft_t *c, const void *p, size_t n)
{
    if (n > CRAFT_MAX - c->len) {
        abort();
    }

    if (n != 0) {
        memcpy(c->buf + c->len, p, n);
    }

    c->len += n;
}


static inline void
craft_zero(craft_t *c, size_t n)
{
    while (n--) {
        craft_bytes(c, "", 1);
    }
}


static inline void
craft_u16(craft_t *c, unsigned v)
{
    uint16_t  x = (uint16_t) v;

    x = c->swap ? __builtin_bswap16(x) : x;
    craft_bytes(c, &x, sizeof(x));
}


static inline void
craft_u32(craft_t *c, uint32_t x)
{
    x = c->swap ? __builtin_bswap32(x) : x;
    craft_bytes(c, &x, sizeof(x));
}


static inline void
craft_u64(craft_t *c, uint64_t x)
{
    x = c->swap ? __builtin_bswap64(x) : x;
    craft_bytes(c, &x, sizeof(x));
}


static inline void
craft_ts(craft_t *c, uint64_t ts)
{
    craft_u32(c, (uint32_t) (ts >> 32));
    craft_u32(c, (uint32_t) ts);
}


/* Overwrites a word of the stream, the first one of a block for instance. */
static inline void
craft_set32(craft_t *c, size_t at, uint32_t x)
{
    x = c->swap ? __builtin_bswap32(x) : x;
    memcpy(c->buf + at, &x, sizeof(x));
}


static inline void
craft_begin(craft_t *c, uint32_t type)
{
    c->block = c->len;
    craft_u32(c, type);
    craft_u32(c, 0);
}


static inline void
craft_end(craft_t *c)
{
    uint32_t  total;

    craft_zero(c, (4 - (c->len - c->block) % 4) % 4);
    total = (uint32_t) (c->len - c->block) + 4;
    craft_u32(c, total);
    craft_set32(c, c->block + 4, total);
}


static inline void
craft_opt(craft_t *c, unsigned code, const void *value, unsigned len)
{
    craft_u16(c, code);
    craft_u16(c, len);
    craft_bytes(c, value, len);
    craft_zero(c, (4 - len % 4) % 4);
}


static inline void
craft_opt_u64(craft_t *c, unsigned code, uint64_t v)
{
    craft_u16(c, code);
    craft_u16(c, 8);
    craft_u64(c, v);
}


static inline void
craft_opt_end(craft_t *c)
{
    craft_u32(c, 0);
}


static inline void
craft_shb_open(craft_t *c, uint64_t section)
{
    craft_begin(c, PCAPX_BT_SHB);
    craft_u32(c, PCAPX_BYTE_ORDER_MAGIC);
    craft_u16(c, 1);
    craft_u16(c, 0);
    craft_u64(c, section);
}


static inline void
craft_shb(craft_t *c)
{
    craft_shb_open(c, UINT64_MAX);
    craft_end(c);
}


static inline void
craft_idb_open(craft_t *c, unsigned linktype, uint32_t snaplen)
{
    craft_begin(c, PCAPX_BT_IDB);
    craft_u16(c, linktype);
    craft_u16(c, 0);
    craft_u32(c, snaplen);
}


/* An IDB as an agent sends it. */
static inline void
craft_idb(craft_t *c, uint32_t snaplen)
{
    craft_idb_open(c, PCAPX_LINKTYPE_ETHERNET, snaplen);
    craft_opt(c, PCAPX_IF_TSRESOL, "\x09", 1);
    craft_opt(c, PCAPX_IF_NAME, "eth0", 4);
    craft_opt_end(c);
    craft_end(c);
}


static inline void
craft_epb_open(craft_t *c, uint32_t iface, uint64_t ts, uint32_t caplen,
    uint32_t origlen)
{
    uint32_t  i;

    craft_begin(c, PCAPX_BT_EPB);
    craft_u32(c, iface);
    craft_ts(c, ts);
    craft_u32(c, caplen);
    craft_u32(c, origlen);

    for (i = 0; i < caplen; i++) {
        craft_bytes(c, &(uint8_t) { (uint8_t) (i + 1) }, 1);
    }

    craft_zero(c, (4 - caplen % 4) % 4);
}


static inline void
craft_epb(craft_t *c, uint32_t iface, uint64_t ts, uint32_t caplen,
    uint32_t origlen)
{
    craft_epb_open(c, iface, ts, caplen, origlen);
    craft_end(c);
}


static inline void
craft_isb_open(craft_t *c, uint32_t iface, uint64_t ts)
{
    craft_begin(c, PCAPX_BT_ISB);
    craft_u32(c, iface);
    craft_ts(c, ts);
}


static inline void
craft_isb(craft_t *c, uint32_t iface, uint64_t ts)
{
    craft_isb_open(c, iface, ts);
    craft_opt_u64(c, PCAPX_ISB_FILTERACCEPT, 7);
    craft_opt_u64(c, PCAPX_ISB_OSDROP, 0x0102030405060708);
    craft_opt_u64(c, PCAPX_ISB_USRDELIV, 5);
    craft_opt_end(c);
    craft_end(c);
}


static inline void
craft_pcap(craft_t *c, uint32_t magic, uint32_t snaplen, uint32_t network)
{
    craft_u32(c, magic);
    craft_u16(c, 2);
    craft_u16(c, 4);
    craft_u32(c, 0);
    craft_u32(c, 0);
    craft_u32(c, snaplen);
    craft_u32(c, network);
}


static inline void
craft_record(craft_t *c, uint32_t sec, uint32_t frac, uint32_t caplen,
    uint32_t origlen)
{
    craft_u32(c, sec);
    craft_u32(c, frac);
    craft_u32(c, caplen);
    craft_u32(c, origlen);
    craft_zero(c, caplen);
}


/* Whole captures that hold every type of block of their kind. */

static inline void
craft_agent_stream(craft_t *c)
{
    craft_shb_open(c, UINT64_MAX);
    craft_opt(c, PCAPX_SHB_HARDWARE, "amd64", 5);
    craft_opt(c, PCAPX_SHB_OS, "linux", 5);
    craft_opt(c, PCAPX_SHB_USERAPPL, "agent", 5);
    craft_opt_end(c);
    craft_end(c);
    craft_idb(c, 65535);
    craft_idb(c, 262144);
    craft_isb(c, 1, 1);
    craft_isb_open(c, 0, 2);
    craft_end(c);
    craft_epb(c, 0, 3, 0, 60);
    craft_epb(c, 1, 4, 1, 60);
    craft_epb(c, 0, 5, 2, 60);
    craft_epb(c, 1, 6, 3, 60);
    craft_epb(c, 0, UINT64_MAX, 64, 64);
    craft_isb_open(c, 0, 2);
    craft_opt_u64(c, PCAPX_ISB_STARTTIME, 1);
    craft_opt_u64(c, PCAPX_ISB_ENDTIME, 2);
    craft_opt_u64(c, PCAPX_ISB_IFRECV, 3);
    craft_opt_u64(c, PCAPX_ISB_IFDROP, 4);
    craft_end(c);
}


static inline void
craft_any_stream(craft_t *c, unsigned swap)
{
    c->swap = swap;

    craft_shb(c);
    craft_idb_open(c, 1, 0);
    craft_opt(c, PCAPX_IF_NAME, "wlan0", 5);
    craft_opt(c, PCAPX_IF_TSRESOL, "\x86", 1);
    craft_opt_u64(c, PCAPX_IF_TSOFFSET, 3);
    craft_end(c);
    craft_epb_open(c, 0, 100, 5, 70);
    craft_opt(c, PCAPX_OPT_COMMENT, "a comment", 9);
    craft_opt_end(c);
    craft_end(c);
    craft_begin(c, PCAPX_BT_SPB);
    craft_u32(c, 6);
    craft_zero(c, 6);
    craft_end(c);
    craft_begin(c, PCAPX_BT_OPB);
    craft_u16(c, 0);
    craft_u16(c, 1);
    craft_ts(c, 200);
    craft_u32(c, 3);
    craft_u32(c, 3);
    craft_zero(c, 3);
    craft_end(c);
    craft_begin(c, PCAPX_BT_NRB);
    craft_u32(c, 0);
    craft_end(c);
    craft_isb(c, 0, 300);
    craft_begin(c, 0x40000bad);
    craft_zero(c, 7);
    craft_end(c);

    /* a new section in the other order */

    c->swap = !swap;
    craft_shb_open(c, 80);
    craft_opt(c, PCAPX_OPT_COMMENT, "second", 6);
    craft_end(c);
    craft_idb_open(c, 1, 40);
    craft_end(c);
    craft_epb(c, 0, 400, 40, 41);
}


static inline void
craft_pcap_stream(craft_t *c, uint32_t magic, unsigned swap)
{
    c->swap = swap;

    craft_pcap(c, magic, 65535, 1);
    craft_record(c, 1, 2, 0, 60);
    craft_record(c, 3, 4, 1, 60);
    craft_record(c, 5, 6, 59, 59);
    craft_record(c, 7, 8, 7, 7);
}


/* A window that ends where reading is deadly. */

#define GUARD_MAX   ((size_t) 131072)

typedef struct {
    uint8_t  *end;
} guard_t;


static inline void
guard_init(guard_t *g)
{
    void  *p;
    long   page;

    page = sysconf(_SC_PAGESIZE);
    p = mmap(NULL, GUARD_MAX + (size_t) page, PROT_READ|PROT_WRITE,
             MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED
        || mprotect((uint8_t *) p + GUARD_MAX, (size_t) page, PROT_NONE))
    {
        perror("guard page");
        exit(1);
    }

    g->end = (uint8_t *) p + GUARD_MAX;
}


static inline uint8_t *
guard_window(guard_t *g, const uint8_t *p, size_t len)
{
    if (len > GUARD_MAX) {
        abort();
    }

    if (len != 0) {
        memcpy(g->end - len, p, len);
    }

    return g->end - len;
}


/* What the scanner said about a block, with offsets for pointers. */

typedef struct {
    pcapx_block_t  b;
    size_t         at;              /* offset of the block in the stream */
    size_t         data;            /* offset in the block, 0: none */
    size_t         opts;
} seen_t;


static inline void
seen_set(seen_t *v, const pcapx_block_t *b, const uint8_t *p, size_t at)
{
    v->b = *b;
    v->at = at;
    v->data = b->data ? (size_t) (b->data - p) : 0;
    v->opts = b->opts ? (size_t) (b->opts - p) : 0;
}


static inline int
seen_equal(const seen_t *v, const seen_t *w)
{
    return v->at == w->at && v->b.type == w->b.type && v->b.len == w->b.len
           && v->b.iface == w->b.iface && v->b.caplen == w->b.caplen
           && v->b.origlen == w->b.origlen && v->b.ts_ns == w->b.ts_ns
           && v->data == w->data && v->opts == w->opts
           && v->b.opts_len == w->b.opts_len;
}


/* Scans a whole stream; returns the last result, END when it was all read. */
static inline int
craft_scan(pcapx_scan_t *s, guard_t *g, const craft_t *c, seen_t *seen,
    size_t max, size_t *n)
{
    int             rc;
    size_t          at;
    uint8_t        *p;
    pcapx_block_t   b;

    p = guard_window(g, c->buf, c->len);
    *n = 0;

    for (at = 0; at < c->len; at += b.len) {

        rc = pcapx_scan_next(s, p + at, c->len - at, &b);

        if (rc != PCAPX_OK) {
            return rc;
        }

        if (*n < max) {
            seen_set(&seen[*n], &b, p + at, at);
        }

        (*n)++;
    }

    return PCAPX_END;
}


#endif /* PCAPX_CRAFT_H */
