/*
 * cli/bosh_store.h: the config file as a file: read whole, locked, replaced
 * in one step. A symbolic link is followed, and what it names is replaced.
 * Knows nothing of YAML.
 */

#ifndef CLI_BOSH_STORE_H
#define CLI_BOSH_STORE_H

#include <stddef.h>

#include "conf.h"
#include "msg.h"


typedef struct {
    char    *path;       /* links resolved, owned; of the latest reading that
                            found a file, NULL: none did */
    char    *text;       /* owned, wiped; NULL: there is no file */
    size_t   len;
} bosh_store_t;


/*
 * Reads the file at path, at most BOSH_CONF_MAX_BYTES + 1 bytes. Returns 1, 0
 * when there is none, or -1 with err (PCAPX_ERR_LEN bytes) filled. Call
 * bosh_store_free() in each case; s may hold an earlier reading.
 */
int bosh_store_read(bosh_store_t *s, const char *path, char *err);

void bosh_store_free(bosh_store_t *s);

/*
 * Waits, at most a minute, until no other of these programs holds the lock
 * of a file that was read; says so on msg. wait's turns are taken meanwhile
 * (NULL: it blocks). Returns a descriptor for
 * bosh_store_unlock(), or -1 with err filled. The lock is the file PATH.lock
 * (the config itself is replaced, so that a lock on it would not last); it
 * stays there. The bosh CLI knows no lock.
 */
int bosh_store_lock(const bosh_store_t *s, const conf_wait_t *wait,
    msg_t *msg, char *err);

void bosh_store_unlock(int fd);

/*
 * Replaces the file that was read by text: a new one in the same folder with
 * mode 0600, brought to the disk, then renamed. On failure the old one is as
 * it was. 0, or -1 with err filled.
 */
int bosh_store_write(const bosh_store_t *s, const char *text, size_t len,
    char *err);


#endif /* CLI_BOSH_STORE_H */
