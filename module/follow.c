/*
 * module/follow.c: a live capture that goes to storage as well ("store=1").
 * The store takes it as any other; what goes out here is its file, while that
 * grows. So a client that falls behind loses no packet: the file is the buffer,
 * and what a client does not take at all is there to be fetched later.
 *
 * Only whole blocks go out, so that what the client has is a capture wherever
 * it ends. A file that has been removed, because it is in S3 by now or too
 * old, is there for a while for whoever has it open.
 */

#include "module/shm.h"
#include "module/stored.h"
#include "pcapx/cut.h"


/* All in ms. A question costs memory until the request ends: some 14 KB. */
#define NGX_PCAP_API_FOLLOW_SOON   100     /* to ask first, doubled up to */
#define NGX_PCAP_API_FOLLOW_OFTEN  10000
#define NGX_PCAP_API_FOLLOW_QUIET  60000   /* and where nothing comes */
#define NGX_PCAP_API_FOLLOW_RARE   600000
#define NGX_PCAP_API_FOLLOW_RETRY  60000   /* the store does not answer */
#define NGX_PCAP_API_FOLLOW_GONE   60000   /* with a removed file */
#define NGX_PCAP_API_FOLLOW_SLOW   5000    /* behind the end of its capture: */
#define NGX_PCAP_API_FOLLOW_LATE   900000  /* it counts as late; it is cut */
#define NGX_PCAP_API_FOLLOW_LOOK   100     /* whether it has ended */
#define NGX_PCAP_API_FOLLOWERS     4       /* of a user, so late */


struct ngx_pcap_api_follow_s {
    int                        fd;           /* -1: not open */
    u_char                    *part;         /* its path as long as it grows */
    u_char                    *whole;        /* and then */
    pcapx_cut_t                cut;
    off_t                      offset;       /* up to there it goes out */
    ngx_uint_t                 asks;         /* so many, then it is named */
    ngx_msec_t                 at;           /* of the last one, or it grew */
    ngx_msec_t                 failed;       /* the store, for the first time */
    ngx_msec_t                 removed;      /* seen to be */
    ngx_msec_t                 looked;       /* at its name */
    ngx_msec_t                 named_at;
    ngx_queue_t                queue;        /* of those that are named */
    u_char                     user[32];
    const char                *status;       /* for its client */
    const char                *why;          /* it is cut */
    unsigned                   asking:1;
    unsigned                   known:1;      /* the store says that it runs */
    unsigned                   begun:1;      /* the header has gone out */
    unsigned                   failing:1;
    unsigned                   named:1;      /* it is no ".part" any more */
    unsigned                   late:1;       /* and its client is behind */
    unsigned                   is_removed:1;
    unsigned                   ended:1;      /* grows no more */
};


/* Those of this worker whose captures have ended, the oldest first. */
static ngx_queue_t  ngx_pcap_api_late = { NULL, NULL };


/* DIR/ID and a suffix. */
static u_char *
ngx_pcap_api_follow_path(ngx_pcap_api_ctx_t *ctx, const char *suffix)
{
    size_t      len;
    u_char     *p;
    ngx_str_t  *folder;

    folder = &ctx->conf->store.folder;
    len = folder->len + NGX_PCAP_API_ID_LEN + ngx_strlen(suffix) + 2;

    p = ngx_pnalloc(ctx->request->pool, len);

    if (p != NULL) {
        (void) ngx_snprintf(p, len, "%V/%*s%s%Z", folder,
                            (size_t) NGX_PCAP_API_ID_LEN, ctx->id, suffix);
    }

    return p;
}


static ngx_int_t
ngx_pcap_api_follow_begin(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_follow_t  *f;

    f = ngx_pcalloc(ctx->request->pool, sizeof(ngx_pcap_api_follow_t));
    if (f == NULL) {
        return NGX_ERROR;
    }

    f->fd = -1;
    f->part = ngx_pcap_api_follow_path(ctx, ".part");
    f->whole = ngx_pcap_api_follow_path(ctx, ctx->opts.pcapng ? ".pcapng"
                                                              : ".pcap");
    f->at = ngx_current_msec;
    f->status = "cut";
    pcapx_cut_init(&f->cut);
    ngx_pcap_api_user_hash(&ctx->identity, f->user);

    ngx_memcpy(ctx->stop_id, ctx->id, NGX_PCAP_API_ID_LEN);
    ctx->stored.follow = f;

    return f->part && f->whole ? NGX_OK : NGX_ERROR;
}


void
ngx_pcap_api_follow_end(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_follow_t  *f;

    f = ctx->stored.follow;

    if (f == NULL || f->fd == -1) {
        return;
    }

    (void) close(f->fd);
    f->fd = -1;

    if (f->named) {
        ngx_queue_remove(&f->queue);
    }

    ngx_log_error(NGX_LOG_NOTICE, ctx->request->connection->log, 0,
                  "pcap capture %*s of %V, followed by \"%V\", ended: %s, "
                  "bytes:%O%s%s", (size_t) NGX_PCAP_API_ID_LEN, ctx->id,
                  &ctx->group, &ctx->identity.name, f->status, f->offset,
                  f->why ? ", " : "", f->why ? f->why : "");
}


ngx_uint_t
ngx_pcap_api_follow_runs(ngx_pcap_api_ctx_t *ctx)
{
    return ctx->stored.follow != NULL && ctx->stored.follow->begun;
}


void
ngx_pcap_api_follow_status(ngx_pcap_api_ctx_t *ctx, ngx_str_t *s)
{
    s->data = (u_char *) ctx->stored.follow->status;
    s->len = ngx_strlen(s->data);
}


/*
 * The record as it is now. The first question is due after least, each further
 * one after twice the time, up to most: NGX_OK; NGX_DECLINED: it is not due;
 * NGX_AGAIN; or a refusal.
 */
static ngx_int_t
ngx_pcap_api_follow_ask(ngx_pcap_api_ctx_t *ctx, ngx_msec_t least,
    ngx_msec_t most)
{
    ngx_int_t               rc;
    ngx_msec_t              after;
    ngx_pcap_api_follow_t  *f;

    f = ctx->stored.follow;

    if (!f->asking) {
        after = ngx_min(least << ngx_min(f->asks, 10), most);

        if (ngx_current_msec - f->at < after) {
            return NGX_DECLINED;
        }

        json_decref(ctx->stored.record);
        ctx->stored.record = NULL;
        ctx->stored.asked = 0;
        f->asking = 1;
    }

    rc = ngx_pcap_api_record_get(ctx);

    if (rc != NGX_AGAIN) {
        f->asking = 0;
        f->asks++;
        f->at = ngx_current_msec;
    }

    return rc;
}


static ngx_uint_t
ngx_pcap_api_record_runs(json_t *rec)
{
    return ngx_pcap_api_record_is(rec, "waiting")
           || ngx_pcap_api_record_is(rec, "running");
}


/* --- its begin --- */

/* As the API has refused the store, if it was that. */
static ngx_int_t
ngx_pcap_api_follow_refuse(ngx_pcap_api_ctx_t *ctx, json_t *rec)
{
    uint64_t  status;

    status = ngx_pcap_api_record_number(rec, "answer");

    /* what was to be found was found before: there is no such grant */

    if (status == NGX_HTTP_NOT_FOUND || status == NGX_HTTP_NOT_ALLOWED) {
        return ngx_pcap_api_store_failed(ctx, "it had no grant, or came too "
                                         "late with it");
    }

    switch (status) {

    case NGX_HTTP_BAD_REQUEST:
    case NGX_HTTP_FORBIDDEN:
    case NGX_HTTP_CONFLICT:
    case NGX_HTTP_GATEWAY_TIME_OUT:
        break;

    case NGX_HTTP_TOO_MANY_REQUESTS:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        ctx->retry_after = 10;
        break;

    default:
        status = NGX_HTTP_BAD_GATEWAY;
    }

    return ngx_pcap_api_refuse(ctx, (ngx_uint_t) status, "%s",
                               ngx_pcap_api_record_text(rec, "detail"));
}


/* There is no file yet; will there be one? */
static ngx_int_t
ngx_pcap_api_follow_wait(ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t    rc;
    json_t      *rec;

    rc = ngx_pcap_api_follow_ask(ctx, NGX_PCAP_API_FOLLOW_SOON,
                                 NGX_PCAP_API_FOLLOW_OFTEN);

    if (rc == NGX_DECLINED) {
        return NGX_AGAIN;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rec = ctx->stored.record;

    if (ngx_pcap_api_record_is(rec, "waiting")) {
        return NGX_AGAIN;
    }

    if (ngx_pcap_api_record_is(rec, "failed")) {
        return ngx_pcap_api_follow_refuse(ctx, rec);
    }

    /* there was none, and now it is said to be there */

    if (!ctx->stored.follow->known) {
        ctx->stored.follow->known = 1;
        ngx_pcap_api_post(ctx);
        ctx->again = 1;
        return NGX_AGAIN;
    }

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "there is no \"%s\": is folder=PATH of \"pcap_api_store\" "
                  "the folder of the store?", ctx->stored.follow->part);

    return ngx_pcap_api_store_failed(ctx, "its file cannot be found");
}


/* NGX_OK: it is open. */
static ngx_int_t
ngx_pcap_api_follow_open(ngx_pcap_api_ctx_t *ctx)
{
    int                     flags;
    struct stat             st;
    ngx_pcap_api_follow_t  *f;

    f = ctx->stored.follow;
    flags = O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK;

    f->fd = open((char *) f->part, flags);

    if (f->fd == -1 && errno == ENOENT) {
        f->fd = open((char *) f->whole, flags);      /* it was short */
    }

    if (f->fd == -1 && errno == ENOENT) {
        return ngx_pcap_api_follow_wait(ctx);
    }

    if (f->fd == -1 || fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, ngx_errno,
                      "the file of the store \"%s\" cannot be read", f->part);

        return ngx_pcap_api_store_failed(ctx, "its file cannot be read");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_follow_header(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t  url;

    if (ngx_pcap_api_capture_path(ctx, ctx->id, "/file", &url) != NGX_OK
        || ngx_pcap_api_add_header(r, "X-Pcap-File", &url) != NGX_OK
        || ngx_pcap_api_send_header(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->stored.promised = 0;              /* its user knows it */
    ctx->stored.follow->begun = 1;
    ctx->stored.follow->asks = 0;
    ctx->took = ngx_current_msec;

    return NGX_OK;
}


/* --- what it has --- */

/* Its capture has ended. */
static void
ngx_pcap_api_follow_named(ngx_pcap_api_follow_t *f)
{
    if (ngx_pcap_api_late.next == NULL) {
        ngx_queue_init(&ngx_pcap_api_late);
    }

    f->named = 1;
    f->named_at = ngx_current_msec;
    f->asks = 0;
    ngx_queue_insert_tail(&ngx_pcap_api_late, &f->queue);
}


/* It is late, and so are this many of its user whose captures ended later. */
static ngx_uint_t
ngx_pcap_api_follow_later(ngx_pcap_api_follow_t *f)
{
    ngx_uint_t              n;
    ngx_queue_t            *q;
    ngx_pcap_api_follow_t  *other;

    n = 0;

    for (q = ngx_queue_next(&f->queue);
         q != ngx_queue_sentinel(&ngx_pcap_api_late);
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_pcap_api_follow_t, queue);

        n += other->late
             && ngx_memcmp(other->user, f->user, sizeof(f->user)) == 0;
    }

    return n;
}


/*
 * So much of the file may be read now. NGX_ERROR: its time is over; that is
 * looked at whether its client takes anything or not.
 */
static ngx_int_t
ngx_pcap_api_follow_size(ngx_pcap_api_ctx_t *ctx, off_t *size)
{
    struct stat             st, part;
    ngx_pcap_api_follow_t  *f;

    f = ctx->stored.follow;

    if (fstat(f->fd, &st) != 0) {
        return NGX_ERROR;
    }

    *size = st.st_size;

    if (st.st_nlink == 0 && !f->is_removed) {
        f->is_removed = 1;
        f->removed = ngx_current_msec;
    }

    if (!f->named
        && ngx_current_msec - f->looked >= NGX_PCAP_API_FOLLOW_LOOK)
    {
        f->looked = ngx_current_msec;

        if (stat((char *) f->part, &part) != 0) {
            ngx_pcap_api_follow_named(f);
        }
    }

    if (f->is_removed
        && ngx_current_msec - f->removed > NGX_PCAP_API_FOLLOW_GONE)
    {
        f->why = "too slow for a file that is gone";
    }

    f->late = f->named && f->offset < *size
              && ngx_current_msec - f->named_at > NGX_PCAP_API_FOLLOW_SLOW;

    if (f->late && ngx_pcap_api_follow_later(f) >= NGX_PCAP_API_FOLLOWERS) {
        f->why = "too many of its user are late";
    }

    if (f->named
        && ngx_current_msec - f->named_at > NGX_PCAP_API_FOLLOW_LATE)
    {
        f->why = "too slow for a capture that has ended";
    }

    if (ngx_pcap_api_drain_follower(ctx) != NGX_OK) {
        f->why = "the server goes";
    }

    return f->why == NULL ? NGX_OK : NGX_ERROR;
}


/*
 * Of n bytes that were read, those that may go out: up to the last whole block,
 * or into one that is in the file to its end.
 */
static ngx_int_t
ngx_pcap_api_follow_cut(ngx_pcap_api_ctx_t *ctx, u_char *p, size_t n,
    off_t size, size_t *len)
{
    pcapx_cut_t             was;
    ngx_pcap_api_follow_t  *f;

    f = ctx->stored.follow;
    was = f->cut;

    if (pcapx_cut_feed(&f->cut, p, n) != 0) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "\"%s\" of the store is no capture: %s", f->part,
                      f->cut.err);
        return NGX_ERROR;
    }

    if (f->cut.have == 0
        && f->offset + (off_t) n + (off_t) f->cut.left <= size)
    {
        *len = n;
        return NGX_OK;
    }

    /* what is behind the last whole one is read again later */

    *len = f->cut.whole > was.offset ? (size_t) (f->cut.whole - was.offset)
                                     : 0;
    f->cut = was;

    return pcapx_cut_feed(&f->cut, p, *len) == 0 ? NGX_OK : NGX_ERROR;
}


/*
 * A portion into the chain. NGX_OK; NGX_DECLINED: there is none now;
 * NGX_AGAIN: there is no room; NGX_ERROR.
 */
static ngx_int_t
ngx_pcap_api_follow_read(ngx_pcap_api_ctx_t *ctx, off_t size)
{
    size_t                  len;
    u_char                 *p;
    ssize_t                 n;
    ngx_pcap_api_follow_t  *f;

    f = ctx->stored.follow;

    if (size <= f->offset) {
        return NGX_DECLINED;
    }

    len = (size_t) ngx_min(size - f->offset, NGX_PCAP_API_BATCH_BYTES);

    p = ngx_pcap_api_reserve(ctx, len);
    if (p == NULL) {
        return NGX_AGAIN;
    }

    n = pread(f->fd, p, len, f->offset);

    if (n < 0) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, ngx_errno,
                      "pread() of \"%s\" failed", f->part);
        return NGX_ERROR;
    }

    if (ngx_pcap_api_follow_cut(ctx, p, (size_t) n, size, &len) != NGX_OK) {
        return NGX_ERROR;
    }

    if (len == 0) {
        return NGX_DECLINED;
    }

    f->offset += len;
    f->at = ngx_current_msec;

    return ngx_pcap_api_commit(ctx, p, len);
}


/* --- its end --- */

/* NGX_OK: asked; NGX_AGAIN: not yet, or in vain; else it was in vain often. */
static ngx_int_t
ngx_pcap_api_follow_look(ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_pcap_api_follow_t  *f;

    f = ctx->stored.follow;

    rc = f->named || f->failing
         ? ngx_pcap_api_follow_ask(ctx, NGX_PCAP_API_FOLLOW_SOON,
                                   NGX_PCAP_API_FOLLOW_OFTEN)
         : ngx_pcap_api_follow_ask(ctx, NGX_PCAP_API_FOLLOW_QUIET,
                                   NGX_PCAP_API_FOLLOW_RARE);

    if (rc == NGX_AGAIN || rc == NGX_DECLINED) {
        return NGX_AGAIN;
    }

    if (rc == NGX_OK) {
        f->failing = 0;
        return NGX_OK;
    }

    if (!f->failing) {
        f->failing = 1;
        f->asks = 0;
        f->failed = ngx_current_msec;
    }

    if (ngx_current_msec - f->failed < NGX_PCAP_API_FOLLOW_RETRY) {
        return NGX_AGAIN;
    }

    f->why = "the store does not answer";

    return NGX_ERROR;
}


/*
 * Nothing came. NGX_OK: look again, it grows no more; NGX_AGAIN: it may grow;
 * NGX_DECLINED: that was all; or an error.
 */
static ngx_int_t
ngx_pcap_api_follow_idle(ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_pcap_api_follow_t  *f;

    f = ctx->stored.follow;

    if (f->ended) {
        return NGX_DECLINED;
    }

    rc = ngx_pcap_api_follow_look(ctx);

    if (rc == NGX_OK && ngx_pcap_api_record_runs(ctx->stored.record)) {
        return NGX_AGAIN;
    }

    f->ended = (rc == NGX_OK);

    return rc;
}


/* What the store got from the API; the ledger, if its capture is known. */
static ngx_int_t
ngx_pcap_api_follow_trailers(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    json_t              *rec;
    ngx_str_t            status;
    ngx_pcap_api_row_t   row;

    rec = ctx->stored.record;
    ngx_pcap_api_follow_status(ctx, &status);

    if (ngx_pcap_api_trailer(r, "X-Pcap-Status", &status) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!ngx_pcap_api_record_counted(rec)) {
        return NGX_OK;
    }

    if (ngx_pcap_api_trailer_number(r, "X-Pcap-Packets",
                               ngx_pcap_api_record_number(rec, "packets"))
        != NGX_OK
        || ngx_pcap_api_trailer_number(r, "X-Pcap-Dropped",
                               ngx_pcap_api_record_number(rec, "dropped"))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_pcap_api_snapshot_one(ctx, &row) == NGX_OK
           && row.state == NGX_PCAP_API_ROW_ENDED
           ? ngx_pcap_api_trailer_ledger(r, &row.ledger) : NGX_OK;
}


/* Where it has no verdict, or a bad one, its missing end tells the rest. */
static ngx_int_t
ngx_pcap_api_follow_finish(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t    rc;
    ngx_uint_t   i;
    const char  *status;

    status = ngx_pcap_api_record_text(ctx->stored.record, "status");

    for (i = 0; i < NGX_PCAP_API_ERROR; i++) {
        if (ngx_strcmp(status, ngx_pcap_api_status_names[i]) == 0) {
            break;
        }
    }

    if (i == NGX_PCAP_API_ERROR) {
        ctx->stored.follow->why = "the capture was cut";
        ngx_pcap_api_finalize(ctx, NGX_ERROR);
        return NGX_DONE;
    }

    ctx->stored.follow->status = ngx_pcap_api_status_names[i];

    if (ngx_pcap_api_follow_trailers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_send_special(r, NGX_HTTP_LAST);
    ngx_pcap_api_finalize(ctx, rc);

    return NGX_DONE;
}


/*
 * It takes no part in pace.c: the capture itself does, and a client that
 * follows it must not hold that up.
 */
static ngx_int_t
ngx_pcap_api_follow_stream(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    off_t      size;
    ngx_int_t  rc;

    ngx_pcap_api_reap(ctx);

    for ( ;; ) {
        if (ngx_pcap_api_follow_size(ctx, &size) != NGX_OK) {
            return NGX_ERROR;
        }

        rc = ctx->blocked ? NGX_AGAIN : ngx_pcap_api_follow_read(ctx, size);

        if (rc == NGX_ERROR
            || ngx_pcap_api_push(ctx, rc != NGX_OK) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ctx->blocked) {
            return NGX_AGAIN;
        }

        if (rc == NGX_DECLINED) {
            rc = ngx_pcap_api_follow_idle(ctx);

            if (rc == NGX_DECLINED) {
                return ngx_pcap_api_follow_finish(r, ctx);
            }

            if (rc != NGX_OK) {
                return rc;
            }
        }

        if (ngx_pcap_api_turn(ctx) != NGX_OK) {
            return NGX_AGAIN;
        }
    }
}


ngx_int_t
ngx_pcap_api_follow_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->stored.follow == NULL
        && ngx_pcap_api_follow_begin(ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->stored.follow->fd == -1) {
        rc = ngx_pcap_api_follow_open(ctx);

        if (rc == NGX_OK) {
            rc = ngx_pcap_api_follow_header(r, ctx);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_pcap_api_follow_stream(r, ctx);
}
