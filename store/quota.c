/*
 * store/quota.c: see quota.h. Everything is read and written by C11 atomics
 * in their strictest order: a child that sees the bytes of another one sees
 * them as they were asked for.
 */

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "quota.h"


typedef struct {
    _Atomic uint64_t   owner;        /* 0: the slot is free */
    _Atomic uint64_t   rest;         /* of this owner */
    _Atomic uint64_t   bytes;        /* of this capture */
    _Atomic uint64_t   written;      /* of these, in its file */
} quota_slot_t;

typedef struct {
    _Atomic uint64_t   rest;         /* of all */
    quota_slot_t       slots[];
} quota_map_t;

struct quota_s {
    quota_map_t       *map;
    size_t             size;
    unsigned           n;
    uint64_t           max;
    uint64_t           max_owner;
};


quota_t *
quota_new(unsigned slots, uint64_t max, uint64_t max_owner)
{
    quota_t  *q;

    q = calloc(1, sizeof(*q));
    if (q == NULL) {
        return NULL;
    }

    q->n = slots;
    q->max = max;
    q->max_owner = max_owner;
    q->size = sizeof(quota_map_t) + slots * sizeof(quota_slot_t);
    q->map = mmap(NULL, q->size, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (q->map == MAP_FAILED) {
        free(q);
        return NULL;
    }

    return q;
}


void
quota_free(quota_t *q)
{
    if (q != NULL) {
        munmap(q->map, q->size);
        free(q);
    }
}


int
quota_take(quota_t *q, uint64_t owner, uint64_t bytes)
{
    unsigned       i;
    quota_slot_t  *s;

    for (i = 0; i < q->n; i++) {
        s = &q->map->slots[i];

        if (s->owner == 0) {
            s->rest = 0;
            s->bytes = bytes;
            s->written = 0;
            s->owner = owner;
            return (int) i;
        }
    }

    return -1;
}


void
quota_give(quota_t *q, int slot)
{
    q->map->slots[slot].owner = 0;
}


void
quota_rest(quota_t *q, uint64_t all)
{
    q->map->rest = all;
}


void
quota_rest_owner(quota_t *q, uint64_t owner, uint64_t bytes)
{
    unsigned  i;

    for (i = 0; i < q->n; i++) {
        if (q->map->slots[i].owner == owner) {
            q->map->slots[i].rest = bytes;
        }
    }
}


quota_answer_t
quota_ask(quota_t *q, int slot, uint64_t n)
{
    quota_slot_t    *s;
    quota_answer_t   answer;

    s = &q->map->slots[slot];
    s->bytes += n;

    answer = quota_running(q, s->owner) + s->rest > q->max_owner ? QUOTA_OWNER
             : quota_running(q, 0) + q->map->rest > q->max ? QUOTA_ALL
             : QUOTA_FREE;

    if (answer != QUOTA_FREE) {
        s->bytes -= n;
    }

    return answer;
}


void
quota_set(quota_t *q, int slot, uint64_t bytes)
{
    q->map->slots[slot].bytes = bytes;
}


void
quota_wrote(quota_t *q, int slot, uint64_t bytes)
{
    q->map->slots[slot].written = bytes;
}


uint64_t
quota_written(const quota_t *q, int slot)
{
    return q->map->slots[slot].written;
}


uint64_t
quota_running(const quota_t *q, uint64_t owner)
{
    uint64_t             owned, sum;
    unsigned             i;
    const quota_slot_t  *s;

    sum = 0;

    for (i = 0; i < q->n; i++) {
        s = &q->map->slots[i];
        owned = s->owner;

        if (owned != 0 && (owner == 0 || owned == owner)) {
            sum += s->bytes;
        }
    }

    return sum;
}
