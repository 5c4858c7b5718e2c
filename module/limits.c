/*
 * module/limits.c: what requests and users may use up: requests per second of
 * an address and of a user, captures at once, and what a capture may ask for.
 * Each refusal names its directive and the value.
 *
 * An address is charged before its token is looked at, a user behind that;
 * places among the captures are counted by rows, so nobody who is not
 * authenticated ever holds one.
 */

#include "module/shm.h"

#include <openssl/evp.h>


/*
 * How long a predecessor whose place its successor has may go on: pcap-cli has
 * taken over after 10 s at most, and then stops it.
 */
#define NGX_PCAP_API_HANDED_MS      60000


/* Charges a request; NGX_BUSY: there is no room for it. */
static ngx_int_t
ngx_pcap_api_charge(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_meters_t *meters,
    uint64_t key, ngx_pcap_api_rate_t *rate)
{
    ngx_int_t                  rc;
    ngx_slab_pool_t           *shpool;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    shpool = ngx_pcap_api_shpool(pmcf->zone);

    ngx_shmtx_lock(&shpool->mutex);
    rc = ngx_pcap_api_meter_charge(meters, key, rate);
    ngx_shmtx_unlock(&shpool->mutex);

    return rc;
}


static ngx_pcap_api_shm_t *
ngx_pcap_api_shm_of(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);

    return ngx_pcap_api_shm(pmcf->zone);
}


struct sockaddr *
ngx_pcap_api_counted(ngx_pcap_api_ctx_t *ctx)
{
    ngx_addr_t           addr;
    struct sockaddr     *sa;
    ngx_http_request_t  *r;

    if (ctx->limited.counted != NULL) {
        return ctx->limited.counted;
    }

    r = ctx->request;
    sa = r->connection->sockaddr;

    if (ngx_pcap_api_is_router(r, ctx->conf)
        && ngx_pcap_api_forwarded_for(r, &addr) == NGX_OK)
    {
        sa = addr.sockaddr;
    }

    ctx->limited.counted = sa;

    return sa;
}


/* A peer node has counted its clients itself, and has shown who it is. */
static ngx_uint_t
ngx_pcap_api_is_counted(ngx_pcap_api_ctx_t *ctx)
{
    return ctx->conf->limits.address_rate.rate != 0
           && !ctx->conf->peers.forwarded;
}


ngx_int_t
ngx_pcap_api_address_rate(ngx_pcap_api_ctx_t *ctx)
{
    uint64_t              key;
    ngx_pcap_api_rate_t  *rate;

    rate = &ctx->conf->limits.address_rate;

    if (!ngx_pcap_api_is_counted(ctx)) {
        return NGX_OK;
    }

    key = ngx_pcap_api_address_key(ngx_pcap_api_counted(ctx));

    if (ngx_pcap_api_charge(ctx, &ngx_pcap_api_shm_of(ctx)->addresses, key,
                            rate)
        == NGX_OK)
    {
        return NGX_OK;
    }

    ctx->retry_after = 1;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_TOO_MANY_REQUESTS,
               "too many requests from this address, where one with a bad "
               "token counts as %uL: \"pcap_api_request_rate\" allows %ui "
               "per second", ctx->conf->limits.failed_cost, rate->rate);
}


/*
 * The request itself is charged already; no token at all is no guess, and
 * neither is that of a capture that runs, which is asked for again.
 */
void
ngx_pcap_api_address_failed(ngx_pcap_api_ctx_t *ctx)
{
    uint64_t                   key;
    ngx_slab_pool_t           *shpool;
    ngx_pcap_api_limits_t     *limits;
    ngx_pcap_api_main_conf_t  *pmcf;

    limits = &ctx->conf->limits;

    if (!ngx_pcap_api_is_counted(ctx) || ctx->capture != NULL
        || ctx->token.len == 0 || limits->failed_cost < 2)
    {
        return;
    }

    key = ngx_pcap_api_address_key(ngx_pcap_api_counted(ctx));

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    shpool = ngx_pcap_api_shpool(pmcf->zone);

    ngx_shmtx_lock(&shpool->mutex);
    ngx_pcap_api_meter_fine(&ngx_pcap_api_shm(pmcf->zone)->addresses, key,
                            &limits->address_rate, limits->failed_cost - 1);
    ngx_shmtx_unlock(&shpool->mutex);
}


ngx_int_t
ngx_pcap_api_user_key(ngx_pcap_api_ctx_t *ctx, uint64_t *key)
{
    int          ok;
    u_char       hash[32];
    EVP_MD_CTX  *md;

    md = EVP_MD_CTX_new();
    if (md == NULL) {
        return NGX_ERROR;
    }

    ok = EVP_DigestInit_ex(md, EVP_sha256(), NULL)
         && EVP_DigestUpdate(md, ctx->conf->env, sizeof(ctx->conf->env))
         && EVP_DigestUpdate(md, ctx->identity.id.data, ctx->identity.id.len)
         && EVP_DigestFinal_ex(md, hash, NULL);

    EVP_MD_CTX_free(md);

    ngx_memcpy(key, hash, sizeof(uint64_t));
    *key |= 1;

    return ok ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_pcap_api_user_rate_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    uint64_t              key;
    ngx_pcap_api_rate_t  *rate;

    rate = &ctx->conf->limits.user_rate;

    if (rate->rate == 0) {
        return NGX_OK;
    }

    if (ngx_pcap_api_user_key(ctx, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_pcap_api_charge(ctx, &ngx_pcap_api_shm_of(ctx)->users, key, rate)
        == NGX_OK)
    {
        return NGX_OK;
    }

    ctx->retry_after = 1;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_TOO_MANY_REQUESTS,
               "too many requests of yours: \"pcap_api_user_rate\" allows "
               "%ui per second", rate->rate);
}


/* In seconds, unless there is a fraction of one. */
static u_char *
ngx_pcap_api_put_ms(u_char *p, u_char *last, uint64_t ms)
{
    return ms % 1000 ? ngx_slprintf(p, last, "%uLms", ms)
                     : ngx_slprintf(p, last, "%uLs", ms / 1000);
}


/*
 * Who names more than is allowed is refused: a capture that silently ends
 * earlier than was asked for is no answer. Who names none gets the server's.
 */
static ngx_int_t
ngx_pcap_api_check_limit(ngx_pcap_api_ctx_t *ctx, const char *name,
    const char *directive, uint64_t *value, uint64_t max, ngx_uint_t bit)
{
    u_char  a[NGX_INT64_LEN + 8], b[NGX_INT64_LEN + 8], *p, *q;

    if (max == 0 || (*value && *value <= max)) {
        return NGX_OK;
    }

    if (*value == 0) {
        *value = max;
        ctx->limited.set |= bit;
        return NGX_OK;
    }

    if (bit == NGX_PCAP_API_SET_DURATION) {
        p = ngx_pcap_api_put_ms(a, a + sizeof(a), *value);
        q = ngx_pcap_api_put_ms(b, b + sizeof(b), max);

    } else {
        p = ngx_slprintf(a, a + sizeof(a), "%uL", *value);
        q = ngx_slprintf(b, b + sizeof(b), "%uL", max);
    }

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                               "option \"%s\": %*s is more than \"%s\" of "
                               "this server, %*s",
                               name, (size_t) (p - a), a, directive,
                               (size_t) (q - b), b);
}


/* The largest there is means "all of it", as with tcpdump: no refusal. */
static ngx_int_t
ngx_pcap_api_check_snaplen(ngx_pcap_api_ctx_t *ctx)
{
    uint64_t  max;

    max = ctx->conf->limits.snaplens[ctx->resolver->number];

    if (max == 0 || ctx->opts.snaplen <= max) {
        return NGX_OK;
    }

    if (ctx->opts.snaplen == PCAPX_MAX_SNAPLEN) {
        ctx->opts.snaplen = (uint32_t) max;
        ctx->limited.set |= NGX_PCAP_API_SET_SNAPLEN;
        return NGX_OK;
    }

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
               "option \"snaplen\": %uD is more than "
               "\"pcap_api_max_snaplen\" of this server, %uL",
               ctx->opts.snaplen, max);
}


ngx_int_t
ngx_pcap_api_limits_phase(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_pcap_api_opts_t    *opts;
    ngx_pcap_api_limits_t  *limits;

    opts = &ctx->opts;
    limits = &ctx->conf->limits;

    if ((limits->reason & ((ngx_uint_t) 1 << ctx->resolver->number))
        && opts->reason.len == 0 && ctx->kube.what != NGX_PCAP_API_KUBE_MERGED)
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "option \"reason\" has to be given for captures of %V: "
                   "\"pcap_api_require_reason\" wants it",
                   &ctx->resolver->name);
    }

    rc = ngx_pcap_api_check_limit(ctx, "duration", "pcap_api_max_duration",
                                  &opts->duration_ms, limits->max_duration,
                                  NGX_PCAP_API_SET_DURATION);

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_check_limit(ctx, "max_bytes", "pcap_api_max_bytes",
                                      &opts->max_bytes, limits->max_bytes,
                                      NGX_PCAP_API_SET_BYTES);
    }

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_check_limit(ctx, "max_packets",
                                      "pcap_api_max_packets",
                                      &opts->max_packets,
                                      limits->max_packets,
                                      NGX_PCAP_API_SET_PACKETS);
    }

    /* files are as they are */

    return rc == NGX_OK && ctx->kube.what != NGX_PCAP_API_KUBE_MERGED
           ? ngx_pcap_api_check_snaplen(ctx) : rc;
}


/* The captures at once; all, and what of them counts. */

typedef struct {
    uint64_t                   all;
    uint64_t                   counted;
} ngx_pcap_api_places_t;


/*
 * Its successor has its place and has run for long enough. The time is that of
 * another worker, whose clock may be a moment ahead.
 */
static ngx_uint_t
ngx_pcap_api_is_overdue(ngx_pcap_api_row_t *row)
{
    return row->handed == NGX_PCAP_API_SUCCEEDED
           && (ngx_msec_int_t) (ngx_current_msec - row->succeeded)
              >= NGX_PCAP_API_HANDED_MS;
}


/* spare: of the places that count, what this capture would take over. */
static ngx_uint_t
ngx_pcap_api_full(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_places_t *places,
    ngx_uint_t spare, uint64_t max, const char *directive)
{
    if (max == 0 || places->counted - spare < max) {
        return 0;
    }

    ctx->limited.directive = directive;
    ctx->limited.running = places->all;
    ctx->limited.allowed = max;

    return 1;
}


/* All rows are looked at. Returns the predecessor, when it runs, or NULL. */
static ngx_pcap_api_row_t *
ngx_pcap_api_count_places(ngx_pcap_api_shm_t *sh, ngx_pcap_api_ctx_t *ctx,
    u_char user_hash[32], ngx_pcap_api_places_t *everybody,
    ngx_pcap_api_places_t *user)
{
    ngx_uint_t           counts;
    ngx_queue_t         *q;
    ngx_pcap_api_row_t  *row, *before;

    ngx_memzero(everybody, sizeof(ngx_pcap_api_places_t));
    ngx_memzero(user, sizeof(ngx_pcap_api_places_t));
    before = NULL;

    for (q = ngx_queue_head(&sh->rows);
         q != ngx_queue_sentinel(&sh->rows);
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);
        counts = row->handed == NGX_PCAP_API_HANDED_NOT
                 || ngx_pcap_api_is_overdue(row);

        if (ngx_pcap_api_row_of_user(row, ctx, user_hash)) {

            if (ctx->opts.continues.len
                && ngx_memcmp(row->id, ctx->opts.continues.data,
                              NGX_PCAP_API_ID_LEN)
                   == 0)
            {
                before = row;
            }

            user->all++;
            user->counted += counts;
        }

        everybody->all++;
        everybody->counted += counts;
    }

    return before;
}


/*
 * A predecessor makes room with its own place, once, and not with one that it
 * has of its own predecessor: else a chain of successors were captures
 * without a limit.
 */
ngx_int_t
ngx_pcap_api_admit(ngx_pcap_api_shm_t *sh, ngx_pcap_api_ctx_t *ctx,
    u_char user_hash[32], ngx_pcap_api_row_t **before)
{
    uint64_t               per_user;
    ngx_uint_t             spare;
    ngx_pcap_api_row_t    *row;
    ngx_pcap_api_places_t  everybody, user;

    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    per_user = ctx->conf->limits.per_user;
    row = ngx_pcap_api_count_places(sh, ctx, user_hash, &everybody, &user);

    spare = row != NULL && !row->handed
            && ngx_pcap_api_place_owner(sh, row) == NULL;

    ctx->limited.yours = 1;

    if (ngx_pcap_api_full(ctx, &user, spare, per_user,
                          "pcap_api_max_captures_per_user"))
    {
        return NGX_BUSY;
    }

    ctx->limited.yours = 0;

    if (ngx_pcap_api_full(ctx, &everybody, spare, pmcf->limits.captures,
                          "pcap_api_max_captures"))
    {
        return NGX_BUSY;
    }

    /* where there is room beside it, it keeps its place */

    if (!ngx_pcap_api_full(ctx, &user, 0, per_user, NULL)
        && !ngx_pcap_api_full(ctx, &everybody, 0, pmcf->limits.captures,
                              NULL))
    {
        row = NULL;
    }

    *before = row;

    return NGX_OK;
}


void
ngx_pcap_api_place_hand(ngx_pcap_api_row_t *before, ngx_pcap_api_row_t *row)
{
    before->handed = NGX_PCAP_API_HANDED;
    ngx_memcpy(before->successor, row->id, NGX_PCAP_API_ID_LEN);
    row->borrowed = 1;
}


ngx_pcap_api_row_t *
ngx_pcap_api_place_owner(ngx_pcap_api_shm_t *sh, ngx_pcap_api_row_t *row)
{
    ngx_queue_t         *q;
    ngx_pcap_api_row_t  *before;

    if (!row->borrowed) {
        return NULL;
    }

    for (q = ngx_queue_head(&sh->rows);
         q != ngx_queue_sentinel(&sh->rows);
         q = ngx_queue_next(q))
    {
        before = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (before->handed && ngx_memcmp(before->successor, row->id,
                                         NGX_PCAP_API_ID_LEN)
                              == 0)
        {
            return before;
        }
    }

    return NULL;
}


void
ngx_pcap_api_place_give_back(ngx_pcap_api_shm_t *sh, ngx_pcap_api_row_t *row)
{
    ngx_pcap_api_row_t  *before;

    before = ngx_pcap_api_place_owner(sh, row);

    if (before != NULL) {
        before->handed = NGX_PCAP_API_HANDED_NOT;
    }
}


/* Until it has stopped it counts again, so no other one takes its place. */
void
ngx_pcap_api_places_overdue(ngx_pcap_api_shm_t *sh)
{
    ngx_queue_t         *q;
    ngx_pcap_api_row_t  *row;

    for (q = ngx_queue_head(&sh->rows);
         q != ngx_queue_sentinel(&sh->rows);
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_pcap_api_row_t, queue);

        if (!row->stop && ngx_pcap_api_is_overdue(row)) {
            row->stop = NGX_PCAP_API_END_CONTINUED;
        }
    }
}


ngx_int_t
ngx_pcap_api_not_admitted(ngx_pcap_api_ctx_t *ctx)
{
    ctx->retry_after = 10;

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_TOO_MANY_REQUESTS,
               "%uL captures%s run already: \"%s\" is %uL",
               ctx->limited.running,
               ctx->limited.yours ? " of yours" : "",
               ctx->limited.directive, ctx->limited.allowed);
}


ngx_pcap_api_end_e
ngx_pcap_api_limit_end(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_end_e end)
{
    ngx_uint_t  set;

    set = ctx->limited.set;

    switch (end) {

    case NGX_PCAP_API_END_DURATION:
        return set & NGX_PCAP_API_SET_DURATION
               ? NGX_PCAP_API_END_MAX_DURATION : end;

    case NGX_PCAP_API_END_BYTES:
        return set & NGX_PCAP_API_SET_BYTES
               ? NGX_PCAP_API_END_MAX_BYTES : end;

    case NGX_PCAP_API_END_PACKETS:
        return set & NGX_PCAP_API_SET_PACKETS
               ? NGX_PCAP_API_END_MAX_PACKETS : end;

    default:
        return end;
    }
}


const char *
ngx_pcap_api_limit_detail(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_end_e end)
{
    u_char                 *p, *last;
    ngx_pcap_api_limits_t  *limits;

    limits = &ctx->conf->limits;
    p = ctx->limited.detail;
    last = p + sizeof(ctx->limited.detail) - 1;

    switch (end) {

    case NGX_PCAP_API_END_MAX_DURATION:
        p = ngx_pcap_api_put_ms(p, last, limits->max_duration);
        break;

    case NGX_PCAP_API_END_MAX_BYTES:
        p = ngx_slprintf(p, last, "%uL bytes", limits->max_bytes);
        break;

    case NGX_PCAP_API_END_MAX_PACKETS:
        p = ngx_slprintf(p, last, "%uL packets", limits->max_packets);
        break;

    case NGX_PCAP_API_END_IDLE:
        p = ngx_slprintf(p, last, "no packet for ");
        p = ngx_pcap_api_put_ms(p, last, limits->idle_timeout);
        break;

    default:
        return NULL;
    }

    *p = '\0';

    return (char *) ctx->limited.detail;
}


/* Time in which nothing could come counts for nothing. */
ngx_uint_t
ngx_pcap_api_idle(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_limited_t  *l;

    l = &ctx->limited;

    if (l->active == 0 || ctx->packets != l->packets || ctx->blocked
        || ctx->pace.throttled)
    {
        l->packets = ctx->packets;
        l->active = ngx_current_msec ? ngx_current_msec : 1;
        return 0;
    }

    return ctx->conf->limits.idle_timeout
           && ngx_current_msec - l->active >= ctx->conf->limits.idle_timeout;
}


ngx_str_t *
ngx_pcap_api_limits_text(ngx_pcap_api_ctx_t *ctx)
{
    u_char                  *p, *last;
    ngx_pcap_api_limits_t   *limits;
    ngx_pcap_api_limited_t  *l;

    static const size_t  size = 256;

    l = &ctx->limited;
    limits = &ctx->conf->limits;

    if (l->text.data != NULL) {
        return &l->text;
    }

    p = ngx_pnalloc(ctx->request->pool, size);
    if (p == NULL) {
        return &l->text;
    }

    l->text.data = p;
    last = p + size;

    if (l->set & NGX_PCAP_API_SET_DURATION) {
        p = ngx_slprintf(p, last, "duration=");
        p = ngx_pcap_api_put_ms(p, last, limits->max_duration);
        p = ngx_slprintf(p, last, " ");
    }

    if (l->set & NGX_PCAP_API_SET_BYTES) {
        p = ngx_slprintf(p, last, "max_bytes=%uL ", limits->max_bytes);
    }

    if (l->set & NGX_PCAP_API_SET_PACKETS) {
        p = ngx_slprintf(p, last, "max_packets=%uL ", limits->max_packets);
    }

    if (l->set & NGX_PCAP_API_SET_SNAPLEN) {
        p = ngx_slprintf(p, last, "snaplen=%uD ", ctx->opts.snaplen);
    }

    if (limits->bandwidth) {
        p = ngx_slprintf(p, last, "bandwidth=%uL ", limits->bandwidth);
    }

    if (limits->idle_timeout) {
        p = ngx_slprintf(p, last, "idle=");
        p = ngx_pcap_api_put_ms(p, last, limits->idle_timeout);
        p = ngx_slprintf(p, last, " ");
    }

    l->text.len = p - l->text.data - (p > l->text.data);

    return &l->text;
}
