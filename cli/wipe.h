/*
 * cli/wipe.h: memory that held a secret is overwritten before it is given
 * back. explicit_bzero() would do it, but macOS has none.
 */

#ifndef CLI_WIPE_H
#define CLI_WIPE_H

#include <stddef.h>


/* Zeroes len bytes at p, also where the compiler sees that nobody reads them
 * again. p may be NULL when len is 0. */
void wipe(void *p, size_t len);

/* Zeroes the text s, and frees it. s may be NULL. */
void wipe_free(char *s);


#endif /* CLI_WIPE_H */
