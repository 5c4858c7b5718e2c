/*
 * t/pcapx_write.c: what the writer makes the scanner reads back, byte for
 * byte and in the agent's profile where it belongs there; a buffer that is
 * too small is left alone; arguments that no block can hold are refused.
 * What programs of others say to the files is in pcapx_tshark.c.
 */

#include "tap.h"
#include "pcapx_craft.h"
#include "pcapx_blocks.h"


static guard_t  guard;
static uint8_t  buf[CRAFT_MAX];


/* Writes the block with exactly the room it needs and with any less. */
static void
test_room(size_t i)
{
    int          tidy;
    size_t       len, n;
    uint8_t     *p;
    pcapx_out_t  o;

    o.pos = buf;
    o.end = buf + sizeof(buf);
    ok(blocks[i].put(&o) == PCAPX_OK && (o.pos - buf) % 4 == 0,
       "%s: written", blocks[i].name);
    len = (size_t) (o.pos - buf);

    tidy = 1;

    for (n = 0; n < len; n++) {
        p = guard.end - n;
        memset(p, 0x5a, n);

        o.pos = p;
        o.end = guard.end;
        tidy &= blocks[i].put(&o) == PCAPX_ENOSPC && o.pos == p;

        while (p < guard.end) {
            tidy &= *p++ == 0x5a;
        }
    }

    ok(tidy, "%s: nothing is written where %zu bytes are too few",
       blocks[i].name, len - 1);

    o.pos = guard.end - len;
    o.end = guard.end;
    ok(blocks[i].put(&o) == PCAPX_OK && o.pos == o.end
       && memcmp(guard.end - len, buf, len) == 0,
       "%s: written with no byte to spare", blocks[i].name);
}


/* SHB and two IDBs, then the block if it is none of these. */
static size_t
write_stream(size_t i)
{
    pcapx_out_t  o;

    o.pos = buf;
    o.end = buf + sizeof(buf);

    if (blocks[i].type == PCAPX_BT_SHB) {
        blocks[i].put(&o);
        return (size_t) (o.pos - buf);
    }

    put_shb(&o);
    put_idb(&o);

    if (blocks[i].type != PCAPX_BT_IDB) {
        put_idb_opts(&o);
    }

    blocks[i].put(&o);

    return (size_t) (o.pos - buf);
}


/* The last block of the stream, or the refusal. */
static int
read_last(size_t len, pcapx_profile_t profile, pcapx_scan_t *s,
    pcapx_block_t *b)
{
    int                    rc;
    uint8_t               *p;
    static pcapx_iface_t   ifaces[4];

    p = guard_window(&guard, buf, len);
    pcapx_scan_init(s, ifaces, 4, profile, 0);

    do {
        rc = pcapx_scan_next(s, p, len, b);

        if (rc != PCAPX_OK) {
            return rc;
        }

        p += b->len;
        len -= b->len;

    } while (len);

    return PCAPX_OK;
}


static void
test_read_back(size_t i)
{
    int            rc;
    size_t         len;
    pcapx_scan_t   s;
    pcapx_block_t  b;

    len = write_stream(i);

    rc = read_last(len, PCAPX_PROFILE_ANY, &s, &b);
    ok(rc == PCAPX_OK && b.type == blocks[i].type, "%s: read back",
       blocks[i].name);

    rc = read_last(len, PCAPX_PROFILE_AGENT, &s, &b);
    ok(rc == (blocks[i].agent ? PCAPX_OK : PCAPX_EPROFILE),
       "%s: %s", blocks[i].name, blocks[i].agent
       ? "an agent may send it" : "no agent may send it");
}


/* Reads the stream that ends with blocks[] of that name. */
static int
read_named(const char *name, pcapx_scan_t *s, pcapx_block_t *b)
{
    size_t  i;

    for (i = 0; i < NBLOCKS; i++) {
        if (strcmp(blocks[i].name, name) == 0) {
            return read_last(write_stream(i), PCAPX_PROFILE_ANY, s, b);
        }
    }

    return PCAPX_EINVAL;
}


static int
has_option(pcapx_opt_iter_t *it, uint16_t code, const char *text)
{
    pcapx_opt_t  o;

    return pcapx_opt_next(it, &o) == PCAPX_OK && o.code == code
           && o.len == strlen(text) && memcmp(o.value, text, o.len) == 0;
}


static void
test_fields(void)
{
    int               rc;
    pcapx_opt_t       o;
    pcapx_scan_t      s;
    pcapx_block_t     b;
    pcapx_stats_t     st;
    pcapx_opt_iter_t  it;

    read_named("SHB with options", &s, &b);
    pcapx_opt_begin(&it, &s, &b);
    ok(has_option(&it, PCAPX_SHB_HARDWARE, "x86_64")
       && has_option(&it, PCAPX_SHB_USERAPPL, "pcapx test")
       && has_option(&it, PCAPX_SHB_OS, "")
       && pcapx_opt_next(&it, &o) == PCAPX_END,
       "options of the SHB, in their order");

    read_named("IDB with options", &s, &b);
    pcapx_opt_begin(&it, &s, &b);
    ok(s.ifaces[1].linktype == PCAPX_LINKTYPE_LINUX_SLL2
       && s.ifaces[1].snaplen == 262144 && s.ifaces[1].tsresol == 9
       && s.ifaces[1].tsoffset_s == 0, "fields of the IDB");
    ok(has_option(&it, PCAPX_IF_TSRESOL, "\x09")
       && has_option(&it, PCAPX_IF_NAME, "router/0/eth0")
       && has_option(&it, PCAPX_IF_DESCRIPTION, "192.0.2.1")
       && has_option(&it, PCAPX_IF_OS, "linux")
       && pcapx_opt_next(&it, &o) == PCAPX_END,
       "options of the IDB, if_tsresol first");

    read_named("ISB with counters", &s, &b);
    rc = pcapx_scan_stats(&s, &b, &st);
    ok(rc == PCAPX_OK && b.iface == 1 && b.ts_ns == NOW
       && st.present == (PCAPX_HAS_FILTERACCEPT | PCAPX_HAS_OSDROP
                         | PCAPX_HAS_USRDELIV | PCAPX_HAS_ENDTIME)
       && st.endtime_ns == NOW + 1
       && st.filteraccept == 0x1122334455667788 && st.osdrop == 2
       && st.usrdeliv == UINT64_MAX && st.ifrecv == 0,
       "counters of the ISB, no others");

    read_named("ISB with everything", &s, &b);
    rc = pcapx_scan_stats(&s, &b, &st);
    ok(rc == PCAPX_OK && st.present == 0x7f && st.starttime_ns == NOW - 1
       && st.endtime_ns == NOW + 1 && st.ifrecv == 3 && st.ifdrop == 4
       && st.filteraccept == 5 && st.osdrop == 6 && st.usrdeliv == 7,
       "all seven counters");

    read_named("EPB", &s, &b);
    ok(b.iface == 0 && b.ts_ns == NOW && b.caplen == 31 && b.origlen == 1500
       && memcmp(b.data, packet, 31) == 0 && b.data[31] == 0
       && b.opts == NULL, "fields of the EPB, padded with zero");

    read_named("EPB with a comment", &s, &b);
    pcapx_opt_begin(&it, &s, &b);
    ok(b.caplen == 30 && b.ts_ns == NOW + 102
       && has_option(&it, PCAPX_OPT_COMMENT, "pcap-api STATUS api: x"),
       "an EPB with its comment");

    read_named("EPB in parts", &s, &b);
    pcapx_opt_begin(&it, &s, &b);
    ok(b.caplen == 29 && b.ts_ns == NOW + 103
       && memcmp(b.data, packet, 29) == 0
       && has_option(&it, PCAPX_OPT_COMMENT, "in parts"),
       "an EPB in parts is one block");
}


/* Name records by hand: the library has no reader for them. */
static void
test_nrb(void)
{
    pcapx_out_t  o;

    static const uint8_t  want[] =
        "\1\0\x0d\0" "\xc0\0\x02\x01" "router-0\0" "\0\0\0"
        "\2\0\x16\0" "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" "web-0\0"
        "\0\0"
        "\1\0\x06\0" "\xc0\0\x02\x02" "x\0" "\0\0"
        "\0\0\0\0";

    o.pos = buf;
    o.end = buf + sizeof(buf);
    put_nrb(&o);

    ok((size_t) (o.pos - buf) == 12 + sizeof(want) - 1
       && memcmp(buf + 8, want, sizeof(want) - 1) == 0,
       "records of the NRB on a little-endian host");
}


static void
test_pcap(void)
{
    int            rc;
    pcapx_scan_t   s;
    pcapx_block_t  b;

    pcapx_pcap_header(buf, 262144, PCAPX_LINKTYPE_LINUX_SLL2);
    pcapx_pcap_record(buf + 24, NOW, 31, 1500);
    memcpy(buf + 40, packet, 31);

    rc = read_last(71, PCAPX_PROFILE_ANY, &s, &b);
    ok(rc == PCAPX_OK && s.nsec && !s.swapped && s.ifaces[0].snaplen == 262144
       && s.ifaces[0].linktype == PCAPX_LINKTYPE_LINUX_SLL2,
       "pcap header with nanoseconds");
    ok(b.ts_ns == NOW && b.caplen == 31 && b.origlen == 1500
       && memcmp(b.data, packet, 31) == 0, "pcap record");
}


/* What no block can hold; nothing is written. */
static void
test_invalid(void)
{
    size_t             i;
    pcapx_out_t        o;
    pcapx_opt_t        bad, resol;
    pcapx_name_t       name;
    static char        text[65001];
    static pcapx_opt_t many[65600];
    pcapx_stats_t      st;

    o.pos = buf;
    o.end = buf + sizeof(buf);
    memset(&st, 0, sizeof(st));

    bad = opt(PCAPX_OPT_END, "x");
    ok(pcapx_put_shb(&o, &bad, 1) == PCAPX_EINVAL, "SHB: option 0");
    ok(pcapx_put_idb(&o, 1, 0, &bad, 1) == PCAPX_EINVAL, "IDB: option 0");
    ok(pcapx_put_isb(&o, 0, 0, &st, &bad, 1) == PCAPX_EINVAL,
       "ISB: option 0");
    ok(pcapx_put_epb(&o, 0, 0, packet, 1, 1, &bad, 1) == PCAPX_EINVAL,
       "EPB: option 0");
    ok(pcapx_put_epb_tail(&o, 1, &bad, 1) == PCAPX_EINVAL,
       "EPB in parts: option 0");

    resol = opt(PCAPX_IF_TSRESOL, "\x06");
    ok(pcapx_put_idb(&o, 1, 0, &resol, 1) == PCAPX_EINVAL,
       "IDB: an if_tsresol of the caller");

    ok(pcapx_put_epb(&o, 0, 0, packet, UINT32_MAX, 1, NULL, 0)
       == PCAPX_EINVAL, "EPB: no 32-bit length can tell it");
    ok(pcapx_put_epb_tail(&o, UINT32_MAX - 32, NULL, 0) == PCAPX_EINVAL,
       "EPB in parts: no 32-bit length can tell it");

    for (i = 0; i < 65600; i++) {
        many[i].code = 1;
        many[i].len = 65535;
        many[i].value = packet;
    }

    ok(pcapx_put_shb(&o, many, 65600) == PCAPX_EINVAL,
       "SHB: options of more than 4 GiB");

    memset(&name, 0, sizeof(name));
    memset(text, 'x', sizeof(text));
    name.addr_len = 4;
    name.name = text;
    name.name_len = 65001;
    ok(pcapx_put_nrb(&o, &name, 1) == PCAPX_EINVAL, "NRB: a name too long");
    name.name_len = 0;
    ok(pcapx_put_nrb(&o, &name, 1) == PCAPX_EINVAL, "NRB: an empty name");
    name.name_len = 5;
    name.addr_len = 6;
    ok(pcapx_put_nrb(&o, &name, 1) == PCAPX_EINVAL,
       "NRB: an address of 6 bytes");
    name.addr_len = 4;
    text[4] = '\0';
    ok(pcapx_put_nrb(&o, &name, 1) == PCAPX_EINVAL, "NRB: a NUL inside");
    text[4] = 'x';
    name.name_len = 65000;
    ok(o.pos == buf, "nothing was written");
    o.end = buf + 65000;
    ok(pcapx_put_nrb(&o, &name, 1) == PCAPX_ENOSPC && o.pos == buf,
       "NRB: the longest name is fine, but does not fit");
    o.end = buf + sizeof(buf);
    ok(pcapx_put_nrb(&o, &name, 1) == PCAPX_OK && o.pos == buf + 65028,
       "NRB: it does here");
}


static void
test_lengths(void)
{
    pcapx_opt_t  o[2];

    o[0] = opt(1, "abc");
    o[1] = opt(1, "abcd");

    ok(pcapx_opts_len(NULL, 0) == 0 && pcapx_opts_len(o, 1) == 12
       && pcapx_opts_len(o, 2) == 20, "lengths of option areas");
    ok(pcapx_epb_len(0, 0) == 32 && pcapx_epb_len(1, 0) == 36
       && pcapx_epb_len(4, 12) == 48
       && pcapx_epb_len(PCAPX_MAX_SNAPLEN, 0) == PCAPX_MAX_EPB_LEN,
       "lengths of EPBs");
}


/* What is written without a look at anything is the same block. */
static void
test_plain(void)
{
    int           same;
    uint32_t      len;
    uint8_t       want[64], got[64], data[16];
    pcapx_out_t   o;

    for (len = 0; len < sizeof(data); len++) {
        data[len] = (uint8_t) (len + 1);
    }

    for (len = 0, same = 1; len <= sizeof(data); len++) {
        memset(want, 0xee, sizeof(want));
        memset(got, 0xee, sizeof(got));
        o.pos = want;
        o.end = want + sizeof(want);

        same &= pcapx_put_epb(&o, 3, NOW + len, data, len, len + 9, NULL, 0)
                == PCAPX_OK;
        pcapx_epb_plain(got, 3, NOW + len, data, len, len + 9);
        same &= memcmp(want, got, sizeof(want)) == 0;
    }

    ok(same, "a plain EPB is the EPB without options, and not a byte more");
}


int
main(void)
{
    size_t  i;

    guard_init(&guard);

    for (i = 0; i < NBLOCKS; i++) {
        test_room(i);
        test_read_back(i);
    }

    test_fields();
    test_nrb();
    test_pcap();
    test_invalid();
    test_lengths();
    test_plain();

    return tap_done();
}
