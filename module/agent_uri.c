/*
 * module/agent_uri.c: what agents are asked: the capture's options and the
 * addresses of the capture itself, which they leave out. Everything that a
 * user or a router has said is percent-encoded here.
 */

#include "ngx_pcap_api_module.h"

#include <sys/socket.h>


#define NGX_PCAP_API_MAX_URI  16000        /* an agent takes 16 KiB in all */

/*
 * A record waits for the others' heartbeats, and each heartbeat costs both
 * sides some 20 us (bench/README.md, "latency").
 */
#define NGX_PCAP_API_BEAT_FEW     15       /* ms */
#define NGX_PCAP_API_BEAT_MANY    100
#define NGX_PCAP_API_FEW_AGENTS   50


/* Appends "&name=value" with value encoded. */
static u_char *
ngx_pcap_api_uri_arg(u_char *p, u_char *last, const char *name, u_char *value,
    size_t len)
{
    size_t  n;

    p = ngx_slprintf(p, last, "&%s=", name);
    n = pcapx_form_encode((char *) p, last - p, (char *) value, len);

    return (n > (size_t) (last - p)) ? last : p + n;
}


/* "1.2.3.4:5" or "[::1]:5"; a mapped IPv4 address is shown as IPv4. */
static size_t
ngx_pcap_api_sockaddr_text(struct sockaddr *sa, socklen_t len, in_port_t port,
    u_char *text)
{
    struct sockaddr_in    sin;
    struct sockaddr_in6  *sin6;

    if (sa->sa_family == AF_INET6) {
        sin6 = (struct sockaddr_in6 *) sa;

        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            ngx_memzero(&sin, sizeof(sin));
            sin.sin_family = AF_INET;
            sin.sin_port = port ? htons(port) : sin6->sin6_port;
            ngx_memcpy(&sin.sin_addr, sin6->sin6_addr.s6_addr + 12, 4);

            return ngx_sock_ntop((struct sockaddr *) &sin, sizeof(sin), text,
                                 NGX_SOCKADDR_STRLEN, 1);
        }

    } else if (sa->sa_family != AF_INET) {
        return 0;
    }

    if (port) {
        ngx_inet_set_port(sa, port);
    }

    return ngx_sock_ntop(sa, len, text, NGX_SOCKADDR_STRLEN, 1);
}


/* The port the client used towards the router: of the Host header, or 443. */
static in_port_t
ngx_pcap_api_router_port(ngx_http_request_t *r)
{
    u_char     *p;
    ngx_int_t   port;
    ngx_str_t   host;

    if (r->headers_in.host == NULL) {
        return 443;
    }

    host = r->headers_in.host->value;

    for (p = host.data + host.len; p > host.data; p--) {
        if (p[-1] == ':') {
            port = ngx_atoi(p, host.data + host.len - p);
            return (port > 0 && port < 65536) ? (in_port_t) port : 443;
        }

        if (p[-1] < '0' || p[-1] > '9') {
            break;
        }
    }

    return 443;
}


ngx_int_t
ngx_pcap_api_forwarded_for(ngx_http_request_t *r, ngx_addr_t *addr)
{
    u_char           *p, *last;
    ngx_str_t         value;
    ngx_table_elt_t  *h;

    h = ngx_pcap_api_request_header(r, "x-forwarded-for");
    if (h == NULL) {
        return NGX_DECLINED;
    }

    value = h->value;
    last = value.data + value.len;

    while (last > value.data && last[-1] == ' ') {
        last--;
    }

    for (p = last; p > value.data && p[-1] != ',' && p[-1] != ' '; p--) {
        /* void */
    }

    if (p == last) {
        return NGX_DECLINED;
    }

    return ngx_parse_addr(r->pool, addr, p, last - p);
}


ngx_uint_t
ngx_pcap_api_is_tls(ngx_http_request_t *r)
{
#if (NGX_HTTP_SSL)
    return r->connection->ssl != NULL;
#else
    return 0;
#endif
}


ngx_uint_t
ngx_pcap_api_is_router(ngx_http_request_t *r, ngx_pcap_api_loc_conf_t *conf)
{
    return (conf->peers.forwarded && ngx_pcap_api_is_tls(r))
           || (conf->routers != NULL
               && ngx_cidr_match(r->connection->sockaddr, conf->routers)
                  == NGX_OK);
}


void
ngx_pcap_api_client_addr(ngx_http_request_t *r,
    ngx_pcap_api_loc_conf_t *conf, ngx_str_t *text)
{
    u_char              *p;
    ngx_addr_t           addr;
    ngx_pcap_api_ctx_t  *ctx;

    ctx = ngx_pcap_api_ctx(r);

    if (ctx != NULL && ctx->client.len) {
        *text = ctx->client;               /* who was granted it */
        return;
    }

    *text = r->connection->addr_text;

    if (!ngx_pcap_api_is_router(r, conf)
        || ngx_pcap_api_forwarded_for(r, &addr) != NGX_OK)
    {
        return;
    }

    p = ngx_pnalloc(r->pool, NGX_SOCKADDR_STRLEN);
    if (p == NULL) {
        return;
    }

    text->len = ngx_sock_ntop(addr.sockaddr, addr.socklen, p,
                              NGX_SOCKADDR_STRLEN, 0);
    text->data = p;
}


/*
 * What the agents have to leave out, because it is the capture itself: our
 * listener, the peer of this request, and the leg from the router to its
 * client. A router's report allows nothing: beside this it says whose requests
 * are counted (module/limits.c).
 */
static u_char *
ngx_pcap_api_uri_excludes(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx,
    u_char *p, u_char *last)
{
    size_t             len;
    u_char             text[NGX_SOCKADDR_STRLEN];
    socklen_t          socklen;
    ngx_addr_t         addr;
    ngx_sockaddr_t     sa;

    socklen = sizeof(ngx_sockaddr_t);

    if (getsockname(r->connection->fd, &sa.sockaddr, &socklen) == 0) {
        len = ngx_pcap_api_sockaddr_text(&sa.sockaddr, socklen, 0, text);
        if (len) {
            p = ngx_pcap_api_uri_arg(p, last, "exclude", text, len);
        }
    }

    socklen = sizeof(ngx_sockaddr_t);

    if (getpeername(r->connection->fd, &sa.sockaddr, &socklen) != 0) {
        return p;
    }

    len = ngx_pcap_api_sockaddr_text(&sa.sockaddr, socklen, 0, text);
    if (len) {
        p = ngx_pcap_api_uri_arg(p, last, "exclude", text, len);
    }

    if (ctx->conf->routers == NULL
        || ngx_cidr_match(&sa.sockaddr, ctx->conf->routers) != NGX_OK
        || ngx_pcap_api_forwarded_for(r, &addr) != NGX_OK)
    {
        return p;
    }

    len = ngx_pcap_api_sockaddr_text(addr.sockaddr, addr.socklen,
                                     ngx_pcap_api_router_port(r), text);
    if (len) {
        p = ngx_pcap_api_uri_arg(p, last, "exclude_peer", text, len);
    }

    return p;
}


/* What the configuration says, or by the agents that the worker has then. */
static ngx_msec_t
ngx_pcap_api_heartbeat(ngx_pcap_api_ctx_t *ctx)
{
    ngx_uint_t  n;

    n = ngx_pcap_api_pace_agents(ctx);

    if (ctx->conf->heartbeat) {
        return ctx->conf->heartbeat;
    }

    return n <= NGX_PCAP_API_FEW_AGENTS ? NGX_PCAP_API_BEAT_FEW
                                        : NGX_PCAP_API_BEAT_MANY;
}


ngx_int_t
ngx_pcap_api_agent_uri(ngx_http_request_t *r, ngx_pcap_api_ctx_t *ctx)
{
    u_char               *p, *last;
    ngx_str_t            *s;
    ngx_uint_t            i;
    ngx_pcap_api_opts_t  *opts;

    opts = &ctx->opts;

    if (ctx->kube.what == NGX_PCAP_API_KUBE_MERGED) {
        return ngx_pcap_api_kube_merged_uri(ctx, ngx_pcap_api_heartbeat(ctx));
    }

    p = ngx_pnalloc(r->pool, NGX_PCAP_API_MAX_URI);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->agent_uri.data = p;
    last = p + NGX_PCAP_API_MAX_URI;

    p = ngx_slprintf(p, last, "/v1/capture?format=pcapng&snaplen=%uD"
                     "&promiscuous=%ui&heartbeat_ms=%M&id=%*s",
                     opts->snaplen, opts->promiscuous,
                     ngx_pcap_api_heartbeat(ctx),
                     (size_t) NGX_PCAP_API_ID_LEN, ctx->id);

    s = opts->interfaces.elts;

    for (i = 0; i < opts->interfaces.nelts; i++) {
        p = ngx_pcap_api_uri_arg(p, last, "interface", s[i].data, s[i].len);
    }

    p = ngx_pcap_api_uri_excludes(r, ctx, p, last);

    if (opts->filter.len) {
        p = ngx_pcap_api_uri_arg(p, last, "filter", opts->filter.data,
                                 opts->filter.len);
    }

    if (p == last) {
        return ngx_pcap_api_refuse(ctx, NGX_HTTP_BAD_REQUEST,
                                   "option \"filter\": too long when encoded");
    }

    ctx->agent_uri.len = p - ctx->agent_uri.data;

    return NGX_OK;
}
