/*
 * cli/remove.c: one DELETE for each file, in the order given. There is no way
 * back, so a person is asked first.
 */

#include <stdio.h>
#include <unistd.h>

#include "control.h"
#include "remove.h"
#include "term.h"


static int
remove_confirmed(const opt_t *opt, msg_t *msg)
{
    char     line[64];
    term_t   term;
    ssize_t  n;

    term_init(&term, msg);

    if (!term.can_ask || opt_count(opt, OPT_YES)) {
        return 1;
    }

    fprintf(msg->f, "Remove the file%s of %zu capture%s for good? [y/N] ",
            opt->ntargets == 1 ? "" : "s", opt->ntargets,
            opt->ntargets == 1 ? "" : "s");
    fflush(msg->f);
    n = read(STDIN_FILENO, line, sizeof(line));

    return n > 0 && (line[0] == 'y' || line[0] == 'Y');
}


/* CLI_AGAIN: there is a fresh token now. */
static cli_exit_t
remove_once(const api_t *api, const char *id, size_t json)
{
    char           path[API_MAX_PATH];
    cli_exit_t     code;
    api_request_t  q = { 0 };

    snprintf(path, sizeof(path), "/v1/captures/%s/file", id);
    code = control_ask(&q, api, "DELETE", path);

    if (code == CLI_OK && q.reply.status == 401
        && conf_renew(api->conf, NULL) == 0)
    {
        code = CLI_AGAIN;

    } else if (code == CLI_OK
               && (q.reply.status < 200 || q.reply.status >= 300))
    {
        msg_error(api->msg, "%s:", id);
        code = control_tell(api, &q, json);

    } else if (code == CLI_OK) {
        msg_note(api->msg, "the file of %s was removed", id);

        if (json) {
            printf("{\"exit_code\":0,\"http_status\":%ld,"
                   "\"capture_id\":\"%s\"}\n", q.reply.status, id);
        }
    }

    api_request_free(&q);

    return code;
}


cli_exit_t
remove_run(const opt_t *opt, const conf_t *conf, msg_t *msg)
{
    api_t       api = { conf, msg };
    size_t      i, json;
    unsigned    tries;
    cli_exit_t  code, worst;

    if (!remove_confirmed(opt, msg)) {
        msg_error(msg, "nothing was removed");
        return CLI_FAILED;
    }

    json = opt_count(opt, OPT_JSON);
    worst = CLI_OK;

    for (i = 0; i < opt->ntargets; i++) {
        tries = 0;

        do {
            code = remove_once(&api, opt->targets[i], json);
        } while (code == CLI_AGAIN && ++tries < 2);

        if (code == CLI_AGAIN) {
            code = CLI_DENIED;
        }

        worst = code > worst ? code : worst;
    }

    return worst;
}
