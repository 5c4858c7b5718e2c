/*
 * module/audit_reach.c: can the workers reopen the audit log? At USR1 the
 * master makes the new file and gives it to the workers' user; what it cannot
 * give is the way there. A folder that this user may not search shows nothing
 * until the first rotation, and then workers go on in the old file for ever.
 *
 * The state is not reopened, so its folder may be root's alone.
 */

#include "module/audit.h"

#include <sys/wait.h>


/* As the workers will be (ngx_worker_process_init()); never returns. */
static void
ngx_pcap_api_audit_try(ngx_core_conf_t *ccf, const char *dir)
{
    (void) initgroups(ccf->username, ccf->group);

    if (setgid(ccf->group) == -1 || setuid(ccf->user) == -1) {
        _exit(0);                          /* no worker would start */
    }

    _exit(access(dir, X_OK) == 0 ? 0 : errno);
}


/* The error that a worker would get; 0: none, or nobody knows. */
static ngx_err_t
ngx_pcap_api_audit_ask(ngx_core_conf_t *ccf, const char *dir)
{
    int    status;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        ngx_pcap_api_audit_try(ccf, dir);
    }

    if (pid == -1) {
        return 0;
    }

    while (waitpid(pid, &status, 0) == -1) {
        if (ngx_errno != NGX_EINTR) {
            return 0;
        }
    }

    return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}


/* The folder of the log, ended by NUL; NULL: no memory. */
static char *
ngx_pcap_api_audit_folder(ngx_pool_t *pool, ngx_str_t *name)
{
    char    *dir;
    size_t   len;

    for (len = name->len; len > 1 && name->data[len - 1] != '/'; len--) {
        /* void */
    }

    dir = ngx_pnalloc(pool, len + 1);

    if (dir != NULL) {
        ngx_memcpy(dir, name->data, len);
        dir[len] = '\0';
    }

    return dir;
}


ngx_int_t
ngx_pcap_api_audit_reach(ngx_cycle_t *cycle)
{
    char                      *dir;
    ngx_err_t                  err;
    ngx_uint_t                 level, starts;
    ngx_core_conf_t           *ccf;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_pcap_api_module);
    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (pmcf == NULL || pmcf->audit == NULL || pmcf->audit->file == NULL
        || geteuid() != 0 || !ccf->master)
    {
        return NGX_OK;                     /* workers are who we are */
    }

    dir = ngx_pcap_api_audit_folder(cycle->pool, &pmcf->audit->name);
    if (dir == NULL) {
        return NGX_ERROR;
    }

    err = ngx_pcap_api_audit_ask(ccf, dir);
    if (err == 0) {
        return NGX_OK;
    }

    /* nginx ends when this fails: a running one is only told */

    starts = ngx_is_init_cycle(cycle->old_cycle);
    level = starts ? NGX_LOG_EMERG : NGX_LOG_CRIT;

    ngx_log_error(level, cycle->log, err,
                  "\"pcap_api_audit\": user \"%s\" cannot reach the folder "
                  "\"%s\" of its log, so workers could not reopen it after a "
                  "rotation: give that user, or its group, the right to "
                  "search (x) this folder and all above it",
                  ccf->username, dir);

    return starts ? NGX_ERROR : NGX_OK;
}
