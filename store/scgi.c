/*
 * store/scgi.c: see scgi.h. The length is judged first, so that a caller
 * never has to hold more than SCGI_MAX bytes; names and values are looked at
 * when all of them are there.
 */

#include <string.h>

#include "scgi.h"


#define SCGI_MAX_URI     1024
#define SCGI_MAX_METHOD  16


static int scgi_length(scgi_t *req, const char *buf, size_t len, size_t *head,
    size_t *n);
static int scgi_body(scgi_t *req, const char *p, size_t n, size_t *body);
static int scgi_pairs(scgi_t *req, const char *p, size_t n);
static int scgi_pair(scgi_t *req, const char *name, const char *value,
    int *version);
static int scgi_check(scgi_t *req);
static int scgi_number(const char *s, size_t max, size_t *n);
static int scgi_refuse(scgi_t *req, int status, const char *err);


int
scgi_parse(scgi_t *req, const char *buf, size_t len)
{
    int     rc;
    size_t  head, n, body;

    memset(req, 0, sizeof(*req));

    rc = scgi_length(req, buf, len, &head, &n);

    if (rc != 1) {
        return rc;
    }

    if (len - head <= n) {
        return 0;
    }

    if (buf[head + n] != ',') {
        return scgi_refuse(req, 400, "no comma behind the header");
    }

    if (scgi_body(req, buf + head, n, &body) != 0) {
        return -1;
    }

    len -= head + n + 1;

    if (len > body) {
        return scgi_refuse(req, 400, "there is more than one request");
    }

    if (scgi_pairs(req, buf + head, n) != 0 || scgi_check(req) != 0) {
        return -1;
    }

    return len == body;
}


/* "70:": the header begins at *head and has *n bytes. */

static int
scgi_length(scgi_t *req, const char *buf, size_t len, size_t *head, size_t *n)
{
    size_t  i;

    *n = 0;

    for (i = 0; i < len && buf[i] >= '0' && buf[i] <= '9'; i++) {
        *n = *n * 10 + (size_t) (buf[i] - '0');

        if (*n > SCGI_MAX_HEADER) {
            return scgi_refuse(req, 413, "the request is longer than 128 "
                               "KiB");
        }

        if (i > 0 && buf[0] == '0') {
            break;
        }
    }

    if (i == len) {
        return 0;
    }

    if (i == 0 || buf[i] != ':' || *n == 0) {
        return scgi_refuse(req, 400, "no length before the header");
    }

    *head = i + 1;

    return 1;
}


/* The first pair says how long a body is. */

static int
scgi_body(scgi_t *req, const char *p, size_t n, size_t *body)
{
    static const char  name[] = "CONTENT_LENGTH";

    if (p[n - 1] != '\0') {
        return scgi_refuse(req, 400, "the header does not end with a NUL");
    }

    if (n < sizeof(name) + 2 || memcmp(p, name, sizeof(name)) != 0
        || scgi_number(p + sizeof(name), SCGI_MAX_BODY, body) != 0)
    {
        return scgi_refuse(req, 400, "CONTENT_LENGTH must come first and be "
                           "0 to 4096");
    }

    return 0;
}


/* Ends with a NUL, so that every name and value does. */

static int
scgi_pairs(scgi_t *req, const char *p, size_t n)
{
    int          version;
    const char  *end, *name;

    version = 0;

    for (end = p + n; p < end; p += strlen(p) + 1) {
        name = p;
        p += strlen(p) + 1;

        if (p == end || *name == '\0') {
            return scgi_refuse(req, 400, "a name without a value, or a value "
                               "without a name");
        }

        if (scgi_pair(req, name, p, &version) != 0) {
            return -1;
        }
    }

    if (!version) {
        return scgi_refuse(req, 400, "SCGI must be 1");
    }

    return 0;
}


/* Other names that nginx may be told to send are nothing to us. */

static int
scgi_pair(scgi_t *req, const char *name, const char *value, int *version)
{
    const char  **field;

    if (strcmp(name, "SCGI") == 0) {

        if (*version || strcmp(value, "1") != 0) {
            return scgi_refuse(req, 400, "SCGI must be 1");
        }

        *version = 1;
        return 0;
    }

    field = strcmp(name, "REQUEST_METHOD") == 0 ? &req->method
            : strcmp(name, "REQUEST_URI") == 0 ? &req->uri
            : strcmp(name, "PCAP_BODY") == 0 ? &req->body : NULL;

    if (field == NULL) {
        return 0;
    }

    if (*field != NULL) {
        return scgi_refuse(req, 400, "a name stands there twice");
    }

    *field = value;

    return 0;
}


static int
scgi_check(scgi_t *req)
{
    size_t       len;
    const char  *p;

    if (req->method == NULL || req->uri == NULL) {
        return scgi_refuse(req, 400, "REQUEST_METHOD and REQUEST_URI are "
                           "needed");
    }

    if (req->body == NULL) {
        req->body = "";
    }

    len = strspn(req->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

    if (len == 0 || len > SCGI_MAX_METHOD || req->method[len] != '\0') {
        return scgi_refuse(req, 400, "REQUEST_METHOD must be 1 to 16 capital "
                           "letters");
    }

    for (p = req->uri; *p > 0x20 && *p < 0x7f; p++) {
        /* void */
    }

    if (req->uri[0] != '/' || *p != '\0' || p - req->uri > SCGI_MAX_URI) {
        return scgi_refuse(req, 400, "REQUEST_URI must begin with / and be "
                           "printable, at most 1024 bytes");
    }

    return 0;
}


/* Decimal up to max, at most five digits. 0, or -1: none. */

static int
scgi_number(const char *s, size_t max, size_t *n)
{
    size_t  i;

    *n = 0;

    for (i = 0; s[i] >= '0' && s[i] <= '9' && i < 5; i++) {
        *n = *n * 10 + (size_t) (s[i] - '0');
    }

    return i == 0 || s[i] != '\0' || *n > max ? -1 : 0;
}


static int
scgi_refuse(scgi_t *req, int status, const char *err)
{
    req->status = status;
    req->err = err;

    return -1;
}
