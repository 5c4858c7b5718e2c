/*
 * pcapx/merge.c: a tournament tree over sources. Source i is leaf n + i of
 * 2n nodes, node k plays off 2k and 2k + 1, node 1 is the winner: the smallest
 * (key, source number). A source that is waiting plays with its watermark as
 * key, so "nobody can undercut the winner" and "the winner is a record" are
 * one look. A released or ended source has the key that never wins.
 *
 * Everything here runs once per record. A binary heap asks at each step
 * which way to go, and the answer is as random as the traffic; here the way
 * from a leaf to the root is known before, so all opponents are loaded at
 * once and no branch depends on a time stamp (bench/micro_merge.c).
 */

#include "merge.h"


/* id of a node: twice the source number, plus 1 when it waits. */

#define PCAPX_ID_HEAD(i)   ((uint64_t) (i) << 1)
#define PCAPX_ID_WAIT(i)   ((uint64_t) (i) << 1 | 1)
#define PCAPX_ID_NONE      UINT64_MAX


__extension__ typedef unsigned __int128  pcapx_rank_t;


static inline pcapx_rank_t
pcapx_merge_rank(uint64_t key, uint64_t id)
{
    return (pcapx_rank_t) key << 64 | id;
}


/*
 * Leaf i has changed: plays its matches up to the root again.
 *
 * The masks and the empty asm statements keep compilers from making a
 * branch (gcc 12 with "?:") or vector code with its moves to and fro (gcc 12
 * with masks alone) out of it: 25 instead of 42 ns per record with 16
 * sources at random.
 */
static inline void
pcapx_merge_replay(pcapx_merge_t *m, uint32_t i, uint64_t key, uint64_t id)
{
    size_t     k;
    uint64_t   other_key, other_id, mask;
    uint64_t  *keys, *ids;

    keys = m->keys;
    ids = m->ids;
    k = (size_t) m->nsrc + i;

    keys[k] = key;
    ids[k] = id;

    while (k > 1) {
        other_key = keys[k ^ 1];
        other_id = ids[k ^ 1];

        mask = -(uint64_t) (pcapx_merge_rank(other_key, other_id)
                            < pcapx_merge_rank(key, id));

        __asm__ ("" : "+r" (mask), "+r" (other_key), "+r" (other_id));

        key ^= (key ^ other_key) & mask;
        id ^= (id ^ other_id) & mask;

        __asm__ ("" : "+r" (key), "+r" (id));

        k >>= 1;
        keys[k] = key;
        ids[k] = id;
    }
}


size_t
pcapx_merge_size(uint32_t n)
{
    return (size_t) n * (4 * sizeof(uint64_t) + sizeof(pcapx_src_t));
}


void
pcapx_merge_init(pcapx_merge_t *m, void *mem, uint32_t n)
{
    uint32_t  i;

    m->keys = mem;
    m->ids = n ? m->keys + 2 * (size_t) n : NULL;
    m->src = n ? (pcapx_src_t *) (m->keys + 4 * (size_t) n) : NULL;
    m->nsrc = n;
    m->last_ts = 0;
    m->late = 0;

    for (i = 0; i < 2 * (size_t) n; i++) {
        m->keys[i] = UINT64_MAX;
        m->ids[i] = PCAPX_ID_NONE;
    }

    for (i = 0; i < n; i++) {
        m->src[i].watermark = 0;
        m->src[i].state = PCAPX_SRC_WAITING;
        pcapx_merge_replay(m, i, 0, PCAPX_ID_WAIT(i));
    }
}


void
pcapx_merge_head(pcapx_merge_t *m, uint32_t i, uint64_t ts)
{
    m->src[i].state = PCAPX_SRC_HEAD;
    pcapx_merge_replay(m, i, ts, PCAPX_ID_HEAD(i));
}


void
pcapx_merge_wait(pcapx_merge_t *m, uint32_t i, uint64_t ts)
{
    pcapx_src_t  *src;

    src = &m->src[i];

    if (ts > src->watermark) {
        src->watermark = ts;
    }

    src->state = PCAPX_SRC_WAITING;
    pcapx_merge_replay(m, i, src->watermark, PCAPX_ID_WAIT(i));
}


void
pcapx_merge_release(pcapx_merge_t *m, uint32_t i)
{
    m->src[i].state = PCAPX_SRC_RELEASED;
    pcapx_merge_replay(m, i, UINT64_MAX, PCAPX_ID_NONE);
}


void
pcapx_merge_end(pcapx_merge_t *m, uint32_t i)
{
    m->src[i].state = PCAPX_SRC_ENDED;
    pcapx_merge_replay(m, i, UINT64_MAX, PCAPX_ID_NONE);
}


int
pcapx_merge_top(const pcapx_merge_t *m, uint32_t *i)
{
    uint64_t  id;

    if (m->nsrc == 0 || m->ids[1] == PCAPX_ID_NONE) {
        return PCAPX_END;
    }

    id = m->ids[1];
    *i = (uint32_t) (id >> 1);

    return id & 1 ? PCAPX_AGAIN : PCAPX_OK;
}


int
pcapx_merge_take(pcapx_merge_t *m, uint32_t i)
{
    return pcapx_merge_take_next(m, m->keys[(size_t) m->nsrc + i]);
}


int
pcapx_merge_follows(const pcapx_merge_t *m, uint32_t i, uint64_t ts)
{
    size_t           k;
    unsigned         undercut;
    pcapx_rank_t     rank;
    const uint64_t  *keys, *ids;

    /* Everybody but i has lost to one of the opponents on the way of i. */

    rank = pcapx_merge_rank(ts, PCAPX_ID_HEAD(i));
    undercut = 0;
    keys = m->keys;
    ids = m->ids;

    for (k = (size_t) m->nsrc + i; k > 1; k >>= 1) {
        undercut |= pcapx_merge_rank(keys[k ^ 1], ids[k ^ 1]) < rank;
    }

    return !undercut;
}


int
pcapx_merge_take_next(pcapx_merge_t *m, uint64_t ts)
{
    if (ts < m->last_ts) {
        m->late++;
        return 1;
    }

    m->last_ts = ts;

    return 0;
}
