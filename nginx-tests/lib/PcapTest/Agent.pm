# PcapTest::Agent: real agents, one per host. The end of each test wants
# that every agent ended by itself, well, and that none of its processes died
# of a signal that the test had not sent.

package PcapTest::Agent;

use strict;
use warnings;

use IO::Socket::IP;
use JSON::PP;
use Test::More;
use PcapTest;


# Options: certs, host (of PcapTest::Net; none: beside nginx), addr (default
# the host's, or 127.0.0.1), conf (keys over the usual ones), cert, ca, name,
# under (a command that it is started by, with its arguments).
sub new
{
    my ($class, %o) = @_;

    our $number;

    my $name = $o{name} || 'agent' . ++$number;
    my $self = bless { cert => 'agent', ca => 'ca.crt', port => 9494, %o,
        name => $name, log => work_dir() . "/$name.log", killed => {} },
        $class;

    $self->{addr} ||= $o{host} ? $o{host}{addr} : '127.0.0.1';
    $self->{endpoint} = ($self->{addr} =~ /:/ ? "[$self->{addr}]"
        : $self->{addr}) . ":$self->{port}";
    $self->start();
    at_end(sub { $self->stop(); $self->check_log() });

    return $self;
}


sub config
{
    my ($self) = @_;

    my $certs = $self->{certs};

    return {
        listen          => $self->{endpoint},
        tls_cert        => $certs->file("$self->{cert}.crt"),
        tls_key         => $certs->file("$self->{cert}.key"),
        tls_ca          => $certs->file($self->{ca}),
        allowed_names   => ['pcap-api'],
        buffer_bytes    => 8 << 20,
        %{ $self->{conf} || {} },
    };
}


# With busy => 1 it does not wait for an idle agent.
sub start
{
    my ($self, %o) = @_;

    my $file = spew(work_dir() . "/$self->{name}.json",
        JSON::PP->new->canonical->encode($self->config()));

    $self->{pid} = spawn($self->{name}, [ @{ $self->{under} || [] },
        tool('agent'), '--config', $file ],
        out => $self->{log}, ns => $self->{host} ? $self->{host}{ns}
        : undef);

    my $up = wait_for(10, sub {
        return -1 if !alive($self->{pid});
        return IO::Socket::IP->new(PeerHost => $self->{addr},
            PeerPort => $self->{port}) ? 1 : 0;
    });

    die "agent did not start:\n" . slurp($self->{log}) if !$up || $up < 0;
    return if $o{busy};

    # the connection above is a process of the agent until it is noticed
    wait_for(5, sub { !children($self->{pid}) });
}


# The processes that serve captures or requests, and those that the agent has
# not taken note of yet: they count against its limits.
sub connections
{
    my ($self) = @_;

    return scalar children($self->{pid}, 'zombies');
}


sub target
{
    my ($self, $group, $instance) = @_;

    return [ $group, $instance, $self->{endpoint}, 'pcap-agent' ];
}


# Asks it to end; having to kill it, or any status but 0, is a failure.
sub stop
{
    my ($self, $signal) = @_;

    my $pid = delete $self->{pid} or return;
    my $status = stop_child($pid, $signal || 'TERM', 10);

    is($status, 0, "$self->{name} ends by itself, with status 0")
        or diag(defined $status ? '' : "it had to be killed\n",
        slurp($self->{log}));

    return $status;
}


# The agent says so when one of its processes dies of a signal: a crash, or
# a seccomp filter that is too narrow. Those that the test killed may.
sub check_log
{
    my ($self) = @_;

    my @died = slurp($self->{log})
        =~ /^(.*process \d+ was ended by signal \d+.*)$/mg;

    @died = grep { !/process (\d+) was/ || !$self->{killed}{$1} } @died;
    is(join("\n", @died), '', "no process of $self->{name} has crashed");
}


# Kills the processes that serve captures; the agent itself lives on.
sub kill_children
{
    my ($self) = @_;

    my @pids = children($self->{pid});

    @{ $self->{killed} }{@pids} = (1) x @pids;
    kill 'KILL', @pids;
}


# Kills the agent and all it serves at once, as a VM that dies.
sub kill_hard
{
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    kill 'KILL', $pid, children($pid);
    wait_exit($pid, 5);
}


1;
