/*
 * pcapx/merge.h: decides which source's head record comes next. It holds
 * time stamps and numbers, never records: a tournament tree over sources,
 * keyed by (time stamp, source number), so equal time stamps keep source
 * order. A change of one source costs log2(n) steps without a branch that
 * depends on data, which is what a random interleaving wants.
 *
 * A source is in one of four states:
 *   head      its oldest record has time stamp ts: key ts
 *   waiting   no record is here, none below its watermark will come:
 *             key watermark; it holds everything above back
 *   released  no record is here and it was given up waiting for it: holds
 *             nothing back
 *   ended     nothing will come
 */

#ifndef PCAPX_MERGE_H
#define PCAPX_MERGE_H

#include "pcapx.h"


typedef enum {
    PCAPX_SRC_WAITING = 0,
    PCAPX_SRC_HEAD,
    PCAPX_SRC_RELEASED,
    PCAPX_SRC_ENDED
} pcapx_src_state_t;

typedef struct {
    uint64_t           watermark;  /* the highest promise so far */
    pcapx_src_state_t  state;
} pcapx_src_t;

/*
 * keys and ids are the winners of the parts of the tree (merge.c); two arrays,
 * because a processor finds numbers of 8 bytes by their index, pairs not.
 */
typedef struct {
    uint64_t          *keys;       /* ts of the head, else the watermark */
    uint64_t          *ids;        /* source number and whether it waits */
    pcapx_src_t       *src;
    uint32_t           nsrc;
    uint64_t           last_ts;    /* largest time stamp taken so far */
    uint64_t           late;       /* records taken below last_ts */
} pcapx_merge_t;


/* Bytes of memory that a merge of n sources needs. */
size_t pcapx_merge_size(uint32_t n);

/*
 * Prepares a merge of n sources in mem (pcapx_merge_size(n) bytes, aligned
 * for a pointer, the caller's until the merge is dropped). Every source
 * starts waiting with watermark 0.
 */
void pcapx_merge_init(pcapx_merge_t *m, void *mem, uint32_t n);

/* Source i has a record with time stamp ts at its head. */
void pcapx_merge_head(pcapx_merge_t *m, uint32_t i, uint64_t ts);

/*
 * Source i has no record here and promises none below ts. A promise never
 * goes back: a lower ts leaves the old watermark. Also the way back from
 * released.
 */
void pcapx_merge_wait(pcapx_merge_t *m, uint32_t i, uint64_t ts);

/* Source i has no record here and holds the others back no longer. */
void pcapx_merge_release(pcapx_merge_t *m, uint32_t i);

/* Source i has ended; its head, if any, is dropped. Once and for all. */
void pcapx_merge_end(pcapx_merge_t *m, uint32_t i);

/*
 * Which source is next?
 *   PCAPX_OK     the head record of *i may go out now
 *   PCAPX_AGAIN  nothing may go out before source *i says more
 *   PCAPX_END    no source has or awaits anything (all ended or released)
 */
int pcapx_merge_top(const pcapx_merge_t *m, uint32_t *i);

/*
 * The head of source i (as pcapx_merge_top() said) is taken: returns 1 when
 * it is late (below a record taken before; counted), else 0. Leaves the
 * source's state alone: call pcapx_merge_head(), _wait() or _end() next.
 */
int pcapx_merge_take(pcapx_merge_t *m, uint32_t i);

/*
 * May a further record of source i with time stamp ts follow directly, that
 * is, without another source coming first? i must be at the top. For runs:
 * take records of one source while this returns 1, counting each with
 * pcapx_merge_take_next(), and tell the merge the new head or watermark once
 * at the end.
 */
int pcapx_merge_follows(const pcapx_merge_t *m, uint32_t i, uint64_t ts);

/* As pcapx_merge_take() for a record with time stamp ts inside of a run. */
int pcapx_merge_take_next(pcapx_merge_t *m, uint64_t ts);


#endif /* PCAPX_MERGE_H */
