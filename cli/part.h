/*
 * cli/part.h: a file that is being fetched: FILE.part, which becomes FILE
 * when it is whole, and FILE.part.etag, which says what it is a part of, so
 * that a later try can go on. Both have mode 0600; no link is followed, and
 * what another program has left under these names is not touched.
 */

#ifndef CLI_PART_H
#define CLI_PART_H

#include <stddef.h>
#include <stdint.h>


#define PART_ERR_LEN   400
#define PART_MAX_ETAG  128

typedef enum {
    PART_NEW = 0,          /* FILE must not exist */
    PART_REPLACE
} part_mode_t;

typedef struct {
    int          fd;                     /* -1: there is none yet */
    char        *path;                   /* FILE.part, owned */
    char        *tag;                    /* FILE.part.etag, owned */
    const char  *id;                     /* of the capture, aliases */
    uint64_t     len;                    /* bytes in it */
    char         etag[PART_MAX_ETAG];    /* "": it cannot be gone on with */
    char         err[PART_ERR_LEN];
} part_t;


/*
 * Looks for what an earlier try for FILE and the capture id has left; nothing
 * is made. 0 with len and etag of it (0 and "" when there is nothing), or -1
 * with err: something else has that name, or another process is at it. Call
 * part_close() in both cases.
 */
int part_open(part_t *p, const char *file, const char *id);

/*
 * Begins with nothing in it: creates the file or empties it, and notes etag
 * ("": none). 0, or -1 with err.
 */
int part_begin(part_t *p, const char *etag);

/* Appends; the file has all of it or, after -1 with err, none of it. */
int part_put(part_t *p, const void *data, size_t len);

/* Reads at offset: how many bytes (0: the end), or -1 with err. */
int part_read(part_t *p, void *data, size_t size, uint64_t offset);

/*
 * Brings it to the disk, calls it file and closes it. 0, or -1 with err: it
 * is kept.
 */
int part_finish(part_t *p, const char *file, part_mode_t mode);

/* It is of no use: removes it. */
void part_remove(part_t *p);

/* Closes it; what is in it stays for a later try. */
void part_close(part_t *p);


#endif /* CLI_PART_H */
