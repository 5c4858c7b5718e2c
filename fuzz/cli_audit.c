/*
 * fuzz/cli_audit.c: any bytes as the files of an audit log, separated by NULs,
 * checked with and without a key. What is found is clean text; without a
 * finding the chain has to be one, which the target checks by itself.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/audit_check.h"
#include "fuzz/require.h"
#include "pcapx/pcapx.h"

/* LDFLAGS: -lcrypto */


#define MAX_FILES  4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char  key[] = "0123456789abcdef0123456789abcdef";


static void
on_found(void *data, const char *text)
{
    uint64_t  *n = data;

    (*n)++;

    for ( ; *text != '\0'; text++) {
        if ((unsigned char) *text < 0x20 || *text == 0x7f) {
            abort();
        }
    }
}


static void
parts(const char *data, size_t size)
{
    uint64_t            seq;
    const char         *mac;
    pcapx_audit_line_t  l;

    if (pcapx_audit_parse(data, size, &l) == PCAPX_OK
        && (l.seq == 0 || l.body < data || l.mac + 66 != data + size
            || l.body + l.body_len > l.mac || l.prev < l.body))
    {
        abort();
    }

    if (pcapx_audit_parse_head(data, size, &seq, &mac) == PCAPX_OK
        && (seq == 0 || mac + PCAPX_AUDIT_MAC_LEN != data + size))
    {
        abort();
    }
}


/* Splits at NULs; an empty part is no file that fmemopen() takes. */
static size_t
split(char *data, size_t size, audit_source_t *src)
{
    char   *nul;
    size_t  n, len;

    static const char  name[] = "file";

    n = 0;

    while (size != 0 && n < MAX_FILES) {
        nul = n + 1 < MAX_FILES ? memchr(data, '\0', size) : NULL;
        len = nul ? (size_t) (nul - data) : size;

        if (len != 0) {
            src[n].name = name;
            src[n].f = fmemopen(data, len, "r");

            if (src[n].f == NULL) {
                break;
            }

            n++;
        }

        data += len + (nul != NULL);
        size -= len + (nul != NULL);
    }

    return n;
}


/* Is what it said of these n files so? */
static int
judged(const audit_source_t *src, size_t n, int rc, uint64_t found,
    const audit_result_t *res)
{
    size_t  i, kinds[AUDIT_GZIP + 1] = { 0 };

    for (i = 0; i < n; i++) {
        kinds[src[i].kind]++;
    }

    if (rc != 0) {
        return rc == -1 && errno == EBADMSG && kinds[AUDIT_GZIP] != 0
               && found == 0;
    }

    if (kinds[AUDIT_GZIP] != 0 || found != res->findings) {
        return 0;
    }

    return found != 0 || kinds[AUDIT_LOG] == 0
           || res->lines == res->last.seq - res->first_seq + 1;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int             rc, with_key;
    char           *copy;
    size_t          i, n;
    uint64_t        found;
    audit_rules_t   rules = { 0 };
    audit_result_t  res = { 0 };

    copy = malloc(size + 1);

    if (copy == NULL) {
        return 0;
    }

    memcpy(copy, data, size);
    parts(copy, size);

    for (with_key = 0; with_key < 2; with_key++) {
        audit_source_t  src[MAX_FILES] = { { 0 } };

        n = split(copy, size, src);
        found = 0;
        rules.key = with_key ? key : NULL;
        rules.key_len = sizeof(key) - 1;
        rules.found = on_found;
        rules.data = &found;

        rc = audit_check(src, n, &rules, &res);
        require(judged(src, n, rc, found, &res));

        for (i = 0; i < n; i++) {
            fclose(src[i].f);
        }
    }

    free(copy);

    return 0;
}
