/*
 * module/metrics_text.c: /metrics, in Prometheus' text format, version 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats). Counters come from
 * module/metrics.h, gauges from the rows of the registry. No user and no
 * capture id is in it: whoever reads it needs no token.
 */

#include "module/shm.h"


#define NGX_PCAP_API_METRICS_SIZE  131072     /* some four times of all */

#define NGX_PCAP_API_AGENT_STATES  (NGX_PCAP_API_AGENT_FAILED + 1)

/* Where text goes; at last there is no room left. */

typedef struct {
    u_char                    *pos;
    u_char                    *last;
} ngx_pcap_api_text_t;

/* What the rows say now. */

typedef struct {
    ngx_uint_t   captures[NGX_PCAP_API_RESOLVERS][NGX_PCAP_API_ROW_ENDED];
    ngx_uint_t   targets[NGX_PCAP_API_AGENT_STATES];
    ngx_uint_t   checks;                   /* of tokens, under way */
    ngx_uint_t   kept;                     /* rows that have ended */
    ngx_uint_t   free;                     /* pages */
    ngx_uint_t   pages;
} ngx_pcap_api_gauges_t;

/* A family of counters of each resolver: one, or one for each label. */

typedef struct {
    const char                *name;
    const char                *help;
    const char                *label;      /* of values, or NULL */
    const char *const         *values;
    ngx_uint_t                 first;
    ngx_uint_t                 n;
} ngx_pcap_api_family_t;


static const char *const  ngx_pcap_api_route_names[] = {
    "capture", "status", "captures", "stop", "token", "files", "other"
};

static const char *const  ngx_pcap_api_download_names[] = {
    "complete", "partial", "cut"
};

/* Those of ngx_pcap_api_buckets, in seconds. */

static const char *const  ngx_pcap_api_bounds[NGX_PCAP_API_BUCKETS] = {
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5",
    "10", "30"
};

static const char *const  ngx_pcap_api_place_names[] = {
    "kernel", "agent", "stop", "limit"
};

static const char *const  ngx_pcap_api_row_states[] = {
    "starting", "running", "stopping"
};

static const char *const  ngx_pcap_api_agent_states[] = {
    "new", "opening", "ready", "closed", "failed"
};


static const ngx_pcap_api_family_t  ngx_pcap_api_of_resolvers[] = {
    { "resolve_failures_total", "Questions to the platform without a usable "
      "answer.", NULL, NULL, NGX_PCAP_API_RC_NOT_RESOLVED, 1 },
    { "captures_started_total", "Captures whose response has begun.",
      NULL, NULL, NGX_PCAP_API_RC_STARTED, 1 },
    { "captures_ended_total", "Captures that had begun and ended, by status.",
      "status", ngx_pcap_api_status_names, NGX_PCAP_API_RC_ENDED,
      NGX_PCAP_API_ERROR + 1 },
    { "packets_total", "Packets delivered.",
      NULL, NULL, NGX_PCAP_API_RC_PACKETS, 1 },
    { "packet_bytes_total", "Captured bytes of the packets delivered.",
      NULL, NULL, NGX_PCAP_API_RC_BYTES, 1 },
    { "client_bytes_total", "Bytes handed to the sockets of clients.",
      NULL, NULL, NGX_PCAP_API_RC_SENT, 1 },
    { "seen_packets_total", "Packets that passed a filter at an agent.",
      NULL, NULL, NGX_PCAP_API_RC_SEEN, 1 },
    { "dropped_packets_total", "Packets that were seen, not delivered, by "
      "place.", "place", ngx_pcap_api_place_names, NGX_PCAP_API_RC_KERNEL, 4 },
    { "late_packets_total", "Packets delivered out of order, too late.",
      NULL, NULL, NGX_PCAP_API_RC_LATE, 1 },
    { "unknown_streams_total", "Streams of agents that ended without a last "
      "report: what they lost is not known.",
      NULL, NULL, NGX_PCAP_API_RC_UNKNOWN, 1 },
    { NULL, NULL, NULL, NULL, 0, 0 }
};

static const ngx_pcap_api_family_t  ngx_pcap_api_of_all[] = {
    { "requests_total", "Requests, by route.", "route",
      ngx_pcap_api_route_names, NGX_PCAP_API_C_REQUESTS,
      NGX_PCAP_API_NROUTES },
    { "agent_failures_total", "Agents that did not start, or were lost, by "
      "type of the message.", "type", ngx_pcap_api_msg_names,
      NGX_PCAP_API_C_AGENT_FAILS, NGX_PCAP_API_MSG_STATUS },
    { "agent_connections_total", "Connections to agents begun.",
      NULL, NULL, NGX_PCAP_API_C_AGENTS, 1 },
    { "agent_streams_total", "Agents that answered and stream.",
      NULL, NULL, NGX_PCAP_API_C_AGENTS_READY, 1 },
    { "token_cache_hits_total", "Tokens whose verdict was known.",
      NULL, NULL, NGX_PCAP_API_C_CACHE_HITS, 1 },
    { "introspections_total", "Tokens introspected.",
      NULL, NULL, NGX_PCAP_API_C_INTROSPECTIONS, 1 },
    { "introspection_failures_total", "Introspections without a verdict.",
      NULL, NULL, NGX_PCAP_API_C_INTROSPECTIONS_FAILED, 1 },
    { "token_keys_fetches_total", "Fetches of token keys.",
      NULL, NULL, NGX_PCAP_API_C_KEYS_FETCHES, 1 },
    { "downloads_total", "Archives of files that have ended, by status.",
      "status", ngx_pcap_api_download_names, NGX_PCAP_API_C_DOWNLOADS,
      NGX_PCAP_API_NDOWNLOADS },
    { "download_files_total", "Files put into archives.",
      NULL, NULL, NGX_PCAP_API_C_DOWNLOAD_FILES, 1 },
    { "download_bytes_total", "Bytes of these files.",
      NULL, NULL, NGX_PCAP_API_C_DOWNLOAD_BYTES, 1 },
    { "download_missing_total", "Lines of MISSING.txt: files, and nodes.",
      NULL, NULL, NGX_PCAP_API_C_DOWNLOAD_MISSING, 1 },
    { "files_removed_total", "Files that agents have removed.",
      NULL, NULL, NGX_PCAP_API_C_FILES_REMOVED, 1 },
    { NULL, NULL, NULL, NULL, 0, 0 }
};

/* In the order of ngx_pcap_api_histogram_e; with a resolver or without. */

static const struct {
    const char                *name;
    const char                *help;
    ngx_uint_t                 resolvers;
} ngx_pcap_api_of_times[NGX_PCAP_API_NH] = {
    { "auth_seconds", "Time to check a token that was good.", 0 },
    { "resolve_seconds", "Time to find the targets.", 1 },
    { "open_seconds", "Time until all agents had answered or failed.", 1 },
    { "merge_lag_seconds", "How far the merged stream was behind the clock, "
      "four times a second for each capture whose client does not block.", 1 }
};


static void ngx_cdecl
ngx_pcap_api_put(ngx_pcap_api_text_t *t, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    t->pos = ngx_vslprintf(t->pos, t->last, fmt, args);
    va_end(args);
}


static void
ngx_pcap_api_put_head(ngx_pcap_api_text_t *t, const char *name,
    const char *help, const char *type)
{
    ngx_pcap_api_put(t, "# HELP pcap_api_%s %s\n# TYPE pcap_api_%s %s\n",
                     name, help, name, type);
}


static void
ngx_pcap_api_put_of_resolvers(ngx_pcap_api_text_t *t,
    ngx_pcap_api_counters_t *all)
{
    ngx_str_t                     name;
    ngx_uint_t                    i, k;
    const ngx_pcap_api_family_t  *f;

    for (f = ngx_pcap_api_of_resolvers; f->name; f++) {
        ngx_pcap_api_put_head(t, f->name, f->help, "counter");

        for (i = 0; i < NGX_PCAP_API_RESOLVERS; i++) {
            name = ngx_pcap_api_resolver_name(i);

            for (k = 0; k < f->n; k++) {
                ngx_pcap_api_put(t, "pcap_api_%s{resolver=\"%V\"", f->name,
                                 &name);

                if (f->label) {
                    ngx_pcap_api_put(t, ",%s=\"%s\"", f->label,
                                     f->values[k]);
                }

                ngx_pcap_api_put(t, "} %uA\n", all->of[i][f->first + k]);
            }
        }
    }
}


static void
ngx_pcap_api_put_of_all(ngx_pcap_api_text_t *t, ngx_pcap_api_counters_t *all)
{
    ngx_uint_t                    i;
    const ngx_pcap_api_family_t  *f;

    for (f = ngx_pcap_api_of_all; f->name; f++) {
        ngx_pcap_api_put_head(t, f->name, f->help, "counter");

        for (i = 0; i < f->n; i++) {
            ngx_pcap_api_put(t, "pcap_api_%s", f->name);

            if (f->label) {
                ngx_pcap_api_put(t, "{%s=\"%s\"}", f->label, f->values[i]);
            }

            ngx_pcap_api_put(t, " %uA\n", all->all[f->first + i]);
        }
    }
}


static void
ngx_pcap_api_put_seconds(ngx_pcap_api_text_t *t, const char *name,
    const char *help, ngx_atomic_t ms)
{
    ngx_pcap_api_put_head(t, name, help, "counter");
    ngx_pcap_api_put(t, "pcap_api_%s %uA.%03uA\n", name, ms / 1000,
                     ms % 1000);
}


/* Families whose labels are in no table of strings. */
static void
ngx_pcap_api_put_others(ngx_pcap_api_text_t *t, ngx_pcap_api_counters_t *all)
{
    ngx_uint_t  i;

    ngx_pcap_api_put_head(t, "refusals_total",
                          "Problem documents sent, by HTTP status.",
                          "counter");

    for (i = 0; i < NGX_PCAP_API_NREFUSALS - 1; i++) {
        ngx_pcap_api_put(t, "pcap_api_refusals_total{status=\"%ui\"} %uA\n",
                         ngx_pcap_api_refusals[i],
                         all->all[NGX_PCAP_API_C_REFUSALS + i]);
    }

    ngx_pcap_api_put(t, "pcap_api_refusals_total{status=\"other\"} %uA\n",
                     all->all[NGX_PCAP_API_C_REFUSALS + i]);

    ngx_pcap_api_put_head(t, "capture_ends_total", "Captures that had begun "
                          "and ended, by reason.", "counter");

    for (i = 0; i < NGX_PCAP_API_NENDS; i++) {
        ngx_pcap_api_put(t, "pcap_api_capture_ends_total{reason=\"%s\"} "
                         "%uA\n", i ? ngx_pcap_api_ends[i].name : "agents",
                         all->all[NGX_PCAP_API_C_ENDS + i]);
    }

    ngx_pcap_api_put_seconds(t, "client_blocked_seconds_total", "Time in "
                             "which captures waited for their clients.",
                             all->all[NGX_PCAP_API_C_BLOCKED_MS]);
    ngx_pcap_api_put_seconds(t, "throttled_seconds_total", "Time in which "
                             "captures were held back by a limit.",
                             all->all[NGX_PCAP_API_C_THROTTLED_MS]);
}


static void
ngx_pcap_api_put_time(ngx_pcap_api_text_t *t, ngx_uint_t h, ngx_uint_t i,
    ngx_pcap_api_histogram_t *time)
{
    u_char        label[64], *p;
    ngx_str_t     resolver;
    ngx_uint_t    k, with;
    const char   *name;
    ngx_atomic_t  sum, ms;

    name = ngx_pcap_api_of_times[h].name;
    with = ngx_pcap_api_of_times[h].resolvers;
    p = label;

    if (with) {
        resolver = ngx_pcap_api_resolver_name(i);
        p = ngx_slprintf(label, label + sizeof(label) - 1,
                         "resolver=\"%V\"", &resolver);
    }

    *p = '\0';

    for (k = 0, sum = 0; k < NGX_PCAP_API_BUCKETS; k++) {
        sum += time->buckets[k];
        ngx_pcap_api_put(t, "pcap_api_%s_bucket{%s%sle=\"%s\"} %uA\n",
                         name, label, with ? "," : "",
                         ngx_pcap_api_bounds[k], sum);
    }

    sum += time->buckets[k];
    ms = time->sum_ms;
    ngx_pcap_api_put(t, "pcap_api_%s_bucket{%s%sle=\"+Inf\"} %uA\n", name,
                     label, with ? "," : "", sum);
    ngx_pcap_api_put(t, "pcap_api_%s_sum%s%s%s %uA.%03uA\n", name,
                     with ? "{" : "", label, with ? "}" : "", ms / 1000,
                     ms % 1000);
    ngx_pcap_api_put(t, "pcap_api_%s_count%s%s%s %uA\n", name,
                     with ? "{" : "", label, with ? "}" : "", sum);
}


static void
ngx_pcap_api_put_times(ngx_pcap_api_text_t *t, ngx_pcap_api_counters_t *all)
{
    ngx_uint_t  h, i;

    for (h = 0; h < NGX_PCAP_API_NH; h++) {
        ngx_pcap_api_put_head(t, ngx_pcap_api_of_times[h].name,
                              ngx_pcap_api_of_times[h].help, "histogram");

        for (i = 0; i < NGX_PCAP_API_RESOLVERS; i++) {
            if (i == 0 || ngx_pcap_api_of_times[h].resolvers) {
                ngx_pcap_api_put_time(t, h, i, &all->times[h][i]);
            }
        }
    }
}


/* Looks at all rows once, under the lock; not at their targets. */
static void
ngx_pcap_api_gauges(ngx_shm_zone_t *zone, ngx_pcap_api_gauges_t *g)
{
    ngx_uint_t           i;
    ngx_queue_t         *q;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t  *row;
    ngx_pcap_api_shm_t  *sh;

    ngx_memzero(g, sizeof(ngx_pcap_api_gauges_t));
    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_shmtx_lock(&shpool->mutex);

    for (q = ngx_queue_head(&sh->rows);
         q != ngx_queue_sentinel(&sh->rows);
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (row->state < NGX_PCAP_API_ROW_ENDED) {
            g->captures[row->resolver][row->state]++;
        }

        for (i = 0; i < NGX_PCAP_API_AGENT_STATES; i++) {
            g->targets[i] += row->states[i];
        }
    }

    for (i = 0; i < NGX_PCAP_API_MAX_INFLIGHT; i++) {
        g->checks += sh->inflight[i] != 0;
    }

    g->kept = sh->nended;
    g->free = shpool->pfree;
    g->pages = shpool->last - shpool->pages;

    ngx_shmtx_unlock(&shpool->mutex);
}


static void
ngx_pcap_api_put_gauge(ngx_pcap_api_text_t *t, const char *name,
    const char *help, ngx_uint_t n)
{
    ngx_pcap_api_put_head(t, name, help, "gauge");
    ngx_pcap_api_put(t, "pcap_api_%s %ui\n", name, n);
}


static void
ngx_pcap_api_put_gauges(ngx_pcap_api_text_t *t, ngx_pcap_api_gauges_t *g)
{
    ngx_str_t   name;
    ngx_uint_t  i, k;

    ngx_pcap_api_put_head(t, "captures", "Captures now, by state.", "gauge");

    for (i = 0; i < NGX_PCAP_API_RESOLVERS; i++) {
        name = ngx_pcap_api_resolver_name(i);

        for (k = 0; k < NGX_PCAP_API_ROW_ENDED; k++) {
            ngx_pcap_api_put(t, "pcap_api_captures{resolver=\"%V\","
                             "state=\"%s\"} %ui\n",
                             &name,
                             ngx_pcap_api_row_states[k], g->captures[i][k]);
        }
    }

    ngx_pcap_api_put_head(t, "capture_targets", "Targets of the captures "
                          "now, by the state of their agents.", "gauge");

    for (i = 0; i < NGX_PCAP_API_AGENT_STATES; i++) {
        ngx_pcap_api_put(t, "pcap_api_capture_targets{state=\"%s\"} %ui\n",
                         ngx_pcap_api_agent_states[i], g->targets[i]);
    }

    ngx_pcap_api_put_gauge(t, "token_checks_in_flight",
                           "Token checks under way.", g->checks);
    ngx_pcap_api_put_gauge(t, "ended_captures_kept",
                           "Captures that have ended and are still known.",
                           g->kept);
    ngx_pcap_api_put_gauge(t, "zone_pages",
                           "Pages of \"pcap_api_zone\".", g->pages);
    ngx_pcap_api_put_gauge(t, "zone_free_pages",
                           "Free ones of them.", g->free);
}


/*
 * The head of the audit log: with it `pcap-cli audit verify` finds a tail
 * that was cut off. The code says nothing to who has not the key.
 */
static void
ngx_pcap_api_put_audit(ngx_pcap_api_text_t *t,
    ngx_pcap_api_main_conf_t *pmcf)
{
    ngx_int_t                  rc;
    ngx_pcap_api_audit_head_t  head;

    rc = ngx_pcap_api_audit_head(pmcf, &head);

    if (rc == NGX_DECLINED) {
        return;                            /* nothing to be up or down */
    }

    ngx_pcap_api_put_gauge(t, "audit_up", "1 when the audit log is in order, "
                           "0 when its state cannot be read or the latest "
                           "line could not be written.",
                           rc == NGX_OK && !head.failing);

    if (rc != NGX_OK) {
        return;
    }

    ngx_pcap_api_put_head(t, "audit_lines_total", "Lines of the audit log: "
                          "the number of the last one.", "counter");
    ngx_pcap_api_put(t, "pcap_api_audit_lines_total %uL\n", head.seq);
    ngx_pcap_api_put_head(t, "audit_lost_total", "Lines of the audit log "
                          "that could not be written.", "counter");
    ngx_pcap_api_put(t, "pcap_api_audit_lost_total %uL\n", head.lost);
    ngx_pcap_api_put_head(t, "audit_suppressed_total", "Refusals above the "
                          "rate that have no line of their own.", "counter");
    ngx_pcap_api_put(t, "pcap_api_audit_suppressed_total %uL\n",
                     head.suppressed);
    ngx_pcap_api_put_head(t, "audit_head", "The number of the last line of "
                          "the audit log, and its code.", "gauge");
    ngx_pcap_api_put(t, "pcap_api_audit_head{mac=\"%*s\"} %uL\n",
                     sizeof(head.mac), head.mac, head.seq);
}


static void
ngx_pcap_api_put_build(ngx_pcap_api_text_t *t,
    ngx_pcap_api_main_conf_t *pmcf)
{
    ngx_pcap_api_put_head(t, "build_info", "Always 1; what runs here.",
                          "gauge");
    ngx_pcap_api_put(t, "pcap_api_build_info{version=\"" PCAP_VERSION "\","
                     "nginx=\"" NGINX_VERSION "\",node=\"%ui\"} 1\n",
                     pmcf->node);
}


static ngx_int_t
ngx_pcap_api_send_text(ngx_http_request_t *r, ngx_pcap_api_text_t *t,
    ngx_buf_t *b)
{
    ngx_int_t    rc;
    ngx_chain_t  out;

    b->last = t->pos;
    b->last_buf = 1;
    b->last_in_chain = 1;
    out.buf = b;
    out.next = NULL;

    ngx_str_set(&r->headers_out.content_type,
                "text/plain; version=0.0.4; charset=utf-8");
    r->headers_out.content_type_len = sizeof("text/plain") - 1;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_pcap_api_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_buf_t                 *b;
    ngx_str_t                  detail, allow;
    ngx_pcap_api_text_t        t;
    ngx_pcap_api_gauges_t      g;
    ngx_pcap_api_counters_t   *all;
    ngx_pcap_api_main_conf_t  *pmcf;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        ngx_str_set(&allow, "GET, HEAD");
        ngx_str_set(&detail, "GET and HEAD are allowed here");
        (void) ngx_pcap_api_add_header(r, "Allow", &allow);
        return ngx_pcap_api_send_problem(r, NULL, NGX_HTTP_NOT_ALLOWED,
                                         &detail);
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_pcap_api_module);
    all = &ngx_pcap_api_shm(pmcf->zone)->counters;

    b = ngx_create_temp_buf(r->pool, NGX_PCAP_API_METRICS_SIZE);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    t.pos = b->pos;
    t.last = b->end;
    ngx_pcap_api_gauges(pmcf->zone, &g);

    ngx_pcap_api_put_build(&t, pmcf);
    ngx_pcap_api_put_audit(&t, pmcf);
    ngx_pcap_api_put_gauges(&t, &g);
    ngx_pcap_api_put_of_resolvers(&t, all);
    ngx_pcap_api_put_of_all(&t, all);
    ngx_pcap_api_put_others(&t, all);
    ngx_pcap_api_put_times(&t, all);

    if (t.pos == t.last) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "pcap: metrics need more than %d bytes",
                      NGX_PCAP_API_METRICS_SIZE);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_pcap_api_send_text(r, &t, b);
}


char *
ngx_pcap_api_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_pcap_api_loc_conf_t   *plcf = conf;
    ngx_http_core_loc_conf_t  *clcf;
    char                      *rv;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && plcf->metrics) {
        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
        clcf->handler = ngx_pcap_api_metrics_handler;
    }

    return rv;
}
