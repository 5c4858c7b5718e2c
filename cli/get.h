/*
 * cli/get.h: fetches the file of a stored capture: get.c asks and tries
 * again, get_data.c takes the bytes, counts and checks them, get_unpack.c
 * decompresses them. What was fetched counts only when its SHA-256 is the one
 * that the API names.
 * Nothing else includes this but those, later.c and main.c.
 */

#ifndef CLI_GET_H
#define CLI_GET_H

#include <openssl/evp.h>

#include "api.h"
#include "out.h"
#include "part.h"
#include "term.h"
#include "tick.h"
#include "unpack.h"


typedef struct {
    const opt_t     *opt;
    msg_t           *msg;
    api_t            api;
    const char      *id;           /* of the capture, checked */
    tick_t          *tick;

    api_request_t   *q;            /* the one that runs */
    const char      *where;        /* its server, for messages */
    uint64_t         heard_ms;     /* something came, of it */
    unsigned         tries;        /* in a row without a byte */

    char            *file;         /* owned; NULL: into out */
    part_t           part;
    part_mode_t      mode;
    out_t            out;
    EVP_MD_CTX      *sum;          /* over all that is in the file */
    term_t           term;
    term_load_t      load;
    uint64_t         total;        /* when has_total */
    /* As the API says, "": it does not. */
    char             sha256[REPLY_SHA256_LEN + 1];

    unpack_t        *unpack;       /* owned; NULL: not yet */
    part_t           raw;          /* what it makes of part */
    uint64_t         raw_total;    /* when has_raw */
    uint64_t         lost;         /* when has_lost */

    unsigned         named:1;      /* file was given */
    unsigned         has_total:1;
    unsigned         has_raw:1;
    unsigned         has_lost:1;   /* something is missing in it */
    unsigned         packed:1;     /* the store has it compressed */
    unsigned         unpacks:1;    /* and the user wants it as it was */
    unsigned         ranged:1;     /* q asks for the rest only */
    unsigned         skip:1;       /* its first byte is there already */
    unsigned         away:1;       /* q asks a server that is not the API */
    unsigned         taking:1;     /* q's body is the file */
    unsigned         begun:1;      /* some body was, in this run */
    unsigned         renewed:1;    /* the token, since the last byte */
    unsigned         over:1;       /* failed for good, told */
    unsigned         left:1;       /* the reader of the output has left */
} get_t;


/*
 * `pcap-cli get ID`: CLI_OK when the file is here and fits its checksum. A
 * part stays for a later try, which goes on with it.
 */
cli_exit_t get_run(const opt_t *opt, const conf_t *conf, msg_t *msg);

/* The same for the capture id; tick is open. */
cli_exit_t get_fetch(const opt_t *opt, const conf_t *conf, msg_t *msg,
    const char *id, tick_t *tick);


/* Between the files of this room. */

/* get_data.c: where it goes. 0, or -1, told. get_data_close() in each case. */
int get_data_open(get_t *g);

/*
 * The head of an answer with the file, or its rest, is complete: 0, or -1
 * with g->over set, told.
 */
int get_data_begin(get_t *g, const reply_t *r);

/* Bytes of it. 0, or -1 with g->over set, told. */
int get_data_put(get_t *g, const char *p, size_t len);

/* All has come: checks it and gives it its name. The exit code, told. */
cli_exit_t get_data_end(get_t *g);

void get_data_close(get_t *g);

/* Tells text, and that it has failed for good. -1. */
int get_data_fail(get_t *g, const char *text);

/* Writes to the pipe; ctx is g. 0 or -1 as get_data_put(). */
int get_data_pipe(void *ctx, const char *p, size_t len);

/* get_unpack.c: as get_data_begin(), behind what that does. */
int get_unpack_begin(get_t *g, const reply_t *r);

/* What is fed goes to put from now on. 0, or -1, told. */
int get_unpack_open(get_t *g, unpack_put_t put);

/* Compressed bytes; and that these were all. 0, or -1, told. */
int get_unpack_put(get_t *g, const char *p, size_t len);
int get_unpack_end(get_t *g);

/*
 * Makes file of part, which goes then. 0, or -1, told: part is kept, and
 * nothing has got the name.
 */
int get_unpack_file(get_t *g);


#endif /* CLI_GET_H */
