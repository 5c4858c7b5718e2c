/*
 * t/pcapx_merge.c: the merge against two judges. A model looks at all
 * sources each time (no tree) and must agree after every single operation;
 * and where nobody is late the output must be the stable sort of the very
 * same records. Streams are random, the seeds are fixed and printed.
 */

#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "pcapx/merge.h"


#define MAX_SRC      64
#define MAX_ITEMS    6000

/* What a source says one after the other. */

typedef struct {
    uint64_t  ts;
    uint32_t  src;
    uint32_t  seq;
    int       mark;                 /* a watermark, no record */
} item_t;

typedef struct {
    item_t    *items;
    uint32_t   nitems;
    uint32_t   arrived;             /* items that are here */
    uint32_t   next;                /* the first one not yet consumed */
    uint64_t   watermark;
    int        released;
    int        ended;
} source_t;

typedef struct {
    pcapx_merge_t   m;
    void           *mem;
    uint64_t        rng;
    uint32_t        nsrc;
    source_t        src[MAX_SRC];
    item_t          items[MAX_ITEMS];
    uint32_t        nitems;
    item_t          sorted[MAX_ITEMS];
    item_t          out[MAX_ITEMS];
    uint32_t        nrecords;
    uint32_t        nout;
    uint64_t        max_ts;         /* of what is in out */
    uint64_t        late;
    const char     *error;
} world_t;


/* splitmix64 (public domain, Vigna) */
static uint64_t
rnd(world_t *w)
{
    uint64_t  z;

    w->rng += 0x9e3779b97f4a7c15;
    z = w->rng;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;

    return z ^ (z >> 31);
}


static uint32_t
below(world_t *w, uint32_t n)
{
    return (uint32_t) (rnd(w) % n);
}


static int
by_time(const void *a, const void *b)
{
    const item_t  *x = a, *y = b;

    if (x->ts != y->ts) {
        return x->ts < y->ts ? -1 : 1;
    }

    if (x->src != y->src) {
        return x->src < y->src ? -1 : 1;
    }

    return x->seq < y->seq ? -1 : x->seq > y->seq;
}


/*
 * Fills every source. step bounds the distance of neighbours: 0 makes all
 * time stamps equal. back > 0 lets a record go back in time by up to that,
 * below what the source has promised.
 */
static void
populate(world_t *w, uint64_t seed, uint32_t nsrc, uint32_t step,
    uint32_t back)
{
    uint32_t   i, n, k, per;
    uint64_t   ts;
    item_t    *it;

    memset(w, 0, sizeof(*w));
    w->rng = seed;
    w->nsrc = nsrc;
    per = MAX_ITEMS / nsrc;

    for (i = 0; i < nsrc; i++) {
        n = below(w, 8) == 0 ? below(w, 3) : below(w, per + 1);
        ts = 1000000 + below(w, step + 1);

        w->src[i].items = &w->items[w->nitems];
        w->src[i].nitems = n;

        for (k = 0; k < n; k++) {
            it = &w->items[w->nitems++];
            ts += below(w, 3) ? below(w, step + 1) : 0;

            it->ts = ts;
            it->src = i;
            it->seq = k;
            it->mark = below(w, 4) == 0;

            if (it->mark) {
                continue;
            }

            if (back && below(w, 50) == 0) {
                it->ts -= below(w, back);
            }

            w->sorted[w->nrecords++] = *it;
        }
    }

    if (w->nrecords) {
        qsort(w->sorted, w->nrecords, sizeof(item_t), by_time);
    }

    w->mem = malloc(pcapx_merge_size(nsrc));

    if (w->mem == NULL) {
        abort();
    }

    pcapx_merge_init(&w->m, w->mem, nsrc);
}


/* The front record of source i, or NULL. */
static const item_t *
front(const source_t *s)
{
    if (s->ended || s->next == s->arrived || s->items[s->next].mark) {
        return NULL;
    }

    return &s->items[s->next];
}


/* The merge's answer by looking at everybody: no tree, no order kept. */
static int
model_top(const world_t *w, uint32_t *top)
{
    int              rc;
    uint32_t         i;
    uint64_t         key, best;
    const item_t    *it;
    const source_t  *s;

    rc = PCAPX_END;
    best = 0;

    for (i = 0; i < w->nsrc; i++) {
        s = &w->src[i];
        it = front(s);

        if (s->ended || (it == NULL && s->released)) {
            continue;
        }

        key = it ? it->ts : s->watermark;

        if (rc == PCAPX_END || key < best) {
            best = key;
            *top = i;
            rc = it ? PCAPX_OK : PCAPX_AGAIN;
        }
    }

    return rc;
}


/* Every node holds the better one of its two children. */
static int
tree_is_sound(const pcapx_merge_t *m)
{
    size_t           best;
    uint32_t         k;
    const uint64_t  *key, *id;

    for (k = 1; k < m->nsrc; k++) {
        key = &m->keys[2 * (size_t) k];
        id = &m->ids[2 * (size_t) k];
        best = key[0] < key[1] || (key[0] == key[1] && id[0] < id[1]) ? 0 : 1;

        if (m->keys[k] != key[best] || m->ids[k] != id[best]) {
            return 0;
        }
    }

    return 1;
}


static int
check_top(world_t *w, uint32_t *top)
{
    int       rc, want;
    uint32_t  i;

    i = UINT32_MAX;
    want = model_top(w, &i);
    rc = pcapx_merge_top(&w->m, top);

    if (rc != want || (rc != PCAPX_END && *top != i)) {
        w->error = "the top differs from the model";

    } else if (!tree_is_sound(&w->m)) {
        w->error = "the tree is not sound";
    }

    return rc;
}


/* Tells the merge what stands at the front of source i now. */
static void
tell(world_t *w, uint32_t i)
{
    source_t      *s;
    const item_t  *it;

    s = &w->src[i];

    while (s->next < s->arrived && s->items[s->next].mark) {

        if (s->items[s->next].ts > s->watermark) {
            s->watermark = s->items[s->next].ts;
        }

        s->next++;
    }

    it = front(s);

    if (it != NULL) {
        s->released = 0;
        pcapx_merge_head(&w->m, i, it->ts);

    } else if (s->ended) {
        pcapx_merge_end(&w->m, i);

    } else if (s->released) {
        pcapx_merge_release(&w->m, i);

    } else {
        pcapx_merge_wait(&w->m, i, s->watermark);
    }
}


/* The oracle for `late`: whatever is below something that is out. */
static void
put_out(world_t *w, const item_t *it, int late)
{
    int  want;

    want = w->nout > 0 && it->ts < w->max_ts;

    if (late != want) {
        w->error = "a record's lateness differs";
    }

    w->late += (uint64_t) want;
    w->max_ts = it->ts > w->max_ts ? it->ts : w->max_ts;
    w->out[w->nout++] = *it;
}


/* Takes the head of i, and a run of what may follow it directly. */
static void
take(world_t *w, uint32_t i, int runs)
{
    uint32_t       top;
    source_t      *s;
    const item_t  *it;

    s = &w->src[i];
    put_out(w, front(s), pcapx_merge_take(&w->m, i));
    s->next++;

    while (runs && (it = front(s)) != NULL) {

        /* With this head the model must agree that i is next, or not. */

        if ((model_top(w, &top) == PCAPX_OK && top == i)
            != pcapx_merge_follows(&w->m, i, it->ts))
        {
            w->error = "follows differs from the model";
            break;
        }

        if (!pcapx_merge_follows(&w->m, i, it->ts) || below(w, 20) == 0) {
            break;
        }

        put_out(w, it, pcapx_merge_take_next(&w->m, it->ts));
        s->next++;
    }

    tell(w, i);
}


/* More of source i arrives, or its end. */
static void
arrive(world_t *w, uint32_t i)
{
    source_t  *s;

    s = &w->src[i];

    if (s->ended) {
        return;
    }

    if (s->arrived == s->nitems) {

        if (s->next == s->arrived) {
            s->ended = 1;
            s->released = 0;
            tell(w, i);
        }

        return;
    }

    s->arrived += 1 + below(w, s->nitems - s->arrived);

    if (s->released && below(w, 2) == 0) {
        s->released = 0;
    }

    tell(w, i);
}


/* Random arrivals; release > 0 gives up a source that holds us, at times. */
static void
run(world_t *w, int runs, uint32_t release)
{
    int       rc;
    uint32_t  i, rounds;

    for (rounds = 0; rounds < 100 * MAX_ITEMS && w->error == NULL; rounds++) {

        if (below(w, 4) == 0) {
            arrive(w, below(w, w->nsrc));
        }

        rc = check_top(w, &i);

        if (w->error) {
            return;
        }

        if (rc == PCAPX_OK) {
            take(w, i, runs);

        } else if (rc == PCAPX_AGAIN) {

            if (release && below(w, release) == 0) {
                w->src[i].released = 1;
                tell(w, i);

            } else {
                arrive(w, i);
            }

        } else {

            /* Released sources come back, others have ended. */

            for (i = 0; i < w->nsrc && w->src[i].ended; i++) { /* void */ }

            if (i == w->nsrc) {
                return;
            }

            arrive(w, i);
        }
    }

    if (w->error == NULL) {
        w->error = "it does not end";
    }
}


static int
outputs_equal(const item_t *a, const item_t *b, uint32_t n)
{
    uint32_t  i;

    for (i = 0; i < n; i++) {
        if (by_time(&a[i], &b[i]) != 0) {
            return 0;
        }
    }

    return 1;
}


/* Nobody is late: the stable sort and nothing else. */
static void
test_sorted(uint64_t seed, uint32_t nsrc, uint32_t step, int runs)
{
    static world_t  w;

    populate(&w, seed, nsrc, step, 0);
    run(&w, runs, 0);

    ok(w.error == NULL && w.nout == w.nrecords && w.m.late == 0
       && outputs_equal(w.out, w.sorted, w.nout),
       "sorted: seed %llu, %u sources, step %u, %s, %u records",
       (unsigned long long) seed, nsrc, step,
       runs ? "runs" : "one by one", w.nrecords);

    if (w.error) {
        printf("# %s\n", w.error);
    }

    free(w.mem);
}


/*
 * Sources are given up and come back, records go below promises: all come
 * out, each source in its own order, and what is late is counted exactly.
 */
static void
test_late(uint64_t seed, uint32_t nsrc, uint32_t step, uint32_t back,
    int runs)
{
    int             ordered;
    uint32_t        i, k;
    uint32_t        seq[MAX_SRC];
    static world_t  w;

    populate(&w, seed, nsrc, step, back);
    run(&w, runs, 3);

    memset(seq, 0, sizeof(seq));
    ordered = 1;

    for (i = 0; i < w.nout; i++) {
        k = w.out[i].src;
        ordered &= w.out[i].seq >= seq[k];
        seq[k] = w.out[i].seq + 1;
    }

    ok(w.error == NULL && ordered && w.nout == w.nrecords
       && w.m.late == w.late && w.m.last_ts == w.max_ts,
       "late: seed %llu, %u sources, step %u, back %u, %s, %llu of %u late",
       (unsigned long long) seed, nsrc, step, back,
       runs ? "runs" : "one by one", (unsigned long long) w.late,
       w.nrecords);

    if (w.error) {
        printf("# %s\n", w.error);
    }

    free(w.mem);
}


/* The states one by one, by hand. */
static void
test_states(void)
{
    uint32_t       i, top;
    pcapx_merge_t  m;
    uint64_t       mem[64];

    pcapx_merge_init(&m, mem, 3);
    ok(pcapx_merge_size(3) <= sizeof(mem), "three sources are small");
    ok(pcapx_merge_top(&m, &top) == PCAPX_AGAIN && top == 0,
       "at the start everybody is waited for");

    pcapx_merge_head(&m, 0, 100);
    pcapx_merge_head(&m, 1, 100);
    ok(pcapx_merge_top(&m, &top) == PCAPX_AGAIN && top == 2,
       "the one that has said nothing holds the others");

    pcapx_merge_wait(&m, 2, 100);
    ok(pcapx_merge_top(&m, &top) == PCAPX_OK && top == 0,
       "equal time stamps: source 0 before a watermark of source 2");
    ok(pcapx_merge_follows(&m, 0, 100) == 1
       && pcapx_merge_follows(&m, 0, 101) == 0,
       "its next record follows at 100, not at 101");
    ok(pcapx_merge_take(&m, 0) == 0, "it is not late");

    pcapx_merge_wait(&m, 0, 100);
    ok(pcapx_merge_top(&m, &top) == PCAPX_AGAIN && top == 0,
       "a promise of 100 may still mean a record at 100");
    pcapx_merge_wait(&m, 0, 50);
    ok(pcapx_merge_top(&m, &top) == PCAPX_AGAIN && top == 0
       && m.src[0].watermark == 100, "a promise never goes back");
    pcapx_merge_wait(&m, 0, 101);
    ok(pcapx_merge_top(&m, &top) == PCAPX_OK && top == 1,
       "a promise of 101 lets source 1 go");

    pcapx_merge_release(&m, 0);
    pcapx_merge_release(&m, 2);
    ok(pcapx_merge_follows(&m, 1, UINT64_MAX) == 1,
       "alone everything follows");
    pcapx_merge_end(&m, 1);
    ok(pcapx_merge_top(&m, &top) == PCAPX_END,
       "released and ended sources hold nobody");

    pcapx_merge_head(&m, 2, 99);
    ok(pcapx_merge_top(&m, &top) == PCAPX_OK && top == 2,
       "a released source comes back with a record");
    ok(pcapx_merge_take(&m, 2) == 1 && m.late == 1 && m.last_ts == 100,
       "which is late and changes no last time");
    pcapx_merge_wait(&m, 2, 0);
    ok(pcapx_merge_top(&m, &top) == PCAPX_AGAIN && m.src[2].watermark == 100,
       "a late record does not lower the watermark");
    pcapx_merge_end(&m, 2);
    pcapx_merge_end(&m, 2);
    ok(pcapx_merge_top(&m, &top) == PCAPX_END, "ended twice is ended");

    pcapx_merge_wait(&m, 0, 5);
    ok(pcapx_merge_top(&m, &top) == PCAPX_AGAIN && top == 0
       && m.src[0].watermark == 101, "a released source comes back waiting");

    pcapx_merge_init(&m, NULL, 0);
    ok(pcapx_merge_size(0) == 0 && pcapx_merge_top(&m, &i) == PCAPX_END,
       "a merge of nothing");
}


int
main(void)
{
    size_t    k;
    uint64_t  seed;

    static const uint32_t  nsrc[] = { 1, 2, 3, 5, 16, 17, 64 };
    static const uint32_t  step[] = { 0, 1, 3, 1000 };

    test_states();

    seed = 20240611;

    for (k = 0; k < 56; k++) {
        test_sorted(seed++, nsrc[k % 7], step[k / 7 % 4], k >= 28);
        test_late(seed++, nsrc[k % 7], step[k / 7 % 4],
                  k % 3 ? 1 + 500 * (uint32_t) (k % 5) : 0, k >= 28);
    }

    return tap_done();
}
