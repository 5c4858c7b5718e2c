/*
 * module/zip_writer.h: a zip archive that is written while it goes out, around
 * libarchive. Nothing of nginx is in here, so that unit tests reach it.
 *
 * Nothing is ever written twice: every entry has its true sizes and its CRC
 * behind its bytes and in the directory at the end, so an archive is good
 * although nobody knew them when the entry began. Its memory is the
 * compressor's (about 0.4 MB) and the directory's: 80 bytes and the path for
 * each entry.
 */

#ifndef PCAP_ZIP_WRITER_H
#define PCAP_ZIP_WRITER_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>


#define PCAP_ZIP_OK         0
#define PCAP_ZIP_EINVAL     (-1)      /* a path, or the wrong order of calls */
#define PCAP_ZIP_ESIZE      (-2)      /* not the size that was said */
#define PCAP_ZIP_EFAIL      (-3)      /* no memory, or the callback failed */

#define PCAP_ZIP_MAX_PATH   1024      /* bytes of NODE/FILE */


typedef enum {
    PCAP_ZIP_DEFLATE = 0,             /* level 1 */
    PCAP_ZIP_STORE
} pcap_zip_method_e;

typedef struct pcap_zip_s  pcap_zip_t;

/*
 * Takes len bytes of the archive, which are the writer's again when it
 * returns: 0, or -1, which fails the archive. One call of the writer may make
 * several of it; see pcap_zip_write() for how much.
 */
typedef int (*pcap_zip_out_pt)(void *data, const void *p, size_t len);


/*
 * An empty archive; data is for out. NULL when memory is out. It is the
 * caller's, pcap_zip_free() frees it.
 */
pcap_zip_t *pcap_zip_create(pcap_zip_method_e method, pcap_zip_out_pt out,
    void *data);

/*
 * 1: the len bytes can be one part of a path in an archive, wherever that is
 * unpacked: UTF-8 without control bytes, "/", "\" and ":", neither empty nor
 * "." or "..", and at most 255 bytes.
 */
int pcap_zip_name_ok(const char *name, size_t len);

/*
 * Begins the entry dir/file, or file alone when dir_len is 0; of size bytes
 * (0 .. 2^63 - 1), last changed at mtime. The parts have to be as
 * pcap_zip_name_ok() wants them (PCAP_ZIP_EINVAL); they are copied.
 */
int pcap_zip_begin(pcap_zip_t *zip, const char *dir, size_t dir_len,
    const char *file, size_t file_len, int64_t size, time_t mtime);

/*
 * The next bytes of the entry. PCAP_ZIP_ESIZE: they are more than were said,
 * and none of them was taken. What comes out at once is at most 128 KiB and
 * len bytes.
 */
int pcap_zip_write(pcap_zip_t *zip, const void *p, size_t len);

/*
 * Ends the entry. It may have fewer bytes than were said if it is deflated:
 * nothing in front of it tells its size. PCAP_ZIP_ESIZE: it is stored, its
 * size stands in front of it, and the archive is lost.
 */
int pcap_zip_end(pcap_zip_t *zip);

/* The directory and the end; all of it comes out at once. */
int pcap_zip_close(pcap_zip_t *zip);

/* Frees it, in any state; nothing more comes out. zip may be NULL. */
void pcap_zip_free(pcap_zip_t *zip);


#endif /* PCAP_ZIP_WRITER_H */
