/*
 * t/store_api.c: the answers of the store without a process or a socket: the
 * longest list, and what a record shows in each state.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/api.h"
#include "store/api_int.h"
#include "t/tap.h"


#define ROWS  1003

static char  dir[] = "/tmp/store_api.XXXXXX";


static record_t
record(unsigned n, char *about)
{
    record_t  rec;

    memset(&rec, 0, sizeof(rec));
    snprintf(rec.id, sizeof(rec.id), "%032x", n);
    snprintf(rec.owner, sizeof(rec.owner), "%064x", n % 3);
    rec.state = (record_state_t) (n % 6);
    rec.created = n;
    rec.expires = INT64_MAX;
    rec.about = about;

    return rec;
}


/* The body of the answer; its status in *status. */

static json_t *
ask(store_t *s, const char *method, const char *uri, int *status)
{
    char    *answer, *body;
    scgi_t   req;
    size_t   len;
    json_t  *root;

    memset(&req, 0, sizeof(req));
    req.method = method;
    req.uri = uri;
    req.body = "";

    answer = api_answer(s, &req, &len);

    if (answer == NULL || strlen(answer) != len) {
        exit(1);
    }

    *status = (int) strtol(answer + sizeof("Status:"), NULL, 10);
    body = strstr(answer, "\r\n\r\n");
    root = json_loads(body, 0, NULL);
    free(answer);

    return root;
}


static void
lists(store_t *s)
{
    int      status;
    json_t  *root, *list, *first;

    root = ask(s, "GET", "/captures", &status);
    list = json_object_get(root, "captures");
    first = json_array_get(list, 0);

    ok(status == 200 && json_array_size(list) == 1000
       && json_is_true(json_object_get(root, "truncated")),
       "a thousand at most, and that is said");
    ok(json_integer_value(json_object_get(first, "created")) == ROWS - 1,
       "the newest first");
    json_decref(root);

    root = ask(s, "GET", "/captures?owner=000000000000000000000000000000000000"
               "0000000000000000000000000001", &status);
    ok(json_array_size(json_object_get(root, "captures")) == ROWS / 3
       && json_is_false(json_object_get(root, "truncated")),
       "those of one owner");
    json_decref(root);
}


static void
states(store_t *s)
{
    int           status;
    char          uri[64];
    json_t       *root;
    unsigned      i;
    const char   *state;

    static const char  *const names[] = {
        "waiting", "running", "stored", "interrupted", "failed", "gone"
    };

    for (i = 0; i < 6; i++) {
        snprintf(uri, sizeof(uri), "/captures/%032x", i);
        root = ask(s, "GET", uri, &status);
        state = json_string_value(json_object_get(root, "state"));
        ok(status == 200 && state != NULL && strcmp(state, names[i]) == 0
           && json_object_size(root) == 19, "%s", names[i]);
        json_decref(root);
    }

    root = ask(s, "GET", "/status", &status);
    ok(status == 200
       && json_integer_value(json_object_get(root, "captures")) == ROWS / 3
       && json_integer_value(json_object_get(root, "running")) == 0,
       "those that have a file are counted");
    json_decref(root);
}


int
main(void)
{
    char       path[64], err[RECORDS_ERR_LEN];
    char       about[] = "{\"a\":[1,\"\xc3\xa4\"]}";
    conf_t     conf;
    log_t      log;
    store_t    s;
    record_t   rec;
    unsigned   i;

    if (mkdtemp(dir) == NULL) {
        return 1;
    }

    memset(&s, 0, sizeof(s));
    memset(&conf, 0, sizeof(conf));
    memset(&log, 0, sizeof(log));
    s.conf = &conf;
    s.log = &log;
    s.folder = -1;
    s.quota = quota_new(1, 1, 1);
    snprintf(path, sizeof(path), "%s/records.db", dir);
    s.records = records_open(path, err);

    if (!ok(s.records != NULL && s.quota != NULL, "opened")) {
        return 1;
    }

    for (i = 0; i < ROWS; i++) {
        rec = record(i, about);

        if (records_add(s.records, &rec) != 0) {
            break;
        }
    }

    ok(i == ROWS, "%u rows", i);
    lists(&s);
    states(&s);
    store_close(&s);

    unlink(path);
    ok(rmdir(dir) == 0, "nothing is left");

    return tap_done();
}
