/*
 * agent/privs.h: who we are and what we may do. CAP_NET_RAW is the only
 * capability the agent ever holds after its start; it lies in the permitted
 * set, is raised for pcap_activate() alone and then dropped for good.
 */

#ifndef AGENT_PRIVS_H
#define AGENT_PRIVS_H

#include "log.h"


/*
 * Called once at the start, when certificates are read and the port is
 * bound. As root with a user: becomes that user. In any case leaves
 * CAP_NET_RAW permitted and nothing effective, empties the bounding and
 * ambient sets and sets no_new_privs. Returns 0, or -1 (logged): the agent
 * must not start then.
 */
int privs_start(const log_t *log, const char *user);

/* Makes CAP_NET_RAW effective, or no longer. Return 0 or -1 with errno. */
int privs_raise(void);
int privs_lower(void);

/* Gives up every capability for good. Returns 0 or -1 with errno. */
int privs_drop(void);

/*
 * For the throw-away child that compiles filters: no capability, no socket
 * (seccomp: socket() fails with EACCES), 1 s CPU, max_bytes of memory beyond
 * what is mapped now, no core file. Returns 0 or -1 with errno.
 */
int privs_confine(unsigned cpu_s, size_t max_bytes);


#endif /* AGENT_PRIVS_H */
