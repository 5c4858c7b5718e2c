/*
 * cli/audit.c: `pcap-cli audit verify`. Apart from the other commands it takes
 * files and speaks to nobody, so it has a few options of its own and none of
 * theirs. The result goes to standard output, what went wrong to standard
 * error.
 */

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "audit_check.h"
#include "pcapx/pcapx.h"
#include "text.h"
#include "wipe.h"


#define AUDIT_SHOWN  100       /* findings; the rest is counted */

/* 20 digits, a colon, the code, a NUL */
#define AUDIT_MARK   (20 + 1 + PCAPX_AUDIT_MAC_LEN + 1)

static const char  audit_usage[] =
    "usage: pcap-cli audit verify [OPTION]... FILE...\n"
    "Finds lines of an audit log that were changed, removed, moved or"
    " doubled.\n"
    "\n"
    "      --key FILE           the key of pcap_api_audit; without it codes"
    " are not\n"
    "                           checked, only that lines follow each other\n"
    "      --head SEQ:MAC       a line that has to be there: finds a tail that"
    " was\n"
    "                           cut; also as the metrics show the last one,\n"
    "                           'pcap_api_audit_head{mac=\"MAC\"} SEQ'\n"
    "      --first SEQ:MAC      the line that has to be the first, or the"
    " one in\n"
    "                           front of it\n"
    "      --json               the result as one JSON object\n"
    "  -h, --help               show this\n"
    "\n"
    "Files may be given in any order, - is standard input; compressed ones"
    " are given\n"
    "as <(zcat FILE). Exit status: 0 whole, 1 broken, 2 of no use. See"
    " pcap-cli(1)\n"
    "and docs/AUDIT.md.\n";


typedef struct {
    unsigned char    key[PCAPX_AUDIT_MAX_KEY + 1];
    audit_rules_t    rules;
    audit_source_t   files[AUDIT_MAX_FILES];
    size_t           nfiles;
    json_t          *findings; /* the first AUDIT_SHOWN of them */
    json_t          *notes;
    uint64_t         found;
    int              json;
    int              no_memory;
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


/*
 * A line of the metrics, ...{mac="MAC",...} SEQ, as SEQ:MAC. What is none stays
 * as it is.
 */
static const char *
audit_of_metric(const char *s, char buf[AUDIT_MARK])
{
    size_t       len;
    const char  *mac, *seq;

    mac = strstr(s, "mac=\"");
    seq = strrchr(s, '}');

    if (mac == NULL || seq == NULL || seq < mac) {
        return s;
    }

    mac += strlen("mac=\"");
    len = strcspn(mac, "\"");
    seq++;
    seq += strspn(seq, " \t");

    if (len != PCAPX_AUDIT_MAC_LEN) {
        return s;
    }

    len = strspn(seq, "0123456789");

    if (len > 20 || seq[len + strspn(seq + len, " \t\r\n")] != '\0') {
        return s;
    }

    snprintf(buf, AUDIT_MARK, "%.*s:%.*s", (int) len, seq,
             PCAPX_AUDIT_MAC_LEN, mac);

    return buf;
}


static int
audit_read_mark(audit_mark_t *m, const char *option, const char *s)
{
    char         buf[AUDIT_MARK];
    const char  *mac;

    if (m->seq != 0) {
        return audit_wrong("", option, " is given twice");
    }

    s = audit_of_metric(s, buf);

    if (pcapx_audit_parse_head(s, strlen(s), &m->seq, &mac) != PCAPX_OK) {
        return audit_wrong("", option, " takes SEQ:MAC, a number and 64"
                           " hexadecimal digits, or the line of the metrics");
    }

    memcpy(m->mac, mac, PCAPX_AUDIT_MAC_LEN);
    m->mac[PCAPX_AUDIT_MAC_LEN] = '\0';

    return 0;
}


static int
audit_no_option(const char *name)
{
    return audit_wrong("there is no option ", name, "; there are: --first,"
                       " --head, --help, --json, --key");
}


/* One that takes a value; value is NULL when there is none. */
static int
audit_option(audit_t *a, const char *name, const char *value)
{
    size_t  i;

    static const char *const  names[] = { "--key", "--head", "--first" };

    for (i = 0; i < 3 && strcmp(name, names[i]) != 0; i++) { /* void */ }

    if (i == 3) {
        return audit_no_option(name);
    }

    if (value == NULL) {
        return audit_wrong("", name, " needs a value");
    }

    if (i == 0) {
        return a->rules.key != NULL ? audit_wrong("", name, " is given twice")
                                    : audit_read_key(a, value);
    }

    return audit_read_mark(i == 1 ? &a->rules.head : &a->rules.first, name,
                           value);
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

        if (strcmp(argv[i], "--json") == 0) {
            a->json = 1;
            continue;
        }

        eq = strchr(argv[i], '=');

        if (eq != NULL) {
            snprintf(name, sizeof(name), "%.*s", (int) (eq - argv[i]),
                     argv[i]);

            if (strcmp(name, "--json") == 0) {
                return audit_wrong("", name, " takes no value");
            }

            if (audit_option(a, name, eq + 1) != 0) {
                return -1;
            }

            continue;
        }

        /* argv ends with NULL */

        if (audit_option(a, argv[i], argv[i + 1]) != 0) {
            return -1;
        }

        i++;
    }

    return a->nfiles ? 0 : audit_wrong("which file?", "", "");
}


/* Text that is shown at the end, cleaned. */
static void
audit_keep(audit_t *a, json_t *list, const char *text)
{
    char  clean[512];

    text_clean(clean, sizeof(clean), text, strlen(text));

    if (json_array_append_new(list, json_string(clean)) != 0) {
        a->no_memory = 1;
    }
}


static void
audit_found(void *data, const char *text)
{
    audit_t *a = data;

    if (a->found++ < AUDIT_SHOWN) {
        audit_keep(a, a->findings, text);
    }
}


static void __attribute__((format(printf, 2, 3)))
audit_note(audit_t *a, const char *fmt, ...)
{
    char     text[512];
    va_list  ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    audit_keep(a, a->notes, text);
}


static void
audit_notes(audit_t *a, const audit_result_t *res)
{
    size_t  i;

    for (i = 0; i < a->nfiles; i++) {
        if (a->files[i].kind == AUDIT_STATE) {
            audit_note(a, "%.300s is the state beside a log, and was left"
                       " out", a->files[i].name);
        }
    }

    if (res->last.seq != 0 && res->first_seq != 1) {
        audit_note(a, "the chain begins with line %" PRIu64 ", which follows"
                   " from %" PRIu64 ":%s", res->first_seq,
                   res->first_seq - 1, res->first_prev);
    }

    if (a->rules.key == NULL) {
        audit_note(a, "no --key: codes were not checked, anybody could have"
                   " written this");
    }

    if (a->rules.head.seq == 0) {
        audit_note(a, "no --head: a tail that was cut is not found");
    }
}


static void
audit_print_text(const audit_t *a, const audit_result_t *res)
{
    size_t   i;
    json_t  *text;

    json_array_foreach(a->findings, i, text) {
        printf("%s\n", json_string_value(text));
    }

    if (a->found > AUDIT_SHOWN) {
        printf("... and %" PRIu64 " more\n", a->found - AUDIT_SHOWN);
    }

    json_array_foreach(a->notes, i, text) {
        printf("note: %s\n", json_string_value(text));
    }

    printf("%s: %" PRIu64 " lines", res->findings ? "BROKEN" : "whole",
           res->lines);

    if (res->last.seq != 0) {
        printf(", %" PRIu64 " to %" PRIu64 ", last %" PRIu64 ":%s",
               res->first_seq, res->last.seq, res->last.seq, res->last.mac);
    }

    printf("\n");
}


/* Numbers above those of JSON integers here are not reached by counting. */
static int
audit_print_json(const audit_t *a, const audit_result_t *res)
{
    int      rc;
    json_t  *doc;

    doc = json_pack("{s:b, s:I, s:I, s:O, s:O}",
                    "whole", res->findings == 0,
                    "lines", (json_int_t) res->lines,
                    "findings_total", (json_int_t) res->findings,
                    "findings", a->findings, "notes", a->notes);

    rc = doc == NULL ? -1 : 0;

    if (rc == 0 && res->last.seq != 0) {
        rc = json_object_set_new(doc, "first",
                   json_pack("{s:I, s:s}",
                             "seq", (json_int_t) res->first_seq,
                             "prev", res->first_prev))
             | json_object_set_new(doc, "last",
                   json_pack("{s:I, s:s}",
                             "seq", (json_int_t) res->last.seq,
                             "mac", res->last.mac));
    }

    if (rc == 0) {
        rc = json_dumpf(doc, stdout, JSON_COMPACT|JSON_ENSURE_ASCII);
        printf("\n");
    }

    json_decref(doc);

    return rc;
}


/* Which file it was. */
static void
audit_unreadable(const audit_t *a)
{
    int     err;
    size_t  i;

    err = errno;

    for (i = 0; i < a->nfiles; i++) {
        if (a->files[i].kind == AUDIT_GZIP) {
            audit_wrong("", a->files[i].name, " is compressed: give"
                        " <(zcat FILE) in its place");
            return;
        }
    }

    for (i = 0; i < a->nfiles; i++) {
        if (ferror(a->files[i].f)) {
            audit_wrong("", a->files[i].name, " cannot be read");
            return;
        }
    }

    audit_wrong("the files cannot be checked: ", strerror(err), "");
}


/* -1: what was given is of no use for a verdict, and was told. */
static int
audit_usable(const audit_t *a, const audit_result_t *res)
{
    size_t  i, states;

    states = 0;

    for (i = 0; i < a->nfiles; i++) {
        states += (a->files[i].kind == AUDIT_STATE);
    }

    if (states == a->nfiles) {
        return audit_wrong("", a->files[0].name, " is the state beside a log:"
                           " where is the log?");
    }

    if (res->lines == 0 && res->foreign != 0) {
        return audit_wrong("no line is by this key: is it the right one?", "",
                           "");
    }

    return 0;
}


static cli_exit_t
audit_verify(audit_t *a)
{
    audit_result_t  res = { 0 };

    a->rules.found = audit_found;
    a->rules.data = a;

    if (audit_check(a->files, a->nfiles, &a->rules, &res) != 0) {
        audit_unreadable(a);
        return CLI_USAGE;
    }

    if (audit_usable(a, &res) != 0) {
        return CLI_USAGE;
    }

    audit_notes(a, &res);

    if (a->no_memory || (a->json && audit_print_json(a, &res) != 0)) {
        audit_wrong("out of memory, or the result cannot be written", "", "");
        return CLI_USAGE;
    }

    if (!a->json) {
        audit_print_text(a, &res);
    }

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
    a->findings = json_array();
    a->notes = json_array();
    a->no_memory = (a->findings == NULL || a->notes == NULL);

    if (audit_words(a, argc, argv) == 0) {
        code = audit_verify(a);
    }

    for (i = 0; i < a->nfiles; i++) {
        if (a->files[i].f != stdin) {
            fclose(a->files[i].f);
        }
    }

    json_decref(a->findings);
    json_decref(a->notes);
    wipe(a->key, sizeof(a->key));
    free(a);

    return code;
}
