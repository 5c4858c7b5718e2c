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


static stats_slot_t *stats_slot(const stats_t *s, size_t i);
static void stats_look(stats_t *s, size_t i);
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
 * would go down stays.
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

        if (value > *(uint64_t *) (void *) ((char *) last + counters[k])) {
            *(uint64_t *) (void *) ((char *) last + counters[k]) = value;
        }
    }
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

    t->seen += s->last[i].seen;
    t->written += s->last[i].written;
    t->dropped += s->last[i].dropped;
    t->bytes += s->last[i].bytes;
    t->started += s->last[i].started != 0;

    used = stats_usage(usage);
    t->cpu_ns += used > s->last[i].cpu_ns ? used : s->last[i].cpu_ns;

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
        now->cpu_ns += stats_usage(&self);
    }

    for (i = 0; i < s->n; i++) {
        stats_look(s, i);
        now->seen += s->last[i].seen;
        now->written += s->last[i].written;
        now->dropped += s->last[i].dropped;
        now->bytes += s->last[i].bytes;
        now->started += s->last[i].started != 0;
        now->cpu_ns += s->last[i].cpu_ns;
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
        int               status;
        const char       *begin;
        stats_refusal_t   refusal;
    } rows[] = {
        { 400, "filter:",              STATS_FILTER },
        { 404, "interface:",           STATS_INTERFACE },
        { 404, "container:",           STATS_CONTAINER },
        { 403, "captures are switched off", STATS_OFF },
        { 403, "",                     STATS_POLICY },
        { 408, "",                     STATS_TIMEOUT },
        { 429, "max_captures",         STATS_MAX_CAPTURES },
        { 429, "",                     STATS_BUFFERS },
        { 500, "",                     STATS_INTERNAL },
        { 503, "",                     STATS_DRAINING }
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
