/*
 * tools/san_options.c: what the sanitizers do in build/san/nginx when the
 * environment says nothing. Linked into that nginx only (build-nginx-san).
 * A finding ends the process by a signal, which nginx's master logs as an
 * alert, and every functional test fails on an alert.
 */

#include <stddef.h>
#include <stdint.h>


/* nginx.c: ngx_uint_t; weak, as it is not in nginx's configure tests. */
extern uintptr_t  ngx_process __attribute__((weak));

#define NGX_PROCESS_WORKER   3    /* ngx_process_cycle.h */


const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__lsan_default_suppressions(void);
int __lsan_is_turned_off(void);


/* Every dynamic module has an ngx_module_names of its own, on purpose. */
const char *
__asan_default_options(void)
{
    return "abort_on_error=1:detect_stack_use_after_return=1"
           ":strict_string_checks=1:detect_odr_violation=0";
}


const char *
__ubsan_default_options(void)
{
    return "print_stacktrace=1:abort_on_error=1";
}


/*
 * nginx's event tables live until the process ends, and so do the TLS
 * sessions that its upstream code keeps for reuse (the module touches no SSL
 * object).
 */
const char *
__lsan_default_suppressions(void)
{
    return "leak:ngx_event_process_init\nleak:libssl.so\n";
}


/* Masters and "nginx -s" leave their configuration behind when they exit. */
int
__lsan_is_turned_off(void)
{
    return &ngx_process == NULL || ngx_process != NGX_PROCESS_WORKER;
}
