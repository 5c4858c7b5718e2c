/*
 * pcapx/write.c: makes pcapng blocks and pcap records in host byte order
 * (draft-ietf-opsawg-pcapng, section 4). The length of a block is computed
 * first, in 64 bits, and nothing is written unless all of it fits; after
 * that check the writers below only append.
 */

#include <string.h>

#include "write.h"


#define PCAPX_NRB_END    0
#define PCAPX_NRB_IPV4   1
#define PCAPX_NRB_IPV6   2

#define PCAPX_MAX_NAME   65000

#define pcapx_pad4_64(n)  (((uint64_t) (n) + 3) & ~(uint64_t) 3)


static int pcapx_put_begin(pcapx_out_t *o, uint32_t type, uint64_t total);
static void pcapx_put_end(pcapx_out_t *o, uint32_t total);
static int pcapx_check_opts(const pcapx_opt_t *opts, size_t nopts);
static uint64_t pcapx_opts_area(const pcapx_opt_t *opts, size_t nopts);
static void pcapx_put_opts(pcapx_out_t *o, const pcapx_opt_t *opts,
    size_t nopts);
static void pcapx_put_opt(pcapx_out_t *o, uint16_t code, const void *value,
    uint16_t len);
static void pcapx_put_counters(pcapx_out_t *o, const pcapx_stats_t *st);
static void pcapx_put_opt_end(pcapx_out_t *o);
static int pcapx_check_name(const pcapx_name_t *name);
static void pcapx_put_name(pcapx_out_t *o, const pcapx_name_t *name);
static void pcapx_put_bytes(pcapx_out_t *o, const void *data, size_t len);
static void pcapx_word(uint8_t *p, uint32_t v);
static void pcapx_put_pad(pcapx_out_t *o, size_t len);
static void pcapx_put16(pcapx_out_t *o, uint16_t v);
static void pcapx_put32(pcapx_out_t *o, uint32_t v);
static void pcapx_put64(pcapx_out_t *o, uint64_t v);
static void pcapx_put_ts(pcapx_out_t *o, uint64_t ts);


int
pcapx_put_shb(pcapx_out_t *o, const pcapx_opt_t *opts, size_t nopts)
{
    int       rc;
    uint64_t  total;

    if (pcapx_check_opts(opts, nopts) != PCAPX_OK) {
        return PCAPX_EINVAL;
    }

    total = 28 + pcapx_opts_area(opts, nopts);
    rc = pcapx_put_begin(o, PCAPX_BT_SHB, total);

    if (rc != PCAPX_OK) {
        return rc;
    }

    pcapx_put32(o, PCAPX_BYTE_ORDER_MAGIC);
    pcapx_put16(o, 1);
    pcapx_put16(o, 0);
    pcapx_put64(o, UINT64_MAX);
    pcapx_put_opts(o, opts, nopts);
    pcapx_put_end(o, (uint32_t) total);

    return PCAPX_OK;
}


int
pcapx_put_idb(pcapx_out_t *o, uint16_t linktype, uint32_t snaplen,
    const pcapx_opt_t *opts, size_t nopts)
{
    int       rc;
    size_t    i;
    uint8_t   resol;
    uint64_t  total;

    if (pcapx_check_opts(opts, nopts) != PCAPX_OK) {
        return PCAPX_EINVAL;
    }

    for (i = 0; i < nopts; i++) {
        if (opts[i].code == PCAPX_IF_TSRESOL) {
            return PCAPX_EINVAL;
        }
    }

    /* if_tsresol and opt_endofopt are always there. */

    total = 20 + 8 + (nopts ? pcapx_opts_area(opts, nopts) : 4);
    rc = pcapx_put_begin(o, PCAPX_BT_IDB, total);

    if (rc != PCAPX_OK) {
        return rc;
    }

    resol = 9;

    pcapx_put16(o, linktype);
    pcapx_put16(o, 0);
    pcapx_put32(o, snaplen);
    pcapx_put_opt(o, PCAPX_IF_TSRESOL, &resol, 1);

    if (nopts) {
        pcapx_put_opts(o, opts, nopts);

    } else {
        pcapx_put_opt_end(o);
    }

    pcapx_put_end(o, (uint32_t) total);

    return PCAPX_OK;
}


int
pcapx_put_isb(pcapx_out_t *o, uint32_t iface, uint64_t ts_ns,
    const pcapx_stats_t *st, const pcapx_opt_t *opts, size_t nopts)
{
    int       rc;
    uint64_t  counters, total;

    if (pcapx_check_opts(opts, nopts) != PCAPX_OK) {
        return PCAPX_EINVAL;
    }

    counters = 0;

    if (st != NULL) {
        counters = 12 * (uint64_t) __builtin_popcount(st->present & 0x7f);
    }

    total = 24 + counters + pcapx_opts_area(opts, nopts);

    if (counters != 0 && nopts == 0) {
        total += 4;
    }

    rc = pcapx_put_begin(o, PCAPX_BT_ISB, total);

    if (rc != PCAPX_OK) {
        return rc;
    }

    pcapx_put32(o, iface);
    pcapx_put_ts(o, ts_ns);

    if (counters != 0) {
        pcapx_put_counters(o, st);
    }

    if (nopts) {
        pcapx_put_opts(o, opts, nopts);

    } else if (counters != 0) {
        pcapx_put_opt_end(o);
    }

    pcapx_put_end(o, (uint32_t) total);

    return PCAPX_OK;
}


static void
pcapx_put_counters(pcapx_out_t *o, const pcapx_stats_t *st)
{
    unsigned  i;
    uint16_t  code;
    uint64_t  v[7];

    v[0] = st->starttime_ns;
    v[1] = st->endtime_ns;
    v[2] = st->ifrecv;
    v[3] = st->ifdrop;
    v[4] = st->filteraccept;
    v[5] = st->osdrop;
    v[6] = st->usrdeliv;

    /* PCAPX_HAS_* are in the order of the option codes, from 2 on. */

    for (i = 0; i < 7; i++) {

        if ((st->present & (1u << i)) == 0) {
            continue;
        }

        code = (uint16_t) (PCAPX_ISB_STARTTIME + i);

        pcapx_put16(o, code);
        pcapx_put16(o, 8);

        if (code == PCAPX_ISB_STARTTIME || code == PCAPX_ISB_ENDTIME) {
            pcapx_put_ts(o, v[i]);

        } else {
            pcapx_put64(o, v[i]);
        }
    }
}


int
pcapx_put_epb(pcapx_out_t *o, uint32_t iface, uint64_t ts_ns,
    const uint8_t *data, uint32_t caplen, uint32_t origlen,
    const pcapx_opt_t *opts, size_t nopts)
{
    uint64_t  area, total;

    if (pcapx_check_opts(opts, nopts) != PCAPX_OK) {
        return PCAPX_EINVAL;
    }

    area = pcapx_opts_area(opts, nopts);
    total = 32 + pcapx_pad4_64(caplen) + area;

    if (total > UINT32_MAX) {
        return PCAPX_EINVAL;
    }

    if (total > (uint64_t) (o->end - o->pos)) {
        return PCAPX_ENOSPC;
    }

    pcapx_epb_head(o->pos, iface, ts_ns, caplen, origlen, (size_t) area);
    o->pos += PCAPX_EPB_HEAD_LEN;

    pcapx_put_bytes(o, data, caplen);
    pcapx_put_pad(o, caplen);
    pcapx_put_opts(o, opts, nopts);
    pcapx_put_end(o, (uint32_t) total);

    return PCAPX_OK;
}


size_t
pcapx_epb_len(uint32_t caplen, size_t opts_len)
{
    return 32 + (size_t) pcapx_pad4_64(caplen) + opts_len;
}


size_t
pcapx_opts_len(const pcapx_opt_t *opts, size_t nopts)
{
    return (size_t) pcapx_opts_area(opts, nopts);
}


/*
 * Word by word to where they belong: an array that is copied as a whole is
 * read back in wider pieces than it was written, which the processor cannot
 * forward (15 ns of each record on Zen 3).
 */
void
pcapx_epb_head(uint8_t head[PCAPX_EPB_HEAD_LEN], uint32_t iface,
    uint64_t ts_ns, uint32_t caplen, uint32_t origlen, size_t opts_len)
{
    pcapx_word(head, PCAPX_BT_EPB);
    pcapx_word(head + 4, (uint32_t) pcapx_epb_len(caplen, opts_len));
    pcapx_word(head + 8, iface);
    pcapx_word(head + 12, (uint32_t) (ts_ns >> 32));
    pcapx_word(head + 16, (uint32_t) ts_ns);
    pcapx_word(head + 20, caplen);
    pcapx_word(head + 24, origlen);
}


static void
pcapx_word(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}


int
pcapx_put_epb_tail(pcapx_out_t *o, uint32_t caplen, const pcapx_opt_t *opts,
    size_t nopts)
{
    uint64_t  area, total, need;

    if (pcapx_check_opts(opts, nopts) != PCAPX_OK) {
        return PCAPX_EINVAL;
    }

    area = pcapx_opts_area(opts, nopts);
    total = 32 + pcapx_pad4_64(caplen) + area;
    need = pcapx_pad4_64(caplen) - caplen + area + 4;

    if (total > UINT32_MAX) {
        return PCAPX_EINVAL;
    }

    if (need > (uint64_t) (o->end - o->pos)) {
        return PCAPX_ENOSPC;
    }

    pcapx_put_pad(o, caplen);
    pcapx_put_opts(o, opts, nopts);
    pcapx_put_end(o, (uint32_t) total);

    return PCAPX_OK;
}


/* The order matters: padding below the data, data of no bytes below all. */
void
pcapx_epb_plain(uint8_t *block, uint32_t iface, uint64_t ts_ns,
    const uint8_t *data, uint32_t caplen, uint32_t origlen)
{
    size_t  total;

    total = pcapx_epb_len(caplen, 0);

    pcapx_word(block + total - 8, 0);
    pcapx_word(block + total - 4, (uint32_t) total);
    pcapx_epb_head(block, iface, ts_ns, caplen, origlen, 0);
    memcpy(block + PCAPX_EPB_HEAD_LEN, data, caplen);
}


int
pcapx_put_nrb(pcapx_out_t *o, const pcapx_name_t *names, size_t n)
{
    int       rc;
    size_t    i;
    uint64_t  total;

    total = 12 + 4;

    for (i = 0; i < n; i++) {

        if (pcapx_check_name(&names[i]) != PCAPX_OK) {
            return PCAPX_EINVAL;
        }

        total += 4 + pcapx_pad4_64(names[i].addr_len + names[i].name_len + 1);
    }

    rc = pcapx_put_begin(o, PCAPX_BT_NRB, total);

    if (rc != PCAPX_OK) {
        return rc;
    }

    for (i = 0; i < n; i++) {
        pcapx_put_name(o, &names[i]);
    }

    pcapx_put16(o, PCAPX_NRB_END);
    pcapx_put16(o, 0);
    pcapx_put_end(o, (uint32_t) total);

    return PCAPX_OK;
}


static int
pcapx_check_name(const pcapx_name_t *name)
{
    if (name->addr_len != 4 && name->addr_len != 16) {
        return PCAPX_EINVAL;
    }

    if (name->name_len == 0 || name->name_len > PCAPX_MAX_NAME
        || memchr(name->name, '\0', name->name_len) != NULL)
    {
        return PCAPX_EINVAL;
    }

    return PCAPX_OK;
}


static void
pcapx_put_name(pcapx_out_t *o, const pcapx_name_t *name)
{
    size_t  len;

    len = name->addr_len + name->name_len + 1;

    pcapx_put16(o, name->addr_len == 4 ? PCAPX_NRB_IPV4 : PCAPX_NRB_IPV6);
    pcapx_put16(o, (uint16_t) len);
    pcapx_put_bytes(o, name->addr, name->addr_len);
    pcapx_put_bytes(o, name->name, name->name_len);
    pcapx_put_bytes(o, "", 1);
    pcapx_put_pad(o, len);
}


void
pcapx_pcap_header(uint8_t dst[PCAPX_PCAP_HEADER_LEN], uint32_t snaplen,
    uint16_t linktype)
{
    pcapx_out_t  o;

    o.pos = dst;
    o.end = dst + PCAPX_PCAP_HEADER_LEN;

    pcapx_put32(&o, PCAPX_PCAP_MAGIC_NSEC);
    pcapx_put16(&o, 2);
    pcapx_put16(&o, 4);
    pcapx_put32(&o, 0);
    pcapx_put32(&o, 0);
    pcapx_put32(&o, snaplen);
    pcapx_put32(&o, linktype);
}


void
pcapx_pcap_record(uint8_t dst[PCAPX_PCAP_RECORD_LEN], uint64_t ts_ns,
    uint32_t caplen, uint32_t origlen)
{
    uint32_t  w[4];

    /* 2^32 s end in 2106, as the format itself does. */

    w[0] = (uint32_t) (ts_ns / 1000000000u);
    w[1] = (uint32_t) (ts_ns % 1000000000u);
    w[2] = caplen;
    w[3] = origlen;

    memcpy(dst, w, sizeof(w));
}


/* Checks that a block of total bytes fits, then writes its first 8. */
static int
pcapx_put_begin(pcapx_out_t *o, uint32_t type, uint64_t total)
{
    if (total > UINT32_MAX) {
        return PCAPX_EINVAL;
    }

    if (total > (uint64_t) (o->end - o->pos)) {
        return PCAPX_ENOSPC;
    }

    pcapx_put32(o, type);
    pcapx_put32(o, (uint32_t) total);

    return PCAPX_OK;
}


static void
pcapx_put_end(pcapx_out_t *o, uint32_t total)
{
    pcapx_put32(o, total);
}


/* Code 0 would end the list before its end. */
static int
pcapx_check_opts(const pcapx_opt_t *opts, size_t nopts)
{
    size_t  i;

    for (i = 0; i < nopts; i++) {
        if (opts[i].code == PCAPX_OPT_END) {
            return PCAPX_EINVAL;
        }
    }

    return PCAPX_OK;
}


static uint64_t
pcapx_opts_area(const pcapx_opt_t *opts, size_t nopts)
{
    size_t    i;
    uint64_t  len;

    if (nopts == 0) {
        return 0;
    }

    len = 4;

    for (i = 0; i < nopts; i++) {
        len += 4 + pcapx_pad4_64(opts[i].len);
    }

    return len;
}


static void
pcapx_put_opts(pcapx_out_t *o, const pcapx_opt_t *opts, size_t nopts)
{
    size_t  i;

    if (nopts == 0) {
        return;
    }

    for (i = 0; i < nopts; i++) {
        pcapx_put_opt(o, opts[i].code, opts[i].value, opts[i].len);
    }

    pcapx_put_opt_end(o);
}


static void
pcapx_put_opt(pcapx_out_t *o, uint16_t code, const void *value, uint16_t len)
{
    pcapx_put16(o, code);
    pcapx_put16(o, len);
    pcapx_put_bytes(o, value, len);
    pcapx_put_pad(o, len);
}


static void
pcapx_put_opt_end(pcapx_out_t *o)
{
    pcapx_put32(o, 0);
}


static void
pcapx_put_bytes(pcapx_out_t *o, const void *data, size_t len)
{
    if (len != 0) {
        memcpy(o->pos, data, len);
        o->pos += len;
    }
}


/* Zeroes from len up to the next multiple of 4. */
static void
pcapx_put_pad(pcapx_out_t *o, size_t len)
{
    while (len & 3) {
        *o->pos++ = 0;
        len++;
    }
}


static void
pcapx_put16(pcapx_out_t *o, uint16_t v)
{
    memcpy(o->pos, &v, sizeof(v));
    o->pos += sizeof(v);
}


static void
pcapx_put32(pcapx_out_t *o, uint32_t v)
{
    memcpy(o->pos, &v, sizeof(v));
    o->pos += sizeof(v);
}


static void
pcapx_put64(pcapx_out_t *o, uint64_t v)
{
    memcpy(o->pos, &v, sizeof(v));
    o->pos += sizeof(v);
}


/* Time stamps are two words, the upper one first in both byte orders. */
static void
pcapx_put_ts(pcapx_out_t *o, uint64_t ts)
{
    pcapx_put32(o, (uint32_t) (ts >> 32));
    pcapx_put32(o, (uint32_t) ts);
}
