/*
 * agent/capture_open.c: from the names of interfaces to packet sockets that
 * stand behind their filter with empty rings. The only place where
 * CAP_NET_RAW is ever effective.
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
#include "policy.h"
#include "privs.h"


#define MS  UINT64_C(1000000)

/* Blocks that were begun before the filter was there are waited for so long
 * beyond the retire time. */
#define CAPTURE_FLUSH_NS   (500 * MS)

/* Of a heartbeat, for the retire time. */
#define CAPTURE_RETIRE_PART  3

/* libpcap 1.10 makes blocks of that size, of the maximum snaplen. */
#define CAPTURE_BLOCK        262144

/* That all blocks of a ring together shall last, with few records in each. */
#define CAPTURE_RING_MS      160


static uint64_t capture_retire(const conf_t *conf, const request_t *req);
static int capture_open_container(capture_t *c, const conf_t *conf,
    const request_t *req, container_t *ct, problem_t *why);
static int capture_open_inside(capture_t *c, const conf_t *conf,
    const request_t *req, container_t *ct, problem_t *why);
static int capture_open_pair(capture_t *c, const conf_t *conf,
    const request_t *req, container_t *ct, problem_t *why);
static int capture_open_all(capture_t *c, const conf_t *conf,
    const request_t *req, problem_t *why);
static void capture_name(capture_t *c, unsigned i, const char *name);
static int capture_open_one(capture_if_t *ci, const conf_t *conf,
    const request_t *req, problem_t *why);
static int capture_activate(capture_if_t *ci, const char *name,
    const log_t *log, problem_t *why);
static int capture_check_ring(capture_if_t *ci, problem_t *why);
static uint16_t capture_linktype(int dlt);
static int capture_flush(capture_t *c, problem_t *why);
static void capture_skip_record(u_char *arg, const struct pcap_pkthdr *h,
    const u_char *data);


int
capture_open(capture_t *c, const conf_t *conf, const request_t *req,
    container_t *ct, const log_t *log, problem_t *why)
{
    int       rc;
    uint32_t  max_record;

    memset(c, 0, sizeof(*c));
    c->log = log;
    c->snaplen = req->snaplen;
    c->pcapng = req->pcapng;
    c->retire_ms = capture_retire(conf, req);
    c->hold_ns = 2 * c->retire_ms * MS + CAPTURE_SLACK_NS;

    rc = ct ? capture_open_container(c, conf, req, ct, why)
            : capture_open_all(c, conf, req, why);

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


/*
 * A record is held back for twice this time: in step with heartbeats it
 * takes about as long as the wait for those of other agents. A small ring has
 * few blocks: it lasts CAPTURE_RING_MS of a process that gets no processor.
 */

static uint64_t
capture_retire(const conf_t *conf, const request_t *req)
{
    uint64_t  ms, least;

    ms = req->heartbeat_ms / CAPTURE_RETIRE_PART;
    least = CAPTURE_RING_MS * CAPTURE_BLOCK / conf->buffer_bytes;
    least = least ? least : 1;
    ms = ms > least ? ms : least;

    return ms < conf->retire_ms ? ms : conf->retire_ms;
}


/*
 * Found, opened, and asked again: whatever came in its place in between was
 * there the second time, or is not what was opened.
 */

static int
capture_open_container(capture_t *c, const conf_t *conf,
    const request_t *req, container_t *ct, problem_t *why)
{
    int  rc;

    if (container_find(ct, why) != 0) {
        return -1;
    }

    rc = ct->inside
         ? capture_open_inside(c, conf, req, ct, why)
         : capture_open_pair(c, conf, req, ct, why);

    return rc == 0 ? container_confirm(ct, why) : -1;
}


/* A socket stays in the namespace that it was made in. */

static int
capture_open_inside(capture_t *c, const conf_t *conf, const request_t *req,
    container_t *ct, problem_t *why)
{
    int  rc;

    if (container_enter(ct, why) != 0) {
        return -1;
    }

    rc = capture_open_all(c, conf, req, why);

    if (rc != 0 && why->status == 404) {
        ct->names = calloc(NET_MAX_IFNAMES, sizeof(*ct->names));
        ct->nnames = ct->names ? capture_interfaces(ct->names,
                                                    NET_MAX_IFNAMES) : 0;
    }

    container_leave(ct);

    return rc;
}


/* The machine's side of the pair under the name of the container's side. */

static int
capture_open_pair(capture_t *c, const conf_t *conf, const request_t *req,
    container_t *ct, problem_t *why)
{
    socklen_t           len;
    struct sockaddr_ll  sll;

    if (req->nifnames != 1
        || strcmp(req->ifnames[0], conf->container_interface) != 0)
    {
        ct->names = calloc(1, sizeof(*ct->names));
        ct->nnames = ct->names ? 1 : 0;

        if (ct->names) {
            snprintf(ct->names[0], NET_IFNAME_LEN, "%s",
                     conf->container_interface);
        }

        return problem_set(why, 404, "interface: of a container only %s can "
                           "be captured here, from outside (container_mode "
                           "veth: no lo, no any)", conf->container_interface);
    }

    capture_name(c, 0, req->ifnames[0]);
    snprintf(c->ifs[0].device, NET_IFNAME_LEN, "%s", ct->veth.name);

    if (capture_open_one(&c->ifs[0], conf, req, why) != 0) {
        return -1;
    }

    /* Opened by its name: is it the one that was found? */

    len = sizeof(sll);
    memset(&sll, 0, sizeof(sll));

    if (getsockname(c->ifs[0].fd, (struct sockaddr *) &sll, &len) != 0
        || sll.sll_ifindex != ct->veth.index)
    {
        return problem_set(why, 404, "container: there is no %s on this "
                           "machine", ct->handle);
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
        capture_name(c, i, req->ifnames[i]);

        /*
         * libpcap also opens things that are no network interfaces
         * (usbmon, dbus, nflog): only what the kernel lists gets there. A
         * container may call an interface of its own so; the check of the
         * ring stands in the way then.
         */
        if (!ci->any && if_nametoindex(ci->device) == 0) {
            return problem_set(why, 404, "interface: there is no %s",
                               ci->name);
        }

        if (policy_open(conf, ci->device, why) != 0
            || capture_open_one(ci, conf, req, why) != 0)
        {
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


static void
capture_name(capture_t *c, unsigned i, const char *name)
{
    capture_if_t  *ci;

    ci = &c->ifs[i];
    ci->capture = c;
    ci->index = i;
    ci->fd = -1;
    c->nifs = i + 1;
    snprintf(ci->name, sizeof(ci->name), "%s", name);
    snprintf(ci->device, sizeof(ci->device), "%s", name);
    ci->any = strcmp(name, "any") == 0;
}


static int
capture_open_one(capture_if_t *ci, const conf_t *conf, const request_t *req,
    problem_t *why)
{
    int   rc;
    char  err[PCAP_ERRBUF_SIZE];

    ci->pcap = pcap_create(ci->device, err);

    if (ci->pcap == NULL) {
        return problem_set(why, 500, "%s: %s", ci->name, err);
    }

    rc = pcap_set_snaplen(ci->pcap, (int) req->snaplen);
    rc |= pcap_set_promisc(ci->pcap, req->promiscuous && !ci->any);
    rc |= pcap_set_timeout(ci->pcap, (int) ci->capture->retire_ms);
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

    if (privs_raise(PRIVS_PACKET) != 0) {
        return problem_set(why, 500, "capset: %s", strerror(errno));
    }

    rc = pcap_activate(ci->pcap);
    privs_lower();

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
capture_start(capture_t *c, filter_checker_t *checker,
    const filter_exclude_t *ex, const request_t *req, problem_t *why)
{
    unsigned   i;
    pcap_t    *pcaps[PCAPX_MAX_INTERFACES];

    for (i = 0; i < c->nifs; i++) {
        pcaps[i] = c->ifs[i].pcap;
    }

    if (filter_check(checker, pcaps, c->nifs, req->filter, why) != 0
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
    uint64_t        now, deadline;
    capture_if_t   *ci;
    struct pollfd   pfd;

    deadline = net_monotonic() + CAPTURE_FLUSH_NS + c->hold_ns;

    for (i = 0; i < c->nifs; i++) {
        ci = &c->ifs[i];

        for ( ;; ) {
            /* Before it looks: this process may be put aside behind it. */
            now = net_monotonic();

            if (capture_count(ci) != 0
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

            /*
             * libpcap hides the outgoing copy of a loopback packet, which the
             * kernel has counted: what is still missing there, long after
             * the last block was handed out, will not come.
             */
            if (now >= deadline) {
                if (ci->any || strcmp(ci->name, "lo") == 0) {
                    break;
                }

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
