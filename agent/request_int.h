/*
 * agent/request_int.h: what request.c takes from request_files.c.
 */

#ifndef AGENT_REQUEST_INT_H
#define AGENT_REQUEST_INT_H

#include "request.h"


#define REQUEST_FILES_PATH  "/v1/files/"


/*
 * The method and what follows REQUEST_FILES_PATH in a path, which is decoded
 * in place. Fills kind and the names. Returns 0, or -1 with *why filled.
 */
int request_files(const char *method, char *path, request_t *req,
    problem_t *why);


#endif /* AGENT_REQUEST_INT_H */
