/*
 * module/cf_instances.c: what a Cloud Controller says about an app, its
 * processes and their instances, and which of them become targets. Hostile
 * input: each field is checked for type and length, an instance or a process
 * that is there twice is refused, only literal cell addresses within
 * pcap_api_agent_ranges are ever used, and of an app's own name nothing but
 * harmless characters goes anywhere.
 *
 * Sources: cloud_controller_ng, app/presenters/v3/{app,process,process_stats}
 * _presenter.rb, lib/cloud_controller/diego/reporters/instances_stats
 * _reporter.rb; rep, auctioncellrep/helpers.go (instance guids)
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>


#define NGX_PCAP_API_CF_MAX_NAME       60    /* of an app, in a target's */
#define NGX_PCAP_API_CF_MAX_STRING     1024  /* 255 characters of UTF-8 */
#define NGX_PCAP_API_CF_MAX_PROCESSES  32    /* of one type */
#define NGX_PCAP_API_CF_MAX_STATE      32
#define NGX_PCAP_API_CF_SHORT          8     /* of a process, in a name */


/* The text of key, 1 to max bytes, or NULL. */
static json_t *
ngx_pcap_api_cf_text(json_t *doc, const char *key, size_t max)
{
    json_t  *v;

    v = json_object_get(doc, key);

    return json_is_string(v) && json_string_length(v) > 0
           && json_string_length(v) <= max
           ? v : NULL;
}


/* NGX_OK with a copy of a right guid, NGX_DECLINED, NGX_ERROR. */
static ngx_int_t
ngx_pcap_api_cf_guid(ngx_pool_t *pool, json_t *doc, ngx_str_t *guid)
{
    char    err[PCAPX_ERR_LEN];
    json_t  *v;

    v = json_object_get(doc, "guid");

    if (!json_is_string(v)
        || pcapx_valid_guid(json_string_value(v), json_string_length(v), err)
           != PCAPX_OK)
    {
        return NGX_DECLINED;
    }

    guid->len = json_string_length(v);
    guid->data = ngx_pnalloc(pool, guid->len);
    if (guid->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(guid->data, json_string_value(v), guid->len);

    return NGX_OK;
}


/*
 * An app's name may hold anything its developer likes. Here it stands in
 * names, messages and a file's name: one "_" for each other character.
 */
static ngx_int_t
ngx_pcap_api_cf_clean_name(ngx_pool_t *pool, json_t *v, ngx_str_t *name)
{
    size_t       i, len;
    u_char       ch;
    const char  *s;

    name->data = ngx_pnalloc(pool, NGX_PCAP_API_CF_MAX_NAME);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    s = json_string_value(v);
    len = json_string_length(v);
    name->len = 0;

    for (i = 0; i < len && name->len < NGX_PCAP_API_CF_MAX_NAME; i++) {
        ch = (u_char) s[i];

        if ((ch & 0xc0) == 0x80) {         /* jansson takes UTF-8 only */
            continue;
        }

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9') || ch == '-' || ch == '_'
              || (ch == '.' && name->len > 0)))
        {
            ch = '_';
        }

        name->data[name->len++] = ch;
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_cf_read_app(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_pcap_api_cf_app_t *app)
{
    json_t      *name, *state;
    ngx_int_t    rc;
    ngx_pool_t  *pool;

    pool = ctx->request->pool;

    rc = ngx_pcap_api_cf_guid(pool, doc, &app->guid);
    if (rc != NGX_OK) {
        return rc;
    }

    /* a database that compares without case has found another spelling */

    if (app->guid.len != ctx->group.len
        || ngx_strncasecmp(app->guid.data, ctx->group.data, app->guid.len)
           != 0)
    {
        return NGX_DECLINED;
    }

    name = ngx_pcap_api_cf_text(doc, "name", NGX_PCAP_API_CF_MAX_STRING);
    state = ngx_pcap_api_cf_text(doc, "state", NGX_PCAP_API_CF_MAX_STATE);

    if (name == NULL || state == NULL) {
        return NGX_DECLINED;
    }

    app->stopped = strcmp(json_string_value(state), "STOPPED") == 0;

    if (!app->stopped && strcmp(json_string_value(state), "STARTED") != 0) {
        return NGX_DECLINED;
    }

    return ngx_pcap_api_cf_clean_name(pool, name, &app->name);
}


/* The one of doc's included list that doc's relationship names, or NULL. */
static json_t *
ngx_pcap_api_cf_owner(json_t *doc, const char *relationship, json_t *list)
{
    size_t       i;
    json_t      *owner;
    const char  *guid, *other;

    guid = json_string_value(json_object_get(json_object_get(
               json_object_get(json_object_get(doc, "relationships"),
                               relationship), "data"), "guid"));

    for (i = 0; guid != NULL && i < json_array_size(list); i++) {
        owner = json_array_get(list, i);
        other = json_string_value(json_object_get(owner, "guid"));

        if (other != NULL && strcmp(guid, other) == 0) {
            return owner;
        }
    }

    return NULL;
}


ngx_int_t
ngx_pcap_api_cf_owners(json_t *doc, json_t **space, json_t **org)
{
    json_t  *included;

    included = json_object_get(doc, "included");

    *space = ngx_pcap_api_cf_owner(doc, "space",
                                   json_object_get(included, "spaces"));
    *org = ngx_pcap_api_cf_owner(*space, "organization",
                                json_object_get(included, "organizations"));

    return *space != NULL && *org != NULL ? NGX_OK : NGX_DECLINED;
}


/* NULL: there is no such annotation. */
static json_t *
ngx_pcap_api_cf_annotation(json_t *doc, ngx_str_t *name)
{
    /* the configuration's strings end with a NUL */

    return json_object_get(json_object_get(json_object_get(doc, "metadata"),
                                           "annotations"),
                           (char *) name->data);
}


ngx_uint_t
ngx_pcap_api_cf_opted_in(json_t *doc, ngx_str_t *name)
{
    const char  *value;

    value = json_string_value(ngx_pcap_api_cf_annotation(doc, name));

    return value != NULL && strcmp(value, "true") == 0;
}


ngx_uint_t
ngx_pcap_api_cf_allows(json_t *owner, ngx_str_t *name)
{
    json_t  *v;

    v = ngx_pcap_api_cf_annotation(owner, name);

    return v == NULL || json_is_null(v)
           || ngx_pcap_api_cf_opted_in(owner, name);
}


/* " web, worker" of a list, as far as there is room, cleaned. */
static size_t
ngx_pcap_api_cf_types(json_t *list, u_char *text, size_t max)
{
    size_t   i, n;
    json_t  *v;

    for (i = 0, n = 0; i < json_array_size(list) && n + 2 < max; i++) {
        v = json_object_get(json_array_get(list, i), "type");

        if (i > 0) {
            text[n++] = ',';
        }

        text[n++] = ' ';
        n += ngx_pcap_api_clean_text(text + n, max - n,
                                     (u_char *) json_string_value(v),
                                     json_string_length(v));
    }

    return n;
}


/* The names of targets have only a part of a process' guid in them. */
static ngx_uint_t
ngx_pcap_api_cf_same_process(ngx_array_t *all, ngx_str_t *guid)
{
    size_t       len;
    ngx_str_t   *s;
    ngx_uint_t   i;

    s = all->elts;

    for (i = 0; i + 1 < all->nelts; i++) {
        len = ngx_min(ngx_min(s[i].len, guid->len), NGX_PCAP_API_CF_SHORT);

        if (ngx_memcmp(s[i].data, guid->data, len) == 0) {
            return 1;
        }
    }

    return 0;
}


/* A process of the type that is asked for is added; others are nothing. */
static ngx_int_t
ngx_pcap_api_cf_process(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_pcap_api_cf_app_t *app)
{
    json_t     *type;
    ngx_int_t   rc;
    ngx_str_t  *guid;

    type = ngx_pcap_api_cf_text(doc, "type", NGX_PCAP_API_CF_MAX_STRING);

    if (type == NULL) {
        return NGX_DECLINED;
    }

    if (json_string_length(type) != ctx->opts.process.len
        || ngx_memcmp(json_string_value(type), ctx->opts.process.data,
                      ctx->opts.process.len)
           != 0)
    {
        return NGX_OK;
    }

    if (app->processes.nelts == NGX_PCAP_API_CF_MAX_PROCESSES) {
        return NGX_DECLINED;
    }

    guid = ngx_array_push(&app->processes);
    if (guid == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_pcap_api_cf_guid(ctx->request->pool, doc, guid);

    if (rc == NGX_OK && ngx_pcap_api_cf_same_process(&app->processes, guid)) {
        return NGX_DECLINED;
    }

    return rc;
}


ngx_int_t
ngx_pcap_api_cf_read_processes(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_pcap_api_cf_app_t *app)
{
    size_t      i, n;
    u_char      types[160];
    json_t     *list, *next;
    ngx_int_t   rc;

    list = json_object_get(doc, "resources");
    next = json_object_get(json_object_get(doc, "pagination"), "next");

    if (!json_is_array(list) || !json_is_null(next)) {
        return NGX_DECLINED;
    }

    if (ngx_array_init(&app->processes, ctx->request->pool, 2,
                       sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < json_array_size(list); i++) {
        rc = ngx_pcap_api_cf_process(ctx, json_array_get(list, i), app);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (app->processes.nelts == 0) {
        n = ngx_pcap_api_cf_types(list, types, sizeof(types));

        return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                   "app \"%V\" has no process \"%V\", it has:%*s",
                   &app->name, &ctx->opts.process, n, types);
    }

    return NGX_OK;
}


/* "&container=HANDLE&app=GUID", and what the file says about it. */
static ngx_int_t
ngx_pcap_api_cf_container(ngx_pcap_api_ctx_t *ctx, ngx_str_t *app,
    json_t *handle, json_t *ip, ngx_pcap_api_target_t *t)
{
    u_char      *p, buf[NGX_SOCKADDR_STRLEN];
    size_t       len;
    ngx_str_t    text;
    ngx_pool_t  *pool;

    pool = ctx->request->pool;
    len = json_string_length(handle);

    t->args.data = ngx_pnalloc(pool, sizeof("&container=&app=")
                                     + 3 * (len + app->len));
    t->detail.data = ngx_pnalloc(pool, sizeof(" instance_guid= container=")
                                       + len + INET6_ADDRSTRLEN);

    if (t->args.data == NULL || t->detail.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(t->args.data, "&container=", 11);
    p += pcapx_form_encode((char *) p, 3 * len, json_string_value(handle),
                           len);
    p = ngx_cpymem(p, "&app=", 5);
    p += pcapx_form_encode((char *) p, 3 * app->len, (char *) app->data,
                           app->len);
    t->args.len = p - t->args.data;

    p = ngx_sprintf(t->detail.data, " instance_guid=%s",
                    json_string_value(handle));

    /* a label: nothing is ever sent there */

    text.data = buf;

    if (json_is_string(ip)
        && ngx_pcap_api_platform_address(json_string_value(ip),
               json_string_length(ip), 1, &text, t->ip, &t->ip_len))
    {
        p = ngx_sprintf(p, " container=%s", json_string_value(ip));

    } else {
        t->ip_len = 0;
    }

    t->detail.len = p - t->detail.data;

    return NGX_OK;
}


/* Where its cell's agent is; NGX_OK, also when that is not to be had. */
static ngx_int_t
ngx_pcap_api_cf_cell(ngx_pcap_api_ctx_t *ctx, json_t *host,
    ngx_pcap_api_target_t *t)
{
    u_char                    buf[NGX_SOCKADDR_STRLEN], ip[16], ip_len;
    ngx_str_t                 text;
    ngx_array_t              *ranges;
    ngx_pcap_api_platform_t  *cf;

    cf = ctx->conf->cf;
    ranges = ctx->conf->ranges;
    text.data = buf;

    if (!ngx_pcap_api_platform_address(json_string_value(host),
            json_string_length(host), cf->port, &text, ip, &ip_len))
    {
        t->unavailable = "the address of its cell is no literal one";
        return NGX_OK;
    }

    if (!ngx_pcap_api_platform_in(ranges->elts, ranges->nelts, ip, ip_len)) {
        t->unavailable = "the address of its cell does not lie in the "
                         "agents' ranges of this API";
        return NGX_OK;
    }

    t->tls_name = cf->tls_name;
    t->addr.len = text.len;
    t->addr.data = ngx_pstrdup(ctx->request->pool, &text);

    return t->addr.data == NULL ? NGX_ERROR : NGX_OK;
}


/* "its state is CRASHED: DETAILS" */
static ngx_int_t
ngx_pcap_api_cf_not_running(ngx_pool_t *pool, const char *state,
    json_t *details, ngx_pcap_api_target_t *t)
{
    u_char  *p, text[128];
    size_t   len;

    p = ngx_pnalloc(pool, NGX_PCAP_API_TEXT_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    len = 0;

    if (json_is_string(details)) {
        len = ngx_pcap_api_clean_text(text, sizeof(text),
                                      (u_char *) json_string_value(details),
                                      json_string_length(details));
    }

    (void) ngx_snprintf(p, NGX_PCAP_API_TEXT_LEN, "its state is %s%s%*s%Z",
                        state, len ? ": " : "", len, text);
    t->unavailable = (char *) p;

    return NGX_OK;
}


static ngx_uint_t
ngx_pcap_api_cf_valid_state(json_t *v)
{
    const char  *p;

    if (v == NULL) {
        return 0;
    }

    for (p = json_string_value(v); *p; p++) {
        if (!((*p >= 'A' && *p <= 'Z') || *p == '_')) {
            return 0;
        }
    }

    return 1;
}


/* A field that is there for an instance with a cell only. */
static ngx_uint_t
ngx_pcap_api_cf_maybe_text(json_t *v)
{
    return v == NULL || json_is_null(v)
           || (json_is_string(v)
               && json_string_length(v) <= NGX_PCAP_API_CF_MAX_STRING);
}


/* NGX_OK, NGX_DECLINED (no instance of a Cloud Controller), NGX_ERROR. */
static ngx_int_t
ngx_pcap_api_cf_instance(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_pcap_api_cf_app_t *app, ngx_pcap_api_cf_inst_t *in)
{
    char        err[PCAPX_ERR_LEN];
    json_t     *index, *state, *host, *guid, *ip, *details;
    ngx_int_t   rc;

    index = json_object_get(doc, "index");
    state = ngx_pcap_api_cf_text(doc, "state", NGX_PCAP_API_CF_MAX_STATE);
    host = json_object_get(doc, "host");
    guid = json_object_get(doc, "instance_guid");
    ip = json_object_get(doc, "instance_internal_ip");
    details = json_object_get(doc, "details");

    if (!json_is_integer(index) || json_integer_value(index) < 0
        || json_integer_value(index) > PCAPX_MAX_INDEX
        || !ngx_pcap_api_cf_valid_state(state)
        || !ngx_pcap_api_cf_maybe_text(host)
        || !ngx_pcap_api_cf_maybe_text(guid)
        || !ngx_pcap_api_cf_maybe_text(ip)
        || !(ngx_pcap_api_cf_maybe_text(details) || json_is_string(details)))
    {
        return NGX_DECLINED;
    }

    in->index = json_integer_value(index);
    in->process = app->process;

    /* for the log: it is not used for a connection */
    ngx_str_set(&in->target.addr, "-");

    if (strcmp(json_string_value(state), "RUNNING") != 0) {
        return ngx_pcap_api_cf_not_running(ctx->request->pool,
                                           json_string_value(state), details,
                                           &in->target);
    }

    if (json_string_length(host) == 0 || json_string_length(guid) == 0) {
        in->target.unavailable = "the Cloud Controller does not say on which "
                                 "cell it runs";
        return NGX_OK;
    }

    if (pcapx_valid_handle(json_string_value(guid), json_string_length(guid),
                           err)
        != PCAPX_OK)
    {
        return NGX_DECLINED;
    }

    rc = ngx_pcap_api_cf_container(ctx, &app->guid, guid, ip, &in->target);

    return rc == NGX_OK ? ngx_pcap_api_cf_cell(ctx, host, &in->target) : rc;
}


static int ngx_libc_cdecl
ngx_pcap_api_cf_by_index(const void *one, const void *two)
{
    ngx_pcap_api_cf_inst_t  *a = (ngx_pcap_api_cf_inst_t *) one;
    ngx_pcap_api_cf_inst_t  *b = (ngx_pcap_api_cf_inst_t *) two;

    return (a->index > b->index) - (a->index < b->index);
}


ngx_int_t
ngx_pcap_api_cf_read_stats(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_pcap_api_cf_app_t *app)
{
    size_t                   i, n, first;
    json_t                  *list;
    ngx_int_t                rc;
    ngx_pcap_api_cf_inst_t  *in;

    list = json_object_get(doc, "resources");
    n = json_array_size(list);
    first = app->instances.nelts;

    /* of all processes together: nobody can have more targets */

    if (!json_is_array(list) || first + n > PCAPX_MAX_INDEX + 1) {
        return NGX_DECLINED;
    }

    for (i = 0; i < n; i++) {
        in = ngx_array_push(&app->instances);
        if (in == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(in, sizeof(ngx_pcap_api_cf_inst_t));

        rc = ngx_pcap_api_cf_instance(ctx, json_array_get(list, i), app, in);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    in = app->instances.elts;
    in += first;

    ngx_qsort(in, n, sizeof(ngx_pcap_api_cf_inst_t),
              ngx_pcap_api_cf_by_index);

    for (i = 1; i < n; i++) {
        if (in[i - 1].index == in[i].index) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_pcap_api_cf_is_asked(ngx_pcap_api_ctx_t *ctx, ngx_uint_t index)
{
    ngx_uint_t  *asked, i;

    asked = ctx->opts.indexes.elts;

    for (i = 0; i < ctx->opts.indexes.nelts; i++) {
        if (asked[i] == index) {
            return 1;
        }
    }

    return ctx->opts.indexes.nelts == 0;
}


/* Every index= has to name something that is there. */
static ngx_int_t
ngx_pcap_api_cf_check_indexes(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_cf_app_t *app)
{
    ngx_uint_t               i, k, *asked;
    ngx_pcap_api_cf_inst_t  *in;

    in = app->instances.elts;
    asked = ctx->opts.indexes.elts;

    if (app->instances.nelts == 0) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_CONFLICT,
                   "app \"%V\" has no instance of process \"%V\"",
                   &app->name, &ctx->opts.process);
    }

    for (i = 0; i < ctx->opts.indexes.nelts; i++) {

        for (k = 0; k < app->instances.nelts; k++) {
            if (in[k].index == asked[i]) {
                break;
            }
        }

        if (k == app->instances.nelts) {
            return ngx_pcap_api_refuse(ctx, NGX_HTTP_NOT_FOUND,
                       "process \"%V\" of app \"%V\" has no instance %ui",
                       &ctx->opts.process, &app->name, asked[i]);
        }
    }

    return NGX_OK;
}


/* "app/0", "app/worker/0", and "@PROCESS" behind it where there are two. */
static ngx_int_t
ngx_pcap_api_cf_name(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_cf_app_t *app,
    ngx_pcap_api_cf_inst_t *in)
{
    u_char      *p;
    ngx_str_t   *type, *process, *name;

    name = &in->target.instance;
    type = &ctx->opts.process;

    p = ngx_pnalloc(ctx->request->pool, app->name.len + type->len
                                        + NGX_INT_T_LEN
                                        + NGX_PCAP_API_CF_SHORT + 3);
    if (p == NULL) {
        return NGX_ERROR;
    }

    name->data = p;
    p = ngx_sprintf(p, "%V/", &app->name);

    if (type->len != 3 || ngx_memcmp(type->data, "web", 3) != 0) {
        p = ngx_sprintf(p, "%V/", type);
    }

    p = ngx_sprintf(p, "%ui", in->index);

    if (app->processes.nelts > 1) {
        process = app->processes.elts;
        process += in->process;
        p = ngx_sprintf(p, "@%*s",
                        ngx_min(process->len, NGX_PCAP_API_CF_SHORT),
                        process->data);
    }

    name->len = p - name->data;

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_cf_targets(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_cf_app_t *app)
{
    ngx_int_t                rc;
    ngx_uint_t               i, n;
    ngx_pcap_api_cf_inst_t  *in;

    rc = ngx_pcap_api_cf_check_indexes(ctx, app);
    if (rc != NGX_OK) {
        return rc;
    }

    in = app->instances.elts;

    for (i = 0, n = 0; i < app->instances.nelts; i++) {
        n += ngx_pcap_api_cf_is_asked(ctx, in[i].index);
    }

    rc = ngx_pcap_api_agents_room(ctx, n);
    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < app->instances.nelts; i++) {

        if (!ngx_pcap_api_cf_is_asked(ctx, in[i].index)) {
            continue;
        }

        if (ngx_pcap_api_cf_name(ctx, app, &in[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_pcap_api_agent_add(ctx, &in[i].target);
    }

    return NGX_OK;
}


/* It is said to be there still. */
static ngx_uint_t
ngx_pcap_api_cf_same_place(ngx_pcap_api_target_t *a, ngx_pcap_api_target_t *b)
{
    return a->unavailable == NULL
           && a->addr.len == b->addr.len
           && ngx_memcmp(a->addr.data, b->addr.data, a->addr.len) == 0
           && a->args.len == b->args.len
           && ngx_memcmp(a->args.data, b->args.data, a->args.len) == 0;
}


/* NULL: it is not there. They are sorted by process, then by index. */
static ngx_pcap_api_cf_inst_t *
ngx_pcap_api_cf_find(ngx_array_t *all, ngx_uint_t process, ngx_uint_t index)
{
    ngx_uint_t               low, high, mid;
    ngx_pcap_api_cf_inst_t  *in;

    in = all->elts;
    low = 0;
    high = all->nelts;

    while (low < high) {
        mid = (low + high) / 2;

        if (in[mid].process < process
            || (in[mid].process == process && in[mid].index < index))
        {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    return low < all->nelts && in[low].process == process
           && in[low].index == index
           ? &in[low] : NULL;
}


/* Where instances are now that an agent did not know. */
ngx_int_t
ngx_pcap_api_cf_follow(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_cf_app_t *app)
{
    ngx_uint_t               i;
    ngx_pcap_api_agent_t    *a;
    ngx_pcap_api_target_t   *t;
    ngx_pcap_api_cf_inst_t  *in, *old;

    for (i = 0; i < ctx->nagents; i++) {
        a = &ctx->agents[i];

        if (!a->moved) {
            continue;
        }

        t = a->target;
        old = (ngx_pcap_api_cf_inst_t *)
                  ((u_char *) t - offsetof(ngx_pcap_api_cf_inst_t, target));
        in = ngx_pcap_api_cf_find(&app->instances, old->process, old->index);

        if (in == NULL || ngx_pcap_api_cf_same_place(&in->target, t)) {
            continue;
        }

        in->target.instance = t->instance;
        a->target = &in->target;
        a->elsewhere = 1;
    }

    return NGX_OK;
}
