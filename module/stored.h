/*
 * module/stored.h: records of the store, for rooms that look into them:
 * stored.c, file.c, follow.c. It is JSON that stored.c has found to be one.
 */

#ifndef NGX_PCAP_API_STORED_H
#define NGX_PCAP_API_STORED_H

#include "ngx_pcap_api_module.h"


/* Members; NULL where there is no such text. */
const char *ngx_pcap_api_record_text(json_t *rec, const char *name);
uint64_t ngx_pcap_api_record_number(json_t *rec, const char *name);
/* 1: that is its state. */
ngx_uint_t ngx_pcap_api_record_is(json_t *rec, const char *state);
/* 1: its packets were counted: a verdict of the API has come. */
ngx_uint_t ngx_pcap_api_record_counted(json_t *rec);
/* 1: its file is compressed, by zstd. */
ngx_uint_t ngx_pcap_api_record_is_zstd(json_t *rec);
/* 1: its file is an object of S3. */
ngx_uint_t ngx_pcap_api_record_is_object(json_t *rec);
/* 1: it is the caller's own, or of his environment and he has that scope. */
ngx_uint_t ngx_pcap_api_record_for(ngx_pcap_api_ctx_t *ctx, json_t *rec,
    ngx_str_t *scope);

/* The refusal of what is not there, or not for the caller. */
ngx_int_t ngx_pcap_api_record_none(ngx_pcap_api_ctx_t *ctx);
/* Asks for "/captures/ID" of ctx->stop_id and tail: NGX_AGAIN, NGX_ERROR. */
ngx_int_t ngx_pcap_api_record_ask(ngx_pcap_api_ctx_t *ctx,
    const char *method, const char *tail);
/*
 * The record of ctx->stop_id into ctx->stored.record: NGX_OK, NGX_AGAIN, or a
 * refusal: 404, 503.
 */
ngx_int_t ngx_pcap_api_record_get(ngx_pcap_api_ctx_t *ctx);
/*
 * A presigned URL of its object into ctx->stored.url: NGX_OK, NGX_AGAIN, or a
 * refusal. Whoever has it needs no token: it is for readers only.
 */
ngx_int_t ngx_pcap_api_record_url(ngx_pcap_api_ctx_t *ctx);


#endif /* NGX_PCAP_API_STORED_H */
