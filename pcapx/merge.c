/*
 * pcapx/merge.c: a binary heap over sources, smallest (key, source number)
 * at the root. A source that is waiting stands in the heap with its
 * watermark as key, so "nobody can undercut the root" and "the root is a
 * record" are one look. A released or ended source is not in the heap.
 *
 * Everything here runs once per record: no allocation, no division, and in
 * the usual case (the root gets a larger key) one way down.
 */

#include "merge.h"


#define PCAPX_NO_SLOT   UINT32_MAX


static void pcapx_merge_set(pcapx_merge_t *m, uint32_t i, uint64_t key,
    pcapx_src_state_t state);
static void pcapx_merge_remove(pcapx_merge_t *m, uint32_t i,
    pcapx_src_state_t state);
static void pcapx_merge_up(pcapx_merge_t *m, uint32_t slot, uint32_t i);
static void pcapx_merge_down(pcapx_merge_t *m, uint32_t slot, uint32_t i);


/* Is (ka, a) before (kb, b)? Without a branch: its outcome is random. */
static inline int
pcapx_merge_less(uint64_t ka, uint32_t a, uint64_t kb, uint32_t b)
{
    return (ka < kb) | ((ka == kb) & (a < b));
}


size_t
pcapx_merge_size(uint32_t n)
{
    return (size_t) n * (sizeof(pcapx_src_t) + sizeof(uint32_t));
}


void
pcapx_merge_init(pcapx_merge_t *m, void *mem, uint32_t n)
{
    uint32_t  i;

    m->src = mem;
    m->heap = (uint32_t *) (m->src + n);
    m->nsrc = n;
    m->nheap = n;
    m->last_ts = 0;
    m->late = 0;

    /* All keys are equal, so the order of the numbers is a heap. */

    for (i = 0; i < n; i++) {
        m->src[i].key = 0;
        m->src[i].watermark = 0;
        m->src[i].slot = i;
        m->src[i].state = PCAPX_SRC_WAITING;
        m->heap[i] = i;
    }
}


void
pcapx_merge_head(pcapx_merge_t *m, uint32_t i, uint64_t ts)
{
    pcapx_merge_set(m, i, ts, PCAPX_SRC_HEAD);
}


void
pcapx_merge_wait(pcapx_merge_t *m, uint32_t i, uint64_t ts)
{
    if (ts > m->src[i].watermark) {
        m->src[i].watermark = ts;
    }

    pcapx_merge_set(m, i, m->src[i].watermark, PCAPX_SRC_WAITING);
}


void
pcapx_merge_release(pcapx_merge_t *m, uint32_t i)
{
    pcapx_merge_remove(m, i, PCAPX_SRC_RELEASED);
}


void
pcapx_merge_end(pcapx_merge_t *m, uint32_t i)
{
    pcapx_merge_remove(m, i, PCAPX_SRC_ENDED);
}


int
pcapx_merge_top(const pcapx_merge_t *m, uint32_t *i)
{
    if (m->nheap == 0) {
        return PCAPX_END;
    }

    *i = m->heap[0];

    return m->src[*i].state == PCAPX_SRC_HEAD ? PCAPX_OK : PCAPX_AGAIN;
}


int
pcapx_merge_take(pcapx_merge_t *m, uint32_t i)
{
    return pcapx_merge_take_next(m, m->src[i].key);
}


int
pcapx_merge_follows(const pcapx_merge_t *m, uint32_t i, uint64_t ts)
{
    uint32_t  k;

    /* Only the root's children can come before anything but the root. */

    if (m->nheap > 1) {
        k = m->heap[1];

        if (pcapx_merge_less(m->src[k].key, k, ts, i)) {
            return 0;
        }
    }

    if (m->nheap > 2) {
        k = m->heap[2];

        if (pcapx_merge_less(m->src[k].key, k, ts, i)) {
            return 0;
        }
    }

    return 1;
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


static void
pcapx_merge_set(pcapx_merge_t *m, uint32_t i, uint64_t key,
    pcapx_src_state_t state)
{
    uint64_t      old;
    pcapx_src_t  *src;

    src = &m->src[i];
    old = src->key;

    src->key = key;
    src->state = state;

    if (src->slot == PCAPX_NO_SLOT) {
        pcapx_merge_up(m, m->nheap++, i);
        return;
    }

    if (key < old) {
        pcapx_merge_up(m, src->slot, i);
        return;
    }

    pcapx_merge_down(m, src->slot, i);
}


/* Takes source i out of the heap; the last one fills the hole. */
static void
pcapx_merge_remove(pcapx_merge_t *m, uint32_t i, pcapx_src_state_t state)
{
    uint32_t  slot, last;

    slot = m->src[i].slot;

    m->src[i].state = state;
    m->src[i].slot = PCAPX_NO_SLOT;

    if (slot == PCAPX_NO_SLOT) {
        return;
    }

    last = m->heap[--m->nheap];

    if (last == i) {
        return;
    }

    /* It may come from another branch: down if it cannot go up. */

    pcapx_merge_up(m, slot, last);
    pcapx_merge_down(m, m->src[last].slot, last);
}


/* Source i goes to slot or above it. */
static void
pcapx_merge_up(pcapx_merge_t *m, uint32_t slot, uint32_t i)
{
    uint32_t  parent, k;

    while (slot > 0) {
        parent = (slot - 1) / 2;
        k = m->heap[parent];

        if (!pcapx_merge_less(m->src[i].key, i, m->src[k].key, k)) {
            break;
        }

        m->heap[slot] = k;
        m->src[k].slot = slot;
        slot = parent;
    }

    m->heap[slot] = i;
    m->src[i].slot = slot;
}


/* Source i goes to slot or below it. */
static void
pcapx_merge_down(pcapx_merge_t *m, uint32_t slot, uint32_t i)
{
    uint32_t  child, k, other;

    for ( ;; ) {
        child = 2 * slot + 1;

        if (child >= m->nheap) {
            break;
        }

        k = m->heap[child];

        if (child + 1 < m->nheap) {
            other = m->heap[child + 1];

            if (pcapx_merge_less(m->src[other].key, other,
                                 m->src[k].key, k))
            {
                k = other;
                child++;
            }
        }

        if (!pcapx_merge_less(m->src[k].key, k, m->src[i].key, i)) {
            break;
        }

        m->heap[slot] = k;
        m->src[k].slot = slot;
        slot = child;
    }

    m->heap[slot] = i;
    m->src[i].slot = slot;
}
