/*
 * store/api.h: what nginx asks (docs/STORE.md): a request goes in, the whole
 * answer comes out. It knows no socket. Who may ask for what is decided by
 * the module; here a request is only held to its form.
 */

#ifndef STORE_API_H
#define STORE_API_H

#include <stddef.h>

#include "scgi.h"
#include "store.h"


/*
 * Does what the request wants. Returns the answer with its header, the
 * caller's to free, and its length in *len; NULL: no memory.
 */
char *api_answer(store_t *s, const scgi_t *req, size_t *len);

/* The answer to something that is no request. */
char *api_refusal(int status, const char *detail, size_t *len);


#endif /* STORE_API_H */
