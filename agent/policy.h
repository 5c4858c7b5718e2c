/*
 * agent/policy.h: what the owner of this machine allows, whoever asks. No
 * request can widen it. What is refused is refused by name.
 */

#ifndef AGENT_POLICY_H
#define AGENT_POLICY_H

#include "conf.h"
#include "request.h"


/*
 * Checks what conf_load() cannot: that exclude_filter compiles on its own.
 * Call filter_init() before. Returns 0, or -1 with err (CONF_ERR_LEN bytes).
 */
int policy_check(const conf_t *conf, char *err);

/*
 * Checks a request whose interfaces are known, and cuts its snaplen to
 * max_snaplen. Returns 0, or -1 with *why (403).
 */
int policy_request(const conf_t *conf, request_t *req, problem_t *why);

/*
 * Where an interface is opened, in the namespace it is in: may it be captured
 * by the name that is really its own, too? Returns 0, or -1 with *why (403).
 */
int policy_open(const conf_t *conf, const char *name, problem_t *why);

/* Is an interface of this name among those of `interfaces`? 1 or 0. */
int policy_interface(const conf_t *conf, const char *name);

/* May a pattern of `interfaces` look like this? 1 or 0. */
int policy_pattern(const char *pattern);

/*
 * Are captures switched off by off_file at this moment? A file of which it
 * cannot be told is one that exists. Returns 1, POLICY_UNSEEN or 0.
 */
#define POLICY_UNSEEN  2

int policy_off(const conf_t *conf);


#endif /* AGENT_POLICY_H */
