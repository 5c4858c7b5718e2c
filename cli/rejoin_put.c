/*
 * cli/rejoin_put.c: writes the blocks of a rejoined file: interface numbers,
 * counters and verdicts are those of the whole capture, not of the part that
 * a block came in. Most records are only copied and get another number.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcapx/write.h"
#include "rejoin_int.h"
#include "summary.h"


#define REJOIN_TSRESOL_NS  9

/* A message alone: the block, its comment and room. */
#define REJOIN_TEXT_BLOCK  (REJOIN_TEXT + 128)


void
rejoin_flush(rejoin_t *r)
{
    size_t  len;

    len = r->out_len;
    r->out_len = 0;

    if (len > 0) {
        r->conf.put(r->conf.ctx, r->out, len);
    }
}


/* Room for a block of at most len bytes, which is less than REJOIN_OUT. */
static pcapx_out_t
rejoin_room(rejoin_t *r, size_t len)
{
    pcapx_out_t  o;

    if (len > REJOIN_OUT - r->out_len) {
        rejoin_flush(r);
    }

    o.pos = r->out + r->out_len;
    o.end = r->out + REJOIN_OUT;

    return o;
}


static void
rejoin_commit(rejoin_t *r, const pcapx_out_t *o)
{
    r->out_len = (size_t) (o->pos - r->out);
}


void
rejoin_put_raw(rejoin_t *r, const uint8_t *p, size_t len,
    const pcapx_block_t *b, uint32_t file)
{
    pcapx_out_t  o;

    o = rejoin_room(r, len);
    memcpy(o.pos, p, len);

    if (b->type == PCAPX_BT_EPB || b->type == PCAPX_BT_ISB) {
        memcpy(o.pos + 8, &file, sizeof(uint32_t));
    }

    o.pos += len;
    rejoin_commit(r, &o);
}


static pcapx_opt_t
rejoin_opt(const char *s, size_t len)
{
    pcapx_opt_t  opt;

    opt.code = PCAPX_OPT_COMMENT;
    opt.len = (uint16_t) len;
    opt.value = (const uint8_t *) s;

    return opt;
}


void
rejoin_put_text(rejoin_t *r, uint32_t file, uint64_t ts, const char *s,
    size_t len)
{
    pcapx_opt_t  opt;
    pcapx_out_t  o;

    if (file >= r->nifaces || r->foreign) {
        return;
    }

    if (len > REJOIN_TEXT) {
        len = REJOIN_TEXT;
    }

    opt = rejoin_opt(s, len);
    o = rejoin_room(r, REJOIN_TEXT_BLOCK);

    if (pcapx_put_isb(&o, file, ts, NULL, &opt, 1) == PCAPX_OK) {
        rejoin_commit(r, &o);
    }
}


static size_t
rejoin_len(int n)
{
    return n < 0 ? 0 : n < REJOIN_TEXT ? (size_t) n : REJOIN_TEXT - 1;
}


void
rejoin_put_gap(rejoin_t *r, uint32_t file, const message_t *origin,
    uint64_t from_ns, uint64_t to_ns, const char *id)
{
    int   n;
    char  from[32], to[32];

    r->totals.gaps++;

    snprintf(from, sizeof(from), "the beginning");
    if (from_ns != 0) {
        summary_time(from, from_ns);
    }

    summary_time(to, to_ns);

    if (id == NULL) {
        n = snprintf(r->gap_text, sizeof(r->gap_text), "pcap-cli GAP api: the"
                     " stream was cut and could not be continued; packets"
                     " after %s are missing", from);

    } else {
        n = snprintf(r->gap_text, sizeof(r->gap_text), "pcap-cli GAP %.*s:"
                     " the stream was cut; packets after %s and before %s may"
                     " be missing; capture %s goes on",
                     origin ? (int) origin->origin_len : 3,
                     origin ? origin->origin : "api", from, to, id);
    }

    r->gap_len = rejoin_len(n);
    rejoin_put_text(r, file, to_ns ? to_ns : from_ns, r->gap_text,
                    r->gap_len);
}


void
rejoin_put_limit(rejoin_t *r, const char *name, uint64_t ts)
{
    int   n;
    char  text[REJOIN_TEXT];

    n = snprintf(text, sizeof(text), "pcap-cli LIMIT_REACHED api: %s is"
                 " reached", name);
    rejoin_put_text(r, 0, ts, text, rejoin_len(n));
}


/* a - b, or 0: a peer's counters need not fit each other. */
static uint64_t
rejoin_less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}


static uint64_t
rejoin_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}


static uint64_t
rejoin_lost(const rejoin_if_t *f)
{
    return rejoin_less(f->osdrop, f->skipped);
}


static uint64_t
rejoin_received(const rejoin_if_t *f)
{
    return rejoin_max(rejoin_less(f->received, f->discarded + f->skipped),
                      f->written + rejoin_lost(f));
}


void
rejoin_settle(rejoin_t *r, rejoin_part_t *part, rejoin_end_t how)
{
    uint32_t           i;
    rejoin_if_t       *f;
    rejoin_file_if_t  *file;

    for (i = 0; i < part->scan.nifaces; i++) {
        f = &part->ifs[i];
        file = &r->ifaces[f->file];

        /* What was on its way to a cut stream was received, and lost. */
        file->received += how == REJOIN_CUT ? rejoin_received(f)
                                            : f->written + rejoin_lost(f);
        file->osdrop += rejoin_lost(f);
        file->ifrecv += f->ifrecv;
        file->ifdrop += f->ifdrop;
    }
}


/* Is it one of this instance's interfaces? */
static int
rejoin_is_of(const rejoin_file_if_t *file, const message_t *m)
{
    return file->instance_len == m->origin_len
           && memcmp(file->name, m->origin, m->origin_len) == 0;
}


static int
rejoin_is_api(const message_t *m)
{
    return m->origin_len == 3 && memcmp(m->origin, "api", 3) == 0;
}


/* What the kernel lost in parts that are over, and what is told once more. */
static void
rejoin_all_drops(const rejoin_t *r, const rejoin_part_t *part,
    uint64_t *base, uint64_t *skipped)
{
    uint32_t  i;

    *base = 0;
    *skipped = 0;

    for (i = 0; i < r->nifaces; i++) {
        *base += r->ifaces[i].osdrop;
    }

    for (i = 0; i < part->scan.nifaces; i++) {
        *skipped += part->ifs[i].skipped;
    }
}


static uint64_t
rejoin_all_dropped(const rejoin_t *r, const rejoin_part_t *part,
    uint64_t said)
{
    uint64_t  base, skipped;

    rejoin_all_drops(r, part, &base, &skipped);

    return base + rejoin_less(said, skipped);
}


/* Off by as much as the part's own count was. */
static uint64_t
rejoin_all_packets(const rejoin_t *r, const rejoin_part_t *part,
    uint64_t said)
{
    return r->totals.packets + said - part->seen;
}


void
rejoin_trailers(const rejoin_t *r, unsigned n, trailers_t *t)
{
    const rejoin_part_t  *part;

    part = &r->parts[n];
    t->packets = rejoin_all_packets(r, part, t->packets);
    t->dropped = rejoin_all_dropped(r, part, t->dropped);
}


static status_t
rejoin_status(const rejoin_t *r, status_t said)
{
    if (r->totals.limits != 0 && said < STATUS_LIMIT) {
        said = STATUS_LIMIT;
    }

    if ((r->totals.gaps != 0 || r->partial) && said < STATUS_PARTIAL) {
        said = STATUS_PARTIAL;
    }

    return said;
}


/*
 * The places over all parts. Of the parts that are over only the kernel lost
 * something: the rest stands in their successors, or in a gap.
 */
static void
rejoin_places_text(const message_status_t *st, uint64_t base,
    uint64_t skipped, char *dst, size_t max)
{
    int  n;

    dst[0] = '\0';

    if (!(st->present & STATUS_HAS_PLACES)) {
        return;
    }

    n = snprintf(dst, max, " kernel=%" PRIu64 " agent=%" PRIu64 " stop=%"
                 PRIu64 " limit=%" PRIu64,
                 base + rejoin_less(st->places[PLACE_KERNEL], skipped),
                 st->places[PLACE_AGENT], st->places[PLACE_STOP],
                 st->places[PLACE_LIMIT]);

    if (st->unknown_since[0] != '\0') {
        snprintf(dst + n, max - (size_t) n, " in_flight=%" PRIu64,
                 st->in_flight);
    }
}


/* The API's own line over all parts; its length. */
static size_t
rejoin_status_api(const rejoin_t *r, const rejoin_part_t *part,
    const message_status_t *st, char *dst)
{
    int       n;
    char      places[160];
    uint64_t  base, skipped;

    rejoin_all_drops(r, part, &base, &skipped);
    rejoin_places_text(st, base, skipped, places, sizeof(places));

    n = snprintf(dst, REJOIN_TEXT, "pcap-api STATUS api: status=%s"
                 " packets=%" PRIu64 " dropped=%" PRIu64 " late=%" PRIu64
                 "%s%s%s",
                 status_name(rejoin_status(r, st->status)),
                 rejoin_all_packets(r, part, st->packets),
                 rejoin_all_dropped(r, part, st->dropped),
                 r->late + st->late, places,
                 st->unknown_since[0] ? " unknown_since=" : "",
                 st->unknown_since);

    return rejoin_len(n);
}


/* "pcap-api STATUS ORIGIN: ..." over all parts; its length. */
static size_t
rejoin_status_text(const rejoin_t *r, const rejoin_part_t *part,
    const message_t *m, char *dst)
{
    int                n;
    char               places[160];
    uint32_t           i;
    uint64_t           written, base, skipped;
    rejoin_if_t       *f;
    message_status_t   st;
    rejoin_file_if_t  *file;

    message_parse_status(&st, m->text, m->text_len);

    if (rejoin_is_api(m)) {
        return rejoin_status_api(r, part, &st, dst);
    }

    written = 0;
    base = 0;
    skipped = 0;

    for (i = 0; i < part->scan.nifaces; i++) {
        f = &part->ifs[i];

        if (rejoin_is_of(&r->ifaces[f->file], m)) {
            st.received = rejoin_less(st.received,
                                      f->discarded + f->skipped);
            st.dropped = rejoin_less(st.dropped, f->skipped);
            skipped += f->skipped;
        }
    }

    for (i = 0; i < r->nifaces; i++) {
        file = &r->ifaces[i];

        if (rejoin_is_of(file, m)) {
            st.received += file->received;
            base += file->osdrop;
            st.late += file->late;
            written += file->written;
        }
    }

    rejoin_places_text(&st, base, skipped, places, sizeof(places));

    n = snprintf(dst, REJOIN_TEXT, "pcap-api STATUS %.*s: status=%s"
                 " received=%" PRIu64 " dropped=%" PRIu64 " packets=%" PRIu64
                 " late=%" PRIu64 "%s%s%s", (int) m->origin_len, m->origin,
                 status_name(st.status), st.received, st.dropped + base,
                 written, st.late, places,
                 st.unknown_since[0] ? " unknown_since=" : "",
                 st.unknown_since);

    return rejoin_len(n);
}


/* A part that was stopped for its successor's sake ends nothing. */
static int
rejoin_is_private(const rejoin_t *r, const rejoin_part_t *part,
    const message_t *m)
{
    if (m->type == MESSAGE_STATUS) {
        return part->leaving;
    }

    return m->type == MESSAGE_CAPTURE_STOPPED
           && (part->leaving || r->totals.limits != 0);
}


/*
 * The options of a block of the part as they go into the file; texts that
 * change are in r->texts. Returns how many, or -1 when it cannot be rebuilt.
 */
static int
rejoin_options(rejoin_t *r, const rejoin_part_t *part,
    const pcapx_block_t *b, pcapx_opt_t opts[REJOIN_OPTS])
{
    int               n, texts;
    size_t            len;
    message_t         m;
    pcapx_opt_t       opt;
    pcapx_opt_iter_t  it;

    n = 0;
    texts = 0;
    pcapx_opt_begin(&it, &part->scan, b);

    while (pcapx_opt_next(&it, &opt) == PCAPX_OK) {

        /* An ISB's counters are written anew. */
        if (opt.code != PCAPX_OPT_COMMENT && b->type == PCAPX_BT_ISB) {
            continue;
        }

        if (opt.code == PCAPX_OPT_COMMENT
            && message_parse(&m, (const char *) opt.value, opt.len) == 0)
        {
            if (rejoin_is_private(r, part, &m)) {
                continue;
            }

            if (m.type == MESSAGE_STATUS && texts < REJOIN_TEXTS) {
                len = rejoin_status_text(r, part, &m, r->texts[texts]);
                opt = rejoin_opt(r->texts[texts++], len);
            }
        }

        if (n == REJOIN_OPTS - 1) {
            return -1;
        }

        opts[n++] = opt;
    }

    return n;
}


void
rejoin_put_record(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b,
    const uint8_t *p)
{
    int           n;
    uint32_t      file;
    pcapx_opt_t   opts[REJOIN_OPTS];
    pcapx_out_t   o;

    file = part->ifs[b->iface].file;

    if ((b->opts_len == 0 && r->gap_len == 0)
        || r->ifaces[file].tsresol != REJOIN_TSRESOL_NS
        || r->ifaces[file].tsoffset_s != 0)
    {
        rejoin_hear(r, part, b);
        rejoin_put_raw(r, p, b->len, b, file);
        return;
    }

    rejoin_hear(r, part, b);
    n = rejoin_options(r, part, b, opts);

    /* Where Wireshark shows it: at the next packet, too. */
    if (n >= 0 && r->gap_len > 0) {
        opts[n++] = rejoin_opt(r->gap_text, r->gap_len);
    }

    o = rejoin_room(r, (size_t) b->len + REJOIN_TEXTS * REJOIN_TEXT
                       + REJOIN_TEXT_BLOCK);

    if (n < 0 || pcapx_put_epb(&o, file, b->ts_ns, b->data, b->caplen,
                               b->origlen, opts, (size_t) n) != PCAPX_OK)
    {
        rejoin_put_raw(r, p, b->len, b, file);
        return;
    }

    r->gap_len = 0;
    rejoin_commit(r, &o);
}


void
rejoin_put_stats(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b,
    const uint8_t *p, const pcapx_stats_t *st)
{
    int                n;
    rejoin_if_t       *f;
    pcapx_opt_t        opts[REJOIN_OPTS];
    pcapx_out_t        o;
    pcapx_stats_t      now;
    rejoin_file_if_t  *file;

    f = &part->ifs[b->iface];
    file = &r->ifaces[f->file];

    rejoin_hear(r, part, b);
    n = rejoin_options(r, part, b, opts);

    if (n < 0 || file->tsresol != REJOIN_TSRESOL_NS || file->tsoffset_s != 0)
    {
        rejoin_put_raw(r, p, b->len, b, f->file);
        return;
    }

    now = *st;
    now.osdrop = file->osdrop + rejoin_lost(f);
    now.usrdeliv = file->written;
    now.ifrecv = file->ifrecv + f->ifrecv;
    now.ifdrop = file->ifdrop + f->ifdrop;
    now.filteraccept = rejoin_max(file->received + rejoin_received(f),
                                  now.osdrop + now.usrdeliv);

    o = rejoin_room(r, (size_t) b->len + REJOIN_TEXTS * REJOIN_TEXT
                       + REJOIN_TEXT_BLOCK);

    if (pcapx_put_isb(&o, f->file, b->ts_ns, &now, opts, (size_t) n)
        == PCAPX_OK)
    {
        rejoin_commit(r, &o);
    }
}


/* The verdict on an instance of a part that has a successor. */
static void
rejoin_left(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b,
    const message_t *m)
{
    message_status_t  st;

    message_parse_status(&st, m->text, m->text_len);

    if (rejoin_is_api(m)) {
        r->late += st.late;
        r->partial |= st.status >= STATUS_PARTIAL;
        return;
    }

    r->ifaces[part->ifs[b->iface].file].late += st.late;

    /* It hung when it was stopped: nobody has what it did not send. */
    if (st.unknown_since[0] != '\0' && st.status < STATUS_ERROR
        && b->ts_ns < r->switch_ns && r->next != NULL)
    {
        rejoin_put_gap(r, part->ifs[b->iface].file, m, b->ts_ns,
                       r->switch_ns, r->next->id);
    }
}


static void
rejoin_note(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b,
    const message_t *m)
{
    switch (m->type) {

    case MESSAGE_STATUS:
        if (rejoin_is_api(m)) {
            message_parse_status(&part->verdict, m->text, m->text_len);
        }

        if (part->leaving && b->type == PCAPX_BT_ISB) {
            rejoin_left(r, part, b, m);
        }

        break;

    case MESSAGE_INSTANCE_UNAVAILABLE:
    case MESSAGE_START_CAPTURE_FAILED:
    case MESSAGE_CONNECTION_ERROR:
    case MESSAGE_INVALID_REQUEST:
        r->partial = 1;
        break;

    default:
        break;
    }
}


/* Of a block that is not written: has it to be told all the same? */
static int
rejoin_tells(const rejoin_t *r, const rejoin_part_t *part,
    const pcapx_block_t *b, const message_t *m)
{
    if (b->type == PCAPX_BT_SHB) {
        return !r->plain;
    }

    return b->type == PCAPX_BT_ISB && part == r->next
           && (m->type == MESSAGE_INSTANCE_UNAVAILABLE
               || m->type == MESSAGE_CONNECTION_ERROR);
}


void
rejoin_hear(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b)
{
    message_t         m;
    pcapx_opt_t       opt;
    pcapx_opt_iter_t  it;

    pcapx_opt_begin(&it, &part->scan, b);

    while (pcapx_opt_next(&it, &opt) == PCAPX_OK) {
        if (opt.code != PCAPX_OPT_COMMENT
            || message_parse(&m, (const char *) opt.value, opt.len) != 0)
        {
            continue;
        }

        rejoin_note(r, part, b, &m);

        if (rejoin_tells(r, part, b, &m)) {
            rejoin_put_text(r, b->type == PCAPX_BT_ISB
                               ? part->ifs[b->iface].file : 0,
                            b->type == PCAPX_BT_ISB ? b->ts_ns : r->last_ns,
                            (const char *) opt.value, opt.len);
        }
    }
}


/* if_name as it came; "" when there is none. */
static size_t
rejoin_name(const rejoin_part_t *part, const pcapx_block_t *b,
    const char **name)
{
    pcapx_opt_t       opt;
    pcapx_opt_iter_t  it;

    *name = "";
    pcapx_opt_begin(&it, &part->scan, b);

    while (pcapx_opt_next(&it, &opt) == PCAPX_OK) {
        if (opt.code == PCAPX_IF_NAME && opt.len <= REJOIN_NAME) {
            *name = (const char *) opt.value;
            return opt.len;
        }
    }

    return 0;
}


static int
rejoin_fits_iface(const rejoin_file_if_t *file, const pcapx_iface_t *iface,
    const char *name, size_t len)
{
    return file->len == len && memcmp(file->name, name, len) == 0
           && file->linktype == iface->linktype
           && file->tsresol == iface->tsresol
           && file->tsoffset_s == iface->tsoffset_s;
}


static int
rejoin_add_iface(rejoin_t *r, rejoin_part_t *part,
    const pcapx_iface_t *iface, const char *name, size_t len)
{
    size_t             n;
    rejoin_file_if_t  *file;

    if (r->nifaces == CLI_MAX_IFACES) {
        return -1;
    }

    file = &r->ifaces[r->nifaces];

    file->name = malloc(len + 1);
    if (file->name == NULL) {
        return -1;
    }

    memcpy(file->name, name, len);
    file->name[len] = '\0';
    file->len = len;

    for (n = len; n > 0 && file->name[n - 1] != '/'; n--) { /* void */ }

    file->instance_len = n > 1 ? n - 1 : len;
    file->linktype = iface->linktype;
    file->tsresol = iface->tsresol;
    file->tsoffset_s = iface->tsoffset_s;
    file->mark = part->mark;
    part->added = 1;
    r->nifaces++;

    return 0;
}


int
rejoin_map(rejoin_t *r, rejoin_part_t *part, const pcapx_block_t *b)
{
    size_t                len;
    uint32_t              i, k;
    const char           *name;
    const pcapx_iface_t  *iface;

    len = rejoin_name(part, b, &name);
    iface = &part->scan_ifaces[b->iface];

    /* The order is mostly the same: begin behind the one before. */
    k = b->iface > 0 ? part->ifs[b->iface - 1].file + 1 : 0;

    for (i = 0; i < r->nifaces; i++, k++) {
        if (k >= r->nifaces) {
            k = 0;
        }

        if (r->ifaces[k].mark != part->mark
            && rejoin_fits_iface(&r->ifaces[k], iface, name, len))
        {
            r->ifaces[k].mark = part->mark;
            part->ifs[b->iface].file = k;
            return 0;
        }
    }

    if (rejoin_add_iface(r, part, iface, name, len) != 0) {
        return -1;
    }

    part->ifs[b->iface].file = r->nifaces - 1;

    return 0;
}
