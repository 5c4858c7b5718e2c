/*
 * pcapx/version.h: the one place that holds the version of the project and
 * the level at which agent, API and command line understand one another.
 * A peer with a lower level than one's own is refused by the caller.
 */

#ifndef PCAPX_VERSION_H
#define PCAPX_VERSION_H


#define PCAP_VERSION              "0.1.0"
#define PCAP_COMPATIBILITY_LEVEL  1


#endif /* PCAPX_VERSION_H */
