/*
 * module/audit_log.c: the chain of the audit log: each line has a number and
 * an HMAC over itself and the one before. All processes that write take the
 * lock of the state file (fcntl(2): the kernel gives it back when a process
 * dies, however it dies; nobody waits long for it), read the state, write one
 * whole line by one write(2), and write the state. Nothing about the chain is
 * kept in memory, so that reload, restart and a second master with a new
 * binary go on with it.
 *
 * A state with pending set was left by a process that died in between: the
 * size of the file tells whether its line is there. A part of one is taken
 * away again: it is the only thing that this room ever takes out of a file.
 */

#include "module/audit.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>


#define NGX_PCAP_API_AUDIT_MAGIC  PCAPX_AUDIT_STATE
#define NGX_PCAP_API_AUDIT_WAIT   1000      /* ms, for a syslog daemon */

/*
 * For the lock, which others have for some 100 us, or while they wait for a
 * syslog daemon; and again, once that was in vain.
 */
#define NGX_PCAP_API_AUDIT_LOCK        100  /* ms */
#define NGX_PCAP_API_AUDIT_LOCK_AGAIN  2    /* ms */
#define NGX_PCAP_API_AUDIT_NAP         200  /* us */

#define NGX_PCAP_API_AUDIT_READS       10


/*
 * Not F_SETLKW: a worker that is stopped while it has the lock would stop
 * all others. They wait once; then, until they get it, next to not at all.
 */
ngx_int_t
ngx_pcap_api_audit_lock(ngx_pcap_api_audit_t *a)
{
    ngx_err_t     err;
    ngx_uint_t    naps;
    struct flock  fl;

    ngx_memzero(&fl, sizeof(struct flock));
    fl.l_type = F_WRLCK;
    fl.l_whence = SEEK_SET;

    naps = NGX_PCAP_API_AUDIT_LOCK_AGAIN;

    if (!a->stuck) {
        naps = NGX_PCAP_API_AUDIT_LOCK;
        naps += a->file == NULL ? NGX_PCAP_API_AUDIT_WAIT : 0;
    }

    naps = naps * 1000 / NGX_PCAP_API_AUDIT_NAP;

    while (fcntl(a->fd, F_SETLK, &fl) == -1) {
        err = ngx_errno;

        if (naps-- == 0
            || (err != NGX_EAGAIN && err != NGX_EACCES && err != NGX_EINTR))
        {
            a->stuck = 1;
            ngx_set_errno(err);
            return NGX_ERROR;
        }

        (void) usleep(NGX_PCAP_API_AUDIT_NAP);
    }

    a->stuck = 0;

    return NGX_OK;
}


void
ngx_pcap_api_audit_unlock(ngx_pcap_api_audit_t *a)
{
    struct flock  fl;

    ngx_memzero(&fl, sizeof(struct flock));
    fl.l_type = F_UNLCK;
    fl.l_whence = SEEK_SET;

    (void) fcntl(a->fd, F_SETLK, &fl);
}


/* Who does not get the lock cannot write to the state that a line is lost. */
static void
ngx_pcap_api_audit_miss(ngx_pcap_api_audit_t *a)
{
    if (a->missed) {
        (void) ngx_atomic_fetch_add(a->missed, 1);
    }
}


/* Under the lock: what all workers have missed since. */
static void
ngx_pcap_api_audit_collect(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st)
{
    ngx_atomic_uint_t  n;

    if (a->missed == NULL) {
        return;
    }

    do {
        n = *a->missed;
    } while (!ngx_atomic_cmp_set(a->missed, n, 0));

    st->lost += n;
    st->lost_total += n;
}


ngx_int_t
ngx_pcap_api_audit_hmac(ngx_pcap_api_audit_t *a, u_char *data, size_t len,
    u_char mac[32])
{
    unsigned  n;

    n = 32;

    return HMAC(EVP_sha256(), a->key.data, (int) a->key.len, data, len, mac,
                &n) != NULL && n == 32
           ? NGX_OK : NGX_ERROR;
}


void
ngx_pcap_api_audit_state_init(ngx_pcap_api_audit_state_t *st)
{
    ngx_uint_t  i;

    ngx_memzero(st, sizeof(ngx_pcap_api_audit_state_t));
    ngx_memcpy(st->magic, NGX_PCAP_API_AUDIT_MAGIC, 8);
    ngx_memset(st->mac, '0', NGX_PCAP_API_AUDIT_MAC);

    for (i = 0; i < NGX_PCAP_API_AUDIT_NBUDGETS; i++) {
        st->budget[i] = NGX_PCAP_API_AUDIT_BURST * 1000;
    }
}


ngx_int_t
ngx_pcap_api_audit_load(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st)
{
    u_char   check[32];
    ssize_t  n;

    n = pread(a->fd, st, sizeof(ngx_pcap_api_audit_state_t), 0);

    if (n == -1) {
        return NGX_ERROR;
    }

    if (n != sizeof(ngx_pcap_api_audit_state_t)
        || ngx_memcmp(st->magic, NGX_PCAP_API_AUDIT_MAGIC, 8) != 0
        || ngx_pcap_api_audit_hmac(a, (u_char *) st,
                          offsetof(ngx_pcap_api_audit_state_t, check), check)
           != NGX_OK
        || CRYPTO_memcmp(check, st->check, 32) != 0)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_pcap_api_audit_save(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st)
{
    if (ngx_pcap_api_audit_hmac(a, (u_char *) st,
                      offsetof(ngx_pcap_api_audit_state_t, check), st->check)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return pwrite(a->fd, st, sizeof(ngx_pcap_api_audit_state_t), 0)
           == sizeof(ngx_pcap_api_audit_state_t)
           ? NGX_OK : NGX_ERROR;
}


/* The pending line is in the log, or is taken to be. */
static void
ngx_pcap_api_audit_commit(ngx_pcap_api_audit_state_t *st)
{
    st->seq++;
    ngx_memcpy(st->mac, st->pending_mac, NGX_PCAP_API_AUDIT_MAC);
    st->lost = 0;
    st->suppressed = 0;
    st->unsure = 0;
    st->pending = 0;
}


static void
ngx_pcap_api_audit_lose(ngx_pcap_api_audit_state_t *st)
{
    st->pending = 0;
    st->lost++;
    st->lost_total++;
}


/*
 * A process died while it wrote. Where nothing tells whether its line is
 * there (syslog, or the log was rotated at that moment), its number stays
 * used, and the next line says so.
 */
static ngx_int_t
ngx_pcap_api_audit_settle(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st, ngx_log_t *log)
{
    ngx_file_info_t  fi;

    if (!st->pending) {
        return NGX_OK;
    }

    if (a->file == NULL || st->ino == 0
        || ngx_fd_info(a->file->fd, &fi) == NGX_FILE_ERROR
        || (uint64_t) fi.st_dev != st->dev
        || (uint64_t) fi.st_ino != st->ino
        || (uint64_t) fi.st_size < st->size)
    {
        ngx_pcap_api_audit_commit(st);
        st->unsure = st->seq;
        ngx_log_error(NGX_LOG_WARN, log, 0, "pcap audit: a worker died while "
                      "it wrote line %uL, which may be missing", st->seq);
        return NGX_OK;
    }

    if ((uint64_t) fi.st_size >= st->size + st->len) {
        ngx_pcap_api_audit_commit(st);
        return NGX_OK;
    }

    if ((uint64_t) fi.st_size > st->size
        && ftruncate(a->file->fd, (off_t) st->size) == -1)
    {
        return NGX_ERROR;
    }

    ngx_pcap_api_audit_lose(st);

    return NGX_OK;
}


static uint64_t
ngx_pcap_api_audit_now_ms(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


/* 1: a line may be written; else it is counted. */
static ngx_uint_t
ngx_pcap_api_audit_within(ngx_pcap_api_audit_state_t *st,
    ngx_pcap_api_audit_budget_e b)
{
    uint64_t  now, passed, rate;

    if (b == NGX_PCAP_API_AUDIT_ALWAYS) {
        return 1;
    }

    now = ngx_pcap_api_audit_now_ms();
    rate = b == NGX_PCAP_API_AUDIT_BUDGET_ANY ? NGX_PCAP_API_AUDIT_RATE_ANY
                                              : NGX_PCAP_API_AUDIT_RATE_USER;

    /* a clock that was set back, or ahead, fills nothing but once */

    passed = now > st->filled_ms[b] ? now - st->filled_ms[b] : 0;
    passed = ngx_min(passed, 86400000);
    st->filled_ms[b] = now;
    st->budget[b] += passed * rate / 1000;
    st->budget[b] = ngx_min(st->budget[b], NGX_PCAP_API_AUDIT_BURST * 1000);

    if (st->budget[b] < 1000) {
        st->suppressed++;
        st->suppressed_total++;
        return 0;
    }

    st->budget[b] -= 1000;

    return 1;
}


/* The whole line with its newline; returns its length, 0 for an error. */
static size_t
ngx_pcap_api_audit_compose(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st, u_char *buf, u_char *fields, size_t len)
{
    u_char    *p, mac[32];
    uint64_t   ms;
    ngx_tm_t   tm;

    ms = ngx_pcap_api_audit_now_ms();
    ngx_gmtime((time_t) (ms / 1000), &tm);

    p = ngx_sprintf(buf, "{\"seq\":%uL,\"time\":\"%4d-%02d-%02dT%02d:%02d:%02d"
                    ".%03uLZ\"", st->seq + 1, tm.ngx_tm_year, tm.ngx_tm_mon,
                    tm.ngx_tm_mday, tm.ngx_tm_hour, tm.ngx_tm_min,
                    tm.ngx_tm_sec, ms % 1000);
    p = ngx_cpymem(p, fields, len);

    if (st->lost) {
        p = ngx_sprintf(p, ",\"lost\":%uL", st->lost);
    }

    if (st->suppressed) {
        p = ngx_sprintf(p, ",\"suppressed\":%uL", st->suppressed);
    }

    if (st->unsure) {
        p = ngx_sprintf(p, ",\"unsure\":%uL", st->unsure);
    }

    p = ngx_sprintf(p, ",\"prev\":\"%*s\"", (size_t) NGX_PCAP_API_AUDIT_MAC,
                    st->mac);

    if (ngx_pcap_api_audit_hmac(a, buf, p - buf, mac) != NGX_OK) {
        return 0;
    }

    (void) ngx_hex_dump(st->pending_mac, mac, 32);
    p = ngx_sprintf(p, ",\"mac\":\"%*s\"}\n",
                    (size_t) NGX_PCAP_API_AUDIT_MAC, st->pending_mac);

    return p - buf;
}


/*
 * A datagram; a daemon that is restarted or behind gets a second chance. One
 * that hangs is waited for once, not with each line: the worker stands still.
 */
static ngx_int_t
ngx_pcap_api_audit_send(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st, u_char *line, size_t len)
{
    u_char         *p;
    u_char          msg[NGX_PCAP_API_AUDIT_LINE + 512];
    ssize_t         n;
    ngx_uint_t      i;
    struct pollfd   pfd;

    p = ngx_syslog_add_header(a->syslog, msg);
    p = ngx_cpymem(p, line, len - 1);      /* without the newline */

    for (i = 0; i < 2; i++) {
        n = ngx_syslog_send(a->syslog, msg, p - msg);

        if (n == p - msg) {
            return NGX_OK;
        }

        if (n == NGX_AGAIN && st->lost == 0) {
            pfd.fd = a->syslog->conn.fd;
            pfd.events = POLLOUT;
            (void) poll(&pfd, 1, NGX_PCAP_API_AUDIT_WAIT);
        }
    }

    return NGX_ERROR;
}


/* What was written of a line that is not whole goes again. */
static ngx_int_t
ngx_pcap_api_audit_write(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st, u_char *line, size_t len, ngx_err_t *err)
{
    ssize_t  n;

    if (a->file == NULL) {
        *err = 0;
        return ngx_pcap_api_audit_send(a, st, line, len);
    }

    do {
        n = write(a->file->fd, line, len);
    } while (n == -1 && ngx_errno == NGX_EINTR);

    if (n == (ssize_t) len) {
        return NGX_OK;
    }

    *err = n == -1 ? ngx_errno : NGX_ENOSPC;

    if (n > 0 && st->ino && ftruncate(a->file->fd, (off_t) st->size) == -1) {
        return NGX_ABORT;                  /* the next one tries again */
    }

    return NGX_ERROR;
}


void
ngx_pcap_api_audit_close_to_others(ngx_fd_t fd, ngx_file_info_t *fi)
{
    if (ngx_is_file(fi) && fi->st_size == 0 && (fi->st_mode & S_IRWXO)) {
        (void) fchmod(fd, fi->st_mode & (S_IRWXU|S_IRWXG));
    }
}


/* Says in the state what is about to happen; the file is nobody else's. */
static ngx_int_t
ngx_pcap_api_audit_announce(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st, size_t len)
{
    ngx_file_info_t  fi;

    st->pending = 1;
    st->len = len;
    st->dev = 0;
    st->ino = 0;
    st->size = 0;

    if (a->file != NULL) {

        if (ngx_fd_info(a->file->fd, &fi) == NGX_FILE_ERROR) {
            return NGX_ERROR;
        }

        if (ngx_is_file(&fi) && fi.st_nlink == 0) {
            ngx_set_errno(NGX_ENOENT);     /* nobody would ever read it */
            return NGX_ERROR;
        }

        if (ngx_is_file(&fi)) {
            st->dev = (uint64_t) fi.st_dev;
            st->ino = (uint64_t) fi.st_ino;
            st->size = (uint64_t) fi.st_size;
        }

        ngx_pcap_api_audit_close_to_others(a->file->fd, &fi);
    }

    return ngx_pcap_api_audit_save(a, st);
}


static ngx_int_t
ngx_pcap_api_audit_put_locked(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_budget_e budget, u_char *fields, size_t len,
    ngx_log_t *log, ngx_err_t *err)
{
    size_t                      n;
    u_char                      line[NGX_PCAP_API_AUDIT_LINE];
    ngx_int_t                   rc;
    ngx_pcap_api_audit_state_t  st;

    rc = ngx_pcap_api_audit_load(a, &st);

    if (rc != NGX_OK) {
        *err = rc == NGX_ERROR ? ngx_errno : 0;
        return NGX_ERROR;
    }

    if (ngx_pcap_api_audit_settle(a, &st, log) != NGX_OK) {
        *err = ngx_errno;
        return NGX_ERROR;
    }

    ngx_pcap_api_audit_collect(a, &st);

    if (!ngx_pcap_api_audit_within(&st, budget)) {
        return ngx_pcap_api_audit_save(a, &st);
    }

    n = ngx_pcap_api_audit_compose(a, &st, line, fields, len);

    if (n == 0 || ngx_pcap_api_audit_announce(a, &st, n) != NGX_OK) {
        *err = ngx_errno;
        ngx_pcap_api_audit_lose(&st);
        (void) ngx_pcap_api_audit_save(a, &st);
        return NGX_ERROR;
    }

    rc = ngx_pcap_api_audit_write(a, &st, line, n, err);

    if (rc == NGX_ABORT) {
        return NGX_ERROR;                  /* pending, with a part of it */
    }

    if (rc == NGX_OK) {
        ngx_pcap_api_audit_commit(&st);

    } else {
        ngx_pcap_api_audit_lose(&st);
    }

    /* the line is there: should this fail, its size will tell */

    (void) ngx_pcap_api_audit_save(a, &st);

    return rc;
}


ngx_int_t
ngx_pcap_api_audit_put(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_budget_e budget, u_char *fields, size_t len,
    ngx_log_t *log)
{
    ngx_int_t  rc;
    ngx_err_t  err;

    err = 0;

    if (ngx_pcap_api_audit_lock(a) == NGX_OK) {
        rc = ngx_pcap_api_audit_put_locked(a, budget, fields, len, log, &err);
        ngx_pcap_api_audit_unlock(a);

    } else {
        rc = NGX_ERROR;
        err = ngx_errno;
        ngx_pcap_api_audit_miss(a);
    }

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_CRIT, log, err, "pcap audit: a line could not "
                      "be written to \"%V\", state \"%V\"", &a->name,
                      &a->state);
    }

    return rc == NGX_OK ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_pcap_api_audit_head(ngx_pcap_api_main_conf_t *pmcf,
    ngx_pcap_api_audit_head_t *head)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i;
    ngx_pcap_api_audit_t       *a;
    ngx_pcap_api_audit_state_t  st;

    a = pmcf->audit;

    if (a == NULL) {
        return NGX_DECLINED;
    }

    /* without the lock: a half of an old and a new one has no valid code */

    rc = NGX_DECLINED;

    for (i = 0; i < NGX_PCAP_API_AUDIT_READS && rc == NGX_DECLINED; i++) {
        rc = ngx_pcap_api_audit_load(a, &st);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    head->seq = st.seq;
    head->lost = st.lost_total + (a->missed ? *a->missed : 0);
    head->suppressed = st.suppressed_total;
    /* a line that is written: none are lost since */
    head->failing = st.lost != 0 || (a->missed && *a->missed);
    ngx_memcpy(head->mac, st.mac, NGX_PCAP_API_AUDIT_MAC);

    return NGX_OK;
}
