/*
 * module/rights.h: what the rooms that look after captures over time keep: the
 * right that is asked for again (rights.c), the fresh token on its way to the
 * worker that needs it (token_slot.c), the end of this process (drain.c).
 * Included by ngx_pcap_api_module.h.
 */

#ifndef NGX_PCAP_API_RIGHTS_H
#define NGX_PCAP_API_RIGHTS_H


/* Of a location. */

typedef struct {
    ngx_msec_t                 every;        /* 0: never */
    ngx_msec_t                 max_age;      /* without a valid token */
} ngx_pcap_api_rights_conf_t;

/* Of a capture. */

typedef struct {
    struct ngx_pcap_api_ctx_s *check;        /* is under way, or NULL */
    ngx_str_t                  token;        /* fresh, heap; none: the first */
    time_t                     exp;          /* of the token; 0: not given */
    time_t                     until;        /* is it good for; 0: no end */
    ngx_msec_t                 due;
    ngx_msec_t                 failing;      /* since when, if is_failing */
    unsigned                   is_failing:1; /* nobody could tell, lately */
} ngx_pcap_api_rights_t;

/* Of a row; the data lies in the zone and is wiped before it is freed. */

typedef struct {
    u_char                    *data;         /* NULL: none */
    size_t                     len;
    time_t                     exp;          /* 0: not given */
} ngx_pcap_api_token_slot_t;


/* What the processes of all configurations that follow one another share. */

typedef struct {
    ngx_atomic_t               generation;   /* of the newest configuration */
    ngx_atomic_t               quitting;     /* the newest one's workers go */
    ngx_atomic_t               missed;       /* lines of the audit log */
} ngx_pcap_api_drain_page_t;

/* Of a configuration; what is below page is the worker's. */

typedef struct {
    ngx_msec_t                 timeout;
    ngx_cycle_t               *cycle;        /* while it is read */
    ngx_atomic_uint_t          generation;
    ngx_pcap_api_drain_page_t *page;
    ngx_msec_t                 since;        /* we drain, if is_draining */
    ngx_msec_t                 told;         /* to leave, if is_told */
    unsigned                   is_draining:1;
    unsigned                   is_told:1;
} ngx_pcap_api_drain_conf_t;


#endif /* NGX_PCAP_API_RIGHTS_H */
