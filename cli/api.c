/*
 * cli/api.c: sets up libcurl. https only, redirects are not followed here (the
 * token would go with them), TLS 1.2 or later, verified unless -k was given.
 * Proxies come from the environment as libcurl reads it; the proxy does not
 * get the API's headers.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api.h"
#include "pcapx/version.h"
#include "text.h"
#include "trust.h"
#include "wipe.h"


#define API_HIDDEN  ": [hidden]"


typedef struct {
    char    *data;
    size_t   len;
} api_buf_t;


/* Appends "name=value", encoded; -1 when it gets too long. */
static int
api_form_add(api_buf_t *b, const char *name, const char *value)
{
    size_t  n;

    n = strlen(name) + 2;

    if (n > CLI_MAX_FORM_BYTES - b->len) {
        return -1;
    }

    b->len += (size_t) snprintf(b->data + b->len, CLI_MAX_FORM_BYTES - b->len,
                                "%s%s=", b->len ? "&" : "", name);

    n = pcapx_form_encode(b->data + b->len, CLI_MAX_FORM_BYTES - b->len,
                          value, strlen(value));
    if (n > CLI_MAX_FORM_BYTES - b->len) {
        return -1;
    }

    b->len += n;

    return 0;
}


char *
api_form(const opt_t *o, char *err)
{
    int               rc;
    size_t            i;
    api_buf_t         b;
    const opt_def_t  *def;

    b.len = 0;
    b.data = malloc(CLI_MAX_FORM_BYTES + 1);

    if (b.data == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
        return NULL;
    }

    rc = api_form_add(&b, "format", "pcapng");

    for (i = 0; i < o->nargs && rc == 0; i++) {
        def = &opt_table[o->args[i].id];

        if (def->form == NULL) {
            continue;
        }

        rc = api_form_add(&b, def->form, def->kind == OPT_FLAG
                                         ? "1" : o->args[i].value);
    }

    if (rc != 0) {
        snprintf(err, PCAPX_ERR_LEN, "the options are too long together: at"
                 " most %d bytes", CLI_MAX_FORM_BYTES);
        free(b.data);
        return NULL;
    }

    b.data[b.len] = '\0';

    return b.data;
}


/* Nothing behind the name is kept: not even how long it was. */
static void
api_redact_value(char *line, const char *name)
{
    char    *p;
    size_t   left;

    p = strcasestr(line, name);
    if (p == NULL) {
        return;
    }

    p += strlen(name);
    left = strlen(p);
    wipe(p, left);

    if (left >= sizeof(API_HIDDEN)) {
        memcpy(p, API_HIDDEN, sizeof(API_HIDDEN));
    }
}


void
api_redact(char *line, const char *token)
{
    char    *p, *rest;
    size_t   n, stars;

    api_redact_value(line, "authorization");

    if (strncasecmp(line, "location:", sizeof("location:") - 1) == 0) {
        api_redact_value(line, "?");
    }

    n = token != NULL ? strlen(token) : 0;
    stars = n < 3 ? n : 3;

    for (p = line; n > 0 && (p = strstr(p, token)) != NULL; p += stars) {
        rest = p + n;
        memset(p, '*', stars);
        memmove(p + stars, rest, strlen(rest) + 1);
    }
}


/* One line of curl's log; text may hold the token, so copies are wiped. */
static void
api_debug_line(const api_request_t *q, char mark, const char *s, size_t len)
{
    char   *line;
    size_t  n;

    line = malloc(len + 1);
    if (line == NULL) {
        return;
    }

    /* A NUL would hide what follows from the search for the token. */
    memcpy(line, s, len);

    for (n = 0; n < len; n++) {
        if (line[n] == '\0') {
            line[n] = '?';
        }
    }

    line[n] = '\0';
    api_redact(line, q->api->conf->token);

    if (*line != '\0') {
        msg_debug(q->api->msg, "%c %.1000s", mark, line);
    }

    wipe(line, len + 1);
    free(line);
}


static int
api_on_debug(CURL *easy, curl_infotype type, char *data, size_t len,
    void *ctx)
{
    char         mark;
    size_t       n;
    const char  *end;

    (void) easy;

    switch (type) {

    case CURLINFO_TEXT:
        mark = '*';
        break;

    case CURLINFO_HEADER_OUT:
        mark = '>';
        break;

    case CURLINFO_HEADER_IN:
        mark = '<';
        break;

    default:
        /* Bodies and TLS records: packets, tokens. */
        return 0;
    }

    while (len > 0) {
        end = memchr(data, '\n', len);
        n = end != NULL ? (size_t) (end - data) : len;

        api_debug_line(ctx, mark, data,
                       n > 0 && data[n - 1] == '\r' ? n - 1 : n);

        n += end != NULL;
        data += n;
        len -= n;
    }

    return 0;
}


static size_t
api_on_header(char *p, size_t size, size_t n, void *ctx)
{
    api_request_t  *q = ctx;

    reply_header(&q->reply, p, size * n);

    return size * n;
}


static size_t
api_on_document(char *p, size_t size, size_t n, void *ctx)
{
    api_request_t  *q = ctx;

    return reply_body(&q->reply, p, size * n) == 0 ? size * n : 0;
}


int
api_header(api_request_t *q, const char *line)
{
    struct curl_slist  *more;

    more = curl_slist_append(q->headers, line);
    if (more == NULL) {
        return -1;
    }

    q->headers = more;

    return 0;
}


/* token is NULL where it is none of the server's business. */
static int
api_set_headers(api_request_t *q, const char *token)
{
    int     rc;
    char   *auth;
    size_t  len;

    rc = api_header(q, "Accept: application/x-pcapng,"
                           " application/problem+json, application/json");

    /* No "Expect: 100-continue": a proxy may not know it. */
    if (rc == 0) {
        rc = api_header(q, "Expect:");
    }

    if (rc != 0 || token == NULL) {
        return rc;
    }

    len = strlen(token) + sizeof("Authorization: bearer ");

    auth = malloc(len);
    if (auth == NULL) {
        return -1;
    }

    snprintf(auth, len, "Authorization: bearer %s", token);
    rc = api_header(q, auth);

    wipe(auth, len);
    free(auth);

    return rc;
}


static void
api_set_tls(api_request_t *q)
{
    const char        *file;
    const conf_t      *conf;
    struct curl_blob   pem;

    conf = q->api->conf;

    curl_easy_setopt(q->easy, CURLOPT_SSLVERSION,
                     (long) CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(q->easy, CURLOPT_SSL_VERIFYPEER, conf->insecure ? 0L : 1L);
    curl_easy_setopt(q->easy, CURLOPT_SSL_VERIFYHOST, conf->insecure ? 0L : 2L);

    /* libcurl would go on trusting the system's folder beside the file. */
    if (conf->ca_cert != NULL) {
        curl_easy_setopt(q->easy, CURLOPT_CAINFO, conf->ca_cert);
        curl_easy_setopt(q->easy, CURLOPT_CAPATH, NULL);

    } else if (conf->ca_pem != NULL) {
        pem.data = conf->ca_pem;
        pem.len = strlen(conf->ca_pem);
        pem.flags = CURL_BLOB_COPY;
        curl_easy_setopt(q->easy, CURLOPT_CAINFO_BLOB, &pem);

        if (!conf->system_too) {
            curl_easy_setopt(q->easy, CURLOPT_CAPATH, NULL);
        }

    } else if (trust_instead(&file)) {
        curl_easy_setopt(q->easy, CURLOPT_CAINFO, file);
    }
}


static void
api_set_transfer(api_request_t *q)
{
    CURL  *easy;

    easy = q->easy;

    curl_easy_setopt(easy, CURLOPT_URL, q->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long) CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, q->headers);
    curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "pcap-cli/" PCAP_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) CLI_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, q->err);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, api_on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, q);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, api_on_document);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, q);

    if (q->api->conf->proxy != NULL) {
        curl_easy_setopt(easy, CURLOPT_PROXY, q->api->conf->proxy);
    }

    if (q->api->msg->level == MSG_VERBOSE) {
        curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, api_on_debug);
        curl_easy_setopt(easy, CURLOPT_DEBUGDATA, q);
        curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
    }
}


/* Who we are besides the token: for the API alone. */
static void
api_set_client_cert(api_request_t *q)
{
    const conf_t      *conf;
    struct curl_blob   blob;

    conf = q->api->conf;

    if (conf->cert_pem == NULL || conf->key_pem == NULL) {
        return;
    }

    blob.flags = CURL_BLOB_COPY;
    blob.data = conf->cert_pem;
    blob.len = strlen(conf->cert_pem);
    curl_easy_setopt(q->easy, CURLOPT_SSLCERT_BLOB, &blob);
    curl_easy_setopt(q->easy, CURLOPT_SSLCERTTYPE, "PEM");

    blob.data = conf->key_pem;
    blob.len = strlen(conf->key_pem);
    curl_easy_setopt(q->easy, CURLOPT_SSLKEY_BLOB, &blob);
    curl_easy_setopt(q->easy, CURLOPT_SSLKEYTYPE, "PEM");
}


/* Takes url over. */
static int
api_prepare(api_request_t *q, const api_t *api, char *url, const char *token)
{
    q->api = api;
    q->url = url;
    reply_init(&q->reply);
    q->easy = curl_easy_init();

    if (q->easy == NULL || url == NULL || api_set_headers(q, token) != 0) {
        return -1;
    }

    api_set_transfer(q);
    api_set_tls(q);

    return 0;
}


int
api_request_init(api_request_t *q, const api_t *api, const char *method,
    const char *path, char *form)
{
    char    *url;
    size_t   len;

    q->form = form;
    len = strlen(api->conf->url) + strlen(path) + 1;
    url = malloc(len);

    if (url != NULL) {
        snprintf(url, len, "%s%s", api->conf->url, path);
    }

    if (api_prepare(q, api, url, api->conf->token) != 0) {
        return -1;
    }

    api_set_client_cert(q);

    if (form != NULL) {
        curl_easy_setopt(q->easy, CURLOPT_POSTFIELDSIZE,
                         (long) strlen(form));
        curl_easy_setopt(q->easy, CURLOPT_POSTFIELDS, form);
        msg_debug(api->msg, "> %s %s with %s", method, path, form);
    }

    curl_easy_setopt(q->easy, CURLOPT_CUSTOMREQUEST, method);

    return 0;
}


int
api_request_elsewhere(api_request_t *q, const api_t *api, const char *url)
{
    if (api_prepare(q, api, strdup(url), NULL) != 0) {
        return -1;
    }

    /* The address itself is the secret there. */
    curl_easy_setopt(q->easy, CURLOPT_VERBOSE, 0L);

    return 0;
}


void
api_request_free(api_request_t *q)
{
    struct curl_slist  *h;

    curl_easy_cleanup(q->easy);

    for (h = q->headers; h != NULL; h = h->next) {
        wipe(h->data, strlen(h->data));
    }

    curl_slist_free_all(q->headers);
    wipe_free(q->url);
    free(q->form);
    reply_free(&q->reply);
    memset(q, 0, sizeof(api_request_t));
}


/* Turn by turn; in a multi handle of its own, nothing else is reaped here. */
static CURLcode
api_run_beside(api_request_t *q, CURLM *multi, const conf_wait_t *wait)
{
    int       running, left;
    CURLMsg  *m;

    if (curl_multi_add_handle(multi, q->easy) != CURLM_OK) {
        return CURLE_OUT_OF_MEMORY;
    }

    do {
        if (curl_multi_perform(multi, &running) != CURLM_OK) {
            return CURLE_FAILED_INIT;
        }

        m = curl_multi_info_read(multi, &left);

        if (m != NULL && m->msg == CURLMSG_DONE) {
            return m->data.result;
        }

    } while (wait->turn(wait->ctx) == 0);

    return CURLE_ABORTED_BY_CALLBACK;
}


CURLcode
api_run(api_request_t *q, const conf_wait_t *wait)
{
    CURLM     *multi;
    CURLcode   rc;

    curl_easy_setopt(q->easy, CURLOPT_TIMEOUT_MS,
                     (long) q->api->conf->timeout_ms);

    if (wait == NULL) {
        return curl_easy_perform(q->easy);
    }

    multi = curl_multi_init();
    if (multi == NULL) {
        return CURLE_OUT_OF_MEMORY;
    }

    rc = api_run_beside(q, multi, wait);

    curl_multi_remove_handle(multi, q->easy);
    curl_multi_cleanup(multi);

    return rc;
}


cli_exit_t
api_ask(api_request_t *q, const api_t *api, const conf_wait_t *wait,
    const char *name, const char *method, const char *path)
{
    CURLcode  rc;

    if (q->easy == NULL
        && api_request_init(q, api, method, path, NULL) != 0)
    {
        msg_error(api->msg, "out of memory");
        return CLI_FAILED;
    }

    rc = api_run(q, wait);

    if (rc != CURLE_OK) {
        msg_error(api->msg, "no answer from the %s at %.100s: %.200s", name,
                  api->conf->host, api_error(q, rc));
        return CLI_FAILED;
    }

    return CLI_OK;
}


const char *
api_error(const api_request_t *q, CURLcode rc)
{
    return q->err[0] != '\0' ? q->err : curl_easy_strerror(rc);
}


const char *
api_hint(const api_request_t *q, CURLcode rc)
{
    if (rc == CURLE_SSL_CACERT_BADFILE) {
        return "; it has to be a file with certificates (PEM) that can be"
               " read";
    }

    /* Another name is no matter of the CA. */
    if (rc != CURLE_PEER_FAILED_VERIFICATION
        || strstr(q->err, "subject name") != NULL)
    {
        return "";
    }

    return q->api->conf->ca_cert != NULL
           ? "; is its CA the one that PCAP_CA names?"
           : "; PCAP_CA or --ca-cert may name a file with its CA";
}
