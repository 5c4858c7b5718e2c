/*
 * t/cli_opt.c: the option table keeps its promises (sorted, unique, complete),
 * and the parser takes every spelling and refuses the rest with a word.
 */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/opt.h"
#include "tap.h"


#define MAX_ARGS  64


/* Parses the words up to NULL; the caller frees o. */
static opt_result_t
parse(opt_t *o, ...)
{
    int      argc;
    char    *argv[MAX_ARGS];
    va_list  ap;

    argv[0] = "pcap-cli";
    va_start(ap, o);

    for (argc = 1; argc < MAX_ARGS; argc++) {
        argv[argc] = va_arg(ap, char *);

        if (argv[argc] == NULL) {
            break;
        }
    }

    va_end(ap);

    return opt_parse(o, argc, argv);
}


static void
test_table(void)
{
    size_t            i, k;
    const opt_def_t  *a, *b;

    for (i = 0; i < OPT_END; i++) {
        a = &opt_table[i];

        ok(i == 0 || strcmp(opt_table[i - 1].name, a->name) < 0,
           "--%s is in order", a->name);
        ok((a->kind == OPT_FLAG) == (a->arg == NULL),
           "--%s has an argument in the help where it takes one", a->name);
        ok((a->kind == OPT_LIST) == (a->max > 0), "--%s has a ceiling",
           a->name);
        ok(a->kind == OPT_FLAG || a->check != NULL, "--%s is checked",
           a->name);
        ok(a->cmds != 0 && a->help != NULL, "--%s is of use", a->name);

        for (k = i + 1; k < OPT_END; k++) {
            b = &opt_table[k];

            if (a->letter != '\0' && a->letter == b->letter) {
                ok(0, "--%s and --%s share a letter", a->name, b->name);
            }
        }
    }

    ok(strcmp(opt_table[OPT_YES].name, "yes") == 0
       && strcmp(opt_table[OPT_CA_CERT].name, "ca-cert") == 0
       && strcmp(opt_table[OPT_MAX_BYTES].name, "max-bytes") == 0,
       "ids are places in the table");
}


static void
test_find(void)
{
    char    word[64];
    opt_t   o;
    size_t  i;

    for (i = 0; i < OPT_END; i++) {
        if (opt_table[i].kind != OPT_FLAG) {
            continue;
        }

        snprintf(word, sizeof(word), "--%s", opt_table[i].name);
        parse(&o, word, NULL);
        ok(opt_count(&o, (opt_id_t) i) == 1, "%s is found", word);
        opt_free(&o);
    }

    ok(parse(&o, "static", "g", "--max", "1", NULL) == OPT_WRONG,
       "a beginning is not enough");
    opt_free(&o);

    ok(parse(&o, "static", "g", "--outputs", "1", NULL) == OPT_WRONG,
       "more than the name is too much");
    opt_free(&o);

    ok(parse(&o, "static", "g", "--=x", NULL) == OPT_WRONG, "no name at all");
    opt_free(&o);
}


static void
test_spellings(void)
{
    char          tail[] = "-ofile";
    opt_t         o;
    opt_result_t  rc;

    rc = parse(&o, "-qFs", "96", "static", "-i", "eth0", "--filter=a=b",
               tail, "demo", "--interface", "any", NULL);

    ok(rc == OPT_RUN, "all spellings");
    ok(o.cmd == OPT_CMD_STATIC && strcmp(o.target, "demo") == 0,
       "operands between options");
    ok(opt_count(&o, OPT_QUIET) && opt_count(&o, OPT_FORCE), "cluster");
    ok(strcmp(opt_value(&o, OPT_SNAPLEN), "96") == 0,
       "value behind a cluster");
    ok(strcmp(opt_value(&o, OPT_FILTER), "a=b") == 0,
       "value with an equals sign");
    ok(strcmp(opt_value(&o, OPT_OUTPUT), "file") == 0, "value in the word");
    ok(opt_count(&o, OPT_INTERFACE) == 2, "list");
    ok(opt_value(&o, OPT_REASON) == NULL, "what was not given");
    opt_free(&o);

    rc = parse(&o, "static", "--", "-demo", NULL);
    ok(rc == OPT_RUN && strcmp(o.target, "-demo") == 0, "-- ends options");
    opt_free(&o);

    ok(parse(&o, "static", "x", "-o", "-", NULL) == OPT_RUN
       && strcmp(opt_value(&o, OPT_OUTPUT), "-") == 0, "- is a value");
    opt_free(&o);

    ok(parse(&o, "static", "x", "-f", "-h", NULL) == OPT_RUN,
       "a value may look like an option");
    opt_free(&o);

    ok(parse(&o, "static", "-h", NULL) == OPT_SHOW_HELP
       && o.cmd == OPT_CMD_STATIC, "help needs no operand");
    opt_free(&o);

    ok(parse(&o, "--version", NULL) == OPT_SHOW_VERSION, "version");
    opt_free(&o);
}


static void
test_refusals(void)
{
    opt_t  o;

    ok(parse(&o, NULL) == OPT_WRONG, "nothing");
    opt_free(&o);

    ok(parse(&o, "static", "", NULL) == OPT_WRONG, "empty group");
    opt_free(&o);

    ok(parse(&o, "", NULL) == OPT_WRONG, "empty command");
    opt_free(&o);

    ok(parse(&o, "static", "g", "-o", NULL) == OPT_WRONG
       && strstr(o.err, "--output needs a value") != NULL, "no value");
    opt_free(&o);

    ok(parse(&o, "static", "g", "-o", "a", "-o", "b", NULL) == OPT_WRONG,
       "twice");
    opt_free(&o);

    ok(parse(&o, "static", "g", "-q", "-q", NULL) == OPT_RUN
       && opt_count(&o, OPT_QUIET) == 1, "a flag twice is one");
    opt_free(&o);

    ok(parse(&o, "stop", "0123456789abcdef0123456789abcdef", "-F", NULL)
       == OPT_WRONG && strstr(o.err, "--force") != NULL,
       "an option of another command");
    opt_free(&o);

    ok(parse(&o, "static", "g", "--max-packets", "0", NULL) == OPT_WRONG,
       "zero packets");
    opt_free(&o);
}


static void
test_form(void)
{
    char    err[PCAPX_ERR_LEN], *form, *big;
    int     argc;
    char   *argv[1100];
    opt_t   o;

    parse(&o, "static", "g", "-f", "a b&c=d", "--promiscuous", "-o", "x",
          "-i", "eth0", "--token", "t", NULL);
    form = api_form(&o, err);
    ok(form != NULL && strcmp(form, "format=pcapng&filter=a%20b%26c%3Dd"
       "&promiscuous=1&interface=eth0") == 0, "form: %s", form);
    free(form);
    opt_free(&o);

    /* As many instances of 128 bytes as the API takes, and one more. */
    big = malloc(129);
    memset(big, 'a', 128);
    big[128] = '\0';

    argv[0] = "pcap-cli";
    argv[1] = "static";
    argv[2] = "g";

    for (argc = 3; argc < 3 + 2 * 257; argc += 2) {
        argv[argc] = "--instance";
        argv[argc + 1] = big;
    }

    ok(opt_parse(&o, argc - 2, argv) == OPT_RUN, "256 instances");
    form = api_form(&o, err);
    ok(form != NULL && strlen(form) > 256 * 128, "all are in the form");
    free(form);
    opt_free(&o);

    ok(opt_parse(&o, argc, argv) != OPT_RUN, "257 are too many");
    opt_free(&o);
    free(big);
}


int
main(void)
{
    test_table();
    test_find();
    test_spellings();
    test_refusals();
    test_form();

    return tap_done();
}
