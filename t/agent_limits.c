/*
 * t/agent_limits.c: the token buckets, the counts that children share with
 * the parent, and their text.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/limits.h"
#include "agent/stats.h"
#include "t/tap.h"


#define S   UINT64_C(1000000000)
#define MS  UINT64_C(1000000)


/* Seconds until the limit is reached at this rate, or max. */

static unsigned
lasts(uint64_t limit, uint64_t rate, unsigned max)
{
    unsigned  i;
    limits_t  l;

    limits_init(&l, limit, 0, S, 0);

    for (i = 1; i <= max * 10; i++) {
        if (limits_check(&l, S + i * 100 * MS, i * rate / 10, 0)
            != ENDING_NONE)
        {
            return i / 10;
        }
    }

    return max;
}


static void
test_buckets(void)
{
    int              rc;
    unsigned         i;
    limits_t         l;
    limits_bucket_t  b;

    ok(lasts(1000000, 1000000, 3600) == 3600, "at the limit it goes on");
    ok(lasts(1000000, 900000, 3600) == 3600, "and below it");
    ok(lasts(1000000, 2000000, 60) == LIMITS_BURST_S,
       "at twice the limit it lasts ten seconds");
    ok(lasts(1000000, 11000000, 60) == 1, "at eleven times one second");
    ok(lasts(0, UINT64_C(1) << 40, 60) == 60, "0 is no limit");
    ok(lasts(UINT64_C(1) << 36, UINT64_C(1) << 36, 600) == 600,
       "nothing overflows at 64 GiB/s");

    limits_bucket(&b, 1000, S);
    ok(limits_take(&b, 10000, S) == 0 && limits_take(&b, 1, S) == 1,
       "a full bucket holds ten seconds' worth");
    ok(limits_take(&b, UINT64_MAX, 2 * S) == 1
       && limits_take(&b, UINT64_MAX, 3 * S) == 1, "any number is survived");
    ok(limits_take(&b, 0, 3600 * S) == 0, "and forgotten in an hour");

    /* Steps below a millisecond must not be lost. */

    limits_bucket(&b, 1000, S);
    (void) limits_take(&b, 10000, S);

    for (i = 1, rc = 0; i <= 1000; i++) {
        rc |= limits_take(&b, 0, S + i * 100000);
    }

    ok(b.tokens == 100, "small steps add up");

    limits_init(&l, 0, 50, S, 7 * S);
    ok(limits_check(&l, 11 * S, 0, 12 * S) == ENDING_NONE,
       "half a core is half a core");
    ok(limits_check(&l, 31 * S, 0, 32 * S) == ENDING_CPU,
       "a whole one for twenty seconds is too much");
}


static void
test_child(stats_t *s, size_t i, void (*act)(stats_t *s, size_t i),
    int capture)
{
    int            status;
    pid_t          pid;
    struct rusage  usage;

    stats_begin(s, i);
    pid = fork();

    if (pid == 0) {
        act(s, i);
        _exit(0);
    }

    if (wait4(pid, &status, 0, &usage) == pid) {
        stats_end(s, i, capture, status, &usage);
    }
}


static void
act_capture(stats_t *s, size_t i)
{
    stats_slot_t  *slot;

    slot = stats_child(s, i);
    stats_set(&slot->started, 1);
    stats_set(&slot->seen, 10);
    stats_set(&slot->written, 7);
    stats_set(&slot->dropped, 3);
    stats_set(&slot->ending, ENDING_CPU);
}

static void
act_lie(stats_t *s, size_t i)
{
    stats_slot_t  *slot;

    slot = stats_child(s, i);
    memset(slot, 0xff, sizeof(*slot));
}

/* As much as is believed. */

static void
act_most(stats_t *s, size_t i)
{
    stats_slot_t  *slot;

    slot = stats_child(s, i);
    stats_set(&slot->seen, UINT64_C(1) << 62);
    stats_set(&slot->bytes, UINT64_C(1) << 62);
    stats_set(&slot->cpu_ns, UINT64_C(1) << 62);
}

/* Writes where the page of another child was; no sanitizer stands between. */

static void
act_reach(stats_t *s, size_t i)
{
    char  *pages;

    (void) signal(SIGSEGV, SIG_DFL);
    pages = s->pages;
    (void) stats_child(s, i);
    memset(pages + (i + 1) * s->page_len, 1, 8);
}

static void
act_refused(stats_t *s, size_t i)
{
    problem_t      why;
    stats_slot_t  *slot;

    slot = stats_child(s, i);
    problem_set(&why, 429, "max_captures: 1 of 1 captures are running");
    stats_refused(slot, &why);
}


static void
test_stats(void)
{
    char             *text;
    stats_t           s;
    stats_totals_t    now, *t;

    ok(stats_init(&s, 3) == 0, "three pages");
    t = &s.totals;

    test_child(&s, 1, act_capture, 1);
    ok(t->seen == 10 && t->written == 7 && t->dropped == 3
       && t->started == 1 && t->ended[ENDING_CPU] == 1, "a capture is counted");

    test_child(&s, 2, act_lie, 1);
    ok(t->ended[ENDING_NONE] == 1 && t->seen == 10 && t->written == 7
       && t->dropped == 3 && t->bytes == 0 && t->started == 1
       && t->cpu_ns < 3600 * S, "a number that makes no sense does no harm");

    test_child(&s, 0, act_reach, 1);
    ok(t->ended[ENDING_KILLED] == 1, "no child reaches the page of another");

    test_child(&s, 0, act_refused, 0);
    ok(t->refused[STATS_MAX_CAPTURES] == 1, "a refusal by its name");

    /* A child that counts backwards. */

    stats_begin(&s, 0);
    stats_set((uint64_t *) (void *) s.pages, 100);
    stats_now(&s, &now);
    stats_set((uint64_t *) (void *) s.pages, 5);
    stats_now(&s, &now);
    ok(now.seen == 110, "no total goes down");

    text = stats_text(&now);
    ok(text && strstr(text, "\npcap_agent_packets_seen_total 110\n")
       && strstr(text, "reason=\"max_cpu_percent\"} 1\n")
       && strstr(text, "reason=\"max_captures\"} 1\n")
       && strstr(text, "pcap_agent_requests_refused_total"
                       "{reason=\"internal\"} 0\n"),
       "the text, to its last line");
    free(text);
    stats_free(&s);
}


/* Some children that lie within what is believed: totals stand still then. */

static void
test_full(void)
{
    unsigned         i, down;
    stats_t          s;
    stats_totals_t   now, last;

    ok(stats_init(&s, 2) == 0, "two pages");
    memset(&last, 0, sizeof(last));

    for (i = 0, down = 0; i < 10; i++) {
        test_child(&s, i % 2, act_most, 1);
        stats_begin(&s, 0);
        stats_set((uint64_t *) (void *) s.pages, UINT64_C(1) << 62);
        stats_now(&s, &now);
        down += now.seen < last.seen || now.bytes < last.bytes
                || now.cpu_ns < last.cpu_ns;
        last = now;
    }

    ok(down == 0 && last.seen == UINT64_MAX,
       "nor down because it is full");
    stats_free(&s);
}


static void
test_endings(void)
{
    unsigned  i;

    for (i = 0; i < ENDING_COUNT; i++) {
        if (ending_text(i)->label == NULL || ending_text(i)->words == NULL) {
            break;
        }
    }

    ok(i == ENDING_COUNT, "every ending has its words");
    ok(ending_text(1000) == ending_text(0), "and so has any other number");
}


int
main(void)
{
    test_buckets();
    test_stats();
    test_full();
    test_endings();

    return tap_done();
}
