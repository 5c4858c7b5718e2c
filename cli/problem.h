/*
 * cli/problem.h: turns a refusal into words: problem documents (RFC 9457),
 * and answers that are none. A body that is no problem document is never
 * shown.
 */

#ifndef CLI_PROBLEM_H
#define CLI_PROBLEM_H

#include <jansson.h>

#include "msg.h"
#include "reply.h"


/* The document as an object that the caller owns; NULL when it is none. */
json_t *problem_parse(const reply_t *r);

/*
 * Says what the API refused: title, detail, targets, request id. doc may be
 * NULL. One line in summary (max bytes), the rest as lines of their own.
 */
void problem_print(msg_t *m, const reply_t *r, const json_t *doc,
    char *summary, size_t max);


#endif /* CLI_PROBLEM_H */
