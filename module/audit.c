/*
 * module/audit.c: which events are written to the audit log, and what is said
 * of each. How a line gets there is in audit_log.c.
 *
 * Never a token, never a byte of a packet: nothing here looks at either.
 */

#include "module/audit.h"


#define NGX_PCAP_API_AUDIT_INSTANCES  32

static const char *const  ngx_pcap_api_audit_events[] = {
    "start", "refusal", "stop", "token", "download", "remove", "end"
};


/* Who asks, as the last router that we trust has seen him, and that router. */
static void
ngx_pcap_api_audit_client(ngx_pcap_api_line_t *w, ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t   client;
    ngx_str_t  *peer;

    peer = &ctx->request->connection->addr_text;
    ngx_pcap_api_client_addr(ctx->request, ctx->conf, &client);
    ngx_pcap_api_line_text(w, "client", &client, 64);

    if (client.data != peer->data) {
        ngx_pcap_api_line_text(w, "via", peer, 64);
    }
}


/* An id's first four digits are the node that made it. */
static void
ngx_pcap_api_audit_node(ngx_pcap_api_line_t *w, const u_char *id)
{
    ngx_int_t  node;

    node = ngx_hextoi((u_char *) id, 4);

    if (node != NGX_ERROR) {
        ngx_pcap_api_line_number(w, "node", (uint64_t) node);
    }
}


static void
ngx_pcap_api_audit_env(ngx_pcap_api_line_t *w, u_char env[32])
{
    u_char     hex[16];
    ngx_str_t  s;

    (void) ngx_hex_dump(hex, env, 8);
    s.data = hex;
    s.len = sizeof(hex);
    ngx_pcap_api_line_text(w, "env", &s, sizeof(hex));
}


static void
ngx_pcap_api_audit_id(ngx_pcap_api_line_t *w, u_char *id)
{
    ngx_str_t  s;

    s.data = id;
    s.len = NGX_PCAP_API_ID_LEN;
    ngx_pcap_api_line_text(w, "capture", &s, NGX_PCAP_API_ID_LEN);
}


static void
ngx_pcap_api_audit_limits(ngx_pcap_api_line_t *w, uint64_t duration_ms,
    uint64_t max_bytes, uint64_t max_packets)
{
    if (duration_ms) {
        ngx_pcap_api_line_number(w, "duration_limit_ms", duration_ms);
    }

    if (max_bytes) {
        ngx_pcap_api_line_number(w, "max_bytes", max_bytes);
    }

    if (max_packets) {
        ngx_pcap_api_line_number(w, "max_packets", max_packets);
    }
}


static void
ngx_pcap_api_audit_ledger(ngx_pcap_api_line_t *w, ngx_pcap_api_ledger_t *l)
{
    if (l->seen == 0 && l->unknown_since == 0) {
        return;                            /* nothing is known */
    }

    ngx_pcap_api_line_open(w, "ledger", '{');
    ngx_pcap_api_line_number(w, "seen", l->seen);
    ngx_pcap_api_line_number(w, "delivered", l->delivered);
    ngx_pcap_api_line_number(w, "filtered", l->filtered);
    ngx_pcap_api_line_number(w, "in_flight", l->in_flight);
    ngx_pcap_api_line_number(w, "drop_kernel", l->drop_kernel);
    ngx_pcap_api_line_number(w, "drop_agent", l->drop_agent);
    ngx_pcap_api_line_number(w, "drop_stop", l->drop_stop);
    ngx_pcap_api_line_number(w, "drop_limit", l->drop_limit);

    if (l->unknown_since) {
        ngx_pcap_api_line_number(w, "unknown_since_ns", l->unknown_since);
    }

    ngx_pcap_api_line_close(w, '}');
}


/* Who asked, from where, and in which environment. */
static void
ngx_pcap_api_audit_who(ngx_pcap_api_line_t *w, ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t                  forwarder;
    ngx_http_core_srv_conf_t  *cscf;

    cscf = ngx_http_get_module_srv_conf(ctx->request, ngx_http_core_module);

    ngx_pcap_api_audit_node(w, ctx->id);
    ngx_pcap_api_line_text(w, "request_id", &ctx->request_id, 64);

    if (ctx->identity.active) {
        ngx_pcap_api_line_text(w, "user_id", &ctx->identity.id,
                               NGX_PCAP_API_USER_LEN);
        ngx_pcap_api_line_text(w, "user", &ctx->identity.name,
                               NGX_PCAP_API_USER_LEN);
    }

    ngx_pcap_api_kube_forwarder_name(ctx, &forwarder);
    ngx_pcap_api_line_text(w, "forwarder", &forwarder,
                           NGX_PCAP_API_USER_LEN);
    ngx_pcap_api_line_text(w, "issuer", &ctx->conf->issuer, 128);
    ngx_pcap_api_line_text(w, "server", &cscf->server_name, 128);
    ngx_pcap_api_audit_env(w, ctx->conf->env);
    ngx_pcap_api_audit_client(w, ctx);
}


/* The names of the first targets; the number of all is beside them. */
static void
ngx_pcap_api_audit_targets(ngx_pcap_api_line_t *w, ngx_pcap_api_ctx_t *ctx)
{
    u_char      *start;
    ngx_uint_t   i, n, failed;

    if (ctx->nagents == 0) {
        return;
    }

    failed = 0;

    for (i = 0; i < ctx->nagents; i++) {
        failed += ctx->agents[i].state == NGX_PCAP_API_AGENT_FAILED;
    }

    ngx_pcap_api_line_number(w, "targets", ctx->nagents);
    ngx_pcap_api_line_number(w, "targets_failed", failed);
    ngx_pcap_api_line_open(w, "instances", '[');

    n = ngx_min(ctx->nagents, NGX_PCAP_API_AUDIT_INSTANCES);
    start = w->pos;

    for (i = 0; i < n; i++) {
        if (!ngx_pcap_api_line_item(w, &ctx->agents[i].target->instance,
                                    start, 1024))
        {
            break;
        }
    }

    ngx_pcap_api_line_close(w, ']');
}


/* What is to be captured, and how. */
static void
ngx_pcap_api_audit_what(ngx_pcap_api_line_t *w, ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_audit_e event)
{
    u_char      *start;
    ngx_str_t   *name;
    ngx_uint_t   i;

    if (ctx->resolver == NULL) {
        return;
    }

    ngx_pcap_api_line_text(w, "resolver", &ctx->resolver->name, 32);
    ngx_pcap_api_line_text(w, "target", &ctx->group, 256);

    if (!ctx->identity.active) {
        return;                            /* strangers fill no log */
    }

    ngx_pcap_api_line_text(w, "label", &ctx->label, 64);
    ngx_pcap_api_audit_targets(w, ctx);

    if (ctx->opts.interfaces.nelts) {
        name = ctx->opts.interfaces.elts;
        ngx_pcap_api_line_open(w, "interfaces", '[');
        start = w->pos;

        for (i = 0; i < ctx->opts.interfaces.nelts; i++) {
            (void) ngx_pcap_api_line_item(w, &name[i], start, 512);
        }

        ngx_pcap_api_line_close(w, ']');
    }


    /* a refused request may not have come as far as our defaults */

    if (ctx->stored.granted) {
        ngx_pcap_api_line_number(w, "stored", 1);

        if (ctx->opts.store) {
            ngx_pcap_api_line_number(w, "live", 1);
        }
    }

    if (event != NGX_PCAP_API_AUDIT_REFUSAL || ctx->opts.snaplen_set) {
        ngx_pcap_api_line_number(w, "snaplen", ctx->opts.snaplen);
    }

    ngx_pcap_api_line_text(w, "filter", &ctx->opts.filter,
                           PCAPX_MAX_FILTER_LEN);
    ngx_pcap_api_line_text(w, "reason", &ctx->opts.reason,
                           NGX_PCAP_API_MAX_REASON);
    ngx_pcap_api_line_text(w, "continues", &ctx->opts.continues, 32);
    ngx_pcap_api_audit_limits(w, ctx->opts.duration_ms, ctx->opts.max_bytes,
                              ctx->opts.max_packets);
}


/* They are separated by commas in a row. */
static void
ngx_pcap_api_audit_interfaces(ngx_pcap_api_line_t *w, ngx_str_t *all)
{
    u_char     *p, *last, *start;
    ngx_str_t   name;

    if (all->len == 0) {
        return;
    }

    ngx_pcap_api_line_open(w, "interfaces", '[');
    start = w->pos;
    last = all->data + all->len;

    for (p = all->data; p <= last; p = name.data + name.len + 1) {
        name.data = p;
        p = ngx_strlchr(p, last, ',');
        name.len = (p ? p : last) - name.data;
        (void) ngx_pcap_api_line_item(w, &name, start, 512);
    }

    ngx_pcap_api_line_close(w, ']');
}


/* What a capture of the registry is of. */
static void
ngx_pcap_api_audit_row_what(ngx_pcap_api_line_t *w, ngx_pcap_api_row_t *row)
{
    ngx_str_t  resolver, label;

    resolver = ngx_pcap_api_resolver_name(row->resolver);
    ngx_pcap_api_line_text(w, "resolver", &resolver, 32);
    ngx_pcap_api_line_text(w, "target", &row->group, 256);
    label.data = row->label;
    label.len = row->label_len;
    ngx_pcap_api_line_text(w, "label", &label, NGX_PCAP_API_LABEL_LEN);
    ngx_pcap_api_line_number(w, "targets", row->ntargets);
    ngx_pcap_api_audit_interfaces(w, &row->interfaces);
    ngx_pcap_api_line_number(w, "snaplen", row->snaplen);
    ngx_pcap_api_line_text(w, "filter", &row->filter, PCAPX_MAX_FILTER_LEN);
    ngx_pcap_api_line_text(w, "reason", &row->reason,
                           NGX_PCAP_API_MAX_REASON);
    ngx_pcap_api_audit_limits(w, row->duration_ms, row->max_bytes,
                              row->max_packets);
}


/* What a request about a capture is about: a stop, a fresh token. */
static void
ngx_pcap_api_audit_about(ngx_pcap_api_line_t *w, ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_row_t  row;

    if (ngx_pcap_api_snapshot_one(ctx, &row) != NGX_OK) {
        return;                            /* forgotten just now */
    }

    ngx_pcap_api_line_text(w, "owner", &row.user, NGX_PCAP_API_USER_LEN);
    ngx_pcap_api_audit_row_what(w, &row);
}


/* A member of JSON that the store keeps for us. */
static void
ngx_pcap_api_audit_member(ngx_pcap_api_line_t *w, const char *name,
    json_t *doc, const char *member, size_t max)
{
    json_t     *value;
    ngx_str_t   s;

    value = json_object_get(doc, member);
    s.data = (u_char *) json_string_value(value);
    s.len = json_string_length(value);
    ngx_pcap_api_line_text(w, name, &s, max);
}


/* A file of the store that somebody reads or removes. */
static void
ngx_pcap_api_audit_record(ngx_pcap_api_line_t *w, json_t *rec)
{
    json_t  *about;

    about = json_object_get(rec, "about");

    ngx_pcap_api_audit_member(w, "owner", about, "user",
                              NGX_PCAP_API_USER_LEN);
    ngx_pcap_api_audit_member(w, "resolver", about, "resolver", 32);
    ngx_pcap_api_audit_member(w, "target", about, "target", 256);
    ngx_pcap_api_audit_member(w, "label", about, "label", 64);
    ngx_pcap_api_audit_member(w, "filter", about, "filter",
                              PCAPX_MAX_FILTER_LEN);
    ngx_pcap_api_audit_member(w, "reason", about, "reason",
                              NGX_PCAP_API_MAX_REASON);
    ngx_pcap_api_audit_member(w, "sha256", rec, "sha256", 64);
    ngx_pcap_api_line_number(w, "packets", (uint64_t)
                json_integer_value(json_object_get(rec, "packets")));
    ngx_pcap_api_line_number(w, "file_bytes", (uint64_t)
                json_integer_value(json_object_get(rec, "bytes")));
}


/* Files of a PacketCapture: whose they are. */
static void
ngx_pcap_api_audit_kube(ngx_pcap_api_line_t *w, ngx_pcap_api_ctx_t *ctx)
{
    if (!ctx->identity.active) {
        return;                            /* strangers fill no log */
    }

    ngx_pcap_api_line_text(w, "cluster", &ctx->kube.cluster, 253);
    ngx_pcap_api_line_text(w, "namespace", &ctx->kube.ns, 63);
    ngx_pcap_api_line_text(w, "packetcapture", &ctx->kube.name, 253);
}


static void
ngx_pcap_api_audit_refused(ngx_pcap_api_line_t *w, ngx_pcap_api_ctx_t *ctx)
{
    ngx_http_request_t *r = ctx->request;

    ngx_pcap_api_line_number(w, "http_status", ctx->fail_status);
    ngx_pcap_api_line_text(w, "detail", &ctx->fail_detail, 512);
    ngx_pcap_api_line_text(w, "method", &r->method_name, 16);
    ngx_pcap_api_line_text(w, "path", &r->uri, 256);
}


static void
ngx_pcap_api_audit_outcome(ngx_pcap_api_line_t *w, const char *status,
    ngx_pcap_api_end_e end, uint64_t duration_ms)
{
    ngx_pcap_api_line_word(w, "status", status);
    ngx_pcap_api_line_word(w, "end_reason", ngx_pcap_api_ends[end].name);
    ngx_pcap_api_line_number(w, "duration_ms", duration_ms);
}


/* The end of a download of many files. */
static void
ngx_pcap_api_audit_zip(ngx_pcap_api_line_t *w, ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_zip_sums_t *sums)
{
    ngx_pcap_api_audit_outcome(w, sums->status, ngx_pcap_api_end_of(ctx),
                               sums->duration);
    ngx_pcap_api_line_number(w, "files", sums->files);
    ngx_pcap_api_line_number(w, "missing", sums->missing);
    ngx_pcap_api_line_number(w, "bytes", sums->bytes);
    ngx_pcap_api_line_number(w, "sent_bytes", (uint64_t) ctx->sent);
}


static void
ngx_pcap_api_audit_ended(ngx_pcap_api_line_t *w, ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_zip_sums_t  sums;

    if (ngx_pcap_api_zip_sums(ctx, &sums) == NGX_OK) {
        ngx_pcap_api_audit_zip(w, ctx, &sums);
        return;
    }

    if (ctx->row != NULL && ctx->header_sent) {
        ngx_pcap_api_row_sync(ctx);        /* for the ledger */
    }

    ngx_pcap_api_audit_outcome(w, ctx->finished
                               ? ngx_pcap_api_status_names[ctx->status]
                               : "cut",
                               ngx_pcap_api_end_of(ctx),
                               ngx_current_msec - ctx->audit.started);
    ngx_pcap_api_line_number(w, "packets", ctx->packets);
    ngx_pcap_api_line_number(w, "bytes", ctx->bytes);
    ngx_pcap_api_line_number(w, "sent_bytes", (uint64_t) ctx->sent);
    ngx_pcap_api_line_number(w, "late", ctx->late);
    ngx_pcap_api_line_number(w, "dropped", ngx_pcap_api_dropped(ctx));

    if (ctx->row != NULL) {
        ngx_pcap_api_audit_ledger(w, &ctx->row->ledger);
    }
}


static void
ngx_pcap_api_audit_begin(ngx_pcap_api_line_t *w, u_char *buf,
    ngx_pcap_api_audit_e event)
{
    w->last = buf + NGX_PCAP_API_AUDIT_FIELDS;
    w->pos = ngx_sprintf(buf, ",\"event\":\"%s\"",
                         ngx_pcap_api_audit_events[event]);
}


static ngx_pcap_api_audit_budget_e
ngx_pcap_api_audit_budget(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_audit_e event)
{
    if (event != NGX_PCAP_API_AUDIT_REFUSAL) {
        return NGX_PCAP_API_AUDIT_ALWAYS;
    }

    return ctx->identity.active ? NGX_PCAP_API_AUDIT_BUDGET_USER
                                : NGX_PCAP_API_AUDIT_BUDGET_ANY;
}


/* The events that an end belongs to: a capture, or files of Kubernetes. */
static ngx_uint_t
ngx_pcap_api_audit_begins(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_audit_e event)
{
    return event == NGX_PCAP_API_AUDIT_START
           || (event == NGX_PCAP_API_AUDIT_DOWNLOAD && ctx->kube.name.len);
}


static void
ngx_pcap_api_audit_say(ngx_pcap_api_line_t *w, ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_audit_e event)
{
    if (ctx->kube.name.len) {
        if (ctx->kube.what == NGX_PCAP_API_KUBE_MERGED
            && (event == NGX_PCAP_API_AUDIT_START
                || event == NGX_PCAP_API_AUDIT_END))
        {
            ngx_pcap_api_audit_id(w, ctx->id);
        }

        ngx_pcap_api_audit_who(w, ctx);
        ngx_pcap_api_audit_kube(w, ctx);

    } else {
        if (event == NGX_PCAP_API_AUDIT_START
            || event == NGX_PCAP_API_AUDIT_END)
        {
            ngx_pcap_api_audit_id(w, ctx->id);

        } else if (ctx->stop_id[0] != '\0') {
            ngx_pcap_api_audit_id(w, ctx->stop_id);
        }

        ngx_pcap_api_audit_who(w, ctx);
    }

    switch (event) {

    case NGX_PCAP_API_AUDIT_START:
        break;

    case NGX_PCAP_API_AUDIT_REFUSAL:
        ngx_pcap_api_audit_refused(w, ctx);
        break;

    case NGX_PCAP_API_AUDIT_END:
        ngx_pcap_api_audit_ended(w, ctx);
        break;

    case NGX_PCAP_API_AUDIT_DOWNLOAD:
    case NGX_PCAP_API_AUDIT_REMOVE:
        if (ctx->stored.record != NULL) {
            ngx_pcap_api_audit_record(w, ctx->stored.record);
        }

        break;

    default: /* NGX_PCAP_API_AUDIT_STOP, NGX_PCAP_API_AUDIT_TOKEN */
        ngx_pcap_api_audit_about(w, ctx);
    }
}


ngx_int_t
ngx_pcap_api_audit(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_audit_e event)
{
    u_char                     buf[NGX_PCAP_API_AUDIT_FIELDS];
    ngx_int_t                  rc;
    ngx_pcap_api_line_t        w;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);

    if (pmcf->audit == NULL
        || (event == NGX_PCAP_API_AUDIT_END && !ctx->audit.begun))
    {
        return NGX_OK;
    }

    ngx_pcap_api_audit_begin(&w, buf, event);
    ngx_pcap_api_audit_say(&w, ctx, event);

    if (event == NGX_PCAP_API_AUDIT_END) {
        ctx->audit.begun = 0;
    }

    ngx_pcap_api_audit_what(&w, ctx, event);

    if (event == NGX_PCAP_API_AUDIT_START && ctx->row != NULL) {
        ctx->row->audited = 1;             /* should we die from here on */
    }

    rc = ngx_pcap_api_audit_put(pmcf->audit,
                                ngx_pcap_api_audit_budget(ctx, event), buf,
                                w.pos - buf, ctx->request->connection->log);

    if (!pmcf->audit->required) {
        rc = NGX_OK;
    }

    if (ngx_pcap_api_audit_begins(ctx, event) && rc == NGX_OK) {
        ctx->audit.started = ngx_current_msec;
        ctx->audit.begun = 1;
    }

    if (ctx->row != NULL) {
        ctx->row->audited = ctx->audit.begun;
    }

    return rc;
}


void
ngx_pcap_api_audit_row(ngx_pcap_api_row_t *row, ngx_pcap_api_audit_e event)
{
    u_char                     buf[NGX_PCAP_API_AUDIT_FIELDS];
    ngx_pcap_api_line_t        w;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle, ngx_pcap_api_module);

    if (pmcf == NULL || pmcf->audit == NULL || !row->audited) {
        return;
    }

    ngx_pcap_api_audit_begin(&w, buf, event);
    ngx_pcap_api_audit_id(&w, row->id);
    ngx_pcap_api_audit_node(&w, row->id);
    ngx_pcap_api_line_text(&w, "request_id", &row->request_id, 64);
    ngx_pcap_api_line_text(&w, "user_id", &row->user_id,
                           NGX_PCAP_API_USER_LEN);
    ngx_pcap_api_line_text(&w, "user", &row->user, NGX_PCAP_API_USER_LEN);
    ngx_pcap_api_audit_env(&w, row->env);
    ngx_pcap_api_line_text(&w, "client", &row->client, 64);
    ngx_pcap_api_audit_outcome(&w, "cut", row->end,
                               (uint64_t) (ngx_time() - row->started) * 1000);
    ngx_pcap_api_line_number(&w, "packets", row->packets);
    ngx_pcap_api_line_number(&w, "bytes", row->bytes);
    ngx_pcap_api_line_number(&w, "sent_bytes", row->sent);
    ngx_pcap_api_line_number(&w, "late", row->late);
    ngx_pcap_api_line_number(&w, "dropped", row->dropped);
    ngx_pcap_api_audit_ledger(&w, &row->ledger);
    ngx_pcap_api_audit_row_what(&w, row);

    (void) ngx_pcap_api_audit_put(pmcf->audit, NGX_PCAP_API_AUDIT_ALWAYS, buf,
                                  w.pos - buf, ngx_cycle->log);
}


ngx_int_t
ngx_pcap_api_audit_start(ngx_pcap_api_ctx_t *ctx)
{
    if (ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_START) == NGX_OK) {
        return NGX_OK;
    }

    return ngx_pcap_api_unaudited(ctx, "captured");
}


ngx_int_t
ngx_pcap_api_unaudited(ngx_pcap_api_ctx_t *ctx, const char *what)
{
    ctx->retry_after = 10;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "the audit log cannot be written, so nothing "
                               "is %s", what);
}
