/*
 * module/store.h: the types of captures that go to storage: what a location
 * says of the store, and what a request asks it. Included by
 * ngx_pcap_api_module.h. docs/STORE.md has the picture; pcap-store itself is
 * in store/.
 */

#ifndef NGX_PCAP_API_STORE_H
#define NGX_PCAP_API_STORE_H


#define NGX_PCAP_API_GONE           410      /* RFC 9110 15.5.11 */
#define NGX_PCAP_API_OWNER_LEN      64       /* hex digits */
#define NGX_PCAP_API_GRANT_LEN      32       /* random bytes */
#define NGX_PCAP_API_GRANT_MS       10000
#define NGX_PCAP_API_GRANTS         8        /* of a user, not yet taken */
#define NGX_PCAP_API_STORE_MS       5000     /* to answer */
#define NGX_PCAP_API_STORE_MAX      (4 * 1024 * 1024)

/* Of a location. */

typedef struct {
    ngx_str_t                  uri;          /* location that asks it */
    ngx_str_t                  files;        /* that of its files */
    ngx_str_t                  objects;      /* that of S3; empty: none */
    ngx_str_t                  folder;       /* of its files; empty: none are
                                                followed */
    ngx_uint_t                 redirect;     /* 1: to S3, not through us */
    ngx_uint_t                 user;         /* may take grants */
    uint64_t                   retention;    /* ms; and at most: */
    uint64_t                   max_retention;
    ngx_msec_t                 unattended;   /* without a valid token */
    ngx_str_t                  reader_scope; /* may read those of others */
} ngx_pcap_api_store_conf_t;

/* A question: $pcap_store_method, $pcap_store_uri, $pcap_store_body. */

typedef struct {
    ngx_pcap_api_fetch_t       fetch;
    ngx_str_t                  method;
    ngx_str_t                  uri;
    ngx_str_t                  body;         /* JSON, or empty */
    ngx_msec_t                 deadline;
} ngx_pcap_api_store_ask_t;

/* A file that goes out while it grows: module/follow.c. */

typedef struct ngx_pcap_api_follow_s  ngx_pcap_api_follow_t;

/* Of a request. */

typedef struct {
    ngx_pcap_api_store_ask_t   ask;
    uint64_t                   retention;    /* ms, of one to be stored */
    json_t                    *record;       /* of one that is; or NULL */
    json_t                    *url;          /* of its object; or NULL */
    ngx_pcap_api_follow_t     *follow;       /* or NULL */
    u_char                     key[32];      /* digest of its grant */
    unsigned                   granted:1;    /* this one runs by a grant */
    unsigned                   promised:1;   /* granted to the store, and
                                                nobody told its user yet */
    unsigned                   asked:1;
    unsigned                   removing:1;
    unsigned                   url_asked:1;
    unsigned                   wiped:1;      /* the token has run out */
} ngx_pcap_api_stored_t;


#endif /* NGX_PCAP_API_STORE_H */
