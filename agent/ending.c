/*
 * agent/ending.c: see ending.h. A number that another process wrote may be
 * anything: beyond the table it is the first row.
 */

#include "ending.h"


#define NEWS     PCAPX_END_UNSAID, AGENT_LOG_INFO
#define LIMIT(e) e, AGENT_LOG_WARN

static const ending_text_t  ending_texts[ENDING_COUNT] = {
    [ENDING_NONE] = { "unknown", "it ends", NEWS },
    [ENDING_FINISHED] = { "finished", "the peer has finished", NEWS },
    [ENDING_PEER] = { "peer_gone", "the peer is gone", NEWS },
    [ENDING_STALLED] = { "peer_stalled", "the peer takes nothing", NEWS },
    [ENDING_DRAINED] = { "drained", "draining", NEWS },
    [ENDING_PARENT] = { "agent_gone", "the agent is gone", NEWS },
    [ENDING_OFF] = { "switched_off", "captures were switched off (off_file)",
                     LIMIT(PCAPX_END_OFF) },
    [ENDING_CONTAINER] = { "container_gone", "the container is gone",
                           PCAPX_END_CONTAINER, AGENT_LOG_INFO },
    [ENDING_INTERFACE] = { "interface_gone", "an interface is gone", NEWS },
    [ENDING_FEEDBACK] = { "feedback", "LIMIT_REACHED feedback: the capture's "
                          "input follows its own output; exclude that "
                          "traffic", LIMIT(PCAPX_END_FEEDBACK) },
    [ENDING_BANDWIDTH] = { "max_bandwidth", "LIMIT_REACHED max_bandwidth: "
                           "more is captured than may be sent",
                           LIMIT(PCAPX_END_BANDWIDTH) },
    [ENDING_BANDWIDTH_TOTAL] = { "max_bandwidth_total", "LIMIT_REACHED "
                                 "max_bandwidth_total: all captures together "
                                 "send too much, this one most",
                                 LIMIT(PCAPX_END_BANDWIDTH_TOTAL) },
    [ENDING_CPU] = { "max_cpu_percent", "LIMIT_REACHED max_cpu_percent: it "
                     "takes too much of a core", LIMIT(PCAPX_END_CPU) },
    [ENDING_KILLED] = { "killed", "killed", NEWS }
};


const ending_text_t *
ending_text(unsigned ending)
{
    return &ending_texts[ending < ENDING_COUNT ? ending : ENDING_NONE];
}
