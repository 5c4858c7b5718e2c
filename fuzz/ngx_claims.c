/*
 * fuzz/ngx_claims.c: any bytes as what a token endpoint answers. It is taken
 * apart as module/auth.c does; an identity that comes of it has clean texts
 * of bounded length, a name, an end in the future, and was meant for us. The
 * first byte says what the configuration asks of a token.
 */

#include "fuzz/ngx/core.h"

#include <jansson.h>


#define WANT_ISSUER    0x01
#define WANT_AUDIENCE  0x02
#define WANT_KEYS      0x04


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
configure(ngx_pcap_api_loc_conf_t *conf, uint8_t wants)
{
    if (wants & WANT_ISSUER) {
        ngx_str_set(&conf->issuer, "https://uaa/oauth/token");
    }

    if (wants & WANT_AUDIENCE) {
        ngx_str_set(&conf->audience, "pcap");
    }

    if (wants & WANT_KEYS) {
        ngx_str_set(&conf->token_keys, "/_pcap_token_keys");
    }
}


/* Found again with other means than claims.c has. */
static void
meant_for_us(json_t *doc, const ngx_pcap_api_loc_conf_t *conf)
{
    size_t       i;
    json_t      *v;
    const char  *s;
    ngx_uint_t   found;

    if (conf->issuer.len) {
        s = json_string_value(json_object_get(doc, "iss"));
        fuzz_require(s && strcmp(s, (char *) conf->issuer.data) == 0);
    }

    if (conf->audience.len == 0) {
        return;
    }

    v = json_object_get(doc, "aud");
    s = json_string_value(v);
    found = s && strcmp(s, (char *) conf->audience.data) == 0;

    for (i = 0; i < json_array_size(v); i++) {
        s = json_string_value(json_array_get(v, i));
        found |= s && strcmp(s, (char *) conf->audience.data) == 0;
    }

    fuzz_require(found);
}


static void
judge(json_t *doc, const ngx_pcap_api_loc_conf_t *conf,
    const ngx_pcap_api_identity_t *id)
{
    size_t  i;

    fuzz_require(id->active);
    fuzz_require(id->id.len > 0 && id->name.len > 0);
    fuzz_require_clean(&id->id, NGX_PCAP_API_USER_LEN);
    fuzz_require_clean(&id->name, NGX_PCAP_API_USER_LEN);
    fuzz_require(id->exp == 0 || id->exp > FUZZ_NGX_NOW);
    fuzz_require(id->exp != 0 || conf->token_keys.len == 0);
    fuzz_require(id->scopes.len <= NGX_PCAP_API_MAX_SCOPES);

    for (i = 0; i < id->scopes.len; i++) {
        fuzz_require(id->scopes.data[i] >= ' ');
    }

    meant_for_us(doc, conf);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t                   *doc;
    ngx_int_t                 rc;
    json_error_t              error;
    static fuzz_ngx_t         f;
    ngx_pcap_api_identity_t   id;

    if (size == 0 || size > NGX_PCAP_API_MAX_REPLY) {
        return 0;
    }

    doc = json_loadb((const char *) data + 1, size - 1,
                     JSON_REJECT_DUPLICATES, &error);

    if (json_is_object(doc)) {
        fuzz_ngx_begin(&f);
        configure(&f.conf, data[0]);
        ngx_memzero(&id, sizeof(id));

        rc = ngx_pcap_api_read_identity(&f.request, doc, &f.conf, &id);
        fuzz_require(rc == NGX_OK || rc == NGX_DECLINED);
        fuzz_require((rc == NGX_OK) == (id.active == 1));

        if (rc == NGX_OK) {
            judge(doc, &f.conf, &id);
        }

        fuzz_ngx_end(&f);
    }

    json_decref(doc);

    return 0;
}
