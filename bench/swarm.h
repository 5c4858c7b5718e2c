/*
 * bench/swarm.h: what the agents of bench/swarm.c say at which time: the
 * blocks of their streams. It knows nothing of connections.
 */

#ifndef BENCH_SWARM_H
#define BENCH_SWARM_H

#include "bench/tool.h"
#include "pcapx/write.h"


#define FRAME_HEAD    8        /* "03fd2f\r\n", always six digits */
#define TABLE         1024     /* packets that differ */
#define MS            1000000ULL
#define SECOND        1000000000ULL

typedef struct {
    uint64_t          began;       /* ns, monotonic */
    uint64_t          go;          /* ns, monotonic: the first record; or 0 */
    uint64_t          first_ts;    /* of record 0 of agent 0 */
    uint64_t          step;        /* ns between two records of all agents */
    uint64_t          total;       /* records of each agent */
    unsigned          agents;
    uint64_t          start;       /* ns; 0: the machine's clock */
    unsigned          size;        /* bytes of a packet */
    unsigned          block;       /* bytes of an EPB */
    uint8_t          *table;
} said_t;


static inline void
must_fit(int rc)
{
    if (rc != PCAPX_OK) {
        fprintf(stderr, "swarm: %s\n", pcapx_strerror(rc));
        exit(1);
    }
}


/*
 * The agents' clock. One that was given stands a minute before the first
 * record when the program begins, and jumps to it at the go.
 */
static inline uint64_t
agents_clock(const said_t *s, uint64_t now)
{
    if (s->start == 0) {
        return clock_ns(CLOCK_REALTIME);
    }

    if (s->go == 0 || now < s->go) {
        return s->start - 60 * SECOND + (now - s->began);
    }

    return s->start + (now - s->go);
}


static inline uint64_t
record_ts(const said_t *s, unsigned agent, uint64_t record)
{
    return s->first_ts + (record * s->agents + agent) * s->step;
}


/* Records of the agent that have a time before ts. */
static inline uint64_t
records_due(const said_t *s, unsigned agent, uint64_t ts)
{
    uint64_t  first, n, period;

    first = record_ts(s, agent, 0);
    period = s->step * s->agents;

    if (s->go == 0 || ts <= first) {
        return 0;
    }

    n = (ts - first + period - 1) / period;

    return n < s->total ? n : s->total;
}


/* Packets that look like UDP between two hosts; the rest is noise. */
static inline void
table_make(said_t *s)
{
    unsigned     i, k;
    uint32_t     x;
    uint8_t      packet[2048];
    pcapx_out_t  o;

    static const uint8_t  head[] = {
        0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45, 0, 0, 0,
        0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0,
        9, 0, 0, 0, 0
    };

    s->block = (unsigned) pcapx_epb_len(s->size, 0);
    s->table = malloc((size_t) TABLE * s->block);

    if (s->table == NULL) {
        die("memory");
    }

    o.pos = s->table;
    o.end = s->table + (size_t) TABLE * s->block;

    for (k = 0; k < TABLE; k++) {
        x = (k + 1) * 2654435761u;

        for (i = 0; i < s->size; i++) {
            x = x * 1664525u + 1013904223u;
            packet[i] = i < sizeof(head) ? head[i] : (uint8_t) (x >> 24);
        }

        must_fit(pcapx_put_epb(&o, 0, 0, packet, s->size,
                               s->size, NULL, 0));
    }
}


static inline uint8_t *
put_records(const said_t *s, unsigned agent, uint64_t record, uint64_t n,
    uint8_t *p)
{
    uint32_t  half;
    uint64_t  ts, period;

    ts = record_ts(s, agent, record);
    period = s->step * s->agents;

    for ( /* void */ ; n; n--, record++) {
        memcpy(p, s->table + (record + agent) % TABLE * s->block, s->block);
        half = (uint32_t) (ts >> 32);
        memcpy(p + 12, &half, sizeof(half));
        half = (uint32_t) ts;
        memcpy(p + 16, &half, sizeof(half));
        p += s->block;
        ts += period;
    }

    return p;
}


static inline void
put_isb(pcapx_out_t *o, uint64_t ts, uint64_t records)
{
    pcapx_stats_t  st;

    memset(&st, 0, sizeof(st));
    st.present = PCAPX_HAS_ENDTIME | PCAPX_HAS_FILTERACCEPT
                 | PCAPX_HAS_OSDROP | PCAPX_HAS_USRDELIV;
    st.endtime_ns = ts;
    st.filteraccept = records;
    st.usrdeliv = records;

    must_fit(pcapx_put_isb(o, 0, ts, &st, NULL, 0));
}


static inline void
put_head(pcapx_out_t *o)
{
    pcapx_opt_t  name;

    name.code = PCAPX_IF_NAME;
    name.len = 4;
    name.value = (const uint8_t *) "eth0";

    must_fit(pcapx_put_shb(o, NULL, 0));
    must_fit(pcapx_put_idb(o, PCAPX_LINKTYPE_ETHERNET, PCAPX_MAX_SNAPLEN,
                           &name, 1));
}


#endif /* BENCH_SWARM_H */
