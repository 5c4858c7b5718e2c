/*
 * cli/trust.h: where this system keeps the CAs that it trusts. libcurl knows
 * one place, that of the system it was built on; pcap-cli is downloaded and
 * run on others.
 */

#ifndef CLI_TRUST_H
#define CLI_TRUST_H


/* The largest bundle taken, in bytes; that of Mozilla has some 230000. */
#define TRUST_MAX_BYTES  4194304


/*
 * The file of the system's CAs: CURL_CA_BUNDLE or SSL_CERT_FILE when one is
 * set (also when there is no such file: who names it means it), else libcurl's
 * own, else the first that can be read of those which systems have. NULL when
 * there is none. Not owned.
 */
const char *trust_file(void);

/*
 * Has libcurl to be told another file than its own? 0: that will do (it can be
 * read, or libcurl asks the system, as on macOS). 1: *file, or none when that
 * is NULL; a folder that libcurl was built with counts in any case. Not owned.
 */
int trust_instead(const char **file);

/*
 * pem (certificates) and the system's CAs behind it, allocated; pem alone when
 * there are none that can be read. NULL without memory.
 */
char *trust_with_system(const char *pem);


#endif /* CLI_TRUST_H */
