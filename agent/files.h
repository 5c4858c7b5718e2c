/*
 * agent/files.h: the one folder with files that were captured before, below
 * it NAMESPACE/NAME/FILE. A child of each connection opens and removes, and
 * does nothing else: it alone holds the capabilities for that, and the
 * process that speaks with the network has none of them. Whatever it is
 * asked, it leads to nothing beyond that folder, and to no link.
 */

#ifndef AGENT_FILES_H
#define AGENT_FILES_H

#include <stdint.h>
#include <sys/types.h>

#include "conf.h"


/*
 * As many of them may be open for one connection, and with what else is open
 * there it has so many descriptors.
 */
#define FILES_MAX_OPEN  400
#define FILES_MAX_FDS   448

typedef struct {
    pid_t       pid;
    int         fd;             /* -1: there is no child */
} files_t;

typedef struct {
    uint64_t    bytes;
    int64_t     mtime_s;
    uint64_t    dev;
    uint64_t    ino;
} files_info_t;


/* Can this kernel do it (openat2(2), Linux 5.6)? 1 or 0. */
int files_possible(void);

/*
 * Forks the child, before this process is under a list; none is made where no
 * files_folder is configured. Returns 0, or -1 with errno.
 */
int files_start(files_t *f, const conf_t *conf);

/* Ends the child. */
void files_stop(files_t *f);

/*
 * The questions; each waits for its answer. Of the answers that are
 * descriptors the caller is the owner. Errors are -1 with errno: ENOENT (there
 * is nothing of that name), EISDIR (what there is is no regular file), EACCES,
 * EIO (the child is gone) and what open(2) and unlink(2) have.
 *
 * files_folder() comes first, and once: the others are about that folder. ns,
 * name and file have passed files_wrong().
 */
int files_folder(files_t *f, const char *ns, const char *name);
int files_look(files_t *f, const char *file, files_info_t *info);
int files_open(files_t *f, const char *file, files_info_t *info);
int files_remove(files_t *f, const char *file);


#endif /* AGENT_FILES_H */
