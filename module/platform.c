/*
 * module/platform.c: what resolvers share that ask a platform (a Director, a
 * Cloud Controller): one question at a time by way of an internal location,
 * within one deadline, answers that are judged before they are read, the
 * probe of the status, and the addresses that a platform names.
 *
 * A platform may be hostile or somebody else: the first question has no
 * token, so that none goes to one whose certificate is not verified, and
 * every failure names the location.
 */

#include "ngx_pcap_api_module.h"

#include <jansson.h>


#define NGX_PCAP_API_PLATFORM_TIMEOUT  5000     /* ms, over all */

/*
 * Memory for 4 MiB of "[[[],[]..." would be a hundred times that. An
 * instance takes about 350 bytes and 14 values of a Director, 900 bytes and
 * 30 values of a Cloud Controller.
 */
#define NGX_PCAP_API_PLATFORM_VALUES   200000


ngx_int_t
ngx_pcap_api_platform_failed(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask, const char *why)
{
    /*
     * What it says of one deployment or app tells nothing of it. A question
     * without token is about itself.
     */

    if (!ask->bearer || !ask->fetch.answered
        || ask->fetch.status != NGX_HTTP_OK)
    {
        ngx_pcap_api_health_set(&p->health, 0);
    }

    if (ctx->resolver != NULL) {           /* NULL: a request for status */
        ngx_pcap_api_count_of(ctx->resolver->number,
                              NGX_PCAP_API_RC_NOT_RESOLVED, 1);
    }

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "%s of %V: %s", p->name, &p->uri, why);

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "the %s of \"%V\" failed: %s",
                               p->name, &p->uri, why);
}


ngx_int_t
ngx_pcap_api_platform_garbage(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask)
{
    u_char  why[80];

    (void) ngx_snprintf(why, sizeof(why),
                        "its answer is not what a %s says%Z", p->name);

    return ngx_pcap_api_platform_failed(ctx, p, ask, (char *) why);
}


json_t *
ngx_pcap_api_platform_json(ngx_pcap_api_fetch_t *f)
{
    size_t        i, n;
    json_error_t  error;

    for (i = 0, n = 0; i < f->len; i++) {
        n += f->data[i] == ',' || f->data[i] == '[' || f->data[i] == '{';
    }

    if (f->len == 0 || n > NGX_PCAP_API_PLATFORM_VALUES) {
        return NULL;
    }

    return json_loadb((char *) f->data, f->len, JSON_REJECT_DUPLICATES,
                      &error);
}


ngx_int_t
ngx_pcap_api_platform_answer(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask)
{
    const char            *why;
    ngx_pcap_api_fetch_t  *f;

    f = &ask->fetch;

    if (f->answered && !f->verified) {
        return ngx_pcap_api_platform_failed(ctx, p, ask, "this API does not "
                   "verify it: \"https\" and \"proxy_ssl_verify on\" are "
                   "needed");
    }

    p->verified |= f->answered;

    if (f->answered && f->status != NGX_HTTP_OK) {
        return NGX_DECLINED;
    }

    why = ngx_pcap_api_fetch_failed(f);

    return why ? ngx_pcap_api_platform_failed(ctx, p, ask, why) : NGX_OK;
}


ngx_int_t
ngx_pcap_api_platform_status(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask)
{
    u_char  why[64];

    if (ask->fetch.status == 0) {
        return ngx_pcap_api_platform_failed(ctx, p, ask,
                                            "its answer is no HTTP");
    }

    (void) ngx_snprintf(why, sizeof(why), "it answered with status %i%Z",
                        ask->fetch.status);

    return ngx_pcap_api_platform_failed(ctx, p, ask, (char *) why);
}


ngx_int_t
ngx_pcap_api_platform_no_token(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p)
{
    ctx->bearer_error = "Bearer error=\"invalid_token\"";

    return ngx_pcap_api_refuse(ctx, NGX_HTTP_UNAUTHORIZED,
                               "the %s does not take the token", p->name);
}


ngx_int_t
ngx_pcap_api_platform_ask(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask, size_t max)
{
    return ngx_pcap_api_fetch(ctx, &p->uri, max, &ask->fetch) == NGX_OK
           ? NGX_AGAIN : NGX_ERROR;
}


void *
ngx_pcap_api_platform_begin(ngx_pcap_api_ctx_t *ctx, ngx_pcap_api_ask_t *ask,
    size_t size)
{
    ctx->deadline = ngx_current_msec + NGX_PCAP_API_PLATFORM_TIMEOUT;
    ask->data = ngx_pcalloc(ctx->request->pool, size);

    return ask->data;
}


/* One question: asks it, waits for it, takes the answer. */
static ngx_int_t
ngx_pcap_api_platform_step(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask,
    const ngx_pcap_api_question_t *q)
{
    ngx_int_t  rc;

    if (ask->fetch.ctx == NULL) {
        return q->ask(ctx, ask);
    }

    if (ask->fetch.done) {
        rc = q->take(ctx, ask);

        ngx_pcap_api_fetch_drop(&ask->fetch);
        ask->fetch.ctx = NULL;

        return rc;
    }

    if ((ngx_msec_int_t) (ngx_current_msec - ctx->deadline) < 0) {
        return NGX_AGAIN;
    }

    return ngx_pcap_api_platform_failed(ctx, p, ask,
                                        "it does not answer in time");
}


ngx_int_t
ngx_pcap_api_platform_run(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask,
    const ngx_pcap_api_question_t *questions)
{
    ngx_int_t  rc;

    while (questions[ask->step].ask != NULL) {
        rc = ngx_pcap_api_platform_step(ctx, p, ask, &questions[ask->step]);

        if (rc == NGX_OK) {
            ask->step++;

        } else if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_platform_probe(ngx_pcap_api_ctx_t *ctx,
    ngx_pcap_api_platform_t *p, ngx_pcap_api_ask_t *ask,
    const ngx_pcap_api_question_t *q)
{
    ngx_int_t   rc;
    ngx_uint_t  late;

    late = (ngx_msec_int_t) (ngx_current_msec - ctx->deadline) >= 0;

    if (ask->fetch.ctx == NULL) {
        rc = ngx_pcap_api_health_get(&p->health);

        if (rc == NGX_BUSY) {
            return late ? NGX_DECLINED : NGX_AGAIN;
        }

        return rc == NGX_AGAIN ? q->ask(ctx, ask) : rc;
    }

    if (ask->fetch.sr != NULL && !ask->fetch.done) {
        if (!late) {
            return NGX_AGAIN;
        }

        ngx_pcap_api_fetch_drop(&ask->fetch);
        (void) ngx_pcap_api_platform_failed(ctx, p, ask,
                                            "it does not answer in time");

        return NGX_DECLINED;
    }

    rc = q->take(ctx, ask);
    ngx_pcap_api_fetch_drop(&ask->fetch);
    ask->fetch.ctx = NULL;                 /* what is known now is fresh */

    return rc == NGX_OK ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_pcap_api_platform_address(const char *ip, size_t len, ngx_uint_t port,
    ngx_str_t *text, u_char *addr, u_char *addr_len)
{
    char      err[PCAPX_ERR_LEN];
    uint16_t  parsed;

    if (len > INET6_ADDRSTRLEN) {
        return 0;
    }

    text->len = ngx_snprintf(text->data, NGX_SOCKADDR_STRLEN,
                             memchr(ip, ':', len) ? "[%*s]:%ui" : "%*s:%ui",
                             len, ip, port)
                - text->data;

    return pcapx_parse_endpoint((char *) text->data, text->len, addr,
                                addr_len, &parsed, err)
           == PCAPX_OK;
}


ngx_uint_t
ngx_pcap_api_platform_in(ngx_cidr_t *ranges, ngx_uint_t n, u_char *addr,
    u_char addr_len)
{
    ngx_array_t     list;
    ngx_sockaddr_t  sa;

    ngx_memzero(&sa, sizeof(ngx_sockaddr_t));
    ngx_memzero(&list, sizeof(ngx_array_t));
    list.elts = ranges;
    list.nelts = n;

    if (addr_len == 4) {
        sa.sockaddr_in.sin_family = AF_INET;
        ngx_memcpy(&sa.sockaddr_in.sin_addr, addr, 4);

    } else {
#if (NGX_HAVE_INET6)
        sa.sockaddr_in6.sin6_family = AF_INET6;
        ngx_memcpy(&sa.sockaddr_in6.sin6_addr, addr, 16);
#else
        return 0;
#endif
    }

    return ngx_cidr_match(&sa.sockaddr, &list) == NGX_OK;
}


/* "pcap-agent", or, where stars is set, "*.pcap-agent" as well. */
static ngx_uint_t
ngx_pcap_api_platform_tls_fits(ngx_str_t *name, ngx_uint_t stars)
{
    size_t  i;
    u_char  ch;

    i = (stars && name->len > 2 && name->data[0] == '*'
         && name->data[1] == '.')
        ? 2 : 0;

    if (i == name->len || name->len > NGX_PCAP_API_USER_LEN) {
        return 0;
    }

    for ( /* void */ ; i < name->len; i++) {
        ch = name->data[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9') || ch == '-' || ch == '.'
              || ch == '_'))
        {
            return 0;
        }
    }

    return 1;
}


char *
ngx_pcap_api_platform_conf(ngx_conf_t *cf, ngx_pcap_api_platform_t *p)
{
    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (value[1].len < 2 || value[1].data[0] != '/') {
        return "takes the URI of an internal location, \"/NAME\"";
    }

    p->uri = value[1];
    p->port = 9494;
    ngx_str_set(&p->tls_name, "pcap-agent");

    for (i = 2; i < cf->args->nelts; i++) {
        s = value[i];

        if (ngx_strncmp(s.data, "tls_name=", 9) == 0) {
            p->tls_name.data = s.data + 9;
            p->tls_name.len = s.len - 9;

            if (!ngx_pcap_api_platform_tls_fits(&p->tls_name,
                                                p->tls_star))
            {
                return p->tls_star
                       ? "takes \"tls_name=NAME\" or \"tls_name=*.NAME\""
                       : "takes \"tls_name=NAME\"";
            }

        } else if (ngx_strncmp(s.data, "port=", 5) == 0) {
            n = ngx_atoi(s.data + 5, s.len - 5);

            if (n < 1 || n > 65535) {
                return "takes \"port=1\" to \"port=65535\"";
            }

            p->port = n;

        } else {
            return "takes \"tls_name=NAME\" and \"port=NUMBER\" behind "
                   "the URI";
        }
    }

    return NGX_CONF_OK;
}
