/*
 * store/uploader.h: what the process of one upload does: reads the file of a
 * capture as far as it is written, and sends it to S3 in parts that end
 * behind a block, or behind a frame where it is compressed. It goes on until
 * the object is whole, however long S3 is away; it knows no record and no
 * other capture.
 */

#ifndef STORE_UPLOADER_H
#define STORE_UPLOADER_H

#include "conf.h"
#include "log.h"
#include "quota.h"
#include "upload.h"


typedef struct {
    const conf_t     *conf;
    log_t             log;           /* about this capture */
    const quota_t    *quota;
    int               slot;          /* -1: the capture has ended */
    uint64_t          bytes;         /* with so many */
    int               folder;
    int               report;        /* a packet socket to the store */
    const char       *id;
    const char       *about;         /* JSON */
    const char       *key;           /* of an earlier process, or empty */
    const char       *upload;        /* so */
    const s3_part_t  *parts;         /* that are noted: 1, 2, ... */
    unsigned          nparts;
    uint64_t          sent;          /* bytes of these */
} uploader_t;


/*
 * Bytes that part n has at least, but for the last one: S3_MAX_PARTS of them
 * are more than 5 TiB, and none is more than 4 GiB.
 */
uint64_t uploader_part_size(unsigned n);

/* Returns the exit status: 0 when the object is whole and that is noted. */
int uploader_run(const uploader_t *u);


#endif /* STORE_UPLOADER_H */
