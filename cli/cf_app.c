/*
 * cli/cf_app.c: the app's guid by its name, in the space that is targeted:
 * GET /v3/apps?names=&space_guids= (cloud_controller_ng docs/v3, "List
 * apps"). Names match in any case there; the one that is spelled as the user
 * did wins. Whom the capture sees is the API's to say, not asked here.
 */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cf.h"


/*
 * A name of 1000 bytes, encoded twice: the list is split at commas and each
 * part decoded once more (cloud_controller_ng app/messages/base_message.rb,
 * to_array!).
 */
#define APP_MAX_PATH  6000


/* Every byte but [A-Za-z0-9_.~-], twice: "%" becomes "%25". The caller made
 * room for 5 times len. */
static size_t
app_encode(char *dst, const char *s)
{
    size_t      n;
    const char  *p;

    static const char  hex[] = "0123456789ABCDEF";
    static const char  plain[] = "abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.~-";

    n = 0;

    for (p = s; *p != '\0'; p++) {
        if (strchr(plain, *p) != NULL) {
            dst[n++] = *p;
            continue;
        }

        memcpy(dst + n, "%25", 3);
        dst[n + 3] = hex[(unsigned char) *p >> 4];
        dst[n + 4] = hex[*p & 0xf];
        n += 5;
    }

    return n;
}


/* What another status than 200 means. CLI_AGAIN: the token was refused. */
static cli_exit_t
app_refused(const cf_t *c, const reply_t *reply)
{
    json_t        *doc;
    const char    *text;

    if (reply->status == 401) {
        return CLI_AGAIN;
    }

    doc = reply->body != NULL
          ? json_loadb(reply->body, reply->body_len, 0, NULL) : NULL;
    text = json_string_value(json_object_get(json_array_get(
               json_object_get(doc, "errors"), 0), "detail"));

    msg_error(c->msg, "the Cloud Controller at %.100s refuses (HTTP %ld):"
              " %.300s", c->cc.host, reply->status,
              text != NULL ? text : "without a word why");
    json_decref(doc);

    return reply->status == 403 ? CLI_DENIED : CLI_FAILED;
}


/* The one that is meant among those that were found, or NULL. */
static const json_t *
app_choose(const json_t *list, const char *name)
{
    size_t         i;
    const char    *s;
    const json_t  *app, *found;

    found = NULL;

    json_array_foreach(list, i, app) {
        s = json_string_value(json_object_get(app, "name"));

        if (s != NULL && strcmp(s, name) == 0) {
            return app;
        }

        if (s != NULL && found == NULL && strcasecmp(s, name) == 0) {
            found = app;
        }
    }

    return found;
}


static cli_exit_t
app_take(cf_t *c, const reply_t *reply)
{
    char           err[PCAPX_ERR_LEN];
    json_t        *doc;
    cli_exit_t     code;
    const char    *guid;
    const json_t  *list;

    code = CLI_FAILED;
    doc = reply->body != NULL
          ? json_loadb(reply->body, reply->body_len, JSON_REJECT_DUPLICATES,
                       NULL)
          : NULL;
    list = json_object_get(doc, "resources");
    guid = json_string_value(json_object_get(app_choose(list, c->opt->target),
                                             "guid"));

    if (!json_is_array(list)) {
        msg_error(c->msg, "the Cloud Controller at %.100s does not answer"
                  " with a list of apps", c->cc.host);

    } else if (guid == NULL) {
        msg_error(c->msg, "there is no app %.200s in the space %.200s;"
                  " `cf apps` lists them", c->opt->target,
                  c->login.space != NULL ? c->login.space : "targeted");

    } else if (pcapx_valid_guid(guid, strlen(guid), err) != PCAPX_OK) {
        msg_error(c->msg, "the Cloud Controller at %.100s names an app by a"
                  " guid that is none", c->cc.host);

    } else {
        free(c->app_guid);
        c->app_guid = strdup(guid);
        code = c->app_guid != NULL ? CLI_OK : CLI_FAILED;
    }

    json_decref(doc);

    return code;
}


static cli_exit_t
app_ask(cf_t *c)
{
    int             n;
    char            path[APP_MAX_PATH];
    cli_exit_t      code;
    api_t           api = { &c->cc, c->msg };
    api_request_t   q = { 0 };

    n = snprintf(path, sizeof(path), "/v3/apps?space_guids=%s&names=",
                 c->login.space_guid);

    /* Both were checked: 64 and 1000 bytes at most. */
    n += (int) app_encode(path + n, c->opt->target);
    path[n] = '\0';

    code = api_ask(&q, &api, c->wait, "Cloud Controller", "GET", path);

    if (code == CLI_OK) {
        code = q.reply.status == 200 ? app_take(c, &q.reply)
                                     : app_refused(c, &q.reply);
    }

    api_request_free(&q);

    return code;
}


cli_exit_t
cf_app(cf_t *c)
{
    char         err[PCAPX_ERR_LEN];
    cli_exit_t   code;
    const char  *space;

    space = c->login.space_guid;

    if (space == NULL
        || pcapx_valid_guid(space, strlen(space), err) != PCAPX_OK)
    {
        msg_error(c->msg, "no space is targeted: use `cf target -o ORG"
                  " -s SPACE`");
        return CLI_USAGE;
    }

    code = app_ask(c);

    if (code == CLI_AGAIN) {
        code = cf_login_again(c);

        if (code == CLI_OK) {
            code = app_ask(c);
        }

        if (code == CLI_AGAIN) {
            code = cf_login_again(c);
        }
    }

    return code;
}
