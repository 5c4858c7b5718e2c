/*
 * agent/netns.h: going into a network namespace and coming back. A process
 * is only ever inside to open sockets; where it is, is asked of the kernel
 * and not assumed.
 */

#ifndef AGENT_NETNS_H
#define AGENT_NETNS_H

#include <sys/stat.h>

#include "log.h"
#include "request.h"


/* What tells namespaces apart: a number is given anew only when nothing
 * holds the namespace any more (nsfs; namespaces(7)). */

typedef struct {
    dev_t   dev;
    ino_t   ino;
} netns_id_t;


/* 1 when both are the same namespace, else 0. */
int netns_same(const netns_id_t *a, const netns_id_t *b);

/*
 * Opens the namespace this process is in; *id says which. Returns the
 * descriptor, or -1 with errno.
 */
int netns_open_own(netns_id_t *id);

/*
 * 1: an empty file on a disk, what a mount is put on: it is not there yet, or
 * not any more.
 */
int netns_unmounted(int fd);

/*
 * Is fd a network namespace, and another one than home? Nothing else in its
 * place passes: no other file, no other kind of namespace. Returns NULL with
 * *id filled, or what is wrong.
 */
const char *netns_wrong(int fd, const netns_id_t *home, netns_id_t *id);

/*
 * Goes into the namespace with CAP_SYS_ADMIN and lowers it again. Returns 0
 * when the kernel says that this process is in id, else -1 with errno.
 */
int netns_enter(int fd, const netns_id_t *id);

/*
 * May this process change its namespace at all (capability, and no list of
 * system calls in the way)? Goes into its own. Returns 0 or -1 with errno.
 */
int netns_try(void);


#endif /* AGENT_NETNS_H */
