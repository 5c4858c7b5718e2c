/*
 * module/kube_conf.c: the directives of Kubernetes.
 *
 *     pcap_api_kube URI [forward=URI] [token=FILE];
 *     pcap_api_kube_authentication token_review|authentication_review|off;
 *     pcap_api_kube_audience NAME ...;
 *     pcap_api_kube_client_cert on|off;
 *     pcap_api_kube_oidc keys=URI issuer=URL client_id=ID [user_claim=NAME]
 *                        [groups_claim=NAME] [user_prefix=TEXT]
 *                        [groups_prefix=TEXT];
 *     pcap_api_kube_agents namespace=NS selector=LABELS [port=PORT]
 *                          [tls_name=NAME];
 *     pcap_api_kube_node NAME ADDRESS:PORT [tls_name=NAME];
 *     pcap_api_kube_files on|off;
 *     pcap_api_kube_downloads NUMBER;
 */

#include "ngx_pcap_api_module.h"


typedef struct {
    const char                *name;
    ngx_str_t                 *value;        /* NULL data: not given */
} ngx_pcap_api_kube_arg_t;

static ngx_str_t  ngx_pcap_api_kube_token_file = ngx_string(
    "/var/run/secrets/kubernetes.io/serviceaccount/token");


ngx_conf_num_bounds_t  ngx_pcap_api_kube_downloads_range = {
    ngx_conf_check_num_bounds, 1, 1000
};


/* "NAME=VALUE" from argument first on; each once, into args. */
static char *
ngx_pcap_api_kube_args(ngx_conf_t *cf, ngx_uint_t first,
    ngx_pcap_api_kube_arg_t *args)
{
    size_t                    len;
    ngx_str_t                *value;
    ngx_uint_t                i;
    ngx_pcap_api_kube_arg_t  *a;

    value = cf->args->elts;

    for (i = first; i < cf->args->nelts; i++) {
        for (a = args; a->name != NULL; a++) {
            len = ngx_strlen(a->name);

            if (ngx_strncmp(value[i].data, a->name, len) == 0
                && value[i].data[len] == '=')
            {
                break;
            }
        }

        if (a->name == NULL || a->value->data != NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s parameter \"%V\" of \"%V\"",
                               a->name ? "duplicate" : "invalid", &value[i],
                               &value[0]);
            return NGX_CONF_ERROR;
        }

        len = ngx_strlen(a->name) + 1;
        a->value->data = value[i].data + len;
        a->value->len = value[i].len - len;
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_pcap_api_kube_is_uri(ngx_str_t *s)
{
    return s->len > 1 && s->data[0] == '/';
}


char *
ngx_pcap_api_kube(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                *value;
    ngx_pcap_api_loc_conf_t  *plcf = conf;
    ngx_pcap_api_kube_api_t  *api;

    if (plcf->kube.api != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    api = ngx_pcalloc(cf->pool, sizeof(ngx_pcap_api_kube_api_t));
    if (api == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_pcap_api_kube_arg_t  args[] = {
        { "forward", &api->forward }, { "token", &api->token_file },
        { NULL, NULL }
    };

    if (ngx_pcap_api_kube_args(cf, 2, args) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    api->platform.name = "API server";
    api->platform.uri = value[1];

    if (!ngx_pcap_api_kube_is_uri(&api->platform.uri)
        || (api->forward.data && !ngx_pcap_api_kube_is_uri(&api->forward)))
    {
        return "takes URIs of internal locations, \"/NAME\"";
    }

    if (api->token_file.data == NULL) {
        api->token_file = ngx_pcap_api_kube_token_file;
    }

    api->token.data = ngx_pnalloc(cf->pool, NGX_PCAP_API_KUBE_TOKEN);

    if (api->token.data == NULL
        || ngx_conf_full_name(cf->cycle, &api->token_file, 1) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    plcf->kube.api = api;

    return NGX_CONF_OK;
}


char *
ngx_pcap_api_kube_authentication(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_str_t                *value;
    ngx_uint_t                i;
    ngx_pcap_api_loc_conf_t  *plcf = conf;

    static const char *const  names[] = {
        "token_review", "authentication_review", "off"
    };

    if (plcf->kube.review != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (ngx_strcmp(value[1].data, names[i]) == 0) {
            plcf->kube.review = i;
            return NGX_CONF_OK;
        }
    }

    return "takes \"token_review\", \"authentication_review\" or \"off\"";
}


char *
ngx_pcap_api_kube_audience(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                *value, *s;
    ngx_uint_t                i;
    ngx_pcap_api_loc_conf_t  *plcf = conf;

    if (plcf->kube.audiences == NGX_CONF_UNSET_PTR) {
        plcf->kube.audiences = ngx_array_create(cf->pool, 2,
                                                sizeof(ngx_str_t));
        if (plcf->kube.audiences == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        s = ngx_array_push(plcf->kube.audiences);
        if (s == NULL) {
            return NGX_CONF_ERROR;
        }

        *s = value[i];
    }

    return NGX_CONF_OK;
}


/* As kube-apiserver: "-" is none, and without one it is the issuer's name. */
static ngx_int_t
ngx_pcap_api_kube_user_prefix(ngx_conf_t *cf, ngx_pcap_api_kube_oidc_t *oidc,
    ngx_str_t *issuer)
{
    ngx_str_t  *prefix;

    prefix = &oidc->user_prefix;

    if (prefix->len == 1 && prefix->data[0] == '-') {
        prefix->len = 0;
        return NGX_OK;
    }

    if (prefix->len
        || (oidc->user_claim.len == 5
            && ngx_strncmp(oidc->user_claim.data, "email", 5) == 0))
    {
        return NGX_OK;
    }

    prefix->data = ngx_pnalloc(cf->pool, issuer->len + 1);
    if (prefix->data == NULL) {
        return NGX_ERROR;
    }

    prefix->len = ngx_sprintf(prefix->data, "%V#", issuer) - prefix->data;

    return NGX_OK;
}


char *
ngx_pcap_api_kube_oidc(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_pcap_api_loc_conf_t   *plcf = conf;
    ngx_pcap_api_kube_oidc_t  *oidc = &plcf->kube.oidc;

    ngx_str_t                 keys = ngx_null_string;
    ngx_str_t                 issuer = ngx_null_string;
    ngx_str_t                 client = ngx_null_string;
    ngx_pcap_api_kube_arg_t   args[] = {
        { "keys", &keys }, { "issuer", &issuer }, { "client_id", &client },
        { "user_claim", &oidc->user_claim },
        { "groups_claim", &oidc->groups_claim },
        { "user_prefix", &oidc->user_prefix },
        { "groups_prefix", &oidc->groups_prefix },
        { NULL, NULL }
    };

    if (oidc->on) {
        return "is duplicate";
    }

    if (ngx_pcap_api_kube_args(cf, 1, args) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (!ngx_pcap_api_kube_is_uri(&keys) || issuer.len == 0
        || client.len == 0)
    {
        return "needs \"keys=/NAME\", an internal location, \"issuer=URL\" "
               "and \"client_id=ID\"";
    }

    if (plcf->token_keys.data != NULL || plcf->issuer.data != NULL
        || plcf->audience.data != NULL)
    {
        return "sets what \"pcap_api_token_keys\", \"pcap_api_issuer\" and "
               "\"pcap_api_audience\" set, too";
    }

    oidc->on = 1;
    plcf->token_keys = keys;
    plcf->issuer = issuer;
    plcf->audience = client;

    if (oidc->user_claim.len == 0) {
        ngx_str_set(&oidc->user_claim, "email");
    }

    if (oidc->groups_claim.data == NULL) {
        ngx_str_set(&oidc->groups_claim, "groups");
    }

    return ngx_pcap_api_kube_user_prefix(cf, oidc, &issuer) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_pcap_api_kube_port(ngx_conf_t *cf, ngx_str_t *text, ngx_uint_t *port)
{
    ngx_int_t  n;

    n = text->data ? ngx_atoi(text->data, text->len) : 9494;

    if (n < 1 || n > 65535) {
        return "takes \"port=1\" to \"port=65535\"";
    }

    *port = n;

    return NGX_CONF_OK;
}


/* Percent-encoded, for a query. */
static ngx_int_t
ngx_pcap_api_kube_encode(ngx_conf_t *cf, ngx_str_t *s, ngx_str_t *out)
{
    out->data = ngx_pnalloc(cf->pool, 3 * s->len);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    out->len = pcapx_form_encode((char *) out->data, 3 * s->len,
                                 (char *) s->data, s->len);

    return NGX_OK;
}


char *
ngx_pcap_api_kube_agents(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_pcap_api_loc_conf_t  *plcf = conf;
    ngx_pcap_api_kube_api_t  *api = plcf->kube.api;

    ngx_str_t                port = ngx_null_string;
    ngx_str_t                selector = ngx_null_string;
    ngx_pcap_api_kube_arg_t  args[] = {
        { "namespace", NULL }, { "selector", &selector }, { "port", &port },
        { "tls_name", NULL }, { NULL, NULL }
    };

    if (api == NGX_CONF_UNSET_PTR) {
        return "stands behind \"pcap_api_kube\", on the same level";
    }

    if (api->pods.len) {
        return "is duplicate";
    }

    args[0].value = &api->pods;
    args[3].value = &api->platform.tls_name;

    if (ngx_pcap_api_kube_args(cf, 1, args) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (!ngx_pcap_api_kube_name_fits(api->pods.data, api->pods.len,
                                     NGX_PCAP_API_KUBE_NAMESPACE)
        || selector.len == 0)
    {
        return "needs \"namespace=NAME\" and \"selector=LABELS\"";
    }

    if (api->platform.tls_name.data == NULL) {
        ngx_str_set(&api->platform.tls_name, "pcap-agent");
    }

    if (api->platform.tls_name.len == 0) {
        return "takes \"tls_name=NAME\"";
    }

    if (ngx_pcap_api_kube_encode(cf, &selector, &api->selector) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_pcap_api_kube_port(cf, &port, &api->platform.port);
}


char *
ngx_pcap_api_kube_node(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                        err[PCAPX_ERR_LEN];
    u_char                      addr[16], addr_len;
    uint16_t                    port;
    ngx_str_t                  *value, tls_name = ngx_null_string;
    ngx_pcap_api_loc_conf_t    *plcf = conf;
    ngx_pcap_api_kube_agent_t  *a;
    ngx_pcap_api_kube_arg_t     args[] = {
        { "tls_name", &tls_name }, { NULL, NULL }
    };

    if (ngx_pcap_api_kube_args(cf, 3, args) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (!ngx_pcap_api_kube_name_fits(value[1].data, value[1].len,
                                     NGX_PCAP_API_KUBE_NAME))
    {
        return "takes the name of a node first";
    }

    if (pcapx_parse_endpoint((char *) value[2].data, value[2].len, addr,
                             &addr_len, &port, err)
        != PCAPX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid address \"%V\" of node \"%V\": %s",
                           &value[2], &value[1], err);
        return NGX_CONF_ERROR;
    }

    if (plcf->kube.agents == NGX_CONF_UNSET_PTR) {
        plcf->kube.agents = ngx_array_create(cf->pool, 8,
                                sizeof(ngx_pcap_api_kube_agent_t));
        if (plcf->kube.agents == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    a = ngx_array_push(plcf->kube.agents);
    if (a == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(a, sizeof(ngx_pcap_api_kube_agent_t));
    a->node = value[1];
    a->target.addr = value[2];
    a->target.tls_name = tls_name;

    if (tls_name.len == 0) {
        ngx_str_set(&a->target.tls_name, "pcap-agent");
    }

    return NGX_CONF_OK;
}


void
ngx_pcap_api_kube_create(ngx_pcap_api_kube_conf_t *conf)
{
    conf->api = NGX_CONF_UNSET_PTR;
    conf->review = NGX_CONF_UNSET_UINT;
    conf->audiences = NGX_CONF_UNSET_PTR;
    conf->agents = NGX_CONF_UNSET_PTR;
    conf->client_cert = NGX_CONF_UNSET;
    conf->files = NGX_CONF_UNSET;
    conf->downloads = NGX_CONF_UNSET;
}


void
ngx_pcap_api_kube_merge(ngx_pcap_api_loc_conf_t *conf,
    ngx_pcap_api_loc_conf_t *prev)
{
    /* its keys are merged with those of any other token check */

    if (conf->token_keys.data == NULL && conf->introspection.data == NULL) {
        conf->kube.oidc = prev->kube.oidc;
    }

    ngx_conf_merge_ptr_value(conf->kube.api, prev->kube.api, NULL);
    ngx_conf_merge_uint_value(conf->kube.review, prev->kube.review,
                              NGX_PCAP_API_KUBE_TOKEN_REVIEW);
    ngx_conf_merge_ptr_value(conf->kube.audiences, prev->kube.audiences,
                             NULL);
    ngx_conf_merge_ptr_value(conf->kube.agents, prev->kube.agents, NULL);
    ngx_conf_merge_value(conf->kube.client_cert, prev->kube.client_cert, 0);
    ngx_conf_merge_value(conf->kube.files, prev->kube.files, 0);
    ngx_conf_merge_value(conf->kube.downloads, prev->kube.downloads, 4);
}


/* The addresses of the map have to lie in the ranges, as all do. */
static char *
ngx_pcap_api_kube_check_map(ngx_conf_t *cf, ngx_pcap_api_loc_conf_t *conf)
{
    char                        err[PCAPX_ERR_LEN];
    u_char                      addr[16], addr_len;
    uint16_t                    port;
    ngx_uint_t                  i;
    ngx_pcap_api_kube_agent_t  *a;

    if (conf->kube.agents == NULL) {
        return NGX_CONF_OK;
    }

    a = conf->kube.agents->elts;

    for (i = 0; i < conf->kube.agents->nelts; i++) {
        if (pcapx_parse_endpoint((char *) a[i].target.addr.data,
                                 a[i].target.addr.len, addr, &addr_len, &port,
                                 err)
            != PCAPX_OK
            || !ngx_pcap_api_platform_in(conf->ranges->elts,
                                         conf->ranges->nelts, addr, addr_len))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "address \"%V\" of "
                               "\"pcap_api_kube_node %V\" is outside of "
                               "\"pcap_api_agent_ranges\"",
                               &a[i].target.addr, &a[i].node);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_pcap_api_kube_check(ngx_conf_t *cf, ngx_pcap_api_loc_conf_t *conf)
{
    const char                *why;
    ngx_http_core_srv_conf_t  *cscf;
    ngx_pcap_api_kube_conf_t  *kube;

    kube = &conf->kube;
    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    if (kube->api == NULL) {
        why = kube->files ? "\"pcap_api_kube_files on\" needs "
                            "\"pcap_api_kube\""
              : kube->oidc.on ? "\"pcap_api_kube_oidc\" needs "
                                "\"pcap_api_kube\"" : NULL;

    } else {
        why = conf->introspection.len
              ? "\"pcap_api_introspection\" and \"pcap_api_kube\" exclude "
                "each other"
              : conf->token_keys.len && !kube->oidc.on
              ? "with \"pcap_api_kube\" the keys of tokens are those of "
                "\"pcap_api_kube_oidc\""
              : conf->ranges == NULL
              ? "\"pcap_api_kube\" needs \"pcap_api_agent_ranges\""
              : kube->review == NGX_PCAP_API_KUBE_NO_REVIEW && !kube->oidc.on
              ? "\"pcap_api_kube_authentication off\" needs "
                "\"pcap_api_kube_oidc\""
              : kube->files && kube->agents == NULL && kube->api->pods.len == 0
              ? "\"pcap_api_kube_files on\" needs \"pcap_api_kube_agents\" or "
                "\"pcap_api_kube_node\""
              : kube->client_cert && conf->peers.uri.len
              ? "\"pcap_api_kube_client_cert on\" and \"pcap_api_peers\" "
                "exclude each other: a certificate cannot be handed on"
              : cscf->ignore_invalid_headers
              ? "\"pcap_api_kube\" needs \"ignore_invalid_headers off\" in "
                "its server: nginx would leave out a part of what "
                "Impersonate-Extra-KEY says"
              : NULL;
    }

    if (why != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, why);
        return NGX_CONF_ERROR;
    }

    return kube->api ? ngx_pcap_api_kube_check_map(cf, conf) : NGX_CONF_OK;
}
