/*
 * cli/control.h: the commands that ask the API one thing and print the
 * answer.
 */

#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include "cli.h"
#include "conf.h"
#include "msg.h"


/*
 * `pcap-cli stop ID`: CLI_OK when the API has taken the request to stop.
 */
cli_exit_t control_stop(const opt_t *opt, const conf_t *conf, msg_t *msg);

/*
 * `pcap-cli status`: CLI_OK when everything works, CLI_PARTIAL when some
 * resolver does not, CLI_FAILED when nothing does.
 */
cli_exit_t control_status(const opt_t *opt, const conf_t *conf, msg_t *msg);


#endif /* CLI_CONTROL_H */
