/*
 * module/store_conf.c: the directives of the store.
 *
 *     pcap_api_store URI files=URI [folder=PATH] [objects=URI]
 *                    [download=proxy|redirect] [user=NAME];
 *
 * The limits of retention are in ms, as all times of limits_conf.c.
 */

#include "ngx_pcap_api_module.h"

#include <pwd.h>


#define NGX_PCAP_API_STORE_DAY  86400000


void
ngx_pcap_api_store_create(ngx_pcap_api_store_conf_t *conf)
{
    conf->user = NGX_CONF_UNSET_UINT;
    conf->retention = NGX_PCAP_API_LIMIT_UNSET;
    conf->max_retention = NGX_PCAP_API_LIMIT_UNSET;
    conf->unattended = NGX_CONF_UNSET_MSEC;
}


/* A URI of a location, as written. */
static char *
ngx_pcap_api_store_uri(ngx_conf_t *cf, const char *what, ngx_str_t *value,
    ngx_str_t *uri, ngx_uint_t folder)
{
    if (value->len == 0 || value->data[0] != '/'
        || (folder && value->data[value->len - 1] != '/'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid %s \"%V\", an "
                           "internal location is allowed: \"/...%s\"", what,
                           value, folder ? "/" : "");
        return NGX_CONF_ERROR;
    }

    *uri = *value;

    return NGX_CONF_OK;
}


static char *
ngx_pcap_api_store_user(ngx_conf_t *cf, ngx_str_t *name, ngx_uint_t *user)
{
    struct passwd  *pw;

    pw = getpwnam((char *) name->data);    /* NUL-terminated: an argument */

    if (pw == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"pcap_api_store\": there "
                           "is no user \"%V\"", name);
        return NGX_CONF_ERROR;
    }

    *user = pw->pw_uid;

    return NGX_CONF_OK;
}


static char *
ngx_pcap_api_store_folder(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *folder)
{
    if (value->len == 0 || value->data[0] != '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid folder \"%V\", the "
                           "absolute path of the store's folder is allowed",
                           value);
        return NGX_CONF_ERROR;
    }

    *folder = *value;

    return NGX_CONF_OK;
}


/* "NAME=VALUE" */
static char *
ngx_pcap_api_store_parameter(ngx_conf_t *cf,
    ngx_pcap_api_store_conf_t *store, ngx_str_t *value)
{
    u_char     *p;
    ngx_str_t   name, s;

    p = ngx_strlchr(value->data, value->data + value->len, '=');

    name = *value;
    name.len = p ? (size_t) (p - value->data) : 0;
    s.data = p ? p + 1 : value->data + value->len;
    s.len = value->data + value->len - s.data;

    if (name.len == 5 && ngx_strncmp(name.data, "files", 5) == 0) {
        return ngx_pcap_api_store_uri(cf, "files", &s, &store->files, 1);
    }

    if (name.len == 7 && ngx_strncmp(name.data, "objects", 7) == 0) {
        return ngx_pcap_api_store_uri(cf, "objects", &s, &store->objects, 1);
    }

    if (name.len == 6 && ngx_strncmp(name.data, "folder", 6) == 0) {
        return ngx_pcap_api_store_folder(cf, &s, &store->folder);
    }

    if (name.len == 4 && ngx_strncmp(name.data, "user", 4) == 0) {
        return ngx_pcap_api_store_user(cf, &s, &store->user);
    }

    if (ngx_strcmp(value->data, "download=redirect") == 0) {
        store->redirect = 1;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "download=proxy") == 0) {
        store->redirect = 0;
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\", "
                       "allowed are files=URI, folder=PATH, objects=URI, "
                       "download=proxy, download=redirect and user=NAME",
                       value);

    return NGX_CONF_ERROR;
}


/* Is there one of that name before value[i]? */
static ngx_uint_t
ngx_pcap_api_store_again(ngx_str_t *value, ngx_uint_t i)
{
    u_char      *p;
    ngx_uint_t   j;

    p = ngx_strlchr(value[i].data, value[i].data + value[i].len, '=');

    for (j = 2; p != NULL && j < i; j++) {
        if (ngx_strncmp(value[j].data, value[i].data, p + 1 - value[i].data)
            == 0)
        {
            return 1;
        }
    }

    return 0;
}


char *
ngx_pcap_api_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                  *value;
    ngx_uint_t                  i;
    ngx_pcap_api_store_conf_t  *store;

    ngx_pcap_api_loc_conf_t  *plcf = conf;

    store = &plcf->store;
    value = cf->args->elts;

    if (store->uri.len) {
        return "is duplicate";
    }

    if (ngx_pcap_api_store_uri(cf, "URI", &value[1], &store->uri, 0)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_pcap_api_store_again(value, i)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate parameter "
                               "\"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (ngx_pcap_api_store_parameter(cf, store, &value[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (store->files.len == 0) {
        return "needs files=URI, the internal location of the store's folder";
    }

    return NGX_CONF_OK;
}


char *
ngx_pcap_api_store_merge(ngx_conf_t *cf, ngx_pcap_api_store_conf_t *conf,
    ngx_pcap_api_store_conf_t *prev)
{
    if (conf->uri.len == 0) {
        conf->uri = prev->uri;
        conf->files = prev->files;
        conf->objects = prev->objects;
        conf->folder = prev->folder;
        conf->redirect = prev->redirect;
        conf->user = prev->user;
    }

    if (conf->retention == NGX_PCAP_API_LIMIT_UNSET) {
        conf->retention = prev->retention == NGX_PCAP_API_LIMIT_UNSET
                          ? NGX_PCAP_API_STORE_DAY : prev->retention;
    }

    if (conf->max_retention == NGX_PCAP_API_LIMIT_UNSET) {
        conf->max_retention = prev->max_retention == NGX_PCAP_API_LIMIT_UNSET
                              ? 7 * (uint64_t) NGX_PCAP_API_STORE_DAY
                              : prev->max_retention;
    }

    ngx_conf_merge_msec_value(conf->unattended, prev->unattended, 3600000);
    ngx_conf_merge_str_value(conf->reader_scope, prev->reader_scope, "");

    if (conf->retention > conf->max_retention) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"pcap_api_store_retention"
                           "\", %uLs, is more than "
                           "\"pcap_api_store_max_retention\", %uLs",
                           conf->retention / 1000,
                           conf->max_retention / 1000);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
