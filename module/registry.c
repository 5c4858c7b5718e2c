/*
 * module/registry.c: what the workers share. One zone holds the rows of
 * running captures and of those that ended lately, the cache of token verdicts
 * and the counters that limit introspection.
 *
 * Nothing in the zone points to memory outside of it. The mutex is held for
 * copying in and out only: no logging, no pool and no return without unlock
 * in between. A crashed worker may leave rows: they carry its pid and are
 * swept when its successor starts.
 */

#include "ngx_pcap_api_module.h"

#include <openssl/evp.h>


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

/*
 * Token buckets of client addresses, in sets of four; the bucket least
 * recently used gives way. So the table is bounded, and whoever floods it
 * from many addresses still meets the limit of introspections in flight.
 */

#define NGX_PCAP_API_BUCKET_SETS  256
#define NGX_PCAP_API_BUCKET_WAYS  4

typedef struct {
    uint32_t            key;       /* 0: free */
    ngx_msec_t          last;
    ngx_uint_t          excess;    /* in thousandths of a request */
} ngx_pcap_api_bucket_t;

/* Slots of introspections in flight, by worker, so that they can be swept. */

#define NGX_PCAP_API_MAX_INFLIGHT  1024

/*
 * Captures that have ended, so that a successor may name them: the rows they
 * had while they ran, so that ending one needs no memory. Above the bound
 * the oldest is forgotten early.
 */

#define NGX_PCAP_API_MAX_ENDED   1024
#define NGX_PCAP_API_ENDED_KEPT  600      /* seconds */

typedef struct {
    ngx_queue_t             rows;
    ngx_queue_t             ended;         /* oldest first */
    ngx_uint_t              nended;
    ngx_rbtree_t            verdicts;
    ngx_rbtree_node_t       sentinel;
    ngx_queue_t             verdict_queue;
    ngx_pid_t               inflight[NGX_PCAP_API_MAX_INFLIGHT];
    ngx_pcap_api_bucket_t   buckets[NGX_PCAP_API_BUCKET_SETS]
                                   [NGX_PCAP_API_BUCKET_WAYS];
} ngx_pcap_api_shm_t;


static void ngx_pcap_api_row_end(ngx_slab_pool_t *shpool,
    ngx_pcap_api_shm_t *sh, ngx_pcap_api_row_t *row);
static void ngx_pcap_api_verdict_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static void ngx_pcap_api_verdict_delete(ngx_slab_pool_t *shpool,
    ngx_pcap_api_shm_t *sh, ngx_pcap_api_verdict_t *v);


static ngx_slab_pool_t *
ngx_pcap_api_shpool(ngx_shm_zone_t *zone)
{
    return (ngx_slab_pool_t *) zone->shm.addr;
}


/* The root is found through the slab pool: zone->data is the configuration. */
static ngx_pcap_api_shm_t *
ngx_pcap_api_shm(ngx_shm_zone_t *zone)
{
    return ngx_pcap_api_shpool(zone)->data;
}


ngx_int_t
ngx_pcap_api_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);

    if (data || zone->shm.exists) {
        return NGX_OK;                     /* a reload keeps what is there */
    }

    sh = ngx_slab_calloc(shpool, sizeof(ngx_pcap_api_shm_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&sh->rows);
    ngx_queue_init(&sh->ended);
    ngx_queue_init(&sh->verdict_queue);
    ngx_rbtree_init(&sh->verdicts, &sh->sentinel,
                    ngx_pcap_api_verdict_insert);

    shpool->data = sh;
    shpool->log_nomem = 0;

    return NGX_OK;
}


/*
 * Removes what a worker left: pid, or for 0 every worker that is gone.
 */
void
ngx_pcap_api_zone_sweep(ngx_shm_zone_t *zone, ngx_pid_t pid)
{
    ngx_uint_t           i;
    ngx_queue_t         *q, *next;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t  *row;
    ngx_pcap_api_shm_t  *sh;

#define ngx_pcap_api_gone(p)                                                  \
    (pid ? (p) == pid : ((p) != ngx_pid && kill(p, 0) == -1                   \
                         && ngx_errno == NGX_ESRCH))

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_shmtx_lock(&shpool->mutex);

    for (q = ngx_queue_head(&sh->rows);
         q != ngx_queue_sentinel(&sh->rows);
         q = next)
    {
        next = ngx_queue_next(q);
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (ngx_pcap_api_gone(row->pid)) {
            ngx_pcap_api_row_end(shpool, sh, row);
        }
    }

    for (i = 0; i < NGX_PCAP_API_MAX_INFLIGHT; i++) {
        if (sh->inflight[i] && ngx_pcap_api_gone(sh->inflight[i])) {
            sh->inflight[i] = 0;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


static uint32_t
ngx_pcap_api_hash_key(u_char hash[32])
{
    uint32_t  key;

    ngx_memcpy(&key, hash, sizeof(uint32_t));

    return key;
}


static void
ngx_pcap_api_verdict_insert(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t      **p;
    ngx_pcap_api_verdict_t  *v, *t;

    v = (ngx_pcap_api_verdict_t *) node;

    for ( ;; ) {
        t = (ngx_pcap_api_verdict_t *) temp;

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            p = (ngx_memcmp(v->hash, t->hash, 32) < 0) ? &temp->left
                                                       : &temp->right;
        }

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


static ngx_pcap_api_verdict_t *
ngx_pcap_api_verdict_find(ngx_pcap_api_shm_t *sh, u_char hash[32])
{
    ngx_int_t                rc;
    uint32_t                 key;
    ngx_rbtree_node_t       *node, *sentinel;
    ngx_pcap_api_verdict_t  *v;

    key = ngx_pcap_api_hash_key(hash);
    node = sh->verdicts.root;
    sentinel = sh->verdicts.sentinel;

    while (node != sentinel) {

        if (key != node->key) {
            node = (key < node->key) ? node->left : node->right;
            continue;
        }

        v = (ngx_pcap_api_verdict_t *) node;
        rc = ngx_memcmp(hash, v->hash, 32);

        if (rc == 0) {
            return v;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
}


static void
ngx_pcap_api_verdict_delete(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_verdict_t *v)
{
    ngx_rbtree_delete(&sh->verdicts, &v->node);
    ngx_queue_remove(&v->queue);
    ngx_slab_free_locked(shpool, v);
}


ngx_int_t
ngx_pcap_api_cache_get(ngx_shm_zone_t *zone, ngx_pool_t *pool,
    u_char hash[32], ngx_pcap_api_identity_t *id)
{
    u_char                  *p;
    ngx_slab_pool_t         *shpool;
    ngx_pcap_api_shm_t      *sh;
    ngx_pcap_api_verdict_t  *v;

    /* the pool is not asked under the lock: room for the largest verdict */
    p = ngx_pnalloc(pool, 2 * NGX_PCAP_API_USER_LEN + NGX_PCAP_API_MAX_SCOPES);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_shmtx_lock(&shpool->mutex);

    v = ngx_pcap_api_verdict_find(sh, hash);

    if (v != NULL
        && ((ngx_msec_int_t) (v->expires - ngx_current_msec) <= 0
            || (v->active && v->exp && v->exp <= ngx_time())))
    {
        ngx_pcap_api_verdict_delete(shpool, sh, v);
        v = NULL;
    }

    if (v == NULL) {
        ngx_shmtx_unlock(&shpool->mutex);
        return NGX_DECLINED;
    }

    ngx_memcpy(p, v->data, v->id_len + v->name_len + v->scopes_len);
    id->active = v->active;
    id->exp = v->exp;
    id->id.len = v->id_len;
    id->name.len = v->name_len;
    id->scopes.len = v->scopes_len;

    ngx_shmtx_unlock(&shpool->mutex);

    id->id.data = p;
    id->name.data = p + id->id.len;
    id->scopes.data = id->name.data + id->name.len;

    return NGX_OK;
}


/* The oldest verdicts give way until there is room. */
static ngx_pcap_api_verdict_t *
ngx_pcap_api_verdict_alloc(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    size_t size)
{
    ngx_queue_t             *q;
    ngx_pcap_api_verdict_t  *v;

    for ( ;; ) {
        v = ngx_slab_alloc_locked(shpool, size);

        if (v != NULL || ngx_queue_empty(&sh->verdict_queue)) {
            return v;
        }

        q = ngx_queue_last(&sh->verdict_queue);
        ngx_pcap_api_verdict_delete(shpool, sh,
                          ngx_queue_data(q, ngx_pcap_api_verdict_t, queue));
    }
}


/* An empty one has no data, which memcpy() must not be given. */
static u_char *
ngx_pcap_api_copy_str(u_char *p, ngx_str_t *s)
{
    return s->len ? ngx_cpymem(p, s->data, s->len) : p;
}


void
ngx_pcap_api_cache_put(ngx_shm_zone_t *zone, u_char hash[32],
    ngx_pcap_api_identity_t *id, ngx_msec_t ttl)
{
    size_t                   size;
    u_char                  *p;
    ngx_slab_pool_t         *shpool;
    ngx_pcap_api_shm_t      *sh;
    ngx_pcap_api_verdict_t  *v;

    if (ttl == 0
        || id->id.len > NGX_PCAP_API_USER_LEN
        || id->name.len > NGX_PCAP_API_USER_LEN
        || id->scopes.len > NGX_PCAP_API_MAX_SCOPES)
    {
        return;
    }

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);
    size = offsetof(ngx_pcap_api_verdict_t, data)
           + id->id.len + id->name.len + id->scopes.len + 1;

    ngx_shmtx_lock(&shpool->mutex);

    v = ngx_pcap_api_verdict_find(sh, hash);
    if (v != NULL) {
        ngx_pcap_api_verdict_delete(shpool, sh, v);
    }

    v = ngx_pcap_api_verdict_alloc(shpool, sh, size);

    if (v != NULL) {
        ngx_memcpy(v->hash, hash, 32);
        v->node.key = ngx_pcap_api_hash_key(hash);
        v->expires = ngx_current_msec + ttl;
        v->exp = id->exp;
        v->active = id->active;
        v->id_len = (uint16_t) id->id.len;
        v->name_len = (uint16_t) id->name.len;
        v->scopes_len = (uint16_t) id->scopes.len;

        p = ngx_pcap_api_copy_str(v->data, &id->id);
        p = ngx_pcap_api_copy_str(p, &id->name);
        (void) ngx_pcap_api_copy_str(p, &id->scopes);

        ngx_rbtree_insert(&sh->verdicts, &v->node);
        ngx_queue_insert_head(&sh->verdict_queue, &v->queue);
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


/* Takes one request out of the bucket of addr; under the lock. */
static ngx_uint_t
ngx_pcap_api_bucket_take(ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_loc_conf_t *conf, uint32_t key)
{
    ngx_uint_t              i;
    ngx_msec_int_t          ms;
    ngx_pcap_api_bucket_t  *set, *b;

    set = sh->buckets[key % NGX_PCAP_API_BUCKET_SETS];
    b = NULL;

    for (i = 0; i < NGX_PCAP_API_BUCKET_WAYS; i++) {
        if (set[i].key == key) {
            b = &set[i];
            break;
        }
    }

    if (b == NULL) {
        b = set;

        for (i = 1; i < NGX_PCAP_API_BUCKET_WAYS; i++) {
            if (set[i].key == 0
                || (b->key != 0
                    && (ngx_msec_int_t) (set[i].last - b->last) < 0))
            {
                b = &set[i];
            }
        }

        b->key = key;
        b->excess = 0;
        b->last = ngx_current_msec;
    }

    ms = (ngx_msec_int_t) (ngx_current_msec - b->last);

    if (ms > 0) {
        i = ngx_min((ngx_uint_t) ms, 3600000) * conf->rate;
        b->excess = (b->excess > i) ? b->excess - i : 0;
        b->last = ngx_current_msec;
    }

    if (b->excess + 1000 > conf->burst * 1000) {
        return 0;
    }

    b->excess += 1000;

    return 1;
}


/* An IPv6 client owns its whole /64. */
static uint32_t
ngx_pcap_api_client_key(struct sockaddr *sa)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;

    if (sa->sa_family == AF_INET6) {
        sin6 = (struct sockaddr_in6 *) sa;

        return IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)
               ? ngx_crc32_short(&sin6->sin6_addr.s6_addr[12], 4) | 1
               : ngx_crc32_short(sin6->sin6_addr.s6_addr, 8) | 1;
    }
#endif

    if (sa->sa_family != AF_INET) {
        return 1;                          /* all of a unix socket */
    }

    sin = (struct sockaddr_in *) sa;

    return ngx_crc32_short((u_char *) &sin->sin_addr, 4) | 1;
}


ngx_int_t
ngx_pcap_api_slot_take(ngx_shm_zone_t *zone, ngx_pcap_api_loc_conf_t *conf,
    struct sockaddr *sa)
{
    uint32_t             key;
    ngx_int_t            rc;
    ngx_uint_t           i, used, place;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);
    key = ngx_pcap_api_client_key(sa);

    used = 0;
    place = NGX_PCAP_API_MAX_INFLIGHT;
    rc = NGX_OK;

    ngx_shmtx_lock(&shpool->mutex);

    if (!ngx_pcap_api_bucket_take(sh, conf, key)) {
        rc = NGX_BUSY;
        goto done;
    }

    for (i = 0; i < NGX_PCAP_API_MAX_INFLIGHT; i++) {
        if (sh->inflight[i]) {
            used++;

        } else if (place == NGX_PCAP_API_MAX_INFLIGHT) {
            place = i;
        }
    }

    if (used >= conf->inflight || place == NGX_PCAP_API_MAX_INFLIGHT) {
        rc = NGX_DECLINED;
        goto done;
    }

    sh->inflight[place] = ngx_pid;

done:

    ngx_shmtx_unlock(&shpool->mutex);

    return rc;
}


void
ngx_pcap_api_slot_free(ngx_shm_zone_t *zone)
{
    ngx_uint_t           i;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_shmtx_lock(&shpool->mutex);

    for (i = 0; i < NGX_PCAP_API_MAX_INFLIGHT; i++) {
        if (sh->inflight[i] == ngx_pid) {
            sh->inflight[i] = 0;
            break;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


static void
ngx_pcap_api_user_hash(ngx_pcap_api_identity_t *id, u_char hash[32])
{
    ngx_memzero(hash, 32);
    (void) EVP_Digest(id->id.data, id->id.len, hash, NULL, EVP_sha256(),
                      NULL);
}


/* What is captured: a group, a deployment; not which instances of it. */
static void
ngx_pcap_api_what_hash(ngx_pcap_api_ctx_t *ctx, u_char hash[32])
{
    ngx_memzero(hash, 32);
    (void) EVP_Digest(ctx->group.data, ctx->group.len, hash, NULL,
                      EVP_sha256(), NULL);
    hash[0] ^= (u_char) ctx->resolver->number;
}


/* A user is one of an environment: another one may use the same ids. */
static ngx_uint_t
ngx_pcap_api_row_of_user(ngx_pcap_api_row_t *row, ngx_pcap_api_ctx_t *ctx,
    u_char user_hash[32])
{
    return ngx_memcmp(row->env, ctx->conf->env, 32) == 0
           && ngx_memcmp(row->user_hash, user_hash, 32) == 0;
}


/* The row that ended first is forgotten; under the lock. */
static void
ngx_pcap_api_row_forget(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh)
{
    ngx_queue_t  *q;

    q = ngx_queue_head(&sh->ended);
    ngx_queue_remove(q);
    sh->nended--;
    ngx_slab_free_locked(shpool,
                         ngx_queue_data(q, ngx_pcap_api_row_t, queue));
}


/* From the running to the ended ones; under the lock. */
static void
ngx_pcap_api_row_end(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh,
    ngx_pcap_api_row_t *row)
{
    ngx_queue_remove(&row->queue);

    row->ended = ngx_time();
    ngx_queue_insert_tail(&sh->ended, &row->queue);

    if (++sh->nended > NGX_PCAP_API_MAX_ENDED) {
        ngx_pcap_api_row_forget(shpool, sh);
    }
}


ngx_int_t
ngx_pcap_api_row_add(ngx_shm_zone_t *zone, ngx_pcap_api_ctx_t *ctx)
{
    u_char               hash[32], what[32];
    ngx_queue_t         *q;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t  *row;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_pcap_api_user_hash(&ctx->identity, hash);
    ngx_pcap_api_what_hash(ctx, what);

    ngx_shmtx_lock(&shpool->mutex);

    /* a capture is worth more than a verdict that can be asked for again */

    for ( ;; ) {
        row = ngx_slab_calloc_locked(shpool, sizeof(ngx_pcap_api_row_t));

        if (row != NULL) {
            break;
        }

        if (sh->nended) {
            ngx_pcap_api_row_forget(shpool, sh);
            continue;
        }

        if (ngx_queue_empty(&sh->verdict_queue)) {
            break;
        }

        q = ngx_queue_last(&sh->verdict_queue);
        ngx_pcap_api_verdict_delete(shpool, sh,
                          ngx_queue_data(q, ngx_pcap_api_verdict_t, queue));
    }

    if (row != NULL) {
        row->pid = ngx_pid;
        ngx_memcpy(row->id, ctx->id, NGX_PCAP_API_ID_LEN);
        ngx_memcpy(row->env, ctx->conf->env, 32);
        ngx_memcpy(row->user_hash, hash, 32);
        ngx_memcpy(row->what, what, 32);
        ngx_queue_insert_tail(&sh->rows, &row->queue);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    ctx->row = row;

    return row ? NGX_OK : NGX_ERROR;
}


void
ngx_pcap_api_row_remove(ngx_shm_zone_t *zone, ngx_pcap_api_row_t *row)
{
    ngx_slab_pool_t  *shpool;

    shpool = ngx_pcap_api_shpool(zone);

    ngx_shmtx_lock(&shpool->mutex);

    ngx_pcap_api_row_end(shpool, ngx_pcap_api_shm(zone), row);

    ngx_shmtx_unlock(&shpool->mutex);
}


/* The row of that capture, or NULL; under the lock. */
static ngx_pcap_api_row_t *
ngx_pcap_api_row_find(ngx_queue_t *rows, u_char *id)
{
    ngx_queue_t         *q;
    ngx_pcap_api_row_t  *row;

    for (q = ngx_queue_head(rows);
         q != ngx_queue_sentinel(rows);
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (ngx_memcmp(row->id, id, NGX_PCAP_API_ID_LEN) == 0) {
            return row;
        }
    }

    return NULL;
}


ngx_int_t
ngx_pcap_api_row_known(ngx_shm_zone_t *zone, ngx_pcap_api_ctx_t *ctx,
    u_char *id)
{
    u_char               hash[32], what[32];
    ngx_int_t            rc;
    ngx_queue_t         *q;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t  *row;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_pcap_api_user_hash(&ctx->identity, hash);
    ngx_pcap_api_what_hash(ctx, what);
    rc = NGX_DECLINED;

    ngx_shmtx_lock(&shpool->mutex);

    while (!ngx_queue_empty(&sh->ended)) {
        q = ngx_queue_head(&sh->ended);
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (ngx_time() - row->ended <= NGX_PCAP_API_ENDED_KEPT) {
            break;
        }

        ngx_pcap_api_row_forget(shpool, sh);
    }

    row = ngx_pcap_api_row_find(&sh->rows, id);
    if (row == NULL) {
        row = ngx_pcap_api_row_find(&sh->ended, id);
    }

    if (row != NULL && ngx_pcap_api_row_of_user(row, ctx, hash)) {
        rc = ngx_memcmp(row->what, what, 32) == 0 ? NGX_OK : NGX_ABORT;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return rc;
}


ngx_int_t
ngx_pcap_api_row_stop(ngx_shm_zone_t *zone, ngx_pcap_api_ctx_t *ctx)
{
    u_char               hash[32];
    ngx_uint_t           admin, allowed;
    ngx_slab_pool_t     *shpool;
    ngx_pcap_api_row_t  *row;
    ngx_pcap_api_shm_t  *sh;

    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_pcap_api_user_hash(&ctx->identity, hash);
    admin = ngx_pcap_api_has_scope(&ctx->identity, &ctx->conf->admin_scope);
    allowed = 0;

    ngx_shmtx_lock(&shpool->mutex);

    row = ngx_pcap_api_row_find(&sh->rows, ctx->stop_id);

    if (row != NULL) {
        allowed = ngx_pcap_api_row_of_user(row, ctx, hash)
                  || (admin && ngx_memcmp(row->env, ctx->conf->env, 32) == 0);
        row->stop |= allowed;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return allowed ? NGX_OK : NGX_DECLINED;
}
