/*
 * agent/order.h: the staging buffer and the order lists over it. A record
 * is copied in once, as the block that goes out; the lists (one for each
 * interface) hold 16 bytes per record and are what is sorted. Records leave
 * oldest first as spans of the buffer; neighbours that lie side by side are
 * one span, so in the usual case (the ring is in order) a span is long.
 *
 * Memory: ORDER_SEGMENTS segments of ORDER_SEGMENT_LEN bytes and
 * ORDER_ENTRIES list entries, whatever the traffic. A segment is free again
 * when all of its records have been released.
 */

#ifndef AGENT_ORDER_H
#define AGENT_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "pcapx/pcapx.h"


/*
 * A segment holds the largest record (256 KiB and its block). Eight of them
 * hold about 90 ms, the time a record waits for the watermark, of a stream of
 * 35 MB/s; above that order_pressed() says so and records wait less.
 */
#define ORDER_SEGMENT_LEN   393216
#define ORDER_SEGMENTS      8
#define ORDER_ENTRIES       32768

typedef struct {
    uint64_t         ts_ns;
    uint32_t         off;           /* in the staging buffer */
    uint32_t         len;
} order_entry_t;

typedef struct {
    order_entry_t   *entries;       /* circular, size is a power of two */
    uint32_t         mask;
    uint32_t         head;          /* oldest; free running */
    uint32_t         tail;          /* behind the newest */
} order_list_t;

typedef struct {
    uint32_t         off;
    uint32_t         len;
    uint32_t         nrecords;
} order_span_t;

typedef struct {
    uint8_t         *mem;
    order_entry_t   *entries;
    order_list_t     lists[PCAPX_MAX_INTERFACES];
    unsigned         nlists;
    uint32_t         max_record;    /* longest possible record in bytes */
    uint32_t         live[ORDER_SEGMENTS];   /* records not yet released */
    uint32_t         pos[ORDER_SEGMENTS];    /* bytes used */
    unsigned         current;       /* segment that is being filled */
    unsigned         nfree;         /* segments without a record */
    uint64_t         waiting;       /* bytes of records in the lists */
} order_t;


/*
 * Prepares for nlists interfaces and records of at most max_record bytes
 * (at most ORDER_SEGMENT_LEN). Returns 0, or -1 without memory.
 */
int order_init(order_t *o, unsigned nlists, uint32_t max_record);

void order_free(order_t *o);


/*
 * 1 when one more record of max_record bytes fits for this list, else 0.
 * While it says 1, order_put() does not fail. Here because it is asked behind
 * every packet.
 */
static inline int
order_room(const order_t *o, unsigned list)
{
    const order_list_t  *l;

    l = &o->lists[list];

    return l->tail - l->head <= l->mask
           && (o->nfree > 0
               || ORDER_SEGMENT_LEN - o->pos[o->current] >= o->max_record);
}


/* 1 when half of the memory is taken: records should wait less. */
int order_pressed(const order_t *o);

/*
 * Memory for a record of len bytes with this time stamp, already in order;
 * the caller fills it at once. NULL when there is no room.
 */
uint8_t *order_put(order_t *o, unsigned list, uint64_t ts_ns, uint32_t len);

/* Time stamp of the oldest record, UINT64_MAX when there is none. */
uint64_t order_oldest(const order_t *o);

/*
 * Takes the oldest records with time stamps up to and including limit_ns out
 * of the lists: at most max spans and about max_bytes (the record that goes
 * over it is the last). counts[i] grows by the records of list i, *last_ns
 * becomes the newest time stamp taken where that is later. Returns how many
 * spans were filled, 0 when nothing was due. The bytes stay until
 * order_release().
 */
unsigned order_take(order_t *o, uint64_t limit_ns, order_span_t *spans,
    unsigned max, uint32_t max_bytes, uint64_t *counts, uint64_t *last_ns);

/* The bytes of these spans are no longer needed. */
void order_release(order_t *o, const order_span_t *spans, unsigned n);


#endif /* AGENT_ORDER_H */
