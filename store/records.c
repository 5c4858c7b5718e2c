/*
 * store/records.c: see records.h. Every value goes in by a bound parameter,
 * never into the text of a statement. A row is written before what it tells
 * is done is relied upon: synchronous, so that a power cut loses no row.
 */

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "records.h"


#define RECORDS_VERSION  4           /* PRAGMA user_version */

/* In the text, so that SQLite knows that the index is one of these. */

#define RECORDS_AT_REST  "state IN (2, 3)"

_Static_assert(RECORD_STORED == 2 && RECORD_INTERRUPTED == 3,
               "what RECORDS_AT_REST says");

#define RECORDS_COLUMNS  "id, owner, state, created, ended, retention, " \
                         "expires, gone, bytes, lost, packets, dropped, " \
                         "sha256, status, detail, file, upload, object, " \
                         "place, sweep, raw, answer, about"

struct records_s {
    sqlite3       *db;
    const char    *err;              /* ours, or NULL: SQLite's */
};

static const char  records_schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE captures (id TEXT PRIMARY KEY, owner TEXT NOT NULL,"
    " state INTEGER NOT NULL, created INTEGER NOT NULL,"
    " ended INTEGER NOT NULL, retention INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, gone INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, lost INTEGER NOT NULL,"
    " packets INTEGER NOT NULL, dropped INTEGER NOT NULL,"
    " sha256 TEXT NOT NULL, status TEXT NOT NULL, detail TEXT NOT NULL,"
    " file TEXT NOT NULL, upload TEXT NOT NULL, object TEXT NOT NULL,"
    " place INTEGER NOT NULL, sweep INTEGER NOT NULL,"
    " raw INTEGER NOT NULL, answer INTEGER NOT NULL, about TEXT NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX captures_by_owner ON captures (owner, created);"
    "CREATE INDEX captures_by_age ON captures (created);"
    "CREATE INDEX captures_by_expiry ON captures (expires)"
    " WHERE " RECORDS_AT_REST ";"
    "CREATE INDEX captures_at_rest ON captures (owner, place, bytes)"
    " WHERE " RECORDS_AT_REST ";"
    "CREATE INDEX captures_by_sweep ON captures (sweep) WHERE sweep != 0;"
    "CREATE TABLE parts (id TEXT NOT NULL REFERENCES captures (id)"
    " ON DELETE CASCADE, n INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " raw INTEGER NOT NULL, etag TEXT NOT NULL, PRIMARY KEY (id, n))"
    " WITHOUT ROWID;"
    "PRAGMA user_version = 4;"
    "COMMIT;";

/* Until version 3 nothing was compressed. */

static const char  records_from_3[] =
    "BEGIN IMMEDIATE;"
    "ALTER TABLE captures ADD COLUMN raw INTEGER NOT NULL DEFAULT 0;"
    "UPDATE captures SET raw = bytes;"
    "ALTER TABLE captures ADD COLUMN answer INTEGER NOT NULL DEFAULT 0;"
    "UPDATE captures SET answer = 200 WHERE status != '' AND detail = '';"
    "ALTER TABLE parts ADD COLUMN raw INTEGER NOT NULL DEFAULT 0;"
    "UPDATE parts SET raw = bytes;"
    "PRAGMA user_version = 4;"
    "COMMIT;";


static int records_prepare_file(records_t *r, char err[RECORDS_ERR_LEN]);
static int records_version(records_t *r);
static sqlite3_stmt *records_bind(records_t *r, const char *sql,
    const char *types, ...);
static int records_finish(sqlite3_stmt *st);
static int records_run(records_t *r, sqlite3_stmt *st);
static int records_value(sqlite3_stmt *st, int64_t *value);
static void records_row(sqlite3_stmt *st, record_t *rec);
static void records_text(sqlite3_stmt *st, int i, char *to, size_t size);
static int records_each(sqlite3_stmt *st, record_fn fn, void *data);


records_t *
records_open(const char *path, char err[RECORDS_ERR_LEN])
{
    int         fd, rc;
    records_t  *r;

    r = calloc(1, sizeof(*r));
    if (r == NULL) {
        snprintf(err, RECORDS_ERR_LEN, "out of memory");
        return NULL;
    }

    /* made here, so that nobody else may read it; SQLite's files follow */

    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd == -1) {
        snprintf(err, RECORDS_ERR_LEN, "%s: %s", path, strerror(errno));
        free(r);
        return NULL;
    }

    close(fd);

    rc = sqlite3_open_v2(path, &r->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);

    if (rc != SQLITE_OK) {
        snprintf(err, RECORDS_ERR_LEN, "%s: %s", path,
                 r->db ? sqlite3_errmsg(r->db) : sqlite3_errstr(rc));
        records_close(r);
        return NULL;
    }

    if (records_prepare_file(r, err) != 0) {
        if (err[0] == '\0') {
            snprintf(err, RECORDS_ERR_LEN, "%s: %s", path,
                     sqlite3_errmsg(r->db));
        }

        records_close(r);
        return NULL;
    }

    return r;
}


/* -1; without a text of its own in err it is SQLite's. */

static int
records_prepare_file(records_t *r, char err[RECORDS_ERR_LEN])
{
    int  version;

    err[0] = '\0';

    if (sqlite3_exec(r->db, "PRAGMA locking_mode = EXCLUSIVE;"
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                     "PRAGMA foreign_keys = ON;",
                     NULL, NULL, NULL) != SQLITE_OK)
    {
        return -1;
    }

    version = records_version(r);

    if (version == 0 || version == 3) {
        return sqlite3_exec(r->db, version == 0 ? records_schema
                            : records_from_3, NULL, NULL, NULL)
               == SQLITE_OK ? 0 : -1;
    }

    if (version > 0 && version != RECORDS_VERSION) {
        snprintf(err, RECORDS_ERR_LEN, "the records are of version %d, this "
                 "program knows version %d", version, RECORDS_VERSION);
    }

    return version == RECORDS_VERSION ? 0 : -1;
}


static int
records_version(records_t *r)
{
    int            version;
    sqlite3_stmt  *st;

    version = -1;
    st = records_bind(r, "PRAGMA user_version", "");

    if (st != NULL && sqlite3_step(st) == SQLITE_ROW) {
        version = sqlite3_column_int(st, 0);
    }

    sqlite3_finalize(st);

    return version;
}


void
records_close(records_t *r)
{
    if (r != NULL) {
        sqlite3_close(r->db);
        free(r);
    }
}


const char *
records_error(const records_t *r)
{
    return r->err ? r->err : sqlite3_errmsg(r->db);
}


int
records_add(records_t *r, const record_t *rec)
{
    return records_run(r, records_bind(r,
        "INSERT INTO captures (" RECORDS_COLUMNS ")"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " ?, ?, ?)", "ssiiiiiiiiiissssssiiiis", rec->id, rec->owner,
        (int64_t) rec->state, rec->created, rec->ended, rec->retention,
        rec->expires, rec->gone,
        (int64_t) rec->bytes, (int64_t) rec->lost, (int64_t) rec->packets,
        (int64_t) rec->dropped, rec->sha256, rec->status, rec->detail,
        rec->file, rec->upload, rec->object, (int64_t) rec->place,
        (int64_t) rec->sweep, (int64_t) rec->raw, (int64_t) rec->answer,
        rec->about ? rec->about : "{}")) == 1 ? 0 : -1;
}


int
records_update(records_t *r, const record_t *rec)
{
    int  n;

    n = records_run(r, records_bind(r,
        "UPDATE captures SET state = ?, ended = ?, expires = ?, gone = ?,"
        " bytes = ?, lost = ?, packets = ?, dropped = ?, sha256 = ?,"
        " status = ?, detail = ?, file = ?, place = ?, sweep = ?, raw = ?,"
        " answer = ? WHERE id = ?", "iiiiiiiissssiiiis",
        (int64_t) rec->state, rec->ended, rec->expires, rec->gone,
        (int64_t) rec->bytes, (int64_t) rec->lost, (int64_t) rec->packets,
        (int64_t) rec->dropped, rec->sha256, rec->status, rec->detail,
        rec->file, (int64_t) rec->place, (int64_t) rec->sweep,
        (int64_t) rec->raw, (int64_t) rec->answer, rec->id));

    if (n == 0) {
        r->err = "there is no such row";
    }

    return n == 1 ? 0 : -1;
}


int
records_get(records_t *r, const char *id, record_t *rec)
{
    int            rc;
    sqlite3_stmt  *st;

    st = records_bind(r, "SELECT " RECORDS_COLUMNS " FROM captures"
                      " WHERE id = ?", "s", id);

    if (st == NULL) {
        return -1;
    }

    rc = sqlite3_step(st);

    if (rc == SQLITE_ROW) {
        records_row(st, rec);
        rec->about = rec->about ? strdup(rec->about) : NULL;
    }

    sqlite3_finalize(st);

    if (rc == SQLITE_ROW) {
        return rec->about ? 1 : -1;
    }

    return rc == SQLITE_DONE ? 0 : -1;
}


void
record_free(record_t *rec)
{
    free(rec->about);
    rec->about = NULL;
}


int
records_list(records_t *r, const char *owner, unsigned max, record_fn fn,
    void *data)
{
    if (owner == NULL) {
        return records_each(records_bind(r, "SELECT " RECORDS_COLUMNS
            " FROM captures ORDER BY created DESC, id LIMIT ?", "i",
            (int64_t) max), fn, data);
    }

    return records_each(records_bind(r, "SELECT " RECORDS_COLUMNS
        " FROM captures WHERE owner = ? ORDER BY created DESC, id LIMIT ?",
        "si", owner, (int64_t) max), fn, data);
}


int
records_due(records_t *r, int64_t now, record_fn fn, void *data)
{
    return records_each(records_bind(r, "SELECT " RECORDS_COLUMNS
        " FROM captures WHERE expires <= ? AND " RECORDS_AT_REST
        " ORDER BY expires", "i", now), fn, data);
}


int
records_next(records_t *r, int64_t *when)
{
    return records_value(records_bind(r, "SELECT ifnull(min(expires), ?)"
        " FROM captures WHERE " RECORDS_AT_REST, "i", INT64_MAX), when);
}


int
records_usage(records_t *r, const char *owner, uint64_t *bytes)
{
    int      rc;
    int64_t  sum;

    rc = records_value(owner
        ? records_bind(r, "SELECT ifnull(sum(bytes), 0) FROM captures"
                       " WHERE owner = ? AND " RECORDS_AT_REST, "s", owner)
        : records_bind(r, "SELECT ifnull(sum(bytes), 0) FROM captures"
                       " WHERE place = ? AND " RECORDS_AT_REST, "i",
                       (int64_t) RECORD_LOCAL), &sum);

    if (rc == 0) {
        *bytes = (uint64_t) sum;
    }

    return rc;
}


int
records_files(records_t *r, unsigned *n)
{
    int      rc;
    int64_t  count;

    rc = records_value(records_bind(r, "SELECT count(*) FROM captures"
        " WHERE " RECORDS_AT_REST, ""), &count);

    if (rc == 0) {
        *n = (unsigned) count;
    }

    return rc;
}


int
records_active(records_t *r, record_fn fn, void *data)
{
    return records_each(records_bind(r, "SELECT " RECORDS_COLUMNS
        " FROM captures WHERE state IN (?, ?) ORDER BY created, id", "ii",
        (int64_t) RECORD_WAITING, (int64_t) RECORD_RUNNING), fn, data);
}


int
records_local(records_t *r, record_fn fn, void *data)
{
    return records_each(records_bind(r, "SELECT " RECORDS_COLUMNS
        " FROM captures WHERE " RECORDS_AT_REST " AND place = ?"
        " AND file != '' ORDER BY created, id", "i",
        (int64_t) RECORD_LOCAL), fn, data);
}


int
records_sweep(records_t *r, unsigned max, record_fn fn, void *data)
{
    return records_each(records_bind(r, "SELECT " RECORDS_COLUMNS
        " FROM captures WHERE sweep != 0 ORDER BY random() LIMIT ?", "i",
        (int64_t) max), fn, data);
}


int
records_forget(records_t *r, int64_t before)
{
    return records_run(r, records_bind(r,
        "DELETE FROM captures WHERE ((state = ? AND gone < ?)"
        " OR (state = ? AND ended < ?)) AND sweep = 0", "iiii",
        (int64_t) RECORD_GONE, before, (int64_t) RECORD_FAILED, before))
        < 0 ? -1 : 0;
}


int
records_trim(records_t *r, const char *owner, unsigned keep)
{
    return records_run(r, records_bind(r, "DELETE FROM captures WHERE id IN"
        " (SELECT id FROM captures WHERE owner = ? AND state IN (?, ?)"
        " AND sweep = 0 ORDER BY created DESC, id LIMIT -1 OFFSET ?)", "siii",
        owner, (int64_t) RECORD_FAILED, (int64_t) RECORD_GONE,
        (int64_t) keep)) < 0 ? -1 : 0;
}


int
records_together(records_t *r, int begin)
{
    return sqlite3_exec(r->db, begin ? "BEGIN IMMEDIATE" : "COMMIT", NULL,
                        NULL, NULL) == SQLITE_OK ? 0 : -1;
}


int
records_upload(records_t *r, const char *id, const char *object,
    const char *upload)
{
    int  n;

    if (sqlite3_exec(r->db, "BEGIN IMMEDIATE", NULL, NULL, NULL)
        != SQLITE_OK)
    {
        return -1;
    }

    n = records_run(r, records_bind(r, "DELETE FROM parts WHERE id = ?", "s",
                                    id));

    if (n >= 0) {
        n = records_run(r, records_bind(r, "UPDATE captures SET upload = ?,"
                                        " object = ? WHERE id = ?", "sss",
                                        upload, object, id));
    }

    if (n == 0) {
        r->err = "there is no such row";
    }

    if (n == 1 && sqlite3_exec(r->db, "COMMIT", NULL, NULL, NULL)
                  == SQLITE_OK)
    {
        return 0;
    }

    (void) sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);

    return -1;
}


int
records_part(records_t *r, const char *id, unsigned n, uint64_t bytes,
    uint64_t raw, const char *etag)
{
    return records_run(r, records_bind(r,
        "INSERT OR REPLACE INTO parts (id, n, bytes, raw, etag)"
        " VALUES (?, ?, ?, ?, ?)", "siiis", id, (int64_t) n, (int64_t) bytes,
        (int64_t) raw, etag)) < 0 ? -1 : 0;
}


int
records_parts(records_t *r, const char *id,
    void (*fn)(void *data, unsigned n, const char *etag), void *data,
    record_parts_t *sum)
{
    sqlite3_stmt  *st;

    memset(sum, 0, sizeof(*sum));
    st = records_bind(r, "SELECT n, etag, bytes, raw FROM parts WHERE id = ?"
                      " ORDER BY n", "s", id);

    if (st == NULL) {
        return -1;
    }

    while (sqlite3_step(st) == SQLITE_ROW) {
        if (fn != NULL) {
            fn(data, (unsigned) sqlite3_column_int(st, 0),
               (const char *) sqlite3_column_text(st, 1));
        }

        sum->bytes += (uint64_t) sqlite3_column_int64(st, 2);
        sum->raw += (uint64_t) sqlite3_column_int64(st, 3);
        sum->n++;
    }

    return records_finish(st);
}


/* A statement with its values: s a text or NULL, i an int64_t. Or NULL. */

static sqlite3_stmt *
records_bind(records_t *r, const char *sql, const char *types, ...)
{
    int            i, rc;
    va_list        args;
    const char    *text;
    sqlite3_stmt  *st;

    r->err = NULL;

    if (sqlite3_prepare_v2(r->db, sql, -1, &st, NULL) != SQLITE_OK) {
        return NULL;
    }

    rc = SQLITE_OK;
    va_start(args, types);

    for (i = 0; types[i] != '\0' && rc == SQLITE_OK; i++) {

        if (types[i] == 's') {
            text = va_arg(args, const char *);
            rc = text ? sqlite3_bind_text(st, i + 1, text, -1,
                                          SQLITE_TRANSIENT)
                      : sqlite3_bind_null(st, i + 1);

        } else {
            rc = sqlite3_bind_int64(st, i + 1, va_arg(args, int64_t));
        }
    }

    va_end(args);

    if (rc != SQLITE_OK) {
        sqlite3_finalize(st);
        return NULL;
    }

    return st;
}


/* 0, or -1 when a step of it had failed. */

static int
records_finish(sqlite3_stmt *st)
{
    return sqlite3_finalize(st) == SQLITE_OK ? 0 : -1;
}


/* A statement that gives no rows; how many it changed, or -1. */

static int
records_run(records_t *r, sqlite3_stmt *st)
{
    if (st == NULL) {
        return -1;
    }

    (void) sqlite3_step(st);

    return records_finish(st) == 0 ? sqlite3_changes(r->db) : -1;
}


/* A statement that gives one number. 0 or -1. */

static int
records_value(sqlite3_stmt *st, int64_t *value)
{
    if (st == NULL || sqlite3_step(st) != SQLITE_ROW) {
        sqlite3_finalize(st);
        return -1;
    }

    *value = sqlite3_column_int64(st, 0);

    return records_finish(st);
}


/* The texts are SQLite's; about is until the next step. */

static void
records_row(sqlite3_stmt *st, record_t *rec)
{
    memset(rec, 0, sizeof(*rec));
    records_text(st, 0, rec->id, sizeof(rec->id));
    records_text(st, 1, rec->owner, sizeof(rec->owner));
    rec->state = (record_state_t) sqlite3_column_int(st, 2);
    rec->created = sqlite3_column_int64(st, 3);
    rec->ended = sqlite3_column_int64(st, 4);
    rec->retention = sqlite3_column_int64(st, 5);
    rec->expires = sqlite3_column_int64(st, 6);
    rec->gone = sqlite3_column_int64(st, 7);
    rec->bytes = (uint64_t) sqlite3_column_int64(st, 8);
    rec->lost = (uint64_t) sqlite3_column_int64(st, 9);
    rec->packets = (uint64_t) sqlite3_column_int64(st, 10);
    rec->dropped = (uint64_t) sqlite3_column_int64(st, 11);
    records_text(st, 12, rec->sha256, sizeof(rec->sha256));
    records_text(st, 13, rec->status, sizeof(rec->status));
    records_text(st, 14, rec->detail, sizeof(rec->detail));
    records_text(st, 15, rec->file, sizeof(rec->file));
    records_text(st, 16, rec->upload, sizeof(rec->upload));
    records_text(st, 17, rec->object, sizeof(rec->object));
    rec->place = (record_place_t) sqlite3_column_int(st, 18);
    rec->sweep = sqlite3_column_int(st, 19);
    rec->raw = (uint64_t) sqlite3_column_int64(st, 20);
    rec->answer = sqlite3_column_int(st, 21);
    rec->about = (char *) sqlite3_column_text(st, 22);
}


static void
records_text(sqlite3_stmt *st, int i, char *to, size_t size)
{
    snprintf(to, size, "%s", (const char *) sqlite3_column_text(st, i));
}


static int
records_each(sqlite3_stmt *st, record_fn fn, void *data)
{
    record_t  rec;

    if (st == NULL) {
        return -1;
    }

    while (sqlite3_step(st) == SQLITE_ROW) {
        records_row(st, &rec);
        fn(data, &rec);
    }

    return records_finish(st);
}
