/*
 * module/zip_missing.c: what an archive has not: a line each in its last entry,
 * and the nodes in a trailer.
 */

#include "module/zip_parts.h"


#define NGX_PCAP_API_ZIP_NODES    4096     /* bytes of X-Pcap-Missing */
#define NGX_PCAP_API_ZIP_LINE     1024     /* of MISSING.txt, at most */


ngx_int_t
ngx_pcap_api_zip_miss(ngx_pcap_api_ctx_t *ctx, ngx_str_t *node,
    ngx_str_t *file, const char *why)
{
    ngx_pcap_api_kube_missing_t  *m;

    m = ngx_array_push(&ctx->kube.missing);
    if (m == NULL) {
        return NGX_ERROR;
    }

    m->node = *node;
    m->why = why;

    if (file != NULL) {
        m->file = *file;

    } else {
        ngx_str_null(&m->file);
    }

    ngx_pcap_api_count(NGX_PCAP_API_C_DOWNLOAD_MISSING, 1);

    ngx_log_error(NGX_LOG_INFO, ctx->request->connection->log, 0,
                  "\"%V\" of node \"%V\" is missing in the download of "
                  "%V/%V: %s", &m->file, node, &ctx->kube.ns,
                  &ctx->kube.name, why);

    return NGX_OK;
}


static size_t
ngx_pcap_api_zip_line(ngx_pcap_api_kube_missing_t *m, u_char *p, size_t max)
{
    static ngx_str_t  all = ngx_string("*");

    return ngx_snprintf(p, max, "%V\t%V\t%s\n", &m->node,
                        m->file.len ? &m->file : &all, m->why)
           - p;
}


ngx_int_t
ngx_pcap_api_zip_tell(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z)
{
    int64_t                       size;
    u_char                        line[NGX_PCAP_API_ZIP_LINE];
    ngx_uint_t                    i;
    ngx_pcap_api_kube_missing_t  *m;

    static const char  name[] = "MISSING.txt";

    m = ctx->kube.missing.elts;
    size = 0;

    for (i = 0; i < ctx->kube.missing.nelts; i++) {
        size += ngx_pcap_api_zip_line(&m[i], line, sizeof(line));
    }

    z->telling = 1;

    return pcap_zip_begin(z->writer, NULL, 0, name, sizeof(name) - 1, size,
                          ngx_time())
           == PCAP_ZIP_OK ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_pcap_api_zip_lines(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_zip_t *z)
{
    size_t                        n, len;
    u_char                        line[NGX_PCAP_API_ZIP_LINE];
    ngx_pcap_api_kube_missing_t  *m;

    m = ctx->kube.missing.elts;

    for (n = 0; n < NGX_PCAP_API_ZIP_SLICE; n += len) {

        if (z->line == ctx->kube.missing.nelts) {
            return pcap_zip_end(z->writer) == PCAP_ZIP_OK ? NGX_DONE
                                                          : NGX_ERROR;
        }

        len = ngx_pcap_api_zip_line(&m[z->line++], line, sizeof(line));

        if (pcap_zip_write(z->writer, line, len) != PCAP_ZIP_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* 1: node is in the list, whose items are separated by ", ". */
static ngx_uint_t
ngx_pcap_api_zip_listed(u_char *list, u_char *last, u_char *node, size_t len)
{
    u_char  *p, *end;

    for (p = list; p < last; p = end + 2) {
        end = ngx_strlchr(p, last, ',');
        end = end ? end : last;

        if ((size_t) (end - p) == len && ngx_memcmp(p, node, len) == 0) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_pcap_api_zip_missing_nodes(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx, ngx_str_t *nodes)
{
    size_t                        k;
    u_char                       *list, *p, *last, c;
    u_char                        node[NGX_PCAP_API_KUBE_NAME];
    size_t                        len;
    ngx_uint_t                    i;
    ngx_pcap_api_kube_missing_t  *m;

    list = ngx_pnalloc(r->pool, NGX_PCAP_API_ZIP_NODES);
    if (list == NULL) {
        return NGX_ERROR;
    }

    p = list;
    last = list + NGX_PCAP_API_ZIP_NODES - sizeof(", ...");
    m = ctx->kube.missing.elts;

    for (i = 0; i < ctx->kube.missing.nelts; i++) {
        len = ngx_min(m[i].node.len, sizeof(node));

        for (k = 0; k < len; k++) {
            c = m[i].node.data[k];
            node[k] = c > 0x20 && c < 0x7f && c != ',' ? c : '?';
        }

        if (ngx_pcap_api_zip_listed(list, p, node, len)) {
            continue;
        }

        if ((size_t) (last - p) < len + 2) {
            p = ngx_cpymem(p, ", ...", 5);
            break;
        }

        p = ngx_sprintf(p, "%s%*s", p == list ? "" : ", ", len, node);
    }

    nodes->data = list;
    nodes->len = p - list;

    return NGX_OK;
}
