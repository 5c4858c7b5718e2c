/*
 * fuzz/ngx/core.c: see core.h. What is called of the rest of nginx, and means
 * nothing here. All else that only code without a caller needs becomes a
 * function that aborts (fuzz/absent.c in the build folder, by the Makefile).
 */

#include "fuzz/ngx/core.h"


static ngx_time_t     fuzz_now = { FUZZ_NGX_NOW, 0, 0 };

volatile ngx_time_t  *ngx_cached_time = &fuzz_now;


/* A log that takes no line: nothing here is about what it would say. */
void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    (void) level;
    (void) log;
    (void) err;
    (void) fmt;
}


/* Forms come in memory here. */
ssize_t
ngx_read_file(ngx_file_t *file, u_char *buf, size_t size, off_t offset)
{
    (void) file;
    (void) buf;
    (void) size;
    (void) offset;

    abort();
}


void
fuzz_ngx_begin(fuzz_ngx_t *f)
{
    ngx_memzero(f, sizeof(fuzz_ngx_t));

    f->connection.log = &f->log;
    f->request.connection = &f->connection;
    f->request.method = NGX_HTTP_GET;
    ngx_pagesize = 4096;
    ngx_cacheline_size = 64;
    f->request.pool = ngx_create_pool(1024, &f->log);
    fuzz_require(f->request.pool != NULL);

    f->ctx.request = &f->request;
    f->ctx.conf = &f->conf;
}


void
fuzz_ngx_end(fuzz_ngx_t *f)
{
    ngx_destroy_pool(f->request.pool);
}


void
fuzz_require_clean(const ngx_str_t *s, size_t max)
{
    u_char    *p, *last;
    uint32_t   ch;

    fuzz_require(s->len <= max);

    if (s->len == 0) {
        return;
    }

    p = s->data;
    last = p + s->len;

    while (p < last) {
        if (*p < 0x80) {
            fuzz_require(*p >= 0x20 && *p != 0x7f);
            p++;
            continue;
        }

        ch = ngx_utf8_decode(&p, last - p);
        fuzz_require(ch >= 0xa0 && ch <= 0x10ffff);
    }
}
