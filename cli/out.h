/*
 * cli/out.h: where the capture is written. Takes runs of whole blocks (or
 * records) and writes nothing else, so that a file is a valid capture at any
 * moment. Never writes to a terminal; never follows a symbolic link to
 * replace a file.
 */

#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <stddef.h>
#include <stdint.h>


#define OUT_ERR_LEN     320

/* Above this much unsent data the owner should pause its source. */
#define OUT_HIGH_WATER  262144

typedef enum {
    OUT_OK = 0,
    OUT_AGAIN,           /* the reader is slow: wait for the descriptor */
    OUT_CLOSED,          /* the reader is gone */
    OUT_FAILED           /* out->err says why */
} out_result_t;

typedef enum {
    OUT_FILE = 0,        /* written at once, rolled back on a failure */
    OUT_PIPE             /* pipe, socket, device: written as it takes */
} out_kind_t;

typedef struct {
    int          fd;         /* -1: not open */
    out_kind_t   kind;
    char        *path;       /* owned; NULL for standard output */
    char        *temp;       /* owned; until the first block is written */
    uint8_t     *buf;        /* what a pipe did not take yet */
    size_t       pos;
    size_t       end;
    uint64_t     bytes;      /* taken so far */
    unsigned     created:1;  /* path (or temp) is a new file of ours */
    char         err[OUT_ERR_LEN];
} out_t;

typedef enum {
    OUT_NEW = 0,         /* an existing file is refused */
    OUT_REPLACE          /* an existing file is replaced */
} out_mode_t;


/*
 * Opens path, or standard output for "-" and "/dev/stdout".
 *   a new file       created with O_EXCL and mode 0600
 *   OUT_REPLACE      a new file beside it, mode 0600, that takes the name
 *                    when the first block is written: a refused request
 *                    leaves the old file as it was
 *   pipe, device     opened as it is; there is nothing to replace
 *   terminal         refused
 * Returns OUT_OK, or OUT_FAILED with o->err. Call out_close() in both cases.
 */
out_result_t out_open(out_t *o, const char *path, out_mode_t mode);

/* Does the file at path exist (so that OUT_NEW would refuse it)? */
int out_exists(const char *path);

/*
 * Writes len bytes, which are whole blocks. A file has all of them or, after
 * OUT_FAILED, none of them; a pipe may keep them in memory (OUT_AGAIN).
 */
out_result_t out_put(out_t *o, const uint8_t *p, size_t len);

/* Writes what a pipe takes now; never blocks. */
out_result_t out_flush(out_t *o);

/* Bytes that a pipe has not taken yet. */
size_t out_pending(const out_t *o);

/* Is the other end of a pipe closed? */
int out_reader_gone(const out_t *o);

/* Forgets what is pending: the reader is gone or the user quit. */
void out_drop(out_t *o);

/*
 * Brings a file to the disk and closes it; a file of ours without a byte in
 * it is removed. Returns OUT_OK, or OUT_FAILED with o->err.
 */
out_result_t out_close(out_t *o);


#endif /* CLI_OUT_H */
