/*
 * agent/place.h: files of a container, named by a pattern of the
 * configuration and a handle of a request. The pattern is the operator's and
 * may lead over symbolic links (on a BOSH VM /var/vcap/sys is one) up to the
 * component with the handle; from there on nothing is followed out of place:
 * no link, no magic link of /proc, no "..".
 */

#ifndef AGENT_PLACE_H
#define AGENT_PLACE_H

#include <stddef.h>
#include <sys/types.h>


#define PLACE_HANDLE       "HANDLE"
#define PLACE_MAX_PATTERN  253

typedef struct {
    int          base;           /* the folder before the handle's component */
    char         name[PLACE_MAX_PATTERN + 80];  /* below it; begins with that
                                                   component */
} place_t;


/*
 * What is wrong with a pattern ("must be ..."), NULL when nothing is. It is
 * an absolute path with HANDLE in it once.
 */
const char *place_wrong(const char *pattern);

/*
 * Opens the folder that a good pattern begins with. handle was checked by
 * pcapx_valid_handle(). Returns 0, or -1 with errno; after 0 call
 * place_close().
 */
int place_find(place_t *pl, const char *pattern, const char *handle);
void place_close(place_t *pl);

/*
 * Opens what stands at the place for reading. It never waits, whatever it is.
 * Returns the descriptor, or -1 with errno (ELOOP: there was a link).
 */
int place_open(const place_t *pl);

/* Length of the component with the handle in pl->name. */
size_t place_component(const place_t *pl);

/*
 * Reads a regular file (or one of /proc) as a whole and adds a NUL. Returns
 * memory to be freed, its length in *len; NULL with errno (EFBIG: more than
 * max bytes, EINVAL: no such file).
 */
char *place_read(int fd, size_t max, size_t *len);


#endif /* AGENT_PLACE_H */
