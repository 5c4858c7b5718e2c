/*
 * cli/main.c: pcap-cli: parses, settles the configuration, and hands over to
 * the command. See pcap-cli(1).
 */

#include <curl/curl.h>
#include <stdio.h>
#include <sys/resource.h>

#include "capture.h"
#include "cli.h"
#include "control.h"
#include "pcapx/version.h"


typedef cli_exit_t (*main_command_t)(const opt_t *opt, const conf_t *conf,
    msg_t *msg);

/* In the order of opt_cmd_t. */

static const main_command_t  main_commands[OPT_CMD_END] = {
    capture_run,
    control_status,
    control_stop
};


/* A core would hold the token and packets. */
static void
main_forbid_core(void)
{
    struct rlimit  none = { 0, 0 };

    (void) setrlimit(RLIMIT_CORE, &none);
}


static cli_exit_t
main_run(const opt_t *opt, msg_t *msg)
{
    char        err[PCAPX_ERR_LEN];
    conf_t      conf;
    cli_exit_t  code;

    if (conf_load(&conf, opt, err) != 0) {
        msg_error(msg, "%s", err);
        conf_free(&conf);
        return CLI_USAGE;
    }

    conf_hide_token(opt);

    if (conf.insecure) {
        msg_error(msg, "WARNING: the API's certificate is not verified (-k):"
                  " whoever sits on the way can read the token and the"
                  " packets");
    }

    code = main_commands[opt->cmd](opt, &conf, msg);
    conf_free(&conf);

    return code;
}


int
main(int argc, char **argv)
{
    opt_t       opt;
    msg_t       msg = { stderr, MSG_NORMAL, 0 };
    cli_exit_t  code;

    main_forbid_core();
    code = CLI_OK;

    switch (opt_parse(&opt, argc, argv)) {

    case OPT_SHOW_HELP:
        opt_help(stdout, opt.cmd);
        break;

    case OPT_SHOW_VERSION:
        printf("pcap-cli %s\n", PCAP_VERSION);
        break;

    case OPT_WRONG:
        msg_error(&msg, "%s", opt.err);
        msg_error(&msg, "see pcap-cli --help");
        code = CLI_USAGE;
        break;

    case OPT_RUN:
        if (opt_count(&opt, OPT_VERBOSE)) {
            msg.level = MSG_VERBOSE;

        } else if (opt_count(&opt, OPT_QUIET)) {
            msg.level = MSG_QUIET;
        }

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
            msg_error(&msg, "libcurl does not start");
            code = CLI_FAILED;
            break;
        }

        code = main_run(&opt, &msg);
        curl_global_cleanup();
        break;
    }

    opt_free(&opt);

    return (int) code;
}
