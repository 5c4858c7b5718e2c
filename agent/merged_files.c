/*
 * agent/merged_files.c: the files of a merge. Each is looked at once, up to
 * its first packet, and then opened in the merge when that packet's time has
 * come. As long as there are descriptors they stay open from the first look
 * on: a file that is rotated meanwhile has another name, but is the same.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "merged_int.h"
#include "pcapx/write.h"


/* Between two looks at the connection and the clock. */
#define MERGED_BATCH  4096
#define MERGED_LOOKS  64           /* the same before there are packets */


static int merged_first(merged_t *m, const char *name, problem_t *why);
static int merged_bad(merged_t *m, const char *name, const char *words,
    problem_t *why);
static int merged_interfaces(merged_t *m, const char *name,
    const source_t *s, problem_t *why);
static merged_if_t *merged_if(merged_t *m, const char *name, int linktype);
static merged_if_t *merged_add(merged_t *m, const char *name,
    uint16_t linktype, problem_t *why);
static int merged_order(const void *a, const void *b);
static void merged_open(merged_t *m, uint32_t i);
static int merged_slot(merged_t *m);
static int merged_reopen(merged_t *m, merged_file_t *f);
static void merged_unpark(merged_t *m);
static void merged_next(merged_t *m, uint32_t i);
static int merged_put(merged_t *m, merged_file_t *f);
static void merged_close(merged_t *m, merged_file_t *f);
static void merged_wrong(merged_t *m, const char *name, const char *why);


int
merged_look(merged_t *m, int folder, problem_t *why)
{
    size_t    i;
    uint32_t  k;

    if (files_names(&m->names, folder) != 0) {
        return serve_error(m->sv, NULL, why);
    }

    if (m->names.cut) {
        (void) problem_set(why, 507, "files: there are more than %d in that "
                           "folder", FILES_MAX_NAMES);
        return 1;
    }

    m->files = calloc(m->names.n ? m->names.n : 1, sizeof(*m->files));

    if (m->files == NULL) {
        (void) problem_set(why, 500, "out of memory");
        return 1;
    }

    for (i = 0; i < m->names.n; i++) {
        if (i % MERGED_LOOKS == 0
            && (serve_wait(m->sv, 0, 0) != 0 || m->sv->finished))
        {
            return -1;
        }

        if (files_is_pcap(m->names.names[i])
            && merged_first(m, m->names.names[i], why) != 0)
        {
            return 1;
        }
    }

    if (m->nifs == 0) {
        (void) problem_set(why, 404, "files: %.100s/%.100s: there are no "
                           "packets", m->sv->req->ns, m->sv->req->name);
        return 1;
    }

    qsort(m->files, m->nfiles, sizeof(*m->files), merged_order);

    m->merge_mem = malloc(pcapx_merge_size(m->nfiles ? m->nfiles : 1));

    if (m->merge_mem == NULL) {
        (void) problem_set(why, 500, "out of memory");
        return 1;
    }

    pcapx_merge_init(&m->merge, m->merge_mem, m->nfiles ? m->nfiles : 1);

    for (k = 0; k < m->nfiles; k++) {
        pcapx_merge_wait(&m->merge, k, m->files[k].first_ns);
    }

    if (m->nfiles == 0) {
        pcapx_merge_end(&m->merge, 0);
    }

    return 0;
}


static int
merged_order(const void *a, const void *b)
{
    const merged_file_t  *fa, *fb;

    fa = a;
    fb = b;

    return fa->first_ns != fb->first_ns
           ? (fa->first_ns < fb->first_ns ? -1 : 1)
           : strcmp(fa->name, fb->name);
}


/* Reads a file up to its first packet. Returns 0, or 1 with *why filled. */

static int
merged_first(merged_t *m, const char *name, problem_t *why)
{
    int             fd, rc;
    source_t        s;
    files_info_t    info;
    merged_file_t  *f;

    fd = files_open(m->sv->files, name, &info);

    /* what is no regular file, or gone since, is not there */

    if (fd == -1 && (errno == ENOENT || errno == EISDIR)) {
        return 0;
    }

    if (fd == -1) {
        return merged_bad(m, name, strerror(errno), why);
    }

    m->nfound++;
    f = &m->files[m->nfiles];
    rc = source_open(&s, fd, info.bytes) == 0 ? source_next(&s) : -1;

    if (merged_interfaces(m, name, &s, why) != 0
        || (rc < 0 && merged_bad(m, name, s.why, why) != 0))
    {
        source_close(&s);
        close(fd);
        return 1;
    }

    f->first_ns = s.head.ts_ns;
    source_close(&s);

    if (rc != 1) {
        close(fd);
        return 0;
    }

    f->name = name;
    f->linktype = -1;
    f->dev = info.dev;
    f->ino = info.ino;
    f->bytes = info.bytes;
    f->fd = fd;
    m->nfiles++;

    if (m->nopen == FILES_MAX_OPEN || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        f->fd = -1;
        return 0;
    }

    m->nopen++;

    return 0;
}


/* Even so its endpoint has an interface, to tell of it there. */

static int
merged_bad(merged_t *m, const char *name, const char *words, problem_t *why)
{
    if (merged_if(m, name, -1) == NULL
        && merged_add(m, name, PCAPX_LINKTYPE_ETHERNET, why) == NULL)
    {
        return 1;
    }

    merged_wrong(m, name, words);

    return 0;
}


/* Those that stand before the first packet. */

static int
merged_interfaces(merged_t *m, const char *name, const source_t *s,
    problem_t *why)
{
    uint32_t  i;

    for (i = 0; i < s->scan.nifaces; i++) {
        if (merged_if(m, name, s->ifaces[i].linktype) == NULL
            && merged_add(m, name, s->ifaces[i].linktype, why) == NULL)
        {
            return -1;
        }
    }

    return 0;
}


/* The interface of a file's endpoint with this link type, -1: with any. */

static merged_if_t *
merged_if(merged_t *m, const char *name, int linktype)
{
    size_t        len;
    unsigned      i;
    merged_if_t  *mi;

    len = files_endpoint_len(name);

    for (i = m->nifs; i-- > 0; /* void */ ) {
        mi = &m->ifs[i];

        if (mi->endpoint_len == len && memcmp(mi->endpoint, name, len) == 0
            && (linktype == -1 || mi->linktype == linktype))
        {
            return mi;
        }
    }

    return NULL;
}


static merged_if_t *
merged_add(merged_t *m, const char *name, uint16_t linktype, problem_t *why)
{
    merged_if_t  *mi;

    if (m->nifs == MERGED_MAX_IFS) {
        (void) problem_set(why, 507, "files: more than %d endpoints cannot "
                           "be merged", MERGED_MAX_IFS);
        return NULL;
    }

    mi = &m->ifs[m->nifs++];
    mi->endpoint = name;
    mi->endpoint_len = files_endpoint_len(name);
    mi->linktype = linktype;

    return mi;
}


void
merged_read(merged_t *m)
{
    int       rc;
    uint32_t  i;
    unsigned  n;

    for (n = 0; n < MERGED_BATCH && order_room(&m->order, 0); n++) {
        rc = pcapx_merge_top(&m->merge, &i);

        if (rc == PCAPX_END) {
            m->eof = 1;
            return;
        }

        if (rc == PCAPX_AGAIN) {
            merged_open(m, i);
            continue;
        }

        (void) pcapx_merge_take(&m->merge, i);

        if (merged_put(m, &m->files[i]) != 0) {
            merged_wrong(m, m->files[i].name, "another link type");
            merged_close(m, &m->files[i]);
            pcapx_merge_end(&m->merge, i);
            merged_unpark(m);
            continue;
        }

        merged_next(m, i);
    }
}


/* The time of its first packet has come. */

static void
merged_open(merged_t *m, uint32_t i)
{
    merged_file_t  *f;

    f = &m->files[i];

    if (f->fd == -1 && merged_slot(m) != 0) {

        /* Hundreds at once: its packets will be late, but not lost. */

        pcapx_merge_release(&m->merge, i);
        f->parked = 1;
        m->nparked++;
        return;
    }

    if (f->fd == -1 && merged_reopen(m, f) != 0) {
        merged_wrong(m, f->name, "it has gone, or is another file now");
        pcapx_merge_end(&m->merge, i);
        return;
    }

    f->source = malloc(sizeof(*f->source));

    if (f->source == NULL || source_open(f->source, f->fd, f->bytes) != 0) {
        merged_wrong(m, f->name, "out of memory");
        merged_close(m, f);
        pcapx_merge_end(&m->merge, i);
        return;
    }

    merged_next(m, i);
}


/* Room for one more; those that are needed last wait without. */

static int
merged_slot(merged_t *m)
{
    uint32_t  i;

    if (m->nopen < FILES_MAX_OPEN) {
        return 0;
    }

    for (i = m->nfiles; i-- > 0; /* void */ ) {
        if (m->files[i].fd != -1 && m->files[i].source == NULL) {
            merged_close(m, &m->files[i]);
            return 0;
        }
    }

    return -1;
}


static int
merged_reopen(merged_t *m, merged_file_t *f)
{
    files_info_t  info;

    f->fd = files_open(m->sv->files, f->name, &info);

    if (f->fd == -1) {
        return -1;
    }

    m->nopen++;

    if (info.dev != f->dev || info.ino != f->ino) {
        merged_close(m, f);
        return -1;
    }

    return 0;
}


static void
merged_unpark(merged_t *m)
{
    uint32_t  i;

    for (i = 0; m->nparked && i < m->nfiles; i++) {
        if (m->files[i].parked) {
            m->files[i].parked = 0;
            m->nparked--;
            pcapx_merge_wait(&m->merge, i, m->files[i].first_ns);
            return;
        }
    }
}


/* What follows in a file: a packet, its end, or what is no capture. */

static void
merged_next(merged_t *m, uint32_t i)
{
    int             rc;
    merged_file_t  *f;

    f = &m->files[i];
    rc = source_next(f->source);

    if (rc == 1) {
        pcapx_merge_head(&m->merge, i, f->source->head.ts_ns);
        return;
    }

    if (rc < 0) {
        merged_wrong(m, f->name, f->source->why);
    }

    merged_close(m, f);
    pcapx_merge_end(&m->merge, i);
    merged_unpark(m);
}


/* The packet of a file goes into the order, as the block that is sent. */

static int
merged_put(merged_t *m, merged_file_t *f)
{
    int                   linktype;
    uint8_t              *p;
    merged_if_t          *mi;
    const pcapx_block_t  *b;

    b = &f->source->head;
    linktype = source_linktype(f->source);

    if (f->linktype != linktype) {
        mi = merged_if(m, f->name, linktype);

        if (mi == NULL) {
            return -1;
        }

        f->linktype = linktype;
        f->iface = (unsigned) (mi - m->ifs);
    }

    p = order_put(&m->order, 0, b->ts_ns,
                  (uint32_t) pcapx_epb_len(b->caplen, 0));

    /* There was room for the longest. */

    if (p == NULL) {
        return -1;
    }

    pcapx_epb_plain(p, f->iface, b->ts_ns, b->data, b->caplen, b->origlen);
    m->ifs[f->iface].seen++;

    return 0;
}


static void
merged_close(merged_t *m, merged_file_t *f)
{
    if (f->source) {
        source_close(f->source);
        free(f->source);
        f->source = NULL;
    }

    if (f->fd != -1) {
        close(f->fd);
        f->fd = -1;
        m->nopen--;
    }
}


static void
merged_wrong(merged_t *m, const char *name, const char *why)
{
    merged_if_t  *mi;

    mi = merged_if(m, name, -1);

    if (mi) {
        mi->wrong++;
    }

    m->wrong++;
    log_warn(m->sv->log, "%s/%s/%.200s cannot be read to its end: %.200s",
             m->sv->req->ns, m->sv->req->name, name, why);
}


void
merged_free(merged_t *m)
{
    uint32_t  i;

    for (i = 0; i < m->nfiles; i++) {
        merged_close(m, &m->files[i]);
    }

    order_free(&m->order);
    free(m->merge_mem);
    free(m->files);
    files_names_free(&m->names);
}
