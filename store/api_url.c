/*
 * store/api_url.c: GET /captures/ID/url: a URL of an object that whoever has
 * it may get for a while. Signing needs no network, so nothing waits here.
 */

#include <stdlib.h>

#include "api_int.h"


#define API_URL_S  300


void
api_url(const store_t *s, const record_t *rec, api_t *a)
{
    char       *url, err[S3_ERR_LEN];
    s3_t       *s3;
    s3_conf_t   conf;

    if (rec->state == RECORD_GONE || rec->state == RECORD_FAILED) {
        (void) api_refuse(a, 404, "the capture has no file (any more)");
        return;
    }

    if (rec->place != RECORD_S3 || s->nuploads == 0) {
        (void) api_refuse(a, 409, rec->place != RECORD_S3
                          ? "the capture is not in S3 (yet)"
                          : "this store has no S3 (any more)");
        return;
    }

    conf = conf_s3(s->conf);
    s3 = s3_open(&conf, err);
    url = s3 ? s3_url(s3, rec->object, rec->file, API_URL_S) : NULL;
    s3_close(s3);

    if (url == NULL) {
        (void) api_refuse(a, 500, "out of memory");
        return;
    }

    a->body = json_pack("{s:s,s:i}", "url", url, "expires", API_URL_S);
    free(url);
}
