/*
 * t/cli_get.c: stored captures without a server: what is asked for, what the
 * headers of a file say, the part of a file on the disk, the row that shows
 * how far it is, and which options go with which.
 */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/later.h"
#include "cli/list.h"
#include "cli/part.h"
#include "cli/term.h"
#include "tap.h"


#define ID     "0123456789abcdef0123456789abcdef"
#define OTHER  "fedcba9876543210fedcba9876543210"


static opt_result_t
parse(opt_t *o, ...)
{
    int      argc;
    char    *argv[32];
    va_list  ap;

    argv[0] = "pcap-cli";
    va_start(ap, o);

    for (argc = 1; argc < 32; argc++) {
        argv[argc] = va_arg(ap, char *);

        if (argv[argc] == NULL) {
            break;
        }
    }

    va_end(ap);

    return opt_parse(o, argc, argv);
}


static void
test_rules(void)
{
    opt_t  o;

    ok(parse(&o, "static", "g", "--store", "--duration", "1s", NULL)
       == OPT_RUN, "--store with a limit");
    opt_free(&o);

    ok(parse(&o, "static", "g", "--store", NULL) == OPT_WRONG
       && strstr(o.err, "need a limit") != NULL, "and without: %s", o.err);
    opt_free(&o);

    ok(parse(&o, "static", "g", "--store", "--max-packets", "1", "--wait",
             "-F", "-o", "x", NULL) == OPT_RUN, "-o and -F with --wait");
    opt_free(&o);

    ok(parse(&o, "static", "g", "--store", "--max-bytes", "1k", "-o", "x",
             NULL) == OPT_WRONG, "and without");
    opt_free(&o);

    ok(parse(&o, "static", "g", "--store", "--max-bytes", "1k", "--format",
             "pcapng", NULL) == OPT_RUN, "--format pcapng changes nothing");
    opt_free(&o);

    ok(parse(&o, "static", "g", "--wait", NULL) == OPT_WRONG,
       "--wait for what?");
    opt_free(&o);

    ok(parse(&o, "rm", ID, OTHER, "-n", NULL) == OPT_RUN && o.ntargets == 2
       && opt_count(&o, OPT_YES), "rm -n");
    opt_free(&o);

    ok(parse(&o, "get", ID, "-n", NULL) == OPT_WRONG, "get asks nothing");
    opt_free(&o);
}


static void
test_body(void)
{
    char   err[PCAPX_ERR_LEN];
    char  *body;
    opt_t  o;

    parse(&o, "static", "g", "--store", "-i", "eth0", "--interface", "lo",
          "-s", "96", "--max-packets", "9007199254740992", "--promiscuous",
          "--duration", "30", "--retention", "2d", "-o", "x", "--token", "t",
          NULL);
    body = later_body(&o, err);
    ok(body != NULL && strcmp(body, "{\"resolver\":\"static\",\"target\":\"g\""
       ",\"options\":{\"format\":\"pcapng\",\"interface\":[\"eth0\",\"lo\"],"
       "\"snaplen\":96,\"max_packets\":9007199254740992,\"promiscuous\":1,"
       "\"duration\":\"30\"},\"retention\":\"2d\"}") == 0, "body: %s", body);
    free(body);
    opt_free(&o);
}


static later_state_t
state(const char *text)
{
    json_t         *doc;
    later_state_t   s;

    doc = json_loads(text, 0, NULL);
    s = later_state(doc);
    json_decref(doc);

    return s;
}


static void
test_state(void)
{
    ok(state("{\"stored\":{\"state\":\"stored\"}}") == LATER_THERE, "stored");
    ok(state("{\"status\":\"limit\",\"stored\":{\"state\":\"stored\"}}")
       == LATER_THERE, "by its limit");
    ok(state("{\"status\":\"partial\",\"stored\":{\"state\":\"stored\"}}")
       == LATER_PARTIAL, "in part");
    ok(state("{\"stored\":{\"state\":\"interrupted\"}}") == LATER_PARTIAL,
       "interrupted");
    ok(state("{\"stored\":{\"state\":\"gone\"}}") == LATER_NONE, "gone");
    ok(state("{\"stored\":{\"state\":\"failed\"}}") == LATER_NONE, "failed");
    ok(state("{\"stored\":{\"state\":\"waiting\"}}") == LATER_GOES_ON,
       "waiting");
    ok(state("{\"stored\":{\"state\":7}}") == LATER_GOES_ON
       && state("{\"stored\":7}") == LATER_GOES_ON
       && state("[]") == LATER_GOES_ON, "of a wrong type");
}


static void
header(reply_t *r, const char *line)
{
    static const char  status[] = "HTTP/1.1 206 Partial Content\r\n";

    reply_init(r);
    reply_header(r, status, sizeof(status) - 1);
    reply_header(r, line, strlen(line));
}


static void
test_range(const char *value, int good)
{
    char     line[256];
    reply_t  r;

    snprintf(line, sizeof(line), "Content-Range: %s\r\n", value);
    header(&r, line);
    ok(r.has_range == (unsigned) good, "range %s", value);
    reply_free(&r);
}


static void
test_headers(void)
{
    reply_t  r;

    header(&r, "content-range: bytes 7-9/10\r\n");
    ok(r.has_range && r.range_first == 7 && r.range_total == 10, "range");
    reply_free(&r);

    test_range("bytes 0-9/10", 1);
    test_range("bytes 7-10/10", 0);
    test_range("bytes 9-7/10", 0);
    test_range("bytes */10", 0);
    test_range("bytes 1-2/*", 0);
    test_range("bytes 1-2", 0);
    test_range("bytes -1-2/3", 0);
    test_range("bytes 1-2/18446744073709551616", 0);
    test_range("octets 1-2/3", 0);
    test_range("", 0);

    header(&r, "ETag: \"a-1\"\r\n");
    ok(strcmp(r.etag, "\"a-1\"") == 0, "ETag");
    reply_free(&r);

    header(&r, "ETag: W/\"a-1\"\r\n");
    ok(r.etag[0] == '\0', "a weak one");
    reply_free(&r);

    header(&r, "ETag: \"a b\"\r\n");
    ok(r.etag[0] == '\0', "one with a blank");
    reply_free(&r);

    header(&r, "ETag: \"\r\n");
    ok(r.etag[0] == '\0', "half a one");
    reply_free(&r);

    header(&r, "X-Pcap-Sha256: 0123456789ABCDEF0123456789abcdef"
               "0123456789abcdef0123456789abcdef\r\n");
    ok(strlen(r.sha256) == 64 && r.sha256[10] == 'a', "SHA-256");
    reply_free(&r);

    header(&r, "X-Pcap-Sha256: g123456789ABCDEF0123456789abcdef"
               "0123456789abcdef0123456789abcdef\r\n");
    ok(r.sha256[0] == '\0', "one that is none");
    reply_free(&r);

    header(&r, "X-Pcap-Uncompressed-Bytes: 12345678901\r\n");
    ok(r.has_raw && r.raw == UINT64_C(12345678901), "uncompressed bytes");
    reply_free(&r);

    header(&r, "X-Pcap-Uncompressed-Bytes: -1\r\n");
    ok(!r.has_raw, "none of them");
    reply_free(&r);

    header(&r, "Content-Disposition: attachment; filename=\"a.pcapng\"\r\n");
    ok(strcmp(r.file, "a.pcapng") == 0, "file name");
    reply_free(&r);

    header(&r, "Content-Disposition: attachment; filename=\"a.pcapng\r\n");
    ok(r.file[0] == '\0', "one without an end");
    reply_free(&r);

    header(&r, "Content-Disposition: attachment; filename=\"/etc/x\"\r\n");
    ok(r.file[0] == '\0', "one with a path");
    reply_free(&r);

    header(&r, "Location: https://x/?sig=\001\r\n");
    ok(r.redirect == NULL, "a redirect that is no address");
    reply_free(&r);
}


static void
test_part(void)
{
    char         buf[16], text[200];
    FILE        *f;
    part_t       p, q;
    struct stat  st;

    ok(part_open(&p, "x", ID) == 0 && p.len == 0, "nothing is there");
    ok(access("x.part", F_OK) == -1, "nor made");
    ok(part_begin(&p, "\"e\"") == 0 && part_put(&p, "abc", 3) == 0
       && part_put(&p, "def", 3) == 0 && p.len == 6, "written");

    ok(part_open(&q, "x", ID) == -1
       && strstr(q.err, "another process") != NULL, "by one: %s", q.err);
    part_close(&q);
    part_close(&p);
    ok(stat("x.part", &st) == 0 && st.st_size == 6
       && (st.st_mode & 07777) == 0600, "it stays");

    ok(part_open(&q, "x", OTHER) == -1, "not for another: %s", q.err);
    part_close(&q);

    ok(part_open(&p, "x", ID) == 0 && p.len == 6
       && strcmp(p.etag, "\"e\"") == 0, "found again");
    ok(part_read(&p, buf, sizeof(buf), 2) == 4
       && memcmp(buf, "cdef", 4) == 0, "and read");
    ok(part_begin(&p, "") == 0 && p.len == 0 && p.etag[0] == '\0',
       "begun again");
    ok(part_put(&p, "z", 1) == 0, "written again");

    f = fopen("x", "w");
    fputs("old", f);
    fclose(f);
    ok(part_finish(&p, "x", PART_NEW) == -1 && stat("x", &st) == 0
       && st.st_size == 3, "a file of that name stays: %s", p.err);
    ok(part_finish(&p, "x", PART_REPLACE) == 0 && stat("x", &st) == 0
       && st.st_size == 1, "or is replaced");
    part_close(&p);
    ok(access("x.part", F_OK) == -1 && access("x.part.etag", F_OK) == -1,
       "nothing is left beside it");

    snprintf(text, sizeof(text), ID " \"%0140d\"\n", 0);
    f = fopen("y.part.etag", "w");
    fputs(text, f);
    fclose(f);
    f = fopen("y.part", "w");
    fputs("y", f);
    fclose(f);
    ok(part_open(&p, "y", ID) == -1, "a tag that is too long: %s", p.err);
    part_close(&p);
    ok(access("y.part", F_OK) == 0, "its part is not touched");

    ok(part_open(&p, "w", ID) == 0 && part_begin(&p, "\"e\"") == 0,
       "one without a byte");
    part_close(&p);
    ok(access("w.part", F_OK) == -1 && access("w.part.etag", F_OK) == -1,
       "leaves nothing");
}


static void
test_kept(void)
{
    char    dst[8];
    time_t  now;

    now = 1795248780;       /* 2026-11-21T08:13:00Z */

    list_kept(dst, "2026-11-23T08:13:00Z", now);
    ok(strcmp(dst, "48h") == 0, "two days: %s", dst);
    list_kept(dst, "2026-12-21T08:13:00Z", now);
    ok(strcmp(dst, "30d") == 0, "a month: %s", dst);
    list_kept(dst, "2026-11-21T08:20:59Z", now);
    ok(strcmp(dst, "7m") == 0, "minutes: %s", dst);
    list_kept(dst, "2026-11-21T08:12:00Z", now);
    ok(strcmp(dst, "0m") == 0, "over: %s", dst);
    list_kept(dst, "2026-11-21 08:12", now);
    ok(strcmp(dst, "-") == 0, "no time: %s", dst);
    list_kept(dst, "", now);
    ok(strcmp(dst, "-") == 0, "none: %s", dst);
    list_kept(dst, "9999-12-31T23:59:59Z", now);
    ok(strlen(dst) < 7, "far away: %s", dst);
}


static void
test_row(void)
{
    char         row[512];
    term_load_t  l = { "a.pcapng", 450000, 450000, 1000000, 0, 1000 };

    term_load_row(row, sizeof(row), 200, &l);
    ok(strcmp(row, "a.pcapng  450.0 kB of 1.0 MB  45 %    1.0 kB/s"
       "  0:09:10 left") == 0, "row: %s", row);

    l.rate = 0;
    term_load_row(row, sizeof(row), 200, &l);
    ok(strstr(row, "left") == NULL, "no rate yet: %s", row);

    l.total = 0;
    term_load_row(row, sizeof(row), 200, &l);
    ok(strstr(row, "%") == NULL, "no length: %s", row);

    l.total = UINT64_MAX;
    l.rate = 1;
    term_load_row(row, sizeof(row), 200, &l);
    ok(strstr(row, " 0 % ") != NULL && strstr(row, "99:59:59") != NULL,
       "huge: %s", row);

    term_load_row(row, sizeof(row), 10, &l);
    ok(strlen(row) == 10, "cut: %s", row);

    l.name = "a\033[2J";
    term_load_row(row, sizeof(row), 200, &l);
    ok(strchr(row, '\033') == NULL, "clean: %s", row);
}


int
main(void)
{
    char  dir[] = "/tmp/cli_get.XXXXXX";

    test_rules();
    test_body();
    test_state();
    test_headers();
    test_kept();
    test_row();

    if (mkdtemp(dir) == NULL || chdir(dir) != 0) {
        return 1;
    }

    test_part();

    (void) unlink("x");
    (void) unlink("y.part");
    (void) unlink("y.part.etag");
    (void) rmdir(dir);

    return tap_done();
}
