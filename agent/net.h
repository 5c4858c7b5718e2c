/*
 * agent/net.h: addresses and clocks, the small change of every room.
 */

#ifndef AGENT_NET_H
#define AGENT_NET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>


#define NET_MAX_LOCAL       64    /* local addresses that are excluded */
#define NET_ENDPOINT_TEXT   56    /* "[IPv6]:port" and NUL */
#define NET_MAX_IFNAMES     256   /* names listed in a 404 */
#define NET_IFNAME_LEN      16    /* IFNAMSIZ */

typedef struct {
    uint8_t    addr[16];          /* network order, 4 or 16 bytes used */
    uint8_t    addr_len;          /* 4 or 16 */
    uint16_t   port;              /* host order */
} endpoint_t;


/* Nanoseconds of CLOCK_REALTIME (since the epoch) and of CLOCK_MONOTONIC. */
uint64_t net_realtime(void);
uint64_t net_monotonic(void);

/* CPU time of this process in nanoseconds. */
uint64_t net_cpu(void);

/*
 * Takes address and port out of a socket address; an IPv4 address mapped
 * into IPv6 becomes IPv4. Returns 0, or -1 for another family.
 */
int net_endpoint(const struct sockaddr *sa, endpoint_t *ep);

/* The other way round; returns the length that bind() wants. */
socklen_t net_sockaddr(const endpoint_t *ep, struct sockaddr_storage *ss);

/* 1 when the address is 0.0.0.0 or ::, else 0. */
int net_is_wildcard(const endpoint_t *ep);

/* 1 when both are the same address, ports aside. */
int net_same_addr(const endpoint_t *a, const endpoint_t *b);

/* The address as text, "?" when that fails. dst holds NET_ENDPOINT_TEXT. */
const char *net_addr_text(const endpoint_t *ep, char *dst);

/* "192.0.2.1:80" or "[2001:db8::1]:80", as above. */
const char *net_endpoint_text(const endpoint_t *ep, char *dst);

/*
 * Addresses of this machine (of this network namespace), at most max, each
 * with the port given. Returns how many.
 */
size_t net_local_endpoints(endpoint_t *eps, size_t max, uint16_t port);

/*
 * Name of the interface that holds this address. Returns 0, or -1 when none
 * does. name has NET_IFNAME_LEN bytes.
 */
int net_interface_of(const endpoint_t *ep, char *name);

/*
 * While a TCP socket is corked only full segments leave; taking the cork out
 * sends the rest. Best effort: without it there are more segments.
 */
void net_cork(int fd, int on);


#endif /* AGENT_NET_H */
