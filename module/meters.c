/*
 * module/meters.c: requests per second, of addresses and of users: token
 * buckets in shared memory, so that they hold for all workers. The tables are
 * bounded; whoever floods one from many addresses still meets the limits on
 * what is under way.
 */

#include "module/shm.h"


#define NGX_PCAP_API_MAX_IDLE_MS  3600000    /* more fills any meter */


/* The meter of that key; the one least recently used gives way. */
static ngx_pcap_api_meter_t *
ngx_pcap_api_meter(ngx_pcap_api_meters_t *meters, uint64_t key)
{
    ngx_uint_t             i;
    ngx_pcap_api_meter_t  *set, *m;

    /* Fibonacci hashing: the high bits of the product are well mixed */

    set = (*meters)[(key * 0x9e3779b97f4a7c15ULL >> 32)
                    % NGX_PCAP_API_METER_SETS];
    m = set;

    for (i = 0; i < NGX_PCAP_API_METER_WAYS; i++) {
        if (set[i].key == key) {
            return &set[i];
        }

        if (m->key != 0
            && (set[i].key == 0
                || (ngx_msec_int_t) (set[i].last - m->last) < 0))
        {
            m = &set[i];
        }
    }

    m->key = key;
    m->excess = 0;
    m->last = ngx_current_msec;

    return m;
}


/* As it is now: what the time since has earned is taken off. */
static ngx_pcap_api_meter_t *
ngx_pcap_api_meter_now(ngx_pcap_api_meters_t *meters, uint64_t key,
    ngx_pcap_api_rate_t *rate)
{
    ngx_uint_t             gone;
    ngx_msec_int_t         ms;
    ngx_pcap_api_meter_t  *m;

    m = ngx_pcap_api_meter(meters, key);
    ms = (ngx_msec_int_t) (ngx_current_msec - m->last);

    if (ms > 0) {
        gone = ngx_min(ms, NGX_PCAP_API_MAX_IDLE_MS) * rate->rate;
        m->excess -= ngx_min(m->excess, gone);
        m->last = ngx_current_msec;
    }

    return m;
}


ngx_int_t
ngx_pcap_api_meter_charge(ngx_pcap_api_meters_t *meters, uint64_t key,
    ngx_pcap_api_rate_t *rate)
{
    ngx_pcap_api_meter_t  *m;

    m = ngx_pcap_api_meter_now(meters, key, rate);

    if (m->excess + 1000 > rate->burst * 1000) {
        return NGX_BUSY;
    }

    m->excess += 1000;

    return NGX_OK;
}


void
ngx_pcap_api_meter_fine(ngx_pcap_api_meters_t *meters, uint64_t key,
    ngx_pcap_api_rate_t *rate, ngx_uint_t cost)
{
    ngx_pcap_api_meter_t  *m;

    m = ngx_pcap_api_meter_now(meters, key, rate);

    /* of a whole burst that is fined, no more */

    m->excess = ngx_min(m->excess + 1000 * cost,
                        1000 * rate->burst * (cost + 1));
}


uint64_t
ngx_pcap_api_address_key(struct sockaddr *sa)
{
    uint64_t              key;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;

    if (sa->sa_family == AF_INET6) {
        sin6 = (struct sockaddr_in6 *) sa;

        if (!IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            ngx_memcpy(&key, sin6->sin6_addr.s6_addr, sizeof(uint64_t));
            return key ? key : 1;          /* ::1 and the like */
        }

        key = 0;
        ngx_memcpy(&key, &sin6->sin6_addr.s6_addr[12], 4);

        return key << 16 | 2;
    }
#endif

    if (sa->sa_family != AF_INET) {
        return 1;                          /* all of a unix socket */
    }

    sin = (struct sockaddr_in *) sa;
    key = sin->sin_addr.s_addr;

    return key << 16 | 2;
}
