/*
 * agent/request.h: turns the bytes of one HTTP request into a checked
 * request_t, or into a problem. It sends and logs nothing.
 */

#ifndef AGENT_REQUEST_H
#define AGENT_REQUEST_H

#include "files_name.h"
#include "net.h"
#include "pcapx/pcapx.h"


#define REQUEST_MAX_LEN      16384
#define REQUEST_DETAIL_LEN   600

#define REQUEST_HEARTBEAT_MS      100
#define REQUEST_MIN_HEARTBEAT_MS  5
#define REQUEST_MAX_HEARTBEAT_MS  1000

typedef enum {
    REQUEST_STATUS = 1,
    REQUEST_METRICS,
    REQUEST_CAPTURE,
    REQUEST_FILES,           /* the names in a folder */
    REQUEST_MERGED,          /* all files of a folder as one stream */
    REQUEST_FILE,            /* one file */
    REQUEST_REMOVE           /* is removed */
} request_kind_t;

typedef struct {
    request_kind_t  kind;
    char            ifnames[PCAPX_MAX_INTERFACES][NET_IFNAME_LEN];
    unsigned        nifnames;          /* 0: the agent chooses */
    char            filter[PCAPX_MAX_FILTER_LEN + 1];
    char            id[33];            /* "" when none was given */
    uint32_t        snaplen;
    uint32_t        heartbeat_ms;
    uint32_t        nfiles;            /* that there should be, 0: unknown */
    int             pcapng;
    int             promiscuous;
    endpoint_t      excludes[PCAPX_MAX_EXCLUDES];
    unsigned        nexcludes;
    endpoint_t      peers[PCAPX_MAX_EXCLUDES];   /* exclude_peer= */
    unsigned        npeers;
    char            container[65];     /* handle, "" for this machine */
    char            app[65];           /* whose it has to be */
    char            pod[65];           /* uid, "" for none */
    char            pod_namespace[64]; /* what it has to have, "": any */
    char            pod_name[254];
    char            ns[FILES_NAME_LEN + 1];      /* of files */
    char            name[FILES_NAME_LEN + 1];
    char            file[FILES_FILE_LEN + 1];
} request_t;

/* Why a request is refused, as the problem document says it. */

typedef struct {
    int             status;            /* HTTP status */
    char            detail[REQUEST_DETAIL_LEN];
} problem_t;


/*
 * Is the head of a request complete in buf? Returns its length including the
 * blank line, 0 when more is needed, or -1 with *why filled when it is over
 * the limit.
 */
int request_head(const char *buf, size_t len, problem_t *why);

/*
 * Parses a complete head of len bytes (decoded in place: buf is changed).
 * Returns 0, or -1 with *why filled. Nothing is retained.
 */
int request_parse(char *buf, size_t len, request_t *req, problem_t *why);

/* Is it about a container or a pod, and not about this machine? 1 or 0. */
int request_inside(const request_t *req);

/* Fills *why; the text is cut to fit. Always returns -1. */
int problem_set(problem_t *why, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));


#endif /* AGENT_REQUEST_H */
