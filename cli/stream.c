/*
 * cli/stream.c: looks at each block once. The peer is not trusted: one
 * section only, a bounded number of interfaces, packets no longer than the
 * largest snaplen, interface numbers checked here again before they index.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "stream.h"


/* The longest block that is taken: the scanner's own default. */
#define STREAM_MAX_BLOCK  (PCAPX_MAX_EPB_LEN + 65536)


int
stream_init(stream_t *s, const stream_handlers_t *handlers, void *ctx)
{
    memset(s, 0, sizeof(stream_t));

    stats_init(&s->stats);
    s->handlers = handlers;
    s->ctx = ctx;
    s->max_carry = STREAM_MAX_BLOCK;

    s->carry = malloc(s->max_carry);
    s->scan_ifaces = calloc(CLI_MAX_IFACES, sizeof(pcapx_iface_t));

    if (s->carry == NULL || s->scan_ifaces == NULL) {
        return -1;
    }

    pcapx_scan_init(&s->scan, s->scan_ifaces, CLI_MAX_IFACES,
                    PCAPX_PROFILE_ANY, STREAM_MAX_BLOCK);

    return 0;
}


void
stream_free(stream_t *s)
{
    stats_free(&s->stats);
    free(s->carry);
    free(s->scan_ifaces);
    memset(s, 0, sizeof(stream_t));
}


static int
stream_fail(stream_t *s, const char *why)
{
    snprintf(s->err, sizeof(s->err), "%s", why);
    s->broken = 1;

    return -1;
}


/*
 * Walks the comments of a block. Of a packet only the API's own verdict is
 * taken: it may be all that is left of a stream that was cut at its end.
 */
static int
stream_comments(stream_t *s, const pcapx_block_t *b)
{
    int               rc;
    message_t         m;
    pcapx_opt_t       opt;
    pcapx_opt_iter_t  it;

    pcapx_opt_begin(&it, &s->scan, b);

    while ((rc = pcapx_opt_next(&it, &opt)) == PCAPX_OK) {
        if (opt.code != PCAPX_OPT_COMMENT
            || message_parse(&m, (const char *) opt.value, opt.len) != 0)
        {
            continue;
        }

        if (b->type == PCAPX_BT_EPB) {
            if (m.type == MESSAGE_STATUS && m.origin_len == 3
                && memcmp(m.origin, "api", 3) == 0)
            {
                stats_message(&s->stats, b->iface, &m);
            }

            continue;
        }

        stats_message(&s->stats, b->iface, &m);

        if (m.type != MESSAGE_STATUS && s->handlers->message != NULL) {
            s->handlers->message(s->ctx, &m);
        }
    }

    return rc == PCAPX_END ? 0 : stream_fail(s, "malformed block options");
}


static int
stream_idb(stream_t *s, const pcapx_block_t *b)
{
    int               rc;
    size_t            len;
    const char       *name;
    pcapx_opt_t       opt;
    pcapx_opt_iter_t  it;

    name = "";
    len = 0;

    pcapx_opt_begin(&it, &s->scan, b);

    while ((rc = pcapx_opt_next(&it, &opt)) == PCAPX_OK) {
        if (opt.code == PCAPX_IF_NAME && len == 0) {
            name = (const char *) opt.value;
            len = opt.len;
        }
    }

    if (rc != PCAPX_END) {
        return stream_fail(s, "malformed interface description");
    }

    if (b->iface != s->stats.nifaces
        || stats_add_iface(&s->stats, name, len,
                           s->scan_ifaces[b->iface].linktype) != 0)
    {
        return stream_fail(s, "too many interfaces");
    }

    if (s->begun && s->handlers->late_iface != NULL) {
        s->handlers->late_iface(s->ctx);
    }

    return 0;
}


static int
stream_packet(stream_t *s, const pcapx_block_t *b)
{
    if (b->iface >= s->stats.nifaces) {
        return stream_fail(s, "packet of an unknown interface");
    }

    if (b->caplen > PCAPX_MAX_SNAPLEN) {
        return stream_fail(s, "packet longer than any snaplen");
    }

    stats_packet(&s->stats, b->iface, b->caplen);

    if (b->ts_ns > s->stats.last_ns) {
        s->stats.last_ns = b->ts_ns;
    }

    if (s->handlers->packet != NULL) {
        s->handlers->packet(s->ctx, b);
    }

    return b->opts != NULL ? stream_comments(s, b) : 0;
}


static int
stream_isb(stream_t *s, const pcapx_block_t *b)
{
    pcapx_stats_t  now;

    if (b->iface >= s->stats.nifaces) {
        return stream_fail(s, "statistics of an unknown interface");
    }

    if (pcapx_scan_stats(&s->scan, b, &now) != PCAPX_OK) {
        return stream_fail(s, "malformed interface statistics");
    }

    if (b->ts_ns > s->stats.last_ns) {
        s->stats.last_ns = b->ts_ns;
    }

    stats_counters(&s->stats, b->iface, &now);

    return stream_comments(s, b);
}


static void
stream_begin(stream_t *s)
{
    if (!s->begun) {
        s->begun = 1;

        if (s->handlers->targets != NULL) {
            s->handlers->targets(s->ctx);
        }
    }
}


static int
stream_block(stream_t *s, const pcapx_block_t *b, unsigned first)
{
    switch (b->type) {

    case PCAPX_BT_SHB:
        if (!first) {
            return stream_fail(s, "a second section");
        }

        return stream_comments(s, b);

    case PCAPX_BT_IDB:
        return stream_idb(s, b);

    case PCAPX_BT_EPB:
    case PCAPX_BT_OPB:
    case PCAPX_BT_SPB:
        stream_begin(s);
        return stream_packet(s, b);

    case PCAPX_BT_ISB:
        stream_begin(s);
        return stream_isb(s, b);

    case PCAPX_BT_PCAP_HEADER:
    case PCAPX_BT_PCAP_RECORD:
        return stream_fail(s, "pcap, where pcapng was asked for");

    default:
        stream_begin(s);
        return 0;
    }
}


static void
stream_hand_on(stream_t *s, const uint8_t *p, size_t len)
{
    if (len > 0 && s->handlers->blocks != NULL) {
        s->handlers->blocks(s->ctx, p, len);
    }
}


/*
 * Looks at the block at p. PCAPX_OK with its length in *used, PCAPX_AGAIN,
 * or an error.
 */
static int
stream_next(stream_t *s, const uint8_t *p, size_t len, size_t *used)
{
    int            rc;
    unsigned       first;
    pcapx_block_t  b;

    first = !s->scan.started;
    rc = pcapx_scan_next(&s->scan, p, len, &b);

    if (rc == PCAPX_AGAIN) {
        return rc;
    }

    if (rc != PCAPX_OK) {
        stream_fail(s, s->scan.err);
        return rc;
    }

    if (stream_block(s, &b, first) != 0) {
        return PCAPX_EFORMAT;
    }

    *used = b.len;

    return PCAPX_OK;
}


/*
 * Fills the carried block up from *p. Returns 0 when it is done with (or
 * there was none), 1 when all input is used up, -1 on an error.
 */
static int
stream_fill(stream_t *s, const uint8_t **p, size_t *len)
{
    int     rc;
    size_t  n, used;

    while (s->carry_len > 0) {
        n = s->scan.need > s->carry_len ? s->scan.need - s->carry_len : 1;

        if (n > s->max_carry - s->carry_len) {
            return stream_fail(s, "block too long");
        }

        if (n > *len) {
            n = *len;
        }

        if (n == 0) {
            return 1;
        }

        memcpy(s->carry + s->carry_len, *p, n);
        s->carry_len += n;
        *p += n;
        *len -= n;

        /* Less than it asked for: looking again would be of no use. */
        if (s->carry_len < s->scan.need) {
            return 1;
        }

        rc = stream_next(s, s->carry, s->carry_len, &used);

        if (rc == PCAPX_AGAIN) {
            continue;
        }

        if (rc != PCAPX_OK) {
            return -1;
        }

        stream_hand_on(s, s->carry, used);
        s->carry_len -= used;
        memmove(s->carry, s->carry + used, s->carry_len);
    }

    return 0;
}


int
stream_feed(stream_t *s, const uint8_t *p, size_t len)
{
    int             rc;
    size_t          used;
    const uint8_t  *run;

    if (s->broken) {
        return -1;
    }

    rc = stream_fill(s, &p, &len);
    if (rc != 0) {
        return rc == 1 ? 0 : -1;
    }

    run = p;
    rc = PCAPX_OK;

    while (len > 0) {
        rc = stream_next(s, p, len, &used);
        if (rc != PCAPX_OK) {
            break;
        }

        p += used;
        len -= used;
    }

    stream_hand_on(s, run, (size_t) (p - run));

    if (rc == PCAPX_OK) {
        return 0;
    }

    if (rc != PCAPX_AGAIN) {
        return -1;
    }

    if (len > s->max_carry) {
        return stream_fail(s, "block too long");
    }

    memcpy(s->carry, p, len);
    s->carry_len = len;

    return 0;
}


int
stream_end(stream_t *s)
{
    if (s->broken) {
        return -1;
    }

    if (s->carry_len > 0) {
        return stream_fail(s, "the stream ends inside of a block");
    }

    if (s->scan.started) {
        stream_begin(s);
    }

    return 0;
}
