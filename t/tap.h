/*
 * t/tap.h: the few lines of TAP that the unit tests need. Header only;
 * a test counts with ok() and ends with `return tap_done();`.
 */

#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdio.h>


static int  tap_run_;
static int  tap_failed_;


/* One test point; fmt names it. Returns cond, so that callers can bail. */
static inline int __attribute__((format(printf, 2, 3)))
ok(int cond, const char *fmt, ...)
{
    va_list  ap;

    tap_run_++;

    if (!cond) {
        tap_failed_++;
    }

    printf("%sok %d - ", cond ? "" : "not ", tap_run_);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    fflush(stdout);

    return cond;
}


/* Prints the plan; the exit status of the test program. */
static inline int
tap_done(void)
{
    printf("1..%d\n", tap_run_);

    return tap_failed_ != 0 || tap_run_ == 0;
}


#endif /* TAP_H */
