/*
 * t/pcapx_gone.h: the malformed captures around an agent's one comment. It
 * is a part of pcapx_malformed.h, which includes it.
 */

static void
make_isb_gone_cut(craft_t *c)
{
    isb_with(c, PCAPX_OPT_COMMENT, "container gon", 13);
}

static void
make_isb_gone_other(craft_t *c)
{
    isb_with(c, PCAPX_OPT_COMMENT, "container gonE", 14);
}

static void
make_isb_gone_over_end(craft_t *c)
{
    head(c);
    craft_isb_open(c, 0, 1);
    craft_u16(c, PCAPX_OPT_COMMENT);
    craft_u16(c, 14);
    craft_bytes(c, "container go", 12);
    craft_end(c);
}

static void
make_isb_gone_twice(craft_t *c)
{
    head(c);
    craft_isb_open(c, 0, 1);
    craft_opt(c, PCAPX_OPT_COMMENT, PCAPX_CONTAINER_GONE, 14);
    craft_opt(c, PCAPX_OPT_COMMENT, PCAPX_CONTAINER_GONE, 14);
    craft_opt_end(c);
    craft_end(c);
}

static void
make_isb_behind_gone(craft_t *c)
{
    isb_with(c, PCAPX_OPT_COMMENT, PCAPX_CONTAINER_GONE, 14);
    craft_isb(c, 0, 1);
}

static void
make_epb_behind_gone(craft_t *c)
{
    isb_with(c, PCAPX_OPT_COMMENT, PCAPX_CONTAINER_GONE, 14);
    craft_epb(c, 0, 1, 3, 3);
}
