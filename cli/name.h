/*
 * cli/name.h: the name of a capture file that the user did not name.
 */

#ifndef CLI_NAME_H
#define CLI_NAME_H

#include <stddef.h>
#include <time.h>


#define NAME_MAX_LEN   256

/*
 * "static-GROUP-20260131T235959Z.pcapng" (UTC); the second
 * attempt at one time gets "-2" before the ending. kind is the command,
 * ending "pcapng" or "pcap". Characters of target that are not
 * [A-Za-z0-9._-] become '_', a long target is cut. Returns the length.
 */
size_t name_default(char dst[NAME_MAX_LEN], const char *kind,
    const char *target, time_t when, unsigned attempt, const char *ending);


/* A name that a server gives to a file, with its NUL. */
#define NAME_MAX_GIVEN  128

/*
 * Can a file be called s (len bytes), whoever gave that name: letters, digits,
 * ".", "_" and "-", neither "." nor "-" in front, and not too long?
 */
int name_is_harmless(const char *s, size_t len);


#endif /* CLI_NAME_H */
