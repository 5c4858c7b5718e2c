/*
 * t/cli_bosh_login.c: renewing a token again and again, as in a capture that
 * outlives its tokens: the config file that could not be written, was changed
 * by another process, or has lost its tokens. libcurl is stood in for: what
 * would be sent is looked at, and an answer put where it would have come.
 */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/bosh.h"
#include "cli/capture.h"
#include "tap.h"

#undef curl_easy_setopt


typedef struct {
    api_request_t  *q;          /* the request that is being made */
    const char     *form;
    const char     *answer;     /* what the UAA says to it */
    const char     *unlinked;   /* file that goes away meanwhile, or NULL */
    char            asked[256]; /* the last form */
    unsigned        times;
} uaa_t;

static uaa_t  uaa;


CURLcode
curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    va_list  ap;

    (void) easy;
    va_start(ap, option);

    if (option == CURLOPT_HEADERDATA) {
        uaa.q = va_arg(ap, void *);

    } else if (option == CURLOPT_POSTFIELDS) {
        uaa.form = va_arg(ap, const char *);
    }

    va_end(ap);

    return CURLE_OK;
}


CURLcode
curl_easy_perform(CURL *easy)
{
    (void) easy;

    uaa.times++;
    snprintf(uaa.asked, sizeof(uaa.asked), "%s", uaa.form);

    if (uaa.unlinked != NULL) {
        unlink(uaa.unlinked);
    }

    uaa.q->reply.status = 200;

    return reply_body(&uaa.q->reply, uaa.answer, strlen(uaa.answer)) == 0
           ? CURLE_OK : CURLE_WRITE_ERROR;
}


static void
put(const char *path, const char *refresh)
{
    FILE  *f;

    f = fopen(path, "w");

    if (f == NULL) {
        exit(1);
    }

    fprintf(f, "environments:\n- url: https://director\n  alias: prod\n");

    if (refresh != NULL) {
        fprintf(f, "  access_token: old\n  refresh_token: %s\n", refresh);
    }

    if (fclose(f) != 0) {
        exit(1);
    }
}


/* The next renewal, more than a minute later. */
static cli_exit_t
again(bosh_t *b, const char *answer, const char *unlinked)
{
    uaa.answer = answer;
    uaa.unlinked = unlinked;
    uaa.asked[0] = '\0';
    b->fresh_ms = 0;

    return bosh_login_again(b);
}


static int
asked_with(const char *token)
{
    char  form[128];

    snprintf(form, sizeof(form), "grant_type=refresh_token&refresh_token=%s",
             token);

    return strcmp(uaa.asked, form) == 0;
}


static int
token_is(const bosh_t *b, const char *token)
{
    return b->director.token != NULL
           && strcmp(b->director.token, token) == 0;
}


static void
test_not_kept(bosh_t *b)
{
    ok(again(b, "{\"access_token\":\"a1\",\"refresh_token\":\"r1\"}",
             b->config_path) == CLI_OK && token_is(b, "a1")
       && asked_with("r0"), "a token that could not be kept is used");

    put(b->config_path, "r0");
    ok(again(b, "{\"access_token\":\"a2\",\"refresh_token\":\"r2\"}",
             b->config_path) == CLI_OK && token_is(b, "a2"),
       "renewed again, with the file as it was");
    ok(asked_with("r1"), "by the refresh token that is not in it: %s",
       uaa.asked);

    put(b->config_path, "r0");
    ok(again(b, "{\"access_token\":\"a3\"}", b->config_path) == CLI_OK
       && asked_with("r2"), "and once more: %s", uaa.asked);

    put(b->config_path, "r0");
    ok(again(b, "{\"access_token\":\"a4\",\"refresh_token\":\"r4\"}", NULL)
       == CLI_OK && asked_with("r2") && b->used == NULL,
       "the last one still; now it is kept: %s", uaa.asked);
    ok(again(b, "{\"access_token\":\"a5\",\"refresh_token\":\"r5\"}", NULL)
       == CLI_OK && asked_with("r4"), "and read: %s", uaa.asked);
}


static void
test_changed(bosh_t *b)
{
    ok(again(b, "{\"access_token\":\"a6\",\"refresh_token\":\"r6\"}",
             b->config_path) == CLI_OK && asked_with("r5"), "not kept again");

    put(b->config_path, "other");
    uaa.times = 0;
    ok(again(b, "{}", NULL) == CLI_OK && uaa.times == 0 && token_is(b, "old"),
       "another login is newer than what was not kept");
    ok(b->used == NULL, "which is forgotten");

    put(b->config_path, NULL);
    uaa.times = 0;
    ok(again(b, "{}", NULL) == CLI_DENIED && uaa.times == 0,
       "logged out: nothing is asked");
    ok(again(b, "{}", NULL) == CLI_DENIED && uaa.times == 0, "nor later");
}


int
main(void)
{
    char    dir[] = "/tmp/cli_bosh_login.XXXXXX";
    char    path[64], lock[80], err[PCAPX_ERR_LEN];
    char   *argv[] = { (char *) "pcap-cli", (char *) "bosh", NULL };
    FILE   *null;
    msg_t   msg;
    opt_t   opt;
    bosh_t  b;

    memset(&msg, 0, sizeof(msg));
    memset(&b, 0, sizeof(b));

    null = fopen("/dev/null", "w");

    if (null == NULL || mkdtemp(dir) == NULL) {
        return 1;
    }

    snprintf(path, sizeof(path), "%s/config", dir);
    snprintf(lock, sizeof(lock), "%s.lock", path);
    put(path, "r0");

    msg.f = null;
    (void) opt_parse(&opt, 2, argv);

    b.opt = &opt;
    b.msg = &msg;
    b.name = "prod";
    b.config_path = strdup(path);
    b.uaa = strdup("https://uaa");

    ok(conf_init(&b.director, &opt, "https://director", "it", err) == 0
       && store_read(&b.store, path, err) == 1
       && bosh_conf_find(&b.env, b.store.text, b.store.len, "prod", err) == 1
       && conf_set_token(&b.director, "old") == 0, "a login");

    test_not_kept(&b);
    test_changed(&b);

    free(b.used);
    free(b.uaa);
    free(b.config_path);
    bosh_env_free(&b.env);
    store_free(&b.store);
    conf_free(&b.director);
    opt_free(&opt);
    fclose(null);

    unlink(path);
    unlink(lock);
    rmdir(dir);

    return tap_done();
}
