/*
 * cli/stream.h: the pcapng stream of the API, cut anywhere by the network.
 * Finds whole blocks without copying those that arrive whole, keeps the
 * statistics, and hands on runs of whole blocks, packets and messages.
 */

#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include "message.h"
#include "pcapx/scan.h"
#include "stats.h"


/* What the owner wants to know; each may be NULL. */

typedef struct {

    /* A run of whole blocks, byte for byte as it came. */
    void  (*blocks)(void *ctx, const uint8_t *p, size_t len);

    /* One packet; called before the run it stands in is handed on. */
    void  (*packet)(void *ctx, const pcapx_block_t *b);

    /* A message in an SHB or ISB (packets only repeat them). */
    void  (*message)(void *ctx, const message_t *m);

    /*
     * All interfaces that the stream begins with are known. Called once,
     * before the first packet.
     */
    void  (*targets)(void *ctx);

    /*
     * An interface came after targets() was called; its number is
     * stats.nifaces - 1.
     */
    void  (*late_iface)(void *ctx);

} stream_handlers_t;

typedef struct {
    pcapx_scan_t              scan;
    pcapx_iface_t            *scan_ifaces;
    uint8_t                  *carry;       /* a block that is not whole yet */
    size_t                    carry_len;
    size_t                    max_carry;
    const stream_handlers_t  *handlers;
    void                     *ctx;
    stats_t                   stats;
    unsigned                  begun:1;     /* targets() was called */
    unsigned                  broken:1;
    char                      err[256];    /* what was wrong, not cleaned */
} stream_t;


/*
 * Prepares s; handlers and ctx are kept. Returns 0, or -1 without memory.
 * Call stream_free() in both cases.
 */
int stream_init(stream_t *s, const stream_handlers_t *handlers, void *ctx);

void stream_free(stream_t *s);

/*
 * Takes the next len bytes, of any size and cut anywhere. Returns 0, or -1
 * with s->err when the stream is malformed; whole blocks before the fault
 * were handed on, and nothing after it ever is.
 */
int stream_feed(stream_t *s, const uint8_t *p, size_t len);

/*
 * The stream has ended. Returns 0, or -1 with s->err when it ended inside of
 * a block.
 */
int stream_end(stream_t *s);


#endif /* CLI_STREAM_H */
