/*
 * agent/merged_int.h: what merged.c (the stream) and merged_files.c (its
 * files) share: the state of one merge, and nobody else's business.
 */

#ifndef AGENT_MERGED_INT_H
#define AGENT_MERGED_INT_H

#include "merged.h"
#include "files_name.h"
#include "order.h"
#include "pcapx/merge.h"
#include "source.h"
#include "stream.h"


/* An endpoint has one for each link type; a node has some hundred pods. */
#define MERGED_MAX_IFS  256

typedef struct {
    const char      *endpoint;     /* not ended: endpoint_len bytes */
    size_t           endpoint_len;
    uint16_t         linktype;
    unsigned         wrong;        /* files of it that could not be read */
    uint64_t         seen;         /* read */
    uint64_t         written;      /* sent */
} merged_if_t;

typedef struct {
    const char      *name;
    uint64_t         first_ns;     /* time stamp of its first packet */
    uint64_t         dev;
    uint64_t         ino;
    uint64_t         bytes;
    source_t        *source;       /* while it is read */
    int              fd;           /* -1: to be opened once more */
    int              linktype;     /* of the last packet, -1: none yet */
    unsigned         iface;        /* which is this one */
    unsigned         parked;       /* waits until another one is closed */
} merged_file_t;

typedef struct {
    serve_t         *sv;
    files_names_t    names;
    merged_file_t   *files;        /* by their first packet */
    uint32_t         nfiles;
    merged_if_t      ifs[MERGED_MAX_IFS];
    unsigned         nifs;
    unsigned         nopen;        /* descriptors */
    unsigned         nparked;
    unsigned         wrong;        /* files that were not read to their end */
    uint32_t         nfound;       /* with or without packets */
    void            *merge_mem;
    pcapx_merge_t    merge;
    order_t          order;
    stream_t         stream;
    uint64_t         now;
    uint64_t         next_beat;
    uint64_t         last_ts;      /* newest that was sent */
    uint64_t         promised;
    uint64_t         progress;     /* bytes sent when last looked */
    uint64_t         progress_at;
    unsigned         beat_if;      /* whose turn it is */
    unsigned         last_if;      /* last blocks made so far */
    int              eof;          /* nothing more is read */
    int              closing;      /* the last chunk was made */
    int              over;
} merged_t;


/*
 * Looks at all files, finds out about interfaces and which file is the first.
 * Returns 0, 1 with *why filled, or -1 when the peer has gone.
 */
int merged_look(merged_t *m, int folder, problem_t *why);

/*
 * Reads packets into m->order, in order but for what files themselves step
 * back, until that is full, some thousands are read, or m->eof.
 */
void merged_read(merged_t *m);

/* Closes and frees what is there, whatever it is. */
void merged_free(merged_t *m);


#endif /* AGENT_MERGED_INT_H */
