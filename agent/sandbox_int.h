/*
 * agent/sandbox_int.h: what sandbox.c takes from sandbox_rules.c.
 */

#ifndef AGENT_SANDBOX_INT_H
#define AGENT_SANDBOX_INT_H

#include "sandbox.h"


/* All rules of all lists; the last has no name. */
extern const sandbox_rule_t  sandbox_rules[];


#endif /* AGENT_SANDBOX_INT_H */
