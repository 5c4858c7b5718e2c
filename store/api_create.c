/*
 * store/api_create.c: POST /captures: is it a capture, is there room for it,
 * and then it begins. The grant is handed to the process of the capture and
 * is nowhere else: not in a record, not in the log.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "api_int.h"
#include "text.h"


#define CREATE_OWNER_LEN      64
#define CREATE_MAX_RETENTION  (INT64_C(3650) * 86400)
#define CREATE_MAX_ABOUT      32768  /* bytes: a thousand are a list */
#define CREATE_MIN_FREE       (UINT64_C(64) << 20)
#define CREATE_OLD_RECORDS    200    /* of an owner, that have no file */

#define CREATE_LETTERS        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"                   \
                              "abcdefghijklmnopqrstuvwxyz0123456789"


static int create_parse(json_t *root, record_t *rec, job_order_t *order,
    api_t *a);
static int create_where(const char *host, const char *path, job_order_t *order,
    api_t *a);
static int create_admit(store_t *s, const record_t *rec, api_t *a);
static int create_numbers(store_t *s, const record_t *rec, api_t *a);
static int create_quotas(store_t *s, const record_t *rec, api_t *a);
static int create_disk(const store_t *s, api_t *a);
static void create_begin(store_t *s, record_t *rec, const job_order_t *order,
    api_t *a);


void
api_create(store_t *s, const char *body, api_t *a)
{
    json_t        *root;
    record_t       rec;
    job_order_t    order;

    memset(&rec, 0, sizeof(rec));
    memset(&order, 0, sizeof(order));

    root = json_loads(body, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(root)) {
        (void) api_refuse(a, 400, "PCAP_BODY must be a JSON object");

    } else if (create_parse(root, &rec, &order, a) == 0
               && create_admit(s, &rec, a) == 0)
    {
        /* who follows the file wants it as it comes */

        order.level = order.live ? 0 : s->conf->zstd;
        create_begin(s, &rec, &order, a);
    }

    json_decref(root);
    record_free(&rec);
    explicit_bzero(&order, sizeof(order));
}


static int
create_parse(json_t *root, record_t *rec, job_order_t *order, api_t *a)
{
    json_t        *about;
    json_int_t     retention;
    const char    *id, *grant, *owner, *host, *path;
    json_error_t   err;

    if (json_unpack_ex(root, &err, 0, "{s:s,s:s,s:s,s:s,s:s,s:I,s:o,s?b!}",
                       "id", &id, "grant", &grant, "owner", &owner, "host",
                       &host, "path", &path, "retention", &retention,
                       "about", &about, "live", &order->live)
        != 0)
    {
        return api_refuse(a, 400, "id, grant, owner, host, path, retention "
                          "and about are needed, live is allowed, and no "
                          "other: %.160s",
                          err.text);
    }

    if (!text_is_hex(id, RECORD_ID_LEN) || !text_is_hex(grant, JOB_GRANT_LEN)
        || !text_is_hex(owner, CREATE_OWNER_LEN))
    {
        return api_refuse(a, 400, "id must be 32 lower-case hex digits, grant "
                          "and owner 64");
    }

    if (retention < 1 || retention > CREATE_MAX_RETENTION) {
        return api_refuse(a, 400, "retention must be 1 to %lld seconds",
                          (long long) CREATE_MAX_RETENTION);
    }

    if (create_where(host, path, order, a) != 0) {
        return -1;
    }

    rec->about = json_is_object(about) ? json_dumps(about, JSON_COMPACT)
                                       : NULL;

    if (rec->about == NULL || strlen(rec->about) > CREATE_MAX_ABOUT) {
        return api_refuse(a, 400, "about must be an object of at most %d "
                          "bytes", CREATE_MAX_ABOUT);
    }

    snprintf(rec->id, sizeof(rec->id), "%s", id);
    snprintf(rec->owner, sizeof(rec->owner), "%s", owner);
    snprintf(order->grant, sizeof(order->grant), "%s", grant);
    rec->state = RECORD_WAITING;
    rec->created = store_now();
    rec->retention = retention;

    return 0;
}


/* Both become part of a URL: no user, no query, nothing that is escaped. */

static int
create_where(const char *host, const char *path, job_order_t *order, api_t *a)
{
    size_t  len;

    len = strspn(host, CREATE_LETTERS ".-:");

    if (len == 0 || len > JOB_HOST_MAX || host[len] != '\0') {
        return api_refuse(a, 400, "host must be 1 to %d letters, digits, "
                          "dots, dashes and colons", JOB_HOST_MAX);
    }

    len = strspn(path, CREATE_LETTERS "/_.-");

    if (path[0] != '/' || len > JOB_PATH_MAX || path[len] != '\0') {
        return api_refuse(a, 400, "path must begin with / and have at most %d "
                          "letters, digits, and / _ . -", JOB_PATH_MAX);
    }

    snprintf(order->host, sizeof(order->host), "%s", host);
    snprintf(order->path, sizeof(order->path), "%s", path);

    return 0;
}


static int
create_admit(store_t *s, const record_t *rec, api_t *a)
{
    int       rc;
    record_t  other;

    rc = records_get(s->records, rec->id, &other);

    if (rc == 1) {
        record_free(&other);
        return api_refuse(a, 409, "the id is known");
    }

    if (rc != 0) {
        return api_refuse(a, 500, "the records cannot be read");
    }

    if (s->stopping) {
        return api_refuse(a, 503, "the store is stopping");
    }

    return create_numbers(s, rec, a) == 0 && create_quotas(s, rec, a) == 0
           ? create_disk(s, a) : -1;
}


static int
create_numbers(store_t *s, const record_t *rec, api_t *a)
{
    if (job_count(s, NULL) >= s->conf->max_captures) {
        return api_refuse(a, 503, "max_captures of this store, %llu, run "
                          "already", (unsigned long long)
                          s->conf->max_captures);
    }

    if (job_count(s, rec->owner) >= s->conf->max_captures_per_user) {
        return api_refuse(a, 429, "max_captures_per_user of this store, %llu, "
                          "run already", (unsigned long long)
                          s->conf->max_captures_per_user);
    }

    return 0;
}


static int
create_quotas(store_t *s, const record_t *rec, api_t *a)
{
    uint64_t  all, owner;

    if (store_bytes(s, NULL, &all) != 0
        || store_bytes(s, rec->owner, &owner) != 0)
    {
        return api_refuse(a, 500, "the records cannot be read");
    }

    if (owner >= s->conf->max_bytes_per_user) {
        return api_refuse(a, 429, "the quota of max_bytes_per_user of this "
                          "store, %llu bytes, is used up",
                          (unsigned long long) s->conf->max_bytes_per_user);
    }

    if (all >= s->conf->max_bytes) {
        return api_refuse(a, 507, "the quota of max_bytes of this store, %llu "
                          "bytes, is used up",
                          (unsigned long long) s->conf->max_bytes);
    }

    return 0;
}


static int
create_disk(const store_t *s, api_t *a)
{
    uint64_t         room, least;
    struct statvfs   fs;

    if (fstatvfs(s->folder, &fs) != 0) {
        return api_refuse(a, 500, "the disk cannot be asked");
    }

    room = (uint64_t) fs.f_bavail * fs.f_frsize;
    least = (uint64_t) fs.f_blocks * fs.f_frsize / 100;
    least = least > CREATE_MIN_FREE ? least : CREATE_MIN_FREE;

    if (room < least) {
        return api_refuse(a, 507, "the disk of this store is full: %llu bytes "
                          "are free, %llu (1 %%, at least 64 MiB) must be",
                          (unsigned long long) room,
                          (unsigned long long) least);
    }

    return 0;
}


/* The row first: what a process writes is never without one. */

static void
create_begin(store_t *s, record_t *rec, const job_order_t *order, api_t *a)
{
    if (records_add(s->records, rec) != 0) {
        log_error(s->log, "a record cannot be added: %s",
                  records_error(s->records));
        (void) api_refuse(a, 507, "the record of the capture cannot be "
                          "written");
        return;
    }

    (void) records_trim(s->records, rec->owner, CREATE_OLD_RECORDS);
    a->status = 201;
    a->body = api_record(s, rec);

    if (job_start(s, rec, order) == 0) {
        return;
    }

    rec->state = RECORD_FAILED;
    rec->ended = store_now();
    snprintf(rec->detail, sizeof(rec->detail), "no process could be begun");
    (void) records_update(s->records, rec);
    (void) api_refuse(a, 503, "no process could be begun");
}
