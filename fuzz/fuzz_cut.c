/*
 * fuzz/fuzz_cut.c: any bytes as a stream that is cut behind its blocks, by
 * pcap-store and for who follows its files. In whatever portions they come the
 * answer is the same, and who goes on behind a cut finds the same next one.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pcapx/cut.h"
#include "fuzz/require.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* The same bytes, at most n at once. */
static int
feed(pcapx_cut_t *c, const uint8_t *p, size_t len, size_t n)
{
    int       rc;
    size_t    part;
    uint64_t  whole;

    rc = 0;

    while (len && rc == 0) {
        part = len < n ? len : n;
        whole = c->whole;
        rc = pcapx_cut_feed(c, p, part);

        require(c->whole >= whole);
        require(rc != 0 || c->whole <= c->offset);
        require(rc == 0 || c->err[0] != '\0');

        p += part;
        len -= part;
    }

    return rc;
}


/* From each cut on, in the kind that the begin has told. */
static void
resumed(const pcapx_cut_t *all, const uint8_t *data, size_t size)
{
    pcapx_cut_t  c;

    pcapx_cut_resume(&c, all->kind);
    require(feed(&c, data + all->whole, size - all->whole, 5) == 0);
    require(c.whole == 0);
    require(c.left == all->left && c.have == all->have);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int       rc;
    pcapx_cut_t     once, parts;
    uint8_t  *copy;

    if (size < 1) {
        return 0;
    }

    /* of exactly the right size, so that a sanitizer sees all */

    copy = malloc(size);
    if (copy == NULL) {
        return 0;
    }

    memcpy(copy, data, size);

    pcapx_cut_init(&once);
    pcapx_cut_init(&parts);

    rc = feed(&once, copy, size, size);
    require(feed(&parts, copy, size, copy[0] % 16 + 1) == rc);
    require(once.whole == parts.whole && once.kind == parts.kind);
    require(strcmp(once.err, parts.err) == 0);

    if (rc == 0 && once.whole) {
        resumed(&once, copy, size);
    }

    free(copy);

    return 0;
}
