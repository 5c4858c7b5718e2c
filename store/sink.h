/*
 * store/sink.h: a capture on its way into a local file. While it is written it
 * is called ID.part; when it has ended it is cut behind its last whole block,
 * brought to the disk and renamed, so that a file without ".part" is always a
 * whole capture. Only whole blocks are written, so after a crash little or
 * nothing has to be cut off. A compressed one is written in frames (frame.h),
 * each of whole blocks, and cut behind the last one that is whole.
 *
 * Ids come from the API and are 32 hex digits: nothing else becomes a name.
 */

#ifndef STORE_SINK_H
#define STORE_SINK_H

#include <stddef.h>
#include <stdint.h>


#define SINK_ERR_LEN     256
#define SINK_SHA256_LEN  64          /* hex */

typedef struct {
    uint64_t   bytes;                /* in the file */
    uint64_t   raw;                  /* of the capture in it; the same, if it
                                      * is not compressed */
    uint64_t   lost;                 /* of the capture: taken, not in it */
    int        unsure;               /* the disk failed: it may not be there */
    char       why[SINK_ERR_LEN];    /* a write failed; or empty: what is lost
                                      * is the begin of a block */
    char       sha256[SINK_SHA256_LEN + 1];
    char       name[64];             /* in the folder */
} sink_result_t;

typedef struct sink_s  sink_t;


/*
 * Begins ID.part in the folder; it must not be there. level: of zstd (frame.h),
 * or 0: as it comes. NULL with a text in err: an id that is none, no folder,
 * no right, no memory.
 */
sink_t *sink_open(const char *dir, const char *id, unsigned level,
    char err[SINK_ERR_LEN]);

/*
 * Takes len bytes. 0, or -1 with a text in err: a full disk, no capture. Then
 * what is in the file is whole and stays, and nothing more is taken:
 * sink_close() is all that may follow.
 */
int sink_write(sink_t *s, const uint8_t *p, size_t len,
    char err[SINK_ERR_LEN]);

/*
 * Writes all that is whole into the file, if there is any; for who reads it
 * while it grows. 0 or -1 as sink_write().
 */
int sink_flush(sink_t *s, char err[SINK_ERR_LEN]);

/*
 * The same, and brings it to the disk; for a timer. 0 or -1 as sink_write().
 */
int sink_sync(sink_t *s, char err[SINK_ERR_LEN]);

/* Bytes of the capture that have been taken and are whole. */
uint64_t sink_bytes(const sink_t *s);

/* Bytes that are in the file, which is whole up to there. */
uint64_t sink_written(const sink_t *s);

/* So many will be in it, at most, when all that was taken is. */
uint64_t sink_most(const sink_t *s);

/*
 * Ends the file: on the disk and with its own name, then the sink is gone. 0
 * with what there is in *result, also when an earlier write has failed, or -1
 * with a text in err; then sink_recover() may try again. A file that has that
 * name is not replaced.
 */
int sink_close(sink_t *s, sink_result_t *result, char err[SINK_ERR_LEN]);

/*
 * Ends an ID.part that was left by a process that was killed, as sink_close()
 * would have. An empty one is no error: a file without a byte. Nor is one that
 * has its own name already: it is only read.
 */
int sink_recover(const char *dir, const char *id, sink_result_t *result,
    char err[SINK_ERR_LEN]);


#endif /* STORE_SINK_H */
