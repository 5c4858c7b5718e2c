/*
 * agent/cstate.c: see cstate.h. It opens nothing and remembers nothing.
 */

#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cstate.h"
#include "pcapx/valid.h"


static json_t *cstate_object(const char *text, size_t len);
static cstate_t cstate_owner_of(const json_t *entry, const char *handle,
    cstate_owner_t *owner);
static int cstate_address(const char *text, endpoint_t *ep);
static cstate_t cstate_init_of(const json_t *root, const char *handle,
    cstate_init_t *init);
static int cstate_is_pid(uint64_t n);
static int cstate_cgroup_named(const char *p, const char *end,
    const char *handle);


/* A duplicate key has two meanings: which one its writer had is a guess. */

static json_t *
cstate_object(const char *text, size_t len)
{
    json_t        *root;
    json_error_t   err;

    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &err);

    if (root && !json_is_object(root)) {
        json_decref(root);
        return NULL;
    }

    return root;
}


cstate_t
cstate_owner(const char *text, size_t len, const char *handle,
    cstate_owner_t *owner)
{
    json_t    *root, *entry;
    cstate_t   rc;

    if (len == 0) {
        return CSTATE_NONE;
    }

    root = cstate_object(text, len);
    if (root == NULL) {
        return CSTATE_BAD;
    }

    entry = json_object_get(root, handle);
    rc = entry ? cstate_owner_of(entry, handle, owner) : CSTATE_NONE;
    json_decref(root);

    return rc;
}


static cstate_t
cstate_owner_of(const json_t *entry, const char *handle,
    cstate_owner_t *owner)
{
    char           err[PCAPX_ERR_LEN];
    const char    *own, *app, *ip;
    const json_t  *value;

    memset(owner, 0, sizeof(*owner));

    own = json_string_value(json_object_get(entry, "handle"));
    ip = json_string_value(json_object_get(entry, "ip"));
    value = json_object_get(json_object_get(entry, "metadata"), "app_id");
    app = json_string_value(value);

    if (own == NULL || strcmp(own, handle) != 0 || app == NULL
        || strlen(app) != json_string_length(value)
        || pcapx_valid_guid(app, strlen(app), err) != PCAPX_OK)
    {
        return CSTATE_BAD;
    }

    if (ip && ip[0] && cstate_address(ip, &owner->ip) != 0) {
        return CSTATE_BAD;
    }

    snprintf(owner->app, sizeof(owner->app), "%s", app);

    return CSTATE_OK;
}


static int
cstate_address(const char *text, endpoint_t *ep)
{
    memset(ep, 0, sizeof(*ep));

    if (inet_pton(AF_INET, text, ep->addr) == 1) {
        ep->addr_len = 4;
        return 0;
    }

    if (inet_pton(AF_INET6, text, ep->addr) == 1) {
        ep->addr_len = 16;
        return 0;
    }

    return -1;
}


cstate_t
cstate_runc(const char *text, size_t len, const char *handle,
    cstate_init_t *init)
{
    json_t    *root;
    cstate_t   rc;

    if (len == 0) {
        return CSTATE_NONE;
    }

    root = cstate_object(text, len);
    if (root == NULL) {
        return CSTATE_BAD;
    }

    rc = cstate_init_of(root, handle, init);
    json_decref(root);

    return rc;
}


static cstate_t
cstate_init_of(const json_t *root, const char *handle, cstate_init_t *init)
{
    json_int_t     pid, start;
    const char    *id, *path;
    const json_t  *value;

    id = json_string_value(json_object_get(root, "id"));
    value = json_object_get(root, "init_process_pid");

    if (id == NULL || strcmp(id, handle) != 0 || !json_is_integer(value)) {
        return CSTATE_BAD;
    }

    pid = json_integer_value(value);
    value = json_object_get(root, "init_process_start");

    if (!json_is_integer(value)) {
        return CSTATE_BAD;
    }

    start = json_integer_value(value);

    if (pid == 0 && start == 0) {
        return CSTATE_NONE;
    }

    if (pid < 0 || !cstate_is_pid((uint64_t) pid) || start <= 0) {
        return CSTATE_BAD;
    }

    /* Where the process was put is asked of the process; that it was put
     * somewhere has to stand here. */

    value = json_object_get(root, "namespace_paths");
    path = json_string_value(json_object_get(value, "NEWNET"));

    if (path == NULL || path[0] != '/') {
        return CSTATE_NONE;
    }

    init->pid = (pid_t) pid;
    init->start = (uint64_t) start;

    return CSTATE_OK;
}


/* Never process 1: no container has the machine's init as its own. */

static int
cstate_is_pid(uint64_t n)
{
    return n > 1 && n <= CSTATE_MAX_PID;
}


cstate_t
cstate_pid(const char *text, size_t len, cstate_init_t *init)
{
    char      err[PCAPX_ERR_LEN];
    uint64_t  n;

    if (len && text[len - 1] == '\n') {
        len--;
    }

    if (len == 0) {
        return CSTATE_NONE;
    }

    if (pcapx_parse_number("pid", text, len, 0, UINT64_MAX, &n, err)
        != PCAPX_OK
        || !cstate_is_pid(n))
    {
        return CSTATE_BAD;
    }

    init->pid = (pid_t) n;
    init->start = 0;

    return CSTATE_OK;
}


cstate_t
cstate_started(const char *text, size_t len, uint64_t *start)
{
    char         err[PCAPX_ERR_LEN];
    size_t       n;
    unsigned     field;
    const char  *p, *end, *next;

    /* The name, in parentheses, is the process's own choice and may hold
     * parentheses and blanks; behind it there are only numbers. */

    p = memrchr(text, ')', len);
    end = text + len;

    if (p == NULL || end - p < 4 || p[1] != ' ') {
        return CSTATE_BAD;
    }

    p += 2;

    if (*p == 'Z' || *p == 'X') {
        return CSTATE_NONE;
    }

    for (field = 3; ; field++) {
        next = memchr(p, ' ', (size_t) (end - p));
        n = (size_t) ((next ? next : end) - p);

        if (field == 22) {
            return pcapx_parse_number("start", p, n, 1, UINT64_MAX, start,
                                      err)
                   == PCAPX_OK ? CSTATE_OK : CSTATE_BAD;
        }

        if (next == NULL) {
            return CSTATE_BAD;
        }

        p = next + 1;
    }
}


cstate_t
cstate_in_cgroup(const char *text, size_t len, const char *handle)
{
    const char  *p, *end, *next;

    end = text + len;

    for (p = text; p < end; p = next + 1) {
        for (next = p; next < end && *next != '/' && *next != '\n'; next++) {
            /* void */
        }

        if (cstate_cgroup_named(p, next, handle)) {
            return CSTATE_OK;
        }
    }

    return CSTATE_NONE;
}


/* What stands before the first slash of a line ("4:memory:") has colons,
 * which no handle has. */

static int
cstate_cgroup_named(const char *p, const char *end, const char *handle)
{
    size_t  len, n;

    static const char  scope[] = ".scope";

    len = (size_t) (end - p);
    n = strlen(handle);

    if (len == n) {
        return memcmp(p, handle, n) == 0;
    }

    if (len < n + sizeof(scope)
        || memcmp(end - sizeof(scope) + 1, scope, sizeof(scope) - 1) != 0)
    {
        return 0;
    }

    end -= sizeof(scope) - 1;

    return end[-(ptrdiff_t) n - 1] == '-'
           && memcmp(end - n, handle, n) == 0;
}
