/*
 * pcapx/pcapx.c: names of the result codes. Everything else of the library
 * has a file of its own; none of them allocates, logs or opens anything.
 */

#include "pcapx.h"


const char *
pcapx_strerror(int rc)
{
    switch (rc) {

    case PCAPX_OK:
        return "success";

    case PCAPX_AGAIN:
        return "more input is needed";

    case PCAPX_END:
        return "nothing follows";

    case PCAPX_EINVAL:
        return "invalid argument";

    case PCAPX_EFORMAT:
        return "malformed capture";

    case PCAPX_EPROFILE:
        return "capture outside of the agent profile";

    case PCAPX_ENOSPC:
        return "no space in the buffer";

    case PCAPX_ELIMIT:
        return "limit exceeded";

    default:
        return "unknown result";
    }
}
