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
 * Files, where files_folder is configured: to open what is root's alone, and
 * to remove it. For the child that does so (files.h).
 */
#define PRIVS_READ      PRIVS_CAP(CAP_DAC_READ_SEARCH)
#define PRIVS_FILES     (PRIVS_READ | PRIVS_CAP(CAP_DAC_OVERRIDE))


/*
 * Called once at the start, when certificates are read and the port is
 * bound. As root with a user: becomes that user. In any case leaves
 * CAP_NET_RAW permitted, with it what conf->containers and conf->cri need of
 * the above (to enter: PRIVS_ENTER must be there, and setns() work;
 * PRIVS_FIND is kept if it is there, it takes that as root only and
 * CAP_SYS_PTRACE not for veth), and PRIVS_FILES for files_folder where it is
 * there, and nothing effective; empties the bounding and ambient sets and sets
 * no_new_privs. Returns 0, or -1 (logged): the agent must not start then.
 */
int privs_start(const log_t *log, const conf_t *conf);

/*
 * privs_raise() makes those of caps effective that are permitted, and no
 * other: what is missing shows as EPERM or EACCES of the call that needed
 * it. Returns 0 or -1 with errno. privs_lower() makes none effective and
 * leaves errno as it is; a process that cannot give its rights back ends.
 */
int privs_raise(unsigned caps);
void privs_lower(void);

/* openat(2) with PRIVS_FIND. Returns a descriptor, or -1 with errno. */
int privs_open(int dir, const char *path, int flags);

/*
 * In a session, once its child for files is there: gives up for good what is
 * that one's alone. Returns 0 or -1 with errno.
 */
int privs_session(const conf_t *conf);

/* Keeps of the permitted ones those of caps. Returns 0 or -1 with errno. */
int privs_keep(unsigned caps);

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
