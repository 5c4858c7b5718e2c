/*
 * module/audit_conf.c: pcap_api_audit: the directive, the key, and where the
 * chain goes on when nginx starts. All of it runs in the master while it reads
 * the configuration, so that what is wrong refuses a start or a reload, and
 * never ends a running nginx.
 *
 * The state file says where the chain is. The log's last line is looked at
 * beside it: it is newer when a machine lost power, and all there is when the
 * state was lost.
 */

#include "module/audit.h"


#define NGX_PCAP_API_AUDIT_TAIL  65536      /* bytes; holds a line or two */


/* What the end of the log is. */

typedef enum {
    NGX_PCAP_API_TAIL_NONE = 0,            /* no log, or an empty one */
    NGX_PCAP_API_TAIL_LINE,
    NGX_PCAP_API_TAIL_BROKEN               /* no line by this key */
} ngx_pcap_api_tail_e;

typedef struct {
    ngx_pcap_api_tail_e   kind;
    uint64_t              seq;
    u_char                mac[NGX_PCAP_API_AUDIT_MAC];
    ngx_uint_t            partial;         /* unsigned  partial:1 */
} ngx_pcap_api_tail_t;


/* The key is every byte of the file. */
static char *
ngx_pcap_api_audit_key(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *key)
{
    ssize_t           n;
    ngx_fd_t          fd;
    const char       *why;
    ngx_file_info_t   fi;

    key->data = ngx_pnalloc(cf->pool, PCAPX_AUDIT_MAX_KEY + 1);
    if (key->data == NULL) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno, "the key \"%V\" of "
                           "\"pcap_api_audit\" cannot be opened", name);
        return NGX_CONF_ERROR;
    }

    n = -1;

    if (ngx_fd_info(fd, &fi) != NGX_FILE_ERROR && ngx_is_file(&fi)) {
        n = read(fd, key->data, PCAPX_AUDIT_MAX_KEY + 1);
    }

    (void) ngx_close_file(fd);

    if (n == -1) {
        why = "cannot be read";

    } else if (fi.st_mode & (S_IRWXO|S_IWGRP)) {
        why = "may be used by others: 0600, or 0640 at most, is allowed";

    } else if (n < PCAPX_AUDIT_MIN_KEY || n > PCAPX_AUDIT_MAX_KEY) {
        why = "has to have 32 to 4096 bytes";

    } else {
        key->len = n;
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "the key \"%V\" of \"pcap_api_audit\" %s", name, why);

    return NGX_CONF_ERROR;
}


/* key=, state=, failure= */
static char *
ngx_pcap_api_audit_params(ngx_conf_t *cf, ngx_pcap_api_audit_t *a,
    ngx_str_t *key)
{
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;
    ngx_str_null(key);

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "key=", 4) == 0 && !key->len) {
            key->data = value[i].data + 4;
            key->len = value[i].len - 4;

        } else if (ngx_strncmp(value[i].data, "state=", 6) == 0
                   && !a->state.len)
        {
            a->state.data = value[i].data + 6;
            a->state.len = value[i].len - 6;

        } else if (ngx_strcmp(value[i].data, "failure=refuse") == 0) {
            a->required = 1;

        } else if (ngx_strcmp(value[i].data, "failure=continue") == 0) {
            a->required = 0;

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter "
                               "\"%V\", \"key=FILE\", \"state=FILE\", "
                               "\"failure=refuse\" and \"failure=continue\" "
                               "are allowed", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    return key->len ? NGX_CONF_OK : "needs \"key=FILE\"";
}


/* FILE.state, unless it is given */
static char *
ngx_pcap_api_audit_state_name(ngx_conf_t *cf, ngx_pcap_api_audit_t *a)
{
    u_char  *p;

    if (a->state.len == 0) {

        if (a->file == NULL) {
            return "needs \"state=FILE\" with syslog";
        }

        p = ngx_pnalloc(cf->pool, a->file->name.len + sizeof(".state"));
        if (p == NULL) {
            return NGX_CONF_ERROR;
        }

        a->state.data = p;
        p = ngx_cpymem(p, a->file->name.data, a->file->name.len);
        (void) ngx_cpymem(p, ".state", sizeof(".state"));
        a->state.len = a->file->name.len + sizeof(".state") - 1;
    }

    return ngx_conf_full_name(cf->cycle, &a->state, 0) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static void
ngx_pcap_api_audit_close(void *data)
{
    ngx_pcap_api_audit_t *a = data;

    if (a->fd != NGX_INVALID_FILE) {
        (void) ngx_close_file(a->fd);
        a->fd = NGX_INVALID_FILE;
    }

    if (a->key.len) {
        ngx_explicit_memzero(a->key.data, a->key.len);
    }
}


char *
ngx_pcap_api_audit_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                      *rc;
    ngx_str_t                 *value, key;
    ngx_pool_cleanup_t        *cln;
    ngx_pcap_api_audit_t      *a;
    ngx_pcap_api_main_conf_t  *pmcf = conf;

    if (pmcf->audit != NULL) {
        return "is duplicate";
    }

    a = ngx_pcalloc(cf->pool, sizeof(ngx_pcap_api_audit_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (a == NULL || cln == NULL) {
        return NGX_CONF_ERROR;
    }

    a->fd = NGX_INVALID_FILE;
    a->required = 1;
    cln->handler = ngx_pcap_api_audit_close;
    cln->data = a;

    rc = ngx_pcap_api_audit_params(cf, a, &key);
    if (rc != NGX_CONF_OK) {
        return rc;
    }

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "syslog:", 7) == 0) {
        ngx_str_set(&a->name, "syslog");
        a->syslog = ngx_pcalloc(cf->pool, sizeof(ngx_syslog_peer_t));

        if (a->syslog == NULL
            || ngx_syslog_process_conf(cf, a->syslog) != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }

    } else {
        a->file = ngx_conf_open_file(cf->cycle, &value[1]);
        if (a->file == NULL) {
            return NGX_CONF_ERROR;
        }

        a->name = a->file->name;
    }

    rc = ngx_pcap_api_audit_state_name(cf, a);
    if (rc != NGX_CONF_OK) {
        return rc;
    }

    if (ngx_conf_full_name(cf->cycle, &key, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    pmcf->audit = a;

    return ngx_pcap_api_audit_key(cf, &key, &a->key);
}


/* A line that ends at end, which is behind its newline, of what was read. */
static void
ngx_pcap_api_audit_tail_line(ngx_pcap_api_audit_t *a, u_char *start,
    u_char *end, ngx_pcap_api_tail_t *tail)
{
    u_char                *p, mac[32], hex[NGX_PCAP_API_AUDIT_MAC];
    pcapx_audit_line_t     line;

    for (p = end - 1; p > start && p[-1] != '\n'; p--) { /* void */ }

    tail->kind = NGX_PCAP_API_TAIL_BROKEN;

    if (pcapx_audit_parse((char *) p, end - 1 - p, &line) != PCAPX_OK
        || ngx_pcap_api_audit_hmac(a, (u_char *) line.body, line.body_len,
                                   mac)
           != NGX_OK)
    {
        return;
    }

    (void) ngx_hex_dump(hex, mac, 32);

    if (ngx_memcmp(hex, line.mac, sizeof(hex)) == 0) {
        tail->kind = NGX_PCAP_API_TAIL_LINE;
        tail->seq = line.seq;
        ngx_memcpy(tail->mac, line.mac, sizeof(hex));
    }
}


static ngx_int_t
ngx_pcap_api_audit_read_tail(ngx_pcap_api_audit_t *a, ngx_fd_t fd,
    ngx_pool_t *pool, ngx_pcap_api_tail_t *tail)
{
    off_t             size;
    u_char           *buf, *end;
    ssize_t           n;
    ngx_file_info_t   fi;

    ngx_memzero(tail, sizeof(ngx_pcap_api_tail_t));

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        return NGX_ERROR;
    }

    if (!ngx_is_file(&fi) || fi.st_size == 0) {
        ngx_pcap_api_audit_close_to_others(fd, &fi);
        return NGX_OK;
    }

    buf = ngx_palloc(pool, NGX_PCAP_API_AUDIT_TAIL);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    size = ngx_min(fi.st_size, NGX_PCAP_API_AUDIT_TAIL);
    n = pread(fd, buf, (size_t) size, fi.st_size - size);

    if (n != (ssize_t) size) {
        return NGX_ERROR;
    }

    for (end = buf + n; end > buf && end[-1] != '\n'; end--) { /* void */ }

    tail->partial = (end != buf + n);
    tail->kind = NGX_PCAP_API_TAIL_BROKEN;

    if (end > buf) {
        ngx_pcap_api_audit_tail_line(a, buf, end, tail);
    }

    return NGX_OK;
}


/* With a valid state: is it the one that the log ends with? */
static void
ngx_pcap_api_audit_compare(ngx_conf_t *cf, ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st, ngx_pcap_api_tail_t *tail)
{
    if (tail->kind == NGX_PCAP_API_TAIL_NONE) {
        return;                            /* it was rotated */
    }

    if (tail->kind == NGX_PCAP_API_TAIL_LINE && tail->seq > st->seq) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "\"%V\" is older than the log:"
                           " the chain goes on behind line %uL of \"%V\"",
                           &a->state, tail->seq, &a->name);
        st->seq = tail->seq;
        ngx_memcpy(st->mac, tail->mac, NGX_PCAP_API_AUDIT_MAC);
        return;
    }

    if (tail->kind == NGX_PCAP_API_TAIL_BROKEN
        || tail->seq < st->seq
        || ngx_memcmp(tail->mac, st->mac, NGX_PCAP_API_AUDIT_MAC) != 0)
    {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "the audit log \"%V\" does "
                           "not end with line %uL, the last one that was "
                           "written: \"pcap-cli audit verify\" tells more",
                           &a->name, st->seq);
    }
}


/* Without a state: where does the chain go on? */
static void
ngx_pcap_api_audit_tell(ngx_conf_t *cf, ngx_pcap_api_audit_t *a, uint64_t seq)
{
    if (seq == 0) {
        ngx_conf_log_error(NGX_LOG_NOTICE, cf, 0, "the audit log \"%V\" is "
                           "empty and has no state yet: a new chain begins",
                           &a->name);
        return;
    }

    ngx_conf_log_error(NGX_LOG_NOTICE, cf, 0, "the audit log \"%V\" has no "
                       "state: its chain goes on behind line %uL", &a->name,
                       seq);
}


/* Under the lock. */
static char *
ngx_pcap_api_audit_resume(ngx_conf_t *cf, ngx_pcap_api_audit_t *a,
    ngx_pcap_api_tail_t *tail, ngx_fd_t log)
{
    ngx_int_t                   rc;
    ngx_file_info_t             fi;
    ngx_pcap_api_audit_state_t  st;

    ngx_pcap_api_audit_state_init(&st);
    rc = NGX_ABORT;                        /* there is none */

    if (a->fd != NGX_INVALID_FILE) {
        if (ngx_fd_info(a->fd, &fi) == NGX_FILE_ERROR) {
            return "cannot look at its state";
        }

        if (fi.st_size) {
            rc = ngx_pcap_api_audit_load(a, &st);
        }
    }

    if (rc == NGX_OK && st.pending) {
        return NGX_CONF_OK;                /* the next line settles it */
    }

    if (rc == NGX_OK) {
        ngx_pcap_api_audit_compare(cf, a, &st, tail);

    } else if (rc != NGX_ABORT
               || tail->kind == NGX_PCAP_API_TAIL_BROKEN)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s \"%V\" of "
                           "\"pcap_api_audit\" was not written with this "
                           "key, or is broken: move log and state away to "
                           "begin a new chain",
                           rc == NGX_ABORT ? "the log" : "the state",
                           rc == NGX_ABORT ? &a->name : &a->state);
        return NGX_CONF_ERROR;

    } else {
        if (tail->kind == NGX_PCAP_API_TAIL_LINE) {
            st.seq = tail->seq;
            ngx_memcpy(st.mac, tail->mac, NGX_PCAP_API_AUDIT_MAC);
        }

        ngx_pcap_api_audit_tell(cf, a, st.seq);
    }

    if (ngx_test_config) {
        return NGX_CONF_OK;
    }

    /* what is left of a line stays to be seen, but our next one is whole */

    if (tail->partial && write(log, "\n", 1) != 1) {
        return "cannot write to its log";
    }

    return ngx_pcap_api_audit_save(a, &st) == NGX_OK
           ? NGX_CONF_OK : "cannot write its state";
}


/*
 * Opens the log, or makes it: what nginx itself makes everybody may read. It
 * does so at `nginx -t`, too. NGX_INVALID_FILE with errno.
 */
static ngx_fd_t
ngx_pcap_api_audit_open_log(ngx_str_t *name)
{
    return open((char *) name->data,
                O_RDWR|O_APPEND|O_NONBLOCK|O_CREAT|O_CLOEXEC, 0640);
}


/* NGX_INVALID_FILE with errno; made when it is not there, but by nginx -t */
static ngx_fd_t
ngx_pcap_api_audit_open_state(ngx_str_t *name)
{
    return open((char *) name->data, O_RDWR|O_NOFOLLOW|O_CLOEXEC
                | (ngx_test_config ? 0 : O_CREAT), 0600);
}


/*
 * nginx calls this in front of each reopening, the master's first: what it
 * opens then is there. At its end a process calls it, too, for nothing.
 */
static void
ngx_pcap_api_audit_reopen(ngx_open_file_t *file, ngx_log_t *log)
{
    ngx_fd_t  fd;

    if (ngx_process > NGX_PROCESS_MASTER || ngx_quit || ngx_terminate) {
        return;
    }

    fd = ngx_pcap_api_audit_open_log(&file->name);

    if (fd != NGX_INVALID_FILE) {          /* else nginx says what is wrong */
        (void) ngx_close_file(fd);
    }
}


/* Under the lock; NULL or NGX_CONF_ERROR, or what is wrong, with errno. */
static char *
ngx_pcap_api_audit_look(ngx_conf_t *cf, ngx_pcap_api_audit_t *a)
{
    char                 *rc;
    ngx_fd_t              log;
    ngx_pcap_api_tail_t   tail;

    log = NGX_INVALID_FILE;
    ngx_memzero(&tail, sizeof(ngx_pcap_api_tail_t));

    if (a->file == NULL) {
        return ngx_pcap_api_audit_resume(cf, a, &tail, log);
    }

    if (a->file->flush == NULL) {
        a->file->flush = ngx_pcap_api_audit_reopen;
    }

    log = ngx_pcap_api_audit_open_log(&a->name);

    if (log == NGX_INVALID_FILE) {
        return "cannot open its log";
    }

    if (ngx_pcap_api_audit_read_tail(a, log, cf->temp_pool, &tail) != NGX_OK)
    {
        rc = "cannot read the end of its log";

    } else {
        rc = ngx_pcap_api_audit_resume(cf, a, &tail, log);
    }

    (void) ngx_close_file(log);

    return rc;
}


char *
ngx_pcap_api_audit_open(ngx_conf_t *cf)
{
    char                      *rc;
    ngx_pcap_api_audit_t      *a;
    ngx_pcap_api_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_pcap_api_module);
    a = pmcf->audit;

    if (a == NULL) {
        return NGX_CONF_OK;
    }

    a->fd = ngx_pcap_api_audit_open_state(&a->state);

    if (a->fd == NGX_INVALID_FILE) {

        rc = ngx_test_config && ngx_errno == NGX_ENOENT
             ? ngx_pcap_api_audit_look(cf, a) : "cannot open its state";

    } else if (ngx_pcap_api_audit_lock(a) != NGX_OK) {
        rc = "cannot lock its state";

    } else {
        rc = ngx_pcap_api_audit_look(cf, a);
        ngx_pcap_api_audit_unlock(a);
    }

    if (rc != NGX_CONF_OK && rc != NGX_CONF_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"pcap_api_audit\" %s (\"%V\", \"%V\")", rc,
                           &a->name, &a->state);
        return NGX_CONF_ERROR;
    }

    return rc;
}
