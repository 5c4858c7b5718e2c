/*
 * store/frame.h: zstd frames (RFC 8878) of a compressed capture: its file is
 * nothing but these, one behind the other, each made of whole blocks of the
 * capture, with its length in its head and a checksum at its end. So a file
 * may be cut behind any of them, and any program that knows zstd reads it.
 *
 * A frame is packed and opened at once, in memory: both ends have a bound.
 */

#ifndef STORE_FRAME_H
#define STORE_FRAME_H

#include <stddef.h>
#include <stdint.h>


/*
 * Bytes of a capture that one frame has at most. That is the window of level
 * 3: a longer frame would gain little. What is in files must stay readable:
 * it may grow, and never shrink.
 */
#define FRAME_MAX_RAW    (2 << 20)

/* And of the file: what cannot be compressed becomes a bit longer. */
#define FRAME_MAX_MORE   8192
#define FRAME_MAX        (FRAME_MAX_RAW + FRAME_MAX_MORE)

#define FRAME_MIN_LEVEL  1
#define FRAME_MAX_LEVEL  19

typedef enum {
    FRAME_WHOLE = 0,
    FRAME_TORN,                      /* it may go on behind these bytes */
    FRAME_BAD                        /* none of ours */
} frame_state_t;

typedef struct {
    size_t   len;                    /* in the file, if it is whole */
    size_t   raw;                    /* of the capture; 0: not known */
} frame_t;

typedef struct frame_packer_s  frame_packer_t;
typedef struct frame_opener_s  frame_opener_t;


/* For one capture, of that level. NULL: no memory. */
frame_packer_t *frame_packer_new(unsigned level);

void frame_packer_free(frame_packer_t *p);

/*
 * Makes a frame of len bytes, 1 to FRAME_MAX_RAW. It is in *frame, which is
 * the packer's, until the next call. Its length, or 0: no memory.
 */
size_t frame_pack(frame_packer_t *p, const uint8_t *raw, size_t len,
    const uint8_t **frame);

/* Do these bytes begin as a compressed file does? len may be anything. */
int frame_is(const uint8_t *p, size_t len);

/*
 * What is at p: only lengths are looked at. With FRAME_TORN raw may be known
 * already, and with FRAME_MAX bytes no frame of ours is torn.
 */
frame_state_t frame_look(const uint8_t *p, size_t len, frame_t *frame);

/* NULL: no memory. */
frame_opener_t *frame_opener_new(void);

void frame_opener_free(frame_opener_t *o);

/*
 * Opens a frame that is whole, and checks it. 0 with frame->raw bytes in *raw,
 * which is the opener's, until the next call; -1: it is broken.
 */
int frame_open(frame_opener_t *o, const uint8_t *p, const frame_t *frame,
    const uint8_t **raw);

/*
 * The first size bytes, at most, of what begins at p, which may be torn: how
 * many there are.
 */
size_t frame_peek(frame_opener_t *o, const uint8_t *p, size_t len,
    uint8_t *head, size_t size);


#endif /* STORE_FRAME_H */
