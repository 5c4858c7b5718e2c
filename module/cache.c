/*
 * module/cache.c: the verdicts on tokens, for all workers, for seconds. The
 * oldest give way when memory is short.
 */

#include "module/shm.h"


static uint32_t
ngx_pcap_api_hash_key(u_char hash[32])
{
    uint32_t  key;

    ngx_memcpy(&key, hash, sizeof(uint32_t));

    return key;
}


void
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


void
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


ngx_uint_t
ngx_pcap_api_verdicts_expire(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh)
{
    ngx_uint_t               n;
    ngx_queue_t             *q;
    ngx_pcap_api_verdict_t  *v;

    for (n = 0; !ngx_queue_empty(&sh->verdict_queue); n++) {
        q = ngx_queue_last(&sh->verdict_queue);
        v = ngx_queue_data(q, ngx_pcap_api_verdict_t, queue);

        if ((ngx_msec_int_t) (v->expires - ngx_current_msec) > 0) {
            break;
        }

        ngx_pcap_api_verdict_delete(shpool, sh, v);
    }

    return n;
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

    (void) ngx_pcap_api_verdicts_expire(shpool, sh);
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
