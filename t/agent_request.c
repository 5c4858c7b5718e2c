/*
 * t/agent_request.c: the request parser: what it takes over, what it
 * refuses, and that no cut or changed request makes it read outside of its
 * buffer (run with the sanitizers).
 */

#include <stdlib.h>
#include <string.h>

#include "agent/request.h"
#include "t/tap.h"


/* Parses a copy of exactly the right size, so that a sanitizer sees all. */

static int
parse(const char *text, size_t len, request_t *req, problem_t *why)
{
    int    rc;
    char  *copy;

    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    rc = request_parse(copy, len, req, why);
    free(copy);

    return rc;
}


static int
refused(const char *text, int status)
{
    request_t  req;
    problem_t  why;

    memset(&why, 0, sizeof(why));

    return parse(text, strlen(text), &req, &why) == -1
           && why.status == status && why.detail[0];
}


static void
everything(void)
{
    request_t           req;
    problem_t           why;

    static const char   text[] =
        "GET /v1/capture?interface=eth0&interface=lo&filter=tcp+port%2080"
        "&snaplen=96&format=pcap&promiscuous=1&heartbeat_ms=5"
        "&id=0123456789abcdef0123456789abcdef&exclude=192.0.2.1:443"
        "&exclude=[2001:db8::1]:8443&exclude_peer=198.51.100.1:1 HTTP/1.1\r\n"
        "Host: x\r\nX: y\tz\r\n\r\n";

    static const char   inside[] =
        "GET /v1/capture?container=e49f448e-54d2-4c33-61a3-5335"
        "&app=2a7f6f0c-5a3b-4d0e%2d9b1c-0123456789ab HTTP/1.1\r\n\r\n";

    ok(parse(text, sizeof(text) - 1, &req, &why) == 0, "every option");
    ok(req.kind == REQUEST_CAPTURE, "a capture");
    ok(req.nifnames == 2 && strcmp(req.ifnames[0], "eth0") == 0
       && strcmp(req.ifnames[1], "lo") == 0, "interface");
    ok(strcmp(req.filter, "tcp port 80") == 0, "filter is decoded");
    ok(req.snaplen == 96 && !req.pcapng && req.promiscuous
       && req.heartbeat_ms == 5, "numbers");
    ok(strcmp(req.id, "0123456789abcdef0123456789abcdef") == 0, "id");
    ok(req.nexcludes == 2 && req.excludes[0].port == 443
       && req.excludes[0].addr[3] == 1 && req.excludes[1].addr_len == 16,
       "exclude");
    ok(req.npeers == 1 && req.peers[0].port == 1, "exclude_peer");

    ok(req.container[0] == '\0' && req.app[0] == '\0', "no container");

    ok(parse(inside, sizeof(inside) - 1, &req, &why) == 0
       && strcmp(req.container, "e49f448e-54d2-4c33-61a3-5335") == 0
       && strcmp(req.app, "2a7f6f0c-5a3b-4d0e-9b1c-0123456789ab") == 0
       && req.nifnames == 0, "container and app");

    ok(parse("GET /v1/capture HTTP/1.1\r\n\r\n", 28, &req, &why) == 0
       && req.snaplen == PCAPX_MAX_SNAPLEN && req.pcapng
       && !req.promiscuous && req.heartbeat_ms == 100
       && req.filter[0] == '\0' && req.nifnames == 0, "defaults");
    ok(parse("GET /v1/status HTTP/1.1\r\n\r\n", 27, &req, &why) == 0
       && req.kind == REQUEST_STATUS, "status");
    ok(parse("GET /v1/capture?filter=+%09 HTTP/1.1\r\n\r\n", 41, &req, &why)
       == 0 && req.filter[0] == '\0', "white space is no filter");
}


static void
refusals(void)
{
    ok(refused("", 400), "nothing");
    ok(refused("GET /v1/status HTTP/1.1\r\n", 400), "no blank line");
    ok(refused("GET  /v1/status HTTP/1.1\r\n\r\n", 400), "two spaces");
    ok(refused("GET /v1/status\r\n\r\n", 400), "no version");
    ok(refused("GET /v1/status HTTP/2.0\r\n\r\n", 400), "other version");
    ok(refused("get /v1/status HTTP/1.1\r\n\r\n", 405), "lower case method");
    ok(refused("GET http://x/v1/status HTTP/1.1\r\n\r\n", 404),
       "absolute form");
    ok(refused("GET /v1/status/ HTTP/1.1\r\n\r\n", 404), "a longer path");
    ok(refused("GET /v1/%73tatus HTTP/1.1\r\n\r\n", 404), "encoded path");
    ok(refused("GET /v1/status\tx HTTP/1.1\r\n\r\n", 400), "tab");
    ok(refused("GET /v1/status HTTP/1.1\nHost: x\r\n\r\n", 400), "bare LF");
    ok(refused("GET /v1/status HTTP/1.1\r\nHost : x\r\n\r\n", 400),
       "space before the colon");
    ok(refused("GET /v1/status HTTP/1.1\r\nHost\r\n\r\n", 400), "no colon");
    ok(refused("GET /v1/status HTTP/1.1\r\ncontent-LENGTH: 0\r\n\r\n", 400),
       "body");
    ok(refused("GET /v1/capture?=1 HTTP/1.1\r\n\r\n", 400), "no name");
    ok(refused("GET /v1/capture?Interface=lo HTTP/1.1\r\n\r\n", 400),
       "names keep their case");
    ok(refused("GET /v1/capture?app=x HTTP/1.1\r\n\r\n", 400),
       "app without container");
    ok(refused("GET /v1/capture?container=x HTTP/1.1\r\n\r\n", 400),
       "container without app");
    ok(refused("GET /v1/capture?container=x&app= HTTP/1.1\r\n\r\n", 400),
       "empty app");
    ok(refused("GET /v1/capture?container=..%2fx&app=x HTTP/1.1\r\n\r\n",
               400), "a path as container");
    ok(refused("GET /v1/capture?container=..&app=x HTTP/1.1\r\n\r\n", 400),
       "the folder above as container");
    ok(refused("GET /v1/capture?container=x&app=x%2f HTTP/1.1\r\n\r\n", 400),
       "a path as app");
    ok(refused("GET /v1/capture?container=x&container=y&app=x HTTP/1.1\r\n"
               "\r\n", 400), "two containers");
    ok(refused("GET /v1/capture?interface= HTTP/1.1\r\n\r\n", 400),
       "empty interface");
    ok(refused("GET /v1/capture?filter=%1 HTTP/1.1\r\n\r\n", 400),
       "cut escape");
    ok(refused("GET /v1/capture?filter=%01 HTTP/1.1\r\n\r\n", 400),
       "control character");
    ok(refused("GET /v1/capture?id=0 HTTP/1.1\r\n\r\n", 400), "short id");
}


static int
taken(const char *text, request_kind_t kind, const char *file)
{
    request_t  req;
    problem_t  why;

    return parse(text, strlen(text), &req, &why) == 0 && req.kind == kind
           && strcmp(req.ns, "prod") == 0 && strcmp(req.name, "web") == 0
           && strcmp(req.file, file) == 0;
}


#define GET(path)  "GET /v1/files/" path " HTTP/1.1\r\n\r\n"
#define DEL(path)  "DELETE /v1/files/" path " HTTP/1.1\r\n\r\n"

static void
files(void)
{
    ok(taken(GET("prod/web"), REQUEST_FILES, ""), "a folder");
    ok(taken(GET("prod/web?id=0123456789abcdef0123456789abcdef"),
             REQUEST_FILES, ""), "a folder, with an id");
    ok(taken(GET("prod/web?heartbeat_ms=5&format=pcapng"), REQUEST_MERGED,
             ""), "merged");
    ok(taken(GET("prod/web?format=pcapng&files=4294967295"), REQUEST_MERGED,
             "") && refused(GET("prod/web?files=2"), 400)
       && refused(GET("prod/web?format=pcapng&files=0"), 400)
       && refused(GET("prod/web?format=pcapng&files=4294967296"), 400)
       && refused(GET("prod/web/x?files=1"), 400), "how many it should be");
    ok(taken(GET("prod/web/a.pcap"), REQUEST_FILE, "a.pcap"), "a file");
    ok(taken(DEL("prod/web/a.pcap"), REQUEST_REMOVE, "a.pcap"),
       "its removal");
    ok(taken(GET("%70rod/we%62/a%20b+%C3%A4%252f"), REQUEST_FILE,
             "a b+\xc3\xa4%2f"), "decoded once, and + is a plus");

    ok(refused(GET(""), 400) && refused(GET("prod"), 400)
       && refused(GET("prod/"), 400) && refused(GET("prod/web/"), 400)
       && refused(GET("prod//x"), 400) && refused(GET("prod/web/x/"), 400)
       && refused(GET("prod/web/x/y"), 400), "parts that are not there");
    ok(refused(GET("../web"), 400) && refused(GET("prod/.."), 400)
       && refused(GET("prod/web/."), 400)
       && refused(GET("%2e./web/x"), 400)
       && refused(GET("prod/web/%2E%2e"), 400), "dots, encoded or not");
    ok(refused(GET("prod%2fweb/x"), 400)
       && refused(GET("prod/web/x%2Fy"), 400), "an encoded slash");
    ok(refused(GET("prod/web/x%00"), 400) && refused(GET("%00/web/x"), 400)
       && refused(GET("prod/web/%0a"), 400), "NUL and control");
    ok(refused(GET("prod/web/%"), 400) && refused(GET("prod/web/%4"), 400)
       && refused(GET("prod/web/%4g"), 400), "half an escape");
    ok(refused(DEL("prod/web"), 405)
       && refused("PUT /v1/files/prod/web/x HTTP/1.1\r\n\r\n", 405)
       && refused("DELETE /v1/capture HTTP/1.1\r\n\r\n", 405),
       "methods");
    ok(refused(GET("prod/web?format=pcap"), 400)
       && refused(GET("prod/web?heartbeat_ms=100"), 400)
       && refused(GET("prod/web?format=pcapng&snaplen=1"), 400)
       && refused(GET("prod/web/x?format=pcapng"), 400)
       && refused("GET /v1/files HTTP/1.1\r\n\r\n", 404), "options");
}


static void
heads(void)
{
    char        big[REQUEST_MAX_LEN + 1];
    problem_t   why;

    ok(request_head("GET", 3, &why) == 0, "head: more is needed");
    ok(request_head("a\r\n\r\nb", 6, &why) == 5, "head: complete");

    memset(big, 'a', sizeof(big));
    ok(request_head(big, REQUEST_MAX_LEN - 1, &why) == 0, "head: still room");
    ok(request_head(big, REQUEST_MAX_LEN, &why) == -1 && why.status == 414,
       "head: line too long");

    big[100] = '\n';
    ok(request_head(big, REQUEST_MAX_LEN, &why) == -1 && why.status == 431,
       "head: headers too long");

    memcpy(big + REQUEST_MAX_LEN - 4, "\r\n\r\n", 4);
    ok(request_head(big, REQUEST_MAX_LEN, &why) == REQUEST_MAX_LEN,
       "head: the longest");
}


/* Every cut and every changed byte of a request: only the result is free. */

static void
mangled(void)
{
    char        copy[512];
    size_t      i, k, len;
    unsigned    c;
    request_t   req;
    problem_t   why;

    static const char  text[] =
        "GET /v1/capture?interface=eth0&filter=tcp+port%2080&snaplen=96"
        "&exclude=[2001:db8::1]:8443&exclude_peer=198.51.100.1:1 HTTP/1.1\r\n"
        "Host: x\r\n\r\n";

    static const char  path[] = DEL("prod/w%65b/a%20b.pcap?id=01");

    static const char  *const texts[] = { text, path };

    for (k = 0; k < 2; k++) {
        len = strlen(texts[k]);

        for (i = 0; i <= len; i++) {
            (void) parse(texts[k], i, &req, &why);
        }

        for (i = 0; i < len; i++) {
            for (c = 0; c < 256; c++) {
                memcpy(copy, texts[k], len);
                copy[i] = (char) c;
                (void) parse(copy, len, &req, &why);
            }
        }
    }

    ok(1, "cut and changed requests");
}


int
main(void)
{
    everything();
    refusals();
    files();
    heads();
    mangled();

    return tap_done();
}
