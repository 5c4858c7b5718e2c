/*
 * cli/cli.h: version, exit codes and ceilings that all rooms of pcap-cli
 * share. pcap-cli asks the API for a capture and writes it down; it never
 * captures itself, never shows a token or packet bytes, and trusts no byte
 * that a server sent.
 */

#ifndef CLI_H
#define CLI_H


/* Exit codes are part of the contract: pcap-cli(1), EXIT STATUS. */

typedef enum {
    CLI_OK = 0,          /* complete, or stopped as the user wanted */
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_PARTIAL = 3,     /* something is missing, but the file is of use */
    CLI_DENIED = 4,      /* 401, 403 */
    CLI_AGAIN = 100      /* never left with: try again with a fresh token */
} cli_exit_t;


/* What the client sends never exceeds the API's client_max_body_size. */
#define CLI_MAX_FORM_BYTES     65536

/*
 * Documents: problems, status, and a Director's list of instances (about 300
 * bytes each), for which the API has the same limit.
 */
#define CLI_MAX_REPLY_BYTES    4194304

/* The API's large_client_header_buffers take lines of 32k. */
#define CLI_MAX_TOKEN_BYTES    30000

/* 1000 targets (pcap_api_max_targets) with 8 interfaces each, and room. */
#define CLI_MAX_IFACES         8192

/* How long a stopped capture may take to end. */
#define CLI_STOP_DEADLINE_MS   10000

/* The API writes something at least every 10 s; see --timeout. */
#define CLI_SILENCE_MS         60000

#define CLI_CONNECT_MS         15000


#endif /* CLI_H */
