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
 * The same, to give to libcurl in place of its own: NULL when that will do (it
 * can be read, or libcurl asks the system, as on macOS). Not owned.
 */
const char *trust_instead(void);

/*
 * pem (certificates) and the system's CAs behind it, allocated; pem alone when
 * there are none that can be read. NULL without memory.
 */
char *trust_with_system(const char *pem);


#endif /* CLI_TRUST_H */
