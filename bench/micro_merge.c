/*
 * bench/micro_merge.c: what one record costs in the library: the scan alone,
 * and scan plus merge, of 96-byte blocks (packets of 64 bytes) in windows of
 * 64 KiB as nginx hands them over. One line per case, nanoseconds per
 * record: the median of nine runs and their range. Not part of the
 * contract's figures; it shows at once what a change of the hot path costs.
 *
 *   micro_merge scan|merge SOURCES PACKET RUN WINDOWS
 *
 * runs one case once, of any size, and prints the number of records alone:
 * for bench/instructions, which counts what the library does meanwhile.
 */


#define TOOL "micro_merge"
#include "bench/tool.h"
#include "pcapx/merge.h"
#include "pcapx/scan.h"
#include "pcapx/write.h"


#define MAX_SOURCES   1000
#define MAX_PACKET    65535
#define WINDOW        65536
#define MANY_WINDOW   4096          /* of more than MANY sources, each */
#define MANY          16
#define PACKET        64
#define WINDOWS       200           /* read one after the other per run */
#define RUNS          9

typedef struct {
    uint8_t        head[256];       /* SHB and IDB */
    uint8_t       *buf;
    pcapx_iface_t  iface;
    pcapx_scan_t   scan;
    uint32_t       at;
    uint32_t       windows;         /* still to come */
    uint64_t       base;            /* added to each time stamp */
} source_t;

typedef struct {
    uint32_t       nsrc;
    uint32_t       packet;          /* bytes captured */
    uint32_t       burst;           /* records of one source in a row */
    uint32_t       windows;         /* of each source */
    int            shuffle;
} case_t;

typedef struct {
    source_t       src[MAX_SOURCES];
    uint32_t       nsrc;
    uint32_t       end;             /* bytes used of a window */
    uint64_t       span;            /* time in one window */
    uint64_t       sum;             /* keeps the compiler honest */
    uint64_t       records;
} bench_t;


/* The head of the stream, read by the scanner. */
static void
prepare_head(source_t *s)
{
    uint32_t       k;
    pcapx_out_t    o;
    pcapx_block_t  b;

    o.pos = s->head;
    o.end = s->head + sizeof(s->head);
    pcapx_put_shb(&o, NULL, 0);
    pcapx_put_idb(&o, PCAPX_LINKTYPE_ETHERNET, 65535, NULL, 0);

    pcapx_scan_init(&s->scan, &s->iface, 1, PCAPX_PROFILE_AGENT, 0);

    for (k = 0; k < (uint32_t) (o.pos - s->head); k += b.len) {
        if (pcapx_scan_next(&s->scan, s->head + k, sizeof(s->head) - k, &b)
            != PCAPX_OK)
        {
            die_of(s->scan.err);
        }
    }
}


/*
 * burst records of one source stand next to each other in time, then comes
 * the next source; shuffle changes the order of the sources every time.
 */
static void
prepare(bench_t *t, const case_t *c)
{
    uint32_t        i, k, slot, window, each;
    uint64_t        rng;
    source_t       *s;
    pcapx_out_t     o;
    static uint8_t  packet[MAX_PACKET];

    rng = 88172645463325252u;
    window = c->nsrc > MANY ? MANY_WINDOW : WINDOW;
    each = window / (uint32_t) pcapx_epb_len(c->packet, 0);

    t->nsrc = c->nsrc;
    t->end = each * (uint32_t) pcapx_epb_len(c->packet, 0);
    t->span = (uint64_t) each * c->nsrc * 1000;
    t->sum = 0;
    t->records = 0;

    for (i = 0; i < c->nsrc; i++) {
        s = &t->src[i];
        s->buf = s->buf ? s->buf : malloc(WINDOW);

        if (s->buf == NULL) {
            die("memory");
        }

        prepare_head(s);
        o.pos = s->buf;
        o.end = s->buf + window;

        for (k = 0; k < each; k++) {
            slot = i;

            if (c->shuffle) {

                /* xorshift64 (Marsaglia); time stamps may collide. */

                rng ^= rng << 13;
                rng ^= rng >> 7;
                rng ^= rng << 17;
                slot = (uint32_t) (rng % c->nsrc);
            }

            pcapx_put_epb(&o, 0, ((uint64_t) (k / c->burst) * c->nsrc + slot)
                          * 1000 * c->burst + k % c->burst, packet,
                          c->packet, c->packet, NULL, 0);
        }

        s->at = 0;
        s->base = 0;
        s->windows = c->windows;
    }
}


/* The next record of s, or 0 when all its windows were read. */
static inline int
next(bench_t *t, source_t *s, pcapx_block_t *b)
{
    if (s->at == t->end) {

        if (--s->windows == 0) {
            return 0;
        }

        s->at = 0;
        s->base += t->span;
    }

    if (pcapx_scan_next(&s->scan, s->buf + s->at, t->end - s->at, b)
        != PCAPX_OK)
    {
        die_of(s->scan.err);
    }

    s->at += b->len;

    return 1;
}


static void
run_scan(bench_t *t)
{
    uint32_t       i;
    pcapx_block_t  b;

    for (i = 0; i < t->nsrc; i++) {
        while (next(t, &t->src[i], &b)) {
            t->sum += b.ts_ns + b.caplen;
            t->records++;
        }
    }
}


static void
run_merge(bench_t *t)
{
    uint32_t         i;
    uint64_t         ts;
    source_t        *s;
    pcapx_merge_t    m;
    pcapx_block_t    b;
    static uint64_t  mem[MAX_SOURCES * 8];

    if (pcapx_merge_size(t->nsrc) > sizeof(mem)) {
        die_of("no room for the merge");
    }

    pcapx_merge_init(&m, mem, t->nsrc);

    for (i = 0; i < t->nsrc; i++) {
        if (!next(t, &t->src[i], &b)) {
            die_of("a source without a record");
        }

        pcapx_merge_head(&m, i, b.ts_ns);
    }

    while (pcapx_merge_top(&m, &i) == PCAPX_OK) {
        s = &t->src[i];
        pcapx_merge_take(&m, i);
        t->records++;

        for ( ;; ) {
            if (!next(t, s, &b)) {
                pcapx_merge_end(&m, i);
                break;
            }

            ts = b.ts_ns + s->base;
            t->sum += b.caplen;

            if (!pcapx_merge_follows(&m, i, ts)) {
                pcapx_merge_head(&m, i, ts);
                break;
            }

            pcapx_merge_take_next(&m, ts);
            t->records++;
        }
    }

    if (m.late) {
        die_of("a record came out late");
    }
}


static int
by_value(const void *a, const void *b)
{
    double  x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}


static void
measure(const char *name, void (*run)(bench_t *t), case_t c)
{
    int              i;
    double           ns[RUNS];
    uint64_t         start;
    static bench_t   t;

    for (i = 0; i < RUNS; i++) {
        prepare(&t, &c);

        start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        run(&t);
        ns[i] = (double) (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start)
                / (double) t.records;
    }

    qsort(ns, RUNS, sizeof(ns[0]), by_value);
    printf("%-32s %6.2f ns/record (%.2f to %.2f), %llu records\n", name,
           ns[RUNS / 2], ns[0], ns[RUNS - 1],
           (unsigned long long) t.records);
}


static void
once(char **argv)
{
    case_t          c;
    static bench_t  t;

    c.nsrc = (uint32_t) number(argv[2], 1, MAX_SOURCES);
    c.packet = (uint32_t) number(argv[3], 1, c.nsrc > MANY ? 2048 : 32768);
    c.burst = (uint32_t) number(argv[4], 1, WINDOW);
    c.windows = (uint32_t) number(argv[5], 1, 1000000);
    c.shuffle = 0;

    prepare(&t, &c);
    (strcmp(argv[1], "scan") == 0 ? run_scan : run_merge)(&t);
    printf("%llu\n", (unsigned long long) t.records);
}


int
main(int argc, char **argv)
{
    if (argc == 6) {
        once(argv);
        return 0;
    }

    measure("scan", run_scan, (case_t) { 16, PACKET, 1, WINDOWS, 0 });
    measure("scan+merge, 1 source", run_merge,
            (case_t) { 1, PACKET, 1, WINDOWS, 0 });
    measure("scan+merge, 16 in turn", run_merge,
            (case_t) { 16, PACKET, 1, WINDOWS, 0 });
    measure("scan+merge, 16 at random", run_merge,
            (case_t) { 16, PACKET, 1, WINDOWS, 1 });
    measure("scan+merge, 16 in runs of 8", run_merge,
            (case_t) { 16, PACKET, 8, WINDOWS, 0 });
    measure("scan+merge, 1000 in turn", run_merge,
            (case_t) { 1000, PACKET, 1, WINDOWS / 10, 0 });

    return 0;
}
