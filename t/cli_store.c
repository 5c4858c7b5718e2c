/*
 * t/cli_store.c: the config file as a file that comes and goes while a
 * capture runs.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/store.h"
#include "pcapx/valid.h"
#include "tap.h"


static void
put(const char *path, const char *text)
{
    FILE  *f;

    f = fopen(path, "w");

    if (f == NULL || fputs(text, f) == EOF || fclose(f) != 0) {
        exit(1);
    }
}


int
main(void)
{
    int           lock;
    char          dir[] = "/tmp/cli_store.XXXXXX";
    char          path[64], lock_path[80], err[PCAPX_ERR_LEN];
    msg_t         msg;
    store_t       s = { NULL, NULL, 0 };

    memset(&msg, 0, sizeof(msg));

    if (mkdtemp(dir) == NULL) {
        return 1;
    }

    snprintf(path, sizeof(path), "%s/config", dir);
    snprintf(lock_path, sizeof(lock_path), "%s.lock", path);

    ok(store_read(&s, path, err) == 0 && s.text == NULL,
       "there is no file");
    ok(store_lock(&s, NULL, &msg, err) == -1 && strlen(err) > 0,
       "nothing to lock");

    put(path, "a: b\n");
    ok(store_read(&s, path, err) == 1 && s.len == 5, "a file");

    unlink(path);
    ok(store_read(&s, path, err) == 0 && s.text == NULL && s.len == 0,
       "it is gone");

    lock = store_lock(&s, NULL, &msg, err);
    ok(lock != -1 && access(lock_path, F_OK) == 0, "its lock is not");
    store_unlock(lock);

    ok(store_read(&s, path, err) == 0, "it is still gone");

    put(path, "a: c\n");
    ok(store_read(&s, path, err) == 1
       && store_write(&s, "a: d\n", 5, err) == 0, "it is back");

    store_free(&s);
    unlink(lock_path);
    unlink(path);
    rmdir(dir);

    return tap_done();
}
