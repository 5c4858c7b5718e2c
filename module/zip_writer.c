/*
 * module/zip_writer.c: a zip archive by libarchive, see zip_writer.h.
 *
 * libarchive 3.6.2 (archive_write_set_format_zip.c) takes an entry whose size
 * it is not told as one with zip64 sizes behind its bytes, and deflates it in
 * any case; so a size is told only where an entry is stored. It would pad the
 * output and convert names by the locale, which is not wanted. What it has of
 * an entry under way, 0.3 MB, it frees only by closing the archive.
 */

#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "module/zip_writer.h"


struct pcap_zip_s {
    struct archive        *archive;
    struct archive_entry  *entry;          /* one for all of them */
    pcap_zip_method_e      method;
    pcap_zip_out_pt        out;
    void                  *data;
    int64_t                left;           /* of the entry */
    int                    in_entry;
    int                    failed;         /* or closed: nothing comes out */
};


/* It never says no: an archive that failed could not free all it has. */
static la_ssize_t
zip_out(struct archive *a, void *data, const void *p, size_t len)
{
    pcap_zip_t *zip = data;

    (void) a;

    if (!zip->failed && zip->out(zip->data, p, len) != 0) {
        zip->failed = 1;
    }

    return (la_ssize_t) len;
}


pcap_zip_t *
pcap_zip_create(pcap_zip_method_e method, pcap_zip_out_pt out, void *data)
{
    int              rc;
    pcap_zip_t      *zip;
    struct archive  *a;

    zip = calloc(1, sizeof(pcap_zip_t));
    if (zip == NULL) {
        return NULL;
    }

    zip->method = method;
    zip->out = out;
    zip->data = data;
    zip->entry = archive_entry_new();
    zip->archive = a = archive_write_new();

    if (zip->entry == NULL || a == NULL
        || archive_write_set_format_zip(a) != ARCHIVE_OK)
    {
        pcap_zip_free(zip);
        return NULL;
    }

    /* 0 bytes per block: what is written comes out as it is */

    rc = archive_write_set_bytes_per_block(a, 0);
    rc |= archive_write_set_bytes_in_last_block(a, 1);
    rc |= archive_write_set_format_option(a, "zip", "hdrcharset", "UTF-8");
    rc |= archive_write_set_format_option(a, "zip", "compression-level",
                                          method == PCAP_ZIP_STORE ? "0"
                                                                   : "1");

    if (rc != ARCHIVE_OK
        || archive_write_open(a, zip, NULL, zip_out, NULL) != ARCHIVE_OK)
    {
        pcap_zip_free(zip);
        return NULL;
    }

    return zip;
}


/* The length of the UTF-8 character at p, which has left bytes; 0: none. */
static size_t
zip_character(const unsigned char *p, size_t left)
{
    size_t    i, n;
    uint32_t  c, least;

    if (p[0] < 0x80) {
        return 1;
    }

    n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

    if (p[0] < 0xc2 || p[0] > 0xf4 || n > left) {
        return 0;
    }

    c = p[0] & (0x7fu >> n);

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        c = (c << 6) | (p[i] & 0x3fu);
    }

    least = n == 4 ? 0x10000 : n == 3 ? 0x800 : 0x80;

    /* too long a form, a surrogate, C1 controls, behind the last one */

    if (c < least || (c >= 0xd800 && c <= 0xdfff) || c < 0xa0
        || c > 0x10ffff)
    {
        return 0;
    }

    return n;
}


int
pcap_zip_name_ok(const char *name, size_t len)
{
    size_t                i, n;
    const unsigned char  *p;

    p = (const unsigned char *) name;

    if (len == 0 || len > 255 || (len == 1 && p[0] == '.')
        || (len == 2 && p[0] == '.' && p[1] == '.'))
    {
        return 0;
    }

    for (i = 0; i < len; i += n) {

        if (p[i] < 0x20 || p[i] == 0x7f || p[i] == '/' || p[i] == '\\'
            || p[i] == ':')
        {
            return 0;
        }

        n = zip_character(p + i, len - i);
        if (n == 0) {
            return 0;
        }
    }

    return 1;
}


static int
zip_path(char *path, const char *dir, size_t dir_len, const char *file,
    size_t file_len)
{
    if ((dir_len && !pcap_zip_name_ok(dir, dir_len))
        || !pcap_zip_name_ok(file, file_len))
    {
        return PCAP_ZIP_EINVAL;
    }

    if (dir_len) {
        memcpy(path, dir, dir_len);
        path += dir_len;
        *path++ = '/';
    }

    memcpy(path, file, file_len);
    path[file_len] = '\0';

    return PCAP_ZIP_OK;
}


static int
zip_fail(pcap_zip_t *zip, int rc)
{
    zip->failed = 1;

    return rc;
}


int
pcap_zip_begin(pcap_zip_t *zip, const char *dir, size_t dir_len,
    const char *file, size_t file_len, int64_t size, time_t mtime)
{
    char  path[PCAP_ZIP_MAX_PATH];

    if (zip->failed || zip->in_entry || size < 0
        || zip_path(path, dir, dir_len, file, file_len) != PCAP_ZIP_OK)
    {
        return PCAP_ZIP_EINVAL;
    }

    archive_entry_clear(zip->entry);
    archive_entry_set_pathname_utf8(zip->entry, path);
    archive_entry_set_filetype(zip->entry, AE_IFREG);
    archive_entry_set_perm(zip->entry, 0600);
    archive_entry_set_mtime(zip->entry, mtime, 0);

    if (zip->method == PCAP_ZIP_STORE) {
        archive_entry_set_size(zip->entry, size);
    }

    if (archive_write_header(zip->archive, zip->entry) != ARCHIVE_OK) {
        return zip_fail(zip, PCAP_ZIP_EFAIL);
    }

    zip->left = size;
    zip->in_entry = 1;

    return zip->failed ? PCAP_ZIP_EFAIL : PCAP_ZIP_OK;
}


int
pcap_zip_write(pcap_zip_t *zip, const void *p, size_t len)
{
    if (zip->failed || !zip->in_entry) {
        return PCAP_ZIP_EINVAL;
    }

    if (len > INT64_MAX || (int64_t) len > zip->left) {
        return PCAP_ZIP_ESIZE;
    }

    if (len && archive_write_data(zip->archive, p, len)
               != (la_ssize_t) len)
    {
        return zip_fail(zip, PCAP_ZIP_EFAIL);
    }

    zip->left -= (int64_t) len;

    return zip->failed ? PCAP_ZIP_EFAIL : PCAP_ZIP_OK;
}


int
pcap_zip_end(pcap_zip_t *zip)
{
    if (zip->failed || !zip->in_entry) {
        return PCAP_ZIP_EINVAL;
    }

    if (zip->left && zip->method == PCAP_ZIP_STORE) {
        return zip_fail(zip, PCAP_ZIP_ESIZE);
    }

    zip->in_entry = 0;

    if (archive_write_finish_entry(zip->archive) != ARCHIVE_OK) {
        return zip_fail(zip, PCAP_ZIP_EFAIL);
    }

    return zip->failed ? PCAP_ZIP_EFAIL : PCAP_ZIP_OK;
}


int
pcap_zip_close(pcap_zip_t *zip)
{
    int  rc;

    if (zip->failed || zip->in_entry) {
        return PCAP_ZIP_EINVAL;
    }

    rc = archive_write_close(zip->archive) == ARCHIVE_OK && !zip->failed
         ? PCAP_ZIP_OK : PCAP_ZIP_EFAIL;

    return zip_fail(zip, rc);              /* nothing may come behind it */
}


void
pcap_zip_free(pcap_zip_t *zip)
{
    if (zip == NULL) {
        return;
    }

    zip->failed = 1;                       /* nothing more comes out */

    (void) archive_write_free(zip->archive);

    archive_entry_free(zip->entry);
    free(zip);
}
