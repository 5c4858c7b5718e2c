/*
 * pcapx/pcapx.h: result codes, format constants and limits of the capture
 * library.
 *
 * The library reads, writes, merges and validates; it includes nothing but
 * libc, opens no file, logs nothing, keeps no global state and allocates
 * nothing per record. All memory comes from the caller.
 */

#ifndef PCAPX_H
#define PCAPX_H

#include <stddef.h>
#include <stdint.h>


/* Results. Everything negative is an error, PCAPX_AGAIN is not. */

#define PCAPX_OK          0
#define PCAPX_AGAIN       1   /* more input is needed */
#define PCAPX_END         2   /* nothing follows */
#define PCAPX_EINVAL     -1   /* a text or an argument is not allowed */
#define PCAPX_EFORMAT    -2   /* not a well-formed capture */
#define PCAPX_EPROFILE   -3   /* well-formed, but outside the agent profile */
#define PCAPX_ENOSPC     -4   /* does not fit into the caller's buffer */
#define PCAPX_ELIMIT     -5   /* over a limit the caller has set */


/* Limits of this project (design.md section 5). */

#define PCAPX_MAX_SNAPLEN      262144
#define PCAPX_MAX_FILTER_LEN   5000
#define PCAPX_MAX_IFNAME_LEN   15      /* IFNAMSIZ - 1 */
#define PCAPX_MAX_INTERFACES   8       /* per agent */
#define PCAPX_MAX_EXCLUDES     32
#define PCAPX_MAX_INSTANCE_LEN 128     /* GROUP/NAME */
#define PCAPX_MAX_DEPLOYMENT_LEN 255
#define PCAPX_MAX_PROCESS_LEN  48      /* its type; in names */
#define PCAPX_MAX_INDEX        9999    /* of an app's instance */

/* An EPB without options around a packet of the largest snaplen. */
#define PCAPX_MAX_EPB_LEN      (32 + PCAPX_MAX_SNAPLEN)


/* Block types (draft-ietf-opsawg-pcapng, section 11.1). */

#define PCAPX_BT_SHB   0x0A0D0D0Au
#define PCAPX_BT_IDB   0x00000001u
#define PCAPX_BT_OPB   0x00000002u    /* the obsolete packet block */
#define PCAPX_BT_SPB   0x00000003u
#define PCAPX_BT_NRB   0x00000004u
#define PCAPX_BT_ISB   0x00000005u
#define PCAPX_BT_EPB   0x00000006u

/* What the scanner reports for classic pcap; never on the wire. */

#define PCAPX_BT_PCAP_HEADER   0xFFFF0001u
#define PCAPX_BT_PCAP_RECORD   0xFFFF0002u

#define PCAPX_BYTE_ORDER_MAGIC   0x1A2B3C4Du
#define PCAPX_PCAP_MAGIC_USEC    0xA1B2C3D4u
#define PCAPX_PCAP_MAGIC_NSEC    0xA1B23C4Du


/* Option codes (same draft, sections 3.5 and 4). */

#define PCAPX_OPT_END              0
#define PCAPX_OPT_COMMENT          1
#define PCAPX_SHB_HARDWARE         2
#define PCAPX_SHB_OS               3
#define PCAPX_SHB_USERAPPL         4
#define PCAPX_IF_NAME              2
#define PCAPX_IF_DESCRIPTION       3
#define PCAPX_IF_TSRESOL           9
#define PCAPX_IF_FILTER           11
#define PCAPX_IF_OS               12
#define PCAPX_IF_TSOFFSET         14
#define PCAPX_ISB_STARTTIME        2
#define PCAPX_ISB_ENDTIME          3
#define PCAPX_ISB_IFRECV           4
#define PCAPX_ISB_IFDROP           5
#define PCAPX_ISB_FILTERACCEPT     6
#define PCAPX_ISB_OSDROP           7
#define PCAPX_ISB_USRDELIV         8

/* Link types (tcpdump.org/linktypes) that the code has to name. */

#define PCAPX_LINKTYPE_ETHERNET    1
#define PCAPX_LINKTYPE_RAW         101
#define PCAPX_LINKTYPE_LINUX_SLL   113
#define PCAPX_LINKTYPE_LINUX_SLL2  276


/*
 * A short English name of a result code, for logs and tests; never NULL.
 */
const char *pcapx_strerror(int rc);


#endif /* PCAPX_H */
