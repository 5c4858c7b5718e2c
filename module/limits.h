/*
 * module/limits.h: the types of what a request, a user and a worker may use
 * up: the directives, what a capture has left of them, and the meters in
 * shared memory. Included by ngx_pcap_api_module.h; what the rooms do is in
 * module/rooms.h.
 */

#ifndef NGX_PCAP_API_LIMITS_H
#define NGX_PCAP_API_LIMITS_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* A value of a limit; 0 is "off" in all of them. */

#define NGX_PCAP_API_LIMIT_UNSET  ((uint64_t) -1)

typedef enum {
    NGX_PCAP_API_UNIT_NUMBER = 0,
    NGX_PCAP_API_UNIT_SIZE,        /* bytes: k, m, g */
    NGX_PCAP_API_UNIT_TIME         /* kept in ms */
} ngx_pcap_api_unit_e;

/* What the setter of a limit takes; "off" is no value of those with on. */

typedef struct {
    ngx_pcap_api_unit_e        unit;
    uint64_t                   min;
    uint64_t                   max;
    ngx_uint_t                 on;           /* unsigned  on:1 */
    const char                *allowed;
} ngx_pcap_api_limit_kind_t;

/* Requests per second and how many at once; rate 0: any. */

typedef struct {
    ngx_uint_t                 rate;
    ngx_uint_t                 burst;
} ngx_pcap_api_rate_t;

/* "DEPLOYMENT[/GROUP]", each with "*" for any text. */

typedef struct {
    ngx_str_t                  deployment;
    ngx_str_t                  group;        /* empty: all of them */
} ngx_pcap_api_exclude_t;


/* The directives of a location. */

typedef struct {
    uint64_t                   per_user;     /* captures at once */
    uint64_t                   max_duration; /* ms */
    uint64_t                   max_bytes;
    uint64_t                   max_packets;
    uint64_t                   bandwidth;    /* bytes per second */
    uint64_t                   idle_timeout; /* ms */
    uint64_t                   failed_cost;  /* requests */
    ngx_pcap_api_rate_t        introspection_rate;
    ngx_pcap_api_rate_t        address_rate;
    ngx_pcap_api_rate_t        user_rate;
    uint64_t                   max_snaplen;  /* of resolvers not named */
    uint64_t                   snaplens[NGX_PCAP_API_RESOLVERS];
    ngx_uint_t                 reason;       /* bit N: of resolver N */
    ngx_array_t               *bosh_exclude; /* ngx_pcap_api_exclude_t */
} ngx_pcap_api_limits_t;

/*
 * What the captures of one worker share. Only that worker has it: it lies in
 * its own copy of the configuration.
 */

typedef struct {
    ngx_queue_t                captures;     /* ngx_pcap_api_pace_t */
    ngx_uint_t                 ncaptures;
    ngx_uint_t                 nagents;      /* asked, of all captures */
    ngx_msec_t                 at;           /* measured last */
    uint64_t                   cpu_ns;       /* of the process, then */
    uint64_t                   wall_ns;
    ngx_uint_t                 load;         /* of a core, per mille */
    uint64_t                   capacity;     /* bytes/s by CPU; 0: any */
    uint64_t                   level;        /* bytes/s of one; 0: any */
} ngx_pcap_api_share_t;

/* The directives of all workers, or of each worker as a whole. */

typedef struct {
    uint64_t                   captures;     /* in all workers */
    uint64_t                   bandwidth;    /* bytes per second */
    uint64_t                   cpu;          /* per cent of a core */
    ngx_pcap_api_share_t      *worker;
} ngx_pcap_api_limits_main_t;


/* How fast a capture may go on: what it has left, in 1/1000 bytes. */

typedef struct {
    ngx_queue_t                queue;        /* in the worker's */
    ngx_pcap_api_share_t      *worker;       /* NULL: not in it */
    ngx_uint_t                 nagents;      /* counted in the worker's */
    ngx_msec_t                 at;           /* filled up last */
    ngx_msec_t                 told;         /* that it is held back */
    int64_t                    own;          /* of pcap_api_bandwidth */
    int64_t                    share;        /* of the worker's level */
    uint64_t                   bandwidth;
    uint64_t                   used;         /* bytes since the measure */
    uint64_t                   rate;         /* bytes/s, smoothed */
    uint64_t                   to;           /* bytes/s, held back to */
    size_t                     allowance;    /* bytes of the next batch */

    unsigned                   throttled:1;  /* it may send nothing now */
    unsigned                   by_own:1;     /* by which of the two */
    unsigned                   held_own:1;   /* since the measure */
    unsigned                   held_share:1;
    unsigned                   tell:1;       /* a message is due */
    unsigned                   has_told:1;
} ngx_pcap_api_pace_t;


/* What a capture has from the server's limits. */

#define NGX_PCAP_API_SET_DURATION  1
#define NGX_PCAP_API_SET_BYTES     2
#define NGX_PCAP_API_SET_PACKETS   4
#define NGX_PCAP_API_SET_SNAPLEN   8

typedef struct {
    ngx_uint_t                 set;          /* NGX_PCAP_API_SET_... */
    uint64_t                   running;      /* why admit() said no */
    uint64_t                   allowed;
    const char                *directive;
    ngx_uint_t                 yours;        /* unsigned  yours:1 */
    uint64_t                   packets;      /* when it was looked at */
    ngx_msec_t                 active;       /* the last packet */
    ngx_str_t                  text;         /* X-Pcap-Limits */
    struct sockaddr           *counted;      /* NULL: not yet known */
    u_char                     detail[64];
} ngx_pcap_api_limited_t;


/*
 * Meters of requests, of users or of addresses, in sets of eight by hash; the
 * one least recently used of a set gives way, so the table is bounded.
 */

#define NGX_PCAP_API_METER_SETS  128
#define NGX_PCAP_API_METER_WAYS  8

typedef struct {
    uint64_t                   key;          /* 0: free */
    ngx_msec_t                 last;
    ngx_uint_t                 excess;       /* 1/1000 requests */
} ngx_pcap_api_meter_t;

typedef ngx_pcap_api_meter_t
    ngx_pcap_api_meters_t[NGX_PCAP_API_METER_SETS][NGX_PCAP_API_METER_WAYS];


#endif /* NGX_PCAP_API_LIMITS_H */
