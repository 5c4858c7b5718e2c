/*
 * cli/opt_rules.c: what options mean for one another and for their command. A
 * capture to storage writes nothing here, so what is about the stream or the
 * file is refused with a word, before anything is asked of anybody.
 */

#include <string.h>

#include "opt.h"


static opt_result_t
rules_wrong(opt_t *o, const char *text)
{
    snprintf(o->err, sizeof(o->err), "%s", text);

    return OPT_WRONG;
}


/* The file is the API's, and there is no stream to look after. */
static opt_result_t
rules_no_stream(opt_t *o)
{
    const char  *format;

    if (!opt_count(o, OPT_WAIT)
        && (opt_count(o, OPT_OUTPUT) || opt_count(o, OPT_FORCE)))
    {
        return rules_wrong(o, "with --store nothing is written here: leave"
                           " out --output and --force, or add --wait, or"
                           " fetch it later: pcap-cli get ID -o FILE");
    }

    format = opt_value(o, OPT_FORMAT);

    if (format != NULL && strcmp(format, "pcapng") != 0) {
        return rules_wrong(o, "with --store there is only --format pcapng:"
                           " pcap is made here out of a stream, or later by"
                           " editcap -F pcap");
    }

    if (opt_count(o, OPT_NO_RECONNECT) || opt_count(o, OPT_RECONNECT_TIMEOUT))
    {
        return rules_wrong(o, "with --store there is no stream to reconnect:"
                           " leave out --no-reconnect and"
                           " --reconnect-timeout");
    }

    return OPT_RUN;
}


static opt_result_t
rules_store(opt_t *o)
{
    unsigned  store, tee;

    store = opt_count(o, OPT_STORE) != 0;
    tee = opt_count(o, OPT_TEE) != 0;

    if (store && tee) {
        return rules_wrong(o, "--store and --tee exclude each other: --store"
                           " writes nothing here, --tee does both");
    }

    if (!store && opt_count(o, OPT_WAIT)) {
        return rules_wrong(o, "--wait goes with --store");
    }

    if (!store && !tee) {
        return opt_count(o, OPT_RETENTION)
               ? rules_wrong(o, "--retention goes with --store and --tee")
               : OPT_RUN;
    }

    /* Nobody may be there to end it. */
    if (!opt_count(o, OPT_DURATION) && !opt_count(o, OPT_MAX_BYTES)
        && !opt_count(o, OPT_MAX_PACKETS))
    {
        return rules_wrong(o, "--store and --tee need a limit: --duration,"
                           " --max-bytes or --max-packets");
    }

    if (tee) {
        return opt_count(o, OPT_RECONNECT_TIMEOUT)
               ? rules_wrong(o, "with --tee a stream that is cut is not"
                             " continued, the capture goes on in storage:"
                             " leave out --reconnect-timeout")
               : OPT_RUN;
    }

    return rules_no_stream(o);
}


/* Those are one part; kubectl takes pod/NAME, too. */
static opt_result_t
rules_pods(opt_t *o)
{
    size_t  i;

    for (i = 0; i < o->nargs; i++) {
        if (o->args[i].id == OPT_INSTANCE
            && strchr(o->args[i].value, '/') != NULL)
        {
            return rules_wrong(o, "a pod's name holds no \"/\": web-0, not"
                               " pod/web-0");
        }
    }

    return OPT_RUN;
}


opt_result_t
opt_rules(opt_t *o)
{
    if (o->cmd == OPT_CMD_K8S && rules_pods(o) != OPT_RUN) {
        return OPT_WRONG;
    }

    if (opt_count(o, OPT_TOKEN) && opt_count(o, OPT_TOKEN_FILE)) {
        return rules_wrong(o, "--token and --token-file exclude each other");
    }

    return rules_store(o);
}
