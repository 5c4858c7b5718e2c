/*
 * cli/remove.h: takes the files of stored captures away for good.
 */

#ifndef CLI_REMOVE_H
#define CLI_REMOVE_H

#include "conf.h"


/*
 * `pcap-cli rm ID...`: asks first where a person sits there, goes on after a
 * failure; the worst exit code.
 */
cli_exit_t remove_run(const opt_t *opt, const conf_t *conf, msg_t *msg);


#endif /* CLI_REMOVE_H */
