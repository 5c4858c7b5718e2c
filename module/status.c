/*
 * module/status.c: GET /v1/status. Needs no token, so it may cost a platform
 * next to nothing: a resolver that was used or probed a short while ago is
 * not asked again, and one worker has one probe under way.
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>


/* NGX_OK when all are known, NGX_AGAIN while one is being probed. */
static ngx_int_t
ngx_pcap_api_status_probe(ngx_pcap_api_ctx_t *ctx, json_t *works,
    json_t *broken)
{
    json_t                         *name;
    ngx_int_t                       rc;
    const ngx_pcap_api_resolver_t  *res;

    for (res = ngx_pcap_api_resolver(ctx->conf, 0);
         res != NULL;
         res = ngx_pcap_api_resolver(ctx->conf, res->number + 1))
    {
        rc = res->probe ? res->probe(ctx, &ctx->asks[res->number]) : NGX_OK;

        if (rc != NGX_OK && rc != NGX_DECLINED) {
            return rc;
        }

        name = json_stringn((char *) res->name.data, res->name.len);
        json_array_append_new(rc == NGX_OK ? works : broken, name);
    }

    return NGX_OK;
}


static void
ngx_pcap_api_status_message(json_t *works, json_t *broken, u_char *p,
    u_char *last)
{
    size_t  i;

    if (ngx_exiting) {
        (void) ngx_slprintf(p, last, "draining%Z");
        return;
    }

    if (json_array_size(broken) == 0) {
        (void) ngx_slprintf(p, last, "%s%Z", json_array_size(works)
                                   ? "ok" : "no resolver is configured");
        return;
    }

    for (i = 0; i < json_array_size(broken); i++) {
        p = ngx_slprintf(p, last, "%s%s", i ? ", " : "does not work: ",
                         json_string_value(json_array_get(broken, i)));
    }

    (void) ngx_slprintf(p, last, "%Z");
}


ngx_int_t
ngx_pcap_api_status_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t     *doc, *works, *broken;
    u_char      text[NGX_PCAP_API_TEXT_LEN];
    ngx_int_t   rc;
    ngx_uint_t  any, healthy;

    works = json_array();
    broken = json_array();

    rc = ngx_exiting ? NGX_OK : ngx_pcap_api_status_probe(ctx, works, broken);

    if (rc != NGX_OK) {
        json_decref(works);
        json_decref(broken);
        return rc;
    }

    any = json_array_size(works) != 0;
    healthy = any && json_array_size(broken) == 0;

    ngx_pcap_api_status_message(works, broken, text,
                                text + sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    json_decref(broken);

    doc = json_object();

    json_object_set_new(doc, "healthy", json_boolean(healthy));
    json_object_set_new(doc, "version", json_string(PCAP_VERSION));
    json_object_set_new(doc, "compatibility_level", json_integer(1));
    json_object_set_new(doc, "message", json_string((char *) text));
    json_object_set_new(doc, "resolvers", works);

    rc = ngx_pcap_api_reply(r, any ? NGX_HTTP_OK
                                   : NGX_HTTP_SERVICE_UNAVAILABLE,
                            "application/json", doc);
    ngx_pcap_api_finalize(ctx, rc);

    return NGX_DONE;
}


void
ngx_pcap_api_health_set(ngx_pcap_api_health_t *h, ngx_uint_t works)
{
    h->at = ngx_current_msec;
    h->works = works;
    h->known = 1;
    h->probing = 0;
}


ngx_int_t
ngx_pcap_api_health_get(ngx_pcap_api_health_t *h)
{
    if (h->known && ngx_current_msec - h->at < NGX_PCAP_API_HEALTH_VALID) {
        return h->works ? NGX_OK : NGX_DECLINED;
    }

    /* who began a probe may have left: it is taken over after its time */

    if (h->probing
        && ngx_current_msec - h->probed < NGX_PCAP_API_STATUS_TIMEOUT)
    {
        return NGX_BUSY;
    }

    h->probing = 1;
    h->probed = ngx_current_msec;

    return NGX_AGAIN;
}
