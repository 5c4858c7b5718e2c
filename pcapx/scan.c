/*
 * pcapx/scan.c: the scanner's entry. It checks the lengths that frame every
 * block, then hands the block to the function of its type; the two kinds of
 * block that come once per record or heartbeat of an agent (EPB and ISB in
 * profile AGENT) are taken right here. A sound EPB of an agent is known by
 * one look and goes no further; everything else may take its time.
 *
 * Nothing may be read at or beyond p + len, and no state may change before
 * the result is PCAPX_OK.
 */

#include <stdarg.h>
#include <stdio.h>

#include "scan_int.h"


static int pcapx_scan_other(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b) __attribute__((noinline));
static int pcapx_scan_start(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b);
static int pcapx_scan_short(pcapx_scan_t *s, const uint8_t *p, size_t len);
static int pcapx_scan_bad_frame(pcapx_scan_t *s, uint32_t type,
    uint32_t total);
static int pcapx_scan_bad_trailer(pcapx_scan_t *s, const uint8_t *p,
    uint32_t type, uint32_t total);
static int pcapx_scan_agent_type(pcapx_scan_t *s, uint32_t type);
static int pcapx_scan_agent(pcapx_scan_t *s, const uint8_t *p,
    uint32_t type, uint32_t total, pcapx_block_t *b);
static int pcapx_scan_any(pcapx_scan_t *s, const uint8_t *p, uint32_t type,
    uint32_t total, pcapx_block_t *b);
static int pcapx_scan_agent_epb(const pcapx_scan_t *s, const uint8_t *p,
    size_t len, pcapx_block_t *b);
static int pcapx_scan_bad_epb(pcapx_scan_t *s, const uint8_t *p,
    uint32_t total);
static int pcapx_scan_agent_isb(pcapx_scan_t *s, const uint8_t *p,
    uint32_t total, pcapx_block_t *b);
static int pcapx_scan_agent_counters(pcapx_scan_t *s, const uint8_t *p,
    uint32_t left);


void
pcapx_scan_init(pcapx_scan_t *s, pcapx_iface_t *ifaces, uint32_t max_ifaces,
    pcapx_profile_t profile, uint32_t max_block)
{
    memset(s, 0, sizeof(*s));

    if (max_block == 0) {
        max_block = PCAPX_MAX_EPB_LEN + 65536;
    }

    if (max_block < PCAPX_MIN_MAX_BLOCK) {
        max_block = PCAPX_MIN_MAX_BLOCK;
    }

    s->ifaces = ifaces;
    s->max_ifaces = max_ifaces;
    s->max_block = max_block;
    s->profile = profile;
}


int
pcapx_scan_next(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b)
{
    if (pcapx_likely(s->records && pcapx_scan_agent_epb(s, p, len, b))) {
        s->offset += b->len;
        return PCAPX_OK;
    }

    return pcapx_scan_other(s, p, len, b);
}


/*
 * A function of its own, so that what it keeps on the stack costs a sound
 * record nothing.
 */
static int
pcapx_scan_other(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b)
{
    int       rc;
    uint32_t  type, total;

    if (pcapx_unlikely(len < 8)) {
        return pcapx_scan_short(s, p, len);
    }

    if (pcapx_unlikely(!s->started || s->classic)) {
        rc = pcapx_scan_start(s, p, len, b);
        goto done;
    }

    type = pcapx_load32(s->swapped, p);
    total = pcapx_load32(s->swapped, p + 4);

    if (pcapx_unlikely(type == PCAPX_BT_SHB)) {
        rc = pcapx_scan_shb(s, p, len, b);
        goto done;
    }

    if (pcapx_unlikely(total < PCAPX_BLOCK_MIN || (total & 3) != 0
                       || total > s->max_block))
    {
        return pcapx_scan_bad_frame(s, type, total);
    }

    if (pcapx_unlikely(len < total)) {

        /* Do not make the caller collect a block that is refused anyway. */

        rc = pcapx_scan_agent_type(s, type);
        s->need = total;

        return rc == PCAPX_OK ? PCAPX_AGAIN : rc;
    }

    if (pcapx_unlikely(pcapx_load32(s->swapped, p + total - 4) != total)) {
        return pcapx_scan_bad_trailer(s, p, type, total);
    }

    if (s->profile == PCAPX_PROFILE_AGENT) {
        rc = pcapx_scan_agent(s, p, type, total, b);

    } else {
        rc = pcapx_scan_any(s, p, type, total, b);
    }

done:

    if (rc == PCAPX_OK) {
        s->offset += b->len;
    }

    return rc;
}


/* Less than 8 bytes: enough to refuse what cannot be a capture at all. */
static int
pcapx_scan_short(pcapx_scan_t *s, const uint8_t *p, size_t len)
{
    pcapx_block_t  b;

    if (s->started) {
        s->need = s->classic ? 16 : 8;
        return PCAPX_AGAIN;
    }

    if (len < 4) {
        s->need = 4;
        return PCAPX_AGAIN;
    }

    return pcapx_scan_start(s, p, len, &b);
}


/* The begin of a stream, or any part of classic pcap. */
static int
pcapx_scan_start(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b)
{
    if (s->started) {
        return pcapx_scan_pcap_record(s, p, len, b);
    }

    if (pcapx_host32(p) != PCAPX_BT_SHB) {
        return pcapx_scan_pcap_header(s, p, len, b);
    }

    return pcapx_scan_shb(s, p, len, b);
}


static int
pcapx_scan_bad_frame(pcapx_scan_t *s, uint32_t type, uint32_t total)
{
    if (total > s->max_block) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "block type 0x%08x: length %u is over the "
                               "limit of %u", type, total, s->max_block);
    }

    return pcapx_scan_fail(s, PCAPX_EFORMAT,
                           "block type 0x%08x: length %u is no multiple of 4 "
                           "or less than 12", type, total);
}


/* The same answer for a forbidden type, whatever else is wrong with it. */
static int
pcapx_scan_bad_trailer(pcapx_scan_t *s, const uint8_t *p, uint32_t type,
    uint32_t total)
{
    int  rc;

    rc = pcapx_scan_agent_type(s, type);

    if (rc != PCAPX_OK) {
        return rc;
    }

    return pcapx_scan_fail(s, PCAPX_EFORMAT,
                           "block type 0x%08x: its two lengths differ "
                           "(%u, %u)", type, total,
                           pcapx_load32(s->swapped, p + total - 4));
}


/*
 * Does the profile know this type of block at all, here (the SHB aside)? Asked
 * before anything else of a block is judged, so that the answer is the same
 * however much of it is there.
 */
static int
pcapx_scan_agent_type(pcapx_scan_t *s, uint32_t type)
{
    if (s->profile != PCAPX_PROFILE_AGENT) {
        return PCAPX_OK;
    }

    if (s->end != PCAPX_END_UNSAID && type != PCAPX_BT_ISB) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE,
                               "block type 0x%08x: behind the end that was "
                               "said", type);
    }

    if (type == PCAPX_BT_EPB || type == PCAPX_BT_ISB || type == PCAPX_BT_IDB) {
        return PCAPX_OK;
    }

    return pcapx_scan_fail(s, PCAPX_EPROFILE,
                           "block type 0x%08x: only IDB, EPB and ISB may "
                           "follow the SHB", type);
}


static int
pcapx_scan_agent(pcapx_scan_t *s, const uint8_t *p, uint32_t type,
    uint32_t total, pcapx_block_t *b)
{
    if (s->end != PCAPX_END_UNSAID && type != PCAPX_BT_ISB) {
        return pcapx_scan_agent_type(s, type);
    }

    /* a sound EPB was taken before */

    if (type == PCAPX_BT_EPB) {
        return pcapx_scan_bad_epb(s, p, total);
    }

    if (type == PCAPX_BT_ISB) {
        return pcapx_scan_agent_isb(s, p, total, b);
    }

    if (type == PCAPX_BT_IDB) {
        return pcapx_scan_idb(s, p, total, b);
    }

    return pcapx_scan_agent_type(s, type);
}


static int
pcapx_scan_any(pcapx_scan_t *s, const uint8_t *p, uint32_t type,
    uint32_t total, pcapx_block_t *b)
{
    switch (type) {

    case PCAPX_BT_EPB:
    case PCAPX_BT_OPB:
        return pcapx_scan_packet(s, p, total, b);

    case PCAPX_BT_SPB:
        return pcapx_scan_spb(s, p, total, b);

    case PCAPX_BT_ISB:
        return pcapx_scan_isb(s, p, total, b);

    case PCAPX_BT_IDB:
        return pcapx_scan_idb(s, p, total, b);

    default:
        memset(b, 0, sizeof(*b));
        b->type = type;
        b->len = total;

        return PCAPX_OK;
    }
}


/*
 * The record of an agent: 1 when a whole and sound one is there, else 0.
 * snaplen is at most PCAPX_MAX_SNAPLEN in this profile, so the sum with
 * caplen cannot overflow, and a length that equals it is a multiple of 4.
 */
static inline int
pcapx_scan_agent_epb(const pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b)
{
    uint32_t  iface, caplen, origlen, total;

    if (pcapx_unlikely(len < PCAPX_EPB_MIN
                       || pcapx_host32(p) != PCAPX_BT_EPB))
    {
        return 0;
    }

    total = pcapx_host32(p + 4);
    iface = pcapx_host32(p + 8);
    caplen = pcapx_host32(p + 20);
    origlen = pcapx_host32(p + 24);

    if (pcapx_unlikely(iface >= s->nifaces
                       || caplen > s->ifaces[iface].snaplen
                       || caplen > origlen
                       || total != PCAPX_EPB_MIN + pcapx_pad4(caplen)
                       || total > s->max_block
                       || total > len
                       || pcapx_host32(p + total - 4) != total))
    {
        return 0;
    }

    b->type = PCAPX_BT_EPB;
    b->len = total;
    b->iface = iface;
    b->caplen = caplen;
    b->origlen = origlen;
    b->ts_ns = pcapx_load_ts(0, p + 12);
    b->data = p + 28;
    b->opts = NULL;
    b->opts_len = 0;

    return 1;
}


/* Says in words which condition of pcapx_scan_agent_epb() was not met. */
static int
pcapx_scan_bad_epb(pcapx_scan_t *s, const uint8_t *p, uint32_t total)
{
    uint32_t  iface, caplen, origlen;

    if (total < PCAPX_EPB_MIN) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "EPB: length %u is less than %u", total,
                               PCAPX_EPB_MIN);
    }

    iface = pcapx_host32(p + 8);
    caplen = pcapx_host32(p + 20);
    origlen = pcapx_host32(p + 24);

    if (iface >= s->nifaces) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "EPB: interface %u, only %u are described",
                               iface, s->nifaces);
    }

    if (caplen > total - PCAPX_EPB_MIN) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "EPB: captured length %u in a block of %u",
                               caplen, total);
    }

    if (caplen > s->ifaces[iface].snaplen) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE,
                               "EPB: captured length %u is above the "
                               "snapshot length %u", caplen,
                               s->ifaces[iface].snaplen);
    }

    if (caplen > origlen) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE,
                               "EPB: captured length %u is above the "
                               "original length %u", caplen, origlen);
    }

    return pcapx_scan_fail(s, PCAPX_EPROFILE,
                           "EPB: %u bytes behind the packet, options are "
                           "not allowed",
                           total - PCAPX_EPB_MIN - pcapx_pad4(caplen));
}


static int
pcapx_scan_agent_isb(pcapx_scan_t *s, const uint8_t *p, uint32_t total,
    pcapx_block_t *b)
{
    uint32_t  iface;

    if (total < PCAPX_ISB_MIN) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "ISB: length %u is less than %u", total,
                               PCAPX_ISB_MIN);
    }

    iface = pcapx_host32(p + 8);

    if (iface >= s->nifaces) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "ISB: interface %u, only %u are described",
                               iface, s->nifaces);
    }

    if (pcapx_scan_agent_counters(s, p + 20, total - PCAPX_ISB_MIN)
        != PCAPX_OK)
    {
        return PCAPX_EPROFILE;
    }

    b->type = PCAPX_BT_ISB;
    b->len = total;
    b->iface = iface;
    b->caplen = 0;
    b->origlen = 0;
    b->ts_ns = pcapx_load_ts(0, p + 12);
    b->data = NULL;
    b->opts_len = total - PCAPX_ISB_MIN;
    b->opts = b->opts_len ? p + 20 : NULL;

    return PCAPX_OK;
}


const char *
pcapx_end_text(unsigned end)
{
    static const char  *const texts[PCAPX_NENDS] = {
        [PCAPX_END_CONTAINER] = PCAPX_CONTAINER_GONE,
        [PCAPX_END_BANDWIDTH] = "limit: max_bandwidth",
        [PCAPX_END_BANDWIDTH_TOTAL] = "limit: max_bandwidth_total",
        [PCAPX_END_CPU] = "limit: max_cpu_percent",
        [PCAPX_END_FEEDBACK] = "limit: feedback",
        [PCAPX_END_OFF] = "switched off",
        [PCAPX_END_FILES] = "files: not all could be read"
    };

    return end < PCAPX_NENDS ? texts[end] : NULL;
}


/* Which ending are the len bytes at p? PCAPX_END_UNSAID: none of them. */
static pcapx_end_e
pcapx_scan_end(const uint8_t *p, unsigned len)
{
    unsigned     end;
    const char  *text;

    for (end = 1; end < PCAPX_NENDS; end++) {
        text = pcapx_end_text(end);

        if (strlen(text) == len && memcmp(p, text, len) == 0) {
            return (pcapx_end_e) end;
        }
    }

    return PCAPX_END_UNSAID;
}


/*
 * Options of an agent's ISB: 64-bit counters, each once, one of the comments
 * that there are, and the end.
 */
static int
pcapx_scan_agent_counters(pcapx_scan_t *s, const uint8_t *p, uint32_t left)
{
    unsigned     code, len, seen, room;
    pcapx_end_e  end;

    seen = 0;
    end = PCAPX_END_UNSAID;

    while (left != 0) {
        code = pcapx_host16(p);
        len = pcapx_host16(p + 2);

        if (code == PCAPX_OPT_END && len == 0 && left == 4) {
            break;
        }

        room = 4 + pcapx_pad4(len);

        if (code == PCAPX_OPT_COMMENT && left >= room
            && end == PCAPX_END_UNSAID)
        {
            end = pcapx_scan_end(p + 4, len);

            if (end != PCAPX_END_UNSAID) {
                p += room;
                left -= room;
                continue;
            }
        }

        if (code < PCAPX_ISB_STARTTIME || code > PCAPX_ISB_USRDELIV
            || len != 8 || left < 12 || (seen & (1u << code)) != 0)
        {
            return pcapx_scan_fail(s, PCAPX_EPROFILE,
                                   "ISB: option %u of %u bytes is not "
                                   "allowed here", code, len);
        }

        seen |= 1u << code;
        p += 12;
        left -= 12;
    }

    if (s->end != PCAPX_END_UNSAID && end != s->end) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE,
                               "ISB: behind the end that was said");
    }

    s->end = end;
    s->records = end == PCAPX_END_UNSAID;

    return PCAPX_OK;
}


int
pcapx_scan_fail(pcapx_scan_t *s, int rc, const char *fmt, ...)
{
    int      n;
    va_list  ap;

    n = snprintf(s->err, sizeof(s->err), "at byte %llu: ",
                 (unsigned long long) s->offset);

    va_start(ap, fmt);
    (void) vsnprintf(s->err + n, sizeof(s->err) - (size_t) n, fmt, ap);
    va_end(ap);

    return rc;
}
