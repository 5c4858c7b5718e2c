/*
 * agent/tls.c: see tls.h. Every call wants OpenSSL's error queue empty:
 * SSL_get_error() looks at it, and a stale entry turns "would block" into an
 * error. A look is cheap, clearing it is not (a few hundred instructions).
 */

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "net.h"
#include "tls.h"


/*
 * A client's chain has a few certificates of 1 to 2 KiB; OpenSSL's default
 * ceiling is 100 KiB for a peer that has proven nothing yet.
 */
#define TLS_MAX_CHAIN  32768

#define TLS_MAX_DEPTH  4

/* The short key first: a capture process shares its core with others. */
#define TLS_12_CIPHERS  "ECDHE+AES128+AESGCM:ECDHE+AESGCM:ECDHE+CHACHA20"
#define TLS_13_CIPHERS  "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:" \
                        "TLS_CHACHA20_POLY1305_SHA256"

static int tls_context_files(SSL_CTX *ctx, const conf_t *conf, char *err);
static void tls_fail(char *err, const char *what, const char *path);
static int tls_check_peer(tls_t *tls, const conf_t *conf, const log_t *log);
static int tls_match_names(tls_t *tls, const conf_list_t *allowed, X509 *cert);
static int tls_match(tls_t *tls, const conf_list_t *allowed,
    const ASN1_STRING *name);
static int tls_match_san(tls_t *tls, const conf_list_t *allowed, X509 *cert);
static int tls_match_cn(tls_t *tls, const conf_list_t *allowed, X509 *cert);
static int tls_result(tls_t *tls, int rc, short *want);
static const char *tls_reason(const tls_t *tls);
static void tls_no_errors(void);


SSL_CTX *
tls_context(const conf_t *conf, char *err)
{
    SSL_CTX  *ctx;

    ERR_clear_error();

    ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        tls_fail(err, "TLS context", "");
        return NULL;
    }

    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION
                             | SSL_OP_NO_COMPRESSION
                             | SSL_OP_CIPHER_SERVER_PREFERENCE);

    /*
     * The API ends a capture by a FIN without close_notify. OpenSSL 3 calls
     * that a fatal error after which nothing may be written; here it is an
     * orderly end. Truncation is no danger: a request ends with a blank line.
     */
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);

    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                          | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, TLS_MAX_CHAIN);
    SSL_CTX_set_verify_depth(ctx, TLS_MAX_DEPTH);
    SSL_CTX_set_num_tickets(ctx, 0);

    /*
     * A server's default purpose is sslclient: a certificate with an extended
     * key usage that leaves out clientAuth is refused.
     */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);

    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1
        || SSL_CTX_set_cipher_list(ctx, TLS_12_CIPHERS) != 1
        || SSL_CTX_set_ciphersuites(ctx, TLS_13_CIPHERS) != 1)
    {
        tls_fail(err, "TLS parameters", "");
        SSL_CTX_free(ctx);
        return NULL;
    }

    if (tls_context_files(ctx, conf, err) != 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }

    return ctx;
}


static int
tls_context_files(SSL_CTX *ctx, const conf_t *conf, char *err)
{
    STACK_OF(X509_NAME)  *names;

    if (SSL_CTX_use_certificate_chain_file(ctx, conf->tls_cert) != 1) {
        tls_fail(err, "tls_cert", conf->tls_cert);
        return -1;
    }

    if (SSL_CTX_use_PrivateKey_file(ctx, conf->tls_key, SSL_FILETYPE_PEM)
        != 1)
    {
        tls_fail(err, "tls_key", conf->tls_key);
        return -1;
    }

    if (SSL_CTX_check_private_key(ctx) != 1) {
        tls_fail(err, "tls_key does not fit tls_cert", conf->tls_key);
        return -1;
    }

    /* Nothing but tls_ca is trusted: the system's store is never loaded. */

    if (SSL_CTX_load_verify_file(ctx, conf->tls_ca) != 1) {
        tls_fail(err, "tls_ca", conf->tls_ca);
        return -1;
    }

    names = SSL_load_client_CA_file(conf->tls_ca);
    if (names == NULL) {
        tls_fail(err, "tls_ca", conf->tls_ca);
        return -1;
    }

    SSL_CTX_set_client_CA_list(ctx, names);

    return 0;
}


static void
tls_fail(char *err, const char *what, const char *path)
{
    const char     *reason;
    unsigned long   code;

    /* "system lib" is all that OpenSSL says of a file that is not there */

    code = ERR_peek_error();

    if (ERR_SYSTEM_ERROR(code)) {
        reason = strerror(ERR_GET_REASON(code));

    } else {
        code = ERR_peek_last_error();
        reason = code ? ERR_reason_error_string(code) : NULL;
    }

    snprintf(err, CONF_ERR_LEN, "%s%s%.200s: %s", what, path[0] ? " " : "",
             path, reason ? reason : "failed");
    ERR_clear_error();
}


int
tls_accept(tls_t *tls, SSL_CTX *ctx, int fd, const conf_t *conf,
    uint64_t deadline, const log_t *log)
{
    int  rc;

    memset(tls, 0, sizeof(*tls));
    tls->fd = fd;
    tls->want_read = POLLIN;
    tls->want_write = POLLOUT;

    ERR_clear_error();

    tls->ssl = SSL_new(ctx);
    if (tls->ssl == NULL || SSL_set_fd(tls->ssl, fd) != 1) {
        log_error(log, "TLS: out of memory");
        return -1;
    }

    for ( ;; ) {
        ERR_clear_error();
        rc = SSL_accept(tls->ssl);

        if (rc == 1) {
            return tls_check_peer(tls, conf, log);
        }

        rc = SSL_get_error(tls->ssl, rc);

        if (rc != SSL_ERROR_WANT_READ && rc != SSL_ERROR_WANT_WRITE) {
            log_info(log, "TLS handshake refused: %s", tls_reason(tls));
            return -1;
        }

        if (tls_wait(tls, rc == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT,
                     deadline)
            != 0)
        {
            log_info(log, "TLS handshake took too long");
            return -1;
        }
    }
}


static const char *
tls_reason(const tls_t *tls)
{
    long            rc;
    const char     *reason;
    unsigned long   code;

    rc = SSL_get_verify_result(tls->ssl);

    if (rc != X509_V_OK) {
        return X509_verify_cert_error_string(rc);
    }

    code = ERR_peek_error();
    reason = code ? ERR_reason_error_string(code) : NULL;

    return reason ? reason : "connection closed";
}


/* Returns 0 when one of the certificate's names is allowed. */

static int
tls_check_peer(tls_t *tls, const conf_t *conf, const log_t *log)
{
    int    rc;
    X509  *cert;

    /* Both hold after SSL_VERIFY_FAIL_IF_NO_PEER_CERT; a second look. */

    cert = SSL_get1_peer_certificate(tls->ssl);

    if (cert == NULL || SSL_get_verify_result(tls->ssl) != X509_V_OK) {
        log_warn(log, "client refused: no verified certificate");
        X509_free(cert);
        return -1;
    }

    rc = tls_match_names(tls, &conf->allowed_names, cert);

    if (rc != 0) {
        rc = tls_match_names(tls, &conf->metrics_names, cert);
        tls->metrics_only = 1;
    }

    if (rc != 0) {
        log_warn(log, "client refused: no name of its certificate is in "
                 "allowed_names");
    }

    X509_free(cert);

    return rc;
}


static int
tls_match_names(tls_t *tls, const conf_list_t *allowed, X509 *cert)
{
    return tls_match_san(tls, allowed, cert) == 0
           ? 0 : tls_match_cn(tls, allowed, cert);
}


static int
tls_match_san(tls_t *tls, const conf_list_t *allowed, X509 *cert)
{
    int                   i, rc;
    GENERAL_NAMES        *names;
    const GENERAL_NAME   *name;

    names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    rc = -1;

    for (i = 0; rc != 0 && i < sk_GENERAL_NAME_num(names); i++) {
        name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS) {
            rc = tls_match(tls, allowed, name->d.dNSName);
        }
    }

    GENERAL_NAMES_free(names);

    return rc;
}


static int
tls_match_cn(tls_t *tls, const conf_list_t *allowed, X509 *cert)
{
    int               i;
    const X509_NAME  *subject;

    subject = X509_get_subject_name(cert);
    i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    if (i < 0) {
        return -1;
    }

    return tls_match(tls, allowed,
                     X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject,
                                                                  i)));
}


/* Whole names only, no wildcard; a name with a NUL inside matches nothing. */

static int
tls_match(tls_t *tls, const conf_list_t *allowed, const ASN1_STRING *name)
{
    size_t       i, len;
    const char  *data;

    data = (const char *) ASN1_STRING_get0_data(name);
    len = (size_t) ASN1_STRING_length(name);

    for (i = 0; i < allowed->n; i++) {
        if (len == strlen(allowed->text[i])
            && memchr(data, '\0', len) == NULL
            && strncasecmp(data, allowed->text[i], len) == 0)
        {
            snprintf(tls->peer, sizeof(tls->peer), "%s",
                     allowed->text[i]);
            return 0;
        }
    }

    return -1;
}


int
tls_read(tls_t *tls, void *buf, size_t len)
{
    int  rc;

    tls_no_errors();
    rc = SSL_read(tls->ssl, buf, len > INT32_MAX ? INT32_MAX : (int) len);

    return rc > 0 ? rc : tls_result(tls, rc, &tls->want_read);
}


int
tls_write(tls_t *tls, const void *buf, size_t len)
{
    int  rc;

    tls_no_errors();
    rc = SSL_write(tls->ssl, buf, len > INT32_MAX ? INT32_MAX : (int) len);

    if (rc > 0) {
        return rc;
    }

    rc = tls_result(tls, rc, &tls->want_write);

    return rc == TLS_EOF ? TLS_GONE : rc;
}


static void
tls_no_errors(void)
{
    if (ERR_peek_error()) {
        ERR_clear_error();
    }
}


static int
tls_result(tls_t *tls, int rc, short *want)
{
    switch (SSL_get_error(tls->ssl, rc)) {

    case SSL_ERROR_WANT_READ:
        *want = POLLIN;
        return TLS_AGAIN;

    case SSL_ERROR_WANT_WRITE:
        *want = POLLOUT;
        return TLS_AGAIN;

    case SSL_ERROR_ZERO_RETURN:
        return TLS_EOF;

    default:
        return TLS_GONE;
    }
}


int
tls_write_all(tls_t *tls, const void *buf, size_t len, uint64_t deadline)
{
    int             rc;
    const uint8_t  *p;

    for (p = buf; len; /* void */ ) {
        rc = tls_write(tls, p, len);

        if (rc == TLS_AGAIN) {
            if (tls_wait(tls, tls->want_write, deadline) != 0) {
                return -1;
            }

            continue;
        }

        if (rc < 0) {
            return -1;
        }

        p += rc;
        len -= (size_t) rc;
    }

    return 0;
}


int
tls_wait(const tls_t *tls, short events, uint64_t deadline)
{
    int            rc;
    uint64_t       now;
    struct pollfd  pfd;

    for ( ;; ) {
        now = net_monotonic();

        if (now >= deadline) {
            return -1;
        }

        pfd.fd = tls->fd;
        pfd.events = events;

        rc = poll(&pfd, 1, (int) ((deadline - now) / 1000000) + 1);

        if (rc > 0) {
            return 0;
        }
    }
}


void
tls_finish(tls_t *tls, uint64_t deadline)
{
    char     buf[4096];
    ssize_t  n;

    if (tls->ssl == NULL) {
        return;
    }

    ERR_clear_error();
    (void) SSL_shutdown(tls->ssl);
    (void) shutdown(tls->fd, SHUT_WR);

    while (tls_wait(tls, POLLIN, deadline) == 0) {
        n = recv(tls->fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
            break;
        }
    }

    tls_free(tls);
}


void
tls_free(tls_t *tls)
{
    SSL_free(tls->ssl);
    tls->ssl = NULL;
}
