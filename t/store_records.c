/*
 * t/store_records.c: the store's rows: written and found again after a
 * restart, of one owner only, due when their time is over, counted for
 * quotas; and files that are no records.
 */

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/records.h"
#include "t/tap.h"


#define ID(n)  "0000000000000000000000000000000" n

typedef struct {
    char      ids[8 * (RECORD_ID_LEN + 1)];
    unsigned  n;
} found_t;

static char  dir[] = "/tmp/store_records.XXXXXX";
static char  path[64];


static void
note(void *data, const record_t *rec)
{
    found_t  *f;

    f = data;
    snprintf(f->ids + strlen(f->ids), sizeof(f->ids) - strlen(f->ids), "%s",
             rec->id + RECORD_ID_LEN - 1);
    f->n++;
}


static void
note_part(void *data, unsigned n, const char *etag)
{
    char  *text;

    text = data;
    snprintf(text + strlen(text), 64, "%u=%s ", n, etag);
}


static record_t
record(const char *id, const char *owner, record_state_t state,
    int64_t created, uint64_t bytes)
{
    record_t  rec;

    memset(&rec, 0, sizeof(rec));
    snprintf(rec.id, sizeof(rec.id), "%s", id);
    snprintf(rec.owner, sizeof(rec.owner), "%s", owner);
    rec.state = state;
    rec.created = created;
    rec.expires = created + 100;
    rec.retention = 100;
    rec.bytes = bytes;
    rec.raw = 3 * bytes;
    rec.about = "{\"target\":\"o'hara; DROP TABLE captures\"}";

    return rec;
}


static records_t *
open_again(records_t *r)
{
    char  err[RECORDS_ERR_LEN];

    records_close(r);
    r = records_open(path, err);

    if (!ok(r != NULL, "opened")) {
        printf("# %s\n", err);
        exit(1);
    }

    return r;
}


static void
refused(const char *what, const char *file, const char *want)
{
    char        err[RECORDS_ERR_LEN];
    records_t  *r;

    r = records_open(file, err);
    ok(r == NULL && strstr(err, want) != NULL, "%s: %s", what, err);
    records_close(r);
}


static void
files(void)
{
    FILE  *f;
    char   name[128];

    snprintf(name, sizeof(name), "%s/none/records.db", dir);
    refused("no such folder", name, "No such file");

    snprintf(name, sizeof(name), "%s/text", dir);
    f = fopen(name, "w");

    if (f != NULL) {
        fprintf(f, "%2000s\n", "no database");
        fclose(f);
    }

    refused("a file that is no database", name, "not a database");
    unlink(name);
}


/* A program of tomorrow was here. */

static void
newer(void)
{
    sqlite3  *db;

    ok(sqlite3_open(path, &db) == SQLITE_OK
       && sqlite3_exec(db, "PRAGMA user_version = 5", NULL, NULL, NULL)
          == SQLITE_OK, "a newer version");
    sqlite3_close(db);
    refused("a newer version", path, "of version 5, this program knows "
            "version 4");
}


static void
lists(records_t *r)
{
    found_t   f;
    uint64_t  bytes;
    unsigned  n;

    memset(&f, 0, sizeof(f));
    ok(records_list(r, "ann", 100, note, &f) == 0
       && strcmp(f.ids, "21") == 0, "the owner's, newest first (%s)", f.ids);

    memset(&f, 0, sizeof(f));
    ok(records_list(r, NULL, 3, note, &f) == 0
       && strcmp(f.ids, "432") == 0, "of all, three at most (%s)", f.ids);

    memset(&f, 0, sizeof(f));
    ok(records_list(r, "' OR 1=1 --", 100, note, &f) == 0 && f.n == 0,
       "a name is no SQL");

    ok(records_usage(r, "ann", &bytes) == 0 && bytes == 100,
       "what one's files at rest take");
    ok(records_usage(r, NULL, &bytes) == 0 && bytes == 100,
       "what all take: failed ones nothing");

    ok(records_files(r, &n) == 0 && n == 1, "one has a file");

    memset(&f, 0, sizeof(f));
    ok(records_active(r, note, &f) == 0 && strcmp(f.ids, "23") == 0,
       "those that wait or run (%s)", f.ids);
}


static void
retention(records_t *r)
{
    found_t   f;
    int64_t   when;
    record_t  rec;

    ok(records_next(r, &when) == 0 && when == 1100, "the next one is known");

    memset(&f, 0, sizeof(f));
    ok(records_due(r, 1099, note, &f) == 0 && f.n == 0, "not yet due");
    ok(records_due(r, 1100, note, &f) == 0 && strcmp(f.ids, "1") == 0,
       "due to the second; one that runs is not");

    ok(records_get(r, ID("1"), &rec) == 1, "found");
    rec.state = RECORD_GONE;
    rec.gone = 1100;
    ok(records_update(r, &rec) == 0, "gone");
    record_free(&rec);

    memset(&f, 0, sizeof(f));
    ok(records_due(r, 5000, note, &f) == 0 && strchr(f.ids, '1') == NULL,
       "not due again");
    ok(records_next(r, &when) == 0 && when == INT64_MAX, "nor is another");

    ok(records_forget(r, 1100) == 0 && records_get(r, ID("1"), &rec) == 1,
       "known for a while");
    record_free(&rec);
    ok(records_forget(r, 1101) == 0 && records_get(r, ID("1"), &rec) == 0,
       "then forgotten");
}


static void
uploads(records_t *r)
{
    int             n;
    char            text[256];
    record_parts_t  sum;

    ok(records_part(r, ID("2"), 2, 20, 20, "\"b\"") == 0
       && records_part(r, ID("2"), 1, 10, 100, "\"a\"") == 0
       && records_part(r, ID("2"), 2, 30, 500, "\"c\"") == 0, "parts");

    text[0] = '\0';
    ok(records_parts(r, ID("2"), note_part, text, &sum) == 0
       && strcmp(text, "1=\"a\" 2=\"c\" ") == 0 && sum.n == 2
       && sum.bytes == 40 && sum.raw == 600,
       "in their order, the last of each (%s)", text);

    ok(records_upload(r, ID("2"), "k", "next") == 0
       && records_parts(r, ID("2"), NULL, NULL, &sum) == 0 && sum.n == 0
       && sum.raw == 0, "another upload has none yet");
    n = records_upload(r, ID("9"), "k", "x") == -1;
    ok(n && strcmp(records_error(r), "there is no such row") == 0,
       "an upload of nothing: %s", records_error(r));

    n = records_part(r, ID("9"), 1, 10, 10, "\"a\"") == -1;
    ok(n && strstr(records_error(r), "FOREIGN KEY") != NULL,
       "of a capture that is not known: %s", records_error(r));
}


/* Those without a file, the oldest first, of that owner alone. */
static void
trims(records_t *r)
{
    char      id[RECORD_ID_LEN + 1];
    int       i;
    found_t   found;
    record_t  rec;

    for (i = 0; i < 6; i++) {
        snprintf(id, sizeof(id), "fffffffffffffffffffffffffffffff%d", i);
        rec = record(id, i == 5 ? "eve" : "tom", i == 1 ? RECORD_STORED
                     : RECORD_FAILED, 5000 + i, 1);
        (void) records_add(r, &rec);
    }

    memset(&found, 0, sizeof(found));
    ok(records_trim(r, "tom", 2) == 0
       && records_list(r, "tom", 100, note, &found) == 0
       && strcmp(found.ids, "431") == 0,
       "the oldest without a file are forgotten: %s", found.ids);

    memset(&found, 0, sizeof(found));
    ok(records_list(r, "eve", 100, note, &found) == 0 && found.n == 1,
       "those of others are not");

    memset(&found, 0, sizeof(found));
    ok(records_together(r, 1) == 0 && records_update(r, &rec) == 0
       && records_together(r, 0) == 0, "several in one go");

    (void) records_trim(r, "tom", 0);
    (void) records_trim(r, "eve", 0);
    rec = record("fffffffffffffffffffffffffffffff1", "tom", RECORD_GONE, 1,
                 1);
    (void) records_update(r, &rec);
    (void) records_trim(r, "tom", 0);
}


/* Where captures are, and what is left behind elsewhere. */

static void
places(records_t *r)
{
    record_t  rec;
    found_t   f;
    uint64_t  all, ann;

    memset(&f, 0, sizeof(f));
    ok(records_get(r, ID("1"), &rec) == 1 && rec.place == RECORD_LOCAL
       && rec.sweep == 0 && rec.object[0] == '\0', "in the folder at first");
    ok(records_local(r, note, &f) == 0 && strcmp(f.ids, "1") == 0,
       "one that could go to S3 (%s)", f.ids);

    rec.place = RECORD_S3;
    ok(records_upload(r, rec.id, "pcap/x", "up") == 0
       && records_update(r, &rec) == 0, "it went there");
    record_free(&rec);
    ok(records_get(r, ID("1"), &rec) == 1 && rec.place == RECORD_S3
       && strcmp(rec.object, "pcap/x") == 0 && strcmp(rec.upload, "up") == 0,
       "and that is known");

    memset(&f, 0, sizeof(f));
    ok(records_local(r, note, &f) == 0 && f.n == 0, "no other could");
    ok(records_usage(r, NULL, &all) == 0 && all == 0
       && records_usage(r, "ann", &ann) == 0 && ann == 100,
       "it is no more on the disk, but still its owner's");

    rec.sweep = 1;
    ok(records_update(r, &rec) == 0
       && records_sweep(r, 5, note, &f) == 0 && strcmp(f.ids, "1") == 0,
       "it is to be deleted");

    rec.sweep = 0;
    rec.place = RECORD_LOCAL;
    ok(records_update(r, &rec) == 0
       && records_upload(r, rec.id, "", "") == 0, "as before");
    record_free(&rec);
}


/* All that an end tells. */

static void
updates(records_t *r, record_t *rec)
{
    record_t  got;

    rec->lost = 7;
    rec->packets = UINT64_C(1) << 40;
    snprintf(rec->detail, sizeof(rec->detail), "%512s", "the end");
    snprintf(rec->file, sizeof(rec->file), "%s.pcapng", rec->id);
    ok(records_update(r, rec) == 0, "updated");

    ok(records_get(r, rec->id, &got) == 1 && got.lost == 7
       && got.packets == UINT64_C(1) << 40 && strlen(got.detail) == 512
       && strcmp(got.detail, rec->detail) == 0
       && strcmp(got.file, ID("1") ".pcapng") == 0, "and read again");
    record_free(&got);
}


/* What version 3 made, cut to what differs. */

static void
older(void)
{
    int              rc;
    char             err[RECORDS_ERR_LEN];
    sqlite3         *db;
    record_t         rec;
    records_t       *r;
    record_parts_t   sum;

    rc = sqlite3_open(path, &db) == SQLITE_OK
         && sqlite3_exec(db,
            "CREATE TABLE captures (id TEXT PRIMARY KEY, owner TEXT,"
            " state INTEGER, created INTEGER, ended INTEGER,"
            " retention INTEGER, expires INTEGER, gone INTEGER,"
            " bytes INTEGER, lost INTEGER, packets INTEGER, dropped INTEGER,"
            " sha256 TEXT, status TEXT, detail TEXT, file TEXT, upload TEXT,"
            " object TEXT, place INTEGER, sweep INTEGER, about TEXT)"
            " WITHOUT ROWID;"
            "CREATE TABLE parts (id TEXT REFERENCES captures (id)"
            " ON DELETE CASCADE, n INTEGER, bytes INTEGER, etag TEXT,"
            " PRIMARY KEY (id, n)) WITHOUT ROWID;"
            "INSERT INTO captures VALUES ('" ID("1") "', 'ann', 2, 1, 1, 1, 1,"
            " 0, 700, 0, 0, 0, '', '', '', '', 'u', 'o', 0, 0, '{}');"
            "INSERT INTO parts VALUES ('" ID("1") "', 1, 70, 'e');"
            "PRAGMA user_version = 3", NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_close(db);
    ok(rc, "records of version 3");

    r = records_open(path, err);

    if (ok(r != NULL, "are opened")) {
        ok(records_get(r, ID("1"), &rec) == 1 && rec.raw == 700
           && strcmp(rec.about, "{}") == 0 && records_update(r, &rec) == 0
           && records_parts(r, ID("1"), NULL, NULL, &sum) == 0
           && sum.bytes == 70 && sum.raw == 70, "and are as they were");
        record_free(&rec);
        records_close(r);
        r = records_open(path, err);
        ok(r != NULL, "once and for all");
        records_close(r);

    } else {
        printf("# %s\n", err);
    }

    unlink(path);
}


int
main(void)
{
    int         rc;
    record_t    rec, other;
    records_t  *r;

    if (mkdtemp(dir) == NULL) {
        return 1;
    }

    snprintf(path, sizeof(path), "%s/records.db", dir);
    files();

    r = open_again(NULL);
    rec = record(ID("1"), "ann", RECORD_STORED, 1000, 100);
    snprintf(rec.status, sizeof(rec.status), "complete");
    ok(records_add(r, &rec) == 0, "added");
    rc = records_add(r, &rec);
    ok(rc == -1 && strstr(records_error(r), "UNIQUE") != NULL, "twice: %s",
       records_error(r));

    other = record(ID("2"), "ann", RECORD_RUNNING, 1001, 200);
    ok(records_add(r, &other) == 0, "another one");
    other = record(ID("3"), "bob", RECORD_WAITING, 1002, 0);
    ok(records_add(r, &other) == 0, "another owner");
    other = record(ID("4"), "bob", RECORD_FAILED, 1003, 400);
    ok(records_add(r, &other) == 0, "one that failed");

    r = open_again(r);
    ok(records_get(r, ID("1"), &other) == 1
       && strcmp(other.about, rec.about) == 0
       && strcmp(other.owner, "ann") == 0 && other.state == RECORD_STORED
       && other.bytes == 100 && other.raw == 300 && other.expires == 1100
       && other.retention == 100 && strcmp(other.status, "complete") == 0
       && other.detail[0] == '\0' && other.file[0] == '\0',
       "all of it is there again");
    updates(r, &other);
    record_free(&other);
    ok(records_get(r, ID("9"), &other) == 0, "one that is not");

    other = record(ID("9"), "ann", RECORD_STORED, 1, 1);
    rc = records_update(r, &other);
    ok(rc == -1 && strcmp(records_error(r), "there is no such row") == 0,
       "nor is it updated: %s", records_error(r));
    refused("twice at once", path, "locked");

    lists(r);
    trims(r);
    places(r);
    uploads(r);
    retention(r);

    records_close(r);
    newer();
    unlink(path);
    older();
    ok(rmdir(dir) == 0, "nothing is left");

    return tap_done();
}
