# PcapTest::Router: a TCP proxy that cuts connections, as a router does with
# long requests. It sees bytes only. What it does is told by a file, so that
# a test can change it while connections run. It can be a SOCKS 5 proxy as
# well (RFC 1928, no authentication, CONNECT to a name), of this machine.

package PcapTest::Router;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);
use PcapTest;
use PcapTest::Server;


# Options: port (its own), to (the port behind it), cut (seconds until each
# connection is cut, 0: never), refuse (connections are reset at once), socks
# (the client says which port).
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $self = bless { port => 8500, to => 8443,
        file => work_dir() . '/router' . ++$number, %o }, $class;

    $self->tell();

    my $listen = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $self->{port})
        or die "the router cannot listen: $!\n";

    $self->{pid} = fork_child('router', sub { $self->serve($listen) },
        keep => [ $listen ]);
    at_end(sub { stop_child($self->{pid}, 'TERM', 2) });

    return $self;
}


# Changes cut and refuse.
sub tell
{
    my ($self, %o) = @_;

    $self->{$_} = $o{$_} for keys %o;
    spew("$self->{file}.new", encode_json({ cut => $self->{cut} || 0,
        refuse => $self->{refuse} || 0 }));
    rename "$self->{file}.new", $self->{file};
}


# "NAME:PORT" of every connection that a SOCKS client asked for.
sub asked_for
{
    my ($self) = @_;

    return split /\n/, slurp("$self->{file}.socks");
}


sub told { return decode_json(slurp($_[0]{file})) }


sub serve
{
    my ($self, $listen) = @_;

    PcapTest::Server::serve($listen, sub { $self->connection($_[0]) },
        sub { print STDERR "# router: $_[0]" });
}


# A reset, not an end that TLS or HTTP could take for one.
sub cut
{
    my (@socks) = @_;

    setsockopt $_, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 for @socks;
    POSIX::_exit(0);
}


sub read_bytes
{
    my ($s, $n) = @_;
    my $bytes = '';

    while (length $bytes < $n) {
        sysread $s, $bytes, $n - length $bytes, length $bytes or cut($s);
    }

    return $bytes;
}


# The port that the client wants to be connected to.
sub socks_port
{
    my ($self, $s) = @_;

    my ($version, $methods) = unpack 'CC', read_bytes($s, 2);

    cut($s) if $version != 5 || read_bytes($s, $methods) !~ /\0/;
    syswrite $s, "\5\0";

    my ($v, $command, $zero, $type) = unpack 'C4', read_bytes($s, 4);

    cut($s) if "$v $command $zero $type" ne '5 1 0 3';

    my $name = read_bytes($s, unpack 'C', read_bytes($s, 1));
    my $port = unpack 'n', read_bytes($s, 2);

    open my $fh, '>>', "$self->{file}.socks" or cut($s);
    print $fh "$name:$port\n";
    close $fh;
    syswrite $s, "\5\0\0\1\0\0\0\0\0\0";

    return $port;
}


sub connection
{
    my ($self, $s) = @_;

    cut($s) if $self->told()->{refuse};

    my $began = time();
    my $back = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $self->{socks} ? $self->socks_port($s) : $self->{to})
        or cut($s);
    my $set = IO::Select->new($s, $back);

    local $SIG{PIPE} = 'IGNORE';

    while (1) {
        my $cut = $self->told()->{cut};

        cut($s, $back) if $cut && time() - $began >= $cut;

        for my $from ($set->can_read(0.05)) {
            my $to = $from == $s ? $back : $s;
            my $n = sysread $from, my $bytes, 65536;

            POSIX::_exit(0) if !$n;

            while (length $bytes) {
                my $k = syswrite $to, $bytes or POSIX::_exit(0);
                substr $bytes, 0, $k, '';
            }
        }
    }
}


1;
