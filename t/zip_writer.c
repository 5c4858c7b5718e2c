/*
 * t/zip_writer.c: zip archives that are written while they go out, see
 * module/zip_writer.h. They are read back front to back and by the directory;
 * what stands in their headers is looked at by hand.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "module/zip_writer.h"
#include "t/tap.h"

/* LDFLAGS: -larchive */


#define MTIME    1700000000
#define ENTRIES  70000                     /* more than 16 bits count */
#define BIG      (4LL * 1024 * 1024 * 1024 + 5)
#define TAIL     65536                     /* kept of an archive */


/* What came out. */
typedef struct {
    unsigned char  *data;
    size_t          len;
    size_t          size;
    size_t          most;                  /* bytes, of one call */
    int             keep;                  /* TAIL bytes at least, not all */
    int             fail;                  /* from now on */
} out_t;

typedef int (*support_pt)(struct archive *a);


static int
take(void *data, const void *p, size_t len)
{
    out_t *o = data;

    if (o->fail) {
        return -1;
    }

    if (o->keep && o->len > 64 * TAIL) {
        memmove(o->data, o->data + o->len - TAIL, TAIL);
        o->len = TAIL;
    }

    if (o->len + len > o->size) {
        o->size = 2 * (o->len + len);
        o->data = realloc(o->data, o->size);

        if (o->data == NULL) {
            printf("Bail out! no memory\n");
            exit(1);
        }
    }

    memcpy(o->data + o->len, p, len);
    o->len += len;
    o->most += len;

    return 0;
}


static void
out_free(out_t *o)
{
    free(o->data);
    memset(o, 0, sizeof(out_t));
}


static unsigned
le16(const unsigned char *p)
{
    return p[0] | (unsigned) p[1] << 8;
}


static uint64_t
le32(const unsigned char *p)
{
    return le16(p) | (uint64_t) le16(p + 2) << 16;
}


static int
begin(pcap_zip_t *zip, const char *dir, const char *file, int64_t size)
{
    return pcap_zip_begin(zip, dir, strlen(dir), file, strlen(file), size,
                          MTIME);
}


/* One whole entry; said is the size that is told in front. */
static int
entry(pcap_zip_t *zip, const char *file, const char *text, int64_t said)
{
    int  rc;

    rc = begin(zip, "node-a", file, said);

    if (rc == PCAP_ZIP_OK) {
        rc = pcap_zip_write(zip, text, strlen(text));
    }

    return rc == PCAP_ZIP_OK ? pcap_zip_end(zip) : rc;
}


/* "path=text;" of each entry, or why not. */
static const char *
listing(out_t *o, support_pt support)
{
    int                    rc;
    ssize_t                n;
    size_t                 len;
    char                   part[256];
    struct archive        *a;
    struct archive_entry  *e;

    static char  text[4096];

    len = 0;
    text[0] = '\0';
    a = archive_read_new();
    (void) support(a);
    rc = archive_read_open_memory(a, o->data, o->len);

    while (rc == ARCHIVE_OK
           && (rc = archive_read_next_header(a, &e)) == ARCHIVE_OK)
    {
        n = archive_read_data(a, part, sizeof(part));

        if (n < 0) {
            rc = ARCHIVE_FAILED;
            break;
        }

        len += (size_t) snprintf(text + len, sizeof(text) - len, "%s=%.*s;",
                                 archive_entry_pathname(e), (int) n, part);
    }

    if (rc != ARCHIVE_EOF) {
        snprintf(text, sizeof(text), "%d: %s", rc, archive_error_string(a));
    }

    archive_read_free(a);

    return text;
}


static void
reads_as(out_t *o, const char *expected, const char *name)
{
    const char  *text;

    text = listing(o, archive_read_support_format_zip_streamable);
    ok(strcmp(text, expected) == 0, "%s: front to back", name);
    printf("# %s\n", text);
    text = listing(o, archive_read_support_format_zip_seekable);
    ok(strcmp(text, expected) == 0, "%s: by the directory", name);
}


static void
whole(pcap_zip_method_e method, const char *name)
{
    out_t        o = { 0 };
    pcap_zip_t  *zip;

    zip = pcap_zip_create(method, take, &o);
    ok(zip != NULL, "%s: created", name);
    ok(entry(zip, "x.pcap", "some bytes", 10) == PCAP_ZIP_OK
       && entry(zip, "empty.pcap", "", 0) == PCAP_ZIP_OK, "%s: two", name);
    ok(begin(zip, "node-b", "x.pcap", 3) == PCAP_ZIP_OK
       && pcap_zip_write(zip, "a", 1) == PCAP_ZIP_OK
       && pcap_zip_write(zip, "", 0) == PCAP_ZIP_OK
       && pcap_zip_write(zip, "bc", 2) == PCAP_ZIP_OK
       && pcap_zip_end(zip) == PCAP_ZIP_OK, "%s: in three writes", name);
    ok(begin(zip, "", "MISSING.txt", 4) == PCAP_ZIP_OK
       && pcap_zip_write(zip, "none", 4) == PCAP_ZIP_OK
       && pcap_zip_end(zip) == PCAP_ZIP_OK, "%s: without a folder", name);
    ok(pcap_zip_close(zip) == PCAP_ZIP_OK, "%s: closed", name);
    pcap_zip_free(zip);

    reads_as(&o, "node-a/x.pcap=some bytes;node-a/empty.pcap=;"
             "node-b/x.pcap=abc;MISSING.txt=none;", name);

    ok(le32(o.data) == 0x04034b50 && (le16(o.data + 6) & 0x0008),
       "%s: sizes behind the bytes", name);
    ok(le16(o.data + 8) == (method == PCAP_ZIP_STORE ? 0 : 8),
       "%s: its method", name);
    ok(le32(o.data + o.len - 22) == 0x06054b50, "%s: no padding", name);
    out_free(&o);
}


static void
empty(void)
{
    out_t        o = { 0 };
    pcap_zip_t  *zip;

    zip = pcap_zip_create(PCAP_ZIP_DEFLATE, take, &o);
    ok(pcap_zip_close(zip) == PCAP_ZIP_OK && o.len == 22,
       "nothing in it: just the end");
    ok(begin(zip, "a", "b", 1) == PCAP_ZIP_EINVAL
       && pcap_zip_close(zip) == PCAP_ZIP_EINVAL, "nothing behind the end");
    pcap_zip_free(zip);
    pcap_zip_free(NULL);
    out_free(&o);
}


static void
sizes(void)
{
    out_t        o = { 0 };
    pcap_zip_t  *zip;

    zip = pcap_zip_create(PCAP_ZIP_DEFLATE, take, &o);
    ok(entry(zip, "short", "four", 1000000) == PCAP_ZIP_OK,
       "deflate: fewer bytes than were said");
    ok(entry(zip, "long", "four", 3) == PCAP_ZIP_ESIZE,
       "deflate: more bytes than were said");
    ok(pcap_zip_write(zip, "fou", 3) == PCAP_ZIP_OK
       && pcap_zip_end(zip) == PCAP_ZIP_OK, "none of them was taken");
    ok(begin(zip, "n", "f", -1) == PCAP_ZIP_EINVAL, "a negative size");
    ok(pcap_zip_close(zip) == PCAP_ZIP_OK, "closed");
    pcap_zip_free(zip);
    reads_as(&o, "node-a/short=four;node-a/long=fou;", "short entry");
    out_free(&o);

    zip = pcap_zip_create(PCAP_ZIP_STORE, take, &o);
    ok(entry(zip, "short", "four", 5) == PCAP_ZIP_ESIZE,
       "store: fewer bytes than were said");
    ok(entry(zip, "next", "four", 4) == PCAP_ZIP_EINVAL
       && pcap_zip_close(zip) == PCAP_ZIP_EINVAL, "store: that was its end");
    pcap_zip_free(zip);
    out_free(&o);
}


static void
order(void)
{
    size_t       len;
    out_t        o = { 0 };
    pcap_zip_t  *zip;

    zip = pcap_zip_create(PCAP_ZIP_DEFLATE, take, &o);
    ok(pcap_zip_write(zip, "a", 1) == PCAP_ZIP_EINVAL
       && pcap_zip_end(zip) == PCAP_ZIP_EINVAL, "no entry yet");
    ok(begin(zip, "n", "f", 1) == PCAP_ZIP_OK
       && begin(zip, "n", "g", 1) == PCAP_ZIP_EINVAL
       && pcap_zip_close(zip) == PCAP_ZIP_EINVAL, "in an entry");
    len = o.len;
    pcap_zip_free(zip);
    ok(o.len == len, "freed in the middle: nothing more comes out");
    out_free(&o);

    zip = pcap_zip_create(PCAP_ZIP_DEFLATE, take, &o);
    o.fail = 1;
    ok(entry(zip, "x", "y", 1) == PCAP_ZIP_EFAIL, "nobody takes it");
    o.fail = 0;
    ok(entry(zip, "x", "y", 1) == PCAP_ZIP_EINVAL && o.len == 0,
       "that was its end");
    pcap_zip_free(zip);
    out_free(&o);
}


static void
names(void)
{
    size_t       i;
    char         longest[257];
    out_t        o = { 0 };
    pcap_zip_t  *zip;

    static const char *const  good[] = {
        "a", "...", "..a", "a b", "n\xc3\xb6", "\xe2\x82\xac",
        "\xf0\x9f\x92\xbe", "we_cali0123.pcap"
    };
    static const char *const  bad[] = {
        "", ".", "..", "a/b", "/a", "a\\b", "c:", "a\nb", "\x7f",
        "\xff", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
        "\xf4\x90\x80\x80", "\xc2\x85", "a\x80"
    };

    memset(longest, 'x', sizeof(longest));

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ok(pcap_zip_name_ok(good[i], strlen(good[i])), "good name %zu", i);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(!pcap_zip_name_ok(bad[i], strlen(bad[i])), "bad name %zu", i);
    }

    ok(!pcap_zip_name_ok("a\0b", 3), "a NUL");
    ok(pcap_zip_name_ok(longest, 255) && !pcap_zip_name_ok(longest, 256),
       "at most 255 bytes");

    zip = pcap_zip_create(PCAP_ZIP_DEFLATE, take, &o);
    ok(begin(zip, "n", "..", 1) == PCAP_ZIP_EINVAL
       && begin(zip, "..", "n", 1) == PCAP_ZIP_EINVAL
       && begin(zip, "n", "", 1) == PCAP_ZIP_EINVAL && o.len == 0,
       "no entry of a bad name");
    ok(entry(zip, "n\xc3\xb6.pcap", "", 0) == PCAP_ZIP_OK
       && pcap_zip_close(zip) == PCAP_ZIP_OK, "an entry of a name in UTF-8");
    pcap_zip_free(zip);
    ok(le16(o.data + 6) & 0x0800, "it is said to be UTF-8");
    ok(le16(o.data + 26) == 15
       && memcmp(o.data + 30, "node-a/n\xc3\xb6.pcap", 15) == 0,
       "and stands there as it is");
    out_free(&o);
}


/* What one write brings out is bounded, whatever it is of. */
static void
bounded(pcap_zip_method_e method, const char *name)
{
    int           i, rc;
    out_t         o = { 0 };
    size_t        k, most;
    uint32_t      x;
    pcap_zip_t   *zip;

    static unsigned char  part[32768];

    x = 12345;
    most = 0;
    zip = pcap_zip_create(method, take, &o);
    rc = begin(zip, "n", "f", 64 * (int64_t) sizeof(part));

    for (i = 0; i < 64 && rc == PCAP_ZIP_OK; i++) {
        for (k = 0; k < sizeof(part); k++) {
            x = x * 1103515245u + 12345u;
            part[k] = (unsigned char) (x >> 24);
        }

        o.most = 0;
        rc = pcap_zip_write(zip, part, sizeof(part));
        most = o.most > most ? o.most : most;
    }

    o.most = 0;
    ok(rc == PCAP_ZIP_OK && pcap_zip_end(zip) == PCAP_ZIP_OK
       && pcap_zip_close(zip) == PCAP_ZIP_OK, "%s: 2 MiB of noise", name);
    most = o.most > most ? o.most : most;
    ok(most <= 131072 + sizeof(part), "%s: at most %zu bytes at once", name,
       most);
    pcap_zip_free(zip);
    out_free(&o);
}


static void
many(void)
{
    int          i, rc;
    char         name[16];
    out_t        o = { 0 };
    pcap_zip_t  *zip;

    rc = PCAP_ZIP_OK;
    zip = pcap_zip_create(PCAP_ZIP_STORE, take, &o);

    for (i = 0; i < ENTRIES && rc == PCAP_ZIP_OK; i++) {
        snprintf(name, sizeof(name), "f%06d", i);
        rc = entry(zip, name, "", 0);
    }

    ok(rc == PCAP_ZIP_OK && pcap_zip_close(zip) == PCAP_ZIP_OK,
       "%d entries", ENTRIES);
    pcap_zip_free(zip);
    ok(le32(o.data + o.len - 42) == 0x07064b50
       && le32(o.data + o.len - 98) == 0x06064b50
       && le32(o.data + o.len - 66) == ENTRIES
       && le16(o.data + o.len - 12) == 0xffff, "zip64 counts them");
    out_free(&o);
}


/* More than 32 bits of bytes, and an entry behind that. */
static void
big(void)
{
    int          rc;
    int64_t      left;
    size_t       n;
    out_t        o = { .keep = 1 };
    pcap_zip_t  *zip;

    static unsigned char  part[1024 * 1024];

    zip = pcap_zip_create(PCAP_ZIP_STORE, take, &o);
    rc = begin(zip, "n", "big", BIG);

    for (left = BIG; left && rc == PCAP_ZIP_OK; left -= (int64_t) n) {
        n = left < (int64_t) sizeof(part) ? (size_t) left : sizeof(part);
        rc = pcap_zip_write(zip, part, n);
    }

    ok(rc == PCAP_ZIP_OK && pcap_zip_end(zip) == PCAP_ZIP_OK
       && entry(zip, "behind", "x", 1) == PCAP_ZIP_OK
       && pcap_zip_close(zip) == PCAP_ZIP_OK, "%lld bytes", BIG);
    pcap_zip_free(zip);
    ok(le32(o.data + o.len - 42) == 0x07064b50
       && le32(o.data + o.len - 98 + 52) == 1
       && le32(o.data + o.len - 6) == 0xffffffff,
       "zip64 says where the directory is");
    out_free(&o);
}


int
main(void)
{
    whole(PCAP_ZIP_DEFLATE, "deflate");
    whole(PCAP_ZIP_STORE, "store");
    empty();
    sizes();
    order();
    names();
    bounded(PCAP_ZIP_DEFLATE, "deflate");
    bounded(PCAP_ZIP_STORE, "store");
    many();
    big();

    return tap_done();
}
