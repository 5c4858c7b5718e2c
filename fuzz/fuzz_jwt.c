/*
 * fuzz/fuzz_jwt.c: any bytes as a token, as a payload and as a key set. The
 * first byte says which; no input can have a right signature by a key that
 * is not in it, so a token that is taken is a finding. What was read is
 * checked again here: every pointer lies in the input.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "module/jwt.h"
#include "fuzz/require.h"

/* LDFLAGS: -lcrypto -ljansson */


/* The keys of RFC 7515, A.2 and A.3; kid is ours */
#define KEY_SET                                                               \
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"ofgWCuLjybRlzo0tZW"    \
    "JjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1"    \
    "Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb"    \
    "_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapH"    \
    "g665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8"    \
    "NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB"     \
    "\"},{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2"    \
    "xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659L"    \
    "NpXW6pCyStikYjKIWI5a0\"}]}"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static pcap_jwt_keys_t *
known_keys(void)
{
    int               rc;
    const char       *why;
    pcap_jwt_keys_t  *keys;

    rc = pcap_jwt_keys_parse(KEY_SET, sizeof(KEY_SET) - 1, &keys, &why);
    require(rc == PCAP_JWT_OK && pcap_jwt_keys_count(keys) == 2);

    return keys;
}


static void
try_token(const char *text, size_t len)
{
    int                    rc;
    json_t                *claims;
    pcap_jwt_t             t;
    const char            *why;
    pcap_jwt_keys_t       *keys;
    const pcap_jwt_key_t  *key;

    rc = pcap_jwt_parse(&t, text, len, &why);
    require((rc == PCAP_JWT_OK) == (why == NULL));

    if (rc != PCAP_JWT_OK) {
        return;
    }

    require(t.kid_len > 0 && t.kid_len <= PCAP_JWT_MAX_KID);
    require(t.input == text && t.input[t.input_len] == '.');
    require(t.payload + t.payload_len == t.input + t.input_len);
    require(t.signature + t.signature_len == text + len);

    keys = known_keys();

    if (pcap_jwt_key_find(keys, &t, &key, &why) == PCAP_JWT_OK) {
        rc = pcap_jwt_verify(&t, key, &claims, &why);
        require(rc != PCAP_JWT_OK && claims == NULL && why != NULL);
    }

    pcap_jwt_keys_free(keys);
}


static void
try_payload(const char *text, size_t len)
{
    int          rc;
    json_t      *claims;
    const char  *why = NULL;

    rc = pcap_jwt_claims(text, len, &claims, &why);

    require((rc == PCAP_JWT_OK) == json_is_object(claims));
    require((rc == PCAP_JWT_OK) == (why == NULL));
    json_decref(claims);
}


static void
try_keys(const char *text, size_t len)
{
    int               rc;
    const char       *why;
    pcap_jwt_keys_t  *keys;

    rc = pcap_jwt_keys_parse(text, len, &keys, &why);

    require((rc == PCAP_JWT_OK) == (keys != NULL));
    require((rc == PCAP_JWT_OK) == (why == NULL));

    if (keys != NULL) {
        require(pcap_jwt_keys_count(keys) > 0);
        require(pcap_jwt_keys_count(keys) <= PCAP_JWT_MAX_KEYS);
        pcap_jwt_keys_free(keys);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char  *copy;

    if (size == 0) {
        return 0;
    }

    /* memory of its own size, so that the sanitizer sees each byte beyond */

    copy = malloc(size > 1 ? size - 1 : 1);
    require(copy != NULL);
    memcpy(copy, data + 1, size - 1);

    switch (data[0]) {

    case 'p':
        try_payload(copy, size - 1);
        break;

    case 'k':
        try_keys(copy, size - 1);
        break;

    default:
        try_token(copy, size - 1);
    }

    free(copy);

    return 0;
}
