/*
 * t/agent_files.c: names of files, what endpoint they are of, the names in a
 * folder, the child that opens them (links, folders, pipes and what else is
 * no regular file), and the packets of one file.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/files.h"
#include "agent/files_name.h"
#include "agent/source.h"
#include "pcapx/write.h"
#include "t/tap.h"


static char  root[] = "/tmp/agent_files.XXXXXX";


static const char *
wrong(const char *name)
{
    return files_wrong(name, strlen(name), FILES_FILE_LEN);
}


static void
names(void)
{
    char  text[FILES_FILE_LEN + 2];

    ok(wrong("a") == NULL && wrong("...") == NULL && wrong("a b") == NULL
       && wrong("\xff") == NULL && wrong("-") == NULL, "names");
    ok(wrong("") && wrong(".") && wrong("..") && wrong("a/b") && wrong("/")
       && wrong("a\nb") && wrong("\x7f"), "what is none");
    ok(files_wrong("a\0b", 3, FILES_FILE_LEN) != NULL, "a NUL");

    memset(text, 'a', sizeof(text));
    ok(files_wrong(text, FILES_FILE_LEN, FILES_FILE_LEN) == NULL
       && files_wrong(text, FILES_FILE_LEN + 1, FILES_FILE_LEN)
       && files_wrong(text, FILES_NAME_LEN, FILES_NAME_LEN) == NULL
       && files_wrong(text, FILES_NAME_LEN + 1, FILES_NAME_LEN), "lengths");

    ok(files_is_pcap("a.pcap") && files_is_pcap("a.pcap.1")
       && files_is_pcap("a-1.pcapng") && !files_is_pcap(".pcap")
       && !files_is_pcap("a.txt") && !files_is_pcap("pcap"), "captures");
}


static void
endpoints(void)
{
    size_t  i;

    static const char  *const rows[][2] = {
        { "web-1_cali12.pcap", "web-1_cali12" },
        { "web-1_cali12.pcap1", "web-1_cali12" },
        { "web-1_cali12.pcap.20261122T100000Z", "web-1_cali12" },
        { "web-1_cali12-2026-11-22T10-00-00.000.pcap", "web-1_cali12" },
        { "web-1_cali12.20261122100000.pcap", "web-1_cali12" },
        { "web-1_cali12-1795341600.pcap", "web-1_cali12" },
        { "web-1_cali12345678901.pcap", "web-1_cali12345678901" },
        { "web_eth0.100.pcap", "web_eth0.100" },
        { "web_br-0.pcap", "web_br-0" },
        { "web-20261122_eth0.pcap", "web-20261122_eth0" },
        { "12345678.pcap", "12345678" },
        { "-12345678.pcap", "-12345678" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ok(files_endpoint_len(rows[i][0]) == strlen(rows[i][1]),
           "%s is of %s", rows[i][0], rows[i][1]);
    }
}


static void
make(const char *name, const char *text)
{
    int  fd;

    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd == -1 || write(fd, text, strlen(text)) != (ssize_t) strlen(text)) {
        printf("Bail out! %s: %s\n", name, strerror(errno));
        exit(1);
    }

    close(fd);
}


/* A kernel before 5.6, as far as openat2() is asked: 1 when that is seen. */

static int
old_kernel(void)
{
    int    status;
    pid_t  pid;

    static struct sock_filter  code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    };

    static const struct sock_fprog  prog = { 4, code };

    pid = fork();

    if (pid == 0) {
        _exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
              || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) != 0
              || files_possible());
    }

    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}


/* The folder of all that follows, also the current one. */

static void
tree(void)
{
    if (mkdtemp(root) == NULL || chdir(root) != 0 || mkdir("base", 0700) != 0
        || mkdir("base/ns", 0700) != 0 || mkdir("base/ns/web", 0700) != 0
        || mkdir("base/ns/web/sub", 0700) != 0 || mkdir("out", 0700) != 0
        || mkfifo("base/ns/web/fifo", 0600) != 0
        || symlink("b", "base/ns/web/near") != 0
        || symlink("/etc/passwd", "base/ns/web/far") != 0
        || symlink("../../out", "base/ns/link") != 0
        || symlink("ns", "base/other") != 0)
    {
        printf("Bail out! %s: %s\n", root, strerror(errno));
        exit(1);
    }

    make("base/ns/web/b", "two");
    make("base/ns/web/a", "");
    make("base/ns/web/.c", "");
    make("base/ns/web/bad\x01name", "");
    make("base/ns/web/bad\xffname", "");
    make("out/secret", "secret");
}


static int
fails(int rc, int err)
{
    return rc == -1 && errno == err;
}


/* One child is good for one folder. */

static int
no_folder(const conf_t *conf, const char *ns, const char *name, int err)
{
    int      rc, got;
    files_t  f;

    if (files_start(&f, conf) != 0) {
        return 0;
    }

    rc = files_folder(&f, ns, name);
    got = errno;
    files_stop(&f);

    return rc == -1 && got == err;
}


static void
child(void)
{
    int            fd, folder;
    char           base[64], text[8];
    conf_t         conf;
    files_t        f;
    files_info_t   info;
    files_names_t  list;

    memset(&conf, 0, sizeof(conf));
    ok(files_start(&f, &conf) == 0 && f.fd == -1, "not configured: no child");

    snprintf(base, sizeof(base), "%s/base", root);
    conf.files_folder = base;
    ok(files_possible(), "this kernel has openat2()");
    ok(old_kernel(), "one that has not is known");

    ok(no_folder(&conf, "ns", "none", ENOENT), "no such folder");
    ok(no_folder(&conf, "ns", "link", ENOTDIR), "a folder behind a link");
    ok(no_folder(&conf, "other", "web", ELOOP), "a namespace behind a link");
    ok(no_folder(&conf, "..", "out", EINVAL), "what is no name");
    ok(no_folder(&conf, "ns", "..", EINVAL), "what is no name, behind");
    ok(no_folder(&conf, "ns/web", "sub", EINVAL), "a path");
    ok(no_folder(&conf, "ns", "web/sub", EINVAL), "a path, behind");

    conf.files_folder = root;
    ok(no_folder(&conf, "base", "nothing", ENOENT), "another base");
    conf.files_folder = base;

    ok(files_start(&f, &conf) == 0 && f.fd != -1, "a child");
    ok(fails(files_open(&f, "b", &info), EBADF), "no folder was asked for");
    folder = files_folder(&f, "ns", "web");
    ok(folder != -1, "a folder");
    ok(fails(files_folder(&f, "ns", "web"), EINVAL), "it is asked for once");

    ok(files_names(&list, folder) == 0 && list.n == 6 && list.omitted == 2
       && strcmp(list.names[0], "a") == 0 && strcmp(list.names[1], "b") == 0,
       "the names in it, in order");
    files_names_free(&list);

    ok(files_look(&f, "b", &info) == 0 && info.bytes == 3, "a file's length");
    fd = files_open(&f, "b", &info);
    ok(fd != -1 && info.bytes == 3 && read(fd, text, sizeof(text)) == 3
       && memcmp(text, "two", 3) == 0, "a file");
    ok(write(fd, "x", 1) == -1, "to read only");
    close(fd);

    ok(fails(files_open(&f, "none", &info), ENOENT), "no file");
    ok(fails(files_open(&f, "near", &info), EISDIR), "a link");
    ok(fails(files_open(&f, "far", &info), EISDIR), "a link out of it");
    ok(fails(files_open(&f, "fifo", &info), EISDIR), "a pipe");
    ok(fails(files_open(&f, "sub", &info), EISDIR), "a folder, as a file");
    ok(fails(files_open(&f, "..", &info), EINVAL), "what is no file's name");
    ok(fails(files_open(&f, "sub/../b", &info), EINVAL), "nor a path");
    ok(fails(files_remove(&f, "near"), EISDIR)
       && fails(files_remove(&f, "sub"), EISDIR)
       && fails(files_remove(&f, "fifo"), EISDIR)
       && access("base/ns/web/fifo", F_OK) == 0, "none of it is removed");
    ok(files_remove(&f, "a") == 0 && access("base/ns/web/a", F_OK) != 0,
       "a file is");

    files_stop(&f);
    ok(fails(files_look(&f, "b", &info), EIO), "the child is gone");
    close(folder);
}


/* Classic pcap: n records of len bytes, the clock steps by one microsecond. */

static size_t
pcap(uint8_t *buf, unsigned n, uint32_t len)
{
    uint8_t   *p;
    unsigned   i;

    pcapx_pcap_header(buf, 65535, 1);

    for (i = 0, p = buf + PCAPX_PCAP_HEADER_LEN; i < n; i++) {
        pcapx_pcap_record(p, 1000 * (i + 1), len, len);
        memset(p + PCAPX_PCAP_RECORD_LEN, 'x', len);
        p += PCAPX_PCAP_RECORD_LEN + len;
    }

    return (size_t) (p - buf);
}


/* Reads a file of these bytes. Returns how many packets, *rc how it ended. */

static unsigned
packets(const uint8_t *buf, size_t len, uint64_t bytes, int *rc)
{
    int       fd;
    unsigned  n;
    source_t  s;

    *rc = -2;
    fd = open("source", O_RDWR | O_CREAT | O_TRUNC, 0600);

    if (fd == -1 || write(fd, buf, len) != (ssize_t) len
        || lseek(fd, 0, SEEK_SET) != 0 || source_open(&s, fd, bytes) != 0)
    {
        return 0;
    }

    for (n = 0; (*rc = source_next(&s)) == 1; n++) {
        if (s.head.ts_ns != 1000 * (n + 1)) {
            *rc = -3;
            break;
        }
    }

    source_close(&s);
    close(fd);

    return n;
}


static void
sources(void)
{
    int        rc, bad;
    size_t     cut, len;
    uint8_t   *buf;
    unsigned   n;

    buf = malloc(1 << 20);

    if (buf == NULL) {
        return;
    }

    len = pcap(buf, 3, 200000);
    ok(packets(buf, len, len, &rc) == 3 && rc == 0, "longer than a window");

    len = pcap(buf, 1000, 100);
    ok(packets(buf, len, len, &rc) == 1000 && rc == 0, "across windows");
    ok(packets(buf, len, len - 1, &rc) == 999 && rc == 0,
       "not behind the length that it had");
    ok(packets(buf, len, len * 2, &rc) == 1000 && rc == 0,
       "a file that has shrunk");

    len = pcap(buf, 4, 10);

    for (cut = 0, bad = 0; cut <= len; cut++) {
        n = packets(buf, cut, cut, &rc);
        bad += rc != 0 || n != (cut < 24 ? 0 : (cut - 24) / 26);
    }

    ok(bad == 0, "cut at each byte: what is whole, and no error");

    memset(buf + 24 + 2 * 26, 0, 52);
    ok(packets(buf, len, len, &rc) == 2 && rc == -1, "zeros are no record");

    memset(buf + 24 + 2 * 26, 0xff, 52);
    ok(packets(buf, len, len, &rc) == 2 && rc == -1, "garbage");
    ok(packets((const uint8_t *) "no capture", 10, 10, &rc) == 0 && rc == -1,
       "no capture at all");
    ok(packets(buf, 0, 0, &rc) == 0 && rc == 0, "nothing");

    free(buf);
}


static void
clean(void)
{
    char  command[128];

    snprintf(command, sizeof(command), "rm -rf %s", root);

    if (chdir("/") != 0 || system(command) != 0) {
        printf("# %s stays\n", root);
    }
}


int
main(void)
{
    names();
    endpoints();
    tree();
    child();
    sources();
    clean();

    return tap_done();
}
