/*
 * t/cli_text.c: cleaning of foreign text, numbers and sizes, names of files,
 * and what -v hides.
 */

#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/conf.h"
#include "cli/name.h"
#include "cli/term.h"
#include "cli/text.h"
#include "cli/wipe.h"
#include "tap.h"


typedef struct {
    const char  *what;
    const char  *in;
    const char  *out;
} clean_case_t;

static const clean_case_t  clean_cases[] = {
    { "plain", "web/0: hello", "web/0: hello" },
    { "empty", "", "" },
    { "escape", "\033[2Jx", "?[2Jx" },
    { "bell, backspace, DEL", "\a\b\177", "???" },
    { "line breaks are one blank", "a\r\n\tb", "a b" },
    { "UTF-8", "\303\244\342\202\254\360\237\230\200",
      "\303\244\342\202\254\360\237\230\200" },
    { "C1 as UTF-8", "\302\2331m", "?1m" },
    { "C1 as a byte", "\2331m", "?1m" },
    { "overlong slash", "\300\257", "??" },
    { "overlong NUL", "\340\200\200", "???" },
    { "surrogate", "\355\240\200", "???" },
    { "above Unicode", "\364\220\200\200", "????" },
    { "right-to-left override", "a\342\200\256b", "a?b" },
    { "isolate", "a\342\201\246b", "a?b" },
    { "zero width", "a\342\200\213b", "a?b" },
    { "byte order mark", "\357\273\277a", "?a" },
    { "tag", "\363\240\201\201", "?" },
    { "cut character", "a\342\202", "a??" },
    { "lonely continuation", "\200a", "?a" },
};


static void
test_clean(void)
{
    char                 dst[64], all[256], one[8];
    size_t               i, n;
    const clean_case_t  *c;

    for (i = 0; i < sizeof(clean_cases) / sizeof(clean_cases[0]); i++) {
        c = &clean_cases[i];
        n = text_clean(dst, sizeof(dst), c->in, strlen(c->in));
        ok(strcmp(dst, c->out) == 0 && n == strlen(c->out), "%s", c->what);
    }

    ok(text_clean(dst, sizeof(dst), "a\0b", 3) == 3
       && strcmp(dst, "a?b") == 0, "NUL");

    /* Every byte at every room that is left. */
    for (i = 0; i < 256; i++) {
        all[i] = (char) i;
    }

    for (i = 1; i <= 256; i++) {
        char  *tight;

        tight = malloc(i);
        n = text_clean(tight, i, all, 256);

        if (n != strlen(tight) || n >= i || strpbrk(tight, "\033\r\n") != 0) {
            ok(0, "room of %zu", i);
        }

        free(tight);
    }

    ok(1, "every room");

    n = text_clean(one, 4, "\342\202\254\342\202\254", 6);
    ok(n == 3, "no half character at the end");

    snprintf(one, sizeof(one), "%s", "\303\244b\303\244");
    ok(text_cut(one, 2) == 2 && strcmp(one, "\303\244b") == 0,
       "cut by characters");
}


static void
test_numbers(void)
{
    char      dst[16];
    uint64_t  v;

    ok(text_number("18446744073709551615", 20, &v) == 0 && v == UINT64_MAX,
       "largest number");
    ok(text_number("18446744073709551616", 20, &v) == -1, "one more");
    ok(text_number("99999999999999999999", 20, &v) == -1, "much more");
    ok(text_number("000000000000000000001", 21, &v) == -1, "too many digits");
    ok(text_number("", 0, &v) == -1, "no digit");
    ok(text_number("-1", 2, &v) == -1, "sign");
    ok(text_number("1 ", 2, &v) == -1, "blank");

    text_bytes(dst, 999);
    ok(strcmp(dst, "999 B") == 0, "%s", dst);
    text_bytes(dst, 1000);
    ok(strcmp(dst, "1.0 kB") == 0, "%s", dst);
    text_bytes(dst, 1299999);
    ok(strcmp(dst, "1.2 MB") == 0, "%s", dst);
    text_bytes(dst, UINT64_MAX);
    ok(strcmp(dst, "18.4 EB") == 0, "%s", dst);
}


static void
test_names(void)
{
    char  name[NAME_MAX_LEN], evil[400];

    name_default(name, "static", "demo", 1700000000, 1, "pcapng");
    ok(strcmp(name, "static-demo-20231114T221320Z.pcapng") == 0, "%s", name);

    name_default(name, "static", "demo", 1700000000, 2, "pcap");
    ok(strcmp(name, "static-demo-20231114T221320Z-2.pcap") == 0, "%s", name);

    name_default(name, "static", "../a b\033/c", 0, 1, "pcapng");
    ok(strcmp(name, "static-.._a_b__c-19700101T000000Z.pcapng") == 0, "%s",
       name);

    memset(evil, 'x', sizeof(evil) - 1);
    evil[sizeof(evil) - 1] = '\0';
    ok(name_default(name, "static", evil, 1700000000, 99, "pcapng")
       < NAME_MAX_LEN - 1 && strstr(name, ".pcapng") != NULL,
       "a long target is cut, the ending is not");
}


static void
set(char line[256], const char *text)
{
    snprintf(line, 256, "%s", text);
}


static void
test_redact(void)
{
    char        line[256];
    size_t      i;
    const char  *tokens[] = { "secret-token", "ab", "*", "***", "a" };

    set(line, "Authorization: bearer secret-token");
    api_redact(line, "secret-token");
    ok(strcmp(line, "Authorization: [hidden]") == 0, "%s", line);

    set(line, "h2h3 [authorization: bearer secret-token]");
    api_redact(line, "secret-token");
    ok(strcmp(line, "h2h3 [authorization: [hidden]") == 0, "%s", line);

    set(line, "Proxy-Authorization: Basic abc=");
    api_redact(line, NULL);
    ok(strcmp(line, "Proxy-Authorization: [hidden]") == 0, "%s", line);

    set(line, "authorization: x");
    api_redact(line, NULL);
    ok(strcmp(line, "authorization") == 0, "no room for the word: %s", line);

    set(line, "x secret-token y secret-token");
    api_redact(line, "secret-token");
    ok(strcmp(line, "x *** y ***") == 0, "%s", line);

    for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        snprintf(line, sizeof(line), "_%s%s_", tokens[i], tokens[i]);
        api_redact(line, tokens[i]);
        ok(strspn(line + 1, "*") == strlen(line) - 2, "token %s", tokens[i]);
    }
}


static void
test_conf(void)
{
    char        err[PCAPX_ERR_LEN], *url, *host;
    char       *big;
    size_t      i;
    static const struct {
        const char  *in;
        const char  *out;
    } urls[] = {
        { "https://api.example", "https://api.example" },
        { "api.example", "https://api.example" },
        { "api.example:8443", "https://api.example:8443" },
        { "https://api.example:8443/pcap/", "https://api.example:8443/pcap" },
        { "https://[::1]:1//", "https://[::1]:1" },
        { "http://api.example", NULL },
        { "file:///etc/passwd", NULL },
        { "https://user@api.example", NULL },
        { "https://api.example/?a=b", NULL },
        { "https://api.example/#a", NULL },
        { "https://api.example/\r\nX: y", NULL },
        { "https://", NULL },
        { "", NULL },
    };

    for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        url = conf_url(urls[i].in, "the API", &host, err);

        ok(urls[i].out == NULL ? url == NULL && host == NULL
           : url != NULL && strcmp(url, urls[i].out) == 0,
           "address %zu: %s", i, url != NULL ? url : err);

        free(url);
        curl_free(host);
    }

    ok(conf_token_ok("eyJ.a-b_c~+/=", 13), "token");
    ok(!conf_token_ok("", 0), "no token");
    ok(!conf_token_ok("a b", 3), "token with a blank");
    ok(!conf_token_ok("a\nb", 3), "token with a line break");
    ok(!conf_token_ok("a\303\244", 3), "token beyond ASCII");

    big = malloc(30001);
    memset(big, 'x', 30001);
    ok(conf_token_ok(big, 30000), "longest token");
    ok(!conf_token_ok(big, 30001), "longer token");
    free(big);
}


static void
test_row(void)
{
    char              row[256];
    stats_instance_t  in;

    memset(&in, 0, sizeof(in));
    in.name = "web/0";
    in.packets = 12;
    in.bytes = 3456;
    in.dropped = 7;

    term_row(row, sizeof(row), 79, &in, 6, 1500);
    ok(strcmp(row, "web/0          12 packets    3.4 kB    1.5 kB/s        7"
       " dropped") == 0, "row: %s", row);

    in.verdict.present = STATUS_HAS_DROPPED;
    in.verdict.dropped = 8;
    term_row(row, sizeof(row), 79, &in, 6, 1500);
    ok(strstr(row, " 8 dropped") != NULL, "the verdict counts");

    term_row(row, sizeof(row), 10, &in, 3, 0);
    ok(strlen(row) == 10 && strncmp(row, "web ", 4) == 0, "narrow: %s", row);
}


static void
test_wipe(void)
{
    char  s[] = "a secret b";

    wipe(s + 2, 6);
    ok(memcmp(s, "a \0\0\0\0\0\0 b", sizeof(s)) == 0,
       "a secret is wiped, and nothing else");

    wipe(NULL, 0);
    wipe_free(NULL);
    wipe_free(strdup("secret"));
    ok(1, "nothing may be wiped, too");
}


int
main(void)
{
    test_clean();
    test_numbers();
    test_names();
    test_redact();
    test_conf();
    test_row();
    test_wipe();

    return tap_done();
}
