/*
 * agent/check.h: what is wrong with a configuration that is none the less
 * valid: it captures nothing, or not here. And the policy in one line.
 */

#ifndef AGENT_CHECK_H
#define AGENT_CHECK_H

#include "conf.h"
#include "log.h"


#define CHECK_MAX       8      /* warnings that there can be */
#define CHECK_LEN       512
#define CHECK_LIST_LEN  300

typedef struct {
    char      text[CHECK_MAX][CHECK_LEN];
    unsigned  n;
} check_t;


/*
 * Fills *check with warnings, each beginning with the key it is about. What
 * the agent's user can see of off_file is looked at as that user: as root in
 * a child that becomes it.
 */
void check_warnings(const conf_t *conf, check_t *check);

/* Logs the policy in force in one line, and each warning. At the start. */
void check_tell(const conf_t *conf, const log_t *log);

/*
 * The patterns of `interfaces` as "eth*, dummy?" in at most max bytes (8 or
 * more) with NUL, with dots where it is cut; "all" when there are none.
 */
void check_interfaces(const conf_t *conf, char *dst, size_t max);


#endif /* AGENT_CHECK_H */
