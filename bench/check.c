/*
 * bench/check.c: is the merge's output complete and in order? It sorts the
 * inputs (one file per agent) by time stamp, agent and place, without any of
 * the merge's code, and compares the SHA-256 over the sequence of (agent,
 * time, lengths, bytes) with that of the output on standard input. It also
 * counts steps back in time. One line of JSON; exit 1 where they differ.
 *
 * Which agent a record is of stands in the output's interface names
 * ("replay/3/eth0"); comments and statistics are not part of the sequence.
 */

/* LDFLAGS: -lssl -lcrypto */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#define TOOL "check"
#include "bench/tool.h"
#include "pcapx/scan.h"


#define MAX_AGENTS   1024
#define WINDOW       (4 * 1024 * 1024)

typedef struct {
    uint64_t         ts;
    uint32_t         agent;
    uint32_t         caplen;
    uint32_t         origlen;
    const uint8_t   *data;
} record_t;

typedef struct {
    EVP_MD_CTX      *md;
    uint64_t         records;
    uint64_t         bytes;
    uint64_t         back;         /* steps back in time */
    uint64_t         last;
    char             hex[65];
} sum_t;

typedef struct {
    record_t        *rec;
    size_t           n;
    size_t           room;
} list_t;


static void
sum_begin(sum_t *s)
{
    memset(s, 0, sizeof(*s));
    s->md = EVP_MD_CTX_new();

    if (s->md == NULL || EVP_DigestInit_ex(s->md, EVP_sha256(), NULL) != 1) {
        die("sha256");
    }
}


static void
sum_add(sum_t *s, const record_t *r)
{
    uint8_t  head[20];

    memcpy(head, &r->agent, 4);
    memcpy(head + 4, &r->ts, 8);
    memcpy(head + 12, &r->caplen, 4);
    memcpy(head + 16, &r->origlen, 4);

    EVP_DigestUpdate(s->md, head, sizeof(head));
    EVP_DigestUpdate(s->md, r->data, r->caplen);

    s->back += r->ts < s->last;
    s->last = r->ts;
    s->records++;
    s->bytes += r->caplen;
}


static void
sum_end(sum_t *s)
{
    unsigned       i, len;
    unsigned char  md[EVP_MAX_MD_SIZE];

    EVP_DigestFinal_ex(s->md, md, &len);
    EVP_MD_CTX_free(s->md);

    for (i = 0; i < 32; i++) {
        snprintf(s->hex + 2 * i, 3, "%02x", md[i]);
    }
}


static void
record_of(record_t *r, const pcapx_block_t *b, uint32_t agent)
{
    r->ts = b->ts_ns;
    r->agent = agent;
    r->caplen = b->caplen;
    r->origlen = b->origlen;
    r->data = b->data;
}


static void
list_add(list_t *l, const pcapx_block_t *b, uint32_t agent)
{
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 1 << 16;
        l->rec = realloc(l->rec, l->room * sizeof(record_t));

        if (l->rec == NULL) {
            die("memory");
        }
    }

    record_of(&l->rec[l->n++], b, agent);
}


/* The records of one input; the file stays mapped. */
static void
list_file(list_t *l, const char *name, uint32_t agent)
{
    int             fd;
    size_t          left;
    struct stat     st;
    pcapx_scan_t    scan;
    pcapx_iface_t   ifaces[PCAPX_MAX_INTERFACES];
    pcapx_block_t   b;
    const uint8_t  *p;

    fd = open(name, O_RDONLY | O_CLOEXEC);

    if (fd == -1 || fstat(fd, &st) == -1) {
        die(name);
    }

    left = (size_t) st.st_size;
    p = mmap(NULL, left, PROT_READ, MAP_PRIVATE, fd, 0);

    if (p == MAP_FAILED) {
        die(name);
    }

    close(fd);
    pcapx_scan_init(&scan, ifaces, PCAPX_MAX_INTERFACES, PCAPX_PROFILE_AGENT,
                    0);

    while (left) {
        if (pcapx_scan_next(&scan, p, left, &b) != PCAPX_OK) {
            fprintf(stderr, "check: %s: %s\n", name, scan.err);
            exit(2);
        }

        if (b.type == PCAPX_BT_EPB) {
            list_add(l, &b, agent);
        }

        p += b.len;
        left -= b.len;
    }
}


static int
compare(const void *x, const void *y)
{
    const record_t  *a = x, *b = y;

    if (a->ts != b->ts) {
        return a->ts < b->ts ? -1 : 1;
    }

    if (a->agent != b->agent) {
        return a->agent < b->agent ? -1 : 1;
    }

    /* of one file, so the place decides */

    return a->data < b->data ? -1 : 1;
}


/* "replay/3/eth0": 3 */
static uint32_t
agent_of(const pcapx_scan_t *s, const pcapx_block_t *b)
{
    char              name[128];
    unsigned          agent;
    pcapx_opt_t       opt;
    pcapx_opt_iter_t  it;

    pcapx_opt_begin(&it, s, b);

    while (pcapx_opt_next(&it, &opt) == PCAPX_OK) {
        if (opt.code != PCAPX_IF_NAME || opt.len >= sizeof(name)) {
            continue;
        }

        memcpy(name, opt.value, opt.len);
        name[opt.len] = '\0';

        if (sscanf(name, "replay/%u/", &agent) == 1) {
            return agent;
        }
    }

    fprintf(stderr, "check: an interface without a known name\n");
    exit(2);
}


static void
sum_block(sum_t *s, pcapx_scan_t *scan, const pcapx_block_t *b,
    uint32_t *agents)
{
    record_t  r;

    if (b->type == PCAPX_BT_IDB) {
        agents[b->iface] = agent_of(scan, b);

    } else if (b->type == PCAPX_BT_EPB) {
        record_of(&r, b, agents[b->iface]);
        sum_add(s, &r);
    }
}


static void
sum_output(sum_t *s)
{
    int             rc;
    size_t          len, at, n;
    uint8_t        *mem;
    uint32_t        agents[MAX_AGENTS];
    pcapx_scan_t    scan;
    pcapx_iface_t   ifaces[MAX_AGENTS];
    pcapx_block_t   b;

    mem = malloc(WINDOW);

    if (mem == NULL) {
        die("memory");
    }

    pcapx_scan_init(&scan, ifaces, MAX_AGENTS, PCAPX_PROFILE_ANY, 0);
    len = 0;

    while ((n = fread(mem + len, 1, WINDOW - len, stdin)) > 0) {
        len += n;
        at = 0;

        while ((rc = pcapx_scan_next(&scan, mem + at, len - at, &b))
               == PCAPX_OK)
        {
            sum_block(s, &scan, &b, agents);
            at += b.len;
        }

        if (rc != PCAPX_AGAIN) {
            fprintf(stderr, "check: output: %s\n", scan.err);
            exit(2);
        }

        len -= at;
        memmove(mem, mem + at, len);
    }

    free(mem);

    if (len) {
        fprintf(stderr, "check: the output ends within a block\n");
        exit(2);
    }
}


int
main(int argc, char **argv)
{
    int     i, ok;
    size_t  k;
    sum_t   in, out;
    list_t  list;

    if (argc < 2 || argc > MAX_AGENTS + 1) {
        fprintf(stderr, "usage: check INPUT... < OUTPUT\n");
        return 2;
    }

    memset(&list, 0, sizeof(list));

    for (i = 1; i < argc; i++) {
        list_file(&list, argv[i], (uint32_t) (i - 1));
    }

    if (list.n > 0) {
        qsort(list.rec, list.n, sizeof(record_t), compare);
    }

    sum_begin(&in);

    for (k = 0; k < list.n; k++) {
        sum_add(&in, &list.rec[k]);
    }

    sum_end(&in);
    sum_begin(&out);
    sum_output(&out);
    sum_end(&out);

    ok = strcmp(in.hex, out.hex) == 0 && out.back == 0
         && in.records == out.records;

    printf("{\"records\":%llu,\"packet_bytes\":%llu,\"missing\":%lld,"
           "\"back\":%llu,\"sha256\":\"%s\",\"sha256_in\":\"%s\","
           "\"complete\":%s}\n", (unsigned long long) out.records,
           (unsigned long long) out.bytes,
           (long long) (in.records - out.records),
           (unsigned long long) out.back, out.hex, in.hex,
           ok ? "true" : "false");
    free(list.rec);

    return ok ? 0 : 1;
}
