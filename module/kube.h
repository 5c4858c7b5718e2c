/*
 * module/kube.h: the types of Kubernetes: what a location says of an API
 * server, and what a request learns from it. Included by
 * ngx_pcap_api_module.h. Sources: kubernetes/api authentication/v1,
 * authorization/v1, core/v1; tigera/api projectcalico/v3.
 */

#ifndef NGX_PCAP_API_KUBE_H
#define NGX_PCAP_API_KUBE_H


#define NGX_PCAP_API_KUBE_NAME       253     /* bytes of a name (RFC 1123) */
#define NGX_PCAP_API_KUBE_NAMESPACE  63      /* of a namespace */
#define NGX_PCAP_API_KUBE_FILE       255     /* of a file's name */
#define NGX_PCAP_API_KUBE_TOKEN      16384   /* of a service account's token */
#define NGX_PCAP_API_KUBE_CAPTURE_MAX  (8 * 1024 * 1024)  /* as JSON */
#define NGX_PCAP_API_KUBE_NODES      5000    /* of a PacketCapture */
#define NGX_PCAP_API_KUBE_MISSING    1000    /* names that can be none */
#define NGX_PCAP_API_KUBE_MS         5000    /* for all questions of a phase */

typedef enum {
    NGX_PCAP_API_KUBE_TOKEN_REVIEW = 0,
    NGX_PCAP_API_KUBE_AUTH_REVIEW,           /* projectcalico.org/v3 */
    NGX_PCAP_API_KUBE_NO_REVIEW              /* tokens of OIDC only */
} ngx_pcap_api_kube_review_e;

/* A token of an issuer of its own; its keys are those of the location. */

typedef struct {
    ngx_uint_t                 on;           /* unsigned  on:1 */
    ngx_str_t                  user_claim;
    ngx_str_t                  groups_claim; /* or empty */
    ngx_str_t                  user_prefix;
    ngx_str_t                  groups_prefix;
} ngx_pcap_api_kube_oidc_t;

/* The agent of a node, by the configuration. */

typedef struct {
    ngx_str_t                  node;
    ngx_pcap_api_target_t      target;
} ngx_pcap_api_kube_agent_t;

/* Of a location; what is below platform is the worker's, as is token. */

typedef struct {
    ngx_pcap_api_platform_t    platform;     /* the home cluster */
    ngx_str_t                  forward;      /* for others; or empty */
    ngx_str_t                  token_file;
    ngx_str_t                  token;        /* the worker's; has room for
                                                KUBE_TOKEN bytes */
    ngx_msec_t                 token_at;     /* when it was read */
    ngx_str_t                  pods;         /* of agents: their namespace */
    ngx_str_t                  selector;     /* and labels; or empty */
} ngx_pcap_api_kube_api_t;

typedef struct {
    ngx_pcap_api_kube_api_t   *api;          /* NULL: off */
    ngx_uint_t                 review;       /* ngx_pcap_api_kube_review_e */
    ngx_array_t               *audiences;    /* ngx_str_t; or NULL */
    ngx_pcap_api_kube_oidc_t   oidc;
    ngx_array_t               *agents;       /* ngx_pcap_api_kube_agent_t */
    ngx_flag_t                 client_cert;  /* is as good as a token */
    ngx_flag_t                 files;        /* this location serves them */
    ngx_int_t                  downloads;    /* of a user at once */
} ngx_pcap_api_kube_conf_t;

/* A node that has files of a capture, and the agent that serves them. */

typedef struct {
    ngx_str_t                  node;
    ngx_str_t                 *files;        /* checked names, no "/" */
    ngx_uint_t                 nfiles;
    ngx_uint_t                 named;        /* the same with wrong names */
    ngx_pcap_api_target_t      target;       /* addr, tls_name; unavailable */
} ngx_pcap_api_kube_node_t;

/* What cannot be sent: a node, or a file of it (else empty). */

typedef struct {
    ngx_str_t                  node;         /* both harmless */
    ngx_str_t                  file;
    const char                *why;
} ngx_pcap_api_kube_missing_t;

/* What a path asks for. */

typedef enum {
    NGX_PCAP_API_KUBE_NONE = 0,
    NGX_PCAP_API_KUBE_ZIP,
    NGX_PCAP_API_KUBE_MERGED,
    NGX_PCAP_API_KUBE_DELETE
} ngx_pcap_api_kube_what_e;

/*
 * Of a request. A question has $pcap_kube_method, $pcap_kube_uri (ask.uri),
 * $pcap_kube_body; it goes to the cluster if away is set, with the caller's
 * token if ask.bearer is.
 */

typedef struct {
    ngx_pcap_api_ask_t         ask;
    ngx_str_t                  method;
    ngx_str_t                  body;         /* JSON, or empty */
    ngx_uint_t                 next;         /* of what is asked in turn */
    json_t                    *user;         /* who asks: a UserInfo */
    json_t                    *forwarder;    /* who asks for him, or NULL */
    ngx_array_t                claims;       /* what he says of him */
    ngx_str_t                  cluster;      /* X-CLUSTER-ID, or empty: home */
    ngx_uint_t                 what;         /* ngx_pcap_api_kube_what_e */
    ngx_str_t                  ns;
    ngx_str_t                  name;
    json_t                    *object;       /* the PacketCapture */
    json_t                    *removed;      /* its status.files, then */
    ngx_array_t                nodes;        /* ngx_pcap_api_kube_node_t */
    ngx_uint_t                 node;         /* that is at work; */
    ngx_uint_t                 index;        /* a file of it */
    ngx_pcap_api_pull_t       *removal;      /* of that one */
    ngx_pcap_api_retry_t       retry;        /* of it */
    ngx_array_t                missing;      /* ngx_pcap_api_kube_missing_t */
    ngx_str_t                  more;         /* of a list: its continue */
    ngx_uint_t                 tries;
    ngx_uint_t                 share;        /* its place + 1, or 0 */
    unsigned                   away:1;
    unsigned                   cert:1;       /* in place of a token */
    unsigned                   asked:1;      /* this phase has begun */
    unsigned                   reviewed:1;
    unsigned                   told:1;       /* to the audit log */
} ngx_pcap_api_kube_ctx_t;


#endif /* NGX_PCAP_API_KUBE_H */
