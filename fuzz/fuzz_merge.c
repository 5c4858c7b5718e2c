/*
 * fuzz/fuzz_merge.c: any bytes as a sequence of calls to the merge, judged
 * after every call by a model that looks at all sources. The first byte says
 * how many sources there are, then two to four bytes make a call.
 */

#include <stdint.h>
#include <stdlib.h>

#include "pcapx/merge.h"
#include "fuzz/require.h"


#define MAX_SRC  33

typedef struct {
    uint64_t           key;
    uint64_t           watermark;
    pcapx_src_state_t  state;
} source_t;

typedef struct {
    pcapx_merge_t   m;
    uint32_t        n;
    source_t        src[MAX_SRC];
    uint64_t        last_ts;
    uint64_t        late;
} world_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* Small numbers make equal time stamps likely; some are at the far end. */
static uint64_t
time_of(uint8_t b)
{
    return b < 240 ? b : UINT64_MAX - (255 - b);
}


static int
is_in(const source_t *s)
{
    return s->state == PCAPX_SRC_HEAD || s->state == PCAPX_SRC_WAITING;
}


/* Does anybody but `but` come before (ts, i)? */
static int
undercut(const world_t *w, uint32_t i, uint64_t ts)
{
    uint32_t  k;

    for (k = 0; k < w->n; k++) {
        if (k != i && is_in(&w->src[k])
            && (w->src[k].key < ts || (k < i && w->src[k].key == ts)))
        {
            return 1;
        }
    }

    return 0;
}


static int
model_top(const world_t *w, uint32_t *top)
{
    uint32_t  i;

    for (i = 0; i < w->n; i++) {
        if (is_in(&w->src[i]) && !undercut(w, i, w->src[i].key)) {
            *top = i;
            return w->src[i].state == PCAPX_SRC_HEAD ? PCAPX_OK : PCAPX_AGAIN;
        }
    }

    return PCAPX_END;
}


static void
take(world_t *w, uint64_t ts, int late)
{
    require(late == (ts < w->last_ts));

    if (late) {
        w->late++;

    } else {
        w->last_ts = ts;
    }

    require(w->m.late == w->late && w->m.last_ts == w->last_ts);
}


static void
call(world_t *w, uint8_t op, uint32_t i, uint64_t ts)
{
    source_t  *s;

    s = &w->src[i];

    switch (op % 5) {

    case 0:
        pcapx_merge_head(&w->m, i, ts);
        s->state = PCAPX_SRC_HEAD;
        s->key = ts;
        break;

    case 1:
        pcapx_merge_wait(&w->m, i, ts);
        s->state = PCAPX_SRC_WAITING;
        s->watermark = ts > s->watermark ? ts : s->watermark;
        s->key = s->watermark;
        break;

    case 2:
        pcapx_merge_release(&w->m, i);
        s->state = PCAPX_SRC_RELEASED;
        break;

    case 3:
        pcapx_merge_end(&w->m, i);
        s->state = PCAPX_SRC_ENDED;
        break;

    default:
        break;
    }
}


/* Takes what is at the top, then a run if ts allows one. */
static void
check_top(world_t *w, uint8_t op, uint64_t ts)
{
    int       rc;
    uint32_t  i, want;

    i = UINT32_MAX;
    want = UINT32_MAX;
    rc = pcapx_merge_top(&w->m, &i);

    require(rc == model_top(w, &want) && i == want);

    if (rc != PCAPX_OK) {
        return;
    }

    require(pcapx_merge_follows(&w->m, i, ts) == !undercut(w, i, ts));

    if (op & 0x80) {
        take(w, w->src[i].key, pcapx_merge_take(&w->m, i));

        if (pcapx_merge_follows(&w->m, i, ts)) {
            take(w, ts, pcapx_merge_take_next(&w->m, ts));
        }

        call(w, op >> 5, i, ts);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void            *mem;
    size_t           k;
    static world_t   w;

    if (size == 0) {
        return 0;
    }

    w = (world_t) { .n = data[0] % (MAX_SRC + 1) };

    mem = malloc(pcapx_merge_size(w.n) + 1);
    require(mem != NULL);
    pcapx_merge_init(&w.m, mem, w.n);

    check_top(&w, 0, 0);

    for (k = 1; w.n && k + 2 < size; k += 3) {
        call(&w, data[k], data[k + 1] % w.n, time_of(data[k + 2]));
        check_top(&w, data[k], time_of(data[k + 2]));
    }

    free(mem);

    return 0;
}
