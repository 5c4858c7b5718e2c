/*
 * cli/bosh.h: `pcap-cli bosh`: takes over where the bosh CLI is logged in.
 * bosh.c settles what is asked of whom, bosh_login.c asks Director and UAA
 * and keeps the token fresh, bosh_targets.c shows whom the capture looks at.
 * Tokens and secrets never leave these rooms but towards their servers.
 */

#ifndef CLI_BOSH_H
#define CLI_BOSH_H

#include "api.h"
#include "bosh_conf.h"
#include "cli.h"
#include "store.h"


/* Director and UAA answer within this, or never. */
#define BOSH_TIMEOUT_MS  30000

typedef struct {
    const opt_t   *opt;
    msg_t         *msg;
    conf_command_t command;
    const char    *name;           /* of the environment, as it was given */
    const char    *deployment;     /* aliases */
    char          *config_path;    /* owned */
    store_t        store;
    bosh_env_t     env;            /* zeroed: not in the config */
    char          *used;           /* refresh token in the file that env's has
                                      replaced, owned, wiped; NULL: none */
    char          *client;         /* owned; NULL: a user's token */
    char          *secret;         /* owned, wiped */
    char          *uaa;            /* its URL as the Director says, owned */
    char          *api_url;        /* as the Director says, owned, or NULL */
    conf_t         director;
    conf_t         api;            /* zeroed until its address is known */
    const conf_wait_t  *wait;      /* a capture runs, NULL: none */
    uint64_t       fresh_ms;       /* when a token was got, 0: not yet */
    unsigned       fixed:1;        /* --token and the like */
    unsigned       by_rule:1;      /* the API's address is a guess */
} bosh_t;


/*
 * Runs a command with the token of the bosh CLI: a capture, for `pcap-cli
 * bosh`, or one about captures. Returns the exit code; *no_api is set when no
 * address was named and none answers where an API would be (told).
 */
cli_exit_t bosh_run(const opt_t *opt, msg_t *msg, conf_command_t command,
    int *no_api);


/* Between the files of this room. */

/*
 * GET /info: fills b->uaa and b->api_url. CLI_OK, or an exit code (told).
 */
cli_exit_t bosh_login_info(bosh_t *b);

/*
 * A token that can be used: the one given, the client's, the stored one, or
 * a refreshed one. CLI_OK, or an exit code (told).
 */
cli_exit_t bosh_login(bosh_t *b);

/* Was the token got just now, so that another one would be no better? */
int bosh_login_is_fresh(const bosh_t *b);

/*
 * The token was refused: a fresh one, if it is not fresh. CLI_OK, or
 * CLI_DENIED and the like (told).
 */
cli_exit_t bosh_login_again(bosh_t *b);

/*
 * Asks the Director for the instances, shows those that are meant, and asks
 * whether to go on when they are many. CLI_OK, or an exit code (told).
 */
cli_exit_t bosh_targets(bosh_t *b);


#endif /* CLI_BOSH_H */
