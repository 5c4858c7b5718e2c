/*
 * module/zip_parts.h: what zip.c and zip_missing.c share of an archive that
 * goes out.
 */

#ifndef NGX_PCAP_API_ZIP_PARTS_H
#define NGX_PCAP_API_ZIP_PARTS_H

#include "ngx_pcap_api_module.h"
#include "module/zip_writer.h"


#define NGX_PCAP_API_ZIP_SLICE    32768    /* bytes of a file, at a time */


struct ngx_pcap_api_zip_s {
    pcap_zip_t                *writer;
    ngx_pcap_api_pull_t        pull;
    ngx_uint_t                 node;         /* that is at work, */
    ngx_uint_t                 file;         /* and its file */
    off_t                      got;          /* of that, */
    off_t                      pace_got;     /* and when waited was 0 */
    ngx_msec_t                 waited;       /* for this node's agent */
    ngx_msec_t                 waits_since;
    ngx_msec_t                 patience;     /* proxy_read_timeout */
    ngx_uint_t                 nbusy;        /* nodes with too much to do */
    ngx_uint_t                 line;         /* of MISSING.txt, the next */
    ngx_uint_t                 status;       /* that an agent gave last */
    const char                *status_text;
    const char                *name;         /* as $pcap_status */
    ngx_msec_t                 began;
    ngx_pcap_api_retry_t       retry;        /* of that file */
    uint64_t                   files;
    uint64_t                   bytes;
    unsigned                   pulling:1;
    unsigned                   waits:1;      /* for the agent, since then */
    unsigned                   in_entry:1;
    unsigned                   begun:1;      /* the header has gone out */
    unsigned                   telling:1;    /* MISSING.txt */
    unsigned                   closed:1;
    unsigned                   told:1;
};


/* file is NULL: the node, and all of its files that are not there. */
ngx_int_t ngx_pcap_api_zip_miss(ngx_pcap_api_ctx_t *ctx, ngx_str_t *node,
    ngx_str_t *file, const char *why);
/* Begins MISSING.txt; of one that is stored the size is needed in front. */
ngx_int_t ngx_pcap_api_zip_tell(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_zip_t *z);
/* Some lines of it: NGX_OK; NGX_DONE: it has ended; NGX_ERROR. */
ngx_int_t ngx_pcap_api_zip_lines(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_zip_t *z);
/* Nodes of which something is missing, as many as there is room for. */
ngx_int_t ngx_pcap_api_zip_missing_nodes(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx, ngx_str_t *nodes);


#endif /* NGX_PCAP_API_ZIP_PARTS_H */
