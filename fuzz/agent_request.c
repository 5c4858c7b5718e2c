/*
 * fuzz/agent_request.c: any bytes as the HTTP request that an agent gets from
 * a client with a good certificate. What it takes over must keep to the
 * limits that the rest of the agent relies on.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/request.h"
#include "fuzz/require.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* One component of a path, whatever follows. */

static void
judge_part(const char *part, size_t max)
{
    require(part[0] && strlen(part) < max);
    require(strcmp(part, ".") != 0 && strcmp(part, "..") != 0);
    require(strchr(part, '/') == NULL && strchr(part, '\n') == NULL);
}


static void
judge(const request_t *req)
{
    unsigned  i;

    require(req->kind >= REQUEST_STATUS && req->kind <= REQUEST_REMOVE);

    if (req->kind == REQUEST_STATUS || req->kind == REQUEST_METRICS) {
        return;
    }

    if (req->kind >= REQUEST_FILES) {
        judge_part(req->ns, sizeof(req->ns));
        judge_part(req->name, sizeof(req->name));

        if (req->kind >= REQUEST_FILE) {
            judge_part(req->file, sizeof(req->file));
        }
    }

    require(req->nifnames <= PCAPX_MAX_INTERFACES);
    require(req->nexcludes <= PCAPX_MAX_EXCLUDES);
    require(req->npeers <= PCAPX_MAX_EXCLUDES);
    require(req->snaplen >= 1 && req->snaplen <= PCAPX_MAX_SNAPLEN);
    require(req->heartbeat_ms >= REQUEST_MIN_HEARTBEAT_MS
            && req->heartbeat_ms <= REQUEST_MAX_HEARTBEAT_MS);
    require(strlen(req->filter) < sizeof(req->filter));
    require(strlen(req->id) == 0 || strlen(req->id) == 32);

    require(strlen(req->container) <= 64 && strlen(req->app) <= 64);
    require((req->container[0] == '\0') == (req->app[0] == '\0'));
    require(strpbrk(req->container, "/.") == NULL);

    for (i = 0; i < req->nifnames; i++) {
        require(req->ifnames[i][0] && strchr(req->ifnames[i], '/') == NULL);
    }

    for (i = 0; i < req->nexcludes; i++) {
        require(req->excludes[i].addr_len == 4
                || req->excludes[i].addr_len == 16);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int         len;
    char       *copy;
    problem_t   why;

    static request_t  req;

    /* of exactly the right size, so that a sanitizer sees all */

    copy = malloc(size ? size : 1);
    if (copy == NULL) {
        return 0;
    }

    memcpy(copy, data, size);
    memset(&req, 0, sizeof(req));
    memset(&why, 0, sizeof(why));

    len = request_head(copy, size, &why);
    require(len <= (int) size);

    if (len < 0) {
        require(why.status >= 400 && why.detail[0]);

    } else if (len > 0) {

        if (request_parse(copy, (size_t) len, &req, &why) == 0) {
            judge(&req);

        } else {
            require(why.status >= 400 && why.status < 600 && why.detail[0]);
        }
    }

    free(copy);

    return 0;
}
