/*
 * t/agent_place.c: patterns of the configuration, and that nothing below the
 * component with the handle is followed out of place.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/place.h"
#include "agent/veth.h"
#include "t/tap.h"


#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))


static char  dir[64] = "/tmp/agent-place-XXXXXX";


static void __attribute__((noreturn))
bail(const char *what)
{
    perror(what);
    exit(1);
}


static void
patterns(void)
{
    char    text[PLACE_MAX_PATTERN + 2];
    size_t  i;

    static const struct {
        const char  *text;
        int          good;
    } list[] = {
        { "/a/HANDLE", 1 }, { "/HANDLE", 1 }, { "/a/HANDLE/state.json", 1 },
        { "/a/x-HANDLE.json", 1 }, { "/a/..b/HANDLE", 1 },
        { "a/HANDLE", 0 }, { "", 0 }, { "/a", 0 }, { "/a/handle", 0 },
        { "/HANDLE/HANDLE", 0 }, { "/a/../HANDLE", 0 }, { "/./HANDLE", 0 },
        { "/a//HANDLE", 0 }, { "/a/HANDLE/", 0 }, { "/a/HANDLE/..", 0 },
        { "//HANDLE", 0 }
    };

    for (i = 0; i < COUNT(list); i++) {
        ok((place_wrong(list[i].text) == NULL) == list[i].good,
           "pattern: \"%s\" %s", list[i].text,
           list[i].good ? "passes" : "is refused");
    }

    memset(text, 'a', sizeof(text));
    memcpy(text, "/HANDLE", 7);
    text[PLACE_MAX_PATTERN] = '\0';
    ok(place_wrong(text) == NULL, "pattern: the longest");
    text[PLACE_MAX_PATTERN] = 'a';
    text[PLACE_MAX_PATTERN + 1] = '\0';
    ok(place_wrong(text) != NULL, "pattern: one byte more");
}


/* What place_open() says of dir + pattern: the first byte read, or errno. */

static int
look(const char *pattern, const char *handle)
{
    int      fd, rc;
    char     path[PLACE_MAX_PATTERN + 1], *text;
    size_t   len;
    place_t  pl;

    snprintf(path, sizeof(path), "%.64s%.100s", dir, pattern);

    if (place_find(&pl, path, handle) != 0) {
        return -errno;
    }

    fd = place_open(&pl);
    rc = -errno;
    place_close(&pl);

    if (fd == -1) {
        return rc;
    }

    text = place_read(fd, 100, &len);
    rc = text ? (len ? (unsigned char) text[0] : 0) : -errno;
    free(text);
    close(fd);

    return rc;
}


static void
put(const char *name, const char *text)
{
    int   fd;
    char  path[128];

    snprintf(path, sizeof(path), "%.64s/%.50s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd == -1 || write(fd, text, strlen(text)) < 0) {
        bail(path);
    }

    close(fd);
}


static void
make(void)
{
    char  path[128];

    static const char *const  folders[] = {
        "base", "base/one", "base/two", "outside"
    };

    size_t  i;

    if (mkdtemp(dir) == NULL) {
        bail("mkdtemp");
    }

    for (i = 0; i < COUNT(folders); i++) {
        snprintf(path, sizeof(path), "%.64s/%s", dir, folders[i]);

        if (mkdir(path, 0700) != 0) {
            bail(path);
        }
    }

    put("base/plain", "p");
    put("base/one/state", "s");
    put("outside/state", "o");
    put("base/long", "0123456789012345678901234567890123456789012345678901"
        "234567890123456789012345678901234567890123456789");
    put("base/longer", "0123456789012345678901234567890123456789012345678901"
        "2345678901234567890123456789012345678901234567890");

    snprintf(path, sizeof(path), "%.64s/link", dir);

    if (symlink("base", path) != 0) {
        bail(path);
    }

    snprintf(path, sizeof(path), "%.64s/base/away", dir);

    if (symlink("../outside", path) != 0) {
        bail(path);
    }

    snprintf(path, sizeof(path), "%.64s/base/two/state", dir);

    if (symlink("../../outside/state", path) != 0) {
        bail(path);
    }

    snprintf(path, sizeof(path), "%.64s/base/pipe", dir);

    if (mkfifo(path, 0600) != 0) {
        bail(path);
    }
}


static void
places(void)
{
    ok(look("/base/HANDLE", "plain") == 'p', "a file");
    ok(look("/base/HANDLE/state", "one") == 's', "a file in a folder");
    ok(look("/link/HANDLE/state", "one") == 's',
       "the operator's own link is followed");
    ok(look("/base/HANDLE", "nothing") == -ENOENT, "nothing there");
    ok(look("/nothing/HANDLE", "one") == -ENOENT, "no such folder");
    ok(look("/base/HANDLE/state", "nothing") == -ENOENT, "no container");
    ok(look("/base/HANDLE/state", "plain") == -ENOTDIR,
       "a file in place of a folder");
    ok(look("/base/HANDLE/state", "away") == -ENOTDIR,
       "a link in place of the container's folder");
    ok(look("/base/HANDLE", "away") == -ELOOP, "a link in place of a file");
    ok(look("/base/HANDLE/state", "two") == -ELOOP,
       "a link in place of its state");
    ok(look("/base/HANDLE", "one") == -EINVAL, "a folder is not read");
    ok(look("/base/HANDLE", "pipe") == -EINVAL,
       "a pipe neither waits nor is read");
    ok(look("/base/HANDLE", "long") == '0', "the longest file");
    ok(look("/base/HANDLE", "longer") == -EFBIG, "one byte more");
}


/* DeviceNameGenerator.GenerateForHost() of silk */

static void
names(void)
{
    char        name[NET_IFNAME_LEN];
    endpoint_t  ip = { .addr = { 10, 255, 7, 3 }, .addr_len = 4 };

    veth_silk_name(&ip, name);
    ok(strcmp(name, "s-010255007003") == 0, "silk's name of a pair");
    ip.addr_len = 16;
    veth_silk_name(&ip, name);
    ok(name[0] == '\0', "none for IPv6");
}


int
main(void)
{
    char  command[96];

    make();
    patterns();
    places();
    names();

    snprintf(command, sizeof(command), "rm -rf %.64s", dir);
    ok(system(command) == 0, "cleaned up");

    return tap_done();
}
