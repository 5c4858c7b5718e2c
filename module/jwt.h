/*
 * module/jwt.h: signed tokens (JWT in the compact form of a JWS) and the keys
 * that an authorization server publishes for them. Nothing of nginx is in
 * here, so that unit tests and a fuzzer reach it; only libcrypto and jansson.
 *
 * RS256 and ES256 are all there is. A key is never taken from the token nor
 * from an address that the token names, and the signature is checked before
 * the payload is looked at. No text of an error repeats any of the token.
 */

#ifndef PCAP_JWT_H
#define PCAP_JWT_H

#include <stddef.h>

#include <jansson.h>


#define PCAP_JWT_MAX_TOKEN  16384     /* bytes, as the module takes */
#define PCAP_JWT_MAX_KEYS   32        /* of one key set */
#define PCAP_JWT_MAX_KID    256       /* bytes */

#define PCAP_JWT_OK         0
#define PCAP_JWT_EINVAL     (-1)      /* the token or the document is wrong */
#define PCAP_JWT_ENOKEY     (-2)      /* no key has that kid */
#define PCAP_JWT_ENOMEM     (-3)      /* or libcrypto failed by itself */


typedef enum {
    PCAP_JWT_RS256 = 1,
    PCAP_JWT_ES256
} pcap_jwt_alg_e;

typedef struct pcap_jwt_key_s   pcap_jwt_key_t;
typedef struct pcap_jwt_keys_s  pcap_jwt_keys_t;

/* A token that was split; the pointers alias the token. */
typedef struct {
    const char      *input;           /* "header.payload": what is signed */
    size_t           input_len;
    const char      *payload;         /* base64url */
    size_t           payload_len;
    const char      *signature;       /* base64url */
    size_t           signature_len;
    pcap_jwt_alg_e   alg;
    size_t           kid_len;         /* 1 .. PCAP_JWT_MAX_KID */
    char             kid[PCAP_JWT_MAX_KID];
} pcap_jwt_t;


/*
 * Decodes base64url without padding (RFC 7515 2): out has room for size
 * bytes. Returns the length, or -1 for any other character, a length that no
 * encoder makes, bits left over that are not 0, or too little room.
 */
long pcap_jwt_decode(const char *p, size_t len, unsigned char *out,
    size_t size);

/*
 * Splits a token (RFC 7515 3.1, 7.1) and reads its header (4.1): three parts,
 * a JSON object without duplicate names, alg "RS256" or "ES256" (RFC 7518
 * 3.1), a kid. "crit" is refused (4.1.11: we know no extension); jku, x5u,
 * jwk, x5c and the like are ignored, but have to be of their type. t keeps
 * pointers into token. PCAP_JWT_OK, or PCAP_JWT_EINVAL or PCAP_JWT_ENOMEM
 * with *why set to a static text.
 */
int pcap_jwt_parse(pcap_jwt_t *t, const char *token, size_t len,
    const char **why);

/*
 * Reads a JWK set (RFC 7517 5): RSA keys of 2048 (RFC 7518 3.3) to 8192 bits
 * by n and e (6.3.1), EC keys on P-256 by x and y (6.2.1). A key without kid,
 * of another kind, for another use, alg or operation, too weak or not on the
 * curve is skipped, as is one whose kid and kind were there before. *keys is
 * the caller's, for pcap_jwt_keys_free(). PCAP_JWT_OK, or PCAP_JWT_EINVAL (no
 * JWK set, no usable key, over PCAP_JWT_MAX_KEYS of them) or PCAP_JWT_ENOMEM
 * with *why set to a static text.
 */
int pcap_jwt_keys_parse(const char *data, size_t len, pcap_jwt_keys_t **keys,
    const char **why);

/* NULL is fine. */
void pcap_jwt_keys_free(pcap_jwt_keys_t *keys);

/* How many keys are in the set. */
size_t pcap_jwt_keys_count(const pcap_jwt_keys_t *keys);

/*
 * Finds the key of a token by kid and kind. PCAP_JWT_OK with *key, an alias
 * into keys; PCAP_JWT_ENOKEY when no key has that kid; PCAP_JWT_EINVAL when
 * only keys of the other kind do (an RS256 token that names an EC key). *why
 * is set to a static text.
 */
int pcap_jwt_key_find(const pcap_jwt_keys_t *keys, const pcap_jwt_t *t,
    const pcap_jwt_key_t **key, const char **why);

/*
 * Checks the signature by key (RFC 7518 3.3: PKCS #1 1.5 of exactly the
 * modulus' length; 3.4: r and s of 32 bytes each, within 1 .. n - 1), then
 * reads the payload. Whether the claims fit (iss, aud, exp, ...) is for the
 * caller to say. PCAP_JWT_OK with *claims, a reference of the caller's; or
 * PCAP_JWT_EINVAL, PCAP_JWT_ENOMEM with *why set to a static text.
 */
int pcap_jwt_verify(const pcap_jwt_t *t, const pcap_jwt_key_t *key,
    json_t **claims, const char **why);

/*
 * The second half of pcap_jwt_verify(), apart for tests: a payload that
 * NOBODY has checked. A JSON object without duplicate names, in which every
 * claim of RFC 7519 4.1 and of UAA that the module reads is of its type when
 * it is there; null is of no type.
 */
int pcap_jwt_claims(const char *payload, size_t len, json_t **claims,
    const char **why);


#endif /* PCAP_JWT_H */
