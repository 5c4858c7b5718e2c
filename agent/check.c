/*
 * agent/check.c: see check.h. Called at the start and by --check, never for
 * a request; it changes nothing.
 */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "policy.h"
#include "privs.h"


#define CHECK_UNKNOWN  255     /* exit status beyond every errno */


static void check_add(check_t *check, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void check_folder(check_t *check, const char *key, const char *path);
static void check_off_file(const conf_t *conf, check_t *check);
static void check_files(const conf_t *conf, check_t *check);
static int check_access(const conf_t *conf);
static int check_access_as(const conf_t *conf);
static void check_listen(const conf_t *conf, check_t *check);
static void check_policy(const conf_t *conf, char *dst, size_t max);


void
check_warnings(const conf_t *conf, check_t *check)
{
    check->n = 0;

    if (!conf->enabled) {
        check_add(check, "enabled: it is false: every capture is refused");
    }

    if (conf->interface_default
        && !policy_interface(conf, conf->interface_default))
    {
        check_add(check, "interface_default: %s is not among `interfaces`: "
                  "captures that name no interface are refused",
                  conf->interface_default);
    }

    if ((conf->containers != CONF_CONTAINERS_OFF || conf->cri != CONF_CRI_OFF)
        && !policy_interface(conf, conf->container_interface))
    {
        check_add(check, "container_interface: %.60s is not among "
                  "`interfaces`: captures in containers that name no "
                  "interface are refused", conf->container_interface);
    }

    check_folder(check, "cri_state_folder", conf->cri_state_folder);
    check_folder(check, "cri_netns_folder", conf->cri_netns_folder);
    check_off_file(conf, check);
    check_files(conf, check);
    check_listen(conf, check);
}


static void
check_add(check_t *check, const char *fmt, ...)
{
    va_list  ap;

    if (check->n == CHECK_MAX) {
        return;
    }

    va_start(ap, fmt);
    vsnprintf(check->text[check->n++], CHECK_LEN, fmt, ap);
    va_end(ap);
}


/* Only who may look can say that it is not there. */

static void
check_folder(check_t *check, const char *key, const char *path)
{
    if (path && access(path, F_OK) != 0
        && (errno == ENOENT || errno == ENOTDIR))
    {
        check_add(check, "%s: there is no %.300s: every capture in a pod is "
                  "refused", key, path);
    }
}


static void
check_off_file(const conf_t *conf, check_t *check)
{
    int  err;

    if (conf->off_file == NULL) {
        return;
    }

    err = check_access(conf);

    if (err == 0) {
        check_add(check, "off_file: %.300s is there: every capture is "
                  "refused until it is gone", conf->off_file);

    } else if (err != ENOENT && err != ENOTDIR && err != CHECK_UNKNOWN) {
        check_add(check, "off_file: %.300s cannot be looked for%s%.60s (%s): "
                  "every capture is refused", conf->off_file,
                  conf->user ? " as user " : "",
                  conf->user ? conf->user : "", strerror(err));
    }
}


/* 0: it is there; else what access() says, or CHECK_UNKNOWN. */

static int
check_access(const conf_t *conf)
{
    int    status;
    pid_t  pid;

    if (conf->user == NULL || geteuid() != 0) {
        return access(conf->off_file, F_OK) == 0 ? 0 : errno;
    }

    pid = fork();

    if (pid == 0) {
        _exit(check_access_as(conf));
    }

    if (pid == -1 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return CHECK_UNKNOWN;
    }

    return WEXITSTATUS(status);
}


/* In a child of its own. */

static int
check_access_as(const conf_t *conf)
{
    struct passwd  *pw;

    pw = getpwnam(conf->user);

    if (pw == NULL
        || setgroups(0, NULL) != 0
        || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0
        || setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
    {
        return CHECK_UNKNOWN;
    }

    return access(conf->off_file, F_OK) == 0 ? 0 : errno;
}


/* As who starts us: the children that open it keep the rights for that. */

static void
check_files(const conf_t *conf, check_t *check)
{
    int          rc;
    struct stat  st;

    if (conf->files_folder == NULL) {
        return;
    }

    rc = stat(conf->files_folder, &st);

    if (rc != 0 && errno == EACCES) {
        (void) privs_raise(PRIVS_READ);
        rc = stat(conf->files_folder, &st);
        privs_lower();
    }

    if (rc != 0) {
        check_add(check, "files_folder: %.300s: %s: there are no files until "
                  "it is there", conf->files_folder, strerror(errno));

    } else if (!S_ISDIR(st.st_mode)) {
        check_add(check, "files_folder: %.300s is no folder",
                  conf->files_folder);
    }
}


/* The port may be taken, by this very agent: any will do. */

static void
check_listen(const conf_t *conf, check_t *check)
{
    int                       fd;
    socklen_t                 len;
    endpoint_t                ep;
    struct sockaddr_storage   ss;

    ep = conf->endpoint;
    ep.port = 0;
    len = net_sockaddr(&ep, &ss);

    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return;
    }

    if (bind(fd, (struct sockaddr *) &ss, len) != 0 && errno == EADDRNOTAVAIL)
    {
        check_add(check, "listen: this machine has no address as in %.80s",
                  conf->listen);
    }

    close(fd);
}


void
check_tell(const conf_t *conf, const log_t *log)
{
    char      text[1024];
    check_t   check;
    unsigned  i;

    check_policy(conf, text, sizeof(text));
    log_info(log, "%s", text);
    check_warnings(conf, &check);

    for (i = 0; i < check.n; i++) {
        log_warn(log, "%s", check.text[i]);
    }
}


void
check_interfaces(const conf_t *conf, char *dst, size_t max)
{
    size_t  i, n;
    int     len;

    if (conf->interfaces.n == 0) {
        snprintf(dst, max, "all");
        return;
    }

    for (i = 0, n = 0; i < conf->interfaces.n; i++) {
        len = snprintf(dst + n, max - n, "%s%s", i ? ", " : "",
                       conf->interfaces.text[i]);

        if (len < 0 || (size_t) len >= max - n) {
            memcpy(dst + (n < max - 6 ? n : max - 6), ", ...", 6);
            return;
        }

        n += (size_t) len;
    }
}


/* The policy in force, as far as there is room. */

static void
check_policy(const conf_t *conf, char *dst, size_t max)
{
    char  names[CHECK_LIST_LEN];

    check_interfaces(conf, names, sizeof(names));

    snprintf(dst, max, "policy: captures %s, interfaces %s, max_snaplen %llu, "
             "off_file %.200s, exclude_filter %s",
             conf->enabled ? "enabled" : "not enabled", names,
             (unsigned long long) conf->max_snaplen,
             conf->off_file ? conf->off_file : "none",
             conf->exclude_filter ? conf->exclude_filter : "none");
}
