/*
 * store/main.c: pcap-store. Reads the configuration, becomes a user without
 * rights, sets the signals up and hands over to the loop. The signal flags
 * are the only state outside of what is passed down.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "log.h"
#include "pcapx/version.h"
#include "server.h"
#include "store.h"


static int main_check(const conf_t *conf);
static int main_serve(const conf_t *conf);
static int main_fds(void);
static int main_user(const conf_t *conf);
static int main_signals(void);
static void main_signal(int signo);


static server_signals_t  main_flags;


int
main(int argc, char **argv)
{
    int     rc;
    char    err[CONF_ERR_LEN];
    conf_t  conf;

    rc = 1;

    if (conf_load(&conf, argc, argv, err) != 0) {
        fprintf(stderr, "pcap-store: %s\n", err);

    } else if (conf.help) {
        conf_help();
        rc = 0;

    } else if (conf.version) {
        printf("pcap-store " PCAP_VERSION "\n");
        rc = 0;

    } else {
        rc = conf.check ? main_check(&conf) : main_serve(&conf);
    }

    conf_free(&conf);

    return rc;
}


static int
main_check(const conf_t *conf)
{
    char  err[CONF_ERR_LEN];

    if (conf_folder(conf, err) != 0) {
        fprintf(stderr, "pcap-store: %s\n", err);
        return 1;
    }

    printf("pcap-store: the configuration is good\n");

    return 0;
}


static int
main_serve(const conf_t *conf)
{
    int      rc, listener;
    char     err[STORE_ERR_LEN];
    log_t    log;
    store_t  store;

    memset(&log, 0, sizeof(log));
    log.level = (log_level_t) conf->level;
    umask(077);

    if (main_fds() != 0 || main_user(conf) != 0 || main_signals() != 0) {
        log_error(&log, "cannot start: %s", strerror(errno));
        return 1;
    }

    rc = 1;
    log_info(&log, "pcap-store " PCAP_VERSION);

    if (store_open(&store, conf, &log, err) != 0) {
        log_error(&log, "%s", err);
        goto out;
    }

    listener = server_listen(conf, err);

    if (listener == -1) {
        log_error(&log, "%s", err);
        goto out;
    }

    rc = server_run(&store, listener, &main_flags);
    log_info(&log, "stopped");

out:

    store_close(&store);

    return rc;
}


/* No file and no connection may become stdin, stdout or stderr. */

static int
main_fds(void)
{
    int  fd;

    for (fd = 0; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd) {
            return -1;
        }
    }

    closefrom(STDERR_FILENO + 1);

    return 0;
}


/* Before anything is opened. A core file would hold what was captured. */

static int
main_user(const conf_t *conf)
{
    struct rlimit  none;

    memset(&none, 0, sizeof(none));

    if (geteuid() == 0
        && (setgroups(0, NULL) != 0
            || setresgid(conf->gid, conf->gid, conf->gid) != 0
            || setresuid(conf->uid, conf->uid, conf->uid) != 0))
    {
        return -1;
    }

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
           || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0
           || setrlimit(RLIMIT_CORE, &none) != 0 ? -1 : 0;
}


/* Blocked: they come while the loop waits, and at no other time. */

static int
main_signals(void)
{
    size_t             i;
    sigset_t           set;
    struct sigaction   sa;

    static const int   signals[] = { SIGTERM, SIGINT, SIGCHLD };

    memset(&sa, 0, sizeof(sa));
    sigemptyset(&sa.sa_mask);
    sigemptyset(&set);
    sa.sa_handler = main_signal;

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaddset(&set, signals[i]);

        if (sigaction(signals[i], &sa, NULL) != 0) {
            return -1;
        }
    }

    /* nothing is read anew yet */

    sa.sa_handler = SIG_IGN;

    if (sigaction(SIGHUP, &sa, NULL) != 0
        || sigaction(SIGPIPE, &sa, NULL) != 0)
    {
        return -1;
    }

    return sigprocmask(SIG_BLOCK, &set, NULL);
}


static void
main_signal(int signo)
{
    if (signo == SIGCHLD) {
        main_flags.child = 1;

    } else {
        main_flags.stop = 1;
    }
}
