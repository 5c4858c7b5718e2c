/*
 * t/store_scgi.c: requests over SCGI: whole ones, cut at every byte, and
 * every kind of those that are none.
 */

#include <stdlib.h>
#include <string.h>

#include "store/scgi.h"
#include "t/tap.h"


#define HEAD    "CONTENT_LENGTH\0" "0\0" "SCGI\0" "1\0"
#define ASK     "REQUEST_METHOD\0" "POST\0" "REQUEST_URI\0" "/captures\0"

/* The literal without the NUL that ends it. */
#define LIT(s)  s, sizeof(s) - 1

static char  buf[SCGI_MAX + 64];


/* As a netstring; the length of it. */

static size_t
netstring(const char *head, size_t len, const char *tail)
{
    size_t  n;

    n = (size_t) snprintf(buf, sizeof(buf), "%zu:", len);
    memcpy(buf + n, head, len);
    n += len;
    n += (size_t) snprintf(buf + n, sizeof(buf) - n, "%s", tail);

    return n;
}


static void
refused(const char *head, size_t len, const char *tail, const char *why)
{
    int     rc;
    size_t  n;
    scgi_t  req;

    n = netstring(head, len, tail);
    rc = scgi_parse(&req, buf, n);
    ok(rc == -1 && req.status == 400 && strstr(req.err, why) != NULL,
       "refused: %s", rc == -1 ? req.err : "it was not");
}


static void
good(void)
{
    int     rc;
    size_t  i, n;
    scgi_t  req;

    n = netstring(LIT(HEAD ASK "PCAP_BODY\0" "{}\0" "MORE\0" "\0"), ",");
    rc = scgi_parse(&req, buf, n);
    ok(rc == 1 && strcmp(req.method, "POST") == 0
       && strcmp(req.uri, "/captures") == 0 && strcmp(req.body, "{}") == 0,
       "a whole one");

    for (i = 0, rc = 0; i < n && rc == 0; i++) {
        rc = scgi_parse(&req, buf, i);
    }

    ok(rc == 0, "cut anywhere more must come");

    n = netstring(LIT(HEAD ASK), ",");
    ok(scgi_parse(&req, buf, n) == 1 && req.body[0] == '\0', "no PCAP_BODY");

    n = netstring(LIT("CONTENT_LENGTH\0" "3\0" "SCGI\0" "1\0" ASK), ",ab");
    ok(scgi_parse(&req, buf, n) == 0, "a body must come");
    buf[n] = 'c';
    ok(scgi_parse(&req, buf, n + 1) == 1, "and is thrown away");
}


static void
lengths(void)
{
    size_t       i;
    scgi_t       req;

    static const char  *const none[] = {
        ":", "x", "-1:", " 1:", "0:", "00", "012:", "1x:", "GET / HTTP/1.1"
    };

    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        ok(scgi_parse(&req, none[i], strlen(none[i])) == -1
           && req.status == 400, "no length: %s", none[i]);
    }

    ok(scgi_parse(&req, LIT("131072:")) == 0, "the longest one");
    ok(scgi_parse(&req, LIT("131073:")) == -1 && req.status == 413,
       "one more: %s", req.err);
    ok(scgi_parse(&req, LIT("99999999999999999999999")) == -1
       && req.status == 413, "far more");
}


static void
limits(void)
{
    char    *head;
    size_t   n, used;
    scgi_t   req;

    static const char  start[] = HEAD ASK "PCAP_BODY";

    head = malloc(SCGI_MAX_HEADER);
    if (head == NULL) {
        exit(1);
    }

    used = sizeof(start);
    memset(head, 'x', SCGI_MAX_HEADER);
    memcpy(head, start, used);
    head[SCGI_MAX_HEADER - 1] = '\0';

    n = netstring(head, SCGI_MAX_HEADER, ",");
    ok(scgi_parse(&req, buf, n) == 1
       && strlen(req.body) == SCGI_MAX_HEADER - used - 1, "128 KiB of it");
    free(head);
}


int
main(void)
{
    good();
    lengths();
    limits();

    refused(LIT(HEAD ASK), ";", "no comma");
    refused(LIT(HEAD ASK), ",x", "more than one");
    refused(LIT(HEAD "REQUEST_METHOD\0" "GET\0" "REQUEST_URI\0" "/"), ",",
            "end with a NUL");
    refused(LIT("SCGI\0" "1\0" HEAD ASK), ",", "CONTENT_LENGTH must");
    refused(LIT("CONTENT_LENGTH\0"), ",", "CONTENT_LENGTH must");
    refused(LIT("CONTENT_LENGTH\0" "\0" "SCGI\0" "1\0" ASK), ",",
            "CONTENT_LENGTH must");
    refused(LIT("CONTENT_LENGTH\0" "-1\0" "SCGI\0" "1\0" ASK), ",",
            "CONTENT_LENGTH must");
    refused(LIT("CONTENT_LENGTH\0" "4097\0" "SCGI\0" "1\0" ASK), ",",
            "CONTENT_LENGTH must");
    refused(LIT("CONTENT_LENGTH\0" "000000\0" "SCGI\0" "1\0" ASK), ",",
            "CONTENT_LENGTH must");
    refused(LIT("CONTENT_LENGTH\0" "0\0" ASK), ",", "SCGI must be 1");
    refused(LIT("CONTENT_LENGTH\0" "0\0" "SCGI\0" "2\0" ASK), ",",
            "SCGI must be 1");
    refused(LIT(HEAD "SCGI\0" "1\0" ASK), ",", "SCGI must be 1");
    refused(LIT(HEAD ASK "LAST\0"), ",", "without a value");
    refused(LIT(HEAD ASK "\0" "x\0"), ",", "without a name");
    refused(LIT(HEAD ASK "REQUEST_URI\0" "/\0"), ",", "twice");
    refused(LIT(HEAD), ",", "are needed");
    refused(LIT(HEAD "REQUEST_METHOD\0" "get\0" "REQUEST_URI\0" "/\0"), ",",
            "capital letters");
    refused(LIT(HEAD "REQUEST_METHOD\0" "\0" "REQUEST_URI\0" "/\0"), ",",
            "capital letters");
    refused(LIT(HEAD "REQUEST_METHOD\0" "AAAAAAAAAAAAAAAAA\0"
                "REQUEST_URI\0" "/\0"), ",", "capital letters");
    refused(LIT(HEAD "REQUEST_METHOD\0" "GET\0" "REQUEST_URI\0" "x\0"), ",",
            "begin with /");
    refused(LIT(HEAD "REQUEST_METHOD\0" "GET\0" "REQUEST_URI\0" "/\x01\0"),
            ",", "printable");
    refused(LIT(HEAD "REQUEST_METHOD\0" "GET\0" "REQUEST_URI\0" "/\xff\0"),
            ",", "printable");

    return tap_done();
}
