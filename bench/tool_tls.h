/*
 * bench/tool_tls.h: TLS of the programs of the benchmarks; behind tool.h.
 */

#ifndef BENCH_TOOL_TLS_H
#define BENCH_TOOL_TLS_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "bench/tool.h"


static inline _Noreturn void
die_tls(const char *what)
{
    fprintf(stderr, TOOL ": %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}


/*
 * A server as the agent is: TLS 1.3 with that one cipher, no tickets. With ca
 * (may be NULL) the client has to show a certificate of it.
 */
static inline SSL_CTX *
tls_server(const char *cert, const char *key, const char *ca,
    const char *cipher)
{
    SSL_CTX  *tls;

    tls = SSL_CTX_new(TLS_server_method());

    if (tls == NULL
        || SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1
        || SSL_CTX_set_ciphersuites(tls, cipher) != 1
        || SSL_CTX_use_certificate_chain_file(tls, cert) != 1
        || SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1
        || (ca && SSL_CTX_load_verify_locations(tls, ca, NULL) != 1))
    {
        die_tls("TLS context");
    }

    if (ca) {
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER
                                | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }

    SSL_CTX_set_num_tickets(tls, 0);

    return tls;
}


#endif /* BENCH_TOOL_TLS_H */
