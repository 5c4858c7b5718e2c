/*
 * cli/conf.c: reads address, trust and token. A token file may be a pipe
 * (`--token-file <(cf oauth-token)`), so it is read as a stream and its end
 * is trimmed; "bearer " in front is taken off, because that is how
 * `cf oauth-token` prints it.
 */

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "conf.h"
#include "text.h"
#include "token.h"
#include "wipe.h"


#define CONF_BEARER      "bearer "
#define CONF_BEARER_LEN  (sizeof(CONF_BEARER) - 1)

#define CONF_MAX_SCALE   1000


int
conf_token_ok(const char *s, size_t len)
{
    size_t  i;

    if (len == 0 || len > CLI_MAX_TOKEN_BYTES) {
        return 0;
    }

    for (i = 0; i < len; i++) {
        if (s[i] <= ' ' || s[i] > '~') {
            return 0;
        }
    }

    return 1;
}


/* Takes the token out of len bytes at s; the caller wipes s. */
static int
conf_take_token(conf_t *conf, const char *s, size_t len, const char *from,
    char *err)
{
    while (len > 0 && (s[len - 1] == '\n' || s[len - 1] == '\r'
                       || s[len - 1] == ' '))
    {
        len--;
    }

    if (len > CONF_BEARER_LEN
        && strncasecmp(s, CONF_BEARER, CONF_BEARER_LEN) == 0)
    {
        s += CONF_BEARER_LEN;
        len -= CONF_BEARER_LEN;
    }

    if (!conf_token_ok(s, len)) {
        snprintf(err, PCAPX_ERR_LEN, "%s holds no token: 1 to %d printable"
                 " characters without blanks are expected", from,
                 CLI_MAX_TOKEN_BYTES);
        return -1;
    }

    conf->token = strndup(s, len);
    if (conf->token == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
        return -1;
    }

    return 0;
}


static int
conf_read_token(conf_t *conf, const char *path, char *err)
{
    int      fd, rc;
    char     name[64], buf[CLI_MAX_TOKEN_BYTES + 64];
    size_t   len;
    ssize_t  n;

    rc = -1;
    len = 0;
    text_clean(name, sizeof(name), path, strlen(path));

    fd = open(path, O_RDONLY|O_CLOEXEC|O_NOCTTY);
    if (fd == -1) {
        snprintf(err, PCAPX_ERR_LEN, "cannot read token file %s: %s", name,
                 strerror(errno));
        return -1;
    }

    while (len < sizeof(buf)) {
        n = read(fd, buf + len, sizeof(buf) - len);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            snprintf(err, PCAPX_ERR_LEN, "cannot read token file %s: %s",
                     name, strerror(errno));
            goto out;
        }

        if (n == 0) {
            break;
        }

        len += (size_t) n;
    }

    rc = conf_take_token(conf, buf, len, "the token file", err);

out:

    close(fd);
    wipe(buf, sizeof(buf));

    return rc;
}


int
conf_given_token(conf_t *conf, const opt_t *o, char *err)
{
    const char  *s;

    s = opt_value(o, OPT_TOKEN);
    if (s != NULL) {
        return conf_take_token(conf, s, strlen(s), "--token", err);
    }

    s = opt_value(o, OPT_TOKEN_FILE);
    if (s != NULL) {
        return conf_read_token(conf, s, err);
    }

    s = getenv("PCAP_TOKEN");
    if (s != NULL && *s != '\0') {
        return conf_take_token(conf, s, strlen(s), "PCAP_TOKEN", err);
    }

    return 0;
}


static int
conf_load_token(conf_t *conf, const opt_t *o, char *err)
{
    if (conf_given_token(conf, o, err) != 0) {
        return -1;
    }

    /* The only request that the API answers without one. */
    if (conf->token != NULL || o->cmd == OPT_CMD_STATUS) {
        return 0;
    }

    snprintf(err, PCAPX_ERR_LEN, "no token: set PCAP_TOKEN or give"
             " --token-file%s", o->cmd == OPT_CMD_STATIC ? ""
             : "; -e NAME takes that of the bosh CLI, --cf that of the cf"
             " CLI, --k8s that of the kubeconfig");

    return -1;
}


/* One part of a parsed URL, NULL when it is not there. */
static char *
conf_url_part(CURLU *u, CURLUPart what)
{
    char  *part;

    return curl_url_get(u, what, &part, 0) == CURLUE_OK ? part : NULL;
}


/* Is this an address that a token may be sent to? */
static int
conf_url_ok(CURLU *u, const char *whose, char *err)
{
    size_t  i;
    char   *part;

    static const CURLUPart  forbidden[] = {
        CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY,
        CURLUPART_FRAGMENT
    };

    part = conf_url_part(u, CURLUPART_SCHEME);

    if (part == NULL || strcmp(part, "https") != 0) {
        curl_free(part);
        snprintf(err, PCAPX_ERR_LEN, "%s's URL must begin with"
                 " https://, for a token goes over it", whose);
        return 0;
    }

    curl_free(part);

    for (i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        part = conf_url_part(u, forbidden[i]);

        if (part != NULL) {
            curl_free(part);
            snprintf(err, PCAPX_ERR_LEN, "%s's URL holds a user, a query"
                     " or a fragment; https://HOST[:PORT][/PATH] is"
                     " expected", whose);
            return 0;
        }
    }

    return 1;
}


char *
conf_url(const char *s, const char *whose, char **host, char *err)
{
    char    *url, *whole;
    CURLU   *u;
    size_t   len;

    url = whole = *host = NULL;
    u = curl_url();

    if (u == NULL
        || curl_url_set(u, CURLUPART_URL, s, CURLU_DEFAULT_SCHEME)
           != CURLUE_OK)
    {
        snprintf(err, PCAPX_ERR_LEN, "%s's URL is malformed;"
                 " https://HOST[:PORT][/PATH] is expected", whose);
        goto out;
    }

    if (!conf_url_ok(u, whose, err)) {
        goto out;
    }

    *host = conf_url_part(u, CURLUPART_HOST);
    whole = conf_url_part(u, CURLUPART_URL);

    if (*host != NULL && whole != NULL) {
        len = strlen(whole);
        while (len > 0 && whole[len - 1] == '/') {
            len--;
        }

        url = strndup(whole, len);
    }

    if (url == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
    }

out:

    curl_free(whole);
    curl_url_cleanup(u);

    if (url == NULL) {
        curl_free(*host);
        *host = NULL;
    }

    return url;
}


int
conf_init(conf_t *conf, const opt_t *o, const char *s, const char *whose,
    char *err)
{
    memset(conf, 0, sizeof(conf_t));

    conf->url = conf_url(s, whose, &conf->host, err);
    if (conf->url == NULL) {
        return -1;
    }

    conf->timeout_ms = CLI_SILENCE_MS;

    s = opt_value(o, OPT_TIMEOUT);
    if (s != NULL
        && pcapx_parse_duration(s, strlen(s), &conf->timeout_ms, err)
           != PCAPX_OK)
    {
        return -1;
    }

    return 0;
}


int
conf_load(conf_t *conf, const opt_t *o, char *err)
{
    const char  *s;

    memset(conf, 0, sizeof(conf_t));

    s = opt_value(o, OPT_URL);
    if (s == NULL) {
        s = getenv("PCAP_API");
    }

    if (s == NULL || *s == '\0') {
        snprintf(err, PCAPX_ERR_LEN, "which API? Set PCAP_API or give -u"
                 " URL");
        return -1;
    }

    if (conf_init(conf, o, s, "the API", err) != 0) {
        return -1;
    }

    conf->ca_cert = opt_value(o, OPT_CA_CERT);
    if (conf->ca_cert == NULL) {
        s = getenv("PCAP_CA");
        conf->ca_cert = s != NULL && *s != '\0' ? s : NULL;
    }

    conf->insecure = opt_count(o, OPT_INSECURE) > 0;

    return conf_load_token(conf, o, err);
}


int
conf_set_token(conf_t *conf, const char *token)
{
    char  *copy;

    copy = strdup(token);
    if (copy == NULL) {
        return -1;
    }

    wipe_free(conf->token);

    conf->token = copy;
    conf->token_ends_s = 0;

    return 0;
}


int
conf_token_ends_within(const conf_t *conf, int seconds)
{
    return conf->token_ends_s != 0
           ? conf->token_ends_s <= (int64_t) time(NULL) + seconds
           : token_ends_within(conf->token, seconds);
}


int
conf_renew(const conf_t *conf, const conf_wait_t *wait)
{
    return conf->renew != NULL ? conf->renew(conf->renew_ctx, wait) : -1;
}


void
conf_free(conf_t *conf)
{
    wipe_free(conf->token);
    wipe_free(conf->key_pem);

    free(conf->url);
    free(conf->cert_pem);
    free(conf->ca_pem);
    free(conf->proxy);
    curl_free(conf->host);
    memset(conf, 0, sizeof(conf_t));
}


uint64_t
conf_time_scale(void)
{
    char         err[PCAPX_ERR_LEN];
    uint64_t     scale;
    const char  *s;

    s = getenv("PCAP_CLI_TIME_SCALE");

    if (s == NULL
        || pcapx_parse_number("scale", s, strlen(s), 1, CONF_MAX_SCALE,
                              &scale, err) != PCAPX_OK)
    {
        return 1;
    }

    return scale;
}


void
conf_hide_token(const opt_t *o)
{
    char    *s;
    size_t   i;

    for (i = 0; i < o->nargs; i++) {
        if (o->args[i].id == OPT_TOKEN
            || o->args[i].id == OPT_CLIENT_SECRET)
        {
            /* argv is ours to change (C11 5.1.2.2.1). */
            s = (char *) o->args[i].value;
            wipe(s, strlen(s));
        }
    }
}
