/*
 * cli/stats.h: what the stream has shown so far: interfaces, the instances
 * they belong to, their packets, bytes and drops, and the verdicts in the
 * stream. Names are kept cleaned. Tables grow up to CLI_MAX_IFACES.
 */

#ifndef CLI_STATS_H
#define CLI_STATS_H

#include "message.h"
#include "pcapx/scan.h"


#define STATS_MAX_NAME   200     /* 128 + '/' + 15 and room, see valid.h */

typedef struct {
    char             *name;          /* if_name, clean, owned */
    uint32_t          instance;
    uint16_t          linktype;
    uint64_t          packets;
    uint64_t          bytes;         /* captured */
    pcapx_stats_t     last;          /* counters of its latest ISB */
} stats_iface_t;

typedef struct {
    char             *name;          /* if_name without its last part */
    uint32_t          first;         /* number of its first interface */
    uint32_t          ninterfaces;
    uint64_t          packets;
    uint64_t          bytes;
    uint64_t          received;      /* sums of the latest ISBs */
    uint64_t          dropped;
    uint64_t          shown_bytes;   /* term.c: at the last redraw */
    message_status_t  verdict;       /* status is NONE until it came */
} stats_instance_t;

typedef struct {
    stats_iface_t     *ifaces;
    uint32_t           nifaces;
    uint32_t           max_ifaces;     /* allocated */
    stats_instance_t  *instances;
    uint32_t           ninstances;
    uint32_t           max_instances;  /* allocated */
    uint64_t           packets;
    uint64_t           bytes;
    uint64_t           last_ns;        /* latest time stamp of any block */
    message_status_t   verdict;        /* the API's own */
    unsigned           limits;         /* LIMIT_* that the API announced */
} stats_t;


void stats_init(stats_t *st);

void stats_free(stats_t *st);

/*
 * Adds interface number st->nifaces; name (len bytes) is its foreign
 * if_name. Returns 0, or -1 when the table is full or memory is out.
 */
int stats_add_iface(stats_t *st, const char *name, size_t len,
    uint16_t linktype);

/* One packet of caplen bytes on interface iface (below st->nifaces). */
void stats_packet(stats_t *st, uint32_t iface, uint32_t caplen);

/* An ISB of interface iface: totals never go back, a lower one is ignored. */
void stats_counters(stats_t *st, uint32_t iface, const pcapx_stats_t *now);

/*
 * A message that stood in a block of interface iface: takes verdicts and
 * limits out of it.
 */
void stats_message(stats_t *st, uint32_t iface, const message_t *m);

/* Packets dropped, by verdict when there is one, else by the ISBs. */
uint64_t stats_instance_dropped(const stats_instance_t *in);

uint64_t stats_dropped(const stats_t *st);

uint64_t stats_late(const stats_t *st);

/* Packets of all that went no further than place, as far as it is known. */
uint64_t stats_place(const stats_t *st, place_t place);

/* The same of one instance. */
uint64_t stats_instance_place(const stats_instance_t *in, place_t place);


#endif /* CLI_STATS_H */
