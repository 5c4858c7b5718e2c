/*
 * agent/cri.c: see cri.h. It opens nothing and remembers nothing.
 */

#include <jansson.h>
#include <string.h>

#include "cri.h"


/*
 * containerd: its own words stand over what it lets through of a pod's
 * annotations. CRI-O: annotations of the pod, then its labels stand over
 * CRI-O's own words, so a user can write another type; but uid, namespace and
 * name are labels of kubelet, which writes them over a user's, and the
 * namespaces are no annotation at all.
 */

typedef struct {
    const char  *config;      /* below an entry of the state folder */
    size_t       max;         /* bytes of it */
    const char  *type;
    const char  *uid;
    const char  *space;
    const char  *name;
} cri_keys_t;


static cstate_t cri_sandbox_of(const json_t *root, const cri_keys_t *keys,
    const cri_pod_t *pod, char *netns);
static int cri_says(const json_t *annotations, const char *key,
    const char *want);
static cstate_t cri_network(const json_t *root, char *netns);
static cstate_t cri_netns_name(const char *path, char *netns);


static const cri_keys_t  cri_keys[] = {
    [CONF_CRI_CONTAINERD] = {
        "/config.json",
        256u << 10,
        "io.kubernetes.cri.container-type",
        "io.kubernetes.cri.sandbox-uid",
        "io.kubernetes.cri.sandbox-namespace",
        "io.kubernetes.cri.sandbox-name"
    },
    [CONF_CRI_CRIO] = {
        "/userdata/config.json",
        4u << 20,
        "io.kubernetes.cri-o.ContainerType",
        "io.kubernetes.pod.uid",
        "io.kubernetes.pod.namespace",
        "io.kubernetes.pod.name"
    }
};


const char *
cri_config(conf_cri_t runtime)
{
    return cri_keys[runtime].config;
}


size_t
cri_max_state(conf_cri_t runtime)
{
    return cri_keys[runtime].max;
}


cstate_t
cri_sandbox(conf_cri_t runtime, const char *text, size_t len,
    const cri_pod_t *pod, char *netns)
{
    json_t        *root;
    cstate_t       rc;
    json_error_t   err;

    netns[0] = '\0';

    /* A uid has no character that JSON escapes: of a folder with hundreds of
     * files few are parsed. */

    if (memmem(text, len, pod->uid, strlen(pod->uid)) == NULL) {
        return CSTATE_NONE;
    }

    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &err);

    if (root == NULL) {
        return CSTATE_BAD;
    }

    rc = cri_sandbox_of(root, &cri_keys[runtime], pod, netns);
    json_decref(root);

    return rc;
}


static cstate_t
cri_sandbox_of(const json_t *root, const cri_keys_t *keys,
    const cri_pod_t *pod, char *netns)
{
    const json_t  *a;

    a = json_object_get(root, "annotations");

    if (!cri_says(a, keys->type, "sandbox")
        || !cri_says(a, keys->uid, pod->uid)
        || (pod->space[0] && !cri_says(a, keys->space, pod->space))
        || (pod->name[0] && !cri_says(a, keys->name, pod->name)))
    {
        return CSTATE_NONE;
    }

    return cri_network(root, netns);
}


static int
cri_says(const json_t *annotations, const char *key, const char *want)
{
    const char    *is;
    const json_t  *value;

    value = json_object_get(annotations, key);
    is = json_string_value(value);

    return is && json_string_length(value) == strlen(want)
           && strcmp(is, want) == 0;
}


/*
 * Both runtimes leave the network namespace out of the list for a pod in that
 * of the node (hostNetwork), and make the one of any other themselves.
 */

static cstate_t
cri_network(const json_t *root, char *netns)
{
    size_t         i, found;
    const char    *type;
    cstate_t       rc;
    const json_t  *list, *item;

    list = json_object_get(json_object_get(root, "linux"), "namespaces");

    if (!json_is_array(list)) {
        return CSTATE_BAD;
    }

    rc = CSTATE_OK;
    found = 0;

    json_array_foreach(list, i, item) {
        type = json_string_value(json_object_get(item, "type"));

        if (type == NULL) {
            rc = CSTATE_BAD;
            break;
        }

        if (strcmp(type, "network") == 0) {
            found++;
            rc = cri_netns_name(json_string_value(json_object_get(item,
                                                                  "path")),
                                netns);
        }
    }

    if (found > 1) {
        rc = CSTATE_BAD;
    }

    if (rc != CSTATE_OK) {
        netns[0] = '\0';
    }

    return rc;
}


/*
 * The folder that it lies in is the runtime's business: the agent, in a pod
 * of its own, may see it under another name. Where it lies below /proc it
 * is the number of a process, which may be somebody else's by now.
 */

static cstate_t
cri_netns_name(const char *path, char *netns)
{
    size_t       len;
    const char  *name;

    if (path == NULL || path[0] != '/' || strncmp(path, "/proc/", 6) == 0) {
        return CSTATE_BAD;
    }

    name = strrchr(path, '/') + 1;
    len = strlen(name);

    if (len == 0 || len > CRI_MAX_NETNS || name[0] == '.'
        || strspn(name, "abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789._-") != len)
    {
        return CSTATE_BAD;
    }

    memcpy(netns, name, len + 1);

    return CSTATE_OK;
}
