/*
 * module/setters.c: setters and checks of directives that have no stock one.
 * Each refusal says what is allowed. Nothing here runs behind the start.
 */

#include "ngx_pcap_api_module.h"

#include <openssl/evp.h>


char *
ngx_pcap_api_cidrs(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t    *value;
    ngx_int_t     rc;
    ngx_uint_t    i;
    ngx_cidr_t   *cidr;
    ngx_array_t **field;

    field = (ngx_array_t **) ((char *) conf + cmd->offset);

    if (*field == NGX_CONF_UNSET_PTR) {
        *field = ngx_array_create(cf->pool, 4, sizeof(ngx_cidr_t));
        if (*field == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        cidr = ngx_array_push(*field);
        if (cidr == NULL) {
            return NGX_CONF_ERROR;
        }

        rc = ngx_ptocidr(&value[i], cidr);

        if (rc == NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid range \"%V\", "
                               "an address or CIDR is allowed", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (rc == NGX_DONE) {
            ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "low address bits of "
                               "\"%V\" are meaningless", &value[i]);
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_pcap_api_bosh(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_pcap_api_loc_conf_t  *plcf = conf;

    if (plcf->bosh != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    plcf->bosh = ngx_pcalloc(cf->pool, sizeof(ngx_pcap_api_bosh_t));
    if (plcf->bosh == NULL) {
        return NGX_CONF_ERROR;
    }

    plcf->bosh->platform.name = "Director";
    plcf->bosh->platform.tls_star = 1;

    return ngx_pcap_api_platform_conf(cf, &plcf->bosh->platform);
}


char *
ngx_pcap_api_cf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_pcap_api_loc_conf_t  *plcf = conf;

    if (plcf->cf != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    plcf->cf = ngx_pcalloc(cf->pool, sizeof(ngx_pcap_api_platform_t));
    if (plcf->cf == NULL) {
        return NGX_CONF_ERROR;
    }

    plcf->cf->name = "Cloud Controller";

    return ngx_pcap_api_platform_conf(cf, plcf->cf);
}


/* A key of the Cloud Controller's metadata: "name" or "example.com/name". */
static ngx_uint_t
ngx_pcap_api_annotation_fits(ngx_str_t *name)
{
    size_t  i;
    u_char  ch;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9') || ch == '-' || ch == '.'
              || ch == '_' || ch == '/'))
        {
            return 0;
        }
    }

    return name->len > 0 && name->len <= 317;  /* 253, "/", 63 */
}


char *
ngx_pcap_api_cf_opt_in(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                *value;
    ngx_pcap_api_loc_conf_t  *plcf = conf;

    if (plcf->cf_opt_in != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 3 && ngx_strcmp(value[1].data, "annotation") == 0
        && ngx_pcap_api_annotation_fits(&value[2]))
    {
        plcf->cf_opt_in = NGX_PCAP_API_CF_ANNOTATION;
        plcf->cf_annotation = value[2];
        return NGX_CONF_OK;
    }

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "ssh") == 0) {
        plcf->cf_opt_in = NGX_PCAP_API_CF_SSH;
        return NGX_CONF_OK;
    }

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        plcf->cf_opt_in = NGX_PCAP_API_CF_ALL;
        return NGX_CONF_OK;
    }

    return "takes \"ssh\", \"annotation NAME\" or \"off\"";
}


char *
ngx_pcap_api_cf_exclude(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                      err[PCAPX_ERR_LEN];
    ngx_str_t                *value, *s;
    ngx_uint_t                i;
    ngx_pcap_api_loc_conf_t  *plcf = conf;

    if (plcf->cf_exclude == NGX_CONF_UNSET_PTR) {
        plcf->cf_exclude = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
        if (plcf->cf_exclude == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (pcapx_valid_guid((char *) value[i].data, value[i].len, err)
            != PCAPX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid app \"%V\": %s", &value[i], err);
            return NGX_CONF_ERROR;
        }

        s = ngx_array_push(plcf->cf_exclude);
        if (s == NULL) {
            return NGX_CONF_ERROR;
        }

        *s = value[i];
    }

    return NGX_CONF_OK;
}


char *
ngx_pcap_api_check_uri(ngx_conf_t *cf, void *post, void *data)
{
    ngx_str_t *uri = data;

    return uri->len > 1 && uri->data[0] == '/'
           ? NGX_CONF_OK
           : "takes the URI of an internal location, \"/NAME\"";
}


void
ngx_pcap_api_merge_token_check(ngx_pcap_api_loc_conf_t *conf,
    ngx_pcap_api_loc_conf_t *prev)
{
    if (conf->introspection.data == NULL && conf->token_keys.data == NULL) {
        conf->introspection = prev->introspection;
        conf->token_keys = prev->token_keys;

        if (conf->client_uri.data == NULL) {
            conf->client_uri = prev->client_uri;
        }
    }
}


/*
 * Where the users of a location come from: the same user id elsewhere is
 * somebody else. A name that was given says it all; else servers without a
 * name are told apart by their place. All of it is the same after a reload,
 * which leaves running captures to their owners.
 */
static char *
ngx_pcap_api_set_env(ngx_conf_t *cf, ngx_pcap_api_loc_conf_t *conf)
{
    int                         ok;
    ngx_str_t                  *name;
    EVP_MD_CTX                 *md;
    ngx_uint_t                  i, n;
    ngx_http_core_srv_conf_t   *cscf, **servers;
    ngx_http_core_main_conf_t  *cmcf;

    name = &conf->peers.environment;

    if (name->len) {
        return EVP_Digest(name->data, name->len, conf->env, NULL,
                          EVP_sha256(), NULL)
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    servers = cmcf->servers.elts;

    /* its place among those of its name: others may come and go */

    for (i = 0, n = 0; i < cmcf->servers.nelts && servers[i] != cscf; i++) {
        n += servers[i]->server_name.len == cscf->server_name.len
             && ngx_strncmp(servers[i]->server_name.data,
                            cscf->server_name.data, cscf->server_name.len)
                == 0;
    }

    md = EVP_MD_CTX_new();
    if (md == NULL) {
        return NGX_CONF_ERROR;
    }

    /* the NUL keeps "a" "bc" and "ab" "c" apart */

    ok = EVP_DigestInit_ex(md, EVP_sha256(), NULL)
         && EVP_DigestUpdate(md, &n, sizeof(ngx_uint_t))
         && EVP_DigestUpdate(md, cscf->server_name.data,
                             cscf->server_name.len)
         && EVP_DigestUpdate(md, "", 1)
         && EVP_DigestUpdate(md, conf->introspection.data,
                             conf->introspection.len)
         && EVP_DigestUpdate(md, "", 1)
         && EVP_DigestUpdate(md, conf->token_keys.data, conf->token_keys.len)
         && EVP_DigestUpdate(md, "", 1)
         && EVP_DigestUpdate(md, conf->issuer.data, conf->issuer.len)
         && (conf->kube.api == NULL
             || (EVP_DigestUpdate(md, "", 1)
                 && EVP_DigestUpdate(md, conf->kube.api->platform.uri.data,
                                     conf->kube.api->platform.uri.len)))
         && EVP_DigestFinal_ex(md, conf->env, NULL);

    EVP_MD_CTX_free(md);

    return ok ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_pcap_api_check_token_check(ngx_conf_t *cf, ngx_pcap_api_loc_conf_t *conf)
{
    if (conf->introspection.len == 0 && conf->token_keys.len == 0
        && conf->kube.api == NULL)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pcap_api on\" needs \"pcap_api_introspection\", "
                           "\"pcap_api_token_keys\" or \"pcap_api_kube\"");
        return NGX_CONF_ERROR;
    }

    if (conf->introspection.len && conf->token_keys.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pcap_api_introspection\" and "
                           "\"pcap_api_token_keys\" exclude each other");
        return NGX_CONF_ERROR;
    }

    if (ngx_pcap_api_kube_check(cf, conf) != NGX_CONF_OK
        || ngx_pcap_api_set_env(cf, conf) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (conf->introspection.len) {

        if (conf->client_uri.len == 0) {
            return NGX_CONF_OK;
        }

        conf->client_token = ngx_pcap_api_client_create(cf);

        return conf->client_token ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (conf->client_uri.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pcap_api_client_token\" is of use with "
                           "\"pcap_api_introspection\" only");
        return NGX_CONF_ERROR;
    }

    if (conf->token_keys.len == 0) {
        return NGX_CONF_OK;
    }

    if (conf->issuer.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pcap_api_token_keys\" needs "
                           "\"pcap_api_issuer\"");
        return NGX_CONF_ERROR;
    }

    conf->keys = ngx_pcap_api_keys_create(cf);

    return conf->keys ? NGX_CONF_OK : NGX_CONF_ERROR;
}
