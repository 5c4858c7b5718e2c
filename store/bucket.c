/*
 * store/bucket.c: see bucket.h. What a server does not know (a 501, say) is
 * no finding: many have no policies and no rules.
 */

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bucket.h"
#include "child.h"
#include "store.h"


static int bucket_run(const conf_t *conf, const log_t *log);
static void bucket_look(s3_t *s3, const log_t *log);
static void bucket_rule(s3_t *s3, const conf_s3_t *conf, const log_t *log);


void
bucket_begin(store_t *s)
{
    int    fds[2];
    pid_t  pid, parent;

    if (s->nuploads == 0) {
        return;
    }

    if (s->conf->s3.allow_http) {
        log_warn(s->log, "s3.allow_http: whatever is captured may go over "
                 "the network for all to read; never do this but for a test");
    }

    parent = getpid();
    pid = fork();

    if (pid == 0) {
        fds[0] = fds[1] = s->folder;
        child_begin(parent, 0, &fds[0], &fds[1]);
        close(fds[0]);
        close(fds[1]);
        _exit(bucket_run(s->conf, s->log));
    }

    if (pid > 0) {
        s->bucket = pid;
    }
}


static int
bucket_run(const conf_t *conf, const log_t *log)
{
    char         err[S3_ERR_LEN];
    s3_t        *s3;
    s3_conf_t    c;
    s3_error_t   e;

    c = conf_s3(conf);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    s3 = s3_open(&c, err);

    if (s3 == NULL) {
        log_error(log, "s3: %s", err);
        return 1;
    }

    if (s3_bucket(s3, &e) != 0) {
        log_error(log, "s3: the bucket cannot be used now: %s", e.text);

    } else {
        log_info(log, "s3: the bucket %s is there", conf->s3.bucket);
        bucket_look(s3, log);
        bucket_rule(s3, &conf->s3, log);
    }

    s3_close(s3);

    return 0;
}


static void
bucket_look(s3_t *s3, const log_t *log)
{
    int         yes;
    s3_error_t  e;

    if (s3_bucket_public(s3, &yes, &e) == 0) {
        if (yes) {
            log_warn(log, "s3: the bucket is public: anybody may read what "
                     "is captured");
        }

    } else {
        log_info(log, "s3: whether the bucket is public is not known: %s",
                 e.text);
    }

    if (s3_bucket_encrypted(s3, &yes, &e) == 0) {
        if (!yes) {
            log_warn(log, "s3: the bucket encrypts nothing by default");
        }

    } else {
        log_info(log, "s3: whether the bucket encrypts is not known: %s",
                 e.text);
    }
}


/* What we delete ourselves goes earlier; this is for what we forget. */

static void
bucket_rule(s3_t *s3, const conf_s3_t *conf, const log_t *log)
{
    unsigned    days;
    s3_rule_t   rule;
    s3_error_t  e;

    days = (unsigned) conf->lifecycle_days;

    if (days == 0) {
        return;
    }

    if (s3_lifecycle(s3, conf->prefix, days, &rule, &e) != 0) {
        log_warn(log, "s3: the bucket has no rule of ours: %s", e.text);

    } else if (rule == S3_RULE_WRITTEN) {
        log_info(log, "s3: the bucket has a rule now that deletes what begins "
                 "with %s after %u days", conf->prefix, days);

    } else if (rule == S3_RULE_OTHERS) {
        log_warn(log, "s3: the bucket has rules of others, which stay; add "
                 "one for the prefix %s: Expiration of %u days, "
                 "AbortIncompleteMultipartUpload after 1 day", conf->prefix,
                 days);
    }
}


void
bucket_reap(store_t *s)
{
    if (s->bucket > 0 && waitpid(s->bucket, NULL, WNOHANG) == s->bucket) {
        s->bucket = 0;
    }
}


void
bucket_close(store_t *s)
{
    if (s->bucket > 0) {
        kill(s->bucket, SIGKILL);
        (void) waitpid(s->bucket, NULL, 0);
        s->bucket = 0;
    }
}
