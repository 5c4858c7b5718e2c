/*
 * cli/opt.h: the command line. One sorted constant table describes every
 * option: which commands take it, what it is called in the API's form, how
 * its value is checked, and its line of help. Nothing here reads the
 * environment or opens a file.
 */

#ifndef CLI_OPT_H
#define CLI_OPT_H

#include <stddef.h>
#include <stdio.h>

#include "pcapx/valid.h"


/* In the order of the table, which is the order of the names. */

typedef enum {
    OPT_CA_CERT = 0,
    OPT_CF,
    OPT_CLIENT,
    OPT_CLIENT_CERT,
    OPT_CLIENT_SECRET,
    OPT_CONFIG,
    OPT_CONTEXT,
    OPT_DEPLOYMENT,
    OPT_DURATION,
    OPT_ENVIRONMENT,
    OPT_FILTER,
    OPT_FORCE,
    OPT_FORMAT,
    OPT_GW_DISABLE,
    OPT_HELP,
    OPT_INDEX,
    OPT_INSECURE,
    OPT_INSTANCE,
    OPT_INTERFACE,
    OPT_JSON,
    OPT_K8S,
    OPT_KUBECONFIG,
    OPT_MAX_BYTES,
    OPT_MAX_PACKETS,
    OPT_NAMESPACE,
    OPT_NO_COLOR,
    OPT_NO_RECONNECT,
    OPT_OUTPUT,
    OPT_PARALLEL,
    OPT_PROCESS,
    OPT_PROMISCUOUS,
    OPT_QUIET,
    OPT_REASON,
    OPT_RECONNECT_TIMEOUT,
    OPT_RETENTION,
    OPT_SELECTOR,
    OPT_SHA2,
    OPT_SNAPLEN,
    OPT_SSH,
    OPT_STORE,
    OPT_TEE,
    OPT_TIMEOUT,
    OPT_TOKEN,
    OPT_TOKEN_FILE,
    OPT_URL,
    OPT_VERBOSE,
    OPT_VERSION,
    OPT_WAIT,
    OPT_YES,
    OPT_END
} opt_id_t;

typedef enum {
    OPT_FLAG = 0,
    OPT_SINGLE,          /* takes a value, at most once */
    OPT_LIST             /* takes a value, may repeat */
} opt_kind_t;

typedef struct opt_def_s  opt_def_t;

/* PCAPX_OK, or PCAPX_EINVAL with err (PCAPX_ERR_LEN bytes) filled. */
typedef int (*opt_check_t)(const opt_def_t *def, const char *s, size_t len,
    char *err);

struct opt_def_s {
    const char   *name;
    char          letter;      /* '\0': none */
    opt_kind_t    kind;
    unsigned      cmds;        /* bits: 1 << opt_cmd_t */
    unsigned      max;         /* of a list */
    const char   *form;        /* name in the form, NULL: not sent */
    opt_check_t   check;       /* NULL: anything goes */
    const char   *arg;         /* name of the value in the help */
    const char   *help;
};

/* Sorted by name; opt_table[id] describes option id. */
extern const opt_def_t  opt_table[OPT_END];


/*
 * Other names of options that some commands take, and options of other
 * programs that they refuse with a word on what to use instead. One letter may
 * mean something else for each command; then it has to stand behind it.
 */
typedef struct {
    const char   *name;        /* NULL: only a letter */
    char          letter;      /* '\0': none */
    unsigned      cmds;        /* bits: 1 << opt_cmd_t */
    opt_id_t      id;          /* OPT_END: refused */
    const char   *instead;     /* of a refused one */
} opt_alias_t;

/* Ends with an entry that has neither name nor letter. */
extern const opt_alias_t  opt_aliases[];


typedef enum {
    OPT_CMD_BOSH = 0,
    OPT_CMD_CF,
    OPT_CMD_GET,
    OPT_CMD_K8S,
    OPT_CMD_LIST,
    OPT_CMD_RM,
    OPT_CMD_SHOW,
    OPT_CMD_STATIC,
    OPT_CMD_STATUS,
    OPT_CMD_STOP,
    OPT_CMD_END
} opt_cmd_t;

typedef struct {
    const char   *name;
    const char   *target;      /* name of the operand, NULL: takes none */
    opt_check_t   check;       /* of the operand; def is NULL */
    opt_id_t      operands;    /* each is a value of this option, or OPT_END */
    unsigned      many;        /* unsigned  many:1, takes several targets */
    const char   *help;
} opt_cmd_def_t;

extern const opt_cmd_def_t  opt_cmds[OPT_CMD_END];


typedef struct {
    opt_id_t     id;
    const char  *value;        /* NULL for a flag; aliases argv */
    unsigned     cmds;         /* which commands take it as it was spelled */
} opt_arg_t;

typedef struct {
    opt_cmd_t    cmd;          /* OPT_CMD_END: none was given */
    const char  *target;       /* aliases argv; of bosh, cf, k8s: set by them */
    const char **targets;      /* all of them, where there may be several */
    size_t       ntargets;
    const char  *title;        /* of the file's name; NULL: the target */
    opt_arg_t   *args;         /* in the order given */
    size_t       nargs;
    char         err[PCAPX_ERR_LEN + 128];
} opt_t;

typedef enum {
    OPT_RUN = 0,
    OPT_SHOW_HELP,
    OPT_SHOW_VERSION,
    OPT_WRONG                  /* err says what */
} opt_result_t;


/*
 * Parses and checks argv[1..argc). Long options as --name value or
 * --name=value (no abbreviations), short ones in clusters, "--" ends them;
 * options and operands may mix. argv must outlive o; call opt_free().
 */
opt_result_t opt_parse(opt_t *o, int argc, char **argv);

void opt_free(opt_t *o);

/* How often option id was given. */
size_t opt_count(const opt_t *o, opt_id_t id);

/* The value of a single option, NULL when it was not given. */
const char *opt_value(const opt_t *o, opt_id_t id);

/*
 * What options mean for one another: those of a capture to storage, and the
 * token. OPT_RUN, or OPT_WRONG with o->err filled.
 */
opt_result_t opt_rules(opt_t *o);

/* Help of the given command; of the whole program for OPT_CMD_END. */
void opt_help(FILE *f, opt_cmd_t cmd);


#endif /* CLI_OPT_H */
