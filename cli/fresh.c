/*
 * cli/fresh.c: while a capture streams its token is renewed before it runs
 * out, and the fresh one is handed to the API, which asks for the right of a
 * running capture again. An API that does not take it is none the worse: all
 * of this is quiet.
 */

#include <stdio.h>
#include <string.h>

#include "capture.h"


/* The margin of the logins (LOGIN_MARGIN_S): they renew within it only. */
#define FRESH_MARGIN_S   30

/* Between two: they take a token for fresh that long (LOGIN_FRESH_MS). */
#define FRESH_EVERY_MS   61000

#define FRESH_PUT_MS     10000


static void
fresh_put(leg_t *leg)
{
    char         path[API_MAX_PATH];
    CURL        *easy;
    capture_t   *c;
    const char  *id;

    c = leg->capture;
    id = leg->request.reply.capture_id;

    if (leg->began_ms == 0 || leg->transferred || leg->leaving
        || id[0] == '\0' || leg->put_request.easy != NULL)
    {
        return;
    }

    snprintf(path, sizeof(path), "/v1/captures/%s/token", id);

    if (api_request_init(&leg->put_request, &c->api, "PUT", path, NULL) != 0) {
        api_request_free(&leg->put_request);
        return;
    }

    /* The first connection may be full of packets. */
    easy = leg->put_request.easy;
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) FRESH_PUT_MS);

    if (curl_multi_add_handle(c->multi, easy) != CURLM_OK) {
        api_request_free(&leg->put_request);
    }
}


void
fresh_done(leg_t *leg, CURLcode rc)
{
    long        status;
    capture_t  *c;

    c = leg->capture;
    status = leg->put_request.reply.status;

    curl_multi_remove_handle(c->multi, leg->put_request.easy);
    api_request_free(&leg->put_request);

    if (rc != CURLE_OK) {
        msg_debug(c->msg, "* the fresh token did not reach the API: %s",
                  curl_easy_strerror(rc));
        return;
    }

    msg_debug(c->msg, "* the API answers the fresh token with HTTP %ld",
              status);

    /* An older API; one that has taken a token has lost the capture alone. */
    if (status == 204) {
        c->fresh_taken = 1;

    } else if (status == 405 || (status == 404 && !c->fresh_taken)) {
        c->fresh_off = 1;
    }
}


void
fresh_tend(capture_t *c, uint64_t now)
{
    int       rc;
    unsigned  i;
    uint64_t  every;

    if (c->fresh_off || c->conf->renew == NULL || c->conf->token == NULL
        || c->began_ms == 0 || c->relay.down || c->transferred || c->asking
        || c->stop != STOP_NONE)
    {
        return;
    }

    every = FRESH_EVERY_MS / c->relay.scale;

    if (now - c->began_ms < every || now < c->fresh_at_ms
        || !conf_token_ends_within(c->conf, FRESH_MARGIN_S))
    {
        return;
    }

    rc = capture_renew(c);
    c->fresh_at_ms = capture_now() + every;

    if (rc != 0) {
        c->fresh_off = rc == -1;
        return;
    }

    for (i = 0; i < REJOIN_PARTS; i++) {
        fresh_put(&c->legs[i]);
    }
}
