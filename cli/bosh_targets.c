/*
 * cli/bosh_targets.c: the instances of the deployment as the Director lists
 * them (GET /deployments/NAME/instances: job, id, index, ips; cid is null
 * without a VM). Only shown and counted: the API asks the Director itself.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bosh.h"
#include "term.h"
#include "text.h"


#define TARGETS_ASK_ABOVE  5
#define TARGETS_MAX_ROWS   50

/* bosh-director's errors.rb: valid token, missing scope; no deployment. */
#define TARGETS_NO_SCOPE   600000


/* Is this what slug means: GROUP, GROUP/ID or GROUP/INDEX? As the API reads
 * it: letter by letter, an index by its value. */
static int
targets_is(const json_t *in, const char *slug)
{
    size_t         len;
    uint64_t       index;
    const char    *group, *id, *slash;
    const json_t  *n;

    group = json_string_value(json_object_get(in, "job"));
    id = json_string_value(json_object_get(in, "id"));
    n = json_object_get(in, "index");

    slash = strchr(slug, '/');
    len = slash != NULL ? (size_t) (slash - slug) : strlen(slug);

    if (group == NULL || strlen(group) != len
        || strncmp(group, slug, len) != 0)
    {
        return 0;
    }

    if (slash == NULL || (id != NULL && strcmp(id, slash + 1) == 0)) {
        return 1;
    }

    return json_is_integer(n) && json_integer_value(n) >= 0
           && text_number(slash + 1, strlen(slash + 1), &index) == 0
           && index == (uint64_t) json_integer_value(n);
}


/* Is it one of those that the user named, or were none named? */
static int
targets_wanted(const opt_t *o, const json_t *in)
{
    size_t  i;

    for (i = 0; i < o->nargs; i++) {
        if (o->args[i].id == OPT_INSTANCE
            && targets_is(in, o->args[i].value))
        {
            return 1;
        }
    }

    return opt_count(o, OPT_INSTANCE) == 0;
}


/* Every name must mean something. */
static cli_exit_t
targets_check(const bosh_t *b, const json_t *list)
{
    size_t         i, k;
    const opt_t   *o;
    const json_t  *in;

    o = b->opt;

    for (i = 0; i < o->nargs; i++) {
        if (o->args[i].id != OPT_INSTANCE) {
            continue;
        }

        json_array_foreach(list, k, in) {
            if (targets_is(in, o->args[i].value)) {
                break;
            }
        }

        if (k == json_array_size(list)) {
            msg_error(b->msg, "the deployment %.130s has no instance %.130s;"
                      " `bosh instances` lists them", b->deployment,
                      o->args[i].value);
            return CLI_FAILED;
        }
    }

    if (json_array_size(list) == 0) {
        msg_error(b->msg, "the deployment %.130s has no instances",
                  b->deployment);
        return CLI_FAILED;
    }

    return CLI_OK;
}


static void
targets_row(const bosh_t *b, const json_t *in)
{
    char           ips[120];
    int            n;
    size_t         i, len;
    const char    *ip, *group, *id;
    const json_t  *list;

    len = 0;
    ips[0] = '\0';
    list = json_object_get(in, "ips");

    for (i = 0; i < json_array_size(list); i++) {
        ip = json_string_value(json_array_get(list, i));

        if (ip == NULL) {
            continue;
        }

        n = snprintf(ips + len, sizeof(ips) - len, "%s%.50s",
                     len ? ", " : "", ip);
        if (n < 0 || (size_t) n >= sizeof(ips) - len) {
            break;
        }

        len += (size_t) n;
    }

    group = json_string_value(json_object_get(in, "job"));
    id = json_string_value(json_object_get(in, "id"));

    msg_note(b->msg, "  %.100s/%.60s  %s", group != NULL ? group : "?",
             id != NULL ? id : "?",
             json_is_string(json_object_get(in, "cid")) ? ips : "no VM");
}


static size_t
targets_show(const bosh_t *b, const json_t *list)
{
    size_t         i, n;
    const json_t  *in;

    n = 0;
    msg_note(b->msg, "environment %.200s, deployment %.130s", b->director.url,
             b->deployment);

    json_array_foreach(list, i, in) {
        if (!targets_wanted(b->opt, in)) {
            continue;
        }

        if (n < TARGETS_MAX_ROWS) {
            targets_row(b, in);
        }

        n++;
    }

    if (n > TARGETS_MAX_ROWS) {
        msg_note(b->msg, "  ... and %zu more", n - TARGETS_MAX_ROWS);
    }

    return n;
}


/* A flag by a variable, as the bosh CLI reads it. */
static int
targets_is_quiet(const opt_t *o)
{
    const char  *s;

    s = getenv("BOSH_NON_INTERACTIVE");

    return opt_count(o, OPT_YES)
           || (s != NULL && *s != '\0' && strcmp(s, "0") != 0
               && strcasecmp(s, "false") != 0);
}


static cli_exit_t
targets_confirm(const bosh_t *b, size_t n)
{
    char     line[64];
    term_t   term;
    ssize_t  got;

    term_init(&term, b->msg);

    if (n <= TARGETS_ASK_ABOVE || !term.can_ask || targets_is_quiet(b->opt)) {
        return CLI_OK;
    }

    fprintf(b->msg->f, "Capture %zu instances? [y/N] ", n);
    fflush(b->msg->f);
    got = read(STDIN_FILENO, line, sizeof(line));

    if (got > 0 && (line[0] == 'y' || line[0] == 'Y')) {
        return CLI_OK;
    }

    msg_error(b->msg, "nothing was captured");

    return CLI_FAILED;
}


/* What another status than 200 means. CLI_AGAIN: the token was refused. */
static cli_exit_t
targets_refused(const bosh_t *b, const reply_t *reply)
{
    json_t       *doc;
    cli_exit_t    code;
    const char   *text;

    doc = reply->body != NULL
          ? json_loadb(reply->body, reply->body_len, 0, NULL) : NULL;
    text = json_string_value(json_object_get(doc, "description"));

    if (reply->status == 401 && json_integer_value(json_object_get(doc,
                                "code")) != TARGETS_NO_SCOPE)
    {
        code = CLI_AGAIN;

    } else {
        /* The Director says 401 where the right is missing. */
        code = reply->status == 401 || reply->status == 403
               ? CLI_DENIED : CLI_FAILED;
        msg_error(b->msg, "the Director at %.100s refuses (HTTP %ld): %.300s",
                  b->director.host, reply->status,
                  text != NULL ? text : "without a word why");
    }

    json_decref(doc);

    return code;
}


/* CLI_OK with the list in *list. */
static cli_exit_t
targets_ask(const bosh_t *b, json_t **list)
{
    char            path[API_MAX_PATH];
    cli_exit_t      code;
    api_t           api = { &b->director, b->msg };
    api_request_t   q = { 0 };

    /* The name was checked: no character of it needs encoding. */
    snprintf(path, sizeof(path), "/deployments/%s/instances", b->deployment);

    code = api_ask(&q, &api, b->wait, "Director", "GET", path);

    if (code == CLI_OK && q.reply.status != 200) {
        code = targets_refused(b, &q.reply);

    } else if (code == CLI_OK) {
        *list = q.reply.body != NULL
                ? json_loadb(q.reply.body, q.reply.body_len,
                             JSON_REJECT_DUPLICATES, NULL)
                : NULL;

        if (!json_is_array(*list)) {
            msg_error(b->msg, "the Director at %.100s does not answer with a"
                      " list of instances", b->director.host);
            code = CLI_FAILED;
        }
    }

    api_request_free(&q);

    return code;
}


cli_exit_t
bosh_targets(bosh_t *b)
{
    size_t      n;
    json_t     *list;
    cli_exit_t  code;

    list = NULL;
    code = targets_ask(b, &list);

    if (code == CLI_AGAIN) {
        code = bosh_login_again(b);

        if (code == CLI_OK) {
            code = targets_ask(b, &list);
        }

        if (code == CLI_AGAIN) {
            code = bosh_login_again(b);
        }
    }

    if (code == CLI_OK) {
        code = targets_check(b, list);
    }

    if (code == CLI_OK) {
        n = targets_show(b, list);
        code = targets_confirm(b, n);
    }

    json_decref(list);

    return code;
}
