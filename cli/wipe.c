/*
 * cli/wipe.c: a compiler drops a memset() of memory that is not read again.
 * It cannot drop a call through a pointer that it has to read first: any
 * function may stand there.
 */

#include <stdlib.h>
#include <string.h>

#include "wipe.h"


static void *(*const volatile wipe_memset)(void *, int, size_t) = memset;


void
wipe(void *p, size_t len)
{
    if (len > 0) {
        (void) wipe_memset(p, 0, len);
    }
}


void
wipe_free(char *s)
{
    if (s != NULL) {
        wipe(s, strlen(s));
        free(s);
    }
}
