/*
 * agent/stats.c: see stats.h. The pages are anonymous and have no name: what
 * a child has unmapped it cannot get back.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stats.h"


/* A child that counts beyond this lies: 146 years at a byte a nanosecond. */
#define STATS_MAX  (UINT64_C(1) << 62)

static stats_slot_t *stats_slot(const stats_t *s, size_t i);
static void stats_look(stats_t *s, size_t i);
static void stats_add(uint64_t *total, uint64_t n);
static void stats_sum(stats_totals_t *t, const stats_slot_t *slot);
static uint64_t stats_usage(const struct rusage *usage);
static int stats_unmap(char *from, const char *to);


int
stats_init(stats_t *s, size_t n)
{
    void  *pages;

    memset(s, 0, sizeof(*s));
    s->n = n;
    s->page_len = (size_t) sysconf(_SC_PAGESIZE);
    s->last = calloc(n, sizeof(*s->last));

    pages = mmap(NULL, n * s->page_len, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    s->pages = pages == MAP_FAILED ? NULL : pages;

    return s->last && s->pages ? 0 : -1;
}


void
stats_free(stats_t *s)
{
    if (s->pages) {
        munmap(s->pages, s->n * s->page_len);
    }

    free(s->last);
    s->pages = NULL;
    s->last = NULL;
}


static stats_slot_t *
stats_slot(const stats_t *s, size_t i)
{
    return (stats_slot_t *) (void *) (s->pages + i * s->page_len);
}


void
stats_begin(stats_t *s, size_t i)
{
    memset(stats_slot(s, i), 0, sizeof(stats_slot_t));
    memset(&s->last[i], 0, sizeof(s->last[i]));
}


stats_slot_t *
stats_child(stats_t *s, size_t i)
{
    char  *mine, *next, *end;

    mine = s->pages + i * s->page_len;
    next = mine + s->page_len;
    end = s->pages + s->n * s->page_len;

    if (stats_unmap(s->pages, mine) != 0 || stats_unmap(next, end) != 0) {
        return NULL;
    }

    s->pages = NULL;

    return (stats_slot_t *) (void *) mine;
}


static int
stats_unmap(char *from, const char *to)
{
    return from == to ? 0 : munmap(from, (size_t) (to - from));
}


/*
 * Takes over what the child has counted. Its numbers may be anything: what
 * would go down stays, and what no child can have counted is not there.
 */

static void
stats_look(stats_t *s, size_t i)
{
    size_t           k;
    uint64_t         value;
    stats_slot_t    *slot, *last;

    static const size_t  counters[] = {
        offsetof(stats_slot_t, seen), offsetof(stats_slot_t, written),
        offsetof(stats_slot_t, dropped), offsetof(stats_slot_t, bytes),
        offsetof(stats_slot_t, cpu_ns), offsetof(stats_slot_t, started)
    };

    slot = stats_slot(s, i);
    last = &s->last[i];

    for (k = 0; k < sizeof(counters) / sizeof(counters[0]); k++) {
        value = __atomic_load_n((uint64_t *) (void *)
                                ((char *) slot + counters[k]),
                                __ATOMIC_RELAXED);

        if (value <= STATS_MAX
            && value > *(uint64_t *) (void *) ((char *) last + counters[k]))
        {
            *(uint64_t *) (void *) ((char *) last + counters[k]) = value;
        }
    }
}


/* No total goes down, not even because it was full. */

static void
stats_add(uint64_t *total, uint64_t n)
{
    *total = n > UINT64_MAX - *total ? UINT64_MAX : *total + n;
}


static void
stats_sum(stats_totals_t *t, const stats_slot_t *slot)
{
    stats_add(&t->seen, slot->seen);
    stats_add(&t->written, slot->written);
    stats_add(&t->dropped, slot->dropped);
    stats_add(&t->bytes, slot->bytes);
    t->started += slot->started != 0;
}


void
stats_end(stats_t *s, size_t i, int capture, int status,
    const struct rusage *usage)
{
    int               killed;
    uint64_t          ending, refused, used;
    stats_slot_t     *slot;
    stats_totals_t   *t;

    t = &s->totals;
    slot = stats_slot(s, i);
    stats_look(s, i);

    stats_sum(t, &s->last[i]);

    used = stats_usage(usage);
    stats_add(&t->cpu_ns, used > s->last[i].cpu_ns ? used
                                                   : s->last[i].cpu_ns);

    ending = slot->ending;
    refused = slot->refused;
    killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;

    t->handshake_failed += slot->handshake_failed != 0;
    t->filter_refused += slot->filter_refused != 0;
    t->sandbox_kills += (uint64_t) killed + (slot->filter_killed != 0);

    if (refused > 0 && refused <= STATS_NREFUSALS) {
        t->refused[refused - 1]++;

    } else if (capture) {
        t->ended[WIFSIGNALED(status) ? ENDING_KILLED
                 : ending < ENDING_COUNT ? ending : ENDING_NONE]++;
    }

    memset(&s->last[i], 0, sizeof(s->last[i]));
    memset(slot, 0, sizeof(*slot));
}


static uint64_t
stats_usage(const struct rusage *usage)
{
    return ((uint64_t) usage->ru_utime.tv_sec
            + (uint64_t) usage->ru_stime.tv_sec) * 1000000000u
           + ((uint64_t) usage->ru_utime.tv_usec
              + (uint64_t) usage->ru_stime.tv_usec) * 1000u;
}


uint64_t
stats_bytes(stats_t *s, size_t i)
{
    stats_look(s, i);

    return s->last[i].bytes;
}


void
stats_now(stats_t *s, stats_totals_t *now)
{
    size_t          i;
    struct rusage   self;

    *now = s->totals;

    if (getrusage(RUSAGE_SELF, &self) == 0) {
        stats_add(&now->cpu_ns, stats_usage(&self));
    }

    for (i = 0; i < s->n; i++) {
        stats_look(s, i);
        stats_sum(now, &s->last[i]);
        stats_add(&now->cpu_ns, s->last[i].cpu_ns);
    }
}


void
stats_set(uint64_t *field, uint64_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}


void
stats_refused(stats_slot_t *slot, const problem_t *why)
{
    size_t  i;

    /* The first row that fits; a detail names what it is about. */

    static const struct {
        const char       *begin;
        int               status;
        stats_refusal_t   refusal;
    } rows[] = {
        { "filter:", 400, STATS_FILTER },
        { "interface:", 404, STATS_INTERFACE },
        { "container:", 404, STATS_CONTAINER },
        { "files:", 403, STATS_FILES },
        { "files:", 404, STATS_FILES },
        { "files:", 429, STATS_FILES },
        { "files:", 507, STATS_FILES },
        { "captures are switched off", 403, STATS_OFF },
        { "files are switched off", 403, STATS_OFF },
        { "", 403, STATS_POLICY },
        { "", 408, STATS_TIMEOUT },
        { "max_captures", 429, STATS_MAX_CAPTURES },
        { "", 429, STATS_BUFFERS },
        { "", 500, STATS_INTERNAL },
        { "", 503, STATS_DRAINING }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (why->status == rows[i].status
            && strncmp(why->detail, rows[i].begin, strlen(rows[i].begin))
               == 0)
        {
            stats_set(&slot->refused, 1 + (uint64_t) rows[i].refusal);
            return;
        }
    }

    stats_set(&slot->refused, 1 + (uint64_t) STATS_REQUEST);
}
