/*
 * cli/list.c: `list` and `show`. One request each; a table for people, or the
 * API's own document with --json. It never asks twice and never waits for
 * what is not there.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control.h"
#include "list.h"
#include "text.h"


#define LIST_MAX_TEXT  512


/* The cleaned text of a member, at most width characters; "" when none. */
static const char *
list_text(char dst[LIST_MAX_TEXT], const json_t *doc, const char *name,
    size_t width)
{
    const json_t  *s;

    s = json_object_get(doc, name);
    text_clean(dst, LIST_MAX_TEXT, json_is_string(s) ? json_string_value(s)
               : "", json_string_length(s));
    (void) text_cut(dst, width);

    return dst;
}


static uint64_t
list_number(const json_t *doc, const char *name)
{
    json_int_t  n;

    n = json_integer_value(json_object_get(doc, name));

    return n > 0 ? (uint64_t) n : 0;
}


/* "static/demo", or the label of it. */
static void
list_target(char *dst, size_t max, const json_t *doc, size_t width)
{
    char  resolver[LIST_MAX_TEXT], target[LIST_MAX_TEXT];
    char  label[LIST_MAX_TEXT];

    list_text(label, doc, "label", 64);
    snprintf(dst, max, "%.32s/%.300s",
             list_text(resolver, doc, "resolver", 32),
             *label != '\0' ? label : list_text(target, doc, "target", 255));
    (void) text_cut(dst, width);
}


/* How it goes, or how it went; of one for the storage, what is there. */
static const char *
list_state(char dst[LIST_MAX_TEXT], const json_t *doc)
{
    list_text(dst, json_object_get(doc, "stored"), "state", 11);

    if (*dst == '\0') {
        list_text(dst, doc, "status", 11);
    }

    return *dst != '\0' ? dst : list_text(dst, doc, "state", 11);
}


/* What only the storage knows has the size of its file. */
static uint64_t
list_bytes(const json_t *doc)
{
    return list_number(json_object_get(doc, "bytes") != NULL
                       ? doc : json_object_get(doc, "stored"), "bytes");
}


/* RFC 3339 in UTC, whole seconds: the API's own form. -1: it is none. */
static time_t
list_time(const char *s)
{
    char       z;
    struct tm  tm = { 0 };

    if (sscanf(s, "%4d-%2d-%2dT%2d:%2d:%2d%c", &tm.tm_year, &tm.tm_mon,
               &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &z) != 7
        || z != 'Z')
    {
        return -1;
    }

    tm.tm_year -= 1900;
    tm.tm_mon--;

    return timegm(&tm);
}


void
list_kept(char dst[8], const char *expires, time_t now)
{
    time_t    at;
    uint64_t  s;

    at = list_time(expires);
    s = at > now ? (uint64_t) (at - now) : 0;

    if (at == -1) {
        snprintf(dst, 8, "-");

    } else if (s >= 72 * 3600) {
        snprintf(dst, 8, "%ud", (unsigned) (s / 86400 % 10000));

    } else if (s >= 3600) {
        snprintf(dst, 8, "%uh", (unsigned) (s / 3600));

    } else {
        snprintf(dst, 8, "%um", (unsigned) (s / 60));
    }
}


static void
list_row(const json_t *doc)
{
    char           id[LIST_MAX_TEXT], state[LIST_MAX_TEXT], bytes[16];
    char           started[LIST_MAX_TEXT], target[LIST_MAX_TEXT], kept[8];
    char           user[LIST_MAX_TEXT], expires[LIST_MAX_TEXT];
    const json_t  *stored;

    stored = json_object_get(doc, "stored");
    list_target(target, sizeof(target), doc, 24);
    text_bytes(bytes, list_bytes(doc));
    list_text(expires, stored, "expires", 40);
    list_kept(kept, json_object_get(stored, "gone") == NULL ? expires : "",
              time(NULL));

    printf("%-32s  %-11s  %-20s  %3" PRIu64 "  %8" PRIu64 "  %8s  %7" PRIu64
           "  %4s  %-24s  %s\n", list_text(id, doc, "id", 32),
           list_state(state, doc), list_text(started, doc, "started", 20),
           list_number(doc, "target_count"), list_number(doc, "packets"),
           bytes, list_number(doc, "dropped"), kept, target,
           list_text(user, doc, "user", 32));
}


/* Those that could not be asked; how many. */
static size_t
list_unreachable(const json_t *doc, msg_t *msg)
{
    char           detail[LIST_MAX_TEXT];
    size_t         i;
    const json_t  *list, *node;

    list = json_object_get(doc, "unreachable");

    for (i = 0; i < json_array_size(list); i++) {
        node = json_array_get(list, i);
        msg_error(msg, "node %" PRIu64 " of the API could not be asked: %s",
                  list_number(node, "node"),
                  list_text(detail, node, "detail", 200));
    }

    return i;
}


/*
 * Asks for path. CLI_OK with *doc, an object that the caller owns; else the
 * exit code, told.
 */
static cli_exit_t
list_fetch(const opt_t *opt, const api_t *api, const char *path,
    json_t **doc)
{
    cli_exit_t     code;
    api_request_t  q = { 0 };

    *doc = NULL;
    code = control_ask(&q, api, "GET", path);

    if (code == CLI_OK && q.reply.status == 200 && q.reply.body != NULL
        && reply_is(&q.reply, "application/json"))
    {
        *doc = json_loadb(q.reply.body, q.reply.body_len,
                          JSON_REJECT_DUPLICATES, NULL);
    }

    if (code == CLI_OK && !json_is_object(*doc)) {
        json_decref(*doc);
        *doc = NULL;
        code = control_refused(api, &q, opt_count(opt, OPT_JSON));

        /* A 200 without a document is no answer either. */
        code = code == CLI_OK ? CLI_FAILED : code;
    }

    api_request_free(&q);

    return code;
}


static void
list_dump(const json_t *doc)
{
    json_dumpf(doc, stdout, JSON_ENSURE_ASCII|JSON_COMPACT);
    printf("\n");
}


cli_exit_t
list_captures(const opt_t *opt, const conf_t *conf, msg_t *msg)
{
    api_t          api = { conf, msg };
    json_t        *doc;
    size_t         i;
    cli_exit_t     code;
    const json_t  *list;

    code = list_fetch(opt, &api, "/v1/captures", &doc);
    if (code != CLI_OK) {
        return code;
    }

    list = json_object_get(doc, "captures");

    if (opt_count(opt, OPT_JSON)) {
        list_dump(doc);

    } else if (json_array_size(list) == 0) {
        msg_note(msg, "there are no captures");

    } else {
        printf("%-32s  %-11s  %-20s  %3s  %8s  %8s  %7s  %4s  %-24s  %s\n",
               "ID", "STATE", "STARTED", "NUM", "PACKETS", "BYTES",
               "DROPPED", "KEPT", "TARGET", "USER");

        for (i = 0; i < json_array_size(list); i++) {
            list_row(json_array_get(list, i));
        }
    }

    if (list_unreachable(doc, msg) != 0) {
        code = CLI_PARTIAL;
    }

    if (json_is_true(json_object_get(doc, "truncated"))) {
        msg_error(msg, "there are more captures than the API tells");
        code = CLI_PARTIAL;
    }

    json_decref(doc);

    return code;
}


static void
list_line(const json_t *doc, const char *name, const char *title)
{
    char  text[LIST_MAX_TEXT];

    if (*list_text(text, doc, name, LIST_MAX_TEXT - 1) != '\0') {
        printf("%-10s %s\n", title, text);
    }
}


static void
list_limits(const json_t *doc)
{
    char           bytes[16];
    double         seconds;
    const json_t  *limits;

    limits = json_object_get(doc, "limits");
    seconds = json_number_value(json_object_get(limits, "duration_s"));

    if (seconds > 0) {
        printf("%-10s duration %.10g s\n", "limit", seconds);
    }

    if (list_number(limits, "max_bytes")) {
        text_bytes(bytes, list_number(limits, "max_bytes"));
        printf("%-10s %s\n", "limit", bytes);
    }

    if (list_number(limits, "max_packets")) {
        printf("%-10s %" PRIu64 " packets\n", "limit",
               list_number(limits, "max_packets"));
    }
}


static void
list_targets(const json_t *list)
{
    char           name[LIST_MAX_TEXT], address[LIST_MAX_TEXT];
    char           state[LIST_MAX_TEXT], error[LIST_MAX_TEXT], bytes[16];
    size_t         i;
    const json_t  *t;

    printf("\n%-44s  %-24s  %-8s  %10s  %8s\n", "INSTANCE", "ADDRESS",
           "STATE", "PACKETS", "BYTES");

    for (i = 0; i < json_array_size(list); i++) {
        t = json_array_get(list, i);
        text_bytes(bytes, list_number(t, "bytes"));
        list_text(error, t, "error", 200);

        printf("%-44s  %-24s  %-8s  %10" PRIu64 "  %8s%s%s\n",
               list_text(name, t, "name", 44),
               list_text(address, t, "address", 48),
               list_text(state, t, "state", 8), list_number(t, "packets"),
               bytes, *error != '\0' ? "  " : "", error);
    }
}


/* What is in the storage. */
static void
list_stored(const json_t *doc)
{
    char           text[LIST_MAX_TEXT], bytes[16];
    const json_t  *stored;

    stored = json_object_get(doc, "stored");

    if (!json_is_object(stored)) {
        return;
    }

    text_bytes(bytes, list_number(stored, "bytes"));
    printf("%-10s %s, %s (%" PRIu64 " bytes)\n", "stored",
           list_text(text, stored, "state", 20), bytes,
           list_number(stored, "bytes"));

    if (json_is_string(json_object_get(stored, "compression"))) {
        printf("%-10s %s, %" PRIu64 " bytes when decompressed\n",
               "compressed", list_text(text, stored, "compression", 20),
               list_number(stored, "uncompressed_bytes"));
    }

    if (list_number(stored, "lost")) {
        printf("%-10s %" PRIu64 " bytes are not in the file\n", "lost",
               list_number(stored, "lost"));
    }

    list_line(stored, "detail", "detail");
    list_line(stored, "sha256", "sha256");
    list_line(stored, "expires", "expires");
    list_line(stored, "gone", "gone");
}


static void
list_print(const json_t *doc)
{
    char           text[LIST_MAX_TEXT];
    const json_t  *targets;

    list_line(doc, "id", "id");
    list_target(text, sizeof(text), doc, 300);
    printf("%-10s %s\n", "target", text);
    list_line(doc, "state", "state");
    list_line(doc, "status", "status");
    list_line(doc, "end_reason", "end");
    list_line(doc, "user", "user");
    list_line(doc, "client", "client");
    list_line(doc, "reason", "reason");
    list_line(doc, "filter", "filter");
    list_line(doc, "started", "started");
    list_line(doc, "ended", "ended");
    list_limits(doc);
    text_bytes(text, list_bytes(doc));
    printf("%-10s %" PRIu64 ", %s, dropped %" PRIu64 ", late %" PRIu64 "\n",
           "packets", list_number(doc, "packets"), text,
           list_number(doc, "dropped"), list_number(doc, "late"));
    list_line(json_object_get(doc, "ledger"), "unknown_since", "unknown");
    list_stored(doc);

    targets = json_object_get(doc, "targets");

    if (json_array_size(targets) != 0) {
        list_targets(targets);
    }
}


cli_exit_t
list_show(const opt_t *opt, const conf_t *conf, msg_t *msg)
{
    api_t       api = { conf, msg };
    char        path[API_MAX_PATH];
    json_t     *doc;
    cli_exit_t  code;

    snprintf(path, sizeof(path), "/v1/captures/%s", opt->target);

    code = list_fetch(opt, &api, path, &doc);
    if (code != CLI_OK) {
        return code;
    }

    if (opt_count(opt, OPT_JSON)) {
        list_dump(doc);

    } else {
        list_print(doc);
    }

    json_decref(doc);

    return CLI_OK;
}
