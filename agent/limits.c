/*
 * agent/limits.c: see limits.h. Filling counts whole milliseconds and keeps
 * the rest for the next time, so that many short steps add up to the same.
 */

#include <string.h>

#include "limits.h"


#define MS  UINT64_C(1000000)

/* What a millisecond brings: so 64 bits hold any rate of the configuration. */
#define LIMITS_MAX_MS  (LIMITS_BURST_S * 1000)


static int64_t limits_full(const limits_bucket_t *b);


void
limits_bucket(limits_bucket_t *b, uint64_t rate, uint64_t now_ns)
{
    b->rate = rate;
    b->at_ns = now_ns;
    b->tokens = limits_full(b);
}


static int64_t
limits_full(const limits_bucket_t *b)
{
    return (int64_t) (b->rate * LIMITS_BURST_S);
}


int
limits_take(limits_bucket_t *b, uint64_t n, uint64_t now_ns)
{
    uint64_t  ms;

    if (b->rate == 0) {
        return 0;
    }

    ms = (now_ns - b->at_ns) / MS;
    b->at_ns += ms * MS;

    if (ms > LIMITS_MAX_MS) {
        ms = LIMITS_MAX_MS;
    }

    b->tokens += (int64_t) (b->rate * ms / 1000);

    if (b->tokens > limits_full(b)) {
        b->tokens = limits_full(b);
    }

    /* A total that jumps (another process wrote it) must not wrap around. */

    if (n > INT64_MAX / 2) {
        n = INT64_MAX / 2;
    }

    b->tokens -= (int64_t) n;

    if (b->tokens < -limits_full(b)) {
        b->tokens = -limits_full(b);
    }

    return b->tokens < 0;
}


void
limits_init(limits_t *l, uint64_t bytes_per_s, uint64_t cpu_percent,
    uint64_t now_ns, uint64_t cpu_ns)
{
    memset(l, 0, sizeof(*l));
    l->last_cpu_ns = cpu_ns;
    limits_bucket(&l->bytes, bytes_per_s, now_ns);
    limits_bucket(&l->cpu, cpu_percent * (1000 * MS / 100), now_ns);
}


ending_t
limits_check(limits_t *l, uint64_t now_ns, uint64_t bytes, uint64_t cpu_ns)
{
    int  sent, used;

    sent = limits_take(&l->bytes, bytes - l->last_bytes, now_ns);
    used = limits_take(&l->cpu, cpu_ns - l->last_cpu_ns, now_ns);
    l->last_bytes = bytes;
    l->last_cpu_ns = cpu_ns;

    return sent ? ENDING_BANDWIDTH : used ? ENDING_CPU : ENDING_NONE;
}
