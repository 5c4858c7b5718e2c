# PcapTest::Server: the loop of everything here that listens: stand-ins, fake
# agents, routers. Each connection is a process of its own, which ends with
# its connection; SIGTERM ends the loop and all of them.

package PcapTest::Server;

use strict;
use warnings;

use POSIX ();
use PcapTest;


# Never returns. $code gets each connection; what it dies of goes to $died, if
# that is given.
sub serve
{
    my ($listen, $code, $died) = @_;

    local $SIG{CHLD} = 'IGNORE';
    local $SIG{TERM} = sub {
        $SIG{TERM} = 'IGNORE';
        kill 'TERM', children($$);
        POSIX::_exit(0);
    };

    while (1) {
        my $s = $listen->accept() or next;
        my $pid = fork();

        if (defined $pid && $pid == 0) {
            $SIG{TERM} = 'DEFAULT';
            $SIG{CHLD} = 'DEFAULT';
            close $listen;

            my $ok = eval { $code->($s); 1 };

            $died->("$@") if !$ok && $died;
            POSIX::_exit(0);
        }

        close $s;
    }
}


1;
