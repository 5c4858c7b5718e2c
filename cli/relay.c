/*
 * cli/relay.c: keeps a capture going when its stream is cut, as routers do
 * with long ones (gorouter: request_timeout, 900 s). After a cut a new
 * request takes over, with the rest of the limits and a growing pause between
 * tries. Once a stream's life is known the next one is opened before its end,
 * and the old one is ended as soon as it is not needed any more.
 *
 * What is taken from which stream is decided in rejoin.c.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "problem.h"


/* All divided by relay.scale, but for the time until it gives up. */
#define RELAY_TIMEOUT_MS   60000
#define RELAY_MIN_LIFE_MS  60000     /* a shorter one tells nothing */
#define RELAY_LEAD_MS      30000     /* or a quarter of the life */
#define RELAY_OVERLAP_MS   10000     /* or a third of the lead */
#define RELAY_STABLE_MS    10000     /* it was a success */
#define RELAY_MAX_ASKED_MS 30000     /* no longer, whatever the API asks */

#define RELAY_MAX_LIMIT    (UINT64_C(1) << 53)   /* the API's own bound */
#define RELAY_LIMITS_LEN   200

/* Seconds before each try, the last one for all further. */
static const unsigned  relay_pauses[] = { 0, 1, 2, 4, 8, 16, 30 };

#define RELAY_PAUSES  (sizeof(relay_pauses) / sizeof(relay_pauses[0]))


/* These are said anew in each request. */
static const char *const  relay_own[] = {
    "continues=", "duration=", "max_bytes=", "max_packets="
};

#define RELAY_OWN  (sizeof(relay_own) / sizeof(relay_own[0]))


static uint64_t
relay_scaled(const relay_t *relay, uint64_t ms)
{
    return ms / relay->scale;
}


/* The values were checked when the command line was read. */
static void
relay_read_limits(relay_t *relay, const opt_t *opt)
{
    char         err[PCAPX_ERR_LEN];
    const char  *s;

    relay->timeout_ms = RELAY_TIMEOUT_MS;

    s = opt_value(opt, OPT_RECONNECT_TIMEOUT);
    if (s != NULL) {
        (void) pcapx_parse_duration(s, strlen(s), &relay->timeout_ms, err);
    }

    s = opt_value(opt, OPT_DURATION);
    if (s != NULL) {
        (void) pcapx_parse_duration(s, strlen(s), &relay->duration_ms, err);
    }

    s = opt_value(opt, OPT_MAX_PACKETS);
    if (s != NULL) {
        (void) pcapx_parse_number("max-packets", s, strlen(s), 1,
                                  RELAY_MAX_LIMIT, &relay->max_packets, err);
    }

    s = opt_value(opt, OPT_MAX_BYTES);
    if (s != NULL) {
        (void) pcapx_parse_size(s, strlen(s), &relay->max_bytes, err);
    }
}


int
relay_init(capture_t *c, const char *path, char *form)
{
    relay_t        *relay;
    rejoin_conf_t   conf;

    relay = &c->relay;
    relay->form = form;
    relay->path = strdup(path);
    relay->scale = conf_time_scale();
    relay->on = !opt_count(c->opt, OPT_NO_RECONNECT)
                && !opt_count(c->opt, OPT_TEE);    /* it goes on anyway */
    relay_read_limits(relay, c->opt);

    if (relay->on) {
        memset(&conf, 0, sizeof(conf));
        conf.max_packets = relay->max_packets;
        conf.max_bytes = relay->max_bytes;
        conf.put = capture_put;
        conf.ctx = c;
        c->rejoin = rejoin_create(&conf);
    }

    if (relay->path == NULL || (relay->on && c->rejoin == NULL)) {
        msg_error(c->msg, "out of memory");
        return -1;
    }

    return 0;
}


void
relay_free(capture_t *c)
{
    rejoin_free(c->rejoin);
    free(c->relay.path);
    free(c->relay.form);
}


int
relay_start(capture_t *c)
{
    char  *form;

    form = strdup(c->relay.form);
    if (form == NULL) {
        msg_error(c->msg, "out of memory");
        return -1;
    }

    return leg_open(c, c->leg, c->relay.path, form);
}


static int
relay_is_own(const char *pair)
{
    size_t  i;

    for (i = 0; i < RELAY_OWN; i++) {
        if (strncmp(pair, relay_own[i], strlen(relay_own[i])) == 0) {
            return 1;
        }
    }

    return 0;
}


/* A part that overlaps counts duplicates: it is ended here, not there. */
static uint64_t
relay_rest(uint64_t all, uint64_t done, rejoin_limits_t limits)
{
    uint64_t  rest;

    rest = all > done ? all - done : 1;

    if (limits == REJOIN_OWN_LIMITS) {
        rest = rest > RELAY_MAX_LIMIT / 2 ? RELAY_MAX_LIMIT : rest * 2;
    }

    return rest;
}


/* The first form again, but for the predecessor and what limits are left. */
static char *
relay_form(const capture_t *c, uint64_t now, rejoin_limits_t limits)
{
    char             *form, *p, *end;
    size_t            len;
    const char       *s;
    const relay_t    *relay;
    rejoin_totals_t   done;

    relay = &c->relay;
    done = rejoin_totals(c->rejoin);

    form = malloc(strlen(relay->form) + RELAY_LIMITS_LEN);
    if (form == NULL) {
        return NULL;
    }

    p = form;
    end = form + strlen(relay->form) + RELAY_LIMITS_LEN;

    for (s = relay->form; *s != '\0'; s += len + (s[len] == '&')) {
        len = strcspn(s, "&");

        if (!relay_is_own(s)) {
            memcpy(p, s, len);
            p += len;
            *p++ = '&';
        }
    }

    if (!relay->unnamed) {
        p += snprintf(p, (size_t) (end - p), "continues=%s&",
                      c->leg->request.reply.capture_id);
    }

    if (relay->duration_ms != 0) {
        p += snprintf(p, (size_t) (end - p), "duration=%" PRIu64 "ms&",
                      relay_rest(relay->duration_ms, now - c->began_ms,
                                 REJOIN_API_LIMITS));
    }

    if (relay->max_packets != 0) {
        p += snprintf(p, (size_t) (end - p), "max_packets=%" PRIu64 "&",
                      relay_rest(relay->max_packets, done.packets, limits));
    }

    if (relay->max_bytes != 0) {
        p += snprintf(p, (size_t) (end - p), "max_bytes=%" PRIu64 "&",
                      relay_rest(relay->max_bytes, done.bytes, limits));
    }

    /* The last "&"; the first form has a format at least. */
    p[-1] = '\0';

    return form;
}


static uint64_t
relay_lead(const relay_t *relay)
{
    uint64_t  lead;

    lead = relay_scaled(relay, RELAY_LEAD_MS);

    return lead < relay->life_ms / 4 ? lead : relay->life_ms / 4;
}


static void
relay_pause(capture_t *c, uint64_t now)
{
    unsigned  i;

    i = c->relay.tries < RELAY_PAUSES ? c->relay.tries : RELAY_PAUSES - 1;
    c->relay.tries++;
    c->relay.wait_until_ms = now + relay_scaled(&c->relay,
                                                relay_pauses[i] * 1000);
}


/* The same after a refusal: an API that is busy may say how long. */
static void
relay_pause_as_asked(capture_t *c, const reply_t *reply, uint64_t now)
{
    uint64_t  pause, most;

    relay_pause(c, now);

    if ((reply->status != 429 && reply->status != 503)
        || !reply->has_retry_after)
    {
        return;
    }

    most = relay_scaled(&c->relay, RELAY_MAX_ASKED_MS);
    pause = reply->retry_after_s < RELAY_MAX_ASKED_MS / 1000
            ? reply->retry_after_s * 1000 : most;

    /* At once it would be asked for ever. */
    if (pause == 0) {
        pause = relay_scaled(&c->relay, 1000);
    }

    c->relay.wait_until_ms = now + (pause < most ? pause : most);
}


/* Asks for the next stream: to take over, or to overlap. */
static void
relay_open(capture_t *c, uint64_t now)
{
    char      *form;
    leg_t     *leg;
    uint64_t   overlap, third;

    leg = &c->legs[!c->leg->place];
    leg->limits = c->relay.down ? REJOIN_API_LIMITS : REJOIN_OWN_LIMITS;

    overlap = relay_scaled(&c->relay, RELAY_OVERLAP_MS);
    third = relay_lead(&c->relay) / 3;
    rejoin_set_overlap(c->rejoin, (third < overlap ? third : overlap)
                                  * 1000000);

    form = relay_form(c, now, leg->limits);

    if (form == NULL || leg_open(c, leg, c->relay.path, form) != 0) {
        leg_close(leg);
        relay_pause(c, now);
        return;
    }

    c->next = leg;
}


void
relay_began(leg_t *leg)
{
    capture_t  *c;

    c = leg->capture;
    c->relay.renewed = 0;
    c->relay.unnamed = 0;

    if (c->began_ms == 0) {
        c->began_ms = leg->began_ms;
    }

    if (c->rejoin != NULL) {
        rejoin_begin(c->rejoin, leg->place, leg->request.reply.capture_id,
                     leg->limits);
    }
}


static void
relay_give_up(capture_t *c, const char *why)
{
    msg_error(c->msg, "the capture is not continued: %s", why);
    c->relay.on = 0;

    if (c->next != NULL) {
        rejoin_drop(c->rejoin, c->next->place);
        leg_close(c->next);
        c->next = NULL;
    }

    if (c->relay.down) {
        capture_finish(c);
    }
}


/* Did the stream end before anybody said how the capture went? */
static int
relay_is_cut(const leg_t *leg)
{
    status_t          verdict;
    const capture_t  *c;

    c = leg->capture;

    if (c->rejoin == NULL || c->stop != STOP_NONE || c->quit
        || leg->began_ms == 0 || !rejoin_possible(c->rejoin)
        || rejoin_totals(c->rejoin).limits != 0)
    {
        return 0;
    }

    if (leg->leaving) {
        return 1;
    }

    verdict = rejoin_verdict(c->rejoin, leg->place);

    if (verdict == STATUS_NONE && leg->rc == CURLE_OK) {
        verdict = leg->request.reply.trailers.status;
    }

    return verdict == STATUS_NONE;
}


/* The successor is the one that is written now. */
static void
relay_adopt(capture_t *c)
{
    leg_t  *old;

    old = c->leg;
    c->leg = c->next;
    c->next = NULL;
    c->relay.down = 0;
    leg_close(old);

    /* What it held back until now. */
    if (!c->leg->transferred) {
        c->leg->paused = 1;
        leg_resume(c->leg);
    }
}


/* The written stream is over, and not as it should be. */
static void
relay_cut(capture_t *c, leg_t *leg, uint64_t now)
{
    relay_t   *relay;
    uint64_t   life;

    relay = &c->relay;
    life = now - leg->began_ms;

    if (!leg->leaving && life >= relay_scaled(relay, RELAY_MIN_LIFE_MS)) {
        relay->life_ms = life;
    }

    if (life >= relay_scaled(relay, RELAY_STABLE_MS)) {
        relay->tries = 0;
        relay->failing_ms = 0;
    }

    rejoin_end(c->rejoin, leg->place, REJOIN_CUT);

    if (c->next != NULL && c->next->began_ms != 0) {
        relay_adopt(c);
        return;
    }

    relay->down = 1;

    if (relay->failing_ms == 0) {
        relay->failing_ms = now;
    }

    msg_error(c->msg, "the stream was cut after %" PRIu64 ".%" PRIu64 " s"
              " (%s)%s", life / 1000, life % 1000 / 100,
              leg->rc != CURLE_OK ? api_error(&leg->request, leg->rc)
                                  : "without a verdict",
              relay->on ? "; reconnecting" : "");

    if (!relay->on) {
        capture_finish(c);

    } else if (c->next == NULL) {
        relay_pause(c, now);
    }
}


/*
 * The token has run out since the last request: is there a fresh one? As
 * conf_renew(), -1 also when that is not what is wrong.
 */
static int
relay_renew(capture_t *c, leg_t *leg)
{
    int  rc;

    if (leg->began_ms != 0 || leg->request.reply.status != 401
        || c->relay.renewed)
    {
        return -1;
    }

    rc = capture_renew(c);
    c->relay.renewed = rc == 0;

    return rc;
}


/*
 * Another API than the one that was cut, or one that has forgotten the
 * capture, refuses to continue it: is it to be asked for a new one? Limits
 * and the file run on all the same, they are kept here.
 */
static int
relay_unnamed(capture_t *c, leg_t *leg)
{
    json_t      *doc;
    const char  *detail;

    if (leg->began_ms != 0 || leg->rc != CURLE_OK
        || leg->request.reply.status != 404 || c->relay.unnamed)
    {
        return 0;
    }

    doc = problem_parse(&leg->request.reply);
    detail = json_string_value(json_object_get(doc, "detail"));

    if (detail != NULL && strstr(detail, "option \"continues\"") != NULL) {
        c->relay.unnamed = 1;
        msg_debug(c->msg, "* the API does not know capture %s: asking for a"
                  " new one", c->leg->request.reply.capture_id);
    }

    json_decref(doc);

    return c->relay.unnamed;
}


/*
 * Says why there is no stream; text becomes the words of it. 1: it is the API
 * itself (a router in front of it sends no problem documents) that will not
 * do later either what it does not do now.
 */
static int
relay_refused(capture_t *c, leg_t *leg, char *text, size_t size)
{
    int      final;
    long     status;
    json_t  *doc;

    snprintf(text, size, "no answer");

    if (leg->began_ms != 0 || leg->rc != CURLE_OK) {
        msg_error(c->msg, "cannot reconnect: %s",
                  leg->rc != CURLE_OK ? api_error(&leg->request, leg->rc)
                                      : "the stream ended at once");
        return 0;
    }

    status = leg->request.reply.status;
    doc = problem_parse(&leg->request.reply);
    final = doc != NULL && status >= 400 && status < 500 && status != 429;

    problem_print(c->msg, &leg->request.reply, doc, text, size);
    json_decref(doc);

    return final;
}


/* A stream that was to take over did not. */
static void
relay_failed(capture_t *c, leg_t *leg, uint64_t now)
{
    int   final, renewed;
    char  text[320];

    renewed = relay_renew(c, leg);

    if (renewed == 0 || relay_unnamed(c, leg)) {
        leg_close(leg);
        c->next = NULL;
        c->relay.wait_until_ms = now;
        return;
    }

    final = relay_refused(c, leg, text, sizeof(text)) && renewed != 1;

    relay_pause_as_asked(c, &leg->request.reply, now);
    rejoin_drop(c->rejoin, leg->place);
    leg_close(leg);
    c->next = NULL;

    if (final) {
        relay_give_up(c, text);
    }
}


void
relay_ended(leg_t *leg, CURLcode rc)
{
    uint64_t    now;
    capture_t  *c;

    c = leg->capture;
    now = capture_now();
    leg->rc = rc;
    leg->transferred = 1;

    if (leg->request.easy != NULL) {
        curl_multi_remove_handle(c->multi, leg->request.easy);
    }

    if (leg == c->next && c->relay.down && leg->began_ms != 0) {
        relay_adopt(c);
    }

    if (leg == c->next) {
        relay_failed(c, leg, now);
        return;
    }

    if (relay_is_cut(leg)) {
        relay_cut(c, leg, now);
        return;
    }

    /* The user has ended it while it was being handed over. */
    if (leg->leaving && c->next != NULL && c->next->began_ms != 0) {
        rejoin_end(c->rejoin, leg->place, REJOIN_DONE);
        relay_adopt(c);
        return;
    }

    capture_finish(c);
}


void
relay_stop(capture_t *c)
{
    if (c->relay.down) {
        relay_give_up(c, "it was stopped");
        return;
    }

    if (c->next != NULL && !c->leg->leaving) {
        rejoin_drop(c->rejoin, c->next->place);
        leg_close(c->next);
        c->next = NULL;
    }

    if (c->next != NULL) {
        c->next->want_delete = 1;
    }

    c->leg->want_delete = 1;
}


/* Tries again, or opens the next stream before this one is cut. */
static void
relay_due(capture_t *c, uint64_t now)
{
    char      why[64];
    relay_t  *relay;
    uint64_t  end;

    relay = &c->relay;

    if (relay->down) {
        if (relay->duration_ms != 0
            && now - c->began_ms >= relay->duration_ms)
        {
            relay_give_up(c, "its duration is over");

        } else if (now - relay->failing_ms >= relay->timeout_ms) {
            snprintf(why, sizeof(why), "no success within %" PRIu64 " s",
                     relay->timeout_ms / 1000);
            relay_give_up(c, why);

        } else if (c->next == NULL && now >= relay->wait_until_ms) {
            relay_open(c, now);
        }

        return;
    }

    if (relay->life_ms == 0 || c->next != NULL || c->leg->began_ms == 0
        || c->stop != STOP_NONE || now < relay->wait_until_ms)
    {
        return;
    }

    end = c->leg->began_ms + relay->life_ms;

    /* A capture that is over by then needs no other stream. */
    if (now + relay_lead(relay) < end
        || (relay->duration_ms != 0
            && c->began_ms + relay->duration_ms <= end))
    {
        return;
    }

    relay_open(c, now);
}


/* The streams overlap: is the old one of use yet? */
static void
relay_hand_over(capture_t *c, uint64_t now)
{
    leg_t  *leg;

    leg = c->leg;

    if (!leg->leaving && c->next != NULL && rejoin_passed(c->rejoin)) {
        leg->leaving = 1;
        leg->stop_by_ms = now + CLI_STOP_DEADLINE_MS;
        leg->want_delete = 1;
    }

    if (leg->leaving && !leg->transferred && now >= leg->stop_by_ms) {
        relay_ended(leg, CURLE_OPERATION_TIMEDOUT);
    }
}


void
relay_tend(capture_t *c, uint64_t now)
{
    if (!c->relay.on || c->transferred || c->rejoin == NULL) {
        return;
    }

    if (c->relay.down && c->next != NULL && c->next->began_ms != 0) {
        relay_adopt(c);
    }

    if (rejoin_totals(c->rejoin).limits != 0 && !c->relay.limit_told) {
        c->relay.limit_told = 1;
        c->deadline_ms = now + CLI_STOP_DEADLINE_MS;
        relay_stop(c);
        return;
    }

    if (c->next != NULL && !c->next->paused
        && now - c->next->heard_ms >= c->conf->timeout_ms)
    {
        relay_ended(c->next, CURLE_OPERATION_TIMEDOUT);
    }

    relay_hand_over(c, now);
    relay_due(c, now);
}
