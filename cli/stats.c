/*
 * cli/stats.c: the tables behind live lines, summary and verdict. Numbers
 * come from a peer: sums wrap at worst, they never index anything.
 */

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "stats.h"
#include "text.h"


void
stats_init(stats_t *st)
{
    memset(st, 0, sizeof(stats_t));
}


void
stats_free(stats_t *st)
{
    uint32_t  i;

    for (i = 0; i < st->nifaces; i++) {
        free(st->ifaces[i].name);
    }

    for (i = 0; i < st->ninstances; i++) {
        free(st->instances[i].name);
    }

    free(st->ifaces);
    free(st->instances);
    memset(st, 0, sizeof(stats_t));
}


/* Makes room for one more element of size bytes; the new room is zeroed. */
static void *
stats_grow(void *table, uint32_t n, uint32_t *max, size_t size)
{
    char      *p;
    uint32_t   more;

    if (n < *max) {
        return table;
    }

    if (n >= CLI_MAX_IFACES) {
        return NULL;
    }

    more = *max ? *max * 2 : 16;

    p = realloc(table, more * size);
    if (p == NULL) {
        return NULL;
    }

    memset(p + n * size, 0, (more - n) * size);
    *max = more;

    return p;
}


/* The number of the instance called name, which is added when it is new. */
static int
stats_find_instance(stats_t *st, const char *name, size_t len, uint32_t *n)
{
    char               *copy;
    void               *table;
    uint32_t            i;
    stats_instance_t   *in;

    /* Interfaces of an instance stand together: look at the latest first. */
    for (i = st->ninstances; i > 0; i--) {
        in = &st->instances[i - 1];

        if (strncmp(in->name, name, len) == 0 && in->name[len] == '\0') {
            *n = i - 1;
            return 0;
        }
    }

    table = stats_grow(st->instances, st->ninstances, &st->max_instances,
                       sizeof(stats_instance_t));
    if (table == NULL) {
        return -1;
    }

    st->instances = table;

    copy = strndup(name, len);
    if (copy == NULL) {
        return -1;
    }

    *n = st->ninstances++;
    st->instances[*n].name = copy;
    st->instances[*n].first = st->nifaces;

    return 0;
}


int
stats_add_iface(stats_t *st, const char *name, size_t len, uint16_t linktype)
{
    char            clean[STATS_MAX_NAME + 1], *slash;
    void           *table;
    size_t          n;
    uint32_t        instance;
    stats_iface_t  *iface;

    n = text_clean(clean, sizeof(clean), name, len);
    if (n == 0) {
        n = text_clean(clean, sizeof(clean), "unnamed", 7);
    }

    table = stats_grow(st->ifaces, st->nifaces, &st->max_ifaces,
                       sizeof(stats_iface_t));
    if (table == NULL) {
        return -1;
    }

    st->ifaces = table;

    slash = strrchr(clean, '/');
    if (slash != NULL && slash != clean) {
        n = (size_t) (slash - clean);
    }

    if (stats_find_instance(st, clean, n, &instance) != 0) {
        return -1;
    }

    iface = &st->ifaces[st->nifaces];

    iface->name = strdup(clean);
    if (iface->name == NULL) {
        return -1;
    }

    iface->instance = instance;
    iface->linktype = linktype;
    st->instances[instance].ninterfaces++;
    st->nifaces++;

    return 0;
}


void
stats_packet(stats_t *st, uint32_t iface, uint32_t caplen)
{
    stats_iface_t     *i;
    stats_instance_t  *in;

    i = &st->ifaces[iface];
    in = &st->instances[i->instance];

    i->packets++;
    i->bytes += caplen;
    in->packets++;
    in->bytes += caplen;
    st->packets++;
    st->bytes += caplen;
}


void
stats_counters(stats_t *st, uint32_t iface, const pcapx_stats_t *now)
{
    pcapx_stats_t     *last;
    stats_instance_t  *in;

    last = &st->ifaces[iface].last;
    in = &st->instances[st->ifaces[iface].instance];

    if (now->present & PCAPX_HAS_FILTERACCEPT
        && now->filteraccept >= last->filteraccept)
    {
        in->received += now->filteraccept - last->filteraccept;
        last->filteraccept = now->filteraccept;
    }

    if (now->present & PCAPX_HAS_OSDROP && now->osdrop >= last->osdrop) {
        in->dropped += now->osdrop - last->osdrop;
        last->osdrop = now->osdrop;
    }

    if (now->present & PCAPX_HAS_IFDROP && now->ifdrop >= last->ifdrop) {
        last->ifdrop = now->ifdrop;
    }

    last->present |= now->present;
}


static int
stats_is_api(const message_t *m)
{
    return m->origin_len == 3 && memcmp(m->origin, "api", 3) == 0;
}


void
stats_message(stats_t *st, uint32_t iface, const message_t *m)
{
    stats_instance_t  *in;

    if (m->type == MESSAGE_LIMIT_REACHED && stats_is_api(m)) {
        st->limits |= message_limits(m->text, m->text_len);
        return;
    }

    if (m->type != MESSAGE_STATUS) {
        return;
    }

    if (stats_is_api(m)) {
        message_parse_status(&st->verdict, m->text, m->text_len);
        return;
    }

    /* The sums of an instance stand at its first interface. */
    if (iface < st->nifaces) {
        in = &st->instances[st->ifaces[iface].instance];

        if (in->first == iface) {
            message_parse_status(&in->verdict, m->text, m->text_len);
        }
    }
}


uint64_t
stats_instance_dropped(const stats_instance_t *in)
{
    if (in->verdict.present & STATUS_HAS_DROPPED) {
        return in->verdict.dropped;
    }

    return in->dropped;
}


uint64_t
stats_dropped(const stats_t *st)
{
    uint32_t  i;
    uint64_t  sum;

    if (st->verdict.present & STATUS_HAS_DROPPED) {
        return st->verdict.dropped;
    }

    sum = 0;

    for (i = 0; i < st->ninstances; i++) {
        sum += stats_instance_dropped(&st->instances[i]);
    }

    return sum;
}


uint64_t
stats_late(const stats_t *st)
{
    return st->verdict.present & STATUS_HAS_LATE ? st->verdict.late : 0;
}


uint64_t
stats_instance_place(const stats_instance_t *in, place_t place)
{
    if (in->verdict.present & STATUS_HAS_PLACES) {
        return in->verdict.places[place];
    }

    return place == PLACE_KERNEL ? in->dropped : 0;
}


uint64_t
stats_place(const stats_t *st, place_t place)
{
    uint32_t  i;
    uint64_t  sum;

    if (st->verdict.present & STATUS_HAS_PLACES) {
        return st->verdict.places[place];
    }

    sum = 0;

    for (i = 0; i < st->ninstances; i++) {
        sum += stats_instance_place(&st->instances[i], place);
    }

    return sum;
}
