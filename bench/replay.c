/*
 * bench/replay.c: stands in for many agents. It listens once, forks for each
 * connection and takes the agent's number from the address it was reached on
 * (127.0.1.1 is agent 0, 127.0.1.2 agent 1, ...). Every agent's stream is
 * made in memory beforehand in the agent profile: whole blocks in chunks of
 * one TLS record, interleaved with the other agents' record by record. Only
 * time stamps are moved on from one round to the next. With --idle there are
 * no packets, and heartbeats by the clock.
 *
 * The same stream can be written to standard output (--dump), so that what
 * came out of the merge can be held against what went in. It never captures
 * and is never installed.
 */

/* LDFLAGS: -lssl -lcrypto */

#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOOL "replay"
#include "bench/tool_tls.h"
#include "pcapx/write.h"


#define CHUNK_BYTES   16384    /* default: one TLS record, framing included */
#define ROUND_BYTES   (1024 * 1024)    /* about; an ISB follows each round */
#define FRAME_HEAD    8        /* "003fd2\r\n", always six digits */
#define FRAME_TAIL    2
#define STEP_NS       1000     /* between two records of all agents */
#define REQUEST_MAX   16384
#define SEC           UINT64_C(1000000000)

typedef struct {
    unsigned          port;
    unsigned          agents;
    unsigned          size;    /* bytes of a packet */
    unsigned          chunk;   /* bytes of a chunk, framing included */
    uint64_t          records; /* per agent, 0: no end */
    uint64_t          start;   /* ns, the first record of agent 0 */
    const char       *cert;
    const char       *key;
    const char       *ca;
    const char       *cipher;
    long              dump;    /* number of the agent, -1: none */
    unsigned          idle;    /* heartbeats a second, 0: packets */
    uint64_t          spread;  /* ns, of the clocks of idle agents */
} conf_t;

typedef struct {
    const conf_t     *conf;
    SSL              *ssl;     /* NULL: to standard output, unframed */
    unsigned          agent;
    uint8_t          *mem;     /* nchunks pieces of conf->chunk bytes */
    unsigned          nchunks;
    unsigned          block;   /* bytes of an EPB */
    unsigned          room;    /* EPBs in a chunk */
    uint64_t          next;    /* number of the agent's next record */
    uint64_t          bytes;   /* of the body, framing left out */
} stream_t;


/* Strictly interleaved: record j of agent i is number j * agents + i. */
static uint64_t
stream_ts(const stream_t *s, uint64_t record)
{
    struct timespec  ts;

    if (s->conf->idle) {
        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * SEC + (uint64_t) ts.tv_nsec;
    }

    return s->conf->start
           + (record * s->conf->agents + s->agent) * STEP_NS;
}


static void
stream_bytes(stream_t *s, const uint8_t *p, size_t len)
{
    if (s->ssl == NULL) {
        if (fwrite(p, 1, len, stdout) != len) {
            die("standard output");
        }

        return;
    }

    if (SSL_write(s->ssl, p, (int) len) <= 0) {
        fprintf(stderr, "replay: agent %u: the API is gone after %llu "
                "records\n", s->agent, (unsigned long long) s->next);
        _exit(0);
    }
}


/* The blocks at mem + FRAME_HEAD, framed in place when it goes to TLS. */
static void
stream_chunk(stream_t *s, uint8_t *mem, size_t len)
{
    char  head[FRAME_HEAD + 1];

    s->bytes += len;

    if (s->ssl == NULL) {
        stream_bytes(s, mem + FRAME_HEAD, len);
        return;
    }

    snprintf(head, sizeof(head), "%06x\r\n", (unsigned) len);
    memcpy(mem, head, FRAME_HEAD);
    memcpy(mem + FRAME_HEAD + len, "\r\n", FRAME_TAIL);
    stream_bytes(s, mem, FRAME_HEAD + len + FRAME_TAIL);
}


static void
stream_put(int rc)
{
    if (rc != PCAPX_OK) {
        fprintf(stderr, "replay: %s\n", pcapx_strerror(rc));
        exit(1);
    }
}


static void
stream_stats(stream_t *s, pcapx_out_t *o)
{
    uint64_t       ts;
    pcapx_stats_t  st;

    ts = stream_ts(s, s->next);

    memset(&st, 0, sizeof(st));
    st.present = PCAPX_HAS_ENDTIME | PCAPX_HAS_FILTERACCEPT
                 | PCAPX_HAS_OSDROP | PCAPX_HAS_USRDELIV;
    st.endtime_ns = ts;
    st.filteraccept = s->next;
    st.usrdeliv = s->next;

    stream_put(pcapx_put_isb(o, 0, ts, &st, NULL, 0));
}


static void
stream_isb(stream_t *s)
{
    uint8_t      mem[512];
    pcapx_out_t  o;

    o.pos = mem + FRAME_HEAD;
    o.end = mem + sizeof(mem) - FRAME_TAIL;
    stream_stats(s, &o);
    stream_chunk(s, mem, (size_t) (o.pos - mem) - FRAME_HEAD);
}


static void
stream_head(stream_t *s)
{
    uint8_t      mem[1024];
    pcapx_opt_t  name;
    pcapx_out_t  o;

    name.code = PCAPX_IF_NAME;
    name.len = 4;
    name.value = (const uint8_t *) "eth0";

    o.pos = mem + FRAME_HEAD;
    o.end = mem + sizeof(mem) - FRAME_TAIL;
    stream_put(pcapx_put_shb(&o, NULL, 0));
    stream_put(pcapx_put_idb(&o, PCAPX_LINKTYPE_ETHERNET, PCAPX_MAX_SNAPLEN,
                             &name, 1));
    stream_stats(s, &o);
    stream_chunk(s, mem, (size_t) (o.pos - mem) - FRAME_HEAD);
}


/* Packets that look like UDP between two hosts; the rest is noise. */
static void
stream_packet(const stream_t *s, uint8_t *p, unsigned number)
{
    unsigned  i;
    uint32_t  x;

    static const uint8_t  head[] = {
        0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45, 0, 0, 0,
        0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0,
        9, 0, 0, 0, 0
    };

    x = (s->agent + 1) * 2654435761u + number;

    for (i = 0; i < s->conf->size; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = i < sizeof(head) ? head[i] : (uint8_t) (x >> 24);
    }
}


static void
stream_make(stream_t *s)
{
    unsigned     i, j;
    uint8_t      packet[65536];
    pcapx_out_t  o;

    s->block = (unsigned) pcapx_epb_len(s->conf->size, 0);
    s->room = (s->conf->chunk - FRAME_HEAD - FRAME_TAIL) / s->block;
    s->nchunks = ROUND_BYTES / s->conf->chunk;
    s->mem = malloc((size_t) s->nchunks * s->conf->chunk);

    if (s->mem == NULL) {
        die("memory");
    }

    for (i = 0; i < s->nchunks; i++) {
        o.pos = s->mem + (size_t) i * s->conf->chunk + FRAME_HEAD;
        o.end = s->mem + (size_t) (i + 1) * s->conf->chunk;

        for (j = 0; j < s->room; j++) {
            stream_packet(s, packet, i * s->room + j);
            stream_put(pcapx_put_epb(&o, 0, 0, packet, s->conf->size,
                                     s->conf->size, NULL, 0));
        }
    }
}


static void
stream_stamp(uint8_t *p, uint64_t ts)
{
    uint32_t  high, low;

    high = (uint32_t) (ts >> 32);
    low = (uint32_t) ts;
    memcpy(p + 12, &high, sizeof(high));
    memcpy(p + 16, &low, sizeof(low));
}


static void
stream_records(stream_t *s)
{
    uint8_t   *mem, *p;
    uint64_t   left;
    unsigned   i, j, n;

    for (i = 0; i < s->nchunks; i++) {
        n = s->room;

        if (s->conf->records) {
            left = s->conf->records - s->next;

            if (left == 0) {
                return;
            }

            if (left < n) {
                n = (unsigned) left;
            }
        }

        mem = s->mem + (size_t) i * s->conf->chunk;
        p = mem + FRAME_HEAD;

        for (j = 0; j < n; j++) {
            stream_stamp(p, stream_ts(s, s->next));
            s->next++;
            p += s->block;
        }

        stream_chunk(s, mem, (size_t) n * s->block);

        /* a chunk cut short has its framing where a record stood */

        if (n < s->room) {
            return;
        }
    }
}


static void
stream_run(stream_t *s)
{
    stream_make(s);
    stream_head(s);

    do {
        stream_records(s);
        stream_isb(s);
    } while (s->conf->records == 0 || s->next < s->conf->records);

    if (s->ssl) {
        stream_bytes(s, (const uint8_t *) "0\r\n\r\n", 5);
    }
}


/*
 * Heartbeats alone, until the API is gone; as pcap-agent sends them, at full
 * multiples of the interval by the clock.
 */
static void
stream_idle(stream_t *s)
{
    uint64_t         at, every;
    struct timespec  ts;

    every = SEC / s->conf->idle;
    stream_head(s);

    for ( ;; ) {
        at = next_beat(stream_ts(s, 0), every, s->conf->spread, s->agent);
        ts.tv_sec = (time_t) (at / SEC);
        ts.tv_nsec = (long) (at % SEC);
        (void) clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL);
        stream_isb(s);
    }
}


static void
read_request(SSL *ssl)
{
    int     n;
    char    text[REQUEST_MAX + 1];
    size_t  len;

    len = 0;

    do {
        n = SSL_read(ssl, text + len, (int) (REQUEST_MAX - len));

        if (n <= 0) {
            exit(1);
        }

        len += (size_t) n;
        text[len] = '\0';
    } while (len < REQUEST_MAX && strstr(text, "\r\n\r\n") == NULL);

    if (strncmp(text, "GET /v1/capture", 15) != 0) {
        fprintf(stderr, "replay: unexpected request\n");
        exit(1);
    }
}


static void
serve(const conf_t *conf, SSL_CTX *tls, int fd)
{
    int                 on;
    stream_t            s;
    socklen_t           len;
    struct sockaddr_in  sin;

    static const char   header[] =
        "HTTP/1.1 200 OK\r\n"
        "Content-Type: application/x-pcapng\r\n"
        "Transfer-Encoding: chunked\r\n"
        "Connection: close\r\n\r\n";

    memset(&s, 0, sizeof(s));
    s.conf = conf;

    memset(&sin, 0, sizeof(sin));
    len = sizeof(sin);

    if (getsockname(fd, (struct sockaddr *) &sin, &len) == -1) {
        die("getsockname");
    }

    s.agent = (ntohl(sin.sin_addr.s_addr) - 0x7f000101u) % conf->agents;

    on = 1;
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    s.ssl = SSL_new(tls);

    if (s.ssl == NULL || SSL_set_fd(s.ssl, fd) != 1
        || SSL_accept(s.ssl) != 1)
    {
        die_tls("handshake");
    }

    read_request(s.ssl);
    stream_bytes(&s, (const uint8_t *) header, sizeof(header) - 1);

    if (conf->idle) {
        stream_idle(&s);
    }

    stream_run(&s);

    fprintf(stderr, "replay: agent %u: %llu records, %llu bytes, %s %s\n",
            s.agent, (unsigned long long) s.next,
            (unsigned long long) s.bytes, SSL_get_version(s.ssl),
            SSL_get_cipher_name(s.ssl));

    (void) SSL_shutdown(s.ssl);
    free(s.mem);
}


static int
listener(unsigned port)
{
    int                 fd, on;
    struct sockaddr_in  sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons((uint16_t) port);
    sin.sin_addr.s_addr = htonl(INADDR_ANY);

    on = 1;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1
        || bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(fd, 1024) == -1)
    {
        die("listen");
    }

    return fd;
}


static void
usage(void)
{
    fprintf(stderr, "usage: replay --agents N --size BYTES [--records N] "
            "[--start NS] [--chunk BYTES]\n              [--idle PER-SECOND "
            "[--spread-us N]] (--dump AGENT | --port N --cert F "
            "--key F --ca F [--cipher NAME])\n");
    exit(2);
}


static void
options(conf_t *c, int argc, char **argv)
{
    int  opt;

    static const struct option  longs[] = {
        { "port", 1, NULL, 'p' }, { "agents", 1, NULL, 'n' },
        { "size", 1, NULL, 's' }, { "records", 1, NULL, 'r' },
        { "start", 1, NULL, 't' }, { "cert", 1, NULL, 'c' },
        { "key", 1, NULL, 'k' }, { "ca", 1, NULL, 'a' },
        { "cipher", 1, NULL, 'e' }, { "dump", 1, NULL, 'd' },
        { "chunk", 1, NULL, 'b' }, { "idle", 1, NULL, 'i' },
        { "spread-us", 1, NULL, 'S' }, { NULL, 0, NULL, 0 }
    };

    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'p': c->port = (unsigned) number(optarg, 1, 65535); break;
        case 'n': c->agents = (unsigned) number(optarg, 1, 1000); break;
        case 's': c->size = (unsigned) number(optarg, 1, 16000); break;
        case 'r': c->records = number(optarg, 0, UINT64_MAX / STEP_NS); break;
        case 't': c->start = number(optarg, 0, UINT64_MAX); break;
        case 'c': c->cert = optarg; break;
        case 'k': c->key = optarg; break;
        case 'a': c->ca = optarg; break;
        case 'e': c->cipher = optarg; break;
        case 'b':
            c->chunk = (unsigned) number(optarg, CHUNK_BYTES, ROUND_BYTES);
            break;
        case 'i': c->idle = (unsigned) number(optarg, 0, 200); break;
        case 'S': c->spread = number(optarg, 0, 100000) * 1000; break;
        case 'd': c->dump = (long) number(optarg, 0, 249); break;
        default:  usage();
        }
    }

    if (c->agents == 0 || c->size < 1 || c->chunk < CHUNK_BYTES
        || optind != argc
        || (c->dump >= 0 ? c->records == 0
                         : !c->port || !c->cert || !c->key || !c->ca))
    {
        usage();
    }
}


int
main(int argc, char **argv)
{
    int       fd, s;
    conf_t    conf;
    SSL_CTX  *tls;
    stream_t  dump;

    memset(&conf, 0, sizeof(conf));
    conf.start = 1700000000000000000;
    conf.cipher = "TLS_AES_128_GCM_SHA256";
    conf.dump = -1;
    conf.chunk = CHUNK_BYTES;
    options(&conf, argc, argv);

    if (conf.dump >= 0) {
        memset(&dump, 0, sizeof(dump));
        dump.conf = &conf;
        dump.agent = (unsigned) conf.dump;
        stream_run(&dump);
        return fflush(stdout) == 0 ? 0 : 1;
    }

    (void) signal(SIGPIPE, SIG_IGN);
    (void) signal(SIGCHLD, SIG_IGN);
    tls = tls_server(conf.cert, conf.key, conf.ca, conf.cipher);
    s = listener(conf.port);

    for ( ;; ) {
        fd = accept(s, NULL, NULL);

        if (fd == -1) {
            continue;
        }

        if (fork() == 0) {
            close(s);
            serve(&conf, tls, fd);
            exit(0);
        }

        close(fd);
    }
}
