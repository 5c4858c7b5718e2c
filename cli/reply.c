/*
 * cli/reply.c: reads header lines of a peer that is not trusted. What does
 * not look as the contract says is left out, as if it had not been sent.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"
#include "pcapx/valid.h"
#include "reply.h"
#include "text.h"
#include "wipe.h"


/* A presigned URL with a session token has about 2 kB. */
#define REPLY_MAX_REDIRECT  8192


void
reply_init(reply_t *r)
{
    memset(r, 0, sizeof(reply_t));
}


void
reply_free(reply_t *r)
{
    free(r->body);
    wipe_free(r->redirect);
    memset(r, 0, sizeof(reply_t));
}


/* "HTTP/1.1 200 OK", "HTTP/2 200". */
static void
reply_status_line(reply_t *r, const char *line, size_t len)
{
    long         v;
    const char  *p;

    reply_free(r);
    r->in_head = 1;

    p = memchr(line, ' ', len);
    if (p == NULL || len - (size_t) (p - line) < 4) {
        return;
    }

    for (v = 0, p++; p < line + len && *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (*p - '0');

        if (v > 999) {
            return;
        }
    }

    r->status = v;
}


static void
reply_type(reply_t *r, const char *s, size_t len)
{
    char   *p;
    size_t  n;

    for (n = 0; n < len && s[n] != ';' && s[n] != ' '; n++) { /* void */ }

    text_clean(r->type, sizeof(r->type), s, n);

    for (p = r->type; *p != '\0'; p++) {
        if (*p >= 'A' && *p <= 'Z') {
            *p = (char) (*p | 0x20);
        }
    }
}


/* RFC 9110 8.8.3; a weak one says nothing about bytes. */
static void
reply_etag(reply_t *r, const char *s, size_t len)
{
    size_t  i;

    if (len < 2 || len >= sizeof(r->etag) || s[0] != '"'
        || s[len - 1] != '"')
    {
        return;
    }

    for (i = 1; i < len - 1; i++) {
        if (s[i] <= ' ' || s[i] > '~' || s[i] == '"') {
            return;
        }
    }

    memcpy(r->etag, s, len);
    r->etag[len] = '\0';
}


void
reply_sha256(char dst[REPLY_SHA256_LEN + 1], const char *s, size_t len)
{
    char    c;
    size_t  i;

    dst[0] = '\0';

    if (len != REPLY_SHA256_LEN) {
        return;
    }

    for (i = 0; i < len; i++) {
        c = s[i] >= 'A' && s[i] <= 'F' ? (char) (s[i] | 0x20) : s[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            dst[0] = '\0';
            return;
        }

        dst[i] = c;
    }

    dst[len] = '\0';
}


/* "bytes FIRST-LAST/TOTAL" (RFC 9110 14.4); other forms are not asked for. */
static void
reply_range(reply_t *r, const char *s, size_t len)
{
    uint64_t     last;
    const char  *dash, *slash, *end;

    end = s + len;
    dash = memchr(s, '-', len);
    slash = memchr(s, '/', len);

    if (!text_has_prefix(s, len, "bytes ") || dash == NULL || slash == NULL
        || dash > slash)
    {
        return;
    }

    s += sizeof("bytes ") - 1;

    r->has_range = text_number(s, (size_t) (dash - s), &r->range_first) == 0
                   && text_number(dash + 1, (size_t) (slash - dash) - 1,
                                  &last) == 0
                   && text_number(slash + 1, (size_t) (end - slash) - 1,
                                  &r->range_total) == 0
                   && r->range_first <= last && last < r->range_total;
}


/* Only a name that can do no harm as a file's. */
static void
reply_file(reply_t *r, const char *s, size_t len)
{
    size_t       n;
    const char  *p, *end;

    static const char  name[] = "filename=\"";

    p = memmem(s, len, name, sizeof(name) - 1);
    if (p == NULL) {
        return;
    }

    p += sizeof(name) - 1;
    end = memchr(p, '"', len - (size_t) (p - s));
    n = end != NULL ? (size_t) (end - p) : 0;

    if (name_is_harmless(p, n)) {
        memcpy(r->file, p, n);
        r->file[n] = '\0';
    }
}


static void
reply_redirect(reply_t *r, const char *s, size_t len)
{
    size_t  i;

    text_clean(r->location, sizeof(r->location), s, len);
    wipe_free(r->redirect);
    r->redirect = NULL;

    for (i = 0; i < len; i++) {
        if (s[i] <= ' ' || s[i] > '~') {
            return;
        }
    }

    if (len <= REPLY_MAX_REDIRECT) {
        r->redirect = strndup(s, len);
    }
}


static int
reply_is_field(const char *name, size_t len, const char *field)
{
    return strlen(field) == len && strncasecmp(name, field, len) == 0;
}


/* What is said of a file. */
static void
reply_file_value(reply_t *r, const char *name, size_t name_len,
    const char *s, size_t len)
{
    if (reply_is_field(name, name_len, "content-length")) {
        r->has_length = text_number(s, len, &r->length) == 0;

    } else if (reply_is_field(name, name_len, "content-range")) {
        reply_range(r, s, len);

    } else if (reply_is_field(name, name_len, "etag")) {
        reply_etag(r, s, len);

    } else if (reply_is_field(name, name_len, "x-pcap-sha256")) {
        reply_sha256(r->sha256, s, len);

    } else if (reply_is_field(name, name_len, "x-pcap-uncompressed-bytes")) {
        r->has_raw = text_number(s, len, &r->raw) == 0;

    } else if (reply_is_field(name, name_len, "x-pcap-lost")) {
        r->has_lost = text_number(s, len, &r->lost) == 0;

    } else if (reply_is_field(name, name_len, "content-disposition")) {
        reply_file(r, s, len);

    } else if (reply_is_field(name, name_len, "location")) {
        reply_redirect(r, s, len);
    }
}


static void
reply_head_value(reply_t *r, const char *name, size_t name_len,
    const char *s, size_t len)
{
    char    err[PCAPX_ERR_LEN];
    size_t  i;

    if (name_len == 12 && strncasecmp(name, "content-type", 12) == 0) {
        reply_type(r, s, len);
        return;
    }

    if (name_len == 17 && strncasecmp(name, "x-pcap-capture-id", 17) == 0) {
        if (pcapx_valid_capture_id(s, len, err) == PCAPX_OK
            && len < sizeof(r->capture_id))
        {
            memcpy(r->capture_id, s, len);
            r->capture_id[len] = '\0';
        }

        return;
    }

    if (name_len == 17 && strncasecmp(name, "x-vcap-request-id", 17) == 0) {
        for (i = 0; i < len; i++) {
            if (strchr("0123456789abcdefABCDEF-", s[i]) == NULL) {
                return;
            }
        }

        text_clean(r->request_id, sizeof(r->request_id), s, len);
        return;
    }

    /* RFC 9110 10.2.3; a date would be that of another clock. */
    if (name_len == 11 && strncasecmp(name, "retry-after", 11) == 0) {
        r->has_retry_after = text_number(s, len, &r->retry_after_s) == 0;
        return;
    }

    reply_file_value(r, name, name_len, s, len);
}


static void
reply_trailer_value(reply_t *r, const char *name, size_t name_len,
    const char *s, size_t len)
{
    if (name_len == 13 && strncasecmp(name, "x-pcap-status", 13) == 0) {
        r->trailers.status = status_parse(s, len);
        return;
    }

    if (name_len == 14 && strncasecmp(name, "x-pcap-packets", 14) == 0
        && text_number(s, len, &r->trailers.packets) == 0)
    {
        r->trailers.present |= STATUS_HAS_PACKETS;
        return;
    }

    if (name_len == 14 && strncasecmp(name, "x-pcap-dropped", 14) == 0
        && text_number(s, len, &r->trailers.dropped) == 0)
    {
        r->trailers.present |= STATUS_HAS_DROPPED;
    }
}


void
reply_header(reply_t *r, const char *line, size_t len)
{
    const char  *colon, *s, *end;

    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) {
        len--;
    }

    if (text_has_prefix(line, len, "HTTP/")) {
        reply_status_line(r, line, len);
        return;
    }

    if (len == 0) {
        /* An interim answer is followed by another head. */
        r->got_head = r->status >= 200;
        r->in_head = 0;
        return;
    }

    colon = memchr(line, ':', len);
    if (colon == NULL) {
        return;
    }

    end = line + len;

    for (s = colon + 1; s < end && (*s == ' ' || *s == '\t'); s++) {
        /* void */
    }

    while (end > s && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }

    if (r->in_head) {
        reply_head_value(r, line, (size_t) (colon - line), s,
                         (size_t) (end - s));

    } else if (r->got_head) {
        reply_trailer_value(r, line, (size_t) (colon - line), s,
                            (size_t) (end - s));
    }
}


int
reply_body(reply_t *r, const char *p, size_t len)
{
    char  *more;

    if (len > CLI_MAX_REPLY_BYTES - r->body_len) {
        return -1;
    }

    more = realloc(r->body, r->body_len + len + 1);
    if (more == NULL) {
        return -1;
    }

    memcpy(more + r->body_len, p, len);
    r->body = more;
    r->body_len += len;

    return 0;
}


int
reply_is(const reply_t *r, const char *media_type)
{
    return strcmp(r->type, media_type) == 0;
}
