/*
 * pcapx/valid_int.h: what valid.c, number.c and form.c share: the two ways
 * to refuse a text. Both return PCAPX_EINVAL, so a check ends with
 * `return pcapx_invalid(...)`.
 */

#ifndef PCAPX_VALID_INT_H
#define PCAPX_VALID_INT_H

#include "valid.h"


static inline int
pcapx_is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}


/* ASCII only, whatever the locale says. */
static inline int
pcapx_is_alnum(unsigned char c)
{
    return pcapx_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}


/* Writes the sentence to err. */
int pcapx_invalid(char *err, const char *fmt, ...)
    __attribute__((cold, format(printf, 2, 3)));

/*
 * Writes `"TEXT": sentence`. Of the text at most 40 bytes are shown, and
 * everything but printable ASCII as "?".
 */
int pcapx_invalid_text(char *err, const char *s, size_t len,
    const char *fmt, ...) __attribute__((cold, format(printf, 4, 5)));


#endif /* PCAPX_VALID_INT_H */
