/*
 * module/kube_cert.c: who asks without a token, by the client certificate that
 * nginx has verified, as API servers have it: the common name is the user, each
 * organization a group. Whose CA that is stands in the server's
 * ssl_client_certificate.
 *
 * Something has to stand for the token where captures are told apart by theirs:
 * the certificate's digest. It goes to nobody, and as a token it is none.
 */

#include "ngx_pcap_api_module.h"

#include <openssl/x509.h>


#define NGX_PCAP_API_KUBE_CERT_ORGS  64
#define NGX_PCAP_API_KUBE_CERT_TEXT  "x509."


#if (NGX_HTTP_SSL)

/*
 * The caller's, to be freed; NULL: none, or one that nobody vouches for. What
 * is asked beside a capture has no connection of its own.
 */
static X509 *
ngx_pcap_api_kube_cert(ngx_pcap_api_ctx_t *ctx)
{
    SSL                 *ssl;
    ngx_http_request_t  *r;

    r = ctx->capture ? ctx->capture->request : ctx->request;

    if (r->connection->ssl == NULL) {
        return NULL;
    }

    ssl = r->connection->ssl->connection;

    return SSL_get_verify_result(ssl) == X509_V_OK
           ? SSL_get_peer_certificate(ssl) : NULL;
}


/* NGX_DECLINED: there is none. */
static ngx_int_t
ngx_pcap_api_kube_cert_digest(ngx_pcap_api_ctx_t *ctx, ngx_str_t *text)
{
    int        ok;
    u_char    *p, hash[EVP_MAX_MD_SIZE];
    X509      *cert;
    unsigned   len;

    cert = ngx_pcap_api_kube_cert(ctx);
    if (cert == NULL) {
        return NGX_DECLINED;
    }

    ok = X509_digest(cert, EVP_sha256(), hash, &len);
    X509_free(cert);

    p = ngx_pnalloc(ctx->request->pool,
                    sizeof(NGX_PCAP_API_KUBE_CERT_TEXT)
                    + 2 * EVP_MAX_MD_SIZE);
    if (!ok || p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    p = ngx_cpymem(p, NGX_PCAP_API_KUBE_CERT_TEXT,
                   sizeof(NGX_PCAP_API_KUBE_CERT_TEXT) - 1);
    text->len = ngx_hex_dump(p, hash, len) - text->data;

    return NGX_OK;
}


/* The part of a name that is an entry's; NULL: it is no text. */
static json_t *
ngx_pcap_api_kube_cert_text(X509_NAME *name, int i)
{
    int             len;
    json_t         *text;
    unsigned char  *utf8;

    len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(
                                         X509_NAME_get_entry(name, i)));
    if (len < 0) {
        return NULL;
    }

    /* a NUL in it would end the name before its time */

    text = len > 0 && memchr(utf8, '\0', len) == NULL
           ? json_stringn((char *) utf8, len) : NULL;
    OPENSSL_free(utf8);

    return text;
}


/* A UserInfo, or NULL: nobody's. */
static json_t *
ngx_pcap_api_kube_cert_user_of(X509 *cert)
{
    int         i, n;
    json_t     *user, *groups, *cn;
    X509_NAME  *name;

    name = X509_get_subject_name(cert);
    i = X509_NAME_get_index_by_NID(name, NID_commonName, -1);

    if (i < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, i) >= 0) {
        return NULL;
    }

    cn = ngx_pcap_api_kube_cert_text(name, i);
    groups = json_array();
    user = cn && groups ? json_pack("{s:O, s:O}", "username", cn, "groups",
                                    groups)
                        : NULL;
    i = -1;

    for (n = 0; user != NULL; n++) {
        i = X509_NAME_get_index_by_NID(name, NID_organizationName, i);

        if (i < 0) {
            json_array_append_new(groups, json_string("system:authenticated"));
            break;
        }

        if (n == NGX_PCAP_API_KUBE_CERT_ORGS
            || json_array_append_new(groups,
                                     ngx_pcap_api_kube_cert_text(name, i))
               != 0)
        {
            json_decref(user);
            user = NULL;
        }
    }

    json_decref(cn);
    json_decref(groups);

    return user;
}


static time_t
ngx_pcap_api_kube_cert_end(X509 *cert)
{
    struct tm  tm;

    return ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) ? timegm(&tm) : 0;
}

#endif


#if (NGX_HTTP_SSL)

static ngx_str_t *
ngx_pcap_api_kube_cert_field(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash != 0 && h[i].key.len == name->len
                && ngx_strncasecmp(h[i].key.data, name->data, name->len) == 0)
            {
                return &h[i].value;
            }
        }
    }

    return NULL;
}


/*
 * A browser shows its certificate to whoever asks, and any page in it can ask:
 * what says that it comes from another site (Fetch Metadata; Origin, from
 * browsers that do not know that) is not what its reader wanted.
 */
static ngx_uint_t
ngx_pcap_api_kube_cert_foreign(ngx_http_request_t *r)
{
    ngx_str_t  *site;

    static ngx_str_t  field = ngx_string("sec-fetch-site");
    static ngx_str_t  origin = ngx_string("origin");

    site = ngx_pcap_api_kube_cert_field(r, &field);

    if (site == NULL) {
        return ngx_pcap_api_kube_cert_field(r, &origin) != NULL;
    }

    return !(site->len == 4 && ngx_strncmp(site->data, "none", 4) == 0)
           && !(site->len == 11
                && ngx_strncmp(site->data, "same-origin", 11) == 0);
}

#endif


ngx_int_t
ngx_pcap_api_kube_take_cert(ngx_pcap_api_ctx_t *ctx)
{
#if (NGX_HTTP_SSL)

    ngx_int_t  rc;
    ngx_str_t  text;

    if (ctx->conf->kube.api == NULL || !ctx->conf->kube.client_cert) {
        return NGX_DECLINED;
    }

    rc = ngx_pcap_api_kube_cert_digest(ctx, &text);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_pcap_api_kube_cert_foreign(ctx->request)) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_FORBIDDEN,
                                   "a page of another site may not use its "
                                   "reader's certificate");
    }

    ctx->kube.cert = 1;

    return ngx_pcap_api_set_token(ctx, &text);

#else

    return NGX_DECLINED;

#endif
}


ngx_int_t
ngx_pcap_api_kube_cert_caller(ngx_pcap_api_ctx_t *ctx)
{
#if (NGX_HTTP_SSL)

    X509    *cert;
    json_t  *user;

    cert = ngx_pcap_api_kube_cert(ctx);
    if (cert == NULL) {
        return ngx_pcap_api_unauthorized(ctx, "the certificate is not valid");
    }

    user = ngx_pcap_api_kube_cert_user_of(cert);
    ctx->identity.exp = ngx_pcap_api_kube_cert_end(cert);
    X509_free(cert);

    if (user == NULL) {
        return ngx_pcap_api_unauthorized(ctx, "the certificate is no user's: "
                   "it has to have one common name, and organizations that "
                   "are texts");
    }

    /* the connection may be older than that */

    if (ctx->identity.exp <= ngx_time()) {
        json_decref(user);
        return ngx_pcap_api_unauthorized(ctx, "the certificate has expired");
    }

    return ngx_pcap_api_kube_set_user(ctx, user) == NGX_OK
           ? NGX_OK : NGX_ERROR;

#else

    return NGX_ERROR;

#endif
}
