/*
 * cli/unpack.h: decompresses what comes from storage in zstd frames, in
 * pieces and in constant memory. What it reads may be anybody's: no window is
 * larger than 8 MiB, and no more comes out than was announced, if it was.
 */

#ifndef CLI_UNPACK_H
#define CLI_UNPACK_H

#include <stddef.h>
#include <stdint.h>


#define UNPACK_ERR_LEN  160

typedef struct unpack_s  unpack_t;

/* Takes what comes out. 0, or -1: no more is wanted. */
typedef int (*unpack_put_t)(void *ctx, const char *p, size_t len);


/* Does this name say that what it names is compressed? */
int unpack_is_name(const char *name);

/* put is called with ctx. NULL: no memory. */
unpack_t *unpack_new(unpack_put_t put, void *ctx);

void unpack_free(unpack_t *u);

/* All of it has so many bytes; without this there is no limit. */
void unpack_expect(unpack_t *u, uint64_t total);

/*
 * Takes a piece. 0, or -1: with a text in unpack_error(), or, when that is
 * empty, put has returned -1.
 */
int unpack_feed(unpack_t *u, const char *p, size_t len);

/* That was all: is it whole, and what was announced? As above. */
int unpack_end(unpack_t *u);

/* Bytes that came out. */
uint64_t unpack_bytes(const unpack_t *u);

const char *unpack_error(const unpack_t *u);


#endif /* CLI_UNPACK_H */
