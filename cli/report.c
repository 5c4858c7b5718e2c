/*
 * cli/report.c: the end of a capture: gathers the facts, has them judged, and
 * tells people and programs. Nothing here waits for anything.
 */

#include <string.h>

#include "capture.h"
#include "problem.h"
#include "summary.h"
#include "text.h"


/* Which limits did the user set? */
static unsigned
report_user_limits(const opt_t *o)
{
    unsigned  bits;

    bits = 0;

    if (opt_count(o, OPT_DURATION)) {
        bits |= LIMIT_DURATION;
    }

    if (opt_count(o, OPT_MAX_BYTES)) {
        bits |= LIMIT_MAX_BYTES;
    }

    if (opt_count(o, OPT_MAX_PACKETS)) {
        bits |= LIMIT_MAX_PACKETS;
    }

    return bits;
}


static void
report_judge(capture_t *c, verdict_t *v)
{
    facts_t          f;
    rejoin_totals_t  totals;

    memset(&f, 0, sizeof(f));

    f.stop = c->stop;
    f.trailers = c->leg->request.reply.trailers;
    f.inband = &c->stream.stats.verdict;
    f.packets = c->stream.stats.packets;
    f.limits = c->stream.stats.limits;
    f.stopped_by = c->stopped_by;
    f.user_limits = report_user_limits(c->opt);
    f.late_stop = c->late_stop;
    f.unknown = c->unknown;
    f.quit = c->quit && !c->silent;
    f.ended = c->ended;

    if (c->rejoin != NULL) {
        totals = rejoin_totals(c->rejoin);
        f.gaps = totals.gaps;
        f.limits |= totals.limits;

        if (totals.parts > 1) {
            rejoin_trailers(c->rejoin, c->leg->place, &f.trailers);
        }
    }

    verdict_judge(v, &f);
}


/* There was no stream: say why. Returns a problem document or NULL. */
static json_t *
report_refused(capture_t *c, verdict_t *v)
{
    json_t   *doc;
    reply_t  *reply;

    reply = &c->leg->request.reply;
    memset(v, 0, sizeof(verdict_t));
    v->code = CLI_FAILED;

    if (c->stop == STOP_USER || c->stop == STOP_READER_GONE) {
        snprintf(v->text, sizeof(v->text), "interrupted before the capture"
                 " began");
        msg_error(c->msg, "%s", v->text);
        return NULL;
    }

    if (c->silent || reply->status == 0 || !reply->got_head) {
        snprintf(v->text, sizeof(v->text), "no answer from %.100s: %.200s%s",
                 c->conf->host, c->silent ? "timeout"
                 : c->transferred ? api_error(&c->leg->request, c->leg->rc)
                 : "the connection was given up",
                 !c->silent && c->transferred
                 ? api_hint(&c->leg->request, c->leg->rc) : "");

        if (!c->silent) {
            msg_error(c->msg, "%s", v->text);
        }

        return NULL;
    }

    if (reply->status == 401 && c->conf->again) {
        v->code = CLI_AGAIN;
        return NULL;
    }

    doc = problem_parse(reply);
    problem_print(c->msg, reply, doc, v->text, sizeof(v->text));
    v->code = verdict_http(reply->status);

    return doc;
}


static void
report_print_json(capture_t *c, const outcome_t *o, json_t *problem)
{
    FILE    *f;
    json_t  *doc;

    doc = summary_json(o, json_incref(c->messages), problem);
    if (doc == NULL) {
        msg_error(c->msg, "out of memory");
        return;
    }

    /* Standard output may be the capture. */
    f = c->path == NULL ? stderr : stdout;

    msg_wipe(c->msg);
    json_dumpf(doc, f, JSON_ENSURE_ASCII|JSON_COMPACT);
    fprintf(f, "\n");
    fflush(f);
    json_decref(doc);
}


/* With --tee. */
static void
report_stored(const capture_t *c, const outcome_t *o)
{
    if (!o->stored || o->capture_id[0] == '\0') {
        return;
    }

    if (c->ended) {
        msg_note(c->msg, "also in storage: pcap-cli get %s", o->capture_id);

    } else {
        msg_error(c->msg, "what is in storage, now or at its end, does not"
                  " depend on this end: pcap-cli show %s", o->capture_id);
    }
}


cli_exit_t
report_print(capture_t *c)
{
    char        file[512];
    json_t     *problem;
    outcome_t   o;
    verdict_t   v;

    memset(&o, 0, sizeof(o));
    problem = NULL;
    o.began = c->began_ms != 0;
    o.stored = o.began && opt_count(c->opt, OPT_TEE);

    if (o.began) {
        if (c->transferred && c->leg->rc != CURLE_OK
            && !c->relay.down && c->stop != STOP_BAD_STREAM)
        {
            msg_error(c->msg, "the connection broke: %s",
                      api_error(&c->leg->request, c->leg->rc));
        }

        report_judge(c, &v);

    } else {
        problem = report_refused(c, &v);

        if (v.code == CLI_AGAIN) {
            return v.code;
        }
    }

    if (c->path != NULL && c->out.bytes > 0) {
        text_clean(file, sizeof(file), c->path, strlen(c->path));
        o.file = file;
    }

    o.stats = &c->stream.stats;
    o.verdict = &v;
    o.capture_id = c->leg->request.reply.capture_id;
    o.request_id = c->leg->request.reply.request_id;
    o.target = c->opt->target;
    o.format = c->convert ? "pcap" : "pcapng";
    o.written_packets = c->written_packets;
    o.written_bytes = c->out.bytes;
    o.duration_ms = o.began ? c->ended_ms - c->began_ms : 0;
    o.parts = o.began;

    if (c->rejoin != NULL) {
        o.parts = rejoin_totals(c->rejoin).parts;
        o.gaps = rejoin_totals(c->rejoin).gaps;
    }

    o.http_status = c->leg->request.reply.status;

    summary_print(c->msg, &o);
    report_stored(c, &o);

    if (opt_count(c->opt, OPT_JSON)) {
        report_print_json(c, &o, problem);

    } else {
        json_decref(problem);
    }

    return v.code;
}
