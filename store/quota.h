/*
 * store/quota.h: sums of what captures take on the disk, exact to the byte
 * across the processes that write. They lie in memory that the store and its
 * children share: a slot for each capture that may run, and what rests. The
 * store alone gives slots away and writes what rests; the child of a slot
 * writes its bytes.
 *
 * A child asks before it writes; two at once never both get the last bytes. An
 * answer waits for whoever changes something just then, however long the
 * machine keeps that one from going on.
 *
 * A slot also tells how far the file of its capture is written, which is less
 * than what was asked for: whoever uploads it goes by that.
 */

#ifndef STORE_QUOTA_H
#define STORE_QUOTA_H

#include <stdint.h>


typedef struct quota_s  quota_t;

typedef enum {
    QUOTA_FREE = 0,                  /* there is room */
    QUOTA_OWNER,                     /* no more for this owner */
    QUOTA_ALL                        /* no more for anybody */
} quota_answer_t;


/* For so many captures at once. NULL: no memory. */
quota_t *quota_new(unsigned slots, uint64_t max, uint64_t max_owner);

void quota_free(quota_t *q);

/*
 * A slot for a capture of that owner, one of 1, 2, ...: the same for all of
 * his, and never used for another one. bytes: what it has already. -1: none
 * is free.
 */
int quota_take(quota_t *q, uint64_t owner, uint64_t bytes);

/* Gives it back: its bytes count as what rests, in one step for all who ask. */
void quota_give(quota_t *q, int slot);

/* What rests of all; of the owner of those slots that are his. */
void quota_rest(quota_t *q, uint64_t all);
void quota_rest_owner(quota_t *q, uint64_t owner, uint64_t bytes);

/* For the child: may n bytes more be written? If so they are counted. */
quota_answer_t quota_ask(quota_t *q, int slot, uint64_t n);

/* For the child: what there is at last. */
void quota_set(quota_t *q, int slot, uint64_t bytes);

/* For the child: so much is in the file and whole; for who reads it. */
void quota_wrote(quota_t *q, int slot, uint64_t bytes);
uint64_t quota_written(const quota_t *q, int slot);

/* What runs: of this owner (0: of all). */
uint64_t quota_running(const quota_t *q, uint64_t owner);


#endif /* STORE_QUOTA_H */
