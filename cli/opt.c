/*
 * cli/opt.c: the parser and the help. getopt_long() is not used: it keeps its
 * state in globals, takes abbreviations that a later option would break, and
 * knows no table with checks, form names and help in it.
 */

#include <stdlib.h>
#include <string.h>

#include "opt.h"
#include "text.h"


#define OPT_HELP_COLUMN  26
#define OPT_HELP_WIDTH   79


/* A user's own words may hold anything: clean them before they are shown. */
static opt_result_t
opt_wrong(opt_t *o, const char *before, const char *what, const char *after)
{
    char  clean[80];

    text_clean(clean, sizeof(clean), what, strlen(what));
    snprintf(o->err, sizeof(o->err), "%s%s%s", before, clean, after);

    return OPT_WRONG;
}


static const opt_def_t *
opt_find_long(const char *s, size_t len)
{
    int     rc;
    size_t  lo, hi, mid;

    lo = 0;
    hi = OPT_END;

    while (lo < hi) {
        mid = (lo + hi) / 2;
        rc = strncmp(s, opt_table[mid].name, len);

        if (rc == 0 && opt_table[mid].name[len] == '\0') {
            return &opt_table[mid];
        }

        /* A prefix of the name sorts before it. */
        if (rc <= 0) {
            hi = mid;

        } else {
            lo = mid + 1;
        }
    }

    return NULL;
}


static const opt_def_t *
opt_find_letter(char letter)
{
    size_t  i;

    for (i = 0; i < OPT_END; i++) {
        if (opt_table[i].letter != '\0' && opt_table[i].letter == letter) {
            return &opt_table[i];
        }
    }

    return NULL;
}


static int
opt_is_alias(const opt_alias_t *a, const char *name, size_t len, char letter)
{
    return name == NULL ? a->letter == letter
                        : a->name != NULL && strlen(a->name) == len
                          && strncmp(a->name, name, len) == 0;
}


/*
 * That of the command; before one was named, the first of all, and how many
 * there are is in *n. name is NULL where a letter is looked for.
 */
static const opt_alias_t *
opt_find_alias(const opt_t *o, const char *name, size_t len, char letter,
    unsigned *n)
{
    const opt_alias_t  *a, *found;

    *n = 0;
    found = NULL;

    for (a = opt_aliases; a->name != NULL || a->letter != '\0'; a++) {
        if (opt_is_alias(a, name, len, letter)
            && (o->cmd == OPT_CMD_END || a->cmds & 1u << o->cmd))
        {
            found = found != NULL ? found : a;
            (*n)++;
        }
    }

    return found;
}


/*
 * Settles which option is meant, and by which commands it may be spelled so.
 * NULL with err filled: there is none, or it is refused.
 */
static const opt_def_t *
opt_find(opt_t *o, const char *dashes, const char *word, size_t len,
    unsigned *cmds)
{
    char                what[64];
    unsigned            n;
    const opt_def_t    *def;
    const opt_alias_t  *a;

    if (dashes[1] == '\0') {
        def = opt_find_letter(*word);
        a = opt_find_alias(o, NULL, 0, *word, &n);

    } else {
        def = len ? opt_find_long(word, len) : NULL;
        a = opt_find_alias(o, word, len, '\0', &n);
    }

    if (def != NULL) {
        *cmds = def->cmds;
        return def;
    }

    if (a != NULL && n > 1) {
        snprintf(o->err, sizeof(o->err), "-%c means something else for each"
                 " command: it has to stand behind the command", *word);
        return NULL;
    }

    if (a == NULL) {
        snprintf(what, sizeof(what), "there is no option %s", dashes);
        (void) opt_wrong(o, what, word, "");
        return NULL;
    }

    if (a->id == OPT_END) {
        snprintf(o->err, sizeof(o->err), "%s%.*s is not taken: %s", dashes,
                 (int) len, word, a->instead);
        return NULL;
    }

    *cmds = a->cmds & opt_table[a->id].cmds;

    return &opt_table[a->id];
}


static opt_result_t
opt_add(opt_t *o, const opt_def_t *def, unsigned cmds, const char *value)
{
    char      err[PCAPX_ERR_LEN];
    size_t    n;
    opt_id_t  id;

    id = (opt_id_t) (def - opt_table);
    n = opt_count(o, id);

    if (def->kind == OPT_SINGLE && n > 0) {
        return opt_wrong(o, "--", def->name, " is given twice");
    }

    if (def->kind == OPT_FLAG && n > 0) {
        return OPT_RUN;
    }

    if (def->kind == OPT_LIST && n >= def->max) {
        return opt_wrong(o, "--", def->name, " is given too often");
    }

    if (def->check != NULL && value != NULL
        && def->check(def, value, strlen(value), err) != PCAPX_OK)
    {
        snprintf(o->err, sizeof(o->err), "--%s: %s", def->name, err);
        return OPT_WRONG;
    }

    o->args[o->nargs].id = id;
    o->args[o->nargs].value = value;
    o->args[o->nargs].cmds = cmds;
    o->nargs++;

    return OPT_RUN;
}


/* arg begins with "--" and has more; next is the following word or NULL. */
static opt_result_t
opt_take_long(opt_t *o, const char *arg, const char *next, int *used_next)
{
    size_t            len;
    unsigned          cmds;
    const char       *eq;
    const opt_def_t  *def;

    arg += 2;
    len = strcspn(arg, "=");
    eq = arg[len] == '=' ? arg + len + 1 : NULL;

    def = opt_find(o, "--", arg, len, &cmds);

    if (def == NULL) {
        return OPT_WRONG;
    }

    if (def->kind == OPT_FLAG) {
        if (eq != NULL) {
            return opt_wrong(o, "--", def->name, " takes no value");
        }

        return opt_add(o, def, cmds, NULL);
    }

    if (eq == NULL) {
        if (next == NULL) {
            return opt_wrong(o, "--", def->name, " needs a value");
        }

        eq = next;
        *used_next = 1;
    }

    return opt_add(o, def, cmds, eq);
}


/* arg begins with "-" and has more. */
static opt_result_t
opt_take_short(opt_t *o, const char *arg, const char *next, int *used_next)
{
    unsigned          cmds;
    opt_result_t      rc;
    const opt_def_t  *def;

    for (arg++; *arg != '\0'; arg++) {
        def = opt_find(o, "-", arg, 1, &cmds);

        if (def == NULL) {
            return OPT_WRONG;
        }

        if (def->kind != OPT_FLAG) {
            if (arg[1] != '\0') {
                return opt_add(o, def, cmds, arg + 1);
            }

            if (next == NULL) {
                return opt_wrong(o, "--", def->name, " needs a value");
            }

            *used_next = 1;

            return opt_add(o, def, cmds, next);
        }

        rc = opt_add(o, def, cmds, NULL);
        if (rc != OPT_RUN) {
            return rc;
        }
    }

    return OPT_RUN;
}


static opt_result_t
opt_take_operand(opt_t *o, const char *arg)
{
    char      err[PCAPX_ERR_LEN];
    size_t    i;
    opt_id_t  id;

    if (o->cmd == OPT_CMD_END) {
        for (i = 0; i < OPT_CMD_END; i++) {
            if (strcmp(arg, opt_cmds[i].name) == 0) {
                o->cmd = (opt_cmd_t) i;
                return OPT_RUN;
            }
        }

        if (strcmp(arg, "audit") == 0) {
            return opt_wrong(o, "audit has to be the first word", "", "");
        }

        return opt_wrong(o, "there is no command \"", arg,
                         "\"; there are: audit, bosh, cf, get, k8s, list, rm,"
                         " show, static, status, stop");
    }

    id = opt_cmds[o->cmd].operands;
    if (id != OPT_END) {
        return opt_add(o, &opt_table[id], opt_table[id].cmds, arg);
    }

    if (opt_cmds[o->cmd].target == NULL
        || (o->target != NULL && !opt_cmds[o->cmd].many))
    {
        return opt_wrong(o, "\"", arg, "\" is one argument too many");
    }

    if (opt_cmds[o->cmd].check(NULL, arg, strlen(arg), err) != PCAPX_OK) {
        snprintf(o->err, sizeof(o->err), "%s: %s", opt_cmds[o->cmd].target,
                 err);
        return OPT_WRONG;
    }

    o->targets[o->ntargets++] = arg;
    o->target = o->targets[0];

    return OPT_RUN;
}


/* What only the whole line can tell. */
static opt_result_t
opt_finish(opt_t *o)
{
    size_t  i;

    if (opt_count(o, OPT_HELP)) {
        return OPT_SHOW_HELP;
    }

    if (opt_count(o, OPT_VERSION)) {
        return OPT_SHOW_VERSION;
    }

    if (o->cmd == OPT_CMD_END) {
        return opt_wrong(o, "which command? There are: audit, bosh, cf, get,"
                         " k8s, list, rm, show, static, status, stop", "",
                         "");
    }

    for (i = 0; i < o->nargs; i++) {
        if (!(o->args[i].cmds & 1u << o->cmd)) {
            return opt_wrong(o, "this command does not take --",
                             opt_table[o->args[i].id].name, "");
        }
    }

    if (opt_cmds[o->cmd].target != NULL && o->target == NULL
        && opt_cmds[o->cmd].operands == OPT_END)
    {
        return opt_wrong(o, "this command needs ",
                         opt_cmds[o->cmd].target, "");
    }

    return opt_rules(o);
}


opt_result_t
opt_parse(opt_t *o, int argc, char **argv)
{
    int           i, operands, used_next;
    size_t        words, k;
    const char   *next;
    opt_result_t  rc;

    memset(o, 0, sizeof(opt_t));
    o->cmd = OPT_CMD_END;

    /* Every letter of a cluster is an option. */
    words = 1;
    for (i = 1; i < argc; i++) {
        k = strlen(argv[i]);
        words += k ? k : 1;
    }

    o->args = calloc(words, sizeof(opt_arg_t));
    o->targets = calloc(words, sizeof(char *));

    if (o->args == NULL || o->targets == NULL) {
        return opt_wrong(o, "out of memory", "", "");
    }

    operands = 0;

    for (i = 1; i < argc; i++) {
        next = i + 1 < argc ? argv[i + 1] : NULL;
        used_next = 0;

        if (operands || argv[i][0] != '-' || argv[i][1] == '\0') {
            rc = opt_take_operand(o, argv[i]);

        } else if (strcmp(argv[i], "--") == 0) {
            operands = 1;
            rc = OPT_RUN;

        } else if (argv[i][1] == '-') {
            rc = opt_take_long(o, argv[i], next, &used_next);

        } else {
            rc = opt_take_short(o, argv[i], next, &used_next);
        }

        if (rc != OPT_RUN) {
            return rc;
        }

        i += used_next;
    }

    return opt_finish(o);
}


void
opt_free(opt_t *o)
{
    free(o->args);
    free(o->targets);
    o->args = NULL;
    o->targets = NULL;
    o->nargs = 0;
    o->ntargets = 0;
}


size_t
opt_count(const opt_t *o, opt_id_t id)
{
    size_t  i, n;

    n = 0;

    for (i = 0; i < o->nargs; i++) {
        n += o->args[i].id == id;
    }

    return n;
}


const char *
opt_value(const opt_t *o, opt_id_t id)
{
    size_t  i;

    for (i = 0; i < o->nargs; i++) {
        if (o->args[i].id == id) {
            return o->args[i].value;
        }
    }

    return NULL;
}


/* One option: name at the left, text behind it, broken between words. */
static void
opt_help_line(FILE *f, const char *left, const char *text)
{
    int     column;
    size_t  n;

    column = fprintf(f, "%-*s", OPT_HELP_COLUMN, left);

    while (*text != '\0') {
        n = strcspn(text, " ");

        if (column + 1 + (int) n > OPT_HELP_WIDTH) {
            column = fprintf(f, "\n%*s", OPT_HELP_COLUMN, "") - 1;
        }

        column += fprintf(f, " %.*s", (int) n, text);
        text += n;
        text += strspn(text, " ");
    }

    fprintf(f, "\n");
}


/* Is it a letter that this command has for an option without one? */
static int
opt_is_letter(const opt_alias_t *a, opt_cmd_t cmd)
{
    return a->name == NULL && a->cmds & 1u << cmd
           && opt_table[a->id].letter == '\0';
}


static char
opt_letter(opt_id_t id, opt_cmd_t cmd)
{
    const opt_alias_t  *a;

    for (a = opt_aliases; a->name != NULL || a->letter != '\0'; a++) {
        if (a->id == id && opt_is_letter(a, cmd)) {
            return a->letter;
        }
    }

    return opt_table[id].letter;
}


static void
opt_help_options(FILE *f, opt_cmd_t cmd)
{
    int               n;
    char              left[64], letter;
    size_t            i;
    const opt_def_t  *def;

    for (i = 0; i < OPT_END; i++) {
        def = &opt_table[i];

        if (!(def->cmds & 1u << cmd)) {
            continue;
        }

        letter = opt_letter((opt_id_t) i, cmd);
        n = snprintf(left, sizeof(left), "  %c%c%s --%s",
                     letter ? '-' : ' ', letter ? letter : ' ',
                     letter ? "," : " ", def->name);

        if (def->arg != NULL) {
            snprintf(left + n, sizeof(left) - (size_t) n, " %s", def->arg);
        }

        opt_help_line(f, left, def->help);
    }
}


/* The names that other programs have for some of them. */
static void
opt_help_aliases(FILE *f, opt_cmd_t cmd)
{
    char                left[64], text[64];
    const opt_alias_t  *a;

    for (a = opt_aliases; a->name != NULL || a->letter != '\0'; a++) {

        if (!(a->cmds & 1u << cmd) || a->id == OPT_END
            || opt_is_letter(a, cmd))
        {
            continue;
        }

        snprintf(left, sizeof(left), "  %c%c%s %s%s",
                 a->letter ? '-' : ' ', a->letter ? a->letter : ' ',
                 a->letter && a->name ? "," : " ", a->name ? "--" : "",
                 a->name ? a->name : "");
        snprintf(text, sizeof(text), "same as --%s", opt_table[a->id].name);
        opt_help_line(f, left, text);
    }
}


void
opt_help(FILE *f, opt_cmd_t cmd)
{
    size_t  i;

    if (cmd != OPT_CMD_END) {
        fprintf(f, "usage: pcap-cli %s%s%s%s [OPTION]...\n%s.\n\n",
                opt_cmds[cmd].name, opt_cmds[cmd].target ? " " : "",
                opt_cmds[cmd].target ? opt_cmds[cmd].target : "",
                opt_cmds[cmd].many ? "..." : "",
                opt_cmds[cmd].help);
        opt_help_options(f, cmd);
        opt_help_aliases(f, cmd);
        return;
    }

    fprintf(f, "usage: pcap-cli COMMAND [OPTION]...\n"
               "Captures network traffic of instances through the pcap API.\n"
               "\n");

    for (i = 0; i < OPT_CMD_END; i++) {
        fprintf(f, "  %-7s%-17s %s\n", opt_cmds[i].name,
                opt_cmds[i].target ? opt_cmds[i].target : "",
                opt_cmds[i].help);
    }

    fprintf(f, "  %-7s%-17s %s\n", "audit", "verify FILE...",
            "is an audit log of the API whole");

    fprintf(f, "\n  pcap-cli COMMAND --help shows a command's options,\n"
               "  pcap-cli --version the version. See also pcap-cli(1).\n");
}
