/*
 * store/conf_int.h: between conf.c, which reads keys by a table, and
 * conf_s3.c, which has a table of its own for the object "s3".
 */

#ifndef STORE_CONF_INT_H
#define STORE_CONF_INT_H

#include <jansson.h>
#include <stddef.h>

#include "conf.h"


typedef enum {
    CONF_TEXT = 0,
    CONF_NUMBER,
    CONF_SIZE,
    CONF_TIME,
    CONF_YES                 /* true or false; kept as 1 or 0 */
} conf_type_t;

/* Not set yet: no number may be that large. */
#define CONF_UNSET     UINT64_MAX

#define CONF_SIZE_MAX  (UINT64_C(1) << 53)             /* pcapx_parse_size() */
#define CONF_TIME_MAX  (UINT64_C(3650) * 86400 * 1000)

typedef struct {
    const char   *key;
    conf_type_t   type;
    size_t        offset;
    uint64_t      min;
    uint64_t      max;
    const char   *dflt;      /* as it would be written; NULL: none */
    const char   *help;
} conf_key_t;

#define conf_field(type, conf, k)                                            \
    ((type *) (void *) ((char *) (conf) + (k)->offset))


/* Marks all numbers of a table as not set. */
void conf_clear(conf_t *conf, const conf_key_t *keys);

/* Gives what is not set its default. 0, or -1 with a sentence in err. */
int conf_defaults(conf_t *conf, const conf_key_t *keys, char *err);

/* Frees the texts of a table. */
void conf_drop(conf_t *conf, const conf_key_t *keys);

/* Is there no value yet? */
int conf_unset(conf_t *conf, const conf_key_t *k);

/* Takes the value of a key. 0, or -1 with a sentence in err. */
int conf_json(conf_t *conf, const conf_key_t *k, const json_t *value,
    char *err);

/* The key of that name of a table, or NULL. */
const conf_key_t *conf_find(const conf_key_t *keys, const char *key);

/* Prints what keys there are. */
void conf_print(const conf_key_t *keys);


/* The keys within "s3". */
extern const conf_key_t  conf_s3_keys[];

/* Takes the object. 0, or -1 with a sentence in err. */
int conf_s3_object(conf_t *conf, json_t *object, char *err);

/* Defaults, what is missing, and what is not as it must be. As above. */
int conf_s3_check(conf_t *conf, char *err);


#endif /* STORE_CONF_INT_H */
