/*
 * store/scgi.h: takes one SCGI request apart (the protocol as nginx speaks
 * it, https://python.ca/scgi/protocol.txt): a netstring of NUL-terminated
 * names and values, then a body that nobody looks at. It knows no socket and
 * allocates nothing. The peer is nginx, and is checked all the same.
 */

#ifndef STORE_SCGI_H
#define STORE_SCGI_H

#include <stddef.h>


#define SCGI_MAX_HEADER  131072      /* bytes between ":" and "," */
#define SCGI_MAX_BODY    4096        /* taken, and thrown away */

/* The longest request: length, ":", header, ",", body. */
#define SCGI_MAX         (7 + 1 + SCGI_MAX_HEADER + SCGI_MAX_BODY)

typedef struct {
    const char   *method;            /* REQUEST_METHOD: A-Z */
    const char   *uri;               /* REQUEST_URI: begins with "/" */
    const char   *body;              /* PCAP_BODY, or "" */
    int           status;            /* of the answer to one that is none */
    const char   *err;               /* why it is none */
} scgi_t;


/*
 * Looks at the len bytes that have come so far. 1: the request is whole, and
 * *req points into buf. 0: more must come. -1: this is no request, whatever
 * comes: req->status (400 or 413) and req->err say why.
 */
int scgi_parse(scgi_t *req, const char *buf, size_t len);


#endif /* STORE_SCGI_H */
