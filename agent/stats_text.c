/*
 * agent/stats_text.c: the totals for Prometheus (exposition format 0.0.4,
 * prometheus.io/docs/instrumenting/exposition_formats). Names and labels are
 * in docs/PROTOCOL.md and stay as they are. No peer and no capture is a
 * label.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "pcapx/version.h"
#include "stats.h"


/* 30 metrics with their two lines of comment have 5 KiB. */
#define STATS_TEXT_LEN  16384

typedef struct {
    char   *pos;
    char   *end;
} stats_out_t;

typedef struct {
    const char   *name;
    const char   *type;
    size_t        offset;
    const char   *help;
} stats_metric_t;


static void stats_put(stats_out_t *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void stats_put_head(stats_out_t *o, const char *name,
    const char *type, const char *help);
static void stats_put_endings(stats_out_t *o, const stats_totals_t *t);
static void stats_put_refusals(stats_out_t *o, const stats_totals_t *t);

#define field(name)  offsetof(stats_totals_t, name)


static const stats_metric_t  stats_metrics[] = {
    { "captures_running", "gauge", field(running),
      "Captures that run now." },
    { "captures_max", "gauge", field(max_captures),
      "As many may (max_captures)." },
    { "draining", "gauge", field(draining), "1 after SIGTERM." },
    { "switched_off", "gauge", field(off),
      "1 while off_file is there or enabled is false." },
    { "captures_started_total", "counter", field(started),
      "Captures that began to stream." },
    { "files_running", "gauge", field(files_running),
      "Requests for files that are served now." },
    { "files_served_total", "counter", field(files_served),
      "Requests for files that were let in." },
    { "packets_seen_total", "counter", field(seen),
      "Packets that passed a filter, dropped ones included." },
    { "packets_written_total", "counter", field(written),
      "Packets that were handed to a stream." },
    { "packets_dropped_kernel_total", "counter", field(dropped),
      "Packets that passed a filter and found the ring full." },
    { "sent_bytes_total", "counter", field(bytes),
      "Bytes of the streams, before TLS." },
    { "handshake_failures_total", "counter", field(handshake_failed),
      "Connections that were no client with an allowed name." },
    { "connections_turned_away_total", "counter", field(turned_away),
      "Connections closed without a process (max_unauthenticated)." },
    { "filter_refusals_total", "counter", field(filter_refused),
      "Filters that did not compile." },
    { "sandbox_kills_total", "counter", field(sandbox_kills),
      "Processes that did what their sandbox forbids (SIGSYS)." },
    { NULL, NULL, 0, NULL }
};

static const char  *const stats_refusals[STATS_NREFUSALS] = {
    [STATS_REQUEST] = "request",
    [STATS_FILTER] = "filter",
    [STATS_INTERFACE] = "interface",
    [STATS_CONTAINER] = "container",
    [STATS_FILES] = "files",
    [STATS_POLICY] = "policy",
    [STATS_OFF] = "switched_off",
    [STATS_TIMEOUT] = "timeout",
    [STATS_MAX_CAPTURES] = "max_captures",
    [STATS_BUFFERS] = "buffer_bytes_total",
    [STATS_DRAINING] = "draining",
    [STATS_INTERNAL] = "internal"
};


char *
stats_text(const stats_totals_t *t)
{
    char                   *text;
    stats_out_t             o;
    const stats_metric_t   *m;

    text = malloc(STATS_TEXT_LEN);
    if (text == NULL) {
        return NULL;
    }

    o.pos = text;
    o.end = text + STATS_TEXT_LEN;
    *text = '\0';

    stats_put_head(&o, "info", "gauge", "The version, in a label.");
    stats_put(&o, "pcap_agent_info{version=\"" PCAP_VERSION "\"} 1\n");

    for (m = stats_metrics; m->name; m++) {
        stats_put_head(&o, m->name, m->type, m->help);
        stats_put(&o, "pcap_agent_%s %llu\n", m->name,
                  *(const unsigned long long *) (const void *)
                  ((const char *) t + m->offset));
    }

    stats_put_head(&o, "cpu_seconds_total", "counter",
                   "CPU time of the agent and all its processes.");
    stats_put(&o, "pcap_agent_cpu_seconds_total %llu.%09llu\n",
              (unsigned long long) (t->cpu_ns / 1000000000),
              (unsigned long long) (t->cpu_ns % 1000000000));

    stats_put_endings(&o, t);
    stats_put_refusals(&o, t);

    return text;
}


static void
stats_put_endings(stats_out_t *o, const stats_totals_t *t)
{
    unsigned  i;

    stats_put_head(o, "captures_ended_total", "counter",
                   "Captures that ended, by reason.");

    for (i = 0; i < ENDING_COUNT; i++) {
        stats_put(o, "pcap_agent_captures_ended_total{reason=\"%s\"} %llu\n",
                  ending_text(i)->label, (unsigned long long) t->ended[i]);
    }
}


static void
stats_put_refusals(stats_out_t *o, const stats_totals_t *t)
{
    unsigned  i;

    stats_put_head(o, "requests_refused_total", "counter",
                   "Requests that got a problem document, by reason.");

    for (i = 0; i < STATS_NREFUSALS; i++) {
        stats_put(o, "pcap_agent_requests_refused_total{reason=\"%s\"} "
                  "%llu\n", stats_refusals[i],
                  (unsigned long long) t->refused[i]);
    }
}


static void
stats_put_head(stats_out_t *o, const char *name, const char *type,
    const char *help)
{
    stats_put(o, "# HELP pcap_agent_%s %s\n# TYPE pcap_agent_%s %s\n", name,
              help, name, type);
}


/* What does not fit is left out; a test sees that all of it does. */

static void
stats_put(stats_out_t *o, const char *fmt, ...)
{
    int      n;
    va_list  ap;

    va_start(ap, fmt);
    n = vsnprintf(o->pos, (size_t) (o->end - o->pos), fmt, ap);
    va_end(ap);

    if (n > 0 && n < o->end - o->pos) {
        o->pos += n;
    }
}
