/*
 * fuzz/corpus/make_seeds.c: writes the seeds beside it: every crafted capture
 * of the unit tests for fuzz_scan, a few call sequences for fuzz_merge, and
 * the texts of every check for fuzz_valid. Run it in the project's root after
 * a change and commit what it wrote:
 *
 *     cc -D_GNU_SOURCE -I. -It -o build/make_seeds fuzz/corpus/make_seeds.c
 *     build/make_seeds fuzz/corpus
 */

#include <errno.h>
#include <sys/stat.h>

#include "pcapx_malformed.h"


static void
die(const char *what)
{
    fprintf(stderr, "make_seeds: %s: %s\n", what, strerror(errno));
    exit(1);
}


/* The name is made of the case's own, with what a path cannot hold left. */
static void
save(const char *root, const char *target, const char *name,
    const void *data, size_t len)
{
    char    path[256];
    FILE   *f;
    size_t  n;

    n = (size_t) snprintf(path, sizeof(path), "%s/%s", root, target);

    if (mkdir(path, 0777) == -1 && errno != EEXIST) {
        die(path);
    }

    n += (size_t) snprintf(path + n, sizeof(path) - n, "/");

    for ( ; *name && n < sizeof(path) - 1; name++) {
        if (strchr(" .:^,/", *name) == NULL) {
            path[n++] = *name;

        } else if (path[n - 1] != '-' && path[n - 1] != '/') {
            path[n++] = '-';
        }
    }

    path[n] = '\0';
    f = fopen(path, "w");

    if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0) {
        die(path);
    }
}


static void
save_captures(const char *root)
{
    size_t          i;
    char            name[64];
    static craft_t  c;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        c.len = 0;
        c.swap = 0;
        cases[i].make(&c);
        save(root, "fuzz_scan", cases[i].name, c.buf, c.len);
    }

    c.len = 0;
    c.swap = 0;
    craft_agent_stream(&c);
    save(root, "fuzz_scan", "good agent", c.buf, c.len);

    for (i = 0; i < 2; i++) {
        c.len = 0;
        craft_any_stream(&c, (unsigned) i);
        snprintf(name, sizeof(name), "good pcapng %s", i ? "foreign" : "host");
        save(root, "fuzz_scan", name, c.buf, c.len);

        c.len = 0;
        craft_pcap_stream(&c, PCAPX_PCAP_MAGIC_USEC, (unsigned) i);
        snprintf(name, sizeof(name), "good pcap %s", i ? "foreign" : "host");
        save(root, "fuzz_scan", name, c.buf, c.len);

        c.len = 0;
        craft_pcap_stream(&c, PCAPX_PCAP_MAGIC_NSEC, (unsigned) i);
        snprintf(name, sizeof(name), "good pcap ns %s",
                 i ? "foreign" : "host");
        save(root, "fuzz_scan", name, c.buf, c.len);
    }
}


/* Calls of three bytes: what (see fuzz_merge.c), source, time. */
static void
save_calls(const char *root)
{
    int      i, k, n;
    uint8_t  buf[256];
    char     name[32];

    static const uint8_t  sources[] = { 0, 1, 2, 7, 33 };

    for (i = 0; i < 5; i++) {
        buf[0] = sources[i];
        n = 1;

        for (k = 0; k < 80; k++) {
            buf[n++] = (uint8_t) (k * 37);
            buf[n++] = (uint8_t) (k * 11);
            buf[n++] = (uint8_t) (k < 70 ? k / 3 : 200 + k);
        }

        snprintf(name, sizeof(name), "sources %u", sources[i]);
        save(root, "fuzz_merge", name, buf, (size_t) n);
    }
}


static void
save_texts(const char *root)
{
    size_t  i, len;
    char    buf[256], name[64];

    static const char *const  texts[14][4] = {
        { "eth0", "any", "a/b", "1234567890123456" },
        { "tcp port 80", "tcp\tand\nudp", "tcp\x1b", "" },
        { "192.0.2.1:9494", "[2001:db8::1]:443", "host:80", "[::1%1]:80" },
        { "0123456789abcdef0123456789abcdef", "0123", "", "xyz" },
        { "router/0", "a.b_c-d", "../a", "a//b" },
        { "ticket #4711", "\xc3\xa4\xe2\x82\xac", "\xc2\x85", "\xff" },
        { "a=1&b=2", "f=tcp%20port+80", "a=%zz", "&&a&=&%00" },
        { "262144", "1", "0", "262145" },
        { "30s", "250ms", "1d", "99999999999h" },
        { "100m", "10MiB", "8192t", "1p" },
        { "0", "7", "8", "70" },
        { "18446744073709551615", "1", "0", "18446744073709551616" },
        { "on", "false", "1", "maybe" },
        { "pcap", "pcapng", "json", "" }
    };

    for (i = 0; i < 14 * 4; i++) {
        buf[0] = (char) (i / 4);
        len = strlen(texts[i / 4][i % 4]);
        memcpy(buf + 1, texts[i / 4][i % 4], len);
        snprintf(name, sizeof(name), "check %zu text %zu", i / 4, i % 4);
        save(root, "fuzz_valid", name, buf, len + 1);
    }
}


/* The first byte says what it is: see fuzz_jwt.c. */
static void
save_tokens(const char *root)
{
    size_t  i, k, n;
    char    buf[2048];

    /* {"alg":"RS256","kid":"r"}.{"exp":1}, the same as ES256 and none */

    static const struct {
        const char  *name;
        const char  *text;
        size_t       more;                 /* characters of a signature */
    } seeds[] = {
        { "token rs256", "teyJhbGciOiJSUzI1NiIsImtpZCI6InIifQ.eyJleHAiOjF9.",
          342 },
        { "token es256", "teyJhbGciOiJFUzI1NiIsImtpZCI6ImUifQ.eyJleHAiOjF9.",
          86 },
        { "token none", "teyJhbGciOiJub25lIiwia2lkIjoiciJ9.eyJleHAiOjF9.",
          0 },
        { "payload empty", "pe30", 0 },
        { "payload exp", "peyJleHAiOjF9", 0 },
        { "payload scope", "peyJzY29wZSI6WyJhIl0sImF1ZCI6ImIifQ", 0 },
        { "keys rsa", "k{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"use\":"
          "\"sig\",\"alg\":\"RS256\",\"e\":\"AQAB\",\"n\":\"", 342 },
        { "keys ec", "k{\"keys\":[{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":"
          "\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
          "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}", 0 },
        { "keys none", "k{\"keys\":[]}", 0 }
    };

    for (i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        n = strlen(seeds[i].text);
        memcpy(buf, seeds[i].text, n);

        for (k = 0; k < seeds[i].more; k++) {
            buf[n++] = k + 1 < seeds[i].more ? '_' : 'w';
        }

        if (buf[0] == 'k' && seeds[i].more) {
            memcpy(buf + n, "\"}]}", 4);
            n += 4;
        }

        save(root, "fuzz_jwt", seeds[i].name, buf, n);
    }
}


int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_seeds DIRECTORY\n");
        return 2;
    }

    save_captures(argv[1]);
    save_calls(argv[1]);
    save_texts(argv[1]);
    save_tokens(argv[1]);

    return 0;
}
