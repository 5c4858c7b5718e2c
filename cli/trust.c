/*
 * cli/trust.c: finds and reads the system's CAs. The file is taken as it is:
 * libcurl's TLS library reads the certificates in it. Nothing is written, and
 * a file that cannot be read means fewer CAs, never more.
 */

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trust.h"


/* Go's crypto/x509, root_linux.go and root_bsd.go, know the same. */
static const char *const trust_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",    /* Debian, Ubuntu, Alpine */
    "/etc/pki/tls/certs/ca-bundle.crt",      /* Fedora, RHEL */
    "/etc/ssl/ca-bundle.pem",                /* SUSE */
    "/etc/ssl/cert.pem"                      /* macOS, BSD, Alpine */
};


/* What the user named. curl, the tool, takes the same two. */
static const char *
trust_named(void)
{
    size_t       i;
    const char  *s;

    static const char *const  names[] = { "CURL_CA_BUNDLE", "SSL_CERT_FILE" };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        s = getenv(names[i]);

        if (s != NULL && *s != '\0') {
            return s;
        }
    }

    return NULL;
}


/* The file that libcurl was built with, also where it does not exist. */
static const char *
trust_built_in(void)
{
    curl_version_info_data  *info;

    info = curl_version_info(CURLVERSION_NOW);

    return info->age >= CURLVERSION_SEVENTH ? info->cainfo : NULL;
}


static const char *
trust_search(void)
{
    size_t  i;

    for (i = 0; i < sizeof(trust_files) / sizeof(trust_files[0]); i++) {
        if (access(trust_files[i], R_OK) == 0) {
            return trust_files[i];
        }
    }

    return NULL;
}


const char *
trust_file(void)
{
    const char  *s;

    s = trust_named();

    if (s == NULL) {
        s = trust_built_in();
        s = s != NULL && access(s, R_OK) == 0 ? s : trust_search();
    }

    return s;
}


int
trust_instead(const char **file)
{
    const char  *s;

    *file = trust_named();
    if (*file != NULL) {
        return 1;
    }

    s = trust_built_in();

    if (s == NULL || access(s, R_OK) == 0) {
        return 0;
    }

    *file = trust_search();

    return 1;
}


/* Reads at most size bytes; 0 when there is nothing, or too much. */
static size_t
trust_read(const char *path, char *buf, size_t size)
{
    FILE    *f;
    size_t   n;

    f = path != NULL ? fopen(path, "r") : NULL;
    if (f == NULL) {
        return 0;
    }

    n = fread(buf, 1, size, f);

    if (ferror(f) || n == size) {
        n = 0;
    }

    fclose(f);

    return n;
}


char *
trust_with_system(const char *pem)
{
    char    *all;
    size_t   len, n;

    len = strlen(pem);

    all = malloc(len + 1 + TRUST_MAX_BYTES + 1);
    if (all == NULL) {
        return NULL;
    }

    memcpy(all, pem, len);
    all[len++] = '\n';
    n = trust_read(trust_file(), all + len, TRUST_MAX_BYTES);

    /* A NUL would end the text, and what follows would be lost. */
    if (memchr(all + len, '\0', n) != NULL) {
        n = 0;
    }

    all[len + n] = '\0';

    return all;
}
