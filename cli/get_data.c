/*
 * cli/get_data.c: the bytes of the file, wherever they come from. Every one
 * goes through the checksum, those of an earlier try too; only what fits gets
 * the name that the user asked for.
 */

#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "get.h"
#include "text.h"


#define GET_READ_BYTES  65536
#define GET_SLICE_MS    250


int
get_data_fail(get_t *g, const char *text)
{
    msg_error(g->msg, "%s", text);
    g->over = 1;

    return -1;
}


/* A pipe, a device, standard output: nothing that could be gone on with. */
static int
get_is_piped(const char *path)
{
    struct stat  st;

    return strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0
           || (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}


static int
get_data_open_out(get_t *g, const char *path)
{
    /* Its reader writes to the terminal, too. */
    g->term.live = 0;

    return out_open(&g->out, path, OUT_NEW) == OUT_OK
           ? 0 : get_data_fail(g, g->out.err);
}


/* May the file get its name? Looked at early, not after gigabytes. */
static int
get_data_free(get_t *g)
{
    char         text[320], name[200];
    struct stat  st;

    if (lstat(g->file, &st) == -1
        || (g->mode == PART_REPLACE && S_ISREG(st.st_mode)))
    {
        return 0;
    }

    text_clean(name, sizeof(name), g->file, strlen(g->file));
    snprintf(text, sizeof(text), "cannot create %s: it %s", name,
             S_ISREG(st.st_mode) ? "exists; -F replaces it"
                                 : "is no file that could be replaced");

    return get_data_fail(g, text);
}


/* What an earlier try has left counts as if it had come now. */
static int
get_data_again(get_t *g)
{
    int       n;
    char      buf[GET_READ_BYTES];
    uint64_t  at;

    for (at = 0; at < g->part.len; at += (uint64_t) n) {
        n = part_read(&g->part, buf, sizeof(buf), at);

        if (n <= 0 || EVP_DigestUpdate(g->sum, buf, (size_t) n) != 1) {
            return get_data_fail(g, n < 0 ? g->part.err
                                     : "the part of an earlier try changes");
        }

        if (tick_stopped(g->tick)) {
            return -1;
        }
    }

    g->load.done = g->part.len;

    return 0;
}


int
get_data_open(get_t *g)
{
    char         name[sizeof("0123456789abcdef0123456789abcdef.pcapng")];
    const char  *path;

    g->part.fd = -1;
    g->raw.fd = -1;
    g->out.fd = -1;
    g->mode = opt_count(g->opt, OPT_FORCE) ? PART_REPLACE : PART_NEW;
    term_init(&g->term, g->msg);

    g->sum = EVP_MD_CTX_new();
    if (g->sum == NULL || EVP_DigestInit_ex(g->sum, EVP_sha256(), NULL) != 1)
    {
        return get_data_fail(g, "cannot compute a SHA-256");
    }

    path = opt_value(g->opt, OPT_OUTPUT);

    if (path != NULL && get_is_piped(path)) {
        return get_data_open_out(g, path);
    }

    snprintf(name, sizeof(name), "%.32s.pcapng", g->id);
    g->named = path != NULL;
    g->file = strdup(path != NULL ? path : name);

    if (g->file == NULL) {
        return get_data_fail(g, "out of memory");
    }

    g->load.name = g->file;

    if (get_data_free(g) != 0) {
        return -1;
    }

    if (part_open(&g->part, g->file, g->id) != 0) {
        return get_data_fail(g, g->part.err);
    }

    return get_data_again(g);
}


/* The id and what it is: nobody else names our files. */
static int
get_data_is_name(const get_t *g, const char *name)
{
    size_t  i, len;

    static const char *const  ends[] = {
        ".pcapng", ".pcap", ".pcapng.zst", ".pcap.zst"
    };

    len = strlen(g->id);

    if (strncmp(name, g->id, len) != 0) {
        return 0;
    }

    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (strcmp(name + len, ends[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


/* The server knows whether it is pcapng or pcap. */
static int
get_data_rename(get_t *g, const reply_t *r)
{
    char  *name;

    if (g->named || g->file == NULL || !get_data_is_name(g, r->file)
        || strcmp(r->file, g->file) == 0)
    {
        return 0;
    }

    name = strdup(r->file);
    if (name == NULL) {
        return get_data_fail(g, "out of memory");
    }

    free(g->file);
    g->file = name;
    g->load.name = name;

    return get_data_free(g);
}


/* The rest of what is here: the last byte of that comes once more. */
static int
get_data_begin_rest(get_t *g, const reply_t *r)
{
    if (!g->ranged || !r->has_range || r->range_first != g->part.len - 1
        || (*r->etag != '\0' && strcmp(r->etag, g->part.etag) != 0)
        || (g->has_total && r->range_total != g->total))
    {
        return get_data_fail(g, "the server sends another part of the file"
                             " than it was asked for");
    }

    g->skip = 1;
    g->total = r->range_total;
    g->has_total = 1;

    return 0;
}


static int
get_data_begin_all(get_t *g, const reply_t *r)
{
    if (g->file != NULL && part_begin(&g->part, r->etag) != 0) {
        return get_data_fail(g, g->part.err);
    }

    if (EVP_DigestInit_ex(g->sum, EVP_sha256(), NULL) != 1) {
        return get_data_fail(g, "cannot compute a SHA-256");
    }

    g->skip = 0;
    g->total = r->length;
    g->has_total = r->has_length;
    g->load.done = 0;

    return 0;
}


int
get_data_begin(get_t *g, const reply_t *r)
{
    int  rc;

    rc = get_data_rename(g, r);

    if (rc == 0) {
        rc = get_unpack_begin(g, r);
    }

    if (rc == 0) {
        rc = r->status == 206 ? get_data_begin_rest(g, r)
                              : get_data_begin_all(g, r);
    }

    if (rc != 0) {
        return -1;
    }

    /* what the API has said of it nobody else may say anew */

    if (!g->away && r->has_lost) {
        g->lost = r->lost;
        g->has_lost = 1;
    }

    if (!g->away && *r->sha256 != '\0') {
        memcpy(g->sha256, r->sha256, sizeof(g->sha256));
    }

    g->load.total = g->has_total ? g->total : 0;
    g->taking = 1;
    g->begun = 1;

    return 0;
}


/* A slow reader is waited for here; Ctrl-C ends that. */
static int
get_data_flush(get_t *g, size_t pending)
{
    out_result_t   rc;
    struct pollfd  pfd;

    for ( ;; ) {
        rc = out_flush(&g->out);

        if (rc == OUT_OK
            || (rc == OUT_AGAIN && out_pending(&g->out) <= pending))
        {
            return 0;
        }

        if (rc == OUT_CLOSED) {
            msg_debug(g->msg, "* the reader of the output has left");
            out_drop(&g->out);
            g->left = 1;
            g->over = 1;
            return -1;
        }

        if (rc != OUT_AGAIN) {
            return get_data_fail(g, g->out.err);
        }

        if (tick_stopped(g->tick)) {
            return -1;
        }

        pfd.fd = g->out.fd;
        pfd.events = POLLOUT;
        (void) poll(&pfd, 1, GET_SLICE_MS);
    }
}


int
get_data_pipe(void *ctx, const char *p, size_t len)
{
    get_t         *g = ctx;
    out_result_t   rc;

    rc = out_put(&g->out, (const uint8_t *) p, len);

    if (rc == OUT_FAILED) {
        return get_data_fail(g, g->out.err);
    }

    return rc == OUT_OK ? 0 : get_data_flush(g, OUT_HIGH_WATER);
}


static int
get_data_write(get_t *g, const char *p, size_t len)
{
    if (g->file != NULL) {
        return part_put(&g->part, p, len) == 0
               ? 0 : get_data_fail(g, g->part.err);
    }

    return g->unpacks ? get_unpack_put(g, p, len) : get_data_pipe(g, p, len);
}


int
get_data_put(get_t *g, const char *p, size_t len)
{
    if (g->skip && len > 0) {
        g->skip = 0;
        p++;
        len--;
    }

    if (len == 0) {
        return 0;
    }

    if (g->has_total && len > g->total - g->load.done) {
        return get_data_fail(g, "the server sends more than it has announced");
    }

    if (EVP_DigestUpdate(g->sum, p, len) != 1) {
        return get_data_fail(g, "cannot compute a SHA-256");
    }

    if (get_data_write(g, p, len) != 0) {
        return -1;
    }

    g->load.done += len;
    g->load.came += len;
    g->tries = 0;
    g->renewed = 0;

    return 0;
}


/* Is it what the API says? */
static int
get_data_check(get_t *g)
{
    char           hex[2 * EVP_MAX_MD_SIZE + 1], text[400];
    unsigned       i, len;
    unsigned char  md[EVP_MAX_MD_SIZE];

    len = 0;

    if (EVP_DigestFinal_ex(g->sum, md, &len) != 1) {
        return get_data_fail(g, "cannot compute a SHA-256");
    }

    for (i = 0; i < len; i++) {
        snprintf(hex + 2 * i, 3, "%02x", md[i]);
    }

    if (*g->sha256 == '\0') {
        msg_error(g->msg, "the API names no checksum: the file was not"
                  " verified");
        memcpy(g->sha256, hex, sizeof(g->sha256));
        return 0;
    }

    if (strcmp(hex, g->sha256) == 0) {
        return 0;
    }

    snprintf(text, sizeof(text), "wrong checksum: what came has the SHA-256"
             " %.64s, the API says %.64s; %s", hex, g->sha256,
             g->file != NULL ? "it was removed" : "do not use what was"
                               " written");

    return get_data_fail(g, text);
}


static void
get_data_json(const get_t *g)
{
    FILE    *f;
    char     name[512];
    json_t  *doc;

    name[0] = '\0';

    if (g->file != NULL) {
        text_clean(name, sizeof(name), g->file, strlen(g->file));
    }

    doc = json_pack("{s:i, s:i, s:s, s:s?, s:I, s:s, s:o*}",
                    "exit_code", 0, "http_status", 200, "capture_id", g->id,
                    "file", *name != '\0' ? name : NULL,
                    "bytes", (json_int_t) g->load.done,
                    "sha256", g->sha256, "uncompressed_bytes", g->unpacks
                    ? json_integer((json_int_t) unpack_bytes(g->unpack))
                    : NULL);

    /* Standard output may be the file. */
    f = g->file == NULL ? stderr : stdout;
    json_dumpf(doc, f, JSON_ENSURE_ASCII|JSON_COMPACT);
    fprintf(f, "\n");
    fflush(f);
    json_decref(doc);
}


/* What is checked becomes what the user wants. 0, or -1, told. */
static int
get_data_name(get_t *g)
{
    if (g->file == NULL) {
        if (g->unpacks && get_unpack_end(g) != 0) {
            return -1;
        }

        return out_close(&g->out) == OUT_OK
               ? 0 : get_data_fail(g, g->out.err);
    }

    if (g->unpacks) {
        return get_unpack_file(g);
    }

    return part_finish(&g->part, g->file, g->mode) == 0
           ? 0 : get_data_fail(g, g->part.err);
}


static void
get_data_tell(const get_t *g)
{
    char         bytes[16], raw[16];
    const char  *name;

    text_bytes(bytes, g->load.done);
    name = g->file != NULL ? g->file : "standard output";

    if (!g->unpacks) {
        msg_note(g->msg, "%.400s: %s, SHA-256 %s", name, bytes, g->sha256);
        return;
    }

    text_bytes(raw, unpack_bytes(g->unpack));
    msg_note(g->msg, "%.400s: %s, decompressed from %s, SHA-256 %s", name,
             raw, bytes, g->sha256);
}


cli_exit_t
get_data_end(get_t *g)
{
    if (g->file == NULL && get_data_flush(g, 0) != 0) {
        return g->left ? CLI_OK : CLI_FAILED;
    }

    if (get_data_check(g) != 0) {
        part_remove(&g->part);
        return CLI_FAILED;
    }

    if (get_data_name(g) != 0) {
        return CLI_FAILED;
    }

    get_data_tell(g);

    if (opt_count(g->opt, OPT_JSON)) {
        get_data_json(g);
    }

    return CLI_OK;
}


void
get_data_close(get_t *g)
{
    msg_wipe(g->msg);
    part_close(&g->part);
    part_close(&g->raw);
    unpack_free(g->unpack);
    g->unpack = NULL;
    out_drop(&g->out);
    (void) out_close(&g->out);
    EVP_MD_CTX_free(g->sum);
    free(g->file);
    g->file = NULL;
}
