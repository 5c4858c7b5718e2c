/*
 * cli/audit_check.c: the chain of an audit log. Files are merged by number,
 * because for a moment after a rotation some workers still write to the old
 * file. A line whose code is wrong is reported and takes no part in that:
 * its number is worth nothing.
 */

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "audit_check.h"
#include "pcapx/pcapx.h"


typedef struct {
    const audit_rules_t  *rules;
    audit_result_t       *res;
    int                   head_seen;
} check_t;


static void __attribute__((format(printf, 2, 3)))
check_found(check_t *c, const char *fmt, ...)
{
    char     text[512];
    va_list  ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    c->res->findings++;
    c->rules->found(c->rules->data, text);
}


/* 1: the code is the one that this key makes, or there is no key. */
static int
check_code(check_t *c, const pcapx_audit_line_t *line)
{
    char           hex[PCAPX_AUDIT_MAC_LEN + 1];
    size_t         i;
    unsigned       n;
    unsigned char  mac[EVP_MAX_MD_SIZE];

    if (c->rules->key == NULL) {
        return 1;
    }

    n = 0;

    if (HMAC(EVP_sha256(), c->rules->key, (int) c->rules->key_len,
             (const unsigned char *) line->body, line->body_len, mac, &n)
        == NULL
        || n != PCAPX_AUDIT_MAC_LEN / 2)
    {
        return 0;
    }

    for (i = 0; i < n; i++) {
        snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    }

    return CRYPTO_memcmp(hex, line->mac, PCAPX_AUDIT_MAC_LEN) == 0;
}


/* Of whatever stands in one line. */
static void
check_line(check_t *c, audit_source_t *s, const char *p, size_t len)
{
    pcapx_audit_line_t  line;

    s->line++;

    if (pcapx_audit_parse(p, len, &line) != PCAPX_OK) {
        s->changed++;
        check_found(c, "%.200s:%" PRIu64 ": this is no line of an audit log",
                    s->name, s->line);
        return;
    }

    if (!check_code(c, &line)) {
        s->changed++;
        c->res->foreign++;
        check_found(c, "%.200s:%" PRIu64 ": line %" PRIu64 " was changed: its"
                    " code is wrong", s->name, s->line, line.seq);
        return;
    }

    s->has = 1;
    s->seq = line.seq;
    memcpy(s->prev, line.prev, PCAPX_AUDIT_MAC_LEN);
    memcpy(s->mac, line.mac, PCAPX_AUDIT_MAC_LEN);
    s->prev[PCAPX_AUDIT_MAC_LEN] = '\0';
    s->mac[PCAPX_AUDIT_MAC_LEN] = '\0';
}


/* Skips the rest of a line that is longer than the buffer. */
static int
check_too_long(check_t *c, audit_source_t *s)
{
    int  ch;

    s->line++;
    s->changed++;
    s->start = 0;
    s->end = 0;
    check_found(c, "%.200s:%" PRIu64 ": this is too long for a line of an"
                " audit log", s->name, s->line);

    do {
        ch = getc(s->f);
    } while (ch != EOF && ch != '\n');

    return ch == EOF && ferror(s->f) ? -1 : 0;
}


/* Goes on to the next line that counts; -1 with errno. s->has: there is one. */
static int
check_next(check_t *c, audit_source_t *s)
{
    char    *nl;
    size_t   n;

    s->has = 0;

    while (!s->has) {
        nl = memchr(s->buf + s->start, '\n', s->end - s->start);

        if (nl != NULL) {
            n = (size_t) (nl - (s->buf + s->start));
            s->start += n + 1;
            check_line(c, s, nl - n, n);
            continue;
        }

        memmove(s->buf, s->buf + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;

        if (s->end == AUDIT_BUFFER) {
            if (check_too_long(c, s) != 0) {
                return -1;
            }

            continue;
        }

        n = fread(s->buf + s->end, 1, AUDIT_BUFFER - s->end, s->f);
        s->end += n;

        if (n != 0) {
            continue;
        }

        if (ferror(s->f)) {
            return -1;
        }

        if (s->end != 0) {
            check_found(c, "%.200s:%" PRIu64 ": the file ends in the middle"
                        " of a line", s->name, s->line + 1);
            s->end = 0;
        }

        break;
    }

    return 0;
}


/* The chain's first line: all that there is to compare it with. */
static void
check_first(check_t *c, const audit_source_t *s)
{
    const audit_mark_t  *first = &c->rules->first;

    c->res->first_seq = s->seq;
    memcpy(c->res->first_prev, s->prev, sizeof(s->prev));

    if (s->seq == 1 && strspn(s->prev, "0") != PCAPX_AUDIT_MAC_LEN) {
        check_found(c, "%.200s:%" PRIu64 ": line 1 follows from another line",
                    s->name, s->line);
    }

    if (first->seq == 0) {
        return;
    }

    /* its own mark, or that of the last line that was deleted */

    if (!(s->seq == first->seq && strcmp(s->mac, first->mac) == 0)
        && !(s->seq - 1 == first->seq && strcmp(s->prev, first->mac) == 0))
    {
        check_found(c, "%.200s:%" PRIu64 ": the chain begins with line %"
                    PRIu64 ", which is not the one that --first names (%"
                    PRIu64 ") nor follows from it", s->name, s->line, s->seq,
                    first->seq);
    }
}


/* A gap in front of the line of s. */
static void
check_gap(check_t *c, const audit_source_t *s)
{
    uint64_t  from, missing;

    from = c->res->last.seq + 1;
    missing = s->seq - from;

    if (missing <= s->changed) {
        return;                /* they are there, but were changed */
    }

    if (missing == 1) {
        check_found(c, "%.200s:%" PRIu64 ": line %" PRIu64 " is missing in"
                    " front of line %" PRIu64, s->name, s->line, from,
                    s->seq);
        return;
    }

    check_found(c, "%.200s:%" PRIu64 ": lines %" PRIu64 " to %" PRIu64
                " are missing in front of line %" PRIu64 "%s", s->name,
                s->line, from, s->seq - 1, s->seq,
                s->changed ? ", or were changed" : "");
}


/* 1: the line of s is the chain's next one that is known. */
static int
check_follows(check_t *c, const audit_source_t *s)
{
    const audit_mark_t  *last = &c->res->last;

    if (last->seq == 0) {
        check_first(c, s);
        return 1;
    }

    if (s->seq == last->seq) {
        check_found(c, "%.200s:%" PRIu64 ": line %" PRIu64 " %s", s->name,
                    s->line, s->seq, strcmp(s->mac, last->mac) == 0
                    ? "is there twice"
                    : "is there twice, and these are two different ones");
        return 0;
    }

    if (s->seq < last->seq) {
        check_found(c, "%.200s:%" PRIu64 ": line %" PRIu64 " was moved, or is"
                    " there twice: it stands behind line %" PRIu64, s->name,
                    s->line, s->seq, last->seq);
        return 0;
    }

    if (s->seq > last->seq + 1) {
        check_gap(c, s);

    } else if (strcmp(s->prev, last->mac) != 0) {
        check_found(c, "%.200s:%" PRIu64 ": line %" PRIu64 " does not follow"
                    " from line %" PRIu64 ": one of them was changed, or is"
                    " of another chain", s->name, s->line, s->seq, last->seq);
    }

    return 1;
}


static void
check_head(check_t *c, const audit_source_t *s)
{
    if (s->seq != c->rules->head.seq || c->head_seen) {
        return;
    }

    c->head_seen = 1;

    if (strcmp(s->mac, c->rules->head.mac) != 0) {
        check_found(c, "%.200s:%" PRIu64 ": line %" PRIu64 " is not the one"
                    " that --head names", s->name, s->line, s->seq);
    }
}


static void
check_end(check_t *c)
{
    const audit_mark_t  *last = &c->res->last, *head = &c->rules->head;

    if (last->seq == 0 && c->res->foreign == 0) {
        check_found(c, "there is not one line of an audit log");
    }

    if (head->seq == 0 || c->head_seen) {
        return;
    }

    if (last->seq < head->seq) {
        check_found(c, "the log ends with line %" PRIu64 ", but --head names"
                    " line %" PRIu64 ": its tail was cut", last->seq,
                    head->seq);
        return;
    }

    check_found(c, "line %" PRIu64 ", which --head names, is not there",
                head->seq);
}


/* The one with the lowest number; NULL: all are at their end. */
static audit_source_t *
check_lowest(audit_source_t *files, size_t n)
{
    size_t           i;
    audit_source_t  *best;

    best = NULL;

    for (i = 0; i < n; i++) {
        if (files[i].has && (best == NULL || files[i].seq < best->seq)) {
            best = &files[i];
        }
    }

    return best;
}


/* Reads the first bytes, which stay in the buffer; -1 with errno. */
static int
check_begin(audit_source_t *s)
{
    static const unsigned char  gzip[2] = { 0x1f, 0x8b };    /* RFC 1952 */

    s->buf = malloc(AUDIT_BUFFER);
    if (s->buf == NULL) {
        return -1;
    }

    s->end = fread(s->buf, 1, sizeof(PCAPX_AUDIT_STATE) - 1, s->f);

    if (ferror(s->f)) {
        return -1;
    }

    if (s->end >= sizeof(gzip) && memcmp(s->buf, gzip, sizeof(gzip)) == 0) {
        s->kind = AUDIT_GZIP;
        errno = EBADMSG;
        return -1;
    }

    if (s->end == sizeof(PCAPX_AUDIT_STATE) - 1
        && memcmp(s->buf, PCAPX_AUDIT_STATE, s->end) == 0)
    {
        s->kind = AUDIT_STATE;
    }

    return 0;
}


static int
check_all(check_t *c, audit_source_t *files, size_t n)
{
    size_t           i;
    audit_source_t  *s;

    for (i = 0; i < n; i++) {
        if (check_begin(&files[i]) != 0) {
            return -1;
        }
    }

    for (i = 0; i < n; i++) {
        if (files[i].kind == AUDIT_LOG && check_next(c, &files[i]) != 0) {
            return -1;
        }
    }

    for ( ;; ) {
        s = check_lowest(files, n);
        if (s == NULL) {
            break;
        }

        check_head(c, s);

        if (check_follows(c, s)) {
            c->res->last.seq = s->seq;
            memcpy(c->res->last.mac, s->mac, sizeof(s->mac));
        }

        c->res->lines++;
        s->changed = 0;

        if (check_next(c, s) != 0) {
            return -1;
        }
    }

    check_end(c);

    return 0;
}


int
audit_check(audit_source_t *files, size_t n, const audit_rules_t *rules,
    audit_result_t *res)
{
    int      rc, err;
    size_t   i;
    check_t  c = { rules, res, 0 };

    memset(res, 0, sizeof(audit_result_t));

    for (i = 0; i < n; i++) {
        files[i].kind = AUDIT_LOG;
        files[i].buf = NULL;
        files[i].start = files[i].end = 0;
        files[i].line = files[i].changed = 0;
        files[i].has = 0;
    }

    rc = check_all(&c, files, n);
    err = errno;

    for (i = 0; i < n; i++) {
        free(files[i].buf);
        files[i].buf = NULL;
    }

    errno = err;

    return rc;
}
