/*
 * t/store_s3_conf.c: the object "s3" of the configuration, and how large the
 * parts of an upload are.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/conf.h"
#include "store/uploader.h"
#include "t/tap.h"


static char  dir[] = "/tmp/store_s3_conf.XXXXXX";

#define S3_ALL  "\"endpoint\":\"https://s3.example:9000\",\"region\":\"eu\"," \
                "\"bucket\":\"captures\",\"access_key\":\"AKIA\""


static void
write_file(const char *path, const char *text, mode_t mode)
{
    FILE  *f;

    (void) unlink(path);
    f = fopen(path, "w");

    if (f == NULL || fputs(text, f) == EOF || fclose(f) != 0
        || chmod(path, mode) != 0)
    {
        exit(1);
    }
}


/* Loads a file with these members of "s3". */

static int
load(conf_t *conf, const char *s3, char *err)
{
    char  path[64], text[4096];

    static char   name[] = "pcap-store", flag[] = "--config";
    static char   user[] = "--user", nobody[] = "nobody";
    char         *argv[] = { name, flag, path, user, nobody, NULL };

    snprintf(path, sizeof(path), "%s/conf", dir);
    snprintf(text, sizeof(text), "{\"listen\":\"/l\",\"api\":\"/a\","
             "\"folder\":\"/f\",\"s3\":%s}", s3);
    write_file(path, text, 0600);
    err[0] = '\0';

    return conf_load(conf, 5, argv, err);
}


static void
good(void)
{
    char       err[CONF_ERR_LEN], text[512], path[64];
    conf_t     conf;
    s3_conf_t  s3;

    ok(load(&conf, "{" S3_ALL ",\"secret_key\":\"sec\"}", err) == 0,
       "the least there must be %s", err);
    s3 = conf_s3(&conf);
    ok(conf.s3.wanted && s3.style == S3_PATH && s3.stall_s == 30
       && s3.retry_s == 60 && strcmp(conf.s3.prefix, "pcap/") == 0
       && conf.s3.lifecycle_days == 31 && conf.s3.allow_http == 0
       && s3.public_endpoint == NULL && s3.key.session_token == NULL,
       "defaults");
    ok(strcmp(s3.key.secret_key, "sec") == 0, "the secret");
    conf_forget(&conf);
    ok(conf.s3.secret_key[0] == '\0' && conf.s3.secret_key[2] == '\0',
       "and its end");
    conf_free(&conf);

    snprintf(path, sizeof(path), "%s/secret", dir);
    write_file(path, "from-a-file\n", 0600);
    snprintf(text, sizeof(text), "{" S3_ALL ",\"secret_key_file\":\"%s\","
             "\"style\":\"virtual\",\"prefix\":\"a/b_c-1.\",\"stall\":5,"
             "\"retry\":\"2m\",\"session_token\":\"tok\"}", path);
    ok(load(&conf, text, err) == 0, "a secret in a file %s", err);
    s3 = conf_s3(&conf);
    ok(strcmp(s3.key.secret_key, "from-a-file") == 0
       && s3.style == S3_VIRTUAL_HOST && s3.stall_s == 5
       && s3.retry_s == 120 && strcmp(s3.key.session_token, "tok") == 0,
       "what was said");
    conf_free(&conf);

    write_file(path, "x y\n", 0600);
    ok(load(&conf, text, err) == -1 && strstr(err, "s3.secret_key_file:"),
       "a file with more in it: %s", err);
    conf_free(&conf);
    write_file(path, "fine", 0644);
    ok(load(&conf, text, err) == -1 && strstr(err, "s3.secret_key_file:"),
       "a file for all: %s", err);
    conf_free(&conf);
}


static void
wrong(void)
{
    char      err[CONF_ERR_LEN], text[512], start[64];
    conf_t    conf;
    size_t    i;

    /* which key, and what is wrong */

    static const char  *const cases[][2] = {
        { "s3", "[]" },
        { "s3", "{" S3_ALL ",\"secret_key\":\"top-secret\",\"x\":1}" },
        { "s3.endpoint", "{\"region\":\"eu\",\"bucket\":\"captures\","
          "\"access_key\":\"A\",\"secret_key\":\"top-secret\"}" },
        { "s3.region", "{\"endpoint\":\"https://a\",\"bucket\":\"captures\","
          "\"access_key\":\"A\",\"secret_key\":\"top-secret\"}" },
        { "s3.secret_key", "{" S3_ALL "}" },
        { "s3.secret_key", "{" S3_ALL ",\"secret_key\":\"top-secret\","
          "\"secret_key_file\":\"/x\"}" },
        { "s3.secret_key", "{" S3_ALL ",\"secret_key\":7}" },
        { "s3.secret_key", "{" S3_ALL ",\"secret_key\":\"\"}" },
        { "s3.secret_key_file", "{" S3_ALL ",\"secret_key_file\":"
          "\"/nothing/here\"}" },
        { "s3.prefix", "{" S3_ALL ",\"prefix\":\"a b\"}" },
        { "s3.prefix", "{" S3_ALL ",\"prefix\":\"../\"}" },
        { "s3.prefix", "{" S3_ALL ",\"prefix\":\"/a\"}" },
        { "s3.style", "{" S3_ALL ",\"style\":\"best\"}" },
        { "s3.stall", "{" S3_ALL ",\"stall\":0}" },
        { "s3.stall", "{" S3_ALL ",\"stall\":\"1h\"}" },
        { "s3.retry", "{" S3_ALL ",\"retry\":true}" },
        { "s3.allow_http", "{" S3_ALL ",\"allow_http\":1}" },
        { "s3.lifecycle_days", "{" S3_ALL ",\"lifecycle_days\":-1}" },
        { "s3.public_endpoint", "{" S3_ALL ",\"public_endpoint\":"
          "\"http://a\",\"secret_key\":\"top-secret\"}" },
        { "s3.public_endpoint", "{" S3_ALL ",\"public_endpoint\":"
          "\"https://u:top-secret@a\"}" },
        { "s3.ca_file", "{" S3_ALL ",\"ca_file\":\"/nothing/here\"}" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(start, sizeof(start), "%s:", cases[i][0]);
        ok(load(&conf, cases[i][1], err) == -1
           && strncmp(err, start, strlen(start)) == 0
           && strstr(err, "top-secret") == NULL, "%s", err);
        conf_free(&conf);
    }

    snprintf(text, sizeof(text), "{\"endpoint\":\"http://a\",\"region\":\"r\","
             "\"bucket\":\"B\",\"access_key\":\"a\",\"secret_key\":\"s\","
             "\"allow_http\":true}");
    ok(load(&conf, text, err) == -1 && strncmp(err, "s3.bucket:", 10) == 0,
       "%s", err);
    conf_free(&conf);
}


static void
parts(void)
{
    unsigned  n;
    uint64_t  sum, most;

    sum = 0;
    most = 0;

    for (n = 1; n <= S3_MAX_PARTS; n++) {
        sum += uploader_part_size(n);
        most = uploader_part_size(n) > most ? uploader_part_size(n) : most;
    }

    ok(uploader_part_size(1) == 8 << 20 && uploader_part_size(1000) == 8 << 20
       && uploader_part_size(1001) == 16 << 20, "parts begin with 8 MiB");
    ok(sum >= UINT64_C(5) << 40, "all of them are 5 TiB at least");
    ok(most < UINT64_C(5) << 30, "none is 5 GiB");
}


int
main(void)
{
    char  path[64];

    if (mkdtemp(dir) == NULL) {
        return 1;
    }

    good();
    wrong();
    parts();

    snprintf(path, sizeof(path), "%s/conf", dir);
    (void) unlink(path);
    snprintf(path, sizeof(path), "%s/secret", dir);
    (void) unlink(path);
    ok(rmdir(dir) == 0, "nothing is left");

    return tap_done();
}
