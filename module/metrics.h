/*
 * module/metrics.h: what is counted. One array of counters in the zone for
 * all workers, changed by atomic additions: what a worker has counted stays
 * when it ends, however it does, so no counter ever goes down. (An array for
 * each worker would need a place for those of dead ones. There is no addition
 * per record: a capture adds what it has come on by four times a second.)
 *
 * Included by ngx_pcap_api_module.h, behind the types. Rooms that count call
 * ngx_pcap_api_count() or ngx_pcap_api_observe(); a new counter is a value
 * here and a row in module/metrics_text.c.
 */

#ifndef NGX_PCAP_API_METRICS_H
#define NGX_PCAP_API_METRICS_H


#define NGX_PCAP_API_NREFUSALS  19

/*
 * Of each resolver, by ngx_pcap_api_resolver_t.number. Those from PACKETS to
 * LATE are brought up to date together, in this order.
 */

typedef enum {
    NGX_PCAP_API_RC_STARTED = 0,
    NGX_PCAP_API_RC_PACKETS,
    NGX_PCAP_API_RC_BYTES,
    NGX_PCAP_API_RC_SENT,
    NGX_PCAP_API_RC_SEEN,
    NGX_PCAP_API_RC_KERNEL,
    NGX_PCAP_API_RC_AGENT,
    NGX_PCAP_API_RC_STOP,
    NGX_PCAP_API_RC_LIMIT,
    NGX_PCAP_API_RC_LATE,
    NGX_PCAP_API_RC_UNKNOWN,           /* streams without a last report */
    NGX_PCAP_API_RC_NOT_RESOLVED,      /* the platform failed */
    NGX_PCAP_API_RC_ENDED,             /* by ngx_pcap_api_status_e */
    NGX_PCAP_API_NRC = NGX_PCAP_API_RC_ENDED + NGX_PCAP_API_ERROR + 1
} ngx_pcap_api_resolver_counter_e;

/* Routes, as NGX_PCAP_API_C_REQUESTS + this. */

typedef enum {
    NGX_PCAP_API_ROUTE_CAPTURE = 0,
    NGX_PCAP_API_ROUTE_STATUS,
    NGX_PCAP_API_ROUTE_CAPTURES,       /* list and show */
    NGX_PCAP_API_ROUTE_STOP,
    NGX_PCAP_API_ROUTE_TOKEN,
    NGX_PCAP_API_ROUTE_FILES,          /* of nodes: fetched or removed */
    NGX_PCAP_API_ROUTE_OTHER,
    NGX_PCAP_API_NROUTES
} ngx_pcap_api_route_e;

/* How archives of files end, as NGX_PCAP_API_C_DOWNLOADS + this. */

typedef enum {
    NGX_PCAP_API_DOWNLOAD_COMPLETE = 0,
    NGX_PCAP_API_DOWNLOAD_PARTIAL,
    NGX_PCAP_API_DOWNLOAD_CUT,
    NGX_PCAP_API_NDOWNLOADS
} ngx_pcap_api_download_e;

/* All others; a family with a label is a range. */

typedef enum {
    NGX_PCAP_API_C_REQUESTS = 0,                                /* route */
    NGX_PCAP_API_C_REFUSALS = NGX_PCAP_API_C_REQUESTS
                              + NGX_PCAP_API_NROUTES,           /* status */
    NGX_PCAP_API_C_ENDS = NGX_PCAP_API_C_REFUSALS
                          + NGX_PCAP_API_NREFUSALS,             /* reason */
    NGX_PCAP_API_C_AGENT_FAILS = NGX_PCAP_API_C_ENDS
                                 + NGX_PCAP_API_NENDS,          /* type */
    NGX_PCAP_API_C_AGENTS = NGX_PCAP_API_C_AGENT_FAILS
                            + NGX_PCAP_API_MSG_STATUS,
    NGX_PCAP_API_C_AGENTS_READY,
    NGX_PCAP_API_C_CACHE_HITS,
    NGX_PCAP_API_C_INTROSPECTIONS,
    NGX_PCAP_API_C_INTROSPECTIONS_FAILED,
    NGX_PCAP_API_C_KEYS_FETCHES,
    NGX_PCAP_API_C_DOWNLOADS,                                   /* how */
    NGX_PCAP_API_C_DOWNLOAD_FILES = NGX_PCAP_API_C_DOWNLOADS
                                    + NGX_PCAP_API_NDOWNLOADS,
    NGX_PCAP_API_C_DOWNLOAD_BYTES,     /* of agents' files */
    NGX_PCAP_API_C_DOWNLOAD_MISSING,   /* files, and nodes */
    NGX_PCAP_API_C_FILES_REMOVED,
    NGX_PCAP_API_C_BLOCKED_MS,         /* clients that took nothing */
    NGX_PCAP_API_C_THROTTLED_MS,       /* captures held back by a limit */
    NGX_PCAP_API_NC
} ngx_pcap_api_counter_e;

/* Times; by resolver where it is known, else under 0. */

typedef enum {
    NGX_PCAP_API_H_AUTH = 0,
    NGX_PCAP_API_H_RESOLVE,
    NGX_PCAP_API_H_OPEN,
    NGX_PCAP_API_H_LAG,
    NGX_PCAP_API_NH
} ngx_pcap_api_histogram_e;

#define NGX_PCAP_API_BUCKETS  12       /* and one without a bound */

typedef struct {
    ngx_atomic_t               buckets[NGX_PCAP_API_BUCKETS + 1];
    ngx_atomic_t               sum_ms;
} ngx_pcap_api_histogram_t;

typedef struct {
    ngx_atomic_t               of[NGX_PCAP_API_RESOLVERS][NGX_PCAP_API_NRC];
    ngx_atomic_t               all[NGX_PCAP_API_NC];
    ngx_pcap_api_histogram_t   times[NGX_PCAP_API_NH][NGX_PCAP_API_RESOLVERS];
} ngx_pcap_api_counters_t;


/* module/metrics.c; all do nothing without a zone */

/* Adds n to one of ngx_pcap_api_counter_e. */
void ngx_pcap_api_count(ngx_uint_t counter, uint64_t n);
/* Adds n to one of ngx_pcap_api_resolver_counter_e. */
void ngx_pcap_api_count_of(ngx_uint_t resolver, ngx_uint_t counter,
    uint64_t n);
/* It took ms; resolver is a resolver's number, 0 where there is none. */
void ngx_pcap_api_observe(ngx_pcap_api_histogram_e h, ngx_uint_t resolver,
    ngx_msec_t ms);
/* A request has come; path is what follows the location. */
void ngx_pcap_api_count_request(ngx_http_request_t *r, ngx_str_t *path);
/* One is refused, with that HTTP status. */
void ngx_pcap_api_count_refusal(ngx_uint_t status);
/* ctx->phase is over. */
void ngx_pcap_api_count_phase(ngx_pcap_api_ctx_t *ctx);
/* The row is up to date: counts what has come since the last call. */
void ngx_pcap_api_count_capture(ngx_pcap_api_ctx_t *ctx);
/* A capture that had begun has ended, as its row says. */
void ngx_pcap_api_count_end(ngx_pcap_api_row_t *row);

extern const ngx_msec_t  ngx_pcap_api_buckets[NGX_PCAP_API_BUCKETS];
extern const ngx_uint_t  ngx_pcap_api_refusals[NGX_PCAP_API_NREFUSALS];

/* module/metrics_text.c */


/* Location handler: Prometheus' text format, version 0.0.4. */
ngx_int_t ngx_pcap_api_metrics_handler(ngx_http_request_t *r);
/* The directive that puts it there. */
char *ngx_pcap_api_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* NGX_PCAP_API_METRICS_H */
