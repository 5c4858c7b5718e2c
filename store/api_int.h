/*
 * store/api_int.h: between api.c, api_create.c and api_url.c. An answer is
 * built up in one struct: its status and a JSON object.
 */

#ifndef STORE_API_INT_H
#define STORE_API_INT_H

#include <jansson.h>

#include "store.h"


typedef struct {
    int       status;
    json_t   *body;                  /* NULL: no memory */
} api_t;


/* A refusal: {"detail":"..."}. Returns -1. */
int api_refuse(api_t *a, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A record as it is shown. NULL: no memory. */
json_t *api_record(const store_t *s, const record_t *rec);

/* GET /captures/ID/url: of a capture that has ended. */
void api_url(const store_t *s, const record_t *rec, api_t *a);

/* POST /captures. */
void api_create(store_t *s, const char *body, api_t *a);


#endif /* STORE_API_INT_H */
