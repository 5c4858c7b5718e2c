/*
 * store/fetch.c: see fetch.h. libcurl's multi interface, so that a signal is
 * seen at once also while nothing comes for hours. Nothing here grows with
 * the length of a capture.
 */

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch.h"
#include "frame.h"
#include "sink.h"
#include "store.h"
#include "text.h"


#define FETCH_PROBLEM_MAX  65536     /* bytes of a problem document */
#define FETCH_SYNC_MS      1000      /* what a power cut may take: so much */
#define FETCH_SYNC_BYTES   (16 << 20)
#define FETCH_REPORT_MS    1000
#define FETCH_LIVE_MS      50        /* from the API into a file that is read */

/*
 * From the grant to the header: a grant is taken at once, then agents have
 * pcap_api_start_timeout to begin, which is seconds.
 */
#define FETCH_ANSWER_MS    120000

typedef struct {
    const fetch_t  *f;
    CURLM          *multi;
    CURL           *easy;
    sink_t         *sink;            /* NULL: no 200 yet, or not to be had */
    int             begun;           /* the header was 200: what follows */
    int             full;            /* we have ended it */
    int             stopped;         /* SIGTERM */
    int             late;            /* no header in time */
    uint64_t        lost;            /* not even handed to the sink */
    uint64_t        synced;          /* sink_bytes() at the last sync */
    uint64_t        told;            /* and at the last report */
    int64_t         start_ms;
    int64_t         synced_ms;
    int64_t         flushed_ms;
    int64_t         told_ms;
    job_report_t    report;
    char            why[CURL_ERROR_SIZE];
    size_t          problem_len;
    char            problem[FETCH_PROBLEM_MAX];
} fetch_ctx_t;


static int fetch_setup(fetch_ctx_t *ctx);
static int fetch_options(fetch_ctx_t *ctx, const char *url);
static CURLcode fetch_loop(fetch_ctx_t *ctx, int signals);
static CURLcode fetch_result(fetch_ctx_t *ctx);
static size_t fetch_header(char *p, size_t size, size_t n, void *data);
static int fetch_begin(fetch_ctx_t *ctx);
static void fetch_trailer(job_report_t *r, const char *line, size_t len);
static int fetch_number(const char *s, uint64_t *value);
static size_t fetch_body(char *p, size_t size, size_t n, void *data);
static int fetch_room(fetch_ctx_t *ctx, size_t len);
static quota_answer_t fetch_ask(fetch_ctx_t *ctx, size_t len);
static void fetch_wrote(fetch_ctx_t *ctx);
static void fetch_full(fetch_ctx_t *ctx, const char *why);
static int fetch_wait(const fetch_ctx_t *ctx);
static void fetch_tick(fetch_ctx_t *ctx);
static void fetch_flush(fetch_ctx_t *ctx, int64_t now);
static void fetch_end(fetch_ctx_t *ctx, CURLcode rc);
static void fetch_close(fetch_ctx_t *ctx);
static void fetch_refused(fetch_ctx_t *ctx, CURLcode rc);
static void fetch_filed(const fetch_t *f, const sink_result_t *result,
    job_report_t *r);
static int fetch_left(const fetch_t *f, struct stat *st);
static void fetch_detail(job_report_t *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int fetch_tell(const fetch_t *f, const job_report_t *r);


int
fetch_run(const fetch_t *f)
{
    int           rc, signals;
    CURLcode      code;
    sigset_t      set;
    fetch_ctx_t  *ctx;

    ctx = calloc(1, sizeof(*ctx));
    if (ctx == NULL) {
        return 1;
    }

    ctx->f = f;
    ctx->start_ms = store_ms();
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    code = CURLE_FAILED_INIT;

    if (signals != -1 && fetch_setup(ctx) == 0) {
        code = fetch_loop(ctx, signals);
    }

    fetch_end(ctx, code);
    rc = fetch_tell(f, &ctx->report);

    curl_multi_remove_handle(ctx->multi, ctx->easy);
    curl_easy_cleanup(ctx->easy);
    curl_multi_cleanup(ctx->multi);
    free(ctx);

    return rc;
}


static int
fetch_setup(fetch_ctx_t *ctx)
{
    int                 n;
    char                url[8 + JOB_HOST_MAX + JOB_PATH_MAX + JOB_GRANT_LEN];
    const job_order_t  *order;

    order = ctx->f->order;
    n = snprintf(url, sizeof(url), "http://%s%s%s", order->host, order->path,
                 order->grant);

    if (n < 0 || (size_t) n >= sizeof(url)
        || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    {
        return -1;
    }

    ctx->multi = curl_multi_init();
    ctx->easy = curl_easy_init();

    if (ctx->multi == NULL || ctx->easy == NULL
        || fetch_options(ctx, url) != 0
        || curl_multi_add_handle(ctx->multi, ctx->easy) != CURLM_OK)
    {
        return -1;
    }

    explicit_bzero(url, sizeof(url));

    return 0;
}


/*
 * No redirects and no proxy from the environment: the socket is the API. A
 * capture may be silent for hours, so there is no limit of speed.
 */

static int
fetch_options(fetch_ctx_t *ctx, const char *url)
{
    CURL  *c;

    c = ctx->easy;

    return curl_easy_setopt(c, CURLOPT_URL, url) != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH,
                               ctx->f->conf->api) != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http") != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_HTTP_VERSION,
                               (long) CURL_HTTP_VERSION_1_1) != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_PROXY, "") != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 10L) != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_ERRORBUFFER, ctx->why) != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, fetch_header)
              != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_HEADERDATA, ctx) != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, fetch_body)
              != CURLE_OK
           || curl_easy_setopt(c, CURLOPT_WRITEDATA, ctx) != CURLE_OK
           ? -1 : 0;
}


/* Until the API, a quota, the disk or a signal ends it. */

static CURLcode
fetch_loop(fetch_ctx_t *ctx, int signals)
{
    int                  running;
    struct curl_waitfd   fd;

    memset(&fd, 0, sizeof(fd));
    fd.fd = signals;
    fd.events = CURL_WAIT_POLLIN;

    for ( ;; ) {
        if (curl_multi_perform(ctx->multi, &running) != CURLM_OK) {
            return CURLE_FAILED_INIT;
        }

        if (running == 0) {
            return fetch_result(ctx);
        }

        fetch_tick(ctx);

        if (ctx->full || ctx->late) {
            return CURLE_ABORTED_BY_CALLBACK;
        }

        fd.revents = 0;

        if (curl_multi_poll(ctx->multi, &fd, 1, fetch_wait(ctx), NULL)
            != CURLM_OK)
        {
            return CURLE_FAILED_INIT;
        }

        if (fd.revents) {
            ctx->stopped = 1;
            return CURLE_ABORTED_BY_CALLBACK;
        }
    }
}


static CURLcode
fetch_result(fetch_ctx_t *ctx)
{
    int       n;
    CURLMsg  *msg;

    msg = curl_multi_info_read(ctx->multi, &n);

    return msg != NULL && msg->msg == CURLMSG_DONE ? msg->data.result
                                                   : CURLE_FAILED_INIT;
}


/*
 * Called with each line of the header and, when the body has ended, with each
 * of the trailers. An empty line ends either.
 */

static size_t
fetch_header(char *p, size_t size, size_t n, void *data)
{
    long          code;
    fetch_ctx_t  *ctx;

    ctx = data;
    n *= size;

    if (ctx->begun) {
        fetch_trailer(&ctx->report, p, n);
        return n;
    }

    if (p[0] != '\r' && p[0] != '\n') {
        return n;
    }

    code = 0;
    curl_easy_getinfo(ctx->easy, CURLINFO_RESPONSE_CODE, &code);

    return code == 200 && fetch_begin(ctx) != 0 ? 0 : n;
}


static int
fetch_begin(fetch_ctx_t *ctx)
{
    char  err[SINK_ERR_LEN];

    ctx->begun = 1;
    ctx->sink = sink_open(ctx->f->conf->folder, ctx->f->id,
                          ctx->f->order->level, err);

    if (ctx->sink == NULL) {
        ctx->full = 1;
        fetch_detail(&ctx->report, "%s", err);
        return -1;
    }

    ctx->report.state = RECORD_RUNNING;
    ctx->told_ms = ctx->synced_ms = store_ms();

    return fetch_tell(ctx->f, &ctx->report);
}


/* What is not as it must be counts as if it was not there. */

static void
fetch_trailer(job_report_t *r, const char *line, size_t len)
{
    char     copy[128], *value;
    size_t   i;

    static const char  *const verdicts[] = {
        "complete", "stopped", "limit", "partial", "error"
    };

    if (len >= sizeof(copy)) {
        return;
    }

    memcpy(copy, line, len);
    copy[len] = '\0';
    copy[strcspn(copy, "\r\n")] = '\0';
    value = strchr(copy, ':');

    if (value == NULL) {
        return;
    }

    *value++ = '\0';
    value += strspn(value, " \t");

    if (strcasecmp(copy, "X-Pcap-Packets") == 0) {
        (void) fetch_number(value, &r->packets);

    } else if (strcasecmp(copy, "X-Pcap-Dropped") == 0) {
        (void) fetch_number(value, &r->dropped);

    } else if (strcasecmp(copy, "X-Pcap-Status") == 0) {

        for (i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
            if (strcmp(value, verdicts[i]) == 0) {
                snprintf(r->status, sizeof(r->status), "%s", value);
                r->answer = 200;
            }
        }
    }
}


/* Up to 18 digits: it must fit into SQLite's integers. */

static int
fetch_number(const char *s, uint64_t *value)
{
    size_t  len;

    len = strspn(s, "0123456789");

    if (len == 0 || len > 18 || s[len] != '\0') {
        return -1;
    }

    *value = strtoull(s, NULL, 10);

    return 0;
}


/* Less than it was given ends the transfer. */

static size_t
fetch_body(char *p, size_t size, size_t n, void *data)
{
    char          err[SINK_ERR_LEN];
    size_t        left;
    fetch_ctx_t  *ctx;

    ctx = data;
    n *= size;

    if (!ctx->begun) {
        left = sizeof(ctx->problem) - ctx->problem_len;
        left = n < left ? n : left;
        memcpy(ctx->problem + ctx->problem_len, p, left);
        ctx->problem_len += left;
        return n;
    }

    if (ctx->full || fetch_room(ctx, n) != 0) {
        ctx->lost += n;
        return 0;
    }

    if (sink_write(ctx->sink, (const uint8_t *) p, n, err) != 0) {
        fetch_full(ctx, err);
        return 0;
    }

    fetch_wrote(ctx);

    return n;
}


static int
fetch_room(fetch_ctx_t *ctx, size_t len)
{
    int             owner;
    char            text[128];
    quota_answer_t  answer;

    answer = fetch_ask(ctx, len);

    if (answer == QUOTA_FREE) {
        return 0;
    }

    owner = answer == QUOTA_OWNER;
    snprintf(text, sizeof(text), "the quota of %s of this store, %llu bytes, "
             "is used up", owner ? "max_bytes_per_user" : "max_bytes",
             (unsigned long long) (owner ? ctx->f->conf->max_bytes_per_user
                                         : ctx->f->conf->max_bytes));
    fetch_full(ctx, text);

    return -1;
}


/*
 * What is not compressed yet is counted as if it could not be: before that is
 * too much, it is.
 */

static quota_answer_t
fetch_ask(fetch_ctx_t *ctx, size_t len)
{
    char            err[SINK_ERR_LEN];
    uint64_t        more;
    quota_answer_t  answer;

    more = ctx->f->order->level && sink_bytes(ctx->sink) == 0
           ? len + FRAME_MAX_MORE : len;
    answer = quota_ask(ctx->f->quota, ctx->f->slot, more);

    if (answer == QUOTA_FREE || ctx->f->order->level == 0
        || sink_flush(ctx->sink, err) != 0)
    {
        return answer;
    }

    fetch_wrote(ctx);

    return quota_ask(ctx->f->quota, ctx->f->slot, more);
}


/* How far the file is; a compressed one has less than was asked for. */

static void
fetch_wrote(fetch_ctx_t *ctx)
{
    const fetch_t  *f;

    f = ctx->f;
    quota_wrote(f->quota, f->slot, sink_written(ctx->sink));

    if (f->order->level) {
        quota_set(f->quota, f->slot, sink_most(ctx->sink));
    }
}


/* We end it, and not the API. What is no capture is no limit of ours. */

static void
fetch_full(fetch_ctx_t *ctx, const char *why)
{
    if (ctx->full) {
        return;
    }

    ctx->full = 1;
    ctx->report.answer = 0;
    fetch_detail(&ctx->report, "%s", why);
    snprintf(ctx->report.status, sizeof(ctx->report.status), "%s",
             strncmp(why, "no capture: ", 12) == 0 ? "error" : "limit");
}


/* Milliseconds for which nothing has to be done, should nothing come. */

static int
fetch_wait(const fetch_ctx_t *ctx)
{
    return ctx->f->order->live && ctx->sink != NULL
           && sink_bytes(ctx->sink) != sink_written(ctx->sink)
           ? FETCH_LIVE_MS : FETCH_REPORT_MS;
}


/* To the disk and to the store, when it is time. */

static void
fetch_tick(fetch_ctx_t *ctx)
{
    char      err[SINK_ERR_LEN];
    int64_t   now;
    uint64_t  bytes;

    now = store_ms();

    if (!ctx->begun) {
        ctx->late = now - ctx->start_ms > FETCH_ANSWER_MS;
        return;
    }

    if (ctx->sink == NULL || ctx->full) {
        return;
    }

    bytes = sink_bytes(ctx->sink);

    if (bytes != ctx->synced
        && (now - ctx->synced_ms >= FETCH_SYNC_MS
            || bytes - ctx->synced >= FETCH_SYNC_BYTES))
    {
        ctx->synced = bytes;
        ctx->synced_ms = now;

        if (sink_sync(ctx->sink, err) != 0) {
            fetch_full(ctx, err);
            return;
        }

        fetch_wrote(ctx);
    }

    fetch_flush(ctx, now);

    if (bytes != ctx->told && now - ctx->told_ms >= FETCH_REPORT_MS) {
        ctx->told = bytes;
        ctx->told_ms = now;
        ctx->report.bytes = ctx->f->order->level ? sink_written(ctx->sink)
                                                 : bytes;
        ctx->report.raw = bytes;
        (void) fetch_tell(ctx->f, &ctx->report);
    }
}


/* Somebody reads the file meanwhile. */

static void
fetch_flush(fetch_ctx_t *ctx, int64_t now)
{
    char  err[SINK_ERR_LEN];

    if (!ctx->f->order->live || now - ctx->flushed_ms < FETCH_LIVE_MS) {
        return;
    }

    ctx->flushed_ms = now;

    if (sink_flush(ctx->sink, err) != 0) {
        fetch_full(ctx, err);
    }
}


static void
fetch_end(fetch_ctx_t *ctx, CURLcode rc)
{
    job_report_t  *r;

    r = &ctx->report;
    r->state = RECORD_FAILED;
    r->bytes = 0;
    r->raw = 0;

    if (ctx->stopped) {
        r->status[0] = '\0';
        r->answer = 0;
        fetch_detail(r, "the store was stopped");

    } else if (!ctx->begun) {
        fetch_refused(ctx, rc);

    } else if (!ctx->full && rc != CURLE_OK) {
        r->status[0] = '\0';
        r->answer = 0;
        fetch_detail(r, "the API's answer was cut: %s",
                     ctx->why[0] ? ctx->why : curl_easy_strerror(rc));

    } else if (!ctx->full && r->status[0] == '\0') {
        fetch_detail(r, "the API's answer was cut: it ended without a "
                     "verdict");
    }

    if (ctx->sink != NULL) {
        fetch_close(ctx);
    }
}


static void
fetch_close(fetch_ctx_t *ctx)
{
    char           err[SINK_ERR_LEN], again[SINK_ERR_LEN];
    job_report_t  *r;
    sink_result_t  result;

    r = &ctx->report;

    r->state = ctx->stopped ? RECORD_INTERRUPTED : RECORD_STORED;

    /* what comes from memory now may never have come to the disk */

    if (sink_close(ctx->sink, &result, err) != 0) {
        log_error(&ctx->f->log, "the file cannot be ended: %s", err);
        fetch_detail(r, "the file may not be whole: %s", err);
        r->state = RECORD_INTERRUPTED;

        if (sink_recover(ctx->f->conf->folder, ctx->f->id, &result, again)
            != 0)
        {
            r->lost = ctx->lost;
            return;
        }
    }

    result.lost += ctx->lost;

    if (result.why[0] && !ctx->full) {
        fetch_full(ctx, result.why);
    }

    fetch_filed(ctx->f, &result, r);

    if (result.unsure && r->state != RECORD_FAILED) {
        r->state = RECORD_INTERRUPTED;
        r->status[0] = '\0';
        r->sha256[0] = '\0';
        fetch_detail(r, "the file may not be whole: %s", result.why);
    }

    if (result.lost && r->detail[0] == '\0') {
        fetch_detail(r, "it ended within a block");
    }
}


/* Nothing has begun. The API says why in a problem document (RFC 9457). */

static void
fetch_refused(fetch_ctx_t *ctx, CURLcode rc)
{
    long     code;
    json_t  *root, *detail;

    code = 0;

    if (ctx->easy != NULL) {
        curl_easy_getinfo(ctx->easy, CURLINFO_RESPONSE_CODE, &code);
    }

    if (ctx->late) {
        fetch_detail(&ctx->report, "the API did not answer within %d s",
                     FETCH_ANSWER_MS / 1000);
        return;
    }

    if (code == 0) {
        fetch_detail(&ctx->report, "the API could not be asked: %s",
                     ctx->why[0] ? ctx->why : curl_easy_strerror(rc));
        return;
    }

    ctx->report.answer = (int) code;
    root = json_loadb(ctx->problem, ctx->problem_len, 0, NULL);
    detail = json_object_get(root, "detail");

    if (json_is_string(detail) && json_string_length(detail)) {
        fetch_detail(&ctx->report, "%s", json_string_value(detail));

    } else {
        fetch_detail(&ctx->report, "the API answered with %ld", code);
    }

    json_decref(root);
}


/* What is in the file; one without a byte is removed, and is none. */

static void
fetch_filed(const fetch_t *f, const sink_result_t *result, job_report_t *r)
{
    r->lost = result->lost;
    quota_set(f->quota, f->slot, result->bytes);

    if (result->bytes == 0) {
        r->state = RECORD_FAILED;

        if (unlinkat(f->folder, result->name, 0) != 0) {
            log_error(&f->log, "%s: %s", result->name, strerror(errno));
        }

        if (r->detail[0] == '\0') {
            fetch_detail(r, "nothing came");
        }

        return;
    }

    r->bytes = result->bytes;
    r->raw = result->raw;
    snprintf(r->sha256, sizeof(r->sha256), "%s", result->sha256);
    snprintf(r->file, sizeof(r->file), "%s", result->name);
}


int
fetch_recover(const fetch_t *f)
{
    char           err[SINK_ERR_LEN];
    struct stat    st;
    job_report_t   r;
    sink_result_t  result;

    memset(&r, 0, sizeof(r));
    r.state = RECORD_FAILED;
    fetch_detail(&r, "%s", f->detail);

    if (!fetch_left(f, &st)) {
        return fetch_tell(f, &r);
    }

    r.ended = st.st_mtim.tv_sec;       /* written last, which is its end */

    if (sink_recover(f->conf->folder, f->id, &result, err) != 0) {
        log_error(&f->log, "what was left cannot be ended: %s", err);
        r.state = RECORD_INTERRUPTED;      /* to be tried again */
        fetch_detail(&r, "%s; %s", f->detail, err);
        return fetch_tell(f, &r);
    }

    r.state = RECORD_INTERRUPTED;
    fetch_filed(f, &result, &r);

    return fetch_tell(f, &r);
}


/*
 * Is there a file of this capture? By fstatat(): faccessat() with flags makes
 * a system call that bpm's list, older than it, answers with EPERM.
 */

static int
fetch_left(const fetch_t *f, struct stat *st)
{
    char    name[64];
    size_t  i;

    for (i = 0; text_suffixes[i]; i++) {
        snprintf(name, sizeof(name), "%s%s", f->id, text_suffixes[i]);

        if (fstatat(f->folder, name, st, AT_SYMLINK_NOFOLLOW) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
fetch_detail(job_report_t *r, const char *fmt, ...)
{
    char     text[2 * RECORD_DETAIL_MAX];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    text_clean(r->detail, sizeof(r->detail), text);
}


/* 0, or 1: the store has gone. */

static int
fetch_tell(const fetch_t *f, const job_report_t *r)
{
    ssize_t  n;

    do {
        n = write(f->report, r, sizeof(*r));
    } while (n == -1 && errno == EINTR);

    return n != sizeof(*r);
}
