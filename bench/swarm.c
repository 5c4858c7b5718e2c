/*
 * bench/swarm.c: stands in for up to a thousand agents at a given rate, in
 * one process. Where bench/replay.c sends as fast as it can from streams made
 * beforehand, here every agent sends what has become due since it sent last:
 * every --every ms, or a third of the request's heartbeat_ms where that is
 * less; an ISB at each full multiple of heartbeat_ms of the request. Their
 * turns are spread evenly over that time. Where heartbeats are rare and records
 * few these leave with the heartbeats. That is what pcap-agent does.
 *
 * The agent's number is that of the address it was reached on (127.0.1.1 is
 * agent 0), modulo --agents. The records of so many agents are interleaved
 * strictly; they begin when --connections are there, at all at once. Until
 * then there are ISBs only. The clock is the machine's, or with --start one
 * that makes the same stream in each run, which --dump writes to files.
 *
 * It says "go" when all are there, and one line of JSON when all are done.
 * It never captures and is never installed.
 */

/* LDFLAGS: -lssl -lcrypto */

#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOOL "swarm"
#include "bench/swarm.h"
#include "bench/tool_tls.h"


#define MAX_AGENTS    1000
#define MAX_CONNS     4096
#define CHUNK_BYTES   262144   /* STREAM_CHUNK_BYTES of pcap-agent */
#define ISB_ROOM      128
#define END_ROOM      16       /* "\r\n" and the last chunk */
#define TLS_BYTES     16384
#define REQUEST_MAX   16384
#define GATHER_BEAT   (50 * MS)    /* RUN_GATHER_BEAT_MS of pcap-agent */
#define GATHER_BYTES  32768    /* RUN_GATHER_BYTES */
#define GATHER_RATE   5000     /* RUN_BUSY, a second */
#define GO_MS         500      /* from "go" to the first record */

typedef enum {
    AT_HANDSHAKE = 0, AT_REQUEST, AT_STREAM, AT_LAST, AT_END
} at_t;

typedef struct {
    unsigned          port;
    unsigned          agents;      /* whose records are interleaved */
    unsigned          connections; /* to begin with */
    unsigned          size;        /* bytes of a packet */
    unsigned          rate;        /* records per second of each agent */
    unsigned          every;       /* ms, between two turns at most */
    uint64_t          spread;      /* ns, of the agents' clocks */
    uint64_t          seconds;
    uint64_t          start;       /* ns; 0: the machine's clock */
    const char       *cert;
    const char       *key;
    const char       *ca;
    const char       *cipher;
    const char       *dump;        /* folder, or NULL */
} conf_t;

typedef struct {
    int               fd;
    SSL              *ssl;
    at_t              at;
    unsigned          agent;
    uint64_t          beat_ns;     /* between two ISBs */
    uint64_t          every_ns;    /* between two turns */
    uint64_t          turn;        /* ns, monotonic: sends next then */
    uint64_t          beat;        /* ns, monotonic: an ISB is due */
    uint64_t          next;        /* number of its next record */
    uint8_t          *rest;        /* what the socket did not take */
    size_t            rest_len;
    size_t            rest_sent;
    char             *request;
    size_t            request_len;
} conn_t;

typedef struct {
    conf_t            conf;
    said_t            said;
    SSL_CTX          *tls;
    int               epoll;
    int               listener;
    unsigned          streaming;
    unsigned          done;
    unsigned          cut;         /* connections */
    uint64_t          records;     /* of all, written */
    uint64_t          late_ns;     /* longest from due to begun */
    uint64_t          last_ns;     /* the last byte was taken, monotonic */
    conn_t           *conns[MAX_CONNS];
    unsigned          nconns;
    uint8_t           mem[CHUNK_BYTES + END_ROOM];
} swarm_t;


static void
conn_close(swarm_t *w, conn_t *c)
{
    if (c->at == AT_LAST) {
        w->done++;
        (void) SSL_shutdown(c->ssl);

    } else if (c->at == AT_STREAM) {
        w->cut++;
    }

    c->at = AT_END;
    close(c->fd);
    SSL_free(c->ssl);
    free(c->rest);
    free(c->request);
    c->ssl = NULL;
    c->rest = NULL;
    c->request = NULL;
    c->rest_len = 0;
}


static void
conn_watch(swarm_t *w, conn_t *c, uint32_t events)
{
    struct epoll_event  ev;

    memset(&ev, 0, sizeof(ev));
    ev.events = events;
    ev.data.ptr = c;

    if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &ev) == -1) {
        die("epoll_ctl");
    }
}


/* 1: the connection wants to wait, 0: it has ended. */
static int
conn_wants(swarm_t *w, conn_t *c, int rc)
{
    switch (SSL_get_error(c->ssl, rc)) {

    case SSL_ERROR_WANT_READ:
        conn_watch(w, c, EPOLLIN);
        return 1;

    case SSL_ERROR_WANT_WRITE:
        conn_watch(w, c, EPOLLOUT);
        return 1;

    default:
        ERR_clear_error();
        conn_close(w, c);
        return 0;
    }
}


/* Bytes that were taken; what is missing waits in c->rest or c is closed. */
static size_t
conn_write(swarm_t *w, conn_t *c, const uint8_t *p, size_t len)
{
    int     n;
    size_t  sent;

    for (sent = 0; sent < len; sent += (size_t) n) {
        n = SSL_write(c->ssl, p + sent, (int) (len - sent < TLS_BYTES
                                               ? len - sent : TLS_BYTES));

        if (n <= 0) {
            (void) conn_wants(w, c, n);
            break;
        }
    }

    w->last_ns = clock_ns(CLOCK_MONOTONIC);

    return sent;
}


static void
conn_send(swarm_t *w, conn_t *c, const uint8_t *p, size_t len)
{
    size_t  sent;

    sent = conn_write(w, c, p, len);

    if (c->at == AT_END) {
        return;
    }

    if (sent < len) {
        c->rest = malloc(len - sent);

        if (c->rest == NULL) {
            die("memory");
        }

        memcpy(c->rest, p + sent, len - sent);
        c->rest_len = len - sent;
        c->rest_sent = 0;

    } else if (c->at == AT_LAST) {
        conn_close(w, c);
    }
}


/* The socket takes bytes again. */
static void
conn_go_on(swarm_t *w, conn_t *c)
{
    c->rest_sent += conn_write(w, c, c->rest + c->rest_sent,
                               c->rest_len - c->rest_sent);

    if (c->at == AT_END || c->rest_sent < c->rest_len) {
        return;
    }

    free(c->rest);
    c->rest = NULL;
    c->rest_len = 0;

    if (c->at == AT_LAST) {
        conn_close(w, c);
        return;
    }

    conn_watch(w, c, EPOLLIN);
}


/* The next heartbeat, as the agent sends them; monotonic. */
static uint64_t
conn_beat(const swarm_t *w, const conn_t *c, uint64_t now)
{
    uint64_t  real;

    real = clock_ns(CLOCK_REALTIME);

    return now + next_beat(real, c->beat_ns, w->conf.spread, c->agent) - real;
}


/* 1 when so many records that are due stay for now. */
static int
conn_gathers(const swarm_t *w, const conn_t *c, uint64_t now, uint64_t n)
{
    return c->beat_ns >= GATHER_BEAT && now < c->beat
           && w->conf.rate < GATHER_RATE
           && n * w->said.block < GATHER_BYTES
           && c->next + n < w->said.total;
}


/*
 * Sends what is due, as one chunk; a last one when all is sent. Returns 1
 * when more is due.
 */
static int
conn_turn(swarm_t *w, conn_t *c, uint64_t now)
{
    int          last;
    char         frame[FRAME_HEAD + 1];
    uint64_t     ts, due, n, most, next_ts;
    pcapx_out_t  o;

    ts = agents_clock(&w->said, now);
    due = records_due(&w->said, c->agent, ts);
    n = due - c->next;

    if (conn_gathers(w, c, now, n)) {
        return 0;
    }

    most = (CHUNK_BYTES - FRAME_HEAD - ISB_ROOM - 2) / w->said.block;

    if (n && ts - record_ts(&w->said, c->agent, c->next) > w->late_ns) {
        w->late_ns = ts - record_ts(&w->said, c->agent, c->next);
    }

    n = n < most ? n : most;
    o.pos = put_records(&w->said, c->agent, c->next, n, w->mem + FRAME_HEAD);
    o.end = w->mem + CHUNK_BYTES;
    c->next += n;
    w->records += n;
    last = (w->said.go && c->next == w->said.total);

    if (last || now >= c->beat) {
        next_ts = c->next < due ? record_ts(&w->said, c->agent, c->next) : ts;
        put_isb(&o, next_ts, c->next);
        c->beat = conn_beat(w, c, now);
    }

    if (o.pos == w->mem + FRAME_HEAD) {
        return 0;
    }

    snprintf(frame, sizeof(frame), "%06x\r\n",
             (unsigned) (o.pos - w->mem - FRAME_HEAD));
    memcpy(w->mem, frame, FRAME_HEAD);
    memcpy(o.pos, "\r\n0\r\n\r\n", 7);
    o.pos += last ? 7 : 2;

    if (last) {
        c->at = AT_LAST;
    }

    conn_send(w, c, w->mem, (size_t) (o.pos - w->mem));

    return c->next < due;
}


/* The header, the head of the file and the first ISB. */
static void
conn_begin(swarm_t *w, conn_t *c, uint64_t now)
{
    size_t       len;
    char         head[512];
    uint8_t      blocks[512];
    pcapx_out_t  o;

    o.pos = blocks;
    o.end = blocks + sizeof(blocks);
    put_head(&o);
    put_isb(&o, agents_clock(&w->said, now), 0);

    len = (size_t) snprintf(head, sizeof(head),
                            "HTTP/1.1 200 OK\r\n"
                            "Content-Type: application/x-pcapng\r\n"
                            "Transfer-Encoding: chunked\r\n"
                            "Connection: close\r\n\r\n%x\r\n",
                            (unsigned) (o.pos - blocks));

    memcpy(w->mem, head, len);
    memcpy(w->mem + len, blocks, (size_t) (o.pos - blocks));
    len += (size_t) (o.pos - blocks);
    memcpy(w->mem + len, "\r\n", 2);

    c->at = AT_STREAM;
    c->beat = conn_beat(w, c, now);
    c->turn = now;
    w->streaming++;
    conn_send(w, c, w->mem, len + 2);
}


static void
conn_request(swarm_t *w, conn_t *c, uint64_t now)
{
    int          n;
    const char  *beat;

    if (c->request == NULL) {
        c->request = malloc(REQUEST_MAX + 1);
        if (c->request == NULL) {
            die("memory");
        }
    }

    n = SSL_read(c->ssl, c->request + c->request_len,
                 (int) (REQUEST_MAX - c->request_len));

    if (n <= 0) {
        (void) conn_wants(w, c, n);
        return;
    }

    c->request_len += (size_t) n;
    c->request[c->request_len] = '\0';

    if (strstr(c->request, "\r\n\r\n") == NULL) {
        return;
    }

    beat = strstr(c->request, "heartbeat_ms=");

    if (strncmp(c->request, "GET /v1/capture", 15) != 0 || beat == NULL) {
        fprintf(stderr, "swarm: unexpected request\n");
        exit(1);
    }

    c->beat_ns = strtoul(beat + 13, NULL, 10) * MS;
    c->every_ns = w->conf.every * MS;

    if (c->beat_ns == 0) {
        fprintf(stderr, "swarm: heartbeats of no time\n");
        exit(1);
    }

    if (c->every_ns > c->beat_ns / 3) {
        c->every_ns = c->beat_ns / 3;      /* the ring's retire time */
    }

    free(c->request);
    c->request = NULL;
    conn_begin(w, c, now);
}


static void
conn_event(swarm_t *w, conn_t *c, uint64_t now)
{
    int   n;
    char  byte;

    if (c->at == AT_HANDSHAKE) {
        n = SSL_accept(c->ssl);

        if (n != 1) {
            (void) conn_wants(w, c, n);
            return;
        }

        c->at = AT_REQUEST;
        conn_watch(w, c, EPOLLIN);
    }

    if (c->at == AT_REQUEST) {
        conn_request(w, c, now);
        return;
    }

    if (c->rest_len) {
        conn_go_on(w, c);
        return;
    }

    /* the API says nothing more: this is the end of it */

    n = SSL_read(c->ssl, &byte, 1);

    if (n <= 0 && c->at != AT_END) {
        (void) conn_wants(w, c, n);
    }
}


static void
swarm_accept(swarm_t *w)
{
    int                  fd, on;
    conn_t              *c;
    socklen_t            len;
    struct epoll_event   ev;
    struct sockaddr_in   sin;

    fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd == -1) {
        return;
    }

    memset(&sin, 0, sizeof(sin));
    len = sizeof(sin);
    c = calloc(1, sizeof(conn_t));

    if (c == NULL || w->nconns == MAX_CONNS
        || getsockname(fd, (struct sockaddr *) &sin, &len) == -1)
    {
        die("connection");
    }

    on = 1;
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    c->fd = fd;
    c->agent = (ntohl(sin.sin_addr.s_addr) - 0x7f000101u) % w->conf.agents;
    c->ssl = SSL_new(w->tls);

    if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1) {
        die_tls("connection");
    }

    SSL_set_accept_state(c->ssl);
    w->conns[w->nconns++] = c;

    memset(&ev, 0, sizeof(ev));
    ev.events = EPOLLIN;
    ev.data.ptr = c;

    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev) == -1) {
        die("epoll_ctl");
    }
}


/* All are there: their turns are spread from now on. */
static void
swarm_go(swarm_t *w, uint64_t now)
{
    unsigned  i;

    w->said.go = now + GO_MS * MS;
    w->said.first_ts = w->conf.start ? w->conf.start
                                : clock_ns(CLOCK_REALTIME) + GO_MS * MS;

    for (i = 0; i < w->nconns; i++) {
        w->conns[i]->turn = now + w->conns[i]->every_ns * i / w->nconns;
    }

    printf("go\n");
    fflush(stdout);
}


/* Whoever's turn has come sends. Returns the ms until the next one. */
static int
swarm_turns(swarm_t *w)
{
    int        more;
    conn_t    *c;
    uint64_t   now, first;
    unsigned   i;

    first = UINT64_MAX;
    more = 0;
    now = clock_ns(CLOCK_MONOTONIC);

    for (i = 0; i < w->nconns; i++) {
        c = w->conns[i];

        if (c->at != AT_STREAM || c->rest_len) {
            continue;
        }

        if ((now >= c->turn || now >= c->beat) && conn_turn(w, c, now)) {
            more = 1;                      /* and it is still its turn */

        } else if (now >= c->turn) {
            c->turn += (1 + (now - c->turn) / c->every_ns) * c->every_ns;
        }

        first = c->turn < first ? c->turn : first;
        first = c->beat < first ? c->beat : first;
    }

    return more || first <= now ? 0 : first == UINT64_MAX ? 1000
           : (int) ((first - now) / MS);
}


static void
swarm_run(swarm_t *w)
{
    int                 i, n, wait;
    uint64_t            now;
    struct epoll_event  events[256];

    wait = 1000;

    while (w->done + w->cut < w->conf.connections) {
        n = epoll_wait(w->epoll, events, 256, wait);
        now = clock_ns(CLOCK_MONOTONIC);

        for (i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                swarm_accept(w);

            } else if (((conn_t *) events[i].data.ptr)->at != AT_END) {
                conn_event(w, events[i].data.ptr, now);
            }
        }

        if (w->said.go == 0 && w->streaming == w->conf.connections) {
            swarm_go(w, now);
        }

        wait = swarm_turns(w);
    }

    printf("{\"connections\":%u,\"records\":%llu,\"cut\":%u,"
           "\"seconds\":%.6f,\"late_ms\":%.1f}\n", w->done,
           (unsigned long long) w->records, w->cut,
           (double) (w->last_ns - w->said.go) / 1e9,
           (double) w->late_ns / 1e6);
}


/* The streams as files, for bench/check. */
static void
swarm_dump(swarm_t *w)
{
    FILE        *f;
    char         name[4096];
    uint8_t     *end;
    unsigned     i;
    uint64_t     n, left, at;
    pcapx_out_t  o;

    w->said.first_ts = w->conf.start;

    for (i = 0; i < w->conf.agents; i++) {
        snprintf(name, sizeof(name), "%s/in.%u.pcapng", w->conf.dump, i);
        f = fopen(name, "w");

        if (f == NULL) {
            die(name);
        }

        o.pos = w->mem;
        o.end = w->mem + CHUNK_BYTES;
        put_head(&o);
        end = o.pos;

        for (at = 0, left = w->said.total; left; at += n, left -= n) {
            (void) fwrite(w->mem, 1, (size_t) (end - w->mem), f);
            n = CHUNK_BYTES / w->said.block;
            n = n < left ? n : left;
            end = put_records(&w->said, i, at, n, w->mem);
        }

        if (fwrite(w->mem, 1, (size_t) (end - w->mem), f)
            != (size_t) (end - w->mem) || fclose(f) != 0)
        {
            die(name);
        }
    }
}


static void
swarm_tls(swarm_t *w)
{
    const conf_t  *conf;

    conf = &w->conf;
    w->tls = tls_server(conf->cert, conf->key, conf->ca, conf->cipher);
    SSL_CTX_set_mode(w->tls, SSL_MODE_ENABLE_PARTIAL_WRITE
                             | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                             | SSL_MODE_RELEASE_BUFFERS);
}


static void
swarm_listen(swarm_t *w)
{
    int                 on;
    struct epoll_event  ev;
    struct sockaddr_in  sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons((uint16_t) w->conf.port);
    sin.sin_addr.s_addr = htonl(INADDR_ANY);

    on = 1;
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                         0);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);

    memset(&ev, 0, sizeof(ev));
    ev.events = EPOLLIN;

    if (w->listener == -1 || w->epoll == -1
        || setsockopt(w->listener, SOL_SOCKET, SO_REUSEADDR, &on,
                      sizeof(on)) == -1
        || bind(w->listener, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(w->listener, 4096) == -1
        || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->listener, &ev) == -1)
    {
        die("listen");
    }
}


static void
usage(void)
{
    fprintf(stderr, "usage: swarm --agents N --size BYTES --rate N "
            "--seconds N [--start NS]\n             (--dump FOLDER | "
            "--connections N --every MS [--spread-us N]\n              "
            "--port N --cert F --key F --ca F [--cipher NAME])\n");
    exit(2);
}


static void
options(conf_t *c, int argc, char **argv)
{
    int  opt;

    static const struct option  longs[] = {
        { "port", 1, NULL, 'p' }, { "agents", 1, NULL, 'n' },
        { "connections", 1, NULL, 'N' }, { "size", 1, NULL, 's' },
        { "rate", 1, NULL, 'r' }, { "seconds", 1, NULL, 'S' },
        { "every", 1, NULL, 'v' }, { "spread-us", 1, NULL, 'u' },
        { "start", 1, NULL, 't' },
        { "cert", 1, NULL, 'c' }, { "key", 1, NULL, 'k' },
        { "ca", 1, NULL, 'a' }, { "cipher", 1, NULL, 'e' },
        { "dump", 1, NULL, 'd' }, { NULL, 0, NULL, 0 }
    };

    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'p': c->port = (unsigned) number(optarg, 1, 65535); break;
        case 'n': c->agents = (unsigned) number(optarg, 1, MAX_AGENTS); break;
        case 'N':
            c->connections = (unsigned) number(optarg, 1, MAX_CONNS);
            break;
        case 's': c->size = (unsigned) number(optarg, 1, 2000); break;
        case 'r': c->rate = (unsigned) number(optarg, 1, 100000000); break;
        case 'S': c->seconds = number(optarg, 1, 3600); break;
        case 'u': c->spread = number(optarg, 0, 100000) * 1000; break;
        case 'v': c->every = (unsigned) number(optarg, 1, 1000); break;
        case 't': c->start = number(optarg, 1, UINT64_MAX); break;
        case 'c': c->cert = optarg; break;
        case 'k': c->key = optarg; break;
        case 'a': c->ca = optarg; break;
        case 'e': c->cipher = optarg; break;
        case 'd': c->dump = optarg; break;
        default:  usage();
        }
    }

    if (c->agents == 0 || c->size == 0 || c->rate == 0 || c->seconds == 0
        || optind != argc
        || (c->dump ? c->start == 0
                    : !c->port || !c->connections || !c->every || !c->cert
                      || !c->key || !c->ca))
    {
        usage();
    }
}


int
main(int argc, char **argv)
{
    static swarm_t  w;

    w.conf.cipher = "TLS_AES_128_GCM_SHA256";
    options(&w.conf, argc, argv);

    w.said.step = SECOND / ((uint64_t) w.conf.rate * w.conf.agents);
    w.said.total = w.conf.rate * w.conf.seconds;

    if (w.said.step == 0) {
        usage();
    }

    w.said.agents = w.conf.agents;
    w.said.start = w.conf.start;
    w.said.size = w.conf.size;
    table_make(&w.said);

    if (w.conf.dump) {
        swarm_dump(&w);
        return 0;
    }

    (void) signal(SIGPIPE, SIG_IGN);
    w.said.began = clock_ns(CLOCK_MONOTONIC);
    swarm_tls(&w);
    swarm_listen(&w);
    swarm_run(&w);

    return w.cut ? 1 : 0;
}
