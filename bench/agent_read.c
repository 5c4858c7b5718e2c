/*
 * bench/agent_read.c: the agent's own way of a packet without kernel and
 * TLS: libpcap's callback, the copy as a block into the staging buffer, the
 * order list, and out again as spans. pcap_dispatch() is one of our own here
 * and hands out packets from memory, as many at once as a block of the ring
 * holds.
 *
 *   agent_read PACKET BLOCKS
 *
 * reads BLOCKS blocks of packets with PACKET bytes and prints the number of
 * records alone: for bench/instructions, which counts meanwhile.
 */


#define TOOL "agent_read"
#include "agent/capture.h"
#include "agent/stream.h"
#include "bench/tool.h"
#include "pcapx/write.h"


#define MAX_PACKET    16384
#define BLOCK_BYTES   65536

typedef struct {
    uint32_t   packet;
    uint32_t   each;       /* packets in a block */
    uint32_t   left;       /* blocks until the ring is empty */
    uint64_t   ts_ns;
    uint8_t    data[MAX_PACKET];
} ring_t;


/* In place of libpcap's: p is our ring. */
int
pcap_dispatch(pcap_t *p, int cnt, pcap_handler callback, u_char *user)
{
    ring_t              *ring;
    uint32_t             i;
    struct pcap_pkthdr   h;

    (void) cnt;
    ring = (ring_t *) (void *) p;

    if (ring->left == 0) {
        return 0;
    }

    ring->left--;
    h.caplen = ring->packet;
    h.len = ring->packet;

    for (i = 0; i < ring->each; i++) {
        ring->ts_ns += 1000;
        h.ts.tv_sec = (time_t) (ring->ts_ns / 1000000000);
        h.ts.tv_usec = (suseconds_t) (ring->ts_ns % 1000000000);
        callback(user, &h, ring->data);
    }

    return (int) ring->each;
}


static uint64_t
run(capture_t *c, ring_t *ring, uint32_t blocks)
{
    unsigned       n;
    uint64_t       last, records[PCAPX_MAX_INTERFACES];
    order_span_t   spans[STREAM_MAX_SPANS];

    memset(records, 0, sizeof(records));
    last = 0;

    for ( /* void */ ; blocks; blocks--) {
        ring->left = 1;

        if (capture_read(c) != 0) {
            die_of(c->reason);
        }

        while ((n = order_take(&c->order, UINT64_MAX, spans, STREAM_MAX_SPANS,
                               STREAM_CHUNK_BYTES, records, &last)) != 0)
        {
            order_release(&c->order, spans, n);
        }
    }

    return records[0];
}


int
main(int argc, char **argv)
{
    uint32_t          blocks;
    static ring_t     ring;
    static capture_t  c;

    if (argc != 3) {
        die_of("usage: agent_read PACKET BLOCKS");
    }

    ring.packet = (uint32_t) number(argv[1], 1, MAX_PACKET);
    ring.each = BLOCK_BYTES / ring.packet;
    ring.ts_ns = UINT64_C(1700000000000000000);
    blocks = (uint32_t) number(argv[2], 1, 1000000);

    c.nifs = 1;
    c.pcapng = 1;
    c.snaplen = PCAPX_MAX_SNAPLEN;
    c.ifs[0].capture = &c;
    c.ifs[0].pcap = (pcap_t *) (void *) &ring;

    if (order_init(&c.order, 1, (uint32_t) pcapx_epb_len(c.snaplen, 0)) != 0)
    {
        die("memory");
    }

    printf("%llu\n", (unsigned long long) run(&c, &ring, blocks));
    order_free(&c.order);

    return 0;
}
