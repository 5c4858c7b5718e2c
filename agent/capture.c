/*
 * agent/capture.c: see capture.h. Facts about the kernel this rests on:
 *
 * - TPACKET_V3 hands out blocks, a block when it is full or retire_ms after
 *   it was begun. Measured on Linux 6.18, flooding a veth from two CPUs with
 *   retire times of 1, 5, 20 and 100 ms at 100, 20 000 and 170 000 packets/s:
 *   a record was read at most retire_ms + 7 ms after its time stamp, the ring
 *   stepped back by at most 0.28 ms, and none of 5 700 000 records was below
 *   T = (clock before an empty dispatch) - 2 x retire_ms - 5 ms; the smallest
 *   distance was 6.1 ms (at 1 ms), with 20 ms it was 26 ms.
 * - PACKET_STATISTICS starts at zero again when it is read; its packet count
 *   includes the drops (af_packet.c packet_getsockopt()).
 */

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "capture.h"
#include "pcapx/write.h"


static int capture_read_one(capture_if_t *ci);
static void capture_record(u_char *arg, const struct pcap_pkthdr *h,
    const u_char *data);
static void capture_put(capture_if_t *ci, uint8_t *dst, uint64_t ts_ns,
    const u_char *data, uint32_t caplen, uint32_t origlen);
static uint64_t capture_limit_one(const capture_t *c, unsigned i);
static int capture_gone(const capture_if_t *ci);


int
capture_read(capture_t *c)
{
    unsigned  i;
    uint64_t  least;

    for (i = 0; i < c->nifs; i++) {
        if (capture_wants(c, i) && capture_read_one(&c->ifs[i]) != 0) {
            return -1;
        }
    }

    least = UINT64_MAX;

    for (i = 0; i < c->nifs; i++) {
        if (c->ifs[i].watermark_ns < least) {
            least = c->ifs[i].watermark_ns;
        }
    }

    if (least > c->watermark_ns) {
        c->watermark_ns = least;
    }

    return 0;
}


int
capture_wants(const capture_t *c, unsigned i)
{
    if (!order_room(&c->order, i)) {
        return 0;
    }

    /*
     * Under pressure an interface that is ahead of the others waits: what it
     * brought could not leave before theirs.
     */
    return c->nifs == 1 || !order_pressed(&c->order)
           || capture_limit_one(c, i) <= capture_limit(c) + CAPTURE_SLACK_NS;
}


/*
 * Until there is no retired block: then everything that was retired before
 * the clock was read is here, and what comes is younger than the hold time.
 */

static int
capture_read_one(capture_if_t *ci)
{
    int         n;
    uint64_t    now;
    capture_t  *c;

    c = ci->capture;

    while (order_room(&c->order, ci->index)) {
        now = net_realtime();
        n = pcap_dispatch(ci->pcap, -1, capture_record, (u_char *) ci);

        if (n == 0) {
            if (now - c->hold_ns > ci->watermark_ns) {
                ci->watermark_ns = now - c->hold_ns;
            }

            return 0;
        }

        if (n < 0 && n != PCAP_ERROR_BREAK) {
            snprintf(c->reason, sizeof(c->reason), "%s: %s", ci->name,
                     pcap_geterr(ci->pcap));
            return -1;
        }
    }

    return 0;
}


static void
capture_record(u_char *arg, const struct pcap_pkthdr *h, const u_char *data)
{
    uint8_t       *dst;
    uint32_t       len, caplen, origlen;
    uint64_t       ts_ns;
    capture_t     *c;
    capture_if_t  *ci;

    ci = (capture_if_t *) (void *) arg;
    c = ci->capture;

    /* A VLAN tag put back by libpcap may lie beyond the snaplen. */

    caplen = h->caplen > c->snaplen ? c->snaplen : h->caplen;
    origlen = h->len < caplen ? caplen : h->len;

    ts_ns = (uint64_t) h->ts.tv_sec * 1000000000u + (uint64_t) h->ts.tv_usec;
    len = c->pcapng ? (uint32_t) pcapx_epb_len(caplen, 0)
                    : PCAPX_PCAP_RECORD_LEN + caplen;

    dst = order_put(&c->order, ci->index, ts_ns, len);

    if (dst == NULL) {

        /* Cannot be: room was checked before and after every record. */

        c->late++;
        return;
    }

    capture_put(ci, dst, ts_ns, data, caplen, origlen);

    ci->read++;
    ci->bytes += caplen;

    if (ts_ns > ci->newest_ns) {
        ci->newest_ns = ts_ns;
    }

    if (ts_ns < c->watermark_ns) {
        c->late++;
    }

    if (!order_room(&c->order, ci->index)) {
        pcap_breakloop(ci->pcap);
    }
}


static void
capture_put(capture_if_t *ci, uint8_t *dst, uint64_t ts_ns,
    const u_char *data, uint32_t caplen, uint32_t origlen)
{
    if (!ci->capture->pcapng) {
        pcapx_pcap_record(dst, ts_ns, caplen, origlen);
        memcpy(dst + PCAPX_PCAP_RECORD_LEN, data, caplen);
        return;
    }

    pcapx_epb_plain(dst, ci->index, ts_ns, data, caplen, origlen);
}


uint64_t
capture_limit(const capture_t *c)
{
    unsigned  i;
    uint64_t  one, least;

    if (!order_pressed(&c->order)) {
        return c->watermark_ns;
    }

    least = UINT64_MAX;

    for (i = 0; i < c->nifs; i++) {
        one = capture_limit_one(c, i);

        if (one < least) {
            least = one;
        }
    }

    return least > c->watermark_ns ? least : c->watermark_ns;
}


/*
 * Under pressure the ring itself is the clock: behind a record with time
 * stamp x none came that was older than x by more than 0.28 ms.
 */

static uint64_t
capture_limit_one(const capture_t *c, unsigned i)
{
    const capture_if_t  *ci;

    ci = &c->ifs[i];

    return ci->newest_ns > ci->watermark_ns + CAPTURE_SLACK_NS
           ? ci->newest_ns - CAPTURE_SLACK_NS : ci->watermark_ns;
}


/* All are counted, also behind one that is gone: the reports have to fit. */

int
capture_stats(capture_t *c)
{
    int            rc;
    unsigned       i;
    capture_if_t  *ci;

    for (i = 0, rc = 0; i < c->nifs; i++) {
        ci = &c->ifs[i];

        if (capture_count(ci) != 0) {
            snprintf(c->reason, sizeof(c->reason), "%s: %s", ci->name,
                     strerror(errno));
            rc = -1;

        } else if (capture_gone(ci)) {
            snprintf(c->reason, sizeof(c->reason), "%s: the interface is "
                     "gone", ci->name);
            rc = -1;
        }
    }

    return rc;
}


int
capture_count(capture_if_t *ci)
{
    socklen_t                len;
    struct tpacket_stats_v3  st;

    len = sizeof(st);

    if (getsockopt(ci->fd, SOL_PACKET, PACKET_STATISTICS, &st, &len) != 0) {
        return -1;
    }

    ci->accepted += st.tp_packets;
    ci->dropped += st.tp_drops;

    return 0;
}


int
capture_lost(const capture_t *c)
{
    unsigned  i;

    for (i = 0; i < c->nifs; i++) {
        if (capture_gone(&c->ifs[i])) {
            return 1;
        }
    }

    return 0;
}


/* A device that was removed leaves its socket without an index. */

static int
capture_gone(const capture_if_t *ci)
{
    socklen_t           len;
    struct sockaddr_ll  sll;

    if (ci->any) {
        return 0;
    }

    len = sizeof(sll);
    memset(&sll, 0, sizeof(sll));

    return getsockname(ci->fd, (struct sockaddr *) &sll, &len) != 0
           || sll.sll_ifindex <= 0;
}


void
capture_block(capture_t *c)
{
    unsigned  i;

    for (i = 0; i < c->nifs; i++) {
        if (filter_block(c->ifs[i].fd) != 0) {
            log_warn(c->log, "%s: intake does not stop: %s", c->ifs[i].name,
                     strerror(errno));
        }
    }
}


int
capture_drained(capture_t *c)
{
    unsigned       i;
    capture_if_t  *ci;

    for (i = 0; i < c->nifs; i++) {
        ci = &c->ifs[i];

        if (capture_count(ci) != 0) {
            continue;
        }

        if (ci->read < ci->accepted - ci->dropped) {
            return 0;
        }
    }

    return 1;
}


void
capture_close(capture_t *c)
{
    unsigned  i;

    for (i = 0; i < c->nifs; i++) {
        if (c->ifs[i].pcap) {
            pcap_close(c->ifs[i].pcap);
            c->ifs[i].pcap = NULL;
        }
    }

    c->nifs = 0;
    order_free(&c->order);
}


size_t
capture_interfaces(char (*names)[NET_IFNAME_LEN], size_t max)
{
    size_t                 n;
    struct if_nameindex   *list, *i;

    n = 0;
    list = if_nameindex();

    for (i = list; i && i->if_index && n + 1 < max; i++) {
        snprintf(names[n++], NET_IFNAME_LEN, "%.15s", i->if_name);
    }

    if_freenameindex(list);
    snprintf(names[n++], NET_IFNAME_LEN, "any");

    return n;
}
