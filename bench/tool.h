/*
 * bench/tool.h: what the programs of the benchmarks have in common. Each
 * defines TOOL, its name in messages, before it includes this.
 */

#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>


/* Ends the program: what failed, and errno's text. */
static inline _Noreturn void
die(const char *what)
{
    fprintf(stderr, TOOL ": %s: %s\n", what, strerror(errno));
    exit(1);
}


/* The same for what has no errno. */
static inline _Noreturn void
die_of(const char *what)
{
    fprintf(stderr, TOOL ": %s\n", what);
    exit(1);
}


/* Nanoseconds of that clock. */
static inline uint64_t
clock_ns(clockid_t id)
{
    struct timespec  ts;

    clock_gettime(id, &ts);

    return (uint64_t) ts.tv_sec * 1000000000U + (uint64_t) ts.tv_nsec;
}


/*
 * The next full multiple of the interval by the machine's clock, ns. It is up
 * to spread ns late, by number: the clocks of many machines are not one.
 */
static inline uint64_t
next_beat(uint64_t now, uint64_t interval, uint64_t spread, unsigned number)
{
    uint64_t  off;

    off = spread * (number * 2654435761U >> 16 & 0xffff) / 0x10000;

    return now + interval - (now + interval - off) % interval;
}


/* A decimal number from min to max, or the end of the program. */
static inline uint64_t
number(const char *text, uint64_t min, uint64_t max)
{
    char                *end;
    unsigned long long   n;

    errno = 0;
    n = strtoull(text, &end, 10);

    if (errno || *text < '0' || *text > '9' || *end || n < min || n > max) {
        fprintf(stderr, TOOL ": \"%s\" is not a number from %llu to %llu\n",
                text, (unsigned long long) min, (unsigned long long) max);
        exit(2);
    }

    return n;
}


#endif /* BENCH_TOOL_H */
