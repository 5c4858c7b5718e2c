/*
 * store/text.h: texts that come from others and go into records: bounded,
 * of one line, valid UTF-8. And the ids that become names of files.
 */

#ifndef STORE_TEXT_H
#define STORE_TEXT_H

#include <stddef.h>


/*
 * Copies src into dst, which has size bytes: cut between characters, without
 * control characters and without what is no UTF-8.
 */
void text_clean(char *dst, size_t size, const char *src);

/* Nothing but so many lower-case hex digits? */
int text_is_hex(const char *s, size_t len);

/*
 * What names of its files have behind the id, ".part" first, then what ended
 * captures have; NULL ends it.
 */
extern const char  *const text_suffixes[];

/*
 * Is this name one that the store gives its files? id, if not NULL, gets the
 * 32 digits before the suffix and a NUL.
 */
int text_is_file(const char *name, char *id);


#endif /* STORE_TEXT_H */
