/*
 * module/zip.h: the types of downloads of many files, and what pull.c and
 * zip.c do for the other rooms. Included by ngx_pcap_api_module.h, as rooms.h.
 */

#ifndef NGX_PCAP_API_ZIP_H
#define NGX_PCAP_API_ZIP_H


/* A large answer of an agent that is under way. */

#define NGX_PCAP_API_PULL_WORDS  1024    /* of an answer that is no 200 */

struct ngx_pcap_api_pull_s {
    ngx_pcap_api_ctx_t        *ctx;
    ngx_pcap_api_target_t     *target;
    ngx_str_t                  uri;          /* $pcap_agent_uri */
    ngx_pool_t                *pool;         /* all of it; NULL: none is */
    ngx_http_request_t        *request;
    ngx_http_request_t        *sr;           /* NULL when it has ended */
    ngx_http_posted_request_t  posted;
    ngx_http_event_handler_pt  wake;         /* lets nginx read on */
    ngx_chain_t               *in;           /* not yet taken */
    ngx_chain_t              **last_in;
    ngx_uint_t                 nlinks;
    ngx_uint_t                 status;       /* HTTP; 0: no answer yet */
    const char                *unfit;        /* why it is of no use */
    off_t                      size;         /* of a 200 that is fit */
    time_t                     mtime;
    unsigned                   is_posted:1;
    unsigned                   timed_out:1;  /* and there is no answer */
};

/* A file of an agent that had no time for it. */

typedef struct {
    ngx_msec_t                 at;           /* when it is asked for again */
    ngx_msec_t                 since;        /* of the first time */
    unsigned                   on:1;
    unsigned                   busy:1;       /* it has answered since */
} ngx_pcap_api_retry_t;

/* An archive that goes out. */

typedef struct ngx_pcap_api_zip_s  ngx_pcap_api_zip_t;


/* module/pull.c */

/*
 * Asks the agent target for path through the location of pcap_api_agents, as
 * p, which is the caller's; path is copied. main runs when p has changed; of
 * what is no 200 there is the status alone. NGX_OK; NGX_ERROR, behind which p
 * is to be dropped.
 */
ngx_int_t ngx_pcap_api_pull(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_target_t *target, ngx_str_t *path, ngx_pcap_api_pull_t *p);
/* The same for a file of ctx->kube.ns and name. */
ngx_int_t ngx_pcap_api_pull_file(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_target_t *target, ngx_str_t *file, ngx_pcap_api_pull_t *p);
/*
 * Of one that is over: 1: its agent serves all that it can, or could not be
 * connected: it is to be asked again when retry_waits() says 0, which the
 * request's timer comes by to see.
 */
ngx_uint_t ngx_pcap_api_pull_again(ngx_pcap_api_pull_t *p,
    ngx_pcap_api_retry_t *retry);
ngx_uint_t ngx_pcap_api_retry_waits(ngx_pcap_api_retry_t *retry);
/*
 * The next bytes, where they lie: NGX_OK; NGX_AGAIN: there are none now;
 * NGX_DONE: none will come. They stay until they are taken.
 */
ngx_int_t ngx_pcap_api_pull_next(ngx_pcap_api_pull_t *p, u_char **data,
    size_t *len);
/* The first len of these are not needed any more. */
void ngx_pcap_api_pull_take(ngx_pcap_api_pull_t *p, size_t len);
/*
 * It is ended, if it has not, and freed; idempotent, also for one that is all
 * zero. From within main's step alone.
 */
void ngx_pcap_api_pull_drop(ngx_pcap_api_pull_t *p);
/* The same when the request's own pool goes: all else has gone. */
void ngx_pcap_api_pull_free(ngx_pcap_api_pull_t *p);
/* That of a subrequest, or NULL; for the filters. */
ngx_pcap_api_pull_t *ngx_pcap_api_pull_of(ngx_http_request_t *r);
ngx_int_t ngx_pcap_api_pull_header(ngx_http_request_t *sr,
    ngx_pcap_api_pull_t *p);
ngx_int_t ngx_pcap_api_pull_body(ngx_http_request_t *sr,
    ngx_pcap_api_pull_t *p, ngx_chain_t *in);

/* module/zip.c, or zip_off.c where there is no libarchive */

/* The values of pcap_api_kube_zip. */
extern ngx_conf_enum_t  ngx_pcap_api_zip_methods[];
/*
 * As the last phase: the files of ctx->kube.nodes as an archive, and in it and
 * behind it what is missing; or 204, when none could be had.
 */
ngx_int_t ngx_pcap_api_zip_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* It asks no agent any more; idempotent. */
void ngx_pcap_api_zip_drop(ngx_pcap_api_ctx_t *ctx);
/* Its request has ended: says how, in the error log; idempotent. */
void ngx_pcap_api_zip_end(ngx_pcap_api_ctx_t *ctx);
/* Frees what is on the heap. */
void ngx_pcap_api_zip_free(ngx_pcap_api_ctx_t *ctx);

/* What of it is told to others. */

typedef struct {
    const char                *status;       /* as $pcap_status */
    uint64_t                   files;        /* in the archive */
    uint64_t                   missing;      /* lines of MISSING.txt */
    uint64_t                   bytes;        /* of files, as agents sent them */
    ngx_msec_t                 duration;
} ngx_pcap_api_zip_sums_t;

/* NGX_OK; NGX_DECLINED: this request has no archive. */
ngx_int_t ngx_pcap_api_zip_sums(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_zip_sums_t *sums);


#endif /* NGX_PCAP_API_ZIP_H */
