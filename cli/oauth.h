/*
 * cli/oauth.h: asks a UAA for tokens (POST /oauth/token): with a refresh
 * token, or as a client. Whoever asks keeps what comes; nothing here knows
 * a config file. Tokens and secrets go to the UAA and nowhere else.
 */

#ifndef CLI_OAUTH_H
#define CLI_OAUTH_H

#include "api.h"
#include "cli.h"


/* What is asked; all of it aliases. */

typedef struct {
    const char  *client;       /* UAA client */
    const char  *secret;       /* its secret, NULL: an empty one */
    const char  *refresh;      /* refresh token; NULL: the client's own token
                                  (grant client_credentials) */
    const char  *hint;         /* what to do when it is refused: "log in
                                  with `cf login`" */
} oauth_ask_t;

/* What the UAA gave; both owned, oauth_wipe() them. */

typedef struct {
    char  *access;
    char  *refresh;            /* NULL: none, or an empty one */
} oauth_grant_t;


/*
 * Asks the UAA that conf names for a token; wait's turns are taken meanwhile
 * (NULL: it blocks). grant was zeroed.
 * CLI_OK with grant->access, CLI_DENIED where the UAA refuses the grant, or
 * CLI_FAILED; both told.
 */
cli_exit_t oauth_token(const conf_t *conf, msg_t *msg,
    const conf_wait_t *wait, const oauth_ask_t *ask, oauth_grant_t *grant);

/* Wipes and frees both tokens. */
void oauth_wipe(oauth_grant_t *grant);


#endif /* CLI_OAUTH_H */
