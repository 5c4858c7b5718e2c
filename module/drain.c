/*
 * module/drain.c: the end of a worker that still has captures. After a reload
 * they go on, until shortly before nginx itself would cut them. When nginx
 * goes, they have pcap_api_drain_timeout to end by themselves, or they are
 * ended properly.
 *
 * nginx tells a worker to quit in the same way for both. What is different is
 * that after a reload there is a newer configuration: its master counts them
 * in a page that all processes share, from the first configuration on. The
 * last one's workers say there that they go, too: nobody tells the workers of
 * earlier ones again (ngx_signal_worker_processes() of nginx 1.22).
 */

#include "ngx_pcap_api_module.h"
#include "module/audit.h"

#include <sys/mman.h>


#define NGX_PCAP_API_DRAIN_DEFAULT  30000    /* ms */
#define NGX_PCAP_API_DRAIN_SLACK    500      /* ms for the last blocks */
#define NGX_PCAP_API_DRAIN_EARLY    1000     /* ms before nginx cuts */


void
ngx_pcap_api_drain_create(ngx_conf_t *cf, ngx_pcap_api_drain_conf_t *d)
{
    d->timeout = NGX_CONF_UNSET_MSEC;
    d->cycle = cf->cycle;
}


static ngx_msec_t
ngx_pcap_api_shutdown_timeout(volatile ngx_cycle_t *cycle)
{
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    return ccf->shutdown_timeout;
}


ngx_int_t
ngx_pcap_api_drain_check(ngx_pcap_api_drain_conf_t *d)
{
    ngx_msec_t  shutdown;

    ngx_conf_init_msec_value(d->timeout, NGX_PCAP_API_DRAIN_DEFAULT);

    shutdown = ngx_pcap_api_shutdown_timeout(d->cycle);

    if (shutdown && d->timeout >= shutdown) {
        ngx_log_error(NGX_LOG_EMERG, d->cycle->log, 0,
                      "\"pcap_api_drain_timeout\" (%M ms) must be below "
                      "\"worker_shutdown_timeout\" (%M ms)",
                      d->timeout, shutdown);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Of the configuration before, if it had this very module; or NULL. */
static ngx_pcap_api_drain_page_t *
ngx_pcap_api_drain_old_page(ngx_cycle_t *old)
{
    ngx_uint_t                 i;
    ngx_pcap_api_main_conf_t  *pmcf;

    if (old == NULL || ngx_is_init_cycle(old)) {
        return NULL;
    }

    for (i = 0; old->modules[i]; i++) {
        if (old->modules[i] == &ngx_pcap_api_module) {
            pmcf = ngx_http_cycle_get_module_main_conf(old,
                                                       ngx_pcap_api_module);
            return pmcf ? pmcf->drain.page : NULL;
        }
    }

    return NULL;
}


/*
 * The page is never given back: old workers look at it. Without one a reload
 * is taken for the end.
 */
ngx_int_t
ngx_pcap_api_drain_module(ngx_cycle_t *cycle)
{
    void                       *page;
    ngx_pcap_api_main_conf_t   *pmcf;
    ngx_pcap_api_drain_conf_t  *d;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_pcap_api_module);
    if (pmcf == NULL) {
        return NGX_OK;
    }

    d = &pmcf->drain;
    d->page = ngx_pcap_api_drain_old_page(cycle->old_cycle);

    if (d->page == NULL) {
        page = mmap(NULL, sizeof(ngx_pcap_api_drain_page_t),
                    PROT_READ|PROT_WRITE, MAP_ANON|MAP_SHARED, -1, 0);

        if (page == MAP_FAILED) {
            ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                          "mmap() of the pcap module failed");
            return NGX_OK;
        }

        d->page = page;
    }

    d->generation = ngx_atomic_fetch_add(&d->page->generation, 1) + 1;

    if (pmcf->audit) {
        pmcf->audit->missed = &d->page->missed;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_pcap_api_drain_newest(ngx_pcap_api_drain_conf_t *d)
{
    return d->page == NULL || d->page->generation == d->generation;
}


void
ngx_pcap_api_drain_worker(ngx_cycle_t *cycle)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_pcap_api_module);

    if (pmcf && pmcf->drain.page && ngx_pcap_api_drain_newest(&pmcf->drain)) {
        pmcf->drain.page->quitting = 0;
    }
}


/* Also one without a capture tells those that earlier reloads have left. */
void
ngx_pcap_api_drain_exit(ngx_cycle_t *cycle)
{
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_pcap_api_module);

    if (ngx_exiting && pmcf && pmcf->drain.page
        && ngx_pcap_api_drain_newest(&pmcf->drain))
    {
        pmcf->drain.page->quitting = 1;
    }
}


/* Told to leave: does nginx end, or is it a reload? NULL: not told. */
static ngx_pcap_api_drain_conf_t *
ngx_pcap_api_drain_look(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t                  ends;
    ngx_pcap_api_main_conf_t   *pmcf;
    ngx_pcap_api_drain_conf_t  *d;

    if (!ngx_exiting) {
        return NULL;
    }

    pmcf = ngx_http_get_module_main_conf(ctx->request, ngx_pcap_api_module);
    d = &pmcf->drain;

    if (!d->is_told) {
        d->is_told = 1;
        d->told = ngx_current_msec;
    }

    ends = ngx_pcap_api_drain_newest(d);

    if (ends && d->page) {
        d->page->quitting = 1;
    }

    ends = ends || d->page->quitting;

    if (ends && !d->is_draining) {
        d->since = ngx_current_msec;
    }

    d->is_draining = ends;

    return d;
}


/* Ends it so early that it is over at the time end. */
static void
ngx_pcap_api_drain_by(ngx_pcap_api_ctx_t *ctx, ngx_msec_t end)
{
    ngx_msec_t      slack;
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (end - ngx_current_msec);
    slack = NGX_PCAP_API_DRAIN_SLACK;

    if (ctx->stopping
        || left > (ngx_msec_int_t) (ctx->conf->stop_timeout + slack))
    {
        return;
    }

    ngx_pcap_api_stop(ctx, NGX_PCAP_API_END_DRAIN, NULL);

    if ((ngx_msec_int_t) (ctx->stop_deadline + slack - end) > 0) {
        ctx->stop_deadline = end - slack;
    }
}


/* NGX_OK, or NGX_ERROR: its time is over. */
static ngx_int_t
ngx_pcap_api_drain_over(ngx_pcap_api_ctx_t *ctx, ngx_msec_t end)
{
    if ((ngx_msec_int_t) (ngx_current_msec - end) < 0) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_NOTICE, ctx->request->connection->log, 0,
                  "pcap capture %*s is cut: its client has not taken the "
                  "rest within pcap_api_drain_timeout",
                  (size_t) NGX_PCAP_API_ID_LEN, ctx->id);

    return NGX_ERROR;
}


ngx_int_t
ngx_pcap_api_drain_follower(ngx_pcap_api_ctx_t *ctx)
{
    ngx_pcap_api_drain_conf_t  *d;

    d = ngx_pcap_api_drain_look(ctx);

    return d && d->is_draining
           ? ngx_pcap_api_drain_over(ctx, d->since + d->timeout) : NGX_OK;
}


ngx_int_t
ngx_pcap_api_drain(ngx_pcap_api_ctx_t *ctx)
{
    ngx_msec_t                  end, shutdown;
    ngx_pcap_api_drain_conf_t  *d;

    d = ngx_pcap_api_drain_look(ctx);
    if (d == NULL) {
        return NGX_OK;
    }

    if (!d->is_draining) {
        shutdown = ngx_pcap_api_shutdown_timeout(ngx_cycle);

        if (shutdown) {
            ngx_pcap_api_drain_by(ctx, d->told + shutdown
                                       - NGX_PCAP_API_DRAIN_EARLY);
        }

        return NGX_OK;
    }

    end = d->since + d->timeout;
    ngx_pcap_api_drain_by(ctx, end);

    return ngx_pcap_api_drain_over(ctx, end);
}
