/*
 * cli/get_unpack.c: a file that the store has compressed. It is fetched and
 * checked as it is stored, so that it can be gone on with; what the user asked
 * for by a name without ".zst" is made of it when it is whole. To a pipe it is
 * decompressed as it comes.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "get.h"
#include "text.h"


#define GET_READ_BYTES  65536
#define GET_BESIDE      ".raw"       /* FILE.raw.part, until it is FILE */


static int
get_unpack_say(get_t *g)
{
    if (*unpack_error(g->unpack) == '\0') {
        return -1;                   /* told by who did not take it */
    }

    return get_data_fail(g, unpack_error(g->unpack));
}


int
get_unpack_begin(get_t *g, const reply_t *r)
{
    char  text[320], name[200];

    if (!g->away && r->has_raw) {
        g->raw_total = r->raw;
        g->has_raw = 1;
    }

    /* another server does not say what the file is: the API has */

    g->packed = g->away ? g->has_raw : reply_is(r, "application/zstd")
                                       || unpack_is_name(r->file);

    if (g->file != NULL && !g->packed && unpack_is_name(g->file)) {
        text_clean(name, sizeof(name), g->file, strlen(g->file));
        snprintf(text, sizeof(text), "%s: the store has this capture"
                 " uncompressed; give it a name without .zst", name);
        return get_data_fail(g, text);
    }

    g->unpacks = g->packed
                 && (g->file == NULL || !unpack_is_name(g->file));

    if (!g->unpacks || g->file != NULL) {
        return 0;
    }

    /* Into a pipe: at once, and nothing begins twice there. */

    return get_unpack_open(g, get_data_pipe);
}


int
get_unpack_open(get_t *g, unpack_put_t put)
{
    unpack_free(g->unpack);
    g->unpack = unpack_new(put, g);

    if (g->unpack == NULL) {
        return get_data_fail(g, "out of memory");
    }

    if (g->has_raw) {
        unpack_expect(g->unpack, g->raw_total);
    }

    return 0;
}


int
get_unpack_put(get_t *g, const char *p, size_t len)
{
    return unpack_feed(g->unpack, p, len) == 0 ? 0 : get_unpack_say(g);
}


int
get_unpack_end(get_t *g)
{
    return unpack_end(g->unpack) == 0 ? 0 : get_unpack_say(g);
}


static int
get_unpack_to_file(void *ctx, const char *p, size_t len)
{
    get_t  *g = ctx;

    if (tick_stopped(g->tick)) {
        return -1;
    }

    return part_put(&g->raw, p, len) == 0 ? 0 : get_data_fail(g, g->raw.err);
}


/* All of g->part into g->raw, which is open. */
static int
get_unpack_all(get_t *g)
{
    int       n;
    char      buf[GET_READ_BYTES];
    uint64_t  at;

    if (part_begin(&g->raw, "") != 0) {
        return get_data_fail(g, g->raw.err);
    }

    if (get_unpack_open(g, get_unpack_to_file) != 0) {
        return -1;
    }

    for (at = 0; at < g->part.len; at += (uint64_t) n) {
        n = part_read(&g->part, buf, sizeof(buf), at);

        if (n <= 0) {
            return get_data_fail(g, n < 0 ? g->part.err
                                          : "what was fetched changes");
        }

        if (get_unpack_put(g, buf, (size_t) n) != 0) {
            return -1;
        }
    }

    if (get_unpack_end(g) != 0) {
        return -1;
    }

    return part_finish(&g->raw, g->file, g->mode) == 0
           ? 0 : get_data_fail(g, g->raw.err);
}


int
get_unpack_file(get_t *g)
{
    int     rc;
    char   *name;
    size_t  len;

    len = strlen(g->file) + sizeof(GET_BESIDE);
    name = malloc(len);

    if (name == NULL) {
        return get_data_fail(g, "out of memory");
    }

    snprintf(name, len, "%s%s", g->file, GET_BESIDE);
    rc = part_open(&g->raw, name, g->id) == 0
         ? get_unpack_all(g) : get_data_fail(g, g->raw.err);
    free(name);

    if (rc != 0) {
        part_remove(&g->raw);
        msg_error(g->msg, "%s%.300s is kept, as the store has it: the same"
                  " command goes on with it",
                  tick_stopped(g->tick) ? "interrupted; " : "", g->part.path);
        return -1;
    }

    part_remove(&g->part);

    return 0;
}
