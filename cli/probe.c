/*
 * cli/probe.c: GET /v1/status, which needs no token: what answers at a
 * guessed address is not told one before it has shown what it is.
 */

#include <jansson.h>
#include <stdio.h>

#include "api.h"
#include "probe.h"


/* Nobody waits long for an API that may not be there. */
#define PROBE_MS  5000


int
probe_api(const conf_t *conf, msg_t *msg, const char *where)
{
    int             found;
    char            why[200];
    json_t         *doc;
    CURLcode        rc;
    api_t           api = { conf, msg };
    api_request_t   q = { 0 };

    doc = NULL;
    snprintf(why, sizeof(why), "out of memory");

    if (api_request_init(&q, &api, "GET", "/v1/status", NULL) == 0) {
        curl_easy_setopt(q.easy, CURLOPT_TIMEOUT_MS, (long) PROBE_MS);
        rc = curl_easy_perform(q.easy);

        if (rc != CURLE_OK) {
            snprintf(why, sizeof(why), "%.180s", api_error(&q, rc));

        } else {
            snprintf(why, sizeof(why), "HTTP %ld", q.reply.status);
        }

        if (rc == CURLE_OK && q.reply.body != NULL
            && (q.reply.status == 200 || q.reply.status == 503))
        {
            doc = json_loadb(q.reply.body, q.reply.body_len, 0, NULL);
        }
    }

    /* 503 with this document is an API that is not well, but there. */
    found = json_is_integer(json_object_get(doc, "compatibility_level"));

    if (!found) {
        msg_error(msg, "no pcap API answers at %.150s (%s), where it would"
                  " be %s; name it by PCAP_API or -u", conf->url, why, where);
    }

    json_decref(doc);
    api_request_free(&q);

    return found;
}
