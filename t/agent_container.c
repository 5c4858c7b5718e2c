/*
 * t/agent_container.c: a container that is replaced between the first look
 * and the second, in every way there is: the second look must not take the
 * new one for the old one. And that going in and coming back is what it says
 * it is. Needs root, for namespaces of its own.
 */

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/capture.h"
#include "agent/container.h"
#include "agent/privs.h"
#include "t/tap.h"


#define HANDLE  "h-1"

/* Everything of a test; dir is a file system of its own that nobody else
 * sees. */

typedef struct {
    char        dir[32];
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


static void
put(const lab_t *lab, const char *name, const char *text)
{
    int   fd;
    char  path[96];

    snprintf(path, sizeof(path), "%.31s/%.60s", lab->dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd == -1 || write(fd, text, strlen(text)) < 0) {
        die(path);
    }

    close(fd);
}


static void
own(const lab_t *lab, const char *app, const char *ip)
{
    char  text[200];

    snprintf(text, sizeof(text), "{\"" HANDLE "\":{\"handle\":\"" HANDLE
             "\",\"ip\":\"%s\",\"metadata\":{\"app_id\":\"%s\"}}}", ip, app);
    put(lab, "store.json", text);
}


static int
loopback_up(void)
{
    int            fd, rc;
    struct ifreq   ifr;

    memset(&ifr, 0, sizeof(ifr));
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "lo");
    ifr.ifr_flags = IFF_UP;

    fd = socket(AF_INET, SOCK_DGRAM, 0);
    rc = fd == -1 ? -1 : ioctl(fd, SIOCSIFFLAGS, &ifr);
    close(fd);

    return rc;
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
        if (unshare(CLONE_NEWNET) != 0 || loopback_up() != 0
            || write(fd[1], "", 1) != 1)
        {
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


/* As CNI does. */

static void
bind_to(const lab_t *lab, pid_t pid)
{
    char  from[40], to[64];

    snprintf(from, sizeof(from), "/proc/%d/ns/net", (int) pid);
    snprintf(to, sizeof(to), "%.31s/ns/" HANDLE, lab->dir);
    (void) umount2(to, MNT_DETACH);
    put(lab, "ns/" HANDLE, "");

    if (mount(from, to, "none", MS_BIND, NULL) != 0) {
        die(to);
    }
}


static void
unbind(const lab_t *lab)
{
    char  to[64];

    snprintf(to, sizeof(to), "%.31s/ns/" HANDLE, lab->dir);
    (void) umount2(to, MNT_DETACH);
    unlink(to);
}


/* As runc does. */

static void
state(const lab_t *lab, pid_t pid)
{
    int        fd;
    char       path[40], *text;
    char       json[300];
    size_t     len;
    uint64_t   start;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    fd = open(path, O_RDONLY);
    text = fd == -1 ? NULL : place_read(fd, CSTATE_MAX_PROC, &len);

    if (text == NULL || cstate_started(text, len, &start) != CSTATE_OK) {
        die(path);
    }

    free(text);
    close(fd);

    snprintf(json, sizeof(json), "{\"id\":\"" HANDLE "\","
             "\"init_process_pid\":%d,\"init_process_start\":%llu,"
             "\"namespace_paths\":{\"NEWNET\":\"/proc/%d/ns/net\"}}",
             (int) pid, (unsigned long long) start, (int) pid);
    put(lab, "state/" HANDLE "/state.json", json);
}


/* The agent lowers what it has raised; this test needs it all the time. */

static int
find(lab_t *lab, container_t *ct)
{
    int  rc;

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


static int
unknown(const lab_t *lab)
{
    return lab->why.status == 404
           && strcmp(lab->why.detail, "container: there is no " HANDLE
                     " on this machine") == 0;
}


static void
replaced_mount(lab_t *lab)
{
    char          path[64];
    pid_t         one, two;
    container_t   ct;

    one = process();
    two = process();
    bind_to(lab, one);
    own(lab, "app-1", "10.255.0.1");

    ok(find(lab, &ct) == 0 && ct.ns != -1 && ct.watch != -1,
       "mount: found");
    ok(confirm(lab, &ct) == 0, "mount: the same");

    bind_to(lab, two);
    ok(confirm(lab, &ct) == -1 && unknown(lab),
       "mount: another namespace in its place");
    bind_to(lab, one);
    ok(confirm(lab, &ct) == 0, "mount: the same again");

    own(lab, "app-2", "10.255.0.1");
    ok(confirm(lab, &ct) == -1 && unknown(lab),
       "mount: it belongs to another app now");
    own(lab, "app-1", "10.255.0.2");
    ok(confirm(lab, &ct) == -1 && unknown(lab),
       "mount: it has another address now");
    put(lab, "store.json", "{}");
    ok(confirm(lab, &ct) == -1 && unknown(lab),
       "mount: the store does not know it any more");
    own(lab, "app-1", "10.255.0.1");

    put(lab, "ns/other", "");
    snprintf(path, sizeof(path), "%.31s/ns/other", lab->dir);
    unlink(path);
    ok(container_gone(&ct) == 0, "mount: the end of another is none of it");
    unbind(lab);
    ok(confirm(lab, &ct) == -1 && unknown(lab),
       "mount: it is not there any more");
    ok(container_gone(&ct) == 1, "mount: and that is seen");
    state(lab, one);
    ok(confirm(lab, &ct) == -1 && unknown(lab),
       "mount: found elsewhere is not the same");

    container_close(&ct);
    finish(one);
    finish(two);
}


static void
replaced_process(lab_t *lab)
{
    pid_t         one, two;
    container_t   ct;

    one = process();
    two = process();
    state(lab, one);
    own(lab, "app-1", "10.255.0.1");

    ok(find(lab, &ct) == 0 && ct.ns != -1 && ct.watch != -1
       && ct.init.pid == one, "state: found");
    ok(confirm(lab, &ct) == 0, "state: the same");
    state(lab, two);
    ok(confirm(lab, &ct) == -1 && unknown(lab),
       "state: another process");
    state(lab, one);
    finish(one);
    ok(container_gone(&ct) == 1, "state: its end is seen");
    ok(confirm(lab, &ct) == -1 && unknown(lab),
       "state: it has ended");

    container_close(&ct);
    finish(two);
}


static int
is_in(const netns_id_t *id)
{
    int         fd;
    netns_id_t  now;

    fd = netns_open_own(&now);

    if (fd == -1) {
        return 0;
    }

    close(fd);

    return netns_same(&now, id);
}


static void
in_and_out(lab_t *lab)
{
    int           status;
    pid_t         one, pid;
    container_t   ct;

    one = process();
    bind_to(lab, one);
    own(lab, "app-1", "10.255.0.1");

    if (!ok(find(lab, &ct) == 0, "inside: found")) {
        return;
    }

    ok(container_enter(&ct, &lab->why) == 0 && is_in(&ct.id)
       && !is_in(&ct.home_id) && ct.ns == -1, "inside: there");
    container_leave(&ct);
    ok(is_in(&ct.home_id), "inside: and back");

    /* A namespace other than the one that was found is not stayed in. */

    ct.ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    ok(container_enter(&ct, &lab->why) == -1 && lab->why.status == 500
       && is_in(&ct.home_id), "inside: not where it was to be");

    pid = fork();

    if (pid == 0) {
        ct.home_id.ino++;
        container_leave(&ct);
        _exit(0);
    }

    waitpid(pid, &status, 0);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 1,
       "inside: without a way back the process ends");

    (void) privs_raise(~0u);
    container_close(&ct);
    unbind(lab);
    finish(one);
}


/*
 * Gives the container to another app as soon as the store was read once: that
 * is while the sockets are being opened, which takes long for large rings.
 */

static pid_t
thief(const lab_t *lab)
{
    int    in;
    char   path[64], buf[4096];
    pid_t  pid;

    snprintf(path, sizeof(path), "%.31s/store.json", lab->dir);
    in = inotify_init1(IN_CLOEXEC);

    if (in == -1 || inotify_add_watch(in, path, IN_CLOSE_NOWRITE) == -1
        || (pid = fork()) == -1)
    {
        die("inotify");
    }

    if (pid == 0) {
        if (read(in, buf, sizeof(buf)) > 0) {
            own(lab, "app-2", "10.255.0.1");
        }

        _exit(0);
    }

    close(in);

    return pid;
}


/* Opens in a process of its own, which loses all privileges: the status that
 * it was refused with, 0 when it was not. */

static int
opened(lab_t *lab)
{
    int           rc, status;
    pid_t         pid;
    capture_t     c;
    container_t   ct;

    pid = fork();

    if (pid == 0) {
        container_init(&ct, &lab->conf, &lab->req, &lab->log);
        rc = capture_open(&c, &lab->conf, &lab->req, &ct, &lab->log,
                          &lab->why);
        status = rc == 0 ? (c.nifs == 1 && is_in(&ct.home_id) ? 0 : 1)
                 : c.nifs == 0 && unknown(lab) ? 2 : 3;
        capture_close(&c);
        container_close(&ct);
        _exit(status);
    }

    waitpid(pid, &status, 0);

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}


static void
stolen(lab_t *lab)
{
    int       rc;
    pid_t     one, pid;
    unsigned  i;

    one = process();
    bind_to(lab, one);
    own(lab, "app-1", "10.255.0.1");

    ok(opened(lab) == 0, "opened: a container that stays what it is");

    /* On a busy machine the thief may come too late: that is no theft. */

    for (i = 0, rc = 0; i < 20 && rc == 0; i++) {
        own(lab, "app-1", "10.255.0.1");
        pid = thief(lab);
        rc = opened(lab);
        waitpid(pid, NULL, 0);
    }

    ok(rc == 2, "opened: but not one that another app has got meanwhile");

    unbind(lab);
    finish(one);
}


static void
make(lab_t *lab)
{
    unsigned  i;
    char      path[64];

    static const char *const  folders[] = {
        "ns", "state", ("state/" HANDLE)
    };

    snprintf(lab->dir, sizeof(lab->dir), "/tmp/agent-ct-XXXXXX");

    if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0
        || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
        || mkdtemp(lab->dir) == NULL
        || mount("none", lab->dir, "tmpfs", 0, NULL) != 0)
    {
        die("namespaces");
    }

    for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%.31s/%s", lab->dir, folders[i]);

        if (mkdir(path, 0700) != 0) {
            die(path);
        }
    }
}


static void
configure(lab_t *lab)
{
    static char  store[64], ns[64], st[64];

    snprintf(store, sizeof(store), "%.31s/store.json", lab->dir);
    snprintf(ns, sizeof(ns), "%.31s/ns/HANDLE", lab->dir);
    snprintf(st, sizeof(st), "%.31s/state/HANDLE/state.json", lab->dir);

    lab->conf.containers = CONF_CONTAINERS_NETNS;
    lab->conf.container_metadata = store;
    lab->conf.container_netns_paths.text[0] = ns;
    lab->conf.container_netns_paths.n = 1;
    lab->conf.container_state_paths.text[0] = st;
    lab->conf.container_state_paths.n = 1;

    lab->conf.buffer_bytes = 64u << 20;
    lab->conf.retire_ms = 20;

    lab->req.snaplen = 1000;
    lab->req.pcapng = 1;
    lab->req.nifnames = 1;
    snprintf(lab->req.ifnames[0], NET_IFNAME_LEN, "lo");
    snprintf(lab->req.container, sizeof(lab->req.container), HANDLE);
    snprintf(lab->req.app, sizeof(lab->req.app), "app-1");
}


int
main(void)
{
    lab_t  lab;

    if (geteuid() != 0) {
        printf("1..0 # SKIP namespaces need root\n");
        return 0;
    }

    memset(&lab, 0, sizeof(lab));
    make(&lab);
    configure(&lab);

    replaced_mount(&lab);
    put(&lab, "state/" HANDLE "/state.json", "");
    replaced_process(&lab);
    in_and_out(&lab);
    stolen(&lab);

    (void) umount2(lab.dir, MNT_DETACH);
    ok(rmdir(lab.dir) == 0, "cleaned up");

    return tap_done();
}
