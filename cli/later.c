/*
 * cli/later.c: asks for a capture to storage and, if wanted, waits for it.
 * The capture never depends on this program: whatever happens here after the
 * API has said yes, it goes on, and the user is told its id.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture.h"
#include "control.h"
#include "get.h"
#include "later.h"
#include "text.h"


#define LATER_POLL_MS    2000
#define LATER_BEGIN_MS   10000       /* agents have 5 s to start */
#define LATER_STEP_MS    250
#define LATER_ASK_ABOVE  5           /* as ask.c */
#define LATER_MAX_TEXT   512

/* Seconds after each failure in a row; then it is given up. */
static const unsigned  later_pauses[] = { 2, 4, 8, 16, 30, 30, 30, 30, 30 };

#define LATER_PAUSES  (sizeof(later_pauses) / sizeof(later_pauses[0]))

typedef struct {
    const opt_t   *opt;
    msg_t         *msg;
    api_t          api;
    char           id[33];
    tick_t         tick;
    unsigned       failures;       /* in a row */
    unsigned       renewed:1;
} later_t;


/* A number where the API's documents have one. */
static json_t *
later_value(const opt_arg_t *arg)
{
    uint64_t  n;

    if (opt_table[arg->id].kind == OPT_FLAG) {
        return json_integer(1);
    }

    if ((arg->id == OPT_INDEX || arg->id == OPT_MAX_PACKETS
         || arg->id == OPT_SNAPLEN)
        && text_number(arg->value, strlen(arg->value), &n) == 0)
    {
        return json_integer((json_int_t) n);
    }

    return json_string(arg->value);
}


/* 0, or -1: it is no UTF-8 (or memory is out). */
static int
later_add(json_t *options, const opt_arg_t *arg)
{
    json_t      *value, *list;
    const char  *name;

    name = opt_table[arg->id].form;
    value = later_value(arg);

    if (value == NULL || opt_table[arg->id].kind != OPT_LIST) {
        return json_object_set_new(options, name, value);
    }

    list = json_object_get(options, name);

    if (list == NULL) {
        list = json_array();
        if (json_object_set_new(options, name, list) != 0) {
            json_decref(value);
            return -1;
        }
    }

    return json_array_append_new(list, value);
}


char *
later_body(const opt_t *o, char *err)
{
    char        *body;
    size_t       i;
    json_t      *options, *doc;
    const char  *retention;

    options = json_object();
    (void) json_object_set_new(options, "format", json_string("pcapng"));

    for (i = 0; i < o->nargs; i++) {
        if (opt_table[o->args[i].id].form != NULL
            && o->args[i].id != OPT_RETENTION
            && later_add(options, &o->args[i]) != 0)
        {
            snprintf(err, PCAPX_ERR_LEN, "--%s: the value is not UTF-8",
                     opt_table[o->args[i].id].name);
            json_decref(options);
            return NULL;
        }
    }

    doc = json_pack("{s:s, s:s, s:o}", "resolver", opt_cmds[o->cmd].name,
                    "target", o->target, "options", options);

    retention = opt_value(o, OPT_RETENTION);
    if (doc != NULL && retention != NULL) {
        (void) json_object_set_new(doc, "retention", json_string(retention));
    }

    body = doc != NULL ? json_dumps(doc, JSON_COMPACT) : NULL;
    json_decref(doc);

    if (body == NULL) {
        snprintf(err, PCAPX_ERR_LEN, "out of memory");

    } else if (strlen(body) > CLI_MAX_FORM_BYTES) {
        snprintf(err, PCAPX_ERR_LEN, "the options are too long together: at"
                 " most %d bytes", CLI_MAX_FORM_BYTES);
        free(body);
        body = NULL;
    }

    return body;
}


static int
later_is(const json_t *doc, const char *name, const char *word)
{
    const char  *s;

    s = json_string_value(json_object_get(doc, name));

    return s != NULL && strcmp(s, word) == 0;
}


later_state_t
later_state(const json_t *doc)
{
    const json_t  *stored;

    stored = json_object_get(doc, "stored");

    if (later_is(stored, "state", "failed")
        || later_is(stored, "state", "gone"))
    {
        return LATER_NONE;
    }

    if (later_is(stored, "state", "interrupted")) {
        return LATER_PARTIAL;
    }

    if (!later_is(stored, "state", "stored")) {
        return LATER_GOES_ON;
    }

    return later_is(doc, "status", "partial")
           || later_is(doc, "status", "error") ? LATER_PARTIAL : LATER_THERE;
}


/* The document of an answer, which the caller owns; NULL: there is none. */
static json_t *
later_document(const reply_t *r)
{
    json_t  *doc;

    doc = reply_is(r, "application/json") && r->body != NULL
          ? json_loadb(r->body, r->body_len, JSON_REJECT_DUPLICATES, NULL)
          : NULL;

    if (!json_is_object(doc)) {
        json_decref(doc);
        return NULL;
    }

    return doc;
}


/* CLI_OK with *doc and l->id; else the exit code, told. */
static cli_exit_t
later_taken(later_t *l, const api_request_t *q, json_t **doc)
{
    char         err[PCAPX_ERR_LEN];
    cli_exit_t   code;
    const char  *id;

    *doc = q->reply.status == 202 ? later_document(&q->reply) : NULL;
    id = json_string_value(json_object_get(*doc, "id"));

    if (id != NULL && strlen(id) < sizeof(l->id)
        && pcapx_valid_capture_id(id, strlen(id), err) == PCAPX_OK)
    {
        snprintf(l->id, sizeof(l->id), "%s", id);
        return CLI_OK;
    }

    json_decref(*doc);
    *doc = NULL;

    code = control_refused(&l->api, q, opt_count(l->opt, OPT_JSON));

    if (q->reply.status == 405 || q->reply.status == 404) {
        msg_error(l->msg, "an API without storage? Leave out --store, and the"
                  " capture is written here");
    }

    return code == CLI_OK ? CLI_FAILED : code;
}


/* No answer; but the API may have got the question. */
static void
later_unsure(const later_t *l, const api_request_t *q)
{
    long  sent;

    sent = 0;
    (void) curl_easy_getinfo(q->easy, CURLINFO_REQUEST_SIZE, &sent);

    if (sent > 0) {
        msg_error(l->msg, "if the capture has begun all the same, `pcap-cli"
                  " list` shows it");
    }
}


static cli_exit_t
later_ask(later_t *l, json_t **doc)
{
    char           err[PCAPX_ERR_LEN];
    char          *body;
    CURLcode       rc;
    cli_exit_t     code;
    api_request_t  q = { 0 };

    body = later_body(l->opt, err);
    if (body == NULL) {
        msg_error(l->msg, "%s", err);
        return CLI_USAGE;
    }

    if (api_request_init(&q, &l->api, "POST", "/v1/captures", body) != 0
        || api_header(&q, "Content-Type: application/json") != 0)
    {
        msg_error(l->msg, "out of memory");
        api_request_free(&q);
        return CLI_FAILED;
    }

    rc = api_run(&q, NULL);

    if (rc == CURLE_OK) {
        code = later_taken(l, &q, doc);

    } else {
        msg_error(l->msg, "no answer from %.100s: %.200s%s",
                  l->api.conf->host, api_error(&q, rc), api_hint(&q, rc));
        later_unsure(l, &q);
        code = CLI_FAILED;
    }

    api_request_free(&q);

    return code;
}


/* The words that a further command needs to be the same user's. */
static const char *
later_login(char *dst, size_t max, const opt_t *opt)
{
    const char  *name;

    name = opt_value(opt, OPT_ENVIRONMENT);
    dst[0] = '\0';

    if (name != NULL) {
        snprintf(dst, max, " -e %.100s", name);

    } else if (opt->cmd == OPT_CMD_CF) {
        snprintf(dst, max, " --cf");

    } else if (opt_value(opt, OPT_CONTEXT) != NULL) {
        snprintf(dst, max, " --context %.100s", opt_value(opt, OPT_CONTEXT));

    } else if (opt->cmd == OPT_CMD_K8S) {
        snprintf(dst, max, " --k8s");
    }

    return dst;
}


static void
later_tell(const later_t *l, const json_t *doc)
{
    char           login[128], until[LATER_MAX_TEXT];
    json_int_t     n;
    const char    *s;
    const json_t  *expires;

    expires = json_object_get(json_object_get(doc, "stored"), "expires");
    n = json_integer_value(json_object_get(doc, "target_count"));
    s = opt_value(l->opt, OPT_RETENTION);
    later_login(login, sizeof(login), l->opt);

    if (json_is_string(expires)) {
        snprintf(until, sizeof(until), "until %.40s",
                 json_string_value(expires));

    } else if (s != NULL) {
        snprintf(until, sizeof(until), "for %.40s after its end", s);

    } else {
        snprintf(until, sizeof(until), "as long as the API keeps one");
    }

    msg_note(l->msg, "capturing %" JSON_INTEGER_FORMAT " instance%s to the"
             " storage of %.100s, where the file is kept %s", n,
             n == 1 ? "" : "s", l->api.conf->host, until);

    if (!opt_count(l->opt, OPT_WAIT)) {
        msg_note(l->msg, "  how it goes:  pcap-cli show %s%s", l->id, login);
        msg_note(l->msg, "  end it:       pcap-cli stop %s%s", l->id, login);
        msg_note(l->msg, "  the file:     pcap-cli get %s%s", l->id, login);
    }
}


/* Standard output is not the file's. */
static int
later_may_print(const later_t *l)
{
    const char  *path;

    path = opt_value(l->opt, OPT_OUTPUT);

    return path == NULL
           || (strcmp(path, "-") != 0 && strcmp(path, "/dev/stdout") != 0);
}


static void
later_print(const later_t *l, const json_t *doc)
{
    FILE  *f;

    f = later_may_print(l) ? stdout : stderr;

    if (!opt_count(l->opt, OPT_JSON)) {
        fprintf(f, "%s\n", l->id);

    } else if (!opt_count(l->opt, OPT_WAIT)) {
        json_dumpf(doc, f, JSON_ENSURE_ASCII|JSON_COMPACT);
        fprintf(f, "\n");
    }

    fflush(f);
}


/* As ask.c: the targets are known now, and the capture has begun. 1: go on. */
static int
later_confirmed(later_t *l, const json_t *doc)
{
    char        line[64];
    term_t      term;
    ssize_t     n;
    json_int_t  targets;

    targets = json_integer_value(json_object_get(doc, "target_count"));
    term_init(&term, l->msg);

    if (targets <= LATER_ASK_ABOVE || !term.can_ask || l->api.conf->asked
        || opt_count(l->opt, OPT_YES))
    {
        return 1;
    }

    fprintf(l->msg->f, "The capture of %" JSON_INTEGER_FORMAT " instances has"
            " begun. Go on? [y/N] ", targets);
    fflush(l->msg->f);
    n = read(STDIN_FILENO, line, sizeof(line));

    return n > 0 && (line[0] == 'y' || line[0] == 'Y');
}


/* It failed once more: CLI_AGAIN after a pause, or told. */
static cli_exit_t
later_failed(later_t *l, const char *why, const reply_t *r)
{
    uint64_t  ms;

    if (l->failures == LATER_PAUSES) {
        msg_error(l->msg, "gave up: %.200s", why);
        return CLI_FAILED;
    }

    if (l->failures == 0) {
        msg_note(l->msg, "%.200s; trying again", why);
    }

    ms = later_pauses[l->failures++] * UINT64_C(1000);

    if (r->has_retry_after && r->retry_after_s * UINT64_C(1000) > ms) {
        ms = r->retry_after_s < 30 ? r->retry_after_s * 1000 : 30000;
    }

    return tick_sleep(&l->tick, ms / conf_time_scale()) == 0 ? CLI_AGAIN
                                                             : CLI_FAILED;
}


/* An answer that is not the document. */
static cli_exit_t
later_odd(later_t *l, const api_request_t *q)
{
    char         why[80];
    long         status;
    conf_wait_t  wait = { tick_turn, &l->tick };

    status = q->reply.status;

    if (status == 401 && !l->renewed
        && conf_renew(l->api.conf, &wait) == 0)
    {
        l->renewed = 1;
        return CLI_AGAIN;
    }

    if (status == 429 || status >= 500) {
        snprintf(why, sizeof(why), "the API answers HTTP %ld", status);
        return later_failed(l, why, &q->reply);
    }

    return control_tell(&l->api, q, opt_count(l->opt, OPT_JSON))
           == CLI_DENIED ? CLI_DENIED : CLI_FAILED;
}


/* What its document says: CLI_AGAIN while it goes on, CLI_PARTIAL... */
static cli_exit_t
later_judge(later_t *l, const json_t *doc)
{
    const char  *detail;

    detail = json_string_value(json_object_get(json_object_get(doc, "stored"),
                                               "detail"));
    l->failures = 0;
    l->renewed = 0;

    switch (later_state(doc)) {

    case LATER_THERE:
        return CLI_OK;

    case LATER_PARTIAL:
        msg_error(l->msg, "something is missing in the file%s%.300s",
                  detail != NULL ? ": " : "", detail != NULL ? detail : "");
        return CLI_PARTIAL;

    case LATER_NONE:
        msg_error(l->msg, "the capture has no file%s%.300s",
                  detail != NULL ? ": " : "", detail != NULL ? detail : "");
        return CLI_FAILED;

    default:
        return tick_sleep(&l->tick, LATER_POLL_MS / conf_time_scale()) == 0
               ? CLI_AGAIN : CLI_FAILED;
    }
}


/* Asks for its document: as later_document(). The caller frees *q. */
static json_t *
later_get(later_t *l, api_request_t *q, CURLcode *rc)
{
    char         path[API_MAX_PATH];
    conf_wait_t  wait = { tick_turn, &l->tick };

    snprintf(path, sizeof(path), "/v1/captures/%s", l->id);
    *rc = api_request_init(q, &l->api, "GET", path, NULL) == 0
          ? api_run(q, &wait) : CURLE_OUT_OF_MEMORY;

    return *rc == CURLE_OK && q->reply.status == 200
           ? later_document(&q->reply) : NULL;
}


static cli_exit_t
later_look(later_t *l)
{
    json_t        *doc;
    CURLcode       rc;
    cli_exit_t     code;
    api_request_t  q = { 0 };

    doc = later_get(l, &q, &rc);

    if (tick_stopped(&l->tick)) {
        code = CLI_FAILED;

    } else if (rc != CURLE_OK) {
        code = later_failed(l, api_error(&q, rc), &q.reply);

    } else if (doc != NULL) {
        code = later_judge(l, doc);

    } else {
        code = later_odd(l, &q);
    }

    json_decref(doc);
    api_request_free(&q);

    return code;
}


/* Ctrl-C, while it waits. */
static void
later_leave(const later_t *l)
{
    char  login[128];

    msg_error(l->msg, "not waiting any more: the capture goes on; `pcap-cli"
              " get %s%s` fetches it when it has ended, `pcap-cli stop`"
              " ends it", l->id, later_login(login, sizeof(login), l->opt));
}


/*
 * Whether it could begin at all: the API says yes before agents have seen the
 * filter. What cannot be found out soon is no failure; --wait finds it anyway.
 */
static cli_exit_t
later_begin(later_t *l)
{
    int            waiting;
    json_t        *doc;
    CURLcode       rc;
    uint64_t       end;
    cli_exit_t     code;
    api_request_t  q;

    if (opt_count(l->opt, OPT_WAIT)) {
        return CLI_OK;
    }

    if (tick_open(&l->tick, l->api.conf) != 0) {
        tick_close(&l->tick);
        return CLI_OK;
    }

    code = CLI_OK;
    end = capture_now() + LATER_BEGIN_MS / conf_time_scale();

    do {
        memset(&q, 0, sizeof(q));
        doc = later_get(l, &q, &rc);
        waiting = later_is(json_object_get(doc, "stored"), "state", "waiting");

        if (doc != NULL && later_state(doc) == LATER_NONE) {
            code = later_judge(l, doc);
        }

        json_decref(doc);
        api_request_free(&q);

    } while (waiting && capture_now() < end
             && tick_sleep(&l->tick, LATER_STEP_MS / conf_time_scale()) == 0);

    if (tick_stopped(&l->tick)) {
        later_leave(l);
        code = CLI_FAILED;
    }

    tick_close(&l->tick);

    return code;
}


static cli_exit_t
later_wait(later_t *l)
{
    cli_exit_t  code, got;

    do {
        code = later_look(l);
    } while (code == CLI_AGAIN);

    if (code == CLI_OK || code == CLI_PARTIAL) {
        got = get_fetch(l->opt, l->api.conf, l->msg, l->id, &l->tick);
        return got != CLI_OK ? got : code;
    }

    if (tick_stopped(&l->tick)) {
        later_leave(l);
    }

    return code;
}


/* Better now than when the capture has ended. */
static int
later_can_write(const later_t *l)
{
    struct stat  st;
    const char  *path;

    path = opt_value(l->opt, OPT_OUTPUT);

    if (path == NULL) {
        return 1;
    }

    if (!later_may_print(l) && isatty(STDOUT_FILENO)) {
        msg_error(l->msg, "packets do not go to a terminal; use -o FILE or a"
                  " pipe");
        return 0;
    }

    if (!opt_count(l->opt, OPT_FORCE) && stat(path, &st) == 0
        && S_ISREG(st.st_mode) && later_may_print(l))
    {
        msg_error(l->msg, "cannot create %.200s: it exists; -F replaces it",
                  path);
        return 0;
    }

    return 1;
}


/* The user wants it. */
static cli_exit_t
later_follow(later_t *l, const json_t *doc)
{
    cli_exit_t  code;

    code = later_begin(l);

    if (code != CLI_OK) {
        return code;
    }

    later_tell(l, doc);

    if (!opt_count(l->opt, OPT_WAIT)) {
        return CLI_OK;
    }

    code = tick_open(&l->tick, l->api.conf) == 0 ? later_wait(l) : CLI_FAILED;
    tick_close(&l->tick);

    return code;
}


cli_exit_t
later_run(const opt_t *opt, const conf_t *conf, msg_t *msg)
{
    json_t      *doc;
    later_t      l;
    cli_exit_t   code;

    memset(&l, 0, sizeof(l));
    l.opt = opt;
    l.msg = msg;
    l.api.conf = conf;
    l.api.msg = msg;

    code = later_can_write(&l) ? later_ask(&l, &doc) : CLI_FAILED;
    if (code != CLI_OK) {
        return code;
    }

    later_print(&l, doc);

    code = later_confirmed(&l, doc) ? later_follow(&l, doc)
                                    : control_stop_one(&l.api, l.id, 0);
    json_decref(doc);

    return code;
}
