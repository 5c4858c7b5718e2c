/*
 * cli/bosh_flags.c: the flags of `bosh pcap`, of the bosh CLI's globals and
 * of pcap-bosh-cli under their own names: those that mean what an option of
 * ours means, and those that mean nothing here, with a word on what to use
 * instead. bosh-cli 7: cmd/opts/opts.go (BoshOpts, PcapOpts); pcap-release:
 * src/pcap/cmd/pcap-bosh-cli/main.go.
 */

#include "opt.h"


#define ON_BOSH     (1u << OPT_CMD_BOSH)
#define ON_RM       (1u << OPT_CMD_RM)

#define NO_GATEWAY  "no SSH is used; reach Director and API by" \
                    " BOSH_ALL_PROXY=socks5://HOST:PORT, or use --ssh"


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

    { NULL, '\0', 0, OPT_END, NULL }
};
