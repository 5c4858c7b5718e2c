/*
 * cli/cf_plugin.h: as a plugin of the cf CLI: which way it was called, and
 * what it says of itself. Source: cloudfoundry/cli plugin/plugin.go,
 * plugin/plugin_shim.go, plugin/rpc/run_plugin.go.
 */

#ifndef CLI_CF_PLUGIN_H
#define CLI_CF_PLUGIN_H

#include "gob.h"


typedef enum {
    CF_PLUGIN_NOT = 0,       /* not called by the cf CLI */
    CF_PLUGIN_RUN,
    CF_PLUGIN_METADATA,      /* it asks what there is, to install it */
    CF_PLUGIN_UNINSTALL
} cf_plugin_t;

typedef struct {
    const char  *name;
    const char  *text;
} cf_option_t;

/* PluginMetadata, with its one command. */

typedef struct {
    const char         *name;          /* of the plugin */
    unsigned            version[3];
    const char         *command;
    const char         *help;
    const char         *usage;
    const cf_option_t  *options;
    size_t              noptions;
} cf_meta_t;


/*
 * How was this program called? *port is where the cf CLI listens.
 *     PORT COMMAND [ARG]... | PORT SendMetadata | PORT CLI-MESSAGE-UNINSTALL
 */
cf_plugin_t cf_plugin_called(int argc, char **argv, unsigned *port);

/*
 * Tells the cf CLI at port what this plugin is: `pcap`, or `capture` when
 * the program's name is cf-capture or PCAP_CF_PLUGIN says so (the CLI runs a
 * copy under a name of its own making while it installs). 0, or -1 with err
 * (PCAPX_ERR_LEN bytes) filled.
 */
int cf_plugin_send(unsigned port, const char *argv0, char *err);

/* SetPluginMetadata's argument: definitions and value. For tests. */
void cf_plugin_encode(gob_out_t *o, const cf_meta_t *m);


#endif /* CLI_CF_PLUGIN_H */
