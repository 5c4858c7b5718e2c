/*
 * fuzz/ngx/core.h: a request for fuzz targets that call into module/. Memory,
 * arrays and texts are nginx's own (src/core of the sanitized tree, with
 * NGX_DEBUG_PALLOC: each allocation is a malloc() that a sanitizer sees);
 * only log, clock and files are not there.
 */

#ifndef FUZZ_NGX_CORE_H
#define FUZZ_NGX_CORE_H

#include "ngx_pcap_api_module.h"

#include <stdlib.h>


/* The clock of these targets, seconds since the epoch. */
#define FUZZ_NGX_NOW  1700000000

typedef struct {
    ngx_connection_t         connection;
    ngx_log_t                log;
    ngx_http_request_t       request;
    ngx_pcap_api_loc_conf_t  conf;
    ngx_pcap_api_ctx_t       ctx;        /* of request and conf */
} fuzz_ngx_t;


/* An empty GET request with a pool of its own. Aborts without memory. */
void fuzz_ngx_begin(fuzz_ngx_t *f);

/* Frees the pool and what lies in it. */
void fuzz_ngx_end(fuzz_ngx_t *f);


/* Aborts unless cond: a finding. */
static inline void
fuzz_require(int cond)
{
    if (!cond) {
        abort();
    }
}


/* Aborts unless s is at most max bytes of UTF-8 without control characters. */
void fuzz_require_clean(const ngx_str_t *s, size_t max);


#endif /* FUZZ_NGX_CORE_H */
