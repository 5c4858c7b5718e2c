/*
 * t/pcapx_form.c: query strings and form bodies: pairs in order, decoded in
 * place, refused where an escape is broken; and the way back through the
 * encoder for every byte there is.
 */

#include "tap.h"
#include "pcapx_craft.h"
#include "pcapx/valid.h"


static guard_t  guard;
static char     err[PCAPX_ERR_LEN];


/*
 * Decodes a text to "name=value;" per pair; a refusal ends it with "!".
 * Bytes that cannot be printed are shown as in a URL.
 */
static const char *
decode(const char *text, size_t len)
{
    int           rc;
    char         *pos, *end;
    size_t        i, n;
    static char   out[512];
    pcapx_pair_t  pair;

    pos = (char *) guard_window(&guard, (const uint8_t *) text, len);
    end = pos + len;
    n = 0;

    while ((rc = pcapx_form_next(&pos, end, &pair, err)) == PCAPX_OK) {

        n += (size_t) snprintf(out + n, sizeof(out) - n, "%.*s=",
                               (int) pair.name_len, pair.name);

        for (i = 0; i < pair.value_len; i++) {
            n += (size_t) snprintf(out + n, sizeof(out) - n,
                                   pair.value[i] >= ' ' ? "%c" : "<%02x>",
                                   (unsigned char) pair.value[i]);
        }

        n += (size_t) snprintf(out + n, sizeof(out) - n, ";");
    }

    snprintf(out + n, sizeof(out) - n, "%s", rc == PCAPX_END ? "" : "!");

    return out;
}


#define S(text)  text, sizeof(text) - 1

static const struct {
    const char  *text;
    size_t       len;
    const char  *want;
    const char  *what;
} cases[] = {
    { S(""), "", "nothing" },
    { S("a=1"), "a=1;", "one pair" },
    { S("a=1&b=2"), "a=1;b=2;", "two pairs" },
    { S("&a=1&&b=2&"), "a=1;b=2;", "empty pairs" },
    { S("&&&"), "", "only empty pairs" },
    { S("a"), "a=;", "no value" },
    { S("a="), "a=;", "an empty value" },
    { S("=1"), "=1;", "an empty name" },
    { S("="), "=;", "neither name nor value" },
    { S("a=1=2"), "a=1=2;", "an equals sign in the value" },
    { S("a=1&a=2"), "a=1;a=2;", "repeated names stay" },
    { S("a+b=c+d"), "a b=c d;", "plus signs" },
    { S("f=tcp%20port%2080"), "f=tcp port 80;", "escaped spaces" },
    { S("f=%26%3d%25%2B"), "f=&=%+;", "escaped separators" },
    { S("%61=%62"), "a=b;", "escapes in both" },
    { S("a=%0a%1F"), "a=<0a><1f>;", "control characters are decoded" },
    { S("a=%c3%A4"), "a=<c3><a4>;", "digits in both cases" },
    { S("a=%00"), "!", "an encoded NUL" },
    { S("%00=1"), "!", "an encoded NUL in the name" },
    { S("a=b\0c"), "!", "a NUL" },
    { S("a\0=b"), "!", "a NUL in the name" },
    { S("a=%"), "!", "a bare percent sign" },
    { S("a=%1"), "!", "half an escape" },
    { S("a=%1&b=2"), "!", "half an escape before the next pair" },
    { S("a=%gg"), "!", "no hexadecimal digits" },
    { S("a=%1g"), "!", "one hexadecimal digit" },
    { S("a=% 1"), "!", "a space in an escape" },
    { S("a=%-1"), "!", "a sign in an escape" },
    { S("a=1&b=%zz"), "a=1;!", "the good ones come first" },
    { S("a%=1"), "!", "an escape that ends with the name" },
    { S("a;b=1"), "a;b=1;", "a semicolon separates nothing" }
};


static void
test_words(void)
{
    decode(S("filter=%zz"));
    ok(strncmp(err, "\"filter\": ", 10) == 0, "the refusal names the option");

    decode(S("a%1bb=%zz"));
    ok(strncmp(err, "\"a?b\": ", 7) == 0,
       "and shows no control character of it");
}


static void
test_encode(void)
{
    int           same, i;
    char          raw[255], text[3 * sizeof(raw)], small[8];
    size_t        n, k;
    char         *pos;
    pcapx_pair_t  pair;

    for (i = 1; i < 256; i++) {
        raw[i - 1] = (char) i;
    }

    n = pcapx_form_encode(text, sizeof(text), raw, sizeof(raw));
    ok(n == 66 + 3 * (255 - 66), "66 bytes of 255 are unreserved");

    pos = text;
    ok(pcapx_form_next(&pos, text + n, &pair, err) == PCAPX_OK
       && pair.name_len == sizeof(raw)
       && memcmp(pair.name, raw, sizeof(raw)) == 0,
       "every byte comes back");

    n = pcapx_form_encode(text, sizeof(text), "a b/c%", 6);
    ok(n == 12 && memcmp(text, "a%20b%2Fc%25", 12) == 0, "as RFC 3986 says");

    same = 1;

    for (k = 0; k < sizeof(small); k++) {
        memset(small, 'x', sizeof(small));
        same &= pcapx_form_encode(small, k, "ab%%", 4) == 8;

        for (i = (int) k; i < (int) sizeof(small); i++) {
            same &= small[i] == 'x';
        }
    }

    ok(same, "nothing is written behind the end");
    ok(pcapx_form_encode(small, 8, "ab%%", 4) == 8
       && memcmp(small, "ab%25%25", 8) == 0, "it fits exactly");
    ok(pcapx_form_encode(NULL, 0, "\xff", 1) == 3
       && pcapx_form_encode(NULL, 0, "", 0) == 0, "only counting");
}


int
main(void)
{
    size_t       i;
    const char  *got;

    guard_init(&guard);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        got = decode(cases[i].text, cases[i].len);

        if (!ok(strcmp(got, cases[i].want) == 0, "form: %s",
                cases[i].what))
        {
            printf("# %s instead of %s\n", got, cases[i].want);
        }
    }

    test_words();
    test_encode();

    return tap_done();
}
