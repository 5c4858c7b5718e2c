/*
 * t/agent_cstate.c: what the agent takes from the texts that describe a
 * container, and what it refuses: wrong types, wrong owners, duplicates,
 * numbers out of range, cut texts.
 */

#include <stdlib.h>
#include <string.h>

#include "agent/cstate.h"
#include "t/tap.h"


#define HANDLE  "e49f448e-54d2-4c33-61a3-5335"
#define APP     "2a7f6f0c-5a3b-4d0e-9b1c-0123456789ab"

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))

/* As silk-cni writes it, shortened. */
#define ENTRY  "\"" HANDLE "\":{\"handle\":\"" HANDLE "\",\"ip\":" \
    "\"10.255.7.3\",\"ipv6\":\"\",\"metadata\":{\"app_id\":\"" APP "\"," \
    "\"container_workload\":\"app\",\"ports\":\"8080,2222\"}}"

#define OTHER  "\"other\":{\"handle\":\"other\",\"ip\":\"10.255.7.4\"," \
    "\"metadata\":{\"app_id\":\"x\"}}"

/* As runc 1.1.5 writes it, shortened. */
#define STATE(id, pid, start, more)  "{\"id\":\"" id "\"," \
    "\"init_process_pid\":" pid ",\"init_process_start\":" start more "}"

#define PATHS  ",\"namespace_paths\":{\"NEWNET\":\"/proc/12/ns/net\"," \
    "\"NEWPID\":\"/proc/12/ns/pid\"}"

typedef struct {
    const char  *name;
    const char  *text;
    cstate_t     want;
} text_t;


/* A copy of exactly the right size, so that a sanitizer sees all. */

static char *
copy(const char *text, size_t len)
{
    char  *p;

    p = malloc(len ? len : 1);
    memcpy(p, text, len);

    return p;
}


static cstate_t
owner_of(const char *text, size_t len, cstate_owner_t *owner)
{
    char      *p;
    cstate_t   rc;

    p = copy(text, len);
    rc = cstate_owner(p, len, HANDLE, owner);
    free(p);

    return rc;
}


static void
owners(void)
{
    size_t          i;
    cstate_owner_t  owner;

    static const text_t  texts[] = {
        { "an empty file", "", CSTATE_NONE },
        { "an empty store", "{}", CSTATE_NONE },
        { "others alone", "{" OTHER "}", CSTATE_NONE },
        { "no JSON", "{", CSTATE_BAD },
        { "an array", "[]", CSTATE_BAD },
        { "a cut store", "{" OTHER "," ENTRY, CSTATE_BAD },
        { "text behind the end", "{" ENTRY "} x", CSTATE_BAD },
        { "a handle twice", "{" ENTRY "," ENTRY "}", CSTATE_BAD },
        { "an entry that is null", "{\"" HANDLE "\":null}", CSTATE_BAD },
        { "an entry under a wrong handle", "{\"" HANDLE "\":{\"handle\":"
          "\"other\",\"metadata\":{\"app_id\":\"" APP "\"}}}", CSTATE_BAD },
        { "no metadata", "{\"" HANDLE "\":{\"handle\":\"" HANDLE "\"}}",
          CSTATE_BAD },
        { "no app", "{\"" HANDLE "\":{\"handle\":\"" HANDLE
          "\",\"metadata\":{}}}", CSTATE_BAD },
        { "an app that is a number", "{\"" HANDLE "\":{\"handle\":\"" HANDLE
          "\",\"metadata\":{\"app_id\":1}}}", CSTATE_BAD },
        { "an app that is no guid", "{\"" HANDLE "\":{\"handle\":\"" HANDLE
          "\",\"metadata\":{\"app_id\":\"../x\"}}}", CSTATE_BAD },
        { "an app twice", "{\"" HANDLE "\":{\"handle\":\"" HANDLE
          "\",\"metadata\":{\"app_id\":\"a\",\"app_id\":\"b\"}}}",
          CSTATE_BAD },
        { "a NUL in the app", "{\"" HANDLE "\":{\"handle\":\"" HANDLE
          "\",\"metadata\":{\"app_id\":\"a\\u0000b\"}}}", CSTATE_BAD },
        { "an address that is a name", "{\"" HANDLE "\":{\"handle\":\""
          HANDLE "\",\"ip\":\"host\",\"metadata\":{\"app_id\":\"a\"}}}",
          CSTATE_BAD },
        { "no address", "{\"" HANDLE "\":{\"handle\":\"" HANDLE
          "\",\"metadata\":{\"app_id\":\"a\"}}}", CSTATE_OK },
    };

    for (i = 0; i < COUNT(texts); i++) {
        ok(owner_of(texts[i].text, strlen(texts[i].text), &owner)
           == texts[i].want, "store: %s", texts[i].name);
    }

    ok(owner_of("{" OTHER "," ENTRY "}", sizeof("{" OTHER "," ENTRY "}") - 1,
                &owner) == CSTATE_OK
       && strcmp(owner.app, APP) == 0 && owner.ip.addr_len == 4
       && memcmp(owner.ip.addr, "\x0a\xff\x07\x03", 4) == 0,
       "store: app and address");
}


static void
states(void)
{
    char           *p;
    size_t          i, len;
    cstate_t        rc;
    cstate_init_t   init;

    static const text_t  texts[] = {
        { "a file just made", "", CSTATE_NONE },
        { "a good one", STATE(HANDLE, "12", "2654705", PATHS), CSTATE_OK },
        { "no process any more", STATE(HANDLE, "0", "0", PATHS),
          CSTATE_NONE },
        { "the machine's network", STATE(HANDLE, "12", "1", ""),
          CSTATE_NONE },
        { "the machine's network, other namespaces", STATE(HANDLE, "12", "1",
          ",\"namespace_paths\":{\"NEWPID\":\"/proc/12/ns/pid\"}"),
          CSTATE_NONE },
        { "another container", STATE("other", "12", "1", PATHS),
          CSTATE_BAD },
        { "no id", "{\"init_process_pid\":12,\"init_process_start\":1"
          PATHS "}", CSTATE_BAD },
        { "no process id", "{\"id\":\"" HANDLE "\",\"init_process_start\":1"
          PATHS "}", CSTATE_BAD },
        { "no start time", "{\"id\":\"" HANDLE "\",\"init_process_pid\":12"
          PATHS "}", CSTATE_BAD },
        { "start time 0", STATE(HANDLE, "12", "0", PATHS), CSTATE_BAD },
        { "process 0", STATE(HANDLE, "0", "1", PATHS), CSTATE_BAD },
        { "process 1", STATE(HANDLE, "1", "1", PATHS), CSTATE_BAD },
        { "process -1", STATE(HANDLE, "-1", "1", PATHS), CSTATE_BAD },
        { "process 2^32 + 12", STATE(HANDLE, "4294967308", "1", PATHS),
          CSTATE_BAD },
        { "process 2^64 + 12", STATE(HANDLE, "18446744073709551628", "1",
          PATHS), CSTATE_BAD },
        { "process as text", STATE(HANDLE, "\"12\"", "1", PATHS),
          CSTATE_BAD },
        { "process 12.5", STATE(HANDLE, "12.5", "1", PATHS), CSTATE_BAD },
        { "process twice", STATE(HANDLE, "12", "1",
          ",\"init_process_pid\":13" PATHS), CSTATE_BAD },
        { "no JSON", "12", CSTATE_BAD },
    };

    for (i = 0; i < COUNT(texts); i++) {
        len = strlen(texts[i].text);
        p = copy(texts[i].text, len);
        memset(&init, 0, sizeof(init));
        rc = cstate_runc(p, len, HANDLE, &init);
        ok(rc == texts[i].want, "state.json: %s", texts[i].name);
        free(p);

        if (rc == CSTATE_OK) {
            ok(init.pid == 12 && init.start == 2654705,
               "state.json: process and start time");
        }
    }
}


static void
pids(void)
{
    char           *p;
    size_t          i, len;
    cstate_init_t   init;

    static const text_t  texts[] = {
        { "12", "12", CSTATE_OK }, { "a line", "12\n", CSTATE_OK },
        { "nothing", "", CSTATE_NONE }, { "blank", "\n", CSTATE_NONE },
        { "0", "0", CSTATE_BAD }, { "1", "1", CSTATE_BAD },
        { "too large", "4194305", CSTATE_BAD },
        { "far too large", "99999999999999999999", CSTATE_BAD },
        { "negative", "-12", CSTATE_BAD }, { "a path", "12/../1", CSTATE_BAD },
        { "two lines", "12\n13\n", CSTATE_BAD }, { "hex", "0x12", CSTATE_BAD }
    };

    for (i = 0; i < COUNT(texts); i++) {
        len = strlen(texts[i].text);
        p = copy(texts[i].text, len);
        init.start = 1;
        ok(cstate_pid(p, len, &init) == texts[i].want
           && (texts[i].want != CSTATE_OK
               || (init.pid == 12 && init.start == 0)), "init.pid: %s",
           texts[i].name);
        free(p);
    }
}


/* proc(5); the name of the process tries to look like the rest. */

static void
starts(void)
{
    char      *p;
    size_t     i, len;
    cstate_t   rc;
    uint64_t   start;

    static const text_t  texts[] = {
        { "a process", "12 (sleep) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 "
          "20 0 1 0 2654705 2891776 211 0\n", CSTATE_OK },
        { "a name with blanks and brackets", "12 (a) R 1 (b) S 1 12 12 0 -1 "
          "4194560 1 0 0 0 0 0 0 0 20 0 1 0 2654705 2891776\n", CSTATE_OK },
        { "nothing behind it", "12 (a) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 "
          "0 20 0 1 0 2654705", CSTATE_OK },
        { "a zombie", "12 (sleep) Z 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 "
          "0 1 0 2654705 0 0 0\n", CSTATE_NONE },
        { "cut", "12 (sleep) S 1 12 12 0 -1 4194560", CSTATE_BAD },
        { "cut behind the name", "12 (sleep)", CSTATE_BAD },
        { "no name", "12 sleep S 1", CSTATE_BAD },
        { "nothing", "", CSTATE_BAD },
        { "no number", "12 (sleep) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 "
          "20 0 1 0 x 2891776 211 0\n", CSTATE_BAD }
    };

    for (i = 0; i < COUNT(texts); i++) {
        len = strlen(texts[i].text);
        p = copy(texts[i].text, len);
        start = 0;
        rc = cstate_started(p, len, &start);
        ok(rc == texts[i].want && (rc != CSTATE_OK || start == 2654705),
           "stat: %s", texts[i].name);
        free(p);
    }
}


static void
cgroups(void)
{
    char    *p;
    size_t   i, len;

    static const text_t  texts[] = {
        { "version 1", "4:memory:/garden/" HANDLE "\n1:cpu:/\n", CSTATE_OK },
        { "version 2", "0::/garden/" HANDLE, CSTATE_OK },
        { "a group below", "0::/garden/" HANDLE "/init\n", CSTATE_OK },
        { "systemd", "0::/kubepods.slice/cri-containerd-" HANDLE ".scope\n",
          CSTATE_OK },
        { "none", "0::/\n", CSTATE_NONE },
        { "nothing", "", CSTATE_NONE },
        { "another", "0::/garden/other\n", CSTATE_NONE },
        { "a longer one", "0::/garden/" HANDLE "0\n", CSTATE_NONE },
        { "a longer one before", "0::/garden/0" HANDLE "\n", CSTATE_NONE },
        { "as a controller", HANDLE "::/\n", CSTATE_NONE },
        { "a scope of another", "0::/x" HANDLE ".scope\n", CSTATE_NONE },
        { "a bare scope", "0::/" HANDLE ".scope\n", CSTATE_NONE }
    };

    for (i = 0; i < COUNT(texts); i++) {
        len = strlen(texts[i].text);
        p = copy(texts[i].text, len);
        ok(cstate_in_cgroup(p, len, HANDLE) == texts[i].want, "cgroup: %s",
           texts[i].name);
        free(p);
    }
}


int
main(void)
{
    owners();
    states();
    pids();
    starts();
    cgroups();

    return tap_done();
}
