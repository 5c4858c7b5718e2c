/*
 * interop/s3_client.c: makes the requests of store/s3.h by hand, so that
 * servers that others wrote can answer them (interop/s3.t). Never installed.
 *
 *   s3_client put KEY FILE                 whole object
 *   s3_client upload KEY FILE BYTES        in parts of so many bytes
 *   s3_client begin KEY FILE               an upload with one part; prints it
 *   s3_client again KEY FILE BYTES         as upload, completed twice
 *   s3_client abort KEY UPLOAD
 *   s3_client size KEY | rm KEY
 *   s3_client url KEY NAME SECONDS
 *
 * S3_ENDPOINT, S3_BUCKET, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY say where;
 * S3_CA is its CA, S3_RETRY_S how long it is tried, S3_CLOCK_S how far this
 * program's clock is off, S3_STYLE=host for virtual hosts.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/s3.h"


#define MAX_PARTS  100

typedef struct {
    s3_t           *s3;
    const char     *key;
    s3_object_t     object;
    s3_body_t       body;        /* the whole file */
    s3_part_t       parts[MAX_PARTS];
    size_t          nparts;
    char            upload[S3_UPLOAD_MAX + 1];
    s3_error_t      error;
} client_t;


static long
number(const char *text)
{
    return text != NULL ? strtol(text, NULL, 10) : 0;
}


/* In place of libc's, for all that is linked in here: a clock that is off. */
time_t
time(time_t *t)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += number(getenv("S3_CLOCK_S"));

    if (t != NULL) {
        *t = ts.tv_sec;
    }

    return ts.tv_sec;
}


static int
said(const client_t *c, int rc)
{
    if (rc != 0) {
        printf("failed: %s\n", c->error.text);
    }

    return rc != 0;
}


static int
with_file(client_t *c, const char *path)
{
    struct stat  st;

    c->body.fd = open(path, O_RDONLY | O_CLOEXEC);

    if (c->body.fd == -1 || fstat(c->body.fd, &st) != 0) {
        perror(path);
        return 2;
    }

    c->body.len = (uint64_t) st.st_size;

    return 0;
}


static int
upload(client_t *c, uint64_t size)
{
    s3_body_t   body;
    s3_part_t  *part;

    if (s3_begin(c->s3, c->key, &c->object, c->upload, &c->error) != 0) {
        return -1;
    }

    body = c->body;

    for (body.offset = 0; body.offset < c->body.len; body.offset += size) {
        if (c->nparts == MAX_PARTS) {
            fprintf(stderr, "more than %d parts\n", MAX_PARTS);
            exit(2);
        }

        part = &c->parts[c->nparts++];
        part->n = (unsigned) c->nparts;
        body.len = c->body.len - body.offset < size
                   ? c->body.len - body.offset : size;

        if (s3_upload(c->s3, c->key, c->upload, part, &body, &c->error) != 0) {
            return -1;
        }

        printf("part %u\n", part->n);
        fflush(stdout);
    }

    return 0;
}


static int
complete(client_t *c)
{
    return s3_complete(c->s3, c->key, c->upload, c->parts, c->nparts,
                       c->body.len, &c->error);
}


static int
with_object(client_t *c, int argc, char **argv)
{
    int       rc;
    uint64_t  size;

    rc = with_file(c, argv[3]);
    if (rc != 0) {
        return rc;
    }

    size = argc == 5 ? strtoull(argv[4], NULL, 10) : c->body.len;

    if (strcmp(argv[1], "put") == 0) {
        return said(c, s3_put(c->s3, c->key, &c->object, &c->body,
                              &c->error));
    }

    rc = upload(c, size);

    if (rc == 0 && strcmp(argv[1], "begin") == 0) {
        printf("%s\n", c->upload);
        return 0;
    }

    if (rc == 0) {
        rc = complete(c);
    }

    if (rc == 0 && strcmp(argv[1], "again") == 0) {
        rc = complete(c);
    }

    return said(c, rc);
}


static int
with_key(client_t *c, int argc, char **argv)
{
    char      *url;
    uint64_t   size;

    if (strcmp(argv[1], "abort") == 0 && argc == 4) {
        return said(c, s3_abort(c->s3, c->key, argv[3], &c->error));
    }

    if (strcmp(argv[1], "rm") == 0) {
        return said(c, s3_delete(c->s3, c->key, &c->error));
    }

    if (strcmp(argv[1], "url") == 0 && argc == 5) {
        url = s3_url(c->s3, c->key, argv[3], (unsigned) number(argv[4]));
        printf("%s\n", url);
        free(url);
        return 0;
    }

    if (said(c, s3_size(c->s3, c->key, &size, &c->error))) {
        return 1;
    }

    printf("%llu\n", (unsigned long long) size);

    return 0;
}


static const char *
env(const char *name)
{
    const char  *value;

    value = getenv(name);

    return value && *value ? value : NULL;
}


int
main(int argc, char **argv)
{
    int        rc;
    char       err[S3_ERR_LEN];
    client_t   c;
    s3_conf_t  conf;

    static const sigv4_pair_t  tags[] = {
        { "user", "o'hara & co=1" }, { "target", "cf/42/web 0" }
    };

    if (argc < 3) {
        fprintf(stderr, "usage: s3_client COMMAND KEY [...]\n");
        return 2;
    }

    memset(&c, 0, sizeof(c));
    memset(&conf, 0, sizeof(conf));
    conf.endpoint = env("S3_ENDPOINT");
    conf.bucket = env("S3_BUCKET");
    conf.style = env("S3_STYLE") ? S3_VIRTUAL_HOST : S3_PATH;
    conf.key.region = env("S3_REGION");
    conf.key.access_key = env("S3_ACCESS_KEY");
    conf.key.secret_key = env("S3_SECRET_KEY");
    conf.ca_file = env("S3_CA");
    conf.stall_s = 20;
    conf.retry_s = (unsigned) number(env("S3_RETRY_S") ? env("S3_RETRY_S")
                                                       : "3");

    c.key = argv[2];
    c.object = (s3_object_t) { .type = "application/x-pcapng",
        .file_name = "a b.pcapng", .tags = tags, .ntags = 2 };
    c.s3 = s3_open(&conf, err);

    if (c.s3 == NULL) {
        fprintf(stderr, "%s\n", err);
        return 2;
    }

    rc = argc >= 4 && strcmp(argv[1], "abort") != 0
         && strcmp(argv[1], "url") != 0 ? with_object(&c, argc, argv)
                                        : with_key(&c, argc, argv);
    s3_close(c.s3);

    return rc;
}
