/*
 * agent/cstate.h: what runc, containerd, the network store of a cell and
 * /proc say about a container. Pure parsing: texts come in, checked values
 * go out. Tenants have a say in some of these texts (labels, metadata), so
 * everything is taken as hostile: sizes, types, ranges, duplicate keys.
 */

#ifndef AGENT_CSTATE_H
#define AGENT_CSTATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net.h"


#define CSTATE_MAX_HANDLE  64     /* pcapx_valid_handle() */
#define CSTATE_MAX_APP     64     /* pcapx_valid_guid() */

/* Longest files: the store of a full cell (250 containers) has some 200 KiB,
 * a state.json 5 to 50. */
#define CSTATE_MAX_STORE   (8u << 20)
#define CSTATE_MAX_STATE   (1u << 20)
#define CSTATE_MAX_PROC    65536

/* PID_MAX_LIMIT (linux/threads.h) */
#define CSTATE_MAX_PID     4194304

typedef struct {
    char        app[CSTATE_MAX_APP + 1];
    endpoint_t  ip;               /* port 0; addr_len 0: none is known */
} cstate_owner_t;

typedef struct {
    pid_t       pid;              /* of the container's first process */
    uint64_t    start;            /* clock ticks since boot; 0: not known */
} cstate_init_t;

/* All return one of these. */

typedef enum {
    CSTATE_OK = 0,
    CSTATE_NONE,                  /* it says nothing about this container */
    CSTATE_BAD                    /* it is not what it should be */
} cstate_t;


/*
 * The store of container metadata: {HANDLE: {"handle", "ip", "metadata":
 * {"app_id", ...}}, ...} (silk-release lib/datastore/datastore.go Container).
 * An empty text is an empty store. CSTATE_BAD too when the entry of this
 * handle is not as it should be, or stands there twice.
 */
cstate_t cstate_owner(const char *text, size_t len, const char *handle,
    cstate_owner_t *owner);

/*
 * runc's state.json: "id", "init_process_pid", "init_process_start" and
 * "namespace_paths" with "NEWNET" (opencontainers/runc libcontainer
 * container_linux.go State, checked with runc 1.1.5). CSTATE_NONE: it has no
 * process (any more), or no network namespace of its own; runc leaves the
 * file empty for a moment when it creates it.
 */
cstate_t cstate_runc(const char *text, size_t len, const char *handle,
    cstate_init_t *init);

/* containerd's init.pid: one decimal number. start becomes 0. */
cstate_t cstate_pid(const char *text, size_t len, cstate_init_t *init);

/* The start time in /proc/PID/stat (proc(5), field 22). CSTATE_NONE for a
 * process that has ended (state Z or X). */
cstate_t cstate_started(const char *text, size_t len, uint64_t *start);

/*
 * Is a process whose /proc/PID/cgroup this is in a group of that container:
 * one with a component HANDLE (guardian rundmc/bundlerules/cgroup_path.go),
 * or ...-HANDLE.scope (systemd)? CSTATE_OK or CSTATE_NONE.
 */
cstate_t cstate_in_cgroup(const char *text, size_t len, const char *handle);


#endif /* AGENT_CSTATE_H */
