/*
 * fuzz/fuzz_scgi.c: any bytes as the request that pcap-store gets. They come
 * byte for byte and all at once, which must be the same; what is taken lies
 * in the input and keeps to the limits that the rest relies on.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/scgi.h"
#include "fuzz/require.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
judge_text(const char *s, const char *buf, size_t size)
{
    if (*s == '\0') {
        return;
    }

    require(s > buf && s < buf + size);
    require(memchr(s, '\0', size - (size_t) (s - buf)) != NULL);
}


static void
judge(const scgi_t *req, const char *buf, size_t size)
{
    size_t  i;

    require(size <= SCGI_MAX);
    judge_text(req->method, buf, size);
    judge_text(req->uri, buf, size);
    judge_text(req->body, buf, size);

    require(strlen(req->method) >= 1 && strlen(req->method) <= 16);
    require(req->uri[0] == '/' && strlen(req->uri) <= 1024);

    for (i = 0; req->uri[i]; i++) {
        require(req->uri[i] > 0x20 && req->uri[i] < 0x7f);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int      rc, part;
    char    *copy;
    size_t   i, step;
    scgi_t   req;

    /* of exactly the right size, so that a sanitizer sees all */

    copy = malloc(size ? size : 1);
    if (copy == NULL) {
        return 0;
    }

    memcpy(copy, data, size);
    rc = scgi_parse(&req, copy, size);

    if (rc == 1) {
        judge(&req, copy, size);

    } else if (rc == -1) {
        require(req.err != NULL && req.err[0]);
        require(req.status == 400 || req.status == 413);

    } else {
        require(size < SCGI_MAX);
    }

    step = size / 64 + 1;

    for (i = 0; i < size; i += step) {
        part = scgi_parse(&req, copy, i);
        require(part == 0 || (part == -1 && rc == -1)
                || (part == 1 && rc == -1));
    }

    free(copy);

    return 0;
}
