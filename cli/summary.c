/*
 * cli/summary.c: prints the outcome. Where the API's verdict on an instance
 * is missing, its counts are those of its last statistics, and it says since
 * when nothing is known.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "summary.h"
#include "text.h"


/* With more instances only those are listed that lost something. */
#define SUMMARY_MAX_ROWS  40

#define SUMMARY_MAX_NAME  60

/* A peer's counter may be anything; JSON's integers here are signed. */
#define SUMMARY_INT(n)  (json_int_t) ((n) > INT64_MAX ? INT64_MAX : (n))


void
summary_time(char dst[32], uint64_t ns)
{
    char       date[24];
    time_t     sec;
    struct tm  tm;

    sec = (time_t) (ns / 1000000000);

    if (gmtime_r(&sec, &tm) == NULL
        || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
    {
        snprintf(dst, 32, "?");
        return;
    }

    snprintf(dst, 32, "%s.%03uZ", date, (unsigned) (ns / 1000000 % 1000));
}


static uint64_t
summary_received(const stats_instance_t *in)
{
    return in->verdict.present & STATUS_HAS_RECEIVED ? in->verdict.received
                                                     : in->received;
}


/* Since when the counts of an instance are not known; "" when they are. */
static void
summary_unknown(char dst[48], const outcome_t *o, const stats_instance_t *in)
{
    dst[0] = '\0';

    if (in->verdict.unknown_since[0] != '\0') {
        snprintf(dst, 48, "%.40s", in->verdict.unknown_since);

    } else if (in->verdict.status == STATUS_NONE) {
        summary_time(dst, o->stats->last_ns);
    }
}


static int
summary_is_quiet(const stats_instance_t *in)
{
    return stats_instance_dropped(in) == 0
           && in->verdict.status != STATUS_NONE
           && in->verdict.status <= STATUS_LIMIT
           && in->verdict.unknown_since[0] == '\0';
}


static void
summary_table(msg_t *m, const outcome_t *o)
{
    char                     since[48];
    size_t                   len, width;
    uint32_t                 i, left_out;
    const stats_t           *st;
    const stats_instance_t  *in;

    st = o->stats;
    width = sizeof("INSTANCE") - 1;
    left_out = 0;

    for (i = 0; i < st->ninstances; i++) {
        len = strlen(st->instances[i].name);
        if (len > width) {
            width = len < SUMMARY_MAX_NAME ? len : SUMMARY_MAX_NAME;
        }
    }

    msg_note(m, "%-*s %12s %12s %12s", (int) width, "INSTANCE", "RECEIVED",
             "CAPTURED", "DROPPED");

    for (i = 0; i < st->ninstances; i++) {
        in = &st->instances[i];

        if (st->ninstances > SUMMARY_MAX_ROWS && summary_is_quiet(in)) {
            left_out++;
            continue;
        }

        summary_unknown(since, o, in);

        msg_note(m, "%-*s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "%s%s%s%s",
                 (int) width, in->name, summary_received(in), in->packets,
                 stats_instance_dropped(in),
                 in->verdict.status > STATUS_LIMIT ? "  " : "",
                 in->verdict.status > STATUS_LIMIT
                 ? status_name(in->verdict.status) : "",
                 since[0] != '\0' ? "  unknown since " : "", since);
    }

    if (left_out > 0) {
        msg_note(m, "... and %u that lost nothing", left_out);
    }
}


/* Where packets were lost: a line for each place that lost some. */
static void
summary_places(msg_t *m, const stats_t *st)
{
    int       i;
    uint64_t  n;

    static const char *const  texts[] = {
        "dropped by the kernel, before the agent could take them",
        "dropped by the agent",
        "dropped at the stop, not drained in time",
        "left out behind the limit",
    };

    for (i = 0; i < NPLACES; i++) {
        n = stats_place(st, (place_t) i);

        if (n > 0) {
            msg_note(m, "%12" PRIu64 " %s", n, texts[i]);
        }
    }
}


void
summary_print(msg_t *m, const outcome_t *o)
{
    char             late[48], bytes[16];
    const stats_t   *st;

    st = o->stats;

    if (o->began && st->ninstances > 0) {
        summary_table(m, o);
    }

    late[0] = '\0';
    if (stats_late(st) > 0) {
        snprintf(late, sizeof(late), ", %" PRIu64 " out of order",
                 stats_late(st));
    }

    text_bytes(bytes, st->bytes);

    if (o->began) {
        msg_note(m, "%" PRIu64 " packets (%s) of %u instance%s in %" PRIu64
                 ".%" PRIu64 " s, %" PRIu64 " dropped%s%s%s",
                 st->packets, bytes, st->ninstances,
                 st->ninstances == 1 ? "" : "s", o->duration_ms / 1000,
                 o->duration_ms % 1000 / 100, stats_dropped(st), late,
                 o->file != NULL ? ": " : "",
                 o->file != NULL ? o->file : "");
    }

    /* Problems before the stream have been told already. */
    if (!o->began) {
        return;
    }

    summary_places(m, st);

    if (o->written_packets != st->packets) {
        (o->verdict->code == CLI_OK ? msg_note : msg_error)(m,
            "only %" PRIu64 " of %" PRIu64 " packets were written",
            o->written_packets, st->packets);
    }

    if (o->verdict->code == CLI_OK) {
        msg_note(m, "%s", o->verdict->text);

    } else {
        msg_error(m, "%s", o->verdict->text);
    }
}


static json_t *
summary_json_drops(const uint64_t *places)
{
    int      i;
    json_t  *drops;

    drops = json_object();

    for (i = 0; i < NPLACES; i++) {
        json_object_set_new(drops, place_name((place_t) i),
                            json_integer(SUMMARY_INT(places[i])));
    }

    return drops;
}


/* What has become of the packets of an instance; see docs/PROTOCOL.md. */
static json_t *
summary_json_ledger(const stats_instance_t *in)
{
    int       i;
    uint64_t  places[NPLACES];

    for (i = 0; i < NPLACES; i++) {
        places[i] = stats_instance_place(in, (place_t) i);
    }

    return json_pack("{s:I, s:I, s:i, s:I, s:o}",
                     "seen", SUMMARY_INT(summary_received(in)),
                     "delivered", SUMMARY_INT(in->packets),
                     "filtered", 0,
                     "in_flight", SUMMARY_INT(in->verdict.in_flight),
                     "dropped", summary_json_drops(places));
}


static json_t *
summary_json_instance(const outcome_t *o, uint32_t n)
{
    char                     since[48];
    json_t                  *one, *list;
    uint32_t                 i;
    const stats_t           *st;
    const stats_instance_t  *in;

    st = o->stats;
    in = &st->instances[n];
    summary_unknown(since, o, in);

    list = json_array();

    for (i = in->first; i < st->nifaces; i++) {
        if (st->ifaces[i].instance == n) {
            json_array_append_new(list, json_pack("{s:s, s:i, s:I, s:I}",
                "name", st->ifaces[i].name,
                "link_type", (int) st->ifaces[i].linktype,
                "packets", SUMMARY_INT(st->ifaces[i].packets),
                "bytes", SUMMARY_INT(st->ifaces[i].bytes)));
        }
    }

    one = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o}",
                    "name", in->name,
                    "status", status_name(in->verdict.status),
                    "received", SUMMARY_INT(summary_received(in)),
                    "packets", SUMMARY_INT(in->packets),
                    "bytes", SUMMARY_INT(in->bytes),
                    "dropped", SUMMARY_INT(stats_instance_dropped(in)),
                    "interfaces", list);

    if (one != NULL && since[0] != '\0') {
        json_object_set_new(one, "unknown_since", json_string(since));
    }

    if (one != NULL) {
        json_object_set_new(one, "ledger", summary_json_ledger(in));
    }

    return one;
}


json_t *
summary_json(const outcome_t *o, json_t *messages, json_t *problem)
{
    json_t         *doc, *list;
    uint32_t        i;
    uint64_t        places[NPLACES];
    const stats_t  *st;

    st = o->stats;
    list = json_array();

    for (i = 0; i < st->ninstances; i++) {
        json_array_append_new(list, summary_json_instance(o, i));
    }

    doc = json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I,"
                    " s:o, s:o}",
                    "status", status_name(o->verdict->status),
                    "exit_code", (int) o->verdict->code,
                    "text", o->verdict->text,
                    "format", o->format,
                    "packets", SUMMARY_INT(st->packets),
                    "bytes", SUMMARY_INT(st->bytes),
                    "dropped", SUMMARY_INT(stats_dropped(st)),
                    "late", SUMMARY_INT(stats_late(st)),
                    "written_packets", SUMMARY_INT(o->written_packets),
                    "duration_ms", SUMMARY_INT(o->duration_ms),
                    "instances", list,
                    "messages", messages);

    if (doc == NULL) {
        json_decref(problem);
        return NULL;
    }

    for (i = 0; i < NPLACES; i++) {
        places[i] = stats_place(st, (place_t) i);
    }

    json_object_set_new(doc, "drops", summary_json_drops(places));
    json_object_set_new(doc, "written_bytes",
                        json_integer(SUMMARY_INT(o->written_bytes)));
    json_object_set_new(doc, "parts", json_integer(o->parts));
    json_object_set_new(doc, "gaps", json_integer(o->gaps));
    json_object_set_new(doc, "http_status", json_integer(o->http_status));
    json_object_set_new(doc, "file", o->file != NULL ? json_string(o->file)
                                                     : json_null());

    if (o->capture_id[0] != '\0') {
        json_object_set_new(doc, "capture_id", json_string(o->capture_id));
    }

    if (o->stored) {
        json_object_set_new(doc, "stored", json_true());
    }

    if (o->request_id[0] != '\0') {
        json_object_set_new(doc, "request_id", json_string(o->request_id));
    }

    if (problem != NULL) {
        json_object_set_new(doc, "problem", problem);
    }

    return doc;
}
