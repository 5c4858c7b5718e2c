/*
 * agent/main.c: pcap-agent. Reads the configuration, sets the signals up and
 * hands over to the listener. The signal flags are the only state outside of
 * what is passed down.
 */

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "conf.h"
#include "filter.h"
#include "listener.h"
#include "log.h"
#include "pcapx/version.h"
#include "policy.h"
#include "sandbox.h"
#include "tls.h"


static int main_check(const conf_t *conf);
static int main_fds(void);
static int main_signals(void);
static void main_signal(int signo);


static listener_signals_t  main_flags;


int
main(int argc, char **argv)
{
    int     rc;
    char    err[CONF_ERR_LEN];
    log_t   log;
    conf_t  conf;

    rc = 1;

    if (conf_load(&conf, argc, argv, err) != 0) {
        fprintf(stderr, "pcap-agent: %s\n", err);
        goto out;
    }

    if (conf.help) {
        conf_help();
        rc = 0;
        goto out;
    }

    if (conf.version) {
        printf("pcap-agent " PCAP_VERSION "\n");
        rc = 0;
        goto out;
    }

    if (conf.syscalls) {
        sandbox_print();
        rc = 0;
        goto out;
    }

    filter_init();

    if (policy_check(&conf, err) != 0) {
        fprintf(stderr, "pcap-agent: %s\n", err);
        goto out;
    }

    if (conf.check) {
        rc = main_check(&conf);
        goto out;
    }

    memset(&log, 0, sizeof(log));
    log.level = conf.level;

    /* gmtime_r() reads a file the first time, which is too late in a list. */

    tzset();

    if (main_fds() != 0) {
        log_error(&log, "/dev/null cannot be opened");
        goto out;
    }

    if (main_signals() != 0) {
        log_error(&log, "signal handlers cannot be set");
        goto out;
    }

    log_info(&log, "pcap-agent " PCAP_VERSION);
    rc = listener_run(&conf, &log, &main_flags);

out:

    conf_free(&conf);

    return rc;
}


static int
main_check(const conf_t *conf)
{
    char      err[CONF_ERR_LEN];
    check_t   check;
    SSL_CTX  *ctx;
    unsigned  i;

    ctx = tls_context(conf, err);

    if (ctx == NULL) {
        fprintf(stderr, "pcap-agent: %s\n", err);
        return 1;
    }

    SSL_CTX_free(ctx);

    if (conf->user && getpwnam(conf->user) == NULL) {
        fprintf(stderr, "pcap-agent: user: there is no user \"%s\" on this "
                "machine\n", conf->user);
        return 1;
    }

    check_warnings(conf, &check);

    for (i = 0; i < check.n; i++) {
        fprintf(stderr, "pcap-agent: warning: %s\n", check.text[i]);
    }

    printf("pcap-agent: the configuration is %s\n",
           check.n ? "valid, but see the warnings" : "good");

    return 0;
}


/*
 * What whoever started us has left open would be open in every session; and
 * no connection may become stdin, stdout or stderr.
 */

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


static int
main_signals(void)
{
    size_t             i;
    struct sigaction   sa;

    static const int   signals[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };

    memset(&sa, 0, sizeof(sa));
    sigemptyset(&sa.sa_mask);
    sa.sa_handler = main_signal;

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (sigaction(signals[i], &sa, NULL) != 0) {
            return -1;
        }
    }

    sa.sa_handler = SIG_IGN;

    return sigaction(SIGPIPE, &sa, NULL);
}


static void
main_signal(int signo)
{
    switch (signo) {
    case SIGHUP:
        main_flags.reload = 1;
        break;
    case SIGCHLD:
        main_flags.child = 1;
        break;
    default:
        main_flags.stop = 1;
    }
}
