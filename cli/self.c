/*
 * cli/self.c: asks the system which file this program is. argv[0] is only
 * what the caller says, so it comes last.
 */

#include <limits.h>
#include <stddef.h>
#include <string.h>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#include "self.h"


#ifdef __APPLE__

/* dyld(3): the path that was executed, links in it are not resolved. */
static int
self_ask(struct stat *st)
{
    char      path[PATH_MAX];
    uint32_t  size;

    size = sizeof(path);

    return _NSGetExecutablePath(path, &size) == 0 ? stat(path, st) : -1;
}

#else

static int
self_ask(struct stat *st)
{
    return stat("/proc/self/exe", st);
}

#endif


int
self_stat(struct stat *st, const char *argv0)
{
    memset(st, 0, sizeof(struct stat));

    if (self_ask(st) == 0) {
        return 0;
    }

    if (argv0 != NULL && strchr(argv0, '/') != NULL && stat(argv0, st) == 0) {
        return 0;
    }

    memset(st, 0, sizeof(struct stat));

    return -1;
}
