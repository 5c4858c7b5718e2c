/*
 * t/store_quota.c: sums that several processes add to: never more than the
 * quota, whoever asks at once, and all of it can be had.
 */

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/quota.h"
#include "t/tap.h"


#define PROCESSES  8
#define QUOTA      1000003
#define MOVES      20000
#define KILLS      300


/* In memory that two processes share. */
typedef struct {
    _Atomic unsigned   n;
    _Atomic int        stop;
} asked_t;


static void
alone(void)
{
    int       a, b, c;
    quota_t  *q;

    q = quota_new(2, 100, 60);
    a = quota_take(q, 1, 0);
    b = quota_take(q, 2, 5);
    c = quota_take(q, 3, 0);
    ok(a == 0 && b == 1 && c == -1, "two slots");

    ok(quota_ask(q, a, 60) == QUOTA_FREE, "all that an owner may have");
    ok(quota_ask(q, a, 1) == QUOTA_OWNER, "and no more");
    ok(quota_ask(q, b, 35) == QUOTA_FREE, "all there is");
    ok(quota_ask(q, b, 1) == QUOTA_ALL, "and no more");
    ok(quota_running(q, 0) == 100 && quota_running(q, 2) == 40,
       "what was refused does not count");

    quota_give(q, a);
    ok(quota_running(q, 0) == 40 && quota_ask(q, b, 1) == QUOTA_ALL,
       "what was in a slot rests, and counts for all");
    quota_rest(q, 0);
    quota_rest_owner(q, 2, 20);
    ok(quota_ask(q, b, 1) == QUOTA_OWNER, "and for its owner");
    quota_rest_owner(q, 1, 20);
    quota_rest_owner(q, 2, 19);
    ok(quota_ask(q, b, 1) == QUOTA_FREE, "no other one's");

    quota_set(q, b, 7);
    ok(quota_running(q, 0) == 7, "what there is at last");
    a = quota_take(q, 2, 50);
    ok(quota_running(q, 2) == 57 && quota_ask(q, a, 51) == QUOTA_OWNER,
       "two of one owner are one sum");

    quota_free(q);
}


/* As many as there is room for, by bits of a size of its own. */

static void
take(quota_t *q, int slot, unsigned bit)
{
    for ( ; bit > 0; bit /= 2) {
        while (quota_ask(q, slot, bit) == QUOTA_FREE) {
            /* void */
        }
    }

    _exit(0);
}


static void
together(void)
{
    int       slot;
    quota_t  *q;
    unsigned  i, n;
    uint64_t  sum;

    q = quota_new(PROCESSES, QUOTA, QUOTA);

    for (i = 0, n = 0; i < PROCESSES; i++) {
        slot = quota_take(q, 1 + i % 2, 0);

        if (fork() == 0) {
            take(q, slot, 64 + i);
        }
    }

    while (wait(NULL) > 0) {
        n++;
    }

    sum = quota_running(q, 0);
    ok(n == PROCESSES && sum <= QUOTA && sum > QUOTA - 100,
       "%u at once took %llu of %d", n, (unsigned long long) sum, QUOTA);

    quota_free(q);
}


/*
 * Another process asks for one byte and gets the same answer each time, while
 * this one moves slots; until both have done enough of it, or it was another.
 */

static void
against(quota_t *q, int slot, quota_answer_t answer, void (*move)(quota_t *),
    const char *name)
{
    int         status;
    pid_t       pid;
    unsigned    n;
    asked_t    *asked;

    asked = mmap(NULL, sizeof(*asked), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid = fork();

    if (pid == 0) {
        for ( ; asked->stop == 0; asked->n++) {
            if (quota_ask(q, slot, 1) != answer) {
                _exit(1);
            }

            if (answer == QUOTA_FREE) {
                quota_set(q, slot, 0);
            }
        }

        _exit(0);
    }

    for (n = 0; n < MOVES || asked->n < MOVES; n++) {
        if (waitpid(pid, &status, WNOHANG) != 0) {
            break;
        }

        move(q);
    }

    if (n >= MOVES && asked->n >= MOVES) {
        asked->stop = 1;
        waitpid(pid, &status, 0);
    }

    ok(asked->stop && status == 0, "%s (%u moves, %u answers)", name, n,
       asked->n);

    munmap(asked, sizeof(*asked));
    quota_free(q);
}


static void
move_full(quota_t *q)
{
    quota_give(q, 1);
    (void) quota_take(q, 1, 100);
    quota_rest_owner(q, 1, 0);
}


static void
move_out(quota_t *q)
{
    quota_set(q, 1, 100);
    quota_give(q, 1);
    quota_rest_owner(q, 1, 0);
    quota_rest(q, 0);
    (void) quota_take(q, 1, 0);
}


/* One byte too many; one that just fits. */

static void
moved(void)
{
    quota_t  *q;

    q = quota_new(2, QUOTA, 100);
    (void) quota_take(q, 1, 0);
    (void) quota_take(q, 1, 100);
    against(q, 0, QUOTA_OWNER, move_full, "what moves is always counted");

    q = quota_new(2, QUOTA, 101);
    (void) quota_take(q, 1, 0);
    (void) quota_take(q, 1, 0);
    against(q, 0, QUOTA_FREE, move_out, "nothing is counted twice");
}


/* Whoever is killed while he asks leaves no lock and no half sum. */

static void
killed(void)
{
    int          slot;
    pid_t        pid;
    quota_t     *q;
    unsigned     i;
    asked_t     *asked;

    q = quota_new(1, QUOTA, QUOTA);
    slot = quota_take(q, 1, 0);
    asked = mmap(NULL, sizeof(*asked), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    for (i = 0; i < KILLS; i++) {
        asked->n = 0;
        pid = fork();

        if (pid == 0) {
            for ( ;; asked->n++) {
                (void) quota_ask(q, slot, 7);
                quota_set(q, slot, 0);
            }
        }

        while (asked->n < 10 + i) {
            sched_yield();
        }

        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);

        if (quota_running(q, 0) % 7 != 0) {
            break;
        }
    }

    ok(i == KILLS, "%u were killed while they asked", i);

    munmap(asked, sizeof(*asked));
    quota_free(q);
}


int
main(void)
{
    alone();
    together();
    moved();
    killed();

    return tap_done();
}
