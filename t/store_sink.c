/*
 * t/store_sink.c: a capture in a file: whole and with the right hash, cut
 * behind its last whole block, whatever ended it: the end, garbage, a full
 * disk, a kill.
 */

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pcapx/pcapx.h"
#include "store/sink.h"
#include "t/tap.h"


#define ID      "0123456789abcdef0123456789abcdef"
#define BLOCKS  4000
#define LEN     (BLOCKS * 1000)

static char     dir[] = "/tmp/store_sink.XXXXXX";
static int      disk_fails;              /* fdatasync() says so, once */
static uint8_t  stream[LEN];


/* In place of libc's. */

int
fdatasync(int fd)
{
    if (disk_fails) {
        disk_fails = 0;
        errno = EIO;
        return -1;
    }

    return fsync(fd);
}


/* Blocks of a thousand bytes; the first one is an SHB. */

static void
make_stream(void)
{
    size_t    i;
    uint32_t  type, len;

    for (i = 0; i < LEN; i++) {
        stream[i] = (uint8_t) (i * 7 + i / 1000);
    }

    for (i = 0; i < BLOCKS; i++) {
        type = i == 0 ? PCAPX_BT_SHB : 6;
        len = 1000;
        memcpy(stream + i * 1000, &type, 4);
        memcpy(stream + i * 1000 + 4, &len, 4);
        memcpy(stream + i * 1000 + 996, &len, 4);
    }
}


static const char *
path_of(const char *name)
{
    static char  path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);

    return path;
}


/* The file has the first len bytes of the stream, and that is their hash. */

static void
holds(const sink_result_t *r, size_t len, uint64_t lost, const char *what)
{
    FILE      *f;
    char       hex[65];
    size_t     i, got;
    uint8_t    sum[32];
    uint8_t   *buf;

    SHA256(stream, len, sum);

    for (i = 0; i < sizeof(sum); i++) {
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    }

    buf = malloc(LEN + 1);
    f = fopen(path_of(r->name), "r");
    got = f != NULL ? fread(buf, 1, LEN + 1, f) : LEN + 1;

    ok(got == len && memcmp(buf, stream, len) == 0 && r->bytes == len
       && r->raw == len && r->lost == lost && strcmp(r->sha256, hex) == 0
       && strcmp(r->name, ID ".pcapng") == 0
       && access(path_of(ID ".part"), F_OK) == -1,
       "%s: %zu bytes, %llu lost", what, len, (unsigned long long) lost);

    if (f != NULL) {
        fclose(f);
    }

    free(buf);
    unlink(path_of(r->name));
}


static sink_t *
begin(void)
{
    char     err[SINK_ERR_LEN];
    sink_t  *s;

    s = sink_open(dir, ID, 0, err);

    if (s == NULL) {
        printf("Bail out! %s\n", err);
        exit(1);
    }

    return s;
}


static void
ends(size_t len, size_t step, size_t whole)
{
    char            err[SINK_ERR_LEN];
    int             rc;
    size_t          at, n;
    sink_t         *s;
    sink_result_t   r;

    s = begin();

    for (at = 0, rc = 0; at < len && rc == 0; at += n) {
        n = step < len - at ? step : len - at;
        rc = sink_write(s, stream + at, n, err);
    }

    ok(rc == 0 && sink_bytes(s) == whole, "calls of %zu bytes", step);
    ok(sink_close(s, &r, err) == 0, "closed");
    holds(&r, whole, len - whole, "ended");
}


static void
garbage(void)
{
    char            err[SINK_ERR_LEN];
    sink_t         *s;
    sink_result_t   r;
    static uint8_t  copy[10000];

    memcpy(copy, stream, sizeof(copy));
    memset(copy + 5004, 0xff, 4);
    s = begin();

    ok(sink_write(s, copy, 3500, err) == 0, "what comes before");
    ok(sink_write(s, copy + 3500, 6500, err) == -1
       && strcmp(err, "no capture: a block of type 0x00000006 at byte 5000 "
                 "has a length of 4294967295") == 0, "garbage: %s", err);
    ok(sink_write(s, copy, 100, err) == -1, "nothing more is taken");
    ok(sink_close(s, &r, err) == 0 && strncmp(r.why, "no capture", 10) == 0,
       "closed, and why");
    holds(&r, 5000, 5100, "garbage");
}


/* The largest file that is allowed is a disk that is full. */

static void
full(void)
{
    int             rc;
    char            err[SINK_ERR_LEN];
    size_t          at;
    sink_t         *s;
    sink_result_t   r;
    struct rlimit   was, now;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    now = was;
    now.rlim_cur = 2500500;
    setrlimit(RLIMIT_FSIZE, &now);

    s = begin();

    for (at = 0, rc = 0; at < LEN && rc == 0; at += 100000) {
        rc = sink_write(s, stream + at, 100000, err);
    }

    setrlimit(RLIMIT_FSIZE, &was);

    ok(rc == -1 && strstr(err, "File too large") != NULL, "full: %s", err);
    ok(sink_bytes(s) % 1000 == 0 && sink_bytes(s) > 2000000, "it is whole");
    at = at < LEN ? at : LEN;
    rc = (int) (sink_bytes(s) / 1000);
    ok(sink_close(s, &r, err) == 0 && strstr(r.why, "File too large") != NULL,
       "closed, and why");
    holds(&r, (size_t) rc * 1000, at - (size_t) rc * 1000, "full");

    /* nothing was written before the end */

    now.rlim_cur = 500;
    setrlimit(RLIMIT_FSIZE, &now);
    s = begin();
    ok(sink_write(s, stream, 10000, err) == 0, "taken");
    rc = sink_close(s, &r, err);
    setrlimit(RLIMIT_FSIZE, &was);
    ok(rc == 0 && strstr(r.why, "File too large") != NULL, "nothing is hidden");
    holds(&r, 0, 10000, "full from the begin");
}


/* Killed behind a sync: by a process of its own. */

static void
synced(void)
{
    int             status;
    char            err[SINK_ERR_LEN];
    pid_t           pid;
    sink_t         *s;
    sink_result_t   r;

    pid = fork();

    if (pid == 0) {
        s = begin();

        if (sink_write(s, stream, 10500, err) == 0 && sink_sync(s, err) == 0
            && sink_write(s, stream + 10500, 20000, err) == 0)
        {
            raise(SIGKILL);
        }

        _exit(1);
    }

    ok(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "killed");
    ok(sink_recover(dir, ID, &r, err) == 0, "recovered");

    /* and once more: somebody did not note it */

    ok(sink_recover(dir, ID, &r, err) == 0 && r.bytes == 10000
       && r.lost == 0, "twice");
    holds(&r, 10000, 0, "what was synced");
}


static void
killed(size_t len, size_t whole)
{
    int             fd;
    char            err[SINK_ERR_LEN];
    ssize_t         n;
    sink_result_t   r;

    fd = open(path_of(ID ".part"), O_WRONLY | O_CREAT | O_EXCL, 0600);
    n = write(fd, stream, len);
    close(fd);

    ok(n == (ssize_t) len && sink_recover(dir, ID, &r, err) == 0, "killed");
    holds(&r, whole, len - whole, "recovered");
}


static void
refusals(void)
{
    size_t          i;
    char            err[SINK_ERR_LEN];
    sink_t         *s;
    sink_result_t   r;

    static const char *const  ids[] = {
        "", "../../../../../../../../../etc/xx",
        "0123456789abcdef0123456789abcdef0",
        "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef/123456789abcdef"
    };

    for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        ok(sink_open(dir, ids[i], 0, err) == NULL
           && strcmp(err, "an id has 32 hex digits") == 0,
           "\"%s\" is no name", ids[i]);
    }

    s = begin();
    ok(sink_open(dir, ID, 0, err) == NULL && strstr(err, "File exists") != NULL,
       "twice: %s", err);
    ok(sink_close(s, &r, err) == 0, "the first goes on");
    s = begin();
    ok(sink_close(s, &r, err) == -1 && strstr(err, "File exists") != NULL,
       "a capture is not replaced: %s", err);
    unlink(path_of(ID ".part"));
    holds(&r, 0, 0, "without a byte");

    ok(sink_recover(dir, ID, &r, err) == -1
       && strstr(err, "No such file") != NULL, "nothing was left: %s", err);
    ok(symlink("/etc/passwd", path_of(ID ".part")) == 0
       && sink_recover(dir, ID, &r, err) == -1, "a link is not followed");
    unlink(path_of(ID ".part"));

    ok(sink_open("/nonexistent", ID, 0, err) == NULL
       && strstr(err, "No such file") != NULL, "no folder: %s", err);
}


/* What Linux says of a disk once must not be forgotten. */

static void
disk(void)
{
    char           err[SINK_ERR_LEN];
    sink_t        *s;
    sink_result_t  r;

    s = sink_open(dir, ID, 0, err);

    if (!ok(s != NULL && sink_write(s, stream, 5000, err) == 0, "written")) {
        return;
    }

    disk_fails = 1;
    ok(sink_sync(s, err) == -1 && strstr(err, "error") != NULL,
       "the disk fails: %s", err);
    ok(sink_write(s, stream + 5000, 1000, err) == -1, "nothing more is taken");
    ok(sink_close(s, &r, err) == 0 && r.unsure && r.why[0] != '\0'
       && r.bytes == 5000, "and it is not sure what is there");
    unlink(path_of(r.name));
}


int
main(void)
{
    if (mkdtemp(dir) == NULL) {
        return 1;
    }

    make_stream();

    ends(LEN, 1, LEN);
    ends(LEN, 65536, LEN);
    ends(LEN, LEN, LEN);
    ends(3500000 + 999, 4096, 3500000);
    ends(999, 10, 0);
    garbage();
    full();
    synced();
    killed(LEN, LEN);
    killed(1234567, 1234000);
    killed(3, 0);
    killed(0, 0);
    refusals();
    disk();

    ok(rmdir(dir) == 0, "nothing is left");

    return tap_done();
}
