/*
 * cli/message.c: parser of in-band messages and of the words of a verdict.
 * It never looks behind the length it was given and keeps nothing.
 */

#include <string.h>

#include "message.h"
#include "text.h"


/* The API's messages, and those that rejoin.c adds; of one length. */
#define MESSAGE_PREFIX       "pcap-api "
#define MESSAGE_OWN_PREFIX   "pcap-cli "
#define MESSAGE_MAX_ORIGIN   200


/* Indexed by message_type_t. */

static const char *const  message_names[] = {
    "UNKNOWN",
    "CAPTURE_STOPPED",
    "CLOCK_SKEW",
    "CONGESTED",
    "CONNECTION_ERROR",
    "GAP",
    "INSTANCE_UNAVAILABLE",
    "INVALID_REQUEST",
    "LIMIT_REACHED",
    "POLICY",
    "START_CAPTURE_FAILED",
    "STATUS",
};

#define MESSAGE_NAMES  (sizeof(message_names) / sizeof(message_names[0]))


/* Indexed by status_t. */

static const char *const  status_names[] = {
    "none",
    "complete",
    "stopped",
    "limit",
    "partial",
    "error",
    "unknown",
};


/* Indexed by place_t. */

static const char *const  place_names[] = {
    "kernel",
    "agent",
    "stop",
    "limit",
};


static int
message_is(const char *s, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(s, word, len) == 0;
}


/* Upper-case letters and underscores only: a later type is UNKNOWN. */
static int
message_parse_type(const char *s, size_t len, message_type_t *type)
{
    size_t  i;

    if (len == 0 || len > 32) {
        return -1;
    }

    for (i = 0; i < len; i++) {
        if (s[i] != '_' && (s[i] < 'A' || s[i] > 'Z')) {
            return -1;
        }
    }

    *type = MESSAGE_UNKNOWN;

    for (i = 0; i < MESSAGE_NAMES; i++) {
        if (message_is(s, len, message_names[i])) {
            *type = (message_type_t) i;
        }
    }

    return 0;
}


int
message_parse(message_t *m, const char *s, size_t len)
{
    const char  *p, *end;

    if (!text_has_prefix(s, len, MESSAGE_PREFIX)
        && !text_has_prefix(s, len, MESSAGE_OWN_PREFIX))
    {
        return -1;
    }

    end = s + len;
    s += sizeof(MESSAGE_PREFIX) - 1;

    p = memchr(s, ' ', (size_t) (end - s));
    if (p == NULL || message_parse_type(s, (size_t) (p - s), &m->type) != 0) {
        return -1;
    }

    m->origin = p + 1;

    /* An origin may hold a colon, but no blank and not ": ". */
    p = memchr(m->origin, ' ', (size_t) (end - m->origin));
    if (p == NULL || p - m->origin < 2 || p[-1] != ':'
        || p - m->origin > MESSAGE_MAX_ORIGIN)
    {
        return -1;
    }

    m->origin_len = (size_t) (p - 1 - m->origin);
    m->text = p + 1;
    m->text_len = (size_t) (end - m->text);

    return 0;
}


const char *
message_name(message_type_t type)
{
    return message_names[type];
}


status_t
status_parse(const char *s, size_t len)
{
    int  i;

    for (i = STATUS_COMPLETE; i <= STATUS_ERROR; i++) {
        if (message_is(s, len, status_names[i])) {
            return (status_t) i;
        }
    }

    return STATUS_OTHER;
}


const char *
status_name(status_t status)
{
    return status_names[status];
}


const char *
place_name(place_t place)
{
    return place_names[place];
}


/* One "key=value" of a STATUS text. */
static void
message_status_pair(message_status_t *st, const char *key, size_t key_len,
    const char *val, size_t val_len)
{
    size_t    i;
    uint64_t  v;

    static const struct {
        const char  *key;
        unsigned     bit;
        size_t       offset;
    } numbers[] = {
        { "received", STATUS_HAS_RECEIVED,
          offsetof(message_status_t, received) },
        { "dropped", STATUS_HAS_DROPPED,
          offsetof(message_status_t, dropped) },
        { "packets", STATUS_HAS_PACKETS,
          offsetof(message_status_t, packets) },
        { "late", STATUS_HAS_LATE, offsetof(message_status_t, late) },
        { "in_flight", 0, offsetof(message_status_t, in_flight) },
    };

    static const size_t  n = sizeof(numbers) / sizeof(numbers[0]);

    if (message_is(key, key_len, "status")) {
        st->status = status_parse(val, val_len);
        return;
    }

    if (message_is(key, key_len, "unknown_since")) {
        text_clean(st->unknown_since, sizeof(st->unknown_since), val,
                   val_len);
        return;
    }

    for (i = 0; i < NPLACES; i++) {
        if (message_is(key, key_len, place_names[i])
            && text_number(val, val_len, &v) == 0)
        {
            st->places[i] = v;
            st->present |= STATUS_HAS_PLACES;
            return;
        }
    }

    for (i = 0; i < n; i++) {
        if (message_is(key, key_len, numbers[i].key)
            && text_number(val, val_len, &v) == 0)
        {
            memcpy((char *) st + numbers[i].offset, &v, sizeof(v));
            st->present |= numbers[i].bit;
        }
    }
}


void
message_parse_status(message_status_t *st, const char *s, size_t len)
{
    const char  *end, *stop, *eq;

    memset(st, 0, sizeof(message_status_t));
    end = s + len;

    while (s < end) {
        stop = memchr(s, ' ', (size_t) (end - s));
        if (stop == NULL) {
            stop = end;
        }

        eq = memchr(s, '=', (size_t) (stop - s));
        if (eq != NULL) {
            message_status_pair(st, s, (size_t) (eq - s), eq + 1,
                                (size_t) (stop - eq - 1));
        }

        s = stop < end ? stop + 1 : end;
    }
}


static int
message_is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9') || c == '_';
}


unsigned
message_limits(const char *s, size_t len)
{
    size_t    i, from;
    unsigned  bits;

    bits = 0;

    for (i = 0; i < len; /* void */ ) {
        if (!message_is_word(s[i])) {
            i++;
            continue;
        }

        for (from = i; i < len && message_is_word(s[i]); i++) { /* void */ }

        if (message_is(s + from, i - from, "duration")) {
            bits |= LIMIT_DURATION;

        } else if (message_is(s + from, i - from, "max_bytes")) {
            bits |= LIMIT_MAX_BYTES;

        } else if (message_is(s + from, i - from, "max_packets")) {
            bits |= LIMIT_MAX_PACKETS;
        }
    }

    return bits;
}
