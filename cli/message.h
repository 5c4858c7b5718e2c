/*
 * cli/message.h: reads the API's in-band messages, comments of the form
 * "pcap-api TYPE ORIGIN: TEXT" (docs/PROTOCOL.md), and this program's own,
 * which begin with "pcap-cli ". Pure text to struct; the peer is not trusted.
 */

#ifndef CLI_MESSAGE_H
#define CLI_MESSAGE_H

#include <stddef.h>
#include <stdint.h>


typedef enum {
    MESSAGE_UNKNOWN = 0,
    MESSAGE_CAPTURE_STOPPED,
    MESSAGE_CLOCK_SKEW,
    MESSAGE_CONGESTED,
    MESSAGE_CONNECTION_ERROR,
    MESSAGE_GAP,                 /* this program's own */
    MESSAGE_INSTANCE_UNAVAILABLE,
    MESSAGE_INVALID_REQUEST,
    MESSAGE_LIMIT_REACHED,
    MESSAGE_POLICY,
    MESSAGE_START_CAPTURE_FAILED,
    MESSAGE_STATUS
} message_type_t;

typedef struct {
    message_type_t  type;
    const char     *origin;      /* aliases the comment, no NUL */
    size_t          origin_len;
    const char     *text;        /* the same */
    size_t          text_len;
} message_t;

/* How a capture, or one instance's part, went; worse is greater. */

typedef enum {
    STATUS_NONE = 0,             /* not said */
    STATUS_COMPLETE,
    STATUS_STOPPED,
    STATUS_LIMIT,
    STATUS_PARTIAL,
    STATUS_ERROR,
    STATUS_OTHER                 /* a word this program does not know */
} status_t;

#define STATUS_HAS_RECEIVED   0x01
#define STATUS_HAS_DROPPED    0x02
#define STATUS_HAS_PACKETS    0x04
#define STATUS_HAS_LATE       0x08
#define STATUS_HAS_PLACES     0x10

/* The places of the drop ledger, as they are called in a STATUS text. */

typedef enum {
    PLACE_KERNEL = 0,
    PLACE_AGENT,
    PLACE_STOP,
    PLACE_LIMIT,             /* behind a limit: not in "dropped" */
    NPLACES
} place_t;

typedef struct {
    status_t   status;
    unsigned   present;          /* STATUS_HAS_* */
    uint64_t   received;
    uint64_t   dropped;
    uint64_t   packets;
    uint64_t   late;
    uint64_t   places[NPLACES];
    uint64_t   in_flight;        /* on its way when it was last known */
    char       unknown_since[40];  /* clean text, "" when not given */
} message_status_t;

/* Which limit a LIMIT_REACHED text names. */

#define LIMIT_DURATION      0x01
#define LIMIT_MAX_BYTES     0x02
#define LIMIT_MAX_PACKETS   0x04


/* Reads a comment. Returns 0, or -1 when it is none of the API's. */
int message_parse(message_t *m, const char *s, size_t len);

/* The name of a type, as it stands in the file. */
const char *message_name(message_type_t type);

/* Reads the TEXT of a STATUS message; unknown words are skipped. */
void message_parse_status(message_status_t *st, const char *s, size_t len);

/* Reads the TEXT of a LIMIT_REACHED message: LIMIT_* bits, 0 for none. */
unsigned message_limits(const char *s, size_t len);

/* "complete" and so on to its status, anything else to STATUS_OTHER. */
status_t status_parse(const char *s, size_t len);

const char *status_name(status_t status);

/* "kernel" and so on. */
const char *place_name(place_t place);


#endif /* CLI_MESSAGE_H */
