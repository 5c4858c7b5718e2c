/*
 * module/shm.h: what lies in the zone, for the rooms that keep something there:
 * zone.c, sweep.c, cache.c, slots.c, meters.c, registry.c, snapshot.c,
 * limits.c, token_slot.c, ledger.c, metrics.c, grant.c, kube_share.c.
 *
 * Nothing in the zone points to memory outside of it. The mutex is held for
 * copying in and out only: no logging, no pool and no return without unlock
 * in between. Functions that say "under the lock" are called with it.
 */

#ifndef NGX_PCAP_API_SHM_H
#define NGX_PCAP_API_SHM_H

#include "ngx_pcap_api_module.h"


/* A verdict: the texts stand behind the node, id then name then scopes. */

typedef struct {
    ngx_rbtree_node_t   node;      /* key: the first bytes of hash */
    ngx_queue_t         queue;     /* oldest last */
    u_char              hash[32];
    ngx_msec_t          expires;   /* ngx_current_msec */
    time_t              exp;
    ngx_uint_t          active;
    uint16_t            id_len;
    uint16_t            name_len;
    uint16_t            scopes_len;
    u_char              data[1];
} ngx_pcap_api_verdict_t;

/* Slots of introspections in flight, by worker, so that they can be swept. */

#define NGX_PCAP_API_MAX_INFLIGHT  1024

/* Downloads and removals of files, by worker, too; see kube_share.c. */

#define NGX_PCAP_API_MAX_SHARES    1024

typedef struct {
    ngx_pid_t               pid;           /* 0: a free place */
    uint64_t                user;          /* ngx_pcap_api_user_key() */
} ngx_pcap_api_kube_share_t;

/*
 * Captures that have ended, so that a successor may name them: the rows they
 * had while they ran, so that ending one needs no memory. Above the bound
 * the oldest of the user who has most is forgotten early.
 */

#define NGX_PCAP_API_MAX_ENDED   1024
#define NGX_PCAP_API_ENDED_KEPT  600      /* seconds */

/*
 * Those of a user: of one in so many users, to be exact, by their digests,
 * which nobody can choose.
 */

#define NGX_PCAP_API_KINS        256

typedef enum {
    NGX_PCAP_API_KIN_ROWS = 0,
    NGX_PCAP_API_KIN_BYTES,
    NGX_PCAP_API_NKIN
} ngx_pcap_api_kin_e;

typedef struct {
    ngx_queue_t             rows;          /* oldest first */
    size_t                  held[NGX_PCAP_API_NKIN];
} ngx_pcap_api_kin_t;

/*
 * Whose things are whose: a worker by its place among nginx's processes. A
 * number of a process comes again, with its start time it does not.
 */

typedef struct {
    ngx_pid_t               pid;           /* 0: nobody */
    uint64_t                born;          /* clock ticks; 0: not known */
} ngx_pcap_api_worker_t;

/* A capture that its store has not yet asked for; see grant.c. */

typedef struct {
    ngx_queue_t             queue;
    u_char                  key[32];       /* digest of the secret */
    u_char                  id[NGX_PCAP_API_ID_LEN];
    u_char                  env[32];
    u_char                  user_hash[32];
    ngx_msec_t              expires;       /* ngx_current_msec */
    size_t                  len;
    u_char                  data[1];
} ngx_pcap_api_grant_t;

typedef struct {
    ngx_queue_t             rows;
    ngx_queue_t             grants;        /* oldest first */
    ngx_queue_t             ended;         /* oldest first */
    ngx_uint_t              nended;
    ngx_pcap_api_kin_t      kins[NGX_PCAP_API_KINS];
    uint16_t               *ranks;         /* of pages: see zone.c */
    ngx_pcap_api_counters_t counters;      /* changed without the lock */
    ngx_pcap_api_worker_t   workers[NGX_MAX_PROCESSES];
    ngx_msec_t              swept;         /* looked for dead ones */
    ngx_rbtree_t            verdicts;
    ngx_rbtree_node_t       sentinel;
    ngx_queue_t             verdict_queue;
    ngx_pid_t               inflight[NGX_PCAP_API_MAX_INFLIGHT];
    ngx_pcap_api_kube_share_t  shares[NGX_PCAP_API_MAX_SHARES];
    ngx_pcap_api_meters_t   introspections;  /* by address */
    ngx_pcap_api_meters_t   addresses;
    ngx_pcap_api_meters_t   users;
} ngx_pcap_api_shm_t;


static ngx_inline ngx_slab_pool_t *
ngx_pcap_api_shpool(ngx_shm_zone_t *zone)
{
    return (ngx_slab_pool_t *) zone->shm.addr;
}


/* The root is found through the slab pool: zone->data is the configuration. */
static ngx_inline ngx_pcap_api_shm_t *
ngx_pcap_api_shm(ngx_shm_zone_t *zone)
{
    return ngx_pcap_api_shpool(zone)->data;
}


/* The zone of the cycle, or NULL. */
ngx_shm_zone_t *ngx_pcap_api_cycle_zone(ngx_cycle_t *cycle);

/*
 * module/zone.c; under the lock: zeroed memory, for which ended captures, then
 * verdicts give way, if that helps; NULL: there is none.
 */
void *ngx_pcap_api_shm_alloc(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    size_t size);
/* A row that ended just now is one of its user's. */
void ngx_pcap_api_kin_add(ngx_pcap_api_shm_t *sh, ngx_pcap_api_row_t *row);
void ngx_pcap_api_kin_remove(ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_row_t *row);
/* The oldest ended row of the user who has most of what; NULL: none at all. */
ngx_pcap_api_row_t *ngx_pcap_api_kin_oldest(ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_kin_e what);

/* module/cache.c; under the lock */
/* Those at the old end that have run out go; returns how many. */
ngx_uint_t ngx_pcap_api_verdicts_expire(ngx_slab_pool_t *shpool,
    ngx_pcap_api_shm_t *sh);
void ngx_pcap_api_verdict_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
void ngx_pcap_api_verdict_delete(ngx_slab_pool_t *shpool,
    ngx_pcap_api_shm_t *sh, ngx_pcap_api_verdict_t *v);

/* module/meters.c; under the lock */
/* Charges a request; NGX_BUSY: there is no room for it. */
ngx_int_t ngx_pcap_api_meter_charge(ngx_pcap_api_meters_t *meters,
    uint64_t key, ngx_pcap_api_rate_t *rate);
/* As if it had been cost requests more, whether there is room or not. */
void ngx_pcap_api_meter_fine(ngx_pcap_api_meters_t *meters, uint64_t key,
    ngx_pcap_api_rate_t *rate, ngx_uint_t cost);
/*
 * Never 0; exact, so that no address stands for another. An IPv6 client has
 * its /64. Needs no lock.
 */
uint64_t ngx_pcap_api_address_key(struct sockaddr *sa);

/* module/snapshot.c; under the lock */
/* dst is row, with its texts in text, which has row->text_len bytes. */
void ngx_pcap_api_row_copy(ngx_pcap_api_row_t *dst, u_char *text,
    ngx_pcap_api_row_t *row);
/*
 * module/limits.c; under the lock: may a capture be added to the rows? NGX_OK,
 * or NGX_BUSY, which ngx_pcap_api_not_admitted() says behind it. When *before
 * is set, that predecessor's place is to be handed to it.
 */
ngx_int_t ngx_pcap_api_admit(ngx_pcap_api_shm_t *sh, ngx_pcap_api_ctx_t *ctx,
    u_char user_hash[32], ngx_pcap_api_row_t **before);
void ngx_pcap_api_place_hand(ngx_pcap_api_row_t *before,
    ngx_pcap_api_row_t *row);
/* The predecessor whose place row has, running; NULL: it has its own. */
ngx_pcap_api_row_t *ngx_pcap_api_place_owner(ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_row_t *row);
/* row is over: if it has its predecessor's place, that one has it again. */
void ngx_pcap_api_place_give_back(ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_row_t *row);
/* Predecessors that were to be gone by now are to stop. */
void ngx_pcap_api_places_overdue(ngx_pcap_api_shm_t *sh);
/* module/grant.c; under the lock: those whose time is over go. */
void ngx_pcap_api_grants_expire(ngx_slab_pool_t *shpool,
    ngx_pcap_api_shm_t *sh);
/* module/token_slot.c; under the lock: wipes and frees what nobody read. */
void ngx_pcap_api_token_wipe(ngx_slab_pool_t *shpool,
    ngx_pcap_api_row_t *row);

/* module/registry.c; under the lock */
/* May the caller see it, and is it his own? */
ngx_uint_t ngx_pcap_api_row_of_user(ngx_pcap_api_row_t *row,
    ngx_pcap_api_ctx_t *ctx, u_char user_hash[32]);
ngx_uint_t ngx_pcap_api_row_visible(ngx_pcap_api_row_t *row,
    ngx_pcap_api_ctx_t *ctx, u_char user_hash[32], ngx_uint_t admin);
/* The running or ended row of that capture, or NULL. */
ngx_pcap_api_row_t *ngx_pcap_api_row_find(ngx_pcap_api_shm_t *sh,
    u_char *id);
/* Ended rows that are too old are forgotten. */
void ngx_pcap_api_rows_expire(ngx_slab_pool_t *shpool,
    ngx_pcap_api_shm_t *sh);
/* From the running to the ended ones. */
void ngx_pcap_api_row_end(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_row_t *row);
/* An ended row is forgotten. */
void ngx_pcap_api_row_forget(ngx_slab_pool_t *shpool,
    ngx_pcap_api_shm_t *sh, ngx_pcap_api_row_t *row);

/* module/registry.c; without the lock: who asks, as rows know him. */
void ngx_pcap_api_user_hash(ngx_pcap_api_identity_t *id, u_char hash[32]);


#endif /* NGX_PCAP_API_SHM_H */
