/*
 * cli/audit.h: `pcap-cli audit verify`: is an audit log of the API whole? It
 * asks no API and needs no token: a log, its key, and what the metrics said.
 */

#ifndef CLI_AUDIT_H
#define CLI_AUDIT_H

#include "cli.h"


/* 1: these are the words of the command `audit`. */
int audit_called(int argc, char **argv);

/*
 * argv[1] is "audit". CLI_OK: the log is whole; CLI_FAILED: it is not;
 * CLI_USAGE: a word, the key or a file is of no use.
 */
cli_exit_t audit_run(int argc, char **argv);


#endif /* CLI_AUDIT_H */
