/*
 * cli/run.h: runs another program and takes what it prints, without a shell,
 * with a ceiling for output and time. What it prints may be a secret: nothing
 * here shows it.
 */

#ifndef CLI_RUN_H
#define CLI_RUN_H

#include <stddef.h>
#include <stdint.h>

#include "conf.h"


/* A credential with a certificate and its key is some 10 kB. */
#define RUN_MAX_BYTES  262144

typedef struct {
    const char         *path;      /* of the program, to be executed */
    char              **argv;      /* ends with NULL, begins with its name */
    char              **envp;      /* ends with NULL: all that it gets */
    uint64_t            timeout_ms;
    const conf_wait_t  *wait;      /* turns taken meanwhile; NULL: it waits */
    /* It gets our standard input and error; else nothing, and into said. */
    unsigned            terminal:1;
} run_t;

typedef struct {
    char    *out;                  /* its output, owned, with a NUL; wiped */
    size_t   len;
    char     said[512];            /* the end of what it said besides */
} run_out_t;


/*
 * The file that a command is, as execvp(3) looks for it: on PATH when its
 * name has no slash. Allocated, or NULL with errno.
 */
char *run_find(const char *command);

/*
 * Runs it to its end. 0 when it has ended with 0; or -1 with err
 * (PCAPX_ERR_LEN bytes, without a name in front): it cannot be run, ended
 * otherwise, took too long (it is ended then, with what it has started if it
 * has no terminal), printed too much; or somebody asked for an end. Call
 * run_free() in both cases.
 */
int run_program(const run_t *r, run_out_t *o, char *err);

void run_free(run_out_t *o);


#endif /* CLI_RUN_H */
