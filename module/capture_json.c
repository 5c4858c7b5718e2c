/*
 * module/capture_json.c: a row of the registry as the JSON that
 * docs/PROTOCOL.md describes. It reads copies only, never the zone, and every
 * text in it is cleaned: a user has chosen some of them, an agent others.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_JSON_TEXT  PCAPX_MAX_FILTER_LEN


static const char *const  ngx_pcap_api_row_states[] = {
    "starting", "running", "stopping", "ended"
};

/* In the order of ngx_pcap_api_agent_state_e. */

static const char *const  ngx_pcap_api_target_states[] = {
    "starting", "starting", "running", "ended", "failed"
};


static void
ngx_pcap_api_json_str(json_t *doc, const char *name, u_char *data, size_t len)
{
    u_char  text[NGX_PCAP_API_JSON_TEXT];

    len = ngx_pcap_api_clean_text(text, sizeof(text), data, len);
    json_object_set_new(doc, name, json_stringn((char *) text, len));
}


static void
ngx_pcap_api_json_int(json_t *doc, const char *name, uint64_t n)
{
    json_object_set_new(doc, name, json_integer((json_int_t) n));
}


void
ngx_pcap_api_json_time(json_t *doc, const char *name, uint64_t ms,
    ngx_uint_t digits)
{
    char      text[64];
    u_char   *p;
    ngx_tm_t  tm;

    ngx_gmtime((time_t) (ms / 1000), &tm);

    p = ngx_snprintf((u_char *) text, sizeof(text),
                     "%4d-%02d-%02dT%02d:%02d:%02d", tm.ngx_tm_year,
                     tm.ngx_tm_mon, tm.ngx_tm_mday, tm.ngx_tm_hour,
                     tm.ngx_tm_min, tm.ngx_tm_sec);

    if (digits) {
        p = ngx_sprintf(p, ".%03uL", ms % 1000);
    }

    *p++ = 'Z';

    json_object_set_new(doc, name, json_stringn(text, (char *) p - text));
}


static json_t *
ngx_pcap_api_ledger_json(ngx_pcap_api_ledger_t *l)
{
    json_t  *doc, *dropped;

    doc = json_object();
    dropped = json_object();

    ngx_pcap_api_json_int(doc, "seen", l->seen);
    ngx_pcap_api_json_int(doc, "delivered", l->delivered);
    ngx_pcap_api_json_int(doc, "filtered", l->filtered);
    ngx_pcap_api_json_int(doc, "in_flight", l->in_flight);

    ngx_pcap_api_json_int(dropped, "kernel", l->drop_kernel);
    ngx_pcap_api_json_int(dropped, "agent", l->drop_agent);
    ngx_pcap_api_json_int(dropped, "stop", l->drop_stop);
    ngx_pcap_api_json_int(dropped, "limit", l->drop_limit);
    json_object_set_new(doc, "dropped", dropped);

    if (l->unknown_since) {
        ngx_pcap_api_json_time(doc, "unknown_since",
                               l->unknown_since / 1000000, 3);
    }

    return doc;
}


static json_t *
ngx_pcap_api_limits_json(ngx_pcap_api_row_t *row)
{
    json_t  *doc;

    doc = json_object();

    if (row->duration_ms % 1000) {
        json_object_set_new(doc, "duration_s",
                            json_real((double) row->duration_ms / 1000));

    } else if (row->duration_ms) {
        ngx_pcap_api_json_int(doc, "duration_s", row->duration_ms / 1000);
    }

    if (row->max_bytes) {
        ngx_pcap_api_json_int(doc, "max_bytes", row->max_bytes);
    }

    if (row->max_packets) {
        ngx_pcap_api_json_int(doc, "max_packets", row->max_packets);
    }

    return doc;
}


static json_t *
ngx_pcap_api_interfaces_json(ngx_str_t *names)
{
    u_char  *p, *last, *end;
    json_t  *list;

    list = json_array();
    last = names->data + names->len;

    for (p = names->data; p < last; p = end + 1) {
        end = ngx_strlchr(p, last, ',');
        if (end == NULL) {
            end = last;
        }

        json_array_append_new(list, json_stringn((char *) p, end - p));
    }

    return list;
}


static json_t *
ngx_pcap_api_targets_json(ngx_pcap_api_row_t *row)
{
    json_t                     *list, *doc;
    ngx_uint_t                  i;
    ngx_pcap_api_row_target_t  *t;

    list = json_array();

    for (i = 0; i < row->ntargets; i++) {
        t = &row->targets[i];
        doc = json_object();

        ngx_pcap_api_json_str(doc, "name", t->name.data, t->name.len);
        ngx_pcap_api_json_str(doc, "address", t->addr.data, t->addr.len);
        json_object_set_new(doc, "state",
                       json_string(ngx_pcap_api_target_states[t->state]));

        if (t->error.len) {
            ngx_pcap_api_json_str(doc, "error", t->error.data, t->error.len);
        }

        ngx_pcap_api_json_int(doc, "packets", t->packets);
        ngx_pcap_api_json_int(doc, "bytes", t->bytes);
        ngx_pcap_api_json_int(doc, "late", t->late);
        json_object_set_new(doc, "ledger",
                            ngx_pcap_api_ledger_json(&t->ledger));

        json_array_append_new(list, doc);
    }

    return list;
}


/* How it ended, once it has. */
static void
ngx_pcap_api_end_json(json_t *doc, ngx_pcap_api_row_t *row)
{
    if (row->state == NGX_PCAP_API_ROW_ENDED) {
        json_object_set_new(doc, "status",
                       json_string(ngx_pcap_api_status_names[row->status]));
        ngx_pcap_api_json_time(doc, "ended", (uint64_t) row->ended * 1000, 0);

        if (row->end != NGX_PCAP_API_END_NONE) {
            json_object_set_new(doc, "end_reason",
                           json_string(ngx_pcap_api_ends[row->end].name));
        }
    }
}


static void
ngx_pcap_api_target_json(json_t *doc, ngx_pcap_api_row_t *row)
{
    ngx_str_t  name;

    name = ngx_pcap_api_resolver_name(row->resolver);

    json_object_set_new(doc, "resolver",
                        json_stringn((char *) name.data, name.len));
    ngx_pcap_api_json_str(doc, "target", row->group.data, row->group.len);

    if (row->label_len) {
        ngx_pcap_api_json_str(doc, "label", row->label, row->label_len);
    }
}


json_t *
ngx_pcap_api_capture_json(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_row_t *row)
{
    json_t  *doc;

    doc = json_object();

    json_object_set_new(doc, "id", json_stringn((char *) row->id,
                                                NGX_PCAP_API_ID_LEN));
    ngx_pcap_api_json_int(doc, "node", ngx_pcap_api_node_of(row->id));
    json_object_set_new(doc, "state",
                        json_string(ngx_pcap_api_row_states[row->state]));
    ngx_pcap_api_end_json(doc, row);
    ngx_pcap_api_target_json(doc, row);

    ngx_pcap_api_json_str(doc, "user", row->user.data, row->user.len);
    json_object_set_new(doc, "own",
                        json_boolean(ngx_pcap_api_row_is_own(row, ctx)));
    ngx_pcap_api_json_str(doc, "client", row->client.data, row->client.len);
    ngx_pcap_api_json_str(doc, "request_id", row->request_id.data,
                          row->request_id.len);
    ngx_pcap_api_json_time(doc, "started", (uint64_t) row->started * 1000, 0);

    ngx_pcap_api_json_str(doc, "filter", row->filter.data, row->filter.len);
    ngx_pcap_api_json_int(doc, "snaplen", row->snaplen);
    json_object_set_new(doc, "interfaces",
                        ngx_pcap_api_interfaces_json(&row->interfaces));
    ngx_pcap_api_json_str(doc, "reason", row->reason.data, row->reason.len);
    json_object_set_new(doc, "limits", ngx_pcap_api_limits_json(row));

    ngx_pcap_api_json_int(doc, "packets", row->packets);
    ngx_pcap_api_json_int(doc, "bytes", row->bytes);
    ngx_pcap_api_json_int(doc, "sent_bytes", row->sent);
    ngx_pcap_api_json_int(doc, "dropped", row->dropped);
    ngx_pcap_api_json_int(doc, "late", row->late);
    json_object_set_new(doc, "ledger",
                        ngx_pcap_api_ledger_json(&row->ledger));
    ngx_pcap_api_json_int(doc, "target_count", row->ntargets);

    if (row->targets != NULL) {
        json_object_set_new(doc, "targets", ngx_pcap_api_targets_json(row));
    }

    return doc;
}
