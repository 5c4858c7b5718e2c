/*
 * fuzz/agent_cri.c: any bytes as what a container runtime has written down of
 * a sandbox; the first byte says which runtime, and whether namespace and name
 * are asked for. Much of such a file are a user's words. A name that is taken
 * over must be one in a folder, and nothing else.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cri.h"
#include "fuzz/require.h"


#define UID  "4fe556a4-0bd7-45be-966f-46e2cbf40001"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int         asked;
    char       *text, netns[CRI_MAX_NETNS + 1];
    size_t      len;
    cstate_t    rc;
    cri_pod_t   pod;

    if (size == 0) {
        return 0;
    }

    /* of exactly the right size, so that a sanitizer sees all */

    len = size - 1;
    text = malloc(len ? len : 1);
    if (text == NULL) {
        return 0;
    }

    memcpy(text, data + 1, len);
    memset(netns, 'x', sizeof(netns));

    asked = data[0] & 2;
    pod = (cri_pod_t) { .uid = UID, .space = asked ? "shop" : "",
                        .name = asked ? "web-0" : "" };

    rc = cri_sandbox(data[0] & 1 ? CONF_CRI_CRIO : CONF_CRI_CONTAINERD, text,
                     len, &pod, netns);

    require(memchr(netns, '\0', sizeof(netns)) != NULL);
    require(rc == CSTATE_OK || netns[0] == '\0');
    require(netns[0] != '.' && strchr(netns, '/') == NULL);

    /* whatever else stands in there, the uid does */

    require(rc == CSTATE_NONE || memmem(text, len, UID, strlen(UID)));

    free(text);

    return 0;
}
