/*
 * t/pcapx_malformed.h: malformed and forbidden captures, each crafted for
 * one refusal, with the result and the words that the scanner must give.
 * t/pcapx_refuse.c tries them; fuzz/corpus/make_seeds.c writes them as seeds.
 */

#ifndef PCAPX_MALFORMED_H
#define PCAPX_MALFORMED_H

#include "pcapx_craft.h"


#define ANY     PCAPX_PROFILE_ANY
#define AGENT   PCAPX_PROFILE_AGENT

typedef struct {
    const char       *name;
    pcapx_profile_t   profile;
    int               rc;
    const char       *words;        /* that s->err must hold */
    void            (*make)(craft_t *c);
} case_t;


static void
head(craft_t *c)
{
    craft_shb(c);
    craft_idb(c, 100);
}


/* Frames. */

static void
make_zeroes(craft_t *c)
{
    craft_zero(c, 64);
}

static void
make_html(craft_t *c)
{
    craft_bytes(c, "<html><body>502 Bad Gateway</body></html>", 41);
}

static void
make_length_8(craft_t *c)
{
    head(c);
    craft_u32(c, PCAPX_BT_EPB);
    craft_u32(c, 8);
    craft_u32(c, 8);
}

static void
make_length_0(craft_t *c)
{
    head(c);
    craft_u32(c, PCAPX_BT_EPB);
    craft_u32(c, 0);
    craft_zero(c, 40);
}

static void
make_length_odd(craft_t *c)
{
    head(c);
    craft_epb(c, 0, 1, 4, 4);
    craft_set32(c, c->block + 4, 37);
}

static void
make_length_huge(craft_t *c)
{
    head(c);
    craft_epb(c, 0, 1, 4, 4);
    craft_set32(c, c->block + 4, 0xfffffffc);
}

static void
make_length_over_limit(craft_t *c)
{
    head(c);
    craft_epb(c, 0, 1, 4, 4);
    craft_set32(c, c->block + 4, PCAPX_MAX_EPB_LEN + 65536 + 4);
}

static void
make_lengths_differ(craft_t *c)
{
    head(c);
    craft_epb(c, 0, 1, 4, 4);
    craft_set32(c, c->len - 4, 40);
}


/* SHB. */

static void
make_no_shb(craft_t *c)
{
    craft_idb(c, 100);
}

static void
make_shb_magic(craft_t *c)
{
    craft_shb(c);
    c->buf[8] = 0;
}

static void
make_shb_short(craft_t *c)
{
    craft_shb(c);
    craft_set32(c, 4, 24);
}

static void
make_shb_odd(craft_t *c)
{
    craft_shb(c);
    craft_set32(c, 4, 30);
}

static void
make_shb_huge(craft_t *c)
{
    craft_shb(c);
    craft_set32(c, 4, 0x10000000);
}

static void
make_shb_lengths_differ(craft_t *c)
{
    craft_shb(c);
    craft_set32(c, c->len - 4, 32);
}

static void
make_shb_version(craft_t *c)
{
    craft_shb(c);
    c->buf[12] = 2;
}

static void
make_shb_minor(craft_t *c)
{
    craft_shb(c);
    c->buf[14] = 2;
}

static void
make_shb_minor_1(craft_t *c)
{
    craft_shb(c);
    c->buf[14] = 1;
}

static void
make_shb_section_negative(craft_t *c)
{
    craft_shb_open(c, UINT64_MAX - 7);
    craft_end(c);
}

static void
make_shb_section_odd(craft_t *c)
{
    craft_shb_open(c, 42);
    craft_end(c);
}

static void
make_shb_swapped(craft_t *c)
{
    c->swap = 1;
    craft_shb(c);
}

static void
make_shb_twice(craft_t *c)
{
    head(c);
    craft_shb(c);
}

static void
make_shb_comment(craft_t *c)
{
    craft_shb_open(c, UINT64_MAX);
    craft_opt(c, PCAPX_OPT_COMMENT, "pcap-api STATUS api: x", 22);
    craft_opt_end(c);
    craft_end(c);
}

static void
make_shb_option_twice(craft_t *c)
{
    craft_shb_open(c, UINT64_MAX);
    craft_opt(c, PCAPX_SHB_OS, "linux", 5);
    craft_opt(c, PCAPX_SHB_OS, "linux", 5);
    craft_opt_end(c);
    craft_end(c);
}

static void
make_shb_option_too_long(craft_t *c)
{
    craft_shb_open(c, UINT64_MAX);
    craft_u16(c, PCAPX_SHB_OS);
    craft_u16(c, 5);
    craft_u32(c, 0);
    craft_end(c);
}

static void
make_shb_behind_end(craft_t *c)
{
    craft_shb_open(c, UINT64_MAX);
    craft_opt_end(c);
    craft_opt(c, PCAPX_OPT_COMMENT, "hidden", 6);
    craft_end(c);
}


/* IDB. */

static void
idb_with(craft_t *c, unsigned code, const char *value, unsigned len)
{
    craft_shb(c);
    craft_idb_open(c, 1, 100);
    craft_opt(c, PCAPX_IF_TSRESOL, "\x09", 1);
    craft_opt(c, code, value, len);
    craft_opt_end(c);
    craft_end(c);
}

static void
make_idb_short(craft_t *c)
{
    craft_shb(c);
    craft_begin(c, PCAPX_BT_IDB);
    craft_u32(c, 1);
    craft_end(c);
}

static void
make_idb_tsresol_2(craft_t *c)
{
    craft_shb(c);
    craft_idb_open(c, 1, 100);
    craft_opt(c, PCAPX_IF_TSRESOL, "\x09\x09", 2);
    craft_end(c);
}

static void
make_idb_tsoffset_4(craft_t *c)
{
    idb_with(c, PCAPX_IF_TSOFFSET, "1234", 4);
}

static void
make_idb_tsoffset(craft_t *c)
{
    idb_with(c, PCAPX_IF_TSOFFSET, "\0\0\0\0\0\0\0\0", 8);
}

static void
make_idb_comment(craft_t *c)
{
    idb_with(c, PCAPX_OPT_COMMENT, "pcap-api STATUS api: x", 22);
}

static void
make_idb_custom_option(craft_t *c)
{
    idb_with(c, 2988, "1234", 4);
}

static void
make_idb_option_twice(craft_t *c)
{
    idb_with(c, PCAPX_IF_TSRESOL, "\x09", 1);
}

static void
make_idb_broken_options(craft_t *c)
{
    craft_shb(c);
    craft_idb_open(c, 1, 100);
    craft_u16(c, PCAPX_IF_NAME);
    craft_u16(c, 65535);
    craft_end(c);
}

static void
make_idb_usec(craft_t *c)
{
    craft_shb(c);
    craft_idb_open(c, 1, 100);
    craft_opt(c, PCAPX_IF_TSRESOL, "\x06", 1);
    craft_end(c);
}

static void
make_idb_no_tsresol(craft_t *c)
{
    craft_shb(c);
    craft_idb_open(c, 1, 100);
    craft_end(c);
}

static void
make_idb_snaplen_0(craft_t *c)
{
    craft_shb(c);
    craft_idb(c, 0);
}

static void
make_idb_snaplen_over(craft_t *c)
{
    craft_shb(c);
    craft_idb(c, PCAPX_MAX_SNAPLEN + 1);
}

static void
make_idb_too_many(craft_t *c)
{
    head(c);
    craft_idb(c, 100);
    craft_idb(c, 100);
}

static void
make_idb_behind_epb(craft_t *c)
{
    head(c);
    craft_epb(c, 0, 1, 4, 4);
    craft_idb(c, 100);
}

static void
make_idb_behind_isb(craft_t *c)
{
    head(c);
    craft_isb(c, 0, 1);
    craft_idb(c, 100);
}


/* Packets. */

static void
make_epb_short(craft_t *c)
{
    head(c);
    craft_begin(c, PCAPX_BT_EPB);
    craft_zero(c, 16);
    craft_end(c);
}

static void
make_epb_12(craft_t *c)
{
    head(c);
    craft_begin(c, PCAPX_BT_EPB);
    craft_end(c);
}

static void
make_epb_iface(craft_t *c)
{
    head(c);
    craft_epb(c, 1, 1, 4, 4);
}

static void
make_epb_iface_max(craft_t *c)
{
    head(c);
    craft_epb(c, UINT32_MAX, 1, 4, 4);
}

static void
make_epb_before_idb(craft_t *c)
{
    craft_shb(c);
    craft_epb(c, 0, 1, 4, 4);
}

static void
make_epb_caplen_over_block(craft_t *c)
{
    head(c);
    craft_epb(c, 0, 1, 4, 400);
    craft_set32(c, c->block + 20, 5);
}

static void
make_epb_caplen_max(craft_t *c)
{
    head(c);
    craft_epb(c, 0, 1, 4, 400);
    craft_set32(c, c->block + 20, UINT32_MAX);
}

static void
make_epb_caplen_wraps(craft_t *c)
{
    head(c);
    craft_epb(c, 0, 1, 4, UINT32_MAX);
    craft_set32(c, c->block + 20, UINT32_MAX - 2);
}

static void
make_epb_over_snaplen(craft_t *c)
{
    head(c);
    craft_epb(c, 0, 1, 101, 400);
}

static void
make_epb_over_origlen(craft_t *c)
{
    head(c);
    craft_epb(c, 0, 1, 41, 40);
}

static void
make_epb_comment(craft_t *c)
{
    head(c);
    craft_epb_open(c, 0, 1, 4, 4);
    craft_opt(c, PCAPX_OPT_COMMENT, "pcap-api STATUS api: x", 22);
    craft_opt_end(c);
    craft_end(c);
}

static void
make_epb_opt_end(craft_t *c)
{
    head(c);
    craft_epb_open(c, 0, 1, 4, 4);
    craft_opt_end(c);
    craft_end(c);
}

static void
make_opb(craft_t *c)
{
    head(c);
    craft_begin(c, PCAPX_BT_OPB);
    craft_zero(c, 24);
    craft_end(c);
}

static void
make_opb_short(craft_t *c)
{
    head(c);
    craft_begin(c, PCAPX_BT_OPB);
    craft_end(c);
}

static void
make_opb_iface(craft_t *c)
{
    head(c);
    craft_begin(c, PCAPX_BT_OPB);
    craft_u16(c, 1);
    craft_zero(c, 22);
    craft_end(c);
}

static void
make_opb_caplen(craft_t *c)
{
    head(c);
    craft_begin(c, PCAPX_BT_OPB);
    craft_zero(c, 12);
    craft_u32(c, 1);
    craft_u32(c, 1);
    craft_end(c);
}

static void
make_spb(craft_t *c)
{
    head(c);
    craft_begin(c, PCAPX_BT_SPB);
    craft_u32(c, 0);
    craft_end(c);
}

static void
make_spb_short(craft_t *c)
{
    head(c);
    craft_begin(c, PCAPX_BT_SPB);
    craft_end(c);
}

static void
make_spb_before_idb(craft_t *c)
{
    craft_shb(c);
    craft_begin(c, PCAPX_BT_SPB);
    craft_u32(c, 0);
    craft_end(c);
}


/* ISB. */

static void
isb_with(craft_t *c, unsigned code, const char *value, unsigned len)
{
    head(c);
    craft_isb_open(c, 0, 1);
    craft_opt(c, code, value, len);
    craft_opt_end(c);
    craft_end(c);
}

static void
make_isb_short(craft_t *c)
{
    head(c);
    craft_begin(c, PCAPX_BT_ISB);
    craft_zero(c, 8);
    craft_end(c);
}

static void
make_isb_iface(craft_t *c)
{
    head(c);
    craft_isb(c, 1, 1);
}

static void
make_isb_before_idb(craft_t *c)
{
    craft_shb(c);
    craft_isb(c, 0, 1);
}

static void
make_isb_comment(craft_t *c)
{
    isb_with(c, PCAPX_OPT_COMMENT, "pcap-api STATUS api: x", 22);
}

static void
make_isb_comment_8(craft_t *c)
{
    isb_with(c, PCAPX_OPT_COMMENT, "pcap-api", 8);
}

#include "t/pcapx_gone.h"

static void
make_isb_unknown_option(craft_t *c)
{
    isb_with(c, 9, "12345678", 8);
}

static void
make_isb_counter_4(craft_t *c)
{
    isb_with(c, PCAPX_ISB_OSDROP, "1234", 4);
}

static void
make_isb_counter_too_long(craft_t *c)
{
    head(c);
    craft_isb_open(c, 0, 1);
    craft_u16(c, PCAPX_ISB_OSDROP);
    craft_u16(c, 8);
    craft_u32(c, 0);
    craft_end(c);
}

static void
make_isb_counter_twice(craft_t *c)
{
    head(c);
    craft_isb_open(c, 0, 1);
    craft_opt_u64(c, PCAPX_ISB_OSDROP, 1);
    craft_opt_u64(c, PCAPX_ISB_OSDROP, 1);
    craft_opt_end(c);
    craft_end(c);
}

static void
make_isb_behind_end(craft_t *c)
{
    head(c);
    craft_isb_open(c, 0, 1);
    craft_opt_end(c);
    craft_opt_u64(c, PCAPX_ISB_OSDROP, 1);
    craft_end(c);
}

static void
make_isb_end_with_value(craft_t *c)
{
    head(c);
    craft_isb_open(c, 0, 1);
    craft_u16(c, 0);
    craft_u16(c, 4);
    craft_end(c);
}


/* Other blocks. */

static void
make_nrb(craft_t *c)
{
    head(c);
    craft_begin(c, PCAPX_BT_NRB);
    craft_u32(c, 0);
    craft_end(c);
}

static void
make_unknown(craft_t *c)
{
    head(c);
    craft_begin(c, 0x00000bad);
    craft_zero(c, 200);
    craft_end(c);
}

static void
make_unknown_lengths_differ(craft_t *c)
{
    make_unknown(c);
    craft_set32(c, c->len - 4, 40);
}

static void
make_foreign_block(craft_t *c)
{
    head(c);
    c->swap = 1;
    craft_epb(c, 0, 1, 4, 4);
}


/* Classic pcap. */

static void
make_pcap(craft_t *c)
{
    craft_pcap(c, PCAPX_PCAP_MAGIC_NSEC, 100, 1);
}

static void
make_pcap_foreign(craft_t *c)
{
    c->swap = 1;
    craft_pcap(c, PCAPX_PCAP_MAGIC_USEC, 100, 1);
}

static void
make_pcap_version(craft_t *c)
{
    make_pcap(c);
    c->buf[6] = 3;
}

static void
make_pcap_kuznetzov(craft_t *c)
{
    craft_pcap(c, 0xa1b2cd34, 100, 1);
}

static void
make_pcap_caplen(craft_t *c)
{
    make_pcap(c);
    craft_record(c, 1, 1, 0, 4);
    craft_set32(c, 32, UINT32_MAX);
}


static const case_t  cases[] = {

    { "zeroes", ANY, PCAPX_EFORMAT, "neither pcapng nor pcap", make_zeroes },
    { "zeroes", AGENT, PCAPX_EFORMAT, "neither", make_zeroes },
    { "a web page", AGENT, PCAPX_EFORMAT, "neither", make_html },
    { "a block of 0", ANY, PCAPX_EFORMAT, "length 0 ", make_length_0 },
    { "a block of 0", AGENT, PCAPX_EFORMAT, "length 0 ", make_length_0 },
    { "a block of 8", ANY, PCAPX_EFORMAT, "less than 12", make_length_8 },
    { "a block of 8", AGENT, PCAPX_EFORMAT, "less than 12", make_length_8 },
    { "a block of 37", ANY, PCAPX_EFORMAT, "multiple of 4",
      make_length_odd },
    { "a block of 37", AGENT, PCAPX_EFORMAT, "multiple of 4",
      make_length_odd },
    { "a block of 4 GiB", ANY, PCAPX_EFORMAT, "over the limit",
      make_length_huge },
    { "a block of 4 GiB", AGENT, PCAPX_EFORMAT, "over the limit",
      make_length_huge },
    { "a block of 4 bytes too much", AGENT, PCAPX_EFORMAT,
      "over the limit", make_length_over_limit },
    { "two lengths", ANY, PCAPX_EFORMAT, "two lengths differ (36, 40)",
      make_lengths_differ },
    { "two lengths", AGENT, PCAPX_EFORMAT, "two lengths differ (36, 40)",
      make_lengths_differ },

    { "no SHB", ANY, PCAPX_EFORMAT, "neither", make_no_shb },
    { "no SHB", AGENT, PCAPX_EFORMAT, "neither", make_no_shb },
    { "SHB: magic", ANY, PCAPX_EFORMAT, "byte order magic", make_shb_magic },
    { "SHB: 24 bytes", ANY, PCAPX_EFORMAT, "SHB: length 24",
      make_shb_short },
    { "SHB: 30 bytes", ANY, PCAPX_EFORMAT, "SHB: length 30", make_shb_odd },
    { "SHB: huge", ANY, PCAPX_EFORMAT, "SHB: length 268435456",
      make_shb_huge },
    { "SHB: two lengths", ANY, PCAPX_EFORMAT, "differ (28, 32)",
      make_shb_lengths_differ },
    { "SHB: version 2.0", ANY, PCAPX_EFORMAT, "version 2.0",
      make_shb_version },
    { "SHB: version 1.1", ANY, PCAPX_EFORMAT, "version 1.1",
      make_shb_minor_1 },
    { "SHB: version 1.2", AGENT, PCAPX_EPROFILE, "version 1.2",
      make_shb_minor },
    { "SHB: section of -8", ANY, PCAPX_EFORMAT, "section length",
      make_shb_section_negative },
    { "SHB: section of 42", AGENT, PCAPX_EFORMAT, "section length",
      make_shb_section_odd },
    { "SHB: foreign order", AGENT, PCAPX_EPROFILE, "byte order",
      make_shb_swapped },
    { "SHB: a second one", AGENT, PCAPX_EPROFILE, "second SHB",
      make_shb_twice },
    { "SHB: a forged message", AGENT, PCAPX_EPROFILE, "SHB: option 1 ",
      make_shb_comment },
    { "SHB: an option twice", AGENT, PCAPX_EPROFILE, "twice",
      make_shb_option_twice },
    { "SHB: an option too long", AGENT, PCAPX_EFORMAT,
      "SHB: broken options", make_shb_option_too_long },
    { "SHB: bytes behind the options", AGENT, PCAPX_EPROFILE,
      "SHB: 12 bytes behind", make_shb_behind_end },

    { "IDB: short", ANY, PCAPX_EFORMAT, "IDB: length 16", make_idb_short },
    { "IDB: short", AGENT, PCAPX_EFORMAT, "IDB: length 16",
      make_idb_short },
    { "IDB: if_tsresol of 2 bytes", ANY, PCAPX_EFORMAT,
      "option 9 has 2 bytes instead of 1", make_idb_tsresol_2 },
    { "IDB: if_tsoffset of 4 bytes", ANY, PCAPX_EFORMAT,
      "option 14 has 4 bytes instead of 8", make_idb_tsoffset_4 },
    { "IDB: if_tsoffset", AGENT, PCAPX_EPROFILE, "option 14",
      make_idb_tsoffset },
    { "IDB: a forged message", AGENT, PCAPX_EPROFILE, "IDB: option 1 ",
      make_idb_comment },
    { "IDB: a custom option", AGENT, PCAPX_EPROFILE, "option 2988",
      make_idb_custom_option },
    { "IDB: if_tsresol twice", AGENT, PCAPX_EPROFILE, "option 9 ",
      make_idb_option_twice },
    { "IDB: broken options", ANY, PCAPX_EFORMAT, "IDB: broken options",
      make_idb_broken_options },
    { "IDB: microseconds", AGENT, PCAPX_EPROFILE, "if_tsresol is 6",
      make_idb_usec },
    { "IDB: no if_tsresol", AGENT, PCAPX_EPROFILE, "if_tsresol is 6",
      make_idb_no_tsresol },
    { "IDB: snaplen 0", AGENT, PCAPX_EPROFILE, "snapshot length 0",
      make_idb_snaplen_0 },
    { "IDB: snaplen 262145", AGENT, PCAPX_EPROFILE,
      "snapshot length 262145", make_idb_snaplen_over },
    { "IDB: one too many", ANY, PCAPX_ELIMIT, "more than 2 interfaces",
      make_idb_too_many },
    { "IDB: one too many", AGENT, PCAPX_ELIMIT, "more than 2 interfaces",
      make_idb_too_many },
    { "IDB: behind an EPB", AGENT, PCAPX_EPROFILE, "behind the first",
      make_idb_behind_epb },
    { "IDB: behind an ISB", AGENT, PCAPX_EPROFILE, "behind the first",
      make_idb_behind_isb },

    { "EPB: 28 bytes", ANY, PCAPX_EFORMAT, "EPB: length 28",
      make_epb_short },
    { "EPB: 28 bytes", AGENT, PCAPX_EFORMAT, "EPB: length 28",
      make_epb_short },
    { "EPB: 12 bytes", ANY, PCAPX_EFORMAT, "EPB: length 12", make_epb_12 },
    { "EPB: 12 bytes", AGENT, PCAPX_EFORMAT, "EPB: length 12",
      make_epb_12 },
    { "EPB: interface 1 of 1", ANY, PCAPX_EFORMAT, "EPB: interface 1,",
      make_epb_iface },
    { "EPB: interface 1 of 1", AGENT, PCAPX_EFORMAT, "EPB: interface 1,",
      make_epb_iface },
    { "EPB: interface 2^32 - 1", AGENT, PCAPX_EFORMAT,
      "interface 4294967295", make_epb_iface_max },
    { "EPB: before any IDB", ANY, PCAPX_EFORMAT, "only 0",
      make_epb_before_idb },
    { "EPB: before any IDB", AGENT, PCAPX_EFORMAT, "only 0",
      make_epb_before_idb },
    { "EPB: longer than its block", ANY, PCAPX_EFORMAT,
      "captured length 5 in a block of 36", make_epb_caplen_over_block },
    { "EPB: longer than its block", AGENT, PCAPX_EFORMAT,
      "captured length 5 in a block of 36", make_epb_caplen_over_block },
    { "EPB: captured 2^32 - 1", ANY, PCAPX_EFORMAT, "4294967295 in a block",
      make_epb_caplen_max },
    { "EPB: captured 2^32 - 1", AGENT, PCAPX_EFORMAT,
      "4294967295 in a block", make_epb_caplen_max },
    { "EPB: captured length that wraps", ANY, PCAPX_EFORMAT, "in a block",
      make_epb_caplen_wraps },
    { "EPB: captured length that wraps", AGENT, PCAPX_EFORMAT, "in a block",
      make_epb_caplen_wraps },
    { "EPB: over snaplen", AGENT, PCAPX_EPROFILE,
      "101 is above the snapshot length 100", make_epb_over_snaplen },
    { "EPB: over the original length", AGENT, PCAPX_EPROFILE,
      "41 is above the original length 40", make_epb_over_origlen },
    { "EPB: a forged message", AGENT, PCAPX_EPROFILE,
      "32 bytes behind the packet", make_epb_comment },
    { "EPB: an empty option list", AGENT, PCAPX_EPROFILE,
      "4 bytes behind the packet", make_epb_opt_end },

    { "OPB", AGENT, PCAPX_EPROFILE, "only IDB, EPB and ISB", make_opb },
    { "OPB: 12 bytes", ANY, PCAPX_EFORMAT, "packet block: length 12",
      make_opb_short },
    { "OPB: interface 1 of 1", ANY, PCAPX_EFORMAT, "interface 1,",
      make_opb_iface },
    { "OPB: longer than its block", ANY, PCAPX_EFORMAT, "in a block of 32",
      make_opb_caplen },
    { "SPB", AGENT, PCAPX_EPROFILE, "only IDB, EPB and ISB", make_spb },
    { "SPB: 12 bytes", ANY, PCAPX_EFORMAT, "SPB: length 12",
      make_spb_short },
    { "SPB: before any IDB", ANY, PCAPX_EFORMAT, "only 0",
      make_spb_before_idb },

    { "ISB: 20 bytes", ANY, PCAPX_EFORMAT, "ISB: length 20",
      make_isb_short },
    { "ISB: 20 bytes", AGENT, PCAPX_EFORMAT, "ISB: length 20",
      make_isb_short },
    { "ISB: interface 1 of 1", ANY, PCAPX_EFORMAT, "ISB: interface 1,",
      make_isb_iface },
    { "ISB: interface 1 of 1", AGENT, PCAPX_EFORMAT, "ISB: interface 1,",
      make_isb_iface },
    { "ISB: before any IDB", AGENT, PCAPX_EFORMAT, "only 0",
      make_isb_before_idb },
    { "ISB: a forged message", AGENT, PCAPX_EPROFILE, "ISB: option 1 of 22",
      make_isb_comment },
    { "ISB: its one comment, cut", AGENT, PCAPX_EPROFILE,
      "ISB: option 1 of 13", make_isb_gone_cut },
    { "ISB: its one comment, changed", AGENT, PCAPX_EPROFILE,
      "ISB: option 1 of 14", make_isb_gone_other },
    { "ISB: its one comment, longer than the block", AGENT, PCAPX_EPROFILE,
      "ISB: option 1 of 14", make_isb_gone_over_end },
    { "ISB: its one comment twice", AGENT, PCAPX_EPROFILE,
      "ISB: option 1 of 14", make_isb_gone_twice },
    { "ISB: behind the end of a container", AGENT, PCAPX_EPROFILE,
      "ISB: behind the end", make_isb_behind_gone },
    { "EPB: behind the end of a container", AGENT, PCAPX_EPROFILE,
      "0x00000006: behind the end", make_epb_behind_gone },
    { "ISB: a comment of 8 bytes", AGENT, PCAPX_EPROFILE,
      "ISB: option 1 of 8", make_isb_comment_8 },
    { "ISB: an unknown option", AGENT, PCAPX_EPROFILE, "option 9 of 8",
      make_isb_unknown_option },
    { "ISB: a counter of 4 bytes", AGENT, PCAPX_EPROFILE, "option 7 of 4",
      make_isb_counter_4 },
    { "ISB: a counter behind the end", AGENT, PCAPX_EPROFILE,
      "option 7 of 8", make_isb_counter_too_long },
    { "ISB: a counter twice", AGENT, PCAPX_EPROFILE, "option 7 of 8",
      make_isb_counter_twice },
    { "ISB: bytes behind the options", AGENT, PCAPX_EPROFILE,
      "option 0 of 0", make_isb_behind_end },
    { "ISB: an end with a value", AGENT, PCAPX_EPROFILE, "option 0 of 4",
      make_isb_end_with_value },

    { "NRB", AGENT, PCAPX_EPROFILE, "only IDB, EPB and ISB", make_nrb },
    { "an unknown block", AGENT, PCAPX_EPROFILE, "0x00000bad",
      make_unknown },
    { "an unknown block, two lengths", AGENT, PCAPX_EPROFILE, "0x00000bad",
      make_unknown_lengths_differ },
    { "an unknown block, two lengths", ANY, PCAPX_EFORMAT, "lengths differ",
      make_unknown_lengths_differ },
    { "a block in the other order", AGENT, PCAPX_EFORMAT, "over the limit",
      make_foreign_block },
    { "a block in the other order", ANY, PCAPX_EFORMAT, "over the limit",
      make_foreign_block },

    { "pcap", AGENT, PCAPX_EPROFILE, "pcap instead of pcapng", make_pcap },
    { "pcap in the other order", AGENT, PCAPX_EPROFILE, "pcap instead",
      make_pcap_foreign },
    { "pcap: version 2.3", ANY, PCAPX_EFORMAT, "version 2.3",
      make_pcap_version },
    { "pcap: the modified format", ANY, PCAPX_EFORMAT, "0xa1b2cd34",
      make_pcap_kuznetzov },
    { "pcap: captured 2^32 - 1", ANY, PCAPX_EFORMAT, "4294967295 is over",
      make_pcap_caplen }
};


#endif /* PCAPX_MALFORMED_H */
