/*
 * cli/audit.c: `pcap-cli audit verify`. Apart from the other commands it takes
 * files and speaks to nobody, so it has a few options of its own and none of
 * theirs. The result goes to standard output, what went wrong to standard
 * error.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "audit_check.h"
#include "pcapx/pcapx.h"
#include "text.h"
#include "wipe.h"


#define AUDIT_SHOWN  100       /* findings; the rest is counted */

static const char  audit_usage[] =
    "usage: pcap-cli audit verify [OPTION]... FILE...\n"
    "Finds lines of an audit log that were changed, removed, moved or"
    " doubled.\n"
    "\n"
    "      --key FILE           the key of pcap_api_audit; without it codes"
    " are not\n"
    "                           checked, only that lines follow each other\n"
    "      --head SEQ:MAC       a line that has to be there, as the metrics"
    " show the\n"
    "                           last one: finds a tail that was cut\n"
    "      --first SEQ:MAC      the line that has to be the first, or the"
    " one in\n"
    "                           front of it\n"
    "  -h, --help               show this\n"
    "\n"
    "Files may be given in any order, - is standard input. Exit status: 0"
    " whole,\n"
    "1 broken, 2 of no use. See pcap-cli(1) and docs/AUDIT.md.\n";


typedef struct {
    unsigned char    key[PCAPX_AUDIT_MAX_KEY + 1];
    audit_rules_t    rules;
    audit_source_t   files[AUDIT_MAX_FILES];
    size_t           nfiles;
    uint64_t         shown;
} audit_t;


int
audit_called(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "audit") == 0;
}


static int
audit_wrong(const char *before, const char *what, const char *after)
{
    char  clean[200];

    text_clean(clean, sizeof(clean), what, strlen(what));
    fprintf(stderr, "pcap-cli: %s%s%s\n", before, clean, after);

    return -1;
}


static int
audit_read_key(audit_t *a, const char *name)
{
    FILE    *f;
    size_t   n;

    f = fopen(name, "rbe");
    if (f == NULL) {
        return audit_wrong("the key ", name, " cannot be opened");
    }

    n = fread(a->key, 1, sizeof(a->key), f);

    if (ferror(f)) {
        n = 0;
    }

    fclose(f);

    if (n < PCAPX_AUDIT_MIN_KEY || n > PCAPX_AUDIT_MAX_KEY) {
        return audit_wrong("the key ", name, " cannot be read, or has not 32"
                           " to 4096 bytes");
    }

    a->rules.key = a->key;
    a->rules.key_len = n;

    return 0;
}


static int
audit_read_mark(audit_mark_t *m, const char *option, const char *s)
{
    const char  *mac;

    if (m->seq != 0) {
        return audit_wrong("", option, " is given twice");
    }

    if (pcapx_audit_parse_head(s, strlen(s), &m->seq, &mac) != PCAPX_OK) {
        return audit_wrong("", option, " takes SEQ:MAC, a number and 64"
                           " hexadecimal digits");
    }

    memcpy(m->mac, mac, PCAPX_AUDIT_MAC_LEN);
    m->mac[PCAPX_AUDIT_MAC_LEN] = '\0';

    return 0;
}


static int
audit_option(audit_t *a, const char *name, const char *value)
{
    if (strcmp(name, "--key") == 0) {
        return a->rules.key != NULL ? audit_wrong("", name, " is given twice")
                                    : audit_read_key(a, value);
    }

    if (strcmp(name, "--head") == 0) {
        return audit_read_mark(&a->rules.head, name, value);
    }

    if (strcmp(name, "--first") == 0) {
        return audit_read_mark(&a->rules.first, name, value);
    }

    return audit_wrong("there is no option ", name, "");
}


static int
audit_open(audit_t *a, const char *name)
{
    audit_source_t  *s;

    if (a->nfiles == AUDIT_MAX_FILES) {
        return audit_wrong("", name, " is one file too many");
    }

    s = &a->files[a->nfiles];
    s->name = name;
    s->f = strcmp(name, "-") == 0 ? stdin : fopen(name, "rbe");

    if (s->f == NULL) {
        return audit_wrong("", name, " cannot be opened");
    }

    a->nfiles++;

    return 0;
}


/* "--name value", "--name=value", or a file. */
static int
audit_words(audit_t *a, int argc, char **argv)
{
    int    i, files;
    char  *eq, name[16];

    files = 0;

    for (i = 3; i < argc; i++) {

        if (files || argv[i][0] != '-' || argv[i][1] == '\0') {
            if (audit_open(a, argv[i]) != 0) {
                return -1;
            }

            continue;
        }

        if (strcmp(argv[i], "--") == 0) {
            files = 1;
            continue;
        }

        eq = strchr(argv[i], '=');

        if (eq != NULL) {
            snprintf(name, sizeof(name), "%.*s", (int) (eq - argv[i]),
                     argv[i]);

            if (audit_option(a, name, eq + 1) != 0) {
                return -1;
            }

            continue;
        }

        if (i + 1 == argc) {
            return audit_wrong("", argv[i], " needs a value, or is no option");
        }

        if (audit_option(a, argv[i], argv[i + 1]) != 0) {
            return -1;
        }

        i++;
    }

    return a->nfiles ? 0 : audit_wrong("which file?", "", "");
}


static void
audit_found(void *data, const char *text)
{
    char      clean[512];
    audit_t  *a = data;

    if (a->shown++ < AUDIT_SHOWN) {
        text_clean(clean, sizeof(clean), text, strlen(text));
        printf("%s\n", clean);
    }
}


static void
audit_summary(const audit_t *a, const audit_result_t *res)
{
    if (a->shown > AUDIT_SHOWN) {
        printf("... and %" PRIu64 " more\n", a->shown - AUDIT_SHOWN);
    }

    if (res->last.seq != 0 && res->first_seq != 1) {
        printf("note: the chain begins with line %" PRIu64 ", which follows"
               " from %" PRIu64 ":%s\n", res->first_seq, res->first_seq - 1,
               res->first_prev);
    }

    if (a->rules.key == NULL) {
        printf("note: no --key: codes were not checked, anybody could have"
               " written this\n");
    }

    if (a->rules.head.seq == 0) {
        printf("note: no --head: a tail that was cut is not found\n");
    }

    printf("%s: %" PRIu64 " lines", res->findings ? "BROKEN" : "whole",
           res->lines);

    if (res->last.seq != 0) {
        printf(", %" PRIu64 " to %" PRIu64 ", last %" PRIu64 ":%s",
               res->first_seq, res->last.seq, res->last.seq, res->last.mac);
    }

    printf("\n");
}


static cli_exit_t
audit_verify(audit_t *a)
{
    audit_result_t  res = { 0 };

    a->rules.found = audit_found;
    a->rules.data = a;

    if (audit_check(a->files, a->nfiles, &a->rules, &res) != 0) {
        audit_wrong("a file cannot be read: ", strerror(errno), "");
        return CLI_USAGE;
    }

    audit_summary(a, &res);

    if (fflush(stdout) != 0) {
        audit_wrong("the result cannot be written: ", strerror(errno), "");
        return CLI_USAGE;
    }

    return res.findings ? CLI_FAILED : CLI_OK;
}


static int
audit_wants_help(int argc, char **argv)
{
    int  i;

    for (i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return 1;
        }
    }

    return 0;
}


cli_exit_t
audit_run(int argc, char **argv)
{
    size_t       i;
    audit_t     *a;
    cli_exit_t   code;

    if (audit_wants_help(argc, argv)) {
        fputs(audit_usage, stdout);
        return CLI_OK;
    }

    if (argc < 3 || strcmp(argv[2], "verify") != 0) {
        audit_wrong("audit has one command, verify: see pcap-cli audit"
                    " --help", "", "");
        return CLI_USAGE;
    }

    a = calloc(1, sizeof(audit_t));
    if (a == NULL) {
        audit_wrong("out of memory", "", "");
        return CLI_USAGE;
    }

    code = CLI_USAGE;

    if (audit_words(a, argc, argv) == 0) {
        code = audit_verify(a);
    }

    for (i = 0; i < a->nfiles; i++) {
        if (a->files[i].f != stdin) {
            fclose(a->files[i].f);
        }
    }

    wipe(a->key, sizeof(a->key));
    free(a);

    return code;
}
