/*
 * cli/probe.h: is there a pcap API where a rule says that it would be?
 */

#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include "conf.h"
#include "msg.h"


/*
 * Asks conf's address for /v1/status, at most for 5 seconds; conf must not
 * hold a token yet. Returns 1, or 0 when nothing there answers like an API
 * (told; where says how the address was found: "beside the Director").
 */
int probe_api(const conf_t *conf, msg_t *msg, const char *where);


#endif /* CLI_PROBE_H */
