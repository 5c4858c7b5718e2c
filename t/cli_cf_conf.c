/*
 * t/cli_cf_conf.c: the cf CLI's config: what is taken out of it, tokens
 * replaced with everything else kept in its order, and texts that are none.
 */

#include <stdlib.h>
#include <string.h>

#include "cli/cf_conf.h"
#include "cli/store.h"
#include "pcapx/valid.h"
#include "tap.h"


static const char  usual[] =
    "{\n"
    "  \"Zebra\": \"first\",\n"
    "  \"AccessToken\": \"bearer old-access\",\n"
    "  \"AsyncTimeout\": 0,\n"
    "  \"OrganizationFields\": {\n"
    "    \"GUID\": \"o-1\",\n"
    "    \"Name\": \"acme\"\n"
    "  },\n"
    "  \"PluginRepos\": [],\n"
    "  \"RefreshToken\": \"old-refresh\",\n"
    "  \"SpaceFields\": {\n"
    "    \"GUID\": \"s-1\",\n"
    "    \"Name\": \"dev\",\n"
    "    \"AllowSSH\": true\n"
    "  },\n"
    "  \"SSLDisabled\": true,\n"
    "  \"Target\": \"https://api.sys.test\",\n"
    "  \"UAAGrantType\": \"client_credentials\",\n"
    "  \"UAAOAuthClient\": \"ci\",\n"
    "  \"UAAOAuthClientSecret\": \"ci-secret\",\n"
    "  \"Big\": 9223372036854775807,\n"
    "  \"Real\": 1.5,\n"
    "  \"Future\": {\n"
    "    \"b\": null,\n"
    "    \"a\": [\n"
    "      1,\n"
    "      \"\xc3\xa4 \\\"\\\\ \\u0001\"\n"
    "    ]\n"
    "  }\n"
    "}";


static int
is(const char *got, const char *expected)
{
    return expected == NULL ? got == NULL
                            : got != NULL && strcmp(got, expected) == 0;
}


static void
test_read(void)
{
    size_t      i;
    char        err[PCAPX_ERR_LEN], text[200];
    cf_conf_t   c;

    static const char  *tokens[][2] = {
        { "bearer x", "x" }, { "BEARER x", "x" }, { "x", "x" },
        { "bearer ", NULL }, { "", NULL }, { "bearerx", "bearerx" }
    };

    ok(cf_conf_read(&c, usual, sizeof(usual) - 1, err) == 0
       && is(c.access, "old-access") && is(c.refresh, "old-refresh")
       && is(c.target, "https://api.sys.test") && is(c.client, "ci")
       && is(c.secret, "ci-secret") && is(c.space_guid, "s-1")
       && is(c.space, "dev") && is(c.org, "acme") && c.as_client
       && c.ssl_disabled, "everything is found");
    cf_conf_free(&c);
    ok(c.access == NULL && c.secret == NULL, "and given back");

    ok(cf_conf_read(&c, "{}", 2, err) == 0 && is(c.access, NULL)
       && is(c.target, NULL) && is(c.client, "cf") && is(c.space_guid, NULL)
       && !c.as_client && !c.ssl_disabled, "nothing in it");
    cf_conf_free(&c);

    snprintf(text, sizeof(text), "{\"AccessToken\":1,\"SpaceFields\":[],"
             "\"OrganizationFields\":{\"Name\":{}},\"SSLDisabled\":\"true\","
             "\"UAAOAuthClient\":null,\"Target\":[]}");
    ok(cf_conf_read(&c, text, strlen(text), err) == 0 && is(c.access, NULL)
       && is(c.space_guid, NULL) && is(c.org, NULL) && is(c.client, "cf")
       && is(c.target, NULL) && !c.ssl_disabled, "values of other types");
    cf_conf_free(&c);

    for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        snprintf(text, sizeof(text), "{\"AccessToken\":\"%s\"}",
                 tokens[i][0]);
        ok(cf_conf_read(&c, text, strlen(text), err) == 0
           && is(c.access, tokens[i][1]), "token \"%s\"", tokens[i][0]);
        cf_conf_free(&c);
    }
}


static void
test_update(void)
{
    char    *out;
    char     err[PCAPX_ERR_LEN], want[2 * sizeof(usual)];
    size_t   len, at;

    static const char  old[] = "bearer old-access", new[] = "bearer NEW";

    at = (size_t) (strstr(usual, old) - usual);
    snprintf(want, sizeof(want), "%.*s%s%s", (int) at, usual, new,
             usual + at + strlen(old));

    out = cf_conf_update(usual, sizeof(usual) - 1, "NEW", NULL, &len, err);
    ok(is(out, want) && len == strlen(want),
       "only the access token is another");
    free(out);

    out = cf_conf_update(want, strlen(want), "old-access", "old-refresh",
                         &len, err);
    ok(is(out, usual), "and back again");
    free(out);

    out = cf_conf_update("{\"a\":1}", 7, "x", "y", &len, err);
    ok(is(out, "{\n  \"a\": 1,\n  \"AccessToken\": \"bearer x\",\n"
               "  \"RefreshToken\": \"y\"\n}"), "tokens that were not there");
    free(out);

    out = cf_conf_update("{}", 2, "\xff", NULL, &len, err);
    ok(out == NULL, "a token that is no text: %s", err);
    free(out);
}


static void
test_refused(void)
{
    char         err[PCAPX_ERR_LEN];
    char        *big;
    size_t       i, len;
    cf_conf_t    c;

    static const char  *texts[] = {
        "", " ", "{", "[]", "1", "\"x\"", "{\"a\":1,\"a\":2}", "{\"a\":}",
        "{} x", "{\"AccessToken\":\"SECRET", "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\xff\"}", "{\"a\":99999999999999999999}"
    };

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ok(cf_conf_read(&c, texts[i], strlen(texts[i]), err) == -1
           && strstr(err, "SECRET") == NULL, "refused %s: %s", texts[i], err);
        cf_conf_free(&c);
        ok(cf_conf_update(texts[i], strlen(texts[i]), "x", NULL, &len, err)
           == NULL, "nor written anew");
    }

    /* Deep nesting ends in a sentence (JSON_PARSER_MAX_DEPTH). */
    big = malloc(STORE_MAX_BYTES + 1);
    memset(big, '[', STORE_MAX_BYTES + 1);
    ok(cf_conf_read(&c, big, STORE_MAX_BYTES, err) == -1, "deep: %s", err);
    cf_conf_free(&c);

    memset(big, ' ', STORE_MAX_BYTES + 1);
    memcpy(big, "{}", 2);
    ok(cf_conf_read(&c, big, STORE_MAX_BYTES, err) == 0, "so long");
    cf_conf_free(&c);
    ok(cf_conf_read(&c, big, STORE_MAX_BYTES + 1, err) == -1, "and no more:"
       " %s", err);
    cf_conf_free(&c);
    free(big);
}


int
main(void)
{
    test_read();
    test_update();
    test_refused();

    return tap_done();
}
