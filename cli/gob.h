/*
 * cli/gob.h: Go's encoding/gob, as far as net/rpc of the cf CLI needs it:
 * messages with type definitions and values, both ways. The decoder reads
 * what another program sent: lengths, counts, names and nesting have
 * ceilings, and it keeps nothing but the types. Knows no socket and no RPC.
 * Source of the format: golang/go src/encoding/gob/doc.go, type.go.
 */

#ifndef CLI_GOB_H
#define CLI_GOB_H

#include <stddef.h>
#include <stdint.h>


/* A token is the longest thing that is asked for; Go itself allows 8 GiB. */
#define GOB_MAX_MESSAGE  1048576

/* A length takes one byte, or one that says how many follow, and 8. */
#define GOB_MAX_HEAD     9

/* All types that a cf CLI could send are fewer than 40. */
#define GOB_MAX_TYPES    128
#define GOB_MAX_FIELDS   1024        /* of all types together */
#define GOB_MAX_NAME     63
#define GOB_MAX_DEPTH    16
#define GOB_MAX_PATH     256


/* Ids of the types that need no definition (type.go). */

typedef enum {
    GOB_BOOL = 1,
    GOB_INT,
    GOB_UINT,
    GOB_FLOAT,
    GOB_BYTES,
    GOB_STRING,
    GOB_COMPLEX,
    GOB_INTERFACE,
    GOB_FIRST_USER_ID = 64
} gob_id_t;

/* What a definition makes, in the order of wireType's fields (type.go). */

typedef enum {
    GOB_ARRAY = 0,
    GOB_SLICE,
    GOB_STRUCT,
    GOB_MAP,
    GOB_ENCODER,             /* opaque bytes, as the next two */
    GOB_BINARY_MARSHALER,
    GOB_TEXT_MARSHALER,
    GOB_KINDS
} gob_kind_t;


/* One scalar of a value. p aliases the message. */

typedef struct {
    gob_id_t        type;    /* opaque bytes come as GOB_BYTES; complex
                                numbers and interfaces are passed over */
    uint64_t        u;       /* bool, uint; float as its bits */
    int64_t         i;       /* int */
    const uint8_t  *p;       /* bytes, string */
    size_t          len;
} gob_scalar_t;

/*
 * Called for each scalar of a value: path is made of field names with "."
 * between ("SpaceFields.Guid"), "[]" for an element of a list, "{}" for key
 * and value of a map; "" where the value is no more than a scalar. What is
 * absent on the wire is zero, and not called for.
 */
typedef void (*gob_visit_t)(void *ctx, const char *path,
    const gob_scalar_t *v);


typedef struct gob_s  gob_t;

/* A decoder for one direction of one connection; NULL without memory. */
gob_t *gob_new(void);

void gob_free(gob_t *g);

/*
 * Is there a whole message at the beginning of len bytes at p? Returns 1 with
 * *head (bytes of its length) and *body (bytes that follow), 0 when more is
 * needed, or -1: malformed, empty, or longer than GOB_MAX_MESSAGE.
 */
int gob_frame(const uint8_t *p, size_t len, size_t *head, size_t *body);

/*
 * Reads the body of one message. Returns 0 for a type definition, 1 for a
 * value (visit was called for its scalars), or -1 with gob_error(): nothing
 * more can be read from this connection.
 */
int gob_message(gob_t *g, const uint8_t *body, size_t len, gob_visit_t visit,
    void *ctx);

/* What was wrong; a constant text. */
const char *gob_error(const gob_t *g);


/* Encoding: into a buffer that grows to GOB_MAX_MESSAGE. Start it zeroed. */

typedef struct {
    uint8_t   *data;         /* owned: gob_out_free() */
    size_t     len;
    size_t     size;
    size_t     begun;        /* where the open message's body begins */
    unsigned   failed:1;     /* out of memory, or too long: data is no good */
} gob_out_t;

typedef struct {
    const char  *name;
    int64_t      id;
} gob_field_t;

/* A type of one's own: array, slice, struct or map. */

typedef struct {
    int64_t             id;      /* GOB_FIRST_USER_ID or more */
    gob_kind_t          kind;
    const char         *name;    /* "": none; Go does not look at it */
    int64_t             elem;    /* of a slice or map */
    int64_t             key;     /* of a map */
    const gob_field_t  *fields;  /* of a struct */
    size_t              nfields;
} gob_type_t;


/* Wipes and frees. */
void gob_out_free(gob_out_t *o);

/* A message with the definition of t. */
void gob_put_type(gob_out_t *o, const gob_type_t *t);

/*
 * A message with a value: gob_begin(), the value, gob_end(). Where kind is
 * not GOB_STRUCT, the marker of a value that is no struct goes before it.
 */
void gob_begin(gob_out_t *o, int64_t id, gob_kind_t kind);
void gob_end(gob_out_t *o);

/* Parts of a value. gob_put_field(): the number of the struct's next field;
 * *last is -1 at first. gob_put_uint(o, 0) ends a struct. */
void gob_put_field(gob_out_t *o, int *last, int field);
void gob_put_uint(gob_out_t *o, uint64_t u);
void gob_put_int(gob_out_t *o, int64_t i);
void gob_put_text(gob_out_t *o, const char *s);

/* Whole messages of another buffer; a failed one fails o, too. */
void gob_put_raw(gob_out_t *o, const gob_out_t *from);


#endif /* CLI_GOB_H */
