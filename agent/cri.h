/*
 * agent/cri.h: what a container runtime of Kubernetes writes down of a pod's
 * sandbox: the OCI configuration config.json of the container that holds the
 * pod's namespaces. Pure parsing. The runtime writes as root, but much of it
 * are a user's words (annotations, labels, names, environment), so the text
 * is taken as hostile.
 *
 * Sources (docs/PROTOCOL.md has them in full): containerd
 * internal/cri/annotations/annotations.go (pkg/cri/... up to 1.7), cri-o
 * internal/annotations/annotations.go and server/sandbox_run_linux.go.
 */

#ifndef AGENT_CRI_H
#define AGENT_CRI_H

#include <stddef.h>

#include "conf.h"
#include "cstate.h"


#define CRI_MAX_NETNS      255     /* a name in a folder (NAME_MAX) */
#define CRI_MAX_UID        64
#define CRI_MAX_NAMESPACE  63      /* DNS label (RFC 1123 2.1) */
#define CRI_MAX_NAME       253     /* DNS name */

/* Which pod? namespace and name are compared where they are not "". */

typedef struct {
    const char  *uid;
    const char  *space;
    const char  *name;
} cri_pod_t;


/*
 * Is this text, of len bytes, the sandbox of that pod? CSTATE_OK: it is, and
 * netns (CRI_MAX_NETNS + 1 bytes) has the last component of its network
 * namespace's path, or is "": it is in that of the node. CSTATE_NONE: it is
 * something else. CSTATE_BAD: it names this pod, but is not as it should be.
 * netns is "" then, too. Retains nothing.
 */
cstate_t cri_sandbox(conf_cri_t runtime, const char *text, size_t len,
    const cri_pod_t *pod, char *netns);

/*
 * Longest config.json of a sandbox; what is longer is that of a container,
 * with a user's environment. containerd lets none of a pod's annotations
 * through but those that its configuration names. CRI-O writes them, up to
 * 256 KiB, twice, and the escapes of JSON make seven bytes of one.
 */
size_t cri_max_state(conf_cri_t runtime);

/* Where the file is below an entry of the state folder: "/config.json". */
const char *cri_config(conf_cri_t runtime);


#endif /* AGENT_CRI_H */
