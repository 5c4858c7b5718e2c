/*
 * t/store_sigv4.c: signatures against AWS's published examples
 * (sig-v4-header-based-auth, sigv4-query-string-auth), and what they do not
 * show: encoding, order, session tokens, too much of it.
 */

#include <stdlib.h>
#include <string.h>

#include "store/sigv4.h"
#include "t/tap.h"


#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define DATE      "20130524T000000Z"
#define HOST      "examplebucket.s3.amazonaws.com"


static const sigv4_key_t  key = {
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    NULL, "us-east-1"
};


/* What was signed, and the signature. */

static void
header_is(const sigv4_request_t *req, const char *names, const char *signature,
    const char *what)
{
    char  *value, want[1024];

    snprintf(want, sizeof(want), "AWS4-HMAC-SHA256 Credential="
             "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
             "SignedHeaders=%s,Signature=%s", names, signature);

    value = sigv4_authorization(&key, req, DATE);
    ok(value != NULL && strcmp(value, want) == 0, "%s", what);

    if (value == NULL || strcmp(value, want) != 0) {
        printf("# %s\n# instead of %s\n", value ? value : "nothing", want);
    }

    free(value);
}


static void
text_is(char *text, const char *want, const char *what)
{
    ok(text != NULL && strcmp(text, want) == 0, "%s", what);

    if (text == NULL || strcmp(text, want) != 0) {
        printf("# %s\n# instead of %s\n", text ? text : "nothing", want);
    }

    free(text);
}


static void
examples(void)
{
    sigv4_request_t  req;

    static const sigv4_pair_t  range[] = { { "Range", "bytes=0-9" } };
    static const sigv4_pair_t  put[] = {
        { "Date", "Fri, 24 May 2013 00:00:00 GMT" },
        { "x-amz-storage-class", "REDUCED_REDUNDANCY" }
    };
    static const sigv4_pair_t  lifecycle[] = { { "lifecycle", "" } };
    static const sigv4_pair_t  list[] = {
        { "prefix", "J" }, { "max-keys", "2" }
    };

    req = (sigv4_request_t) { .method = "GET", .host = HOST,
        .path = "/test.txt", .headers = range, .nheaders = 1,
        .payload = SIGV4_EMPTY_SHA256 };
    header_is(&req, "host;range;x-amz-content-sha256;x-amz-date",
              "f0e8bdb87c964420e857bd35b5d6ed31"
              "0bd44f0170aba48dd91039c6036bdb41", "AWS's example: GET object");

    req = (sigv4_request_t) { .method = "PUT", .host = HOST,
        .path = "/test$file.text", .headers = put, .nheaders = 2,
        .payload = "44ce7dd67c959e0d3524ffac1771dfbb"
                   "a87d2b6b4b4e99e42034a8b803f8b072" };
    header_is(&req, "date;host;x-amz-content-sha256;x-amz-date;"
              "x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238"
              "d841ea1380cd77a1b5971af0ece108bd", "AWS's example: PUT object");

    req = (sigv4_request_t) { .method = "GET", .host = HOST, .path = "/",
        .query = lifecycle, .nquery = 1, .payload = SIGV4_EMPTY_SHA256 };
    header_is(&req, "host;x-amz-content-sha256;x-amz-date",
              "fea454ca298b7da1c68078a5d1bdbfbb"
              "e0d65c699e0f91ac7a200a0136783543", "AWS's example: lifecycle");

    req = (sigv4_request_t) { .method = "GET", .host = HOST, .path = "/",
        .query = list, .nquery = 2, .payload = SIGV4_EMPTY_SHA256 };
    header_is(&req, "host;x-amz-content-sha256;x-amz-date",
              "34b48302e7b5fa45bde8084f4b7868a8"
              "6f0a534bc59db6670ed5711ef69dc6f7", "AWS's example: list");

    req = (sigv4_request_t) { .method = "GET", .host = HOST,
        .path = "/test.txt" };
    text_is(sigv4_presigned(&key, &req, DATE, 86400),
            "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
            "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
            "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
            "&X-Amz-SignedHeaders=host&X-Amz-Signature="
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
            "AWS's example: presigned GET");
}


static void
encoding(void)
{
    sigv4_request_t  req;

    static const sigv4_pair_t  query[] = {
        { "b", "2" }, { "a/b", "x y+z" }, { "a", "\xc3\xa9" }, { "a", "~" },
        { "uploads", "" }
    };

    req = (sigv4_request_t) { .method = "GET", .host = "h",
        .path = "/b/a b+c//../\xc3\xa9~_-.txt", .query = query,
        .nquery = COUNT(query), .payload = SIGV4_EMPTY_SHA256 };

    text_is(sigv4_target(&req), "/b/a%20b%2Bc//../%C3%A9~_-.txt"
            "?a=%C3%A9&a=~&a%2Fb=x%20y%2Bz&b=2&uploads=",
            "path and query are encoded once, the query is in order");

    req.nquery = 0;
    text_is(sigv4_target(&req), "/b/a%20b%2Bc//../%C3%A9~_-.txt",
            "no query, no question mark");
}


/* Blanks, case and order of headers do not change the signature. */

static void
headers(void)
{
    char             *first, *second;
    sigv4_request_t   req;

    static const sigv4_pair_t  tidy[] = {
        { "content-type", "a b" }, { "x-amz-meta-a", "1" },
        { "x-amz-meta-a-b", "2" }
    };
    static const sigv4_pair_t  messy[] = {
        { "X-Amz-Meta-A-B", "2" }, { "Content-Type", " a \t b " },
        { "X-Amz-Meta-A", "1" }
    };

    req = (sigv4_request_t) { .method = "PUT", .host = "h", .path = "/b/k",
        .headers = tidy, .nheaders = 3, .payload = SIGV4_UNSIGNED };
    first = sigv4_authorization(&key, &req, DATE);

    req.headers = messy;
    second = sigv4_authorization(&key, &req, DATE);

    ok(first != NULL && second != NULL && strcmp(first, second) == 0,
       "headers: one signature, however they are written");
    ok(first != NULL && strstr(first, "SignedHeaders=content-type;host;"
                               "x-amz-content-sha256;x-amz-date;x-amz-meta-a;"
                               "x-amz-meta-a-b,") != NULL,
       "headers: all of them are signed");

    free(first);
    free(second);
}


static void
sessions(void)
{
    char             *value;
    sigv4_key_t       session;
    sigv4_request_t   req;

    session = key;
    session.session_token = "to/ken=";
    req = (sigv4_request_t) { .method = "GET", .host = "h", .path = "/b/k",
        .payload = SIGV4_EMPTY_SHA256 };

    value = sigv4_authorization(&session, &req, DATE);
    ok(value != NULL && strstr(value, ";x-amz-security-token,") != NULL,
       "a session's token is a signed header");
    free(value);

    value = sigv4_presigned(&session, &req, DATE, 60);
    ok(value != NULL
       && strstr(value, "&X-Amz-Security-Token=to%2Fken%3D&") != NULL,
       "and a signed parameter of a URL");
    free(value);
}


static void
too_many(void)
{
    size_t            i;
    char             *value;
    sigv4_pair_t      pairs[SIGV4_MAX_PAIRS + 1];
    sigv4_request_t   req;

    for (i = 0; i < COUNT(pairs); i++) {
        pairs[i] = (sigv4_pair_t) { "name", "value" };
    }

    req = (sigv4_request_t) { .method = "GET", .host = "h", .path = "/",
        .query = pairs, .nquery = COUNT(pairs),
        .payload = SIGV4_EMPTY_SHA256 };
    ok(sigv4_target(&req) == NULL, "too many parameters");

    req.nquery = COUNT(pairs) - 1;
    value = sigv4_target(&req);
    ok(value != NULL, "one less");
    free(value);

    ok(sigv4_presigned(&key, &req, DATE, 60) == NULL,
       "that do not leave room for the signature");

    req.nquery = 0;
    req.headers = pairs;
    req.nheaders = COUNT(pairs) - 2;
    ok(sigv4_authorization(&key, &req, DATE) == NULL, "too many headers");
}


int
main(void)
{
    char  date[SIGV4_DATE_LEN + 1];

    sigv4_date(1369353600, date);
    ok(strcmp(date, DATE) == 0, "a date");
    sigv4_date((time_t) 99999 * 366 * 86400, date);
    ok(strcmp(date, "19700101T000000Z") == 0, "one that does not fit");

    examples();
    encoding();
    headers();
    sessions();
    too_many();

    return tap_done();
}
