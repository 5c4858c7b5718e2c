/*
 * agent/tls.h: mutual TLS over a non-blocking socket. This room knows
 * OpenSSL; the others only see bytes, "would block" and "gone".
 */

#ifndef AGENT_TLS_H
#define AGENT_TLS_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "log.h"


#define TLS_NAME_LEN  256

/* Results of tls_read() and tls_write() that are no byte count. */

#define TLS_AGAIN   -1      /* wait for what tls->want says */
#define TLS_GONE    -2      /* reset, or a TLS error: the peer is gone */
#define TLS_EOF      0      /* read only: the peer has finished sending */

typedef struct {
    SSL     *ssl;
    int      fd;
    short    want_read;         /* poll events for the next tls_read() */
    short    want_write;        /* and tls_write() */
    int      metrics_only;      /* it is one of metrics_names alone */
    char     peer[TLS_NAME_LEN];/* the allowed name that matched */
} tls_t;


/*
 * A server context as conf says: TLS 1.2 and up, no tickets, no resumption,
 * no renegotiation, a client certificate of tls_ca is required. Returns NULL
 * with err (CONF_ERR_LEN bytes) filled. The caller frees it.
 */
SSL_CTX *tls_context(const conf_t *conf, char *err);

/*
 * Does the handshake on the non-blocking socket fd until deadline (monotonic
 * nanoseconds) and checks the client's certificate against allowed_names and
 * metrics_names.
 * Returns 0, or -1 (logged).
 */
int tls_accept(tls_t *tls, SSL_CTX *ctx, int fd, const conf_t *conf,
    uint64_t deadline, const log_t *log);

/*
 * Reads at most len bytes, or writes at least one and at most len. A write
 * that returned TLS_AGAIN must be repeated with the same bytes at the same
 * or another address. Returns a byte count, TLS_AGAIN, TLS_GONE, and
 * tls_read() TLS_EOF for an orderly end, with or without close_notify.
 */
int tls_read(tls_t *tls, void *buf, size_t len);
int tls_write(tls_t *tls, const void *buf, size_t len);

/* Writes all of buf, waiting until deadline. Returns 0 or -1. */
int tls_write_all(tls_t *tls, const void *buf, size_t len, uint64_t deadline);

/*
 * Waits until the socket is ready for events or deadline has passed.
 * Returns 0, or -1 when it has.
 */
int tls_wait(const tls_t *tls, short events, uint64_t deadline);

/*
 * Says goodbye: close_notify, FIN, then reads what the peer still sends
 * until it closes or deadline has passed, so that no reset overtakes our
 * last bytes. Frees the connection, but leaves fd open.
 */
void tls_finish(tls_t *tls, uint64_t deadline);

/* Frees the connection without a word. */
void tls_free(tls_t *tls);


#endif /* AGENT_TLS_H */
