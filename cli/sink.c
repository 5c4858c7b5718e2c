/*
 * cli/sink.c: takes blocks, packets and messages out of the stream and puts
 * them where the user wants them. A failing output never stops the reading:
 * the capture is ended by a DELETE and read to its end, so that the ledger
 * is known all the same.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture.h"
#include "convert.h"
#include "name.h"
#include "pcapx/write.h"
#include "text.h"


/* A run of records is written when it is this long, or at its end. */
#define SINK_MAX_RECORDS    (PCAPX_PCAP_RECORD_LEN + PCAPX_MAX_SNAPLEN + 65536)

#define SINK_MAX_MESSAGES   256      /* kept for --json */
#define SINK_TOLD_PER_SEC   20
#define SINK_MAX_ATTEMPTS   100


static void sink_blocks(void *ctx, const uint8_t *p, size_t len);
static void sink_packet(void *ctx, const pcapx_block_t *b);
static void sink_message(void *ctx, const message_t *m);
static void sink_targets(void *ctx);
static void sink_late_iface(void *ctx);


const stream_handlers_t  sink_handlers = {
    .blocks = sink_blocks,
    .packet = sink_packet,
    .message = sink_message,
    .targets = sink_targets,
    .late_iface = sink_late_iface
};


static const char *
sink_default_name(const capture_t *c, char name[NAME_MAX_LEN])
{
    unsigned  i;

    for (i = 1; i <= SINK_MAX_ATTEMPTS; i++) {
        name_default(name, opt_cmds[c->opt->cmd].name,
                     c->opt->title != NULL ? c->opt->title : c->opt->target,
                     time(NULL), i, c->convert ? "pcap" : "pcapng");

        if (!out_exists(name)) {
            break;
        }
    }

    return name;
}


int
sink_open(capture_t *c)
{
    char         name[NAME_MAX_LEN];
    const char  *path;

    if (c->convert) {
        c->records = malloc(SINK_MAX_RECORDS);
        if (c->records == NULL) {
            msg_error(c->msg, "out of memory");
            return -1;
        }
    }

    path = opt_value(c->opt, OPT_OUTPUT);
    if (path == NULL) {
        path = sink_default_name(c, name);
    }

    if (out_open(&c->out, path, opt_count(c->opt, OPT_FORCE)
                                ? OUT_REPLACE : OUT_NEW) != OUT_OK)
    {
        msg_error(c->msg, "%s", c->out.err);
        return -1;
    }

    if (c->out.path != NULL) {
        c->path = strdup(c->out.path);
    }

    return 0;
}


static void
sink_result(capture_t *c, out_result_t rc)
{
    if (rc == OUT_OK || rc == OUT_AGAIN) {
        return;
    }

    c->sink_off = 1;
    out_drop(&c->out);

    if (rc == OUT_CLOSED) {
        msg_debug(c->msg, "* the reader of the output has left");
        capture_stop(c, STOP_READER_GONE);
        return;
    }

    msg_error(c->msg, "%s", c->out.err);
    capture_stop(c, STOP_WRITE_FAILED);
}


static void
sink_put(capture_t *c, const uint8_t *p, size_t len)
{
    if (!c->sink_off && len > 0) {
        sink_result(c, out_put(&c->out, p, len));
    }

    if (!c->sink_off) {
        c->written_packets = c->stream.stats.packets;
    }
}


static void
sink_flush_records(capture_t *c)
{
    size_t  len;

    len = c->records_len;
    c->records_len = 0;
    sink_put(c, c->records, len);
}


static void
sink_blocks(void *ctx, const uint8_t *p, size_t len)
{
    capture_t  *c = ctx;

    if (c->convert) {
        sink_flush_records(c);
        return;
    }

    sink_put(c, p, len);
}


static void
sink_packet(void *ctx, const pcapx_block_t *b)
{
    size_t      n;
    capture_t  *c = ctx;

    if (!c->convert || c->sink_off) {
        return;
    }

    if (SINK_MAX_RECORDS - c->records_len
        < PCAPX_PCAP_RECORD_LEN + (size_t) b->caplen)
    {
        sink_flush_records(c);
    }

    n = convert_packet(c->records + c->records_len,
                       SINK_MAX_RECORDS - c->records_len, b);
    if (n == 0) {
        msg_error(c->msg, "a time stamp does not fit into pcap; use"
                  " --format pcapng");
        c->sink_off = 1;
        capture_stop(c, STOP_WRITE_FAILED);
        return;
    }

    c->records_len += n;
}


/* The API's word, at most so many per second, so that no flood hides them. */
static void
sink_tell(capture_t *c, const message_t *m, const char *origin,
    const char *text)
{
    uint64_t  now;

    now = capture_now();

    if (now - c->told_ms >= 1000) {
        if (c->untold > 0) {
            msg_error(c->msg, "%u more messages not shown", c->untold);
        }

        c->told_ms = now;
        c->told = 0;
        c->untold = 0;
    }

    if (c->told++ >= SINK_TOLD_PER_SEC) {
        c->untold++;
        return;
    }

    if (m->type == MESSAGE_CAPTURE_STOPPED
        || m->type == MESSAGE_LIMIT_REACHED)
    {
        msg_note(c->msg, "%s: %s: %s", origin, message_name(m->type), text);
        return;
    }

    msg_tell(c->msg, "%s: %s: %s", origin, message_name(m->type), text);
}


static void
sink_message(void *ctx, const message_t *m)
{
    char        origin[256], text[1024];
    capture_t  *c = ctx;

    text_clean(origin, sizeof(origin), m->origin, m->origin_len);
    text_clean(text, sizeof(text), m->text, m->text_len);

    if (m->type == MESSAGE_CAPTURE_STOPPED && strcmp(origin, "api") == 0) {
        text_clean(c->stopped_by, sizeof(c->stopped_by), m->text,
                   m->text_len);
    }

    sink_tell(c, m, origin, text);

    if (json_array_size(c->messages) < SINK_MAX_MESSAGES) {
        json_array_append_new(c->messages, json_pack("{s:s, s:s, s:s}",
            "type", message_name(m->type), "origin", origin,
            "text", text));
    }
}


static void
sink_mixed(capture_t *c, const char *why)
{
    if (!c->sink_off) {
        msg_error(c->msg, "%s", why);
        c->sink_off = 1;
        capture_stop(c, STOP_MIXED_LINKS);
    }
}


static void
sink_targets(void *ctx)
{
    char        err[512];
    size_t      n;
    uint8_t     header[PCAPX_PCAP_HEADER_LEN];
    uint16_t    linktype;
    capture_t  *c = ctx;

    if (c->convert) {
        if (convert_linktype(&c->stream.stats, &linktype, err, sizeof(err))
            != 0)
        {
            sink_mixed(c, err);
            return;
        }

        n = convert_header(header, linktype);
        sink_put(c, header, n);
    }

    ask_targets(c);
}


/* The header of a pcap file is written: its link type cannot change. */
static void
sink_late_iface(void *ctx)
{
    char        err[512];
    uint16_t    linktype;
    capture_t  *c = ctx;

    if (c->convert
        && convert_linktype(&c->stream.stats, &linktype, err, sizeof(err))
           != 0)
    {
        sink_flush_records(c);
        sink_mixed(c, err);
    }
}


void
sink_tend(capture_t *c)
{
    if (c->sink_off || c->out.kind != OUT_PIPE) {
        return;
    }

    if (out_pending(&c->out) > 0) {
        sink_result(c, out_flush(&c->out));

    } else if (out_reader_gone(&c->out)) {
        sink_result(c, OUT_CLOSED);
    }
}


int
sink_idle(const capture_t *c)
{
    return c->sink_off || out_pending(&c->out) == 0;
}


void
sink_close(capture_t *c)
{
    if (c->untold > 0) {
        msg_error(c->msg, "%u more messages not shown", c->untold);
    }

    if (out_close(&c->out) != OUT_OK && c->stop != STOP_WRITE_FAILED) {
        msg_error(c->msg, "%s", c->out.err);
        c->stop = STOP_WRITE_FAILED;
    }
}
