/*
 * agent/ending.c: see ending.h. A number that another process wrote may be
 * anything: beyond the table it is the first row.
 */

#include "ending.h"


static const ending_text_t  ending_texts[ENDING_COUNT] = {
    [ENDING_NONE] = { "unknown", "it ends", PCAPX_END_UNSAID },
    [ENDING_FINISHED] = { "finished", "the peer has finished",
                          PCAPX_END_UNSAID },
    [ENDING_PEER] = { "peer_gone", "the peer is gone", PCAPX_END_UNSAID },
    [ENDING_STALLED] = { "peer_stalled", "the peer takes nothing",
                         PCAPX_END_UNSAID },
    [ENDING_DRAINED] = { "drained", "draining", PCAPX_END_UNSAID },
    [ENDING_PARENT] = { "agent_gone", "the agent is gone",
                        PCAPX_END_UNSAID },
    [ENDING_OFF] = { "switched_off", "captures were switched off (off_file)",
                     PCAPX_END_OFF },
    [ENDING_CONTAINER] = { "container_gone", "the container is gone",
                           PCAPX_END_CONTAINER },
    [ENDING_INTERFACE] = { "interface_gone", "an interface is gone",
                           PCAPX_END_UNSAID },
    [ENDING_FEEDBACK] = { "feedback", "LIMIT_REACHED feedback: the capture's "
                          "input follows its own output; exclude that "
                          "traffic", PCAPX_END_FEEDBACK },
    [ENDING_BANDWIDTH] = { "max_bandwidth", "LIMIT_REACHED max_bandwidth: "
                           "more is captured than may be sent",
                           PCAPX_END_BANDWIDTH },
    [ENDING_BANDWIDTH_TOTAL] = { "max_bandwidth_total", "LIMIT_REACHED "
                                 "max_bandwidth_total: all captures together "
                                 "send too much, this one most",
                                 PCAPX_END_BANDWIDTH_TOTAL },
    [ENDING_CPU] = { "max_cpu_percent", "LIMIT_REACHED max_cpu_percent: it "
                     "takes too much of a core", PCAPX_END_CPU },
    [ENDING_KILLED] = { "killed", "killed", PCAPX_END_UNSAID }
};


const ending_text_t *
ending_text(unsigned ending)
{
    return &ending_texts[ending < ENDING_COUNT ? ending : ENDING_NONE];
}
