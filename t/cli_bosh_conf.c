/*
 * t/cli_bosh_conf.c: the bosh CLI's config: environments are found, tokens
 * are replaced and everything else is kept; hostile and broken YAML ends in
 * a sentence, never in a crash or a long wait. And the file: replaced in one
 * step, links followed, owner-only.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/bosh_conf.h"
#include "cli/store.h"
#include "pcapx/valid.h"
#include "tap.h"


static const char  usual[] =
    "# a comment\n"
    "environments:\n"
    "- url: https://10.0.0.6:25555\n"
    "  alias: prod\n"
    "  ca_cert: |\n"
    "    -----BEGIN CERTIFICATE-----\n"
    "    AAAA\n"
    "    -----END CERTIFICATE-----\n"
    "  access_token_type: bearer\n"
    "  access_token: old-access\n"
    "  refresh_token: old-refresh\n"
    "  future: {a: [1, 'two'], b: ~}\n"
    "- url: https://10.0.0.7:25555\n"
    "  alias: staging\n"
    "  username: admin\n"
    "  password: '007'\n"
    "other:\n"
    "  deep: [x, {y: z}]\n";


/* Finds name; the text of a member or "-", static. */
static int
find(bosh_env_t *env, const char *text, const char *name)
{
    int   rc;
    char  err[PCAPX_ERR_LEN] = "";

    rc = bosh_conf_find(env, text, strlen(text), name, err);

    if (rc == -1) {
        printf("# %s\n", err);
    }

    return rc;
}


static int
same(const char *s, const char *want)
{
    return s == NULL || want == NULL ? s == want : strcmp(s, want) == 0;
}


static void
test_find(void)
{
    bosh_env_t  env;

    ok(find(&env, usual, "prod") == 1, "by alias");
    ok(same(env.url, "https://10.0.0.6:25555")
       && same(env.access_token, "old-access")
       && same(env.refresh_token, "old-refresh")
       && same(env.username, NULL), "members");
    ok(same(env.ca_cert, "-----BEGIN CERTIFICATE-----\nAAAA\n"
                         "-----END CERTIFICATE-----\n"), "a block of text");
    bosh_env_free(&env);

    ok(find(&env, usual, "https://10.0.0.7:25555") == 1
       && same(env.alias, "staging") && same(env.password, "007"), "by URL");
    bosh_env_free(&env);

    ok(find(&env, usual, "pro") == 0, "a part of an alias is none");
    bosh_env_free(&env);

    ok(find(&env, usual, "") == 0, "nothing is no name");
    bosh_env_free(&env);
}


static void
test_odd(void)
{
    size_t      i;
    bosh_env_t  env;

    static const struct {
        const char  *what;
        const char  *text;
        int          rc;
    } cases[] = {
        { "empty", "", 0 },
        { "only a comment", "# nothing\n", 0 },
        { "a scalar", "hello", 0 },
        { "a list", "- a\n- b\n", 0 },
        { "no environments", "other: 1\n", 0 },
        { "environments is null", "environments:\n", 0 },
        { "environments is text", "environments: prod\n", 0 },
        { "environments is a map", "environments: {alias: prod}\n", 0 },
        { "entries of other types", "environments: [1, [prod], ~, {}]\n", 0 },
        { "alias is a list", "environments: [{alias: [prod]}]\n", 0 },
        { "alias is null", "environments: [{alias: ~, url: prod}]\n", 1 },
        { "keys that are no scalars",
          "? [a, b]\n: c\n? {d: e}\n: f\n"
          "environments:\n- ? [alias]\n  : x\n  alias: prod\n", 1 },
        { "an alias of itself", "environments: &a [*a, {alias: prod}]\n", 1 },
        { "a map in itself",
          "environments: &a\n- &b {alias: prod, me: *b, all: *a}\n", 1 },
        { "a key twice: the last",
          "environments: [{alias: x, alias: prod}]\n", 1 },
        { "a tag", "environments: [!x {alias: !!str prod}]\n", 1 },
        { "a tab", "environments:\n\t- alias: prod\n", -1 },
        { "unclosed", "environments: [{alias: prod\n", -1 },
        { "unknown alias", "environments: *nope\n", -1 },
        { "not UTF-8", "environments: [{alias: \"\xff\xfe\"}]\n", -1 },
        { "a control character", "environments: [\x01]\n", -1 },
        { "a NUL in a value",
          "environments: [{url: \"a\\0b\", alias: prod}]\n", 1 },
        { "with a mark of order", "\xef\xbb\xbf" "environments: [{alias:"
          " prod}]\n", 1 },
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(find(&env, cases[i].text, "prod") == cases[i].rc, "%s",
           cases[i].what);

        if (cases[i].rc == 1) {
            ok(env.url == NULL || same(env.url, "prod"), "%s: its URL",
               cases[i].what);
        }

        bosh_env_free(&env);
    }
}


/* head, then piece so many times, then tail. */
static char *
repeat(const char *head, const char *piece, size_t times, const char *tail)
{
    char    *s, *p;
    size_t   i, n;

    n = strlen(piece);
    s = malloc(strlen(head) + n * times + strlen(tail) + 1);
    p = stpcpy(s, head);

    for (i = 0; i < times; i++) {
        memcpy(p, piece, n);
        p += n;
    }

    memcpy(p, tail, strlen(tail) + 1);

    return s;
}


static void
test_hostile(void)
{
    int         i;
    char       *s, *new;
    char        err[PCAPX_ERR_LEN], names[64];
    char        bomb[4096];
    time_t      began;
    size_t      n, len;
    bosh_env_t  env;

    began = time(NULL);

    /* 9^30 nodes if somebody followed them. */
    n = (size_t) snprintf(bomb, sizeof(bomb), "a0: &a0 [x,x,x]\n");

    for (i = 1; i < 30; i++) {
        n += (size_t) snprintf(bomb + n, sizeof(bomb) - n, "a%d: &a%d [*a%d,"
                               "*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n",
                               i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1,
                               i - 1, i - 1, i - 1);
    }

    snprintf(bomb + n, sizeof(bomb) - n, "environments: [{alias: prod, big:"
             " *a29}]\n");

    ok(find(&env, bomb, "prod") == 1, "a bomb of aliases");
    bosh_env_free(&env);

    new = bosh_conf_update(bomb, strlen(bomb), "prod", "A", "R", &len, err);
    ok(new != NULL && len < 2 * sizeof(bomb), "it does not go off when it is"
       " written");
    free(new);

    s = repeat("", "[", 200000, "");
    ok(find(&env, s, "prod") == -1, "deep");
    bosh_env_free(&env);
    free(s);

    s = repeat("", "- ", 200000, "");
    ok(find(&env, s, "prod") != 1, "deep in the other style");
    bosh_env_free(&env);
    free(s);

    s = repeat("", "a: 1\n", 200000, "environments: [{alias: prod}]\n");
    (void) find(&env, s, "prod");
    ok(1, "many keys");
    bosh_env_free(&env);
    free(s);

    /* Each of many entries is the same map of many keys. */
    s = repeat("x: &x {", "a: 1,", 100000, "b: 2}\nenvironments: [*x");
    new = repeat(s, ",*x", 100000, "]\n");
    ok(find(&env, new, "prod") == 0, "many entries by aliases");
    bosh_env_free(&env);
    free(new);
    free(s);

    s = repeat("environments: [", "{alias: abcdefghij},", 900, "]\n");
    bosh_conf_names(names, sizeof(names), s, strlen(s));
    ok(strlen(names) < sizeof(names)
       && strncmp(names, "abcdefghij, abcdefghij", 22) == 0, "names are cut");
    free(s);

    s = repeat("a: ", "x", STORE_MAX_BYTES, "\n");
    ok(find(&env, s, "prod") == -1, "too long");
    bosh_env_free(&env);
    free(s);

    ok(time(NULL) - began < 30, "none of it takes long");
}


static void
test_update(void)
{
    char        *s, *again;
    char         err[PCAPX_ERR_LEN];
    size_t       len;
    bosh_env_t   env;

    s = bosh_conf_update(usual, strlen(usual), "prod", "new-access",
                         "new-refresh", &len, err);
    if (s == NULL) {
        ok(0, "written: %s", err);
        return;
    }

    ok(find(&env, s, "prod") == 1 && same(env.access_token, "new-access")
       && same(env.refresh_token, "new-refresh"), "new tokens");
    ok(same(env.ca_cert, "-----BEGIN CERTIFICATE-----\nAAAA\n"
                         "-----END CERTIFICATE-----\n"), "the CA is kept");
    bosh_env_free(&env);

    ok(strstr(s, "  ca_cert: |\n    -----BEGIN") != NULL,
       "in the same style");
    ok(strstr(s, "future: {a: [1, 'two'], b: ~}") != NULL,
       "unknown keys are kept");
    ok(strstr(s, "other:\n  deep: [x, {y: z}]\n") != NULL,
       "also outside of environments");
    ok(strstr(s, "password: '007'\n") != NULL, "text stays text");
    ok(strstr(s, "old-") == NULL, "no old token is left");

    /* No refresh token came: the old one stays. */
    again = bosh_conf_update(s, len, "prod", "third", NULL, &len, err);
    if (again == NULL) {
        ok(0, "written again: %s", err);
        free(s);
        return;
    }

    ok(find(&env, again, "prod") == 1 && same(env.access_token, "third")
       && same(env.refresh_token, "new-refresh"), "the old one is kept");
    bosh_env_free(&env);
    free(again);
    free(s);

    s = bosh_conf_update(usual, strlen(usual), "staging", "1e5", NULL, &len,
                         err);
    ok(s != NULL && memmem(s, len, "access_token: \"1e5\"", 19) != NULL
       && memmem(s, len, "access_token_type: \"bearer\"", 27) != NULL,
       "new keys are added, and no token is a number");
    free(s);

    ok(bosh_conf_update(usual, strlen(usual), "nope", "a", "b", &len, err)
       == NULL && strstr(err, "not in it") != NULL, "it is not there: %s",
       err);
    ok(bosh_conf_update("environments: [{alias: p}]\n---\nb: 1\n", 36, "p",
                        "a", "b", &len, err) == NULL
       && strstr(err, "more than one document") != NULL, "no document gets"
       " lost: %s", err);
}


/* One token by an alias in two entries: only the one meant changes. */
static void
test_shared(void)
{
    char        *s;
    char         err[PCAPX_ERR_LEN];
    size_t       len;
    bosh_env_t   env;

    static const char  text[] =
        "environments:\n"
        "- {alias: a, access_token: &t shared}\n"
        "- {alias: b, access_token: *t, loop: &l [*l]}\n";

    s = bosh_conf_update(text, strlen(text), "a", "fresh", NULL, &len, err);
    if (s == NULL) {
        ok(0, "written: %s", err);
        return;
    }

    ok(find(&env, s, "a") == 1 && same(env.access_token, "fresh"), "a");
    bosh_env_free(&env);
    ok(find(&env, s, "b") == 1 && same(env.access_token, "shared"), "b");
    bosh_env_free(&env);
    free(s);
}


static void
put(const char *path, const char *text)
{
    int  fd;

    fd = open(path, O_WRONLY|O_CREAT|O_TRUNC, 0644);
    ok(fd != -1 && write(fd, text, strlen(text)) == (ssize_t) strlen(text),
       "%s is there", path);
    close(fd);
}


static void
test_store(void)
{
    int            fd;
    char           dir[] = "/tmp/cli_bosh_conf.XXXXXX";
    char           err[PCAPX_ERR_LEN];
    msg_t          msg = { stderr, MSG_QUIET, 0 };
    struct stat    st, before;
    store_t        s = { NULL, NULL, 0 };

    if (!ok(mkdtemp(dir) != NULL && chdir(dir) == 0, "a folder")) {
        return;
    }

    ok(store_read(&s, "none", err) == 0, "no file is no error");
    ok(store_read(&s, ".", err) == -1, "a folder is: %s", err);
    ok(mkfifo("fifo", 0600) == 0 && store_read(&s, "fifo", err) == -1,
       "so is a pipe, without waiting: %s", err);

    put("real", "one");
    ok(symlink("real", "link") == 0, "a link");
    ok(store_read(&s, "link", err) == 1 && s.len == 3
       && memcmp(s.text, "one", 3) == 0, "read through the link");

    (void) stat("real", &before);
    ok(store_write(&s, "three", 5, err) == 0, "replaced");
    ok(lstat("link", &st) == 0 && S_ISLNK(st.st_mode), "the link stays");
    ok(stat("real", &st) == 0 && st.st_size == 5
       && (st.st_mode & 0777) == 0600 && st.st_ino != before.st_ino,
       "what it names is new, and its owner's only");

    fd = store_lock(&s, NULL, &msg, err);
    ok(fd != -1 && stat("real.lock", &st) == 0
       && (st.st_mode & 0777) == 0600, "locked");
    store_unlock(fd);
    store_free(&s);

    ok(unlink("real") == 0 && unlink("real.lock") == 0 && unlink("link") == 0
       && unlink("fifo") == 0 && chdir("/") == 0 && rmdir(dir) == 0,
       "nothing else is left");
}


int
main(void)
{
    test_find();
    test_odd();
    test_hostile();
    test_update();
    test_shared();
    test_store();

    return tap_done();
}
