/*
 * cli/cf_rpc.h: calls to the cf CLI that started this program as its plugin:
 * Go's net/rpc over a loopback connection, service CliRpcCmd (cf CLI 8:
 * plugin/rpc/cli_rpc_server.go). One connection is kept: when the CLI is gone
 * it ends, and nobody who got the port later is ever asked.
 */

#ifndef CLI_CF_RPC_H
#define CLI_CF_RPC_H

#include "conf.h"
#include "gob.h"


/* The CLI may ask the UAA for a token before it answers. */
#define CF_RPC_TIMEOUT_MS  30000

typedef struct cf_rpc_s  cf_rpc_t;

/* A value of the answer, by its path (see gob_visit_t). */

typedef struct {
    const char   *path;
    char        **text;      /* NULL, or a string goes here: allocated; the
                                first one counts, NULL stays if absent */
    int          *flag;      /* NULL, or a bool */
} cf_rpc_want_t;


/*
 * Connects to 127.0.0.1:port. NULL with err (PCAPX_ERR_LEN bytes) filled.
 */
cf_rpc_t *cf_rpc_open(unsigned port, char *err);

/* r may be NULL. */
void cf_rpc_close(cf_rpc_t *r);

/*
 * Calls CliRpcCmd.METHOD; wait's turns are taken meanwhile (NULL: it blocks).
 * arg is an encoded argument (definitions
 * and value), or NULL for the empty string. Fills the n wants. Returns 0, 1
 * when the CLI answers with an error (err is its text, not cleaned), or -1
 * when there is no answer or one that cannot be read (err; each later call
 * fails, too). What a want got is the caller's in each case.
 */
int cf_rpc_call(cf_rpc_t *r, const conf_wait_t *wait, const char *method,
    const gob_out_t *arg, const cf_rpc_want_t *wants, size_t n, char *err);


#endif /* CLI_CF_RPC_H */
