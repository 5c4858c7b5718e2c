/*
 * pcapx/audit.c: takes a line of the audit log apart. It looks for the fixed
 * beginning and the fixed end only: all that lies between is covered by the
 * code in the line, and by nothing else.
 */

#include <string.h>

#include "pcapx/audit.h"
#include "pcapx/pcapx.h"


#define PCAPX_AUDIT_BEGIN  "{\"seq\":"
#define PCAPX_AUDIT_PREV   ",\"prev\":\""
#define PCAPX_AUDIT_MAC    "\",\"mac\":\""
#define PCAPX_AUDIT_END    "\"}"

#define pcapx_lengthof(s)  (sizeof(s) - 1)


/* The rest of a line, from the bytes of prev on, has this length. */
#define PCAPX_AUDIT_REST                                                      \
    (2 * PCAPX_AUDIT_MAC_LEN + pcapx_lengthof(PCAPX_AUDIT_MAC)                \
     + pcapx_lengthof(PCAPX_AUDIT_END))


static int
pcapx_audit_is_mac(const char *s)
{
    size_t  i;

    for (i = 0; i < PCAPX_AUDIT_MAC_LEN; i++) {
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f'))) {
            return 0;
        }
    }

    return 1;
}


/* A number without leading zeros; returns its digits, 0: it is none. */
static size_t
pcapx_audit_number(const char *s, size_t len, uint64_t *n)
{
    size_t    i;
    uint64_t  v, digit;

    v = 0;

    for (i = 0; i < len && s[i] >= '0' && s[i] <= '9'; i++) {
        digit = (uint64_t) (s[i] - '0');

        if (v > (UINT64_MAX - digit) / 10 || (i == 0 && digit == 0)) {
            return 0;
        }

        v = v * 10 + digit;
    }

    *n = v;

    return i;
}


/* Where the object begins, or NULL. */
static const char *
pcapx_audit_begin(const char *p, const char *end)
{
    while (p != end) {
        p = memchr(p, '{', (size_t) (end - p));

        if (p == NULL
            || (size_t) (end - p) < pcapx_lengthof(PCAPX_AUDIT_BEGIN))
        {
            return NULL;
        }

        if (memcmp(p, PCAPX_AUDIT_BEGIN, pcapx_lengthof(PCAPX_AUDIT_BEGIN))
            == 0)
        {
            return p;
        }

        p++;
    }

    return NULL;
}


int
pcapx_audit_parse(const char *line, size_t len, pcapx_audit_line_t *out)
{
    size_t       n, fixed;
    const char  *p, *rest, *end;

    end = line + len;
    fixed = pcapx_lengthof(PCAPX_AUDIT_PREV) + PCAPX_AUDIT_REST;
    p = pcapx_audit_begin(line, end);

    if (p == NULL
        || (size_t) (end - p) < pcapx_lengthof(PCAPX_AUDIT_BEGIN) + fixed)
    {
        return PCAPX_EINVAL;
    }

    out->body = p;
    p += pcapx_lengthof(PCAPX_AUDIT_BEGIN);
    rest = end - PCAPX_AUDIT_REST;

    n = pcapx_audit_number(p, (size_t) (rest - p), &out->seq);

    if (n == 0 || p[n] != ',') {
        return PCAPX_EINVAL;
    }

    out->prev = rest;
    out->mac = rest + PCAPX_AUDIT_MAC_LEN + pcapx_lengthof(PCAPX_AUDIT_MAC);
    out->body_len = (size_t) (rest + PCAPX_AUDIT_MAC_LEN + 1 - out->body);

    if (memcmp(rest - pcapx_lengthof(PCAPX_AUDIT_PREV), PCAPX_AUDIT_PREV,
               pcapx_lengthof(PCAPX_AUDIT_PREV)) != 0
        || memcmp(rest + PCAPX_AUDIT_MAC_LEN, PCAPX_AUDIT_MAC,
                  pcapx_lengthof(PCAPX_AUDIT_MAC)) != 0
        || memcmp(end - pcapx_lengthof(PCAPX_AUDIT_END), PCAPX_AUDIT_END,
                  pcapx_lengthof(PCAPX_AUDIT_END)) != 0
        || !pcapx_audit_is_mac(out->prev) || !pcapx_audit_is_mac(out->mac))
    {
        return PCAPX_EINVAL;
    }

    return PCAPX_OK;
}


int
pcapx_audit_parse_head(const char *s, size_t len, uint64_t *seq,
    const char **mac)
{
    size_t  n;

    n = pcapx_audit_number(s, len, seq);

    if (n == 0 || len != n + 1 + PCAPX_AUDIT_MAC_LEN || s[n] != ':'
        || !pcapx_audit_is_mac(s + n + 1))
    {
        return PCAPX_EINVAL;
    }

    *mac = s + n + 1;

    return PCAPX_OK;
}
