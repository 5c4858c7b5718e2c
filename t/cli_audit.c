/*
 * t/cli_audit.c: a chain of audit lines and everything that can be done to
 * it: each change is found and said where it is, and what is none is not.
 */

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "cli/audit_check.h"
#include "pcapx/pcapx.h"
#include "tap.h"

/* LDFLAGS: -lcrypto */


#define MAX_LINES  64
#define LINE_LEN   512

static const unsigned char  key[] = "0123456789abcdef0123456789abcdef";

typedef struct {
    char   line[MAX_LINES][LINE_LEN];
    char   mac[MAX_LINES][PCAPX_AUDIT_MAC_LEN + 1];
    size_t n;
} chain_t;

/* What a check has found. */

typedef struct {
    char            text[8192];
    audit_result_t  res;
} found_t;


static void
put_mac(char *hex, const char *body)
{
    size_t         i;
    unsigned       n;
    unsigned char  mac[EVP_MAX_MD_SIZE];

    n = 0;
    HMAC(EVP_sha256(), key, sizeof(key) - 1, (const unsigned char *) body,
         strlen(body), mac, &n);

    for (i = 0; i < 32; i++) {
        snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    }
}


/* One more line, with its number and what it follows from. */
static void
put_line(chain_t *c, uint64_t seq, const char *prev)
{
    char    body[LINE_LEN - 80], mac[PCAPX_AUDIT_MAC_LEN + 1];

    snprintf(body, sizeof(body), "{\"seq\":%" PRIu64 ",\"time\":\"2026\","
             "\"event\":\"stop\",\"prev\":\"%.64s\"", seq, prev);
    put_mac(mac, body);
    memcpy(c->mac[c->n], mac, sizeof(mac));
    snprintf(c->line[c->n], LINE_LEN, "%s,\"mac\":\"%s\"}", body, mac);
    c->n++;
}


static void
make_chain(chain_t *c, size_t n)
{
    char    zero[PCAPX_AUDIT_MAC_LEN + 1];
    size_t  i;

    memset(zero, '0', sizeof(zero) - 1);
    zero[sizeof(zero) - 1] = '\0';
    c->n = 0;

    for (i = 0; i < n; i++) {
        put_line(c, i + 1, i ? c->mac[i - 1] : zero);
    }
}


static void
on_found(void *data, const char *text)
{
    size_t    len;
    found_t  *f = data;

    len = strlen(f->text);
    snprintf(f->text + len, sizeof(f->text) - len, "%s\n", text);
}


static FILE *
open_text(const char *text, size_t len)
{
    FILE  *f;

    f = tmpfile();

    if (f == NULL || fwrite(text, 1, len, f) != len) {
        printf("Bail out! no temporary file\n");
        exit(1);
    }

    rewind(f);

    return f;
}


static void
check_rules(found_t *f, audit_rules_t *rules, const char *const *texts,
    size_t n)
{
    size_t          i;
    audit_source_t  src[4] = { { 0 } };

    static const char *const  names[] = { "a", "b", "c", "d" };

    memset(f, 0, sizeof(found_t));
    rules->found = on_found;
    rules->data = f;

    for (i = 0; i < n; i++) {
        src[i].name = names[i];
        src[i].f = open_text(texts[i], strlen(texts[i]));
    }

    ok(audit_check(src, n, rules, &f->res) == 0, "it is read");

    for (i = 0; i < n; i++) {
        fclose(src[i].f);
    }
}


/* The lines of order, counted from 1, ended by 0, as text. */
static char *
text_of(const chain_t *c, const unsigned *order)
{
    char    *text;
    size_t   len;

    text = calloc(MAX_LINES, LINE_LEN);
    len = 0;

    for ( ; *order; order++) {
        len += (size_t) snprintf(text + len, MAX_LINES * LINE_LEN - len,
                                 "%s\n", c->line[*order - 1]);
    }

    return text;
}


static void
expect(const char *name, const found_t *f, uint64_t findings,
    const char *words)
{
    ok(f->res.findings == findings && strstr(f->text, words) != NULL,
       "%s: %" PRIu64 " findings, \"%s\"", name, findings, words);

    if (f->res.findings != findings || strstr(f->text, words) == NULL) {
        printf("# %" PRIu64 ": %s\n", f->res.findings, f->text);
    }
}


static void
test_orders(void)
{
    char           *text;
    size_t          i;
    chain_t         c;
    found_t         f;
    audit_rules_t   rules = { .key = key, .key_len = sizeof(key) - 1 };

    static const struct {
        const char  *name;
        unsigned     order[16];
        uint64_t     findings;
        const char  *words;
    } cases[] = {
        { "whole", { 1, 2, 3, 4, 5 }, 0, "" },
        { "one line", { 1 }, 0, "" },
        { "from the middle", { 3, 4, 5 }, 0, "" },
        { "without a tail", { 1, 2, 3 }, 0, "" },
        { "removed", { 1, 2, 4, 5 }, 1,
          "a:3: line 3 is missing in front of line 4" },
        { "two removed", { 1, 4, 5 }, 1,
          "a:2: lines 2 to 3 are missing in front of line 4" },
        { "moved down", { 1, 3, 2, 4 }, 2,
          "a:3: line 2 was moved, or is there twice: it stands behind line "
          "3" },
        { "moved up", { 1, 4, 2, 3, 5 }, 3, "a:3: line 2 was moved" },
        { "moved to the end", { 1, 2, 4, 5, 3 }, 2, "a:5: line 3 was moved" },
        { "doubled", { 1, 2, 2, 3 }, 1, "a:3: line 2 is there twice" },
        { "doubled later", { 1, 2, 3, 2 }, 1, "a:4: line 2 was moved, or is"
          " there twice" },
        { "nothing", { 0 }, 1, "there is not one line" },
    };

    make_chain(&c, 5);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text = text_of(&c, cases[i].order);
        check_rules(&f, &rules, (const char *const *) &text, 1);
        expect(cases[i].name, &f, cases[i].findings, cases[i].words);
        free(text);
    }
}


/* Every single byte of a line matters, the newline included. */
static void
test_bytes(void)
{
    char           *text;
    size_t          i, from, n, missed;
    chain_t         c;
    found_t         f;
    audit_rules_t   rules = { .key = key, .key_len = sizeof(key) - 1 };

    static const unsigned  order[] = { 1, 2, 3, 0 };

    make_chain(&c, 3);
    text = text_of(&c, order);
    from = strlen(c.line[0]) + 1;
    n = strlen(c.line[1]) + 1;
    missed = 0;

    for (i = from; i < from + n; i++) {
        audit_source_t  src = { .name = "a" };

        text[i] ^= 1;
        memset(&f, 0, sizeof(f));
        rules.found = on_found;
        rules.data = &f;
        src.f = open_text(text, strlen(text));
        (void) audit_check(&src, 1, &rules, &f.res);
        fclose(src.f);
        text[i] ^= 1;

        if (f.res.findings == 0) {
            printf("# a change of byte %zu is not seen\n", i);
            missed++;
        }
    }

    ok(missed == 0, "a change of any of %zu bytes is found", n);

    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("all bytes are back", &f, 0, "");

    text[from + 20] ^= 1;
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("one finding for one change", &f, 1,
           "a:2: line 2 was changed: its code is wrong");
    text[from + 20] ^= 1;

    text[from + n - 1] = '\r';
    check_rules(&f, &rules, (const char *const *) &text, 1);
    ok(f.res.findings > 0, "two lines made one");
    free(text);
}


/* What a changed line hides is not hidden. */
static void
test_changed_and_missing(void)
{
    char           *text;
    chain_t         c;
    found_t         f;
    audit_rules_t   rules = { .key = key, .key_len = sizeof(key) - 1 };

    static const unsigned  order[] = { 1, 2, 5, 0 };

    make_chain(&c, 5);
    text = text_of(&c, order);
    text[strlen(c.line[0]) + 30] ^= 1;
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("changed and missing", &f, 2,
           "lines 2 to 4 are missing in front of line 5, or were changed");
    free(text);
}


static void
mark(audit_mark_t *m, uint64_t seq, const char *mac)
{
    m->seq = seq;
    memcpy(m->mac, mac, sizeof(m->mac));
}


static void
test_marks(void)
{
    char           *text;
    chain_t         c;
    found_t         f;
    audit_rules_t   rules = { .key = key, .key_len = sizeof(key) - 1 };

    static const unsigned  part[] = { 3, 4, 5, 0 };

    make_chain(&c, 6);
    text = text_of(&c, part);

    mark(&rules.head, 5, c.mac[4]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("head", &f, 0, "");

    mark(&rules.head, 4, c.mac[3]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("head of some time ago", &f, 0, "");

    mark(&rules.head, 4, c.mac[4]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("another head", &f, 1, "line 4 is not the one that --head names");

    mark(&rules.head, 6, c.mac[5]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("cut tail", &f, 1, "the log ends with line 5, but --head names"
           " line 6: its tail was cut");

    rules.head.seq = 2;
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("head that was deleted", &f, 1,
           "line 2, which --head names, is not there");

    rules.head.seq = 0;
    mark(&rules.first, 3, c.mac[2]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("first", &f, 0, "");

    mark(&rules.first, 2, c.mac[1]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("the one in front of first", &f, 0, "");

    mark(&rules.first, 1, c.mac[0]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("first was removed", &f, 1, "the chain begins with line 3");

    rules.first.seq = 3;
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("another first", &f, 1, "the chain begins with line 3");
    free(text);
}


static void
test_files(void)
{
    char           *texts[3];
    chain_t         c;
    found_t         f;
    audit_rules_t   rules = { .key = key, .key_len = sizeof(key) - 1 };

    /* as workers write while the log is rotated */
    static const unsigned  a[] = { 1, 2, 3, 5, 0 };
    static const unsigned  b[] = { 4, 6, 7, 0 };
    static const unsigned  late[] = { 8, 9, 0 };

    make_chain(&c, 9);
    texts[0] = text_of(&c, late);
    texts[1] = text_of(&c, b);
    texts[2] = text_of(&c, a);
    check_rules(&f, &rules, (const char *const *) texts, 3);
    expect("three files in any order", &f, 0, "");
    ok(f.res.lines == 9 && f.res.first_seq == 1 && f.res.last.seq == 9
       && strcmp(f.res.last.mac, c.mac[8]) == 0, "all of them");

    check_rules(&f, &rules, (const char *const *) texts, 2);
    expect("the first of them is not given", &f, 1, "line 5 is missing");

    free(texts[1]);
    texts[1] = text_of(&c, late);
    check_rules(&f, &rules, (const char *const *) texts, 2);
    expect("one file twice", &f, 2, "line 9 is there twice");
    free(texts[0]);
    free(texts[1]);
    free(texts[2]);
}


static void
test_other_chains(void)
{
    char            text[8 * LINE_LEN];
    const char     *p;
    chain_t         c, d;
    found_t         f;
    audit_rules_t   rules = { .key = key, .key_len = sizeof(key) - 1 };

    make_chain(&c, 3);
    d.n = 0;
    put_line(&d, 1, c.mac[2]);
    put_line(&d, 2, d.mac[0]);
    put_line(&d, 3, d.mac[1]);
    p = text;

    snprintf(text, sizeof(text), "%s\n%s\n%s\n", c.line[0], d.line[1],
             c.line[2]);
    check_rules(&f, &rules, &p, 1);
    expect("a line of another chain", &f, 2,
           "a:2: line 2 does not follow from line 1");

    snprintf(text, sizeof(text), "%s\n%s\n%s\n", c.line[0], c.line[1],
             d.line[1]);
    check_rules(&f, &rules, &p, 1);
    expect("a fork", &f, 1, "these are two different ones");

    snprintf(text, sizeof(text), "%s\n%s\n", d.line[0], d.line[1]);
    check_rules(&f, &rules, &p, 1);
    expect("a first line that is none", &f, 1,
           "line 1 follows from another line");

    rules.key = NULL;
    snprintf(text, sizeof(text), "%s\n%s\n", c.line[0], c.line[1]);
    text[30] ^= 1;
    check_rules(&f, &rules, &p, 1);
    expect("without key a change is not seen", &f, 0, "");
    snprintf(text, sizeof(text), "%s\n%s\n", c.line[0], d.line[1]);
    check_rules(&f, &rules, &p, 1);
    expect("without key: another chain is", &f, 1, "does not follow");

    rules.key = (const unsigned char *) "another key of thirty-two bytes.";
    rules.key_len = 32;
    snprintf(text, sizeof(text), "%s\n%s\n", c.line[0], c.line[1]);
    check_rules(&f, &rules, &p, 1);
    expect("wrong key", &f, 2, "a:1: line 1 was changed");
    ok(f.res.lines == 0 && f.res.foreign == 2, "but they are lines");
}


static int
check_kind(audit_source_t *src, size_t n, found_t *f, const char *text,
    size_t len)
{
    int             rc;
    audit_rules_t   rules = { .key = key, .key_len = sizeof(key) - 1 };

    memset(f, 0, sizeof(found_t));
    rules.found = on_found;
    rules.data = f;
    src[n - 1].f = open_text(text, len);
    rc = audit_check(src, n, &rules, &f->res);
    fclose(src[n - 1].f);

    return rc;
}


/* What people give beside logs. */
static void
test_kinds(void)
{
    char            state[304] = "PCAPAUD1";
    char           *text;
    chain_t         c;
    found_t         f;
    audit_source_t  src[2] = { { .name = "a" }, { .name = "b" } };

    static const unsigned  order[] = { 1, 3, 0 };

    make_chain(&c, 3);
    text = text_of(&c, order);

    ok(check_kind(src, 1, &f, state, sizeof(state)) == 0
       && src[0].kind == AUDIT_STATE && f.res.findings == 1,
       "a state, and no line");

    src[0].f = open_text(text, strlen(text));
    ok(check_kind(src, 2, &f, state, sizeof(state)) == 0
       && src[0].kind == AUDIT_LOG && src[1].kind == AUDIT_STATE,
       "a log with its state");
    expect("a log with its state", &f, 1, "a:2: line 2 is missing");
    fclose(src[0].f);

    src[0].f = open_text(text, strlen(text));
    ok(check_kind(src, 2, &f, "\x1f\x8b\x08\n\n\n", 6) == -1
       && src[1].kind == AUDIT_GZIP && f.res.findings == 0,
       "a compressed one, before anything is found");
    fclose(src[0].f);

    ok(check_kind(src, 1, &f, "\x1f", 1) == 0 && src[0].kind == AUDIT_LOG
       && f.res.findings == 2, "one byte of it");
    ok(check_kind(src, 1, &f, "PCAPAUD", 7) == 0 && src[0].kind == AUDIT_LOG
       && f.res.findings == 2, "not all of a state's beginning");
    free(text);
}


static void
test_noise(void)
{
    char           *text;
    size_t          len;
    chain_t         c;
    found_t         f;
    audit_rules_t   rules = { .key = key, .key_len = sizeof(key) - 1 };

    make_chain(&c, 3);
    text = calloc(1, 4 * AUDIT_BUFFER);

    snprintf(text, LINE_LEN * 8, "Nov 21 19:00:00 host pcap: %s\n"
             "2026-11-21T19:00:00Z {x} tag[1]: %s\n", c.line[0], c.line[1]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("a syslog daemon's lines", &f, 0, "");

    snprintf(text, LINE_LEN * 8, "%s\n\n%s\n", c.line[0], c.line[1]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("an empty line", &f, 1, "a:2: this is no line of an audit log");

    snprintf(text, LINE_LEN * 8, "%s\n%.40s", c.line[0], c.line[1]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("half a line", &f, 1, "a:2: the file ends in the middle of a line");

    len = (size_t) snprintf(text, LINE_LEN * 8, "%s\n", c.line[0]);
    memset(text + len, 'x', 3 * AUDIT_BUFFER);
    snprintf(text + len + 3 * AUDIT_BUFFER, LINE_LEN * 2, "\n%s\n",
             c.line[1]);
    check_rules(&f, &rules, (const char *const *) &text, 1);
    expect("a line that is too long", &f, 1, "a:2: this is too long");
    ok(f.res.last.seq == 2, "what follows it is read");
    free(text);
}


static void
test_parse(void)
{
    size_t              i;
    char                bad[LINE_LEN];
    uint64_t            seq;
    const char         *mac;
    chain_t             c;
    pcapx_audit_line_t  l;

    static const char *const  seqs[] = { "0", "01", "-1", "", "1x", "1.0",
        "18446744073709551616", "99999999999999999999999", " 1" };

    make_chain(&c, 1);
    ok(pcapx_audit_parse(c.line[0], strlen(c.line[0]), &l) == PCAPX_OK
       && l.seq == 1 && memcmp(l.mac, c.mac[0], 64) == 0
       && l.body == c.line[0] && l.body_len == strlen(c.line[0]) - 74,
       "a line");

    for (i = 0; i < sizeof(seqs) / sizeof(seqs[0]); i++) {
        snprintf(bad, sizeof(bad), "{\"seq\":%s%.400s", seqs[i],
                 c.line[0] + strlen("{\"seq\":1"));
        ok(pcapx_audit_parse(bad, strlen(bad), &l) != PCAPX_OK,
           "number \"%s\" is refused", seqs[i]);
    }

    snprintf(bad, sizeof(bad), "{\"seq\":18446744073709551615%.400s",
             c.line[0] + strlen("{\"seq\":1"));
    ok(pcapx_audit_parse(bad, strlen(bad), &l) == PCAPX_OK
       && l.seq == UINT64_MAX, "the highest number");

    for (i = 0; i < strlen(c.line[0]); i++) {
        if (pcapx_audit_parse(c.line[0], i, &l) == PCAPX_OK) {
            break;
        }
    }

    ok(i == strlen(c.line[0]), "no part of a line is one");

    snprintf(bad, sizeof(bad), "%.400s", c.line[0]);
    bad[strlen(bad) - 3] = 'F';
    ok(pcapx_audit_parse(bad, strlen(bad), &l) != PCAPX_OK,
       "upper-case digits are refused");

    snprintf(bad, sizeof(bad), "17:%s", c.mac[0]);
    ok(pcapx_audit_parse_head(bad, strlen(bad), &seq, &mac) == PCAPX_OK
       && seq == 17 && mac == bad + 3, "a head");
    ok(pcapx_audit_parse_head(bad, strlen(bad) - 1, &seq, &mac) != PCAPX_OK
       && pcapx_audit_parse_head(bad + 2, strlen(bad) - 2, &seq, &mac)
          != PCAPX_OK
       && pcapx_audit_parse_head("", 0, &seq, &mac) != PCAPX_OK,
       "what is no head");
}


int
main(void)
{
    test_parse();
    test_orders();
    test_bytes();
    test_changed_and_missing();
    test_marks();
    test_files();
    test_other_chains();
    test_noise();
    test_kinds();

    return tap_done();
}
