/*
 * store/s3_bucket.c: see s3.h: what is asked about a bucket, and the one rule
 * that is written. None of it is needed to store anything.
 */

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "s3_int.h"


#define S3_RULE_ID      "pcap-store"
#define S3_RULE_MAX     2048
#define S3_BASE64_LEN   48           /* of a SHA-256, with its end */


static int s3_ask_bucket(s3_t *s, s3_request_t *r, const char *method,
    const char *query, s3_error_t *e);
static int s3_only_rule(const s3_request_t *r);
static int s3_same_rule(const s3_request_t *r, const char *prefix,
    unsigned days);
static int s3_put_rule(s3_t *s, const char *prefix, unsigned days,
    s3_error_t *e);


int
s3_bucket(s3_t *s, s3_error_t *e)
{
    int           rc;
    s3_request_t  r;

    rc = s3_ask_bucket(s, &r, "HEAD", NULL, e);
    s3_request_free(&r);

    return rc;
}


int
s3_bucket_public(s3_t *s, int *is_public, s3_error_t *e)
{
    int           rc;
    char          text[8];
    s3_request_t  r;

    rc = s3_ask_bucket(s, &r, "GET", "policyStatus", e);
    *is_public = rc == 0 && s3_element(&r, "IsPublic", text, sizeof(text))
                 && strcasecmp(text, "true") == 0;
    s3_request_free(&r);

    return rc == 0 || strcmp(e->code, "NoSuchBucketPolicy") == 0 ? 0 : -1;
}


int
s3_bucket_encrypted(s3_t *s, int *encrypted, s3_error_t *e)
{
    int           rc;
    s3_request_t  r;

    rc = s3_ask_bucket(s, &r, "GET", "encryption", e);
    *encrypted = rc == 0;
    s3_request_free(&r);

    return rc == 0
           || strcmp(e->code, "ServerSideEncryptionConfigurationNotFoundError")
              == 0 ? 0 : -1;
}


int
s3_lifecycle(s3_t *s, const char *prefix, unsigned days, s3_rule_t *rule,
    s3_error_t *e)
{
    int           rc;
    s3_request_t  r;

    rc = s3_ask_bucket(s, &r, "GET", "lifecycle", e);

    if (rc != 0 && strcmp(e->code, "NoSuchLifecycleConfiguration") != 0) {
        s3_request_free(&r);
        return -1;
    }

    *rule = rc != 0 || s3_only_rule(&r) ? S3_RULE_WRITTEN : S3_RULE_OTHERS;

    if (rc == 0 && s3_same_rule(&r, prefix, days)) {
        *rule = S3_RULE_THERE;
    }

    s3_request_free(&r);

    return *rule == S3_RULE_WRITTEN ? s3_put_rule(s, prefix, days, e) : 0;
}


/* A request without a key: about the bucket. */

static int
s3_ask_bucket(s3_t *s, s3_request_t *r, const char *method,
    const char *query, s3_error_t *e)
{
    memset(r, 0, sizeof(*r));
    r->method = method;
    r->key = "";

    if (query != NULL) {
        r->query[r->nquery++] = (sigv4_pair_t) { query, "" };
    }

    return s3_request(s, r, e);
}


/* The answer has one rule, and it is ours. Whatever else it is stays. */

static int
s3_only_rule(const s3_request_t *r)
{
    char         id[64];
    const char  *first;

    first = strstr(r->answer ? r->answer : "", "<Rule>");

    return first != NULL && strstr(first + 1, "<Rule>") == NULL
           && s3_element(r, "ID", id, sizeof(id))
           && strcmp(id, S3_RULE_ID) == 0;
}


static int
s3_same_rule(const s3_request_t *r, const char *prefix, unsigned days)
{
    char  found[16], is[16], where[S3_RULE_MAX];

    snprintf(is, sizeof(is), "%u", days);

    return s3_only_rule(r) && s3_element(r, "Days", found, sizeof(found))
           && strcmp(found, is) == 0
           && s3_element(r, "Prefix", where, sizeof(where))
           && strcmp(where, prefix) == 0;
}


/* S3 wants a checksum here, also where the body is signed. */

static int
s3_put_rule(s3_t *s, const char *prefix, unsigned days, s3_error_t *e)
{
    int             rc;
    char            text[S3_RULE_MAX], base64[S3_BASE64_LEN];
    uint8_t         sum[EVP_MAX_MD_SIZE];
    unsigned        len;
    s3_request_t    r;

    /* the prefix is letters, digits, - _ . and / (conf_s3.c) */

    snprintf(text, sizeof(text), "<LifecycleConfiguration xmlns=\""
             "http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ID>"
             S3_RULE_ID "</ID><Status>Enabled</Status><Filter><Prefix>%s"
             "</Prefix></Filter><Expiration><Days>%u</Days></Expiration>"
             "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1"
             "</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>"
             "</LifecycleConfiguration>", prefix, days);

    memset(e, 0, sizeof(*e));

    if (EVP_Digest(text, strlen(text), sum, &len, EVP_sha256(), NULL) != 1) {
        snprintf(e->text, sizeof(e->text), "out of memory");
        return -1;
    }

    (void) EVP_EncodeBlock((unsigned char *) base64, sum, (int) len);

    memset(&r, 0, sizeof(r));
    r.method = "PUT";
    r.key = "";
    r.query[r.nquery++] = (sigv4_pair_t) { "lifecycle", "" };
    r.headers[r.nheaders++] = (sigv4_pair_t) { "x-amz-checksum-sha256",
                                               base64 };
    r.headers[r.nheaders++] = (sigv4_pair_t) {
        "x-amz-sdk-checksum-algorithm", "SHA256" };
    r.text = text;
    rc = s3_request(s, &r, e);
    s3_request_free(&r);

    return rc;
}
