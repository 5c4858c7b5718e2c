/*
 * module/variables.c: the $pcap_* variables. None but $pcap_token,
 * $pcap_client_token and $pcap_bearer hold a token, and these are there for
 * the introspection location and for questions to platforms and peers only;
 * $pcap_store_body may hold a grant, for questions to the store, and so do
 * $pcap_kube_token and $pcap_kube_body for questions to an API server.
 */

#include "ngx_pcap_api_module.h"


static ngx_int_t ngx_pcap_api_variable_agent(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pcap_api_variable_ask(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pcap_api_variable_peer(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pcap_api_variable_store(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pcap_api_variable_kube(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_pcap_api_variable_capture(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


/* What a variable shows: of the agent a subrequest goes to, or of r->main. */

enum {
    NGX_PCAP_API_VAR_ADDR = 0,
    NGX_PCAP_API_VAR_URI,
    NGX_PCAP_API_VAR_NAME,
    NGX_PCAP_API_VAR_TOKEN,
    NGX_PCAP_API_VAR_CLIENT_TOKEN,
    NGX_PCAP_API_VAR_DIRECTOR_URI,
    NGX_PCAP_API_VAR_CC_URI,
    NGX_PCAP_API_VAR_BEARER,
    NGX_PCAP_API_VAR_PEER_ADDR,
    NGX_PCAP_API_VAR_PEER_URI,
    NGX_PCAP_API_VAR_PEER_NAME,
    NGX_PCAP_API_VAR_KEYS_ETAG,
    NGX_PCAP_API_VAR_STORE_METHOD,
    NGX_PCAP_API_VAR_STORE_URI,
    NGX_PCAP_API_VAR_STORE_BODY,
    NGX_PCAP_API_VAR_KUBE_METHOD,
    NGX_PCAP_API_VAR_KUBE_URI,
    NGX_PCAP_API_VAR_KUBE_BODY,
    NGX_PCAP_API_VAR_KUBE_TOKEN,
    NGX_PCAP_API_VAR_KUBE_CLUSTER,
    NGX_PCAP_API_VAR_ID,
    NGX_PCAP_API_VAR_CLIENT,
    NGX_PCAP_API_VAR_USER,
    NGX_PCAP_API_VAR_STATUS,
    NGX_PCAP_API_VAR_PACKETS,
    NGX_PCAP_API_VAR_DROPPED,
    NGX_PCAP_API_VAR_REQUEST_ID
};


/*
 * All are not cacheable: subrequests share r->variables with the main
 * request, and a cached address would send every agent's request to the
 * first agent.
 */
static ngx_http_variable_t  ngx_pcap_api_vars[] = {

    { ngx_string("pcap_agent_addr"), NULL, ngx_pcap_api_variable_agent,
      NGX_PCAP_API_VAR_ADDR, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_agent_uri"), NULL, ngx_pcap_api_variable_agent,
      NGX_PCAP_API_VAR_URI, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_agent_name"), NULL, ngx_pcap_api_variable_agent,
      NGX_PCAP_API_VAR_NAME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_token"), NULL, ngx_pcap_api_variable_capture,
      NGX_PCAP_API_VAR_TOKEN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_client_token"), NULL, ngx_pcap_api_variable_capture,
      NGX_PCAP_API_VAR_CLIENT_TOKEN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_director_uri"), NULL, ngx_pcap_api_variable_ask,
      NGX_PCAP_API_VAR_DIRECTOR_URI, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_cc_uri"), NULL, ngx_pcap_api_variable_ask,
      NGX_PCAP_API_VAR_CC_URI, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_bearer"), NULL, ngx_pcap_api_variable_ask,
      NGX_PCAP_API_VAR_BEARER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_peer_addr"), NULL, ngx_pcap_api_variable_peer,
      NGX_PCAP_API_VAR_PEER_ADDR, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_peer_uri"), NULL, ngx_pcap_api_variable_peer,
      NGX_PCAP_API_VAR_PEER_URI, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_peer_name"), NULL, ngx_pcap_api_variable_peer,
      NGX_PCAP_API_VAR_PEER_NAME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_keys_etag"), NULL, ngx_pcap_api_variable_capture,
      NGX_PCAP_API_VAR_KEYS_ETAG, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_store_method"), NULL, ngx_pcap_api_variable_store,
      NGX_PCAP_API_VAR_STORE_METHOD, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_store_uri"), NULL, ngx_pcap_api_variable_store,
      NGX_PCAP_API_VAR_STORE_URI, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_store_body"), NULL, ngx_pcap_api_variable_store,
      NGX_PCAP_API_VAR_STORE_BODY, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_kube_method"), NULL, ngx_pcap_api_variable_kube,
      NGX_PCAP_API_VAR_KUBE_METHOD, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_kube_uri"), NULL, ngx_pcap_api_variable_kube,
      NGX_PCAP_API_VAR_KUBE_URI, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_kube_body"), NULL, ngx_pcap_api_variable_kube,
      NGX_PCAP_API_VAR_KUBE_BODY, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_kube_token"), NULL, ngx_pcap_api_variable_kube,
      NGX_PCAP_API_VAR_KUBE_TOKEN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_kube_cluster"), NULL, ngx_pcap_api_variable_kube,
      NGX_PCAP_API_VAR_KUBE_CLUSTER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_capture_id"), NULL, ngx_pcap_api_variable_capture,
      NGX_PCAP_API_VAR_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_client"), NULL, ngx_pcap_api_variable_capture,
      NGX_PCAP_API_VAR_CLIENT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_user"), NULL, ngx_pcap_api_variable_capture,
      NGX_PCAP_API_VAR_USER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_status"), NULL, ngx_pcap_api_variable_capture,
      NGX_PCAP_API_VAR_STATUS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_packets"), NULL, ngx_pcap_api_variable_capture,
      NGX_PCAP_API_VAR_PACKETS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_dropped"), NULL, ngx_pcap_api_variable_capture,
      NGX_PCAP_API_VAR_DROPPED, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("pcap_request_id"), NULL, ngx_pcap_api_variable_capture,
      NGX_PCAP_API_VAR_REQUEST_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


static ngx_int_t
ngx_pcap_api_variable_set(ngx_http_variable_value_t *v, ngx_str_t *s)
{
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    v->len = s->len;
    v->data = s->data;

    return NGX_OK;
}


/* What all agents of the capture are asked, and of this one's container. */
static ngx_int_t
ngx_pcap_api_variable_uri(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_pcap_api_agent_t *a)
{
    u_char     *p;
    ngx_str_t   s;

    if (a->target->args.len == 0) {
        return ngx_pcap_api_variable_set(v, &a->ctx->agent_uri);
    }

    s.len = a->ctx->agent_uri.len + a->target->args.len;

    s.data = ngx_pnalloc(r->pool, s.len);
    if (s.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(s.data, a->ctx->agent_uri.data, a->ctx->agent_uri.len);
    ngx_memcpy(p, a->target->args.data, a->target->args.len);

    return ngx_pcap_api_variable_set(v, &s);
}


static ngx_int_t
ngx_pcap_api_variable_agent(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_pcap_api_pull_t   *p;
    ngx_pcap_api_agent_t  *a;

    p = ngx_pcap_api_pull_of(r);

    if (p != NULL) {
        return ngx_pcap_api_variable_set(v,
                   data == NGX_PCAP_API_VAR_ADDR ? &p->target->addr
                   : data == NGX_PCAP_API_VAR_URI ? &p->uri
                   : &p->target->tls_name);
    }

    a = ngx_pcap_api_agent_of(r);

    if (a == NULL) {
        v->not_found = 1;
        v->no_cacheable = 1;
        return NGX_OK;
    }

    switch (data) {

    case NGX_PCAP_API_VAR_ADDR:
        return ngx_pcap_api_variable_set(v, &a->target->addr);

    case NGX_PCAP_API_VAR_URI:
        return ngx_pcap_api_variable_uri(r, v, a);

    default: /* NGX_PCAP_API_VAR_NAME */
        return ngx_pcap_api_variable_set(v, &a->target->tls_name);
    }
}


/* A Director is asked for nothing of a Cloud Controller's, and vice versa. */
static ngx_uint_t
ngx_pcap_api_variable_of_other(ngx_pcap_api_ask_t *ask, uintptr_t data)
{
    ngx_pcap_api_ask_t  *asks;

    asks = ask->fetch.ctx->asks;

    return (data == NGX_PCAP_API_VAR_DIRECTOR_URI
            && ask != &asks[ngx_pcap_api_bosh_resolver.number])
           || (data == NGX_PCAP_API_VAR_CC_URI
               && ask != &asks[ngx_pcap_api_cf_resolver.number]);
}


/*
 * Of a question to a peer. It gets the token only when its certificate will
 * be verified: nginx asks for the variable when it knows whom it connects to.
 */
static ngx_int_t
ngx_pcap_api_variable_peer(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_uint_t                verified;
    ngx_pcap_api_peer_ask_t  *ask;

    ask = ngx_pcap_api_peer_ask_of(r);

#if (NGX_HTTP_SSL)
    /* of a request that is passed on: only while that is written */

    verified = r->upstream != NULL && r->upstream->ssl
               && r->upstream->conf->ssl_verify
               && (r != r->main || r->upstream->request_bufs == NULL);
#else
    verified = 0;
#endif

    if (ask == NULL || (data == NGX_PCAP_API_VAR_BEARER && !verified)) {
        v->not_found = 1;
        v->no_cacheable = 1;
        return NGX_OK;
    }

    switch (data) {

    case NGX_PCAP_API_VAR_PEER_ADDR:
        return ngx_pcap_api_variable_set(v, &ask->peer->addr);

    case NGX_PCAP_API_VAR_PEER_URI:
        return ngx_pcap_api_variable_set(v, &ask->uri);

    case NGX_PCAP_API_VAR_PEER_NAME:
        return ngx_pcap_api_variable_set(v, &ask->peer->tls_name);

    default: /* NGX_PCAP_API_VAR_BEARER */
        return ngx_pcap_api_variable_set(v, &ask->fetch.ctx->token);
    }
}


/* Of a question to a platform; no other subrequest sees the token. */
static ngx_int_t
ngx_pcap_api_variable_ask(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_pcap_api_ask_t  *ask;

    if (data == NGX_PCAP_API_VAR_BEARER
        && ngx_pcap_api_peer_ask_of(r) != NULL)
    {
        return ngx_pcap_api_variable_peer(r, v, data);
    }

    ask = ngx_pcap_api_ask_of(r);

    if (ask == NULL || (data == NGX_PCAP_API_VAR_BEARER && !ask->bearer)
        || ngx_pcap_api_variable_of_other(ask, data))
    {
        v->not_found = 1;
        v->no_cacheable = 1;
        return NGX_OK;
    }

    if (data == NGX_PCAP_API_VAR_BEARER) {
        return ngx_pcap_api_variable_set(v, &ask->fetch.ctx->token);
    }

    return ngx_pcap_api_variable_set(v, &ask->uri);
}


/* Of a question to the store; a grant lies in its body. */
static ngx_int_t
ngx_pcap_api_variable_store(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_pcap_api_store_ask_t  *ask;

    ask = ngx_pcap_api_store_ask_of(r);

    if (ask == NULL) {
        v->not_found = 1;
        v->no_cacheable = 1;
        return NGX_OK;
    }

    switch (data) {

    case NGX_PCAP_API_VAR_STORE_METHOD:
        return ngx_pcap_api_variable_set(v, &ask->method);

    case NGX_PCAP_API_VAR_STORE_URI:
        return ngx_pcap_api_variable_set(v, &ask->uri);

    default: /* NGX_PCAP_API_VAR_STORE_BODY */
        return ngx_pcap_api_variable_set(v, &ask->body);
    }
}


/* Of a question to an API server; a token may lie in its body. */
static ngx_int_t
ngx_pcap_api_variable_kube(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                *s;
    ngx_pcap_api_kube_ctx_t  *kube;

    kube = ngx_pcap_api_kube_of(r);
    s = NULL;

    if (kube != NULL) {
        switch (data) {

        case NGX_PCAP_API_VAR_KUBE_METHOD:
            s = &kube->method;
            break;

        case NGX_PCAP_API_VAR_KUBE_URI:
            s = &kube->ask.uri;
            break;

        case NGX_PCAP_API_VAR_KUBE_BODY:
            s = ngx_pcap_api_kube_bearer(r) ? &kube->body : NULL;
            break;

        case NGX_PCAP_API_VAR_KUBE_TOKEN:
            s = ngx_pcap_api_kube_bearer(r);
            break;

        default: /* NGX_PCAP_API_VAR_KUBE_CLUSTER */
            s = kube->away ? &kube->cluster : NULL;
        }
    }

    if (s == NULL) {
        v->not_found = 1;
        v->no_cacheable = 1;
        return NGX_OK;
    }

    return ngx_pcap_api_variable_set(v, s);
}


static ngx_int_t
ngx_pcap_api_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint64_t n)
{
    ngx_str_t  s;

    s.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (s.data == NULL) {
        return NGX_ERROR;
    }

    s.len = ngx_sprintf(s.data, "%uL", n) - s.data;

    return ngx_pcap_api_variable_set(v, &s);
}


/* Of one whose capture another request runs: what the store knows of it. */
static ngx_int_t
ngx_pcap_api_variable_follow(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t  s;

    if (data == NGX_PCAP_API_VAR_ID) {
        s.data = ctx->id;
        s.len = NGX_PCAP_API_ID_LEN;
        return ngx_pcap_api_variable_set(v, &s);
    }

    if (data == NGX_PCAP_API_VAR_STATUS) {
        ngx_pcap_api_follow_status(ctx, &s);
        return ngx_pcap_api_variable_set(v, &s);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_variable_capture(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t            s, *p;
    ngx_pcap_api_ctx_t  *ctx;

    ctx = ngx_pcap_api_ctx(r->main);

    if (ctx == NULL) {
        ctx = ngx_pcap_api_redirected(r->main);
    }

    v->not_found = 1;
    v->no_cacheable = 1;

    if (ctx == NULL) {
        return NGX_OK;
    }

    switch (data) {

    case NGX_PCAP_API_VAR_TOKEN:
        /* only the introspection location may see it */
        if (ngx_pcap_api_fetch_of(r) != &ctx->introspection) {
            return NGX_OK;
        }

        return ngx_pcap_api_variable_set(v, &ctx->token_encoded);

    case NGX_PCAP_API_VAR_CLIENT_TOKEN:
        p = ngx_pcap_api_client_bearer(ctx, r);

        return p ? ngx_pcap_api_variable_set(v, p) : NGX_OK;

    case NGX_PCAP_API_VAR_KEYS_ETAG:
        p = ngx_pcap_api_keys_etag(ctx, r);

        return p ? ngx_pcap_api_variable_set(v, p) : NGX_OK;

    case NGX_PCAP_API_VAR_CLIENT:
        ngx_pcap_api_client_addr(r->main, ctx->conf, &s);

        return ngx_pcap_api_variable_set(v, &s);

    case NGX_PCAP_API_VAR_USER:
        if (ctx->identity.name.len == 0) {
            return NGX_OK;
        }

        return ngx_pcap_api_variable_set(v, &ctx->identity.name);

    case NGX_PCAP_API_VAR_REQUEST_ID:
        return ngx_pcap_api_variable_set(v, &ctx->request_id);
    }

    if (ngx_pcap_api_follow_runs(ctx)) {
        return ngx_pcap_api_variable_follow(r, ctx, v, data);
    }

    if (!ctx->header_sent) {
        return NGX_OK;
    }

    switch (data) {

    case NGX_PCAP_API_VAR_ID:
        s.data = ctx->id;
        s.len = NGX_PCAP_API_ID_LEN;
        return ngx_pcap_api_variable_set(v, &s);

    case NGX_PCAP_API_VAR_STATUS:
        if (!ctx->finished) {
            ngx_str_set(&s, "cut");

        } else {
            s.data = (u_char *) ngx_pcap_api_status_names[ctx->status];
            s.len = ngx_strlen(s.data);
        }

        return ngx_pcap_api_variable_set(v, &s);

    case NGX_PCAP_API_VAR_PACKETS:
        return ngx_pcap_api_variable_number(r, v, ctx->packets);

    default: /* NGX_PCAP_API_VAR_DROPPED */
        return ngx_pcap_api_variable_number(r, v, ngx_pcap_api_dropped(ctx));
    }
}


ngx_int_t
ngx_pcap_api_add_variables(ngx_conf_t *cf)
{
    ngx_uint_t                 i;
    ngx_http_variable_t       *var, *v;
    ngx_pcap_api_main_conf_t  *pmcf;

    static ngx_str_t  secrets[NGX_PCAP_API_SECRETS] = {
        ngx_string("pcap_token"), ngx_string("pcap_client_token"),
        ngx_string("pcap_bearer"), ngx_string("pcap_store_body"),
        ngx_string("pcap_kube_token"), ngx_string("pcap_kube_body")
    };

    for (v = ngx_pcap_api_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_pcap_api_module);

    for (i = 0; i < NGX_PCAP_API_SECRETS; i++) {
        pmcf->secrets[i] = ngx_http_get_variable_index(cf, &secrets[i]);
        if (pmcf->secrets[i] == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
