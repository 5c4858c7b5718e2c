/*
 * fuzz/agent_cstate.c: any bytes as one of the texts that describe a
 * container; the first byte says which. Tenants have a say in some of them.
 * What is taken over must keep to what the rest of the agent relies on.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cstate.h"
#include "fuzz/require.h"


#define HANDLE  "h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
judge_owner(const char *text, size_t len)
{
    size_t           i;
    cstate_owner_t   owner;

    if (cstate_owner(text, len, HANDLE, &owner) != CSTATE_OK) {
        return;
    }

    require(owner.app[0] != '\0' && strlen(owner.app) <= CSTATE_MAX_APP);
    require(owner.ip.addr_len == 0 || owner.ip.addr_len == 4
            || owner.ip.addr_len == 16);

    for (i = 0; owner.app[i]; i++) {
        require(owner.app[i] > ' ' && owner.app[i] <= 'z'
                && owner.app[i] != '/' && owner.app[i] != '.');
    }
}


static void
judge_init(cstate_t rc, const cstate_init_t *init)
{
    require(rc != CSTATE_OK
            || (init->pid > 1 && init->pid <= CSTATE_MAX_PID));
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char           *text;
    size_t          len;
    uint64_t        start;
    cstate_init_t   init;

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
    memset(&init, 0, sizeof(init));
    start = 0;

    switch (data[0] % 5) {

    case 0:
        judge_owner(text, len);
        break;

    case 1:
        judge_init(cstate_runc(text, len, HANDLE, &init), &init);
        require(init.pid == 0 || init.start != 0);
        break;

    case 2:
        judge_init(cstate_pid(text, len, &init), &init);
        break;

    case 3:
        require(cstate_started(text, len, &start) != CSTATE_OK || start);
        break;

    default:
        require(cstate_in_cgroup(text, len, HANDLE) != CSTATE_BAD);
    }

    free(text);

    return 0;
}
