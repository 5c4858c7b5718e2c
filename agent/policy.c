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

#include "check.h"
#include "filter.h"
#include "pcapx/valid.h"
#include "policy.h"


static int policy_real(const conf_t *conf, const char *name);
static int policy_refuse(const conf_t *conf, const char *name,
    problem_t *why);


/*
 * On Ethernet it has to compile. Where it does not on another link (vlan on
 * "any"), that one is not captured: filter_install() sees to it.
 */

int
policy_check(const conf_t *conf, char *err)
{
    int                  rc;
    char                 why[PCAPX_ERR_LEN];
    pcap_t              *pcap;
    struct bpf_program   prog;

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

    pcap = pcap_open_dead(DLT_EN10MB, PCAPX_MAX_SNAPLEN);
    if (pcap == NULL) {
        snprintf(err, CONF_ERR_LEN, "exclude_filter: out of memory");
        return -1;
    }

    rc = pcap_compile(pcap, &prog, conf->exclude_filter, 1,
                      PCAP_NETMASK_UNKNOWN);

    if (rc == 0) {
        pcap_freecode(&prog);

    } else {
        snprintf(err, CONF_ERR_LEN, "exclude_filter: %.200s",
                 pcap_geterr(pcap));
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
        return problem_set(why, 403, "captures are not enabled by this "
                           "machine's policy (enabled)");
    }

    for (i = 0; i < req->nifnames; i++) {
        allowed = policy_interface(conf, req->ifnames[i]);

        if (allowed && !request_inside(req)) {
            allowed = policy_real(conf, req->ifnames[i]);
        }

        if (!allowed) {
            return policy_refuse(conf, req->ifnames[i], why);
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


int
policy_open(const conf_t *conf, const char *name, problem_t *why)
{
    return policy_real(conf, name) ? 0 : policy_refuse(conf, name, why);
}


static int
policy_refuse(const conf_t *conf, const char *name, problem_t *why)
{
    char  names[CHECK_LIST_LEN];

    check_interfaces(conf, names, sizeof(names));

    return problem_set(why, 403, "%s is not among the interfaces that may be "
                       "captured by this machine's policy: %s (interfaces)",
                       name, names);
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

    if (access(conf->off_file, F_OK) == 0) {
        return 1;
    }

    return errno == ENOENT || errno == ENOTDIR ? 0 : POLICY_UNSEEN;
}
