/*
 * agent/veth.h: the host's side of a container's pair of interfaces, found
 * by the container's address. Needs no privilege; everything is read from
 * the kernel (rtnetlink(7)).
 */

#ifndef AGENT_VETH_H
#define AGENT_VETH_H

#include "net.h"


typedef struct {
    int    index;
    char   name[NET_IFNAME_LEN];
} veth_t;


/*
 * The interface that the machine's route to this address leads to or, where
 * there is none such, the one that silk names after an IPv4 address:
 * s-AAABBBCCCDDD, the octets with leading zeros (silk's
 * DeviceNameGenerator.GenerateForHost()). In any case it is one end of a veth
 * pair whose other end is in another namespace. Returns NULL with *v filled,
 * or what is wrong.
 */
const char *veth_find(const endpoint_t *ip, veth_t *v);

/* silk's name for the host's side, "" for an IPv6 address. */
void veth_silk_name(const endpoint_t *ip, char *name);


#endif /* AGENT_VETH_H */
