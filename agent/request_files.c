/*
 * agent/request_files.c: paths of files. They are cut at "/" as they are
 * written and decoded afterwards, part by part: what is encoded never makes
 * another part, and each has to be a name.
 */

#include <stddef.h>
#include <string.h>

#include "files_name.h"
#include "request_int.h"


#define REQUEST_PARTS  3

typedef struct {
    const char   *what;
    size_t        max;
    size_t        offset;       /* in request_t */
} request_part_t;


static int request_part(char *part, const request_part_t *p, request_t *req,
    problem_t *why);
static int request_decode(char *s, size_t *len);
static int request_hex(char c);


static const request_part_t  request_parts[REQUEST_PARTS] = {
    { "namespace", FILES_NAME_LEN, offsetof(request_t, ns) },
    { "name", FILES_NAME_LEN, offsetof(request_t, name) },
    { "file", FILES_FILE_LEN, offsetof(request_t, file) },
};


int
request_files(const char *method, char *path, request_t *req, problem_t *why)
{
    char      *next;
    unsigned   n;

    for (n = 0; path; n++, path = next) {
        if (n == REQUEST_PARTS) {
            return problem_set(why, 400, "files: a path has NAMESPACE/NAME "
                               "or NAMESPACE/NAME/FILE, and no more");
        }

        next = strchr(path, '/');

        if (next) {
            *next++ = '\0';
        }

        if (request_part(path, &request_parts[n], req, why) != 0) {
            return -1;
        }
    }

    if (n < 2) {
        return problem_set(why, 400, "files: a path has NAMESPACE/NAME or "
                           "NAMESPACE/NAME/FILE");
    }

    req->kind = n == 2 ? REQUEST_FILES : REQUEST_FILE;

    if (n == REQUEST_PARTS && strcmp(method, "DELETE") == 0) {
        req->kind = REQUEST_REMOVE;

    } else if (strcmp(method, "GET") != 0) {
        return problem_set(why, 405, n == 2 ? "GET is the only method"
                           : "GET and DELETE are the only methods");
    }

    return 0;
}


static int
request_part(char *part, const request_part_t *p, request_t *req,
    problem_t *why)
{
    size_t       len;
    const char  *wrong;

    if (request_decode(part, &len) != 0) {
        return problem_set(why, 400, "files: the %s has a \"%%\" without two "
                           "hexadecimal digits", p->what);
    }

    wrong = files_wrong(part, len, p->max);

    if (wrong) {
        return problem_set(why, 400, "files: the %s %s", p->what, wrong);
    }

    memcpy((char *) req + p->offset, part, len);
    ((char *) req)[p->offset + len] = '\0';

    return 0;
}


/* A NUL may come out of it: *len counts. */

static int
request_decode(char *s, size_t *len)
{
    int    hi, lo;
    char  *dst, *start;

    start = s;

    for (dst = s; *s; s++) {
        if (*s != '%') {
            *dst++ = *s;
            continue;
        }

        hi = request_hex(s[1]);
        lo = hi < 0 ? -1 : request_hex(s[2]);

        if (lo < 0) {
            return -1;
        }

        *dst++ = (char) (hi << 4 | lo);
        s += 2;
    }

    *len = (size_t) (dst - start);

    return 0;
}


static int
request_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
