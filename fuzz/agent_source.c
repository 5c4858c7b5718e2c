/*
 * fuzz/agent_source.c: any bytes as a file that the agent merges. What it
 * takes for a packet must lie inside of what was read and be what the stream
 * relies on; it ends, and each packet takes bytes of the file.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/source.h"
#include "fuzz/require.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int        rc;
    size_t     n;
    source_t   s;
    unsigned   sum;

    static int  fd = -1;

    if (fd == -1) {
        fd = memfd_create("source", 0);
        require(fd != -1);
    }

    require(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0
            && write(fd, data, size) == (ssize_t) size
            && lseek(fd, 0, SEEK_SET) == 0);

    sum = 0;
    require(source_open(&s, fd, size) == 0);

    for (n = 0; (rc = source_next(&s)) == 1; n++) {
        require(s.head.data >= s.buf
                && s.head.data + s.head.caplen <= s.buf + s.len);
        require(s.head.caplen <= PCAPX_MAX_SNAPLEN
                && s.head.caplen <= s.head.origlen);
        require(s.head.ts_ns <= INT64_MAX);
        require(n < size);
        (void) source_linktype(&s);

        if (s.head.caplen) {
            sum += s.head.data[s.head.caplen - 1];
        }
    }

    require(rc == 0 || s.why[0]);
    require(sum <= 255 * n);
    source_close(&s);

    return 0;
}
