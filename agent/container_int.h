/*
 * agent/container_int.h: what container.c, owner.c, pod.c and
 * whereabouts.c share.
 */

#ifndef AGENT_CONTAINER_INT_H
#define AGENT_CONTAINER_INT_H

#include "container.h"


/* The 404 that says nothing but the handle. Always returns -1. */
int container_unknown(const container_t *ct, problem_t *why);

/*
 * Fills ct->owner from the metadata store and compares the app. Without a
 * store there is no owner, and the API is believed. Returns 0 or -1 with
 * *why.
 */
int container_owner(container_t *ct, problem_t *why);

/*
 * Fills ct->ns, ct->id, ct->init and ct->watch. Returns 0 or -1 with *why.
 */
int container_whereabouts(container_t *ct, problem_t *why);

/*
 * The same for a pod, with ct->ns, ct->id and ct->watch.
 */
int container_pod(container_t *ct, problem_t *why);

/*
 * Fills ct->watch and ct->watched: readable when the component of pl that has
 * the handle goes from its folder. Not having it loses nothing but an early
 * notice.
 */
void container_watch_folder(container_t *ct, const place_t *pl);


#endif /* AGENT_CONTAINER_INT_H */
