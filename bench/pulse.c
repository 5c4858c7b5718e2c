/*
 * bench/pulse.c: both ends of the latency benchmark. "send" puts numbered UDP
 * packets on an interface, each with the time by CLOCK_MONOTONIC at which it
 * was handed to the kernel; "scan" reads the client's stream and notes how
 * long ago that was when the packet's bytes came by. The clock is one for all
 * network namespaces of a machine.
 *
 * The pauses between packets are random, so that they fall in step with no
 * heartbeat and no timer. Neither end knows what a capture file looks like.
 */

#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOOL "pulse"
#include "bench/tool.h"


#define SEC         UINT64_C(1000000000)
#define HEAD_LEN    42         /* Ethernet, IPv4, UDP */
#define MAGIC       "pcap-pulse-1"
#define MAGIC_LEN   (sizeof(MAGIC) - 1)
#define READ_BYTES  65536
#define MAX_PULSES  1000000
#define MAX_SENDERS 16

typedef struct {
    uint32_t  sender;
    uint32_t  number;
    uint64_t  sent_ns;
} pulse_t;

#define PULSE_LEN   (MAGIC_LEN + sizeof(pulse_t))

typedef struct {
    uint8_t    buf[READ_BYTES + PULSE_LEN];
    size_t     len;
    uint64_t  *waits;          /* ns, one for each packet */
    size_t     n;
    size_t     of[MAX_SENDERS];
} scan_t;


static void
wait_until(uint64_t at)
{
    struct timespec  ts;

    ts.tv_sec = (time_t) (at / SEC);
    ts.tv_nsec = (long) (at % SEC);

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL)
           == EINTR)
    {
        /* until then */
    }
}


static int
open_interface(const char *name)
{
    int                 fd;
    struct sockaddr_ll  sll;

    /* protocol 0: nothing is received */

    fd = socket(AF_PACKET, SOCK_RAW, 0);

    if (fd == -1) {
        die("socket");
    }

    memset(&sll, 0, sizeof(sll));
    sll.sll_family = AF_PACKET;
    sll.sll_ifindex = (int) if_nametoindex(name);

    if (sll.sll_ifindex == 0
        || bind(fd, (struct sockaddr *) &sll, sizeof(sll)) == -1)
    {
        die(name);
    }

    return fd;
}


/* A mean rate; each pause is half to one and a half of the mean. */
static void
send_pulses(const char *interface, uint32_t sender, double rate,
    uint32_t count)
{
    int       fd;
    double    pause;
    uint8_t   packet[HEAD_LEN + PULSE_LEN];
    uint64_t  at;
    pulse_t   p;

    static const uint8_t  head[HEAD_LEN] = {
        0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, 0, 0,
        HEAD_LEN - 14 + PULSE_LEN, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2,
        192, 0, 2, 1, 0x30, 0x39, 0, 9, 0, 8 + PULSE_LEN, 0, 0
    };

    fd = open_interface(interface);
    memcpy(packet, head, HEAD_LEN);
    memcpy(packet + HEAD_LEN, MAGIC, MAGIC_LEN);
    srand48((long) (clock_ns(CLOCK_MONOTONIC) + sender));
    at = clock_ns(CLOCK_MONOTONIC);
    p.sender = sender;

    for (p.number = 0; p.number < count; p.number++) {
        pause = (0.5 + drand48()) / rate;
        at += (uint64_t) (pause * (double) SEC);
        wait_until(at);

        p.sent_ns = clock_ns(CLOCK_MONOTONIC);
        memcpy(packet + HEAD_LEN + MAGIC_LEN, &p, sizeof(p));

        if (send(fd, packet, sizeof(packet), 0) != sizeof(packet)) {
            die("send");
        }
    }
}


/* Takes the whole pulses out of what is here; a rest stays for later. */
static void
scan_bytes(scan_t *s, uint64_t now)
{
    uint8_t  *p, *end;
    pulse_t   got;

    p = s->buf;
    end = s->buf + s->len;

    while ((p = memmem(p, (size_t) (end - p), MAGIC, MAGIC_LEN)) != NULL
           && (size_t) (end - p) >= PULSE_LEN)
    {
        memcpy(&got, p + MAGIC_LEN, sizeof(got));

        if (got.sender < MAX_SENDERS && s->n < MAX_PULSES) {
            s->of[got.sender]++;
            s->waits[s->n++] = now - got.sent_ns;
        }

        p += PULSE_LEN;
    }

    if (p == NULL) {
        p = s->len > MAGIC_LEN - 1 ? end - (MAGIC_LEN - 1) : s->buf;
    }

    s->len = (size_t) (end - p);
    memmove(s->buf, p, s->len);
}


static int
compare(const void *a, const void *b)
{
    uint64_t  x, y;

    x = *(const uint64_t *) a;
    y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}


static double
part_ms(const scan_t *s, double part)
{
    size_t  i;

    if (s->n == 0) {
        return 0;
    }

    i = (size_t) (part * (double) (s->n - 1) + 0.5);

    return (double) s->waits[i] / 1e6;
}


static void
scan_file(const char *name)
{
    int       fd;
    size_t    i;
    ssize_t   n;
    scan_t   *s;

    s = calloc(1, sizeof(*s));
    fd = open(name, O_RDONLY | O_CLOEXEC);

    if (s == NULL || fd == -1) {
        die(name);
    }

    s->waits = calloc(MAX_PULSES, sizeof(*s->waits));

    if (s->waits == NULL) {
        die("memory");
    }

    while ((n = read(fd, s->buf + s->len, READ_BYTES)) > 0) {
        s->len += (size_t) n;
        scan_bytes(s, clock_ns(CLOCK_MONOTONIC));
    }

    if (n == -1) {
        die("read");
    }

    qsort(s->waits, s->n, sizeof(*s->waits), compare);

    printf("{\"packets\":%zu,\"p50_ms\":%.3f,\"p90_ms\":%.3f,"
           "\"p99_ms\":%.3f,\"max_ms\":%.3f,\"of\":[", s->n, part_ms(s, 0.5),
           part_ms(s, 0.9), part_ms(s, 0.99), part_ms(s, 1));

    for (i = 0; i < MAX_SENDERS; i++) {
        printf("%s%zu", i ? "," : "", s->of[i]);
    }

    printf("]}\n");
}


static void
usage(void)
{
    fprintf(stderr, "usage: pulse send INTERFACE SENDER PER-SECOND COUNT\n"
            "       pulse scan FILE\n");
    exit(2);
}


int
main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "scan") == 0) {
        scan_file(argv[2]);
        return 0;
    }

    if (argc != 6 || strcmp(argv[1], "send") != 0) {
        usage();
    }

    send_pulses(argv[2], (uint32_t) number(argv[3], 0, MAX_SENDERS - 1),
                (double) number(argv[4], 1, 100000),
                (uint32_t) number(argv[5], 0, MAX_PULSES));

    return 0;
}
