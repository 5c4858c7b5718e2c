/*
 * cli/passthrough.c: looks for the bosh CLI on PATH. "Next" is meant by
 * place: what stands before this program on PATH is never run, so that two
 * copies of it cannot call each other for ever.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "passthrough.h"
#include "pcapx/valid.h"
#include "self.h"
#include "wipe.h"


#define PASS_DEFAULT_PATH  "/usr/local/bin:/usr/bin:/bin"


/* bosh-cli 7, cmd/opts/opts.go, BoshOpts; what is not here is handed over. */

static const char *const  pass_values[] = {
    "--config", "--environment", "--ca-cert", "--parallel", "--client",
    "--client-secret", "--deployment", "--column", NULL
};

static const char *const  pass_flags[] = {
    "--sha2", "--json", "--tty", "--no-color", "--non-interactive", NULL
};


called_t
passthrough_called(const char *argv0)
{
    const char  *name;

    if (argv0 == NULL) {
        return CALLED_PCAP_CLI;
    }

    name = strrchr(argv0, '/');
    name = name != NULL ? name + 1 : argv0;

    if (strcmp(name, "bosh") == 0) {
        return CALLED_BOSH;
    }

    return strcmp(name, "bosh-pcap") == 0 ? CALLED_BOSH_PCAP
                                          : CALLED_PCAP_CLI;
}


/* How many words the long flag s takes; 0: it is not known. */
static int
pass_long(const char *s)
{
    size_t  i, len;

    len = strcspn(s, "=");

    for (i = 0; pass_values[i] != NULL; i++) {
        if (strlen(pass_values[i]) == len
            && strncmp(pass_values[i], s, len) == 0)
        {
            return s[len] == '=' ? 1 : 2;
        }
    }

    for (i = 0; pass_flags[i] != NULL; i++) {
        if (strcmp(pass_flags[i], s) == 0) {
            return 1;
        }
    }

    return 0;
}


/* The same for a cluster of short ones: -n, -ecf, -ne cf. */
static int
pass_short(const char *s)
{
    for (s++; *s != '\0'; s++) {
        if (*s == 'e' || *s == 'd') {
            return s[1] != '\0' ? 1 : 2;
        }

        if (*s != 'n') {
            return 0;
        }
    }

    return 1;
}


int
passthrough_find(int argc, char **argv)
{
    int  i, n;

    for (i = 1; i < argc; i += n) {
        if (argv[i][0] != '-') {
            return strcmp(argv[i], "pcap") == 0 ? i : 0;
        }

        /* "-" and "--" are no flags, and not ours to understand. */
        if (argv[i][1] == '\0' || strcmp(argv[i], "--") == 0) {
            return 0;
        }

        n = argv[i][1] == '-' ? pass_long(argv[i]) : pass_short(argv[i]);
        if (n == 0) {
            return 0;
        }
    }

    return 0;
}


static int
pass_is(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}


/* Makes "FOLDER/bosh" of len bytes at dir; NULL when it is not to be run. */
static char *
pass_candidate(const char *dir, size_t len, struct stat *st)
{
    char  *path;

    /* Nothing out of the folder where one happens to be. */
    if (len == 0 || dir[0] != '/') {
        return NULL;
    }

    path = malloc(len + sizeof("/bosh"));
    if (path == NULL) {
        return NULL;
    }

    snprintf(path, len + sizeof("/bosh"), "%.*s/bosh", (int) len, dir);

    if (stat(path, st) == 0 && S_ISREG(st->st_mode)
        && access(path, X_OK) == 0)
    {
        return path;
    }

    free(path);

    return NULL;
}


/* Is the bosh of one of the folders before end the same file as st? */
static int
pass_came_before(const char *dir, const char *end, const struct stat *st)
{
    int          same;
    char        *path;
    size_t       len;
    struct stat  other;

    same = 0;

    for ( /* void */ ; dir < end && !same; dir += len + 1) {
        len = strcspn(dir, ":");
        path = pass_candidate(dir, len, &other);
        same = path != NULL && pass_is(&other, st);
        free(path);
    }

    return same;
}


/* The path of the next bosh, allocated, or NULL. */
static char *
pass_next(const char *argv0)
{
    char         *path, *found;
    size_t        len;
    const char   *dir, *all, *own;
    struct stat   self, st;

    /* Called by a name alone, it is the first one on PATH. */
    (void) self_stat(&self, argv0);
    found = NULL;
    own = NULL;

    all = getenv("PATH");
    if (all == NULL || *all == '\0') {
        all = PASS_DEFAULT_PATH;
    }

    for (dir = all; *dir != '\0'; dir += len + (dir[len] == ':')) {
        len = strcspn(dir, ":");

        path = pass_candidate(dir, len, &st);
        if (path == NULL) {
            continue;
        }

        if (self.st_ino == 0) {
            self = st;
        }

        if (pass_is(&st, &self)) {
            free(path);

            /* The first of us; other links to us are passed over. */
            if (own == NULL) {
                own = dir;
                free(found);
                found = NULL;
            }

            continue;
        }

        if (found != NULL || (own != NULL && pass_came_before(all, own, &st)))
        {
            free(path);
            continue;
        }

        found = path;
    }

    return found;
}


void
passthrough_exec(char **argv, char *err)
{
    char  *path;

    path = pass_next(argv[0]);

    if (path == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "there is no other bosh on PATH behind"
                 " this one: install the bosh CLI; this program only knows"
                 " `bosh pcap`");
        return;
    }

    (void) execv(path, argv);
    snprintf(err, PCAPX_ERR_LEN, "cannot run %.150s: %s", path,
             strerror(errno));
    free(path);
}


int
passthrough_wants_ssh(int argc, char **argv)
{
    int  i;

    for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--ssh") == 0) {
            return 1;
        }
    }

    return 0;
}


char **
passthrough_args(called_t called, int argc, char **argv)
{
    int     i, n, end;
    char  **args;

    /* Two words may come in front. */
    args = calloc((size_t) argc + 3, sizeof(char *));
    if (args == NULL) {
        return NULL;
    }

    n = 0;
    end = 0;
    args[n++] = strdup("bosh");

    if (called != CALLED_BOSH) {
        args[n++] = strdup("pcap");
    }

    for (i = 1; i < argc; i++) {
        end = end || strcmp(argv[i], "--") == 0;

        if (!end && strcmp(argv[i], "--ssh") == 0) {
            continue;
        }

        if (i == 1 && called == CALLED_PCAP_CLI) {
            continue;
        }

        args[n++] = strdup(argv[i]);
    }

    for (i = 0; i < n; i++) {
        if (args[i] == NULL) {
            for (i = 0; i < n; i++) {
                free(args[i]);
            }

            free(args);
            return NULL;
        }
    }

    return args;
}


void
passthrough_free(char **args)
{
    size_t  i;

    for (i = 0; args != NULL && args[i] != NULL; i++) {
        wipe_free(args[i]);
    }

    free(args);
}
