/*
 * agent/privs.h: who we are and what we may do. CAP_NET_RAW is the only
 * capability the agent holds after its start where no containers are
 * configured. What it holds lies in the permitted set, is raised for the one
 * call that needs it and, once a capture's sockets are open, dropped for
 * good.
 */

#ifndef AGENT_PRIVS_H
#define AGENT_PRIVS_H

#include <linux/capability.h>

#include "conf.h"
#include "log.h"


#define PRIVS_CAP(cap)  (1u << (cap))

/* Packet sockets. */
#define PRIVS_PACKET    PRIVS_CAP(CAP_NET_RAW)

/*
 * Containers, where they are configured. To find: files and folders for root
 * alone, and /proc/PID/ns/net of anybody (ptrace(2), access mode checking).
 * To enter: setns(2).
 */
#define PRIVS_FIND      (PRIVS_CAP(CAP_DAC_READ_SEARCH)                      \
                         | PRIVS_CAP(CAP_SYS_PTRACE))
#define PRIVS_ENTER     PRIVS_CAP(CAP_SYS_ADMIN)


/*
 * Called once at the start, when certificates are read and the port is
 * bound. As root with a user: becomes that user. In any case leaves
 * CAP_NET_RAW permitted, with it what conf->containers needs of the above
 * (netns: PRIVS_ENTER must be there, and setns() work; PRIVS_FIND is kept if
 * it is there, it takes that as root only and CAP_SYS_PTRACE not for veth),
 * and nothing effective; empties the bounding and ambient sets and sets
 * no_new_privs. Returns 0, or -1 (logged): the agent must not start then.
 */
int privs_start(const log_t *log, const conf_t *conf);

/*
 * privs_raise() makes those of caps effective that are permitted, and no
 * other: what is missing shows as EPERM or EACCES of the call that needed
 * it. privs_lower() makes none effective. Return 0 or -1 with errno.
 */
int privs_raise(unsigned caps);
int privs_lower(void);

/* Gives up every capability for good. Returns 0 or -1 with errno. */
int privs_drop(void);

/*
 * For the throw-away child that compiles filters: no capability, cpu_s
 * seconds of CPU, max_bytes of memory beyond what is mapped now, no file to
 * write, no core, and the list SANDBOX_FILTER on top of the first one. Returns
 * 0 or -1 with errno.
 */
int privs_confine(unsigned cpu_s, size_t max_bytes);

/*
 * From now on no child inherits the memory that is shared now: the page of
 * the counts (madvise(2), MADV_DONTFORK; what is shared is what
 * /proc/self/maps says). Returns 0, or -1 with errno.
 */
int privs_withhold(void);


#endif /* AGENT_PRIVS_H */
