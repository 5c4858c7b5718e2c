/*
 * cli/name.c: makes a file name out of target and time. The name begins with
 * a letter (never '-' or '.'), holds no '/', and sorts by time for a target.
 */

#include <stdio.h>

#include "name.h"


#define NAME_MAX_TARGET  128


static int
name_is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}


int
name_is_harmless(const char *s, size_t len)
{
    size_t  i;

    if (len == 0 || len >= NAME_MAX_GIVEN || s[0] == '.' || s[0] == '-') {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (!name_is_plain(s[i])) {
            return 0;
        }
    }

    return 1;
}


size_t
name_default(char dst[NAME_MAX_LEN], const char *kind, const char *target,
    time_t when, unsigned attempt, const char *ending)
{
    int        n;
    char       clean[NAME_MAX_TARGET + 1], stamp[32], again[16];
    size_t     i;
    struct tm  tm;

    for (i = 0; i < NAME_MAX_TARGET && target[i] != '\0'; i++) {
        clean[i] = target[i];

        if (!name_is_plain(target[i])) {
            clean[i] = '_';
        }
    }

    clean[i] = '\0';
    again[0] = '\0';

    if (attempt > 1) {
        snprintf(again, sizeof(again), "-%u", attempt);
    }

    if (gmtime_r(&when, &tm) == NULL
        || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm) == 0)
    {
        snprintf(stamp, sizeof(stamp), "0");
    }

    n = snprintf(dst, NAME_MAX_LEN, "%.16s-%s-%s%s.%.8s", kind, clean, stamp,
                 again, ending);

    return (size_t) n;
}
