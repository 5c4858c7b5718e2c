/*
 * t/pcapx_scan.c: what the scanner says about well-formed captures: each
 * block type, both byte orders, clocks of every resolution, sections,
 * options and counters. How it copes with cut windows is pcapx_split.c, what
 * it refuses is pcapx_refuse.c.
 */

#include "tap.h"
#include "pcapx_craft.h"


static guard_t  guard;


/* A scanner of profile ANY over c; returns the number of blocks or -1. */
static int
scan_all(craft_t *c, pcapx_scan_t *s, pcapx_iface_t *ifaces, uint32_t nifaces,
    seen_t *seen, size_t max)
{
    int     rc;
    size_t  n;

    pcapx_scan_init(s, ifaces, nifaces, PCAPX_PROFILE_ANY, 0);
    rc = craft_scan(s, &guard, c, seen, max, &n);

    if (rc != PCAPX_END) {
        printf("# rc %d, %s\n", rc, s->err);
        return -1;
    }

    return (int) n;
}


static void
test_packets(unsigned swap)
{
    seen_t            seen[8] = { 0 };
    pcapx_scan_t      s;
    pcapx_iface_t     ifaces[2];
    static craft_t    c;
    const char       *order = swap ? "foreign order" : "host order";

    c.len = 0;
    c.swap = swap;

    craft_shb(&c);
    craft_idb_open(&c, 113, 65535);
    craft_end(&c);
    craft_idb_open(&c, 1, 0);
    craft_opt(&c, PCAPX_IF_TSRESOL, "\x09", 1);
    craft_opt_end(&c);
    craft_end(&c);
    craft_epb(&c, 0, 1600000000123456, 61, 1500);
    craft_epb_open(&c, 1, 1600000000123456789, 4, 4);
    craft_opt(&c, PCAPX_OPT_COMMENT, "hello", 5);
    craft_opt_end(&c);
    craft_end(&c);

    ok(scan_all(&c, &s, ifaces, 2, seen, 8) == 5, "%s: five blocks", order);
    ok(s.swapped == swap && !s.classic && s.started, "%s: is known", order);
    ok(s.offset == c.len, "%s: offset is where the stream ends", order);
    ok(s.nifaces == 2 && ifaces[0].linktype == 113
       && ifaces[0].snaplen == 65535 && ifaces[0].tsresol == 6
       && ifaces[0].tsoffset_s == 0, "%s: an IDB without options", order);
    ok(ifaces[1].linktype == 1 && ifaces[1].snaplen == 0
       && ifaces[1].tsresol == 9, "%s: an IDB with if_tsresol", order);
    ok(seen[1].b.iface == 0 && seen[2].b.iface == 1,
       "%s: IDBs are numbered", order);
    ok(seen[3].b.type == PCAPX_BT_EPB && seen[3].b.iface == 0
       && seen[3].b.caplen == 61 && seen[3].b.origlen == 1500
       && seen[3].data == 28 && seen[3].b.opts == NULL
       && seen[3].b.opts_len == 0, "%s: an EPB without options", order);
    ok(seen[3].b.ts_ns == 1600000000123456000, "%s: its microseconds", order);
    ok(seen[4].b.iface == 1 && seen[4].b.caplen == 4 && seen[4].opts == 32
       && seen[4].b.opts_len == 16, "%s: an EPB with options", order);
    ok(seen[4].b.ts_ns == 1600000000123456789, "%s: its nanoseconds", order);
}


/* The short ways of profile AGENT say the same. */
static void
test_agent(void)
{
    int             rc;
    size_t          n;
    seen_t          seen[6] = { 0 };
    pcapx_scan_t    s;
    pcapx_stats_t   st;
    pcapx_iface_t   ifaces[2];
    static craft_t  c;

    craft_shb(&c);
    craft_idb(&c, 100);
    craft_epb(&c, 0, 0x1122334455667788, 61, 1500);
    craft_isb(&c, 0, 0x1122334455667799);

    pcapx_scan_init(&s, ifaces, 2, PCAPX_PROFILE_AGENT, 0);
    rc = craft_scan(&s, &guard, &c, seen, 4, &n);

    ok(rc == PCAPX_END && n == 4 && s.offset == c.len,
       "agent: four blocks");
    ok(seen[2].b.type == PCAPX_BT_EPB && seen[2].b.len == 96
       && seen[2].b.iface == 0 && seen[2].b.caplen == 61
       && seen[2].b.origlen == 1500 && seen[2].data == 28
       && seen[2].b.ts_ns == 0x1122334455667788
       && seen[2].b.opts == NULL && seen[2].b.opts_len == 0,
       "agent: fields of an EPB");
    ok(seen[3].b.type == PCAPX_BT_ISB && seen[3].b.len == 64
       && seen[3].b.iface == 0 && seen[3].b.caplen == 0
       && seen[3].b.origlen == 0 && seen[3].b.data == NULL
       && seen[3].b.ts_ns == 0x1122334455667799 && seen[3].opts == 20
       && seen[3].b.opts_len == 40, "agent: fields of an ISB");
    ok(pcapx_scan_stats(&s, &seen[3].b, &st) == PCAPX_OK
       && st.present == (PCAPX_HAS_FILTERACCEPT | PCAPX_HAS_OSDROP
                         | PCAPX_HAS_USRDELIV)
       && st.filteraccept == 7 && st.osdrop == 0x0102030405060708
       && st.usrdeliv == 5, "agent: counters of an ISB");
    ok(s.end == PCAPX_END_UNSAID, "agent: no container has gone");

    for (n = 0; n < 2; n++) {
        craft_isb_open(&c, 0, 0x1122334455667799);
        craft_opt_u64(&c, PCAPX_ISB_OSDROP, 3);
        craft_opt(&c, PCAPX_OPT_COMMENT, PCAPX_CONTAINER_GONE, 14);
        craft_opt_end(&c);
        craft_end(&c);
    }

    pcapx_scan_init(&s, ifaces, 2, PCAPX_PROFILE_AGENT, 0);
    rc = craft_scan(&s, &guard, &c, seen, 6, &n);

    ok(rc == PCAPX_END && n == 6 && s.end == PCAPX_END_CONTAINER,
       "agent: the end of a container in two ISBs");
    ok(pcapx_scan_stats(&s, &seen[5].b, &st) == PCAPX_OK
       && st.present == PCAPX_HAS_OSDROP && st.osdrop == 3,
       "agent: counters beside it");
}


/* Each ending that an agent may say. */

static void
test_ends(void)
{
    int             rc;
    size_t          n;
    seen_t          seen[4] = { 0 };
    unsigned        end;
    pcapx_scan_t    s;
    pcapx_iface_t   ifaces[1];
    static craft_t  c;

    for (end = 1; end < PCAPX_NENDS; end++) {
        c.len = 0;
        c.swap = 0;
        craft_shb(&c);
        craft_idb(&c, 65535);
        craft_isb_open(&c, 0, 1);
        craft_opt(&c, PCAPX_OPT_COMMENT, pcapx_end_text(end),
                  (uint16_t) strlen(pcapx_end_text(end)));
        craft_opt_end(&c);
        craft_end(&c);

        pcapx_scan_init(&s, ifaces, 1, PCAPX_PROFILE_AGENT, 0);
        rc = craft_scan(&s, &guard, &c, seen, 4, &n);
        ok(rc == PCAPX_END && s.end == end, "agent: \"%s\"",
           pcapx_end_text(end));
    }

    ok(pcapx_end_text(0) == NULL && pcapx_end_text(PCAPX_NENDS) == NULL,
       "no text for other endings");

    /* c still has the last one. */

    craft_isb_open(&c, 0, 1);
    craft_opt(&c, PCAPX_OPT_COMMENT, PCAPX_CONTAINER_GONE, 14);
    craft_opt_end(&c);
    craft_end(&c);
    pcapx_scan_init(&s, ifaces, 1, PCAPX_PROFILE_AGENT, 0);
    ok(craft_scan(&s, &guard, &c, seen, 4, &n) == PCAPX_EPROFILE,
       "agent: one ending behind another");

    c.len = 0;
    craft_shb(&c);
    craft_idb(&c, 65535);
    craft_isb_open(&c, 0, 1);
    craft_opt(&c, PCAPX_OPT_COMMENT, "limit: ", 7);
    craft_opt_end(&c);
    craft_end(&c);
    pcapx_scan_init(&s, ifaces, 1, PCAPX_PROFILE_AGENT, 0);
    ok(craft_scan(&s, &guard, &c, seen, 4, &n) == PCAPX_EPROFILE,
       "agent: a limit without its name");
}


static void
test_other_packets(unsigned swap)
{
    seen_t          seen[8] = { 0 };
    pcapx_scan_t    s;
    pcapx_iface_t   ifaces[1];
    static craft_t  c;
    const char     *order = swap ? "foreign order" : "host order";

    c.len = 0;
    c.swap = swap;

    craft_shb(&c);
    craft_idb_open(&c, 1, 40);
    craft_end(&c);

    craft_begin(&c, PCAPX_BT_SPB);          /* room for 20, 17 on the wire */
    craft_u32(&c, 17);
    craft_zero(&c, 20);
    craft_end(&c);

    craft_begin(&c, PCAPX_BT_SPB);          /* snaplen is the least */
    craft_u32(&c, 1500);
    craft_zero(&c, 44);
    craft_end(&c);

    craft_begin(&c, PCAPX_BT_SPB);          /* the room is the least */
    craft_u32(&c, 1500);
    craft_zero(&c, 12);
    craft_end(&c);

    craft_begin(&c, PCAPX_BT_OPB);
    craft_u16(&c, 0);
    craft_u16(&c, 999);                     /* drops */
    craft_ts(&c, 5000000);
    craft_u32(&c, 3);
    craft_u32(&c, 60);
    craft_zero(&c, 4);
    craft_opt(&c, PCAPX_OPT_COMMENT, "x", 1);
    craft_end(&c);

    ok(scan_all(&c, &s, ifaces, 1, seen, 8) == 6, "%s: six blocks", order);
    ok(seen[2].b.type == PCAPX_BT_SPB && seen[2].b.caplen == 17
       && seen[2].b.origlen == 17 && seen[2].b.ts_ns == 0
       && seen[2].data == 12 && seen[2].b.iface == 0,
       "%s: an SPB cut by its original length", order);
    ok(seen[3].b.caplen == 40 && seen[3].b.origlen == 1500,
       "%s: an SPB cut by the snapshot length", order);
    ok(seen[4].b.caplen == 12, "%s: an SPB cut by its block", order);
    ok(seen[5].b.type == PCAPX_BT_OPB && seen[5].b.iface == 0
       && seen[5].b.caplen == 3 && seen[5].b.origlen == 60
       && seen[5].b.ts_ns == 5000000000 && seen[5].data == 28
       && seen[5].opts == 32 && seen[5].b.opts_len == 8,
       "%s: an obsolete packet block, drops are no interface", order);
}


static void
test_spb_without_snaplen(void)
{
    seen_t          seen[4] = { 0 };
    pcapx_scan_t    s;
    pcapx_iface_t   ifaces[1];
    static craft_t  c;

    craft_shb(&c);
    craft_idb_open(&c, 1, 0);
    craft_end(&c);
    craft_begin(&c, PCAPX_BT_SPB);
    craft_u32(&c, 9);
    craft_zero(&c, 12);
    craft_end(&c);

    ok(scan_all(&c, &s, ifaces, 1, seen, 4) == 3 && seen[2].b.caplen == 9,
       "snapshot length 0 does not cut an SPB");
}


static void
test_other_blocks(void)
{
    seen_t          seen[8] = { 0 };
    pcapx_scan_t    s;
    pcapx_iface_t   ifaces[1];
    static craft_t  c;

    craft_shb_open(&c, 4000);
    craft_opt(&c, PCAPX_SHB_USERAPPL, "me", 2);
    craft_opt_end(&c);
    craft_end(&c);
    craft_idb(&c, 100);
    craft_begin(&c, PCAPX_BT_NRB);
    craft_u32(&c, 0);
    craft_end(&c);
    craft_begin(&c, 0x80001234);
    craft_zero(&c, 100);
    craft_end(&c);
    craft_begin(&c, 10);                    /* a decryption secrets block */
    craft_end(&c);
    craft_idb(&c, 100);

    pcapx_scan_init(&s, ifaces, 1, PCAPX_PROFILE_ANY, 0);
    ok(scan_all(&c, &s, ifaces, 1, seen, 8) == -1,
       "an array for one interface holds one");

    c.len -= 40;
    ok(scan_all(&c, &s, ifaces, 1, seen, 8) == 5, "skippable blocks");
    ok(seen[0].opts == 24 && seen[0].b.opts_len == 12,
       "options of an SHB with a section length");
    ok(seen[1].opts == 16 && seen[1].b.opts_len == 20, "options of an IDB");
    ok(seen[2].b.type == PCAPX_BT_NRB && seen[2].b.len == 16
       && seen[2].b.data == NULL && seen[2].b.opts == NULL,
       "an NRB is reported");
    ok(seen[3].b.type == 0x80001234 && seen[3].b.len == 112
       && seen[3].b.data == NULL && seen[3].b.ts_ns == 0,
       "an unknown block is reported");
    ok(seen[4].b.type == 10 && seen[4].b.len == 12, "the shortest block");
}


static void
test_sections(void)
{
    seen_t          seen[8] = { 0 };
    pcapx_scan_t    s;
    pcapx_iface_t   ifaces[2];
    static craft_t  c;

    craft_shb(&c);
    craft_idb(&c, 100);
    craft_idb(&c, 200);
    craft_epb(&c, 1, 7, 4, 4);

    c.swap = 1;
    craft_shb_open(&c, 64);
    craft_end(&c);
    craft_idb_open(&c, 101, 300);
    craft_end(&c);
    craft_epb(&c, 0, 7, 4, 4);

    ok(scan_all(&c, &s, ifaces, 2, seen, 8) == 7,
       "a second section in the other byte order");
    ok(s.swapped == 1 && s.nifaces == 1, "it forgets the first");
    ok(ifaces[0].linktype == 101 && ifaces[0].snaplen == 300,
       "it describes its own interfaces");
    ok(seen[3].b.ts_ns == 7 && seen[6].b.ts_ns == 7000,
       "each section has its own clocks");

    craft_epb(&c, 1, 7, 4, 4);
    ok(scan_all(&c, &s, ifaces, 2, seen, 8) == -1,
       "an interface of the first section is gone");
}


static void
test_version_12(void)
{
    seen_t          seen[1] = { 0 };
    pcapx_scan_t    s;
    pcapx_iface_t   ifaces[1];
    static craft_t  c;

    craft_shb(&c);
    c.buf[14] = 2;

    ok(scan_all(&c, &s, ifaces, 1, seen, 1) == 1, "version 1.2 reads as 1.0");
}


/* One clock: description, units, result; UINT64_MAX means refused. */

typedef struct {
    uint8_t      tsresol;
    int64_t      offset;
    uint64_t     units;
    uint64_t     ns;
    const char  *what;
} clock_t_;

#define REFUSED  UINT64_MAX

static const clock_t_  clocks[] = {
    { 0, 0, 1600000000, 1600000000000000000, "seconds" },
    { 3, 0, 1600000000123, 1600000000123000000, "milliseconds" },
    { 6, 0, 1600000000123456, 1600000000123456000, "microseconds" },
    { 9, 0, 1600000000123456789, 1600000000123456789, "nanoseconds" },
    { 9, 0, UINT64_MAX - 1, UINT64_MAX - 1, "the last nanosecond but one" },
    { 12, 0, 1234567890123999, 1234567890123, "picoseconds round down" },
    { 19, 0, UINT64_MAX, 1844674407, "10^-19 s" },
    { 28, 0, UINT64_MAX, 1, "10^-28 s" },
    { 29, 0, UINT64_MAX, 0, "10^-29 s is below a nanosecond" },
    { 127, 0, UINT64_MAX, 0, "10^-127 s" },
    { 0x80, 0, 1600000000, 1600000000000000000, "2^0 s" },
    { 0x8a, 0, 1600000000ull * 1024 + 512, 1600000000500000000, "2^-10 s" },
    { 0xa0, 0, 0x5f5e100080000000, 1600000000500000000, "2^-32 s (NTP)" },
    { 0xbf, 0, UINT64_MAX, 1999999999, "2^-63 s" },
    { 0xc0, 0, UINT64_MAX, 999999999, "2^-64 s" },
    { 0xdd, 0, UINT64_MAX, 1, "2^-93 s" },
    { 0xff, 0, UINT64_MAX, 0, "2^-127 s" },
    { 9, 1, 5, 1000000005, "an offset of a second" },
    { 6, -1, 1000001, 1000, "a negative offset" },
    { 9, INT64_MIN, UINT64_MAX - 1, REFUSED, "an offset far before 1970" },
    { 9, INT64_MAX, 0, REFUSED, "an offset far after 2554" },
    { 9, -1, 999999999, REFUSED, "a nanosecond before 1970" },
    { 9, -1, 1000000000, 0, "1970" },
    { 0, 0, 18446744073, 18446744073000000000ull, "the last second" },
    { 0, 0, 18446744074, REFUSED, "one second more" },
    { 6, 0, 18446744073709551, 18446744073709551000ull,
      "the last microsecond" },
    { 6, 0, 18446744073709552, REFUSED, "one microsecond more" },
    { 0, 0, UINT64_MAX, REFUSED, "2^64 - 1 seconds" },
    { 0x80, 0, UINT64_MAX, REFUSED, "2^64 - 1 seconds, power of 2" },
    { 0x9e, 0, UINT64_MAX, 17179869183999999999ull,
      "2^64 - 1 units of 2^-30 s" },
    { 0x9d, 0, UINT64_MAX, REFUSED, "2^64 - 1 units of 2^-29 s" },
    { 0, -1000000000, 1600000000, 600000000000000000, "a large offset" }
};


static void
test_clock(const clock_t_ *k, unsigned swap)
{
    int              rc;
    size_t           n;
    seen_t           seen[4] = { 0 };
    uint64_t         ns;
    pcapx_scan_t     s;
    pcapx_iface_t    ifaces[1];
    static craft_t   c;

    c.len = 0;
    c.swap = swap;

    craft_shb(&c);
    craft_idb_open(&c, 1, 100);
    craft_opt(&c, PCAPX_IF_TSRESOL, &k->tsresol, 1);
    craft_opt_u64(&c, PCAPX_IF_TSOFFSET, (uint64_t) k->offset);
    craft_opt_end(&c);
    craft_end(&c);
    craft_epb(&c, 0, k->units, 1, 1);
    craft_isb(&c, 0, k->units);

    pcapx_scan_init(&s, ifaces, 1, PCAPX_PROFILE_ANY, 0);
    rc = craft_scan(&s, &guard, &c, seen, 4, &n);

    if (k->ns == REFUSED) {
        ok(rc == PCAPX_EFORMAT && n == 2 && strstr(s.err, "time stamp"),
           "clock: %s, refused", k->what);
        return;
    }

    ns = rc == PCAPX_END ? seen[2].b.ts_ns : 0;

    if (!ok(rc == PCAPX_END && ns == k->ns && seen[3].b.ts_ns == k->ns,
            "clock: %s", k->what))
    {
        printf("# %llu instead of %llu, %s\n", (unsigned long long) ns,
               (unsigned long long) k->ns, s.err);
    }
}


static void
test_pcap(uint32_t magic, unsigned swap, uint64_t frac_ns)
{
    seen_t          seen[4] = { 0 };
    pcapx_scan_t    s;
    pcapx_iface_t   ifaces[1];
    static craft_t  c;
    char            what[64];

    snprintf(what, sizeof(what), "pcap 0x%08x, %s order", magic,
             swap ? "foreign" : "host");

    c.len = 0;
    c.swap = swap;

    craft_pcap(&c, magic, 96, 0x34000071);   /* FCS of 3 words, P bit */
    craft_record(&c, 1600000000, 123456, 33, 1500);
    craft_record(&c, UINT32_MAX, 999999, 0, 0);

    ok(scan_all(&c, &s, ifaces, 1, seen, 4) == 3, "%s: three blocks", what);
    ok(s.classic && s.swapped == swap && s.nsec == (frac_ns == 123456),
       "%s: is known", what);
    ok(ifaces[0].linktype == 113 && ifaces[0].snaplen == 96
       && ifaces[0].tsresol == (s.nsec ? 9 : 6),
       "%s: link type without the FCS bits", what);
    ok(seen[0].b.type == PCAPX_BT_PCAP_HEADER && seen[0].b.len == 24,
       "%s: header", what);
    ok(seen[1].b.type == PCAPX_BT_PCAP_RECORD && seen[1].b.len == 49
       && seen[1].b.caplen == 33 && seen[1].b.origlen == 1500
       && seen[1].data == 16 && seen[1].b.iface == 0, "%s: record", what);
    ok(seen[1].b.ts_ns == 1600000000000000000 + frac_ns,
       "%s: time stamp", what);
    ok(seen[2].b.len == 16 && seen[2].at == 24 + 49,
       "%s: an empty record behind an odd one", what);
}


static void
test_options(unsigned swap)
{
    int               rc;
    seen_t            seen[4] = { 0 };
    pcapx_opt_t       opt;
    pcapx_scan_t      s;
    pcapx_iface_t     ifaces[1];
    pcapx_opt_iter_t  it;
    static craft_t    c;
    const char       *order = swap ? "foreign order" : "host order";

    c.len = 0;
    c.swap = swap;

    craft_shb_open(&c, UINT64_MAX);
    craft_opt(&c, PCAPX_OPT_COMMENT, "one", 3);
    craft_opt(&c, PCAPX_OPT_COMMENT, "", 0);
    craft_opt(&c, 300, "four", 4);
    craft_opt_end(&c);
    craft_opt(&c, PCAPX_OPT_COMMENT, "hidden", 6);
    craft_end(&c);

    ok(scan_all(&c, &s, ifaces, 1, seen, 4) == 1, "%s: options", order);

    pcapx_opt_begin(&it, &s, &seen[0].b);
    ok(pcapx_opt_next(&it, &opt) == PCAPX_OK && opt.code == 1
       && opt.len == 3 && memcmp(opt.value, "one", 3) == 0,
       "%s: a padded option", order);
    ok(pcapx_opt_next(&it, &opt) == PCAPX_OK && opt.code == 1
       && opt.len == 0, "%s: an empty option", order);
    ok(pcapx_opt_next(&it, &opt) == PCAPX_OK && opt.code == 300
       && opt.len == 4 && memcmp(opt.value, "four", 4) == 0,
       "%s: an option without padding", order);
    rc = pcapx_opt_next(&it, &opt);
    ok(rc == PCAPX_END, "%s: opt_endofopt ends the walk", order);
}


static void
test_broken_options(void)
{
    size_t            i;
    uint8_t           area[16];
    pcapx_opt_t       opt;
    pcapx_scan_t      s;
    pcapx_block_t     b;
    pcapx_opt_iter_t  it;

    static const struct {
        const char  *what;
        uint32_t     len;
        uint8_t      bytes[16];
    } cases[] = {
        { "less than a header", 3, { 0 } },
        { "a value behind the end", 8, { 1, 0, 5, 0 } },
        { "a length of 65535", 8, { 1, 0, 255, 255 } },
        { "an opt_endofopt with a value", 8, { 0, 0, 4, 0 } },
        { "padding behind the end", 7, { 1, 0, 3, 0 } }
    };

    pcapx_scan_init(&s, NULL, 0, PCAPX_PROFILE_ANY, 0);
    memset(&b, 0, sizeof(b));

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(area, cases[i].bytes, sizeof(area));
        b.opts = guard_window(&guard, area, cases[i].len);
        b.opts_len = cases[i].len;

        pcapx_opt_begin(&it, &s, &b);
        ok(pcapx_opt_next(&it, &opt) == PCAPX_EFORMAT,
           "broken options: %s", cases[i].what);
    }

    b.opts = NULL;
    b.opts_len = 0;
    pcapx_opt_begin(&it, &s, &b);
    ok(pcapx_opt_next(&it, &opt) == PCAPX_END, "no options at all");
}


static void
test_stats(unsigned swap)
{
    seen_t          seen[4] = { 0 };
    pcapx_scan_t    s;
    pcapx_stats_t   st;
    pcapx_iface_t   ifaces[1];
    static craft_t  c;
    const char     *order = swap ? "foreign order" : "host order";

    c.len = 0;
    c.swap = swap;

    craft_shb(&c);
    craft_idb_open(&c, 1, 100);             /* microseconds */
    craft_end(&c);

    craft_isb_open(&c, 0, 9000000);
    craft_u16(&c, PCAPX_ISB_STARTTIME);
    craft_u16(&c, 8);
    craft_ts(&c, 0x100000001);
    craft_u16(&c, PCAPX_ISB_ENDTIME);
    craft_u16(&c, 8);
    craft_ts(&c, 0x100000002);
    craft_opt_u64(&c, PCAPX_ISB_IFRECV, 0x1122334455667788);
    craft_opt_u64(&c, PCAPX_ISB_IFDROP, 2);
    craft_opt_u64(&c, PCAPX_ISB_FILTERACCEPT, 3);
    craft_opt_u64(&c, PCAPX_ISB_OSDROP, 4);
    craft_opt_u64(&c, PCAPX_ISB_USRDELIV, UINT64_MAX);
    craft_opt(&c, PCAPX_OPT_COMMENT, "skipped", 7);
    craft_end(&c);

    ok(scan_all(&c, &s, ifaces, 1, seen, 4) == 3, "%s: an ISB", order);
    ok(seen[2].b.type == PCAPX_BT_ISB && seen[2].b.iface == 0
       && seen[2].b.ts_ns == 9000000000 && seen[2].opts == 20,
       "%s: its fields", order);
    ok(pcapx_scan_stats(&s, &seen[2].b, &st) == PCAPX_OK
       && st.present == 0x7f, "%s: all counters are there", order);
    ok(st.starttime_ns == 0x100000001 * 1000ull
       && st.endtime_ns == 0x100000002 * 1000ull,
       "%s: times are in units of the interface", order);
    ok(st.ifrecv == 0x1122334455667788 && st.ifdrop == 2
       && st.filteraccept == 3 && st.osdrop == 4
       && st.usrdeliv == UINT64_MAX, "%s: counters are 64 bits", order);

    ok(pcapx_scan_stats(&s, &seen[1].b, &st) == PCAPX_EINVAL,
       "%s: an IDB has no counters", order);
}


static void
test_bad_stats(void)
{
    seen_t          seen[8] = { 0 };
    pcapx_scan_t    s;
    pcapx_stats_t   st;
    pcapx_iface_t   ifaces[1];
    static craft_t  c;

    craft_shb(&c);
    craft_idb_open(&c, 1, 100);
    craft_end(&c);
    craft_isb_open(&c, 0, 1);
    craft_opt(&c, PCAPX_ISB_OSDROP, "1234", 4);
    craft_end(&c);
    craft_isb_open(&c, 0, 1);
    craft_u16(&c, PCAPX_ISB_OSDROP);
    craft_u16(&c, 9);
    craft_end(&c);
    craft_isb_open(&c, 0, 1);
    craft_opt_u64(&c, PCAPX_ISB_ENDTIME, UINT64_MAX);
    craft_end(&c);
    craft_isb_open(&c, 0, 1);
    craft_end(&c);

    ok(scan_all(&c, &s, ifaces, 1, seen, 8) == 6, "four ISBs");
    ok(pcapx_scan_stats(&s, &seen[2].b, &st) == PCAPX_EFORMAT,
       "a counter of 4 bytes");
    ok(pcapx_scan_stats(&s, &seen[3].b, &st) == PCAPX_EFORMAT,
       "a counter behind the end of the block");
    ok(pcapx_scan_stats(&s, &seen[4].b, &st) == PCAPX_EFORMAT,
       "an end time beyond 64-bit nanoseconds");
    ok(pcapx_scan_stats(&s, &seen[5].b, &st) == PCAPX_OK && st.present == 0,
       "no counters");
}


static void
test_strerror(void)
{
    int  rc;
    int  named = 1;

    for (rc = -5; rc <= 2; rc++) {
        if (strcmp(pcapx_strerror(rc), pcapx_strerror(77)) == 0) {
            named = 0;
        }
    }

    ok(named, "every result has a name of its own");
}


int
main(void)
{
    size_t    i;
    unsigned  swap;

    guard_init(&guard);

    for (swap = 0; swap < 2; swap++) {
        test_packets(swap);
        test_other_packets(swap);
        test_options(swap);
        test_stats(swap);
        test_pcap(PCAPX_PCAP_MAGIC_USEC, swap, 123456000);
        test_pcap(PCAPX_PCAP_MAGIC_NSEC, swap, 123456);
    }

    test_agent();
    test_ends();
    test_spb_without_snaplen();
    test_other_blocks();
    test_sections();
    test_version_12();
    test_broken_options();
    test_bad_stats();
    test_strerror();

    for (i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        test_clock(&clocks[i], i & 1);
    }

    return tap_done();
}
