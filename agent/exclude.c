/*
 * agent/exclude.c: the text of the exclusion (filter.h says what it covers),
 * once in the words of pcap-filter(7), and for packets with VLAN tags inside
 * by offsets: `tcp`, `host` and `port` only look where the link's own
 * protocol field points, and `vlan` would move the offsets of all that
 * follows. Every text is built from numbers, none from a peer's bytes.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "filter.h"


typedef struct {
    char       *pos;
    char       *end;
    unsigned    nterms;
    unsigned    full:1;
} filter_out_t;

/* One condition: a host on one side, a port on the same or the other side. */

typedef struct {
    const endpoint_t  *hosts;      /* all with the same port */
    unsigned           nhosts;
    unsigned           host_dst;   /* 0: source, 1: destination */
    unsigned           port_dst;
} filter_cond_t;


static void filter_level(filter_out_t *o, const filter_exclude_t *ex,
    const filter_link_t *link, unsigned level);
static void filter_conditions(filter_out_t *o, const filter_exclude_t *ex,
    unsigned off, unsigned typed);
static void filter_condition(filter_out_t *o, const filter_cond_t *c,
    unsigned off, unsigned typed);
static void filter_raw_condition(filter_out_t *o, const filter_cond_t *c,
    unsigned family, unsigned off, unsigned typed);
static void filter_raw_host(filter_out_t *o, const endpoint_t *ep,
    unsigned off);
static int filter_terms(const filter_exclude_t *ex, const char *own,
    const char *user, char *dst, size_t max);
static void filter_term(filter_out_t *o);
static void filter_term_and(filter_out_t *o);
static void filter_put(filter_out_t *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


static const filter_link_t  filter_links[] = {
    { DLT_EN10MB, 12, 14, 0 },
    { DLT_LINUX_SLL, 14, 16, 1 },
    { DLT_LINUX_SLL2, 0, 20, 1 },
    { -1, 0, 0, 0 }
};


const filter_link_t *
filter_link(int dlt)
{
    const filter_link_t  *link;

    for (link = filter_links; link->dlt != -1 && link->dlt != dlt; link++) {
        /* find it, or the last row */
    }

    return link;
}


void
filter_text(const filter_exclude_t *ex, const char *user, char *dst,
    size_t max)
{
    int   len;
    char  text[4096];

    text[0] = '\0';
    len = filter_exclusion(ex, -1, 0, text, sizeof(text));

    /* For people: that something is left out, in no syntax. */

    if (len < 0 || filter_terms(ex, text, user, dst, max) != 0) {
        (void) filter_terms(ex, "...", user, dst, max);
    }
}


/* The terms that there are, joined. Returns 0, or -1 when they do not fit. */

static int
filter_terms(const filter_exclude_t *ex, const char *own, const char *user,
    char *dst, size_t max)
{
    int           several;
    filter_out_t  o;

    memset(&o, 0, sizeof(o));
    o.pos = dst;
    o.end = dst + max;
    *dst = '\0';

    several = (*own != '\0') + (ex->mandatory != NULL) + (*user != '\0') > 1;

    if (*own) {
        filter_put(&o, several ? "(not (%s))" : "not (%s)", own);
        o.nterms++;
    }

    if (ex->mandatory) {
        filter_term_and(&o);
        filter_put(&o, several ? "(not (%s))" : "not (%s)", ex->mandatory);
    }

    if (*user) {
        filter_term_and(&o);
        filter_put(&o, several ? "(%s)" : "%s", user);
    }

    return o.full ? -1 : 0;
}


static void
filter_term_and(filter_out_t *o)
{
    if (o->nterms++) {
        filter_put(o, " and ");
    }
}


int
filter_exclusion(const filter_exclude_t *ex, int dlt, unsigned tags,
    char *dst, size_t max)
{
    unsigned              level;
    filter_out_t          o;
    const filter_link_t  *link;

    if (ex->nown + ex->nexcludes + ex->npeers == 0) {
        return 0;
    }

    link = filter_link(dlt);

    memset(&o, 0, sizeof(o));
    o.pos = dst;
    o.end = dst + max;

    filter_put(&o, "(tcp and (");
    filter_conditions(&o, ex, 0, 0);
    filter_put(&o, "))");

    if (link->len && tags) {

        /*
         * The outermost tag usually lies beside the packet, which then looks
         * untagged. Inside of it are the second tag, and on the way out the
         * first one where the device does not take tags separately.
         */
        for (level = 1; level <= tags; level++) {
            filter_level(&o, ex, link, level);
        }

        if (link->cooked) {
            filter_level(&o, ex, link, 0);
        }
    }

    return o.full ? -1 : (int) (o.pos - dst);
}


/* The conditions below so many tags; level 0: see below. */

static void
filter_level(filter_out_t *o, const filter_exclude_t *ex,
    const filter_link_t *link, unsigned level)
{
    filter_put(o, " or ((link[%u:2]=0x8100 or link[%u:2]=0x88a8) and ",
               link->proto, link->proto);

    if (level == 2) {
        filter_put(o, "link[%u:2]=0x8100 and ", link->len + 2);
    }

    o->nterms = 0;
    filter_put(o, "(");

    /*
     * Level 0, cooked only: kernels before 6.10 hand out an outgoing packet
     * with the tag's protocol, but from its IP header on (af_packet.c).
     */
    filter_conditions(o, ex, link->len + 4 * level, level > 0);
    filter_put(o, "))");
}


static void
filter_conditions(filter_out_t *o, const filter_exclude_t *ex, unsigned off,
    unsigned typed)
{
    unsigned       i, dst;
    filter_cond_t  c;

    o->nterms = 0;

    for (dst = 0; dst < 2; dst++) {
        c.hosts = ex->own;
        c.nhosts = ex->nown;
        c.host_dst = dst;
        c.port_dst = dst;

        if (ex->nown) {
            filter_condition(o, &c, off, typed);
        }

        c.nhosts = 1;

        for (i = 0; i < ex->nexcludes; i++) {
            c.hosts = &ex->excludes[i];
            filter_condition(o, &c, off, typed);
        }

        c.port_dst = !dst;

        for (i = 0; i < ex->npeers; i++) {
            c.hosts = &ex->peers[i];
            filter_condition(o, &c, off, typed);
        }
    }
}


static void
filter_condition(filter_out_t *o, const filter_cond_t *c, unsigned off,
    unsigned typed)
{
    char         addr[NET_ENDPOINT_TEXT];
    unsigned     i;

    if (off) {
        filter_raw_condition(o, c, 4, off, typed);
        filter_raw_condition(o, c, 16, off, typed);
        return;
    }

    filter_term(o);
    filter_put(o, "(%s port %u and (", c->port_dst ? "dst" : "src",
               c->hosts[0].port);

    for (i = 0; i < c->nhosts; i++) {
        filter_put(o, "%s%s host %s", i ? " or " : "",
                   c->host_dst ? "dst" : "src",
                   net_addr_text(&c->hosts[i], addr));
    }

    filter_put(o, "))");
}


/*
 * The same by offsets, for the IP header that begins at off: `tcp`, `host`
 * and `port` only look where the link's own protocol field points.
 */

static void
filter_raw_condition(filter_out_t *o, const filter_cond_t *c,
    unsigned family, unsigned off, unsigned typed)
{
    unsigned  i, any;

    any = 0;

    for (i = 0; i < c->nhosts; i++) {
        if (c->hosts[i].addr_len != family) {
            continue;
        }

        if (any++) {
            filter_put(o, " or ");
            filter_raw_host(o, &c->hosts[i],
                            off + (family == 4 ? 12 : 8)
                            + (c->host_dst ? family : 0));
            continue;
        }

        filter_term(o);
        filter_put(o, "(");

        if (typed) {
            filter_put(o, "link[%u:2]=0x%x and ", off - 2,
                       family == 4 ? 0x0800 : 0x86dd);
        }

        if (family == 4) {
            filter_put(o, "link[%u]&0xf0=0x40 and link[%u]=6 "
                       "and link[%u:2]&0x1fff=0 "
                       "and link[((link[%u]&15)<<2)+%u:2]=%u and (",
                       off, off + 9, off + 6, off,
                       off + (c->port_dst ? 2 : 0), c->hosts[i].port);

        } else {
            filter_put(o, "link[%u]&0xf0=0x60 and link[%u]=6 "
                       "and link[%u:2]=%u and (", off, off + 6,
                       off + 40 + (c->port_dst ? 2 : 0), c->hosts[i].port);
        }

        filter_raw_host(o, &c->hosts[i],
                        off + (family == 4 ? 12 : 8)
                        + (c->host_dst ? family : 0));
    }

    if (any) {
        filter_put(o, "))");
    }
}


static void
filter_raw_host(filter_out_t *o, const endpoint_t *ep, unsigned off)
{
    unsigned         i;
    const uint8_t   *a;

    filter_put(o, "(");

    for (i = 0; i < ep->addr_len; i += 4) {
        a = ep->addr + i;
        filter_put(o, "%slink[%u:4]=0x%02x%02x%02x%02x", i ? " and " : "",
                   off + i, a[0], a[1], a[2], a[3]);
    }

    filter_put(o, ")");
}


static void
filter_term(filter_out_t *o)
{
    if (o->nterms++) {
        filter_put(o, " or ");
    }
}


static void
filter_put(filter_out_t *o, const char *fmt, ...)
{
    int      n;
    va_list  ap;

    va_start(ap, fmt);
    n = vsnprintf(o->pos, (size_t) (o->end - o->pos), fmt, ap);
    va_end(ap);

    if (n < 0 || n >= o->end - o->pos) {
        o->full = 1;
        return;
    }

    o->pos += n;
}
