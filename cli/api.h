/*
 * cli/api.h: requests to the API over libcurl: addresses, form, headers,
 * TLS. It is the only room that puts the token into a request, and what -v
 * shows goes through it without the token.
 */

#ifndef CLI_API_H
#define CLI_API_H

#include <curl/curl.h>

#include "cli.h"
#include "conf.h"
#include "msg.h"
#include "reply.h"


/* Longest path: "/v1/capture/static/" and a group of 128 bytes. */
#define API_MAX_PATH  256

typedef struct {
    const conf_t        *conf;
    msg_t               *msg;
} api_t;

/* One request and its answer. Start it zeroed. */

typedef struct {
    CURL                *easy;
    struct curl_slist   *headers;
    char                *url;
    char                *form;         /* NULL: no body */
    reply_t              reply;
    const api_t         *api;
    char                 err[CURL_ERROR_SIZE];
} api_request_t;


/*
 * Prepares q for METHOD on PATH (beginning with "/v1/"; made of characters
 * that need no encoding). form is an encoded body, owned by q from now on
 * also on failure, or NULL. The owner adds write callback and private data.
 * Returns 0, or -1 without memory. Call api_request_free() in both cases.
 */
int api_request_init(api_request_t *q, const api_t *api, const char *method,
    const char *path, char *form);

void api_request_free(api_request_t *q);

/*
 * Prepares q for a GET of an absolute https URL of whatever server: without
 * the token. Returns as api_request_init().
 */
int api_request_elsewhere(api_request_t *q, const api_t *api,
    const char *url);

/* Adds the header line to a prepared request. 0, or -1 without memory. */
int api_header(api_request_t *q, const char *line);

/*
 * The capture options of o as application/x-www-form-urlencoded, always with
 * format=pcapng. Returns an allocated text, or NULL with err (PCAPX_ERR_LEN
 * bytes) filled: out of memory, or longer than CLI_MAX_FORM_BYTES.
 */
char *api_form(const opt_t *o, char *err);

/*
 * Runs a request whose answer is a document, to its end; wait's turns are
 * taken meanwhile (NULL: it blocks). Returns CURLE_OK with the answer in
 * q->reply, or curl's error; CURLE_ABORTED_BY_CALLBACK when wait gave up.
 */
CURLcode api_run(api_request_t *q, const conf_wait_t *wait);

/*
 * One request to a server, whose answer is a document, as api_run(). q may
 * have been prepared by api_request_init(), or is zeroed: then it is done here.
 * name stands in messages ("Director"). CLI_OK with q->reply, or CLI_FAILED
 * (told). Call api_request_free(q) in both cases.
 */
cli_exit_t api_ask(api_request_t *q, const api_t *api,
    const conf_wait_t *wait, const char *name, const char *method,
    const char *path);

/* What curl says about rc, not cleaned. */
const char *api_error(const api_request_t *q, CURLcode rc);

/* What the user can do about rc, "; ...", or "". */
const char *api_hint(const api_request_t *q, CURLcode rc);

/*
 * Takes every secret out of a line for -v, in place: the value of any
 * ...authorization header, in both spellings that curl prints, the query of
 * an address that is redirected to (it may be a signature), and the token
 * itself wherever it stands.
 */
void api_redact(char *line, const char *token);


#endif /* CLI_API_H */
