/*
 * pcapx/form.c: application/x-www-form-urlencoded and query strings, in
 * place and without a copy. A decoded text is never longer than the encoded
 * one. A NUL is refused, encoded or not, so that no later C string function
 * can see less than was checked.
 */

#include <string.h>

#include "valid_int.h"


static int pcapx_form_decode(char *s, size_t len, size_t *out);
static int pcapx_form_hex(char c);


int
pcapx_form_next(char **pos, char *end, pcapx_pair_t *pair, char *err)
{
    char    *p, *amp, *eq;
    size_t   n;

    p = *pos;

    while (p < end && *p == '&') {
        p++;
    }

    if (p == end) {
        *pos = end;
        return PCAPX_END;
    }

    amp = memchr(p, '&', (size_t) (end - p));
    *pos = amp ? amp + 1 : end;
    amp = amp ? amp : end;

    eq = memchr(p, '=', (size_t) (amp - p));
    n = (size_t) ((eq ? eq : amp) - p);

    pair->name = p;
    pair->value = eq ? eq + 1 : amp;

    if (pcapx_form_decode(p, n, &pair->name_len) != PCAPX_OK) {
        return pcapx_invalid(err, "the name of an option has a \"%%\" "
                             "without two hexadecimal digits or a NUL");
    }

    n = (size_t) (amp - pair->value);

    if (pcapx_form_decode(pair->value, n, &pair->value_len) != PCAPX_OK) {
        return pcapx_invalid_text(err, pair->name, pair->name_len,
                                  "this option has a \"%%\" without two "
                                  "hexadecimal digits or a NUL");
    }

    return PCAPX_OK;
}


static int
pcapx_form_decode(char *s, size_t len, size_t *out)
{
    int     hi, lo;
    char   *dst;
    size_t  i;

    dst = s;

    for (i = 0; i < len; i++) {

        if (s[i] == '+') {
            *dst++ = ' ';
            continue;
        }

        if (s[i] == '\0') {
            return PCAPX_EINVAL;
        }

        if (s[i] != '%') {
            *dst++ = s[i];
            continue;
        }

        if (len - i < 3) {
            return PCAPX_EINVAL;
        }

        hi = pcapx_form_hex(s[i + 1]);
        lo = pcapx_form_hex(s[i + 2]);

        if (hi < 0 || lo < 0 || hi + lo == 0) {
            return PCAPX_EINVAL;
        }

        *dst++ = (char) (hi << 4 | lo);
        i += 2;
    }

    *out = (size_t) (dst - s);

    return PCAPX_OK;
}


static int
pcapx_form_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }

    return -1;
}


size_t
pcapx_form_encode(char *dst, size_t max, const char *s, size_t len)
{
    size_t             i, n;
    unsigned char      c;
    static const char  hex[] = "0123456789ABCDEF";

    n = 0;

    for (i = 0; i < len; i++) {
        c = (unsigned char) s[i];

        if (pcapx_is_alnum(c) || c == '-' || c == '.' || c == '_'
            || c == '~')
        {
            if (n < max) {
                dst[n] = (char) c;
            }

            n++;
            continue;
        }

        if (max >= 3 && n <= max - 3) {
            dst[n] = '%';
            dst[n + 1] = hex[c >> 4];
            dst[n + 2] = hex[c & 15];
        }

        n += 3;
    }

    return n;
}
