/*
 * module/ngx_pcap_api_compat.h: everything that differs between the nginx
 * releases this module is built against (1.22 and later). No other file
 * looks at nginx_version.
 */

#ifndef NGX_PCAP_API_COMPAT_H
#define NGX_PCAP_API_COMPAT_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* nginx >= 1.23.0 chains repeated headers through ngx_table_elt_t.next. */
#if (nginx_version >= 1023000)
#define ngx_pcap_api_header_end(h)  ((h)->next = NULL)
#else
#define ngx_pcap_api_header_end(h)
#endif


#endif /* NGX_PCAP_API_COMPAT_H */
