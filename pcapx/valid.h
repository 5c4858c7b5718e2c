/*
 * pcapx/valid.h: checks of texts that users and peers send, shared by the
 * module, the agent and the command line so that all three say the same.
 * Every function takes a text with its length (no NUL needed) and fills
 * err[PCAPX_ERR_LEN] with a sentence that names what is wrong and what is
 * allowed. It never echoes control characters into err.
 */

#ifndef PCAPX_VALID_H
#define PCAPX_VALID_H

#include "pcapx.h"


#define PCAPX_ERR_LEN   256

/*
 * All return PCAPX_OK, or PCAPX_EINVAL with err filled and the results
 * unchanged (pcapx_parse_endpoint(): undefined). Nothing is retained.
 */

/* A Linux interface name (dev_valid_name: 1..15 bytes, no '/', ':', white
 * space, control or non-ASCII byte, not "." or ".."); "any" is one. */
int pcapx_valid_interface(const char *s, size_t len, char *err);

/* 1..262144 decimal. */
int pcapx_parse_snaplen(const char *s, size_t len, uint32_t *out, char *err);

/*
 * A filter text: at most 5000 bytes, no control characters but space, tab
 * and newline, UTF-8 not required but no NUL. Does not compile it.
 */
int pcapx_valid_filter(const char *s, size_t len, char *err);

/* "250ms", "30s", "5m", "2h", "1d", or a bare number of seconds; 1 ms up to
 * 30 days; result in milliseconds. */
int pcapx_parse_duration(const char *s, size_t len, uint64_t *ms, char *err);

/* "100m", "4k", "2g", "1t", optionally "KiB"-like endings ("10mb", "10MiB");
 * powers of 1024; or a bare number of bytes; 1 up to 2^53. */
int pcapx_parse_size(const char *s, size_t len, uint64_t *bytes, char *err);

/* Decimal min..max. name is used in err ("max_packets"). */
int pcapx_parse_number(const char *name, const char *s, size_t len,
    uint64_t min, uint64_t max, uint64_t *out, char *err);

/* "0", "1", "true", "false", "on", "off", "yes", "no"; *out is 0 or 1. */
int pcapx_parse_flag(const char *name, const char *s, size_t len, int *out,
    char *err);

/* "pcap" or "pcapng"; *out is 0 for pcap, 1 for pcapng. */
int pcapx_parse_format(const char *s, size_t len, int *out, char *err);

/*
 * A literal "192.0.2.1:9494" or "[2001:db8::1]:9494", port 1..65535, no
 * name, no zone. addr gets 4 or 16 bytes in network order.
 */
int pcapx_parse_endpoint(const char *s, size_t len, uint8_t addr[16],
    uint8_t *addr_len, uint16_t *port, char *err);

/* A capture id: 32 lower-case hex digits. */
int pcapx_valid_capture_id(const char *s, size_t len, char *err);

/*
 * An instance or group name: 1..128 bytes of [A-Za-z0-9._-] in one or two
 * parts separated by one '/'; no part is "." or "..".
 */
int pcapx_valid_instance(const char *s, size_t len, char *err);

/* A process type of an app: 1..48 bytes of [A-Za-z0-9._-], not "." or "..". */
int pcapx_valid_process(const char *s, size_t len, char *err);

/*
 * A container's handle: 1..64 bytes of [A-Za-z0-9_-], the first a letter or
 * digit. No dot and no slash, so it is one component of a path whatever the
 * rest. Garden's handles are instance guids of 28 characters, a UUID cut off
 * (cloudfoundry/rep auctioncellrep/helpers.go).
 */
int pcapx_valid_handle(const char *s, size_t len, char *err);

/* A guid of the Cloud Controller: 1..64 bytes of [A-Za-z0-9-], the first a
 * letter or digit. Not always a UUID: process guids may be longer. */
int pcapx_valid_guid(const char *s, size_t len, char *err);

/*
 * A BOSH deployment's name: 1..255 bytes of [A-Za-z0-9._+-], not "." or "..",
 * which would be another path. Source: bosh-director, VALID_ID.
 */
int pcapx_valid_deployment(const char *s, size_t len, char *err);

/*
 * Free text of a user (reason): UTF-8 of at most max bytes (none is fine), no
 * control characters (C0, DEL, C1) and no line or paragraph separators. name
 * is used in err.
 */
int pcapx_valid_text(const char *name, const char *s, size_t len, size_t max,
    char *err);


/*
 * application/x-www-form-urlencoded and query strings, in place: takes the
 * next name=value pair out of [*pos, end), decodes "+" and %XX within the
 * same memory and moves *pos behind it. Empty pairs ("a=1&&b=2") are
 * skipped. PCAPX_OK, PCAPX_END, or PCAPX_EINVAL with err (a bad escape, or a
 * NUL, encoded or not); *pos is behind the pair then, too.
 */
typedef struct {
    char           *name;
    size_t          name_len;
    char           *value;
    size_t          value_len;
} pcapx_pair_t;

int pcapx_form_next(char **pos, char *end, pcapx_pair_t *pair, char *err);

/*
 * Percent-encodes everything but unreserved characters (RFC 3986 2.3).
 * Writes at most max bytes, returns the bytes needed (3 * len at most);
 * nothing useful is in dst when that is over max. No NUL is added.
 */
size_t pcapx_form_encode(char *dst, size_t max, const char *s, size_t len);


#endif /* PCAPX_VALID_H */
