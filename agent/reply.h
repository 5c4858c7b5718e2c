/*
 * agent/reply.h: the answers that are not a stream: problem documents
 * (RFC 9457) and the status, each with Content-Length and then the end of
 * the connection.
 */

#ifndef AGENT_REPLY_H
#define AGENT_REPLY_H

#include "conf.h"
#include "control.h"
#include "request.h"
#include "tls.h"


/*
 * Sends a problem document. names (n of them, n may be 0) go into the member
 * "interfaces" of a 404. Returns 0 or -1; the caller ends the connection in
 * either case.
 */
int reply_problem(tls_t *tls, const problem_t *why,
    const char (*names)[NET_IFNAME_LEN], size_t n);

/*
 * Sends the status document; counts come from the parent's answer. Those of
 * files are in it where conf has a folder of files.
 */
int reply_status(tls_t *tls, const control_msg_t *counts, const conf_t *conf);

/* Sends the parent's totals as Prometheus text. */
int reply_metrics(tls_t *tls, const control_msg_t *counts);


#endif /* AGENT_REPLY_H */
