/*
 * bench/drain.c: the client of the benchmarks. It opens one connection for
 * each path, all at once, reads every answer to its end as fast as it can
 * and prints one line of JSON: body bytes, seconds, cipher, trailers. It
 * spends as little as possible: the reader must not be what is measured.
 *
 * With --body the body of the only answer goes to standard output, the line
 * to standard error.
 */

/* LDFLAGS: -lssl -lcrypto */

#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOOL "drain"
#include "bench/tool_tls.h"


#define MAX_CONNS    256
#define READ_BYTES   65536
#define HEADER_MAX    1024
#define ROUNDS       16        /* reads in a row, then the next connection */

/*
 * Bytes to wake up for. A client on another machine costs the worker no
 * wake-up; one that sleeps on this one would, at every write, and a single
 * fast connection far more than sixteen.
 */
#define LOWAT        (256 * 1024)

typedef enum {
    AT_STATUS = 0, AT_HEADER, AT_SIZE, AT_DATA, AT_CRLF, AT_TRAILER, AT_END
} at_t;

typedef struct {
    int         fd;
    SSL        *ssl;
    int         more;          /* there may be bytes inside of OpenSSL */
    at_t        at;
    uint64_t    chunk;         /* bytes left of it */
    char        line[HEADER_MAX];
    size_t      len;
    uint64_t    bytes;
} conn_t;

typedef struct {
    unsigned    port;
    const char *address;
    const char *ca;            /* NULL: plain HTTP */
    const char *name;          /* in the server's certificate */
    const char *cert;          /* our own, NULL: none */
    const char *key;
    const char *cipher;
    const char *token;
    int         body;
    conn_t      conns[MAX_CONNS];
    unsigned    n;
    unsigned    open;
    char        trailers[512]; /* as JSON members; of the only answer */
    unsigned    complete;      /* answers whose status is that */
    uint64_t    packets;       /* of all, as the trailers say */
    uint64_t    dropped;
} drain_t;


static void
trailer(drain_t *d, const char *line)
{
    size_t       used;
    const char  *colon, *value;

    colon = strchr(line, ':');

    if (strncasecmp(line, "X-Pcap-", 7) != 0 || colon == NULL
        || strpbrk(line, "\"\\") != NULL)
    {
        return;
    }

    value = colon + 1 + strspn(colon + 1, " ");

    if (strncasecmp(line, "X-Pcap-Status:", 14) == 0) {
        d->complete += strcmp(value, "complete") == 0;

    } else if (strncasecmp(line, "X-Pcap-Packets:", 15) == 0) {
        d->packets += strtoull(value, NULL, 10);

    } else if (strncasecmp(line, "X-Pcap-Dropped:", 15) == 0) {
        d->dropped += strtoull(value, NULL, 10);
    }

    if (d->n > 1) {
        return;
    }

    used = strlen(d->trailers);
    snprintf(d->trailers + used, sizeof(d->trailers) - used,
             ",\"%.*s\":\"%s\"", (int) (colon - line), line, value);
}


static void
take_line(drain_t *d, conn_t *c)
{
    char  *end;

    switch (c->at) {

    case AT_STATUS:
        if (strncmp(c->line, "HTTP/1.1 200", 12) != 0) {
            fprintf(stderr, "drain: %s\n", c->line);
            exit(1);
        }

        c->at = AT_HEADER;
        break;

    case AT_HEADER:
        c->at = c->line[0] ? AT_HEADER : AT_SIZE;
        break;

    case AT_SIZE:
        c->chunk = strtoull(c->line, &end, 16);

        if (end == c->line) {
            fprintf(stderr, "drain: no chunk: %s\n", c->line);
            exit(1);
        }

        c->at = c->chunk ? AT_DATA : AT_TRAILER;
        break;

    case AT_CRLF:
        c->at = AT_SIZE;
        break;

    case AT_TRAILER:
        if (c->line[0]) {
            trailer(d, c->line);
            break;
        }

        c->at = AT_END;
        break;

    default:
        break;
    }
}


static void
take(drain_t *d, conn_t *c, const char *p, size_t len)
{
    size_t  n;

    while (len && c->at != AT_END) {

        if (c->at == AT_DATA) {
            n = len < c->chunk ? len : (size_t) c->chunk;

            if (d->body && fwrite(p, 1, n, stdout) != n) {
                die("standard output");
            }

            c->bytes += n;
            c->chunk -= n;
            p += n;
            len -= n;
            c->at = c->chunk ? AT_DATA : AT_CRLF;
            continue;
        }

        if (*p == '\n') {
            c->line[c->len] = '\0';
            c->len = 0;
            take_line(d, c);

        } else if (*p != '\r' && c->len < HEADER_MAX - 1) {
            c->line[c->len++] = *p;
        }

        p++;
        len--;
    }
}


/* Bytes read, 0 when it would block, -1 at the end. */
static int
conn_read(conn_t *c, char *buf)
{
    int  n;

    if (c->ssl == NULL) {
        n = (int) read(c->fd, buf, READ_BYTES);

        return n > 0 ? n : n == -1 && errno == EAGAIN ? 0 : -1;
    }

    n = SSL_read(c->ssl, buf, READ_BYTES);

    if (n > 0) {
        return n;
    }

    return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
}


static void
conn_event(drain_t *d, conn_t *c)
{
    int          i, n;
    static char  buf[READ_BYTES];

    c->more = 0;

    for (i = 0; i < ROUNDS; i++) {
        n = conn_read(c, buf);

        if (n == 0) {
            return;
        }

        if (n > 0) {
            take(d, c, buf, (size_t) n);
        }

        if (n < 0 || c->at == AT_END) {
            if (c->at != AT_END) {
                fprintf(stderr, "drain: cut after %llu bytes\n",
                        (unsigned long long) c->bytes);
                exit(1);
            }

            close(c->fd);
            c->fd = -1;
            d->open--;
            return;
        }
    }

    c->more = 1;
}


static void
loop(drain_t *d)
{
    int            more;
    unsigned       i;
    struct pollfd  fds[MAX_CONNS];

    while (d->open) {
        more = 0;

        for (i = 0; i < d->n; i++) {
            fds[i].fd = d->conns[i].fd;
            fds[i].events = POLLIN;
            fds[i].revents = 0;
            more |= d->conns[i].fd != -1 && d->conns[i].more;
        }

        if (poll(fds, d->n, more ? 0 : 60000) == 0 && !more) {
            fprintf(stderr, "drain: nothing came for 60 s\n");
            exit(1);
        }

        for (i = 0; i < d->n; i++) {
            if (d->conns[i].fd != -1
                && (fds[i].revents || d->conns[i].more))
            {
                conn_event(d, &d->conns[i]);
            }
        }
    }
}


static void
conn_open(drain_t *d, SSL_CTX *tls, conn_t *c, const char *path)
{
    int                 n, len, lowat;
    char                req[2048];
    struct sockaddr_in  sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons((uint16_t) d->port);

    if (inet_pton(AF_INET, d->address, &sin.sin_addr) != 1) {
        errno = EINVAL;
        die(d->address);
    }

    c->fd = socket(AF_INET, SOCK_STREAM, 0);

    if (c->fd == -1
        || connect(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1)
    {
        die("connect");
    }

    if (tls) {
        c->ssl = SSL_new(tls);

        if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1
            || SSL_set1_host(c->ssl, d->name) != 1
            || SSL_connect(c->ssl) != 1)
        {
            die_tls("handshake");
        }
    }

    len = snprintf(req, sizeof(req), "GET %s HTTP/1.1\r\nHost: localhost\r\n"
                   "Authorization: bearer %s\r\nConnection: close\r\n\r\n",
                   path, d->token);

    if (len >= (int) sizeof(req)) {
        errno = ENAMETOOLONG;
        die(path);
    }

    lowat = LOWAT;

    if (setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat))
        == -1)
    {
        die("SO_RCVLOWAT");
    }

    n = c->ssl ? SSL_write(c->ssl, req, len)
               : (int) write(c->fd, req, (size_t) len);

    if (n != len || fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1) {
        die("request");
    }
}


static SSL_CTX *
tls_context(const drain_t *d)
{
    SSL_CTX  *tls;

    tls = SSL_CTX_new(TLS_client_method());

    if (tls == NULL || SSL_CTX_load_verify_locations(tls, d->ca, NULL) != 1
        || SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1
        || SSL_CTX_set_ciphersuites(tls, d->cipher) != 1)
    {
        die_tls("TLS context");
    }

    if (d->cert
        && (SSL_CTX_use_certificate_chain_file(tls, d->cert) != 1
            || SSL_CTX_use_PrivateKey_file(tls, d->key, SSL_FILETYPE_PEM)
               != 1))
    {
        die_tls("certificate");
    }

    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_default_read_buffer_len(tls, 2 * READ_BYTES);

    return tls;
}


static void
usage(void)
{
    fprintf(stderr, "usage: drain --port N [--address IP] [--token T] "
            "[--body]\n             [--ca FILE [--name HOST] "
            "[--cipher NAME] [--cert FILE --key FILE]] PATH...\n");
    exit(2);
}


static void
options(drain_t *d, int argc, char **argv)
{
    int  opt;

    static const struct option  longs[] = {
        { "port", 1, NULL, 'p' }, { "ca", 1, NULL, 'a' },
        { "cipher", 1, NULL, 'e' }, { "token", 1, NULL, 't' },
        { "body", 0, NULL, 'b' }, { "address", 1, NULL, 'i' },
        { "name", 1, NULL, 'n' }, { "cert", 1, NULL, 'c' },
        { "key", 1, NULL, 'k' }, { NULL, 0, NULL, 0 }
    };

    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'p': d->port = (unsigned) number(optarg, 1, 65535); break;
        case 'a': d->ca = optarg; break;
        case 'e': d->cipher = optarg; break;
        case 't': d->token = optarg; break;
        case 'b': d->body = 1; break;
        case 'i': d->address = optarg; break;
        case 'n': d->name = optarg; break;
        case 'c': d->cert = optarg; break;
        case 'k': d->key = optarg; break;
        default:  usage();
        }
    }

    d->n = (unsigned) (argc - optind);

    if (d->port == 0 || d->n == 0 || d->n > MAX_CONNS
        || (d->body && d->n != 1) || (d->cert == NULL) != (d->key == NULL))
    {
        usage();
    }
}


int
main(int argc, char **argv)
{
    SSL_CTX         *tls;
    uint64_t         bytes, began;
    unsigned         i;
    static drain_t   d;

    d.cipher = "TLS_AES_128_GCM_SHA256";
    d.token = "bench";
    d.address = "127.0.0.1";
    d.name = "localhost";
    options(&d, argc, argv);

    (void) signal(SIGPIPE, SIG_IGN);
    tls = d.ca ? tls_context(&d) : NULL;
    began = clock_ns(CLOCK_MONOTONIC);

    for (i = 0; i < d.n; i++) {
        conn_open(&d, tls, &d.conns[i], argv[optind + (int) i]);
        d.conns[i].more = tls != NULL;
    }

    d.open = d.n;
    loop(&d);

    for (bytes = 0, i = 0; i < d.n; i++) {
        bytes += d.conns[i].bytes;
    }

    fflush(stdout);
    fprintf(d.body ? stderr : stdout, "{\"bytes\":%llu,\"seconds\":%.6f,"
            "\"connections\":%u,\"cipher\":\"%s\",\"complete\":%u,"
            "\"packets\":%llu,\"dropped\":%llu%s}\n",
            (unsigned long long) bytes,
            (double) (clock_ns(CLOCK_MONOTONIC) - began) / 1e9, d.n,
            tls ? SSL_get_cipher_name(d.conns[0].ssl) : "none", d.complete,
            (unsigned long long) d.packets, (unsigned long long) d.dropped,
            d.trailers);

    return 0;
}
