/*
 * module/peers.c: the other nodes of this API: which there are, and the
 * questions to them, by way of one internal location and with the user's
 * token, which they check again.
 *
 * A peer may be hostile, or somebody else: no token goes to one whose
 * certificate is not verified ($pcap_bearer is empty then), answers are
 * bounded in bytes, values and time, and their form is checked by whoever
 * reads them. What a peer asks us is never asked on.
 */

#include "ngx_pcap_api_module.h"


#define NGX_PCAP_API_MAX_PEERS  64         /* asked at once for a list */


void
ngx_pcap_api_peers_create(ngx_pcap_api_peers_conf_t *conf)
{
    conf->list = NGX_CONF_UNSET_PTR;
    conf->forwarded = NGX_CONF_UNSET;
}


void
ngx_pcap_api_peers_merge(ngx_pcap_api_peers_conf_t *conf,
    ngx_pcap_api_peers_conf_t *prev)
{
    ngx_conf_merge_str_value(conf->uri, prev->uri, "");
    ngx_conf_merge_ptr_value(conf->list, prev->list, NULL);
    ngx_conf_merge_value(conf->forwarded, prev->forwarded, 0);
    ngx_conf_merge_str_value(conf->environment, prev->environment, "");
}


static char *
ngx_pcap_api_peers_wrong(ngx_conf_t *cf, const char *what, const char *needed)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%s\" needs \"%s\"", what,
                       needed);

    return NGX_CONF_ERROR;
}


char *
ngx_pcap_api_peers_check(ngx_conf_t *cf, ngx_pcap_api_loc_conf_t *conf)
{
    ngx_pcap_api_main_conf_t   *pmcf;
    ngx_pcap_api_peers_conf_t  *peers;

    peers = &conf->peers;

    if (peers->forwarded) {
        if (peers->environment.len == 0) {
            return ngx_pcap_api_peers_wrong(cf, "pcap_api_forwarded on",
                                            "pcap_api_environment");
        }

#if (NGX_HTTP_SSL)
        {
        ngx_http_ssl_srv_conf_t  *sscf;

        sscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module);

        if (sscf->verify != 1) {
            return ngx_pcap_api_peers_wrong(cf, "pcap_api_forwarded on",
                                            "ssl_verify_client on");
        }
        }
#endif

        return NGX_CONF_OK;
    }

    if (peers->list != NULL && peers->uri.len == 0) {
        return ngx_pcap_api_peers_wrong(cf, "pcap_api_peer",
                                        "pcap_api_peers");
    }

    if (peers->uri.len && peers->environment.len == 0) {
        return ngx_pcap_api_peers_wrong(cf, "pcap_api_peers",
                                        "pcap_api_environment");
    }

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_pcap_api_module);

    if (peers->list != NULL && !pmcf->node_set) {
        return ngx_pcap_api_peers_wrong(cf, "pcap_api_peer",
                                        "pcap_api_node");
    }

    return NGX_CONF_OK;
}


/* 0 to 65535, or NGX_ERROR */
static ngx_int_t
ngx_pcap_api_node_number(ngx_str_t *s)
{
    ngx_int_t  n;

    n = ngx_atoi(s->data, s->len);

    return n >= 0 && n <= 65535 ? n : NGX_ERROR;
}


char *
ngx_pcap_api_node(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t                  n;
    ngx_str_t                 *value;
    ngx_pcap_api_main_conf_t  *pmcf = conf;

    if (pmcf->node_set) {
        return "is duplicate";
    }

    value = cf->args->elts;

    n = ngx_pcap_api_node_number(&value[1]);
    if (n == NGX_ERROR) {
        return "takes 0 to 65535";
    }

    pmcf->node = n;
    pmcf->node_set = 1;

    return NGX_CONF_OK;
}


/* Room for node n, or NULL with *err. */
static ngx_pcap_api_peer_t *
ngx_pcap_api_peer_new(ngx_conf_t *cf, ngx_pcap_api_peers_conf_t *peers,
    ngx_uint_t n, char **err)
{
    ngx_uint_t            i;
    ngx_pcap_api_peer_t  *p;

    *err = NGX_CONF_ERROR;

    if (peers->list == NGX_CONF_UNSET_PTR) {
        peers->list = ngx_array_create(cf->pool, 4,
                                       sizeof(ngx_pcap_api_peer_t));
        if (peers->list == NULL) {
            return NULL;
        }
    }

    p = peers->list->elts;

    for (i = 0; i < peers->list->nelts; i++) {
        if (p[i].node == n) {
            *err = "names a node twice";
            return NULL;
        }
    }

    if (i == NGX_PCAP_API_MAX_PEERS) {
        *err = "is there more than 64 times";
        return NULL;
    }

    return ngx_array_push(peers->list);
}


char *
ngx_pcap_api_peer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                      *wrong;
    char                       err[PCAPX_ERR_LEN];
    u_char                     ip[16], ip_len;
    uint16_t                   port;
    ngx_int_t                  n;
    ngx_str_t                 *value;
    ngx_pcap_api_peer_t       *p;
    ngx_pcap_api_loc_conf_t   *plcf = conf;

    value = cf->args->elts;

    n = ngx_pcap_api_node_number(&value[1]);
    if (n == NGX_ERROR) {
        return "takes 0 to 65535 as number of the node";
    }

    if (pcapx_parse_endpoint((char *) value[2].data, value[2].len, ip,
                             &ip_len, &port, err)
        != PCAPX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", err);
        return NGX_CONF_ERROR;
    }

    p = ngx_pcap_api_peer_new(cf, &plcf->peers, n, &wrong);
    if (p == NULL) {
        return wrong;
    }

    p->node = n;
    p->addr = value[2];
    ngx_str_set(&p->tls_name, "pcap-api");

    if (cf->args->nelts == 4) {
        if (ngx_strncmp(value[3].data, "tls_name=", 9) != 0
            || value[3].len == 9)
        {
            return "takes \"tls_name=NAME\" behind the address";
        }

        p->tls_name.data = value[3].data + 9;
        p->tls_name.len = value[3].len - 9;
    }

    return NGX_CONF_OK;
}


char *
ngx_pcap_api_environment(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                      err[PCAPX_ERR_LEN];
    ngx_str_t                *value;
    ngx_pcap_api_loc_conf_t  *plcf = conf;

    if (plcf->peers.environment.data != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (pcapx_valid_instance((char *) value[1].data, value[1].len, err)
        != PCAPX_OK)
    {
        return "takes a name of letters, digits, \".\", \"_\", \"-\", \"/\"";
    }

    plcf->peers.environment = value[1];

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_pcap_api_node_of(u_char *id)
{
    return (ngx_uint_t) ngx_hextoi(id, 4);
}


ngx_pcap_api_peer_t *
ngx_pcap_api_peer_of(ngx_pcap_api_ctx_t *ctx, u_char *id)
{
    ngx_uint_t                  i, node;
    ngx_pcap_api_peer_t        *p;
    ngx_pcap_api_main_conf_t   *pmcf;
    ngx_pcap_api_peers_conf_t  *peers;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    peers = &ctx->conf->peers;
    node = ngx_pcap_api_node_of(id);

    if (peers->forwarded || peers->list == NULL || node == pmcf->node) {
        return NULL;
    }

    p = peers->list->elts;

    for (i = 0; i < peers->list->nelts; i++) {
        if (p[i].node == node) {
            return &p[i];
        }
    }

    return NULL;
}


ngx_pcap_api_peer_ask_t *
ngx_pcap_api_peer_ask_of(ngx_http_request_t *r)
{
    ngx_uint_t             i;
    ngx_pcap_api_ctx_t    *ctx;
    ngx_pcap_api_fetch_t  *f;

    if (r == r->main) {
        ctx = ngx_pcap_api_redirected(r);

        return ctx != NULL && ctx->passed ? &ctx->peer_asks[0] : NULL;
    }

    f = ngx_pcap_api_fetch_of(r);
    if (f == NULL) {
        return NULL;
    }

    ctx = f->ctx;

    for (i = 0; i < ctx->npeer_asks; i++) {
        if (f == &ctx->peer_asks[i].fetch) {
            return &ctx->peer_asks[i];
        }
    }

    return NULL;
}


/* The same as here, at the peer: its location has the same name. */
static ngx_int_t
ngx_pcap_api_peer_uri(ngx_pcap_api_ctx_t *ctx, ngx_str_t *path,
    ngx_str_t *uri)
{
    ngx_str_t                 *name;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(ctx->request, ngx_http_core_module);
    name = &clcf->name;

    uri->len = name->len + path->len
               + 2 * ngx_escape_uri(NULL, name->data, name->len,
                                    NGX_ESCAPE_URI);

    uri->data = ngx_pnalloc(ctx->request->pool, uri->len);
    if (uri->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_escape_uri(uri->data, name->data, name->len, NGX_ESCAPE_URI);
    ngx_memcpy(uri->data + uri->len - path->len, path->data, path->len);

    return NGX_OK;
}


static ngx_int_t
ngx_pcap_api_peer_ask(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_peer_t *peer,
    ngx_str_t *uri, size_t max)
{
    ngx_http_request_t       *r, *sr;
    ngx_pcap_api_peer_ask_t  *ask;

    r = ctx->request;

    ask = &ctx->peer_asks[ctx->npeer_asks++];
    ask->peer = peer;
    ask->uri = *uri;

    if (ngx_pcap_api_fetch(ctx, &ctx->conf->peers.uri, max, &ask->fetch)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* of a capture's own request, a POST perhaps, only the show is asked */

    if (r->method & (NGX_HTTP_DELETE|NGX_HTTP_PUT)) {
        sr = ask->fetch.sr;
        sr->method = r->method;
        sr->method_name = r->method_name;
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_peers_ask(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_peer_t *peer,
    ngx_str_t *path, size_t max, ngx_msec_t ms)
{
    ngx_str_t                   uri;
    ngx_uint_t                  i, n;
    ngx_pcap_api_peer_t        *p;
    ngx_pcap_api_main_conf_t   *pmcf;
    ngx_pcap_api_peers_conf_t  *peers;

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    peers = &ctx->conf->peers;

    n = peers->forwarded || peers->list == NULL ? 0 : peers->list->nelts;

    ctx->deadline = ngx_current_msec + ms;
    ctx->npeer_asks = 0;
    ctx->peer_asks = ngx_pcalloc(ctx->request->pool,
                            (n + 1) * sizeof(ngx_pcap_api_peer_ask_t));

    if (ctx->peer_asks == NULL
        || ngx_pcap_api_peer_uri(ctx, path, &uri) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (peer != NULL) {
        return ngx_pcap_api_peer_ask(ctx, peer, &uri, max);
    }

    /* the same lines may stand at all nodes */

    for (i = 0; i < n; i++) {
        p = (ngx_pcap_api_peer_t *) peers->list->elts + i;

        if (p->node != pmcf->node
            && ngx_pcap_api_peer_ask(ctx, p, &uri, max) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_peers_pass(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_peer_t *peer,
    ngx_str_t *path)
{
    ctx->npeer_asks = 1;
    ctx->peer_asks = ngx_pcalloc(ctx->request->pool,
                                 sizeof(ngx_pcap_api_peer_ask_t));

    if (ctx->peer_asks == NULL
        || ngx_pcap_api_peer_uri(ctx, path, &ctx->peer_asks[0].uri) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->peer_asks[0].peer = peer;
    ctx->peer_asks[0].fetch.ctx = ctx;     /* whose token it is */
    ctx->peer_asks[0].fetch.done = 1;
    ctx->passed = 1;

    return ngx_pcap_api_redirect(ctx, &ctx->conf->peers.uri, NULL);
}


ngx_int_t
ngx_pcap_api_peers_wait(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  i;

    if ((ngx_msec_int_t) (ngx_current_msec - ctx->deadline) >= 0) {
        return NGX_OK;
    }

    for (i = 0; i < ctx->npeer_asks; i++) {
        if (!ctx->peer_asks[i].fetch.done) {
            return NGX_AGAIN;
        }
    }

    return NGX_OK;
}


json_t *
ngx_pcap_api_peer_answer(ngx_pcap_api_peer_ask_t *ask, const char **why)
{
    json_t                *doc;
    ngx_int_t              status;
    ngx_pcap_api_fetch_t  *f;

    f = &ask->fetch;
    doc = NULL;
    *why = NULL;

    /* every status is an answer here: the rest is judged as if it were 200 */

    status = f->status;

    if (f->answered) {
        f->status = NGX_HTTP_OK;
    }

    if (f->answered && !f->verified) {
        *why = "this API does not verify it: \"https\" and "
               "\"proxy_ssl_verify on\" are needed";

    } else {
        *why = ngx_pcap_api_fetch_failed(f);
    }

    f->status = status;

    if (*why != NULL || status == NGX_HTTP_NO_CONTENT) {
        return NULL;
    }

    doc = ngx_pcap_api_platform_json(f);

    if (!json_is_object(doc)) {
        json_decref(doc);
        doc = NULL;
        *why = "its answer is no JSON object";
    }

    return doc;
}
