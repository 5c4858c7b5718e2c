/*
 * t/pcapx_refuse.c: the scanner refuses every capture of pcapx_malformed.h
 * for the right reason. The answer (result and words) must not depend on how
 * much of the stream is in the window, once it is given it must stay, and
 * nothing outside of the window may be read.
 */

#include "tap.h"
#include "pcapx_malformed.h"


static guard_t  guard;


/* The result for a window of n bytes that is scanned to its end. */
static int
answer(const case_t *k, const craft_t *c, size_t n, pcapx_scan_t *s)
{
    int             rc;
    uint8_t        *p;
    pcapx_block_t   b;
    pcapx_iface_t   ifaces[2];

    p = guard_window(&guard, c->buf, n);
    pcapx_scan_init(s, ifaces, 2, k->profile, 0);

    do {
        rc = pcapx_scan_next(s, p, n, &b);

        if (rc == PCAPX_OK) {
            p += b.len;
            n -= b.len;
        }

    } while (rc == PCAPX_OK && n > 0);

    return rc;
}


static void
test_case(const case_t *k)
{
    int             rc, last;
    char            err[sizeof(((pcapx_scan_t *) 0)->err)];
    size_t          n, steady;
    pcapx_scan_t    s;
    static craft_t  c;

    c.len = 0;
    c.swap = 0;
    k->make(&c);

    rc = answer(k, &c, c.len, &s);
    memcpy(err, s.err, sizeof(err));

    /* Shorter windows: not yet known, or the very same answer for good. */

    last = PCAPX_OK;
    steady = 1;

    for (n = 0; n <= c.len; n++) {
        int  now = answer(k, &c, n, &s);

        if (now < 0 && (now != rc || strcmp(err, s.err) != 0)) {
            printf("# %zu bytes: %d, %s\n", n, now, s.err);
            steady = 0;
        }

        if (last < 0 && now >= 0) {
            steady = 0;
        }

        last = now;
    }

    if (!ok(rc == k->rc && strstr(err, k->words) && steady, "%s: %s",
            k->profile == AGENT ? "agent" : "any", k->name))
    {
        printf("# %d instead of %d, %s\n", rc, k->rc, err);
    }
}


/* What is refused to an agent only must be readable for everyone else. */
static void
test_readable(const case_t *k)
{
    int             rc;
    case_t          any;
    pcapx_scan_t    s;
    static craft_t  c;

    if (k->rc != PCAPX_EPROFILE || strstr(k->name, "too many")
        || strstr(k->name, "two lengths"))
    {
        return;
    }

    c.len = 0;
    c.swap = 0;
    k->make(&c);

    any = *k;
    any.profile = ANY;
    rc = answer(&any, &c, c.len, &s);

    ok(rc == PCAPX_OK, "any: %s is read", k->name);

    if (rc != PCAPX_OK) {
        printf("# %d, %s\n", rc, s.err);
    }
}


/* An agent cannot make us collect a large block that we do not want. */
static void
test_early(void)
{
    int             rc;
    size_t          len;
    case_t          k;
    pcapx_scan_t    s;
    static craft_t  c;

    memset(&k, 0, sizeof(k));
    make_unknown(&c);
    len = c.block + 8;

    k.profile = AGENT;
    rc = answer(&k, &c, len, &s);
    ok(rc == PCAPX_EPROFILE, "agent: 8 bytes of an unknown block are enough");

    k.profile = ANY;
    rc = answer(&k, &c, len, &s);
    ok(rc == PCAPX_AGAIN && s.need == 212, "any: it is asked for");
}


int
main(void)
{
    size_t  i;

    guard_init(&guard);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_case(&cases[i]);
    }

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_readable(&cases[i]);
    }

    test_early();

    return tap_done();
}
