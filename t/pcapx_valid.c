/*
 * t/pcapx_valid.c: tables of texts that must pass and texts that must not,
 * for every check of pcapx/valid.h. Each text stands in memory of exactly
 * its size before an unreadable page, without a NUL behind it; each refusal
 * must fill err with one printable sentence.
 */

#include "tap.h"
#include "pcapx_craft.h"
#include "pcapx/valid.h"


#define S(text)  text, sizeof(text) - 1

/* What a number looks like where it is not refused. */

typedef struct {
    const char  *text;
    size_t       len;
    uint64_t     value;             /* BAD: refused */
} number_t;

#define BAD  UINT64_MAX

typedef struct {
    const char  *text;
    size_t       len;
    int          good;
} text_t;

#define COUNT(a)  (sizeof(a) / sizeof(a[0]))


static guard_t  guard;
static char     err[PCAPX_ERR_LEN];


static const char *
place(const char *text, size_t len)
{
    memset(err, 0x5a, sizeof(err));

    return (const char *) guard_window(&guard, (const uint8_t *) text, len);
}


/* A refusal with a sentence, or none and an untouched err. */
static int
judge(int rc, int good)
{
    size_t  i;

    if (good) {
        return rc == PCAPX_OK;
    }

    if (rc != PCAPX_EINVAL || memchr(err, '\0', sizeof(err)) == NULL) {
        return 0;
    }

    for (i = 0; err[i] != '\0'; i++) {
        if (err[i] < ' ' || err[i] > '~') {
            return 0;
        }
    }

    return i > 10;
}


static const char *
show(const char *text, size_t len)
{
    size_t       i;
    static char  buf[48];

    for (i = 0; i < len && i < sizeof(buf) - 1; i++) {
        buf[i] = text[i];

        if (text[i] <= ' ' || text[i] > '~' || text[i] == '#') {
            buf[i] = '_';
        }
    }

    buf[i] = '\0';

    return buf;
}


static void
test_texts(const char *what, int (*check)(const char *s, size_t len,
    char *err), const text_t *t, size_t n)
{
    int     rc;
    size_t  i;

    for (i = 0; i < n; i++) {
        rc = check(place(t[i].text, t[i].len), t[i].len, err);

        if (!ok(judge(rc, t[i].good), "%s: %s %s", what,
                show(t[i].text, t[i].len), t[i].good ? "passes" : "is refused"))
        {
            printf("# rc %d, %s\n", rc, rc ? err : "");
        }
    }
}


static void
test_numbers(const char *what, int (*parse)(const char *s, size_t len,
    uint64_t *out, char *err), const number_t *t, size_t n)
{
    int       rc;
    size_t    i;
    uint64_t  v;

    for (i = 0; i < n; i++) {
        v = 42;
        rc = parse(place(t[i].text, t[i].len), t[i].len, &v, err);

        if (!ok(judge(rc, t[i].value != BAD)
                && v == (t[i].value == BAD ? 42 : t[i].value),
                "%s: %s %s", what, show(t[i].text, t[i].len),
                t[i].value == BAD ? "is refused" : "passes"))
        {
            printf("# rc %d, value %llu, %s\n", rc, (unsigned long long) v,
                   rc ? err : "");
        }
    }
}


static const text_t  interfaces[] = {
    { S("eth0"), 1 }, { S("any"), 1 }, { S("w-2.100@x"), 1 },
    { S("123456789012345"), 1 }, { S("..."), 1 }, { S("a"), 1 },
    { S(""), 0 }, { S("1234567890123456"), 0 }, { S("."), 0 },
    { S(".."), 0 }, { S("a/b"), 0 }, { S("../x"), 0 }, { S("eth0:1"), 0 },
    { S("eth 0"), 0 }, { S("eth0\n"), 0 }, { S("eth\0"), 0 },
    { S("\xc3\xa4"), 0 }, { S("eth0\x7f"), 0 }, { S("\x1b[2J"), 0 }
};

static const text_t  ids[] = {
    { S("0123456789abcdef0123456789abcdef"), 1 },
    { S("0123456789ABCDEF0123456789abcdef"), 0 },
    { S("0123456789abcdef0123456789abcde"), 0 },
    { S("0123456789abcdef0123456789abcdef0"), 0 },
    { S("0123456789abcdef0123456789abcdeg"), 0 },
    { S("0123456789abcdef0123456789abcde\0"), 0 },
    { S("../../../../../../../../etc/pass"), 0 },
    { S(""), 0 }
};

static const text_t  instances[] = {
    { S("router"), 1 }, { S("router/0"), 1 }, { S("a_b-c.d/X9"), 1 },
    { S("..."), 1 }, { S(".a/b."), 1 },
    { S("router/6c2f1a9e-55b0-4c3e-9a3f-0123456789ab"), 1 },
    { S(""), 0 }, { S("/"), 0 }, { S("a/"), 0 }, { S("/a"), 0 },
    { S("a//b"), 0 }, { S("a/b/c"), 0 }, { S("."), 0 }, { S(".."), 0 },
    { S("../a"), 0 }, { S("a/.."), 0 }, { S("a/."), 0 }, { S("a b"), 0 },
    { S("a\n"), 0 }, { S("a\0b"), 0 }, { S("a%2fb"), 0 }, { S("\xc3\xa4"), 0 },
    { S("a:b"), 0 }, { S("a\\b"), 0 }
};

static const text_t  handles[] = {
    { S("e49f448e-54d2-4c33-61a3-5335"), 1 }, { S("a"), 1 }, { S("0"), 1 },
    { S("A_b-9"), 1 }, { S("a--_"), 1 },
    { S("0123456789012345678901234567890123456789012345678901234567890123"),
      1 },
    { S("01234567890123456789012345678901234567890123456789012345678901234"),
      0 },
    { S(""), 0 }, { S("-a"), 0 }, { S("_a"), 0 }, { S("."), 0 },
    { S(".."), 0 }, { S("../a"), 0 }, { S("a/.."), 0 }, { S("a/b"), 0 },
    { S("a.b"), 0 }, { S("/a"), 0 }, { S("a "), 0 }, { S("a\n"), 0 },
    { S("a\0"), 0 }, { S("a\0b"), 0 }, { S("a%2f"), 0 }, { S("a\\b"), 0 },
    { S("\xc3\xa4"), 0 }, { S("a\xff"), 0 }, { S("HANDLE:1"), 0 }
};

static const text_t  guids[] = {
    { S("2a7f6f0c-5a3b-4d0e-9b1c-0123456789ab"), 1 }, { S("a"), 1 },
    { S("A-9"), 1 },
    { S("0123456789012345678901234567890123456789012345678901234567890123"),
      1 },
    { S("01234567890123456789012345678901234567890123456789012345678901234"),
      0 },
    { S(""), 0 }, { S("-"), 0 }, { S("-a"), 0 }, { S("a_b"), 0 },
    { S("a.b"), 0 }, { S("a/b"), 0 }, { S(".."), 0 }, { S("a\0"), 0 },
    { S("a b"), 0 }, { S("a\x80"), 0 }
};

static const text_t  processes[] = {
    { S("web"), 1 }, { S("a.b_c-9"), 1 }, { S(""), 0 }, { S("."), 0 },
    { S(".."), 0 }, { S("a/b"), 0 }, { S("a b"), 0 }, { S("a\0b"), 0 },
    { S("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 1 },
    { S("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 0 }
};

static const text_t  deployments[] = {
    { S("cf"), 1 }, { S("a+b.c_d-9"), 1 }, { S("..."), 1 }, { S(".a"), 1 },
    { S(""), 0 }, { S("."), 0 }, { S(".."), 0 }, { S("a/b"), 0 },
    { S("a b"), 0 }, { S("a%2fb"), 0 }, { S("a?b"), 0 }, { S("a\0b"), 0 },
    { S("a\n"), 0 }, { S("\xc3\xa4"), 0 }
};

static const text_t  filters[] = {
    { S(""), 1 }, { S("tcp port 80"), 1 }, { S("tcp\tand\nudp"), 1 },
    { S("host \xc3\xa4.example"), 1 }, { S("\xff"), 1 },
    { S("tcp\rudp"), 0 }, { S("tcp\0"), 0 }, { S("tcp\x7f"), 0 },
    { S("\x1b[31m"), 0 }
};

static const text_t  reasons[] = {
    { S(""), 1 }, { S("ticket #4711"), 1 }, { S("\xc3\xa4\xe2\x82\xac"), 1 },
    { S("\xf0\x9f\x90\x98"), 1 }, { S("12345678901234567890"), 1 },
    { S("123456789012345678901"), 0 }, { S("a\nb"), 0 }, { S("a\tb"), 0 },
    { S("a\0b"), 0 }, { S("\x7f"), 0 }, { S("\xc2\x85"), 0 },
    { S("\xe2\x80\xa8"), 0 }, { S("\xc3"), 0 }, { S("a\x80"), 0 },
    { S("\xc0\x80"), 0 }, { S("\xe0\x80\x80"), 0 }, { S("\xed\xa0\x80"), 0 },
    { S("\xf4\x90\x80\x80"), 0 }, { S("\xf0\x80\x80\x80"), 0 },
    { S("\xff"), 0 }, { S("\xe2\x82"), 0 }, { S("\xe2\x82x"), 0 },
    { S("\xc1\x81"), 0 }, { S("\xe0\x81\x81"), 0 },
    { S("\xf0\x80\x81\x81"), 0 }
};


static const number_t  snaplens[] = {
    { S("1"), 1 }, { S("262144"), 262144 }, { S("0000096"), 96 },
    { S("0"), BAD }, { S("262145"), BAD }, { S(""), BAD }, { S("-1"), BAD },
    { S("+1"), BAD }, { S(" 1"), BAD }, { S("1 "), BAD }, { S("1k"), BAD },
    { S("0x10"), BAD }, { S("1\0"), BAD }, { S("4294967297"), BAD },
    { S("18446744073709551617"), BAD }, { S("1e3"), BAD }, { S("1.0"), BAD }
};

static const number_t  durations[] = {
    { S("30s"), 30000 }, { S("30"), 30000 }, { S("5m"), 300000 },
    { S("250ms"), 250 }, { S("1ms"), 1 }, { S("2h"), 7200000 },
    { S("1d"), 86400000 }, { S("30d"), 2592000000 },
    { S("2592000"), 2592000000 }, { S("2592000000ms"), 2592000000 },
    { S("0"), BAD }, { S("0s"), BAD }, { S("0ms"), BAD }, { S("31d"), BAD },
    { S("2592001"), BAD }, { S("2592000001ms"), BAD }, { S("721h"), BAD },
    { S(""), BAD }, { S("s"), BAD }, { S("ms"), BAD }, { S("5M"), BAD },
    { S("5min"), BAD }, { S("5 s"), BAD }, { S("-5s"), BAD },
    { S("1.5h"), BAD }, { S("1h30m"), BAD }, { S("5sm"), BAD },
    { S("5s\0"), BAD }, { S("18446744073709551616ms"), BAD },
    { S("99999999999999999999999999d"), BAD }
};

static const number_t  sizes[] = {
    { S("1"), 1 }, { S("100m"), 104857600 }, { S("4k"), 4096 },
    { S("2g"), 2147483648 }, { S("1t"), 1099511627776 },
    { S("10mb"), 10485760 }, { S("10MiB"), 10485760 }, { S("10MB"), 10485760 },
    { S("1K"), 1024 }, { S("1kib"), 1024 },
    { S("9007199254740992"), 9007199254740992 },
    { S("8192t"), 9007199254740992 }, { S("8388608g"), 9007199254740992 },
    { S("9007199254740993"), BAD }, { S("8193t"), BAD }, { S("0"), BAD },
    { S("0k"), BAD }, { S(""), BAD }, { S("k"), BAD }, { S("1b"), BAD },
    { S("1ki"), BAD }, { S("1kibb"), BAD }, { S("1p"), BAD },
    { S("1 m"), BAD }, { S("-1m"), BAD }, { S("1.5g"), BAD },
    { S("1m\0"), BAD }, { S("1\0"), BAD }, { S("1\x0bib"), BAD },
    { S("18446744073709551615t"), BAD }, { S("36028797018963968k"), BAD }
};

static const number_t  counts[] = {
    { S("5"), 5 }, { S("10"), 10 }, { S("7"), 7 }, { S("4"), BAD },
    { S("11"), BAD }, { S("99999999999999999999"), BAD }
};

static const number_t  longs[] = {
    { S("18446744073709551614"), 18446744073709551614ull },
    { S("18446744073709551616"), BAD }, { S("18446744073709551620"), BAD },
    { S("99999999999999999999"), BAD }
};

static const number_t  digits[] = {
    { S("0"), 0 }, { S("7"), 7 }, { S("8"), BAD }, { S("70"), BAD },
    { S("07"), 7 }
};

static const number_t  flags[] = {
    { S("0"), 0 }, { S("1"), 1 }, { S("true"), 1 }, { S("false"), 0 },
    { S("on"), 1 }, { S("off"), 0 }, { S("yes"), 1 }, { S("no"), 0 },
    { S("TRUE"), BAD }, { S(""), BAD }, { S("2"), BAD }, { S("tru"), BAD },
    { S("true\0"), BAD }, { S("nope"), BAD }
};

static const number_t  formats[] = {
    { S("pcap"), 0 }, { S("pcapng"), 1 }, { S(""), BAD }, { S("PCAP"), BAD },
    { S("pcapn"), BAD }, { S("pcapng "), BAD }, { S("pcap\0"), BAD },
    { S("json"), BAD }
};


static int
check_reason(const char *s, size_t len, char *e)
{
    return pcapx_valid_text("reason", s, len, 20, e);
}


static int
parse_snaplen(const char *s, size_t len, uint64_t *out, char *e)
{
    int       rc;
    uint32_t  v = (uint32_t) *out;

    rc = pcapx_parse_snaplen(s, len, &v, e);
    *out = v;

    return rc;
}


static int
parse_count(const char *s, size_t len, uint64_t *out, char *e)
{
    return pcapx_parse_number("max_packets", s, len, 5, 10, out, e);
}


static int
parse_digit(const char *s, size_t len, uint64_t *out, char *e)
{
    return pcapx_parse_number("digit", s, len, 0, 7, out, e);
}


static int
parse_any(const char *s, size_t len, uint64_t *out, char *e)
{
    return pcapx_parse_number("any", s, len, 0, UINT64_MAX, out, e);
}


static int
parse_flag(const char *s, size_t len, uint64_t *out, char *e)
{
    int  rc, v = (int) *out;

    rc = pcapx_parse_flag("promiscuous", s, len, &v, e);
    *out = (uint64_t) v;

    return rc;
}


static int
parse_format(const char *s, size_t len, uint64_t *out, char *e)
{
    int  rc, v = (int) *out;

    rc = pcapx_parse_format(s, len, &v, e);
    *out = (uint64_t) v;

    return rc;
}


static const struct {
    const char  *text;
    size_t       len;
    const char  *addr;              /* NULL: refused */
    uint8_t      addr_len;
    uint16_t     port;
} endpoints[] = {
    { S("192.0.2.1:9494"), "\xc0\0\x02\x01", 4, 9494 },
    { S("0.0.0.0:1"), "\0\0\0\0", 4, 1 },
    { S("255.255.255.255:65535"), "\xff\xff\xff\xff", 4, 65535 },
    { S("[::1]:80"), "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 16, 80 },
    { S("[2001:db8::1]:9494"),
      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16, 9494 },
    { S("[::]:1"), "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, 1 },
    { S("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535"),
      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
      16, 65535 },
    { S(""), NULL, 0, 0 }, { S(":"), NULL, 0, 0 },
    { S("192.0.2.1"), NULL, 0, 0 }, { S("192.0.2.1:"), NULL, 0, 0 },
    { S(":80"), NULL, 0, 0 }, { S("192.0.2.1:0"), NULL, 0, 0 },
    { S("192.0.2.1:65536"), NULL, 0, 0 }, { S("192.0.2:80"), NULL, 0, 0 },
    { S("192.0.2.01:80"), NULL, 0, 0 }, { S("192.0.2.256:80"), NULL, 0, 0 },
    { S("0xc0.0.2.1:80"), NULL, 0, 0 }, { S("3221225985:80"), NULL, 0, 0 },
    { S("localhost:80"), NULL, 0, 0 }, { S("::1:80"), NULL, 0, 0 },
    { S("[::1]"), NULL, 0, 0 }, { S("[::1]80"), NULL, 0, 0 },
    { S("[]:80"), NULL, 0, 0 }, { S("[192.0.2.1]:80"), NULL, 0, 0 },
    { S("[fe80::1%eth0]:80"), NULL, 0, 0 }, { S("[::1:80"), NULL, 0, 0 },
    { S("192.0.2.1:80 "), NULL, 0, 0 }, { S(" 192.0.2.1:80"), NULL, 0, 0 },
    { S("192.0.2.1\0:80"), NULL, 0, 0 }, { S("192.0.2.1:8\0"), NULL, 0, 0 },
    { S("[::1]]:80"), NULL, 0, 0 }, { S("[[::1]:80"), NULL, 0, 0 },
    { S("[fffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1"),
      NULL, 0, 0 },
    { S("192.0.2.1:+80"), NULL, 0, 0 }, { S("192.0.2.1:80:80"), NULL, 0, 0 }
};


static void
test_endpoints(void)
{
    int          rc;
    size_t       i;
    uint8_t      addr[16], n;
    uint16_t     port;
    const char  *s;

    for (i = 0; i < COUNT(endpoints); i++) {
        n = 0;
        port = 0;
        s = place(endpoints[i].text, endpoints[i].len);
        rc = pcapx_parse_endpoint(s, endpoints[i].len, addr, &n, &port, err);

        if (endpoints[i].addr == NULL) {
            ok(judge(rc, 0), "endpoint: %s is refused",
               show(endpoints[i].text, endpoints[i].len));
            continue;
        }

        ok(judge(rc, 1) && n == endpoints[i].addr_len
           && port == endpoints[i].port
           && memcmp(addr, endpoints[i].addr, n) == 0, "endpoint: %s passes",
           show(endpoints[i].text, endpoints[i].len));
    }
}


/* Exactly as long as allowed, and one byte more. */
static void
test_longest(void)
{
    char         text[PCAPX_MAX_FILTER_LEN + 1];
    const char  *s;

    memset(text, 'x', sizeof(text));

    s = place(text, 5000);
    ok(judge(pcapx_valid_filter(s, 5000, err), 1), "a filter of 5000 bytes");
    s = place(text, 5001);
    ok(judge(pcapx_valid_filter(s, 5001, err), 0), "a filter of 5001 bytes");
    ok(strstr(err, "5001") && strstr(err, "5000"), "it says both: %s", err);

    s = place(text, 128);
    ok(judge(pcapx_valid_instance(s, 128, err), 1), "a name of 128 bytes");
    s = place(text, 129);
    ok(judge(pcapx_valid_instance(s, 129, err), 0), "a name of 129 bytes");
    ok(strstr(err, "xxxx...\"") != NULL, "it is shown in part: %s", err);

    s = place(text, 255);
    ok(judge(pcapx_valid_deployment(s, 255, err), 1),
       "a deployment of 255 bytes");
    s = place(text, 256);
    ok(judge(pcapx_valid_deployment(s, 256, err), 0),
       "a deployment of 256 bytes");
}


/* Refusals name what was given and what is allowed. */
static void
test_words(void)
{
    uint64_t  v;

    pcapx_parse_number("max_packets", "ten", 3, 1, 99, &v, err);
    ok(strcmp(err, "\"ten\": max_packets must be a number from 1 to 99") == 0,
       "words of a number");

    pcapx_valid_filter("tcp\x1b", 4, err);
    ok(strstr(err, "0x1b at byte 3") != NULL, "words of a filter");

    pcapx_valid_interface("a\x1b\"\xff", 4, err);
    ok(strncmp(err, "\"a?\"?\": ", 8) == 0,
       "control and foreign bytes are shown as question marks");
}


int
main(void)
{
    guard_init(&guard);

    test_texts("interface", pcapx_valid_interface, interfaces,
               COUNT(interfaces));
    test_texts("capture id", pcapx_valid_capture_id, ids, COUNT(ids));
    test_texts("instance", pcapx_valid_instance, instances,
               COUNT(instances));
    test_texts("handle", pcapx_valid_handle, handles, COUNT(handles));
    test_texts("guid", pcapx_valid_guid, guids, COUNT(guids));
    test_texts("process", pcapx_valid_process, processes, COUNT(processes));
    test_texts("deployment", pcapx_valid_deployment, deployments,
               COUNT(deployments));
    test_texts("filter", pcapx_valid_filter, filters, COUNT(filters));
    test_texts("reason", check_reason, reasons, COUNT(reasons));

    test_numbers("snaplen", parse_snaplen, snaplens, COUNT(snaplens));
    test_numbers("duration", pcapx_parse_duration, durations,
                 COUNT(durations));
    test_numbers("size", pcapx_parse_size, sizes, COUNT(sizes));
    test_numbers("number", parse_count, counts, COUNT(counts));
    test_numbers("digit", parse_digit, digits, COUNT(digits));
    test_numbers("64 bits", parse_any, longs, COUNT(longs));
    test_numbers("flag", parse_flag, flags, COUNT(flags));
    test_numbers("format", parse_format, formats, COUNT(formats));

    test_endpoints();
    test_longest();
    test_words();

    return tap_done();
}
