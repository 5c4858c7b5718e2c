/*
 * cli/verdict.c: decides. The order matters: what went wrong here comes
 * before what the API says, a count that does not fit before its good word,
 * and of two words of the API the worse one counts.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "verdict.h"


cli_exit_t
verdict_http(long status)
{
    return status == 401 || status == 403 ? CLI_DENIED : CLI_FAILED;
}


static void __attribute__((format(printf, 3, 4)))
verdict_set(verdict_t *v, cli_exit_t code, const char *fmt, ...)
{
    va_list  ap;

    v->code = code;

    va_start(ap, fmt);
    vsnprintf(v->text, sizeof(v->text), fmt, ap);
    va_end(ap);
}


/* Faults of this side. Returns 1 when one decides. */
static int
verdict_local(verdict_t *v, const facts_t *f)
{
    switch (f->stop) {

    case STOP_WRITE_FAILED:
        verdict_set(v, CLI_FAILED, "failed: the capture could not be"
                    " written");
        return 1;

    case STOP_MIXED_LINKS:
        verdict_set(v, CLI_FAILED, "failed: the interfaces have different"
                    " link types, which pcap cannot hold; use --format"
                    " pcapng");
        return 1;

    case STOP_BAD_STREAM:
        verdict_set(v, CLI_FAILED, "failed: the API sent a malformed"
                    " stream");
        return 1;

    default:
        return 0;
    }
}


/* Counts that do not fit each other. Returns 1 when they do not. */
static int
verdict_counts(verdict_t *v, const facts_t *f)
{
    const message_status_t  *in;

    in = f->inband;

    if (f->trailers.present & STATUS_HAS_PACKETS
        && f->trailers.packets != f->packets)
    {
        verdict_set(v, CLI_FAILED, "failed: %" PRIu64 " packets came, but"
                    " the API says it sent %" PRIu64, f->packets,
                    f->trailers.packets);
        return 1;
    }

    if (in->present & STATUS_HAS_PACKETS && in->packets != f->packets) {
        verdict_set(v, CLI_FAILED, "failed: %" PRIu64 " packets came, but"
                    " the stream says there are %" PRIu64, f->packets,
                    in->packets);
        return 1;
    }

    if (f->trailers.present & STATUS_HAS_DROPPED
        && in->present & STATUS_HAS_DROPPED
        && f->trailers.dropped != in->dropped)
    {
        verdict_set(v, CLI_FAILED, "failed: the API counts %" PRIu64
                    " dropped packets in its trailer, but %" PRIu64
                    " in the stream", f->trailers.dropped, in->dropped);
        return 1;
    }

    return 0;
}


/* The stream did not end as it should. */
static void
verdict_cut(verdict_t *v, const facts_t *f)
{
    /* An error is told in-band, and the end is cut on purpose. */
    if (f->inband->status == STATUS_ERROR) {
        verdict_set(v, CLI_FAILED, "failed: the API ended the capture with"
                    " an error");
        return;
    }

    if (f->late_stop) {
        verdict_set(v, CLI_PARTIAL, "cut: the API did not end the capture in"
                    " time");
        return;
    }

    if (f->unknown) {
        verdict_set(v, CLI_PARTIAL, "cut: the API that was asked to stop the"
                    " capture does not know it, so the connection was"
                    " closed");
        return;
    }

    if (f->quit) {
        verdict_set(v, CLI_PARTIAL, "cut: quit before the API had ended the"
                    " capture");
        return;
    }

    verdict_set(v, CLI_PARTIAL, "cut: the stream ended before the API said"
                " how it went; packets may be missing");
}


static void
verdict_limit(verdict_t *v, const facts_t *f)
{
    if (f->limits != 0 && (f->limits & ~f->user_limits) == 0) {
        verdict_set(v, CLI_OK, "limit reached:%s%s%s",
                    f->limits & LIMIT_DURATION ? " --duration" : "",
                    f->limits & LIMIT_MAX_BYTES ? " --max-bytes" : "",
                    f->limits & LIMIT_MAX_PACKETS ? " --max-packets" : "");
        return;
    }

    verdict_set(v, CLI_PARTIAL, "partial: a limit of the API was reached");
}


/* By its user here or elsewhere, or by somebody else. */
static void
verdict_stopped(verdict_t *v, const facts_t *f)
{
    if (f->stop != STOP_NONE || f->stopped_by == NULL
        || f->stopped_by[0] == '\0'
        || strcmp(f->stopped_by, "stopped by request") == 0)
    {
        verdict_set(v, CLI_OK, "stopped");
        return;
    }

    verdict_set(v, CLI_PARTIAL, "partial: the API has ended the capture: %s",
                f->stopped_by);
}


static void
verdict_word(verdict_t *v, const facts_t *f)
{
    switch (v->status) {

    case STATUS_COMPLETE:
        verdict_set(v, CLI_OK, f->stop == STOP_NONE ? "complete" : "stopped");
        return;

    case STATUS_STOPPED:
        verdict_stopped(v, f);
        return;

    case STATUS_LIMIT:
        verdict_limit(v, f);
        return;

    case STATUS_PARTIAL:
        if (f->gaps > 0) {
            verdict_set(v, CLI_PARTIAL, "partial: the stream was cut;"
                        " packets may be missing in %u place%s, see the"
                        " GAP message%s", f->gaps, f->gaps == 1 ? "" : "s",
                        f->gaps == 1 ? "" : "s");
            return;
        }

        verdict_set(v, CLI_PARTIAL, "partial: not every instance was"
                    " captured to the end");
        return;

    case STATUS_ERROR:
        verdict_set(v, CLI_FAILED, "failed: the API ended the capture with"
                    " an error");
        return;

    default:
        verdict_set(v, CLI_FAILED, "failed: the API's verdict is not one"
                    " that this version knows");
        return;
    }
}


void
verdict_judge(verdict_t *v, const facts_t *f)
{
    memset(v, 0, sizeof(verdict_t));

    v->status = f->trailers.status;
    if (f->inband->status > v->status) {
        v->status = f->inband->status;
    }

    if (verdict_local(v, f)) {
        return;
    }

    if (!f->ended || v->status == STATUS_NONE) {
        verdict_cut(v, f);
        return;
    }

    if (verdict_counts(v, f)) {
        return;
    }

    /* Whatever the API says of the last part. */
    if (f->gaps > 0 && v->status < STATUS_PARTIAL) {
        v->status = STATUS_PARTIAL;
    }

    verdict_word(v, f);
}
