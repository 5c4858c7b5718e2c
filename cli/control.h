/*
 * cli/control.h: the commands that ask the API one thing and print the
 * answer.
 */

#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include "api.h"


/*
 * Runs one request; CLI_OK when there is an answer, whatever it says, else
 * CLI_FAILED (told). Call api_request_free(q) in both cases.
 */
cli_exit_t control_ask(api_request_t *q, const api_t *api,
    const char *method, const char *path);

/*
 * Says what the API has refused; with json the document goes to standard
 * output as well. The exit code; CLI_AGAIN (not told) when a fresh token may
 * help.
 */
cli_exit_t control_refused(const api_t *api, const api_request_t *q,
    size_t json);

/* As control_refused(), where no fresh token can help: never CLI_AGAIN. */
cli_exit_t control_tell(const api_t *api, const api_request_t *q,
    size_t json);

/*
 * Asks the API to end the capture id, and says so. CLI_OK, or the exit code
 * (told).
 */
cli_exit_t control_stop_one(const api_t *api, const char *id, size_t json);

/*
 * `pcap-cli stop ID...`: CLI_OK when the API has taken every request to stop;
 * else what came of the first one that it has not taken. All are asked.
 */
cli_exit_t control_stop(const opt_t *opt, const conf_t *conf, msg_t *msg);

/*
 * `pcap-cli status`: CLI_OK when everything works, CLI_PARTIAL when some
 * resolver does not, CLI_FAILED when nothing does.
 */
cli_exit_t control_status(const opt_t *opt, const conf_t *conf, msg_t *msg);


#endif /* CLI_CONTROL_H */
