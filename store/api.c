/*
 * store/api.c: see api.h. A table of requests; ids are checked before
 * anything is done with them. A capture that runs is answered for by its job,
 * which is never behind.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "api_int.h"
#include "text.h"


#define API_MAX_LIST        1000
#define API_MAX_LIST_BYTES  (1 << 20)
#define API_RECORD_BYTES    768      /* as JSON, about how many */
#define API_OWNER_LEN       64

typedef enum {
    API_SHOW = 0,
    API_REMOVE,
    API_URL
} api_want_t;

typedef struct {
    store_t   *store;
    json_t    *list;
    size_t     n;
    size_t     bytes;
    int        failed;
    int        truncated;
} api_list_t;


static void api_dispatch(store_t *s, const scgi_t *req, api_t *a);
static void api_list(store_t *s, const char *query, api_t *a);
static void api_list_one(void *data, const record_t *rec);
static void api_one(store_t *s, const char *path, int removes, api_t *a);
static void api_known(store_t *s, const char *id, api_want_t want, api_t *a);
static void api_remove(store_t *s, record_t *rec, api_t *a);
static void api_status(store_t *s, api_t *a);
static char *api_print(api_t *a, size_t *len);
static const char *api_reason(int status);


char *
api_answer(store_t *s, const scgi_t *req, size_t *len)
{
    api_t  a;

    a.status = 200;
    a.body = NULL;
    api_dispatch(s, req, &a);

    return api_print(&a, len);
}


char *
api_refusal(int status, const char *detail, size_t *len)
{
    api_t  a;

    a.body = NULL;
    (void) api_refuse(&a, status, "%s", detail);

    return api_print(&a, len);
}


static void
api_dispatch(store_t *s, const scgi_t *req, api_t *a)
{
    int          get, removes;
    const char  *uri;

    static const char  list[] = "/captures";

    uri = req->uri;
    get = strcmp(req->method, "GET") == 0;
    removes = strcmp(req->method, "DELETE") == 0;

    if (strcmp(uri, "/status") == 0 && get) {
        api_status(s, a);
        return;
    }

    if (strncmp(uri, list, sizeof(list) - 1) != 0) {
        (void) api_refuse(a, strcmp(uri, "/status") == 0 ? 405 : 404,
                          "there is no such request");
        return;
    }

    uri += sizeof(list) - 1;

    if (*uri == '/' && (get || removes)) {
        api_one(s, uri + 1, removes, a);

    } else if (*uri == '\0' && strcmp(req->method, "POST") == 0) {
        api_create(s, req->body, a);

    } else if ((*uri == '\0' || *uri == '?') && get) {
        api_list(s, uri, a);

    } else {
        (void) api_refuse(a, *uri == '\0' || *uri == '/' ? 405 : 404,
                          "there is no such request");
    }
}


/* "" or "?owner=HEX". */

static void
api_list(store_t *s, const char *query, api_t *a)
{
    int          rc;
    api_list_t   l;
    const char  *owner;

    static const char  name[] = "?owner=";

    owner = NULL;

    if (*query) {
        owner = query + sizeof(name) - 1;

        if (strncmp(query, name, sizeof(name) - 1) != 0
            || !text_is_hex(owner, API_OWNER_LEN))
        {
            (void) api_refuse(a, 400, "the only argument is owner, of 64 hex "
                              "digits");
            return;
        }
    }

    memset(&l, 0, sizeof(l));
    l.store = s;
    l.list = json_array();

    rc = records_list(s->records, owner, API_MAX_LIST + 1, api_list_one, &l);

    if (rc != 0 || l.failed || l.list == NULL) {
        json_decref(l.list);
        (void) api_refuse(a, 500, "the records cannot be read");
        return;
    }

    a->body = json_pack("{s:o,s:b}", "captures", l.list, "truncated",
                        l.truncated);
}


static void
api_list_one(void *data, const record_t *rec)
{
    job_t       *job;
    api_list_t  *l;

    l = data;
    job = job_find(l->store, rec->id);
    rec = job ? &job->rec : rec;
    l->bytes += strlen(rec->about) + API_RECORD_BYTES;

    if (l->n == API_MAX_LIST || l->bytes > API_MAX_LIST_BYTES) {
        l->truncated = 1;
        return;
    }

    l->n++;

    if (json_array_append_new(l->list, api_record(l->store, rec)) != 0) {
        l->failed = 1;
    }
}


/* "ID" or "ID/url". */

static void
api_one(store_t *s, const char *path, int removes, api_t *a)
{
    int     url;
    char    id[RECORD_ID_LEN + 1];

    snprintf(id, sizeof(id), "%s", path);
    url = strlen(path) > RECORD_ID_LEN;

    if (!text_is_hex(id, RECORD_ID_LEN)
        || (url && strcmp(path + RECORD_ID_LEN, "/url") != 0))
    {
        (void) api_refuse(a, 404, "there is no such capture");
        return;
    }

    if (url && removes) {
        (void) api_refuse(a, 405, "there is no such request");
        return;
    }

    api_known(s, id, url ? API_URL : removes ? API_REMOVE : API_SHOW, a);
}


static void
api_known(store_t *s, const char *id, api_want_t want, api_t *a)
{
    int        rc;
    job_t     *job;
    record_t   rec;

    job = job_find(s, id);

    if (job != NULL) {
        if (want == API_SHOW) {
            a->body = api_record(s, &job->rec);
            return;
        }

        if (want != API_REMOVE || job_drop(s, job) != 0) {
            (void) api_refuse(a, 409, "the capture is still written");
            return;
        }

        /* its row may not be writable: it has gone all the same */

        job = job_find(s, id);

        if (job != NULL) {
            a->body = api_record(s, &job->rec);
            return;
        }
    }

    rc = records_get(s->records, id, &rec);

    if (rc != 1) {
        (void) api_refuse(a, rc == 0 ? 404 : 500, rc == 0
                          ? "there is no such capture"
                          : "the records cannot be read");
        return;
    }

    switch (want) {
    case API_REMOVE:
        api_remove(s, &rec, a);
        break;
    case API_URL:
        api_url(s, &rec, a);
        break;
    default:
        a->body = api_record(s, &rec);
    }

    record_free(&rec);
}


/* Again is no error: it is gone, since then. */

static void
api_remove(store_t *s, record_t *rec, api_t *a)
{
    if (rec->state != RECORD_GONE && store_remove(s, rec) != 0) {
        (void) api_refuse(a, 500, "the file cannot be removed");
        return;
    }

    a->body = api_record(s, rec);
}


static void
api_status(store_t *s, api_t *a)
{
    uint64_t  bytes;
    unsigned  files;

    bytes = 0;
    files = 0;

    if (store_bytes(s, NULL, &bytes) != 0
        || records_files(s->records, &files) != 0)
    {
        (void) api_refuse(a, 500, "the records cannot be read");
        return;
    }

    a->body = json_pack("{s:b,s:I,s:I,s:I}", "healthy", 1, "bytes",
                        (json_int_t) bytes, "captures", (json_int_t) files,
                        "running", (json_int_t) job_count(s, NULL));
}


/* That it is not in S3 yet is no row's business: it is true for a while. */

json_t *
api_record(const store_t *s, const record_t *rec)
{
    char         text[RECORD_DETAIL_MAX + 1], detail[RECORD_DETAIL_MAX + 1];
    json_t      *about;
    const char  *why;

    static const char  *const states[] = {
        "waiting", "running", "stored", "interrupted", "failed", "gone"
    };

    about = json_loads(rec->about, 0, NULL);
    why = rec->state == RECORD_GONE ? NULL : upload_why(s, rec->id);
    snprintf(text, sizeof(text), "%.255s%s%s%.220s", rec->detail,
             why && rec->detail[0] ? "; " : "", why ? "not yet in S3: " : "",
             why ? why : "");
    text_clean(detail, sizeof(detail), why ? text : rec->detail);

    return json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:s,"
                     "s:s,s:s,s:s,s:s,s:o}", "id", rec->id, "owner", rec->owner,
                     "state", states[rec->state], "created",
                     (json_int_t) rec->created, "ended",
                     (json_int_t) rec->ended, "expires",
                     (json_int_t) rec->expires, "gone",
                     (json_int_t) rec->gone, "bytes",
                     (json_int_t) rec->bytes, "raw",
                     (json_int_t) rec->raw, "lost",
                     (json_int_t) rec->lost, "packets",
                     (json_int_t) rec->packets, "dropped",
                     (json_int_t) rec->dropped, "answer", rec->answer,
                     "status", rec->status,
                     "detail", detail, "sha256", rec->sha256, "file",
                     rec->file, "place", rec->place == RECORD_S3 ? "s3"
                     : "local", "about", about ? about : json_object());
}


int
api_refuse(api_t *a, int status, const char *fmt, ...)
{
    char     text[512], clean[512];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    text_clean(clean, sizeof(clean), text);
    json_decref(a->body);
    a->status = status;
    a->body = json_pack("{s:s}", "detail", clean);

    return -1;
}


static char *
api_print(api_t *a, size_t *len)
{
    int     n;
    char   *text, *answer;

    text = a->body ? json_dumps(a->body, JSON_COMPACT) : NULL;
    json_decref(a->body);

    if (text == NULL) {
        return NULL;
    }

    n = asprintf(&answer, "Status: %d %s\r\n"
                 "Content-Type: application/json\r\n"
                 "Content-Length: %zu\r\n\r\n%s", a->status,
                 api_reason(a->status), strlen(text), text);
    free(text);

    if (n == -1) {
        return NULL;
    }

    *len = (size_t) n;

    return answer;
}


static const char *
api_reason(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 429: return "Too Many Requests";
    case 503: return "Service Unavailable";
    case 507: return "Insufficient Storage";
    default:  return "Internal Server Error";
    }
}
