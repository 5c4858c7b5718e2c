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


void
reply_init(reply_t *r)
{
    memset(r, 0, sizeof(reply_t));
}


void
reply_free(reply_t *r)
{
    free(r->body);
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

    if (name_len == 8 && strncasecmp(name, "location", 8) == 0) {
        text_clean(r->location, sizeof(r->location), s, len);
    }
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
