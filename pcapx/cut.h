/*
 * pcapx/cut.h: where a stream that comes from the API may be cut so that
 * what is before is a whole capture: behind a block of pcapng, behind a
 * record of classic pcap. It follows lengths only and keeps no bytes but a
 * header that straddles two calls; what is in a block is nobody's business
 * here.
 *
 * The stream is our own API's on this machine: host byte order. Anything
 * else is refused rather than followed.
 */

#ifndef PCAPX_CUT_H
#define PCAPX_CUT_H

#include <stddef.h>
#include <stdint.h>


#define PCAPX_CUT_HEAD_LEN  24     /* the longest header: a pcap file's */
#define PCAPX_CUT_ERR_LEN   128

typedef enum {
    PCAPX_CUT_START = 0,       /* the first bytes tell what it is */
    PCAPX_CUT_PCAPNG,
    PCAPX_CUT_PCAP
} pcapx_cut_kind_t;

typedef struct {
    pcapx_cut_kind_t  kind;
    uint8_t           head[PCAPX_CUT_HEAD_LEN];
    size_t            have;        /* bytes of head that are here */
    uint64_t          left;        /* bytes up to the next header */
    uint64_t          offset;      /* bytes seen */
    uint64_t          whole;       /* of these, up to where it may be cut */
    char              err[PCAPX_CUT_ERR_LEN];
} pcapx_cut_t;


/* Starts at the first byte of a stream. */
void pcapx_cut_init(pcapx_cut_t *c);

/* Goes on behind a block of a stream of that kind; offset begins at 0. */
void pcapx_cut_resume(pcapx_cut_t *c, pcapx_cut_kind_t kind);

/*
 * Follows len further bytes, cut into calls at will. Returns 0, or -1 when
 * this cannot be a capture of our API: c->err says why, c->whole stays where
 * it was, and no further call is allowed.
 */
int pcapx_cut_feed(pcapx_cut_t *c, const uint8_t *p, size_t len);


#endif /* PCAPX_CUT_H */
