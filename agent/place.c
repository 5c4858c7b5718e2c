/*
 * agent/place.c: see place.h. The walk goes component by component with
 * O_NOFOLLOW. That is what openat2() does with RESOLVE_BENEATH and
 * RESOLVE_NO_SYMLINKS; this way it needs no kernel 5.6, and is the only way
 * there is. Mounts are crossed: that is how CNI's name spaces lie there.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place.h"


#define PLACE_FIRST_READ  8192


static const char *place_base_end(const char *pattern);
static int place_step(int dir, const char *name, size_t len, int flags);


const char *
place_wrong(const char *pattern)
{
    size_t       n;
    const char  *p, *handle;

    if (pattern[0] != '/' || strlen(pattern) > PLACE_MAX_PATTERN) {
        return "must be an absolute path of at most 253 bytes";
    }

    handle = strstr(pattern, PLACE_HANDLE);

    if (handle == NULL || strstr(handle + 1, PLACE_HANDLE)) {
        return "must have " PLACE_HANDLE " in it, once";
    }

    for (p = pattern; *p; p += n) {
        n = strcspn(++p, "/");

        if (n == 0 || (n == 1 && p[0] == '.')
            || (n == 2 && p[0] == '.' && p[1] == '.'))
        {
            return "must have no empty component, \".\" or \"..\"";
        }
    }

    return NULL;
}


/* Behind the slash before the component with the handle. */

static const char *
place_base_end(const char *pattern)
{
    const char  *p;

    for (p = strstr(pattern, PLACE_HANDLE); p[-1] != '/'; p--) { /* void */ }

    return p;
}


int
place_find(place_t *pl, const char *pattern, const char *handle)
{
    int          n;
    char         base[PLACE_MAX_PATTERN + 1];
    const char  *rest, *mark;

    memset(pl, 0, sizeof(*pl));
    pl->base = -1;

    rest = place_base_end(pattern);
    mark = strstr(rest, PLACE_HANDLE);

    snprintf(base, sizeof(base), "%.*s", (int) (rest - pattern), pattern);
    n = snprintf(pl->name, sizeof(pl->name), "%.*s%s%s", (int) (mark - rest),
                 rest, handle, mark + strlen(PLACE_HANDLE));

    if (n < 0 || (size_t) n >= sizeof(pl->name)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    pl->base = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return pl->base == -1 ? -1 : 0;
}


void
place_close(place_t *pl)
{
    if (pl->base != -1) {
        close(pl->base);
        pl->base = -1;
    }
}


size_t
place_component(const place_t *pl)
{
    return strcspn(pl->name, "/");
}


int
place_open(const place_t *pl)
{
    int          dir, next, failed;
    size_t       n;
    const char  *p;

    dir = pl->base;

    for (p = pl->name; ; p += n + 1) {
        n = strcspn(p, "/");

        /* A pipe or a device in place of a file must not hold us up. */

        next = place_step(dir, p, n, p[n] ? O_PATH | O_DIRECTORY
                                          : O_RDONLY | O_NONBLOCK | O_NOCTTY);
        failed = errno;

        if (dir != pl->base) {
            close(dir);
        }

        if (next == -1 || p[n] == '\0') {
            errno = failed;
            return next;
        }

        dir = next;
    }
}


static int
place_step(int dir, const char *name, size_t len, int flags)
{
    char  one[sizeof(((place_t *) 0)->name)];

    snprintf(one, sizeof(one), "%.*s", (int) len, name);

    return openat(dir, one, flags | O_NOFOLLOW | O_CLOEXEC);
}


char *
place_read(int fd, size_t max, size_t *len)
{
    char         *buf, *more;
    size_t        size;
    ssize_t       n;
    struct stat   st;

    if (fstat(fd, &st) != 0) {
        return NULL;
    }

    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return NULL;
    }

    *len = 0;

    for (size = PLACE_FIRST_READ, buf = NULL; ; size *= 2) {
        more = realloc(buf, size + 1);

        if (more == NULL) {
            break;
        }

        buf = more;

        do {
            n = read(fd, buf + *len, size - *len);

            if (n > 0) {
                *len += (size_t) n;
            }

        } while ((n > 0 && *len < size) || (n == -1 && errno == EINTR));

        if (n == 0 && *len <= max) {
            buf[*len] = '\0';
            return buf;
        }

        if (n == -1) {
            break;
        }

        if (*len > max) {
            errno = EFBIG;
            break;
        }
    }

    free(buf);

    return NULL;
}
