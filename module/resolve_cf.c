/*
 * module/resolve_cf.c: the resolver of Cloud Foundry apps. A Cloud Controller
 * is asked, by way of an internal location and with the caller's own token,
 * what he may see of the app, whether the app takes part, and for its
 * processes and their instances (read in cf_instances.c).
 *
 * Seeing an app is a lesser right than capturing it: who may capture is
 * decided here. The address of no UAA and no further page is ever taken from
 * an answer; no text of a user is sent unencoded.
 *
 * Sources: cloud_controller_ng, app/controllers/v3/{apps_v3,processes}
 * _controller.rb, app/controllers/runtime/root_controller.rb,
 * lib/cloud_controller/permissions.rb, errors/v2.yml,
 * middleware/base_rate_limiter.rb (Retry-After is a UNIX time)
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>


#define NGX_PCAP_API_CF_MAX_SMALL  65536
#define NGX_PCAP_API_CF_MAX_LIST   (4 * 1024 * 1024)

/* codes of errors/v2.yml */

#define NGX_PCAP_API_CF_BAD_TOKEN  1000
#define NGX_PCAP_API_CF_NO_TOKEN   10002
#define NGX_PCAP_API_CF_NOT_FOUND  10010

/* Retry-After, in s: what is said without one, and at most */

#define NGX_PCAP_API_CF_RETRY      10
#define NGX_PCAP_API_CF_MAX_RETRY  3600


static ngx_int_t ngx_pcap_api_cf_ask_first(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_take_root(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_ask_permissions(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_take_permissions(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_ask_app(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_take_app(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_ask_ssh(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_take_ssh(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_ask_processes(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_take_processes(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_ask_stats(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);
static ngx_int_t ngx_pcap_api_cf_take_stats(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask);


static const ngx_pcap_api_question_t  ngx_pcap_api_cf_questions[] = {
    { ngx_pcap_api_cf_ask_first, ngx_pcap_api_cf_take_root },
    { ngx_pcap_api_cf_ask_permissions, ngx_pcap_api_cf_take_permissions },
    { ngx_pcap_api_cf_ask_app, ngx_pcap_api_cf_take_app },
    { ngx_pcap_api_cf_ask_ssh, ngx_pcap_api_cf_take_ssh },
    { ngx_pcap_api_cf_ask_processes, ngx_pcap_api_cf_take_processes },
    { ngx_pcap_api_cf_ask_stats, ngx_pcap_api_cf_take_stats },
    { NULL, NULL }
};

static const ngx_pcap_api_question_t  ngx_pcap_api_cf_rights[] = {
    { ngx_pcap_api_cf_ask_first, ngx_pcap_api_cf_take_root },
    { ngx_pcap_api_cf_ask_permissions, ngx_pcap_api_cf_take_permissions },
    { ngx_pcap_api_cf_ask_app, ngx_pcap_api_cf_take_app },
    { ngx_pcap_api_cf_ask_ssh, ngx_pcap_api_cf_take_ssh },
    { NULL, NULL }
};

static const ngx_pcap_api_question_t  ngx_pcap_api_cf_again[] = {
    { ngx_pcap_api_cf_ask_stats, ngx_pcap_api_cf_take_stats },
    { NULL, NULL }
};


static ngx_int_t
ngx_pcap_api_cf_garbage(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_platform_garbage(ctx, ctx->conf->cf,
               &ctx->asks[ngx_pcap_api_cf_resolver.number]);
}


static ngx_int_t
ngx_pcap_api_cf_not_found(ngx_pcap_api_ctx_t *ctx)
{
    return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                               "there is no app \"%V\"", &ctx->group);
}


/* The code of {"errors":[{"code":N}]}, or 0: no error of a Cloud Controller */
static json_int_t
ngx_pcap_api_cf_code(ngx_pcap_api_fetch_t *f)
{
    json_t      *doc, *errors;
    json_int_t   code;

    doc = ngx_pcap_api_platform_json(f);
    errors = json_object_get(doc, "errors");
    code = json_integer_value(json_object_get(json_array_get(errors, 0),
                                              "code"));
    json_decref(doc);

    return code;
}


/* A Cloud Controller says when, not how long; others say how long. */
static ngx_int_t
ngx_pcap_api_cf_too_many(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_fetch_t *f)
{
    time_t  wait;

    wait = (f->retry_after == NGX_ERROR) ? NGX_PCAP_API_CF_RETRY
                                         : f->retry_after;

    if (wait > NGX_PCAP_API_CF_MAX_RETRY) {
        wait -= ngx_time();
    }

    wait = ngx_max(wait, 1);

    ctx->retry_after = ngx_min(wait, NGX_PCAP_API_CF_MAX_RETRY);

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_TOO_MANY_REQUESTS,
               "the Cloud Controller of \"%V\" wants no more requests of "
               "this user for now", &ctx->conf->cf->uri);
}


/* NGX_OK for a whole 200. */
static ngx_int_t
ngx_pcap_api_cf_answer(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t                 rc;
    json_int_t                code;
    ngx_pcap_api_fetch_t     *f;
    ngx_pcap_api_platform_t  *cf;

    f = &ask->fetch;
    cf = ctx->conf->cf;

    rc = ngx_pcap_api_platform_answer(ctx, cf, ask);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (!ask->bearer) {
        return ngx_pcap_api_platform_status(ctx, cf, ask);
    }

    if (f->status == NGX_HTTP_TOO_MANY_REQUESTS) {
        ngx_pcap_api_health_set(&cf->health, 1);
        return ngx_pcap_api_cf_too_many(ctx, f);
    }

    code = ngx_pcap_api_cf_code(f);

    if (f->status == NGX_HTTP_UNAUTHORIZED
        && (code == NGX_PCAP_API_CF_BAD_TOKEN
            || code == NGX_PCAP_API_CF_NO_TOKEN))
    {
        ngx_pcap_api_health_set(&cf->health, 1);
        return ngx_pcap_api_platform_no_token(ctx, cf);
    }

    if (f->status == NGX_HTTP_FORBIDDEN && code != 0) {
        ngx_pcap_api_health_set(&cf->health, 1);
        return ngx_pcap_api_forbidden(ctx,
                   "the Cloud Controller does not let this token look at "
                   "app \"%V\"", &ctx->group);
    }

    if (f->status == NGX_HTTP_NOT_FOUND && code == NGX_PCAP_API_CF_NOT_FOUND)
    {
        ngx_pcap_api_health_set(&cf->health, 1);
        return ngx_pcap_api_cf_not_found(ctx);
    }

    return ngx_pcap_api_platform_status(ctx, cf, ask);
}


/* Asks for PREFIX GUID SUFFIX; guid has been checked. */
static ngx_int_t
ngx_pcap_api_cf_fetch(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask,
    const char *prefix, ngx_str_t *guid, const char *suffix, size_t max)
{
    u_char  *p;

    ask->uri.data = ngx_pnalloc(ctx->request->pool,
                                ngx_strlen(prefix) + 3 * guid->len
                                + ngx_strlen(suffix));
    if (ask->uri.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(ask->uri.data, prefix, ngx_strlen(prefix));
    p += pcapx_form_encode((char *) p, 3 * guid->len, (char *) guid->data,
                           guid->len);
    p = ngx_cpymem(p, suffix, ngx_strlen(suffix));

    ask->uri.len = p - ask->uri.data;
    ask->bearer = 1;

    return ngx_pcap_api_platform_ask(ctx, ctx->conf->cf, ask, max);
}


static ngx_int_t
ngx_pcap_api_cf_ask_permissions(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_cf_fetch(ctx, ask, "/v3/apps/", &ctx->group,
                                 "/permissions", NGX_PCAP_API_CF_MAX_SMALL);
}


static ngx_int_t
ngx_pcap_api_cf_take_permissions(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    json_t      *doc, *v;
    ngx_int_t    rc;
    ngx_uint_t   known, may;

    rc = ngx_pcap_api_cf_answer(ctx, ask);
    if (rc != NGX_OK) {
        return rc;
    }

    doc = ngx_pcap_api_platform_json(&ask->fetch);
    v = json_object_get(doc, "read_sensitive_data");
    known = json_is_boolean(v);
    may = json_is_true(v);
    json_decref(doc);

    if (!known) {
        return ngx_pcap_api_cf_garbage(ctx);
    }

    ngx_pcap_api_health_set(&ctx->conf->cf->health, 1);

    if (!may) {
        return ngx_pcap_api_forbidden(ctx, "captures need the right to read "
                   "sensitive data of app \"%V\", which a space developer "
                   "has", &ctx->group);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_cf_ask_app(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ngx_pcap_api_cf_fetch(ctx, ask, "/v3/apps/", &ctx->group,
               ctx->conf->cf_opt_in == NGX_PCAP_API_CF_ANNOTATION
               ? "?include=space,space.organization" : "",
               NGX_PCAP_API_CF_MAX_LIST);
}


/* The operator's own list; a database may compare without case. */
static ngx_int_t
ngx_pcap_api_cf_excluded(ngx_pcap_api_ctx_t *ctx, ngx_str_t *guid)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    if (ctx->conf->cf_exclude == NULL) {
        return NGX_OK;
    }

    s = ctx->conf->cf_exclude->elts;

    for (i = 0; i < ctx->conf->cf_exclude->nelts; i++) {
        if (s[i].len == guid->len
            && ngx_strncasecmp(s[i].data, guid->data, guid->len) == 0)
        {
            return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                       "app \"%V\" must not be captured: the operator of "
                       "this API excludes it", guid);
        }
    }

    return NGX_OK;
}


/* NGX_OK when the app has opted in and nobody above it forbids. */
static ngx_int_t
ngx_pcap_api_cf_annotated(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_cf_app_t *app,
    json_t *doc)
{
    json_t      *space, *org;
    ngx_str_t   *name;
    const char  *by;

    name = &ctx->conf->cf_annotation;

    if (ngx_pcap_api_cf_owners(doc, &space, &org) != NGX_OK) {
        return ngx_pcap_api_cf_garbage(ctx);
    }

    by = !ngx_pcap_api_cf_allows(org, name) ? "organization"
         : !ngx_pcap_api_cf_allows(space, name) ? "space" : NULL;

    if (by != NULL) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                   "the %s of app \"%V\" forbids captures by its annotation "
                   "\"%V\"", by, &app->name, name);
    }

    if (!ngx_pcap_api_cf_opted_in(doc, name)) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                   "app \"%V\" does not take part in captures: its "
                   "annotation \"%V\" is not \"true\"", &app->name, name);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_cf_judge_app(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_cf_app_t *app,
    json_t *doc)
{
    ngx_int_t  rc;

    rc = ngx_pcap_api_cf_read_app(ctx, doc, app);

    if (rc == NGX_DECLINED) {
        return ngx_pcap_api_cf_garbage(ctx);
    }

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_cf_excluded(ctx, &app->guid);
    }

    if (rc == NGX_OK && ctx->conf->cf_opt_in == NGX_PCAP_API_CF_ANNOTATION) {
        rc = ngx_pcap_api_cf_annotated(ctx, app, doc);
    }

    return rc;
}


static ngx_int_t
ngx_pcap_api_cf_take_app(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    json_t                 *doc;
    ngx_int_t               rc;
    ngx_pcap_api_cf_app_t  *app;

    rc = ngx_pcap_api_cf_answer(ctx, ask);
    if (rc != NGX_OK) {
        return rc;
    }

    app = ask->data;

    doc = ngx_pcap_api_platform_json(&ask->fetch);
    rc = ngx_pcap_api_cf_judge_app(ctx, app, doc);
    json_decref(doc);

    ctx->label = app->name;

    return rc;
}


static ngx_int_t
ngx_pcap_api_cf_ask_ssh(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_pcap_api_cf_app_t  *app;

    if (ctx->conf->cf_opt_in != NGX_PCAP_API_CF_SSH) {
        return NGX_OK;
    }

    app = ask->data;

    return ngx_pcap_api_cf_fetch(ctx, ask, "/v3/apps/", &app->guid,
                                 "/ssh_enabled", NGX_PCAP_API_CF_MAX_SMALL);
}


/* The reason is the Cloud Controller's own: global, of the space, the app */
static ngx_int_t
ngx_pcap_api_cf_take_ssh(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    u_char                  why[NGX_PCAP_API_TEXT_LEN];
    size_t                  len;
    json_t                 *doc, *enabled, *reason;
    ngx_int_t               rc;
    ngx_uint_t              known, on;
    ngx_pcap_api_cf_app_t  *app;

    rc = ngx_pcap_api_cf_answer(ctx, ask);
    if (rc != NGX_OK) {
        return rc;
    }

    app = ask->data;

    doc = ngx_pcap_api_platform_json(&ask->fetch);
    enabled = json_object_get(doc, "enabled");
    reason = json_object_get(doc, "reason");

    known = json_is_boolean(enabled) && json_is_string(reason);
    on = json_is_true(enabled);
    len = 0;

    if (known) {
        len = ngx_pcap_api_clean_text(why, sizeof(why),
                                      (u_char *) json_string_value(reason),
                                      json_string_length(reason));
    }

    json_decref(doc);

    if (!known) {
        return ngx_pcap_api_cf_garbage(ctx);
    }

    if (!on) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                   "captures need SSH to be enabled for app \"%V\": %*s",
                   &app->name, len, why);
    }

    return NGX_OK;
}


/* One page that holds all; where a next one lies is never followed. */
static ngx_int_t
ngx_pcap_api_cf_ask_processes(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    ngx_pcap_api_cf_app_t  *app;

    app = ask->data;

    if (app->stopped) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_CONFLICT,
                   "app \"%V\" is stopped: there is nothing to capture",
                   &app->name);
    }

    return ngx_pcap_api_cf_fetch(ctx, ask, "/v3/apps/", &app->guid,
                                 "/processes?per_page=5000",
                                 NGX_PCAP_API_CF_MAX_LIST);
}


static ngx_int_t
ngx_pcap_api_cf_take_processes(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_ask_t *ask)
{
    json_t     *doc;
    ngx_int_t   rc;

    rc = ngx_pcap_api_cf_answer(ctx, ask);
    if (rc != NGX_OK) {
        return rc;
    }

    doc = ngx_pcap_api_platform_json(&ask->fetch);
    rc = ngx_pcap_api_cf_read_processes(ctx, doc, ask->data);
    json_decref(doc);

    return rc == NGX_DECLINED ? ngx_pcap_api_cf_garbage(ctx) : rc;
}


static ngx_int_t
ngx_pcap_api_cf_ask_stats(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_str_t              *guid;
    ngx_pcap_api_cf_app_t  *app;

    app = ask->data;
    guid = app->processes.elts;

    return ngx_pcap_api_cf_fetch(ctx, ask, "/v3/processes/",
                                 &guid[app->process], "/stats",
                                 NGX_PCAP_API_CF_MAX_LIST);
}


/* A process that has gone in between has no instances. */
static ngx_int_t
ngx_pcap_api_cf_take_stats(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    json_t                 *doc;
    ngx_int_t               rc;
    ngx_pcap_api_fetch_t   *f;
    ngx_pcap_api_cf_app_t  *app;

    f = &ask->fetch;
    app = ask->data;

    if (!(f->answered && f->verified && f->status == NGX_HTTP_NOT_FOUND
          && ngx_pcap_api_cf_code(f) == NGX_PCAP_API_CF_NOT_FOUND))
    {
        rc = ngx_pcap_api_cf_answer(ctx, ask);
        if (rc != NGX_OK) {
            return rc;
        }

        doc = ngx_pcap_api_platform_json(f);
        rc = ngx_pcap_api_cf_read_stats(ctx, doc, app);
        json_decref(doc);

        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? ngx_pcap_api_cf_garbage(ctx) : rc;
        }
    }

    ngx_pcap_api_health_set(&ctx->conf->cf->health, 1);

    return ++app->process < app->processes.nelts ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_pcap_api_cf_no_instances(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_cf_app_t *app)
{
    return ngx_array_init(&app->instances, ctx->request->pool, 8,
                          sizeof(ngx_pcap_api_cf_inst_t));
}


static ngx_int_t
ngx_pcap_api_cf_begin(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    char                    err[PCAPX_ERR_LEN];
    ngx_int_t               rc;
    ngx_pcap_api_cf_app_t  *app;

    rc = ngx_pcap_api_need_scope(ctx, ctx->conf->cf_scopes);
    if (rc != NGX_OK) {
        return rc;
    }

    if (pcapx_valid_guid((char *) ctx->group.data, ctx->group.len, err)
        != PCAPX_OK)
    {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                   "the app is named by its guid: %s", err);
    }

    if (ctx->opts.process.len == 0) {
        ngx_str_set(&ctx->opts.process, "web");
    }

    app = ngx_pcap_api_platform_begin(ctx, ask,
                                      sizeof(ngx_pcap_api_cf_app_t));
    return app ? ngx_pcap_api_cf_no_instances(ctx, app) : NGX_ERROR;
}


static ngx_int_t
ngx_pcap_api_cf_resolve(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t  rc;

    if (ask->data == NULL) {
        rc = ngx_pcap_api_cf_begin(ctx, ask);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_pcap_api_platform_run(ctx, ctx->conf->cf, ask,
                                   ngx_pcap_api_cf_questions);

    return rc == NGX_OK ? ngx_pcap_api_cf_targets(ctx, ask->data) : rc;
}


static ngx_int_t
ngx_pcap_api_cf_right(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t  rc;

    if (ask->data == NULL) {
        rc = ngx_pcap_api_cf_begin(ctx, ask);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_pcap_api_platform_run(ctx, ctx->conf->cf, ask,
                                     ngx_pcap_api_cf_rights);
}


/*
 * Where are the instances now whose agents do not know them? Whatever goes
 * wrong here is no reason to refuse a capture of the others.
 */
static ngx_int_t
ngx_pcap_api_cf_moved(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_int_t               rc;
    ngx_pcap_api_health_t   health;
    ngx_pcap_api_cf_app_t  *app;

    app = ask->data;
    health = ctx->conf->cf->health;

    if (!app->again) {
        app->again = 1;
        app->process = 0;
        ask->step = 0;

        /* agents have their targets in the first list */

        if (ngx_pcap_api_cf_no_instances(ctx, app) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    rc = ngx_pcap_api_platform_run(ctx, ctx->conf->cf, ask,
                                   ngx_pcap_api_cf_again);

    if (rc == NGX_OK) {
        return ngx_pcap_api_cf_follow(ctx, app);
    }

    if (rc == NGX_AGAIN || rc == NGX_ERROR) {
        return rc;
    }

    /* it had the rest of a start only, which says nothing of its health */

    ctx->conf->cf->health = health;
    ctx->retry_after = 0;
    ctx->bearer_error = NULL;
    ctx->fail_status = 0;
    ngx_str_null(&ctx->fail_detail);
    ngx_pcap_api_fetch_drop(&ask->fetch);

    return NGX_OK;
}


/* The root document needs no token. */
static ngx_int_t
ngx_pcap_api_cf_ask_root(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    ngx_str_set(&ask->uri, "/");
    ask->bearer = 0;

    return ngx_pcap_api_platform_ask(ctx, ctx->conf->cf, ask,
                                     NGX_PCAP_API_CF_MAX_SMALL);
}


static ngx_int_t
ngx_pcap_api_cf_take_root(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    json_t      *doc, *v;
    ngx_int_t    rc;
    ngx_uint_t   fits;

    rc = ngx_pcap_api_cf_answer(ctx, ask);
    if (rc != NGX_OK) {
        return rc;
    }

    doc = ngx_pcap_api_platform_json(&ask->fetch);
    v = json_object_get(json_object_get(doc, "links"), "cloud_controller_v3");
    fits = json_is_string(json_object_get(v, "href"));
    json_decref(doc);

    if (!fits) {
        return ngx_pcap_api_cf_garbage(ctx);
    }

    ngx_pcap_api_health_set(&ctx->conf->cf->health, 1);

    return NGX_OK;
}


/* Nobody has a token of ours before he has shown who he is. */
static ngx_int_t
ngx_pcap_api_cf_ask_first(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    return ctx->conf->cf->verified ? NGX_OK
                                   : ngx_pcap_api_cf_ask_root(ctx, ask);
}


static ngx_int_t
ngx_pcap_api_cf_probe(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask)
{
    static const ngx_pcap_api_question_t  root = {
        ngx_pcap_api_cf_ask_root, ngx_pcap_api_cf_take_root
    };

    return ngx_pcap_api_platform_probe(ctx, ctx->conf->cf, ask, &root);
}


static ngx_uint_t
ngx_pcap_api_cf_configured(ngx_pcap_api_loc_conf_t *conf)
{
    return conf->cf != NULL;
}


const ngx_pcap_api_resolver_t  ngx_pcap_api_cf_resolver = {
    ngx_string("cf"),
    2,
    NGX_PCAP_API_TAKES_PROCESS,
    ngx_pcap_api_cf_configured,
    ngx_pcap_api_cf_resolve,
    ngx_pcap_api_cf_moved,
    ngx_pcap_api_cf_probe,
    ngx_pcap_api_cf_right
};
