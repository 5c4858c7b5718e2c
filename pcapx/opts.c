/*
 * pcapx/opts.c: walks the option list of a block and reads the counters of
 * an ISB. Every length in a list comes from a stranger; nothing outside of
 * [opts, opts + opts_len) is ever read.
 */

#include "scan_int.h"


static int pcapx_stats_option(const pcapx_scan_t *s, const pcapx_block_t *b,
    const pcapx_opt_t *opt, pcapx_stats_t *st);


void
pcapx_opt_begin(pcapx_opt_iter_t *it, const pcapx_scan_t *s,
    const pcapx_block_t *b)
{
    it->pos = b->opts;
    it->end = b->opts ? b->opts + b->opts_len : NULL;
    it->swapped = s->swapped;
}


int
pcapx_opt_next(pcapx_opt_iter_t *it, pcapx_opt_t *opt)
{
    size_t  left, padded;

    left = (size_t) (it->end - it->pos);

    if (left == 0) {
        return PCAPX_END;
    }

    if (left < 4) {
        return PCAPX_EFORMAT;
    }

    opt->code = pcapx_load16(it->swapped, it->pos);
    opt->len = pcapx_load16(it->swapped, it->pos + 2);
    opt->value = it->pos + 4;

    padded = 4 + pcapx_pad4((size_t) opt->len);

    if (padded > left || (opt->code == PCAPX_OPT_END && opt->len != 0)) {
        return PCAPX_EFORMAT;
    }

    it->pos += padded;

    if (opt->code == PCAPX_OPT_END) {
        return PCAPX_END;
    }

    return PCAPX_OK;
}


int
pcapx_scan_stats(const pcapx_scan_t *s, const pcapx_block_t *b,
    pcapx_stats_t *st)
{
    int               rc;
    pcapx_opt_t       opt;
    pcapx_opt_iter_t  it;

    memset(st, 0, sizeof(*st));

    if (b->type != PCAPX_BT_ISB || b->iface >= s->nifaces) {
        return PCAPX_EINVAL;
    }

    pcapx_opt_begin(&it, s, b);

    while ((rc = pcapx_opt_next(&it, &opt)) == PCAPX_OK) {

        if (opt.code < PCAPX_ISB_STARTTIME || opt.code > PCAPX_ISB_USRDELIV) {
            continue;
        }

        if (opt.len != 8
            || pcapx_stats_option(s, b, &opt, st) != PCAPX_OK)
        {
            return PCAPX_EFORMAT;
        }
    }

    return rc == PCAPX_END ? PCAPX_OK : rc;
}


static int
pcapx_stats_option(const pcapx_scan_t *s, const pcapx_block_t *b,
    const pcapx_opt_t *opt, pcapx_stats_t *st)
{
    uint64_t  v;

    v = pcapx_load64(s->swapped, opt->value);

    /* PCAPX_HAS_* are in the order of the option codes, from 2 on. */

    st->present |= 1u << (opt->code - PCAPX_ISB_STARTTIME);

    switch (opt->code) {

    case PCAPX_ISB_STARTTIME:
        return pcapx_scan_time(&s->ifaces[b->iface],
                               pcapx_load_ts(s->swapped, opt->value),
                               &st->starttime_ns);

    case PCAPX_ISB_ENDTIME:
        return pcapx_scan_time(&s->ifaces[b->iface],
                               pcapx_load_ts(s->swapped, opt->value),
                               &st->endtime_ns);

    case PCAPX_ISB_IFRECV:
        st->ifrecv = v;
        break;

    case PCAPX_ISB_IFDROP:
        st->ifdrop = v;
        break;

    case PCAPX_ISB_FILTERACCEPT:
        st->filteraccept = v;
        break;

    case PCAPX_ISB_OSDROP:
        st->osdrop = v;
        break;

    case PCAPX_ISB_USRDELIV:
        st->usrdeliv = v;
        break;
    }

    return PCAPX_OK;
}
