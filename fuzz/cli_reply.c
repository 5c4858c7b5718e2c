/*
 * fuzz/cli_reply.c: any bytes as the lines of an HTTP answer's head, trailers
 * and problem document. What is kept of them goes to a terminal: it must be
 * clean text that ends.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/reply.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
clean(const char *s, size_t max)
{
    size_t       i;
    const char  *end;

    end = memchr(s, '\0', max);

    if (end == NULL) {
        abort();
    }

    for (i = 0; s + i < end; i++) {
        if ((unsigned char) s[i] < 0x20 || s[i] == 0x7f) {
            abort();
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t          len;
    reply_t         r;
    const uint8_t  *p, *end, *nl;

    reply_init(&r);
    end = data + size;

    for (p = data; p < end; p += len) {
        nl = memchr(p, '\n', (size_t) (end - p));
        len = nl ? (size_t) (nl - p) + 1 : (size_t) (end - p);
        reply_header(&r, (const char *) p, len);
    }

    (void) reply_body(&r, (const char *) data, size);

    clean(r.type, sizeof(r.type));
    clean(r.capture_id, sizeof(r.capture_id));
    clean(r.request_id, sizeof(r.request_id));
    clean(r.location, sizeof(r.location));

    if (r.capture_id[0] && strlen(r.capture_id) != 32) {
        abort();
    }

    reply_free(&r);

    return 0;
}
