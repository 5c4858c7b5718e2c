/*
 * t/cli_verdict.c: from header lines and in-band messages to the exit code:
 * the parsers with texts that nearly fit, and every row of the decision.
 */

#include <stdlib.h>
#include <string.h>

#include "cli/reply.h"
#include "cli/verdict.h"
#include "tap.h"


static void
test_message_parse(void)
{
    size_t       i, n;
    message_t    m;
    const char  *good = "pcap-api CONGESTED web/0: 3 packets dropped";

    static const char *const  bad[] = {
        "", "pcap-api", "pcap-api ", "pcap-api CONGESTED", "Pcap-api A b: c",
        "pcap-api CONGESTED web/0", "pcap-api CONGESTED web/0:",
        "pcap-api CONGESTED web/0 x", "pcap-api congested web/0: x",
        "pcap-api  web/0: x", "pcap-api CONGESTED : x",
        "pcap-api CONGESTED  web/0: x", "pcap-api-CONGESTED web/0: x",
        "pcap-api A1 web/0: x",
        "pcap-api AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA web/0: x",
    };

    ok(message_parse(&m, good, strlen(good)) == 0
       && m.type == MESSAGE_CONGESTED && m.origin_len == 5
       && memcmp(m.origin, "web/0", 5) == 0
       && m.text_len == 17 && memcmp(m.text, "3 packets dropped", 17) == 0,
       "a message");

    ok(message_parse(&m, "pcap-cli GAP api: x", 19) == 0
       && m.type == MESSAGE_GAP && m.text_len == 1, "of this program");

    ok(message_parse(&m, "pcap-api NEWER a:b: ", 20) == 0
       && m.type == MESSAGE_UNKNOWN && m.origin_len == 3 && m.text_len == 0,
       "a type of tomorrow, a colon in the origin, no text");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(message_parse(&m, bad[i], strlen(bad[i])) == -1, "not: %s",
           bad[i]);
    }

    /* Each beginning in memory of exactly its size: ASan looks on. */
    for (n = 0; n < strlen(good); n++) {
        char  *tight;

        tight = malloc(n ? n : 1);
        memcpy(tight, good, n);
        (void) message_parse(&m, tight, n);
        free(tight);
    }
}


static void
test_status_parse(void)
{
    unsigned          bits;
    const char       *s;
    message_status_t  st;

    s = "status=partial received=1234 dropped=5 packets=1229 late=3"
        " unknown_since=2026-01-31T00:00:00Z new=7";
    message_parse_status(&st, s, strlen(s));
    ok(st.status == STATUS_PARTIAL && st.received == 1234 && st.dropped == 5
       && st.packets == 1229 && st.late == 3 && st.present == 15
       && strcmp(st.unknown_since, "2026-01-31T00:00:00Z") == 0, "status");

    s = "status=great received=-1 dropped= packets=99999999999999999999 late";
    message_parse_status(&st, s, strlen(s));
    ok(st.status == STATUS_OTHER && st.present == 0, "nothing of it is kept");

    message_parse_status(&st, "  = == status", 13);
    ok(st.status == STATUS_NONE && st.present == 0, "no pair");

    s = "status=stopped received=15 dropped=6 packets=5 late=0 kernel=1"
        " agent=2 stop=3 limit=4 in_flight=7 unknown_since=2026-01-01T0:0:0Z";
    message_parse_status(&st, s, strlen(s));
    ok(st.present & STATUS_HAS_PLACES && st.places[PLACE_KERNEL] == 1
       && st.places[PLACE_AGENT] == 2 && st.places[PLACE_STOP] == 3
       && st.places[PLACE_LIMIT] == 4 && st.in_flight == 7,
       "the places of the ledger");

    bits = message_limits("max_packets=50 is reached", 25);
    ok(bits == LIMIT_MAX_PACKETS, "max_packets");
    ok(message_limits("duration, max_bytes", 19)
       == (LIMIT_DURATION | LIMIT_MAX_BYTES), "two limits");
    ok(message_limits("max_bytes_total durations", 25) == 0,
       "parts of words do not count");
}


static void
lines(reply_t *r, const char *const *line)
{
    for ( /* void */ ; *line != NULL; line++) {
        reply_header(r, *line, strlen(*line));
    }
}


static void
test_reply(void)
{
    char     *big;
    reply_t   r;

    static const char *const  whole[] = {
        "HTTP/1.1 100 Continue\r\n", "X-Pcap-Status: error\r\n", "\r\n",
        "HTTP/2 200 \r\n",
        "Content-Type:  Application/X-PCAPNG; x=y\r\n",
        "x-pcap-capture-id: 0123456789abcdef0123456789abcdef\r\n",
        "X-VCAP-Request-Id: aB-12\r\n", "X-Pcap-Packets: 7\r\n", "\r\n",
        "x-pcap-status:complete \r\n", "X-Pcap-Packets: 50\r\n",
        "X-Pcap-Dropped: 1\r\n", "Content-Type: text/html\r\n", NULL
    };

    static const char *const  odd[] = {
        "HTTP/1.1 200\r\n", "X-Pcap-Capture-Id: ../../etc/passwd\r\n",
        "X-Vcap-Request-Id: a b\r\n", "no colon\r\n", ": no name\r\n",
        "X-Pcap-Capture-Id\r\n", "\r\n", "X-Pcap-Status:\r\n",
        "X-Pcap-Packets: 5x\r\n", "X-Pcap-Dropped: -1\r\n", NULL
    };

    static const char *const  wrong[] = {
        "HTTP/1.1 99999999999999999999 x\r\n", "\r\n", NULL
    };

    reply_init(&r);
    lines(&r, whole);
    ok(r.status == 200 && r.got_head && reply_is(&r, "application/x-pcapng"),
       "head");
    ok(strcmp(r.capture_id, "0123456789abcdef0123456789abcdef") == 0
       && strcmp(r.request_id, "aB-12") == 0, "ids");
    ok(r.trailers.status == STATUS_COMPLETE && r.trailers.packets == 50
       && r.trailers.dropped == 1
       && r.trailers.present == (STATUS_HAS_PACKETS | STATUS_HAS_DROPPED),
       "trailers, and only trailers");
    reply_free(&r);

    reply_init(&r);
    lines(&r, odd);
    ok(r.status == 200 && r.capture_id[0] == '\0' && r.request_id[0] == '\0'
       && r.trailers.status == STATUS_OTHER && r.trailers.present == 0,
       "odd values are left out");
    reply_free(&r);

    reply_init(&r);
    lines(&r, wrong);
    ok(r.status == 0 && !r.got_head, "no status");
    reply_free(&r);

    reply_init(&r);
    big = calloc(1, CLI_MAX_REPLY_BYTES);
    ok(reply_body(&r, big, CLI_MAX_REPLY_BYTES) == 0, "longest body");
    ok(reply_body(&r, big, 1) == -1, "longer body");
    free(big);
    reply_free(&r);
}


/* One row: facts to the exit code. */

typedef struct {
    const char  *what;
    cli_exit_t   code;
    stop_t       stop;
    status_t     trailer;
    status_t     inband;
    int          said;          /* packets in the trailer, -1: none */
    int          inband_said;
    int          came;
    unsigned     limits;
    unsigned     user_limits;
    unsigned     ended;
    unsigned     late_stop;
    unsigned     quit;
} row_t;

static const row_t  rows[] = {
    { "complete", CLI_OK, STOP_NONE, STATUS_COMPLETE, STATUS_COMPLETE,
      5, 5, 5, 0, 0, 1, 0, 0 },
    { "trailers only", CLI_OK, STOP_NONE, STATUS_COMPLETE, STATUS_NONE,
      5, -1, 5, 0, 0, 1, 0, 0 },
    { "in-band only", CLI_OK, STOP_NONE, STATUS_NONE, STATUS_COMPLETE,
      -1, 5, 5, 0, 0, 1, 0, 0 },
    { "no verdict", CLI_PARTIAL, STOP_NONE, STATUS_NONE, STATUS_NONE,
      -1, -1, 5, 0, 0, 1, 0, 0 },
    { "stopped by somebody", CLI_OK, STOP_NONE, STATUS_STOPPED,
      STATUS_STOPPED, 5, 5, 5, 0, 0, 1, 0, 0 },
    { "stopped by us", CLI_OK, STOP_USER, STATUS_STOPPED, STATUS_STOPPED,
      5, 5, 5, 0, 0, 1, 0, 0 },
    { "stopped, complete", CLI_OK, STOP_USER, STATUS_COMPLETE,
      STATUS_COMPLETE, 5, 5, 5, 0, 0, 1, 0, 0 },
    { "reader gone", CLI_OK, STOP_READER_GONE, STATUS_STOPPED,
      STATUS_STOPPED, 5, 5, 5, 0, 0, 1, 0, 0 },
    { "stopped, partial", CLI_PARTIAL, STOP_USER, STATUS_PARTIAL,
      STATUS_PARTIAL, 5, 5, 5, 0, 0, 1, 0, 0 },
    { "partial", CLI_PARTIAL, STOP_NONE, STATUS_PARTIAL, STATUS_PARTIAL,
      5, 5, 5, 0, 0, 1, 0, 0 },
    { "trailer is better", CLI_PARTIAL, STOP_NONE, STATUS_COMPLETE,
      STATUS_PARTIAL, 5, 5, 5, 0, 0, 1, 0, 0 },
    { "trailer is worse", CLI_FAILED, STOP_NONE, STATUS_ERROR,
      STATUS_COMPLETE, 5, 5, 5, 0, 0, 1, 0, 0 },
    { "error in-band, cut", CLI_FAILED, STOP_NONE, STATUS_NONE, STATUS_ERROR,
      -1, 5, 5, 0, 0, 0, 0, 0 },
    { "complete in-band, cut", CLI_PARTIAL, STOP_NONE, STATUS_NONE,
      STATUS_COMPLETE, -1, 5, 5, 0, 0, 0, 0, 0 },
    { "cut", CLI_PARTIAL, STOP_NONE, STATUS_NONE, STATUS_NONE,
      -1, -1, 5, 0, 0, 0, 0, 0 },
    { "no end in time", CLI_PARTIAL, STOP_USER, STATUS_NONE, STATUS_NONE,
      -1, -1, 5, 0, 0, 0, 1, 1 },
    { "quit", CLI_PARTIAL, STOP_USER, STATUS_NONE, STATUS_NONE,
      -1, -1, 5, 0, 0, 0, 0, 1 },
    { "one packet too few", CLI_FAILED, STOP_NONE, STATUS_COMPLETE,
      STATUS_COMPLETE, 5, 5, 4, 0, 0, 1, 0, 0 },
    { "one too many", CLI_FAILED, STOP_USER, STATUS_STOPPED, STATUS_STOPPED,
      5, 5, 6, 0, 0, 1, 0, 0 },
    { "in-band count", CLI_FAILED, STOP_NONE, STATUS_COMPLETE,
      STATUS_COMPLETE, 5, 4, 5, 0, 0, 1, 0, 0 },
    { "trailer alone", CLI_FAILED, STOP_NONE, STATUS_COMPLETE, STATUS_NONE,
      5, -1, 4, 0, 0, 1, 0, 0 },
    { "own limit", CLI_OK, STOP_NONE, STATUS_LIMIT, STATUS_LIMIT,
      5, 5, 5, LIMIT_DURATION, LIMIT_DURATION | LIMIT_MAX_BYTES, 1, 0, 0 },
    { "limit of the API", CLI_PARTIAL, STOP_NONE, STATUS_LIMIT, STATUS_LIMIT,
      5, 5, 5, LIMIT_DURATION, LIMIT_MAX_BYTES, 1, 0, 0 },
    { "both limits", CLI_PARTIAL, STOP_NONE, STATUS_LIMIT, STATUS_LIMIT,
      5, 5, 5, LIMIT_DURATION | LIMIT_MAX_BYTES, LIMIT_MAX_BYTES, 1, 0, 0 },
    { "limit without a name", CLI_PARTIAL, STOP_NONE, STATUS_LIMIT,
      STATUS_LIMIT, 5, 5, 5, 0, LIMIT_DURATION, 1, 0, 0 },
    { "unknown word", CLI_FAILED, STOP_NONE, STATUS_OTHER, STATUS_COMPLETE,
      5, 5, 5, 0, 0, 1, 0, 0 },
    { "disk full", CLI_FAILED, STOP_WRITE_FAILED, STATUS_STOPPED,
      STATUS_STOPPED, 5, 5, 5, 0, 0, 1, 0, 0 },
    { "mixed link types", CLI_FAILED, STOP_MIXED_LINKS, STATUS_STOPPED,
      STATUS_STOPPED, 5, 5, 5, 0, 0, 1, 0, 0 },
    { "malformed", CLI_FAILED, STOP_BAD_STREAM, STATUS_COMPLETE,
      STATUS_COMPLETE, 5, 5, 5, 0, 0, 1, 0, 0 },
};


static void
test_rows(void)
{
    size_t            i;
    facts_t           f;
    verdict_t         v;
    const row_t      *r;
    message_status_t  in;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        r = &rows[i];
        memset(&f, 0, sizeof(f));
        memset(&in, 0, sizeof(in));

        f.stop = r->stop;
        f.inband = &in;
        f.trailers.status = r->trailer;
        in.status = r->inband;
        f.packets = (uint64_t) r->came;
        f.limits = r->limits;
        f.user_limits = r->user_limits;
        f.ended = r->ended & 1;
        f.late_stop = r->late_stop & 1;
        f.quit = r->quit & 1;

        if (r->said >= 0) {
            f.trailers.packets = (uint64_t) r->said;
            f.trailers.present = STATUS_HAS_PACKETS;
        }

        if (r->inband_said >= 0) {
            in.packets = (uint64_t) r->inband_said;
            in.present = STATUS_HAS_PACKETS;
        }

        verdict_judge(&v, &f);
        ok(v.code == r->code && v.text[0] != '\0', "%s: %d, %s", r->what,
           (int) v.code, v.text);
    }

    memset(&f, 0, sizeof(f));
    memset(&in, 0, sizeof(in));
    f.inband = &in;
    f.ended = 1;
    f.trailers.status = STATUS_STOPPED;
    f.stopped_by = "this server is draining";
    verdict_judge(&v, &f);
    ok(v.code == CLI_PARTIAL && strstr(v.text, "draining") != NULL,
       "the API has ended it: %s", v.text);
    f.stopped_by = "stopped by request";
    verdict_judge(&v, &f);
    ok(v.code == CLI_OK, "its user elsewhere has: %s", v.text);

    memset(&f, 0, sizeof(f));
    f.inband = &in;
    f.stop = STOP_USER;
    f.unknown = 1;
    f.quit = 1;
    verdict_judge(&v, &f);
    ok(v.code == CLI_PARTIAL, "nobody said how it went: %s", v.text);

    memset(&f, 0, sizeof(f));
    f.inband = &in;
    f.ended = 1;
    f.trailers.status = STATUS_COMPLETE;
    f.trailers.present = STATUS_HAS_DROPPED;
    f.trailers.dropped = 3;
    in.present = STATUS_HAS_DROPPED;
    in.dropped = 4;
    verdict_judge(&v, &f);
    ok(v.code == CLI_FAILED, "two counts of drops: %s", v.text);

    memset(&f, 0, sizeof(f));
    memset(&in, 0, sizeof(in));
    f.inband = &in;
    f.ended = 1;
    f.gaps = 2;
    f.trailers.status = STATUS_COMPLETE;
    verdict_judge(&v, &f);
    ok(v.code == CLI_PARTIAL && v.status == STATUS_PARTIAL
       && strstr(v.text, "2 places") != NULL, "gaps: %s", v.text);

    ok(verdict_http(401) == CLI_DENIED && verdict_http(403) == CLI_DENIED
       && verdict_http(404) == CLI_FAILED && verdict_http(429) == CLI_FAILED,
       "HTTP");
}


int
main(void)
{
    test_message_parse();
    test_status_parse();
    test_reply();
    test_rows();

    return tap_done();
}
