/*
 * cli/sig.h: signals as bytes in a pipe, so that the loop that waits for the
 * network sees them too.
 */

#ifndef CLI_SIG_H
#define CLI_SIG_H


/*
 * SIGINT, SIGTERM and SIGHUP write to a pipe from now on; SIGPIPE and
 * SIGXFSZ become errors of write(). Returns the descriptor to read from
 * (non-blocking), or -1 with errno.
 */
int sig_open(void);

/* How many signals came since the last call. */
unsigned sig_read(int fd);

/* Back to the defaults, but for what was ignored before. */
void sig_close(int fd);


#endif /* CLI_SIG_H */
