/*
 * cli/later.h: a capture to the API's storage, which nobody has to wait
 * beside: `pcap-cli bosh|cf|static ... --store`.
 */

#ifndef CLI_LATER_H
#define CLI_LATER_H

#include <jansson.h>

#include "api.h"


/*
 * Asks for the capture, prints its id and how to get at it; with --wait it
 * fetches the file as well. Returns the exit code, or CLI_AGAIN with nothing
 * begun (see conf_t.again).
 */
cli_exit_t later_run(const opt_t *opt, const conf_t *conf, msg_t *msg);

/*
 * The body of POST /v1/captures for o, allocated; NULL with err
 * (PCAPX_ERR_LEN bytes) filled: no memory, no UTF-8, or longer than
 * CLI_MAX_FORM_BYTES.
 */
char *later_body(const opt_t *o, char *err);

/* What becomes of a capture that is in the storage, or on its way there. */

typedef enum {
    LATER_GOES_ON = 0,
    LATER_THERE,         /* its file can be had */
    LATER_PARTIAL,       /* the same, but something is missing in it */
    LATER_NONE           /* there will be no file */
} later_state_t;

/* By the capture's document; a state that is not known counts as going on. */
later_state_t later_state(const json_t *doc);


#endif /* CLI_LATER_H */
