/*
 * module/kube_capture.c: what a PacketCapture says: which nodes have files of
 * it, and how far these are. What an API server says of names is checked: they
 * become paths.
 */

#include "ngx_pcap_api_module.h"


static ngx_int_t ngx_pcap_api_kube_ask_capture(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_kube_take_capture(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);


static const ngx_pcap_api_question_t  ngx_pcap_api_kube_captures[] = {
    { ngx_pcap_api_kube_ask_capture, ngx_pcap_api_kube_take_capture },
    { NULL, NULL }
};


ngx_int_t
ngx_pcap_api_kube_misses(ngx_pcap_api_ctx_t *ctx, ngx_str_t *node,
    ngx_str_t *file, const char *why)
{
    u_char                       *p;
    ngx_pcap_api_kube_missing_t  *m;

    if (ctx->kube.missing.nelts == NGX_PCAP_API_KUBE_MISSING) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_GATEWAY, "its status "
                                   "has too many names that can be none");
    }

    m = ngx_array_push(&ctx->kube.missing);
    p = ngx_pnalloc(ctx->request->pool, NGX_PCAP_API_KUBE_NAME
                                        + NGX_PCAP_API_KUBE_FILE);
    if (m == NULL || p == NULL) {
        return NGX_ERROR;
    }

    ngx_str_null(&m->file);

    m->node.data = p;
    m->node.len = ngx_pcap_api_clean_text(p, NGX_PCAP_API_KUBE_NAME,
                                          node->data, node->len);

    if (file != NULL) {
        m->file.data = p + NGX_PCAP_API_KUBE_NAME;
        m->file.len = ngx_pcap_api_clean_text(m->file.data,
                                              NGX_PCAP_API_KUBE_FILE,
                                              file->data, file->len);
    }

    m->why = why;

    return NGX_OK;
}


/* One name, and no path. */
static ngx_uint_t
ngx_pcap_api_kube_file_fits(ngx_str_t *s)
{
    size_t  i;

    if (s->len == 0 || s->len > NGX_PCAP_API_KUBE_FILE
        || (s->data[0] == '.'
            && (s->len == 1 || (s->len == 2 && s->data[1] == '.'))))
    {
        return 0;
    }

    for (i = 0; i < s->len; i++) {
        if (s->data[i] < ' ' || s->data[i] == '/' || s->data[i] == 0x7f) {
            return 0;
        }
    }

    return 1;
}


static void
ngx_pcap_api_kube_text(json_t *v, ngx_str_t *s)
{
    s->data = (u_char *) json_string_value(v);
    s->len = json_string_length(v);
}


/*
 * The texts stay those of ctx->kube.object; seen are those so far: a file that
 * is listed twice is one.
 */
static ngx_int_t
ngx_pcap_api_kube_read_names(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_kube_node_t *node, json_t *names, json_t *seen)
{
    size_t      i;
    json_t     *v;
    ngx_int_t   rc;
    ngx_str_t   s;

    for (i = 0; i < json_array_size(names); i++) {
        v = json_array_get(names, i);
        ngx_pcap_api_kube_text(v, &s);

        if (!json_is_string(v)) {
            return ngx_pcap_api_kube_garbage(ctx);
        }

        node->named += json_object_get(seen, (char *) s.data) == NULL;

        if (!ngx_pcap_api_kube_file_fits(&s)) {
            rc = ngx_pcap_api_kube_misses(ctx, &node->node, &s,
                                          "this can be no name of a file");
            if (rc != NGX_OK) {
                return rc;
            }

        } else if (json_object_get(seen, (char *) s.data) == NULL) {
            if (json_object_set(seen, (char *) s.data, v) != 0) {
                return NGX_ERROR;
            }

            node->files[node->nfiles++] = s;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_kube_read_files(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_kube_node_t *node, json_t *names)
{
    json_t     *seen;
    ngx_int_t   rc;

    node->files = ngx_palloc(ctx->request->pool,
                             (json_array_size(names) + 1)
                             * sizeof(ngx_str_t));
    seen = json_object();
    rc = node->files && seen
         ? ngx_pcap_api_kube_read_names(ctx, node, names, seen) : NGX_ERROR;
    json_decref(seen);

    return rc;
}


static ngx_uint_t
ngx_pcap_api_kube_is_listed(ngx_pcap_api_ctx_t *ctx, ngx_str_t *name)
{
    ngx_uint_t                 i;
    ngx_pcap_api_kube_node_t  *node;

    node = ctx->kube.nodes.elts;

    for (i = 0; i < ctx->kube.nodes.nelts; i++) {
        if (node[i].node.len == name->len
            && ngx_memcmp(node[i].node.data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* One item of status.files: a node. */
static ngx_int_t
ngx_pcap_api_kube_read_node(ngx_pcap_api_ctx_t *ctx, json_t *item)
{
    json_t                    *names;
    ngx_str_t                  name;
    const char                *why;
    ngx_pcap_api_kube_node_t  *node;

    names = json_object_get(item, "fileNames");
    ngx_pcap_api_kube_text(json_object_get(item, "node"), &name);

    if (!json_is_object(item) || (names != NULL && !json_is_array(names)
                                  && !json_is_null(names)))
    {
        return ngx_pcap_api_kube_garbage(ctx);
    }

    if (json_array_size(names) == 0) {
        return NGX_OK;
    }

    why = !ngx_pcap_api_kube_name_fits(name.data, name.len,
                                       NGX_PCAP_API_KUBE_NAME)
          ? "this can be no name of a node"
          : ngx_pcap_api_kube_is_listed(ctx, &name)
          ? "the capture lists it twice" : NULL;

    if (why != NULL) {
        return ngx_pcap_api_kube_misses(ctx, &name, NULL, why);
    }

    if (ctx->kube.nodes.nelts == NGX_PCAP_API_KUBE_NODES) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_GATEWAY,
                                   "its status has more than %d nodes",
                                   NGX_PCAP_API_KUBE_NODES);
    }

    node = ngx_array_push(&ctx->kube.nodes);
    if (node == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(node, sizeof(ngx_pcap_api_kube_node_t));
    node->node = name;

    return ngx_pcap_api_kube_read_files(ctx, node, names);
}


/* Files are removed when no node writes to them any more. */
static ngx_int_t
ngx_pcap_api_kube_is_finished(ngx_pcap_api_ctx_t *ctx, json_t *files)
{
    size_t       i;
    const char  *state;

    for (i = 0; i < json_array_size(files); i++) {
        state = json_string_value(json_object_get(json_array_get(files, i),
                                                  "state"));

        if (state == NULL) {
            break;
        }

        if (ngx_strcmp(state, "Finished") != 0) {
            return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                                       "capture state is not Finished");
        }
    }

    return i > 0 && i == json_array_size(files) ? NGX_OK
           : ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                                 "capture state cannot be determined");
}


static ngx_int_t
ngx_pcap_api_kube_read_status(ngx_pcap_api_ctx_t *ctx)
{
    size_t      i;
    json_t     *files;
    ngx_int_t   rc;

    files = json_object_get(json_object_get(ctx->kube.object, "status"),
                            "files");

    if (ctx->kube.what == NGX_PCAP_API_KUBE_DELETE) {
        rc = ngx_pcap_api_kube_is_finished(ctx, files);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ngx_array_init(&ctx->kube.nodes, ctx->request->pool, 8,
                       sizeof(ngx_pcap_api_kube_node_t))
        != NGX_OK
        || ngx_array_init(&ctx->kube.missing, ctx->request->pool, 8,
                          sizeof(ngx_pcap_api_kube_missing_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < json_array_size(files); i++) {
        rc = ngx_pcap_api_kube_read_node(ctx, json_array_get(files, i));
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_kube_ask_capture(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_kube_ask(ctx, "GET", NULL,
               NGX_PCAP_API_KUBE_CAPTURE_MAX,
               "/apis/projectcalico.org/v3/namespaces/%V/packetcaptures/%V",
               &ctx->kube.ns, &ctx->kube.name);
}


static ngx_int_t
ngx_pcap_api_kube_take_capture(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    json_t     *doc;
    ngx_int_t   rc;

    rc = ngx_pcap_api_kube_answer(ctx, &doc);

    if (rc == NGX_OK) {
        ctx->kube.object = doc;
        return ngx_pcap_api_kube_read_status(ctx);
    }

    json_decref(doc);

    if (rc == NGX_DECLINED && ask->fetch.status == NGX_HTTP_NOT_FOUND) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND, "there is no "
                   "packetcapture \"%V\" in namespace \"%V\"",
                   &ctx->kube.name, &ctx->kube.ns);
    }

    return rc == NGX_DECLINED ? ngx_pcap_api_kube_garbage(ctx) : rc;
}


ngx_int_t
ngx_pcap_api_kube_capture_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_kube_run(ctx, ngx_pcap_api_kube_captures);
}
