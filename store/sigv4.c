/*
 * store/sigv4.c: see sigv4.h. Three steps: the request in one canonical
 * form, its hash in a string with time and scope, that string's HMAC under a
 * key made for day, region and service. Names, values and the secret never
 * go anywhere but into that; whoever logs a request has no way to get them
 * from here.
 */

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sigv4.h"


#define SIGV4_ALGORITHM  "AWS4-HMAC-SHA256"
#define SIGV4_DAY_LEN    8               /* of the date: "20130524" */
#define SIGV4_HEX_LEN    (2 * SHA256_DIGEST_LENGTH)

/* Pairs in their order, with texts of their own. */

typedef struct {
    char    *name;
    char    *value;
} sigv4_item_t;

typedef struct {
    sigv4_item_t  items[SIGV4_MAX_PAIRS];
    size_t        n;
} sigv4_list_t;


static int sigv4_add(sigv4_list_t *l, char *name, char *value);
static void sigv4_free(sigv4_list_t *l);
static int sigv4_compare(const void *a, const void *b);
static char *sigv4_encode(const char *s, const char *keep);
static char *sigv4_lower(const char *s);
static char *sigv4_trim(const char *s);
static int sigv4_add_query(sigv4_list_t *l, const char *name,
    const char *value);
static int sigv4_queries(sigv4_list_t *l, const sigv4_request_t *req);
static int sigv4_headers(sigv4_list_t *l, const sigv4_key_t *key,
    const sigv4_request_t *req, const char *date);
static char *sigv4_join(const sigv4_list_t *l, char between);
static char *sigv4_url(const char *path, const char *query);
static char *sigv4_scope(const sigv4_key_t *key, const char *date);
static char *sigv4_canonical(const sigv4_request_t *req, const char *query,
    const sigv4_list_t *headers, const char *payload);
static int sigv4_signature(const sigv4_key_t *key, const char *date,
    const char *canonical, char hex[SIGV4_HEX_LEN + 1]);
static int sigv4_hmac(uint8_t *key, size_t key_len,
    const char *text);
static void sigv4_hex(const uint8_t *p, char *hex);
static char *sigv4_print(const char *format, ...)
    __attribute__((format(printf, 1, 2)));


void
sigv4_date(time_t t, char date[SIGV4_DATE_LEN + 1])
{
    struct tm  tm;

    /* a year of five digits does not fit, and is nobody's */

    if (gmtime_r(&t, &tm) == NULL
        || strftime(date, SIGV4_DATE_LEN + 1, "%Y%m%dT%H%M%SZ", &tm) == 0)
    {
        memcpy(date, "19700101T000000Z", SIGV4_DATE_LEN + 1);
    }
}


char *
sigv4_target(const sigv4_request_t *req)
{
    char          *query, *target;
    sigv4_list_t   list;

    list.n = 0;
    query = NULL;
    target = NULL;

    if (sigv4_queries(&list, req) != 0) {
        goto out;
    }

    query = sigv4_join(&list, '&');
    target = sigv4_url(req->path, query);

out:

    free(query);
    sigv4_free(&list);

    return target;
}


char *
sigv4_authorization(const sigv4_key_t *key, const sigv4_request_t *req,
    const char *date)
{
    char           hex[SIGV4_HEX_LEN + 1];
    char          *query, *names, *scope, *canonical, *value;
    sigv4_list_t   queries, headers;

    queries.n = 0;
    headers.n = 0;
    query = NULL;
    names = NULL;
    scope = NULL;
    canonical = NULL;
    value = NULL;

    if (sigv4_queries(&queries, req) != 0
        || sigv4_headers(&headers, key, req, date) != 0)
    {
        goto out;
    }

    query = sigv4_join(&queries, '&');
    names = sigv4_join(&headers, ';');
    scope = sigv4_scope(key, date);
    canonical = sigv4_canonical(req, query, &headers, req->payload);

    if (names == NULL || scope == NULL
        || sigv4_signature(key, date, canonical, hex) != 0)
    {
        goto out;
    }

    value = sigv4_print(SIGV4_ALGORITHM " Credential=%s/%s,SignedHeaders=%s,"
                        "Signature=%s", key->access_key, scope, names, hex);

out:

    free(query);
    free(names);
    free(scope);
    free(canonical);
    sigv4_free(&queries);
    sigv4_free(&headers);

    return value;
}


char *
sigv4_presigned(const sigv4_key_t *key, const sigv4_request_t *req,
    const char *date, unsigned expires)
{
    char           seconds[16], hex[SIGV4_HEX_LEN + 1];
    char          *credential, *scope, *query, *canonical, *signed_query, *url;
    sigv4_list_t   queries, headers;

    queries.n = 0;
    headers.n = 0;
    query = NULL;
    canonical = NULL;
    signed_query = NULL;
    url = NULL;

    scope = sigv4_scope(key, date);
    credential = scope ? sigv4_print("%s/%s", key->access_key, scope) : NULL;
    snprintf(seconds, sizeof(seconds), "%u", expires);

    if (credential == NULL
        || sigv4_add_query(&queries, "X-Amz-Algorithm", SIGV4_ALGORITHM) != 0
        || sigv4_add_query(&queries, "X-Amz-Credential", credential) != 0
        || sigv4_add_query(&queries, "X-Amz-Date", date) != 0
        || sigv4_add_query(&queries, "X-Amz-Expires", seconds) != 0
        || sigv4_add_query(&queries, "X-Amz-SignedHeaders", "host") != 0
        || (key->session_token != NULL
            && sigv4_add_query(&queries, "X-Amz-Security-Token",
                               key->session_token) != 0)
        || sigv4_queries(&queries, req) != 0
        || sigv4_add(&headers, strdup("host"), sigv4_trim(req->host)) != 0)
    {
        goto out;
    }

    query = sigv4_join(&queries, '&');
    canonical = sigv4_canonical(req, query, &headers, SIGV4_UNSIGNED);

    if (sigv4_signature(key, date, canonical, hex) != 0) {
        goto out;
    }

    signed_query = sigv4_print("%s&X-Amz-Signature=%s", query, hex);
    url = sigv4_url(req->path, signed_query);

out:

    free(credential);
    free(scope);
    free(query);
    free(canonical);
    free(signed_query);
    sigv4_free(&queries);
    sigv4_free(&headers);

    return url;
}


/* Takes both texts over, in any case; -1 when one is missing. */

static int
sigv4_add(sigv4_list_t *l, char *name, char *value)
{
    if (name == NULL || value == NULL || l->n == SIGV4_MAX_PAIRS) {
        free(name);
        free(value);
        return -1;
    }

    l->items[l->n].name = name;
    l->items[l->n++].value = value;

    return 0;
}


static void
sigv4_free(sigv4_list_t *l)
{
    size_t  i;

    for (i = 0; i < l->n; i++) {
        free(l->items[i].name);
        free(l->items[i].value);
    }

    l->n = 0;
}


static int
sigv4_compare(const void *a, const void *b)
{
    int                  rc;
    const sigv4_item_t  *x, *y;

    x = a;
    y = b;
    rc = strcmp(x->name, y->name);

    return rc ? rc : strcmp(x->value, y->value);
}


/* Percent-encodes all but RFC 3986's unreserved characters and keep. */

static char *
sigv4_encode(const char *s, const char *keep)
{
    char                 *text, *p;
    const unsigned char  *c;

    text = malloc(3 * strlen(s) + 1);
    if (text == NULL) {
        return NULL;
    }

    p = text;

    for (c = (const unsigned char *) s; *c != '\0'; c++) {

        if ((*c < 0x80 && isalnum(*c)) || strchr("-._~", *c) != NULL
            || strchr(keep, *c) != NULL)
        {
            *p++ = (char) *c;

        } else {
            p += snprintf(p, 4, "%%%02X", *c);
        }
    }

    *p = '\0';

    return text;
}


static char *
sigv4_lower(const char *s)
{
    char  *text, *p;

    text = strdup(s);

    for (p = text; p != NULL && *p != '\0'; p++) {
        *p = (char) tolower((unsigned char) *p);
    }

    return text;
}


/* Without blanks at the ends, and one for each run within. */

static char *
sigv4_trim(const char *s)
{
    char  *text, *p;

    text = malloc(strlen(s) + 1);
    if (text == NULL) {
        return NULL;
    }

    for (p = text; *s != '\0'; s++) {

        if (*s != ' ' && *s != '\t') {
            *p++ = *s;

        } else if (p != text && p[-1] != ' ') {
            *p++ = ' ';
        }
    }

    if (p != text && p[-1] == ' ') {
        p--;
    }

    *p = '\0';

    return text;
}


static int
sigv4_add_query(sigv4_list_t *l, const char *name, const char *value)
{
    return sigv4_add(l, sigv4_encode(name, ""), sigv4_encode(value, ""));
}


/* The request's own parameters join those that are there; all in order. */

static int
sigv4_queries(sigv4_list_t *l, const sigv4_request_t *req)
{
    size_t  i;

    for (i = 0; i < req->nquery; i++) {
        if (sigv4_add_query(l, req->query[i].name, req->query[i].value) != 0) {
            return -1;
        }
    }

    qsort(l->items, l->n, sizeof(l->items[0]), sigv4_compare);

    return 0;
}


static int
sigv4_headers(sigv4_list_t *l, const sigv4_key_t *key,
    const sigv4_request_t *req, const char *date)
{
    size_t  i;

    if (sigv4_add(l, strdup("host"), sigv4_trim(req->host)) != 0
        || sigv4_add(l, strdup("x-amz-content-sha256"),
                     strdup(req->payload)) != 0
        || sigv4_add(l, strdup("x-amz-date"), strdup(date)) != 0
        || (key->session_token != NULL
            && sigv4_add(l, strdup("x-amz-security-token"),
                         strdup(key->session_token)) != 0))
    {
        return -1;
    }

    for (i = 0; i < req->nheaders; i++) {
        if (sigv4_add(l, sigv4_lower(req->headers[i].name),
                      sigv4_trim(req->headers[i].value)) != 0)
        {
            return -1;
        }
    }

    qsort(l->items, l->n, sizeof(l->items[0]), sigv4_compare);

    return 0;
}


/* "a=b&c=d", or the names alone: "a;c". */

static char *
sigv4_join(const sigv4_list_t *l, char between)
{
    FILE    *f;
    char    *text;
    size_t   i, len;

    text = NULL;
    f = open_memstream(&text, &len);
    if (f == NULL) {
        return NULL;
    }

    for (i = 0; i < l->n; i++) {
        if (i) {
            fputc(between, f);
        }

        fputs(l->items[i].name, f);

        if (between == '&') {
            fprintf(f, "=%s", l->items[i].value);
        }
    }

    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }

    return text;
}


static char *
sigv4_url(const char *path, const char *query)
{
    char  *encoded, *url;

    encoded = sigv4_encode(path, "/");
    url = encoded != NULL && query != NULL
          ? sigv4_print("%s%s%s", encoded, *query ? "?" : "", query) : NULL;

    free(encoded);

    return url;
}


static char *
sigv4_scope(const sigv4_key_t *key, const char *date)
{
    return sigv4_print("%.*s/%s/s3/aws4_request", SIGV4_DAY_LEN, date,
                       key->region);
}


static char *
sigv4_canonical(const sigv4_request_t *req, const char *query,
    const sigv4_list_t *headers, const char *payload)
{
    FILE    *f;
    char    *path, *names, *text;
    size_t   i, len;

    text = NULL;
    path = sigv4_encode(req->path, "/");
    names = sigv4_join(headers, ';');
    f = NULL;

    if (path == NULL || names == NULL || query == NULL) {
        goto out;
    }

    f = open_memstream(&text, &len);
    if (f == NULL) {
        goto out;
    }

    fprintf(f, "%s\n%s\n%s\n", req->method, path, query);

    for (i = 0; i < headers->n; i++) {
        fprintf(f, "%s:%s\n", headers->items[i].name,
                headers->items[i].value);
    }

    fprintf(f, "\n%s\n%s", names, payload);

    if (fclose(f) != 0) {
        free(text);
        text = NULL;
    }

out:

    free(path);
    free(names);

    return text;
}


/* -1 without a canonical request or memory. */

static int
sigv4_signature(const sigv4_key_t *key, const char *date,
    const char *canonical, char hex[SIGV4_HEX_LEN + 1])
{
    int       rc;
    char     *scope, *text, day[SIGV4_DAY_LEN + 1];
    size_t    len;
    uint8_t   sum[SHA256_DIGEST_LENGTH], *k;

    rc = -1;
    scope = sigv4_scope(key, date);
    len = strlen("AWS4") + strlen(key->secret_key);
    k = malloc(len + SHA256_DIGEST_LENGTH);
    text = NULL;

    if (canonical == NULL || scope == NULL || k == NULL) {
        goto out;
    }

    SHA256((const uint8_t *) canonical, strlen(canonical), sum);
    sigv4_hex(sum, hex);

    text = sigv4_print(SIGV4_ALGORITHM "\n%s\n%s\n%s", date, scope, hex);
    if (text == NULL) {
        goto out;
    }

    snprintf(day, sizeof(day), "%.*s", SIGV4_DAY_LEN, date);
    memcpy(k, "AWS4", 4);
    memcpy(k + 4, key->secret_key, len - 4);

    if (sigv4_hmac(k, len, day) == 0
        && sigv4_hmac(k, SHA256_DIGEST_LENGTH, key->region) == 0
        && sigv4_hmac(k, SHA256_DIGEST_LENGTH, "s3") == 0
        && sigv4_hmac(k, SHA256_DIGEST_LENGTH, "aws4_request") == 0
        && sigv4_hmac(k, SHA256_DIGEST_LENGTH, text) == 0)
    {
        sigv4_hex(k, hex);
        rc = 0;
    }

out:

    if (k != NULL) {
        OPENSSL_cleanse(k, len + SHA256_DIGEST_LENGTH);
    }

    free(k);
    free(text);
    free(scope);

    return rc;
}


/* The HMAC of the text takes the place of the key. */

static int
sigv4_hmac(uint8_t *key, size_t key_len, const char *text)
{
    uint8_t   sum[SHA256_DIGEST_LENGTH];
    unsigned  len;

    if (HMAC(EVP_sha256(), key, (int) key_len, (const uint8_t *) text,
             strlen(text), sum, &len) == NULL)
    {
        return -1;
    }

    memcpy(key, sum, sizeof(sum));
    OPENSSL_cleanse(sum, sizeof(sum));

    return 0;
}


static void
sigv4_hex(const uint8_t *p, char *hex)
{
    size_t  i;

    for (i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        snprintf(hex + 2 * i, 3, "%02x", p[i]);
    }
}


static char *
sigv4_print(const char *format, ...)
{
    int       rc;
    char     *text;
    va_list   args;

    va_start(args, format);
    rc = vasprintf(&text, format, args);
    va_end(args);

    return rc < 0 ? NULL : text;
}
