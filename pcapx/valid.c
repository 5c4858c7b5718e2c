/*
 * pcapx/valid.c: checks of names, addresses and free texts that users and
 * peers send. Each check is an allow list where the field's own rules permit
 * one; nothing is looked up, resolved or compiled here.
 *
 * Numbers are in number.c, form decoding in form.c.
 */

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "valid_int.h"


#define PCAPX_CAPTURE_ID_LEN     32
#define PCAPX_MAX_HANDLE_LEN     64
#define PCAPX_MAX_GUID_LEN       64
#define PCAPX_SHOWN_LEN          40


static int pcapx_parse_address(const char *s, size_t len, int family,
    uint8_t *addr);
static int pcapx_instance_part(const char *s, size_t len);
static int pcapx_is_token(const char *s, size_t len, size_t max,
    const char *others);
static size_t pcapx_utf8_char(const unsigned char *s, size_t len,
    uint32_t *out);
static int pcapx_is_control(uint32_t c);


int
pcapx_valid_interface(const char *s, size_t len, char *err)
{
    size_t         i;
    unsigned char  c;

    if (len == 0 || len > PCAPX_MAX_IFNAME_LEN) {
        return pcapx_invalid_text(err, s, len,
                                  "an interface name has 1 to %d bytes",
                                  PCAPX_MAX_IFNAME_LEN);
    }

    for (i = 0; i < len; i++) {
        c = (unsigned char) s[i];

        if (c <= ' ' || c > '~' || c == '/' || c == ':') {
            return pcapx_invalid_text(err, s, len,
                                      "an interface name has no space, "
                                      "slash, colon, control or non-ASCII "
                                      "byte");
        }
    }

    if ((len == 1 && s[0] == '.')
        || (len == 2 && s[0] == '.' && s[1] == '.'))
    {
        return pcapx_invalid_text(err, s, len,
                                  "an interface is not named \".\" or "
                                  "\"..\"");
    }

    return PCAPX_OK;
}


int
pcapx_valid_filter(const char *s, size_t len, char *err)
{
    size_t         i;
    unsigned char  c;

    if (len > PCAPX_MAX_FILTER_LEN) {
        return pcapx_invalid(err, "the filter has %zu bytes, at most %d are "
                             "allowed", len, PCAPX_MAX_FILTER_LEN);
    }

    for (i = 0; i < len; i++) {
        c = (unsigned char) s[i];

        if ((c < ' ' && c != '\t' && c != '\n') || c == 0x7f) {
            return pcapx_invalid(err, "the filter has the control character "
                                 "0x%02x at byte %zu; only space, tab and "
                                 "newline are allowed", c, i);
        }
    }

    return PCAPX_OK;
}


int
pcapx_parse_format(const char *s, size_t len, int *out, char *err)
{
    if (len == 4 && memcmp(s, "pcap", 4) == 0) {
        *out = 0;
        return PCAPX_OK;
    }

    if (len == 6 && memcmp(s, "pcapng", 6) == 0) {
        *out = 1;
        return PCAPX_OK;
    }

    return pcapx_invalid_text(err, s, len,
                              "the format must be pcapng or pcap");
}


int
pcapx_parse_endpoint(const char *s, size_t len, uint8_t addr[16],
    uint8_t *addr_len, uint16_t *port, char *err)
{
    int       rc;
    char      sub[PCAPX_ERR_LEN];
    size_t    n;
    uint64_t  v;

    /* The last colon: inside of brackets there are others. */

    for (n = len; n > 0 && s[n - 1] != ':'; n--) { /* void */ }

    if (n == 0) {
        goto bad;
    }

    n--;

    if (n > 2 && s[0] == '[' && s[n - 1] == ']') {
        *addr_len = 16;
        rc = pcapx_parse_address(s + 1, n - 2, AF_INET6, addr);

    } else {
        *addr_len = 4;
        rc = pcapx_parse_address(s, n, AF_INET, addr);
    }

    if (rc != PCAPX_OK) {
        goto bad;
    }

    v = 0;

    if (pcapx_parse_number("port", s + n + 1, len - n - 1, 1, 65535, &v, sub)
        != PCAPX_OK)
    {
        goto bad;
    }

    *port = (uint16_t) v;

    return PCAPX_OK;

bad:

    return pcapx_invalid_text(err, s, len,
                              "must be a literal address and a port from 1 "
                              "to 65535, as in 192.0.2.1:9494 or "
                              "[2001:db8::1]:9494");
}


/* inet_pton() knows no names and no zones, but wants a NUL. */
static int
pcapx_parse_address(const char *s, size_t len, int family, uint8_t *addr)
{
    char  text[INET6_ADDRSTRLEN];

    if (len >= sizeof(text) || memchr(s, '\0', len) != NULL) {
        return PCAPX_EINVAL;
    }

    memcpy(text, s, len);
    text[len] = '\0';

    return inet_pton(family, text, addr) == 1 ? PCAPX_OK : PCAPX_EINVAL;
}


int
pcapx_valid_capture_id(const char *s, size_t len, char *err)
{
    size_t         i;
    unsigned char  c;

    if (len != PCAPX_CAPTURE_ID_LEN) {
        goto bad;
    }

    for (i = 0; i < len; i++) {
        c = (unsigned char) s[i];

        if (!pcapx_is_digit(c) && !(c >= 'a' && c <= 'f')) {
            goto bad;
        }
    }

    return PCAPX_OK;

bad:

    return pcapx_invalid_text(err, s, len,
                              "a capture id has %d lower-case hexadecimal "
                              "digits", PCAPX_CAPTURE_ID_LEN);
}


int
pcapx_valid_instance(const char *s, size_t len, char *err)
{
    size_t       n;
    const char  *slash;

    if (len == 0 || len > PCAPX_MAX_INSTANCE_LEN) {
        goto bad;
    }

    slash = memchr(s, '/', len);
    n = slash ? (size_t) (slash - s) : len;

    if (!pcapx_instance_part(s, n)
        || (slash && !pcapx_instance_part(slash + 1, len - n - 1)))
    {
        goto bad;
    }

    return PCAPX_OK;

bad:

    return pcapx_invalid_text(err, s, len,
                              "a name is NAME or GROUP/NAME, 1 to %d bytes "
                              "of letters, digits, \".\", \"_\" and \"-\"",
                              PCAPX_MAX_INSTANCE_LEN);
}


static int
pcapx_instance_part(const char *s, size_t len)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i < len; i++) {
        c = (unsigned char) s[i];

        if (!pcapx_is_alnum(c) && c != '.' && c != '_' && c != '-') {
            return 0;
        }
    }

    if (len == 0 || (len == 1 && s[0] == '.')) {
        return 0;
    }

    return !(len == 2 && s[0] == '.' && s[1] == '.');
}


int
pcapx_valid_handle(const char *s, size_t len, char *err)
{
    if (pcapx_is_token(s, len, PCAPX_MAX_HANDLE_LEN, "_-")) {
        return PCAPX_OK;
    }

    return pcapx_invalid_text(err, s, len,
                              "a container's handle has 1 to %d letters, "
                              "digits, \"_\" and \"-\", and begins with a "
                              "letter or digit", PCAPX_MAX_HANDLE_LEN);
}


int
pcapx_valid_guid(const char *s, size_t len, char *err)
{
    if (pcapx_is_token(s, len, PCAPX_MAX_GUID_LEN, "-")) {
        return PCAPX_OK;
    }

    return pcapx_invalid_text(err, s, len,
                              "a guid has 1 to %d letters, digits and "
                              "\"-\", and begins with a letter or digit",
                              PCAPX_MAX_GUID_LEN);
}


/* Letters and digits, behind the first byte also those of others. */
static int
pcapx_is_token(const char *s, size_t len, size_t max, const char *others)
{
    size_t         i;
    unsigned char  c;

    if (len == 0 || len > max) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        c = (unsigned char) s[i];

        if (!pcapx_is_alnum(c)
            && (i == 0 || c == '\0' || strchr(others, c) == NULL))
        {
            return 0;
        }
    }

    return 1;
}


int
pcapx_valid_process(const char *s, size_t len, char *err)
{
    if (len <= PCAPX_MAX_PROCESS_LEN && pcapx_instance_part(s, len)) {
        return PCAPX_OK;
    }

    return pcapx_invalid_text(err, s, len,
                              "a process type has 1 to %d letters, digits, "
                              "\".\", \"_\" and \"-\"",
                              PCAPX_MAX_PROCESS_LEN);
}


int
pcapx_valid_deployment(const char *s, size_t len, char *err)
{
    size_t         i;
    unsigned char  c;

    for (i = 0; i < len; i++) {
        c = (unsigned char) s[i];

        if (!pcapx_is_alnum(c) && c != '.' && c != '_' && c != '-'
            && c != '+')
        {
            break;
        }
    }

    if (len == 0 || i < len || len > PCAPX_MAX_DEPLOYMENT_LEN
        || (s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.'))))
    {
        return pcapx_invalid_text(err, s, len,
                                  "a deployment's name has 1 to %d letters, "
                                  "digits, \".\", \"_\", \"-\" and \"+\"",
                                  PCAPX_MAX_DEPLOYMENT_LEN);
    }

    return PCAPX_OK;
}


int
pcapx_valid_text(const char *name, const char *s, size_t len, size_t max,
    char *err)
{
    size_t    i, n;
    uint32_t  c;

    if (len > max) {
        return pcapx_invalid(err, "%s has %zu bytes, at most %zu are "
                             "allowed", name, len, max);
    }

    for (i = 0; i < len; i += n) {
        n = pcapx_utf8_char((const unsigned char *) s + i, len - i, &c);

        if (n == 0) {
            return pcapx_invalid(err, "%s is not UTF-8 at byte %zu", name,
                                 i);
        }

        if (pcapx_is_control(c)) {
            return pcapx_invalid(err, "%s has a control character at byte "
                                 "%zu", name, i);
        }
    }

    return PCAPX_OK;
}


/* C0, DEL, C1, and the line and paragraph separators. */
static int
pcapx_is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}


/*
 * The length of the character at s, or 0: RFC 3629 section 4, without
 * overlong forms and surrogates.
 */
static size_t
pcapx_utf8_char(const unsigned char *s, size_t len, uint32_t *out)
{
    size_t    i, n;
    uint32_t  c, min;

    c = s[0];

    if (c < 0x80) {
        *out = c;
        return 1;
    }

    if ((c & 0xe0) == 0xc0) {
        n = 2;
        c &= 0x1f;
        min = 0x80;

    } else if ((c & 0xf0) == 0xe0) {
        n = 3;
        c &= 0x0f;
        min = 0x800;

    } else if ((c & 0xf8) == 0xf0) {
        n = 4;
        c &= 0x07;
        min = 0x10000;

    } else {
        return 0;
    }

    if (n > len) {
        return 0;
    }

    for (i = 1; i < n; i++) {

        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }

        c = c << 6 | (s[i] & 0x3f);
    }

    if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }

    *out = c;

    return n;
}


int
pcapx_invalid(char *err, const char *fmt, ...)
{
    va_list  ap;

    va_start(ap, fmt);
    (void) vsnprintf(err, PCAPX_ERR_LEN, fmt, ap);
    va_end(ap);

    return PCAPX_EINVAL;
}


int
pcapx_invalid_text(char *err, const char *s, size_t len, const char *fmt, ...)
{
    char     shown[PCAPX_SHOWN_LEN + 1];
    int      n;
    size_t   i;
    va_list  ap;

    for (i = 0; i < len && i < PCAPX_SHOWN_LEN; i++) {
        shown[i] = s[i];

        if (s[i] < ' ' || s[i] > '~') {
            shown[i] = '?';
        }
    }

    shown[i] = '\0';

    n = snprintf(err, PCAPX_ERR_LEN, "\"%s%s\": ", shown,
                 len > i ? "..." : "");

    va_start(ap, fmt);
    (void) vsnprintf(err + n, PCAPX_ERR_LEN - (size_t) n, fmt, ap);
    va_end(ap);

    return PCAPX_EINVAL;
}
