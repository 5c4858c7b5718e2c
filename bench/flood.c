/*
 * bench/flood.c: the sender of the capture benchmark. It puts UDP packets of
 * one size on one interface at a paced rate, past the queueing discipline,
 * and prints one line of JSON: packets, seconds, how far it fell behind. The
 * rate rises over the first part (--ramp-ms), so that nobody is measured by
 * his first millisecond. What it could not send at the rate asked for it
 * does not make up for in a burst: the caller sees it in the packets.
 *
 * It sends on an interface that the caller made for it and never receives.
 */

#include <arpa/inet.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOOL "flood"
#include "bench/tool.h"


#define BATCH        32
#define MIN_SIZE     60        /* Ethernet, without its checksum */
#define MAX_SIZE     1514
#define MAX_RATE     100000000
#define MAX_SECONDS  600
#define SEC          UINT64_C(1000000000)

/* Below this it spins: a sleep on a busy machine is late by about as much. */
#define SPIN_NS      200000

/* Behind by more, the schedule moves: no bursts of what was missed. */
#define LATE_NS      2000000

typedef struct {
    const char         *iface;
    uint64_t            rate;          /* packets a second, 0: all it can */
    unsigned            size;
    uint64_t            length_ns;
    uint64_t            ramp_ns;
} conf_t;

typedef struct {
    int                 fd;
    struct mmsghdr      msgs[BATCH];
    struct iovec        iov;
    uint8_t             packet[MAX_SIZE];
    uint64_t            sent;
    uint64_t            refused;       /* no room: sent again */
    uint64_t            late_ns;       /* by which the schedule moved */
} flood_t;

static volatile sig_atomic_t  flood_stop;


static void
on_signal(int signo)
{
    (void) signo;
    flood_stop = 1;
}


static uint16_t
checksum(const uint8_t *p, size_t len)
{
    size_t    i;
    uint32_t  sum;

    sum = 0;

    for (i = 0; i + 1 < len; i += 2) {
        sum += (uint32_t) p[i] << 8 | p[i + 1];
    }

    sum = (sum & 0xffff) + (sum >> 16);
    sum += sum >> 16;

    return (uint16_t) ~sum;
}


static void
put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t) (v >> 8);
    p[1] = (uint8_t) v;
}


/* UDP from 192.0.2.2 to port 9 of 192.0.2.1; addresses as Capture.pm's. */
static void
flood_packet(flood_t *f, unsigned size)
{
    unsigned  i;
    uint8_t  *p;

    static const uint8_t  head[] = {
        0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, 0, 0, 0,
        0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1, 0x30, 0x39, 0,
        9, 0, 0, 0, 0
    };

    p = f->packet;

    for (i = 0; i < size; i++) {
        p[i] = i < sizeof(head) ? head[i] : (uint8_t) i;
    }

    put16(p + 16, size - 14);
    put16(p + 38, size - 34);
    put16(p + 24, checksum(p + 14, 20));
}


static void
flood_open(flood_t *f, const conf_t *c)
{
    int                 on;
    unsigned            i;
    struct sockaddr_ll  sll;

    /* protocol 0: nothing is received */

    f->fd = socket(AF_PACKET, SOCK_RAW, 0);

    if (f->fd == -1) {
        die("socket");
    }

    memset(&sll, 0, sizeof(sll));
    sll.sll_family = AF_PACKET;
    sll.sll_ifindex = (int) if_nametoindex(c->iface);

    if (sll.sll_ifindex == 0
        || bind(f->fd, (struct sockaddr *) &sll, sizeof(sll)) == -1)
    {
        die(c->iface);
    }

    on = 1;

    if (setsockopt(f->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on))
        == -1)
    {
        die("PACKET_QDISC_BYPASS");
    }

    flood_packet(f, c->size);
    f->iov.iov_base = f->packet;
    f->iov.iov_len = c->size;

    for (i = 0; i < BATCH; i++) {
        f->msgs[i].msg_hdr.msg_iov = &f->iov;
        f->msgs[i].msg_hdr.msg_iovlen = 1;
    }
}


static void
flood_batch(flood_t *f)
{
    int       n;
    unsigned  done;

    for (done = 0; done < BATCH && !flood_stop; done += (unsigned) n) {
        n = sendmmsg(f->fd, f->msgs + done, BATCH - done, 0);

        if (n == -1) {
            if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
                die("sendmmsg");
            }

            f->refused++;
            n = 0;
        }

        f->sent += (uint64_t) n;
    }
}


static void
wait_until(uint64_t at, uint64_t now)
{
    struct timespec  ts;

    if (at > now + SPIN_NS) {
        at -= SPIN_NS / 2;
        ts.tv_sec = (time_t) (at / SEC);
        ts.tv_nsec = (long) (at % SEC);
        (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
    }
}


/* How long a batch takes at the rate of this moment. */
static uint64_t
flood_step(const conf_t *c, uint64_t age)
{
    uint64_t  step;

    step = BATCH * SEC / c->rate;

    if (age < c->ramp_ns) {

        /* from an eighth of the rate to all of it */

        step = (uint64_t) ((double) step
                           / (0.125 + 0.875 * (double) age
                                      / (double) c->ramp_ns));
    }

    return step;
}


static void
flood_run(flood_t *f, const conf_t *c)
{
    uint64_t  began, due, now;

    began = clock_ns(CLOCK_MONOTONIC);
    due = began;

    while (!flood_stop) {
        now = clock_ns(CLOCK_MONOTONIC);

        if (now - began >= c->length_ns) {
            break;
        }

        if (c->rate && now < due) {
            wait_until(due, now);
            continue;
        }

        if (c->rate) {
            if (now - due > LATE_NS) {
                f->late_ns += now - due;
                due = now;
            }

            due += flood_step(c, now - began);
        }

        flood_batch(f);
    }

    printf("{\"sent\":%llu,\"seconds\":%.6f,\"refused\":%llu,"
           "\"late_seconds\":%.6f}\n", (unsigned long long) f->sent,
           (double) (clock_ns(CLOCK_MONOTONIC) - began) / 1e9,
           (unsigned long long) f->refused, (double) f->late_ns / 1e9);
}


static void
usage(void)
{
    fprintf(stderr, "usage: flood --interface NAME [--rate PPS] "
            "[--size BYTES] [--seconds N] [--ramp-ms N]\n");
    exit(2);
}


static void
options(conf_t *c, int argc, char **argv)
{
    int  opt;

    static const struct option  longs[] = {
        { "interface", 1, NULL, 'i' }, { "rate", 1, NULL, 'r' },
        { "size", 1, NULL, 's' }, { "seconds", 1, NULL, 't' },
        { "ramp-ms", 1, NULL, 'u' }, { NULL, 0, NULL, 0 }
    };

    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (opt) {
        case 'i': c->iface = optarg; break;
        case 'r': c->rate = number(optarg, 0, MAX_RATE); break;
        case 's':
            c->size = (unsigned) number(optarg, MIN_SIZE, MAX_SIZE);
            break;
        case 't': c->length_ns = number(optarg, 0, MAX_SECONDS) * SEC; break;
        case 'u': c->ramp_ns = number(optarg, 0, 60000) * 1000000; break;
        default:  usage();
        }
    }

    if (c->iface == NULL || c->size < MIN_SIZE || optind != argc) {
        usage();
    }
}


int
main(int argc, char **argv)
{
    conf_t            c;
    static flood_t    f;
    struct sigaction  sa;

    c = (conf_t) { .size = MIN_SIZE, .length_ns = 10 * SEC };
    options(&c, argc, argv);

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    (void) sigaction(SIGTERM, &sa, NULL);
    (void) sigaction(SIGINT, &sa, NULL);

    flood_open(&f, &c);
    flood_run(&f, &c);
    close(f.fd);

    return 0;
}
