/*
 * module/resolve_bosh.c: the resolver of BOSH deployments. A Director is
 * asked, by way of an internal location and with the caller's own token, for
 * its uuid, the deployment's instances (read in bosh_instances.c) and, where
 * a right depends on it, the deployment's teams.
 *
 * Reading instances is a lesser right than capturing them: who may capture
 * is decided here, by the right that `bosh ssh` needs. No text of a user is
 * sent unencoded.
 *
 * Sources: bosh-director, api/controllers/{info,deployments,base}_controller
 * .rb, permission_authorizer.rb, errors.rb, models.rb (VALID_ID)
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>


#define NGX_PCAP_API_BOSH_UUID_VALID  60000     /* ms */
#define NGX_PCAP_API_BOSH_MAX_INFO    65536
#define NGX_PCAP_API_BOSH_MAX_LIST    (4 * 1024 * 1024)
#define NGX_PCAP_API_BOSH_MAX_NAME    255       /* a column of the Director */

#define NGX_PCAP_API_BOSH_BAD_TOKEN   600000    /* its code: lacks a scope */
#define NGX_PCAP_API_BOSH_NOT_FOUND   70000     /* its code: no deployment */


/* What has been learned so far, in ask->data. */

typedef struct {
    ngx_array_t                instances;
    ngx_uint_t                 granted;      /* unsigned  granted:1 */
} ngx_pcap_api_bosh_ctx_t;


static ngx_int_t ngx_pcap_api_bosh_ask_info(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_take_info(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_grant(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_ask_instances(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_take_instances(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_ask_teams(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_bosh_take_teams(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);


static const ngx_pcap_api_question_t  ngx_pcap_api_bosh_questions[] = {
    { ngx_pcap_api_bosh_ask_info, ngx_pcap_api_bosh_take_info },
    { ngx_pcap_api_bosh_ask_instances, ngx_pcap_api_bosh_take_instances },
    { ngx_pcap_api_bosh_ask_teams, ngx_pcap_api_bosh_take_teams },
    { NULL, NULL }
};

static const ngx_pcap_api_question_t  ngx_pcap_api_bosh_rights[] = {
    { ngx_pcap_api_bosh_ask_info, ngx_pcap_api_bosh_take_info },
    { ngx_pcap_api_bosh_grant, NULL },     /* asks nobody */
    { ngx_pcap_api_bosh_ask_teams, ngx_pcap_api_bosh_take_teams },
    { NULL, NULL }
};


static ngx_int_t
ngx_pcap_api_bosh_garbage(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_platform_garbage(ctx, &ctx->conf->bosh->platform,
               &ctx->asks[ngx_pcap_api_bosh_resolver.number]);
}


static json_int_t
ngx_pcap_api_bosh_code(ngx_pcap_api_fetch_t *f)
{
    json_t      *doc;
    json_int_t   code;

    doc = ngx_pcap_api_platform_json(f);
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
    ngx_int_t                 rc;
    ngx_pcap_api_fetch_t     *f;
    ngx_pcap_api_platform_t  *p;

    f = &ask->fetch;
    p = &ctx->conf->bosh->platform;

    rc = ngx_pcap_api_platform_answer(ctx, p, ask);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ask->bearer && f->status == NGX_HTTP_UNAUTHORIZED) {
        ngx_pcap_api_health_set(&p->health, 1);

        if (ngx_pcap_api_bosh_code(f) == NGX_PCAP_API_BOSH_BAD_TOKEN) {
            return ngx_pcap_api_forbidden(ctx,
                       "the token has no right to deployment \"%V\"",
                       &ctx->group);
        }

        return ngx_pcap_api_platform_no_token(ctx, p);
    }

    if (ask->bearer && f->status == NGX_HTTP_NOT_FOUND
        && ngx_pcap_api_bosh_code(f) == NGX_PCAP_API_BOSH_NOT_FOUND)
    {
        ngx_pcap_api_health_set(&p->health, 1);

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                                   "there is no deployment \"%V\"",
                                   &ctx->group);
    }

    return ngx_pcap_api_platform_status(ctx, p, ask);
}


static ngx_int_t
ngx_pcap_api_bosh_fetch(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask,
    size_t max)
{
    return ngx_pcap_api_platform_ask(ctx, &ctx->conf->bosh->platform, ask,
                                     max);
}


static ngx_int_t
ngx_pcap_api_bosh_fetch_info(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_str_set(&ask->uri, "/info");
    ask->bearer = 0;

    return ngx_pcap_api_bosh_fetch(ctx, ask, NGX_PCAP_API_BOSH_MAX_INFO);
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

    return ngx_pcap_api_bosh_fetch_info(ctx, ask);
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

    doc = ngx_pcap_api_platform_json(&ask->fetch);
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
    ngx_pcap_api_health_set(&bosh->platform.health, 1);

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


/* What the token says by itself: all, nothing, or that it is of a team. */
static ngx_int_t
ngx_pcap_api_bosh_grant(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
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

    return NGX_OK;
}


/* Who is neither admin nor in a team is not even told what there is. */
static ngx_int_t
ngx_pcap_api_bosh_ask_instances(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    u_char     *p;
    size_t      len;
    ngx_int_t   rc;

    rc = ngx_pcap_api_bosh_grant(ctx, ask);
    if (rc != NGX_OK) {
        return rc;
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

    doc = ngx_pcap_api_platform_json(&ask->fetch);
    rc = ngx_pcap_api_bosh_read(ctx, doc, &bctx->instances);
    json_decref(doc);

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_bosh_garbage(ctx);
    }

    if (rc == NGX_OK) {
        ngx_pcap_api_health_set(&ctx->conf->bosh->platform.health, 1);
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

    doc = ngx_pcap_api_platform_json(&ask->fetch);
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


static ngx_int_t
ngx_pcap_api_bosh_begin(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    char       err[PCAPX_ERR_LEN];
    ngx_int_t  rc;

    rc = ngx_pcap_api_need_scope(ctx, ctx->conf->bosh_scopes);
    if (rc != NGX_OK) {
        return rc;
    }

    if (pcapx_valid_deployment((char *) ctx->group.data, ctx->group.len, err)
        != PCAPX_OK)
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST, "%s", err);
    }

    if (ngx_pcap_api_bosh_excluded(ctx, NULL)) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN, "deployment "
                   "\"%V\" is never captured here: "
                   "\"pcap_api_bosh_exclude\"", &ctx->group);
    }

    return ngx_pcap_api_platform_begin(ctx, ask,
                                       sizeof(ngx_pcap_api_bosh_ctx_t))
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_pcap_api_bosh_resolve(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t                 rc;
    ngx_pcap_api_bosh_ctx_t  *bctx;

    if (ask->data == NULL) {
        rc = ngx_pcap_api_bosh_begin(ctx, ask);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_pcap_api_platform_run(ctx, &ctx->conf->bosh->platform, ask,
                                   ngx_pcap_api_bosh_questions);
    if (rc != NGX_OK) {
        return rc;
    }

    bctx = ask->data;

    return ngx_pcap_api_bosh_targets(ctx, &bctx->instances);
}


static ngx_int_t
ngx_pcap_api_bosh_right(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t  rc;

    if (ask->data == NULL) {
        rc = ngx_pcap_api_bosh_begin(ctx, ask);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_pcap_api_platform_run(ctx, &ctx->conf->bosh->platform, ask,
                                     ngx_pcap_api_bosh_rights);
}


static ngx_int_t
ngx_pcap_api_bosh_probe(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    static const ngx_pcap_api_question_t  info = {
        ngx_pcap_api_bosh_fetch_info, ngx_pcap_api_bosh_take_info
    };

    return ngx_pcap_api_platform_probe(ctx, &ctx->conf->bosh->platform, ask,
                                       &info);
}


static ngx_uint_t
ngx_pcap_api_bosh_configured(ngx_pcap_api_loc_conf_t *conf)
{
    return conf->bosh != NULL;
}


const ngx_pcap_api_resolver_t  ngx_pcap_api_bosh_resolver = {
    ngx_string("bosh"),
    1,
    NGX_PCAP_API_TAKES_INSTANCE,
    ngx_pcap_api_bosh_configured,
    ngx_pcap_api_bosh_resolve,
    NULL,
    ngx_pcap_api_bosh_probe,
    ngx_pcap_api_bosh_right
};
