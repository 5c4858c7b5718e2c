/*
 * store/s3.h: the requests that the store makes to S3-compatible storage, one
 * at a time over one connection that is kept. Each is signed (sigv4.h), made
 * again with a fresh signature where that is worth it, and told apart from one
 * that never can succeed. It decides nothing: what to upload when is the
 * caller's business.
 *
 * The server may be hostile: answers are bounded, redirects are not followed,
 * XML that declares a document type is not read.
 */

#ifndef STORE_S3_H
#define STORE_S3_H

#include <stddef.h>
#include <stdint.h>

#include "sigv4.h"


#define S3_UPLOAD_MAX    1024        /* bytes of an upload's id; AWS: 128 */
#define S3_ETAG_MAX      128         /* with its quotes */
#define S3_MIN_PART      5242880     /* but for the last one; 5 MiB */
#define S3_MAX_PARTS     10000
#define S3_ERR_LEN       256

typedef enum {
    S3_PATH = 0,                     /* https://host/bucket/key */
    S3_VIRTUAL_HOST                  /* https://bucket.host/key */
} s3_style_t;

typedef struct {
    const char     *endpoint;        /* "https://host[:port]" */
    const char     *public_endpoint; /* for presigned URLs; NULL: endpoint */
    const char     *bucket;
    s3_style_t      style;
    sigv4_key_t     key;
    const char     *ca_file;         /* PEM; NULL: the system's */
    unsigned        stall_s;         /* without a byte; then it has failed */
    unsigned        retry_s;         /* for so long it is tried again */
} s3_conf_t;

/*
 * Of an object. Texts may hold anything: they are encoded here, and in names
 * and tags what S3 does not take becomes an underscore.
 */

typedef struct {
    const char          *type;       /* Content-Type */
    const char          *file_name;  /* of the download */
    const sigv4_pair_t  *tags;       /* at most 10 (S3) */
    size_t               ntags;
} s3_object_t;

/* What is sent: so many bytes of a file from there. */

typedef struct {
    int        fd;                   /* read by pread() alone */
    uint64_t   offset;
    uint64_t   len;
} s3_body_t;

typedef struct {
    unsigned   n;                    /* from 1 */
    char       etag[S3_ETAG_MAX + 1];
} s3_part_t;

/* The rule of a bucket that deletes what is ours. */

typedef enum {
    S3_RULE_THERE = 0,               /* as it should be */
    S3_RULE_WRITTEN,                 /* now */
    S3_RULE_OTHERS                   /* there are others; they stay as is */
} s3_rule_t;

/* Why a request has failed. */

typedef struct {
    long       status;               /* HTTP; 0: there was no answer */
    char       code[64];             /* S3's, "NoSuchUpload"; or empty */
    char       text[S3_ERR_LEN];     /* for people, printable, all of it */
} s3_error_t;

typedef struct s3_s  s3_t;


/*
 * Takes the configuration over by reference, until s3_close(). NULL with a
 * text in err: an endpoint that is none, no memory.
 */
s3_t *s3_open(const s3_conf_t *conf, char err[S3_ERR_LEN]);

void s3_close(s3_t *s);

/*
 * All that follow return 0, or -1 with the reason in *e. They block: for
 * retry_s after the first failure, and as long as one request may take, which
 * is twice stall_s and what its bytes take at 16 KiB a second.
 */

/* Stores a whole object; also one without a byte. */
int s3_put(s3_t *s, const char *key, const s3_object_t *object,
    const s3_body_t *body, s3_error_t *e);

/*
 * Begins an upload. Made again after an answer that was lost it leaves one
 * behind that nobody knows: the bucket's lifecycle rule takes it away.
 */
int s3_begin(s3_t *s, const char *key, const s3_object_t *object,
    char upload[S3_UPLOAD_MAX + 1], s3_error_t *e);

/* Uploads part->n and fills part->etag. The same again replaces it. */
int s3_upload(s3_t *s, const char *key, const char *upload, s3_part_t *part,
    const s3_body_t *body, s3_error_t *e);

/*
 * Makes an object of the parts, in ascending order and at least one. When that
 * fails but an object of size bytes is there, an answer was lost and all is
 * well: keys are of one upload.
 */
int s3_complete(s3_t *s, const char *key, const char *upload,
    const s3_part_t *parts, size_t nparts, uint64_t size, s3_error_t *e);

/* Gives an upload up; one that is not known is no error. */
int s3_abort(s3_t *s, const char *key, const char *upload, s3_error_t *e);

/* Bytes of an object. */
int s3_size(s3_t *s, const char *key, uint64_t *size, s3_error_t *e);

/* Removes an object; one that is not there is no error. */
int s3_delete(s3_t *s, const char *key, s3_error_t *e);

/* Is the bucket there, and may we use it? */
int s3_bucket(s3_t *s, s3_error_t *e);

/* May anybody read it, by its policy? */
int s3_bucket_public(s3_t *s, int *is_public, s3_error_t *e);

/* Does it encrypt by default? */
int s3_bucket_encrypted(s3_t *s, int *encrypted, s3_error_t *e);

/*
 * Sees to the rule "pcap-store": what begins with prefix, of letters, digits
 * and - _ . /, goes after so many days, and uploads that do not end after one.
 */
int s3_lifecycle(s3_t *s, const char *prefix, unsigned days, s3_rule_t *rule,
    s3_error_t *e);

/*
 * The URL, with the public endpoint, of a GET that anybody may make for so many
 * seconds; the download is called file_name. The caller's to free; NULL: no
 * memory.
 */
char *s3_url(s3_t *s, const char *key, const char *file_name,
    unsigned expires);


#endif /* STORE_S3_H */
