/*
 * module/grant.c: one-time grants. A capture that was asked for with POST and
 * is authorised, with its targets found, is put into the zone under the digest
 * of 256 random bits; whoever of the store's user brings these bits within
 * 10 s, over a unix socket, has the capture, and nobody can have it again.
 *
 * What goes in and what comes out is written once, in code_ctx(), so that the
 * two cannot differ. A token lies in it: it is wiped when it leaves the zone,
 * whichever way.
 */

#include "module/shm.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/socket.h>


typedef enum {
    NGX_PCAP_API_CODE_SIZE = 0,
    NGX_PCAP_API_CODE_PUT,
    NGX_PCAP_API_CODE_GET
} ngx_pcap_api_code_e;

typedef struct {
    ngx_pcap_api_code_e   mode;
    u_char               *pos;
    u_char               *last;
    size_t                size;
    unsigned              failed:1;
} ngx_pcap_api_coder_t;


/* Bytes in or out, or their number. */
static void
ngx_pcap_api_code(ngx_pcap_api_coder_t *c, void *p, size_t n)
{
    c->size += n;

    if (c->mode == NGX_PCAP_API_CODE_SIZE || n == 0) {
        return;
    }

    if (c->failed || n > (size_t) (c->last - c->pos)) {
        c->failed = 1;
        ngx_memzero(p, c->mode == NGX_PCAP_API_CODE_GET ? n : 0);
        return;
    }

    if (c->mode == NGX_PCAP_API_CODE_PUT) {
        ngx_memcpy(c->pos, p, n);
    } else {
        ngx_memcpy(p, c->pos, n);
    }

    c->pos += n;
}


/* What comes out stays where it is. */
static void
ngx_pcap_api_code_str(ngx_pcap_api_coder_t *c, ngx_str_t *s)
{
    ngx_pcap_api_code(c, &s->len, sizeof(size_t));

    if (c->mode != NGX_PCAP_API_CODE_GET) {
        ngx_pcap_api_code(c, s->data, s->len);
        return;
    }

    if (c->failed || s->len > (size_t) (c->last - c->pos)) {
        c->failed = 1;
        s->len = 0;
        return;
    }

    s->data = c->pos;
    c->pos += s->len;
}


static void
ngx_pcap_api_code_strs(ngx_pcap_api_coder_t *c, ngx_array_t *list)
{
    ngx_str_t   *s;
    ngx_uint_t   i, n;

    n = list->nelts;
    ngx_pcap_api_code(c, &n, sizeof(ngx_uint_t));

    for (i = 0; i < n && !c->failed; i++) {
        s = c->mode == NGX_PCAP_API_CODE_GET
            ? ngx_array_push(list) : (ngx_str_t *) list->elts + i;

        if (s == NULL) {
            c->failed = 1;
            return;
        }

        ngx_pcap_api_code_str(c, s);
    }
}


static void
ngx_pcap_api_code_numbers(ngx_pcap_api_coder_t *c, ngx_array_t *list)
{
    ngx_uint_t  *p, i, n;

    n = list->nelts;
    ngx_pcap_api_code(c, &n, sizeof(ngx_uint_t));

    for (i = 0; i < n && !c->failed; i++) {
        p = c->mode == NGX_PCAP_API_CODE_GET
            ? ngx_array_push(list) : (ngx_uint_t *) list->elts + i;

        if (p == NULL) {
            c->failed = 1;
            return;
        }

        ngx_pcap_api_code(c, p, sizeof(ngx_uint_t));
    }
}


static void
ngx_pcap_api_code_opts(ngx_pcap_api_coder_t *c, ngx_pcap_api_opts_t *opts)
{
    ngx_pcap_api_code_strs(c, &opts->interfaces);
    ngx_pcap_api_code_strs(c, &opts->instances);
    ngx_pcap_api_code_numbers(c, &opts->indexes);
    ngx_pcap_api_code_str(c, &opts->process);
    ngx_pcap_api_code_str(c, &opts->filter);
    ngx_pcap_api_code_str(c, &opts->reason);
    ngx_pcap_api_code(c, &opts->seen, sizeof(opts->seen));
    ngx_pcap_api_code(c, &opts->snaplen, sizeof(opts->snaplen));
    ngx_pcap_api_code(c, &opts->snaplen_set, sizeof(opts->snaplen_set));
    ngx_pcap_api_code(c, &opts->pcapng, sizeof(opts->pcapng));
    ngx_pcap_api_code(c, &opts->promiscuous, sizeof(opts->promiscuous));
    ngx_pcap_api_code(c, &opts->duration_ms, sizeof(opts->duration_ms));
    ngx_pcap_api_code(c, &opts->max_bytes, sizeof(opts->max_bytes));
    ngx_pcap_api_code(c, &opts->max_packets, sizeof(opts->max_packets));
    ngx_pcap_api_code(c, &opts->store, sizeof(opts->store));
}


static void
ngx_pcap_api_code_target(ngx_pcap_api_coder_t *c, ngx_pcap_api_target_t *t)
{
    ngx_str_t  why;

    ngx_str_null(&why);

    if (t->unavailable != NULL) {
        why.data = (u_char *) t->unavailable;
        why.len = ngx_strlen(t->unavailable) + 1;
    }

    ngx_pcap_api_code_str(c, &t->group);
    ngx_pcap_api_code_str(c, &t->instance);
    ngx_pcap_api_code_str(c, &t->addr);
    ngx_pcap_api_code_str(c, &t->tls_name);
    ngx_pcap_api_code(c, t->ip, sizeof(t->ip));
    ngx_pcap_api_code(c, &t->ip_len, sizeof(t->ip_len));
    ngx_pcap_api_code_str(c, &why);
    ngx_pcap_api_code_str(c, &t->args);
    ngx_pcap_api_code_str(c, &t->detail);

    if (c->mode == NGX_PCAP_API_CODE_GET && why.len) {
        t->unavailable = (char *) why.data;
    }
}


/* NGX_OK, NGX_ERROR, or what agents_room() says. */
static ngx_int_t
ngx_pcap_api_code_targets(ngx_pcap_api_coder_t *c, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_uint_t              i, n;
    ngx_pcap_api_target_t  *t;

    n = ctx->nagents;
    ngx_pcap_api_code(c, &n, sizeof(ngx_uint_t));

    if (c->mode != NGX_PCAP_API_CODE_GET) {
        for (i = 0; i < n; i++) {
            ngx_pcap_api_code_target(c, ctx->agents[i].target);
        }

        return NGX_OK;
    }

    rc = ngx_pcap_api_agents_room(ctx, n);
    if (rc != NGX_OK) {
        return rc;
    }

    t = ngx_pcalloc(ctx->request->pool, n * sizeof(ngx_pcap_api_target_t));
    if (t == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n && !c->failed; i++) {
        ngx_pcap_api_code_target(c, &t[i]);
        ngx_pcap_api_agent_add(ctx, &t[i]);
    }

    return NGX_OK;
}


/* All that a capture has behind its resolver. */
static ngx_int_t
ngx_pcap_api_code_ctx(ngx_pcap_api_coder_t *c, ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  number;

    number = ctx->resolver ? ctx->resolver->number : 0;

    ngx_pcap_api_code(c, ctx->id, NGX_PCAP_API_ID_LEN);
    ngx_pcap_api_code_str(c, &ctx->client);
    ngx_pcap_api_code_str(c, &ctx->request_id);
    ngx_pcap_api_code(c, &number, sizeof(ngx_uint_t));
    ngx_pcap_api_code_str(c, &ctx->group);
    ngx_pcap_api_code_str(c, &ctx->label);
    ngx_pcap_api_code_str(c, &ctx->token);
    ngx_pcap_api_code(c, &ctx->identity.exp, sizeof(time_t));
    ngx_pcap_api_code_str(c, &ctx->identity.id);
    ngx_pcap_api_code_str(c, &ctx->identity.name);
    ngx_pcap_api_code_str(c, &ctx->identity.scopes);
    ngx_pcap_api_code_opts(c, &ctx->opts);
    ngx_pcap_api_code(c, &ctx->limited.set, sizeof(ngx_uint_t));

    if (c->mode == NGX_PCAP_API_CODE_GET) {
        ctx->resolver = ngx_pcap_api_resolver(ctx->conf, number);

        if (ctx->resolver == NULL || ctx->resolver->number != number) {
            return NGX_ERROR;              /* configured no more */
        }
    }

    return ngx_pcap_api_code_targets(c, ctx);
}


/* Out of the zone, with the token in it; under the lock. */
static void
ngx_pcap_api_grant_free(ngx_slab_pool_t *shpool, ngx_pcap_api_grant_t *g)
{
    ngx_queue_remove(&g->queue);
    ngx_explicit_memzero(g->data, g->len);
    ngx_slab_free_locked(shpool, g);
}


void
ngx_pcap_api_grants_expire(ngx_slab_pool_t *shpool, ngx_pcap_api_shm_t *sh)
{
    ngx_queue_t           *q;
    ngx_pcap_api_grant_t  *g;

    while (!ngx_queue_empty(&sh->grants)) {
        q = ngx_queue_head(&sh->grants);
        g = ngx_queue_data(q, ngx_pcap_api_grant_t, queue);

        if ((ngx_msec_int_t) (g->expires - ngx_current_msec) > 0) {
            return;
        }

        ngx_pcap_api_grant_free(shpool, g);
    }
}


/* Under the lock. */
static ngx_pcap_api_grant_t *
ngx_pcap_api_grant_find(ngx_pcap_api_shm_t *sh, u_char key[32])
{
    ngx_queue_t           *q;
    ngx_pcap_api_grant_t  *g;

    for (q = ngx_queue_head(&sh->grants);
         q != ngx_queue_sentinel(&sh->grants);
         q = ngx_queue_next(q))
    {
        g = ngx_queue_data(q, ngx_pcap_api_grant_t, queue);

        if (CRYPTO_memcmp(g->key, key, 32) == 0) {
            return g;
        }
    }

    return NULL;
}


/* Those of this user that nobody has taken yet; under the lock. */
static ngx_uint_t
ngx_pcap_api_grants_of(ngx_pcap_api_shm_t *sh, ngx_pcap_api_ctx_t *ctx,
    u_char user_hash[32])
{
    ngx_uint_t             n;
    ngx_queue_t           *q;
    ngx_pcap_api_grant_t  *g;

    n = 0;

    for (q = ngx_queue_head(&sh->grants);
         q != ngx_queue_sentinel(&sh->grants);
         q = ngx_queue_next(q))
    {
        g = ngx_queue_data(q, ngx_pcap_api_grant_t, queue);

        n += ngx_memcmp(g->user_hash, user_hash, 32) == 0
             && ngx_memcmp(g->env, ctx->conf->env, 32) == 0;
    }

    return n;
}


static ngx_int_t
ngx_pcap_api_grant_digest(u_char *secret, u_char key[32])
{
    return EVP_Digest(secret, NGX_PCAP_API_GRANT_LEN, key, NULL, EVP_sha256(),
                      NULL)
           ? NGX_OK : NGX_ERROR;
}


static ngx_shm_zone_t *
ngx_pcap_api_grant_zone(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);

    return pmcf->zone;
}


ngx_int_t
ngx_pcap_api_grant_put(ngx_pcap_api_ctx_t *ctx,
    u_char hex[2 * NGX_PCAP_API_GRANT_LEN])
{
    u_char                 secret[NGX_PCAP_API_GRANT_LEN], hash[32];
    ngx_int_t              rc;
    ngx_uint_t             n;
    ngx_shm_zone_t        *zone;
    ngx_slab_pool_t       *shpool;
    ngx_pcap_api_shm_t    *sh;
    ngx_pcap_api_row_t    *before;
    ngx_pcap_api_coder_t   c;
    ngx_pcap_api_grant_t  *g;

    ngx_memzero(&c, sizeof(ngx_pcap_api_coder_t));

    if (RAND_bytes(secret, sizeof(secret)) != 1
        || ngx_pcap_api_grant_digest(secret, ctx->stored.key) != NGX_OK
        || ngx_pcap_api_code_ctx(&c, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_pcap_api_user_hash(&ctx->identity, hash);

    zone = ngx_pcap_api_grant_zone(ctx);
    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_shmtx_lock(&shpool->mutex);

    ngx_pcap_api_grants_expire(shpool, sh);
    rc = ngx_pcap_api_admit(sh, ctx, hash, &before);
    n = ngx_pcap_api_grants_of(sh, ctx, hash);
    g = rc == NGX_OK && n < NGX_PCAP_API_GRANTS
        ? ngx_pcap_api_shm_alloc(shpool, sh,
                                 offsetof(ngx_pcap_api_grant_t, data)
                                 + c.size)
        : NULL;

    if (g != NULL) {
        ngx_memcpy(g->key, ctx->stored.key, 32);
        ngx_memcpy(g->id, ctx->id, NGX_PCAP_API_ID_LEN);
        ngx_memcpy(g->env, ctx->conf->env, 32);
        ngx_memcpy(g->user_hash, hash, 32);
        g->expires = ngx_current_msec + NGX_PCAP_API_GRANT_MS;
        g->len = c.size;

        c.mode = NGX_PCAP_API_CODE_PUT;
        c.pos = g->data;
        c.last = g->data + g->len;
        (void) ngx_pcap_api_code_ctx(&c, ctx);

        ngx_queue_insert_tail(&sh->grants, &g->queue);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    /* it is looked at again when the grant is taken */

    if (rc != NGX_OK) {
        return ngx_pcap_api_not_admitted(ctx);
    }

    if (n >= NGX_PCAP_API_GRANTS) {
        ctx->retry_after = 10;

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_TOO_MANY_REQUESTS,
                                   "%ui captures of yours wait for the store "
                                   "already", n);
    }

    if (g == NULL) {
        ctx->retry_after = 10;

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "no room for another capture: "
                                   "\"pcap_api_zone\" is full");
    }

    (void) ngx_hex_dump(hex, secret, sizeof(secret));
    ngx_explicit_memzero(secret, sizeof(secret));

    return NGX_OK;
}


void
ngx_pcap_api_grant_drop(ngx_pcap_api_ctx_t *ctx)
{
    ngx_shm_zone_t        *zone;
    ngx_slab_pool_t       *shpool;
    ngx_pcap_api_grant_t  *g;

    zone = ngx_pcap_api_grant_zone(ctx);
    shpool = ngx_pcap_api_shpool(zone);

    ngx_shmtx_lock(&shpool->mutex);

    g = ngx_pcap_api_grant_find(ngx_pcap_api_shm(zone), ctx->stored.key);

    if (g != NULL) {
        ngx_pcap_api_grant_free(shpool, g);
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


void
ngx_pcap_api_grant_revoke(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_grant_drop(ctx);
    ngx_memcpy(ctx->stop_id, ctx->id, NGX_PCAP_API_ID_LEN);
    (void) ngx_pcap_api_row_stop(ngx_pcap_api_grant_zone(ctx), ctx);
}


ngx_int_t
ngx_pcap_api_grant_stop(ngx_pcap_api_ctx_t *ctx)
{
    u_char                 hash[32];
    ngx_int_t              rc;
    ngx_uint_t             admin;
    ngx_queue_t           *q;
    ngx_shm_zone_t        *zone;
    ngx_slab_pool_t       *shpool;
    ngx_pcap_api_shm_t    *sh;
    ngx_pcap_api_grant_t  *g;

    zone = ngx_pcap_api_grant_zone(ctx);
    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_pcap_api_user_hash(&ctx->identity, hash);
    admin = ngx_pcap_api_has_scope(&ctx->identity, &ctx->conf->admin_scope);
    rc = NGX_DECLINED;

    ngx_shmtx_lock(&shpool->mutex);

    for (q = ngx_queue_head(&sh->grants);
         q != ngx_queue_sentinel(&sh->grants);
         q = ngx_queue_next(q))
    {
        g = ngx_queue_data(q, ngx_pcap_api_grant_t, queue);

        if (ngx_memcmp(g->id, ctx->stop_id, NGX_PCAP_API_ID_LEN) == 0
            && ngx_memcmp(g->env, ctx->conf->env, 32) == 0
            && (admin || ngx_memcmp(g->user_hash, hash, 32) == 0))
        {
            ngx_pcap_api_grant_free(shpool, g);
            rc = NGX_OK;
            break;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return rc;
}


ngx_uint_t
ngx_pcap_api_grant_peer(ngx_http_request_t *r, ngx_pcap_api_loc_conf_t *conf)
{
    uid_t         user;
    socklen_t     len;
    struct ucred  peer;

    if (r->connection->sockaddr->sa_family != AF_UNIX
        || conf->store.uri.len == 0)
    {
        return 0;
    }

    len = sizeof(peer);

    if (getsockopt(r->connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len)
        != 0)
    {
        return 0;
    }

    user = conf->store.user == NGX_CONF_UNSET_UINT
           ? geteuid() : (uid_t) conf->store.user;

    if (peer.uid != user) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "user %ui asks for a grant, only user %ui may",
                      (ngx_uint_t) peer.uid, (ngx_uint_t) user);
        return 0;
    }

    return 1;
}


ngx_int_t
ngx_pcap_api_grant_read(ngx_pcap_api_ctx_t *ctx, ngx_str_t *hex)
{
    u_char      secret[NGX_PCAP_API_GRANT_LEN];
    ngx_int_t   n;
    ngx_uint_t  i;

    if (hex->len != 2 * sizeof(secret)) {
        return NGX_DECLINED;
    }

    for (i = 0; i < sizeof(secret); i++) {
        n = ngx_hextoi(hex->data + 2 * i, 2);
        if (n == NGX_ERROR) {
            return NGX_DECLINED;
        }

        secret[i] = (u_char) n;
    }

    return ngx_pcap_api_grant_digest(secret, ctx->stored.key);
}


/* The grant's data, in memory of the pool, or NULL: there is none. */
static ngx_int_t
ngx_pcap_api_grant_take(ngx_pcap_api_ctx_t *ctx, ngx_str_t *data)
{
    size_t                 len;
    ngx_shm_zone_t        *zone;
    ngx_slab_pool_t       *shpool;
    ngx_pcap_api_shm_t    *sh;
    ngx_pcap_api_grant_t  *g;

    zone = ngx_pcap_api_grant_zone(ctx);
    shpool = ngx_pcap_api_shpool(zone);
    sh = ngx_pcap_api_shm(zone);

    ngx_shmtx_lock(&shpool->mutex);
    ngx_pcap_api_grants_expire(shpool, sh);
    g = ngx_pcap_api_grant_find(sh, ctx->stored.key);
    len = g ? g->len : 0;
    ngx_shmtx_unlock(&shpool->mutex);

    if (g == NULL) {
        return NGX_DECLINED;
    }

    data->data = ngx_palloc(ctx->request->pool, len);
    if (data->data == NULL) {
        return NGX_ERROR;
    }

    data->len = 0;

    ngx_shmtx_lock(&shpool->mutex);

    g = ngx_pcap_api_grant_find(sh, ctx->stored.key);

    if (g != NULL && ngx_memcmp(g->env, ctx->conf->env, 32) == 0) {
        ngx_memcpy(data->data, g->data, len);
        data->len = len;
        ngx_pcap_api_grant_free(shpool, g);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return data->len ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_pcap_api_grant_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_str_t             data, token;
    ngx_pcap_api_coder_t  c;

    rc = ngx_pcap_api_grant_take(ctx, &data);

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is no such grant: it is good for "
                                   "%d s and for one use",
                                   NGX_PCAP_API_GRANT_MS / 1000);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_memzero(&c, sizeof(ngx_pcap_api_coder_t));
    c.mode = NGX_PCAP_API_CODE_GET;
    c.pos = data.data;
    c.last = data.data + data.len;

    rc = ngx_pcap_api_code_ctx(&c, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (c.failed) {
        return NGX_ERROR;
    }

    ctx->identity.active = 1;
    ctx->stored.granted = 1;
    token = ctx->token;

    return ngx_pcap_api_set_token(ctx, &token);
}


void
ngx_pcap_api_grant_wipe(ngx_pcap_api_ctx_t *ctx)
{
    if (!ctx->stored.wiped) {
        ctx->stored.wiped = 1;
        ngx_explicit_memzero(ctx->token.data, ctx->token.len);
        ngx_explicit_memzero(ctx->token_encoded.data,
                             ctx->token_encoded.len);
    }
}
