/*
 * t/pcapx_blocks.h: one small function per kind of block that the writer can
 * make, and a table of them, so that each can be tried in buffers of any
 * size (pcapx_write.c) and all of them in one file (pcapx_tshark.c).
 */

#ifndef PCAPX_BLOCKS_H
#define PCAPX_BLOCKS_H

#include <string.h>

#include "pcapx/write.h"


#define NOW  1718100000123456789ull

static const uint8_t  packet[64] =
    "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x88\xb5 any ether type";


static pcapx_opt_t
opt(uint16_t code, const char *text)
{
    pcapx_opt_t  o;

    o.code = code;
    o.len = (uint16_t) strlen(text);
    o.value = (const uint8_t *) text;

    return o;
}


typedef int (*put_pt)(pcapx_out_t *o);


static int
put_shb(pcapx_out_t *o)
{
    return pcapx_put_shb(o, NULL, 0);
}


static int
put_shb_opts(pcapx_out_t *o)
{
    pcapx_opt_t  opts[3];

    opts[0] = opt(PCAPX_SHB_HARDWARE, "x86_64");
    opts[1] = opt(PCAPX_SHB_USERAPPL, "pcapx test");
    opts[2] = opt(PCAPX_SHB_OS, "");

    return pcapx_put_shb(o, opts, 3);
}


static int
put_idb(pcapx_out_t *o)
{
    return pcapx_put_idb(o, PCAPX_LINKTYPE_ETHERNET, 65535, NULL, 0);
}


static int
put_idb_opts(pcapx_out_t *o)
{
    pcapx_opt_t  opts[3];

    opts[0] = opt(PCAPX_IF_NAME, "router/0/eth0");
    opts[1] = opt(PCAPX_IF_DESCRIPTION, "192.0.2.1");
    opts[2] = opt(PCAPX_IF_OS, "linux");

    return pcapx_put_idb(o, PCAPX_LINKTYPE_LINUX_SLL2, 262144, opts, 3);
}


static int
put_isb(pcapx_out_t *o)
{
    return pcapx_put_isb(o, 0, NOW, NULL, NULL, 0);
}


static int
put_isb_stats(pcapx_out_t *o)
{
    pcapx_stats_t  st;

    memset(&st, 0xee, sizeof(st));
    st.present = PCAPX_HAS_FILTERACCEPT | PCAPX_HAS_OSDROP
                 | PCAPX_HAS_USRDELIV | PCAPX_HAS_ENDTIME;
    st.endtime_ns = NOW + 1;
    st.filteraccept = 0x1122334455667788;
    st.osdrop = 2;
    st.usrdeliv = UINT64_MAX;

    return pcapx_put_isb(o, 1, NOW, &st, NULL, 0);
}


static int
put_isb_all(pcapx_out_t *o)
{
    pcapx_opt_t    c[2];
    pcapx_stats_t  st;

    st.present = ~0u;
    st.starttime_ns = NOW - 1;
    st.endtime_ns = NOW + 1;
    st.ifrecv = 3;
    st.ifdrop = 4;
    st.filteraccept = 5;
    st.osdrop = 6;
    st.usrdeliv = 7;

    c[0] = opt(PCAPX_OPT_COMMENT, "pcap-api CONGESTED router/0: 7 late");
    c[1] = opt(PCAPX_OPT_COMMENT, "pcap-api STATUS api: status=partial");

    return pcapx_put_isb(o, 0, NOW, &st, c, 2);
}


static int
put_isb_comment(pcapx_out_t *o)
{
    pcapx_opt_t  c = opt(PCAPX_OPT_COMMENT, "only a comment");

    return pcapx_put_isb(o, 0, NOW, NULL, &c, 1);
}


static int
put_epb(pcapx_out_t *o)
{
    return pcapx_put_epb(o, 0, NOW, packet, 31, 1500, NULL, 0);
}


static int
put_epb_empty(pcapx_out_t *o)
{
    return pcapx_put_epb(o, 1, NOW + 1, NULL, 0, 0, NULL, 0);
}


static int
put_epb_comment(pcapx_out_t *o)
{
    pcapx_opt_t  c = opt(PCAPX_OPT_COMMENT, "pcap-api STATUS api: x");

    return pcapx_put_epb(o, 0, NOW + 102, packet, 30, 30, &c, 1);
}


/* Put together from head, packet and tail, as the module does it. */
static int
put_epb_parts(pcapx_out_t *o)
{
    int           rc;
    size_t        area;
    pcapx_opt_t   c = opt(PCAPX_OPT_COMMENT, "in parts");
    pcapx_out_t   t;

    area = pcapx_opts_len(&c, 1);

    if (pcapx_epb_len(29, area) > (size_t) (o->end - o->pos)) {
        return PCAPX_ENOSPC;
    }

    pcapx_epb_head(o->pos, 0, NOW + 103, 29, 29, area);
    memcpy(o->pos + PCAPX_EPB_HEAD_LEN, packet, 29);

    t.pos = o->pos + PCAPX_EPB_HEAD_LEN + 29;
    t.end = o->end;
    rc = pcapx_put_epb_tail(&t, 29, &c, 1);
    o->pos = t.pos;

    return rc;
}


static int
put_nrb(pcapx_out_t *o)
{
    pcapx_name_t  names[3];

    memset(names, 0, sizeof(names));

    memcpy(names[0].addr, "\xc0\0\x02\x01", 4);
    names[0].addr_len = 4;
    names[0].name = "router-0";
    names[0].name_len = 8;
    memcpy(names[1].addr, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    names[1].addr_len = 16;
    names[1].name = "web-0";
    names[1].name_len = 5;
    memcpy(names[2].addr, "\xc0\0\x02\x02", 4);
    names[2].addr_len = 4;
    names[2].name = "x";
    names[2].name_len = 1;

    return pcapx_put_nrb(o, names, 3);
}


static int
put_nrb_empty(pcapx_out_t *o)
{
    return pcapx_put_nrb(o, NULL, 0);
}


static const struct {
    const char  *name;
    put_pt       put;
    uint32_t     type;
    int          agent;             /* belongs to the agent's profile */
} blocks[] = {
    { "SHB", put_shb, PCAPX_BT_SHB, 1 },
    { "SHB with options", put_shb_opts, PCAPX_BT_SHB, 1 },
    { "IDB", put_idb, PCAPX_BT_IDB, 1 },
    { "IDB with options", put_idb_opts, PCAPX_BT_IDB, 1 },
    { "ISB", put_isb, PCAPX_BT_ISB, 1 },
    { "ISB with counters", put_isb_stats, PCAPX_BT_ISB, 1 },
    { "ISB with everything", put_isb_all, PCAPX_BT_ISB, 0 },
    { "ISB with a comment", put_isb_comment, PCAPX_BT_ISB, 0 },
    { "EPB", put_epb, PCAPX_BT_EPB, 1 },
    { "EPB without a byte", put_epb_empty, PCAPX_BT_EPB, 1 },
    { "EPB with a comment", put_epb_comment, PCAPX_BT_EPB, 0 },
    { "EPB in parts", put_epb_parts, PCAPX_BT_EPB, 0 },
    { "NRB", put_nrb, PCAPX_BT_NRB, 0 },
    { "NRB without names", put_nrb_empty, PCAPX_BT_NRB, 0 }
};

#define NBLOCKS  (sizeof(blocks) / sizeof(blocks[0]))


#endif /* PCAPX_BLOCKS_H */
