/*
 * t/pcapx_tshark.c: programs that others wrote read the writer's files
 * without a word and see in them what was put in. Where Wireshark's command
 * line tools are missing the tests are skipped with that reason.
 */

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "pcapx_blocks.h"


static uint8_t  buf[65536];


/*
 * Runs a program, collects stdout and stderr in text; -1 where it is not
 * there. The note of Wireshark's tools about running as root is left out.
 */
static int
run(char *text, size_t max, const char *fmt, ...)
{
    int       rc;
    char      cmd[512], line[512];
    FILE     *f;
    size_t    n;
    va_list   ap;

    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);

    n = 0;
    text[0] = '\0';
    f = popen(cmd, "r");

    if (f == NULL) {
        return -1;
    }

    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, "Running as user", 15) != 0 && n < max) {
            n += (size_t) snprintf(text + n, max - n, "%s", line);
        }
    }

    rc = pclose(f);

    return WIFEXITED(rc) && WEXITSTATUS(rc) != 127 ? WEXITSTATUS(rc) : -1;
}


static size_t
make_file(int pcap)
{
    int          k;
    pcapx_out_t  o;

    o.pos = buf;
    o.end = buf + sizeof(buf);

    if (pcap) {
        pcapx_pcap_header(buf, 65535, PCAPX_LINKTYPE_ETHERNET);
        o.pos += 24;

        for (k = 0; k < 20; k++) {
            pcapx_pcap_record(o.pos, NOW + (uint64_t) k, 31, 1500);
            memcpy(o.pos + 16, packet, 31);
            o.pos += 16 + 31;
        }

        return (size_t) (o.pos - buf);
    }

    put_shb_opts(&o);
    put_idb(&o);
    put_idb_opts(&o);
    put_nrb(&o);
    put_isb(&o);

    for (k = 0; k < 20; k++) {
        pcapx_put_epb(&o, (uint32_t) k & 1, NOW + (uint64_t) k, packet, 31,
                      1500, NULL, 0);
    }

    put_epb_comment(&o);
    put_epb_parts(&o);
    put_isb_stats(&o);
    put_isb_all(&o);
    put_isb_comment(&o);

    return (size_t) (o.pos - buf);
}


static void
check_file(const char *path, int pcap)
{
    int         rc;
    char        text[8192];
    const char *kind = pcap ? "pcap" : "pcapng";

    rc = run(text, sizeof(text), "tshark -r '%s' 2>&1 >/dev/null", path);

    if (rc == -1) {
        ok(1, "%s: tshark # SKIP tshark is not installed", kind);

    } else {
        ok(rc == 0 && text[0] == '\0', "%s: tshark reads it silently", kind);

        if (text[0]) {
            printf("# %s", text);
        }

        run(text, sizeof(text), "tshark -r '%s' -T fields -e frame.comment "
            "-e frame.time_epoch 2>/dev/null | tail -n 1", path);
        ok(strstr(text, pcap ? "1718100000.123456808"
                             : "in parts\t1718100000.123456892") != NULL,
           "%s: time and comment of the last packet", kind);

        run(text, sizeof(text),
            "tshark -r '%s' -qz hosts 2>/dev/null", path);
        ok(pcap || (strstr(text, "192.0.2.1\trouter-0")
                    && strstr(text, "2001:db8::1\tweb-0")),
           "%s: tshark knows the names", kind);
    }

    rc = run(text, sizeof(text), "capinfos -coI '%s' 2>&1", path);

    if (rc == -1) {
        ok(1, "%s: capinfos # SKIP capinfos is not installed", kind);
        return;
    }

    ok(rc == 0 && strstr(text, pcap ? "packets:   20" : "packets:   22")
       && strstr(text, "Strict time order:   True"),
       "%s: capinfos counts it, in strict order", kind);
    ok(pcap || (strstr(text, "Name = router/0/eth0")
                && strstr(text, "Number of stat entries = 3")
                && strstr(text, "Time resolution = 0x09")),
       "%s: capinfos sees the interfaces", kind);
}


static void
test_others(int pcap)
{
    int      fd;
    char     dir[] = "/tmp/pcapx-write-XXXXXX";
    char     path[64];
    size_t   len;
    ssize_t  n;

    if (mkdtemp(dir) == NULL) {
        ok(0, "a directory for the file");
        return;
    }

    snprintf(path, sizeof(path), "%s/%s", dir, pcap ? "a.pcap" : "a.pcapng");
    len = make_file(pcap);
    fd = open(path, O_WRONLY|O_CREAT|O_EXCL, 0600);
    n = fd == -1 ? -1 : write(fd, buf, len);

    if (fd != -1) {
        close(fd);
    }

    ok(n == (ssize_t) len, "%s: a file of %zu bytes",
       pcap ? "pcap" : "pcapng", len);
    check_file(path, pcap);

    unlink(path);
    rmdir(dir);
}


int
main(void)
{
    test_others(0);
    test_others(1);

    return tap_done();
}
