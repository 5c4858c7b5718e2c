/*
 * cli/get.c: asks for the file and goes on when the connection breaks. Each
 * try begins at the API, which may send on to an object store: there the
 * address itself is the right, and the token does not go with it.
 */

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "capture.h"
#include "control.h"
#include "get.h"


#define GET_TICK_MS       250
#define GET_MAX_PAUSE_MS  30000     /* whatever the API asks */

/* Seconds before each further try without a byte; then it is given up. */
static const unsigned  get_pauses[] = { 0, 1, 2, 4, 8, 16, 30 };

#define GET_PAUSES  (sizeof(get_pauses) / sizeof(get_pauses[0]))


static size_t
get_on_body(char *p, size_t size, size_t n, void *ctx)
{
    get_t    *g = ctx;
    reply_t  *r;

    n *= size;
    r = &g->q->reply;
    g->heard_ms = capture_now();

    if (r->status != 200 && r->status != 206) {
        return reply_body(r, p, n) == 0 ? n : 0;
    }

    if ((!g->taking && get_data_begin(g, r) != 0)
        || get_data_put(g, p, n) != 0)
    {
        return 0;
    }

    /* Waiting for the reader of a pipe is no silence of the server. */
    g->heard_ms = capture_now();

    return n;
}


/* Only what is not here yet, if the file is still the same one. */
static int
get_ask_rest(get_t *g)
{
    char  line[PART_MAX_ETAG + 32];

    g->ranged = g->file != NULL && g->part.len > 0
                && *g->part.etag != '\0';

    if (!g->ranged) {
        return 0;
    }

    /* One byte twice: a part that is whole would be answered with 416. */
    snprintf(line, sizeof(line), "Range: bytes=%" PRIu64 "-",
             g->part.len - 1);

    if (api_header(g->q, line) != 0) {
        return -1;
    }

    snprintf(line, sizeof(line), "If-Range: %s", g->part.etag);

    return api_header(g->q, line);
}


/* The loop of one transfer; CURLE_ABORTED_BY_CALLBACK: Ctrl-C. */
static CURLcode
get_loop(get_t *g, CURLM *multi)
{
    int                 running, left;
    CURLMsg            *m;
    struct curl_waitfd  fd;

    memset(&fd, 0, sizeof(fd));
    fd.fd = g->tick->sig_fd;
    fd.events = CURL_WAIT_POLLIN;

    for ( ;; ) {
        if (curl_multi_perform(multi, &running) != CURLM_OK) {
            return CURLE_FAILED_INIT;
        }

        m = curl_multi_info_read(multi, &left);

        if (m != NULL && m->msg == CURLMSG_DONE) {
            return m->data.result;
        }

        if (tick_stopped(g->tick)) {
            return CURLE_ABORTED_BY_CALLBACK;
        }

        if (capture_now() - g->heard_ms >= g->api.conf->timeout_ms) {
            return CURLE_OPERATION_TIMEDOUT;
        }

        if (g->taking) {
            term_load(&g->term, &g->load, capture_now());
        }

        (void) curl_multi_poll(multi, &fd, 1, GET_TICK_MS, NULL);
    }
}


static CURLcode
get_transfer(get_t *g, api_request_t *q)
{
    CURLM     *multi;
    CURLcode   rc;

    g->q = q;
    g->taking = 0;
    g->heard_ms = capture_now();

    multi = curl_multi_init();

    if (multi == NULL || get_ask_rest(g) != 0) {
        curl_multi_cleanup(multi);
        return CURLE_OUT_OF_MEMORY;
    }

    curl_easy_setopt(q->easy, CURLOPT_WRITEFUNCTION, get_on_body);
    curl_easy_setopt(q->easy, CURLOPT_WRITEDATA, g);

    rc = curl_multi_add_handle(multi, q->easy) == CURLM_OK
         ? get_loop(g, multi) : CURLE_OUT_OF_MEMORY;

    curl_multi_remove_handle(multi, q->easy);
    curl_multi_cleanup(multi);

    return rc;
}


static int
get_is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307
           || status == 308;
}


/* The connection broke, or there was none. CLI_AGAIN: once more. */
static cli_exit_t
get_broken(get_t *g, CURLcode rc)
{
    if (g->over || tick_stopped(g->tick)) {
        return CLI_FAILED;
    }

    msg_wipe(g->msg);

    if (!g->begun) {
        msg_error(g->msg, "no answer from %.100s: %.200s%s", g->where,
                  api_error(g->q, rc), api_hint(g->q, rc));
        return CLI_FAILED;
    }

    if (g->file == NULL) {
        msg_error(g->msg, "the connection broke: %.200s; what was written is"
                  " not whole", api_error(g->q, rc));
        return CLI_FAILED;
    }

    msg_note(g->msg, "the connection broke: %.200s", api_error(g->q, rc));

    return CLI_AGAIN;
}


/* The transfer is over, without the connection being at fault. */
static cli_exit_t
get_taken(get_t *g)
{
    /* Nothing has called us where there is nothing in it. */
    if (!g->taking && get_data_begin(g, &g->q->reply) != 0) {
        return CLI_FAILED;
    }

    return g->has_total && g->load.done < g->total
           ? get_broken(g, CURLE_PARTIAL_FILE) : CLI_OK;
}


/* A fresh token, once between two bytes. CLI_AGAIN: there is one. */
static cli_exit_t
get_renew(get_t *g)
{
    conf_wait_t  wait = { tick_turn, g->tick };

    if (g->renewed || conf_renew(g->api.conf, &wait) != 0) {
        return CLI_DENIED;
    }

    g->renewed = 1;

    return CLI_AGAIN;
}


/* The API says something else than the file. */
static cli_exit_t
get_refused(get_t *g)
{
    long        status;
    cli_exit_t  code;

    status = g->q->reply.status;

    if (status == 401 && get_renew(g) == CLI_AGAIN) {
        return CLI_AGAIN;
    }

    /* It is shorter than what is here: from the beginning, then. */
    if (status == 416 && g->ranged && part_begin(&g->part, "") == 0) {
        return CLI_AGAIN;
    }

    if (g->begun && g->file != NULL && (status == 429 || status >= 500)) {
        msg_note(g->msg, "the API answers HTTP %ld", status);
        return CLI_AGAIN;
    }

    msg_wipe(g->msg);
    code = control_tell(&g->api, g->q, opt_count(g->opt, OPT_JSON)
                                       && g->file != NULL);

    if (status == 409) {
        msg_error(g->msg, "it is still being written: `pcap-cli show` tells"
                  " how far it is, `pcap-cli stop` ends it");
    }

    return code;
}


static void
get_take_raw(get_t *g, const json_t *doc)
{
    const json_t  *n;

    n = json_object_get(json_object_get(doc, "stored"), "uncompressed_bytes");

    if (json_is_integer(n) && json_integer_value(n) >= 0) {
        g->raw_total = (uint64_t) json_integer_value(n);
        g->has_raw = 1;
    }
}


/* An object store knows no checksum; the capture's document has it. */
static void
get_ask_sum(get_t *g)
{
    char           path[API_MAX_PATH];
    json_t        *doc;
    conf_wait_t    wait = { tick_turn, g->tick };
    const json_t  *sum;
    api_request_t  q = { 0 };

    snprintf(path, sizeof(path), "/v1/captures/%s", g->id);

    if (*g->sha256 == '\0'
        && api_request_init(&q, &g->api, "GET", path, NULL) == 0
        && api_run(&q, &wait) == CURLE_OK && q.reply.status == 200
        && q.reply.body != NULL)
    {
        doc = json_loadb(q.reply.body, q.reply.body_len,
                         JSON_REJECT_DUPLICATES, NULL);
        get_take_raw(g, doc);
        sum = json_object_get(json_object_get(doc, "stored"), "sha256");

        if (json_is_string(sum)) {
            reply_sha256(g->sha256, json_string_value(sum),
                         json_string_length(sum));
        }

        json_decref(doc);
    }

    api_request_free(&q);
}


/* One try at an object store; q is the API's answer that names it. */
static cli_exit_t
get_elsewhere(get_t *g, const reply_t *said)
{
    CURLcode       rc;
    cli_exit_t     code;
    api_request_t  q = { 0 };

    if (said->redirect == NULL
        || strncasecmp(said->redirect, "https://", 8) != 0)
    {
        msg_error(g->msg, "the API redirects, but not to an https address");
        return CLI_FAILED;
    }

    g->lost = said->lost;
    g->has_lost |= said->has_lost;

    if (*said->sha256 != '\0') {
        memcpy(g->sha256, said->sha256, sizeof(g->sha256));
    }

    if (said->has_raw) {
        g->raw_total = said->raw;
        g->has_raw = 1;
    }

    /* Now: the token may have run out when all is here. */
    get_ask_sum(g);
    g->where = "the server that the API redirects to";
    g->away = 1;

    if (api_request_elsewhere(&q, &g->api, said->redirect) != 0) {
        msg_error(g->msg, "out of memory");
        api_request_free(&q);
        return CLI_FAILED;
    }

    msg_debug(g->msg, "* going on where the API redirects to");
    rc = get_transfer(g, &q);

    if (rc != CURLE_OK) {
        code = get_broken(g, rc);

    } else if (q.reply.status == 200 || q.reply.status == 206) {
        code = get_taken(g);

    } else {
        msg_error(g->msg, "where the API redirects to, the answer is HTTP %ld",
                  q.reply.status);
        code = g->begun && g->file != NULL ? CLI_AGAIN : CLI_FAILED;
    }

    api_request_free(&q);

    return code;
}


/* CLI_OK: all is here; CLI_AGAIN, with *pause_ms as the API asks. */
static cli_exit_t
get_try(get_t *g, uint64_t *pause_ms)
{
    char           path[API_MAX_PATH];
    CURLcode       rc;
    cli_exit_t     code;
    api_request_t  q = { 0 };

    *pause_ms = 0;
    g->where = g->api.conf->host;
    g->away = 0;
    snprintf(path, sizeof(path), "/v1/captures/%s/file", g->id);

    if (api_request_init(&q, &g->api, "GET", path, NULL) != 0) {
        msg_error(g->msg, "out of memory");
        api_request_free(&q);
        return CLI_FAILED;
    }

    rc = get_transfer(g, &q);

    if (rc != CURLE_OK) {
        code = get_broken(g, rc);

    } else if (q.reply.status == 200 || q.reply.status == 206) {
        code = get_taken(g);

    } else if (get_is_redirect(q.reply.status)) {
        code = get_elsewhere(g, &q.reply);

    } else {
        code = get_refused(g);
    }

    if (q.reply.has_retry_after) {
        *pause_ms = q.reply.retry_after_s < GET_MAX_PAUSE_MS / 1000
                    ? q.reply.retry_after_s * 1000 : GET_MAX_PAUSE_MS;
    }

    g->q = NULL;
    api_request_free(&q);

    return code;
}


/* Until it is here, or there is no use in trying. */
static cli_exit_t
get_tries(get_t *g)
{
    uint64_t    ms;
    cli_exit_t  code;

    for ( ;; ) {
        code = get_try(g, &ms);

        if (code != CLI_AGAIN) {
            return code;
        }

        if (g->tries == GET_PAUSES) {
            msg_error(g->msg, "gave up: nothing came in %zu tries",
                      GET_PAUSES);
            return CLI_FAILED;
        }

        if (ms < get_pauses[g->tries] * UINT64_C(1000)) {
            ms = get_pauses[g->tries] * UINT64_C(1000);
        }

        g->tries++;

        if (tick_sleep(g->tick, ms / conf_time_scale()) != 0) {
            return CLI_FAILED;
        }
    }
}


/* What is left of a try that failed. */
static void
get_say_part(const get_t *g)
{
    if (tick_stopped(g->tick)) {
        msg_error(g->msg, "interrupted");
    }

    if (g->file != NULL && g->part.fd != -1 && g->part.len > 0) {
        msg_error(g->msg, "%.300s is kept: the same command goes on with it",
                  g->part.path);
    }
}


/* It has all that the store has, which is not all that was captured. */
static cli_exit_t
get_tell_lost(const get_t *g)
{
    char  text[64];

    snprintf(text, sizeof(text), "%" PRIu64 " bytes of the capture", g->lost);
    msg_error(g->msg, "something is missing in the file, %s: `pcap-cli show"
              " %s` says why", g->lost ? text : "it was interrupted", g->id);

    return CLI_PARTIAL;
}


cli_exit_t
get_fetch(const opt_t *opt, const conf_t *conf, msg_t *msg, const char *id,
    tick_t *tick)
{
    get_t       g;
    cli_exit_t  code;

    memset(&g, 0, sizeof(g));
    g.opt = opt;
    g.msg = msg;
    g.api.conf = conf;
    g.api.msg = msg;
    g.id = id;
    g.tick = tick;

    code = get_data_open(&g) == 0 ? CLI_OK : CLI_FAILED;

    if (code == CLI_OK && g.part.len > 0) {
        msg_note(msg, "going on with %.300s", g.part.path);
    }

    if (code == CLI_OK) {
        code = get_tries(&g);
    }

    if (code == CLI_OK) {
        get_ask_sum(&g);
        code = get_data_end(&g);

        if (code == CLI_OK && g.has_lost) {
            code = get_tell_lost(&g);
        }

    } else if (g.left) {
        /* As of a capture: it has what it wanted. */
        code = CLI_OK;

    } else {
        get_say_part(&g);
    }

    get_data_close(&g);

    return code;
}


cli_exit_t
get_run(const opt_t *opt, const conf_t *conf, msg_t *msg)
{
    tick_t      tick;
    cli_exit_t  code;

    if (tick_open(&tick, conf) != 0) {
        msg_error(msg, "no signals can be taken");
        return CLI_FAILED;
    }

    code = get_fetch(opt, conf, msg, opt->target, &tick);
    tick_close(&tick);

    return code;
}
