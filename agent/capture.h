/*
 * agent/capture.h: the packet sockets of one capture. It opens them, reads
 * their rings into the staging buffer and knows what was lost; it writes
 * nothing to anybody.
 */

#ifndef AGENT_CAPTURE_H
#define AGENT_CAPTURE_H

#include <pcap/pcap.h>

#include "conf.h"
#include "container.h"
#include "filter.h"
#include "log.h"
#include "order.h"
#include "request.h"


#define CAPTURE_REASON_LEN  160

/* How much older than its predecessor in the ring a record may be. */
#define CAPTURE_SLACK_NS    UINT64_C(5000000)

typedef struct capture_s  capture_t;

typedef struct {
    capture_t   *capture;
    pcap_t      *pcap;
    int          fd;
    unsigned     index;                /* number in the stream */
    int          any;                  /* the pseudo interface */
    uint16_t     linktype;             /* LINKTYPE_, as files have it */
    uint64_t     accepted;             /* passed the filter, drops included */
    uint64_t     dropped;              /* of these, lost in the kernel */
    uint64_t     read;                 /* taken out of the ring */
    uint64_t     bytes;                /* of these, as captured */
    uint64_t     watermark_ns;         /* nothing older comes, by the clock */
    uint64_t     newest_ns;            /* largest time stamp read */
    char         name[NET_IFNAME_LEN];
    char         device[NET_IFNAME_LEN];  /* what is opened under that name */
} capture_if_t;

struct capture_s {
    capture_if_t     ifs[PCAPX_MAX_INTERFACES];
    unsigned         nifs;
    uint32_t         snaplen;
    int              pcapng;
    uint64_t         retire_ms;        /* of the rings */
    uint64_t         hold_ns;          /* 2 x retire time + 5 ms */
    uint64_t         watermark_ns;     /* of the stream; never goes back */
    uint64_t         late;             /* read below the watermark */
    order_t          order;
    const log_t     *log;
    char             reason[CAPTURE_REASON_LEN];  /* why it cannot go on */
};


/*
 * Opens the interfaces that the request names: this machine's, or those of a
 * container (ct, which container_init() has prepared; else NULL).
 * Capabilities are raised for that and every one is gone when this returns 0;
 * the process is in this machine's namespace again. On -1 *why is filled
 * (404: no such interface or container; ct->names are the interfaces that
 * there are) and the capture is empty.
 */
int capture_open(capture_t *c, const conf_t *conf, const request_t *req,
    container_t *ct, const log_t *log, problem_t *why);

/*
 * Has the checker look at the filter, installs it and starts with empty rings
 * and counters at zero. Returns 0, or -1 with *why.
 */
int capture_start(capture_t *c, filter_checker_t *checker,
    const filter_exclude_t *ex, const request_t *req, problem_t *why);

/*
 * Reads what the rings hold into the staging buffer, as long as there is
 * room, and moves the watermark. Returns 0, or -1 with c->reason: an
 * interface is gone or broken.
 */
int capture_read(capture_t *c);

/* Would capture_read() read interface i now? Else do not poll it. */
int capture_wants(const capture_t *c, unsigned i);

/*
 * Records up to this time stamp may leave: the watermark, or more when the
 * staging buffer is under pressure.
 */
uint64_t capture_limit(const capture_t *c);

/* Adds the kernel's counters of one interface to the totals. 0 or -1. */
int capture_count(capture_if_t *ci);

/*
 * Does that for all interfaces and looks whether they are still there.
 * Returns 0, or -1 with c->reason.
 */
int capture_stats(capture_t *c);

/* 1 when an interface was removed, else 0. */
int capture_lost(const capture_t *c);

/* Intake off: from now on no packet enters the rings. */
void capture_block(capture_t *c);

/* 1 when everything that entered the rings has been read. */
int capture_drained(capture_t *c);

/* Closes and frees everything; safe on an empty capture. */
void capture_close(capture_t *c);

/*
 * Names of this namespace's interfaces, "any" last. Returns how many, at
 * most max.
 */
size_t capture_interfaces(char (*names)[NET_IFNAME_LEN], size_t max);


#endif /* AGENT_CAPTURE_H */
