/*
 * fuzz/fuzz_valid.c: any bytes as a text of a user. The first byte chooses
 * the check, the rest is the text, in memory of exactly its size. A refusal
 * must leave one printable sentence, an acceptance a value in its range, and
 * what was decoded must come back through the encoder.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pcapx/valid.h"
#include "fuzz/require.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* Every pair, encoded and decoded again, must be the same. */
static int
try_form(char *s, size_t len, char *err)
{
    int            rc;
    char          *pos, *end, *text, *again;
    size_t         n, used;
    pcapx_pair_t   pair, copy;

    pos = s;
    end = s + len;

    while ((rc = pcapx_form_next(&pos, end, &pair, err)) == PCAPX_OK) {
        require(pos <= end);
        require(pair.name >= s && pair.name + pair.name_len <= pos);
        require(pair.value >= s && pair.value + pair.value_len <= pos);
        require(memchr(pair.name, '\0', pair.name_len) == NULL
                && memchr(pair.value, '\0', pair.value_len) == NULL);

        n = pcapx_form_encode(NULL, 0, pair.value, pair.value_len);
        require(n >= pair.value_len && n <= 3 * pair.value_len);

        text = malloc(n + 2);
        require(text != NULL);
        text[0] = 'x';
        text[1] = '=';
        used = pcapx_form_encode(text + 2, n, pair.value, pair.value_len);
        require(used == n);

        again = text;
        require(pcapx_form_next(&again, text + n + 2, &copy, err)
                == PCAPX_OK);
        require(copy.value_len == pair.value_len
                && memcmp(copy.value, pair.value, copy.value_len) == 0);

        free(text);
    }

    require(pos <= end);

    return rc == PCAPX_END ? PCAPX_OK : rc;
}


static int
try_endpoint(const char *s, size_t len, char *err)
{
    int       rc;
    uint8_t   addr[16], addr_len;
    uint16_t  port;

    addr_len = 0;
    port = 0;
    rc = pcapx_parse_endpoint(s, len, addr, &addr_len, &port, err);

    if (rc == PCAPX_OK) {
        require((addr_len == 4 || addr_len == 16) && port != 0);
    }

    return rc;
}


static int
try_number(unsigned which, const char *s, size_t len, char *err)
{
    int       rc, flag;
    uint32_t  snaplen;
    uint64_t  v;

    v = 1;
    flag = 0;
    snaplen = 1;

    switch (which) {

    case 0:
        rc = pcapx_parse_snaplen(s, len, &snaplen, err);
        require(snaplen >= 1 && snaplen <= PCAPX_MAX_SNAPLEN);
        return rc;

    case 1:
        rc = pcapx_parse_duration(s, len, &v, err);
        require(v >= 1 && v <= 30ull * 24 * 3600 * 1000);
        return rc;

    case 2:
        rc = pcapx_parse_size(s, len, &v, err);
        require(v >= 1 && v <= 1ull << 53);
        return rc;

    case 3:
        rc = pcapx_parse_number("number", s, len, 0, 7, &v, err);
        require(v <= 7);
        return rc;

    case 4:
        return pcapx_parse_number("number", s, len, 1, UINT64_MAX, &v, err);

    case 5:
        rc = pcapx_parse_flag("flag", s, len, &flag, err);
        require(flag == 0 || flag == 1);
        return rc;

    default:
        rc = pcapx_parse_format(s, len, &flag, err);
        require(flag == 0 || flag == 1);
        return rc;
    }
}


/* Whatever passes is one component of a path, and no hidden one. */
static int
try_token(int (*valid)(const char *s, size_t len, char *err), const char *s,
    size_t len, char *err)
{
    int  rc;

    rc = valid(s, len, err);

    if (rc == PCAPX_OK) {
        require(len >= 1 && len <= 64 && s[0] != '-');
        require(memchr(s, '/', len) == NULL && memchr(s, '.', len) == NULL
                && memchr(s, '\0', len) == NULL);
    }

    return rc;
}


static int
try(unsigned which, char *s, size_t len, char *err)
{
    switch (which) {

    case 0:
        return pcapx_valid_interface(s, len, err);

    case 1:
        return pcapx_valid_filter(s, len, err);

    case 2:
        return try_endpoint(s, len, err);

    case 3:
        return pcapx_valid_capture_id(s, len, err);

    case 4:
        return pcapx_valid_instance(s, len, err);

    case 5:
        return pcapx_valid_text("reason", s, len, 1000, err);

    case 6:
        return try_form(s, len, err);

    case 14:
        return try_token(pcapx_valid_handle, s, len, err);

    case 15:
        return try_token(pcapx_valid_guid, s, len, err);

    default:
        return try_number(which - 7, s, len, err);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int     rc;
    char   *s, *err;
    size_t  i, len;

    if (size == 0 || size > 8192) {
        return 0;
    }

    len = size - 1;
    s = malloc(len ? len : 1);
    err = malloc(PCAPX_ERR_LEN);
    require(s != NULL && err != NULL);

    memcpy(s, data + 1, len);
    memset(err, 0x01, PCAPX_ERR_LEN);

    rc = try(data[0] % 16, s, len, err);
    require(rc == PCAPX_OK || rc == PCAPX_EINVAL);

    if (rc == PCAPX_EINVAL) {
        require(memchr(err, '\0', PCAPX_ERR_LEN) != NULL && err[0] != '\0');

        for (i = 0; err[i] != '\0'; i++) {
            require(err[i] >= ' ' && err[i] <= '~');
        }
    }

    free(s);
    free(err);

    return 0;
}
