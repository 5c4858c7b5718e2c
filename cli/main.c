/*
 * cli/main.c: pcap-cli: parses, settles the configuration, and hands over to
 * the command. Called as `bosh`, everything but `bosh pcap` goes to the bosh
 * CLI untouched; called by the cf CLI, it is its plugin. See pcap-cli(1),
 * bosh-pcap(1), cf-pcap(1).
 */

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "audit.h"
#include "bosh.h"
#include "capture.h"
#include "cf.h"
#include "cf_plugin.h"
#include "cli.h"
#include "control.h"
#include "get.h"
#include "k8s.h"
#include "later.h"
#include "list.h"
#include "passthrough.h"
#include "pcapx/version.h"
#include "remove.h"


/* How this program was called. */

typedef struct {
    called_t      name;
    char        **args;        /* for the bosh CLI, should it come to that */
    unsigned      port;        /* of the cf CLI; 0: not its plugin */
    const char   *command;     /* of the plugin */
} main_t;

static cli_exit_t main_capture(const opt_t *opt, const conf_t *conf,
    msg_t *msg);


/* In the order of opt_cmd_t. */

static const conf_command_t  main_commands[OPT_CMD_END] = {
    main_capture,
    main_capture,
    get_run,
    main_capture,
    list_captures,
    remove_run,
    list_show,
    main_capture,
    control_status,
    control_stop
};


static cli_exit_t
main_capture(const opt_t *opt, const conf_t *conf, msg_t *msg)
{
    return opt_count(opt, OPT_STORE) ? later_run(opt, conf, msg)
                                     : capture_run(opt, conf, msg);
}


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


/*
 * The words as if `pcap-cli bosh` had been typed: the word at pcap is taken
 * out. A new array; its strings are those of argv, so that secrets in them
 * can be wiped. NULL without memory.
 */
static char **
main_as_bosh(int argc, char **argv, int pcap)
{
    int     i, n;
    char  **words;

    static char  command[] = "bosh";

    words = calloc((size_t) argc + 2, sizeof(char *));
    if (words == NULL) {
        return NULL;
    }

    n = 0;
    words[n++] = argv[0];
    words[n++] = command;

    for (i = 1; i < argc; i++) {
        if (i != pcap) {
            words[n++] = argv[i];
        }
    }

    return words;
}


/* The bosh CLI's own pcap. Only comes back when there is none. */
static cli_exit_t
main_use_ssh(char **args, msg_t *msg)
{
    char  err[PCAPX_ERR_LEN];

    if (args == NULL) {
        msg_error(msg, "out of memory");
        return CLI_FAILED;
    }

    /* What was ignored would stay so. */
    (void) signal(SIGXFSZ, SIG_DFL);
    msg_error(msg, "going on with the bosh CLI's own pcap, over SSH");
    passthrough_exec(args, err);
    msg_error(msg, "%s", err);

    return CLI_FAILED;
}


static cli_exit_t
main_run_bosh(const opt_t *opt, msg_t *msg, const main_t *m)
{
    int         no_api;
    cli_exit_t  code;

    /* A full disk is an error of write(), not the end. */
    (void) signal(SIGXFSZ, SIG_IGN);

    code = bosh_run(opt, msg, main_commands[opt->cmd], &no_api);

    /*
     * Whoever typed `bosh pcap` knew it before this program came; but it
     * knows no storage.
     */
    if (no_api && m->name == CALLED_BOSH && !opt_count(opt, OPT_STORE)) {
        code = main_use_ssh(m->args, msg);
    }

    return code;
}


static cli_exit_t
main_run_cf(const opt_t *opt, msg_t *msg, const main_t *m)
{
    /* A full disk, a cf CLI that is gone: errors of write(), not the end. */
    (void) signal(SIGXFSZ, SIG_IGN);
    (void) signal(SIGPIPE, SIG_IGN);

    return cf_run(opt, msg, main_commands[opt->cmd], m->port);
}


/* Whose login is meant. */
static int
main_by_bosh(const opt_t *opt)
{
    return opt->cmd == OPT_CMD_BOSH || opt_count(opt, OPT_ENVIRONMENT)
           || opt_count(opt, OPT_CONFIG) || opt_count(opt, OPT_CLIENT)
           || opt_count(opt, OPT_CLIENT_SECRET);
}


static int
main_by_k8s(const opt_t *opt)
{
    return opt->cmd == OPT_CMD_K8S || opt_count(opt, OPT_K8S)
           || opt_count(opt, OPT_CONTEXT) || opt_count(opt, OPT_KUBECONFIG)
           || opt_count(opt, OPT_CLIENT_CERT);
}


static cli_exit_t
main_run_k8s(const opt_t *opt, msg_t *msg)
{
    /* A full disk is an error of write(); plugins are waited for. */
    (void) signal(SIGXFSZ, SIG_IGN);
    (void) signal(SIGCHLD, SIG_DFL);

    return k8s_run(opt, msg, main_commands[opt->cmd]);
}


static cli_exit_t
main_settled(const opt_t *opt, msg_t *msg, const main_t *m)
{
    if (main_by_bosh(opt) + (opt_count(opt, OPT_CF) != 0) + main_by_k8s(opt)
        > 1)
    {
        msg_error(msg, "--cf is the cf CLI's login, -e, -c and --client are the"
                  " bosh CLI's, --k8s, --context, --kubeconfig and"
                  " --client-cert are kubectl's: one of them");
        return CLI_USAGE;
    }

    if (main_by_k8s(opt)) {
        return main_run_k8s(opt, msg);
    }

    if (main_by_bosh(opt)) {
        return main_run_bosh(opt, msg, m);
    }

    if (opt->cmd == OPT_CMD_CF || opt_count(opt, OPT_CF)) {
        return main_run_cf(opt, msg, m);
    }

    return main_run(opt, msg);
}


static cli_exit_t
main_parsed(const opt_t *opt, msg_t *msg, const main_t *m)
{
    cli_exit_t  code;

    if (opt_count(opt, OPT_VERBOSE)) {
        msg->level = MSG_VERBOSE;

    } else if (opt_count(opt, OPT_QUIET)) {
        msg->level = MSG_QUIET;
    }

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        msg_error(msg, "libcurl does not start");
        return CLI_FAILED;
    }

    code = main_settled(opt, msg, m);

    curl_global_cleanup();

    return code;
}


static void
main_see_help(msg_t *msg, const main_t *m, opt_cmd_t cmd)
{
    if (m->port != 0) {
        msg_error(msg, "see cf help %s", m->command);
        return;
    }

    if (m->name == CALLED_BOSH || m->name == CALLED_BOSH_PCAP) {
        msg_error(msg, "see %s --help", m->name == CALLED_BOSH ? "bosh pcap"
                  : "bosh-pcap");
        return;
    }

    msg_error(msg, "see pcap-cli%s%s --help", cmd < OPT_CMD_END ? " " : "",
              cmd < OPT_CMD_END ? opt_cmds[cmd].name : "");
}


static cli_exit_t
main_words(int argc, char **words, const main_t *m)
{
    opt_t       opt;
    msg_t       msg = { stderr, MSG_NORMAL, 0 };
    cli_exit_t  code;

    main_forbid_core();
    code = CLI_OK;

    switch (opt_parse(&opt, argc, words)) {

    case OPT_SHOW_HELP:
        opt_help(stdout, opt.cmd);
        break;

    case OPT_SHOW_VERSION:
        printf("pcap-cli %s\n", PCAP_VERSION);
        break;

    case OPT_WRONG:
        msg_error(&msg, "%s", opt.err);
        main_see_help(&msg, m, opt.cmd);
        code = CLI_USAGE;
        break;

    case OPT_RUN:
        code = main_parsed(&opt, &msg, m);
        break;
    }

    opt_free(&opt);

    return code;
}


/* One of the names of `pcap-cli bosh`; pcap is the place of that word. */
static cli_exit_t
main_bosh(int argc, char **argv, called_t called, int pcap)
{
    int          n;
    char       **words;
    main_t       m = { called, NULL, 0, NULL };
    msg_t        msg = { stderr, MSG_NORMAL, 0 };
    cli_exit_t   code;

    m.args = passthrough_args(called, argc, argv);

    if (passthrough_wants_ssh(argc, argv)) {
        code = main_use_ssh(m.args, &msg);
        passthrough_free(m.args);
        return code;
    }

    words = called == CALLED_PCAP_CLI ? NULL
                                      : main_as_bosh(argc, argv, pcap);

    if (m.args == NULL || (words == NULL && called != CALLED_PCAP_CLI)) {
        msg_error(&msg, "out of memory");
        code = CLI_FAILED;

    } else {
        n = called == CALLED_BOSH_PCAP ? argc + 1 : argc;
        code = main_words(n, words != NULL ? words : argv, &m);
    }

    free(words);
    passthrough_free(m.args);

    return code;
}


/* PORT COMMAND ARG... as `pcap-cli cf ARG...`: two words for two. */
static cli_exit_t
main_cf(int argc, char **argv, unsigned port)
{
    main_t  m = { CALLED_PCAP_CLI, NULL, port, argv[2] };

    static char  command[] = "cf";

    argv[1] = argv[0];
    argv[2] = command;

    return main_words(argc - 1, argv + 1, &m);
}


static cli_exit_t
main_plugin(int argc, char **argv, cf_plugin_t how, unsigned port)
{
    char   err[PCAPX_ERR_LEN];
    msg_t  msg = { stderr, MSG_NORMAL, 0 };

    switch (how) {

    case CF_PLUGIN_RUN:
        return main_cf(argc, argv, port);

    case CF_PLUGIN_METADATA:
        (void) signal(SIGPIPE, SIG_IGN);

        if (cf_plugin_send(port, argv[0], err) != 0) {
            msg_error(&msg, "%s", err);
            return CLI_FAILED;
        }

        return CLI_OK;

    default:
        /* Nothing was left anywhere. */
        return CLI_OK;
    }
}


int
main(int argc, char **argv)
{
    int          pcap;
    char         err[PCAPX_ERR_LEN];
    msg_t        msg = { stderr, MSG_NORMAL, 0 };
    main_t       m = { CALLED_PCAP_CLI, NULL, 0, NULL };
    called_t     called;
    unsigned     port;
    cf_plugin_t  how;

    how = cf_plugin_called(argc, argv, &port);

    if (how != CF_PLUGIN_NOT) {
        return (int) main_plugin(argc, argv, how, port);
    }

    pcap = 0;
    called = passthrough_called(argc > 0 ? argv[0] : NULL);

    if (called == CALLED_BOSH) {
        pcap = passthrough_find(argc, argv);

        if (pcap == 0) {
            passthrough_exec(argv, err);
            msg_error(&msg, "%s", err);
            return CLI_FAILED;
        }
    }

    if (called == CALLED_PCAP_CLI && audit_called(argc, argv)) {
        main_forbid_core();
        return (int) audit_run(argc, argv);
    }

    if (called != CALLED_PCAP_CLI
        || (argc > 1 && strcmp(argv[1], "bosh") == 0))
    {
        return (int) main_bosh(argc, argv, called, pcap);
    }

    return (int) main_words(argc, argv, &m);
}
