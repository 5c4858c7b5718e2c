/*
 * agent/serve.c: see serve.h. All memory is a buffer and, for a list, its
 * names; a connection that takes nothing is waited for, not buffered for.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "files_name.h"
#include "merged.h"
#include "net.h"
#include "pcapx/version.h"
#include "serve.h"


#define SERVE_BUFFER_LEN  131072

/* A peer that takes nothing for so long is not waited for any more. */
#define SERVE_STALL_NS    (UINT64_C(180) * 1000000000)
#define SERVE_LINGER_NS   (UINT64_C(1) * 1000000000)

/* Before the parent kills what does not end within drain_timeout. */
#define SERVE_MARGIN_MS   500

/* An entry of the list: every byte of the name escaped, and the rest. */
#define SERVE_ENTRY_LEN   (2 * FILES_FILE_LEN + 128)

/* The last second of the year 9999: RFC 3339 has four digits. */
#define SERVE_MAX_TIME    INT64_C(253402300799)

/* Room for a chunk's length before it. */
#define SERVE_CHUNK_HEAD  20

typedef struct {
    serve_t       *sv;
    char          *buf;
    size_t         len;         /* of what stands behind SERVE_CHUNK_HEAD */
    size_t         n;           /* entries so far */
} serve_list_t;


static int serve_list(serve_t *sv, int folder, problem_t *why);
static int serve_entries(serve_list_t *l, const files_names_t *names);
static int serve_entry(serve_list_t *l, const char *name,
    const files_info_t *info);
static int serve_chunk(serve_list_t *l);
static void serve_time(const files_info_t *info, struct tm *tm);
static size_t serve_escape(char *dst, const char *name);
static int serve_file(serve_t *sv, problem_t *why);
static int serve_bytes(serve_t *sv, int fd, uint64_t left, char *buf);
static int serve_remove(serve_t *sv, problem_t *why);
static int serve_write(serve_t *sv, const char *buf, size_t len);
static int serve_end(serve_t *sv, int rc, const char *what);
static int serve_input(serve_t *sv);
static int serve_control(serve_t *sv);
static void serve_hurry(serve_t *sv, uint64_t after_ms);


int
serve_request(serve_t *sv, problem_t *why)
{
    int  rc, folder;

    sv->until = UINT64_MAX;
    folder = files_folder(sv->files, sv->req->ns, sv->req->name);

    if (folder == -1) {
        return serve_error(sv, NULL, why);
    }

    switch (sv->req->kind) {

    case REQUEST_FILE:
        close(folder);
        return serve_file(sv, why);

    case REQUEST_REMOVE:
        close(folder);
        return serve_remove(sv, why);

    case REQUEST_MERGED:
        rc = merged_serve(sv, folder, why);
        break;

    default:
        rc = serve_list(sv, folder, why);
    }

    close(folder);

    return rc;
}


int
serve_error(const serve_t *sv, const char *file, problem_t *why)
{
    int         status;
    const char  *words;

    switch (errno) {

    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV:
    case EISDIR:
    case ENAMETOOLONG:
        status = 404;
        words = "there is none";
        break;

    case EACCES:
    case EPERM:
    case EROFS:
        status = 403;
        words = "the agent may not";
        break;

    default:
        status = 500;
        words = strerror(errno);
    }

    (void) problem_set(why, status, "files: %.100s/%.100s%s%.200s: %s",
                       sv->req->ns, sv->req->name, file ? "/" : "",
                       file ? file : "", words);

    return 1;
}


/* {"files":[{"name":...,"bytes":...,"modified":...},...]} in chunks. */

static int
serve_list(serve_t *sv, int folder, problem_t *why)
{
    int            rc;
    serve_list_t   l;
    files_names_t  names;

    memset(&l, 0, sizeof(l));
    l.sv = sv;
    l.buf = malloc(SERVE_BUFFER_LEN);

    if (files_names(&names, folder) != 0 || l.buf == NULL) {
        rc = serve_error(sv, NULL, why);

    } else {
        rc = serve_end(sv, serve_entries(&l, &names), "list");
    }

    files_names_free(&names);
    free(l.buf);

    return rc;
}


static int
serve_entries(serve_list_t *l, const files_names_t *names)
{
    size_t        i;
    files_info_t  info;

    static const char  head[] =
        "HTTP/1.1 200 OK\r\nServer: pcap-agent/" PCAP_VERSION "\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n";

    if (serve_write(l->sv, head, sizeof(head) - 1) != 0) {
        return -1;
    }

    l->len = (size_t) snprintf(l->buf + SERVE_CHUNK_HEAD, SERVE_ENTRY_LEN,
                               "{\"files\":[");

    for (i = 0; i < names->n; i++) {

        /* What is no regular file, or gone since, is not there. */

        if (files_look(l->sv->files, names->names[i], &info) == 0
            && serve_entry(l, names->names[i], &info) != 0)
        {
            return -1;
        }
    }

    l->len += (size_t) snprintf(l->buf + SERVE_CHUNK_HEAD + l->len,
                                SERVE_ENTRY_LEN, "]%s",
                                names->cut ? ",\"truncated\":true" : "");

    if (names->omitted) {
        l->len += (size_t) snprintf(l->buf + SERVE_CHUNK_HEAD + l->len,
                                    SERVE_ENTRY_LEN, ",\"omitted\":%zu",
                                    names->omitted);
    }

    l->buf[SERVE_CHUNK_HEAD + l->len++] = '}';

    return serve_chunk(l) == 0 && serve_write(l->sv, "0\r\n\r\n", 5) == 0
           ? 0 : -1;
}


static int
serve_entry(serve_list_t *l, const char *name, const files_info_t *info)
{
    int         n;
    char       *p;
    struct tm   tm;

    serve_time(info, &tm);
    p = l->buf + SERVE_CHUNK_HEAD + l->len;
    n = snprintf(p, SERVE_ENTRY_LEN, "%s{\"name\":\"", l->n++ ? "," : "");
    n += (int) serve_escape(p + n, name);
    n += snprintf(p + n, SERVE_ENTRY_LEN,
                  "\",\"bytes\":%llu,\"modified\":"
                  "\"%04d-%02d-%02dT%02d:%02d:%02dZ\"}",
                  (unsigned long long) info->bytes, tm.tm_year + 1900,
                  tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                  tm.tm_sec);
    l->len += (size_t) n;

    return l->len < SERVE_BUFFER_LEN / 2 ? 0 : serve_chunk(l);
}


static void
serve_time(const files_info_t *info, struct tm *tm)
{
    time_t  when;

    memset(tm, 0, sizeof(*tm));
    when = (time_t) (info->mtime_s < 0 ? 0
                     : info->mtime_s > SERVE_MAX_TIME ? SERVE_MAX_TIME
                     : info->mtime_s);
    (void) gmtime_r(&when, tm);
}


/* Names are UTF-8 without control characters (files_name.h). */

static size_t
serve_escape(char *dst, const char *name)
{
    size_t  n;

    for (n = 0; *name; name++) {
        if (*name == '"' || *name == '\\') {
            dst[n++] = '\\';
        }

        dst[n++] = *name;
    }

    return n;
}


static int
serve_chunk(serve_list_t *l)
{
    int     n;
    char    head[SERVE_CHUNK_HEAD];
    size_t  len;

    n = snprintf(head, sizeof(head), "%zx\r\n", l->len);
    memcpy(l->buf + SERVE_CHUNK_HEAD - n, head, (size_t) n);
    memcpy(l->buf + SERVE_CHUNK_HEAD + l->len, "\r\n", 2);

    len = (size_t) n + l->len + 2;
    l->len = 0;

    return serve_write(l->sv, l->buf + SERVE_CHUNK_HEAD - n, len);
}


/*
 * As long as it was when it was opened: what a file has grown by since is not
 * sent, and one that has shrunk ends the connection before its length.
 */

static int
serve_file(serve_t *sv, problem_t *why)
{
    int           fd, n, rc;
    char         *buf, modified[64];
    struct tm     tm;
    files_info_t  info;

    fd = files_open(sv->files, sv->req->file, &info);

    if (fd == -1) {
        return serve_error(sv, sv->req->file, why);
    }

    buf = malloc(SERVE_BUFFER_LEN);

    if (buf == NULL) {
        close(fd);
        (void) problem_set(why, 500, "out of memory");
        return 1;
    }

    /* RFC 9110 5.6.7; the locale is C */

    serve_time(&info, &tm);
    (void) strftime(modified, sizeof(modified), "%a, %d %b %Y %H:%M:%S GMT",
                    &tm);

    n = snprintf(buf, SERVE_BUFFER_LEN,
                 "HTTP/1.1 200 OK\r\nServer: pcap-agent/" PCAP_VERSION "\r\n"
                 "Content-Type: application/vnd.tcpdump.pcap\r\n"
                 "Content-Length: %llu\r\nCache-Control: no-store\r\n"
                 "Last-Modified: %s\r\nConnection: close\r\n\r\n",
                 (unsigned long long) info.bytes, modified);

    rc = serve_write(sv, buf, (size_t) n);

    if (rc == 0) {
        rc = serve_bytes(sv, fd, info.bytes, buf);
    }

    close(fd);
    free(buf);

    return serve_end(sv, rc, sv->req->file);
}


static int
serve_bytes(serve_t *sv, int fd, uint64_t left, char *buf)
{
    ssize_t  n;

    while (left) {
        n = read(fd, buf, left < SERVE_BUFFER_LEN ? (size_t) left
                                                  : SERVE_BUFFER_LEN);

        if (n <= 0) {
            log_warn(sv->log, "%s: %s, %llu bytes are missing",
                     sv->req->file, n == 0 ? "it has shrunk"
                                           : strerror(errno),
                     (unsigned long long) left);
            return -1;
        }

        if (serve_write(sv, buf, (size_t) n) != 0) {
            return -1;
        }

        left -= (uint64_t) n;
    }

    return 0;
}


static int
serve_remove(serve_t *sv, problem_t *why)
{
    int  gone;

    static const char  done[] =
        "HTTP/1.1 204 No Content\r\nServer: pcap-agent/" PCAP_VERSION "\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n";

    if (files_remove(sv->files, sv->req->file) != 0) {
        gone = errno == ENOENT;
        (void) serve_error(sv, sv->req->file, why);

        if (gone) {                        /* its folder is there */
            why->status = 410;
        }

        return 1;
    }

    log_info(sv->log, "removed %s/%s/%s for %s", sv->req->ns, sv->req->name,
             sv->req->file, sv->tls->peer);

    return serve_end(sv, serve_write(sv, done, sizeof(done) - 1), "removal");
}


/* All of it, or -1. */

static int
serve_write(serve_t *sv, const char *buf, size_t len)
{
    int       rc;
    uint64_t  stall;

    stall = net_monotonic() + SERVE_STALL_NS;

    /* A peer that takes all at once would never be waited for. */

    if (serve_wait(sv, 0, 0) != 0) {
        return -1;
    }

    while (len) {
        rc = tls_write(sv->tls, buf, len);

        if (rc > 0) {
            buf += rc;
            len -= (size_t) rc;
            continue;
        }

        /* Of a list or a file all is wanted, or nothing. */

        if (rc != TLS_AGAIN || sv->finished || net_monotonic() > stall
            || serve_wait(sv, sv->tls->want_write, stall) != 0)
        {
            return -1;
        }
    }

    return 0;
}


static int
serve_end(serve_t *sv, int rc, const char *what)
{
    log_info(sv->log, "files: %s/%s, %.200s: %s", sv->req->ns, sv->req->name,
             what, rc == 0 ? "sent" : "cut");

    if (rc == 0) {
        tls_finish(sv->tls, net_monotonic() + SERVE_LINGER_NS);
    }

    return rc;
}


int
serve_wait(serve_t *sv, short events, uint64_t deadline)
{
    uint64_t          now, ms;
    struct pollfd     pfd[2];
    struct timespec   ts;

    now = net_monotonic();
    deadline = deadline < sv->until ? deadline : sv->until;
    ms = deadline > now ? (deadline - now) / 1000000 + 1 : 0;
    ts.tv_sec = (time_t) (ms / 1000);
    ts.tv_nsec = (long) (ms % 1000) * 1000000;

    pfd[0].fd = sv->tls->fd;
    pfd[0].events = (short) (events | (sv->finished ? 0 : POLLIN));
    pfd[0].revents = 0;
    pfd[1].fd = sv->control;
    pfd[1].events = POLLIN;
    pfd[1].revents = 0;

    if (ppoll(pfd, 2, &ts, sv->wait_mask) > 0) {
        if (pfd[1].revents && serve_control(sv) != 0) {
            return -1;
        }

        if ((pfd[0].revents & (POLLERR | POLLNVAL))
            || (sv->finished && (pfd[0].revents & POLLHUP)))
        {
            return -1;
        }

        if ((pfd[0].revents & ~POLLOUT) && !sv->finished
            && serve_input(sv) != 0)
        {
            return -1;
        }
    }

    if (*sv->stop) {
        serve_hurry(sv, sv->conf->drain_timeout);
    }

    return net_monotonic() < sv->until ? 0 : -1;
}


/* The peer sends nothing behind its request but the end. */

static int
serve_input(serve_t *sv)
{
    int   rc;
    char  buf[512];

    rc = tls_read(sv->tls, buf, sizeof(buf));

    if (rc == TLS_EOF) {
        sv->finished = 1;
        return 0;
    }

    return rc == TLS_AGAIN ? 0 : -1;
}


static int
serve_control(serve_t *sv)
{
    int            rc;
    control_msg_t  msg;

    rc = control_recv(sv->control, &msg);

    if (rc < 0) {
        sv->control = -1;
        serve_hurry(sv, sv->conf->drain_timeout);

    } else if (rc == 1 && msg.type == CONTROL_END) {
        if (msg.ending == ENDING_OFF) {
            log_warn(sv->log, "files are switched off (off_file)");
            return -1;
        }

        serve_hurry(sv, sv->conf->drain_timeout);
    }

    return 0;
}


/* What is not sent by then is not sent: no end that looks like one. */

static void
serve_hurry(serve_t *sv, uint64_t after_ms)
{
    uint64_t  until;

    after_ms = after_ms > 2 * SERVE_MARGIN_MS ? after_ms - SERVE_MARGIN_MS
                                              : after_ms / 2;
    until = net_monotonic() + after_ms * 1000000;
    sv->until = until < sv->until ? until : sv->until;
}
