/*
 * store/quota.c: see quota.h. A lock in the shared memory keeps each change
 * and each sum in one piece. It is robust: a process that is killed with it
 * leaves it to the next one. A child changes one word at a time, which is
 * whole whenever it dies; with the store, which changes more, all of it ends.
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "quota.h"


typedef struct {
    uint64_t           owner;        /* 0: the slot is free */
    uint64_t           rest;         /* of this owner */
    uint64_t           bytes;        /* of this capture */
    uint64_t           written;      /* of these, in its file */
} quota_slot_t;

typedef struct {
    pthread_mutex_t    lock;
    uint64_t           rest;         /* of all */
    quota_slot_t       slots[];
} quota_map_t;

struct quota_s {
    quota_map_t       *map;
    size_t             size;
    unsigned           n;
    uint64_t           max;
    uint64_t           max_owner;
};


static void quota_lock(const quota_t *q);
static void quota_unlock(const quota_t *q);
static uint64_t quota_sum(const quota_t *q, uint64_t owner);


quota_t *
quota_new(unsigned slots, uint64_t max, uint64_t max_owner)
{
    int                  rc;
    quota_t             *q;
    pthread_mutexattr_t  attr;

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

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    rc = pthread_mutex_init(&q->map->lock, &attr);
    pthread_mutexattr_destroy(&attr);

    if (rc != 0) {
        quota_free(q);
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
    int            slot;
    unsigned       i;
    quota_slot_t  *s;

    slot = -1;
    quota_lock(q);

    for (i = 0; i < q->n; i++) {
        s = &q->map->slots[i];

        if (s->owner == 0) {
            s->rest = 0;
            s->bytes = bytes;
            s->written = 0;
            s->owner = owner;
            slot = (int) i;
            break;
        }
    }

    quota_unlock(q);

    return slot;
}


void
quota_give(quota_t *q, int slot)
{
    unsigned       i;
    quota_slot_t  *s, *other;

    s = &q->map->slots[slot];
    quota_lock(q);
    q->map->rest += s->bytes;

    for (i = 0; i < q->n; i++) {
        other = &q->map->slots[i];

        if (other->owner == s->owner) {
            other->rest += s->bytes;
        }
    }

    s->owner = 0;
    quota_unlock(q);
}


void
quota_rest(quota_t *q, uint64_t all)
{
    quota_lock(q);
    q->map->rest = all;
    quota_unlock(q);
}


void
quota_rest_owner(quota_t *q, uint64_t owner, uint64_t bytes)
{
    unsigned  i;

    quota_lock(q);

    for (i = 0; i < q->n; i++) {
        if (q->map->slots[i].owner == owner) {
            q->map->slots[i].rest = bytes;
        }
    }

    quota_unlock(q);
}


quota_answer_t
quota_ask(quota_t *q, int slot, uint64_t n)
{
    quota_slot_t    *s;
    quota_answer_t   answer;

    s = &q->map->slots[slot];
    quota_lock(q);

    if (quota_sum(q, s->owner) + s->rest + n > q->max_owner) {
        answer = QUOTA_OWNER;

    } else if (quota_sum(q, 0) + q->map->rest + n > q->max) {
        answer = QUOTA_ALL;

    } else {
        answer = QUOTA_FREE;
        s->bytes += n;
    }

    quota_unlock(q);

    return answer;
}


void
quota_set(quota_t *q, int slot, uint64_t bytes)
{
    quota_lock(q);
    q->map->slots[slot].bytes = bytes;
    quota_unlock(q);
}


void
quota_wrote(quota_t *q, int slot, uint64_t bytes)
{
    quota_lock(q);
    q->map->slots[slot].written = bytes;
    quota_unlock(q);
}


uint64_t
quota_written(const quota_t *q, int slot)
{
    uint64_t  bytes;

    quota_lock(q);
    bytes = q->map->slots[slot].written;
    quota_unlock(q);

    return bytes;
}


uint64_t
quota_running(const quota_t *q, uint64_t owner)
{
    uint64_t  sum;

    quota_lock(q);
    sum = quota_sum(q, owner);
    quota_unlock(q);

    return sum;
}


static void
quota_lock(const quota_t *q)
{
    if (pthread_mutex_lock(&q->map->lock) == EOWNERDEAD) {
        pthread_mutex_consistent(&q->map->lock);
    }
}


static void
quota_unlock(const quota_t *q)
{
    pthread_mutex_unlock(&q->map->lock);
}


static uint64_t
quota_sum(const quota_t *q, uint64_t owner)
{
    uint64_t             sum;
    unsigned             i;
    const quota_slot_t  *s;

    sum = 0;

    for (i = 0; i < q->n; i++) {
        s = &q->map->slots[i];

        if (s->owner != 0 && (owner == 0 || s->owner == owner)) {
            sum += s->bytes;
        }
    }

    return sum;
}
