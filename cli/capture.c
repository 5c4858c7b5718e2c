/*
 * cli/capture.c: the loop. One curl multi handle, the signal pipe, the
 * question and the output's descriptor are waited for in one place; every
 * wait has a deadline. Nothing here reads a block or writes a byte.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "capture.h"
#include "sig.h"


/* The longest sleep: due rows and deadlines are looked at after it. */
#define CAPTURE_TICK_MS  250

/* Large enough for a TLS record or an HTTP/2 window's worth. */
#define CAPTURE_BUFFER   131072

#define CAPTURE_MAX_FDS  3


uint64_t
capture_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


void
capture_stop(capture_t *c, stop_t why)
{
    if (c->stop != STOP_NONE) {
        return;
    }

    c->stop = why;
    c->want_delete = why != STOP_BAD_STREAM;
    c->deadline_ms = capture_now() + CLI_STOP_DEADLINE_MS;
}


/* Takes a piece of the body. */
static size_t
capture_on_body(char *p, size_t size, size_t n, void *ctx)
{
    size_t      len;
    reply_t    *reply;
    capture_t  *c = ctx;

    len = size * n;
    reply = &c->request.reply;
    c->heard_ms = capture_now();

    if (reply->status != 200) {
        return reply_body(reply, p, len) == 0 ? len : 0;
    }

    if (!reply_is(reply, "application/x-pcapng")) {
        return 0;
    }

    if (c->began_ms == 0) {
        c->began_ms = c->heard_ms;
    }

    if (!c->sink_off && out_pending(&c->out) >= OUT_HIGH_WATER) {
        c->paused = 1;
        return CURL_WRITEFUNC_PAUSE;
    }

    if (stream_feed(&c->stream, (const uint8_t *) p, len) != 0) {
        msg_error(c->msg, "malformed stream: %s", c->stream.err);
        c->stop = STOP_BAD_STREAM;
        return 0;
    }

    return len;
}


static int
capture_start(capture_t *c)
{
    char   path[API_MAX_PATH], err[PCAPX_ERR_LEN];
    char  *form;
    CURL  *easy;

    form = api_form(c->opt, err);
    if (form == NULL) {
        msg_error(c->msg, "%s", err);
        return -1;
    }

    /* The group was checked: no character of it needs encoding. */
    snprintf(path, sizeof(path), "/v1/capture/%s/%s",
             opt_cmds[c->opt->cmd].name, c->opt->target);

    if (api_request_init(&c->request, &c->api, "POST", path, form) != 0
        || (c->multi = curl_multi_init()) == NULL)
    {
        msg_error(c->msg, "out of memory");
        return -1;
    }

    easy = c->request.easy;
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, capture_on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long) CAPTURE_BUFFER);

    c->heard_ms = capture_now();

    return curl_multi_add_handle(c->multi, easy) == CURLM_OK ? 0 : -1;
}


/* Asks the API to end the capture. */
static void
capture_delete(capture_t *c)
{
    char        path[API_MAX_PATH];
    CURL       *easy;
    const char  *id;

    c->want_delete = 0;
    id = c->request.reply.capture_id;

    if (!c->request.reply.got_head || id[0] == '\0') {
        c->quit = 1;
        return;
    }

    snprintf(path, sizeof(path), "/v1/captures/%s", id);

    if (api_request_init(&c->stop_request, &c->api, "DELETE", path, NULL)
        != 0)
    {
        c->quit = 1;
        return;
    }

    /* The first connection may be full of packets. */
    easy = c->stop_request.easy;
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) CLI_STOP_DEADLINE_MS);

    if (curl_multi_add_handle(c->multi, easy) != CURLM_OK) {
        c->quit = 1;
        return;
    }

    c->deleting = 1;
}


/*
 * The DELETE is answered. 404 is no failure: the capture may have ended by
 * itself meanwhile, and the stream will say so.
 */
static void
capture_deleted(capture_t *c, CURLcode rc)
{
    long  status;

    c->deleting = 0;
    status = c->stop_request.reply.status;

    if (rc == CURLE_OK && ((status >= 200 && status < 300) || status == 404)) {
        return;
    }

    if (c->transferred) {
        return;
    }

    if (rc != CURLE_OK) {
        msg_error(c->msg, "cannot ask the API to stop: %s",
                  api_error(&c->stop_request, rc));

    } else {
        msg_error(c->msg, "the API refuses to stop the capture: HTTP %ld",
                  status);
    }

    msg_error(c->msg, "closing the connection instead");
    c->quit = 1;
}


static void
capture_transferred(capture_t *c, CURLcode rc)
{
    c->rc = rc;
    c->transferred = 1;
    c->ended_ms = capture_now();

    /* Before the output is closed: a pcap file may get its header here. */
    if (c->began_ms != 0 && rc == CURLE_OK) {
        c->ended = stream_end(&c->stream) == 0;
    }
}


static void
capture_reap(capture_t *c)
{
    int       left;
    CURLMsg  *m;

    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        if (m->msg != CURLMSG_DONE) {
            continue;
        }

        if (m->easy_handle == c->stop_request.easy) {
            capture_deleted(c, m->data.result);

        } else {
            capture_transferred(c, m->data.result);
        }
    }
}


static void
capture_signals(capture_t *c)
{
    unsigned  n;

    for (n = sig_read(c->sig_fd); n > 0; n--) {
        if (c->stop != STOP_NONE || c->transferred) {
            c->quit = 1;
            return;
        }

        c->asking = 0;
        msg_note(c->msg, "stopping; once more quits at once");
        capture_stop(c, STOP_USER);
    }
}


static void
capture_timers(capture_t *c)
{
    uint64_t  now;

    now = capture_now();

    if (c->transferred) {
        return;
    }

    if (c->deadline_ms != 0 && now >= c->deadline_ms) {
        c->late_stop = 1;
        c->quit = 1;
        return;
    }

    /* A stream that waits for our own reader says nothing about the API. */
    if (!c->paused && now - c->heard_ms >= c->conf->timeout_ms) {
        c->silent = 1;
        c->quit = 1;
        msg_error(c->msg, "the API has been silent for %u s",
                  (unsigned) (c->conf->timeout_ms / 1000));
        return;
    }

    if (c->began_ms != 0 && !c->asking) {
        term_draw(&c->term, &c->stream.stats, now);
    }
}


/* Fills fds with what is waited for beside the network. */
static unsigned
capture_fds(const capture_t *c, struct curl_waitfd *fds)
{
    unsigned  n;

    memset(fds, 0, CAPTURE_MAX_FDS * sizeof(struct curl_waitfd));

    fds[0].fd = c->sig_fd;
    fds[0].events = CURL_WAIT_POLLIN;
    n = 1;

    if (c->asking) {
        fds[n].fd = STDIN_FILENO;
        fds[n].events = CURL_WAIT_POLLIN;
        n++;
    }

    /* Without events poll() still tells that the reader has left. */
    if (!c->sink_off && c->out.kind == OUT_PIPE && c->out.fd != -1) {
        fds[n].fd = c->out.fd;
        fds[n].events = out_pending(&c->out) > 0 ? CURL_WAIT_POLLOUT : 0;
        n++;
    }

    return n;
}


static void
capture_answer(capture_t *c)
{
    struct pollfd  pfd;

    pfd.fd = STDIN_FILENO;
    pfd.events = POLLIN;
    pfd.revents = 0;

    if (c->asking && poll(&pfd, 1, 0) == 1) {
        ask_answer(c);
    }
}


static void
capture_resume(capture_t *c)
{
    if (c->paused && (c->sink_off
                      || out_pending(&c->out) < OUT_HIGH_WATER / 2))
    {
        c->paused = 0;
        c->heard_ms = capture_now();
        (void) curl_easy_pause(c->request.easy, CURLPAUSE_CONT);
    }
}


static void
capture_loop(capture_t *c)
{
    int                 running;
    unsigned            n;
    struct curl_waitfd  fds[CAPTURE_MAX_FDS];

    for ( ;; ) {
        if (curl_multi_perform(c->multi, &running) != CURLM_OK) {
            return;
        }

        capture_reap(c);
        sink_tend(c);
        capture_resume(c);
        capture_signals(c);
        capture_answer(c);
        capture_timers(c);

        if (c->want_delete && !c->transferred) {
            capture_delete(c);
            continue;
        }

        if (c->quit || (c->transferred && sink_idle(c))) {
            return;
        }

        n = capture_fds(c, fds);
        (void) curl_multi_poll(c->multi, fds, n, CAPTURE_TICK_MS, NULL);
    }
}


static void
capture_free(capture_t *c)
{
    if (c->multi != NULL) {
        if (c->request.easy != NULL) {
            curl_multi_remove_handle(c->multi, c->request.easy);
        }

        if (c->stop_request.easy != NULL) {
            curl_multi_remove_handle(c->multi, c->stop_request.easy);
        }
    }

    api_request_free(&c->request);
    api_request_free(&c->stop_request);

    if (c->multi != NULL) {
        curl_multi_cleanup(c->multi);
    }

    stream_free(&c->stream);
    json_decref(c->messages);
    free(c->records);
    free(c->path);
    free(c);
}


static cli_exit_t
capture_go(capture_t *c)
{
    /* Before the file is there: a signal must not leave an empty one. */
    c->sig_fd = sig_open();

    if (c->sig_fd == -1 || sink_open(c) != 0 || capture_start(c) != 0) {
        (void) out_close(&c->out);
        return CLI_FAILED;
    }

    capture_loop(c);

    if (c->ended_ms == 0) {
        c->ended_ms = capture_now();
    }

    sig_close(c->sig_fd);
    sink_close(c);

    return report_print(c);
}


cli_exit_t
capture_run(const opt_t *opt, const conf_t *conf, msg_t *msg)
{
    int          pcapng;
    char         err[PCAPX_ERR_LEN];
    capture_t   *c;
    cli_exit_t   code;
    const char  *format, *output;

    c = calloc(1, sizeof(capture_t));
    if (c == NULL) {
        msg_error(msg, "out of memory");
        return CLI_FAILED;
    }

    c->opt = opt;
    c->conf = conf;
    c->msg = msg;
    c->api.conf = conf;
    c->api.msg = msg;
    c->sig_fd = -1;
    c->out.fd = -1;
    c->messages = json_array();

    format = opt_value(opt, OPT_FORMAT);
    if (format != NULL
        && pcapx_parse_format(format, strlen(format), &pcapng, err)
           == PCAPX_OK)
    {
        c->convert = !pcapng;
    }

    term_init(&c->term, msg);

    /* The reader at the other end of the pipe writes to the terminal, too. */
    output = opt_value(opt, OPT_OUTPUT);
    if (output != NULL && strcmp(output, "-") == 0) {
        c->term.live = 0;
    }

    if (stream_init(&c->stream, &sink_handlers, c) != 0) {
        msg_error(msg, "out of memory");
        code = CLI_FAILED;

    } else {
        code = capture_go(c);
    }

    capture_free(c);

    return code;
}
