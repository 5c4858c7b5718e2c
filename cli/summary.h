/*
 * cli/summary.h: how it went, for people (a table with the drop ledger and
 * one sentence) and for programs (one JSON object).
 */

#ifndef CLI_SUMMARY_H
#define CLI_SUMMARY_H

#include <jansson.h>

#include "msg.h"
#include "stats.h"
#include "verdict.h"


typedef struct {
    const stats_t    *stats;
    const verdict_t  *verdict;
    const char       *capture_id;
    const char       *request_id;
    const char       *target;
    const char       *file;           /* NULL: standard output or none */
    const char       *format;         /* "pcapng", "pcap" */
    uint64_t          written_packets;
    uint64_t          written_bytes;
    uint64_t          duration_ms;
    long              http_status;
    unsigned          parts;          /* streams it was put together from */
    unsigned          gaps;           /* between them */
    unsigned          began:1;        /* there was a stream */
    unsigned          stored:1;       /* it goes to storage as well */
} outcome_t;


void summary_print(msg_t *m, const outcome_t *o);

/*
 * The JSON object; messages (array) and problem (object, or NULL) are taken
 * over. NULL without memory.
 */
json_t *summary_json(const outcome_t *o, json_t *messages, json_t *problem);

/* RFC 3339 in UTC with milliseconds; needs 32 bytes. */
void summary_time(char dst[32], uint64_t ns);


#endif /* CLI_SUMMARY_H */
