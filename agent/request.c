/*
 * agent/request.c: HTTP/1.1 for exactly one request line (RFC 9112). Strict
 * on purpose: GET (a file may be removed by DELETE), a few paths, no body, no
 * folding, no bare LF. The options go through one table; what is not in it
 * is refused by name.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pcapx/valid.h"
#include "request_int.h"


typedef struct {
    const char   *name;
    int         (*set)(request_t *req, const pcapx_pair_t *pair, char *err);
    unsigned      max;              /* how often it may stand there */
    unsigned      kinds;            /* of requests that have it */
} request_option_t;


static int request_line(char *line, size_t len, char **query,
    request_t *req, problem_t *why);
static int request_path(const char *method, char *path, request_t *req,
    problem_t *why);
static int request_headers(const char *p, const char *end, problem_t *why);
static int request_header(const char *p, size_t len, problem_t *why);
static int request_options(char *query, request_t *req, problem_t *why);
static int request_option(request_t *req, const pcapx_pair_t *pair,
    unsigned *seen, problem_t *why);
static int request_set_interface(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_filter(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_snaplen(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_format(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_promiscuous(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_heartbeat(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_files(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_id(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_exclude(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_peer(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_container(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_app(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_pod(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_namespace(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_set_name(request_t *req, const pcapx_pair_t *pair,
    char *err);
static int request_dns(const pcapx_pair_t *pair, const char *others,
    char *dst, size_t size, char *err);
static int request_together(const request_t *req, problem_t *why);
static int request_endpoint(const pcapx_pair_t *pair, endpoint_t *ep,
    char *err);
static const char *request_printable(const char *s, size_t len, char *dst,
    size_t max);


#define REQUEST_NOPTIONS  15

#define ON(kind)     (1u << (kind))
#define ON_CAPTURE   ON(REQUEST_CAPTURE)
#define ON_FOLDER    (ON(REQUEST_FILES) | ON(REQUEST_MERGED))
#define ON_FILES     (ON_FOLDER | ON(REQUEST_FILE) | ON(REQUEST_REMOVE))

static const request_option_t  request_table[REQUEST_NOPTIONS] = {
    { "interface", request_set_interface, PCAPX_MAX_INTERFACES, ON_CAPTURE },
    { "filter", request_set_filter, 1, ON_CAPTURE },
    { "snaplen", request_set_snaplen, 1, ON_CAPTURE },
    { "format", request_set_format, 1, ON_CAPTURE | ON_FOLDER },
    { "promiscuous", request_set_promiscuous, 1, ON_CAPTURE },
    { "heartbeat_ms", request_set_heartbeat, 1, ON_CAPTURE | ON_FOLDER },
    { "files", request_set_files, 1, ON_FOLDER },
    { "id", request_set_id, 1, ON_CAPTURE | ON_FILES },
    { "exclude", request_set_exclude, PCAPX_MAX_EXCLUDES, ON_CAPTURE },
    { "exclude_peer", request_set_peer, PCAPX_MAX_EXCLUDES, ON_CAPTURE },
    { "container", request_set_container, 1, ON_CAPTURE },
    { "app", request_set_app, 1, ON_CAPTURE },
    { "pod", request_set_pod, 1, ON_CAPTURE },
    { "namespace", request_set_namespace, 1, ON_CAPTURE },
    { "name", request_set_name, 1, ON_CAPTURE },
};


int
problem_set(problem_t *why, int status, const char *fmt, ...)
{
    va_list  ap;

    why->status = status;

    va_start(ap, fmt);
    vsnprintf(why->detail, sizeof(why->detail), fmt, ap);
    va_end(ap);

    return -1;
}


int
request_head(const char *buf, size_t len, problem_t *why)
{
    const char  *p;

    p = memmem(buf, len, "\r\n\r\n", 4);

    if (p && p - buf + 4 <= REQUEST_MAX_LEN) {
        return (int) (p - buf) + 4;
    }

    if (len < REQUEST_MAX_LEN) {
        return 0;
    }

    p = memchr(buf, '\n', len);

    return problem_set(why, p ? 431 : 414, "the request is longer than %d "
                       "bytes", REQUEST_MAX_LEN);
}


int
request_parse(char *buf, size_t len, request_t *req, problem_t *why)
{
    char  *eol, *query, none[1];

    memset(req, 0, sizeof(*req));
    req->snaplen = PCAPX_MAX_SNAPLEN;
    req->pcapng = 1;

    none[0] = '\0';
    query = none;
    eol = memmem(buf, len, "\r\n", 2);

    if (eol == NULL) {
        return problem_set(why, 400, "not an HTTP request");
    }

    if (request_headers(eol + 2, buf + len, why) != 0
        || request_line(buf, (size_t) (eol - buf), &query, req, why) != 0)
    {
        return -1;
    }

    if (request_options(query, req, why) != 0) {
        return -1;
    }

    if (req->kind == REQUEST_FILES && (req->heartbeat_ms || req->nfiles)) {
        return problem_set(why, 400, "%s: it is for format=pcapng only",
                           req->nfiles ? "files" : "heartbeat_ms");
    }

    if (req->heartbeat_ms == 0) {
        req->heartbeat_ms = REQUEST_HEARTBEAT_MS;
    }

    return request_together(req, why);
}


static int
request_together(const request_t *req, problem_t *why)
{
    if (req->pod[0] && (req->container[0] || req->app[0])) {
        return problem_set(why, 400, "pod: not together with container and "
                           "app");
    }

    if (req->pod[0] == '\0' && (req->pod_namespace[0] || req->pod_name[0])) {
        return problem_set(why, 400, "%s: it is needed with pod only",
                           req->pod_namespace[0] ? "namespace" : "name");
    }

    if ((req->container[0] == '\0') != (req->app[0] == '\0')) {
        return problem_set(why, 400, req->app[0]
                           ? "app: it is needed with container only"
                           : "container: app is needed, too");
    }

    return 0;
}


int
request_inside(const request_t *req)
{
    return req->container[0] || req->pod[0];
}


/* "GET /path?query HTTP/1.1"; *query becomes a text with a NUL at its end. */

static int
request_line(char *line, size_t len, char **query, request_t *req,
    problem_t *why)
{
    char    *target, *version;
    size_t   i;

    for (i = 0; i < len; i++) {
        if (line[i] < 0x20 || line[i] == 0x7f) {
            return problem_set(why, 400, "the request line holds a character "
                               "that must be encoded");
        }
    }

    line[len] = '\0';
    target = strchr(line, ' ');
    version = target ? strchr(target + 1, ' ') : NULL;

    if (version == NULL) {
        return problem_set(why, 400, "not an HTTP request");
    }

    *target++ = '\0';
    *version++ = '\0';

    if (strcmp(version, "HTTP/1.1") != 0) {
        return problem_set(why, 400, "HTTP/1.1 is needed");
    }

    *query = strchr(target, '?');

    if (*query) {
        *(*query)++ = '\0';

    } else {
        *query = target + strlen(target);
    }

    return request_path(line, target, req, why);
}


static int
request_path(const char *method, char *path, request_t *req, problem_t *why)
{
    if (strncmp(path, REQUEST_FILES_PATH, sizeof(REQUEST_FILES_PATH) - 1)
        == 0)
    {
        return request_files(method, path + sizeof(REQUEST_FILES_PATH) - 1,
                             req, why);
    }

    if (strcmp(method, "GET") != 0) {
        return problem_set(why, 405, "GET is the only method");
    }

    if (strcmp(path, "/v1/capture") == 0) {
        req->kind = REQUEST_CAPTURE;

    } else if (strcmp(path, "/v1/status") == 0) {
        req->kind = REQUEST_STATUS;

    } else if (strcmp(path, "/v1/metrics") == 0) {
        req->kind = REQUEST_METRICS;

    } else {
        return problem_set(why, 404, "there are /v1/status, /v1/metrics and "
                           "/v1/capture, and " REQUEST_FILES_PATH
                           "NAMESPACE/NAME");
    }

    return 0;
}


/* Nothing in them is used, but a body would change what follows. */

static int
request_headers(const char *p, const char *end, problem_t *why)
{
    const char  *eol;

    while (p < end) {
        eol = memmem(p, (size_t) (end - p), "\r\n", 2);

        if (eol == NULL) {
            return problem_set(why, 400, "a header line does not end");
        }

        if (eol == p) {
            return 0;
        }

        if (request_header(p, (size_t) (eol - p), why) != 0) {
            return -1;
        }

        p = eol + 2;
    }

    return problem_set(why, 400, "the blank line is missing");
}


static int
request_header(const char *p, size_t len, problem_t *why)
{
    size_t       i, name;
    const char  *colon;

    colon = memchr(p, ':', len);
    name = colon ? (size_t) (colon - p) : 0;

    if (name == 0) {
        return problem_set(why, 400, "a header line has no name");
    }

    for (i = 0; i < len; i++) {
        if ((i < name && (p[i] <= 0x20 || p[i] >= 0x7f))
            || ((p[i] >= 0 && p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f))
        {
            return problem_set(why, 400, "a header line holds a character "
                               "that is not allowed");
        }
    }

    if ((name == 14 && strncasecmp(p, "Content-Length", 14) == 0)
        || (name == 17 && strncasecmp(p, "Transfer-Encoding", 17) == 0))
    {
        return problem_set(why, 400, "a request has no body here");
    }

    return 0;
}


static int
request_options(char *query, request_t *req, problem_t *why)
{
    int            rc;
    char          *pos, *end, err[PCAPX_ERR_LEN];
    unsigned       seen[REQUEST_NOPTIONS];
    pcapx_pair_t   pair;

    memset(seen, 0, sizeof(seen));
    pos = query;
    end = query + strlen(query);

    for ( ;; ) {
        rc = pcapx_form_next(&pos, end, &pair, err);

        if (rc == PCAPX_END) {
            return 0;
        }

        if (rc != PCAPX_OK) {
            return problem_set(why, 400, "%s", err);
        }

        if (req->kind == REQUEST_STATUS || req->kind == REQUEST_METRICS) {
            return problem_set(why, 400, "%s has no options",
                               req->kind == REQUEST_STATUS ? "/v1/status"
                                                           : "/v1/metrics");
        }

        if (request_option(req, &pair, seen, why) != 0) {
            return -1;
        }
    }
}


static int
request_option(request_t *req, const pcapx_pair_t *pair, unsigned *seen,
    problem_t *why)
{
    char                     err[PCAPX_ERR_LEN], name[40];
    size_t                   i;
    const request_option_t  *o;

    for (i = 0; i < REQUEST_NOPTIONS; i++) {
        o = &request_table[i];

        if (pair->name_len != strlen(o->name)
            || memcmp(pair->name, o->name, pair->name_len) != 0)
        {
            continue;
        }

        if ((o->kinds & ON(req->kind)) == 0) {
            return problem_set(why, 400, "%s: there is no such option for "
                               "files", o->name);
        }

        if (++seen[i] > o->max) {
            return problem_set(why, 400, o->max == 1
                               ? "%s: must not be repeated"
                               : "%s: at most %u times", o->name, o->max);
        }

        if (o->set(req, pair, err) != PCAPX_OK) {
            return problem_set(why, 400, "%s: %s", o->name, err);
        }

        return 0;
    }

    return problem_set(why, 400, "%s: unknown option",
                       request_printable(pair->name, pair->name_len, name,
                                         sizeof(name)));
}


static int
request_set_interface(request_t *req, const pcapx_pair_t *pair, char *err)
{
    unsigned  i;

    if (pcapx_valid_interface(pair->value, pair->value_len, err)
        != PCAPX_OK)
    {
        return PCAPX_EINVAL;
    }

    memcpy(req->ifnames[req->nifnames], pair->value, pair->value_len);
    req->ifnames[req->nifnames][pair->value_len] = '\0';

    for (i = 0; i < req->nifnames; i++) {
        if (strcmp(req->ifnames[i], req->ifnames[req->nifnames]) == 0) {
            snprintf(err, PCAPX_ERR_LEN, "%s is named twice",
                     req->ifnames[i]);
            return PCAPX_EINVAL;
        }
    }

    req->nifnames++;

    return PCAPX_OK;
}


static int
request_set_filter(request_t *req, const pcapx_pair_t *pair, char *err)
{
    if (pcapx_valid_filter(pair->value, pair->value_len, err) != PCAPX_OK) {
        return PCAPX_EINVAL;
    }

    memcpy(req->filter, pair->value, pair->value_len);
    req->filter[pair->value_len] = '\0';

    /* White space alone is no filter. */

    if (req->filter[strspn(req->filter, " \t\n")] == '\0') {
        req->filter[0] = '\0';
    }

    return PCAPX_OK;
}


static int
request_set_snaplen(request_t *req, const pcapx_pair_t *pair, char *err)
{
    return pcapx_parse_snaplen(pair->value, pair->value_len, &req->snaplen,
                               err);
}


static int
request_set_format(request_t *req, const pcapx_pair_t *pair, char *err)
{
    int  rc;

    rc = pcapx_parse_format(pair->value, pair->value_len, &req->pcapng, err);

    if (rc != PCAPX_OK || req->kind == REQUEST_CAPTURE) {
        return rc;
    }

    if (!req->pcapng) {
        snprintf(err, PCAPX_ERR_LEN, "files are merged as pcapng only");
        return PCAPX_EINVAL;
    }

    req->kind = REQUEST_MERGED;

    return PCAPX_OK;
}


static int
request_set_promiscuous(request_t *req, const pcapx_pair_t *pair, char *err)
{
    return pcapx_parse_flag("promiscuous", pair->value, pair->value_len,
                            &req->promiscuous, err);
}


static int
request_set_heartbeat(request_t *req, const pcapx_pair_t *pair, char *err)
{
    int       rc;
    uint64_t  n;

    rc = pcapx_parse_number("heartbeat_ms", pair->value, pair->value_len,
                            REQUEST_MIN_HEARTBEAT_MS,
                            REQUEST_MAX_HEARTBEAT_MS, &n, err);

    if (rc == PCAPX_OK) {
        req->heartbeat_ms = (uint32_t) n;
    }

    return rc;
}


static int
request_set_files(request_t *req, const pcapx_pair_t *pair, char *err)
{
    int       rc;
    uint64_t  n;

    rc = pcapx_parse_number("files", pair->value, pair->value_len, 1,
                            UINT32_MAX, &n, err);

    if (rc == PCAPX_OK) {
        req->nfiles = (uint32_t) n;
    }

    return rc;
}


static int
request_set_id(request_t *req, const pcapx_pair_t *pair, char *err)
{
    if (pcapx_valid_capture_id(pair->value, pair->value_len, err)
        != PCAPX_OK || pair->value_len >= sizeof(req->id))
    {
        return PCAPX_EINVAL;
    }

    memcpy(req->id, pair->value, pair->value_len);
    req->id[pair->value_len] = '\0';

    return PCAPX_OK;
}


static int
request_set_exclude(request_t *req, const pcapx_pair_t *pair, char *err)
{
    return request_endpoint(pair, &req->excludes[req->nexcludes++], err);
}


static int
request_set_peer(request_t *req, const pcapx_pair_t *pair, char *err)
{
    return request_endpoint(pair, &req->peers[req->npeers++], err);
}


static int
request_endpoint(const pcapx_pair_t *pair, endpoint_t *ep, char *err)
{
    return pcapx_parse_endpoint(pair->value, pair->value_len, ep->addr,
                                &ep->addr_len, &ep->port, err);
}


static int
request_set_container(request_t *req, const pcapx_pair_t *pair, char *err)
{
    if (pcapx_valid_handle(pair->value, pair->value_len, err) != PCAPX_OK) {
        return PCAPX_EINVAL;
    }

    memcpy(req->container, pair->value, pair->value_len);
    req->container[pair->value_len] = '\0';

    return PCAPX_OK;
}


static int
request_set_app(request_t *req, const pcapx_pair_t *pair, char *err)
{
    if (pcapx_valid_guid(pair->value, pair->value_len, err) != PCAPX_OK) {
        return PCAPX_EINVAL;
    }

    memcpy(req->app, pair->value, pair->value_len);
    req->app[pair->value_len] = '\0';

    return PCAPX_OK;
}


static int
request_set_pod(request_t *req, const pcapx_pair_t *pair, char *err)
{
    if (pcapx_valid_guid(pair->value, pair->value_len, err) != PCAPX_OK) {
        return PCAPX_EINVAL;
    }

    memcpy(req->pod, pair->value, pair->value_len);
    req->pod[pair->value_len] = '\0';

    return PCAPX_OK;
}


static int
request_set_namespace(request_t *req, const pcapx_pair_t *pair, char *err)
{
    return request_dns(pair, "-", req->pod_namespace,
                       sizeof(req->pod_namespace), err);
}


static int
request_set_name(request_t *req, const pcapx_pair_t *pair, char *err)
{
    return request_dns(pair, "-.", req->pod_name, sizeof(req->pod_name), err);
}


/* A name of Kubernetes (RFC 1123 2.1). */

static int
request_dns(const pcapx_pair_t *pair, const char *others, char *dst,
    size_t size, char *err)
{
    size_t  i;
    char    c;

    for (i = 0; i < pair->value_len && i < size; i++) {
        c = pair->value[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9')
            && (i == 0 || c == '\0' || strchr(others, c) == NULL))
        {
            break;
        }
    }

    if (i == 0 || i != pair->value_len || i >= size) {
        snprintf(err, PCAPX_ERR_LEN, "must be 1 to %zu of a-z, 0-9 and %s, "
                 "and begin with a letter or digit", size - 1,
                 others[1] ? "\"-\", \".\"" : "\"-\"");
        return PCAPX_EINVAL;
    }

    memcpy(dst, pair->value, i);
    dst[i] = '\0';

    return PCAPX_OK;
}


static const char *
request_printable(const char *s, size_t len, char *dst, size_t max)
{
    size_t  i;

    for (i = 0; i < len && i < max - 1; i++) {
        dst[i] = s[i];

        if (s[i] <= 0x20 || s[i] >= 0x7f) {
            dst[i] = '?';
        }
    }

    dst[i] = '\0';

    return dst;
}
