/*
 * cli/cf.h: `pcap-cli cf` and `cf pcap`: takes over where the cf CLI is
 * logged in. cf.c settles what is asked of whom, cf_login.c keeps the token
 * fresh, cf_app.c finds the app, cf_rpc.c asks the cf CLI where it started
 * this program. Tokens never leave these rooms but towards their servers.
 */

#ifndef CLI_CF_H
#define CLI_CF_H

#include "api.h"
#include "cf_conf.h"
#include "cf_rpc.h"
#include "cli.h"
#include "store.h"


/* Cloud Controller and UAA answer within this, or never. */
#define CF_TIMEOUT_MS  30000

typedef struct {
    const opt_t   *opt;
    msg_t         *msg;
    conf_command_t command;
    cf_rpc_t      *rpc;            /* NULL: not a plugin, or of no more use */
    pid_t          parent;         /* the cf CLI; 0: not a plugin */
    char          *config_path;    /* owned */
    store_t        store;
    cf_conf_t      login;          /* as the cf CLI is logged in */
    char          *used;           /* refresh token in the file that login's
                                      has replaced, owned, wiped; or NULL */
    char          *user;           /* owned, or NULL */
    char          *app_guid;       /* owned */
    conf_t         cc;             /* the Cloud Controller */
    conf_t         api;            /* zeroed until its address is known */
    const conf_wait_t  *wait;      /* a capture runs, NULL: none */
    uint64_t       fresh_ms;       /* when a token was got, 0: not yet */
    unsigned       fixed:1;        /* --token and the like */
    unsigned       by_rule:1;      /* the API's address is a guess */
} cf_t;


/*
 * Runs a command with the token of the cf CLI: a capture, for `pcap-cli cf`,
 * or one about captures; with port 0, or as the plugin whose cf CLI listens at
 * that port of the loopback address. Returns the exit code.
 */
cli_exit_t cf_run(const opt_t *opt, msg_t *msg, conf_command_t command,
    unsigned port);


/* Between the files of this room. */

/*
 * Reads the config file into c->store and c->login. Where that is filled, only
 * tokens and client change, and it must be the same Cloud Controller. 1, 0
 * when there is none, or -1 with err filled.
 */
int cf_read_config(cf_t *c, char *err);

/* Fills c->login by the cf CLI. CLI_OK, or an exit code (told). */
cli_exit_t cf_login_by_rpc(cf_t *c);

/* A token that can be used. CLI_OK, or an exit code (told). */
cli_exit_t cf_login(cf_t *c);

/* Was the token got just now, so that another one would be no better? */
int cf_login_is_fresh(const cf_t *c);

/*
 * The token was refused: a fresh one, if it is not fresh. CLI_OK, or
 * CLI_DENIED and the like (told).
 */
cli_exit_t cf_login_again(cf_t *c);

/* Finds c->app_guid by the app's name. CLI_OK, or an exit code (told). */
cli_exit_t cf_app(cf_t *c);


#endif /* CLI_CF_H */
