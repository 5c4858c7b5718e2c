/*
 * cli/text.h: texts for people. Whatever comes from a server goes through
 * text_clean() before it reaches a terminal or a JSON document, so that no
 * peer can move the cursor, change colours, or reorder what is read.
 */

#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>


/*
 * Copies len bytes of src into dst as valid UTF-8 that is safe to print:
 * line breaks and tabs become one space, every other control character (C0,
 * DEL, C1), bidirectional override, other invisible format character and
 * malformed byte becomes '?'. Ends at max - 1 bytes, never inside of a
 * character; always adds a NUL (max >= 1). Returns the length of dst.
 */
size_t text_clean(char *dst, size_t max, const char *src, size_t len);

/*
 * Cuts the clean text s to at most width characters (not bytes), in place.
 * Returns how many characters are left.
 */
size_t text_cut(char *s, size_t width);

/* "512 B", "1.2 kB", "3.4 GB": powers of 1000. Needs 16 bytes. */
void text_bytes(char dst[16], uint64_t bytes);

/* Does s begin with prefix? */
int text_has_prefix(const char *s, size_t len, const char *prefix);

/*
 * Unsigned decimal of 1 to 20 digits and nothing else. Returns 0, or -1 when
 * it is something else or above 64 bits.
 */
int text_number(const char *s, size_t len, uint64_t *out);


#endif /* CLI_TEXT_H */
