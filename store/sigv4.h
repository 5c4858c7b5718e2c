/*
 * store/sigv4.h: signs requests to S3-compatible storage: AWS Signature
 * Version 4 as S3 has it, by header or in the URL. libcurl's own signer is
 * not used: Debian 12's (7.88) sorts no query, sends no x-amz-content-sha256
 * and cannot presign.
 *
 * Pure logic: no clock, no network. Sources: AWS, "Signature Version 4 for
 * S3" (sig-v4-header-based-auth, sigv4-query-string-auth).
 */

#ifndef STORE_SIGV4_H
#define STORE_SIGV4_H

#include <stddef.h>
#include <time.h>


/* "20130524T000000Z" */
#define SIGV4_DATE_LEN     16

/* Instead of a hash: the body is not signed. Over TLS only. */
#define SIGV4_UNSIGNED     "UNSIGNED-PAYLOAD"

/* Of the empty body. */
#define SIGV4_EMPTY_SHA256 \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define SIGV4_MAX_EXPIRES  604800        /* seconds; seven days */

/* Of a request: query parameters or headers, with our own. */
#define SIGV4_MAX_PAIRS    24

typedef struct {
    const char          *name;
    const char          *value;          /* never NULL; "" is written "name=" */
} sigv4_pair_t;

typedef struct {
    const char          *access_key;
    const char          *secret_key;
    const char          *session_token;  /* NULL: a key that stays */
    const char          *region;
} sigv4_key_t;

/* What is signed; nothing in it is encoded. */

typedef struct {
    const char          *method;
    const char          *host;           /* with the port, unless default */
    const char          *path;           /* "/bucket/key" */
    const sigv4_pair_t  *query;          /* in any order */
    size_t               nquery;
    const sigv4_pair_t  *headers;        /* beside our own, in any order */
    size_t               nheaders;
    const char          *payload;        /* sha256 in hex, or SIGV4_UNSIGNED */
} sigv4_request_t;


/*
 * Writes the time as it is signed and sent: UTC, zero-terminated. One beyond
 * the year 9999 becomes 1970.
 */
void sigv4_date(time_t t, char date[SIGV4_DATE_LEN + 1]);

/*
 * Path and query as they go into the request line. The string is the
 * caller's to free; NULL when there is no memory or there are more than
 * SIGV4_MAX_PAIRS parameters.
 */
char *sigv4_target(const sigv4_request_t *req);

/*
 * The value of the Authorization header. The request has to be sent with
 * req->headers and with Host, x-amz-content-sha256 (req->payload),
 * x-amz-date (date) and, where the key has one, x-amz-security-token: these
 * are signed too and do not stand in req->headers. The string is the
 * caller's to free; NULL as above.
 */
char *sigv4_authorization(const sigv4_key_t *key, const sigv4_request_t *req,
    const char *date);

/*
 * Path and query of a URL that is good from date for so many seconds (1 to
 * SIGV4_MAX_EXPIRES, which the caller has checked) for whoever has it. It
 * signs the host alone: req->host is what the downloader will call, and
 * req->headers and req->payload are not looked at. The string is the caller's
 * to free; NULL as above.
 */
char *sigv4_presigned(const sigv4_key_t *key, const sigv4_request_t *req,
    const char *date, unsigned expires);


#endif /* STORE_SIGV4_H */
