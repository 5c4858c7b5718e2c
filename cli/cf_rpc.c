/*
 * cli/cf_rpc.c: the client. A call is a Request and its argument, an answer
 * a Response and its value (golang/go src/net/rpc/client.go, server.go); one
 * call at a time, so answers come in order. Answers hold tokens: what was
 * read is wiped.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cf_rpc.h"
#include "pcapx/valid.h"
#include "wipe.h"


#define RPC_SERVICE     "CliRpcCmd."
#define RPC_MAX_METHOD  64
#define RPC_MAX_ERROR   200

/* As often as Go's own plugins try (plugin/plugin_shim.go: 5 times). */
#define RPC_TRIES       5
#define RPC_TRY_MS      200

/* net/rpc's Request {ServiceMethod string; Seq uint64}. */
#define RPC_REQUEST_ID  66

struct cf_rpc_s {
    int        fd;
    uint64_t   seq;
    gob_t     *gob;
    uint8_t   *data;         /* what was read, not yet taken */
    size_t     len;
    const conf_wait_t  *wait;
    unsigned   defined:1;    /* Request was */
    unsigned   broken:1;
};

/* What comes in on the way: Response {ServiceMethod, Seq, Error}. */

typedef struct {
    char                  method[RPC_MAX_METHOD];
    char                  error[RPC_MAX_ERROR];
    uint64_t              seq;
    const cf_rpc_want_t  *wants;
    size_t                n;
} rpc_answer_t;


static uint64_t
rpc_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


static int
rpc_connect(unsigned port)
{
    int                 fd;
    struct sockaddr_in  sin;

    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd == -1) {
        return -1;
    }

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons((uint16_t) port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || fcntl(fd, F_SETFD, FD_CLOEXEC) == -1
        || fcntl(fd, F_SETFL, O_NONBLOCK) == -1)
    {
        close(fd);
        return -1;
    }

    return fd;
}


cf_rpc_t *
cf_rpc_open(unsigned port, char *err)
{
    int              tries;
    cf_rpc_t        *r;
    struct timespec  pause = { 0, RPC_TRY_MS * 1000000L };

    r = calloc(1, sizeof(cf_rpc_t));

    if (r == NULL || (r->gob = gob_new()) == NULL
        || (r->data = malloc(GOB_MAX_HEAD + GOB_MAX_MESSAGE)) == NULL)
    {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");
        goto failed;
    }

    r->fd = rpc_connect(port);

    for (tries = 1; r->fd == -1 && tries < RPC_TRIES; tries++) {
        (void) nanosleep(&pause, NULL);
        r->fd = rpc_connect(port);
    }

    if (r->fd == -1) {
        snprintf(err, PCAPX_ERR_LEN, "the cf CLI does not answer at port %u:"
                 " %s", port, strerror(errno));
        goto failed;
    }

    return r;

failed:

    if (r != NULL) {
        gob_free(r->gob);
        free(r->data);
        free(r);
    }

    return NULL;
}


void
cf_rpc_close(cf_rpc_t *r)
{
    if (r == NULL) {
        return;
    }

    close(r->fd);
    gob_free(r->gob);
    wipe(r->data, r->len);
    free(r->data);
    free(r);
}


/* Waits for events until the deadline; 0 or -1. */
static int
rpc_wait(const cf_rpc_t *r, short events, uint64_t until)
{
    int            n;
    uint64_t       now;
    struct pollfd  pfd = { r->fd, events, 0 };

    for ( ;; ) {
        now = rpc_now();
        if (now >= until) {
            return -1;
        }

        n = poll(&pfd, 1, r->wait != NULL ? 0 : (int) (until - now));

        if (n == 1) {
            return 0;
        }

        if ((n == -1 && errno != EINTR)
            || (r->wait != NULL && r->wait->turn(r->wait->ctx) != 0))
        {
            return -1;
        }
    }
}


/* SIGPIPE is ignored by whoever runs as a plugin. */
static int
rpc_send(const cf_rpc_t *r, const gob_out_t *o, uint64_t until)
{
    size_t   sent;
    ssize_t  n;

    for (sent = 0; sent < o->len; sent += (size_t) n) {
        n = send(r->fd, o->data + sent, o->len - sent, 0);

        if (n == -1) {
            n = 0;

            if (errno != EINTR
                && ((errno != EAGAIN && errno != EWOULDBLOCK)
                    || rpc_wait(r, POLLOUT, until) != 0))
            {
                return -1;
            }
        }
    }

    return 0;
}


/* Reads what there is; 0 or -1. */
static int
rpc_fill(cf_rpc_t *r, uint64_t until)
{
    ssize_t  n;

    if (rpc_wait(r, POLLIN, until) != 0) {
        return -1;
    }

    n = recv(r->fd, r->data + r->len,
             GOB_MAX_HEAD + GOB_MAX_MESSAGE - r->len, 0);

    if (n > 0) {
        r->len += (size_t) n;
        return 0;
    }

    return n == -1 && (errno == EINTR || errno == EAGAIN
                       || errno == EWOULDBLOCK) ? 0 : -1;
}


/* Reads messages up to the next value. NULL, or what was wrong. */
static const char *
rpc_read(cf_rpc_t *r, gob_visit_t visit, void *ctx, uint64_t until)
{
    int     rc;
    size_t  head, body, whole;

    for ( ;; ) {
        while ((rc = gob_frame(r->data, r->len, &head, &body)) == 0) {
            if (rpc_fill(r, until) != 0) {
                return "it does not answer";
            }
        }

        if (rc == -1) {
            return "a message that is malformed or too long";
        }

        rc = gob_message(r->gob, r->data + head, body, visit, ctx);
        if (rc == -1) {
            return gob_error(r->gob);
        }

        whole = head + body;
        wipe(r->data, whole);
        memmove(r->data, r->data + whole, r->len - whole);
        r->len -= whole;

        if (rc == 1) {
            return NULL;
        }
    }
}


static void
rpc_copy(char *dst, size_t max, const gob_scalar_t *v)
{
    size_t  len;

    len = v->len < max ? v->len : max - 1;
    memcpy(dst, v->p, len);
    dst[len] = '\0';
}


static void
rpc_on_header(void *ctx, const char *path, const gob_scalar_t *v)
{
    rpc_answer_t  *a = ctx;

    if (v->type == GOB_STRING && strcmp(path, "ServiceMethod") == 0) {
        rpc_copy(a->method, sizeof(a->method), v);

    } else if (v->type == GOB_STRING && strcmp(path, "Error") == 0) {
        rpc_copy(a->error, sizeof(a->error), v);

    } else if (v->type == GOB_UINT && strcmp(path, "Seq") == 0) {
        a->seq = v->u;
    }
}


static void
rpc_on_value(void *ctx, const char *path, const gob_scalar_t *v)
{
    size_t                i;
    rpc_answer_t         *a = ctx;
    const cf_rpc_want_t  *w;

    for (i = 0; i < a->n; i++) {
        w = &a->wants[i];

        if (strcmp(path, w->path) != 0) {
            continue;
        }

        if (v->type == GOB_BOOL && w->flag != NULL) {
            *w->flag = v->u != 0;
        }

        /* A NUL in it would make two programs read different texts. */
        if (v->type == GOB_STRING && w->text != NULL && *w->text == NULL
            && memchr(v->p, '\0', v->len) == NULL)
        {
            *w->text = strndup((const char *) v->p, v->len);
        }
    }
}


static void
rpc_request(cf_rpc_t *r, gob_out_t *o, const char *method,
    const gob_out_t *arg)
{
    int  last;

    static const gob_field_t  fields[] = {
        { "ServiceMethod", GOB_STRING }, { "Seq", GOB_UINT }
    };
    static const gob_type_t   request = {
        RPC_REQUEST_ID, GOB_STRUCT, "Request", 0, 0, fields, 2
    };

    if (!r->defined) {
        gob_put_type(o, &request);
        r->defined = 1;
    }

    gob_begin(o, RPC_REQUEST_ID, GOB_STRUCT);
    last = -1;
    gob_put_field(o, &last, 0);
    gob_put_text(o, method);

    /* Zero is left out. */
    if (r->seq != 0) {
        gob_put_field(o, &last, 1);
        gob_put_uint(o, r->seq);
    }

    gob_put_uint(o, 0);
    gob_end(o);

    if (arg != NULL) {
        gob_put_raw(o, arg);

    } else {
        gob_begin(o, GOB_STRING, GOB_KINDS);
        gob_put_text(o, "");
        gob_end(o);
    }
}


int
cf_rpc_call(cf_rpc_t *r, const conf_wait_t *wait, const char *method,
    const gob_out_t *arg, const cf_rpc_want_t *wants, size_t n, char *err)
{
    char           name[RPC_MAX_METHOD];
    uint64_t       until;
    gob_out_t      o = { 0 };
    const char    *why;
    rpc_answer_t   a;

    memset(&a, 0, sizeof(a));
    snprintf(name, sizeof(name), RPC_SERVICE "%s", method);
    until = rpc_now() + CF_RPC_TIMEOUT_MS;
    r->wait = wait;
    why = "it is gone";

    rpc_request(r, &o, name, arg);

    if (!r->broken && !o.failed && rpc_send(r, &o, until) == 0) {
        why = rpc_read(r, rpc_on_header, &a, until);
    }

    gob_out_free(&o);

    if (why == NULL && (a.seq != r->seq || strcmp(a.method, name) != 0)) {
        why = "an answer to another question";
    }

    if (why == NULL) {
        /* Of an error the value is an empty struct. */
        a.wants = wants;
        a.n = a.error[0] == '\0' ? n : 0;
        why = rpc_read(r, rpc_on_value, &a, until);
    }

    if (why != NULL) {
        r->broken = 1;
        snprintf(err, PCAPX_ERR_LEN, "the cf CLI (%s): %s", method, why);
        return -1;
    }

    r->seq++;

    if (a.error[0] != '\0') {
        snprintf(err, PCAPX_ERR_LEN, "%s", a.error);
        return 1;
    }

    return 0;
}
