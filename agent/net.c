/*
 * agent/net.c: addresses and clocks. It only reads what the kernel knows;
 * no name is ever looked up here.
 */

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "net.h"


static uint64_t net_clock(clockid_t id);
static int net_known(const endpoint_t *eps, size_t n, const endpoint_t *ep);


uint64_t
net_realtime(void)
{
    return net_clock(CLOCK_REALTIME);
}


uint64_t
net_monotonic(void)
{
    return net_clock(CLOCK_MONOTONIC);
}


uint64_t
net_cpu(void)
{
    return net_clock(CLOCK_PROCESS_CPUTIME_ID);
}


static uint64_t
net_clock(clockid_t id)
{
    struct timespec  ts;

    clock_gettime(id, &ts);

    return (uint64_t) ts.tv_sec * 1000000000u + (uint64_t) ts.tv_nsec;
}


int
net_endpoint(const struct sockaddr *sa, endpoint_t *ep)
{
    const struct sockaddr_in   *sin;
    const struct sockaddr_in6  *sin6;

    memset(ep, 0, sizeof(*ep));

    if (sa->sa_family == AF_INET) {
        sin = (const struct sockaddr_in *) (const void *) sa;
        memcpy(ep->addr, &sin->sin_addr, 4);
        ep->addr_len = 4;
        ep->port = ntohs(sin->sin_port);
        return 0;
    }

    if (sa->sa_family != AF_INET6) {
        return -1;
    }

    sin6 = (const struct sockaddr_in6 *) (const void *) sa;
    ep->port = ntohs(sin6->sin6_port);

    if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
        memcpy(ep->addr, sin6->sin6_addr.s6_addr + 12, 4);
        ep->addr_len = 4;
        return 0;
    }

    memcpy(ep->addr, &sin6->sin6_addr, 16);
    ep->addr_len = 16;

    return 0;
}


socklen_t
net_sockaddr(const endpoint_t *ep, struct sockaddr_storage *ss)
{
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;

    memset(ss, 0, sizeof(*ss));

    if (ep->addr_len == 4) {
        sin = (struct sockaddr_in *) ss;
        sin->sin_family = AF_INET;
        sin->sin_port = htons(ep->port);
        memcpy(&sin->sin_addr, ep->addr, 4);
        return sizeof(*sin);
    }

    sin6 = (struct sockaddr_in6 *) ss;
    sin6->sin6_family = AF_INET6;
    sin6->sin6_port = htons(ep->port);
    memcpy(&sin6->sin6_addr, ep->addr, 16);

    return sizeof(*sin6);
}


int
net_is_wildcard(const endpoint_t *ep)
{
    static const uint8_t  zero[16];

    return memcmp(ep->addr, zero, ep->addr_len) == 0;
}


int
net_same_addr(const endpoint_t *a, const endpoint_t *b)
{
    return a->addr_len == b->addr_len
           && memcmp(a->addr, b->addr, a->addr_len) == 0;
}


const char *
net_addr_text(const endpoint_t *ep, char *dst)
{
    if (inet_ntop(ep->addr_len == 4 ? AF_INET : AF_INET6, ep->addr, dst,
                  NET_ENDPOINT_TEXT)
        == NULL)
    {
        return "?";
    }

    return dst;
}


const char *
net_endpoint_text(const endpoint_t *ep, char *dst)
{
    char  addr[NET_ENDPOINT_TEXT];

    net_addr_text(ep, addr);
    snprintf(dst, NET_ENDPOINT_TEXT, ep->addr_len == 4 ? "%.45s:%u"
                                                       : "[%.45s]:%u",
             addr, ep->port);

    return dst;
}


size_t
net_local_endpoints(endpoint_t *eps, size_t max, uint16_t port)
{
    size_t           n;
    endpoint_t       ep;
    struct ifaddrs  *list, *ifa;

    if (getifaddrs(&list) == -1) {
        return 0;
    }

    n = 0;

    for (ifa = list; ifa && n < max; ifa = ifa->ifa_next) {
        if (ifa->ifa_addr == NULL || net_endpoint(ifa->ifa_addr, &ep) != 0) {
            continue;
        }

        ep.port = port;

        if (!net_known(eps, n, &ep)) {
            eps[n++] = ep;
        }
    }

    freeifaddrs(list);

    return n;
}


static int
net_known(const endpoint_t *eps, size_t n, const endpoint_t *ep)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (net_same_addr(&eps[i], ep)) {
            return 1;
        }
    }

    return 0;
}


int
net_interface_of(const endpoint_t *ep, char *name)
{
    int              rc;
    endpoint_t       have;
    struct ifaddrs  *list, *ifa;

    if (getifaddrs(&list) == -1) {
        return -1;
    }

    rc = -1;

    for (ifa = list; ifa; ifa = ifa->ifa_next) {
        if (ifa->ifa_addr == NULL || net_endpoint(ifa->ifa_addr, &have) != 0
            || !net_same_addr(&have, ep))
        {
            continue;
        }

        snprintf(name, NET_IFNAME_LEN, "%.15s", ifa->ifa_name);

        /* An alias label ("eth0:1") stands for its interface. */
        name[strcspn(name, ":")] = '\0';
        rc = 0;
        break;
    }

    freeifaddrs(list);

    return rc;
}


void
net_cork(int fd, int on)
{
    (void) setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}
