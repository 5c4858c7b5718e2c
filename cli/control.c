/*
 * cli/control.c: `stop` and `status`. One request each, the answer bounded
 * and cleaned; members of a wrong type count as absent.
 */

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "control.h"
#include "pcapx/version.h"
#include "problem.h"
#include "text.h"


#define CONTROL_MAX_RESOLVERS  20


cli_exit_t
control_ask(api_request_t *q, const api_t *api, const char *method,
    const char *path)
{
    CURLcode  rc;

    if (api_request_init(q, api, method, path, NULL) != 0) {
        msg_error(api->msg, "out of memory");
        return CLI_FAILED;
    }

    rc = api_run(q, NULL);

    if (rc != CURLE_OK) {
        msg_error(api->msg, "no answer from %.100s: %.200s%s", api->conf->host,
                  api_error(q, rc), api_hint(q, rc));
        return CLI_FAILED;
    }

    return CLI_OK;
}


cli_exit_t
control_tell(const api_t *api, const api_request_t *q, size_t json)
{
    char     text[320];
    json_t  *doc, *out;

    doc = problem_parse(&q->reply);
    problem_print(api->msg, &q->reply, doc, text, sizeof(text));

    if (json) {
        out = json_pack("{s:i, s:i, s:s, s:o?}",
                        "exit_code", (int) verdict_http(q->reply.status),
                        "http_status", (int) q->reply.status,
                        "text", text, "problem", doc);
        json_dumpf(out, stdout, JSON_ENSURE_ASCII|JSON_COMPACT);
        printf("\n");
        json_decref(out);

    } else {
        json_decref(doc);
    }

    return verdict_http(q->reply.status);
}


cli_exit_t
control_refused(const api_t *api, const api_request_t *q, size_t json)
{
    if (q->reply.status == 401 && api->conf->again) {
        return CLI_AGAIN;
    }

    return control_tell(api, q, json);
}


cli_exit_t
control_stop_one(const api_t *api, const char *id, size_t json)
{
    char           path[API_MAX_PATH];
    cli_exit_t     code;
    api_request_t  q = { 0 };

    snprintf(path, sizeof(path), "/v1/captures/%s", id);

    code = control_ask(&q, api, "DELETE", path);

    if (code == CLI_OK && (q.reply.status < 200 || q.reply.status >= 300)) {
        code = control_refused(api, &q, json);

    } else if (code == CLI_OK) {
        msg_note(api->msg, "the capture %s is being stopped", id);

        if (json) {
            printf("{\"exit_code\":0,\"http_status\":%ld,"
                   "\"capture_id\":\"%s\"}\n", q.reply.status, id);
        }
    }

    api_request_free(&q);

    return code;
}


cli_exit_t
control_stop(const opt_t *opt, const conf_t *conf, msg_t *msg)
{
    api_t       api = { conf, msg };
    size_t      i;
    cli_exit_t  code, rc;

    code = CLI_OK;

    for (i = 0; i < opt->ntargets; i++) {
        rc = control_stop_one(&api, opt->targets[i],
                              opt_count(opt, OPT_JSON));

        if (rc == CLI_AGAIN) {
            return rc;
        }

        if (code == CLI_OK) {
            code = rc;
        }
    }

    return code;
}


/* "static, bosh": the resolvers that work. */
static void
control_resolvers(char *dst, size_t max, const json_t *list)
{
    int          n;
    size_t       i, len;
    const char  *name;

    len = 0;
    dst[0] = '\0';

    for (i = 0; i < json_array_size(list) && i < CONTROL_MAX_RESOLVERS; i++) {
        name = json_string_value(json_array_get(list, i));
        if (name == NULL) {
            continue;
        }

        n = snprintf(dst + len, max - len, "%s%.32s", len ? ", " : "", name);
        if (n < 0 || (size_t) n >= max - len) {
            return;
        }

        len += (size_t) n;
    }
}


static void
control_print_status(const conf_t *conf, const json_t *doc)
{
    char         line[1024], clean[1024], resolvers[512];
    const char  *version, *message;

    version = json_string_value(json_object_get(doc, "version"));
    message = json_string_value(json_object_get(doc, "message"));
    control_resolvers(resolvers, sizeof(resolvers),
                      json_object_get(doc, "resolvers"));

    snprintf(line, sizeof(line), "%.100s: %s, version %.32s, compatibility"
             " level %d, can capture: %s%s%.300s", conf->host,
             json_is_true(json_object_get(doc, "healthy"))
             ? "healthy" : "not healthy",
             version != NULL ? version : "unknown",
             (int) json_integer_value(json_object_get(doc,
                                      "compatibility_level")),
             resolvers[0] != '\0' ? resolvers : "nothing",
             message != NULL && *message != '\0' ? "; " : "",
             message != NULL ? message : "");

    text_clean(clean, sizeof(clean), line, strlen(line));
    printf("%s\n", clean);
}


static cli_exit_t
control_judge_status(const reply_t *reply, const json_t *doc, msg_t *msg)
{
    const json_t  *level;

    level = json_object_get(doc, "compatibility_level");

    if (json_integer_value(level) < PCAP_COMPATIBILITY_LEVEL) {
        msg_error(msg, "the API is older than this program: its"
                  " compatibility level is below %d",
                  PCAP_COMPATIBILITY_LEVEL);
        return CLI_FAILED;
    }

    if (reply->status != 200) {
        return CLI_FAILED;
    }

    return json_is_true(json_object_get(doc, "healthy")) ? CLI_OK
                                                         : CLI_PARTIAL;
}


cli_exit_t
control_status(const opt_t *opt, const conf_t *conf, msg_t *msg)
{
    api_t          api = { conf, msg };
    json_t        *doc;
    cli_exit_t     code;
    api_request_t  q = { 0 };

    doc = NULL;

    code = control_ask(&q, &api, "GET", "/v1/status");
    if (code != CLI_OK) {
        goto out;
    }

    /* 503 carries the same document: nothing works, or draining. */
    if (reply_is(&q.reply, "application/json") && q.reply.body != NULL
        && (q.reply.status == 200 || q.reply.status == 503))
    {
        doc = json_loadb(q.reply.body, q.reply.body_len,
                         JSON_REJECT_DUPLICATES, NULL);
    }

    if (!json_is_object(doc)) {
        code = control_refused(&api, &q, opt_count(opt, OPT_JSON));
        goto out;
    }

    if (opt_count(opt, OPT_JSON)) {
        json_dumpf(doc, stdout, JSON_ENSURE_ASCII|JSON_COMPACT);
        printf("\n");

    } else if (msg->level != MSG_QUIET) {
        control_print_status(conf, doc);
    }

    code = control_judge_status(&q.reply, doc, msg);

out:

    json_decref(doc);
    api_request_free(&q);

    return code;
}
