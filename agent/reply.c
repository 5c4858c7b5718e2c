/*
 * agent/reply.c: see reply.h. Whatever text goes into a document is made
 * clean UTF-8 first: libpcap repeats the user's bytes in its messages.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "pcapx/version.h"
#include "reply.h"


#define REPLY_HEAD_LEN     512
#define REPLY_TIMEOUT_NS   (UINT64_C(5) * 1000000000)


static int reply_json(tls_t *tls, int status, const char *type,
    const json_t *doc);
static int reply_body(tls_t *tls, int status, const char *type,
    const char *body);
static json_t *reply_text(const char *text);
static const char *reply_reason(int status);


int
reply_problem(tls_t *tls, const problem_t *why,
    const char (*names)[NET_IFNAME_LEN], size_t n)
{
    int      rc;
    size_t   i;
    json_t  *doc, *list;

    doc = json_pack("{s:s, s:s, s:i, s:o}", "type", "about:blank", "title",
                    reply_reason(why->status), "status", why->status,
                    "detail", reply_text(why->detail));

    if (doc && why->status == 404 && n) {
        list = json_array();

        for (i = 0; i < n; i++) {
            json_array_append_new(list, reply_text(names[i]));
        }

        json_object_set_new(doc, "interfaces", list);
    }

    rc = doc ? reply_json(tls, why->status, "application/problem+json", doc)
             : -1;
    json_decref(doc);

    return rc;
}


int
reply_status(tls_t *tls, const control_msg_t *counts, const conf_t *conf)
{
    int          rc, healthy;
    json_t      *doc;
    const char  *message;

    healthy = counts->verdict != CONTROL_DRAINING;
    message = !healthy ? "draining"
              : counts->totals.off ? "captures are switched off"
              : counts->captures_running >= counts->captures_max
                ? "all capture slots are in use" : "ready";

    doc = json_pack("{s:b, s:s, s:i, s:i, s:i, s:s, s:s, s:s}",
                    "healthy", healthy,
                    "version", PCAP_VERSION,
                    "compatibility_level", PCAP_COMPATIBILITY_LEVEL,
                    "captures_running", (int) counts->captures_running,
                    "captures_max", (int) counts->captures_max,
                    "container_mode", conf_containers_name(conf->containers),
                    "cri", conf_cri_name(conf->cri),
                    "message", message);

    if (doc && conf->files_folder) {
        json_object_set_new(doc, "files_running",
                            json_integer(counts->files_running));
    }

    rc = doc ? reply_json(tls, 200, "application/json", doc) : -1;
    json_decref(doc);

    return rc;
}


int
reply_metrics(tls_t *tls, const control_msg_t *counts)
{
    int    rc;
    char  *text;

    text = stats_text(&counts->totals);
    rc = text ? reply_body(tls, 200, "text/plain; version=0.0.4", text) : -1;
    free(text);

    return rc;
}


static int
reply_json(tls_t *tls, int status, const char *type, const json_t *doc)
{
    int    rc;
    char  *body;

    body = json_dumps(doc, JSON_COMPACT | JSON_PRESERVE_ORDER);
    rc = body ? reply_body(tls, status, type, body) : -1;
    free(body);

    return rc;
}


static int
reply_body(tls_t *tls, int status, const char *type, const char *body)
{
    int          n, rc;
    char        *all;
    size_t       len;
    const char  *extra;

    len = strlen(body);
    all = malloc(REPLY_HEAD_LEN + len);
    if (all == NULL) {
        return -1;
    }

    extra = status == 405 ? strstr(body, "DELETE") ? "Allow: GET, DELETE\r\n"
                                                   : "Allow: GET\r\n"
            : status == 429 ? "Retry-After: 5\r\n" : "";

    n = snprintf(all, REPLY_HEAD_LEN,
                 "HTTP/1.1 %d %s\r\nServer: pcap-agent/" PCAP_VERSION "\r\n"
                 "Content-Type: %s\r\nContent-Length: %zu\r\n%s"
                 "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                 status, reply_reason(status), type, len, extra);

    memcpy(all + n, body, len);
    rc = tls_write_all(tls, all, (size_t) n + len,
                       net_monotonic() + REPLY_TIMEOUT_NS);
    free(all);

    return rc;
}


static json_t *
reply_text(const char *text)
{
    char    *copy, *p;
    json_t  *str;

    str = json_string(text);
    if (str) {
        return str;
    }

    /* Not UTF-8: everything beyond ASCII goes. */

    copy = strdup(text);
    if (copy == NULL) {
        return NULL;
    }

    for (p = copy; *p; p++) {
        if ((unsigned char) *p >= 0x80) {
            *p = '?';
        }
    }

    str = json_string(copy);
    free(copy);

    return str;
}


static const char *
reply_reason(int status)
{
    switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 414: return "URI Too Long";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 507: return "Insufficient Storage";
    default:  return "Internal Server Error";
    }
}
