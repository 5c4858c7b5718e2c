/*
 * pcapx/scan_ng.c: the blocks of pcapng, one function each, for both
 * profiles where they allow the block at all (the agent's EPB and ISB have
 * their short way in scan.c). Layouts: draft-ietf-opsawg-pcapng, section 4.
 *
 * Nothing here may change the scanner's state before it is sure that the
 * block is accepted.
 */

#include "scan_int.h"


#define PCAPX_OPT_BIT(code)  (1ull << (code))

/* What an agent may say in its SHB and IDBs (scan.h). */

#define PCAPX_AGENT_SHB_OPTS                                                  \
    (PCAPX_OPT_BIT(PCAPX_SHB_HARDWARE) | PCAPX_OPT_BIT(PCAPX_SHB_OS)          \
     | PCAPX_OPT_BIT(PCAPX_SHB_USERAPPL))

#define PCAPX_AGENT_IDB_OPTS                                                  \
    (PCAPX_OPT_BIT(PCAPX_IF_NAME) | PCAPX_OPT_BIT(PCAPX_IF_DESCRIPTION)       \
     | PCAPX_OPT_BIT(PCAPX_IF_TSRESOL) | PCAPX_OPT_BIT(PCAPX_IF_FILTER)       \
     | PCAPX_OPT_BIT(PCAPX_IF_OS))


__extension__ typedef __int128           pcapx_i128_t;
__extension__ typedef unsigned __int128  pcapx_u128_t;


static int pcapx_scan_shb_frame(pcapx_scan_t *s, const uint8_t *p,
    size_t len, unsigned *swapped, uint32_t *total);
static int pcapx_scan_shb_body(pcapx_scan_t *s, const uint8_t *p,
    unsigned swapped, pcapx_block_t *b);
static int pcapx_scan_agent_opts(pcapx_scan_t *s, const char *what,
    const pcapx_block_t *b, uint64_t allowed);
static int pcapx_scan_idb_opts(pcapx_scan_t *s, const pcapx_block_t *b,
    pcapx_iface_t *iface);
static int pcapx_scan_idb_agent(pcapx_scan_t *s, const pcapx_block_t *b,
    const pcapx_iface_t *iface);
static int pcapx_scan_iface(pcapx_scan_t *s, const char *what,
    uint32_t total, uint32_t min, uint32_t iface);
static void pcapx_scan_opts_area(pcapx_block_t *b, const uint8_t *p,
    uint32_t len);


int
pcapx_scan_shb(pcapx_scan_t *s, const uint8_t *p, size_t len,
    pcapx_block_t *b)
{
    int       rc;
    unsigned  swapped;
    uint32_t  total;

    if (s->started && s->profile == PCAPX_PROFILE_AGENT) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE, "a second SHB");
    }

    if (len < 12) {
        s->need = 12;
        return PCAPX_AGAIN;
    }

    swapped = 0;
    total = 0;
    rc = pcapx_scan_shb_frame(s, p, len, &swapped, &total);

    if (rc != PCAPX_OK) {
        return rc;
    }

    memset(b, 0, sizeof(*b));
    b->type = PCAPX_BT_SHB;
    b->len = total;
    pcapx_scan_opts_area(b, p + 24, total - PCAPX_SHB_MIN);

    rc = pcapx_scan_shb_body(s, p, swapped, b);

    if (rc != PCAPX_OK) {
        return rc;
    }

    s->started = 1;
    s->swapped = swapped & 1;
    s->records = s->profile == PCAPX_PROFILE_AGENT;
    s->nifaces = 0;
    s->head_end = s->offset + total;

    return PCAPX_OK;
}


/* Byte order and lengths: the order is the new section's, not the old's. */
static int
pcapx_scan_shb_frame(pcapx_scan_t *s, const uint8_t *p, size_t len,
    unsigned *swapped, uint32_t *total)
{
    uint32_t  magic;

    magic = pcapx_host32(p + 8);

    if (magic == PCAPX_BYTE_ORDER_MAGIC) {
        *swapped = 0;

    } else if (magic == __builtin_bswap32(PCAPX_BYTE_ORDER_MAGIC)) {
        *swapped = 1;

    } else {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "SHB: 0x%08x is no byte order magic", magic);
    }

    if (*swapped && s->profile == PCAPX_PROFILE_AGENT) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE,
                               "SHB: not in the host's byte order");
    }

    *total = pcapx_load32(*swapped, p + 4);

    if (*total < PCAPX_SHB_MIN || (*total & 3) != 0
        || *total > s->max_block)
    {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "SHB: length %u is no multiple of 4 in %u to "
                               "%u", *total, PCAPX_SHB_MIN, s->max_block);
    }

    if (len < *total) {
        s->need = *total;
        return PCAPX_AGAIN;
    }

    if (pcapx_load32(*swapped, p + *total - 4) != *total) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "SHB: its two lengths differ (%u, %u)", *total,
                               pcapx_load32(*swapped, p + *total - 4));
    }

    return PCAPX_OK;
}


/* Version, section length and, from an agent, the options. */
static int
pcapx_scan_shb_body(pcapx_scan_t *s, const uint8_t *p, unsigned swapped,
    pcapx_block_t *b)
{
    unsigned  major, minor;
    uint64_t  section;

    major = pcapx_load16(swapped, p + 12);
    minor = pcapx_load16(swapped, p + 14);
    section = pcapx_load64(swapped, p + 16);

    /* Draft 4.1: files with version 1.2 exist and read like 1.0. */

    if (major != 1 || (minor != 0 && minor != 2)) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "SHB: version %u.%u, only 1.0 is known",
                               major, minor);
    }

    if (section != UINT64_MAX && (section > INT64_MAX || (section & 3))) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "SHB: section length 0x%llx is neither -1 "
                               "nor a positive multiple of 4",
                               (unsigned long long) section);
    }

    if (s->profile != PCAPX_PROFILE_AGENT) {
        return PCAPX_OK;
    }

    if (minor != 0) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE,
                               "SHB: version 1.%u instead of 1.0", minor);
    }

    return pcapx_scan_agent_opts(s, "SHB", b, PCAPX_AGENT_SHB_OPTS);
}


/*
 * Every option allowed, none twice, nothing behind the end. The options of
 * an SHB are walked before its byte order is taken over: an agent's is the
 * host's, as the scanner starts with.
 */
static int
pcapx_scan_agent_opts(pcapx_scan_t *s, const char *what,
    const pcapx_block_t *b, uint64_t allowed)
{
    int               rc;
    pcapx_opt_t       opt;
    pcapx_opt_iter_t  it;

    pcapx_opt_begin(&it, s, b);

    while ((rc = pcapx_opt_next(&it, &opt)) == PCAPX_OK) {

        if (opt.code > 63 || (allowed & PCAPX_OPT_BIT(opt.code)) == 0) {
            return pcapx_scan_fail(s, PCAPX_EPROFILE,
                                   "%s: option %u is not allowed or stands "
                                   "there twice", what, opt.code);
        }

        allowed &= ~PCAPX_OPT_BIT(opt.code);
    }

    if (rc != PCAPX_END) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT, "%s: broken options", what);
    }

    if (it.pos != it.end) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE,
                               "%s: %u bytes behind the last option", what,
                               (unsigned) (it.end - it.pos));
    }

    return PCAPX_OK;
}


int
pcapx_scan_idb(pcapx_scan_t *s, const uint8_t *p, uint32_t total,
    pcapx_block_t *b)
{
    int            rc;
    pcapx_iface_t  iface;

    if (total < PCAPX_IDB_MIN) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "IDB: length %u is less than %u", total,
                               PCAPX_IDB_MIN);
    }

    if (s->nifaces >= s->max_ifaces) {
        return pcapx_scan_fail(s, PCAPX_ELIMIT,
                               "IDB: more than %u interfaces",
                               s->max_ifaces);
    }

    iface.linktype = pcapx_load16(s->swapped, p + 8);
    iface.snaplen = pcapx_load32(s->swapped, p + 12);
    iface.tsresol = 6;
    iface.tsoffset_s = 0;

    memset(b, 0, sizeof(*b));
    b->type = PCAPX_BT_IDB;
    b->len = total;
    b->iface = s->nifaces;
    pcapx_scan_opts_area(b, p + 16, total - PCAPX_IDB_MIN);

    rc = pcapx_scan_idb_opts(s, b, &iface);

    if (rc == PCAPX_OK && s->profile == PCAPX_PROFILE_AGENT) {
        rc = pcapx_scan_idb_agent(s, b, &iface);
    }

    if (rc != PCAPX_OK) {
        return rc;
    }

    if (s->head_end == s->offset) {
        s->head_end += total;
    }

    s->ifaces[s->nifaces++] = iface;

    return PCAPX_OK;
}


static int
pcapx_scan_idb_opts(pcapx_scan_t *s, const pcapx_block_t *b,
    pcapx_iface_t *iface)
{
    int               rc;
    unsigned          want;
    uint64_t          offset;
    pcapx_opt_t       opt;
    pcapx_opt_iter_t  it;

    pcapx_opt_begin(&it, s, b);

    while ((rc = pcapx_opt_next(&it, &opt)) == PCAPX_OK) {

        if (opt.code != PCAPX_IF_TSRESOL && opt.code != PCAPX_IF_TSOFFSET) {
            continue;
        }

        want = opt.code == PCAPX_IF_TSRESOL ? 1 : 8;

        if (opt.len != want) {
            return pcapx_scan_fail(s, PCAPX_EFORMAT,
                                   "IDB: option %u has %u bytes instead of "
                                   "%u", opt.code, opt.len, want);
        }

        if (opt.code == PCAPX_IF_TSRESOL) {
            iface->tsresol = opt.value[0];
            continue;
        }

        offset = pcapx_load64(s->swapped, opt.value);
        memcpy(&iface->tsoffset_s, &offset, sizeof(offset));
    }

    if (rc != PCAPX_END) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT, "IDB: broken options");
    }

    return PCAPX_OK;
}


static int
pcapx_scan_idb_agent(pcapx_scan_t *s, const pcapx_block_t *b,
    const pcapx_iface_t *iface)
{
    if (s->offset != s->head_end) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE,
                               "IDB: behind the first EPB or ISB");
    }

    if (iface->tsresol != 9) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE,
                               "IDB: if_tsresol is %u instead of 9",
                               iface->tsresol);
    }

    if (iface->snaplen == 0 || iface->snaplen > PCAPX_MAX_SNAPLEN) {
        return pcapx_scan_fail(s, PCAPX_EPROFILE,
                               "IDB: snapshot length %u is not in 1 to %u",
                               iface->snaplen, PCAPX_MAX_SNAPLEN);
    }

    return pcapx_scan_agent_opts(s, "IDB", b, PCAPX_AGENT_IDB_OPTS);
}


int
pcapx_scan_packet(pcapx_scan_t *s, const uint8_t *p, uint32_t total,
    pcapx_block_t *b)
{
    int          rc;
    uint32_t     type, iface, caplen, room;
    const char  *what;

    type = pcapx_load32(s->swapped, p);
    what = type == PCAPX_BT_EPB ? "EPB" : "packet block";
    iface = UINT32_MAX;

    if (total >= PCAPX_EPB_MIN) {
        iface = type == PCAPX_BT_EPB ? pcapx_load32(s->swapped, p + 8)
                                     : pcapx_load16(s->swapped, p + 8);
    }

    rc = pcapx_scan_iface(s, what, total, PCAPX_EPB_MIN, iface);

    if (rc != PCAPX_OK) {
        return rc;
    }

    caplen = pcapx_load32(s->swapped, p + 20);
    room = total - PCAPX_EPB_MIN;

    if (caplen > room) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "%s: captured length %u in a block of %u",
                               what, caplen, total);
    }

    rc = pcapx_scan_time(&s->ifaces[iface],
                         pcapx_load_ts(s->swapped, p + 12), &b->ts_ns);

    if (rc != PCAPX_OK) {
        return pcapx_scan_fail(s, rc,
                               "%s: time stamp does not fit 64 bits", what);
    }

    b->type = type;
    b->len = total;
    b->iface = iface;
    b->caplen = caplen;
    b->origlen = pcapx_load32(s->swapped, p + 24);
    b->data = p + 28;
    pcapx_scan_opts_area(b, p + 28 + pcapx_pad4(caplen),
                         room - pcapx_pad4(caplen));

    return PCAPX_OK;
}


int
pcapx_scan_spb(pcapx_scan_t *s, const uint8_t *p, uint32_t total,
    pcapx_block_t *b)
{
    int       rc;
    uint32_t  snaplen;

    rc = pcapx_scan_iface(s, "SPB", total, PCAPX_SPB_MIN, 0);

    if (rc != PCAPX_OK) {
        return rc;
    }

    memset(b, 0, sizeof(*b));
    b->type = PCAPX_BT_SPB;
    b->len = total;
    b->origlen = pcapx_load32(s->swapped, p + 8);
    b->data = p + 12;
    b->caplen = total - PCAPX_SPB_MIN;

    snaplen = s->ifaces[0].snaplen;

    if (snaplen != 0 && b->caplen > snaplen) {
        b->caplen = snaplen;
    }

    if (b->caplen > b->origlen) {
        b->caplen = b->origlen;
    }

    return PCAPX_OK;
}


int
pcapx_scan_isb(pcapx_scan_t *s, const uint8_t *p, uint32_t total,
    pcapx_block_t *b)
{
    int       rc;
    uint32_t  iface;

    iface = UINT32_MAX;

    if (total >= PCAPX_ISB_MIN) {
        iface = pcapx_load32(s->swapped, p + 8);
    }

    rc = pcapx_scan_iface(s, "ISB", total, PCAPX_ISB_MIN, iface);

    if (rc != PCAPX_OK) {
        return rc;
    }

    memset(b, 0, sizeof(*b));

    rc = pcapx_scan_time(&s->ifaces[iface],
                         pcapx_load_ts(s->swapped, p + 12), &b->ts_ns);

    if (rc != PCAPX_OK) {
        return pcapx_scan_fail(s, rc, "ISB: time stamp does not fit 64 bits");
    }

    b->type = PCAPX_BT_ISB;
    b->len = total;
    b->iface = iface;
    pcapx_scan_opts_area(b, p + 20, total - PCAPX_ISB_MIN);

    return PCAPX_OK;
}


/* Is the block long enough and its interface described? */
static int
pcapx_scan_iface(pcapx_scan_t *s, const char *what, uint32_t total,
    uint32_t min, uint32_t iface)
{
    if (total < min) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "%s: length %u is less than %u", what, total,
                               min);
    }

    if (iface >= s->nifaces) {
        return pcapx_scan_fail(s, PCAPX_EFORMAT,
                               "%s: interface %u, only %u are described",
                               what, iface, s->nifaces);
    }

    return PCAPX_OK;
}


static void
pcapx_scan_opts_area(pcapx_block_t *b, const uint8_t *p, uint32_t len)
{
    b->opts = len ? p : NULL;
    b->opts_len = len;
}


int
pcapx_scan_time(const pcapx_iface_t *iface, uint64_t units, uint64_t *ns)
{
    unsigned      exp;
    pcapx_i128_t  t;
    pcapx_u128_t  scale;

    if (iface->tsresol == 9 && iface->tsoffset_s == 0) {
        *ns = units;
        return PCAPX_OK;
    }

    exp = iface->tsresol & 0x7f;

    if (iface->tsresol & 0x80) {

        /* Below 2^94, so neither the product nor the shift can overflow. */

        t = (pcapx_i128_t) (((pcapx_u128_t) units * 1000000000u) >> exp);

    } else if (exp <= 9) {

        for (scale = 1; exp < 9; exp++) {
            scale *= 10;
        }

        t = (pcapx_i128_t) (units * scale);

    } else {

        /* 10^20 is above every 64-bit number: nothing is left of it. */

        for (scale = 1; exp > 9 && scale <= UINT64_MAX; exp--) {
            scale *= 10;
        }

        t = (pcapx_i128_t) (units / scale);
    }

    t += (pcapx_i128_t) iface->tsoffset_s * 1000000000;

    if (t < 0 || t > (pcapx_i128_t) UINT64_MAX) {
        return PCAPX_EFORMAT;
    }

    *ns = (uint64_t) t;

    return PCAPX_OK;
}
