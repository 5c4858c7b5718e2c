/*
 * agent/policy.c: see policy.h. In doubt it says no.
 */

#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "filter.h"
#include "pcapx/valid.h"
#include "policy.h"


static int policy_compile(const char *filter, int dlt, char *err);
static int policy_real(const conf_t *conf, const char *name);


int
policy_check(const conf_t *conf, char *err)
{
    size_t  i;
    char    why[PCAPX_ERR_LEN];

    static const int  links[] = { DLT_EN10MB, DLT_LINUX_SLL2, DLT_RAW };

    if (conf->exclude_filter == NULL) {
        return 0;
    }

    if (pcapx_valid_filter(conf->exclude_filter,
                           strlen(conf->exclude_filter), why)
        != PCAPX_OK)
    {
        snprintf(err, CONF_ERR_LEN, "exclude_filter: %s", why);
        return -1;
    }

    for (i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        if (policy_compile(conf->exclude_filter, links[i], err) != 0) {
            return -1;
        }
    }

    return 0;
}


/*
 * What matches nothing on a link type (Ethernet addresses on a tunnel) is
 * well there; on Ethernet it is a mistake.
 */

static int
policy_compile(const char *filter, int dlt, char *err)
{
    int                 rc;
    pcap_t             *pcap;
    struct bpf_program  prog;

    pcap = pcap_open_dead(dlt, PCAPX_MAX_SNAPLEN);
    if (pcap == NULL) {
        snprintf(err, CONF_ERR_LEN, "exclude_filter: out of memory");
        return -1;
    }

    rc = pcap_compile(pcap, &prog, filter, 1, PCAP_NETMASK_UNKNOWN);

    if (rc == 0) {
        pcap_freecode(&prog);

    } else if (dlt != DLT_EN10MB && filter_matches_nothing(pcap)) {
        rc = 0;

    } else {
        snprintf(err, CONF_ERR_LEN, "exclude_filter: %.200s (link type %s)",
                 pcap_geterr(pcap), pcap_datalink_val_to_name(dlt));
    }

    pcap_close(pcap);

    return rc == 0 ? 0 : -1;
}


int
policy_request(const conf_t *conf, request_t *req, problem_t *why)
{
    int       allowed;
    unsigned  i;

    if (!conf->enabled) {
        return problem_set(why, 403, "captures are not enabled on this "
                           "machine (enabled)");
    }

    for (i = 0; i < req->nifnames; i++) {
        allowed = policy_interface(conf, req->ifnames[i]);

        if (allowed && req->container[0] == '\0') {
            allowed = policy_real(conf, req->ifnames[i]);
        }

        if (!allowed) {
            return problem_set(why, 403, "%s is not among the interfaces "
                               "that may be captured on this machine "
                               "(interfaces)", req->ifnames[i]);
        }
    }

    if (req->snaplen > conf->max_snaplen) {
        req->snaplen = (uint32_t) conf->max_snaplen;
    }

    return 0;
}


int
policy_interface(const conf_t *conf, const char *name)
{
    size_t  i;

    if (conf->interfaces.n == 0) {
        return 1;
    }

    /* "any" is all of them: a pattern that it happens to fit is not meant. */

    for (i = 0; i < conf->interfaces.n; i++) {
        if (strcmp(name, "any") == 0
            ? strcmp(conf->interfaces.text[i], "any") == 0
              || strcmp(conf->interfaces.text[i], "*") == 0
            : fnmatch(conf->interfaces.text[i], name, 0) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* An interface may have further names (ip-link(8), altname). */

static int
policy_real(const conf_t *conf, const char *name)
{
    char      real[IF_NAMESIZE];
    unsigned  index;

    if (conf->interfaces.n == 0) {
        return 1;
    }

    index = if_nametoindex(name);

    return index == 0 || if_indextoname(index, real) == NULL
           || policy_interface(conf, real);
}


int
policy_pattern(const char *pattern)
{
    size_t  len;

    len = strlen(pattern);

    return len > 0 && len < NET_IFNAME_LEN
           && strspn(pattern, "abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789._:@-*?") == len;
}


int
policy_off(const conf_t *conf)
{
    if (conf->off_file == NULL) {
        return 0;
    }

    return access(conf->off_file, F_OK) == 0
           || (errno != ENOENT && errno != ENOTDIR);
}
