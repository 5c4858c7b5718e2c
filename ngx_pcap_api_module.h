/*
 * ngx_pcap_api_module.h: what the rooms of the module share: configuration,
 * the context of a capture request, the agents in it, and the functions that
 * one room offers to the others. A room's own helpers are static in its file.
 */

#ifndef NGX_PCAP_API_MODULE_H
#define NGX_PCAP_API_MODULE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "module/ngx_pcap_api_compat.h"
#include "pcapx/pcapx.h"
#include "pcapx/scan.h"
#include "pcapx/write.h"
#include "pcapx/merge.h"
#include "pcapx/valid.h"
#include "pcapx/version.h"


#define NGX_PCAP_API_ID_LEN          32       /* hex digits of a capture id */
#define NGX_PCAP_API_USER_LEN        128
#define NGX_PCAP_API_TEXT_LEN        256      /* of a message */
#define NGX_PCAP_API_MAX_TOKEN       16384
#define NGX_PCAP_API_MAX_SCOPES      8192     /* bytes of scope names kept */
#define NGX_PCAP_API_MAX_REPLY       65536    /* of an introspection */
#define NGX_PCAP_API_MAX_ERROR       4096     /* of an agent's error body */
#define NGX_PCAP_API_MAX_INSTANCES   256      /* instance= in one request */
#define NGX_PCAP_API_MAX_REASON      1024

/* Output: records up to COPY_MAX bytes are gathered in stages. */

#define NGX_PCAP_API_STAGE_SIZE      16384
#define NGX_PCAP_API_STAGES          4
#define NGX_PCAP_API_COPY_MAX        1024
#define NGX_PCAP_API_BATCH_BYTES     65536
#define NGX_PCAP_API_BATCH_LINKS     64

#define NGX_PCAP_API_TICK            100      /* ms */
#define NGX_PCAP_API_TURNS           64       /* before others have one */
#define NGX_PCAP_API_MESSAGES        32       /* waiting for the client */
#define NGX_PCAP_API_COMMENTS        4        /* for the next packet */
#define NGX_PCAP_API_SKEW_TOLD       100      /* ms */


typedef struct ngx_pcap_api_ctx_s    ngx_pcap_api_ctx_t;
typedef struct ngx_pcap_api_agent_s  ngx_pcap_api_agent_t;


/* Configuration */

typedef struct {
    ngx_str_t                  group;
    ngx_str_t                  instance;
    ngx_str_t                  addr;         /* literal ip:port */
    ngx_str_t                  tls_name;
    u_char                     ip[16];
    u_char                     ip_len;       /* 4 or 16 */
} ngx_pcap_api_target_t;

typedef struct {
    ngx_shm_zone_t            *zone;
    ngx_int_t                  token_index;  /* of $pcap_token */
} ngx_pcap_api_main_conf_t;

typedef struct {
    ngx_flag_t                 enable;
    ngx_str_t                  introspection;
    ngx_str_t                  agents;
    ngx_array_t               *targets;      /* ngx_pcap_api_target_t */
    ngx_array_t               *scopes;       /* ngx_str_t; none: off */
    ngx_str_t                  admin_scope;
    ngx_str_t                  issuer;
    ngx_str_t                  audience;
    ngx_array_t               *ranges;       /* ngx_cidr_t */
    ngx_array_t               *routers;      /* ngx_cidr_t */
    ngx_msec_t                 token_cache;
    ngx_uint_t                 rate;         /* introspections per second */
    ngx_uint_t                 burst;
    ngx_uint_t                 inflight;
    ngx_uint_t                 max_targets;
    ngx_uint_t                 start_parallel;
    ngx_msec_t                 start_timeout;
    ngx_msec_t                 heartbeat;
    ngx_msec_t                 heartbeat_timeout;
    ngx_msec_t                 reorder_window;
    ngx_msec_t                 client_stall;
    ngx_msec_t                 stop_timeout;
    ngx_msec_t                 max_clock_skew;
} ngx_pcap_api_loc_conf_t;


/* Who asks: what a token's introspection said. */

typedef struct {
    ngx_uint_t                 active;       /* unsigned  active:1 */
    time_t                     exp;          /* 0: not given */
    ngx_str_t                  id;           /* user_id or sub: ownership */
    ngx_str_t                  name;         /* to show and to log */
    ngx_str_t                  scopes;       /* separated by one space */
} ngx_pcap_api_identity_t;


/* Capture options, as the client gave them */

typedef struct {
    ngx_array_t                interfaces;   /* ngx_str_t */
    ngx_array_t                instances;    /* ngx_str_t */
    ngx_str_t                  filter;
    ngx_str_t                  reason;
    uint32_t                   seen;         /* bits of single options */
    uint32_t                   snaplen;
    ngx_uint_t                 pcapng;       /* unsigned  pcapng:1 */
    ngx_uint_t                 promiscuous;  /* unsigned  promiscuous:1 */
    uint64_t                   duration_ms;  /* 0: none */
    uint64_t                   max_bytes;    /* 0: none */
    uint64_t                   max_packets;  /* 0: none */
} ngx_pcap_api_opts_t;


/* One network interface of an agent */

typedef struct {
    u_char                     name[PCAPX_MAX_IFNAME_LEN + 1];
    uint32_t                   out;          /* its number in our file */
    uint32_t                   snaplen;
    uint16_t                   linktype;
    uint64_t                   packets;      /* written to the client */
    pcapx_stats_t              stats;        /* of the last ISB */
    uint64_t                   stats_ts;
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
    pcapx_iface_t              scan_ifaces[PCAPX_MAX_INTERFACES];
    ngx_pcap_api_iface_t       ifaces[PCAPX_MAX_INTERFACES];
    ngx_uint_t                 nifaces;
    pcapx_block_t              head;         /* valid if has_head */
    uint64_t                   watermark;    /* none below will come */
    uint64_t                   max_ts;       /* above it is garbage; 0: any */
    ngx_uint_t                 nlinks;       /* buffers held */

    ngx_msec_t                 heard;        /* last whole block */
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

    unsigned                   queued:1;     /* is in ctx->dirty */
    unsigned                   is_posted:1;  /* posted is linked */
    unsigned                   has_head:1;
    unsigned                   head_carry:1; /* head lies in carry */
    unsigned                   carry_busy:1; /* the client still has it */
    unsigned                   clean:1;      /* final chunk seen */
    unsigned                   half_closed:1;
    unsigned                   released:1;   /* no longer waited for */
    unsigned                   opening:1;    /* counted in ctx->nopening */
    unsigned                   unfit:1;      /* 200, but no chunks */
    unsigned                   in_file:1;    /* its IDBs are written */
    unsigned                   timed_out:1;  /* it did not answer at all */
    unsigned                   cut:1;        /* at the stop, not drained */
    unsigned                   congested:1;  /* a CONGESTED is due */
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


/* A row of the registry, in shared memory. */

typedef struct {
    ngx_queue_t                queue;
    ngx_pid_t                  pid;
    ngx_atomic_t               stop;
    u_char                     id[NGX_PCAP_API_ID_LEN];
    u_char                     user_hash[32];
} ngx_pcap_api_row_t;


struct ngx_pcap_api_ctx_s {
    ngx_http_request_t        *request;
    ngx_pcap_api_loc_conf_t   *conf;
    const ngx_pcap_api_phase_t *phase;       /* the last one has no run() */
    ngx_event_t                timer;
    ngx_event_t                yield;        /* goes on behind other events */
    ngx_uint_t                 turns;        /* since other events had one */
    ngx_http_posted_request_t  posted;

    u_char                     id[NGX_PCAP_API_ID_LEN];
    u_char                     stop_id[NGX_PCAP_API_ID_LEN];
    ngx_str_t                  request_id;
    ngx_str_t                  group;
    ngx_pcap_api_opts_t        opts;

    /* auth */
    ngx_str_t                  token;
    ngx_str_t                  token_encoded;
    u_char                     token_hash[32];
    ngx_pcap_api_identity_t    identity;
    ngx_http_request_t        *introspection;
    ngx_int_t                  reply_status;
    u_char                    *reply;
    size_t                     reply_len;

    /* what fail() says */
    ngx_uint_t                 fail_status;
    ngx_str_t                  fail_detail;
    ngx_uint_t                 retry_after;
    const char                *bearer_error;

    /* agents */
    ngx_pcap_api_agent_t      *agents;
    ngx_uint_t                 nagents;
    ngx_uint_t                 nopened;      /* subrequests started */
    ngx_uint_t                 nopening;     /* and not yet answered */
    ngx_uint_t                 nalive;       /* not closed, not failed */
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
    ngx_uint_t                 nmessages;
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
    ngx_msec_t                 took;         /* client took a byte last */
    ngx_msec_t                 unblocked;    /* client took all last */
    ngx_msec_t                 watched;
    ngx_msec_t                 isb_at;
    ngx_uint_t                 stats_agent;  /* next one to write */
    ngx_uint_t                 stats_iface;
    off_t                      sent;
    ngx_pcap_api_status_e      status;
    ngx_pcap_api_row_t        *row;

    unsigned                   is_posted:1;
    unsigned                   running:1;    /* step() is at work */
    unsigned                   header_sent:1;
    unsigned                   introspected:1;
    unsigned                   reply_whole:1;
    unsigned                   stopping:1;
    unsigned                   limit_hit:1;
    unsigned                   hold:1;
    unsigned                   failed_some:1;
    unsigned                   ended:1;      /* no record will follow */
    unsigned                   judged:1;     /* verdict is at the record */
    unsigned                   finished:1;   /* verdict is in the chain */
    unsigned                   done:1;       /* request is finalized */
    unsigned                   blocked:1;    /* the client takes nothing */
    unsigned                   slot:1;       /* an introspection slot */
};


extern ngx_module_t  ngx_pcap_api_module;

#define ngx_pcap_api_ctx(r)  ngx_http_get_module_ctx(r, ngx_pcap_api_module)


/* module/request.c: phases, refusals, problem documents */

ngx_int_t ngx_pcap_api_handler(ngx_http_request_t *r);
ngx_int_t ngx_pcap_api_problem_handler(ngx_http_request_t *r);

/* Runs main soon, from the posted requests; safe from any handler. */
void ngx_pcap_api_post(ngx_pcap_api_ctx_t *ctx);

/*
 * Takes a turn of work (a step, a batch). NGX_AGAIN: the worker's other
 * connections come first, main will run again behind them. A fast agent and
 * a fast client could keep the posted requests running for ever otherwise.
 */
ngx_int_t ngx_pcap_api_turn(ngx_pcap_api_ctx_t *ctx);

/* Gives the place among the introspections in flight back; idempotent. */
void ngx_pcap_api_give_slot(ngx_pcap_api_ctx_t *ctx);

/*
 * Sets what the refusal will say and returns status, so that a phase can end
 * with `return ngx_pcap_api_refuse(...)`. detail is copied to the pool.
 */
ngx_int_t ngx_pcap_api_refuse(ngx_pcap_api_ctx_t *ctx, ngx_uint_t status,
    const char *fmt, ...);

/* The last request header of that name, or NULL. */
ngx_table_elt_t *ngx_pcap_api_request_header(ngx_http_request_t *r,
    const char *name);

/* Adds a response header; value is kept, not copied. */
ngx_int_t ngx_pcap_api_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/* Copies foreign text: control bytes and broken UTF-8 become "?". */
size_t ngx_pcap_api_clean_text(u_char *dst, size_t max, const u_char *src,
    size_t len);

/*
 * Starts a background subrequest to the internal location uri; its filters
 * and handler find data by post_subrequest. NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_pcap_api_subrequest(ngx_pcap_api_ctx_t *ctx, ngx_str_t *uri,
    ngx_http_post_subrequest_pt handler, void *data,
    ngx_http_request_t **psr);

/*
 * Ends a subrequest whose answer is not wanted: its connection is closed and
 * its done handler will not run. Never from within that subrequest's own
 * filters or handlers.
 */
void ngx_pcap_api_drop_subrequest(ngx_http_request_t *sr);

/* Ends the request: nothing of ctx may be touched after it. */
void ngx_pcap_api_finalize(ngx_pcap_api_ctx_t *ctx, ngx_int_t rc);

/* module/options.c: the query string or the form */

/* NGX_OK or the refusal's status. text is decoded in place. */
ngx_int_t ngx_pcap_api_parse_options(ngx_pcap_api_ctx_t *ctx, u_char *text,
    size_t len);
ngx_int_t ngx_pcap_api_default_options(ngx_pcap_api_ctx_t *ctx);

/* module/auth.c: who asks */

ngx_int_t ngx_pcap_api_take_token(ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_auth_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_introspection_done(ngx_http_request_t *sr, void *data,
    ngx_int_t rc);
ngx_int_t ngx_pcap_api_introspection_body(ngx_http_request_t *sr,
    ngx_chain_t *in);
/* 1 if the identity holds that scope */
ngx_uint_t ngx_pcap_api_has_scope(ngx_pcap_api_identity_t *id,
    ngx_str_t *scope);

/* module/registry.c: shared memory */

ngx_int_t ngx_pcap_api_zone_init(ngx_shm_zone_t *zone, void *data);
void ngx_pcap_api_zone_sweep(ngx_shm_zone_t *zone, ngx_pid_t pid);
/* NGX_OK: *id is filled from the cache (pool memory); NGX_DECLINED: not */
ngx_int_t ngx_pcap_api_cache_get(ngx_shm_zone_t *zone, ngx_pool_t *pool,
    u_char hash[32], ngx_pcap_api_identity_t *id);
void ngx_pcap_api_cache_put(ngx_shm_zone_t *zone, u_char hash[32],
    ngx_pcap_api_identity_t *id, ngx_msec_t ttl);
/* NGX_OK: a slot is taken; NGX_BUSY: rate of the address; NGX_DECLINED: all */
ngx_int_t ngx_pcap_api_slot_take(ngx_shm_zone_t *zone,
    ngx_pcap_api_loc_conf_t *conf, ngx_str_t *addr);
void ngx_pcap_api_slot_free(ngx_shm_zone_t *zone);
/* NGX_OK or NGX_ERROR when the zone is full */
ngx_int_t ngx_pcap_api_row_add(ngx_shm_zone_t *zone, ngx_pcap_api_ctx_t *ctx);
void ngx_pcap_api_row_remove(ngx_shm_zone_t *zone, ngx_pcap_api_row_t *row);
/* NGX_OK, NGX_DECLINED: not there or, for who is no admin, not his */
ngx_int_t ngx_pcap_api_row_stop(ngx_shm_zone_t *zone, u_char *id,
    u_char user_hash[32], ngx_uint_t admin);
void ngx_pcap_api_user_hash(ngx_pcap_api_identity_t *id, u_char hash[32]);

/* module/resolve_static.c: targets from the configuration */

ngx_int_t ngx_pcap_api_resolve_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);

/* module/open.c: the subrequests to agents */

ngx_int_t ngx_pcap_api_open_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_agent_done(ngx_http_request_t *sr, void *data,
    ngx_int_t rc);
ngx_int_t ngx_pcap_api_agent_header(ngx_http_request_t *sr,
    ngx_pcap_api_agent_t *a);
ngx_int_t ngx_pcap_api_agent_body(ngx_http_request_t *sr,
    ngx_pcap_api_agent_t *a, ngx_chain_t *in);
/* Cuts an agent: its connection is closed, what is here stays usable. */
void ngx_pcap_api_agent_abort(ngx_pcap_api_agent_t *a);
/* As abort, with the reason; counts it as failed and tells the client. */
void ngx_pcap_api_agent_fail(ngx_pcap_api_agent_t *a, ngx_pcap_api_msg_e type,
    const char *fmt, ...);
/* Asks the agent to end: shuts down our sending side, nothing else. */
void ngx_pcap_api_agent_half_close(ngx_pcap_api_agent_t *a);
/* Lets nginx read from the agent again. */
void ngx_pcap_api_agent_post(ngx_pcap_api_agent_t *a);

/* Fails an agent whose subrequest ended before it streamed. */
void ngx_pcap_api_agent_refused(ngx_pcap_api_agent_t *a);

/* module/agent.c: scanning what came from one agent */

/* Something of this agent has changed: it is fed when main runs next. */
void ngx_pcap_api_agent_mark(ngx_pcap_api_agent_t *a);
/* Feeds every marked agent: their heads and watermarks are in the merge. */
void ngx_pcap_api_feed_dirty(ngx_pcap_api_ctx_t *ctx);
/*
 * Moves behind the head record, which has been taken, and looks at what
 * follows: NGX_OK with head set, or NGX_AGAIN (feed it later).
 */
ngx_int_t ngx_pcap_api_agent_next(ngx_pcap_api_agent_t *a);
/* Tells the merge, gives buffers back, notices the end; after a change. */
void ngx_pcap_api_agent_settle(ngx_pcap_api_agent_t *a);
/* The client has taken the carry, or it was copied. */
void ngx_pcap_api_agent_carry_free(ngx_pcap_api_agent_t *a);
/* Takes the reports out of what is here and throws the records away. */
void ngx_pcap_api_agent_discard(ngx_pcap_api_agent_t *a);
/*
 * How long the agent's watermark is behind what its own best days promise,
 * in ms; 0 or less when it keeps up.
 */
ngx_msec_int_t ngx_pcap_api_agent_lag(ngx_pcap_api_agent_t *a);
/* Our wall clock, which no step of CLOCK_REALTIME moves during a capture. */
uint64_t ngx_pcap_api_now_ns(ngx_pcap_api_ctx_t *ctx);
uint64_t ngx_pcap_api_wall_base(void);
/* Frees the carry, unless the client still has it. */
void ngx_pcap_api_agent_drop_carry(ngx_pcap_api_agent_t *a);

/* module/stream.c: the merged stream */

ngx_int_t ngx_pcap_api_stream_phase(ngx_http_request_t *r,
    ngx_pcap_api_ctx_t *ctx);
/* Begins the end: intake off at all agents. */
void ngx_pcap_api_stop(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_status_e status,
    ngx_pcap_api_msg_e type, const char *why);
/* Ends at once: a limit that is exact to the record is reached. */
void ngx_pcap_api_limit(ngx_pcap_api_ctx_t *ctx, const char *name);

/* module/output.c: the chain to the client */

/* Room for len bytes in a stage, or NULL until the client has taken some. */
u_char *ngx_pcap_api_reserve(ngx_pcap_api_ctx_t *ctx, size_t len);
/* The reserved bytes [p, p + len) go out. */
ngx_int_t ngx_pcap_api_commit(ngx_pcap_api_ctx_t *ctx, u_char *p, size_t len);
/* A span of the agent's head record goes out where it lies. */
ngx_int_t ngx_pcap_api_span(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a,
    u_char *p, size_t len);
/* Memory of ngx_alloc() goes out and is freed by this room, in any case. */
ngx_int_t ngx_pcap_api_give(ngx_pcap_api_ctx_t *ctx, u_char *memory,
    size_t len);
/* The stages' memory; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_pcap_api_output_init(ngx_pcap_api_ctx_t *ctx);
/* Frees what the client will never take; for the cleanup. */
void ngx_pcap_api_output_free(ngx_pcap_api_ctx_t *ctx);
/* Sends the chain; NGX_OK, NGX_AGAIN (client blocks), NGX_ERROR. */
ngx_int_t ngx_pcap_api_send(ngx_pcap_api_ctx_t *ctx);
/* Takes back what the client has taken. */
void ngx_pcap_api_reap(ngx_pcap_api_ctx_t *ctx);

/* module/blocks.c: what we write ourselves */

ngx_int_t ngx_pcap_api_write_start(ngx_pcap_api_ctx_t *ctx);
/* Queues a message: an ISB now or when there is room, then a comment. */
void ngx_pcap_api_message(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_agent_t *a,
    ngx_pcap_api_msg_e type, const char *fmt, ...);
/* Writes what is queued as far as there is room. */
ngx_int_t ngx_pcap_api_write_messages(ngx_pcap_api_ctx_t *ctx);
ngx_int_t ngx_pcap_api_write_stats(ngx_pcap_api_ctx_t *ctx);
/* The last ISBs of all interfaces and the verdict. */
ngx_int_t ngx_pcap_api_write_end(ngx_pcap_api_ctx_t *ctx);
/* The comments of the next packet: one more. */
void ngx_pcap_api_attach(ngx_pcap_api_ctx_t *ctx, u_char *text, size_t len);
size_t ngx_pcap_api_verdict(ngx_pcap_api_ctx_t *ctx, u_char *dst, size_t max);
uint64_t ngx_pcap_api_dropped(ngx_pcap_api_ctx_t *ctx);
extern const char *const ngx_pcap_api_status_names[];
extern const char *const ngx_pcap_api_msg_names[];

/* ngx_pcap_api_module.c: the rest of the filter chain */

ngx_int_t ngx_pcap_api_next_body(ngx_http_request_t *r, ngx_chain_t *in);


#endif /* NGX_PCAP_API_MODULE_H */
