/*
 * cli/problem.c: reads problem documents. Members of a wrong type count as
 * absent; texts are cleaned where they are printed (msg.c) and here bounded.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "problem.h"


#define PROBLEM_MAX_TARGETS  50


json_t *
problem_parse(const reply_t *r)
{
    json_t  *doc;

    if (!reply_is(r, "application/problem+json") || r->body == NULL) {
        return NULL;
    }

    doc = json_loadb(r->body, r->body_len, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(doc)) {
        json_decref(doc);
        return NULL;
    }

    return doc;
}


static const char *
problem_text(const json_t *object, const char *name)
{
    const char  *s;

    s = json_string_value(json_object_get(object, name));

    return s != NULL ? s : "";
}


static void
problem_targets(msg_t *m, const json_t *list)
{
    size_t        i, n;
    const char   *type;
    const json_t  *one;

    n = json_array_size(list);

    for (i = 0; i < n && i < PROBLEM_MAX_TARGETS; i++) {
        one = json_array_get(list, i);
        type = problem_text(one, "type");

        msg_error(m, "  %.200s: %.100s%s%.800s", problem_text(one, "name"),
                  type, *type != '\0' ? ": " : "",
                  problem_text(one, "detail"));
    }

    if (n > PROBLEM_MAX_TARGETS) {
        msg_error(m, "  ... and %zu more", n - PROBLEM_MAX_TARGETS);
    }
}


/* An answer that is no problem document. */
static void
problem_plain(msg_t *m, const reply_t *r, char *summary, size_t max)
{
    if (r->status >= 300 && r->status < 400) {
        snprintf(summary, max, "the API redirects to %s (HTTP %ld);"
                 " redirects are not followed, give the right -u URL",
                 r->location[0] != '\0' ? r->location : "nowhere", r->status);

    } else if (r->status == 200) {
        snprintf(summary, max, "the answer is not a capture; is this the"
                 " address of a pcap API?");

    } else {
        snprintf(summary, max, "HTTP %ld, without a word why; is this the"
                 " address of a pcap API?", r->status);
    }

    msg_error(m, "%s", summary);
}


void
problem_print(msg_t *m, const reply_t *r, const json_t *doc, char *summary,
    size_t max)
{
    const char  *title, *detail, *id;

    if (doc == NULL) {
        problem_plain(m, r, summary, max);
        return;
    }

    title = problem_text(doc, "title");
    detail = problem_text(doc, "detail");

    snprintf(summary, max, "%.200s (HTTP %ld)%s%.1000s",
             *title != '\0' ? title : "refused", r->status,
             *detail != '\0' ? ": " : "", detail);
    msg_error(m, "%s", summary);

    problem_targets(m, json_object_get(doc, "targets"));

    if (r->status == 429 && r->has_retry_after) {
        msg_error(m, "  try again in %" PRIu64 " s", r->retry_after_s);
    }

    id = problem_text(doc, "request_id");
    if (*id != '\0') {
        msg_error(m, "  request id %.64s", id);
    }
}
