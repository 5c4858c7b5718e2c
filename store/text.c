/*
 * store/text.c: see text.h. What nginx, curl or the disk say is cleaned once,
 * on its way into a record; behind that every text may go into JSON as it is.
 */

#include <stdio.h>
#include <string.h>

#include "pcapx/pcapx.h"
#include "pcapx/valid.h"
#include "text.h"


const char  *const text_suffixes[] = {
    ".part", ".pcapng", ".pcap", ".pcapng.zst", ".pcap.zst", NULL
};


void
text_clean(char *dst, size_t size, const char *src)
{
    char    err[PCAPX_ERR_LEN];
    size_t  i, len;

    len = strlen(src);

    if (len >= size) {
        for (len = size - 1; len && ((unsigned char) src[len] & 0xc0) == 0x80;
             len--)
        {
            /* void */
        }
    }

    memcpy(dst, src, len);
    dst[len] = '\0';

    if (pcapx_valid_text("text", dst, len, len, err) == PCAPX_OK) {
        return;
    }

    for (i = 0; i < len; i++) {
        if (dst[i] < 0x20 || dst[i] > 0x7e) {
            dst[i] = '?';
        }
    }
}


int
text_is_hex(const char *s, size_t len)
{
    return strlen(s) == len && strspn(s, "0123456789abcdef") == len;
}


int
text_is_file(const char *name, char *id)
{
    char         digits[33];
    size_t       i;

    snprintf(digits, sizeof(digits), "%s", name);

    if (!text_is_hex(digits, 32)) {
        return 0;
    }

    if (id != NULL) {
        memcpy(id, digits, sizeof(digits));
    }

    for (i = 0; text_suffixes[i]; i++) {
        if (strcmp(name + 32, text_suffixes[i]) == 0) {
            return 1;
        }
    }

    return 0;
}
