/*
 * store/child.h: what each new process of the store does first: all that is
 * the store's goes, but for what it works with.
 */

#ifndef STORE_CHILD_H
#define STORE_CHILD_H

#include <sys/types.h>


/*
 * Makes a child of the process parent, and ends it should that have gone. It
 * gets SIGTERM when the parent ends; that is left blocked if it is the signal
 * given as waits, and ends it at once with 0. Of descriptors there remain
 * stderr and these two, which get other numbers.
 */
void child_begin(pid_t parent, int waits, int *folder, int *report);


#endif /* STORE_CHILD_H */
