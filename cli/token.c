/*
 * cli/token.c: finds exp in a JWT's payload (RFC 7519 4.1.4; base64url of
 * RFC 4648 5, without padding). The decoded claims are wiped.
 */

#include <jansson.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "token.h"
#include "wipe.h"


static int
token_digit(char c)
{
    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789-_";
    const char        *p;

    p = c != '\0' ? strchr(digits, c) : NULL;

    return p != NULL ? (int) (p - digits) : -1;
}


/* Returns the length, or 0 when it is no base64url. dst holds len bytes. */
static size_t
token_decode(char *dst, const char *s, size_t len)
{
    int       digit;
    size_t    i, n;
    unsigned  bits, value;

    n = 0;
    bits = 0;
    value = 0;

    for (i = 0; i < len; i++) {
        digit = token_digit(s[i]);
        if (digit == -1) {
            return 0;
        }

        value = (value << 6 | (unsigned) digit) & 0xffff;
        bits += 6;

        if (bits >= 8) {
            bits -= 8;
            dst[n++] = (char) (value >> bits & 0xff);
        }
    }

    return n;
}


int
token_ends_within(const char *token, int seconds)
{
    int          ends;
    char         claims[CLI_MAX_TOKEN_BYTES];
    size_t       n;
    json_t      *doc, *exp;
    const char  *payload, *end;

    payload = strchr(token, '.');
    end = payload != NULL ? strchr(payload + 1, '.') : NULL;

    if (end == NULL || (size_t) (end - payload) > sizeof(claims)) {
        return 0;
    }

    payload++;
    n = token_decode(claims, payload, (size_t) (end - payload));
    doc = json_loadb(claims, n, 0, NULL);
    wipe(claims, sizeof(claims));

    exp = json_object_get(doc, "exp");
    ends = json_is_number(exp)
           && json_number_value(exp) <= (double) time(NULL) + seconds;
    json_decref(doc);

    return ends;
}
