/*
 * agent/veth.c: see veth.h. Two questions to the kernel, each over a socket
 * of its own: which way to an address, and what kind an interface is. A
 * bridge (kawasaki, the networking of garden without CNI) is refused: all
 * containers of the machine are behind it.
 */

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "veth.h"


/* One link with all its attributes; NLMSG_GOODSIZE of the kernel is less. */
#define VETH_ANSWER_LEN  32768

typedef struct {
    struct nlmsghdr    head;
    union {
        struct rtmsg      route;
        struct ifinfomsg  link;
    } body;
    uint8_t            attrs[64];
} veth_ask_t;

typedef union {
    struct nlmsghdr    head;
    uint8_t            bytes[VETH_ANSWER_LEN];
} veth_answer_t;


static int veth_route(const endpoint_t *ip);
static int veth_is_pair(int index, char *name);
static int veth_is_kind(const struct rtattr *info);
static const struct nlmsghdr *veth_exchange(veth_ask_t *ask,
    veth_answer_t *answer, unsigned type);
static const struct rtattr *veth_attr(const void *from, size_t len,
    unsigned type);


const char *
veth_find(const endpoint_t *ip, veth_t *v)
{
    char  name[NET_IFNAME_LEN];

    v->index = veth_route(ip);

    if (v->index > 0 && veth_is_pair(v->index, v->name)) {
        return NULL;
    }

    veth_silk_name(ip, name);
    v->index = name[0] ? (int) if_nametoindex(name) : 0;

    if (v->index > 0 && veth_is_pair(v->index, v->name)) {
        return NULL;
    }

    return "the host's side of its pair of interfaces is not found";
}


void
veth_silk_name(const endpoint_t *ip, char *name)
{
    name[0] = '\0';

    if (ip->addr_len == 4) {
        snprintf(name, NET_IFNAME_LEN, "s-%03u%03u%03u%03u", ip->addr[0],
                 ip->addr[1], ip->addr[2], ip->addr[3]);
    }
}


/* Index of the interface that packets to this address leave by, or 0. */

static int
veth_route(const endpoint_t *ip)
{
    int                      index;
    veth_ask_t               ask;
    veth_answer_t            answer;
    struct rtattr           *dst;
    const struct rtattr     *oif;
    const struct nlmsghdr   *h;

    if (ip->addr_len == 0) {
        return 0;
    }

    memset(&ask, 0, sizeof(ask));
    ask.head.nlmsg_type = RTM_GETROUTE;
    ask.body.route.rtm_family = ip->addr_len == 4 ? AF_INET : AF_INET6;
    ask.body.route.rtm_dst_len = (unsigned char) (8 * ip->addr_len);

    dst = (struct rtattr *) (void *) ((uint8_t *) &ask
                                      + NLMSG_SPACE(sizeof(struct rtmsg)));
    dst->rta_type = RTA_DST;
    dst->rta_len = (unsigned short) RTA_LENGTH(ip->addr_len);
    memcpy(RTA_DATA(dst), ip->addr, ip->addr_len);
    ask.head.nlmsg_len = (uint32_t) (NLMSG_SPACE(sizeof(struct rtmsg))
                                     + RTA_ALIGN(dst->rta_len));

    h = veth_exchange(&ask, &answer, RTM_NEWROUTE);

    if (h == NULL || h->nlmsg_len < NLMSG_SPACE(sizeof(struct rtmsg))) {
        return 0;
    }

    oif = veth_attr((const uint8_t *) h + NLMSG_SPACE(sizeof(struct rtmsg)),
                    h->nlmsg_len - NLMSG_SPACE(sizeof(struct rtmsg)),
                    RTA_OIF);

    if (oif == NULL || RTA_PAYLOAD(oif) < sizeof(index)) {
        return 0;
    }

    memcpy(&index, RTA_DATA(oif), sizeof(index));

    return index;
}


/* Is it a veth with its other end elsewhere? name gets its name then. */

static int
veth_is_pair(int index, char *name)
{
    size_t                   len;
    veth_ask_t               ask;
    veth_answer_t            answer;
    const uint8_t           *attrs;
    const struct rtattr     *text, *info;
    const struct nlmsghdr   *h;

    memset(&ask, 0, sizeof(ask));
    ask.head.nlmsg_type = RTM_GETLINK;
    ask.head.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg));
    ask.body.link.ifi_index = index;

    h = veth_exchange(&ask, &answer, RTM_NEWLINK);

    if (h == NULL || h->nlmsg_len < NLMSG_SPACE(sizeof(struct ifinfomsg))) {
        return 0;
    }

    attrs = (const uint8_t *) h + NLMSG_SPACE(sizeof(struct ifinfomsg));
    len = h->nlmsg_len - NLMSG_SPACE(sizeof(struct ifinfomsg));

    text = veth_attr(attrs, len, IFLA_IFNAME);
    info = veth_attr(attrs, len, IFLA_LINKINFO);

    if (text == NULL || RTA_PAYLOAD(text) > NET_IFNAME_LEN || info == NULL
        || !veth_is_kind(info)
        || veth_attr(attrs, len, IFLA_LINK_NETNSID) == NULL)
    {
        return 0;
    }

    snprintf(name, NET_IFNAME_LEN, "%.*s", (int) RTA_PAYLOAD(text),
             (const char *) RTA_DATA(text));

    return 1;
}


static int
veth_is_kind(const struct rtattr *info)
{
    const struct rtattr  *kind;

    kind = veth_attr(RTA_DATA(info), RTA_PAYLOAD(info), IFLA_INFO_KIND);

    return kind && RTA_PAYLOAD(kind) == sizeof("veth")
           && memcmp(RTA_DATA(kind), "veth", sizeof("veth")) == 0;
}


/* One question, one answer. NULL when it is an error or of another type. */

static const struct nlmsghdr *
veth_exchange(veth_ask_t *ask, veth_answer_t *answer, unsigned type)
{
    int       fd;
    ssize_t   n;

    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd == -1) {
        return NULL;
    }

    ask->head.nlmsg_flags = NLM_F_REQUEST;

    /* The kernel answers within the call, so recv() does not wait. */

    n = send(fd, ask, ask->head.nlmsg_len, 0);
    n = n == -1 ? -1 : recv(fd, answer, sizeof(*answer), MSG_DONTWAIT);
    close(fd);

    if (n < (ssize_t) sizeof(struct nlmsghdr)
        || answer->head.nlmsg_len > (size_t) n
        || answer->head.nlmsg_type != type)
    {
        return NULL;
    }

    return &answer->head;
}


static const struct rtattr *
veth_attr(const void *from, size_t len, unsigned type)
{
    int                   left;
    const struct rtattr  *a;

    left = (int) len;

    for (a = from; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if ((a->rta_type & NLA_TYPE_MASK) == type) {
            return a;
        }
    }

    return NULL;
}
