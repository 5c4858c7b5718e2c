/*
 * cli/cf_meta.c: PluginMetadata in gob. Only the help that stands in it is
 * ever shown: the cf CLI keeps -h and --help for itself. Types are numbered
 * and named as Go 1.19 does it; neither matters to the reader.
 */

#include "cf_plugin.h"


/* plugin/plugin.go: fields in their order, which is their number. */

enum {
    META_PLUGIN = 75,
    META_VERSION,
    META_COMMAND,
    META_USAGE,
    META_OPTIONS,
    META_COMMANDS
};

static const gob_field_t  meta_plugin[] = {
    { "Name", GOB_STRING }, { "Version", META_VERSION },
    { "LibraryVersion", META_VERSION }, { "MinCliVersion", META_VERSION },
    { "Commands", META_COMMANDS }
};

static const gob_field_t  meta_version[] = {
    { "Major", GOB_INT }, { "Minor", GOB_INT }, { "Build", GOB_INT }
};

static const gob_field_t  meta_command[] = {
    { "Name", GOB_STRING }, { "Alias", GOB_STRING },
    { "HelpText", GOB_STRING }, { "UsageDetails", META_USAGE }
};

static const gob_field_t  meta_usage[] = {
    { "Usage", GOB_STRING }, { "Options", META_OPTIONS }
};

static const gob_type_t  meta_types[] = {
    { META_PLUGIN, GOB_STRUCT, "PluginMetadata", 0, 0, meta_plugin, 5 },
    { META_VERSION, GOB_STRUCT, "VersionType", 0, 0, meta_version, 3 },
    { META_COMMANDS, GOB_SLICE, "[]main.Command", META_COMMAND, 0, NULL, 0 },
    { META_COMMAND, GOB_STRUCT, "Command", 0, 0, meta_command, 4 },
    { META_USAGE, GOB_STRUCT, "Usage", 0, 0, meta_usage, 2 },
    { META_OPTIONS, GOB_MAP, "map[string]string", GOB_STRING, GOB_STRING,
      NULL, 0 }
};


/* A text member, left out where it is empty. */
static void
meta_text(gob_out_t *o, int *last, int field, const char *s)
{
    if (*s != '\0') {
        gob_put_field(o, last, field);
        gob_put_text(o, s);
    }
}


static void
meta_put_version(gob_out_t *o, const unsigned *version)
{
    int  i, last;

    last = -1;

    for (i = 0; version != NULL && i < 3; i++) {
        if (version[i] != 0) {
            gob_put_field(o, &last, i);
            gob_put_int(o, (int64_t) version[i]);
        }
    }

    gob_put_uint(o, 0);
}


static void
meta_put_command(gob_out_t *o, const cf_meta_t *m)
{
    int     last, usage;
    size_t  i;

    last = -1;
    meta_text(o, &last, 0, m->command);
    meta_text(o, &last, 2, m->help);

    gob_put_field(o, &last, 3);
    usage = -1;
    meta_text(o, &usage, 0, m->usage);

    if (m->noptions > 0) {
        gob_put_field(o, &usage, 1);
        gob_put_uint(o, m->noptions);

        for (i = 0; i < m->noptions; i++) {
            gob_put_text(o, m->options[i].name);
            gob_put_text(o, m->options[i].text);
        }
    }

    gob_put_uint(o, 0);
    gob_put_uint(o, 0);
}


void
cf_plugin_encode(gob_out_t *o, const cf_meta_t *m)
{
    int     last;
    size_t  i;

    for (i = 0; i < sizeof(meta_types) / sizeof(meta_types[0]); i++) {
        gob_put_type(o, &meta_types[i]);
    }

    gob_begin(o, META_PLUGIN, GOB_STRUCT);
    last = -1;
    meta_text(o, &last, 0, m->name);

    /* A struct within a struct is there also when it is all zero. */
    gob_put_field(o, &last, 1);
    meta_put_version(o, m->version);
    gob_put_field(o, &last, 2);
    meta_put_version(o, NULL);
    gob_put_field(o, &last, 3);
    meta_put_version(o, NULL);

    gob_put_field(o, &last, 4);
    gob_put_uint(o, 1);
    meta_put_command(o, m);

    gob_put_uint(o, 0);
    gob_end(o);
}
