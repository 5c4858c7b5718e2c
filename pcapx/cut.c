/*
 * pcapx/cut.c: see cut.h. Either a header is being gathered or the rest of
 * a block is skipped; between the two the stream may be cut. A length is
 * checked before it is followed.
 */

#include <stdio.h>
#include <string.h>

#include "cut.h"
#include "pcapx.h"


#define CUT_PCAPNG_HEAD    8       /* type and length of a block */
#define CUT_BLOCK_MIN      12      /* with the length behind it */
#define CUT_PCAP_FILE      24      /* header of a classic file */
#define CUT_PCAP_RECORD    16      /* and of a record */
#define CUT_PCAP_MAGIC     0xa1b23c4d   /* with nanoseconds */
#define CUT_MAX_BLOCK      (PCAPX_MAX_SNAPLEN + 65536)


static size_t cut_need(const pcapx_cut_t *c);
static int cut_header(pcapx_cut_t *c);
static int cut_block(pcapx_cut_t *c);
static int cut_record(pcapx_cut_t *c);
static uint32_t cut_get32(const pcapx_cut_t *c, size_t at);


void
pcapx_cut_init(pcapx_cut_t *c)
{
    memset(c, 0, sizeof(*c));
}


void
pcapx_cut_resume(pcapx_cut_t *c, pcapx_cut_kind_t kind)
{
    pcapx_cut_init(c);
    c->kind = kind;
}


int
pcapx_cut_feed(pcapx_cut_t *c, const uint8_t *p, size_t len)
{
    size_t  n;

    while (len) {

        if (c->left) {
            n = c->left < len ? (size_t) c->left : len;
            c->left -= n;

        } else {
            n = cut_need(c) - c->have;
            n = n < len ? n : len;
            memcpy(c->head + c->have, p, n);
            c->have += n;

            if (c->have == cut_need(c) && cut_header(c) != 0) {
                return -1;
            }
        }

        p += n;
        len -= n;
        c->offset += n;

        if (c->left == 0 && c->have == 0) {
            c->whole = c->offset;
        }
    }

    return 0;
}


/* Bytes of a header that tell how long what follows is. */

static size_t
cut_need(const pcapx_cut_t *c)
{
    if (c->kind == PCAPX_CUT_PCAP) {
        return CUT_PCAP_RECORD;
    }

    if (c->kind == PCAPX_CUT_START && c->have >= sizeof(uint32_t)
        && cut_get32(c, 0) == CUT_PCAP_MAGIC)
    {
        return CUT_PCAP_FILE;
    }

    return CUT_PCAPNG_HEAD;
}


/* A whole header is here: how much follows it? */

static int
cut_header(pcapx_cut_t *c)
{
    int  rc;

    if (c->kind == PCAPX_CUT_START) {

        if (cut_get32(c, 0) == CUT_PCAP_MAGIC) {
            c->kind = PCAPX_CUT_PCAP;
            c->have = 0;
            return 0;
        }

        if (cut_get32(c, 0) != PCAPX_BT_SHB) {
            snprintf(c->err, sizeof(c->err), "it begins with 0x%08x, which is "
                     "neither pcapng nor pcap with nanoseconds",
                     cut_get32(c, 0));
            return -1;
        }

        c->kind = PCAPX_CUT_PCAPNG;
    }

    rc = c->kind == PCAPX_CUT_PCAP ? cut_record(c) : cut_block(c);
    c->have = 0;

    return rc;
}


static int
cut_block(pcapx_cut_t *c)
{
    uint32_t  total;

    total = cut_get32(c, 4);

    if (total < CUT_BLOCK_MIN || total % 4 || total > CUT_MAX_BLOCK) {
        snprintf(c->err, sizeof(c->err), "a block of type 0x%08x at byte %llu "
                 "has a length of %u", cut_get32(c, 0),
                 (unsigned long long) c->whole, total);
        return -1;
    }

    c->left = total - CUT_PCAPNG_HEAD;

    return 0;
}


static int
cut_record(pcapx_cut_t *c)
{
    uint32_t  caplen;

    caplen = cut_get32(c, 8);

    if (caplen > PCAPX_MAX_SNAPLEN) {
        snprintf(c->err, sizeof(c->err), "a record at byte %llu has %u bytes",
                 (unsigned long long) c->whole, caplen);
        return -1;
    }

    c->left = caplen;

    return 0;
}


static uint32_t
cut_get32(const pcapx_cut_t *c, size_t at)
{
    uint32_t  n;

    memcpy(&n, c->head + at, sizeof(n));

    return n;
}
