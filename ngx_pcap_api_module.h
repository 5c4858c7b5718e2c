/*
 * ngx_pcap_api_module.h: the types that the rooms of the module share: the
 * configuration, the context of a capture request, the agents in it. What one
 * room does for the others is in module/rooms.h.
 */

#ifndef NGX_PCAP_API_MODULE_H
#define NGX_PCAP_API_MODULE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <jansson.h>

#include "module/ngx_pcap_api_compat.h"
#include "module/jwt.h"
#include "pcapx/pcapx.h"
#include "pcapx/scan.h"
#include "pcapx/write.h"
#include "pcapx/merge.h"
#include "pcapx/valid.h"
#include "pcapx/version.h"


#define NGX_PCAP_API_ID_LEN          32       /* hex digits of a capture id */
#define NGX_PCAP_API_USER_LEN        128
#define NGX_PCAP_API_TEXT_LEN        256      /* of a message */
#define NGX_PCAP_API_MAX_IF_FILTER   1000     /* of an agent's if_filter */
#define NGX_PCAP_API_MAX_TOKEN       16384
#define NGX_PCAP_API_MAX_SCOPES      8192     /* bytes of scope names kept */
#define NGX_PCAP_API_MAX_REPLY       65536    /* of an introspection */
#define NGX_PCAP_API_MAX_ERROR       4096     /* of an agent's error body */
#define NGX_PCAP_API_MAX_SELECTOR    4096    /* bytes of a label selector */
#define NGX_PCAP_API_MAX_INSTANCES   256      /* instance= in one request */
#define NGX_PCAP_API_MAX_REASON      1024
#define NGX_PCAP_API_MAX_GROUP       255      /* bytes, of what is captured */
#define NGX_PCAP_API_LABEL_LEN       64
#define NGX_PCAP_API_ROW_ERRORS      32       /* texts kept per capture */
#define NGX_PCAP_API_MAX_FORM        65536    /* of a POST */

/*
 * Output: records up to COPY_MAX bytes are gathered in stages, but for those
 * of runs of LONG_RUN bytes. A stage takes a batch and the record that ends it.
 */

#define NGX_PCAP_API_BATCH_BYTES     65536
#define NGX_PCAP_API_COPY_MAX        8192
#define NGX_PCAP_API_LONG_RUN        16384
#define NGX_PCAP_API_STAGE_SIZE      (NGX_PCAP_API_BATCH_BYTES                \
                                      + NGX_PCAP_API_COPY_MAX)
#define NGX_PCAP_API_STAGES          2
#define NGX_PCAP_API_BATCH_LINKS     64

#define NGX_PCAP_API_TICK            100      /* ms */
#define NGX_PCAP_API_TURNS           64       /* before others have one */
#define NGX_PCAP_API_MESSAGES        32       /* beside two per target */
#define NGX_PCAP_API_COMMENTS        16       /* for the next packet */
#define NGX_PCAP_API_SKEW_TOLD       100      /* ms */
#define NGX_PCAP_API_SECRETS         6        /* variables with a token */
#define NGX_PCAP_API_RESOLVERS       5        /* rows in module/resolve.c */
#define NGX_PCAP_API_NSYNCED         9        /* see module/metrics.h */
#define NGX_PCAP_API_HEALTH_VALID    10000    /* ms, then it is probed */
#define NGX_PCAP_API_STATUS_TIMEOUT  1800     /* ms; answered within 2 s */
#define NGX_PCAP_API_UUID_LEN        64       /* of a Director */


/* Options that not every resolver takes. */

#define NGX_PCAP_API_TAKES_INSTANCE  1
#define NGX_PCAP_API_TAKES_PROCESS   2        /* and index */
#define NGX_PCAP_API_TAKES_STORE     4        /* a live one, beside a store */
#define NGX_PCAP_API_TAKES_SELECTOR  8


#include "module/limits.h"
#include "module/rights.h"


typedef struct ngx_pcap_api_ctx_s    ngx_pcap_api_ctx_t;
typedef struct ngx_pcap_api_agent_s  ngx_pcap_api_agent_t;
typedef struct ngx_pcap_api_fetch_s  ngx_pcap_api_fetch_t;
typedef struct ngx_pcap_api_pull_s   ngx_pcap_api_pull_t;
typedef struct ngx_pcap_api_resolver_s  ngx_pcap_api_resolver_t;
typedef struct ngx_pcap_api_keys_s   ngx_pcap_api_keys_t;
typedef struct ngx_pcap_api_audit_s  ngx_pcap_api_audit_t;
typedef struct ngx_pcap_api_client_token_s  ngx_pcap_api_client_token_t;


/* One whole answer of an internal location, see module/fetch.c */

struct ngx_pcap_api_fetch_s {
    ngx_pcap_api_ctx_t        *ctx;          /* NULL: never begun */
    ngx_http_request_t        *sr;           /* NULL when it has ended */
    ngx_pcap_api_fetch_t      *next;         /* in ctx->fetches */
    ngx_int_t                  status;       /* HTTP, or why there is none */
    u_char                    *data;
    size_t                     len;
    size_t                     size;         /* of data */
    size_t                     max;          /* bytes; more is too long */
    ngx_str_t                  etag;
    time_t                     retry_after;  /* as it came; NGX_ERROR: none */

    unsigned                   answered:1;   /* its header has come */
    unsigned                   whole:1;      /* the body has its end */
    unsigned                   too_long:1;
    unsigned                   done:1;       /* nothing more will come */
    unsigned                   verified:1;   /* TLS, the peer's name checked */
    unsigned                   unverified:1; /* TLS, but not checked */
};


#include "module/store.h"


/* Configuration */

typedef struct {
    ngx_str_t                  group;
    ngx_str_t                  instance;
    ngx_str_t                  addr;         /* literal ip:port */
    ngx_str_t                  tls_name;
    u_char                     ip[16];       /* its packets', for names */
    u_char                     ip_len;       /* 4, 16, or 0: not known */
    const char                *unavailable;  /* why it is not even tried */
    ngx_str_t                  args;         /* "&container=...", or empty */
    ngx_str_t                  detail;       /* " a=b" for its description */
} ngx_pcap_api_target_t;

/* What a worker knows of a platform, from its last use or probe. */

typedef struct {
    ngx_msec_t                 at;
    ngx_msec_t                 probed;       /* when a probe began */
    unsigned                   known:1;
    unsigned                   works:1;
    unsigned                   probing:1;
} ngx_pcap_api_health_t;

/*
 * What tells where agents are. From verified on it is the worker's, not the
 * configuration's: it has answered, and its certificate was looked at.
 */

typedef struct {
    const char                *name;         /* "Director", for people */
    ngx_str_t                  uri;          /* the location that asks it */
    ngx_str_t                  tls_name;     /* of agents; "*.x" is "ID.x" */
    ngx_uint_t                 tls_star;     /* unsigned  tls_star:1 */
    ngx_uint_t                 port;         /* of agents */
    ngx_uint_t                 verified;     /* unsigned  verified:1 */
    ngx_pcap_api_health_t      health;
} ngx_pcap_api_platform_t;

/* What a resolver asks its platform, one question at a time. */

typedef struct {
    ngx_pcap_api_fetch_t       fetch;
    ngx_str_t                  uri;          /* $pcap_director_uri, ... */
    ngx_uint_t                 bearer;       /* 1: with the caller's token */
    ngx_uint_t                 step;         /* the resolver's own */
    void                      *data;         /* the resolver's own */
} ngx_pcap_api_ask_t;

#include "module/zip.h"
#include "module/kube.h"


/* A Director; what is below platform is the worker's. */

typedef struct {
    ngx_pcap_api_platform_t    platform;
    ngx_msec_t                 uuid_at;
    size_t                     uuid_len;     /* 0: not known */
    u_char                     uuid[NGX_PCAP_API_UUID_LEN];
} ngx_pcap_api_bosh_t;

/* What an app needs to be captured, beside the caller's right to it. */

typedef enum {
    NGX_PCAP_API_CF_SSH = 0,
    NGX_PCAP_API_CF_ANNOTATION,
    NGX_PCAP_API_CF_ALL
} ngx_pcap_api_cf_opt_in_e;

/* The other nodes of this API, see module/peers.c. */

typedef struct {
    ngx_uint_t                 node;
    ngx_str_t                  addr;         /* literal ip:port */
    ngx_str_t                  tls_name;
} ngx_pcap_api_peer_t;

typedef struct {
    ngx_str_t                  uri;          /* location that asks them */
    ngx_array_t               *list;         /* ngx_pcap_api_peer_t */
    ngx_flag_t                 forwarded;    /* a peer asks here */
    ngx_str_t                  environment;  /* or empty */
} ngx_pcap_api_peers_conf_t;

typedef struct {
    ngx_shm_zone_t            *zone;
    ngx_uint_t                 node;
    ngx_uint_t                 node_set;     /* unsigned  node_set:1 */
    ngx_event_t                sweep;        /* the worker's */
    ngx_connection_t           sweep_ident;  /* of its log lines */
    ngx_int_t                  secrets[NGX_PCAP_API_SECRETS];
    u_char                     salt[16];     /* of this configuration */
    ngx_uint_t                 nlocations;   /* that answer the API */
    ngx_pcap_api_limits_main_t limits;
    ngx_pcap_api_audit_t      *audit;        /* NULL: none */
    ngx_pcap_api_drain_conf_t  drain;
} ngx_pcap_api_main_conf_t;

typedef struct {
    ngx_flag_t                 enable;
    ngx_flag_t                 metrics;      /* this is /metrics */
    ngx_uint_t                 number;       /* among those that answer */
    u_char                     env[32];      /* whose users these are */
    ngx_str_t                  introspection;
    ngx_str_t                  client_uri;   /* our own token; none: unset */
    ngx_pcap_api_client_token_t  *client_token;  /* the worker's, or NULL */
    ngx_str_t                  token_keys;   /* or introspection */
    ngx_msec_t                 keys_valid;
    ngx_pcap_api_keys_t       *keys;         /* the worker's */
    ngx_str_t                  agents;
    ngx_array_t               *targets;      /* ngx_pcap_api_target_t */
    ngx_array_t               *scopes;       /* ngx_str_t; none: off */
    ngx_pcap_api_bosh_t       *bosh;         /* NULL: off */
    ngx_array_t               *bosh_scopes;  /* ngx_str_t; none: off */
    ngx_pcap_api_platform_t   *cf;           /* NULL: off */
    ngx_array_t               *cf_scopes;    /* ngx_str_t; none: off */
    ngx_array_t               *cf_exclude;   /* ngx_str_t, guids; or NULL */
    ngx_uint_t                 cf_opt_in;    /* ngx_pcap_api_cf_opt_in_e */
    ngx_str_t                  cf_annotation;
    ngx_str_t                  admin_scope;
    ngx_str_t                  issuer;
    ngx_str_t                  audience;
    ngx_array_t               *ranges;       /* ngx_cidr_t */
    ngx_array_t               *routers;      /* ngx_cidr_t */
    ngx_msec_t                 token_cache;
    ngx_uint_t                 inflight;
    ngx_uint_t                 max_targets;
    ngx_uint_t                 start_parallel;
    ngx_msec_t                 start_timeout;
    ngx_msec_t                 heartbeat;     /* 0: by how many there are */
    ngx_msec_t                 heartbeat_timeout;
    ngx_msec_t                 reorder_window;
    ngx_msec_t                 client_stall;
    ngx_msec_t                 stop_timeout;
    ngx_msec_t                 max_clock_skew;
    ngx_pcap_api_peers_conf_t  peers;
    ngx_pcap_api_limits_t      limits;
    ngx_pcap_api_rights_conf_t rights;
    ngx_pcap_api_store_conf_t  store;
    ngx_pcap_api_kube_conf_t   kube;
    ngx_uint_t                 zip;          /* pcap_zip_method_e */
} ngx_pcap_api_loc_conf_t;


/* Who asks: what introspection or the token itself said. */

typedef struct {
    ngx_uint_t                 active;       /* unsigned  active:1 */
    time_t                     exp;          /* 0: not given */
    ngx_str_t                  id;           /* user_id or sub: ownership */
    ngx_str_t                  name;         /* to show and to log */
    ngx_str_t                  scopes;       /* separated by one space */
} ngx_pcap_api_identity_t;


/* What peers are asked, all at once. */

typedef struct {
    ngx_pcap_api_fetch_t       fetch;
    ngx_pcap_api_peer_t       *peer;
    ngx_str_t                  uri;          /* $pcap_peer_uri */
} ngx_pcap_api_peer_ask_t;

/*
 * A question: ask() says NGX_AGAIN, or NGX_OK when it is needless; take()
 * NGX_OK, or NGX_DECLINED (the same one once more), for the answer. Both else
 * what a phase says.
 */

typedef struct {
    ngx_int_t                (*ask)(ngx_pcap_api_ctx_t *ctx,
                                    ngx_pcap_api_ask_t *ask);
    ngx_int_t                (*take)(ngx_pcap_api_ctx_t *ctx,
                                     ngx_pcap_api_ask_t *ask);
} ngx_pcap_api_question_t;


/* One platform that targets come from: one file, a row in resolve.c. */

struct ngx_pcap_api_resolver_s {
    ngx_str_t                  name;         /* in paths and in the status */
    ngx_uint_t                 number;       /* place in the table */
    ngx_uint_t                 options;      /* NGX_PCAP_API_TAKES_... */
    ngx_uint_t               (*configured)(ngx_pcap_api_loc_conf_t *conf);

    /* as a phase: NGX_OK with ctx->agents filled */
    ngx_int_t                (*resolve)(ngx_pcap_api_ctx_t *ctx,
                                        ngx_pcap_api_ask_t *ask);

    /*
     * As resolve, once per capture, when agents do not know the containers
     * of agents with moved set: gives them other targets if there are
     * others. A refusal of it means nothing. NULL: nothing moves here.
     */
    ngx_int_t                (*moved)(ngx_pcap_api_ctx_t *ctx,
                                      ngx_pcap_api_ask_t *ask);

    /*
     * NGX_OK: it works, NGX_DECLINED: it does not, NGX_AGAIN: main will run
     * again. By ctx->deadline it has to know. NULL: works always.
     */
    ngx_int_t                (*probe)(ngx_pcap_api_ctx_t *ctx,
                                      ngx_pcap_api_ask_t *ask);

    /*
     * As resolve, of a capture that runs: has the caller still the right to
     * it? No targets, which do not change; what is gone is none of its
     * business either.
     */
    ngx_int_t                (*right)(ngx_pcap_api_ctx_t *ctx,
                                      ngx_pcap_api_ask_t *ask);
};


/* Capture options, as the client gave them */

typedef struct {
    ngx_array_t                interfaces;   /* ngx_str_t */
    ngx_array_t                instances;    /* ngx_str_t */
    ngx_array_t                indexes;      /* ngx_uint_t */
    ngx_str_t                  process;      /* or empty */
    ngx_str_t                  selector;     /* of labels; or empty */
    ngx_str_t                  filter;
    ngx_str_t                  reason;
    uint32_t                   seen;         /* bits of single options */
    uint32_t                   snaplen;
    ngx_uint_t                 snaplen_set;  /* 1: by the user */
    ngx_uint_t                 pcapng;       /* unsigned  pcapng:1 */
    ngx_uint_t                 promiscuous;  /* unsigned  promiscuous:1 */
    uint64_t                   duration_ms;  /* 0: none */
    uint64_t                   max_bytes;    /* 0: none */
    uint64_t                   max_packets;  /* 0: none */
    ngx_str_t                  continues;    /* a capture id, or empty */
    ngx_uint_t                 store;        /* 1: also into the store */
    uint64_t                   retention_ms; /* of that; 0: none given */
} ngx_pcap_api_opts_t;


/* One network interface of an agent */

typedef struct {
    ngx_str_t                  name;         /* empty: none yet */
    uint32_t                   out;          /* its number in our file */
    uint32_t                   snaplen;
    uint16_t                   linktype;
    ngx_str_t                  filter;       /* if_filter: 0 and text */
    uint64_t                   packets;      /* written to the client */
    uint64_t                   discarded;    /* came, was not written */
    pcapx_stats_t              stats;        /* of the last ISB */
    uint64_t                   stats_ts;
    uint32_t                   isb_round;    /* of its last ISB */
} ngx_pcap_api_iface_t;


typedef enum {
    NGX_PCAP_API_AGENT_NEW = 0,
    NGX_PCAP_API_AGENT_OPENING,    /* subrequest runs, no block yet */
    NGX_PCAP_API_AGENT_READY,      /* SHB, IDBs read: link types known */
    NGX_PCAP_API_AGENT_CLOSED,     /* ended as it should */
    NGX_PCAP_API_AGENT_FAILED      /* did not start, or was cut */
} ngx_pcap_api_agent_state_e;

typedef enum {
    NGX_PCAP_API_MSG_UNKNOWN = 0,
    NGX_PCAP_API_MSG_INSTANCE_UNAVAILABLE,
    NGX_PCAP_API_MSG_START_CAPTURE_FAILED,
    NGX_PCAP_API_MSG_INVALID_REQUEST,
    NGX_PCAP_API_MSG_CONGESTED,
    NGX_PCAP_API_MSG_LIMIT_REACHED,
    NGX_PCAP_API_MSG_CAPTURE_STOPPED,
    NGX_PCAP_API_MSG_CONNECTION_ERROR,
    NGX_PCAP_API_MSG_CLOCK_SKEW,
    NGX_PCAP_API_MSG_POLICY,
    NGX_PCAP_API_MSG_STATUS
} ngx_pcap_api_msg_e;


struct ngx_pcap_api_agent_s {
    ngx_pcap_api_ctx_t        *ctx;
    ngx_pcap_api_target_t     *target;
    ngx_uint_t                 index;        /* place among the targets */
    ngx_pcap_api_agent_state_e state;

    /* the subrequest */
    ngx_http_request_t        *sr;           /* NULL when it has ended */
    ngx_http_event_handler_pt  wake;         /* upstream's own handler */
    ngx_http_posted_request_t  posted;
    ngx_uint_t                 status;       /* HTTP status, 0: no header */

    /* bytes that are here: links to the upstream's buffers */
    ngx_chain_t               *in;           /* in->buf is being scanned */
    ngx_chain_t              **last_in;
    ngx_chain_t               *scanned;      /* done, kept until released */
    ngx_chain_t              **last_scanned;
    u_char                    *pos;          /* scan position in in->buf */
    ngx_uint_t                 outstanding;  /* spans the client still has */

    /* a block that straddles two buffers is put together here */
    u_char                    *carry;
    size_t                     carry_size;
    size_t                     carry_len;

    pcapx_scan_t               scan;
    pcapx_iface_t             *scan_ifaces;  /* ctx->max_ifaces of each */
    ngx_pcap_api_iface_t      *ifaces;
    ngx_uint_t                 nifaces;
    ngx_str_t                  policy;       /* exclude_filter, if any */
    pcapx_block_t              head;         /* valid if has_head */
    uint64_t                   watermark;    /* none below will come */
    uint64_t                   max_ts;       /* above it is garbage; 0: any */
    ngx_uint_t                 nlinks;       /* buffers held */

    ngx_msec_t                 opened;
    ngx_msec_t                 heard;        /* last whole block */
    ngx_msec_t                 advanced;     /* its watermark rose */
    ngx_msec_t                 filled;       /* since when bytes wait here */
    ngx_msec_t                 resumed;      /* we made it wait until then */
    uint64_t                   arrived_ns;   /* its first bytes, our clock */
    int64_t                    offset_ns;    /* its clock minus ours */
    int64_t                    lead_ns;      /* best of watermark - now */
    ngx_msec_t                 lead_at;
    uint64_t                   packets;
    uint64_t                   bytes;
    uint64_t                   late;
    uint64_t                   late_told;
    uint64_t                   osdrop;       /* of all its interfaces */
    uint64_t                   osdrop_told;
    ngx_msec_t                 told;         /* last CONGESTED */

    ngx_pcap_api_msg_e         fail_type;
    ngx_str_t                  fail_text;
    u_char                     text[NGX_PCAP_API_TEXT_LEN];
    u_char                    *body;         /* an error's body */
    size_t                     body_len;

    ngx_queue_t                queue;        /* in ctx->dirty */

    uint32_t                   isb_seen;     /* interfaces, since last EPB */
    uint32_t                   isb_round;    /* which that is: 1 and up */

    unsigned                   queued:1;     /* is in ctx->dirty */
    unsigned                   is_posted:1;  /* posted is linked */
    unsigned                   has_head:1;
    unsigned                   head_carry:1; /* head lies in carry */
    unsigned                   long_run:1;   /* its last run was one */
    unsigned                   carry_busy:1; /* the client still has it */
    unsigned                   clean:1;      /* final chunk seen */
    unsigned                   half_closed:1;
    unsigned                   released:1;   /* no longer waited for */
    unsigned                   opening:1;    /* counted in ctx->nopening */
    unsigned                   unfit:1;      /* 200, but no chunks */
    unsigned                   unverified:1; /* by our configuration */
    unsigned                   in_file:1;    /* its IDBs are written */
    unsigned                   timed_out:1;  /* it did not answer at all */
    unsigned                   cut:1;        /* at the end, no last report */
    unsigned                   uncounted:1;  /* its last report is wrong */
    unsigned                   left:1;       /* it ended well, on its own */
    unsigned                   congested:1;  /* a CONGESTED is due */
    unsigned                   moved:1;      /* not where it should be */
    unsigned                   elsewhere:1;  /* it has another target now */
};


/* A piece of memory that small records and our own blocks are put into. */

typedef struct {
    u_char                    *start;
    u_char                    *pos;          /* filled up to here */
    ngx_uint_t                 refs;         /* buffers that point into it */
} ngx_pcap_api_stage_t;

/* What is handed to the client: first member, so that links can be cast. */

typedef struct {
    ngx_buf_t                  buf;
    ngx_pcap_api_agent_t      *agent;        /* whose memory it is, or NULL */
    ngx_pcap_api_stage_t      *stage;        /* else which stage's */
    u_char                    *memory;       /* else its own, from the heap */
    ngx_uint_t                 carry;        /* unsigned  carry:1 */
} ngx_pcap_api_obuf_t;

typedef struct {
    ngx_pcap_api_agent_t      *agent;        /* NULL: of the API itself */
    ngx_pcap_api_msg_e         type;
    ngx_uint_t                 len;
    u_char                     text[NGX_PCAP_API_TEXT_LEN];
} ngx_pcap_api_message_t;


typedef enum {
    NGX_PCAP_API_COMPLETE = 0,
    NGX_PCAP_API_STOPPED,
    NGX_PCAP_API_LIMIT,
    NGX_PCAP_API_PARTIAL,
    NGX_PCAP_API_ERROR
} ngx_pcap_api_status_e;


/*
 * A request is a table of phases. run() returns NGX_OK (next phase),
 * NGX_AGAIN (something will post the request), NGX_DONE (the request is
 * finalized, nothing may be touched), NGX_ERROR, or the status of a refusal
 * that ngx_pcap_api_refuse() has prepared.
 */

typedef struct {
    const char                *action;       /* for the log: "while ..." */
    ngx_int_t                (*run)(ngx_http_request_t *r,
                                    ngx_pcap_api_ctx_t *ctx);
} ngx_pcap_api_phase_t;


/* Why a capture ends, before its agents end it; 0: it has not. */

typedef enum {
    NGX_PCAP_API_END_NONE = 0,
    NGX_PCAP_API_END_USER,         /* DELETE of its owner */
    NGX_PCAP_API_END_ADMIN,        /* DELETE of an admin */
    NGX_PCAP_API_END_DURATION,
    NGX_PCAP_API_END_BYTES,
    NGX_PCAP_API_END_PACKETS,
    NGX_PCAP_API_END_IDLE,         /* no packet for too long */
    NGX_PCAP_API_END_RIGHT,        /* the right was found missing */
    NGX_PCAP_API_END_TOKEN,        /* no valid token for too long */
    NGX_PCAP_API_END_DRAIN,        /* this server is going */
    NGX_PCAP_API_END_STALL,        /* the client took nothing */
    NGX_PCAP_API_END_CLIENT,       /* the client has gone */
    NGX_PCAP_API_END_WORKER,       /* the worker died */
    NGX_PCAP_API_END_MAX_DURATION, /* limits of the server, not the user's */
    NGX_PCAP_API_END_MAX_BYTES,
    NGX_PCAP_API_END_MAX_PACKETS,
    NGX_PCAP_API_END_CONTINUED,    /* its place is its successor's */
    NGX_PCAP_API_END_FAILED,       /* no memory and the like */
    NGX_PCAP_API_END_UNATTENDED,   /* stored, and no valid token any more */
    NGX_PCAP_API_NENDS
} ngx_pcap_api_end_e;

typedef struct {
    const char                *name;         /* end_reason in JSON, audit */
    ngx_pcap_api_status_e      status;
    ngx_pcap_api_msg_e         type;
    const char                *text;         /* of the message */
} ngx_pcap_api_end_t;


/*
 * What has become of the packets that passed the filter: seen = delivered +
 * filtered + in_flight + all drops, always and exactly. Running totals. Once
 * unknown_since is set, in_flight is what was on its way then, and more may
 * have been seen since.
 */

typedef struct {
    uint64_t                   seen;
    uint64_t                   delivered;    /* written into the file */
    uint64_t                   filtered;     /* in user space */
    uint64_t                   in_flight;
    uint64_t                   drop_kernel;
    uint64_t                   drop_agent;
    uint64_t                   drop_stop;    /* not drained in time */
    uint64_t                   drop_limit;   /* behind an exact limit; nobody
                                                wanted it: not in "dropped" */
    uint64_t                   unknown_since;  /* ns; 0: all is known */
} ngx_pcap_api_ledger_t;


/* The audit, see module/audit.h */

typedef enum {
    NGX_PCAP_API_AUDIT_START = 0,
    NGX_PCAP_API_AUDIT_REFUSAL,
    NGX_PCAP_API_AUDIT_STOP,
    NGX_PCAP_API_AUDIT_TOKEN,
    NGX_PCAP_API_AUDIT_DOWNLOAD,
    NGX_PCAP_API_AUDIT_REMOVE,
    NGX_PCAP_API_AUDIT_END
} ngx_pcap_api_audit_e;

typedef struct {
    uint64_t                   seq;          /* of the last line; 0: none */
    uint64_t                   lost;         /* could not be written */
    uint64_t                   suppressed;   /* refusals above the rate */
    ngx_uint_t                 failing;      /* 1: the latest was lost */
    u_char                     mac[64];      /* hex digits, no NUL */
} ngx_pcap_api_audit_head_t;

typedef struct {
    ngx_msec_t                 started;
    unsigned                   begun:1;      /* an end line is due */
} ngx_pcap_api_audit_ctx_t;


/*
 * A row of the registry, in shared memory: a capture that starts or runs, or
 * for a while one that has ended. Its texts lie behind it (text), its targets
 * with theirs in a block of their own.
 */

typedef enum {
    NGX_PCAP_API_ROW_STARTING = 0,
    NGX_PCAP_API_ROW_RUNNING,
    NGX_PCAP_API_ROW_STOPPING,
    NGX_PCAP_API_ROW_ENDED
} ngx_pcap_api_row_state_e;

/* The place of a predecessor: see limits.c. */

typedef enum {
    NGX_PCAP_API_HANDED_NOT = 0,
    NGX_PCAP_API_HANDED,           /* its successor starts */
    NGX_PCAP_API_SUCCEEDED         /* and runs */
} ngx_pcap_api_handed_e;

typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  addr;
    ngx_str_t                  error;        /* of one that failed */
    ngx_pcap_api_agent_state_e state;
    uint64_t                   packets;
    uint64_t                   bytes;        /* captured packet bytes */
    uint64_t                   late;
    ngx_pcap_api_ledger_t      ledger;
} ngx_pcap_api_row_target_t;

typedef struct {
    ngx_queue_t                queue;
    ngx_queue_t                kin;          /* ended ones: see zone.c */
    ngx_uint_t                 slot;         /* whose it is: see sweep.c */
    ngx_pid_t                  pid;
    uint64_t                   born;         /* that process */
    ngx_pcap_api_row_state_e   state;
    ngx_pcap_api_status_e      status;       /* once it has ended */
    ngx_atomic_t               stop;         /* ngx_pcap_api_end_e */
    ngx_pcap_api_end_e         end;
    time_t                     started;
    time_t                     ended;        /* 0: it has not */
    ngx_pcap_api_handed_e      handed;       /* its place, to: */
    u_char                     successor[NGX_PCAP_API_ID_LEN];
    ngx_msec_t                 succeeded;    /* when that began to run */
    ngx_uint_t                 borrowed;     /* 1: its own may be so */
    u_char                     id[NGX_PCAP_API_ID_LEN];
    u_char                     env[32];
    u_char                     user_hash[32];
    u_char                     what[32];     /* digest: resolver and group */
    ngx_uint_t                 resolver;     /* its number */

    u_char                    *text;
    size_t                     text_len;
    ngx_str_t                  user;
    ngx_str_t                  user_id;
    ngx_str_t                  client;       /* its address */
    ngx_str_t                  request_id;
    ngx_str_t                  group;
    ngx_str_t                  interfaces;   /* separated by "," */
    ngx_str_t                  filter;
    ngx_str_t                  reason;
    ngx_uint_t                 label_len;    /* 0: none */
    u_char                     label[NGX_PCAP_API_LABEL_LEN];

    uint32_t                   snaplen;
    uint64_t                   duration_ms;  /* limits; 0: none */
    uint64_t                   max_bytes;
    uint64_t                   max_packets;

    uint64_t                   packets;
    uint64_t                   bytes;
    uint64_t                   late;
    uint64_t                   dropped;
    uint64_t                   sent;         /* bytes, to its socket */
    uint64_t                   synced_ns;    /* when all this was so */
    ngx_pcap_api_ledger_t      ledger;
    ngx_uint_t                 audited;      /* 1: an end line is due */
    ngx_uint_t                 stored;       /* 1: into the store */
    ngx_pcap_api_token_slot_t  fresh;        /* for its worker */

    ngx_uint_t                 ntargets;     /* 0 as long as there are none */
    ngx_uint_t                 nerrors;      /* texts of failed ones */
    uint32_t                   states[NGX_PCAP_API_AGENT_FAILED + 1];
    size_t                     targets_len;  /* bytes, with their texts */
    ngx_pcap_api_row_target_t *targets;      /* NULL: not yet known */
} ngx_pcap_api_row_t;


struct ngx_pcap_api_ctx_s {
    ngx_http_request_t        *request;
    ngx_pcap_api_ctx_t        *capture;      /* beside which it runs, or NULL */
    ngx_int_t                  verdict;      /* of one that runs beside */
    ngx_pcap_api_loc_conf_t   *conf;
    const ngx_pcap_api_phase_t *phase;       /* the last one has no run() */
    ngx_event_t                timer;
    ngx_event_t                yield;        /* goes on behind other events */
    ngx_uint_t                 turns;        /* since other events had one */
    ngx_http_posted_request_t  posted;
    ngx_pcap_api_fetch_t      *fetches;      /* under way */

    u_char                     id[NGX_PCAP_API_ID_LEN];
    u_char                     stop_id[NGX_PCAP_API_ID_LEN];
    ngx_str_t                  request_id;
    ngx_str_t                  client;       /* of a grant; or empty */
    const ngx_pcap_api_resolver_t *resolver;
    ngx_pcap_api_ask_t         asks[NGX_PCAP_API_RESOLVERS];
    ngx_str_t                  group;        /* or deployment, app */
    ngx_str_t                  label;        /* for people; or empty */
    ngx_pcap_api_opts_t        opts;

    /* auth */
    ngx_str_t                  token;
    ngx_str_t                  token_encoded;
    u_char                     token_hash[32];
    ngx_pcap_api_identity_t    identity;
    ngx_pcap_api_fetch_t       introspection;
    pcap_jwt_t                *jwt;          /* by keys: the token, split */
    ngx_pcap_api_fetch_t       client_fetch;
    ngx_msec_t                 client_deadline;
    ngx_msec_t                 client_used;  /* which token: since when */
    ngx_pcap_api_fetch_t       keys_fetch;
    ngx_msec_t                 keys_deadline;

    /* other nodes */
    ngx_pcap_api_peer_ask_t   *peer_asks;    /* NULL: none was asked */
    ngx_uint_t                 npeer_asks;

    /* what fail() says */
    ngx_uint_t                 fail_status;
    ngx_str_t                  fail_detail;
    ngx_uint_t                 retry_after;
    const char                *bearer_error;

    /* agents */
    ngx_pcap_api_agent_t      *agents;
    ngx_uint_t                 nagents;
    ngx_uint_t                 max_ifaces;   /* of each */
    ngx_msec_t                 max_clock_skew;    /* 0: no clock is true */
    ngx_uint_t                 nopened;      /* subrequests started */
    ngx_uint_t                 nopening;     /* and not yet answered */
    ngx_uint_t                 nalive;       /* not closed, not failed */
    ngx_uint_t                 nposted;      /* about to be read */
    ngx_uint_t                 nmoved;       /* wait for another target */
    ngx_uint_t                 moved_asked;  /* unsigned  moved_asked:1 */
    ngx_str_t                  agent_uri;
    ngx_msec_t                 deadline;     /* of the phase, before stream */
    ngx_queue_t                dirty;
    uint64_t                   wall_ns;      /* CLOCK_REALTIME - MONOTONIC */

    /* stream */
    pcapx_merge_t              merge;
    ngx_chain_t               *out;          /* not yet given to nginx */
    ngx_chain_t              **last_out;
    ngx_pcap_api_obuf_t       *tail;         /* of out, may still grow */
    ngx_chain_t               *busy;         /* given, not yet taken */
    ngx_chain_t              **last_busy;
    ngx_chain_t               *free;
    ngx_uint_t                 out_links;
    size_t                     out_bytes;
    ngx_pcap_api_stage_t       stages[NGX_PCAP_API_STAGES];
    ngx_uint_t                 stage;        /* the one being filled */
    ngx_pcap_api_message_t    *messages;
    ngx_uint_t                 message;      /* the first not yet written */
    ngx_uint_t                 nmessages;    /* behind the last */
    ngx_uint_t                 messages_lost;
    ngx_str_t                  comments[NGX_PCAP_API_COMMENTS];
    ngx_uint_t                 ncomments;
    u_char                    *comment_text;
    uint32_t                   nifaces;
    uint64_t                   packets;
    uint64_t                   bytes;        /* captured packet bytes */
    uint64_t                   late;
    u_char                    *held;         /* the latest record, whole */
    size_t                     held_size;
    size_t                     held_len;     /* 0: none */
    ngx_msec_t                 duration_end; /* 0: none */
    ngx_msec_t                 stop_deadline;
    ngx_msec_t                 discard_began;
    ngx_msec_t                 discard_end;
    ngx_msec_t                 took;         /* client took a byte last */
    ngx_msec_t                 unblocked;    /* client took all last */
    ngx_msec_t                 watched;
    ngx_msec_t                 isb_at;
    ngx_uint_t                 stats_agent;  /* next one to write */
    ngx_uint_t                 stats_iface;
    off_t                      sent;
    ngx_pcap_api_status_e      status;
    ngx_pcap_api_end_e         end;
    ngx_pcap_api_row_t        *row;
    ngx_msec_t                 synced;       /* its numbers, last */
    uint64_t                   counted[NGX_PCAP_API_NSYNCED];
    ngx_msec_t                 counted_at;
    ngx_msec_t                 phase_began;
    ngx_pcap_api_pace_t        pace;
    ngx_pcap_api_limited_t     limited;
    ngx_pcap_api_audit_ctx_t   audit;
    ngx_pcap_api_rights_t      rights;
    ngx_pcap_api_stored_t      stored;
    ngx_pcap_api_kube_ctx_t    kube;
    ngx_pcap_api_zip_t        *zip;          /* NULL: no archive */

    unsigned                   is_posted:1;
    unsigned                   running:1;    /* step() is at work */
    unsigned                   again:1;      /* run behind what is posted */
    unsigned                   header_sent:1;
    unsigned                   stopping:1;
    unsigned                   limit_hit:1;
    unsigned                   discarding:1; /* records go nowhere */
    unsigned                   hold:1;
    unsigned                   failed_some:1;
    unsigned                   ended:1;      /* no record will follow */
    unsigned                   judged:1;     /* verdict is at the record */
    unsigned                   failed:1;     /* by no fault of its client */
    unsigned                   finished:1;   /* verdict is in the chain */
    unsigned                   done:1;       /* request is finalized */
    unsigned                   blocked:1;    /* the client takes nothing */
    unsigned                   slot:1;       /* an introspection slot */
    unsigned                   cache_asked:1;
    unsigned                   client_asked:1; /* once per request */
    unsigned                   client_again:1; /* introspected twice */
    unsigned                   keys_asked:1; /* once per request */
    unsigned                   keys_conditional:1;
    unsigned                   passed:1;     /* to the peer of peer_asks[0] */
};


extern ngx_module_t  ngx_pcap_api_module;

#define ngx_pcap_api_ctx(r)  ngx_http_get_module_ctx(r, ngx_pcap_api_module)


#include "module/metrics.h"
#include "module/resolve.h"
#include "module/rooms.h"
#include "module/kube_rooms.h"
#include "module/storage.h"


#endif /* NGX_PCAP_API_MODULE_H */
