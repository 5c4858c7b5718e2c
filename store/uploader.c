/*
 * store/uploader.c: see uploader.h. One step after the other: what is done
 * next follows from how far the file is written and what has been sent. Each
 * thing that S3 was told is noted by the store before the next is begun, so
 * another process can go on from there.
 */

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "pcapx/cut.h"
#include "store.h"
#include "text.h"
#include "uploader.h"


#define UPLOADER_PART      (UINT64_C(8) << 20)
#define UPLOADER_DOUBLE    1000      /* parts of one size */
#define UPLOADER_LOOK_MS   250       /* how often a running file is looked at */
#define UPLOADER_FIRST_MS  1000      /* after a failure; then doubled */
#define UPLOADER_LONG_MS   60000
#define UPLOADER_TOLD_MS   60000     /* a failure is logged as often */
#define UPLOADER_READ      65536
#define UPLOADER_TARGET    300       /* bytes; S3 cuts at 256 */

typedef enum {
    UPLOADER_ON = 0,
    UPLOADER_DONE,
    UPLOADER_FAILED                  /* error says why */
} uploader_step_t;

typedef struct {
    const uploader_t  *u;
    s3_conf_t          conf;
    s3_t              *s3;
    int                fd;
    pcapx_cut_kind_t   kind;
    uint8_t           *frames;       /* of FRAME_MAX, if it is compressed */
    uint64_t           written;
    uint64_t           sent;
    int                ended;        /* written is all there will be */
    int                torn;         /* the file has less than was sent */
    char               key[RECORD_OBJECT_MAX + 1];
    int                noted;        /* that there may be an object */
    char               upload[S3_UPLOAD_MAX + 1];
    s3_part_t         *parts;
    unsigned           nparts;
    s3_error_t         error;
    int                failed;       /* that was the last word */
    int64_t            wait_ms;
    int64_t            told_ms;      /* 0: not yet */
    uint8_t            buf[UPLOADER_READ];
} uploader_ctx_t;


static int uploader_setup(uploader_ctx_t *ctx);
static uploader_step_t uploader_step(uploader_ctx_t *ctx);
static void uploader_look(uploader_ctx_t *ctx);
static int uploader_hear(uploader_ctx_t *ctx, int flags);
static void uploader_wait(uploader_ctx_t *ctx, int64_t ms);
static uploader_step_t uploader_open(uploader_ctx_t *ctx);
static int uploader_kind(uploader_ctx_t *ctx);
static size_t uploader_head(uploader_ctx_t *ctx, uint8_t *head);
static uploader_step_t uploader_torn(uploader_ctx_t *ctx);
static uploader_step_t uploader_whole(uploader_ctx_t *ctx);
static uploader_step_t uploader_part(uploader_ctx_t *ctx);
static int uploader_cut(uploader_ctx_t *ctx, uint64_t *len, uint64_t *raw);
static int uploader_cut_blocks(uploader_ctx_t *ctx, uint64_t *len);
static int uploader_cut_frames(uploader_ctx_t *ctx, uint64_t *len,
    uint64_t *raw);
static uploader_step_t uploader_begin(uploader_ctx_t *ctx);
static uploader_step_t uploader_complete(uploader_ctx_t *ctx);
static uploader_step_t uploader_again(uploader_ctx_t *ctx);
static int uploader_object(uploader_ctx_t *ctx,
    int (*send)(uploader_ctx_t *ctx, const s3_object_t *object));
static int uploader_send_whole(uploader_ctx_t *ctx, const s3_object_t *o);
static int uploader_send_begin(uploader_ctx_t *ctx, const s3_object_t *o);
static void uploader_fail(uploader_ctx_t *ctx);
static uploader_step_t uploader_no(uploader_ctx_t *ctx, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void uploader_well(uploader_ctx_t *ctx);
static void uploader_tell(uploader_ctx_t *ctx, const upload_report_t *r);


uint64_t
uploader_part_size(unsigned n)
{
    return UPLOADER_PART << (n - 1) / UPLOADER_DOUBLE;
}


int
uploader_run(const uploader_t *u)
{
    int               rc;
    uploader_ctx_t   *ctx;
    uploader_step_t   step;

    ctx = calloc(1, sizeof(*ctx));
    if (ctx == NULL) {
        return 1;
    }

    ctx->u = u;
    ctx->fd = -1;

    rc = uploader_setup(ctx);

    for (step = UPLOADER_ON; rc == 0 && step != UPLOADER_DONE; ) {
        step = uploader_step(ctx);

        if (step == UPLOADER_FAILED) {
            uploader_fail(ctx);
        }
    }

    s3_close(ctx->s3);
    free(ctx->parts);
    free(ctx->frames);

    if (ctx->fd != -1) {
        close(ctx->fd);
    }

    free(ctx);

    return rc != 0;
}


static int
uploader_setup(uploader_ctx_t *ctx)
{
    char               err[S3_ERR_LEN];
    const uploader_t  *u;

    u = ctx->u;
    ctx->conf = conf_s3(u->conf);
    ctx->parts = calloc(S3_MAX_PARTS, sizeof(*ctx->parts));

    if (ctx->parts == NULL
        || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    {
        log_error(&u->log, "out of memory");
        return -1;
    }

    ctx->s3 = s3_open(&ctx->conf, err);

    if (ctx->s3 == NULL) {
        log_error(&u->log, "s3: %s", err);
        return -1;
    }

    ctx->ended = u->slot == -1;
    ctx->written = ctx->ended ? u->bytes : 0;
    ctx->sent = u->sent;
    ctx->nparts = u->nparts;

    if (u->nparts) {
        memcpy(ctx->parts, u->parts, u->nparts * sizeof(*u->parts));
    }

    snprintf(ctx->key, sizeof(ctx->key), "%s", u->key);
    snprintf(ctx->upload, sizeof(ctx->upload), "%s", u->upload);

    return 0;
}


static uploader_step_t
uploader_step(uploader_ctx_t *ctx)
{
    uploader_step_t  rc;

    uploader_look(ctx);

    if (!ctx->ended
        && ctx->written - ctx->sent <= uploader_part_size(ctx->nparts + 1))
    {
        uploader_wait(ctx, UPLOADER_LOOK_MS);
        return UPLOADER_ON;
    }

    rc = uploader_open(ctx);

    if (rc != UPLOADER_ON) {
        return rc;
    }

    if (ctx->ended && ctx->upload[0] == '\0'
        && ctx->written <= uploader_part_size(1))
    {
        return uploader_whole(ctx);
    }

    if (ctx->sent == ctx->written) {
        return uploader_complete(ctx);
    }

    return ctx->upload[0] ? uploader_part(ctx) : uploader_begin(ctx);
}


/*
 * The slot may be another capture's as soon as this one has ended; but then
 * that has been said, and is heard now.
 */

static void
uploader_look(uploader_ctx_t *ctx)
{
    uint64_t  written;

    if (ctx->ended) {
        return;
    }

    written = quota_written(ctx->u->quota, ctx->u->slot);

    while (uploader_hear(ctx, MSG_DONTWAIT) != 0) { /* void */ }

    if (!ctx->ended && written > ctx->written) {
        ctx->written = written;
    }
}


/* One word of the store's, 0: there is none. Without the store: the end. */

static int
uploader_hear(uploader_ctx_t *ctx, int flags)
{
    ssize_t         n;
    upload_order_t  order;

    do {
        n = recv(ctx->u->report, &order, sizeof(order), flags);
    } while (n == -1 && errno == EINTR);

    if (n == -1 && errno == EAGAIN) {
        return 0;
    }

    if (n != sizeof(order)) {
        _exit(1);
    }

    if (order.answer == UPLOAD_ENDED) {
        ctx->ended = 1;
        ctx->written = order.bytes;
    }

    return (int) order.answer;
}


/* Or until the store says something. */

static void
uploader_wait(uploader_ctx_t *ctx, int64_t ms)
{
    struct pollfd  fd;

    fd.fd = ctx->u->report;
    fd.events = POLLIN;
    (void) poll(&fd, 1, (int) ms);
}


/*
 * The file gets its name at the end; what was opened before stays the same
 * file. One that is shorter than it was told is no more than what has been
 * sent of it.
 */

static uploader_step_t
uploader_open(uploader_ctx_t *ctx)
{
    int          again;
    char         name[RECORD_FILE_MAX + 1];
    size_t       i;
    struct stat  st;

    for (again = 0; again < 2; again++) {
        for (i = 0; ctx->fd == -1 && text_suffixes[i]; i++) {
            snprintf(name, sizeof(name), "%s%s", ctx->u->id,
                     text_suffixes[i]);
            ctx->fd = openat(ctx->u->folder, name,
                             O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        }
    }

    if (ctx->fd == -1 || fstat(ctx->fd, &st) != 0
        || (uint64_t) st.st_size < ctx->written)
    {
        return uploader_torn(ctx);
    }

    return ctx->kind == PCAPX_CUT_START && uploader_kind(ctx) != 0
           ? uploader_no(ctx, "its file cannot be read") : UPLOADER_ON;
}


/* And the key, by what it is. */

static int
uploader_kind(uploader_ctx_t *ctx)
{
    size_t       n;
    uint8_t      head[PCAPX_CUT_HEAD_LEN];
    pcapx_cut_t  cut;

    n = uploader_head(ctx, head);
    pcapx_cut_init(&cut);

    if (n == 0 || pcapx_cut_feed(&cut, head, n) != 0
        || cut.kind == PCAPX_CUT_START)
    {
        return -1;
    }

    ctx->kind = cut.kind;

    if (ctx->key[0] == '\0') {
        snprintf(ctx->key, sizeof(ctx->key), "%s%s.%s%s",
                 ctx->u->conf->s3.prefix, ctx->u->id,
                 cut.kind == PCAPX_CUT_PCAP ? "pcap" : "pcapng",
                 ctx->frames ? ".zst" : "");
    }

    return 0;
}


/* The first bytes of the capture; 0: there are none to be had. */

static size_t
uploader_head(uploader_ctx_t *ctx, uint8_t *head)
{
    size_t           len;
    ssize_t          n;
    frame_opener_t  *opener;

    n = pread(ctx->fd, head, PCAPX_CUT_HEAD_LEN, 0);

    if (n <= 0 || !frame_is(head, (size_t) n)) {
        return n > 0 ? (size_t) n : 0;
    }

    if (ctx->frames == NULL) {
        ctx->frames = malloc(FRAME_MAX);
    }

    opener = frame_opener_new();
    len = 0;

    if (ctx->frames != NULL && opener != NULL) {
        n = pread(ctx->fd, ctx->frames, FRAME_MAX, 0);
        len = n > 0 ? frame_peek(opener, ctx->frames, (size_t) n, head,
                                 PCAPX_CUT_HEAD_LEN) : 0;
    }

    frame_opener_free(opener);

    return len;
}


/* Only what is in S3 can be made an object. */

static uploader_step_t
uploader_torn(uploader_ctx_t *ctx)
{
    if (ctx->fd != -1) {
        close(ctx->fd);
        ctx->fd = -1;
    }

    if (!ctx->ended || ctx->nparts == 0) {
        return uploader_no(ctx, "its file is not there, or has less than was "
                           "written");
    }

    ctx->torn = 1;
    ctx->written = ctx->sent;

    return uploader_complete(ctx);
}


static uploader_step_t
uploader_whole(uploader_ctx_t *ctx)
{
    upload_report_t  r;

    memset(&r, 0, sizeof(r));
    snprintf(r.key, sizeof(r.key), "%s", ctx->key);

    if (!ctx->noted) {
        r.word = UPLOAD_BEGUN;
        uploader_tell(ctx, &r);
        ctx->noted = 1;
    }

    if (uploader_object(ctx, uploader_send_whole) != 0) {
        return UPLOADER_FAILED;
    }

    r.word = UPLOAD_DONE;
    r.bytes = ctx->written;
    uploader_tell(ctx, &r);

    return UPLOADER_DONE;
}


static int
uploader_send_whole(uploader_ctx_t *ctx, const s3_object_t *o)
{
    s3_body_t  body;

    body = (s3_body_t) { .fd = ctx->fd, .len = ctx->written };

    return s3_put(ctx->s3, ctx->key, o, &body, &ctx->error);
}


static uploader_step_t
uploader_begin(uploader_ctx_t *ctx)
{
    upload_report_t  r;

    if (uploader_object(ctx, uploader_send_begin) != 0) {
        ctx->upload[0] = '\0';
        return UPLOADER_FAILED;
    }

    memset(&r, 0, sizeof(r));
    r.word = UPLOAD_BEGUN;
    snprintf(r.key, sizeof(r.key), "%s", ctx->key);
    snprintf(r.upload, sizeof(r.upload), "%s", ctx->upload);
    uploader_tell(ctx, &r);
    log_info(&ctx->u->log, "its upload to S3 has begun");
    uploader_well(ctx);

    return UPLOADER_ON;
}


static int
uploader_send_begin(uploader_ctx_t *ctx, const s3_object_t *o)
{
    return s3_begin(ctx->s3, ctx->key, o, ctx->upload, &ctx->error);
}


static uploader_step_t
uploader_part(uploader_ctx_t *ctx)
{
    uint64_t          len, raw;
    s3_body_t         body;
    s3_part_t        *part;
    upload_report_t   r;

    if (ctx->nparts == S3_MAX_PARTS) {
        return uploader_no(ctx, "it is larger than an object can be");
    }

    if (uploader_cut(ctx, &len, &raw) != 0) {
        return uploader_no(ctx, "its file cannot be read, or is no capture "
                           "behind byte %llu", (unsigned long long) ctx->sent);
    }

    part = &ctx->parts[ctx->nparts];
    part->n = ctx->nparts + 1;
    body = (s3_body_t) { ctx->fd, ctx->sent, len };

    if (s3_upload(ctx->s3, ctx->key, ctx->upload, part, &body, &ctx->error)
        != 0)
    {
        return uploader_again(ctx);
    }

    memset(&r, 0, sizeof(r));
    r.word = UPLOAD_PART;
    r.n = part->n;
    r.bytes = len;
    r.raw = raw;
    snprintf(r.etag, sizeof(r.etag), "%s", part->etag);
    uploader_tell(ctx, &r);

    ctx->nparts++;
    ctx->sent += len;
    uploader_well(ctx);

    return UPLOADER_ON;
}


/* What the next part has, and how much of the capture that is. */

static int
uploader_cut(uploader_ctx_t *ctx, uint64_t *len, uint64_t *raw)
{
    int  rc;

    if (ctx->frames != NULL) {
        return uploader_cut_frames(ctx, len, raw);
    }

    rc = uploader_cut_blocks(ctx, len);
    *raw = *len;

    return rc;
}


/* Up to the first end of a block behind what it has at least. */

static int
uploader_cut_blocks(uploader_ctx_t *ctx, uint64_t *len)
{
    ssize_t      n;
    uint64_t     left, least;
    pcapx_cut_t  cut;

    *len = 0;
    least = uploader_part_size(ctx->nparts + 1);
    left = ctx->written - ctx->sent;

    if (left <= least) {
        *len = left;
        return 0;
    }

    pcapx_cut_resume(&cut, ctx->kind);

    /* the head of classic pcap is no record */

    if (ctx->sent == 0) {
        pcapx_cut_init(&cut);
    }

    while (cut.whole < least) {
        n = pread(ctx->fd, ctx->buf,
                  left < UPLOADER_READ ? (size_t) left : UPLOADER_READ,
                  (off_t) (ctx->sent + cut.offset));

        if (n <= 0 || pcapx_cut_feed(&cut, ctx->buf, (size_t) n) != 0) {
            return -1;
        }

        left -= (uint64_t) n;
    }

    *len = cut.whole;

    return 0;
}


/* The same with frames: these are gone over in any case, for what they hold. */

static int
uploader_cut_frames(uploader_ctx_t *ctx, uint64_t *len, uint64_t *raw)
{
    size_t    at, have;
    ssize_t   n;
    frame_t   f;
    uint64_t  left, least;

    least = uploader_part_size(ctx->nparts + 1);
    left = ctx->written - ctx->sent;
    least = left < least ? left : least;
    at = have = 0;

    for (*len = *raw = 0; *len < least; ) {

        switch (frame_look(ctx->frames + at, have - at, &f)) {

        case FRAME_WHOLE:
            at += f.len;
            *len += f.len;
            *raw += f.raw;
            continue;

        case FRAME_TORN:
            n = pread(ctx->fd, ctx->frames, left - *len < FRAME_MAX
                      ? (size_t) (left - *len) : FRAME_MAX,
                      (off_t) (ctx->sent + *len));

            if (n > 0 && (size_t) n > have - at) {
                at = 0;
                have = (size_t) n;
                continue;
            }

            return -1;

        default:
            return -1;
        }
    }

    return 0;
}


static uploader_step_t
uploader_complete(uploader_ctx_t *ctx)
{
    upload_report_t  r;

    if (s3_complete(ctx->s3, ctx->key, ctx->upload, ctx->parts, ctx->nparts,
                    ctx->sent, &ctx->error)
        != 0)
    {
        return uploader_again(ctx);
    }

    memset(&r, 0, sizeof(r));
    r.word = UPLOAD_DONE;
    r.bytes = ctx->sent;
    snprintf(r.key, sizeof(r.key), "%s", ctx->key);
    uploader_tell(ctx, &r);

    return UPLOADER_DONE;
}


/*
 * A part or the completion failed. When S3 has lost the upload or a part of
 * it all is uploaded anew; without the file that cannot be.
 */

static uploader_step_t
uploader_again(uploader_ctx_t *ctx)
{
    size_t      i;
    s3_error_t  ignored;

    static const char  *const lost[] = {
        "NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"
    };

    for (i = 0; i < sizeof(lost) / sizeof(lost[0]) && !ctx->torn; i++) {

        if (strcmp(ctx->error.code, lost[i]) != 0) {
            continue;
        }

        log_warn(&ctx->u->log, "S3 has lost its upload, which begins anew: "
                 "%s", ctx->error.text);

        if (i != 0) {
            (void) s3_abort(ctx->s3, ctx->key, ctx->upload, &ignored);
        }

        ctx->upload[0] = '\0';
        ctx->nparts = 0;
        ctx->sent = 0;
        ctx->error.status = 0;             /* that may be put right at once */
        break;
    }

    return UPLOADER_FAILED;
}


/* Sends what has a name, a type and tags. */

static int
uploader_object(uploader_ctx_t *ctx,
    int (*send)(uploader_ctx_t *ctx, const s3_object_t *object))
{
    int            rc;
    char           target[UPLOADER_TARGET];
    json_t        *about;
    const char    *user, *resolver, *name;
    s3_object_t    object;
    sigv4_pair_t   tags[3];

    about = json_loads(ctx->u->about, 0, NULL);
    user = json_string_value(json_object_get(about, "user"));
    resolver = json_string_value(json_object_get(about, "resolver"));
    name = json_string_value(json_object_get(about, "target"));

    snprintf(target, sizeof(target), "%s/%s", resolver ? resolver : "",
             name ? name : "");
    tags[0] = (sigv4_pair_t) { "capture", ctx->u->id };
    tags[1] = (sigv4_pair_t) { "user", user ? user : "" };
    tags[2] = (sigv4_pair_t) { "target", target };

    name = strrchr(ctx->key, '/');
    object = (s3_object_t) {
        .type = ctx->frames ? "application/zstd"
                : ctx->kind == PCAPX_CUT_PCAP ? "application/vnd.tcpdump.pcap"
                                        : "application/x-pcapng",
        .file_name = name ? name + 1 : ctx->key, .tags = tags, .ntags = 3
    };

    rc = send(ctx, &object);
    json_decref(about);

    return rc;
}


/*
 * Says so, at times in the log too, and waits. What S3 has refused may be
 * mended by somebody, so it is tried again as well.
 */

static void
uploader_fail(uploader_ctx_t *ctx)
{
    int              refused;
    int64_t          now, end;
    s3_error_t      *e;
    upload_report_t  r;

    e = &ctx->error;
    refused = e->status >= 400 && e->status < 500 && e->status != 408
              && e->status != 429;
    now = store_ms();

    if (ctx->told_ms == 0 || now - ctx->told_ms >= UPLOADER_TOLD_MS) {
        ctx->told_ms = now;
        log_line(&ctx->u->log, refused ? STORE_LOG_ERROR : STORE_LOG_WARN,
                 "not yet in S3: %s", e->text);
    }

    memset(&r, 0, sizeof(r));
    r.word = UPLOAD_FAILS;
    snprintf(r.text, sizeof(r.text), "%s", e->text);
    uploader_tell(ctx, &r);
    ctx->failed = 1;

    ctx->wait_ms = ctx->wait_ms ? 2 * ctx->wait_ms : UPLOADER_FIRST_MS;

    if (ctx->wait_ms > UPLOADER_LONG_MS || refused) {
        ctx->wait_ms = UPLOADER_LONG_MS;
    }

    for (end = now + ctx->wait_ms; now < end; now = store_ms()) {
        uploader_wait(ctx, end - now);

        while (uploader_hear(ctx, MSG_DONTWAIT) != 0) { /* void */ }
    }
}


/* Something that S3 was not even asked. */

static uploader_step_t
uploader_no(uploader_ctx_t *ctx, const char *fmt, ...)
{
    va_list  args;

    memset(&ctx->error, 0, sizeof(ctx->error));
    va_start(args, fmt);
    vsnprintf(ctx->error.text, sizeof(ctx->error.text), fmt, args);
    va_end(args);

    return UPLOADER_FAILED;
}


static void
uploader_well(uploader_ctx_t *ctx)
{
    upload_report_t  r;

    ctx->wait_ms = 0;

    if (!ctx->failed) {
        return;
    }

    ctx->failed = 0;
    ctx->told_ms = 0;
    memset(&r, 0, sizeof(r));
    r.word = UPLOAD_WELL;
    uploader_tell(ctx, &r);
    log_info(&ctx->u->log, "its upload to S3 goes on");
}


/* And waits until that is noted. */

static void
uploader_tell(uploader_ctx_t *ctx, const upload_report_t *r)
{
    if (send(ctx->u->report, r, sizeof(*r), MSG_NOSIGNAL) != sizeof(*r)) {
        _exit(1);
    }

    while (uploader_hear(ctx, 0) != UPLOAD_NOTED) { /* void */ }
}
