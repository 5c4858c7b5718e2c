/*
 * agent/merged.h: all files of packets in a folder as one stream, in the
 * order of time, as a capture that runs would send it (docs/PROTOCOL.md).
 * What a file is of is told by its name: rotated files of one endpoint are
 * one interface.
 */

#ifndef AGENT_MERGED_H
#define AGENT_MERGED_H

#include "serve.h"


/*
 * Sends the files of the open folder. Returns 0, -1 when the stream was cut,
 * or 1 when nothing was sent and *why is to be told.
 */
int merged_serve(serve_t *sv, int folder, problem_t *why);


#endif /* AGENT_MERGED_H */
