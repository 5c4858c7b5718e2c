/*
 * agent/blocks.c: see blocks.h. Called once at the start and once per
 * heartbeat, never per record.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "blocks.h"
#include "net.h"
#include "pcapx/version.h"


#define BLOCKS_OS_LEN   140
#define BLOCKS_PAIR     "host side of the container's pair (%s): inbound is " \
                        "what the container sends"
#define BLOCKS_PAIR_LEN (sizeof(BLOCKS_PAIR) + NET_IFNAME_LEN)
#define BLOCKS_PRODUCT  "pcap-agent " PCAP_VERSION


static int blocks_put_shb(const char *os, pcapx_out_t *out);
static int blocks_put_idb(const capture_t *c, const capture_if_t *ci,
    const char *os, const char *filter, pcapx_out_t *out);
static void blocks_os(char *dst);
static void blocks_opt(pcapx_opt_t *opt, uint16_t code, const char *text);


int
blocks_header(const capture_t *c, char *dst, size_t max)
{
    return snprintf(dst, max, "HTTP/1.1 200 OK\r\n"
                    "Server: pcap-agent/" PCAP_VERSION "\r\n"
                    "Content-Type: %s\r\n"
                    "Transfer-Encoding: chunked\r\n"
                    "Cache-Control: no-store\r\n"
                    "Connection: close\r\n\r\n",
                    c->pcapng ? "application/x-pcapng"
                              : "application/vnd.tcpdump.pcap");
}


int
blocks_first(const capture_t *c, const filter_exclude_t *ex,
    const char *filter, pcapx_out_t *out)
{
    int        rc;
    char       os[BLOCKS_OS_LEN], *text;
    unsigned   i;

    static const uint64_t  none[PCAPX_MAX_INTERFACES];

    if (!c->pcapng) {
        if (out->end - out->pos < PCAPX_PCAP_HEADER_LEN) {
            return PCAPX_ENOSPC;
        }

        pcapx_pcap_header(out->pos, c->snaplen, c->ifs[0].linktype);
        out->pos += PCAPX_PCAP_HEADER_LEN;
        return PCAPX_OK;
    }

    /* 0: a libpcap filter in text form (draft-ietf-opsawg-pcapng, 4.2). */

    text = calloc(1, BLOCKS_FILTER_LEN);
    if (text == NULL) {
        return PCAPX_ENOSPC;
    }

    filter_text(ex, filter, text + 1, BLOCKS_FILTER_LEN - 1);
    blocks_os(os);
    rc = blocks_put_shb(os, out);

    for (i = 0; i < c->nifs && rc == PCAPX_OK; i++) {
        rc = blocks_put_idb(c, &c->ifs[i], os, text, out);
    }

    free(text);

    return rc == PCAPX_OK
           ? blocks_isbs(c, none, c->watermark_ns, NULL, out) : rc;
}


static int
blocks_put_shb(const char *os, pcapx_out_t *out)
{
    pcapx_opt_t  opts[2];

    blocks_opt(&opts[0], PCAPX_SHB_OS, os);
    blocks_opt(&opts[1], PCAPX_SHB_USERAPPL, BLOCKS_PRODUCT);

    return pcapx_put_shb(out, opts, 2);
}


/* filter: the byte 0 and the text. */

static int
blocks_put_idb(const capture_t *c, const capture_if_t *ci, const char *os,
    const char *filter, pcapx_out_t *out)
{
    char          text[BLOCKS_PAIR_LEN];
    size_t        n;
    pcapx_opt_t   opts[4];

    n = 0;
    blocks_opt(&opts[n++], PCAPX_IF_NAME, ci->name);

    if (strcmp(ci->name, ci->device) != 0) {
        snprintf(text, sizeof(text), BLOCKS_PAIR, ci->device);
        blocks_opt(&opts[n++], PCAPX_IF_DESCRIPTION, text);
    }

    if (filter[1]) {
        blocks_opt(&opts[n], PCAPX_IF_FILTER, filter + 1);
        opts[n].value = (const uint8_t *) filter;
        opts[n++].len++;
    }

    blocks_opt(&opts[n++], PCAPX_IF_OS, os);

    return pcapx_put_idb(out, ci->linktype, c->snaplen, opts, n);
}


static void
blocks_os(char *dst)
{
    struct utsname  uts;

    if (uname(&uts) != 0) {
        memset(&uts, 0, sizeof(uts));
    }

    snprintf(dst, BLOCKS_OS_LEN, "%.40s %.80s", uts.sysname, uts.release);
}


static void
blocks_opt(pcapx_opt_t *opt, uint16_t code, const char *text)
{
    opt->code = code;
    opt->len = (uint16_t) strlen(text);
    opt->value = (const uint8_t *) text;
}


int
blocks_section(pcapx_out_t *out)
{
    char  os[BLOCKS_OS_LEN];

    blocks_os(os);

    return blocks_put_shb(os, out);
}


int
blocks_isbs(const capture_t *c, const uint64_t *written, uint64_t ts_ns,
    const char *comment, pcapx_out_t *out)
{
    int                   rc;
    unsigned              i;
    pcapx_opt_t           opt;
    pcapx_stats_t         stats;
    const capture_if_t   *ci;

    memset(&stats, 0, sizeof(stats));
    stats.present = PCAPX_HAS_ENDTIME | PCAPX_HAS_FILTERACCEPT
                    | PCAPX_HAS_OSDROP | PCAPX_HAS_USRDELIV;
    stats.endtime_ns = net_realtime();

    if (comment) {
        blocks_opt(&opt, PCAPX_OPT_COMMENT, comment);
    }

    for (i = 0, rc = PCAPX_OK; i < c->nifs && rc == PCAPX_OK; i++) {
        ci = &c->ifs[i];
        stats.filteraccept = ci->accepted;
        stats.osdrop = ci->dropped;
        stats.usrdeliv = written[i];
        rc = pcapx_put_isb(out, i, ts_ns, &stats, &opt, comment ? 1 : 0);
    }

    return rc;
}
