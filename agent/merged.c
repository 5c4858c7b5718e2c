/*
 * agent/merged.c: see merged.h. The way of a turn: read what fits, put what
 * is due into a chunk, write what the connection takes. What files step back
 * in time is put right within MERGED_SLACK_NS, as far as memory holds that;
 * what is older goes out at once and below the watermark, so that the API
 * counts it as late.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "merged_int.h"
#include "net.h"
#include "pcapx/version.h"
#include "pcapx/write.h"


#define MS  UINT64_C(1000000)

#define MERGED_SLACK_NS   (1000 * MS)

/* In a merge of several agents one may wait for the others' files. */
#define MERGED_STALL_NS   (3600 * 1000 * MS)
#define MERGED_START_NS   (10000 * MS)
#define MERGED_LINGER_NS  (1000 * MS)
#define MERGED_LOOK_NS    (1000 * MS)

/* What STREAM_EXTRA_LEN holds, comments too. */
#define MERGED_ISBS       8

/* SHB; an IDB with a name and a description, and an ISB, for each. */
#define MERGED_START_LEN  (1024 + MERGED_MAX_IFS * 640)

/* Room for a chunk's length before the blocks. */
#define MERGED_HEAD_LEN   20


static int merged_run(merged_t *m);
static int merged_start(merged_t *m);
static int merged_blocks(merged_t *m, pcapx_out_t *out);
static int merged_idb(const merged_if_t *mi, pcapx_out_t *out);
static int merged_output(merged_t *m);
static int merged_chunk(merged_t *m);
static uint64_t merged_limit(const merged_t *m);
static void merged_count(merged_t *m);
static void merged_beat(merged_t *m, uint64_t limit);
static void merged_last(merged_t *m);
static int merged_isbs(merged_t *m, unsigned from, unsigned n,
    uint64_t ts_ns, pcapx_end_e end, pcapx_out_t *out);
static uint64_t merged_next_beat(const merged_t *m);
static int merged_wait(merged_t *m);
static void merged_report(const merged_t *m);


int
merged_serve(serve_t *sv, int folder, problem_t *why)
{
    int        rc;
    merged_t  *m;

    m = calloc(1, sizeof(*m));

    if (m == NULL) {
        (void) problem_set(why, 500, "out of memory");
        return 1;
    }

    m->sv = sv;
    rc = merged_look(m, folder, why);

    if (rc == 0 && order_init(&m->order, 1, PCAPX_MAX_EPB_LEN) != 0) {
        (void) problem_set(why, 500, "out of memory");
        rc = 1;
    }

    if (rc == 0) {
        rc = merged_run(m);
        merged_report(m);
    }

    merged_free(m);
    free(m);

    return rc;
}


static int
merged_run(merged_t *m)
{
    int  rc;

    stream_init(&m->stream, m->sv->tls);
    rc = merged_start(m);
    m->progress_at = net_monotonic();
    m->next_beat = merged_next_beat(m);

    while (rc == 0 && !m->over) {
        m->now = net_monotonic();

        if (!m->eof) {
            merged_read(m);
        }

        rc = merged_output(m);

        if (rc == 0 && !m->over) {
            rc = merged_wait(m);
        }
    }

    if (rc == 0) {
        tls_finish(m->sv->tls, net_monotonic() + MERGED_LINGER_NS);
    }

    return rc;
}


/* The header and the first chunk. */

static int
merged_start(merged_t *m)
{
    int           n, rc;
    char          head[MERGED_HEAD_LEN];
    uint8_t      *buf, *body;
    uint64_t      deadline;
    pcapx_out_t   out;

    static const char  header[] =
        "HTTP/1.1 200 OK\r\nServer: pcap-agent/" PCAP_VERSION "\r\n"
        "Content-Type: application/x-pcapng\r\n"
        "Transfer-Encoding: chunked\r\nCache-Control: no-store\r\n"
        "Connection: close\r\n\r\n";

    buf = malloc(MERGED_START_LEN);

    if (buf == NULL) {
        return -1;
    }

    deadline = net_monotonic() + MERGED_START_NS;
    body = buf + sizeof(head);
    out.pos = body;
    out.end = buf + MERGED_START_LEN - 2;

    rc = merged_blocks(m, &out) == PCAPX_OK ? 0 : -1;

    if (rc == 0) {
        n = snprintf(head, sizeof(head), "%zx\r\n",
                     (size_t) (out.pos - body));
        memcpy(body - n, head, (size_t) n);
        memcpy(out.pos, "\r\n", 2);

        rc = tls_write_all(m->sv->tls, header, sizeof(header) - 1, deadline);
        rc = rc == 0 ? tls_write_all(m->sv->tls, body - n,
                                     (size_t) (out.pos + 2 - body)
                                     + (size_t) n, deadline)
                     : rc;
    }

    free(buf);

    return rc;
}


static int
merged_blocks(merged_t *m, pcapx_out_t *out)
{
    int       rc;
    unsigned  i;

    m->promised = m->nfiles ? m->files[0].first_ns : net_realtime();
    m->promised = m->promised > MERGED_SLACK_NS
                  ? m->promised - MERGED_SLACK_NS : 0;

    rc = blocks_section(out);

    for (i = 0; i < m->nifs && rc == PCAPX_OK; i++) {
        rc = merged_idb(&m->ifs[i], out);
    }

    return rc == PCAPX_OK
           ? merged_isbs(m, 0, m->nifs, m->promised, PCAPX_END_UNSAID, out)
           : rc;
}


/*
 * A file's records may be longer than its header says: the snapshot length is
 * the longest there can be.
 */

static int
merged_idb(const merged_if_t *mi, pcapx_out_t *out)
{
    int           n;
    char          words[80];
    pcapx_opt_t   opts[2];

    opts[0].code = PCAPX_IF_NAME;
    opts[0].len = (uint16_t) mi->endpoint_len;
    opts[0].value = (const uint8_t *) mi->endpoint;

    n = snprintf(words, sizeof(words), "%u of its files could not be read",
                 mi->wrong);
    opts[1].code = PCAPX_IF_DESCRIPTION;
    opts[1].len = (uint16_t) n;
    opts[1].value = (const uint8_t *) words;

    return pcapx_put_idb(out, mi->linktype, PCAPX_MAX_SNAPLEN, opts,
                         mi->wrong ? 2 : 1);
}


/* Returns 0 when no more can be done for now, -1 when the peer is gone. */

static int
merged_output(merged_t *m)
{
    int  rc;

    for ( ;; ) {
        rc = stream_write(&m->stream);

        if (rc <= 0) {
            return rc;
        }

        order_release(&m->order, m->stream.spans, m->stream.nspans);
        m->stream.nspans = 0;

        if (m->closing) {
            m->over = 1;
            return 0;
        }

        if (!merged_chunk(m)) {
            return 0;
        }
    }
}


/* Makes a chunk of what is due. Returns 0 when nothing is. */

static int
merged_chunk(merged_t *m)
{
    uint64_t   limit, taken;
    stream_t  *s;

    s = &m->stream;
    s->extra_len = 0;
    limit = merged_limit(m);
    taken = 0;

    s->nspans = order_take(&m->order, limit, s->spans, STREAM_MAX_SPANS,
                           STREAM_CHUNK_BYTES, &taken, &m->last_ts);
    merged_count(m);

    if (m->eof && order_oldest(&m->order) == UINT64_MAX) {
        merged_last(m);

    } else if (m->now >= m->next_beat) {
        merged_beat(m, limit);

    } else if (s->nspans == 0) {
        return 0;
    }

    stream_chunk(s, m->order.mem);

    return 1;
}


/* How far packets may leave: what is to be read may still step back so far. */

static uint64_t
merged_limit(const merged_t *m)
{
    uint64_t  limit;

    if (m->eof) {
        return UINT64_MAX;
    }

    limit = m->merge.last_ts > MERGED_SLACK_NS
            ? m->merge.last_ts - MERGED_SLACK_NS : 0;

    /* More than memory holds within that: in order as far as it goes. */

    return !order_room(&m->order, 0) && order_oldest(&m->order) > limit
           ? UINT64_MAX : limit;
}


/* Of the packets that leave: each is a block as merged_files.c made it. */

static void
merged_count(merged_t *m)
{
    unsigned        i;
    uint32_t        iface, len;
    const uint8_t  *p, *end;

    for (i = 0; i < m->stream.nspans; i++) {
        p = m->order.mem + m->stream.spans[i].off;
        end = p + m->stream.spans[i].len;

        for ( /* void */ ; p < end; p += len) {
            memcpy(&len, p + 4, sizeof(len));
            memcpy(&iface, p + 8, sizeof(iface));
            m->ifs[iface].written++;
        }
    }
}


/* Some interfaces in turn: hundreds of them each time would be a stream. */

static void
merged_beat(merged_t *m, uint64_t limit)
{
    unsigned      n;
    uint64_t      oldest;
    pcapx_out_t   out;

    m->next_beat = merged_next_beat(m);
    oldest = order_oldest(&m->order);
    limit = m->merge.last_ts > MERGED_SLACK_NS && limit == UINT64_MAX
            ? m->merge.last_ts - MERGED_SLACK_NS : limit;
    limit = oldest < limit ? oldest : limit;

    if (limit != UINT64_MAX && limit > m->promised) {
        m->promised = limit;
    }

    n = m->nifs - m->beat_if < MERGED_ISBS ? m->nifs - m->beat_if
                                           : MERGED_ISBS;
    out.pos = m->stream.extra;
    out.end = m->stream.extra + sizeof(m->stream.extra);
    (void) merged_isbs(m, m->beat_if, n, m->promised, PCAPX_END_UNSAID, &out);

    m->stream.extra_len = (size_t) (out.pos - m->stream.extra);
    m->beat_if += n;

    if (m->beat_if == m->nifs) {
        m->beat_if = 0;
    }
}


/* The last blocks of some interfaces; behind those of all, the last chunk. */

static void
merged_last(merged_t *m)
{
    unsigned      n;
    pcapx_out_t   out;

    if (m->last_ts > m->promised) {
        m->promised = m->last_ts;
    }

    n = m->nifs - m->last_if < MERGED_ISBS ? m->nifs - m->last_if
                                           : MERGED_ISBS;
    out.pos = m->stream.extra;
    out.end = m->stream.extra + sizeof(m->stream.extra);
    (void) merged_isbs(m, m->last_if, n, m->promised,
                       m->wrong || m->nfound < m->sv->req->nfiles
                       ? PCAPX_END_FILES : PCAPX_END_UNSAID, &out);

    m->stream.extra_len = (size_t) (out.pos - m->stream.extra);
    m->last_if += n;
    m->closing = n == 0 && m->stream.nspans == 0;
}


static int
merged_isbs(merged_t *m, unsigned from, unsigned n, uint64_t ts_ns,
    pcapx_end_e end, pcapx_out_t *out)
{
    int             rc;
    unsigned        i;
    const char     *text;
    pcapx_opt_t     opt;
    pcapx_stats_t   stats;

    memset(&stats, 0, sizeof(stats));
    stats.present = PCAPX_HAS_ENDTIME | PCAPX_HAS_FILTERACCEPT
                    | PCAPX_HAS_OSDROP | PCAPX_HAS_USRDELIV;
    stats.endtime_ns = net_realtime();

    text = pcapx_end_text(end);
    opt.code = PCAPX_OPT_COMMENT;
    opt.len = (uint16_t) (text ? strlen(text) : 0);
    opt.value = (const uint8_t *) text;

    for (i = from, rc = PCAPX_OK; i < from + n && rc == PCAPX_OK; i++) {
        stats.filteraccept = m->ifs[i].seen;
        stats.usrdeliv = m->ifs[i].written;
        rc = pcapx_put_isb(out, i, ts_ns, &stats, &opt, text ? 1 : 0);
    }

    return rc;
}


/* At multiples of the interval, as a capture's (run.c). */

static uint64_t
merged_next_beat(const merged_t *m)
{
    uint64_t  interval;

    interval = m->sv->req->heartbeat_ms * MS;

    return net_monotonic() + interval - net_realtime() % interval;
}


/* For the connection, if it is what holds us up. Returns 0 or -1. */

static int
merged_wait(merged_t *m)
{
    int       rc, idle;
    uint64_t  bytes;

    idle = stream_idle(&m->stream);
    bytes = m->stream.bytes;

    if (idle || bytes != m->progress) {
        m->progress = bytes;
        m->progress_at = m->now;
    }

    if (m->now - m->progress_at > MERGED_STALL_NS) {
        log_warn(m->sv->log, "the peer takes nothing");
        return -1;
    }

    rc = serve_wait(m->sv, idle ? 0 : m->sv->tls->want_write,
                    idle ? 0 : m->now + MERGED_LOOK_NS);

    /* The peer has had enough: what was read goes out, and it ends well. */

    if (m->sv->finished) {
        m->eof = 1;
    }

    return rc;
}


static void
merged_report(const merged_t *m)
{
    unsigned  i;
    uint64_t  seen, written;

    for (i = 0, seen = 0, written = 0; i < m->nifs; i++) {
        seen += m->ifs[i].seen;
        written += m->ifs[i].written;
    }

    log_info(m->sv->log, "files: %s/%s, merged: %u (asked for: %u), "
             "%u not to their end, %u interfaces, read %llu, sent %llu, %s",
             m->sv->req->ns, m->sv->req->name, m->nfound, m->sv->req->nfiles,
             m->wrong, m->nifs, (unsigned long long) seen,
             (unsigned long long) written, m->over ? "complete" : "cut");
}
