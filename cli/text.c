/*
 * cli/text.c: makes foreign text harmless and numbers readable. The UTF-8
 * rules are those of RFC 3629 section 4: no overlong form, no surrogate,
 * nothing above U+10FFFF.
 */

#include <stdio.h>
#include <string.h>

#include "text.h"


/* Characters that show nothing but change how the rest is shown. */

typedef struct {
    uint32_t  first;
    uint32_t  last;
} text_range_t;

static const text_range_t  text_unsafe[] = {
    { 0x0000,  0x001f },
    { 0x007f,  0x009f },     /* DEL, C1: 0x9b is CSI on some terminals */
    { 0x00ad,  0x00ad },     /* soft hyphen */
    { 0x061c,  0x061c },     /* Arabic letter mark */
    { 0x200b,  0x200f },     /* zero width, left-to-right marks */
    { 0x2028,  0x202e },     /* separators, embeddings, overrides */
    { 0x2060,  0x206f },     /* joiners, isolates */
    { 0xfeff,  0xfeff },
    { 0xfff0,  0xfffb },
    { 0xe0000, 0xe007f },    /* tags */
};


/*
 * Decodes one character at p (len >= 1). Returns its length in bytes, or 0
 * when it is malformed or cut.
 */
static size_t
text_decode(const unsigned char *p, size_t len, uint32_t *cp)
{
    size_t    n, i;
    uint32_t  c, min;

    if (p[0] < 0x80) {
        *cp = p[0];
        return 1;
    }

    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        n = 2; c = p[0] & 0x1f; min = 0x80;

    } else if ((p[0] & 0xf0) == 0xe0) {
        n = 3; c = p[0] & 0x0f; min = 0x800;

    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        n = 4; c = p[0] & 0x07; min = 0x10000;

    } else {
        return 0;
    }

    if (len < n) {
        return 0;
    }

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        c = c << 6 | (p[i] & 0x3f);
    }

    if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }

    *cp = c;

    return n;
}


static int
text_is_unsafe(uint32_t cp)
{
    size_t  i;

    for (i = 0; i < sizeof(text_unsafe) / sizeof(text_unsafe[0]); i++) {
        if (cp >= text_unsafe[i].first && cp <= text_unsafe[i].last) {
            return 1;
        }
    }

    return 0;
}


size_t
text_clean(char *dst, size_t max, const char *src, size_t len)
{
    size_t       n, out, in;
    uint32_t     cp;
    const char  *put;

    out = 0;

    for (in = 0; in < len; /* void */ ) {
        put = src + in;
        n = text_decode((const unsigned char *) put, len - in, &cp);

        if (n == 1 && (cp == '\n' || cp == '\r' || cp == '\t')) {
            put = " ";

            in++;
            if (out > 0 && dst[out - 1] == ' ') {
                continue;
            }

        } else if (n == 0 || text_is_unsafe(cp)) {
            put = "?";
            in += n ? n : 1;
            n = 1;

        } else {
            in += n;
        }

        if (out + n >= max) {
            break;
        }

        memcpy(dst + out, put, n);
        out += n;
    }

    dst[out] = '\0';

    return out;
}


size_t
text_cut(char *s, size_t width)
{
    size_t  n;
    char   *p;

    n = 0;

    for (p = s; *p != '\0'; p++) {
        if (((unsigned char) *p & 0xc0) == 0x80) {
            continue;
        }

        if (n == width) {
            *p = '\0';
            break;
        }

        n++;
    }

    return n;
}


void
text_bytes(char dst[16], uint64_t bytes)
{
    static const char  units[] = "kMGTPE";

    size_t    i;
    uint64_t  whole, tenth;

    if (bytes < 1000) {
        snprintf(dst, 16, "%u B", (unsigned) bytes);
        return;
    }

    whole = bytes;
    tenth = 0;

    for (i = 0; whole >= 1000; i++) {
        tenth = whole % 1000 / 100;
        whole /= 1000;
    }

    snprintf(dst, 16, "%u.%u %cB", (unsigned) whole, (unsigned) tenth,
             units[i - 1]);
}


int
text_has_prefix(const char *s, size_t len, const char *prefix)
{
    size_t  n;

    n = strlen(prefix);

    return len >= n && memcmp(s, prefix, n) == 0;
}


int
text_number(const char *s, size_t len, uint64_t *out)
{
    size_t    i;
    unsigned  digit;
    uint64_t  v;

    if (len == 0 || len > 20) {
        return -1;
    }

    v = 0;

    for (i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return -1;
        }

        digit = (unsigned) (s[i] - '0');

        if (v > (UINT64_MAX - digit) / 10) {
            return -1;
        }

        v = v * 10 + digit;
    }

    *out = v;

    return 0;
}
