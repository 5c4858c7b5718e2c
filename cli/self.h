/*
 * cli/self.h: which file this program is. Each system says it in its own
 * way, so this is the only room that knows which one it is built for.
 */

#ifndef CLI_SELF_H
#define CLI_SELF_H

#include <sys/stat.h>


/*
 * Fills st with the file that runs, links followed: as the system says, else
 * (Linux without /proc) by argv0 where it names a path. Returns 0, or -1 with
 * st zeroed. argv0 may be NULL.
 */
int self_stat(struct stat *st, const char *argv0);


#endif /* CLI_SELF_H */
