/*
 * module/jwt.c: signed tokens and the keys for them, see module/jwt.h. All
 * that comes in here is hostile: a token is what any client sends, a key set
 * what a server on the network says.
 *
 * The order matters: sizes, header, key, signature, and only then the payload.
 */

#include "module/jwt.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>


#define JWT_MIN_RSA_BITS   2048       /* RFC 7518 3.3 */
#define JWT_MAX_RSA_BITS   8192       /* costs about 1 ms to verify */
#define JWT_MAX_E_BITS     64         /* OPENSSL_RSA_MAX_PUBEXP_BITS */
#define JWT_MAX_RSA_BYTES  (JWT_MAX_RSA_BITS / 8)
#define JWT_P256_BYTES     32

/* The order of P-256: FIPS 186-4, D.1.2.3 */
#define JWT_P256_ORDER                                                        \
    "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551"


struct pcap_jwt_key_s {
    EVP_PKEY        *pkey;
    pcap_jwt_alg_e   alg;
    size_t           kid_len;
    char             kid[PCAP_JWT_MAX_KID];
};

struct pcap_jwt_keys_s {
    size_t           n;
    pcap_jwt_key_t   keys[PCAP_JWT_MAX_KEYS];
};

/* What a member has to be if it is there. */
typedef enum {
    JWT_STRING = 0,
    JWT_INTEGER,
    JWT_OBJECT,
    JWT_STRINGS,                      /* an array of them */
    JWT_STRING_OR_STRINGS
} jwt_type_e;

typedef struct {
    const char      *name;
    jwt_type_e       type;
} jwt_member_t;

/* RFC 7515 4.1; UAA writes alg, jku, kid, typ */
static const jwt_member_t  jwt_header[] = {
    { "alg", JWT_STRING },
    { "kid", JWT_STRING },
    { "typ", JWT_STRING },
    { "cty", JWT_STRING },
    { "jku", JWT_STRING },
    { "x5u", JWT_STRING },
    { "x5t", JWT_STRING },
    { "x5t#S256", JWT_STRING },
    { "x5c", JWT_STRINGS },
    { "jwk", JWT_OBJECT },
    { NULL, JWT_STRING }
};

/* RFC 7519 4.1, RFC 8693 4.2 and 4.3; the rest is UAA's */
static const jwt_member_t  jwt_payload[] = {
    { "iss", JWT_STRING },
    { "sub", JWT_STRING },
    { "aud", JWT_STRING_OR_STRINGS },
    { "exp", JWT_INTEGER },
    { "nbf", JWT_INTEGER },
    { "iat", JWT_INTEGER },
    { "jti", JWT_STRING },
    { "scope", JWT_STRING_OR_STRINGS },
    { "client_id", JWT_STRING },
    { "cid", JWT_STRING },
    { "user_id", JWT_STRING },
    { "user_name", JWT_STRING },
    { "username", JWT_STRING },
    { NULL, JWT_STRING }
};


static int
jwt_fail(const char **why, const char *text)
{
    *why = text;

    return PCAP_JWT_EINVAL;
}


static int
jwt_nomem(const char **why)
{
    ERR_clear_error();
    *why = "no memory";

    return PCAP_JWT_ENOMEM;
}


static int
jwt_digit(char ch)
{
    if (ch >= 'A' && ch <= 'Z') {
        return ch - 'A';
    }

    if (ch >= 'a' && ch <= 'z') {
        return ch - 'a' + 26;
    }

    if (ch >= '0' && ch <= '9') {
        return ch - '0' + 52;
    }

    return ch == '-' ? 62 : ch == '_' ? 63 : -1;
}


long
pcap_jwt_decode(const char *p, size_t len, unsigned char *out, size_t size)
{
    int           d;
    size_t        i, n;
    unsigned int  acc, bits;

    if (len % 4 == 1 || len / 4 * 3 + len % 4 * 3 / 4 > size) {
        return -1;
    }

    acc = 0;
    bits = 0;
    n = 0;

    for (i = 0; i < len; i++) {
        d = jwt_digit(p[i]);
        if (d < 0) {
            return -1;
        }

        acc = (acc << 6 | (unsigned int) d) & 0xffff;
        bits += 6;

        if (bits >= 8) {
            bits -= 8;
            out[n++] = (unsigned char) (acc >> bits);
        }
    }

    /* two encodings of one token would be two tokens */

    return (acc & ((1u << bits) - 1)) ? -1 : (long) n;
}


/* base64url of a JSON object, in memory of its own */
static int
jwt_decode_object(const char *p, size_t len, json_t **doc, const char **why)
{
    long            n;
    json_error_t    error;
    unsigned char  *text;

    *doc = NULL;

    text = malloc(len + 1);
    if (text == NULL) {
        return jwt_nomem(why);
    }

    n = pcap_jwt_decode(p, len, text, len);

    if (n < 0) {
        free(text);
        return jwt_fail(why, "a part of the token is no base64url");
    }

    *doc = json_loadb((char *) text, (size_t) n, JSON_REJECT_DUPLICATES,
                      &error);
    free(text);

    if (!json_is_object(*doc)) {
        json_decref(*doc);
        *doc = NULL;
        return jwt_fail(why, "a part of the token is no JSON object, or has "
                             "a name twice");
    }

    return PCAP_JWT_OK;
}


static int
jwt_is_strings(json_t *v)
{
    size_t  i;

    if (!json_is_array(v)) {
        return 0;
    }

    for (i = 0; i < json_array_size(v); i++) {
        if (!json_is_string(json_array_get(v, i))) {
            return 0;
        }
    }

    return 1;
}


static int
jwt_is_type(json_t *v, jwt_type_e type)
{
    switch (type) {

    case JWT_STRING:
        return json_is_string(v);

    case JWT_INTEGER:
        return json_is_integer(v);

    case JWT_OBJECT:
        return json_is_object(v);

    case JWT_STRINGS:
        return jwt_is_strings(v);

    default: /* JWT_STRING_OR_STRINGS */
        return json_is_string(v) || jwt_is_strings(v);
    }
}


static int
jwt_are_types(json_t *doc, const jwt_member_t *m)
{
    json_t  *v;

    for ( /* void */ ; m->name; m++) {
        v = json_object_get(doc, m->name);

        if (v != NULL && !jwt_is_type(v, m->type)) {
            return 0;
        }
    }

    return 1;
}


static int
jwt_equals(json_t *v, const char *text)
{
    return json_is_string(v) && json_string_length(v) == strlen(text)
           && strcmp(json_string_value(v), text) == 0;
}


/* NULL-safe; 0 when it is no kid that we would keep. */
static size_t
jwt_copy_kid(json_t *v, char *kid)
{
    size_t  len;

    len = json_string_length(v);

    if (len == 0 || len > PCAP_JWT_MAX_KID) {
        return 0;
    }

    memcpy(kid, json_string_value(v), len);

    return len;
}


static int
jwt_read_header(pcap_jwt_t *t, json_t *doc, const char **why)
{
    json_t  *alg;

    if (json_object_get(doc, "crit") != NULL) {
        return jwt_fail(why, "the token demands an extension (crit)");
    }

    if (!jwt_are_types(doc, jwt_header)) {
        return jwt_fail(why, "a field of the token's header has an "
                             "unexpected type");
    }

    alg = json_object_get(doc, "alg");

    if (jwt_equals(alg, "RS256")) {
        t->alg = PCAP_JWT_RS256;

    } else if (jwt_equals(alg, "ES256")) {
        t->alg = PCAP_JWT_ES256;

    } else {
        return jwt_fail(why, "the token is not signed by RS256 or ES256");
    }

    t->kid_len = jwt_copy_kid(json_object_get(doc, "kid"), t->kid);

    if (t->kid_len == 0) {
        return jwt_fail(why, "the token names no key (kid), or one of over "
                             "256 bytes");
    }

    return PCAP_JWT_OK;
}


int
pcap_jwt_parse(pcap_jwt_t *t, const char *token, size_t len, const char **why)
{
    int          rc;
    json_t      *doc;
    const char  *dot, *dot2, *end;

    *why = NULL;
    memset(t, 0, sizeof(*t));

    if (len == 0 || len > PCAP_JWT_MAX_TOKEN) {
        return jwt_fail(why, "the token is empty or over 16384 bytes");
    }

    end = token + len;
    dot = memchr(token, '.', len);
    dot2 = dot ? memchr(dot + 1, '.', (size_t) (end - dot - 1)) : NULL;

    if (dot2 == NULL || memchr(dot2 + 1, '.', (size_t) (end - dot2 - 1))) {
        return jwt_fail(why, "the token is no signed JWT of three parts");
    }

    t->input = token;
    t->input_len = (size_t) (dot2 - token);
    t->payload = dot + 1;
    t->payload_len = (size_t) (dot2 - dot - 1);
    t->signature = dot2 + 1;
    t->signature_len = (size_t) (end - dot2 - 1);

    rc = jwt_decode_object(token, (size_t) (dot - token), &doc, why);

    if (rc == PCAP_JWT_OK) {
        rc = jwt_read_header(t, doc, why);
        json_decref(doc);
    }

    return rc;
}


/* A number or a coordinate of a key; -1 when it is not there or no fit. */
static long
jwt_key_bytes(json_t *jwk, const char *name, unsigned char *out, size_t size)
{
    json_t  *v;

    v = json_object_get(jwk, name);

    if (!json_is_string(v)) {
        return -1;
    }

    return pcap_jwt_decode(json_string_value(v), json_string_length(v), out,
                           size);
}


static EVP_PKEY *
jwt_make_key(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY      *pkey;
    OSSL_PARAM    *params;
    EVP_PKEY_CTX  *ctx;

    pkey = NULL;
    params = OSSL_PARAM_BLD_to_param(bld);
    ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);

    if (params == NULL || ctx == NULL
        || EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
    {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }

    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);

    return pkey;
}


/* RFC 7518 6.3.1 */
static EVP_PKEY *
jwt_rsa_key(json_t *jwk)
{
    int              bits;
    long             nlen, elen;
    BIGNUM          *n, *e;
    EVP_PKEY        *pkey;
    unsigned char    nbuf[JWT_MAX_RSA_BYTES + 1], ebuf[JWT_MAX_E_BITS / 8];
    OSSL_PARAM_BLD  *bld;

    /* some writers put a byte of 0 in front (6.3.1.1): one is fine */

    nlen = jwt_key_bytes(jwk, "n", nbuf, sizeof(nbuf));
    elen = jwt_key_bytes(jwk, "e", ebuf, sizeof(ebuf));

    if (nlen < 0 || elen < 0) {
        return NULL;
    }

    pkey = NULL;
    n = BN_bin2bn(nbuf, (int) nlen, NULL);
    e = BN_bin2bn(ebuf, (int) elen, NULL);
    bld = OSSL_PARAM_BLD_new();

    bits = n ? BN_num_bits(n) : 0;

    if (n != NULL && e != NULL && bld != NULL
        && bits >= JWT_MIN_RSA_BITS && bits <= JWT_MAX_RSA_BITS
        && BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e)
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n)
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
    {
        pkey = jwt_make_key("RSA", bld);
    }

    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);

    return pkey;
}


/* RFC 7518 6.2.1; that the point is on the curve is checked by libcrypto */
static EVP_PKEY *
jwt_ec_key(json_t *jwk)
{
    EVP_PKEY        *pkey;
    EVP_PKEY_CTX    *ctx;
    unsigned char    point[1 + 2 * JWT_P256_BYTES];
    OSSL_PARAM_BLD  *bld;

    point[0] = POINT_CONVERSION_UNCOMPRESSED;

    if (!jwt_equals(json_object_get(jwk, "crv"), "P-256")
        || jwt_key_bytes(jwk, "x", point + 1, JWT_P256_BYTES)
           != JWT_P256_BYTES
        || jwt_key_bytes(jwk, "y", point + 1 + JWT_P256_BYTES, JWT_P256_BYTES)
           != JWT_P256_BYTES)
    {
        return NULL;
    }

    pkey = NULL;
    bld = OSSL_PARAM_BLD_new();

    if (bld != NULL
        && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
                                           "prime256v1", 0)
        && OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY,
                                            point, sizeof(point)))
    {
        pkey = jwt_make_key("EC", bld);
    }

    OSSL_PARAM_BLD_free(bld);

    if (pkey == NULL) {
        return NULL;
    }

    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);

    if (ctx == NULL || EVP_PKEY_public_check(ctx) != 1) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }

    EVP_PKEY_CTX_free(ctx);

    return pkey;
}


/* use, key_ops, alg: RFC 7517 4.2 to 4.4 */
static int
jwt_key_is_for(json_t *jwk, const char *alg)
{
    size_t   i;
    json_t  *v;

    v = json_object_get(jwk, "use");

    if (v != NULL && !jwt_equals(v, "sig")) {
        return 0;
    }

    v = json_object_get(jwk, "alg");

    if (v != NULL && !jwt_equals(v, alg)) {
        return 0;
    }

    v = json_object_get(jwk, "key_ops");

    if (v == NULL) {
        return 1;
    }

    for (i = 0; i < json_array_size(v); i++) {
        if (jwt_equals(json_array_get(v, i), "verify")) {
            return 1;
        }
    }

    return 0;
}


/* 1 when key now is what jwk says, 0 when it is to be skipped. */
static int
jwt_read_key(pcap_jwt_key_t *key, json_t *jwk)
{
    json_t  *kty;

    key->kid_len = jwt_copy_kid(json_object_get(jwk, "kid"), key->kid);
    kty = json_object_get(jwk, "kty");
    key->pkey = NULL;

    if (key->kid_len == 0) {
        return 0;
    }

    if (jwt_equals(kty, "RSA") && jwt_key_is_for(jwk, "RS256")) {
        key->alg = PCAP_JWT_RS256;
        key->pkey = jwt_rsa_key(jwk);

    } else if (jwt_equals(kty, "EC") && jwt_key_is_for(jwk, "ES256")) {
        key->alg = PCAP_JWT_ES256;
        key->pkey = jwt_ec_key(jwk);
    }

    ERR_clear_error();

    return key->pkey != NULL;
}


static int
jwt_same_kid(const pcap_jwt_key_t *key, const char *kid, size_t len)
{
    return key->kid_len == len && memcmp(key->kid, kid, len) == 0;
}


static int
jwt_is_known(const pcap_jwt_keys_t *keys, const pcap_jwt_key_t *key)
{
    size_t  i;

    for (i = 0; i < keys->n; i++) {
        if (keys->keys[i].alg == key->alg
            && jwt_same_kid(&keys->keys[i], key->kid, key->kid_len))
        {
            return 1;
        }
    }

    return 0;
}


static int
jwt_read_keys(pcap_jwt_keys_t *keys, json_t *list, const char **why)
{
    size_t          i;
    pcap_jwt_key_t  key;

    for (i = 0; i < json_array_size(list); i++) {

        if (!jwt_read_key(&key, json_array_get(list, i))) {
            continue;
        }

        if (jwt_is_known(keys, &key)) {
            EVP_PKEY_free(key.pkey);
            continue;
        }

        if (keys->n == PCAP_JWT_MAX_KEYS) {
            EVP_PKEY_free(key.pkey);
            return jwt_fail(why, "its answer holds more than 32 keys");
        }

        keys->keys[keys->n++] = key;
    }

    if (keys->n == 0) {
        return jwt_fail(why, "its answer holds no key that can be used");
    }

    return PCAP_JWT_OK;
}


int
pcap_jwt_keys_parse(const char *data, size_t len, pcap_jwt_keys_t **keys,
    const char **why)
{
    int               rc;
    json_t           *doc, *list;
    json_error_t      error;
    pcap_jwt_keys_t  *set;

    *why = NULL;
    *keys = NULL;

    if (len == 0) {
        return jwt_fail(why, "its answer is empty");
    }

    doc = json_loadb(data, len, JSON_REJECT_DUPLICATES, &error);
    list = json_object_get(doc, "keys");

    if (!json_is_array(list)) {
        json_decref(doc);
        return jwt_fail(why, "its answer is no set of keys");
    }

    set = calloc(1, sizeof(*set));
    if (set == NULL) {
        json_decref(doc);
        return jwt_nomem(why);
    }

    rc = jwt_read_keys(set, list, why);
    json_decref(doc);

    if (rc != PCAP_JWT_OK) {
        pcap_jwt_keys_free(set);
        return rc;
    }

    *keys = set;

    return PCAP_JWT_OK;
}


void
pcap_jwt_keys_free(pcap_jwt_keys_t *keys)
{
    size_t  i;

    if (keys == NULL) {
        return;
    }

    for (i = 0; i < keys->n; i++) {
        EVP_PKEY_free(keys->keys[i].pkey);
    }

    free(keys);
}


size_t
pcap_jwt_keys_count(const pcap_jwt_keys_t *keys)
{
    return keys->n;
}


int
pcap_jwt_key_find(const pcap_jwt_keys_t *keys, const pcap_jwt_t *t,
    const pcap_jwt_key_t **key, const char **why)
{
    size_t  i;
    int     rc;

    rc = PCAP_JWT_ENOKEY;
    *why = "the token is signed by a key that is not known";

    for (i = 0; i < keys->n; i++) {

        if (!jwt_same_kid(&keys->keys[i], t->kid, t->kid_len)) {
            continue;
        }

        if (keys->keys[i].alg == t->alg) {
            *key = &keys->keys[i];
            *why = NULL;
            return PCAP_JWT_OK;
        }

        rc = PCAP_JWT_EINVAL;
        *why = "the token's algorithm is not that of its key";
    }

    return rc;
}


/*
 * r and s as they stand in a token (RFC 7518 3.4) to the DER that libcrypto
 * wants. The length, or 0 when one is out of range or memory is out.
 */
static int
jwt_ecdsa_der(const unsigned char *raw, unsigned char **der)
{
    int         len;
    BIGNUM     *r, *s, *order;
    ECDSA_SIG  *sig;

    len = 0;
    order = NULL;
    r = BN_bin2bn(raw, JWT_P256_BYTES, NULL);
    s = BN_bin2bn(raw + JWT_P256_BYTES, JWT_P256_BYTES, NULL);
    sig = ECDSA_SIG_new();

    if (r == NULL || s == NULL || sig == NULL
        || !BN_hex2bn(&order, JWT_P256_ORDER)
        || BN_is_zero(r) || BN_is_zero(s)
        || BN_cmp(r, order) >= 0 || BN_cmp(s, order) >= 0
        || !ECDSA_SIG_set0(sig, r, s))
    {
        goto out;
    }

    r = NULL;                              /* they are sig's now */
    s = NULL;
    len = i2d_ECDSA_SIG(sig, der);

out:

    ECDSA_SIG_free(sig);
    BN_free(order);
    BN_free(r);
    BN_free(s);

    return len > 0 ? len : 0;
}


/* 1 when it is right */
static int
jwt_check_signature(const pcap_jwt_t *t, EVP_PKEY *pkey,
    const unsigned char *sig, size_t len)
{
    int          ok;
    EVP_MD_CTX  *md;

    md = EVP_MD_CTX_new();

    ok = md != NULL
         && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, pkey) == 1
         && EVP_DigestVerify(md, sig, len, (const unsigned char *) t->input,
                             t->input_len)
            == 1;

    EVP_MD_CTX_free(md);
    ERR_clear_error();

    return ok;
}


int
pcap_jwt_verify(const pcap_jwt_t *t, const pcap_jwt_key_t *key,
    json_t **claims, const char **why)
{
    int             ok;
    long            n;
    size_t          len;
    unsigned char   sig[JWT_MAX_RSA_BYTES], *der;

    *why = NULL;
    *claims = NULL;

    if (t->alg != key->alg) {
        return jwt_fail(why, "the token's algorithm is not that of its key");
    }

    n = pcap_jwt_decode(t->signature, t->signature_len, sig, sizeof(sig));
    len = key->alg == PCAP_JWT_RS256 ? (size_t) EVP_PKEY_get_size(key->pkey)
                                     : 2 * JWT_P256_BYTES;

    if (n < 0 || (size_t) n != len) {
        return jwt_fail(why, "the token's signature has not the form of its "
                             "algorithm");
    }

    if (key->alg == PCAP_JWT_RS256) {
        ok = jwt_check_signature(t, key->pkey, sig, len);

    } else {
        der = NULL;
        len = (size_t) jwt_ecdsa_der(sig, &der);
        ok = len != 0 && jwt_check_signature(t, key->pkey, der, len);
        OPENSSL_free(der);
    }

    if (!ok) {
        return jwt_fail(why, "the token's signature is wrong");
    }

    return pcap_jwt_claims(t->payload, t->payload_len, claims, why);
}


int
pcap_jwt_claims(const char *payload, size_t len, json_t **claims,
    const char **why)
{
    int  rc;

    rc = jwt_decode_object(payload, len, claims, why);

    if (rc == PCAP_JWT_OK && !jwt_are_types(*claims, jwt_payload)) {
        json_decref(*claims);
        *claims = NULL;
        return jwt_fail(why, "a claim of the token has an unexpected type");
    }

    return rc;
}
