/*
 * t/pcapx_nomalloc.c: the library allocates nothing, not per record and not
 * at all. The linker sends every allocation of the library and of this file
 * to the counters below; one of our own proves that they count.
 */
/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free */
/* LDFLAGS: -Wl,--wrap=strdup,--wrap=posix_memalign,--wrap=aligned_alloc */
/* LDFLAGS: -Wl,--wrap=reallocarray,--wrap=mmap */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tap.h"
#include "pcapx/merge.h"
#include "pcapx/scan.h"
#include "pcapx/valid.h"
#include "pcapx/write.h"


#define NRECORDS  1000

static unsigned long  calls;

void *__real_malloc(size_t n);
void __real_free(void *p);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
int __wrap_posix_memalign(void **p, size_t a, size_t n);
void *__wrap_aligned_alloc(size_t a, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t m);
void *__wrap_mmap(void *p, size_t n, int prot, int flags, int fd, off_t off);


void *
__wrap_malloc(size_t n)
{
    calls++;

    return __real_malloc(n);
}


void
__wrap_free(void *p)
{
    calls++;
    __real_free(p);
}


/* Whoever calls one of these is refused as well as counted. */

void *
__wrap_calloc(size_t n, size_t m)
{
    (void) n;
    (void) m;
    calls++;

    return NULL;
}


void *
__wrap_realloc(void *p, size_t n)
{
    (void) p;
    (void) n;
    calls++;

    return NULL;
}


char *
__wrap_strdup(const char *s)
{
    (void) s;
    calls++;

    return NULL;
}


int
__wrap_posix_memalign(void **p, size_t a, size_t n)
{
    (void) p;
    (void) a;
    (void) n;
    calls++;

    return 12;      /* ENOMEM */
}


void *
__wrap_aligned_alloc(size_t a, size_t n)
{
    (void) a;
    (void) n;
    calls++;

    return NULL;
}


void *
__wrap_reallocarray(void *p, size_t n, size_t m)
{
    (void) p;
    (void) n;
    (void) m;
    calls++;

    return NULL;
}


void *
__wrap_mmap(void *p, size_t n, int prot, int flags, int fd, off_t off)
{
    (void) p;
    (void) n;
    (void) prot;
    (void) flags;
    (void) fd;
    (void) off;
    calls++;

    return MAP_FAILED;
}


static uint8_t  buf[512 * 1024];


static size_t
use_writer(void)
{
    int            i, rc;
    uint8_t        packet[100];
    pcapx_opt_t    c;
    pcapx_out_t    o;
    pcapx_name_t   name;
    pcapx_stats_t  st;

    memset(packet, 0, sizeof(packet));
    memset(&st, 0, sizeof(st));
    memset(&name, 0, sizeof(name));

    st.present = 0x7f;
    c.code = PCAPX_OPT_COMMENT;
    c.len = 5;
    c.value = (const uint8_t *) "hello";
    name.addr_len = 4;
    name.name = "x";
    name.name_len = 1;

    o.pos = buf;
    o.end = buf + sizeof(buf);

    rc = pcapx_put_shb(&o, &c, 1);
    rc |= pcapx_put_idb(&o, 1, 65535, &c, 1);
    rc |= pcapx_put_nrb(&o, &name, 1);

    for (i = 0; i < NRECORDS; i++) {
        rc |= pcapx_put_epb(&o, 0, (uint64_t) i, packet, 100, 100, &c, 1);
        rc |= pcapx_put_isb(&o, 0, (uint64_t) i, &st, &c, 1);
    }

    pcapx_put_shb(&o, NULL, 0);

    return rc == PCAPX_OK ? (size_t) (o.pos - buf) : 0;
}


static int
use_scanner(size_t len)
{
    int               n;
    uint8_t          *p;
    pcapx_opt_t       opt;
    pcapx_scan_t      s;
    pcapx_block_t     b;
    pcapx_stats_t     st;
    pcapx_iface_t     iface;
    pcapx_opt_iter_t  it;

    n = 0;
    p = buf;
    pcapx_scan_init(&s, &iface, 1, PCAPX_PROFILE_ANY, 0);

    while (pcapx_scan_next(&s, p, len, &b) == PCAPX_OK) {
        pcapx_scan_stats(&s, &b, &st);
        pcapx_opt_begin(&it, &s, &b);

        while (pcapx_opt_next(&it, &opt) == PCAPX_OK) { /* void */ }

        p += b.len;
        len -= b.len;
        n++;
    }

    /* and a refusal, with its words */

    pcapx_scan_init(&s, &iface, 1, PCAPX_PROFILE_AGENT, 0);
    pcapx_scan_next(&s, buf + 4, 64, &b);

    return n;
}


static uint32_t
use_merge(void)
{
    uint32_t         i, n;
    uint64_t         ts;
    pcapx_merge_t    m;
    static uint64_t  mem[1024];

    if (pcapx_merge_size(16) > sizeof(mem)) {
        return 0;
    }

    pcapx_merge_init(&m, mem, 16);

    for (i = 0; i < 16; i++) {
        pcapx_merge_head(&m, i, i);
    }

    ts = 100;

    for (n = 0; n < NRECORDS && pcapx_merge_top(&m, &i) == PCAPX_OK; n++) {
        pcapx_merge_take(&m, i);
        pcapx_merge_wait(&m, i, ts);

        if (pcapx_merge_follows(&m, i, ts)) {
            pcapx_merge_take_next(&m, ts);
        }

        pcapx_merge_head(&m, i, ts++);
    }

    pcapx_merge_release(&m, 0);
    pcapx_merge_end(&m, 1);

    return n;
}


static void
use_checks(void)
{
    int           out;
    char          err[PCAPX_ERR_LEN], text[] = "a=%20&b=%zz";
    char         *pos;
    uint8_t       addr[16], addr_len;
    uint16_t      port;
    uint32_t      snaplen;
    uint64_t      v;
    pcapx_pair_t  pair;

    pcapx_valid_interface("eth/0", 5, err);
    pcapx_parse_snaplen("0", 1, &snaplen, err);
    pcapx_valid_filter("tcp\r", 4, err);
    pcapx_parse_duration("5x", 2, &v, err);
    pcapx_parse_size("5x", 2, &v, err);
    pcapx_parse_flag("flag", "maybe", 5, &out, err);
    pcapx_parse_format("json", 4, &out, err);
    pcapx_parse_endpoint("[::1]:99999", 11, addr, &addr_len, &port, err);
    pcapx_parse_endpoint("192.0.2.1:80", 12, addr, &addr_len, &port, err);
    pcapx_valid_capture_id("x", 1, err);
    pcapx_valid_instance("a//b", 4, err);
    pcapx_valid_text("reason", "\xff", 1, 10, err);

    pos = text;

    while (pcapx_form_next(&pos, text + sizeof(text) - 1, &pair, err)
           == PCAPX_OK) { /* void */ }
}


int
main(void)
{
    int             n;
    void           *volatile p;
    size_t          len;
    uint32_t        taken;
    unsigned long   seen[4];

    p = malloc(1);
    free(p);
    ok(calls == 2, "allocations are counted");

    calls = 0;
    len = use_writer();
    seen[0] = calls;
    n = use_scanner(len);
    seen[1] = calls;
    taken = use_merge();
    seen[2] = calls;
    use_checks();
    seen[3] = calls;

    ok(len != 0 && seen[0] == 0, "the writer allocates nothing");
    ok(n == 2 * NRECORDS + 4 && seen[1] == seen[0],
       "the scanner allocates nothing");
    ok(taken == NRECORDS && seen[2] == seen[1],
       "the merge allocates nothing");
    ok(seen[3] == seen[2], "the checks allocate nothing");

    return tap_done();
}
