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
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "capture.h"
#include "pcapx/write.h"
#include "privs.h"


#define MS  UINT64_C(1000000)

#define CAPTURE_SLACK_NS   (5 * MS)

/* Blocks that were begun before the filter was there are waited for so long
 * beyond the retire time. */
#define CAPTURE_FLUSH_NS   (500 * MS)


static int capture_open_all(capture_t *c, const conf_t *conf,
    const request_t *req, problem_t *why);
static int capture_open_one(capture_if_t *ci, const conf_t *conf,
    const request_t *req, problem_t *why);
static int capture_activate(capture_if_t *ci, const char *name,
    const log_t *log, problem_t *why);
static int capture_check_ring(capture_if_t *ci, problem_t *why);
static uint16_t capture_linktype(int dlt);
static int capture_flush(capture_t *c, problem_t *why);
static void capture_skip_record(u_char *arg, const struct pcap_pkthdr *h,
    const u_char *data);
static int capture_read_one(capture_if_t *ci);
static void capture_record(u_char *arg, const struct pcap_pkthdr *h,
    const u_char *data);
static void capture_put(capture_if_t *ci, uint8_t *dst, uint64_t ts_ns,
    const struct pcap_pkthdr *h, const u_char *data);
static uint64_t capture_limit_one(const capture_t *c, unsigned i);
static int capture_counters(capture_if_t *ci);
static int capture_gone(const capture_if_t *ci);


int
capture_open(capture_t *c, const conf_t *conf, const request_t *req,
    const log_t *log, problem_t *why)
{
    int       rc;
    uint32_t  max_record;

    memset(c, 0, sizeof(*c));
    c->log = log;
    c->snaplen = req->snaplen;
    c->pcapng = req->pcapng;
    c->hold_ns = 2 * conf->retire_ms * MS + CAPTURE_SLACK_NS;

    rc = capture_open_all(c, conf, req, why);

    /* For good, whatever came of it. */

    if (privs_drop() != 0) {
        rc = problem_set(why, 500, "capset: %s", strerror(errno));
    }

    if (rc != 0) {
        capture_close(c);
        return -1;
    }

    max_record = PCAPX_EPB_HEAD_LEN + ((req->snaplen + 3) & ~3u) + 4;

    if (order_init(&c->order, c->nifs, max_record) != 0) {
        capture_close(c);
        return problem_set(why, 500, "out of memory");
    }

    return 0;
}


static int
capture_open_all(capture_t *c, const conf_t *conf, const request_t *req,
    problem_t *why)
{
    unsigned       i;
    capture_if_t  *ci;

    for (i = 0; i < req->nifnames; i++) {
        ci = &c->ifs[i];
        ci->capture = c;
        ci->index = i;
        ci->fd = -1;
        c->nifs = i + 1;
        snprintf(ci->name, sizeof(ci->name), "%s", req->ifnames[i]);
        ci->any = strcmp(ci->name, "any") == 0;

        /*
         * libpcap also opens things that are no network interfaces
         * (usbmon, dbus, nflog): only what the kernel lists gets there.
         */
        if (!ci->any && if_nametoindex(ci->name) == 0) {
            return problem_set(why, 404, "interface: there is no %s",
                               ci->name);
        }

        if (capture_open_one(ci, conf, req, why) != 0) {
            return -1;
        }

        if (!c->pcapng && ci->linktype != c->ifs[0].linktype) {
            return problem_set(why, 400, "format: %s and %s have different "
                               "link types, which pcap cannot hold; use "
                               "pcapng", c->ifs[0].name, ci->name);
        }
    }

    return 0;
}


static int
capture_open_one(capture_if_t *ci, const conf_t *conf, const request_t *req,
    problem_t *why)
{
    int   rc;
    char  err[PCAP_ERRBUF_SIZE];

    ci->pcap = pcap_create(ci->name, err);

    if (ci->pcap == NULL) {
        return problem_set(why, 500, "%s: %s", ci->name, err);
    }

    rc = pcap_set_snaplen(ci->pcap, (int) req->snaplen);
    rc |= pcap_set_promisc(ci->pcap, req->promiscuous && !ci->any);
    rc |= pcap_set_timeout(ci->pcap, (int) conf->retire_ms);
    rc |= pcap_set_immediate_mode(ci->pcap, 0);
    rc |= pcap_set_buffer_size(ci->pcap, (int) conf->buffer_bytes);
    rc |= pcap_set_tstamp_precision(ci->pcap, PCAP_TSTAMP_PRECISION_NANO);

    if (rc != 0) {
        return problem_set(why, 500, "%s: the capture cannot be set up",
                           ci->name);
    }

    if (capture_activate(ci, ci->name, ci->capture->log, why) != 0) {
        return -1;
    }

    /* Tells the interface of each packet, where libpcap can (1.10). */

    if (ci->any) {
        (void) pcap_set_datalink(ci->pcap, DLT_LINUX_SLL2);
    }

    ci->fd = pcap_fileno(ci->pcap);
    ci->linktype = capture_linktype(pcap_datalink(ci->pcap));

    /* Nothing passes before the filter stands. */

    if (filter_block(ci->fd) != 0
        || pcap_setnonblock(ci->pcap, 1, err) != 0)
    {
        return problem_set(why, 500, "%s: %s", ci->name, strerror(errno));
    }

    return capture_check_ring(ci, why);
}


static int
capture_activate(capture_if_t *ci, const char *name, const log_t *log,
    problem_t *why)
{
    int  rc;

    if (privs_raise() != 0) {
        return problem_set(why, 500, "capset: %s", strerror(errno));
    }

    rc = pcap_activate(ci->pcap);

    if (privs_lower() != 0) {
        return problem_set(why, 500, "capset: %s", strerror(errno));
    }

    if (rc == PCAP_ERROR_NO_SUCH_DEVICE) {
        return problem_set(why, 404, "interface: there is no %s", name);
    }

    if (rc < 0) {
        return problem_set(why, 500, "%s: %s: %s", name,
                           pcap_statustostr(rc), pcap_geterr(ci->pcap));
    }

    if (rc > 0) {
        log_warn(log, "%s: %s", name, pcap_statustostr(rc));
    }

    return 0;
}


/* libpcap falls back to older rings, which keep other times. */

static int
capture_check_ring(capture_if_t *ci, problem_t *why)
{
    int        version;
    socklen_t  len;

    len = sizeof(version);

    if (getsockopt(ci->fd, SOL_PACKET, PACKET_VERSION, &version, &len) != 0
        || version != TPACKET_V3)
    {
        return problem_set(why, 500, "%s: this kernel has no TPACKET_V3",
                           ci->name);
    }

    return 0;
}


/*
 * Files use LINKTYPE_ numbers, libpcap's interface DLT_ numbers; they differ
 * only for the old ones that are not the same on every system
 * (pcap-common.c).
 */

static uint16_t
capture_linktype(int dlt)
{
    switch (dlt) {
    case DLT_RAW:          return PCAPX_LINKTYPE_RAW;
    case DLT_ATM_RFC1483:  return 100;
    default:               return (uint16_t) dlt;
    }
}


int
capture_start(capture_t *c, const filter_exclude_t *ex, const request_t *req,
    problem_t *why)
{
    unsigned   i;
    pcap_t    *pcaps[PCAPX_MAX_INTERFACES];

    for (i = 0; i < c->nifs; i++) {
        pcaps[i] = c->ifs[i].pcap;
    }

    if (filter_check(pcaps, c->nifs, req->filter, why) != 0
        || capture_flush(c, why) != 0)
    {
        return -1;
    }

    c->watermark_ns = net_realtime() - c->hold_ns;

    for (i = 0; i < c->nifs; i++) {
        c->ifs[i].watermark_ns = c->watermark_ns;

        if (filter_install(pcaps[i], ex, req->filter, c->log, why) != 0) {
            return -1;
        }
    }

    return 0;
}


/*
 * Packets that came in between opening the socket and blocking it passed no
 * filter. They are thrown away, and as the kernel has counted them, it is
 * known when the last one is out.
 */

static int
capture_flush(capture_t *c, problem_t *why)
{
    unsigned        i;
    uint64_t        deadline;
    capture_if_t   *ci;
    struct pollfd   pfd;

    deadline = net_monotonic() + CAPTURE_FLUSH_NS + c->hold_ns;

    for (i = 0; i < c->nifs; i++) {
        ci = &c->ifs[i];

        for ( ;; ) {
            if (capture_counters(ci) != 0
                || pcap_dispatch(ci->pcap, -1, capture_skip_record,
                                 (u_char *) ci)
                   < 0)
            {
                return problem_set(why, 500, "%s: %s", ci->name,
                                   pcap_geterr(ci->pcap));
            }

            if (ci->read >= ci->accepted - ci->dropped) {
                break;
            }

            if (net_monotonic() >= deadline) {
                return problem_set(why, 500, "%s: the ring does not empty",
                                   ci->name);
            }

            pfd.fd = ci->fd;
            pfd.events = POLLIN;
            (void) poll(&pfd, 1, 5);
        }

        ci->accepted = 0;
        ci->dropped = 0;
        ci->read = 0;
    }

    return 0;
}


static void
capture_skip_record(u_char *arg, const struct pcap_pkthdr *h,
    const u_char *data)
{
    capture_if_t  *ci;

    (void) h;
    (void) data;

    ci = (capture_if_t *) (void *) arg;
    ci->read++;
}


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
    uint8_t             *dst;
    uint32_t             len;
    uint64_t             ts_ns;
    capture_t           *c;
    capture_if_t        *ci;
    struct pcap_pkthdr   head;

    ci = (capture_if_t *) (void *) arg;
    c = ci->capture;

    /* A VLAN tag put back by libpcap may lie beyond the snaplen. */

    head = *h;

    if (head.caplen > c->snaplen) {
        head.caplen = c->snaplen;
    }

    if (head.len < head.caplen) {
        head.len = head.caplen;
    }

    ts_ns = (uint64_t) h->ts.tv_sec * 1000000000u + (uint64_t) h->ts.tv_usec;
    len = c->pcapng ? (uint32_t) pcapx_epb_len(head.caplen, 0)
                    : PCAPX_PCAP_RECORD_LEN + head.caplen;

    dst = order_put(&c->order, ci->index, ts_ns, len);

    if (dst == NULL) {

        /* Cannot be: room was checked before and after every record. */

        c->late++;
        return;
    }

    capture_put(ci, dst, ts_ns, &head, data);

    ci->read++;
    ci->bytes += head.caplen;

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
    const struct pcap_pkthdr *h, const u_char *data)
{
    pcapx_out_t  out;

    if (!ci->capture->pcapng) {
        pcapx_pcap_record(dst, ts_ns, h->caplen, h->len);
        memcpy(dst + PCAPX_PCAP_RECORD_LEN, data, h->caplen);
        return;
    }

    pcapx_epb_head(dst, ci->index, ts_ns, h->caplen, h->len, 0);
    memcpy(dst + PCAPX_EPB_HEAD_LEN, data, h->caplen);

    out.pos = dst + PCAPX_EPB_HEAD_LEN + h->caplen;
    out.end = dst + pcapx_epb_len(h->caplen, 0);
    (void) pcapx_put_epb_tail(&out, h->caplen, NULL, 0);
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


int
capture_stats(capture_t *c)
{
    unsigned       i;
    capture_if_t  *ci;

    for (i = 0; i < c->nifs; i++) {
        ci = &c->ifs[i];

        if (capture_counters(ci) != 0) {
            snprintf(c->reason, sizeof(c->reason), "%s: %s", ci->name,
                     strerror(errno));
            return -1;
        }

        if (capture_gone(ci)) {
            snprintf(c->reason, sizeof(c->reason), "%s: the interface is "
                     "gone", ci->name);
            return -1;
        }
    }

    return 0;
}


static int
capture_counters(capture_if_t *ci)
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

        if (capture_counters(ci) != 0) {
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
