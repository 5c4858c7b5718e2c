/*
 * cli/list.h: the commands that print what captures there are. Everything
 * printed came from a server: cleaned, bounded, and absent where it is of a
 * wrong type.
 */

#ifndef CLI_LIST_H
#define CLI_LIST_H

#include <time.h>

#include "cli.h"
#include "conf.h"
#include "msg.h"


/*
 * `pcap-cli list`: CLI_OK; CLI_PARTIAL when some node of the API could not be
 * asked, or there is more than it told.
 */
cli_exit_t list_captures(const opt_t *opt, const conf_t *conf, msg_t *msg);

/* `pcap-cli show ID`. */
cli_exit_t list_show(const opt_t *opt, const conf_t *conf, msg_t *msg);


/*
 * How long a file is kept that expires at a time (RFC 3339 as the API writes
 * it): "13d", "47h", "5m", "0m" when it is over, "-" when expires is no time.
 */
void list_kept(char dst[8], const char *expires, time_t now);


#endif /* CLI_LIST_H */
