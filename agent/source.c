/*
 * agent/source.c: see source.h. What a block is says pcapx; here is the
 * window, and what is no packet that can be put in order.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source.h"


/* Small: there may be hundreds. It grows for a file with longer records. */
#define SOURCE_WINDOW_LEN  16384


static int source_fill(source_t *s, size_t need);
static int source_packet(source_t *s);
static int source_wrong(source_t *s, const char *why);


int
source_open(source_t *s, int fd, uint64_t bytes)
{
    memset(s, 0, sizeof(*s));
    s->fd = fd;
    s->left = bytes;
    s->size = SOURCE_WINDOW_LEN;
    s->buf = malloc(s->size);
    pcapx_scan_init(&s->scan, s->ifaces, SOURCE_MAX_IFACES,
                    PCAPX_PROFILE_ANY, 0);

    return s->buf ? 0 : -1;
}


void
source_close(source_t *s)
{
    free(s->buf);
    s->buf = NULL;
}


int
source_next(source_t *s)
{
    int  rc;

    for ( ;; ) {
        rc = pcapx_scan_next(&s->scan, s->buf + s->pos, s->len - s->pos,
                             &s->head);

        if (rc == PCAPX_AGAIN) {
            rc = source_fill(s, s->scan.need);

            if (rc != 1) {
                return rc;
            }

            continue;
        }

        if (rc != PCAPX_OK) {
            return source_wrong(s, s->scan.err);
        }

        s->pos += s->head.len;
        rc = source_packet(s);

        if (rc != 0) {
            return rc;
        }
    }
}


/* Returns 1 when need bytes are there, 0 when they never will be, or -1. */

static int
source_fill(source_t *s, size_t need)
{
    ssize_t   n;
    size_t    room;
    uint8_t  *buf;

    memmove(s->buf, s->buf + s->pos, s->len - s->pos);
    s->len -= s->pos;
    s->pos = 0;

    if (need > s->size) {
        buf = realloc(s->buf, need);

        if (buf == NULL) {
            return source_wrong(s, "out of memory");
        }

        s->buf = buf;
        s->size = need;
    }

    while (s->len < need) {
        room = s->size - s->len;
        room = room < s->left ? room : (size_t) s->left;
        n = room ? read(s->fd, s->buf + s->len, room) : 0;

        if (n < 0) {
            return source_wrong(s, strerror(errno));
        }

        if (n == 0) {
            return 0;
        }

        s->len += (size_t) n;
        s->left -= (uint64_t) n;
    }

    return 1;
}


/* Is the block a packet? 1, 0, or -1 for one that cannot be taken. */

static int
source_packet(source_t *s)
{
    pcapx_block_t  *b;

    b = &s->head;

    switch (b->type) {

    case PCAPX_BT_SPB:
        return source_wrong(s, "a packet without a time stamp");

    case PCAPX_BT_PCAP_RECORD:

        /* A hole in the file, or room that was never written to. */

        if (b->ts_ns == 0 && b->caplen == 0 && b->origlen == 0) {
            return source_wrong(s, "zeros in place of a record");
        }

        break;

    case PCAPX_BT_EPB:
    case PCAPX_BT_OPB:
        break;

    default:
        return 0;
    }

    if (b->ts_ns > INT64_MAX) {
        return source_wrong(s, "a time stamp beyond the year 2262");
    }

    if (b->caplen > PCAPX_MAX_SNAPLEN) {
        b->caplen = PCAPX_MAX_SNAPLEN;
    }

    if (b->origlen < b->caplen) {
        b->origlen = b->caplen;
    }

    return 1;
}


static int
source_wrong(source_t *s, const char *why)
{
    snprintf(s->why, sizeof(s->why), "%.190s", why);

    return -1;
}


uint16_t
source_linktype(const source_t *s)
{
    return s->ifaces[s->head.iface < SOURCE_MAX_IFACES ? s->head.iface : 0]
           .linktype;
}
