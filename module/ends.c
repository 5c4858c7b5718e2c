/*
 * module/ends.c: why captures end before their agents end them: the name in
 * JSON and in the audit, what the status of the capture is then, and the
 * message in the file.
 */

#include "ngx_pcap_api_module.h"


/* In the order of ngx_pcap_api_end_e. */

const ngx_pcap_api_end_t  ngx_pcap_api_ends[] = {
    { "", NGX_PCAP_API_COMPLETE, NGX_PCAP_API_MSG_UNKNOWN, "" },
    { "user", NGX_PCAP_API_STOPPED, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
      "stopped by request" },
    { "admin", NGX_PCAP_API_STOPPED, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
      "stopped by an admin" },
    { "duration", NGX_PCAP_API_LIMIT, NGX_PCAP_API_MSG_LIMIT_REACHED,
      "duration is reached" },
    { "max_bytes", NGX_PCAP_API_LIMIT, NGX_PCAP_API_MSG_LIMIT_REACHED,
      "max_bytes is reached" },
    { "max_packets", NGX_PCAP_API_LIMIT, NGX_PCAP_API_MSG_LIMIT_REACHED,
      "max_packets is reached" },
    { "idle", NGX_PCAP_API_LIMIT, NGX_PCAP_API_MSG_LIMIT_REACHED,
      "pcap_api_idle_timeout of this server is reached" },
    { "right", NGX_PCAP_API_STOPPED, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
      "the right to this capture is missing now" },
    { "token", NGX_PCAP_API_STOPPED, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
      "there was no valid token for too long" },
    { "drain", NGX_PCAP_API_STOPPED, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
      "this server is draining" },
    { "client stalled", NGX_PCAP_API_ERROR, NGX_PCAP_API_MSG_CONNECTION_ERROR,
      "the client took nothing" },
    { "client gone", NGX_PCAP_API_ERROR, NGX_PCAP_API_MSG_CONNECTION_ERROR,
      "the client has gone" },
    { "worker died", NGX_PCAP_API_ERROR, NGX_PCAP_API_MSG_CONNECTION_ERROR,
      "the worker died" },
    { "pcap_api_max_duration", NGX_PCAP_API_LIMIT,
      NGX_PCAP_API_MSG_LIMIT_REACHED,
      "pcap_api_max_duration of this server is reached" },
    { "pcap_api_max_bytes", NGX_PCAP_API_LIMIT,
      NGX_PCAP_API_MSG_LIMIT_REACHED,
      "pcap_api_max_bytes of this server is reached" },
    { "pcap_api_max_packets", NGX_PCAP_API_LIMIT,
      NGX_PCAP_API_MSG_LIMIT_REACHED,
      "pcap_api_max_packets of this server is reached" },
    { "continued", NGX_PCAP_API_STOPPED, NGX_PCAP_API_MSG_CAPTURE_STOPPED,
      "its successor has its place" },
    { "server failed", NGX_PCAP_API_ERROR, NGX_PCAP_API_MSG_CONNECTION_ERROR,
      "this server could not go on" },
    { "unattended", NGX_PCAP_API_LIMIT, NGX_PCAP_API_MSG_LIMIT_REACHED,
      "pcap_api_store_unattended of this server is reached" }
};


ngx_pcap_api_end_e
ngx_pcap_api_end_of(ngx_pcap_api_ctx_t *ctx)
{
    if (ctx->finished || ctx->end != NGX_PCAP_API_END_NONE) {
        return ctx->end;
    }

    return ctx->failed ? NGX_PCAP_API_END_FAILED : NGX_PCAP_API_END_CLIENT;
}
