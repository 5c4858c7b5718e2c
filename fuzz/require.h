/*
 * fuzz/require.h: what must be so whatever the input was. A target aborts when
 * it is not, and libFuzzer keeps the input.
 */

#ifndef FUZZ_REQUIRE_H
#define FUZZ_REQUIRE_H

#include <stdlib.h>


static inline void
require(int cond)
{
    if (!cond) {
        abort();
    }
}

#endif
