/*
 * store/s3_int.h: what s3.c (which requests there are) and s3_http.c (how one
 * is made) share, and nobody else's business.
 */

#ifndef STORE_S3_INT_H
#define STORE_S3_INT_H

#include <curl/curl.h>

#include "s3.h"


#define S3_ANSWER_MAX  65536         /* bytes; a list of parts is not asked */
#define S3_HEADERS     8

/* An endpoint taken apart. */

typedef struct {
    char   *scheme;
    char   *host;                    /* to be signed: with the port, if any */
} s3_address_t;

struct s3_s {
    const s3_conf_t  *conf;
    CURL             *curl;
    s3_address_t      address;
    s3_address_t      public_address;
    int64_t           clock;         /* seconds that the server is ahead */
};

/* A request and what came of it. */

typedef struct {
    const char          *method;
    const char          *key;
    sigv4_pair_t         query[2];
    size_t               nquery;
    sigv4_pair_t         headers[S3_HEADERS];
    size_t               nheaders;
    const s3_body_t     *body;       /* of a file, or */
    const char          *text;       /* this, or nothing at all */
    const char          *root;       /* of the answer's XML; NULL: any */
    unsigned             stall_s;    /* 0: the configuration's */

    int                  skewed;     /* the clock was set by its answer */
    int                  error;      /* errno of reading the body */
    uint64_t             sent;       /* of body */
    char                *answer;     /* zero-terminated, S3_ANSWER_MAX of it */
    size_t               answer_len;
    char                 etag[S3_ETAG_MAX + 1];   /* or empty */
    int64_t              date;       /* the server's; 0: not said */
    int64_t              length;     /* Content-Length; -1: not said */
} s3_request_t;


/* 0 with what it filled, or -1; makes it again while that is worth it. */
int s3_request(s3_t *s, s3_request_t *r, s3_error_t *e);

/* Frees what the request got. */
void s3_request_free(s3_request_t *r);

/*
 * The text of the first element of this name in the XML of the answer. 1, or 0
 * when there is none, it is longer than size - 1 or not before the XML ends.
 */
int s3_element(const s3_request_t *r, const char *name, char *to,
    size_t size);

/* The path that is signed: "/bucket/key" or "/key". The caller's to free. */
char *s3_path(const s3_t *s, const char *key);

/* The name that is signed: "host" or "bucket.host". The caller's to free. */
char *s3_host(const s3_t *s, const s3_address_t *a);


#endif /* STORE_S3_INT_H */
