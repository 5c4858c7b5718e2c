/*
 * cli/store.h: the config file of another program (the bosh CLI, the cf CLI)
 * as a file: read whole, locked, replaced in one step. A symbolic link is
 * followed, and what it names is replaced. Knows nothing of what is in it.
 */

#ifndef CLI_STORE_H
#define CLI_STORE_H

#include <stddef.h>

#include "conf.h"
#include "msg.h"


/* A CA's certificates are a few kB; hundreds of environments fit. */
#define STORE_MAX_BYTES  1048576

typedef struct {
    char    *path;       /* links resolved, owned; of the latest reading that
                            found a file, NULL: none did */
    char    *text;       /* owned, wiped; NULL: there is no file */
    size_t   len;
} store_t;


/*
 * Reads the file at path, at most STORE_MAX_BYTES + 1 bytes. Returns 1, 0
 * when there is none, or -1 with err (PCAPX_ERR_LEN bytes) filled. Call
 * store_free() in each case; s may hold an earlier reading.
 */
int store_read(store_t *s, const char *path, char *err);

/*
 * The same for whatever can be read, as a pipe (`--kubeconfig <(...)`), which
 * may have to be waited for. It cannot be locked or replaced: s->path is NULL.
 */
int store_read_stream(store_t *s, const char *path, char *err);

void store_free(store_t *s);

/*
 * Waits, at most a minute, until no other of these programs holds the lock
 * of a file that was read; says so on msg. wait's turns are taken meanwhile
 * (NULL: it blocks). Returns a descriptor for
 * store_unlock(), or -1 with err filled. The lock is the file PATH.lock
 * (the config itself is replaced, so that a lock on it would not last); it
 * stays there. Neither CLI knows a lock.
 */
int store_lock(const store_t *s, const conf_wait_t *wait, msg_t *msg,
    char *err);

void store_unlock(int fd);

/*
 * Replaces the file that was read by text: a new one in the same folder with
 * mode 0600, brought to the disk, then renamed. On failure the old one is as
 * it was. 0, or -1 with err filled.
 */
int store_write(const store_t *s, const char *text, size_t len,
    char *err);


#endif /* CLI_STORE_H */
