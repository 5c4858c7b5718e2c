/*
 * module/resolve_bosh.c: the instances of a BOSH deployment. A Director is
 * asked, by way of an internal location and with the caller's own token, for
 * its uuid, the deployment's instances and, where a right depends on it, the
 * deployment's teams.
 *
 * Reading instances is a lesser right than capturing them: who may capture
 * is decided here, by the right that `bosh ssh` needs. Whatever a Director
 * says is checked field by field; of its addresses only literal ones within
 * pcap_api_agent_ranges are ever used. No text of a user is sent unencoded.
 *
 * Sources: bosh-director, api/controllers/{info,deployments,base}_controller
 * .rb, permission_authorizer.rb, errors.rb, models.rb (VALID_ID), models/vm.rb
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>


#define NGX_PCAP_API_BOSH_TIMEOUT     5000      /* ms, over all */
#define NGX_PCAP_API_BOSH_UUID_VALID  60000     /* ms */
#define NGX_PCAP_API_BOSH_MAX_INFO    65536
#define NGX_PCAP_API_BOSH_MAX_LIST    (4 * 1024 * 1024)
#define NGX_PCAP_API_BOSH_MAX_NAME    255       /* a column of the Director */

/*
 * Memory for 4 MiB of "[[[],[]..." would be a hundred times that. An
 * instance takes about 350 bytes and 14 values.
 */
#define NGX_PCAP_API_BOSH_MAX_VALUES  200000

#define NGX_PCAP_API_BOSH_BAD_TOKEN   600000    /* its code: lacks a scope */
#define NGX_PCAP_API_BOSH_NOT_FOUND   70000     /* its code: no deployment */


/* One instance, as it can be a target. */

typedef struct {
    ngx_uint_t                 index;
    size_t                     group_len;    /* of target.instance */
    ngx_pcap_api_target_t      target;
} ngx_pcap_api_bosh_inst_t;

/* What has been learned so far, in ask->data. */

typedef struct {
    ngx_array_t                instances;    /* ngx_pcap_api_bosh_inst_t */
    ngx_uint_t                 granted;      /* unsigned  granted:1 */
} ngx_pcap_api_bosh_ctx_t;

/* A question: ask() says NGX_AGAIN, or NGX_OK when it is needless. */

typedef struct {
    ngx_int_t                (*ask)(ngx_pcap_api_ctx_t *ctx,
                                    ngx_pcap_api_ask_t *ask);
    ngx_int_t                (*take)(ngx_pcap_api_ctx_t *ctx,
                                     ngx_pcap_api_ask_t *ask);
} ngx_pcap_api_bosh_step_t;


static ngx_int_t ngx_pcap_api_bosh_ask_info(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_take_info(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_ask_instances(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_take_instances(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_ask_teams(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_take_teams(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_targets(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_bosh_ctx_t *bctx);


static const ngx_pcap_api_bosh_step_t  ngx_pcap_api_bosh_steps[] = {
    { ngx_pcap_api_bosh_ask_info, ngx_pcap_api_bosh_take_info },
    { ngx_pcap_api_bosh_ask_instances, ngx_pcap_api_bosh_take_instances },
    { ngx_pcap_api_bosh_ask_teams, ngx_pcap_api_bosh_take_teams }
};

#define NGX_PCAP_API_BOSH_STEPS                                               \
    (sizeof(ngx_pcap_api_bosh_steps) / sizeof(ngx_pcap_api_bosh_steps[0]))


/* The Director is at fault: says so, and which one. */
static ngx_int_t
ngx_pcap_api_bosh_failed(ngx_pcap_api_ctx_t *ctx, const char *why)
{
    ngx_pcap_api_bosh_t  *bosh;

    bosh = ctx->conf->bosh;

    ngx_pcap_api_health_set(&bosh->health, 0);

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "Director of %V: %s", &bosh->uri, why);

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "the Director of \"%V\" failed: %s",
                               &bosh->uri, why);
}


static ngx_int_t
ngx_pcap_api_bosh_garbage(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_bosh_failed(ctx,
                                    "its answer is not what a Director says");
}


/* The answer's JSON, or NULL. */
static json_t *
ngx_pcap_api_bosh_json(ngx_pcap_api_fetch_t *f)
{
    size_t        i, n;
    json_error_t  error;

    for (i = 0, n = 0; i < f->len; i++) {
        n += f->data[i] == ',' || f->data[i] == '[' || f->data[i] == '{';
    }

    if (f->len == 0 || n > NGX_PCAP_API_BOSH_MAX_VALUES) {
        return NULL;
    }

    return json_loadb((char *) f->data, f->len, JSON_REJECT_DUPLICATES,
                      &error);
}


static json_int_t
ngx_pcap_api_bosh_code(ngx_pcap_api_fetch_t *f)
{
    json_t      *doc;
    json_int_t   code;

    doc = ngx_pcap_api_bosh_json(f);
    code = json_integer_value(json_object_get(doc, "code"));
    json_decref(doc);

    return code;
}


/*
 * NGX_OK for a whole 200. A Director says 401 for a token it does not know
 * (in plain text) as well as for one that lacks a scope (JSON).
 */
static ngx_int_t
ngx_pcap_api_bosh_answer(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    u_char                 why[64];
    ngx_pcap_api_fetch_t  *f;

    f = &ask->fetch;

    if (f->answered && !f->verified) {
        return ngx_pcap_api_bosh_failed(ctx, "this API does not verify it: "
                   "\"https\" and \"proxy_ssl_verify on\" are needed");
    }

    if (!f->answered || f->status == NGX_HTTP_OK) {
        return ngx_pcap_api_fetch_failed(f)
               ? ngx_pcap_api_bosh_failed(ctx, ngx_pcap_api_fetch_failed(f))
               : NGX_OK;
    }

    if (ask->bearer && f->status == NGX_HTTP_UNAUTHORIZED) {
        ngx_pcap_api_health_set(&ctx->conf->bosh->health, 1);

        if (ngx_pcap_api_bosh_code(f) == NGX_PCAP_API_BOSH_BAD_TOKEN) {
            return ngx_pcap_api_forbidden(ctx,
                       "the token has no right to deployment \"%V\"",
                       &ctx->group);
        }

        ctx->bearer_error = "Bearer error=\"invalid_token\"";

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_UNAUTHORIZED,
                                   "the Director does not take the token");
    }

    if (ask->bearer && f->status == NGX_HTTP_NOT_FOUND
        && ngx_pcap_api_bosh_code(f) == NGX_PCAP_API_BOSH_NOT_FOUND)
    {
        ngx_pcap_api_health_set(&ctx->conf->bosh->health, 1);

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is no deployment \"%V\"",
                                   &ctx->group);
    }

    if (f->status == 0) {
        return ngx_pcap_api_bosh_failed(ctx, "its answer is no HTTP");
    }

    (void) ngx_snprintf(why, sizeof(why), "it answered with status %i%Z",
                        f->status);

    return ngx_pcap_api_bosh_failed(ctx, (char *) why);
}


static ngx_int_t
ngx_pcap_api_bosh_fetch(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask,
    size_t max)
{
    return ngx_pcap_api_fetch(ctx, &ctx->conf->bosh->uri, max, &ask->fetch)
           == NGX_OK
           ? NGX_AGAIN : NGX_ERROR;
}


/* Its uuid, which the scopes of its own admins hold; needs no token. */
static ngx_int_t
ngx_pcap_api_bosh_ask_info(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_pcap_api_bosh_t  *bosh;

    bosh = ctx->conf->bosh;

    if (bosh->uuid_len
        && ngx_current_msec - bosh->uuid_at < NGX_PCAP_API_BOSH_UUID_VALID)
    {
        return NGX_OK;
    }

    ngx_str_set(&ask->uri, "/info");
    ask->bearer = 0;

    return ngx_pcap_api_bosh_fetch(ctx, ask, NGX_PCAP_API_BOSH_MAX_INFO);
}


static ngx_int_t
ngx_pcap_api_bosh_take_info(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    char                  err[PCAPX_ERR_LEN];
    size_t                len;
    json_t               *doc, *v;
    ngx_int_t             rc;
    const char           *uuid;
    ngx_pcap_api_bosh_t  *bosh;

    rc = ngx_pcap_api_bosh_answer(ctx, ask);
    if (rc != NGX_OK) {
        return rc;
    }

    bosh = ctx->conf->bosh;

    doc = ngx_pcap_api_bosh_json(&ask->fetch);
    v = json_object_get(doc, "uuid");
    uuid = json_string_value(v);
    len = json_string_length(v);

    if (uuid == NULL || len > NGX_PCAP_API_UUID_LEN
        || memchr(uuid, '/', len) != NULL || memchr(uuid, '.', len) != NULL
        || pcapx_valid_instance(uuid, len, err) != PCAPX_OK)
    {
        json_decref(doc);
        return ngx_pcap_api_bosh_garbage(ctx);
    }

    ngx_memcpy(bosh->uuid, uuid, len);
    bosh->uuid_len = len;
    bosh->uuid_at = ngx_current_msec;

    json_decref(doc);
    ngx_pcap_api_health_set(&bosh->health, 1);

    return NGX_OK;
}


/* Does the token hold that scope, made of up to three parts? */
static ngx_uint_t
ngx_pcap_api_bosh_has(ngx_pcap_api_ctx_t *ctx, const char *kind,
    const u_char *name, size_t len)
{
    u_char     text[NGX_PCAP_API_BOSH_MAX_NAME + 32];
    ngx_str_t  scope;

    scope.data = text;
    scope.len = ngx_snprintf(text, sizeof(text), "bosh.%s%*s%sadmin", kind,
                             len, name, len ? "." : "")
                - text;

    return ngx_pcap_api_has_scope(&ctx->identity, &scope);
}


/* Is there any bosh.teams.T.admin? */
static ngx_uint_t
ngx_pcap_api_bosh_in_team(ngx_pcap_api_ctx_t *ctx)
{
    u_char  *p, *last, *end;

    last = ctx->identity.scopes.data + ctx->identity.scopes.len;

    for (p = ctx->identity.scopes.data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, ' ');
        if (end == NULL) {
            end = last;
        }

        if (end - p > 17 && ngx_memcmp(p, "bosh.teams.", 11) == 0
            && ngx_memcmp(end - 6, ".admin", 6) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* Who is neither admin nor in a team is not even told what there is. */
static ngx_int_t
ngx_pcap_api_bosh_ask_instances(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    u_char                   *p;
    size_t                    len;
    ngx_pcap_api_bosh_ctx_t  *bctx;

    bctx = ask->data;

    bctx->granted = ngx_pcap_api_bosh_has(ctx, "", NULL, 0)
                    || ngx_pcap_api_bosh_has(ctx, "", ctx->conf->bosh->uuid,
                                             ctx->conf->bosh->uuid_len);

    if (!bctx->granted && !ngx_pcap_api_bosh_in_team(ctx)) {
        return ngx_pcap_api_forbidden(ctx, "captures need the scope "
                   "\"bosh.admin\", \"bosh.%*s.admin\" or "
                   "\"bosh.teams.TEAM.admin\" of a team of the deployment",
                   ctx->conf->bosh->uuid_len, ctx->conf->bosh->uuid);
    }

    len = 3 * ctx->group.len + sizeof("/deployments//instances");

    ask->uri.data = ngx_pnalloc(ctx->request->pool, len);
    if (ask->uri.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(ask->uri.data, "/deployments/", 13);
    p += pcapx_form_encode((char *) p, 3 * ctx->group.len,
                           (char *) ctx->group.data, ctx->group.len);
    p = ngx_cpymem(p, "/instances", 10);

    ask->uri.len = p - ask->uri.data;
    ask->bearer = 1;

    return ngx_pcap_api_bosh_fetch(ctx, ask, NGX_PCAP_API_BOSH_MAX_LIST);
}


/*
 * A literal address of the instance that fits into a range: the first range
 * that has one wins, as the Director sorts addresses by number and its first
 * one means nothing. "10.0.1.0/28" is a prefix routed to the VM.
 */
static ngx_uint_t
ngx_pcap_api_bosh_address(ngx_pcap_api_bosh_t *bosh, ngx_cidr_t *range,
    json_t *v, ngx_str_t *text, ngx_pcap_api_target_t *t)
{
    char              err[PCAPX_ERR_LEN];
    size_t            len;
    uint16_t          port;
    const char       *ip, *slash;
    ngx_array_t       one;
    ngx_sockaddr_t    sa;

    ip = json_string_value(v);
    len = json_string_length(v);

    slash = memchr(ip, '/', len);

    if (slash != NULL) {
        if (strcmp(slash, "/32") != 0 && strcmp(slash, "/128") != 0) {
            return 0;
        }

        len = slash - ip;
    }

    text->len = ngx_snprintf(text->data, NGX_SOCKADDR_STRLEN,
                             memchr(ip, ':', len) ? "[%*s]:%ui" : "%*s:%ui",
                             len, ip, bosh->port)
                - text->data;

    if (len > INET6_ADDRSTRLEN
        || pcapx_parse_endpoint((char *) text->data, text->len, t->ip,
                                &t->ip_len, &port, err)
           != PCAPX_OK)
    {
        return 0;
    }

    ngx_memzero(&sa, sizeof(ngx_sockaddr_t));
    ngx_memzero(&one, sizeof(ngx_array_t));
    one.elts = range;
    one.nelts = 1;

    if (t->ip_len == 4) {
        sa.sockaddr_in.sin_family = AF_INET;
        ngx_memcpy(&sa.sockaddr_in.sin_addr, t->ip, 4);

    } else {
#if (NGX_HAVE_INET6)
        sa.sockaddr_in6.sin6_family = AF_INET6;
        ngx_memcpy(&sa.sockaddr_in6.sin6_addr, t->ip, 16);
#else
        return 0;
#endif
    }

    return ngx_cidr_match(&sa.sockaddr, &one) == NGX_OK;
}


/* NGX_OK, also when there is none: then the target says why. */
static ngx_int_t
ngx_pcap_api_bosh_addresses(ngx_pcap_api_ctx_t *ctx, json_t *ips,
    ngx_pcap_api_target_t *t)
{
    u_char       buf[NGX_SOCKADDR_STRLEN];
    size_t       k;
    ngx_str_t    text;
    ngx_uint_t   i;
    ngx_cidr_t  *range;

    range = ctx->conf->ranges->elts;
    text.data = buf;

    for (i = 0; i < ctx->conf->ranges->nelts; i++) {
        for (k = 0; k < json_array_size(ips); k++) {

            if (ngx_pcap_api_bosh_address(ctx->conf->bosh, &range[i],
                                          json_array_get(ips, k), &text, t))
            {
                t->addr.len = text.len;
                t->addr.data = ngx_pstrdup(ctx->request->pool, &text);
                return t->addr.data == NULL ? NGX_ERROR : NGX_OK;
            }
        }
    }

    t->ip_len = 0;
    t->unavailable = "none of its addresses lies in the agents' ranges "
                     "of this API";

    return NGX_OK;
}


/* "group/id", and the name its agent's certificate has to hold. */
static ngx_int_t
ngx_pcap_api_bosh_names(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_pcap_api_bosh_inst_t *in)
{
    char         err[PCAPX_ERR_LEN];
    size_t       id_len;
    u_char      *p, *id;
    json_t      *g, *i;
    ngx_pool_t  *pool;
    ngx_str_t   *name;

    g = json_object_get(doc, "job");
    i = json_object_get(doc, "id");

    if (!json_is_string(g) || !json_is_string(i)
        || json_string_length(g) > NGX_PCAP_API_USER_LEN
        || json_string_length(i) > NGX_PCAP_API_USER_LEN)
    {
        return NGX_DECLINED;
    }

    pool = ctx->request->pool;
    id_len = json_string_length(i);
    in->group_len = json_string_length(g);

    p = ngx_pnalloc(pool, in->group_len + 1 + id_len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    in->target.instance.data = p;
    in->target.instance.len = in->group_len + 1 + id_len;

    p = ngx_cpymem(p, json_string_value(g), in->group_len);
    *p++ = '/';
    id = p;
    ngx_memcpy(p, json_string_value(i), id_len);

    /* at most one "/", and no empty part: it is the one between the two */

    if (pcapx_valid_instance((char *) in->target.instance.data,
                             in->target.instance.len, err)
        != PCAPX_OK)
    {
        return NGX_DECLINED;
    }

    name = &ctx->conf->bosh->tls_name;

    if (name->data[0] != '*') {
        in->target.tls_name = *name;
        return NGX_OK;
    }

    in->target.tls_name.len = id_len + name->len - 1;
    in->target.tls_name.data = ngx_pnalloc(pool, in->target.tls_name.len);
    if (in->target.tls_name.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(in->target.tls_name.data, id, id_len);
    ngx_memcpy(p, name->data + 1, name->len - 1);

    return NGX_OK;
}


static ngx_uint_t
ngx_pcap_api_bosh_is_null(json_t *v)
{
    return v == NULL || json_is_null(v);
}


/* NGX_OK, NGX_DECLINED (no instance of a Director), NGX_ERROR. */
static ngx_int_t
ngx_pcap_api_bosh_instance(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_pcap_api_bosh_inst_t *in)
{
    size_t      k;
    json_t     *index, *cid, *agent, *ips, *ip, *expects;
    ngx_int_t   rc;

    ngx_memzero(in, sizeof(ngx_pcap_api_bosh_inst_t));

    index = json_object_get(doc, "index");
    cid = json_object_get(doc, "cid");
    agent = json_object_get(doc, "agent_id");
    ips = json_object_get(doc, "ips");
    expects = json_object_get(doc, "expects_vm");

    if (!json_is_integer(index) || json_integer_value(index) < 0
        || json_integer_value(index) > 999999999 || !json_is_array(ips)
        || !(ngx_pcap_api_bosh_is_null(cid) || json_is_string(cid))
        || !(ngx_pcap_api_bosh_is_null(agent) || json_is_string(agent))
        || !(ngx_pcap_api_bosh_is_null(expects) || json_is_boolean(expects)))
    {
        return NGX_DECLINED;
    }

    for (k = 0; k < json_array_size(ips); k++) {
        ip = json_array_get(ips, k);

        if (!json_is_string(ip) || json_string_length(ip) > 64) {
            return NGX_DECLINED;
        }
    }

    rc = ngx_pcap_api_bosh_names(ctx, doc, in);
    if (rc != NGX_OK) {
        return rc;
    }

    in->index = json_integer_value(index);

    /* for the log: it is not used for a connection */
    ngx_str_set(&in->target.addr, "-");

    if (ngx_pcap_api_bosh_is_null(cid) || ngx_pcap_api_bosh_is_null(agent)
        || json_array_size(ips) == 0)
    {
        in->target.unavailable = json_is_false(expects)
                                 ? "it has no VM, and none is expected"
                                 : "it has no VM";
        return NGX_OK;
    }

    return ngx_pcap_api_bosh_addresses(ctx, ips, &in->target);
}


static int
ngx_pcap_api_bosh_cmp_text(ngx_str_t *a, ngx_str_t *b)
{
    int  rc;

    rc = ngx_memcmp(a->data, b->data, ngx_min(a->len, b->len));

    return rc ? rc : (a->len > b->len) - (a->len < b->len);
}


static int ngx_libc_cdecl
ngx_pcap_api_bosh_by_name(const void *one, const void *two)
{
    ngx_pcap_api_bosh_inst_t  *a = (ngx_pcap_api_bosh_inst_t *) one;
    ngx_pcap_api_bosh_inst_t  *b = (ngx_pcap_api_bosh_inst_t *) two;

    return ngx_pcap_api_bosh_cmp_text(&a->target.instance,
                                      &b->target.instance);
}


static int ngx_libc_cdecl
ngx_pcap_api_bosh_by_index(const void *one, const void *two)
{
    int        rc;
    ngx_str_t  g, h;

    ngx_pcap_api_bosh_inst_t  *a = (ngx_pcap_api_bosh_inst_t *) one;
    ngx_pcap_api_bosh_inst_t  *b = (ngx_pcap_api_bosh_inst_t *) two;

    g.data = a->target.instance.data;
    g.len = a->group_len;
    h.data = b->target.instance.data;
    h.len = b->group_len;

    rc = ngx_pcap_api_bosh_cmp_text(&g, &h);

    if (rc == 0) {
        rc = (a->index > b->index) - (a->index < b->index);
    }

    return rc ? rc : ngx_pcap_api_bosh_by_name(one, two);
}


/* Reads all; sorted by group and index; one that is there twice is garbage. */
static ngx_int_t
ngx_pcap_api_bosh_read(ngx_pcap_api_ctx_t *ctx, json_t *doc, ngx_array_t *all)
{
    size_t                     i;
    ngx_int_t                  rc;
    ngx_pcap_api_bosh_inst_t  *in;

    if (!json_is_array(doc)) {
        return NGX_DECLINED;
    }

    if (ngx_array_init(all, ctx->request->pool, json_array_size(doc) + 1,
                       sizeof(ngx_pcap_api_bosh_inst_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < json_array_size(doc); i++) {
        in = ngx_array_push(all);
        if (in == NULL) {
            return NGX_ERROR;
        }

        rc = ngx_pcap_api_bosh_instance(ctx, json_array_get(doc, i), in);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    in = all->elts;

    ngx_qsort(in, all->nelts, sizeof(ngx_pcap_api_bosh_inst_t),
              ngx_pcap_api_bosh_by_name);

    for (i = 1; i < all->nelts; i++) {
        if (ngx_pcap_api_bosh_by_name(&in[i - 1], &in[i]) == 0) {
            return NGX_DECLINED;
        }
    }

    ngx_qsort(in, all->nelts, sizeof(ngx_pcap_api_bosh_inst_t),
              ngx_pcap_api_bosh_by_index);

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_bosh_take_instances(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    json_t                   *doc;
    ngx_int_t                 rc;
    ngx_pcap_api_bosh_ctx_t  *bctx;

    rc = ngx_pcap_api_bosh_answer(ctx, ask);
    if (rc != NGX_OK) {
        return rc;
    }

    bctx = ask->data;

    doc = ngx_pcap_api_bosh_json(&ask->fetch);
    rc = ngx_pcap_api_bosh_read(ctx, doc, &bctx->instances);
    json_decref(doc);

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_bosh_garbage(ctx);
    }

    if (rc == NGX_OK) {
        ngx_pcap_api_health_set(&ctx->conf->bosh->health, 1);
    }

    return rc;
}


static ngx_int_t
ngx_pcap_api_bosh_ask_teams(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_pcap_api_bosh_ctx_t  *bctx;

    bctx = ask->data;

    if (bctx->granted) {
        return NGX_OK;
    }

    ngx_str_set(&ask->uri, "/deployments?exclude_configs=true"
                "&exclude_releases=true&exclude_stemcells=true"
                "&exclude_lock=true");
    ask->bearer = 1;

    return ngx_pcap_api_bosh_fetch(ctx, ask, NGX_PCAP_API_BOSH_MAX_LIST);
}


/* NGX_OK, NGX_ABORT (no team of this deployment), NGX_DECLINED (garbage). */
static ngx_int_t
ngx_pcap_api_bosh_read_teams(ngx_pcap_api_ctx_t *ctx, json_t *doc)
{
    size_t   i, k;
    json_t  *name, *teams, *team;

    if (!json_is_array(doc)) {
        return NGX_DECLINED;
    }

    for (i = 0; i < json_array_size(doc); i++) {
        name = json_object_get(json_array_get(doc, i), "name");
        teams = json_object_get(json_array_get(doc, i), "teams");

        if (!json_is_string(name) || !json_is_array(teams)) {
            return NGX_DECLINED;
        }

        if (json_string_length(name) != ctx->group.len
            || ngx_memcmp(json_string_value(name), ctx->group.data,
                          ctx->group.len)
               != 0)
        {
            continue;
        }

        for (k = 0; k < json_array_size(teams); k++) {
            team = json_array_get(teams, k);

            if (!json_is_string(team)) {
                return NGX_DECLINED;
            }

            if (json_string_length(team) > 0
                && json_string_length(team) <= NGX_PCAP_API_BOSH_MAX_NAME
                && ngx_pcap_api_bosh_has(ctx, "teams.",
                       (const u_char *) json_string_value(team),
                       json_string_length(team)))
            {
                return NGX_OK;
            }
        }
    }

    return NGX_ABORT;
}


static ngx_int_t
ngx_pcap_api_bosh_take_teams(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    json_t     *doc;
    ngx_int_t   rc;

    rc = ngx_pcap_api_bosh_answer(ctx, ask);
    if (rc != NGX_OK) {
        return rc;
    }

    doc = ngx_pcap_api_bosh_json(&ask->fetch);
    rc = ngx_pcap_api_bosh_read_teams(ctx, doc);
    json_decref(doc);

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_bosh_garbage(ctx);
    }

    if (rc == NGX_ABORT) {
        return ngx_pcap_api_forbidden(ctx, "the token is of no team that "
                   "may capture deployment \"%V\"", &ctx->group);
    }

    return NGX_OK;
}


/* "router", "router/ID" or "router/INDEX" */
static ngx_uint_t
ngx_pcap_api_bosh_selects(ngx_str_t *s, ngx_pcap_api_bosh_inst_t *in)
{
    u_char     *p;
    ngx_int_t   index;
    ngx_str_t  *name;

    name = &in->target.instance;

    if (s->len < in->group_len
        || ngx_memcmp(s->data, name->data, in->group_len) != 0)
    {
        return 0;
    }

    if (s->len == in->group_len) {
        return 1;
    }

    p = s->data + in->group_len;

    if (*p++ != '/') {
        return 0;
    }

    if (s->len == name->len && ngx_memcmp(s->data, name->data, s->len) == 0) {
        return 1;
    }

    index = ngx_atoi(p, s->data + s->len - p);

    return index != NGX_ERROR && (ngx_uint_t) index == in->index;
}


/* Marks in picked[] what is asked for; NGX_OK or a 404. */
static ngx_int_t
ngx_pcap_api_bosh_pick(ngx_pcap_api_ctx_t *ctx, ngx_array_t *all,
    u_char *picked, ngx_uint_t *n)
{
    ngx_str_t                 *s;
    ngx_uint_t                 i, k, found;
    ngx_pcap_api_bosh_inst_t  *in;

    in = all->elts;
    s = ctx->opts.instances.elts;

    for (i = 0; i < ctx->opts.instances.nelts; i++) {

        for (k = 0, found = 0; k < all->nelts; k++) {
            if (ngx_pcap_api_bosh_selects(&s[i], &in[k])) {
                found = 1;
                *n += !picked[k];
                picked[k] = 1;
            }
        }

        if (!found) {
            return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                       "deployment \"%V\" has no instance \"%V\"",
                       &ctx->group, &s[i]);
        }
    }

    if (ctx->opts.instances.nelts == 0) {
        ngx_memset(picked, 1, all->nelts);
        *n = all->nelts;
    }

    if (*n == 0) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "deployment \"%V\" has no instances",
                                   &ctx->group);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_bosh_targets(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_bosh_ctx_t *bctx)
{
    u_char                    *picked;
    ngx_int_t                  rc;
    ngx_uint_t                 i, n;
    ngx_pcap_api_bosh_inst_t  *in;

    n = 0;
    in = bctx->instances.elts;

    picked = ngx_pcalloc(ctx->request->pool, bctx->instances.nelts + 1);
    if (picked == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_pcap_api_bosh_pick(ctx, &bctx->instances, picked, &n);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_pcap_api_agents_room(ctx, n);
    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < bctx->instances.nelts; i++) {
        if (picked[i]) {
            ngx_pcap_api_agent_add(ctx, &in[i].target);
        }
    }

    return NGX_OK;
}


/* VALID_ID of the Director; "." and ".." would be another path. */
static ngx_uint_t
ngx_pcap_api_bosh_valid_name(ngx_str_t *s)
{
    size_t  i;
    u_char  ch;

    for (i = 0; i < s->len; i++) {
        ch = s->data[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9') || ch == '-' || ch == '_'
              || ch == '+' || ch == '.'))
        {
            return 0;
        }
    }

    return s->len > 0 && s->len <= NGX_PCAP_API_BOSH_MAX_NAME
           && !(s->data[0] == '.'
                && (s->len == 1 || (s->len == 2 && s->data[1] == '.')));
}


static ngx_int_t
ngx_pcap_api_bosh_begin(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_need_scope(ctx, ctx->conf->bosh_scopes);
    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_pcap_api_bosh_valid_name(&ctx->group)) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                   "a deployment's name has 1 to %d letters, digits, \".\", "
                   "\"_\", \"-\" and \"+\"", NGX_PCAP_API_BOSH_MAX_NAME);
    }

    ask->data = ngx_pcalloc(ctx->request->pool,
                            sizeof(ngx_pcap_api_bosh_ctx_t));
    if (ask->data == NULL) {
        return NGX_ERROR;
    }

    ctx->deadline = ngx_current_msec + NGX_PCAP_API_BOSH_TIMEOUT;

    return NGX_OK;
}


/* One question: asks it, waits for it, takes the answer. */
static ngx_int_t
ngx_pcap_api_bosh_step(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t                        rc;
    const ngx_pcap_api_bosh_step_t  *step;

    step = &ngx_pcap_api_bosh_steps[ask->step];

    if (ask->fetch.ctx == NULL) {
        return step->ask(ctx, ask);
    }

    if (ask->fetch.done) {
        rc = step->take(ctx, ask);

        ngx_pcap_api_fetch_drop(&ask->fetch);
        ask->fetch.ctx = NULL;

        return rc;
    }

    if ((ngx_msec_int_t) (ngx_current_msec - ctx->deadline) < 0) {
        return NGX_AGAIN;
    }

    return ngx_pcap_api_bosh_failed(ctx, "it does not answer in time");
}


static ngx_int_t
ngx_pcap_api_bosh_resolve(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t  rc;

    if (ask->data == NULL) {
        rc = ngx_pcap_api_bosh_begin(ctx, ask);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    while (ask->step < NGX_PCAP_API_BOSH_STEPS) {
        rc = ngx_pcap_api_bosh_step(ctx, ask);
        if (rc != NGX_OK) {
            return rc;
        }

        ask->step++;
    }

    return ngx_pcap_api_bosh_targets(ctx, ask->data);
}


static ngx_int_t
ngx_pcap_api_bosh_probe(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t               rc;
    ngx_uint_t              late;
    ngx_pcap_api_health_t  *h;

    h = &ctx->conf->bosh->health;
    late = (ngx_msec_int_t) (ngx_current_msec - ctx->deadline) >= 0;

    if (ask->fetch.ctx == NULL) {
        rc = ngx_pcap_api_health_get(h);

        if (rc == NGX_BUSY) {
            return late ? NGX_DECLINED : NGX_AGAIN;
        }

        if (rc != NGX_AGAIN) {
            return rc;
        }

        ngx_str_set(&ask->uri, "/info");
        ask->bearer = 0;

        return ngx_pcap_api_bosh_fetch(ctx, ask, NGX_PCAP_API_BOSH_MAX_INFO);
    }

    if (ask->fetch.sr != NULL && !ask->fetch.done) {
        if (!late) {
            return NGX_AGAIN;
        }

        ngx_pcap_api_fetch_drop(&ask->fetch);
        (void) ngx_pcap_api_bosh_failed(ctx, "it does not answer in time");

        return NGX_DECLINED;
    }

    rc = ngx_pcap_api_bosh_take_info(ctx, ask);
    ngx_pcap_api_fetch_drop(&ask->fetch);
    ask->fetch.ctx = NULL;                 /* what is known now is fresh */

    return rc == NGX_OK ? NGX_OK : NGX_DECLINED;
}


static ngx_uint_t
ngx_pcap_api_bosh_configured(ngx_pcap_api_loc_conf_t *conf)
{
    return conf->bosh != NULL;
}


const ngx_pcap_api_resolver_t  ngx_pcap_api_bosh_resolver = {
    ngx_string("bosh"),
    1,
    ngx_pcap_api_bosh_configured,
    ngx_pcap_api_bosh_resolve,
    ngx_pcap_api_bosh_probe
};
