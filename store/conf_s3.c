/*
 * store/conf_s3.c: the object "s3" of the configuration: where captures are
 * uploaded to. The secret goes into no message, whatever is wrong with it.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "conf_int.h"


#define CONF_S3_SECRET_MAX  4096
#define CONF_S3_PREFIX_MAX  512
#define CONF_S3_DAYS_MAX    3650

#define CONF_S3_LOWER  "abcdefghijklmnopqrstuvwxyz0123456789"
#define CONF_S3_ALNUM  CONF_S3_LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


static int conf_s3_endpoint(const conf_t *conf, const char *key,
    const char *url, char *err);
static int conf_s3_names(const conf_t *conf, char *err);
static int conf_s3_secret(conf_t *conf, char *err);
static int conf_s3_secret_file(conf_t *conf, char *err);

#define conf_s3_at(field)  offsetof(conf_t, s3.field)


const conf_key_t  conf_s3_keys[] = {

    { "s3.endpoint", CONF_TEXT, conf_s3_at(endpoint), 0, 0, NULL,
      "https://host[:port]" },

    { "s3.public_endpoint", CONF_TEXT, conf_s3_at(public_endpoint), 0, 0,
      NULL, "the same for downloads; none: endpoint" },

    { "s3.region", CONF_TEXT, conf_s3_at(region), 0, 0, NULL,
      "what requests are signed for" },

    { "s3.bucket", CONF_TEXT, conf_s3_at(bucket), 0, 0, NULL,
      "which must be there" },

    { "s3.prefix", CONF_TEXT, conf_s3_at(prefix), 0, 0, "pcap/",
      "of the names of objects" },

    { "s3.access_key", CONF_TEXT, conf_s3_at(access_key), 0, 0, NULL,
      "id of the key" },

    { "s3.secret_key", CONF_TEXT, conf_s3_at(secret_key), 0, 0, NULL,
      "its secret, or:" },

    { "s3.secret_key_file", CONF_TEXT, conf_s3_at(secret_key_file), 0, 0,
      NULL, "a file with nothing else in it" },

    { "s3.session_token", CONF_TEXT, conf_s3_at(session_token), 0, 0, NULL,
      "of a key for a while" },

    { "s3.style", CONF_TEXT, conf_s3_at(style), 0, 0, "path",
      "path or virtual: where the bucket stands" },

    { "s3.ca_file", CONF_TEXT, conf_s3_at(ca_file), 0, 0, NULL,
      "PEM; none: the system's" },

    { "s3.allow_http", CONF_YES, conf_s3_at(allow_http), 0, 1, NULL,
      "an endpoint without TLS, for tests" },

    { "s3.stall", CONF_TIME, conf_s3_at(stall), 1000, 600000, "30s",
      "so long may a request stand still" },

    { "s3.retry", CONF_TIME, conf_s3_at(retry), 0, 3600000, "60s",
      "so long one is made again" },

    { "s3.lifecycle_days", CONF_NUMBER, conf_s3_at(lifecycle_days), 0,
      CONF_S3_DAYS_MAX, "31", "rule of the bucket; 0: none is written" },

    { NULL, CONF_TEXT, 0, 0, 0, NULL, NULL }
};


int
conf_s3_object(conf_t *conf, json_t *object, char *err)
{
    char               name[64];
    json_t            *value;
    const char        *key;
    const conf_key_t  *k;

    if (!json_is_object(object)) {
        snprintf(err, CONF_ERR_LEN, "s3: must be an object");
        return -1;
    }

    conf->s3.wanted = 1;

    json_object_foreach(object, key, value) {
        snprintf(name, sizeof(name), "s3.%s", key);
        k = conf_find(conf_s3_keys, name);

        if (k == NULL) {
            snprintf(err, CONF_ERR_LEN, "s3: unknown key \"%.60s\"", key);
            return -1;
        }

        if (conf_json(conf, k, value, err) != 0) {
            return -1;
        }
    }

    return 0;
}


int
conf_s3_check(conf_t *conf, char *err)
{
    size_t             i;
    conf_s3_t         *s3;
    const conf_key_t  *k;

    static const char  *const needed[] = {
        "s3.endpoint", "s3.region", "s3.bucket", "s3.access_key"
    };

    s3 = &conf->s3;

    for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        k = conf_find(conf_s3_keys, needed[i]);

        if (conf_unset(conf, k)) {
            snprintf(err, CONF_ERR_LEN, "%s: is needed", needed[i]);
            return -1;
        }
    }

    if (s3->allow_http == CONF_UNSET) {
        s3->allow_http = 0;
    }

    if (conf_defaults(conf, conf_s3_keys, err) != 0
        || conf_s3_endpoint(conf, "endpoint", s3->endpoint, err) != 0
        || (s3->public_endpoint != NULL
            && conf_s3_endpoint(conf, "public_endpoint", s3->public_endpoint,
                                err) != 0)
        || conf_s3_names(conf, err) != 0)
    {
        return -1;
    }

    return conf_s3_secret(conf, err);
}


/* Not repeated in the message: somebody may have put a key into it. */

static int
conf_s3_endpoint(const conf_t *conf, const char *key, const char *url,
    char *err)
{
    size_t       len;
    const char  *host;

    host = strncmp(url, "https://", 8) == 0 ? url + 8
           : strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
    len = host ? strspn(host, CONF_S3_ALNUM ".-:[]") : 0;

    if (len == 0 || len > 255 || host[len] != '\0') {
        snprintf(err, CONF_ERR_LEN, "s3.%s: must be \"https://host[:port]\" "
                 "and no more", key);
        return -1;
    }

    if (url[4] != 's' && !conf->s3.allow_http) {
        snprintf(err, CONF_ERR_LEN, "s3.%s: http:// is only allowed with "
                 "s3.allow_http", key);
        return -1;
    }

    return 0;
}


static int
conf_s3_names(const conf_t *conf, char *err)
{
    size_t            len;
    const conf_s3_t  *s3;

    s3 = &conf->s3;
    len = strspn(s3->bucket, CONF_S3_LOWER ".-");

    if (len < 3 || len > 63 || s3->bucket[len] != '\0') {
        snprintf(err, CONF_ERR_LEN, "s3.bucket: must be 3 to 63 lower-case "
                 "letters, digits, dots and dashes");
        return -1;
    }

    len = strspn(s3->region, CONF_S3_ALNUM "-_");

    if (len > 64 || s3->region[len] != '\0') {
        snprintf(err, CONF_ERR_LEN, "s3.region: must be at most 64 letters, "
                 "digits, - and _");
        return -1;
    }

    len = strspn(s3->prefix, CONF_S3_ALNUM "-_./");

    if (s3->prefix[0] == '/' || len > CONF_S3_PREFIX_MAX
        || s3->prefix[len] != '\0' || strstr(s3->prefix, "..") != NULL
        || strstr(s3->prefix, "//") != NULL)
    {
        snprintf(err, CONF_ERR_LEN, "s3.prefix: must be at most %d letters, "
                 "digits, and - _ . /, without a / at its begin, without .. "
                 "and //", CONF_S3_PREFIX_MAX);
        return -1;
    }

    if (strcmp(s3->style, "path") != 0 && strcmp(s3->style, "virtual") != 0) {
        snprintf(err, CONF_ERR_LEN, "s3.style: must be path or virtual");
        return -1;
    }

    if (s3->ca_file != NULL && access(s3->ca_file, R_OK) != 0) {
        snprintf(err, CONF_ERR_LEN, "s3.ca_file: %.200s: %s", s3->ca_file,
                 strerror(errno));
        return -1;
    }

    return 0;
}


static int
conf_s3_secret(conf_t *conf, char *err)
{
    conf_s3_t  *s3;

    s3 = &conf->s3;

    if ((s3->secret_key == NULL) == (s3->secret_key_file == NULL)) {
        snprintf(err, CONF_ERR_LEN, "s3.secret_key: this or "
                 "s3.secret_key_file is needed, and not both");
        return -1;
    }

    return s3->secret_key_file ? conf_s3_secret_file(conf, err) : 0;
}


static int
conf_s3_secret_file(conf_t *conf, char *err)
{
    int          fd, rc;
    char         text[CONF_S3_SECRET_MAX + 1];
    size_t       len;
    ssize_t      n;
    const char  *path;
    struct stat  st;

    rc = -1;
    path = conf->s3.secret_key_file;
    fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd == -1 || fstat(fd, &st) != 0
        || (n = read(fd, text, sizeof(text))) == -1)
    {
        snprintf(err, CONF_ERR_LEN, "s3.secret_key_file: %.200s: %s", path,
                 strerror(errno));
        goto out;
    }

    len = 0;

    while (len < (size_t) n && text[len] > ' ' && text[len] < 0x7f) {
        len++;
    }

    if ((st.st_mode & S_IRWXO) || len == 0 || len == sizeof(text)
        || (size_t) n > len + 1 || (n > (ssize_t) len && text[len] != '\n'))
    {
        snprintf(err, CONF_ERR_LEN, "s3.secret_key_file: %.200s: must be one "
                 "line of at most %d printable characters, and not for "
                 "others (mode 0640)", path, CONF_S3_SECRET_MAX);
        goto out;
    }

    text[len] = '\0';
    conf->s3.secret_key = strdup(text);
    rc = conf->s3.secret_key ? 0 : -1;

    if (rc != 0) {
        snprintf(err, CONF_ERR_LEN, "s3.secret_key_file: out of memory");
    }

out:

    explicit_bzero(text, sizeof(text));

    if (fd != -1) {
        close(fd);
    }

    return rc;
}


s3_conf_t
conf_s3(const conf_t *conf)
{
    const conf_s3_t  *s3;

    s3 = &conf->s3;

    return (s3_conf_t) {
        .endpoint = s3->endpoint,
        .public_endpoint = s3->public_endpoint,
        .bucket = s3->bucket,
        .style = strcmp(s3->style, "path") == 0 ? S3_PATH : S3_VIRTUAL_HOST,
        .key = { s3->access_key, s3->secret_key, s3->session_token,
                 s3->region },
        .ca_file = s3->ca_file,
        .stall_s = (unsigned) (s3->stall / 1000),
        .retry_s = (unsigned) (s3->retry / 1000),
    };
}


void
conf_forget(const conf_t *conf)
{
    if (conf->s3.secret_key != NULL) {
        explicit_bzero(conf->s3.secret_key, strlen(conf->s3.secret_key));
    }

    if (conf->s3.session_token != NULL) {
        explicit_bzero(conf->s3.session_token,
                       strlen(conf->s3.session_token));
    }
}
