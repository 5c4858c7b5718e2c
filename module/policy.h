/*
 * module/policy.h: what machines do not let out, as users see it. Nothing is
 * decided here: agents apply their own policy (agent/policy.h), whoever asks.
 */

#ifndef NGX_PCAP_API_POLICY_H
#define NGX_PCAP_API_POLICY_H

#include "ngx_pcap_api_module.h"


/*
 * Keeps the if_filter of an interface for the file, and what of it is the
 * machine's own exclude_filter for a message. NGX_OK, also for one that is no
 * text, or NGX_ERROR: no memory.
 */
ngx_int_t ngx_pcap_api_policy_filter(ngx_pcap_api_agent_t *a,
    ngx_pcap_api_iface_t *f, const pcapx_opt_t *opt);

/* A message of each agent in the file whose policy lets out less than asked. */
void ngx_pcap_api_policy_tell(ngx_pcap_api_ctx_t *ctx);


#endif /* NGX_PCAP_API_POLICY_H */
