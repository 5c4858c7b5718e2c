/*
 * store/s3_http.c: see s3_int.h. One request over libcurl: signed, sent,
 * bounded, understood, and made again where the server or the network may
 * recover. A secret never gets into a text.
 */

#include <errno.h>
#include <expat.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "s3_int.h"


#define S3_CONNECT_S   10
#define S3_FIRST_MS    200           /* before the second try; then doubled */
#define S3_LONGEST_MS  10000
#define S3_READ_LEN    65536         /* when a body is hashed */
#define S3_LEAST_RATE  16384         /* bytes a second */
#define S3_SKEW_MAX    86400         /* s; a server that is further off lies */
#define S3_SKEW_TOLD   900           /* s that S3 allows */

/* What a try came to. */

typedef enum {
    S3_FINAL = -1,
    S3_OK = 0,
    S3_AGAIN = 1
} s3_try_t;

/* The text of one element is wanted. */

typedef struct {
    XML_Parser   parser;
    const char  *name;
    char        *to;
    size_t       size;
    size_t       len;
    int          inside;
    int          found;
    int          too_long;
    const char  *root;               /* or this one first, if not NULL */
    int          begun;
    int          rooted;
} s3_wanted_t;


static s3_try_t s3_try(s3_t *s, s3_request_t *r, s3_error_t *e);
static int s3_sign(s3_t *s, s3_request_t *r, char **url,
    struct curl_slist **headers);
static int s3_payload(const s3_t *s, const s3_request_t *r, char *hex,
    size_t size);
static int s3_hash(const s3_body_t *body, EVP_MD_CTX *md);
static int s3_header(struct curl_slist **list, const char *name,
    const char *value);
static void s3_set(s3_t *s, s3_request_t *r);
static size_t s3_read(char *p, size_t size, size_t n, void *data);
static int s3_seek(void *data, curl_off_t offset, int origin);
static size_t s3_write(char *p, size_t size, size_t n, void *data);
static size_t s3_said(char *p, size_t size, size_t n, void *data);
static s3_try_t s3_judge(s3_t *s, s3_request_t *r, s3_error_t *e);
static s3_try_t s3_no_answer(const s3_t *s, CURLcode rc, s3_error_t *e);
static int s3_passes(const s3_error_t *e);
static int s3_skewed(s3_t *s, s3_request_t *r);
static void s3_printable(char *s);
static void s3_sleep(unsigned ms);
static time_t s3_now(void);
static int s3_parse(const s3_request_t *r, s3_wanted_t *w);
static void XMLCALL s3_doctype(void *data, const XML_Char *name,
    const XML_Char *system, const XML_Char *public, int internal);
static void XMLCALL s3_begins(void *data, const XML_Char *name,
    const XML_Char **atts);
static void XMLCALL s3_ends(void *data, const XML_Char *name);
static void XMLCALL s3_text(void *data, const XML_Char *p, int len);


/* Errors of S3 that pass. */

static const char *const  s3_passing[] = {
    "IncompleteBody", "InternalError", "OperationAborted", "RequestTimeout",
    "ServiceUnavailable", "SlowDown", "ThrottlingException", NULL
};


int
s3_request(s3_t *s, s3_request_t *r, s3_error_t *e)
{
    time_t     until;
    unsigned   ms;
    s3_try_t   rc;

    until = 0;

    for (ms = S3_FIRST_MS; ; ms = ms < S3_LONGEST_MS / 2 ? 2 * ms
                                                         : S3_LONGEST_MS)
    {
        rc = s3_try(s, r, e);
        s3_printable(e->text);
        s3_printable(e->code);

        if (rc != S3_AGAIN) {
            return rc;
        }

        if (until == 0) {
            until = s3_now() + s->conf->retry_s;
        }

        if (s3_now() + (time_t) (ms / 1000) >= until) {
            return -1;
        }

        s3_sleep(ms);
    }
}


static s3_try_t
s3_try(s3_t *s, s3_request_t *r, s3_error_t *e)
{
    char               *url;
    CURLcode            rc;
    struct curl_slist  *headers;

    memset(e, 0, sizeof(*e));
    s3_request_free(r);
    r->sent = 0;
    r->date = 0;
    r->length = -1;
    r->error = 0;
    r->etag[0] = '\0';
    curl_easy_reset(s->curl);

    if (s3_sign(s, r, &url, &headers) != 0) {
        snprintf(e->text, sizeof(e->text), "%s of %s: a header that is empty "
                 "or has control characters, a body that cannot be read, or "
                 "no memory", r->method, s->conf->bucket);
        curl_slist_free_all(headers);
        free(url);
        return S3_FINAL;
    }

    s3_set(s, r);
    rc = curl_easy_setopt(s->curl, CURLOPT_URL, url);

    if (rc == CURLE_OK) {
        rc = curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, headers);
    }

    if (rc == CURLE_OK) {
        rc = curl_easy_perform(s->curl);
    }

    curl_slist_free_all(headers);
    free(url);

    if (r->error) {
        snprintf(e->text, sizeof(e->text), "what is to be sent cannot be "
                 "read: %s", strerror(r->error));
        return S3_FINAL;
    }

    return rc == CURLE_OK ? s3_judge(s, r, e) : s3_no_answer(s, rc, e);
}


void
s3_request_free(s3_request_t *r)
{
    free(r->answer);
    r->answer = NULL;
    r->answer_len = 0;
}


/* The URL and all headers, signed now; both are the caller's, also on -1. */

static int
s3_sign(s3_t *s, s3_request_t *r, char **url, struct curl_slist **headers)
{
    int              rc;
    char             date[SIGV4_DATE_LEN + 1];
    char             payload[2 * SHA256_DIGEST_LENGTH + 1];
    char            *host, *path, *target, *value;
    size_t           i;
    sigv4_request_t  req;

    rc = -1;
    *url = NULL;
    *headers = NULL;
    host = s3_host(s, &s->address);
    path = s3_path(s, r->key);
    target = NULL;
    value = NULL;

    if (host == NULL || path == NULL
        || s3_payload(s, r, payload, sizeof(payload)) != 0)
    {
        goto out;
    }

    req = (sigv4_request_t) { .method = r->method, .host = host, .path = path,
        .query = r->query, .nquery = r->nquery, .headers = r->headers,
        .nheaders = r->nheaders, .payload = payload };

    sigv4_date(time(NULL) + (time_t) s->clock, date);
    target = sigv4_target(&req);
    value = sigv4_authorization(&s->conf->key, &req, date);

    if (target == NULL || value == NULL
        || asprintf(url, "%s://%s%s", s->address.scheme, host, target) < 0)
    {
        *url = NULL;
        goto out;
    }

    rc = s3_header(headers, "Authorization", value)
         | s3_header(headers, "x-amz-content-sha256", payload)
         | s3_header(headers, "x-amz-date", date)
         | s3_header(headers, "Expect", NULL)
         | s3_header(headers, "Content-Type", NULL);

    if (s->conf->key.session_token != NULL) {
        rc |= s3_header(headers, "x-amz-security-token",
                        s->conf->key.session_token);
    }

    for (i = 0; i < r->nheaders; i++) {
        rc |= s3_header(headers, r->headers[i].name, r->headers[i].value);
    }

out:

    free(host);
    free(path);
    free(target);
    free(value);

    return rc;
}


/*
 * TLS protects a body, and a part need not be read twice. Without TLS it is
 * signed.
 */

static int
s3_payload(const s3_t *s, const s3_request_t *r, char *hex, size_t size)
{
    int          rc;
    unsigned     i, len;
    uint8_t      sum[SHA256_DIGEST_LENGTH];
    EVP_MD_CTX  *md;

    if (r->body != NULL && strcmp(s->address.scheme, "https") == 0) {
        snprintf(hex, size, "%s", SIGV4_UNSIGNED);
        return 0;
    }

    md = EVP_MD_CTX_new();
    rc = -1;

    if (md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1
        && (r->body == NULL || s3_hash(r->body, md) == 0)
        && (r->text == NULL
            || EVP_DigestUpdate(md, r->text, strlen(r->text)) == 1)
        && EVP_DigestFinal_ex(md, sum, &len) == 1)
    {
        for (i = 0; i < len; i++) {
            snprintf(hex + 2 * i, 3, "%02x", sum[i]);
        }

        rc = 0;
    }

    EVP_MD_CTX_free(md);

    return rc;
}


static int
s3_hash(const s3_body_t *body, EVP_MD_CTX *md)
{
    int        rc;
    char      *buf;
    ssize_t    n;
    uint64_t   done, want;

    buf = malloc(S3_READ_LEN);
    rc = buf == NULL ? -1 : 0;

    for (done = 0; rc == 0 && done < body->len; done += (uint64_t) n) {
        want = body->len - done;
        n = pread(body->fd, buf, want < S3_READ_LEN ? (size_t) want
                                                    : S3_READ_LEN,
                  (off_t) (body->offset + done));

        if (n <= 0 || EVP_DigestUpdate(md, buf, (size_t) n) != 1) {
            rc = -1;
        }
    }

    free(buf);

    return rc;
}


/*
 * Without a value curl does not send the one it would make. An empty one, or
 * one that is more than a line, is refused: it would not be sent as signed.
 */

static int
s3_header(struct curl_slist **list, const char *name, const char *value)
{
    char                 *line;
    struct curl_slist    *more;
    const unsigned char  *c;

    c = (const unsigned char *) (value ? value : "x");

    if (*c == '\0') {
        return -1;
    }

    for ( /* void */ ; *c != '\0'; c++) {
        if (*c < 0x20 || *c == 0x7f) {
            return -1;
        }
    }

    /* what is given by name comes later in the list, and stands */

    if (asprintf(&line, value ? "%s: %s" : "%s:", name, value) < 0) {
        return -1;
    }

    more = curl_slist_append(*list, line);
    free(line);

    if (more == NULL) {
        return -1;
    }

    *list = more;

    return 0;
}


static void
s3_set(s3_t *s, s3_request_t *r)
{
    CURL      *c;
    unsigned   stall;

    c = s->curl;
    stall = r->stall_s ? r->stall_s : s->conf->stall_s;
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, s->address.scheme);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long) S3_CONNECT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long) stall);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long) (2 * stall
                     + (r->body ? r->body->len / S3_LEAST_RATE : 0)));
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, s3_write);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, s3_said);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, r);

    if (s->conf->ca_file != NULL) {
        curl_easy_setopt(c, CURLOPT_CAINFO, s->conf->ca_file);
        curl_easy_setopt(c, CURLOPT_CAPATH, NULL);     /* that one alone */
    }

    if (r->body != NULL) {
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE,
                         (curl_off_t) r->body->len);
        curl_easy_setopt(c, CURLOPT_READFUNCTION, s3_read);
        curl_easy_setopt(c, CURLOPT_READDATA, r);
        curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, s3_seek);
        curl_easy_setopt(c, CURLOPT_SEEKDATA, r);

    } else if (r->text != NULL) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t) strlen(r->text));
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->text);

    } else if (strcmp(r->method, "HEAD") == 0) {
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);

    } else if (strcmp(r->method, "POST") == 0) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, 0L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, "");
    }
}


static size_t
s3_read(char *p, size_t size, size_t n, void *data)
{
    ssize_t        got;
    uint64_t       left;
    s3_request_t  *r;

    r = data;
    left = r->body->len - r->sent;
    n *= size;
    got = pread(r->body->fd, p, left < n ? (size_t) left : n,
                (off_t) (r->body->offset + r->sent));

    if (got < 0 || (got == 0 && left != 0)) {
        r->error = got < 0 ? errno : ENODATA;
        return CURL_READFUNC_ABORT;
    }

    r->sent += (uint64_t) got;

    return (size_t) got;
}


/* For a connection that was kept, and turned out to be closed. */

static int
s3_seek(void *data, curl_off_t offset, int origin)
{
    s3_request_t  *r;

    r = data;

    if (origin != SEEK_SET || offset < 0
        || (uint64_t) offset > r->body->len)
    {
        return CURL_SEEKFUNC_FAIL;
    }

    r->sent = (uint64_t) offset;

    return CURL_SEEKFUNC_OK;
}


static size_t
s3_write(char *p, size_t size, size_t n, void *data)
{
    char          *answer;
    size_t         kept;
    s3_request_t  *r;

    r = data;
    n *= size;
    kept = S3_ANSWER_MAX - r->answer_len;
    kept = n < kept ? n : kept;          /* no XML then, but the status says */

    answer = realloc(r->answer, r->answer_len + kept + 1);
    if (answer == NULL) {
        return 0;
    }

    memcpy(answer + r->answer_len, p, kept);
    r->answer = answer;
    r->answer_len += kept;
    r->answer[r->answer_len] = '\0';

    return n;
}


/* The headers that matter. */

static size_t
s3_said(char *p, size_t size, size_t n, void *data)
{
    char           line[512];
    size_t         len;
    const char    *value;
    s3_request_t  *r;

    r = data;
    n *= size;
    len = n < sizeof(line) - 1 ? n : sizeof(line) - 1;
    memcpy(line, p, len);
    line[len] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    value = strchr(line, ':');

    if (value == NULL) {
        return n;
    }

    for (value++; *value == ' '; value++) { /* void */ }

    if (strncasecmp(line, "etag:", 5) == 0
        && strlen(value) < sizeof(r->etag))
    {
        memcpy(r->etag, value, strlen(value) + 1);

    } else if (strncasecmp(line, "date:", 5) == 0) {
        r->date = curl_getdate(value, NULL);

    } else if (strncasecmp(line, "content-length:", 15) == 0) {
        r->length = strtoll(value, NULL, 10);
    }

    return n;
}


/*
 * What the server said. With 200 there may still come an error, or blanks and
 * nothing (CompleteMultipartUpload): only the XML that is due is success.
 */

static s3_try_t
s3_judge(s3_t *s, s3_request_t *r, s3_error_t *e)
{
    int          good, told;
    char         text[128];
    s3_wanted_t  w;

    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &e->status);

    w = (s3_wanted_t) { .name = "", .to = text, .size = sizeof(text),
                        .root = r->root };
    good = e->status >= 200 && e->status < 300;
    told = s3_element(r, "Code", e->code, sizeof(e->code));

    if (good && !told
        && (r->root == NULL || (s3_parse(r, &w) == 0 && w.rooted)))
    {
        return S3_OK;
    }

    if (!s3_element(r, "Message", text, sizeof(text))) {
        snprintf(text, sizeof(text), "%s", good ? "not the answer that is due"
                                                : "");
    }

    snprintf(e->text, sizeof(e->text), "%s of %s: %ld%s%s%s%s", r->method,
             s->conf->bucket, e->status, *e->code ? " " : "", e->code,
             *text ? ": " : "", text);

    /* the answer to HEAD has no body that says so */

    if (strcmp(e->code, "RequestTimeTooSkewed") == 0
        || (e->status == 403 && strcmp(r->method, "HEAD") == 0))
    {
        return s3_skewed(s, r) ? S3_AGAIN : S3_FINAL;
    }

    return (good && !told) || s3_passes(e) ? S3_AGAIN : S3_FINAL;
}


static int
s3_passes(const s3_error_t *e)
{
    unsigned  i;

    for (i = 0; s3_passing[i] != NULL; i++) {
        if (strcmp(e->code, s3_passing[i]) == 0) {
            return 1;
        }
    }

    return e->status == 408 || e->status == 429
           || (e->status >= 500 && e->status != 501);
}


/* What will be the same in a minute is final. */

static s3_try_t
s3_no_answer(const s3_t *s, CURLcode rc, s3_error_t *e)
{
    snprintf(e->text, sizeof(e->text), "no answer from %s: %s",
             s->address.host, curl_easy_strerror(rc));

    switch (rc) {

    case CURLE_ABORTED_BY_CALLBACK:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_WRITE_ERROR:
        return S3_FINAL;

    default:
        return S3_AGAIN;
    }
}


/*
 * Goes by the server's clock, once for each request: ours may be set later. 1
 * when that may help.
 */

static int
s3_skewed(s3_t *s, s3_request_t *r)
{
    int64_t  off, was;

    if (r->date <= 0 || r->skewed) {
        return 0;
    }

    r->skewed = 1;
    was = s->clock;
    off = r->date - (int64_t) time(NULL);

    if (off > S3_SKEW_MAX || off < -S3_SKEW_MAX) {
        return 0;
    }

    s->clock = off;

    return off - was > S3_SKEW_TOLD / 2 || was - off > S3_SKEW_TOLD / 2;
}


/* A server's words go into our logs. */

static void
s3_printable(char *s)
{
    for ( /* void */ ; *s != '\0'; s++) {
        if (*s < 0x20 || *s == 0x7f) {
            *s = '?';
        }
    }
}


/* A clock that nobody sets. */

static time_t
s3_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec;
}


/* Half to one and a half of it: who failed together comes back apart. */

static void
s3_sleep(unsigned ms)
{
    uint16_t         n;
    struct timespec  ts;

    if (RAND_bytes((unsigned char *) &n, sizeof(n)) == 1) {
        ms = ms / 2 + n % ms;
    }

    ts.tv_sec = ms / 1000;
    ts.tv_nsec = ms % 1000 * 1000000L;
    (void) nanosleep(&ts, NULL);
}


int
s3_element(const s3_request_t *r, const char *name, char *to, size_t size)
{
    s3_wanted_t  w;

    w = (s3_wanted_t) { .name = name, .to = to, .size = size };
    to[0] = '\0';

    if (s3_parse(r, &w) == 0 && w.found && !w.too_long) {
        return 1;
    }

    to[0] = '\0';

    return 0;
}


/* 0 when all of the answer is XML. Servers send blanks before it. */

static int
s3_parse(const s3_request_t *r, s3_wanted_t *w)
{
    const char       *p;
    enum XML_Status   rc;

    if (r->answer_len == 0) {
        return -1;
    }

    p = r->answer + strspn(r->answer, " \t\r\n");
    w->parser = XML_ParserCreate(NULL);

    if (w->parser == NULL) {
        return -1;
    }

    XML_SetUserData(w->parser, w);
    XML_SetElementHandler(w->parser, s3_begins, s3_ends);
    XML_SetCharacterDataHandler(w->parser, s3_text);
    XML_SetStartDoctypeDeclHandler(w->parser, s3_doctype);
    rc = XML_Parse(w->parser, p, (int) (r->answer + r->answer_len - p), 1);
    XML_ParserFree(w->parser);

    return rc == XML_STATUS_OK ? 0 : -1;
}


static void XMLCALL
s3_doctype(void *data, const XML_Char *name, const XML_Char *system,
    const XML_Char *public, int internal)
{
    s3_wanted_t  *w;

    (void) name;
    (void) system;
    (void) public;
    (void) internal;

    w = data;
    (void) XML_StopParser(w->parser, XML_FALSE);
}


static void XMLCALL
s3_begins(void *data, const XML_Char *name, const XML_Char **atts)
{
    s3_wanted_t  *w;

    (void) atts;
    w = data;
    w->inside = !w->found && strcmp(name, w->name) == 0;

    if (!w->begun) {
        w->begun = 1;
        w->rooted = w->root != NULL && strcmp(name, w->root) == 0;
    }
}


static void XMLCALL
s3_ends(void *data, const XML_Char *name)
{
    s3_wanted_t  *w;

    (void) name;
    w = data;
    w->found |= w->inside;
    w->inside = 0;
}


static void XMLCALL
s3_text(void *data, const XML_Char *p, int len)
{
    s3_wanted_t  *w;

    w = data;

    if (!w->inside) {
        return;
    }

    if ((size_t) len > w->size - 1 - w->len) {
        w->too_long = 1;
        return;
    }

    memcpy(w->to + w->len, p, (size_t) len);
    w->len += (size_t) len;
    w->to[w->len] = '\0';
}
