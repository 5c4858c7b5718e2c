/*
 * t/agent_cri.c: what containerd and CRI-O leave of a pod, and everything
 * that can lie there instead: of other pods, of a pod that is dead, in place
 * of a file. Whose words count, and which of several sandboxes. Needs root,
 * for namespaces of its own.
 */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/container.h"
#include "agent/cri.h"
#include "agent/privs.h"
#include "t/tap.h"


#define UID_1   "4fe556a4-0bd7-45be-966f-46e2cbf4c4ac"
#define UID_2   "4fe556a4-0bd7-45be-966f-46e2cbf4c4ad"
#define SB_1    "08880aefad635b5735451d8e933536ca"                             \
                "4d715378f3bd94cd35bc8cab77884095"
#define SB_2    "18880aefad635b5735451d8e933536ca"                             \
                "4d715378f3bd94cd35bc8cab77884095"

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))

/* As containerd 1.6.20 and CRI-O 1.30 write it, shortened. */

#define CONTAINERD(type, uid, ns, name, list)                                \
    "{\"ociVersion\":\"1.0.2\",\"annotations\":{"                            \
    "\"io.kubernetes.cri.container-type\":" type ","                         \
    "\"io.kubernetes.cri.sandbox-id\":\"" SB_1 "\","                         \
    "\"io.kubernetes.cri.sandbox-name\":" name ","                           \
    "\"io.kubernetes.cri.sandbox-namespace\":" ns ","                        \
    "\"io.kubernetes.cri.sandbox-uid\":" uid "},"                            \
    "\"linux\":{\"namespaces\":" list "}}"

#define CRIO(type, uid, ns, name, list)                                      \
    "{\"ociVersion\":\"1.0.2\",\"annotations\":{"                            \
    "\"io.kubernetes.cri-o.ContainerType\":" type ","                        \
    "\"io.kubernetes.cri-o.Labels\":\"{\\\"x\\\":\\\"" UID_2 "\\\"}\","      \
    "\"io.kubernetes.pod.name\":" name ","                                   \
    "\"io.kubernetes.pod.namespace\":" ns ","                                \
    "\"io.kubernetes.pod.uid\":" uid "},"                                    \
    "\"linux\":{\"namespaces\":" list "}}"

#define NET(path)  "{\"type\":\"network\",\"path\":" path "}"
#define LIST(item) "[{\"type\":\"pid\"},{\"type\":\"ipc\"}," item "]"
#define NODE       "[{\"type\":\"pid\"},{\"type\":\"ipc\"}]"
#define GOOD       LIST(NET("\"/var/run/netns/cni-1\""))

#define Q(text)    "\"" text "\""

typedef struct {
    const char  *name;
    const char  *text;
    cstate_t     want;
    const char  *netns;
} text_t;

/* Everything of a test; dir is a file system of its own that nobody else
 * sees. */

typedef struct {
    char        dir[32];
    char        state[48];
    char        netns[48];
    conf_t      conf;
    log_t       log;
    request_t   req;
    problem_t   why;
} lab_t;


static void __attribute__((noreturn))
die(const char *what)
{
    perror(what);
    exit(1);
}


/* --- texts --------------------------------------------------------------- */

/* A copy of exactly the right size, so that a sanitizer sees all. */

static cstate_t
look(conf_cri_t runtime, const char *text, const cri_pod_t *pod, char *netns)
{
    char      *p;
    size_t     len;
    cstate_t   rc;

    len = strlen(text);
    p = malloc(len ? len : 1);
    memcpy(p, text, len);
    rc = cri_sandbox(runtime, p, len, pod, netns);
    free(p);

    return rc;
}


static void
texts(void)
{
    size_t     i;
    char       netns[CRI_MAX_NETNS + 1];
    cstate_t   rc;

    static const cri_pod_t  pod = { UID_1, "", "" };

    static const text_t  list[] = {
        { "a sandbox", CONTAINERD("\"sandbox\"", Q(UID_1), Q("ns"), Q("web"),
          GOOD), CSTATE_OK, "cni-1" },
        { "of the node", CONTAINERD("\"sandbox\"", Q(UID_1), Q("ns"),
          Q("web"), NODE), CSTATE_OK, "" },
        { "a container", CONTAINERD("\"container\"", Q(UID_1), Q("ns"),
          Q("web"), LIST(NET("\"/proc/12/ns/net\""))), CSTATE_NONE, "" },
        { "another pod", CONTAINERD("\"sandbox\"", Q(UID_2), Q("ns"),
          Q("web"), GOOD), CSTATE_NONE, "" },
        { "a uid that is longer", CONTAINERD("\"sandbox\"", Q(UID_1 "0"),
          Q("ns"), Q("web"), GOOD), CSTATE_NONE, "" },
        { "a uid behind another", CONTAINERD("\"sandbox\"", Q("0" UID_1),
          Q("ns"), Q("web"), GOOD), CSTATE_NONE, "" },
        { "the uid as a name", CONTAINERD("\"sandbox\"", Q(UID_2), Q("ns"),
          Q(UID_1), GOOD), CSTATE_NONE, "" },
        { "a uid with a NUL", CONTAINERD("\"sandbox\"", Q(UID_1 "\\u0000x"),
          Q("ns"), Q("web"), GOOD), CSTATE_BAD, "" },
        { "a list for the uid", CONTAINERD("\"sandbox\"", "[" Q(UID_1) "]",
          Q("ns"), Q("web"), GOOD), CSTATE_NONE, "" },
        { "a number for the type", CONTAINERD("1", Q(UID_1), Q("ns"),
          Q("web"), GOOD), CSTATE_NONE, "" },
        { "an empty file", "", CSTATE_NONE, "" },
        { "no JSON", UID_1, CSTATE_BAD, "" },
        { "a list", "[" Q(UID_1) "]", CSTATE_NONE, "" },
        { "annotations that are a list", "{\"annotations\":[" Q(UID_1) "]}",
          CSTATE_NONE, "" },
        { "a key twice", "{\"annotations\":{\"a\":" Q(UID_1) ",\"a\":1}}",
          CSTATE_BAD, "" },
        { "text behind the end", CONTAINERD("\"sandbox\"", Q(UID_1), Q("ns"),
          Q("web"), GOOD) "}", CSTATE_BAD, "" },
        { "namespaces that are an object", CONTAINERD("\"sandbox\"",
          Q(UID_1), Q("ns"), Q("web"), "{}"), CSTATE_BAD, "" },
        { "a namespace that is a text", CONTAINERD("\"sandbox\"", Q(UID_1),
          Q("ns"), Q("web"), "[\"network\"]"), CSTATE_BAD, "" },
        { "a namespace without a type", CONTAINERD("\"sandbox\"", Q(UID_1),
          Q("ns"), Q("web"), "[{\"path\":\"/x/y\"}]"), CSTATE_BAD, "" },
        { "a good namespace, and one without a type",
          CONTAINERD("\"sandbox\"", Q(UID_1), Q("ns"), Q("web"),
          LIST(NET("\"/n/a\"") ",{\"path\":\"/x/y\"}")), CSTATE_BAD, "" },
        { "two network namespaces", CONTAINERD("\"sandbox\"", Q(UID_1),
          Q("ns"), Q("web"), LIST(NET("\"/n/a\"") "," NET("\"/n/b\""))),
          CSTATE_BAD, "" },
        { "no path", CONTAINERD("\"sandbox\"", Q(UID_1), Q("ns"), Q("web"),
          LIST("{\"type\":\"network\"}")), CSTATE_BAD, "" },
        { "an empty path", CONTAINERD("\"sandbox\"", Q(UID_1), Q("ns"),
          Q("web"), LIST(NET("\"\""))), CSTATE_BAD, "" },
        { "a path that is a number", CONTAINERD("\"sandbox\"", Q(UID_1),
          Q("ns"), Q("web"), LIST(NET("1"))), CSTATE_BAD, "" },
        { "a path that is relative", CONTAINERD("\"sandbox\"", Q(UID_1),
          Q("ns"), Q("web"), LIST(NET("\"run/netns/x\""))), CSTATE_BAD, "" },
        { "the number of a process", CONTAINERD("\"sandbox\"", Q(UID_1),
          Q("ns"), Q("web"), LIST(NET("\"/proc/12/ns/net\""))), CSTATE_BAD,
          "" },
        { "a path that ends in ..", CONTAINERD("\"sandbox\"", Q(UID_1),
          Q("ns"), Q("web"), LIST(NET("\"/run/netns/..\""))), CSTATE_BAD,
          "" },
        { "a path that ends in a slash", CONTAINERD("\"sandbox\"", Q(UID_1),
          Q("ns"), Q("web"), LIST(NET("\"/run/netns/\""))), CSTATE_BAD, "" },
        { "a name with a blank", CONTAINERD("\"sandbox\"", Q(UID_1), Q("ns"),
          Q("web"), LIST(NET("\"/run/netns/a b\""))), CSTATE_BAD, "" }
    };

    for (i = 0; i < COUNT(list); i++) {
        rc = look(CONF_CRI_CONTAINERD, list[i].text, &pod, netns);
        ok(rc == list[i].want && strcmp(netns, list[i].netns) == 0,
           "text: %s", list[i].name);
    }
}


static void
runtimes(void)
{
    char  netns[CRI_MAX_NETNS + 1], text[2048], name[CRI_MAX_NETNS + 2];

    static const cri_pod_t  pod = { UID_1, "ns", "web" };
    static const cri_pod_t  other_space = { UID_1, "n", "web" };
    static const cri_pod_t  other_name = { UID_1, "ns", "web-1" };
    static const cri_pod_t  mentioned = { UID_2, "", "" };

    static const char  crio[] = CRIO("\"sandbox\"", Q(UID_1), Q("ns"),
                                     Q("web"), GOOD);
    static const char  ctd[] = CONTAINERD("\"sandbox\"", Q(UID_1), Q("ns"),
                                          Q("web"), GOOD);

    ok(look(CONF_CRI_CRIO, crio, &pod, netns) == CSTATE_OK
       && strcmp(netns, "cni-1") == 0, "CRI-O: a sandbox");
    ok(look(CONF_CRI_CRIO, crio, &other_space, netns) == CSTATE_NONE,
       "CRI-O: of another namespace");
    ok(look(CONF_CRI_CRIO, crio, &other_name, netns) == CSTATE_NONE,
       "CRI-O: of another name");
    ok(look(CONF_CRI_CRIO, crio, &mentioned, netns) == CSTATE_NONE,
       "CRI-O: a uid in the words of a user");
    ok(look(CONF_CRI_CRIO, CRIO("\"container\"", Q(UID_1), Q("ns"), Q("web"),
                                GOOD), &pod, netns)
       == CSTATE_NONE, "CRI-O: a container");
    ok(look(CONF_CRI_CONTAINERD, ctd, &pod, netns) == CSTATE_OK,
       "containerd: namespace and name as well");
    ok(look(CONF_CRI_CONTAINERD, ctd, &other_space, netns) == CSTATE_NONE,
       "containerd: of another namespace");
    ok(look(CONF_CRI_CONTAINERD, ctd, &other_name, netns) == CSTATE_NONE,
       "containerd: of another name");
    ok(look(CONF_CRI_CONTAINERD, crio, &pod, netns) == CSTATE_NONE
       && look(CONF_CRI_CRIO, ctd, &pod, netns) == CSTATE_NONE,
       "the words of one runtime are none of the other's");

    memset(name, 'x', sizeof(name));
    name[CRI_MAX_NETNS] = '\0';
    snprintf(text, sizeof(text), CONTAINERD("\"sandbox\"", Q(UID_1), Q("ns"),
             Q("web"), LIST(NET("\"/n/%s\""))), name);
    ok(look(CONF_CRI_CONTAINERD, text, &pod, netns) == CSTATE_OK
       && strcmp(netns, name) == 0, "the longest name");
    name[CRI_MAX_NETNS] = 'x';
    name[CRI_MAX_NETNS + 1] = '\0';
    snprintf(text, sizeof(text), CONTAINERD("\"sandbox\"", Q(UID_1), Q("ns"),
             Q("web"), LIST(NET("\"/n/%s\""))), name);
    ok(look(CONF_CRI_CONTAINERD, text, &pod, netns) == CSTATE_BAD,
       "one byte more");
}


/* --- folders ------------------------------------------------------------- */

/* Below the lab's folder; in a static buffer. */

static const char *
at(const lab_t *lab, const char *name)
{
    static char  path[256];

    snprintf(path, sizeof(path), "%.31s/%.200s", lab->dir, name);

    return path;
}


static void
put(const lab_t *lab, const char *name, const char *text)
{
    int   fd;

    fd = open(at(lab, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd == -1 || write(fd, text, strlen(text)) < 0) {
        die(at(lab, name));
    }

    close(fd);
}


static void
folder(const lab_t *lab, const char *name)
{
    if (mkdir(at(lab, name), 0700) != 0) {
        die(at(lab, name));
    }
}


static void
wipe(const lab_t *lab, const char *name)
{
    char  command[300];

    snprintf(command, sizeof(command), "rm -rf %.200s", at(lab, name));

    if (system(command) != 0) {
        die(command);
    }
}


/* The sandbox id of pod uid, made so many seconds after the beginning. */

static void
sandbox(const lab_t *lab, const char *id, const char *uid, const char *list,
    time_t made)
{
    char             text[2048], name[160];
    struct timespec  ts[2];

    snprintf(name, sizeof(name), "state/%s", id);
    folder(lab, name);

    if (lab->conf.cri == CONF_CRI_CRIO) {
        snprintf(name, sizeof(name), "state/%s/userdata", id);
        folder(lab, name);
        snprintf(text, sizeof(text), CRIO("\"sandbox\"", "\"%s\"", Q("ns"),
                 Q("web"), "%s"), uid, list);
        snprintf(name, sizeof(name), "state/%s/userdata/config.json", id);

    } else {
        snprintf(text, sizeof(text), CONTAINERD("\"sandbox\"", "\"%s\"",
                 Q("ns"), Q("web"), "%s"), uid, list);
        snprintf(name, sizeof(name), "state/%s/config.json", id);
    }

    put(lab, name, text);
    memset(ts, 0, sizeof(ts));
    ts[0].tv_sec = ts[1].tv_sec = 1700000000 + made;

    if (utimensat(AT_FDCWD, at(lab, name), ts, 0) != 0) {
        die(name);
    }
}


/* A process in a network namespace of its own, until it is killed. */

static pid_t
process(void)
{
    int    fd[2];
    char   c;
    pid_t  pid;

    if (pipe(fd) != 0 || (pid = fork()) == -1) {
        die("fork");
    }

    if (pid == 0) {
        if (unshare(CLONE_NEWNET) != 0 || write(fd[1], "", 1) != 1) {
            _exit(1);
        }

        for ( ;; ) {
            pause();
        }
    }

    close(fd[1]);

    if (read(fd[0], &c, 1) != 1) {
        die("unshare");
    }

    close(fd[0]);

    return pid;
}


static void
finish(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}


/* Mounts a namespace of a process as CNI's runtimes do. */

static void
bind_to(const lab_t *lab, const char *name, const char *pid,
    const char *kind)
{
    char  from[64], to[96];

    snprintf(from, sizeof(from), "/proc/%s/ns/%s", pid, kind);
    snprintf(to, sizeof(to), "netns/%s", name);
    (void) umount2(at(lab, to), MNT_DETACH);
    put(lab, to, "");

    if (mount(from, at(lab, to), "none", MS_BIND, NULL) != 0) {
        die(to);
    }
}


static void
unbind(const lab_t *lab, const char *name)
{
    char  to[96];

    snprintf(to, sizeof(to), "netns/%s", name);
    (void) umount2(at(lab, to), MNT_DETACH);
    unlink(at(lab, to));
}


static void
number(pid_t pid, char text[16])
{
    snprintf(text, 16, "%d", (int) pid);
}


/* The agent lowers what it has raised; this test needs it all the time. */

static int
find(lab_t *lab, container_t *ct)
{
    int  rc;

    memset(&lab->why, 0, sizeof(lab->why));
    container_init(ct, &lab->conf, &lab->req, &lab->log);
    rc = container_find(ct, &lab->why);

    return privs_raise(~0u) == 0 ? rc : -1;
}


static int
confirm(lab_t *lab, const container_t *ct)
{
    int  rc;

    rc = container_confirm(ct, &lab->why);

    return privs_raise(~0u) == 0 ? rc : -1;
}


/* The status that the pod is refused with, 0 when it is found and its
 * namespace is that of process pid (0: any). */

static int
status(lab_t *lab, pid_t pid)
{
    int            rc;
    char           path[40];
    struct stat    st;
    container_t    ct;

    rc = find(lab, &ct) == 0 ? 0 : lab->why.status;

    if (rc == 0 && pid) {
        snprintf(path, sizeof(path), "/proc/%d/ns/net", (int) pid);
        rc = stat(path, &st) == 0 && st.st_ino == ct.id.ino ? 0 : 1;
    }

    if (rc && (ct.ns != -1 || strncmp(lab->why.detail, "pod: ", 5) != 0)) {
        rc = 2;
    }

    container_close(&ct);

    return rc;
}


static void
ask(lab_t *lab, const char *uid, const char *space, const char *name)
{
    snprintf(lab->req.pod, sizeof(lab->req.pod), "%s", uid);
    snprintf(lab->req.pod_namespace, sizeof(lab->req.pod_namespace), "%s",
             space);
    snprintf(lab->req.pod_name, sizeof(lab->req.pod_name), "%s", name);
}


static void
found(lab_t *lab, const char *runtime)
{
    char   text[16];
    pid_t  one, two;

    one = process();
    two = process();
    ask(lab, UID_1, "", "");

    ok(status(lab, 0) == 404, "%s: nothing there", runtime);

    sandbox(lab, SB_1, UID_1, GOOD, 1);
    ok(status(lab, 0) == 409, "%s: without its namespace", runtime);
    put(lab, "netns/cni-1", "");
    ok(status(lab, 0) == 409, "%s: the mount is not there yet", runtime);
    number(one, text);
    bind_to(lab, "cni-1", text, "net");
    ok(status(lab, one) == 0, "%s: found", runtime);

    ask(lab, UID_1, "ns", "web");
    ok(status(lab, one) == 0, "%s: by namespace and name, too", runtime);
    ask(lab, UID_1, "other", "");
    ok(status(lab, 0) == 404, "%s: of another namespace", runtime);
    ask(lab, UID_1, "", "other");
    ok(status(lab, 0) == 404, "%s: of another name", runtime);
    ask(lab, "4fe556a4", "", "");
    ok(status(lab, 0) == 404, "%s: the beginning of a uid", runtime);
    ask(lab, UID_1 "-1", "", "");
    ok(status(lab, 0) == 404, "%s: more than a uid", runtime);
    ask(lab, UID_2, "", "");
    ok(status(lab, 0) == 404, "%s: another uid", runtime);
    ask(lab, UID_1, "", "");

    /* Restarted: the newest that lives. */

    sandbox(lab, SB_2, UID_1, LIST(NET("\"/var/run/netns/cni-2\"")), 2);
    ok(status(lab, one) == 0, "%s: the newer one has died", runtime);
    number(two, text);
    bind_to(lab, "cni-2", text, "net");
    ok(status(lab, two) == 0, "%s: the newer one lives", runtime);
    unbind(lab, "cni-1");
    ok(status(lab, two) == 0, "%s: and it alone", runtime);
    unbind(lab, "cni-2");
    ok(status(lab, 0) == 409, "%s: none lives", runtime);

    wipe(lab, "state/" SB_1);
    wipe(lab, "state/" SB_2);
    finish(one);
    finish(two);
}


static void
of_node(lab_t *lab)
{
    sandbox(lab, SB_1, UID_1, NODE, 1);
    ok(status(lab, 0) == 403 && strstr(lab->why.detail, "hostNetwork"),
       "node: hostNetwork");
    wipe(lab, "state/" SB_1);

    sandbox(lab, SB_1, UID_1, GOOD, 1);
    bind_to(lab, "cni-1", "self", "net");
    ok(status(lab, 0) == 403, "node: the agent's own namespace");
    bind_to(lab, "cni-1", "1", "net");
    ok(status(lab, 0) == 403, "node: that of process 1");
    unbind(lab, "cni-1");
    wipe(lab, "state/" SB_1);
}


static void
in_place(lab_t *lab)
{
    char   text[16];
    pid_t  one;

    one = process();
    number(one, text);
    sandbox(lab, SB_1, UID_1, GOOD, 1);
    bind_to(lab, "real", text, "net");

    if (symlink("real", at(lab, "netns/cni-1")) != 0) {
        die("symlink");
    }

    ok(status(lab, 0) == 500, "mount: a link to another");
    unlink(at(lab, "netns/cni-1"));
    put(lab, "netns/cni-1", "x");
    ok(status(lab, 0) == 500, "mount: a file");
    unlink(at(lab, "netns/cni-1"));

    if (mkfifo(at(lab, "netns/cni-1"), 0600) != 0) {
        die("mkfifo");
    }

    ok(status(lab, 0) == 500, "mount: a pipe");
    unlink(at(lab, "netns/cni-1"));
    folder(lab, "netns/cni-1");
    ok(status(lab, 0) == 500, "mount: a folder");
    rmdir(at(lab, "netns/cni-1"));
    bind_to(lab, "cni-1", text, "uts");
    ok(status(lab, 0) == 500, "mount: another kind of namespace");
    unbind(lab, "cni-1");
    unbind(lab, "real");
    wipe(lab, "state/" SB_1);
    finish(one);
}


/* The text of the pod, in a place that is not to be read. */

static void
hidden(const lab_t *lab)
{
    char  text[2048];

    snprintf(text, sizeof(text), "%s", CONTAINERD("\"sandbox\"", Q(UID_1),
             Q("ns"), Q("web"), GOOD));
    folder(lab, "hidden");
    put(lab, "hidden/config.json", text);
}


static void
large(const lab_t *lab, const char *name, off_t size)
{
    put(lab, name, Q(UID_1));

    if (truncate(at(lab, name), size) != 0) {
        die(name);
    }
}


static void
hostile(lab_t *lab)
{
    char    deep[8192], text[16];
    pid_t   one;
    size_t  n;

    one = process();
    number(one, text);
    bind_to(lab, "cni-1", text, "net");
    hidden(lab);

    if (symlink("../hidden", at(lab, "state/a-link")) != 0) {
        die("symlink");
    }

    ok(status(lab, 0) == 404, "state: a link to a folder");

    folder(lab, "state/b-link");

    if (symlink("../../hidden/config.json", at(lab, "state/b-link/config.json"))
        != 0)
    {
        die("symlink");
    }

    ok(status(lab, 0) == 404, "state: a link to a file");

    put(lab, "state/c-file", Q(UID_1));
    ok(status(lab, 0) == 404, "state: a file in place of a folder");
    folder(lab, "state/d-empty");
    ok(status(lab, 0) == 404, "state: an empty folder");
    folder(lab, "state/e-folder");
    folder(lab, "state/e-folder/config.json");
    ok(status(lab, 0) == 404, "state: a folder in place of a file");
    folder(lab, "state/f-pipe");

    if (mkfifo(at(lab, "state/f-pipe/config.json"), 0600) != 0) {
        die("mkfifo");
    }

    ok(status(lab, 0) == 404, "state: a pipe");
    folder(lab, "state/g-large");
    large(lab, "state/g-large/config.json",
          cri_max_state(CONF_CRI_CONTAINERD) + 1);
    ok(status(lab, 0) == 404, "state: a file that is too long");
    folder(lab, "state/.h-hidden");
    put(lab, "state/.h-hidden/config.json", CONTAINERD("\"sandbox\"",
        Q(UID_1), Q("ns"), Q("web"), GOOD));
    ok(status(lab, 0) == 404, "state: one that is being removed");

    n = (size_t) snprintf(deep, sizeof(deep), "{\"a\":" Q(UID_1) ",\"b\":");
    memset(deep + n, '[', 3000);
    memset(deep + n + 3000, ']', 3000);
    deep[n + 6000] = '}';
    deep[n + 6001] = '\0';
    folder(lab, "state/i-deep");
    put(lab, "state/i-deep/config.json", deep);
    ok(status(lab, 0) == 500, "state: JSON that is too deep");
    folder(lab, "state/j-cut");
    put(lab, "state/j-cut/config.json", "{\"annotations\":{" Q(UID_1));
    ok(status(lab, 0) == 500, "state: a file that was cut");

    sandbox(lab, SB_1, UID_1, GOOD, 1);
    ok(status(lab, one) == 0, "state: none of this hides the pod");

    unbind(lab, "cni-1");
    wipe(lab, "state");
    folder(lab, "state");
    wipe(lab, "hidden");
    finish(one);
}


/* Files of CRI-O that are as long as they may be, by other ones' words. */

static void
heavy(const lab_t *lab, unsigned from, unsigned to)
{
    char      name[64];
    unsigned  i;

    for (i = from; i < to; i++) {
        snprintf(name, sizeof(name), "state/%u", i);
        folder(lab, name);
        snprintf(name, sizeof(name), "state/%u/userdata", i);
        folder(lab, name);
        snprintf(name, sizeof(name), "state/%u/userdata/config.json", i);
        large(lab, name, cri_max_state(CONF_CRI_CRIO));
    }
}


static void
many(lab_t *lab)
{
    char      name[64], text[16];
    pid_t     one;
    unsigned  i;

    one = process();
    number(one, text);
    bind_to(lab, "cni-1", text, "net");

    lab->conf.cri = CONF_CRI_CRIO;
    sandbox(lab, SB_1, UID_1, GOOD, 1);
    heavy(lab, 0, 511);
    ok(status(lab, one) == 0, "many: 2044 MiB");
    heavy(lab, 511, 513);
    ok(status(lab, 0) == 500, "many: 2052 MiB");
    lab->conf.cri = CONF_CRI_CONTAINERD;

    wipe(lab, "state");
    folder(lab, "state");
    sandbox(lab, SB_1, UID_1, GOOD, 1);

    for (i = 1; i < 8192; i++) {
        snprintf(name, sizeof(name), "state/%u", i);
        folder(lab, name);
    }

    ok(status(lab, one) == 0, "many: 8192 entries");
    folder(lab, "state/one-more");
    ok(status(lab, 0) == 500, "many: one more");

    wipe(lab, "state");
    ok(status(lab, 0) == 500, "no state folder");
    folder(lab, "state");

    /* More sandboxes of one pod than are looked at: the newest are. (tmpfs
     * lists what was made first at last.) */

    for (i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "sb-%u", i);
        sandbox(lab, name, UID_1, i == 0 ? GOOD
                : LIST(NET("\"/n/gone\"")), i == 0 ? 50 : (time_t) i);
    }

    ok(status(lab, one) == 0, "many: the newest of twelve");

    unbind(lab, "cni-1");
    wipe(lab, "state");
    folder(lab, "state");
    finish(one);
}


static void
replaced(lab_t *lab)
{
    char          text[16];
    pid_t         one, two;
    container_t   ct;

    one = process();
    two = process();
    number(one, text);
    bind_to(lab, "cni-1", text, "net");
    sandbox(lab, SB_1, UID_1, GOOD, 1);

    ok(find(lab, &ct) == 0 && ct.ns != -1 && ct.watch != -1 && ct.inside,
       "replaced: found");
    ok(confirm(lab, &ct) == 0, "replaced: the same");

    number(two, text);
    bind_to(lab, "cni-2", text, "net");
    sandbox(lab, SB_2, UID_1, LIST(NET("\"/var/run/netns/cni-2\"")), 2);
    ok(confirm(lab, &ct) == -1 && lab->why.status == 404,
       "replaced: by a newer sandbox");
    wipe(lab, "state/" SB_2);
    unbind(lab, "cni-2");
    ok(container_gone(&ct) == 0, "replaced: the end of another is none of it");

    bind_to(lab, "cni-1", text, "net");
    ok(confirm(lab, &ct) == -1 && lab->why.status == 404,
       "replaced: by another namespace in its place");
    unbind(lab, "cni-1");
    ok(container_gone(&ct) == 1, "replaced: its end is seen");
    ok(confirm(lab, &ct) == -1 && lab->why.status == 409,
       "replaced: and then it has none");

    container_close(&ct);
    wipe(lab, "state/" SB_1);
    finish(one);
    finish(two);
}


/* --- main ---------------------------------------------------------------- */

static void
make(lab_t *lab)
{
    memset(lab, 0, sizeof(*lab));
    snprintf(lab->dir, sizeof(lab->dir), "/tmp/agent-cri-XXXXXX");

    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
        || mount("proc", "/proc", "proc", 0, NULL) != 0
        || mkdtemp(lab->dir) == NULL
        || mount("none", lab->dir, "tmpfs", 0, NULL) != 0)
    {
        die("namespaces");
    }

    folder(lab, "state");
    folder(lab, "netns");
    snprintf(lab->state, sizeof(lab->state), "%.31s/state", lab->dir);
    snprintf(lab->netns, sizeof(lab->netns), "%.31s/netns", lab->dir);
    lab->conf.cri_state_folder = lab->state;
    lab->conf.cri_netns_folder = lab->netns;
}


/* Goes on in a child, below namespaces of its own. Returns 0 there, and 1 in
 * the parent, with the child's exit status, once it has ended. */

static int
below(int flags, int *rc)
{
    int    status;
    pid_t  pid;

    if (unshare(flags) != 0 || (pid = fork()) == -1) {
        die("namespaces");
    }

    if (pid == 0) {
        return 0;
    }

    *rc = waitpid(pid, &status, 0) == pid && WIFEXITED(status)
          ? WEXITSTATUS(status) : 1;

    return 1;
}


int
main(void)
{
    int    rc;
    lab_t  lab;

    texts();
    runtimes();

    if (geteuid() != 0) {
        printf("# the rest needs root, for namespaces\n");
        return tap_done();
    }

    /* Below it is process 1, then who is in another namespace than that. */

    if (below(0, &rc)) {
        return rc;
    }

    /* What looks for leaks at the end does not get along with namespaces of
     * numbers: that first one alone ends by returning. */

    if (below(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET, &rc)
        || below(0, &rc))
    {
        _exit(rc);
    }

    if (unshare(CLONE_NEWNET) != 0) {
        die("namespaces");
    }

    make(&lab);

    lab.conf.cri = CONF_CRI_CRIO;
    found(&lab, "CRI-O");
    lab.conf.cri = CONF_CRI_CONTAINERD;
    found(&lab, "containerd");
    of_node(&lab);
    in_place(&lab);
    hostile(&lab);
    many(&lab);
    replaced(&lab);

    (void) umount2(lab.dir, MNT_DETACH);
    ok(rmdir(lab.dir) == 0, "cleaned up");

    rc = tap_done();
    fflush(stdout);
    _exit(rc);
}
