/*
 * cli/leg.c: one connection to the API that brings a stream, and the DELETE
 * that ends it. It never decides what follows: relay.c does.
 */

#include <stdio.h>
#include <string.h>

#include "capture.h"


/* Large enough for a TLS record or an HTTP/2 window's worth. */
#define LEG_BUFFER  131072


static void
leg_malformed(leg_t *leg)
{
    capture_t  *c;

    c = leg->capture;
    msg_error(c->msg, "malformed stream: %s", rejoin_error(c->rejoin));

    if (leg == c->leg) {
        c->stop = STOP_BAD_STREAM;
    }
}


/* Takes a piece of the stream; 0, or -1 when it is malformed. */
static int
leg_feed(leg_t *leg, const uint8_t *p, size_t len)
{
    capture_t  *c;

    c = leg->capture;

    if (c->rejoin == NULL) {
        capture_put(c, p, len);

    } else if (rejoin_feed(c->rejoin, leg->place, p, len) != 0) {
        leg_malformed(leg);
        return -1;
    }

    return c->stop == STOP_BAD_STREAM ? -1 : 0;
}


static size_t
leg_on_body(char *p, size_t size, size_t n, void *ctx)
{
    size_t      len;
    leg_t      *leg = ctx;
    reply_t    *reply;
    capture_t  *c;

    c = leg->capture;
    len = size * n;
    reply = &leg->request.reply;
    leg->heard_ms = capture_now();

    if (reply->status != 200) {
        return reply_body(reply, p, len) == 0 ? len : 0;
    }

    if (!reply_is(reply, "application/x-pcapng")) {
        return 0;
    }

    if (leg->began_ms == 0) {
        leg->began_ms = leg->heard_ms;
        relay_began(leg);
    }

    if ((!c->sink_off && out_pending(&c->out) >= OUT_HIGH_WATER)
        || (c->rejoin != NULL && rejoin_held(c->rejoin, leg->place)))
    {
        leg->paused = 1;
        return CURL_WRITEFUNC_PAUSE;
    }

    return leg_feed(leg, (const uint8_t *) p, len) == 0 ? len : 0;
}


void
leg_resume(leg_t *leg)
{
    capture_t  *c;

    c = leg->capture;

    if (!leg->paused
        || (!c->sink_off && out_pending(&c->out) >= OUT_HIGH_WATER / 2))
    {
        return;
    }

    if (c->rejoin != NULL) {
        if (rejoin_held(c->rejoin, leg->place)
            && rejoin_advance(c->rejoin, leg->place) != 0)
        {
            leg_malformed(leg);
            relay_ended(leg, CURLE_WRITE_ERROR);
            return;
        }

        if (rejoin_held(c->rejoin, leg->place)) {
            return;
        }
    }

    leg->paused = 0;
    leg->heard_ms = capture_now();
    (void) curl_easy_pause(leg->request.easy, CURLPAUSE_CONT);
}


int
leg_open(capture_t *c, leg_t *leg, const char *path, char *form)
{
    CURL  *easy;

    if (api_request_init(&leg->request, &c->api, "POST", path, form) != 0) {
        msg_error(c->msg, "out of memory");
        return -1;
    }

    /* A connection of its own: what cuts one leg must not cut the other. */
    easy = leg->request.easy;
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, leg_on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, leg);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long) LEG_BUFFER);

    leg->heard_ms = capture_now();

    return curl_multi_add_handle(c->multi, easy) == CURLM_OK ? 0 : -1;
}


int
leg_delete(leg_t *leg)
{
    char        path[API_MAX_PATH];
    CURL       *easy;
    const char  *id;

    leg->want_delete = 0;
    id = leg->request.reply.capture_id;

    if (leg->stop_request.easy != NULL) {
        return 0;
    }

    if (!leg->request.reply.got_head || id[0] == '\0') {
        return -1;
    }

    snprintf(path, sizeof(path), "/v1/captures/%s", id);

    if (api_request_init(&leg->stop_request, &leg->capture->api, "DELETE",
                         path, NULL)
        != 0)
    {
        return -1;
    }

    /* The first connection may be full of packets. */
    easy = leg->stop_request.easy;
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) CLI_STOP_DEADLINE_MS);

    if (curl_multi_add_handle(leg->capture->multi, easy) != CURLM_OK) {
        return -1;
    }

    leg->deleting = 1;

    return 0;
}


void
leg_close(leg_t *leg)
{
    unsigned    place;
    capture_t  *c;

    c = leg->capture;
    place = leg->place;

    if (c->multi != NULL && leg->request.easy != NULL) {
        curl_multi_remove_handle(c->multi, leg->request.easy);
    }

    if (c->multi != NULL && leg->stop_request.easy != NULL) {
        curl_multi_remove_handle(c->multi, leg->stop_request.easy);
    }

    if (c->multi != NULL && leg->put_request.easy != NULL) {
        curl_multi_remove_handle(c->multi, leg->put_request.easy);
    }

    api_request_free(&leg->request);
    api_request_free(&leg->stop_request);
    api_request_free(&leg->put_request);

    memset(leg, 0, sizeof(leg_t));
    leg->capture = c;
    leg->place = place;
}
