/*
 * t/cli_bosh_flags.c: flags of `bosh pcap`, of the bosh CLI and of
 * pcap-bosh-cli are taken or refused with a word; `pcap` is found behind
 * global flags and nothing else; a token's end is read.
 */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/opt.h"
#include "cli/passthrough.h"
#include "cli/token.h"
#include "tap.h"


#define MAX_ARGS  64


/* Splits words at blanks; "''" is the empty one. Returns how many. */
static int
split(char *line, char **argv)
{
    int   argc;
    char *p;

    argc = 0;

    for (p = strsep(&line, " "); p != NULL; p = strsep(&line, " ")) {
        argv[argc++] = strcmp(p, "''") == 0 ? p + 2 : p;
    }

    argv[argc] = NULL;

    return argc;
}


static void
test_taken(void)
{
    char   line[] = "pcap-cli bosh -e prod --deployment cf -g router -g"
                    " diego-cell/0 api -c /x --bosh-environment=y";
    char   more[] = "pcap-cli bosh -n -l 100 --file out --pcap-api-url u"
                    " --bosh-config c --instance-group g --gw-disable --sha2"
                    " --parallel 7 --no-color --non-interactive a/b";
    char  *argv[MAX_ARGS];
    opt_t  o;

    ok(opt_parse(&o, split(line, argv), argv) == OPT_WRONG
       && strstr(o.err, "--environment is given twice") != NULL,
       "two names are one option: %s", o.err);
    ok(opt_count(&o, OPT_INSTANCE) == 3, "-g and operands are instances");
    ok(strcmp(opt_value(&o, OPT_CONFIG), "/x") == 0, "-c");
    opt_free(&o);

    ok(opt_parse(&o, split(more, argv), argv) == OPT_RUN
       && o.cmd == OPT_CMD_BOSH, "all of theirs: %s", o.err);
    ok(opt_count(&o, OPT_YES) == 1, "-n is --yes");
    ok(strcmp(opt_value(&o, OPT_SNAPLEN), "100") == 0, "-l is --snaplen");
    ok(strcmp(opt_value(&o, OPT_OUTPUT), "out") == 0, "--file is --output");
    ok(strcmp(opt_value(&o, OPT_URL), "u") == 0, "--pcap-api-url is --url");
    ok(opt_count(&o, OPT_INSTANCE) == 2, "a group and an operand");
    opt_free(&o);
}


/* kubectl's: -n and -l mean something else for `pcap-cli bosh`. */
static void
test_k8s(void)
{
    char   line[] = "pcap-cli k8s -n dev -l app=web,tier!=db web-0 web-1"
                    " --context c --kubeconfig /k -y -s 96 --client-cert";
    char   rm[] = "pcap-cli rm -n --k8s 0123456789abcdef0123456789abcdef";
    char  *argv[MAX_ARGS];
    opt_t  o;

    ok(opt_parse(&o, split(line, argv), argv) == OPT_RUN
       && o.cmd == OPT_CMD_K8S, "kubectl's: %s", o.err);
    ok(strcmp(opt_value(&o, OPT_NAMESPACE), "dev") == 0
       && strcmp(opt_value(&o, OPT_SELECTOR), "app=web,tier!=db") == 0,
       "-n and -l");
    ok(opt_count(&o, OPT_INSTANCE) == 2, "pods");
    ok(opt_count(&o, OPT_YES) == 1, "-y");
    opt_free(&o);

    ok(opt_parse(&o, split(rm, argv), argv) == OPT_RUN
       && opt_count(&o, OPT_YES) == 1, "-n of rm is --yes: %s", o.err);
    opt_free(&o);
}


static void
test_refused(void)
{
    char    line[128];
    char   *argv[MAX_ARGS];
    size_t  i;
    opt_t   o;

    static const struct {
        const char  *words;
        const char  *say;
    } cases[] = {
        { "bosh --stop-timeout 5s", "ends by itself" },
        { "bosh --stop-timeout=5s", "--stop-timeout is not taken" },
        { "bosh --gw-user x", "BOSH_ALL_PROXY" },
        { "bosh --gw-host x", "BOSH_ALL_PROXY" },
        { "bosh --gw-private-key x", "--ssh" },
        { "bosh --gw-socks5 x", "BOSH_ALL_PROXY" },
        { "bosh --tty", "--json" },
        { "bosh --column x", "--json" },
        { "bosh -t web", "name the instances" },
        { "bosh --type web", "name the instances" },
        { "bosh a/b/c", "--instance" },
        { "bosh ''", "--instance" },
        { "bosh -d a/b", "--deployment" },
        { "bosh --gw", "no option" },
        { "static demo -n", "no option -n" },
        { "static demo -l 1", "no option -l" },
        { "static demo --gw-user x", "no option --gw-user" },
        { "static demo -e x", "does not take --environment" },
        { "-l 1 static demo", "behind the command" },
        { "-n rm x", "behind the command" },
        { "status --ssh", "does not take --ssh" },
        { "k8s -A", "-n NS" },
        { "k8s --all-namespaces", "-n NS" },
        { "k8s --as x", "kubectl create token" },
        { "k8s --server x", "--url" },
        { "k8s --user x", "--context NAME" },
        { "k8s pod/web-0", "not pod/web-0" },
        { "k8s -n Web", "a namespace is 1 to 63 characters" },
        { "k8s -n -web", "a namespace is" },
        { "k8s -n ''", "a namespace is" },
        { "k8s -n a/b", "a namespace is" },
        { "k8s -l a -l b", "--selector is given twice" },
        { "k8s -g x", "no option -g" },
        { "bosh --namespace x", "does not take --namespace" },
        { "static demo --context x", "does not take --context" },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(line, sizeof(line), "pcap-cli %s", cases[i].words);
        ok(opt_parse(&o, split(line, argv), argv) == OPT_WRONG
           && strstr(o.err, cases[i].say) != NULL, "%s: %s", cases[i].words,
           o.err);
        opt_free(&o);
    }
}


static void
test_aliases(void)
{
    size_t              i;
    const opt_alias_t  *a, *b;

    for (a = opt_aliases; a->name != NULL || a->letter != '\0'; a++) {
        for (i = 0; i < OPT_END; i++) {
            if ((a->letter != '\0' && a->letter == opt_table[i].letter)
                || (a->name != NULL && strcmp(a->name, opt_table[i].name)
                    == 0))
            {
                ok(0, "%s hides an option", opt_table[i].name);
            }
        }

        for (b = opt_aliases; b < a; b++) {
            if (a->letter != '\0' && a->letter == b->letter
                && a->cmds & b->cmds)
            {
                ok(0, "-%c is there twice", a->letter);
            }
        }

        ok((a->id == OPT_END) == (a->instead != NULL),
           "%s: refused with a word", a->name != NULL ? a->name : "-l");
    }
}


static void
test_pcap(void)
{
    int     argc;
    char    line[128];
    char   *argv[MAX_ARGS];
    size_t  i;

    static const struct {
        const char  *words;
        int          place;
    } cases[] = {
        { "bosh pcap", 1 },
        { "bosh -e x pcap", 3 },
        { "bosh -ex pcap", 2 },
        { "bosh -ne x -d y pcap -v", 5 },
        { "bosh -nnx pcap", 0 },
        { "bosh --environment x pcap", 3 },
        { "bosh --environment=x pcap", 2 },
        { "bosh --config c --ca-cert a --parallel 3 --client c pcap", 9 },
        { "bosh --client-secret '' --column c --deployment=d pcap", 6 },
        { "bosh --json --tty --no-color --sha2 --non-interactive pcap", 6 },
        { "bosh", 0 },
        { "bosh vms", 0 },
        { "bosh vms pcap", 0 },
        { "bosh -e pcap vms", 0 },
        { "bosh -d pcap", 0 },
        { "bosh -v", 0 },
        { "bosh -v pcap", 0 },
        { "bosh --version pcap", 0 },
        { "bosh --help pcap", 0 },
        { "bosh -h pcap", 0 },
        { "bosh --new-flag pcap", 0 },
        { "bosh --json=x pcap", 0 },
        { "bosh -- pcap", 0 },
        { "bosh - pcap", 0 },
        { "bosh '' pcap", 0 },
        { "bosh --environment", 0 },
        { "bosh pcapx", 0 },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(line, sizeof(line), "%s", cases[i].words);
        argc = split(line, argv);
        ok(passthrough_find(argc, argv) == cases[i].place, "%s",
           cases[i].words);
    }

    ok(passthrough_called("bosh") == CALLED_BOSH
       && passthrough_called("/x/bosh") == CALLED_BOSH
       && passthrough_called("/bosh/bosh-pcap") == CALLED_BOSH_PCAP
       && passthrough_called("/bosh/pcap-cli") == CALLED_PCAP_CLI
       && passthrough_called("xbosh") == CALLED_PCAP_CLI
       && passthrough_called(NULL) == CALLED_PCAP_CLI, "names");
}


/* The words for the bosh CLI, joined by '|'; static. */
static const char *
args_of(called_t called, const char *words)
{
    int          i;
    char         copy[128];
    char        *argv[MAX_ARGS], **args;
    size_t       n;

    static char  line[256];

    snprintf(copy, sizeof(copy), "%s", words);
    args = passthrough_args(called, split(copy, argv), argv);
    n = 0;

    for (i = 0; args != NULL && args[i] != NULL; i++) {
        n += (size_t) snprintf(line + n, sizeof(line) - n, "%s|", args[i]);
    }

    passthrough_free(args);

    return line;
}


static void
test_args(void)
{
    char   line[] = "pcap-cli bosh -- --ssh";
    char  *argv[MAX_ARGS];

    ok(strcmp(args_of(CALLED_PCAP_CLI, "pcap-cli bosh --ssh -e bosh r"),
              "bosh|pcap|-e|bosh|r|") == 0, "pcap-cli bosh --ssh");
    ok(strcmp(args_of(CALLED_BOSH_PCAP, "/x/bosh-pcap r --ssh ''"),
              "bosh|pcap|r||") == 0, "bosh-pcap --ssh");
    ok(strcmp(args_of(CALLED_BOSH, "/x/bosh -n pcap --ssh -- --ssh"),
              "bosh|-n|pcap|--|--ssh|") == 0, "bosh pcap --ssh");
    ok(!passthrough_wants_ssh(split(line, argv), argv), "an operand is no"
       " flag");
}


/* claims as a JWT, without base64: a table of known ones. */
static void
test_token(void)
{
    size_t  i;

    static const struct {
        const char  *what;
        const char  *token;
        int          ends;
    } cases[] = {
        { "opaque", "0123456789abcdef", 0 },
        { "empty parts", "..", 0 },
        { "no base64", "a.!!.b", 0 },
        { "no JSON", "a.AAAA.b", 0 },
        { "no claims", "a.e30.b", 0 },
        { "two parts", "a.eyJleHAiOjF9", 0 },
        { "exp 1", "a.eyJleHAiOjF9.b", 1 },
        { "exp \"1\"", "a.eyJleHAiOiIxIn0.b", 0 },
        { "exp 1.5", "a.eyJleHAiOjEuNX0.b", 1 },
        { "exp 4102444800", "a.eyJleHAiOjQxMDI0NDQ4MDB9.b", 0 },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(token_ends_within(cases[i].token, 30) == cases[i].ends, "%s",
           cases[i].what);
    }

    ok(token_ends_within("a.eyJleHAiOjQxMDI0NDQ4MDB9.b", 2000000000) == 1
       || time(NULL) < 2102444800, "the margin counts");
}


int
main(void)
{
    test_taken();
    test_k8s();
    test_refused();
    test_aliases();
    test_pcap();
    test_args();
    test_token();

    return tap_done();
}
