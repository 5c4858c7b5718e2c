/*
 * pcapx/number.c: checks of texts that stand for numbers: counts, snaplen,
 * durations, sizes, flags. Digits only, no sign, no space, no locale; the
 * value is checked against its range before it can overflow.
 */

#include <string.h>

#include "valid_int.h"


#define PCAPX_MAX_DURATION_MS   (30ull * 24 * 3600 * 1000)
#define PCAPX_MAX_SIZE          (1ull << 53)


static size_t pcapx_digits(const char *s, size_t len, uint64_t max,
    uint64_t *out);
static int pcapx_duration_unit(const char *s, size_t len, uint64_t *ms);
static int pcapx_size_unit(const char *s, size_t len, unsigned *shift);


int
pcapx_parse_number(const char *name, const char *s, size_t len, uint64_t min,
    uint64_t max, uint64_t *out, char *err)
{
    uint64_t  v;

    if (len == 0 || pcapx_digits(s, len, max, &v) != len || v < min) {
        return pcapx_invalid_text(err, s, len,
                                  "%s must be a number from %llu to %llu",
                                  name, (unsigned long long) min,
                                  (unsigned long long) max);
    }

    *out = v;

    return PCAPX_OK;
}


int
pcapx_parse_snaplen(const char *s, size_t len, uint32_t *out, char *err)
{
    uint64_t  v;

    v = 0;

    if (pcapx_parse_number("snaplen", s, len, 1, PCAPX_MAX_SNAPLEN, &v, err)
        != PCAPX_OK)
    {
        return PCAPX_EINVAL;
    }

    *out = (uint32_t) v;

    return PCAPX_OK;
}


int
pcapx_parse_duration(const char *s, size_t len, uint64_t *ms, char *err)
{
    size_t    n;
    uint64_t  v, unit;

    n = pcapx_digits(s, len, PCAPX_MAX_DURATION_MS, &v);

    if (n == 0 || pcapx_duration_unit(s + n, len - n, &unit) != PCAPX_OK) {
        return pcapx_invalid_text(err, s, len,
                                  "a duration is a whole number with ms, s, "
                                  "m, h or d, as in 30s");
    }

    if (v == 0 || v > PCAPX_MAX_DURATION_MS / unit) {
        return pcapx_invalid_text(err, s, len,
                                  "a duration must be from 1ms to 30d");
    }

    *ms = v * unit;

    return PCAPX_OK;
}


static int
pcapx_duration_unit(const char *s, size_t len, uint64_t *ms)
{
    if (len == 2 && s[0] == 'm' && s[1] == 's') {
        *ms = 1;
        return PCAPX_OK;
    }

    if (len > 1) {
        return PCAPX_EINVAL;
    }

    switch (len ? s[0] : 's') {

    case 's':
        *ms = 1000;
        return PCAPX_OK;

    case 'm':
        *ms = 60000;
        return PCAPX_OK;

    case 'h':
        *ms = 3600000;
        return PCAPX_OK;

    case 'd':
        *ms = 86400000;
        return PCAPX_OK;

    default:
        return PCAPX_EINVAL;
    }
}


int
pcapx_parse_size(const char *s, size_t len, uint64_t *bytes, char *err)
{
    size_t    n;
    unsigned  shift;
    uint64_t  v;

    n = pcapx_digits(s, len, PCAPX_MAX_SIZE, &v);

    if (n == 0 || pcapx_size_unit(s + n, len - n, &shift) != PCAPX_OK) {
        return pcapx_invalid_text(err, s, len,
                                  "a size is a whole number of bytes or "
                                  "ends with k, m, g or t, as in 100m");
    }

    if (v == 0 || v > PCAPX_MAX_SIZE >> shift) {
        return pcapx_invalid_text(err, s, len,
                                  "a size must be from 1 to 2^53 bytes");
    }

    *bytes = v << shift;

    return PCAPX_OK;
}


/* "", "k", "kb", "kib" and so on, in upper or lower case. */
static int
pcapx_size_unit(const char *s, size_t len, unsigned *shift)
{
    const char         *unit;
    static const char   units[] = "kmgt";

    *shift = 0;

    if (len == 0) {
        return PCAPX_OK;
    }

    unit = memchr(units, s[0] | 0x20, sizeof(units) - 1);

    if (unit == NULL) {
        return PCAPX_EINVAL;
    }

    *shift = 10 * (unsigned) (unit - units + 1);

    if (len == 1
        || (len == 2 && (s[1] | 0x20) == 'b')
        || (len == 3 && (s[1] | 0x20) == 'i' && (s[2] | 0x20) == 'b'))
    {
        return PCAPX_OK;
    }

    return PCAPX_EINVAL;
}


int
pcapx_parse_flag(const char *name, const char *s, size_t len, int *out,
    char *err)
{
    size_t  i;

    static const struct {
        const char  *text;
        int          value;
    } flags[] = {
        { "0", 0 }, { "false", 0 }, { "off", 0 }, { "no", 0 },
        { "1", 1 }, { "true", 1 }, { "on", 1 }, { "yes", 1 }
    };

    for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {

        if (len == strlen(flags[i].text)
            && memcmp(s, flags[i].text, len) == 0)
        {
            *out = flags[i].value;
            return PCAPX_OK;
        }
    }

    return pcapx_invalid_text(err, s, len,
                              "%s must be 0, 1, true, false, on, off, yes or "
                              "no", name);
}


/*
 * Reads digits up to the first other byte; returns how many there were, 0
 * when there is none. A value over max gives max + 1 (or UINT64_MAX) and
 * counts as no number, too.
 */
static size_t
pcapx_digits(const char *s, size_t len, uint64_t max, uint64_t *out)
{
    size_t    n;
    uint64_t  v, d;

    v = 0;

    for (n = 0; n < len && pcapx_is_digit((unsigned char) s[n]); n++) {
        d = (uint64_t) (s[n] - '0');

        if (d > max || v > (max - d) / 10) {
            return 0;
        }

        v = v * 10 + d;
    }

    *out = v;

    return n;
}
