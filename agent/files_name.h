/*
 * agent/files_name.h: names of folders and files that were captured before:
 * which can be one, which is a capture, and what endpoint it is of. And the
 * names in a folder, in order. It opens nothing.
 */

#ifndef AGENT_FILES_NAME_H
#define AGENT_FILES_NAME_H

#include <stddef.h>


/*
 * Names of Kubernetes have at most 253 characters (a DNS name, RFC 1123), a
 * file's 255 bytes (NAME_MAX).
 */
#define FILES_NAME_LEN   253
#define FILES_FILE_LEN   255

/* More are not told and not merged. */
#define FILES_MAX_NAMES  20000

typedef struct {
    char       *mem;            /* the names, each with its NUL */
    size_t      len;
    char      **names;          /* into mem */
    size_t      n;
    size_t      omitted;        /* no valid names, or not UTF-8 */
    int         cut;            /* there were more than FILES_MAX_NAMES */
} files_names_t;


/*
 * What is wrong with a name as one component of a path, of at most max bytes:
 * a few words, or NULL when nothing is.
 */
const char *files_wrong(const char *name, size_t len, size_t max);

/* Is it a file of packets, by its name? 1 or 0. */
int files_is_pcap(const char *file);

/*
 * How many bytes of a file's name are its endpoint's: what is before ".pcap"
 * without a time stamp at its end ("-2026-11-22T10-00-00.000"), so that files
 * that were rotated are of one.
 */
size_t files_endpoint_len(const char *file);

/*
 * Reads the names in an open folder and sorts them by their bytes; those that
 * begin with a dot are left out. Returns 0, or -1 with errno.
 * files_names_free() in either case.
 */
int files_names(files_names_t *list, int folder);

void files_names_free(files_names_t *list);


#endif /* AGENT_FILES_NAME_H */
