/*
 * t/cli_kubeconfig.c: kubectl's config: several files are put together as
 * kubectl does, what a context means is taken out of them, and hostile and
 * broken YAML ends in a sentence. And what credential plugins are told and
 * print.
 */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/k8s.h"
#include "cli/kubeconfig.h"
#include "cli/store.h"
#include "pcapx/valid.h"
#include "tap.h"


#define V1    "client.authentication.k8s.io/v1"
#define BETA  "client.authentication.k8s.io/v1beta1"

static const char  usual[] =
    "apiVersion: v1\n"
    "kind: Config\n"
    "current-context: dev\n"
    "contexts:\n"
    "- name: dev\n"
    "  context: {cluster: c1, user: u1, namespace: web}\n"
    "- name: bare\n"
    "  context: {cluster: c2, user: u2}\n"
    "clusters:\n"
    "- name: c1\n"
    "  cluster:\n"
    "    server: https://10.0.0.1:6443\n"
    "    certificate-authority: pki/ca.crt\n"
    "    tls-server-name: kubernetes\n"
    "    extensions:\n"
    "    - name: other\n"
    "      extension: x\n"
    "    - name: client.authentication.k8s.io/exec\n"
    "      extension: {audience: a, n: 1, deep: [true, ~, '1', 1.5]}\n"
    "- name: c2\n"
    "  cluster: {server: https://10.0.0.2, insecure-skip-tls-verify: true}\n"
    "users:\n"
    "- name: u1\n"
    "  user:\n"
    "    client-certificate: /pki/u1.crt\n"
    "    client-key: ../u1.key\n"
    "    exec:\n"
    "      apiVersion: " V1 "\n"
    "      command: bin/login\n"
    "      args: [get, '', --x=1]\n"
    "      env:\n"
    "      - {name: A, value: b=c}\n"
    "      - {name: EMPTY, value: ''}\n"
    "      installHint: fetch it\n"
    "      interactiveMode: Never\n"
    "      provideClusterInfo: true\n"
    "- name: u2\n"
    "  user: {token: T2, tokenFile: t/2, unknown: {a: [b]}}\n";


static int
same(const char *s, const char *want)
{
    return s == NULL || want == NULL ? s == want : strcmp(s, want) == 0;
}


/* Adds the texts up to NULL as /cfg/0, /cfg/1...; 0, or -1 with err. */
static int
add(kube_files_t *k, const char **texts, char *err)
{
    int   rc;
    char  path[32], n;

    memset(k, 0, sizeof(kube_files_t));
    rc = 0;

    for (n = 0; rc == 0 && texts[(int) n] != NULL; n++) {
        snprintf(path, sizeof(path), "/cfg%d/config", n);
        rc = kube_add(k, path, texts[(int) n], strlen(texts[(int) n]), err);
    }

    return rc;
}


/* What the texts up to NULL say of a context. 0, or -1 with err. */
static int
choose(kube_choice_t *c, const char *context, const char **texts, char *err)
{
    int           rc;
    kube_files_t  k;

    memset(c, 0, sizeof(kube_choice_t));

    rc = add(&k, texts, err);

    if (rc == 0) {
        rc = kube_choose(c, &k, context, err);
    }

    if (rc == 0) {
        rc = kube_choose_user(c, &k, err);
    }

    kube_files_free(&k);

    return rc;
}


static int
choose_one(kube_choice_t *c, const char *text, char *err)
{
    const char  *texts[] = { text, NULL };

    return choose(c, NULL, texts, err);
}


static void
test_usual(void)
{
    int            rc;
    char           err[PCAPX_ERR_LEN] = "";
    const char    *texts[] = { usual, NULL };
    kube_exec_t   *x;
    kube_choice_t  c;

    rc = choose(&c, NULL, texts, err);
    x = &c.user.exec;

    ok(rc == 0, "the current context: %s", err);
    ok(same(c.context, "dev") && same(c.namespace, "web")
       && same(c.cluster_name, "c1") && same(c.user_name, "u1"), "names");
    ok(same(c.user.cert_file, "/pki/u1.crt")
       && same(c.user.key_file, "/cfg0/../u1.key"),
       "paths: absolute, and of the file's folder");
    ok(same(x->command, "/cfg0/bin/login") && same(x->version, V1)
       && same(x->hint, "fetch it") && x->mode == KUBE_NEVER
       && x->cluster_info, "a plugin");
    ok(x->args != NULL && same(x->args[0], "get") && same(x->args[1], "")
       && same(x->args[2], "--x=1") && x->args[3] == NULL, "its words");
    ok(x->env != NULL && same(x->env[0], "A=b=c") && same(x->env[1], "EMPTY=")
       && x->env[2] == NULL, "its variables");
    ok(same(c.cluster.server, "https://10.0.0.1:6443")
       && same(c.cluster.ca_file, "/cfg0/pki/ca.crt")
       && same(c.cluster.tls_name, "kubernetes") && !c.cluster.insecure,
       "its cluster");
    ok(same(c.cluster.config, "{\"audience\":\"a\",\"n\":1,\"deep\":"
            "[true,null,\"1\",1.5]}"), "what it keeps for plugins: %s",
       c.cluster.config);
    kube_choice_free(&c);
    ok(c.user.exec.args == NULL && c.context == NULL, "given back");

    rc = choose(&c, "bare", texts, err);
    ok(rc == 0 && same(c.namespace, NULL) && same(c.user.token, "T2")
       && same(c.user.token_file, "/cfg0/t/2")
       && same(c.user.exec.command, NULL), "by name");
    ok(same(c.cluster.server, NULL), "no plugin, no cluster");
    kube_choice_free(&c);

    ok(choose(&c, "nope", texts, err) == -1
       && strstr(err, "\"nope\"; there are: dev, bare") != NULL, "%s", err);
    kube_choice_free(&c);
}


/* The first file that names a value or an entry has it. */
static void
test_merge(void)
{
    char           err[PCAPX_ERR_LEN] = "";
    kube_choice_t  c;

    const char  *texts[] = {
        "",
        "users:\n- {name: u, user: {token: FIRST}}\n",
        "current-context: a\n"
        "contexts: [{name: a, context: {user: u}}]\n",
        "current-context: b\n"
        "contexts:\n"
        "- {name: a, context: {user: v, namespace: second}}\n"
        "- {name: b, context: {user: v, namespace: b}}\n"
        "users:\n"
        "- {name: u, user: {token: SECOND, tokenFile: x}}\n"
        "- {name: v, user: {tokenFile: v}}\n",
        NULL
    };

    ok(choose(&c, NULL, texts, err) == 0 && same(c.context, "a"),
       "the first current context %s", err);
    ok(same(c.user_name, "u") && same(c.namespace, NULL),
       "an entry is not mixed of two");
    ok(same(c.user.token, "FIRST") && same(c.user.token_file, NULL),
       "nor a user");
    kube_choice_free(&c);

    ok(choose(&c, "b", texts, err) == 0
       && same(c.user.token_file, "/cfg3/v"), "folder of its own file");
    kube_choice_free(&c);

    texts[0] = "contexts: [{name: a}]\n";
    ok(choose(&c, NULL, texts, err) == -1
       && strstr(err, "names no user") != NULL, "an empty entry is one: %s",
       err);
    kube_choice_free(&c);

    texts[3] = "}{";
    ok(choose(&c, NULL, texts, err) == -1, "each of them must be YAML: %s",
       err);
    kube_choice_free(&c);
}


static void
test_empty(void)
{
    size_t        i;
    char          err[PCAPX_ERR_LEN] = "";
    kube_files_t  k;

    static const struct {
        const char  *text;
        int          empty;
    } cases[] = {
        { "", 1 }, { "---\n", 1 }, { "null\n", 1 }, { "{}", 1 },
        { "apiVersion: v1\nkind: Config\nusers: []\nclusters: null\n"
          "current-context: \"\"\n", 1 },
        { "current-context: x\n", 0 }, { "users: [{name: x}]\n", 0 },
        { "clusters: [{name: x}]\n", 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char  *texts[] = { cases[i].text, NULL };

        ok(add(&k, texts, err) == 0
           && kube_is_empty(&k) == cases[i].empty, "file %zu has %s", i,
           cases[i].empty ? "nothing" : "something");
        kube_files_free(&k);
    }
}


static void
test_refused(void)
{
    char           text[600], err[PCAPX_ERR_LEN];
    size_t         i;
    kube_choice_t  c;

    /* As the user of the current context. */
    static const char *const  users[][2] = {
        { "{token: [SECRET]}", "token of the user \"u\": a text" },
        { "{token: \"SECRET\\0x\"}", "a text is expected" },
        { "{tokenFile: {}}", "tokenFile" },
        { "{exec: x}", "exec of the user" },
        { "{exec: {}}", "names no command" },
        { "{exec: {command: x}}", "apiVersion" },
        { "{exec: {command: x, apiVersion: client.authentication.k8s.io/"
          "v1alpha1}}", "or .../v1beta1" },
        { "{exec: {command: [x], apiVersion: " V1 "}}", "command" },
        { "{exec: {command: x, apiVersion: " V1 "}}", "interactiveMode" },
        { "{exec: {command: x, apiVersion: " V1 ", interactiveMode: never}}",
          "interactiveMode" },
        { "{exec: {command: x, apiVersion: " BETA ", interactiveMode: x}}",
          "interactiveMode" },
        { "{exec: {command: x, apiVersion: " BETA ", args: x}}", "args" },
        { "{exec: {command: x, apiVersion: " BETA ", args: [[x]]}}",
          "texts" },
        { "{exec: {command: x, apiVersion: " BETA ", args: [\"\\0\"]}}",
          "texts" },
        { "{exec: {command: x, apiVersion: " BETA ", env: {a: b}}}", "env" },
        { "{exec: {command: x, apiVersion: " BETA ", env: [a]}}", "env" },
        { "{exec: {command: x, apiVersion: " BETA ", env: [{value: b}]}}",
          "env" },
        { "{exec: {command: x, apiVersion: " BETA ", env: [{name: a=,"
          " value: b}]}}", "env" },
        { "{exec: {command: x, apiVersion: " BETA ", provideClusterInfo:"
          " maybe}}", "true or false" },
        { "[x]", "no mapping" },
        { "SECRET", "no mapping" },
    };

    static const char *const  whole[][2] = {
        { "[]", "no kubeconfig" },
        { "SECRET", "no kubeconfig" },
        { "kind: Deployment\n", "\"Deployment\"" },
        { "users: {a: b}\n", "\"users\" is no list" },
        { "contexts: SECRET\n", "\"contexts\" is no list" },
        { "{}", "no context is the current one" },
        { "current-context: x\n", "there is no context \"x\"" },
        { "current-context: x\ncontexts: [{name: x, context: {}}]\n",
          "names no user" },
        { "current-context: x\ncontexts: [{name: x, context: {user: y}}]\n",
          "\"y\", who is not there" },
        { "current-context: x\ncontexts: [{name: x}, {name: x}]\n", "twice" },
        { "current-context: x\ncontexts: [x, [y], {name: [x]}]\n",
          "there is no context" },
        { "current-context: [x]\n", "no context is the current one" },
        { "a: b: SECRET\n", "line 1" },
        { "a: \"SECRET\n", "line " },
        { "\t{", "line 1" },
    };

    for (i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        snprintf(text, sizeof(text), "current-context: c\ncontexts: [{name: c,"
                 " context: {user: u}}]\nusers: [{name: u, user: %s}]\n",
                 users[i][0]);
        err[0] = '\0';
        ok(choose_one(&c, text, err) == -1
           && strstr(err, users[i][1]) != NULL
           && strstr(err, "SECRET") == NULL, "%s: %s", users[i][0], err);
        kube_choice_free(&c);
    }

    for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        err[0] = '\0';
        ok(choose_one(&c, whole[i][0], err) == -1
           && strstr(err, whole[i][1]) != NULL
           && strstr(err, "SECRET") == NULL, "file %zu: %s", i, err);
        kube_choice_free(&c);
    }
}


/* "[[[..." and the like: text of n times s. */
static char *
many(const char *before, const char *s, size_t n, const char *behind)
{
    size_t  i, len, step;
    char   *text;

    step = strlen(s);
    len = strlen(before) + n * step + strlen(behind) + 1;

    text = malloc(len);
    if (text == NULL) {
        exit(1);
    }

    snprintf(text, len, "%s", before);

    for (i = 0; i < n; i++) {
        memcpy(text + strlen(before) + i * step, s, step);
    }

    memcpy(text + strlen(before) + n * step, behind, strlen(behind) + 1);

    return text;
}


static void
test_hostile(void)
{
    char           err[PCAPX_ERR_LEN];
    char          *text;
    clock_t        began;
    kube_files_t   k;
    kube_choice_t  c;

    began = clock();

    text = many("", "[", 200000, "");
    ok(choose_one(&c, text, err) == -1, "deep: %s", err);
    kube_choice_free(&c);
    free(text);

    text = many("contexts: [", "x,", 10001, "]");
    ok(choose_one(&c, text, err) == -1, "many: %s", err);
    kube_choice_free(&c);
    free(text);

    text = many("current-context: c\nbig: &b ", "x", 100000,
                "\ncontexts: [{name: c, context: {user: u}}]\n"
                "users: [{name: u, user: {exec: {command: x, apiVersion: "
                BETA ", args: [*b, *b, *b]}}}]\n");
    ok(choose_one(&c, text, err) == -1 && strstr(err, "too long") != NULL,
       "long by aliases: %s", err);
    kube_choice_free(&c);
    free(text);

    text = many("current-context: c\nclusters: [{name: k, cluster: {server:"
                " s, extensions: [{name: client.authentication.k8s.io/exec,"
                " extension: &e [", "*e,", 100, "*e]}]}}]\n"
                "contexts: [{name: c, context: {user: u, cluster: k}}]\n"
                "users: [{name: u, user: {exec: {command: x, apiVersion: "
                BETA ", provideClusterInfo: true}}}]\n");
    ok(choose_one(&c, text, err) == -1 && strstr(err, "extensions") != NULL,
       "it leads back to itself: %s", err);
    kube_choice_free(&c);
    free(text);

    text = many("", "#", STORE_MAX_BYTES + 1, "");
    ok(choose_one(&c, text, err) == -1, "long: %s", err);
    kube_choice_free(&c);
    free(text);

    memset(&k, 0, sizeof(k));

    while (kube_add(&k, "x", "", 0, err) == 0 && k.nfiles < 1000) {
        /* void */
    }

    ok(k.nfiles == KUBE_MAX_FILES, "many files: %s", err);
    kube_files_free(&k);

    ok(clock() - began < 5 * CLOCKS_PER_SEC, "in little time");
}


static void
test_bits(void)
{
    char           err[PCAPX_ERR_LEN] = "";
    kube_choice_t  c;

    ok(choose_one(&c, "current-context: c\n"
                  "contexts: [{name: c, context: {user: u}}]\n"
                  "users: [{name: u, user: {auth-provider: {name: gcp},"
                  " username: a, as: b}}]\n", err) == 0
       && c.user.has_provider && c.user.has_password && c.user.has_as,
       "what cannot be taken is seen");
    kube_choice_free(&c);

    ok(choose_one(&c, "{\"kind\":\"Config\",\"current-context\":\"c\","
                  "\"contexts\":[{\"name\":\"c\",\"context\":"
                  "{\"user\":\"u\"}}],\"users\":[{\"name\":\"u\",\"user\":"
                  "{\"token\":\"T\",\"username\":\"\",\"as\":null}}]}", err)
       == 0 && same(c.user.token, "T") && !c.user.has_password
       && !c.user.has_as, "JSON is YAML: %s", err);
    kube_choice_free(&c);

    ok(choose_one(&c, "current-context: &x c\n"
                  "contexts: [{name: *x, context: {user: *x}}]\n"
                  "users: [{name: c, user: {exec: {command: sub/x,"
                  " apiVersion: " BETA "}}}]\n", err) == 0
       && c.user.exec.mode == KUBE_IF_AVAILABLE
       && same(c.user.exec.command, "/cfg0/sub/x"),
       "aliases, and v1beta1 without a mode: %s", err);
    kube_choice_free(&c);
}


static void
test_ask(void)
{
    char           err[PCAPX_ERR_LEN] = "";
    char          *text;
    kube_choice_t  c;

    ok(choose_one(&c, usual, err) == 0, "a plugin that asks for its cluster");

    text = k8s_cred_ask(&c, 0, err);
    ok(text == NULL && strstr(err, "/cfg0/pki/ca.crt") != NULL,
       "its CA is not there: %s", err);

    free(c.cluster.ca_file);
    c.cluster.ca_file = NULL;
    c.cluster.ca_data = strdup("QUJD");

    text = k8s_cred_ask(&c, 1, err);
    ok(same(text, "{\"apiVersion\":\"" V1 "\",\"kind\":\"ExecCredential\","
            "\"spec\":{\"interactive\":true,\"cluster\":{\"server\":"
            "\"https://10.0.0.1:6443\",\"tls-server-name\":\"kubernetes\","
            "\"certificate-authority-data\":\"QUJD\",\"config\":"
            "{\"audience\":\"a\",\"n\":1,\"deep\":[true,null,\"1\",1.5]}}}}"),
       "what it is told: %s", text);
    free(text);

    free(c.cluster.server);
    c.cluster.server = NULL;
    ok(k8s_cred_ask(&c, 0, err) == NULL && strstr(err, "\"c1\"") != NULL,
       "no cluster: %s", err);

    c.user.exec.cluster_info = 0;
    text = k8s_cred_ask(&c, 0, err);
    ok(same(text, "{\"apiVersion\":\"" V1 "\",\"kind\":\"ExecCredential\","
            "\"spec\":{\"interactive\":false}}"), "one that does not ask");
    free(text);
    kube_choice_free(&c);
}


static void
test_answer(void)
{
    int          rc;
    char         text[500], err[PCAPX_ERR_LEN];
    size_t       i;
    k8s_cred_t   c;

    static const char *const  bad[][2] = {
        { "", "no JSON" },
        { "SECRET", "no JSON" },
        { "[]", "another object" },
        { "{\"kind\":\"Token\"}", "another object" },
        { "{\"kind\":\"ExecCredential\"}", "version \"\"" },
        { "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" BETA "\","
          "\"status\":{\"token\":\"SECRET\"}}", "v1beta1\", the kube" },
        { "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\"}",
          "no status" },
        { "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\","
          "\"status\":{}} x", "no JSON" },
    };

    static const char *const  status[][2] = {
        { "{}", "neither a token" },
        { "{\"token\":\"\"}", "neither a token" },
        { "{\"token\":1}", "status.token is no text" },
        { "{\"token\":\"SECRET x\"}", "its token is none" },
        { "{\"token\":\"SECRET\\n\"}", "its token is none" },
        { "{\"clientCertificateData\":\"SECRET\"}", "without its key" },
        { "{\"clientKeyData\":\"SECRET\"}", "without its certificate" },
        { "{\"token\":\"SECRET\",\"expirationTimestamp\":\"now\"}",
          "no time" },
        { "{\"token\":\"SECRET\",\"expirationTimestamp\":5}", "no text" },
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(k8s_cred_read(&c, bad[i][0], strlen(bad[i][0]), V1, err) == -1
           && strstr(err, bad[i][1]) != NULL
           && strstr(err, "SECRET") == NULL, "%s: %s", bad[i][0], err);
        k8s_cred_free(&c);
    }

    for (i = 0; i < sizeof(status) / sizeof(status[0]); i++) {
        snprintf(text, sizeof(text), "{\"kind\":\"ExecCredential\","
                 "\"apiVersion\":\"" V1 "\",\"status\":%s}", status[i][0]);
        ok(k8s_cred_read(&c, text, strlen(text), V1, err) == -1
           && strstr(err, status[i][1]) != NULL
           && strstr(err, "SECRET") == NULL, "%s: %s", status[i][0], err);
        k8s_cred_free(&c);
    }

    snprintf(text, sizeof(text), "{\"kind\":\"ExecCredential\","
             "\"apiVersion\":\"" BETA "\",\"spec\":{},\"status\":{\"token\":"
             "\"T\",\"clientCertificateData\":\"C\",\"clientKeyData\":\"K\","
             "\"expirationTimestamp\":\"2023-11-14T22:13:20Z\"}}\n");
    rc = k8s_cred_read(&c, text, strlen(text), BETA, err);
    ok(rc == 0 && same(c.token, "T") && same(c.cert, "C")
       && same(c.key, "K") && c.ends_s == 1700000000, "all of it");
    k8s_cred_free(&c);
}


static void
test_time(void)
{
    size_t  i;

    static const struct {
        const char  *s;
        int64_t      want;
    } cases[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "2023-11-14T22:13:20Z", 1700000000 },
        { "2023-11-14t22:13:20.5z", 1700000000 },
        { "2023-11-14T22:13:20.123456789+00:00", 1700000000 },
        { "2023-11-15T00:13:20+02:00", 1700000000 },
        { "2023-11-14T16:43:20-05:30", 1700000000 },
        { "", -1 }, { "2023", -1 }, { "2023-11-14", -1 },
        { "2023-11-14 22:13:20Z", -1 }, { "2023-11-14T22:13:20", -1 },
        { "2023-11-14T22:13:20.Z", -1 }, { "2023-13-14T22:13:20Z", -1 },
        { "2023-11-32T22:13:20Z", -1 }, { "2023-11-14T24:13:20Z", -1 },
        { "2023-11-14T22:60:20Z", -1 }, { "2023-11-14T22:13:20ZZ", -1 },
        { "2023-11-14T22:13:20+0200", -1 }, { "0001-01-01T00:00:00Z", -1 },
        { "-023-11-14T22:13:20Z", -1 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(k8s_cred_time(cases[i].s) == cases[i].want, "\"%s\"",
           cases[i].s);
    }
}


static void
test_decode(void)
{
    char   *out;
    size_t  i;

    static const char *const  cases[][2] = {
        { "QUJD", "ABC" }, { "QUI=", "AB" }, { "QQ==", "A" },
        { "QUJD\nREVG\n", "ABCDEF" }, { "QUJDREVG", "ABCDEF" },
        { "", NULL }, { "QUJ", NULL }, { "Q*JD", NULL }, { "QQBB", NULL }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        out = k8s_cred_decode(cases[i][0]);
        ok(same(out, cases[i][1]), "base64 %zu is %s", i,
           out != NULL ? out : "none");
        free(out);
    }
}


int
main(void)
{
    test_usual();
    test_merge();
    test_empty();
    test_refused();
    test_hostile();
    test_bits();
    test_ask();
    test_answer();
    test_time();
    test_decode();

    return tap_done();
}
