/*
 * store/s3.c: see s3.h. Which requests there are: what each is called, what
 * goes along, and what its answer means. How one is made is s3_http.c's.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "s3_int.h"


#define S3_NUMBER_LEN  24
#define S3_COMPLETE_S  300           /* without a byte, at the complete */
#define S3_NAME_MAX    200           /* bytes of a download's file name */
#define S3_MAX_TAGS    10            /* S3's own limits */
#define S3_TAG_MAX     256

#define S3_ALNUM       "abcdefghijklmnopqrstuvwxyz" \
                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


static int s3_address(s3_address_t *a, const char *url, char err[S3_ERR_LEN]);
static void s3_address_free(s3_address_t *a);
static int s3_send_object(s3_t *s, s3_request_t *r,
    const s3_object_t *object, s3_error_t *e);
static char *s3_tags(const s3_object_t *object);
static void s3_replace(char *s, const char *allowed);
static char *s3_escaped(const char *s);
static char *s3_disposition(const char *name);
static void s3_ask(s3_request_t *r, const char *method, const char *key);
static void s3_query(s3_request_t *r, const char *name, const char *value);
static int s3_no_memory(s3_error_t *e);
static int s3_is_there(s3_t *s, const char *key, uint64_t size);


s3_t *
s3_open(const s3_conf_t *conf, char err[S3_ERR_LEN])
{
    s3_t  *s;

    s = calloc(1, sizeof(*s));

    if (s == NULL || (s->curl = curl_easy_init()) == NULL) {
        snprintf(err, S3_ERR_LEN, "out of memory");
        s3_close(s);
        return NULL;
    }

    s->conf = conf;

    if (s3_address(&s->address, conf->endpoint, err) != 0
        || s3_address(&s->public_address, conf->public_endpoint
                      ? conf->public_endpoint : conf->endpoint, err) != 0)
    {
        s3_close(s);
        return NULL;
    }

    return s;
}


void
s3_close(s3_t *s)
{
    if (s == NULL) {
        return;
    }

    curl_easy_cleanup(s->curl);
    s3_address_free(&s->address);
    s3_address_free(&s->public_address);
    free(s);
}


/* Default ports are left out, as clients leave them out of "Host". */

static int
s3_address(s3_address_t *a, const char *url, char err[S3_ERR_LEN])
{
    int     rc;
    char   *scheme, *host, *port, *path, *more;
    CURLU  *u;

    rc = -1;
    scheme = NULL;
    host = NULL;
    port = NULL;
    path = NULL;
    more = NULL;
    u = curl_url();

    if (u == NULL || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK
        || curl_url_get(u, CURLUPART_PATH, &path, 0) != CURLUE_OK
        || (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
        || strcmp(path, "/") != 0
        || curl_url_get(u, CURLUPART_USER, &more, 0) == CURLUE_OK
        || curl_url_get(u, CURLUPART_QUERY, &more, 0) == CURLUE_OK
        || curl_url_get(u, CURLUPART_FRAGMENT, &more, 0) == CURLUE_OK)
    {
        /* it is not repeated: somebody may have put a key into it */

        snprintf(err, S3_ERR_LEN, "the endpoint is not "
                 "\"https://host[:port]\"");
        goto out;
    }

    (void) curl_url_get(u, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
    a->scheme = strdup(scheme);

    if (asprintf(&a->host, "%s%s%s", host, port ? ":" : "",
                 port ? port : "") < 0)
    {
        a->host = NULL;
    }

    if (a->scheme == NULL || a->host == NULL) {
        snprintf(err, S3_ERR_LEN, "out of memory");
        goto out;
    }

    rc = 0;

out:

    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_free(more);
    curl_url_cleanup(u);

    return rc;
}


static void
s3_address_free(s3_address_t *a)
{
    free(a->scheme);
    free(a->host);
}


char *
s3_path(const s3_t *s, const char *key)
{
    char  *path;

    if (s->conf->style == S3_VIRTUAL_HOST) {
        return asprintf(&path, "/%s", key) < 0 ? NULL : path;
    }

    return asprintf(&path, "/%s/%s", s->conf->bucket, key) < 0 ? NULL : path;
}


char *
s3_host(const s3_t *s, const s3_address_t *a)
{
    char  *host;

    if (s->conf->style == S3_PATH) {
        return strdup(a->host);
    }

    return asprintf(&host, "%s.%s", s->conf->bucket, a->host) < 0 ? NULL
                                                                  : host;
}


int
s3_put(s3_t *s, const char *key, const s3_object_t *object,
    const s3_body_t *body, s3_error_t *e)
{
    int           rc;
    s3_request_t  r;

    s3_ask(&r, "PUT", key);
    r.body = body;
    rc = s3_send_object(s, &r, object, e);

    if (rc == 0 && r.etag[0] == '\0') {
        snprintf(e->text, sizeof(e->text), "the answer to a PUT has no ETag");
        rc = -1;
    }

    s3_request_free(&r);

    return rc;
}


int
s3_begin(s3_t *s, const char *key, const s3_object_t *object,
    char upload[S3_UPLOAD_MAX + 1], s3_error_t *e)
{
    int           rc;
    s3_request_t  r;

    s3_ask(&r, "POST", key);
    s3_query(&r, "uploads", "");
    r.root = "InitiateMultipartUploadResult";
    rc = s3_send_object(s, &r, object, e);

    if (rc == 0 && (!s3_element(&r, "UploadId", upload, S3_UPLOAD_MAX + 1)
                    || upload[0] == '\0'))
    {
        snprintf(e->text, sizeof(e->text), "the answer to the begin of an "
                 "upload has no UploadId that is usable");
        rc = -1;
    }

    s3_request_free(&r);

    return rc;
}


int
s3_upload(s3_t *s, const char *key, const char *upload, s3_part_t *part,
    const s3_body_t *body, s3_error_t *e)
{
    int           rc;
    char          n[S3_NUMBER_LEN];
    s3_request_t  r;

    s3_ask(&r, "PUT", key);
    snprintf(n, sizeof(n), "%u", part->n);
    s3_query(&r, "partNumber", n);
    s3_query(&r, "uploadId", upload);
    r.body = body;
    rc = s3_request(s, &r, e);

    if (rc == 0 && r.etag[0] == '\0') {
        snprintf(e->text, sizeof(e->text), "the answer to part %u has no ETag",
                 part->n);
        rc = -1;
    }

    memcpy(part->etag, r.etag, sizeof(part->etag));
    s3_request_free(&r);

    return rc;
}


int
s3_complete(s3_t *s, const char *key, const char *upload,
    const s3_part_t *parts, size_t nparts, uint64_t size, s3_error_t *e)
{
    int            rc;
    FILE          *f;
    char          *text, *etag;
    size_t         i, len;
    s3_request_t   r;

    text = NULL;
    f = open_memstream(&text, &len);
    if (f == NULL) {
        return s3_no_memory(e);
    }

    fprintf(f, "<CompleteMultipartUpload>");

    for (i = 0, rc = 0; i < nparts && rc == 0; i++) {
        etag = s3_escaped(parts[i].etag);
        rc = etag == NULL ? -1 : 0;
        fprintf(f, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>",
                parts[i].n, etag ? etag : "");
        free(etag);
    }

    fprintf(f, "</CompleteMultipartUpload>");

    if (fclose(f) != 0 || rc != 0) {
        free(text);
        return s3_no_memory(e);
    }

    s3_ask(&r, "POST", key);
    s3_query(&r, "uploadId", upload);
    r.text = text;
    r.root = "CompleteMultipartUploadResult";
    r.stall_s = S3_COMPLETE_S;
    rc = s3_request(s, &r, e);

    if (rc != 0 && (e->status == 0 || e->status == 200 || e->status >= 500
                    || strcmp(e->code, "NoSuchUpload") == 0)
        && s3_is_there(s, key, size))
    {
        rc = 0;
    }

    s3_request_free(&r);
    free(text);

    return rc;
}


static int
s3_is_there(s3_t *s, const char *key, uint64_t size)
{
    uint64_t    found;
    s3_error_t  ignored;

    return s3_size(s, key, &found, &ignored) == 0 && found == size;
}


int
s3_abort(s3_t *s, const char *key, const char *upload, s3_error_t *e)
{
    int           rc;
    s3_request_t  r;

    s3_ask(&r, "DELETE", key);
    s3_query(&r, "uploadId", upload);
    rc = s3_request(s, &r, e);
    s3_request_free(&r);

    return rc == 0 || strcmp(e->code, "NoSuchUpload") == 0 ? 0 : -1;
}


int
s3_size(s3_t *s, const char *key, uint64_t *size, s3_error_t *e)
{
    int           rc;
    s3_request_t  r;

    s3_ask(&r, "HEAD", key);
    rc = s3_request(s, &r, e);

    if (rc == 0 && r.length < 0) {
        snprintf(e->text, sizeof(e->text), "the answer to a HEAD has no "
                 "Content-Length");
        rc = -1;
    }

    *size = rc == 0 ? (uint64_t) r.length : 0;
    s3_request_free(&r);

    return rc;
}


int
s3_delete(s3_t *s, const char *key, s3_error_t *e)
{
    int           rc;
    s3_request_t  r;

    s3_ask(&r, "DELETE", key);
    rc = s3_request(s, &r, e);
    s3_request_free(&r);

    return rc == 0 || strcmp(e->code, "NoSuchKey") == 0 ? 0 : -1;
}


char *
s3_url(s3_t *s, const char *key, const char *file_name, unsigned expires)
{
    char             date[SIGV4_DATE_LEN + 1];
    char            *host, *path, *disposition, *target, *url;
    sigv4_pair_t     query;
    sigv4_request_t  req;

    url = NULL;
    target = NULL;
    host = s3_host(s, &s->public_address);
    path = s3_path(s, key);
    disposition = s3_disposition(file_name);

    if (host == NULL || path == NULL || disposition == NULL) {
        goto out;
    }

    query = (sigv4_pair_t) { "response-content-disposition", disposition };
    req = (sigv4_request_t) { .method = "GET", .host = host, .path = path,
        .query = &query, .nquery = 1 };

    sigv4_date(time(NULL) + (time_t) s->clock, date);
    target = sigv4_presigned(&s->conf->key, &req, date, expires);

    if (target == NULL || asprintf(&url, "%s://%s%s",
                                   s->public_address.scheme, host, target) < 0)
    {
        url = NULL;
    }

out:

    free(host);
    free(path);
    free(disposition);
    free(target);

    return url;
}


/* A request that says what the object is. */

static int
s3_send_object(s3_t *s, s3_request_t *r, const s3_object_t *object,
    s3_error_t *e)
{
    int    rc;
    char  *disposition, *tags;

    disposition = s3_disposition(object->file_name);
    tags = s3_tags(object);

    if (disposition != NULL && tags != NULL) {
        r->headers[r->nheaders++] = (sigv4_pair_t) { "content-type",
                                                     object->type };
        r->headers[r->nheaders++] = (sigv4_pair_t) { "content-disposition",
                                                     disposition };

        if (object->ntags) {
            r->headers[r->nheaders++] = (sigv4_pair_t) { "x-amz-tagging",
                                                         tags };
        }

        rc = s3_request(s, r, e);

    } else {
        rc = s3_no_memory(e);
    }

    r->nheaders = 0;                       /* their texts go */
    free(disposition);
    free(tags);

    return rc;
}


/*
 * "k=v&k=v", encoded as a query is. S3 takes letters, digits, blanks and a few
 * signs in a value, 256 of them; the rest are underscores.
 */

static char *
s3_tags(const s3_object_t *object)
{
    char             *text, *tags, values[S3_MAX_TAGS][S3_TAG_MAX + 1];
    size_t            i;
    sigv4_pair_t      pairs[S3_MAX_TAGS];
    sigv4_request_t   req;

    if (object->ntags == 0) {
        return strdup("");
    }

    for (i = 0; i < object->ntags && i < S3_MAX_TAGS; i++) {
        snprintf(values[i], sizeof(values[i]), "%s", object->tags[i].value);
        s3_replace(values[i], S3_ALNUM "+-=._:/@ ");
        pairs[i] = (sigv4_pair_t) { object->tags[i].name, values[i] };
    }

    req = (sigv4_request_t) { .path = "", .query = pairs, .nquery = i };
    text = sigv4_target(&req);

    tags = text ? strdup(text + 1) : NULL;       /* without "?" */
    free(text);

    return tags;
}


/* What is not allowed is an underscore. */

static void
s3_replace(char *s, const char *allowed)
{
    for ( /* void */ ; *s != '\0'; s++) {
        if (strchr(allowed, *s) == NULL) {
            *s = '_';
        }
    }
}


static char *
s3_escaped(const char *s)
{
    FILE    *f;
    char    *text;
    size_t   len;

    text = NULL;
    f = open_memstream(&text, &len);
    if (f == NULL) {
        return NULL;
    }

    for ( /* void */ ; *s != '\0'; s++) {
        switch (*s) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '"': fputs("&quot;", f); break;
        default: fputc(*s, f);
        }
    }

    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }

    return text;
}


/* Without what is not safe in a header or a file system. */

static char *
s3_disposition(const char *name)
{
    char  *text, safe[S3_NAME_MAX + 1];

    snprintf(safe, sizeof(safe), "%s", name);
    s3_replace(safe, S3_ALNUM "-._");

    return asprintf(&text, "attachment; filename=\"%s\"", safe) < 0 ? NULL
                                                                    : text;
}


static void
s3_ask(s3_request_t *r, const char *method, const char *key)
{
    memset(r, 0, sizeof(*r));
    r->method = method;
    r->key = key;
}


static void
s3_query(s3_request_t *r, const char *name, const char *value)
{
    r->query[r->nquery++] = (sigv4_pair_t) { name, value };
}


static int
s3_no_memory(s3_error_t *e)
{
    memset(e, 0, sizeof(*e));
    snprintf(e->text, sizeof(e->text), "out of memory");

    return -1;
}
