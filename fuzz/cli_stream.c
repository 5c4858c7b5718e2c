/*
 * fuzz/cli_stream.c: any bytes as what the API sends to pcap-cli: the stream,
 * in pieces whose sizes the input chooses, and each message in it. Whatever
 * was handed on must have come in, byte for byte and in order.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/message.h"
#include "cli/stream.h"
#include "fuzz/require.h"


typedef struct {
    const uint8_t  *data;
    size_t          size;
    size_t          seen;        /* bytes handed on */
    unsigned        targets;
} world_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
blocks(void *ctx, const uint8_t *p, size_t len)
{
    world_t  *w = ctx;

    require(len <= w->size - w->seen);
    require(memcmp(p, w->data + w->seen, len) == 0);
    w->seen += len;
}


static void
packet(void *ctx, const pcapx_block_t *b)
{
    world_t  *w = ctx;

    require(w->targets == 1);
    require(b->len <= w->size);
}


static void
message(void *ctx, const message_t *m)
{
    message_status_t  st;

    (void) ctx;
    require(message_name(m->type) != NULL);
    (void) message_limits(m->text, m->text_len);

    memset(&st, 0, sizeof(st));
    message_parse_status(&st, m->text, m->text_len);
    require(memchr(st.unknown_since, '\0', sizeof(st.unknown_since))
            != NULL);
}


static void
targets(void *ctx)
{
    world_t  *w = ctx;

    w->targets++;
}


static void
late_iface(void *ctx)
{
    world_t  *w = ctx;

    require(w->targets == 1);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int       rc;
    size_t    pos, len, step;
    world_t   w;
    stream_t  s;

    static const stream_handlers_t  handlers = {
        blocks, packet, message, targets, late_iface
    };

    if (size < 1) {
        return 0;
    }

    step = (size_t) data[0] + 1;
    memset(&w, 0, sizeof(w));
    w.data = data + 1;
    w.size = size - 1;
    rc = stream_init(&s, &handlers, &w);

    for (pos = 0; rc == 0 && pos < w.size; pos += len) {
        len = w.size - pos < step ? w.size - pos : step;
        rc = stream_feed(&s, w.data + pos, len);
    }

    if (rc == 0) {
        rc = stream_end(&s);
        require(rc != 0 || w.seen == w.size);
    }

    stream_free(&s);

    return 0;
}
