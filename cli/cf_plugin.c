/*
 * cli/cf_plugin.c: recognises the cf CLI's calls and makes the help that it
 * shows of the table of options.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cf_plugin.h"
#include "cf_rpc.h"
#include "opt.h"
#include "pcapx/version.h"
#include "text.h"


#define PLUGIN_NAME        "pcap"
#define PLUGIN_COMMAND     "pcap"

/* Where the core CLI has taken `pcap` (cloudfoundry/community RFC 48). */
#define PLUGIN_OTHER_NAME     "cf-capture"
#define PLUGIN_OTHER_COMMAND  "capture"

#define PLUGIN_MAX_TEXT    400
#define PLUGIN_MAX_USAGE   2000

typedef struct {
    char         texts[OPT_END][PLUGIN_MAX_TEXT];
    char         usage[PLUGIN_MAX_USAGE];
    cf_option_t  options[OPT_END];
} plugin_help_t;


cf_plugin_t
cf_plugin_called(int argc, char **argv, unsigned *port)
{
    uint64_t  n;

    if (argc < 3 || text_number(argv[1], strlen(argv[1]), &n) != 0
        || n == 0 || n > 65535)
    {
        return CF_PLUGIN_NOT;
    }

    *port = (unsigned) n;

    if (argc == 3 && strcmp(argv[2], "SendMetadata") == 0) {
        return CF_PLUGIN_METADATA;
    }

    if (argc == 3 && strcmp(argv[2], "CLI-MESSAGE-UNINSTALL") == 0) {
        return CF_PLUGIN_UNINSTALL;
    }

    return strcmp(argv[2], PLUGIN_COMMAND) == 0
           || strcmp(argv[2], PLUGIN_OTHER_COMMAND) == 0
           ? CF_PLUGIN_RUN : CF_PLUGIN_NOT;
}


static int
plugin_is_other(const char *argv0)
{
    const char  *s, *slash;

    s = getenv("PCAP_CF_PLUGIN");

    if (s == NULL || *s == '\0') {
        s = argv0 != NULL ? argv0 : "";
        slash = strrchr(s, '/');
        s = slash != NULL ? slash + 1 : s;
    }

    return strcmp(s, PLUGIN_OTHER_NAME) == 0;
}


/* The cf CLI knows long names only; the letter goes into the text. */
static size_t
plugin_options(plugin_help_t *h)
{
    int               n;
    size_t            i, count;
    const opt_def_t  *def;

    count = 0;

    for (i = 0; i < OPT_END; i++) {
        def = &opt_table[i];

        if (!(def->cmds & 1u << OPT_CMD_CF) || i == OPT_HELP) {
            continue;
        }

        n = 0;
        h->texts[i][0] = '\0';

        /* -v never arrives. */
        if (def->letter != '\0' && i != OPT_VERBOSE) {
            n = snprintf(h->texts[i], PLUGIN_MAX_TEXT, "-%c%s%s: ",
                         def->letter, def->arg != NULL ? " " : "",
                         def->arg != NULL ? def->arg : "");

        } else if (def->arg != NULL) {
            n = snprintf(h->texts[i], PLUGIN_MAX_TEXT, "%s: ", def->arg);
        }

        snprintf(h->texts[i] + n, PLUGIN_MAX_TEXT - (size_t) n, "%s",
                 def->help);

        h->options[count].name = def->name;
        h->options[count].text = h->texts[i];
        count++;
    }

    return count;
}


static void
plugin_usage(plugin_help_t *h, const char *command)
{
    snprintf(h->usage, sizeof(h->usage),
        "cf %s APP [--index N]... [--process TYPE] [-f FILTER]"
        " [-i INTERFACE]...\n"
        "           [-s BYTES] [-o FILE] [OPTION]...\n\n"
        "   Captures the network traffic of the running instances of an app,"
        " inside of\n"
        "   their containers, into one file that tells them apart. Needs the"
        " role\n"
        "   SpaceDeveloper, and an app that `cf ssh` is allowed for.\n\n"
        "   Ctrl-C ends the capture; the file is complete when the last"
        " words are\n"
        "   shown, which may be after the prompt. The exit status is 0, or 1"
        " in every\n"
        "   other case, because the cf CLI passes on no other: see --json,"
        " or use\n"
        "   `pcap-cli cf`. Use --verbose, not -v, which the cf CLI keeps for"
        " itself.\n"
        "   See also cf-pcap(1).\n\n"
        "EXAMPLES:\n"
        "   cf %s my-app -o my-app.pcapng --duration 30s\n"
        "   cf %s my-app --index 0 -i lo -f \"tcp port 8080\"\n"
        "   cf %s my-app --process worker -o - | tshark -r -",
        command, command, command, command);
}


/* PCAP_VERSION is three numbers. */
static void
plugin_version(unsigned version[3])
{
    int          i;
    char        *end;
    const char  *s;

    s = PCAP_VERSION;

    for (i = 0; i < 3; i++) {
        version[i] = (unsigned) strtoul(s, &end, 10);
        s = *end == '.' ? end + 1 : end;
    }
}


int
cf_plugin_send(unsigned port, const char *argv0, char *err)
{
    int             rc, taken;
    cf_rpc_t       *r;
    cf_meta_t       m;
    gob_out_t       o = { 0 };
    cf_rpc_want_t   want = { "", NULL, &taken };
    plugin_help_t  *h;

    h = calloc(1, sizeof(plugin_help_t));
    if (h == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
        return -1;
    }

    m.name = PLUGIN_NAME;
    m.command = PLUGIN_COMMAND;

    if (plugin_is_other(argv0)) {
        m.name = PLUGIN_OTHER_NAME;
        m.command = PLUGIN_OTHER_COMMAND;
    }

    plugin_version(m.version);
    plugin_usage(h, m.command);
    m.help = "Capture network traffic of an app's containers";
    m.usage = h->usage;
    m.options = h->options;
    m.noptions = plugin_options(h);
    cf_plugin_encode(&o, &m);

    taken = 0;
    rc = -1;
    r = cf_rpc_open(port, err);

    if (r != NULL) {
        rc = cf_rpc_call(r, NULL, "SetPluginMetadata", &o, &want, 1, err);

        if (rc == 0 && !taken) {
            snprintf(err, PCAPX_ERR_LEN, "the cf CLI does not take this"
                     " plugin");
        }
    }

    cf_rpc_close(r);
    gob_out_free(&o);
    free(h);

    return rc == 0 && taken ? 0 : -1;
}
