/*
 * fuzz/cli_gob.c: any bytes as what a cf CLI sends: messages one after the
 * other, types and values. What the visitor gets lies inside of the message,
 * and its path is clean and bounded.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/gob.h"


typedef struct {
    const uint8_t  *p;
    size_t          len;
    size_t          calls;
} fuzz_message_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
visit(void *ctx, const char *path, const gob_scalar_t *v)
{
    size_t           n;
    fuzz_message_t  *m = ctx;

    n = strnlen(path, GOB_MAX_PATH);

    if (n == GOB_MAX_PATH || strstr(path, "..") != NULL) {
        abort();
    }

    if (v->p != NULL && (v->p < m->p || v->p > m->p + m->len
                         || v->len > (size_t) (m->p + m->len - v->p)))
    {
        abort();
    }

    /* Each takes a byte at least. */
    if (++m->calls > m->len) {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int              rc;
    gob_t           *g;
    size_t           head, body;
    fuzz_message_t   m;

    g = gob_new();
    rc = 0;

    while (g != NULL && rc != -1
           && gob_frame(data, size, &head, &body) == 1)
    {
        m.p = data + head;
        m.len = body;
        m.calls = 0;
        rc = gob_message(g, data + head, body, visit, &m);

        if (rc == -1 && strlen(gob_error(g)) == 0) {
            abort();
        }

        data += head + body;
        size -= head + body;
    }

    gob_free(g);

    return 0;
}
