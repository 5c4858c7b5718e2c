/*
 * module/audit_line.c: JSON of the audit log. Every text is foreign: control
 * bytes and broken UTF-8 are replaced, quotes and backslashes escaped, so that
 * nothing in it can end a string or a line. What does not fit is left out as
 * a whole, never cut in the middle of an escape.
 */

#include "module/audit.h"


/* The longest text is a filter. */
#define NGX_PCAP_API_AUDIT_TEXT  PCAPX_MAX_FILTER_LEN


static size_t
ngx_pcap_api_line_room(ngx_pcap_api_line_t *w)
{
    return w->last - w->pos;
}


/* "text", cleaned and escaped; 0: there is no room, nothing is written. */
static ngx_uint_t
ngx_pcap_api_line_string(ngx_pcap_api_line_t *w, const ngx_str_t *text,
    size_t max)
{
    size_t   i, len, escapes;
    u_char  *p;
    u_char   clean[NGX_PCAP_API_AUDIT_TEXT];

    max = ngx_min(max, sizeof(clean));
    len = ngx_pcap_api_clean_text(clean, max, text->data, text->len);
    escapes = 0;

    if (text->len > max && max >= 16) {
        /* what was cut has to look so; a character may lose its end */
        len = ngx_pcap_api_clean_text(clean, max - 3, text->data, text->len);
        ngx_memcpy(clean + len, "...", 3);
        len += 3;
    }

    for (i = 0; i < len; i++) {
        escapes += (clean[i] == '"' || clean[i] == '\\');
    }

    if (ngx_pcap_api_line_room(w) < len + escapes + 2) {
        return 0;
    }

    p = w->pos;
    *p++ = '"';

    for (i = 0; i < len; i++) {
        if (clean[i] == '"' || clean[i] == '\\') {
            *p++ = '\\';
        }

        *p++ = clean[i];
    }

    *p++ = '"';
    w->pos = p;

    return 1;
}


/* ,"name": or, as the first of an object, without the comma */
static ngx_uint_t
ngx_pcap_api_line_name(ngx_pcap_api_line_t *w, const char *name)
{
    size_t  len;

    len = ngx_strlen(name);

    if (ngx_pcap_api_line_room(w) < len + 4) {
        return 0;
    }

    if (w->pos[-1] != '{') {
        *w->pos++ = ',';
    }

    *w->pos++ = '"';
    w->pos = ngx_cpymem(w->pos, name, len);
    *w->pos++ = '"';
    *w->pos++ = ':';

    return 1;
}


void
ngx_pcap_api_line_text(ngx_pcap_api_line_t *w, const char *name,
    const ngx_str_t *text, size_t max)
{
    u_char  *start;

    start = w->pos;

    if (text->len == 0 || !ngx_pcap_api_line_name(w, name)) {
        return;
    }

    if (!ngx_pcap_api_line_string(w, text, max)) {
        w->pos = start;
    }
}


void
ngx_pcap_api_line_word(ngx_pcap_api_line_t *w, const char *name,
    const char *word)
{
    ngx_str_t  text;

    text.data = (u_char *) word;
    text.len = ngx_strlen(word);
    ngx_pcap_api_line_text(w, name, &text, 64);
}


void
ngx_pcap_api_line_number(ngx_pcap_api_line_t *w, const char *name,
    uint64_t n)
{
    if (ngx_pcap_api_line_room(w) < ngx_strlen(name) + 4 + NGX_INT64_LEN) {
        return;
    }

    (void) ngx_pcap_api_line_name(w, name);
    w->pos = ngx_sprintf(w->pos, "%uL", n);
}


void
ngx_pcap_api_line_open(ngx_pcap_api_line_t *w, const char *name,
    char bracket)
{
    /* its end has to fit as well */

    if (ngx_pcap_api_line_name(w, name)
        && ngx_pcap_api_line_room(w) >= 2)
    {
        *w->pos++ = (u_char) bracket;
    }
}


void
ngx_pcap_api_line_close(ngx_pcap_api_line_t *w, char bracket)
{
    if (ngx_pcap_api_line_room(w) >= 1) {
        *w->pos++ = (u_char) bracket;
    }
}


ngx_uint_t
ngx_pcap_api_line_item(ngx_pcap_api_line_t *w, const ngx_str_t *text,
    u_char *start, size_t max)
{
    u_char               *pos, *last;
    ngx_uint_t            ok;
    ngx_pcap_api_line_t   part;

    pos = w->pos;
    last = ngx_min(w->last - 1, start + max);

    if (last - pos < 2) {
        return 0;
    }

    part.pos = pos;
    part.last = last;

    if (pos[-1] != '[') {
        *part.pos++ = ',';
    }

    ok = ngx_pcap_api_line_string(&part, text, 128);

    if (ok) {
        w->pos = part.pos;
    }

    return ok;
}
