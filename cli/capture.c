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

/* A stream whose capture the API does not know ends within this. */
#define CAPTURE_UNKNOWN_MS  2000

/* And while a token is asked for: its answer wakes nobody up. */
#define CAPTURE_TURN_MS  10

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


void
capture_put(void *ctx, const uint8_t *p, size_t len)
{
    capture_t  *c = ctx;

    if (c->stop != STOP_BAD_STREAM && stream_feed(&c->stream, p, len) != 0) {
        msg_error(c->msg, "malformed stream: %s", c->stream.err);
        c->stop = STOP_BAD_STREAM;
    }
}


static int
capture_start(capture_t *c)
{
    char   path[API_MAX_PATH], err[PCAPX_ERR_LEN];
    char  *form;

    form = api_form(c->opt, err);
    if (form == NULL) {
        msg_error(c->msg, "%s", err);
        return -1;
    }

    /* The group was checked: no character of it needs encoding. */
    snprintf(path, sizeof(path), "/v1/capture/%s/%s",
             opt_cmds[c->opt->cmd].name, c->opt->target);

    if (relay_init(c, path, form) != 0) {
        return -1;
    }

    c->multi = curl_multi_init();
    if (c->multi == NULL) {
        msg_error(c->msg, "out of memory");
        return -1;
    }

    return relay_start(c);
}


/* Asks the API to end what is to be ended. */
static void
capture_delete(leg_t *leg)
{
    if (!leg->want_delete || leg->transferred) {
        return;
    }

    if (leg_delete(leg) != 0) {
        leg->capture->quit = 1;
    }
}


/* The token has run out since the capture began: asks with a fresh one. */
static int
capture_delete_again(leg_t *leg)
{
    uint64_t    now;
    capture_t  *c;

    c = leg->capture;

    if (leg->stop_request.reply.status != 401 || leg->renewed
        || capture_renew(c) != 0)
    {
        return 0;
    }

    curl_multi_remove_handle(c->multi, leg->stop_request.easy);
    api_request_free(&leg->stop_request);
    leg->renewed = 1;
    leg->want_delete = 1;

    /* Only now the API has been asked. */
    now = capture_now();
    leg->heard_ms = now;

    if (leg->leaving) {
        leg->stop_by_ms = now + CLI_STOP_DEADLINE_MS;
    }

    if (c->deadline_ms != 0) {
        c->deadline_ms = now + CLI_STOP_DEADLINE_MS;
    }

    return 1;
}


/*
 * The API that was asked does not know the capture: it has ended by itself,
 * and the stream will say so at once; or the stream is another API's behind
 * the same address, and goes on until its connection is closed.
 */
static void
capture_unknown(leg_t *leg)
{
    uint64_t    by;
    capture_t  *c;

    c = leg->capture;
    by = capture_now() + CAPTURE_UNKNOWN_MS;

    if (leg->leaving) {
        leg->stop_by_ms = by < leg->stop_by_ms ? by : leg->stop_by_ms;
        return;
    }

    if (leg == c->leg && by < c->deadline_ms) {
        c->unknown = 1;
        c->deadline_ms = by;
    }
}


/* The DELETE is answered. */
static void
capture_deleted(leg_t *leg, CURLcode rc)
{
    long        status;
    capture_t  *c;

    c = leg->capture;
    leg->deleting = 0;
    status = leg->stop_request.reply.status;

    if (leg->transferred || (rc == CURLE_OK && status >= 200 && status < 300))
    {
        return;
    }

    if (rc == CURLE_OK && status == 404) {
        capture_unknown(leg);
        return;
    }

    if (rc == CURLE_OK && capture_delete_again(leg)) {
        return;
    }

    if (rc != CURLE_OK) {
        msg_error(c->msg, "cannot ask the API to stop: %s",
                  api_error(&leg->stop_request, rc));

    } else {
        msg_error(c->msg, "the API refuses to stop the capture: HTTP %ld",
                  status);
    }

    msg_error(c->msg, "closing the connection instead");

    if (leg->leaving) {
        relay_ended(leg, CURLE_OPERATION_TIMEDOUT);
        return;
    }

    c->quit = 1;
}


void
capture_finish(capture_t *c)
{
    c->transferred = 1;
    c->ended_ms = capture_now();

    if (c->relay.down || c->leg->began_ms == 0) {
        return;
    }

    /* Before the output is closed: a pcap file may get its header here. */
    if (c->leg->rc == CURLE_OK) {
        c->ended = stream_end(&c->stream) == 0
                   && (c->rejoin == NULL
                       || rejoin_whole(c->rejoin, c->leg->place));
    }
}


static void
capture_done(capture_t *c, const CURL *easy, CURLcode rc)
{
    unsigned  i;

    for (i = 0; i < REJOIN_PARTS; i++) {
        if (easy == c->legs[i].request.easy) {
            relay_ended(&c->legs[i], rc);
            return;
        }

        if (easy == c->legs[i].stop_request.easy) {
            capture_deleted(&c->legs[i], rc);
            return;
        }

        if (easy == c->legs[i].put_request.easy) {
            fresh_done(&c->legs[i], rc);
            return;
        }
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

        capture_done(c, m->easy_handle, m->data.result);
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

        /* The cf CLI is gone by now, and its shell asks for a command. */
        if (c->conf->parent != 0) {
            c->term.live = 0;
        }

        capture_stop(c, STOP_USER);
    }
}


/*
 * The cf CLI has been ended, and nobody else would end its plugin. Ctrl-C is
 * for both: a signal that is on the way must not count as the second one.
 */
static void
capture_orphaned(capture_t *c)
{
    if (c->conf->parent == 0 || c->transferred
        || getppid() == c->conf->parent)
    {
        return;
    }

    capture_signals(c);

    if (c->stop == STOP_NONE) {
        c->asking = 0;
        c->term.live = 0;
        msg_note(c->msg, "stopping: the cf CLI is gone");
        capture_stop(c, STOP_USER);
    }
}


/* A connection that nothing comes from is as good as cut. */
static void
capture_silent(capture_t *c)
{
    if (c->relay.on && c->stop == STOP_NONE && c->leg->began_ms != 0) {
        relay_ended(c->leg, CURLE_OPERATION_TIMEDOUT);
        return;
    }

    c->silent = 1;
    c->quit = 1;
}


/*
 * With --tee the stream is a file: what was captured before the stop comes
 * first, however long that takes.
 */
static int
capture_behind(const capture_t *c, uint64_t now)
{
    return opt_count(c->opt, OPT_TEE)
           && (c->leg->paused
               || now - c->leg->heard_ms < CLI_STOP_DEADLINE_MS);
}


static void
capture_timers(capture_t *c)
{
    uint64_t  now;

    now = capture_now();

    if (c->transferred) {
        return;
    }

    if (c->deadline_ms != 0 && now >= c->deadline_ms
        && !capture_behind(c, now))
    {
        c->late_stop = !c->unknown;
        c->quit = 1;
        return;
    }

    /* A stream that waits for our own reader says nothing about the API. */
    if (!c->relay.down && !c->leg->paused
        && now - c->leg->heard_ms >= c->conf->timeout_ms)
    {
        msg_error(c->msg, "the API has been silent for %u s",
                  (unsigned) (c->conf->timeout_ms / 1000));
        capture_silent(c);
        return;
    }

    relay_tend(c, now);

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
    leg_resume(c->leg);

    if (c->next != NULL) {
        leg_resume(c->next);
    }
}


/*
 * One turn of the loop without anything that decides what becomes of a leg:
 * it runs where one of them is just being looked after. What has ended stays
 * in the multi handle for capture_reap().
 */
static int
capture_turn(void *ctx)
{
    int                 running;
    unsigned            n;
    capture_t          *c = ctx;
    struct curl_waitfd  fds[CAPTURE_MAX_FDS];

    if (curl_multi_perform(c->multi, &running) != CURLM_OK) {
        return -1;
    }

    sink_tend(c);

    for (n = 0; n < REJOIN_PARTS; n++) {
        if (c->rejoin == NULL || !rejoin_held(c->rejoin, n)) {
            leg_resume(&c->legs[n]);
        }
    }

    capture_signals(c);

    if (c->quit) {
        return -1;
    }

    /* An answer of the user's that waits would make this a busy loop. */
    n = c->asking ? 0 : capture_fds(c, fds);
    (void) curl_multi_poll(c->multi, fds, n, CAPTURE_TURN_MS, NULL);

    return 0;
}


int
capture_renew(capture_t *c)
{
    conf_wait_t  wait = { capture_turn, c };

    return conf_renew(c->conf, &wait);
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
        capture_orphaned(c);
        capture_timers(c);
        fresh_tend(c, capture_now());

        if (c->want_delete && !c->transferred) {
            c->want_delete = 0;
            relay_stop(c);
        }

        capture_delete(&c->legs[0]);
        capture_delete(&c->legs[1]);

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
    unsigned  i;

    for (i = 0; i < REJOIN_PARTS; i++) {
        leg_close(&c->legs[i]);
    }

    if (c->multi != NULL) {
        curl_multi_cleanup(c->multi);
    }

    relay_free(c);
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

    if (c->rejoin != NULL) {
        rejoin_give_up(c->rejoin);
    }

    sink_close(c);

    return report_print(c);
}


cli_exit_t
capture_run(const opt_t *opt, const conf_t *conf, msg_t *msg)
{
    int          pcapng;
    char         err[PCAPX_ERR_LEN];
    unsigned     i;
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

    for (i = 0; i < REJOIN_PARTS; i++) {
        c->legs[i].capture = c;
        c->legs[i].place = i;
    }

    c->leg = &c->legs[0];

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
