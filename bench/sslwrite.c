/*
 * bench/sslwrite.c: what bytes cost that only go through TLS. It listens,
 * takes one connection, answers whatever request comes with one HTTP chunk of
 * so many bytes at a steady pace and prints one line of JSON: bytes, writes,
 * its own CPU seconds from the first byte to the last. The socket, the cipher
 * and the size of a write are those of pcap-agent; the bytes come from memory
 * that is in the cache, nobody makes them.
 *
 * The program that it is compared with pays for its handshake elsewhere, so
 * none is counted here.
 */

/* LDFLAGS: -lssl -lcrypto */

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOOL "sslwrite"
#include "bench/tool_tls.h"


#define SEC           UINT64_C(1000000000)
#define MS            UINT64_C(1000000)

/* As agent/stream.h: a TLS record, of which sixteen are a chunk. */
#define WRITE_BYTES   16384
#define SOURCE_BYTES  (16 * WRITE_BYTES)

/* As agent/session.c. */
#define LOWAT         524288

#define REQUEST_MAX   4096
#define MAX_SECONDS   600

typedef struct {
    const char   *address;
    unsigned      port;
    const char   *cert;
    const char   *key;
    const char   *cipher;
    uint64_t      bytes;
    uint64_t      length_ns;
    uint64_t      turn_ns;     /* between two bursts of writes */
} conf_t;

typedef struct {
    SSL          *ssl;
    int           fd;
    uint64_t      sent;
    uint64_t      writes;
    uint64_t      turns;
    uint8_t       source[SOURCE_BYTES];
} sender_t;


static int
listener(const conf_t *c)
{
    int                 fd, on;
    struct sockaddr_in  sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons((uint16_t) c->port);

    if (inet_pton(AF_INET, c->address, &sin.sin_addr) != 1) {
        errno = EINVAL;
        die(c->address);
    }

    on = 1;
    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1
        || bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(fd, 1) == -1)
    {
        die("listen");
    }

    return fd;
}


/* The socket as agent/session.c sets it, the handshake, the request. */
static void
sender_accept(sender_t *s, SSL_CTX *tls, int lfd)
{
    int     n, on, lowat;
    size_t  len;
    char    req[REQUEST_MAX];

    on = 1;
    lowat = LOWAT;
    s->fd = accept(lfd, NULL, NULL);

    if (s->fd == -1
        || setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1
        || setsockopt(s->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat,
                      sizeof(lowat)) == -1)
    {
        die("accept");
    }

    s->ssl = SSL_new(tls);

    if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1
        || SSL_accept(s->ssl) != 1)
    {
        die_tls("handshake");
    }

    for (len = 0; len < 4 || memcmp(req + len - 4, "\r\n\r\n", 4) != 0; ) {
        n = SSL_read(s->ssl, req + len, (int) (sizeof(req) - len));

        if (n <= 0) {
            die_tls("request");
        }

        len += (size_t) n;
    }
}


static void
sender_write(sender_t *s, const void *data, size_t len)
{
    int             n;
    const uint8_t  *p;

    for (p = data; len; len -= (size_t) n, p += n) {
        n = SSL_write(s->ssl, p, (int) len);

        if (n <= 0) {
            die_tls("write");
        }

        s->writes++;
    }
}


static void
sender_cork(sender_t *s, int on)
{
    if (setsockopt(s->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)) == -1) {
        die("TCP_CORK");
    }
}


/* What is due, as full records, and the rest at the end. */
static void
sender_turn(sender_t *s, const conf_t *c, uint64_t due)
{
    size_t  len;

    sender_cork(s, 1);

    while (s->sent < due) {
        len = due - s->sent < WRITE_BYTES ? (size_t) (due - s->sent)
                                          : WRITE_BYTES;

        if (len < WRITE_BYTES && due < c->bytes) {
            break;
        }

        sender_write(s, s->source + s->sent % SOURCE_BYTES, len);
        s->sent += len;
    }

    sender_cork(s, 0);
    s->turns++;
}


static void
sender_pace(sender_t *s, const conf_t *c, uint64_t began)
{
    uint64_t         at, due;
    struct timespec  ts;

    for (at = began + c->turn_ns; s->sent < c->bytes; at += c->turn_ns) {
        ts.tv_sec = (time_t) (at / SEC);
        ts.tv_nsec = (long) (at % SEC);
        (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);

        due = at - began < c->length_ns
              ? (uint64_t) ((double) c->bytes * (double) (at - began)
                            / (double) c->length_ns)
              : c->bytes;
        sender_turn(s, c, due);
    }
}


static void
sender_run(sender_t *s, const conf_t *c)
{
    int       n;
    char      head[160];
    uint64_t  began, cpu;

    n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n"
                 "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                 "%llx\r\n", (unsigned long long) c->bytes);
    sender_write(s, head, (size_t) n);
    s->writes = 0;

    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    began = clock_ns(CLOCK_MONOTONIC);
    sender_pace(s, c, began);
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    began = clock_ns(CLOCK_MONOTONIC) - began;

    printf("{\"bytes\":%llu,\"seconds\":%.6f,\"cpu_seconds\":%.6f,"
           "\"writes\":%llu,\"turns\":%llu,\"cipher\":\"%s\"}\n",
           (unsigned long long) s->sent, (double) began / 1e9,
           (double) cpu / 1e9, (unsigned long long) s->writes,
           (unsigned long long) s->turns, SSL_get_cipher_name(s->ssl));

    sender_write(s, "\r\n0\r\n\r\n", 7);
    (void) SSL_shutdown(s->ssl);
    (void) shutdown(s->fd, SHUT_WR);
}


static void
usage(void)
{
    fprintf(stderr, "usage: sslwrite --port N --cert FILE --key FILE "
            "--bytes N --seconds S [--address IP] [--cipher NAME] "
            "[--turn-ms N]\n");
    exit(2);
}


static uint64_t
nanoseconds(const char *text)
{
    char    *end;
    double   v;

    v = strtod(text, &end);

    if (end == text || *end || !(v > 0 && v <= MAX_SECONDS)) {
        usage();
    }

    return (uint64_t) (v * 1e9);
}


static void
options(conf_t *c, int argc, char **argv)
{
    int  opt;

    static const struct option  longs[] = {
        { "address", 1, NULL, 'a' }, { "port", 1, NULL, 'p' },
        { "cert", 1, NULL, 'c' }, { "key", 1, NULL, 'k' },
        { "cipher", 1, NULL, 'e' }, { "bytes", 1, NULL, 'b' },
        { "seconds", 1, NULL, 's' }, { "turn-ms", 1, NULL, 't' },
        { NULL, 0, NULL, 0 }
    };

    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'a': c->address = optarg; break;
        case 'p': c->port = (unsigned) number(optarg, 1, 65535); break;
        case 'c': c->cert = optarg; break;
        case 'k': c->key = optarg; break;
        case 'e': c->cipher = optarg; break;
        case 'b': c->bytes = number(optarg, 1, UINT64_C(1) << 50); break;
        case 's': c->length_ns = nanoseconds(optarg); break;
        case 't': c->turn_ns = number(optarg, 1, 10000) * MS; break;
        default:  usage();
        }
    }

    if (c->port == 0 || c->cert == NULL || c->key == NULL || c->bytes == 0
        || c->length_ns == 0 || c->turn_ns == 0 || optind != argc)
    {
        usage();
    }
}


int
main(int argc, char **argv)
{
    int               lfd;
    unsigned          i;
    conf_t            c;
    SSL_CTX          *tls;
    static sender_t   s;

    c = (conf_t) { .address = "127.0.0.1", .turn_ns = 20 * MS,
                   .cipher = "TLS_AES_128_GCM_SHA256" };
    options(&c, argc, argv);

    for (i = 0; i < SOURCE_BYTES; i++) {
        s.source[i] = (uint8_t) (i * 2654435761u >> 24);
    }

    (void) signal(SIGPIPE, SIG_IGN);
    tls = tls_server(c.cert, c.key, NULL, c.cipher);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE);
    lfd = listener(&c);
    sender_accept(&s, tls, lfd);
    sender_run(&s, &c);

    return 0;
}
