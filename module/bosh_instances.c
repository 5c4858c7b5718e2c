/*
 * module/bosh_instances.c: what a Director says about instances, and which of
 * them become targets. Hostile input: each field is checked for type and
 * length, an instance that is there twice is refused, and of the addresses
 * only literal ones within pcap_api_agent_ranges are ever used.
 *
 * Sources: bosh-director, deployments_controller.rb (create_vm_response),
 * models/vm.rb (ips)
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>


#define NGX_PCAP_API_BOSH_MAX_IP     64
#define NGX_PCAP_API_BOSH_MAX_ID     63
#define NGX_PCAP_API_BOSH_MAX_INDEX  999999999


/* One instance, as it can be a target. */

typedef struct {
    ngx_uint_t                 index;
    size_t                     group_len;    /* of target.instance */
    ngx_pcap_api_target_t      target;
} ngx_pcap_api_bosh_inst_t;


/*
 * A literal address of the instance that fits into a range: the first range
 * that has one wins, as the Director sorts addresses by number and its first
 * one means nothing. "10.0.1.0/28" is a prefix routed to the VM.
 */
static ngx_uint_t
ngx_pcap_api_bosh_address(ngx_uint_t port, ngx_cidr_t *range, json_t *v,
    ngx_str_t *text, ngx_pcap_api_target_t *t)
{
    size_t       len;
    const char  *ip, *slash;

    ip = json_string_value(v);
    len = json_string_length(v);

    slash = memchr(ip, '/', len);

    if (slash != NULL) {
        len = slash - ip;

        if (strcmp(slash, memchr(ip, ':', len) ? "/128" : "/32") != 0) {
            return 0;
        }
    }

    return ngx_pcap_api_platform_address(ip, len, port, text, t->ip,
                                         &t->ip_len)
           && ngx_pcap_api_platform_in(range, 1, t->ip, t->ip_len);
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

            if (ngx_pcap_api_bosh_address(ctx->conf->bosh->platform.port,
                                          &range[i], json_array_get(ips, k),
                                          &text, t))
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


/* What its agent's certificate has to hold: "*.x" is "ID.x". */
static ngx_int_t
ngx_pcap_api_bosh_tls_name(ngx_pool_t *pool, ngx_str_t *pattern, u_char *id,
    size_t id_len, ngx_str_t *name)
{
    u_char  *p;

    if (pattern->data[0] != '*') {
        *name = *pattern;
        return NGX_OK;
    }

    name->len = id_len + pattern->len - 1;

    name->data = ngx_pnalloc(pool, name->len);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(name->data, id, id_len);
    ngx_memcpy(p, pattern->data + 1, pattern->len - 1);

    return NGX_OK;
}


/*
 * A group may be called what our users can neither write nor select. That is
 * its deployment's own business: the group is shown, the others captured.
 */
static void
ngx_pcap_api_bosh_odd_group(ngx_pcap_api_bosh_inst_t *in)
{
    size_t   i;
    u_char  *p;

    p = in->target.instance.data;

    for (i = 0; i < in->group_len; i++) {
        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z')
              || (p[i] >= '0' && p[i] <= '9') || p[i] == '-'))
        {
            p[i] = '_';
        }
    }

    in->target.unavailable = "the name of its group cannot be used here";
}


/* "group/id", and the name its agent has to show. */
static ngx_int_t
ngx_pcap_api_bosh_names(ngx_pcap_api_ctx_t *ctx, json_t *doc,
    ngx_pcap_api_bosh_inst_t *in)
{
    char         err[PCAPX_ERR_LEN];
    size_t       id_len;
    u_char      *p, *id;
    json_t      *g, *i;
    ngx_pool_t  *pool;

    g = json_object_get(doc, "job");
    i = json_object_get(doc, "id");

    if (!json_is_string(g) || !json_is_string(i)
        || json_string_length(g) == 0
        || json_string_length(i) > NGX_PCAP_API_BOSH_MAX_ID)
    {
        return NGX_DECLINED;
    }

    pool = ctx->request->pool;
    id_len = json_string_length(i);
    in->group_len = ngx_min(json_string_length(g),
                            PCAPX_MAX_INSTANCE_LEN - 1 - id_len);

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

    if (json_string_length(g) > in->group_len
        || pcapx_valid_instance((char *) in->target.instance.data,
                                in->target.instance.len, err)
           != PCAPX_OK)
    {
        ngx_pcap_api_bosh_odd_group(in);

        if (pcapx_valid_instance((char *) in->target.instance.data,
                                 in->target.instance.len, err)
            != PCAPX_OK)
        {
            return NGX_DECLINED;           /* the id, which is a Director's */
        }
    }

    return ngx_pcap_api_bosh_tls_name(pool,
                                      &ctx->conf->bosh->platform.tls_name,
                                      id, id_len, &in->target.tls_name);
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
        || json_integer_value(index) > NGX_PCAP_API_BOSH_MAX_INDEX
        || !json_is_array(ips)
        || !(ngx_pcap_api_bosh_is_null(cid) || json_is_string(cid))
        || !(ngx_pcap_api_bosh_is_null(agent) || json_is_string(agent))
        || !(ngx_pcap_api_bosh_is_null(expects) || json_is_boolean(expects)))
    {
        return NGX_DECLINED;
    }

    for (k = 0; k < json_array_size(ips); k++) {
        ip = json_array_get(ips, k);

        if (!json_is_string(ip)
            || json_string_length(ip) > NGX_PCAP_API_BOSH_MAX_IP)
        {
            return NGX_DECLINED;
        }
    }

    rc = ngx_pcap_api_bosh_names(ctx, doc, in);
    if (rc != NGX_OK) {
        return rc;
    }

    in->index = json_integer_value(index);

    if (in->target.unavailable != NULL) {
        ngx_str_set(&in->target.addr, "-");
        return NGX_OK;
    }

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
ngx_int_t
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


/*
 * What pcap_api_bosh_exclude names: 403 for who asks for it, and where nothing
 * else is left; who asks for all is told what is not captured.
 */
static ngx_int_t
ngx_pcap_api_bosh_leave_out(ngx_pcap_api_ctx_t *ctx, ngx_array_t *all,
    u_char *picked)
{
    ngx_str_t                  group;
    ngx_uint_t                 i, left;
    ngx_pcap_api_bosh_inst_t  *in;

    in = all->elts;
    left = 0;
    ngx_str_null(&group);

    for (i = 0; i < all->nelts; i++) {

        if (!picked[i]) {
            continue;
        }

        group.data = in[i].target.instance.data;
        group.len = in[i].group_len;

        if (!ngx_pcap_api_bosh_excluded(ctx, &group)) {
            left++;
            continue;
        }

        if (ctx->opts.instances.nelts) {
            left = 0;
            break;
        }

        in[i].target.unavailable = "its group is never captured here: "
                                   "\"pcap_api_bosh_exclude\"";
    }

    if (left) {
        return NGX_OK;
    }

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN, "group \"%V\" of "
               "deployment \"%V\" is never captured here: "
               "\"pcap_api_bosh_exclude\"", &group, &ctx->group);
}


ngx_int_t
ngx_pcap_api_bosh_targets(ngx_pcap_api_ctx_t *ctx, ngx_array_t *all)
{
    u_char                    *picked;
    ngx_int_t                  rc;
    ngx_uint_t                 i, n;
    ngx_pcap_api_bosh_inst_t  *in;

    n = 0;
    in = all->elts;

    picked = ngx_pcalloc(ctx->request->pool, all->nelts + 1);
    if (picked == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_pcap_api_bosh_pick(ctx, all, picked, &n);

    if (rc == NGX_OK) {
        rc = ngx_pcap_api_bosh_leave_out(ctx, all, picked);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_pcap_api_agents_room(ctx, n);
    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < all->nelts; i++) {
        if (picked[i]) {
            ngx_pcap_api_agent_add(ctx, &in[i].target);
        }
    }

    return NGX_OK;
}
