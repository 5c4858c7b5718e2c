/*
 * module/zip.c: a download of many files: an archive that is written while
 * agents are asked for the files, one at a time. What a client does not take
 * is not made, and what is not made is not read from the agent.
 *
 * A file that cannot be had is left out and named at the end. Nothing goes out
 * before the first one is there, so that there still can be another answer.
 * Names of nodes and files come from a cluster and are checked here once more:
 * they become paths on somebody's machine.
 */

#include "module/zip_parts.h"


#define NGX_PCAP_API_ZIP_WEIGHT   16       /* turns: deflating takes 0.7 ms */
#define NGX_PCAP_API_ZIP_BATCH    32768    /* goes out at once */

/*
 * A node is given up when its agent has let the archive wait for so many
 * proxy_read_timeout. So many bytes of a file make up for all that it did, and
 * one that is over for so many ms.
 */
#define NGX_PCAP_API_ZIP_WAITS    3
#define NGX_PCAP_API_ZIP_PACE     65536
#define NGX_PCAP_API_ZIP_GRACE    2000

/* Of memory for the directory: 80 bytes and the path each. */
#define NGX_PCAP_API_ZIP_FILES    100000


ngx_conf_enum_t  ngx_pcap_api_zip_methods[] = {
    { ngx_string("deflate"), PCAP_ZIP_DEFLATE },
    { ngx_string("store"), PCAP_ZIP_STORE },
    { ngx_null_string, 0 }
};


/* --- what comes out of the writer --- */

static int
ngx_pcap_api_zip_out(void *data, const void *bytes, size_t len)
{
    ngx_pcap_api_ctx_t *ctx = data;

    u_char  *p;

    p = ngx_pcap_api_append(ctx, len);

    if (p != NULL) {
        ngx_memcpy(p, bytes, len);
        return 0;
    }

    p = ngx_pcap_api_reserve(ctx, len);

    if (p != NULL) {
        ngx_memcpy(p, bytes, len);
        return ngx_pcap_api_commit(ctx, p, len) == NGX_OK ? 0 : -1;
    }

    /* a step has more than the stages: the end of the archive has */

    p = ngx_alloc(len, ctx->request->connection->log);

    if (p == NULL) {
        return -1;
    }

    ngx_memcpy(p, bytes, len);

    return ngx_pcap_api_give(ctx, p, len) == NGX_OK ? 0 : -1;
}


/* --- header and end --- */

static ngx_int_t
ngx_pcap_api_zip_set_headers(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i;

    static struct {
        const char  *name;
        ngx_str_t    value;
    } fields[] = {
        { "Content-Disposition",
          ngx_string("attachment; filename=files.zip") },
        { "Trailer",
          ngx_string("X-Pcap-Status, X-Pcap-Files, X-Pcap-Missing") },
        { "Cache-Control", ngx_string("no-store") },
        { "X-Accel-Buffering", ngx_string("no") }
    };

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = -1;
    ngx_str_set(&r->headers_out.content_type, "application/zip");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->expect_trailers = 1;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (ngx_pcap_api_add_header(r, fields[i].name, &fields[i].value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_pcap_api_add_header(r, "X-Vcap-Request-Id", &ctx->request_id);
}


/* No line in the audit log, no download: that it begins stands there first. */
static ngx_int_t
ngx_pcap_api_zip_audit(ngx_pcap_api_ctx_t *ctx)
{
    if (ngx_pcap_api_audit(ctx, NGX_PCAP_API_AUDIT_DOWNLOAD) != NGX_OK) {
        return ngx_pcap_api_unaudited(ctx, "downloaded");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_zip_header(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_zip_t *z)
{
    ngx_int_t  rc;

    if (z->begun) {
        return NGX_OK;
    }

    rc = ngx_pcap_api_zip_audit(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    z->writer = pcap_zip_create(ctx->conf->zip, ngx_pcap_api_zip_out, ctx);

    if (z->writer == NULL
        || ngx_pcap_api_zip_set_headers(r, ctx) != NGX_OK
        || ngx_pcap_api_begin_response(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    z->begun = 1;
    ctx->took = ngx_current_msec;

    return NGX_OK;
}


static const char *
ngx_pcap_api_zip_verdict(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_status_names[ctx->kube.missing.nelts
                                     ? NGX_PCAP_API_PARTIAL
                                     : NGX_PCAP_API_COMPLETE];
}


/* There is nothing that could be sent. */
static ngx_int_t
ngx_pcap_api_zip_nothing(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z)
{
    ngx_int_t  rc;
    ngx_str_t  nodes;

    if (z->nbusy && z->nbusy == ctx->kube.missing.nelts) {
        ctx->retry_after = 1;

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "the agents of its nodes have too much "
                                   "to do");
    }

    rc = ngx_pcap_api_zip_audit(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->kube.missing.nelts
        && (ngx_pcap_api_zip_missing_nodes(ctx->request, ctx, &nodes)
            != NGX_OK
            || ngx_pcap_api_add_header(ctx->request, "X-Pcap-Missing",
                                       &nodes) != NGX_OK))
    {
        return NGX_ERROR;
    }

    z->name = ngx_pcap_api_zip_verdict(ctx);
    ctx->finished = 1;

    return ngx_pcap_api_answer(ctx, NGX_HTTP_NO_CONTENT, NULL);
}


static ngx_int_t
ngx_pcap_api_zip_finish(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_zip_t *z)
{
    ngx_int_t  rc;
    ngx_str_t  status, nodes;

    z->name = ngx_pcap_api_zip_verdict(ctx);
    status.data = (u_char *) z->name;
    status.len = ngx_strlen(status.data);

    if (ngx_pcap_api_trailer(r, "X-Pcap-Status", &status) != NGX_OK
        || ngx_pcap_api_trailer_number(r, "X-Pcap-Files", z->files) != NGX_OK
        || (ctx->kube.missing.nelts
            && (ngx_pcap_api_zip_missing_nodes(r, ctx, &nodes) != NGX_OK
                || ngx_pcap_api_trailer(r, "X-Pcap-Missing", &nodes)
                   != NGX_OK)))
    {
        return NGX_ERROR;
    }

    ctx->finished = 1;
    rc = ngx_http_send_special(r, NGX_HTTP_LAST);
    ngx_pcap_api_finalize(ctx, rc);

    return NGX_DONE;
}


/* --- one file --- */

static void
ngx_pcap_api_zip_node(ngx_pcap_api_zip_t *z)
{
    z->node++;
    z->file = 0;
    z->waited = 0;
}


/*
 * An agent that gives a byte now and then is never silent for long enough, and
 * keeps all that comes behind it out of the archive.
 */
static ngx_uint_t
ngx_pcap_api_zip_is_slow(ngx_pcap_api_zip_t *z, ngx_pcap_api_kube_node_t *node)
{
    if (z->waited == 0
        || z->waited < NGX_PCAP_API_ZIP_WAITS * z->patience)
    {
        return 0;
    }

    node->target.unavailable = "its agent is too slow";

    return 1;
}


/* The archive waits for the agent. */
static void
ngx_pcap_api_zip_wait(ngx_pcap_api_zip_t *z)
{
    ngx_http_upstream_t  *u;

    u = z->pull.sr ? z->pull.sr->upstream : NULL;

    if (u != NULL) {
        z->patience = u->conf->read_timeout;
        z->waits_since = ngx_current_msec;
        z->waits = 1;
    }
}


/* It does so no more. More than nginx allows the agent is our own doing. */
static void
ngx_pcap_api_zip_waited(ngx_pcap_api_zip_t *z)
{
    if (z->waits) {
        z->waited += ngx_min(ngx_current_msec - z->waits_since, z->patience);
        z->waits = 0;
    }

    if (z->got - z->pace_got >= NGX_PCAP_API_ZIP_PACE) {
        z->waited = 0;
        z->pace_got = z->got;
    }
}


static void
ngx_pcap_api_zip_file_over(ngx_pcap_api_zip_t *z)
{
    z->file++;
    z->waited -= ngx_min(z->waited, NGX_PCAP_API_ZIP_GRACE);
}


/*
 * The next file is asked for: NGX_AGAIN; NGX_OK: one was left out; NGX_DONE:
 * there is no more.
 */
static ngx_int_t
ngx_pcap_api_zip_next(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z)
{
    ngx_str_t                 *file;
    ngx_pcap_api_kube_node_t  *node;

    if (z->node == ctx->kube.nodes.nelts) {
        return NGX_DONE;
    }

    if (ngx_pcap_api_retry_waits(&z->retry)) {
        return NGX_AGAIN;
    }

    node = ctx->kube.nodes.elts;
    node += z->node;

    if (z->file == node->nfiles) {
        ngx_pcap_api_zip_node(z);
        return NGX_OK;
    }

    if (ngx_pcap_api_zip_is_slow(z, node)
        || node->target.unavailable != NULL)
    {
        ngx_pcap_api_zip_node(z);
        return ngx_pcap_api_zip_miss(ctx, &node->node, NULL,
                                     node->target.unavailable);
    }

    file = &node->files[z->file];

    if (!pcap_zip_name_ok((char *) node->node.data, node->node.len)
        || !pcap_zip_name_ok((char *) file->data, file->len))
    {
        z->file++;
        return ngx_pcap_api_zip_miss(ctx, &node->node, file,
                                     "such a name is not put into archives");
    }

    z->pulling = 1;
    z->got = 0;
    z->pace_got = 0;

    return ngx_pcap_api_pull_file(ctx, &node->target, file, &z->pull)
           == NGX_OK ? NGX_AGAIN : NGX_ERROR;
}


static const char *
ngx_pcap_api_zip_status(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z,
    ngx_uint_t status)
{
    u_char  *p;

    if (status == NGX_HTTP_NOT_FOUND) {
        return "there is no such file";
    }

    if (status != z->status) {
        p = ngx_pnalloc(ctx->request->pool, 64);
        if (p == NULL) {
            return "the agent does not give it";
        }

        (void) ngx_snprintf(p, 64, "the agent answered with status %ui%Z",
                            status);
        z->status = status;
        z->status_text = (char *) p;
    }

    return z->status_text;
}


/* It did not come at all. Of an agent that gives nothing no other will. */
static ngx_int_t
ngx_pcap_api_zip_failed(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z,
    ngx_pcap_api_kube_node_t *node)
{
    ngx_str_t   *file;
    const char  *why;

    if (ngx_pcap_api_pull_again(&z->pull, &z->retry)) {
        return NGX_OK;
    }

    if (z->pull.status == 0
        || (z->pull.status == NGX_HTTP_TOO_MANY_REQUESTS
            && z->pull.unfit == NULL))
    {
        ngx_pcap_api_zip_node(z);
        z->nbusy += z->pull.status != 0;

        return ngx_pcap_api_zip_miss(ctx, &node->node, NULL,
                                     z->pull.status
                                     ? "the agent has too much to do"
                                     : z->pull.timed_out
                                     ? "the agent does not answer"
                                     : "no connection to the agent, or its "
                                       "certificate is not the one expected");
    }

    why = z->pull.unfit ? z->pull.unfit
          : ngx_pcap_api_zip_status(ctx, z, z->pull.status);
    file = &node->files[z->file];
    ngx_pcap_api_zip_file_over(z);

    return ngx_pcap_api_zip_miss(ctx, &node->node, file, why);
}


static ngx_int_t
ngx_pcap_api_zip_entry(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z,
    ngx_pcap_api_kube_node_t *node)
{
    ngx_int_t   rc;
    ngx_str_t  *file;

    if (z->in_entry) {
        return NGX_OK;
    }

    rc = ngx_pcap_api_zip_header(ctx->request, ctx, z);
    if (rc != NGX_OK) {
        return rc;
    }

    file = &node->files[z->file];
    z->in_entry = 1;

    return pcap_zip_begin(z->writer, (char *) node->node.data, node->node.len,
                          (char *) file->data, file->len, z->pull.size,
                          z->pull.mtime)
           == PCAP_ZIP_OK ? NGX_OK : NGX_ERROR;
}


/* All of it that will ever come is in the archive. */
static ngx_int_t
ngx_pcap_api_zip_ended(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z,
    ngx_pcap_api_kube_node_t *node)
{
    ngx_str_t  *file;

    file = &node->files[z->file];
    ngx_pcap_api_zip_file_over(z);

    if (!z->in_entry) {
        return ngx_pcap_api_zip_miss(ctx, &node->node, file,
                                     "its connection was cut");
    }

    z->in_entry = 0;

    /*
     * In front of one that is stored stands how long it is, and bytes that
     * nobody has captured are not made up: the client gets no end.
     */

    if (pcap_zip_end(z->writer) != PCAP_ZIP_OK) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "pcap download is cut: \"%V\" of node \"%V\" has "
                      "%O of %O bytes, which \"pcap_api_kube_zip store\" "
                      "cannot say any more", file, &node->node, z->got,
                      z->pull.size);
        return NGX_ERROR;
    }

    z->files++;
    ngx_pcap_api_count(NGX_PCAP_API_C_DOWNLOAD_FILES, 1);

    return z->got == z->pull.size ? NGX_OK
           : ngx_pcap_api_zip_miss(ctx, &node->node, file,
                                   "it ended early, its begin is here");
}


/*
 * The file that is under way: NGX_OK: some of it, or it is over; NGX_AGAIN;
 * NGX_ERROR; or a refusal.
 */
static ngx_int_t
ngx_pcap_api_zip_file(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z)
{
    size_t                     len;
    u_char                    *data;
    ngx_int_t                  rc;
    ngx_pcap_api_pull_t       *p;
    ngx_pcap_api_kube_node_t  *node;

    p = &z->pull;
    node = ctx->kube.nodes.elts;
    node += z->node;
    data = NULL;
    len = 0;

    if (p->status == 0 && p->sr != NULL) {
        ngx_pcap_api_zip_wait(z);
        return NGX_AGAIN;
    }

    if (p->status != NGX_HTTP_OK || (p->unfit && !z->in_entry)) {
        z->pulling = 0;
        rc = ngx_pcap_api_zip_failed(ctx, z, node);
        ngx_pcap_api_pull_drop(p);
        return rc;
    }

    rc = p->unfit || z->got == p->size
         ? NGX_DONE : ngx_pcap_api_pull_next(p, &data, &len);

    if (rc == NGX_AGAIN && !ngx_pcap_api_zip_is_slow(z, node)) {
        ngx_pcap_api_zip_wait(z);
        return NGX_AGAIN;
    }

    if (rc == NGX_AGAIN) {
        p->unfit = node->target.unavailable;
        return NGX_OK;
    }

    z->retry.on = 0;

    if (rc == NGX_OK || z->got == p->size) {
        rc = ngx_pcap_api_zip_entry(ctx, z, node);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (z->got == p->size || (p->sr == NULL && p->in == NULL) || p->unfit) {
        z->pulling = 0;
        rc = ngx_pcap_api_zip_ended(ctx, z, node);
        ngx_pcap_api_pull_drop(p);
        return rc;
    }

    len = ngx_min(len, NGX_PCAP_API_ZIP_SLICE);

    if (pcap_zip_write(z->writer, data, len) != PCAP_ZIP_OK) {
        return NGX_ERROR;
    }

    z->got += len;
    z->bytes += len;
    ngx_pcap_api_count(NGX_PCAP_API_C_DOWNLOAD_BYTES, len);
    ngx_pcap_api_pull_take(p, len);
    ctx->turns += NGX_PCAP_API_ZIP_WEIGHT;

    return NGX_OK;
}


/* --- the archive --- */

/* As much as one turn does: NGX_DONE: all is in the chain; or as above. */
static ngx_int_t
ngx_pcap_api_zip_work(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z)
{
    ngx_int_t  rc;

    if (ctx->blocked) {
        z->waits = 0;                      /* the agent waits, too */
        return NGX_AGAIN;
    }

    ngx_pcap_api_zip_waited(z);

    if (z->pulling) {
        return ngx_pcap_api_zip_file(ctx, z);
    }

    if (z->closed) {
        return NGX_DONE;
    }

    if (!z->telling) {
        rc = ngx_pcap_api_zip_next(ctx, z);

        if (rc != NGX_DONE || !z->begun) {
            return rc;
        }

        if (ctx->kube.missing.nelts) {
            return ngx_pcap_api_zip_tell(ctx, z);
        }

    } else {
        rc = ngx_pcap_api_zip_lines(ctx, z);

        if (rc != NGX_DONE) {
            return rc;
        }
    }

    z->closed = 1;

    return pcap_zip_close(z->writer) == PCAP_ZIP_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_pcap_api_zip_init(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t                 i, n;
    ngx_pcap_api_zip_t        *z;
    ngx_pcap_api_kube_node_t  *node;

    node = ctx->kube.nodes.elts;

    for (i = 0, n = 0; i < ctx->kube.nodes.nelts; i++) {
        n += node[i].nfiles;
    }

    if (n > NGX_PCAP_API_ZIP_FILES) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_GATEWAY,
                                   "this capture has %ui files, an archive "
                                   "takes %d at most", n,
                                   NGX_PCAP_API_ZIP_FILES);
    }

    z = ngx_pcalloc(ctx->request->pool, sizeof(ngx_pcap_api_zip_t));

    if (z == NULL
        || (ctx->kube.missing.elts == NULL
            && ngx_array_init(&ctx->kube.missing, ctx->request->pool, 8,
                              sizeof(ngx_pcap_api_kube_missing_t))
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    z->name = "cut";
    z->began = ngx_current_msec;
    ngx_pcap_api_count(NGX_PCAP_API_C_DOWNLOAD_MISSING,
                       ctx->kube.missing.nelts);
    ctx->zip = z;
    ngx_pcap_api_rights_begin(ctx);

    return NGX_OK;
}


/* The right, and how long it may take, as those of a capture. */
static void
ngx_pcap_api_zip_watch(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z)
{
    uint64_t  max;

    max = ctx->conf->limits.max_duration;
    ngx_pcap_api_rights_watch(ctx);

    if (max && !ctx->stopping && ngx_current_msec - z->began >= max) {
        ctx->end = NGX_PCAP_API_END_MAX_DURATION;
        ctx->stopping = 1;
    }
}


/* It may not go on: told, before anything has gone out, or cut. */
static ngx_int_t
ngx_pcap_api_zip_over(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z)
{
    if (ngx_pcap_api_drain_follower(ctx) != NGX_OK) {
        ctx->end = NGX_PCAP_API_END_DRAIN;

    } else if (!ctx->stopping) {
        return NGX_OK;
    }

    if (z->begun) {
        return NGX_ERROR;
    }

    if (ctx->end == NGX_PCAP_API_END_RIGHT) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN, "%s",
                                   ngx_pcap_api_ends[ctx->end].text);
    }

    ctx->retry_after = 1;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE, "%s",
                               ngx_pcap_api_ends[ctx->end].text);
}


ngx_int_t
ngx_pcap_api_zip_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_pcap_api_zip_t  *z;

    if (ctx->zip == NULL) {
        rc = ngx_pcap_api_zip_init(ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    z = ctx->zip;
    ngx_pcap_api_reap(ctx);
    ngx_pcap_api_zip_watch(ctx, z);

    for ( ;; ) {
        rc = ngx_pcap_api_zip_over(ctx, z);

        if (rc == NGX_OK) {
            rc = ngx_pcap_api_zip_work(ctx, z);
        }

        if (rc == NGX_DONE && !z->begun) {
            return ngx_pcap_api_zip_nothing(ctx, z);
        }

        if (rc != NGX_OK && rc != NGX_AGAIN && rc != NGX_DONE) {
            return rc;
        }

        if (z->begun
            && (rc != NGX_OK || ctx->out_bytes >= NGX_PCAP_API_ZIP_BATCH)
            && ngx_pcap_api_push(ctx, rc != NGX_OK && !z->pull.is_posted)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ctx->blocked || rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (rc == NGX_DONE) {
            return ngx_pcap_api_zip_finish(r, ctx, z);
        }

        if (ngx_pcap_api_turn(ctx) != NGX_OK) {
            return NGX_AGAIN;
        }
    }
}


/* --- its end --- */

void
ngx_pcap_api_zip_drop(ngx_pcap_api_ctx_t *ctx)
{
    if (ctx->zip != NULL) {
        ngx_pcap_api_pull_drop(&ctx->zip->pull);
    }
}


void
ngx_pcap_api_zip_end(ngx_pcap_api_ctx_t *ctx)
{
    ngx_str_t            forwarder;
    ngx_pcap_api_zip_t  *z;

    z = ctx->zip;

    if (z == NULL || z->told) {
        return;
    }

    z->told = 1;
    ngx_pcap_api_count(NGX_PCAP_API_C_DOWNLOADS
                       + (!ctx->finished ? NGX_PCAP_API_DOWNLOAD_CUT
                          : ctx->kube.missing.nelts
                          ? NGX_PCAP_API_DOWNLOAD_PARTIAL
                          : NGX_PCAP_API_DOWNLOAD_COMPLETE),
                       z->begun || ctx->finished);
    ngx_pcap_api_kube_forwarder_name(ctx, &forwarder);

    ngx_log_error(NGX_LOG_NOTICE, ctx->request->connection->log, 0,
                  "pcap download of %V/%V by \"%V\"%s%V ended: %s, files:%uL "
                  "missing:%ui bytes:%uL", &ctx->kube.ns, &ctx->kube.name,
                  &ctx->identity.name, forwarder.len ? " through " : "",
                  &forwarder, z->name, z->files,
                  ctx->kube.missing.nelts, z->bytes);
}


void
ngx_pcap_api_zip_free(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_zip_t  *z;

    z = ctx->zip;

    if (z == NULL) {
        return;
    }

    ngx_pcap_api_pull_free(&z->pull);
    pcap_zip_free(z->writer);
    z->writer = NULL;
}


ngx_int_t
ngx_pcap_api_zip_sums(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_sums_t *sums)
{
    ngx_pcap_api_zip_t  *z;

    z = ctx->zip;

    if (z == NULL) {
        return NGX_DECLINED;
    }

    sums->status = z->name;
    sums->files = z->files;
    sums->missing = ctx->kube.missing.nelts;
    sums->bytes = z->bytes;
    sums->duration = ngx_current_msec - z->began;

    return NGX_OK;
}
