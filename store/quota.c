/*
 * store/quota.c: see quota.h. Everything is read and written by C11 atomics
 * in their strictest order: a child that sees the bytes of another one sees
 * them as they were asked for. What the store changes it changes between two
 * steps of a counter: who sums up meanwhile does it again.
 */

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "quota.h"


/* A change takes no time; a store that was killed in one never ends it. */
#define QUOTA_TRIES  100
#define QUOTA_WAIT_US  1000


typedef struct {
    _Atomic uint64_t   owner;        /* 0: the slot is free */
    _Atomic uint64_t   rest;         /* of this owner */
    _Atomic uint64_t   bytes;        /* of this capture */
    _Atomic uint64_t   written;      /* of these, in its file */
} quota_slot_t;

typedef struct {
    _Atomic uint64_t   changes;      /* odd: one is being made */
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


static quota_answer_t quota_judge(const quota_t *q, const quota_slot_t *s);


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
            q->map->changes++;
            s->rest = 0;
            s->bytes = bytes;
            s->written = 0;
            s->owner = owner;
            q->map->changes++;
            return (int) i;
        }
    }

    return -1;
}


void
quota_give(quota_t *q, int slot)
{
    unsigned       i;
    quota_slot_t  *s, *other;

    s = &q->map->slots[slot];
    q->map->changes++;
    q->map->rest += s->bytes;

    for (i = 0; i < q->n; i++) {
        other = &q->map->slots[i];

        if (other->owner == s->owner) {
            other->rest += s->bytes;
        }
    }

    s->owner = 0;
    q->map->changes++;
}


void
quota_rest(quota_t *q, uint64_t all)
{
    q->map->changes++;
    q->map->rest = all;
    q->map->changes++;
}


void
quota_rest_owner(quota_t *q, uint64_t owner, uint64_t bytes)
{
    unsigned  i;

    q->map->changes++;

    for (i = 0; i < q->n; i++) {
        if (q->map->slots[i].owner == owner) {
            q->map->slots[i].rest = bytes;
        }
    }

    q->map->changes++;
}


quota_answer_t
quota_ask(quota_t *q, int slot, uint64_t n)
{
    unsigned         i;
    uint64_t         changes;
    quota_slot_t    *s;
    quota_answer_t   answer;

    s = &q->map->slots[slot];
    s->bytes += n;

    for (i = 0; i < QUOTA_TRIES; i++) {
        changes = q->map->changes;
        answer = quota_judge(q, s);

        if (changes % 2 == 0 && changes == q->map->changes) {
            break;
        }

        usleep(QUOTA_WAIT_US);
    }

    if (answer != QUOTA_FREE) {
        s->bytes -= n;
    }

    return answer;
}


static quota_answer_t
quota_judge(const quota_t *q, const quota_slot_t *s)
{
    uint64_t  sum;

    sum = quota_running(q, s->owner);

    if (sum + s->rest > q->max_owner) {
        return QUOTA_OWNER;
    }

    sum = quota_running(q, 0);

    return sum + q->map->rest > q->max ? QUOTA_ALL : QUOTA_FREE;
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
