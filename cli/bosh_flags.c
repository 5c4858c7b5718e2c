/*
 * cli/bosh_flags.c: the flags of `bosh pcap`, of the bosh CLI's globals and
 * of pcap-bosh-cli under their own names: those that mean what an option of
 * ours means, and those that mean nothing here, with a word on what to use
 * instead. bosh-cli 7: cmd/opts/opts.go (BoshOpts, PcapOpts); pcap-release:
 * src/pcap/cmd/pcap-bosh-cli/main.go. And kubectl's, for pcap-cli k8s.
 */

#include "opt.h"


#define ON_BOSH     (1u << OPT_CMD_BOSH)
#define ON_K8S      (1u << OPT_CMD_K8S)
#define ON_RM       (1u << OPT_CMD_RM)

#define NO_GATEWAY  "no SSH is used; reach Director and API by" \
                    " BOSH_ALL_PROXY=socks5://HOST:PORT, or use --ssh"

#define BY_CONTEXT  "choose a context: --context NAME"
#define NO_AS       "the API takes a token for whom it is of; get that of" \
                    " the one who is meant: kubectl create token"


const opt_alias_t  opt_aliases[] = {

    { "bosh-config", '\0', ON_BOSH, OPT_CONFIG, NULL },
    { "bosh-environment", '\0', ON_BOSH, OPT_ENVIRONMENT, NULL },
    { "file", '\0', ON_BOSH, OPT_OUTPUT, NULL },
    { "group", 'g', ON_BOSH, OPT_INSTANCE, NULL },
    { "instance-group", '\0', ON_BOSH, OPT_INSTANCE, NULL },
    { NULL, 'l', ON_BOSH, OPT_SNAPLEN, NULL },
    { "non-interactive", 'n', ON_BOSH | ON_RM, OPT_YES, NULL },
    { "pcap-api-url", '\0', ON_BOSH, OPT_URL, NULL },

    { "column", '\0', ON_BOSH, OPT_END,
      "there is no table to choose columns of; use --json" },
    { "gw-host", '\0', ON_BOSH, OPT_END, NO_GATEWAY },
    { "gw-private-key", '\0', ON_BOSH, OPT_END, NO_GATEWAY },
    { "gw-socks5", '\0', ON_BOSH, OPT_END, NO_GATEWAY },
    { "gw-user", '\0', ON_BOSH, OPT_END, NO_GATEWAY },
    { "stop-timeout", '\0', ON_BOSH, OPT_END,
      "the API drains what was captured and ends by itself; leave it out" },
    { "tty", '\0', ON_BOSH, OPT_END,
      "rows and questions need a terminal; without one use --json" },
    { "type", 't', ON_BOSH, OPT_END,
      "VMs have no process types; name the instances: GROUP or GROUP/ID" },

    { NULL, 'n', ON_K8S, OPT_NAMESPACE, NULL },
    { NULL, 'l', ON_K8S, OPT_SELECTOR, NULL },

    { "all-namespaces", 'A', ON_K8S, OPT_END,
      "the right to capture is one namespace's; name it: -n NS" },
    { "as", '\0', ON_K8S, OPT_END, NO_AS },
    { "as-group", '\0', ON_K8S, OPT_END, NO_AS },
    { "as-uid", '\0', ON_K8S, OPT_END, NO_AS },
    { "certificate-authority", '\0', ON_K8S, OPT_END,
      "the pcap API is asked, not the cluster; its CA is --ca-cert" },
    { "cluster", '\0', ON_K8S, OPT_END, BY_CONTEXT },
    { "server", '\0', ON_K8S, OPT_END,
      "the pcap API is asked, not the cluster; its address is --url" },
    { "user", '\0', ON_K8S, OPT_END, BY_CONTEXT },

    { NULL, '\0', 0, OPT_END, NULL }
};
