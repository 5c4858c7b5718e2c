/*
 * agent/files_name.c: see files_name.h. The folder is read by getdents64(2)
 * itself: opendir() makes more calls, and each has to be on a list.
 */

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "files_name.h"
#include "pcapx/valid.h"


/* "-20261122" is the shortest time that is taken for one. */
#define FILES_STAMP_DIGITS  8

#define FILES_READ_LEN      32768


static void files_add(files_names_t *list, const char *name);
static int files_order(const void *a, const void *b);


const char *
files_wrong(const char *name, size_t len, size_t max)
{
    size_t         i;
    unsigned char  c;

    if (len == 0) {
        return "must not be empty";
    }

    if (len > max) {
        return max == FILES_NAME_LEN ? "must have at most 253 bytes"
                                     : "must have at most 255 bytes";
    }

    if ((len == 1 && name[0] == '.')
        || (len == 2 && name[0] == '.' && name[1] == '.'))
    {
        return "must be neither \".\" nor \"..\"";
    }

    for (i = 0; i < len; i++) {
        c = (unsigned char) name[i];

        if (c == '/') {
            return "must have no \"/\" in it, encoded or not";
        }

        if (c < 0x20 || c == 0x7f) {
            return "must have no NUL and no control character in it";
        }
    }

    return NULL;
}


int
files_is_pcap(const char *file)
{
    const char  *p;

    p = strstr(file, ".pcap");

    return p != NULL && p != file;
}


size_t
files_endpoint_len(const char *file)
{
    size_t       len, from, digits;
    const char  *p;

    p = strstr(file, ".pcap");
    len = p ? (size_t) (p - file) : strlen(file);
    digits = 0;

    for (from = len; from > 1; from--) {
        if (file[from - 1] >= '0' && file[from - 1] <= '9') {
            digits++;

        } else if (memchr("-_.:+TZ", file[from - 1], 7) == NULL) {
            break;
        }
    }

    /* It begins behind a separator, or the digits are part of a name. */

    while (from < len && memchr("-_.", file[from], 3) == NULL) {
        digits -= file[from] >= '0' && file[from] <= '9';
        from++;
    }

    return digits >= FILES_STAMP_DIGITS && from > 0 ? from : len;
}


int
files_names(files_names_t *list, int folder)
{
    char                   *buf;
    ssize_t                 n, pos;
    const struct dirent64  *e;

    /* Room for all of them: what is not used is not there. */

    memset(list, 0, sizeof(*list));
    list->mem = malloc((size_t) FILES_MAX_NAMES * (FILES_FILE_LEN + 1));
    list->names = malloc(FILES_MAX_NAMES * sizeof(*list->names));
    buf = malloc(FILES_READ_LEN);

    if (list->mem == NULL || list->names == NULL || buf == NULL) {
        free(buf);
        errno = ENOMEM;
        return -1;
    }

    while ((n = getdents64(folder, buf, FILES_READ_LEN)) > 0 && !list->cut) {
        for (pos = 0; pos < n && !list->cut; pos += e->d_reclen) {
            e = (const struct dirent64 *) (const void *) (buf + pos);
            files_add(list, e->d_name);
        }
    }

    free(buf);
    qsort(list->names, list->n, sizeof(*list->names), files_order);

    return n < 0 ? -1 : 0;
}


static void
files_add(files_names_t *list, const char *name)
{
    char    err[PCAPX_ERR_LEN];
    size_t  len;

    len = strlen(name);

    if (name[0] == '.') {
        return;
    }

    if (files_wrong(name, len, FILES_FILE_LEN)
        || pcapx_valid_text("name", name, len, FILES_FILE_LEN, err)
           != PCAPX_OK)
    {
        list->omitted++;
        return;
    }

    if (list->n == FILES_MAX_NAMES) {
        list->cut = 1;
        return;
    }

    list->names[list->n] = list->mem + list->len;
    memcpy(list->names[list->n++], name, len + 1);
    list->len += len + 1;
}


static int
files_order(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}


void
files_names_free(files_names_t *list)
{
    free(list->mem);
    free(list->names);
    memset(list, 0, sizeof(*list));
}
