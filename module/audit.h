/*
 * module/audit.h: what the rooms of the audit share: audit.c (which events,
 * and what is said of them), audit_line.c (JSON), audit_log.c (the chain and
 * the one order of all workers), audit_conf.c (directive, key, start),
 * audit_reach.c (what workers may reach).
 *
 * docs/AUDIT.md says what a line is. Nobody but audit_log.c and audit_conf.c
 * touches file and state.
 */

#ifndef NGX_PCAP_API_AUDIT_H
#define NGX_PCAP_API_AUDIT_H

#include "ngx_pcap_api_module.h"
#include "pcapx/audit.h"


/*
 * What an event says of itself: all bounds below with every byte escaped,
 * filter 10000, reason 2048, target 512, user and name 256 each, issuer and
 * server 256 each, detail 1024, path 512, instances 1024, interfaces 512,
 * and under 1400 for all names and numbers: 18064.
 */

#define NGX_PCAP_API_AUDIT_FIELDS  18432

/* Beside these: seq, time, notes, prev, mac: under 400 bytes. */

#define NGX_PCAP_API_AUDIT_LINE    PCAPX_AUDIT_MAX_LINE

#define NGX_PCAP_API_AUDIT_MAC     PCAPX_AUDIT_MAC_LEN

/* Lines of refusals: so many at once, and per 1000 s. */

#define NGX_PCAP_API_AUDIT_BURST     100
#define NGX_PCAP_API_AUDIT_RATE_ANY  1000     /* nobody is known */
#define NGX_PCAP_API_AUDIT_RATE_USER 10000    /* of users who are */


typedef enum {
    NGX_PCAP_API_AUDIT_ALWAYS = 0,
    NGX_PCAP_API_AUDIT_BUDGET_ANY,
    NGX_PCAP_API_AUDIT_BUDGET_USER,
    NGX_PCAP_API_AUDIT_NBUDGETS
} ngx_pcap_api_audit_budget_e;

/*
 * The state file: native byte order, no padding, one write of less than a
 * sector. It is written before a line, with pending set, and behind it: so
 * that whoever comes after a worker that died in between can tell whether
 * the line is there.
 */

typedef struct {
    u_char           magic[8];
    uint64_t         seq;                  /* of the last line; 0: none */
    u_char           mac[NGX_PCAP_API_AUDIT_MAC];

    uint64_t         lost;                 /* to be told by the next line */
    uint64_t         suppressed;
    uint64_t         unsure;               /* seq of such a line; 0: none */
    uint64_t         lost_total;
    uint64_t         suppressed_total;

    uint64_t         budget[NGX_PCAP_API_AUDIT_NBUDGETS];   /* 1/1000 line */
    uint64_t         filled_ms[NGX_PCAP_API_AUDIT_NBUDGETS];

    uint64_t         pending;              /* 1: line seq + 1 is under way */
    uint64_t         dev;
    uint64_t         ino;                  /* 0: no regular file */
    uint64_t         size;                 /* of the file before it */
    uint64_t         len;
    u_char           pending_mac[NGX_PCAP_API_AUDIT_MAC];

    u_char           check[32];            /* HMAC of all before */
} ngx_pcap_api_audit_state_t;

struct ngx_pcap_api_audit_s {
    ngx_open_file_t    *file;              /* NULL: syslog */
    ngx_syslog_peer_t  *syslog;
    ngx_str_t           name;              /* of the log, for people */
    ngx_str_t           key;
    ngx_str_t           state;             /* its path */
    ngx_fd_t            fd;                /* of the state */
    ngx_atomic_t       *missed;            /* lines, of all processes */
    ngx_uint_t          required;          /* unsigned  required:1 */
    ngx_uint_t          stuck;             /* this process: no lock, lately */
};


/* A JSON object's members under construction; what does not fit is left out. */

typedef struct {
    u_char  *pos;
    u_char  *last;
} ngx_pcap_api_line_t;


/* module/audit_line.c */

/* ,"name":"text", cleaned, of max bytes at most; nothing for no text. */
void ngx_pcap_api_line_text(ngx_pcap_api_line_t *w, const char *name,
    const ngx_str_t *text, size_t max);
/* As text, for a constant of ours. */
void ngx_pcap_api_line_word(ngx_pcap_api_line_t *w, const char *name,
    const char *word);
void ngx_pcap_api_line_number(ngx_pcap_api_line_t *w, const char *name,
    uint64_t n);
/*
 * ,"name":[...] between open and close; an item that has no room, or would
 * make it longer than max bytes, makes item() return 0 and is left out.
 */
void ngx_pcap_api_line_open(ngx_pcap_api_line_t *w, const char *name,
    char bracket);
void ngx_pcap_api_line_close(ngx_pcap_api_line_t *w, char bracket);
ngx_uint_t ngx_pcap_api_line_item(ngx_pcap_api_line_t *w,
    const ngx_str_t *text, u_char *start, size_t max);


/* module/audit_log.c */

/*
 * Writes the line of an event, fields being ",name:value" of it. NGX_OK, also
 * for one above its budget, which is counted; NGX_ERROR: it could not be
 * written, which is counted and in the error log.
 */
ngx_int_t ngx_pcap_api_audit_put(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_budget_e budget, u_char *fields, size_t len,
    ngx_log_t *log);

/*
 * For audit_conf.c: one process at a time. NGX_ERROR with errno: somebody has
 * had the lock for too long.
 */
ngx_int_t ngx_pcap_api_audit_lock(ngx_pcap_api_audit_t *a);
void ngx_pcap_api_audit_unlock(ngx_pcap_api_audit_t *a);
/* NGX_OK; NGX_DECLINED: it is none by this key; NGX_ERROR with errno. */
ngx_int_t ngx_pcap_api_audit_load(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st);
ngx_int_t ngx_pcap_api_audit_save(ngx_pcap_api_audit_t *a,
    ngx_pcap_api_audit_state_t *st);
void ngx_pcap_api_audit_state_init(ngx_pcap_api_audit_state_t *st);
/* nginx makes logs that everybody may read; an empty one is not to be so. */
void ngx_pcap_api_audit_close_to_others(ngx_fd_t fd, ngx_file_info_t *fi);
/* HMAC-SHA256 of data by the key */
ngx_int_t ngx_pcap_api_audit_hmac(ngx_pcap_api_audit_t *a, u_char *data,
    size_t len, u_char mac[32]);


#endif /* NGX_PCAP_API_AUDIT_H */
