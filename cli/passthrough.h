/*
 * cli/passthrough.h: as `bosh`: finds out whether `bosh pcap` is meant, and
 * hands everything else over to the bosh CLI by exec: arguments, exit code,
 * signals and terminal are then its own.
 */

#ifndef CLI_PASSTHROUGH_H
#define CLI_PASSTHROUGH_H


typedef enum {
    CALLED_PCAP_CLI = 0,     /* pcap-cli, or any other name */
    CALLED_BOSH_PCAP,        /* bosh-pcap */
    CALLED_BOSH              /* bosh */
} called_t;


/* By which name was this program called? argv0 may be NULL. */
called_t passthrough_called(const char *argv0);

/*
 * The place of the word `pcap` in argv, behind nothing but global flags of
 * the bosh CLI and their values; 0 when another command (or help or the
 * version) is meant.
 */
int passthrough_find(int argc, char **argv);

/*
 * Replaces this process by the next `bosh` on PATH that is not this program
 * (by device and inode), with argv unchanged; what stands before this program
 * is not the next, so that two copies of it never call each other for ever.
 * Returns only on failure, with a sentence in err (PCAPX_ERR_LEN bytes).
 */
void passthrough_exec(char **argv, char *err);

/*
 * Arguments for the bosh CLI's own pcap, from those of any of our names (of
 * pcap-cli, argv[1] is the command): they begin with `bosh pcap`, --ssh is
 * taken out. The array and its strings are copies, terminated by NULL; NULL
 * without memory.
 */
char **passthrough_args(called_t called, int argc, char **argv);

void passthrough_free(char **args);

/* Does --ssh stand among the words, before any "--"? */
int passthrough_wants_ssh(int argc, char **argv);


#endif /* CLI_PASSTHROUGH_H */
