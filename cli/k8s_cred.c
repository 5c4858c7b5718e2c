/*
 * cli/k8s_cred.c: ExecCredential, version v1 and v1beta1 (kubernetes
 * client-go, pkg/apis/clientauthentication): what a credential plugin is
 * told in its environment, and what it prints. What it prints is a secret:
 * no message holds a byte of it but its version. jansson's memory is not wiped.
 */

#include <ctype.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "k8s.h"
#include "pcapx/valid.h"
#include "store.h"
#include "wipe.h"


#define CRED_KIND  "ExecCredential"


/* base64 of a file, NULL with err. */
static char *
cred_encode_file(const char *path, char *err)
{
    int      rc;
    char    *out;
    store_t  file = { NULL, NULL, 0 };

    out = NULL;
    rc = store_read(&file, path, err);

    if (rc == 0) {
        snprintf(err, PCAPX_ERR_LEN, "there is no %.150s", path);
    }

    if (rc == 1) {
        out = malloc(4 * (file.len / 3 + 1) + 1);
    }

    if (out != NULL) {
        (void) EVP_EncodeBlock((unsigned char *) out,
                               (const unsigned char *) file.text,
                               (int) file.len);

    } else if (rc == 1) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
    }

    store_free(&file);

    return out;
}


static int
cred_set(json_t *doc, const char *key, const char *s)
{
    return s == NULL || *s == '\0'
           || json_object_set_new(doc, key, json_string(s)) == 0 ? 0 : -1;
}


/* spec.cluster; a new reference, or NULL with err. */
static json_t *
cred_cluster(const kube_choice_t *c, char *err)
{
    int                    rc;
    char                  *ca;
    json_t                *doc, *config;
    const kube_cluster_t  *cl;

    cl = &c->cluster;

    if (cl->server == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "the plugin asks for the cluster, but"
                 " \"%.80s\" is not there or has no server",
                 c->cluster_name != NULL ? c->cluster_name : "");
        return NULL;
    }

    ca = NULL;

    if (cl->ca_data == NULL && cl->ca_file != NULL) {
        ca = cred_encode_file(cl->ca_file, err);
        if (ca == NULL) {
            return NULL;
        }
    }

    doc = json_object();
    config = cl->config != NULL
             ? json_loads(cl->config, JSON_DECODE_ANY, NULL) : NULL;

    rc = cred_set(doc, "server", cl->server) != 0
         || cred_set(doc, "tls-server-name", cl->tls_name) != 0
         || cred_set(doc, "certificate-authority-data",
                     ca != NULL ? ca : cl->ca_data) != 0
         || cred_set(doc, "proxy-url", cl->proxy) != 0
         || (cl->insecure
             && json_object_set_new(doc, "insecure-skip-tls-verify",
                                    json_true()) != 0)
         || (config != NULL && json_object_set(doc, "config", config) != 0);

    json_decref(config);
    free(ca);

    if (rc) {
        snprintf(err, PCAPX_ERR_LEN, "what the cluster \"%.80s\" has is no"
                 " UTF-8", c->cluster_name);
        json_decref(doc);
        return NULL;
    }

    return doc;
}


char *
k8s_cred_ask(const kube_choice_t *c, unsigned interactive, char *err)
{
    char    *text;
    json_t  *doc, *cluster;

    doc = json_pack("{s:s, s:s, s:{s:b}}", "apiVersion",
                    c->user.exec.version, "kind", CRED_KIND, "spec",
                    "interactive", (int) interactive);

    if (doc != NULL && c->user.exec.cluster_info) {
        cluster = cred_cluster(c, err);

        if (cluster == NULL) {
            json_decref(doc);
            return NULL;
        }

        (void) json_object_set_new(json_object_get(doc, "spec"), "cluster",
                                   cluster);
    }

    text = doc != NULL ? json_dumps(doc, JSON_COMPACT) : NULL;
    json_decref(doc);

    if (text == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
    }

    return text;
}


/* n digits at *s, which moves behind them; -1: there are fewer. */
static int
cred_digits(const char **s, unsigned n)
{
    int  value;

    value = 0;

    for ( /* void */ ; n > 0; n--, (*s)++) {
        if (!isdigit((unsigned char) **s)) {
            return -1;
        }

        value = value * 10 + (**s - '0');
    }

    return value;
}


/* n digits and the character behind them. */
static int
cred_part(const char **s, unsigned n, char behind)
{
    int  value;

    value = cred_digits(s, n);

    if (value == -1 || (behind != '\0' && **s != behind)) {
        return -1;
    }

    *s += behind != '\0';

    return value;
}


/* "Z", "+02:00": seconds, in *offset. 0 or -1. */
static int
cred_zone(const char *s, int *offset)
{
    int  hours, minutes, sign;

    *offset = 0;

    if (strcmp(s, "Z") == 0 || strcmp(s, "z") == 0) {
        return 0;
    }

    if (*s != '+' && *s != '-') {
        return -1;
    }

    sign = *s == '-' ? -1 : 1;
    s++;

    hours = cred_part(&s, 2, ':');
    minutes = hours != -1 ? cred_part(&s, 2, '\0') : -1;

    if (minutes == -1 || hours > 23 || minutes > 59 || *s != '\0') {
        return -1;
    }

    *offset = sign * (hours * 3600 + minutes * 60);

    return 0;
}


int64_t
k8s_cred_time(const char *s)
{
    int        offset;
    struct tm  tm;

    memset(&tm, 0, sizeof(tm));

    tm.tm_year = cred_part(&s, 4, '-') - 1900;
    tm.tm_mon = tm.tm_year >= 70 ? cred_part(&s, 2, '-') - 1 : -1;
    tm.tm_mday = tm.tm_mon >= 0 ? cred_part(&s, 2, '\0') : -1;

    if (tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_mon > 11
        || (*s != 'T' && *s != 't'))
    {
        return -1;
    }

    s++;
    tm.tm_hour = cred_part(&s, 2, ':');
    tm.tm_min = tm.tm_hour != -1 ? cred_part(&s, 2, ':') : -1;
    tm.tm_sec = tm.tm_min != -1 ? cred_part(&s, 2, '\0') : -1;

    if (tm.tm_sec == -1 || tm.tm_hour > 23 || tm.tm_min > 59
        || tm.tm_sec > 60)
    {
        return -1;
    }

    if (*s == '.') {
        s++;

        if (!isdigit((unsigned char) *s)) {
            return -1;
        }

        s += strspn(s, "0123456789");
    }

    return cred_zone(s, &offset) == 0 ? (int64_t) timegm(&tm) - offset : -1;
}


char *
k8s_cred_decode(const char *s)
{
    int              n, more;
    size_t           len, made;
    unsigned char   *out;
    EVP_ENCODE_CTX  *ctx;

    len = strlen(s);
    out = len <= STORE_MAX_BYTES ? malloc(len + 4) : NULL;
    ctx = EVP_ENCODE_CTX_new();
    n = -1;
    more = 0;

    if (out != NULL && ctx != NULL) {
        EVP_DecodeInit(ctx);

        if (EVP_DecodeUpdate(ctx, out, &n, (const unsigned char *) s,
                             (int) len) == -1
            || EVP_DecodeFinal(ctx, out + n, &more) == -1)
        {
            n = -1;
        }
    }

    EVP_ENCODE_CTX_free(ctx);

    made = n >= 0 && more >= 0 ? (size_t) n + (size_t) more : 0;

    if (made > 0 && memchr(out, '\0', made) == NULL) {
        out[made] = '\0';
        return (char *) out;
    }

    if (out != NULL) {
        wipe(out, len + 4);
        free(out);
    }

    return NULL;
}


/* A text member into *dst, NULL where it is absent or empty. 0 or -1. */
static int
cred_take(const json_t *status, const char *key, char **dst, char *err)
{
    const json_t  *value;

    value = json_object_get(status, key);

    if (value == NULL || json_is_null(value)
        || (json_is_string(value) && json_string_length(value) == 0))
    {
        return 0;
    }

    if (!json_is_string(value)) {
        snprintf(err, PCAPX_ERR_LEN, "its status.%s is no text", key);
        return -1;
    }

    *dst = strdup(json_string_value(value));

    if (*dst == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
        return -1;
    }

    return 0;
}


static int
cred_take_status(k8s_cred_t *cred, const json_t *status, char *err)
{
    char  *ends;

    ends = NULL;

    if (cred_take(status, "token", &cred->token, err) != 0
        || cred_take(status, "clientCertificateData", &cred->cert, err) != 0
        || cred_take(status, "clientKeyData", &cred->key, err) != 0
        || cred_take(status, "expirationTimestamp", &ends, err) != 0)
    {
        return -1;
    }

    if (ends != NULL) {
        cred->ends_s = k8s_cred_time(ends);
        free(ends);

        if (cred->ends_s < 0) {
            cred->ends_s = 0;
            snprintf(err, PCAPX_ERR_LEN, "its expirationTimestamp is no time"
                     " as 2026-11-22T19:05:00Z is one");
            return -1;
        }
    }

    if (cred->token == NULL && cred->cert == NULL && cred->key == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "it hands out neither a token nor a"
                 " certificate");
        return -1;
    }

    if ((cred->cert == NULL) != (cred->key == NULL)) {
        snprintf(err, PCAPX_ERR_LEN, "it hands out a %s without its %s",
                 cred->cert != NULL ? "certificate" : "key",
                 cred->cert != NULL ? "key" : "certificate");
        return -1;
    }

    if (cred->token != NULL
        && !conf_token_ok(cred->token, strlen(cred->token)))
    {
        snprintf(err, PCAPX_ERR_LEN, "its token is none: 1 to %d printable"
                 " characters without blanks are expected",
                 CLI_MAX_TOKEN_BYTES);
        return -1;
    }

    return 0;
}


int
k8s_cred_read(k8s_cred_t *cred, const char *text, size_t len,
    const char *version, char *err)
{
    int           rc;
    json_t       *doc;
    const char   *kind, *said;
    const json_t *status;

    memset(cred, 0, sizeof(k8s_cred_t));

    doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    kind = json_string_value(json_object_get(doc, "kind"));
    said = json_string_value(json_object_get(doc, "apiVersion"));
    status = json_object_get(doc, "status");
    rc = -1;

    if (kind == NULL || strcmp(kind, CRED_KIND) != 0) {
        snprintf(err, PCAPX_ERR_LEN, "it prints %s, an " CRED_KIND " is"
                 " expected", doc == NULL ? "no JSON" : "another object");

    } else if (said == NULL || strcmp(said, version) != 0) {
        snprintf(err, PCAPX_ERR_LEN, "it answers in version \"%.60s\", the"
                 " kubeconfig asks for %s", said != NULL ? said : "",
                 version);

    } else if (!json_is_object(status)) {
        snprintf(err, PCAPX_ERR_LEN, "it prints no status");

    } else {
        rc = cred_take_status(cred, status, err);
    }

    json_decref(doc);

    return rc;
}


void
k8s_cred_free(k8s_cred_t *cred)
{
    wipe_free(cred->token);
    wipe_free(cred->key);
    free(cred->cert);
    memset(cred, 0, sizeof(k8s_cred_t));
}
