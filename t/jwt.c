/*
 * t/jwt.c: signed tokens, see module/jwt.h. The keys are made here at run
 * time; tokens and key sets are put together by hand, so that each can be
 * wrong in just one thing.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "module/jwt.h"
#include "t/tap.h"

/* LDFLAGS: -lcrypto -ljansson */


#define TEXT       65536
#define CLAIMS     "{\"iss\":\"https://uaa\",\"sub\":\"u\",\"exp\":1}"
#define RS_HEADER  "{\"alg\":\"RS256\",\"kid\":\"rsa\"}"
#define ES_HEADER  "{\"alg\":\"ES256\",\"kid\":\"ec\"}"
#define P256_N     "FFFFFFFF00000000FFFFFFFFFFFFFFFF" \
                   "BCE6FAADA7179E84F3B9CAC2FC632551"


static EVP_PKEY         *rsa, *rsa2, *rsa1024, *ec, *ec2;
static pcap_jwt_keys_t  *keys;


static void
need(int cond, const char *what)
{
    if (!cond) {
        printf("Bail out! %s\n", what);
        exit(1);
    }
}


static void
append(char *text, const char *more)
{
    size_t  len = strlen(text), n = strlen(more);

    need(len + n < TEXT, "a text is too long");
    memcpy(text + len, more, n + 1);
}


static void
encode(char *out, const void *data, size_t len)
{
    size_t                i, n;
    unsigned              v, k;
    const unsigned char  *p = data;

    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                                  "qrstuvwxyz0123456789-_";

    for (i = 0; i < len; i += 3) {
        n = len - i < 3 ? len - i : 3;
        v = (unsigned) p[i] << 16;
        v |= n > 1 ? (unsigned) p[i + 1] << 8 : 0;
        v |= n > 2 ? p[i + 2] : 0;

        for (k = 0; k < n + 1; k++) {
            *out++ = digits[v >> (18 - 6 * k) & 63];
        }
    }

    *out = '\0';
}


/* r || s of a DER signature; sig is replaced */
static size_t
raw_ecdsa(unsigned char *sig, size_t len)
{
    ECDSA_SIG            *s;
    const unsigned char  *p = sig;

    s = d2i_ECDSA_SIG(NULL, &p, (long) len);
    need(s != NULL, "ECDSA_SIG");
    BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + 32, 32);
    ECDSA_SIG_free(s);

    return 64;
}


static size_t
sign(EVP_PKEY *key, const char *text, unsigned char *sig)
{
    size_t       len;
    EVP_MD_CTX  *md;

    len = 2048;
    md = EVP_MD_CTX_new();
    need(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1
         && EVP_DigestSign(md, sig, &len, (const unsigned char *) text,
                           strlen(text)) == 1, "signing");
    EVP_MD_CTX_free(md);

    return EVP_PKEY_is_a(key, "EC") ? raw_ecdsa(sig, len) : len;
}


/* "header.payload" */
static void
unsigned_token(char *out, const char *header, const char *payload)
{
    encode(out, header, strlen(header));
    append(out, ".");
    encode(out + strlen(out), payload, strlen(payload));
}


static const char *
token(EVP_PKEY *key, const char *header, const char *payload)
{
    static char           text[TEXT];
    static unsigned char  sig[2048];
    size_t                len;

    unsigned_token(text, header, payload);
    len = sign(key, text, sig);
    append(text, ".");
    encode(text + strlen(text), sig, len);

    return text;
}


/* All steps for one token: NULL when it is good, else what is wrong. */
static const char *
check_in(pcap_jwt_keys_t *set, const char *text, size_t len)
{
    json_t                *claims;
    pcap_jwt_t             t;
    const char            *why;
    const pcap_jwt_key_t  *key;

    /* memory of its own size: the sanitizer sees each byte beyond */
    char  *copy = malloc(len ? len : 1);

    memcpy(copy, text, len);
    claims = NULL;

    if (pcap_jwt_parse(&t, copy, len, &why) == PCAP_JWT_OK
        && pcap_jwt_key_find(set, &t, &key, &why) == PCAP_JWT_OK
        && pcap_jwt_verify(&t, key, &claims, &why) == PCAP_JWT_OK)
    {
        why = NULL;
    }

    need((claims != NULL) == (why == NULL), "claims without a verdict");
    json_decref(claims);
    free(copy);

    return why;
}


static const char *
check(const char *text)
{
    return check_in(keys, text, strlen(text));
}


static void
good(const char *text, const char *name)
{
    const char  *why = check(text);

    ok(why == NULL, "%s%s%s", name, why ? ": " : "", why ? why : "");
}


/* Refused, for the reason that is meant. */
static void
bad(const char *text, const char *reason, const char *name)
{
    const char  *why = check(text);

    ok(why != NULL && strstr(why, reason) != NULL, "%s: %s", name,
       why ? why : "TAKEN");
}


static void
number(EVP_PKEY *key, const char *param, char *out, int len)
{
    BIGNUM         *n = NULL;
    unsigned char   buf[2048];

    need(EVP_PKEY_get_bn_param(key, param, &n), "a number of a key");
    len = len ? len : BN_num_bytes(n);
    BN_bn2binpad(n, buf, len);
    BN_free(n);
    encode(out, buf, (size_t) len);
}


static const char *
rsa_jwk(EVP_PKEY *key, const char *kid, const char *more)
{
    static char  text[8192];
    char         n[4096], e[64];

    number(key, OSSL_PKEY_PARAM_RSA_N, n, 0);
    number(key, OSSL_PKEY_PARAM_RSA_E, e, 0);
    snprintf(text, sizeof(text), "{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"%s"
             "\",\"e\":\"%s\"%s}", kid, n, e, more);

    return text;
}


static const char *
ec_jwk(EVP_PKEY *key, const char *kid, const char *more)
{
    static char  text[8192];
    char         x[64], y[64];

    number(key, OSSL_PKEY_PARAM_EC_PUB_X, x, 32);
    number(key, OSSL_PKEY_PARAM_EC_PUB_Y, y, 32);
    snprintf(text, sizeof(text), "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":"
             "\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s}", kid, x, y, more);

    return text;
}


/* How many keys are taken from a document; negative: an error. */
static int
count(const char *doc, const char **why)
{
    int               n;
    pcap_jwt_keys_t  *set;

    n = pcap_jwt_keys_parse(doc, strlen(doc), &set, why);

    if (n == PCAP_JWT_OK) {
        n = (int) pcap_jwt_keys_count(set);
        pcap_jwt_keys_free(set);
    }

    return n;
}


static int
count_one(const char *jwk)
{
    static char   doc[TEXT];
    const char   *why;

    snprintf(doc, sizeof(doc), "{\"keys\":[%s]}", jwk);

    return count(doc, &why);
}


static void
make_keys(void)
{
    static char   doc[TEXT];
    const char   *why;

    rsa = EVP_RSA_gen(2048);
    rsa2 = EVP_RSA_gen(2048);
    rsa1024 = EVP_RSA_gen(1024);
    ec = EVP_EC_gen("P-256");
    ec2 = EVP_EC_gen("P-256");
    need(rsa && rsa2 && rsa1024 && ec && ec2, "key generation");

    snprintf(doc, sizeof(doc), "{\"keys\":[%s,", rsa_jwk(rsa, "rsa",
             ",\"use\":\"sig\",\"alg\":\"RS256\",\"value\":\"-----BEGIN\""));
    append(doc, ec_jwk(ec, "ec", ",\"alg\":\"ES256\""));
    append(doc, ",");
    append(doc, rsa_jwk(rsa2, "both", ""));
    append(doc, ",");
    append(doc, ec_jwk(ec2, "both", ""));
    append(doc, ",{\"kty\":\"oct\",\"kid\":\"mac\",\"k\":\"AAAA\"},7]}");

    ok(pcap_jwt_keys_parse(doc, strlen(doc), &keys, &why) == PCAP_JWT_OK
       && pcap_jwt_keys_count(keys) == 4, "a set of four keys and others");
    need(keys != NULL, "no keys");
}


static void
test_good(void)
{
    good(token(rsa, RS_HEADER, CLAIMS), "RS256");
    good(token(ec, ES_HEADER, CLAIMS), "ES256");
    good(token(rsa2, "{\"alg\":\"RS256\",\"kid\":\"both\"}", CLAIMS),
         "RS256, an EC key has that kid, too");
    good(token(ec2, "{\"alg\":\"ES256\",\"kid\":\"both\"}", CLAIMS),
         "ES256, an RSA key has that kid, too");
    good(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"JWT\","
                    "\"jku\":\"https://evil/\",\"x5u\":\"https://evil/\","
                    "\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"},"
                    "\"x5c\":[\"x\"],\"other\":[null]}", CLAIMS),
         "jku, x5u, jwk, x5c are ignored");
    bad(token(rsa2, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jwk\":{}}", CLAIMS),
        "signature is wrong", "but never used");
    good(token(rsa, RS_HEADER, "{}"), "no claims at all");
    good(token(rsa, RS_HEADER, "{\"aud\":\"x\",\"scope\":\"a b\"}"),
         "aud and scope as strings");
    good(token(rsa, RS_HEADER, "{\"aud\":[\"x\"],\"scope\":[]}"),
         "aud and scope as arrays");
}


static void
test_algorithms(void)
{
    BIO            *bio;
    char           *pem, text[TEXT];
    long            n;
    unsigned        len;
    unsigned char   mac[64];

    static const char *const  wrong[] = {
        "none", "None", "nOnE", "", "HS256", "HS512", "RS384", "RS512",
        "PS256", "ES384", "EdDSA", "rs256", "RS256 ", "RS2567", NULL
    };

    for (n = 0; wrong[n]; n++) {
        snprintf(text, sizeof(text), "{\"alg\":\"%s\",\"kid\":\"rsa\"}",
                 wrong[n]);
        bad(token(rsa, text, CLAIMS), "RS256 or ES256", wrong[n]);
    }

    unsigned_token(text, "{\"alg\":\"none\",\"kid\":\"rsa\"}", CLAIMS);
    append(text, ".");
    bad(text, "RS256 or ES256", "none, no signature");
    unsigned_token(text, RS_HEADER, CLAIMS);
    append(text, ".");
    bad(text, "form", "RS256, no signature");

    /* the public key is public: as the key of an HMAC it proves nothing */

    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, rsa);
    n = BIO_get_mem_data(bio, &pem);
    unsigned_token(text, "{\"alg\":\"HS256\",\"kid\":\"rsa\"}", CLAIMS);
    HMAC(EVP_sha256(), pem, (int) n, (unsigned char *) text, strlen(text),
         mac, &len);
    append(text, ".");
    encode(text + strlen(text), mac, len);
    bad(text, "RS256 or ES256", "HS256 by the public key's PEM");

    unsigned_token(text, RS_HEADER, CLAIMS);
    HMAC(EVP_sha256(), pem, (int) n, (unsigned char *) text, strlen(text),
         mac, &len);
    append(text, ".");
    encode(text + strlen(text), mac, len);
    bad(text, "form", "the same, called RS256");
    BIO_free(bio);

    bad(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"ec\"}", CLAIMS),
        "not that of its key", "RS256 that names an EC key");
    bad(token(ec, "{\"alg\":\"ES256\",\"kid\":\"rsa\"}", CLAIMS),
        "not that of its key", "ES256 that names an RSA key");
}


static void
test_keys_of_tokens(void)
{
    char  text[1024];

    bad(token(rsa2, RS_HEADER, CLAIMS), "wrong", "another RSA key, same kid");
    bad(token(ec2, ES_HEADER, CLAIMS), "wrong", "another EC key, same kid");
    bad(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"rsb\"}", CLAIMS),
        "not known", "unknown kid");
    bad(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"rs\"}", CLAIMS),
        "not known", "beginning of a kid");
    bad(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"RSA\"}", CLAIMS),
        "not known", "kid in capitals");
    bad(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"mac\"}", CLAIMS),
        "not known", "kid of a MAC key");
    bad(token(rsa, "{\"alg\":\"RS256\"}", CLAIMS), "no key", "no kid");
    bad(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"\"}", CLAIMS), "no key",
        "empty kid");
    snprintf(text, sizeof(text), "{\"alg\":\"RS256\",\"kid\":\"%0300d\"}", 0);
    bad(token(rsa, text, CLAIMS), "256 bytes", "kid of 300 bytes");
}


/* Every bit of the signature flipped, one at a time. */
static void
test_flipped(EVP_PKEY *key, const char *header, const char *name)
{
    char            text[TEXT], in[TEXT];
    size_t          i, len, taken;
    unsigned char   sig[2048];

    unsigned_token(in, header, CLAIMS);
    len = sign(key, in, sig);
    taken = 0;

    for (i = 0; i < len * 8; i++) {
        sig[i / 8] ^= (unsigned char) (1u << i % 8);
        memcpy(text, in, sizeof(in));
        append(text, ".");
        encode(text + strlen(text), sig, len);
        sig[i / 8] ^= (unsigned char) (1u << i % 8);
        taken += check(text) == NULL;
    }

    ok(taken == 0, "%s: %zu flipped bits, %zu taken", name, len * 8, taken);
    memcpy(text, in, sizeof(in));
    append(text, ".");
    encode(text + strlen(text), sig, len);
    good(text, "and with none flipped");
}


/* Every character of the token as another one, and every length of it. */
static void
test_changed(EVP_PKEY *key, const char *header, const char *name)
{
    char    text[TEXT], ch;
    size_t  i, len, taken, cut;

    snprintf(text, sizeof(text), "%s", token(key, header, CLAIMS));
    len = strlen(text);
    taken = 0;
    cut = 0;

    for (i = 0; i < len; i++) {
        ch = text[i];
        text[i] = ch == 'B' ? 'C' : 'B';
        taken += check(text) == NULL;
        text[i] = (char) (ch ^ 1);
        taken += check(text) == NULL;
        text[i] = ch;
        cut += check_in(keys, text, i) == NULL;
    }

    ok(taken == 0, "%s: each character changed, %zu taken", name, taken);
    ok(cut == 0, "%s: truncated anywhere, %zu taken", name, cut);
    good(text, "and whole");
    append(text, "A");
    bad(text, "form", "a character more");
}


static void
set_scalar(unsigned char *to, const char *hex)
{
    BIGNUM  *n = NULL;

    BN_hex2bn(&n, hex);
    BN_bn2binpad(n, to, 32);
    BN_free(n);
}


static void
test_scalars(void)
{
    int             i;
    char            text[TEXT];
    unsigned char   sig[2048];

    static const char *const  values[] = { "0", P256_N,
        "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632552",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
    };

    for (i = 0; i < 12; i++) {
        unsigned_token(text, ES_HEADER, CLAIMS);
        sign(ec, text, sig);

        if (i % 3 != 1) {
            set_scalar(sig, values[i / 3]);
        }

        if (i % 3 != 0) {
            set_scalar(sig + 32, values[i / 3]);
        }

        append(text, ".");
        encode(text + strlen(text), sig, 64);
        bad(text, "signature is wrong", i % 3 == 0 ? "r" : i % 3 == 1 ? "s"
            : "r and s");
    }

    /* DER, as libcrypto gives it, is no JWS */

    unsigned_token(text, ES_HEADER, CLAIMS);
    append(text, ".");
    encode(text + strlen(text), "\x30\x44\x02\x20", 4);
    bad(text, "form", "DER");
}


static void
test_forms(void)
{
    char    text[TEXT], *dot;
    size_t  i, n;

    snprintf(text, sizeof(text), "%s", token(rsa, RS_HEADER, "{\"a\":12}"));
    good(text, "no padding");
    append(text, "==");
    bad(text, "form", "a padded signature");

    bad("", "empty", "empty");
    bad(".", "three parts", "one dot");
    bad("..", "JSON object", "two dots");
    bad("a.b.c.d", "three parts", "four parts");
    bad("a.b.c.d.e", "three parts", "five parts, as a JWE");
    bad("e30=.e30.AAAA", "base64url", "a padded header");
    bad("e31.e30.AAAA", "base64url", "bits left over in the header");
    bad("e30.e30.AAAA", "RS256 or ES256", "an empty header");
    bad("W10.e30.AAAA", "JSON object", "a header that is an array");
    bad("e 0.e30.AAAA", "base64url", "a space");
    bad("e+0.e30.AAAA", "base64url", "base64, not base64url");

    /* each of the other ends of the last character means the same bytes */

    snprintf(text, sizeof(text), "%s", token(rsa, RS_HEADER, CLAIMS));
    n = strlen(text) - 1;
    dot = &text[n];

    for (i = 0; i < 15 && *dot < 'z'; i++) {
        (*dot)++;
        if (check(text) == NULL) {
            break;
        }
    }

    ok(i > 0 && check(text) != NULL, "bits left over in the signature");

    memset(text, 'A', sizeof(text));
    text[16384] = '\0';
    bad(text, "three parts", "16384 bytes");
    text[16384] = 'A';
    text[16385] = '\0';
    bad(text, "over 16384", "16385 bytes");

    n = pcap_jwt_decode("AAAA", 4, (unsigned char *) text, 2) == -1;
    ok(n && pcap_jwt_decode("AAAA", 4, (unsigned char *) text, 3) == 3
       && pcap_jwt_decode("AAA", 3, (unsigned char *) text, 1) == -1
       && pcap_jwt_decode("A", 1, (unsigned char *) text, 9) == -1
       && pcap_jwt_decode("", 0, (unsigned char *) text, 0) == 0,
       "decoding keeps to its room");
}


static void
test_headers(void)
{
    char    text[1024];
    size_t  i, k;

    static const char *const  values[] = {
        "7", "{}", "[]", "null", "true", "\"x\""
    };
    static const char *const  names[] = {
        "alg", "kid", "typ", "cty", "jku", "x5u", "x5t", "x5t#S256"
    };

    for (i = 0; i < 8; i++) {
        for (k = 0; k < 5; k++) {
            snprintf(text, sizeof(text), "{%s%s\"%s\":%s}",
                     i == 0 ? "" : "\"alg\":\"RS256\",",
                     i == 1 ? "" : "\"kid\":\"rsa\",", names[i], values[k]);
            bad(token(rsa, text, CLAIMS), "unexpected type", text);
        }
    }

    for (k = 0; k < 6; k++) {
        snprintf(text, sizeof(text), "{\"alg\":\"RS256\",\"kid\":\"rsa\","
                 "\"crit\":%s}", values[k]);
        bad(token(rsa, text, CLAIMS), "crit", text);
    }

    bad(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"jwk\":\"x\"}",
              CLAIMS), "unexpected type", "jwk is a string");
    bad(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x5c\":[7]}",
              CLAIMS), "unexpected type", "x5c holds a number");
    bad(token(rsa, "{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"rsa\"}",
              CLAIMS), "twice", "alg twice");
    bad(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x\":{\"a\":1,\"a\":"
                   "2}}", CLAIMS), "twice", "a name twice, deep inside");
    bad(token(rsa, RS_HEADER "x", CLAIMS), "JSON", "more behind the header");
    bad(token(rsa, "{\"alg\":\"RS256\",\"kid\":\"rsa\\u0000\"}", CLAIMS),
        "JSON", "a NUL in the kid");
}


static void
test_claims(void)
{
    char    text[1024];
    size_t  i, k;

    static const char *const  names[] = {
        "iss", "sub", "jti", "client_id", "cid", "user_id", "user_name",
        "username", "aud", "scope", "exp", "nbf", "iat"
    };
    static const char *const  values[] = {
        "7", "{}", "null", "true", "[7]", "[[\"a\"]]", "1.5", "\"7\""
    };

    for (i = 0; i < 13; i++) {
        for (k = 0; k < 8; k++) {
            if ((i < 10 && k == 7) || (i >= 10 && k == 0)) {
                continue;                  /* that is its type */
            }

            snprintf(text, sizeof(text), "{\"%s\":%s}", names[i], values[k]);
            bad(token(rsa, RS_HEADER, text), "unexpected type", text);
        }
    }

    bad(token(rsa, RS_HEADER, "{\"exp\":1,\"exp\":9999999999}"), "twice",
        "exp twice");
    bad(token(rsa, RS_HEADER, "[]"), "JSON object", "an array");
    bad(token(rsa, RS_HEADER, "\"x\""), "JSON object", "a string");
    bad(token(rsa, RS_HEADER, ""), "JSON object", "an empty payload");
    bad(token(rsa, RS_HEADER, "{\"a\":\"\xff\"}"), "JSON", "no UTF-8");
    bad(token(rsa, RS_HEADER, "{\"exp\":99999999999999999999}"), "JSON",
        "exp beyond 64 bits");


    memset(text, 0, sizeof(text));
    memset(text, '[', sizeof(text) - 1);
    bad(token(rsa, RS_HEADER, text), "JSON", "1000 brackets");
}


static void
test_weak_keys(void)
{
    char      *text, *e;
    EVP_PKEY  *big;

    ok(count_one(rsa_jwk(rsa1024, "k", "")) == PCAP_JWT_EINVAL,
       "RSA of 1024 bits is refused");
    ok(count_one(rsa_jwk(rsa, "k", "")) == 1, "RSA of 2048 is not");
    big = EVP_RSA_gen(4096);
    ok(count_one(rsa_jwk(big, "k", "")) == 1, "RSA of 4096 is not");

    /* an even modulus of 2048 bits and one of 8193 */

    text = malloc(8192);
    e = malloc(8192);
    memset(e, 'A', 8191);
    e[0] = '_';
    e[342] = '\0';
    snprintf(text, 8192, "{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":"
             "\"AQAB\"}", e);
    ok(count_one(text) == PCAP_JWT_EINVAL, "an even modulus");
    memset(e, '_', 8191);
    e[1366] = '8';                         /* 1025 bytes, odd */
    e[1367] = '\0';
    snprintf(text, 8192, "{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":"
             "\"AQAB\"}", e);
    ok(count_one(text) == PCAP_JWT_EINVAL, "a modulus of over 8192 bits");
    e[342] = '\0';                         /* 256 bytes, odd */
    e[341] = 'w';
    snprintf(text, 8192, "{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":"
             "\"AQ\"}", e);
    ok(count_one(text) == PCAP_JWT_EINVAL, "e = 1");
    snprintf(text, 8192, "{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":"
             "\"AQAA\"}", e);
    ok(count_one(text) == PCAP_JWT_EINVAL, "an even e");
    snprintf(text, 8192, "{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":"
             "\"%.86s\"}", e, e);
    ok(count_one(text) == PCAP_JWT_EINVAL, "an e of 512 bits");
    snprintf(text, 8192, "{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":"
             "\"AQAB\"}", e);
    ok(count_one(text) == 1, "and that modulus with 65537 is fine");

    snprintf(text, 8192, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\","
             "\"x\":\"%.42sA\",\"y\":\"%.42sA\"}", e, e);
    ok(count_one(text) == PCAP_JWT_EINVAL, "a point off the curve");
    memset(e, 'A', 43);
    snprintf(text, 8192, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\","
             "\"x\":\"%.43s\",\"y\":\"%.43s\"}", e, e);
    ok(count_one(text) == PCAP_JWT_EINVAL, "the point 0, 0");
    snprintf(text, 8192, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\","
             "\"x\":\"%.42s\",\"y\":\"%.42s\"}", e, e);
    ok(count_one(text) == PCAP_JWT_EINVAL, "short coordinates");

    snprintf(text, 8192, "%s", ec_jwk(ec, "k", ""));
    ok(count_one(text) == 1, "a point on the curve");
    memcpy(strstr(text, "P-256"), "P-384", 5);
    ok(count_one(text) == PCAP_JWT_EINVAL, "the same, said to be of P-384");

    free(text);
    free(e);
    EVP_PKEY_free(big);
}


static void
test_key_sets(void)
{
    int           i, k, n;
    char         *doc;
    size_t        len;
    const char   *why;
    char          kid[512];

    static const char *const  others[] = {
        ",\"use\":\"enc\"", ",\"use\":7", ",\"use\":null",
        ",\"alg\":\"RS512\"", ",\"alg\":\"ES256\"", ",\"alg\":{}",
        ",\"key_ops\":[\"sign\"]", ",\"key_ops\":7", NULL
    };
    static const char *const  broken[] = {
        "", "{", "[]", "7", "null", "{}", "{\"keys\":7}", "{\"keys\":{}}",
        "{\"keys\":[]}", "{\"keys\":[[]]}", "{\"keys\":[null,{},7]}",
        "{\"keys\":[],\"keys\":[]}", "<html>", NULL
    };

    for (i = 0; others[i]; i++) {
        ok(count_one(rsa_jwk(rsa, "k", others[i])) == PCAP_JWT_EINVAL,
           "skipped: %s", others[i]);
    }

    ok(count_one(rsa_jwk(rsa, "k", ",\"use\":\"sig\",\"key_ops\":[\"verify\"]"
                         ",\"alg\":\"RS256\"")) == 1, "all of it fits");
    ok(count_one(ec_jwk(ec, "k", ",\"alg\":\"RS256\"")) == PCAP_JWT_EINVAL,
       "skipped: an EC key for RS256");
    ok(count_one(rsa_jwk(rsa, "", "")) == PCAP_JWT_EINVAL, "an empty kid");
    snprintf(kid, sizeof(kid), "%0257d", 0);
    ok(count_one(rsa_jwk(rsa, kid, "")) == PCAP_JWT_EINVAL, "a long kid");

    for (i = 0; broken[i]; i++) {
        n = count(broken[i], &why);
        ok(n == PCAP_JWT_EINVAL && why, "%s: %s", broken[i], why);
    }

    /* the same kid and kind twice: the first one counts */

    doc = malloc(TEXT * 2);
    snprintf(doc, TEXT, "{\"keys\":[%s,", rsa_jwk(rsa, "k", ""));
    append(doc, rsa_jwk(rsa2, "k", ""));
    append(doc, "]}");
    ok(count(doc, &why) == 1, "a kid twice");

    len = (size_t) snprintf(doc, TEXT, "{\"keys\":[");

    for (k = 0; k < 33; k++) {
        snprintf(kid, sizeof(kid), "k%d", k);
        len += (size_t) snprintf(doc + len, TEXT, "%s%s", k ? "," : "",
                                 rsa_jwk(rsa, kid, ""));

        if (k == 31) {
            append(doc, "]}");
            ok(count(doc, &why) == 32, "32 keys");
        }
    }

    append(doc, "]}");
    n = count(doc, &why);
    ok(n == PCAP_JWT_EINVAL && strstr(why, "more than 32"), "33 keys: %s",
       why);
    free(doc);
}


int
main(void)
{
    make_keys();

    test_good();
    test_algorithms();
    test_keys_of_tokens();
    test_flipped(rsa, RS_HEADER, "RS256");
    test_flipped(ec, ES_HEADER, "ES256");
    test_changed(rsa, RS_HEADER, "RS256");
    test_changed(ec, ES_HEADER, "ES256");
    test_scalars();
    test_forms();
    test_headers();
    test_claims();
    test_weak_keys();
    test_key_sets();

    pcap_jwt_keys_free(keys);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(rsa2);
    EVP_PKEY_free(rsa1024);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ec2);

    return tap_done();
}
